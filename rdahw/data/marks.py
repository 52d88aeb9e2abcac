"""Wires for what is no number: categories, and values that are missing.

A category column has a wire for each category; a column of any kind whose training data had missing values has a wire
that is 1 where the value is missing, and then its other wires are 0. Categories that are rare in training have one wire
together, ``other``, which is also 1 for categories that training did not have: so tables learn from the rare ones what
to make of the unknown. Rare are categories with at most one of 1,000 training examples, or a single one; if they have
fewer than 10 examples together, too few to learn from, there is no such wire, and each has its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rdahw.data._dataset import Column

__all__ = ["Marks", "count_unseen", "find_rare"]

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

    def transform(self, values: ArrayLike) -> NDArray[np.uint8]:
        """The wires, 0 or 1, (N, width), of values (N,): in a category column category numbers, -1 for an unknown one;
        NaN where the value is missing, which is unknown too if training had no missing values."""
        array = np.asarray(values)
        count = len(self.column.categories)
        # The row of the table: 0 for a number or an unknown category, then the categories, then missing.
        gap = count + 1 if self.column.missing else 0
        row = np.where(np.isnan(array), gap, array + 1 if count else 0).astype(np.int64)
        table = np.zeros((count + 2, self.width), np.uint8)
        own = [c for c in range(count) if c not in set(self.rare)]
        table[np.array(own, np.int64) + 1, range(len(own))] = 1
        if self.rare:
            table[[0, *(c + 1 for c in self.rare)], len(own)] = 1
        if self.column.missing:
            table[-1, -1] = 1
        return table[row]
