"""Converting features to bits.

A rule converts each number column to one or more bits, the planes:

- ``midrange``: one plane, 1 when ``(v - min) / (max - min) > 0.5`` in float64 (the paper's rule for Iris); a column
  that is constant in training gives 0.
- ``threshold=K`` or ``threshold=K1,K2,…`` (rising): plane p is 1 when ``v > K_p`` (the paper's rule for MNIST, K = 32).
- ``thermometer=K``: plane p is 1 when ``v > min + (max - min) * (p + 1) / (K + 1)``, p = 0 .. K-1.
- ``quantile=K``: plane p is 1 when v is greater than the training value number ceil((p + 1) * N / (K + 1)) in rising
  order, counted from 1. Thresholds are training values, never between two; if a value is frequent, several thresholds
  and their planes may be equal.
- ``fixed=F``: 16 planes, the bits of ``v * 2^F`` as a signed number (two's complement, plane 0 the lowest bit): rounded
  towards 0 and limited to 16 bits. For columns of numbers only.

Images have rules of planes besides, such as ``threshold=32,128+hog=4/3/20``: see :mod:`rdahw.data.planes`.

With every rule a binary column is one wire, and a category column is one wire per category (one-hot). A missing value,
NaN, gives 0 on all of these wires; a column whose training data had missing values has one more wire, which is 1 there.
Rare categories may share a wire: :mod:`rdahw.data.marks`. The wires of plane 0 come first: all columns in order. Each
further plane has the number columns in order. With number columns only, none of them with missing values,
wire = plane * features + feature. Thresholds are fitted to the values that are there; a column without any has 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rdahw.bits import PackedBits
from rdahw.data._dataset import Column, Dataset, FileRows, columns_from_json, columns_to_json
from rdahw.data._json import damaged, is_int, is_list, members, number, texts
from rdahw.data.marks import Marks, MarkWriter, find_rare
from rdahw.data.planes import KINDS, MAX_PLANES, PRESETS, is_plane_rule, parse_planes
from rdahw.errors import UsageError, UserError, nearest

RULES = ("midrange", "threshold=K", "thermometer=K", "quantile=K", "fixed=F")
#: So many examples are packed at once.
_ROWS = 1 << 12
#: The bits of a number in fixed point.
FIXED_BITS = 16
_OF_IMAGES = (*(kind.usage for kind in KINDS.values() if kind.name != "threshold"), *PRESETS)


@dataclass(frozen=True, eq=False)
class Binariser:
    """A rule fitted to training data.

    ``table`` is float64: for midrange the minima and maxima of the number columns, (2, numbers); otherwise thresholds,
    (planes, numbers), or (planes, 1) for ``threshold``, where all columns share them, and for ``fixed``, where they are
    the values of the bits. ``rare`` has for each column the categories that count as other, rising.
    """

    rule: str
    names: tuple[str, ...]
    columns: tuple[Column, ...]
    table: NDArray[np.float64]
    rare: tuple[tuple[int, ...], ...] = field(kw_only=True)

    @classmethod
    def fit(
        cls,
        rule: str,
        features: ArrayLike,
        columns: Sequence[Column],
        names: Sequence[str] | None = None,
        image_shape: tuple[int, ...] | None = None,
    ) -> Binariser:
        """Fit ``rule`` to training features (N, F) whose columns are of the given kinds, N >= 1.

        ``names`` are the names of the features (default x0, x1, …), for :attr:`wire_names`; ``image_shape`` is needed
        by rules of planes. Raises UsageError for an unknown rule, UserError for features that do not fit.
        """
        made_up = tuple(f"x{i}" for i in range(len(columns))) if names is None else tuple(names)
        if is_plane_rule(rule):
            from rdahw.data.plane_binariser import PlaneBinariser

            return PlaneBinariser.make(rule, columns, made_up, image_shape)
        kind, values = _parse(rule)
        array = _checked(features, columns)
        if not len(array):
            raise UserError("a binariser cannot be fitted to no examples; expected one or more")
        numbers = _number_columns(array, columns)
        other = next((i for i, c in enumerate(columns) if c.kind != "number" or c.missing), None)
        if kind == "fixed" and other is not None:
            what = {"category": "has categories", "binary": "is binary", "number": "has missing values"}
            raise UserError(
                f"the binarising rule {rule!r} takes numbers, and column {made_up[other]!r} "
                f"{what[columns[other].kind]}; use thermometer=K"
            )
        if kind in ("threshold", "fixed"):
            table = np.array(values, dtype=np.float64)[:, None]
        elif kind == "quantile":
            planes = int(values[0])
            table = _quantiles(numbers, planes)
        else:
            low, high = _extremes(numbers)
            with np.errstate(over="ignore"):
                span = high - low
            if not np.isfinite(span).all():
                raise UserError("a feature spans more than the largest float64; scale the data")
            if kind == "midrange":
                table = np.stack([low, high])
            else:
                planes = int(values[0])
                parts = np.arange(1, planes + 1)[:, None] / (planes + 1)
                table = low + span * parts
        rare = tuple(find_rare(column, array[:, i]) for i, column in enumerate(columns))
        return cls(rule, made_up, tuple(columns), table, rare=rare)

    @property
    def _marks(self) -> list[Marks]:
        return [Marks(*column) for column in zip(self.columns, self.rare, strict=True)]

    @property
    def planes(self) -> int:
        """The number of bits for each number column."""
        return 1 if self.rule == "midrange" else len(self.table)

    @property
    def is_fixed(self) -> bool:
        """Whether the planes are the bits of numbers in fixed point."""
        return self.rule.startswith("fixed=")

    @property
    def has_thresholds(self) -> bool:
        """Whether each wire of a number says that it is above a threshold."""
        return not self.is_fixed

    def intervals(self, column: int) -> tuple[list[float], list[float]]:
        """The intervals of a number column that its wires tell apart: the largest value of each, infinity for the last,
        and a value in each."""
        at = _numbers(self.columns).index(column)
        table = self.table[:, at if self.table.shape[1] > 1 else 0]
        if self.rule == "midrange":
            low, high = table.tolist()
            return ([low / 2 + high / 2, math.inf], [low, high]) if low < high else ([math.inf], [low])
        bounds = np.unique(table).tolist()
        return [*bounds, math.inf], [*bounds, float(np.nextafter(bounds[-1], np.inf))]

    @property
    def wire_columns(self) -> NDArray[np.int64]:
        """The column of each wire, (width,)."""
        own = [(marks.column.kind != "category") + marks.width for marks in self._marks]
        more = np.array(_numbers(self.columns) * (self.planes - 1), np.int64)
        return np.concatenate([np.repeat(np.arange(len(own)), own), more])

    @property
    def plane_width(self) -> int:
        """The number of wires of each plane but the first."""
        return len(_numbers(self.columns))

    @property
    def width(self) -> int:
        """The number of wires."""
        first = sum((marks.column.kind != "category") + marks.width for marks in self._marks)
        return first + (self.planes - 1) * len(_numbers(self.columns))

    def transform(self, features: ArrayLike) -> NDArray[np.uint8]:
        """The wires, 0 or 1, (N, width), of features (N, F); NaN is a missing value, -1 an unknown category.

        Raises UserError for another F, for infinite numbers, and for numbers that are not those of categories.
        """
        array = _checked(features, self.columns)
        bits = np.zeros((len(array), self.width), dtype=np.uint8)
        self._write(array, bits)
        return bits

    def pack(self, features: ArrayLike, progress: Callable[[int, int], object] | None = None) -> PackedBits:
        """As :meth:`transform`, packed and in little more memory than that takes, for very many examples.

        ``progress`` is called with (examples done, examples in all).
        """
        given: Any = features
        parts: Iterable[Any] = given.parts() if isinstance(given, FileRows) else (np.asarray(given),)
        words = np.zeros((len(given), -(-self.width // 64)), np.uint64)
        done = 0
        for part in parts:
            array = _checked(part, self.columns)
            for start in range(0, len(array), _ROWS):
                rows = array[start : start + _ROWS]
                # Wire by wire, as comparing and packing adjacent examples is many times as fast.
                wires = np.zeros((64 * words.shape[1], len(rows)), np.uint8)
                self._write(rows, wires[: self.width].T)
                octets = wires[::8]
                for bit in range(1, 8):
                    octets |= wires[bit::8] << np.uint8(bit)
                words[done : done + len(rows)] = np.ascontiguousarray(octets.T).view("<u8")
                done += len(rows)
                if progress is not None:
                    progress(done, len(given))
        return PackedBits(words, self.width)

    def _write(self, array: NDArray[Any], bits: NDArray[np.uint8]) -> None:
        """Set the wires (N, width), which are 0, of features (N, F)."""
        numbers = _number_columns(array, self.columns)

        first = []  # the wire of plane 0 of each number column
        firsts, wire = [], 0  # the first of the marks of each column, and the next wire
        for i, marks in enumerate(self._marks):
            if marks.column.kind == "number":
                first.append(wire)
            elif marks.column.kind == "binary":
                bits[:, wire] = array[:, i] > 0
            firsts.append(wire + (marks.column.kind != "category"))
            wire = firsts[-1] + marks.width
        MarkWriter(self._marks, firsts).write(array, bits)
        if not first:
            return
        bits[:, slice(0, wire) if len(first) == wire else first] = self._plane(numbers, 0)
        for plane in range(1, self.planes):
            bits[:, wire : wire + len(first)] = self._plane(numbers, plane)
            wire += len(first)

    def _plane(self, numbers: NDArray[Any], plane: int) -> NDArray[np.bool_]:
        if self.rule == "midrange":
            low, high = self.table
            constant = high == low
            with np.errstate(over="ignore"):  # a value far out of range becomes infinite, which compares correctly
                scaled = (numbers - low) / np.where(constant, 1.0, high - low)
            return np.asarray((scaled > 0.5) & ~constant)
        thresholds = self.table[plane]
        if self.is_fixed:
            limit = 1 << FIXED_BITS - 1
            fixed = np.clip(np.trunc(np.nan_to_num(numbers / self.table[0])), -limit, limit - 1).astype(np.int64)
            return np.asarray(fixed >> plane & 1 == 1)
        if numbers.dtype == np.uint8:
            # For whole v, v > t if and only if v > floor(t); comparing small integers is much faster.
            whole = np.floor(thresholds)
            above = np.asarray(numbers > np.clip(whole, 0, 255).astype(np.uint8))
            return above | (whole < 0) if (whole < 0).any() else above
        return np.asarray(numbers > thresholds)

    @property
    def wire_names(self) -> tuple[str, ...]:
        """The meaning of each wire: "petal_length > 3.95", "petal_length, bit 0", "colour = red", "colour is other",
        "age is missing" or the name of a binary column."""
        if self.is_fixed:
            return tuple(f"{name}, bit {plane}" for plane in range(self.planes) for name in self.names)
        names = []
        at = [j for j, column in enumerate(self.columns) if column.kind == "number"]
        first = self._thresholds(0)
        for name, marks in zip(self.names, self._marks, strict=True):
            if marks.column.kind == "number":
                names.append(f"{name} > {next(first):g}")
            elif marks.column.kind == "binary":
                names.append(name)
            names += marks.names(name)
        for plane in range(1, self.planes):
            names += [f"{self.names[j]} > {t:g}" for j, t in zip(at, self._thresholds(plane), strict=True)]
        return tuple(names)

    def _thresholds(self, plane: int) -> Any:
        row = (self.table / 2).sum(axis=0) if self.rule == "midrange" else self.table[plane]
        return iter(np.broadcast_to(row, len(_numbers(self.columns))).tolist())

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; floats are read back exactly."""
        return {
            "rule": self.rule,
            "names": list(self.names),
            "columns": columns_to_json(self.columns),
            "table": self.table.tolist(),
            **({"rare": [list(each) for each in self.rare]} if any(self.rare) else {}),
        }

    @classmethod
    def from_json(cls, value: object) -> Binariser:
        """Read :meth:`to_json` back. Raises UserError for a malformed value."""
        if isinstance(value, dict) and isinstance(value.get("rule"), str) and is_plane_rule(value["rule"]):
            from rdahw.data.plane_binariser import PlaneBinariser

            return PlaneBinariser.from_json(value)
        if isinstance(value, dict) and value.get("rule") == "cells":
            from rdahw.data.cell_binariser import CellBinariser

            return CellBinariser.from_json(value)
        keys = ("rule", "names", "columns", "table")
        has_rare = isinstance(value, dict) and "rare" in value
        rule, names, columns, rows, *rare = members(value, "the binariser", (*keys, "rare") if has_rare else keys)
        if not isinstance(rule, str):
            raise damaged("the binariser's 'rule'", "a text")
        try:
            kind, values = _parse(rule)
        except UsageError:
            raise damaged("the binariser's 'rule'", f"one of {', '.join(RULES)}") from None
        feature_names = texts(names, "the binariser's 'names'", least=1)
        kinds = columns_from_json(columns, "the binariser's 'columns'", len(feature_names))
        count = len(_numbers(kinds))
        if kind in ("threshold", "fixed"):
            shape = (len(values), 1)
        else:
            shape = (2 if kind == "midrange" else int(values[0]), count)
        what = "the binariser's 'table'"
        if not (is_list(rows) and len(rows) == shape[0] and all(is_list(row) and len(row) == shape[1] for row in rows)):
            raise damaged(what, f"{shape[0]} rows of {shape[1]} numbers")
        table = np.array([[number(item, what) for item in row] for row in rows], dtype=np.float64).reshape(shape)
        if kind in ("threshold", "fixed") and table[:, 0].tolist() != values:
            raise damaged(what, f"the thresholds of the rule {rule!r}")
        with np.errstate(over="ignore"):
            spans = table[1:] - table[:-1]
        if not ((spans >= 0) & np.isfinite(spans)).all():
            raise damaged(what, "rising from row to row")
        return cls(
            rule, feature_names, kinds, table, rare=_rare_from_json(rare[0], kinds) if rare else ((),) * len(kinds)
        )


