"""The engines of boosting: the rule of :mod:`rdahw.families.boosted.rule`, plain and compiled by numba, equal bit for
bit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdahw.bits import BitRows
from rdahw.errors import UserError
from rdahw.families.boosted import BoostedSpec, Boosting
from rdahw.families.boosted.rule import Scored, predictions
from rdahw.families.boosted.spec import used_tables
from rdahw.primitives import Array
from rdahw.sim.boosted_kernels import add_table, choose_inputs, list_cells
from rdahw.sim.packing import Words, pack_wires
from rdahw.state import State
from rdahw.training import Batches, Examples, Outcome

__all__ = ["BoostedEngine", "BoostedPredictor", "CompiledBoosting", "PackedCells"]


class PackedCells:
    """How compiled engines of tables hold examples: packed by wires."""

    def pack(self, x: BitRows) -> Words:
        """Examples x (N, A), 0 and 1, packed by wires."""
        return pack_wires(x)

    def cells(self, packed: Words, wires: NDArray[np.int64]) -> NDArray[np.int64]:
        """The index of each example in the table that reads these ``wires``, (N,)."""
        found = np.empty(len(packed), np.int64)
        list_cells(packed, wires, found)
        return found


class CompiledBoosting(PackedCells, Boosting):
    """A boosted model run by compiled kernels, of examples packed by wires."""

    name = "compiled"

    def choose(
        self, packed: Words, rows: NDArray[np.int64], asked: NDArray[np.int64], wires: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """See :meth:`Boosting.choose`."""
        taken = np.empty(self.spec.inputs, np.int64)
        bits = np.empty((len(rows), len(wires)), np.int8)
        choose_inputs(packed, rows, asked, wires, self.spec.shrink, bits, taken)
        return wires[taken]

    def _add(self, examples: Scored, j: int) -> None:
        _add(examples.x, self._state, j, examples.scores)


def _add(words: Words, state: State, j: int, scores: NDArray[np.int64]) -> None:
    # One type each, so that one kernel is compiled.
    table = state["tables"][j].astype(np.int64)
    add_table(words, state["wiring"][j].astype(np.int64), table.reshape(len(table), -1), scores)


@dataclass(slots=True, eq=False)
class _Prepared:
    examples: Examples
    scored: Scored


class BoostedEngine:
    """Boosting as an engine of :class:`rdahw.training.Training`: an update is a table, by all examples."""

    chunk: int | None = 1

    def __init__(self, boosting: Boosting) -> None:
        self.boosting = boosting
        self.spec, self.name = boosting.spec, boosting.name

    @property
    def state(self) -> dict[str, NDArray[Any]]:
        """A copy of the state."""
        return self.boosting.state

    @state.setter
    def state(self, value: State) -> None:
        self.boosting.state = value

    def prepare(self, examples: Examples) -> _Prepared:
        """The examples as the rule reads them."""
        return _Prepared(examples, self.boosting.prepare(examples.x))

    def train(self, prepared: _Prepared, batches: Batches) -> Outcome:
        """Grow a table for each update.

        Raises :class:`UserError` for an update by some of the examples only.
        """
        labels, wrong, start = prepared.examples.labels, [], 0
        for end in batches.ends.tolist():
            if not np.array_equal(batches.rows[start:end], np.arange(len(labels))):
                raise UserError(
                    f"an update by {end - start} examples was asked for; a boosted model learns from all "
                    f"{len(labels)} at once, in their order"
                )
            start = end
            wrong.append(int((self.predict(prepared) != labels).sum()))
            self.boosting.grow(prepared.scored, labels)
        return Outcome(np.array(wrong, np.int64))

    def predict(self, prepared: _Prepared) -> NDArray[np.int64]:
        """The steps (N,) of the target, or the sets of labels."""
        return self.boosting.predict(prepared.scored)

    def class_scores(self, prepared: _Prepared) -> NDArray[np.int64]:
        """See :func:`_shown`."""
        return _shown(self.spec, self.boosting.scores(prepared.scored))


def _shown(spec: BoostedSpec, scores: NDArray[np.int64]) -> NDArray[np.int64]:
    """Of scores (N, outputs) what an estimator reads: the steps (N, 1) of the target, as a number has no classes to
    score; or how much the scores are above the middle (N, labels), over 0 for the labels that are predicted."""
    return scores - spec.middle if spec.labels else predictions(spec, scores)[:, None]


class BoostedPredictor:
    """Predicts by the tables of an engine; a :class:`rdahw.sim.engines.Predictor`, whose scores are :func:`_shown`."""

    def __init__(self, engine: BoostedEngine) -> None:
        self._boosting = engine.boosting

    def scores(self, words: Words) -> NDArray[np.int64]:
        """The scores of examples packed by wires."""
        return _shown(self._boosting.spec, self._sums(words))

    def class_of(self, bits: Array) -> int:
        """The step, or the set of labels, of one example (A,)."""
        return int(predictions(self._boosting.spec, self._sums(pack_wires(bits[None])))[0])

    def _sums(self, words: Words) -> NDArray[np.int64]:
        state = self._boosting._state
        scores = np.tile(state["base"].astype(np.int64), (len(words), 1))
        for j in used_tables(state):
            _add(words, state, int(j), scores)
        return scores


def compiled(spec: BoostedSpec, threads: int) -> BoostedEngine:
    """The engine of compiled kernels. They are compiled here, or loaded from the cache, so that no time includes it."""
    small = CompiledBoosting(BoostedSpec(input_bits=1, steps=1 << 12, tables=1, inputs=1))
    small.grow(small.prepare(np.array([[0], [1]], np.uint8)), np.array([0, 1]))
    return BoostedEngine(CompiledBoosting(spec))


def reference(spec: BoostedSpec, threads: int) -> BoostedEngine:
    """The plain rule."""
    return BoostedEngine(Boosting(spec))
