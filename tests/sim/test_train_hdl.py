"""``rdahw train --hdl``: the paper's runs in simulated hardware."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from running import Runner

from rdahw.cli.reproduce import paper_iris
from rdahw.errors import MissingError
from rdahw.families import make_model
from rdahw.families.circuits import CircuitSpec
from rdahw.learner import Learner
from rdahw.sim.hardware import HardwareEngine
from rdahw.sim.simulator import choose_engine
from rdahw.training import Examples, Schedule, Training

IRIS = {golden["name"]: golden for golden in paper_iris()}


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runner:
    monkeypatch.chdir(tmp_path)
    return Runner(capsys, tmp_path)


def bits(numbers: list[int], width: int) -> np.ndarray:
    return (np.array(numbers)[:, None] >> np.arange(width) & 1).astype(np.uint8)


@pytest.mark.parametrize("stages", [1, 2])
@pytest.mark.parametrize("name", IRIS)
def test_the_papers_iris_runs_update_by_update(name: str, stages: int) -> None:
    golden = IRIS[name]
    inputs, outputs = golden["inputs"], golden["outputs"]
    x, y = zip(*golden["train"], strict=True)
    spec = CircuitSpec.of(Learner(make_model("lookup", inputs, outputs)))  # any label, by the number of its bits
    hardware = HardwareEngine(spec, stages=stages)
    training = Training(hardware, Schedule(), Examples(bits(list(x), inputs), np.array(y)))
    seen = [hardware.state["parameters"], *(hardware.state["parameters"] for _ in training.run(chunk=1))]
    numbers = [format(int.from_bytes(np.packbits(p, bitorder="little").tobytes(), "little"), "x") for p in seen]
    assert numbers == golden["parameters_after_each_update"]
    assert hardware.cycles == len(x) + stages - 1
    assert (hardware.cycles_per_example, hardware.startup_cycles) == (1, stages - 1)
    tests = bits([number for number, _ in golden["test"]], inputs)
    predicted = hardware.predict(hardware.prepare(Examples(tests, np.zeros(len(tests), np.int64))))
    assert predicted.tolist() == golden["test_predictions"]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("three-class one-hot", []),
        ("three-class one-hot", ["--stages", 2]),
        ("three-class binary", ["--labels", "binary"]),
        ("two-class one-hot", ["--classes", "Iris-setosa,Iris-versicolor"]),
    ],
)
def test_train_hdl_gives_the_golden_parameters(run: Runner, name: str, options: list[Any]) -> None:
    made = run.ok("train", "--hdl", "--json", *options).json
    golden = IRIS[name]
    stages = 2 if "--stages" in options else 1
    assert made["parameters"] == golden["final_parameters"]
    assert made["test_correct"] == golden["test_correct"]
    assert made["bit_exact"] is True
    assert made["engine"] == "amaranth", "which is done before a compiler would be"
    assert made["cycles_per_example"] == 1
    assert isinstance(made["cycles_per_example"], int)
    assert (made["cycles"], made["startup_cycles"]) == (made["train_examples"] + stages - 1, stages - 1)


def test_software_and_hardware_agree_with_every_option(run: Runner) -> None:
    options = ["--batch", 7, "--epochs", 3, "--shuffle", "--validation", 9, "--seed", 4]
    software = run.ok("train", "--json", "--out", "a.rdahw", *options).json
    hardware = run.ok("train", "--hdl", "--stages", 2, "--json", "--out", "b.rdahw", *options).json
    same = {"parameters", "updates", "test_correct", "best_update", "validation_correct"}
    assert {key: hardware[key] for key in same} == {key: software[key] for key in same}
    assert hardware["cycles"] == 3 * hardware["train_examples"] + 1, "across batches and epochs, without a gap"


def test_resume_loads_the_parameters_into_the_hardware(run: Runner) -> None:
    whole = run.ok("train", "--json", "--epochs", 2).json
    run.ok("train", "--hdl", "--updates", 40, "--out", "m.rdahw")
    resumed = run.ok("train", "--hdl", "--resume", "m.rdahw", "--epochs", 2, "--updates", 150, "--json").json
    assert resumed["resumed_from_update"] == 40
    assert resumed["parameters"] == whole["parameters"]
    assert resumed["cycles"] == 110


def test_a_flipped_weight_bit_ends_the_run(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    learn, count = HardwareEngine._learn, []

    def with_a_fault(self: HardwareEngine, *given: Any) -> Any:
        count.append(1)
        if len(count) == 30:  # entry 1 of output 2, of which no example of Iris is
            self.simulator.poke("parameters", self.simulator.peek("parameters") ^ 1 << 33)
        return learn(self, *given)

    monkeypatch.setattr(HardwareEngine, "_learn", with_a_fault)
    ran = run("train", "--hdl", "--vcd", "waves.vcd")
    assert ran.code == 1
    assert ran.error == (
        "hardware and software differ at example 30 (update 30), cycle 30: parameters[33] is 1, expected 0"
    )
    assert (run.folder / "waves.vcd").read_text().count("\n#") >= 60, "the waveforms up to the fault are there"


def test_waveforms(run: Runner) -> None:
    run.ok("train", "--hdl", "--vcd", "waves.vcd", "-q")
    assert "theta" in (run.folder / "waves.vcd").read_text()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--stages", 2], "--stages 2 was given without --hdl; add --hdl, or leave it out"),
        (["--engine", "cxxrtl"], "--engine cxxrtl was given without --hdl; add --hdl, or leave it out"),
        (["--vcd", "f.vcd"], "--vcd f.vcd was given without --hdl; add --hdl, or leave it out"),
    ],
)
def test_options_that_need_hdl(run: Runner, options: list[Any], sentence: str) -> None:
    ran = run("train", *options)
    assert (ran.code, ran.error) == (2, sentence)


def test_waveforms_that_cannot_be_written(run: Runner) -> None:
    ran = run("train", "--hdl", "--vcd", "none/f.vcd")
    assert ran.code == 1
    assert "'none/f.vcd' cannot be written" in ran.error


@pytest.mark.slow
def test_mnist_zero_against_one(run: Runner, mnist_folder: Path) -> None:
    """The paper's 999 updates in the word-serial trainer; each is compared with software."""
    try:
        choose_engine("cxxrtl")
    except MissingError as error:
        pytest.skip(str(error))
    options = ["--data", "mnist", "--classes", "0,1", "--labels", "binary", "--model", "mask", "--updates", 999]
    options += ["--validation", 1265]
    made = run.ok("train", "--hdl", "--engine", "cxxrtl", "--json", *options).json
    assert made["bit_exact"] is True
    assert (made["updates"], made["best_update"]) == (999, 638)
    assert (made["validation_correct"], made["test_correct"], made["test_examples"]) == (1248, 2098, 2115)
    # 49 words and 4 cycles an example, and 49 more where theta moves.
    assert 53 <= made["cycles_per_example"] <= 102
    assert made["startup_cycles"] < 110
