"""The trainer of a network of layers with its counters in memory: a table a cycle.

Upwards a table's whole row of counters is read, which gives its bit, and for each input whether the bit depends on it.
That is kept, so that downwards, where a table takes the requests for its bit and passes them on, only the counter at
the addressed index is written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal  # type: ignore[import-untyped]
from amaranth.lib import memory, stream, wiring  # type: ignore[import-untyped]
from amaranth.lib.wiring import In, Out  # type: ignore[import-untyped]
from numpy.typing import NDArray

from rdahw.errors import UsageError
from rdahw.families.layers.spec import MAX_BATCH, LayersSpec, first_noise_state
from rdahw.hdl.block_memory import block_memory
from rdahw.hdl.circuit import Value
from rdahw.hdl.class_scores import ClassScores
from rdahw.hdl.example_buffer import WiredExamples, check_classes, wiring_words
from rdahw.hdl.interface import Interface, Place
from rdahw.hdl.layer_values import LayerValues
from rdahw.hdl.layer_words import (
    bank_sizes,
    counters_of_octets,
    kept_bits,
    layers_interface,
    octets_of_counters,
    request_bits,
    row_octets,
    settings_address,
    value_places,
    word_octets,
)
from rdahw.hdl.memory_trainer import OctetTrainer, ensemble_result_layout
from rdahw.hdl.table_access import access_parameters
from rdahw.hdl.table_memory import TableMemory
from rdahw.hdl.table_words import LABEL_BITS, SETTINGS_OCTETS, STATE_OCTETS
from rdahw.hdl.trainer import COUNTER_BITS, TrainerControl, count

__all__ = ["LayerTrainer"]

#: The cycles of a table's way up, or down, after the one in which it is named.
_STAGES = 4
#: The cycles in which the sums of a batch are applied to a word of counters.
_APPLYING = 5


class LayerTrainer(OctetTrainer):
    """The network ``spec`` with its counters in memory, bit for bit as :mod:`rdahw.families.layers.rule`.

    memory_kind: the kind of the :class:`rdahw.hdl.table_memory.TableMemory` of the counters. In block RAM a word is a
    row, the counters of a table, and a table takes a cycle; in ``spram`` a word has at most eight of them, and a table
    takes a cycle for each word on the way up. batch: with a sum of requests for each counter, for batches; a table
    then takes two cycles on the way down.

    Members:

    examples : In(stream of 8 bits): as those of a :class:`rdahw.hdl.memory_trainer.MemoryTrainer`; with ``batch`` the
        last byte has the class in bits 0 to 5, and in bit 6 that the example is the last of a batch.
    results : Out(stream of :func:`rdahw.hdl.memory_trainer.ensemble_result_layout`): one for each example, in order,
        valid before counters are updated; ``updated``: there were requests. While one waits to be taken, the next
        example is neither decided nor learned.
    control, update_count, busy: as those of a :class:`rdahw.hdl.memory_trainer.MemoryTrainer`. ``clear`` forgets the
        sums of an open batch too.

    The parameters in bytes: byte ``row_octets * j + index`` is the counter of table j at this index, see
    :mod:`rdahw.hdl.layer_words`. From byte ``settings_address`` on: 8 bytes, the state of the noise's shift register as
    in :mod:`rdahw.families.layers.spec`; 4 bytes, the margin, of which only the bits exist that a score needs (all ones
    is as good as any larger margin). All other bytes read as undefined values.

    After power-up and after a reset, even during an update, the state is that at the start of a training. An incomplete
    example is discarded.

    Clock cycles of an example, if neither stream waits: ``cycles(updated)``, and with ``batch`` after the last example
    of a batch with requests ``applying_cycles`` more.

    Raises :class:`UserError` for more classes than fit the label's byte, and :class:`UsageError` for a model that is
    ``software_only``.
    """

    spec: LayersSpec  # type: ignore[assignment]

    def __init__(self, spec: LayersSpec, memory_kind: str = "block", *, batch: bool = False) -> None:
        check_classes(spec, "a network", LABEL_BITS - batch)
        if spec.software_only:
            raise UsageError(spec.software_only)
        self.spec, self.batch = spec, batch
        row = row_octets(spec)
        #: The bytes of a word of counters, and the words of a row.
        self.word_octets = word_octets(spec, memory_kind == "spram")
        self.words = row // self.word_octets
        #: The cycles of a table on the way down.
        self._slots = 1 + batch
        self._tables = TableMemory(spec.tables * self.words << batch, self.word_octets, memory_kind)
        #: The inputs of a table.
        self.inputs = row.bit_length() - 1
        self._buffer = WiredExamples(spec.input_bits, self.inputs, spec.classes, last=batch)
        self._scores = ClassScores(spec.classes, 1, -(-spec.sizes[-1][0] // spec.classes))
        self.margin_bits = self._scores.margin_bits
        self.settings_address = settings_address(spec)
        self.example_octets = self._buffer.octets + 1
        super().__init__(
            {
                "examples": In(stream.Signature(8)),
                "results": Out(stream.Signature(ensemble_result_layout(spec.classes))),
                "control": In(TrainerControl(8 * (self.settings_address + SETTINGS_OCTETS))),
                "update_count": Out(COUNTER_BITS),
                "busy": Out(1),
            }
        )
        #: The settings, registers at addresses after the counters.
        self.noise_state = Signal(63, init=first_noise_state(spec.seed))
        self.margin = Signal(self.margin_bits, init=min(spec.margin, (1 << self.margin_bits) - 1))

    @property
    def stream_notes(self) -> Sequence[str]:  # type: ignore[override]
        return (
            f"An example is {self.example_octets} bytes on examples__payload: the {self.spec.input_bits} bits of the "
            "input, bit i in bit i mod 8 of byte i div 8,",
            "the last byte padded with zeros; then a byte with the class in bits 0 to "
            + ("5, last in bit 6" if self.batch else "6")
            + " and learn in bit 7: see docs/depth.md, section In hardware.",
        )

    @cached_property
    def interface(self) -> Interface:
        return layers_interface(self.spec, batches=self.batch)

    def cycles(self, updated: bool = True) -> int:
        """The clock cycles of an example."""
        spec, layers = self.spec, len(self.spec.sizes)
        up = spec.tables * self.words + layers * _STAGES + int(self._scores.latency) + 1
        down = (spec.tables - spec.starts[spec.frozen]) * self._slots + (layers - spec.frozen) * _STAGES
        return up + (down if updated else 0)

    @property
    def applying_cycles(self) -> int:
        """The most clock cycles of the end of a batch."""
        return _APPLYING * self.spec.tables * self.words + 1 if self.batch else 0

    @property
    def usual_cycles(self) -> Mapping[str, int]:
        """See :meth:`rdahw.hdl.trainer.Trainer.usual_cycles`; of batches of the largest size."""
        return {
            "training_examples": self.cycles() + -(-self.applying_cycles // MAX_BATCH),
            "predictions": self.cycles(updated=False),
        }

    @property
    def tables(self) -> Any:
        """The contents of the memory of counters, for simulators."""
        return self._tables.data

    @property
    def registers(self) -> tuple[Place, ...]:
        """The counters, with batches a word before its sums of requests, which are set to 0; and the shift register."""
        spec, octets = self.spec, self.word_octets
        counters, noise = spec.fields

        def pack(value: NDArray[Any]) -> bytes:
            words = octets_of_counters(spec, spec.parameters.check(value)).reshape(-1, octets)
            return np.pad(words, ((0, 0), (0, octets * self.batch))).tobytes()

        def unpack(data: bytes) -> NDArray[Any]:
            words = np.frombuffer(data, np.uint8).reshape(-1, octets << self.batch)[:, :octets]
            return counters_of_octets(spec, words.reshape(spec.tables, -1))

        size = self._tables.words * octets
        return Place(counters, self.tables, size, pack, unpack), Place.packed(noise, self.noise_state)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.tables = self._tables
        m.submodules.buffer = buffer = self._buffer
        m.submodules.scores = self._scores
        wiring.connect(m, wiring.flipped(self.examples), buffer.examples)
        w = _Shared(self.spec, self._tables, max(self.words, self._slots), kept_bits(self.spec, self.batch))
        self._name(m, w)
        self._route(m, w)
        self._up(m, w)
        updates = self._decide(m, w)
        clear = self._write(m, w)
        moved = Signal()
        m.d.sync += moved.eq(w.decided & updates)
        with m.If(moved):
            m.d.sync += self.update_count.eq(self.update_count + 1)
        with m.If(clear):
            m.d.sync += self.update_count.eq(0)
        return m

    def _name(self, m: Module, w: _Shared) -> None:
        """Name the tables of one layer after the other, upwards or downwards."""
        spec, last = self.spec, len(self.spec.sizes) - 1
        edges = Array(Mux(w.down, start, end - 1) for start, end in zip(spec.starts, spec.starts[1:], strict=False))
        at_edge, last_slot = Signal(), Signal()
        m.d.comb += [
            w.is_first.eq(w.layer == 0),
            w.is_last.eq(w.layer == last),
            at_edge.eq(w.named == edges[w.layer]),
            last_slot.eq(w.slot == Mux(w.down, self._slots - 1, self.words - 1)),
            w.issue.eq(w.naming & last_slot),
            w.over.eq(w.ends[-1] & Mux(w.down, w.layer == spec.frozen, w.is_last)),
        ]
        m.d.sync += w.named_then.eq(w.named)
        m.d.sync += [w.passing.eq(Cat(w.issue, w.passing)), w.ends.eq(Cat(w.issue & at_edge, w.ends))]
        with m.If(w.naming):
            m.d.sync += w.slot.eq(Mux(last_slot, 0, w.slot + 1))
        with m.If(w.issue):
            m.d.sync += [w.named.eq(Mux(w.down, w.named - 1, w.named + 1)), w.naming.eq(~at_edge)]
        with m.If(w.ends[-1] & ~w.over):
            m.d.sync += [w.layer.eq(Mux(w.down, w.layer - 1, w.layer + 1)), w.naming.eq(1)]
        with m.If(w.idle):
            m.d.sync += [w.named.eq(0), w.layer.eq(0), w.kept_at.eq(0), w.voter.eq(1)]
            m.d.sync += [w.learn.eq(self._buffer.learn), w.target.eq(Const(1, spec.classes) << self._buffer.label)]
            if self.batch:
                m.d.sync += w.completes.eq(self._buffer.last)
            with m.If(self._buffer.waiting):
                m.d.sync += [w.idle.eq(0), w.naming.eq(1)]
        m.d.comb += self._buffer.release.eq(w.ends[-1] & ~w.down & w.is_first)

    def _route(self, m: Module, w: _Shared) -> None:
        """What the named table reads: the bits of an example, or those of the layer below."""
        spec, buffer = self.spec, self._buffer
        places = value_places(spec)
        bits = max(buffer.wire_bits, *(int(wires.max()).bit_length() for wires in places))
        words = [word for wires in places for word in wiring_words(wires, bits)]
        m.submodules.wiring = rom = memory.Memory(shape=bits * self.inputs, depth=spec.tables, init=words)
        read = rom.read_port()
        m.d.comb += read.addr.eq(Mux(w.down, w.named_then, w.named))
        wires = [read.data[i * bits : (i + 1) * bits] for i in range(self.inputs)]
        m.d.comb += buffer.wires.eq(Cat(wire[: buffer.wire_bits] for wire in wires))
        used = Array((1 << inputs) - 1 for _, inputs in spec.sizes)[w.layer]
        if len(spec.sizes) == 1:
            m.d.comb += [w.used.eq(used), w.index.eq(buffer.index)]
            return
        w.values = m.submodules.values = values = LayerValues(bank_sizes(spec), self.inputs, bits, request_bits(spec))
        m.d.comb += [
            w.used.eq(used),
            w.index.eq(Mux(w.is_first, buffer.index, values.index) & w.used),
            values.down.eq(w.down),
            values.odd.eq(w.layer[0]),
            values.rewind.eq(w.idle),
            values.turn.eq(w.decided),
            values.wires.eq(Cat(wires)),
            values.put.eq(w.passing[3] & ~w.down & ~w.is_last),
            values.bit.eq(w.bit),
            values.take.eq(w.issue & w.down & ~w.is_last),
            values.add.eq(w.passing[2] & w.down & ~w.is_first),
        ]

    def _up(self, m: Module, w: _Shared) -> None:
        """The bit of each table, what of it is kept, and the votes. Comments name the stage."""
        spec, tables, scores, inputs = self.spec, self._tables, self._scores, self.inputs
        k, indices = spec.counter, 1 << self.inputs
        # 0: the row is read from memory, in the last cycle its last word.
        word = Cat(tables.read_data[8 * i : 8 * i + k] for i in range(self.word_octets))
        row, row_then = Signal(k * indices, reset_less=True), Signal(k * indices, reset_less=True)
        m.d.sync += [row.eq(Cat(row, word)[len(word) :]), row_then.eq(row)]

        # 1: with noise, the bit at each index; meanwhile the index becomes known.
        shift: Any = Const(0, 1)
        if spec.noise:
            state = self.noise_state
            drawn = (state ^ state >> 31)[: spec.noise]
            shift = (Cat(drawn[:-1], ~drawn[-1]) & w.learn.replicate(spec.noise)).as_signed()
            with m.If(w.passing[1] & ~w.down & w.learn):
                m.d.sync += state.eq(Cat(state[spec.noise :], drawn))
        cells = Signal(indices, reset_less=True)
        for index in range(indices):
            shifted = row[k * index : k * index + k].as_signed() + shift
            m.d.sync += cells[index].eq(~shifted[-1])

        # 2: the bit, those that each input would give if it were the other one, and the counter.
        others, counter, index = Signal(inputs), Signal(k), Signal(inputs)
        m.d.sync += [
            w.bit.eq(cells.bit_select(w.index, 1)),
            *(others[i].eq(cells.bit_select(w.index ^ 1 << i, 1)) for i in range(inputs)),
            counter.eq(row_then.word_select(w.index, k)),
            index.eq(w.index),
        ]

        # 3: of this table the way down needs no more.
        m.d.comb += [
            w.keep.eq(Cat(index, (others ^ w.bit.replicate(inputs)) & w.used, w.bit, counter)),
            scores.clear.eq(w.idle),
            scores.add.eq(w.passing[3] & ~w.down & w.is_last),
            scores.counters.eq(w.voter & w.bit.replicate(spec.classes)),
            scores.start.eq(w.over & ~w.down),
            scores.target.eq(w.target),
            scores.margin.eq(self.margin),
        ]
        with m.If(w.passing[3] & ~w.down):
            m.d.sync += w.kept_at.eq(w.kept_at + 1)
        with m.If(scores.add):
            m.d.sync += w.voter.eq(w.voter.rotate_left(1))

    def _decide(self, m: Module, w: _Shared) -> Value:
        """The result after the way up, and what follows it; returns whether there are requests."""
        spec, scores, result, updates = self.spec, self._scores, self.results.payload, Signal()
        m.d.comb += [w.decided.eq(w.deciding & scores.done & ~self.results.valid), updates.eq(w.learn & scores.updates)]
        with m.If(self.results.ready):
            m.d.sync += self.results.valid.eq(0)
        with m.If(scores.start):
            m.d.sync += w.deciding.eq(1)
        with m.If(w.decided):
            m.d.sync += [
                w.deciding.eq(0),
                self.results.valid.eq(1),
                result.prediction.eq(scores.prediction),
                result.correct.eq(scores.correct),
                result.updated.eq(updates),
                w.down.eq(updates),
                w.naming.eq(updates),
                w.named.eq(spec.tables - 1),
                w.layer.eq(len(spec.sizes) - 1),
                w.voter.eq(1 << (spec.sizes[-1][0] - 1) % spec.classes),
            ]
        done, asked = Signal(), Signal()  # asked: by an example of this batch
        m.d.comb += done.eq((w.decided & ~updates) | (w.over & w.down))
        with m.If(done):
            m.d.sync += [w.down.eq(0), w.idle.eq(1)]
            if self.batch:
                applies = w.learn & w.completes & asked
                m.d.sync += [w.idle.eq(~applies), w.applying.eq(applies)]
        if self.batch:
            with m.If(w.decided & updates):
                m.d.sync += asked.eq(1)
            with m.If(w.applying | w.clearing):
                m.d.sync += asked.eq(0)
        count(m, self.control, w.decided & w.learn, ~scores.correct)
        return updates

    def _down(self, m: Module, w: _Shared) -> _Write:
        """The requests for each table, what it passes on, and the change of its counter. Comments name the stage."""
        spec, inputs = self.spec, self.inputs
        # The counter is changed when the example ends, or after the batch.
        kept = memory.MemoryData(shape=len(w.keep), depth=spec.tables, init=[])
        there, write = block_memory(m, "kept", kept, w.named_then)
        m.d.comb += [write.addr.eq(w.kept_at), write.data.eq(w.keep), write.en.eq(w.passing[3] & ~w.down)]

        # 1: what was kept is there, and the requests for the table's bit.
        then, up, down = Signal.like(there, reset_less=True), w.request_up, w.request_down
        ones: Any = (w.voter & w.target).any()
        zeros: Any = (w.voter & self._scores.rival).any()
        if w.values is not None:
            ones = Mux(w.is_last, ones, w.values.asks_one)
            zeros = Mux(w.is_last, zeros, w.values.asks_zero)
        named = named_there = _then(m, w.named_then)
        m.d.sync += [then.eq(there), up.eq(ones), down.eq(zeros)]
        with m.If(w.passing[1] & w.down & w.is_last):
            m.d.sync += w.voter.eq(w.voter.rotate_right(1))

        # 2: an input on which the bit depends takes the request, negated where it is not equal to the bit.
        index, depends, bit, counter = (
            then[:inputs],
            then[inputs : 2 * inputs],
            then[2 * inputs],
            then[2 * inputs + 1 :],
        )
        if w.values is not None:
            for i in range(inputs):
                other = bit ^ index[i]
                m.d.comb += [
                    w.values.ups[i].eq(depends[i] & Mux(other, down, up)),
                    w.values.downs[i].eq(depends[i] & Mux(other, up, down)),
                ]

        # With batches, the sum of requests for the counter is read meanwhile.
        octet_bits = self.word_octets.bit_length() - 1
        octets, named = self._tables.read_data, _then(m, named)
        if self.batch:
            # 3: and is written back.
            m.d.comb += w.sum_at.eq(Cat(Const(1, 1), there[octet_bits:inputs], named_there))
            total = _then(m, octets.word_select(index[:octet_bits], 8))
            index, up, down, named = (_then(m, value) for value in (index, up, down, named))
            data = (total + Cat(up | down, down.replicate(7)))[:8]
        else:
            data = _moved(counter, up, down)
        return _Write(
            w.passing[1 + self._slots] & w.down & (up | down),
            Cat(Const(1, self.batch), index[octet_bits:], named),
            data.replicate(self.word_octets),
            Const(1) << index[:octet_bits],
        )

    def _apply(self, m: Module, w: _Shared) -> list[_Write]:
        """After a batch, each word of counters changes by its sums, which become 0; the writes."""
        octets, k, tables = self.word_octets, self.spec.counter, self._tables
        step, word, count = Signal(_APPLYING, init=1), Signal.like(tables.address[1:]), tables.words // 2
        counters, ups, downs = Signal(k * octets, reset_less=True), Signal(octets), Signal(octets)
        m.d.comb += w.apply_at.eq(Cat(step[1], word))
        m.d.sync += [
            counters.eq(Mux(step[1], Cat(tables.read_data[8 * i : 8 * i + k] for i in range(octets)), counters)),
            ups.eq(Cat(octet.any() & ~octet[-1] for octet in _octets(tables.read_data))),
            downs.eq(Cat(octet[-1] for octet in _octets(tables.read_data))),
        ]
        with m.If(w.applying & ~(step[0] & w.writing)):  # the last sum
            m.d.sync += step.eq(step.rotate_left(1))
            with m.If(step[-1]):
                m.d.sync += word.eq(word + 1)
                with m.If(word == count - 1):
                    m.d.sync += [word.eq(0), w.applying.eq(0), w.idle.eq(1)]
        moved = Cat(_moved(counters[k * i : k * i + k], ups[i], downs[i]) for i in range(octets))
        every = Const(~0, octets)
        return [
            _Write(w.applying & step[2], Cat(Const(1, 1), word), Const(0, 8 * octets), every),
            _Write(w.applying & step[3], Cat(Const(0, 1), word), moved, every),
        ]

    def _write(self, m: Module, w: _Shared) -> Value:
        """Write counters of the model, bytes of the host, or the first state to the memory, through registers; also
        ``control`` and ``busy``. Returns ``clear``, which is high in the cycle after the host's clear.
        """
        control, tables, octets = self.control, self._tables, self.word_octets
        own = [self._down(m, w), *(self._apply(m, w) if self.batch else [])]
        octet_bits = octets.bit_length() - 1
        # The highest bit of an address says that it is in the settings.
        in_settings, octet = control.parameter_address[-1], control.parameter_address[:octet_bits]
        asked_for = Cat(Const(0, self.batch), control.parameter_address[octet_bits:-1])[: len(tables.address)]
        write_address, write_data = Signal.like(tables.address, init=~0), Signal(8 * octets)
        write_enable, writing, set_register = Signal(octets), w.writing, Signal()
        written, cleared, clear = Signal(), Signal(), Signal()
        m.d.comb += [
            control.ready.eq(w.idle & ~self._buffer.waiting & ~writing),
            written.eq(control.ready & control.parameter_write_enable),
            cleared.eq(control.ready & control.clear),
            self.busy.eq(~w.idle | self._buffer.waiting | writing),
            tables.write_data.eq(write_data),
            tables.write_enable.eq(write_enable),
        ]
        m.d.sync += [
            writing.eq(Cat(written, w.clearing, *(write.enabled for write in own)).any()),
            clear.eq(cleared),
            set_register.eq(written & in_settings),
            write_address.eq(asked_for),
            write_enable.eq(Mux(written & ~in_settings, Const(1) << octet, 0)),
            write_data.eq(control.parameter_write.replicate(octets)),
        ]
        for write in own:
            with m.If(write.enabled):
                m.d.sync += [
                    write_address.eq(write.address),
                    write_data.eq(write.data),
                    write_enable.eq(write.octets),
                ]
        # The first state: each table passes its input 0 on. The write after the last address has no effect: there is no
        # such word, or it is the first.
        high = (1 << self.spec.counter - 2) - 1
        first = Cat(Const(~high & 0xFF if index % 2 == 0 else high, 8) for index in range(octets))
        sums = ~write_address[0] if self.batch else Const(0, 1)  # that is cleared next
        with m.If(w.clearing):
            m.d.sync += [write_address.eq(write_address + 1), write_data.eq(Mux(sums, 0, first)), write_enable.eq(~0)]
            with m.If(writing & (write_address == tables.words - 1)):
                m.d.sync += [w.clearing.eq(0), w.idle.eq(1)]
        with m.If(cleared):
            m.d.sync += w.idle.eq(0)
        with m.If(clear):
            m.d.sync += [w.clearing.eq(1), write_address.eq(~0)]

        row_bits = self.words.bit_length() - 1
        m.d.comb += tables.address.eq(Cat(Const(0, self.batch), w.slot[:row_bits], w.named))
        with m.If(writing):
            m.d.comb += tables.address.eq(write_address)
        with m.Elif(w.idle):
            m.d.comb += tables.address.eq(asked_for)
        if self.batch:
            with m.Elif(w.applying):
                m.d.comb += tables.address.eq(w.apply_at)
            with m.Elif(w.down):
                m.d.comb += tables.address.eq(w.sum_at)
        settings = {0: self.noise_state, STATE_OCTETS: self.margin}
        access_parameters(
            m, control, tables.read_data, settings, write=set_register, written=write_data[:8], clear=clear
        )
        return clear


class _Write(NamedTuple):
    """A write to the memory of counters in the next cycle, if ``enabled``."""

    enabled: Value
    address: Value
    data: Value
    octets: Value


class _Shared:
    """The signals that the methods of a :class:`LayerTrainer` share.

    clearing, idle, deciding, down, applying: at most one is set; none on the way up. learn, target, completes: of the
    example: learn from it, its class, one-hot, and whether it is the last of a batch.
    layer, is_first, is_last: the current one. naming, named, slot, issue: tables are named, this one, in a cycle of
    it, its last. passing, ends: a table is in each of the stages after that, and it is the last one of its layer.
    named_then: the table named a cycle before. writing: the memory of counters is written.
    over: the last table of the pass is in its last stage. decided: the result is given in the next cycle.
    index, used: the index that a table reads, and which inputs it has. bit: of the table. keep, kept_at: what is kept
    of it, and where. voter: the class of a table in the last layer, one-hot. request_up, request_down: the request that
    a table takes. sum_at, apply_at: addresses of sums of requests. values: what goes between layers; None for one.
    """

    values: LayerValues | None = None

    def __init__(self, spec: LayersSpec, tables: TableMemory, slots: int, kept: int) -> None:
        layers, classes, inputs = len(spec.sizes), spec.classes, row_octets(spec).bit_length() - 1
        self.clearing, self.idle = Signal(init=1), Signal()
        self.deciding, self.down, self.applying = Signal(), Signal(), Signal()
        self.learn, self.target, self.completes = Signal(), Signal(classes), Signal()
        self.layer, self.is_first, self.is_last = Signal(range(max(2, layers))), Signal(), Signal()
        self.naming, self.named = Signal(), Signal(range(max(2, spec.tables)))
        self.named_then, self.writing = Signal.like(self.named), Signal()
        self.slot, self.issue = Signal(range(max(2, slots))), Signal()
        self.passing, self.ends = Signal(_STAGES), Signal(_STAGES)
        self.over, self.decided = Signal(), Signal()
        self.index, self.used, self.bit = Signal(inputs), Signal(inputs), Signal()
        self.keep, self.kept_at = Signal(kept), Signal.like(self.named)
        self.voter = Signal(classes)
        self.request_up, self.request_down = Signal(), Signal()
        self.sum_at, self.apply_at = Signal.like(tables.address), Signal.like(tables.address)
        for name, value in vars(self).items():
            value.name = name


def _moved(counter: Value, up: Value, down: Value) -> Value:
    """A counter one up or down, saturating, as a byte."""
    low = counter[-1] & ~counter[:-1].any()
    high = ~counter[-1] & counter[:-1].all()
    up, down = up & ~high, down & ~low
    moved = (counter + Cat(up | down, down.replicate(len(counter) - 1)))[: len(counter)]
    return Cat(moved, moved[-1].replicate(8 - len(counter)))


def _then(m: Module, value: Value) -> Value:
    """``value`` of the cycle before."""
    then = Signal(len(value), reset_less=True)
    m.d.sync += then.eq(value)
    return then


def _octets(word: Value) -> list[Value]:
    return [word[i : i + 8] for i in range(0, len(word), 8)]
