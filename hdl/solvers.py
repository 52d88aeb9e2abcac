"""Solvers, in one table: each decides whether one bit of a circuit, or of a machine with registers, can ever be 1.

Yosys reads every question. Its own ``sat`` answers it, or Yosys writes it as SMT-LIB for another solver: a circuit as
one formula, a machine as an induction with one base and one step for each number of cycles.

A verdict is read from a solver's log, never from its exit code.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rdahw.errors import InternalError
from rdahw.hdl.toolchain import FoundTool, Run, Step, Stopped, Toolchain, find, run

__all__ = ["SOLVERS", "Answer", "Budget", "OutOfTime", "Question", "Solver", "Verdict"]

Verdict = Literal["proved", "refuted", "open"]


@dataclass(frozen=True, slots=True)
class Question:
    """Whether ``bit`` of the module ``top`` is ever 1.

    files: read by ``script``, commands of Yosys that make ``top`` a flat module of gates and plain flip-flops.
    shown: wires of ``top`` and their widths, whose values a counterexample contains; with ``window``, ``bit`` too.
    steps: for a machine, the most cycles of agreement that an induction may assume; 0: there are no registers. Each
        register starts with its initial value, or with 0 if it has none, and is clocked in every cycle.
    window: instead of an induction, check only this many cycles (bounded). With ``start``, another bit of ``top``, the
        first cycle is any state in which that bit is 1; then registers must have no initial values.
    run: with ``start``, the question that is asked after a refutation: whether a run from power-up shows it too.
    """

    files: Mapping[str, str]
    script: str
    top: str
    bit: str
    shown: Mapping[str, int]
    steps: int = 0
    start: str = ""
    window: int = 0
    run: Question | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """A verdict. ``"proved"``: the bit is always 0. ``"refuted"``: it is 1 in the last of ``cycles``, each the values
    of the shown wires, as text with bit 0 last. ``"open"``: undecided, for ``reason``. seconds: the time it took.
    """

    verdict: Verdict
    cycles: Sequence[Mapping[str, str]] = ()
    reason: str = ""
    seconds: float = 0.0


class OutOfTime(Exception):
    """The time limit is reached."""


class Budget:
    """Runs tools in a folder until their time limit is reached (:class:`OutOfTime`) or another thread stops them.

    The time in which a tool is compiled for this machine, once after its installation, does not count.
    """

    def __init__(self, folder: Path, timeout: float, stop: threading.Event) -> None:
        self.folder = folder
        self.used = 0.0
        self._timeout = timeout
        self._stop = stop

    def run(self, found: FoundTool, arguments: Sequence[str], log: str) -> Run:
        """Run a tool until it ends."""
        free = 0.0
        started = time.monotonic()

        def watch(step: Step) -> None:
            nonlocal free
            if self._stop.is_set():
                raise Stopped(step.tool)
            if "compiled" in step.what:
                free = time.monotonic() - started
            elif self.used + time.monotonic() - started - free > self._timeout:
                raise OutOfTime

        try:
            return run(found, arguments, cwd=self.folder, log=log, progress=watch)
        finally:
            self.used += max(0.0, time.monotonic() - started - free)

    def write(self, files: Mapping[str, str]) -> None:
        """Write files, given by name, to the folder."""
        for name, text in files.items():
            (self.folder / name).write_text(text, encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Solver:
    """A row of the table. tools: keys of :data:`rdahw.hdl.toolchain.TOOLS`; ask: answers a question with them."""

    tools: tuple[str, ...]
    ask: Callable[[Question, Budget, Sequence[FoundTool]], Answer]

    def find(self, toolchain: Toolchain) -> list[FoundTool]:
        """Its tools; raises :class:`rdahw.MissingError` if one is missing."""
        return [find(name, toolchain) for name in self.tools]


# -- Yosys' own --------------------------------------------------------------------------------------------------------

_PROVED = "SAT proof finished - no model found: SUCCESS!"
_REFUTED = "SAT proof finished - model found: FAIL!"
_STEP_PROVED = "Induction step proven: SUCCESS!"
_BASE_REFUTED = "model found for base case: FAIL!"
_NO_MORE_STEPS = "Reached maximum number of time steps -> proof failed."

#: The reason of an open verdict when no induction within the question's steps decides it.
_UNDECIDED = "no induction of so few steps decides it"


def _ask_yosys(question: Question, budget: Budget, found: Sequence[FoundTool]) -> Answer:
    shown = " ".join(f"-show {name}" for name in question.shown)
    how = f"-tempinduct -maxsteps {question.steps}" if question.steps else ""
    if question.window:
        how = f"-seq {question.window}" + (f" -set-at 1 {question.start} 1" if question.start else "")
    script = f"{question.script}sat {how} -prove {question.bit} 0 {shown} {question.top}\n"
    budget.write({**question.files, "proof.ys": script})
    log = budget.run(found[0], ["-q", "-s", "proof.ys"], "log").log
    known = (_STEP_PROVED, _BASE_REFUTED, _NO_MORE_STEPS) if question.steps else (_PROVED, _REFUTED)
    said = [sentence for sentence in known for _ in range(log.count(sentence))]
    if said in ([_PROVED], [_STEP_PROVED]):
        return Answer("proved")
    if said in ([_REFUTED], [_BASE_REFUTED]):
        cycles = _table(log.partition(said[0])[2], question)
        if cycles is not None:
            return Answer("refuted", _until(question, cycles) if question.window else cycles)
    if said == [_NO_MORE_STEPS]:
        return Answer("open", reason=_UNDECIDED)
    raise InternalError("yosys ended well without a verdict that can be read; its log may have changed its form")


def _table(text: str, question: Question) -> list[dict[str, str]] | None:
    """The values of each cycle, from the table in which Yosys prints a counterexample; ``None`` if incomplete."""
    cycles: dict[int, dict[str, str]] = {}
    for cycle, name, bits in re.findall(r"^ +(\d+ )? *\\(\S+) +\S+ +\S+ +([01]+) *$", text, re.MULTILINE):
        cycles.setdefault(int(cycle or 0), {})[name] = bits
    rows = [cycles[number] for number in sorted(cycles)]
    if not rows or any(len(row.get(name, "")) < width for row in rows for name, width in question.shown.items()):
        return None
    return [{name: row[name] for name in question.shown} for row in rows]


# -- SMT-LIB -----------------------------------------------------------------------------------------------------------


def _asks_smt(*options: str) -> Callable[[Question, Budget, Sequence[FoundTool]], Answer]:
    """The ``ask`` of a solver that reads SMT-LIB from a file, with these options."""

    def ask(question: Question, budget: Budget, found: Sequence[FoundTool]) -> Answer:
        yosys, solver = found
        smt = _Smt(question, budget, solver, options)
        # -stbv: a state is one bit vector, so the formulas use bits only, which every solver reads.
        budget.write({**question.files, "proof.ys": f"{question.script}write_smt2 -stbv -wires system.smt2\n"})
        budget.run(yosys, ["-q", "-s", "proof.ys"], "log")
        if question.window:
            return _in_window(smt)
        if not question.steps:
            refuted = smt.satisfied(1, [smt.bad(0)])
            return Answer("refuted", smt.values(1, [smt.bad(0)])) if refuted else Answer("proved")
        for cycles in range(1, question.steps + 1):
            base = [f"(|{question.top}_i| s0)", *map(smt.good, range(cycles - 1)), smt.bad(cycles - 1)]
            if smt.satisfied(cycles, base):
                return Answer("refuted", smt.values(cycles, base))
            if not smt.satisfied(cycles + 1, [*map(smt.good, range(cycles)), smt.bad(cycles)]):
                return Answer("proved")
        return Answer("open", reason=_UNDECIDED)

    return ask


def _in_window(smt: _Smt) -> Answer:
    """Whether the bit is 1 in one of the cycles of the window."""
    question = smt.question
    first = f"(|{question.top}_n {question.start}| s0)" if question.start else f"(|{question.top}_i| s0)"
    conditions = [first, f"(or false {' '.join(smt.bad(at) for at in range(question.window))})"]
    if not smt.satisfied(question.window, conditions):
        return Answer("proved")
    return Answer("refuted", _until(question, smt.values(question.window, conditions)))


def _until(question: Question, cycles: Sequence[Mapping[str, str]]) -> list[Mapping[str, str]]:
    """The cycles up to the first in which the bit is 1."""
    return list(cycles[: 1 + next(at for at, row in enumerate(cycles) if row[question.bit] == "1")])


@dataclass(frozen=True, slots=True)
class _Smt:
    """Asks an SMT solver about the states s0, s1, … of a machine, each the successor of the one before."""

    question: Question
    budget: Budget
    solver: FoundTool
    options: tuple[str, ...]

    def good(self, at: int) -> str:
        return f"(not (|{self.question.top}_n {self.question.bit}| s{at}))"

    def bad(self, at: int) -> str:
        return f"(|{self.question.top}_n {self.question.bit}| s{at})"

    def satisfied(self, states: int, conditions: Sequence[str]) -> bool:
        """Whether a sequence of ``states`` states can satisfy the conditions."""
        said = re.findall(r"^(sat|unsat)$", self._run(states, conditions, ()), re.MULTILINE)
        if len(said) != 1:
            raise InternalError(
                f"{self.solver.tool.name} ended well without a verdict that can be read; expected sat or unsat"
            )
        return bool(said[0] == "sat")

    def values(self, states: int, conditions: Sequence[str]) -> list[dict[str, str]]:
        """The shown values of each state of a sequence that satisfies the conditions."""
        top, shown = self.question.top, self.question.shown
        wanted = [f"(get-value ((|{top}_n {name}| s{at})))" for at in range(states) for name in shown]
        said = re.findall(r"(true|false|#b[01]+|#x[0-9a-f]+)\s*\)\s*\)", self._run(states, conditions, wanted))
        if len(said) != len(wanted):
            raise InternalError(f"{self.solver.tool.name} found a counterexample that cannot be read")
        values = iter(said)
        return [{name: _bits(next(values), width) for name, width in shown.items()} for _ in range(states)]

    def _run(self, states: int, conditions: Sequence[str], after: Sequence[str]) -> str:
        top = self.question.top
        system = (self.budget.folder / "system.smt2").read_text(encoding="utf-8")
        declared = [f"(declare-fun s{at} () |{top}_s|)" for at in range(states)]
        moves = [f"(|{top}_t| s{at} s{at + 1})" for at in range(states - 1)]
        lines = ["(set-option :produce-models true)", "(set-logic QF_BV)", system, *declared]
        lines += [f"(assert {condition})" for condition in (*moves, *conditions)]
        self.budget.write({"question.smt2": "\n".join([*lines, "(check-sat)", *after, ""])})
        return self.budget.run(self.solver, [*self.options, "question.smt2"], "answer").log


def _bits(value: str, width: int) -> str:
    if value in ("true", "false"):
        return str(int(value == "true"))
    return format(int(value[2:], 2 if value[1] == "b" else 16), f"0{width}b")


#: Every solver, by the name that ``--solver`` takes.
SOLVERS: Mapping[str, Solver] = {
    "yosys": Solver(("yosys",), _ask_yosys),
    "boolector": Solver(("yosys", "boolector"), _asks_smt("--smt2", "--exit-codes=0")),
    "z3": Solver(("yosys", "z3"), _asks_smt("-smt2")),
}
