"""Words: the rows of the table in plain numbers, and derivatives over Z_2^k against numbers that know no rule."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import evaluate, split
from strategies import WORDS, mixed_circuits, word_circuits

from rdahw import (
    Bits,
    Circuit,
    UserError,
    boolean_difference,
    custom_reverse,
    expand,
    forward_derivative,
    is_safe,
    reverse,
    trace,
)
from rdahw.claims import custom, difference, equal
from rdahw.combinators import add, copy, discard, identity, multiply, swap, zero
from rdahw.draw import to_dot
from rdahw.primitives import CORE, LOWERED, PRIMITIVES
from rdahw.sim.reference import run
from rdahw.tracing import Wire
from rdahw.transform import bind, to_rows
from rdahw.types import MAX_WIDTH, Switches, Type, Words, parse_type
from rdahw.word_primitives import from_numbers, sum_of_counts, to_numbers

_Lists = list[list[int]]


def numbers(array: np.ndarray, type_: Type) -> np.ndarray:
    """The elements of a wire as whole numbers: of words, from 0 to 2^k - 1, and its bits themselves."""
    return to_numbers(array, type_.bits).astype(object) if isinstance(type_, Words) else array.astype(object)


def random_inputs(circuit: Circuit, examples: int, seed: int = 0) -> np.ndarray:
    """(examples, A), words at the ends of their range among them."""
    width = sum(t.width for t in circuit.input_types)
    inputs = np.random.default_rng(seed).integers(0, 2, (examples, width), np.uint8)
    inputs[0], inputs[1] = 0, 1
    return inputs


# -- the rows in plain numbers -----------------------------------------------------------------------------------------


def plain_lookup(table: list[int], address: list[int], tables: int, k: int) -> list[int]:
    a, size = len(address) // tables, len(table) // tables
    row = size >> a
    found = []
    for t in range(tables):
        at = sum(bit << i for i, bit in enumerate(address[t * a : (t + 1) * a]))
        found += table[t * size + at * row : t * size + (at + 1) * row]
    return found


def signed(word: int, k: int) -> int:
    return word - (word >> k - 1 << k)


#: What each row means on lists of numbers (of words) and of bits; sums are taken modulo 2^k afterwards.
PLAIN: Mapping[str, Callable[..., list[int]]] = {
    "to_words": lambda a, k: [sum(bit << b for b, bit in enumerate(a[i : i + k])) for i in range(0, len(a), k)],
    "to_bits": lambda a: [word >> b & 1 for word in a for b in range(3)],
    "to_switches": lambda a, k: a,
    "embed_switches": lambda a, k: a,
    "add_words": lambda a, b, k: [p + q for p, q in zip(a, b, strict=True)],
    "multiply_words": lambda a, b, k: [p * q for p, q in zip(a, b, strict=True)],
    "mask_words": lambda a, chosen, k: [word if bit else 0 for word, bit in zip(a, chosen, strict=True)],
    "negate_words": lambda a, chosen, k: [-word if bit else word for word, bit in zip(a, chosen, strict=True)],
    "gather_words": lambda a, indices, k: [a[i] for i in indices],
    "scatter_words": lambda a, indices, count, k: [
        sum(word for word, at in zip(a, indices, strict=True) if at == i) for i in range(count)
    ],
    "lookup_words": plain_lookup,
    "shift_words": lambda a, by, k: [signed(word, k) // 2**by for word in a],
    "saturating_add_words": lambda a, b, limit, k: [
        min(max(signed(p, k) + signed(q, k), -(1 << limit - 1)), (1 << limit - 1) - 1)
        for p, q in zip(a, b, strict=True)
    ],
    "cumulate_words": lambda a, k: [sum(a[: i + 1]) for i in range(len(a))],
    "count_below_words": lambda a, b, k: [sum(signed(q, k) < signed(p, k) for q in b) for p in a],
}

#: For each row: the types of its operands and its attributes, in several shapes. ``to_bits`` has words of 3 bits.
SHAPES: Mapping[str, Sequence[tuple[tuple[Type, ...], tuple[Any, ...]]]] = {
    "to_words": [((Bits(6),), (1,)), ((Bits(6),), (2,)), ((Bits(6),), (6,))],
    "to_bits": [((Words(1, 3),), ()), ((Words(2, 3),), ())],
    "to_switches": [((Bits(3),), (1,)), ((Bits(1),), (4,))],
    "embed_switches": [((Switches(3, 1),), (1,)), ((Switches(2, 4),), (4,))],
    "add_words": [((Words(n, k), Words(n, k)), (k,)) for n, k in [(1, 1), (1, 4), (3, 1), (2, 2), (3, 5), (2, 64)]],
    "multiply_words": [
        ((Words(n, k), Words(n, k)), (k,)) for n, k in [(1, 1), (1, 4), (3, 1), (2, 2), (3, 5), (2, 64)]
    ],
    "mask_words": [((Words(1, 4), Bits(1)), (4,)), ((Words(3, 2), Bits(3)), (2,))],
    "negate_words": [((Words(1, 4), Bits(1)), (4,)), ((Words(3, 2), Bits(3)), (2,)), ((Words(2, 64), Bits(2)), (64,))],
    "gather_words": [((Words(3, 2),), ((2,), 2)), ((Words(2, 3),), ((1, 0, 0, 1), 3))],
    "scatter_words": [
        ((Words(1, 3),), ((0,), 1, 3)),
        ((Words(3, 3),), ((1, 1, 1), 3, 3)),
        ((Words(5, 2),), ((2, 0, 2, 2, 0), 4, 2)),
        ((Words(7, 4),), ((0, 0, 1, 0, 1, 0, 0), 2, 4)),
    ],
    "lookup_words": [
        ((Words(2, 3), Bits(1)), (1, 3)),
        ((Words(8, 2), Bits(2)), (1, 2)),
        ((Words(8, 2), Bits(2)), (2, 2)),
        ((Words(12, 2), Bits(2)), (2, 2)),
        ((Words(24, 5), Bits(6)), (3, 5)),
    ],
    "shift_words": [((Words(n, k),), (by, k)) for n, k, by in [(1, 1, 0), (2, 3, 1), (1, 6, 5), (3, 64, 40)]],
    "saturating_add_words": [
        ((Words(n, k), Words(n, k)), (limit, k))
        for n, k, limit in [(1, 1, 1), (1, 4, 4), (2, 2, 1), (1, 4, 2), (3, 9, 5), (2, 64, 64), (2, 64, 9)]
    ],
    "cumulate_words": [((Words(n, k),), (k,)) for n, k in [(1, 3), (2, 4), (4, 2), (7, 9), (2, 64)]],
    "count_below_words": [
        ((Words(n, k), Words(m, k)), (k,)) for n, m, k in [(1, 1, 1), (2, 2, 2), (3, 1, 2), (3, 5, 4), (2, 3, 64)]
    ],
}
CASES = [
    pytest.param(name, types, attributes, id=f"{name}-{i}")
    for name, shapes in SHAPES.items()
    for i, (types, attributes) in enumerate(shapes)
]


def single(name: str, types: Sequence[Type], attributes: Sequence[Any]) -> Circuit:
    return trace(
        lambda *wires: wires[0].builder.apply(name, *wires, attributes=attributes),
        **{f"x{i}": type_ for i, type_ in enumerate(types)},
    )


def test_every_row_is_here() -> None:
    assert tuple(SHAPES) == tuple(PLAIN) == WORDS


@pytest.mark.parametrize(("name", "types", "attributes"), CASES)
def test_meaning_expansion_and_lowering(name: str, types: Sequence[Type], attributes: Sequence[Any]) -> None:
    circuit = single(name, types, attributes)
    expanded, lowered = expand(circuit), to_rows(circuit)
    assert {a.primitive for a in expanded.assignments} <= CORE
    assert {a.primitive for a in lowered.assignments} <= LOWERED
    width = sum(t.width for t in types)
    inputs = random_inputs(circuit, 300)
    if width <= 8:
        inputs = (np.arange(1 << width)[:, None] >> np.arange(width) & 1).astype(np.uint8)
    result_type = circuit.output_types[0]
    results = [evaluate(form, inputs) for form in (circuit, expanded, lowered)]
    modulus = 1 << (result_type.bits if isinstance(result_type, Words) else 1)
    operands = [numbers(a, t) for a, t in zip(split(inputs, [t.width for t in types]), types, strict=True)]
    for row, example in enumerate(zip(*operands, strict=True)):
        expected = [int(value) % modulus for value in PLAIN[name](*map(list, example), *attributes)]
        for result in results:
            assert numbers(result[row], result_type).tolist() == expected


@pytest.mark.parametrize(("name", "types", "attributes"), CASES)
def test_meanings_broadcast_over_examples(name: str, types: Sequence[Type], attributes: Sequence[Any]) -> None:
    circuit, random = single(name, types, attributes), np.random.default_rng(0)
    for shapes in ([(), (5,)], [(5,), ()], [(4, 1), (5,)], [(0,), ()]):
        wires = [random.integers(0, 2, (*s, t.width), np.uint8) for s, t in zip(shapes, types, strict=False)]
        (result,) = run(circuit, *wires)
        examples = np.broadcast_shapes(*(w.shape[:-1] for w in wires))
        assert (result.dtype, result.shape) == (np.uint8, (*examples, circuit.output_types[0].width))
        full = [np.broadcast_to(w, (*examples, w.shape[-1])) for w in wires]
        for at in np.ndindex(*examples):
            np.testing.assert_array_equal(result[at], run(circuit, *(w[at] for w in full))[0])


@settings(max_examples=50)
@given(mixed_circuits())
def test_an_expansion_and_a_lowering_compute_the_same(f: Circuit) -> None:
    inputs = random_inputs(f, 64)
    expected = evaluate(f, inputs)
    for form in (expand(f), to_rows(f), to_rows(f, LOWERED & CORE)):
        np.testing.assert_array_equal(evaluate(form, inputs), expected)


@pytest.mark.parametrize("k", [1, 5, 63, 64])
def test_words_as_numbers_and_back(k: int) -> None:
    bits = np.random.default_rng(k).integers(0, 2, (7, 3 * k), np.uint8)
    words = to_numbers(bits, k)
    assert [[int(w) for w in row] for row in words] == [
        [sum(int(row[i * k + b]) << b for b in range(k)) for i in range(3)] for row in bits
    ]
    np.testing.assert_array_equal(from_numbers(words, k), bits)


@pytest.mark.parametrize("k", [1, 2, 5, 8, 9, 63, 64])
def test_signed_numbers_as_bits_and_back(k: int) -> None:
    limit, type_ = 1 << k - 1, Words(4, k)
    values = [[-limit, limit - 1, 0, -1], [limit // 2, -limit // 2, -limit, 0]]
    bits = type_.to_bits(values)
    assert bits.shape == (2, 4 * k)
    assert [[sum(int(b) << i for i, b in enumerate(w)) for w in row.reshape(4, k)] for row in bits] == [
        [v % (1 << k) for v in row] for row in values
    ]
    assert type_.to_integers(bits).tolist() == values
    if k < 64:
        message = f"^a number is outside of {-limit} to {limit - 1}, the range of words of {k} bits$"
        with pytest.raises(UserError, match=message):
            type_.to_bits([limit, 0, 0, 0])
        with pytest.raises(UserError, match=message):
            type_.to_bits([0, 0, 0, -limit - 1])


def test_numbers_of_another_shape_are_refused() -> None:
    with pytest.raises(
        UserError, match=r"^numbers of shape \(3,\) were given for Words\(2, 4\); expected 2 in the last"
    ):
        Words(2, 4).to_bits([1, 2, 3])
    with pytest.raises(
        UserError, match=r"^bits of shape \(5, 7\) were given for Words\(2, 4\); expected 8 in the last ax"
    ):
        Words(2, 4).to_integers(np.zeros((5, 7)))


@given(st.sampled_from([Bits(6), Words(6, 1), Words(3, 2), Words(1, 6)]), st.integers(0, 40))
def test_the_sum_of_many_elements_from_how_often_each_bit_is_set(type_: Type, n: int) -> None:
    elements = np.random.default_rng(n).integers(0, 2, (n, 6), np.uint8)
    modulus = 1 << (type_.bits if isinstance(type_, Words) else 1)
    expected = [sum(int(e) for e in column) % modulus for column in numbers(elements, type_).T]
    found = sum_of_counts(type_, elements.sum(axis=0, dtype=np.int64))
    assert numbers(found, type_).tolist() == (expected or [0] * len(numbers(found, type_)))


# -- derivatives, against numbers --------------------------------------------------------------------------------------
# An independent derivative of a polynomial map f over Z_2^(2m): f(x + 2^m dx) = f(x) + 2^m f'(x) dx + 2^(2m) (…), so
# (f(x + 2^m dx) - f(x)) / 2^m is f'(x) dx modulo 2^m. It runs f forward, and knows no rule of anything.


class Numeric:
    """A circuit of words as a function of whole numbers."""

    def __init__(self, f: Circuit, examples: int = 32, seed: int = 0) -> None:
        self.f = f
        random = np.random.default_rng(seed)
        self.inputs = split(random_inputs(f, examples, seed), [t.width for t in f.input_types])
        self.words = [i for i, t in enumerate(f.input_types) if isinstance(t, Words)]
        self.names = [f.input_names[i] for i in self.words]
        self.k = self._type(self.words[0]).bits
        self.m = self.k // 2
        self.x = [to_numbers(self.inputs[i], self.k) for i in self.words]
        self.dx = [self._random(random, x.shape) for x in self.x]
        (self.y_type,) = (t for t in f.output_types if isinstance(t, Words))
        self.dy = self._random(random, (examples, self.y_type.count))

    def _type(self, i: int) -> Words:
        type_ = self.f.input_types[i]
        assert isinstance(type_, Words)
        return type_

    @staticmethod
    def _random(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        return random.integers(0, 1 << 62, shape).astype(np.uint64)

    def with_words(self, words: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The inputs with these words."""
        inputs = list(self.inputs)
        for i, value in zip(self.words, words, strict=True):
            inputs[i] = from_numbers(value, self.k)
        return inputs

    def __call__(self, words: Sequence[np.ndarray]) -> np.ndarray:
        at = self.f.output_names.index("words")
        return self.spread(to_numbers(run(self.f, *self.with_words(words))[at], self.k))

    def spread(self, value: np.ndarray) -> np.ndarray:
        return np.broadcast_to(value, (len(self.dy), value.shape[-1]))

    def reverse(self, dy: np.ndarray) -> list[np.ndarray]:
        r = reverse(self.f, wrt=self.names)
        seeds = [np.zeros(t.width, np.uint8) if isinstance(t, Bits) else None for t in self.f.output_types]
        given = [from_numbers(dy, self.k) if s is None else s for s in seeds]
        return [self.spread(to_numbers(c, self.k)) for c in run(r, *self.inputs, *given)]

    def forward(self, dx: Sequence[np.ndarray]) -> np.ndarray:
        d = forward_derivative(self.f, wrt=self.names)
        outputs = run(d, *self.inputs, *(from_numbers(v, self.k) for v in dx))
        return self.spread(to_numbers(outputs[d.output_names.index("dwords")], self.k))

    def modulo(self, value: np.ndarray, bits: int) -> list[Any]:
        return (value & np.uint64((1 << bits) - 1)).tolist()


