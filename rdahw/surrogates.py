"""Functions that are not polynomials, each a block with a declared reverse derivative (a *surrogate*).

They are those of the polynomial-circuits paper and its program (arXiv 2203.06430): comparison and arithmetic shift pass
the cotangent straight through to every operand, as if they were sums; minimum, maximum and clip are made of
comparisons, and their reverse derivative is that of the polynomial in them. With comparison every function between
finite types is a circuit: :func:`from_table`.

All take words, as signed numbers, or scalars, as the numbers of the elements, element by element; sums and products
wrap as they do in the ring.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeVar, cast

from rdahw.circuit import Circuit
from rdahw.custom import custom_reverse
from rdahw.derivative import reverse
from rdahw.errors import UserError
from rdahw.semirings import find_semiring
from rdahw.tracing import ElementWire, ScalarWire, Wire, WordWire, constant, trace
from rdahw.types import Scalars, Type, Words
from rdahw.word_primitives import from_planes, planes

__all__ = [
    "clip",
    "equal_to",
    "from_table",
    "greater",
    "greater_equal",
    "maximum",
    "minimum",
    "number",
    "shift_right",
]

_E = TypeVar("_E", bound=ElementWire)


def number(like: _E, value: int) -> _E:
    """The constant ``value`` for each element of ``like``: of words modulo 2^k, of scalars an element's number."""
    bits, limit = like.type.bits, value
    if isinstance(like.type, Words):
        limit = value % (1 << bits)
    each = sum(limit << i * bits for i in range(len(like)))
    return cast(_E, constant(like.builder, each, like.type))


def _ordered(a: ElementWire) -> list[Wire]:
    """The planes of the elements as unsigned numbers in the same order."""
    each = planes(a.as_bits(), a.type.bits)
    return [*each[:-1], ~each[-1]] if isinstance(a, WordWire) else each


def _is_at_most(a: ElementWire, b: ElementWire) -> Wire:
    """For each element a bit: a <= b."""
    answer: Wire | None = None
    for p, q in zip(_ordered(a), _ordered(b), strict=True):
        answer = ~p | q if answer is None else (~p & q) | (~(p ^ q) & answer)
    assert answer is not None
    return answer


def _is_equal(a: ElementWire, b: ElementWire) -> Wire:
    """For each element a bit: a = b."""
    differs = [p ^ q for p, q in zip(_ordered(a), _ordered(b), strict=True)]
    any_ = differs[0]
    for plane in differs[1:]:
        any_ = any_ | plane
    return ~any_


