"""Claims are statements: which miter they make, on which widths, and what of them holds, tried on all inputs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from oracles import assert_is_boolean_difference, evaluate, every, inputs_of
from strategies import circuits, safe_circuits

from rdahw import (
    Bits,
    Circuit,
    UserError,
    custom_reverse,
    lookup_model,
    mask_model,
    mux,
    reverse,
    trace,
)
from rdahw.claims import (
    Claim,
    TooLarge,
    _is_linear,
    adjoint,
    count_gates,
    custom,
    difference,
    equal,
    one_hot,
    robust,
    shape,
    surroundings,
)
from rdahw.data import Binariser, Code, Column, Schema
from rdahw.families import find_family
from rdahw.families.ensemble.circuits import ensemble_model
from rdahw.families.ensemble.spec import EnsembleSpec
from rdahw.family import Task
from rdahw.primitives import PRIMITIVES
from rdahw.saved import SavedModel
from rdahw.tracing import equal as equal_bits
from rdahw.training import Progress, Schedule

SQUARE = trace(lambda x: x & x, x=Bits(1))


def holds(claim: Claim) -> bool:
    """By brute force; the two sides and the miter must say the same, where at most one linear bit is set."""
    inputs = inputs_of(claim.miter)
    differ = (evaluate(claim.left, inputs) != evaluate(claim.right, inputs)).any(axis=-1)
    linear = np.repeat([n in claim.linear for n in claim.left.input_names], [t.width for t in claim.left.input_types])
    asked = inputs[:, linear].sum(axis=1) <= 1
    np.testing.assert_array_equal(evaluate(claim.miter, inputs)[:, 0], differ & asked)
    if len(inputs) == 1 << inputs.shape[1]:  # all there are
        assert differ.any() == (differ & asked).any()
    return not differ.any()


@given(circuits(gates=5))
def test_the_adjoint_holds_of_every_circuit(f: Circuit) -> None:
    assert holds(adjoint(f))


@given(safe_circuits())
def test_the_difference_holds_of_safe_circuits(f: Circuit) -> None:
    assert holds(difference(f))


@given(circuits(gates=5, inputs=[2, 1], outputs=[2, 1]))
def test_unit_vectors_refute_the_difference_where_any_does(f: Circuit) -> None:
    claim = difference(f)
    assert holds(claim) == (not evaluate(claim.miter, every(6)).any())


def test_only_what_both_sides_are_linear_in_is_asked_by_unit_vectors() -> None:
    f = trace(lambda a, b: {"p": a & b, "q": a ^ b}, a=Bits(2), b=Bits(2))
    assert difference(f).linear == adjoint(f).linear == ("dp", "dq")
    bent = custom_reverse(SQUARE, trace(lambda x, dy: dy & dy, x=Bits(1), dy=Bits(1)), name="bent", exact=True)
    assert difference(trace(bent, x=Bits(1))).linear == ()


def test_the_difference_of_a_square_is_refuted_where_dy_is_set() -> None:
    claim = difference(SQUARE)
    assert claim.miter.input_names == ("x", "dy")
    assert evaluate(claim.miter, every(2))[:, 0].tolist() == [0, 0, 1, 1]
    assert holds(adjoint(SQUARE))


def test_a_wrong_reverse_rule_breaks_the_adjoint(monkeypatch: pytest.MonkeyPatch) -> None:
    f = trace(lambda x: mux(x[0], x[1], x[2]), x=Bits(3))
    assert holds(adjoint(f))
    wrong = replace(PRIMITIVES["mux"], reverse=lambda dy, select, a, b: [a & dy, select & dy, ~select & dy])
    monkeypatch.setitem(PRIMITIVES, "mux", wrong)
    assert not holds(adjoint(f))


def test_custom_has_a_claim_for_each_kind_of_block_and_primitive() -> None:
    claims = custom(trace(lambda t, x: t.lookup(x).lookup(x[:1]) ^ t.lookup(x)[:1], t=Bits(8), x=Bits(2)))
    assert [claim.size for claim in claims] == ["lookup: 8+2 -> 2", "lookup: 2+1 -> 1"]
    assert all(holds(claim) for claim in claims)
    (claim,) = custom(mask_model(3))
    assert claim.size == "mask of 3 inputs, k = 4: 3+3 -> 1"
    assert claim.words == "the declared reverse of block 'mask of 3 inputs, k = 4' is its Boolean difference"
    assert holds(claim)
    assert_is_boolean_difference(claim.right, mask_model(3))


def test_a_surrogate_claims_nothing_and_a_false_exact_block_does_not_hold() -> None:
    r = reverse(SQUARE)
    for exact in (False, True):
        block = custom_reverse(SQUARE, r, name="square", exact=exact)
        assert [holds(claim) for claim in custom(trace(block, x=Bits(1)))] == [False] * exact


def test_equal_circuits_may_have_other_names() -> None:
    f = trace(lambda a, b: a | b, a=Bits(2), b=Bits(2))
    assert holds(equal(f, trace(lambda p, q: {"r": ~(~p & ~q)}, p=Bits(2), q=Bits(2))))
    assert not holds(equal(f, trace(lambda p, q: p ^ q, p=Bits(2), q=Bits(2))))
    with pytest.raises(UserError, match=re.escape("a circuit of 2+2 -> 2 bits cannot be equal to one of 1 -> 1")):
        equal(f, SQUARE)


def test_one_hot() -> None:
    assert holds(one_hot(trace(lambda x: x.decode(), x=Bits(3))))
    assert holds(one_hot(trace(lambda x: x.zeros(4), x=Bits(3))))
    assert not holds(one_hot(trace(lambda x: x, x=Bits(2))))


def test_robustness_within_so_many_flips() -> None:
    # 1 at 0000 and at 1111 alone: one flip changes the answer there, and so do two.
    alike = trace(lambda x: equal_bits(x, 0) | equal_bits(x, 15), x=Bits(4))
    assert not holds(robust(alike, 1))
    assert holds(robust(trace(lambda x: alike(x[0].repeat(4)), x=Bits(1)), 1))
    wrong = evaluate(robust(trace(lambda x: x.parity(), x=Bits(3)), 2).miter, every(6))[:, 0]
    flips = every(6)[:, 3:].sum(axis=-1)
    np.testing.assert_array_equal(wrong, flips == 1)  # two flips keep a parity, three are too many


def test_what_robustness_cannot_be_asked_of() -> None:
    with pytest.raises(UserError, match="robustness to 2 flips is invalid for 1 input bits; expected 1 to 1"):
        robust(SQUARE, 2)
    with pytest.raises(UserError, match="about one input, and the circuit has 2; bind the parameters"):
        robust(lookup_model(2, 1), 1)


def test_linearity_is_seen_only_where_it_is() -> None:
    def linear(function: object) -> bool:
        return _is_linear(trace(function, x=Bits(2), d=Bits(2)), ["d"])  # type: ignore[arg-type]

    assert linear(lambda x, d: (x & d) ^ d[::-1])
    assert linear(lambda x, d: d & 0)
    assert not linear(lambda x, d: d & d)
    assert not linear(lambda x, d: d ^ x)
    assert not linear(lambda x, d: d ^ 1)
    assert not linear(lambda x, d: x)


def test_a_claim_that_nobody_can_decide_says_its_size() -> None:
    with pytest.raises(TooLarge, match=r"^the claim 'difference' about a circuit of 16384\+14 -> 1 bits would take"):
        difference(lookup_model(14, 1))
    with pytest.raises(TooLarge, match="gates; at most 8,388,608 are tried: prove a smaller size"):
        adjoint(lookup_model(14, 1))


def test_gates_are_counted_without_being_made() -> None:
    assert count_gates(trace(lambda a, b: (a ^ b) & a, a=Bits(3), b=Bits(3))) == 12
    assert count_gates(trace(lambda a: ~a, a=Bits(3))) == 6
    assert shape(lookup_model(4, 3)) == "48+4 -> 3"


# -- what surrounds a circuit ------------------------------------------------------------------------------------------

NUMBERS = (Column("number"), Column("number"))


def saved(
    features: Sequence[Sequence[float]] = ((0, 0), (1, 4)),
    *,
    rule: str = "midrange",
    columns: tuple[Column, ...] = NUMBERS,
    labels: tuple[str, ...] = ("no", "yes"),
    code: Code = "binary",
) -> SavedModel:
    names = ("size", "weight")
    binariser = Binariser.fit(rule, np.array(features, float), columns, names)
    spec = find_family("lookup").spec(Task(input_bits=2, classes=2), labels=code)
    return SavedModel(
        spec=spec,
        state=spec.initial_state(),
        progress=Progress(),
        schema=Schema(names, columns, labels),
        binariser=binariser,
        schedule=Schedule(),
        provenance={},
    )


def test_models_with_the_same_surroundings() -> None:
    assert surroundings(saved(), saved()) == []


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (saved(rule="quantile=1"), "the rules of their binarisers are 'midrange' and 'quantile=1'"),
        (saved(((0, 0), (1, 5))), "the thresholds of 'weight' are (0.0, 4.0) and (0.0, 5.0)"),
        (
            saved(columns=(Column("number"), Column("binary")), features=((0, 0), (1, 1))),
            "the kinds of the features are (number, number) and (number, binary)",
        ),
        (
            saved(columns=(Column("number", missing=True), Column("number"))),
            "the kinds of the features are (number, number) and (number/missing, number)",
        ),
        (saved(code="one-hot"), "the codes of the labels are 'binary' and 'one-hot'"),
        (saved(labels=("yes", "no")), "the labels are (no, yes) and (yes, no)"),
    ],
)
def test_what_differs_around_two_models_is_said(other: SavedModel, said: str) -> None:
    assert surroundings(saved(), other) == [said]


def test_other_rare_categories_are_said() -> None:
    homes = Column("category", tuple("abcdefghijklmnopqrstuvwxyz"))
    columns, homed = (homes, Column("number")), [(i, 0) for i in range(26)]
    one, other = (saved(features, columns=columns) for features in (homed, [(0, 0), *homed]))
    assert surroundings(one, one) == []
    (said,) = surroundings(one, other)
    assert said.startswith("the rare categories are ((0, 1, 2, ")


def test_thresholds_of_all_columns_are_of_none() -> None:
    one, other = (saved(rule=f"threshold={value}") for value in (1, 2))
    assert surroundings(
        replace(one, binariser=replace(one.binariser, rule="t")),
        replace(other, binariser=replace(other.binariser, rule="t")),
    ) == ["the thresholds are (1.0) and (2.0)"]


@pytest.mark.parametrize("changes", [{}, {"classes": 3}, {"sign": True}])
def test_the_adjoint_of_an_ensemble_is_that_of_its_counters(changes: dict[str, Any]) -> None:
    options = {"input_bits": 2, "classes": 2, "tables": 1, "inputs": 1, "counter": 2, "margin": 1, **changes}
    f = ensemble_model(EnsembleSpec(**options))
    claim = adjoint(f)
    assert (claim.left.input_names, claim.left.output_names) == (("theta", "x", "dy"), ("dtheta",))
    assert claim.words == "the reverse derivative is the adjoint of the forward derivative, x held"
    rows = np.random.default_rng(1).integers(0, 2, (4096, sum(t.width for t in claim.left.input_types)), np.uint8)
    assert not evaluate(claim.miter, rows).any()


def test_a_wrong_reverse_rule_of_words_breaks_the_adjoint(monkeypatch: pytest.MonkeyPatch) -> None:
    f = ensemble_model(EnsembleSpec(input_bits=2, classes=2, tables=1, inputs=1, counter=2))
    right = PRIMITIVES["lookup_words"].reverse
    assert right is not None
    # The cotangent goes to the row that is not addressed.
    wrong = replace(
        PRIMITIVES["lookup_words"],
        reverse=lambda dy, table, address, tables, bits: right(dy, table, ~address, tables, bits),
    )
    monkeypatch.setitem(PRIMITIVES, "lookup_words", wrong)
    claim = adjoint(f)
    rows = np.random.default_rng(1).integers(0, 2, (256, sum(t.width for t in claim.left.input_types)), np.uint8)
    assert evaluate(claim.miter, rows).any()


def test_the_adjoint_needs_an_input_of_the_outputs_ring() -> None:
    with pytest.raises(UserError, match="'adjoint' needs an input in the ring of the outputs"):
        adjoint(trace(lambda x: x.as_words(2), x=Bits(4)))