def fit_binariser(dataset: Dataset, rule: str | None = None) -> Binariser:
    """Fit ``rule`` (default: :func:`default_rule`) to the training part of the data set, or to its whole range where
    ``whole_range`` is set. Raises as :meth:`Binariser.fit`."""
    chosen = default_rule(dataset) if rule is None else rule
    return Binariser.fit(chosen, dataset.fit_features, dataset.columns, dataset.feature_names, dataset.image_shape)


def default_rule(dataset: Dataset) -> str:
    """``threshold=32`` for images of values 0 to 255, else ``midrange``."""
    pixels = dataset.image_shape is not None and dataset.train.features.dtype == np.uint8
    return "threshold=32" if pixels and dataset.columns[0].kind == "number" else "midrange"


def image_rule(dataset: Dataset) -> str:
    """As :func:`default_rule`, but ``colour`` for colour images, whose planes suit models that choose among many bits.
    Images of more than 64 x 64 pixels, which would have millions of them, are excepted."""
    rule, shape = default_rule(dataset), dataset.image_shape
    few = shape is not None and len(shape) == 3 and shape[1] * shape[2] <= 64 * 64
    return "colour" if few and rule != "midrange" else rule


def check_rule(rule: str) -> None:
    """Raise UsageError unless ``rule`` is a rule with a valid K, or one of planes."""
    (parse_planes if is_plane_rule(rule) else _parse)(rule)


