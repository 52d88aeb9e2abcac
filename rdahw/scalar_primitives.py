"""The primitives of scalars: sums and products in a finite semiring (:mod:`rdahw.semirings`), and the cast from bits.

The attribute ``semiring`` is its name. All rows but the cast are polynomials, so their reverse rules are exact, in any
semiring and to every order; only the negative needs a ring. They are chosen from (``gather_words``) like words.

A pattern of bits that is no element (the 3 of Z3) is added and multiplied by the same rule, with whatever result; all
engines agree on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rdahw.errors import UserError
from rdahw.primitive import Array, Primitive, check_range, listed, one_of_bits
from rdahw.semirings import Semiring, find_semiring
from rdahw.types import Scalars, Type
from rdahw.word_primitives import (
    Numbers,
    from_numbers,
    from_planes,
    planes,
    scatter_in_pairs,
    sum_of_planes,
    to_numbers,
)

if TYPE_CHECKING:
    from rdahw.tracing import ScalarWire, Wire

__all__ = ["SCALAR_ROWS"]

# -- type rules --------------------------------------------------------------------------------------------------------


def _cast_type_rule(*args: Any) -> Scalars:
    *types, semiring = args
    width, bits = one_of_bits(*types).width, find_semiring(semiring).bits
    if width % bits:
        raise UserError(f"{width} bits cannot be cut into elements of {semiring}; expected a multiple of {bits}")
    return Scalars(width // bits, semiring)


def _scalars(types: Sequence[Type], semiring: str, operands: int) -> Scalars:
    """The type of all the operands."""
    first = types[0] if types else None
    if len(types) != operands or not isinstance(first, Scalars) or set(types) != {Scalars(first.count, semiring)}:
        expected = "one" if operands == 1 else "two of the same type"
        raise UserError(f"operands of types {listed(types)} were given; expected {expected}, of scalars in {semiring}")
    return first


def _negate_type_rule(*args: Any) -> Scalars:
    *types, semiring = args
    if not find_semiring(semiring).negative:
        raise UserError(
            f"{semiring} has no subtraction, as its elements have no negatives; use a ring such as "
            f"Z{find_semiring(semiring).largest + 1}"
        )
    return _scalars(types, semiring, 1)


def _scatter_type_rule(*args: Any) -> Scalars:
    *types, indices, count, semiring = args
    if len(indices) != _scalars(types, semiring, 1).count:
        raise UserError(f"{len(indices)} indices were given for {types[0]}; expected one per scalar")
    check_range(indices, count, "scalar")
    return Scalars(count, semiring)


# -- evaluation --------------------------------------------------------------------------------------------------------


def _sum(a: Numbers, b: Numbers, semiring: Semiring) -> Numbers:
    total: Numbers = semiring.reduced(a + b, semiring.largest)
    return total & np.uint64((1 << semiring.bits) - 1)


def _add(a: Array, b: Array, semiring: str) -> Array:
    row = find_semiring(semiring)
    return from_numbers(_sum(to_numbers(a, row.bits), to_numbers(b, row.bits), row), row.bits)


def _multiply(a: Array, b: Array, semiring: str) -> Array:
    # b times a, from the top bit of b.
    row = find_semiring(semiring)
    left, times = np.broadcast_arrays(to_numbers(a, row.bits), to_numbers(b, row.bits))
    product = np.zeros_like(left)
    for bit in range(row.bits - 1, -1, -1):
        product = _sum(product, product, row)
        product = np.where(times >> np.uint64(bit) & np.uint64(1), _sum(product, left, row), product)
    return from_numbers(product, row.bits)


def _negate(a: Array, semiring: str) -> Array:
    row = find_semiring(semiring)
    numbers = to_numbers(a, row.bits)
    return from_numbers(np.where(numbers, np.uint64(row.largest + 1) - numbers, numbers), row.bits)


def _scatter(a: Array, indices: Sequence[int], count: int, semiring: str) -> Array:
    # In the order of the lowering, which matters to patterns that are no elements.
    row = find_semiring(semiring)
    numbers = to_numbers(a, row.bits)
    places: list[list[Numbers]] = [[] for _ in range(count)]
    for word, place in enumerate(indices):
        places[place].append(numbers[..., word])
    totals = []
    for terms in places:
        while len(terms) > 1:
            pairs = [_sum(p, q, row) for p, q in zip(terms[::2], terms[1::2], strict=False)]
            terms = pairs + terms[2 * len(pairs) :]
        totals.append(terms[0] if terms else np.zeros(numbers.shape[:-1], np.uint64))
    return from_numbers(np.stack(totals, axis=-1), row.bits)


# -- on symbolic wires -------------------------------------------------------------------------------------------------


def _sum_on_planes(a: Sequence[Wire], b: Sequence[Wire], semiring: Semiring) -> list[Wire]:
    none = a[0].zeros(a[0].width)
    total = sum_of_planes([*a, none], [*b, none])
    beyond = sum_of_planes([*total, none], _numbers(none, -semiring.largest - 1, semiring.bits + 2))
    return semiring.reduced_planes(total, beyond, semiring.largest)


def _numbers(none: Wire, number: int, bits: int) -> list[Wire]:
    """The planes of a constant for each element."""
    return [none.const((1 << none.width) - 1 if number >> b & 1 else 0, none.width) for b in range(bits)]


def _add_lowering(a: ScalarWire, b: ScalarWire, semiring: str) -> Wire:
    row = find_semiring(semiring)
    left, right = planes(a.as_bits(), row.bits), planes(b.as_bits(), row.bits)
    return from_planes(_sum_on_planes(left, right, row)).as_scalars(semiring)


def _multiply_lowering(a: ScalarWire, b: ScalarWire, semiring: str) -> Wire:
    row = find_semiring(semiring)
    left, times = planes(a.as_bits(), row.bits), planes(b.as_bits(), row.bits)
    none = a.as_bits().zeros(len(a))
    product = [none] * row.bits
    for bit in reversed(times):
        product = _sum_on_planes(product, product, row)
        more = _sum_on_planes(product, left, row)
        product = [(p & ~bit) | (q & bit) for p, q in zip(product, more, strict=True)]
    return from_planes(product).as_scalars(semiring)


def _negate_lowering(a: ScalarWire, semiring: str) -> Wire:
    row = find_semiring(semiring)
    each = planes(a.as_bits(), row.bits)
    any_ = each[0]
    for plane in each[1:]:
        any_ = any_ | plane
    # -a - 1 is the complement of a.
    rest = sum_of_planes([~plane for plane in each], _numbers(any_, row.largest + 2, row.bits))
    return from_planes([plane & any_ for plane in rest]).as_scalars(semiring)


#: The rows, all of the polynomial core.
SCALAR_ROWS = (
    Primitive(
        name="to_scalars",
        attributes=("semiring",),
        type_rule=_cast_type_rule,
        evaluate=lambda a, semiring: a,
        reverse=lambda dy, a, semiring: (None,),
        selects=(0,),
    ),
    Primitive(
        name="add_scalars",
        attributes=("semiring",),
        type_rule=lambda *args: _scalars(args[:-1], args[-1], 2),
        evaluate=_add,
        reverse=lambda dy, a, b, semiring: (dy, dy),
        lowering=_add_lowering,
        linear=True,
    ),
    Primitive(
        name="multiply_scalars",
        attributes=("semiring",),
        type_rule=lambda *args: _scalars(args[:-1], args[-1], 2),
        evaluate=_multiply,
        reverse=lambda dy, a, b, semiring: (b * dy, a * dy),
        lowering=_multiply_lowering,
        bilinear=True,
    ),
    Primitive(
        name="negate_scalars",
        attributes=("semiring",),
        type_rule=_negate_type_rule,
        evaluate=_negate,
        reverse=lambda dy, a, semiring: (-dy,),
        lowering=_negate_lowering,
        linear=True,
    ),
    Primitive(
        name="scatter_scalars",
        attributes=("indices", "count", "semiring"),
        type_rule=_scatter_type_rule,
        evaluate=_scatter,
        reverse=lambda dy, a, indices, count, semiring: (dy.gather(indices),),
        lowering=lambda a, indices, count, semiring: scatter_in_pairs(a, indices, count),
        linear=True,
    ),
)
