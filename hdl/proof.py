"""Claims proved or refuted: as gates to Yosys' ``sat``, or by trying all inputs where they are few.

A claim's circuits are expanded to gates from the table of primitives alone (:mod:`rdahw.hdl.gates`); Amaranth is only
seen by :func:`gateware`, whose subject it is. A verdict is read from the sentence in the tool's own log. Before a claim
counts as refuted, its counterexample is run by the caller's interpreter, which must see the same.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from rdahw.circuit import Circuit, Port
from rdahw.claims import MAX_GATES, Claim, count_gates, shape
from rdahw.errors import InternalError, UserError
from rdahw.files import user_cache, write_atomically
from rdahw.hdl.gates import Gates, to_gates, to_rtlil
from rdahw.hdl.toolchain import FoundTool, Run, Step, Stopped, Toolchain, find, run
from rdahw.hdl.trainer_proof import TrainerClaim
from rdahw.primitives import Array

__all__ = ["Gateware", "Proof", "Solver", "Verdict", "gateware", "prove"]

Verdict = Literal["proved", "refuted", "open"]

#: ``auto`` tries all inputs where that takes seconds, and else asks Yosys; ``yosys`` always asks.
Solver = Literal["auto", "yosys"]

#: Runs a circuit on one input an array; :func:`rdahw.sim.reference.run` is the one to give.
Replay = Callable[..., tuple[Array, ...]]

#: Up to this many operations on 64 inputs at once, some seconds, all inputs are tried.
_MAX_OPERATIONS = 1 << 32

#: Goes into the key of each cached verdict: raised when what is proved by the same files becomes something else.
_CACHE_FORMAT = 1


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
    """What came of a claim.

    verdict: ``"proved"``, ``"refuted"`` or ``"open"``: not decided, for ``reason``. Only the first is a success.
    seconds: of the solver, when it was run. solver: which one, with its version. is_cached: it was run earlier.
    counterexample: bits of each input, as text with bit 0 last; found: the same of each output of both sides.
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

    def to_json(self) -> dict[str, Any]:
        """The proof as plain JSON values; what does not apply is left out."""
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
        if self.counterexample is not None and self.found is not None:
            value["counterexample"] = dict(self.counterexample)
            value["found"] = {side: dict(outputs) for side, outputs in self.found.items()}
        return value


def gateware(circuit: Circuit, what: str = "") -> Gateware:
    """The claim that :class:`rdahw.hdl.circuit.CircuitModule` makes hardware that computes ``circuit``.

    ``what`` goes in front of the size, to tell several claims apart.
    """
    from amaranth.back import rtlil  # type: ignore[import-untyped]

    from rdahw.hdl.circuit import CircuitModule

    module = CircuitModule(circuit)
    names = {id(value): path[0] for path, _, value in module.signature.flatten(module)}
    operands, results = (tuple(str(names[id(port)]) for port in ports) for ports in (module.operands, module.results))
    text = str(rtlil.convert(module, name="gate", emit_src=False))
    return Gateware(circuit, text, operands, results, f"{what}: {shape(circuit)}" if what else shape(circuit))


# -- all of them -------------------------------------------------------------------------------------------------------


def prove(
    claims: Sequence[Claim | Gateware | TrainerClaim],
    *,
    replay: Replay,
    solver: Solver = "auto",
    timeout: float = 60.0,
    jobs: int | None = None,
    cache: Path | None = None,
    toolchain: Toolchain = "yowasp",
    progress: Callable[[int, int], None] | None = None,
) -> list[Proof]:
    """Prove each claim, ``jobs`` at a time (default: one a processor), and return the proofs in the claims' order.

    replay: checks each counterexample; :func:`rdahw.sim.reference.run` is the one to give.
    timeout: seconds for each claim; one that takes longer stays open.
    cache: the folder of earlier verdicts (default: in the user's cache), by the gates, the solver and its version; open
        ones are not kept.
    progress: called with how many are done, and of how many.

    On an exception, Ctrl-C too, all solvers are stopped first. Raises :class:`rdahw.MissingError` without Yosys.
    """
    folder = user_cache("proofs") if cache is None else cache
    stop = threading.Event()
    decide = _Decider(replay, solver, timeout, folder, toolchain, stop)
    with ThreadPoolExecutor(jobs or os.cpu_count()) as pool:
        futures = [pool.submit(decide, claim) for claim in claims]
        try:
            waiting = set(futures)
            while waiting:
                # A short wait, so that Ctrl-C is heard.
                done, waiting = wait(waiting, timeout=0.25, return_when=FIRST_COMPLETED)
                for future in done:
                    future.result()
                if progress is not None:
                    progress(len(futures) - len(waiting), len(futures))
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise
    return [future.result() for future in futures]


