"""Growth of tables that vote for every class, in plain numpy: it chooses the wiring of an ensemble.

Tables are grown in turn. S(c) is the sum of the votes of the tables before, and T = margin + (m * slope) div 100 for
table m.

1. *Requests* are those of :mod:`rdahw.families.grown.rule`, step 1, for all classes at once. An example asks if it has
   a rival.
2. *Inputs* are chosen as in step 2, but with another gain: the sum over the cells of

       2^8 * [the sum over the classes of (the sum of the requests for it)^2] div (the examples in the cell + 2).

3. *Votes.* With s the sum of the sample's requests for class c in a cell, n its examples and A the scale, the cell's
   vote for c is A * s / (n + 2), rounded to the nearest (halves up), and limited to the range of a counter.

The votes alone are a classifier: the largest sum of votes wins, the lowest class on a tie. It predicts better when the
wiring is given to an ensemble (:mod:`rdahw.ensemble`) whose counters start at 0 and learn by its own rule; then the
votes are not needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rdahw.errors import UserError
from rdahw.families.grown.rule import cell_sums, cells, choose_inputs, requests
from rdahw.families.grown.spec import VotesSpec, candidates, check_data, sample, with_copies
from rdahw.primitives import Array

__all__ = ["GAIN_BITS", "PlainVotes", "VotesState", "table_votes", "votes_gain"]

#: The bits after the point of a gain.
GAIN_BITS = 8


@dataclass(frozen=True, slots=True, eq=False)
class VotesState:
    """All that is needed to go on, to the bit: the first ``grown`` tables; the rest of the arrays is 0.

    wiring: (tables, inputs) int32, as in :class:`rdahw.families.grown.rule.GrownState`. votes: (tables, 2^inputs,
    classes) int8, in the order of an ensemble's counters.
    """

    wiring: NDArray[np.int32]
    votes: NDArray[np.int8]
    grown: int = 0

    @classmethod
    def empty(cls, spec: VotesSpec) -> VotesState:
        """A state of no tables."""
        votes = np.zeros((spec.tables, 1 << spec.inputs, spec.classes), np.int8)
        return cls(np.zeros((spec.tables, spec.inputs), np.int32), votes)

    def copy(self) -> VotesState:
        """A state that shares nothing with this one."""
        return replace(self, wiring=self.wiring.copy(), votes=self.votes.copy())

    def checked(self, spec: VotesSpec) -> VotesState:
        """This state if it is one of ``spec``; raises :class:`UserError` otherwise."""
        shapes = (spec.tables, spec.inputs), (spec.tables, 1 << spec.inputs, spec.classes)
        if (self.wiring.shape, self.votes.shape) != shapes or not 0 <= self.grown <= spec.tables:
            raise UserError(
                f"{self.grown} grown tables of shapes {self.wiring.shape} and {self.votes.shape} were given; "
                f"expected at most {spec.tables} of {shapes[0]} and {shapes[1]}"
            )
        if self.wiring.size and not (self.wiring.min() >= 0 and self.wiring.max() < spec.input_bits):
            raise UserError(f"a table reads an input bit outside of 0 to {spec.input_bits - 1}")
        low, high = spec.counter_range
        if self.votes.size and not (low <= self.votes.min() and self.votes.max() <= high):
            raise UserError(f"a vote is outside of {low} to {high}, which is all that {spec.counter} bits hold")
        return self


def votes_gain(x: Array, inputs: list[int], asked: NDArray[np.int64]) -> int:
    """The gain of ``inputs`` by the requests ``asked`` (n, classes) of the sample x (n, A)."""
    squares = (cell_sums(x, inputs, asked) ** 2).sum(axis=1)
    return int(((squares << GAIN_BITS) // (np.bincount(cells(x, inputs), minlength=len(squares)) + 2)).sum())


def table_votes(
    spec: VotesSpec, x: Array, inputs: list[int] | NDArray[np.int64], asked: NDArray[np.int64]
) -> NDArray[np.int8]:
    """The votes (2^inputs, classes) of a table, by the requests ``asked`` (n, classes) of the sample x (n, A)."""
    divisors = np.bincount(cells(x, inputs), minlength=1 << spec.inputs)[:, None] + 2
    votes = (2 * spec.scale * cell_sums(x, inputs, asked) + divisors) // (2 * divisors)
    return votes.clip(*spec.counter_range).astype(np.int8)


class PlainVotes:
    """Tables of votes that are grown by the rule of this module, one after another."""

    name = "reference"

    def __init__(self, spec: VotesSpec) -> None:
        self.spec = spec
        self._state = VotesState.empty(spec)

    @property
    def state(self) -> VotesState:
        """A copy of what has been grown. Assigning a state goes on from it."""
        return self._state.copy()

    @state.setter
    def state(self, value: VotesState) -> None:
        self._state = value.checked(self.spec).copy()

    def prepare(self, x: Array, labels: NDArray[np.int64]) -> tuple[Array, NDArray[np.int64]]:
        """See :meth:`rdahw.families.grown.rule.PlainGrown.prepare`."""
        x, labels = np.asarray(x, np.uint8), np.asarray(labels, np.int64)
        check_data(self.spec, x, labels)
        return with_copies(self.spec, x), np.tile(labels, 1 + self.spec.copies)

    def run(self, examples: tuple[Array, NDArray[np.int64]], tables: int | None = None) -> Iterator[int]:
        """Grow tables until there are ``tables``, by default all; gives after each how many there are."""
        x, labels = examples
        spec = self.spec
        for j in range(self._state.grown, spec.tables if tables is None else tables):
            asked = requests(spec, self.scores(x), labels, j)
            asking = np.flatnonzero(asked.any(axis=1))
            rows = asking[sample(spec, j, len(asking))]
            wires = choose_inputs(spec, candidates(spec, j), x[rows], asked[rows], votes_gain)
            self._state.wiring[j] = wires
            self._state.votes[j] = table_votes(spec, x[rows], wires, asked[rows])
            self._state = replace(self._state, grown=j + 1)
            yield j + 1

    def scores(self, x: Array) -> NDArray[np.int64]:
        """The scores (N, classes) of examples x (N, A) by the tables grown so far."""
        x, scores = np.asarray(x, np.uint8), np.zeros((len(x), self.spec.classes), np.int64)
        for j in range(self._state.grown):
            scores += self._state.votes[j][cells(x, self._state.wiring[j].tolist())]
        return scores

    def predict(self, x: Array) -> NDArray[np.int16]:
        """The classes (N,) of examples x (N, A)."""
        return np.asarray(self.scores(x).argmax(axis=1), np.int16)
