"""Models in simulated hardware equal the software, whatever their trainer: behavioural, compiled, and as netlists of a
family's cells."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rdahw.data import fit_binariser, load
from rdahw.data.images import Image
from rdahw.errors import MissingError, UsageError, UserError
from rdahw.families import spec_of_widths
from rdahw.families.ensemble.spec import EnsembleSpec
from rdahw.families.layers import LayersSpec
from rdahw.family import Spec
from rdahw.sim.engines import make_engine
from rdahw.sim.hardware import HardwareEngine, Mismatch
from rdahw.sim.simulator import choose_engine
from rdahw.training import Batches, Examples, Schedule, Training

SMALL = EnsembleSpec(input_bits=20, classes=3, tables=6, inputs=3, counter=4, margin=6, image=Image(1, 4, 5), seed=2)
#: A model for each trainer, and what else varies.
SPECS: dict[str, Spec] = {
    "ensemble": SMALL,
    "moved": replace(SMALL, shift=1),
    "signs": replace(SMALL, sign=True, dropout=0.0),
    "lookup": spec_of_widths("lookup", 4, 3),
    "mask": spec_of_widths("mask", 7, 1),
    "wide mask": spec_of_widths("mask", 70, 1),
    "layers": spec_of_widths("layers:9x3,6x2,margin=1", 20, 3),
}


def compiled() -> str:
    try:
        return choose_engine("cxxrtl")
    except MissingError as error:
        pytest.skip(str(error))


def some(spec: Spec, count: int = 30) -> Examples:
    rng = np.random.default_rng(3)
    x = (rng.random((count, spec.input_bits)) < (0.3 if spec.input_bits > 64 else 0.5)).astype(np.uint8)
    return Examples(x, rng.integers(0, spec.classes, count))


def same(spec: Spec, *engines: Any) -> bool:
    first, second = (engine.state for engine in engines)
    return all(np.array_equal(first[field.name], second[field.name]) for field in spec.fields)


@pytest.mark.slow
@pytest.mark.parametrize("validated", [False, True], ids=["alone", "validated"])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        *((name, {}) for name in SPECS),
        ("lookup", {"stages": 2}),
        ("lookup", {"stages": 2, "batch": True}),
        ("mask", {"batch": True}),
        ("mask", {"stages": 2}),
    ],
)
def test_a_run_of_training_is_that_of_the_software(name: str, options: dict[str, Any], validated: bool) -> None:
    spec = SPECS[name]
    count = 30 if len(spec.fields) == 1 else 10  # trainers with more than parameters take many cycles an example
    plain, hardware = make_engine(spec, "reference"), HardwareEngine(spec, check=True, **options)
    data = some(spec, count)
    schedule = Schedule(epochs=2, shuffle=True, seed=1, batch=4 if options.get("batch") else 1)
    runs = [Training(engine, schedule, data, data if validated else None) for engine in (plain, hardware)]
    last = [list(training.run(chunk=13))[-1] for training in runs]
    assert [(done.wrong, done.changed) for done in last] == [(last[0].wrong, last[0].changed)] * 2
    assert same(spec, plain, hardware)
    assert any((plain.state[f.name] != spec.initial_state()[f.name]).any() for f in spec.fields)
    assert np.array_equal(*(engine.predict(engine.prepare(data)) for engine in (plain, hardware)))
    assert same(spec, plain, hardware), "predictions change nothing"
    assert np.array_equal(*(training.parameters for training in runs))
    assert (hardware.examples, hardware.updates) == (2 * count, last[0].updates)
    assert 2 * count * hardware.trainer.cycles(updated=False) <= hardware.cycles
    figures = hardware.figures()
    assert (figures["bit_exact"], figures["engine"], figures["cycles"]) == (True, "amaranth", hardware.cycles)
    assert (
        ("cycles_with_update" in figures)
        == (spec.family in ("ensemble", "layers"))
        == ("startup_cycles" not in figures)
    )


def with_a_fault(name: str, register: str, bit: int) -> HardwareEngine:
    """After ten examples, with a bit of a register inverted."""
    spec = SPECS[name]
    hardware = HardwareEngine(spec, check=True)
    hardware.train(hardware.prepare(some(spec)), Batches.single(np.arange(10)))
    hardware.simulator.poke(register, hardware.simulator.peek(register) ^ 1 << bit)
    return hardware


@pytest.mark.parametrize(
    ("name", "register", "bit", "sentence"),
    [
        # A bit that no table and no example of the ten reads, or that only later examples see.
        ("signs", "dropout", 5, r"at example 20 \(update 20\), cycle \d+: dropout\[5\] is [01], expected [01]$"),
        ("ensemble", "counters", 3, r"at example \d+ \(update 20\), cycle \d+: (output|the update|counters\[)"),
        ("lookup", "parameters", 40, r"at example \d+ \(update \d+\), cycle \d+: (output|parameters\[40\] is [01])"),
        ("wide mask", "parameters", 69, r"at example 11 \(update 11\), cycle \d+: (output|parameters\[\d+\] is [01])"),
    ],
)
def test_a_difference_is_found(name: str, register: str, bit: int, sentence: str) -> None:
    hardware = with_a_fault(name, register, bit)
    with pytest.raises(Mismatch, match="^hardware and software differ " + sentence):
        hardware.train(hardware.prepare(some(SPECS[name])), Batches.single(np.arange(10, 20)))


def test_a_wrong_prediction_is_found() -> None:
    spec = SPECS["lookup"]
    hardware = HardwareEngine(spec, check=True)
    data = some(spec)
    prepared = hardware.prepare(data)
    hardware.train(prepared, Batches.single(np.arange(30)))
    software = hardware._software
    assert software is not None
    software.predict = lambda prepared, right=software.predict: right(prepared) + 1  # type: ignore[method-assign, misc]
    with pytest.raises(
        Mismatch, match=r"after 30 examples: the class predicted for test example \d+ is -?\d, expected"
    ):
        hardware.predict(prepared)


def test_what_is_refused() -> None:
    hardware = HardwareEngine(SMALL)
    data = some(SMALL)
    with pytest.raises(UserError, match=r"^inputs of shape \(30, 19\) were given; expected \(N, 20\)$"):
        hardware.prepare(Examples(data.x[:, :19], data.labels))
    for options, name in (({"stages": 2}, "stages"), ({"batch": True}, "batch")):
        with pytest.raises(UsageError, match=f"^--{name} is not supported for model 'ensemble'; leave it out$"):
            HardwareEngine(SMALL, **options)  # type: ignore[arg-type]


#: Families of FPGAs, and where the tables are on them.
FAMILIES = {"ice40": "spram", "ecp5": "block"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "spec"),
    [*((family, replace(SMALL, tables=64, inputs=4)) for family in FAMILIES), ("ice40", SPECS["wide mask"])],
)
def test_the_netlist(family: str, spec: Spec) -> None:
    """Memory that gives anything where the data sheets leave it open, by the cells of the family."""
    hardware = HardwareEngine(spec, compiled(), check=True, netlist=family, memory_kind=FAMILIES[family])
    data = some(spec)
    prepared, each = hardware.prepare(data), Batches.single(np.arange(30))
    hardware.train(prepared, each)
    rng = np.random.default_rng(4)
    start = {"counters": rng.integers(-8, 8, (64, 16, 3)).astype(np.int8), "dropout": rng.integers(0, 2, 63)}
    start["parameters"] = rng.integers(0, 2, 70)
    state = {field.name: field.check(start[field.name]) for field in spec.fields}
    hardware.state = state
    assert all(np.array_equal(hardware.state[name], value) for name, value in state.items())
    hardware.train(prepared, each)
    hardware.predict(prepared)


@pytest.mark.slow
@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_netlist_of_layers(family: str, batch: int) -> None:
    sizes, more = ((20, 4), (12, 2), (9, 4)), {"memory_kind": FAMILIES[family], "netlist": family}
    spec = LayersSpec(input_bits=20, classes=3, sizes=sizes, margin=2, counter=5)
    hardware, data = HardwareEngine(spec, compiled(), check=True, batch=batch > 1, **more), some(spec)  # type: ignore[arg-type]
    list(Training(hardware, Schedule(epochs=2, batch=batch), data).run())
    random = np.random.default_rng(4)
    start = {"counters": random.integers(-16, 16, spec.cells[-1]).astype(np.int8), "noise": random.integers(0, 2, 63)}
    hardware.state = {field.name: field.check(start[field.name]) for field in spec.fields}
    list(Training(hardware, Schedule(batch=batch), data, start=hardware.state).run())


@pytest.fixture(scope="module")
def mnist(mnist_folder: Path) -> tuple[EnsembleSpec, Examples]:
    """The trainer of the boards, and the training images in bits with their labels."""
    loaded = load("mnist")
    x = fit_binariser(loaded, "threshold=32").transform(loaded.train.features)
    spec = EnsembleSpec(input_bits=784, classes=10, image=Image(1, 28, 28), wiring="patch8inset2")
    return spec, Examples(x, loaded.train.labels)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_mnist_on_the_netlist(family: str, mnist: tuple[EnsembleSpec, Examples]) -> None:
    spec, data = mnist
    hardware = HardwareEngine(spec, compiled(), check=True, netlist=family, memory_kind=FAMILIES[family])
    outcome = hardware.train(hardware.prepare(data), Batches.single(np.arange(250)))
    assert outcome.changed is not None
    assert int(outcome.changed.sum()) == 232
    hardware.predict(hardware.prepare(Examples(data.x[1000:1050], data.labels[1000:1050])))


@pytest.mark.slow
def test_mnist_for_an_epoch(mnist: tuple[EnsembleSpec, Examples]) -> None:
    spec, data = mnist
    hardware = HardwareEngine(spec, compiled(), check=True)
    *_, done = Training(hardware, Schedule(shuffle=True), data).run()
    assert hardware.examples == 60_000
    assert (done.wrong, done.changed) == (3583, 11346)
    # The targets of the data path: 290 cycles, and 550 with an update of all tables.
    assert hardware.trainer.cycles(updated=False) == 278
    assert hardware.trainer.cycles() == 534
    assert hardware.cycles / 60_000 < 305