def _parse(rule: str) -> tuple[str, list[float]]:
    """The kind of rule, and its K: thresholds, a number of planes, or for ``fixed`` the values of the bits."""
    kind, equals, text = rule.partition("=")
    known = [name.partition("=")[0] for name in RULES]
    if kind not in known:
        raise UsageError(
            f"there is no binarising rule {rule!r} among {', '.join(RULES)} or, for images, {', '.join(_OF_IMAGES)}; "
            f"{nearest(kind, [*known, *KINDS, *PRESETS])}"
        )
    if kind == "midrange":
        if equals:
            raise UsageError(f"the binarising rule {rule!r} has a value; write midrange alone")
        return kind, []
    if kind == "threshold":
        try:
            values = [float(item) for item in text.split(",")]
        except ValueError:
            values = []
        rising = all(a < b for a, b in zip(values, values[1:], strict=False))
        if not 0 < len(values) <= MAX_PLANES or not all(map(math.isfinite, values)) or not rising:
            raise UsageError(
                f"the binarising rule {rule!r} needs rising thresholds, at most {MAX_PLANES}; write threshold=32 or "
                "threshold=64,128"
            )
        return kind, values
    if kind == "fixed":
        if not (text.isascii() and text.isdecimal() and len(text) < 3 and int(text) < FIXED_BITS):
            raise UsageError(
                f"the binarising rule {rule!r} needs a number of bits after the point, 0 to {FIXED_BITS - 1}; write "
                "for example fixed=10"
            )
        return kind, [2.0 ** (bit - int(text)) for bit in range(FIXED_BITS)]
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and 1 <= int(text) <= MAX_PLANES):
        raise UsageError(
            f"the binarising rule {rule!r} needs a number from 1 to {MAX_PLANES}; write for example {kind}=3"
        )
    return kind, [float(text)]


