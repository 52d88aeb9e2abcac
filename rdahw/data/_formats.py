"""The formats of files, each a row, and finding that of a file by its content."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from rdahw.data._arrow import read_arrow, read_arrow_parts, read_parquet, read_parquet_parts
from rdahw.data._csv import read_csv, read_csv_parts, read_sheet
from rdahw.data._dataset import Dataset, Schema
from rdahw.data._files import Progress, Source, members_of, stem
from rdahw.data._npz import is_npz, read_npy, read_npy_parts, read_npz, read_sequence_arrays
from rdahw.data._sequence_files import Holds, Layout, SequenceFile, Sheet, joined
from rdahw.data._sparse import is_arff, is_svmlight, read_arff, read_svmlight
from rdahw.data._table import Reading, Table
from rdahw.data._xlsx import read_xlsx
from rdahw.errors import UserError


class Content(Protocol):
    """The content of a file: a table or arrays."""

    def dataset(self, checksum: Callable[[], str]) -> Dataset: ...
    def examples(self, schema: Schema) -> tuple[NDArray[Any], NDArray[Any] | None]: ...


@dataclass(frozen=True, kw_only=True)
class Format:
    """is_it: whether a file has the format. read: reads it. parts: reads a table in parts; None: it is read whole.
    sequences: reads sequences in it; None: it holds none. name, endings: what such files are called, and how their
    names end."""

    is_it: Callable[[Source], bool]
    read: Callable[[Source, Reading], Content]
    parts: Callable[[Source, Reading], Content] | None = None
    sequences: Callable[[Source, Reading], Holds] | None = None
    name: str = ""
    endings: tuple[str, ...] = ()


def _begins(*starts: bytes) -> Callable[[Source], bool]:
    return lambda source: source.head.startswith(starts)


def _is_xlsx(source: Source) -> bool:
    if not source.head.startswith(b"PK"):
        return False
    with source.stream(counted=False) as stream:
        return any(name.startswith("xl/") for name in members_of(io.BytesIO(stream.read())))


def _is_binary(source: Source) -> bool:
    """Whether the first bytes are of no text."""
    return bool(re.search(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]", source.head[:512]))


def _looks_like(pattern: bytes) -> Callable[[Source], bool]:
    whole = re.compile(rb"(\xef\xbb\xbf)?\s*(" + pattern + rb")", re.IGNORECASE)
    return lambda source: whole.match(source.head) is not None


def _unknown(name: str, way: str) -> Callable[[Source, Reading], Content]:
    def refuse(source: Source, reading: Reading) -> Content:
        raise UserError(f"{source.name} is {name}, which is not read; {way}")

    return refuse


def _sheet(read: Callable[[Source, Reading], Table]) -> Callable[[Source, Reading], Holds]:
    return lambda source, reading: read(source, reading).sheet()


#: By magic bytes where a format has them; the last two are those of text and take all that is left.
FORMATS = (
    Format(
        is_it=_begins(b"PAR1"),
        read=read_parquet,
        parts=read_parquet_parts,
        sequences=_sheet(read_parquet),
        name="Parquet",
        endings=(".parquet", ".pq"),
    ),
    Format(
        is_it=_begins(b"ARROW1"),
        read=read_arrow,
        parts=read_arrow_parts,
        sequences=_sheet(read_arrow),
        name="Arrow",
        endings=(".feather", ".arrow"),
    ),
    Format(is_it=_begins(b"\x93NUMPY"), read=read_npy, parts=read_npy_parts, name="NPY", endings=(".npy",)),
    Format(is_it=is_npz, read=read_npz, sequences=read_sequence_arrays, name="NPZ", endings=(".npz",)),
    Format(is_it=_is_xlsx, read=read_xlsx, sequences=_sheet(read_xlsx), name="XLSX", endings=(".xlsx",)),
    Format(is_it=_begins(b"FEA1"), read=_unknown("a Feather file of version 1", "write it as version 2 or Parquet")),
    Format(is_it=_begins(b"\xd0\xcf\x11\xe0"), read=_unknown("an old Excel file", "save it as XLSX or CSV")),
    Format(is_it=_begins(b"\x89HDF"), read=_unknown("an HDF5 file", "write its table as Parquet or CSV")),
    Format(is_it=_begins(b"PK"), read=_unknown("a zip archive of another format", "save its table as CSV or Parquet")),
    Format(is_it=_begins(b"SQLite format 3"), read=_unknown("a SQLite database", "write its table as CSV")),
    Format(is_it=_begins(b"%PDF"), read=_unknown("a PDF document", "save its table as CSV")),
    Format(is_it=_begins(b"\xff\xfe", b"\xfe\xff"), read=_unknown("text in UTF-16", "save it as CSV in UTF-8")),
    Format(is_it=_begins(b"\x80"), read=_unknown("a Python pickle", "write its table as Parquet or CSV")),
    Format(
        is_it=_begins(b"\x89PNG", b"\xff\xd8\xff", b"GIF8"),
        read=_unknown("a single picture", "give a folder of pictures, or an archive of them"),
    ),
    Format(is_it=_is_binary, read=_unknown("neither text nor a known format", "give a table as CSV or Parquet")),
    Format(
        is_it=_looks_like(rb"(\[\s*)?\{\s*[\"}]|\[\s*[\[\]]"),
        read=_unknown(
            "JSON", "write its table as CSV or Parquet, or give objects, one a line, to rdahw train --stream"
        ),
    ),
    Format(
        is_it=_looks_like(rb"<(!doctype|!--|html|table|svg|\?xml)"),
        read=_unknown("HTML or XML", "save its table as CSV"),
    ),
    Format(is_it=is_arff, read=read_arff, name="ARFF", endings=(".arff",)),
    Format(is_it=is_svmlight, read=read_svmlight, name="svmlight", endings=(".svmlight", ".libsvm", ".svm")),
    Format(
        is_it=lambda source: True,
        read=read_csv,
        parts=read_csv_parts,
        sequences=read_sheet,
        name="CSV",
        endings=(".csv", ".tsv"),
    ),
)


def read_file(
    path: Path, digest: Any, reading: Reading, progress: Progress | None
) -> tuple[Content, Callable[[], Any]]:
    """The content of the file, or of a folder of sequences, and what gives ``digest`` after its bytes. Raises UserError
    for a malformed one."""
    layout = None if reading.sequence is None else Layout.parse(reading.sequence)
    if layout is None or not layout.in_files:
        source = Source(path, digest, progress)
        return read(source, reading), lambda: source.hash
    sheets: dict[str, Sheet] = {}
    whole = path.is_dir()
    for file in sorted(its for its in path.iterdir() if not its.name.startswith(".")) if whole else [path]:
        if file.is_dir():
            raise UserError(f"{file} is a folder; expected files alone, one for each sequence; move it out of {path}")
        source = Source(file, digest, progress)
        held = _sequences(source, reading)
        if not isinstance(held, Sheet):
            raise UserError(f"{file} has arrays; expected a table with a step a row, such as CSV")
        sheets[file.name], digest = held, source.hash
    if not sheets:
        raise UserError(f"{path} has no files; expected one for each sequence, with a step a row")
    name = stem(Path(os.path.abspath(path)))  # the folder may be given as «.»
    return SequenceFile(joined(str(path), sheets), name, layout, reading.label, reading.log), lambda: digest


def read(source: Source, reading: Reading) -> Content:
    """The content of the file. Raises UserError for a malformed one."""
    if reading.sequence is None:
        found = _format(source, reading)
        parts = reading.in_parts and reading.missing == "bit" and reading.task == "classification"
        return (found.parts if parts and found.parts is not None else found.read)(source, reading)
    layout = Layout.parse(reading.sequence)
    return SequenceFile(_sequences(source, reading), source.stem, layout, reading.label, reading.log)


def _sequences(source: Source, reading: Reading) -> Holds:
    """The sequences in the file."""
    found = _format(source, reading)
    if found.sequences is None:
        found.read(source, reading)  # raises for what is not read at all
        raise UserError(f"{source.name} is {found.name}, which holds no sequences; give them as CSV, Parquet or NPZ")
    return found.sequences(source, reading)


def _format(source: Source, reading: Reading) -> Format:
    """The format of the file by its content."""
    found = next(row for row in FORMATS if row.is_it(source))
    named = next((row for row in FORMATS if source.suffix in row.endings), found)
    if found.name and named is not found:
        reading.log(
            f"warning: {source.name} has the name of a file in {named.name} and the content of one in {found.name}, as "
            "which it is read"
        )
    return found
