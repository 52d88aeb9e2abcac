"""Circuits from Python functions: what each operation on wires means, sharing, and what is refused."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from oracles import evaluate, every, number, split

from rdahw import Bits, Circuit, UserError, cat, equal, lookup_model, mux, trace
from rdahw.tracing import Builder, Wire

N = 3

#: What each operation on two wires of three bits computes, as numbers.
OPERATIONS: list[tuple[Callable[..., Wire], Callable[[int, int], int]]] = [
    (lambda a, b: a ^ b, lambda a, b: a ^ b),
    (lambda a, b: a & b, lambda a, b: a & b),
    (lambda a, b: a | b, lambda a, b: a | b),
    (lambda a, b: ~a, lambda a, b: 7 - a),
    (lambda a, b: a ^ 5, lambda a, b: a ^ 5),
    (lambda a, b: 5 ^ a, lambda a, b: a ^ 5),
    (lambda a, b: 6 & a, lambda a, b: a & 6),
    (lambda a, b: 6 | a, lambda a, b: a | 6),
    (lambda a, b: a & np.uint8(6), lambda a, b: a & 6),
    (lambda a, b: a <= b, lambda a, b: a <= b),
    (lambda a, b: a < b, lambda a, b: a < b),
    (lambda a, b: a >= b, lambda a, b: a >= b),
    (lambda a, b: a > b, lambda a, b: a > b),
    (lambda a, b: a <= 4, lambda a, b: a <= 4),
    (lambda a, b: a > 4, lambda a, b: a > 4),
    (lambda a, b: 4 > a, lambda a, b: 4 > a),  # noqa: SIM300
    (lambda a, b: equal(a, b), lambda a, b: a == b),
    (lambda a, b: equal(a, 6), lambda a, b: a == 6),
    (lambda a, b: equal(a[0], b[0]), lambda a, b: a % 2 == b % 2),
    (lambda a, b: a.plus(b), lambda a, b: a + b),
    (lambda a, b: a.plus(7), lambda a, b: a + 7),
    (lambda a, b: cat(a, b), lambda a, b: a + 8 * b),
    (lambda a, b: cat(a), lambda a, b: a),
    (lambda a, b: a[0], lambda a, b: a % 2),
    (lambda a, b: a[-1], lambda a, b: a // 4),
    (lambda a, b: a[1:], lambda a, b: a // 2),
    (lambda a, b: a[:2], lambda a, b: a % 4),
    (lambda a, b: a[:], lambda a, b: a),
    (lambda a, b: a[::-1], lambda a, b: int(f"{a:03b}"[::-1], 2)),
    (lambda a, b: a[::2], lambda a, b: a % 2 + a // 4 * 2),
    (lambda a, b: a.repeat(2), lambda a, b: 9 * a),
    (lambda a, b: a.repeat(1), lambda a, b: a),
    (lambda a, b: a.parity(), lambda a, b: a.bit_count() % 2),
    (lambda a, b: cat(a, b).sum(2), lambda a, b: a ^ b),
    (lambda a, b: a.popcount(), lambda a, b: a.bit_count()),
    (lambda a, b: a.decode(), lambda a, b: 1 << a),
    (lambda a, b: cat(a, b[0]).lookup(b[1:]), lambda a, b: (a + b % 2 * 8) >> b // 2 & 1),
    (lambda a, b: mux(a[0], a, b), lambda a, b: a if a % 2 else b),
    (lambda a, b: a.gather([2, 2, 0]), lambda a, b: a // 4 * 3 + a % 2 * 4),
    (lambda a, b: a.gather(np.array([2, 2, 0])), lambda a, b: a // 4 * 3 + a % 2 * 4),
    (lambda a, b: a.scatter([1, 1, 3], 4), lambda a, b: (a % 2 ^ a // 2 % 2) * 2 + a // 4 * 8),
    (lambda a, b: a.extend(5), lambda a, b: a),
    (lambda a, b: a.extend(3), lambda a, b: a),
    (lambda a, b: a.zeros(4), lambda a, b: 0),
    (lambda a, b: a.const(9, 4), lambda a, b: 9),
]


@pytest.mark.parametrize(("operation", "expected"), OPERATIONS)
def test_operations_on_wires(operation, expected) -> None:
    inputs = every(2 * N)
    results = evaluate(trace(operation, a=Bits(N), b=Bits(N)), inputs)
    for row, result in zip(inputs, results, strict=True):
        a, b = map(number, split(row, [N, N]))
        assert number(result) == int(expected(a, b)), (a, b)


@pytest.mark.parametrize("width", range(1, 10))
def test_equal_compares_all_bits(width: int) -> None:
    f = trace(lambda a: equal(a, a.const((1 << width) - 1, width)), a=Bits(width))
    assert evaluate(f, every(width))[:, 0].tolist() == [0] * (2**width - 1) + [1]


def test_results_are_named() -> None:
    def names(result: Callable[[Wire], Any]) -> tuple[str, ...]:
        return trace(result, x=Bits(1)).output_names

    assert names(lambda x: x) == ("y",)
    assert names(lambda x: [x]) == ("y0",)
    assert names(lambda x: (x, x)) == ("y0", "y1")
    assert names(lambda x: {"p": x, "q": x}) == ("p", "q")
    assert names(lambda x: ()) == ()


def test_equal_assignments_share_a_wire_and_dead_ones_go() -> None:
    def body(a: Wire, b: Wire) -> Wire:
        _ = a | b
        return (a & b) ^ ((a & b) & b)

    assert [x.primitive for x in trace(body, a=Bits(1), b=Bits(1)).assignments] == ["and", "and", "xor"]


def test_circuits_are_called_on_wires() -> None:
    two = trace(lambda a, b: (a ^ b, a & b), a=Bits(1), b=Bits(1))
    one = trace(lambda a: ~a, a=Bits(1))

    def body(x: Wire, y: Wire) -> Wire:
        s, c = two(x, y)
        return one(s) & c

    def inlined(x: Wire, y: Wire) -> Wire:
        s, c = x ^ y, x & y
        return ~s & c

    assert trace(body, x=Bits(1), y=Bits(1)) == trace(inlined, x=Bits(1), y=Bits(1))


def test_a_long_wire_knows_its_length() -> None:
    seen: list[Any] = []

    def body(x: Wire) -> Wire:
        seen.extend([len(x), x.width, repr(x), [bit.width for bit in x]])
        return x

    trace(body, x=Bits(3))
    assert seen == [3, 3, "<wire %0: Bits(3)>", [1, 1, 1]]


def _trace(function: Callable[..., Any]) -> Circuit:
    return trace(function, x=Bits(4), y=Bits(3))


_other = Builder()
STRAY = _other.input("z", Bits(4))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (
            lambda x, y: x ^ y,
            r"wire %2 = xor: operands of types Bits\(4\), Bits\(3\) were given; expected two of the same",
        ),
        (lambda x, y: x & 16, "wire %2 = const: the constant 16 does not fit 4 bits; expected 0 to 2\\^4 - 1"),
        (lambda x, y: x & -1, "wire %2 = const: value is -1; expected a whole number, not negative"),
        (lambda x, y: x & 1.5, "wire %2 = const: value is 1.5; expected a whole number, not negative"),
        (
            lambda x, y: x if x else y,
            r"wire %0 was used as a Python truth value; its bits are not known yet: use mux\(\)",
        ),
        (lambda x, y: x ^ STRAY, "wires of two different traces meet; expected wires of one, passed as its arguments"),
        (
            lambda x, y: STRAY,
            "wires of two different traces meet",
        ),
        (lambda x, y: None, "the traced function returned None; expected a wire made from its arguments"),
        (lambda x, y: {"a": 1}, "the traced function returned {'a': 1}; expected a wire"),
        (lambda x, y: "xy", "the traced function returned 'xy'; expected a wire"),
        (lambda x, y: {"a b": x}, "an output is named 'a b'; expected letters, digits and _"),
        (lambda x, y: x[2:2], "wire %2 = slice: bits 2 to 2 of 4 were asked for"),
        (lambda x, y: x[3:1:2], "wire %2 = gather: indices is \\(\\); expected a tuple of bit numbers, at least one"),
        (lambda x, y: x.gather([4]), "wire %2 = gather: bit 4 was asked for; expected one from 0 to 3"),
        (lambda x, y: x.sum(3), "wire %2 = sum: 4 bits cannot be cut into 3 equal parts to sum; choose a divisor of 4"),
        (lambda x, y: x.repeat(0), "wire %2 = repeat: 0 copies were asked for; expected at least one"),
        (lambda x, y: x.repeat(10**9), "wire %2 = repeat: times is 1000000000; expected a whole number from 0 to"),
        (lambda x, y: x.extend(2), "a wire of 4 bits cannot be extended to 2; expected no fewer than it has"),
        (
            lambda x, y: x.lookup(y),
            "wire %2 = lookup: a table of 4 bits was given for an address of 3; expected a multiple",
        ),
        (lambda x, y: mux(x, y, y), "wire %2 = mux: .* expected Bits.1. and two of the same type"),
        (lambda x, y: lookup_model(1, 1)(x, y), r"a circuit of \(theta: Bits\(2\), x: Bits\(1\)\) was applied to"),
        (lambda x, y: lookup_model(1, 1)(x), r"was applied to \(Bits\(4\)\); the types must agree"),
        (
            lambda x, y: lookup_model(1, 1)(5, 7),
            "a circuit was called on something other than wires; to run it on data",
        ),
        (lambda x, y: lookup_model(2, 1)(x, STRAY[:2]), "wires of two different traces meet"),
        (lambda x, y: cat(), "nothing was given to concatenate; expected at least one wire"),
    ],
)
def test_a_misuse_is_said(function, message) -> None:
    with pytest.raises(UserError, match=message):
        _trace(function)


def test_an_index_out_of_range_is_pythons() -> None:
    with pytest.raises(IndexError, match="^bit 4 of a wire of 4 bits$"):
        _trace(lambda x, y: x[4])


def test_inputs_come_first() -> None:
    builder = Builder()
    x = builder.input("x", Bits(1))
    _ = ~x
    with pytest.raises(UserError, match="^input 'y' comes after an assignment; expected all inputs first$"):
        builder.input("y", Bits(1))


def test_outputs_belong_to_the_trace() -> None:
    builder = Builder()
    builder.input("x", Bits(1))
    with pytest.raises(UserError, match="^wires of two different traces meet"):
        builder.finish({"y": STRAY})


def test_iterating_over_a_wire_ends() -> None:
    assert len(list(itertools.islice(_trace(lambda x, y: list(x)).outputs, 10))) == 4
