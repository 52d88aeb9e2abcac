"""The engines of coverage models: the rule of :mod:`rdahw.families.coverage`, plain and compiled by numba, equal bit
for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdahw.errors import UserError
from rdahw.families.coverage import Coverage, CoverageSpec
from rdahw.primitives import Array
from rdahw.sim.boosted import PackedCells
from rdahw.sim.packing import Words, pack_wires
from rdahw.state import State
from rdahw.training import Batches, Examples, Outcome

__all__ = ["CompiledCoverage", "CoverageEngine", "CoveragePredictor"]


class CompiledCoverage(PackedCells, Coverage):
    """A coverage model run by a compiled kernel, of examples packed by wires."""

    name = "compiled"


class CoverageEngine:
    """A coverage model as an engine of :class:`rdahw.training.Training`: one update, by all examples."""

    chunk: int | None = 1

    def __init__(self, coverage: Coverage) -> None:
        self.coverage = coverage
        self.spec, self.name = coverage.spec, coverage.name

    @property
    def state(self) -> dict[str, NDArray[Any]]:
        """A copy of the state."""
        return {name: value.copy() for name, value in self.coverage.state.items()}

    @state.setter
    def state(self, value: State) -> None:
        self.coverage.state = {field.name: field.check(value[field.name]).copy() for field in self.spec.fields}

    def prepare(self, examples: Examples) -> Any:
        """The examples as the rule reads them."""
        return self.coverage.pack(examples.x)

    def train(self, prepared: Any, batches: Batches) -> Outcome:
        """Count all examples; raises :class:`UserError` for some of them only."""
        if len(batches.ends) != 1 or len(batches.rows) != len(prepared):
            raise UserError(
                f"updates by {len(batches.rows)} examples were asked for; a coverage model counts all {len(prepared)} "
                "at once"
            )
        self.coverage.learn(prepared)
        return Outcome(np.zeros(1, np.int64))

    def predict(self, prepared: Any) -> NDArray[np.int64]:
        """The predictions (N,): see :mod:`rdahw.families.coverage`."""
        return self.coverage.predict(prepared)

    def class_scores(self, prepared: Any) -> NDArray[np.int64]:
        """The predictions (N, 1): there are no classes to score."""
        return self.predict(prepared)[:, None]


class CoveragePredictor:
    """Predicts by the counts of an engine; a :class:`rdahw.sim.engines.Predictor`, whose scores are the predictions
    (N, 1)."""

    def __init__(self, engine: CoverageEngine) -> None:
        self._coverage = engine.coverage

    def scores(self, words: Words) -> NDArray[np.int64]:
        """The predictions, (N, 1), of examples packed by wires."""
        return self._coverage.predict(words)[:, None]

    def class_of(self, bits: Array) -> int:
        """The prediction of one example (A,)."""
        return int(self.scores(pack_wires(bits[None]))[0, 0])


def compiled(spec: CoverageSpec, threads: int) -> CoverageEngine:
    """The engine of the compiled kernel. It is compiled here, or loaded from the cache, so that no time includes it."""
    small = CompiledCoverage(CoverageSpec(input_bits=1, tables=1, inputs=1))
    small.learn(small.pack(np.array([[0], [1]], np.uint8)))
    return CoverageEngine(CompiledCoverage(spec))


def reference(spec: CoverageSpec, threads: int) -> CoverageEngine:
    """The plain rule."""
    return CoverageEngine(Coverage(spec))
