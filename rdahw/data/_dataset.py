"""Data sets: examples with their labels, and the meaning of each column and class number."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from rdahw.data._json import damaged, is_int, is_list, members, texts
from rdahw.data._target import Target
from rdahw.data.labels import DECISIONS
from rdahw.data.sequences import SequenceForm
from rdahw.errors import UsageError, UserError, nearest

Kind = Literal["number", "binary", "category"]


@dataclass(frozen=True)
class Column:
    """The kind of one feature; a category column holds the index into ``categories``, a binary column 0 or 1.

    With ``missing`` the training data had empty cells in this column.
    """

    kind: Kind
    categories: tuple[str, ...] = ()
    missing: bool = False

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind) or (self.kind == "category") != bool(self.categories):
            raise ValueError(f"a column of kind {self.kind!r} with categories {self.categories!r}")


class FileRows:
    """Features (N, F) of examples that stay in their file, float64; for who reads them as :meth:`parts`.

    Data sets use it like an array: its length, its shape, and some of its rows, which stay in the file.
    read: gives the features of all rows of the file, part by part. kept: which of these rows it has, (rows,).
    sample: the features (n, F) of the rows number ``sampled`` (n,) of the file, rising.
    """

    dtype = np.dtype(np.float64)
    ndim = 2

    def __init__(
        self,
        read: Callable[[], Iterator[NDArray[np.float64]]],
        kept: NDArray[np.bool_],
        sample: NDArray[np.float64],
        sampled: NDArray[np.int64],
    ) -> None:
        self._read, self._kept, self._sample, self._sampled = read, kept, sample, sampled
        self.shape = int(np.count_nonzero(kept)), sample.shape[1]

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: NDArray[np.bool_] | slice) -> FileRows:
        """Those at ``rows``, a mask or a slice, in rising order."""
        kept = np.zeros(len(self._kept), np.bool_)
        kept[np.flatnonzero(self._kept)[rows]] = True
        return FileRows(self._read, kept, self._sample, self._sampled)

    def sample(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The numbers (n,) of those that are in the sample, and their features (n, F)."""
        among = self._kept[self._sampled]
        numbers = np.cumsum(self._kept)[self._sampled[among]] - 1
        return numbers, self._sample if among.all() else self._sample[among]

    def parts(self) -> Iterator[NDArray[np.float64]]:
        """All features, part by part. Raises :class:`UserError` if the file has changed."""
        start = 0
        for part in self._read():
            kept = self._kept[start : start + len(part)]
            start += len(part)
            if kept.any():
                yield part if kept.all() else part[kept]


@dataclass(frozen=True, eq=False)
class Examples:
    """Examples in order: ``features`` (N, F), uint8 or float64, or :class:`FileRows`, and ``labels`` (N,): int64 class
    numbers, float64 where the target is a number, int64 sets (:func:`rdahw.data.label_sets`) where an example has
    several labels, or 1 for anomalies and 0 for normal examples where these are to be found.

    A feature is a number, 0 or 1 in a binary column, or the index of its category in a category column, -1 for a
    category that training did not have. A missing value is NaN, whatever the column.
    """

    features: NDArray[Any]
    labels: NDArray[Any]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: NDArray[Any] | slice) -> Examples:
        """The examples at ``rows`` (row numbers, a mask of bool, or a slice), in that order."""
        return Examples(self.features[rows], self.labels[rows])

    def sample(self) -> Examples:
        """All of them, or if they are in a file, the sample of them."""
        features: Any = self.features
        if not isinstance(features, FileRows):
            return self
        rows, values = features.sample()
        return Examples(values, self.labels[rows])