@dataclass(frozen=True, slots=True)
class _Problem:
    """A claim as a solver takes it: one bit of gates that is to be 0, or a script of Yosys.

    inputs, outputs: what the script calls the inputs of the claim's circuit, and what it shows beside them.
    """

    gates: Gates
    differ: int
    files: Mapping[str, str]
    script: str
    inputs: Sequence[Port]
    outputs: Sequence[str]


def _claim_problem(claim: Claim) -> _Problem:
    miter = claim.miter
    gates, results = to_gates(miter)
    inputs = [Port(f"i{k}", type_) for k, type_ in enumerate(miter.input_types)]
    text = to_rtlil(gates, results, "claim", inputs, ["differ"])
    script = "read_rtlil claim.il\nsat -prove differ 0 {shown} claim\n"
    return _Problem(gates, results[0][0], {"claim.il": text}, script, inputs, ["differ"])


def _gateware_problem(claim: Gateware) -> _Problem:
    gates, results = to_gates(claim.circuit)
    ports = [Port(name, type_) for name, type_ in zip(claim.operands, claim.circuit.input_types, strict=True)]
    files = {"gold.il": to_rtlil(gates, results, "gold", ports, claim.results), "gate.il": claim.netlist}
    script = (
        "read_rtlil gate.il\nhierarchy -check -top gate\nproc\nflatten\nopt_clean\n"
        "read_rtlil gold.il\nmiter -equiv -make_outputs -flatten gold gate miter\n"
        "sat -prove trigger 0 {shown} miter\n"
    )
    inputs = [Port(f"in_{name}", type_) for name, type_ in ports]
    outputs = [f"{side}_{name}" for side in ("gold", "gate") for name in claim.results]
    return _Problem(gates, 0, files, script, inputs, outputs)


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What a solver found, with the bits of each of a problem's inputs and outputs, bit 0 last, if it refuted it."""

    verdict: Verdict
    seconds: float
    values: Mapping[str, str] | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class _Decider:
    """Decides one claim after the other; see :func:`prove`."""

    replay: Replay
    solver: Solver
    timeout: float
    cache: Path
    toolchain: Toolchain
    stop: threading.Event

    def __call__(self, claim: Claim | Gateware | TrainerClaim) -> Proof:
        about = (claim.name, claim.size, claim.words, claim.symbols)
        if isinstance(claim, TrainerClaim):
            problem = _Problem(Gates(0), 0, claim.files, claim.script, (), ())
        else:
            size = count_gates(claim.circuit if isinstance(claim, Gateware) else claim.miter)
            if size > MAX_GATES:
                return Proof(
                    *about, "open", 0.0, "none", reason=f"{size:,} gates are more than the {MAX_GATES:,} tried"
                )
            problem = _gateware_problem(claim) if isinstance(claim, Gateware) else _claim_problem(claim)
        bits = problem.gates.inputs
        is_small = bits < 64 and len(problem.gates.gates) << max(0, bits - 6) <= _MAX_OPERATIONS
        if self.solver == "auto" and isinstance(claim, Claim) and is_small:
            found, solver = None, f"all 2^{bits} inputs"
        else:
            found = find("yosys", self.toolchain)
            solver = f"{found} sat"
        file = self.cache / f"{_digest(problem, solver, found)}.json"
        outcome = _read(file)
        is_cached = outcome is not None
        if outcome is None:
            outcome = self._try_all(problem) if found is None else self._ask_yosys(found, problem)
            if outcome.verdict != "open":
                _write(file, outcome)
        if outcome.verdict == "open":
            reason = outcome.reason or f"not decided in {self.timeout:g} seconds"
            return Proof(*about, "open", outcome.seconds, solver, reason=reason)
        proof = Proof(*about, outcome.verdict, outcome.seconds, solver, is_cached, outcome.reason)
        if isinstance(claim, TrainerClaim) or outcome.values is None:
            return proof
        return self._replayed(claim, problem, proof, outcome.values)

    def _replayed(self, claim: Claim | Gateware, problem: _Problem, proof: Proof, values: Mapping[str, str]) -> Proof:
        """The refuted proof with its counterexample, after the interpreter has seen it fail too."""
        circuit = claim.circuit if isinstance(claim, Gateware) else claim.left
        inputs = [_bits(values[port.name]) for port in problem.inputs]
        if isinstance(claim, Gateware):
            sides = ("circuit", "gateware")
            left = [_text(result) for result in self.replay(circuit, *inputs)]
            gold, right = ([values[f"{side}_{name}"] for name in claim.results] for side in ("gold", "gate"))
        else:
            sides = claim.sides
            left, right = ([_text(r) for r in self.replay(side, *inputs)] for side in (claim.left, claim.right))
            gold = left
        if left != gold or left == right:
            raise InternalError(f"the counterexample to {claim.name} ({claim.size}) fails no claim when it is run")
        named = dict(zip(circuit.input_names, map(_text, inputs), strict=True))
        shown = [dict(zip(circuit.output_names, side, strict=True)) for side in (left, right)]
        return replace(proof, counterexample=named, found=dict(zip(sides, shown, strict=True)))

    def _ask_yosys(self, found: FoundTool, problem: _Problem) -> _Outcome:
        before = 0.0  # seconds that are not the solver's

        def watch(step: Step) -> None:
            nonlocal before
            if self.stop.is_set():
                raise Stopped(step.tool)
            if "compiled" in step.what:
                before = step.seconds
            elif step.seconds - before > self.timeout:
                raise _OutOfTime

        with tempfile.TemporaryDirectory(prefix="rdahw-proof-") as name:
            folder = Path(name)
            for file, text in {**problem.files, "proof.ys": _script(problem)}.items():
                (folder / file).write_text(text, encoding="utf-8")
            try:
                done = run(found, ["-q", "-s", "proof.ys"], cwd=folder, log="log", progress=watch)
            except _OutOfTime:
                return _Outcome("open", self.timeout)
        done = replace(done, seconds=max(0.0, done.seconds - before))
        if _INDUCTION in problem.script:
            return _induction(done)
        if done.log.count(_PROVED) == 1 and _REFUTED not in done.log:
            return _Outcome("proved", done.seconds)
        if done.log.count(_REFUTED) == 1 and _PROVED not in done.log:
            model = dict(re.findall(r"^ +\\(\S+) +\S+ +\S+ +([01]+) *$", done.log.partition(_REFUTED)[2], re.MULTILINE))
            widths = {port.name: port.type.width for port in problem.inputs}
            names = [*widths, *problem.outputs]
            if all(name in model and len(model[name]) >= widths.get(name, 1) for name in names):
                return _Outcome("refuted", done.seconds, {name: model[name] for name in names})
        raise InternalError("yosys ended well without a verdict that can be read; its log may have changed its form")

    def _try_all(self, problem: _Problem) -> _Outcome:
        """All inputs, 64 in a word: inputs 0 to 5 within a word, the next along the words, the others by repetition."""
        started = time.monotonic()
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
                return _Outcome("open", self.timeout)
            for k in range(6 + along, bits):
                rows[2 + k][:] = _ONES if number >> (k - 6 - along) & 1 else 0
            for operator, a, b, result in steps:
                operator(a, b, result)
            differ = rows[problem.differ] & valid
            if differ.any():
                word = int(np.argmax(differ != 0))
                first = (int(differ[word]) & -int(differ[word])).bit_length() - 1
                point = first | word << 6 | number << (6 + along)
                return _Outcome("refuted", time.monotonic() - started, _at(problem, point))
        return _Outcome("proved", time.monotonic() - started)


