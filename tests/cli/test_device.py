"""``rdahw device`` and ``rdahw train --device``, with the simulated gateware, or its software twin, behind a
pseudo-terminal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from link_helpers import SimulatedDevice, SoftwareDevice, lookup_learner, pseudo_terminal, simulate
from running import Runner

from rdahw.hdl.memory_trainer import MemoryTrainer
from rdahw.saved import load_model


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runner:
    monkeypatch.chdir(tmp_path)
    return Runner(capsys, tmp_path)


@pytest.fixture
def port() -> Iterator[str]:
    with pseudo_terminal(SoftwareDevice(lookup_learner(4, 3), batch=True)) as path:
        yield path


@pytest.mark.parametrize("options", [(), ("--batch", "7", "--epochs", "2", "--shuffle", "--seed", "3")])
def test_training_on_a_device_gives_the_bits_of_software(run: Runner, port: str, options: tuple[str, ...]) -> None:
    soft = run.ok("train", "--json", *options).json
    hard = run.ok("train", "--json", *options, "--device", port, "--out", "board.rdahw").json
    assert hard["engine"] == "device"
    assert hard["parameters"] == soft["parameters"] != "0"
    assert hard["test_correct"] == soft["test_correct"]


def test_several_seeds_learn_on_a_device_one_after_another(run: Runner, port: str) -> None:
    options = ("--json", "--seeds", "2", "--shuffle")
    soft = run.ok("train", *options).json
    hard = run.ok("train", *options, "--device", port).json
    assert [each["parameters"] for each in hard["runs"]] == [each["parameters"] for each in soft["runs"]]


def test_training_on_the_simulated_gateware_gives_the_bits_of_software(run: Runner) -> None:
    options = ["--json", "--batch", 3, "--updates", 12]
    soft = run.ok("train", *options).json
    with pseudo_terminal(SimulatedDevice(simulate(lookup_learner(4, 3), batch=True))) as port:
        hard = run.ok("train", *options, "--device", port).json
        status = run.ok("device", port, "status", "--json").json
    assert hard["parameters"] == soft["parameters"] != "0"
    assert hard["test_correct"] == soft["test_correct"]
    assert status["example_count"] == 36


def test_load_predict_dump_status(run: Runner, port: str) -> None:
    trained = run.ok("train", "--json").json
    assert run.ok("device", port, "load", "iris-lookup.rdahw", "--json").json["parameters"] == trained["parameters"]
    on_board = run.ok("device", port, "predict", "iris-lookup.rdahw", "--json").json
    assert on_board["correct"] == trained["test_correct"]
    assert on_board["confusion"] == run.ok("eval", "iris-lookup.rdahw", "--json").json["confusion"]
    status = run.ok("device", port, "status", "--json").json
    assert (status["input_bits"], status["output_bits"], status["parameter_bits"]) == (4, 3, 48)
    assert status["example_count"] == 0

    run.ok("train", "--device", port, "--updates", "10", "--out", "ten.rdahw")
    assert run.ok("device", port, "status", "--json").json["example_count"] == 10
    run.ok("device", port, "dump", "iris-lookup.rdahw", "--out", "dumped.rdahw")
    dumped, ten = load_model(run.folder / "dumped.rdahw"), load_model(run.folder / "ten.rdahw")
    assert dumped.parameters.tolist() == ten.parameters.tolist()
    assert run("train", "--resume", "dumped.rdahw").code == 1
    assert "trained   by a device or another program" in run.ok("show", "dumped.rdahw").out


def test_a_device_of_another_model_is_refused(run: Runner, port: str) -> None:
    ran = run("train", "--device", port, "--labels", "binary")
    assert (ran.code, "is not a trainer of 'lookup'" in ran.error) == (1, True)
    assert not list(run.folder.iterdir())


every_wiring = pytest.mark.parametrize("wiring", ["any", "grown"])


@pytest.mark.slow
@every_wiring
def test_an_ensemble_is_loaded_measured_and_dumped(run: Runner, wiring: str) -> None:
    options = ("--model", f"ensemble:tables=4,inputs=2,wiring={wiring}", "--binarise", "midrange", "--epochs", 3)
    trained = run.ok("train", *options, "--json").json
    saved = load_model(run.folder / "iris-ensemble.rdahw")
    with pseudo_terminal(SimulatedDevice(simulate(core=MemoryTrainer(saved.spec)))) as port:
        loaded = run.ok("device", port, "load", "iris-ensemble.rdahw", "--json").json
        on_board = run.ok("device", port, "predict", "iris-ensemble.rdahw", "--json").json
        run.ok("device", port, "dump", "iris-ensemble.rdahw", "--out", "dumped.rdahw")
        run.ok("train", *options, "--seed", 1, "--out", "other.rdahw")
        ran = run("device", port, "predict", "other.rdahw")
    assert loaded["parameters_sha256"] == trained["parameters_sha256"]
    assert on_board["correct"] == trained["test_correct"]
    dumped = load_model(run.folder / "dumped.rdahw")
    for field in saved.spec.fields:
        assert (dumped.state[field.name] == saved.state[field.name]).all()
    assert (ran.code, "is not a trainer of 'ensemble': its fingerprint: " in ran.error) == (1, True)
    assert run("train", "--resume", "dumped.rdahw").code == 1


@every_wiring
def test_an_ensemble_learns_on_the_simulated_gateware_as_in_software(run: Runner, wiring: str) -> None:
    model = f"ensemble:tables=4,inputs=2,wiring={wiring}"
    options = ("--model", model, "--binarise", "midrange", "--epochs", 2, "--updates", 40)
    soft = run.ok("train", *options, "--json", "--out", "soft.rdahw").json
    saved = load_model(run.folder / "soft.rdahw")
    with pseudo_terminal(SimulatedDevice(simulate(core=MemoryTrainer(saved.spec)))) as port:
        hard = run.ok("train", *options, "--device", port, "--json", "--out", "hard.rdahw").json
        assert run.ok("device", port, "status", "--json").json["example_count"] == 40
    assert hard["engine"] == "device"
    assert hard["parameters_sha256"] == soft["parameters_sha256"]
    assert hard["test_correct"] == soft["test_correct"]
    learned = load_model(run.folder / "hard.rdahw")
    for field in saved.spec.fields:
        assert (learned.state[field.name] == saved.state[field.name]).all()


def test_no_device(run: Runner) -> None:
    ran = run("device", "/dev/rdahw-none", "status")
    assert (ran.code, "there is no device at port" in ran.error) == (3, True)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("device", "p", "load"), "load needs a MODEL, a file of rdahw train; see rdahw device --help"),
        (("device", "p", "status", "m.rdahw"), "status takes no model; see rdahw device --help"),
        (
            ("device", "p", "dump", "m.rdahw"),
            "--out FILE is needed by dump and cannot be used with the other actions; see rdahw device --help",
        ),
        (
            ("device", "p", "load", "m.rdahw", "--data", "iris"),
            "--data is for predict and cannot be used with load; leave it out",
        ),
        (
            ("train", "--hdl", "--device", "p"),
            "--device and --hdl were both given; learn on a board, or in simulated hardware",
        ),
        (("train", "--baud", "9600"), "--baud 9600 was given without --device; add --device PORT, or leave it out"),
    ],
)
def test_what_does_not_go_together(run: Runner, arguments: tuple[str, ...], sentence: str) -> None:
    ran = run(*arguments)
    assert (ran.code, ran.error) == (2, sentence)
