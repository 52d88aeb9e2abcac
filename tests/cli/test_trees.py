"""A tree of scikit-learn, saved as a model, on the road of every command."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from running import Runner
from sklearn.ensemble import RandomForestClassifier
from sklearn.tree import DecisionTreeClassifier

import rdahw
from rdahw.data import load
from rdahw.hdl import proof

IRIS = load("iris")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof, "user_cache", lambda name: tmp_path / "cache" / name)


@pytest.fixture
def tree(run: Runner) -> DecisionTreeClassifier:
    model = DecisionTreeClassifier(max_depth=3, random_state=0).fit(IRIS.train.features, IRIS.train.labels)
    rdahw.from_sklearn(model, IRIS.train.features, class_names=IRIS.label_names).save(run.folder / "tree.rdahw")
    return model


def test_show_and_eval(run: Runner, tree: DecisionTreeClassifier) -> None:
    shown = run.ok("show", "tree.rdahw", "--json").json
    assert shown["model"] == "DecisionTreeClassifier of scikit-learn"
    assert shown["classes"] == list(IRIS.label_names)
    assert shown["binarise"] == "cells"
    assert len(shown["wires"]) == shown["input_bits"]
    assert IRIS.test is not None
    right = int((tree.predict(IRIS.test.features) == IRIS.test.labels).sum())
    assert run.ok("eval", "tree.rdahw", "--data", "iris", "--json").json["correct"] == right


def test_eval_predicts_a_table(run: Runner, tree: DecisionTreeClassifier) -> None:
    x = np.random.default_rng(0).uniform(0, 8, (40, 4)).round(2)
    (run.folder / "x.csv").write_text("".join(",".join(map(str, row)) + "\n" for row in x.tolist()))
    found = run.ok("eval", "tree.rdahw", "--data", "x.csv", "--json").json["predictions"]
    assert found == [IRIS.label_names[c] for c in tree.predict(x)]


def test_dream(run: Runner, tree: DecisionTreeClassifier) -> None:
    dreamt = run.ok("dream", "tree.rdahw", "--class", "Iris-virginica", "--json").json
    assert dreamt["reached"]


def test_equal_needs_the_same_thresholds(run: Runner, tree: DecisionTreeClassifier) -> None:
    assert run("prove", "--equal", "tree.rdahw", "tree.rdahw").code == 0
    other = RandomForestClassifier(2, max_depth=3, random_state=1).fit(IRIS.train.features, IRIS.train.labels)
    rdahw.from_sklearn(other, class_names=IRIS.label_names).save(run.folder / "other.rdahw")
    ran = run("prove", "--equal", "tree.rdahw", "other.rdahw")
    assert ran.code != 0
    assert "Traceback" not in ran.err


@pytest.mark.slow
def test_properties_and_gateware_are_proved(run: Runner, tree: DecisionTreeClassifier) -> None:
    claims = run.ok("prove", "tree.rdahw", "--what", "adjoint,gateware", "--json").json["claims"]
    assert {claim["verdict"] for claim in claims} == {"proved"}
    run.ok("export", "tree.rdahw", "--inference", "--to", "verilog", "--out", "tree.v")
    assert "module tree(" in (run.folder / "tree.v").read_text()