def inner(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """<a, b> for each example."""
    return (a * b).sum(axis=-1, dtype=np.uint64)


@settings(max_examples=50)
@given(word_circuits().filter(lambda f: f.output_types[1].bits % 2 == 0))
def test_both_derivatives_are_that_of_the_numbers(f: Circuit) -> None:
    n = Numeric(f)
    step = [x + (dx << np.uint64(n.m)) for x, dx in zip(n.x, n.dx, strict=True)]
    change = (n(step) - n(n.x)) & np.uint64((1 << n.k) - 1)
    assert not (change & np.uint64((1 << n.m) - 1)).any()
    numeric = change >> np.uint64(n.m)
    assert n.modulo(n.forward(n.dx), n.m) == n.modulo(numeric, n.m)
    pulled = sum(inner(r, dx) for r, dx in zip(n.reverse(n.dy), n.dx, strict=True))
    assert n.modulo(np.asarray(pulled), n.m) == n.modulo(inner(n.dy, numeric), n.m)


@settings(max_examples=50)
@given(word_circuits())
def test_forward_and_reverse_derivative_are_adjoint_over_the_ring(f: Circuit) -> None:
    """⟨dy, D[f](x, dx)⟩ = ⟨R[f](x, dy), dx⟩ in Z_2^k."""
    n = Numeric(f)
    pulled = sum(inner(r, dx) for r, dx in zip(n.reverse(n.dy), n.dx, strict=True))
    assert n.modulo(np.asarray(pulled), n.k) == n.modulo(inner(n.dy, n.forward(n.dx)), n.k)


LINEAR = [
    trace(lambda x0, w0: {"words": w0.lookup(x0, 2)}, x0=Bits(4), w0=Words(16, 5)),
    trace(lambda x0, w0: {"words": w0.lookup(x0, 2).mask(x0).sum(2)}, x0=Bits(4), w0=Words(16, 3)),
    trace(lambda x0, w0: {"words": (w0 + w0.gather([2, 2, 0]) + w0).mask(x0)}, x0=Bits(3), w0=Words(3, 64)),
    trace(lambda x0, w0: {"words": w0.scatter([1, 1, 1], 2) + w0[1:]}, x0=Bits(3), w0=Words(3, 1)),
    trace(lambda x0, w0: {"words": w0.concat(w0, w0[0], w0.zeros(2)).sum(3)}, x0=Bits(3), w0=Words(3, 4)),
]


@pytest.mark.parametrize("f", LINEAR, ids=range(len(LINEAR)))
def test_a_linear_map_is_its_own_derivative_exactly(f: Circuit) -> None:
    """f(x + dx) - f(x) = D f dx for changes of any size, and R is the transpose of the matrix of f on unit vectors."""
    n = Numeric(f)
    change = n([x + dx for x, dx in zip(n.x, n.dx, strict=True)]) - n(n.x)
    assert n.modulo(n.forward(n.dx), n.k) == n.modulo(change, n.k)
    count = n.x[0].shape[-1]
    columns = [n([np.broadcast_to(np.eye(count, dtype=np.uint64)[i], n.x[0].shape)]) for i in range(count)]
    transposed = np.stack([inner(n.dy, column) for column in columns], axis=-1)
    assert n.modulo(n.reverse(n.dy)[0], n.k) == n.modulo(transposed, n.k)


@settings(max_examples=50)
@given(word_circuits())
def test_the_rules_are_those_of_the_expansions_to_every_order(f: Circuit) -> None:
    g = expand(f)
    names = [name for name in f.input_names if name.startswith("w")]
    for derivative in (lambda c: reverse(c, names), lambda c: forward_derivative(c, names)):
        inputs = random_inputs(derivative(f), 32)
        np.testing.assert_array_equal(evaluate(derivative(f), inputs), evaluate(derivative(g), inputs))
    twice = [reverse(reverse(c, names), names) for c in (f, g)]
    inputs = random_inputs(twice[0], 32)
    np.testing.assert_array_equal(*(evaluate(c, inputs) for c in twice))


def test_a_surrogate_may_lead_from_bits_to_words() -> None:
    f = trace(lambda x: x.as_words(2), x=Bits(2))
    r = trace(lambda x, dy: dy.as_bits(), x=Bits(2), dy=Words(1, 2))
    block = trace(custom_reverse(f, r, name="cast", exact=False), x=Bits(2))
    assert run(reverse(block), [1, 0], [0, 1])[0].tolist() == [0, 1]
    assert not is_safe(block)


# -- where there is no derivative --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("f", "wire", "name"),
    [
        (trace(lambda t, x: t.lookup(x), t=Words(4, 3), x=Bits(2)), "%2 = lookup_words", "x"),
        (trace(lambda t, x: t.mask(~x), t=Words(4, 3), x=Bits(4)), "%3 = mask_words", "x"),
        (trace(lambda t, x: t + x.as_words(3), t=Words(1, 3), x=Bits(3)), "%2 = to_words", "x"),
        (trace(lambda t, x: t.as_bits() ^ x, t=Words(1, 3), x=Bits(3)), "%2 = to_bits", "t"),
    ],
)
@pytest.mark.parametrize("derivative", [reverse, forward_derivative])
def test_there_is_no_derivative_from_one_ring_to_another(derivative, f: Circuit, wire: str, name: str) -> None:
    other = "t" if name == "x" else "x"
    derivative(f, wrt=[other])
    if derivative is forward_derivative:  # of the expansion, in which wires have other numbers
        wire = r"%\d+ = \w+"
    message = (
        rf"^wire {wire} is computed from input '{name}' and leads from one ring to another, where there is no "
        rf"derivative; leave '{name}' out of wrt, or declare one with custom_reverse$"
    )
    with pytest.raises(UserError, match=message):
        derivative(f)
    with pytest.raises(UserError, match=message):
        derivative(f, wrt=[name])


