"""Ensembles in simulated hardware equal the software: behavioural, compiled, and as netlists of a family's cells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rdahw.data import fit_binariser, load
from rdahw.data.images import Image
from rdahw.errors import MissingError, UserError
from rdahw.families.ensemble.rule import PlainEnsemble
from rdahw.families.ensemble.spec import EnsembleSpec
from rdahw.GONE import EnsembleTraining
from rdahw.sim.ensemble_hardware import HardwareEnsemble
from rdahw.sim.hardware import Mismatch
from rdahw.sim.simulator import choose_engine
from rdahw.training import Schedule


def compiled() -> str:
    try:
        return choose_engine("cxxrtl")
    except MissingError as error:
        pytest.skip(str(error))


def small(**changes: Any) -> tuple[EnsembleSpec, Any, Any]:
    rng = np.random.default_rng(3)
    given = dict(input_bits=20, classes=3, tables=6, inputs=3, counter=4, margin=6, image=Image(1, 4, 5), seed=2)
    x = rng.integers(0, 2, (30, 20)).astype(np.uint8)
    return EnsembleSpec(**{**given, **changes}), x, rng.integers(0, 3, 30)


@pytest.mark.parametrize("changes", [{}, {"shift": 1}, {"sign": True, "dropout": 0.0}], ids=["plain", "moved", "signs"])
def test_a_run_of_training_is_that_of_the_software(changes: dict[str, Any]) -> None:
    spec, x, labels = small(**changes)
    plain, hardware = PlainEnsemble(spec), HardwareEnsemble(spec, "amaranth", check=True)
    schedule = Schedule(epochs=2, shuffle=True, seed=1)
    states = [
        list(EnsembleTraining(engine, schedule, x, labels, chunk=13).run())[-1]  # type: ignore[arg-type]
        for engine in (plain, hardware)
    ]
    assert (states[0].wrong, states[0].updates) == (states[1].wrong, states[1].updates)
    assert states[0].updates > 0
    assert np.array_equal(plain.counters, hardware.counters)
    assert plain.dropout_state == hardware.dropout_state
    packed = hardware.pack(x)
    assert np.array_equal(plain.predict(x), hardware.predict(packed))
    assert np.array_equal(plain.scores(x), hardware.scores(packed))
    assert np.array_equal(plain.counters, hardware.counters)
    assert hardware.examples == 60
    assert 60 * hardware.trainer.cycles(False) < hardware.cycles


def test_a_difference_is_found() -> None:
    spec, x, labels = small(dropout=0.0)
    hardware = HardwareEnsemble(spec, "amaranth", check=True)
    packed = hardware.pack(x)
    hardware.train(packed, labels, np.arange(10))
    hardware.simulator.poke("state", 1)
    with pytest.raises(
        Mismatch, match=r"^hardware and software part by example 20: the dropout's shift register is 0x1, expected 0x"
    ):
        hardware.train(packed, labels, np.arange(10, 20))
    hardware = HardwareEnsemble(spec, "amaranth", check=True)
    tables = hardware.simulator.peek("tables")
    hardware.simulator.poke("tables", tables ^ (1 << 3))  # the sign of table 0, index 0, class 0
    with pytest.raises(Mismatch, match=r"^hardware and software part (at|by) example \d+: the "):
        hardware.train(packed, labels, np.arange(30))


def test_inputs_of_another_width() -> None:
    spec, x, _ = small()
    with pytest.raises(UserError, match=r"^inputs of shape \(30, 19\) were given; expected \(N, 20\)$"):
        HardwareEnsemble(spec, "amaranth").pack(x[:, :19])


#: Families of FPGAs, and where the tables are on them.
FAMILIES = {"ice40": "spram", "ecp5": "block"}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.slow
def test_the_netlist(family: str) -> None:
    """Memory that gives anything where the data sheets leave it open, by the cells of the family."""
    spec, x, labels = small(tables=64, inputs=4)
    hardware = HardwareEnsemble(spec, compiled(), check=True, netlist=family, memory_kind=FAMILIES[family])
    packed = hardware.pack(x)
    hardware.train(packed, labels, np.arange(30))
    counters = np.random.default_rng(4).integers(-8, 8, spec.counters_shape).astype(np.int8)
    hardware.counters = counters
    hardware.dropout_state = 0x123456789ABCDEF
    hardware.train(packed, labels, np.arange(30))
    hardware.predict(packed)


@pytest.fixture(scope="module")
def mnist(mnist_folder: Path) -> tuple[EnsembleSpec, Any, Any]:
    """The trainer of the boards, and the training images in bits with their labels."""
    loaded = load("mnist")
    x = fit_binariser(loaded, "threshold=32").transform(loaded.train.features)
    spec = EnsembleSpec(input_bits=784, classes=10, image=Image(1, 28, 28), wiring="patch8inset2")
    return spec, x, loaded.train.labels


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.slow
def test_mnist_on_the_netlist(family: str, mnist: tuple[EnsembleSpec, Any, Any]) -> None:
    spec, x, labels = mnist
    hardware = HardwareEnsemble(spec, compiled(), check=True, netlist=family, memory_kind=FAMILIES[family])
    packed = hardware.pack(x[:1100])
    outcome = hardware.train(packed, labels[:1000], np.arange(1000))
    assert int(outcome.updated.sum()) == 742
    hardware.predict(packed[1000:])


@pytest.mark.slow
def test_mnist_for_an_epoch(mnist: tuple[EnsembleSpec, Any, Any]) -> None:
    spec, x, labels = mnist
    hardware = HardwareEnsemble(spec, compiled(), check=True)
    schedule = Schedule(epochs=1, shuffle=True)
    *_, state = EnsembleTraining(hardware, schedule, x, labels).run()
    assert hardware.examples == 60_000
    assert (state.wrong, state.updates) == (3583, 11346)
    # The targets of the data path: 290 cycles, and 550 with an update of all tables.
    assert hardware.trainer.cycles(False) == 278
    assert hardware.trainer.cycles(True) == 534
    assert hardware.cycles / 60_000 < 305
