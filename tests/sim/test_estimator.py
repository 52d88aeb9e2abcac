"""RDAClassifier: scikit-learn's own checks, the rule it must equal, its thresholds, and its use with other tools."""

from __future__ import annotations

import ast
import copy
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from joblib import parallel_backend
from sklearn import config_context
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_digits, load_iris, make_classification
from sklearn.exceptions import NotFittedError
from sklearn.feature_selection import SelectFromModel
from sklearn.inspection import permutation_importance
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import parametrize_with_checks

from rdahw import RDAClassifier
from rdahw.data import load
from rdahw.data.images import Image
from rdahw.families import BUILT_IN, all_families, find_family
from rdahw.families.ensemble import default_margin
from rdahw.families.ensemble.rule import PlainEnsemble
from rdahw.families.ensemble.spec import EnsembleSpec
from rdahw.family import Candidate
from rdahw.sim.engines import make_engine
from rdahw.training import Examples, Schedule, Training

ROOT = Path(__file__).parents[2]

# Many models here are small on purpose.
pytestmark = pytest.mark.filterwarnings("ignore:the tables read:UserWarning")

IRIS_X, IRIS_Y = load_iris(return_X_y=True)
DIGITS = load_digits()


def small(**options: Any) -> RDAClassifier:
    return RDAClassifier(**{"tables": 40, **options})


#: What models cannot do by their nature. A mask that learns examples of one class alone may still predict the other one
#: for many.
EXPECTED = {
    "mask": {"check_class_weight_classifiers": "the mask of two classes has no output that a weight could raise"},
    "lookup": {"check_sample_weight_equivalence_on_dense_data": "30 features are more inputs than a lookup can have"},
}
CHECKS = parametrize_with_checks(
    [
        RDAClassifier(),
        RDAClassifier(tables=60, inputs=4, sign=True, bits=40, dropout=0),
        RDAClassifier(model="grown:tables=60"),
        RDAClassifier(model="ensemble:tables=60,wiring=grown"),
        RDAClassifier(model="linear", epochs=8),
        RDAClassifier(model="layers:60x4,60x4", epochs=10),
        RDAClassifier(model="lookup", thresholds=[-0.2], epochs=2),
        RDAClassifier(model="mask", k=2, bits=1, epochs=1, n_jobs=2),
        RDAClassifier(model="auto"),
    ],
    expected_failed_checks=lambda estimator: EXPECTED.get(estimator.model, {}),
)


@pytest.fixture
def small_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    """``auto`` tries models that learn in no time."""
    rows = [("ensemble", {"tables": 40, "counter": 8}), ("grown", {"tables": 60})]
    found = [(find_family(name), Candidate(options=options, thresholds=20)) for name, options in rows]
    monkeypatch.setattr("rdahw.sim.automatic.all_candidates", lambda size: found)


# A list: scikit-learn 1.6 gives a generator, of which newer versions of pytest warn.
@pytest.mark.slow
@pytest.mark.parametrize(CHECKS.args[0], list(CHECKS.args[1]), **CHECKS.kwargs)
def test_checks_of_scikit_learn(small_candidates: None, estimator: Any, check: Any) -> None:
    check(estimator)


def test_each_family_is_checked() -> None:
    pairs = (getattr(case, "values", case) for case in CHECKS.args[1])  # one that may fail is a parameter of pytest
    checked = {estimator.model.partition(":")[0] for estimator, _ in pairs}
    known = {name for name in BUILT_IN if "classification" in find_family(name).tasks}
    assert checked - {"auto"} == known - {"file"}  # of which each model is somebody's own


@pytest.mark.slow
def test_no_check_of_scikit_learn_is_skipped() -> None:
    """One of them needs a variable that SciPy reads when it is loaded. The one of ``predict_proba`` has nothing to
    check."""
    program = (
        "from rdahw import RDAClassifier; from sklearn.utils.estimator_checks import check_estimator\n"
        "results = check_estimator(RDAClassifier(tables=24, inputs=4))\n"
        "print({(r['status'], r['check_name'].endswith('predict_proba') and r['check_name']) for r in results})"
    )
    environment = {**os.environ, "SCIPY_ARRAY_API": "1"}
    command = [sys.executable, "-P", "-c", program]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    skipped = ("skipped", "check_classifiers_multilabel_output_format_predict_proba")
    assert ast.literal_eval(run.stdout) == {("passed", False), skipped}


# -- the choice of a model ---------------------------------------------------------------------------------------------