@pytest.mark.parametrize("claim", [boolean_difference, difference, custom])
def test_what_is_of_bits_alone_is_refused(claim) -> None:
    f = trace(lambda a, b: a + b, a=Words(2, 3), b=Words(2, 3))
    with pytest.raises(UserError, match=r"Words\(2, 3\)"):
        claim(f)


def test_that_two_circuits_of_words_agree_can_be_claimed() -> None:
    f, g, h = (
        trace(sum_, a=Words(2, 3), b=Words(2, 3))
        for sum_ in (lambda a, b: (a + b).as_bits(), lambda a, b: (b + a).as_bits(), lambda a, b: (b + a + a).as_bits())
    )
    f, g, h = (trace(lambda a, b, c=c: c(a, b).as_words(3), a=Words(2, 3), b=Words(2, 3)) for c in (f, g, h))
    inputs = random_inputs(f, 200)
    assert not evaluate(equal(f, g).miter, inputs).any()
    assert evaluate(equal(f, h).miter, inputs).any()


def test_nothing_with_words_is_called_safe() -> None:
    assert not is_safe(trace(lambda a: a, a=Words(1, 1)))
    assert not is_safe(trace(lambda x: (x.as_words(2) + x.as_words(2)).as_bits(), x=Bits(4)))


# -- types -------------------------------------------------------------------------------------------------------------


