"""The trainer of machines with shadow machines against the plain rule: sequences, accesses, a clear, a reset."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from faults import Faulty

from rdahw.families.machine.shadow import WRAP, PlainShadows
from rdahw.families.machine.spec import SETTLED, MachineSpec, bits_of
from rdahw.hdl.machine_interface import machine_places
from rdahw.hdl.machine_trainer import MachineTrainer
from rdahw.sim.simulator import Exchange, Stuck
from scenarios import Bench, Design, Run

#: The smallest that has a step in the middle of a sequence, and bits of evidence below the level.
SPEC = MachineSpec(steps=3, states=1, counter=3, restart=12, rule="shadow", seed=3)


class Noted(PlainShadows):
    """Notes after which symbols a bit was flipped."""

    def __init__(self, spec: MachineSpec) -> None:
        super().__init__(spec)
        self.flips: list[bool] = []

    def _symbol(self, now: list[int], bit: int, label: int, *, learn: bool) -> int:
        before = bits_of(self._counters)
        written = super()._symbol(now, bit, label, learn=learn)
        self.flips.append(bool((bits_of(self._counters) != before).any()))
        return written


class Trainer:
    """A trainer in a run, and the software that it must equal."""

    def __init__(self, run: Run, spec: MachineSpec) -> None:
        self.run, self.spec, self.software = run, spec, Noted(spec)
        self.learned = self.errors = 0

    def exchange(self, beats: Any, give: int, **pace: Any) -> Any:
        try:
            return self.run.simulator.exchange(
                Exchange("examples", "results", beats, len(beats), give, patience=300, **pace)
            )
        except Stuck as error:
            raise AssertionError("the trainer stands still") from error
        finally:
            self.run.simulator.set("examples__valid", 0)
            self.run.simulator.set("results__ready", 0)

    def until_idle(self) -> None:
        for _ in range(60):
            busy, ready = self.run.get("busy", "control__ready")
            assert busy != ready, "busy and ready, or neither"
            if not busy:
                return
            self.run.tick()
        raise AssertionError("the trainer stays busy")

    def work(self, x: Any, y: Any, learn: bool = True, *, timed: bool = False, **pace: Any) -> None:
        """Sequences into both, and all that comes of them."""
        expected, waits = [], []
        for sequence, labels in zip(x[:, None], y[:, None], strict=True):
            self.software.flips.clear()
            before = self.software.state["run"]
            if learn:
                expected.append(self.software.learn(sequence, labels)[0])
                self.software._start_again()
                self.errors += int((expected[-1] != labels[0]).any())
            else:
                expected.append(self.software.labels(sequence)[0])
            after = self.software.state["run"]
            starts = int(after[2] != before[2])
            *inner, last = self.software.flips or [False]
            starting = starts * len(self.software.state["counters"]) // 8
            waits.append((sum(inner), max(last, starts, learn and int(before[0]) == SETTLED - 1) + starting))
        self.learned += learn * len(x)
        beats = np.concatenate([x, y, np.full((len(x), 2), (0, learn), np.uint8)], axis=1)
        made = self.exchange(beats, len(x), **pace)
        assert made.results[:, :-1].tolist() == np.array(expected).tolist(), "predictions"
        assert made.results[:, -1].tolist() == (np.array(expected) == y).all(axis=1).astype(int).tolist(), "right ones"
        if timed:
            cycles = [self.spec.steps + after + inner for (_, after), (inner, _) in zip(waits, waits[1:], strict=False)]
            assert np.diff(made.given).tolist() == cycles, "cycles of a sequence"
        self.until_idle()
        self.counts()

    def counts(self) -> None:
        self.run.tick(2)
        found = self.run.get("control__example_count", "control__error_count")
        assert found == [count & 0xFFFFFFFF for count in (self.learned, self.errors)], "counts"

    def read(self, at: int) -> int:
        self.run.set(control__parameter_address=at)
        self.run.tick()
        return int(self.run.get("control__parameter_read"))

    def write(self, at: int, octet: int) -> None:
        self.run.set(control__parameter_address=at, control__parameter_write=octet, control__parameter_write_enable=1)
        self.run.tick()
        self.run.set(control__parameter_write_enable=0)

    def load(self, state: Any) -> None:
        """All fields, octets in any order."""
        octets = _octets(self.spec, state)
        for at in np.random.default_rng(5).permutation(len(octets)).tolist():
            self.write(at, octets[at])
        self.software.state = state
        self.agrees()

    def agrees(self) -> None:
        """All fields, as they are read."""
        expected = _octets(self.spec, self.software.state)
        found = bytes(self.read(at) for at in range(len(expected)))
        assert found == expected, "state"
        assert self.read(len(expected)) == 0, "what is behind the state"


def _octets(spec: MachineSpec, state: Any) -> bytes:
    return b"".join(place.pack(state[place.field.name]) for place in machine_places(spec))


def sequences(spec: MachineSpec, count: int, seed: int, mess: float = 0.1) -> tuple[Any, Any]:
    """Sequences with the labels of another machine for each ten, some of them wrong."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 2, (count, spec.steps)).astype(np.uint8)
    y = np.empty_like(x)
    for i in range(0, count, 10):
        teacher = PlainShadows(spec)
        tables = rng.integers(0, 2, len(teacher.state["counters"]))
        teacher.state = {**teacher.state, "counters": (tables * 2 - 1).astype(np.int8)}
        y[i : i + 10] = teacher.labels(x[i : i + 10])
    return x, y ^ (rng.random(x.shape) < mess).astype(np.uint8)


