"""The engines of machines of tables: the rules of :mod:`rdahw.families.machine.rule` and
:mod:`rdahw.families.machine.shadow` compiled by numba, equal to them bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdahw.families.machine.rule import ENOUGH, MachineEngine, PlainMachine
from rdahw.families.machine.rule import climbed as climbed_bits
from rdahw.families.machine.shadow import WRAP, PlainShadows, ShadowEngine
from rdahw.families.machine.spec import RULES, SETTLED, MachineSpec, bits_of
from rdahw.primitives import Array
from rdahw.sim.machine import initial_state, run_machine
from rdahw.sim.machine_kernels import learn_sequences, learn_stream, run_sequences
from rdahw.sim.packed import Packed
from rdahw.sim.packing import Words, pack_examples, unpack_examples, unpack_wires, words_for
from rdahw.training import Examples

__all__ = ["CompiledMachine", "CompiledShadows", "MachinePredictor"]


class CompiledMachine(MachineEngine):
    """A machine run by compiled kernels."""

    name = "compiled"
    chunk = 1024

    def __init__(self, spec: MachineSpec) -> None:
        super().__init__(spec)
        self._cells = np.zeros(spec.size, np.int64)
        self._before = np.zeros((3, max(spec.steps, spec.size)), np.int64)

    def learn(self, x: NDArray[np.int16], y: NDArray[np.int16]) -> NDArray[np.int16]:
        spec, half = self.spec, 1 << self.spec.counter - 1
        written = np.zeros(x.shape, np.int16)
        climbed = np.zeros((0, 0), np.int64)
        if spec.rule == "climb":
            climbed = climbed_bits(spec, int(self._run[3]), len(x))
        read = learn_sequences(
            x,
            y,
            self._counters,
            self._run,
            self._cells,
            self._before,
            spec.states,
            -half,
            half - 1,
            spec.restart,
            SETTLED,
            ENOUGH,
            RULES.index(spec.rule),
            climbed,
            written,
        )
        return written[:read]

    def labels(self, x: NDArray[np.int16]) -> NDArray[np.int16]:
        written = np.zeros(x.shape, np.int16)
        cells = np.zeros(self.spec.size, np.int64)  # of its own, as threads may share the engine
        run_sequences(x, self._counters, cells, self.spec.states, written)
        return written


class CompiledShadows(ShadowEngine, CompiledMachine):
    """A machine with shadow machines run by compiled kernels."""

    def learn(self, x: NDArray[np.int16], y: NDArray[np.int16]) -> NDArray[np.int16]:
        spec = self.spec
        written, now = np.zeros(x.shape, np.int16), self._begin()
        read = learn_stream(
            x, y, self._counters, self._run, self._cells, now, spec.states, spec.level, spec.restart, SETTLED, ENOUGH,
            spec.live, WRAP, written
        )  # fmt: skip
        self._end(now)
        return written[:read]


class OwnMachine(PlainMachine):
    """A machine of the user's, run by the reference interpreter, all flips of its parameters at once."""

    engine = "reference"

    def _written(self, variants: list[list[int]], sequence: list[int]) -> list[list[int]]:
        steps = sum(symbol >= 0 for symbol in sequence)
        written = np.zeros((len(variants), len(sequence)), np.int64)
        if variants and steps:
            x = np.array(sequence[:steps], np.int64)
            written[:, :steps] = self._run_own(x, np.array(variants, np.uint8).reshape(len(variants), -1))
        found: list[list[int]] = written.tolist()
        return found

    def labels(self, x: NDArray[np.int16]) -> NDArray[np.int16]:
        # What follows the end of a sequence is read as 0, and does not count.
        there = x >= 0
        written = self._run_own(np.where(there, x, 0).astype(np.int64), bits_of(self._counters))
        return np.where(there, written, 0).astype(np.int16)

    def _run_own(self, x: NDArray[np.int64], bits: Array) -> NDArray[np.int64]:
        """What machines with parameters (…, P) write at each step of symbols (…, steps), as numbers (…, steps)."""
        machine = self.spec.own
        assert machine is not None
        wires = (x[..., None] >> np.arange(self.spec.symbol) & 1).astype(np.uint8)
        parameters = _parts(bits, [port.type.width for port in machine.parameter_ports])
        sequences = _parts(wires, [port.type.width for port in machine.inputs])
        outputs = run_machine(machine, *sequences, parameters=parameters, engine=self.engine).outputs
        labels: NDArray[np.int64] = np.concatenate(outputs, axis=-1).astype(np.int64) @ (
            1 << np.arange(self.spec.label)
        )
        return labels


