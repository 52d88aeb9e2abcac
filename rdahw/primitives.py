"""The primitives, each stated once: a row has its type rule, evaluation, reverse rule, expansion and products.

Values are numpy arrays of 0 and 1 (uint8), the last axis along the wire's bits (bit 0 first), after any number of axes
of examples; evaluation broadcasts over these. Rules (reverse, expansion, lowering) are written on symbolic wires
(:class:`rdahw.tracing.Wire`).

The **polynomial core** (rows without an expansion) is addition, multiplication, constants and wiring, in Z2 (XOR, AND),
in Z_2^k (:mod:`rdahw.word_primitives`) and in finite semirings (:mod:`rdahw.scalar_primitives`); it is closed under the
reverse derivative and obeys the axioms RD.1 to RD.7 of reverse derivative categories (Cockett et al., arXiv
1910.07065). A richer primitive has an *expansion* into the core, and a cheaper reverse rule where that pays. Such a
rule is right to first order; higher derivatives go through the expansion (:func:`rdahw.expand`).

Each back end is a table keyed by these names, with at least the rows of :data:`LOWERED`; it runs the circuits that
:func:`rdahw.transform.to_rows` makes. ``custom`` has no row in any of them, and primitives of words have one where it
pays.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rdahw.errors import UserError
from rdahw.primitive import Array, Part, Primitive, bits_only, check_range, listed
from rdahw.primitive import one_of_bits as _one
from rdahw.scalar_primitives import SCALAR_ROWS
from rdahw.step_primitives import STEP_ROWS
from rdahw.types import Bits, Type, shown
from rdahw.word_primitives import WORD_ROWS

if TYPE_CHECKING:
    from rdahw.tracing import SwitchWire, Wire, WordWire

__all__ = ["CORE", "LOWERED", "PRIMITIVES", "Array", "Primitive"]

# -- type rules --------------------------------------------------------------------------------------------------------


def _same(*types: Type) -> Bits:
    if len(given := bits_only(types)) != 2 or given[0] != given[1]:
        raise UserError(f"operands of types {listed(types)} were given; expected two of the same type")
    return given[0]


def _const_type_rule(*args: Any) -> Bits:
    value, width = args
    result = Bits(width)
    if value.bit_length() > width:
        raise UserError(f"the constant {shown(value)} does not fit {width} bits; expected 0 to 2^{width} - 1")
    return result


def _concat_type_rule(*types: Type) -> Type:
    if not types:
        raise UserError("nothing was given to concatenate; expected at least one operand")
    if len({type_.of(1) for type_ in types}) > 1:
        raise UserError(f"operands of types {listed(types)} were given; expected all bits, or words of as many bits")
    return types[0].of(sum(type_.count for type_ in types))


def _slice_type_rule(*args: Any) -> Bits:
    *types, start, stop = args
    width = _one(*types).width
    if not 0 <= start < stop <= width:
        raise UserError(f"bits {start} to {stop} of {width} were asked for; expected 0 <= start < stop <= {width}")
    return Bits(stop - start)


def _repeat_type_rule(*args: Any) -> Bits:
    *types, times = args
    width = _one(*types).width
    if times < 1:
        raise UserError(f"{times} copies were asked for; expected at least one")
    return Bits(width * times)


def _sum_type_rule(*args: Any) -> Bits:
    *types, times = args
    width = _one(*types).width
    if times < 1 or width % times:
        raise UserError(f"{width} bits cannot be cut into {times} equal parts to sum; choose a divisor of {width}")
    return Bits(width // times)


def _gather_type_rule(*args: Any) -> Bits:
    *types, indices = args
    check_range(indices, _one(*types).width, "bit")
    return Bits(len(indices))


def _scatter_type_rule(*args: Any) -> Bits:
    *types, indices, width = args
    if len(indices) != _one(*types).width:
        raise UserError(f"{len(indices)} indices were given for {types[0].width} bits; expected one per bit")
    check_range(indices, width, "bit")
    return Bits(width)


def _mux_type_rule(*types: Type) -> Bits:
    if len(types) != 3 or types[0] != Bits(1):
        raise UserError(f"operands of types {listed(types)} were given; expected Bits(1) and two of the same type")
    return _same(*types[1:])


def _decode_type_rule(*types: Type) -> Bits:
    width = _one(*types).width
    if width > 26:
        raise UserError(f"an address of {width} bits is too wide to decode; expected at most 26")
    return Bits(1 << width)


def _lookup_type_rule(*types: Type) -> Bits:
    if len(bits_only(types)) != 2:
        raise UserError(f"operands of types {listed(types)} were given; expected a table and an address")
    rows = _decode_type_rule(types[1]).width
    if types[0].width % rows:
        raise UserError(
            f"a table of {types[0].width} bits was given for an address of {types[1].width}; "
            f"expected a multiple of {rows}"
        )
    return Bits(types[0].width // rows)


def _compare_type_rule(*types: Type) -> Bits:
    _same(*types)
    return Bits(1)


# -- evaluation --------------------------------------------------------------------------------------------------------


def _const(value: int, width: int) -> Array:
    packed = np.frombuffer(value.to_bytes((width + 7) // 8, "little"), np.uint8)
    return np.unpackbits(packed, count=width, bitorder="little")


def _concat(*parts: Array) -> Array:
    examples = np.broadcast_shapes(*(p.shape[:-1] for p in parts))
    return np.concatenate([np.broadcast_to(p, examples + p.shape[-1:]) for p in parts], axis=-1)


def _slice(a: Array, start: int, stop: int) -> Array:
    return a[..., start:stop]


def _sum(a: Array, times: int) -> Array:
    parts = a.reshape(*a.shape[:-1], times, a.shape[-1] // times)
    total: Array = np.bitwise_xor.reduce(parts, axis=-2)
    return total


def _gather(a: Array, indices: Sequence[int]) -> Array:
    return a[..., list(indices)]


def _scatter(a: Array, indices: Sequence[int], width: int) -> Array:
    places = np.zeros((*a.shape[:-1], width), a.dtype)
    at: Any = (..., list(indices))
    np.bitwise_xor.at(places, at, a)
    return places


def _number(a: Array) -> NDArray[np.int64]:
    """The unsigned numbers in the bits of the last axis, bit 0 least significant (at most 62 bits)."""
    return a.astype(np.int64) @ (np.int64(1) << np.arange(a.shape[-1], dtype=np.int64))


def _mux(select: Array, a: Array, b: Array) -> Array:
    return np.where(select, a, b).astype(a.dtype)


def _decode(address: Array) -> Array:
    here: NDArray[np.bool_] = _number(address)[..., None] == np.arange(1 << address.shape[-1])
    return here.astype(np.uint8)


def _lookup(table: Array, address: Array) -> Array:
    rows = 1 << address.shape[-1]
    tables = table.reshape(*table.shape[:-1], -1, rows)
    if tables.ndim == 2:  # one table for all examples
        return np.moveaxis(tables[:, _number(address)], 0, -1)
    at = np.expand_dims(_number(address), (-1, -2))
    examples = np.broadcast_shapes(tables.shape[:-2], at.shape[:-2])
    tables = np.broadcast_to(tables, examples + tables.shape[-2:])
    return np.take_along_axis(tables, np.broadcast_to(at, (*examples, tables.shape[-2], 1)), axis=-1)[..., 0]


def _popcount(a: Array) -> Array:
    count: NDArray[np.int64] = a.sum(axis=-1, dtype=np.int64, keepdims=True)
    return (count >> np.arange(a.shape[-1].bit_length(), dtype=np.int64) & 1).astype(np.uint8)


def _less_equal(a: Array, b: Array) -> Array:
    differ = a != b
    top = a.shape[-1] - 1 - np.argmax(differ[..., ::-1], axis=-1)
    larger = np.take_along_axis(np.broadcast_to(b, differ.shape), top[..., None], axis=-1)
    return np.where(differ.any(axis=-1, keepdims=True), larger, np.uint8(1)).astype(np.uint8)


def _plus(a: Array, b: Array) -> Array:
    # Bit by bit, for any width.
    a, b = np.broadcast_arrays(a, b)
    total = np.empty((*a.shape[:-1], a.shape[-1] + 1), np.uint8)
    carry: Array = np.zeros(a.shape[:-1], np.uint8)
    for i in range(a.shape[-1]):
        count = a[..., i] + b[..., i] + carry
        total[..., i], carry = count & 1, (count >> 1).astype(np.uint8)
    total[..., -1] = carry
    return total


# -- supports, for results whose bits do not depend on all bits of the operands; wiring moves them like values ---------


def _sum_support(a: NDArray[Any], times: int) -> NDArray[Any]:
    union: NDArray[Any] = np.bitwise_or.reduce(a.reshape(times, -1), axis=0)
    return union


def _scatter_support(a: NDArray[Any], indices: Sequence[int], width: int) -> NDArray[Any]:
    union = np.zeros(width, dtype=object)
    np.bitwise_or.at(union, list(indices), a)
    return union


# -- reverse rules: (dy, *operands, *attributes) -> one cotangent per operand -----------------------------------------


def _concat_reverse(dy: Wire, *parts: Wire) -> list[Wire]:
    cotangents, at = [], 0
    for part in parts:
        cotangents.append(dy[at : at + len(part)])
        at += len(part)
    return cotangents


def _slice_reverse(dy: Wire, a: Wire, start: int, stop: int) -> list[Part]:
    return [Part(start, dy)]


def _mux_reverse(dy: Wire, select: Wire, a: Wire, b: Wire) -> list[Wire]:
    chosen = select.repeat(dy.width)
    return [((a ^ b) & dy).sum(dy.width), chosen & dy, ~chosen & dy]


#: The most address bits of tables that are halved for their reverse derivative.
MOST_HALVED = 10


def _changes(table: Wire, address: Wire) -> list[Wire]:
    """For each bit of the address, which outputs of the lookup change with it.

    The tables are halved by one bit after the other, from the top, so that all changes together take fewer gates than
    two lookups (a lookup for each bit would take as many times more as there are bits). Only larger tables have a
    lookup for each bit: there the halves would be wires of very many bits, which :func:`rdahw.is_safe` tells apart.
    """
    if address.width > MOST_HALVED:
        here = table.lookup(address)
        flips = (address ^ address.const(1 << i, address.width) for i in range(address.width))
        return [here ^ table.lookup(flipped) for flipped in flips]
    outputs, changes = table.width >> address.width, []
    for i in reversed(range(address.width)):
        low, high = _halves(table, outputs)
        change = high ^ low
        changes.append(change.lookup(address[:i]) if i else change)
        table = table.builder.apply("mux", address[i], high, low)
    return changes[::-1]


def _halves(table: Any, outputs: int) -> tuple[Any, Any]:
    """The rows of the tables whose top address bit is 0, and the others; the tables lie one after the other."""
    rows = len(table) // outputs
    if outputs == 1:
        return table[: rows // 2], table[rows // 2 :]
    low = [j * rows + row for j in range(outputs) for row in range(rows // 2)]
    return table.gather(low), table.gather([at + rows // 2 for at in low])


def _decode_reverse(dy: Wire, address: Wire) -> list[Wire]:
    return [dy.concat(*_changes(dy, address))]


def _lookup_reverse(dy: Wire, table: Wire, address: Wire) -> list[Wire]:
    at = address.decode()
    into_table = dy.concat(*(at & dy[j].repeat(at.width) for j in range(dy.width)))
    return [into_table, dy.concat(*((change & dy).sum(dy.width) for change in _changes(table, address)))]


def _popcount_reverse(dy: Wire, a: Wire) -> list[Wire]:
    # s ^ (s + 1) has ones in the run of ones at the low end of s and one bit above it; s ^ (s - 1) likewise for zeros.
    def change(s: Wire) -> Wire:
        run = [s.const(1, 1)]
        for k in range(s.width - 1):
            run.append(run[-1] & s[k])
        return (dy.concat(*run) & dy).sum(dy.width)

    count = a.popcount()
    up, down = change(count), change(~count)
    return [(a & down.repeat(a.width)) ^ (~a & up.repeat(a.width))]


# -- signed reverse rules: the same on switches, with words as cotangents ----------------------------------------------
# The derivative by a switch is the value with it on minus the value with it off: of each output -1, 0 or 1, so dy is
# masked and negated, and nothing is multiplied.


def _mux_signed(dy: WordWire, select: SwitchWire, a: SwitchWire, b: SwitchWire) -> list[Wire]:
    chosen, low = select.as_bits().repeat(len(dy)), b.as_bits()
    return [dy.mask(a.as_bits() ^ low).negate(low).sum(len(dy)), dy.mask(chosen), dy.mask(~chosen)]


def _decode_signed(dy: WordWire, address: SwitchWire) -> list[Wire]:
    at, changes = address.as_bits(), []
    for i in reversed(range(at.width)):
        low, high = _halves(dy, 1)
        change = high - low
        changes.append(change.lookup(at[:i]) if i else change)
        dy = low + change.mask(at[i].repeat(len(low)))
    return [dy.concat(*changes[::-1])]


def _lookup_signed(dy: WordWire, table: SwitchWire, address: SwitchWire) -> list[Wire]:
    content, at = table.as_bits(), address.as_bits()
    outputs, rows = len(dy), 1 << at.width
    into_table = dy.gather([j for j in range(outputs) for _ in range(rows)]).mask(at.decode().repeat(outputs))
    here, changes = content.lookup(at), []
    for i, changed in enumerate(_changes(content, at)):
        # Where the output changes, it falls with the switch if it is 1 now and the switch off, or 0 and the switch on.
        falls = here ^ at[i].repeat(outputs)
        changes.append(dy.mask(changed).negate(falls).sum(outputs))
    return [into_table, dy.concat(*changes)]


def _others(values: Wire, places: Sequence[int]) -> Wire:
    """For each bit the sum of the others that are sent to its place: of two the other one, else all without itself."""
    sent: dict[int, list[int]] = {}
    for i, place in enumerate(places):
        sent.setdefault(place, []).append(i)
    rest = values.scatter(places, max(places) + 1).gather(places) ^ values
    chosen = [values.width + sum(sent[p]) - i if len(sent[p]) == 2 else i for i, p in enumerate(places)]
    return values.concat(rest, values).gather(chosen)


def _sum_signed(dy: WordWire, a: SwitchWire, times: int) -> list[Wire]:
    # The output falls with a switch if the others have an odd sum.
    return [dy.repeat(times).negate(_others(a.as_bits(), list(range(len(dy))) * times))]


def _scatter_signed(dy: WordWire, a: SwitchWire, indices: Sequence[int], width: int) -> list[Wire]:
    return [dy.gather(indices).negate(_others(a.as_bits(), indices))]


# -- expansions into the polynomial core -------------------------------------------------------------------------------
# Each multiplies only bits that depend on different bits of the operands, so that its formal derivative is the Boolean
# difference.


def _flip(a: Wire) -> Wire:
    return a ^ a.const((1 << a.width) - 1, a.width)


def _mux_expansion(select: Wire, a: Wire, b: Wire) -> Wire:
    return b ^ (select.repeat(a.width) & (a ^ b))


def _decode_expansion(address: Wire) -> Wire:
    minterms = address.const(1, 1)
    for i in range(address.width):
        bit = address[i].repeat(minterms.width)
        minterms = minterms.concat(minterms & _flip(bit), minterms & bit)
    return minterms


def _lookup_expansion(table: Wire, address: Wire) -> Wire:
    at = _decode_expansion(address)
    chosen = table & at.repeat(table.width // at.width)
    return chosen.concat(*(chosen[j : j + at.width].sum(at.width) for j in range(0, table.width, at.width)))


def _popcount_expansion(a: Wire) -> Wire:
    # Bit k of a count is the elementary symmetric polynomial of degree 2^k, mod 2 (Lucas); built up bit by bit of a.
    top = 1 << a.width.bit_length() - 1
    symmetric = a.const(1, top + 1)
    for i in range(a.width):
        shifted = a.concat(a.zeros(1), symmetric[:top])
        symmetric = symmetric ^ (a[i].repeat(top + 1) & shifted)
    return symmetric.gather([1 << k for k in range(a.width.bit_length())])


def _less_equal_expansion(a: Wire, b: Wire) -> Wire:
    result = a.const(1, 1)
    for i in range(a.width):
        less, same = _flip(a[i]) & b[i], _flip(a[i] ^ b[i])
        result = less ^ (same & result)
    return result


def _plus_expansion(a: Wire, b: Wire) -> Wire:
    carry, total = a.zeros(1), []
    for i in range(a.width):
        half = a[i] ^ b[i]
        total.append(half ^ carry)
        carry = (a[i] & b[i]) ^ (half & carry)
    return a.concat(*total, carry)


def _custom_type_rule(*args: Any) -> Type:
    *types, block = args
    expected = block.forward.input_types
    if tuple(types) != expected:
        raise UserError(f"block {block.name!r} was given types {listed(types)}; it takes {listed(expected)}")
    result: Type = block.forward.output_types[0]
    return result


def _custom_reverse(dy: Wire, *args: Any) -> Sequence[Wire]:
    *operands, block = args
    return dy.builder.inline(block.reverse, [*operands, dy])


def _custom_expansion(*args: Any) -> Wire:
    *operands, block = args
    result: Wire = operands[0].builder.inline(block.forward, operands)[0]
    return result


#: The table: every primitive by its name, those of bits first, and among them the polynomial core first.
PRIMITIVES: dict[str, Primitive] = {
    row.name: row
    for row in (
        Primitive(
            name="xor",
            type_rule=_same,
            evaluate=np.bitwise_xor,
            reverse=lambda dy, a, b: (dy, dy),
            signed=lambda dy, a, b: (dy.negate(b.as_bits()), dy.negate(a.as_bits())),
            linear=True,
            support=np.bitwise_or,
        ),
        Primitive(
            name="and",
            type_rule=_same,
            evaluate=np.bitwise_and,
            reverse=lambda dy, a, b: (b & dy, a & dy),
            signed=lambda dy, a, b: (dy.mask(b.as_bits()), dy.mask(a.as_bits())),
            bilinear=True,
            products="bitwise",
            support=np.bitwise_or,
        ),
        Primitive(
            name="const",
            attributes=("value", "width"),
            type_rule=_const_type_rule,
            evaluate=_const,
            reverse=lambda dy, value, width: (),
            support=lambda value, width: np.zeros(width, dtype=object),
        ),
        Primitive(
            name="concat",
            type_rule=_concat_type_rule,
            evaluate=_concat,
            reverse=_concat_reverse,
            signed=_concat_reverse,
            linear=True,
            support=_concat,
        ),
        Primitive(
            name="slice",
            attributes=("start", "stop"),
            type_rule=_slice_type_rule,
            evaluate=_slice,
            reverse=_slice_reverse,
            signed=_slice_reverse,
            linear=True,
            support=_slice,
        ),
        Primitive(
            name="repeat",
            attributes=("times",),
            type_rule=_repeat_type_rule,
            evaluate=np.tile,
            reverse=lambda dy, a, times: (dy.sum(times),),
            signed=lambda dy, a, times: (dy.sum(times),),
            linear=True,
            support=np.tile,
        ),
        Primitive(
            name="sum",
            attributes=("times",),
            type_rule=_sum_type_rule,
            evaluate=_sum,
            reverse=lambda dy, a, times: (dy.repeat(times),),
            signed=_sum_signed,
            linear=True,
            support=_sum_support,
        ),
        Primitive(
            name="gather",
            attributes=("indices",),
            type_rule=_gather_type_rule,
            evaluate=_gather,
            reverse=lambda dy, a, indices: (dy.scatter(indices, a.width),),
            signed=lambda dy, a, indices: (dy.scatter(indices, a.width),),
            linear=True,
            support=_gather,
        ),
        Primitive(
            name="scatter",
            attributes=("indices", "width"),
            type_rule=_scatter_type_rule,
            evaluate=_scatter,
            reverse=lambda dy, a, indices, width: (dy.gather(indices),),
            signed=_scatter_signed,
            linear=True,
            support=_scatter_support,
        ),
        Primitive(
            name="not",
            type_rule=_one,
            evaluate=lambda a: a ^ np.uint8(1),
            reverse=lambda dy, a: (dy,),
            signed=lambda dy, a: (-dy,),
            expansion=_flip,
            support=lambda a: a,
        ),
        Primitive(
            name="or",
            type_rule=_same,
            evaluate=np.bitwise_or,
            reverse=lambda dy, a, b: (~b & dy, ~a & dy),
            signed=lambda dy, a, b: (dy.mask(~b.as_bits()), dy.mask(~a.as_bits())),
            expansion=lambda a, b: a ^ b ^ (a & b),
            products="bitwise",
            support=np.bitwise_or,
        ),
        Primitive(
            name="mux",
            type_rule=_mux_type_rule,
            evaluate=_mux,
            reverse=_mux_reverse,
            signed=_mux_signed,
            expansion=_mux_expansion,
            products=((0, 1), (0, 2)),
            support=lambda select, a, b: select | a | b,
        ),
        Primitive(
            name="decode",
            type_rule=_decode_type_rule,
            evaluate=_decode,
            reverse=_decode_reverse,
            signed=_decode_signed,
            expansion=_decode_expansion,
            products=((0, 0),),
        ),
        Primitive(
            name="lookup",
            type_rule=_lookup_type_rule,
            evaluate=_lookup,
            reverse=_lookup_reverse,
            signed=_lookup_signed,
            expansion=_lookup_expansion,
            products=((0, 1), (1, 1)),
        ),
        Primitive(
            name="popcount",
            type_rule=lambda *types: Bits(_one(*types).width.bit_length()),
            evaluate=_popcount,
            reverse=_popcount_reverse,
            expansion=_popcount_expansion,
            products=((0, 0),),
        ),
        Primitive(
            name="less_equal",
            type_rule=_compare_type_rule,
            evaluate=_less_equal,
            expansion=_less_equal_expansion,
            products=((0, 0), (0, 1), (1, 1)),
        ),
        Primitive(
            name="plus",
            type_rule=lambda *types: Bits(_same(*types).width + 1),
            evaluate=_plus,
            expansion=_plus_expansion,
            products=((0, 0), (0, 1), (1, 1)),
        ),
        Primitive(
            name="custom",
            attributes=("block",),
            type_rule=_custom_type_rule,
            evaluate=None,
            reverse=_custom_reverse,
            expansion=_custom_expansion,
            products="all",
        ),
        *WORD_ROWS,
        *STEP_ROWS,
        *SCALAR_ROWS,
    )
}

#: The names of the polynomial core.
CORE = frozenset(name for name, row in PRIMITIVES.items() if row.expansion is None)

#: The primitives for which every back end has a row.
LOWERED = frozenset(name for name, row in PRIMITIVES.items() if row.lowering is None and name != "custom")
