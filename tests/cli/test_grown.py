"""Grown models go through every command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Fragment
from icarus import simulate
from link_helpers import SimulatedDevice, pseudo_terminal
from link_helpers import simulate as simulate_link
from running import Runner

from rdahw.binariser_circuit import binariser_circuit, number_bits
from rdahw.boards.design import Design
from rdahw.cli._model import predictor
from rdahw.data import decode
from rdahw.families.ensemble.spec import make_wiring
from rdahw.hdl import proof
from rdahw.hdl.trainer_factory import make_predictor
from rdahw.saved import load_model
from rdahw.sim.engines import predict

MODEL = "grown:tables=12,inputs=2"


@pytest.fixture
def trained(run: Runner) -> dict[str, Any]:
    """Iris, learned from eight bits."""
    words = ("train", "--model", MODEL, "--binarise", "thermometer=2", "--out", "iris.rdahw", "--json")
    result: dict[str, Any] = run.ok(*words).json
    return result


@pytest.mark.slow
def test_train(run: Runner, trained: dict[str, Any]) -> None:
    assert trained["test_accuracy"] > 0.85
    assert trained["parameters"] == "a747aee65e65"  # the bits of the tables, so of the whole rule
    assert (trained["family"], trained["loss"], trained["optimiser"]) == ("grown", "margin=1", "growth=12")
    assert (trained["batch"], trained["epochs"], trained["updates"]) == (75, 4, 4)
    assert [row["epoch"] for row in trained["curve"]] == [1, 2, 3, 4]
    assert trained["curve"][-1]["test_accuracy"] == trained["test_accuracy"]
    assert trained["curve"][0]["wrong"] == 50  # nothing votes yet, and the first class wins
    plain = run.ok("train", "--model", MODEL, "--binarise", "thermometer=2", "--engine", "reference", "--json").json
    assert (plain["parameters"], plain["test_correct"]) == (trained["parameters"], trained["test_correct"])


@pytest.mark.parametrize("model", ["grown:tables=12", "ensemble:wiring=grown,tables=8"])
def test_growth_in_shards_has_the_bits_of_one_that_is_not(run: Runner, model: str) -> None:
    words = ("train", "--model", model, "--out")
    run.ok(*words, "whole.rdahw", "--epochs", 2)
    run.ok(*words, "shards.rdahw", "--epochs", 1, "--shards", 3, "--jobs", 2)
    run.ok("train", "--resume", "shards.rdahw", "--epochs", 2)
    wirings = []
    for name in ("whole", "shards"):
        saved = load_model(run.folder / f"{name}.rdahw")
        wirings.append(saved.state["wiring"] if "wiring" in saved.state else make_wiring(saved.spec))
    assert np.array_equal(*wirings)


def test_options_by_rules(run: Runner) -> None:
    made = run.ok("train", "--model", "grown:inputs=2", "--optimiser", "growth=9", "--loss", "margin=2", "--json").json
    assert (made["tables"], made["margin"], made["optimiser"], made["loss"]) == (9, 2, "growth=9", "margin=2")


def test_eval_show_and_report(run: Runner, trained: dict[str, Any]) -> None:
    assert run.ok("eval", "iris.rdahw", "--json").json["accuracy"] == trained["test_accuracy"]
    shown = run.ok("show", "iris.rdahw", "--json").json
    assert (shown["family"], shown["parameters"]) == ("grown", trained["parameters"])
    assert shown["primitives"]["lookup"] == 12
    assert shown["facts"] == {"voting_tables": 12, "read_bits": 5}
    assert "gather" in run.ok("show", "iris.rdahw", "--text").out
    assert "no circuit before it is trained" in run.ok("show", "grown", "--json").json["no_circuit"]
    pytest.importorskip("matplotlib")
    run.ok("report", "iris.rdahw")
    page = (run.folder / "iris.html").read_text()
    assert "What each table reads" in page
    assert "petal_width" in page


@pytest.mark.slow
def test_export(run: Runner, trained: dict[str, Any]) -> None:
    for what in ([], ["--reverse"], ["--inference"]):
        run.ok("export", "iris.rdahw", "--to", "verilog", *what, "--out", "made.v")
        assert "module iris" in (run.folder / "made.v").read_text()


@pytest.mark.slow
def test_prove(run: Runner, trained: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof, "user_cache", lambda name: tmp_path / "cache" / name)
    claims = run.ok("prove", "iris.rdahw", "--what", "gateware,one-hot", "--json").json["claims"]
    assert len(claims) == 4
    assert {claim["verdict"] for claim in claims} == {"proved"}
    netlists = run.ok("prove", "iris.rdahw", "--what", "synthesis", "--json").json["claims"]
    assert sum(claim["size"].endswith("inference: 8 -> 3") for claim in netlists) == 2  # iCE40 and ECP5
    assert {claim["verdict"] for claim in netlists} == {"proved"}
    decided = run("prove", "iris.rdahw", "--what", "robust:1", "--json").json["claims"]
    assert [claim["verdict"] for claim in decided] == ["refuted"]  # some examples are a bit away from another class


@pytest.mark.slow
def test_synth(run: Runner, trained: dict[str, Any]) -> None:
    report = run.ok("synth", "iris.rdahw", "--inference", "--board", "icebreaker", "--json").json
    assert (report["cycles_per_example"], report["latency_cycles"]) == (1, 2)
    assert 0 < report["core_logic_cells"] < report["logic_cells"] < 5280


def test_what_a_grown_model_cannot(run: Runner, trained: dict[str, Any]) -> None:
    for words, said in (
        (("train", "--model", MODEL, "--batch", "3"), "learns from all 75 examples at once"),
        (("train", "--model", MODEL, "--shuffle"), "takes the examples in their order"),
        (("train", "--model", MODEL, "--hdl"), "has no circuit before it is trained"),
        (("synth", "iris.rdahw", "--board", "icebreaker"), "has no circuit before it is trained"),
        (("train", "--resume", "iris.rdahw", "--epochs", "5"), "grown in 4 rounds"),
        (("train", "--model", MODEL, "--optimiser", "xor"), "use growth=NUMBER"),
    ):
        failed = run(*words)
        assert failed.code == 2
        assert said in failed.err


@pytest.mark.slow
@pytest.mark.parametrize("family", ["xilinx", "ice40"])
def test_cells(run: Runner, trained: dict[str, Any], family: str) -> None:
    pipelined = ["--inference"] if family == "ice40" else []
    counted = run.ok("cells", "iris.rdahw", "--family", family, *pipelined, "--json").json
    assert counted["compared_examples"] == trained["test_examples"]
    assert 0 < counted["luts"] == sum(counted["luts_by_size"].values()) < 40
    assert counted["levels"] >= 1
    assert (counted["flip_flops"] > 0) == bool(pipelined)
    assert counted.get("latency_cycles", 0) == (1 if pipelined else 0)


@pytest.mark.slow
def test_cells_of_a_lookup(run: Runner) -> None:
    run.ok("train", "-q")
    counted = run.ok("cells", "iris-lookup.rdahw", "--family", "ecp5", "--inference", "--json").json
    assert (counted["luts"], counted["flip_flops"], counted["carry"], counted["levels"]) == (3, 3, 0, 1)
    assert counted["compared_examples"] == 75


@pytest.mark.slow
def test_cells_with_the_comparisons(run: Runner) -> None:
    rows = [f"{a},{b},{'yes' if a > 50 and b < 9 else 'no'}" for a in range(0, 101, 4) for b in range(0, 16, 3)]
    (run.folder / "whole.csv").write_text("\n".join(["a,b,y", *rows]))
    run.ok("train", "--data", "whole.csv", "--label", "y", "--split", "0.3", "--model", MODEL, "--out", "whole.rdahw")
    counted = run.ok("cells", "whole.rdahw", "--inference", "--encoder", "7", "--family", "ice40", "--json").json
    assert counted["encoder_bits"] == 7
    assert counted["luts"] > 0
    assert counted["compared_examples"] > 0


def test_comparisons_of_numbers_that_are_not_whole(run: Runner, trained: dict[str, Any]) -> None:
    failed = run("cells", "iris.rdahw", "--encoder", "4")
    assert failed.code == 1
    assert "--encoder 4 takes whole numbers from 0 to 15" in failed.err


@pytest.mark.slow
def test_an_exported_predictor_takes_the_features(run: Runner, tmp_path: Path) -> None:
    """By another simulator, on every pair of numbers."""
    rows = [f"{a},{b},{'yes' if a > 50 and b < 9 else 'no'}" for a in range(0, 101, 4) for b in range(0, 16, 3)]
    (run.folder / "whole.csv").write_text("\n".join(["a,b,y", *rows]))
    run.ok("train", "--data", "whole.csv", "--label", "y", "--split", "0.3", "--model", MODEL, "--out", "whole.rdahw")
    out = run.ok("export", "whole.rdahw", "--to", "verilog", "--inference", "--encoder", 7, "--json").json["out"]
    assert "a x[6:0], b x[13:7]." in (run.folder / out).read_text()
    its = load_model(run.folder / "whole.rdahw").predictor
    circuit = binariser_circuit(its.binariser, 7) >> predictor(its.spec, its)
    features = np.array([(a, b) for a in range(128) for b in range(128)], np.float64)
    (outputs,) = simulate(run.folder / out, "whole", circuit, [number_bits(its.binariser, features, 7)], {}, run.folder)
    x = its.binariser.transform(features)
    assert (decode(outputs, its.spec.classes, its.spec.code) == predict(its.spec, its.best_state, x)).all()


@pytest.mark.parametrize(("model", "bits", "octets"), [(MODEL, 7, 3), ("ensemble:tables=6,inputs=2,counter=3", 9, 4)])
def test_a_board_makes_the_comparisons(run: Runner, designs: list[Design], model: str, bits: int, octets: int) -> None:
    rows = [f"{a},{b},{a % 2},{'yes' if a > 50 and b < 9 else 'no'}" for a in range(0, 101, 9) for b in (1, 5, 15)]
    (run.folder / "whole.csv").write_text("\n".join(["a,b,c,y", *rows]))
    train = ("train", "--data", "whole.csv", "--label", "y", "--split", "0.4", "--model", model, "--out", "whole.rdahw")
    run.ok(*train, "--binarise", "quantile=3")
    expected = run.ok("eval", "whole.rdahw", "--predictions", "--json").json["predictions"]
    assert len(set(expected)) == 2
    assert run("synth", "whole.rdahw", "--inference", "--encoder", bits).error == "synthesis was left out"
    for made in (core := designs[-1].core(), frontend := designs[-1].frontend()):
        Fragment.get(made, None)  # Amaranth warns of components that are never elaborated
    assert frontend.circuit.input_types[0].width == 8 * octets
    its = load_model(run.folder / "whole.rdahw").predictor
    core = make_predictor(its.spec, its.best_state, core.frontend)  # of no family of FPGAs, so without its cells
    with pseudo_terminal(SimulatedDevice(simulate_link(core=core))) as port:
        found = run.ok("device", port, "predict", "whole.rdahw", "--predictions", "--json").json["predictions"]
        assert run.ok("device", port, "status", "--json").json["input_bits"] == 8 * octets
    assert found == expected


def test_numbers_that_reach_no_threshold_are_warned_of(run: Runner, designs: list[Design]) -> None:
    rows = [f"{a},{'yes' if a > 50 else 'no'}" for a in range(0, 101, 5)]
    (run.folder / "whole.csv").write_text("\n".join(["a,y", *rows]))
    run.ok("train", "--data", "whole.csv", "--model", "grown:tables=4,inputs=1", "--binarise", "quantile=3")
    wide, narrow = (run("synth", "whole-grown.rdahw", "--inference", "--encoder", bits).err for bits in (7, 5))
    assert "warning" not in wide
    assert "warning: numbers of 5 bits reach 31, which is not above 2 thresholds of the model; give" in narrow


def test_comparisons_that_no_board_makes(run: Runner, trained: dict[str, Any]) -> None:
    for words, said in (
        (("--encoder", 7), "add --inference, without --frontend"),
        (
            ("--inference", "--encoder", 7, "--frontend", "pixels"),
            "needs a model of images that is binarised by planes",
        ),
    ):
        ran = run("synth", "iris.rdahw", *words)
        assert ran.code == 2
        assert said in ran.error


@pytest.mark.parametrize("more", [[], ["--reverse"], ["--trainer"], ["--inference", "--frontend", "pixels"]])
def test_comparisons_are_for_trained_circuits(run: Runner, trained: dict[str, Any], more: list[str]) -> None:
    failed = run("export", "iris.rdahw", "--to", "verilog", "--encoder", 4, *more)
    assert failed.code == 2
