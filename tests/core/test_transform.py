"""Circuits rewritten into other primitives."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import assert_same_function
from strategies import ALL, POLYNOMIAL, circuits

from rdahw import Bits, Circuit, expand, trace
from rdahw.primitives import CORE
from rdahw.transform import replay

RICH = sorted(set(ALL) - CORE)


@given(circuits(ALL), st.sets(st.sampled_from(RICH)))
def test_what_is_left_is_kept_or_of_the_core(f: Circuit, keep: set[str]) -> None:
    expanded = expand(f, keep=keep)
    assert {a.primitive for a in expanded.assignments} <= CORE | keep
    assert (expanded.inputs, expanded.output_names) == (f.inputs, f.output_names)
    assert_same_function(expanded, f)


@given(circuits(POLYNOMIAL))
def test_a_circuit_of_the_core_is_its_own_expansion(f: Circuit) -> None:
    assert expand(f) == f


def test_what_is_kept_stays_inside_blocks_that_go() -> None:
    from rdahw import mask_model

    left = {a.primitive for a in expand(mask_model(5), keep={"popcount", "less_equal", "plus"}).assignments}
    assert {"popcount", "less_equal"} <= left
    assert "custom" not in left


@pytest.mark.parametrize("give", [True, False])
def test_replay_puts_another_wire_where_the_rule_says_so(give: bool) -> None:
    f = trace(lambda a, b: (a | b) & a, a=Bits(2), b=Bits(2))
    g = replay(f, lambda gate, operands: operands[0] ^ operands[1] if give and gate.primitive == "or" else None)
    assert g == (trace(lambda a, b: (a ^ b) & a, a=Bits(2), b=Bits(2)) if give else f)
