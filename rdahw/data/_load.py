"""Loading a data set by name or from a file."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdahw.data._arrow import frame_checksum, is_frame, read_frame
from rdahw.data._dataset import LABELS, Dataset, Examples, Schema
from rdahw.data._files import Progress
from rdahw.data._formats import read_file
from rdahw.data._image_sources import holds_images
from rdahw.data._named import DRAWN, NAMES, paper_split, read_images, read_iris
from rdahw.data._sequence_files import Layout
from rdahw.data._sequences import WINDOWS, draw_sequences, draw_windows
from rdahw.data._table import Log, Reading, silent
from rdahw.data._target import Target
from rdahw.errors import UsageError, UserError, nearest
from rdahw.languages import LANGUAGES
from rdahw.random import permutation, stream
from rdahw.wording import plural


def load(
    spec: Any,
    *,
    classes: Sequence[str] | None = None,
    label: str | None = None,
    test: str | Path | None = None,
    split: float | None = None,
    seed: int = 0,
    resize: tuple[int, int] | None = None,
    delimiter: str | None = None,
    header: bool | None = None,
    missing: str = "bit",
    log: Log = silent,
    progress: Progress | None = None,
    task: str | None = None,
    target: Mapping[str, float | None] | None = None,
    normal: str | None = None,
    sequence: str | None = None,
    in_parts: bool = False,
) -> Dataset:
    """Load a data set: the name of one (:data:`NAMES`), the path of a file or of a folder, ZIP or TAR of pictures, or a
    table in memory.

    The formats of files are CSV and the like, also packed, Parquet, Arrow, XLSX, ARFF, svmlight, NPY and NPZ; a table
    in memory is one of pandas, polars, or anything else with the Arrow C stream interface.

    ``classes`` keeps only these, numbered in this order. ``label`` is the label column of a table, by name or number
    from 1. The test part is the file ``test``, or the fraction ``split`` of each class drawn with ``seed``, or the
    data set's own; a table has none of its own. Iris has the paper's own split unless ``split`` is given.
    ``resize``, (height, width), makes all pictures of this size.
    ``delimiter`` separates the cells of a text table and ``header`` says whether its first row has the names of its
    columns; both are found if None. ``missing``: ``bit`` reads missing cells as NaN, ``drop`` leaves their examples
    out, ``error`` raises UserError. ``log`` is called with sentences about what was found; a warning begins with
    «warning: ». ``progress`` is called with (bytes done, bytes in all) while files are read or downloaded.
    ``task``: by default that of the data; «classification»; «regression» for labels that are numbers, with ``target``:
    ``low``, ``high`` and ``step`` of :meth:`Target.fit`, which by default are those of the training part;
    «multilabel» for several labels that each are 0 or 1: then ``label`` names all their columns, separated by commas;
    «anomaly» for examples that are not normal: without ``label`` no column is one, else the training part keeps the
    class ``normal``, by default the most frequent one, and labels are 1 for the others, which are in the test part
    alone; or «sequences», with ``sequence``, such as «rows», «id=COLUMN» or «files», for a folder, by the rules of
    :mod:`rdahw.data._sequence_files`. Where labels are not classes, the test part is drawn from all.
    ``in_parts``: the features of a CSV, Parquet, Arrow or NPY file stay there (:class:`rdahw.data.FileRows`) where
    classes are learned and ``missing`` is ``bit``; binarisers are fitted to a sample (:mod:`rdahw.data._parts`).

    Raises UsageError for an unknown name, options that do not fit and a missing file, MissingError if a data set with a
    name is not found and cannot be downloaded, UserError for malformed content.
    """
    if split is not None and not 0 < split < 1:
        raise UsageError(f"a split of {split} was asked for, expected a fraction between 0 and 1, such as 0.25")
    if split is not None and test is not None:
        raise UsageError("a test file and a split were both given; give one of them")

    task = task_of(spec, sequence) if task is None else task
    reading = Reading(
        label=label,
        delimiter=delimiter,
        header=header,
        missing=missing,
        log=log,
        task=task,
        normal=normal,
        sequence=sequence,
        in_parts=in_parts,
    )
    _check_sequences(spec, task, sequence)
    if is_frame(spec):
        if test is not None:
            raise UsageError("a test file was given with a table in memory; join the two, or use --split")
        dataset = read_frame(spec, reading).dataset(lambda: "")
        dataset = replace(dataset, checksum=frame_checksum(dataset.train.features, dataset.train.labels))
    elif spec in NAMES:
        own = task_of(spec)
        if task not in (_OF_CLASSES if own == "classification" else (own,)):
            raise UsageError(f"the task of the data set {spec!r} is {own}; leave --task {task} out")
        if label is not None or test is not None:
            what = "label column" if label is not None else "test file"
            raise UsageError(f"a {what} was given, and the data set {spec!r} has its own; leave it out")
        dataset = (
            draw_windows(spec, seed)
            if spec in WINDOWS
            else draw_sequences(spec, seed)
            if spec in DRAWN
            else read_iris()
            if spec == "iris"
            else read_images(spec, progress)
        )
    elif sequence is None and holds_images(Path(spec)):
        if task not in _OF_CLASSES:
            raise UsageError(_labels_are_classes(f"pictures {str(spec)!r}", task))
        dataset = _read_pictures(Path(spec), label, test, resize, progress)
    else:
        dataset = _read_files(spec, test, reading, progress)
    if resize is not None and (
        not isinstance(spec, str | Path) or spec in NAMES or sequence is not None or not holds_images(Path(spec))
    ):
        raise UsageError(
            f"a size of {resize[0]}x{resize[1]} was given, and {spec!r:.60} is not a folder or archive of pictures; "
            "leave out --resize"
        )
    if classes is not None:
        dataset = dataset.with_classes(classes)
    if task != dataset.task:
        dataset = _OF_CLASSES[task](dataset, normal)

    if split is not None:
        dataset = _split(dataset, split, seed)
    elif isinstance(spec, str) and spec == "iris":
        dataset = paper_split(dataset)
    if dataset.target is not None:
        dataset = replace(dataset, target=Target.fit(dataset.train.labels, **(target or {})))
    if LABELS[task].learns_normal and dataset.label_names:
        normal_only = dataset.without_anomalies()
        log(
            f"{dataset.name}: the class {dataset.label_names[0]!r} is normal; "
            f"{len(dataset.train) - len(normal_only.train)} training examples of other classes are left out"
        )
        return normal_only
    return dataset


def read_examples(
    path: str | Path,
    schema: Schema,
    *,
    label: str | None = None,
    resize: bool = False,
    delimiter: str | None = None,
    header: bool | None = None,
    missing: str = "bit",
    log: Log = silent,
    progress: Progress | None = None,
) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Further examples for a model: features (N, F) as in training and, if the file has labels, these (N,): class
    numbers, or numbers.

    A table may lack the label column. Columns are matched by name, in any order, if both files have a header, else by
    position. A missing cell is NaN and an unknown category -1. With ``resize`` pictures may be of any size. The other
    options are those of :func:`load`. Raises UserError if columns or classes are not those of ``schema``.
    """
    layout = schema.sequences.layout if schema.task == "sequences" else None
    if layout is None and holds_images(Path(path)):
        from rdahw.data._image_files import image_examples

        _no_label_of_pictures(path, label)
        return image_examples(Path(path), schema, resize, progress)
    reading = Reading(label=label, delimiter=delimiter, header=header, missing=missing, log=log, sequence=layout)
    return read_file(Path(path), hashlib.sha256(), reading, progress)[0].examples(schema)


