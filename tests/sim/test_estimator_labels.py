"""RDAClassifier for examples with several labels, as scikit-learn's multilabel indicator."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.datasets import make_multilabel_classification

from rdahw import RDAClassifier

X, Y = make_multilabel_classification(300, n_features=12, n_classes=4, random_state=3)


def small(**options: Any) -> RDAClassifier:
    return RDAClassifier(**{"tables": 60, **options})


@pytest.fixture(scope="module")
def fitted() -> RDAClassifier:
    return small().fit(X[:220], Y[:220])


def test_it_predicts_0_and_1_for_each_label(fitted: RDAClassifier) -> None:
    found = fitted.predict(X[220:])
    assert found.shape == (80, 4)
    assert set(np.unique(found)) == {0, 1}
    most_frequent = Y[:220].mean(axis=0) > 0.5
    assert (found == Y[220:]).mean() > 0.08 + (most_frequent == Y[220:]).mean()
    assert fitted.score(X[220:], Y[220:]) == (found == Y[220:]).all(axis=1).mean()
    np.testing.assert_array_equal(found, fitted.decision_function(X[220:]) > 0)
    for i in range(5):
        np.testing.assert_array_equal(fitted.predict(X[220 + i : 221 + i]), found[i : i + 1])
        np.testing.assert_array_equal(fitted.predict_one(X[220 + i]), found[i])
    assert fitted.classes_.tolist() == [0, 1, 2, 3]
    assert fitted.spec_.family == "boosted"
    assert fitted.feature_importances_.sum() == pytest.approx(1)


def test_sparse_labels_lists_pickles_and_threads_give_the_same(fitted: RDAClassifier) -> None:
    expected = fitted.predict(X)
    for y in (csr_matrix(Y), Y.tolist(), Y.astype(bool)):
        np.testing.assert_array_equal(small(n_jobs=2).fit(X[:220], y[:220]).predict(X), expected)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(fitted)).predict(X), expected)  # noqa: S301


def test_calls_of_partial_fit_equal_one_fit(fitted: RDAClassifier) -> None:
    parts = small()
    for _ in range(60):
        parts.partial_fit(X[:220], Y[:220])
    np.testing.assert_array_equal(parts.state_["tables"], fitted.state_["tables"])
    with pytest.raises(ValueError, match="y has 3 columns of labels; it had 4 at first"):
        parts.partial_fit(X, Y[:, :3])
    with pytest.raises(ValueError, match="y has no columns of labels; it had 4 at first"):
        parts.partial_fit(X, Y[:, 0])


def test_a_fit_may_change_the_kind_of_labels() -> None:
    model = small(tables=20).fit(X, Y)
    assert model.fit(X, Y[:, 0]).predict(X).shape == (300,)
    assert model.fit(X, Y[:, :2]).decision_function(X).shape == (300, 2)


@pytest.mark.parametrize("model", ["auto", "boosted", "boosted:tables=60"])
def test_the_model_by_name(model: str, fitted: RDAClassifier) -> None:
    options = {} if model == "boosted:tables=60" else {"tables": 60}
    np.testing.assert_array_equal(
        RDAClassifier(model=model, **options).fit(X[:220], Y[:220]).predict(X), fitted.predict(X)
    )


@pytest.mark.parametrize(
    ("options", "y", "sentence"),
    [
        (
            {"model": "lookup"},
            Y,
            "model 'lookup' is for classification, and RDAClassifier was to learn multilabel; choose",
        ),
        (
            {"model": "boosted"},
            Y[:, 0],
            "model 'boosted' is for regression and multilabel, and RDAClassifier was to learn",
        ),
        ({}, 2 * Y, "y has the shape .300, 4. and the values 0, 2; expected 0 and 1 for at most 62 labels"),
        ({}, np.tile(Y, 16), "y has the shape .300, 64. and the values 0, 1; expected 0 and 1 for at most 62 labels"),
        ({"model": "boosted:quantile=9"}, Y, "quantile is 9, and a label has no percentiles; leave it out"),
    ],
)
def test_errors(options: dict[str, Any], y: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        RDAClassifier(**options).fit(X, y)


def test_counters_are_those_of_the_model_that_learned(fitted: RDAClassifier) -> None:
    with pytest.raises(AttributeError, match="model 'boosted' has no counters; state_ has tables"):
        _ = fitted.counters_


def test_the_tag() -> None:
    assert RDAClassifier().__sklearn_tags__().classifier_tags.multi_label
    for options in ({"model": "lookup"}, {"dropout": 0.5}, {"model": 7}):
        assert not RDAClassifier(**options).__sklearn_tags__().classifier_tags.multi_label
