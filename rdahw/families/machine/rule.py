"""The definition of a machine that learns: the plain, slow rule by which it predicts and learns.

A machine starts each sequence in state 0. At each step its tables give the bits of the next state and the label, at the
index of the state and the bit read. It learns by the **Boolean difference** of its tables over a sequence: for every
bit of the tables, how many labels of the sequence would be right, and are not, if that bit were the other one.

For each sequence with its labels:

1. E is the number of wrong labels, and E(p) that with bit p of the tables flipped.
2. The counter of each bit p moves by E − E(p) towards the other bit, so away from it where E(p) is larger; it
   saturates. All counters move at once. For comparison, with the rule ``xor`` every bit with E(p) < E is flipped at
   once instead; with ``climb`` P random bits, P being the number of bits, are flipped in turn, and each flip stays if
   fewer labels of the sequence are wrong with it: as many runs of the machine.
3. If E is 0, one more sequence in turn was right, else none. After :data:`rdahw.families.machine.spec.SETTLED` of them
   the machine is *settled*, and does not change any more.
4. If there were ``restart`` sequences since the start and fewer than 10 in turn were right, it starts again: the tables
   are the next random ones.

The formal reverse derivative by the tables would say something else: each table is read at every step, so the circuit
of a sequence is not safe (:mod:`rdahw.machine_derivative`). A batch is one sequence.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rdahw.data import label_sets, members_of_sets
from rdahw.families.machine.spec import SETTLED, MachineSpec, random_tables
from rdahw.primitives import Array
from rdahw.random import stream, words
from rdahw.state import State
from rdahw.training import Batches, Examples, Outcome

__all__ = ["ENOUGH", "MachineEngine", "PlainMachine", "climbed"]

#: With so many sequences in turn right, a machine does not start again.
ENOUGH = 10


class _Prepared(NamedTuple):
    """Sequences (N, steps) of bits and of labels, and the class numbers (N,) of the labels."""

    x: Array
    y: Array
    labels: NDArray[np.int64]


class MachineEngine(ABC):
    """An engine (:class:`rdahw.training.Engine`) that predicts and learns by the rule of this module."""

    name: str
    chunk: int | None

    def __init__(self, spec: MachineSpec) -> None:
        self.spec = spec
        self.state = spec.initial_state()

    @property
    def state(self) -> dict[str, NDArray[Any]]:
        """A copy of the state."""
        return {name: value.copy() for name, value in self._state.items()}

    @state.setter
    def state(self, value: State) -> None:
        self._state = {field.name: field.check(value[field.name]).copy() for field in self.spec.fields}
        self._counters, self._run = self._state["counters"], self._state["run"]

    @abstractmethod
    def learn(self, x: Array, y: Array) -> NDArray[np.int64]:
        """Learn from sequences x with labels y, (n, steps) each, in order, until it starts again; gives the class
        numbers of the labels before each update, of as many sequences as were read."""

    @abstractmethod
    def labels(self, x: Array) -> Array:
        """The labels (N, steps) of sequences (N, steps)."""

    def prepare(self, examples: Examples) -> _Prepared:
        """The sequences and their labels as bits."""
        return _Prepared(
            np.ascontiguousarray(examples.x, np.uint8),
            members_of_sets(examples.labels, self.spec.steps).astype(np.uint8),
            examples.labels,
        )

    def train(self, prepared: _Prepared, batches: Batches) -> Outcome:
        """Apply update after update."""
        rows = batches.rows[:1] if batches.until_change else batches.rows
        predicted = np.zeros(0, np.int64)
        while len(predicted) < len(rows):
            rest = rows[len(predicted) :]
            predicted = np.concatenate([predicted, self.learn(prepared.x[rest], prepared.y[rest])])
            self._start_again()
        wrong = (predicted != prepared.labels[rows]).astype(np.int64)
        return Outcome(wrong, wrong, predicted)

    def _start_again(self) -> None:
        """Step 4 of the rule."""
        right, since, restarts, read = map(int, self._run)
        if since >= self.spec.restart and right < ENOUGH:
            self._run[:] = 0, 0, restarts + 1, read
            self._restart()

    def _restart(self) -> None:
        """Take other tables."""
        self._counters[:] = random_tables(self.spec, int(self._run[2]))

    def class_scores(self, prepared: _Prepared) -> NDArray[np.int64]:
        """The class numbers (N, 1): there are too many classes for a score of each."""
        return self.predict(prepared)[:, None]

    def predict(self, prepared: _Prepared) -> NDArray[np.int64]:
        """The class numbers (N,)."""
        return label_sets(self.labels(prepared.x))


class PlainMachine(MachineEngine):
    """The rule in plain Python: slow, and the definition that every faster engine is tested against."""

    name = "reference"
    chunk = 16

    def learn(self, x: Array, y: Array) -> NDArray[np.int64]:
        low, high = -(1 << self.spec.counter - 1), (1 << self.spec.counter - 1) - 1
        predicted = []
        for sequence, labels in zip(x.tolist(), y.tolist(), strict=True):
            tables = [int(counter >= 0) for counter in self._counters]
            written = self._written(tables, sequence)
            predicted.append(sum(bit << t for t, bit in enumerate(written)))
            errors = _errors(written, labels)
            right, since, restarts, read = map(int, self._run)
            if right >= SETTLED:
                continue
            gains = partial(self._gain, sequence=sequence, labels=labels)
            if self.spec.rule == "climb":
                for p in climbed(self.spec, read)[0].tolist():
                    if gains(tables, p) > 0:
                        tables[p] = 1 - tables[p]
                        self._counters[p] = -1 - self._counters[p]
            else:
                for p, gain in enumerate([gains(tables, p) for p in range(len(tables))]):
                    counter = int(self._counters[p])
                    if self.spec.rule == "difference":
                        self._counters[p] = min(max(counter + (-gain if tables[p] else gain), low), high)
                    elif gain > 0:
                        self._counters[p] = -1 - counter
            right = 0 if errors else right + 1
            self._run[:] = right, since + 1, restarts, read + 1
            if since + 1 >= self.spec.restart and right < ENOUGH:
                break
        return np.array(predicted, np.int64)

    def _gain(self, tables: list[int], p: int, sequence: list[int], labels: list[int]) -> int:
        """How many labels become right, less those that become wrong, if bit p is flipped."""
        flipped = [*tables[:p], 1 - tables[p], *tables[p + 1 :]]
        return _errors(self._written(tables, sequence), labels) - _errors(self._written(flipped, sequence), labels)

    def _written(self, tables: list[int], sequence: list[int]) -> list[int]:
        states, size = self.spec.states, self.spec.size
        state, written = 0, []
        for bit in sequence:
            index = state | bit << states
            state = sum(tables[j * size + index] << j for j in range(states))
            written.append(tables[states * size + index])
        return written

    def labels(self, x: Array) -> Array:
        tables = [int(counter >= 0) for counter in self._counters]
        return np.array([self._written(tables, row) for row in x.tolist()], np.uint8).reshape(x.shape)


def climbed(spec: MachineSpec, read: int, sequences: int = 1) -> NDArray[np.int64]:
    """The bits (sequences, P) that the rule ``climb`` tries with each of so many sequences, when ``read`` were read
    before: for sequence i words i·P to i·P + P − 1 of ``stream(seed, "climb")``, modulo the number P of all bits."""
    count = (spec.states + 1) * spec.size
    drawn = words(stream(spec.seed, "climb"), sequences * count, read * count) % np.uint64(count)
    return drawn.astype(np.int64).reshape(sequences, count)


def _errors(written: list[int], labels: list[int]) -> int:
    return sum(a != b for a, b in zip(written, labels, strict=True))
