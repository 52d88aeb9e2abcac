"""The growth rule in plain numpy: slow, and the definition of every faster engine.

The rule (reverse derivative ascent over wirings: a request is the reverse derivative's, and the table that is taken is
the one whose cells' requests are largest). Tables are grown in the order of their numbers. Let S(c) be the score of
class c by the tables of the rounds before, and T = margin + (m * slope) div 100 in round m.

1. *Requests.* For an example of class y every other class c with S(y) - S(c) <= T is a *rival*. The example's request
   for each rival is -1, for y it is the number of rivals, and for all other classes 0. All tables of a round are grown
   for the same requests. A table of class c is grown for the examples whose request for c is not 0: they *ask*.
2. *Inputs.* Of the asking examples a sample is taken (:func:`rdahw.families.grown.spec.sample`), and of the input bits
   the candidates (:func:`rdahw.families.grown.spec.candidates`). The inputs cut the sample into *cells*, one for each
   index into the table (input i is bit i of the index). The *gain* of some inputs is the sum over the cells of the
   absolute value of the sum of the requests in the cell. Inputs are added one at a time: the candidate, not yet
   taken, of the largest gain, the lowest one on a tie. Then ``refinements`` times an input is looked at again, the
   first, the second and so on and after the last the first: it is replaced by the candidate, not yet taken, that makes
   the gain largest, the lowest one on a tie, if the gain is larger than before.
3. *Bits.* The table's bit at an index is 1 if the sum of the sample's requests in that cell is >= 0. A table for which
   nothing asks has no bits that are 1: it votes for no class.
4. The tables of the round are added to the scores.

All numbers are integers, and nothing depends on the number of cores. A model of fewer tables is the start of one of
more, as nothing depends on the number of tables.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rdahw.bits import BitRows
from rdahw.errors import UserError
from rdahw.families.grown.spec import GrownSpec, candidates, check_data, sample, with_copies
from rdahw.primitives import Array

if TYPE_CHECKING:
    from rdahw.jobs import Jobs

__all__ = ["GrownState", "Growth", "PlainGrown", "bits_gain", "cell_sums", "cells", "choose_inputs", "requests"]


@dataclass(frozen=True, slots=True, eq=False)
class GrownState:
    """All that is needed to go on, to the bit: the first ``grown`` tables; the rest of the arrays is 0.

    wiring: (tables, inputs) int32, the input bit that each input of a table reads; input i of a table is bit i of its
    index. tables: int8, what a table holds at each index: (tables, 2^inputs) bits, 0 or 1, or (tables, 2^inputs,
    classes) votes.
    """

    wiring: NDArray[np.int32]
    tables: NDArray[np.int8]
    grown: int = 0

    @classmethod
    def empty(cls, spec: GrownSpec) -> GrownState:
        """A state of no tables."""
        return cls(np.zeros((spec.tables, spec.inputs), np.int32), np.zeros(spec.tables_shape, np.int8))

    def first(self, tables: int) -> GrownState:
        """The state of a model of the first ``tables`` tables alone, at most as many as are grown."""
        if not 0 < tables <= self.grown:
            raise UserError(f"the first {tables} tables were asked for; expected 1 to {self.grown}, which are grown")
        return GrownState(self.wiring[:tables].copy(), self.tables[:tables].copy(), tables)

    def copy(self) -> GrownState:
        """A state that shares nothing with this one."""
        return replace(self, wiring=self.wiring.copy(), tables=self.tables.copy())

    def checked(self, spec: GrownSpec) -> GrownState:
        """This state if it is one of ``spec``; raises :class:`UserError` otherwise."""
        shapes = (spec.tables, spec.inputs), spec.tables_shape
        if (self.wiring.shape, self.tables.shape) != shapes or not 0 <= self.grown <= spec.tables:
            raise UserError(
                f"{self.grown} grown tables of shapes {self.wiring.shape} and {self.tables.shape} were given; "
                f"expected at most {spec.tables} of {shapes[0]} and {shapes[1]}"
            )
        if not (self.wiring.min() >= 0 and self.wiring.max() < spec.input_bits):
            raise UserError(f"a table reads an input bit outside of 0 to {spec.input_bits - 1}")
        low, high = spec.value_range
        if not (low <= self.tables.min() and self.tables.max() <= high):
            raise UserError(f"a table holds a value outside of {low} to {high}")
        return self


class Growth(ABC):
    """What every engine of growth has: ``spec``, and the state that it goes on from."""

    name: str

    def __init__(self, spec: GrownSpec) -> None:
        self.spec = spec
        self._state = GrownState.empty(spec)
        #: Of the examples themselves, at the start of the present round: how many were predicted wrongly, and how many
        #: asked.
        self.counts = 0, 0

    @property
    def state(self) -> GrownState:
        """A copy of what has been grown. Assigning a state goes on from it."""
        return self._state.copy()

    @state.setter
    def state(self, value: GrownState) -> None:
        self._state = value.checked(self.spec).copy()

    def in_shards(self, shards: int, jobs: Jobs | None = None) -> Growth:
        """An engine of the same bits that shares its examples out in so many ``shards``, which are where ``jobs`` run;
        by default this one, which needs all of them at once."""
        return self

    def _keep(self, wires: NDArray[np.int64] | list[int], table: NDArray[np.int8]) -> int:
        """Add a table to the state; gives how many there are then."""
        j = self._state.grown
        self._state.wiring[j], self._state.tables[j] = wires, table
        self._state = replace(self._state, grown=j + 1)
        return j + 1

    def prepare_scores(self, x: BitRows) -> Any:
        """Examples x (N, A), 0 and 1, in the form that :meth:`scores_of` takes."""
        return np.asarray(x, np.uint8)

    def scores_of(self, prepared: Any) -> NDArray[Any]:
        """The scores (N, classes) of the examples of :meth:`prepare_scores`."""
        return self.scores(prepared)

    @abstractmethod
    def prepare(self, x: BitRows, labels: NDArray[np.int64]) -> Any:
        """Examples x (N, A), 0 and 1, and their classes (N,), with the shifted copies, for :meth:`run`."""

    @abstractmethod
    def run(self, examples: Any, tables: int | None = None) -> Iterator[int]:
        """Grow tables until there are ``tables``, by default all; gives after each how many there are."""

    @abstractmethod
    def scores(self, x: BitRows) -> NDArray[np.int64]:
        """The scores (N, classes) of examples x (N, A), 0 and 1, by the tables grown so far."""

    def predict(self, x: BitRows) -> NDArray[np.int16]:
        """The classes (N,) of examples x (N, A), 0 and 1: the largest score, the lowest class on a tie."""
        return np.asarray(self.scores(x).argmax(axis=1), np.int16)


def requests(spec: GrownSpec, scores: NDArray[np.int64], labels: NDArray[np.int64], table: int) -> NDArray[np.int64]:
    """The requests (N, classes) of examples with ``scores`` (N, classes) and ``labels`` (N,) for ``table``."""
    examples = np.arange(len(labels))
    own = scores[examples, labels]
    rivals = own[:, None] - scores <= spec.threshold(table)
    rivals[examples, labels] = False
    asked = -rivals.astype(np.int64)
    asked[examples, labels] = rivals.sum(axis=1)
    return asked


def cells(x: Array, wires: NDArray[np.int64] | list[int]) -> NDArray[np.int64]:
    """The index (N,) of examples x (N, A) into a table that reads ``wires``."""
    return sum((x[:, wire].astype(np.int64) << i for i, wire in enumerate(wires)), np.zeros(len(x), np.int64))


def cell_sums(x: Array, wires: NDArray[np.int64] | list[int], asked: NDArray[np.int64]) -> NDArray[np.int64]:
    """The sum of the requests ``asked`` (N, …) in each cell, (2^inputs, …)."""
    sums = np.zeros((1 << len(wires), *asked.shape[1:]), np.int64)
    np.add.at(sums, cells(x, wires), asked)
    return sums


def bits_gain(x: Array, inputs: list[int], asked: NDArray[np.int64]) -> int:
    """The gain of ``inputs`` by the requests ``asked`` (n,) of the sample x (n, A)."""
    return int(np.abs(cell_sums(x, inputs, asked)).sum())


def choose_inputs(
    spec: GrownSpec,
    wires: NDArray[np.int64],
    x: Array,
    asked: NDArray[np.int64],
    rule: Callable[[Array, list[int], NDArray[np.int64]], int],
) -> list[int]:
    """The inputs of a table, of the candidates ``wires``, by the requests ``asked`` (n, …) of the sample x (n, A)."""

    def gain(inputs: list[int]) -> int:
        return rule(x, inputs, asked)

    chosen: list[int] = []
    for _ in range(spec.inputs):
        chosen.append(max((wire for wire in wires.tolist() if wire not in chosen), key=lambda w: gain([*chosen, w])))
    for step in range(spec.refinements):
        place = step % spec.inputs
        changed = [[*chosen[:place], w, *chosen[place + 1 :]] for w in wires.tolist() if w not in chosen]
        better = max(changed, key=gain, default=chosen)
        if gain(better) > gain(chosen):
            chosen = better
    return chosen


class PlainGrown(Growth):
    """A grown model that follows the rule of this module, one table after another."""

    name = "reference"

    def prepare(self, x: BitRows, labels: NDArray[np.int64]) -> tuple[Array, NDArray[np.int64]]:
        """Examples x (N, A), 0 and 1, and their classes (N,), with the shifted copies, for :meth:`run`.

        Raises :class:`UserError` for data that do not fit the spec.
        """
        x, labels = np.asarray(x, np.uint8), np.asarray(labels, np.int64)
        check_data(self.spec, x, labels)
        return with_copies(self.spec, x), np.tile(labels, 1 + self.spec.copies)

    def run(self, examples: tuple[Array, NDArray[np.int64]], tables: int | None = None) -> Iterator[int]:
        """Grow tables until there are ``tables``, by default all; gives after each how many there are."""
        x, labels = examples
        own = len(x) // (1 + self.spec.copies)
        for j in range(self._state.grown, self.spec.tables if tables is None else tables):
            if j % self.spec.round_tables == 0:
                scores = self.scores(x[:own])
                asked = requests(self.spec, scores, labels[:own], j).any(axis=1)
                self.counts = int((scores.argmax(axis=1) != labels[:own]).sum()), int(asked.sum())
            yield self._keep(*self._grow(x, labels, j))

    def _grow(self, x: Array, labels: NDArray[np.int64], j: int) -> tuple[list[int], NDArray[np.int8]]:
        """The inputs of table j, and what it holds."""
        spec, classes = self.spec, self.spec.classes
        asked = requests(spec, self.scores(x, j // classes * classes), labels, j)[:, j % classes]
        asking = np.flatnonzero(asked)
        rows = asking[sample(spec, j, len(asking))]
        wires = choose_inputs(spec, candidates(spec, j), x[rows], asked[rows], bits_gain)
        asks = len(rows) > 0
        return wires, (asks & (cell_sums(x[rows], wires, asked[rows]) >= 0)).astype(np.int8)

    def scores(self, x: BitRows, tables: int | None = None) -> NDArray[np.int64]:
        """The scores (N, classes) of examples x (N, A), by the first ``tables`` tables, by default all that are
        grown."""
        x, scores = np.asarray(x, np.uint8), np.zeros((len(x), self.spec.classes), np.int64)
        for j in range(self._state.grown if tables is None else tables):
            scores[:, self._voted_for(j)] += self._state.tables[j][cells(x, self._state.wiring[j].tolist())]
        return scores

    def _voted_for(self, j: int) -> int | slice:
        """The classes that table j votes for."""
        return j % self.spec.classes
