"""Each row of the table of primitives of bits, exhausted at small widths against what does not know the table, and the
tables of the back ends. The rows of words are in ``test_words.py``.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from oracles import (
    assert_is_boolean_difference,
    assert_same_function,
    bits,
    evaluate,
    every,
    number,
    split,
)
from strategies import ALL, SCALARS, WORDS

from rdahw import (
    Bits,
    Circuit,
    UserError,
    boolean_difference,
    custom_reverse,
    expand,
    forward_derivative,
    reverse,
    trace,
)
from rdahw.circuit import Block
from rdahw.primitives import CORE, LOWERED, PRIMITIVES
from rdahw.sim import reference
from rdahw.step_primitives import STEP_ROWS
from rdahw.tracing import Wire


def _block(exact: bool = True) -> Block:
    """x, y : 2, 1 → 2, with squares inside, so that the declared reverse is not the formal one."""
    f = trace(lambda x, y: (x & x) ^ (y & y).repeat(2), x=Bits(2), y=Bits(1))
    wires: list[Wire] = []

    def keep(x: Wire, y: Wire) -> Wire:
        wires.append(custom_reverse(f, boolean_difference(f), name="squares", exact=exact)(x, y))
        return wires[0]

    made: Block = trace(keep, x=Bits(2), y=Bits(1)).assignments[0].attributes[0]
    return made


#: For each primitive: the widths of its operands and its attributes, in several shapes.
SHAPES: Mapping[str, Sequence[tuple[tuple[int, ...], tuple[Any, ...]]]] = {
    "xor": [((1, 1), ()), ((3, 3), ())],
    "and": [((1, 1), ()), ((3, 3), ())],
    "const": [((), (0, 1)), ((), (1, 1)), ((), (0b100110101, 9)), ((), (5, 3))],
    "concat": [((3,), ()), ((1, 2), ()), ((2, 1, 3), ())],
    "slice": [((1,), (0, 1)), ((5,), (0, 2)), ((5,), (1, 4)), ((5,), (3, 5)), ((4,), (0, 4))],
    "repeat": [((1,), (1,)), ((1,), (4,)), ((3,), (2,)), ((2,), (3,))],
    "sum": [((4,), (4,)), ((6,), (2,)), ((6,), (3,)), ((3,), (1,))],
    "gather": [((3,), ((2,),)), ((4,), ((3, 0, 0, 1, 3),)), ((4,), ((1, 2, 3, 0),))],
    "scatter": [((1,), ((2,), 3)), ((4,), ((1, 0, 1, 4), 6)), ((3,), ((2, 0, 1), 3))],
    "not": [((1,), ()), ((4,), ())],
    "or": [((1, 1), ()), ((3, 3), ())],
    "mux": [((1, 1, 1), ()), ((1, 3, 3), ())],
    "decode": [((1,), ()), ((2,), ()), ((3,), ())],
    "lookup": [((2, 1), ()), ((4, 1), ()), ((4, 2), ()), ((8, 2), ()), ((8, 3), ()), ((12, 2), ())],
    "popcount": [((n,), ()) for n in range(1, 10)],
    "less_equal": [((1, 1), ()), ((2, 2), ()), ((4, 4), ())],
    "plus": [((1, 1), ()), ((2, 2), ()), ((4, 4), ())],
    "custom": [((2, 1), (_block(),))],
}
CASES = [
    pytest.param(name, widths, attributes, id=f"{name}-{'x'.join(map(str, widths))}-{i}")
    for name, shapes in SHAPES.items()
    for i, (widths, attributes) in enumerate(shapes)
]

#: What each primitive means, on lists of bits and with no word of numpy.
PLAIN: Mapping[str, Callable[..., list[int]]] = {
    "xor": lambda a, b: [(p + q) % 2 for p, q in zip(a, b, strict=True)],
    "and": lambda a, b: [p * q for p, q in zip(a, b, strict=True)],
    "const": lambda value, width: [value // 2**i % 2 for i in range(width)],
    "concat": lambda *parts: [bit for part in parts for bit in part],
    "slice": lambda a, start, stop: [a[i] for i in range(start, stop)],
    "repeat": lambda a, times: [bit for _ in range(times) for bit in a],
    "sum": lambda a, times: [sum(a[i :: len(a) // times]) % 2 for i in range(len(a) // times)],
    "gather": lambda a, indices: [a[i] for i in indices],
    "scatter": lambda a, indices, width: [
        sum(bit for bit, at in zip(a, indices, strict=True) if at == i) % 2 for i in range(width)
    ],
    "not": lambda a: [1 - bit for bit in a],
    "or": lambda a, b: [max(p, q) for p, q in zip(a, b, strict=True)],
    "mux": lambda select, a, b: a if select == [1] else b,
    "decode": lambda a: [int(i == number(a)) for i in range(2 ** len(a))],
    "lookup": lambda table, a: [table[j + number(a)] for j in range(0, len(table), 2 ** len(a))],
    "popcount": lambda a: list(bits(sum(a), len(a).bit_length())),
    "less_equal": lambda a, b: [int(number(a) <= number(b))],
    "plus": lambda a, b: list(bits(number(a) + number(b), len(a) + 1)),
    "custom": lambda x, y, block: [(bit + y[0]) % 2 for bit in x],
}

#: The modules that have a table of rows; a new back end is a line here.
TABLES = ["rdahw.sim.reference", "rdahw.sim.netlist", "rdahw.sim.word_program", "rdahw.hdl.circuit"]


def single(name: str, widths: Sequence[int], attributes: Sequence[Any]) -> Circuit:
    """The circuit of one gate; a constant gets an input that it does not read, for the trace to start from."""
    types = {f"x{i}": Bits(width) for i, width in enumerate(widths)} or {"unused": Bits(1)}
    return trace(
        lambda *wires: wires[0].builder.apply(name, *(wires if widths else ()), attributes=attributes), **types
    )


@pytest.mark.parametrize("table", TABLES)
def test_every_primitive_has_a_row_in_the_table(table: str) -> None:
    rows = set(importlib.import_module(table).ROWS)
    assert LOWERED <= rows <= set(PRIMITIVES) - {"custom"}


def test_solvers_have_a_row_for_what_has_no_other_form() -> None:
    rows = importlib.import_module("rdahw.hdl.gates").ROWS
    assert set(rows) == {name for name in CORE if PRIMITIVES[name].lowering is None}


def test_every_row_but_those_of_words_has_to_be_in_every_table() -> None:
    casts = {"to_words", "to_bits", "to_switches", "to_scalars"}
    assert set(PRIMITIVES) - LOWERED == {"custom", *WORDS, *SCALARS} - casts


def test_every_row_is_exhausted_here() -> None:
    assert set(SHAPES) == set(PLAIN) == set(ALL)


def test_rows_are_filed_under_their_names() -> None:
    assert all(row.name == name for name, row in PRIMITIVES.items())


def test_the_core_is_what_the_axioms_speak_of() -> None:
    assert {"xor", "and", "const", "concat", "slice", "repeat", "sum", "gather", "scatter"} == CORE.difference(
        WORDS, SCALARS
    )
    words = {f"{name}_words" for name in ("add", "multiply", "mask", "negate", "gather", "scatter")}
    words |= {"embed_switches"}
    assert words | WITHOUT - {"to_scalars"} == CORE.intersection(WORDS)


#: Those through which there is no derivative.
WITHOUT = {"to_words", "to_bits", "to_switches", "to_scalars"} | {row.name for row in STEP_ROWS}


def test_the_core_has_reverse_rules_and_is_linear_or_a_product() -> None:
    for name in CORE:
        row = PRIMITIVES[name]
        assert row.reverse is not None
        assert row.linear + row.bilinear + (name in WITHOUT or name == "const") == 1, name
    assert {name for name in CORE if PRIMITIVES[name].products} == {"and"}


def test_only_primitives_without_products_or_core_rows_are_linear() -> None:
    assert {name for name, row in PRIMITIVES.items() if row.linear} < CORE


@pytest.mark.parametrize(("name", "widths", "attributes"), CASES)
def test_meaning(name: str, widths: tuple[int, ...], attributes: tuple[Any, ...]) -> None:
    circuit = single(name, widths, attributes)
    inputs = every(sum(t.width for t in circuit.input_types))
    results = evaluate(circuit, inputs)
    for row, result in zip(inputs, results, strict=True):
        operands = [list(map(int, wire)) for wire in split(row, widths)] if widths else []
        assert list(result) == PLAIN[name](*operands, *attributes)


@pytest.mark.parametrize(("name", "widths", "attributes"), CASES)
def test_reverse_is_the_boolean_difference(name: str, widths: tuple[int, ...], attributes: tuple[Any, ...]) -> None:
    circuit = single(name, widths, attributes)
    assert_is_boolean_difference(reverse(circuit), circuit)
    assert_is_boolean_difference(boolean_difference(circuit), circuit)


@pytest.mark.parametrize(("name", "widths", "attributes"), CASES)
def test_a_primitive_is_its_expansion(name: str, widths: tuple[int, ...], attributes: tuple[Any, ...]) -> None:
    circuit = single(name, widths, attributes)
    expanded = expand(circuit)
    assert {a.primitive for a in expanded.assignments} <= CORE
    assert_same_function(circuit, expanded)
    if name != "custom":  # a block's reverse is its own, not that of what it computes
        assert_same_function(reverse(circuit), reverse(expanded))


@pytest.mark.parametrize(("name", "widths", "attributes"), CASES)
def test_forward_derivative_is_the_transpose(name: str, widths: tuple[int, ...], attributes: tuple[Any, ...]) -> None:
    # Both matrices from unit vectors, at every x: D[f](x, e_i)_j = R[f](x, e_j)_i.
    circuit = single(name, widths, attributes)
    a, b = (sum(t.width for t in types) for types in (circuit.input_types, circuit.output_types))
    forward, backward = forward_derivative(circuit), reverse(circuit)
    x = every(a)

    def columns(derivative: Circuit, unit: int, size: int) -> np.ndarray:
        return evaluate(derivative, np.concatenate([x, np.tile(bits(1 << unit, size), (len(x), 1))], axis=1))

    jacobian = np.stack([columns(forward, i, a) for i in range(a)], axis=1)
    transposed = np.stack([columns(backward, j, b) for j in range(b)], axis=2)
    np.testing.assert_array_equal(jacobian, transposed)


@pytest.mark.parametrize(("name", "widths", "attributes"), CASES)
def test_meanings_broadcast_over_examples(name: str, widths: tuple[int, ...], attributes: tuple[Any, ...]) -> None:
    # A parameter without an axis of examples meets data that have one or two.
    circuit = single(name, widths, attributes)
    random = np.random.default_rng(0)
    shapes = [(), (5,), (4, 1, 5)][: len(widths)] or [()]
    wires = [random.integers(0, 2, (*s, t.width), np.uint8) for s, t in zip(shapes, circuit.input_types, strict=True)]
    (result,) = reference.run(circuit, *wires)
    assert result.dtype == np.uint8
    examples = np.broadcast_shapes(*(w.shape[:-1] for w in wires)) if widths else ()
    assert result.shape == (*examples, circuit.output_types[0].width)
    full = [np.broadcast_to(w, (*examples, w.shape[-1])) for w in wires]
    for at in np.ndindex(*examples):
        np.testing.assert_array_equal(result[at], reference.run(circuit, *(w[at] for w in full))[0])


@pytest.mark.parametrize("n", [63, 64, 65, 130])
def test_wide_words_are_numbers_too(n: int) -> None:
    random = np.random.default_rng(n)
    a, b = random.integers(0, 2, (2, 50, n), np.uint8)
    b[:10] = a[:10]
    b[10:20, : n - 1] = a[10:20, : n - 1]
    total, below, count = (
        reference.run(single(name, widths, ()), *operands)[0]
        for name, widths, operands in [
            ("plus", (n, n), (a, b)),
            ("less_equal", (n, n), (a, b)),
            ("popcount", (n,), (a,)),
        ]
    )
    for i in range(len(a)):
        p, q = number(a[i]), number(b[i])
        assert number(total[i]) == p + q
        assert below[i, 0] == (p <= q)
        assert number(count[i]) == p.bit_count()


# -- wiring, proven with symbols instead of bits -----------------------------------------------------------------------


def symbols(letter: str, n: int) -> np.ndarray:
    return np.array([f"{letter}{i}" for i in range(n)], dtype=object)


@pytest.mark.parametrize(
    ("name", "operands", "attributes", "expected"),
    [
        ("concat", [("a", 2), ("b", 3)], (), "a0 a1 b0 b1 b2"),
        ("slice", [("a", 6)], (2, 5), "a2 a3 a4"),
        ("repeat", [("a", 2)], (3,), "a0 a1 a0 a1 a0 a1"),
        ("gather", [("a", 4)], ((3, 0, 0, 2),), "a3 a0 a0 a2"),
    ],
)
def test_wiring_moves_symbols(name, operands, attributes, expected) -> None:
    result = PRIMITIVES[name].evaluate(*(symbols(*o) for o in operands), *attributes)
    assert " ".join(result) == expected


def test_lookup_and_mux_choose_symbols() -> None:
    table = symbols("t", 12)
    for x in range(4):
        assert PRIMITIVES["lookup"].evaluate(table, bits(x, 2)).tolist() == [f"t{x}", f"t{4 + x}", f"t{8 + x}"]
    chosen = [PRIMITIVES["mux"].evaluate(bits(s, 1), symbols("a", 2), symbols("b", 2)).tolist() for s in (0, 1)]
    assert chosen == [["b0", "b1"], ["a0", "a1"]]


class Symbols(frozenset):
    """A sum of symbols over Z2: the free module, in which equal symbols cancel and 0 is the empty sum."""

    def __xor__(self, other):
        return Symbols(frozenset.__xor__(self, other)) if other != 0 else self

    __rxor__ = __xor__


@pytest.mark.parametrize(
    ("name", "attributes", "expected"),
    [
        ("sum", (3,), ["024", "135"]),
        ("sum", (2,), ["03", "14", "25"]),
        ("scatter", ((4, 0, 4, 1, 1, 1), 5), ["1", "345", "", "", "02"]),
    ],
)
def test_linear_wiring_adds_symbols(name, attributes, expected) -> None:
    operand = np.array([Symbols(str(i)) for i in range(6)], dtype=object)
    result = PRIMITIVES[name].evaluate(operand, *attributes)
    assert ["".join(sorted(total or ())) for total in result] == expected


# -- type laws ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "widths", "attributes", "message"),
    [
        ("xor", (2, 3), (), r"operands of types Bits\(2\), Bits\(3\) were given; expected two of the same type"),
        ("and", (2,), (), r"operands of types Bits\(2\) were given; expected two of the same type"),
        ("or", (1, 1, 1), (), "expected two of the same type"),
        ("plus", (2, 1), (), "expected two of the same type"),
        ("less_equal", (2, 1), (), "expected two of the same type"),
        ("not", (2, 2), (), r"operands of types Bits\(2\), Bits\(2\) were given; expected one"),
        ("const", (), (4, 2), r"the constant 4 does not fit 2 bits; expected 0 to 2\^2 - 1"),
        ("const", (), (-1, 2), "value is -1; expected a whole number, not negative"),
        ("const", (), (True, 2), "value is True; expected a whole number, not negative"),
        ("const", (), (1.0, 2), "value is 1.0; expected a whole number, not negative"),
        ("const", (), (0, 0), "width 0 is invalid; expected a whole number from 1 to 67108864"),
        ("const", (), (0, 10**12), "width is 1000000000000; expected a whole number from 0 to 67108864"),
        ("const", (), (1 << 20000, 8), "the constant a number of thousands of digits does not fit 8 bits"),
        ("const", (), (1,), "1 attributes were given; expected value, width"),
        ("xor", (1, 1), (1,), "1 attributes were given; expected none"),
        ("concat", (), (), "nothing was given to concatenate; expected at least one operand"),
        ("slice", (4,), (2, 2), "bits 2 to 2 of 4 were asked for; expected 0 <= start < stop <= 4"),
        ("slice", (4,), (2, 5), "bits 2 to 5 of 4 were asked for; expected 0 <= start < stop <= 4"),
        ("slice", (4, 4), (0, 1), "expected one"),
        ("repeat", (4,), (0,), "0 copies were asked for; expected at least one"),
        ("repeat", (4,), (10**9,), "times is 1000000000; expected a whole number from 0 to"),
        ("repeat", (4,), (1 << 26,), "width 268435456 is invalid"),
        ("sum", (6,), (4,), "6 bits cannot be cut into 4 equal parts to sum; choose a divisor of 6"),
        ("sum", (6,), (0,), "6 bits cannot be cut into 0 equal parts"),
        ("gather", (4,), ((0, 4),), "bit 4 was asked for; expected one from 0 to 3"),
        ("gather", (4,), ((),), r"indices is \(\); expected a tuple of bit numbers, at least one"),
        ("gather", (4,), ((0, -1),), r"indices is \(0, -1\); expected a tuple of bit numbers"),
        ("scatter", (2,), ((0,), 4), "1 indices were given for 2 bits; expected one per bit"),
        ("scatter", (2,), ((0, 4), 4), "bit 4 was asked for; expected one from 0 to 3"),
        (
            "mux",
            (2, 1, 1),
            (),
            r"Bits\(2\), Bits\(1\), Bits\(1\) were given; expected Bits\(1\) and two of the same type",
        ),
        ("mux", (1, 1, 2), (), "expected two of the same type"),
        ("decode", (27,), (), "an address of 27 bits is too wide to decode; expected at most 26"),
        ("lookup", (6, 2), (), "a table of 6 bits was given for an address of 2; expected a multiple of 4"),
        ("lookup", (4,), (), "expected a table and an address"),
        ("lookup", (4, 100), (), "an address of 100 bits is too wide to decode; expected at most 26"),
        (
            "custom",
            (1, 1),
            (_block(),),
            r"block 'squares' was given types Bits\(1\), Bits\(1\); it takes Bits\(2\), Bits\(1\)",
        ),
        ("custom", (2, 1), (7,), "block is 7; expected a block"),
        ("xnor", (1, 1), (), "there is no primitive 'xnor'; did you mean 'xor'?"),
    ],
)
def test_a_misuse_is_said(name, widths, attributes, message) -> None:
    with pytest.raises(UserError, match=rf"^wire %\d = {name}: .*{message}"):
        single(name, widths, attributes)
