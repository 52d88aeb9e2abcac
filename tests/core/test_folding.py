"""Dead and constant parts removed from circuits, and the law of cheap gradients: a bound of the operations of R[f]."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import assert_same_function
from strategies import ALL, PLAIN, circuits, mixed_circuits, ring_circuits, safe_circuits, word_circuits

from rdahw import Bits, Circuit, Words, boolean_difference, expand, mux, reverse, trace
from rdahw.folding import count_operations, simplify
from rdahw.primitives import PRIMITIVES
from rdahw.tracing import Builder, Wire
from rdahw.types import Scalars, Switches

#: The operations of R[f] are at most so many times those of f, and one more for each element of an output, which may be
#: added to the other uses of its wire.
FACTOR = 5

SIGNED = tuple(name for name, row in PRIMITIVES.items() if row.signed is not None)
#: Over switches a sum of three needs, for each, the sum of the others and a negation: with the sums of what else reads
#: them 11 operations where the sum itself takes two.
SWITCH_FACTOR = 5.5


def on_switches(f: Circuit) -> Circuit:
    """The circuit of bits ``f`` with switches in their place."""
    builder = Builder()
    wires = [builder.input(name, Switches(type_.width, 5)) for name, type_ in f.inputs]
    for primitive, operands, attributes in f.assignments:
        wire = builder.apply(primitive, *(wires[i] for i in operands), attributes=attributes)
        wires.append(wire.as_switches(5) if primitive == "const" else wire)
    return builder.finish({name: wires[i] for name, i in f.outputs})


def bound(f: Circuit, factor: float = FACTOR) -> float:
    return factor * count_operations(expand(f)) + sum(type_.count for type_ in f.output_types)


def gradient_operations(f: Circuit, wrt: list[str] | None = None) -> int:
    return count_operations(simplify(expand(reverse(f, wrt))))


@given(circuits(PLAIN))
def test_a_gradient_is_cheap(f: Circuit) -> None:
    assert gradient_operations(f) <= bound(f)


@given(word_circuits())
def test_a_gradient_over_words_is_cheap(f: Circuit) -> None:
    words = [name for name, type_ in f.inputs if isinstance(type_, Words)]
    assert gradient_operations(f, words) <= bound(f)


@pytest.mark.parametrize("ring", ["Z3", "Z4", "Sat3", "Or"])
def test_a_gradient_over_a_semiring_is_cheap(ring: str) -> None:
    @given(ring_circuits(Scalars(1, ring)))
    def check(f: Circuit) -> None:
        assert gradient_operations(f) <= bound(f)

    check()


@given(circuits(SIGNED).map(on_switches))
def test_a_gradient_over_switches_is_cheap(f: Circuit) -> None:
    assert gradient_operations(f) <= bound(f, SWITCH_FACTOR)


@pytest.mark.parametrize("inputs", range(1, 9))
@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("form", [lambda f: f, on_switches], ids=["bits", "switches"])
def test_the_factor_of_a_lookup_does_not_grow(inputs: int, outputs: int, form: Callable[[Circuit], Circuit]) -> None:
    f = form(trace(lambda table, x: table.lookup(x), table=Bits(outputs << inputs), x=Bits(inputs)))
    assert count_operations(reverse(f)) <= 4.1 * count_operations(f)  # one lookup for each input: 15 times for 8
    assert gradient_operations(f) <= 3.2 * count_operations(f)


def test_tables_side_by_side_in_one_wire_do_not_add_up_the_whole_wire() -> None:
    f = trace(
        lambda theta, x: theta.concat(*(theta[16 * i : 16 * i + 16].lookup(x) for i in range(60))).parity(),
        theta=Bits(1000),
        x=Bits(4),
    )
    assert count_operations(reverse(f, ["theta"])) <= count_operations(f)


def test_slices_that_overlap_are_added() -> None:
    f = trace(
        lambda a, b: a.concat(a[1:5] & b, a[3:] & b, a[:4] & b, a[5:] & b[:2], a[:1] & b[:1]), a=Bits(7), b=Bits(4)
    )
    assert_same_function(reverse(f), boolean_difference(f))


@pytest.mark.parametrize("inputs", range(1, 9))
def test_the_factor_of_a_decoder_does_not_grow(inputs: int) -> None:
    f = trace(lambda x: x.decode(), x=Bits(inputs))
    assert count_operations(reverse(f)) <= 3 * count_operations(f)


@given(circuits(ALL))
def test_what_is_simplified_is_the_same_function(f: Circuit) -> None:
    folded = simplify(f)
    assert (folded.inputs, folded.output_names) == (f.inputs, f.output_names)
    assert_same_function(folded, f)
    assert count_operations(folded) <= count_operations(f)


@given(mixed_circuits())
def test_words_are_simplified(f: Circuit) -> None:
    assert_same_function(simplify(f), f)
    assert_same_function(simplify(expand(f)), f)


@given(st.sampled_from(["Z3", "Z4", "Sat3", "Or"]).flatmap(lambda ring: ring_circuits(Scalars(1, ring))))
def test_scalars_are_simplified(f: Circuit) -> None:
    assert_same_function(simplify(f), f)
    assert_same_function(simplify(reverse(f)), reverse(f))


@given(circuits(SIGNED).map(on_switches))
def test_switches_are_simplified(f: Circuit) -> None:
    assert_same_function(simplify(f), f)
    assert_same_function(simplify(reverse(f)), reverse(f))


@given(circuits(PLAIN))
def test_a_reverse_derivative_stays_the_same_function(f: Circuit) -> None:
    assert_same_function(simplify(reverse(f)), reverse(f))
    assert_same_function(simplify(expand(reverse(f))), reverse(f))


@given(safe_circuits())
def test_a_safe_circuit_keeps_its_derivative(f: Circuit) -> None:
    folded = simplify(f)
    assert_same_function(boolean_difference(folded), reverse(f))


def of_bits(rule: Callable[..., Wire]) -> Circuit:
    return trace(rule, a=Bits(3), b=Bits(3))


@pytest.mark.parametrize(
    ("rule", "left"),
    [
        (lambda a, b: a & 0, 0),
        (lambda a, b: a & 7, 0),
        (lambda a, b: a & a, 0),
        (lambda a, b: a ^ a, 0),
        (lambda a, b: a ^ 0, 0),
        (lambda a, b: a ^ 2, 1),
        (lambda a, b: (a & 3) ^ (b & 6), 1),
        (lambda a, b: a | 5, 0),
        (lambda a, b: mux(b[:1], a, a), 0),
        (lambda a, b: mux(a.const(1, 1), a, b), 0),
        (lambda a, b: (a & b)[:1], 1),
        (lambda a, b: a.concat(a, b, a).sum(3), 0),
        (lambda a, b: a.concat(a, b, a.zeros(3)).sum(3), 3),
        (lambda a, b: (a & b).scatter([1, 1, 4], 6)[:2], 3),
        (lambda a, b: a.concat(a, b, b[:2]).lookup(a.const(5, 3)), 0),
        (lambda a, b: a.concat(a, b, b[:2]).lookup(a.concat(b[:2], a.const(1, 1))), 16),  # that of four rows
    ],
)  # fmt: skip
def test_what_folds(rule: Callable[..., Wire], left: int) -> None:
    f = of_bits(rule)
    assert count_operations(simplify(f)) == left
    assert_same_function(simplify(f), f)


def test_a_constant_function_has_no_operation() -> None:
    f = trace(lambda a: a.as_words(3).mask(a.const(0, 2)) * a.as_words(3), a=Bits(6))
    assert [a.primitive for a in simplify(f).assignments] == ["const", "to_words"]
