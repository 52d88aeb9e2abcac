"""Tables in text: CSV and the like. The rules:

- UTF-8. What separates the cells, by which all of the first rows have equally many, two or more: the first of comma,
  semicolon, tab, vertical bar and white space that is in the first row; but not the comma if it is inside of numbers
  only, as in ``1,5;2,5``. A first line ``sep=;`` says it. A cell may be in double quotes. Blank lines are skipped and
  white space around a cell is removed; last columns that are empty everywhere are left out.
- The first row is a header unless one of its cells is a number. With numbers in it, it is a header if a cell is text
  above numbers; if all are numbers, and one is above texts; if its texts are not below them and one of them is a usual
  name of the label, or the numbers count on as pandas names columns: 0, 1, …; also behind an empty cell, the name of
  its index. Without a header the columns are called ``column 1``, ``column 2``, …
"""

from __future__ import annotations

import codecs
import csv
import io
import itertools
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from rdahw.data._cells import MISSING, Cells, Gathered, has_comma, number, without_marks
from rdahw.data._files import HEAD, Source
from rdahw.data._parts import PartedTable, part_rows
from rdahw.data._sequence_files import Sheet
from rdahw.data._table import LABEL_COLUMNS, Reading, Table, check_names, check_size, made_up_names
from rdahw.errors import UsageError, UserError

#: The rows by which the delimiter and the header are found.
_SAMPLE = 1000
#: The bytes that are parsed at once, if no row is longer.
_BLOCK = 1 << 20

_BLANKS = " "
_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars", _BLANKS: "white space"}
#: How a delimiter can be given too.
_NAMED = {"tab": "\t", "\\t": "\t", "space": _BLANKS, "": ""}
_SEP_LINE = re.compile(r"sep=([^\r\n])[\r\n]+", re.IGNORECASE)

#: A quoted cell, with its delimiter or start of a line and blanks before it, and blanks between other cells.
_QUOTED = r'(^|[\r\n]|{0}){1}("(?:[^"]|"")*")'


@dataclass(frozen=True)
class _Style:
    """The form of a text: its delimiter, the number of bytes before the first row, and the first rows."""

    delimiter: str
    skipped: int
    rows: list[list[str]]
    is_untidy: bool

    @property
    def width(self) -> int:
        return len(self.rows[0])

    @property
    def longest(self) -> int:
        """About the most bytes of a row."""
        return max(sum(map(len, row)) + self.width for row in self.rows)

    def form(self, named: bool) -> Form:
        """The form of its cells."""
        return Form(width=self.width, delimiter=self.delimiter, named=named, longest=self.longest)


class _Untidy(Exception):
    """Cells have blanks before their quotes, which the parser does not know."""


def read_csv(source: Source, reading: Reading) -> Table:
    """The table in a text. Raises UserError for a malformed table."""
    style = _find_style(source, reading)
    first, named = style.rows[0], _is_named(style, reading)
    try:
        columns = _columns(source, style, named)
    except _Untidy:
        style = replace(style, is_untidy=True)
        columns = _columns(source, style, named)
    names = tuple(first) if named else made_up_names(len(first))
    while len(columns) > 1 and not columns[-1].filled and (not named or not names[-1]) and len(columns[-1]):
        columns, names = columns[:-1], names[:-1]

    _tell(source, reading, style, named)
    return Table(
        path=source.name,
        stem=source.stem,
        names=names,
        named=named,
        columns=columns,
        where=partial(_where, source, style, int(named)),
        reading=reading,
    )


def read_csv_parts(source: Source, reading: Reading) -> PartedTable | Table:
    """The table in a text, in parts; whole if it has blanks before quotes. Raises UserError for a malformed one."""
    style = _find_style(source, reading)
    if style.is_untidy:
        return read_csv(source, reading)
    first, named = style.rows[0], _is_named(style, reading)
    names, columns = tuple(first) if named else made_up_names(len(first)), list(zip(*style.rows[named:], strict=False))
    while len(names) > 1 and (not named or not names[-1]) and columns and not any(columns.pop()):
        names = names[:-1]
    _tell(source, reading, style, named)
    return PartedTable(
        source=source,
        reading=reading,
        tables=lambda counted: _tables(source, reading, style, names, named, counted),
    )


