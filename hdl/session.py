"""Exactly-once execution: which packets are executed, which answers are sent again, and which are refused.

The table of ``docs/host-link.md``, by the open session, the sequence number of the last executed packet, and a packet's
header. A request is executed in two passes: a dry one that only checks whether all of it can be done, and one that does
it, so no request is applied in part. ``open`` cannot fail and has only the second pass.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Signal  # type: ignore[import-untyped]
from amaranth.lib import stream, wiring  # type: ignore[import-untyped]
from amaranth.lib.data import StructLayout  # type: ignore[import-untyped]
from amaranth.lib.wiring import In, Out  # type: ignore[import-untyped]

from rdahw.hdl.framer import BODY
from rdahw.hdl.one_hot import OneHot
from rdahw.hdl.protocol import COMMANDS, ERRORS, HEADER_BYTES, REFUSED

__all__ = ["ASKED", "FAILURES", "Session"]

#: The command of a request, one-hot.
ASKED = StructLayout(dict.fromkeys(COMMANDS, 1))
#: Why a command cannot be executed, one-hot.
FAILURES = StructLayout(dict.fromkeys(("unknown_command", "wrong_length", "wrong_address"), 1))

#: The position of a request's sequence number, the last byte of its header.
_SEQUENCE = HEADER_BYTES - 1
_CODES = {name: command.code for name, command in COMMANDS.items()}

assert sorted(_CODES.values()) == list(range(1, 8))


class Session(wiring.Component):  # type: ignore[misc]
    """Checks each packet, starts its execution, and sends the answer.

    receiving: a packet is being received. packet, damaged: high for a cycle when a valid or a damaged one has ended.
    byte, place: from the packet store, which reads the header; advance, rewind, replay, report, keep: to it.
    answer_over: the stored answer has no more bytes.
    begin, body: to the framer: the answer without its CRC. At least two cycles must be between two items, as in the
        framer, and between ``begin`` and the first one.
    asked: the command of the request; known: there is such a command. Both are valid two cycles after the code is read.
    execute: high for a cycle: a pass over the payload begins. dry: it is the dry one.
    done, failed: high for a cycle: the pass has ended, or the request cannot be executed for this reason.
    error: high for a cycle when a request is refused.
    """

    def __init__(self) -> None:
        self._sequence = Signal(8)  # of the last executed packet
        self._refusal = Signal(3)  # the reason if the current answer is a refusal, else 0
        super().__init__(
            {
                "receiving": In(1),
                "packet": In(1),
                "damaged": In(1),
                "byte": In(8),
                "place": In(3),
                "answer_over": In(1),
                "advance": Out(1),
                "rewind": Out(1),
                "replay": Out(1),
                "report": Out(1),
                "keep": Out(1),
                "begin": Out(1),
                "body": Out(stream.Signature(BODY)),
                "asked": Out(ASKED),
                "known": Out(1),
                "execute": Out(1),
                "dry": Out(1),
                "done": In(1),
                "failed": In(FAILURES),
                "error": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        machine = OneHot(m, None)
        machine.enter("HEADER", self.packet)
        machine.enter("damaged", self.damaged)
        machine.enter("FINISH", self.done)
        for name in FAILURES.members:
            machine.enter(name, self.failed[name])
        machine.exit("execute", self.execute)
        machine.exit("sent")

        header_end = self.place == _SEQUENCE
        self._judge(m, machine, header_end)

        # -- between the passes: the request is going to be executed
        with machine.state("REWIND"):
            m.d.comb += self.rewind.eq(1)
            machine.next = "NUMBER"

        with machine.state("NUMBER"):
            m.d.comb += self.advance.eq(1)
            m.d.sync += [self._sequence.eq(self.byte), self.dry.eq(0)]
            machine.next = "NUMBER NEXT"
            with m.If(header_end):
                machine.next = "execute"

        machine.wait("NUMBER NEXT", "NUMBER")

        with machine.state("FINISH"):  # a pass
            m.d.comb += self.keep.eq(1)
            machine.next = "REWIND"
            with m.If(~self.dry):
                machine.next = "ANSWER"

        self._answer(m, machine, header_end)
        machine.finish()
        return m

    def _judge(self, m: Module, machine: OneHot, header_end: Any) -> None:
        """Read a packet's header and begin a pass over its payload, or answer."""
        byte, place, sequence = self.byte, self.place, self._sequence
        command, known, opens = Signal(3), Signal(), Signal()
        m.d.sync += [self.asked[name].eq(command == code) for name, code in _CODES.items()]
        m.d.comb += [self.known.eq(known), opens.eq(known & self.asked.open)]
        opened = Signal()  # there is an open session, of this number:
        session = Signal(32, reset_less=True)
        ours = Signal()  # the packet belongs to the open session
        with m.If(self.receiving):
            m.d.sync += ours.eq(opened)

        with machine.state("HEADER"):
            m.d.comb += self.advance.eq(1)
            with m.If(place == 0):
                m.d.sync += [command.eq(byte), known.eq((byte != 0) & (byte[3:] == 0))]
            with m.Else():
                m.d.sync += session.eq(session.rotate_right(8))
                with m.If(byte != session[:8]):
                    m.d.sync += ours.eq(0)
            machine.next = "HEADER NEXT"

        with machine.state("HEADER NEXT"):
            machine.next = "HEADER"
            with m.If(place == _SEQUENCE - 1):
                machine.next = "COMPARE"

        # Comparisons are registered, with a waiting state; see the framer.
        repeated, follows, following = Signal(), Signal(), Signal(8)
        m.d.sync += [
            following.eq(sequence + 1),
            repeated.eq(byte == sequence),
            follows.eq(byte == following),
        ]
        machine.wait("COMPARE", "JUDGE")

        with machine.state("JUDGE"):
            m.d.sync += [self.dry.eq(1), self._refusal.eq(0)]
            m.d.comb += self.advance.eq(1)
            with m.If(ours):
                with m.If(repeated):
                    machine.next = "ANSWER"
                with m.Elif(~follows | opens):
                    machine.next = "wrong_sequence"
                with m.Else():
                    machine.next = "execute"
            with m.Elif(opens):
                machine.next = "ADOPT FIRST"
            with m.Else():
                machine.next = "wrong_session"

        with machine.state("ADOPT FIRST"):
            m.d.comb += self.rewind.eq(1)
            machine.next = "ADOPT"

        with machine.state("ADOPT"):
            m.d.comb += self.advance.eq(1)
            m.d.sync += opened.eq(1)
            machine.next = "ADOPT NEXT"
            with m.If(header_end):
                machine.next = "REWIND"
            with m.Else():  # the code is shifted through as well
                m.d.sync += session.eq(Cat(session[8:], byte))

        machine.wait("ADOPT NEXT", "ADOPT")

    def _answer(self, m: Module, machine: OneHot, header_end: Any) -> None:
        """Send the header of the request, with the reason in a refusal, and the stored answer."""
        body, refusal = self.body, self._refusal
        refused, at_code = Signal(), Signal()  # the answer is a refusal; its code is being sent
        for error in ERRORS.values():
            with machine.state(error.name):
                m.d.comb += self.error.eq(1)
                m.d.sync += refusal.eq(error.code & ~REFUSED)
                machine.next = "ANSWER"

        with machine.state("ANSWER"):
            m.d.comb += [self.begin.eq(1), self.rewind.eq(1)]
            m.d.sync += [self.dry.eq(0), refused.eq(refusal != 0), at_code.eq(refusal != 0)]
            machine.next = "ANSWER HEADER"

        m.d.comb += body.payload.octet.eq(self.byte)
        with machine.state("ANSWER HEADER"):  # that of the request
            m.d.comb += body.valid.eq(1)
            with m.If(at_code):
                m.d.comb += body.payload.octet.eq(REFUSED | refusal)
            with m.If(body.ready):
                m.d.comb += self.advance.eq(1)
                m.d.sync += at_code.eq(0)
                with m.If(header_end):
                    machine.next = "REPLAY"

        with machine.state("REPLAY"):
            m.d.comb += [self.replay.eq(1), self.report.eq(self.asked.open | self.asked.status)]
            machine.next = "ANSWER PAYLOAD"

        all_sent = Signal()  # no byte of the answer is left; registered while an item waits
        m.d.sync += all_sent.eq(refused | self.answer_over)
        with machine.state("ANSWER PAYLOAD"):
            m.d.comb += [body.valid.eq(1), body.payload.end.eq(all_sent)]
            with m.If(body.ready):
                m.d.comb += self.advance.eq(1)
                with m.If(all_sent):
                    machine.next = "sent"
