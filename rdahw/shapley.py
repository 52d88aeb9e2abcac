"""Exact Shapley values of one prediction, for models whose scores are sums of lookup tables.

The *players* are the columns of the data, each with all of its input bits, or single input bits. The *worth* of a set
of players is the mean score over the examples of a *background*, after the bits of these players were replaced by those
of the explained example (an interventional expectation: S. Lundberg and S.-I. Lee, *A unified approach to interpreting
model predictions*, arXiv 1705.07874). The Shapley value of a player is the mean, over all orders of the players, of how
much it adds to the worth of those before it (L. Shapley, *A value for n-person games*, 1953). So the values sum to the
score of the example less the mean score of the background, the *baseline*.

Values of sums are sums of values, and a player that a table does not read has the value 0 there. So each table of k
inputs is a game of at most k players, whose 2^k sets are enumerated. All numbers are whole numbers, over the common
denominator lcm(1, …, k) times the number of examples in the background; none is rounded.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from rdahw.data import Binariser
from rdahw.errors import UsageError
from rdahw.family import Spec
from rdahw.primitives import Array
from rdahw.state import State
from rdahw.table_scores import TableLayer

__all__ = ["MOST_BACKGROUND", "Players", "Shapley", "of_class", "players", "score_tables", "shapley"]

#: The largest background: with it, no sum exceeds 64 bits.
MOST_BACKGROUND = 1000
#: So many numbers are computed at once.
_AT_ONCE = 1 << 21


@dataclass(frozen=True, slots=True, eq=False)
class Players:
    """names: of the players. owners (A,): the player of each input bit."""

    names: Sequence[str]
    owners: NDArray[np.int64]


def players(binariser: Binariser) -> Players:
    """The columns of the data; with planes of images, whose bits depend on several pixels, the input bits."""
    if binariser.has_thresholds or binariser.is_fixed:
        return Players(binariser.names, binariser.wire_columns)
    return Players(binariser.wire_names, np.arange(binariser.width))


def score_tables(spec: Spec, state: State) -> TableLayer:
    """The tables whose sum is the scores of ``spec`` at ``state``; raises :class:`UsageError` if there are none."""
    tables = spec.score_tables(state)
    if tables is None:
        raise UsageError(
            "exact Shapley values are computed of models whose scores are sums of tables that read the input, such as "
            f"ensemble, grown, boosted and coverage, and not of {spec.name!r}; train one of these"
        )
    return tables


def of_class(tables: TableLayer, number: int) -> TableLayer:
    """The tables that count for a class or label, with what they hold for it alone."""
    values = tables.values[..., number : number + 1]
    voting = values.any(axis=(1, 2))
    return TableLayer(tables.wiring[voting], values[voting])


@dataclass(frozen=True, slots=True, eq=False)
class Shapley:
    """The values of one example, for each score: of a class, of a label, or the only one.

    numerators (players, scores), over ``denominator``. scores (scores,): those of the example, in parts, of which
    ``parts`` are one; baselines (scores,): the sums of those of the background's ``examples``.
    """

    numerators: NDArray[np.int64]
    denominator: int
    scores: NDArray[np.int64]
    baselines: NDArray[np.int64]
    examples: int
    parts: int = 1

    @property
    def values(self) -> NDArray[np.float64]:
        """The values (players, scores), rounded to the nearest numbers of 64 bits."""
        return self.numerators / self.denominator

    def value(self, player: int, number: int) -> Fraction:
        """The value of a player for a score."""
        return Fraction(int(self.numerators[player, number]), self.denominator)

    def score(self, number: int) -> Fraction:
        """A score of the example."""
        return Fraction(int(self.scores[number]), self.parts)

    def baseline(self, number: int) -> Fraction:
        """The mean of a score in the background."""
        return Fraction(int(self.baselines[number]), self.examples * self.parts)


def shapley(
    tables: TableLayer,
    owners: NDArray[np.int64],
    x: Array,
    background: Array,
    progress: Callable[[int, int], object] | None = None,
    *,
    players: int | None = None,
    parts: int = 1,
) -> Shapley:
    """The Shapley values of the scores of an example x (A,), of which ``parts`` are one. owners (A,): the player of
    each input bit, of ``players`` (default: up to the last owner). background (N, A): from 1 to
    :data:`MOST_BACKGROUND` examples. ``progress`` is called with (tables done, tables in all)."""
    inputs, classes = tables.wiring.shape[1], tables.values.shape[2]
    numerators = np.zeros((int(owners.max()) + 1 if players is None else players, classes), np.int64)
    scores, baselines = np.zeros(classes, np.int64), np.zeros(classes, np.int64)
    weights = _weights(inputs)
    step = max(1, _AT_ONCE // ((1 << inputs) * classes))
    for start in range(0, len(tables.wiring), step):
        part = TableLayer(tables.wiring[start : start + step], tables.values[start : start + step])
        its = owners[part.wiring]
        worth = _worth(part, its, x, background)
        # A player that is not there, as two bits of the table are of the same one, adds 0.
        np.add.at(numerators, its, np.einsum("js,tsc->tjc", weights, worth))
        scores += worth[:, -1].sum(axis=0)
        baselines += worth[:, 0].sum(axis=0)
        if progress is not None:
            progress(min(start + step, len(tables.wiring)), len(tables.wiring))
    examples = len(background)
    return Shapley(numerators, _parts(inputs) * examples * parts, scores // examples, baselines, examples, parts)


def _parts(inputs: int) -> int:
    """The common denominator of the weights."""
    return math.lcm(*range(1, inputs + 1))


def _weights(inputs: int) -> NDArray[np.int64]:
    """How often the worth of each set counts for each player, (inputs, 2^inputs), of :func:`_parts`."""
    sets, place = np.arange(1 << inputs), np.arange(inputs)[:, None]
    sizes = sum(sets >> i & 1 for i in range(inputs))
    least = [_parts(inputs) // (inputs * math.comb(inputs - 1, size)) for size in range(inputs)]
    joined, left = np.array([0, *least]), np.array([*least, 0])
    weights: NDArray[np.int64] = np.where(sets >> place & 1, joined[sizes], -left[sizes])
    return weights


def _worth(tables: TableLayer, owners: NDArray[np.int64], x: Array, background: Array) -> NDArray[np.int64]:
    """The worth of each set of players, (tables, 2^inputs, classes), summed over the background. owners (tables,
    inputs): the players that a table reads; input i stands for the player of which it is the first."""
    inputs = tables.wiring.shape[1]
    first = (owners[:, :, None] == owners[:, None]).argmax(axis=2)
    masks = np.zeros((len(owners), 1), np.int64)
    for i in range(inputs):
        own = ((first == i) << np.arange(inputs)).sum(axis=1)
        masks = np.concatenate([masks, masks | own[:, None]], axis=1)
    here = tables.indices(x[None])[0][:, None] & masks
    every = np.arange(len(owners))[:, None]
    worth = np.zeros((*masks.shape, tables.values.shape[2]), np.int64)
    for there in tables.indices(background):
        worth += tables.values[every, here | there[:, None] & ~masks]
    return worth
