"""Rings and semirings: the rows of scalars in plain numbers, and polynomial circuits beside the recorded ones."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from golden_files import golden
from oracles import evaluate, split
from strategies import SCALARS

from rdahw import Bits, Circuit, UserError, forward_derivative, is_safe, reverse, trace
from rdahw.claims import adjoint
from rdahw.primitives import CORE, LOWERED, PRIMITIVES
from rdahw.semirings import find_semiring
from rdahw.sim.reference import run
from rdahw.surrogates import (
    clip,
    equal_to,
    from_table,
    greater,
    greater_equal,
    maximum,
    minimum,
    number,
    shift_right,
)
from rdahw.tracing import ElementWire, Wire
from rdahw.transform import to_rows
from rdahw.types import Scalars, Switches, Type, Words, parse_type

RINGS = ["Z2", "Z3", "Z4", "Z5", "Z16", "Z256", "Sat1", "Sat3", "Sat6", "Sat7", "Or"]


def plain(name: str) -> tuple[int, Callable[[int], int]]:
    """The number of elements of a semiring, and its element for a whole number of ones added up."""
    kind, size = re.fullmatch(r"(\D+)(\d*)", name).groups()  # type: ignore[union-attr]
    if kind == "Z":
        return int(size), lambda total: total % int(size)
    most = int(size or 1)
    return most + 1, lambda total: min(total, most)


def to_bits(values: Any, type_: Type) -> np.ndarray:
    """Elements (…, n) as the bits of a wire; of words, modulo 2^k."""
    bits = type_.width // type_.count
    each = np.asarray(values, np.int64)[..., None] >> np.arange(bits, dtype=np.int64) & 1
    return each.astype(np.uint8).reshape(*each.shape[:-2], -1)


def to_elements(array: np.ndarray, type_: Type) -> np.ndarray:
    """The inverse of :func:`to_bits`, as numbers from 0."""
    bits = type_.width // type_.count
    each = array.reshape(*array.shape[:-1], type_.count, bits).astype(np.int64)
    return each @ (np.int64(1) << np.arange(bits, dtype=np.int64))


# -- the rows ----------------------------------------------------------------------------------------------------------

#: What each row computes, as whole numbers of ones.
PLAIN: Mapping[str, Callable[..., list[int]]] = {
    "to_scalars": lambda a, _: a,
    "add_scalars": lambda a, b, _: [p + q for p, q in zip(a, b, strict=True)],
    "multiply_scalars": lambda a, b, _: [p * q for p, q in zip(a, b, strict=True)],
    "negate_scalars": lambda a, ring: [(plain(ring)[0] - p) for p in a],
    "scatter_scalars": lambda a, indices, count, _: [
        sum(p for p, at in zip(a, indices, strict=True) if at == place) for place in range(count)
    ],
}


def shapes(ring: str) -> Mapping[str, Sequence[tuple[tuple[Type, ...], tuple[Any, ...]]]]:
    """For each row: the types of its operands and its attributes."""
    s1, s2, s3 = (Scalars(n, ring) for n in (1, 2, 3))
    return {
        "to_scalars": [((Bits(s2.width),), (ring,))],
        "add_scalars": [((s1, s1), (ring,)), ((s3, s3), (ring,))],
        "multiply_scalars": [((s1, s1), (ring,)), ((s3, s3), (ring,))],
        "negate_scalars": [((s1,), (ring,)), ((s3,), (ring,))],
        "scatter_scalars": [((s1,), ((2,), 3, ring)), ((s3,), ((1, 0, 1), 2, ring)), ((s3,), ((0, 0, 0), 1, ring))],
    }


#: The shapes in one ring, of which the mutants are made.
SHAPES = shapes("Z4")


def single(name: str, types: Sequence[Type], attributes: Sequence[Any]) -> Circuit:
    return trace(
        lambda *wires: wires[0].builder.apply(name, *wires, attributes=attributes),
        **{f"x{i}": type_ for i, type_ in enumerate(types)},
    )


CASES = [
    pytest.param(ring, name, types, attributes, id=f"{ring}-{name}-{i}")
    for ring in RINGS
    for name, each in shapes(ring).items()
    if find_semiring(ring).negative or name != "negate_scalars"
    for i, (types, attributes) in enumerate(each)
]


def test_every_row_is_here() -> None:
    assert tuple(SHAPES) == tuple(PLAIN) == SCALARS
    assert set(SCALARS) <= CORE


@pytest.mark.parametrize(("ring", "name", "types", "attributes"), CASES)
def test_a_row_and_its_lowering_in_plain_numbers(ring: str, name: str, types: Sequence[Type], attributes: Any) -> None:
    f = single(name, types, attributes)
    lowered = to_rows(f)
    assert {a.primitive for a in lowered.assignments} <= LOWERED
    size, element = plain(ring)
    count = sum(t.width for t in types) // find_semiring(ring).bits
    if size**count <= 4096:
        operands = np.array(list(itertools.product(range(size), repeat=count)))
    else:
        operands = np.random.default_rng(0).integers(0, size, (500, count))
    inputs = to_bits(operands, Scalars(count, ring))
    results = [to_elements(evaluate(form, inputs), f.output_types[0]) for form in (f, lowered)]
    sizes = [t.width // find_semiring(ring).bits for t in types]
    for row, each in enumerate(operands.tolist()):
        expected = [element(total) for total in PLAIN[name](*split(np.array(each), sizes), *attributes)]
        assert [result[row].tolist() for result in results] == [expected, expected]


@pytest.mark.parametrize(("ring", "name", "types", "attributes"), CASES)
def test_patterns_that_are_no_elements_are_the_same_everywhere(
    ring: str, name: str, types: Any, attributes: Any
) -> None:
    f = single(name, types, attributes)
    inputs = np.random.default_rng(0).integers(0, 2, (300, sum(t.width for t in types)), np.uint8)
    np.testing.assert_array_equal(evaluate(f, inputs), evaluate(to_rows(f), inputs))


@pytest.mark.parametrize("ring", ["Z2", "Z3", "Z4", "Z5", "Sat1", "Sat3", "Sat6", "Or"])
def test_the_equations_of_a_semiring(ring: str) -> None:
    """Those of the presentation of polynomial circuits (arXiv 2203.06430) that speak of sums and products."""
    s = Scalars(1, ring)
    size, _ = plain(ring)
    zero, one = (lambda a: number(a, 0)), (lambda a: number(a, 1))
    equations: list[tuple[Callable[..., Wire], Callable[..., Wire]]] = [
        (lambda a, b, c: a + b, lambda a, b, c: b + a),
        (lambda a, b, c: (a + b) + c, lambda a, b, c: a + (b + c)),
        (lambda a, b, c: a + zero(a), lambda a, b, c: a),
        (lambda a, b, c: a * b, lambda a, b, c: b * a),
        (lambda a, b, c: (a * b) * c, lambda a, b, c: a * (b * c)),
        (lambda a, b, c: a * one(a), lambda a, b, c: a),
        (lambda a, b, c: a * (b + c), lambda a, b, c: a * b + a * c),
        (lambda a, b, c: a * zero(a), lambda a, b, c: zero(a)),
    ]
    if find_semiring(ring).negative:
        equations += [
            (lambda a, b, c: a - a, lambda a, b, c: zero(a)),
            (lambda a, b, c: -a, lambda a, b, c: zero(a) - a),
        ]
    inputs = to_bits(np.array(list(itertools.product(range(size), repeat=3))), s.of(3))
    for left, right in equations:
        f, g = (trace(side, a=s, b=s, c=s) for side in (left, right))
        np.testing.assert_array_equal(evaluate(f, inputs), evaluate(g, inputs))


def test_wires_of_scalars() -> None:
    s = Scalars(3, "Z5")
    f = trace(lambda a, b: [a + b, a - b, -a, a * b, a[1], a[::-1], a.sum(3), a.zeros(2), a.repeat(2)], a=s, b=s)
    given = [to_bits(values, s) for values in ([1, 2, 3], [4, 0, 4])]
    found = [to_elements(y, t).tolist() for y, t in zip(run(f, *given), f.output_types, strict=True)]
    assert found == [[0, 2, 2], [2, 2, 4], [4, 3, 2], [4, 0, 2], [2], [3, 2, 1], [1], [0, 0], [1, 2, 3, 1, 2, 3]]
    assert Circuit.parse(str(f)) == Circuit.from_json(f.to_json()) == f
    assert not is_safe(f)


@pytest.mark.parametrize("text", ["Scalars(3, Z5)", "Scalars(1, Sat7)", "Scalars(2, Or)", "Switches(2, 5)"])
def test_types_are_read_back(text: str) -> None:
    assert str(parse_type(text)) == text


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Scalars(1, "Z1"), "the semiring 'Z1' is unknown; expected Z2 to Z65536"),
        (lambda: Scalars(1, "Sat0"), "the semiring 'Sat0' is unknown"),
        (lambda: Scalars(1, "Z65537"), "the semiring 'Z65537' is unknown"),
        (lambda: Scalars(1, "z4"), "the semiring 'z4' is unknown"),
        (lambda: parse_type("Scalars(2, 5)"), "the semiring 5 is unknown"),
        (lambda: Scalars(0, "Z4"), "0 scalars in Z4 are invalid; expected a whole number from 1 to"),
        (lambda: trace(lambda a: -a, a=Scalars(1, "Sat7")), "Sat7 has no subtraction, as its elements have no negat"),
        (lambda: trace(lambda a: a - a, a=Scalars(1, "Or")), "have no negatives; use a ring such as Z2"),
        (lambda: trace(lambda a, b: a + b, a=Scalars(1, "Z4"), b=Scalars(1, "Z5")), "expected two of the same type"),
        (lambda: trace(lambda a: a.as_scalars("Z5"), a=Bits(4)), "4 bits cannot be cut into elements of Z5; expected"),
        (lambda: trace(lambda a: a.scatter([0], 1), a=Scalars(2, "Z5")), "1 indices were given for Scalars(2, Z5)"),
        (lambda: trace(lambda a: a.gather([2]), a=Scalars(2, "Z5")), "word 2 was asked for; expected one from 0 to 1"),
        (lambda: adjoint(trace(lambda a: a * a, a=Scalars(1, "Z3"))), "not all are elements of Scalars(1, Z3)"),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_a_misuse_is_said(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(UserError) as told:
        make()
    assert message in str(told.value)


# -- polynomial circuits beside yarrow-polycirc ------------------------------------------------------------------------


def _ones(like: ElementWire, value: int) -> ElementWire:
    """``value`` ones added up, for each element of ``like``."""
    if isinstance(like.type, Words):
        return number(like, value)
    return number(like, plain(like.type.semiring)[1](value))


def _halves(x: ElementWire) -> tuple[ElementWire, ElementWire]:
    return x[: len(x) // 2], x[len(x) // 2 :]


def _matrix(x: ElementWire, rows: int, columns: int) -> Wire:
    vector = x[rows * columns :].repeat(rows)
    return (x[: rows * columns] * vector).scatter([r for r in range(rows) for _ in range(columns)], rows)


def _product(x: ElementWire) -> ElementWire:
    total = x[0]
    for i in range(1, len(x)):
        total = total * x[i]
    return total


def _on_halves(operation: Callable[[ElementWire, ElementWire], Wire]) -> Callable[..., Wire]:
    return lambda x, *_: operation(*_halves(x))


#: The circuits by name: what they compute from all values, and the numbers in the name.
POLYNOMIALS: Mapping[str, Callable[..., Wire]] = {
    "add": _on_halves(lambda a, b: a + b),
    "mul": _on_halves(lambda a, b: a * b),
    "copy": lambda x, n: x.repeat(2),
    "square": lambda x: x * x,
    "cube": lambda x: x * x * x,
    "sum": lambda x, n: x.sum(n),
    "product": lambda x, n: _product(x),
    "dot": lambda x, n: (lambda a, b: (a * b).sum(n))(*_halves(x)),
    "mat_mul": _matrix,
    "negate": lambda x, n: -x,
    "sub": _on_halves(lambda a, b: a - b),
    "scale": lambda x, c, n: x * _ones(x, c),
    "addc": lambda x, c, n: x + _ones(x, c),
    "square_of_difference": _on_halves(lambda a, b: (a - b) * (a - b)),
    "sum_of_squares": _on_halves(lambda a, b: a * a + b * b),
}
SURROGATES: Mapping[str, Callable[..., Wire]] = {
    "min": _on_halves(minimum),
    "max": _on_halves(maximum),
    "clip": lambda x, low, high, n: clip(x, low, high),
    "shrc": lambda x, by, n: shift_right(x, by),
    "eq": _on_halves(equal_to),
    "gt": _on_halves(greater),
    "geq": _on_halves(greater_equal),
    "lt": _on_halves(lambda a, b: greater(b, a)),
    "leq": _on_halves(lambda a, b: greater_equal(b, a)),
}
RECORDED = json.loads(golden("polynomial-circuits.json").read_text())


def types_of(semiring: str) -> list[Callable[[int], Type]]:
    """The types that have a recorded semiring."""
    if semiring == "Bool(or,and)":
        return [lambda n: Scalars(n, "Or"), lambda n: Scalars(n, "Sat1")]
    name = semiring.replace("_", "")
    bits = find_semiring(name).bits
    power = name == f"Z{1 << bits}"
    return [lambda n: Scalars(n, name), *([lambda n: Words(n, bits)] if power else [])]


def named(table: Mapping[str, Callable[..., Wire]], name: str) -> Callable[[ElementWire], Wire] | None:
    """The function of a recorded circuit, if it is known here."""
    word, _, numbers = name.rstrip(")").partition("(")
    if word not in table:
        return None
    return lambda x: table[word](x, *map(int, filter(None, numbers.split(","))))


def beside(function: Callable[[ElementWire], Wire], type_: Type, rows: Sequence[Any]) -> Circuit:
    """Compare a circuit from ``type_``, and its derivative, with recorded rows; return it."""
    f = trace(function, x=type_)
    at, y, dx = (np.array([row[i] for row in rows]) for i in range(3))
    inputs = to_bits(at, type_.of(at.shape[1]))
    modulus = 1 << type_.width // type_.count
    np.testing.assert_array_equal(to_elements(evaluate(f, inputs[:, : type_.width]), f.output_types[0]), y % modulus)
    np.testing.assert_array_equal(to_elements(evaluate(reverse(f), inputs), type_), dx % modulus)
    return f


CIRCUITS = [
    pytest.param(function, type_(circuit["inputs"]), vectors["rows_x_dy__y__dx"], id=f"{name}-{type_(1)}")
    for name, circuit in RECORDED["circuits"].items()
    if (function := named(POLYNOMIALS, name)) is not None
    for semiring, vectors in circuit["vectors"].items()
    for type_ in types_of(semiring)
]


@pytest.mark.parametrize(("function", "type_", "rows"), CIRCUITS)
def test_golden_polynomial_circuits(function: Callable[..., Wire], type_: Type, rows: Sequence[Any]) -> None:
    beside(function, type_, rows)


@pytest.mark.parametrize("name", [n for n in RECORDED["over_Z_with_straight_through"] if named(SURROGATES, n)])
def test_golden_polynomial_surrogates_over_words(name: str) -> None:
    recorded = RECORDED["over_Z_with_straight_through"][name]
    function = named(SURROGATES, name)
    assert function is not None
    f = beside(function, Words(recorded["inputs"], 9), recorded["rows_x_dy__y__dx"])
    assert not is_safe(f)


# -- tables ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ring", "inputs", "outputs"),
    [("Z2", 2, 1), ("Z3", 1, 1), ("Z4", 1, 1), ("Sat3", 1, 1), ("Or", 2, 1), ("Or", 1, 2)],
)
def test_every_function_of_small_types_is_a_table(ring: str, inputs: int, outputs: int) -> None:
    size, _ = plain(ring)
    domain, result = Scalars(inputs, ring), Scalars(outputs, ring)
    x = np.array(list(itertools.product(range(size), repeat=inputs)))[:, ::-1]
    values = list(itertools.product(range(size), repeat=outputs))
    for table in itertools.product(values, repeat=size**inputs):
        f = from_table(domain, result, table)
        assert to_elements(evaluate(f, to_bits(x, domain)), result).tolist() == list(map(list, table))


def test_a_table_of_several_scalars() -> None:
    domain, result = Scalars(2, "Z3"), Scalars(2, "Z3")
    x = np.array(list(itertools.product(range(3), repeat=2)))[:, ::-1]
    table = np.random.default_rng(0).integers(0, 3, (9, 2))
    f = from_table(domain, result, table.tolist())
    assert to_elements(evaluate(f, to_bits(x, domain)), result).tolist() == table.tolist()
    assert reverse(f).output_types == (domain,)


@pytest.mark.parametrize(
    ("result", "table", "message"),
    [
        (Scalars(1, "Z4"), [[0]] * 3, "a table from Scalars(1, Z3) to Scalars(1, Z4) is of two semirings"),
        (
            Scalars(1, "Z3"),
            [[0]] * 4,
            "a table of 4 rows was given for Scalars(1, Z3) to Scalars(1, Z3); expected 3 rows",
        ),
        (Scalars(1, "Z3"), [[0], [1], [3]], "expected 3 rows of 1 numbers from 0 to 2"),
        (Scalars(1, "Z3"), [[0], [1], [2, 2]], "expected 3 rows of 1 numbers"),
    ],
)
def test_a_wrong_table_is_said(result: Scalars, table: Any, message: str) -> None:
    with pytest.raises(UserError) as told:
        from_table(Scalars(1, "Z3"), result, table)
    assert message in str(told.value)


def test_only_64_functions_of_z4_are_polynomials() -> None:
    # So comparison is needed: x, x², x³ and 1 span all polynomial functions, as x⁴ = x² there.
    powers = np.array([[x**k % 4 for k in range(4)] for x in range(4)])
    functions = {tuple(powers @ np.array(c) % 4) for c in itertools.product(range(4), repeat=4)}
    assert len(functions) == 64


@pytest.mark.parametrize("type_", [Words(1, 4), Scalars(1, "Z5"), Scalars(1, "Sat6"), Scalars(1, "Z16")])
def test_comparisons_and_choices(type_: Type) -> None:
    size = 16 if isinstance(type_, Words) else plain(type_.semiring)[0]
    x = np.array(list(itertools.product(range(size), repeat=2)))
    a, b = (np.where(x >= 8, x - 16, x) if isinstance(type_, Words) else x).T
    for function, expected in [
        (equal_to, a == b),
        (greater, a > b),
        (greater_equal, a >= b),
        (minimum, np.minimum(a, b) % 16),
        (maximum, np.maximum(a, b) % 16),
    ]:
        f = trace(function, a=type_, b=type_)
        np.testing.assert_array_equal(to_elements(evaluate(f, to_bits(x, type_.of(2))), type_)[:, 0], expected)
    low, high = (-3, 4) if isinstance(type_, Words) else (1, 3)
    f = trace(lambda a: clip(a, low, high), a=type_)
    found = to_elements(evaluate(f, to_bits(x[:, :1], type_)), type_)[:, 0]
    np.testing.assert_array_equal(found, np.clip(a, low, high) % 16)


@pytest.mark.parametrize("by", [0, 1, 3])
def test_a_shift_rounds_down_and_passes_cotangents(by: int) -> None:
    w = Words(2, 4)
    f = trace(lambda a: shift_right(a, by), a=w)
    x = np.arange(-8, 8)[:, None] * [1, -1] % 16
    signed = np.where(x >= 8, x - 16, x)
    np.testing.assert_array_equal(to_elements(evaluate(f, to_bits(x, w)), w), (signed >> by) % 16)
    both = np.concatenate([to_bits(x, w), to_bits(x, w)], axis=1)
    np.testing.assert_array_equal(to_elements(evaluate(reverse(f), both), w), x)
    np.testing.assert_array_equal(to_elements(evaluate(forward_derivative(f), both), w), x)


def test_a_shift_by_all_bits_is_refused() -> None:
    with pytest.raises(UserError, match="^a shift by 4 bits was asked for in words of 4; expected 0 to 3$"):
        trace(lambda a: shift_right(a, 4), a=Words(1, 4))


def test_every_row_with_a_signed_rule_is_of_bits() -> None:
    assert not [name for name in SCALARS if PRIMITIVES[name].signed is not None]
    assert Switches(1, 4).of(2).tangent == Words(2, 4)