def test_auto_is_the_model_that_it_chooses(small_candidates: None) -> None:
    x, y = DIGITS.data[:200], DIGITS.target[:200]
    auto = RDAClassifier(model="auto", random_state=5).fit(x, y)
    chosen = auto.choice_.trial
    assert int(chosen.correct.sum()) == max(int(trial.correct.sum()) for trial in auto.choice_.trials)
    named = RDAClassifier(model=chosen.model, bits=20, random_state=5).fit(x, y)
    assert auto.spec_ == named.spec_
    for name, value in auto.state_.items():
        assert np.array_equal(value, named.state_[name])
    copied = pickle.loads(pickle.dumps(auto))  # noqa: S301
    assert copied.choice_.reason == auto.choice_.reason
    assert np.array_equal(copied.predict(DIGITS.data), auto.predict(DIGITS.data))


def test_auto_refuses_the_options_that_it_chooses() -> None:
    sentence = "tables is 40, and model 'auto' chooses it; leave it out, or name a model"
    with pytest.raises(ValueError, match=sentence):
        small(model="auto").fit(IRIS_X, IRIS_Y)


def test_it_warns_if_the_tables_read_a_small_part_of_the_bits() -> None:
    x = np.random.default_rng(0).integers(0, 2, (20, 2000))
    with pytest.warns(
        UserWarning, match=r"^the tables read 2[0-9]{2} of 2000 input bits, and the others cannot matter; "
    ):
        small().fit(x, np.arange(20) % 2)


# -- the rule ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"sign": True, "margin": 5, "dropout": 0.75, "counter": 4},
        {"image_shape": (8, 8), "shift": 1, "wiring": "patch5inset1", "bits": 2, "random_state": 7},
        {"image_shape": (2, 4, 8), "wiring": "patch3", "thresholds": [3, 9]},
        {"wiring": "grown"},
        {"image_shape": (8, 8), "wiring": "grown", "copies": 1, "shift": 1},
    ],
    ids=["plain", "signs", "images", "channels", "grown wiring", "grown wiring of images"],
)
def test_it_is_the_plain_ensemble_on_its_wires(options: dict[str, Any]) -> None:
    x, y = DIGITS.data[:60], DIGITS.target[:60]
    ours = RDAClassifier(**{"tables": 21, "inputs": 4, "epochs": 2, **options}).fit(x, y)
    plain = PlainEnsemble(ours.spec_)
    wires = (x[:, ours.wire_features_] > ours.wire_thresholds_).astype(np.uint8)
    schedule = Schedule(epochs=2, shuffle=True, seed=options.get("random_state", 0))
    training = Training(plain, schedule, Examples(wires, y.astype(np.int64)))
    assert [state.updates for state in training.run(60)] == [60, 120]
    assert np.array_equal(ours.counters_, plain.counters)
    assert ours.counters_.any()
    assert np.array_equal(ours.decision_function(x), plain.scores(wires))
    assert np.array_equal(ours.predict(x), plain.classify(wires))


def test_parameters_become_the_spec() -> None:
    model = RDAClassifier(
        tables=np.int64(30), inputs=np.int32(5), counter=4, margin=np.int64(9), dropout=np.float64(0.25),
        thresholds=[1, 5], image_shape=(8, 8), wiring="patch4", shift=1, sign=np.True_, random_state=3,
    ).fit(DIGITS.data, DIGITS.target)  # fmt: skip
    assert model.spec_ == EnsembleSpec(
        input_bits=128, classes=10, tables=30, inputs=5, counter=4, margin=9, dropout=0.25, wiring="patch4",
        image=Image(2, 8, 8), shift=1, sign=True, seed=3,
    )  # fmt: skip


def test_margin_auto_is_the_usual_one_for_images_and_larger_for_tables() -> None:
    for sign in (False, True):
        images = small(image_shape=(8, 8), sign=sign).fit(DIGITS.data, DIGITS.target)
        assert images.spec_.margin == default_margin(40, sign=sign)
    assert small().fit(IRIS_X, IRIS_Y).spec_.margin == 80
    assert small(sign=True).fit(IRIS_X, IRIS_Y).spec_.margin == 3


def test_patches_are_for_images_larger_than_they() -> None:
    x = np.random.default_rng(0).integers(0, 256, (20, 18 * 20), np.uint8)
    y = np.arange(20) % 2
    assert small(image_shape=(18, 20)).fit(x, y).spec_.wiring == "patch8inset2"
    assert small(image_shape=(2, 10, 18)).fit(x, y).spec_.wiring == "patch8"
    assert small(image_shape=(8, 45)).fit(x, y).spec_.wiring == small().fit(x, y).spec_.wiring == "any"


def test_tables_have_no_more_inputs_than_there_are_wires() -> None:
    assert small().fit([[0], [1], [2]], [0, 1, 0]).spec_.inputs == 2


