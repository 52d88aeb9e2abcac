"""RDARegressor: scikit-learn's own checks, and that it is the model that it names."""

from __future__ import annotations

import inspect
import os
import pickle
import subprocess
import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.datasets import load_diabetes, make_friedman1
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.utils.estimator_checks import parametrize_with_checks

from rdahw import RDAOutlierDetector, RDARegressor
from rdahw.families import BUILT_IN, find_family
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
@pytest.mark.parametrize(("name", "options"), [("RDARegressor", "tables=30"), ("RDAOutlierDetector", "")])
def test_no_check_of_scikit_learn_is_skipped(name: str, options: str) -> None:
    """One of them needs a variable that SciPy reads when it is loaded."""
    program = (
        f"from rdahw import {name}; from sklearn.utils.estimator_checks import check_estimator\n"
        f"print({{result['status'] for result in check_estimator({name}({options}))}})"
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


def frame() -> pd.DataFrame:
    """X with a column of categories and one of ordered ones, and in both as in the numbers what is missing."""
    size = pd.cut(X[:, 1], 5, labels=["XS", "S", "M", "L", "XL"])
    colour = np.where(X[:, 3] > 0.5, "red", "green").astype(object)
    made = pd.DataFrame(X).rename(columns="x{}".format).assign(x1=size, x3=colour)
    made.loc[::7, "x0"] = np.nan
    made.loc[1::7, "x1"] = made.loc[2::7, "x3"] = None
    return made


def test_missing_values_and_categories() -> None:
    given = frame()
    fitted = RDARegressor().fit(given[:300], Y[:300])
    without = given.drop(columns=["x0", "x1", "x3"])
    least = RDARegressor().fit(without[:300], Y[:300]).score(without[300:], Y[300:])
    assert fitted.score(given[300:], Y[300:]) > least + 0.2
    assert np.flatnonzero(fitted.is_categorical_).tolist() == [1, 3]
    marks = ["x0 is missing", "x1 is missing", "x3 = green", "x3 = red", "x3 is missing"]
    assert fitted.wire_names_[-5:] == marks
    assert {name for name in fitted.wire_names_ if name.startswith("x1 >")} == {
        f"x1 > {s}" for s in ["XS", "S", "M", "L"]
    }
    wires = fitted._bits(fitted._checked(given), fitted._conversion)[:]
    for name, expected in (
        ("x0 is missing", given["x0"].isna()),
        ("x1 > S", given["x1"].isin(["M", "L", "XL"])),
        ("x3 = red", given["x3"] == "red"),
    ):
        np.testing.assert_array_equal(wires[:, fitted.wire_names_.index(name)], expected)
    copied = pickle.loads(pickle.dumps(fitted))  # noqa: S301
    np.testing.assert_array_equal(copied.predict(given), fitted.predict(given))
    unknown = given.assign(x3="blue", x1="XXL")
    np.testing.assert_array_equal(fitted.predict(unknown), fitted.predict(given.assign(x3="blue", x1=None)))
    assert fitted.feature_importances_[[0, 1, 3]].min() > 0


def test_numbers_with_gaps_have_the_thresholds_of_the_others() -> None:
    gaps = np.where(np.arange(400) % 4 == 0, np.nan, X[:, 3])[:, None]
    fitted = RDARegressor(bits=4).fit(gaps, Y)
    whole = RDARegressor(bits=4).fit(gaps[~np.isnan(gaps[:, 0])], Y[~np.isnan(gaps[:, 0])])
    np.testing.assert_array_equal(fitted.wire_thresholds_[:-1], whole.wire_thresholds_)
    assert fitted.wire_names_[-1] == "x0 is missing"


def test_labels_are_checked_beside_categories() -> None:
    for y, sentence in (
        (np.where(np.arange(400) == 3, np.nan, Y), "Input y contains NaN"),
        (Y[:-1], "inconsistent numbers of samples"),
        (None, "requires y to be passed, but the target y is None"),
        (np.stack([Y, Y], axis=1), "y should be a 1d array"),
    ):
        with pytest.raises(ValueError, match=sentence):
            RDARegressor(tables=4).fit(frame(), y)


@pytest.mark.parametrize("estimator", [RDARegressor, RDAOutlierDetector])
def test_models_of_other_tasks_are_not_proposed(estimator: Any) -> None:
    name = {"RDARegressor": "boosted", "RDAOutlierDetector": "coverage"}[estimator.__name__]
    with pytest.raises(ValueError, match=f"^model 'auto' is unknown to {estimator.__name__}; known is '{name}'$"):
        estimator(model="auto").fit(X, Y)


def test_each_family_is_checked() -> None:
    checked = {estimator.model.partition(":")[0] for estimator, _ in CHECKS.args[1]}
    assert checked == {name for name in BUILT_IN if "regression" in find_family(name).tasks}


def test_misuse() -> None:
    with pytest.raises(TypeError, match="RDARegressor has no parameter 'table'; expected any of model, bits"):
        RDARegressor(table=3)
    with pytest.raises(NotFittedError):
        RDARegressor().predict(X)
