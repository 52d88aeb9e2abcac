"""Loading a data set by name or from a file."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdahw.data._csv import csv_examples, read_csv
from rdahw.data._dataset import Dataset, Examples, Schema
from rdahw.data._files import read_bytes
from rdahw.data._image_sources import holds_images
from rdahw.data._named import NAMES, Progress, paper_split, read_images, read_iris
from rdahw.data._npz import npz_examples, read_npz
from rdahw.errors import UsageError, UserError, nearest
from rdahw.random import permutation, stream


def load(
    spec: str,
    *,
    classes: Sequence[str] | None = None,
    label: str | None = None,
    test: str | Path | None = None,
    split: float | None = None,
    seed: int = 0,
    resize: tuple[int, int] | None = None,
    progress: Progress | None = None,
) -> Dataset:
    """Load a data set: the name of one (:data:`NAMES`), or the path of a CSV or NPZ file or of a folder, ZIP or TAR of
    pictures.

    ``classes`` keeps only these, numbered in this order. ``label`` is the label column of a CSV, by name or number
    from 1. The test part is the file ``test``, or the fraction ``split`` of each class drawn with ``seed``, or the
    data set's own; a CSV has none of its own. Iris has the paper's own split unless ``split`` is given. ``resize``,
    (height, width), makes all pictures of this size. ``progress`` is called with (bytes done, bytes in all) during a
    download and while pictures are read.

    Raises UsageError for an unknown name, options that do not fit and a missing file, MissingError if a data set with a
    name is not found and cannot be downloaded, UserError for malformed content.
    """
    if split is not None and not 0 < split < 1:
        raise UsageError(f"a split of {split} was asked for, expected a fraction between 0 and 1, such as 0.25")
    if split is not None and test is not None:
        raise UsageError("a test file and a split were both given; give one of them")

    if spec in NAMES:
        if label is not None or test is not None:
            what = "label column" if label is not None else "test file"
            raise UsageError(f"a {what} was given, and the data set {spec!r} has its own; leave it out")
        dataset = read_iris() if spec == "iris" else read_images(spec, progress)
    elif holds_images(Path(spec)):
        dataset = _read_pictures(Path(spec), label, test, resize, progress)
    else:
        dataset = _read_files(spec, label, test)
    if resize is not None and (spec in NAMES or not holds_images(Path(spec))):
        raise UsageError(
            f"a size of {resize[0]}x{resize[1]} was given, and {spec!r} is not a folder or archive of pictures; leave "
            "out --resize"
        )
    if classes is not None:
        dataset = dataset.with_classes(classes)

    if split is not None:
        return _split(dataset, split, seed)
    return paper_split(dataset) if spec == "iris" else dataset


def read_examples(
    path: str | Path,
    schema: Schema,
    *,
    label: str | None = None,
    resize: bool = False,
    progress: Progress | None = None,
) -> tuple[NDArray[Any], NDArray[np.int64] | None]:
    """Further examples for a model: features (N, F) as in training and, if the file has labels, class numbers (N,).

    A CSV may lack the label column. Columns are matched by name, in any order, if both files have a header, else by
    position. With ``resize`` pictures may be of any size. Raises UserError if columns, categories or classes are not
    those of ``schema``.
    """
    if holds_images(Path(path)):
        from rdahw.data._image_files import image_examples

        _no_label_of_pictures(path, label)
        return image_examples(Path(path), schema, resize, progress)
    return _examples(Path(path), read_bytes(Path(path)), schema, label)


def _examples(
    path: Path, content: bytes, schema: Schema, label: str | None
) -> tuple[NDArray[Any], NDArray[np.int64] | None]:
    if path.suffix.lower() != ".npz":
        return csv_examples(path, content, schema, label)
    _no_label_column(path, label)
    return npz_examples(path, content, schema)


def _no_label_column(path: Path, label: str | None) -> None:
    if label is not None:
        raise UsageError(f"a label column was given, and {path} is not a CSV; its labels are the array 'y'")


def _no_label_of_pictures(path: str | Path, label: str | None) -> None:
    if label is not None:
        raise UsageError(f"a label column was given, and {path} holds pictures, whose classes are its folders")


def _read_pictures(
    path: Path,
    label: str | None,
    test: str | Path | None,
    resize: tuple[int, int] | None,
    progress: Progress | None,
) -> Dataset:
    from rdahw.data._image_files import image_dataset

    _no_label_of_pictures(path, label)
    if test is None:
        return image_dataset(path, resize, progress)
    raise UsageError(
        f"the test file {test} was given, and {path} holds pictures; put those of the test part into a folder test "
        "beside the folder train"
    )


def _read_files(spec: str, label: str | None, test: str | Path | None) -> Dataset:
    path = Path(spec)
    if not path.suffix and path.name == spec and not os.path.exists(path):  # not Path's, which raises
        raise UsageError(f"there is no data set {spec!r} and no CSV or NPZ file of that name; {nearest(spec, NAMES)}")
    content = read_bytes(path)
    if path.suffix.lower() == ".npz":
        _no_label_column(path, label)
        dataset = read_npz(path, content)
    else:
        dataset = read_csv(path, content, label)
    if test is None:
        return dataset

    if dataset.test is not None:
        raise UsageError(f"the test file {test} was given, and {path} has a test part of its own; leave one out")
    test_path = Path(test)
    test_content = read_bytes(test_path)
    features, labels = _examples(test_path, test_content, dataset.schema, None)
    if labels is None:
        raise UserError(f"{test} has no labels; expected a test file with labels as in {path}")
    checksum = hashlib.sha256(content + test_content).hexdigest()
    return replace(dataset, test=Examples(features, labels), checksum=checksum)


def _split(dataset: Dataset, fraction: float, seed: int) -> Dataset:
    """The data set with this fraction of each class as test part, both parts in file order.

    Of n examples of class c, floor(fraction * n + 1/2) go to the test part, but at most n - 1: the first ones of
    ``permutation(stream(seed, "split", c), n)``.
    """
    if dataset.test is not None:
        raise UsageError(f"a split was asked for, and the data set {dataset.name!r} has a test part of its own")
    chosen = np.zeros(len(dataset.train), dtype=np.bool_)
    for c in range(len(dataset.label_names)):
        rows = np.flatnonzero(dataset.train.labels == c)
        count = min(math.floor(fraction * len(rows) + 0.5), len(rows) - 1)
        chosen[rows[permutation(stream(seed, "split", c), len(rows))[:count]]] = True
    if not chosen.any():
        raise UserError(
            f"a split of {fraction} of {len(chosen)} examples leaves none for the test part; choose a larger fraction"
        )
    return replace(dataset, train=dataset.train.take(~chosen), test=dataset.train.take(chosen))