def _tables(
    source: Source, reading: Reading, style: _Style, names: tuple[str, ...], named: bool, counted: bool
) -> Iterator[Table]:
    """The table of these names part by part; further columns are empty."""
    gathered = [Gathered() for _ in range(style.width)]
    start, rows, last = 0, 0, None

    def part() -> Table:
        if any(column.has_quotes for column in gathered):
            raise _Untidy
        columns = [column.take() for column in gathered]
        if any(column.filled for column in columns[len(names) :]):
            raise UserError(f"{source.name}: a last column is empty in the first rows and has no name; name it")
        return Table(
            path=source.name,
            stem=source.stem,
            names=names,
            named=named,
            columns=columns[: len(names)],
            where=partial(_where, source, style, start + named),
            reading=reading,
        )

    try:
        with source.stream(counted=counted) as stream, _explained(source, style):
            stream.read(style.skipped)
            for batch in _batches(stream, style.form(named)):
                rows, last = rows + batch.num_rows, batch if batch.num_rows else last
                for column, cells in zip(gathered, batch.columns, strict=True):
                    column.add(cells)
                if rows - start >= part_rows(style.width):
                    yield part()
                    start = rows
            if rows > start:
                yield part()
    except _Untidy:
        raise UserError(
            f"{source.name} has blanks before quotes, and such a table is not read in parts; remove the blanks, or "
            "leave --shards out"
        ) from None
    if _is_open(last) and (refused := _strict_error(source, style)):
        raise refused


def _is_named(style: _Style, reading: Reading) -> bool:
    """Whether the first row has the names of the columns."""
    return has_header(style.rows[0], style.rows[1:]) if reading.header is None else reading.header


def _tell(source: Source, reading: Reading, style: _Style, named: bool) -> None:
    """Log how a text is read."""
    separated = _DELIMITERS.get(style.delimiter, repr(style.delimiter))
    found = "the first row has the names of the columns" if named else "no names of columns"
    reading.log(f"{source.name}: cells separated by {separated}, {found}")
    first, *below = style.rows
    if reading.header is None and (doubt := _doubt(first, list(zip(*below, strict=False)), named)):
        row = f"{', '.join(first[:6])}{', …' if len(first) > 6 else ''}"
        reading.log(f"warning: {source.name}: the first row ({row}) is taken as {doubt}")


def _where(source: Source, style: _Style, before: int, row: int) -> str:
    """How messages call a row of a text, from the number of rows before the first."""
    lines = (line for line, _ in _rows_of_file(source, style))
    return f"line {next(itertools.islice(lines, before + row, None), '?')}"


def _doubt(first: Sequence[str], columns: Sequence[Sequence[str]], named: bool) -> str:
    """What the first row is taken as, and why it may be the other; empty without a doubt."""
    cells = [(cell, column) for cell, column in zip(first, columns, strict=False) if cell]
    if named:
        below = next((cell for cell, column in cells if cell in column), None)
        why = f"the names of the columns, and {below!r} is also a value below; if it is an example, use --no-header"
        return "" if below is None else why
    for cell, column in cells:  # the only one of its kind, where all others come again
        counts = Counter(column) if number(without_marks(cell)) is None else Counter()
        if cell not in counts and sum(counts.values()) > 9 and min(counts.values()) > 1:
            return f"an example, and {cell!r} is nowhere below; if it has the names of the columns, use --header"
    return ""


def read_sheet(source: Source, reading: Reading) -> Sheet:
    """The cells of a text as they are, for sequences: rows may be shorter than others. Raises UserError for a malformed
    text."""
    style = _find_style(source, reading)
    try:
        source.content().decode()  # read whole, for the checksum
    except UnicodeDecodeError:
        raise _not_utf8(source) from None
    rows = [(line, [cell.strip() for cell in row]) for line, row in _rows_of_file(source, style)]
    first = rows[0][1]
    named = has_header(first, [row for _, row in rows[1:_SAMPLE]]) if reading.header is None else reading.header
    examples = rows[named:]
    if not examples:
        raise UserError(f"{source.name} has a header and no sequences under it")
    most = max(len(row) for _, row in examples)
    check_size(source.name, len(examples), most)
    names = tuple(first) if named else made_up_names(most)
    names += made_up_names(most)[len(names) :]
    check_names(source.name, names)
    return Sheet(source.name, names, [row for _, row in examples], lambda i: f"line {examples[i][0]}")


