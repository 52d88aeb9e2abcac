"""Binarisers turned back: which bits a column can have, and what values of the column they stand for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdahw.data.binarise import Binariser

__all__ = ["Choice", "choices", "describe", "free_bits", "pixels"]


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """The bits that one column can have.

    wires (n,): the wires of the column. patterns (m, n): what can be on them. values (m,): a value of the column for
    each pattern: of a number the largest one, infinity for the last.
    """

    column: int
    wires: NDArray[np.int64]
    patterns: NDArray[np.uint8]
    values: NDArray[np.float64]

    def value(self, bits: NDArray[Any]) -> int | None:
        """The number of the pattern that is on the wires of an example (width,)."""
        found = np.flatnonzero((self.patterns == bits[self.wires]).all(axis=1))
        return int(found[0]) if found.size else None


def choices(binariser: Binariser) -> list[Choice]:
    """The choice of each column. Where columns have no such few values, in planes of images and numbers in fixed point,
    each wire is a choice of its own, with the number of the wire in place of a column."""
    if not binariser.has_thresholds:
        return free_bits(binariser.width)
    found = [_values(binariser, i) for i in range(len(binariser.columns))]
    rows = max(len(values) for values, _ in found)
    bits = binariser.transform(np.stack([np.resize(samples, rows) for _, samples in found], axis=1))
    owner, columns = binariser.wire_columns, []
    for i, (values, samples) in enumerate(found):
        wires = np.flatnonzero(owner == i)
        columns.append(Choice(i, wires, bits[: len(samples)][:, wires], np.array(values)))
    return columns


def free_bits(width: int) -> list[Choice]:
    """A choice for each wire."""
    pair, values = np.array([[0], [1]], np.uint8), np.arange(2.0)
    return [Choice(wire, np.array([wire]), pair, values) for wire in range(width)]


def _values(binariser: Binariser, i: int) -> tuple[list[float], list[float]]:
    """The values of column i for each pattern of its wires, and values that have the pattern."""
    column = binariser.columns[i]
    if column.kind == "number":
        values, samples = binariser.intervals(i)
    else:
        # Of the rare categories, which share a wire, the first.
        rare = binariser.rare[i][1:]
        values = [float(c) for c in range(len(column.categories) or 2) if c not in rare]
        samples = values
    missing = [math.nan] * column.missing
    return [*values, *missing], [*samples, *missing]


def describe(binariser: Binariser, options: Sequence[Choice], x: NDArray[np.uint8]) -> list[dict[str, Any]]:
    """What the columns of the example x (width,) are, as JSON: of a number ``above`` (not included) and ``to``
    (included), None without a bound, or in fixed point its ``value``; of another column its ``value``, None where it is
    missing. Nothing of images in planes."""
    found: list[dict[str, Any]] = []
    if binariser.is_fixed:
        weights = binariser.table[:, 0] * np.where(np.arange(binariser.planes) == binariser.planes - 1, -1, 1)
        numbers = weights @ x.reshape(binariser.planes, -1)
        return [{"column": name, "value": value} for name, value in zip(binariser.names, numbers.tolist(), strict=True)]
    if not binariser.has_thresholds:
        return []
    for option in options:
        name, column, at = binariser.names[option.column], binariser.columns[option.column], option.value(x)
        value = math.nan if at is None else float(option.values[at])
        if math.isnan(value):
            found.append({"column": name, "value": None})
        elif column.kind == "number":
            below = option.values[option.values < value]
            above = float(below.max()) if below.size else None
            found.append({"column": name, "above": above, "to": None if math.isinf(value) else value})
        else:
            named = column.categories[int(value)] if column.kind == "category" else int(value)
            found.append({"column": name, "value": named})
    return found


def pixels(options: Sequence[Choice], x: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The columns of the example x (width,) as levels from 0 to 1, (columns,): the place of each among its patterns."""
    return np.array([(option.value(x) or 0) / max(1, len(option.patterns) - 1) for option in options])
