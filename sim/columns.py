"""The columns of X for the estimators of scikit-learn: numbers, categories and missing values, all as numbers.

Categories become the numbers of their values in sorted order, -1 for a value that ``fit`` did not have. Categories that
have an order become numbers in that order, which get thresholds as other numbers have them, and NaN for a value that
has no place in it. NaN, None and what else a data frame calls missing become NaN.
"""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import _safe_indexing  # type: ignore[import-untyped]
from sklearn.utils.validation import check_array  # type: ignore[import-untyped]

from rdahw.data import Column
from rdahw.data.marks import Marks, find_rare

__all__ = [
    "CategoryEncoder",
    "as_numbers",
    "find_categorical",
    "find_marks",
    "is_missing",
    "refuse_dates",
    "refuse_tables",
]

#: How pandas and polars call the types of columns that hold categories.
_CATEGORIES = {"category", "categorical", "dictionary", "enum", "large_string", "str", "string"}
#: The most values that are in order because they are numbers; more of them are rather names.
_MOST_NUMBERS = 10
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")
#: How the types of columns of dates and times begin, and numbers that are made of one: in pandas, in pandas of a column
#: of Python's own objects, in polars.
_SECONDS = "pandas.to_timedelta({}.astype(str), errors='coerce').dt.total_seconds()"
_TIMES = (
    (("date", "period", "timestamp"), "{}.dt.year", "pandas.to_datetime({}).dt.year", "{}.dt.year()"),
    (("timedelta", "duration"), "{}.dt.total_seconds()", _SECONDS, "{}.dt.total_seconds()"),
    (("time",), _SECONDS, _SECONDS, "{}.dt.hour()"),
)


def find_categorical(X: Any, given: Any) -> NDArray[np.bool_] | None:
    """Which columns of X are categories, (F,), by the parameter ``categorical_features``; None if there are none.

    Raises ValueError for a parameter that does not fit X.
    """
    if given is None:
        return None
    names = [str(name) for name in getattr(X, "columns", ())]
    if isinstance(given, str) and given == "from_dtype":
        kinds = [re.split(r"[(<[]", str(kind).lower())[0] for kind in X.dtypes] if names else []
        found = np.array([kind in _CATEGORIES or kind == "object" and _is_text(X, i) for i, kind in enumerate(kinds)])
        return found if found.any() else None
    width, chosen = _table(X).shape[1], np.asarray(given)
    if not chosen.size:
        return None
    if chosen.ndim != 1 or chosen.dtype.kind not in "biuUO":
        raise ValueError(f"categorical_features is {given!r}; expected 'from_dtype', a mask, column numbers or names")
    if chosen.dtype.kind in "UO":
        unknown = [str(name) for name in chosen if name not in names]
        if unknown:
            raise ValueError(f"categorical_features has {unknown[0]!r}, which is no column name of X; X needs names")
        chosen = np.array([names.index(name) for name in chosen], np.int64)
    found = np.zeros(width, np.bool_)
    if chosen.dtype.kind == "b" and len(chosen) != width or chosen.dtype.kind != "b" and not _is_within(chosen, width):
        raise ValueError(f"categorical_features is {given!r}; X has {width} columns, numbered from 0")
    found[chosen] = True
    return found if found.any() else None


def _is_within(chosen: NDArray[Any], width: int) -> bool:
    return bool(((chosen >= 0) & (chosen < width)).all())


def _is_text(X: Any, i: int) -> bool:
    """Whether a column of Python objects in a data frame has texts."""
    return any(isinstance(value, str) for value in _column(X, i))


def _column(X: Any, i: int) -> Any:
    return X.iloc[:, i] if hasattr(X, "iloc") else X[:, i]


