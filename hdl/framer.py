"""The host link's frames in gateware: flags, byte stuffing and CRC, in both directions.

A frame is that of :func:`rdahw.hdl.protocol.frame`. The two directions alternate (a frame is received, then one is
sent), so that they share the CRC and the flip-flop of an escape.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, ResetInserter, Signal  # type: ignore[import-untyped]
from amaranth.lib import crc, stream, wiring  # type: ignore[import-untyped]
from amaranth.lib.data import StructLayout  # type: ignore[import-untyped]
from amaranth.lib.wiring import In, Out  # type: ignore[import-untyped]

from rdahw.hdl.one_hot import OneHot
from rdahw.hdl.protocol import CRC_BYTES, ESCAPE, FLAG, HEADER_BYTES, MAX_PAYLOAD, TOGGLE

__all__ = ["BODY", "MAX_FRAME", "Framer"]

#: The longest (with the usual payload) and the shortest valid frame, in bytes without flags and escapes: a packet and
#: its CRC.
MAX_FRAME = HEADER_BYTES + MAX_PAYLOAD + CRC_BYTES
_MIN_FRAME = HEADER_BYTES + CRC_BYTES

#: An item to be sent between the flags: an octet of the packet, or its ``end``.
BODY = StructLayout({"octet": 8, "end": 1})


class Framer(wiring.Component):  # type: ignore[misc]
    """Decodes received frames and encodes sent ones. payload: the longest one of a packet.

    received: bytes of the line, one in any cycle. Those before a flag are dropped, as are all from ``packet`` or
        ``damaged`` to the ``end`` of the frame that is then sent. After that none may be received until the last flag
        was taken from ``sent``.
    sent: bytes to the line.
    hunting: no frame has begun; ``count`` has to be 0 in the next cycle.
    receiving: a frame is being received.
    octets: the contents of the frame, unstuffed, CRC included.
    count: the number of ``octets`` before, counted by their consumer.
    packet: high for a cycle when a frame with a valid CRC and at least a header has ended.
    damaged: high for a cycle when any other frame has ended, or one has more bytes than a packet with ``payload``.
    begin: high for a cycle, after ``packet`` or ``damaged``, begins to send a frame.
    body: its contents, from the cycle after ``begin``, up to an ``end``; the CRC is added. An item is taken when the
        one before was sent, two or more cycles later.

    Registers, for proofs: ``escaping``: the byte before was ESCAPE. ``checksum``: the CRC so far. ``begun``: the
    received frame has an octet. ``too_long``: it may have no further one. ``outgoing``: the byte that waits to be sent;
    ``flag``: unstuffed, as a flag. ``ending``: the CRC is sent, of which ``part`` bytes are waiting or sent.
    """

    def __init__(self, payload: int = MAX_PAYLOAD) -> None:
        self._max_frame = MAX_FRAME - MAX_PAYLOAD + payload
        self.escaping, self.checksum = Signal(), Signal(8 * CRC_BYTES)
        self.begun, self.too_long = Signal(), Signal()
        self.outgoing, self.flag = Signal(8, reset_less=True), Signal()
        self.ending, self.part = Signal(), Signal(range(CRC_BYTES + 1))
        super().__init__(
            {
                "received": In(stream.Signature(8, always_ready=True)),
                "sent": Out(stream.Signature(8)),
                "hunting": Out(1),
                "receiving": Out(1),
                "octets": Out(stream.Signature(8, always_ready=True)),
                "count": In(range(self._max_frame + 1)),
                "packet": Out(1),
                "damaged": Out(1),
                "begin": In(1),
                "body": In(stream.Signature(BODY)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        # Comparisons are registered, with a waiting state before the register is used: at 48 MHz an iCE40 UltraPlus has
        # time for few look-up tables between two flip-flops.
        sound, long_enough = Signal(), Signal()
        m.d.sync += long_enough.eq(self.count >= _MIN_FRAME)
        check, restart = crc.catalog.CRC32_ISO_HDLC(8).create(), Signal()
        octet, checked = Signal(8), Signal()  # checked: the octet is added to the checksum
        m.d.sync += [check.data.eq(octet), check.valid.eq(checked), sound.eq(check.match_detected)]
        # Reset instead of the CRC's ``start``, which allows a byte in the same cycle and costs a multiplexer per bit.
        m.submodules.crc = ResetInserter(restart)(check)
        m.d.comb += self.checksum.eq(check.crc)

        machine = OneHot(m, "HUNT")
        machine.exit("packet", self.packet)
        machine.exit("damaged", self.damaged)
        free, send, send_flag = self._stuffing(m)

        # -- receiving
        escaping, begun, too_long = self.escaping, self.begun, self.too_long
        arrived, arrives, is_flag, is_escape = Signal(8), Signal(), Signal(), Signal()
        m.d.sync += [
            arrives.eq(self.received.valid),
            arrived.eq(self.received.payload),
            is_flag.eq(self.received.payload == FLAG),
            is_escape.eq(self.received.payload == ESCAPE),
        ]
        m.d.comb += [
            self.hunting.eq(machine.ongoing("HUNT")),
            self.receiving.eq(machine.ongoing("RECEIVE")),
            self.octets.payload.eq(arrived ^ Mux(escaping, TOGGLE, 0)),
        ]
        with machine.state("HUNT"):  # for the flag before a frame
            m.d.sync += [escaping.eq(0), begun.eq(0), too_long.eq(0)]
            m.d.comb += restart.eq(1)
            with m.If(arrives & is_flag):
                machine.next = "RECEIVE"

        with machine.state("RECEIVE"), m.If(arrives):
            m.d.sync += escaping.eq(is_escape)
            with m.If(is_flag & ~begun):
                pass  # the end of a frame was lost, or this is one
            with m.Elif(is_flag):
                machine.next = "CHECK NEXT"
            with m.Elif(~is_escape):
                m.d.comb += self.octets.valid.eq(1)
                m.d.sync += [begun.eq(1), too_long.eq(self.count == self._max_frame - 1)]
                with m.If(too_long):
                    machine.next = "damaged"

        machine.wait("CHECK NEXT", "CHECK")

        with machine.state("CHECK"):
            machine.next = "damaged"
            with m.If(sound & long_enough):
                machine.next = "packet"

        # -- sending
        body, part, crc_byte = self.body, self.part, Signal(8, reset_less=True)
        m.d.comb += [
            self.ending.eq(machine.ongoing("CHECKSUM")),
            body.ready.eq(free),
            octet.eq(Mux(self.receiving, self.octets.payload, body.payload.octet)),
            checked.eq(self.octets.valid | (body.valid & free & ~body.payload.end)),
        ]
        with m.If(self.begin):
            m.d.comb += restart.eq(1)
            m.d.sync += [escaping.eq(0), part.eq(0)]
            send_flag()
        with m.If(body.valid & free & ~body.payload.end):
            send(body.payload.octet)
        machine.enter("CHECKSUM", body.valid & free & body.payload.end)
        m.d.sync += crc_byte.eq(check.crc.word_select(part[:2], 8))  # settled while a byte waits
        with machine.state("CHECKSUM"), m.If(free):
            send(crc_byte)
            m.d.sync += part.eq(part + 1)
            with m.If(part == CRC_BYTES):
                send_flag()
                machine.next = "HUNT"
        machine.finish()
        return m

    def _stuffing(self, m: Module) -> tuple[Any, Any, Any]:
        """A signal that is high while no byte waits, and functions to send a byte, stuffed, or a flag then."""
        escaping, outgoing, waiting, flag = self.escaping, self.outgoing, Signal(), self.flag
        special, settled = Signal(), Signal()  # settled: ``special`` refers to the byte that waits
        m.d.sync += [special.eq(((outgoing == FLAG) | (outgoing == ESCAPE)) & ~flag), settled.eq(waiting)]
        m.d.comb += [
            self.sent.valid.eq(waiting & settled),
            self.sent.payload.eq(outgoing ^ Mux(escaping, TOGGLE, 0)),
        ]
        with m.If(special & ~escaping):
            m.d.comb += self.sent.payload.eq(ESCAPE)
        with m.If(self.sent.valid & self.sent.ready):
            m.d.sync += [waiting.eq(special & ~escaping), escaping.eq(special & ~escaping)]

        def send(value: Any) -> None:
            m.d.sync += [outgoing.eq(value), flag.eq(0), waiting.eq(1)]

        def send_flag() -> None:
            m.d.sync += [outgoing.eq(FLAG), flag.eq(1), waiting.eq(1)]

        return ~waiting, send, send_flag
