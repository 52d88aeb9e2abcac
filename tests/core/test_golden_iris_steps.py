"""The four Iris experiments: the learner's step gives the paper's parameters after every single update."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from golden_files import golden
from oracles import bits, every, number

from rdahw import Learner, Model, lookup_model
from rdahw.sim.reference import Reference

EXPERIMENTS = json.loads(golden("iris.json").read_text())


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda e: e["name"])
def test_parameters_after_every_update(experiment: dict[str, Any]) -> None:
    a, b = experiment["inputs"], experiment["outputs"]
    learner = Learner(Model("lookup", lookup_model(a, b)))
    assert learner.model.parameter_bits == experiment["parameter_bits"]
    step, theta = Reference(learner.step), bits(0, experiment["parameter_bits"])
    found = [theta]
    for x, y in experiment["train"]:
        (theta,) = step(theta, bits(x, a), bits(y, b))
        found.append(theta)
    assert [format(number(theta), "x") for theta in found] == experiment["parameters_after_each_update"]
    assert len(found) == len(experiment["train"]) + 1
    assert format(number(theta), "x") == experiment["final_parameters"]

    predict = Reference(learner.model.circuit)
    x = np.array([bits(x, a) for x, _ in experiment["test"]])
    assert [number(y) for y in predict(theta, x)[0]] == experiment["test_predictions"]
    right = sum(p == y for p, (_, y) in zip(experiment["test_predictions"], experiment["test"], strict=True))
    assert right == experiment["test_correct"]
    assert right / len(x) == experiment["accuracy"] == experiment["accuracy_by_runExperiment"]
    assert [number(y) for y in predict(theta, every(a))[0]] == experiment["table"]


def test_all_four_experiments_are_here() -> None:
    assert [e["name"] for e in EXPERIMENTS] == [
        "two-class binary",
        "two-class one-hot",
        "three-class binary",
        "three-class one-hot",
    ]
