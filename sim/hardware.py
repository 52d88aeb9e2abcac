"""Training in simulated hardware: a trainer's streams driven cycle by cycle, checked bit by bit.

Reading and comparing the state takes no simulated time, so that checking costs no cycles: the next example is offered
in the next cycle.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from amaranth.hdl import Shape  # type: ignore[import-untyped]
from numpy.typing import NDArray

from rdahw.errors import InternalError, UserError
from rdahw.family import Spec
from rdahw.hdl.trainer import Trainer
from rdahw.hdl.trainer_factory import make_trainer
from rdahw.primitives import Array
from rdahw.sim.cycle_counts import CycleCounts
from rdahw.sim.engines import make_engine
from rdahw.sim.reference import Reference
from rdahw.sim.simulator import Exchange, Log, Simulator, make_simulator
from rdahw.state import State
from rdahw.training import Batches, Engine, Examples, Outcome

__all__ = ["HardwareEngine", "Mismatch"]

#: In a checked run in Amaranth's simulator, predictions of more cycles, which take minutes, are made by the software.
_MOST_PREDICTED = 20_000
#: How many examples are trained at a time, by trainers whose state is compared after each chunk.
_CHUNK, _SLOW_CHUNK = 4096, 64


class Mismatch(UserError):
    """Hardware and software differ in a bit (exit code 1)."""


class _Prepared(NamedTuple):
    """Examples, their labels on the trainer's wires, and the examples prepared by the software."""

    examples: Examples
    y: Array
    software: Any


class _Made:
    """A trainer in a simulator, and its state."""

    def __init__(
        self, trainer: Trainer, engine: str, *, netlist: str | None, vcd: Path | None, log: Log | None
    ) -> None:
        self.trainer, self.encode = trainer, trainer.encoder
        # Synthesis does not keep the names of registers, so a netlist is read and written through its ports.
        self._places = trainer.interface.places if netlist else trainer.registers
        self._by_ports = netlist is not None
        parts = {} if netlist else {p.field.name: p.at if isinstance(p.at, tuple) else (p.at,) for p in self._places}
        registers = {_part(name, i): part for name, its in parts.items() for i, part in enumerate(its)}
        #: The registers and memories of each field, and their bits.
        self._parts = {name: [(_part(name, i), _bits(p)) for i, p in enumerate(its)] for name, its in parts.items()}
        self.simulator: Simulator = make_simulator(
            trainer, engine, registers=registers, netlist=netlist, vcd=vcd, log=log
        )
        self._is_busy = "busy" in trainer.signature.members
        self.settle()  # so that memories are cleared before they are set

    def settle(self) -> None:
        """Let time pass until no write to the state is pending."""
        while self._is_busy and self.simulator.get("busy"):
            self.simulator.tick()

    def read(self) -> dict[str, NDArray[Any]]:
        """The state."""
        if not self._by_ports:
            return {p.field.name: p.value(self._peek(p.field.name)) for p in self._places}
        return {p.field.name: p.unpack(bytes(map(self._octet, range(p.at, p.at + p.size)))) for p in self._places}

    def write(self, state: State) -> None:
        """Set the state."""
        for place in self._places:
            value = state[place.field.name]
            if self._by_ports:
                for address, octet in enumerate(place.pack(value), place.at):
                    self._put(address, octet)
            else:
                number = place.number(value)
                for part, bits in self._parts[place.field.name]:
                    self.simulator.poke(part, number & (1 << bits) - 1)
                    number >>= bits

    def _peek(self, field: str) -> int:
        """The number in the registers and memories of a field, the first one lowest."""
        number = 0
        for part, bits in reversed(self._parts[field]):
            number = number << bits | self.simulator.peek(part)
        return number

    def _octet(self, address: int) -> int:
        """Read a byte through ``control``, in one cycle."""
        self.simulator.set("control__parameter_address", address)
        self.simulator.tick()
        return self.simulator.get("control__parameter_read")

    def _put(self, address: int, octet: int) -> None:
        """Write a byte through ``control``."""
        self.simulator.set("control__parameter_address", address)
        self.simulator.set("control__parameter_write", octet)
        self.simulator.set("control__parameter_write_enable", 1)
        self.simulator.tick()
        self.simulator.set("control__parameter_write_enable", 0)
        self.settle()


