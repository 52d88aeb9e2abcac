"""The form of sequences: how their symbols and labels are wires, and how symbols and labels are written in files.

An example of the task ``sequences`` is a sequence: at each step a symbol of some bits is read, and a label of some bits
is wanted at each step, or at the last one only. The input bits of an example are the bits of the symbols, step after
step, the lowest first. Where sequences are of several lengths, those that are shorter than ``steps`` are filled up with
0, and one more bit for each step follows, which is 1 if the sequence has that step.

The class number of an example is the number that the bits of its labels make, step after step. Where there are labels
at each step of sequences of several lengths, one more bit, 1, is above the last label of each sequence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rdahw.data._json import damaged, is_int, is_list, members, texts
from rdahw.data.labels import label_sets, members_of_sets

__all__ = ["MAX_LABEL_BITS", "MAX_STEPS", "MAX_SYMBOL_BITS", "Alphabet", "SequenceForm", "SequenceShape", "width_of"]

#: The most bits of a symbol and of a label.
MAX_SYMBOL_BITS, MAX_LABEL_BITS = 12, 8
#: The most steps of a sequence.
MAX_STEPS = 1 << 13

Alphabet: TypeAlias = int | tuple[str, ...]
"""What the cells of a column can be: whole numbers of so many bits, or names, whose number is their place."""


def width_of(alphabet: Alphabet) -> int:
    """The bits of a symbol."""
    return alphabet if isinstance(alphabet, int) else max(1, (len(alphabet) - 1).bit_length())


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceShape:
    """The wires of sequences.

    steps: the most steps. symbol, label: their bits. ragged: sequences may be shorter. at_end: a sequence has one
    label, at its last step.
    """

    steps: int
    symbol: int = 1
    label: int = 1
    ragged: bool = False
    at_end: bool = False

    @property
    def input_bits(self) -> int:
        """The wires of an example."""
        return self.steps * (self.symbol + self.ragged)

    @property
    def label_wires(self) -> int:
        """The bits of a class number."""
        return self.label if self.at_end else self.steps * self.label + self.ragged

    def wires(self, symbols: NDArray[Any]) -> NDArray[np.uint8]:
        """The bits (N, input_bits) of symbols (N, steps), -1 after the end of a sequence."""
        there = symbols >= 0
        bits = np.where(there, symbols, 0)[:, :, None] >> np.arange(self.symbol) & 1
        flat = bits.reshape(len(symbols), -1).astype(np.uint8)
        return np.concatenate([flat, there.astype(np.uint8)], axis=1) if self.ragged else flat

    def symbols(self, bits: NDArray[Any]) -> NDArray[np.int16]:
        """The inverse of :meth:`wires`."""
        count = self.steps * self.symbol
        weights = 1 << np.arange(self.symbol, dtype=np.int16)
        symbols = bits[:, :count].reshape(len(bits), self.steps, self.symbol).astype(np.int16) @ weights
        if self.ragged:
            symbols[bits[:, count:] == 0] = -1
        return np.ascontiguousarray(symbols, np.int16)

    def numbers(self, labels: NDArray[Any]) -> NDArray[Any]:
        """The class numbers (N,) of labels (N, steps), or (N, 1) at the end; -1 after the end of a sequence."""
        bits = (np.where(labels >= 0, labels, 0)[:, :, None] >> np.arange(self.label) & 1).reshape(len(labels), -1)
        if self.ragged and not self.at_end:
            bits = np.concatenate([bits, np.zeros((len(bits), 1), bits.dtype)], axis=1)
            bits[np.arange(len(bits)), (labels >= 0).sum(axis=1) * self.label] = 1
        return label_sets(bits)

    def labels(self, numbers: NDArray[Any]) -> NDArray[np.int64]:
        """The inverse of :meth:`numbers`."""
        bits = members_of_sets(numbers, self.label_wires)
        steps = 1 if self.at_end else self.steps
        values: NDArray[np.int64] = bits[:, : steps * self.label].reshape(len(bits), steps, self.label) @ (
            1 << np.arange(self.label)
        )
        if self.ragged and not self.at_end:
            top = self.label_wires - 1 - bits[:, ::-1].argmax(axis=1)
            values[np.arange(steps) >= top[:, None] // self.label] = -1
        return values

    def at_steps(self, numbers: NDArray[Any], symbols: NDArray[Any]) -> NDArray[np.int16]:
        """The labels (N, steps) that class numbers (N,) give to each step of these sequences; -1 for none."""
        found = np.full(symbols.shape, -1, np.int16)
        if self.at_end:
            found[np.arange(len(symbols)), (symbols >= 0).sum(axis=1) - 1] = numbers
            return found
        there = symbols >= 0
        bits = members_of_sets(numbers, self.label_wires)[:, : self.steps * self.label]
        found[there] = (bits.reshape(*symbols.shape, self.label) @ (1 << np.arange(self.label)))[there]
        return found

    def of_steps(self, written: NDArray[Any], symbols: NDArray[Any]) -> NDArray[Any]:
        """The class numbers (N,) of what is written at each step (N, steps) of these sequences."""
        there = symbols >= 0
        if self.at_end:
            last = written[np.arange(len(symbols)), there.sum(axis=1) - 1]
            return self.numbers(last[:, None])
        return self.numbers(np.where(there, written, -1))


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceForm:
    """Sequences in files.

    layout: ``rows``, ``id=COLUMN`` or ``files``. steps, ragged, at_end: see :class:`SequenceShape`. columns: the names
    of the columns that make a symbol, the first lowest; symbols: the alphabet of each. label: the column of the labels,
    or the beginning of the names of several; labels: the alphabet of the labels.
    """

    layout: str
    steps: int
    columns: tuple[str, ...]
    symbols: tuple[Alphabet, ...]
    label: str
    labels: Alphabet
    ragged: bool
    at_end: bool

    @property
    def shape(self) -> SequenceShape:
        return SequenceShape(
            steps=self.steps,
            symbol=sum(map(width_of, self.symbols)),
            label=width_of(self.labels),
            ragged=self.ragged,
            at_end=self.at_end,
        )

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; an alphabet is a number of bits or a list of names. :meth:`from_json` is the inverse."""
        return {
            "layout": self.layout,
            "steps": self.steps,
            "columns": list(self.columns),
            "symbols": [each if isinstance(each, int) else list(each) for each in self.symbols],
            "label": self.label,
            "labels": self.labels if isinstance(self.labels, int) else list(self.labels),
            "labels_at": "end" if self.at_end else "each",
            "ragged": self.ragged,
        }

    @classmethod
    def from_json(cls, value: object) -> SequenceForm:
        """Read :meth:`to_json` back. Raises UserError for a malformed value."""
        keys = ("layout", "steps", "columns", "symbols", "label", "labels", "labels_at", "ragged")
        layout, steps, columns, symbols, label, labels, at, ragged = members(
            value, "the 'sequence' of the schema", keys
        )
        if not isinstance(layout, str) or not isinstance(label, str) or not is_list(symbols):
            raise damaged("the 'layout', 'label' or 'symbols' of the sequences", "texts and a list")
        if (
            not is_int(steps)
            or not 1 <= steps <= MAX_STEPS
            or not isinstance(ragged, bool)
            or at not in ("end", "each")
        ):
            raise damaged(
                "the 'steps', 'labels_at' or 'ragged' of the sequences", "a number, end or each, true or false"
            )
        names = texts(columns, "the 'columns' of the sequences", least=1)
        if len(symbols) != len(names):
            raise damaged("the 'symbols' of the sequences", f"a list of {len(names)} alphabets")
        form = cls(
            layout=layout,
            steps=steps,
            columns=names,
            symbols=tuple(_alphabet(each, MAX_SYMBOL_BITS) for each in symbols),
            label=label,
            labels=_alphabet(labels, MAX_LABEL_BITS),
            ragged=ragged,
            at_end=at == "end",
        )
        if form.shape.symbol > MAX_SYMBOL_BITS:
            raise damaged("the 'symbols' of the sequences", f"at most {MAX_SYMBOL_BITS} bits")
        return form

    def said(self, numbers: NDArray[Any]) -> list[Any]:
        """Class numbers (N,) as users read them: the label at the end, or those of all steps, as a text of digits if
        they are numbers of at most three bits, else as a list of texts."""
        return said_labels(self.shape.labels(numbers), self.labels, self.at_end)


def said_labels(labels: NDArray[np.int64], alphabet: Alphabet, at_end: bool) -> list[Any]:
    """See :meth:`SequenceForm.said`."""

    def text(label: int) -> str:
        return str(label) if isinstance(alphabet, int) else alphabet[label] if label < len(alphabet) else f"#{label}"

    rows = [[text(label) for label in row if label >= 0] for row in labels.tolist()]
    if at_end:
        return [row[0] for row in rows]
    return ["".join(row) for row in rows] if isinstance(alphabet, int) and alphabet <= 3 else rows


def _alphabet(value: object, most: int) -> Alphabet:
    if is_int(value):
        if not 1 <= value <= most:
            raise damaged("an alphabet of the sequences", f"1 to {most} bits")
        return value
    names = texts(value, "an alphabet of the sequences", least=1)
    if width_of(names) > most:
        raise damaged("an alphabet of the sequences", f"at most {1 << most} names")
    return names
