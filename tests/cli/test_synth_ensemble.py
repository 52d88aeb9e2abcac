"""``rdahw synth`` of ensembles: trainers and trained ones, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Fragment
from running import Runner

from rdahw.boards import board
from rdahw.boards.design import Design, inference_design
from rdahw.families.ensemble.rule import PlainEnsemble
from rdahw.families.ensemble.spec import EnsembleSpec
from rdahw.hdl.inference import FixedModel
from rdahw.hdl.memory_fit import rom_needs
from rdahw.saved import load_model
from rdahw.sim.simulator import Exchange, make_simulator

SMALL = ("train", "--model", "ensemble:tables=6,inputs=3", "--optimiser", "counter=3", "--epochs", 2)


@pytest.mark.slow
def test_the_trainer_of_a_small_ensemble(run: Runner) -> None:
    """All the way to a bitstream."""
    ran = run.ok("synth", "ensemble:tables=4,inputs=2", "--binarise", "midrange", "--out", "made", "--json")
    report = ran.json
    expected = report.pop("estimated")
    assert json.loads((run.folder / "made" / "report.json").read_text()) == report
    assert all(expected[name] == report[name] for name in ("board", "ebr", "spram", "cycles_per_example"))
    assert (run.folder / "made" / "ensemble.bin").stat().st_size > 100_000
    assert (report["board"], report["spram"]) == ("icebreaker", 2)  # 3 classes of 6 bits
    assert 300 < report["core_logic_cells"] < report["logic_cells"]
    training, prediction = report["training_examples_per_second"], report["predictions_per_second"]
    assert training.keys() == prediction.keys() == {"core", "uart"}
    assert training["uart"] <= prediction["uart"] < training["core"] < prediction["core"]


@pytest.mark.usefixtures("mnist_folder")
@pytest.mark.slow
def test_mnist_on_the_icebreaker_at_48_mhz(run: Runner) -> None:
    """The whole design, with its flash reader, its link, and the board's pins and PLL."""
    model = ("ensemble:wiring=patch8inset2", "--data", "mnist", "--flash", "quad")
    ran = run.ok("synth", *model, "--clock", 48, "--baud", 3_000_000, "--pnr-seed", 3, "--json")
    report = ran.json
    assert report["fmax_mhz"] >= report["clock_mhz"] == 48
    assert (report["ebr"], report["spram"]) == (17, 4)
    assert report["training_examples_per_second"]["flash"] > 100_000


def test_a_saved_ensemble_and_one_by_name_are_the_same(run: Runner, designs: list[Design]) -> None:
    run.ok("train", "--model", "ensemble:tables=6,inputs=3", "--seed", 3, "--epochs", 1)
    options = ("--binarise", "quantile=15", "--seed", 3, "--data", "iris")
    for command in (("iris-ensemble.rdahw",), ("ensemble:tables=6,inputs=3", *options)):
        assert run("synth", *command).error == "synthesis was left out"
    saved, named = (design.core() for design in designs)
    assert saved.spec == named.spec
    for core in (saved, named):
        Fragment.get(core, None)  # Amaranth warns of components that are never elaborated
    assert (saved.spec.tables, saved.spec.input_bits, saved.spec.seed) == (6, 60, 3)


@pytest.mark.parametrize(
    ("options", "widths", "name"),
    [
        (["lookup"], (4, 3), "trainer"),
        (["lookup", "--inputs", 5], (5, 3), "trainer"),
        (["lookup:labels=binary", "--data", "iris"], (4, 3), "trainer"),
        (["lookup", "--binarise", "thermometer=2"], (8, 3), "trainer"),
        (["ensemble:tables=4", "--inputs", 9, "--outputs", 5, "--seed", 2], (9, 5), "ensemble"),
    ],
)
def test_the_widths_are_those_of_the_data_or_those_asked_for(
    run: Runner, designs: list[Design], options: list[Any], widths: tuple[int, int], name: str
) -> None:
    assert run("synth", *options).error == "synthesis was left out"
    core = designs[0].core()
    Fragment.get(core, None)
    assert (core.spec.input_bits, core.spec.classes, designs[0].name) == (*widths, name)
    assert core.spec.code == ("binary" if "labels=binary" in options[0] else "one-hot")