# -- the form of a text ------------------------------------------------------------------------------------------------


def _find_style(source: Source, reading: Reading) -> _Style:
    text = _decoded(source, source.head)
    skipped = len(codecs.BOM_UTF8) if source.head.startswith(codecs.BOM_UTF8) else 0
    given = reading.delimiter
    delimiter = None if given is None else _NAMED.get(given.lower(), given)
    if delimiter is not None and (len(delimiter) != 1 or not delimiter.isascii() or delimiter in '\r\n"'):
        raise UsageError(f"the delimiter {given!r} is not one character, such as ';' or '|' or tab; give one")
    if said := _SEP_LINE.match(text):
        delimiter = delimiter or said[1]
        skipped += len(said[0].encode())
        text = text[said.end() :]
    is_whole = len(source.head) < HEAD
    first = text.lstrip("\r\n ").partition("\n")[0]
    possible = [delimiter] if delimiter else [mark for mark in _DELIMITERS if mark in first]
    if _BLANKS in possible[:-1] or possible[:-1] and possible[-1] == _BLANKS:
        possible.remove(_BLANKS)
    found = {mark: _sample(text, mark, is_whole) for mark in possible or [","]}
    if not any(found.values()):
        raise UserError(f"{source.name} is empty; expected a table with a column of labels")
    fitting = [mark for mark, rows in found.items() if rows and len(rows[0]) > 1 and len(set(map(len, rows))) == 1]
    if "," in fitting and any(mark != "," and _commas_are_in_numbers(found[mark]) for mark in fitting):
        fitting.remove(",")
    chosen = (fitting or [mark for mark in found if mark != _BLANKS or delimiter] or [","])[0]
    rows = found.get(chosen) or _sample(text, chosen, is_whole)
    mark, blanks = re.escape(chosen), _blanks(chosen)
    is_untidy = chosen == _BLANKS or bool(re.search(rf'(?:^|[\r\n]|{mark}){blanks}+"', text))
    return _Style(chosen, skipped, rows, is_untidy)


def _sample(text: str, delimiter: str, is_whole: bool) -> list[list[str]]:
    """The first rows of a text, not of one that is malformed in them."""
    if delimiter == _BLANKS:
        text = _tidied(text, delimiter)
    rows = []
    try:
        for row in itertools.islice(_rows(io.StringIO(text, newline=""), delimiter), _SAMPLE + 1):
            rows.append(row)
    except csv.Error:
        pass
    return rows[:-1] if len(rows) > _SAMPLE or not is_whole and len(rows) > 1 else rows


def _rows(lines: Any, delimiter: str) -> Iterator[list[str]]:
    """The stripped cells of each row that is not blank."""
    for row in csv.reader(lines, delimiter=delimiter, skipinitialspace=True):
        if row and not (len(row) == 1 and not row[0].strip()):
            yield [cell.strip() for cell in row]


def _commas_are_in_numbers(rows: list[list[str]]) -> bool:
    cells = [cell for row in rows for cell in row if "," in cell]
    return bool(cells) and all(map(has_comma, cells))


