"""Switches: each signed reverse rule against the truth table of its gate, and whole circuits against their polynomials.

The oracle knows no rule: a function of switches is the multilinear polynomial through its truth table, and its
derivative by a switch is the value with the switch on minus the value with it off.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from golden_files import golden
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import evaluate, every, split
from strategies import circuits

from rdahw import (
    Bits,
    Circuit,
    UserError,
    boolean_difference,
    custom_reverse,
    expand,
    forward_derivative,
    forward_request,
    mux,
    reverse,
    trace,
)
from rdahw.claims import adjoint, difference
from rdahw.draw import to_dot
from rdahw.hdl.proof import prove
from rdahw.primitives import PRIMITIVES
from rdahw.ranges import word_range
from rdahw.sim.reference import run
from rdahw.tracing import Builder, SwitchWire, Wire, WordWire
from rdahw.types import Switches, Words, parse_type

#: The bits of cotangents in these tests; what they compare are numbers modulo 2^K.
K = 6

#: The primitives that take switches.
SIGNED = tuple(name for name, row in PRIMITIVES.items() if row.signed is not None)

#: For each of them: the widths of its operands and its attributes, in several shapes.
SHAPES: Mapping[str, Sequence[tuple[tuple[int, ...], tuple[Any, ...]]]] = {
    "xor": [((1, 1), ()), ((3, 3), ())],
    "and": [((1, 1), ()), ((3, 3), ())],
    "concat": [((3,), ()), ((1, 2), ()), ((2, 1, 3), ())],
    "slice": [((1,), (0, 1)), ((5,), (0, 2)), ((5,), (1, 4)), ((5,), (3, 5))],
    "repeat": [((1,), (1,)), ((1,), (4,)), ((3,), (2,))],
    "sum": [((4,), (4,)), ((6,), (2,)), ((6,), (3,)), ((3,), (1,))],
    "gather": [((3,), ((2,),)), ((4,), ((3, 0, 0, 1, 3),))],
    "scatter": [((1,), ((2,), 3)), ((4,), ((1, 0, 1, 4), 6)), ((5,), ((1, 1, 1, 0, 1), 2))],
    "not": [((1,), ()), ((4,), ())],
    "or": [((1, 1), ()), ((3, 3), ())],
    "mux": [((1, 1, 1), ()), ((1, 3, 3), ())],
    "decode": [((1,), ()), ((2,), ()), ((3,), ())],
    "lookup": [((2, 1), ()), ((4, 1), ()), ((4, 2), ()), ((8, 2), ()), ((8, 3), ())],
}
CASES = [
    pytest.param(name, widths, attributes, id=f"{name}-{'x'.join(map(str, widths))}-{i}")
    for name, shapes in SHAPES.items()
    for i, (widths, attributes) in enumerate(shapes)
]


def on_switches(f: Circuit, bits: int = K) -> Circuit:
    """The circuit of bits ``f`` with switches in their place."""
    builder = Builder()
    wires = [builder.input(name, Switches(type_.width, bits)) for name, type_ in f.inputs]
    for primitive, operands, attributes in f.assignments:
        wire = builder.apply(primitive, *(wires[i] for i in operands), attributes=attributes)
        wires.append(wire.as_switches(bits) if primitive == "const" else wire)
    return builder.finish({name: wires[i] for name, i in f.outputs})


def of_bits(name: str, widths: Sequence[int], attributes: Sequence[Any]) -> Circuit:
    """The circuit of one gate."""
    types = {f"x{i}": Bits(width) for i, width in enumerate(widths)}
    return trace(lambda *wires: wires[0].builder.apply(name, *wires, attributes=attributes), **types)


def single(name: str, widths: Sequence[int], attributes: Sequence[Any]) -> Circuit:
    """The circuit of one gate on switches."""
    return on_switches(of_bits(name, widths, attributes))


def jacobian(f: Circuit) -> tuple[np.ndarray, np.ndarray]:
    """All inputs (N, A) of a circuit of bits, and at each the derivatives (N, A, B) of its polynomial, -1, 0 or 1."""
    width = sum(t.width for t in f.input_types)
    x = every(width)
    columns = []
    for i in range(width):
        on, off = x.copy(), x.copy()
        on[:, i], off[:, i] = 1, 0
        columns.append(evaluate(f, on).astype(int) - evaluate(f, off))
    return x, np.stack(columns, axis=1)


def words(numbers: np.ndarray, bits: int = K) -> np.ndarray:
    """Whole numbers (…, n) as the bits (…, n * bits) of words, modulo 2^bits."""
    each = np.asarray(numbers, np.int64)[..., None] >> np.arange(bits, dtype=np.int64) & 1
    return each.astype(np.uint8).reshape(*each.shape[:-2], -1)


def pulled_back(f: Circuit, x: np.ndarray, dy: np.ndarray) -> np.ndarray:
    """The reverse derivative (N, A * K) of a circuit of switches."""
    return evaluate(reverse(f), np.concatenate([x, words(dy)], axis=1))


def test_every_signed_rule_is_exhausted_here() -> None:
    assert set(SHAPES) == set(SIGNED)


@pytest.mark.parametrize(("name", "widths", "attributes"), CASES)
def test_a_signed_rule_is_the_derivative_of_the_polynomial(name: str, widths: Sequence[int], attributes: Any) -> None:
    f, g = of_bits(name, widths, attributes), single(name, widths, attributes)
    x, matrix = jacobian(f)
    assert g.output_types[0] == Switches(f.output_types[0].width, K)
    np.testing.assert_array_equal(evaluate(g, x), evaluate(f, x))
    random = np.random.default_rng(0)
    for dy in (random.integers(-32, 32, (len(x), matrix.shape[2])), np.ones((len(x), matrix.shape[2]), int)):
        expected = np.einsum("nab,nb->na", matrix, dy)
        np.testing.assert_array_equal(pulled_back(g, x, dy), words(expected))
    forward = forward_derivative(g)
    dx = random.integers(-32, 32, x.shape)
    changes = np.einsum("nab,na->nb", matrix, dx)
    np.testing.assert_array_equal(evaluate(forward, np.concatenate([x, words(dx)], axis=1)), words(changes))


def test_golden_signed_lookup() -> None:
    recorded = json.loads(golden("signed-lookup-rule.json").read_text())
    sets = {key: rows for key, rows in recorded.items() if isinstance(rows, list)}
    assert sets
    for rows in sets.values():
        # A row, flat: table and address, dy, y, and the cotangents of table and address.
        flat = np.array([np.concatenate([np.atleast_1d(part) for part in row]) for row in rows])
        width = flat.shape[1] // 2 - 1
        address = next(k for k in range(1, 9) if (1 << k) + k == width)
        f = trace(lambda t, x: t.lookup(x), t=Switches(1 << address, K), x=Switches(address, K))
        at, dy, y, cotangents = np.split(flat, [width, width + 1, width + 2], axis=1)
        at = at.astype(np.uint8)
        np.testing.assert_array_equal(evaluate(f, at), y)
        np.testing.assert_array_equal(pulled_back(f, at, dy), words(cotangents))


class Dual:
    """a + b·ε of whole numbers, with ε² = 0: the value and the derivative of a polynomial."""

    def __init__(self, value: int, change: int = 0) -> None:
        self.value, self.change = value, change

    def __add__(self, other: Dual) -> Dual:
        return Dual(self.value + other.value, self.change + other.change)

    def __mul__(self, other: Dual) -> Dual:
        return Dual(self.value * other.value, self.value * other.change + self.change * other.value)


def polynomial(f: Circuit, x: list[Dual]) -> list[Dual]:
    """The multilinear polynomials through the truth table of the circuit of bits ``f``, at ``x``."""
    points = every(len(x))
    values = evaluate(f, points)
    results = [Dual(0) for _ in range(values.shape[1])]
    for point, value in zip(points, values, strict=True):
        weight = Dual(1)
        for bit, at in zip(point, x, strict=True):
            weight *= at if bit else Dual(1 - at.value, -at.change)
        results = [total + weight if bit else total for total, bit in zip(results, value, strict=True)]
    return results


@settings(max_examples=30)
@given(circuits([*SIGNED, "const"], inputs=[2, 1], gates=5), st.integers(0, 7), st.integers(0, 2))
def test_the_derivative_of_a_circuit_is_that_of_the_composed_polynomials(f: Circuit, point: int, by: int) -> None:
    wires = [[Dual(point >> 0 & 1), Dual(point >> 1 & 1)], [Dual(point >> 2 & 1)]]
    wires[by // 2][by % 2].change = 1
    for wire, (primitive, operands, attributes) in f.wires():
        if primitive == "const":
            wires.append([Dual(attributes[0] >> i & 1) for i in range(f.types[wire].width)])
            continue
        gate = trace(
            lambda *given, p=primitive, a=attributes: given[0].builder.apply(p, *given, attributes=a),
            **{f"x{k}": f.types[i] for k, i in enumerate(operands)},
        )
        if (width := sum(f.types[i].width for i in operands)) > 10:
            return
        flat = [digit for i in operands for digit in wires[i]]
        assert len(flat) == width
        wires.append(polynomial(gate, flat))
    x = np.array([[point & 1, point >> 1 & 1, point >> 2 & 1]], np.uint8)
    expected = np.array([[digit.change for _, i in f.outputs for digit in wires[i]]])
    g = on_switches(f, K)
    dx = words(np.eye(3, dtype=int)[by][None])
    np.testing.assert_array_equal(evaluate(forward_derivative(g), np.concatenate([x, dx], axis=1)), words(expected))
    for j in range(expected.shape[1]):
        dy = np.eye(expected.shape[1], dtype=int)[j][None]
        assert pulled_back(g, x, dy)[0, by * K : (by + 1) * K].tolist() == words(expected[:, j : j + 1])[0].tolist()


@settings(max_examples=30)
@given(st.data())
def test_the_chain_rule(data: st.DataObject) -> None:
    f = on_switches(data.draw(circuits([*SIGNED, "const"], inputs=[2, 2], outputs=[3], gates=4)))
    g = on_switches(data.draw(circuits([*SIGNED, "const"], inputs=[3], outputs=[2], gates=4)))
    random = np.random.default_rng(0)
    x, dy = every(4), random.integers(-32, 32, (16, 2))
    (_, middle) = evaluate(f, x), pulled_back(g, evaluate(f, x), dy)
    expected = evaluate(reverse(f), np.concatenate([x, middle], axis=1))
    np.testing.assert_array_equal(pulled_back(f >> g, x, dy), expected)


def test_fan_out_adds_cotangents_as_numbers() -> None:
    f = trace(lambda a: a.repeat(3), a=Switches(1, K))
    assert reverse(f).output_types == (Words(1, K),)
    np.testing.assert_array_equal(pulled_back(f, every(1), np.array([[1, 1, 1], [5, -2, -4]])), words([[3], [-1]]))


def along(x: np.ndarray, signs: np.ndarray, dy: np.ndarray, f: Circuit) -> np.ndarray:
    """The requests (N, D, A) of a circuit of switches along directions ``signs`` (D, A), as whole numbers."""
    rows, count = len(x), len(signs)
    given = [np.repeat(x, count, axis=0), np.tile(signs, (rows, 1)), np.repeat(words(dy), count, axis=0)]
    found = evaluate(forward_request(f), np.concatenate(given, axis=1))
    return Words(x.shape[1], K).to_integers(found).reshape(rows, count, -1)


@settings(max_examples=15)
@given(circuits([*SIGNED, "const"], inputs=[2, 1, 1], gates=5))
def test_forward_requests_are_unbiased_over_all_directions(f: Circuit) -> None:
    g, x, signs = on_switches(f), every(4), every(4)
    outputs = sum(t.width for t in f.output_types)
    if not outputs:
        return
    dy = np.random.default_rng(0).integers(-2, 3, (len(x), outputs))
    total = along(x, signs, dy, g).sum(axis=1)
    expected = Words(4, K).to_integers(pulled_back(g, x, dy))
    np.testing.assert_array_equal((total - 16 * expected) % (1 << K), 0)


def test_one_forward_request_is_the_projection_on_its_direction() -> None:
    f = trace(lambda t, x: t.lookup(x), t=Switches(4, K), x=Switches(2, K))
    x, signs = every(6), every(6)
    dy = np.full((len(x), 1), 3)
    gradient, v = Words(6, K).to_integers(pulled_back(f, x, dy)), 2 * signs.astype(int) - 1
    expected = (gradient @ v.T)[:, :, None] * v
    np.testing.assert_array_equal(along(x, signs, dy, f), expected)
    # Here the mean is exact, and not modulo a power of two only.
    np.testing.assert_array_equal(expected.mean(axis=1), gradient)


def test_forward_requests_of_words() -> None:
    f = trace(lambda a, b, c: (a * b + b).mask(c), a=Words(2, 8), b=Words(2, 8), c=Bits(2))
    request = forward_request(f, wrt=["a", "b"])
    assert request.input_names == ("a", "b", "c", "va", "vb", "dy")
    random, w = np.random.default_rng(0), Words(2, 8)
    a, b, dy = (w.to_bits(random.integers(-3, 4, (50, 2))) for _ in range(3))
    c, total = random.integers(0, 2, (50, 2), np.uint8), np.zeros((2, 50, 2), int)
    for signs in every(4):
        found = run(request, a, b, c, np.tile(signs[:2], (50, 1)), np.tile(signs[2:], (50, 1)), dy)
        total += [w.to_integers(part) for part in found]
    expected = [w.to_integers(part) for part in run(reverse(f, wrt=["a", "b"]), a, b, c, dy)]
    np.testing.assert_array_equal((total - 16 * np.array(expected)) % 256, 0)


@pytest.mark.parametrize(
    ("f", "wrt"),
    [
        (trace(lambda a: a & a, a=Bits(2)), None),
        (trace(lambda a: a.embed(), a=Switches(2, 3)) @ trace(lambda a: a.embed(), a=Switches(2, 4)), None),
        (trace(lambda a, c: a.mask(c), a=Words(2, 3), c=Bits(2)), ["a", "c"]),
    ],
)
def test_forward_requests_need_words_of_one_size(f: Circuit, wrt: Any) -> None:
    with pytest.raises(UserError, match="a forward request is over words of one size, and the cotangents here are"):
        forward_request(f, wrt)


def test_over_bits_a_direction_says_nothing_about_a_parameter() -> None:
    """Of the directions v with <g, v> = 1, half have v_i = 1, for every i, once g has two ones; and so of those with 0.
    With one 1 in g, at j, v_j says all, and the others nothing."""
    for n in range(2, 7):
        v = every(n)
        for g in v[1:]:
            answered = v[(v @ g) % 2 == 1]
            assert len(answered) == 1 << n - 1
            counts = answered.sum(axis=0)
            expected = np.full(n, 1 << n - 2)
            if g.sum() == 1:
                expected[g.argmax()] = 1 << n - 1
            np.testing.assert_array_equal(counts, expected)


def test_a_request_can_say_keep_where_a_difference_says_only_flip() -> None:
    # A cell that is right gets the sign that keeps it; over Z2 both requests are 1.
    f = trace(lambda t, x: t.lookup(x), t=Switches(2, K), x=Switches(1, K))
    t = np.array([[1, 0, 0], [0, 1, 0]], np.uint8)
    np.testing.assert_array_equal(pulled_back(f, t, np.array([[1], [-1]]))[:, :K], words([[1], [-1]]))


def test_embedded_switches_are_counted() -> None:
    f = trace(lambda a: a.embed().sum(5), a=Switches(5, K))
    x = every(5)
    np.testing.assert_array_equal(evaluate(f, x), words(x.sum(axis=1, keepdims=True)))
    dy = np.arange(-16, 16)[:, None]
    np.testing.assert_array_equal(pulled_back(f, x, dy), words(np.repeat(dy, 5, axis=1)))
    r = reverse(f)
    assert word_range(r, "dy", (-1, 1)) == (-1, 1)


@pytest.mark.parametrize("type_", [Switches(3, 1), Switches(2, 4)])
def test_cotangents_of_embedded_switches_pass(type_: Switches) -> None:
    r = reverse(trace(lambda a: a.embed(), a=type_))
    inputs = every(sum(t.width for t in r.input_types))
    np.testing.assert_array_equal(evaluate(r, inputs), inputs[:, type_.width :])


def test_ranges_of_cotangents_add_where_a_switch_is_read_twice() -> None:
    f = trace(lambda t, x: t.lookup(x) ^ x[0], t=Switches(4, K), x=Switches(2, K))
    assert word_range(reverse(f), "dy", (-1, 1)) == (-2, 2)
    assert word_range(reverse(trace(lambda a: ~a, a=Switches(1, K))), "dy", (-3, 1)) == (-3, 3)


@pytest.mark.parametrize("width", [1, 3])
def test_a_block_of_switches_has_words_as_cotangents(width: int) -> None:
    s, w = Switches(width, K), Words(width, K)
    f = trace(lambda a: ~~a, a=s)
    r = trace(lambda a, dy: dy + dy, a=s, dy=w)
    block = custom_reverse(f, r, name="twice", exact=False)
    g = trace(lambda a: block(a) ^ a, a=s)
    x = every(width)
    expected = (2 * (1 - 2 * x.astype(int))) + (1 - 2 * x.astype(int))
    np.testing.assert_array_equal(pulled_back(g, x, np.ones_like(expected)), words(expected))
    changes = evaluate(forward_derivative(g), np.concatenate([x, words(np.ones_like(expected))], axis=1))
    np.testing.assert_array_equal(changes, words(expected))
    with pytest.raises(UserError, match="expected .*: the operands and dy to one cotangent per operand"):
        custom_reverse(f, trace(lambda a, dy: dy, a=s, dy=s), name="wrong", exact=False)


def test_switches_keep_their_polynomials_in_an_expansion() -> None:
    f = trace(lambda a, b: mux(a[0], a | b, ~b), a=Switches(2, K), b=Switches(2, K))
    assert expand(f) == f
    bits = expand(trace(lambda a, b: mux(a[0], a | b, ~b), a=Bits(2), b=Bits(2)))
    different = [pulled_back(g, every(4), np.ones((16, 2), int)) for g in (f, on_switches(bits))]
    assert (different[0] != different[1]).any()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mux", "lookup", "sum", "scatter", "decode", "or"])
def test_the_adjoint_is_proved(name: str, tmp_path: Any) -> None:
    widths, attributes = SHAPES[name][-1] if name != "lookup" else SHAPES[name][2]
    (proof,) = prove([adjoint(on_switches(of_bits(name, widths, attributes), 3))], replay=run, cache=tmp_path, jobs=1)
    assert proof.verdict == "proved"


# -- types and wires ---------------------------------------------------------------------------------------------------


def test_the_type_names_its_cotangents() -> None:
    type_ = Switches(5, 8)
    assert (type_.width, type_.tangent, type_.of(2)) == (5, Words(5, 8), Switches(2, 8))
    assert [t.tangent for t in (Bits(3), Words(2, 4))] == [Bits(3), Words(2, 4)]
    assert [str(t.of(7)) for t in (Bits(3), Words(2, 4), type_)] == ["Bits(7)", "Words(7, 4)", "Switches(7, 8)"]
    assert parse_type(str(type_)) == type_


def test_circuits_of_switches_are_read_back_and_drawn() -> None:
    f = single("lookup", (4, 2), ())
    for circuit in (f, reverse(f), forward_derivative(f)):
        assert Circuit.parse(str(circuit)) == circuit
        assert Circuit.from_json(circuit.to_json()) == circuit
    assert 'label="4×6"' in to_dot(f)


def test_wires_of_switches() -> None:
    kinds: list[type[Wire]] = []

    def keep(a: SwitchWire, b: Wire) -> list[Wire]:
        made = [a ^ 1, a.zeros(2), a.embed(), a.as_bits(), b.as_switches(K), a[0], a.gather([0, 0])]
        kinds.extend(type(wire) for wire in made)
        return made

    f = trace(keep, a=Switches(2, K), b=Bits(2))
    assert kinds == [SwitchWire, SwitchWire, WordWire, Wire, SwitchWire, SwitchWire, SwitchWire]
    np.testing.assert_array_equal(run(f, np.array([1, 0]), np.array([0, 1]))[0], [0, 0])


MISUSES = [
    (lambda a, b: a ^ b, Bits(2), "operands of types Switches(2, 6), Bits(2) were given; expected all switches, with"),
    (lambda a, b: a & b, Switches(2, 7), "operands of types Switches(2, 6), Switches(2, 7) were given; expected all"),
    (lambda a, b: a <= b, Switches(2, 6), "were given; expected bits: words have + and *, and as_bits() casts"),
    (lambda a, b: a.popcount(), Bits(1), "operands of types Switches(2, 6) were given; expected bits"),
    (
        lambda a, b: b.builder.apply("embed_switches", b, attributes=(6,)),
        Bits(1),
        "expected one of switches with cotan",
    ),
    (lambda a, b: b.builder.apply("embed_switches", a, attributes=(5,)), Bits(1), "with cotangents of 5 bits"),
    (lambda a, b: b.as_switches(65), Bits(1), "words of 65 bits are invalid; expected a whole number from 1 to 64"),
]


@pytest.mark.parametrize(("operation", "other", "message"), MISUSES, ids=[m[:40] for *_, m in MISUSES])
def test_a_misuse_is_said(operation: Any, other: Any, message: str) -> None:
    with pytest.raises(UserError) as told:
        trace(operation, a=Switches(2, 6), b=other)
    assert message in str(told.value)


def test_there_is_no_derivative_through_the_casts_and_no_boolean_difference() -> None:
    f = trace(lambda a: a.as_bits().as_switches(K), a=Switches(2, K))
    with pytest.raises(UserError, match="is computed from input 'a' and leads from one ring to another"):
        reverse(f)
    for refused in (boolean_difference, difference):
        with pytest.raises(UserError, match=r"type Switches\(2, 6\)"):
            refused(trace(lambda a: ~a, a=Switches(2, K)))


def test_values_are_bits_in_all_engines() -> None:
    # What the back ends see are the bits: split() cuts the inputs by the widths of values.
    f = single("mux", (1, 2, 2), ())
    assert [wire.shape[-1] for wire in split(every(5), [t.width for t in f.input_types])] == [1, 2, 2]
