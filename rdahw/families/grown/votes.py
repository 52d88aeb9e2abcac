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
wiring is given to an ensemble (:mod:`rdahw.families.ensemble.rule`) whose counters start at 0 and learn by its own
rule; then the votes are not needed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rdahw.families.grown.rule import PlainGrown, cell_sums, cells, choose_inputs, requests
from rdahw.families.grown.spec import VotesSpec, candidates, sample
from rdahw.primitives import Array

__all__ = ["GAIN_BITS", "PlainVotes", "table_votes", "votes_gain"]

#: The bits after the point of a gain.
GAIN_BITS = 8


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
    return votes.clip(*spec.value_range).astype(np.int8)


class PlainVotes(PlainGrown):
    """Tables of votes that are grown by the rule of this module, one after another."""

    spec: VotesSpec

    def _grow(self, x: Array, labels: NDArray[np.int64], j: int) -> tuple[list[int], NDArray[np.int8]]:
        spec = self.spec
        asked = requests(spec, self.scores(x), labels, j)
        asking = np.flatnonzero(asked.any(axis=1))
        rows = asking[sample(spec, j, len(asking))]
        wires = choose_inputs(spec, candidates(spec, j), x[rows], asked[rows], votes_gain)
        return wires, table_votes(spec, x[rows], wires, asked[rows])

    def _voted_for(self, j: int) -> int | slice:
        return slice(None)
