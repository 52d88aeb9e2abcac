"""Data sets from a text table (CSV), and further examples for a schema. The rules:

- UTF-8; cells are separated by commas; if the first line has none, by semicolons or else tabs. Blank lines are skipped
  and white space around a cell is removed.
- The first row is a header unless one of its cells is a number. Without a header the columns are called
  ``column 1``, ``column 2``, …
- The label is the given column (a name, or a number from 1); else one called label, class, target or species
  (upper or lower case, in this order of preference); else the last. Classes are numbered in sorted order: by value
  when all are numbers, else by text.
- A column is binary if its values are exactly the numbers 0 and 1, or true/false, or yes/no. It is a number column if
  at least half of its cells that are not empty are numbers; then every cell must be a finite number. Otherwise it is
  categorical, with the categories sorted by text. No cell may be empty.
"""

from __future__ import annotations

import csv
import hashlib
import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rdahw.data._dataset import Column, Dataset, Examples, Schema
from rdahw.errors import UserError, nearest

LABEL_COLUMNS = ("label", "class", "target", "species")
MAX_CATEGORIES = 1000  # each takes a wire; a column with more is free text or an identifier
MAX_CLASSES = 1000  # a column with more is a quantity, or not the label

_BINARY_WORDS = {"false": 0.0, "true": 1.0, "no": 0.0, "yes": 1.0}
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")


@dataclass(frozen=True)
class _Table:
    """Rows of equally many stripped cells; ``lines[i]`` is the line of the file where row i ends."""

    path: Path
    header: bool
    names: tuple[str, ...]
    rows: list[list[str]]
    lines: list[int]

    def cells(self, column: int) -> list[str]:
        return [row[column] for row in self.rows]

    def error(self, row: int, column: int, message: str) -> UserError:
        return UserError(f"{self.path}, line {self.lines[row]}, column {self.names[column]!r}: {message}")


def read_csv(path: Path, content: bytes, label: str | None) -> Dataset:
    """The data set in a text table, all of it as ``train``. Raises UserError for a malformed table."""
    table = _parse(path, content)
    at = _label_column(table, label)
    label_names = _class_names(table, at)
    numbers = {name: c for c, name in enumerate(label_names)}
    labels = np.array([numbers[cell] for cell in table.cells(at)], dtype=np.int64)

    features = [i for i in range(len(table.names)) if i != at]
    if not features:
        raise UserError(f"{path} has only the label column {table.names[at]!r}; expected columns to learn from too")
    columns = tuple(_infer(table, i) for i in features)
    return Dataset(
        name=path.stem,
        train=Examples(_values(table, features, columns), labels),
        test=None,
        label_names=label_names,
        feature_names=tuple(table.names[i] for i in features),
        columns=columns,
        checksum=hashlib.sha256(content).hexdigest(),
        label_name=table.names[at],
        label_index=at,
        named=table.header,
    )


def csv_examples(
    path: Path, content: bytes, schema: Schema, label: str | None
) -> tuple[NDArray[np.float64], NDArray[np.int64] | None]:
    """The features (N, F) and, where there is a label column, the class numbers (N,) of a further table."""
    table = _parse(path, content)
    at = None if label is None else _label_column(table, label)
    if table.header and schema.named:
        features, at = _match_names(table, schema, at)
    else:
        features, at = _match_positions(table, schema, at)
    values = _values(table, features, schema.columns)
    if at is None:
        return values, None
    numbers = {name: c for c, name in enumerate(schema.label_names)}
    cells = table.cells(at)
    for row, cell in enumerate(cells):
        if cell not in numbers:
            raise table.error(row, at, f"there is no class {cell!r}; {nearest(cell, schema.label_names)}")
    return values, np.array([numbers[cell] for cell in cells], dtype=np.int64)


def _parse(path: Path, content: bytes) -> _Table:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path} is not UTF-8 text (line {line}); save it as CSV in UTF-8") from None
    rows: list[list[str]] = []
    lines: list[int] = []
    known: dict[str, str] = {}  # equal cells share one object, to save memory
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text), strict=True)
    try:
        for row in reader:
            if not row or len(row) == 1 and not row[0].strip():
                continue
            if rows and len(row) != len(rows[0]):
                expected = f"{len(rows[0])} as in line {lines[0]}"
                raise UserError(f"{path}, line {reader.line_num} has {len(row)} cells, expected {expected}")
            rows.append([known.setdefault(cell, cell) for cell in map(str.strip, row)])
            lines.append(reader.line_num)
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num} is not CSV: {error}") from None
    if not rows:
        raise UserError(f"{path} is empty; expected a table with a column of labels")

    header = all(_number(cell) is None for cell in rows[0])
    if not header:
        return _Table(path, False, tuple(f"column {i + 1}" for i in range(len(rows[0]))), rows, lines)
    names = rows[0]
    for i, name in enumerate(names):
        if not name:
            raise UserError(f"{path}: column {i + 1} has no name in the header; name it, or drop it if it is an index")
        if name in names[:i]:
            raise UserError(
                f"{path}: the columns {names.index(name) + 1} and {i + 1} are both called {name!r}; rename one"
            )
    if len(rows) == 1:
        raise UserError(f"{path} has a header and no examples under it")
    return _Table(path, True, tuple(names), rows[1:], lines[1:])


def _delimiter(text: str) -> str:
    first = text.lstrip("\r\n ").partition("\n")[0]
    return next((mark for mark in ",;\t" if mark in first), ",")


