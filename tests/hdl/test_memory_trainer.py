"""The memory trainer gives exactly the bits of the plain rule of ensembles."""

from __future__ import annotations

import gc
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from amaranth.hdl import Module, ResetInserter
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from rdahw import UsageError, UserError
from rdahw.families.ensemble.rule import PlainEnsemble
from rdahw.families.ensemble.spec import EnsembleSpec, first_dropout_state
from rdahw.hdl.memory_trainer import MemoryTrainer
from rdahw.hdl.table_words import counters_of_words, words_of_counters
from rdahw.sim.simulator import Exchange, Simulator, Transfers, make_simulator

CASES: dict[str, dict[str, Any]] = {
    "one table": dict(tables=1, inputs=1, classes=2, counter=2, margin=0, dropout=0.0),
    "no dropout": dict(tables=9, inputs=3, classes=5, counter=6, margin=6, dropout=0.0),
    "half dropped": dict(tables=8, inputs=4, classes=3, counter=4, margin=10),
    "three quarters dropped": dict(tables=7, inputs=2, classes=4, counter=3, margin=2, dropout=0.75),
    "three sixteenths dropped": dict(tables=9, inputs=3, classes=2, counter=8, margin=12, dropout=0.1875),
    "always updated": dict(tables=3, inputs=2, classes=3, counter=5, margin=1 << 28),
    "nearly always all dropped": dict(tables=2, inputs=2, classes=3, counter=3, margin=3, dropout=0.9375),
    "signs": dict(tables=9, inputs=3, classes=5, counter=3, margin=2, sign=True),
    "a word of nine bytes": dict(tables=4, inputs=2, classes=9, counter=8, margin=1),
    "two bytes of input": dict(input_bits=16, tables=5, inputs=4, classes=3, counter=4, margin=4),
}


class Examples(NamedTuple):
    x: Any
    labels: Any


def make(case: str, count: int) -> tuple[EnsembleSpec, Examples]:
    rng = np.random.default_rng(sorted(CASES).index(case))
    spec = EnsembleSpec(**{"input_bits": 21, "seed": 7, **CASES[case]})
    # Few different inputs, so that counters move far.
    kinds = rng.integers(0, 2, (6, spec.input_bits), np.uint8)
    chosen = rng.integers(0, 6, count)
    noise = rng.random((count, spec.input_bits)) < 0.1
    labels = np.where(rng.random(count) < 0.7, chosen % spec.classes, rng.integers(0, spec.classes, count))
    return spec, Examples(kinds[chosen] ^ noise, labels)


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
def test_an_example_is_the_bytes_that_the_document_gives() -> None:
    spec, (x, labels) = make("signs", 10)
    page = (Path(__file__).parents[2] / "docs" / "ensemble.md").read_text()
    (formula,) = re.findall(r"^octets = .*$", page, re.MULTILINE)
    names: dict[str, Any] = {"np": np, "x": x, "labels": labels}
    exec(formula, names)
    octets = names["octets"]
    trainer = MemoryTrainer(spec)
    beats = trainer.encoder(x, trainer.interface.encode(labels))
    assert octets.shape[1] == trainer.example_octets
    assert np.array_equal(octets, np.packbits(beats, axis=1, bitorder="little").reshape(len(x), -1))
    del trainer
    gc.collect()  # so that Amaranth complains within this test


