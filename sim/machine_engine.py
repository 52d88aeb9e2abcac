"""The engines of machines of tables: the rules of :mod:`rdahw.families.machine.rule` and
:mod:`rdahw.families.machine.shadow` compiled by numba, equal to them bit for bit."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rdahw.data import label_sets
from rdahw.families.machine.rule import ENOUGH, MachineEngine, PlainMachine
from rdahw.families.machine.rule import climbed as climbed_bits
from rdahw.families.machine.shadow import WRAP, PlainShadows, ShadowEngine
from rdahw.families.machine.spec import RULES, SETTLED, MachineSpec
from rdahw.primitives import Array
from rdahw.sim.machine_kernels import learn_sequences, learn_stream, run_sequences
from rdahw.sim.packing import Words, unpack_wires

__all__ = ["CompiledMachine", "CompiledShadows", "MachinePredictor"]


class CompiledMachine(MachineEngine):
    """A machine run by compiled kernels."""

    name = "compiled"
    chunk = 1024

    def __init__(self, spec: MachineSpec) -> None:
        super().__init__(spec)
        self._cells = np.zeros(spec.size, np.int64)
        self._before = np.zeros((3, max(spec.steps, spec.size)), np.int64)

    def learn(self, x: Array, y: Array) -> NDArray[np.int64]:
        spec, half = self.spec, 1 << self.spec.counter - 1
        predicted = np.zeros(len(x), np.int64)
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
            predicted,
        )
        return predicted[:read]

    def labels(self, x: Array) -> Array:
        written = np.zeros(x.shape, np.uint8)
        run_sequences(x, self._counters, self._cells, self.spec.states, written)
        return written


class CompiledShadows(ShadowEngine, CompiledMachine):
    """A machine with shadow machines run by compiled kernels."""

    def learn(self, x: Array, y: Array) -> NDArray[np.int64]:
        spec = self.spec
        predicted, now = np.zeros(len(x), np.int64), self._begin()
        read = learn_stream(
            x, y, self._counters, self._run, self._cells, now, spec.states, spec.level, spec.restart, SETTLED, ENOUGH,
            spec.live, WRAP, predicted
        )  # fmt: skip
        self._end(now)
        return predicted[:read]


class MachinePredictor:
    """Predicts by the tables of an engine; a :class:`rdahw.sim.engines.Predictor`."""

    def __init__(self, engine: CompiledMachine) -> None:
        self._engine = engine

    def scores(self, words: Words) -> NDArray[np.int64]:
        """The class numbers (N, 1)."""
        return self._numbers(unpack_wires(words, self._engine.spec.steps))[:, None]

    def class_of(self, bits: Array) -> int:
        """The class number of one sequence (steps,)."""
        return int(self._numbers(bits[None])[0])

    def _numbers(self, x: Array) -> NDArray[np.int64]:
        spec, written = self._engine.spec, np.zeros(x.shape, np.uint8)
        cells = np.zeros(spec.size, np.int64)  # of its own, as threads may share the engine
        run_sequences(np.ascontiguousarray(x, np.uint8), self._engine._counters, cells, spec.states, written)
        return label_sets(written)


#: The plain and the compiled engine, for each rule that has its own.
_ENGINES: dict[str, tuple[type[PlainMachine], type[CompiledMachine]]] = {"shadow": (PlainShadows, CompiledShadows)}


def warm_up() -> None:
    """Compile all kernels, or load them from the cache of an earlier run."""
    x = np.zeros((1, 1), np.uint8)
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
    return _ENGINES.get(spec.rule, (PlainMachine, CompiledMachine))[number](spec)
