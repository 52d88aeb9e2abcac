"""The layer trainer gives exactly the bits of the plain rule of layers."""

from __future__ import annotations

import gc
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Module, ResetInserter
from amaranth.lib import wiring
from amaranth.lib.wiring import In
from flash_training import Bench as FlashBench
from flash_training import small_image
from scenarios import layer_trainer as scenarios

from rdahw.errors import UsageError, UserError
from rdahw.families.ensemble.spec import register_bits
from rdahw.families.layers.rule import PlainLayers
from rdahw.families.layers.spec import LayersSpec, make_wiring
from rdahw.hdl.flash_trainer import State
from rdahw.hdl.layer_trainer import LayerTrainer
from rdahw.hdl.layer_words import counters_of_octets, octets_of_counters, request_bits, row_octets
from rdahw.hdl.trainer_factory import make_trainer
from rdahw.sim.hardware import HardwareEngine
from rdahw.sim.simulator import Exchange, make_simulator
from rdahw.training import Examples, Schedule, Training

CASES: dict[str, dict[str, Any]] = {
    "three layers": dict(sizes=((20, 3), (16, 2), (10, 4)), counter=4),
    "two layers": dict(sizes=((9, 4), (8, 4)), margin=1),
    "one table of one input": dict(sizes=((1, 1), (3, 1)), margin=0, counter=2),
    "one layer": dict(sizes=((3, 1),), margin=0, noise=2),
    "frozen, much noise": dict(sizes=((20, 3), (16, 2), (10, 4)), frozen=1, noise=8),
    "no noise, always updated": dict(sizes=((7, 5), (6, 6), (5, 5)), noise=0, margin=1 << 20),
    # A table that all of the next layer read, one after the other, and fewer inputs below.
    "narrow": dict(sizes=((8, 4), (8, 4), (1, 4), (1, 1), (9, 1), (8, 4)), margin=1, counter=8, noise=1),
    # Tables read twice by the same input, at any distance.
    "wide": dict(sizes=((3, 2), (19, 3), (13, 2)), margin=3, counter=3),
}


def make(case: str, count: int = 25) -> tuple[LayersSpec, Examples]:
    rng = np.random.default_rng(sorted(CASES).index(case))
    spec = LayersSpec(**{"input_bits": 21, "classes": 3, "margin": 2, "seed": 7, **CASES[case]})
    kinds = rng.integers(0, 2, (6, spec.input_bits), np.uint8)
    chosen = rng.integers(0, 6, count)
    x = kinds[chosen] ^ (rng.random((count, spec.input_bits)) < 0.1)
    return spec, Examples(x.astype(np.uint8), (chosen % spec.classes).astype(np.int64))


def compare(spec: LayersSpec, data: Examples, *, batch: int = 1, epochs: int = 2, **options: Any) -> HardwareEngine:
    """Train in hardware, every bit compared with software."""
    engine = HardwareEngine(spec, batch=batch > 1, check=True, **options)
    training = Training(engine, Schedule(batch=batch, epochs=epochs, shuffle=True), data)
    list(training.run())
    engine.predict(training.prepare(data))
    engine.close()
    return engine


@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "batch"),
    [*((case, 1 if i % 2 else 5) for i, case in enumerate(CASES)), ("three layers", 1), ("two layers", 5)],
)
def test_every_bit_is_that_of_the_software(case: str, batch: int) -> None:
    spec, data = make(case)
    engine = compare(spec, data, batch=batch, epochs=1)
    assert not np.array_equal(engine.state["counters"], spec.initial_state()["counters"])
    counts, trainer = engine.cycle_counts, engine.trainer
    for its, updated in ((counts.without_update, False), (counts.with_update, True)):
        if its.count:
            assert its.min == trainer.cycles(updated)
            assert its.max <= trainer.cycles(updated) + trainer.applying_cycles  # type: ignore[attr-defined]


