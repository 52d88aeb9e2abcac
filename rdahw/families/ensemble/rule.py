"""The definition of an ensemble of lookup tables: the plain, slow rule by which it predicts and learns.

An **ensemble** is N tables of n inputs. Table j reads n chosen bits of the input as a number, its *index* (input i of
the table is bit i), and holds a *counter* of k bits for each index and class: a signed number that saturates.

    score(c) = sum over the tables j of counter[j, index_j, c]        prediction = the largest score, lowest c on a tie

This is linear in the counters over the integers, so its reverse derivative is exact: the cotangent of the scores goes
to the addressed counters only. The loss is the *margin* rule, the optimiser the saturating counter:

    rival = the largest score of all classes but the target, lowest number on a tie
    if score(target) - score(rival) <= margin:              also for a correct prediction
        each addressed counter of the target goes up by one, each of the rival down by one; they saturate at k bits

With ``sign`` the scores count each counter as one bit, 1 if it is not negative. Then the model is a Boolean circuit,
and the update of the counters is a *surrogate*, not a derivative.

**Dropout**: in training, tables are dropped at random for each example. A dropped table is left out of the example's
scores and of its update. Predictions use all tables.

**Forgetting**: with ``forget`` N all counters are halved, rounded towards zero, after every N examples (before the
prediction of the next one), so that old examples lose their weight when the concept changes.

A batch is one example: each update is applied before the next example.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rdahw.bits import BitRows
from rdahw.data.images import shift_images
from rdahw.families.ensemble.spec import (
    EnsembleSpec,
    draw_shifts,
    first_dropout_state,
    make_wiring,
    register_bits,
    register_number,
)
from rdahw.primitives import Array
from rdahw.state import State
from rdahw.training import Batches, Examples, Outcome

__all__ = ["Counters", "EnsembleEngine", "Learned", "PlainEnsemble"]

Counters = NDArray[np.int8]


class Learned(NamedTuple):
    """The predictions before each update, (n,), and whether the counters were updated, (n,)."""

    predictions: NDArray[np.int16]
    updated: NDArray[np.bool_]


class _Prepared(NamedTuple):
    """Packed examples and their labels."""

    x: Any
    labels: NDArray[np.int64]


class EnsembleEngine(ABC):
    """An engine (:class:`rdahw.training.Engine`) that predicts and learns by the rule of this module."""

    name: str
    chunk: int | None
    spec: EnsembleSpec
    #: The shift register of the dropout, 63 bits.
    dropout_state: int
    #: With ``forget``, the examples since the counters were last halved.
    age: int = 0

    @property
    @abstractmethod
    def counters(self) -> Counters:
        """A copy of the counters, (tables, 2^inputs, classes)."""

    @counters.setter
    @abstractmethod
    def counters(self, value: Counters) -> None: ...

    @abstractmethod
    def pack(self, x: BitRows) -> Any:
        """Examples x (N, A) of 0 and 1 in this engine's own representation."""

    @abstractmethod
    def learn(
        self, x: Any, labels: NDArray[np.int64], rows: NDArray[np.int64], shifts: NDArray[np.int64] | None = None
    ) -> Learned:
        """Learn from the examples ``rows`` (n,) of the packed ``x`` and ``labels`` (N,), one by one, each image moved
        by ``shifts`` (n, 2)."""

    @abstractmethod
    def scores(self, x: Any) -> NDArray[np.int32]:
        """The scores (N, classes) of packed examples: with ``sign``, the numbers of set bits."""

    def classify(self, x: Any) -> NDArray[np.int16]:
        """The classes (N,) of packed examples."""
        return np.asarray(self.scores(x).argmax(axis=-1), np.int16)

    # -- rdahw.training.Engine -----------------------------------------------------------------------------------------

    @property
    def state(self) -> dict[str, NDArray[Any]]:
        age = {"age": np.array([self.age])} if self.spec.forget else {}
        return {"counters": self.counters, "dropout": register_bits(self.dropout_state), **age}

    @state.setter
    def state(self, value: State) -> None:
        self.counters = value["counters"]
        self.dropout_state = register_number(value["dropout"])
        self.age = int(value["age"][0]) if self.spec.forget else 0

    def prepare(self, examples: Examples) -> _Prepared:
        return _Prepared(self.pack(examples.x), examples.labels)

    def train(self, prepared: _Prepared, batches: Batches) -> Outcome:
        spec, (x, labels) = self.spec, prepared
        rows = batches.rows[:1] if batches.until_change else batches.rows
        shifts = draw_shifts(spec, batches.epoch, len(labels))[rows] if spec.shift else None
        predictions, updated = self.learn(x, labels, rows, shifts)
        wrong = (predictions != labels[rows]).astype(np.int64)
        return Outcome(wrong, updated.astype(np.int64), predictions.astype(np.int64))

    def predict(self, prepared: _Prepared) -> NDArray[np.int64]:
        return self.classify(prepared.x).astype(np.int64)

    def class_scores(self, prepared: _Prepared) -> NDArray[np.int32]:
        """The scores (N, classes)."""
        return self.scores(prepared.x)


