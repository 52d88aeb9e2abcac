"""Ensembles whose tables choose their inputs by the data go through every command."""

from __future__ import annotations

import gc
import re
from typing import Any

import numpy as np
import pytest
from running import Runner

from rdahw.families.ensemble.spec import make_wiring
from rdahw.hdl import proof
from rdahw.saved import load_model

MODEL = "ensemble:tables=12,inputs=2,wiring=grown"
TRAIN = ("train", "--model", MODEL, "--binarise", "thermometer=2", "--epochs", 4)


@pytest.fixture
def trained(run: Runner) -> dict[str, Any]:
    """Iris, learned from eight bits."""
    result: dict[str, Any] = run.ok(*TRAIN, "--out", "iris.rdahw", "--json").json
    return result


def test_train(run: Runner, trained: dict[str, Any]) -> None:
    assert trained["test_accuracy"] > 0.85
    assert (trained["wiring"], trained["copies"], trained["candidates"], trained["slope"]) == ("grown", 0, 64, 200)
    assert [row["epoch"] for row in trained["curve"]] == [1, 2, 3, 4]
    wiring = make_wiring(load_model(run.folder / "iris.rdahw").spec)  # type: ignore[arg-type]
    assert wiring.shape == (12, 2)
    assert (wiring[:, 0] != wiring[:, 1]).all()
    said = run.ok(*TRAIN, "--engine", "reference", "--out", "plain.rdahw").err
    assert re.search(r"choice of the inputs of 12 x 2 tables among 8 bits: \d+\.\d\d s", said)
    plain, other = (load_model(run.folder / name) for name in ("plain.rdahw", "iris.rdahw"))
    assert plain.spec == other.spec
    assert (plain.parameters == other.parameters).all()


def test_several_seeds_and_going_on(run: Runner, trained: dict[str, Any]) -> None:
    several = run.ok(*TRAIN, "--seeds", 2, "--out", "several.rdahw", "--json").json
    assert several["runs"][0]["parameters_sha256"] == trained["parameters_sha256"]
    assert several["runs"][1]["parameters_sha256"] != trained["parameters_sha256"]
    run.ok("train", "--resume", "several-seed0.rdahw", "--epochs", 6, "--out", "on.rdahw")
    run.ok(*TRAIN[:-1], 6, "--out", "whole.rdahw")
    on, whole = (load_model(run.folder / name) for name in ("on.rdahw", "whole.rdahw"))
    assert on.spec == whole.spec
    assert (on.parameters == whole.parameters).all()


def test_validation_examples_do_not_choose_the_wiring(run: Runner) -> None:
    text = "".join(f"{i % 2},{i // 2 % 2},{i // 4 % 2},{'ab'[i % 2 if i < 40 else i // 4 % 2]}\n" for i in range(60))
    (run.folder / "table.csv").write_text("p,q,r,class\n" + text)
    run.ok("train", "--data", "table.csv", "--model", "ensemble:tables=4,inputs=1,wiring=grown", "--validation", 20)
    saved = load_model(run.folder / "table-ensemble.rdahw")
    assert (make_wiring(saved.spec)[0] == 0).all()  # type: ignore[arg-type]


def test_eval_show_and_report(run: Runner, trained: dict[str, Any]) -> None:
    assert run.ok("eval", "iris.rdahw", "--json").json["accuracy"] == trained["test_accuracy"]
    shown = run.ok("show", "iris.rdahw", "--json").json
    assert (shown["wiring"], shown["parameters_sha256"]) == ("grown", trained["parameters_sha256"])
    pytest.importorskip("matplotlib")
    run.ok("report", "iris.rdahw")
    assert "What speaks for each class" in (run.folder / "iris.html").read_text()


def test_binarise(run: Runner, trained: dict[str, Any]) -> None:
    run.ok("binarise", "iris.rdahw", "--epochs", 1, "--out", "bits.rdahw")
    counted = run.ok("eval", "bits.rdahw", "--json").json
    assert counted["accuracy"] > 0.8
    text = run.ok("show", "bits.rdahw", "--text").out
    wiring = make_wiring(load_model(run.folder / "iris.rdahw").spec)  # type: ignore[arg-type]
    read = [tuple(map(int, found)) for found in re.findall(r"gather.*?(\d+), (\d+)", text)]
    assert set(read) >= {tuple(row) for row in np.unique(wiring, axis=0).tolist()}


@pytest.mark.slow
def test_export_and_prove(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof, "user_cache", lambda name: run.folder / "cache" / name)
    (run.folder / "table.csv").write_text("p,q,class\n" + "0,0,a\n1,0,a\n0,1,b\n1,1,b\n" * 3)
    model = "ensemble:tables=2,inputs=1,counter=2,margin=1,dropout=0,wiring=grown"
    run.ok("train", "--data", "table.csv", "--model", model, "--out", "tiny.rdahw")
    run.ok("export", "tiny.rdahw", "--to", "verilog", "--trainer", "--out", "made.v")
    assert "module tiny" in (run.folder / "made.v").read_text()
    claims = run.ok("prove", "tiny.rdahw", "--what", "gateware", "--json").json["claims"]
    assert {claim["verdict"] for claim in claims} == {"proved"}


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
def test_what_needs_a_trained_one(run: Runner) -> None:
    for words in (("synth", MODEL), ("export", MODEL, "--inputs", 8, "--outputs", 3, "--to", "verilog", "--trainer")):
        ran = run(*words)
        assert ran.code == 2
        assert ran.error == (
            "an ensemble with wiring=grown has no circuit before it is trained, as its tables choose their inputs by "
            "the data; train one with rdahw train and give its file"
        )
    gc.collect()  # the trainer that came to nothing, while its warning is off
    assert "no circuit before it is trained" in run.ok("show", MODEL, "--inputs", 8, "--json").json["no_circuit"]
