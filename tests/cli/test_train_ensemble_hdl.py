"""``rdahw train --hdl --model ensemble``: the memory trainer cycle by cycle, and checked against software."""

from __future__ import annotations

import gc
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from running import Runner

from rdahw.errors import MissingError
from rdahw.hdl.write_back_buffer import WriteBackBuffer
from rdahw.saved import load_model
from rdahw.sim.cycle_counts import CycleCounts
from rdahw.sim.simulator import choose_engine

SMALL = ("train", "--data", "table.csv", "--model", "ensemble:tables=6,inputs=3", "--binarise", "quantile=5")


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """40 examples of three classes, of which 10 are for testing."""
    rng = np.random.default_rng(0)
    rows = [(rng.normal(c), rng.normal(-c), rng.normal(), "abc"[c]) for c in rng.integers(0, 3, 40)]
    text = "".join(f"{a:.3f},{b:.3f},{c:.3f},{label}\n" for a, b, c, label in rows)
    (tmp_path / "table.csv").write_text("p,q,r,class\n" + text)
    return tmp_path


def same_as_software(run: Runner, options: tuple[Any, ...], hardware: tuple[Any, ...], name: str) -> dict[str, Any]:
    """Train in software and in simulated hardware, and compare what is saved and what is said; the latter."""
    software = run.ok(*options, "--out", "software.rdahw", "--json").json
    result: dict[str, Any] = run.ok(*options, "--hdl", *hardware, "--out", name, "--json").json
    saved, expected = load_model(run.folder / name), load_model(run.folder / "software.rdahw")
    for field in expected.spec.fields:
        assert (saved.state[field.name] == expected.state[field.name]).all()
    own = {"engine", "out", "seconds", "seconds_total", "curve"}
    assert {k: result[k] for k in software.keys() - own} == {k: software[k] for k in software.keys() - own}
    without_time = [[{**row, "seconds": 0} for row in r["curve"]] for r in (result, software)]
    assert without_time[0] == without_time[1]
    assert result["bit_exact"] is True
    return result


def needs(engine: str) -> None:
    """Skip the test if the engine is not installed."""
    try:
        choose_engine(engine)
    except MissingError as error:
        pytest.skip(str(error))


def cycles(spec: Any, updated: bool) -> int:
    """A cycle a table, eight and one for each bit of a score to decide, and then a cycle for each table that learns."""
    bits = (spec.tables * (1 if spec.sign else 2**spec.counter - 1)).bit_length()
    return int(spec.tables + 8 + bits + (spec.tables if updated else 0))


ORDERS = {
    "in order": ("--no-shuffle", "--dropout", 0),
    "shuffled": ("--shuffle", "--validation", 7),
    "by stride, signs": ("--stride", 7, "--sign", "--margin", 2, "--optimiser", "counter=3"),
}


# Each compiled trainer takes seconds to compile.
@pytest.mark.parametrize(
    ("engine", "order"), [*(("amaranth", order) for order in ORDERS), ("cxxrtl", "shuffled"), ("verilator", "shuffled")]
)
def test_it_learns_as_software_does(run: Runner, table: Path, engine: str, order: str) -> None:
    needs(engine)
    options = (*SMALL, "--split", 0.25, "--epochs", 2, *ORDERS[order])
    result = same_as_software(run, options, ("--engine", engine), "hardware.rdahw")
    spec = load_model(table / "hardware.rdahw").spec
    assert result["engine"] == engine
    assert result["cycles_without_update"]["min"] >= cycles(spec, False)
    assert cycles(spec, False) < result["cycles_with_update"]["max"] <= cycles(spec, True)
    assert cycles(spec, False) <= result["cycles_per_example"] <= cycles(spec, True) + 10
    if order == "in order":  # without dropout, each of a kind takes as long
        assert result["cycles_with_update"] == {n: cycles(spec, True) for n in ("min", "max", "mean")}