def _label_column(table: _Table, label: str | None) -> int:
    names = table.names
    if label is None:
        lower = [name.lower() for name in names]
        return next((lower.index(name) for name in LABEL_COLUMNS if name in lower), len(names) - 1)
    if label in names:
        return names.index(label)
    if label.isdecimal():
        if not 1 <= int(label) <= len(names):
            raise UserError(f"{table.path} has no column {label}; expected a name or a number from 1 to {len(names)}")
        return int(label) - 1
    raise UserError(f"{table.path} has no column {label!r}; {nearest(label, names)}")


def _class_names(table: _Table, at: int) -> tuple[str, ...]:
    cells = table.cells(at)
    if "" in cells:
        raise table.error(cells.index(""), at, "the label is empty; expected a class")
    names = sorted(set(cells))
    numbers = {name: value for name in names if (value := _number(name)) is not None and math.isfinite(value)}
    if len(numbers) == len(names):
        names.sort(key=lambda name: numbers[name])
    elif not table.header and cells[0] not in numbers and all(cell in numbers for cell in cells[1:]):
        # A header with a number among its names looks like an example.
        raise table.error(
            0,
            at,
            f"the label {cells[0]!r} is text and all others are numbers; if this is a header, let no name be a number",
        )
    if len(names) < 2:
        raise UserError(
            f"{table.path}: every label in column {table.names[at]!r} is {names[0]!r}; expected two classes or more"
        )
    if len(names) > MAX_CLASSES:
        raise UserError(
            f"{table.path}: the label column {table.names[at]!r} has {len(names)} different values, expected at most "
            f"{MAX_CLASSES} classes; choose another label column"
        )
    return tuple(names)


def _number(cell: str) -> float | None:
    """The number in a cell, which may be NaN or infinite; None if it is text."""
    if "_" in cell:  # Python alone reads 1_000 as a number
        return None
    try:
        return float(cell)
    except ValueError:
        return None


def _infer(table: _Table, at: int) -> Column:
    cells = table.cells(at)
    numbers = {cell: _number(cell) for cell in set(cells)}
    if {cell.lower() for cell in numbers} <= {"false", "true"} or {cell.lower() for cell in numbers} <= {"no", "yes"}:
        return Column("binary")
    if set(numbers.values()) == {0.0, 1.0}:
        return Column("binary")
    numeric = {cell for cell, value in numbers.items() if value is not None or _DECIMAL_COMMA.fullmatch(cell)}
    filled = sum(1 for cell in cells if cell)
    if 2 * sum(1 for cell in cells if cell in numeric) >= filled:
        return Column("number")
    categories = tuple(sorted(cell for cell in numbers if cell))
    if len(categories) > MAX_CATEGORIES:
        raise UserError(
            f"{table.path}: column {table.names[at]!r} has {len(categories)} different texts, at most {MAX_CATEGORIES} "
            "categories are possible; drop the column"
        )
    return Column("category", categories)


def _values(table: _Table, features: Sequence[int], columns: Sequence[Column]) -> NDArray[np.float64]:
    """The given columns of the table as numbers, (rows, len(features))."""
    result = np.empty((len(table.rows), len(features)), dtype=np.float64)
    for j, (at, column) in enumerate(zip(features, columns, strict=True)):
        cells = table.cells(at)
        meaning = {cell: _meaning(cell, column) for cell in set(cells)}
        if any(isinstance(value, str) for value in meaning.values()):
            row = next(i for i, cell in enumerate(cells) if isinstance(meaning[cell], str))
            raise table.error(row, at, str(meaning[cells[row]]))
        result[:, j] = [meaning[cell] for cell in cells]
    return result


def _meaning(cell: str, column: Column) -> float | str:
    """The value of a cell, or an error message."""
    if not cell:
        return "the cell is empty; fill it or drop the line"
    if column.kind == "category":
        if cell in column.categories:
            return float(column.categories.index(cell))
        return f"there is no category {cell!r}; {nearest(cell, column.categories)}"
    value = _number(cell)
    if column.kind == "binary":
        value = _BINARY_WORDS.get(cell.lower(), value)
        return value if value in (0.0, 1.0) else f"{cell!r} is neither 0 nor 1, and the column is binary"
    if value is None:
        point = " (write a decimal point)" if _DECIMAL_COMMA.fullmatch(cell) else ""
        return f"{cell!r} is not a number{point}, and the column is one of numbers; correct it or drop the line"
    return value if math.isfinite(value) else f"{cell!r} is not a finite number; correct it or drop the line"


def _match_names(table: _Table, schema: Schema, at: int | None) -> tuple[list[int], int | None]:
    """The columns of the schema's features and of the label in a table with a header."""
    names = table.names
    if at is None and schema.label_name in names:
        at = names.index(schema.label_name)
    rest = [name for i, name in enumerate(names) if i != at]
    for name in schema.feature_names:
        if name not in rest:
            raise UserError(f"{table.path} has no column {name!r}, which the training data had; {nearest(name, rest)}")
    for name in rest:
        if name not in schema.feature_names:
            raise UserError(
                f"{table.path} has a column {name!r}, which the training data did not have; drop it"
                + ("" if at is not None else ", or say that it is the label")
            )
    return [names.index(name) for name in schema.feature_names], at


def _match_positions(table: _Table, schema: Schema, at: int | None) -> tuple[list[int], int | None]:
    """The columns of the features and of the label in a table whose columns are matched by position."""
    count, width = len(schema.feature_names), len(table.names)
    if at is None and width == count + 1:
        at = schema.label_index
        if table.header and any(name.lower() in LABEL_COLUMNS for name in table.names):
            at = _label_column(table, None)
        if at is None:
            raise UserError(
                f"{table.path} has {width} columns, one more than the {count} features; say which is the label"
            )
    if width != count + (at is not None):
        raise UserError(f"{table.path} has {width} columns, expected the {count} features, with or without a label")
    return [i for i in range(width) if i != at], at
