"""The engine of grown models: the rule of :mod:`rdahw.families.grown.rule` compiled by numba, equal to it bit for bit.

Examples are kept packed in both ways of :mod:`rdahw.sim.packing`: by wires, where the bits of a few examples are picked
to choose the inputs of a table, and by examples, where a finished table is looked up for 64 examples at a time. The
tables of a round do not depend on each other, so that several threads may grow them; the bits do not depend on how many.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rdahw.families.grown.rule import GrownState, empty_state
from rdahw.families.grown.spec import GrownSpec, candidates, check_data, sample, with_copies
from rdahw.primitives import Array
from rdahw.sim.grown_kernels import add_table, ask, cell_sums, fit_table, list_asking
from rdahw.sim.packing import Words, pack_examples, pack_wires

__all__ = ["CompiledGrown", "PackedExamples"]

#: Candidates are read so many at a time.
_LANES = 32


@dataclass(frozen=True, slots=True, eq=False)
class PackedExamples:
    """Examples with their labels (N,): rows (N, W) packed by wires, columns (A, V) packed by examples."""

    rows: Words
    columns: Words
    labels: NDArray[np.int64]


class CompiledGrown:
    """A grown model run by compiled kernels. ``state`` is what has been grown; ``threads``: how many grow tables."""

    name = "compiled"

    def __init__(self, spec: GrownSpec, threads: int = 1) -> None:
        self.spec = spec
        self.threads = threads
        self.state = empty_state(spec)

    def prepare(self, x: Array, labels: NDArray[np.int64]) -> PackedExamples:
        """Examples x (N, A), 0 and 1, and their classes (N,), with the shifted copies, for :meth:`grow`."""
        labels = np.asarray(labels, np.int64)
        x = np.asarray(x, np.uint8)
        check_data(self.spec, x, labels)
        x = with_copies(self.spec, x)
        return PackedExamples(pack_wires(x), pack_examples(x), np.tile(labels, 1 + self.spec.copies))

    def grow(self, examples: PackedExamples, upto: int) -> None:
        """Grow tables until there are ``upto``."""
        spec, classes = self.spec, self.spec.classes
        scores = self._start_of_round(examples)
        count = len(examples.labels)
        rivals = np.empty((classes, count), np.bool_)
        own, weights = np.empty(count, np.int16), np.empty(count, np.int16)
        with ThreadPoolExecutor(self.threads) as pool:
            while self.state.grown < upto:
                first = self.state.grown // classes * classes
                threshold = spec.margin + first // classes * spec.slope // 100
                ask(scores, examples.labels, threshold, own, rivals, weights)
                numbers = range(self.state.grown, min(first + classes, upto))
                grown = pool.map(lambda j: self._grow_table(examples, j, rivals, weights), numbers)
                for j, (wires, table) in zip(numbers, grown, strict=True):
                    self.state = self.state.with_table(j, wires, table)
                if self.state.grown % classes == 0:
                    self._add(examples.columns, scores, first, first + classes)

    def _grow_table(
        self, examples: PackedExamples, j: int, rivals: NDArray[np.bool_], weights: NDArray[np.int16]
    ) -> tuple[NDArray[np.int64], Array]:
        spec, label = self.spec, j % self.spec.classes
        count = np.zeros(1, np.int64)
        asking, requests = np.empty(len(weights) + 1, np.int64), np.empty(len(weights) + 1, np.int16)
        list_asking(label, rivals[label], examples.labels, weights, asking, requests, count)
        asking, requests = asking[: count[0]], requests[: count[0]]
        chosen, wires = sample(spec, j, len(asking)), candidates(spec, j)
        taken = np.empty(spec.inputs, np.int64)
        fit_table(
            examples.rows,
            asking[chosen],
            requests[chosen],
            wires,
            spec.refinements,
            32767 // (spec.classes - 1),
            np.empty((len(chosen), -(-len(wires) // _LANES) * _LANES), np.int16),
            taken,
        )
        sums = np.zeros(1 << spec.inputs, np.int64)
        if FITALL:
            cell_sums(examples.rows, asking, requests, wires[taken], sums)
        else:
            cell_sums(examples.rows, asking[chosen], requests[chosen], wires[taken], sums)
        return wires[taken], (sums >= 0).astype(np.uint8)

    def _start_of_round(self, examples: PackedExamples) -> NDArray[np.int16]:
        scores = np.zeros((self.spec.classes, 64 * examples.columns.shape[1]), np.int16)
        self._add(examples.columns, scores, 0, self.state.grown // self.spec.classes * self.spec.classes)
        return scores

    def _add(self, columns: Words, scores: NDArray[np.int16], start: int, stop: int) -> None:
        for j in range(start, stop):
            add_table(columns, self.state.wiring[j], self.state.tables[j], scores[j % self.spec.classes])

    def scores(self, x: Array) -> NDArray[np.int16]:
        """The scores (N, classes) of examples x (N, A), 0 and 1, by the tables grown so far."""
        columns = pack_examples(np.asarray(x, np.uint8))
        scores = np.zeros((self.spec.classes, 64 * columns.shape[1]), np.int16)
        self._add(columns, scores, 0, self.state.grown)
        return np.ascontiguousarray(scores[:, : len(x)].T)

    def predict(self, x: Array) -> NDArray[np.int16]:
        """The classes (N,) of examples x (N, A), 0 and 1."""
        return np.asarray(self.scores(x).argmax(axis=1), np.int16)

FITALL = True
