"""Tables of columns, as every format is read, and the data sets in them. The rules:

- The label is the given column (a name, or a number from 1); else one called label, class, target or species (upper or
  lower case, in this order of preference); else the last. Classes are numbered in sorted order: by value when all are
  numbers, else by text. Labels that are the same number are one class.
- The kinds of the other columns are those of :mod:`rdahw.data._cells`.
- Further tables are matched by name, in any order, if both have a header, else by position.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdahw.data._cells import (
    DATES_AS_NUMBERS,
    MAX_CATEGORIES,
    MAX_CLASSES,
    MISSING,
    Cells,
    Numbers,
    Refuse,
    Texts,
    are_dates,
    number,
)
from rdahw.data._dataset import LABELS, Column, Dataset, Examples, Kind, Schema, anomalies
from rdahw.data._sequence_files import Sheet
from rdahw.data._target import Target
from rdahw.data.labels import MAX_LABELS, label_sets
from rdahw.errors import UsageError, UserError, nearest

LABEL_COLUMNS = ("label", "class", "target", "species")

#: The most cells of a table: 4 GiB of numbers.
MAX_CELLS = 1 << 29

MISSING_RULES = ("bit", "error", "drop")

Log = Callable[[str], object]
"""Called with a sentence about what was found in a file; a warning begins with «warning: »."""


def silent(message: str) -> None:
    """Log nothing."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How to read tables, as a user asks for it.

    label: the label column, by name or number from 1. delimiter: what separates cells of text; None: it is found.
    header: whether the first row of text is the names; None: it is found. missing: ``bit`` (missing cells are NaN),
    ``error``, or ``drop`` (examples with missing cells are left out). task: ``classification``, ``regression`` for
    labels that are numbers, or ``multilabel`` for several label columns of 0 and 1, separated by commas in ``label``,
    or ``anomaly``, for which ``normal`` is the class of normal examples; None: the most frequent one. sequence: how
    sequences are in the file (:mod:`rdahw.data._sequence_files`), if it holds some. in_parts: in parts
    (:mod:`rdahw.data._parts`), where the format and the other options allow it.
    Raises UsageError for another ``missing``.
    """

    label: str | None = None
    delimiter: str | None = None
    header: bool | None = None
    missing: str = "bit"
    log: Log = silent
    task: str = "classification"
    normal: str | None = None
    sequence: str | None = None
    in_parts: bool = False

    def __post_init__(self) -> None:
        if self.missing not in MISSING_RULES:
            raise UsageError(
                f"missing cells were to be treated as {self.missing!r}; expected {', '.join(MISSING_RULES)}"
            )


@dataclass(frozen=True, kw_only=True, eq=False)
class Table:
    """Columns of equally many cells.

    path: the file, as messages name it. stem: the name of the data set. named: the names come from the file. where:
    how messages call a row, «line 3» of row 1. padded: missing last columns are zero, as in sparse formats.
    """

    path: str
    stem: str
    names: tuple[str, ...]
    named: bool
    columns: list[Cells]
    where: Callable[[int], str]
    reading: Reading
    padded: bool = False

    def __post_init__(self) -> None:
        check_names(self.path, self.names)
        if not len(self):
            raise UserError(f"{self.path} has a header and no examples under it")

    def __len__(self) -> int:
        return max(map(len, self.columns))  # a column that was taken is empty

    def refuse(self, column: int) -> Refuse:
        """Makes errors of a column; row -1 is the whole column."""

        def error(row: int, message: str) -> UserError:
            if row < 0:
                return UserError(f"{self.path}: column {self.names[column]!r} {message}")
            return UserError(f"{self.path}, {self.where(row)}, column {self.names[column]!r}: {message}")

        return error

    def dataset(self, checksum: Callable[[], str]) -> Dataset:
        """The data set, all of it as ``train``. Raises UserError for a table without labels or features."""
        ats = self.label_columns()
        labels, described = _KINDS[self.reading.task].read(self, ats)
        features = [i for i in range(len(self.names)) if i not in ats]
        if not features:
            said = ", ".join(repr(self.names[at]) for at in ats)
            raise UserError(
                f"{self.path} has only the label column{'s' * (len(ats) > 1)} {said}; expected columns to learn from "
                "too (if its lines have more cells, say what separates them with --delimiter)"
            )
        kinds = tuple(self.columns[i].infer(self.refuse(i)) for i in features)
        values, kept, columns = self._read(features, kinds)
        dataset = Dataset(
            name=self.stem,
            train=Examples(values, labels if kept is None else labels[kept]),
            test=None,
            feature_names=tuple(self.names[i] for i in features),
            columns=columns,
            checksum=checksum(),
            named=self.named,
            task=self.reading.task,
            **described,
        )
        for message in _suspicions(dataset):
            self.reading.log(f"warning: {self.path}: {message}")
        return dataset

    def examples(self, schema: Schema) -> tuple[NDArray[Any], NDArray[Any] | None]:
        """The features (N, F) and, where there is a label column, the labels (N,) of a further table."""
        kind, label = _KINDS[schema.task], self.reading.label
        given = () if label is None else kind.find(self, label)
        match = _match_names if self.named and schema.named else _match_positions
        features, ats = match(self, schema, given)
        values, kept = self._values(features, schema.columns)
        if not ats:
            return values, None
        if LABELS[schema.task].are_sets and len(ats) != len(schema.label_names):
            count = len(schema.label_names)
            raise UserError(
                f"{self.path}: {len(ats)} label columns were named, and the model has {count} labels; name {count}"
            )
        labels = kind.read_more(self, ats, schema)
        return values, labels if kept is None else labels[kept]

    def sheet(self) -> Sheet:
        """The cells as texts, for sequences."""
        for name, column in zip(self.names, self.columns, strict=True):
            if isinstance(column, Numbers) and column.from_texts:
                raise UserError(
                    f"{self.path}: column {name!r} has over 1000 different texts; give sequences as CSV, or with a "
                    "column for each step"
                )
        texts = [column.texts() for column in self.columns]
        cells = [[column.known[code] for code in column.codes.tolist()] for column in texts]
        return Sheet(self.path, self.names, list(zip(*cells, strict=True)), self.where)

    def label_columns(self) -> tuple[int, ...]:
        """The columns of the labels, as the user names them."""
        return _KINDS[self.reading.task].find(self, self.reading.label)

    def label_texts(self, at: int) -> Texts:
        """The labels of a column as texts. Raises UserError for a text among over 1000 numbers."""
        cells = self.columns[at]
        if isinstance(cells, Numbers) and cells.odd is not None:
            raise self.odd_label(at, *cells.odd)
        return cells.texts()

    def odd_label(self, at: int, row: int, text: str) -> UserError:
        """The error for a label that is no number, where most of very many are."""
        message = f"the label {text!r} is not a finite number, and over {MAX_CATEGORIES} different ones are"
        return self.refuse(at)(row, f"{message}; correct it or drop the line")

    def too_many_classes(self, at: int, count: int) -> UserError:
        """The error for a label column of so many different values."""
        return UserError(
            f"{self.path}: the label column {self.names[at]!r} has {count} different values, expected at most "
            f"{MAX_CLASSES} classes; {quantity_hint()}"
        )

    def features(self, features: Sequence[int], columns: Sequence[Column]) -> NDArray[np.float64]:
        """The values of these columns, of these kinds, (rows, len(features))."""
        return self._values(features, columns)[0]

    def _read(
        self, features: Sequence[int], columns: tuple[Column, ...]
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_] | None, tuple[Column, ...]]:
        """As :meth:`_values`, and the kinds of the columns with whether cells are missing."""
        values, kept = self._values(features, columns)
        kinds = tuple(
            replace(column, missing=True) if np.isnan(values[:, j]).any() else column
            for j, column in enumerate(columns)
        )
        return values, kept, kinds

    def _values(
        self, features: Sequence[int | None], columns: Sequence[Column]
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_] | None]:
        """The columns as numbers, 0 for None, (rows, len(features)); with ``missing="drop"`` which rows are kept."""
        values = np.zeros((len(columns), len(self))).T  # each column is contiguous; absent ones are zero
        for j, (at, column) in enumerate(zip(features, columns, strict=True)):
            if at is None:
                continue
            values[:, j] = self.columns[at].values(column, self.refuse(at))
            self.columns[at] = Numbers(np.empty(0))  # so that a large table is not twice in memory
        rule = self.reading.missing
        if rule == "bit":
            return values, None
        missing = np.isnan(values)
        kept = np.asarray(~missing.any(axis=1), np.bool_)
        if kept.all():
            return values, None
        if rule == "error":
            row = int(kept.argmin())
            at = features[int(missing[row].argmax())]
            assert at is not None
            raise self.refuse(at)(row, "the cell is empty; fill it or drop the line, or use --missing bit or drop")
        if not kept.any():
            raise UserError(f"{self.path}: every example has a missing cell; leave --missing drop out")
        self.reading.log(
            f"{self.path}: {len(kept) - int(kept.sum())} of {len(kept)} examples with missing cells dropped"
        )
        return values[kept], kept


def check_names(path: str, names: Sequence[str]) -> None:
    """Raise UserError for a column without a name and for two of one name."""
    seen: dict[str, int] = {}
    for i, name in enumerate(names):
        if not name:
            raise UserError(f"{path}: column {i + 1} has no name in the header; name it, or drop it if it is an index")
        if name in seen:
            raise UserError(f"{path}: the columns {seen[name] + 1} and {i + 1} are both called {name!r}; rename one")
        seen[name] = i


def check_size(path: str, rows: int, columns: int) -> None:
    """Raise UserError for a table of more cells than are read."""
    if rows * columns > MAX_CELLS:
        raise UserError(
            f"{path} has {rows} rows of {columns} columns or more, and at most {MAX_CELLS} cells are read; use fewer"
        )


def made_up_names(count: int) -> tuple[str, ...]:
    """«column 1», «column 2», …"""
    return tuple(f"column {i + 1}" for i in range(count))


def quantity_hint() -> str:
    """What to do with a label column that is a quantity."""
    return "predict numbers with rdahw train --task regression, or choose another label column with --label"


@dataclass(frozen=True, kw_only=True)
class _Kind:
    """How labels are read.

    find: the label columns of a table as a user names them, None: not at all. read: from these the labels (N,) of a
    training table, and what a :class:`Dataset` says of them. read_more: the labels of a further table by the schema.
    """

    find: Callable[[Table, str | None], tuple[int, ...]]
    read: Callable[[Table, tuple[int, ...]], tuple[NDArray[Any], dict[str, Any]]]
    read_more: Callable[[Table, tuple[int, ...], Schema], NDArray[Any]]


def _one_column(table: Table, label: str | None) -> tuple[int, ...]:
    return (_label_column(table, label),)


def _several_columns(table: Table, label: str | None) -> tuple[int, ...]:
    if label is None or len(label.split(",")) < 2:
        said = "are not named" if label is None else f"are {label!r}"
        raise UsageError(
            f"the label columns for --task multilabel {said}; expected two or more names, such as --label a,b,c"
        )
    ats = tuple(_label_column(table, name.strip()) for name in label.split(","))
    if len(set(ats)) < len(ats):
        raise UsageError(f"the label columns {label!r} name one column twice; name each once")
    if len(ats) > MAX_LABELS:
        raise UsageError(f"{len(ats)} label columns were named, and a model learns at most {MAX_LABELS}; name fewer")
    return ats


def _named(table: Table, at: int) -> dict[str, Any]:
    return {"label_name": table.names[at], "label_index": at}


def _read_classes(table: Table, ats: tuple[int, ...]) -> tuple[NDArray[np.int64], dict[str, Any]]:
    labels, names = _classes(table, *ats)
    return labels, {"label_names": names, **_named(table, *ats)}


def _read_numbers(table: Table, ats: tuple[int, ...]) -> tuple[NDArray[np.float64], dict[str, Any]]:
    labels = _numbers(table, ats)
    return labels, {"label_names": (), "target": Target.fit(labels), **_named(table, *ats)}


def _read_sets(table: Table, ats: tuple[int, ...]) -> tuple[NDArray[np.int64], dict[str, Any]]:
    names = tuple(table.names[at] for at in ats)
    if said := [name for name in names if ";" in name]:
        raise UserError(
            f"{table.path}: the name of the label column {said[0]!r} has a «;», which separates the labels of a "
            "prediction; give the column another name"
        )
    return _sets(table, ats), {"label_names": names, "label_columns": ats}


def _known_classes(table: Table, ats: tuple[int, ...], schema: Schema) -> NDArray[np.int64]:
    """The class number of each row, (N,), by the names that training had."""
    (at,) = ats
    labels = table.label_texts(at)
    known = [_class_number(text, schema.label_names) for text in labels.known]
    numbers: NDArray[np.int64] = np.array([-1 if c is None else c for c in known], np.int64)[labels.codes]
    if (wrong := numbers < 0).any():
        row = int(wrong.argmax())
        cell = labels.known[labels.codes[row]]
        raise table.refuse(at)(row, f"there is no class {cell!r}; {nearest(cell, schema.label_names)}")
    return numbers


def _read_anomalies(table: Table, ats: tuple[int, ...]) -> tuple[NDArray[np.int64], dict[str, Any]]:
    normal = table.reading.normal
    if not ats:
        if normal is not None:
            raise UsageError(f"the class {normal!r} is to be normal; name the column of the classes with --label")
        return np.zeros(len(table), np.int64), {"label_names": ()}
    labels, names = _classes(table, *ats)
    found, normal = anomalies(labels, names, normal, f"{table.path}: the label column {table.names[ats[0]]!r}")
    return found, {"label_names": (normal,), **_named(table, *ats)}


def _known_anomalies(table: Table, ats: tuple[int, ...], schema: Schema) -> NDArray[np.int64]:
    """1 for each row of another class than the normal one, (N,); if training had no classes, this is the most frequent
    one."""
    (at,) = ats
    labels = table.label_texts(at)
    if "" in labels.counts:
        raise table.refuse(at)(int((labels.codes == labels.known.index("")).argmax()), "the label is empty")
    normal = schema.label_names or (max(labels.counts, key=lambda text: labels.counts[text]),)
    if not schema.label_names:
        table.reading.log(f"{table.path}: the class {normal[0]!r}, the most frequent one, is taken as normal")
    found: NDArray[np.int64] = np.array([_class_number(text, normal) is None for text in labels.known], np.int64)
    return found[labels.codes]


#: The rows by the name of the task.
_KINDS: Mapping[str, _Kind] = {
    "classification": _Kind(find=_one_column, read=_read_classes, read_more=_known_classes),
    "regression": _Kind(
        find=_one_column, read=_read_numbers, read_more=lambda table, ats, schema: _numbers(table, ats)
    ),
    "anomaly": _Kind(
        find=lambda table, label: () if label is None else _one_column(table, label),
        read=_read_anomalies,
        read_more=_known_anomalies,
    ),
    "multilabel": _Kind(find=_several_columns, read=_read_sets, read_more=lambda table, ats, schema: _sets(table, ats)),
}


def _label_column(table: Table, label: str | None) -> int:
    names = table.names
    if label is None:
        lower = [name.lower() for name in names]
        return next((lower.index(name) for name in LABEL_COLUMNS if name in lower), len(names) - 1)
    if label in names:
        return names.index(label)
    if label.isdecimal():
        if not 1 <= int(label) <= len(names):
            raise UserError(f"{table.path} has no column {label}; expected a name or a number from 1 to {len(names)}")
        return int(label) - 1
    way = nearest(label, names)
    if all(part.strip() in names for part in label.split(",")):
        way = "for several labels use rdahw train --task multilabel"
    raise UserError(f"{table.path} has no column {label!r}; {way}")


def _classes(table: Table, at: int) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """The class number of each row, (N,), and the names of the classes."""
    cells, refuse, what = table.label_texts(at), table.refuse(at), f"{table.path}: the label column"
    names, column = list(cells.counts), repr(table.names[at])
    if "" in names:
        row = int((cells.codes == cells.known.index("")).argmax())
        raise refuse(row, "the label is empty; expected a class")
    numbers = {name: value for name in names if (value := number(name)) is not None and math.isfinite(value)}
    same: Mapping[str, Any] = numbers if len(numbers) == len(names) else {name: name for name in names}
    chosen: dict[Any, str] = {}
    for name in sorted(names, key=lambda name: (len(name), name)):
        chosen.setdefault(same[name], name)
    classes = {value: c for c, value in enumerate(sorted(chosen))}
    label_names = tuple(chosen[value] for value in classes)
    if len(chosen) < len(names):
        other = next(name for name in sorted(names) if chosen[same[name]] != name)
        table.reading.log(
            f"{table.path}: the labels {chosen[same[other]]!r} and {other!r} are the same number, one class"
        )
    if len(classes) < 2:
        raise UserError(f"{table.path}: every label in column {column} is {names[0]!r}; expected two classes or more")
    if len(classes) > MAX_CLASSES:
        raise table.too_many_classes(at, len(classes))
    for name in MISSING.intersection(names):
        table.reading.log(f"warning: {what} {column} has a class {name!r}, which may stand for a missing label")
    rows = len(cells)
    if len(numbers) == len(names) and len(classes) > 20:
        whole = all(value == math.floor(value) for value in numbers.values())
        if not whole or rows < 5 * len(classes):
            table.reading.log(
                f"warning: {what} {column} has {len(classes)} different numbers in {rows} examples and looks like a "
                f"quantity, not like classes; {quantity_hint()}"
            )
    of_code = np.array([classes.get(same.get(name), 0) for name in cells.known], np.int64)
    return of_code[cells.codes], label_names


def _numbers(table: Table, ats: tuple[int, ...], kind: Kind = "number", what: str = "a number") -> NDArray[np.float64]:
    """The label of each row, (N,), where labels are numbers."""
    (at,) = ats
    labels = table.columns[at].values(Column(kind), table.refuse(at))
    if (missing := np.isnan(labels)).any():
        raise table.refuse(at)(int(missing.argmax()), f"the label is empty; expected {what}")
    return labels


def _sets(table: Table, ats: tuple[int, ...]) -> NDArray[np.int64]:
    """The set of labels of each row, (N,), from columns of 0 and 1."""
    return label_sets(np.stack([_numbers(table, (at,), "binary", "0 or 1") for at in ats], axis=1))


def _class_number(text: str, label_names: Sequence[str]) -> int | None:
    if text in label_names:
        return label_names.index(text)
    value = number(text)
    return next((c for c, name in enumerate(label_names) if value is not None and number(name) == value), None)


def _suspicions(dataset: Dataset) -> Iterator[str]:
    """What looks wrong in a data set and can be right."""
    examples, classes = dataset.train.sample(), len(dataset.label_names)
    labels = examples.labels
    for name, column in zip(dataset.feature_names, dataset.columns, strict=True):
        if are_dates(column.categories):
            yield (
                f"column {name!r} has {len(column.categories)} different dates, each a category of its own; to learn "
                f"from their order, {DATES_AS_NUMBERS}"
            )
    if not LABELS[dataset.task].are_classes or len(labels) < 10 * classes:
        return
    for j, (name, column) in enumerate(zip(dataset.feature_names, dataset.columns, strict=True)):
        values = examples.features[:, j]
        if column.missing or column.kind == "category" and len(column.categories) != classes:
            continue
        first = np.full(classes, np.nan)
        first[labels[::-1]] = values[::-1]
        if len(np.unique(first)) == classes and np.array_equal(first[labels], values):
            yield (
                f"column {name!r} has one value for each class, as if it were the label {dataset.label_name!r} once "
                "more; drop it if it is not known when the model is used"
            )


def _match_names(table: Table, schema: Schema, ats: tuple[int, ...]) -> tuple[list[int], tuple[int, ...]]:
    """The columns of the schema's features and of the labels in a table with a header."""
    names = table.names
    labels = schema.label_names if LABELS[schema.task].are_sets else (schema.label_name,)
    given = [names[at] for at in ats]
    if (
        not ats
        and any(name in names for name in labels)
        or len(given) > 1
        and sorted(given) == sorted(map(str, labels))
    ):
        ats = tuple(_label_column(table, name) for name in labels)
    elif len(given) > 1 and set(given) & set(labels):
        said, known = (", ".join(map(repr, each)) for each in (given, labels))
        raise UserError(f"{table.path}: the label columns are {said}, and the model's labels are {known}; name these")
    rest = [name for i, name in enumerate(names) if i not in ats]
    for name in schema.feature_names:
        if name not in rest:
            raise UserError(f"{table.path} has no column {name!r}, which the training data had; {nearest(name, rest)}")
    for name in rest:
        if name not in schema.feature_names:
            raise UserError(
                f"{table.path} has a column {name!r}, which the training data did not have; drop it"
                + ("" if ats else ", or say that it is the label")
            )
    return [names.index(name) for name in schema.feature_names], ats