@pytest.mark.parametrize("wiring", ["patch3", "grown,copies=1"])
def test_images_that_are_moved(run: Runner, wiring: str) -> None:
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 256, (20, 5, 5)).astype(np.uint8)
    np.savez(run.folder / "noise.npz", x=pixels, y=rng.integers(0, 2, 20))
    options = ("train", "--data", "noise.npz", "--model", f"ensemble:tables=5,inputs=4,wiring={wiring}")
    same_as_software(run, (*options, "--augment", "shift=1", "--epochs", 1), ("--engine", "amaranth"), "hardware.rdahw")


def test_it_goes_on_in_either_place(run: Runner, table: Path) -> None:
    whole = (*SMALL, "--epochs", 2)
    run.ok(*whole, "--out", "whole.rdahw")
    run.ok(*whole, "--updates", 50, "--hdl", "--engine", "amaranth", "--out", "part.rdahw")
    result = run.ok(
        *("train", "--resume", "part.rdahw", "--updates", 80, "--hdl", "--engine", "amaranth"),
        *("--out", "both.rdahw", "--json"),
    ).json
    assert (result["resumed_from_example"], result["examples"]) == (50, 80)
    spec = load_model(table / "both.rdahw").spec
    assert result["cycles_per_example"] < cycles(spec, True) + 10  # of the 30 of this run alone
    run.ok("train", "--resume", "part.rdahw", "--updates", 80, "--out", "software.rdahw")
    counters = [load_model(table / f"{n}.rdahw").state["counters"] for n in ("whole", "both", "software")]
    assert (counters[0] == counters[1]).all()
    assert (counters[0] == counters[2]).all()


def test_waveforms_and_what_people_read(run: Runner, table: Path) -> None:
    text = run.ok(*SMALL, "--epochs", 1, "--updates", 20, "--hdl", "--engine", "amaranth", "--vcd", "waves.vcd").out
    assert "all bits equal to software (amaranth)" in text
    assert "$enddefinitions" in (table / "waves.vcd").read_text()


def test_a_fault_of_the_hardware_is_an_error_that_says_where(
    run: Runner, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = WriteBackBuffer._flips

    def flips(self: WriteBackBuffer, *given: Any) -> Any:
        return right(self, *given) & -(1 << self.counter)  # the first class never learns

    monkeypatch.setattr(WriteBackBuffer, "_flips", flips)
    ran = run(*SMALL, "--epochs", 1, "--hdl", "--engine", "amaranth", "--out", "x.rdahw")
    assert ran.code == 1
    assert re.match(r"hardware and software differ at example \d+ .*: .* is \S+, expected ", ran.error)
    assert not (table / "x.rdahw").exists()


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
def test_more_classes_than_the_trainer_has(run: Runner) -> None:
    lines = "".join(f"{i},{-i},c{i}\n" for i in range(150))
    (run.folder / "many.csv").write_text("p,q,class\n" + lines)
    options = ("--data", "many.csv", "--model", "ensemble:tables=2,inputs=2", "--hdl", "--engine", "amaranth")
    ran = run("train", *options)
    assert ran.code == 1
    assert ran.error.startswith("an ensemble of 150 classes was given; the gateware takes at most 128")
    gc.collect()  # the trainer that came to nothing, while its warning is off


def test_cycles_are_counted_by_kind_within_each_exchange() -> None:
    counts = CycleCounts()
    counts.add(np.array([30, 40, 65, 12, 24]), np.array([False, True, True, False, False]))
    assert counts.without_update.to_json() == {"min": 10, "max": 12, "mean": 11.0}
    assert counts.with_update.to_json() == {"min": 25, "max": 25, "mean": 25.0}
    assert CycleCounts().with_update.to_json() is None


@pytest.mark.usefixtures("mnist_folder")
@pytest.mark.slow
def test_mnist(run: Runner) -> None:
    needs("cxxrtl")
    options = ("train", "--data", "mnist", "--model", "ensemble:wiring=patch8inset2", "--updates", 2000)
    result = same_as_software(run, options, ("--engine", "cxxrtl"), "hardware.rdahw")
    assert result["test_accuracy"] > 0.85
    assert result["cycles_without_update"]["max"] <= 290
    assert result["cycles_with_update"]["max"] <= 550
