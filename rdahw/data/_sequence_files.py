"""Sequences in files. ``--sequence`` says how: words with commas between them.

- ``rows``: a row is a sequence. Either a column is a step, in the order of the file, and empty cells at the end of a
  row are no steps; or one column holds whole sequences, each a text of symbols: with white space between them, or a
  character each if no cell of the column has white space. An NPZ file has ``x``, (N, steps) or (N, steps, columns), and
  may have ``lengths``, (N,).
- ``id=COLUMN``: a row is a step, and the column names the sequence that it belongs to. Steps are in the order of the
  file, sequences in that of their first step. Each further column is a part of the symbol.
- ``files``: each file of a folder is a sequence, with a row a step, in the order of the names of the files. All have
  the same columns, which are as those of ``id=COLUMN``.
- ``labels=each`` or ``labels=end``: there is a label at each step, or one at the end of a sequence. Without it, labels
  are at each step if at least half of the sequences have as many labels as steps, or, with ``id=COLUMN``, any step but
  a last one has a label.
- ``steps=N``: a sequence may have up to N steps, also in later files; without it, as many as the longest.

The column of the labels is the one given, or those whose names begin with what is given and end with a number (``y``:
``y0``, ``y1``, …); without it those called label, class, target, species or y, or else the last.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rdahw.data._dataset import Column, Dataset, Examples, Schema
from rdahw.data.sequences import (
    MAX_LABEL_BITS,
    MAX_STEPS,
    MAX_SYMBOL_BITS,
    Alphabet,
    SequenceForm,
    width_of,
)
from rdahw.errors import UsageError, UserError, nearest
from rdahw.wording import plural

#: The column of the names of files.
FILE = "the name of the file"
#: Names of the column of labels.
_LABELS = ("label", "class", "target", "species", "y", "labels")
_EXPECTED = "expected rows, id=COLUMN or files, and after a comma labels=each, labels=end or steps=N"


@dataclass(frozen=True, slots=True)
class Layout:
    """What ``--sequence`` says; None where it says nothing."""

    name: str
    at_end: bool | None = None
    steps: int | None = None

    @property
    def key(self) -> str | None:
        """The column that names the sequence of a row; None if a row is a sequence."""
        return FILE if self.in_files else self.name.partition("=")[2] or None

    @property
    def in_files(self) -> bool:
        """Whether each file is a sequence."""
        return self.name == "files"

    @classmethod
    def parse(cls, text: str) -> Layout:
        """Raises :class:`UsageError` for a text of another form."""
        name, *rest = (word.strip() for word in text.split(","))
        given = dict(word.partition("=")[::2] for word in rest)
        at, steps = given.pop("labels", None), given.pop("steps", None)
        if not re.fullmatch(r"rows|files|id=.+", name) or given or at not in (None, "each", "end"):
            raise UsageError(f"--sequence {text} is not a form of sequences; {_EXPECTED}")
        if steps is not None and not (re.fullmatch("[0-9]{1,6}", steps) and 1 <= int(steps) <= MAX_STEPS):
            raise UsageError(f"--sequence {text} has steps={steps}; expected a whole number from 1 to {MAX_STEPS}")
        return cls(name, None if at is None else at == "end", None if steps is None else int(steps))


class Flat(NamedTuple):
    """Cells of all steps of all sequences in turn: cell i is ``known[codes[i]]``."""

    known: list[str]
    codes: NDArray[np.int64]

    @classmethod
    def of(cls, cells: Iterable[str]) -> Flat:
        """The cells one by one."""
        known: dict[str, int] = {}
        codes = np.array([known.setdefault(cell, len(known)) for cell in cells], np.int64)
        return cls(list(known), codes)

    def take(self, rows: NDArray[Any]) -> Flat:
        """The cells at these places."""
        return Flat(self.known, self.codes[rows])


class Steps(NamedTuple):
    """Sequences as a file has them: the number of steps of each, the cells of each column of a symbol, and labels of
    each step, or of each sequence, if there are any."""

    lengths: NDArray[np.int64]
    columns: tuple[str, ...]
    symbols: list[Flat]
    label: str
    labels: Flat | None
    at_end: bool


class Sheet(NamedTuple):
    """A table as texts. path: as messages name it. rows: the cells; short rows end early. where: how messages call a
    row."""

    path: str
    names: Sequence[str]
    rows: Sequence[Sequence[str]]
    where: Callable[[int], str]

    def steps(self, layout: Layout, label: str | None, form: SequenceForm | None) -> Steps:
        """The sequences in it; ``form``: those that a model learned from, if it is read for one."""
        ats = self._label_columns(label, form)
        at_end = layout.at_end if form is None else form.at_end
        known = label or (form.label if form else None) or (_stem(self.names, ats) if ats else "")
        if layout.key is None:
            return self._rows(ats, known, at_end, form)
        return self._long(layout.key, ats, known, at_end, form)

    def _label_columns(self, label: str | None, form: SequenceForm | None) -> list[int]:
        names = list(self.names)
        wanted = label or (form.label if form else None)
        if wanted is None:
            lower = [name.lower() for name in names]
            wanted = next((names[lower.index(name)] for name in _LABELS if name in lower), None)
            if wanted is None:
                numbered = [at for at, name in enumerate(lower) if re.fullmatch(r"(label|y)_?[0-9]+", name)]
                return numbered or [len([name for name in names if name != FILE]) - 1]
        if wanted in names:
            return [names.index(wanted)]
        found = [at for at, name in enumerate(names) if re.fullmatch(re.escape(wanted) + r"_?[0-9]+", name)]
        if found:
            return found
        if label is None:
            return []
        if label.isdecimal() and 1 <= int(label) <= len(names):
            return [int(label) - 1]
        raise UserError(f"{self.path} has no column {label!r}; {nearest(label, names)}")

    def _cell(self, row: Sequence[str], at: int) -> str:
        return row[at] if at < len(row) else ""

    def _refuse(self, row: int, message: str) -> UserError:
        return UserError(f"{self.path}, {self.where(row)}: {message}")

    def _rows(self, ats: list[int], label: str, at_end: bool | None, form: SequenceForm | None) -> Steps:
        features = [at for at in range(len(self.names)) if at not in ats]
        if not features:
            raise UserError(f"{self.path} has only the labels; expected columns of symbols too")
        cells = [[self._cell(row, at) for at in features] for row in self.rows]
        whole = len(features) == 1
        if whole:
            split = _splitter([row[0] for row in cells], form.symbols[0] if form else None)
            cells = [split(row[0]) for row in cells]
        for i, row in enumerate(cells):
            while row and not row[-1]:
                row.pop()
            if not row or "" in row:
                raise self._refuse(i, "a sequence has an empty cell; expected empty cells after its last step only")
        lengths = np.array([len(row) for row in cells], np.int64)
        given = [[self._cell(row, at) for at in ats] for row in self.rows]
        labels, at_end = self._labels_of_rows(given, lengths, at_end, form) if ats else (None, bool(at_end))
        column = self.names[features[0]] if whole else _stem(self.names, features)
        return Steps(lengths, (column,), [Flat.of(c for row in cells for c in row)], label, labels, at_end)

    def _labels_of_rows(
        self, given: list[list[str]], lengths: NDArray[np.int64], at_end: bool | None, form: SequenceForm | None
    ) -> tuple[Flat, bool]:
        if len(given[0]) > 1:
            if at_end:
                raise UserError(
                    f"{self.path} has {len(given[0])} columns of labels, and labels=end was asked for; name one column "
                    "with --label"
                )
            split = given
            for row in split:
                while row and not row[-1]:
                    row.pop()
        else:
            each = _splitter([row[0] for row in given], form.labels if form else None)
            split = [each(row[0]) for row in given]
            if at_end is None:
                same = sum(len(row) == count for row, count in zip(split, lengths.tolist(), strict=True))
                # Texts such as 01 may be labels at each step of which there are too few.
                bits = all(len(row[0]) > 1 and {*row[0]} <= {"0", "1"} for row in given)
                at_end = 2 * same < len(split) and not bits
        if at_end:
            split = [row[:1] for row in given]
        for i, row in enumerate(split):
            if len(row) != (wanted := 1 if at_end else int(lengths[i])) or "" in row:
                raise self._refuse(
                    i,
                    f"a sequence of {lengths[i]} steps has {len([c for c in row if c])} labels; expected {wanted}"
                    + ("" if at_end else " (say labels=end after --sequence if they are one label at its end)"),
                )
        return Flat.of(cell for row in split for cell in row), bool(at_end)

    def _long(self, key: str, ats: list[int], label: str, at_end: bool | None, form: SequenceForm | None) -> Steps:
        names = list(self.names)
        if key not in names:
            raise UserError(f"{self.path} has no column {key!r}; {nearest(key, names)}")
        if len(ats) > 1 or names.index(key) in ats:
            raise UserError(f"{self.path}: the labels of steps are one column; name it with --label")
        features = [at for at in range(len(names)) if at not in ats and names[at] != key]
        if form is not None:
            if missing := [name for name in form.columns if name not in names]:
                raise UserError(
                    f"{self.path} has no column {missing[0]!r}, which the training data had; "
                    f"{nearest(missing[0], names)}"
                )
            features = [names.index(name) for name in form.columns]
        if not features:
            raise UserError(f"{self.path} has no columns of symbols beside {key!r} and the labels; add them")
        groups: dict[str, list[int]] = {}
        for i, row in enumerate(self.rows):
            groups.setdefault(self._cell(row, names.index(key)), []).append(i)
        order = [i for its in groups.values() for i in its]
        symbols = [Flat.of(self._cell(self.rows[i], at) for i in order) for at in features]
        for flat, at in zip(symbols, features, strict=True):
            if "" in flat.known:
                i = order[int((flat.codes == flat.known.index("")).argmax())]
                raise self._refuse(i, f"the cell of column {names[at]!r} is empty; expected a symbol at each step")
        lengths = np.array([len(its) for its in groups.values()], np.int64)
        columns = tuple(names[at] for at in features)
        if not ats:
            return Steps(lengths, columns, symbols, label, None, bool(at_end))
        its_labels = [self._cell(self.rows[i], ats[0]) for i in order]
        last = np.cumsum(lengths) - 1
        if at_end is None:
            at_end = bool((lengths > 1).any()) and not any(np.delete(np.array(its_labels, object), last))
        if at_end:
            its_labels = [its_labels[i] for i in last]
        if "" in its_labels:
            at = its_labels.index("")
            i = order[last[at] if at_end else at]
            raise self._refuse(
                i, "the label is empty; expected one " + ("at the end of each sequence" if at_end else "at each step")
            )
        return Steps(lengths, columns, symbols, label, Flat.of(its_labels), at_end)


def _stem(names: Sequence[str], ats: Sequence[int]) -> str:
    """The name of a column, or what the names of several begin with."""
    first = names[ats[0]]
    return first if len(ats) == 1 else re.sub(r"_?[0-9]+$", "", first) or first


def _splitter(cells: Sequence[str], alphabet: Alphabet | None) -> Callable[[str], list[str]]:
    """What cuts a cell into symbols: at white space, if a cell has some or a symbol has several characters."""
    long = isinstance(alphabet, int) and alphabet > 3 or isinstance(alphabet, tuple) and max(map(len, alphabet)) > 1
    return str.split if long or any(len(cell.split()) > 1 for cell in cells) else list


def joined(path: str, sheets: Mapping[str, Sheet]) -> Sheet:
    """The tables of several files, by their names, with these in a column behind the others. Raises
    :class:`UserError` for other columns than those of the first file."""
    first, names = next(iter(sheets)), next(iter(sheets.values())).names
    rows, places = list[list[str]](), list[tuple[str, Sheet, int]]()
    for file, sheet in sheets.items():
        if list(sheet.names) != list(names):
            raise UserError(
                f"{sheet.path} has the columns {', '.join(sheet.names)}, and {first} has {', '.join(names)}; give all "
                "files the same"
            )
        for i, row in enumerate(sheet.rows):
            rows.append([*row, *[""] * (len(names) - len(row)), file])
            places.append((file, sheet, i))

    def where(i: int) -> str:
        file, sheet, row = places[i]
        return f"{file}, {sheet.where(row)}"

    return Sheet(path, (*names, FILE), rows, where)


class Arrays(NamedTuple):
    """The arrays of an NPZ file."""

    path: str
    arrays: Mapping[str, NDArray[Any]]

    def steps(self, layout: Layout, label: str | None, form: SequenceForm | None) -> Steps:
        """The sequences in them."""
        return self.part(layout, "")

    def part(self, layout: Layout, suffix: str) -> Steps:
        """The sequences in the arrays of these names with ``suffix``."""
        if layout.key is not None:
            raise UsageError(f"--sequence {layout.name} is for tables, and {self.path} is NPZ; use --sequence rows")
        x = self.arrays.get(f"x{suffix}")
        if x is None or x.ndim not in (2, 3) or not x.size or x.dtype.kind not in "buiU":
            found = "missing" if x is None else f"{x.dtype} of shape {x.shape}"
            raise UserError(
                f"{self.path}: 'x{suffix}' is {found}; expected whole numbers or texts (N, steps) or (N, steps, "
                "columns)"
            )
        count, most = x.shape[:2]
        lengths = np.asarray(self.arrays.get(f"lengths{suffix}", np.full(count, most)))
        if lengths.shape != (count,) or lengths.dtype.kind not in "ui" or lengths.min() < 1 or lengths.max() > most:
            raise UserError(
                f"{self.path}: 'lengths{suffix}' is {lengths.dtype} of shape {lengths.shape}; expected ({count},) "
                f"whole numbers from 1 to {most}"
            )
        there = np.arange(most) < lengths[:, None]
        planes = x[:, :, None] if x.ndim == 2 else x
        columns = tuple(f"x{k}" for k in range(planes.shape[2])) if x.ndim == 3 else ("x",)
        symbols = [_flat(planes[:, :, k][there]) for k in range(planes.shape[2])]
        y = self.arrays.get(f"y{suffix}")
        if y is None:
            return Steps(lengths.astype(np.int64), columns, symbols, "y", None, bool(layout.at_end))
        at_end = y.ndim == 1
        if y.dtype.kind not in "buiU" or y.shape != ((count,) if at_end else (count, most)):
            raise UserError(
                f"{self.path}: 'y{suffix}' is {y.dtype} of shape {y.shape}; expected whole numbers or texts ({count}, "
                f"{most}), a label at each step, or ({count},), one at the end"
            )
        if layout.at_end not in (None, at_end):
            said = "end" if layout.at_end else "each"
            raise UserError(
                f"{self.path}: 'y{suffix}' has the shape {y.shape}, and labels={said} was asked for; leave it out"
            )
        return Steps(lengths.astype(np.int64), columns, symbols, "y", _flat(y if at_end else y[there]), at_end)


def _flat(values: NDArray[Any]) -> Flat:
    known, codes = np.unique(values.astype(np.int64) if values.dtype.kind == "b" else values, return_inverse=True)
    return Flat([str(value) for value in known.tolist()], codes.reshape(-1).astype(np.int64))


Holds: TypeAlias = Sheet | Arrays
"""A file of sequences."""


@dataclass(frozen=True, eq=False)
class SequenceFile:
    """The content of a file of sequences. stem: the name of the data set."""

    content: Holds
    stem: str
    layout: Layout
    label: str | None
    log: Callable[[str], object]

    def dataset(self, checksum: Callable[[], str]) -> Dataset:
        """The data set. Raises UserError for a file without sequences or labels, or with too many symbols."""
        path = self.content.path
        steps = self.content.steps(self.layout, self.label, None)
        if steps.labels is None:
            raise UserError(f"{path} has no labels; expected one at each step or at the end of each sequence")
        longest = int(steps.lengths.max())
        most = self.layout.steps or longest
        form = SequenceForm(
            layout=self.layout.name,
            steps=most,
            columns=steps.columns,
            symbols=tuple(
                _alphabet(path, f"column {n!r}", f.known) for n, f in zip(steps.columns, steps.symbols, strict=True)
            ),
            label=steps.label,
            labels=_alphabet(path, "the labels", steps.labels.known, MAX_LABEL_BITS),
            ragged=bool((steps.lengths != most).any()),
            at_end=steps.at_end,
        )
        if longest > MAX_STEPS or form.shape.symbol > MAX_SYMBOL_BITS:
            raise UserError(
                f"{path} has sequences of up to {longest} steps of {form.shape.symbol} bits; expected at most "
                f"{MAX_STEPS} steps of {MAX_SYMBOL_BITS} bits: cut the sequences, or use fewer columns or symbols"
            )
        train = _examples(path, steps, form)
        plain, shape = form.shape.symbol == 1, form.shape
        names = [f"x{t}" if plain else f"x{t}.{b}" for t in range(most) for b in range(shape.symbol)]
        names += [f"step {t}" for t in range(most)] if form.ragged else []
        made = Dataset(
            name=self.stem,
            train=train,
            test=None,
            label_names=("y",) if form.at_end else tuple(f"y{t}" for t in range(most)),
            feature_names=tuple(names),
            columns=(Column("binary"),) * len(names),
            checksum=checksum(),
            task="sequences",
            sequence=form,
        )
        if isinstance(self.content, Arrays) and "x_test" in self.content.arrays:
            made = replace(made, test=_examples(path, self.content.part(self.layout, "_test"), form))
        self.log(
            f"{path}: {len(train)} sequences of {int(steps.lengths.min())} to {longest} steps, symbols of "
            f"{plural(shape.symbol, 'bit')}, labels of {plural(shape.label, 'bit')} {_WHEN[form.at_end]}"
        )
        return made

    def examples(self, schema: Schema) -> tuple[NDArray[Any], NDArray[Any] | None]:
        """The features (N, F) and, where there are labels, these (N,)."""
        form = schema.sequences
        steps = self.content.steps(self.layout, self.label, form)
        if len(steps.columns) != len(form.columns):
            raise UserError(
                f"{self.content.path} has symbols of {len(steps.columns)} columns; expected {len(form.columns)} as in "
                "training"
            )
        if steps.labels is not None and steps.at_end != form.at_end:
            raise UserError(
                f"{self.content.path} has labels {_WHEN[steps.at_end]}; expected them {_WHEN[form.at_end]}, as in "
                "training"
            )
        read = _examples(self.content.path, steps, form)
        return read.features, None if steps.labels is None else read.labels


_WHEN = {True: "at the end", False: "at each step"}


def _examples(path: str, steps: Steps, form: SequenceForm) -> Examples:
    """The sequences by the alphabets of ``form``; without labels these are 0."""
    longest = int(steps.lengths.max())
    if longest > form.steps:
        raise UserError(
            f"{path} has a sequence of {longest} steps, and the most are {form.steps}; train with "
            f"--sequence {form.layout},steps={longest}"
        )
    if not form.ragged and (steps.lengths != form.steps).any():
        raise UserError(
            f"{path} has a sequence of {int(steps.lengths.min())} steps, and all of training have {form.steps}; train "
            f"with --sequence {form.layout},steps={form.steps + 1} for sequences of several lengths"
        )
    there = np.arange(form.steps) < steps.lengths[:, None]
    value, low = np.zeros(int(steps.lengths.sum()), np.int64), 0
    for flat, alphabet in zip(steps.symbols, form.symbols, strict=True):
        value |= _numbers(path, "symbol", flat, alphabet, steps.lengths) << low
        low += width_of(alphabet)
    symbols = np.full(there.shape, -1, np.int64)
    symbols[there] = value
    shape = form.shape
    labels: NDArray[Any] = np.zeros(len(symbols), np.int64)
    if steps.labels is not None:
        one_each = np.ones(len(symbols), np.int64)
        found = _numbers(path, "label", steps.labels, form.labels, one_each if form.at_end else steps.lengths)
        at = np.full((len(symbols), 1 if form.at_end else form.steps), -1, np.int64)
        at[there if not form.at_end else np.ones_like(at, np.bool_)] = found
        labels = shape.numbers(at)
    return Examples(shape.wires(symbols), labels)


def _alphabet(path: str, what: str, known: Sequence[str], most: int = MAX_SYMBOL_BITS) -> Alphabet:
    """The alphabet of these cells: whole numbers from 0, or else names in sorted order."""
    if all(re.fullmatch(r"0|[1-9][0-9]{0,4}", cell) for cell in known):
        width = max(1, max(map(int, known)).bit_length())
        if width <= most:
            return width
    names = tuple(sorted(set(known)))
    if len(names) > 1 << most:
        raise UserError(
            f"{path}: {what} has {len(names)} different symbols; expected at most {1 << most}: names, or whole numbers "
            f"below {1 << most}"
        )
    return names


def _numbers(path: str, what: str, flat: Flat, alphabet: Alphabet, lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """The numbers of the cells. Raises UserError for a cell that the alphabet has not."""
    if isinstance(alphabet, int):
        found = [int(cell) if re.fullmatch(r"[0-9]{1,5}", cell) else -1 for cell in flat.known]
        found = [value if value < 1 << alphabet else -1 for value in found]
        way = f"expected a whole number from 0 to {(1 << alphabet) - 1}"
    else:
        places = {name: i for i, name in enumerate(alphabet)}
        found = [places.get(cell, -1) for cell in flat.known]
        way = ""
    numbers = np.array(found, np.int64)[flat.codes]
    if (numbers < 0).any():
        at = int((numbers < 0).argmax())
        ends = np.cumsum(lengths)
        sequence = int(np.searchsorted(ends, at, side="right"))
        cell = flat.known[flat.codes[at]]
        step = at - int(ends[sequence] - lengths[sequence])
        raise UserError(
            f"{path}, sequence {sequence + 1}, step {step + 1}: there is no {what} {cell!r} in training; "
            f"{way or nearest(cell, list(alphabet) if isinstance(alphabet, tuple) else [])}"
        )
    return numbers