def _numbers(columns: Sequence[Column]) -> list[int]:
    return [i for i, column in enumerate(columns) if column.kind == "number"]


def _number_columns(array: NDArray[Any], columns: Sequence[Column]) -> NDArray[Any]:
    """The number columns of features (N, F): the array itself if there are no others."""
    at = _numbers(columns)
    return array if len(at) == len(columns) else array[:, at]


def _extremes(numbers: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The minimum and the maximum of each column (N, F), without NaN."""
    low = np.fmin.reduce(numbers, axis=0).astype(np.float64)
    high = np.fmax.reduce(numbers, axis=0).astype(np.float64)
    return np.nan_to_num(low), np.nan_to_num(high)


def _quantiles(numbers: NDArray[Any], planes: int) -> NDArray[np.float64]:
    """The thresholds of ``quantile``, (planes, F), of numbers (N, F)."""
    table = np.empty((planes, numbers.shape[1]))
    for j in range(numbers.shape[1]):  # column by column, as a sorted copy of all may be large
        values = np.sort(numbers[:, j])
        count = np.count_nonzero(values == values)  # without NaN, which is sorted to the end
        table[:, j] = values[-(-np.arange(1, planes + 1) * count // (planes + 1)) - 1]  # exact ceiling, from 0
    return np.nan_to_num(table)


def _rare_from_json(value: object, columns: Sequence[Column]) -> tuple[tuple[int, ...], ...]:
    what = "the binariser's 'rare'"
    if not (is_list(value) and len(value) == len(columns)):
        raise damaged(what, f"a list of {len(columns)} lists")
    for each, column in zip(value, columns, strict=True):
        rising = is_list(each) and all(map(is_int, each)) and each == sorted({*each})
        if not rising or not all(0 <= c < len(column.categories) for c in each):
            raise damaged(what, "the rising category numbers of each column")
    return tuple(map(tuple, value))


def _checked(features: ArrayLike, columns: Sequence[Column]) -> NDArray[Any]:
    array = np.asarray(features)
    if array.ndim != 2 or array.shape[1] != len(columns):
        raise UserError(f"features of shape {array.shape} do not fit, expected (N, {len(columns)})")
    if array.dtype != np.uint8:
        array = array.astype(np.float64, copy=False)
        if np.isinf(array).any():
            row, column = np.argwhere(np.isinf(array))[0]
            raise UserError(f"example {row}, feature {column} is {array[row, column]}, which is not a finite number")
    for i, each in enumerate(columns):
        if each.kind != "category":
            continue
        values, count = array[:, i], len(each.categories)
        known = (values >= -1) & (values < count) & (values == np.floor(values)) | np.isnan(values)
        if not known.all():
            row = np.flatnonzero(~known)[0]
            raise UserError(
                f"example {row}, feature {i} is {values[row]:g}; expected the number of a category, 0 to {count - 1}, "
                "-1 for an unknown one or NaN for a missing one"
            )
    return array