class CategoryEncoder:
    """X (N, F) with columns of categories, (F,) bool, as numbers; the categories are those of ``X``.

    With ``by_type`` they are in order where the type of a data frame's column states one, an ordered categorical type
    of pandas or an Enum of polars, and where all values are numbers, at most 10 of them. Raises ValueError for values
    that cannot be categories.
    """

    #: The columns in order: all values that the type states, or none where they are numbers. An encoder that was saved
    #: by an earlier version has none.
    _orders: Mapping[int, tuple[str, ...]] = MappingProxyType({})

    def __init__(self, X: Any, categorical: NDArray[np.bool_], *, by_type: bool) -> None:
        names = list(getattr(X, "columns", ()))
        for name in names if len({*names}) < len(names) else ():
            if names.count(name) > 1:
                raise ValueError(f"X has {names.count(name)} columns of the name {name!r}; expected one of each name")
        self._numbers = np.flatnonzero(~categorical).tolist()
        self._codes: dict[int, dict[Any, float]] = {}
        self._orders = orders = {}
        for i in np.flatnonzero(categorical).tolist():
            values = {value for value in _values(_table(X), i) if not is_missing(value)}
            stated = _stated_order(X, i) if by_type else None
            if stated is not None:
                orders[i] = tuple(map(str, stated))
            elif by_type and 0 < len(values) <= _MOST_NUMBERS and None not in map(_as_number, values):
                orders[i] = ()
                self._codes[i] = {}
                continue
            try:
                ordered = stated or sorted(values, key=lambda value: (isinstance(value, str), value))
            except TypeError:
                raise ValueError(f"the categories in column {i} of X are of types that cannot be sorted") from None
            self._codes[i] = {value: float(c) for c, value in enumerate(ordered)}

    @property
    def categories(self) -> dict[int, tuple[str, ...]]:
        """For each feature of categories without an order its values, as texts."""
        return {i: tuple(map(str, codes)) for i, codes in self._codes.items() if i not in self._orders}

    def level(self, feature: int, threshold: float) -> str:
        """What a feature is compared with by its wire of this threshold, in words."""
        order = self._orders.get(feature, ())
        return order[int(threshold)] if 0 <= threshold < len(order) else f"{threshold:g}"

    def _code(self, feature: int, value: Any) -> float:
        """The number of a category."""
        if is_missing(value):
            return math.nan
        code = self._codes[feature].get(value)
        if code is None and self._orders.get(feature) == ():
            code = _as_number(value)
        if code is None:
            return math.nan if feature in self._orders else -1.0
        return code

    def transform(self, X: Any) -> NDArray[np.float64]:
        """X (N, F) as numbers."""
        table = _table(X)
        array = np.empty((table.shape[0], len(self._numbers) + len(self._codes)))
        if self._numbers:
            numbers = _safe_indexing(table, self._numbers, axis=1)
            array[:, self._numbers] = as_numbers(
                numbers, lambda X: check_array(X, dtype=np.float64, ensure_all_finite="allow-nan", input_name="X")
            )
        for i in self._codes:
            values = _values(table, i)
            found = {value: self._code(i, value) for value in set(values)}
            array[:, i] = [found[value] for value in values]
        return array

    def one(self, x: Any) -> list[Any]:
        """A row x (F,) with its categories as numbers."""
        row = list(x)
        for i in self._codes:
            if i < len(row):
                row[i] = self._code(i, row[i])
        return row


def _stated_order(X: Any, i: int) -> list[Any] | None:
    """The categories of a column of a data frame in the order that its type states; None if it states none."""
    kind = list(X.dtypes)[i]
    return list(kind.categories) if getattr(kind, "ordered", False) or str(kind).startswith("Enum(") else None


def _as_number(value: Any) -> float | None:
    """The number that a category is or is named by; None if it is none."""
    if isinstance(value, bool) or not _NUMBER.fullmatch(str(value)):
        return None
    number = float(value)
    return number if math.isfinite(number) else None


def refuse_tables(X: Any) -> None:
    """Raise ValueError for tables other than arrays and the data frames of pandas and polars."""
    way = next((way for way in ("collect", "to_pandas") if hasattr(X, way)), None)
    if way == "collect" or way is not None and not hasattr(X, "dtypes"):
        raise ValueError(f"X is a {type(X).__name__}; give an array or a data frame, such as X.{way}()")


