"""Data sets from numpy files. An archive (NPZ) has ``x``, ``y`` (N,), and perhaps ``x_test`` and ``y_test``.

``x`` is (N, F), grey images (N, H, W), or colour images (N, H, W, 3) or (N, 3, H, W), whose features are red, green and
blue in turn, each row by row.

Other names for x are ``X``, ``features`` and ``x_train``, and for y ``labels`` and ``y_train``. Labels are whole
numbers or texts; classes are numbered in sorted order. For the task ``regression`` labels are finite numbers; for
``multilabel`` y is (N, L), 0 and 1 for each of L labels, which are called y0, y1, … Features
of type uint8 and bool become uint8, other numbers float64. A column that holds exactly the values 0 and 1 is binary,
and so are images of these values only.

A single array (NPY) is a table: numbers (N, F), or records (N,) whose fields are the columns.
"""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdahw.data._cells import Numbers, Texts
from rdahw.data._dataset import Column, Dataset, Examples, Schema, anomalies
from rdahw.data._files import MAX_UNPACKED, Source, members_of
from rdahw.data._parts import PartedTable, part_rows
from rdahw.data._sequence_files import Arrays
from rdahw.data._table import Reading, Table, made_up_names
from rdahw.data._target import Target
from rdahw.data.labels import MAX_LABELS, label_sets
from rdahw.errors import UsageError, UserError, nearest

_X = ("x", "X", "features", "x_train")
_Y = ("y", "labels", "y_train")


@dataclass(frozen=True, eq=False)
class Archive:
    """The arrays of a numpy archive; task, normal: as in :class:`Reading`."""

    path: Path
    arrays: dict[str, NDArray[Any]]
    task: str
    normal: str | None

    def dataset(self, checksum: Callable[[], str]) -> Dataset:
        """The data set, with its test part if it has one. Raises UserError for arrays that do not fit."""
        path, arrays = self.path, self.arrays
        features, image_shape = _features(path, *_find(path, arrays, _X))
        kind, described = _KINDS[self.task], dict[str, Any](label_names=())
        if kind.may_lack and not any(key in arrays for key in _Y):
            labels: NDArray[Any] = np.zeros(len(features), np.int64)
        else:
            labels, described = kind.read(path, *_find(path, arrays, _Y), len(features), self.normal)
        if not features.shape[1]:
            raise UserError(f"{path}: the examples have no features")

        if image_shape is not None:
            each = Column("binary" if features.max() <= 1 and np.isin(features, (0, 1)).all() else "number")
            columns = (each,) * features.shape[1]
        else:
            columns = tuple(
                Column("binary" if np.array_equal(np.unique(column), [0, 1]) else "number") for column in features.T
            )
        dataset = Dataset(
            name=path.stem,
            train=Examples(features, labels),
            test=None,
            feature_names=tuple(f"x{i}" for i in range(features.shape[1])),
            columns=columns,
            checksum=checksum(),
            image_shape=image_shape,
            task=self.task,
            **described,
        )
        if "x_test" not in arrays and "y_test" not in arrays:
            return dataset
        test_features, test_labels = _examples(path, arrays, dataset.schema, ("x_test",), ("y_test",))
        if test_labels is None:
            raise UserError(f"{path} has 'x_test' and no 'y_test'; give both or neither")
        return replace(dataset, test=Examples(test_features, test_labels))

    def examples(self, schema: Schema) -> tuple[NDArray[Any], NDArray[Any] | None]:
        """The features (N, F) and, where there are labels, these (N,)."""
        return _examples(self.path, self.arrays, schema, _X, _Y)


def is_npz(source: Source) -> bool:
    """Whether the file is a zip archive of arrays."""
    if not source.head.startswith(b"PK"):
        return source.suffix == ".npz"
    with source.stream(counted=False) as stream:
        return any(name.endswith(".npy") for name in members_of(io.BytesIO(stream.read())))


def read_npz(source: Source, reading: Reading) -> Archive:
    """The arrays in a numpy archive. Raises UserError for a malformed one."""
    if reading.label is not None:
        raise UsageError(f"a label column was given, and {source.name} is not a CSV; its labels are the array 'y'")
    return Archive(source.path, _arrays(source.path, source.content()), reading.task, reading.normal)


