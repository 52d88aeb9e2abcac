"""RDAOutlierDetector: the checks and the conventions of scikit-learn, and that it is the model of the command line."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.exceptions import NotFittedError
from sklearn.metrics import roc_auc_score
from sklearn.utils.estimator_checks import parametrize_with_checks

from rdahw import RDAOutlierDetector
from rdahw.data import NORMAL
from rdahw.families import BUILT_IN, find_family
from rdahw.sim.engines import predict
from rdahw.sim.packing import unpack_wires

X, Y = load_breast_cancer(return_X_y=True)
BENIGN, OTHER = X[Y == 1], X[Y == 0]
CHECKS = parametrize_with_checks([RDAOutlierDetector(), RDAOutlierDetector(tables=20, inputs=3, contamination=0.1)])


@pytest.mark.slow
@pytest.mark.parametrize(CHECKS.args[0], list(CHECKS.args[1]), **CHECKS.kwargs)
def test_checks_of_scikit_learn(estimator: Any, check: Any) -> None:
    check(estimator)


def test_it_finds_what_is_not_normal() -> None:
    model = RDAOutlierDetector().fit(BENIGN[:200])
    rest = np.concatenate([BENIGN[200:], OTHER])
    assert roc_auc_score(np.arange(len(rest)) < len(BENIGN) - 200, model.score_samples(rest)) > 0.85
    assert (model.predict(BENIGN[200:]) == -1).mean() < 0.15
    decision = model.decision_function(rest)
    np.testing.assert_array_equal(model.score_samples(rest) - model.offset_, decision)
    np.testing.assert_array_equal(model.predict(rest), np.where(decision < 0, -1, 1))
    copied = pickle.loads(pickle.dumps(model))  # noqa: S301
    np.testing.assert_array_equal(copied.score_samples(rest), model.score_samples(rest))


def test_it_is_the_model_of_the_families() -> None:
    model = RDAOutlierDetector(tables=40, random_state=3).fit(BENIGN)
    assert (model.spec_.family, model.spec_.seed, model.spec_.options()["tables"]) == ("coverage", 3, 40)
    wires = unpack_wires(model._conversion.pack(OTHER)[0], model.spec_.input_bits)
    np.testing.assert_array_equal(predict(model.spec_, model.state_, wires) - NORMAL, model.decision_function(OTHER))
    np.testing.assert_array_equal(wires, OTHER[:, model.wire_features_] > model.wire_thresholds_)


def test_each_family_is_checked() -> None:
    checked = {estimator.model.partition(":")[0] for estimator, _ in CHECKS.args[1]}
    assert checked == {name for name in BUILT_IN if "anomaly" in find_family(name).tasks}


def test_missing_values_and_categories() -> None:
    random = np.random.default_rng(3)
    usual = pd.DataFrame({"size": random.normal(size=500), "colour": random.choice(["red", "green"], 500)})
    usual.loc[::10, "size"] = None
    usual["shade"] = pd.Categorical(
        np.where(usual["colour"] == "red", "dark", "light"), ["light", "dark"], ordered=True
    )
    model = RDAOutlierDetector(bits=2).fit(usual)
    assert model.wire_names_[-3:] == ["size is missing", "colour = green", "colour = red"]
    assert "shade > light" in model.wire_names_
    odd = usual.assign(shade=np.where(usual["colour"] == "red", "light", "dark"))
    assert (model.predict(odd) == -1).mean() > 0.9 > 0.1 > (model.predict(usual) == -1).mean()
    copied = pickle.loads(pickle.dumps(model))  # noqa: S301
    np.testing.assert_array_equal(copied.score_samples(odd), model.score_samples(odd))


@pytest.mark.parametrize("part", [0.02, 0.1, 0.5])
def test_contamination_is_the_part_of_the_examples_of_fit(part: float) -> None:
    found = RDAOutlierDetector(contamination=part).fit_predict(X)
    scores = np.sort(RDAOutlierDetector().fit(X).score_samples(X))
    assert (found == -1).sum() == (scores < scores[int(part * len(X))]).sum() > 0


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"contamination": 0}, "contamination is 0; expected 'auto' or a number above 0 and at most 0.5"),
        ({"contamination": 0.51}, "contamination is 0.51; expected 'auto' or a number above 0 and at most 0.5"),
        ({"contamination": "many"}, "contamination is 'many'; expected 'auto' or a number above 0 and at most 0.5"),
        ({"contamination": True}, "contamination is True; expected 'auto' or a number"),
        (
            {"model": "lookup"},
            "model 'lookup' is for classification, and RDAOutlierDetector was to learn anomaly; choose",
        ),
        ({"tables": 0}, "option tables=0 of model 'coverage' is invalid; expected a whole number from 1 to 2048"),
    ],
)
def test_errors(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        RDAOutlierDetector(**options).fit(X)


@pytest.mark.parametrize("name", ["spec_", "state_", "offset_"])
def test_what_is_learned_needs_fit(name: str) -> None:
    with pytest.raises(NotFittedError):
        getattr(RDAOutlierDetector(), name)


def test_unknown_parameters() -> None:
    with pytest.raises(TypeError, match="RDAOutlierDetector has no parameter 'trees'; expected any of model, contamin"):
        RDAOutlierDetector(trees=3)
