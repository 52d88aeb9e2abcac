"""The trainer of an ensemble too large for registers: its tables in block memory, one word of all classes a cycle.

A table's forward is a read port, its reverse derivative is a write port at the same address: the first pass reads the
addressed word of each table and adds it to the scores of the classes; where the margin asks for it, a second pass
writes those words back, changed, for the tables that were kept.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Module, Signal  # type: ignore[import-untyped]
from amaranth.lib import memory, stream, wiring  # type: ignore[import-untyped]
from amaranth.lib.data import StructLayout  # type: ignore[import-untyped]
from amaranth.lib.wiring import In, Out  # type: ignore[import-untyped]

from rdahw.ensemble import EnsembleSpec, first_dropout_state, make_wiring
from rdahw.errors import UserError
from rdahw.hdl.class_scores import ClassScores
from rdahw.hdl.example_buffer import LABEL_BITS, ExampleBuffer
from rdahw.hdl.table_memory import TableMemory
from rdahw.hdl.trainer import COUNTER_BITS, TrainerControl, count

__all__ = ["MemoryTrainer", "ensemble_result_layout"]

#: Amaranth's values have no types that a type checker could read.
Value = Any

#: The bytes behind the tables: the dropout's shift register, the margin, the dropout's numerator.
STATE_OCTETS = 8
MARGIN_OCTETS = 4
SETTINGS_OCTETS = 16


def ensemble_result_layout(classes: int) -> Any:
    """The payload of a stream of results: the class predicted before learning, whether it is that of the label, and
    whether counters were changed by it (or would have been, if all tables were dropped)."""
    return StructLayout({"prediction": range(classes), "correct": 1, "updated": 1})


class MemoryTrainer(wiring.Component):  # type: ignore[misc]
    """The ensemble ``spec`` (:mod:`rdahw.ensemble`), which predicts and learns in block memory, bit for bit the same.

    memory_kind: where the tables are, a kind of :class:`rdahw.hdl.table_memory.TableMemory`.

    Members:

    examples : In(stream of 8 bits): an example is ``example_octets`` bytes: those of the input, wire 0 in bit 0 of the
        first, filled with zeros to a whole byte; then one with the class in bits 0 to 6 and in bit 7 whether to learn
        from it. Without bit 7, or with a class that there is not, the example is only predicted. Nothing is taken
        while the tables are cleared. Two examples fit in ahead of their results, so that the next one comes in while
        one is worked on; a gap is allowed anywhere.
    results : Out(stream of :func:`ensemble_result_layout`): one an example, in their order. It is there as soon as it
        is decided, before the tables are updated. While one waits to be taken, no other is decided, and nothing is
        learned from the next example.
    control : In(:class:`rdahw.hdl.trainer.TrainerControl`): access to the tables, and counts of the examples that
        were learned from and of those that were predicted wrongly. ``ready`` between examples, when no whole one is
        waiting. ``clear`` makes everything as it is after a reset, and takes a cycle for each word of the tables.
    update_count : Out(32): of the examples learned from, how many changed counters; it wraps.
    busy : Out(1): tables are cleared, or an example is worked on or waits.

    The parameters by bytes: word ``j << inputs | index`` holds the counters of table j at that index and begins at byte
    ``word * word_octets``; counter c is its bits ``c * counter`` to ``c * counter + counter - 1``, in two's complement,
    and the bits above the last one are 0 (writing them is without effect on anything but what is read there). From byte
    ``settings_address`` on there are: 8 bytes, the state of the dropout's shift register as in :mod:`rdahw.ensemble`;
    4 bytes, the margin, of which only ``margin_bits`` exist (all ones is as good as any larger one); 1 byte, the
    dropout's numerator d of ``dropout_rule``, of whose denominator only the one of ``spec`` is there. Bytes that are
    none of these read as anything.

    After power-up and after a reset, even in the middle of an update, the tables are cleared before anything else, so
    that what was in the memory is never used: all counters 0, shift register, margin and dropout those of ``spec``. An
    example whose bytes had not all come is forgotten.

    Cycles an example, if it comes in and its result is taken in time: ``cycles(updated)``.

    Raises :class:`UserError` if there are more classes than the label's byte can say.
    """

    def __init__(self, spec: EnsembleSpec, memory_kind: str = "block") -> None:
        if spec.classes > 1 << LABEL_BITS:
            raise UserError(
                f"an ensemble of {spec.classes} classes was given; the trainer takes at most {1 << LABEL_BITS}, as the "
                "label of an example is a byte"
            )
        self.spec = spec
        words = spec.tables << spec.inputs
        octets = -(-spec.classes * spec.counter // 8)
        self._tables = TableMemory(words, octets, memory_kind)
        self._buffer = ExampleBuffer(spec.input_bits, make_wiring(spec), spec.classes)
        self._scores = ClassScores(spec.classes, spec.counter, spec.tables, sign=spec.sign)
        #: The bytes from one word of the parameters to the next.
        self.word_octets = 1 << (octets - 1).bit_length()
        self._octet_bits = self.word_octets.bit_length() - 1
        self._address_bits = max((words - 1).bit_length(), 4 - self._octet_bits)
        #: Where the settings are behind the tables.
        self.settings_address = self.word_octets << self._address_bits
        #: The bits of the margin.
        self.margin_bits = self._scores.margin_bits
        #: The bytes of an example, label included.
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
        bits, below = spec.dropout_rule
        #: The registers behind the tables.
        self.dropout_state = Signal(63, init=first_dropout_state(spec.seed))
        self.margin = Signal(self.margin_bits, init=min(spec.margin, (1 << self.margin_bits) - 1))
        self.dropout_below = Signal(bits, init=below)
        self._word_bits = spec.classes * spec.counter
        #: A word of counters that are 0: in the tables, sign bits are inverted.
        self._zero = sum(1 << (c + 1) * spec.counter - 1 for c in range(spec.classes))

    def cycles(self, updated: bool, kept: int | None = None) -> int:
        """The clock cycles of an example of whose tables ``kept`` (``None``: all) learn, if it is ``updated``."""
        kept = self.spec.tables if kept is None else kept
        return self.spec.tables + ExampleBuffer.LATENCY + self._scores.latency + 2 + (kept if updated else 0)

    @property
    def tables(self) -> Any:
        """The contents of the tables, for simulators: words of counters whose sign bits are inverted."""
        return self._tables.data

    def elaborate(self, platform: Any) -> Module:
        """The logic, as Amaranth asks for it."""
        m = Module()
        spec = self.spec
        m.submodules.tables = tables = self._tables
        m.submodules.buffer = buffer = self._buffer
        m.submodules.scores = scores = self._scores
        m.submodules.kept = kept_words = memory.Memory(
            shape=self._word_bits + len(tables.address), depth=spec.tables, init=[], attrs={"no_rw_check": 1}
        )
        keep, restore = kept_words.write_port(), kept_words.read_port()
        wiring.connect(m, wiring.flipped(self.examples), buffer.examples)
        control, result = self.control, self.results.payload

        # The example in hand.
        label, learn, target = Signal.like(buffer.label), Signal(), Signal(spec.classes)
        m.d.comb += [scores.target.eq(target), scores.margin.eq(self.margin)]

        # First pass: a table in each stage. It is named; LATENCY cycles later its word is asked for, then it is there.
        named, asked = Signal(range(spec.tables)), Signal(range(spec.tables))
        naming, drop = Signal(), Signal()
        stages = ExampleBuffer.LATENCY + 1
        passing, kept, last = Signal(stages), Signal(stages), Signal(stages)
        address, address_there = Signal.like(tables.address), Signal.like(tables.address)
        at_last = named == spec.tables - 1
        m.d.comb += [buffer.table.eq(named), address.eq(Cat(buffer.index, asked))]
        m.d.sync += [
            passing.eq(Cat(naming, passing)),
            kept.eq(Cat(naming & ~(learn & drop), kept)),
            last.eq(Cat(naming & at_last, last)),
            address_there.eq(address),
        ]
        with m.If(naming):
            m.d.sync += named.eq(named + 1)
        with m.If(passing[-2]):
            m.d.sync += asked.eq(asked + 1)
        if bits := len(self.dropout_below):
            state = self.dropout_state
            drawn = (state ^ state >> 31)[:bits]
            m.d.comb += drop.eq(drawn < self.dropout_below)
            with m.If(naming & learn):
                m.d.sync += state.eq(Cat(state[bits:], drawn))

        # The words of the tables that are kept are put by, so that the second pass need not read them again.
        held = Signal(range(spec.tables + 1))
        word = tables.read_data[: self._word_bits]
        m.d.comb += [
            scores.add.eq(kept[-1]),
            scores.counters.eq(word),
            keep.addr.eq(held),
            keep.data.eq(Cat(word, address_there)),
            keep.en.eq(kept[-1]),
        ]
        with m.If(kept[-1]):
            m.d.sync += held.eq(held + 1)

        # What is written, by whomever, is put in registers first.
        write_address, write_data = Signal.like(tables.address), Signal(8 * tables.octets, init=self._zero)
        write_enable, writing = Signal(tables.octets, init=~0), Signal(init=1)
        m.d.sync += [write_enable.eq(0), writing.eq(0)]
        m.d.comb += [tables.write_data.eq(write_data), tables.write_enable.eq(write_enable)]

        def write(at: Value, data: Value, octets: Value) -> None:
            m.d.sync += [write_address.eq(at), write_data.eq(data), write_enable.eq(octets), writing.eq(1)]

        # Second pass. The word that it is at is there in the same cycle, as its address is given a cycle ahead.
        at, following = Signal.like(held), Signal.like(held)
        m.d.comb += [following.eq(0), restore.addr.eq(following)]
        m.d.sync += at.eq(following)
        old_word, old_address = restore.data[: self._word_bits], restore.data[self._word_bits :]

        in_settings = control.parameter_address[-1]
        octet = control.parameter_address[: self._octet_bits]
        asked_for = control.parameter_address[self._octet_bits :][: len(tables.address)]
        with m.If(writing):
            m.d.comb += tables.address.eq(write_address)
        with m.Elif(passing[-2]):
            m.d.comb += tables.address.eq(address)
        with m.Else():
            m.d.comb += tables.address.eq(asked_for)

        with m.If(self.results.ready):
            m.d.sync += self.results.valid.eq(0)
        decided, updates = Signal(), Signal()
        m.d.comb += updates.eq(learn & scores.updates)
        with m.FSM(init="CLEAR") as machine:
            with m.State("CLEAR"):
                m.d.comb += buffer.hold.eq(1)
                with m.If(write_address == tables.words - 1):
                    m.next = "IDLE"
                with m.Else():
                    write(write_address + 1, self._zero, ~0)

            with m.State("IDLE"):
                m.d.comb += [control.ready.eq(~buffer.waiting & ~writing), scores.clear.eq(1)]
                m.d.sync += [
                    label.eq(buffer.label),
                    learn.eq(buffer.learn),
                    target.eq(Const(1, spec.classes) << buffer.label),
                    named.eq(0),
                    asked.eq(0),
                    held.eq(0),
                ]
                with m.If(buffer.waiting):
                    m.next = "READ"
                with m.Elif(~writing):
                    with m.If(control.parameter_write_enable & ~in_settings):
                        flipped = control.parameter_write.replicate(tables.octets) ^ self._zero
                        write(asked_for, flipped, Const(1) << octet)
                    with m.If(control.clear):
                        write(0, self._zero, ~0)
                        m.next = "CLEAR"

            with m.State("READ"):
                m.d.comb += naming.eq(1)
                with m.If(at_last):
                    m.next = "SUM"

            with m.State("SUM"), m.If(last[-1]):
                m.d.comb += [scores.start.eq(1), buffer.release.eq(1)]
                m.next = "DECIDE"

            with m.State("DECIDE"), m.If(scores.done & (~self.results.valid | self.results.ready)):
                m.d.comb += decided.eq(1)
                m.d.sync += self.results.valid.eq(1)
                m.next = "IDLE"
                with m.If(updates & (held != 0)):
                    m.next = "UPDATE"

            with m.State("UPDATE"):
                m.d.comb += following.eq(at + 1)
                write(old_address, self._moved(old_word, target, scores.rival), ~0)
                with m.If(following == held):
                    m.next = "IDLE"

        correct = scores.prediction == label
        with m.If(decided):
            m.d.sync += [
                result.prediction.eq(scores.prediction),
                result.correct.eq(correct),
                result.updated.eq(updates),
            ]
        m.d.comb += self.busy.eq(~machine.ongoing("IDLE") | buffer.waiting | writing)
        count(m, control, decided & learn, ~correct)
        moved = Signal()
        m.d.sync += moved.eq(decided & updates)
        with m.If(moved):
            m.d.sync += self.update_count.eq(self.update_count + 1)
        self._access(m)
        return m

    def _moved(self, word: Value, target: Value, rival: Value) -> Value:
        """A word with the target's counter one up and the rival's one down, unless they are at their end."""
        k, moved = self.spec.counter, []
        for c in range(self.spec.classes):
            counter = word[c * k : (c + 1) * k]
            # Counting down is counting up the complement.
            up = counter ^ rival[c].replicate(k)
            carry = (target[c] | rival[c]) & ~up.all()
            for bit in range(k):
                moved.append(counter[bit] ^ carry)
                carry = carry & up[bit]
        return Cat(moved)

    def _access(self, m: Module) -> None:
        """Reading parameters, writing the settings, and clearing them."""
        control, settings_bits = self.control, 8 * SETTINGS_OCTETS
        in_settings = control.parameter_address[-1]
        word = Cat(self._tables.read_data ^ self._zero, Const(0, 8 * (self.word_octets - self._tables.octets)))
        settings = Cat(
            _padded(self.dropout_state, 8 * STATE_OCTETS),
            _padded(self.margin, 8 * MARGIN_OCTETS),
            _padded(self.dropout_below, settings_bits - 8 * (STATE_OCTETS + MARGIN_OCTETS)),
        )
        setting = control.parameter_address[:4]
        m.d.comb += control.parameter_read.eq(word.word_select(control.parameter_address[: self._octet_bits], 8))
        with m.If(in_settings):
            m.d.comb += control.parameter_read.eq(settings.word_select(setting, 8))

        taken = control.ready & control.parameter_write_enable & in_settings
        for register, first in (
            (self.dropout_state, 0),
            (self.margin, STATE_OCTETS),
            (self.dropout_below, STATE_OCTETS + MARGIN_OCTETS),
        ):
            for number in range(-(-len(register) // 8)):
                with m.If(taken & (setting == first + number)):
                    m.d.sync += register[8 * number : 8 * number + 8].eq(control.parameter_write)
            with m.If(control.ready & control.clear):
                m.d.sync += register.eq(register.init)


def _padded(value: Value, width: int) -> Value:
    return Cat(value, Const(0, width - len(value)))