@dataclass(frozen=True)
class Schema:
    """How to read further examples of a data set: saved with a model and used for prediction.

    ``label_name`` and ``label_index`` (from 0) are the label column of the training file, or None if it had none. With
    ``named`` the feature names come from the file: then a file with a header must have columns of these names, in any
    order. Otherwise the names are made from positions, and columns are matched by position. ``image_shape`` is (height,
    width) of grey images, whose features are the pixels row by row, or (3, height, width) of colour images, whose
    features are red, green and blue in turn, each row by row. ``target``: of labels that are numbers; then there are no
    ``label_names``. ``task``: the kind of its labels, the name of a row of :data:`rdahw.tasks.TASKS`.
    ``label_columns``: for each of several labels its column in the training file (from 0), whose name is that of the
    label; empty if there were none. ``sequence``: the form of sequences from a file; None for others.
    """

    feature_names: tuple[str, ...]
    columns: tuple[Column, ...]
    label_names: tuple[str, ...]
    label_name: str | None = None
    label_index: int | None = None
    named: bool = False
    image_shape: tuple[int, ...] | None = None
    target: Target | None = None
    task: str = "classification"
    label_columns: tuple[int, ...] = ()
    sequence: SequenceForm | None = None

    @property
    def label_count(self) -> int:
        """How many labels a model tells apart: the classes, the steps of the target, or the sets of labels."""
        return LABELS[self.task].count(self)

    @property
    def set_size(self) -> int:
        """Where an example has several labels: how many there are; else 0."""
        return len(self.label_names) if LABELS[self.task].are_sets else 0

    @property
    def sequences(self) -> SequenceForm:
        """The form of its sequences; those of data sets with a name are of bits, with a label at each step."""
        given = self.sequence
        return given or SequenceForm(
            layout="rows",
            steps=len(self.label_names),
            columns=("x",),
            symbols=(1,),
            label="y",
            labels=1,
            ragged=False,
            at_end=False,
        )

    def numbers(self, labels: NDArray[Any]) -> NDArray[np.int64]:
        """Labels (N,) of :class:`Examples` as those of a model: class numbers, steps of the target, or sets."""
        return labels if self.target is None else self.target.numbers(labels)

    def labels_to_json(self) -> dict[str, Any]:
        """The labels as results show them: ``classes`` or ``label_names``, ``target``, or ``normal``, a class."""
        return LABELS[self.task].to_json(self)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; for the columns see :func:`columns_to_json`. ``target``, ``task`` and
        ``label_columns`` are left out where the labels are classes, and the last two where they are numbers;
        ``sequence`` is there for sequences from files."""
        return {
            "feature_names": list(self.feature_names),
            "columns": columns_to_json(self.columns),
            "label_names": list(self.label_names),
            "label_name": self.label_name,
            "label_index": self.label_index,
            "named": self.named,
            "image_shape": None if self.image_shape is None else list(self.image_shape),
            **({} if self.target is None else {"target": self.target.to_json()}),
            **({"task": self.task, "label_columns": list(self.label_columns)} if LABELS[self.task].is_stated else {}),
            **({} if self.sequence is None else {"sequence": self.sequence.to_json()}),
        }

    @classmethod
    def from_json(cls, value: object) -> Schema:
        """Read :meth:`to_json` back. Raises UserError for a malformed value."""
        keys = ("feature_names", "columns", "label_names", "label_name", "label_index", "named", "image_shape")
        target, task = None, "classification"
        at: tuple[int, ...] = ()
        sequence = None
        if isinstance(value, dict):
            value = dict(value)
            if "target" in value:
                target, task = Target.from_json(value.pop("target")), "regression"
            if "sequence" in value:
                sequence = SequenceForm.from_json(value.pop("sequence"))
            if "task" in value:
                task, at = _stated(value.pop("task"), value.pop("label_columns", None))
        names, columns, labels, label_name, label_index, named, shape = members(value, "the schema", keys)
        feature_names = texts(names, "the schema's 'feature_names'", least=1)
        if not (label_name is None or isinstance(label_name, str)):
            raise damaged("the schema's 'label_name'", "a text or null")
        if not (label_index is None or is_int(label_index) and 0 <= label_index <= len(feature_names)):
            raise damaged("the schema's 'label_index'", "a column number or null")
        if not isinstance(named, bool):
            raise damaged("the schema's 'named'", "true or false")
        if shape is not None and not (
            is_list(shape) and all(map(is_int, shape)) and is_shape(tuple(shape), len(feature_names))
        ):
            raise damaged(
                "the schema's 'image_shape'", "the height and width of the image, after its 3 colours, or null"
            )
        return cls(
            feature_names,
            columns_from_json(columns, "the schema's 'columns'", len(feature_names)),
            texts(labels, "the schema's 'label_names'", least=LABELS[task].least),
            label_name,
            label_index,
            named,
            None if shape is None else tuple(shape),
            target,
            task,
            at,
            sequence,
        )


def _stated(task: object, columns: object) -> tuple[str, tuple[int, ...]]:
    if not isinstance(task, str) or task not in LABELS or not LABELS[task].is_stated:
        raise damaged("the schema's 'task'", " or ".join(name for name, kind in LABELS.items() if kind.is_stated))
    if not is_list(columns) or not all(is_int(column) and column >= 0 for column in columns):
        raise damaged("the schema's 'label_columns'", "a list of column numbers")
    return task, tuple(columns)


@dataclass(frozen=True, kw_only=True)
class Labels:
    """What the labels of a kind of task are.

    count: how many a model tells apart. to_json: as results show them. are_classes: each example is of one class.
    are_numbers: there is a target. are_sets: an example has several labels. is_stated: a saved model states the task;
    the others are known by what they have. least: the fewest names. groups: how many
    values the labels have of which a test part has equal shares; 1: none. learns_normal: training has no anomalies.
    of_symbols: they are those of sequences of symbols, of which no binariser makes bits.
    """

    count: Callable[[Schema], int]
    to_json: Callable[[Schema], dict[str, Any]]
    are_classes: bool = False
    are_numbers: bool = False
    are_sets: bool = False
    is_stated: bool = True
    least: int = 2
    learns_normal: bool = False
    of_symbols: bool = False
    groups: Callable[[Schema], int] = lambda schema: 1


def _target(schema: Schema) -> Target:
    assert schema.target is not None
    return schema.target


#: The kinds by the name of the task, a row of :data:`rdahw.tasks.TASKS`.
LABELS: Mapping[str, Labels] = {
    "classification": Labels(
        count=lambda schema: len(schema.label_names),
        to_json=lambda schema: {"classes": list(schema.label_names)},
        are_classes=True,
        is_stated=False,
        groups=lambda schema: len(schema.label_names),
    ),
    "regression": Labels(
        count=lambda schema: _target(schema).steps,
        to_json=lambda schema: {"target": _target(schema).to_json()},
        are_numbers=True,
        is_stated=False,
        least=0,
    ),
    "multilabel": Labels(
        count=lambda schema: 1 << len(schema.label_names),
        to_json=lambda schema: {"label_names": list(schema.label_names)},
        are_sets=True,
    ),
    "anomaly": Labels(
        count=lambda schema: DECISIONS,
        to_json=lambda schema: {"normal": next(iter(schema.label_names), None)},
        least=0,
        groups=lambda schema: 2,
        learns_normal=True,
    ),
    "sequences": Labels(
        count=lambda schema: 1 << schema.sequences.shape.label_wires,
        to_json=lambda schema: {
            "steps": schema.sequences.steps,
            **({} if schema.sequence is None else {"sequence": schema.sequence.to_json()}),
        },
        are_sets=True,
        least=1,
        of_symbols=True,
    ),
}


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set; class number c is named ``label_names[c]``, feature f ``feature_names[f]``. With a ``target`` the
    labels are numbers, and there are no classes. ``task``, ``label_columns`` and ``sequence``: see :class:`Schema`.

    ``checksum`` is the SHA-256 (hexadecimal) of the concatenated files (train, then test; images before labels), each
    unpacked if it is a gzip file.

    ``whole_range`` is True only for the paper's own split of Iris: there ``midrange`` takes minimum and maximum over
    train AND test, as the paper's program does. It leaks the test part into training; it is kept to
    reproduce its bits.
    """

    name: str
    train: Examples
    test: Examples | None
    label_names: tuple[str, ...]
    feature_names: tuple[str, ...]
    columns: tuple[Column, ...]
    checksum: str
    image_shape: tuple[int, ...] | None = None
    whole_range: bool = False
    label_name: str | None = field(default=None, kw_only=True)
    label_index: int | None = field(default=None, kw_only=True)
    named: bool = field(default=False, kw_only=True)
    target: Target | None = field(default=None, kw_only=True)
    task: str = field(default="classification", kw_only=True)
    label_columns: tuple[int, ...] = field(default=(), kw_only=True)
    sequence: SequenceForm | None = field(default=None, kw_only=True)

    @property
    def schema(self) -> Schema:
        """How to read further examples of this data set."""
        return Schema(**{each.name: getattr(self, each.name) for each in fields(Schema)})

    @property
    def fit_features(self) -> NDArray[Any]:
        """The features to fit a binariser to, (N, F): those of train, or their sample, with ``whole_range`` followed by
        those of test."""
        if self.whole_range and self.test is not None:
            return np.concatenate([self.train.features, self.test.features])
        return self.train.sample().features

    @property
    def caution(self) -> str:
        """What a user should know about the training labels, in a sentence without its full stop; usually nothing."""
        target = self.target
        if target is None or not (outside := target.outside(self.train.labels)):
            return ""
        return (
            f"{outside} of {len(self.train)} training labels are outside of {target.low:g} to {target.high:g} and "
            "count as the nearest of these; --range sets them"
        )

    def with_classes(self, names: Sequence[str]) -> Dataset:
        """Only the examples of the named classes, in their order; a class's number is its position in ``names``.

        Raises UserError for an unknown class or a class without training examples, UsageError for fewer than two
        classes, a class named twice, or labels that are numbers.
        """
        if not LABELS[self.task].are_classes:
            raise UsageError(f"classes were asked for, and the task is {self.task}; leave --classes out")
        for name in names:
            if name not in self.label_names:
                raise UserError(f"the data set {self.name!r} has no class {name!r}; {nearest(name, self.label_names)}")
        if len(set(names)) != len(names):
            raise UsageError(f"the classes {', '.join(names)} name one class twice; name each class once")
        if len(names) < 2:
            raise UsageError(f"the classes {list(names)} are fewer than two; name at least two")
        number = np.full(len(self.label_names), -1, dtype=np.int64)
        number[[self.label_names.index(name) for name in names]] = np.arange(len(names))
        train = _renumbered(self.train, number)
        for c, count in enumerate(np.bincount(train.labels, minlength=len(names))):
            if not count:
                raise UserError(f"the data set {self.name!r} has no training example of the class {names[c]!r}")
        test = None if self.test is None else _renumbered(self.test, number)
        if test is not None and not len(test):
            raise UserError(f"the data set {self.name!r} has no test example of the classes {', '.join(names)}")
        return replace(self, train=train, test=test, label_names=tuple(names))

    def without_features(self) -> Dataset:
        """The data set with the labels alone: features (N, 0)."""
        train, test = (
            None if part is None else Examples(np.empty((len(part), 0)), part.labels)
            for part in (self.train, self.test)
        )
        assert train is not None
        return replace(self, train=train, test=test)

    def with_normal(self, normal: str | None) -> Dataset:
        """The data set of classes as one to find anomalies in: see :func:`anomalies`."""
        labels, name = anomalies(self.train.labels, self.label_names, normal, f"the data set {self.name!r}")
        c = self.label_names.index(name)
        test = None if self.test is None else Examples(self.test.features, (self.test.labels != c).astype(np.int64))
        train = Examples(self.train.features, labels)
        return replace(self, train=train, test=test, label_names=(name,), task="anomaly")

    def without_anomalies(self) -> Dataset:
        """The data set without the training examples of label 1."""
        return replace(self, train=self.train.take(self.train.labels == 0))

    def hold_out(self, n: int) -> tuple[Dataset, Examples]:
        """The data set without its last ``n`` training examples, and these, for validation.

        Then ``whole_range`` is False: the paper's split has no held-out examples.
        Raises UsageError unless 1 <= n < the number of training examples.
        """
        size = len(self.train)
        if not 1 <= n < size:
            raise UsageError(f"{n} of {size} training examples cannot be held out; hold out 1 to {size - 1}")
        shorter = replace(self, train=self.train.take(slice(0, size - n)), whole_range=False)
        return shorter, self.train.take(slice(size - n, size))