def read_sequence_arrays(source: Source, reading: Reading) -> Arrays:
    """The arrays of sequences in a numpy archive. Raises UserError for a malformed one."""
    if reading.label is not None:
        raise UsageError(f"a label column was given, and {source.name} is not a CSV; its labels are the array 'y'")
    names = {f"{name}{part}" for name in ("x", "y", "lengths") for part in ("", "_test")}
    return Arrays(source.name, _arrays(source.path, source.content(), names))


def read_npy(source: Source, reading: Reading) -> Table:
    """The table in a numpy array. Raises UserError for a malformed one."""
    try:
        array = np.load(io.BytesIO(source.content()), allow_pickle=False)
    except Exception:  # numpy's reading of a damaged header has errors of many types
        raise UserError(
            f"{source.name} is not a plain numpy array, or is damaged; write it with numpy.save, without objects"
        ) from None
    return _array_table(source, reading, array, 0)


def read_npy_parts(source: Source, reading: Reading) -> PartedTable | Table:
    """The table in a numpy array, in parts; whole if its columns follow each other in the file. Raises as
    :func:`read_npy`."""
    try:
        with source.stream(counted=False) as stream:
            shape, by_columns, kind = _read_header(stream)
    except ValueError:
        return read_npy(source, reading)
    if by_columns or kind.hasobject or len(shape) not in (1, 2):
        return read_npy(source, reading)
    width = shape[1] if len(shape) == 2 else len(kind.names or "x")

    def tables(counted: bool) -> Iterator[Table]:
        with source.stream(counted=counted) as stream:
            _read_header(stream)
            for start in range(0, shape[0], part_rows(max(1, width))):
                count = min(part_rows(max(1, width)), shape[0] - start)
                content = stream.read(count * kind.itemsize * math.prod(shape[1:]))
                try:
                    array = np.frombuffer(content, kind).reshape(count, *shape[1:])
                except ValueError:
                    raise UserError(f"{source.name} ends within its array; get or write it again") from None
                yield _array_table(source, reading, array, start)

    return PartedTable(source=source, reading=reading, tables=tables)


def _read_header(stream: Any) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """The shape of the array that follows, whether its columns follow each other, and its type."""
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, by_columns, kind = read(stream)
    return shape, by_columns, kind


def _array_table(source: Source, reading: Reading, array: NDArray[Any], start: int) -> Table:
    """The rows from ``start`` on as a table."""
    columns: dict[str, NDArray[Any]]
    if array.dtype.names is not None and array.ndim == 1:
        columns = {name: array[name] for name in array.dtype.names}
    elif array.ndim == 2:
        columns = dict(zip(made_up_names(array.shape[1]), array.T, strict=True))
    else:
        columns = {}
    if not columns or not all(column.ndim == 1 and column.dtype.kind in "buifU" for column in columns.values()):
        raise UserError(
            f"{source.name} is {array.dtype} of shape {array.shape}; expected numbers (N, F) of which a column is the "
            "label, or records (N,) with plain fields"
        )
    return Table(
        path=source.name,
        stem=source.stem,
        names=tuple(columns),
        named=array.dtype.names is not None,
        columns=[
            Texts.of(column.tolist()) if column.dtype.kind == "U" else Numbers(column.astype(np.float64))
            for column in columns.values()
        ],
        where=lambda row: f"example {start + row}",
        reading=reading,
    )


def _examples(
    path: Path, arrays: dict[str, NDArray[Any]], schema: Schema, x_keys: tuple[str, ...], y_keys: tuple[str, ...]
) -> tuple[NDArray[Any], NDArray[Any] | None]:
    x_key, x = _find(path, arrays, x_keys)
    features, image_shape = _features(path, x_key, x)
    if features.shape[1] != len(schema.feature_names):
        raise UserError(
            f"{path}: the examples in {x_key!r} have {features.shape[1]} features, expected "
            f"{len(schema.feature_names)} as in training"
        )
    if image_shape is not None and schema.image_shape is not None and image_shape != schema.image_shape:
        raise UserError(
            f"{path}: the images in {x_key!r} are {image_shape}, expected {schema.image_shape} as in training"
        )
    for i, column in enumerate(schema.columns):
        limit = {"number": None, "binary": 2, "category": len(column.categories)}[column.kind]
        if limit is not None and not np.isin(features[:, i], np.arange(limit)).all():
            raise UserError(f"{path}: feature {schema.feature_names[i]!r} in {x_key!r} must hold 0 to {limit - 1} only")
    if not any(key in arrays for key in y_keys):
        return features, None
    y_key, y = _find(path, arrays, y_keys)
    return features, _KINDS[schema.task].read_more(path, y_key, y, len(features), schema)


