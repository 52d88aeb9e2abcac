"""An ensemble run by its trainer in simulated hardware, cycle by cycle, and checked bit by bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdahw.GONE import check_counters
from rdahw.data.images import shift_images
from rdahw.families.ensemble.rule import Counters, Learned
from rdahw.families.ensemble.spec import EnsembleSpec
from rdahw.errors import UserError
from rdahw.hdl.example_buffer import LABEL_BITS
from rdahw.hdl.memory_trainer import MemoryTrainer
from rdahw.hdl.table_words import STATE_OCTETS, counters_of_words, words_of_counters
from rdahw.primitives import Array
from rdahw.sim.cycle_counts import CycleCounts
from rdahw.sim.hardware import Mismatch
from rdahw.sim.simulator import Exchange, Log, Transfers, make_simulator

__all__ = ["HardwareEnsemble"]

#: How many examples go into one exchange: their bits are spread out for it.
_CHUNK = 4096


class HardwareEnsemble:
    """An ensemble run by a :class:`rdahw.hdl.memory_trainer.MemoryTrainer` in a cycle-accurate simulator; an engine of
    :class:`rdahw.ensemble.EnsembleTraining`.

    engine: ``"amaranth"``, ``"cxxrtl"`` or ``"verilator"``; see :func:`rdahw.sim.simulator.choose_engine`.
    check: compare every prediction and every update decision, and after each training call all counters and the
        dropout's shift register, with the compiled software, and raise :class:`rdahw.sim.hardware.Mismatch` where they
        part.
    netlist: run what synthesis for this family makes of the trainer; see :func:`rdahw.sim.simulator.make_simulator`.
    memory_kind: of the tables, for a netlist.
    vcd: write the waveforms there.
    log: called with a line before something is compiled.

    Counters are read and set through the simulator, in no time; those of a netlist through ``control``. Predictions
    are made by the same hardware between two calls of :meth:`train`; they change nothing but ``simulator.cycles``.
    Scores, which the hardware keeps to itself, are those of the software with the hardware's counters.

    Attributes: ``trainer``, ``simulator``; ``examples`` that were learned from, in how many ``cycles``, from the
    first byte offered to the last table written; ``given``: in which cycle each result of the last call came;
    ``cycle_counts``: of all examples that were learned from.
    """

    def __init__(
        self,
        spec: EnsembleSpec,
        engine: str = "cxxrtl",
        *,
        check: bool = False,
        netlist: str | None = None,
        memory_kind: str = "block",
        vcd: Path | None = None,
        log: Log | None = None,
    ) -> None:
        self.name = engine
        self.spec = spec
        self.trainer = MemoryTrainer(spec, memory_kind)
        # Synthesis keeps the names of no registers, so there all is read and written through the ports.
        self._by_ports = netlist is not None
        registers = {} if self._by_ports else {"tables": self.trainer.tables, "state": self.trainer.dropout_state}
        self.simulator = make_simulator(self.trainer, engine, registers=registers, netlist=netlist, vcd=vcd, log=log)
        self.examples = self.cycles = 0
        self.given: NDArray[np.int64] = np.zeros(0, np.int64)
        self.cycle_counts = CycleCounts()
        self._software = _software(spec) if check else None
        self._result = self.trainer.results.payload.shape()
        self.settle()  # so that clearing the tables does not come after they were set

    @property
    def counters(self) -> Counters:
        """A copy of the counters, (tables, 2^inputs, classes), as they are in the simulated hardware."""
        count, width = self.spec.tables << self.spec.inputs, self.trainer.table_octets
        if self._by_ports:
            raw = b"".join(self.read(word * self.trainer.word_octets, width) for word in range(count))
        else:
            raw = self.simulator.peek("tables").to_bytes(count * width, "little")
        words = np.frombuffer(raw, np.uint8).reshape(count, width)
        return counters_of_words(self.spec, words, inverted=not self._by_ports)

    @counters.setter
    def counters(self, value: Counters) -> None:
        words = words_of_counters(self.spec, check_counters(self.spec, value), inverted=not self._by_ports)
        if self._by_ports:
            for number, word in enumerate(words):
                self.write(number * self.trainer.word_octets, word.tobytes())
        else:
            self.simulator.poke("tables", int.from_bytes(words.tobytes(), "little"))
        if self._software is not None:
            self._software.counters = value

    @property
    def dropout_state(self) -> int:
        """The shift register of the dropout, 63 bits."""
        if self._by_ports:
            return int.from_bytes(self.read(self.trainer.settings_address, STATE_OCTETS), "little")
        return self.simulator.peek("state")

    @dropout_state.setter
    def dropout_state(self, value: int) -> None:
        if self._by_ports:
            self.write(self.trainer.settings_address, value.to_bytes(STATE_OCTETS, "little"))
        else:
            self.simulator.poke("state", value)
        if self._software is not None:
            self._software.dropout_state = value

    def pack(self, x: Array) -> Array:
        """Examples x (N, A), 0 and 1, as bytes (N, bytes), wire 0 first."""
        x = np.asarray(x, np.uint8)
        if x.ndim != 2 or x.shape[1] != self.spec.input_bits:
            raise UserError(f"inputs of shape {x.shape} were given; expected (N, {self.spec.input_bits})")
        return np.packbits(x, axis=1, bitorder="little")

    def train(
        self, x: Array, labels: NDArray[np.int64], rows: NDArray[np.int64], shifts: NDArray[np.int64] | None = None
    ) -> Outcome:
        """Train on the examples ``rows`` (n,) of the packed ``x`` and ``labels`` (N,), one after another, each moved by
        ``shifts`` (n, 2). Raises :class:`rdahw.sim.hardware.Mismatch`, see above."""
        start = self.simulator.cycles
        packed = x[rows] if shifts is None else self._moved(x[rows], shifts)
        made = self._run(packed, labels[rows], learn=True)
        self.settle()
        self.cycles += self.simulator.cycles - start
        self.given = made.given
        outcome = Outcome(self._field(made, "prediction").astype(np.int16), self._field(made, "updated") == 1)
        if self._software is not None:
            self._compare(self._software, outcome, packed, labels[rows])
        self.cycle_counts.add(made.given, outcome.updated)
        self.examples += len(rows)
        return outcome

    def scores(self, x: Array) -> NDArray[np.int32]:
        """The scores (N, classes) of packed examples, by the software with the counters of the hardware."""
        software = _software(self.spec)
        software.counters = self.counters
        return np.asarray(software.scores(software.pack(self._unpacked(x))), np.int32)

    def predict(self, x: Array) -> NDArray[np.int16]:
        """The classes (N,) of packed examples. Raises :class:`rdahw.sim.hardware.Mismatch`, see above."""
        made = self._run(x, np.zeros(len(x), np.int64), learn=False)
        self.settle()
        found = self._field(made, "prediction").astype(np.int16)
        if self._software is not None:
            expected = self._software.predict(self._software.pack(self._unpacked(x)))
            for i in np.flatnonzero(found != expected)[:1]:
                raise Mismatch(
                    f"hardware and software part after {self.examples} examples: the prediction of test example "
                    f"{i + 1} is {found[i]}, expected {expected[i]}"
                )
        return found

    def read(self, address: int, count: int) -> bytes:
        """``count`` bytes of the parameters, through ``control``; a cycle for each."""
        octets = []
        for at in range(address, address + count):
            self.simulator.set("control__parameter_address", at)
            self.simulator.tick()
            octets.append(self.simulator.get("control__parameter_read"))
        return bytes(octets)

    def write(self, address: int, octets: bytes) -> None:
        """Write bytes of the parameters through ``control``."""
        for at, octet in enumerate(octets, address):
            self.simulator.set("control__parameter_address", at)
            self.simulator.set("control__parameter_write", octet)
            self.simulator.set("control__parameter_write_enable", 1)
            self.simulator.tick()
            self.simulator.set("control__parameter_write_enable", 0)
            self.settle()

    def settle(self) -> None:
        """Let time pass until nothing is on its way to the tables."""
        while self.simulator.get("busy"):
            self.simulator.tick()

    def close(self) -> None:
        """Let go of the simulator and finish the VCD file."""
        self.simulator.close()

    # -- one call ------------------------------------------------------------------------------------------------------

    def _run(self, packed: Array, labels: NDArray[np.int64], *, learn: bool) -> Transfers:
        """Send examples and take their results."""
        last = (labels | int(learn) << LABEL_BITS).astype(np.uint8)
        given, results = [], []
        for start in range(0, len(packed), _CHUNK):
            chunk = slice(start, start + _CHUNK)
            octets = np.column_stack([packed[chunk], last[chunk]])
            beats = np.unpackbits(octets.reshape(-1, 1), axis=1, bitorder="little")
            made = self.simulator.exchange(Exchange("examples", "results", beats, len(beats), len(octets)))
            given.append(made.given)
            results.append(made.results)
        none = np.zeros(0, np.int64)
        width = np.zeros((0, self._result.size), np.uint8)
        return Transfers(none, np.concatenate([none, *given]), np.concatenate([width, *results]))

    def _field(self, made: Transfers, name: str) -> NDArray[np.int64]:
        field = self._result[name]
        bits = made.results[:, field.offset : field.offset + field.width].astype(np.int64)
        return np.asarray((bits << np.arange(field.width)).sum(axis=1), np.int64)

    def _unpacked(self, x: Array) -> Array:
        return np.unpackbits(x, axis=1, count=self.spec.input_bits, bitorder="little")

    def _moved(self, packed: Array, shifts: NDArray[np.int64]) -> Array:
        """Packed examples, each moved as the data that come to the hardware must be."""
        assert self.spec.image is not None
        x = self._unpacked(packed)
        for dy, dx in np.unique(shifts, axis=0):
            these = np.flatnonzero((shifts == (dy, dx)).all(axis=1))
            x[these] = shift_images(x[these], self.spec.image, int(dy), int(dx))
        return self.pack(x)

    def _compare(self, software: Any, outcome: Outcome, packed: Array, labels: NDArray[np.int64]) -> None:
        """Raise :class:`Mismatch` at the first thing in which the hardware differs from the software."""
        expected = software.train(software.pack(self._unpacked(packed)), labels, np.arange(len(labels)))
        for kind, found, wanted in zip(("prediction", "update decision"), outcome, expected, strict=True):
            wrong = np.flatnonzero(found != wanted)
            if len(wrong):
                i = int(wrong[0])
                raise Mismatch(
                    f"hardware and software part at example {self.examples + i + 1}: the {kind} is {int(found[i])}, "
                    f"expected {int(wanted[i])}"
                )
        counters, correct = self.counters, software.counters
        differing = np.argwhere(counters != correct)
        after = f"hardware and software part by example {self.examples + len(labels)}"
        if len(differing):
            table, index, label = map(int, differing[0])
            raise Mismatch(
                f"{after}: the counter of table {table}, index {index}, class {label} is "
                f"{counters[table, index, label]}, expected {correct[table, index, label]}"
            )
        if self.dropout_state != software.dropout_state:
            raise Mismatch(
                f"{after}: the dropout's shift register is {self.dropout_state:#x}, "
                f"expected {software.dropout_state:#x}"
            )


def _software(spec: EnsembleSpec) -> Any:
    from rdahw.sim.ensemble import CompiledEnsemble

    return CompiledEnsemble(spec)
