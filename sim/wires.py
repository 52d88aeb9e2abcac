"""What the estimators of scikit-learn share: parameters, the wires that features become, and saving.

Features are turned into bits by thresholds: wire w of the model is 1 where
``X[:, wire_features_[w]] > wire_thresholds_[w]``. Wires are ordered by the number of the threshold within its feature,
then by feature, so that those of images are whole planes. After them come the wires of categories and missing values,
feature by feature (:mod:`rdahw.data.marks`).
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator  # type: ignore[import-untyped]
from sklearn.utils import check_random_state  # type: ignore[import-untyped]
from sklearn.utils.validation import (  # type: ignore[import-untyped]
    check_array,
    check_consistent_length,
    check_is_fitted,
    column_or_1d,
    validate_data,
)

from rdahw.bits import PackedBits
from rdahw.data import Column
from rdahw.data._json import is_int
from rdahw.data.marks import Marks, MarkWriter
from rdahw.errors import UserError, nearest
from rdahw.families import all_families, find_family, is_family, named_models, parse_model
from rdahw.family import AUTO, Family, Option, Spec
from rdahw.shapley import MOST_BACKGROUND, Shapley, score_tables, shapley
from rdahw.sim.columns import CategoryEncoder, as_numbers, find_categorical, find_marks, refuse_dates, refuse_tables
from rdahw.sim.conversion import Conversion
from rdahw.sim.engines import Predictor, SoftwareEngine, make_engine, make_predictor
from rdahw.sim.planes import PlaneConversion

if TYPE_CHECKING:
    from rdahw.sim.c_library import CPredictor

__all__ = ["NO_LABELS", "Planes", "WireEstimator", "chosen", "draw_seed", "same", "whole"]

#: In place of the labels of an estimator that has none.
NO_LABELS = "no_validation"
#: How many examples are turned into wires at once, so that these stay in the cache.
_ROWS = 2048


class Planes(PlaneConversion):
    """A conversion whose errors are those of scikit-learn."""

    def check(self, x: NDArray[Any]) -> NDArray[np.uint8]:
        try:
            return super().check(x)
        except UserError as error:
            raise ValueError(str(error)) from None


class WireEstimator(BaseEstimator):  # type: ignore[misc]
    """A subclass states the task and its own parameters with their defaults, ``model``, ``bits``, ``thresholds`` and
    ``categorical_features`` among them; the options of the families for the task are added to them, and to its
    docstring in place of «{options}»."""

    _TASK: ClassVar[str]
    _OWN: ClassVar[Mapping[str, Any]]
    _OPTIONS: ClassVar[Mapping[str, Any]]
    _DEFAULTS: ClassVar[Mapping[str, Any]]

    _engine: SoftwareEngine
    _predictor: Predictor
    #: Predicts single examples, if the model was compiled.
    _compiled: CPredictor | None
    _conversion: Conversion | PlaneConversion
    _encoder: CategoryEncoder | None
    _marks: list[Marks]
    _writer: MarkWriter

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "_OWN" not in cls.__dict__:  # not an estimator yet, or somebody's own kind of one
            return
        cls._OPTIONS = found = _options(cls._TASK, cls._OWN)
        cls._DEFAULTS = {**cls._OWN, **dict.fromkeys(found, AUTO)}
        parameters = [inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)]
        for name, value in cls._DEFAULTS.items():
            parameters.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=value))

        def init(self: WireEstimator, **given: Any) -> None:
            if unknown := given.keys() - self._DEFAULTS.keys():
                known = ", ".join(self._DEFAULTS)
                raise TypeError(f"{cls.__name__} has no parameter {min(unknown)!r}; expected any of {known}")
            for name, default in self._DEFAULTS.items():
                setattr(self, name, given.get(name, default))

        init.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        cls.__init__ = init  # type: ignore[assignment]
        if cls.__doc__ is not None:
            cls.__doc__ = cls.__doc__.replace("{options}", _describe_options(found, cls._OWN["model"]))

    def __sklearn_tags__(self) -> Any:
        """What scikit-learn wants to know: whether it may be given NaN."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self._finite == "allow-nan"
        return tags

    def _is_given(self, name: str) -> bool:
        """Whether an option of the model was given."""
        value = getattr(self, name)
        return value is not None and not same(value, AUTO)

    # -- columns -------------------------------------------------------------------------------------------------------

    @property
    def _finite(self) -> Any:
        """What scikit-learn's checks are told: whether numbers must be finite."""
        return "allow-nan"

    def _read_columns(self, X: ArrayLike, y: Any, *, first: bool, **checks: Any) -> tuple[NDArray[Any], Any]:
        """Examples to learn, as numbers, and their labels y, or :data:`NO_LABELS`; the ``first`` ones say which columns
        are categories. checks: what scikit-learn's ``check_X_y`` is told about y."""
        refuse_tables(X)
        if first:
            self.is_categorical_ = chosen = find_categorical(X, self.categorical_features)
            by_type = same(self.categorical_features, "from_dtype")
            self._encoder = None if chosen is None else CategoryEncoder(X, chosen, by_type=by_type)
        refuse_dates(X, self.is_categorical_)
        labelled = y is not NO_LABELS
        if checks.get("y_numeric"):
            refuse_dates(np.asarray(y), None, "y")
        if self._encoder is None:
            more = {"y": y, **checks} if labelled else {}

            def convert(X: Any) -> tuple[NDArray[Any], Any]:
                found = validate_data(self, X, reset=first, ensure_all_finite=self._finite, **more)
                array, labels = found if labelled else (found, y)
                return _without_objects(array), labels

            read: tuple[NDArray[Any], Any] = as_numbers(X, convert)
            return read
        validate_data(self, X, y, reset=first, skip_check_array=True)
        if labelled and not checks.get("multi_output"):
            y = column_or_1d(y, warn=True)
        if checks.get("y_numeric"):
            y = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y")
        if labelled:
            check_consistent_length(X, y)
        return self._encoder.transform(X), y

    def _checked(self, X: ArrayLike) -> NDArray[Any]:
        """X as an array; NaN and infinities are left to the conversion, which reads all of it anyway."""
        if not hasattr(self, "_predictor"):
            check_is_fitted(self)
        refuse_tables(X)
        refuse_dates(X, self.is_categorical_)
        if self._encoder is not None:
            validate_data(self, X, reset=False, skip_check_array=True)
            return self._encoder.transform(X)
        array: NDArray[Any] = as_numbers(
            X, lambda X: _without_objects(validate_data(self, X, reset=False, ensure_all_finite=False))
        )
        return array

    def _check_finite(self, X: ArrayLike, array: NDArray[Any]) -> None:
        """Raise scikit-learn's own error for infinite numbers in X, as ``array``, and for NaN where it may not be,
        unless it is told to assume that there are none."""
        if self._finite is True or np.isinf(array).any():
            validate_data(self, X, reset=False, ensure_all_finite=self._finite)

    # -- wires ---------------------------------------------------------------------------------------------------------

    def _find_marks(self, array: NDArray[Any]) -> None:
        self._marks = find_marks(array, self._encoder)
        self._writer = MarkWriter(self._marks)

    def _wires(
        self, array: NDArray[Any], levels: Sequence[NDArray[np.float64]]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The feature and the threshold of each wire, of the thresholds ``levels`` of each feature."""
        features, thresholds = _arrange(levels)
        marked = np.repeat(np.arange(len(self._marks)), [marks.width for marks in self._marks])
        features = np.concatenate([features, marked])
        thresholds = np.concatenate([thresholds, np.full(len(marked), np.nan)])
        if not len(features):  # all examples are equal: one wire, which is always 0
            return np.zeros(1, np.int64), np.array([array[:, 0].max()], np.float64)
        return features, thresholds

    def _levels(self, array: NDArray[Any], most: int) -> list[NDArray[np.float64]]:
        """The thresholds of each feature, in rising order: those given, or at most so many."""
        features = array.shape[1]
        if self.thresholds is not None:
            given = _given_levels(self.thresholds, features)
            return [levels if number else levels[:0] for levels, number in zip(given, self._is_number, strict=True)]
        # Sorted, NaN is last. All that is missing, and categories, have no thresholds.
        columns = (np.sort(array[:, i]).astype(np.float64) for i in range(features))
        there = (column[: np.searchsorted(column, np.nan)] for column in columns)
        zipped = zip(there, self._is_number, strict=True)
        return [_quantile_levels(values if number else values[:0], most) for values, number in zipped]

    @property
    def _is_number(self) -> list[bool]:
        """Which features are numbers."""
        return [marks.column.kind == "number" for marks in self._marks]

    def _make_conversion(self, features: NDArray[np.int64], thresholds: NDArray[np.float64]) -> Conversion:
        """The conversion to these wires of what :meth:`_with_marks` gives."""
        marks = np.isnan(thresholds)
        return Conversion(
            np.where(marks, len(self._marks) - 1 + marks.cumsum(), features), np.where(marks, 0.5, thresholds)
        )

    def _with_marks(self, array: NDArray[Any]) -> NDArray[Any]:
        """Examples (N, F) with a column more for each wire that is not a threshold."""
        if not self._writer.width:
            return array
        bits = np.zeros((len(array), self._writer.width), np.uint8)
        self._writer.write(array, bits)
        return np.hstack([array, bits])

    def _bits(self, array: NDArray[Any], conversion: Conversion | PlaneConversion) -> PackedBits:
        """The wires (N, width) of examples (N, F)."""
        array, starts = conversion.check(array), range(0, len(array), _ROWS)
        words = [conversion.pack(self._with_marks(array[start : start + _ROWS]))[0] for start in starts]
        return PackedBits(np.concatenate(words), conversion.width)

    def _of_blocks(
        self, X: ArrayLike, array: NDArray[Any], compute: Callable[[NDArray[Any]], NDArray[Any]]
    ) -> NDArray[Any]:
        """What ``compute`` makes of the scores (n, classes) of X, as ``array`` (N, F), block by block."""

        def block(start: int) -> tuple[NDArray[Any], bool]:
            words, finite = self._conversion.pack(self._with_marks(array[start : start + _ROWS]))
            return compute(self._predictor.scores(words)), finite

        array = self._conversion.check(array)
        starts, threads = range(0, len(array), _ROWS), self._threads()
        if threads > 1 and len(starts) > 1:
            with ThreadPoolExecutor(threads) as pool:
                found = list(pool.map(block, starts))
        else:
            found = list(map(block, starts))
        if not all(finite for _, finite in found):
            self._check_finite(X, array)
        return np.concatenate([result for result, _ in found])

    def explain(self, X: ArrayLike, background: ArrayLike) -> list[Shapley]:
        """The exact Shapley values of the scores of examples X (N, F), N :class:`rdahw.shapley.Shapley`.

        Their ``values`` (F, scores) say how much each feature, with planes each wire, adds to each score: of a class or
        a label, of the number that is predicted, in steps of the target, or of how normal an example is. They sum to
        the score less its mean over ``background`` (B, F), 1 to 1,000 examples, such as some of those that ``fit`` had.
        Raises ValueError for models whose scores are no sums of tables that read the input, and as :meth:`predict`.
        """
        array, others = self._checked(X), self._checked(background)
        if not 1 <= len(others) <= MOST_BACKGROUND:
            raise ValueError(f"background has {len(others)} examples; expected 1 to {MOST_BACKGROUND:,}")
        for given, its in ((X, array), (background, others)):
            self._check_finite(given, its)
        planes = isinstance(self._conversion, PlaneConversion)
        owners = np.arange(self._conversion.width) if planes else self.wire_features_
        players = len(owners) if planes else self.n_features_in_
        try:
            tables = score_tables(self.spec_, self.state_)
            x, base = (np.asarray(self._bits(its, self._conversion)) for its in (array, others))
        except UserError as error:
            raise ValueError(str(error)) from None
        return [shapley(tables, owners, row, base, players=players, parts=self.spec_.score_parts) for row in x]

    # -- the trained model ---------------------------------------------------------------------------------------------

    def _run(self, engine: SoftwareEngine) -> None:
        self._engine, self._predictor = engine, make_predictor(engine)
        self._compiled = None

    def _threads(self) -> int:
        return 1

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

    @property
    def wire_names_(self) -> list[str]:
        """The meaning of each wire, with the names of the features, or x0, x1, …"""
        check_is_fitted(self)
        if isinstance(self._conversion, PlaneConversion):
            return list(self._conversion.binariser.wire_names)
        names = getattr(self, "feature_names_in_", [f"x{i}" for i in range(self.n_features_in_)])
        numbers = [(f, t) for f, t in zip(self.wire_features_, self.wire_thresholds_, strict=True) if t == t]
        level = "{1:g}".format if self._encoder is None else self._encoder.level
        found = [f"{names[feature]} > {level(feature, threshold)}" for feature, threshold in numbers]
        return found + [name for marks, column in zip(self._marks, names, strict=True) for name in marks.names(column)]

    def _importances(self) -> NDArray[np.float64]:
        """The sum of the model's measure of the wires of each feature, (F,), as parts of the whole."""
        check_is_fitted(self)
        planes = isinstance(self._conversion, PlaneConversion)
        sizes = None if planes else self.spec_.importances(self.state_)
        if sizes is None:
            what = f"model {self.model!r} has no importances{' of planes' * planes}"
            raise AttributeError(f"{what}; use sklearn.inspection.permutation_importance")
        total = np.bincount(self.wire_features_, weights=sizes, minlength=self.n_features_in_)
        return np.asarray(total / (total.sum() or 1.0))

    def __getstate__(self) -> dict[str, Any]:
        """Plain values and arrays, so that pickles do not depend on the engine."""
        state = dict(super().__getstate__())
        fields = ("_engine", "_conversion", "_predictor", "_writer", "_compiled")
        engine, conversion, *_ = (state.pop(name, None) for name in fields)
        if engine is not None:
            state["_binariser"] = getattr(conversion, "binariser", None)
            state["_learned"] = (engine.spec.family, engine.spec.to_json(), engine.name, dict(engine.state))
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        learned, binariser = (state.pop(name, None) for name in ("_learned", "_binariser"))
        super().__setstate__({**self._DEFAULTS, **state})  # an earlier version may have had fewer parameters
        if learned is not None:
            family, spec, name, values = learned
            if not hasattr(self, "_marks"):  # saved by a version without them
                self._encoder, self.is_categorical_ = None, None
                self._marks = [Marks(Column("number"))] * self.n_features_in_
            self._writer = MarkWriter(self._marks)
            engine = make_engine(find_family(family).read(spec), name, threads=self._threads())
            engine.state = values
            if binariser is None:
                self._conversion = self._make_conversion(self.wire_features_, self.wire_thresholds_)
            else:
                self._conversion = Planes(binariser)
            self._run(engine)


# -- parameters --------------------------------------------------------------------------------------------------------


def _options(task: str, own: Mapping[str, Any]) -> dict[str, list[tuple[Option, Any, str]]]:
    """The options of all families that learn ``task``, the default family's first: for each name the option, its
    default and the family of each that has it. Options called like one of ``own``, the parameters of all models, can
    only be given in ``model``."""
    found: dict[str, list[tuple[Option, Any, str]]] = {}
    for family in sorted(_families(task), key=lambda family: family.name != own["model"]):
        usual = {option.name: option.default for option in family.options} | dict(family.classifier)
        for option in family.options:
            if option.name not in own:
                found.setdefault(option.name, []).append((option, usual[option.name], family.name))
    return found


def _families(task: str) -> list[Family]:
    """The families that learn ``task``."""
    return [family for family in all_families(skip_broken=True) if task in family.tasks]


def _describe_options(options: Mapping[str, list[tuple[Option, Any, str]]], model: str) -> str:
    """The options of the families, for the docstring; ``model``: the default family."""
    lines = []
    for name, rows in options.items():
        option, default, family = rows[0]
        families = [name for _, _, name in rows]
        whose = "" if families == [model] else f" ({', '.join(families)})"
        usual = option.usual if default is None else str(default)
        by = f" for {family}" if len(families) > 1 else ""
        text = f"{name}: {option.help}{whose}; {option.expected}" + (f'; "auto"{by}: {usual}.' if usual else ".")
        lines.append(textwrap.fill(text, 108, initial_indent=" " * 8, subsequent_indent=" " * 12))
    return "\n".join(lines).strip()


def chosen(estimator: Any, model: Any, task: str, options: Iterable[str], usual: str) -> tuple[Family, dict[str, Any]]:
    """The family and the options that ``model`` and the parameters ``options`` of an estimator give for ``task``.

    ``usual``: a model that errors name. Raises UserError for a model of other tasks, an option that it does not have,
    and one that is given twice.
    """
    if not isinstance(model, str):
        raise UserError(f"model is {model!r}; expected text such as {usual!r}")
    name = model.partition(":")[0]
    if ".py:" not in model and not is_family(name) and name not in named_models():
        known = [family.name for family in _families(task)]
        known += [named for named, family in named_models().items() if task in family.tasks]
        raise UserError(f"model {model!r} is unknown to {type(estimator).__name__}; {nearest(name, known)}")
    family, given = parse_model(model)
    if task not in family.tasks:
        raise UserError(
            f"model {model!r} is for {' and '.join(family.tasks)}, and {type(estimator).__name__} was to learn {task}; "
            f"choose a model such as {usual!r}"
        )
    for name in filter(estimator._is_given, options):
        value = getattr(estimator, name)
        if name in ("loss", "optimiser"):
            found = family.rule_options(name, str(value))
        else:
            found = {name: family.known(name).parse(value, family.name)}
        for option, said in found.items():
            if given.setdefault(option, said) != said:
                raise UserError(
                    f"{option} is both {given[option]} and {said}, by model {model!r} and by parameters; leave one of "
                    "them out"
                )
    return family, given


def draw_seed(random_state: Any) -> int:
    """The seed that a ``random_state`` gives; raises UserError for an invalid one."""
    seed = int(random_state) if isinstance(random_state, np.integer) else random_state
    if not is_int(seed):
        seed = int(check_random_state(seed).randint(1 << 31))
    if not 0 <= seed < 1 << 64:
        raise UserError(f"random_state is {seed}; expected a whole number from 0 to {(1 << 64) - 1}")
    return seed


def same(a: Any, b: Any) -> bool:
    """Whether two values of an option are equal; equal arrays count as different."""
    return a is b or (isinstance(a, str | int | float | np.generic) and bool(a == b))


def whole(name: str, value: Any, other: str = "") -> int:
    """The ``value`` of a parameter as a whole number of at least 1; raises ValueError for another."""
    value = int(value) if isinstance(value, np.integer) else value
    if not is_int(value) or value < 1:
        raise ValueError(f"{name} is {value!r}; expected a whole number of at least 1{other}")
    return int(value)


# -- thresholds --------------------------------------------------------------------------------------------------------


def _quantile_levels(values: NDArray[np.float64], most: int) -> NDArray[np.float64]:
    """At most ``most`` thresholds for the sorted ``values`` (N,): quantiles, or one between any two values if few."""
    if not len(values):
        return values
    distinct = np.unique(values)
    below = distinct[:-1]
    if len(below) > most:
        ranks = -(-np.arange(1, most + 1) * len(values) // (most + 1)) - 1
        below = np.unique(values[ranks])
        below = below[below < distinct[-1]]
        if not len(below):  # nearly all values are the largest one
            below = distinct[-2:-1]
    above = distinct[np.searchsorted(distinct, below, side="right")]
    middle = below / 2 + above / 2
    return np.where((below <= middle) & (middle < above), middle, below)  # adjacent floats have no value between them


def _given_levels(thresholds: Any, features: int) -> list[NDArray[np.float64]]:
    """The thresholds of each feature, from those for all features or a sequence for each."""
    rows = list(thresholds)
    if all(np.ndim(row) == 0 for row in rows):
        rows = [rows] * features
    if len(rows) != features:
        raise ValueError(f"thresholds are for {len(rows)} features; expected {features}, or one sequence for all")
    levels = [np.unique(np.asarray(row, np.float64)) for row in rows]
    if not all(np.isfinite(values).all() for values in levels) or not any(map(len, levels)):
        raise ValueError(f"thresholds are {thresholds!r}; expected finite numbers, at least one")
    return levels


def _arrange(levels: Sequence[NDArray[np.float64]]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The wires' features and thresholds: the first threshold of each feature, then the second of each, …"""
    plane = np.concatenate([np.arange(len(values)) for values in levels])
    feature = np.repeat(np.arange(len(levels)), [len(values) for values in levels])
    order = np.lexsort((feature, plane))
    return feature[order], np.concatenate(levels)[order]


def _without_objects(array: NDArray[Any]) -> NDArray[Any]:
    """X (N, F) as scikit-learn's checks give it, which leave the categories of a data frame as objects."""
    try:
        return array.astype(np.float64) if array.dtype.kind == "O" else array
    except (TypeError, ValueError) as error:
        raise ValueError(f"X has columns that are not numbers ({error}); name them in categorical_features") from None
