"""Counting and comparing with lookup tables of up to six inputs, as circuits of lookups in constants.

Each *LUT* is one assignment ``lookup(const, address)`` with one output, for FPGAs whose cells are tables of six inputs:
:mod:`rdahw.hdl.lut_cells` writes it as one cell. A *bit* is a wire of one bit, or the number 0 or 1. LUTs are folded as
they are made: constant inputs, inputs read twice, and inputs that do not matter are left out, and a LUT that equals its
only input is that input. Equal LUTs are one, as :mod:`rdahw.tracing` shares equal assignments.

Population counts are made of compressors, which replace up to six bits, of one weight or of two weights next to each
other, by their sum in binary: six of one weight by three, so that each LUT removes one bit. The first largest number is
found by comparing all pairs of up to four numbers, and then the winners: one LUT chooses among four bits by two.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from itertools import combinations

from rdahw.errors import UsageError
from rdahw.tracing import Wire, cat

__all__ = ["LUT_INPUTS", "Bit", "count_ones", "first_largest", "lut", "table_lut"]

Bit = Wire | int

#: The most inputs of a LUT.
LUT_INPUTS = 6


def lut(bits: Sequence[Bit], function: Callable[[Sequence[int]], int | bool]) -> Bit:
    """The bit ``function(values of bits)``; all wires are of one trace.

    Raises :class:`UsageError` if it depends on more than six wires.
    """
    wires = list({bit.number: bit for bit in bits if isinstance(bit, Wire)}.values())
    places = {wire.number: i for i, wire in enumerate(wires)}

    def value(address: int) -> int:
        return int(function([address >> places[b.number] & 1 if isinstance(b, Wire) else b for b in bits]))

    table = [value(address) for address in range(1 << len(wires))]
    for i in reversed(range(len(wires))):
        low, high = ([t for a, t in enumerate(table) if a >> i & 1 == half] for half in (0, 1))
        if low == high:
            table = low
            del wires[i]
    if not wires:
        return table[0]
    if table == [0, 1]:
        return wires[0]
    if len(wires) > LUT_INPUTS:
        raise UsageError(f"a LUT of {len(wires)} inputs was asked for; expected at most {LUT_INPUTS}")
    return wires[0].const(_number(table), len(table)).lookup(cat(*wires))


def table_lut(table: Sequence[int], address: Sequence[Bit]) -> Bit:
    """Bit ``address`` of ``table``, of up to eight address bits: one LUT, and up to four and one more above six."""
    if len(address) <= LUT_INPUTS:
        return lut(address, lambda values: table[_number(values)])
    low, high = address[:LUT_INPUTS], address[LUT_INPUTS:]
    size = 1 << LUT_INPUTS
    parts = [table_lut(table[at : at + size], low) for at in range(0, len(table), size)]
    return lut([*high, *parts], lambda values: values[len(high) + _number(values[: len(high)])])


def count_ones(bits: Sequence[Bit], inputs: int = LUT_INPUTS) -> list[Bit]:
    """How many of ``bits`` are 1, as an unsigned number of as many bits as the largest has, the lowest first.

    inputs: the most inputs of a LUT. With 3 the compressors are full adders, which need the fewest LUTs of four inputs.
    """
    columns: list[list[Bit]] = [list(bits), *([] for _ in range(len(bits).bit_length() - 1))]
    for weight in range(len(columns)):
        while len(columns[weight]) > 1:
            ones, twos = _cheapest(tuple(map(len, columns[weight:])), inputs)[1]
            group = [columns[weight].pop(0) for _ in range(ones)]
            group += [columns[weight + 1].pop(0) for _ in range(twos)]
            for place, digit in enumerate(_sum_digits(group, ones, len(columns) - weight)):
                columns[weight + place].append(digit)
    return [column[0] if column else 0 for column in columns]


def _sum_digits(group: Sequence[Bit], ones: int, most: int) -> list[Bit]:
    """The digits of the sum of bits, of which all after the first ``ones`` count twice; those after the first ``most``
    are known to be 0."""
    return [
        lut(group, lambda v, place=place: sum(v) + sum(v[ones:]) >> place & 1)  # type: ignore[misc]
        for place in range(_made(ones, len(group) - ones, most))
    ]


def _made(ones: int, twos: int, most: int) -> int:
    """How many digits a sum has."""
    return min((ones + 2 * twos).bit_length(), most)


@cache
def _cheapest(heights: tuple[int, ...], inputs: int) -> tuple[int, tuple[int, int]]:
    """How many LUTs add up columns of bits, ``heights`` bits of each weight from the lowest up, and the first
    compressor to use: how many bits of the first weight that has several it takes, and how many of the next.

    It takes as many of one weight as a LUT has inputs while there are more; of the ways to go on from there, one with
    the fewest LUTs.
    """
    if not heights:
        return 0, (0, 0)
    if heights[0] <= 1:
        return _cheapest(heights[1:], inputs)
    next_height = heights[1] if len(heights) > 1 else 0
    # (ones, twos, how often)
    ways = [(n, twos, 1) for n in range(heights[0], 1, -1) for twos in range(min(inputs - n, next_height) + 1)]
    if heights[0] > inputs:
        ways = [(inputs, 0, -(-(heights[0] - inputs) // (inputs - 1)))]
    found = []
    for ones, twos, times in ways:
        made = _made(ones, twos, len(heights))
        after = [height + times * (place < made) for place, height in enumerate(heights)]
        after[0] -= times * ones
        if twos:
            after[1] -= twos
        found.append((times * made + _cheapest(tuple(after), inputs)[0], (ones, twos)))
    return min(found, key=lambda way: way[0])


def first_largest(numbers: Sequence[Sequence[Bit]]) -> list[Bit]:
    """The place of the largest of unsigned numbers of equal widths, the first on a tie, lowest bit first."""
    if len(numbers) == 1:
        return []
    starts = range(0, len(numbers), 4)
    groups = [_Choice(numbers[at : at + 4]) for at in starts]
    if len(groups) == 1:
        return groups[0].place
    winners = [
        [group.choose(digits) for digits in zip(*numbers[at : at + 4], strict=True)]
        for at, group in zip(starts, groups, strict=True)
    ]
    last = first_largest(winners)
    return [*_chosen([[*group.place, 0, 0][:2] for group in groups], last), *last]


class _Choice:
    """The first largest of up to four numbers."""

    def __init__(self, numbers: Sequence[Sequence[Bit]]) -> None:
        self.count = len(numbers)
        pairs = list(combinations(range(self.count), 2))
        less = [_less(numbers[a], numbers[b]) for a, b in pairs]

        def winner(values: Sequence[int]) -> int:
            is_less = dict(zip(pairs, values, strict=True))
            for a in range(self.count):
                if all(is_less[b, a] for b in range(a)) and not any(is_less[a, b] for b in range(a + 1, self.count)):
                    return a
            return 0  # no numbers compare like this

        #: The place of the winner.
        self.place = [
            lut(less, lambda values, digit=digit: winner(values) >> digit & 1)  # type: ignore[misc]
            for digit in range((self.count - 1).bit_length())
        ]

    def choose(self, bits: Sequence[Bit]) -> Bit:
        """The winner's one of ``bits``."""
        return _choose(bits, self.place)


