"""The flash trainer with a simulated flash: epochs against the software, damaged images, the host's accesses."""

from __future__ import annotations

import zlib
from functools import partial
from random import Random
from typing import Any

import flash_training
import numpy as np
from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import wiring
from faults import Faulty
from flash_training import CLOCK, WithFlash, small_image

from rdahw.families.ensemble.rule import PlainEnsemble
from rdahw.families.ensemble.spec import EnsembleSpec
from rdahw.fields import offset
from rdahw.flash_image import HEADER, MAGIC, FlashImage, header_fields
from rdahw.hdl.flash_reader import FlashReader
from rdahw.hdl.flash_records import FROM_HEADER, HeaderFields, RecordPlaces
from rdahw.hdl.flash_trainer import REGISTERS, FlashTrainer, State, expected_header
from rdahw.hdl.memory_trainer import MemoryTrainer
from rdahw.sim.flash_part import FAULTS
from rdahw.sim.simulator import Exchange, Stuck
from scenarios import Design, Run

#: With tables that read the first and the last wire of a byte.
SPEC = EnsembleSpec(input_bits=12, classes=3, tables=3, inputs=2, counter=3, margin=3, seed=18)
#: The address of the image: the test records are below the middle of the flash if there is one training record, and
#: behind it if there are six.
BASE = 0x7FFFB0
_BEFORE = b"\xff" * BASE
ENDS = (State.DONE, State.NO_FLASH, State.NO_IMAGE, State.FOREIGN, State.DAMAGED, State.SPOILED)
IMAGE = small_image(SPEC, 6, 3)
CONTENT = IMAGE.to_bytes()
TRAIN, TEST = 64, 64 + 6 * 3 + 4
EPOCHS = 2


def make() -> FlashTrainer:
    reader = SlowReader(FlashReader(CLOCK, latency=2))
    return FlashTrainer(MemoryTrainer(SPEC), reader, base=BASE, epochs=EPOCHS)  # type: ignore[arg-type]


class SlowReader(wiring.Component):
    """A flash reader that takes a request some time after it was made, and is idle some time after its last byte."""

    def __init__(self, reader: FlashReader) -> None:
        self.reader = reader
        super().__init__(dict(reader.signature.members))

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.reader = reader = self.reader
        waited, quiet = Signal(4), Signal(4)
        ours, theirs = self.requests, reader.requests
        m.d.sync += waited.eq(Mux(ours.valid & ~(theirs.ready & waited.all()), waited + ~waited.all(), 0))
        m.d.sync += quiet.eq(Mux(reader.idle & ~ours.valid, quiet << 1 | 1, 0))
        m.d.comb += [
            theirs.valid.eq(ours.valid & waited.all()),
            theirs.payload.eq(ours.payload),
            ours.ready.eq(theirs.ready & waited.all()),
            self.idle.eq(quiet.all() & ~ours.valid),
            self.failed.eq(reader.failed),
        ]
        wiring.connect(m, reader.octets, wiring.flipped(self.octets))
        wiring.connect(m, reader.pins, wiring.flipped(self.pins))
        return m


class FlashBench(WithFlash):
    """A flash trainer with faults, on a simulated flash."""

    def __init__(self, faulty: Faulty) -> None:
        self.places: dict[str, tuple[int, int]] = {}
        super().__init__(faulty)
        trainer, reader = faulty.component.trainer, faulty.component.reader
        #: What the reader was asked for last.
        self.asked = Signal.like(Value.cast(reader.requests.payload))
        self.registers = {
            "tables": trainer.tables,
            "dropout": trainer.dropout_state,
            "asleep": self.part.asleep,
            "first fault": self.part.fault,
            "asked": self.asked,
            "example_count": trainer.control.example_count,
            "error_count": trainer.control.error_count,
            **{name: faulty.intact[name] for name in ("epoch", "errors", "updates", "right")},
        }

    def elaborate(self, platform: Any) -> Module:
        m = super().elaborate(platform)
        requests = self.inner.component.reader.requests
        with m.If(requests.valid & requests.ready):
            m.d.sync += self.asked.eq(requests.payload)
        return m