def has_header(first: Sequence[str], below: Sequence[Sequence[str]]) -> bool:
    """Whether the first row has the names of the columns, by the rows below it (see the rules above)."""
    numbers = [number(without_marks(cell)) for cell in first]
    if all(value is None for value in numbers):
        return True
    if not below:
        return False
    columns = [[cell for cell in column if cell] for column in zip(*below, strict=False)]
    texts = []
    for cell, value, column in zip(first, numbers, columns, strict=False):
        numeric = sum(number(cell) is not None for cell in column)
        if value is None and cell not in MISSING:
            if column and numeric == len(column):
                return True
            texts.append((cell, column))
        elif None not in numbers and column and not numeric and not any(map(has_comma, column)):
            return True
    whole = [int(cell) for cell in first if cell.isascii() and cell.isdecimal()]
    counts_on = whole == list(range(whole[0], whole[0] + len(numbers) - len(texts))) if whole else False
    if any(cell in column for cell, column in texts):
        return False
    if not first[0] and len(whole) > 1 and whole == list(range(len(first) - 1 - len(texts))):  # an index of pandas'
        is_index = columns[0] == list(map(str, range(len(below))))
        return is_index or len(first) > 3 and len(columns[0]) == len(below)
    if any(cell.lower() in LABEL_COLUMNS for cell, _ in texts):
        return True
    if texts:  # texts of which none comes twice say nothing about the first
        repeated = all(len(set(column)) < len(column) for _, column in texts)
        return repeated and counts_on and len(whole) > (1 if whole[0] <= 1 else 2)
    # An example 0, 1, 2, … would be the only one of its class.
    labels = Counter(map(number, columns[-1])) if len(below) >= 10 else Counter[float | None]()
    is_alone = bool(labels) and numbers[-1] not in labels and min(labels.values()) > 1
    return counts_on and whole[0] == 0 and len(whole) > 2 and is_alone


# -- reading -----------------------------------------------------------------------------------------------------------


class BadRow(Exception):
    """A row has another number of cells than the others; the argument is its text."""


@dataclass(frozen=True, kw_only=True)
class Form:
    """How the cells of a text are written.

    width: the cells of a row. named: the first row is a header. missing: cells that are empty. longest: about the most
    bytes of a row.
    """

    width: int
    delimiter: str
    quote: str = '"'
    escape: str | None = None
    named: bool = False
    missing: Sequence[str] = ("",)
    longest: int = 0


def parse(text: Any, form: Form, *, size: int = 0, name: str = "") -> tuple[list[Gathered], bool]:
    """The columns of a text stream, without the header, and whether the last row has a line feed in a cell.

    size: about the bytes of the text. name: of the text, for messages. What is raised: as for :func:`_batches`; and
    UserError.
    """
    gathered: list[Gathered] = []
    rows, last = 0, None
    for batch in _batches(text, form):
        if not gathered:
            each = batch.nbytes / max(1, batch.num_rows) - 3 * form.width  # Arrow has four bytes a cell more, not one
            gathered = [Gathered(int(1.05 * size / max(1, each))) for _ in range(form.width)]
        rows, last = rows + batch.num_rows, batch if batch.num_rows else last
        check_size(name, rows, form.width)
        for column, cells in zip(gathered, batch.columns, strict=True):
            column.add(cells)
    return gathered, _is_open(last)


def _is_open(last: Any) -> bool:
    """Whether the last row of a batch has a line feed in a cell, as if a quote were not closed."""
    return last is not None and any("\n" in (column[-1].as_py() or "") for column in last.columns)


def _batches(text: Any, form: Form) -> Iterator[Any]:
    """The cells of a text stream as batches of Arrow, without the header. Raises pyarrow.ArrowInvalid and
    :class:`BadRow`."""
    import pyarrow as pa  # type: ignore[import-untyped]
    import pyarrow.compute as compute  # type: ignore[import-untyped]
    from pyarrow import csv as arrow_csv

    bad: list[str] = []

    def refuse(row: Any) -> str:
        if not row.text.strip():
            return "skip"
        bad.append(row.text)
        return "error"

    names, named = list(map(str, range(form.width))), form.named
    try:
        for batch in arrow_csv.open_csv(
            text,
            arrow_csv.ReadOptions(use_threads=False, block_size=max(_BLOCK, 16 * form.longest), column_names=names),
            arrow_csv.ParseOptions(
                delimiter=form.delimiter,
                quote_char=form.quote,
                escape_char=form.escape or False,
                newlines_in_values=True,
                invalid_row_handler=refuse,
            ),
            arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()),
                strings_can_be_null=True,
                quoted_strings_can_be_null=len(form.missing) == 1,
                null_values=list(form.missing),
            ),
        ):
            if form.width == 1:  # a line of white space is no cell
                batch = batch.filter(compute.greater(compute.utf8_length(compute.utf8_trim_whitespace(batch[0])), 0))
            if named and batch.num_rows:
                batch, named = batch.slice(1), False
            yield batch
    except pa.ArrowInvalid:
        if bad:
            raise BadRow(bad[0]) from None
        raise