@pytest.mark.parametrize("image_shape", [None, (8, 8)])
def test_calls_of_partial_fit_equal_epochs(image_shape: Any) -> None:
    options = {"shift": 1, "image_shape": image_shape} if image_shape else {}
    x, y = DIGITS.data[:200], DIGITS.target[:200]
    whole, parts = small(epochs=3, **options).fit(x, y), small(**options)
    for i in range(3):
        assert parts.partial_fit(x, y, classes=range(10) if i != 1 else None) is parts
    assert np.array_equal(whole.counters_, parts.counters_)
    assert whole.passes_ == parts.passes_ == 3
    parts = pickle.loads(pickle.dumps(small(epochs=1, **options).fit(x, y)))  # noqa: S301
    assert np.array_equal(parts.partial_fit(x, y).partial_fit(x, y).counters_, whole.counters_)


def test_partial_fit_learns_from_batch_after_batch() -> None:
    model = RDAClassifier(tables=200)
    order = np.random.default_rng(0).permutation(150)
    for part in np.array_split(order, 3):
        model.partial_fit(IRIS_X[part], IRIS_Y[part], classes=[0, 1, 2])
    assert model.passes_ == 3
    assert model.score(IRIS_X, IRIS_Y) > 0.93
    assert len(np.unique(IRIS_X[order[:50], 0])) - 1 >= (model.wire_features_ == 0).sum()  # those of the first batch


def test_the_seed_decides_and_none_draws_one() -> None:
    def counters(random_state: Any) -> Any:
        return small(random_state=random_state).fit(IRIS_X, IRIS_Y).counters_

    assert np.array_equal(counters(5), counters(np.int64(5)))
    assert not np.array_equal(counters(5), counters(6))
    assert np.array_equal(counters(np.random.RandomState(5)), counters(np.random.RandomState(5)))
    assert not np.array_equal(counters(None), counters(None))


# -- thresholds --------------------------------------------------------------------------------------------------------


def thresholds(model: RDAClassifier, feature: int) -> list[float]:
    return list(model.wire_thresholds_[model.wire_features_ == feature])


def test_thresholds_lie_between_values_at_the_quantiles() -> None:
    x = np.array([[i, i % 2, 7, i % 3 - 1, -(i == 0)] for i in range(10)])
    model = small(bits=3).fit(x, x[:, 1])
    assert thresholds(model, 0) == [2.5, 4.5, 7.5]  # after the 3rd, the 5th and the 8th of ten values
    assert thresholds(model, 1) == [0.5]  # bits stay as they are
    assert thresholds(model, 2) == []
    assert thresholds(model, 3) == [-0.5, 0.5]
    assert thresholds(model, 4) == [-0.5]
    assert list(model.wire_features_) == [0, 1, 3, 4, 0, 3, 0]  # first thresholds first


def test_a_frequent_value_has_one_threshold() -> None:
    often = np.array([0] * 90 + list(range(1, 11)))[:, None]
    assert thresholds(small(bits=4).fit(often, often[:, 0] > 5), 0) == [0.5]
    assert thresholds(small(bits=4).fit(-often, often[:, 0] > 5), 0) == [-0.5]  # nearly all of them the largest


@pytest.mark.parametrize("low", [0.0, 1.0, -1.0, 1.7e308, np.finfo(float).smallest_subnormal, -1.7e308])
def test_neighbouring_numbers_are_told_apart(low: float) -> None:
    x = np.array([[low], [np.nextafter(low, np.inf)]])
    assert list(small().fit(x, [0, 1]).predict(x)) == [0, 1]


def test_features_that_say_nothing_are_no_error() -> None:
    model = small().fit(np.full((6, 2), 3.5), [0, 1, 1, 1, 1, 1])
    assert model.spec_.input_bits == 1
    assert list(model.predict([[3.5, 3.5]])) == [1]
    assert not small(thresholds=[9]).fit(IRIS_X, IRIS_Y).feature_importances_.any()


def test_pixels_share_evenly_spaced_thresholds() -> None:
    model = small(image_shape=(8, 8)).fit(DIGITS.data, DIGITS.target)
    assert thresholds(model, 0) == thresholds(model, 63) == [4, 8, 12]
    assert list(model.wire_features_) == [*range(64)] * 3
    assert len(small(image_shape=(8, 8), bits=1).fit(DIGITS.data, DIGITS.target).wire_features_) == 64


def test_thresholds_can_be_given() -> None:
    assert thresholds(small(thresholds=(5, 1, 2.5, 1)).fit(IRIS_X, IRIS_Y), 3) == [1, 2.5, 5]
    model = small(thresholds=[[5], [], np.array([2, 4]), [0.5]]).fit(IRIS_X, IRIS_Y)
    assert list(model.wire_features_) == [0, 2, 3, 2]
    assert list(model.wire_thresholds_) == [5, 2, 0.5, 4]


def test_kinds_of_numbers_do_not_matter() -> None:
    x = DIGITS.data[:300]
    expected = small().fit(x, DIGITS.target[:300])
    for kind in (np.uint8, np.int16, np.float32, object):
        assert np.array_equal(small().fit(x.astype(kind), DIGITS.target[:300]).counters_, expected.counters_)
        assert np.array_equal(expected.decision_function(x.astype(kind)), expected.decision_function(x))