def anomalies(
    labels: NDArray[np.int64], names: Sequence[str], normal: str | None, what: str
) -> tuple[NDArray[np.int64], str]:
    """1 for each class number (N,) that is not that of the class ``normal``, by default the most frequent one, else 0;
    and the name of this class. Raises UserError for one that ``what`` has not."""
    if normal is None:
        normal = names[int(np.bincount(labels).argmax())]
    if normal not in names:
        raise UserError(f"{what} has no class {normal!r}; {nearest(normal, names)}")
    found = (labels != names.index(normal)).astype(np.int64)
    if found.all():
        raise UserError(f"{what} has no training example of the class {normal!r}; choose another with --normal")
    return found, normal


def _renumbered(examples: Examples, number: NDArray[np.int64]) -> Examples:
    """The examples with their new class numbers, without those whose class gets a negative number."""
    labels = number[examples.labels]
    kept = labels >= 0
    return Examples(examples.features[kept], labels[kept])


def is_shape(shape: tuple[int, ...], features: int) -> bool:
    """Whether images of this shape, (height, width) or (3, height, width), have so many features."""
    sides = len(shape) == 2 or (len(shape) == 3 and shape[0] == 3)
    return sides and all(0 < side <= features for side in shape) and math.prod(shape) == features


def columns_to_json(columns: Sequence[Column]) -> list[Any]:
    """A list of "number", "binary" or the list of categories; {"missing": this} for a column with missing values."""
    kinds = [list(column.categories) if column.kind == "category" else column.kind for column in columns]
    return [{"missing": kind} if column.missing else kind for kind, column in zip(kinds, columns, strict=True)]


def columns_from_json(value: object, what: str, count: int) -> tuple[Column, ...]:
    """Read :func:`columns_to_json` back. Raises UserError unless it holds ``count`` columns."""
    if not is_list(value) or len(value) != count:
        raise damaged(what, f"a list of {count} columns")
    columns = []
    for i, item in enumerate(value):
        if missing := isinstance(item, dict):
            (item,) = members(item, f"{what}[{i}]", ("missing",))
        if item == "number" or item == "binary":
            columns.append(Column(item, missing=missing))
        elif is_list(item):
            columns.append(Column("category", texts(item, f"{what}[{i}]", least=1), missing))
        else:
            raise damaged(f"{what}[{i}]", '"number", "binary" or a list of categories')
    return tuple(columns)
