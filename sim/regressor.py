"""Models of numbers as a scikit-learn regressor, ``rdahw.RDARegressor`` (``pip install 'rdahw[sklearn]'``)."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rdahw.data import Target
from rdahw.errors import MissingError, UserError
from rdahw.families import find_family
from rdahw.family import AUTO, Candidate, Family, Spec, Task
from rdahw.sim.automatic import spec_of
from rdahw.sim.conversion import Conversion
from rdahw.sim.engines import SoftwareEngine, make_engine, make_predictor, predicting_row
from rdahw.sim.estimator import (
    _arrange,
    _chosen,
    _describe_options,
    _draw_seed,
    _given_levels,
    _options,
    _quantile_levels,
    _same,
    _whole,
)
from rdahw.sim.packing import unpack_wires
from rdahw.training import Examples, Schedule, Training

try:
    from sklearn.base import BaseEstimator, RegressorMixin  # type: ignore[import-untyped]
    from sklearn.utils.validation import check_is_fitted, validate_data  # type: ignore[import-untyped]

    from rdahw.sim.columns import find_categorical
except ImportError as error:
    raise MissingError(
        f"RDARegressor needs scikit-learn 1.6 or newer ({error}); install it with pip install 'rdahw[sklearn]'"
    ) from error


__all__ = ["RDARegressor"]

_TASK = "regression"
#: How many examples are turned into wires at once, so that these stay in the cache.
_ROWS = 2048
#: The value of an option that the model chooses.
_AUTO = AUTO
#: The parameters of all models, with their defaults; the options of the families are added to them.
_OWN: dict[str, Any] = {
    "model": "boosted",
    "bits": _AUTO,
    "thresholds": None,
    "low": None,
    "high": None,
    "step": None,
    "random_state": 0,
}


_OPTIONS = _options(_TASK, _OWN)
#: An option that is "auto" has the default of the model's family.
_DEFAULTS = _OWN | dict.fromkeys(_OPTIONS, _AUTO)


class RDARegressor(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """A sum of lookup tables that predicts a number, learned with whole numbers alone.

    X is numbers (N, F), y finite numbers (N,). What is learned and predicted is the number of a step: y is rounded to
    ``low + k * step``, and predictions are such numbers too. The same data and ``random_state`` give the same bits on
    every machine.

    Parameters:
        model: as for ``rdahw train --task regression --model``: NAME[:OPTION=VALUE,…].
        bits: the most thresholds of a feature, or "auto": 31. They are at quantiles of the training values, halfway to
            the next value; a feature of few values gets one between any two, and a constant one none.
        thresholds: instead of ``bits``, the thresholds of all features, or a sequence of them for each feature.
        low, high: the range of the target; None: the smallest and the largest y of ``fit``. A y outside counts as the
            nearest of them.
        step: the distance of two numbers that can be predicted; None: 1/4095 of the range.
        random_state: the seed of all randomness; a RandomState or None draws one.

    Options of the model, which may also be given in ``model``; their default is "auto":
        {options}

    Tables have at most as many inputs as there are wires.

    Attributes after ``fit``:
        n_features_in_, feature_names_in_: as in all of scikit-learn.
        wire_features_, wire_thresholds_: the feature and the threshold of each wire, (wires,).
        target_: the range and the step, a :class:`rdahw.data.Target`.
        spec_: the model, an :class:`rdahw.family.Spec`.
        state_: the trained state, an array for each field of the spec.
        feature_importances_: of the model's own measure, of sum 1 (or all 0), (F,).
    """

    _engine: SoftwareEngine

    def __init__(self, **parameters: Any) -> None:
        if unknown := parameters.keys() - _DEFAULTS.keys():
            raise TypeError(f"RDARegressor has no parameter {min(unknown)!r}; expected any of {', '.join(_DEFAULTS)}")
        for name, default in _DEFAULTS.items():
            setattr(self, name, parameters.get(name, default))

    def fit(self, X: ArrayLike, y: ArrayLike) -> RDARegressor:
        """Train a new model on examples X (N, F) and their numbers y (N,); raises ValueError for invalid arguments."""
        chosen = find_categorical(X, "from_dtype")
        if chosen is not None:
            raise ValueError(
                f"column {chosen.argmax()} of X holds categories, and RDARegressor takes numbers; encode it, for "
                "example by sklearn.preprocessing.OneHotEncoder"
            )
        for name in ("low", "high", "step"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, Real) and math.isfinite(value)):
                raise ValueError(f"{name} is {value!r}; expected a finite number or None")
        array, labels = validate_data(self, X, y, y_numeric=True)
        try:
            family, given = _chosen(self, self.model, _TASK, _OPTIONS, _OWN["model"])
            target = Target.fit(labels, low=self.low, high=self.high, step=self.step)
            features, thresholds = self._wires(array, family)
            task = Task(input_bits=len(features), classes=target.steps, seed=_draw_seed(self.random_state), kind=_TASK)
            spec = spec_of(family, Candidate(options=given), task)
            engine = make_engine(spec, predicting_row(spec, len(array)).name)
        except UserError as error:
            raise ValueError(str(error)) from None
        self.wire_features_, self.wire_thresholds_, self.target_ = features, thresholds, target
        self._conversion = Conversion(features, thresholds)
        wires = unpack_wires(self._conversion.pack(array)[0], spec.input_bits)
        examples = Examples(wires, target.numbers(labels))
        for _ in Training(engine, Schedule(**spec.schedule(len(labels))), examples).run():
            pass
        self._run(engine)
        return self

    def _run(self, engine: SoftwareEngine) -> None:
        self._engine, self._predictor = engine, make_predictor(engine)

    def _wires(self, array: NDArray[Any], family: Family) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The feature and the threshold of each wire."""
        if self.thresholds is not None:
            return _arrange(_given_levels(self.thresholds, array.shape[1]))
        most = family.thresholds[0] if _same(self.bits, _AUTO) else _whole("bits", self.bits)
        levels = [_quantile_levels(np.sort(column).astype(np.float64), most) for column in array.T]
        if not any(map(len, levels)):  # all examples are equal: one wire, which is always 0
            return np.zeros(1, np.int64), np.array([array[:, 0].max()], np.float64)
        return _arrange(levels)

    def predict(self, X: ArrayLike) -> NDArray[np.float64]:
        """The numbers (N,) of examples X (N, F)."""
        check_is_fitted(self)
        array = validate_data(self, X, reset=False)
        starts = range(0, len(array), _ROWS)
        words = (self._conversion.pack(array[start : start + _ROWS])[0] for start in starts)
        return self.target_.values(np.concatenate([self._predictor.scores(block)[:, 0] for block in words]))

    @property
    def spec_(self) -> Spec:
        """The model, its seed included."""
        return self._engine.spec

    @property
    def state_(self) -> Mapping[str, NDArray[Any]]:
        """A copy of the trained state: the array of each field of :attr:`spec_`."""
        return self._engine.state

    @property
    def feature_importances_(self) -> NDArray[np.float64]:
        """How much the predictions depend on each feature, (F,), of sum 1 (or all 0): the sum, over the tables that
        read it, of the mean square of the change of what they hold when one of its bits changes."""
        check_is_fitted(self)
        sizes = self.spec_.importances(self.state_)
        total = np.bincount(self.wire_features_, weights=sizes, minlength=self.n_features_in_)
        return np.asarray(total / (total.sum() or 1.0))

    def __getstate__(self) -> dict[str, Any]:
        """Plain values and arrays, so that pickles do not depend on the engine."""
        state = dict(super().__getstate__())
        engine, *_ = (state.pop(name, None) for name in ("_engine", "_predictor", "_conversion"))
        if engine is not None:
            state["_learned"] = (engine.spec.family, engine.spec.to_json(), engine.name, dict(engine.state))
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        learned = state.pop("_learned", None)
        super().__setstate__({**_DEFAULTS, **state})
        if learned is not None:
            family, spec, name, values = learned
            engine = make_engine(find_family(family).read(spec), name)
            engine.state = values
            self._conversion = Conversion(self.wire_features_, self.wire_thresholds_)
            self._run(engine)


RDARegressor.__init__.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
    [
        inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD),
        *(inspect.Parameter(n, inspect.Parameter.KEYWORD_ONLY, default=value) for n, value in _DEFAULTS.items()),
    ]
)
if RDARegressor.__doc__ is not None:
    RDARegressor.__doc__ = RDARegressor.__doc__.replace("{options}", _describe_options(_OPTIONS, _OWN["model"]))