def _arrays(
    path: Path, content: bytes, wanted: Collection[str] = (*_X, *_Y, "x_test", "y_test")
) -> dict[str, NDArray[Any]]:
    try:
        size = (
            sum(info.file_size for info in zipfile.ZipFile(io.BytesIO(content)).infolist())
            if content[:2] == b"PK"
            else 0
        )
        if size > MAX_UNPACKED:
            raise UserError(f"{path} unpacks to {size} bytes, more than are read; use a part of it")
        archive = np.load(io.BytesIO(content), allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise UserError(f"{path} is not an NPZ archive; write it with numpy.savez")
        with archive:
            arrays = {key: archive[key] for key in archive.files if key in wanted}
    except UserError:
        raise
    except Exception:  # numpy and zipfile have errors of many types for damaged content
        raise UserError(
            f"{path} is not an NPZ archive of plain arrays, or is damaged; write it with numpy.savez, without objects"
        ) from None
    for key, array in arrays.items():
        if not isinstance(array, np.ndarray):
            raise UserError(f"{path}: {key!r} is not a numpy array; write it with numpy.savez")
    return arrays


def _find(path: Path, arrays: dict[str, NDArray[Any]], keys: tuple[str, ...]) -> tuple[str, NDArray[Any]]:
    for key in keys:
        if key in arrays:
            return key, arrays[key]
    raise UserError(
        f"{path} has no array {' or '.join(map(repr, keys))}; it has {', '.join(map(repr, arrays)) or 'none'}"
    )


def _features(path: Path, key: str, x: NDArray[Any]) -> tuple[NDArray[Any], tuple[int, ...] | None]:
    if x.ndim == 4 and x.shape[-1] == 3:
        x = np.moveaxis(x, -1, 1)
    if not (x.ndim in (2, 3) or (x.ndim == 4 and x.shape[1] == 3)) or x.dtype.kind not in "buif" or not len(x):
        raise UserError(
            f"{path}: {key!r} is {x.dtype} of shape {x.shape}; expected numbers (N, F) or images (N, H, W) or "
            "(N, H, W, 3)"
        )
    image_shape = x.shape[1:] if x.ndim > 2 else None
    flat = x.reshape(len(x), -1) if x.size else x.reshape(len(x), 0)
    if flat.dtype == np.bool_ or flat.dtype == np.uint8:
        return flat.astype(np.uint8), image_shape
    flat = flat.astype(np.float64)
    wrong = np.argwhere(~np.isfinite(flat))
    if len(wrong):
        row, column = wrong[0]
        raise UserError(
            f"{path}: {key!r}, example {row}, feature {column} is {flat[row, column]}, which is not a finite number; "
            "correct or drop the example"
        )
    return flat, image_shape


def _names(path: Path, key: str, y: NDArray[Any], count: int) -> list[str]:
    """The class name of each example."""
    if y.shape != (count,):
        raise UserError(f"{path}: {key!r} has shape {y.shape}, expected ({count},), one label per example")
    if y.dtype.kind == "U":
        return [str(value) for value in y]
    if y.dtype.kind in "bui" or y.dtype.kind == "f" and np.isfinite(y).all() and np.array_equal(y, np.floor(y)):
        return [str(int(value)) for value in y]
    raise UserError(f"{path}: {key!r} is {y.dtype}; expected whole numbers or texts as labels")


def _classes(path: Path, key: str, y: NDArray[Any], count: int) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """The names of the classes, and the class number of each example."""
    names = _names(path, key, y, count)
    unique = tuple(sorted(set(names), key=int) if y.dtype.kind != "U" else sorted(set(names)))
    if len(unique) < 2:
        raise UserError(f"{path}: every label in {key!r} is {unique[0]!r}; expected two classes or more")
    return unique, _numbers(path, key, names, unique)


def _targets(path: Path, key: str, y: NDArray[Any], count: int) -> NDArray[np.float64]:
    if y.shape != (count,) or y.dtype.kind not in "buif" or not np.isfinite(y).all():
        raise UserError(f"{path}: {key!r} is {y.dtype} of shape {y.shape}; expected ({count},) finite numbers")
    return y.astype(np.float64)


def _sets(path: Path, key: str, y: NDArray[Any], count: int) -> NDArray[np.int64]:
    """The set of labels of each example."""
    most = MAX_LABELS
    if y.ndim != 2 or len(y) != count or not 2 <= y.shape[1] <= most or not np.isin(y, (0, 1)).all():
        raise UserError(
            f"{path}: {key!r} is {y.dtype} of shape {y.shape}; expected ({count}, L) of 0 and 1, for 2 to {most} labels"
        )
    return label_sets(y)


def _read_classes(
    path: Path, key: str, y: NDArray[Any], count: int, normal: str | None
) -> tuple[NDArray[Any], dict[str, Any]]:
    names, labels = _classes(path, key, y, count)
    return labels, {"label_names": names}


def _read_targets(
    path: Path, key: str, y: NDArray[Any], count: int, normal: str | None
) -> tuple[NDArray[Any], dict[str, Any]]:
    labels = _targets(path, key, y, count)
    return labels, {"label_names": (), "target": Target.fit(labels)}


def _read_sets(
    path: Path, key: str, y: NDArray[Any], count: int, normal: str | None
) -> tuple[NDArray[Any], dict[str, Any]]:
    sets = _sets(path, key, y, count)
    return sets, {"label_names": tuple(f"y{i}" for i in range(y.shape[1]))}


def _known_classes(path: Path, key: str, y: NDArray[Any], count: int, schema: Schema) -> NDArray[Any]:
    return _numbers(path, key, _names(path, key, y, count), schema.label_names)


def _read_anomalies(
    path: Path, key: str, y: NDArray[Any], count: int, normal: str | None
) -> tuple[NDArray[Any], dict[str, Any]]:
    names, labels = _classes(path, key, y, count)
    found, normal = anomalies(labels, names, normal, f"{path}: {key!r}")
    return found, {"label_names": (normal,)}


def _known_anomalies(path: Path, key: str, y: NDArray[Any], count: int, schema: Schema) -> NDArray[Any]:
    names = _names(path, key, y, count)
    normal = schema.label_names or (max(dict.fromkeys(names), key=names.count),)
    return np.array([name not in normal for name in names], np.int64)


def _known_sets(path: Path, key: str, y: NDArray[Any], count: int, schema: Schema) -> NDArray[Any]:
    sets = _sets(path, key, y, count)
    if y.shape[1] != schema.set_size:
        raise UserError(f"{path}: {key!r} has {y.shape[1]} labels, expected {schema.set_size} as in training")
    return sets


@dataclass(frozen=True)
class _Kind:
    """How labels are read: ``read``, those of training, with what a :class:`Dataset` says of them, and ``read_more``,
    those of further examples. may_lack: training needs none."""

    read: Callable[[Path, str, NDArray[Any], int, str | None], tuple[NDArray[Any], dict[str, Any]]]
    read_more: Callable[[Path, str, NDArray[Any], int, Schema], NDArray[Any]]
    may_lack: bool = False


#: The rows by the name of the task.
_KINDS: Mapping[str, _Kind] = {
    "classification": _Kind(_read_classes, _known_classes),
    "regression": _Kind(_read_targets, lambda path, key, y, count, schema: _targets(path, key, y, count)),
    "multilabel": _Kind(_read_sets, _known_sets),
    "anomaly": _Kind(_read_anomalies, _known_anomalies, may_lack=True),
}


def _numbers(path: Path, key: str, names: list[str], label_names: tuple[str, ...]) -> NDArray[np.int64]:
    numbers = {name: c for c, name in enumerate(label_names)}
    for i, name in enumerate(names):
        if name not in numbers:
            raise UserError(f"{path}: {key!r}, example {i}: there is no class {name!r}; {nearest(name, label_names)}")
    return np.array([numbers[name] for name in names], dtype=np.int64)
