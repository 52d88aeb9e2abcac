"""Division, square root and the exponential of numbers in fixed point, as circuits.

Unsigned numbers are lists of planes (:func:`rdahw.word_primitives.planes`), the least significant first, so that a gate
works on many numbers at once. All results are rounded down, unless stated.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from rdahw.errors import UsageError
from rdahw.tracing import Wire, WordWire
from rdahw.types import Words
from rdahw.word_primitives import from_planes, planes, sum_of_planes

__all__ = [
    "Planes",
    "divide",
    "exponentials",
    "guard_bits",
    "magnitude",
    "multiply",
    "signed_words",
    "square_root",
    "times",
]

#: Unsigned numbers by their bits.
Planes = list[Wire]

#: The most bits of an address in the tables of the exponential.
_ADDRESS = 5


def magnitude(a: WordWire) -> tuple[Planes, Wire]:
    """The absolute values of words, and for each word a bit: it is negative."""
    negative = planes(a.as_bits(), a.type.bits)[-1]
    return planes(a.negate(negative).as_bits(), a.type.bits), negative


def signed_words(size: Sequence[Wire], negative: Wire, type_: Words) -> WordWire:
    """Words of these absolute values, modulo 2^bits, and signs."""
    return from_planes(_wide(size, type_.bits)).as_words(type_.bits).negate(negative)


def _wide(a: Sequence[Wire], width: int) -> Planes:
    """The numbers in exactly ``width`` bits."""
    return [*a[:width], *[a[0].zeros(a[0].width)] * (width - len(a))]


def _minus(a: Sequence[Wire], b: Sequence[Wire]) -> tuple[Planes, Wire]:
    """a - b, and for each number a bit: a >= b."""
    difference, borrow = [], a[0].zeros(a[0].width)
    for p, q in zip(a, _wide(b, len(a)), strict=True):
        same = ~(p ^ q)
        difference.append(~(same ^ borrow))
        borrow = (~p & q) | (same & borrow)
    return difference, ~borrow


def _step(remainder: Planes, part: Sequence[Wire]) -> tuple[Planes, Wire]:
    """The remainder less ``part`` where that is not larger, and where that is."""
    less, fits = _minus(_wide(remainder, max(len(remainder), len(part))), part)
    kept = _wide(remainder, len(less))
    return [(p & fits) | (q & ~fits) for p, q in zip(less, kept, strict=True)], fits


def divide(a: Sequence[Wire], b: Sequence[Wire]) -> Planes:
    """a / b; a division by zero gives ones."""
    remainder: Planes = []
    quotient: Planes = []
    for plane in reversed(a):
        remainder, fits = _step([plane, *remainder], b)
        remainder = remainder[: len(b)]
        quotient.insert(0, fits)
    return quotient


def square_root(a: Sequence[Wire]) -> Planes:
    """The square root, of half as many bits."""
    a = _wide(a, len(a) + len(a) % 2)
    one = ~a[0].zeros(a[0].width)
    root: Planes = []
    remainder: Planes = []
    for i in range(len(a) - 2, -1, -2):
        remainder, fits = _step([a[i], a[i + 1], *remainder], [one, ~one, *root])
        root = [fits, *root]
        remainder = remainder[: len(root) + 1]
    return root


def times(a: Sequence[Wire], factor: int, width: int) -> Planes:
    """a times a constant, in ``width`` bits."""
    total = _wide([a[0].zeros(a[0].width)], width)
    for shift in range(min(factor.bit_length(), width)):
        if factor >> shift & 1:
            total[shift:] = sum_of_planes(total[shift:], _wide(a, width - shift))
    return total


def multiply(a: Sequence[Wire], b: Sequence[Wire]) -> Planes:
    """a times b, in as many bits as both together."""
    total = _wide([a[0].zeros(a[0].width)], len(a) + len(b))
    for shift, plane in enumerate(b):
        end = shift + len(a) + 1
        total[shift:end] = sum_of_planes(total[shift:end], [*(p & plane for p in a), plane.zeros(plane.width)])
    return total


def _depth(guard: int, fraction: int) -> int:
    """How many bits before the point matter for e^-d in ``fraction`` + ``guard`` bits: 2^bits is as far as it takes
    for e^-d to be below the last of them."""
    return max(0, math.ceil(math.log2((fraction + guard) * math.log(2))))


def guard_bits(numbers: int, fraction: int) -> int:
    """The bits after the last of ``fraction`` that :func:`exponentials` needs, so that each of ``numbers`` in parts of
    their sum is exact to a quarter of 2^-fraction.

    Each of J tables is exact to half a unit, and each of J - 1 products is rounded down: 1.5 J units, a unit for what
    is left out included. A part is exact to (numbers + 1) times that, as the sum is at least 1.
    """
    guard = 2
    while (numbers + 1) * 3 * -(-(fraction + _depth(guard, fraction)) // _ADDRESS) > 1 << guard - 1:
        guard += 1
    return guard


def exponentials(distances: WordWire, fraction: int) -> tuple[Planes, int]:
    """e^-d for each unsigned word d with ``fraction`` bits after the point, and how many bits after the point it has.

    The bits of d are the addresses of tables of e^-x, up to 5 bits each, whose entries, rounded to the nearest, are
    multiplied. :func:`guard_bits` says how exact that is. Raises :class:`UsageError` if there are too many bits for
    the products.
    """
    count, bits = len(distances), distances.type.bits
    guard = guard_bits(count, fraction)
    points, reach = fraction + guard, fraction + _depth(guard, fraction)
    wide = 2 * points + 2
    if wide > 64:
        raise UsageError(
            f"{fraction} bits after the point were asked for of exponentials of {count} scores; expected fewer: the "
            "products of their tables would have more than 64 bits"
        )
    each = distances.as_bits()
    result: WordWire | None = None
    for start in range(0, min(reach, bits), _ADDRESS):
        width = min(_ADDRESS, min(reach, bits) - start)
        entries = [round(math.exp(-math.ldexp(v, start - fraction)) * (1 << points)) for v in range(1 << width)]
        table = each.const(
            sum((entry >> j & 1) << (j << width) + v for j in range(points + 1) for v, entry in enumerate(entries)),
            points + 1 << width,
        )
        found = [table.lookup(each[c * bits + start : c * bits + start + width]).extend(wide) for c in range(count)]
        factor = each.concat(*found).as_words(wide)
        result = factor if result is None else (result * factor).shift(points)
    assert result is not None
    parts = planes(result.as_bits(), wide)[: points + 1]
    for plane in planes(each, bits)[reach:]:
        parts = [part & ~plane for part in parts]
    return parts, points
