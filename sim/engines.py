"""Engines: what runs a model for :class:`rdahw.training.Training`, chosen by name and family."""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rdahw.bits import BitRows
from rdahw.data import decode, encode
from rdahw.errors import UsageError
from rdahw.family import Spec
from rdahw.jobs import Jobs
from rdahw.learner import Learner
from rdahw.primitives import Array
from rdahw.sim.packing import Words, unpack_wires
from rdahw.sim.reference import Reference
from rdahw.state import State
from rdahw.training import Batches, Engine, Examples, Outcome
from rdahw.word_primitives import sum_of_counts

__all__ = [
    "CircuitEngine",
    "EnginePredictor",
    "EngineRow",
    "Predictor",
    "ReferenceEngine",
    "Runner",
    "SoftwareEngine",
    "engine_module",
    "find_engine",
    "in_shards",
    "make_engine",
    "make_predictor",
    "predict",
    "predicting_row",
    "seems_compiled",
]

#: The most bits of requests in memory at once; larger batches are summed part by part.
_PART = 1 << 24
#: So many examples are predicted at once.
_PREDICTED = 1 << 16
#: Up to this product of examples and parameter bits, predictions are made without a compiled engine.
_MOST_BY_REFERENCE = 1 << 28


@dataclass(frozen=True, slots=True)
class EngineRow:
    """An engine for the models of a family; family ``""``: for every family without rows of its own.

    make: ``module:function``, loaded on use; it takes the spec and the number of threads.
    is_compiled: its first use takes seconds; see :func:`rdahw.sim.jit.on_compile`.
    predictor: ``module:function``, which makes a :class:`Predictor` of the engine.
    sharded: ``module:function``, which makes an engine that learns in shards of the spec, the engine, the number of
    shards, and the :class:`rdahw.jobs.Jobs` that run them, or None.
    """

    name: str
    family: str
    make: str
    is_compiled: bool = False
    predictor: str = "rdahw.sim.engines:EnginePredictor"
    sharded: str = "rdahw.sim.shards:ShardedEngine"


class SoftwareEngine(Engine, Protocol):
    """An engine of this package."""

    def class_scores(self, prepared: Any) -> NDArray[Any]:
        """A score (N, classes) for each class of each example; the prediction is the first of the largest."""


class Predictor(Protocol):
    """Predicts with the present state of an engine; may be used by several threads while that does not change."""

    def scores(self, words: Words) -> NDArray[Any]:
        """As :meth:`SoftwareEngine.class_scores`, of examples packed by wires."""

    def class_of(self, bits: Array) -> int:
        """The class of one example (A,), 0 and 1: the first of the largest scores."""


class Runner(Protocol):
    """Runs a learner on bits: arrays of 0 and 1, (examples, wires), wire 0 first."""

    learner: Learner

    @property
    def parameters(self) -> Array:
        """A copy of the parameters, (P,)."""

    @parameters.setter
    def parameters(self, value: Array) -> None: ...

    def prepare(self, x: BitRows, y: Array) -> Any:
        """Inputs (N, A) and labels (N, B) in the form that the two methods below take."""

    def train_many(
        self, prepared: Any, rows: NDArray[np.int64], ends: NDArray[np.int64], *, until_change: bool = False
    ) -> NDArray[np.int64]:
        """Apply update after update; update u is the batch ``rows[ends[u - 1] : ends[u]]``. Returns for each update how
        many of its examples were predicted wrongly before it. With ``until_change`` it stops after the first update
        that may have changed the parameters."""

    def outputs(self, prepared: Any) -> Array:
        """The predictions (N, B) with the current parameters."""


class CircuitEngine:
    """An engine that runs the learner of ``spec``, whose state is the learner's parameters, by a :class:`Runner`."""

    chunk: int | None = None

    def __init__(self, spec: Spec, name: str, runner: Runner) -> None:
        self.spec, self.name, self.runner = spec, name, runner

    @property
    def state(self) -> dict[str, NDArray[Any]]:
        """A copy of the state."""
        return {self.spec.parameters.name: self.runner.parameters}

    @state.setter
    def state(self, value: State) -> None:
        self.runner.parameters = self.spec.parameters.check(value[self.spec.parameters.name])

    def prepare(self, examples: Examples) -> Any:
        """The examples as the runner takes them, labels as bits."""
        return self.runner.prepare(examples.x, encode(examples.labels, self.spec.classes, self.spec.code))

    def train(self, prepared: Any, batches: Batches) -> Outcome:
        """Apply update after update."""
        until = batches.until_change
        return Outcome(self.runner.train_many(prepared, batches.rows, batches.ends, until_change=until))

    def predict(self, prepared: Any) -> NDArray[np.int64]:
        """The classes (N,), -1 for none."""
        return decode(self.runner.outputs(prepared), self.spec.classes, self.spec.code)

    def class_scores(self, prepared: Any) -> NDArray[np.int64]:
        """1 for the predicted class and 0 for the others; all 0 if the outputs are not the code of a class."""
        scores: NDArray[np.int64] = (self.predict(prepared)[:, None] == np.arange(self.spec.classes)).astype(np.int64)
        return scores