def _parts(bits: Array, widths: list[int]) -> list[Array]:
    """The bits of each port, (…, width)."""
    return np.split(bits, np.cumsum(widths)[:-1], axis=-1) if widths else []


class PackedOwnMachine(OwnMachine):
    """A machine of the user's, with 64 flips of its parameters in a word."""

    name = "compiled"
    chunk = 64
    engine = "packed"

    def __init__(self, spec: MachineSpec) -> None:
        super().__init__(spec)
        assert spec.own is not None
        machine = spec.own
        self._step = Packed(machine.step)
        self._first = [_same(bits) for bits in initial_state(machine)]
        self._parameter_widths, self._symbol_widths = (
            [port.type.width for port in ports] for ports in (machine.parameter_ports, machine.inputs)
        )

    def _written(self, variants: list[list[int]], sequence: list[int]) -> list[list[int]]:
        count, words, label = len(variants), words_for(len(variants)), self.spec.label
        bits = np.array(variants, np.uint8).reshape(count, self.spec.count)
        theta = [pack_examples(np.ascontiguousarray(part)) for part in _parts(bits, self._parameter_widths)]
        now, found = self._first, list[Words]()
        for symbol in sequence:
            if symbol < 0:
                break
            read = _parts(np.array(symbol >> np.arange(self.spec.symbol) & 1, np.uint8), self._symbol_widths)
            results = self._step.run(*theta, *now, *map(_same, read), words=words)
            now = list(results[: len(now)])
            found.append(np.concatenate(results[len(now) :]))
        written = np.zeros((count, len(sequence)), np.int64)
        if found:
            labels = unpack_examples(np.concatenate(found), count).reshape(count, len(found), label)
            written[:, : len(found)] = labels @ (1 << np.arange(label))
        told: list[list[int]] = written.tolist()
        return told


def _same(bits: Array) -> Words:
    """Bits (width,) as words in which all examples have them, (width, 1)."""
    return (-bits.astype(np.int64)).view(np.uint64)[:, None]


class MachinePredictor:
    """Predicts by an engine; a :class:`rdahw.sim.engines.Predictor`."""

    def __init__(self, engine: MachineEngine) -> None:
        self._engine = engine

    def scores(self, words: Words) -> NDArray[Any]:
        """The class numbers (N, 1)."""
        return self._numbers(unpack_wires(words, self._engine.spec.input_bits))[:, None]

    def class_of(self, bits: Array) -> int:
        """The class number of one sequence (A,)."""
        return int(self._numbers(bits[None])[0])

    def _numbers(self, x: Array) -> NDArray[Any]:
        return self._engine.predict(self._engine.prepare(Examples(x, np.zeros(len(x), np.int64))))


#: The plain and the compiled engine of each road of :attr:`rdahw.families.machine.spec.MachineSpec.road`.
_ENGINES: dict[str, tuple[type[MachineEngine], type[MachineEngine]]] = {
    "tables": (PlainMachine, CompiledMachine),
    "shadow": (PlainShadows, CompiledShadows),
    "own": (OwnMachine, PackedOwnMachine),
}


def warm_up() -> None:
    """Compile all kernels, or load them from the cache of an earlier run."""
    x = np.zeros((1, 1), np.int16)
    for rule in ("difference", "shadow"):
        engine = _engine(MachineSpec(steps=1, states=1, rule=rule), 1)
        engine.learn(x, x)
        engine.labels(x)


def compiled(spec: MachineSpec, threads: int) -> MachineEngine:
    """The compiled engine. Its kernels are compiled here, so that training times do not include it."""
    warm_up()
    return _engine(spec, 1)


def reference(spec: MachineSpec, threads: int) -> MachineEngine:
    """The plain rule."""
    return _engine(spec, 0)


def _engine(spec: MachineSpec, number: int) -> MachineEngine:
    return _ENGINES[spec.road][number](spec)