class Bench:
    """A trainer in Amaranth's simulator; what the memory holds at power-up is random."""

    def __init__(self, trainer: Any, component: Any = None, seed: int = 1) -> None:
        self.trainer, self.spec = trainer, trainer.spec
        self.result = trainer.results.payload.shape()
        self.simulator: Simulator = make_simulator(
            component or trainer,
            "amaranth",
            registers={"tables": trainer.tables, "dropout_state": trainer.dropout_state},
        )
        self.scramble(seed)

    def scramble(self, seed: int) -> None:
        size = (self.spec.tables << self.spec.inputs) * self.trainer.table_octets
        self.simulator.poke("tables", int.from_bytes(np.random.default_rng(seed).bytes(size), "little"))

    def until(self, port: str, value: int = 1) -> None:
        for _ in range(5000):
            if self.simulator.get(port) == value:
                return
            self.simulator.tick()
        pytest.fail("the trainer is stuck")

    def settle(self) -> None:
        self.until("busy", 0)

    def beats(self, examples: Examples, *, learn: bool = True, label_bits: int = 0x7F) -> Any:
        last = (examples.labels & label_bits | learn << 7).astype(np.uint8)
        octets = np.column_stack([np.packbits(examples.x, axis=1, bitorder="little"), last])
        return np.unpackbits(octets.reshape(-1, 1), axis=1, bitorder="little")

    def exchange(self, beats: Any, take: int, give: int, **options: Any) -> Transfers:
        """An exchange, after which nothing is offered and no result is taken."""
        made = self.simulator.exchange(Exchange("examples", "results", beats, take, give, patience=5000, **options))
        self.simulator.set("examples__valid", 0)
        self.simulator.set("results__ready", 0)
        return made

    def run(self, beats: Any, results: int, **options: Any) -> tuple[Any, Any, Any, Any]:
        """Predictions, which were right, which updated, and the cycles in which they came."""
        made = self.exchange(beats, len(beats), results, **options)
        fields = (self.result[name] for name in ("prediction", "correct", "updated"))
        bits = (made.results[:, f.offset : f.offset + f.width].astype(int) << np.arange(f.width) for f in fields)
        self.settle()
        return *(field.sum(axis=1) for field in bits), made.given

    @property
    def counters(self) -> Any:
        count, width = self.spec.tables << self.spec.inputs, self.trainer.table_octets
        raw = np.frombuffer(self.simulator.peek("tables").to_bytes(count * width, "little"), np.uint8)
        return counters_of_words(self.spec, raw.reshape(count, width), inverted=True)

    def agrees(self, software: PlainEnsemble) -> None:
        """All bits of the state are those of the software."""
        assert np.array_equal(self.counters, software.counters)
        assert self.simulator.peek("dropout_state") == software.dropout_state

    def read(self, address: int, count: int) -> bytes:
        octets = []
        for at in range(address, address + count):
            self.simulator.set("control__parameter_address", at)
            self.until("control__ready")
            self.simulator.tick()
            octets.append(self.simulator.get("control__parameter_read"))
        return bytes(octets)

    def control(self, **values: int) -> None:
        """Hold an access until it takes effect."""
        for name, value in values.items():
            self.simulator.set(f"control__{name}", value)
        self.until("control__ready")
        self.simulator.tick()
        for name in ("parameter_write_enable", "clear"):
            self.simulator.set(f"control__{name}", 0)

    def write(self, address: int, octets: bytes) -> None:
        for at, octet in enumerate(octets, address):
            self.control(parameter_address=at, parameter_write=octet, parameter_write_enable=1)


@pytest.mark.slow
@pytest.mark.parametrize("pauses", [False, True], ids=["steady", "gaps and stalls"])
@pytest.mark.parametrize("case", CASES)
def test_it_is_the_plain_rule(case: str, pauses: bool) -> None:
    spec, examples = make(case, 60)
    bench, software = Bench(MemoryTrainer(spec)), PlainEnsemble(spec)
    rng = np.random.default_rng(2)
    kinds = set()
    for start, stop in ((0, 30), (30, 31), (31, 60)):
        part = Examples(examples.x[start:stop], examples.labels[start:stop])
        rows = np.arange(start, stop)
        expected = software.learn(examples.x, examples.labels, rows)
        options = {}
        if pauses:
            options = dict(gaps=rng.random(97) < 0.5, stalls=rng.permutation(41) < 39)
        predictions, correct, updated, _ = bench.run(bench.beats(part), len(rows), **options)
        assert np.array_equal(predictions, expected.predictions)
        assert np.array_equal(correct, expected.predictions == part.labels)
        assert np.array_equal(updated, expected.updated)
        bench.agrees(software)
        kinds |= set(zip(correct.tolist(), updated.tolist(), strict=True))
        # Predictions take all tables, and change nothing.
        predictions, correct, updated, _ = bench.run(bench.beats(part, learn=False), len(rows), **options)
        assert np.array_equal(predictions, software.classify(part.x))
        assert np.array_equal(correct, predictions == part.labels)
        assert not updated.any()
        bench.agrees(software)
    always = case in ("one table", "always updated", "nearly always all dropped")
    assert kinds >= ({(0, 1), (1, 1)} if always else {(0, 1), (1, 0), (1, 1)})
    assert bench.simulator.get("control__example_count") == 60