def as_numbers(X: Any, convert: Callable[[Any], Any]) -> Any:
    """``convert(X)``, where missing values among the objects of a data frame are NaN; raises ValueError that names the
    first column of it with a value that is no number."""
    try:
        return convert(X)
    except (TypeError, ValueError):
        if not hasattr(X, "columns"):
            raise
        objects = {}
        for i, (name, dtype) in enumerate(zip(X.columns, X.dtypes, strict=True)):
            with contextlib.suppress(TypeError, ValueError):
                if np.asarray(_column(X, i), np.float64).ndim == 1:
                    continue
            values = [math.nan if is_missing(value) else value for value in _column(X, i).to_list()]
            for value in values:
                _refuse_no_number(name, value)
            if str(dtype) == "object":
                objects[name] = np.array(values, np.float64)
        if not objects or not hasattr(X, "iloc"):
            raise
    return convert(X.assign(**objects))


def _refuse_no_number(name: Any, value: Any) -> None:
    try:
        float(value)
    except (TypeError, ValueError):
        way = "list it in categorical_features, or give numbers" if isinstance(value, str | bytes) else "give numbers"
        raise ValueError(f"column {name!r} of X holds {value!r:.60}, which is no number; {way}") from None


def refuse_dates(X: Any, categorical: NDArray[np.bool_] | None, called: str = "X") -> None:
    """Raise ValueError for dates, spans of time and complex numbers in X, except in columns of categories, (F,)."""
    if not hasattr(X, "columns"):
        if getattr(getattr(X, "dtype", None), "kind", None) in ("m", "M"):
            way = "X.astype(float)" if called == "X" else f"numpy.asarray({called}).astype(float)"
            raise ValueError(f"{called} holds dates or times ({X.dtype}); give numbers, such as {way}")
        return
    pandas = hasattr(X, "iloc")
    for i, (name, dtype) in enumerate(zip(X.columns, X.dtypes, strict=True)):
        if categorical is not None and i < len(categorical) and categorical[i]:
            continue
        kind = str(dtype)
        if objects := kind == "object":
            kind = type(next((value for value in _column(X, i) if not is_missing(value)), None)).__name__
        if kind.startswith("complex"):
            raise ValueError(f"column {name!r} of X holds complex numbers; give real ones")
        for kinds, *forms in _TIMES:
            if kind.lower().startswith(kinds):
                column = forms[objects if pandas else 2].format(f"X[{name!r}]")
                way = f"X[{name!r}] = {column}" if pandas else f"X = X.with_columns({column})"
                raise ValueError(
                    f"column {name!r} of X holds dates or times ({kind}); give numbers in its place, such as {way}"
                )


def _table(X: Any) -> Any:
    """X itself if it is a data frame, else as an array (N, F)."""
    return X if hasattr(X, "columns") else check_array(X, dtype=None, ensure_all_finite=False, input_name="X")


def _values(table: Any, i: int) -> list[Any]:
    """The values of a column, each of which can be a key."""
    values: list[Any] = np.asarray(_safe_indexing(table, i, axis=1), object).tolist()
    for value in values:
        if value.__hash__ is None:
            raise ValueError(f"column {i} of X has {value!r:.60}, which is no category; expected texts or numbers")
    return values


def is_missing(value: Any) -> bool:
    """Whether a value is NaN, None, or what else a data frame calls missing."""
    try:
        return value is None or bool(value != value)
    except TypeError:  # what pandas calls NA is not even true or false
        return True


def find_marks(array: NDArray[Any], encoder: CategoryEncoder | None) -> list[Marks]:
    """The wires of each feature that are not thresholds, by the training examples (N, F), encoded."""
    missing = np.isnan(array).any(axis=0) if array.dtype.kind == "f" else np.zeros(array.shape[1], np.bool_)
    categories = {} if encoder is None else encoder.categories
    marks = []
    for i in range(array.shape[1]):
        names = categories.get(i, ())
        column = Column("category" if names else "number", names, bool(missing[i]))
        marks.append(Marks(column, find_rare(column, array[:, i])))
    return marks