class Bench(flash_training.Bench):
    """That of the tests, in a run; many cycles pass in a call."""

    def __init__(self, run: Run, content: bytes = CONTENT) -> None:
        self.spec, self.simulator = SPEC, run.simulator
        self.design = _DESIGN
        self.trainer = _DESIGN.trainer
        self.simulator.set("results__ready", 1)
        self.flash(content)

    def flash(self, content: bytes) -> None:
        """What the flash holds from now on."""
        self.simulator.attach("address", "data", _BEFORE + content)

    def pass_(self, cycles: int) -> list[tuple[int, int, int]]:
        """So many cycles, and the results on the way."""
        none = np.zeros((0, len(self.design.examples.payload.as_value())), np.uint8)
        try:
            made = self.simulator.exchange(
                Exchange("examples", "outcomes", none, 999, 999, cycles=cycles, patience=1 << 40)
            )
        except Stuck as error:
            raise AssertionError("more results than examples") from error
        numbers = np.packbits(made.results, axis=1, bitorder="little")[:, 0].tolist()
        return [flash_training._fields(number, self.trainer.results.payload.shape()) for number in numbers]

    def run(self, *states: int, patience: int = 12_000, step: int = 40) -> list[tuple[int, int, int]]:
        outcomes: list[tuple[int, int, int]] = []
        end = self.simulator.cycles + patience
        while self.simulator.get("state") not in states:
            assert self.simulator.cycles < end, f"it stays in state {self.simulator.get('state')}"
            outcomes += self.pass_(step)
        self.fine()
        return outcomes

    def fine(self) -> None:
        fault = self.simulator.get("fault")
        assert fault == 0, FAULTS[fault - 1]
        failed = self.simulator.get("state") >= State.NO_FLASH
        assert self.simulator.get("failed") == failed, "failed"

    def forgive(self) -> None:
        """A command that a reset cut short, and the part did not obey."""
        if self.simulator.get("fault") == FAULTS.index("cut") + 1:
            self.simulator.poke("first fault", 0)

    def host(self, *, clear: bool = False) -> None:
        """The host is at work for a while; ``clear`` is what it does."""
        simulator = self.simulator
        simulator.set("hold", 1)
        simulator.set("control__parameter_address", 0)
        self.ready()
        simulator.set("control__clear", clear)
        simulator.tick()
        simulator.set("control__clear", 0)
        simulator.tick(60)
        self.forgive()
        simulator.set("hold", 0)

    def ready(self) -> None:
        """An access takes effect in this cycle."""
        self.until("control__ready")

    def byte(self, at: int) -> int:
        """A byte of the trainer's parameters, for the host that holds it."""
        self.simulator.set("control__parameter_address", at)
        self.ready()
        self.simulator.tick()
        return self.simulator.get("control__parameter_read")

    def trained_by_host(self, software: PlainEnsemble, x: Any, labels: Any, learn: bool) -> None:
        """Examples of the host into both; the results are taken late."""
        simulator, shape = self.simulator, self.design.examples.payload.shape()
        simulator.set("hold", 1)
        for i in range(len(x)):
            one = np.arange(i, i + 1)
            is_learned = learn and labels[i] < SPEC.classes
            expected = software.learn(x, labels, one).predictions if is_learned else software.classify(x[one])
            simulator.set("results__ready", 0)
            for octet in np.packbits(x[i], bitorder="little").tolist():
                values = {"x": octet, "y": int(labels[i]), "last": 1, "learn": int(learn)}
                simulator.set("examples__payload", sum(v << shape[name].offset for name, v in values.items()))
                simulator.set("examples__valid", 1)
                self.until("examples__ready")
                simulator.tick()
                simulator.set("examples__valid", 0)
                simulator.tick(i % 4)
            self.until("results__valid")
            simulator.tick(i % 3)
            assert simulator.get("results__valid"), "a result is gone that was not taken"
            payload, field = simulator.get("results__payload"), self.design.results.payload.shape()["correct"]
            assert payload & 0x7F == int(expected[0]), "prediction for the host"
            if labels[i] < SPEC.classes:
                assert payload >> field.offset & 1 == (expected[0] == labels[i]), "whether it is right"
            simulator.set("results__ready", 1)
            simulator.tick()
        simulator.set("hold", 0)

    def until(self, port: str) -> None:
        """Some cycles, until the port is 1."""
        for _ in range(1500):
            if self.simulator.get(port):
                return
            self.simulator.tick()
        raise AssertionError(f"{port} stays 0")

    def is_that_of(self, software: PlainEnsemble) -> None:
        assert np.array_equal(self.counters, software.counters), "counters"
        assert self.simulator.peek("dropout") == software.dropout_state, "the dropout's state"

    def check(self, results: list[tuple[int, int, int]], image: FlashImage = IMAGE, epochs: int = EPOCHS) -> None:
        """The results of whole epochs, the tables and the registers are those of the software."""
        software, errors, updates = PlainEnsemble(SPEC), 0, 0
        labels, tests = image.train.labels[image.order()], image.test.labels
        right = 0
        expected: list[tuple[int, int, int]] = []
        for _ in range(epochs):
            outcome = software.learn(image.train.x, image.train.labels, image.order())
            expected += _rows(outcome.predictions, labels, outcome.updated)
            errors += int((outcome.predictions != labels).sum())
            updates += int(outcome.updated.sum())
            if len(image.test):
                predictions = software.classify(image.test.x)
                expected += _rows(predictions, tests, np.zeros(len(tests)))
                right = int((predictions == tests).sum())
        assert results == expected, "results"
        self.is_that_of(software)
        found = {register.name: self.register(register.name) for register in REGISTERS}
        assert found == {
            "state": State.DONE,
            "run": 1,
            "changed": 0,
            "reserved": 0,
            "epochs": epochs,
            "epoch": epochs,
            "left": 0,
            "errors": errors,
            "updates": updates,
            "right": right,
            "train_examples": len(image.train),
            "test_examples": len(image.test),
        }, f"registers {found}"
        counts = [self.simulator.get(f"control__{name}") for name in ("example_count", "error_count")]
        assert counts == [epochs * len(image.train), errors], "counts"
        self.fine()


