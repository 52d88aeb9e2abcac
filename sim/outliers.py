"""Models of what is normal as a scikit-learn outlier detector, ``rdahw.RDAOutlierDetector`` (``pip install
'rdahw[sklearn]'``)."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rdahw.data import DECISIONS, NORMAL
from rdahw.errors import MissingError
from rdahw.family import AUTO

try:
    from sklearn.base import OutlierMixin  # type: ignore[import-untyped]

    from rdahw.sim.table_estimator import TableEstimator
    from rdahw.sim.wires import NO_LABELS
except ImportError as error:
    raise MissingError(
        f"RDAOutlierDetector needs scikit-learn 1.6 or newer ({error}); install it with pip install 'rdahw[sklearn]'"
    ) from error

__all__ = ["RDAOutlierDetector"]


class RDAOutlierDetector(OutlierMixin, TableEstimator):  # type: ignore[misc]
    """Lookup tables that count what they see in normal examples and so find those that are not normal.

    X is numbers or categories (N, F); y is ignored. The same data and ``random_state`` give the same bits on every
    machine.

    Parameters:
        model: as for ``rdahw train --task anomaly --model``: NAME[:OPTION=VALUE,…].
        contamination: which examples are outliers: "auto", about 5 % of new examples that are normal (the option
            ``alarm_rate``), which suits ``fit`` on normal examples; or the part of the examples of ``fit`` that are,
            above 0 and at most 0.5, whose scores are larger than those of new ones.
        bits: the most thresholds of a feature, or "auto": 31. They are at quantiles of the training values, halfway to
            the next value; a feature of few values gets one between any two, and a constant one none.
        thresholds: instead of ``bits``, the thresholds of all features, or a sequence of them for each feature.
        categorical_features: the columns of categories, as of :class:`rdahw.RDAClassifier`.
        random_state: the seed of all randomness; a RandomState or None draws one.

    Options of the model, which may also be given in ``model``; their default is "auto":
        {options}

    Tables have at most as many inputs as there are wires. NaN in X is a missing value, as for
    :class:`rdahw.RDAClassifier`.

    Attributes after ``fit``:
        n_features_in_, feature_names_in_: as in all of scikit-learn.
        offset_: the score below which an example is an outlier.
        wire_features_, wire_thresholds_: the feature and the threshold of each wire, (wires,); NaN for a wire without.
        wire_names_: the meaning of each wire, such as "age > 3.5", "colour = red" or "x0 is missing".
        is_categorical_: which features are categories, (F,) bool, or None if none is.
        spec_: the model, an :class:`rdahw.family.Spec`.
        state_: the trained state, an array for each field of the spec.
    """

    _TASK = "anomaly"
    _OWN = {
        "model": "coverage",
        "contamination": AUTO,
        "bits": AUTO,
        "thresholds": None,
        "categorical_features": "from_dtype",
        "random_state": 0,
    }

    def fit(self, X: ArrayLike, y: Any = None) -> RDAOutlierDetector:
        """Train a new model on examples X (N, F); raises ValueError for invalid arguments."""
        part = self.contamination
        is_number = isinstance(part, Real) and not isinstance(part, bool | np.bool_)
        if not (0 < part <= 0.5 if is_number else isinstance(part, str) and part == AUTO):
            raise ValueError(f"contamination is {part!r}; expected 'auto' or a number above 0 and at most 0.5")
        array, _ = self._read_columns(X, NO_LABELS, first=True)
        self._learn(array, np.zeros(len(array), np.int64), DECISIONS)
        if is_number:  # instead of the offset that the model chose
            scores = np.sort(self.score_samples(X))
            self._engine.state = {**self.state_, "offset": scores[[int(part * len(scores) + 1e-9)]].astype(np.int64)}
        return self

    @property
    def offset_(self) -> int:
        """The score below which an example is an outlier, a whole number."""
        return int(self.state_["offset"][0])

    def score_samples(self, X: ArrayLike) -> NDArray[np.float64]:
        """The scores (N,) of examples X (N, F), whole numbers: the larger, the more like those of ``fit``."""
        return self.decision_function(X) + self.offset_

    def decision_function(self, X: ArrayLike) -> NDArray[np.float64]:
        """The scores (N,) of examples X (N, F) less ``offset_``: below 0 for outliers."""
        return (self._predicted(X) - NORMAL).astype(np.float64)

    def predict(self, X: ArrayLike) -> NDArray[np.int64]:
        """-1 for outliers and 1 for other examples (N,) of X (N, F)."""
        return np.where(self.decision_function(X) < 0, -1, 1)