@pytest.mark.slow
@pytest.mark.parametrize("batch", [1, 3])
def test_words_of_eight_counters(batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # As in the large memory of the iCE40UP5K, which Amaranth's simulator does not have.
    monkeypatch.setattr("rdahw.hdl.layer_trainer.word_octets", lambda spec, large: min(row_octets(spec), 8))
    spec, data = make("two layers", 10)
    for its in (spec, replace(spec, sizes=((9, 5), (8, 4)))):
        engine = compare(its, data, batch=batch, epochs=1)
        assert engine.trainer.words == row_octets(its) // 8  # type: ignore[attr-defined]


def test_the_widest_sum_of_requests_is_reached() -> None:
    assert request_bits(make("narrow")[0]) == 5  # nine of the same: 9 needs four bits and a sign
    spec, _ = make("wide")
    most = max(int(np.bincount(read).max()) for wiring in make_wiring(spec)[1:] for read in wiring.T)
    assert most > 6
    assert -(1 << request_bits(spec) - 1) <= -most <= most < 1 << request_bits(spec) - 1


def test_octets_of_counters() -> None:
    spec, _ = make("narrow")
    low, high = spec.counter_range
    counters = np.random.default_rng(0).integers(low, high + 1, spec.cells[-1]).astype(np.int8)
    rows = octets_of_counters(spec, counters)
    assert rows.shape == (spec.tables, 16)
    assert rows[17, :2].view(np.int8).tolist() == counters[spec.cells[3] : spec.cells[4]].tolist()
    assert not rows[17, 2:].any()
    np.testing.assert_array_equal(counters_of_octets(spec, rows), counters)
    small = replace(spec, counter=3)
    assert counters_of_octets(small, np.full((spec.tables, 16), 0xFC, np.uint8))[0] == -4
    assert counters_of_octets(small, np.full((spec.tables, 16), 0x7B, np.uint8))[0] == 3


class Bench:
    """A trainer in Amaranth's simulator, with a reset; and the software that it must equal."""

    def __init__(self, spec: LayersSpec, *, batch: bool = False) -> None:
        self.spec, self.software, self.batch = spec, PlainLayers(spec), batch
        self.trainer = trainer = LayerTrainer(spec, batch=batch)
        self.encode, self.places = trainer.encoder, {place.field.name: place for place in trainer.registers}
        registers = {name: place.at for name, place in self.places.items()}
        self.simulator = make_simulator(WithReset(trainer), "amaranth", registers=registers)
        counters = self.places["counters"]
        # What the memory holds at power-up is random.
        self.simulator.poke("counters", int.from_bytes(np.random.default_rng(1).bytes(counters.size), "little"))
        self.settle()

    def settle(self) -> None:
        for _ in range(5000):
            if not self.simulator.get("busy"):
                return
            self.simulator.tick()
        pytest.fail("the trainer is stuck")

    def work(self, data: Examples, *, learn: bool = True, **pace: Any) -> None:
        """Learn from examples, or predict them, in both."""
        rows = np.arange(len(data))
        ends = np.minimum(np.arange(3, len(data) + 3, 3), len(data)) if self.batch else rows + 1
        last = np.zeros(len(data), np.uint8)
        last[ends - 1] = 1
        y = self.trainer.interface.encode(data.labels)
        beats = self.encode(np.asarray(data.x), y, last=last, learn=learn)
        made = self.simulator.exchange(
            Exchange("examples", "results", beats, len(beats), len(data), patience=5000, **pace)
        )
        self.simulator.set("examples__valid", 0)
        self.settle()
        if learn:
            expected, asked = self.software.learn(data.x, data.labels, rows, ends)
        else:
            expected, asked = self.software.scores(data.x).argmax(axis=1), np.zeros(len(data))
        found = self.trainer.interface.decode(self.encode.prediction(made.results))
        assert found.tolist() == expected.tolist()
        assert self.encode.updated(made.results).tolist() == asked.tolist()
        self.same()

    def same(self) -> None:
        for name, value in self.software.state.items():
            np.testing.assert_array_equal(self.places[name].value(self.simulator.peek(name)), value)

    def octet(self, address: int, written: int | None = None) -> int:
        simulator = self.simulator
        simulator.set("control__parameter_address", address)
        if written is not None:
            simulator.set("control__parameter_write", written)
            simulator.set("control__parameter_write_enable", 1)
        simulator.tick()
        simulator.set("control__parameter_write_enable", 0)
        read = simulator.get("control__parameter_read")
        self.settle()
        return read


class WithReset(wiring.Component):
    """A component with the further input ``reset``."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        super().__init__({**inner.signature.members, "reset": In(1)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.inner = ResetInserter(self.reset)(self.inner)
        for name, member in self.inner.signature.members.items():
            ours, theirs = getattr(self, name), getattr(self.inner, name)
            if member.is_signature:
                wiring.connect(m, wiring.flipped(ours), theirs)
            else:
                m.d.comb += ours.eq(theirs)
        return m


@pytest.mark.parametrize("batch", [False, True])
def test_gaps_stalls_and_predictions_change_nothing(batch: bool) -> None:
    spec, data = make("two layers", 24)
    bench = Bench(spec, batch=batch)
    rng = np.random.default_rng(2)
    gaps, stalls = rng.random(97) < 0.5, rng.random(89) < 0.7
    for start in range(0, 24, 8):
        bench.work(data.take(np.arange(start, start + 8)), gaps=gaps, stalls=stalls)
        bench.work(data.take(np.arange(4)), learn=False, gaps=gaps)


@pytest.mark.parametrize("batch", [False, True])
def test_the_state_is_read_written_and_cleared_through_control(batch: bool) -> None:
    spec, data = make("three layers", 6)
    bench = Bench(spec, batch=batch)
    bench.work(data)
    counters, noise = bench.trainer.interface.places
    row = row_octets(spec)
    for place in (counters, noise):
        read = bytes(bench.octet(place.at + i) for i in range(place.size))
        np.testing.assert_array_equal(place.unpack(read), bench.software.state[place.field.name])
    # A counter of the first layer, one of the last, and a byte of the noise's register.
    state = bench.software.state
    for table, index, cell in ((0, 1, 1), (spec.tables - 1, 9, spec.cells[-1] - 16 + 9)):
        bench.octet(table * row + index, 0xFD)
        state["counters"][cell] = -3
    number = int.from_bytes(noise.pack(state["noise"]), "little") ^ 0xFF00
    bench.octet(noise.at + 1, number >> 8 & 0xFF)
    bench.software.state = {**state, "noise": register_bits(number)}
    bench.same()
    # A margin of 0 and back.
    assert bench.octet(noise.at + 8) == spec.margin
    bench.octet(noise.at + 8, 0)
    bench.software.spec = replace(spec, margin=0)
    bench.work(data)
    assert bench.simulator.get("control__example_count") == 12
    bench.simulator.set("control__clear", 1)
    bench.simulator.tick()
    bench.simulator.set("control__clear", 0)
    bench.settle()
    bench.software.spec = spec
    bench.software.state = spec.initial_state()
    assert [bench.simulator.get(name) for name in ("control__example_count", "update_count")] == [0, 0]
    bench.same()
    bench.work(data)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("after", "batch"),
    [(1, True), (3, False), (20, True), (40, False), (60, True), (90, False), (140, True), (200, False)],
)
def test_a_reset_at_any_time_begins_anew(after: int, batch: bool) -> None:
    spec, data = make("two layers", 12)
    bench = Bench(spec, batch=batch)
    beats = bench.encode(np.asarray(data.x), bench.trainer.interface.encode(data.labels))
    bench.simulator.exchange(Exchange("examples", "results", beats, len(beats), 12, cycles=after))
    bench.simulator.set("examples__valid", 0)
    bench.simulator.set("reset", 1)
    bench.simulator.tick()
    bench.simulator.set("reset", 0)
    bench.settle()
    bench.same()
    bench.work(data)


BATCHES = scenarios.design(True)


@pytest.mark.slow
def test_scenarios_of_batches() -> None:
    for design, scenario in BATCHES.all_scenarios():
        assert design.ask(scenario) is None, design.called(scenario)


@pytest.mark.slow
def test_epochs_from_a_flash_are_those_of_the_software() -> None:
    spec, _ = make("three layers")
    image = small_image(spec, 15, 5)
    bench = FlashBench(spec, image.to_bytes(), make=make_trainer, epochs=2)
    results = bench.run(State.DONE, *(state for state in State if state >= State.NO_FLASH))
    software, rows = PlainLayers(spec), np.arange(15)
    for _ in range(2):
        predictions, asked = software.learn(image.train.x, image.train.labels, rows, rows + 1)
        tested = software.scores(image.test.x).argmax(axis=1)
        found, results = np.array(results[:20]), results[20:]
        assert found[:, 0].tolist() == [*predictions, *tested]
        assert found[:, 2].tolist() == [*asked, *[0] * 5]
    (counters, _) = bench.trainer.registers
    np.testing.assert_array_equal(counters.value(bench.simulator.peek("counters")), software.state["counters"])
    assert bench.register("right") == (tested == image.test.labels).sum()


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
def test_what_it_does_not_do_is_said() -> None:
    spec, _ = make("two layers")
    with pytest.raises(UsageError, match="^cotangents is sum, and trainers on an FPGA pass on signs; train in softw"):
        make_trainer(replace(spec, cotangents="sum"))
    with pytest.raises(UsageError, match="^forward is 2, and trainers on an FPGA go backwards; train in software, or "):
        make_trainer(replace(spec, forward=2))
    with pytest.raises(UsageError, match="^--batch and --flash are not supported together for model 'layers:9x4,8x4'"):
        make_trainer(spec, batch=True, flash=True)
    many = replace(spec, classes=65, sizes=((65, 4),))
    with pytest.raises(UserError, match="^a network of 65 classes was given; the gateware takes at most 64, as the la"):
        make_trainer(many, batch=True)
    gc.collect()  # so that Amaranth complains within this test
