"""What the estimators without classes share: one training of a new model, and its predictions."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rdahw.errors import UserError
from rdahw.family import AUTO, Candidate, Task
from rdahw.sim.automatic import spec_of
from rdahw.sim.engines import make_engine, predicting_row
from rdahw.sim.wires import WireEstimator, chosen, draw_seed, same, whole
from rdahw.training import Examples, Schedule, Training

__all__ = ["TableEstimator"]


class TableEstimator(WireEstimator):
    """As :class:`WireEstimator`; ``random_state`` is among the parameters, too."""

    def _learn(self, array: NDArray[Any], labels: NDArray[np.int64], classes: int) -> None:
        """Train a new model on examples (N, F) and their labels (N,), of ``classes`` many; raises ValueError for
        invalid parameters."""
        try:
            family, given = chosen(self, self.model, self._TASK, self._OPTIONS, self._OWN["model"])
            self._find_marks(array)
            most = family.thresholds[0] if same(self.bits, AUTO) else whole("bits", self.bits)
            features, thresholds = self._wires(array, self._levels(array, most))
            seed = draw_seed(self.random_state)
            task = Task(input_bits=len(features), classes=classes, seed=seed, kind=self._TASK)
            spec = spec_of(family, Candidate(options=given), task)
            engine = make_engine(spec, predicting_row(spec, len(array)).name)
        except UserError as error:
            raise ValueError(str(error)) from None
        self.wire_features_, self.wire_thresholds_ = features, thresholds
        self._conversion = self._make_conversion(features, thresholds)
        examples = Examples(self._bits(array, self._conversion), labels)
        for _ in Training(engine, Schedule(**spec.schedule(len(labels))), examples).run():
            pass
        self._run(engine)

    def _predicted(self, X: ArrayLike) -> NDArray[np.int64]:
        """What the model predicts (N,) of examples X (N, F)."""
        return self._of_blocks(X, self._checked(X), lambda scores: scores[:, 0])
