"""Claims proved or refuted: by trying all inputs where they are few, or by a solver (:mod:`rdahw.hdl.solvers`).

A claim's circuits are expanded to gates from the table of primitives alone (:mod:`rdahw.hdl.gates`). Amaranth is used
only by the claims about hardware: :func:`gateware` here, and those about machines with registers in
:mod:`rdahw.hdl.trainer_proof`, :mod:`rdahw.hdl.memory_proof`, :mod:`rdahw.hdl.framer_proof` and
:mod:`rdahw.hdl.netlist_proof`. A claim is refuted only after its counterexample was confirmed by the caller's
interpreter or in Amaranth's simulator.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from rdahw.circuit import Circuit, Port
from rdahw.claims import MAX_GATES, Claim, count_gates, shape
from rdahw.errors import MissingError, UsageError, UserError, nearest
from rdahw.files import user_cache, write_atomically
from rdahw.hdl.framer_proof import FramerClaim
from rdahw.hdl.gates import Gates, to_gates, to_rtlil
from rdahw.hdl.memory_proof import MemoryTrainerClaim
from rdahw.hdl.netlist_proof import NetlistClaim, Undecidable
from rdahw.hdl.solvers import SOLVERS, Answer, Budget, OutOfTime, Question, Verdict
from rdahw.hdl.solvers import Solver as SolverRow
from rdahw.hdl.toolchain import FoundTool, Stopped, Toolchain, find
from rdahw.hdl.trainer_proof import Replay, TrainerClaim, check_counterexample, to_bits, to_text
from rdahw.jobs import ThreadJobs, cores

__all__ = ["AnyClaim", "Gateware", "Proof", "Solver", "Verdict", "gateware", "prove"]

#: ``auto`` searches by the claim's own ``guess``, if it has one, and tries all inputs if that takes seconds; else it
#: uses Boolector for trainers, if it is installed, and Yosys for all other claims. The others always use that solver.
Solver = Literal["auto", "yosys", "boolector", "z3"]

#: The default time limit of a claim, in seconds.
SECONDS = 60.0

#: All inputs are tried up to this many operations on 64 inputs at once, which take some seconds.
_MAX_OPERATIONS = 1 << 32

#: A part of the key of each cached verdict; raised when the meaning of a verdict about the same files changes.
_CACHE_FORMAT = 2


@dataclass(frozen=True, slots=True)
class Gateware:
    """The claim that the hardware emitted for ``circuit`` computes it.

    netlist: RTLIL as Amaranth writes it. operands, results: the names of its ports in the circuit's order.
    """

    circuit: Circuit
    netlist: str
    operands: tuple[str, ...]
    results: tuple[str, ...]
    size: str
    name: str = "gateware"
    words: str = "the emitted hardware computes the circuit"
    symbols: str = "gateware(x) = f(x)"


@dataclass(frozen=True, slots=True)
class Proof:
    """The verdict on a claim.

    verdict: ``"proved"``, ``"refuted"`` or ``"open"``: undecided, for ``reason``. Only the first is a success.
    seconds: the solver's time when it was run. solver: its name and version. is_cached: it was run earlier.
    counterexample: bits of each input, as text with bit 0 last. found: likewise the outputs of both sides.
    cycles: for a machine, instead of a counterexample: its inputs in each cycle from power-up; ``found`` is then what
        differs in the last cycle.
    """

    name: str
    size: str
    words: str
    symbols: str
    verdict: Verdict
    seconds: float
    solver: str
    is_cached: bool = False
    reason: str = ""
    counterexample: Mapping[str, str] | None = None
    found: Mapping[str, Mapping[str, str]] | None = None
    cycles: Sequence[Mapping[str, str]] = ()

    def to_json(self) -> dict[str, Any]:
        """The proof as plain JSON values, without fields that do not apply."""
        value: dict[str, Any] = {
            "name": self.name,
            "size": self.size,
            "statement": f"{self.words}: {self.symbols}",
            "verdict": self.verdict,
            "seconds": round(self.seconds, 3),
            "solver": self.solver,
            "cached": self.is_cached,
        }
        if self.reason:
            value["reason"] = self.reason
        if self.counterexample is not None:
            value["counterexample"] = dict(self.counterexample)
        if self.cycles:
            value["cycles"] = [dict(row) for row in self.cycles]
        if self.found is not None:
            value["found"] = {side: dict(outputs) for side, outputs in self.found.items()}
        return value


def gateware(circuit: Circuit, what: str = "") -> Gateware:
    """The claim that :class:`rdahw.hdl.circuit.CircuitModule` makes hardware that computes ``circuit``.

    what: put before the size, to tell several claims apart.
    """
    from amaranth.back import rtlil  # type: ignore[import-untyped]

    from rdahw.hdl.circuit import CircuitModule

    module = CircuitModule(circuit)
    names = {id(value): path[0] for path, _, value in module.signature.flatten(module)}
    operands, results = (tuple(str(names[id(port)]) for port in ports) for ports in (module.operands, module.results))
    text = str(rtlil.convert(module, name="gate", emit_src=False))
    return Gateware(circuit, text, operands, results, f"{what}: {shape(circuit)}" if what else shape(circuit))


#: What :func:`prove` takes.
AnyClaim = Claim | Gateware | TrainerClaim | MemoryTrainerClaim | FramerClaim | NetlistClaim


# -- all of them -------------------------------------------------------------------------------------------------------


def prove(
    claims: Sequence[AnyClaim],
    *,
    replay: Replay,
    solver: Solver = "auto",
    timeout: float | None = None,
    jobs: int | None = None,
    cache: Path | None = None,
    toolchain: Toolchain = "yowasp",
    progress: Callable[[int, int], None] | None = None,
    report: Callable[[Proof], None] = lambda proof: None,
) -> list[Proof]:
    """Prove each claim, ``jobs`` at a time (default: one per processor), and return the proofs in the claims' order.

    replay: checks each counterexample.
    solver: of :data:`rdahw.hdl.solvers.SOLVERS`, or ``"auto"``: see :data:`Solver`.
    timeout: seconds for each claim (:data:`SECONDS`); one that takes longer stays open.
    cache: the folder of earlier verdicts (default: in the user's cache), by gates, solver and solver version; open
        verdicts are not kept.
    progress: called with the number of claims done, and of all claims. report: called with each proof as soon as the
        claim is decided.

    On any exception, Ctrl-C too, all solvers are stopped. Raises :class:`rdahw.MissingError` without the solver.
    """
    if solver != "auto" and solver not in SOLVERS:
        raise UsageError(f"no solver is called {solver!r}; {nearest(solver, ('auto', *SOLVERS))}")
    folder = user_cache("proofs") if cache is None else cache
    stop = threading.Event()
    decide = _Decider(replay, solver, SECONDS if timeout is None else timeout, folder, toolchain, stop)
    pool = ThreadJobs(jobs or cores(), stop.set)  # the work is done by solvers, which are programs
    return pool.run(
        lambda decide, claim: decide(claim),
        claims,
        decide,
        done=lambda number, proof: report(proof),
        progress=progress or (lambda done, claims: None),
    )


@dataclass(frozen=True, slots=True)
class _Problem:
    """A claim about a circuit, as gates whose bit ``differ`` has to be 0, and as a question.

    inputs: the inputs of the claim's circuit, under their names in the question.
    """

    gates: Gates
    differ: int
    question: Question
    inputs: Sequence[Port]


def _claim_problem(claim: Claim) -> _Problem:
    miter = claim.miter
    gates, results = to_gates(miter)
    inputs = [Port(f"i{k}", type_) for k, type_ in enumerate(miter.input_types)]
    files = {"claim.il": to_rtlil(gates, results, "claim", inputs, ["differ"])}
    shown = {port.name: port.type.width for port in inputs}
    return _Problem(gates, results[0][0], Question(files, "read_rtlil claim.il\n", "claim", "differ", shown), inputs)


def _gateware_problem(claim: Gateware) -> _Problem:
    gates, results = to_gates(claim.circuit)
    ports = [Port(name, type_) for name, type_ in zip(claim.operands, claim.circuit.input_types, strict=True)]
    files = {"gold.il": to_rtlil(gates, results, "gold", ports, claim.results), "gate.il": claim.netlist}
    script = (
        "read_rtlil gate.il\nhierarchy -check -top gate\nproc\nflatten\nopt_clean\n"
        "read_rtlil gold.il\nmiter -equiv -make_outputs -flatten gold gate miter\nhierarchy -top miter\n"
    )
    inputs = [Port(f"in_{name}", type_) for name, type_ in ports]
    outputs = dict(zip(claim.results, claim.circuit.output_types, strict=True))
    shown = {port.name: port.type.width for port in inputs}
    shown |= {f"{side}_{name}": type_.width for side in ("gold", "gate") for name, type_ in outputs.items()}
    return _Problem(gates, 0, Question(files, script, "miter", "trigger", shown), inputs)


@dataclass(frozen=True, slots=True)
class _Chosen:
    """A solver with its tools as found."""

    solver: SolverRow
    tools: Sequence[FoundTool]


def _chosen(name: str, toolchain: Toolchain) -> _Chosen:
    """Raises :class:`rdahw.MissingError` if a tool of it is missing."""
    solver = SOLVERS[name]
    return _Chosen(solver, solver.find(toolchain))


@dataclass(frozen=True, slots=True)
class _Decider:
    """Decides a claim; see :func:`prove`."""

    replay: Replay
    solver: Solver
    timeout: float
    cache: Path
    toolchain: Toolchain
    stop: threading.Event

    def __call__(self, claim: AnyClaim) -> Proof:
        if isinstance(claim, Claim | Gateware):
            return self._circuit(claim)
        if isinstance(claim, TrainerClaim | MemoryTrainerClaim | FramerClaim):
            question = claim.question
            content: object = [dict(question.files), question.script, question.window]
            proof, cycles = self._decided(claim, content, self._trainer_solver(), lambda budget: question)
        else:
            yosys = find("yosys", self.toolchain)
            content = [dict(claim.files), claim.script]
            proof, cycles = self._decided(claim, content, self._solver(), lambda budget: claim.question(budget, yosys))
        if proof.verdict != "refuted":
            return proof
        run = claim.replayed(cycles, self.replay)
        return replace(proof, cycles=run.cycles, found=run.found)

    def _solver(self) -> _Chosen:
        """The solver used if not all inputs are tried."""
        return _chosen("yosys" if self.solver == "auto" else self.solver, self.toolchain)

    def _trainer_solver(self) -> _Chosen:
        """The solver used for trainers: Boolector proves in a second what Yosys leaves open after five minutes."""
        if self.solver == "auto":
            with contextlib.suppress(MissingError):
                return _chosen("boolector", self.toolchain)
        return self._solver()

    def _circuit(self, claim: Claim | Gateware) -> Proof:
        if self.solver == "auto" and isinstance(claim, Claim) and claim.guess is not None:
            started = time.monotonic()
            if (inputs := claim.guess()) is not None:
                left, right = (list(map(to_text, self.replay(side, *inputs))) for side in (claim.left, claim.right))
                seconds = time.monotonic() - started
                if left != right:
                    return _shown(Proof(*_about(claim), "refuted", seconds, _SEARCH), claim, inputs, left, right)
        size = count_gates(claim.circuit if isinstance(claim, Gateware) else claim.miter)
        if size > MAX_GATES:
            reason = f"{size:,} gates are more than the {MAX_GATES:,} tried"
            return Proof(*_about(claim), "open", 0.0, "none", reason=reason)
        problem = _gateware_problem(claim) if isinstance(claim, Gateware) else _claim_problem(claim)
        bits = problem.gates.inputs
        is_small = bits < 64 and max(1, len(problem.gates.gates)) << max(0, bits - 6) <= _MAX_OPERATIONS
        content = [dict(problem.question.files), problem.question.script]
        if self.solver == "auto" and isinstance(claim, Claim) and (is_small or problem.differ == 0):
            proof, cycles = self._decided(claim, content, f"all 2^{bits} inputs", lambda budget: problem)
        else:
            proof, cycles = self._decided(claim, content, self._solver(), lambda budget: problem.question)
        return proof if proof.verdict != "refuted" else self._replayed(claim, problem, proof, cycles[0])

    def _decided(
        self,
        claim: AnyClaim,
        content: object,
        decider: str | _Chosen,
        pose: Callable[[Budget], Question | _Problem],
    ) -> tuple[Proof, Sequence[Mapping[str, str]]]:
        """The proof, with the values of a refutation; from the cache if it was decided before.

        content: everything that the verdict depends on. decider: the solver, or the name of what needs none.
        """
        if isinstance(decider, str):
            solver, commands = decider, []
        else:
            tools = decider.tools
            solver = f"{tools[0]} sat" if len(tools) == 1 else str(tools[-1])
            commands = [[str(tool), tool.origin, *tool.command] for tool in tools]
        key = json.dumps([_CACHE_FORMAT, solver, commands, claim.name, content], sort_keys=True)
        file = self.cache / f"{hashlib.sha256(key.encode()).hexdigest()}.json"
        answer = _read(file)
        is_cached = answer is not None
        if answer is None:
            answer = self._ask(pose, decider)
            if answer.verdict != "open":
                _write(file, answer)
        reason = answer.reason or (f"not decided in {self.timeout:g} seconds" if answer.verdict == "open" else "")
        return Proof(*_about(claim), answer.verdict, answer.seconds, solver, is_cached, reason), answer.cycles

    def _ask(self, pose: Callable[[Budget], Question | _Problem], decider: str | _Chosen) -> Answer:
        with tempfile.TemporaryDirectory(prefix="rdahw-proof-") as name:
            budget = Budget(Path(name), self.timeout, self.stop)
            try:
                posed = pose(budget)
                if isinstance(posed, _Problem):
                    return self._try_all(posed)
                assert not isinstance(decider, str)
                ask = decider.solver.ask
                answer = ask(posed, budget, decider.tools)
                if answer.verdict == "refuted" and posed.run is not None:
                    answer = ask(posed.run, budget, decider.tools)
                    if answer.verdict != "refuted":
                        cycles = posed.run.window
                        reason = f"the induction fails, but the first {cycles} cycles from power-up show no fault"
                        answer = Answer("open", reason=reason)
                return replace(answer, seconds=budget.used)
            except OutOfTime:
                return Answer("open", seconds=self.timeout)
            except Undecidable as why:
                return Answer("open", reason=str(why), seconds=budget.used)

    def _replayed(self, claim: Claim | Gateware, problem: _Problem, proof: Proof, values: Mapping[str, str]) -> Proof:
        """The refuted proof with its counterexample, after the interpreter has confirmed it."""
        circuit = claim.circuit if isinstance(claim, Gateware) else claim.left
        inputs = [to_bits(values[port.name]) for port in problem.inputs]
        left = [to_text(result) for result in self.replay(circuit, *inputs)]
        gold = left
        if isinstance(claim, Gateware):
            gold, right = ([values[f"{side}_{name}"] for name in claim.results] for side in ("gold", "gate"))
        else:
            right = [to_text(result) for result in self.replay(claim.right, *inputs)]
        check_counterexample(claim, [left == gold and left != right])
        return _shown(proof, claim, inputs, left, right)

    def _try_all(self, problem: _Problem) -> Answer:
        """Try all inputs, 64 per word: bits 0 to 5 within a word, the next ones along the words, the rest in a loop."""
        started = time.monotonic()
        if problem.differ == 0:  # the constant: the two sides are the same gates
            return Answer("proved")
        gates, bits = problem.gates, problem.gates.inputs
        along = min(max(0, bits - 6), max(0, (_MEMORY // (8 * (2 + bits + len(gates.gates)))).bit_length() - 1), 12)
        table = np.zeros((2 + bits + len(gates.gates), 1 << along), np.uint64)
        table[1] = _ONES
        for k in range(min(bits, 6 + along)):
            table[2 + k] = _WITHIN[k] if k < 6 else np.where(np.arange(1 << along) >> (k - 6) & 1, _ONES, np.uint64(0))
        rows = list(table)
        steps = [
            (_OPERATORS[op], rows[a], rows[b], row)
            for (op, a, b), row in zip(gates.gates, rows[2 + bits :], strict=True)
        ]
        valid = _ONES if bits >= 6 else np.uint64((1 << (1 << bits)) - 1)
        for number in range(1 << max(0, bits - 6 - along)):
            if self.stop.is_set():
                raise Stopped("trying all inputs")
            if time.monotonic() - started > self.timeout:
                return Answer("open", seconds=self.timeout)
            for k in range(6 + along, bits):
                rows[2 + k][:] = _ONES if number >> (k - 6 - along) & 1 else 0
            for operator, a, b, result in steps:
                operator(a, b, result)
            differ = rows[problem.differ] & valid
            if differ.any():
                word = int(np.argmax(differ != 0))
                first = (int(differ[word]) & -int(differ[word])).bit_length() - 1
                point = first | word << 6 | number << (6 + along)
                return Answer("refuted", [_at(problem, point)], seconds=time.monotonic() - started)
        return Answer("proved", seconds=time.monotonic() - started)


def _shown(
    proof: Proof, claim: Claim | Gateware, inputs: Sequence[Any], left: Sequence[str], right: Sequence[str]
) -> Proof:
    """The proof with its counterexample and the outputs of both sides."""
    if isinstance(claim, Gateware):
        circuit, sides = claim.circuit, ("circuit", "gateware")
    else:
        circuit, sides = claim.left, claim.sides
    named = dict(zip(circuit.input_names, map(to_text, inputs), strict=True))
    shown = [dict(zip(circuit.output_names, side, strict=True)) for side in (left, right)]
    return replace(proof, counterexample=named, found=dict(zip(sides, shown, strict=True)))


#: In place of a solver's name: the counterexample was found by a claim's own search.
_SEARCH = "search"


def _about(claim: AnyClaim) -> tuple[str, str, str, str]:
    return claim.name, claim.size, claim.words, claim.symbols


_MEMORY = 1 << 26  # bytes for all wires of a chunk of inputs
_ONES = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
#: Bit p of word k is bit k of p.
_WITHIN = [np.uint64(sum(1 << p for p in range(64) if p >> k & 1)) for k in range(6)]
_OPERATORS = {"xor": np.bitwise_xor, "and": np.bitwise_and}


def _at(problem: _Problem, point: int) -> dict[str, str]:
    """The inputs' bits as text, if their concatenation is the number ``point``."""
    values = {}
    for name, type_ in problem.inputs:
        values[name] = format(point & (1 << type_.width) - 1, f"0{type_.width}b")
        point >>= type_.width
    return values


# -- the cache of verdicts ---------------------------------------------------------------------------------------------


def _read(file: Path) -> Answer | None:
    """An earlier verdict; ``None`` if there is none or its file is corrupt."""
    try:
        value = json.loads(file.read_bytes())
        verdict, seconds, cycles = value["verdict"], float(value["seconds"]), list(value["cycles"])
    except (OSError, ValueError, TypeError, KeyError):
        return None
    if verdict == "proved" and not cycles:
        return Answer("proved", seconds=seconds)
    if verdict == "refuted" and cycles and all(isinstance(row, dict) for row in cycles):
        return Answer("refuted", cycles, seconds=seconds)
    return None


def _write(file: Path, answer: Answer) -> None:
    """Keep a verdict; if its file cannot be written, the verdict is found again the next time."""
    value = {"verdict": answer.verdict, "seconds": answer.seconds, "cycles": [dict(row) for row in answer.cycles]}
    with contextlib.suppress(OSError, UserError):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, json.dumps(value).encode())