def _columns(source: Source, style: _Style, named: bool) -> list[Cells]:
    """The columns, without the header."""
    import pyarrow as pa

    with source.stream() as stream, _explained(source, style):
        stream.read(style.skipped)
        text: Any = stream
        if style.is_untidy:
            text = io.BytesIO(_tidied(stream.read().decode(), style.delimiter).encode())
        gathered, is_open = parse(text, style.form(named), size=source.size, name=source.name)
    pa.default_memory_pool().release_unused()
    if is_open and (refused := _strict_error(source, style)):  # a quote that is not closed took the rest of the file
        raise refused
    if not style.is_untidy and any(column.has_quotes for column in gathered):
        raise _Untidy
    return [column.cells() for column in gathered]


@contextmanager
def _explained(source: Source, style: _Style) -> Iterator[None]:
    """Errors of parsing become messages about the text."""
    import pyarrow as pa

    try:
        yield
    except BadRow as row:
        if not style.is_untidy and '"' in str(row):
            raise _Untidy from None
        raise _malformed(source, style, "a row has another number of cells") from None
    except pa.ArrowInvalid as error:
        raise _malformed(source, style, str(error)) from None
    except UnicodeDecodeError:
        raise _not_utf8(source) from None


def _tidied(text: str, delimiter: str) -> str:
    """The text without blanks before quotes; if blanks separate its cells, with one between two."""
    if delimiter == _BLANKS:
        text = re.sub(r"(?m)^[ \t]+|[ \t]+$|[ \t]+(?=[\r\n])", "", text)
        if '"' not in text:
            return re.sub(r"[ \t]+", _BLANKS, text)
        return re.sub(r'("(?:[^"]|"")*")|[ \t]+', lambda found: found[1] or _BLANKS, text)
    return re.sub(_QUOTED.format(re.escape(delimiter), _blanks(delimiter) + "*"), r"\1\2", text)


def _blanks(delimiter: str) -> str:
    """What blanks within cells are made of, as a regular expression of one."""
    return "[ ]" if delimiter == "\t" else "[ \t]"


# -- messages ----------------------------------------------------------------------------------------------------------


def _rows_of_file(source: Source, style: _Style, *, strict: bool = False) -> Iterator[tuple[int, list[str]]]:
    """Each row that is not blank, with the number of its last line."""
    with source.stream(counted=False) as stream:
        before = stream.read(style.skipped).count(b"\n")
        lines = io.TextIOWrapper(stream, encoding="utf-8", errors="replace", newline="")
        reader = csv.reader(lines, delimiter=style.delimiter, skipinitialspace=True, strict=strict)
        try:
            for row in reader:
                if row and not (len(row) == 1 and not row[0].strip()):
                    blank_end = style.delimiter == _BLANKS and len(row) > 1 and not row[-1]
                    yield before + reader.line_num, row[:-1] if blank_end else row
        except csv.Error as error:
            raise UserError(f"{source.name}, line {before + reader.line_num} is not CSV: {error}") from None


def _strict_error(source: Source, style: _Style) -> UserError | None:
    """The error of the first row that is malformed."""
    first = 0
    try:
        for line, row in _rows_of_file(source, style, strict=True):
            first = first or line
            if len(row) != style.width:
                expected = f"{style.width} as in line {first}"
                return UserError(f"{source.name}, line {line} has {len(row)} cells, expected {expected}")
    except UserError as error:
        return error
    return None


def _malformed(source: Source, style: _Style, message: str) -> UserError:
    if "UTF8" in message:
        return _not_utf8(source)
    message = message.partition("\n")[0][:200]
    return _strict_error(source, style) or UserError(f"{source.name} is not CSV: {message}")


def _not_utf8(source: Source) -> UserError:
    with source.stream(counted=False) as stream:
        line = next((line for line, content in enumerate(stream, 1) if not _is_utf8(content)), 1)
    return UserError(f"{source.name} is not UTF-8 text (line {line}); save it as CSV in UTF-8")


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def _decoded(source: Source, head: bytes) -> str:
    """The text of the first bytes of a file; the last character may be incomplete."""
    try:
        return codecs.getincrementaldecoder("utf-8-sig")().decode(head, len(head) < HEAD)
    except UnicodeDecodeError:
        raise _not_utf8(source) from None
