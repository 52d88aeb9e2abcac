"""Tables that are read in parts, in memory that does not grow with the file.

A first reading finds what the columns are, all labels, and a sample of the examples: every k-th from the first on, with
k the smallest power of two for which it has at most :data:`MOST_SAMPLED` cells. Binarisers are fitted to the sample; it
has all examples of a table of no more cells, whose bits are those of the table read whole. The features stay in the
file (:class:`FileRows`), and each use reads it again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdahw.data._cells import MAX_CATEGORIES, MAX_CLASSES, MISSING, Cells, Numbers, Refuse, Texts, as_numbers, meanings
from rdahw.data._dataset import Column, Dataset, FileRows, Schema
from rdahw.data._files import Source
from rdahw.data._table import Reading, Table
from rdahw.errors import UserError

__all__ = ["PartedTable", "part_rows"]

#: The most cells of a sample.
MOST_SAMPLED = 1 << 24
#: About the most cells of a part.
_PART = 1 << 21


def part_rows(columns: int) -> int:
    """How many rows a part of a table has."""
    return max(1, _PART // columns)


@dataclass(frozen=True, kw_only=True, eq=False)
class PartedTable:
    """A table in a file, in parts. tables: gives them in order, each used before the next; with True the bytes count in
    the source's hash and progress."""

    source: Source
    reading: Reading
    tables: Callable[[bool], Iterator[Table]]

    def again(self) -> Iterator[Table]:
        """The tables of a further reading. Raises UserError if the file has changed."""
        self.source.check_unchanged()
        yield from self.tables(False)
        self.source.check_unchanged()

    def dataset(self, checksum: Callable[[], str]) -> Dataset:
        """As :meth:`Table.dataset`, with features that stay in the file."""
        gathered: _Gathered | None = None
        for table in self.tables(True):
            gathered = gathered or _Gathered(table)
            gathered.add(table)
        if gathered is None:
            raise UserError(f"{self.source.name} has a header and no examples under it")
        return gathered.whole(self).dataset(checksum)

    def examples(self, schema: Schema) -> tuple[NDArray[Any], NDArray[Any] | None]:
        """As :meth:`Table.examples`, with features that stay in the file."""
        found, rows = [], 0
        for table in self.tables(True):
            features, labels = table.examples(schema)
            found.append(labels)
            rows += len(features)
        if not rows:
            raise UserError(f"{self.source.name} has a header and no examples under it")

        def read() -> Iterator[NDArray[Any]]:
            return (table.examples(schema)[0] for table in self.again())

        kept, none = np.ones(rows, np.bool_), np.zeros(0, np.int64)
        features_in_file: Any = FileRows(read, kept, np.empty((0, len(schema.columns))), none)
        known = [labels for labels in found if labels is not None]
        return features_in_file, np.concatenate(known) if known else None


class _Seen:
    """What the cells of a column are, without the cells."""

    filled = 1

    def __init__(self, refuse: Refuse) -> None:
        self._refuse, self._rows = refuse, 0
        self._counts: dict[str, int] = {}
        self._nominal = False
        #: Of a column of numbers: 0, 1, and another one, where there are such, and NaN for a missing cell.
        self._numbers: set[str] | None = None
        self._odd: tuple[int, str] | None = None

    def __len__(self) -> int:
        return self._rows

    def add(self, cells: Cells) -> None:
        self._rows += len(cells)
        if isinstance(cells, Texts) and self._numbers is None:
            for text, count in cells.counts.items():
                self._counts[text] = self._counts.get(text, 0) + count
            self._nominal |= cells.nominal
            if len(self._counts) > MAX_CATEGORIES + len(MISSING):
                self._texts().infer(self._refuse)  # raises for categories
                self._turn()
            return
        if self._numbers is None:
            self._turn()
        if isinstance(cells, Texts):
            self._note(*as_numbers(list(cells.counts)))
        else:
            self._note(cells.cells, {} if cells.odd is None else {0: cells.odd[1]})

    def _turn(self) -> None:
        self._numbers = set()
        self._note(*as_numbers(list(self._counts)))
        self._counts = {}

    def _note(self, values: NDArray[np.float64], odd: Mapping[int, str]) -> None:
        assert self._numbers is not None
        zero, one, missing = values == 0, values == 1, np.isnan(values)
        marks = {"0": zero, "1": one, "nan": missing, "2": ~(zero | one | missing)}
        self._numbers |= {mark for mark, at in marks.items() if mark not in self._numbers and at.any()}
        if odd:
            self._odd = self._odd or (0, next(iter(odd.values())))

    def _texts(self) -> _Counted:
        return _Counted(tuple(self._counts), np.zeros(0, np.int32), self._nominal, given=self._counts)

    def infer(self, refuse: Refuse) -> Column:
        """As :meth:`Numbers.infer`, and whether cells are missing."""
        if self._numbers is not None:
            column = Numbers(np.array(sorted(self._numbers), np.float64), self._odd).infer(refuse)
            return replace(column, missing="nan" in self._numbers)
        column = self._texts().infer(refuse)
        return replace(column, missing=any(map(math.isnan, meanings(tuple(self._counts), column))))


