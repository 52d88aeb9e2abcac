"""RDARegressor: scikit-learn's own checks, and that it is the model that it names."""

from __future__ import annotations

import inspect
import os
import pickle
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_diabetes, make_friedman1
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.utils.estimator_checks import parametrize_with_checks

from rdahw import RDARegressor
from rdahw.families import find_family
from rdahw.sim.engines import predict

X, Y = make_friedman1(400, noise=1, random_state=0)


CHECKS = parametrize_with_checks(
    [
        RDARegressor(tables=60),
        RDARegressor(tables=20, quantile=50, bits=3),
        RDARegressor(tables=60, shift=2, thresholds=[-0.5, 0, 0.5]),
    ]
)


# A list: scikit-learn 1.6 gives a generator, of which newer versions of pytest warn.
@pytest.mark.slow
@pytest.mark.parametrize(CHECKS.args[0], list(CHECKS.args[1]), **CHECKS.kwargs)
def test_checks_of_scikit_learn(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.mark.slow
def test_no_check_of_scikit_learn_is_skipped() -> None:
    """One of them needs a variable that SciPy reads when it is loaded."""
    program = (
        "from rdahw import RDARegressor; from sklearn.utils.estimator_checks import check_estimator\n"
        "print({result['status'] for result in check_estimator(RDARegressor())})"
    )
    command = [sys.executable, "-P", "-c", program]
    environment = {**os.environ, "SCIPY_ARRAY_API": "1"}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert run.stdout == "{'passed'}\n"


def test_it_is_the_model_that_it_names() -> None:
    fitted = RDARegressor(tables=30, random_state=7).fit(X, Y)
    spec = fitted.spec_
    assert (spec.family, spec.options()["tables"], spec.to_json()["seed"]) == ("boosted", 30, 7)
    wires = (X[:, fitted.wire_features_] > fitted.wire_thresholds_).astype(np.uint8)
    expected = fitted.target_.values(predict(spec, fitted.state_, wires))
    np.testing.assert_array_equal(fitted.predict(X), expected)
    assert (fitted.target_.low, fitted.target_.high) == pytest.approx((Y.min(), Y.max()))
    named = RDARegressor(model="boosted:tables=30", random_state=7).fit(X, Y)
    np.testing.assert_array_equal(named.predict(X), expected)


def test_it_learns() -> None:
    assert RDARegressor().fit(X[:300], Y[:300]).score(X[300:], Y[300:]) > 0.85


def test_range_and_step() -> None:
    fitted = RDARegressor(tables=40, low=0, high=20, step=0.5).fit(X, Y)
    assert fitted.target_.steps == 41
    found = fitted.predict(X)
    np.testing.assert_array_equal(found, np.round(2 * found) / 2)
    assert 0 <= found.min() < found.max() <= 20


def test_a_percentile() -> None:
    low, high = (RDARegressor(tables=200, quantile=percent).fit(X, Y).predict(X) for percent in (10, 90))
    assert (low < high).mean() > 0.95
    assert (high > Y).mean() > 0.8 > 0.2 > (low > Y).mean()


def test_it_can_be_copied_and_searched() -> None:
    search = GridSearchCV(RDARegressor(tables=20), {"inputs": [1, 3]}, cv=3).fit(X, Y)
    assert search.best_params_ == {"inputs": 3}
    best = search.best_estimator_
    copied = pickle.loads(pickle.dumps(best))  # noqa: S301
    np.testing.assert_array_equal(copied.predict(X), best.predict(X))
    assert clone(best).get_params() == best.get_params()


def test_the_features_that_matter() -> None:
    importances = RDARegressor().fit(X, Y).feature_importances_
    assert importances.sum() == pytest.approx(1)
    assert set(np.argsort(importances)[-5:]) == {0, 1, 2, 3, 4}  # the others are noise


def test_every_option_of_the_family_is_a_parameter() -> None:
    parameters = inspect.signature(RDARegressor).parameters
    for option in find_family("boosted").options:
        assert option.name in parameters
        assert f"{option.name}: {option.help[:30]}" in " ".join(RDARegressor.__doc__.split())
    assert "margin" not in parameters


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"tables": 0}, "option tables=0 of model 'boosted' is invalid; expected a whole number from 1 to 32768"),
        ({"model": "boosted:shift=2", "shift": 3}, "shift is both 2 and 3, by model 'boosted:shift=2' and by param"),
        ({"model": "lookup"}, "model 'lookup' is for classification, and RDARegressor was to learn regression; ch"),
        ({"model": "ensemble"}, "model 'ensemble' is for classification, and RDARegressor was to learn regression; ch"),
        ({"model": None}, "model is None; expected text such as 'boosted'"),
        ({"low": "a"}, "low is 'a'; expected a finite number or None"),
        ({"high": np.nan}, "high is nan; expected a finite number or None"),
        ({"step": 1e-9}, "steps of 1e-09 from 25 to 346 are more than 65,536; give a larger step or a smaller range"),
        ({"random_state": -1}, "random_state is -1; expected a whole number from 0 to"),
        ({"step": -1}, "the step of the labels is -1; expected a number above 0"),
        ({"bits": 0}, "bits is 0; expected a whole number of at least 1"),
    ],
)
def test_errors(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        RDARegressor(**options).fit(*load_diabetes(return_X_y=True))


def test_categories_are_refused() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"size": X[:, 0], "colour": np.where(X[:, 1] > 0.5, "red", "green")})
    with pytest.raises(ValueError, match="column 1 of X holds categories, and RDARegressor takes numbers; encode it"):
        RDARegressor().fit(frame, Y)


def test_misuse() -> None:
    with pytest.raises(TypeError, match="RDARegressor has no parameter 'table'; expected any of model, bits"):
        RDARegressor(table=3)
    with pytest.raises(NotFittedError):
        RDARegressor().predict(X)
