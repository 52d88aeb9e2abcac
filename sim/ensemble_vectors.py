"""The inner loops of the ensemble engine in LLVM's vector types: rows of counters, and bits spread to bytes.

Numba's own loops over few bytes keep their sums in memory and widen each byte separately. As a vector, a row is one
register, and the kernels are about three times as fast. For little-endian machines.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types

from rdahw.sim.jit import instruction

__all__ = [
    "BLOCK",
    "LANES",
    "MOST_ROWS",
    "TABLES",
    "add_rows",
    "add_table",
    "add_tables",
    "bump_rows",
    "join_bits",
    "spread_bits",
]

#: How many examples are expanded to bytes together, one bit of a word each.
BLOCK = 64

#: How many counters a row has.
LANES = 16
#: The most rows that are added at once, as their sums have 16 bits.
MOST_ROWS = 128
#: How many tables :func:`add_tables` adds at once.
TABLES = 4

_I1, _I8, _I32, _I64 = ir.IntType(1), ir.IntType(8), ir.IntType(32), ir.IntType(64)
_BITS, _BYTES = (ir.VectorType(type_, BLOCK) for type_ in (_I1, _I8))
_V8, _V16, _V32 = (ir.VectorType(ir.IntType(width), LANES) for width in (8, 16, 32))


def _intrinsic(code: Callable[..., Any]) -> Any:
    """Hides from type checkers that kernels call it without its first argument."""
    return instruction(code)


def _data(context: Any, builder: Any, type_: Any, value: Any) -> Any:
    """The pointer to an array's first element."""
    return context.make_array(type_)(context, builder, value).data


