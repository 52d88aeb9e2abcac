"""Circuits as programs for a machine that processes whole wires, one example at a time, for online learning.

The machine's memory is one array of words. A wire of n bits takes ceil(n / 64) of them, packed by wires
(:mod:`rdahw.sim.packing`); the bits after its last are always zero. An instruction is a row of 8 integers (a cache
line): the operation, the first word of its result and of its operands, and further numbers
(:mod:`rdahw.sim.word_kernels`). Constants are in memory from the start.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rdahw.circuit import Circuit
from rdahw.sim.packing import Words, words_for
from rdahw.transform import to_rows

__all__ = ["OPERATIONS", "ROWS", "Place", "WordProgram"]

#: The machine's operations, numbered in this order; :mod:`rdahw.sim.word_kernels` has a function for each.
OPERATIONS = (
    "xor",
    "and",
    "or",
    "not",
    "mux",
    "move",
    "add_bits",
    "fill",
    "parity",
    "gather",
    "scatter",
    "decode",
    "lookup",
    "popcount",
    "less_equal",
    "plus",
    "add_words",
    "multiply_words",
    "mask_words",
    "negate_words",
    "gather_words",
    "scatter_words",
    "shift_words",
    "saturating_add_words",
    "cumulate_words",
    "count_below_words",
)
_NUMBER = {name: i for i, name in enumerate(OPERATIONS)}


class Place(NamedTuple):
    """The place of a wire in memory: its first word, and its width in bits."""

    at: int
    width: int

    @property
    def words(self) -> int:
        """The number of its words."""
        return words_for(self.width)


@dataclass(slots=True)
class _Code:
    """A program under construction."""

    instructions: list[tuple[int, ...]] = field(default_factory=list)
    pool: list[int] = field(default_factory=list)
    size: int = 0

    def place(self, width: int) -> Place:
        """Reserve memory for a wire."""
        place = Place(self.size, width)
        self.size += place.words
        return place

    def emit(self, operation: str, result: Place, *numbers: int) -> None:
        """Append an instruction."""
        row = (_NUMBER[operation], result.at, *numbers)
        self.instructions.append(row + (0,) * (8 - len(row)))

    def move(self, result: Place, to: int, source: Place, start: int, count: int, *, add: bool = False) -> None:
        """Copy ``count`` bits of ``source`` from ``start`` on to ``result`` from ``to`` on, or add (XOR) them there."""
        self.emit("add_bits" if add else "move", result, source.at, start, to, count)


# -- one row a primitive: (code, place of the result, *places of the operands, *attributes) ----------------------------


def _bitwise(operation: str) -> Callable[..., None]:
    def row(code: _Code, result: Place, a: Place, b: Place) -> None:
        code.emit(operation, result, a.at, b.at, result.words)

    return row


def _nothing(code: _Code, result: Place, value: int, width: int) -> None:
    """A constant is in memory already."""


def _concat(code: _Code, result: Place, *parts: Place) -> None:
    to = 0
    for part in parts:
        code.move(result, to, part, 0, part.width)
        to += part.width


def _repeat(code: _Code, result: Place, a: Place, times: int) -> None:
    if a.width == 1:
        code.emit("fill", result, a.at, result.width)
        return
    code.move(result, 0, a, 0, a.width)
    done = a.width
    while done < result.width:  # doubling
        count = min(done, result.width - done)
        code.move(result, done, result, 0, count)
        done += count


def _sum(code: _Code, result: Place, a: Place, times: int) -> None:
    if result.width == 1:
        code.emit("parity", result, a.at, a.words)
        return
    for i in range(times):
        code.move(result, 0, a, i * result.width, result.width, add=i > 0)


def _indexed(operation: str) -> Callable[..., None]:
    def row(code: _Code, result: Place, a: Place, indices: Sequence[int], width: int = 0) -> None:
        code.emit(operation, result, a.at, len(code.pool), len(indices), result.words)
        code.pool.extend(indices)

    return row


def _two_of_words(operation: str) -> Callable[..., None]:
    def row(code: _Code, result: Place, a: Place, b: Place, *numbers: int) -> None:
        code.emit(operation, result, a.at, b.at, result.width // numbers[-1], *reversed(numbers))

    return row


def _indexed_words(operation: str) -> Callable[..., None]:
    def row(code: _Code, result: Place, a: Place, indices: Sequence[int], *numbers: int) -> None:
        bits = numbers[-1]
        code.emit(operation, result, a.at, len(code.pool), len(indices), bits, result.words)
        code.pool.extend(indices)

    return row


#: The rows of this back end, by primitive.
ROWS: dict[str, Callable[..., None]] = {
    "xor": _bitwise("xor"),
    "and": _bitwise("and"),
    "const": _nothing,
    "concat": _concat,
    "slice": lambda code, result, a, start, stop: code.move(result, 0, a, start, stop - start),
    "repeat": _repeat,
    "sum": _sum,
    "gather": _indexed("gather"),
    "scatter": _indexed("scatter"),
    "not": lambda code, result, a: code.emit("not", result, a.at, result.width),
    "or": _bitwise("or"),
    "mux": lambda code, result, select, a, b: code.emit("mux", result, a.at, b.at, result.words, select.at),
    "decode": lambda code, result, a: code.emit("decode", result, a.at, result.words),
    "lookup": lambda code, result, table, address: code.emit(
        "lookup", result, table.at, address.at, result.width, 1 << address.width
    ),
    "popcount": lambda code, result, a: code.emit("popcount", result, a.at, a.words),
    "less_equal": lambda code, result, a, b: code.emit("less_equal", result, a.at, b.at, a.words),
    "plus": lambda code, result, a, b: code.emit("plus", result, a.at, b.at, a.words, result.words),
    "add_words": _two_of_words("add_words"),
    "multiply_words": _two_of_words("multiply_words"),
    "mask_words": _two_of_words("mask_words"),
    "negate_words": _two_of_words("negate_words"),
    "gather_words": _indexed_words("gather_words"),
    "scatter_words": _indexed_words("scatter_words"),
    "shift_words": lambda code, result, a, by, bits: code.emit(
        "shift_words", result, a.at, by, result.width // bits, bits
    ),
    "saturating_add_words": _two_of_words("saturating_add_words"),
    "cumulate_words": lambda code, result, a, bits: code.emit(
        "cumulate_words", result, a.at, 0, result.width // bits, bits
    ),
    "count_below_words": lambda code, result, a, b, bits: code.emit(
        "count_below_words", result, a.at, b.at, result.width // bits, bits, b.width // bits
    ),
    "to_words": lambda code, result, a, bits: code.move(result, 0, a, 0, a.width),
    "to_switches": lambda code, result, a, bits: code.move(result, 0, a, 0, a.width),
    "to_scalars": lambda code, result, a, semiring: code.move(result, 0, a, 0, a.width),
    "to_bits": lambda code, result, a: code.move(result, 0, a, 0, a.width),
}


@dataclass(frozen=True, slots=True, eq=False)
class WordProgram:
    """A circuit for the machine.

    code: (instructions, 8) int64. pool: int64, the lists of indices. memory: words, zero except for constants.
    inputs, outputs: their places, in the circuit's order; the inputs are first, without gaps.
    """

    code: NDArray[np.int64]
    pool: NDArray[np.int64]
    memory: Words
    inputs: tuple[Place, ...]
    outputs: tuple[Place, ...]

    @property
    def output_words(self) -> NDArray[np.int64]:
        """The places of all words of the outputs."""
        words = [np.arange(place.at, place.at + place.words, dtype=np.int64) for place in self.outputs]
        return np.concatenate([np.empty(0, np.int64), *words])

    @staticmethod
    def of(circuit: Circuit) -> WordProgram:
        """The program that computes ``circuit``."""
        circuit = to_rows(circuit, ROWS)
        code = _Code()
        places = [code.place(type_.width) for type_ in circuit.types]
        constants: list[tuple[Place, int]] = []
        for wire, (primitive, operands, attributes) in circuit.wires():
            ROWS[primitive](code, places[wire], *(places[i] for i in operands), *attributes)
            if primitive == "const":
                constants.append((places[wire], attributes[0]))
        memory = np.zeros(code.size, np.uint64)
        for place, value in constants:
            octets = value.to_bytes(place.words * 8, "little")
            memory[place.at : place.at + place.words] = np.frombuffer(octets, "<u8")
        return WordProgram(
            np.array(code.instructions, np.int64).reshape(-1, 8),
            np.array(code.pool, np.int64),
            memory,
            tuple(places[: len(circuit.inputs)]),
            tuple(places[wire] for _, wire in circuit.outputs),
        )
