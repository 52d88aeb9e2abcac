"""Faults of a circuit: which ones tests can find, tests that find them, and how often a flipped bit is seen.

The circuit is taken as a netlist of gates of up to three inputs (:mod:`rdahw.sim.netlist`), each inverter joined to the
gate whose only reader it is. A *line* is a node (an input bit, or the output of a gate) or, where a node has several
readers, the branch to one of them. A *fault* is a line that is stuck at 0 or at 1. Faults of a gate that make it the
same wrong function are equivalent, and one of them stands for all (structural equivalence: McCluskey and Clegg, 1971).
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rdahw.circuit import Circuit
from rdahw.claims import Claim, shape
from rdahw.errors import UserError
from rdahw.hdl.proof import Proof, Solver, prove
from rdahw.hdl.toolchain import Toolchain
from rdahw.hdl.trainer_proof import to_text
from rdahw.primitives import Array
from rdahw.random import stream, words
from rdahw.sim.netlist import AND, MAJORITY, MUX, NOT, OR, XOR, XOR3, A, B, C, lower
from rdahw.sim.packing import Words, pack_examples, unpack_examples, words_for
from rdahw.sim.reference import run
from rdahw.tracing import Builder, Wire
from rdahw.types import Bits, Type
from rdahw.wording import plural

__all__ = ["Fault", "Faults", "Sensitivity", "Tests"]

#: Up to so many input bits all vectors are tried for tests, and
_FEW_INPUTS = 12
#: up to so many for sensitivities, if it takes at most so many operations on 64 vectors.
EXACT_INPUTS = 16
_MAX_OPERATIONS = 1 << 32
#: Otherwise so many random vectors are taken for sensitivities.
SAMPLES = 1 << 14
#: Random vectors for tests are tried by so many, until they find nothing new so many times, but at most so many times.
_BLOCK = 1 << 10
_PATIENCE = 16
_MOST_BLOCKS = 512
#: Operations on words in one call of a kernel, which Ctrl-C does not interrupt.
_OPERATIONS = 1 << 26
#: So many faults are asked about at once.
_GROUP = 64
#: The default time limit of all questions to the solver, in seconds, and the part of it that one question may take.
SECONDS = 300.0
_PART = 0.1
#: The quantile of the normal distribution for intervals of 95 %.
_Z = 1.959964

#: The names of gates; others have a number, the table.
_NAMES = {AND: "and", OR: "or", XOR: "xor", NOT: "not", XOR3: "xor", MAJORITY: "majority", MUX: "mux"} | {
    AND ^ 0xFF: "nand",
    OR ^ 0xFF: "nor",
    XOR ^ 0xFF: "xnor",
}


class Line(NamedTuple):
    """A node, or its branch to ``pin`` of a reader: gate number ``gate``, or from the number of gates on an output."""

    node: int
    gate: int = -1
    pin: int = 0


class Fault(NamedTuple):
    """A line that is stuck at ``value``."""

    line: Line
    value: int


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """How often an output changes when this node is flipped: the share of all vectors if ``exact``, else of random
    ones, with the 95 % interval from ``low`` to ``high`` (Wilson's)."""

    name: str
    gate: str
    share: float
    low: float
    high: float
    vectors: int
    exact: bool


@dataclass(frozen=True, slots=True)
class Tests:
    """Tests for all faults that tests can find.

    vectors: (V, inputs), the bits of the circuit's inputs in order. outputs: (V, bits), those of its outputs.
    detected, undetectable, undecided: one fault of each class; the second are proved so, the last the solver left open.
    proofs: what it was asked.
    """

    vectors: Array
    outputs: Array
    detected: tuple[Fault, ...]
    undetectable: tuple[Fault, ...]
    undecided: tuple[Fault, ...]
    proofs: tuple[Proof, ...]


@dataclass(eq=False)
class Faults:
    """The lines and faults of ``circuit``.

    classes: the classes of equivalent faults, each in the order of the lines, nearest to the inputs first; the first
    fault of a class stands for it. Raises :class:`UserError` for a circuit without inputs or outputs, and above
    :data:`rdahw.sim.netlist.MAX_GATES` gates.
    """

    circuit: Circuit
    lines: tuple[Line, ...] = field(init=False)
    classes: tuple[tuple[Fault, ...], ...] = field(init=False)

    def __post_init__(self) -> None:
        if not self.circuit.inputs or not self.circuit.outputs:
            raise UserError("the circuit has no input or no output; expected at least one of each")
        self._net = lower(self.circuit).with_joined_inverters()
        self._outputs = [node for output in self._net.outputs for node in output]
        self._tables = np.array([gate[0] for gate in self._net.gates], np.int64)
        self._operands = np.array([gate[1:] for gate in self._net.gates], np.int64).reshape(-1, 3)
        self._is_output = np.zeros(self._nodes, np.uint8)
        self._is_output[self._outputs] = 1
        self.lines = tuple(self._find_lines())
        self.classes = tuple(self._find_classes())

    @property
    def gates(self) -> int:
        """The number of gates."""
        return len(self._net.gates)

    def input_values(self, vector: Array) -> dict[str, str]:
        """The bits of each input, as text with bit 0 last, of a vector (inputs,)."""
        return _by_port(self.circuit.inputs, vector)

    def output_values(self, bits: Array) -> dict[str, str]:
        """As :meth:`input_values`, of the bits of all outputs."""
        return _by_port(zip(self.circuit.output_names, self.circuit.output_types, strict=True), bits)

    @property
    def _nodes(self) -> int:
        return self._net.first_gate + self.gates

    def _pins(self) -> Iterator[Line]:
        """All pins of gates and outputs that read nodes."""
        for g, (_, *operands) in enumerate(self._net.gates):
            yield from (Line(node, g, pin) for pin, node in enumerate(operands) if node > 1)
        outputs = enumerate(self._outputs, start=self.gates)
        yield from (Line(node, place) for place, node in outputs if node > 1)

    def _find_lines(self) -> Iterator[Line]:
        readers = [0] * self._nodes
        for pin in self._pins():
            readers[pin.node] += 1
        yield from (Line(node) for node in range(2, self._nodes))
        yield from (pin for pin in self._pins() if readers[pin.node] > 1)

    def _find_classes(self) -> Iterator[tuple[Fault, ...]]:
        known = set(self.lines)
        same = {Fault(line, value): Fault(line, value) for line in self.lines for value in (0, 1)}

        def root(fault: Fault) -> Fault:
            while same[fault] != fault:
                same[fault] = fault = same[same[fault]]
            return fault

        for g, (table, *operands) in enumerate(self._net.gates):
            made = {value * 0xFF: Fault(Line(self._net.first_gate + g), value) for value in (0, 1)}
            for pin, node in enumerate(operands):
                if not node:
                    continue
                line = Line(node, g, pin)
                for value in (0, 1):
                    fault = Fault(line if line in known else Line(node), value)
                    other = made.setdefault(_with_stuck(table, pin, value), fault)
                    same[root(fault)] = root(other)
        found: dict[Fault, list[Fault]] = {}
        for fault in same:
            found.setdefault(root(fault), []).append(fault)
        yield from map(tuple, found.values())

    # -- names ---------------------------------------------------------------------------------------------------------

    def name(self, node: int) -> str:
        """The name of a node: that of the input bit, or of the first output bit that it is, or a number."""
        return self._names.get(node, f"{self._prefix}{node}")

    @cached_property
    def _names(self) -> dict[int, str]:
        found: dict[int, str] = {}
        for node, name in zip(self._outputs, self._output_bits, strict=True):
            if node >= self._net.first_gate:
                found.setdefault(node, name)
        return found | dict(enumerate(_bits(self.circuit.inputs), start=2))

    @cached_property
    def _output_bits(self) -> list[str]:
        return _bits(zip(self.circuit.output_names, self.circuit.output_types, strict=True))

    @cached_property
    def _prefix(self) -> str:
        """What comes before the numbers of nodes, so that no port has such a name."""
        prefix = "n"
        while any(
            re.fullmatch(rf"{prefix}\d+", name) for name in (*self.circuit.input_names, *self.circuit.output_names)
        ):
            prefix += "_"
        return prefix

    def gate(self, node: int) -> str:
        """Such as ``nand(a, n7)``; "" for an input."""
        if node < self._net.first_gate:
            return ""
        table, *operands = self._net.gates[node - self._net.first_gate]
        kind = _NAMES.get(table, f"table_{table:02x}")
        return f"{kind}({', '.join(self.name(i) for i in operands if i)})"

    def describe(self, fault: Fault) -> str:
        """Such as «a stuck at 0», and for a branch «a into n7 stuck at 0»."""
        node, gate, _ = fault.line
        into = ""
        if gate >= self.gates:
            into = f" into output {self._output_bits[gate - self.gates]}"
        elif gate >= 0:
            into = f" into {self.name(self._net.first_gate + gate)}"
        return f"{self.name(node)}{into} stuck at {fault.value}"

    # -- simulation ----------------------------------------------------------------------------------------------------

    def _simulate(self, vectors: Words) -> Words:
        """The values of all nodes for inputs packed by examples."""
        from rdahw.sim.fault_kernels import evaluate

        values = np.zeros((self._nodes, vectors.shape[1]), np.uint64)
        values[1] = ~np.uint64(0)
        values[2 : self._net.first_gate] = vectors
        evaluate(self._tables, self._operands, self._net.first_gate, values)
        return values

    def _detected(self, values: Words, lines: Sequence[tuple[Line, int]]) -> Words:
        """For which vectors an output changes, (lines, words); each line with what happens there."""
        from rdahw.sim.fault_kernels import detect

        faults = np.array([(*line, action) for line, action in lines], np.int64).reshape(-1, 4)
        found = np.empty((len(faults), values.shape[1]), np.uint64)
        wrong = np.empty_like(values)
        net = self._tables, self._operands, self._net.first_gate
        some = max(1, _OPERATIONS // (1 + self.gates * values.shape[1]))
        for at in range(0, len(faults), some):
            detect(*net, values, self._is_output, faults[at : at + some], wrong, found[at : at + some])
        return found

    def detects(self, vectors: Array, faults: Sequence[Fault]) -> NDArray[np.bool_]:
        """Which vectors (V, inputs) find which faults, (faults, V)."""
        values = self._simulate(pack_examples(vectors))
        return unpack_examples(self._detected(values, faults), len(vectors)).T.astype(bool)

    def sensitivities(
        self, *, nets: bool = False, seed: int = 0, progress: Callable[[int, int], object] | None = None
    ) -> list[Sensitivity]:
        """The sensitivity of each input bit, with ``nets`` of each gate too."""
        nodes = range(2, self._nodes if nets else self._net.first_gate)
        inputs = self._net.inputs
        operations = len(nodes) * (self.gates + 1) << max(0, inputs - 6)
        exact = inputs <= EXACT_INPUTS and operations <= _MAX_OPERATIONS
        count = 1 << inputs if exact else SAMPLES
        seen = dict.fromkeys(nodes, 0)
        at = 0
        while at < count:
            part = min(count - at, _BLOCK)
            values = self._simulate(_all(inputs, at, part) if exact else _random(inputs, part, seed, at))
            found = self._detected(values, [(Line(node), 2) for node in nodes])
            ones = unpack_examples(found, part).sum(axis=0, dtype=np.int64).tolist()
            seen = {node: seen[node] + ones[i] for i, node in enumerate(nodes)}
            at += part
            if progress is not None:
                progress(at, count)
        return [
            Sensitivity(self.name(node), self.gate(node), hits / count, *_interval(hits, count, exact), count, exact)
            for node, hits in seen.items()
        ]

    # -- tests ---------------------------------------------------------------------------------------------------------

    def tests(
        self,
        *,
        seed: int = 0,
        solver: Solver = "auto",
        timeout: float | None = None,
        toolchain: Toolchain = "yowasp",
        progress: Callable[[int, int, str], object] | None = None,
    ) -> Tests:
        """A small set of vectors that finds every fault that any vector finds, and a proof that none finds the others.

        Random vectors come first (all vectors, if there are few inputs), then those that found something with a few
        bits flipped; for the faults that they do not find a solver finds a vector or proves that there is none
        (:func:`rdahw.hdl.proof.prove`). Of these vectors a few are chosen greedily, and then each one is left out whose
        faults the others find.

        timeout: seconds for all questions to the solver (:data:`SECONDS`), of which one may take a tenth; the faults
        that are then left are undecided. progress: called with the number of classes decided, that of all, and what is
        done. Raises :class:`rdahw.MissingError` without the solver.
        """
        report = progress or (lambda done, of, what: None)
        every = [members[0] for members in self.classes]
        pool, rest = self._by_chance(every, seed, lambda left: report(len(every) - left, len(every), "trying vectors"))
        limit = SECONDS if timeout is None else timeout
        end = time.monotonic() + limit
        what = f"asking the solver about {plural(len(rest), 'fault')}, for up to {limit:,g} s"
        proofs: list[Proof] = []
        undetectable: list[Fault] = []
        undecided: list[Fault] = []
        groups = [rest[i : i + _GROUP] for i in range(0, len(rest), _GROUP)]

        def still_asking(*_: int) -> None:
            report(len(every) - len(undecided) - sum(map(len, groups)), len(every), what)

        while groups and (left := end - time.monotonic()) > 0:
            claim = self._no_test(groups[0])
            seconds = min(left, _PART * limit)
            (proof,) = prove(
                [claim], replay=run, solver=solver, timeout=seconds, toolchain=toolchain, progress=still_asking
            )
            proofs.append(proof)
            group = groups.pop(0)
            if proof.verdict == "proved":
                undetectable += group
            elif proof.verdict == "open":
                half = len(group) // 2
                groups += [group[:half], group[half:]] if half else []
                undecided += [] if half else group
            else:
                assert proof.counterexample is not None
                vector = np.array([int(bit) for bit in reversed(proof.counterexample["x"])], np.uint8)
                near = np.concatenate([vector[None], vector ^ np.eye(len(vector), dtype=np.uint8)])
                kept, rest = self._keep(near, [fault for each in [group, *groups] for fault in each])
                pool, open_ = np.concatenate([pool, kept]), {*rest}
                groups = [here for each in [group, *groups] if (here := [fault for fault in each if fault in open_])]
        undecided += [fault for group in groups for fault in group]
        others = {*undetectable, *undecided}
        detected = [fault for fault in every if fault not in others]
        vectors = pool[_cover(self.detects(pool, detected))]
        outputs = unpack_examples(self._simulate(pack_examples(vectors))[self._outputs], len(vectors))
        return Tests(vectors, outputs, tuple(detected), tuple(undetectable), tuple(undecided), tuple(proofs))

    def _keep(self, vectors: Array, faults: Sequence[Fault]) -> tuple[Array, list[Fault]]:
        """The first vectors that find each fault, and the faults that none finds."""
        found = self.detects(vectors, faults)
        hit = np.asarray(found.any(axis=1))
        rest = [fault for fault, is_hit in zip(faults, hit.tolist(), strict=True) if not is_hit]
        return vectors[np.unique(found[hit].argmax(axis=1))] if hit.any() else vectors[:0], rest

    def _by_chance(
        self, faults: Sequence[Fault], seed: int, report: Callable[[int], object]
    ) -> tuple[Array, list[Fault]]:
        """Vectors that find many of the faults, and the faults that they do not find."""
        inputs = self._net.inputs
        if inputs <= _FEW_INPUTS:
            vectors = unpack_examples(_all(inputs, 0, 1 << inputs), 1 << inputs)
            return vectors, self._keep(vectors, faults)[1]
        pool, rest = np.zeros((0, inputs), np.uint8), list(faults)
        for near in (False, True):
            idle = 0
            for block in range(_MOST_BLOCKS):
                if idle == _PATIENCE or not rest or (near and not len(pool)):
                    break
                vectors = unpack_examples(_random(inputs, _BLOCK, seed, block * _BLOCK), _BLOCK)
                if near:
                    vectors = _varied(pool, stream(seed, "variation", block), _BLOCK)
                kept, rest = self._keep(vectors, rest)
                pool, idle = np.concatenate([pool, kept]), 0 if len(kept) else idle + 1
                report(len(rest))
        return pool, rest

    def _no_test(self, faults: Sequence[Fault]) -> Claim:
        """The claim that no vector finds any of these faults: ``fault`` says which one is there, or none."""
        bits = max(1, (len(faults) - 1).bit_length())
        good, wrong = (self._as_circuit(chosen, bits) for chosen in ((), faults))
        statement = "no input shows any of these stuck-at faults at an output"
        symbols = f"f with each of {len(faults)} faults = f"
        sides = ("circuit", "with the fault")
        return Claim("undetectable", shape(self.circuit), statement, symbols, sides, good, wrong)

    def _as_circuit(self, faults: Sequence[Fault], bits: int) -> Circuit:
        """The netlist as a circuit (x, fault) ↦ y with fault number ``fault``."""
        builder = Builder()
        x = builder.input("x", Bits(self._net.inputs))
        chosen = builder.input("fault", Bits(bits)).decode()
        at: dict[Line, list[tuple[int, Wire]]] = {}
        for k, (line, value) in enumerate(faults):
            at.setdefault(line, []).append((value, chosen[k]))

        def forced(line: Line, wire: Wire) -> Wire:
            for value, is_there in at.get(line, ()):
                wire = wire ^ (is_there & (~wire if value else wire))
            return wire

        nodes = [x.const(0, 1), x.const(1, 1), *(forced(Line(2 + i), x[i]) for i in range(x.width))]
        for g, (table, *operands) in enumerate(self._net.gates):
            read = [forced(Line(node, g, pin), nodes[node]) for pin, node in enumerate(operands)]
            nodes.append(forced(Line(len(nodes)), _polynomial(table, read)))
        pins = enumerate(self._outputs, start=self.gates)
        return builder.finish({"y": x.concat(*(forced(Line(node, place), nodes[node]) for place, node in pins))})


def _with_stuck(table: int, pin: int, value: int) -> int:
    """The truth table of a gate whose input ``pin`` is stuck."""
    rows, step = (A, B, C)[pin], 1 << pin
    return table & rows | (table & rows) >> step if value else table & ~rows | (table & ~rows) << step


def _polynomial(table: int, operands: Sequence[Wire]) -> Wire:
    """A gate as the XOR of products of its inputs."""
    for variable, step in ((A, 1), (B, 2), (C, 4)):  # Möbius transform
        table ^= (table & ~variable) << step & 0xFF
    total = operands[0].const(table & 1, 1)
    for monomial in range(1, 8):
        if table >> monomial & 1:
            product = operands[0].const(1, 1)
            for i in range(3):
                product = product & operands[i] if monomial >> i & 1 else product
            total = total ^ product
    return total


def _bits(ports: Iterable[tuple[str, Type]]) -> list[str]:
    """The names of all bits of ports, in order."""
    return [name if type_.width == 1 else f"{name}[{i}]" for name, type_ in ports for i in range(type_.width)]


def _by_port(ports: Iterable[tuple[str, Type]], bits: Array) -> dict[str, str]:
    found, at = {}, 0
    for name, type_ in ports:
        found[name] = to_text(bits[at : at + type_.width])
        at += type_.width
    return found


def _all(inputs: int, first: int, count: int) -> Words:
    """The vectors with the numbers from ``first`` on, packed by examples."""
    numbers = np.arange(first, first + count, dtype=np.int64)
    return pack_examples((numbers[:, None] >> np.arange(inputs) & 1).astype(np.uint8))


def _random(inputs: int, count: int, seed: int, first: int) -> Words:
    """Random vectors, packed by examples; ``first`` is a number that tells these from others."""
    width = words_for(count)
    return words(stream(seed, "faults", first), inputs * width).reshape(inputs, width)


def _varied(vectors: Array, key: int, count: int) -> Array:
    """``count`` of these vectors, chosen at random, each with one to three random bits flipped."""
    numbers = words(key, 4 * count).reshape(4, count)
    rows = np.arange(count)
    varied: Array = vectors[numbers[0] % np.uint64(len(vectors))]
    for k in range(3):
        here = numbers[0] >> np.uint64(32) & np.uint64(3) >= np.uint64(k)
        varied[rows[here], (numbers[k + 1] % np.uint64(vectors.shape[1]))[here]] ^= 1
    return varied


def _interval(hits: int, count: int, exact: bool) -> tuple[float, float]:
    """Wilson's interval of a share."""
    share = hits / count
    if exact:
        return share, share
    middle, spread = share + _Z**2 / (2 * count), _Z * math.sqrt(share * (1 - share) / count + (_Z / (2 * count)) ** 2)
    scale = 1 + _Z**2 / count
    return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)


def _cover(found: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The numbers of few vectors that find all faults that the vectors find; found: (faults, vectors)."""
    chosen: list[int] = []
    rest = found[found.any(axis=1)]
    open_ = rest
    while len(open_):
        best = int(open_.sum(axis=0).argmax())
        chosen.append(best)
        open_ = open_[~open_[:, best]]
    times: NDArray[Any] = rest[:, chosen].sum(axis=1)
    for vector in reversed(chosen[:]):
        if (times[rest[:, vector]] > 1).all():
            times = times - rest[:, vector]
            chosen.remove(vector)
    return np.array(sorted(chosen), np.int64)
