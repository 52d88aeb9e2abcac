"""Trees of scikit-learn, LightGBM and XGBoost as circuits, whose predictions are those of the libraries."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from golden_files import golden
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.ensemble import ExtraTreesClassifier, GradientBoostingClassifier, RandomForestClassifier
from sklearn.model_selection import train_test_split
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier

import rdahw
from rdahw import UsageError, UserError
from rdahw.hdl.inference import Pipeline
from rdahw.hdl.lut_cells import count_cells
from rdahw.saved import load_model
from rdahw.sim.packed import Packed
from rdahw.sim.tree_imports import ImportedTrees

DATA: dict[str, Callable[..., Any]] = {
    "iris": load_iris,
    "wine": load_wine,
    "breast cancer": load_breast_cancer,
    "digits": load_digits,
}


def parts(name: str) -> Any:
    """Features for training and test, then labels."""
    return train_test_split(*DATA[name](return_X_y=True), random_state=0)


def assert_equal(made: ImportedTrees, model: Any, *rows: Any) -> None:
    for x in rows:
        assert (made.predict(x) == model.predict(x)).all()


def near_thresholds(made: ImportedTrees, x: Any) -> Any:
    """Rows of x, in each of which one feature is at a threshold, or one or two steps of float64 from it."""
    rows = []
    for column, row in enumerate(made.saved.binariser.to_json()["thresholds"]):
        for threshold in row:
            for steps in range(-2, 3):
                value = threshold
                for _ in range(abs(steps)):
                    value = np.nextafter(value, np.sign(steps) * np.inf)
                rows.append(x[len(rows) % len(x)].copy())
                rows[-1][column] = value
    return np.array(rows)


MODELS = {
    "tree": DecisionTreeClassifier(random_state=0),
    "one random tree": ExtraTreeClassifier(max_depth=4, random_state=0),
    "extra-trees": ExtraTreesClassifier(8, random_state=0),
    "shallow forest": RandomForestClassifier(5, max_depth=3, random_state=0),
}


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("name", ["iris", "wine", "breast cancer"])
def test_predictions_are_those_of_scikit_learn(name: str, model: Any) -> None:
    train, test, labels, _ = parts(name)
    model.fit(train, labels)
    made = rdahw.from_sklearn(model, train)
    assert (made.rows, made.changed) == (len(train), 0)
    assert_equal(made, model, train, test, near_thresholds(made, train))


@pytest.mark.slow
@pytest.mark.parametrize("name", DATA)
@pytest.mark.parametrize("kind", [DecisionTreeClassifier, ExtraTreesClassifier])
def test_models_with_the_defaults_of_scikit_learn(name: str, kind: Any) -> None:
    train, test, labels, _ = parts(name)
    model = kind(random_state=0).fit(train, labels)
    made = rdahw.from_sklearn(model, train, whole=name == "digits")
    assert made.exact
    assert_equal(made, model, train, test)


def test_ties_are_counted_and_decided_as_by_scikit_learn() -> None:
    train, test, labels, _ = parts("digits")
    model = RandomForestClassifier(3, max_leaf_nodes=20, random_state=0).fit(train, labels)
    hard = RandomForestClassifier(4, random_state=0).fit(train, labels)
    assert rdahw.from_sklearn(hard, test, whole=True).ties > 0
    soft = rdahw.from_sklearn(model, test, bits=12, whole=True)
    assert not soft.exact
    assert 0 < soft.error < 0.01
    assert soft.near_ties < len(test) // 20


def test_too_few_bits_are_refused() -> None:
    train, test, labels, _ = parts("digits")
    model = RandomForestClassifier(4, max_depth=4, random_state=0).fit(train, labels)
    with pytest.raises(UserError, match=r"rows, number \d+ among them.*3 bits; give more bits, or most_changed="):
        rdahw.from_sklearn(model, test, bits=3)
    made = rdahw.from_sklearn(model, test, bits=3, most_changed=0.5)
    assert 0 < made.changed <= made.near_ties
    assert made.changed == (made.predict(test) != model.predict(test)).sum()


def test_the_way_out_for_other_predictions_works() -> None:
    """More bits are none where leaf values are exact, and the share is not rounded down: 1 of 120 rows is 0.00834."""
    x, y = load_iris(return_X_y=True)
    model = DecisionTreeClassifier(random_state=0).fit(x[30:], y[30:])
    model.predict = lambda features: np.r_[3, y[31:]]  # as if one were another
    with pytest.raises(UserError, match=r"^1 of 120 rows, number 0 .* of 1 bits; give most_changed=") as error:
        rdahw.from_sklearn(model, x[30:])
    share = float(str(error.value).rpartition("=")[2])
    assert rdahw.from_sklearn(model, x[30:], most_changed=share).changed == 1


@pytest.mark.parametrize(
    ("features", "predictions", "why"),
    [
        (np.zeros((9, 3)), None, r"features of shape \(9, 3\) do not fit, expected \(N, 30\)"),
        (np.zeros(30), None, r"features of shape \(30,\) do not fit, expected \(N, 30\)"),
        (np.zeros((9, 30)), [0, 1], r"the predictions have the shape \(2,\); expected \(9,\)"),
        (np.zeros((9, 30)), np.zeros((9, 2)), r"the predictions have the shape \(9, 2\); expected \(9,\)"),
        (np.full((9, 30), np.nan), None, "missing numbers .*; give missing=True when"),
        ([["a", "b"]], None, "^the features are not numbers; give an array"),
    ],
)
def test_rows_that_do_not_fit_a_model_of_lightgbm(features: Any, predictions: Any, why: str) -> None:
    path, _ = recorded("breast-cancer")
    with pytest.raises(UserError, match=why):
        rdahw.from_lightgbm(path, features, predictions)
    if predictions is None:
        with pytest.raises(UserError, match=why):
            rdahw.from_lightgbm(path).predict(features)


@pytest.mark.parametrize("bits", [1.5, "8", None])
def test_bits_that_are_no_number(bits: Any) -> None:
    x, y = load_iris(return_X_y=True)
    with pytest.raises(UsageError, match="^bits is .*; expected a whole number$"):
        rdahw.from_sklearn(DecisionTreeClassifier().fit(x, y), bits=bits)


def test_whole_features_take_fewer_bits() -> None:
    train, test, labels, _ = parts("digits")
    model = ExtraTreesClassifier(3, max_leaf_nodes=200, random_state=0).fit(train, labels)
    made, whole = rdahw.from_sklearn(model, test), rdahw.from_sklearn(model, test, whole=True)
    assert whole.saved.spec.input_bits < made.saved.spec.input_bits
    assert whole.saved.spec.input_bits <= 64 * 16
    assert_equal(whole, model, train, test)
    with pytest.raises(UserError, match="not whole"):
        rdahw.from_sklearn(model, test + 0.5, whole=True)


def test_missing_features() -> None:
    x, y = load_iris(return_X_y=True)
    x[::3, 2] = np.nan
    x[1::5, 0] = np.nan
    for model in (DecisionTreeClassifier(random_state=0), RandomForestClassifier(5, random_state=0)):
        model.fit(x, y)
        assert_equal(rdahw.from_sklearn(model, x, missing=True), model, x)


def test_names_and_classes() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"size": [1.0, 2.0, 3.0, 4.0], "weight": [0.0, 1.0, 0.0, 1.0]})
    model = DecisionTreeClassifier(random_state=0).fit(frame, ["small", "small", "large", "large"])
    made = rdahw.from_sklearn(model, frame)
    assert made.predict(frame).tolist() == ["small", "small", "large", "large"]
    assert made.saved.schema.label_names == ("large", "small")
    assert made.saved.schema.feature_names == ("size", "weight")
    assert made.saved.binariser.wire_names == ("size > 2.5",)
    assert rdahw.from_sklearn(model, frame, class_names=["L", "S"]).saved.schema.label_names == ("L", "S")


@pytest.mark.parametrize(
    ("model", "why"),
    [
        (DecisionTreeRegressor(), "a DecisionTreeRegressor was given; expected a classifier"),
        (GradientBoostingClassifier(), "a GradientBoostingClassifier was given"),
        (object(), "a object was given"),
        (RandomForestClassifier(), "not fitted; call its fit"),
        (DecisionTreeClassifier().fit([[0], [1]], [[0, 1], [1, 0]]), "2 outputs"),
        (DecisionTreeClassifier().fit([[0], [1]], [1, 1]), "one class"),
    ],
    ids=["regressor", "boosting", "object", "not fitted", "two outputs", "one class"],
)
def test_models_that_are_refused(model: Any, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        rdahw.from_sklearn(model)


@pytest.mark.parametrize("names", [["a"], ["a", "a"]])
def test_names_of_classes_that_do_not_fit(names: list[str]) -> None:
    model = DecisionTreeClassifier().fit([[0], [1]], [0, 1])
    with pytest.raises(UsageError, match="expected 2 different names"):
        rdahw.from_sklearn(model, class_names=names)


def test_a_saved_file_predicts_the_same(tmp_path: Path) -> None:
    train, test, labels, _ = parts("wine")
    model = RandomForestClassifier(3, random_state=0).fit(train, labels)
    made = rdahw.from_sklearn(model, train)
    made.save(tmp_path / "wine.rdahw")
    back = load_model(tmp_path / "wine.rdahw")
    assert (back.binariser.transform(test) == made.saved.binariser.transform(test)).all()
    assert (back.parameters == made.saved.parameters).all()


@pytest.mark.slow
def test_the_netlist_of_a_forest_for_the_ulx3s_predicts_as_scikit_learn() -> None:
    """The cells of the ECP5 that synthesis makes of four trees for digits, on all test rows."""
    train, test, labels, _ = parts("digits")
    model = RandomForestClassifier(4, random_state=0).fit(train, labels)
    made = rdahw.from_sklearn(model, test, whole=True)
    cells = count_cells(Pipeline(made.circuit, None, cells="ecp5"), "ecp5", "yowasp")
    assert 0 < sum(cells.luts.values()) < 10_000
    (bits,) = Packed(cells.circuit)(made.saved.binariser.transform(test))
    assert ((bits @ (1 << np.arange(4))) == model.predict(test)).all()


# -- files of LightGBM and XGBoost -------------------------------------------------------------------------------------

#: By library the ending of its files, and what reads them. The files of XGBoost are made by the program beside them.
FILES: dict[str, tuple[str, Callable[..., ImportedTrees]]] = {
    "lightgbm": ("txt", rdahw.from_lightgbm),
    "xgboost": ("json", rdahw.from_xgboost),
}


def recorded(name: str, library: str = "lightgbm") -> tuple[Path, Any]:
    """The model's file, and the predictions of the library."""
    said = json.loads((golden(library) / "predictions.json").read_text())
    return Path(str(golden(library) / f"{name}.{FILES[library][0]}")), np.array([int(digit) for digit in said[name]])