def _as_numbers(bits: Wire, type_: Type) -> Wire:
    """Each bit as an element, 0 or 1."""
    return from_planes([bits, *[bits.zeros(bits.width)] * (type_.width // type_.count - 1)]).cast(type_)


def _choose(bits: Wire, a: ElementWire, b: ElementWire) -> Wire:
    """For each element, ``a`` where its bit is 1, else ``b``."""
    chosen = bits.gather(i for i in range(bits.width) for _ in range(a.type.bits))
    return ((a.as_bits() & chosen) | (b.as_bits() & ~chosen)).cast(a.type)


def _straight(*wires: Wire) -> list[Wire]:
    """The reverse derivative of a sum of all operands."""
    *operands, dy = wires
    return [dy for _ in operands]


def _block(
    name: str, forward: Callable[..., Wire], backward: Callable[..., Any], types: Sequence[Type]
) -> Callable[..., Wire]:
    ports = {f"x{i}": type_ for i, type_ in enumerate(types)}
    f = trace(forward, **ports)
    r = trace(backward, **ports, dy=f.output_types[0].tangent)
    return custom_reverse(f, r, name=name, exact=False)


@lru_cache(maxsize=256)
def _comparison(name: str, holds: Callable[..., Wire], type_: Type) -> Callable[..., Wire]:
    return _block(name, lambda a, b: _as_numbers(holds(a, b), type_), _straight, [type_, type_])


def equal_to(a: _E, b: _E) -> _E:
    """1 where a = b, else 0; the cotangent passes straight through to both."""
    return cast(_E, _comparison("equal", _is_equal, a.type)(a, b))


def greater_equal(a: _E, b: _E) -> _E:
    """1 where a >= b, else 0; the cotangent passes straight through to both."""
    return cast(_E, _comparison("at most", _is_at_most, a.type)(b, a))


def _is_below(a: ElementWire, b: ElementWire) -> Wire:
    return ~_is_at_most(b, a)


def greater(a: _E, b: _E) -> _E:
    """1 where a > b, else 0; the cotangent passes straight through to both."""
    return cast(_E, _comparison("below", _is_below, a.type)(b, a))


#: For a choice of one of two: when it is the first, and the polynomial whose derivative it has.
_CHOICES: Mapping[str, tuple[Callable[..., Wire], Callable[..., Wire]]] = {
    "minimum": (_is_at_most, lambda a, b: greater_equal(b, a) * a + greater(a, b) * b),
    "maximum": (lambda a, b: ~_is_at_most(a, b), lambda a, b: greater(a, b) * a + greater_equal(b, a) * b),
}


@lru_cache(maxsize=256)
def _choice(name: str, type_: Type) -> Callable[..., Wire]:
    first, polynomial = _CHOICES[name]
    backward = reverse(trace(polynomial, a=type_, b=type_))
    return _block(name, lambda a, b: _choose(first(a, b), a, b), backward, [type_, type_])


def minimum(a: _E, b: _E) -> _E:
    """The smaller of a and b; the reverse derivative is that of [a <= b]·a + [b < a]·b."""
    return cast(_E, _choice("minimum", a.type)(a, b))


def maximum(a: _E, b: _E) -> _E:
    """The larger of a and b; the reverse derivative is that of [a > b]·a + [b >= a]·b."""
    return cast(_E, _choice("maximum", a.type)(a, b))


def clip(a: _E, low: int, high: int) -> _E:
    """``a``, at least ``low`` and at most ``high``: minimum(high, maximum(low, a)), with its reverse derivative."""
    return minimum(number(a, high), maximum(number(a, low), a))


@lru_cache(maxsize=256)
def _shift(type_: Words, by: int) -> Callable[..., Wire]:
    return _block(f"shift right by {by}", lambda a: a.shift(by), _straight, [type_])


def shift_right(a: WordWire, by: int) -> WordWire:
    """The words divided by 2^by and rounded down (arithmetic shift); the cotangent passes straight through.

    Raises :class:`UserError` for a shift by fewer than 0 bits or by as many as the words have.
    """
    if not 0 <= by < a.type.bits:
        raise UserError(
            f"a shift by {by} bits was asked for in words of {a.type.bits}; expected 0 to {a.type.bits - 1}"
        )
    return cast(WordWire, _shift(a.type, by)(a))


def from_table(domain: Scalars, result: Scalars, table: Sequence[Sequence[int]]) -> Circuit:
    """The circuit ``x ↦ y`` with ``y = table[i]`` for the i-th element x of ``domain``, as a sum over these elements of
    products of comparisons: any function between finite types, also where it is no polynomial.

    domain, result: scalars of one semiring. table: for each of the s^n elements of the domain, the one whose scalar 0
    counts fastest first, the m scalars of the result.

    Raises :class:`UserError` for two semirings, and for a table of another size or with a number that is no element.
    """
    if domain.semiring != result.semiring:
        raise UserError(f"a table from {domain} to {result} is of two semirings; expected one")
    size, n = find_semiring(domain.semiring).largest + 1, domain.count
    shape = len(table), {len(row) for row in table}
    if shape != (size**n, {result.count}) or not all(0 <= value < size for row in table for value in row):
        raise UserError(
            f"a table of {shape[0]} rows was given for {domain} to {result}; expected {size**n} rows of {result.count} "
            f"numbers from 0 to {size - 1}"
        )
    elements = [element[::-1] for element in itertools.product(range(size), repeat=n)]

    def listed(like: ScalarWire, values: Sequence[int]) -> ScalarWire:
        each = sum(value << i * domain.bits for i, value in enumerate(values))
        return cast(ScalarWire, constant(like.builder, each, domain.of(len(values))))

    def look_up(x: ScalarWire) -> Wire:
        here = listed(x, [1] * len(elements))
        for i in range(n):
            here = here * equal_to(x.gather([i] * len(elements)), listed(x, [element[i] for element in elements]))
        found = here.repeat(result.count) * listed(x, [row[j] for j in range(result.count) for row in table])
        return found.scatter([j for j in range(result.count) for _ in elements], result.count)

    return trace(look_up, x=domain)