def test_a_type_prints_and_is_read_back() -> None:
    assert str(Words(36, 8)) == "Words(36, 8)"
    assert parse_type(" Words(36, 8)") == Words(36, 8)
    assert Words(3, 4) != Bits(12)
    assert (Words(3, 4).width, Words(3, 4).ring.name, Words(3, 4).ring.attributes) == (12, "Z2^4", (4,))


@pytest.mark.parametrize(
    ("count", "bits", "message"),
    [
        (1, 0, "words of 0 bits are invalid; expected a whole number from 1 to 64"),
        (1, 65, "words of 65 bits are invalid"),
        (1, 4.0, "words of 4.0 bits are invalid"),
        (0, 4, "0 words of 4 bits are invalid; expected a whole number from 1 to 16777216"),
        (MAX_WIDTH, 2, "67108864 words of 2 bits are invalid; expected a whole number from 1 to 33554432"),
    ],
)
def test_words_that_cannot_be(count: Any, bits: Any, message: str) -> None:
    with pytest.raises(UserError, match=f"^{message}"):
        Words(count, bits)


@pytest.mark.parametrize("text", ["Words(3,4)", "Words(3)", "Words(3, 4", "words(3, 4)", "Words(-1, 4)"])
def test_a_type_that_is_none(text: str) -> None:
    with pytest.raises(
        UserError, match=r"is unknown; expected one like Bits\(8\), Words\(3, 8\), Switches\(5, 8\) or "
    ):
        parse_type(text)