class Scenarios:
    """The scenarios of a trainer of one spec."""

    def __init__(self, spec: MachineSpec) -> None:
        self.spec = spec

    def training(self, run: Run) -> None:
        """Learning and predicting in turn, as fast as it goes."""
        t = Trainer(run, self.spec)
        t.agrees()
        for seed in range(6):
            t.work(*sequences(self.spec, 60, seed, 0.05 * seed), timed=True)
            t.agrees()
            t.work(*sequences(self.spec, 6, seed + 50), False, timed=True)
            t.agrees()

    def a_sequence_at_a_time(self, run: Run) -> None:
        """The state is read after each."""
        t, (x, y) = Trainer(run, self.spec), sequences(self.spec, 120, 7)
        for i in range(len(x)):
            t.work(x[i : i + 1], y[i : i + 1], i % 7 != 3)
            t.agrees()

    def slowly(self, run: Run) -> None:
        """Sequences with gaps, results that are taken late."""
        rng, t = np.random.default_rng(3), Trainer(run, self.spec)
        for gap, stall in ((0.5, 0.9), (0.9, 0.0), (0.0, 0.97)):
            t.work(*sequences(self.spec, 50, 4), gaps=rng.random(97) < gap, stalls=rng.permutation(89) < stall * 89)
            t.agrees()

    def states(self, run: Run) -> None:
        """Any state is written, read, and learned from."""
        t, rng = Trainer(run, self.spec), np.random.default_rng(6)
        for round_ in range(6):
            state = {field.name: field.zero() for field in self.spec.fields}
            for name, value in state.items():
                low, high = (-self.spec.level, self.spec.level) if name == "counters" else (0, 2)
                state[name] = rng.integers(low, high, value.shape).astype(value.dtype)
            state["noise"][round_] = 1
            state["run"] = np.array([rng.integers(9), rng.integers(8), *rng.integers(0, WRAP, 2)])
            t.load(state)
            t.work(*sequences(self.spec, 20, 8 + round_))
            t.agrees()

    def each_bit(self, run: Run) -> None:
        """For each bit of the tables, labels of the machine with that bit flipped, which is nearly believed."""
        t, rng = Trainer(run, self.spec), np.random.default_rng(19)
        level, size = self.spec.level, self.spec.size * (self.spec.states + 1)
        flipped = set()
        for p in np.tile(np.arange(size), 4).tolist():
            tables = rng.integers(0, 2, size)
            teacher = PlainShadows(self.spec)
            teacher.state = {**teacher.state, "counters": ((tables ^ (np.arange(size) == p)) * 2 - 1).astype(np.int8)}
            x, _ = sequences(self.spec, 6, 20 + p)
            evidence = (level - 1) * (np.arange(size) == p)
            counters = np.where(tables, level - 1 - evidence, evidence - level).astype(np.int8)
            t.load({**t.software.state, "counters": counters, "run": np.zeros(4, np.int64)})
            t.work(x, teacher.labels(x))
            t.agrees()
            flipped |= {p} & set(np.flatnonzero(bits_of(t.software.state["counters"]) != tables).tolist())
        assert len(flipped) == size

    def octets(self, run: Run) -> None:
        """Each octet is read as it was written, and changes no other; a clear ends it."""
        t, rng = Trainer(run, self.spec), np.random.default_rng(18)
        fields = _octets(self.spec, {field.name: field.zero() for field in self.spec.fields})
        for octet in (0xFF, 0x00, 0xA5, None):
            written = rng.integers(0, 256, len(fields)).tolist() if octet is None else [octet] * len(fields)
            for at in rng.permutation(len(fields)).tolist():
                t.write(at, written[at])
            found = [t.read(at) for at in range(len(fields))]
            at = 0
            for field in self.spec.fields:
                last = at + (field.bits + 7) // 8 - 1
                written[last] &= (1 << field.bits - 8 * (last - at)) - 1
                at = last + 1
            assert found == written, "what was written"
        run.set(control__clear=1)
        run.tick()
        run.set(control__clear=0)
        t.agrees()

    def settling(self, run: Run) -> None:
        """The last right sequences before it is settled, and what a settled machine does not do."""
        t = Trainer(run, self.spec)
        state = t.software.state
        x, _ = sequences(self.spec, 8, 9)
        for right, wrong in ((SETTLED - 3, -1), (SETTLED - 2, 1), (SETTLED - 1, 0), (SETTLED, 0), (512, -1), (9, 2)):
            t.load({**state, "run": np.array([right, 30, 5, 77])})
            y = t.software.labels(x)
            y[wrong if wrong >= 0 else slice(0)] ^= 1
            t.work(x, y, timed=True)
            t.agrees()
            t.work(*sequences(self.spec, 20, 10))
            t.agrees()

    def numbers_that_wrap(self, run: Run) -> None:
        """The numbers of ``run`` wrap, and the counts of 32 bits."""
        t = Trainer(run, self.spec)
        for start in (0x7FFFFFFD, 0xFFFFFFFD):
            t.load({**t.software.state, "run": np.array([0, 0, WRAP, WRAP - 5])})
            for name in ("control.example_count", "control.error_count"):
                run.simulator.poke(name, start)
            t.learned = t.errors = start
            t.work(*sequences(self.spec, 40, 11, 0.5))
            t.agrees()
        for since in (WRAP - 1, 1 << 12, 11, 10):
            t.load({**t.software.state, "run": np.array([3, since, 1, 1])})
            t.work(*sequences(self.spec, 3, 12, 0.5))
            t.agrees()

    def a_clear(self, run: Run) -> None:
        """A clear makes everything as it is after a reset, and wins over a write."""
        t = Trainer(run, self.spec)
        for write in (0, 1):
            t.work(*sequences(self.spec, 40, 13))
            run.set(control__clear=1, control__parameter_write_enable=write, control__parameter_write=0x55)
            run.set(control__parameter_address=0)
            run.tick()
            run.set(control__clear=0, control__parameter_write_enable=0)
            t.software, t.learned, t.errors = Noted(self.spec), 0, 0
            t.counts()
            t.agrees()

    def accesses_that_come_early(self, run: Run) -> None:
        """A write is ignored while a sequence is in work, and a sequence waits for a write and for a clear."""
        t, (x, y) = Trainer(run, self.spec), sequences(self.spec, 60, 14)
        beats = np.concatenate([x, y, np.full((len(x), 2), (0, 1), np.uint8)], axis=1)
        for i in range(len(x)):
            run.set(control__parameter_address=i % 8)
            t.exchange(beats[i : i + 1], 0)
            assert run.get("busy", "control__ready") == [1, 0], "ready in a sequence"
            for _ in range(60):
                run.set(control__parameter_write_enable=1 - run.get("control__ready"))
                run.set(control__clear=i % 2 * (1 - run.get("control__ready")))
                if run.get("control__ready"):
                    break
                run.tick()
            t.software.learn(x[i : i + 1], y[i : i + 1])
            t.software._start_again()
            t.exchange(beats[:0], 1)
            t.agrees()
        for name in ("control__parameter_write_enable", "control__clear"):
            run.set(control__parameter_address=63, **{name: 1})
            run.simulator.set("examples__valid", 1)
            assert not run.simulator.get("examples__ready"), "a sequence is accepted with an access"
            run.set(**{name: 0})
            assert run.simulator.get("examples__ready"), "a sequence is not accepted"
            run.simulator.set("examples__valid", 0)

    def a_reset(self, run: Run) -> None:
        """A reset at any time makes everything as it was at power-up."""
        rng = np.random.default_rng(15)
        x, y = sequences(self.spec, 40, 16, 0.4)
        beats = np.concatenate([x, y, np.full((len(x), 2), (0, 1), np.uint8)], axis=1)
        for _ in range(12):
            cycles = int(rng.integers(1, 90))
            run.simulator.exchange(Exchange("examples", "results", beats, 999, 999, cycles=cycles))
            run.simulator.set("examples__valid", 0)
            run.reset()
            assert run.get("busy", "control__ready") == [0, 1], "busy after a reset"
            assert not run.simulator.get("results__valid"), "a result after a reset"
            t = Trainer(run, self.spec)
            t.counts()
            t.agrees()
            t.work(*sequences(self.spec, 15, 17))
            run.reset()

    def all(self) -> list[Any]:
        return [
            self.training,
            self.a_sequence_at_a_time,
            self.slowly,
            self.states,
            self.octets,
            self.each_bit,
            self.settling,
            self.numbers_that_wrap,
            self.a_clear,
            self.accesses_that_come_early,
            self.a_reset,
        ]


class TrainerBench(Bench):
    """A trainer with faults, whose counts can be overwritten."""

    def __init__(self, faulty: Faulty) -> None:
        super().__init__(faulty, streams=("examples", "results"))
        names = ("control.example_count", "control.error_count")
        self.registers = {name: faulty.intact[name] for name in names}


def designs() -> list[Design]:
    return [Design("machine trainer", partial(MachineTrainer, SPEC), Scenarios(SPEC).all(), bench=TrainerBench)]
