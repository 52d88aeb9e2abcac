"""The trainer of an ensemble with its tables in block memory: one word, with a counter of each class, per cycle.

A table's forward is a read port, its reverse derivative a write port at the same address. The forward pass reads the
addressed word of each table and adds it to the scores of the classes; if the margin rule requires an update, a second
pass writes the changed words of the tables that were not dropped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from amaranth.hdl import Cat, Const, Module, Mux, Signal  # type: ignore[import-untyped]
from amaranth.lib import stream, wiring  # type: ignore[import-untyped]
from amaranth.lib.data import StructLayout  # type: ignore[import-untyped]
from amaranth.lib.wiring import In, Out  # type: ignore[import-untyped]

from rdahw.errors import UsageError
from rdahw.families.ensemble.rule import Counters
from rdahw.families.ensemble.spec import EnsembleSpec, first_dropout_state, make_wiring
from rdahw.hdl.beats import OctetEncoder
from rdahw.hdl.circuit import Value
from rdahw.hdl.class_scores import ClassScores
from rdahw.hdl.drift import ALARM_BITS, DriftMonitor
from rdahw.hdl.example_buffer import ExampleBuffer, check_classes
from rdahw.hdl.forward_pass import ForwardPass, pass_cycles
from rdahw.hdl.frontend import PixelFrontend
from rdahw.hdl.interface import Interface, Place
from rdahw.hdl.octet_link import LinkedOctets
from rdahw.hdl.pixel_buffer import PixelBuffer
from rdahw.hdl.table_access import access_parameters
from rdahw.hdl.table_memory import TableMemory
from rdahw.hdl.table_words import (
    MARGIN_OCTETS,
    SETTINGS_OCTETS,
    STATE_OCTETS,
    counters_of_words,
    settings_address,
    sign_bits,
    table_interface,
    word_octets,
    word_stride,
    words_of_counters,
)
from rdahw.hdl.trainer import COUNTER_BITS, Trainer, TrainerControl, count
from rdahw.hdl.write_back_buffer import WriteBackBuffer

__all__ = ["MemoryTrainer", "OctetTrainer", "ensemble_result_layout"]


def ensemble_result_layout(classes: int) -> Any:
    """The payload of a stream of results: the class predicted before learning, whether it is the label, and whether
    there was an update (also if all tables were dropped)."""
    return StructLayout({"prediction": range(classes), "correct": 1, "updated": 1})


class _State:
    """The registers of a memory trainer's state and of its current example.

    clearing, idle, naming, deciding: at most one is set; none during the rest of the forward pass and in the second
    pass. learn, target: of the example; target has one bit for each class.
    """

    def __init__(self, classes: int) -> None:
        self.clearing, self.idle = Signal(init=1, name="clearing"), Signal(name="idle")
        self.naming, self.deciding = Signal(name="naming"), Signal(name="deciding")
        self.learn, self.target = Signal(name="learn"), Signal(classes, name="target")


class OctetTrainer(Trainer):
    """A trainer or fixed model of an ensemble with its tables in memory and examples as ``example_octets`` bytes.

    frontend: what the examples are, if not the bits of the model.
    """

    spec: EnsembleSpec
    frontend: PixelFrontend | None
    example_octets: int

    def _make_buffer(self, frontend: PixelFrontend | None) -> ExampleBuffer | PixelBuffer:
        """The example buffer; sets ``frontend`` and ``example_octets``."""
        spec = self.spec
        check_classes(spec)
        self.frontend, table_wiring = frontend, make_wiring(spec)
        buffer: ExampleBuffer | PixelBuffer
        if frontend is None:
            buffer = ExampleBuffer(spec.input_bits, table_wiring, spec.classes)
        else:
            frontend.check(spec, learns=self.learns)
            buffer = PixelBuffer(frontend, table_wiring, spec.classes)
        #: The bytes of an example, label included.
        self.example_octets = buffer.octets + 1
        return buffer

    @property
    def stream_notes(self) -> Sequence[str]:  # type: ignore[override]
        end = "then a byte with the class in bits 0 to 6 and learn in bit 7: see docs/ensemble.md, section In hardware."
        head = f"An example is {self.example_octets} bytes on examples__payload: the "
        if self.frontend is not None:
            height, width = self.frontend.image_shape
            return (f"{head}{height} x {width} pixels, row by row, each from 0 to 255;", end)
        return (
            f"{head}{self.spec.input_bits} bits of the input, bit i in bit i mod 8 of byte i div 8,",
            f"the last byte padded with zeros; {end}",
        )

    @cached_property
    def interface(self) -> Interface:
        """Its interface to the host link, hosts and simulators."""
        octets = self.control.signature.parameter_bytes
        return table_interface(self.spec, octets, learns=self.learns, frontend=self.frontend)

    @property
    def encoder(self) -> OctetEncoder:
        """Converts examples and results to and from the beats of its streams."""
        return OctetEncoder(self)

    def linked(self) -> LinkedOctets:
        """A wrapper with the streams of the host link."""
        return LinkedOctets(self)


class MemoryTrainer(OctetTrainer):
    """The ensemble ``spec`` in block memory, bit for bit as :mod:`rdahw.families.ensemble.rule`.

    memory_kind: the kind of the tables' :class:`rdahw.hdl.table_memory.TableMemory`. drift: with an alarm for a rising
    error rate, :class:`rdahw.hdl.drift.DriftMonitor`, of the examples learned from. frontend: the examples are images,
    and the buffer is a :class:`rdahw.hdl.pixel_buffer.PixelBuffer`.

    Members:

    examples : In(stream of 8 bits): an example is ``example_octets`` bytes: the input, wire 0 in bit 0 of the first
        byte, padded with zeros to whole bytes; then a byte with the class in bits 0 to 6 and ``learn`` in bit 7. If
        bit 7 is 0 or the class does not exist, the example is only predicted; without such a class ``correct`` of the
        result has no meaning, as only the label's low bits are kept. Two examples are buffered, so that one
        can be received while another is processed or the tables are cleared; gaps are allowed anywhere.
    results : Out(stream of :func:`ensemble_result_layout`): one for each example, in order, valid before the tables are
        updated. While one waits to be taken, the next example is neither decided nor learned.
    control : In(:class:`rdahw.hdl.trainer.TrainerControl`): access to the tables, and counts of the examples learned
        from and of those predicted wrongly. ``ready`` between examples, while no complete one is buffered. ``clear``
        restores the state after a reset, and takes a cycle for each word of the tables.
    update_count : Out(32): how many of the examples learned from changed counters; it wraps.
    alarm_count : Out(8), with ``drift`` only: the alarms since the last ``clear`` or reset; it wraps.
    busy : Out(1): tables are cleared, or an example is processed or buffered.

    The parameters in bytes: word ``j << inputs | index`` has the counters of table j at that index and begins at byte
    ``word * word_octets``; counter c is its bits ``c * counter`` to ``c * counter + counter - 1``, in two's complement,
    and the bits above the last counter are 0 (a write to them changes only what is read there). From byte
    ``settings_address`` on: 8 bytes, the state of the dropout's shift register as in
    :mod:`rdahw.families.ensemble.spec`; 4 bytes, the margin, of which only ``margin_bits`` exist (all ones is as good
    as any larger margin); 1 byte, the dropout's numerator d of ``dropout_rule``; its denominator is fixed by ``spec``;
    1 byte that can only be read, ``alarm_count`` (0 without ``drift``).
    All other bytes read as undefined values.

    After power-up and after a reset, even during an update, the tables are cleared first, so that old memory contents
    are never used: all counters 0, shift register, margin and dropout those of ``spec``. An incomplete example is
    discarded.

    Clock cycles of an example, if neither stream waits: ``cycles(updated)``.

    Raises :class:`UserError` for more classes than fit the label's byte, and :class:`UsageError` for a model that is
    ``software_only``.
    """

    def __init__(
        self,
        spec: EnsembleSpec,
        memory_kind: str = "block",
        *,
        drift: bool = False,
        frontend: PixelFrontend | None = None,
    ) -> None:
        if spec.software_only:
            raise UsageError(spec.software_only)
        self.spec = spec
        words = spec.tables << spec.inputs
        #: The bytes of a word of the tables.
        self.table_octets = octets = word_octets(spec)
        self._tables = TableMemory(words, octets, memory_kind)
        self.buffer = self._make_buffer(frontend)
        self._scores = ClassScores(spec.classes, spec.counter, spec.tables, sign=spec.sign)
        #: Bytes from one word of the parameters to the next.
        self.word_octets = word_stride(spec)
        self._octet_bits = self.word_octets.bit_length() - 1
        #: The address of the settings, after the tables.
        self.settings_address = settings_address(spec)
        #: The bits of the margin.
        self.margin_bits = self._scores.margin_bits
        super().__init__(
            {
                "examples": In(stream.Signature(8)),
                "results": Out(stream.Signature(ensemble_result_layout(spec.classes))),
                "control": In(TrainerControl(8 * (self.settings_address + SETTINGS_OCTETS))),
                "update_count": Out(COUNTER_BITS),
                "busy": Out(1),
            }
            | ({"alarm_count": Out(ALARM_BITS)} if drift else {})
        )
        self._monitor = DriftMonitor() if drift else None
        bits, below = spec.dropout_rule
        #: The settings, registers at addresses after the tables.
        self.dropout_state = Signal(63, init=first_dropout_state(spec.seed))
        self.margin = Signal(self.margin_bits, init=min(spec.margin, (1 << self.margin_bits) - 1))
        self.dropout_below = Signal(bits, init=below)
        #: A word of counters that are 0: in the tables, sign bits are inverted.
        self._zero = sign_bits(spec)

    def cycles(self, updated: bool = True, kept: int | None = None) -> int:
        """The clock cycles of an example; if it is ``updated``, ``kept`` tables (``None``: all) learn."""
        kept = self.spec.tables if kept is None else kept
        own = pass_cycles(self.spec.tables, self._scores) + (kept if updated else 0)
        return own if self.frontend is None else max(own, self.buffer.cycles)

    @property
    def usual_cycles(self) -> Mapping[str, int]:
        """See :meth:`rdahw.hdl.trainer.Trainer.usual_cycles`; averaged over the dropout."""
        kept = round(self.spec.tables * (1 - self.spec.dropout))
        return {"training_examples": self.cycles(True, kept), "predictions": self.cycles(False)}

    @property
    def registers(self) -> tuple[Place, ...]:
        """The counters, with inverted sign bits, and the shift register."""
        spec, octets = self.spec, self.table_octets

        def unpack(data: bytes) -> Counters:
            return counters_of_words(spec, np.frombuffer(data, np.uint8).reshape(-1, octets), inverted=True)

        def pack(counters: Counters) -> bytes:
            return words_of_counters(spec, spec.parameters.check(counters), inverted=True).tobytes()

        counters, dropout, *_ = spec.fields
        return (
            Place(counters, self.tables, (spec.tables << spec.inputs) * octets, pack, unpack),
            Place.packed(dropout, self.dropout_state),
        )

    @property
    def tables(self) -> Any:
        """The contents of the tables, for simulators: words of counters whose sign bits are inverted."""
        return self._tables.data

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        spec = self.spec
        m.submodules.tables = tables = self._tables
        m.submodules.buffer = buffer = self.buffer
        m.submodules.scores = scores = self._scores
        m.submodules.words = words = WriteBackBuffer(spec.classes, spec.counter, len(tables.address), spec.tables)
        wiring.connect(m, wiring.flipped(self.examples), buffer.examples)
        at = _State(spec.classes)
        first = self._first_pass(m, at, words)
        self.proof_registers = vars(at) | {"passing": first.passing, "kept": first.kept, "last": first.last}
        self.parts = {"buffer": buffer, "scores": scores, "words": words}
        decided, updates = self._decide(m, at, first, words)
        m.d.comb += [
            words.forget.eq(at.idle),
            words.start.eq(decided & updates),
            words.target.eq(at.target),
            words.rival.eq(scores.rival),
        ]
        with m.If(words.ends):
            m.d.sync += at.idle.eq(1)
        with m.If(at.idle):
            m.d.sync += [
                at.learn.eq(buffer.learn),
                at.target.eq(Const(1, spec.classes) << buffer.label),
                *first.rewind(),
            ]
            with m.If(buffer.waiting):
                m.d.sync += [at.idle.eq(0), at.naming.eq(1)]
        clear = self._write(m, at, first, words)
        count(m, self.control, decided & at.learn, ~scores.correct)
        if self._monitor is not None:
            m.submodules.drift = monitor = self._monitor
            m.d.comb += [monitor.clear.eq(clear), self.alarm_count.eq(monitor.alarm_count)]
            # Registered, as they are late in the cycle.
            m.d.sync += [monitor.learned.eq(decided & at.learn), monitor.wrong.eq(~scores.correct)]
        moved = Signal()
        m.d.sync += moved.eq(decided & updates)
        with m.If(moved):
            m.d.sync += self.update_count.eq(self.update_count + 1)
        with m.If(clear):
            m.d.sync += self.update_count.eq(0)
        return m

    def _first_pass(self, m: Module, at: _State, words: WriteBackBuffer) -> ForwardPass:
        """Put the addressed word of each table that is not dropped into the scores and into ``words``."""
        drop = Signal()
        first = ForwardPass(m, self.buffer, at.naming, self._tables.address, at.learn & drop)
        word = self._tables.read_data[: len(words.word)]
        m.d.comb += [
            self._scores.add.eq(first.kept[-1]),
            self._scores.counters.eq(word),
            words.put.eq(first.kept[-1]),
            words.word.eq(word),
            words.address.eq(first.address_there),
        ]
        if bits := len(self.dropout_below):
            state = self.dropout_state
            drawn = (state ^ state >> 31)[:bits]
            m.d.comb += drop.eq(drawn < self.dropout_below)
            with m.If(at.naming & at.learn):
                m.d.sync += state.eq(Cat(state[bits:], drawn))
        return first

    def _decide(self, m: Module, at: _State, first: ForwardPass, words: WriteBackBuffer) -> tuple[Value, Value]:
        """The result after the forward pass: whether it is decided in this cycle, and whether counters change."""
        scores, result = self._scores, self.results.payload
        decided, updates = Signal(), Signal()
        m.d.comb += [
            scores.clear.eq(at.idle),
            scores.start.eq(first.last[-1]),
            scores.target.eq(at.target),
            scores.margin.eq(self.margin),
            self.buffer.release.eq(first.last[-1]),
            decided.eq(at.deciding & scores.done & ~self.results.valid),
            updates.eq(at.learn & scores.updates),
        ]
        with m.If(self.results.ready):
            m.d.sync += self.results.valid.eq(0)
        with m.If(first.last[-1]):
            m.d.sync += at.deciding.eq(1)
        with m.If(decided):
            m.d.sync += [
                at.deciding.eq(0),
                at.idle.eq(~updates | words.empty),
                self.results.valid.eq(1),
                result.prediction.eq(scores.prediction),
                result.correct.eq(scores.correct),
                result.updated.eq(updates),
            ]
        return decided, updates

    def _write(self, m: Module, at: _State, first: ForwardPass, words: WriteBackBuffer) -> Value:
        """Write words of the second pass, bytes of the host, or zeros to the tables, through registers; also
        ``control`` and ``busy``. Returns ``clear``, which is high in the cycle after the host's clear.
        """
        control, tables = self.control, self._tables
        write_address, write_data = Signal.like(tables.address, init=~0), Signal(8 * tables.octets)
        write_enable, writing = Signal(tables.octets), Signal()
        in_settings, set_register = control.parameter_address[-1], Signal()
        written, cleared, clear = Signal(), Signal(), Signal()
        self.proof_registers |= {"writing": writing, "write_address": write_address, "write_data": write_data}
        self.proof_registers |= {"write_enable": write_enable, "set_register": set_register, "clear": clear}
        octet = control.parameter_address[: self._octet_bits]
        asked_for = control.parameter_address[self._octet_bits :][: len(tables.address)]
        m.d.comb += [
            control.ready.eq(at.idle & ~self.buffer.waiting & ~words.valid & ~writing),
            written.eq(control.ready & control.parameter_write_enable),
            cleared.eq(control.ready & control.clear),
            self.busy.eq(~at.idle | self.buffer.waiting | words.valid | writing),
            tables.write_data.eq(write_data),
            tables.write_enable.eq(write_enable),
        ]
        m.d.sync += [
            writing.eq(words.valid | written | at.clearing),
            clear.eq(cleared),
            set_register.eq(written & in_settings),
            write_address.eq(asked_for),
            write_enable.eq(Mux(written & ~in_settings, Const(1) << octet, 0)),
            write_data.eq(control.parameter_write.replicate(tables.octets) ^ self._zero),
        ]
        with m.If(words.valid):
            m.d.sync += [write_address.eq(words.new_address), write_data.eq(words.new_word), write_enable.eq(~0)]
        # The write after the last address has no effect: there is no such word, or it is the first.
        with m.If(at.clearing):
            m.d.sync += [write_address.eq(write_address + 1), write_data.eq(self._zero), write_enable.eq(~0)]
            with m.If(writing & (write_address == tables.words - 1)):
                m.d.sync += [at.clearing.eq(0), at.idle.eq(1)]
        with m.If(cleared):
            m.d.sync += at.idle.eq(0)
        with m.If(clear):
            m.d.sync += [at.clearing.eq(1), write_address.eq(~0)]

        with m.If(writing):
            m.d.comb += tables.address.eq(write_address)
        with m.Elif(first.passing[-2]):
            m.d.comb += tables.address.eq(first.address)
        with m.Else():
            m.d.comb += tables.address.eq(asked_for)
        word = Cat(tables.read_data ^ self._zero, Const(0, 8 * (self.word_octets - tables.octets)))
        alarms = {} if self._monitor is None else {STATE_OCTETS + MARGIN_OCTETS + 1: self._monitor.alarm_count}
        access_parameters(
            m,
            control,
            word,
            {
                0: self.dropout_state,
                STATE_OCTETS: self.margin,
                STATE_OCTETS + MARGIN_OCTETS: self.dropout_below,
            },
            write=set_register,
            written=write_data[:8] ^ self._zero & 0xFF,
            clear=clear,
            read_only=alarms,
        )
        return clear