@settings(max_examples=50)
@given(mixed_circuits())
def test_circuits_of_words_are_read_back(f: Circuit) -> None:
    assert Circuit.parse(str(f)) == f
    assert Circuit.from_json(f.to_json()) == f


W, V, B = Words(2, 3), Words(2, 4), Bits(6)
OPERATIONS: list[tuple[Callable[..., Wire], tuple[Type, ...], str]] = [
    (
        lambda a, b: a ^ b,
        (W, W),
        "xor: operands of types Words(2, 3), Words(2, 3) were given; expected bits: words have",
    ),
    (lambda a, b: a & b, (W, B), "and: operands of types Words(2, 3), Bits(6) were given; expected bits"),
    (lambda a, b: ~a, (W, W), "not: operands of types Words(2, 3) were given; expected bits"),
    (lambda a, b: a <= b, (W, W), "less_equal: operands of types Words(2, 3), Words(2, 3) were given; expected bits"),
    (lambda a, b: a.popcount(), (W, W), "popcount: operands of types Words(2, 3) were given; expected bits"),
    (
        lambda a, b: a + b,
        (W, V),
        "add_words: operands of types Words(2, 3), Words(2, 4) were given; expected two of the",
    ),
    (
        lambda a, b: a + b,
        (W, B),
        "add_words: operands of types Words(2, 3), Bits(6) were given; expected two of the same",
    ),
    (lambda a, b: a * b, (W, V), "multiply_words: operands of types"),
    (
        lambda a, b: a.concat(a, b),
        (W, V),
        "concat: operands of types Words(2, 3), Words(2, 4) were given; expected all",
    ),
    (
        lambda a, b: a.concat(a, b),
        (W, B),
        "concat: operands of types Words(2, 3), Bits(6) were given; expected all bits",
    ),
    (
        lambda a, b: a.mask(b),
        (W, B),
        "mask_words: operands of types Words(2, 3), Bits(6) were given; expected words, and",
    ),
    (lambda a, b: a.gather([2]), (W, B), "gather_words: word 2 was asked for; expected one from 0 to 1"),
    (lambda a, b: a.scatter([0], 3), (W, B), "scatter_words: 1 indices were given for operands of types Words(2, 3)"),
    (lambda a, b: a.scatter([0, 3], 3), (W, B), "scatter_words: word 3 was asked for; expected one from 0 to 2"),
    (lambda a, b: a.lookup(b), (W, B), "lookup_words: 1 tables of 2 words in all were given for addresses of 6 bits;"),
    (
        lambda a, b: a.lookup(b, 4),
        (W, B),
        "lookup_words: 6 address bits were given for 4 tables; expected the same number",
    ),
    (lambda a, b: a.lookup(b), (W, W), "lookup_words: operands of types Words(2, 3), Words(2, 3) were given; expected"),
    (lambda a, b: b.as_words(4), (W, B), "to_words: 6 bits cannot be cut into words of 4; expected a divisor"),
    (lambda a, b: a.as_words(3), (W, B), "to_words: operands of types Words(2, 3) were given; expected bits"),
    (
        lambda a, b: b.builder.apply("to_bits", b),
        (W, B),
        "to_bits: operands of types Bits(6) were given; expected one of",
    ),
    (
        lambda a, b: a.builder.apply("add_words", a, a, attributes=(4,)),
        (W, B),
        "add_words: an operand of type Words(2, 3)",
    ),
]