@pytest.mark.parametrize("library", FILES)
def test_files_of_other_libraries_on_breast_cancer(library: str) -> None:
    (path, predictions), (_, read) = recorded("breast-cancer", library), FILES[library]
    x, _ = load_breast_cancer(return_X_y=True)
    made = read(path, x, predictions)
    assert (made.rows, made.changed) == (569, 0)
    assert (made.predict(x) == predictions).all()
    assert 0 < made.error < 1e-3
    assert (read(path, x).predict(x) == predictions).all()


@pytest.mark.parametrize("library", FILES)
def test_files_with_three_classes_and_missing_features(library: str) -> None:
    (path, predictions), (_, read) = recorded("iris-missing", library), FILES[library]
    x, _ = load_iris(return_X_y=True)
    x[::7, 2] = np.nan
    made = read(path, x, predictions, missing=True, class_names=["a", "b", "c"])
    assert (made.changed, made.saved.schema.label_names) == (0, ("a", "b", "c"))
    with pytest.raises(UserError, match="predicted otherwise"):
        read(path, x, (predictions + 1) % 3, missing=True)


def test_xgboost_goes_left_below_a_threshold_in_float32() -> None:
    """A second reading of the file, on rows with a feature at a threshold, or one or two steps of float64 from it."""
    path, _ = recorded("breast-cancer", "xgboost")
    made = rdahw.from_xgboost(path)
    rows = near_thresholds(made, load_breast_cancer(return_X_y=True)[0])
    learner = json.loads(path.read_text())["learner"]
    chance = float(learner["learner_model_param"]["base_score"].strip("[]"))
    total = np.full(len(rows), np.log(chance / (1 - chance)), np.float32)
    for tree in learner["gradient_booster"]["model"]["trees"]:
        conditions = np.array(tree["split_conditions"], np.float32)
        for i, row in enumerate(rows.astype(np.float32)):
            at = 0
            while tree["left_children"][at] >= 0:
                side = "left_children" if row[tree["split_indices"][at]] < conditions[at] else "right_children"
                at = tree[side][at]
            total[i] += conditions[at]
    assert (made.predict(rows) == (total > 0)).all()