# -- predicting --------------------------------------------------------------------------------------------------------

#: A model of each family, which is small.
PREDICTED = {
    "ensemble": {"tables": 40},
    "images": {"tables": 21, "image_shape": (2, 1, 2), "shift": 1, "thresholds": [1, 3], "wiring": "any"},
    "grown": {"model": "grown:tables=30,inputs=3"},
    "layers": {"model": "layers", "sizes": "30x3,21x3", "noise": 2, "epochs": 3},
    "recurrent layers": {"model": "layers:steps=4", "sizes": "30x3,21x3", "epochs": 3},
    "lookup": {"model": "lookup", "bits": 2, "epochs": 1},
    "mask": {"model": "mask", "k": 2, "epochs": 1},
}


@pytest.mark.filterwarnings("ignore:steps is 4, and recurrent networks are experimental")
@pytest.mark.parametrize("case", PREDICTED)
def test_one_example_is_predicted_as_many_are(case: str) -> None:
    chosen = slice(100) if case == "mask" else slice(None)
    model = RDAClassifier(**PREDICTED[case]).fit(IRIS_X[chosen], np.array(["a", "b", "c"])[IRIS_Y[chosen]])
    x = np.concatenate([IRIS_X, IRIS_X[::-1] + 0.01])
    many = model.predict(x)
    assert [model.predict(row[None])[0] for row in x] == list(many)
    assert [model.predict_one(row) for row in x] == list(many)
    assert set(many) == set(model.classes_)
    whole = x.round()
    for given in (whole[3].astype(np.uint8), whole[3].astype(np.float32), whole[3].tolist(), tuple(whole[3])):
        assert model.predict_one(given) == model.predict(whole[3:4])[0]
    assert model.predict_one(pd.Series(whole[3], list("wxyz"))) == model.predict(whole[3:4])[0]
    assert model.predict_one(np.repeat(whole[3], 2)[::-2]) == model.predict(whole[3:4, ::-1])[0]


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ([1.0, 2.0, 3.0], r"^x has the shape \(3,\); expected a row of 4 numbers; predict takes many rows$"),
        (IRIS_X[:1], r"^x has the shape \(1, 4\); expected a row of 4 numbers; predict takes many rows$"),
        (["1", "2", "3", "4"], r"^x is \['1', '2', '3', '4'\]; expected a row of 4 numbers$"),
        (np.ones(4, complex), r"^x is array\(.*\); expected a row of 4 numbers$"),
        ([1, 2, 10**400, 3], r"^x is \[1, 2, 10+; expected a row of 4 numbers$"),
        ([1, [2, 3], 4, 5], r"^x is \[1, \[2, 3\], 4, 5\]; expected a row of 4 numbers$"),
        ([1, 2, np.nan, np.inf], r"^x\[3\] is inf; expected a finite number$"),
        ([-np.inf, 2, 3, 4], r"^x\[0\] is -inf; expected a finite number$"),
        ([1, -np.inf, None, 4], r"^x\[1\] is -inf; expected a finite number$"),
    ],
    ids=range(9),
)
def test_one_example_that_cannot_be_predicted(x: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small(epochs=1).fit(IRIS_X, IRIS_Y).predict_one(x)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("value", [np.inf, -np.inf])
@pytest.mark.parametrize("examples", [1, 5000])
def test_infinite_numbers_are_refused_as_scikit_learn_does(kind: Any, value: float, examples: int) -> None:
    """Also in a feature without thresholds; and not where scikit-learn is told that there are none."""
    model = small(epochs=1, thresholds=[[1.0], [2.0], [3.0], []]).fit(IRIS_X, IRIS_Y)
    x = np.resize(IRIS_X, (examples, 4)).astype(kind)
    expected = model.predict(x)
    x[-1, 3] = value
    for method in (model.predict, model.decision_function):
        with pytest.raises(ValueError, match="^Input X contains infinity"):
            method(x)
    with config_context(assume_finite=True):
        assert np.array_equal(model.predict(x), expected)


@pytest.mark.parametrize("options", [{"tables": 40}, {"model": "grown:tables=40"}, {"model": "lookup"}])
def test_the_bits_are_the_same_on_any_number_of_threads(options: dict[str, Any]) -> None:
    x = np.random.default_rng(0).normal(size=(7000, 4)).cumsum(axis=1)
    alone = RDAClassifier(**options, epochs=1).fit(x[:500], x[:500, 3] > 0)
    assert len(np.unique(alone.predict(x))) == 2
    for n_jobs in (1, 2, 3, np.int64(2), -1):
        model = RDAClassifier(**options, epochs=1, n_jobs=n_jobs).fit(x[:500], x[:500, 3] > 0)
        for name, value in alone.state_.items():
            assert np.array_equal(value, model.state_[name])
        assert np.array_equal(model.decision_function(x), alone.decision_function(x))
        assert np.array_equal(model.predict(x), alone.predict(x))


def test_what_an_earlier_version_saved_has_the_defaults_of_newer_parameters() -> None:
    model = small().fit(IRIS_X, IRIS_Y)
    state = model.__getstate__()
    del state["n_jobs"]
    other = RDAClassifier.__new__(RDAClassifier)
    other.__setstate__(state)
    assert other.n_jobs is None
    assert np.array_equal(other.predict(IRIS_X), model.predict(IRIS_X))


# -- labels and scores -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("names", [["setosa", "versicolor", "virginica"], [-5, 0, 300], [0.0, 1.0, 7.0]], ids=repr)
def test_any_labels(names: list[Any]) -> None:
    labels = np.array(names)[IRIS_Y]
    model = small().fit(IRIS_X, labels)
    assert list(model.classes_) == names
    assert np.array_equal(model.predict(IRIS_X), np.array(names)[small().fit(IRIS_X, IRIS_Y).predict(IRIS_X)])
    assert model.decision_function(IRIS_X).shape == (150, 3)


def test_of_two_classes_the_second_is_positive() -> None:
    model = small().fit(IRIS_X[:100], np.where(IRIS_Y[:100], "no", "yes"))
    scores = model.decision_function(IRIS_X[:100])
    assert (scores.shape, scores.dtype) == ((100,), np.float64)
    assert list(model.classes_) == ["no", "yes"]
    assert np.array_equal(model.predict(IRIS_X[:100]) == "yes", scores > 0)
    assert (scores[:50] > 0).all()
    assert (scores[50:] < 0).all()


def test_a_tie_is_the_first_class() -> None:
    model = small(thresholds=[1.0], dropout=0, epochs=1).fit([[0], [0]], ["b", "a"])
    assert model.decision_function([[2]]) == [0]  # an index that no example had
    assert model.predict([[2]]) == ["a"]


def test_importances_are_the_effects_of_wires() -> None:
    model = small(tables=7, inputs=3).fit(IRIS_X, IRIS_Y)
    effects = np.zeros((model.spec_.input_bits, 3))
    counters, wiring = model.counters_.astype(int), PlainEnsemble(model.spec_).wiring
    for j in range(7):
        for i in range(3):
            for low, high in [(a, a + 2**i) for a in range(8) if not a & 2**i]:
                if counters[j, low].any() and counters[j, high].any():
                    effects[wiring[j, i]] += counters[j, high] - counters[j, low]
    expected = [abs(effects[model.wire_features_ == f]).sum() for f in range(4)]
    assert model.feature_importances_ == pytest.approx(expected / np.sum(expected))


@pytest.mark.parametrize("sign", [False, True])
def test_importances_find_the_features_that_matter(sign: bool) -> None:
    x, y = make_classification(600, 12, n_informative=4, n_redundant=0, shuffle=False, class_sep=2, random_state=0)
    model = RDAClassifier(tables=400, sign=sign).fit(x, y)
    importances = model.feature_importances_
    assert importances.shape == (12,)
    assert importances.sum() == pytest.approx(1)
    assert importances[:4].min() > importances[4:].max()
    kept = SelectFromModel(model, max_features=4, threshold=-np.inf, prefit=True).get_support()
    assert list(np.flatnonzero(kept)) == [0, 1, 2, 3]
    permuted = permutation_importance(model, x, y, n_repeats=2, random_state=0).importances_mean
    assert permuted[:4].min() > permuted[4:].max()


# -- other models ------------------------------------------------------------------------------------------------------

MODELS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "lookup": ({"model": "lookup"}, {}),
    "mask": ({"model": "mask", "k": 8}, {"k": 8}),
    "mask in text": ({"model": "mask:k=8"}, {"k": 8}),
    "file": ({"model": f"{ROOT / 'examples' / 'my_models.py'}:either", "labels": "binary"}, {"labels": "binary"}),
    "ensemble in text": ({"model": "ensemble:tables=40,inputs=3"}, {"tables": 40, "inputs": 3, "counter": 8}),
    "ensemble in both": ({"model": "ensemble:tables=40", "tables": 40, "inputs": 3}, {"tables": 40, "inputs": 3}),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", MODELS)
def test_any_model_learns_as_the_training_loop_does(case: str) -> None:
    """The options of its family, from text and keywords, make the spec; one loop and the seed make the bits."""
    given, expected = MODELS[case]
    x, y = IRIS_X[:100], np.where(IRIS_Y[:100], "no", "yes")
    ours = RDAClassifier(**given, epochs=3, random_state=4).fit(x, y)
    assert expected.items() <= ours.spec_.options().items()
    wires = (x[:, ours.wire_features_] > ours.wire_thresholds_).astype(np.uint8)
    engine = make_engine(ours.spec_, "reference")
    labels = np.searchsorted(["no", "yes"], y)
    for _ in Training(engine, Schedule(epochs=3, shuffle=True, seed=4), Examples(wires, labels)).run():
        pass
    for name, value in engine.state.items():
        assert np.array_equal(ours.state_[name], value)
    predicted = engine.predict(engine.prepare(Examples(wires, labels)))
    assert np.array_equal(ours.predict(x), ours.classes_[predicted.clip(min=0)])
    assert (ours.predict(x) == y).mean() > 0.8
    other = pickle.loads(pickle.dumps(ours))  # noqa: S301
    assert np.array_equal(other.predict(x), ours.predict(x))
    same = RDAClassifier(**given, random_state=4)
    for _ in range(3):
        same.partial_fit(x, y, classes=["no", "yes"])
    assert np.array_equal(same.state_[ours.spec_.parameters.name], ours.state_[ours.spec_.parameters.name])


def test_scores_where_a_circuit_has_none_are_its_predictions() -> None:
    model = RDAClassifier(model="lookup").fit(IRIS_X, IRIS_Y)
    scores = model.decision_function(IRIS_X)
    engine = make_engine(model.spec_)
    engine.state = model.state_
    wires = (IRIS_X[:, model.wire_features_] > model.wire_thresholds_).astype(np.uint8)
    predicted = engine.predict(engine.prepare(Examples(wires, IRIS_Y)))
    assert np.array_equal(scores.sum(axis=1), predicted >= 0)
    assert np.array_equal(scores.argmax(axis=1)[predicted >= 0], predicted[predicted >= 0])
    with pytest.raises(AttributeError, match="has no counters; state_ has parameters"):
        _ = model.counters_
    assert not hasattr(model, "feature_importances_")


def test_outputs_that_are_no_class_are_the_first_one() -> None:
    """A lookup begins with zeros, the code of no class, for inputs that it never sees."""
    model = RDAClassifier(model="lookup", thresholds=[0.5], epochs=1).fit([[0, 0], [1, 0]], ["b", "a"])
    assert list(model.predict([[1, 1]])) == ["a"]
    assert not model.decision_function([[1, 1]]).any()


@pytest.mark.parametrize(
    ("model", "options"), [("ensemble", {"tables": 1024}), ("grown", {"tables": 1024, "inputs": 3})]
)
def test_an_option_counts_as_given_also_where_it_equals_the_default_of_another_model(
    model: str, options: dict[str, int]
) -> None:
    text = f"{model}:" + ",".join(f"{name}={value}" for name, value in options.items())
    given, written = (
        each.fit(IRIS_X, IRIS_Y).spec_ for each in (RDAClassifier(model=model, **options), RDAClassifier(model=text))
    )
    assert given == written
    with pytest.raises(ValueError, match="tables is both 4 and 1024"):
        RDAClassifier(model=f"{model}:tables=4", tables=1024).fit(IRIS_X, IRIS_Y)


@pytest.mark.parametrize(
    ("options", "classes"),
    [
        ({"model": "mask:labels=one-hot"}, 2),
        ({"model": "lookup", "bits": 8}, 3),
        ({"model": "file"}, 2),
        ({"model": "ensemble", "shift": 1}, 3),
        ({"model": "narrow.py:narrow"}, 3),
        ({"model": "boosted"}, 3),
    ],
)
def test_errors_do_not_name_options_of_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], classes: int
) -> None:
    monkeypatch.chdir(tmp_path)
    narrow = "from rdahw import Bits, trace\nnarrow = trace(lambda theta, x: theta & x, theta=Bits(2), x=Bits(2))\n"
    (tmp_path / "narrow.py").write_text(narrow)
    few = np.isin(IRIS_Y, range(classes))
    with pytest.raises(ValueError, match=".") as error:
        RDAClassifier(**options).fit(IRIS_X[few], IRIS_Y[few])
    assert "--" not in str(error.value)