def _rows(predictions: Any, labels: Any, updated: Any) -> list[tuple[int, int, int]]:
    return [(int(p), int(p == y), int(u)) for p, y, u in zip(predictions, labels, updated, strict=True)]


def epochs(run: Run, image: FlashImage = IMAGE) -> None:
    """Two epochs with their tests."""
    bench = Bench(run, image.to_bytes())
    assert bench.register("state") == State.WAKING
    results = bench.run(State.CHECKING)
    results += bench.run(State.TRAINING)
    assert results == [], "results before training"
    bench.check(results + bench.run(*ENDS), image)


def one_by_one(run: Run) -> None:
    """The records a stride apart."""
    epochs(run, small_image(SPEC, 7, 2, stride=3))


def no_test_part(run: Run) -> None:
    """No test records."""
    epochs(run, small_image(SPEC, 5, 0, stride=2))


def timing(run: Run) -> None:
    """From one record to the next it takes as long as the flash needs for it."""
    wide = small_image(SPEC, 9, 0)
    bench = Bench(run, wide.to_bytes())
    cycles, *_ = bench.collect(9)
    expected = max(3 * 4, _DESIGN.trainer.cycles(True))
    assert np.diff(cycles).max() <= expected + 12, "time of an example"


def damaged_headers(run: Run) -> None:
    """A bit of the header is wrong: it is refused, and a clear makes it try again."""
    bench = Bench(run)
    for at in (0, 7, 8, 22, 24, 43, 59, 60, 63):
        bench.flash(_flipped(CONTENT, at))
        if at:
            bench.host(clear=True)
        assert bench.run(*ENDS) == [], "results"
        assert bench.register("state") == State.NO_IMAGE, "state"
    bench.is_that_of(PlainEnsemble(SPEC))
    bench.flash(CONTENT)
    bench.host(clear=True)
    bench.check(bench.run(*ENDS))


def damaged_records(run: Run) -> None:
    """A bit of a record or its checksum is wrong: nothing is learned."""
    bench = Bench(run)
    for at in (TRAIN, TRAIN + 17, TRAIN + 21, TEST, TEST + 8, TEST + 12):
        bench.flash(_flipped(CONTENT, at))
        bench.host(clear=True)
        assert bench.run(*ENDS) == [], "results"
        assert [bench.register(name) for name in ("state", "epoch")] == [State.DAMAGED, 0], "state"
    bench.is_that_of(PlainEnsemble(SPEC))
    bench.flash(b"")
    bench.host(clear=True)
    bench.run(*ENDS)
    assert bench.register("state") == State.NO_IMAGE, "state without an image"


