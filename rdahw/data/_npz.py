"""Data sets from a numpy archive (NPZ): ``x``, ``y`` (N,), optional ``x_test``, ``y_test``.

``x`` is (N, F), grey images (N, H, W), or colour images (N, H, W, 3) or (N, 3, H, W); their features are red, green and
blue in turn, each row by row.

Other names for x are ``X``, ``features`` and ``x_train``, and for y ``labels`` and ``y_train``. Labels are whole
numbers or texts; classes are numbered in sorted order. Features of type uint8 and bool become uint8, other numbers
float64. A column that holds exactly the values 0 and 1 is binary, and so are images of these values only.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdahw.data._dataset import Column, Dataset, Examples, Schema
from rdahw.errors import UserError, nearest

_X = ("x", "X", "features", "x_train")
_Y = ("y", "labels", "y_train")


def read_npz(path: Path, content: bytes) -> Dataset:
    """The data set in a numpy archive, with its test part if it has one. Raises UserError for a malformed archive."""
    arrays = _arrays(path, content)
    features, image_shape = _features(path, *_find(path, arrays, _X))
    y_key, y = _find(path, arrays, _Y)
    names = _names(path, y_key, y, len(features))
    unique = sorted(set(names), key=int) if y.dtype.kind != "U" else sorted(set(names))
    if len(unique) < 2:
        raise UserError(f"{path}: every label in {y_key!r} is {unique[0]!r}; expected two classes or more")
    if not features.shape[1]:
        raise UserError(f"{path}: the examples have no features")

    if image_shape is not None:
        kind = Column("binary" if features.max() <= 1 and np.isin(features, (0, 1)).all() else "number")
        columns = (kind,) * features.shape[1]
    else:
        columns = tuple(
            Column("binary" if np.array_equal(np.unique(column), [0, 1]) else "number") for column in features.T
        )
    dataset = Dataset(
        name=path.stem,
        train=Examples(features, _numbers(path, y_key, names, tuple(unique))),
        test=None,
        label_names=tuple(unique),
        feature_names=tuple(f"x{i}" for i in range(features.shape[1])),
        columns=columns,
        checksum=hashlib.sha256(content).hexdigest(),
        image_shape=image_shape,
    )
    if "x_test" not in arrays and "y_test" not in arrays:
        return dataset
    test_features, test_labels = _examples(path, arrays, dataset.schema, ("x_test",), ("y_test",))
    if test_labels is None:
        raise UserError(f"{path} has 'x_test' and no 'y_test'; give both or neither")
    return replace(dataset, test=Examples(test_features, test_labels))


def npz_examples(path: Path, content: bytes, schema: Schema) -> tuple[NDArray[Any], NDArray[np.int64] | None]:
    """The features (N, F) and, where there are labels, the class numbers (N,) of a further archive."""
    return _examples(path, _arrays(path, content), schema, _X, _Y)


def _examples(
    path: Path, arrays: dict[str, NDArray[Any]], schema: Schema, x_keys: tuple[str, ...], y_keys: tuple[str, ...]
) -> tuple[NDArray[Any], NDArray[np.int64] | None]:
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
    return features, _numbers(path, y_key, _names(path, y_key, y, len(features)), schema.label_names)


def _arrays(path: Path, content: bytes) -> dict[str, NDArray[Any]]:
    wanted = {*_X, *_Y, "x_test", "y_test"}
    try:
        archive = np.load(io.BytesIO(content), allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise UserError(f"{path} is not an NPZ archive; write it with numpy.savez")
        with archive:
            arrays = {key: archive[key] for key in archive.files if key in wanted}
    # The errors of numpy and zipfile for damaged content; an EOFError is for an empty file.
    except (ValueError, OSError, EOFError, KeyError, MemoryError, zipfile.BadZipFile, zlib.error, NotImplementedError):
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


def _numbers(path: Path, key: str, names: list[str], label_names: tuple[str, ...]) -> NDArray[np.int64]:
    numbers = {name: c for c, name in enumerate(label_names)}
    for i, name in enumerate(names):
        if name not in numbers:
            raise UserError(f"{path}: {key!r}, example {i}: there is no class {name!r}; {nearest(name, label_names)}")
    return np.array([numbers[name] for name in names], dtype=np.int64)