class _OutOfTime(Exception):
    """A solver has used up its seconds."""


_PROVED = "SAT proof finished - no model found: SUCCESS!"
_REFUTED = "SAT proof finished - model found: FAIL!"

_MEMORY = 1 << 26  # bytes for all wires of a chunk of inputs
_ONES = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
#: Bit p of word k is bit k of p.
_WITHIN = [np.uint64(sum(1 << p for p in range(64) if p >> k & 1)) for k in range(6)]
_OPERATORS = {"xor": np.bitwise_xor, "and": np.bitwise_and}


_INDUCTION = "sat -tempinduct"
_STEP_PROVED = "Induction step proven: SUCCESS!"
_BASE_REFUTED = "model found for base case: FAIL!"
_NO_MORE_STEPS = "Reached maximum number of time steps -> proof failed."


def _induction(done: Run) -> _Outcome:
    """What a proof by induction ended with; one sentence of the three, and no other."""
    sentences = [s for s in (_STEP_PROVED, _BASE_REFUTED, _NO_MORE_STEPS) if s in done.log]
    if sentences == [_STEP_PROVED]:
        return _Outcome("proved", done.seconds)
    if sentences == [_BASE_REFUTED]:
        cycles = len(re.findall(r"^\[base case \d+\]", done.log, re.MULTILINE))
        return _Outcome("refuted", done.seconds, reason=f"the two differ in cycle {cycles} after the start")
    if sentences == [_NO_MORE_STEPS]:
        return _Outcome("open", done.seconds, reason="no induction of so few steps decides it")
    raise InternalError("yosys ended well without a verdict that can be read; its log may have changed its form")


