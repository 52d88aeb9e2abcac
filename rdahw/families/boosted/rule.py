"""The rule by which boosted models grow, in plain numpy: slow, and the definition of every faster engine.

It is gradient boosting of tables that read the same bits for all examples (oblivious trees), in integers. Let R be the
*residual* of an example, its label times 2^shift minus its score by the tables before, and Q the quantile. With several
labels there is a residual for each, of the label's step (:mod:`rdahw.families.boosted.spec`), and all that follows is
computed for each label alone, but for what is said of all of them.

1. *Base.* With the quadratic loss (Q = 0) it is the mean of the labels times 2^shift, rounded to the nearest (halves
   up); with the pinball loss their Q-th percentile (:func:`percentile`) times 2^shift.
2. *Requests* are the negative gradient of the loss: R itself for the quadratic one; for the pinball loss Q where
   R > 0, Q - 100 where R < 0, and else 0. They are shifted right until the number of requests of the sample (of all
   labels) times the largest absolute one has at most 31 bits.
3. *Inputs.* Of the examples a sample is taken, and of the input bits the candidates
   (:mod:`rdahw.families.boosted.spec`). The inputs cut the sample into *cells*, one for each index into the table
   (input i is bit i of the index). The *gain* of some inputs is the sum over the cells, and over the labels, of

       (the sum of the requests in the cell)^2 div (the examples in the cell + shrink, at least 1).

   Inputs are added one at a time: the candidate, not yet taken, of the largest gain, the lowest one on a tie.
4. *Numbers.* With n examples of the sample in a cell, which have the mean residual R (Q = 0) or the Q-th percentile R,
   the cell holds n R / ((n + shrink) 2^shift), rounded to the nearest (halves up), limited to the range of the type,
   and 0 if n is 0. So it counts in whole steps of the target, and the score goes 1 / 2^shift of the way.
5. The table is added to the scores.

All numbers are integers. A model of fewer tables is the start of one of more, as nothing depends on their number.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdahw.bits import BitRows
from rdahw.data import label_sets, members_of_sets
from rdahw.families.boosted.spec import BoostedSpec, candidates, sample
from rdahw.primitives import Array
from rdahw.state import State

__all__ = ["Boosting", "Scored", "base", "cell_numbers", "percentile", "predictions", "requests", "targets"]

#: The bits of the largest sum of requests, so that its square is a number of 64 bits.
SUM_BITS = 31


@dataclass(slots=True, eq=False)
class Scored:
    """Examples as an engine reads them, with their scores (N, outputs) by the first ``done`` tables of the state number
    ``version`` of that engine."""

    x: Any
    scores: NDArray[np.int64]
    done: int = 0
    version: int = -1


class Boosting:
    """A boosted model that follows the rule of this module. Faster engines replace :meth:`pack`, :meth:`cells` and
    :meth:`choose`."""

    name = "reference"

    def __init__(self, spec: BoostedSpec) -> None:
        self.spec = spec
        self._version = 0
        self._state = {field.name: field.zero() for field in spec.fields}

    @property
    def state(self) -> dict[str, NDArray[Any]]:
        """A copy of the state. Assigning one goes on from it."""
        return {name: value.copy() for name, value in self._state.items()}

    @state.setter
    def state(self, value: State) -> None:
        self._state = {field.name: field.check(value[field.name]).copy() for field in self.spec.fields}
        self._version += 1

    @property
    def grown(self) -> int:
        """How many tables there are."""
        return int(self._state["grown"][0])

    def pack(self, x: BitRows) -> Any:
        """Examples x (N, A), 0 and 1, as :meth:`cells` and :meth:`choose` read them."""
        return np.asarray(x, np.uint8)

    def cells(self, packed: Any, wires: NDArray[np.int64]) -> NDArray[np.int64]:
        """The index (N,) of each example into a table that reads ``wires``."""
        cells: NDArray[np.int64] = (packed[:, wires].astype(np.int64) << np.arange(len(wires))).sum(axis=1)
        return cells

    def choose(
        self, packed: Any, rows: NDArray[np.int64], asked: NDArray[np.int64], wires: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """The inputs of a table, of the candidates ``wires``, by the requests ``asked`` (n, outputs) of the examples
        ``rows`` (n,)."""
        chosen: list[int] = []
        for _ in range(self.spec.inputs):
            left = [wire for wire in wires.tolist() if wire not in chosen]
            chosen.append(max(left, key=lambda wire: self._gain(packed[rows], [*chosen, wire], asked)))
        return np.array(chosen, np.int64)

    def _gain(self, x: Array, inputs: list[int], asked: NDArray[np.int64]) -> int:
        cells = (x[:, inputs].astype(np.int64) << np.arange(len(inputs))).sum(axis=1)
        counts = np.bincount(cells, minlength=1 << len(inputs))[:, None]
        sums = np.zeros((len(counts), self.spec.outputs), np.int64)
        np.add.at(sums, cells, asked)
        return int((sums * sums // np.maximum(counts + self.spec.shrink, 1)).sum())

    def prepare(self, x: BitRows) -> Scored:
        """Examples x (N, A), 0 and 1, for the methods below."""
        return Scored(self.pack(x), np.zeros((len(x), self.spec.outputs), np.int64))

    def scores(self, examples: Scored) -> NDArray[np.int64]:
        """The scores (N, outputs) by all tables; those that are new since the last time are added."""
        if examples.version != self._version:
            examples.scores[:], examples.done, examples.version = self._state["base"], 0, self._version
        for j in range(examples.done, self.grown):
            self._add(examples, j)
        examples.done = self.grown
        return examples.scores

    def _add(self, examples: Scored, j: int) -> None:
        cells = self.cells(examples.x, self._state["wiring"][j].astype(np.int64))
        examples.scores += self._state["tables"][j][cells].reshape(examples.scores.shape)

    def predict(self, examples: Scored) -> NDArray[np.int64]:
        """The steps (N,) of the target, or the sets of labels."""
        return predictions(self.spec, self.scores(examples))

    def grow(self, examples: Scored, labels: NDArray[np.int64]) -> None:
        """Add a table, grown by examples with the steps, or the sets, ``labels`` (N,) as labels."""
        spec, j = self.spec, self.grown
        steps = targets(spec, labels)
        if j == 0:
            self._state["base"][:] = [base(spec, column) for column in steps.T]
            self._version += 1
        residuals = (steps << spec.shift) - self.scores(examples)
        rows = sample(spec, j, len(labels))
        left = residuals[rows]
        wires = self.choose(examples.x, rows, requests(spec, left), candidates(spec, j))
        self._state["wiring"][j] = wires
        cells, held = self.cells(examples.x, wires)[rows], self._state["tables"][j].reshape(1 << spec.inputs, -1)
        for output, column in enumerate(left.T):
            held[:, output] = cell_numbers(spec, cells, column)
        self._state["grown"][0] = j + 1


def percentile(percent: int, values: NDArray[np.int64]) -> int:
    """The least of ``values`` (n,), at least one, that at least ``percent`` of 100 of them do not exceed."""
    return int(np.sort(values)[(percent * len(values) + 99) // 100 - 1])


def targets(spec: BoostedSpec, labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """The step (N, outputs) that each score should be, by labels (N,), steps or sets of labels."""
    if not spec.labels:
        return labels[:, None]
    return members_of_sets(labels, spec.labels) * (spec.steps - 1)


def base(spec: BoostedSpec, labels: NDArray[np.int64]) -> int:
    """The score before the first table, by the steps (N,) that it should be."""
    if spec.quantile:
        return percentile(spec.quantile, labels) << spec.shift
    count = len(labels)
    return (2 * (int(labels.sum()) << spec.shift) + count) // (2 * count)


def requests(spec: BoostedSpec, residuals: NDArray[np.int64]) -> NDArray[np.int64]:
    """The requests (n, outputs) of a sample with these residuals (n, outputs)."""
    asked = residuals
    if spec.quantile:
        asked = np.where(residuals > 0, spec.quantile, np.where(residuals < 0, spec.quantile - 100, 0))
    largest = asked.size * int(np.abs(asked).max(initial=0))
    return asked >> max(0, largest.bit_length() - SUM_BITS)


def cell_numbers(spec: BoostedSpec, cells: NDArray[np.int64], residuals: NDArray[np.int64]) -> NDArray[np.int64]:
    """What a table holds (2^inputs,) for one score, by the cells (n,) and the residuals (n,) of the sample."""
    size = 1 << spec.inputs
    counts, totals = np.bincount(cells, minlength=size), np.zeros(size, np.int64)
    if spec.quantile:
        order = np.lexsort((residuals, cells))
        starts = np.cumsum(counts) - counts
        found = np.flatnonzero(counts)
        places = starts[found] + (spec.quantile * counts[found] + 99) // 100 - 1
        totals[found] = counts[found] * residuals[order][places]
    else:
        np.add.at(totals, cells, residuals)
    divisors = np.maximum(counts + spec.shrink, 1) << spec.shift
    limit = 1 << spec.entry_bits - 1
    numbers: NDArray[np.int64] = (2 * totals + divisors) // (2 * divisors)
    return numbers.clip(-limit, limit - 1)


def predictions(spec: BoostedSpec, scores: NDArray[np.int64]) -> NDArray[np.int64]:
    """The steps (N,) of the target, or the sets of labels, from the scores (N, outputs)."""
    if spec.labels:
        return label_sets(scores > spec.middle)
    half = 1 << spec.shift >> 1
    steps: NDArray[np.int64] = ((scores[:, 0] + half) >> spec.shift).clip(0, spec.steps - 1)
    return steps
