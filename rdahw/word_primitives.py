"""The primitives of words: arithmetic in Z_2^k, and the casts to and from bits and switches.

The attribute ``bits`` is k, and indices count words. All rows but the casts are linear in each operand of words, so
their reverse rules are exact, in the ring and to every order. Operands of bits *select* among words; there is no
derivative by those, nor through a cast, as bits and words have different rings.

The lowering works on *planes*, the bits of equal weight of all words: a sum is a ripple-carry adder on planes, so that
any number of words are added by a few wide gates.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rdahw.errors import UserError
from rdahw.primitive import Array, Primitive, check_range, listed, one_of_bits
from rdahw.types import Bits, Scalars, Switches, Type, Words

if TYPE_CHECKING:
    from rdahw.tracing import ScalarWire, SwitchWire, Wire, WordWire

__all__ = [
    "WORD_ROWS",
    "from_numbers",
    "from_planes",
    "planes",
    "scatter_in_pairs",
    "sum_of_counts",
    "sum_of_planes",
    "to_numbers",
]

Numbers = NDArray[np.uint64]


def to_numbers(a: Array, bits: int) -> Numbers:
    """The words of the last axis as unsigned numbers, (…, n * bits) to (…, n). Sums wrap modulo 2^64, which keeps them
    correct modulo 2^bits."""
    words = a.reshape(*a.shape[:-1], a.shape[-1] // bits, bits).astype(np.uint64)
    numbers: Numbers = (words << np.arange(bits, dtype=np.uint64)).sum(axis=-1, dtype=np.uint64)
    return numbers


def from_numbers(numbers: Numbers, bits: int) -> Array:
    """The inverse of :func:`to_numbers`; numbers are taken modulo 2^bits."""
    words = (numbers[..., None] >> np.arange(bits, dtype=np.uint64) & np.uint64(1)).astype(np.uint8)
    return words.reshape(*numbers.shape[:-1], numbers.shape[-1] * bits)


def sum_of_counts(type_: Type, counts: NDArray[np.int64]) -> Array:
    """The sum in the ring of ``type_`` of elements, from the number of elements that have each bit set, (width,)."""
    bits = type_.bits if isinstance(type_, Words) else 1  # Z2 is Z_2^1
    weighted = counts.astype(np.uint64).reshape(-1, bits) << np.arange(bits, dtype=np.uint64)
    return from_numbers(weighted.sum(axis=-1, dtype=np.uint64), bits)


# -- type rules --------------------------------------------------------------------------------------------------------


def _words(type_: Type, bits: int) -> Words:
    if not isinstance(type_, Words) or type_.bits != bits:
        raise UserError(f"an operand of type {type_} was given; expected words of {bits} bits")
    return type_


def _to_words_type_rule(*args: Any) -> Words:
    *types, bits = args
    width = one_of_bits(*types).width
    if not bits or width % bits:
        raise UserError(f"{width} bits cannot be cut into words of {bits}; expected a divisor")
    return Words(width // bits, bits)


def _to_switches_type_rule(*args: Any) -> Switches:
    *types, bits = args
    return Switches(one_of_bits(*types).width, bits)


def _embed_type_rule(*args: Any) -> Words:
    *types, bits = args
    if len(types) != 1 or not isinstance(types[0], Switches) or types[0].bits != bits:
        raise UserError(
            f"operands of types {listed(types)} were given; expected one of switches with cotangents of {bits} bits"
        )
    return types[0].tangent


def _to_bits_type_rule(*types: Type) -> Bits:
    if len(types) != 1 or not isinstance(types[0], Words | Switches | Scalars):
        raise UserError(f"operands of types {listed(types)} were given; expected one of words, switches or scalars")
    return Bits(types[0].width)


def _same_words_type_rule(*args: Any) -> Words:
    *types, bits = args
    if len(types) != 2 or types[0] != types[1]:
        raise UserError(f"operands of types {listed(types)} were given; expected two of the same type")
    return _words(types[0], bits)


def _mask_type_rule(*args: Any) -> Words:
    *types, bits = args
    words = _words(types[0], bits) if types else None
    if words is None or types[1:] != [Bits(words.count)]:
        raise UserError(f"operands of types {listed(types)} were given; expected words, and one bit for each of them")
    return words


def _gather_type_rule(*args: Any) -> Words | Scalars:
    *types, indices, bits = args
    if len(types) != 1:
        raise UserError(f"operands of types {listed(types)} were given; expected one")
    words: Type = types[0]
    if not isinstance(words, Scalars) or words.bits != bits:
        words = _words(words, bits)
    check_range(indices, words.count, "word")
    return words.of(len(indices))


def _scatter_type_rule(*args: Any) -> Words:
    *types, indices, count, bits = args
    if len(types) != 1 or len(indices) != _words(types[0], bits).count:
        raise UserError(
            f"{len(indices)} indices were given for operands of types {listed(types)}; expected one operand and one "
            "index per word of it"
        )
    check_range(indices, count, "word")
    return Words(count, bits)


def _lookup_type_rule(*args: Any) -> Words:
    *types, tables, bits = args
    if len(types) != 2 or not isinstance(types[1], Bits):
        raise UserError(f"operands of types {listed(types)} were given; expected tables of words and their addresses")
    count, width = _words(types[0], bits).count, types[1].width
    if not tables or width % tables or width // tables > 26:
        raise UserError(
            f"{width} address bits were given for {tables} tables; expected the same number, at most 26, each"
        )
    rows = tables << width // tables
    if count % rows:
        raise UserError(
            f"{tables} tables of {count} words in all were given for addresses of {width // tables} bits; "
            f"expected a multiple of {rows}"
        )
    return Words(count // rows * tables, bits)


# -- evaluation --------------------------------------------------------------------------------------------------------


def _mask(a: Array, chosen: Array, bits: int) -> Array:
    masked: Array = a & np.repeat(chosen, bits, axis=-1)
    return masked


def _negate(a: Array, chosen: Array, bits: int) -> Array:
    numbers = to_numbers(a, bits)
    return from_numbers(np.where(chosen, np.uint64(0) - numbers, numbers), bits)


def _embed(a: Array, bits: int) -> Array:
    return from_numbers(a.astype(np.uint64), bits)


def _gather(a: Array, indices: Sequence[int], bits: int) -> Array:
    words = a.reshape(*a.shape[:-1], a.shape[-1] // bits, bits)[..., list(indices), :]
    return words.reshape(*a.shape[:-1], len(indices) * bits)


def _scatter(a: Array, indices: Sequence[int], count: int, bits: int) -> Array:
    numbers = to_numbers(a, bits)
    total = np.zeros((*numbers.shape[:-1], count), np.uint64)
    at: Any = (..., list(indices))
    np.add.at(total, at, numbers)
    return from_numbers(total, bits)


def _lookup(table: Array, address: Array, tables: int, bits: int) -> Array:
    each = address.reshape(*address.shape[:-1], tables, address.shape[-1] // tables).astype(np.int64)
    row = each @ (np.int64(1) << np.arange(each.shape[-1], dtype=np.int64))
    size = table.shape[-1] // (tables << each.shape[-1])
    rows = table.reshape(*table.shape[:-1], tables, 1 << each.shape[-1], size)
    if rows.ndim == 3:  # the same tables for all examples
        found = rows[np.arange(tables), row]
    else:
        examples = np.broadcast_shapes(rows.shape[:-3], row.shape[:-1])
        rows = np.broadcast_to(rows, examples + rows.shape[-3:])
        at = np.broadcast_to(row[..., None, None], (*examples, tables, 1, size))
        found = np.take_along_axis(rows, at, axis=-2)[..., 0, :]
    return found.reshape(*found.shape[:-2], tables * size)


# -- on symbolic wires -------------------------------------------------------------------------------------------------


def planes(a: Wire, bits: int) -> list[Wire]:
    """The planes of the words in ``a``: a wire for the bits of each weight, the least significant first."""
    return [a] if bits == 1 else [a.gather(range(b, a.width, bits)) for b in range(bits)]


def from_planes(weights: Sequence[Wire]) -> Wire:
    """The inverse of :func:`planes`."""
    side, bits = weights[0].width, len(weights)
    joined = weights[0].concat(*weights)
    return joined if bits == 1 else joined.gather(b * side + i for i in range(side) for b in range(bits))


def sum_of_planes(a: Sequence[Wire], b: Sequence[Wire]) -> list[Wire]:
    """a + b modulo 2^bits."""
    total = [a[0] ^ b[0]]
    carry = a[0] & b[0]
    for p, q in zip(a[1:], b[1:], strict=True):
        half = p ^ q
        total.append(half ^ carry)
        carry = (p & q) ^ (half & carry)
    return total


def _add_lowering(a: WordWire, b: WordWire, bits: int) -> Wire:
    return from_planes(sum_of_planes(planes(a.as_bits(), bits), planes(b.as_bits(), bits))).as_words(bits)


def _multiply_lowering(a: WordWire, b: WordWire, bits: int) -> Wire:
    p, q = planes(a.as_bits(), bits), planes(b.as_bits(), bits)
    total = [p[0] & plane for plane in q]
    for shift in range(1, bits):
        total[shift:] = sum_of_planes(total[shift:], [p[shift] & plane for plane in q[: bits - shift]])
    return from_planes(total).as_words(bits)


def _mask_lowering(a: WordWire, chosen: Wire, bits: int) -> Wire:
    each = chosen.gather(i for i in range(chosen.width) for _ in range(bits))
    return (a.as_bits() & each).as_words(bits)


def _negate_lowering(a: WordWire, chosen: Wire, bits: int) -> Wire:
    carry, negated = chosen, []
    for plane in planes(a.as_bits(), bits):
        flipped = plane ^ chosen
        negated.append(flipped ^ carry)
        carry = flipped & carry
    return from_planes(negated).as_words(bits)


def _embed_lowering(a: SwitchWire, bits: int) -> Wire:
    values = a.as_bits()
    return from_planes([values, *[values.zeros(len(a))] * (bits - 1)]).as_words(bits)


def _gather_lowering(a: WordWire | ScalarWire, indices: Sequence[int], bits: int) -> Wire:
    chosen = a.as_bits().gather(i * bits + b for i in indices for b in range(bits))
    return chosen.cast(a.type.of(len(indices)))


def scatter_in_pairs(a: WordWire | ScalarWire, indices: Sequence[int], count: int) -> Wire:
    """The rule of ``scatter_words`` and ``scatter_scalars`` by additions.

    Each step adds the words of each place in pairs, all places at once, until each has one word left.
    """
    words: Any = a
    sent: list[list[int]] = [[] for _ in range(count)]
    for word, place in enumerate(indices):
        sent[place].append(word)
    while any(len(here) > 1 for here in sent):
        pairs = [(here[i], here[i + 1]) for here in sent for i in range(0, len(here) - 1, 2)]
        odd = [here[-1] for here in sent if len(here) % 2]
        sums = words.gather(i for i, _ in pairs) + words.gather(j for _, j in pairs)
        words = words.concat(sums, words.gather(odd)) if odd else sums
        new_sums, new_odd = iter(range(len(pairs))), iter(range(len(pairs), len(pairs) + len(odd)))
        sent = [[next(new_sums) for _ in here[1::2]] + [next(new_odd) for _ in here[: len(here) % 2]] for here in sent]
    spare = len(words)
    if not all(sent):
        words = words.concat(words, words.zeros(1))
    result: Wire = words.gather(here[0] if here else spare for here in sent)
    return result


def _addresses(address: Wire, tables: int) -> list[Wire]:
    width = address.width // tables
    return [address[t * width : (t + 1) * width] for t in range(tables)]


def _lookup_lowering(table: WordWire, address: Wire, tables: int, bits: int) -> Wire:
    # Tables of bits are stored output by output, tables of words row by row.
    each = _addresses(address, tables)
    rows = 1 << each[0].width
    row = len(table) // (tables * rows) * bits
    content, found = table.as_bits(), []
    for t, at in enumerate(each):
        first = t * rows * row
        found.append(content.gather(first + r * row + j for j in range(row) for r in range(rows)).lookup(at))
    return address.concat(*found).as_words(bits)


def _chosen_rows(address: Wire, tables: int, row: int) -> Wire:
    """One bit for each word of the tables, whose rows have ``row`` words; set in the addressed rows."""
    chosen = address.concat(*(at.decode() for at in _addresses(address, tables)))
    return chosen if row == 1 else chosen.gather(i // row for i in range(chosen.width * row))


def _places(address: Wire, tables: int, row: int) -> list[int]:
    """For each word of the tables, the word of the result that it goes to if its row is addressed."""
    return [t * row + i for t in range(tables) for _ in range(1 << address.width // tables) for i in range(row)]


def _lookup_expansion(table: WordWire, address: Wire, tables: int, bits: int) -> Wire:
    row = len(table) // (tables << address.width // tables)
    return table.mask(_chosen_rows(address, tables, row)).scatter(_places(address, tables, row), tables * row)


def _lookup_reverse(dy: WordWire, table: WordWire, address: Wire, tables: int, bits: int) -> list[Wire | None]:
    row = len(dy) // tables
    return [dy.gather(_places(address, tables, row)).mask(_chosen_rows(address, tables, row)), None]


#: The rows, the polynomial core of Z_2^k first.
WORD_ROWS = (
    Primitive(
        name="to_words",
        attributes=("bits",),
        type_rule=_to_words_type_rule,
        evaluate=lambda a, bits: a,
        reverse=lambda dy, a, bits: (None,),
        selects=(0,),
    ),
    Primitive(
        name="to_bits",
        type_rule=_to_bits_type_rule,
        evaluate=lambda a: a,
        reverse=lambda dy, a: (None,),
        selects=(0,),
    ),
    Primitive(
        name="to_switches",
        attributes=("bits",),
        type_rule=_to_switches_type_rule,
        evaluate=lambda a, bits: a,
        reverse=lambda dy, a, bits: (None,),
        selects=(0,),
    ),
    Primitive(
        name="embed_switches",
        attributes=("bits",),
        type_rule=_embed_type_rule,
        evaluate=_embed,
        reverse=lambda dy, a, bits: (dy,),
        lowering=_embed_lowering,
        linear=True,
    ),
    Primitive(
        name="add_words",
        attributes=("bits",),
        type_rule=_same_words_type_rule,
        evaluate=lambda a, b, bits: from_numbers(to_numbers(a, bits) + to_numbers(b, bits), bits),
        reverse=lambda dy, a, b, bits: (dy, dy),
        lowering=_add_lowering,
        linear=True,
    ),
    Primitive(
        name="multiply_words",
        attributes=("bits",),
        type_rule=_same_words_type_rule,
        evaluate=lambda a, b, bits: from_numbers(to_numbers(a, bits) * to_numbers(b, bits), bits),
        reverse=lambda dy, a, b, bits: (b * dy, a * dy),
        lowering=_multiply_lowering,
        bilinear=True,
    ),
    Primitive(
        name="mask_words",
        attributes=("bits",),
        type_rule=_mask_type_rule,
        evaluate=_mask,
        reverse=lambda dy, a, chosen, bits: (dy.mask(chosen), None),
        lowering=_mask_lowering,
        bilinear=True,
        selects=(1,),
    ),
    Primitive(
        name="negate_words",
        attributes=("bits",),
        type_rule=_mask_type_rule,
        evaluate=_negate,
        reverse=lambda dy, a, chosen, bits: (dy.negate(chosen), None),
        lowering=_negate_lowering,
        bilinear=True,
        selects=(1,),
    ),
    Primitive(
        name="gather_words",
        attributes=("indices", "bits"),
        type_rule=_gather_type_rule,
        evaluate=_gather,
        reverse=lambda dy, a, indices, bits: (dy.scatter(indices, len(a)),),
        lowering=_gather_lowering,
        linear=True,
    ),
    Primitive(
        name="scatter_words",
        attributes=("indices", "count", "bits"),
        type_rule=_scatter_type_rule,
        evaluate=_scatter,
        reverse=lambda dy, a, indices, count, bits: (dy.gather(indices),),
        lowering=lambda a, indices, count, bits: scatter_in_pairs(a, indices, count),
        linear=True,
    ),
    Primitive(
        name="lookup_words",
        attributes=("tables", "bits"),
        type_rule=_lookup_type_rule,
        evaluate=_lookup,
        reverse=_lookup_reverse,
        expansion=_lookup_expansion,
        lowering=_lookup_lowering,
        selects=(1,),
    ),
)