def _script(problem: _Problem) -> str:
    shown = " ".join(f"-show {name}" for name in [*(port.name for port in problem.inputs), *problem.outputs])
    return problem.script.format(shown=shown)


def _at(problem: _Problem, point: int) -> dict[str, str]:
    """The inputs' bits as text, where the inputs side by side are the number ``point``."""
    values = {}
    for name, type_ in problem.inputs:
        values[name] = format(point & (1 << type_.width) - 1, f"0{type_.width}b")
        point >>= type_.width
    return values


def _bits(text: str) -> Array:
    return np.array([int(bit) for bit in reversed(text)], np.uint8)


def _text(bits: Array) -> str:
    return "".join(str(int(bit)) for bit in reversed(bits))


# -- verdicts that are there already -----------------------------------------------------------------------------------


def _digest(problem: _Problem, solver: str, found: FoundTool | None) -> str:
    command = [] if found is None else [found.origin, *found.command]
    content = json.dumps([_CACHE_FORMAT, solver, command, dict(problem.files), _script(problem)], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def _read(file: Path) -> _Outcome | None:
    """An earlier verdict; what is no whole one is not there."""
    try:
        value = json.loads(file.read_bytes())
        verdict, seconds = value["verdict"], float(value["seconds"])
        values, reason = value["values"], str(value["reason"])
    except (OSError, ValueError, TypeError, KeyError):
        return None
    if verdict == "proved" and values is None:
        return _Outcome("proved", seconds)
    if verdict == "refuted" and (isinstance(values, dict) or reason):
        return _Outcome("refuted", seconds, values, reason)
    return None


def _write(file: Path, outcome: _Outcome) -> None:
    """Keep a verdict; where that is not possible it is found again the next time."""
    value = {"verdict": outcome.verdict, "seconds": outcome.seconds, "values": outcome.values, "reason": outcome.reason}
    with contextlib.suppress(OSError, UserError):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, json.dumps(value).encode())
