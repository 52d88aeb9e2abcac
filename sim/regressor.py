"""Models of numbers as a scikit-learn regressor, ``rdahw.RDARegressor`` (``pip install 'rdahw[sklearn]'``)."""

from __future__ import annotations

import math
from numbers import Real

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rdahw.data import Target
from rdahw.errors import MissingError, UserError
from rdahw.family import AUTO

try:
    from sklearn.base import RegressorMixin  # type: ignore[import-untyped]

    from rdahw.sim.table_estimator import TableEstimator
    from rdahw.sim.weights import arranged, weighted
except ImportError as error:
    raise MissingError(
        f"RDARegressor needs scikit-learn 1.6 or newer ({error}); install it with pip install 'rdahw[sklearn]'"
    ) from error

__all__ = ["RDARegressor"]


class RDARegressor(RegressorMixin, TableEstimator):  # type: ignore[misc]
    """A sum of lookup tables that predicts a number, learned with whole numbers alone.

    X is numbers or categories (N, F), y finite numbers (N,). What is learned and predicted is the number of a step: y
    is rounded to ``low + k * step``, and predictions are such numbers too. The same data and ``random_state`` give the
    same bits on every machine.

    Parameters:
        model: as for ``rdahw train --task regression --model``: NAME[:OPTION=VALUE,…].
        bits: the most thresholds of a feature, or "auto": 31. They are at quantiles of the training values, halfway to
            the next value; a feature of few values gets one between any two, and a constant one none.
        thresholds: instead of ``bits``, the thresholds of all features, or a sequence of them for each feature.
        categorical_features: the columns of categories, as of :class:`rdahw.RDAClassifier`.
        low, high: the range of the target; None: the smallest and the largest y of ``fit``. A y outside counts as the
            nearest of them.
        step: the distance of two numbers that can be predicted; None: 1/4095 of the range.
        random_state: the seed of all randomness; a RandomState or None draws one.

    Options of the model, which may also be given in ``model``; their default is "auto":
        {options}

    Tables have at most as many inputs as there are wires.

    NaN in X is a missing value, and ``sample_weight`` says how often an example is learned, both as for
    :class:`rdahw.RDAClassifier`.

    Attributes after ``fit``:
        n_features_in_, feature_names_in_: as in all of scikit-learn.
        wire_features_, wire_thresholds_: the feature and the threshold of each wire, (wires,); NaN for a wire without.
        wire_names_: the meaning of each wire, such as "age > 3.5", "colour = red" or "x0 is missing".
        is_categorical_: which features are categories, (F,) bool, or None if none is.
        target_: the range and the step, a :class:`rdahw.data.Target`.
        spec_: the model, an :class:`rdahw.family.Spec`.
        state_: the trained state, an array for each field of the spec.
        feature_importances_: of the model's own measure, of sum 1 (or all 0), (F,).
    """

    _TASK = "regression"
    _OWN = {
        "model": "boosted",
        "bits": AUTO,
        "thresholds": None,
        "categorical_features": "from_dtype",
        "low": None,
        "high": None,
        "step": None,
        "random_state": 0,
    }

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> RDARegressor:
        """Train a new model on examples X (N, F) and their numbers y (N,), of weights ``sample_weight`` (N,), at least
        0 and not all 0; raises ValueError for invalid arguments."""
        for name in ("low", "high", "step"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, Real) and math.isfinite(value)):
                raise ValueError(f"{name} is {value!r}; expected a finite number or None")
        X, y, repeats = weighted(X, y, sample_weight)
        array, labels = self._read_columns(X, y, first=True, y_numeric=True)
        rows = arranged(array, labels, repeats)
        array, labels = array[rows], labels[rows]
        try:
            target = Target.fit(labels, low=self.low, high=self.high, step=self.step)
            numbers = target.numbers(labels)
        except UserError as error:
            raise ValueError(str(error)) from None
        self._learn(array, numbers, target.steps)
        self.target_ = target
        return self

    def predict(self, X: ArrayLike) -> NDArray[np.float64]:
        """The numbers (N,) of examples X (N, F)."""
        steps = self._predicted(X)
        return self.target_.values(steps)

    @property
    def feature_importances_(self) -> NDArray[np.float64]:
        """How much the predictions depend on each feature, (F,), of sum 1 (or all 0): the sum, over the tables that
        read it, of the mean square of the change of what they hold when one of its bits changes."""
        return self._importances()
