"""The reverse and the forward derivative, and the Boolean difference: against each other and against brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import (
    assert_is_boolean_difference,
    assert_same_function,
    brute_force_difference,
    evaluate,
    input_widths,
    inputs_of,
    output_widths,
    split,
)
from strategies import ALL, PLAIN, circuits, safe_circuits

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
from rdahw.primitives import CORE


def square(width: int = 1) -> Circuit:
    return trace(lambda x: x & x, x=Bits(width))


@given(circuits(ALL))
def test_forward_and_reverse_derivative_are_adjoint(f: Circuit) -> None:
    """⟨dy, D[f](x, dx)⟩ = ⟨R[f](x, dy), dx⟩"""
    a, b = sum(input_widths(f)), sum(output_widths(f))
    x, dx, dy = split(np.random.default_rng(0).integers(0, 2, (256, a + a + b), np.uint8), [a, a, b])
    pushed = evaluate(forward_derivative(f), np.concatenate([x, dx], axis=1))
    pulled = evaluate(reverse(f), np.concatenate([x, dy], axis=1))
    np.testing.assert_array_equal((dy & pushed).sum(axis=1) % 2, (pulled & dx).sum(axis=1) % 2)


@given(safe_circuits())
def test_on_safe_circuits_the_reverse_derivative_is_the_boolean_difference(f: Circuit) -> None:
    assert_is_boolean_difference(reverse(f), f)


@given(circuits(ALL).filter(is_safe))
def test_whatever_is_called_safe_is(f: Circuit) -> None:
    assert_is_boolean_difference(reverse(f), f)


@given(circuits(ALL))
def test_the_circuit_of_the_boolean_difference_is_what_brute_force_gives(f: Circuit) -> None:
    assert_is_boolean_difference(boolean_difference(f), f)


@given(circuits(PLAIN))
def test_the_rules_of_primitives_are_those_of_their_expansions(f: Circuit) -> None:
    expanded = expand(f)
    assert {a.primitive for a in expanded.assignments} <= CORE
    assert_same_function(f, expanded)
    assert_same_function(reverse(f), reverse(expanded))
    assert_same_function(forward_derivative(f), forward_derivative(expanded))


@given(circuits(ALL))
def test_an_expansion_computes_the_same(f: Circuit) -> None:
    assert_same_function(f, expand(f))


@given(circuits(ALL))
def test_the_reverse_derivative_is_linear_in_dy(f: Circuit) -> None:
    r = reverse(f)
    a, b = sum(input_widths(f)), sum(output_widths(f))
    x, p, q = split(np.random.default_rng(0).integers(0, 2, (256, a + b + b), np.uint8), [a, b, b])
    at = [evaluate(r, np.concatenate([x, dy], axis=1)) for dy in (p, q, p ^ q)]
    np.testing.assert_array_equal(at[0] ^ at[1], at[2])


@given(circuits(ALL), st.data())
def test_wrt_gives_a_part_of_the_cotangents(f: Circuit, data: st.DataObject) -> None:
    wanted = data.draw(st.lists(st.sampled_from(f.input_names), unique=True))
    for derivative in (reverse, boolean_difference):
        full, part = derivative(f), derivative(f, wrt=wanted)
        assert part.inputs == full.inputs
        keep = [name in wanted for name in f.input_names]
        assert part.output_names == tuple(n for n, k in zip(full.output_names, keep, strict=True) if k)
        inputs = inputs_of(full)
        columns = np.repeat(keep, input_widths(f))
        np.testing.assert_array_equal(evaluate(part, inputs), evaluate(full, inputs)[:, columns])


def test_the_two_derivatives_differ_on_a_square() -> None:
    f = square()
    assert not is_safe(f)
    both = inputs_of(reverse(f))  # (x, dy)
    assert evaluate(reverse(f), both).tolist() == [[0], [0], [0], [0]]
    assert evaluate(boolean_difference(f), both).tolist() == both[:, 1:].tolist()


def test_ports_are_named_after_those_of_the_circuit() -> None:
    f = trace(lambda dy, dy_, x: {"y": dy ^ x, "x": dy_}, dy=Bits(2), dy_=Bits(3), x=Bits(2))
    for derivative in (reverse, boolean_difference):
        r = derivative(f)
        assert r.input_names == ("dy", "dy_", "x", "dy__", "dx")
        assert r.input_types == (Bits(2), Bits(3), Bits(2), Bits(2), Bits(3))
        assert r.output_names == ("ddy", "ddy_", "dx")
    d = forward_derivative(f)
    assert d.input_names == ("dy", "dy_", "x", "ddy", "ddy_", "dx")
    assert d.output_names == ("dy", "dx")


@pytest.mark.parametrize("derivative", [reverse, boolean_difference])
def test_wrt_an_unknown_input_is_refused(derivative) -> None:
    with pytest.raises(
        UserError, match=r"^the circuit has no input 'thta' to differentiate by; did you mean 'theta'\?$"
    ):
        derivative(trace(lambda theta: theta, theta=Bits(1)), wrt=["thta"])


def test_an_input_that_nothing_reads_has_a_zero_cotangent() -> None:
    f = trace(lambda x, y: x, x=Bits(2), y=Bits(3))
    assert evaluate(reverse(f), inputs_of(reverse(f)))[:, 2:].max() == 0


def test_outputs_that_are_one_wire_add_their_cotangents() -> None:
    f = trace(lambda x: (x, x, x), x=Bits(2))
    assert_same_function(reverse(f), trace(lambda x, a, b, c: a ^ b ^ c, x=Bits(2), a=Bits(2), b=Bits(2), c=Bits(2)))


def test_circuits_without_inputs_or_outputs_have_derivatives() -> None:
    nothing = trace(lambda x: (), x=Bits(2))
    constant = Circuit((), trace(lambda x: x.const(2, 2), x=Bits(1)).assignments, (("y", 0),))
    for derivative in (reverse, boolean_difference):
        assert evaluate(derivative(nothing), inputs_of(nothing)).max() == 0
        assert derivative(nothing).input_types == (Bits(2),)
        assert derivative(constant).input_types == (Bits(2),)
        assert derivative(constant).outputs == ()
    assert forward_derivative(nothing).outputs == ()
    assert evaluate(forward_derivative(constant), np.zeros((1, 0), np.uint8)).tolist() == [[0, 0]]


# -- blocks with a reverse derivative of their own ---------------------------------------------------------------------


def test_a_surrogate_takes_the_place_of_the_derivative() -> None:
    # Straight through: the forward map is constant, the declared reverse that of the identity.
    f = trace(lambda x: x.zeros(2), x=Bits(2))
    block = custom_reverse(f, trace(lambda x, dy: dy, x=Bits(2), dy=Bits(2)), name="through", exact=False)
    used = trace(block, x=Bits(2))
    assert_same_function(reverse(used), trace(lambda x, dy: dy, x=Bits(2), dy=Bits(2)))
    assert_same_function(forward_derivative(used), trace(lambda x, dx: dx, x=Bits(2), dx=Bits(2)))
    assert not is_safe(used)
    assert_same_function(used, f)
    inputs = inputs_of(reverse(used))
    assert brute_force_difference(used, *split(inputs, [2, 2])).max() == 0


def test_an_exact_block_is_safe_where_its_operands_are_disjoint() -> None:
    f = square(2)
    block = custom_reverse(f, boolean_difference(f), name="square", exact=True)
    assert is_safe(trace(block, x=Bits(2)))
    assert_is_boolean_difference(reverse(trace(block, x=Bits(2))), f)
    assert not is_safe(trace(lambda x: block(x.concat(x[0], x[0])), x=Bits(2)))
    assert not is_safe(trace(lambda x: x & block(x), x=Bits(2)))


@pytest.mark.parametrize(
    ("f", "r", "message"),
    [
        (
            square(),
            square(),
            r"the reverse of block 'b' is \(Bits\(1\)\) -> \(Bits\(1\)\); expected \(Bits\(1\), Bits\(1\)\)",
        ),
        (trace(lambda x: (x, x), x=Bits(1)), square(), r"block 'b' has 2 outputs; expected one \(concatenate them\)"),
    ],
)
def test_a_block_of_wrong_types_is_refused(f: Circuit, r: Circuit, message: str) -> None:
    with pytest.raises(UserError, match=message):
        custom_reverse(f, r, name="b", exact=False)


@pytest.mark.parametrize("name", ['say "hello"', "two\nlines", "\x00"])
def test_a_block_with_an_unprintable_name_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=r"^a block is named .*; expected printable text without quotation marks$"):
        custom_reverse(square(), reverse(square()), name=name, exact=False)


def test_blocks_unfold_only_to_so_many_gates() -> None:
    # A small file of blocks in blocks, each used often, would ask for more gates than there is memory.
    f, r = square(), reverse(square())

    def often(block) -> Circuit:
        def body(x):
            for _ in range(100):
                x = block(x)
            return x

        return trace(body, x=Bits(1))

    for _ in range(3):
        f = often(custom_reverse(f, r, name="often", exact=False))
    with pytest.raises(UserError, match=r"^block 'too often' expands to \d{9} gates; expected at most 16777216$"):
        custom_reverse(often(custom_reverse(f, r, name="often", exact=False)), r, name="too often", exact=False)


def test_blocks_nest_only_so_deep() -> None:
    f, r = square(), reverse(square())
    for _ in range(16):
        f = trace(custom_reverse(f, r, name="deeper", exact=False), x=Bits(1))
    assert Circuit.parse(str(f)) == f
    assert Circuit.from_json(f.to_json()) == f
    with pytest.raises(UserError, match=r"^block 'deepest' has 17 levels of blocks; expected at most 16$"):
        custom_reverse(f, r, name="deepest", exact=False)
