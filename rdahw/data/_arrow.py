"""Tables of Apache Arrow: Parquet and Arrow (Feather) files, and tables in memory of pandas, polars and Arrow."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rdahw.data._cells import Cells, Gathered, Numbers, Texts, grown, plain_numbers
from rdahw.data._files import MAX_UNPACKED, Source
from rdahw.data._table import Reading, Table, check_size
from rdahw.errors import UserError


class _Collects(Protocol):
    def add(self, cells: Any) -> None: ...
    def cells(self) -> Cells: ...


class _Numbers:
    """Collects a column of numbers block by block."""

    def __init__(self) -> None:
        self._cells, self._count = np.empty(0), 0

    def add(self, cells: Any) -> None:
        start, self._count = self._count, self._count + len(cells)
        self._cells = grown(self._cells, self._count)
        self._cells[start : self._count] = plain_numbers(cells.cast("float64"))

    def cells(self) -> Cells:
        return Numbers(self._cells[: self._count])


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

    def cells(self) -> Cells:
        cells = self._gathered.cells()
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


def _table(path: str, stem: str, schema: Any, batches: Iterable[Any], reading: Reading) -> Table:
    import pyarrow as pa

    names = [str(name) for name in schema.names]
    index = _index_columns(schema)
    chosen = [i for i, name in enumerate(names) if name not in index] if len(index) < len(names) else range(len(names))
    if not names:
        raise UserError(f"{path} has no columns; expected a table with a column of labels")
    collectors = [_collector(path, names[i], schema.types[i]) for i in chosen]
    rows = 0
    for batch in batches:
        rows += batch.num_rows
        check_size(path, rows, len(names))
        for i, collector in zip(chosen, collectors, strict=True):
            try:
                collector.add(batch.column(i))
            except pa.ArrowException as error:  # a whole number that is no float64
                message = str(error).partition("\n")[0][:100]
                raise UserError(f"{path}: column {names[i]!r} cannot be read as numbers or texts: {message}") from None
    pa.default_memory_pool().release_unused()
    for i, collector in zip(chosen, collectors, strict=True):
        if isinstance(collector, _Days):
            reading.log(f"{path}: the dates of column {names[i]!r} are read as numbers, days since 1970-01-01")
    if len(chosen) < len(names):
        reading.log(f"{path}: the index ({', '.join(sorted(index))}) is left out")
    return Table(
        path=path,
        stem=stem,
        names=tuple(names[i] for i in chosen),
        named=True,
        columns=[collector.cells() for collector in collectors],
        where=lambda row: f"row {row + 1}",
        reading=reading,
    )


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

    def read(file: Any) -> Table:
        opened = parquet.ParquetFile(file)
        meta = opened.metadata
        check_size(source.name, meta.num_rows, max(1, meta.num_columns))
        size = sum(meta.row_group(i).total_byte_size for i in range(meta.num_row_groups))
        if size > MAX_UNPACKED:
            raise UserError(f"{source.name} unpacks to {size} bytes, more than are read; use a part of it")
        batches = opened.iter_batches(batch_size=1 << 16, use_threads=False)
        return _table(source.name, source.stem, opened.schema_arrow, batches, reading)

    return _guarded(source, "Parquet", read)


def read_arrow(source: Source, reading: Reading) -> Table:
    """The table in an Arrow or Feather file. Raises UserError for a damaged one."""
    import pyarrow as pa

    def read(file: Any) -> Table:
        opened = pa.ipc.open_file(file)
        batches = (_valid(opened.get_batch(i)) for i in range(opened.num_record_batches))
        return _table(source.name, source.stem, opened.schema, batches, reading)

    return _guarded(source, "Arrow", read)


def _valid(batch: Any) -> Any:
    """The batch, whose file may be damaged: Arrow itself does not check that its texts are within its memory."""
    batch.validate(full=True)
    return batch


def _guarded(source: Source, what: str, read: Callable[[Any], Table]) -> Table:
    import pyarrow as pa

    try:
        with source.file() as file:
            return read(file)
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
    return _table("the table", "table", table.schema, table.to_batches(), reading)


def is_frame(value: object) -> bool:
    """Whether a value is a table in memory."""
    return hasattr(value, "__arrow_c_stream__")


def frame_checksum(features: NDArray[Any], labels: NDArray[np.int64]) -> str:
    """The checksum of a data set that has no file."""
    digest = hashlib.sha256(np.ascontiguousarray(features).tobytes())
    digest.update(labels.tobytes())
    return digest.hexdigest()
