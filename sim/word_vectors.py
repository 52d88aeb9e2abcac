"""Comparisons of 64 numbers, the bits of a word as bytes, and logic of eight words at a time, in LLVM's vector types.

Arrays are given with the place of the first element, counted through all of their memory. For little-endian machines.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types

from rdahw.sim.jit import instruction

__all__ = ["LANES", "above", "half_add", "not_finite", "select_words", "spread_word"]

#: How many words :func:`select_words` and :func:`half_add` work on.
LANES = 8

_I64 = ir.IntType(64)
_WORDS = ir.VectorType(_I64, LANES)


def _instruction(code: Callable[..., Any]) -> Any:
    """Hides from type checkers that kernels call it without its first argument."""
    return instruction(code)


def _place(context: Any, builder: Any, signature: Any, arguments: Any, i: int, vector: Any) -> Any:
    """The pointer to the vector that begins at the place in argument i + 1 of the array in argument i."""
    data = context.make_array(signature.args[i])(context, builder, arguments[i]).data
    return builder.bitcast(builder.gep(data, [arguments[i + 1]]), vector.as_pointer())


def _numbers(context: Any, builder: Any, signature: Any, arguments: Any, i: int) -> Any:
    """64 numbers of the array in argument i."""
    item = signature.args[i].dtype
    place = _place(context, builder, signature, arguments, i, ir.VectorType(context.get_data_type(item), 64))
    return builder.load(place, align=item.bitwidth // 8)


@_instruction
def above(typing: Any, numbers: Any, at: Any, limits: Any, first: Any) -> Any:
    """The word whose bit i is ``numbers[at + i] > limits[first + i]``; both arrays are uint8, float32 or float64."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        given, limit = (_numbers(context, builder, signature, arguments, i) for i in (0, 2))
        compare = builder.fcmp_ordered if isinstance(signature.args[0].dtype, types.Float) else builder.icmp_unsigned
        return builder.bitcast(compare(">", given, limit), _I64)

    return types.uint64(numbers, types.int64, limits, types.int64), code


@_instruction
def not_finite(typing: Any, numbers: Any, at: Any) -> Any:
    """The word whose bit i says that ``numbers[at + i]`` is NaN or infinite; uint8, float32 or float64."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if not isinstance(signature.args[0].dtype, types.Float):
            return ir.Constant(_I64, 0)
        given = _numbers(context, builder, signature, arguments, 0)
        difference = builder.fsub(given, given)  # 0 if finite, else NaN
        return builder.bitcast(builder.fcmp_unordered("uno", difference, difference), _I64)

    return types.uint64(numbers, types.int64), code


@_instruction
def spread_word(typing: Any, word: Any, out: Any, at: Any) -> Any:
    """Bit i of ``word`` becomes ``out[at + i]``, int8: 0 or -1."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        octets = ir.VectorType(ir.IntType(8), 64)
        place = _place(context, builder, signature, arguments, 1, octets)
        bits = builder.bitcast(arguments[0], ir.VectorType(ir.IntType(1), 64))
        builder.store(builder.sext(bits, octets), place, align=1)
        return context.get_dummy_value()

    return types.void(types.uint64, out, types.int64), code


@_instruction
def select_words(
    typing: Any, low: Any, low_at: Any, high: Any, high_at: Any, bits: Any, bits_at: Any, out: Any, out_at: Any
) -> Any:
    """Eight words of ``out``: the bits of ``high`` where ``bits`` has ones, else those of ``low``. All uint64."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        places = [_place(context, builder, signature, arguments, i, _WORDS) for i in (0, 2, 4, 6)]
        low, high, bits = (builder.load(place, align=8) for place in places[:3])
        chosen = builder.xor(low, builder.and_(builder.xor(low, high), bits))
        builder.store(chosen, places[3], align=8)
        return context.get_dummy_value()

    place = types.int64
    return types.void(low, place, high, place, bits, place, out, place), code


@_instruction
def half_add(typing: Any, sums: Any, sums_at: Any, carry: Any, carry_at: Any) -> Any:
    """Eight words of ``sums`` and of ``carry``: the sum of each two bits, and what is carried. All uint64."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        places = [_place(context, builder, signature, arguments, i, _WORDS) for i in (0, 2)]
        a, b = (builder.load(place, align=8) for place in places)
        builder.store(builder.xor(a, b), places[0], align=8)
        builder.store(builder.and_(a, b), places[1], align=8)
        return context.get_dummy_value()

    return types.void(sums, types.int64, carry, types.int64), code
