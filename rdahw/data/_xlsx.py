"""Tables in Excel workbooks (XLSX); needs ``pip install 'rdahw[xlsx]'``."""

from __future__ import annotations

import io
import zipfile
from typing import Any

from rdahw.data._cells import Texts, number_text
from rdahw.data._csv import has_header
from rdahw.data._files import MAX_UNPACKED, Source
from rdahw.data._table import Reading, Table, check_size, made_up_names
from rdahw.errors import MissingError, UserError


def read_xlsx(source: Source, reading: Reading) -> Table:
    """The table in the first sheet of a workbook. Raises MissingError without openpyxl, UserError for a damaged one."""
    try:
        import openpyxl  # type: ignore[import-untyped]
    except ImportError as error:
        raise MissingError(
            f"{source.name} is an Excel file, and {error.name} to read it is not installed; pip install 'rdahw[xlsx]', "
            "or save the sheet as CSV"
        ) from None
    content = source.content()
    try:
        size = sum(info.file_size for info in zipfile.ZipFile(io.BytesIO(content)).infolist())
        if size > MAX_UNPACKED:
            raise UserError(f"{source.name} unpacks to {size} bytes, more than are read; use a part of it")
        book = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=True)
        sheet = book.worksheets[0]
        rows: list[list[str]] = []
        for row in sheet.iter_rows(values_only=True):
            rows.append([_text(cell) for cell in row])
            check_size(source.name, len(rows), len(row))
    except UserError:
        raise
    except Exception as error:  # openpyxl has errors of many types for damaged files
        message = str(error).partition("\n")[0][:200] or type(error).__name__
        raise UserError(f"{source.name} is a damaged Excel file ({message}); save it again, or as CSV") from None
    numbered = [(i, row) for i, row in enumerate(rows, 1) if any(row)]
    if not numbered:
        raise UserError(f"{source.name}: the sheet {sheet.title!r} is empty; expected a table with a column of labels")
    width = max(i + 1 for _, row in numbered for i, cell in enumerate(row) if cell)
    lines, cells = zip(*((i, (row + [""] * width)[:width]) for i, row in numbered), strict=True)
    named = has_header(cells[0], cells[1:1001]) if reading.header is None else reading.header
    if len(book.worksheets) > 1:
        reading.log(f"{source.name}: the first of {len(book.worksheets)} sheets, {sheet.title!r}, is read")
    columns = zip(*cells[named:], strict=True) if len(cells) > named else ((),) * width
    return Table(
        path=source.name,
        stem=source.stem,
        names=tuple(cells[0]) if named else made_up_names(width),
        named=named,
        columns=[Texts.of(column) for column in columns],
        where=lambda row: f"row {lines[row + named]}",
        reading=reading,
    )


def _text(cell: Any) -> str:
    """The text of a cell, as in a CSV that Excel saves."""
    if cell is None:
        return ""
    return number_text(cell) if isinstance(cell, float) else str(cell).strip()