def foreign_images(run: Run) -> None:
    """A whole image for another trainer, or with numbers that are too large."""
    bench = Bench(run)
    for name, value in (
        ("version", 2),
        ("version", 0x8001),
        ("record_bytes", 4),
        ("input_bits", 13),
        ("classes", 4),
        ("train_examples", 0),
        ("train_examples", 1 << 24 | 6),
        ("train_bytes", 1 << 24 | 18),
        ("test_bytes", 1 << 31 | 9),
        ("test_examples", 1 << 25 | 3),
        ("stride", 1 << 24 | 1),
        ("stride_bytes", 1 << 31 | 3),
    ):
        bench.flash(forge(**{name: value}))
        bench.host(clear=True)
        assert bench.run(*ENDS) == [], "results"
        assert bench.register("state") == State.FOREIGN, f"state with {name} {value}"
    bench.is_that_of(PlainEnsemble(SPEC))
    bench.flash(CONTENT)
    bench.host(clear=True)
    bench.check(bench.run(*ENDS))


def large_numbers(run: Run) -> None:
    """Numbers of records up to the highest bit, as the host reads them; only the beginning is read."""
    bench = Bench(run)
    for train, test in ((0xAAAAAA, 0x555555), (0x555555, 0xAAAAAA)):
        bench.flash(forge(train_examples=train, train_bytes=train, test_examples=test, test_bytes=test))
        bench.host(clear=True)
        bench.run(State.CHECKING)
        bench.pass_(400)
        found = [bench.register(name) for name in ("train_examples", "test_examples", "left", "state")]
        assert found == [train, test, train, State.CHECKING], f"registers {found}"
        assert bench.simulator.peek("asked") == (BASE + TRAIN) & 0xFFFFFF | train + 4 << 24, "what is read"
    for test in (0xAAAAAA, 0x555555):
        bench.flash(forge(test_examples=test, test_bytes=test))
        bench.host(clear=True)
        bench.run(State.CHECKING)
        bench.pass_(700)
        assert bench.register("left") == test, "left"
        assert bench.simulator.peek("asked") == (BASE + TEST) & 0xFFFFFF | test + 4 << 24, "what is read"


def spoiled(run: Run) -> None:
    """Damage between two epochs is told of after the second."""
    bench = Bench(run)
    for state in (State.TRAINING, State.TESTING, State.TRAINING):
        bench.run(state, step=8)
    bench.flash(_flipped(CONTENT, TRAIN + 17))
    bench.run(*ENDS)
    assert [bench.register(name) for name in ("state", "epoch")] == [State.SPOILED, 1], "state"
    bench.host(clear=True)
    bench.flash(CONTENT)
    for state in (State.TRAINING, State.TESTING):
        bench.run(state, step=8)
    bench.flash(_flipped(CONTENT, TEST + 8))
    bench.run(*ENDS)
    assert [bench.register(name) for name in ("state", "epoch")] == [State.DAMAGED, 1], "state after damaged tests"


def a_host_that_looks(run: Run) -> None:
    """The host is at work now and then, and reads; nothing changes for it."""
    random, bench = Random(1), Bench(run)
    results: list[tuple[int, int, int]] = []
    for _ in range(400):
        if bench.simulator.get("state") == State.DONE:
            break
        bench.simulator.set("hold", random.random() < 0.4)
        bench.simulator.set("control__parameter_address", random.choice((0, 5, bench.design.registers_address)))
        results += bench.pass_(random.randrange(1, 60))
    bench.simulator.set("hold", 0)
    bench.check(results)
    software = PlainEnsemble(SPEC)
    for _ in range(EPOCHS):
        software.learn(IMAGE.train.x, IMAGE.train.labels, IMAGE.order())
    bench.simulator.set("hold", 1)
    at = bench.trainer.settings_address
    state = sum(bench.byte(at + i) << 8 * i for i in range(8))
    assert state == software.dropout_state, "the dropout's state as it is read"