@pytest.mark.parametrize(("operation", "types", "message"), OPERATIONS, ids=[m[:40] for _, _, m in OPERATIONS])
def test_a_misuse_is_said(operation: Callable[..., Wire], types: tuple[Type, ...], message: str) -> None:
    with pytest.raises(UserError) as told:
        trace(operation, a=types[0], b=types[1])
    assert message in str(told.value)


def test_sums_of_unequal_parts_are_refused() -> None:
    with pytest.raises(UserError, match="^3 words cannot be cut into 2 equal parts to sum; choose a divisor$"):
        trace(lambda a: a.sum(2), a=Words(3, 2))


def test_wires_of_words_are_vectors_of_words() -> None:
    f = trace(lambda a: [a[1], a[-2:], a[::-1], a[:]], a=Words(3, 2))
    assert f.output_types == (Words(1, 2), Words(2, 2), Words(3, 2), Words(3, 2))
    a = from_numbers(np.array([1, 2, 3], np.uint64), 2)
    assert [to_numbers(y, 2).tolist() for y in run(f, a)] == [[2], [2, 3], [3, 2, 1], [1, 2, 3]]
    with pytest.raises(IndexError):
        trace(lambda a: a[3], a=Words(3, 2))


def test_constants_of_words() -> None:
    f = bind(trace(lambda a, b: a + b, a=Words(2, 3), b=Words(2, 3)), a=[1, 0, 0, 1, 1, 1])
    assert to_numbers(run(f, np.array([1, 1, 0, 1, 0, 0], np.uint8))[0], 3).tolist() == [4, 0]
    assert reverse(trace(lambda a, b: a, a=Words(2, 3), b=Words(2, 3))).output_types == (Words(2, 3), Words(2, 3))


def test_combinators_of_words() -> None:
    w = Words(2, 3)
    square = copy(w) >> multiply(w)
    assert square == trace(lambda x: x * x, x=w)
    assert copy(w) >> add(w) == trace(lambda x: x + x, x=w)
    assert reverse(copy(w)) == trace(lambda x, dy0, dy1: {"dx": dy0 + dy1}, x=w, dy0=w, dy1=w)
    assert (identity(w) @ discard(4) @ identity(4) >> swap(w, 4)).output_types == (Bits(4), w)
    assert run(zero(w))[0].tolist() == [0] * 6


def test_a_drawing_says_how_many_words_of_how_many_bits() -> None:
    text = to_dot(trace(lambda t, x: t.lookup(x), t=Words(12, 5), x=Bits(2)))
    assert 'label="12×5"' in text
    assert 'label="3×5"' in text
    assert 'label="2"' in text


def test_every_row_of_words_but_the_casts_has_another_form() -> None:
    for name, each in itertools.groupby(WORDS):
        assert list(each) == [name]
        assert (PRIMITIVES[name].lowering is None) == (name in ("to_words", "to_bits", "to_switches"))