class EnginePredictor:
    """Predicts by any engine; a :class:`Predictor`."""

    def __init__(self, engine: SoftwareEngine) -> None:
        self._engine = engine
        self._lock = Lock()  # not every engine may be used by several threads

    def scores(self, words: Words) -> NDArray[Any]:
        """See :meth:`Predictor.scores`."""
        return self._scores(unpack_wires(words, self._engine.spec.input_bits))

    def class_of(self, bits: Array) -> int:
        """See :meth:`Predictor.class_of`."""
        return int(self._scores(bits[None]).argmax())

    def _scores(self, x: Array) -> NDArray[Any]:
        with self._lock:
            return self._engine.class_scores(self._engine.prepare(Examples(x, np.zeros(len(x), np.int64))))


class ReferenceEngine:
    """A learner run by the reference interpreter; a :class:`Runner`."""

    def __init__(self, learner: Learner) -> None:
        self.learner = learner
        self._request = Reference(learner.request)
        self._update = Reference(learner.update)
        self._model = Reference(learner.model.predictor)
        self._parameters: Array = np.zeros(learner.model.parameter_bits, np.uint8)
        self._part = max(1, _PART // learner.model.parameter_bits)

    @property
    def parameters(self) -> Array:
        """A copy of the parameters, (P,)."""
        return self._parameters.copy()

    @parameters.setter
    def parameters(self, value: Array) -> None:
        self._parameters = np.array(value, np.uint8)

    def train(self, x: Array, y: Array) -> Array:
        """Apply one batch; returns the predictions (N, B) before the update."""
        self.learner.check_batch(len(x))
        counts, outputs = np.zeros(len(self._parameters), np.int64), []
        for start in range(0, len(x), self._part):
            part = slice(start, start + self._part)
            requests, output = (_for_each(bits, x[part]) for bits in self._request(self._parameters, x[part], y[part]))
            outputs.append(output)
            counts += requests.sum(axis=0, dtype=np.int64)
        total = sum_of_counts(self.learner.model.circuit.input_types[0], counts)
        (self._parameters,) = self._update(self._parameters, total)
        return np.concatenate(outputs)

    def predict(self, x: Array) -> Array:
        """The predictions (N, B) with the current parameters."""
        return _for_each(self._model(self._parameters, x)[0], x)

    def prepare(self, x: BitRows, y: Array) -> tuple[Array, Array]:
        """The examples, unpacked."""
        return np.asarray(x), y

    def train_many(
        self,
        prepared: tuple[Array, Array],
        rows: NDArray[np.int64],
        ends: NDArray[np.int64],
        *,
        until_change: bool = False,
    ) -> NDArray[np.int64]:
        """See :meth:`Runner.train_many`."""
        (x, y), wrong, start = prepared, [], 0
        for end in ends.tolist():
            batch, start = rows[start:end], end
            before = self._parameters
            outputs = self.train(x[batch], y[batch])
            wrong.append(int((outputs != y[batch]).any(axis=1).sum()))
            if until_change and (before != self._parameters).any():
                break
        return np.array(wrong, np.int64)

    def outputs(self, prepared: tuple[Array, Array]) -> Array:
        """See :meth:`Runner.outputs`."""
        return self.predict(prepared[0])


def _for_each(bits: Array, x: Array) -> Array:
    """``bits`` as (examples, wires), even if they do not depend on the example."""
    return np.broadcast_to(bits, (len(x), bits.shape[-1]))


def reference(spec: Spec, threads: int) -> SoftwareEngine:
    """The learner of ``spec`` by the reference interpreter."""
    return CircuitEngine(spec, "reference", ReferenceEngine(spec.learner()))


def packed(spec: Spec, threads: int) -> SoftwareEngine:
    """The learner of ``spec`` by the packed engine."""
    from rdahw.sim.packed_engine import PackedEngine

    return CircuitEngine(spec, "packed", PackedEngine(spec.learner(), threads=threads))


def _rows(family: str) -> Sequence[EngineRow]:
    from rdahw.sim.engine_rows import ROWS

    return [row for row in ROWS if row.family == family] or [row for row in ROWS if not row.family]


def engine_module(family: str, name: str | None = None) -> str:
    """The module of the engine of this name (default: the usual one) for a family's models; empty if there is none."""
    return next((row.make.partition(":")[0] for row in _rows(family) if name in (None, row.name)), "")


def seems_compiled(module: str) -> bool:
    """Whether compiled kernels lie beside this module, found without loading it, which takes half a second."""
    found = importlib.util.find_spec(module)
    if found is None or found.origin is None:
        return False
    path = Path(found.origin)
    return any(path.parent.joinpath("__pycache__").glob(f"{path.stem}*.nbi"))


def find_engine(spec: Spec, name: str | None = None) -> EngineRow:
    """The row of this engine (default: the first) for ``spec``; raises :class:`UsageError` if there is none."""
    rows = _rows(spec.family)
    row = next((row for row in rows if name in (None, row.name)), None)
    if row is None:
        known = " or ".join(row.name for row in rows)
        raise UsageError(f"engine {name!r} does not run model {spec.name!r}; use {known}")
    return row


def make_engine(spec: Spec, name: str | None = None, *, threads: int = 1) -> SoftwareEngine:
    """The engine of this name (default: the usual one) for ``spec``; raises as :func:`find_engine`."""
    row = find_engine(spec, name)
    engine: SoftwareEngine = _loaded(row.make)(spec, threads)
    return engine


def _loaded(name: str) -> Callable[..., Any]:
    """What is called ``module:function``."""
    module, _, function = name.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), function)
    return found