def _in_tree(key: str, value: Any) -> Callable[[Any], None]:
    return lambda said: said["learner"]["gradient_booster"]["model"]["trees"][0].__setitem__(key, value)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda said: said.pop("learner"), "is not a whole model of XGBoost"),
        (lambda said: said["learner"]["objective"].update(name="reg:squarederror"), "expected a classifier: binary"),
        (
            lambda said: said["learner"]["gradient_booster"].update(name="dart"),
            "its booster is 'dart'; expected gbtree",
        ),
        (lambda said: said["learner"]["gradient_booster"]["model"].update(tree_info=[0]), "trees and features do not"),
        (lambda said: said["learner"]["learner_model_param"].update(base_score="1"), "is not a whole model"),
        (_in_tree("split_type", [1] * 15), "tree 0 splits by categories"),
        (_in_tree("split_indices", [30] * 15), "tree 0 compares a feature that the model does not have"),
        (_in_tree("left_children", [0] + [-1] * 14), "the nodes of tree 0 are not a tree"),
        (_in_tree("default_left", [0]), "the rows of tree 0 are not one number a node"),
    ],
)
def test_damaged_files_of_xgboost(tmp_path: Path, change: Callable[[Any], object], why: str) -> None:
    said = json.loads(recorded("breast-cancer", "xgboost")[0].read_text())
    change(said)
    (tmp_path / "model.json").write_text(json.dumps(said))
    with pytest.raises(UserError, match=why):
        rdahw.from_xgboost(tmp_path / "model.json")


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("end of trees", "", "not a whole model"),
        ("tree\n", "forest\n", "not a whole model"),
        ("objective=binary", "objective=regression", "expected a classifier"),
        ("max_feature_idx=29", "max_feature_idx=30", "do not fit"),
        ("num_tree_per_iteration=1", "num_tree_per_iteration=7", "do not fit"),
        ("num_tree_per_iteration=1", "num_tree_per_iteration=x", "expected a whole number"),
        ("num_cat=0", "num_cat=1", "tree 0 has linear leaves or splits by categories"),
        ("is_linear=0", "is_linear=1", "tree 0 has linear leaves or splits by categories"),
        ("decision_type=2 ", "decision_type=3 ", "tree 0 splits by categories, or takes zero"),
        ("decision_type=2 ", "decision_type=4 ", "tree 0 splits by categories, or takes zero"),
        ("leaf_value=", "leaf_value=1 ", "the line 'leaf_value' of tree 0 is not 7 numbers"),
        ("leaf_value=", "leaf_value=nan", "the line 'leaf_value' of tree 0 is not 7 numbers"),
        ("left_child=", "left_child=0 ", "the line 'left_child' of tree 0"),
        ("left_child=1 ", "left_child=0 ", "the nodes of tree 0 are not a tree"),
        ("left_child=1 ", "left_child=2 ", "the nodes of tree 0 are not a tree"),
        ("split_feature=", "split_feature=3", "tree 0 compares a feature"),
    ],
)
def test_damaged_files_of_lightgbm(tmp_path: Path, old: str, new: str, why: str) -> None:
    text = recorded("breast-cancer")[0].read_text()
    assert old in text
    (tmp_path / "model.txt").write_text(text.replace(old, new, 1))
    with pytest.raises(UserError, match=why):
        rdahw.from_lightgbm(tmp_path / "model.txt")


def test_no_file_of_lightgbm(tmp_path: Path) -> None:
    for _, read in FILES.values():
        with pytest.raises(UsageError, match="save_model"):
            read(tmp_path / "none.txt")
    (tmp_path / "bytes.txt").write_bytes(b"tree\n\xff")
    with pytest.raises(UserError, match="cannot be read as text"):
        rdahw.from_lightgbm(tmp_path / "bytes.txt")