def a_host_that_predicts(run: Run) -> None:
    """The host has examples predicted between two of the flash, and takes the results late."""
    bench = Bench(run)
    results = bench.run(State.TRAINING, step=4) + bench.pass_(60)
    software = PlainEnsemble(SPEC)
    software.learn(IMAGE.train.x, IMAGE.train.labels, IMAGE.order()[: len(results)])
    answers, more = bench.host_examples([(x, 0, False) for x in IMAGE.test.x], 1500)
    assert more == [] or len(results) < 6, "results of the flash"
    if not more:
        assert answers == software.classify(IMAGE.test.x).tolist(), "predictions for the host"
    bench.check(results + more + bench.run(*ENDS))


def a_host_that_trains(run: Run) -> None:
    """Examples of the host and parameters that it writes are told of, until the next start."""
    bench, simulator = Bench(run), run.simulator
    bench.run(State.TRAINING, step=4)
    assert bench.register("changed") == 0, "changed"
    bench.host_examples([(IMAGE.train.x[0], 1, True)], 1500)
    assert bench.register("changed") == 1, "changed"
    bench.host(clear=True)
    assert bench.register("changed") == 0, "changed after a clear"
    bench.run(*ENDS)
    simulator.set("hold", 1)
    bench.byte(0)
    for name, value in (("parameter_address", 1), ("parameter_write", 0x81), ("parameter_write_enable", 1)):
        simulator.set(f"control__{name}", value)
    bench.ready()
    simulator.tick()
    simulator.set("control__parameter_write_enable", 0)
    simulator.tick(4)
    assert bench.register("changed") == 1, "changed by a write"
    assert bench.byte(1) & 1 == 1, "what was written"
    simulator.set("hold", 0)


def stop_and_go(run: Run) -> None:
    """The host stops the training and lets it go on."""
    bench = Bench(run)
    results = bench.run(State.TRAINING, step=4) + bench.pass_(40)
    bench.write("run", 0)
    results += bench.pass_(150)
    left = bench.register("left")
    assert bench.pass_(100) == [], "results while it is stopped"
    assert bench.register("left") == left, "left"
    bench.write("run", 1)
    bench.check(results + bench.run(*ENDS))
    # Stopped before it begins.
    bench.write("run", 0)
    bench.host(clear=True)
    bench.pass_(300)
    assert [bench.register(name) for name in ("state", "epoch", "left", "right")] == [State.WAKING, 0, 0, 0], "stopped"
    bench.write("run", 1)
    bench.check(bench.run(*ENDS))


def more_epochs(run: Run) -> None:
    """More epochs when all are done, and many of them."""
    bench = Bench(run)
    results = bench.run(State.DONE)
    bench.write("epochs", 3)
    results += bench.run(State.TRAINING, step=4) + bench.run(State.DONE)
    bench.check(results, epochs=3)
    bench.write("epochs", 0x8100)
    bench.run(State.TRAINING, step=4)
    bench.run(State.TESTING, step=4)
    bench.pass_(400)
    assert bench.register("epoch") > 3, "no further epoch"
    assert bench.register("epochs") == 0x8100, "epochs"
    bench.write("epochs", 0)
    bench.pass_(600)
    assert bench.register("state") in (State.TRAINING, State.TESTING), "it ends without an end"


def many_images(run: Run) -> None:
    """Images of a few records: the counts are those of the last example, whenever that comes."""
    bench = Bench(run)
    for seed in range(14):
        image = small_image(SPEC, 1 + seed % 4, seed % 2, stride=3 if seed % 4 == 3 else 1, seed=seed)
        bench.flash(image.to_bytes())
        bench.host(clear=True)
        bench.check(bench.run(*ENDS), image)


def states_in_order(run: Run) -> None:
    """No other states are shown than those that it goes through."""
    bench, simulator = Bench(run), run.simulator
    seen = [simulator.get("state")]
    for _ in range(4000):
        simulator.tick()
        if simulator.get("state") != seen[-1]:
            seen.append(simulator.get("state"))
        if seen[-1] == State.DONE:
            break
    epoch = [State.TRAINING, State.TESTING]
    assert seen == [State.WAKING, State.CHECKING, *epoch, *epoch, State.DONE], f"states {seen}"
    assert bench.register("state") == State.DONE


