"""The cells of a column, as every format is read: numbers, or codes of few different texts.

The rules for what cells mean:

- An empty cell is missing. In a column whose other cells are all numbers, ``NA``, ``NaN``, ``null``, ``None`` and ``?``
  are missing too.
- A column is binary if its values are exactly the numbers 0 and 1, or true/false, or yes/no. It is a number column if
  at least half of its cells that are not empty are numbers; then every cell must be a finite number. Otherwise it is
  categorical, with the categories sorted by text.
- Numbers are compared by value: the labels 0, 0.0 and 00 are one class.
"""

from __future__ import annotations

import math
import mmap
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdahw.data._dataset import Column
from rdahw.errors import UserError

#: Each category takes a wire; a column with more is free text or an identifier.
MAX_CATEGORIES = 1000
#: A label column with more classes is a quantity, or not the label.
MAX_CLASSES = 65_535

#: What stands for a missing number.
MISSING = frozenset(("", "NA", "N/A", "NaN", "nan", "NAN", "null", "NULL", "None", "?"))

_BINARY_WORDS = {"false": 0.0, "true": 1.0, "no": 0.0, "yes": 1.0}
_COMMA = re.compile(r"[+-]?\d+,\d+")
#: Thousands separated by commas, points, apostrophes or blanks, and further digits behind the other mark.
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}([,.'’ \xa0\u202f])\d{3}(?:\1\d{3})*((?!\1)[.,]\d*)?")

#: The beginning of a date: 2024-01-31, 31.01.2024, 1/31/24 and the like.
_DATE = re.compile(r"(\d{4}([-/.])\d{1,2}\2\d{1,2}|\d{1,2}([-/.])\d{1,2}\3(\d{4}|\d\d))(?!\d)")
DATES_AS_NUMBERS = "write dates as numbers, such as days since a certain one"

Refuse = Callable[[int, str], UserError]
"""Makes the error of a cell from its row number and a message."""


def number(cell: str) -> float | None:
    """The number in a cell, which may be NaN or infinite; None if it is text."""
    if "_" in cell:  # Python alone reads 1_000 as a number
        return None
    try:
        return float(cell)
    except ValueError:
        return None


def has_comma(cell: str) -> bool:
    """Whether the cell is a number with a decimal comma or with marks between thousands."""
    return bool(_COMMA.fullmatch(cell) or _THOUSANDS.fullmatch(cell))


def without_marks(cell: str) -> str:
    """The cell without the marks between its thousands and with a decimal point, if it is a number with them."""
    if number(cell) is None and (found := _THOUSANDS.fullmatch(cell)):
        return cell.replace(found[1], "").replace(",", ".")
    return cell.replace(",", ".") if _COMMA.fullmatch(cell) else cell


def are_dates(texts: Sequence[str]) -> bool:
    """Whether at least half of the texts begin as dates do."""
    return 2 * sum(_DATE.match(text) is not None for text in texts) >= max(1, len(texts))


def _numeric(cell: str) -> bool:
    return number(cell) is not None or has_comma(cell)


def _why_no_number(cell: str) -> str:
    way = ""
    if (found := _THOUSANDS.fullmatch(cell)) and found[1] == ",":
        decimal = f", or {cell.replace(',', '.')} if it is a decimal comma" if _COMMA.fullmatch(cell) else ""
        way = f" (write {without_marks(cell)} if its comma separates thousands{decimal})"
    elif found:
        way = f" (write {without_marks(cell)})"
    elif _COMMA.fullmatch(cell):
        way = " (write a decimal point)"
    return f"{cell!r} is not a number{way}, and the column is one of numbers; correct it or drop the line"


@dataclass(frozen=True, eq=False)
class Numbers:
    """Cells that are numbers, (N,) float64, NaN where one is missing; ``odd``: the first cell that is no finite number,
    as its row and text; from_texts: the file has texts, too many to keep."""

    cells: NDArray[np.float64]
    odd: tuple[int, str] | None = None
    from_texts: bool = False

    def __len__(self) -> int:
        return len(self.cells)

    @property
    def filled(self) -> int:
        """How many cells are not missing."""
        return int(len(self.cells) - np.isnan(self.cells).sum()) + (self.odd is not None)

    def infer(self, refuse: Refuse) -> Column:
        """The kind of the column. Raises the error that ``refuse`` makes if it has none."""
        if not self.filled:
            raise refuse(0, "the cell is empty, as are all of the column; drop the column")
        cells = self.cells
        zero, one, missing = cells == 0, cells == 1, np.isnan(cells)
        if self.odd is None and zero.any() and one.any() and (zero | one | missing).all():
            return Column("binary")
        return Column("number")

    def values(self, column: Column, refuse: Refuse) -> NDArray[np.float64]:
        """The features, (N,); see :class:`rdahw.data.Examples`. Raises the error that ``refuse`` makes."""
        if column.kind == "category":
            return self.texts().values(column, refuse)
        if self.odd is not None:
            row, cell = self.odd
            raise refuse(row, _refused(cell, column) or _why_no_number(cell))
        wrong = np.isinf(self.cells)
        if column.kind == "binary":
            wrong = ~((self.cells == 0) | (self.cells == 1) | np.isnan(self.cells))
        if wrong.any():
            row = int(wrong.argmax())
            raise refuse(row, str(_refused(number_text(self.cells[row]), column)))
        return self.cells

    def take(self, rows: slice) -> Numbers:
        """Some of the cells, copied; the odd one is not among them."""
        return Numbers(self.cells[rows].copy(), from_texts=self.from_texts)

    def texts(self) -> Texts:
        """The cells as texts: whole numbers without a point."""
        values, codes = np.unique(self.cells, return_inverse=True)  # all NaN are one
        return Texts(tuple(number_text(value) for value in values), codes.astype(np.int32))


@dataclass(frozen=True, eq=False)
class Texts:
    """Cells of few different texts: cell i is ``known[codes[i]]``, without white space around it; empty if missing.

    nominal: the format says that the texts are categories, also if they are numbers.
    """

    known: tuple[str, ...]
    codes: NDArray[np.int32]
    nominal: bool = False

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def counts(self) -> dict[str, int]:
        """How many cells have each text; no text has none."""
        counts = np.bincount(self.codes, minlength=len(self.known)).tolist()
        return {text: count for text, count in zip(self.known, counts, strict=True) if count}

    @property
    def filled(self) -> int:
        """How many cells are not empty."""
        return len(self) - self.counts.get("", 0)

    def infer(self, refuse: Refuse) -> Column:
        """The kind of the column. Raises the error that ``refuse`` makes if it has none."""
        counts = {text: count for text, count in self.counts.items() if text}
        if not counts:
            raise refuse(0, "the cell is empty, as are all of the column; drop the column")
        lower = {text.lower() for text in counts}
        if lower <= {"false", "true"} or lower <= {"no", "yes"}:
            return Column("binary")
        rest = {text: number(text) for text in counts if text not in MISSING}
        if set(rest.values()) == {0.0, 1.0}:
            return Column("binary")
        if self.nominal:
            return Column("category", self._categories(refuse))
        if rest and None not in rest.values():
            return Column("number")
        if 2 * sum(count for text, count in counts.items() if _numeric(text)) >= sum(counts.values()):
            return Column("number")
        return Column("category", self._categories(refuse))

    def _categories(self, refuse: Refuse) -> tuple[str, ...]:
        texts = tuple(sorted(text for text in self.counts if text))
        if len(texts) > MAX_CATEGORIES:
            what, way = ("dates", f"{DATES_AS_NUMBERS}, or ") if are_dates(texts) else ("texts", "")
            raise refuse(
                -1,
                f"has {len(texts)} different {what}, at most {MAX_CATEGORIES} categories are possible; {way}drop the "
                "column",
            )
        return texts

    def values(self, column: Column, refuse: Refuse) -> NDArray[np.float64]:
        """The features, (N,); see :class:`rdahw.data.Examples`. Raises the error that ``refuse`` makes."""
        refused = {code: _refused(text, column) for code, text in enumerate(self.known)}
        wrong = [code for code, message in refused.items() if message is not None]
        if wrong and (at := np.isin(self.codes, wrong)).any():
            row = int(at.argmax())
            raise refuse(row, str(refused[int(self.codes[row])]))
        found: NDArray[np.float64] = np.array(meanings(self.known, column))[self.codes]
        return found

    def take(self, rows: slice) -> Texts:
        """Some of the cells, copied."""
        return Texts(self.known, self.codes[rows].copy(), self.nominal)

    def texts(self) -> Texts:
        """The cells as texts."""
        return self

    @classmethod
    def of(cls, cells: Sequence[str], *, nominal: bool = False) -> Texts:
        """The column of these cells."""
        known: dict[str, int] = {}
        codes = [known.setdefault(cell.strip(), len(known)) for cell in cells]
        return cls(tuple(known), np.array(codes, np.int32), nominal)


Cells = Numbers | Texts


def number_text(value: float) -> str:
    """The text of a number, without a point if it is whole; empty for NaN."""
    if math.isnan(value):
        return ""
    return str(int(value)) if abs(value) < 1e16 and value == math.floor(value) else repr(float(value))


def _refused(text: str, column: Column) -> str | None:
    """Why a cell of the column cannot have this text; None if it can."""
    if column.kind == "category" or not text:
        return None
    value = number(text)
    if column.kind == "binary":
        known = text.lower() in _BINARY_WORDS or value in (0.0, 1.0) or text in MISSING
        return None if known else f"{text!r} is neither 0 nor 1, and the column is binary"
    if text in MISSING or value is not None and math.isfinite(value):
        return None
    if value is not None:
        return f"{text!r} is not a finite number; correct it or drop the line"
    return _why_no_number(text)


def meanings(texts: Sequence[str], column: Column) -> list[float]:
    """The feature of a cell with each of these texts: NaN if missing, -1 for a category that training did not have."""
    if column.kind != "category":
        return [_meaning(text) for text in texts]
    known = {text: float(c) for c, text in enumerate(column.categories)}
    return [known.get(text, -1.0 if text else math.nan) for text in texts]


def _meaning(text: str) -> float:
    if text in MISSING:
        return math.nan
    value = number(text)
    return _BINARY_WORDS.get(text.lower(), math.nan) if value is None else value


class Gathered:
    """Collects a column block by block: its texts while they are few, else its numbers.

    ``rows`` is about how many will come; a page of memory is taken when it is first written.
    """

    def __init__(self, rows: int = 0) -> None:
        self._known: dict[str, int] = {}
        self._codes = _empty(rows, np.int32)
        self._numbers: NDArray[np.float64] | None = None
        self._count = 0
        self._odd: tuple[int, str] | None = None

    def add(self, cells: Any) -> None:
        """Add the cells of an Arrow array of strings; a null is an empty cell."""
        if self._numbers is not None:
            self._add_numbers(self._numbers, cells)
            return
        encoded = cells.dictionary_encode("encode")
        own = np.array(
            [self._known.setdefault((text or "").strip(), len(self._known)) for text in encoded.dictionary.to_pylist()],
            np.int32,
        )
        start, self._count = self._count, self._count + len(cells)
        self._codes = grown(self._codes, self._count)
        self._codes[start : self._count] = own[np.from_dlpack(encoded.indices)]
        if len(self._known) > MAX_CATEGORIES + len(MISSING):
            self._turn()

    def _turn(self) -> None:
        """From texts to numbers, if at least half of the cells so far are numbers."""
        counts = self._texts().counts
        numeric = {text for text in counts if _numeric(text)}
        if 2 * sum(counts[text] for text in numeric) < sum(counts.values()) - counts.get("", 0):
            return
        values, odd = as_numbers(list(self._known))
        self._note_odd(odd, self._codes[: self._count], 0)
        self._numbers = _empty(len(self._codes), np.float64)
        self._numbers[: self._count] = values[self._codes[: self._count]]
        self._codes, self._known = np.empty(0, np.int32), {}

    def _add_numbers(self, numbers: NDArray[np.float64], cells: Any) -> None:
        import pyarrow as pa  # type: ignore[import-untyped]
        import pyarrow.compute as compute  # type: ignore[import-untyped]

        start, self._count = self._count, self._count + len(cells)
        self._numbers = numbers = grown(numbers, self._count)
        trim: Callable[[Any], Any] = compute.utf8_trim_whitespace
        for prepare in (None, trim):
            try:
                found = plain_numbers((prepare(cells) if prepare else cells).cast(pa.float64()))
            except pa.ArrowInvalid:
                continue
            if not np.isinf(found).any():
                numbers[start : self._count] = found
                return
        encoded = cells.dictionary_encode("encode")
        codes = np.from_dlpack(encoded.indices)
        values, odd = as_numbers([(text or "").strip() for text in encoded.dictionary.to_pylist()])
        self._note_odd(odd, codes, start)
        numbers[start : self._count] = values[codes]

    def _note_odd(self, odd: dict[int, str], codes: NDArray[Any], start: int) -> None:
        at = np.isin(codes, list(odd))
        if self._odd is None and at.any():
            row = int(at.argmax())
            self._odd = start + row, odd[int(codes[row])]

    @property
    def has_quotes(self) -> bool:
        """Whether a cell begins and ends with a quote."""
        texts = [*self._known, *(() if self._odd is None else (self._odd[1],))]
        return any(len(text) > 1 and text[0] == text[-1] == '"' for text in texts)

    def _texts(self) -> Texts:
        return Texts(tuple(self._known), self._codes[: self._count])

    def take(self) -> Cells:
        """The cells since the last time, in memory that the next ones take; whether they are numbers stays."""
        cells = self.cells()
        self._count, self._odd = 0, None
        return cells

    def cells(self) -> Cells:
        """All cells."""
        if self._numbers is None and len(self._known) > MAX_CATEGORIES:
            self._turn()
        if self._numbers is None:
            return self._texts()
        return Numbers(self._numbers[: self._count], self._odd, from_texts=True)


def as_numbers(texts: Sequence[str]) -> tuple[NDArray[np.float64], dict[int, str]]:
    """The number of each text, NaN for a missing one, and those that are no finite numbers, by their place."""
    values, odd = np.full(len(texts), math.nan), {}
    for i, text in enumerate(texts):
        value = number(text)
        if text in MISSING:
            continue
        if value is None or not math.isfinite(value):
            odd[i] = text
        else:
            values[i] = value
    return values, odd


def plain_numbers(array: Any) -> NDArray[np.float64]:
    """An Arrow array of float64, NaN for null; its own conversions would import pandas."""
    import pyarrow as pa

    values = np.frombuffer(array.buffers()[1], np.float64)[array.offset : array.offset + len(array)]
    if array.null_count:
        values = values.copy()
        values[np.from_dlpack(array.is_null().cast(pa.uint8())) != 0] = math.nan
    return values


def grown(array: NDArray[Any], length: int) -> NDArray[Any]:
    """The array, or a longer copy of it."""
    if length <= len(array):
        return array
    longer = _empty(max(length, 2 * len(array)), array.dtype)
    longer[: len(array)] = array
    return longer


def _empty(length: int, kind: Any) -> NDArray[Any]:
    """An array of its own pages: those that are not written take no memory, and all are given back with the array."""
    size = length * np.dtype(kind).itemsize
    return np.frombuffer(mmap.mmap(-1, size), kind) if size else np.empty(0, kind)
