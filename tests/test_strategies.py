"""The generators of random circuits produce what the property tests rely on."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st
from oracles import evaluate, inputs_of
from strategies import (
    ALL,
    DIFFERENTIABLE,
    GATES,
    MAX_WIDTH,
    PLAIN,
    POLYNOMIAL,
    SCALARS,
    WORD_GATES,
    WORDS,
    circuits,
    exact_block,
    mixed_circuits,
    products,
    safe_circuits,
    word_circuits,
)

from rdahw import Bits, Circuit, is_safe, reverse, trace
from rdahw.circuit import Block
from rdahw.primitives import CORE, PRIMITIVES

# The same circuits every time: whether one is found must not depend on luck.
SEARCH = settings(
    max_examples=2000,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def used(circuit: Circuit) -> set[str]:
    return {assignment.primitive for assignment in circuit.assignments}


def blocks_of(circuit: Circuit) -> list[Block]:
    return [a.attributes[0] for a in circuit.assignments if a.primitive == "custom"]


def test_every_primitive_has_a_gate() -> None:
    assert set(GATES) == set(ALL)
    assert set(WORD_GATES) == set(WORDS)
    # Scalars have a strategy of their own, as all wires of such a circuit are of one semiring.
    assert {*GATES, *WORD_GATES, *SCALARS} == set(PRIMITIVES)


@pytest.mark.slow
@pytest.mark.parametrize("primitive", ALL)
def test_every_primitive_is_drawn(primitive: str) -> None:
    find(circuits(), lambda c: primitive in used(c), settings=SEARCH)


@pytest.mark.parametrize("primitive", POLYNOMIAL)
def test_every_primitive_of_the_core_is_drawn_for_the_axioms(primitive: str) -> None:
    find(circuits(POLYNOMIAL), lambda c: primitive in used(c), settings=SEARCH)


@given(circuits(POLYNOMIAL))
def test_circuits_of_the_core_hold_nothing_else(circuit: Circuit) -> None:
    assert used(circuit) <= CORE


@given(circuits())
def test_wires_are_narrow_enough_to_try(circuit: Circuit) -> None:
    assert max(t.width for t in circuit.types) <= MAX_WIDTH
    assert evaluate(circuit, inputs_of(circuit)).shape[1] == sum(t.width for t in circuit.output_types)


@pytest.mark.slow
@pytest.mark.parametrize("primitive", WORDS)
def test_every_primitive_of_words_is_drawn(primitive: str) -> None:
    find(mixed_circuits(), lambda c: primitive in used(c) and len(used(c)) > 2, settings=SEARCH)


@pytest.mark.parametrize("primitive", DIFFERENTIABLE)
def test_every_primitive_of_words_is_drawn_for_their_derivatives(primitive: str) -> None:
    find(word_circuits(), lambda c: primitive in used(c) and len(used(c)) > 2, settings=SEARCH)


@given(word_circuits())
def test_circuits_of_words_have_a_derivative_by_words(circuit: Circuit) -> None:
    reverse(circuit, wrt=[name for name in circuit.input_names if name.startswith("w")])


@given(st.data(), st.lists(st.integers(1, 3), min_size=1, max_size=3), st.lists(st.integers(1, 3), max_size=3))
def test_types_asked_for_are_given(data: st.DataObject, inputs: list[int], outputs: list[int]) -> None:
    circuit = data.draw(circuits(PLAIN, inputs, outputs))
    assert [t.width for t in circuit.input_types] == inputs
    assert [t.width for t in circuit.output_types] == outputs


@pytest.mark.slow
@pytest.mark.parametrize(
    "wanted",
    [
        lambda c: not is_safe(c),
        lambda c: is_safe(c) and products(c) > 0,
        lambda c: products(c) > 2,
        lambda c: len(c.inputs) > 1 and len(c.outputs) > 1,
        lambda c: len({wire for _, wire in c.outputs}) < len(c.outputs),
        lambda c: any(wire < len(c.inputs) for _, wire in c.outputs),
        lambda c: any(block.exact for block in blocks_of(c)),
        lambda c: any(not block.exact for block in blocks_of(c)),
        lambda c: any(block.depth > 1 for block in blocks_of(c)),
    ],
    ids=[
        "unsafe",
        "safe with products",
        "deep",
        "several inputs and outputs",
        "one wire as two outputs",
        "an input as output",
        "exact block",
        "surrogate",
        "block in a block",
    ],
)
def test_circuits_of_every_kind_are_drawn(wanted) -> None:
    find(circuits(), wanted, settings=SEARCH)


@given(safe_circuits())
def test_safe_circuits_are_accepted(circuit: Circuit) -> None:
    assert is_safe(circuit)


@pytest.mark.parametrize("primitive", [name for name in ALL if PRIMITIVES[name].products])
def test_safe_circuits_use_every_product(primitive: str) -> None:
    find(safe_circuits(), lambda c: primitive in used(c), settings=SEARCH)


def test_safe_circuits_multiply_products() -> None:
    find(safe_circuits(), lambda c: products(c) > 2, settings=SEARCH)


def test_the_exact_block_is_not_safe_inside() -> None:
    block = blocks_of(trace(exact_block([2, 1]), a=Bits(2), b=Bits(1)))[0]
    assert block.exact
    assert not is_safe(block.forward)