def _part(field: str, number: int) -> str:
    """The name of a register or memory of a field."""
    return f"{field}{number}" if number else field


def _bits(register: Any) -> int:
    """The bits of a signal or a memory."""
    depth = getattr(register, "depth", None)
    return len(register) if depth is None else depth * Shape.cast(register.shape).width


class HardwareEngine:
    """A model run by its trainer in a cycle-accurate simulator; an engine of :class:`rdahw.training.Training`.

    engine: ``"amaranth"``, ``"cxxrtl"`` or ``"verilator"``; see :func:`rdahw.sim.simulator.choose_engine`.
    stages: of the trainer. batch: whether updates may have more than one example.
    check: compare every output, every decision to update and the state with the software, and raise :class:`Mismatch`
        at the first difference. The state is compared after each update or, if each result says whether there was an
        update, after each call of :meth:`train`.
    netlist: run the trainer's netlist after synthesis for this family; see
        :func:`rdahw.sim.simulator.make_simulator`.
    memory_kind: of the trainer, see :func:`rdahw.hdl.trainer_factory.make_trainer`.
    vcd: write the waveforms to this file.
    log: called with a line before compiling.

    The state is read through the simulator, in no simulated time; that of a netlist through ``control``. Predictions
    are made by a second copy of the hardware, so that they do not affect the training; its cycles are not counted.

    Attributes: ``trainer``, ``simulator``; ``updates`` and ``examples``, the numbers trained so far, may be set to
    continue an earlier training. ``cycles``: of this run, from the first beat offered to the end of the last update.

    Raises :class:`rdahw.UsageError` for options that the model's trainer does not have.
    """

    def __init__(
        self,
        spec: Spec,
        engine: str = "amaranth",
        *,
        stages: int | None = None,
        batch: bool = False,
        check: bool = False,
        netlist: str | None = None,
        memory_kind: str = "block",
        vcd: Path | None = None,
        log: Log | None = None,
    ) -> None:
        self.spec, self.name = spec, engine
        options: dict[str, Any] = {"stages": stages, "batch": batch, "memory_kind": memory_kind}

        def make(vcd: Path | None = None) -> _Made:
            return _Made(make_trainer(spec, **options), engine, netlist=netlist, vcd=vcd, log=log)

        self._make, self._made = make, make(vcd)
        self.trainer, self.simulator = self._made.trainer, self._made.simulator
        self._copy: _Made | None = None
        self._software: Engine | None = make_engine(spec) if check else None
        self._predictor: Reference | None = None
        # How many cycles after an example its update is done; None: when its result is given.
        self._latency = None if netlist else self.trainer.latency
        # Several updates are compared at once if their results say all that there is to compare.
        self._at_once = self._made.encode.says_updates
        self._learner = None if self._at_once else spec.learner()
        self._looks_ahead = not self._at_once and netlist is None
        self.chunk = None if not self._at_once else _SLOW_CHUNK if engine == "amaranth" else _CHUNK
        self.updates = self.examples = 0
        # The cycles in which beats of the next update were taken.
        self._taken: list[int] = []
        # Results given for unfinished updates, and the number of results that were read before they were given.
        self._results: list[Array] = []
        self._given: list[int] = []
        self._seen = 0
        #: The cycles at whose end the first and the last example were taken, and the number of examples taken.
        self._first = self._last = 0
        self._counted = 0
        self._start = self.simulator.cycles
        self.cycles = 0
        self.cycle_counts = CycleCounts()

    # -- figures -------------------------------------------------------------------------------------------------------

    @property
    def cycles_per_example(self) -> float:
        """Mean clock cycles from one example to the next; for a single example, all cycles."""
        if self._counted > 1 and not self._at_once:
            return (self._last - self._first) / (self._counted - 1)
        return self.cycles / max(1, self._counted)

    @property
    def startup_cycles(self) -> int:
        """Clock cycles needed once: before the first example was taken, and after the last one until its update.

        ``cycles`` is their sum with 1 for the first example and ``cycles_per_example`` for each later one.
        """
        return self._first + self.cycles - 1 - self._last if self._counted > 1 else 0

    def figures(self) -> dict[str, Any]:
        """The figures of a completed run, as JSON; it is bit-exact, as a difference ends the run."""
        figures = {
            "engine": self.name,
            "cycles": self.cycles,
            "cycles_per_example": _number(self.cycles_per_example) if self._counted else None,
            "bit_exact": True,
        }
        if self._at_once:
            counts = self.cycle_counts
            return figures | {
                "cycles_without_update": counts.without_update.to_json(),
                "cycles_with_update": counts.with_update.to_json(),
            }
        return figures | {"stages": getattr(self.trainer, "stages", 1), "startup_cycles": self.startup_cycles}

    @property
    def summary(self) -> str:
        """The cycles in a short text."""
        if not self._at_once:
            each = _number(self.cycles_per_example)
            return f"{self.cycles} cycles, {each} an example and {self.startup_cycles} once"
        kinds = (("without", self.cycle_counts.without_update), ("with", self.cycle_counts.with_update))
        described = ", ".join(f"{cycles} {kind} an update" for kind, cycles in kinds if cycles.count)
        return f"{self.cycles} cycles, {described or 'none an example'}"

    # -- the engine ----------------------------------------------------------------------------------------------------

    @property
    def state(self) -> dict[str, NDArray[Any]]:
        """A copy of the state of the simulated hardware."""
        return self._made.read()

    @state.setter
    def state(self, value: State) -> None:
        if self._taken:
            # The trainer has prefetched an example of the next update; discard it.
            none = self._made.encode.none()
            self._pass(none, cycles=None if self._latency is None else self._latency + 1, give=1)
            self._taken, self._results, self._given, self._seen = [], [], [], 0
        self._made.write(value)
        if self._software is not None:
            self._software.state = value

    def prepare(self, examples: Examples) -> _Prepared:
        """The examples, with labels on the trainer's wires."""
        if examples.x.shape[1:] != (self.spec.input_bits,):
            raise UserError(f"inputs of shape {examples.x.shape} were given; expected (N, {self.spec.input_bits})")
        software = None if self._software is None else self._software.prepare(examples)
        return _Prepared(examples, self.trainer.interface.encode(examples.labels), software)

    def train(self, prepared: _Prepared, batches: Batches) -> Outcome:
        """Apply update after update; raises :class:`Mismatch`."""
        rows, ends = batches.rows, batches.ends
        ends = ends[:1] if batches.until_change and self._at_once else ends
        outcomes, start = [], 0
        # The last update of each part.
        parts = [len(ends)] if self._at_once else range(1, len(ends) + 1)
        before = self.state if batches.until_change else None
        done = 0
        for end in parts:
            its, stop = ends[done:end] - start, int(ends[end - 1])
            part = Batches(rows[start:stop], its, batches.epoch)
            following = rows[stop : batches.ends[end]] if end < len(batches.ends) else batches.following
            outcomes.append(self._learn(prepared, part, following))
            start, done = stop, end
            if before is not None and any((before[k] != v).any() for k, v in self.state.items()):
                break
        wrong = np.concatenate([outcome.wrong for outcome in outcomes])
        changed = [outcome.changed for outcome in outcomes if outcome.changed is not None]
        predicted = [outcome.predicted for outcome in outcomes if outcome.predicted is not None]
        return Outcome(wrong, np.concatenate(changed) if changed else None, np.concatenate(predicted))

    def predict(self, prepared: _Prepared) -> NDArray[np.int64]:
        """The classes (N,) with the current parameters; raises :class:`Mismatch`."""
        count, software = len(prepared.y), self._software
        expected: NDArray[np.int64] | None = None
        if software is not None:
            software.state = self.state
            expected = software.predict(prepared.software)
            if self.name == "amaranth" and count * self.trainer.cycles(updated=False) > _MOST_PREDICTED:
                return expected
        if self._copy is None:
            self._copy = self._make()
        made = self._copy
        made.write(self.state)
        beats = made.encode(np.asarray(prepared.examples.x), prepared.y, learn=False)
        transfers = made.simulator.exchange(Exchange("examples", "results", beats, len(beats), count))
        made.settle()
        found = self.trainer.interface.decode(made.encode.prediction(transfers.results))
        if expected is None or np.array_equal(found, expected):
            return found
        i = int(np.flatnonzero(found != expected)[0])
        raise Mismatch(
            f"hardware and software differ after {self.examples} examples: the class predicted for test example "
            f"{i + 1} is {found[i]}, expected {expected[i]}"
        )

    def close(self) -> None:
        """Free the simulators and finish the VCD file."""
        self.simulator.close()
        if self._copy is not None:
            self._copy.simulator.close()

    # -- updates -------------------------------------------------------------------------------------------------------

    def _learn(self, prepared: _Prepared, batches: Batches, following: NDArray[np.int64]) -> Outcome:
        """Apply one update, or several that are compared at once."""
        rows, encode = batches.rows, self._made.encode
        x, y = self._examples(prepared, rows, batches.epoch)
        if self._learner is not None:
            self._learner.check_batch(len(rows))
        last = np.zeros(len(rows), np.uint8)
        last[batches.ends - 1] = 1
        beats, after = encode(x, y, last=last), encode.none()
        if self._looks_ahead:
            its = prepared.examples.x[following]
            moved, labels = self._examples(prepared, following, batches.epoch)
            if moved is its or np.array_equal(moved, its):  # else it may move differently in the next epoch
                after = encode(moved, labels)
        self._exchange(beats, after, len(rows))
        results = self._take_results(len(rows))
        outputs = encode.prediction(results)
        starts = np.r_[0, batches.ends[:-1]]
        updated = np.add.reduceat(encode.updated(results).astype(np.int64), starts) if self._at_once else None
        self.examples += len(rows)
        self.updates += len(batches.ends)
        if self._software is not None:
            self._compare(prepared, batches, x, outputs, updated)
        wrong = np.add.reduceat((outputs != y).any(axis=1).astype(np.int64), starts)
        return Outcome(wrong, updated, self.trainer.interface.decode(outputs))

    def _examples(self, prepared: _Prepared, rows: NDArray[np.int64], epoch: int) -> tuple[Array, Array]:
        examples = prepared.examples
        return self.spec.augment(examples.x[rows], rows, epoch, len(examples)), prepared.y[rows]

    def _exchange(self, beats: Array, following: Array, examples: int) -> None:
        """Send the beats of some updates and run until these are done, with the following beats on offer."""
        offered = np.concatenate([beats, following])
        taken, self._taken = self._taken, []
        if len(taken) < len(beats):
            taken += self._pass(offered[len(taken) :], take=len(beats) - len(taken))
        if self._latency is None:
            taken += self._pass(offered[len(taken) :], give=examples - len(self._results))
        elif (wait := taken[len(beats) - 1] + self._latency - self.simulator.cycles) > 0:
            taken += self._pass(offered[len(taken) :], cycles=wait)
        self._taken = taken[len(beats) :]
        self._made.settle()
        if not self._counted:
            self._first = taken[len(beats) // examples - 1]
        self._last = taken[len(beats) - 1]
        self._counted += examples
        self.cycles = self.simulator.cycles - self._start

    def _pass(self, beats: Array, *, cycles: int | None = None, take: int = 0, give: int = 0) -> list[int]:
        """Let ``cycles`` pass, or run until ``take`` beats are taken and ``give`` results given; returns the cycles in
        which beats were taken."""
        if cycles is not None:
            take, give = len(beats) + 1, 0
        made = self.simulator.exchange(Exchange("examples", "results", beats, take, give, cycles=cycles))
        self._results += list(made.results)
        self._given += made.given.tolist()
        dropped = min(self._seen, len(self._results))
        self._results, self._given = self._results[dropped:], self._given[dropped:]
        self._seen -= dropped
        return [int(cycle) for cycle in made.taken]

    def _take_results(self, examples: int) -> Array:
        """The results of the last updates; the last one may not have been given yet."""
        encode = self._made.encode
        results, self._results = self._results[:examples], self._results[examples:]
        given, self._given = self._given[:examples], self._given[examples:]
        if len(results) < examples and self.simulator.get("results__valid"):
            # It is valid, and will be given at the next clock edge.
            number = self.simulator.get("results__payload")
            packed = np.frombuffer(number.to_bytes((encode.result_width + 7) // 8, "little"), np.uint8)
            results.append(np.unpackbits(packed, count=encode.result_width, bitorder="little"))
            self._seen += 1
        if len(results) != examples:
            raise InternalError(f"{examples} examples gave {len(results)} results by cycle {self.simulator.cycles}")
        made = np.array(results)
        if self._at_once:
            self.cycle_counts.add(np.array(given), encode.updated(made) == 1)
        return made

    # -- comparing -----------------------------------------------------------------------------------------------------

    def _compare(
        self, prepared: _Prepared, batches: Batches, x: Array, outputs: Array, updated: NDArray[np.int64] | None
    ) -> None:
        """Raise :class:`Mismatch` at the first difference between hardware and software."""
        software, first = self._software, self.examples - len(x) + 1
        assert software is not None
        expected = None if self._at_once else self._outputs(software.state, x)
        outcome = software.train(prepared.software, batches)
        if expected is None:
            assert outcome.predicted is not None
            expected = self.trainer.interface.encode(outcome.predicted)
        for i, bit in np.argwhere(outputs != expected)[:1]:
            raise self._mismatch(first + i, f"output bit {bit}", outputs[i, bit], expected[i, bit])
        if updated is not None and outcome.changed is not None:
            for i in np.flatnonzero(updated != outcome.changed)[:1]:
                at = first + np.r_[0, batches.ends][i]
                raise self._mismatch(at, "the update decision", updated[i], outcome.changed[i])
        found, right = self.state, software.state
        for field in self.spec.fields:
            for element in np.argwhere(found[field.name] != right[field.name])[:1]:
                at = tuple(map(int, element))
                name = f"{field.name}[{', '.join(map(str, at))}]"
                raise self._mismatch(self.examples, name, found[field.name][at], right[field.name][at])

    def _outputs(self, state: State, x: Array) -> Array:
        """The outputs of the predictor circuit, in bits."""
        if self._predictor is None:
            assert self._learner is not None
            self._predictor = Reference(self._learner.model.predictor)
        outputs = self._predictor(self.spec.theta(state), x)[0]
        return np.broadcast_to(outputs, (len(x), outputs.shape[-1]))

    def _mismatch(self, example: int, what: str, found: Any, expected: Any) -> Mismatch:
        return Mismatch(
            f"hardware and software differ at example {example} (update {self.updates}), cycle {self.cycles}: {what} "
            f"is {found}, expected {expected}"
        )


def _number(value: float) -> float:
    """Rounded, and a whole number as int, so that JSON says 1 and not 1.0."""
    value = round(value, 6)
    return int(value) if value == int(value) else value
