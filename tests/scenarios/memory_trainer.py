"""The memory trainer against the plain rule of ensembles: examples, updates, accesses, a clear, a reset."""

from __future__ import annotations

from functools import partial
from random import Random
from typing import Any

import numpy as np
from faults import Faulty

from rdahw.families.ensemble.rule import PlainEnsemble
from rdahw.families.ensemble.spec import EnsembleSpec
from rdahw.hdl.memory_trainer import MemoryTrainer
from rdahw.hdl.table_words import counters_of_words, words_of_counters
from rdahw.sim.simulator import Exchange, Stuck
from scenarios import Bench, Design, Run

#: The smallest in which each of a table's inputs reads the first and the last bit of a byte, and of both bytes.
SPEC = EnsembleSpec(input_bits=16, tables=8, inputs=2, classes=3, counter=3, margin=3, dropout=0.25, seed=3)


class Trainer:
    """A trainer in a run, and the software that it must equal."""

    #: The most cycles that it works without a sign.
    PATIENCE = 300
    software: Any

    def __init__(self, run: Run, trainer: Any) -> None:
        self.run, self.trainer, self.spec = run, trainer, trainer.spec
        self.result = trainer.results.payload.shape()
        self.start_anew()

    def start_anew(self) -> None:
        """The software as after a reset."""
        self.software = Drawn(self.spec)
        self.learned = self.errors = self.updates = 0

    @property
    def words(self) -> Any:
        """The bytes of each word of counters, at the addresses ``pitch`` * word + byte."""
        return words_of_counters(self.spec, self.software.counters)

    @property
    def pitch(self) -> int:
        return int(self.trainer.word_octets)

    @property
    def settings(self) -> bytes:
        """The settings, from the first one on."""
        state = self.software.dropout_state.to_bytes(8, "little")
        return bytes(state + self.margin.to_bytes(4, "little") + bytes([self.below]))

    def found(self, results: Any, name: str) -> Any:
        """A field of results, as numbers."""
        f = self.result[name]
        bits = results[:, f.offset : f.offset + f.width].astype(int)
        return (bits << np.arange(f.width)).sum(axis=1)

    def beats(self, x: Any, labels: Any, learn: bool) -> Any:
        last = (np.asarray(labels) & 0x7F | learn << 7).astype(np.uint8)
        octets = np.column_stack([np.packbits(x, axis=1, bitorder="little"), last])
        return np.unpackbits(octets.reshape(-1, 1), axis=1, bitorder="little")

    def exchange(self, beats: Any, give: int, **pace: Any) -> Any:
        try:
            made = self.run.simulator.exchange(
                Exchange("examples", "results", beats, len(beats), give, patience=self.PATIENCE, **pace)
            )
        except Stuck as error:
            raise AssertionError("the trainer stands still") from error
        finally:
            self.run.simulator.set("examples__valid", 0)
            self.run.simulator.set("results__ready", 0)
        return made

    def until_idle(self) -> None:
        for _ in range(self.PATIENCE):
            busy, ready = self.run.get("busy", "control__ready")
            assert not (busy and ready), "busy and ready"
            if not busy:
                assert ready, "neither busy nor ready"
                return
            self.run.tick()
        raise AssertionError("the trainer stays busy")

    def work(self, x: Any, labels: Any, learn: bool = True, *, timed: bool = False, **pace: Any) -> None:
        """Examples into both, and all that comes of them."""
        rows, known = np.arange(len(x)), np.asarray(labels) < self.spec.classes
        if learn and known.all():
            outcome = self.software.learn(x, labels, rows)
            predictions, updated = outcome.predictions, outcome.updated
            self.learned += len(x)
            self.errors += int((predictions != labels).sum())
            self.updates += int(updated.sum())
        else:
            predictions, updated = self.software.classify(x), np.zeros(len(x), bool)
        made = self.exchange(self.beats(x, labels, learn), len(x), **pace)
        found = {name: self.found(made.results, name) for name in ("prediction", "correct", "updated")}
        assert found["prediction"].tolist() == predictions.tolist(), "predictions"
        assert found["updated"].tolist() == updated.astype(int).tolist(), "what was updated"
        if known.all():
            assert found["correct"].tolist() == (predictions == labels).astype(int).tolist(), "what was right"
        if timed:
            assert isinstance(self.software, Drawn)
            kept = np.array(self.software.draws[-self.spec.tables * len(x) :]).reshape(len(x), -1)
            kept = self.spec.tables - kept.sum(axis=1)
            expected = [self.trainer.cycles(bool(u), int(k)) for u, k in zip(updated, kept, strict=True)]
            assert np.diff(made.given).tolist() == expected[:-1], "cycles of an example"
        self.until_idle()
        self.counts()

    def learn(self, x: Any, labels: Any, i: int) -> int:
        """The software learns from one example; its prediction."""
        outcome = self.software.learn(x, labels, np.arange(i, i + 1))
        self.learned += 1
        self.errors += int(outcome.predictions[0] != labels[i])
        self.updates += int(outcome.updated[0])
        return int(outcome.predictions[0])

    def counts(self) -> None:
        self.run.tick(3)
        found = self.run.get("control__example_count", "control__error_count", "update_count")
        assert found == [count & 0xFFFFFFFF for count in (self.learned, self.errors, self.updates)], "counts"

    def access(self, **values: int) -> None:
        """Hold an access until it takes effect."""
        self.run.set(**{f"control__{name}": value for name, value in values.items()})
        for _ in range(self.PATIENCE):
            if self.run.get("control__ready"):
                break
            self.run.tick()
        else:
            raise AssertionError("the trainer is never ready")
        self.run.tick()
        self.run.set(control__parameter_write_enable=0, control__clear=0)

    def read(self, at: int) -> int:
        self.access(parameter_address=at)
        return int(self.run.get("control__parameter_read"))

    def write(self, at: int, octet: int) -> None:
        self.access(parameter_address=at, parameter_write=octet, parameter_write_enable=1)

    def agrees(self) -> None:
        """All counters and settings, as they are read."""
        for number, word in enumerate(self.words):
            found = [self.read(number * self.pitch + i) for i in range(len(word))]
            assert found == word.tolist(), f"word {number}"
        at, settings = self.trainer.settings_address, self.settings
        assert bytes(self.read(at + i) for i in range(len(settings))) == settings, "settings"

    @property
    def margin(self) -> int:
        return min(self.spec.margin, (1 << self.trainer.margin_bits) - 1)

    @property
    def below(self) -> int:
        return self.spec.dropout_rule[1]


