"""Converting numbers to bits by thresholds of which each column has its own, as a :class:`rdahw.data.Binariser`."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdahw.data._dataset import Column, columns_from_json, columns_to_json
from rdahw.data._json import damaged, is_list, members, number, texts
from rdahw.data.binarise import Binariser

__all__ = ["CELLS", "CellBinariser"]

#: The name of its rule. No training fits it: the thresholds are those of a model of another program.
CELLS = "cells"


@dataclass(frozen=True, eq=False)
class CellBinariser(Binariser):
    """Columns of numbers; a wire is 1 when its column is above its threshold.

    ``table`` is (most thresholds of a column, columns) float64: the thresholds of each column rising, then infinity.
    The wires are those of column 0, from its lowest threshold on, then those of column 1 and so on, and last one for
    each column with missing values.
    """

    @classmethod
    def of(cls, thresholds: Sequence[Sequence[float]], columns: Sequence[Column], names: Sequence[str]) -> Binariser:
        """The binariser with these rising thresholds of each column."""
        most = max(map(len, thresholds))
        table = np.array([[*row, *[math.inf] * (most - len(row))] for row in thresholds], np.float64).T
        rare: tuple[tuple[int, ...], ...] = ((),) * len(columns)
        return cls(CELLS, tuple(names), tuple(columns), table, rare=rare)

    @property
    def _owners(self) -> NDArray[np.int64]:
        """The column of each threshold."""
        return np.nonzero(np.isfinite(self.table.T))[0]

    @property
    def _flat(self) -> NDArray[np.float64]:
        """All thresholds in the order of the wires."""
        return self.table.T[np.isfinite(self.table.T)]

    @property
    def _missing(self) -> list[int]:
        return [i for i, column in enumerate(self.columns) if column.missing]

    @property
    def planes(self) -> int:
        """One, as the columns have different numbers of wires."""
        return 1

    def thresholds(self, column: int) -> list[float]:
        """The thresholds of a column, rising."""
        found: list[float] = self.table[np.isfinite(self.table[:, column]), column].tolist()
        return found

    def intervals(self, column: int) -> tuple[list[float], list[float]]:
        """See :meth:`Binariser.intervals`."""
        bounds = self.thresholds(column)
        return [*bounds, math.inf], [*bounds, float(np.nextafter(bounds[-1], np.inf)) if bounds else 0.0]

    @property
    def wire_columns(self) -> NDArray[np.int64]:
        """The column of each wire, (width,)."""
        return np.concatenate([self._owners, np.array(self._missing, np.int64)])

    @property
    def plane_width(self) -> int:
        """The number of wires."""
        return self.width

    @property
    def width(self) -> int:
        """The number of wires."""
        return len(self._flat) + len(self._missing)

    def _write(self, array: NDArray[Any], bits: NDArray[np.uint8]) -> None:
        thresholds = self._flat
        bits[:, : len(thresholds)] = array[:, self._owners] > thresholds
        if self._missing:
            bits[:, len(thresholds) :] = np.isnan(array[:, self._missing])

    @property
    def wire_names(self) -> tuple[str, ...]:
        """The meaning of each wire: "petal_length > 3.95", "age is missing"."""
        above = (f"{self.names[i]} > {t:g}" for i, t in zip(self._owners.tolist(), self._flat.tolist(), strict=True))
        return (*above, *(f"{self.names[i]} is missing" for i in self._missing))

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; floats are read back exactly."""
        return {
            "rule": self.rule,
            "names": list(self.names),
            "columns": columns_to_json(self.columns),
            "thresholds": [self.thresholds(i) for i in range(len(self.columns))],
        }

    @classmethod
    def from_json(cls, value: object) -> Binariser:
        """Read :meth:`to_json` back. Raises UserError for a malformed value."""
        _, names, columns, rows = members(value, "the binariser", ("rule", "names", "columns", "thresholds"))
        feature_names = texts(names, "the binariser's 'names'", least=1)
        kinds = columns_from_json(columns, "the binariser's 'columns'", len(feature_names))
        what = "the binariser's 'thresholds'"
        if any(column.kind != "number" for column in kinds):
            raise damaged("the binariser's 'columns'", "numbers")
        if not (is_list(rows) and len(rows) == len(kinds) and all(map(is_list, rows)) and any(rows)):
            raise damaged(what, f"{len(kinds)} lists of numbers")
        thresholds = [[float(number(item, what)) for item in row] for row in rows]
        if not all(a < b for row in thresholds for a, b in itertools.pairwise(row)):
            raise damaged(what, "rising")
        return cls.of(thresholds, kinds, feature_names)