#: What makes a data set for another task of one whose labels are classes.
_OF_CLASSES: Mapping[str, Callable[[Dataset, str | None], Dataset]] = {
    "classification": lambda dataset, normal: dataset,
    "anomaly": Dataset.with_normal,
}


def task_of(data: Any, sequence: str | None = None) -> str:
    """The usual kind of the labels of data, the name of a row of :data:`rdahw.tasks.TASKS`; ``sequence``: as in
    :func:`load`."""
    named = isinstance(data, str) and data in LANGUAGES
    return "sequences" if named or sequence is not None else "classification"


def _labels_are_classes(what: str, task: str) -> str:
    return f"the labels of the {what} are classes; leave --task {task} out"


def _check_sequences(data: Any, task: str, sequence: str | None) -> None:
    """Raise UsageError for sequences without a form, and for a form without sequences."""
    in_file = not is_frame(data) and data not in NAMES
    if sequence is not None and not (in_file and task == "sequences"):
        why = f"the task is {task}" if in_file else "the data are no file"
        raise UsageError(f"--sequence {sequence} is for files of sequences, and {why}; leave one of the two out")
    if sequence is not None:
        Layout.parse(sequence)
    elif task == "sequences" and (is_frame(data) or data not in NAMES):
        names = ", ".join(LANGUAGES)
        raise UsageError(
            "the task is sequences; say how they are in the file with --sequence rows, id=COLUMN or files, or give "
            f"a data set by name: {names}"
        )


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


def _read_files(spec: str, test: str | Path | None, reading: Reading, progress: Progress | None) -> Dataset:
    path = Path(spec)
    if not path.suffix and path.name == spec and not os.path.exists(path):  # not Path's, which raises
        raise UsageError(f"there is no data set {spec!r} and no file of that name; {nearest(spec, NAMES)}")
    content, digest = read_file(path, hashlib.sha256(), reading, progress)
    dataset = content.dataset(lambda: str(digest().hexdigest()))
    if test is None:
        return dataset

    if dataset.test is not None:
        raise UsageError(f"the test file {test} was given, and {path} has a test part of its own; leave one out")
    # So that the checksum is that of both.
    content, digest = read_file(Path(test), digest(), replace(reading, label=None), progress)
    features, labels = content.examples(dataset.schema)
    if labels is None:
        raise UserError(f"{test} has no labels; expected a test file with labels as in {path}")
    return replace(dataset, test=Examples(features, labels), checksum=digest().hexdigest())


def _split(dataset: Dataset, fraction: float, seed: int) -> Dataset:
    """The data set with this fraction of each class as test part, both parts in file order.

    Of n examples of class c, floor(fraction * n + 1/2) go to the test part, but at most n - 1: the first ones of
    ``permutation(stream(seed, "split", c), n)``. Where labels are not classes, all are of class 0.
    """
    if dataset.test is not None:
        raise UsageError(f"a split was asked for, and the data set {dataset.name!r} has a test part of its own")
    chosen = np.zeros(len(dataset.train), dtype=np.bool_)
    groups = LABELS[dataset.task].groups(dataset.schema)
    classes = dataset.train.labels if groups > 1 else np.zeros(len(dataset.train), np.int64)
    for c in range(groups):
        rows = np.flatnonzero(classes == c)
        count = min(math.floor(fraction * len(rows) + 0.5), len(rows) - 1)
        chosen[rows[permutation(stream(seed, "split", c), len(rows))[:count]]] = True
    if not chosen.any():
        raise UserError(
            f"a split of {fraction} of {plural(len(chosen), 'example')} leaves none for the test part; choose a larger "
            "fraction, or give more examples of a class"
        )
    return replace(dataset, train=dataset.train.take(~chosen), test=dataset.train.take(chosen))