def test_models_and_their_options_are_searched_and_checked() -> None:
    grid = [{"model": ["lookup", "ensemble:tables=40"]}, {"model": ["ensemble"], "tables": [2, 30]}]
    search = GridSearchCV(RDAClassifier(), grid, cv=3, error_score="raise").fit(IRIS_X, IRIS_Y)
    assert len(search.cv_results_["params"]) == 4
    assert clone(RDAClassifier(model="mask", k=8)).get_params()["k"] == 8
    families = [family for family in all_families() if "classification" in family.tasks]
    rows = {option.name for family in families for option in family.options}
    assert rows <= RDAClassifier().get_params().keys()
    assert all(f" {name}: " in str(RDAClassifier.__doc__) for name in rows)
    with pytest.raises(TypeError, match="no parameter 'table'"):
        RDAClassifier(table=3)


# -- with other tools --------------------------------------------------------------------------------------------------


def test_saved_and_copied_it_predicts_and_goes_on_alike() -> None:
    model = small().fit(IRIS_X, IRIS_Y)
    state = model.__getstate__()
    assert not {"_engine", "_predictor", "_conversion"} & state.keys()
    family, spec, engine, learned = state["_learned"]
    assert (family, engine, json.loads(json.dumps(spec))) == ("ensemble", "compiled", spec)
    assert {type(value) for value in learned.values()} == {np.ndarray}
    for other in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):  # noqa: S301
        assert np.array_equal(other.decision_function(IRIS_X), model.decision_function(IRIS_X))
        assert np.array_equal(
            copy.deepcopy(model).partial_fit(IRIS_X, IRIS_Y).counters_, other.partial_fit(IRIS_X, IRIS_Y).counters_
        )
    unfitted = pickle.loads(pickle.dumps(RDAClassifier(tables=5)))  # noqa: S301
    assert unfitted.get_params() == RDAClassifier(tables=5).get_params()
    assert not hasattr(clone(model), "counters_")


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_in_pipelines_searches_and_cross_validation(backend: str) -> None:
    pipeline = make_pipeline(FunctionTransformer(np.log1p), small())
    search = GridSearchCV(
        pipeline,
        {"rdaclassifier__tables": np.array([2, 60]), "rdaclassifier__dropout": [0, 0.5]},
        cv=3,
        n_jobs=2,
        error_score="raise",
    )
    with parallel_backend(backend):
        search.fit(IRIS_X, IRIS_Y)
    assert search.best_params_["rdaclassifier__tables"] == 60
    scores = cross_val_score(search.best_estimator_, IRIS_X, IRIS_Y, cv=5)
    assert scores.mean() > 0.92