def fewer_epochs(run: Run) -> None:
    """An epoch that has begun is finished, and its test made, when fewer epochs are asked for."""
    bench = Bench(run)
    results = bench.run(State.TESTING, step=4) + bench.run(State.TRAINING, step=4)
    bench.write("epochs", 1)
    results += bench.run(*ENDS)
    bench.write("epochs", 2)
    results += bench.pass_(4)
    expected = bench.simulator.get("state")
    assert expected in (State.DONE, State.TRAINING), "state"
    assert len(results) == 2 * (len(IMAGE.train) + len(IMAGE.test)), "results"


def a_host_that_trains_in_a_test(run: Run) -> None:
    """Errors and updates of an epoch are those of its end, whatever the host trains in its test."""
    bench, software = Bench(run), PlainEnsemble(SPEC)
    errors = updates = 0
    for _ in range(EPOCHS):
        outcome = software.learn(IMAGE.train.x, IMAGE.train.labels, IMAGE.order())
        errors += int((outcome.predictions != IMAGE.train.labels).sum())
        updates += int(outcome.updated.sum())
    for state in (State.TESTING, State.TRAINING, State.TESTING):
        bench.run(state, step=4)
    x = np.concatenate([IMAGE.test.x, 1 - IMAGE.test.x])
    bench.trained_by_host(software, x, (software.classify(x) + 1) % SPEC.classes, True)
    bench.run(*ENDS)
    assert [bench.register(name) for name in ("errors", "updates", "changed")] == [errors, updates, 1], "counts"


def a_host_at_any_time(run: Run) -> None:
    """Wherever in a record the host comes, it has to wait for the record's end."""
    bench, simulator = Bench(run), run.simulator
    software = PlainEnsemble(SPEC)
    for delay in range(0, 26, 2):
        bench.host(clear=True)
        results = bench.run(State.TRAINING, step=1) + bench.pass_(delay)
        simulator.set("hold", 1)
        results += bench.pass_(60)
        # What the host writes is the same.
        assert bench.byte(0) >= 0
        answers, more = bench.host_examples([(x, 0, False) for x in IMAGE.test.x[:1]], 1500)
        assert more == [], "a result of the flash while the host has the trainer"
        software = PlainEnsemble(SPEC)
        if results:
            software.learn(IMAGE.train.x, IMAGE.train.labels, IMAGE.order()[: len(results)])
        assert answers == software.classify(IMAGE.test.x[:1]).tolist(), "prediction for the host"
        bench.check(results + bench.run(*ENDS))


def no_flash(run: Run) -> None:
    """A part whose status does not say that four lines may be used; a clear tries again."""
    bench, simulator = Bench(run), run.simulator
    simulator.set("deaf", 1)
    for _ in range(2):
        bench.run(State.NO_FLASH)
        simulator.tick(30)
        assert bench.register("state") == State.NO_FLASH, "state"
        bench.host(clear=True)
        assert bench.register("state") == State.WAKING, "state after a clear"
    bench.run(State.NO_FLASH)
    simulator.set("deaf", 0)
    bench.host(clear=True)
    bench.check(bench.run(*ENDS))


def no_register(run: Run) -> None:
    """Behind the registers nothing is written."""
    bench, simulator = Bench(run), run.simulator
    for at in range(32, 64):
        simulator.set("control__parameter_address", bench.design.registers_address + at)
        simulator.set("control__parameter_write", 0x00)
        simulator.set("control__parameter_write_enable", 1)
        simulator.tick()
    simulator.set("control__parameter_write_enable", 0)
    bench.check(bench.run(*ENDS))


def a_host_with_examples(run: Run) -> None:
    """What the host trains and has predicted when all epochs are done."""
    bench, software = Bench(run), PlainEnsemble(SPEC)
    bench.run(*ENDS)
    for _ in range(EPOCHS):
        software.learn(IMAGE.train.x, IMAGE.train.labels, IMAGE.order())
    rng = np.random.default_rng(5)
    x, labels = rng.integers(0, 2, (12, SPEC.input_bits), np.uint8), rng.integers(0, SPEC.classes, 12)
    bench.trained_by_host(software, x, labels, True)
    bench.trained_by_host(software, x, labels, False)
    bench.is_that_of(software)
    # Class 64 is none, and nothing is learned from it.
    run.simulator.tick(30)
    bench.trained_by_host(software, x[:2], np.array([64, 66]), True)
    bench.is_that_of(software)
    run.simulator.tick(10)
    simulator, size = run.simulator, bench.trainer.settings_address + 13
    simulator.set("hold", 1)
    before = [bench.byte(at) for at in range(size)]
    for at, octet in ((0, 0x00), (2, 0xA5), (bench.trainer.settings_address, 0x80), (4, 0x7F)):
        simulator.set("control__parameter_address", at)
        simulator.set("control__parameter_write", octet)
        simulator.set("control__parameter_write_enable", 1)
        bench.ready()
        simulator.tick()
        simulator.set("control__parameter_write_enable", 0)
        before[at] = octet
    after = [bench.byte(at) for at in range(size)]
    used = [at for at in range(bench.trainer.settings_address) if at % bench.trainer.word_octets == 0]
    used += list(range(bench.trainer.settings_address, size))
    assert [after[at] for at in used] == [before[at] for at in used], "parameters"


