"""The trainer of a machine with shadow machines (:mod:`rdahw.families.machine.shadow`) in memory: a shadow machine a
clock cycle.

The state and the evidence of each shadow machine are words of memories, and so are the tables, a word for each index.
A symbol is read by the machine, and then by one shadow machine after the other: while one reads its state, the one
before reads its cell of the tables, and the one before that is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
from amaranth.hdl import Cat, Const, Module, Mux, Signal  # type: ignore[import-untyped]
from amaranth.lib import memory  # type: ignore[import-untyped]
from numpy.typing import NDArray

from rdahw.families.machine.rule import ENOUGH
from rdahw.families.machine.spec import SETTLED, MachineSpec, bits_of
from rdahw.hdl.block_memory import block_memory
from rdahw.hdl.circuit import Value
from rdahw.hdl.interface import Interface, Place
from rdahw.hdl.machine_interface import (
    AROUND,
    PREDICTING,
    counters_of,
    memory_cycles,
    memory_interface,
    settings_address,
    words_of,
)
from rdahw.hdl.machine_trainer import MachineTrainer
from rdahw.hdl.trainer import count

__all__ = ["MachineMemoryTrainer"]


class MachineMemoryTrainer(MachineTrainer):
    """The machine ``spec`` with P shadow machines in memory, bit for bit as :mod:`rdahw.families.machine.shadow`.

    Members: those of a :class:`rdahw.hdl.machine_trainer.MachineTrainer`, with the state behind ``control`` by
    :func:`rdahw.hdl.machine_interface.memory_interface`. After power-up and after a reset the state is that at the
    start of a training; that and ``clear`` take P + 1 cycles.

    A symbol takes P + 1 cycles, one that is only predicted three, and a sequence four more; a flip takes P + 3, and a
    start P + 1.
    """

    in_registers = ("run", "noise")

    def __init__(self, spec: MachineSpec) -> None:
        super().__init__(spec)
        first = bits_of(spec.initial_state()["counters"]).reshape(spec.states + 1, spec.size)
        rows = [int(row) for row in (1 << np.arange(len(first))) @ first.astype(np.int64)]
        #: The evidence and the state of each shadow machine, the tables, and those at the start of a training.
        self.evidence = memory.MemoryData(shape=spec.counter - 1, depth=spec.count, init=[])
        self.states = memory.MemoryData(shape=spec.states, depth=spec.count, init=[])
        self.tables = memory.MemoryData(shape=spec.states + 1, depth=spec.size, init=[])
        self.first = memory.MemoryData(shape=spec.states + 1, depth=spec.size, init=rows)
        #: The state of the machine.
        self.own = Signal(spec.states)

    @cached_property
    def interface(self) -> Interface:
        """Its interface to the host link, hosts and simulators."""
        return memory_interface(self.spec)

    @property
    def registers(self) -> tuple[Place, ...]:
        """All fields of the state."""
        spec = self.spec
        tables, bits = spec.states + 1, 1 << np.arange(spec.counter)

        def pack(counters: NDArray[Any]) -> bytes:
            words = words_of(spec, counters)[:, None] & bits != 0
            rows = words[:, -1].reshape(tables, -1).T
            return np.packbits(np.concatenate([words[:, :-1].ravel(), rows.ravel()]), bitorder="little").tobytes()

        def unpack(packed: bytes) -> NDArray[Any]:
            whole = np.unpackbits(np.frombuffer(packed, np.uint8), count=spec.parameters.bits, bitorder="little")
            evidence, rows = np.split(whole, [-spec.count])
            words = np.column_stack([evidence.reshape(spec.count, -1), rows.reshape(-1, tables).T.ravel()])
            return counters_of(spec, words @ bits)

        counters, run, noise, *now = spec.fields
        return (
            Place(counters, (self.evidence, self.tables), (counters.bits + 7) // 8, pack, unpack),
            *(Place.packed(field, self.fields[field.name]) for field in (run, noise)),
            *(Place.packed(field, (self.own, self.states)) for field in now),
        )

    def cycles(self, updated: bool = True) -> int:
        """See :meth:`rdahw.hdl.trainer.Trainer.cycles`."""
        return memory_cycles(self.spec, updated)

    @property
    def usual_cycles(self) -> Mapping[str, int]:
        """See :meth:`rdahw.hdl.trainer.Trainer.usual_cycles`; flips are rare."""
        return {"training_examples": self.cycles(False), "predictions": self.spec.steps * PREDICTING + AROUND}

    def elaborate(self, platform: object) -> Module:
        m = Module()
        w = _Shared(m, self)
        self._symbol(m, w)
        self._shadow(m, w)
        self._count_sequence(m, w)
        self._fill(m, w)
        self._serve(m, w)
        return m

    def _symbol(self, m: Module, w: _Shared) -> None:
        """Take a sequence, and read symbol after symbol by the machine and all shadow machines."""
        spec, example, result = self.spec, w.example, self.results.payload
        last, wrong, after, free = Signal(), Signal(), Signal(spec.steps), Signal()
        m.d.comb += [
            last.eq(w.left == 0),
            wrong.eq(w.wrong | w.missed),
            after.eq(Cat(example.x, w.label)[1:]),
            free.eq(~last | ~self.results.valid | self.results.ready),
            self.examples.ready.eq(w.idle & ~w.access),
            self.busy.eq(~w.idle),
        ]
        with m.If(self.results.ready):
            m.d.sync += self.results.valid.eq(0)
        with m.If(self.examples.valid & self.examples.ready):
            m.d.sync += [example.eq(self.examples.payload), w.left.eq(spec.steps - 1), w.wrong.eq(0)]
            m.d.sync += [w.idle.eq(0), w.reading.eq(1)]
        with m.If(w.reading):
            with m.If(w.at != Mux(example.learn, spec.count, PREDICTING - 1)):
                m.d.sync += w.at.eq(w.at + 1)
            with m.Elif(free):
                m.d.sync += [
                    w.at.eq(0),
                    example.x.eq(after),  # the labels take the place of the symbols
                    example.y.eq(example.y >> 1),
                    w.left.eq(w.left - 1),
                    w.wrong.eq(wrong),
                    w.reading.eq(~last),
                    w.ending.eq(last),
                ]
                with m.If(example.learn):
                    m.d.sync += w.fresh.eq(0)
                with m.If(last):
                    m.d.sync += [self.results.valid.eq(1), result.prediction.eq(after), result.correct.eq(~wrong)]
            # In the cycle after the last shadow machine of the symbol before was written.
            with m.If(w.at == 1):
                cell = w.cell
                with m.If(w.found):
                    m.d.sync += [w.at.eq(0), w.reading.eq(0), w.flipping.eq(1)]
                with m.Else():
                    m.d.sync += [w.label.eq(cell[-1]), w.missed.eq(cell[-1] ^ example.y[0])]
                    with m.If(~example.learn):
                        m.d.sync += w.probe.eq(cell[:-1])
                    with m.Else():
                        m.d.sync += self.own.eq(cell[:-1])

    def _shadow(self, m: Module, w: _Shared) -> None:
        """Steps 1 and 2 of the rule for a shadow machine. Comments name the stage."""
        spec, k, learn = self.spec, self.spec.states + 1, w.example.learn
        # 0: its state is read.
        issued = w.reading & learn & (w.at != spec.count) & ~w.stop
        m.d.comb += w.stop.eq(w.reading & (w.at == 1) & w.found)
        m.d.sync += [w.at1.eq(w.at), w.at2.eq(w.at1), w.named.eq(issued)]
        # 1: its cell and its evidence are read.
        index = Cat(Mux(w.fresh, 0, w.state), w.example.x[0])
        m.d.sync += [w.written.eq(w.named & ~w.stop), w.index.eq(index)]
        m.d.comb += w.read_index.eq(Mux(w.at == 0, Cat(Mux(learn, self.own, w.probe), w.example.x[0]), index))
        # 2: it is written.
        flipped = Mux(w.index == w.at2[:k], Const(1, k) << w.at2[k:], 0)
        cell, better, differs = Signal(k), Signal(), Signal()
        most = (1 << spec.counter - 1) - 1
        m.d.comb += [
            cell.eq(w.cell ^ flipped),
            differs.eq(w.written & w.counts & (cell[-1] ^ w.label)),
            better.eq(differs & w.missed),
            w.next_state.eq(cell[:-1]),
            w.moved.eq(Mux(w.missed, w.its_evidence + 1, Mux(w.its_evidence == 0, 0, w.its_evidence - 1))),
            w.moves.eq(differs),
        ]
        with m.If(better & (w.its_evidence == most) & ~w.found):
            m.d.sync += [w.found.eq(1), w.chosen.eq(w.at2), w.chosen_state.eq(cell[:-1])]

    def _count_sequence(self, m: Module, w: _Shared) -> None:
        """Count a sequence after its last symbol, and start again if it is time: steps 3 and 4 of the rule."""
        ended, learn = Signal(), w.example.learn
        with m.If(w.ending):
            m.d.sync += w.at.eq(w.at + 1)
            with m.If((w.at == 1) & w.found):
                m.d.sync += [w.at.eq(0), w.ending.eq(0), w.flipping.eq(1), w.over.eq(1)]
            with m.Elif(w.at == 1):
                m.d.comb += ended.eq(learn)
                with m.If(learn & (w.right != SETTLED)):
                    m.d.sync += [w.right.eq(Mux(w.wrong, 0, w.right + 1)), w.since.eq(w.since + 1)]
                    m.d.sync += w.sequences.eq(w.sequences + 1)
            with m.If(w.at == 2):
                m.d.sync += [w.at.eq(0), w.ending.eq(0), w.idle.eq(1), w.over.eq(0), w.probe.eq(0), w.fresh.eq(1)]
                if not self.spec.live:
                    m.d.sync += self.own.eq(0)
                else:
                    m.d.sync += w.fresh.eq(0)
                with m.If(learn & (w.since >= self.spec.restart) & (w.right < ENOUGH)):
                    m.d.sync += [w.right.eq(0), w.since.eq(0), w.restarts.eq(w.restarts + 1)]
                    m.d.sync += [w.idle.eq(0), w.starting.eq(1)]
        count(m, self.control, ended, w.wrong)

    def _fill(self, m: Module, w: _Shared) -> None:
        """Write all shadow machines: after a flip, at a start, or after a clear."""
        k, filling, noise = self.spec.states + 1, w.clearing | w.starting | w.flipping, self.fields["noise"]
        drawn = noise[0] ^ noise[31]
        m.d.sync += w.filled.eq(filling & (w.at != self.spec.count))
        with m.If(filling):
            m.d.sync += [w.at.eq(w.at + 1), self.own.eq(Mux(w.flipping, w.chosen_state, 0))]
            with m.If(w.at == self.spec.count):
                m.d.sync += [w.clearing.eq(0), w.starting.eq(0), w.flipping.eq(0), w.found.eq(0), w.at.eq(0)]
                m.d.sync += [w.idle.eq(~w.flipping), w.reading.eq(w.flipping & ~w.over)]
                m.d.sync += w.ending.eq(w.flipping & w.over)
        with m.If(w.filled & w.starting):
            m.d.sync += noise.eq(Cat(noise[1:], drawn))
        every = Const(~0, k)
        tables = w.tables_write
        with m.If(w.filled):
            m.d.comb += [tables.addr.eq(w.at1[:k]), tables.data.eq(Mux(w.starting, drawn.replicate(k), w.first))]
            m.d.comb += tables.en.eq(Mux(w.clearing, every, Mux(w.starting, Const(1, k) << w.at1[k:], 0)))
            with m.If(w.flipping):
                m.d.comb += [tables.addr.eq(w.chosen[:k]), tables.data.eq(~w.cell)]
                m.d.comb += tables.en.eq(Mux(w.at == 1, Const(1, k) << w.chosen[k:], 0))
        m.d.comb += [
            w.evidence_write.addr.eq(Mux(w.filled, w.at1, w.at2)),
            w.evidence_write.data.eq(Mux(w.filled, 0, w.moved)),
            w.evidence_write.en.eq(w.filled | w.moves),
            w.states_write.addr.eq(Mux(w.filled, w.at1, w.at2)),
            w.states_write.data.eq(Mux(w.filled, Mux(w.flipping, w.chosen_state, 0), w.next_state)),
            w.states_write.en.eq(w.filled | w.written),
            w.evidence_at.eq(w.at1),
            w.states_at.eq(w.at),
            w.tables_at.eq(Mux(w.flipping, w.chosen[:k], w.read_index)),
        ]

    def _serve(self, m: Module, w: _Shared) -> None:
        """Read, write and clear the state."""
        spec, control, k = self.spec, self.control, self.spec.states + 1
        bits = settings_address(spec).bit_length() - 1
        low, part = control.parameter_address[:bits], Signal(2)
        octet, run, noise = control.parameter_write, self.fields["run"], self.fields["noise"]
        m.d.comb += [control.ready.eq(w.idle), part.eq(control.parameter_address[bits:])]
        m.d.comb += w.access.eq(w.idle & (control.parameter_write_enable | control.clear))
        numbers, then, table = Signal(8), Signal(2), Signal(range(k))
        settings = Cat(run, noise, Const(0, 1))
        m.d.sync += [
            numbers.eq(Mux(low == (1 << bits) - 1, self.own, settings.word_select(low[:5], 8))),
            then.eq(part),
            table.eq(low[k:]),
        ]
        with m.Switch(then):
            with m.Case(0):
                m.d.comb += control.parameter_read.eq(Cat(w.its_evidence, w.cell.bit_select(table, 1)))
            with m.Case(1):
                m.d.comb += control.parameter_read.eq(numbers)
            with m.Default():
                m.d.comb += control.parameter_read.eq(w.state)
        with m.If(w.idle):
            m.d.comb += [w.evidence_at.eq(low), w.states_at.eq(low), w.tables_at.eq(low[:k])]
        with m.If(w.access):
            m.d.comb += [
                w.evidence_write.addr.eq(low),
                w.evidence_write.data.eq(octet),
                w.evidence_write.en.eq(part == 0),
                w.states_write.addr.eq(low),
                w.states_write.data.eq(octet),
                w.states_write.en.eq(part == 2),
                w.tables_write.addr.eq(low[:k]),
                w.tables_write.data.eq(octet[spec.counter - 1].replicate(k)),
                w.tables_write.en.eq(Mux(part == 0, Const(1, k) << low[k:], 0)),
            ]
            for number in range(24):
                register = (run if number < 16 else noise)[number % 16 * 8 :][:8]
                with m.If((part == 1) & (low == number)):
                    m.d.sync += register.eq(octet)
            with m.If((part == 1) & (low == (1 << bits) - 1)):
                m.d.sync += self.own.eq(octet)
            with m.If(control.clear):
                m.d.sync += [run.eq(run.init), noise.eq(noise.init), w.idle.eq(0), w.clearing.eq(1)]


class _Shared:
    """The signals that the methods of a :class:`MachineMemoryTrainer` share.

    clearing, idle, reading, ending, starting, flipping: exactly one is set. at: in all of them but ``idle``, the cycle,
    for shadow machines their number; at1, at2: a cycle and two cycles before. example, left, wrong: the sequence, the
    steps to come, and whether a label was wrong. label, missed: what the machine wrote for the symbol, and whether that
    is wrong. probe: the state of the machine in a sequence that is only predicted. fresh: shadow machines are in state
    0, whatever their words. named, written: one is in stage 1, in stage 2. index: of its cell; read_index: of the cell
    that is read. counts: evidence is counted. found, chosen, chosen_state: evidence has reached the level. stop: the
    symbol that was begun is read again after a flip. over: the flip is after the last symbol. filled: a shadow machine
    is written by a pass over all. access: a write or clear takes effect. state, its_evidence, cell, first: words of the
    memories that were read; _write: their write ports; _at: addresses to read.
    """

    def __init__(self, m: Module, trainer: MachineMemoryTrainer) -> None:
        spec = trainer.spec
        number = range(spec.count)
        self.clearing, self.idle = Signal(init=1), Signal()
        self.reading, self.ending, self.starting, self.flipping = Signal(), Signal(), Signal(), Signal()
        self.at, self.at1, self.at2 = Signal(range(spec.count + 1)), Signal(number), Signal(number)
        self.example = Signal.like(trainer.examples.payload, reset_less=True)
        self.left, self.wrong = Signal(range(spec.steps)), Signal()
        self.label, self.missed, self.fresh = Signal(), Signal(), Signal(init=not spec.live)
        self.probe, self.access = Signal(spec.states), Signal()
        self.named, self.written, self.stop = Signal(), Signal(), Signal()
        self.index, self.read_index = Signal(spec.states + 1), Signal(spec.states + 1)
        self.found, self.chosen, self.chosen_state = Signal(), Signal(number), Signal(spec.states)
        self.over, self.filled = Signal(), Signal()
        self.next_state, self.moved, self.moves = Signal(spec.states), Signal(spec.counter - 1), Signal()
        run = trainer.fields["run"]
        # The numbers without their signs; the first one is at most SETTLED.
        self.right = run[: SETTLED.bit_length()]
        self.since, self.restarts, self.sequences = (run[32 * i : 32 * i + 31] for i in (1, 2, 3))
        self.counts = self.example.learn & (self.right != SETTLED)
        self.evidence_at, self.states_at, self.tables_at = Signal(number), Signal(number), Signal(range(spec.size))
        self.its_evidence, self.evidence_write = block_memory(m, "evidence", trainer.evidence, self.evidence_at)
        self.state, self.states_write = block_memory(m, "states", trainer.states, self.states_at)
        self.cell, self.tables_write = block_memory(m, "tables", trainer.tables, self.tables_at, granularity=1)
        m.submodules.first = first = memory.Memory(trainer.first)
        read = first.read_port()
        m.d.comb += read.addr.eq(self.at[: spec.states + 1])
        self.first: Value = read.data
