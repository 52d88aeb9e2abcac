"""Layers of tables go through every command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from running import Runner

from rdahw.hdl import proof

MODEL = "layers:12x2,9x2,margin=1"


@pytest.fixture
def trained(run: Runner) -> dict[str, Any]:
    """Iris, learned from eight bits."""
    words = ("train", "--model", MODEL, "--binarise", "thermometer=2", "--out", "iris.rdahw", "--json")
    result: dict[str, Any] = run.ok(*words).json
    return result


@pytest.mark.slow
def test_train(run: Runner, trained: dict[str, Any]) -> None:
    assert trained["test_accuracy"] > 0.85
    assert (trained["family"], trained["loss"], trained["optimiser"]) == ("layers", "margin=1", "counter=5")
    assert (trained["batch"], trained["epochs"], trained["updates"]) == (1, 30, 30 * 75)
    assert (trained["sizes"], trained["noise"], trained["cotangents"]) == ("12x2,9x2", 3, "sign")
    plain = run.ok("train", "--model", MODEL, "--binarise", "thermometer=2", "--engine", "reference", "--json").json
    assert (plain["parameters"], plain["test_correct"]) == (trained["parameters"], trained["test_correct"])


@pytest.mark.slow
def test_options(run: Runner) -> None:
    made = run.ok("train", "--model", "layers:20x3", "--optimiser", "counter=7", "--margin", "2", "--json").json
    assert (made["counter"], made["margin"], made["optimiser"], made["loss"]) == (7, 2, "counter=7", "margin=2")
    assert made["binarise"] == "thermometer=3"


@pytest.mark.slow
def test_eval_show_and_report(run: Runner, trained: dict[str, Any]) -> None:
    assert run.ok("eval", "iris.rdahw", "--json").json["accuracy"] == trained["test_accuracy"]
    shown = run.ok("show", "iris.rdahw", "--json").json
    assert (shown["family"], shown["parameters"]) == ("layers", trained["parameters"])
    assert shown["primitives"]["lookup"] == 21
    assert shown["facts"].keys() == {"constant", "pass_on", "saturated"}
    assert "gather" in run.ok("show", "iris.rdahw", "--text").out
    run.ok("show", "iris.rdahw", "--dot", "iris.dot")
    assert (run.folder / "iris.dot").read_text().count("lookup") == 21
    assert "would have a state of" in run.ok("show", "layers", "--json").json["no_circuit"]
    pytest.importorskip("matplotlib")
    run.ok("report", "iris.rdahw")
    assert "What each layer has learned" in (run.folder / "iris.html").read_text()


@pytest.mark.slow
def test_export(run: Runner, trained: dict[str, Any]) -> None:
    for what in ([], ["--reverse"], ["--inference"]):
        run.ok("export", "iris.rdahw", "--to", "verilog", *what, "--out", "made.v")
        assert "module iris" in (run.folder / "made.v").read_text()


@pytest.mark.slow
def test_prove(run: Runner, trained: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof, "user_cache", lambda name: tmp_path / "cache" / name)
    claims = run.ok("prove", "iris.rdahw", "--what", "gateware,one-hot", "--json").json["claims"]
    assert {claim["verdict"] for claim in claims} == {"proved"}


@pytest.mark.slow
def test_the_trainer_of_a_file_is_the_one_that_trained_it(run: Runner, trained: dict[str, Any]) -> None:
    """Not that of the Boolean circuit that it predicts by, of which there are claims."""
    for model in ("iris.rdahw", "layers:3x1"):
        (claim,) = run("prove", model, "--what", "trainer", "--json").json["claims"]
        assert claim["verdict"] == "open"
        assert claim["reason"].startswith("there is no claim about a trainer in memory, a table at a time; compare")


#: Small enough for its learner to be a circuit.
TINY = ("layers:3x1,2x2,noise=0,margin=0,cotangents=sum", "--inputs", "3", "--outputs", "2")


@pytest.mark.slow
def test_the_reverse_derivative_of_a_small_model_is_shown_and_exported(run: Runner) -> None:
    shown = run.ok("show", *TINY, "--reverse", "--text", "--json").json
    assert shown["outputs"] == [["dtheta", 14 * 5]]
    assert shown["primitives"]["mask_words"] > 0
    run.ok("export", *TINY, "--reverse", "--to", "verilog", "--out", "made.v")
    assert "dtheta" in (run.folder / "made.v").read_text()


@pytest.mark.slow
def test_claims_about_a_small_model(run: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof, "user_cache", lambda name: tmp_path / "cache" / name)
    claims = run.ok("prove", *TINY, "--what", "adjoint,gateware", "--json").json["claims"]
    assert {claim["verdict"] for claim in claims} == {"proved"}
    failed = run("prove", *TINY[1:], TINY[0].replace("sum", "sign"), "--what", "adjoint")
    assert (failed.code, "block 'signs of requests' does not" in failed.err) == (1, True)


@pytest.mark.slow
def test_cells(run: Runner, trained: dict[str, Any]) -> None:
    counted = run.ok("cells", "iris.rdahw", "--inference", "--family", "ice40", "--json").json
    assert counted["compared_examples"] == trained["test_examples"]
    assert 0 < counted["luts"] < 60
    assert counted["latency_cycles"] >= 1


@pytest.mark.slow
def test_what_layers_cannot(run: Runner, trained: dict[str, Any]) -> None:
    for words, said in (
        (("train", "--model", MODEL, "--batch", "17"), "layers learn from at most 16 examples at a time"),
        (
            ("train", "--model", MODEL, "--hdl", "--stages", "2"),
            "--stages is not supported for model 'layers:12x2,9x2'",
        ),
        (("train", "--model", f"{MODEL},cotangents=sum", "--hdl"), "cotangents is sum, and trainers on an FPGA"),
        (("synth", f"{MODEL},cotangents=xor"), "cotangents is xor, and trainers on an FPGA pass on signs; train in"),
        (
            ("synth", f"{MODEL},steps=2"),
            "recurrent networks have no trainer on an FPGA; train in software",
        ),
        (("train", "--model", f"{MODEL},steps=2", "--hdl"), "recurrent networks have no trainer on an FPGA"),
        (("synth", "iris.rdahw", "--flash", "quad", "--batch", "2"), "--batch and --flash are not supported together"),
        (("train", "--model", f"{MODEL},cotangents=sum", "--device", "x"), "cotangents is sum, and trainers on an"),
        (("train", "--model", MODEL, "--optimiser", "xor"), "use counter=NUMBER"),
        (("train", "--model", "layers:300"), "expected tables x inputs of each layer"),
    ):
        failed = run(*words)
        assert failed.code == 2
        assert said in failed.err


@pytest.mark.slow
def test_training_in_simulated_hardware(run: Runner, trained: dict[str, Any]) -> None:
    words = ("train", "--model", MODEL, "--binarise", "thermometer=2", "--epochs", "2", "--json")
    for batch in ("1", "7"):
        soft = run.ok(*words, "--batch", batch, "--out", "soft.rdahw").json
        hard = run.ok(*words, "--batch", batch, "--out", "hard.rdahw", "--hdl").json
        assert hard["bit_exact"] is True
        assert hard["parameters_sha256"] == soft["parameters_sha256"]
        assert hard["cycles_with_update"]["min"] > 21


def test_the_trainer_is_exported_as_synth_makes_it(run: Runner, trained: dict[str, Any]) -> None:
    run.ok("export", "iris.rdahw", "--to", "rtlil", "--trainer", "--out", "trainer.il")
    run.ok("export", "layers:12x2,9x2", "--to", "rtlil", "--trainer", "--out", "named.il")
    for name in ("trainer", "named"):
        text = (run.folder / f"{name}.il").read_text()
        assert "update_count" in text
        assert "section In hardware" in text