def test_cycles_of_an_example() -> None:
    spec, examples = make("no dropout", 60)
    bench = Bench(MemoryTrainer(spec))
    _, _, updated, given = bench.run(bench.beats(examples), 60)
    assert 5 < updated.sum() < 55
    wanted = [bench.trainer.cycles(bool(one)) for one in updated[:-1]]
    assert np.diff(given).tolist() == wanted
    assert bench.trainer.cycles(True) == bench.trainer.cycles(False) + spec.tables


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
def test_the_first_pass_takes_a_cycle_a_table_and_few_more() -> None:
    trainer = MemoryTrainer(EnsembleSpec(input_bits=784, classes=10))
    assert (trainer.cycles(False), trainer.cycles(True)) == (278, 534)
    trainer = MemoryTrainer(EnsembleSpec(input_bits=784, classes=10, tables=128, inputs=7))
    assert trainer.cycles(False) == 149
    del trainer
    gc.collect()  # their complaint of not being used, while that is ignored


@pytest.mark.slow
@pytest.mark.parametrize("case", ["half dropped", "no dropout", "a word of nine bytes", "two bytes of input"])
def test_parameters_are_read_and_written(case: str) -> None:
    spec, examples = make(case, 40)
    bench, software = Bench(MemoryTrainer(spec)), PlainEnsemble(spec)
    trainer = bench.trainer
    rng = np.random.default_rng(3)
    low, high = spec.counter_range
    counters = rng.integers(low, high + 1, spec.counters_shape).astype(np.int8)
    state = 0x123456789ABCDEF0 & (1 << 63) - 1
    words = words_of_counters(spec, counters)
    for number in rng.permutation(len(words)):
        bench.write(number * trainer.word_octets, words[number].tobytes())
    bench.write(trainer.settings_address, state.to_bytes(8, "little"))
    software.counters, software.dropout_state = counters, state
    bench.settle()
    bench.agrees(software)
    for number, word in enumerate(words):
        assert bench.read(number * trainer.word_octets, trainer.table_octets) == word.tobytes()
    assert bench.read(trainer.settings_address, 8) == state.to_bytes(8, "little")
    below = spec.dropout_rule[1]
    assert bench.read(trainer.settings_address + 8, 5) == spec.margin.to_bytes(4, "little") + bytes([below])

    # An access waits for the example that was there before, and goes ahead of the next one.
    expected = software.learn(examples.x, examples.labels, np.arange(40))
    for i in range(40):
        one = Examples(examples.x[i : i + 1], examples.labels[i : i + 1])
        beats = bench.beats(one)
        assert len(bench.exchange(beats, len(beats), 0).taken) == len(beats)
        bench.read(0, 1)
        assert not bench.simulator.get("busy")
        predictions, *_ = bench.run(beats[:0], 1)
        assert predictions == expected.predictions[i]
    bench.agrees(software)


@pytest.mark.slow
@pytest.mark.parametrize(("margin", "below"), [(0, 0), (5, 1), (200, 9), (1 << 20, 15)])
def test_margin_and_dropout_at_run_time(margin: int, below: int) -> None:
    spec, examples = make("three sixteenths dropped", 40)
    bench = Bench(MemoryTrainer(spec))
    trainer = bench.trainer
    bench.write(trainer.settings_address + 8, min(margin, (1 << trainer.margin_bits) - 1).to_bytes(4, "little"))
    bench.write(trainer.settings_address + 12, bytes([below]))

    class Changed(PlainEnsemble):
        def _dropped(self) -> bool:
            number = 0
            for i in range(4):
                new = (self.dropout_state ^ self.dropout_state >> 31) & 1
                self.dropout_state = self.dropout_state >> 1 | new << 62
                number |= new << i
            return number < below

    software = Changed(EnsembleSpec(input_bits=21, seed=7, **{**CASES["three sixteenths dropped"], "margin": margin}))
    expected = software.learn(examples.x, examples.labels, np.arange(40))
    predictions, _, updated, _ = bench.run(bench.beats(examples), 40)
    assert np.array_equal(predictions, expected.predictions)
    assert np.array_equal(updated, expected.updated)
    bench.agrees(software)


