"""Tables of Apache Arrow: Parquet and Arrow (Feather) files, and tables in memory of pandas, polars and Arrow."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rdahw.data._cells import Cells, Gathered, Numbers, Texts, grown, plain_numbers
from rdahw.data._files import MAX_UNPACKED, Source
from rdahw.data._parts import PartedTable, part_rows
from rdahw.data._table import Reading, Table, check_size, silent
from rdahw.errors import UserError


class _Collects(Protocol):
    def add(self, cells: Any) -> None: ...
    def take(self) -> Cells: ...


class _Numbers:
    """Collects a column of numbers block by block."""

    def __init__(self) -> None:
        self._cells, self._count = np.empty(0), 0

    def add(self, cells: Any) -> None:
        start, self._count = self._count, self._count + len(cells)
        self._cells = grown(self._cells, self._count)
        self._cells[start : self._count] = plain_numbers(cells.cast("float64"))

    def take(self) -> Cells:
        count, self._count = self._count, 0
        return Numbers(self._cells[:count])


class _Days(_Numbers):
    """Collects a column of dates or times as days since 1970-01-01 (UTC where they have a time zone)."""

    def add(self, cells: Any) -> None:
        import pyarrow.compute as compute  # type: ignore[import-untyped]

        microseconds = cells.cast("timestamp[us]", safe=False).cast("int64")
        super().add(compute.divide(microseconds.cast("float64", safe=False), 86_400e6))


class _AsTexts:
    """Collects a column that is not of numbers."""

    def __init__(self, nominal: bool) -> None:
        self._gathered, self._nominal = Gathered(), nominal

    def add(self, cells: Any) -> None:
        import pyarrow as pa

        if isinstance(cells, pa.DictionaryArray):
            cells = pa.DictionaryArray.from_arrays(cells.indices, cells.dictionary.cast("string")).dictionary_decode()
        self._gathered.add(cells.cast("string"))

    def take(self) -> Cells:
        cells = self._gathered.take()
        return Texts(cells.known, cells.codes, nominal=True) if self._nominal and isinstance(cells, Texts) else cells


def _collector(path: str, name: str, kind: Any) -> _Collects:
    """What collects a column of this Arrow type. Raises UserError for a type that is neither number nor text."""
    from pyarrow import types

    inner = kind.value_type if types.is_dictionary(kind) else kind
    if types.is_integer(inner) or types.is_floating(inner) or types.is_decimal(inner):
        return _Numbers() if inner is kind else _AsTexts(nominal=True)
    if types.is_date(kind) or types.is_timestamp(kind):
        return _Days()
    text = types.is_string(inner) or types.is_large_string(inner) or types.is_string_view(inner)
    if text or types.is_boolean(inner) or types.is_null(inner):
        return _AsTexts(nominal=inner is not kind)
    raise UserError(
        f"{path}: column {name!r} is of type {str(kind)[:60]}; turn it into numbers or texts, or drop the column"
    )


class _Columns:
    """Collects the columns of a table, batch by batch. Raises UserError for a table that cannot be read."""

    def __init__(self, path: str, stem: str, schema: Any, reading: Reading) -> None:
        self._path, self._stem, self._reading = path, stem, reading
        self._names, index = [str(name) for name in schema.names], _index_columns(schema)
        every = range(len(self._names))
        self._chosen = [i for i in every if self._names[i] not in index] if len(index) < len(every) else list(every)
        if not self._names:
            raise UserError(f"{path} has no columns; expected a table with a column of labels")
        self._collectors = [_collector(path, self._names[i], schema.types[i]) for i in self._chosen]
        self._start = self._rows = 0
        for i, collector in zip(self._chosen, self._collectors, strict=True):
            if isinstance(collector, _Days):
                reading.log(
                    f"{path}: the dates of column {self._names[i]!r} are read as numbers, days since 1970-01-01"
                )
        if len(self._chosen) < len(every):
            reading.log(f"{path}: the index ({', '.join(sorted(index))}) is left out")

    def add(self, batch: Any) -> None:
        import pyarrow as pa

        self._rows += batch.num_rows
        for i, collector in zip(self._chosen, self._collectors, strict=True):
            try:
                collector.add(batch.column(i))
            except pa.ArrowException as error:  # a whole number that is no float64
                message = str(error).partition("\n")[0][:100]
                raise UserError(
                    f"{self._path}: column {self._names[i]!r} cannot be read as numbers or texts: {message}"
                ) from None

    def table(self) -> Table:
        """The rows since the last time."""
        before, self._start = self._start, self._rows
        return Table(
            path=self._path,
            stem=self._stem,
            names=tuple(self._names[i] for i in self._chosen),
            named=True,
            columns=[collector.take() for collector in self._collectors],
            where=lambda row: f"row {before + row + 1}",
            reading=self._reading,
        )

    def whole(self, batches: Iterable[Any]) -> Table:
        """The table of all batches."""
        import pyarrow as pa

        for batch in batches:
            self.add(batch)
            check_size(self._path, self._rows, len(self._names))
        pa.default_memory_pool().release_unused()
        return self.table()

    def parts(self, batches: Iterable[Any]) -> Iterator[Table]:
        """The table in parts."""
        for batch in batches:
            self.add(batch)
            if self._rows - self._start >= part_rows(len(self._names)):
                yield self.table()
        if self._rows > self._start:
            yield self.table()


def _index_columns(schema: Any) -> set[str]:
    """The columns that are the index of a pandas data frame."""
    try:
        index = json.loads((schema.metadata or {})[b"pandas"])["index_columns"]
        return {name for name in index if isinstance(name, str)}
    except (KeyError, TypeError, ValueError):
        return set()


def read_parquet(source: Source, reading: Reading) -> Table:
    """The table in a Parquet file. Raises UserError for a damaged one."""
    import pyarrow.parquet as parquet  # type: ignore[import-untyped]

    with _opened(source, "Parquet") as file:
        opened = parquet.ParquetFile(file)
        meta = opened.metadata
        check_size(source.name, meta.num_rows, max(1, meta.num_columns))
        size = sum(meta.row_group(i).total_byte_size for i in range(meta.num_row_groups))
        if size > MAX_UNPACKED:
            raise UserError(f"{source.name} unpacks to {size} bytes, more than are read; use a part of it")
        batches = opened.iter_batches(batch_size=1 << 16, use_threads=False)
        return _Columns(source.name, source.stem, opened.schema_arrow, reading).whole(batches)


def read_arrow(source: Source, reading: Reading) -> Table:
    """The table in an Arrow or Feather file. Raises UserError for a damaged one."""
    with _opened(source, "Arrow") as file:
        schema, batches = _arrow_batches(file)
        return _Columns(source.name, source.stem, schema, reading).whole(batches)


def read_parquet_parts(source: Source, reading: Reading) -> PartedTable:
    """The table in a Parquet file, in parts."""
    return _parts(source, reading, "Parquet", _parquet_batches)


def read_arrow_parts(source: Source, reading: Reading) -> PartedTable:
    """The table in an Arrow or Feather file, in parts."""
    return _parts(source, reading, "Arrow", _arrow_batches)


def _parts(
    source: Source, reading: Reading, what: str, read: Callable[[Any], tuple[Any, Iterable[Any]]]
) -> PartedTable:
    def tables(counted: bool) -> Iterator[Table]:
        with _opened(source, what, counted=counted) as file:
            schema, batches = read(file)
            how = reading if counted else replace(reading, log=silent)  # told once
            yield from _Columns(source.name, source.stem, schema, how).parts(batches)

    return PartedTable(source=source, reading=reading, tables=tables)


def _parquet_batches(file: Any) -> tuple[Any, Iterable[Any]]:
    import pyarrow.parquet as parquet

    # Group by group, as a reader of all keeps what it has read; and with a buffer, as a group may be the whole file.
    opened = parquet.ParquetFile(file, buffer_size=1 << 18)
    rows = min(1 << 16, part_rows(max(1, opened.metadata.num_columns)))
    groups = range(opened.metadata.num_row_groups)
    return opened.schema_arrow, (
        batch
        for group in groups
        for batch in opened.iter_batches(batch_size=rows, row_groups=[group], use_threads=False)
    )


def _arrow_batches(file: Any) -> tuple[Any, Iterable[Any]]:
    import pyarrow as pa

    opened = pa.ipc.open_file(file)
    return opened.schema, (_valid(opened.get_batch(i)) for i in range(opened.num_record_batches))


def _valid(batch: Any) -> Any:
    """The batch, whose file may be damaged: Arrow itself does not check that its texts are within its memory."""
    batch.validate(full=True)
    return batch


@contextmanager
def _opened(source: Source, what: str, *, counted: bool = True) -> Iterator[Any]:
    """The file, while it is read; ``counted``: as for :meth:`Source.stream`."""
    import pyarrow as pa

    try:
        with source.file(counted=counted) as file:
            yield file
    # All of these come from damaged files.
    except (pa.ArrowException, OSError, MemoryError, ValueError, TypeError, KeyError, IndexError) as error:
        message = str(error).partition("\n")[0][:200]
        raise UserError(f"{source.name} is a damaged {what} file ({message}); get or write it again") from None


def read_frame(frame: Any, reading: Reading) -> Table:
    """The table in memory of pandas, polars, Arrow, or anything else with the Arrow C stream interface."""
    import pyarrow as pa

    try:
        table = frame if isinstance(frame, pa.Table) else pa.table(frame)
    except (pa.ArrowException, TypeError, ValueError) as error:
        message = str(error).partition("\n")[0][:200]
        raise UserError(f"the {type(frame).__name__} cannot be read as a table: {message}") from None
    return _Columns("the table", "table", table.schema, reading).whole(table.to_batches())


def is_frame(value: object) -> bool:
    """Whether a value is a table in memory."""
    return hasattr(value, "__arrow_c_stream__")


def frame_checksum(features: NDArray[Any], labels: NDArray[np.int64]) -> str:
    """The checksum of a data set that has no file."""
    digest = hashlib.sha256(np.ascontiguousarray(features).tobytes())
    digest.update(labels.tobytes())
    return digest.hexdigest()