def _match_padded(table: Table, schema: Schema) -> list[int | None]:
    """The columns of the features in a sparse table, whose first is the label and whose names have numbers: those of
    the model's if it learned from a sparse table, else from 1. None for a feature that the table never has."""
    names = list(schema.feature_names)
    if not set(names[:1]) <= {"feature 0", "feature 1"}:
        names = [f"feature {i + 1}" for i in range(len(names))]
    if unknown := [name for name in table.names[1:] if name not in names]:
        raise UserError(
            f"{table.path} has a {unknown[-1]!r}, and the model has {len(names)} features, {names[0]!r} to "
            f"{names[-1]!r}; give data with the training data's features"
        )
    absent = len(names) - len(table.names) + 1
    if absent:
        table.reading.log(f"{table.path}: {absent} of the model's {len(names)} features do not occur and are 0")
    return [table.names.index(name) if name in table.names else None for name in names]


def _match_positions(
    table: Table, schema: Schema, ats: tuple[int, ...]
) -> tuple[Sequence[int | None], tuple[int, ...]]:
    """The columns of the features and of the labels in a table whose columns are matched by position."""
    count, width = len(schema.feature_names), len(table.names)
    if table.padded:
        return _match_padded(table, schema), (0,)
    if not ats and LABELS[schema.task].are_sets:
        ats = schema.label_columns if width == count + len(schema.label_columns) else ()
    elif not ats and width == count + 1:
        at = schema.label_index
        if table.named and any(name.lower() in LABEL_COLUMNS for name in table.names):
            at = _label_column(table, None)
        if at is None:
            raise UserError(
                f"{table.path} has {width} columns, one more than the {count} features; say which is the label"
            )
        ats = (at,)
    if width != count + len(ats):
        raise UserError(f"{table.path} has {width} columns, expected the {count} features, with or without a label")
    return [i for i in range(width) if i not in ats], ats
