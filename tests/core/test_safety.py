"""Whether R is the Boolean difference: products of disjoint supports, primitive by primitive."""

from __future__ import annotations

import pytest
from oracles import assert_is_boolean_difference

from rdahw import Bits, boolean_difference, cat, custom_reverse, equal, is_safe, mux, reverse, trace
from rdahw.combinators import copy, multiply, tensor_n
from rdahw.primitives import PRIMITIVES
from rdahw.tracing import Wire

A, B = Bits(4), Bits(4)

#: (safe, function of two wires of four bits), at least two of each kind for every primitive that multiplies.
CASES = [
    (True, lambda a, b: a & b),
    (True, lambda a, b: (a & b) ^ a ^ (a & b)),
    (True, lambda a, b: a[:2] & a[2:]),
    (True, lambda a, b: (a ^ 3) & b),
    (False, lambda a, b: a & a),
    (False, lambda a, b: (a ^ b) & b),
    (True, lambda a, b: a & a[::-1]),
    (True, lambda a, b: a[:2] & a[1:3]),
    (False, lambda a, b: a[:3] & a[:3][::-1]),
    (False, lambda a, b: (a & b) & a),
    (True, lambda a, b: a | b),
    (False, lambda a, b: a | ~a),
    (True, lambda a, b: ~(a ^ a)),
    (True, lambda a, b: mux(a[0], b, b[::-1])),
    (True, lambda a, b: mux(a[0], a[1:3], b[:2])),
    (False, lambda a, b: mux(a[0], a, b)),
    (False, lambda a, b: mux(a[0], b, a)),
    (True, lambda a, b: a.decode()),
    (False, lambda a, b: cat(a[:2], a[:1]).decode()),
    (False, lambda a, b: (a ^ a[::-1]).decode()),
    (True, lambda a, b: a.lookup(b[:2])),
    (True, lambda a, b: cat(a, a).lookup(b[1:3])),
    (False, lambda a, b: a.lookup(a[:2])),
    (True, lambda a, b: a[:2].lookup(b[0]) ^ a[2:].lookup(b[1])),
    (True, lambda a, b: a[:2].lookup(a[2]) & b[0]),
    (True, lambda a, b: a[:2].lookup(b[0]) & a[2:].lookup(b[1])),
    (False, lambda a, b: a[:2].lookup(b[0]) & a[2:].lookup(b[0])),
    (False, lambda a, b: a[:2].lookup(b[0]) & a[:2].lookup(b[1]) & a[2]),
    (True, lambda a, b: a[:2].lookup(a[2]) & a[3]),
    (False, lambda a, b: a.lookup(b[0].repeat(2))),
    (True, lambda a, b: cat(a, b).popcount()),
    (False, lambda a, b: cat(a, a[:1]).popcount()),
    (False, lambda a, b: a.popcount() & a.popcount()),
    (False, lambda a, b: a.popcount()[:1] & a[:1]),
    (True, lambda a, b: a <= b),
    (False, lambda a, b: a <= a[::-1]),
    (False, lambda a, b: (a <= b) & (b <= a)),
    (True, lambda a, b: a.plus(b)),
    (False, lambda a, b: a.plus(a)),
    (False, lambda a, b: a[0].repeat(4).plus(b)),
    (True, lambda a, b: equal(a, b)),
    (True, lambda a, b: a.sum(2) & b.sum(2)),
    (False, lambda a, b: a.sum(2) & a[:2]),
    (True, lambda a, b: a.scatter([0, 0, 1, 1], 3)[:1] & a.scatter([0, 0, 1, 1], 3)[1:2]),
    (False, lambda a, b: a.scatter([0, 0, 1, 1], 3)[:1] & a[:1]),
    (True, lambda a, b: a.scatter([0, 0, 1, 1], 3)[2:] & a[:1]),
    (True, lambda a, b: a.gather([0, 1]) & a.gather([2, 3])),
    (True, lambda a, b: a.gather([0, 1]) & a.gather([1, 3])),
    (False, lambda a, b: a.gather([0, 1]) & a.gather([3, 1])),
    (True, lambda a, b: a & a.const(5, 4)),
    (True, lambda a, b: a.zeros(3).decode()),
]


@pytest.mark.parametrize(("safe", "function"), CASES)
def test_safe_or_not(safe: bool, function) -> None:
    f = trace(function, a=A, b=B)
    assert is_safe(f) is safe
    if safe:
        assert_is_boolean_difference(reverse(f), f)


def test_every_product_is_among_the_cases() -> None:
    seen = {(a.primitive, safe) for safe, f in CASES for a in trace(f, a=A, b=B).assignments}
    products = {name for name, row in PRIMITIVES.items() if row.products} - {"custom"}  # which has a test of its own
    assert {(name, safe) for name in products for safe in (True, False)} <= seen


def test_a_circuit_may_be_right_without_being_safe() -> None:
    # Sufficient, not necessary: both derivatives of x XOR (x AND x) AND 0 are dy.
    f = trace(lambda x: x ^ (x & x & x.zeros(1)), x=Bits(1))
    assert not is_safe(f)
    assert_is_boolean_difference(reverse(f), f)


@pytest.mark.parametrize("exact", [True, False])
def test_only_exact_blocks_are_safe(exact: bool) -> None:
    f = trace(lambda x, y: (x & x) ^ y, x=Bits(2), y=Bits(2))
    block = custom_reverse(f, boolean_difference(f), name="b", exact=exact)

    def twice(x: Wire, y: Wire) -> Wire:
        return block(x, x)

    assert is_safe(trace(block, x=Bits(2), y=Bits(2))) is exact
    assert not is_safe(trace(twice, x=Bits(2), y=Bits(2)))


def test_combinators() -> None:
    assert not is_safe(copy(6) >> multiply(6))
    assert is_safe(tensor_n(3, multiply(4)))
