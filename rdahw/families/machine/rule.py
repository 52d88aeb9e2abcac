"""The definition of a machine that learns: the plain, slow rule by which it predicts and learns.

A machine starts each sequence in state 0. At each step its tables give the bits of the next state and of the label, at
the index of the state and the symbol read. It learns by the **Boolean difference** of its tables over a sequence: for
every bit of the tables, how many labels of the sequence would be right, and are not, if that bit were the other one.
Where only the last step has a label, only that one is right or wrong. A machine of the user's starts in its own first
state, and the bits of its parameters take the place of those of the tables.

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
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rdahw.families.machine.spec import SETTLED, MachineSpec, random_tables
from rdahw.random import stream, words
from rdahw.state import State
from rdahw.training import Batches, Examples, Outcome

__all__ = ["ENOUGH", "MachineEngine", "PlainMachine", "climbed"]

#: With so many sequences in turn right, a machine does not start again.
ENOUGH = 10


class _Prepared(NamedTuple):
    """Symbols (N, steps), -1 after the end of a sequence; labels (N, steps), -1 where there is none; and the class
    numbers (N,) of the labels."""

    x: NDArray[np.int16]
    y: NDArray[np.int16]
    labels: NDArray[Any]


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
    def learn(self, x: NDArray[np.int16], y: NDArray[np.int16]) -> NDArray[np.int16]:
        """Learn from sequences x with labels y, (n, steps) each, in order, until it starts again; gives what was
        written at each step before each update, of as many sequences as were read."""

    @abstractmethod
    def labels(self, x: NDArray[np.int16]) -> NDArray[np.int16]:
        """What is written at each step of sequences (N, steps)."""

    def prepare(self, examples: Examples) -> _Prepared:
        """The sequences and their labels as numbers."""
        shape = self.spec.shape
        x = shape.symbols(np.asarray(examples.x, np.uint8))
        return _Prepared(x, shape.at_steps(examples.labels, x), examples.labels)

    def train(self, prepared: _Prepared, batches: Batches) -> Outcome:
        """Apply update after update."""
        rows = batches.rows[:1] if batches.until_change else batches.rows
        written = np.zeros((0, self.spec.steps), np.int16)
        while len(written) < len(rows):
            rest = rows[len(written) :]
            written = np.concatenate([written, self.learn(prepared.x[rest], prepared.y[rest])])
            self._start_again()
        predicted = self.spec.shape.of_steps(written, prepared.x[rows])
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

    def class_scores(self, prepared: _Prepared) -> NDArray[Any]:
        """The class numbers (N, 1): there are too many classes for a score of each."""
        return self.predict(prepared)[:, None]

    def predict(self, prepared: _Prepared) -> NDArray[Any]:
        """The class numbers (N,)."""
        return self.spec.shape.of_steps(self.labels(prepared.x), prepared.x)


class PlainMachine(MachineEngine):
    """The rule in plain Python: slow, and the definition that every faster engine is tested against."""

    name = "reference"
    chunk = 16

    def learn(self, x: NDArray[np.int16], y: NDArray[np.int16]) -> NDArray[np.int16]:
        if self._run[0] >= SETTLED:
            return self.labels(x)
        low, high = -(1 << self.spec.counter - 1), (1 << self.spec.counter - 1) - 1
        found = []
        for sequence, labels in zip(x.tolist(), y.tolist(), strict=True):
            tables = [int(counter >= 0) for counter in self._counters]
            (written,) = self._written([tables], sequence)
            found.append(written)
            errors = _errors(written, labels)
            right, since, restarts, read = map(int, self._run)
            if right >= SETTLED:
                continue
            if self.spec.rule == "climb":
                self._climb(tables, errors, sequence, labels)
            else:
                flipped = [_flipped(tables, p) for p in range(len(tables))]
                for p, its in enumerate(self._written(flipped, sequence)):
                    counter, gain = int(self._counters[p]), errors - _errors(its, labels)
                    if self.spec.rule == "difference":
                        self._counters[p] = min(max(counter + (-gain if tables[p] else gain), low), high)
                    elif gain > 0:
                        self._counters[p] = -1 - counter
            right = 0 if errors else right + 1
            self._run[:] = right, since + 1, restarts, read + 1
            if since + 1 >= self.spec.restart and right < ENOUGH:
                break
        return np.array(found, np.int16)

    def _climb(self, tables: list[int], errors: int, sequence: list[int], labels: list[int]) -> None:
        """Flip bits in turn; those that follow a flip that stays are tried again with it."""
        tried = climbed(self.spec, int(self._run[3]))[0].tolist()
        while tried and errors:
            written = self._written([_flipped(tables, p) for p in tried], sequence)
            better = next((i for i, its in enumerate(written) if _errors(its, labels) < errors), None)
            if better is None:
                return
            p, errors = tried[better], _errors(written[better], labels)
            tables[p] = 1 - tables[p]
            self._counters[p] = -1 - self._counters[p]
            tried = tried[better + 1 :]

    def _written(self, variants: list[list[int]], sequence: list[int]) -> list[list[int]]:
        """What the machines with these bits write at each step of a sequence, 0 after its end."""
        states, size = self.spec.states, self.spec.size
        found = []
        for tables in variants:
            state, written = 0, [0] * len(sequence)
            for t, symbol in enumerate(sequence):
                if symbol < 0:
                    break
                index = state | symbol << states
                cell = sum(tables[j * size + index] << j for j in range(states + self.spec.label))
                state, written[t] = cell & (1 << states) - 1, cell >> states
            found.append(written)
        return found

    def labels(self, x: NDArray[np.int16]) -> NDArray[np.int16]:
        tables = [int(counter >= 0) for counter in self._counters]
        return np.array([self._written([tables], row)[0] for row in x.tolist()], np.int16).reshape(x.shape)


def _flipped(tables: list[int], p: int) -> list[int]:
    return [*tables[:p], 1 - tables[p], *tables[p + 1 :]]


def climbed(spec: MachineSpec, read: int, sequences: int = 1) -> NDArray[np.int64]:
    """The bits (sequences, P) that the rule ``climb`` tries with each of so many sequences, when ``read`` were read
    before: for sequence i words i·P to i·P + P − 1 of ``stream(seed, "climb")``, modulo the number P of all bits."""
    count = spec.count
    drawn = words(stream(spec.seed, "climb"), sequences * count, read * count) % np.uint64(count)
    return drawn.astype(np.int64).reshape(sequences, count)


def _errors(written: list[int], labels: list[int]) -> int:
    return sum(a != b for a, b in zip(written, labels, strict=True) if b >= 0)