def test_clear_and_counts() -> None:
    spec, examples = make("half dropped", 50)
    bench = Bench(MemoryTrainer(spec))
    trainer, get = bench.trainer, bench.simulator.get
    for _ in range(2):
        software = PlainEnsemble(spec)
        expected = software.learn(examples.x, examples.labels, np.arange(50))
        predictions, correct, updated, _ = bench.run(bench.beats(examples), 50)
        assert np.array_equal(predictions, expected.predictions)
        bench.agrees(software)
        bench.run(bench.beats(examples, learn=False), 50)
        assert get("control__example_count") == 50
        assert get("control__error_count") == 50 - correct.sum() > 0
        assert get("update_count") == updated.sum() > 0
        bench.write(trainer.settings_address + 8, b"\1\0\0\0\1")
        # A clear wins over a write.
        bench.control(clear=1, parameter_write_enable=1, parameter_address=3, parameter_write=0x55)
        assert not get("control__ready")
        assert get("busy")
        bench.settle()
        bench.agrees(PlainEnsemble(spec))
        assert (get("control__example_count"), get("control__error_count"), get("update_count")) == (0, 0, 0)
        assert bench.read(trainer.settings_address + 8, 5) == spec.margin.to_bytes(4, "little") + b"\1"


def test_an_example_without_a_class_is_not_learned_from() -> None:
    spec, examples = make("no dropout", 30)
    bench, software = Bench(MemoryTrainer(spec)), PlainEnsemble(spec)
    software.learn(examples.x, examples.labels, np.arange(30))
    bench.run(bench.beats(examples), 30)
    for label in (5, 6, 8, 127):
        strange = Examples(examples.x[:4], np.full(4, label))
        predictions, _, updated, _ = bench.run(bench.beats(strange), 4)
        assert np.array_equal(predictions, software.classify(strange.x))
        assert not updated.any()
        bench.agrees(software)
    assert bench.simulator.get("control__example_count") == 30


class Resettable(wiring.Component):  # type: ignore[misc]
    """A trainer with a reset."""

    def __init__(self, trainer: MemoryTrainer) -> None:
        self.trainer = trainer
        super().__init__({**dict(trainer.signature.members), "reset": In(1)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.trainer = ResetInserter(self.reset)(self.trainer)
        for name in ("examples", "results", "control"):
            wiring.connect(m, wiring.flipped(getattr(self, name)), getattr(self.trainer, name))
        m.d.comb += [self.busy.eq(self.trainer.busy), self.update_count.eq(self.trainer.update_count)]
        return m


@pytest.mark.slow
def test_a_reset_at_any_time_clears_everything() -> None:
    spec, examples = make("half dropped", 12)
    trainer = MemoryTrainer(spec)
    bench = Bench(trainer, Resettable(trainer))
    beats, seen = bench.beats(examples), set()
    software = PlainEnsemble(spec)
    expected = software.learn(examples.x, examples.labels, np.arange(12))
    longest = trainer.cycles(True)
    for delay in range(0, 2 * longest, 2):
        bench.scramble(delay)
        bench.simulator.set("reset", 1)
        bench.simulator.tick()
        bench.simulator.set("reset", 0)
        assert bench.simulator.get("busy")
        assert not bench.simulator.get("control__ready")
        if delay % 9 == 0:
            predictions, *_ = bench.run(beats, 12)
            assert np.array_equal(predictions, expected.predictions)
            bench.agrees(software)
        else:
            bench.settle()
        # On to the middle of an update, or wherever it is after so many cycles.
        bench.exchange(beats, len(beats), 99, cycles=delay)
        before = bench.counters
        bench.simulator.tick()
        seen.add(not np.array_equal(before, bench.counters))
    assert seen == {False, True}
    bench.simulator.set("reset", 1)
    bench.simulator.tick()
    bench.simulator.set("reset", 0)
    bench.settle()
    bench.agrees(PlainEnsemble(spec))
    assert bench.simulator.peek("dropout_state") == first_dropout_state(spec.seed)


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
def test_errors() -> None:
    with pytest.raises(
        UserError,
        match=r"^an ensemble of 200 classes was given; the gateware takes at most 128, as the label of an example is a "
        r"byte$",
    ):
        MemoryTrainer(EnsembleSpec(input_bits=20, classes=200))
    with pytest.raises(UsageError, match=r"^unknown kind of memory 'flash'; expected block or spram$"):
        MemoryTrainer(EnsembleSpec(input_bits=20, classes=3), "flash")
    gc.collect()
