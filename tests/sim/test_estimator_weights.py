"""RDAClassifier with weights of classes: how often their examples are learned."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_iris

from rdahw import RDAClassifier
from rdahw.training import spread

X, Y = load_iris(return_X_y=True)
FEW = np.concatenate([np.arange(50), np.arange(50, 60), np.arange(100, 125)])  # 50, 10 and 25 of each class


def small(**options: Any) -> RDAClassifier:
    return RDAClassifier(**{"tables": 20, "epochs": 3, **options})


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
        for name, value in repeated.state_.items():
            np.testing.assert_array_equal(weighted.state_[name], value)
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