@pytest.mark.usefixtures("mnist_folder")
@pytest.mark.slow
def test_a_trained_ensemble_in_block_ram(run: Runner) -> None:
    """All the way to a bitstream: an ensemble of signs."""
    model = "ensemble:tables=64,inputs=5,wiring=patch8inset2"
    run.ok("train", "--data", "mnist", "--model", model, "--sign", "--epochs", 1)
    ran = run.ok("synth", "mnist-ensemble.rdahw", "--inference", "--json")
    report = ran.json
    assert report.pop("estimated")["ebr"] == report["ebr"]
    assert json.loads((run.folder / "build/icebreaker/report.json").read_text()) == report
    saved = load_model(run.folder / "mnist-ensemble.rdahw")
    assert (report["tables"], report["ebr"], report["spram"]) == ("block RAM", 11, 0)
    assert rom_needs(saved.spec, board("icebreaker")).ebr == 11
    assert report["logic_cells"] < 2500
    assert "training_examples_per_second" not in report
    assert report["predictions_per_second"]["core"] == report["examples_per_second"]


def test_where_the_tables_are_is_said(run: Runner, designs: list[Design]) -> None:
    run.ok(*SMALL)
    assert run("synth", "iris-ensemble.rdahw", "--inference").error == "synthesis was left out"
    assert run("synth", "iris-ensemble.rdahw").error == "synthesis was left out"
    assert [design.tables for design in designs] == ["logic", None]
    run.ok("train", "--model", "ensemble:tables=64,inputs=6", "--epochs", 1, "--sign")
    assert run("synth", "iris-ensemble.rdahw", "--inference").error == "synthesis was left out"
    assert designs[-1].tables == "block RAM"


def test_a_folded_ensemble_predicts_as_the_ensemble_does() -> None:
    spec = EnsembleSpec(input_bits=12, classes=3, tables=5, inputs=3, counter=4)
    rng = np.random.default_rng(0)
    engine = PlainEnsemble(spec)
    engine.counters = rng.integers(-8, 8, spec.counters_shape).astype(np.int8)
    x = rng.integers(0, 2, (60, 12)).astype(np.uint8)
    x[:5] = 0
    core = inference_design(spec, engine.state, board("icebreaker")).core()
    assert isinstance(core, FixedModel)
    simulator = make_simulator(core, "amaranth")
    beats = np.concatenate([x, np.zeros((60, 3 + 2), np.uint8)], axis=1)  # y, last, learn
    made = simulator.exchange(Exchange("examples", "results", beats, 60, 60))
    simulator.close()
    assert (made.results[:, :3].sum(axis=1) == 1).all()
    assert (made.results[:, :3].argmax(axis=1) == engine.classify(x)).all()


@pytest.mark.parametrize(
    ("options", "code", "sentence"),
    [
        ("ensemble --batch 2", 2, "--batch is not supported for model 'ensemble'; leave it out"),
        ("ensemble --stages 2", 2, "--stages is not supported for model 'ensemble'; leave it out"),
        (
            "ensemble --inputs 784 --data iris",
            2,
            "--data iris cannot be used with --inputs, because the data decide the number",
        ),
        ("ensemble --epochs 3", 2, "--epochs 3 was given without --flash; add --flash, or leave --epochs out"),
        ("ensemble --inference", 2, "--inference needs a trained model, and 'ensemble' is not one; give a file of rd"),
        ("lookup --flash quad", 2, "--flash is not supported for model 'lookup'; leave it out"),
        ("iris-ensemble.rdahw --seed 1", 2, "--seed 1 cannot be used with a trained model; leave"),
        ("iris-ensemble.rdahw --inference --flash quad", 2, "--flash quad cannot be used with --inference; leave"),
        ("iris-ensemble.rdahw --board orangecrab --flash quad", 1, "OrangeCrab r0.2 25F has no flash memory for data"),
        ("iris-ensemble.rdahw --board ulx3s --flash quad", 1, "the flash of ULX3S 25F is read over one data line; use"),
        ("ensemble:tables=2048,inputs=6", 1, "it needs 16 large memory blocks (SPRAM) of 4 and "),
        ("ensemble --board icestick", 1, "does not fit iCEstick: it needs "),
    ],
)
def test_what_is_refused(run: Runner, designs: list[Design], options: str, code: int, sentence: str) -> None:
    if "iris-ensemble" in options:
        run.ok(*SMALL)
    ran = run("synth", *options.split())
    assert ran.code == code
    assert sentence in ran.error
    assert not designs