def large_registers(run: Run) -> None:
    """Registers up to their highest bits."""
    bench, simulator = Bench(run), run.simulator
    bench.run(*ENDS)
    for epoch, right, errors, updates in ((0x8001, 0x800000, 0x80000000, 0xC0000001), (0x7FFE, 1, 1, 0x7FFFFFFE)):
        for name, value in (("epoch", epoch), ("right", right), ("errors", errors), ("updates", updates)):
            simulator.poke(name, value)
            assert bench.register(name) == value, name
    for count, errors in ((0x80008000, 0x7FFFFFFF), (0x7FFF7FFF, 0x80000000), (1, 0)):
        simulator.poke("example_count", count)
        simulator.poke("error_count", errors)
        found = [simulator.get(name) for name in ("control__example_count", "control__error_count", "progress")]
        assert found == [count, errors, count >> 15 & 1], "counts"


def clears_in_each_state(run: Run) -> None:
    """A clear begins anew wherever it comes, which is seen by what the flash has meanwhile become."""
    bench, simulator = Bench(run), run.simulator
    simulator.set("hold", 1)
    simulator.set("control__parameter_address", 0)

    def clear() -> None:
        bench.ready()
        simulator.set("control__clear", 1)
        simulator.tick()
        simulator.set("control__clear", 0)
        bench.flash(b"")
        simulator.tick(3)
        bench.forgive()

    def settled() -> None:
        simulator.tick(80)
        bench.flash(CONTENT)
        bench.ready()
        simulator.set("control__clear", 1)
        simulator.tick()
        simulator.set("control__clear", 0)
        simulator.tick(3)
        bench.forgive()

    settled()
    bench.run(State.CHECKING, step=1)
    began = simulator.cycles
    settled()
    start = simulator.cycles
    bench.run(State.CHECKING, step=1)
    length = simulator.cycles - start
    assert began
    bench.run(State.TRAINING, State.NO_IMAGE, step=1, patience=1200)
    second = simulator.cycles - start
    for delay in [*range(length - 6, length + 8), *range(second - 30, second + 4)]:
        settled()
        simulator.tick(delay)
        clear()
        bench.run(State.NO_IMAGE, patience=1200)
    # Stopped before the clear: it does not even read the header.
    for delay in (2, 20, 60, 100):
        settled()
        simulator.tick(delay)
        bench.write("run", 0)
        simulator.tick(3)
        simulator.set("control__parameter_address", 0)
        bench.ready()
        simulator.set("control__clear", 1)
        simulator.tick()
        simulator.set("control__clear", 0)
        simulator.tick(900)
        bench.forgive()
        assert bench.register("state") == State.WAKING, "state while it is stopped"
        bench.write("run", 1)
        simulator.set("control__parameter_address", 0)
        simulator.tick(3)


def resets(run: Run) -> None:
    """A reset at any time begins anew, whether the flash has gone to sleep or not."""
    random, bench = Random(2), Bench(run)
    simulator = bench.simulator
    for cycles in (30, 200, 433, 700, 1100, 1500):
        bench.pass_(cycles)
        simulator.set("reset", 1)
        simulator.tick(random.randrange(1, 4))
        simulator.poke("asleep", random.randrange(2))
        simulator.set("reset", 0)
        bench.forgive()
    bench.check(bench.run(*ENDS))