class PlainEnsemble(EnsembleEngine):
    """The rule in plain Python: slow, and the definition that every faster engine is tested against."""

    name = "reference"
    chunk = 16

    def __init__(self, spec: EnsembleSpec) -> None:
        self.spec = spec
        self.wiring = make_wiring(spec)
        self._counters: Counters = np.zeros(spec.counters_shape, np.int8)
        self.dropout_state = first_dropout_state(spec.seed)

    @property
    def counters(self) -> Counters:
        return self._counters.copy()

    @counters.setter
    def counters(self, value: Counters) -> None:
        self._counters = self.spec.parameters.check(value).copy()

    def pack(self, x: BitRows) -> Array:
        return np.asarray(x, np.uint8)

    def learn(
        self, x: Array, labels: NDArray[np.int64], rows: NDArray[np.int64], shifts: NDArray[np.int64] | None = None
    ) -> Learned:
        low, high = self.spec.counter_range
        predictions, updated = [], []
        for i, row in enumerate(rows):
            example, target = x[row], int(labels[row])
            if shifts is not None:
                assert self.spec.image is not None
                example = shift_images(example, self.spec.image, *map(int, shifts[i]))
            if self.spec.forget:
                if self.age == self.spec.forget:
                    halved = [int(counter / 2) for counter in self._counters.flat]
                    self._counters, self.age = np.array(halved, np.int8).reshape(self._counters.shape), 0
                self.age += 1
            kept = [j for j in range(self.spec.tables) if not self._dropped()]
            addressed = [(j, self._index(j, example)) for j in kept]
            scores = [sum(self._value(j, index, c) for j, index in addressed) for c in range(self.spec.classes)]
            rival = max((c for c in range(self.spec.classes) if c != target), key=lambda c: scores[c])
            predictions.append(scores.index(max(scores)))
            updated.append(scores[target] - scores[rival] <= self.spec.margin)
            if updated[-1]:
                for j, index in addressed:
                    self._counters[j, index, target] = min(int(self._counters[j, index, target]) + 1, high)
                    self._counters[j, index, rival] = max(int(self._counters[j, index, rival]) - 1, low)
        return Learned(np.array(predictions, np.int16), np.array(updated, np.bool_))

    def scores(self, x: Array) -> NDArray[np.int32]:
        tables, classes = range(self.spec.tables), range(self.spec.classes)
        rows = [[sum(self._value(j, self._index(j, e), c) for j in tables) for c in classes] for e in x]
        return np.array(rows, np.int32).reshape(len(x), self.spec.classes)

    def _index(self, table: int, example: Array) -> int:
        return sum(int(example[wire]) << i for i, wire in enumerate(self.wiring[table]))

    def _value(self, table: int, index: int, label: int) -> int:
        counter = int(self._counters[table, index, label])
        return int(counter >= 0) if self.spec.sign else counter

    def _dropped(self) -> bool:
        bits, below = self.spec.dropout_rule
        number = 0
        for i in range(bits):
            new = (self.dropout_state ^ self.dropout_state >> 31) & 1
            self.dropout_state = self.dropout_state >> 1 | new << 62
            number |= new << i
        return number < below