def _choose(bits: Sequence[Bit], place: Sequence[Bit]) -> Bit:
    """Bit number ``place``, the last one for places beyond it."""
    return lut([*place, *bits], lambda v: v[len(place) + min(_number(v[: len(place)]), len(bits) - 1)])


def _chosen(rows: Sequence[Sequence[Bit]], place: Sequence[Bit]) -> list[Bit]:
    """The row number ``place``, four at a time."""
    if len(rows) == 1:
        return list(rows[0])
    parts = [rows[at : at + 4] for at in range(0, len(rows), 4)]
    below = [
        [_choose(bits, place[: (len(part) - 1).bit_length()]) for bits in zip(*part, strict=True)] for part in parts
    ]
    return _chosen(below, place[2:])


def _less(a: Sequence[Bit], b: Sequence[Bit]) -> Bit:
    """a < b, from the lowest bits up: three of each in the first LUT, then two of each with the answer so far."""
    answer: Bit = 0
    at = 0
    while at < len(a):
        taken = 2 if isinstance(answer, Wire) else 3
        low, high = a[at : at + taken], b[at : at + taken]

        def compare(values: Sequence[int], count: int = len(low)) -> bool:
            left, right = _number(values[1 : 1 + count]), _number(values[1 + count :])
            return left < right or (left == right and bool(values[0]))

        answer = lut([answer, *low, *high], compare)
        at += taken
    return answer


def _number(bits: Sequence[int]) -> int:
    return sum(bit << i for i, bit in enumerate(bits))
