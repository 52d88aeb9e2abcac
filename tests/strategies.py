"""Hypothesis strategies for random circuits; ``test_strategies.py`` checks what they produce.

A circuit is drawn gate by gate: a primitive, then operands cut to fit from the wires there are. :data:`GATES` has a
row for each primitive of bits and :data:`WORD_GATES` for each of words, so a new one is a new row and reaches every
property test.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import cast

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from rdahw import Bits, Circuit, boolean_difference, custom_reverse, mux, reverse
from rdahw.primitives import CORE, PRIMITIVES
from rdahw.scalar_primitives import SCALAR_ROWS
from rdahw.semirings import find_semiring
from rdahw.step_primitives import STEP_ROWS
from rdahw.tracing import Builder, ElementWire, Wire, WordWire, constant
from rdahw.types import Scalars, Type, Words
from rdahw.word_primitives import WORD_ROWS

#: No wire becomes wider, so that every circuit runs in an instant.
MAX_WIDTH = 16
MAX_INPUT_BITS = 9

_Draw = DrawFn
_Gate = Callable[[_Draw, Builder, list[Wire]], Wire]


def fit(draw: _Draw, wires: list[Wire], width: int) -> Wire:
    """A wire of exactly ``width`` bits: one of ``wires`` with its bits chosen, repeated and reordered."""
    wire = draw(st.sampled_from(wires))
    if wire.width == width and draw(st.booleans()):
        return wire
    indices = draw(st.lists(st.integers(0, wire.width - 1), min_size=width, max_size=width))
    return wire.gather(indices)


def _any(draw: _Draw, wires: list[Wire], widest: int = MAX_WIDTH) -> Wire:
    wire = draw(st.sampled_from(wires))
    return wire if wire.width <= widest else wire[:widest]


def _two(draw: _Draw, wires: list[Wire], widest: int = MAX_WIDTH) -> tuple[Wire, Wire]:
    a = _any(draw, wires, widest)
    return a, fit(draw, wires, a.width)


def _binary(primitive: str, widest: int = MAX_WIDTH) -> _Gate:
    return lambda draw, builder, wires: builder.apply(primitive, *_two(draw, wires, widest))


def _const(draw: _Draw, builder: Builder, wires: list[Wire]) -> Wire:
    width = draw(st.integers(1, 5))
    return builder.apply("const", attributes=(draw(st.integers(0, (1 << width) - 1)), width))


def _concat(draw: _Draw, builder: Builder, wires: list[Wire]) -> Wire:
    parts = [_any(draw, wires, MAX_WIDTH // 3) for _ in range(draw(st.integers(1, 3)))]
    return builder.apply("concat", *parts)


def _slice(draw: _Draw, builder: Builder, wires: list[Wire]) -> Wire:
    wire = _any(draw, wires)
    start = draw(st.integers(0, wire.width - 1))
    return builder.apply("slice", wire, attributes=(start, draw(st.integers(start + 1, wire.width))))


def _repeat(draw: _Draw, builder: Builder, wires: list[Wire]) -> Wire:
    wire = _any(draw, wires)
    return builder.apply("repeat", wire, attributes=(draw(st.integers(1, MAX_WIDTH // wire.width)),))


def _sum(draw: _Draw, builder: Builder, wires: list[Wire]) -> Wire:
    wire = _any(draw, wires)
    divisors = [n for n in range(1, wire.width + 1) if wire.width % n == 0]
    return builder.apply("sum", wire, attributes=(draw(st.sampled_from(divisors)),))


def _gather(draw: _Draw, builder: Builder, wires: list[Wire]) -> Wire:
    wire = _any(draw, wires)
    indices = draw(st.lists(st.integers(0, wire.width - 1), min_size=1, max_size=MAX_WIDTH))
    return builder.apply("gather", wire, attributes=(tuple(indices),))


def _scatter(draw: _Draw, builder: Builder, wires: list[Wire]) -> Wire:
    wire, width = _any(draw, wires), draw(st.integers(1, MAX_WIDTH))
    indices = draw(st.lists(st.integers(0, width - 1), min_size=wire.width, max_size=wire.width))
    return builder.apply("scatter", wire, attributes=(tuple(indices), width))


def _not(draw: _Draw, builder: Builder, wires: list[Wire]) -> Wire:
    return ~_any(draw, wires)


def _mux(draw: _Draw, builder: Builder, wires: list[Wire]) -> Wire:
    return mux(fit(draw, wires, 1), *_two(draw, wires))


def _decode(draw: _Draw, builder: Builder, wires: list[Wire]) -> Wire:
    return _any(draw, wires, 3).decode()


def _lookup(draw: _Draw, builder: Builder, wires: list[Wire]) -> Wire:
    address = _any(draw, wires, 3)
    return fit(draw, wires, draw(st.integers(1, 2)) << address.width).lookup(address)


def _popcount(draw: _Draw, builder: Builder, wires: list[Wire]) -> Wire:
    return _any(draw, wires, 9).popcount()


def _custom(draw: _Draw, builder: Builder, wires: list[Wire]) -> Wire:
    operands = [_any(draw, wires, 3) for _ in range(draw(st.integers(1, 2)))]
    block = draw(blocks([wire.width for wire in operands]))
    result = block(*operands)
    assert isinstance(result, Wire)
    return result


#: How to draw a gate of each primitive.
GATES: Mapping[str, _Gate] = {
    "xor": _binary("xor"),
    "and": _binary("and"),
    "const": _const,
    "concat": _concat,
    "slice": _slice,
    "repeat": _repeat,
    "sum": _sum,
    "gather": _gather,
    "scatter": _scatter,
    "not": _not,
    "or": _binary("or"),
    "mux": _mux,
    "decode": _decode,
    "lookup": _lookup,
    "popcount": _popcount,
    "less_equal": _binary("less_equal", 5),
    "plus": _binary("plus", 5),
    "custom": _custom,
}

#: The rows of words and of scalars; all other lists are of bits alone.
WORDS = tuple(row.name for row in (*WORD_ROWS, *STEP_ROWS))
SCALARS = tuple(row.name for row in SCALAR_ROWS)
ALL = tuple(name for name in PRIMITIVES if name not in (*WORDS, *SCALARS))
POLYNOMIAL = tuple(sorted(CORE.difference(WORDS, SCALARS)))
#: All but blocks, where a property speaks of primitives' own rules.
PLAIN = tuple(name for name in ALL if name != "custom")


def widths(most: int = 3) -> st.SearchStrategy[list[int]]:
    """Widths of one to ``most`` wires, few bits in all."""
    one = st.integers(1, MAX_INPUT_BITS // most)
    return st.lists(one, min_size=1, max_size=most)


@st.composite
def circuits(
    draw: _Draw,
    primitives: Sequence[str] = ALL,
    inputs: Sequence[int] | None = None,
    outputs: Sequence[int] | None = None,
    gates: int = 8,
) -> Circuit:
    """A circuit of these primitives with up to three inputs and outputs, or with inputs and outputs of given widths.

    The last gates are likelier outputs, so that not much is dead. Given ``outputs`` may be wired with a gather.
    """
    builder = Builder()
    given = draw(widths()) if inputs is None else inputs
    wires = [builder.input(f"x{i}", Bits(width)) for i, width in enumerate(given)]
    for name in draw(st.lists(st.sampled_from(primitives), min_size=min(3, gates), max_size=gates)):
        # The newest wires first: chains, not bushes, are what differentiates.
        wires.insert(0, GATES[name](draw, builder, wires))
    if outputs is None:
        chosen = [wires[0], *draw(st.lists(st.sampled_from(wires), max_size=2))]
    else:
        chosen = [fit(draw, wires[: max(3, len(wires) // 2)], width) for width in outputs]
    return builder.finish({f"y{i}": wire for i, wire in enumerate(chosen)})


# -- words -----------------------------------------------------------------------------------------------------------

_WordGate = Callable[[_Draw, Builder, list[Wire], list[WordWire]], Wire]


def _some_words(draw: _Draw, words: list[WordWire], bits: int, count: int) -> WordWire:
    """``count`` words of ``bits`` bits, chosen from a wire that has such."""
    wire = draw(st.sampled_from([w for w in words if w.type.bits == bits]))
    return wire.gather(draw(st.lists(st.integers(0, len(wire) - 1), min_size=count, max_size=count)))


def _few_words(draw: _Draw, words: list[WordWire], most: int) -> WordWire:
    wire = draw(st.sampled_from(words))
    return wire if len(wire) <= most else wire.gather(range(most))


def _two_words(primitive: str) -> _WordGate:
    def gate(draw: _Draw, builder: Builder, bits: list[Wire], words: list[WordWire]) -> Wire:
        a = _few_words(draw, words, 4)
        b = _some_words(draw, words, a.type.bits, len(a))
        return builder.apply(primitive, a, b, attributes=(a.type.bits,))

    return gate


def _to_words(draw: _Draw, builder: Builder, bits: list[Wire], words: list[WordWire]) -> Wire:
    wire = _any(draw, bits)
    return wire.as_words(draw(st.sampled_from([k for k in range(1, wire.width + 1) if wire.width % k == 0])))


def _mask_words(draw: _Draw, builder: Builder, bits: list[Wire], words: list[WordWire]) -> Wire:
    wire = _few_words(draw, words, 4)
    return wire.mask(fit(draw, bits, len(wire)))


def _negate_words(draw: _Draw, builder: Builder, bits: list[Wire], words: list[WordWire]) -> Wire:
    wire = _few_words(draw, words, 4)
    return wire.negate(fit(draw, bits, len(wire)))


def _to_switches(draw: _Draw, builder: Builder, bits: list[Wire], words: list[WordWire]) -> Wire:
    # Cast back at once, as the other gates here are of bits and words.
    return _any(draw, bits, 4).as_switches(draw(st.sampled_from([1, 3]))).as_bits()


def _embed_switches(draw: _Draw, builder: Builder, bits: list[Wire], words: list[WordWire]) -> Wire:
    return _any(draw, bits, 4).as_switches(draw(st.sampled_from(words)).type.bits).embed()


def _gather_words(draw: _Draw, builder: Builder, bits: list[Wire], words: list[WordWire]) -> Wire:
    wire = draw(st.sampled_from(words))
    return wire.gather(draw(st.lists(st.integers(0, len(wire) - 1), min_size=1, max_size=4)))


def _scatter_words(draw: _Draw, builder: Builder, bits: list[Wire], words: list[WordWire]) -> Wire:
    wire, count = _few_words(draw, words, 8), draw(st.integers(1, 4))
    return wire.scatter(draw(st.lists(st.integers(0, count - 1), min_size=len(wire), max_size=len(wire))), count)


def _lookup_words(draw: _Draw, builder: Builder, bits: list[Wire], words: list[WordWire]) -> Wire:
    tables, width, row = draw(st.integers(1, 2)), draw(st.integers(1, 2)), draw(st.integers(1, 2))
    content = _some_words(draw, words, draw(st.sampled_from(words)).type.bits, tables * row << width)
    return content.lookup(fit(draw, bits, tables * width), tables)


def _shift_words(draw: _Draw, builder: Builder, bits: list[Wire], words: list[WordWire]) -> Wire:
    wire = _few_words(draw, words, 4)
    return wire.shift(draw(st.integers(0, wire.type.bits - 1)))


def _saturating_add_words(draw: _Draw, builder: Builder, bits: list[Wire], words: list[WordWire]) -> Wire:
    a = _few_words(draw, words, 4)
    return a.saturating_add(_some_words(draw, words, a.type.bits, len(a)), draw(st.integers(1, a.type.bits)))


def _count_below_words(draw: _Draw, builder: Builder, bits: list[Wire], words: list[WordWire]) -> Wire:
    a = _few_words(draw, words, 4)
    return a.count_below(_some_words(draw, words, a.type.bits, draw(st.integers(1, 3))))


#: How to draw a gate of each primitive of words, from wires of bits and of words.
WORD_GATES: Mapping[str, _WordGate] = {
    "to_words": _to_words,
    "to_bits": lambda draw, builder, bits, words: _few_words(draw, words, 4).as_bits(),
    "to_switches": _to_switches,
    "embed_switches": _embed_switches,
    "add_words": _two_words("add_words"),
    "multiply_words": _two_words("multiply_words"),
    "mask_words": _mask_words,
    "negate_words": _negate_words,
    "gather_words": _gather_words,
    "scatter_words": _scatter_words,
    "lookup_words": _lookup_words,
    "shift_words": _shift_words,
    "saturating_add_words": _saturating_add_words,
    "cumulate_words": lambda draw, builder, bits, words: _few_words(draw, words, 5).cumulate(),
    "count_below_words": _count_below_words,
}
#: Those over which there is a derivative by words.
DIFFERENTIABLE = tuple(
    name for name in WORDS if not PRIMITIVES[name].selects or PRIMITIVES[name].bilinear or PRIMITIVES[name].expansion
)


@st.composite
def mixed_circuits(draw: _Draw, primitives: Sequence[str] = (*PLAIN, *WORDS), gates: int = 10) -> Circuit:
    """A circuit of bits and words: inputs ``x0``, … of bits and ``w0``, … of words, outputs of both, the last of words.

    Without casts in ``primitives`` all words depend on bits by selection alone, so that there is a derivative by words.
    """
    builder, k = Builder(), draw(st.sampled_from([1, 2, 3, 4, 6, 8]))
    bits: list[Wire] = [builder.input(f"x{i}", Bits(draw(st.integers(1, 3)))) for i in range(draw(st.integers(1, 2)))]
    counts = draw(st.lists(st.integers(1, 4), min_size=1, max_size=2))
    words = [builder.input(f"w{i}", Words(count, k)) for i, count in enumerate(counts)]
    words.append(constant(builder, draw(st.integers(0, (1 << 2 * k) - 1)), Words(2, k)))
    for name in draw(st.lists(st.sampled_from(primitives), min_size=3, max_size=gates)):
        wire = WORD_GATES[name](draw, builder, bits, words) if name in WORD_GATES else GATES[name](draw, builder, bits)
        # The newest wires first: chains, not bushes, are what differentiates.
        (words if isinstance(wire, WordWire) else bits).insert(0, wire)
    return builder.finish({"bits": bits[0], "words": words[0]})


def word_circuits(gates: int = 10) -> st.SearchStrategy[Circuit]:
    """A circuit that has a derivative by its inputs of words."""
    return mixed_circuits(DIFFERENTIABLE, gates)


@st.composite
def ring_circuits(
    draw: _Draw,
    element: Type,
    inputs: Sequence[int] | None = None,
    outputs: Sequence[int] | None = None,
    gates: int = 6,
) -> Circuit:
    """A polynomial circuit over the ring or semiring of ``element``, the type of one; ``inputs`` and ``outputs`` are
    how many there are on each wire."""
    builder = Builder()
    given = draw(st.lists(st.integers(1, 2), min_size=1, max_size=2)) if inputs is None else inputs
    wires = [cast(ElementWire, builder.input(f"x{i}", element.of(count))) for i, count in enumerate(given)]
    width = element.width
    size = find_semiring(element.semiring).largest + 1 if isinstance(element, Scalars) else 1 << width

    def fitting(count: int) -> ElementWire:
        wire = draw(st.sampled_from(wires))
        return wire.gather(draw(st.lists(st.integers(0, len(wire) - 1), min_size=count, max_size=count)))

    for name in draw(st.lists(st.sampled_from(["add", "multiply", "gather", "scatter", "const"]), max_size=gates)):
        a = draw(st.sampled_from(wires))
        count = draw(st.integers(1, 3))
        if name == "const":
            values = draw(st.lists(st.integers(0, size - 1), min_size=count, max_size=count))
            value = sum(number << i * width for i, number in enumerate(values))
            new = cast(ElementWire, constant(builder, value, element.of(count)))
        elif name == "gather":
            new = fitting(count)
        elif name == "scatter":
            new = a.scatter(draw(st.lists(st.integers(0, count - 1), min_size=len(a), max_size=len(a))), count)
        else:
            new = a + fitting(len(a)) if name == "add" else a * fitting(len(a))
        wires.insert(0, new)
    chosen = [wires[0], *draw(st.lists(st.sampled_from(wires), max_size=1))]
    if outputs is not None:
        chosen = [fitting(count) for count in outputs]
    return builder.finish({f"y{i}": wire for i, wire in enumerate(chosen)})


@st.composite
def safe_circuits(draw: _Draw) -> Circuit:
    """A circuit that :func:`rdahw.is_safe` accepts: each gate uses up its operands, and sums of anything on top."""
    builder = Builder()
    given = [builder.input(f"x{i}", Bits(width)) for i, width in enumerate(draw(widths()))]
    unused = [wire[i] for wire in given for i in range(wire.width)]
    everything = list(unused)
    for _ in range(draw(st.integers(1, 5))):
        if len(unused) == 1:
            break
        take = draw(st.integers(1, min(len(unused), 5)))
        unused = draw(st.permutations(unused))
        bits, unused = unused[:take], unused[take:]
        result = _read_once(draw, builder, bits)
        everything.append(result)
        unused.append(result[draw(st.integers(0, result.width - 1))])
    total = fit(draw, everything, 3)
    for _ in range(draw(st.integers(0, 3))):
        total ^= fit(draw, everything, 3)
    return builder.finish({"y0": everything[-1], "y1": total})


def _read_once(draw: _Draw, builder: Builder, bits: list[Wire]) -> Wire:
    """A gate that multiplies no two bits that are the same bit."""
    whole = builder.apply("concat", *bits)
    half = len(bits) // 2
    if not half:
        return draw(st.sampled_from([~whole, whole.decode(), whole.popcount()]))
    a, b = whole[:half], whole[half : 2 * half]
    rest = builder.apply("concat", *bits[1:])
    choices: list[Callable[[], Wire]] = [
        lambda: a & b,
        lambda: a | b,
        lambda: a.plus(b),
        lambda: a <= b,
        whole.popcount,
        lambda: mux(bits[0], rest, rest[::-1]),
        lambda: rest[:2].repeat(2 // min(2, rest.width)).lookup(bits[0]),
        lambda: exact_block([a.width, b.width])(a, b),
    ]
    return draw(st.sampled_from(choices))()


def exact_block(given: Sequence[int]) -> Callable[..., Wire]:
    """A block on wires of these widths whose formal derivative is wrong, and whose declared one is exact."""
    builder = Builder()
    wires = [builder.input(f"a{i}", Bits(width)) for i, width in enumerate(given)]
    whole = builder.apply("concat", *wires)
    f = builder.finish({"y": (whole & whole).popcount()})
    return custom_reverse(f, boolean_difference(f), name="squared", exact=True)


@st.composite
def blocks(draw: _Draw, given: Sequence[int]) -> Callable[..., Wire]:
    """A block on wires of these widths, which may hold blocks.

    Exact ones carry their Boolean difference, surrogates the reverse derivative of another map.
    """
    inner = draw(st.sampled_from([PLAIN, PLAIN, ALL]))
    f = draw(circuits(inner, inputs=given, outputs=[draw(st.integers(1, 2))], gates=3))
    exact = draw(st.booleans())
    if exact:
        r = boolean_difference(f)
    else:
        other = draw(circuits(inner, inputs=given, outputs=[f.output_types[0].width], gates=3))
        r = reverse(other)
    name = draw(st.sampled_from(["block", "a longer name, with a comma", "[1]", "ω"]))
    return custom_reverse(f, r, name=name, exact=exact)


def products(circuit: Circuit) -> int:
    """How many gates of a circuit multiply anything."""
    return sum(bool(PRIMITIVES[a.primitive].products) for a in circuit.assignments)
