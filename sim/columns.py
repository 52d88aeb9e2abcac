"""The columns of X for the estimators of scikit-learn: numbers, categories and missing values, all as numbers.

Categories become the numbers of their values in sorted order, -1 for a value that ``fit`` did not have. NaN, None and
what else a data frame calls missing become NaN.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import _safe_indexing  # type: ignore[import-untyped]
from sklearn.utils.validation import check_array  # type: ignore[import-untyped]

from rdahw.data import Column
from rdahw.data.marks import Marks, find_rare

__all__ = ["CategoryEncoder", "find_categorical", "find_marks", "is_missing"]

#: How pandas and polars call the types of columns that hold categories.
_CATEGORIES = {"category", "categorical", "enum", "str", "string"}


def find_categorical(X: Any, given: Any) -> NDArray[np.bool_] | None:
    """Which columns of X are categories, (F,), by the parameter ``categorical_features``; None if there are none.

    Raises ValueError for a parameter that does not fit X.
    """
    if given is None:
        return None
    names = [str(name) for name in getattr(X, "columns", ())]
    if isinstance(given, str) and given == "from_dtype":
        kinds = [str(kind).lower().partition("(")[0] for kind in X.dtypes] if names else []
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
    """Whether a column of Python objects in a data frame of pandas has texts."""
    return any(isinstance(value, str) for value in X.iloc[:, i])


class CategoryEncoder:
    """X (N, F) with columns of categories, (F,) bool, as numbers; the categories are those of ``X``.

    Raises ValueError for values that cannot be categories.
    """

    def __init__(self, X: Any, categorical: NDArray[np.bool_]) -> None:
        self._numbers = np.flatnonzero(~categorical).tolist()
        self._codes: dict[int, dict[Any, float]] = {}
        for i in np.flatnonzero(categorical).tolist():
            values = {value for value in _values(_table(X), i) if not is_missing(value)}
            try:
                ordered = sorted(values, key=lambda value: (isinstance(value, str), value))
            except TypeError:
                raise ValueError(f"the categories in column {i} of X are of types that cannot be sorted") from None
            self._codes[i] = {value: float(c) for c, value in enumerate(ordered)}

    @property
    def categories(self) -> dict[int, tuple[str, ...]]:
        """For each feature of categories its values in order, as texts."""
        return {i: tuple(map(str, codes)) for i, codes in self._codes.items()}

    def transform(self, X: Any) -> NDArray[np.float64]:
        """X (N, F) as numbers."""
        table = _table(X)
        array = np.empty((table.shape[0], len(self._numbers) + len(self._codes)))
        if self._numbers:
            numbers = _safe_indexing(table, self._numbers, axis=1)
            array[:, self._numbers] = check_array(
                numbers, dtype=np.float64, ensure_all_finite="allow-nan", input_name="X"
            )
        for i, codes in self._codes.items():
            values = _values(table, i)
            found = {value: np.nan if is_missing(value) else codes.get(value, -1.0) for value in set(values)}
            array[:, i] = [found[value] for value in values]
        return array

    def one(self, x: Any) -> list[Any]:
        """A row x (F,) with its categories as numbers."""
        row = list(x)
        for i, codes in self._codes.items():
            if i < len(row):
                row[i] = np.nan if is_missing(row[i]) else codes.get(row[i], -1.0)
        return row


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