def _vector(builder: Any, scalar: Any) -> Any:
    """A vector of bytes that are all ``scalar``."""
    undefined = ir.Constant(_V8, ir.Undefined)
    first = builder.insert_element(undefined, scalar, ir.Constant(_I32, 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(_V32, [0] * LANES))


def _each(builder: Any, start: Any, stop: Any, carried: Any, body: Callable[[Any, Any], Any]) -> Any:
    """``for q in range(start, stop): carried = body(q, carried)``; returns the last ``carried``."""
    before = builder.block
    head, inside, after = (builder.append_basic_block(name) for name in ("head", "inside", "after"))
    builder.branch(head)
    builder.position_at_end(head)
    q, value = builder.phi(_I64), builder.phi(carried.type)
    q.add_incoming(start, before)
    value.add_incoming(carried, before)
    builder.cbranch(builder.icmp_signed("<", q, stop), inside, after)
    builder.position_at_end(inside)
    value.add_incoming(body(q, value), inside)
    q.add_incoming(builder.add(q, ir.Constant(_I64, 1)), inside)
    builder.branch(head)
    builder.position_at_end(after)
    return value


def _row(builder: Any, counters: Any, offsets: Any, q: Any, lane: Any) -> Any:
    """The pointer to the sixteen bytes at ``counters[offsets[q] + lane]``."""
    at = builder.add(builder.zext(builder.load(builder.gep(offsets, [q])), _I64), lane)
    return builder.bitcast(builder.gep(counters, [at]), _V8.as_pointer())


@_intrinsic
def add_rows(
    typing: Any, counters: Any, offsets: Any, start: Any, stop: Any, lane: Any, shift: Any, totals: Any
) -> Any:
    """``totals[lane:lane+16] += counters[o:o+16] >> shift`` for ``o = offsets[q] + lane``, q from start to stop - 1.

    counters: int8, offsets: uint32, shift: int8 (7 leaves the sign, as 0 or -1), totals: int32. At most MOST_ROWS rows.
    """

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        rows, places, sums = (_data(context, builder, signature.args[i], args[i]) for i in (0, 1, 6))
        start, stop, lane = args[2:5]
        by = builder.zext(_vector(builder, args[5]), _V16)

        def add(q: Any, total: Any) -> Any:
            row = builder.load(_row(builder, rows, places, q, lane), align=1)
            return builder.add(total, builder.ashr(builder.sext(row, _V16), by))

        total = _each(builder, start, stop, ir.Constant(_V16, [0] * LANES), add)
        place = builder.bitcast(builder.gep(sums, [lane]), _V32.as_pointer())
        builder.store(builder.add(builder.load(place, align=4), builder.sext(total, _V32)), place, align=4)
        return context.get_dummy_value()

    return types.void(counters, offsets, types.int64, types.int64, types.int64, types.int8, totals), code


def _table_adder(tables: int) -> Callable[..., Any]:
    """``totals[e, lane:lane+16] += counters[o:o+16] >> shift`` for ``o = first + t * size + lane + width * index``, e <
    64, t < tables: several at once, as the totals are then read and written once for all of them.

    index: ``low[64 * (at + t) + e]``, plus 256 times that of ``high`` if ``wide`` is not 0. counters: int8; low, high:
    uint8; totals: int16, (64, lanes). At most MOST_ROWS tables in all.
    """

    def adder(
        typing: Any, counters: Any, first: Any, size: Any, width: Any, low: Any, high: Any, wide: Any, at: Any,
        lane: Any, shift: Any, totals: Any,
    ) -> Any:  # fmt: skip
        def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            rows, lows, highs = (_data(context, builder, signature.args[i], args[i]) for i in (0, 4, 5))
            sums = context.make_array(signature.args[10])(context, builder, args[10])
            lanes = builder.extract_value(sums.shape, 1)
            first, size, width, wide, at, lane = (args[i] for i in (1, 2, 3, 6, 7, 8))
            by = builder.zext(_vector(builder, args[9]), _V16)

            def number(k: int) -> Any:
                return ir.Constant(_I64, k)

            starts = [builder.add(builder.add(first, lane), builder.mul(size, number(t))) for t in range(tables)]
            indices = [builder.mul(builder.add(at, number(t)), number(BLOCK)) for t in range(tables)]

            def add(two_bytes: bool, e: Any, nothing: Any) -> Any:
                place = builder.gep(sums.data, [builder.add(builder.mul(e, lanes), lane)])
                place = builder.bitcast(place, _V16.as_pointer())
                total = builder.load(place, align=2)
                for start, byte in zip(starts, indices, strict=True):
                    byte = builder.add(byte, e)
                    index = builder.zext(builder.load(builder.gep(lows, [byte])), _I64)
                    if two_bytes:
                        upper = builder.zext(builder.load(builder.gep(highs, [byte])), _I64)
                        index = builder.add(index, builder.shl(upper, number(8)))
                    row = builder.gep(rows, [builder.add(start, builder.mul(index, width))])
                    row = builder.load(builder.bitcast(row, _V8.as_pointer()), align=1)
                    total = builder.add(total, builder.ashr(builder.sext(row, _V16), by))
                builder.store(total, place, align=2)
                return nothing

            with builder.if_else(builder.icmp_signed("!=", wide, number(0))) as (then, otherwise):
                for two_bytes, branch in ((True, then), (False, otherwise)):
                    with branch:
                        _each(builder, number(0), number(BLOCK), ir.Constant(_I8, 0), partial(add, two_bytes))
            return context.get_dummy_value()

        integer = types.int64
        return types.void(
            counters, integer, integer, integer, low, high, integer, integer, integer, types.int8, totals
        ), code

    return adder


add_table = _intrinsic(_table_adder(1))
add_tables = _intrinsic(_table_adder(TABLES))


@_intrinsic
def bump_rows(typing: Any, counters: Any, offsets: Any, stop: Any, lane: Any, change: Any, low: Any, high: Any) -> Any:
    """``counters[o:o+16]`` plus ``change[lane:lane+16]``, clamped to low … high, for ``o = offsets[q] + lane``, q <
    stop.

    counters, change, low, high: int8; offsets: uint32, no two equal. Bytes of the sixteen that belong to the next row
    must have change 0; they are in the range already.
    """

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        rows, places, changes = (_data(context, builder, signature.args[i], args[i]) for i in (0, 1, 4))
        stop, lane = args[2:4]
        low, high = (_vector(builder, args[i]) for i in (5, 6))
        change = builder.load(builder.bitcast(builder.gep(changes, [lane]), _V8.as_pointer()), align=1)
        binary = ir.FunctionType(_V8, [_V8, _V8])

        def call(name: str, a: Any, b: Any) -> Any:
            name = f"llvm.{name}.v{LANES}i8"
            function = builder.module.globals.get(name) or ir.Function(builder.module, binary, name)
            return builder.call(function, [a, b])

        def bump(q: Any, nothing: Any) -> Any:
            place = _row(builder, rows, places, q, lane)
            # The sum saturates before it is clamped: a counter of all 8 bits must not wrap.
            row = call("sadd.sat", builder.load(place, align=1), change)
            builder.store(call("smax", call("smin", row, high), low), place, align=1)
            return nothing

        _each(builder, ir.Constant(_I64, 0), stop, ir.Constant(_I8, 0), bump)
        return context.get_dummy_value()

    return types.void(counters, offsets, types.int64, types.int64, change, types.int8, types.int8), code


@_intrinsic
def spread_bits(typing: Any, words: Any, wires: Any, first: Any) -> Any:
    """Bit e of ``words[b]`` becomes the byte ``wires[(first + b) * 64 + e]``, b and e from 0 to 63.

    words: uint64, wires: uint8.
    """

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        given, made = (_data(context, builder, signature.args[i], args[i]) for i in (0, 1))
        first = args[2]

        def spread(b: Any, nothing: Any) -> Any:
            bits = builder.bitcast(builder.load(builder.gep(given, [b])), _BITS)
            at = builder.mul(builder.add(first, b), ir.Constant(_I64, BLOCK))
            place = builder.bitcast(builder.gep(made, [at]), _BYTES.as_pointer())
            builder.store(builder.zext(bits, _BYTES), place, align=1)
            return nothing

        _each(builder, ir.Constant(_I64, 0), ir.Constant(_I64, BLOCK), ir.Constant(_I8, 0), spread)
        return context.get_dummy_value()

    return types.void(words, wires, types.int64), code


@_intrinsic
def join_bits(typing: Any, wires: Any, read: Any, start: Any, stop: Any, numbers: Any, at: Any) -> Any:
    """Bytes ``numbers[at * 64 + e]``: bit i of each is the byte ``wires[read[stop - 1 - i] * 64 + e]``, e from 0 to 63.

    wires, numbers: uint8; read: int64; stop - start at most 8.
    """

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        given, places, made = (_data(context, builder, signature.args[i], args[i]) for i in (0, 1, 4))
        start, stop, at = args[2], args[3], args[5]

        def join(q: Any, number: Any) -> Any:
            wire = builder.mul(builder.load(builder.gep(places, [q])), ir.Constant(_I64, BLOCK))
            bits = builder.load(builder.bitcast(builder.gep(given, [wire]), _BYTES.as_pointer()), align=1)
            return builder.or_(builder.add(number, number), bits)

        number = _each(builder, start, stop, ir.Constant(_BYTES, [0] * BLOCK), join)
        place = builder.bitcast(builder.gep(made, [builder.mul(at, ir.Constant(_I64, BLOCK))]), _BYTES.as_pointer())
        builder.store(number, place, align=1)
        return context.get_dummy_value()

    return types.void(wires, read, types.int64, types.int64, numbers, types.int64), code