def clears(run: Run) -> None:
    """A clear at any time begins anew."""
    for cycles in (100, 500, 1000, 1400, 1700):
        bench = Bench(run)
        bench.pass_(cycles)
        bench.host(clear=True)
    bench.check(bench.run(*ENDS))


def _flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 0x10]) + content[at + 1 :]


def forge(**changes: int) -> bytes:
    """The image with other numbers in its header, whose checksum is right."""
    values = {**header_fields(IMAGE), **changes}
    header = MAGIC + b"".join(values[field.name].to_bytes(field.bytes, "little") for field in HEADER)
    return header + zlib.crc32(header).to_bytes(4, "little") + CONTENT[64:]


# -- parts by themselves, with numbers that an image of a few records has not ------------------------------------------


def places_of_records(run: Run) -> None:
    """The places of records a stride apart, (place + stride) mod all."""
    random = Random(3)
    for size, stride in (
        (18, 9),
        (21, 3),
        (0xC00000, 0x800000),
        (0xFFFFFF, 0xFFFFFE),
        (0x800001, 0x800000),
        *((random.randrange(1 << 23, 1 << 24), random.randrange(1 << 23)) for _ in range(20)),
    ):
        run.set(train_bytes=size, stride_bytes=stride, rewind=1)
        run.tick()
        run.set(rewind=0)
        run.tick(3)
        place = 0
        for _ in range(6):
            place = (place + stride) % size
            run.set(step=1)
            run.tick()
            run.set(step=0)
            run.tick(4)
            found = run.get("found", "first", "address")
            assert found == [1, place == 0, (place + BASE + TRAIN) & 0xFFFFFF], "the next record"
            run.tick(random.randrange(1, 4))
            assert not run.get("found"), "found once more"
        for gap in range(5):
            run.set(step=1)
            run.tick()
            run.set(step=0)
            run.tick(gap)
            run.set(cancel=1)
            run.tick()
            run.set(cancel=0)
            for _ in range(8):
                assert not run.get("found"), "found what was cancelled"
                run.tick()


def headers(run: Run) -> None:
    """Headers as their bytes go by; fields of all sizes, and a byte that is wrong."""
    random = Random(4)
    known = expected_header(SPEC)
    names = {name: HEADER_OFFSET[name] for name in FROM_HEADER}
    for turn in range(60):
        values = {name: random.choice((random.randrange(1 << 24), 0xFFFFFF, 0, 0x800000)) for name in names}
        data = bytearray(known + random.randbytes(68 - len(known)))
        for name, at in names.items():
            data[at : at + 4] = values[name].to_bytes(4, "little")
        wrong = None
        if turn % 2:
            wrong = random.choice([*range(len(known)), *(at + 3 for at in names.values())])
            data[wrong] ^= 1 << random.randrange(8)
        run.set(begin=1, taken=0)
        run.tick(2)
        run.set(begin=0)
        for number, octet in enumerate(data):
            run.set(number=number, octet=random.randrange(256))
            run.tick()
            run.set(octet=octet)
            run.tick()
            run.set(taken=1)
            run.tick()
            run.set(taken=0)
            run.tick()
            assert run.get("foreign") == (wrong is not None and number >= wrong), "foreign"
        run.set(octet=0x5A, number=0)
        run.tick(3)
        assert dict(zip(names, run.get(*names), strict=True)) == values, "fields"


HEADER_OFFSET = {field.name: len(MAGIC) + offset(HEADER, field.name) for field in HEADER}


def parts() -> dict[str, Design]:
    return {
        "places": Design("places of records", partial(RecordPlaces, BASE), [places_of_records]),
        "header": Design("header fields", partial(HeaderFields, expected_header(SPEC), 7), [headers]),
    }


_DESIGN = make()


def designs() -> list[Design]:
    found = [epochs, one_by_one, no_test_part, damaged_headers, stop_and_go, a_host_that_looks, a_host_that_predicts]
    found += [a_host_that_trains, damaged_records, foreign_images, spoiled, more_epochs, resets, clears, large_numbers]
    found += [timing, a_host_with_examples, large_registers, clears_in_each_state, many_images, states_in_order]
    found += [fewer_epochs, a_host_that_trains_in_a_test, a_host_at_any_time, no_flash, no_register]
    return [Design("flash trainer", make, found, skip=("trainer", "reader"), bench=FlashBench, parts=parts())]