def test_probabilities_by_calibration() -> None:
    model = CalibratedClassifierCV(small(), cv=3).fit(IRIS_X, IRIS_Y)
    assert model.predict_proba(IRIS_X).sum(axis=1) == pytest.approx(np.ones(150))
    assert model.score(IRIS_X, IRIS_Y) > 0.92
    assert not hasattr(RDAClassifier, "predict_proba")


def test_data_frames() -> None:
    frame = pd.DataFrame(IRIS_X, columns=["a", "b", "c", "d"])
    model = small().fit(frame, pd.Series(IRIS_Y).map({0: "x", 1: "y", 2: "z"}))
    assert list(model.feature_names_in_) == ["a", "b", "c", "d"]
    assert np.array_equal(model.counters_, small().fit(IRIS_X, IRIS_Y).counters_)
    assert set(model.predict(frame)) == {"x", "y", "z"}
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(frame[["b", "a", "c", "d"]])


def test_images_of_mnist_with_the_settings_it_comes_with(mnist_folder: Any) -> None:
    data = load("mnist").train
    x, y = data.features.reshape(len(data), -1), data.labels
    model = RDAClassifier(image_shape=(28, 28), epochs=5).fit(x[:20_000], y[:20_000])
    assert model.score(x[-5000:], y[-5000:]) > 0.965


