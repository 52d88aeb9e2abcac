"""A trained model as iCE40 cells predicts what the software predicts, on every example of its test part."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from running import Runner

from rdahw.data import load
from rdahw.errors import MissingError
from rdahw.hdl.beats import Encoder
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
    try:
        engine = choose_engine("cxxrtl")
    except MissingError as error:
        pytest.skip(str(error))
    test = load(data, classes=classes).test
    assert test is not None
    assert len(test) == examples
    x = saved.binariser.transform(test.features)
    learner = saved.spec.learner()
    (expected,) = run(learner.model.circuit, saved.parameters, x)

    model = FixedModel(learner, saved.parameters, cells="ice40")
    simulator = make_simulator(model, engine, netlist="ice40")
    encoder = Encoder(model)
    beats = encoder(x, np.zeros_like(expected))
    made = simulator.exchange(Exchange("examples", "results", beats, examples, examples))
    np.testing.assert_array_equal(encoder.prediction(made.results), expected)


def test_iris(runner: Runner) -> None:
    runner.ok("train", "-q")
    _check_every_test_example(load_model(runner.folder / "iris-lookup.rdahw"), "iris", None, 75)


@pytest.mark.usefixtures("mnist_folder")
def test_mnist_mask(runner: Runner) -> None:
    options = "--data mnist --classes 0,1 --labels binary --model mask --validation 1265 --updates 999"
    runner.ok("train", "-q", *options.split())
    _check_every_test_example(load_model(runner.folder / "mnist-mask.rdahw"), "mnist", ("0", "1"), 2115)
