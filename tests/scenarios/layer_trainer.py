"""The layer trainer against the plain rule of layers, with and without batches; what it shares with the memory trainer
is run as there."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any
from unittest import mock

import numpy as np

from rdahw.families.ensemble.spec import register_bits
from rdahw.families.layers.rule import PlainLayers
from rdahw.families.layers.spec import LayersSpec
from rdahw.hdl import layer_trainer
from rdahw.hdl.layer_trainer import LayerTrainer
from rdahw.hdl.layer_words import counters_of_octets, octets_of_counters, row_octets
from scenarios import Design, Run, memory_trainer
from scenarios.memory_trainer import TrainerBench, examples

#: Two layers in each bank below the last one, one of them with fewer inputs, and no number of a table that there is
#: not. With this seed each input of the first layer reads the first and the last bit of a byte; above it tables next to
#: each other, and those with one between them, read the same table by the same input, and by each input one is read
#: whose place in the other bank is that of a table of another layer.
SPEC = LayersSpec(
    input_bits=16,
    classes=3,
    sizes=((10, 3), (3, 3), (8, 2), (7, 3), (4, 3)),
    counter=3,
    noise=2,
    margin=1,
    seed=3244,
)
#: The most examples of a batch here.
BATCH = 4


def make(batch: bool) -> LayerTrainer:
    """A trainer; that of batches has two words a row, as there are in the large memory."""
    words = mock.patch.object(layer_trainer, "word_octets", lambda spec, large: row_octets(spec) >> batch)
    with words:
        return LayerTrainer(SPEC, batch=batch)


class Trainer(memory_trainer.Trainer):
    """A trainer in a run, and the software that it must equal."""

    PATIENCE = 900

    def start_anew(self) -> None:
        self.software = PlainLayers(self.spec)
        self.learned = self.errors = self.updates = 0

    @property
    def words(self) -> Any:
        inputs = [inputs for tables, inputs in self.spec.sizes for _ in range(tables)]
        return [row[: 1 << count] for row, count in zip(self.rows, inputs, strict=True)]

    @property
    def rows(self) -> Any:
        """The bytes of all rows, with those that tables with fewer inputs do not have."""
        return octets_of_counters(self.spec, self.software.state["counters"])

    @property
    def pitch(self) -> int:
        return row_octets(self.spec)

    @property
    def settings(self) -> bytes:
        noise = self.spec.fields[1]
        return bytes(noise.pack(self.software.state["noise"])) + self.margin.to_bytes(4, "little")

    def set(self, *, counters: Any = None, noise: int | None = None) -> None:
        """Another state of the software."""
        new = {
            "counters": None if counters is None else counters_of_octets(self.spec, counters),
            "noise": None if noise is None else register_bits(noise),
        }
        self.software.state = self.software.state | {name: value for name, value in new.items() if value is not None}

    def ends(self, count: int) -> Any:
        """Which of so many examples are the last of a batch: batches of one, two, … examples in turn."""
        sizes = np.arange(count) % BATCH + 1 if self.trainer.batch else np.ones(count, int)
        return np.isin(np.arange(count), [*np.cumsum(sizes) - 1, count - 1])

    def beats(self, x: Any, labels: Any, learn: Any, last: Any = 1) -> Any:
        learns, lasts = (np.broadcast_to(np.asarray(given).astype(int), len(x)) for given in (learn, last))
        if not self.trainer.batch:
            return super().beats(x, labels, learns)
        return super().beats(x, np.asarray(labels) & 0x3F | lasts << 6, learns)

    def work(self, x: Any, labels: Any, learn: Any = True, *, timed: bool = False, **pace: Any) -> None:
        last = self.ends(len(x))
        learns = np.broadcast_to(learn, len(x)) & (np.asarray(labels) < self.spec.classes)
        made = self.exchange(self.beats(x, labels, learn, last), len(x), **pace)
        predictions, asked, batch = [0] * len(x), [0] * len(x), []
        for i in range(len(x)):
            if not learns[i]:
                predictions[i] = int(self.software.scores(x[i : i + 1])[0].argmax())
                continue
            batch.append(i)
            if last[i]:
                self._learn(x, labels, batch, predictions, asked)
                batch = []
        assert not batch, "the last example is one to learn from"
        right = (np.array(predictions) == labels).astype(int).tolist()
        assert self.found(made.results, "prediction").tolist() == predictions, "predictions"
        assert self.found(made.results, "updated").tolist() == asked, "what was updated"
        known = np.asarray(labels) < self.spec.classes
        assert self.found(made.results, "correct")[known].tolist() == np.array(right)[known].tolist(), "what was right"
        if timed:
            self._cycles(made.given, learns, last, asked)
        self.until_idle()
        self.counts()

    def _learn(self, x: Any, labels: Any, batch: list[int], predictions: list[int], asked: list[int]) -> None:
        found, asks = self.software.learn(x, labels, np.array(batch), np.array([len(batch)]))
        for i, prediction, asks_too in zip(batch, found.tolist(), asks.tolist(), strict=True):
            predictions[i], asked[i] = prediction, int(asks_too)
            self.learned += 1
            self.errors += int(prediction != labels[i])
            self.updates += int(asks_too)

    def _cycles(self, given: Any, learns: Any, last: Any, asked: list[int]) -> None:
        expected, asks = [], False
        for learned, ends, updated in zip(learns, last, asked, strict=True):
            asks |= bool(updated)
            applies = bool(learned and ends and asks)
            asks &= not applies
            # A write of the last example may be under way when a batch is applied.
            applying = {self.trainer.applying_cycles - waits for waits in (0, 1)} if applies else {0}
            expected.append({self.trainer.cycles(bool(updated)) + cycles for cycles in applying})
        found = np.diff(given).tolist()
        assert all(cycles in its for cycles, its in zip(found, expected[:-1], strict=True)), "cycles of an example"

    def learn(self, x: Any, labels: Any, i: int) -> int:
        predictions, asked = {i: 0}, {i: 0}
        self._learn(x, labels, [i], predictions, asked)  # type: ignore[arg-type]
        return predictions[i]


class Scenarios(memory_trainer.Scenarios):
    """The scenarios of a trainer of layers."""

    def __init__(self, trainer: LayerTrainer) -> None:
        super().__init__(trainer)
        self.labels = (4, 8, 32, 63) if trainer.batch else (4, 8, 32, 64, 65, 127)

    def start(self, run: Run) -> Trainer:
        return Trainer(run, self._trainer)

    def learning_and_predicting_mixed(self, run: Run) -> None:
        """Examples of both kinds follow each other as fast as they can, also within a batch."""
        t, (x, labels) = self.start(run), examples(self.spec, 24, 15)
        for turn in (0, 1):
            learn = (np.arange(24) % 3 != turn) | t.ends(24)
            t.work(x, labels, learn)
            self.two_in_a_row(t, x, labels)
        t.agrees()

    def parameters(self, run: Run) -> None:
        """All parameters are written, read and trained on; bytes apart from each other."""
        t, rng = self.start(run), np.random.default_rng(6)
        t.until_idle()
        low, high = self.spec.counter_range
        rows = t.rows
        for turn in range(2):
            # What a table with fewer inputs does not have is written too.
            rows = rng.integers(low, high + 1, rows.shape).astype(np.int8).view(np.uint8)
            for at in rng.permutation(rows.size).tolist():
                t.write(at, int(rows.flat[at]))
            state = int(rng.integers(1 << 62)) | 1 << 62 if turn else 0x2AAAAAAAAAAAAAAB
            for i in rng.permutation(8).tolist():
                t.write(self._trainer.settings_address + i, state >> 8 * i & 0xFF)
            assert [t.read(at) for at in range(rows.size)] == rows.ravel().tolist(), "what was written"
            t.set(counters=rows, noise=state)
            t.work(*examples(self.spec, 12, 7 + turn))
            t.agrees()

    def settings(self, run: Run) -> None:
        """The margin is changed."""
        t = self.start(run)
        for margin in (0, (1 << self._trainer.margin_bits) - 1, 1, 2):
            self._with_margin(t, margin)
            t.work(*examples(self.spec, 16, 9 + margin))

    def _with_margin(self, t: Trainer, margin: int) -> None:
        at = self._trainer.settings_address + 8
        for i in range(4):
            t.write(at + i, margin >> 8 * i & 0xFF)
        assert [t.read(at + i) for i in range(4)] == [margin, 0, 0, 0], "settings"
        t.software.spec = replace(self.spec, margin=margin)

    def batches_without_requests(self, run: Run) -> None:
        """Nothing is applied after them."""
        t, (x, labels) = self.start(run), examples(self.spec, 3, 18)
        self._with_margin(t, 0)
        for _ in range(4):
            t.work(np.repeat(x, 10, axis=0), np.repeat(labels, 10), timed=True)
        assert 0 < t.updates < t.learned, "all or none of the examples ask"

    def training_of_other_counters(self, run: Run) -> None:
        """From counters near 0, so that all bits change, and what a table asks of which."""
        t, rng = self.start(run), np.random.default_rng(19)
        t.until_idle()
        for turn in range(4):
            rows = rng.integers(-1, 2, t.rows.shape).astype(np.int8).view(np.uint8)
            for at, octet in enumerate(rows.ravel().tolist()):
                t.write(at, octet)
            t.set(counters=rows)
            t.work(*examples(self.spec, 24, 20 + turn))
        t.agrees()

    def a_clear_in_a_batch(self, run: Run) -> None:
        """The sums of an open batch are forgotten."""
        t, (x, labels) = self.start(run), examples(self.spec, 12, 16)
        for _ in range(2):
            t.exchange(t.beats(x, labels, True, 0), len(x))
            t.access(clear=1)
            t.until_idle()
            t.start_anew()
            t.work(x, labels)
            t.agrees()

    def a_large_batch(self, run: Run) -> None:
        """As many requests for a counter as there can be, in both directions."""
        t, (x, labels) = self.start(run), examples(self.spec, 16, 17)
        t.ends = lambda count: np.arange(count) == count - 1  # type: ignore[method-assign]
        for turn in range(4):
            t.work(np.repeat(x[turn : turn + 1], 16, axis=0), np.full(16, turn % 3))
            t.work(x, labels)
        t.agrees()

    def all(self) -> list[Any]:
        batches = [self.batches_without_requests, self.a_clear_in_a_batch, self.a_large_batch]
        return [*super().all(), self.training_of_other_counters, *(batches if self._trainer.batch else [])]


def design(batch: bool) -> Design:
    """The trainer, or that of batches."""
    return Design(
        "layer trainer" + ", batches" * batch,
        partial(make, batch),
        Scenarios(make(batch)).all(),
        skip=("scores",),  # those of the memory trainer
        bench=TrainerBench,
    )


def designs() -> list[Design]:
    """Without the trainer of batches: not all of its faults that change nothing are proved to."""
    return [design(False)]