def test_loss_and_optimiser_as_on_the_command_line() -> None:
    x, y = load_iris(return_X_y=True)
    given = RDAClassifier(loss="margin=30", optimiser="counter=3", epochs=1).fit(x, y).spec_.options()
    assert (given["margin"], given["counter"]) == (30, 3)


@pytest.mark.parametrize("optimiser", ["adagrad=100,10", "adam=5,922,1013,10", "multinomial=128,0,10"])
def test_a_linear_model_learns_by_the_optimiser_given(optimiser: str) -> None:
    x, y = load_iris(return_X_y=True)
    model = RDAClassifier(model="linear", loss="margin=2000", optimiser=optimiser, epochs=8, random_state=0).fit(x, y)
    assert model.spec_.options()["optimiser"] == optimiser
    assert model.score(x, y) > 0.8


# -- what is refused ---------------------------------------------------------------------------------------------------

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no model": ({"model": "lockup"}, r"^model 'lockup' is unknown .*'lookup'"),
    "a model in an object": ({"model": 3}, r"^model is 3; expected text such as 'ensemble'$"),
    "an option of another model": (
        {"model": "lookup", "tables": 5},
        r"^model 'lookup' has no option 'tables'; it takes",
    ),
    "twice": (
        {"model": "ensemble:tables=5", "tables": 6},
        r"^tables is both 5 and 6, by model 'ensemble:tables=5' and by parameters; leave",
    ),
    "twice by parameters": ({"margin": 6, "loss": "margin=5"}, r"^margin is both \d and \d, by model"),
    "a loss of another model": ({"loss": "xor"}, r"^loss 'xor' is not supported for model 'ensemble'; use margin=NUM"),
    "three classes of a mask": (
        {"model": "mask"},
        r"^Only binary classification is supported by model 'mask', and y has 3 classes; choose another model, or t",
    ),
    "many wires of a lookup": (
        {"model": "lookup", "bits": 9},
        r"^a lookup of 34 inputs would have .* at most 20 inputs",
    ),
    "no tables": (
        {"tables": 0},
        r"^option tables=0 of model 'ensemble' is invalid; expected a whole number from 1 to ",
    ),
    "a part of a table": ({"tables": 2.5}, r"^option tables=2\.5 of model 'ensemble' is invalid; expected a whole "),
    "many inputs": ({"bits": 99, "inputs": 17}, r"^option inputs=17 of .*; expected a whole number from 1 to 16$"),
    "counter": ({"counter": 9}, r"^option counter=9 of .*; expected a whole number from 2 to 8$"),
    "margin": ({"margin": "automatic"}, r"^option margin=automatic of .*; expected a whole number from 0 to "),
    "dropout": ({"dropout": 0.3}, r"^dropout of an ensemble is 0\.3; expected a multiple of 1/16 from 0 to 15/16"),
    "no epochs": ({"epochs": 0}, r"^epochs is 0; expected a whole number of at least 1$"),
    "true bits": ({"bits": True}, r"^bits is True; expected a whole number of at least 1$"),
    "thresholds of others": ({"thresholds": [[1]] * 3}, r"^thresholds are for 3 features; expected 4, or one sequence"),
    "no thresholds": ({"thresholds": []}, r"^thresholds are \[\]; expected finite numbers, at least one$"),
    "infinite": ({"thresholds": [np.inf]}, r"^thresholds are \[inf\]; expected finite numbers, at least one$"),
    "wiring": ({"wiring": "patch2"}, r"^wiring 'patch2' needs images and the data are not images; use wiring=any$"),
    "shift": ({"shift": 1}, r"^the data are not images and cannot be shifted; use shift=0$"),
    "image": ({"image_shape": (2, 3)}, r"^image_shape is \(2, 3\); expected two or three numbers whose product is 4$"),
    "no shape": ({"image_shape": 4}, r"^image_shape is 4; expected two or three numbers whose product is 4$"),
    "uneven pixels": (
        {"image_shape": (2, 2), "thresholds": [[1], [1], [1], [1, 2]]},
        r"^the pixels have different numbers of thresholds; expected the same number for each$",
    ),
    "no threads": ({"n_jobs": 0}, r"^n_jobs is 0; expected a whole number of at least 1, or -1 for all cores$"),
    "threads below zero": ({"n_jobs": -2}, r"^n_jobs is -2; expected a whole number of at least 1, or -1 for all"),
    "a part of a thread": ({"n_jobs": 1.5}, r"^n_jobs is 1\.5; expected a whole number of at least 1, or -1 for all"),
    "a seed below zero": ({"random_state": -1}, r"^random_state is -1; expected a whole number from 0 to "),
}


