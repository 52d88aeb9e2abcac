"""Examples from a stream of text, CSV or NDJSON, a block at a time, in memory that does not grow with the stream.

- A stream whose first character is ``{`` is NDJSON: an object a line, with the same keys in each, in any order; a value
  is a text, a number, true, false or null (an empty cell). Otherwise it is a table with a separator between its cells:
  commas; if the first line has none, semicolons or else tabs. Blank lines are skipped, and so is a header that comes
  again, as when several files follow each other.
- The meaning of columns and cells is that of :func:`rdahw.data.load`. The kinds of the columns and the classes are
  found in the first examples, or given by a schema.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np

from rdahw.data._csv import read_csv
from rdahw.data._dataset import Dataset, Examples, Schema
from rdahw.data._files import Source
from rdahw.data._table import Reading, Table, silent
from rdahw.errors import UsageError, UserError

__all__ = ["ExampleStream"]

#: The longest line, in bytes.
MAX_LINE = 1 << 24
#: The most cells and the most examples that are converted together.
_MOST_CELLS, _MOST_ROWS = 1 << 18, 1 << 12

_NAME = "standard input"

_Row = tuple[int, list[str]]


class ExampleStream:
    """The examples of a stream.

    read: returns the next bytes, as many as there are, b"" at the end. schema: the columns and classes, if they are
    known; else call :meth:`first`. label, delimiter, header, missing, log: as for :func:`rdahw.data.load`.
    """

    def __init__(self, read: Callable[[], bytes], *, schema: Schema | None = None, **reading: Any) -> None:
        self._read, self._reading, self._schema = read, Reading(**reading), schema
        #: The lines that were read.
        self.lines = 0
        #: Whether a whole line was read and is not used yet.
        self._is_more = False
        self._rows = self._find_rows()
        self._header: list[str] | None = None
        if schema is not None:
            first = next(self._rows, None)
            if first is not None and not self._begin(schema, first[1]):
                self._rows = chain([first], self._rows)

    def first(self, count: int, classes: Sequence[str] | None = None) -> Dataset:
        """The first ``count`` examples as a data set, all of it as ``train``; its columns and classes, or ``classes``,
        become those of the stream.

        Raises :class:`UserError` for an empty or malformed stream, and for a class that ``classes`` lacks.
        """
        rows = [row for _, row in zip(range(count + 1), self._rows, strict=False)]
        if not rows:
            raise UserError(f"{_NAME} ended before the first example; expected examples as CSV or NDJSON")
        dataset = self._dataset([row for _, row in rows])
        if not dataset.named and len(rows) > count:
            dataset, self._rows = self._dataset([row for _, row in rows[:-1]]), chain(rows[-1:], self._rows)
        if classes is not None:
            dataset = _with_all_classes(dataset, classes)
        self._begin(dataset.schema, rows[0][1])
        self._schema = dataset.schema
        return dataset

    def _dataset(self, rows: list[list[str]]) -> Dataset:
        source = _as_csv(rows)
        table = read_csv(source, replace(self._reading, delimiter=","))
        return replace(table.dataset(lambda: str(source.hash.hexdigest())), name=_NAME)

    def examples(self, skip: int = 0) -> Iterator[Examples]:
        """The further examples, without the next ``skip``, in blocks as they come.

        Raises :class:`UserError` for a malformed line, after the examples before it.
        """
        for rows in self._blocks(skip):
            yield from self._converted(rows)

    def _begin(self, schema: Schema, first: list[str]) -> bool:
        """Begin to read examples of ``schema``; returns whether the ``first`` row is a header."""
        names = {*schema.feature_names, schema.label_name}
        numbers = any(column.kind != "category" for column in schema.columns)
        is_header = bool(names.intersection(first)) if schema.named else numbers and not any(map(_is_number, first))
        is_header = is_header if self._reading.header is None else self._reading.header
        self._names = first if is_header else [f"column {i + 1}" for i in range(len(first))]
        self._header = first if is_header else None
        self._schema = schema if is_header else replace(schema, named=False)
        return is_header

    def _blocks(self, skip: int) -> Iterator[list[_Row]]:
        """Rows as they come, some thousand at most; those before an error are given before it is raised."""
        rows: list[_Row] = []
        try:
            for row in self._rows:
                if row[1] == self._header:
                    continue
                if skip:
                    skip -= 1
                    continue
                rows.append(row)
                if not self._is_more or len(rows) >= min(_MOST_ROWS, 1 + _MOST_CELLS // len(row[1])):
                    yield rows
                    rows = []
        except UserError:
            if rows:
                yield rows
            raise
        if rows:
            yield rows

    def _converted(self, rows: list[_Row]) -> Iterator[Examples]:
        """The examples of ``rows``, in parts if one of them is malformed, so that those before it come first."""
        assert self._schema is not None
        source = _as_csv([self._names, *(row for _, row in rows)])
        try:
            table: Table = read_csv(source, replace(self._reading, delimiter=",", header=True, log=silent))
            features, labels = table.examples(self._schema)
        except UserError as error:
            if len(rows) == 1:
                raise UserError(re.sub(r"\bline 2\b", f"line {rows[0][0]}", str(error), count=1)) from None
            for part in (rows[: len(rows) // 2], rows[len(rows) // 2 :]):
                yield from self._converted(part)
            return
        if labels is None:
            raise UserError(f"{_NAME} has no column of labels, which learning needs; name the column with --label")
        yield Examples(features, labels)

    # -- rows ----------------------------------------------------------------------------------------------------------

    def _find_rows(self) -> Iterator[_Row]:
        """The lines as rows of equally many stripped cells; that of NDJSON begins with the keys."""
        lines = self._find_lines()
        first = next((line for line in lines if line.strip()), "")
        number, width = self.lines, 0
        lines = chain([first], lines)
        is_objects = first.lstrip().startswith("{")
        if is_objects:
            self._reading = replace(self._reading, header=True)
        rows = self._objects(lines) if is_objects else self._table(first, lines)
        for row in rows:
            if not any(row) and len(row) <= 1:
                continue
            width = width or len(row)
            if len(row) != width:
                raise UserError(
                    f"{_NAME}, line {self.lines} has {len(row)} cells, expected {width} as in line {number}"
                )
            yield self.lines, row

    def _find_lines(self) -> Iterator[str]:
        rest, encoding = b"", "utf-8-sig"
        while piece := self._read():
            *lines, rest = (rest + piece).split(b"\n")
            for left, line in zip(range(len(lines) - 1, -1, -1), lines, strict=True):
                self.lines, self._is_more = self.lines + 1, left > 0
                yield self._decoded(line, encoding) + "\n"
                encoding = "utf-8"
            if len(rest) > MAX_LINE:
                raise UserError(f"{_NAME}, line {self.lines + 1} is longer than {MAX_LINE} bytes; expected one example")
        if rest:
            self.lines += 1
            yield self._decoded(rest, encoding)

    def _decoded(self, line: bytes, encoding: str) -> str:
        try:
            return line.decode(encoding)
        except UnicodeDecodeError:
            raise UserError(f"{_NAME}, line {self.lines} is not UTF-8 text; convert the stream to UTF-8") from None

    def _table(self, first: str, lines: Iterator[str]) -> Iterator[list[str]]:
        delimiter = self._reading.delimiter or next((mark for mark in ",;\t" if mark in first), ",")
        try:
            for row in csv.reader(lines, delimiter=delimiter, strict=True):
                yield [cell.strip() for cell in row]
        except csv.Error as error:
            raise UserError(f"{_NAME}, line {self.lines} is not CSV ({error}); correct its quotes") from None

    def _objects(self, lines: Iterator[str]) -> Iterator[list[str]]:
        keys: list[str] = []
        for line in lines:
            if not line.strip():
                continue
            try:
                value = json.loads(line, parse_int=str, parse_float=str, parse_constant=str)
            except (ValueError, RecursionError):
                value = None
            if not isinstance(value, dict) or not value:
                raise UserError(f"{_NAME}, line {self.lines} is not a JSON object; expected one on each line")
            if not keys:
                keys = list(value)
                yield keys
            if value.keys() != set(keys):
                raise UserError(
                    f"{_NAME}, line {self.lines} has the keys {', '.join(value)}; expected {', '.join(keys)} as before "
                    "(null for a missing value)"
                )
            yield [self._cell(key, value[key]) for key in keys]

    def _cell(self, key: str, value: Any) -> str:
        if isinstance(value, dict | list):
            raise UserError(
                f"{_NAME}, line {self.lines}: the value of {key!r} is a list or an object; expected a text or a number"
            )
        return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value).strip()


def _as_csv(rows: list[list[str]]) -> Source:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return Source.of_bytes(_NAME, text.getvalue().encode(), hashlib.sha256())


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _with_all_classes(dataset: Dataset, names: Sequence[str]) -> Dataset:
    """The data set with the classes ``names``, which may be more than its examples have."""
    if len(set(names)) != len(names) or len(names) < 2:
        raise UsageError(f"the classes {', '.join(names)} are not two or more different ones; name each class once")
    for name in dataset.label_names:
        if name not in names:
            raise UserError(f"{_NAME} has the class {name!r}, and the classes given are {', '.join(names)}; name all")
    number = np.array([names.index(name) for name in dataset.label_names])
    train = Examples(dataset.train.features, number[dataset.train.labels])
    return replace(dataset, train=train, label_names=tuple(names))
