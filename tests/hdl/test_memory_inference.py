"""A trained ensemble in block RAM predicts what the software predicts: simulated, compiled, and as iCE40 cells."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import pytest

from rdahw.data import fit_binariser, load
from rdahw.data.images import Image
from rdahw.errors import MissingError, UserError
from rdahw.families.ensemble.rule import PlainEnsemble
from rdahw.families.ensemble.spec import EnsembleSpec
from rdahw.hdl.memory_inference import MemoryInference
from rdahw.hdl.table_words import counters_of_words, word_octets, word_stride
from rdahw.sim.ensemble import CompiledEnsemble
from rdahw.sim.simulator import Exchange, Simulator, choose_engine, make_simulator
from rdahw.training import Examples, Schedule, Training

CASES: dict[str, dict[str, Any]] = {
    "one table": dict(tables=1, inputs=3, classes=2, counter=2),
    "a word of a byte": dict(tables=9, inputs=3, classes=2, counter=4),
    "a word of eight bytes": dict(tables=7, inputs=2, classes=10, counter=6),
    "a word of nine bytes": dict(tables=4, inputs=4, classes=9, counter=8, input_bits=16),
    "signs": dict(tables=9, inputs=3, classes=5, counter=3, sign=True),
    "signs of ten classes": dict(tables=33, inputs=4, classes=10, counter=6, sign=True),
    "signs of two classes": dict(tables=6, inputs=2, classes=2, counter=8, sign=True),
}


def simulator(core: MemoryInference, engine: str) -> Simulator:
    """``engine``: of the simulators, or ``netlist`` for what synthesis makes."""
    try:
        compiled = engine if engine == "amaranth" else choose_engine("cxxrtl")
    except MissingError as error:
        pytest.skip(str(error))
    return make_simulator(core, compiled, netlist="ice40" if engine == "netlist" else None)


def run(simulator: Simulator, core: MemoryInference, x: Any, labels: Any, **options: Any) -> tuple[Any, Any, Any]:
    """Predictions, which were right, and the cycles in which they came; to learn is asked for, and does nothing."""
    octets = np.column_stack([np.packbits(x, axis=1, bitorder="little"), (labels | 1 << 7).astype(np.uint8)])
    beats = np.unpackbits(octets.reshape(-1, 1), axis=1, bitorder="little")
    made = simulator.exchange(Exchange("examples", "results", beats, len(beats), len(x), **options))
    fields = (core.results.payload.shape()[name] for name in ("prediction", "correct", "updated"))
    bits = (made.results[:, f.offset : f.offset + f.width].astype(int) << np.arange(f.width) for f in fields)
    predictions, correct, updated = (field.sum(axis=1) for field in bits)
    assert not updated.any()
    return predictions, correct, made.given


def make(case: str) -> tuple[PlainEnsemble, MemoryInference]:
    """An ensemble of random counters, in software and in hardware."""
    rng = np.random.default_rng(sorted(CASES).index(case))
    software = PlainEnsemble(EnsembleSpec(**{"input_bits": 21, "seed": 7, **CASES[case]}))
    low, high = software.spec.counter_range
    software.counters = rng.integers(low, high + 1, software.spec.counters_shape).astype(np.int8)
    return software, MemoryInference(software.spec, software.counters)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("engine", "case"),
    [
        *(("amaranth", case) for case in CASES),
        *(("cxxrtl", case) for case in ("a word of nine bytes", "signs of ten classes")),
        ("netlist", "signs"),
    ],
)
def test_it_predicts_what_the_software_predicts(engine: str, case: str) -> None:
    software, core = make(case)
    spec, rng = software.spec, np.random.default_rng(2)
    simulated = simulator(core, engine)
    x, labels = rng.integers(0, 2, (120, spec.input_bits), np.uint8), rng.integers(0, spec.classes, 120)
    expected = software.classify(x)
    assert len(set(expected)) > 1
    predictions, correct, given = run(simulated, core, x, labels)
    assert np.array_equal(predictions, expected)
    assert np.array_equal(correct, expected == labels)
    # Unless the example's bytes take longer.
    assert set(np.diff(given[2:])) == {max(core.cycles(), core.example_octets + 1)}
    # And with gaps in the examples and stalls of the results.
    options = dict(gaps=rng.random(97) < 0.5, stalls=rng.permutation(41) < 39)
    predictions, correct, _ = run(simulated, core, x[:40], labels[:40], **options)
    assert np.array_equal(predictions, expected[:40])
    assert np.array_equal(correct, expected[:40] == labels[:40])


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_the_tables_are_read_and_not_written(case: str) -> None:
    software, core = make(case)
    spec, simulated = software.spec, simulator(core, "amaranth")
    stride, octets = word_stride(spec), word_octets(spec)
    for name in ("parameter_write_enable", "clear"):
        simulated.set(f"control__{name}", 1)
    simulated.set("control__parameter_write", 0xA5)
    words = np.zeros((spec.tables << spec.inputs, stride), np.uint8)
    for address in range(words.size):
        simulated.set("control__parameter_address", address)
        assert simulated.get("control__ready")
        simulated.tick()
        words.flat[address] = simulated.get("control__parameter_read")
    counters = counters_of_words(spec, np.ascontiguousarray(words[:, :octets]))
    assert np.array_equal(counters, -(software.counters < 0).astype(int) if spec.sign else software.counters)
    assert simulated.get("control__example_count") == simulated.get("control__error_count") == 0
    # What is read of signs predicts the same.
    x = np.random.default_rng(3).integers(0, 2, (50, spec.input_bits), np.uint8)
    expected, software.counters = software.classify(x), counters
    assert np.array_equal(software.classify(x), expected)
    predictions, *_ = run(simulated, core, x, np.zeros(50, int))
    assert np.array_equal(predictions, expected)


@pytest.mark.slow
@pytest.mark.usefixtures("mnist_folder")
def test_mnist() -> None:
    loaded = load("mnist")
    assert loaded.test is not None
    binariser = fit_binariser(loaded, "threshold=32")
    train, test = (binariser.transform(part.features[:6000]) for part in (loaded.train, loaded.test))
    spec = EnsembleSpec(input_bits=784, classes=10, image=Image(1, 28, 28), wiring="patch8inset2")
    software = CompiledEnsemble(spec)
    list(Training(software, Schedule(), Examples(train, loaded.train.labels[:6000])).run())
    core = MemoryInference(spec, software.counters)
    labels = loaded.test.labels[:1000]
    predictions, correct, _ = run(simulator(core, "cxxrtl"), core, test[:1000], labels)
    assert np.array_equal(predictions, software.classify(software.pack(test[:1000])))
    assert correct.mean() > 0.9
    assert core.cycles() == 278


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
def test_what_is_refused() -> None:
    spec = EnsembleSpec(input_bits=20, classes=200, tables=2, inputs=2)
    with pytest.raises(UserError, match=r"^an ensemble of 200 classes was given; the gateware takes at most 128, as "):
        MemoryInference(spec, np.zeros(spec.counters_shape, np.int8))
    spec = EnsembleSpec(input_bits=20, classes=3, tables=2, inputs=2)
    with pytest.raises(UserError, match=r"^counters of shape \(2, 4, 2\) were given; the model has \(2, 4, 3\)$"):
        MemoryInference(spec, np.zeros((2, 4, 2), np.int8))
    gc.collect()  # their complaint of not being used, while that is ignored
