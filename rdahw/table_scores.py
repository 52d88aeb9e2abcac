"""Class scores of models whose tables lie in layers, and their derivative by the input.

A table is a multilinear polynomial in the bits that it reads. Its derivative by one of them is the value with the bit
set minus the value with it clear, so a cotangent is multiplied by a difference of two entries; see *Categories of
Differentiable Polynomial Circuits*, arXiv 2203.06430, and :class:`rdahw.types.Switches`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rdahw.primitives import Array

if TYPE_CHECKING:
    from rdahw.family import Spec

__all__ = ["TableLayer", "TableLearning", "TableScores", "votes_in_turn"]


@dataclass(frozen=True, slots=True, eq=False)
class TableLayer:
    """Tables side by side. wiring (tables, inputs): what they read of the input, or of the layer below; bit i of a
    table's index is input i. values (tables, 2^inputs, outputs): what they hold: in the last layer a number for each
    class, below it a bit (one output)."""

    wiring: NDArray[np.int64]
    values: NDArray[Any]

    def indices(self, x: Array) -> NDArray[np.int64]:
        """The addressed index of each table, (N, tables), for values x (N, …)."""
        found: NDArray[np.int64] = x[:, self.wiring].astype(np.int64) @ (1 << np.arange(self.wiring.shape[1]))
        return found

    def look_up(self, indices: NDArray[np.int64]) -> NDArray[Any]:
        """What the tables hold at indices (N, tables): (N, tables, outputs)."""
        return self.values[np.arange(len(self.values)), indices]

    def pull_back(self, indices: NDArray[np.int64], dy: NDArray[np.int64], width: int) -> NDArray[np.int64]:
        """The cotangents (width,) of what the tables read at indices (tables,), from those of their outputs, (outputs,)
        or (tables, outputs)."""
        requests, every = np.zeros(width, np.int64), np.arange(len(self.values))
        for i, wires in enumerate(self.wiring.T):
            high, low = (self.values[every, each].astype(np.int64) for each in (indices | 1 << i, indices & ~(1 << i)))
            np.add.at(requests, wires, ((high - low) * dy).sum(axis=1))
        return requests


@dataclass(frozen=True, slots=True, eq=False)
class TableScores:
    """The scores that ``layers`` give for ``input_bits`` bits: for each class the sum of the last layer's tables."""

    layers: Sequence[TableLayer]
    input_bits: int

    def scores(self, x: Array) -> NDArray[np.int64]:
        """The scores (N, classes) for examples x (N, input_bits)."""
        total: NDArray[np.int64] = self._forward(x)[-1].sum(axis=1, dtype=np.int64)
        return total

    def classify(self, scores: NDArray[np.int64]) -> NDArray[np.int64]:
        """The class (N,) of the largest score, the lowest on a tie."""
        found: NDArray[np.int64] = scores.argmax(axis=1)
        return found

    def request(self, x: Array, dy: NDArray[np.int64]) -> NDArray[np.int64]:
        """The reverse derivative of the scores by the bits x (input_bits,), for cotangents dy (classes,) of the scores:
        how much the sum of dy times the scores rises for each bit that is set, or would fall if it were cleared."""
        below = [x[None], *(values[..., 0] for values in self._forward(x[None])[:-1])]
        requests = dy
        for layer, read in zip(reversed(self.layers), reversed(below), strict=True):
            requests = layer.pull_back(layer.indices(read)[0], requests, read.shape[1])[:, None]
        return requests[:, 0]

    def _forward(self, x: Array) -> list[NDArray[Any]]:
        found = []
        for layer in self.layers:
            values = layer.look_up(layer.indices(x))
            found.append(values)
            x = values[..., 0]
        return found


def votes_in_turn(bits: NDArray[Any], classes: int) -> NDArray[np.int8]:
    """The values (tables, 2^inputs, classes) of tables of bits (tables, 2^inputs) of which table j votes for class
    j modulo ``classes``."""
    values = np.zeros((*bits.shape, classes), np.int8)
    every = np.arange(len(bits))
    values[every, :, every % classes] = bits
    return values


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class TableLearning:
    """How counters that vote for all classes learn; :mod:`rdahw.families.ensemble.rule` is the rule.

    counters (tables, 2^inputs, classes) and low, high: their range. sign: whether a counter votes by its sign. margin:
    the lead up to which an example is learned. dropout (b, d): a table is dropped if its b random bits are below d;
    register: the 63 bits that they come from, as a number, first: before the first example. forget: counters are halved
    after so many examples, 0: never; age: the examples since. spec: the model that learns so in software, without
    augmentation.
    """

    counters: NDArray[np.int8]
    low: int
    high: int
    sign: bool
    margin: int
    dropout: tuple[int, int]
    register: int
    first: int
    forget: int
    age: int
    spec: Spec