@pytest.mark.parametrize("case", REFUSED)
def test_parameters_that_cannot_be(case: str) -> None:
    options, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        RDAClassifier(**options).fit(IRIS_X, IRIS_Y)


def test_labels_that_cannot_be() -> None:
    with pytest.raises(ValueError, match=r"^y has 1 class; expected 2 or more$"):
        small().fit(IRIS_X, np.zeros(150))
    with pytest.raises(ValueError, match=r"^classes were not given; the first call of partial_fit needs classes="):
        small().partial_fit(IRIS_X, IRIS_Y)
    model = small().partial_fit(IRIS_X, IRIS_Y, classes=[0, 1, 2])
    with pytest.raises(ValueError, match=r"^classes are \[0, 1\]; those of the first call of partial_fit were array"):
        model.partial_fit(IRIS_X, IRIS_Y, classes=[0, 1])
    for label in (-1, 3, "a"):
        with pytest.raises(ValueError, match=rf"^y has the label .*{label}.*, which is not among the classes array"):
            model.partial_fit(IRIS_X, np.full(150, label))
    with pytest.raises(ValueError, match="Unknown label type: continuous"):
        small().fit(IRIS_X, IRIS_X[:, 0])


def test_before_it_has_learned() -> None:
    for name in ("feature_importances_", "counters_", "spec_"):
        with pytest.raises((NotFittedError, AttributeError), match="fitted|_engine"):
            getattr(RDAClassifier(), name)
    with pytest.raises(NotFittedError):
        RDAClassifier().predict(IRIS_X)
    with pytest.raises(NotFittedError):
        RDAClassifier().predict_one(IRIS_X[0])


def test_without_scikit_learn_a_sentence_says_so() -> None:
    program = (
        "import sys; sys.modules['sklearn'] = None\n"
        "from rdahw import *; import rdahw\n"
        "try: rdahw.RDAClassifier\n"
        "except rdahw.MissingError as error: print(error)"
    )
    run = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.startswith("RDAClassifier needs scikit-learn 1.6 or newer (")
    assert run.stdout.endswith("); install it with pip install 'rdahw[sklearn]'\n")
