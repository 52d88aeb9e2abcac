"""Weights of classes and of examples, in RDAClassifier and RDARegressor: how often examples are learned."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.ensemble import AdaBoostClassifier

from rdahw import RDAClassifier, RDARegressor
from rdahw.families import find_family
from rdahw.family import Candidate
from rdahw.sim.weights import weighted
from rdahw.training import spread

X, Y = load_iris(return_X_y=True)
FEW = np.concatenate([np.arange(50), np.arange(50, 60), np.arange(100, 125)])  # 50, 10 and 25 of each class


RANDOM = np.random.default_rng(22)
#: How often the examples of Iris come, and an order in which they come.
TIMES, ORDER = RANDOM.integers(0, 4, 150), RANDOM.permutation(150)


def small(**options: Any) -> RDAClassifier:
    return RDAClassifier(**{"tables": 20, "epochs": 3, **options})


def assert_equal_states(one: Any, other: Any) -> None:
    assert one.spec_ == other.spec_
    for name, value in other.state_.items():
        np.testing.assert_array_equal(one.state_[name], value)


@pytest.mark.parametrize(
    ("weight", "repeats"),
    [
        ("balanced", [1, 5, 2]),
        ({0: 1, 1: 3, 2: 2}, [1, 3, 2]),
        ({1: 4}, [1, 4, 1]),
        ({0: 0.5, 1: 0.75, 2: 1.0}, [1, 2, 2]),
        ({0: 1, 2: 0}, [1, 1, 0]),
    ],
)
@pytest.mark.parametrize("model", ["ensemble", "grown", "linear"])
def test_a_class_of_weight_w_is_learned_w_times(model: str, weight: Any, repeats: list[int]) -> None:
    x, y = X[FEW], Y[FEW]
    options = {"model": model} | ({} if model == "ensemble" else {"tables": "auto"})
    rows = spread(np.array(repeats)[y])
    weighted = small(class_weight=weight, **options).fit(x, y)
    repeated = small(**options).fit(x[rows], y[rows])
    assert weighted.classes_.tolist() == [0, 1, 2]
    if repeats[-1]:
        assert_equal_states(weighted, repeated)
    else:
        assert (weighted.predict(x) != 2).all()


def test_calls_of_partial_fit_equal_one_fit() -> None:
    weighted, parts = small(class_weight={1: 4}).fit(X, Y), small(class_weight={1: 4})
    for _ in range(3):
        parts.partial_fit(X, Y, classes=[0, 1, 2])
    np.testing.assert_array_equal(parts.counters_, weighted.counters_)


@pytest.mark.parametrize("weight", ["many", {0: -1.0}, {0: 0, 1: 0, 2: 0}, 3, {0: float("nan")}])
def test_errors(weight: Any) -> None:
    with pytest.raises(
        ValueError, match="class_weight is .*; expected None, 'balanced', or a dict of weights of at leas"
    ):
        small(class_weight=weight).fit(X, Y)


def test_weights_that_cannot_be() -> None:
    with pytest.raises(
        ValueError, match="class_weight 'balanced' needs all examples, and partial_fit has a part; give"
    ):
        small(class_weight="balanced").partial_fit(X, Y, classes=[0, 1, 2])
    with pytest.raises(ValueError, match="class_weight is 'balanced', and examples have several labels; leave it out"):
        small(class_weight="balanced").fit(X, np.eye(3, dtype=int)[Y])


# -- weights of examples -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "model",
    [
        small(),
        small(class_weight="balanced"),
        small(class_weight={1: 3}),
        RDAClassifier(model="grown:tables=20"),
        RDAClassifier(model="layers:12x3,12x3", epochs=2),
        RDAClassifier(model="linear", epochs=2),
        RDAClassifier(model="lookup", epochs=2, bits=2),
        RDARegressor(tables=20),
    ],
    ids=["ensemble", "balanced", "classes", "grown", "layers", "linear", "lookup", "regressor"],
)
def test_an_example_of_weight_w_is_learned_w_times(model: Any) -> None:
    rows = RANDOM.permutation(np.repeat(np.arange(150), TIMES))
    repeated = clone(model).fit(X[rows], Y[rows])
    given = clone(model).fit(X[ORDER], Y[ORDER], sample_weight=TIMES[ORDER])
    assert_equal_states(given, repeated)
    np.testing.assert_array_equal(given.predict(X), repeated.predict(X))
    once = clone(model).fit(X, Y)
    assert any(not np.array_equal(once.state_[name], value) for name, value in given.state_.items())


@pytest.mark.parametrize("weight", [1, 1.0, np.ones(149), [7.5] * 149, None])
def test_equal_weights_change_nothing(weight: Any) -> None:
    x, y = np.unique(X, axis=0), np.arange(149) % 3
    assert_equal_states(small().fit(x, y, sample_weight=weight), small().fit(x, y))


def test_the_order_of_examples_matters_only_where_none_comes_twice() -> None:
    x, y = np.unique(X, axis=0), np.arange(149) % 3
    order = ORDER[ORDER < 149]
    once = [small().fit(x[rows], y[rows]).counters_ for rows in (slice(None), order)]
    assert not np.array_equal(*once)
    x, y = np.concatenate([x, x[:1]]), np.append(y, y[0])
    x[0, 0], x[-1, 0] = 0.0, -0.0  # which are equal
    assert_equal_states(small().fit(x, y), small().fit(x[ORDER], y[ORDER]))


def test_examples_of_weight_0_are_left_out() -> None:
    frame = pd.DataFrame(X, columns=list("abcd")).assign(kind=np.array(["x", "y", "z"])[Y])
    weight = (Y < 2).astype(float)
    given = small().fit(frame, Y, sample_weight=weight)
    assert_equal_states(given, small().fit(frame[:100], Y[:100]))
    assert given.classes_.tolist() == [0, 1]
    assert "kind = z" not in given.wire_names_
    with pytest.raises(ValueError, match="y has 1 class with a sample_weight above 0; expected 2 or more"):
        small().fit(frame, Y, sample_weight=(Y == 2).astype(float))


@pytest.mark.parametrize(
    ("weights", "repeats"),
    [
        ([1, 2, 1000], [1, 2, 1000]),
        ([2, 4, 6], [2, 4, 6]),
        ([0.5, 0.75, 1.0], [1, 2, 2]),
        ([0.25, 0.25, 0.5], [1, 1, 2]),
        ([1001, 2002, 1001], [1, 2, 1]),
        ([1e-9, 1.0, 2.0], [1, 2]),
        ([0.01, 0.5, 0.9], [17, 31]),
    ],
)
def test_weights_become_whole_numbers(weights: list[float], repeats: list[int]) -> None:
    x, y = np.arange(3.0)[:, None], np.arange(3)
    _, kept, found = weighted(x, y, weights)
    assert found is not None
    assert (kept.tolist(), found.tolist()) == ([0, 1, 2][3 - len(repeats) :], repeats)


def test_no_weight_is_off_by_much() -> None:
    weights = RANDOM.exponential(size=500) ** 3
    _, kept, repeats = weighted(weights[:, None], np.arange(500), weights)
    assert repeats is not None
    assert repeats.sum() < 17 * 500
    off = weights.copy()
    off[kept] -= repeats * weights.mean() / 16
    assert np.abs(off).max() <= weights.mean() / 32 * (1 + 1e-9)


@pytest.mark.parametrize("model", [small(), RDARegressor(tables=20)], ids=["classifier", "regressor"])
@pytest.mark.parametrize(
    ("weight", "sentence"),
    [
        (
            np.where(np.arange(150) == 4, -2.0, 1),
            r"the sample_weight of example 4 is -2\.0; expected a number of at leas",
        ),
        (
            np.zeros(150),
            "(every sample_weight is zero; expected one abo|Sample weights must contain at least one non-zero n)",
        ),
        (np.where(np.arange(150) == 4, np.nan, 1), "Input sample_weight contains NaN"),
        (np.where(np.arange(150) == 4, np.inf, 1), "Input sample_weight contains infinity"),
        (np.ones(149), r"sample_weight.shape == \(149,\), expected \(150,\)"),
    ],
)
def test_weights_of_examples_that_cannot_be(model: Any, weight: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=f"^{sentence}"):
        clone(model).fit(X, Y, sample_weight=weight)


def test_labels_that_are_too_few_are_told_beside_weights() -> None:
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        small().fit(X, Y[:149], sample_weight=TIMES)
    with pytest.raises(ValueError, match="requires y to be passed, but the target y is None"):
        small().fit(X, None, sample_weight=TIMES)


def test_several_labels_have_weights_too() -> None:
    labels = np.stack([Y > 0, X[:, 0] > 5.5], axis=1).astype(int)
    rows = RANDOM.permutation(np.repeat(np.arange(150), TIMES))
    assert_equal_states(
        small().fit(X[ORDER], labels[ORDER], sample_weight=TIMES[ORDER]), small().fit(X[rows], labels[rows])
    )


def test_the_choice_of_a_model_counts_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    candidates = [
        (find_family(name), Candidate(options={"tables": 20}, thresholds=9)) for name in ("ensemble", "grown")
    ]
    monkeypatch.setattr("rdahw.sim.automatic.all_candidates", lambda size: candidates)
    rows = RANDOM.permutation(np.repeat(np.arange(150), TIMES))
    auto = RDAClassifier(model="auto", epochs=2)
    repeated, given = clone(auto).fit(X[rows], Y[rows]), clone(auto).fit(X[ORDER], Y[ORDER], sample_weight=TIMES[ORDER])
    for one, other in zip(given.choice_.trials, repeated.choice_.trials, strict=True):
        assert len(one.correct) == TIMES.sum()
        np.testing.assert_array_equal(one.correct, other.correct)
    assert_equal_states(given, repeated)


def test_boosting_by_weights() -> None:
    model = AdaBoostClassifier(small(epochs=1, random_state=3), n_estimators=5).fit(X, Y)
    assert len(model.estimators_) > 1
    assert model.score(X, Y) > 0.9
