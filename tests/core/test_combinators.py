"""String-diagram combinators: the same data as a trace gives, and the laws of a symmetric monoidal category."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import assert_same_function, evaluate, every
from strategies import ALL, circuits, widths

from rdahw import Bits, Circuit, UserError, reverse, trace
from rdahw.combinators import (
    add,
    add_n,
    copy,
    copy_n,
    discard,
    identity,
    multiply,
    one,
    sequence,
    swap,
    tensor,
    tensor_n,
    zero,
)

W = Bits(3)


@pytest.mark.parametrize(
    ("made", "traced"),
    [
        (identity(3), trace(lambda x: x, x=W)),
        (copy(3), trace(lambda x: (x, x), x=W)),
        (copy_n(3, 3), trace(lambda x: (x, x, x), x=W)),
        (copy_n(0, 3), trace(lambda x: (), x=W)),
        (add(3), trace(lambda a, b: a ^ b, x0=W, x1=W)),
        (add_n(3, 3), trace(lambda a, b, c: a ^ b ^ c, x0=W, x1=W, x2=W)),
        (add_n(1, 3), identity(3)),
        (multiply(3), trace(lambda a, b: a & b, x0=W, x1=W)),
        (swap(3, 2), trace(lambda a, b: (b, a), x0=W, x1=Bits(2))),
        (discard(3), trace(lambda x: (), x=W)),
        (copy(3) >> multiply(3), trace(lambda x: x & x, x=W)),
        (add(3) @ identity(2), trace(lambda a, b, c: (a ^ b, c), x0=W, x1=W, x2=Bits(2))),
        (tensor_n(2, multiply(3)), trace(lambda a, b, c, d: (a & b, c & d), x0=W, x1=W, x2=W, x3=W)),
    ],
)
def test_combinators_give_the_data_of_a_trace(made: Circuit, traced: Circuit) -> None:
    assert made == traced


@pytest.mark.parametrize(("made", "bit"), [(zero(70), 0), (one(70), 1), (one(1), 1)])
def test_constants_have_no_input(made: Circuit, bit: int) -> None:
    assert made.inputs == ()
    assert set(evaluate(made, np.zeros((1, 0), np.uint8))[0]) == {bit}


def test_units() -> None:
    assert_same_function((zero(3) @ identity(3)) >> add(3), identity(3))
    assert_same_function((one(3) @ identity(3)) >> multiply(3), identity(3))
    assert_same_function(copy(3) >> (discard(3) @ identity(3)), identity(3))
    assert_same_function(swap(3, 2) >> swap(2, 3), identity(3) @ identity(2))


def test_the_reverse_derivative_of_copy_adds_and_of_add_copies() -> None:
    assert_same_function(reverse(copy(3)), discard(3) @ add(3))
    assert_same_function(reverse(add(3)), discard(3) @ discard(3) @ copy(3))


objects = widths(2)


@given(st.data(), objects, objects, objects, objects)
def test_sequence_is_associative(data: st.DataObject, a, b, c, d) -> None:
    f, g, h = (data.draw(circuits(ALL, *ends, gates=4)) for ends in ((a, b), (b, c), (c, d)))
    assert_same_function((f >> g) >> h, f >> (g >> h))
    assert_same_function(sequence(f, g, h), f >> g >> h)


@given(st.data(), objects, objects)
def test_sequence_runs_one_after_the_other(data: st.DataObject, a, b) -> None:
    f, g = data.draw(circuits(ALL, a, b, gates=4)), data.draw(circuits(ALL, b, gates=4))
    inputs = every(sum(a))
    np.testing.assert_array_equal(evaluate(f >> g, inputs), evaluate(g, evaluate(f, inputs)))


@pytest.mark.slow
@given(st.data(), *(st.lists(st.integers(1, 2), min_size=1, max_size=2) for _ in range(4)))
def test_side_by_side_is_independent(data: st.DataObject, a, b, c, d) -> None:
    """(f @ g) >> (h @ k) = (f >> h) @ (g >> k), and (f @ g)(x, y) = (f(x), g(y))."""
    f, g = data.draw(circuits(ALL, a, b, gates=4)), data.draw(circuits(ALL, c, d, gates=4))
    h, k = data.draw(circuits(ALL, b, gates=4)), data.draw(circuits(ALL, d, gates=4))
    assert_same_function((f @ g) >> (h @ k), (f >> h) @ (g >> k))
    inputs = every(sum(a) + sum(c))
    apart = evaluate(f, inputs[:, : sum(a)]), evaluate(g, inputs[:, sum(a) :])
    np.testing.assert_array_equal(evaluate(f @ g, inputs), np.concatenate(apart, axis=1))


def test_circuits_that_do_not_fit_are_refused() -> None:
    with pytest.raises(
        UserError,
        match=r"^circuits cannot be joined: one gives \(Bits\(3\), Bits\(3\)\), the next takes \(Bits\(3\)\); the ",
    ):
        copy(3) >> identity(3)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: identity(0), "width 0 is invalid"),
        (lambda: add_n(0, 3), "a sum of 0 wires was asked for; expected at least one"),
        (lambda: sequence(), "no circuits were given to join; expected at least one"),
        (lambda: one(1 << 27), "width 134217728 is invalid"),
        (lambda: one(-1), "width -1 is invalid"),
    ],
)
def test_a_misuse_is_said(wrong, message) -> None:
    with pytest.raises(UserError, match=message):
        wrong()


def test_nothing_side_by_side_is_nothing() -> None:
    assert tensor() == Circuit((), (), ()) == tensor_n(0, add(3))