@dataclass(frozen=True, eq=False)
class _Counted(Texts):
    """Texts of which only the counts are known."""

    given: Mapping[str, int] | None = None

    @property
    def counts(self) -> dict[str, int]:
        return dict(self.given or {})


class _Sample:
    """Every step-th row of a table."""

    def __init__(self, columns: int) -> None:
        self._most, self._step, self._next = max(1, MOST_SAMPLED // columns), 1, 0
        self._parts: list[tuple[NDArray[np.int64], list[Cells]]] = []

    def add(self, columns: Sequence[Cells]) -> None:
        start, self._next = self._next, self._next + len(columns[0])
        first, step = -start % self._step, self._step
        chosen = slice(first, None, step)
        self._parts.append((np.arange(start + first, self._next, step), [cells.take(chosen) for cells in columns]))
        while sum(len(rows) for rows, _ in self._parts) > self._most:
            self._step *= 2
            for i, (rows, cells_of) in enumerate(self._parts):
                kept = slice(int(len(rows) > 0 and rows[0] % self._step != 0), None, 2)
                self._parts[i] = rows[kept].copy(), [cells.take(kept) for cells in cells_of]

    def values(
        self, columns: Sequence[Column], refuses: Sequence[Refuse]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The numbers of its rows (n,), and its features (n, F)."""
        rows = np.concatenate([rows for rows, _ in self._parts])
        values = np.empty((len(columns), len(rows))).T
        start = 0
        for numbers, cells_of in self._parts:
            for j, (cells, column, refuse) in enumerate(zip(cells_of, columns, refuses, strict=True)):
                values[start : start + len(numbers), j] = cells.values(column, _at(numbers, refuse))
            start += len(numbers)
        return rows, values


def _at(numbers: NDArray[np.int64], refuse: Refuse) -> Refuse:
    """The same for the rows of these numbers."""
    return lambda row, message: refuse(int(numbers[row]), message)


class _Gathered:
    """What the first reading of a table finds."""

    def __init__(self, first: Table) -> None:
        self._first, (self._label,) = first, first.label_columns()
        self._features = [i for i in range(len(first.names)) if i != self._label]
        self._seen = [_Seen(first.refuse(i)) for i in self._features]
        self.sample = _Sample(max(1, len(self._features)))
        self._known: dict[str, int] = {}
        self._are_numbers = False
        self._codes: list[NDArray[np.int32]] = []

    def add(self, table: Table) -> None:
        features = [table.columns[i] for i in self._features]
        for seen, cells in zip(self._seen, features, strict=True):
            seen.add(cells)
        if features:
            self.sample.add(features)
        self._are_numbers |= isinstance(table.columns[self._label], Numbers)
        labels = table.label_texts(self._label)
        own = [self._known.setdefault(text, len(self._known)) for text in labels.known]
        self._codes.append(np.array(own, np.int32)[labels.codes])
        if len(self._known) > MAX_CLASSES + len(MISSING):
            self._labels(table)

    def _labels(self, table: Table) -> Texts:
        """All labels so far; raises UserError if they are too many different ones."""
        labels = Texts(tuple(self._known), np.concatenate(self._codes))
        if len(labels.counts) > MAX_CLASSES:
            raise table.too_many_classes(self._label, len(labels.counts))
        return labels

    def whole(self, parts: PartedTable) -> Table:
        """The whole table, with the labels alone."""
        columns: list[Any] = [None] * len(self._first.names)
        for i, seen in zip(self._features, self._seen, strict=True):
            columns[i] = seen
        columns[self._label] = self._labels(self._first)
        # 007 of a part with texts would be 7 in a part with numbers.
        if self._are_numbers and (odd := as_numbers(list(self._known))[1]):
            row = int((columns[self._label].codes == min(odd)).argmax())
            raise self._first.odd_label(self._label, row, odd[min(odd)])
        shown = {name: getattr(self._first, name) for name in ("path", "stem", "names", "named", "where", "reading")}
        return _Whole(columns=columns, parts=parts, sample=self.sample, **shown)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Whole(Table):
    """A table whose features stay in its file."""

    parts: PartedTable
    sample: _Sample

    def _read(self, features: Sequence[int], columns: tuple[Column, ...]) -> tuple[Any, None, tuple[Column, ...]]:
        rows, values = self.sample.values(columns, [self.refuse(i) for i in features])
        again = self.parts.again

        def read() -> Iterator[NDArray[Any]]:
            return (table.features(features, columns) for table in again())

        return FileRows(read, np.ones(len(self), np.bool_), values, rows), None, columns
