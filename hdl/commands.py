"""The commands of the host link: a pass over a request's payload, with the accesses to the trainer."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Array, Cat, Module, Signal  # type: ignore[import-untyped]
from amaranth.lib import stream, wiring  # type: ignore[import-untyped]
from amaranth.lib.wiring import In, Out  # type: ignore[import-untyped]

from rdahw.fields import size
from rdahw.hdl.one_hot import OneHot
from rdahw.hdl.protocol import STATE, Layout
from rdahw.hdl.session import ASKED, FAILURES
from rdahw.hdl.trainer import TrainerControl, example_layout, result_layout

__all__ = ["Commands"]


class Commands(wiring.Component):  # type: ignore[misc]
    """Executes ``open``, ``status``, ``train``, ``predict``, ``read``, ``write`` and ``clear``.

    layout: of the trainer's examples and results. learns: it is a trainer and no fixed model. batch: it learns in
    batches.

    execute: high for a cycle: begin a pass over the payload of the request given by ``asked`` and ``known``. With
        ``dry`` nothing is changed.
    done, failed: high for a cycle: the pass has ended, or the request cannot be executed for this reason (only in the
        dry pass).
    byte, at_end, advance: of the packet store, which is at the payload's first byte when a pass begins.
    fresh: an answer begins. answer: its bytes; in a dry pass only those of ``read``. answer_count, full: of the store.
    examples, results, control: to the trainer. With words of x, an example is ``layout.words`` transfers.
    """

    def __init__(self, layout: Layout, *, learns: bool, batch: bool) -> None:
        self._layout, self._learns, self._is_batch = layout, learns, batch
        self._batch_open = Signal()
        # Counts the bytes of the current item.
        self._part = Signal(range(max(16, layout.head_bytes)))
        inputs = layout.word_bits or layout.input_bits
        super().__init__(
            {
                "execute": In(1),
                "asked": In(ASKED),
                "known": In(1),
                "dry": In(1),
                "done": Out(1),
                "failed": Out(FAILURES),
                "byte": In(8),
                "at_end": In(1),
                "advance": Out(1),
                "fresh": Out(1),
                "answer": Out(stream.Signature(8, always_ready=True)),
                "answer_count": In(8),
                "full": In(1),
                "examples": Out(stream.Signature(example_layout(inputs, layout.output_bits, learn=True))),
                "results": In(stream.Signature(result_layout(layout.output_bits))),
                "control": Out(TrainerControl(layout.parameter_bits)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        asked = self.asked
        machine = OneHot(m, None)
        machine.enter("BEGIN", self.execute)
        machine.exit("done", self.done)
        for name in FAILURES.members:
            machine.exit(name, self.failed[name])

        with machine.state("BEGIN"):
            m.d.sync += self._part.eq(0)
            m.d.comb += self.fresh.eq(1)
            machine.next = "STATE NEXT"  # for ``open`` and ``status``
            with m.If(asked.train | asked.predict):
                machine.next = "LOAD NEXT"
            with m.If(asked.read | asked.write):
                machine.next = "ADDRESS NEXT"
            with m.If(asked.clear):
                machine.next = "CLEAR"
            changes = asked.train | asked.write | asked.clear
            with m.If(~self.known if self._learns else ~self.known | changes):
                machine.next = "unknown_command"

        # Comparisons are registered, with a waiting state; see the framer. All signals to the trainer come from
        # flip-flops, and its ready signals only change the state.
        self._report(m, machine)
        self._examples(m, machine)
        self._parameters(m, machine)
        self._clear(m, machine)
        machine.finish()
        return m

    def _put(self, m: Module, value: Any) -> None:
        """A byte of the answer."""
        m.d.comb += [self.answer.payload.eq(value), self.answer.valid.eq(1)]

    def _report(self, m: Module, machine: OneHot) -> None:
        """``open`` and ``status``."""
        part, control = self._part, self.control
        live = {
            "batch_open": self._batch_open,
            "example_count": control.example_count,
            "error_count": control.error_count,
        }
        state_bytes = Array([live[f.name][i * 8 : i * 8 + 8] for f in STATE for i in range(f.bytes)])
        state_byte, state_over = Signal(8), Signal()
        m.d.sync += [state_byte.eq(state_bytes[part]), state_over.eq(part == size(STATE))]
        machine.wait("STATE NEXT", "STATE")

        with machine.state("STATE"):
            m.d.sync += part.eq(part + 1)
            with m.If(state_over):
                machine.next = "done"
            with m.Else():
                self._put(m, state_byte)
                machine.next = "STATE NEXT"

    def _examples(self, m: Module, machine: OneHot) -> None:
        """``train`` and ``predict``: read each example, offer it, and write its result."""
        layout, part, dry = self._layout, self._part, self.dry
        example = Signal(layout.head_bytes * 8, reset_less=True)  # without x if that is sent in words
        word = Signal(layout.word_bits, reset_less=True)
        number = Signal(range(max(layout.words, 1)))
        offered = self.examples
        m.d.comb += [
            offered.payload.learn.eq(self.asked.train),
            offered.payload.last.eq(example[0] & offered.payload.learn),
            offered.payload.y.eq(example[1 : 1 + layout.output_bits]),
            offered.payload.x.eq(word if layout.words else example[1 + layout.output_bits :]),
        ]
        with m.If(self.fresh):
            m.d.sync += number.eq(0)

        loaded, word_loaded, in_example = Signal(), Signal(), Signal()  # including the byte loaded in this cycle
        m.d.sync += [
            loaded.eq(part == layout.head_bytes - 1),
            word_loaded.eq(part == layout.word_bits // 8 - 1),
            in_example.eq(part != 0),
        ]
        machine.wait("LOAD NEXT", "LOAD")

        with machine.state("LOAD"):
            m.d.comb += self.advance.eq(1)
            m.d.sync += [example.eq(Cat(example[8:], self.byte)), part.eq(part + 1)]
            machine.next = "LOAD NEXT"
            with m.If(self.at_end):
                machine.next = "done"
                with m.If(in_example):
                    machine.next = "wrong_length"
            with m.Elif(loaded):
                m.d.sync += part.eq(0)
                if layout.words:
                    machine.next = "LOAD WORD NEXT"
                else:
                    with m.If(~dry):
                        machine.next = "OFFER"

        if layout.words:
            machine.wait("LOAD WORD NEXT", "LOAD WORD")

            with machine.state("LOAD WORD"):
                m.d.comb += self.advance.eq(1)
                m.d.sync += [word.eq(Cat(word[8:], self.byte)), part.eq(part + 1)]
                machine.next = "LOAD WORD NEXT"
                with m.If(self.at_end):
                    machine.next = "wrong_length"
                with m.Elif(word_loaded):
                    m.d.sync += part.eq(0)
                    machine.next = "OFFER"

        last_word = Signal()
        m.d.sync += last_word.eq(number == layout.words - 1)
        with machine.state("OFFER"):
            m.d.comb += offered.valid.eq(~dry)
            with m.If(offered.ready | dry):
                machine.next = "OFFERED"

        with machine.state("OFFERED"):
            machine.next = "RESULT"
            with m.If(offered.payload.learn & ~dry):
                m.d.sync += self._batch_open.eq(~offered.payload.last & self._is_batch)
            if layout.words:
                m.d.sync += number.eq(number + 1)
                with m.If(~last_word):
                    machine.next = "LOAD WORD NEXT"
                with m.Else():
                    m.d.sync += number.eq(0)
                    with m.If(dry):
                        machine.next = "LOAD NEXT"
        self._result(m, machine)

    def _result(self, m: Module, machine: OneHot) -> None:
        """Write the result of an example, and go on to the next one."""
        layout, part, result = self._layout, self._part, self.results
        result_bits = Cat(result.payload.prediction, result.payload.correct)
        result_bytes = Array([result_bits[i * 8 : i * 8 + 8] for i in range(layout.result_bytes)])
        result_byte, result_over = Signal(8), Signal()  # result_over: with the byte that is put in this cycle
        m.d.sync += [
            result_byte.eq(result_bytes[part]),
            result_over.eq(machine.ongoing("RESULT NEXT") & (part == layout.result_bytes - 1)),
        ]
        m.d.comb += result.ready.eq(result_over)
        with machine.state("RESULT"), m.If(result.valid):
            machine.next = "RESULT NEXT"

        machine.wait("RESULT NEXT", "RESULT BYTE")

        with machine.state("RESULT BYTE"):
            self._put(m, result_byte)
            m.d.sync += part.eq(part + 1)
            machine.next = "RESULT NEXT"
            with m.If(result_over):
                m.d.sync += part.eq(0)
                machine.next = "LOAD NEXT"

    def _parameters(self, m: Module, machine: OneHot) -> None:
        """``read`` and ``write``."""
        layout, part, byte, control = self._layout, self._part, self.byte, self.control
        address_bytes = -(-layout.parameter_bytes.bit_length() // 8)  # of the byte after the last one, too
        address = Signal(8 * address_bytes, reset_less=True)
        beyond, write_byte = Signal(), Signal()
        too_high = Signal()  # a byte of the address above ``address_bytes`` is not 0
        m.d.comb += [
            control.parameter_write_enable.eq(write_byte),
            control.parameter_address.eq(address),
            control.parameter_write.eq(byte),
        ]
        m.d.sync += [
            beyond.eq(address >= layout.parameter_bytes),
            too_high.eq((part >= address_bytes) & (byte != 0)),
        ]
        machine.wait("ADDRESS NEXT", "ADDRESS BYTE")
        machine.wait("ADDRESS BYTE", "ADDRESS")

        with machine.state("ADDRESS"):
            m.d.comb += self.advance.eq(1)
            m.d.sync += part.eq(part + 1)
            machine.next = "ADDRESS NEXT"
            with m.If(part < address_bytes):
                m.d.sync += address.eq(Cat(address[8:], byte))
            with m.If(self.at_end):
                machine.next = "wrong_length"
            with m.Elif(too_high):
                machine.next = "wrong_address"
            with m.Elif(part == 3):
                machine.next = "WRITE NEXT"
                with m.If(self.asked.read):
                    machine.next = "READ COUNT"

        machine.wait("WRITE NEXT", "WRITE")

        with machine.state("WRITE"):
            with m.If(self.at_end):
                machine.next = "done"
            with m.Else():
                m.d.sync += write_byte.eq(~self.dry)
                machine.next = "WRITING"
                with m.If(beyond):  # in the dry pass
                    machine.next = "wrong_address"

        with machine.state("WRITING"), m.If(control.ready | self.dry):
            m.d.sync += write_byte.eq(0)
            machine.next = "WRITTEN"

        with machine.state("WRITTEN"):
            m.d.comb += self.advance.eq(1)
            m.d.sync += address.eq(address + 1)
            machine.next = "WRITE NEXT"

        self._read(m, machine, address, beyond)

    def _read(self, m: Module, machine: OneHot, address: Any, beyond: Any) -> None:
        """``read`` from its count on; ``byte`` stays at the count."""
        all_read, fetched = Signal(), Signal(8, reset_less=True)
        m.d.sync += [all_read.eq(self.answer_count == self.byte), fetched.eq(self.control.parameter_read)]
        machine.wait("READ COUNT", "READ NEXT")
        machine.wait("READ NEXT", "READ")

        with machine.state("READ"):
            with m.If(self.control.ready):
                machine.next = "READ DATA"
            with m.If(self.at_end):
                machine.next = "wrong_length"
            with m.Elif(all_read):
                machine.next = "done"
            with m.Elif(beyond):
                machine.next = "wrong_address"
            with m.Elif(self.full):
                machine.next = "wrong_length"

        machine.wait("READ DATA", "READ FETCH")
        machine.wait("READ FETCH", "READ BYTE")

        with machine.state("READ BYTE"):
            self._put(m, fetched)
            m.d.sync += address.eq(address + 1)
            machine.next = "READ NEXT"

    def _clear(self, m: Module, machine: OneHot) -> None:
        """``clear``."""
        clear = Signal()
        m.d.comb += self.control.clear.eq(clear)
        with machine.state("CLEAR"):
            m.d.sync += clear.eq(~self.dry)
            machine.next = "CLEARING"

        with machine.state("CLEARING"), m.If(self.control.ready | self.dry):
            m.d.sync += clear.eq(0)
            machine.next = "CLEARED"

        with machine.state("CLEARED"):
            m.d.sync += self._batch_open.eq(0)
            machine.next = "done"
