"""A trained model as iCE40 cells predicts what the software predicts, on every example of its test part."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from running import Runner

from rdahw.data import load
from rdahw.errors import MissingError
from rdahw.hdl.beats import Encoder
from rdahw.hdl.frontend import NumberFrontend
from rdahw.hdl.inference import FixedModel
from rdahw.saved import SavedModel, load_model
from rdahw.sim import run
from rdahw.sim.simulator import Exchange, choose_engine, make_simulator

pytestmark = pytest.mark.slow  # Yosys, and a compiled simulator


@pytest.fixture
def runner(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runner:
    monkeypatch.chdir(tmp_path)
    return Runner(capsys, tmp_path)


def _check_every_test_example(saved: SavedModel, data: str, classes: tuple[str, ...] | None, examples: int) -> None:
    test = load(data, classes=classes).test
    assert test is not None
    assert len(test) == examples
    _check_netlist(saved, test.features)


def _check_netlist(saved: SavedModel, features: NDArray[Any], bits: int | None = None) -> None:
    """With ``bits``, it takes the features as whole numbers of so many."""
    try:
        engine = choose_engine("cxxrtl")
    except MissingError as error:
        pytest.skip(str(error))
    its, frontend = saved.predictor, None if bits is None else NumberFrontend(saved.binariser, bits)
    x = its.binariser.transform(features)
    learner, theta = its.spec.learner(), its.spec.theta(its.best_state)
    (expected,) = run(learner.model.circuit, theta, x)

    model = FixedModel(learner, theta, cells="ice40", frontend=frontend)
    simulator = make_simulator(model, engine, netlist="ice40")
    encoder = Encoder(model)
    beats = encoder(x if frontend is None else frontend.encode(features), np.zeros_like(expected))
    made = simulator.exchange(Exchange("examples", "results", beats, len(x), len(x)))
    np.testing.assert_array_equal(encoder.prediction(made.results), expected)
    assert len(np.unique(expected, axis=0)) > 1


def test_iris(runner: Runner) -> None:
    runner.ok("train", "-q")
    _check_every_test_example(load_model(runner.folder / "iris-lookup.rdahw"), "iris", None, 75)


def test_with_the_comparisons_of_the_features(runner: Runner) -> None:
    rows = [f"{a},{b},{'yes' if a > 50 and b < 9 else 'no'}" for a in range(0, 101, 9) for b in (1, 5, 15)]
    (runner.folder / "whole.csv").write_text("\n".join(["a,b,y", *rows]))
    options = "--data whole.csv --model grown:tables=12,inputs=2 --binarise quantile=3"
    runner.ok("train", "-q", *options.split())
    features = np.stack(np.meshgrid(np.arange(0, 128, 5), np.arange(0, 128, 5)), axis=-1).reshape(-1, 2)
    _check_netlist(load_model(runner.folder / "whole-grown.rdahw"), features, bits=7)


@pytest.mark.usefixtures("mnist_folder")
def test_mnist_mask(runner: Runner) -> None:
    options = "--data mnist --classes 0,1 --labels binary --model mask --validation 1265 --updates 999"
    runner.ok("train", "-q", *options.split())
    _check_every_test_example(load_model(runner.folder / "mnist-mask.rdahw"), "mnist", ("0", "1"), 2115)
