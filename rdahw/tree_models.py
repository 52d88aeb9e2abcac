"""Decision trees and sums of them, made by other programs, as circuits: comparisons, then sums of small whole numbers.

A :class:`TreeModel` is what a reader makes of a file or an object of another program. Its prediction is the class whose
sum of leaf values is the largest, the first on a tie. Comparisons become the bits of a
:class:`rdahw.data.cell_binariser.CellBinariser`, one for each threshold of a column that occurs, so that every
comparison of the trees is one of them, exactly. Leaf values become whole numbers (:func:`round_votes`).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdahw.circuit import Circuit
from rdahw.data import Schema, label_width
from rdahw.data._dataset import Column
from rdahw.data.cell_binariser import CellBinariser
from rdahw.errors import UsageError
from rdahw.families.circuits import CircuitSpec
from rdahw.learner import Learner
from rdahw.model import Model
from rdahw.saved import SavedModel
from rdahw.scores import largest
from rdahw.tracing import Wire, cat, trace
from rdahw.training import Progress, Schedule
from rdahw.types import Bits

__all__ = ["MOST_BITS", "Tree", "TreeModel", "Votes", "as_float32", "round_votes", "save_trees"]

#: The most bits of a leaf value.
MOST_BITS = 32


@dataclass(frozen=True, slots=True, eq=False)
class Tree:
    """A tree of binary decisions; node 0 is the root.

    column: (nodes,), what a node compares; -1 for a leaf. threshold: (nodes,) float64: a number above it goes to
    ``right``, another to ``left`` (nodes,). missing_right: (nodes,), whether a missing number goes to the right.
    values: (nodes, classes) float64, those of leaves.
    """

    column: NDArray[np.int64]
    threshold: NDArray[np.float64]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    missing_right: NDArray[np.bool_]
    values: NDArray[np.float64]

    @property
    def leaves(self) -> NDArray[np.int64]:
        """The numbers of the leaves, rising."""
        return np.flatnonzero(self.column < 0)

    def find_leaves(self, features: NDArray[np.float64]) -> NDArray[np.int64]:
        """The leaf (N,) of each example (N, F)."""
        at = np.zeros(len(features), np.int64)
        rows = np.arange(len(features))
        while (self.column[at] >= 0).any():
            given = features[rows, self.column[at]]
            right = np.where(np.isnan(given), self.missing_right[at], given > self.threshold[at])
            at = np.where(self.column[at] < 0, at, np.where(right, self.right[at], self.left[at]))
        return at


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class TreeModel:
    """Trees whose leaf values are summed, and ``bias`` (classes,) with them.

    source: what made it, for people. features, classes: their names. named: the names of the features are those of the
    data. missing: numbers may be missing (NaN).
    """

    source: str
    trees: Sequence[Tree]
    features: tuple[str, ...]
    classes: tuple[str, ...]
    bias: NDArray[np.float64]
    named: bool = False
    missing: bool = False

    def sums(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """The sums of leaf values (N, classes) of examples (N, F), in float64."""
        total = np.tile(self.bias, (len(features), 1))
        for tree in self.trees:
            total += tree.values[tree.find_leaves(features)]
        return total

    def whole(self) -> TreeModel:
        """The same for features that are whole numbers: thresholds are rounded down to whole numbers."""
        trees = [Tree(t.column, np.floor(t.threshold), t.left, t.right, t.missing_right, t.values) for t in self.trees]
        made: dict[str, Any] = {name: getattr(self, name) for name in self.__slots__}
        return TreeModel(**(made | {"trees": trees}))


def as_float32(thresholds: NDArray[np.float64]) -> NDArray[np.float64]:
    """The thresholds for numbers in float64 that compare as those for the same numbers in float32.

    A program that rounds numbers to float32 takes a number to be above t if its float32 is. That is so for the numbers
    above the middle of two neighbours in float32, the larger of which is the first above t; the middle itself is
    rounded to the neighbour with an even significand.
    """
    with np.errstate(over="ignore"):
        near = thresholds.astype(np.float32)
        low = np.where(near > thresholds, np.nextafter(near, np.float32(-np.inf)), near)
        high = np.nextafter(low, np.float32(np.inf))
        middle = (low.astype(np.float64) + high.astype(np.float64)) / 2
        above = middle.astype(np.float32) > low
        return np.nan_to_num(np.where(above, np.nextafter(middle, -np.inf), middle))


@dataclass(frozen=True, slots=True, eq=False)
class Votes:
    """The leaf values of a model as whole numbers: ``values[t]`` (leaves, classes) of tree t, and ``bias`` (classes,),
    all from 0 on; ``step`` is what 1 stands for.

    bits: of the largest leaf value. error: two sums of the model that differ by more than this are in the same order
    as those of whole numbers; 0.0 if leaf values were not rounded.
    """

    values: Sequence[NDArray[np.int64]]
    bias: NDArray[np.int64]
    step: float
    bits: int
    error: float


def round_votes(model: TreeModel, bits: int) -> Votes:
    """Leaf values in at most ``bits`` bits: exact if they are multiples of one number that small, as votes are, and the
    shares of classes in leaves of few examples; else rounded."""
    if not 1 <= bits <= MOST_BITS:
        raise UsageError(f"leaf values of {bits} bits were asked for; expected 1 to {MOST_BITS}")
    leaves = [tree.values[tree.leaves] for tree in model.trees]
    least = [values.min(axis=0) for values in leaves]
    above = [values - low for values, low in zip(leaves, least, strict=True)]
    span, base = max(float(values.max()) for values in above), model.bias + np.sum(least, axis=0)
    parts = _parts([*leaves, model.bias[None]], bits)
    if parts * span > (1 << bits) - 1:
        parts = 0
    gaps = np.diff(np.unique(base))
    step = 1 / parts if parts else span / ((1 << bits) - 1) or float(gaps.min(initial=1.0))
    values = [np.rint(each / step).astype(np.int64) for each in above]
    most = sum(int(each.max()) for each in values) + 1  # what no votes can make up for
    steps = np.minimum(gaps / step, most)
    places = np.concatenate([[0], np.rint(steps).astype(np.int64).cumsum()])
    error = 0.0
    if not parts:
        worst = [np.abs(each * step - real).max(axis=0) for each, real in zip(values, above, strict=True)]
        error = 2 * float(np.sum(worst, axis=0).max()) + step * float(np.abs(np.rint(steps) - steps).sum())
    width = max(1, *(int(each.max()).bit_length() for each in values))
    return Votes(values, places[np.searchsorted(np.unique(base), base)], step, width, error)


def _parts(values: Iterable[NDArray[np.float64]], bits: int) -> int:
    """A number below 2^bits of which all values are fractions; 0 if there is none."""
    most, parts = 1 << bits, 1
    for value in np.unique(np.concatenate([np.ravel(each) for each in values])).tolist():
        near = Fraction(value).limit_denominator(most - 1)
        parts = math.lcm(parts, near.denominator)
        if abs(float(near) - value) > 2**-50 * max(1.0, abs(value)) or parts >= most:
            return 0
    return parts


def save_trees(model: TreeModel, votes: Votes) -> SavedModel:
    """The model with these leaf values as a circuit of bits that every command takes.

    Its parameters are the bits of the leaf values, tree by tree, class by class (of those that have any value but 0),
    leaf by leaf, bit 0 first. Those of a single tree, which needs no sums, are the bits of the class of each leaf.
    """
    columns = tuple(Column("number", missing=model.missing) for _ in model.features)
    thresholds = _thresholds(model)
    binariser = CellBinariser.of(thresholds, columns, model.features)
    wires = _Wires(thresholds, model.missing)
    if len(model.trees) == 1:
        number = (votes.values[0] + votes.bias).argmax(axis=1)
        theta = _bits(number, label_width(len(model.classes), "binary"))
        circuit = _circuit_of_one(model.trees, wires, len(theta))
    else:
        theta = np.concatenate([_bits(votes.values[t][:, c], votes.bits) for t, c in _voting(votes)])
        circuit = _circuit(model, votes, wires, len(theta))
    learner = Learner(Model(model.source, circuit), "xor", "xor")
    spec = CircuitSpec.of(learner, classes=len(model.classes))
    return SavedModel(
        spec=spec,
        state={spec.parameters.name: theta},
        progress=Progress(),
        schema=Schema(model.features, columns, model.classes, named=model.named),
        binariser=binariser,
        schedule=Schedule(),
        provenance={"finished": True, "source": model.source, "curve": []},
    )


def _thresholds(model: TreeModel) -> list[list[float]]:
    """The thresholds of each column that occur, rising; one of the first column if there is no comparison at all."""
    found: list[set[float]] = [set() for _ in model.features]
    for tree in model.trees:
        inner = tree.column >= 0
        for column, threshold in zip(tree.column[inner].tolist(), tree.threshold[inner].tolist(), strict=True):
            found[column].add(threshold + 0.0)  # never -0.0
    if not any(found):
        found[0].add(0.0)
    return [sorted(each) for each in found]


def _bits(numbers: NDArray[np.int64], bits: int) -> NDArray[np.uint8]:
    """The bits of all numbers, those of number 0 first."""
    return (numbers[:, None] >> np.arange(bits) & 1).astype(np.uint8).ravel()


def _voting(votes: Votes) -> list[tuple[int, int]]:
    """The trees and classes with a value but 0, at least one pair."""
    pairs = [(t, c) for t, each in enumerate(votes.values) for c in range(each.shape[1]) if each[:, c].any()]
    return pairs or [(0, 0)]


@dataclass(frozen=True, slots=True)
class _Wires:
    """The wires of comparisons and of missing numbers."""

    thresholds: Sequence[Sequence[float]]
    missing: bool
    above: dict[tuple[int, float], int] = field(init=False)

    def __post_init__(self) -> None:
        pairs = ((column, t) for column, row in enumerate(self.thresholds) for t in row)
        object.__setattr__(self, "above", {pair: wire for wire, pair in enumerate(pairs)})

    @property
    def count(self) -> int:
        return len(self.above) + len(self.thresholds) * self.missing


def _circuit_of_one(trees: Sequence[Tree], wires: _Wires, parameters: int) -> Circuit:
    def f(theta: Wire, x: Wire) -> Wire:
        reached, place = _leaves(trees, wires, x)
        leaves = trees[0].leaves.tolist()
        here = reached.gather([place[0, leaf] for leaf in leaves for _ in range(parameters // len(leaves))])
        return (here & theta).sum(len(leaves))

    return trace(f, theta=Bits(parameters), x=Bits(wires.count))


def _circuit(model: TreeModel, votes: Votes, wires: _Wires, parameters: int) -> Circuit:
    trees, bits = model.trees, votes.bits

    def f(theta: Wire, x: Wire) -> Wire:
        reached, place = _leaves(trees, wires, x)
        sums: list[list[Wire]] = [[] for _ in model.classes]
        at = 0
        for t, c in _voting(votes):
            leaves = [place[t, leaf] for leaf in trees[t].leaves.tolist() for _ in range(bits)]
            chosen = reached.gather(leaves) & theta[at : at + len(leaves)]
            sums[c].append(chosen.sum(len(leaves) // bits))
            at += len(leaves)
        totals = [_total(x, numbers, int(bias)) for numbers, bias in zip(sums, votes.bias.tolist(), strict=True)]
        width = max(total.width for total in totals)
        return largest([total.extend(width) for total in totals])

    return trace(f, theta=Bits(parameters), x=Bits(wires.count))


def _leaves(trees: Sequence[Tree], wires: _Wires, x: Wire) -> tuple[Wire, dict[tuple[int, int], int]]:
    """Which leaves are reached, and where the bit of each (tree, leaf) is. Level by level, all trees together."""
    level = [(t, 0) for t in range(len(trees))]
    reached = x.const((1 << len(level)) - 1, len(level))
    parts: list[Wire] = []
    place: dict[tuple[int, int], int] = {}
    while level:
        is_leaf = [bool(trees[t].column[node] < 0) for t, node in level]
        ends = list(itertools.compress(range(len(level)), is_leaf))
        if ends:
            place |= {level[i]: len(place) + k for k, i in enumerate(ends)}
            parts.append(reached.gather(ends))
        inner = [i for i in range(len(level)) if not is_leaf[i]]
        if not inner:
            break
        nodes = [(trees[t], node) for t, node in (level[i] for i in inner)]
        columns = [int(tree.column[node]) for tree, node in nodes]
        given = [(tree.threshold[node].item() + 0.0) for tree, node in nodes]
        above = x.gather([wires.above[pair] for pair in zip(columns, given, strict=True)])
        if wires.missing:
            goes = sum(int(tree.missing_right[node]) << i for i, (tree, node) in enumerate(nodes))
            above = above | (x.gather([len(wires.above) + column for column in columns]) & goes)
        parents = reached.gather(inner)
        reached = cat(parents & ~above, parents & above)
        below = zip((level[i][0] for i in inner), nodes, strict=True)
        children = [(t, int(tree.left[node]), int(tree.right[node])) for t, (tree, node) in below]
        level = [*((t, left) for t, left, _ in children), *((t, right) for t, _, right in children)]
    return cat(*parts), place


def _total(x: Wire, numbers: Sequence[Wire], bias: int) -> Wire:
    """The sum of unsigned numbers of the same width, and a constant."""
    if not numbers:
        return x.const(bias, max(1, bias.bit_length()))
    (total,) = [cat(*numbers).popcount()] if numbers[0].width == 1 and len(numbers) > 1 else _added(list(numbers))
    return total.extend(max(total.width, bias.bit_length())).plus(bias) if bias else total


def _added(numbers: list[Wire]) -> list[Wire]:
    """The one sum, by a balanced tree."""
    while len(numbers) > 1:
        width = max(number.width for number in numbers)
        even = [number.extend(width) for number in numbers]
        numbers = [a.plus(b) for a, b in zip(even[::2], even[1::2], strict=False)] + even[len(even) // 2 * 2 :]
    return numbers
