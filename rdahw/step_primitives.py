"""The primitives of words that learning steps are made of, beyond arithmetic: shift, sum within limits, running sums,
and counts of smaller words.

Words are signed numbers here. There is no derivative through these; :mod:`rdahw.surrogates` declares one of the shift.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rdahw.errors import UserError
from rdahw.primitive import Array, Primitive, listed
from rdahw.types import Type, Words
from rdahw.word_primitives import from_numbers, from_planes, planes, sum_of_planes, to_numbers

if TYPE_CHECKING:
    from rdahw.tracing import Wire, WordWire

__all__ = ["STEP_ROWS"]


def _signed(a: Array, bits: int) -> NDArray[np.int64]:
    unused = np.uint64(64 - bits)
    return (to_numbers(a, bits) << unused).view(np.int64) >> unused.astype(np.int64)


# -- type rules --------------------------------------------------------------------------------------------------------


def _words(types: list[Type], bits: int, count: int = 1) -> list[Words]:
    words = [t for t in types if isinstance(t, Words) and t.bits == bits]
    if len(words) < len(types) or len(words) != count:
        raise UserError(f"operands of types {listed(types)} were given; expected {count} of words of {bits} bits")
    return words


def _shift_type_rule(*args: Any) -> Words:
    *types, by, bits = args
    (words,) = _words(types, bits)
    if not 0 <= by < bits:
        raise UserError(f"a shift by {by} bits was asked for in words of {bits}; expected 0 to {bits - 1}")
    return words


def _saturate_type_rule(*args: Any) -> Words:
    *types, limit, bits = args
    a, b = _words(types, bits, 2)
    if a != b:
        raise UserError(f"operands of types {a}, {b} were given; expected two of the same type")
    if not 1 <= limit <= bits:
        raise UserError(f"counters of {limit} bits were asked for in words of {bits}; expected 1 to {bits}")
    return a


def _cumulate_type_rule(*args: Any) -> Words:
    *types, bits = args
    return _words(types, bits)[0]


def _count_below_type_rule(*args: Any) -> Words:
    *types, bits = args
    return _words(types, bits, 2)[0]


# -- evaluation --------------------------------------------------------------------------------------------------------


def _saturate(a: Array, b: Array, limit: int, bits: int) -> Array:
    p, q, top = _signed(a, bits), _signed(b, bits), np.int64((1 << limit - 1) - 1)
    total = (p.view(np.uint64) + q.view(np.uint64)).view(np.int64)
    total = np.clip(total, -top - 1, top)
    wrapped = (p < 0) == (q < 0)  # only such a sum can leave the range of 64 bits, and then its sign is wrong
    exact = np.where(wrapped & ((total < 0) != (p < 0)), np.where(p < 0, -top - 1, top), total)
    return from_numbers(exact.astype(np.int64).view(np.uint64), bits)


def _count_below(a: Array, b: Array, bits: int) -> Array:
    below = _signed(b, bits)[..., None, :] < _signed(a, bits)[..., :, None]
    return from_numbers(below.sum(axis=-1, dtype=np.uint64), bits)


# -- on symbolic wires -------------------------------------------------------------------------------------------------


def _shift_lowering(a: WordWire, by: int, bits: int) -> Wire:
    each = planes(a.as_bits(), bits)
    return from_planes([*each, *[each[-1]] * by][by:]).as_words(bits)


def _saturate_lowering(a: WordWire, b: WordWire, limit: int, bits: int) -> Wire:
    p, q = planes(a.as_bits(), bits), planes(b.as_bits(), bits)
    total = sum_of_planes([*p, p[-1]], [*q, q[-1]])
    sign = total[-1]
    fits = ~(total[limit - 1] ^ sign)
    for plane in total[limit:-1]:
        fits = fits & ~(plane ^ sign)
    low = [(fits & plane) | ~(fits | sign) for plane in total[: limit - 1]]
    return from_planes([*low, *[sign] * (bits - limit + 1)]).as_words(bits)


def _cumulate_lowering(a: WordWire, bits: int) -> Wire:
    total, step = a, 1
    while step < len(a):  # the sum of the last 1, 2, 4, … words
        total = total + a.concat(a.zeros(step), total[: len(a) - step])
        step *= 2
    return total


def _count_below_lowering(a: WordWire, b: WordWire, bits: int) -> Wire:
    total, p = a.zeros(len(a)), planes(a.as_bits(), bits)
    for i in range(len(b)):
        q = [plane.repeat(len(a)) for plane in planes(b[i].as_bits(), bits)]
        below = p[0].zeros(len(a))
        for at in range(bits):
            less, more = (p[at], q[at]) if at == bits - 1 else (q[at], p[at])  # a set sign makes a number smaller
            below = (~(less ^ more) & below) | (~less & more)
        total = total + from_planes([below, *[below.zeros(len(a))] * (bits - 1)]).as_words(bits)
    return total


#: The rows.
STEP_ROWS = (
    Primitive(
        name="shift_words",
        attributes=("by", "bits"),
        type_rule=_shift_type_rule,
        evaluate=lambda a, by, bits: from_numbers((_signed(a, bits) >> np.int64(by)).view(np.uint64), bits),
        reverse=lambda dy, a, by, bits: (None,),
        lowering=_shift_lowering,
        selects=(0,),
    ),
    Primitive(
        name="saturating_add_words",
        attributes=("limit", "bits"),
        type_rule=_saturate_type_rule,
        evaluate=_saturate,
        reverse=lambda dy, a, b, limit, bits: (None, None),
        lowering=_saturate_lowering,
        selects=(0, 1),
    ),
    Primitive(
        name="cumulate_words",
        attributes=("bits",),
        type_rule=_cumulate_type_rule,
        evaluate=lambda a, bits: from_numbers(np.cumsum(to_numbers(a, bits), axis=-1, dtype=np.uint64), bits),
        reverse=lambda dy, a, bits: (None,),
        lowering=_cumulate_lowering,
        selects=(0,),
    ),
    Primitive(
        name="count_below_words",
        attributes=("bits",),
        type_rule=_count_below_type_rule,
        evaluate=_count_below,
        reverse=lambda dy, a, b, bits: (None, None),
        lowering=_count_below_lowering,
        selects=(0, 1),
    ),
)
