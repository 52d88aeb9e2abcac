"""Wires for values that are not numbers: categories and missing values.

A category column has a wire for each category; a column of any kind whose training data had missing values has a wire
that is 1 where the value is missing, and then its other wires are 0. Categories that are rare in training have one wire
together, ``other``, which is also 1 for categories that training did not have: so tables learn from the rare ones what
to make of the unknown. Rare are categories with at most one of 1,000 training examples, or a single one; if they have
fewer than 10 examples together, too few to learn from, there is no such wire, and each has its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdahw.data._dataset import Column

__all__ = ["MarkWriter", "Marks", "count_unseen", "find_rare"]

#: A category with at most one of so many examples is rare, and together the rare ones have at least so many examples.
_RARE, _FEWEST = 1000, 10


def find_rare(column: Column, values: NDArray[Any]) -> tuple[int, ...]:
    """The categories, in rising order, that one wire stands for, by the training values (N,) of a column."""
    if column.kind != "category":
        return ()
    counts = np.bincount(values[values >= 0].astype(np.int64), minlength=len(column.categories))
    few = counts <= max(1, len(values) // _RARE)
    return tuple(np.flatnonzero(few).tolist()) if counts[few].sum() >= _FEWEST else ()


def count_unseen(columns: Sequence[Column], features: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """How many of the features (N, F) are categories that training did not have, and how many are missing in columns
    that had no missing values; both for each column, (F,)."""
    categories = np.array([column.kind == "category" for column in columns])
    whole = np.array([not column.missing for column in columns])
    return (features < 0).sum(axis=0) * categories, (features != features).sum(axis=0) * whole


@dataclass(frozen=True, slots=True)
class Marks:
    """The marks of a column: a wire for each category that is not ``rare``, one for those if there are any, and one for
    missing values if the column has them."""

    column: Column
    rare: tuple[int, ...] = ()

    @property
    def width(self) -> int:
        """The number of wires."""
        return len(self.column.categories) - len(self.rare) + bool(self.rare) + self.column.missing

    def names(self, name: str) -> list[str]:
        """The meaning of each wire of the column called ``name``: "colour = red"."""
        rare = set(self.rare)
        names = [f"{name} = {category}" for c, category in enumerate(self.column.categories) if c not in rare]
        return names + [f"{name} is other"] * bool(rare) + [f"{name} is missing"] * self.column.missing

    @property
    def wires(self) -> NDArray[np.int64]:
        """Which wire is 1, -1 for none, (categories + 2,): of an unknown category or a number, of each category, of a
        missing value, which is unknown too if training had none."""
        found = np.full(len(self.column.categories) + 2, -1)
        rare = np.zeros(len(found), np.bool_)
        rare[[c + 1 for c in self.rare]] = True
        own = ~rare[1:-1]
        found[1:-1][own] = np.arange(own.sum())
        if self.rare:
            found[rare] = found[0] = own.sum()
        found[-1] = self.width - 1 if self.column.missing else found[0]
        return found


class MarkWriter:
    """Writes the marks of columns; those of column i begin at wire ``firsts[i]``, or follow those before.

    ``width`` is the number of marks.
    """

    def __init__(self, marks: Sequence[Marks], firsts: Sequence[int] | None = None) -> None:
        widths = [each.width for each in marks]
        self.width = sum(widths)
        if firsts is None:
            firsts = [0, *accumulate(widths)]
        self._columns = np.array([i for i, each in enumerate(marks) if each.width], np.int64)
        tables = [np.where(marks[i].wires < 0, -1, marks[i].wires + firsts[i]) for i in self._columns]
        self._wires = np.concatenate([np.zeros(0, np.int64), *tables])
        ends = np.cumsum([len(table) for table in tables], dtype=np.int64)
        self._last, self._first = ends - 1, ends - [len(table) for table in tables]
        self._is_category = np.array([marks[i].column.kind == "category" for i in self._columns])

    def write(self, features: NDArray[Any], bits: NDArray[np.uint8]) -> None:
        """Set the wires in ``bits`` (N, wires), which are 0, that mark the features (N, F): in a category column
        category numbers, -1 for an unknown one; NaN where a value is missing."""
        values = features[:, self._columns]
        places = np.where(self._is_category, values + 1, 0) + self._first
        wires = self._wires[np.where(np.isnan(values), self._last, places).astype(np.int64)]
        rows, columns = np.nonzero(wires >= 0)
        bits[rows, wires[rows, columns]] = 1
