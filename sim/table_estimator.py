"""What the estimators of numbers (N, F) without classes share: parameters, wires, and saving."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator  # type: ignore[import-untyped]
from sklearn.utils.validation import check_is_fitted, validate_data  # type: ignore[import-untyped]

from rdahw.bits import PackedBits
from rdahw.families import find_family
from rdahw.family import AUTO, Candidate, Family, Spec, Task
from rdahw.sim.automatic import spec_of
from rdahw.sim.columns import find_categorical
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
from rdahw.training import Examples, Schedule, Training

__all__ = ["TableEstimator"]

#: How many examples are turned into wires at once, so that these stay in the cache.
_ROWS = 2048


class TableEstimator(BaseEstimator):  # type: ignore[misc]
    """A subclass states the task and its own parameters with their defaults, ``model`` among them; the options of the
    families for the task are added to them, and to its docstring in place of «{options}»."""

    _TASK: ClassVar[str]
    _OWN: ClassVar[Mapping[str, Any]]
    _DEFAULTS: ClassVar[Mapping[str, Any]]

    _engine: SoftwareEngine

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        found = _options(cls._TASK, cls._OWN)
        cls._DEFAULTS = {**cls._OWN, **dict.fromkeys(found, AUTO)}
        parameters = [inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)]
        for name, value in cls._DEFAULTS.items():
            parameters.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=value))

        def init(self: TableEstimator, **given: Any) -> None:
            self._set(given)

        init.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        cls.__init__ = init  # type: ignore[assignment]
        if cls.__doc__ is not None:
            cls.__doc__ = cls.__doc__.replace("{options}", _describe_options(found, cls._OWN["model"]))

    def _set(self, given: Mapping[str, Any]) -> None:
        if unknown := given.keys() - self._DEFAULTS.keys():
            name, known = type(self).__name__, ", ".join(self._DEFAULTS)
            raise TypeError(f"{name} has no parameter {min(unknown)!r}; expected any of {known}")
        for name, default in self._DEFAULTS.items():
            setattr(self, name, given.get(name, default))

    def _check_columns(self, X: ArrayLike) -> None:
        """Raise ValueError for columns of categories."""
        chosen = find_categorical(X, "from_dtype")
        if chosen is not None:
            raise ValueError(
                f"column {chosen.argmax()} of X holds categories, and {type(self).__name__} takes numbers; encode it, "
                "for example by sklearn.preprocessing.OneHotEncoder"
            )

    def _learn(self, array: NDArray[Any], labels: NDArray[np.int64], classes: int) -> None:
        """Train a new model on examples (N, F) and their labels (N,), of ``classes`` many; raises UserError for invalid
        parameters."""
        options = self._DEFAULTS.keys() - self._OWN.keys()
        family, given = _chosen(self, self.model, self._TASK, options, self._OWN["model"])
        features, thresholds = self._wires(array, family)
        seed = _draw_seed(self.random_state)
        task = Task(input_bits=len(features), classes=classes, seed=seed, kind=self._TASK)
        spec = spec_of(family, Candidate(options=given), task)
        engine = make_engine(spec, predicting_row(spec, len(array)).name)
        self.wire_features_, self.wire_thresholds_ = features, thresholds
        self._conversion = Conversion(features, thresholds)
        examples = Examples(PackedBits(self._conversion.pack(array)[0], spec.input_bits), labels)
        for _ in Training(engine, Schedule(**spec.schedule(len(labels))), examples).run():
            pass
        self._run(engine)

    def _run(self, engine: SoftwareEngine) -> None:
        self._engine, self._predictor = engine, make_predictor(engine)

    def _wires(self, array: NDArray[Any], family: Family) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The feature and the threshold of each wire."""
        if self.thresholds is not None:
            return _arrange(_given_levels(self.thresholds, array.shape[1]))
        most = family.thresholds[0] if _same(self.bits, AUTO) else _whole("bits", self.bits)
        levels = [_quantile_levels(np.sort(column).astype(np.float64), most) for column in array.T]
        if not any(map(len, levels)):  # all examples are equal: one wire, which is always 0
            return np.zeros(1, np.int64), np.array([array[:, 0].max()], np.float64)
        return _arrange(levels)

    def _predicted(self, X: ArrayLike) -> NDArray[np.int64]:
        """What the model predicts (N,) of examples X (N, F)."""
        check_is_fitted(self)
        array = validate_data(self, X, reset=False)
        starts = range(0, len(array), _ROWS)
        words = (self._conversion.pack(array[start : start + _ROWS])[0] for start in starts)
        return np.concatenate([self._predictor.scores(block)[:, 0] for block in words])

    @property
    def spec_(self) -> Spec:
        """The model, its seed included."""
        check_is_fitted(self)
        return self._engine.spec

    @property
    def state_(self) -> Mapping[str, NDArray[Any]]:
        """A copy of the trained state: the array of each field of :attr:`spec_`."""
        check_is_fitted(self)
        return self._engine.state

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
        super().__setstate__({**self._DEFAULTS, **state})
        if learned is not None:
            family, spec, name, values = learned
            engine = make_engine(find_family(family).read(spec), name)
            engine.state = values
            self._conversion = Conversion(self.wire_features_, self.wire_thresholds_)
            self._run(engine)
