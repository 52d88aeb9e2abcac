"""Built-in tasks on sequences: languages of bits, each with its reference machine.

A language labels every prefix of a sequence of bits: the label of a step depends on the bits read so far, including
that of the step. Tomita's seven languages are from M. Tomita, *Dynamic construction of finite automata from examples
using hill-climbing*, 1982.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from rdahw.errors import UserError, nearest
from rdahw.machine import Machine, trace_machine
from rdahw.tracing import Wire, cat
from rdahw.types import Bits

_TOMITA = "M. Tomita, Dynamic construction of finite automata from examples using hill-climbing (1982)"

__all__ = ["LANGUAGES", "TAPS", "Language", "find_language"]


@dataclass(frozen=True)
class Language:
    """A language as an automaton that starts in state 0.

    following: for each state the next one after a 0 and after a 1, (states, 2). written: for each state the label of
    the step in which a 0 and a 1 is read, (states, 2).
    """

    name: str
    help: str
    following: tuple[tuple[int, int], ...]
    written: tuple[tuple[int, int], ...]

    @property
    def source(self) -> str:
        """Where it was published, if it was."""
        return _TOMITA if self.name.startswith("tomita") else ""

    @property
    def state_bits(self) -> int:
        """The bits of the state of :attr:`machine`."""
        return max(1, (len(self.following) - 1).bit_length())

    @cached_property
    def machine(self) -> Machine:
        """The reference machine: it reads a bit ``x`` and writes the label ``y``. Its state is the number of the state
        of the automaton; numbers without a state lead to state 0 and label 0."""
        width, table = self.state_bits, self.tables
        number = sum(bit << i for i, bit in enumerate(table))

        def step(s: Wire, x: Wire) -> tuple[Wire, Wire]:
            found = s.const(number, len(table)).lookup(cat(s, x))
            return found[:width], found[width]

        return trace_machine(step, state={"s": Bits(width)}, x=Bits(1))

    @property
    def tables(self) -> list[int]:
        """The bits of the tables of :attr:`machine`, one for each bit of the next state and then that of the label. The
        index in a table is the state, and above it the bit that is read."""
        rows = [[n >> j & 1 for n in self._cells(self.following)] for j in range(self.state_bits)]
        return [bit for row in (*rows, self._cells(self.written)) for bit in row]

    def _cells(self, table: Sequence[tuple[int, int]]) -> list[int]:
        """The table's values in the order of the index (x, s), 0 where there is no such state."""
        size = 1 << self.state_bits
        return [table[s][x] if s < len(table) else 0 for x in range(2) for s in range(size)]

    def label(self, x: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The labels (…, steps) of sequences of bits (…, steps)."""
        following, written = np.array(self.following), np.array(self.written, np.uint8)
        state = np.zeros(x.shape[:-1], np.int64)
        labels = np.empty(x.shape, np.uint8)
        for t in range(x.shape[-1]):
            labels[..., t] = written[state, x[..., t]]
            state = following[state, x[..., t]]
        return labels


def _accepted(following: Sequence[tuple[int, int]], accepting: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """The labels of an automaton that accepts in these states, after the step."""
    return tuple((int(zero in accepting), int(one in accepting)) for zero, one in following)


def _of(name: str, help: str, following: Sequence[tuple[int, int]], accepting: Sequence[int]) -> Language:
    return Language(name, help, tuple(following), _accepted(following, accepting))


def _window(name: str, help: str, bits: int, written: Sequence[int]) -> Language:
    """A language whose label depends on the last ``bits`` bits and the one that is read: ``written`` by their number,
    the oldest bit most significant."""
    states = range(1 << bits)
    following = tuple(((2 * s) % len(states), (2 * s + 1) % len(states)) for s in states)
    return Language(name, help, following, tuple((written[2 * s], written[2 * s + 1]) for s in states))


def _uart() -> Language:
    """State 0 waits for a start bit; states 1 to 9 have read it and so many bits less one; state 10 waits for a 1 after
    a bit 0 where the stop bit should be."""
    following = [(1, 0), *((s + 1, s + 1) for s in range(1, 9)), (10, 0), (10, 0)]
    return Language(
        "uart8n1",
        "1 at the stop bit of a frame: start bit 0, eight data bits, stop bit 1, one sample a bit",
        tuple(following),
        tuple((0, int(s == 9)) for s in range(11)),
    )


#: What ``uartmarks`` writes at the start bit and the eight data bits of a frame: the only 1011 of a frame is then that
#: of its last three data bits and a stop bit 1.
_MARKS = (0, 0, 0, 1, 1, 0, 1, 0, 1)


def _marks() -> Language:
    """The states of :func:`_uart`, of which 9 and 10 are one: no others can be joined without losing the count."""
    return Language(
        "uartmarks",
        "the frames of uart8n1: 0 at the start bit, 00110101 at the data bits, then the bits up to the first 1; else 0",
        ((1, 0), *((s + 1, s + 1) for s in range(1, 9)), (9, 0)),
        ((_MARKS[0], 0), *((mark, mark) for mark in _MARKS[1:]), (0, 1)),
    )


#: For each number N of bits the taps of a shift register: the next bit of its stream is the XOR of these of the last N
#: bits, of which the oldest is number 0. They are the exponents below N of the least primitive polynomial of degree N
#: over Z_2, so that the stream repeats after 2^N - 1 bits and not before.
TAPS: Mapping[int, tuple[int, ...]] = {4: (0, 1), 6: (0, 1), 8: (0, 2, 3, 4), 10: (0, 3), 12: (0, 1, 4, 6)}


def _next_bit(bits: int) -> Language:
    read = [sum(1 << bits - 1 - tap for tap in TAPS[bits]) & s for s in range(1 << bits)]
    taps = ", ".join(map(str, TAPS[bits]))
    return _window(
        f"lfsr:{bits}",
        f"the bit that follows the last {bits} in a shift register with feedback, taps {taps}",
        bits - 1,
        [s.bit_count() & 1 for s in read],
    )


#: The languages by name.
LANGUAGES: Mapping[str, Language] = {
    row.name: row
    for row in (
        _of("parity", "the number of ones is odd", [(0, 1), (1, 0)], [1]),
        _window("delay2", "the bit two steps before", 2, [s >> 2 for s in range(8)]),
        _window("tap2", "this bit XOR the bit two steps before", 2, [(s >> 2 ^ s) & 1 for s in range(8)]),
        _window("pattern1011", "the last four bits are 1011", 3, [int(s == 0b1011) for s in range(16)]),
        _of("mod3", "the number of ones is divisible by three", [(0, 1), (1, 2), (2, 0)], [0]),
        Language(
            "setreset",
            "a switch: two ones in turn set it, two zeros in turn reset it",
            # (what is held, the bit before): 0 = (0, 0), 1 = (0, 1), 2 = (1, 0), 3 = (1, 1)
            ((0, 1), (0, 3), (0, 3), (2, 3)),
            ((0, 0), (0, 1), (0, 1), (1, 1)),
        ),
        _of("tomita1", "only ones", [(1, 0), (1, 1)], [0]),
        _of("tomita2", "10 repeated", [(2, 1), (0, 2), (2, 2)], [0]),
        _of(
            "tomita3",
            "no odd number of ones in turn is followed by an odd number of zeros in turn",
            [(0, 1), (2, 0), (3, 4), (2, 1), (4, 4)],
            [0, 1, 3],
        ),
        _of("tomita4", "no 000", [(1, 0), (2, 0), (3, 0), (3, 3)], [0, 1, 2]),
        _of("tomita5", "the numbers of zeros and of ones are even", [(1, 2), (0, 3), (3, 0), (2, 1)], [0]),
        _of("tomita6", "the numbers of zeros and of ones differ by a multiple of three", [(1, 2), (2, 0), (0, 1)], [0]),
        _of("tomita7", "0s, then 1s, then 0s, then 1s", [(0, 1), (2, 1), (2, 3), (4, 3), (4, 4)], [0, 1, 2, 3]),
        _uart(),
        _marks(),
        *map(_next_bit, TAPS),
    )
}


def find_language(name: str) -> Language:
    """The language of this name; raises :class:`UserError` if there is none."""
    if name not in LANGUAGES:
        raise UserError(f"there is no language {name!r}; {nearest(name, LANGUAGES)}")
    return LANGUAGES[name]
