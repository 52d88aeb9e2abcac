"""Boosted models: each step of the rule by hand, the circuit, what cannot be, and the target in steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdahw.data import Target, label_sets
from rdahw.errors import UsageError, UserError
from rdahw.families import find_family
from rdahw.families.boosted import BoostedSpec, Boosting
from rdahw.families.boosted.circuits import boosted_model, table_bits
from rdahw.families.boosted.rule import SUM_BITS, base, cell_numbers, percentile, predictions, requests
from rdahw.families.boosted.spec import candidates, sample
from rdahw.family import Task
from rdahw.random import stream, words
from rdahw.sim.reference import Reference

SMALL: dict[str, Any] = {"input_bits": 20, "steps": 100, "tables": 6, "inputs": 2}


def examples(count: int = 120) -> tuple[Any, Any]:
    random = np.random.default_rng(5)
    x = random.integers(0, 2, (count, 20), np.uint8)
    return x, (30 * x[:, 3] + 40 * (x[:, 7] & x[:, 11]) + random.integers(0, 20, count)).astype(np.int64)


def grown(spec: BoostedSpec, x: Any, y: Any) -> Boosting:
    model = Boosting(spec)
    prepared = model.prepare(x)
    for _ in range(spec.tables):
        model.grow(prepared, y)
    return model


# -- random choices ----------------------------------------------------------------------------------------------------


def test_candidates_and_samples_are_drawn_as_described() -> None:
    spec = BoostedSpec(**{**SMALL, "candidates": 5, "sample": 30, "seed": 9})
    drawn = [int(w) % 20 for w in words(stream(9, "candidates", 4), 200)[2:]]
    assert candidates(spec, 4).tolist() == sorted(list(dict.fromkeys(drawn))[:5])
    below = [i for i, w in enumerate(words(stream(9, "sample", 4), 50)) if int(w) % 100 < 30]
    assert sample(spec, 4, 50).tolist() == below
    assert sample(BoostedSpec(**SMALL, sample=100), 4, 50).tolist() == list(range(50))


# -- the rule by hand --------------------------------------------------------------------------------------------------


def test_the_base() -> None:
    labels = np.array([1, 2, 2, 9])
    assert base(BoostedSpec(**SMALL, shift=4), labels) == 56  # the mean, 3.5
    assert base(BoostedSpec(**SMALL, shift=0), labels) == 4  # halves up
    assert base(BoostedSpec(**SMALL, quantile=50, shift=4), labels) == 2 * 16
    assert base(BoostedSpec(**SMALL, quantile=76, shift=4), labels) == 9 * 16


@given(st.integers(1, 99), st.lists(st.integers(-9, 9), min_size=1, max_size=30))
def test_a_percentile_is_the_least_that_enough_do_not_exceed(percent: int, numbers: list[int]) -> None:
    enough = [v for v in numbers if 100 * sum(w <= v for w in numbers) >= percent * len(numbers)]
    assert percentile(percent, np.array(numbers)) == min(enough)


def test_requests_are_the_negative_gradient() -> None:
    residuals = np.array([-7, 0, 3])
    assert requests(BoostedSpec(**SMALL), residuals).tolist() == [-7, 0, 3]
    assert requests(BoostedSpec(**SMALL, quantile=80), residuals).tolist() == [-20, 0, 80]


def test_large_requests_are_shifted() -> None:
    residuals = np.array([1 << SUM_BITS, -1, 6])
    # 3 * 2^31 has 33 bits.
    assert requests(BoostedSpec(**SMALL), residuals).tolist() == [1 << SUM_BITS - 2, -1, 1]


def test_the_numbers_of_a_table() -> None:
    cells, residuals = np.array([0, 0, 0, 3, 3]), np.array([10, 20, 30, -8, -9])
    spec = BoostedSpec(**SMALL, shift=1, shrink=0)
    assert cell_numbers(spec, cells, residuals).tolist() == [10, 0, 0, -4]  # -17 / 4 = -4.25
    shrunk = BoostedSpec(**SMALL, shift=1, shrink=3)
    assert cell_numbers(shrunk, cells, residuals).tolist() == [5, 0, 0, -2]  # 60 / 12, -17 / 10
    median = BoostedSpec(**SMALL, shift=0, shrink=1, quantile=50)
    assert cell_numbers(median, cells, residuals).tolist() == [15, 0, 0, -6]  # 3 * 20 / 4, 2 * -9 / 3
    limit = BoostedSpec(**{**SMALL, "steps": 2}, shift=0, shrink=0)  # numbers of 3 bits
    assert cell_numbers(limit, cells, residuals).tolist() == [3, 0, 0, -4]


def test_predictions_are_rounded_and_limited() -> None:
    spec = BoostedSpec(**SMALL, shift=2)
    scores = np.array([-9, 1, 2, 5, 6, 397, 398, 9999])
    assert predictions(spec, scores[:, None]).tolist() == [0, 0, 1, 1, 2, 99, 99, 99]
    assert predictions(BoostedSpec(**SMALL, shift=0), np.array([[-1], [7], [100]])).tolist() == [0, 7, 99]


def test_the_inputs_are_those_of_the_largest_gain() -> None:
    x, y = examples()
    spec = BoostedSpec(**SMALL, sample=100, shrink=2)
    model = grown(BoostedSpec(**{**SMALL, "tables": 1}, sample=100, shrink=2), x, y)
    asked = (y << spec.shift) - base(spec, y)

    def gain(inputs: list[int]) -> int:
        total = 0
        for values in np.ndindex(*[2] * len(inputs)):
            rows = (x[:, inputs] == values).all(axis=1)
            total += int(asked[rows].sum()) ** 2 // (int(rows.sum()) + 2)
        return total

    first = max(range(20), key=lambda wire: gain([wire]))
    second = max((w for w in range(20) if w != first), key=lambda wire: gain([first, wire]))
    assert model.state["wiring"].tolist() == [[first, second]]


def test_it_learns_and_a_smaller_model_is_the_start_of_a_larger_one() -> None:
    x, y = examples()
    small, large = (grown(BoostedSpec(**{**SMALL, "tables": n}, shift=2), x, y) for n in (10, 60))
    for name in ("tables", "wiring"):
        np.testing.assert_array_equal(large.state[name][:10], small.state[name])
    errors = [np.abs(model.predict(model.prepare(x)) - y).mean() for model in (small, large)]
    assert errors[1] < errors[0] < np.abs(y - np.median(y)).mean()


@pytest.mark.parametrize("percent", [10, 50, 90])
def test_the_pinball_loss_predicts_a_percentile(percent: int) -> None:
    x, y = examples(600)
    model = grown(BoostedSpec(**{**SMALL, "tables": 80}, shift=2, quantile=percent, sample=100), x, y)
    below = 100 * (y <= model.predict(model.prepare(x))).mean()
    assert abs(below - percent) < 12


# -- the circuit -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("inputs", [1, 2, 4])
@pytest.mark.parametrize("shift", [0, 3])
@pytest.mark.parametrize("largest", [0, 1, 90])
def test_the_circuit_predicts_the_same(inputs: int, shift: int, largest: int) -> None:
    random = np.random.default_rng(inputs)
    spec = BoostedSpec(**{**SMALL, "inputs": inputs, "tables": 9}, shift=shift)
    model = Boosting(spec)
    wiring = np.stack([random.permutation(20)[:inputs] for _ in range(9)])
    tables = random.integers(-largest, largest + 1, (9, 1 << inputs))
    tables[4] = 0  # a table that adds nothing is left out
    model.state = {"tables": tables, "wiring": wiring, "base": np.array([50 << shift]), "grown": np.array([9])}
    x = random.integers(0, 2, (300, 20), np.uint8)
    expected = model.predict(model.prepare(x))
    if largest == 90 and shift == 0:
        assert {0, 99} < set(expected.tolist())  # both limits are reached
    (found,) = Reference(boosted_model(spec, model.state))(table_bits(model.state)[None], x)
    np.testing.assert_array_equal((found.astype(np.int64) << np.arange(7)).sum(axis=1), expected)
    circuit, state = spec.trained(model.state)
    assert (circuit.classes, circuit.code) == (100, "binary")
    assert circuit.parameters.check(state["parameters"]).size == circuit.parameters.bits


# -- what cannot be ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"steps": 1}, "steps of a boosted model is 1; expected a whole number from 2 to 65536"),
        ({"quantile": 100}, "quantile of a boosted model is 100; expected a whole number from 0 to 99"),
        ({"inputs": 3, "candidates": 2}, "a table of 3 inputs has only 2 bits to choose from; lower inputs"),
    ],
)
def test_what_cannot_be(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        BoostedSpec(**{**SMALL, **options})


def test_json_and_states_from_files() -> None:
    spec = BoostedSpec(**SMALL, quantile=25)
    assert BoostedSpec.from_json(spec.to_json()) == spec
    with pytest.raises(UserError, match="damaged or was not written by rdahw"):
        BoostedSpec.from_json({**spec.to_json(), "shift": 99})
    state = spec.initial_state()
    spec.check_state(state)
    for name, value in (("wiring", 20), ("grown", 7), ("base", -1), ("tables", 1)):
        with pytest.raises(UserError, match=f"the field '{name}' is not"):
            spec.check_state({**state, name: np.full_like(state[name], value)})


def test_the_score_on_validation_examples_falls_with_the_loss() -> None:
    labels = np.array([0, 50, 99])
    for spec in (BoostedSpec(**SMALL), BoostedSpec(**SMALL, quantile=30)):
        scores = [spec.score(labels + apart, labels) for apart in (0, 1, -4)]
        assert scores[0] > scores[1] > scores[2]
        assert spec.score(np.array([99, 0, 0]), np.array([0, 99, 99])) >= 0
    low = BoostedSpec(**SMALL, quantile=10)
    assert low.score(labels - 2, labels) > low.score(labels + 2, labels)


# -- sets of labels ----------------------------------------------------------------------------------------------------

SETS: dict[str, Any] = {**SMALL, "steps": 4096, "labels": 3}


def set_examples(count: int = 200) -> tuple[Any, Any]:
    x = np.random.default_rng(6).integers(0, 2, (count, 20), np.uint8)
    return x, label_sets(np.stack([x[:, 2], x[:, 4] | x[:, 9], np.zeros(count, np.uint8)], axis=1))


def test_each_label_has_a_residual_and_all_share_the_inputs() -> None:
    x, y = set_examples()
    model = grown(BoostedSpec(**{**SETS, "tables": 1}, sample=100, shift=0, shrink=2), x, y)
    residuals = np.stack([4095 * (y >> label & 1) for label in range(3)]) - model.state["base"][:, None]
    assert model.state["base"].tolist() == [int(np.floor(4095 * (y >> label & 1).mean() + 0.5)) for label in range(3)]

    def gain(inputs: list[int]) -> int:
        total = 0
        for values in np.ndindex(*[2] * len(inputs)):
            rows = (x[:, inputs] == values).all(axis=1)
            total += sum(int(each[rows].sum()) ** 2 // (int(rows.sum()) + 2) for each in residuals)
        return total

    first = max(range(20), key=lambda wire: gain([wire]))
    second = max((w for w in range(20) if w != first), key=lambda wire: gain([first, wire]))
    assert model.state["wiring"].tolist() == [[first, second]]
    cells = x[:, first] + 2 * x[:, second]
    for label in range(3):
        numbers = cell_numbers(model.spec, cells.astype(np.int64), residuals[label])
        assert model.state["tables"][0, :, label].tolist() == numbers.tolist()


def test_a_label_is_predicted_above_the_middle() -> None:
    spec = BoostedSpec(**SETS, shift=1)
    assert spec.middle == 4095
    assert predictions(spec, np.array([[4095, 4096, 0], [9999, -9, 9999]])).tolist() == [0b010, 0b101]


def test_sets_are_learned() -> None:
    x, y = set_examples()
    model = grown(BoostedSpec(**{**SETS, "tables": 40}, shift=2), x, y)
    assert (model.predict(model.prepare(x)) == y).mean() > 0.98
    assert model.spec.score(y ^ 0b101, y) == len(y)
    assert np.argmax(model.spec.importances(model.state)) == 2


@pytest.mark.parametrize("largest", [0, 2, 3000])
def test_the_circuit_has_a_bit_for_each_label(largest: int) -> None:
    random = np.random.default_rng(largest)
    spec = BoostedSpec(**{**SETS, "tables": 9}, shift=0)
    model = Boosting(spec)
    wiring = np.stack([random.permutation(20)[:2] for _ in range(9)])
    tables = random.integers(-largest, largest + 1, (9, 4, 3))
    base = np.array([2047, 2048, 4095])
    model.state = {"tables": tables, "wiring": wiring, "base": base, "grown": np.array([9])}
    x = random.integers(0, 2, (300, 20), np.uint8)
    expected = model.predict(model.prepare(x))
    assert len(set(expected.tolist())) > 3 * (largest > 0)
    (found,) = Reference(boosted_model(spec, model.state))(table_bits(model.state)[None], x)
    np.testing.assert_array_equal(np.broadcast_to(found, (300, 3)) @ [1, 2, 4], expected)
    circuit, _ = spec.trained(model.state)
    assert (circuit.classes, circuit.code) == (8, "binary")


def test_specs_of_sets() -> None:
    spec = BoostedSpec(**SETS)
    assert BoostedSpec.from_json(spec.to_json()) == spec
    assert "labels" not in BoostedSpec(**SMALL).to_json()
    task = Task(input_bits=8, classes=1 << 5, kind="multilabel", labels=5)
    assert find_family("boosted").spec(task).classes == 32
    with pytest.raises(UsageError, match="quantile is 5, and a label has no percentiles; leave it out"):
        BoostedSpec(**SETS, quantile=5)


def test_families_say_what_they_learn() -> None:
    numbers = Task(input_bits=8, classes=100, kind="regression")
    assert find_family("boosted").spec(numbers).classes == 100
    with pytest.raises(UsageError, match="model 'lookup' is for classification, and the task is regression; choose"):
        find_family("lookup").spec(numbers)
    with pytest.raises(
        UsageError, match="model 'boosted' is for regression and multilabel, and the task is classification"
    ):
        find_family("boosted").spec(Task(input_bits=8, classes=100))


def test_losses_by_name() -> None:
    family = find_family("boosted")
    assert family.rule_options("loss", "quadratic") == {}
    assert family.rule_options("loss", "pinball=75") == {"quantile": 75}
    for wrong in ("quadratic=2", "pinball", "hinge"):
        with pytest.raises(UsageError, match="use quadratic or pinball=NUMBER"):
            family.rule_options("loss", wrong)


# -- targets -----------------------------------------------------------------------------------------------------------


def test_a_target_is_fitted_to_the_labels() -> None:
    target = Target.fit([3.0, 7.095, 5.0])
    assert (target.low, target.steps) == (3.0, 4096)
    assert target.high == pytest.approx(7.095)
    given_range = Target.fit([3.0], low=0, high=10, step=2.5)
    assert (given_range.steps, given_range.high) == (5, 10)
    assert given_range.numbers([-4, 0, 1.24, 1.25, 9, 99]).tolist() == [0, 0, 0, 1, 4, 4]
    assert given_range.values([0, 3]).tolist() == [0, 7.5]
    assert given_range.outside([-4, -1.2, 11, 12]) == 2
    assert Target.from_json(target.to_json()) == target


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20))
def test_labels_are_within_half_a_step(values: list[float]) -> None:
    target = Target.fit(values)
    assert (np.abs(target.values(target.numbers(values)) - values) <= target.step * 0.5001).all()


def test_a_target_of_one_number() -> None:
    assert Target.fit([4.0, 4.0]).values(Target.fit([4.0]).numbers([4.0])).tolist() == [4.0]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"low": 9, "high": 2}, "the range of the labels is 9 to 2; give the smaller number first"),
        ({"step": 0}, "the step of the labels is 0; expected a number above 0"),
        ({"low": 0, "high": 1e6, "step": 1}, "are more than 65,536; give a larger step or a smaller range"),
    ],
)
def test_targets_that_cannot_be(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        Target.fit([1.0, 2.0], **given)


def test_labels_that_are_too_far_apart() -> None:
    with pytest.raises(UserError, match="more than a float64 holds; scale them"):
        Target.fit([-1.5e308, 1.5e308])


@pytest.mark.parametrize("wrong", [{"low": 0.0, "step": 0, "steps": 5}, {"low": 0.0, "step": 1.0, "steps": 1}, 7])
def test_damaged_targets(wrong: Any) -> None:
    with pytest.raises(UserError, match="the schema's 'target'"):
        Target.from_json(wrong)
