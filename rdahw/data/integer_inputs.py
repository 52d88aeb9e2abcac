"""A binariser as comparisons of whole numbers, for programs without floating point.

Feature i is given as the whole number of units of ``10 ** -decimals[i]``: with one decimal, 5.1 is 51. Categories are
their numbers, -1 for an unknown one; a missing value is :data:`MISSING`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdahw.data.binarise import Binariser
from rdahw.errors import UserError

__all__ = ["MISSING", "MOST", "IntegerInputs", "integer_inputs"]

#: The number that stands for a missing value, and the largest number.
MISSING, MOST = -(1 << 31), (1 << 31) - 2
#: Thresholds that are no decimals of 32 bits are rounded up to so many decimals behind the zeros of the largest.
_DECIMALS = 6
#: What is smaller counts as 0, as powers of ten end at 308.
_SMALLEST = 1e-290


@dataclass(frozen=True, slots=True, eq=False)
class IntegerInputs:
    """decimals (F,): see the module. tests (T, 4): rows (wire, feature, low, high) in rising order of wires; a wire is
    1 if the feature of one of its tests is from low to high, both included."""

    decimals: NDArray[np.int64]
    tests: NDArray[np.int64]

    @property
    def are_bytes(self) -> bool:
        """Whether numbers from 0 to 255 have all bits that numbers can have: what is above counts as 255."""
        low = self.tests[:, 2]
        return not self.decimals.any() and bool(((low < 256) | (low > MOST)).all())

    def numbers(self, features: NDArray[Any]) -> NDArray[np.int64]:
        """The whole numbers (N, F) of features (N, F), rounded up where a millionth of a unit or more is over."""
        scaled = np.ceil(np.round(features * 10.0**self.decimals, 6))
        return np.where(np.isnan(scaled), MISSING, scaled).astype(np.int64)

    def values(self, numbers: NDArray[np.int64]) -> NDArray[np.float64]:
        """The features (N, F) that whole numbers (N, F) stand for, as the binariser takes them."""
        return np.where(numbers == MISSING, np.nan, numbers / 10.0**self.decimals)


def integer_inputs(binariser: Binariser) -> IntegerInputs | None:
    """What ``binariser`` does, for whole numbers; None if its wires are not comparisons of one feature each.

    A feature has as many decimals as its thresholds, if these fit into 32 bits. Raises :class:`UserError` for
    thresholds outside of 32 bits.
    """
    if not binariser.has_thresholds:
        return None
    decimals = np.array([_decimals(binariser, i) for i in range(len(binariser.columns))])
    owners, tests = binariser.wire_columns, _marks(binariser)
    marked = {wire for wire, *_ in tests}
    wires = np.array([w for w in range(binariser.width) if w not in marked], np.int64)
    for wire, least in zip(wires.tolist(), _least(binariser, wires, owners, decimals).tolist(), strict=True):
        tests.append((wire, int(owners[wire]), least, MOST))
    return IntegerInputs(decimals, np.array(sorted(tests), np.int64).reshape(-1, 4))


def _decimals(binariser: Binariser, column: int) -> int:
    """How many decimals the thresholds of a column have."""
    if binariser.columns[column].kind != "number":
        return 0
    bounds, samples = binariser.intervals(column)
    known = np.array([value for value in (*bounds, *samples) if np.isfinite(value)])
    known[np.abs(known) < _SMALLEST] = 0
    largest = np.abs(known).max(initial=0)
    if largest >= MOST:
        raise UserError(
            f"{binariser.names[column]!r} has thresholds up to {largest:g}, and whole numbers have 32 bits; scale the "
            "column and train again"
        )
    digits = math.floor(math.log10(largest)) if largest else 0
    fitting = [found for found in range(11 - digits) if largest * 10.0**found < MOST]
    for found in fitting:
        scaled = known * 10.0**found
        rounding = 1e-9 * min(1.0, largest * 10.0**found)
        if np.allclose(scaled, np.round(scaled), rtol=1e-13, atol=rounding):
            return found
    return min(_DECIMALS + max(0, -digits), fitting[-1])


def _marks(binariser: Binariser) -> list[tuple[int, int, int, int]]:
    """The tests of the wires that are 1 for some categories or for missing values."""
    columns, found = binariser.columns, []
    for i, column in enumerate(columns):
        values = [-1, *range(len(column.categories))] if column.kind == "category" else []
        numbers = [*values, *[MISSING] * bool(values or column.missing)]
        rows = np.zeros((len(numbers), len(columns)))
        rows[:, i] = [np.nan if number == MISSING else number for number in numbers]
        bits = binariser.transform(rows) & (binariser.wire_columns == i)
        for number, wires in zip(numbers, bits, strict=True):
            found += [(wire, i, number, number) for wire in np.flatnonzero(wires).tolist()]
    return found


def _least(
    binariser: Binariser, wires: NDArray[np.int64], owners: NDArray[np.int64], decimals: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The least number of its feature for which each of ``wires`` is 1, ``MOST + 1`` if there is none: by bisection, as
    such a wire is 1 for all larger numbers."""
    columns, places, counts = owners[wires], np.empty(len(wires), np.int64), dict[int, int]()
    for place, column in enumerate(columns.tolist()):  # each wire of a column is tried in a row of its own
        places[place] = counts[column] = counts.get(column, -1) + 1
    low, high = np.full(len(wires), MISSING + 1), np.full(len(wires), MOST + 1)
    rows: NDArray[Any] = np.zeros((max(counts.values(), default=-1) + 1, len(binariser.columns)))
    while (low < high).any():
        middle = (low + high) >> 1
        rows[places, columns] = middle / 10.0 ** decimals[columns]
        is_set = binariser.transform(rows)[places, wires] == 1
        low, high = np.where(is_set | (low == high), low, middle + 1), np.where(is_set, middle, high)
    return low