def make_predictor(engine: SoftwareEngine) -> Predictor:
    """The predictor that goes with ``engine``."""
    predictor: Predictor = _loaded(find_engine(engine.spec, engine.name).predictor)(engine)
    return predictor


def in_shards(engine: SoftwareEngine, shards: int, jobs: Jobs | None = None) -> SoftwareEngine:
    """An engine like ``engine`` that learns in so many ``shards``, where ``jobs`` run; by default in this process.

    Raises :class:`UsageError` for a model that does not, and for a number of shards that cannot be.
    """
    sharded: SoftwareEngine = _loaded(find_engine(engine.spec, engine.name).sharded)(engine.spec, engine, shards, jobs)
    return sharded


def predicting_row(spec: Spec, examples: int) -> EngineRow:
    """The engine to predict with: a compiled one for many examples, else the usual one."""
    rows = _rows(spec.family)
    many = examples * spec.parameters.bits > _MOST_BY_REFERENCE
    return next((row for row in rows if many and row.is_compiled), rows[0])


def predict(
    spec: Spec, state: State, x: BitRows, progress: Callable[[int, int], object] | None = None
) -> NDArray[np.int64]:
    """The classes (N,) of the examples x (N, A) with ``state``, -1 for outputs that are not the code of a class; uses
    all cores. ``progress`` is called with (examples done, examples in all)."""
    classes = (engine.predict(engine.prepare(part)) for engine, part in _parts(spec, state, x, progress))
    return np.concatenate([np.empty(0, np.int64), *classes])


def class_scores(
    spec: Spec, state: State, x: BitRows, progress: Callable[[int, int], object] | None = None
) -> Iterator[NDArray[Any]]:
    """The scores of some examples after others, as :meth:`SoftwareEngine.class_scores`; see :func:`predict`."""
    for engine, part in _parts(spec, state, x, progress):
        yield engine.class_scores(engine.prepare(part))


def _parts(
    spec: Spec, state: State, x: BitRows, progress: Callable[[int, int], object] | None
) -> Iterator[tuple[SoftwareEngine, Examples]]:
    """An engine with ``state``, and the examples in parts, as the scores of all classes may be large."""
    engine = make_engine(spec, predicting_row(spec, len(x)).name, threads=os.cpu_count() or 1)
    engine.state = state
    examples = Examples(x, np.zeros(len(x), np.int64))
    for start in range(0, len(x), _PREDICTED):
        part = examples.take(slice(start, start + _PREDICTED))
        yield engine, part
        if progress is not None:
            progress(start + len(part), len(x))