class Drawn(PlainEnsemble):
    """Remembers which tables were dropped."""

    def __init__(self, spec: EnsembleSpec) -> None:
        super().__init__(spec)
        self.draws: list[bool] = []

    def _dropped(self) -> bool:
        self.draws.append(super()._dropped())
        return self.draws[-1]


def examples(spec: Any, count: int, seed: int) -> tuple[Any, Any]:
    """Few different inputs, so that counters move far."""
    rng = np.random.default_rng(seed)
    kinds = rng.integers(0, 2, (5, spec.input_bits), np.uint8)
    chosen = rng.integers(0, 5, count)
    noise = rng.random((count, spec.input_bits)) < 0.1
    labels = np.where(rng.random(count) < 0.8, chosen % spec.classes, rng.integers(0, spec.classes, count))
    return kinds[chosen] ^ noise, labels


class Scenarios:
    """The scenarios of a trainer."""

    #: Classes that there are not.
    labels: tuple[int, ...] = (4, 8, 64, 65, 127)

    def __init__(self, trainer: Any) -> None:
        self.spec = trainer.spec
        self._trainer = trainer

    def start(self, run: Run) -> Any:
        return Trainer(run, self._trainer)

    def training(self, run: Run) -> None:
        """Learning and predicting in turn, as fast as it goes; then all parameters are read."""
        t = self.start(run)
        assert run.get("busy") == 1, "not busy after power-up"
        t.until_idle()
        for seed in (1, 2):
            t.work(*examples(self.spec, 30, seed), timed=True)
            t.work(*examples(self.spec, 8, seed + 10), False)
        t.agrees()

    def slowly(self, run: Run) -> None:
        """Bytes that come with gaps, results that are taken late."""
        rng = np.random.default_rng(3)
        t = self.start(run)
        for gap, stall in ((0.5, 0.95), (0.9, 0.0), (0.0, 0.97)):
            t.work(*examples(self.spec, 20, 4), gaps=rng.random(97) < gap, stalls=rng.permutation(89) < stall * 89)
        t.agrees()

    def learning_and_predicting_mixed(self, run: Run) -> None:
        """Examples of both kinds follow each other as fast as they can."""
        t, (x, labels) = self.start(run), examples(self.spec, 24, 15)
        for turn in (0, 1):
            learn = np.arange(24) % 3 != turn
            predictions = []
            for i in range(24):
                predictions.append(t.learn(x, labels, i) if learn[i] else int(t.software.classify(x[i : i + 1])[0]))
            beats = np.concatenate([t.beats(x[i : i + 1], labels[i : i + 1], bool(learn[i])) for i in range(24)])
            made = t.exchange(beats, 24)
            assert t.found(made.results, "prediction").tolist() == predictions, "predictions"
            self.two_in_a_row(t, x, labels)
        t.agrees()

    def two_in_a_row(self, t: Any, x: Any, labels: Any) -> None:
        """Two are there ahead of their results: the second comes in while the first is worked on."""
        t.until_idle()
        begun, beats = t.run.simulator.cycles, t.beats(x[:2], labels[:2], False)
        taken = t.exchange(beats, 2).taken
        assert taken[-1] - begun <= len(beats) + 2, "the second example waits"
        t.work(x[:1], labels[:1], False)

    def long_training(self, run: Run) -> None:
        """Until counters are at their ends."""
        t, (x, labels) = self.start(run), examples(self.spec, 12, 5)
        for _ in range(8):
            t.work(x, labels)
        t.work(x, (labels + 1) % self.spec.classes)
        t.agrees()

    def parameters(self, run: Run) -> None:
        """All parameters are written, read and trained on; bytes apart from each other."""
        t, rng = self.start(run), np.random.default_rng(6)
        spec, trainer = self.spec, self._trainer
        t.until_idle()
        low, high = spec.counter_range
        for round_ in range(2):
            counters = rng.integers(low, high + 1, spec.counters_shape).astype(np.int8)
            words = words_of_counters(spec, counters)
            for at in rng.permutation(words.size).tolist():
                number, i = divmod(at, trainer.table_octets)
                t.write(number * trainer.word_octets + i, int(words[number, i]))
            state = int(rng.integers(1 << 62)) | 1 << 62 if round_ else 0x2AAAAAAAAAAAAAAB
            for i in rng.permutation(8).tolist():
                t.write(trainer.settings_address + i, state >> 8 * i & 0xFF)
            t.software.counters = counters_of_words(spec, words)
            t.software.dropout_state = state
            t.agrees()
            t.work(*examples(spec, 12, 7 + round_))
            t.agrees()

    def an_access_between(self, run: Run) -> None:
        """An access waits for the example that was there before, and goes ahead of the next one."""
        t, (x, labels) = self.start(run), examples(self.spec, 16, 8)
        for i in range(len(x)):
            t.learn(x, labels, i)
            t.exchange(t.beats(x[i : i + 1], labels[i : i + 1], True), 0)
            number = i % len(t.words)
            octet = t.read(number * t.pitch)
            assert octet == t.words[number][0], "what was read"
            assert run.simulator.get("results__valid"), "an access came before its example"
            t.exchange(t.beats(x[:0], labels[:0], True), 1)
        t.counts()
        t.agrees()

    def settings(self, run: Run) -> None:
        """Margin and dropout are changed."""
        t, trainer, spec = self.start(run), self._trainer, self.spec
        bits = spec.dropout_rule[0]
        for margin, below in ((0, 0), (200, (1 << bits) - 1), (1, 1), (12, (1 << bits) // 2)):
            margin = min(margin, (1 << trainer.margin_bits) - 1)
            for i in range(4):
                t.write(trainer.settings_address + 8 + i, margin >> 8 * i & 0xFF)
            t.write(trainer.settings_address + 12, below)
            t.software = _Changed(spec, margin, below, t.software)
            found = [t.read(trainer.settings_address + 8 + i) for i in range(5)]
            assert found == [margin, 0, 0, 0, below], "settings"
            t.work(*examples(spec, 16, 9 + margin))
        # As far apart as sums can be: beyond all margins but the largest ones.
        low, high = spec.counter_range
        counters = np.full(spec.counters_shape, low, np.int8)
        counters[..., 0] = high
        for number, word in enumerate(words_of_counters(spec, counters)):
            for i, octet in enumerate(word.tolist()):
                t.write(number * trainer.word_octets + i, octet)
        largest = spec.tables * (high - low)
        for margin in (largest - 1, largest, (1 << trainer.margin_bits) - 1):
            t.write(trainer.settings_address + 8, margin)
            t.write(trainer.settings_address + 12, 0)
            t.software = _Changed(spec, margin, 0, t.software)
            t.software.counters = counters.copy()
            for number, word in enumerate(words_of_counters(spec, counters)):
                for i, octet in enumerate(word.tolist()):
                    t.write(number * trainer.word_octets + i, octet)
            t.work(examples(spec, 1, 3)[0], np.zeros(1, int))

    def bits_behind_the_counters(self, run: Run) -> None:
        """The bits of a word above its counters are read as they were written."""
        t = self.start(run)
        t.until_idle()
        at = t.pitch + len(t.words[1]) - 1
        for octet in (0xFE, 0x00, 0x54, 0xAA):
            t.write(at, octet)
            assert t.read(at) == octet, "what was written"

    def large_counts(self, run: Run) -> None:
        """The counts have 32 bits, and wrap."""
        t = self.start(run)
        t.until_idle()
        x, labels = examples(self.spec, 16, 14)
        for start in (0x7FFFFFFC, 0xFFFFFFFE):
            for name in ("control.example_count", "control.error_count", "update_count"):
                run.simulator.poke(name, start)
            t.learned = t.errors = t.updates = start
            t.work(x, labels)

    def classes_that_are_none(self, run: Run) -> None:
        """An example with a class that there is not is only predicted."""
        t, (x, labels) = self.start(run), examples(self.spec, 16, 10)
        t.work(x, labels)
        for label in (self.spec.classes, self.spec.classes + 1, *self.labels):
            t.work(x[:2], np.full(2, label))
        t.work(x, labels, False)
        t.agrees()

    def a_clear(self, run: Run) -> None:
        """A clear makes everything as it is after a reset, and wins over a write."""
        t, (x, labels) = self.start(run), examples(self.spec, 16, 11)
        for write in (0, 1):
            t.work(x, labels)
            t.write(self._trainer.settings_address + 8, 1)
            t.write(self._trainer.settings_address + 12, 1)
            t.access(clear=1, parameter_write_enable=write, parameter_address=3, parameter_write=0x55)
            assert run.get("busy", "control__ready") == [1, 0], "ready after a clear"
            t.until_idle()
            t.start_anew()
            t.counts()
            t.agrees()

    def a_reset(self, run: Run) -> None:
        """A reset at any time clears everything; examples come while it clears."""
        random = Random(12)
        for _ in range(12):
            t, (x, labels) = self.start(run), examples(self.spec, 6, random.randrange(99))
            self_beats = t.beats(x, labels, True)
            run.simulator.exchange(
                Exchange("examples", "results", self_beats, 999, 999, cycles=random.randrange(1, 90))
            )
            run.simulator.set("examples__valid", 0)
            run.reset()
            assert run.get("busy", "control__ready") == [1, 0], "ready after a reset"
        t = self.start(run)
        t.work(*examples(self.spec, 12, 13))
        t.agrees()

    def all(self) -> list[Any]:
        return [
            self.training,
            self.slowly,
            self.parameters,
            self.a_clear,
            self.an_access_between,
            self.settings,
            self.learning_and_predicting_mixed,
            self.bits_behind_the_counters,
            self.large_counts,
            self.classes_that_are_none,
            self.a_reset,
            self.long_training,
        ]


class _Changed(PlainEnsemble):
    """Another margin and another dropout, from where the software was."""

    def __init__(self, spec: EnsembleSpec, margin: int, below: int, before: PlainEnsemble) -> None:
        super().__init__(EnsembleSpec(**{**_options(spec), "margin": margin}))
        self.counters, self.dropout_state = before.counters, before.dropout_state
        self._below, self._bits = below, spec.dropout_rule[0]

    def _dropped(self) -> bool:
        number = 0
        for i in range(self._bits):
            new = (self.dropout_state ^ self.dropout_state >> 31) & 1
            self.dropout_state = self.dropout_state >> 1 | new << 62
            number |= new << i
        return number < self._below


def _options(spec: EnsembleSpec) -> dict[str, Any]:
    names = ("input_bits", "tables", "inputs", "classes", "counter", "dropout", "seed", "sign")
    return {name: getattr(spec, name) for name in names}


class TrainerBench(Bench):
    """A trainer with faults, whose counts can be overwritten."""

    def __init__(self, faulty: Faulty) -> None:
        super().__init__(faulty, streams=("examples", "results"))
        names = ("control.example_count", "control.error_count", "update_count")
        self.registers = {name: faulty.intact[name] for name in names}


def designs() -> list[Design]:
    return [
        Design(
            "memory trainer",
            partial(MemoryTrainer, SPEC),
            Scenarios(MemoryTrainer(SPEC)).all(),
            bench=TrainerBench,
        )
    ]
