"""The claim that the framer encodes and decodes the frames of RFC 1662: two machines, compared by induction.

The *specification* gives the bytes on the line for each octet (a flag, an escape and its octet, or the octet itself)
and the CRC-32 of that RFC, bit by bit, whose register has a known value after a valid frame. All outputs of the framer
are compared with it in every cycle.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from amaranth.back import rtlil  # type: ignore[import-untyped]
from amaranth.hdl import Cat, Const, Module, Mux, Signal  # type: ignore[import-untyped]
from amaranth.lib import wiring  # type: ignore[import-untyped]
from amaranth.lib.enum import Enum  # type: ignore[import-untyped]
from amaranth.lib.wiring import In, Out  # type: ignore[import-untyped]

from rdahw.hdl.framer import MAX_FRAME, Framer
from rdahw.hdl.protocol import CRC_BYTES, ESCAPE, FLAG, HEADER_BYTES, TOGGLE
from rdahw.hdl.solvers import Question
from rdahw.hdl.trainer_proof import Refutation, check_counterexample, simulate

__all__ = ["FramerClaim", "framer"]

#: The most cycles of agreement that the induction may assume.
_MAX_STEPS = 6
#: The CRC-32 of RFC 1662: its polynomial, lowest power last, and its register before a frame and after a valid one.
_POLYNOMIAL, _INITIAL, _GOOD = 0xEDB88320, 0xFFFFFFFF, 0xDEBB20E3

#: Reads the two machines side by side.
_SCRIPT = """read_rtlil top.il
hierarchy -check -top top
proc
flatten
opt -full
setundef -init -zero
dffunmap
"""

#: The widths of the inputs.
_INPUTS = {"received_valid": 1, "received": 8, "ready": 1, "begin": 1, "body_valid": 1, "octet": 8, "end": 1}
#: The widths of the compared signals.
_COMPARED = {
    "hunting": 1,
    "receiving": 1,
    "octets_valid": 1,
    "octets": 8,
    "packet": 1,
    "damaged": 1,
    "sent_valid": 1,
    "sent": 8,
    "body_ready": 1,
    # Registers, which the induction needs.
    "escaping": 1,
    "checksum": 8 * CRC_BYTES,
    "begun": 1,
    "too_long": 1,
    "outgoing": 8,
    "flag": 1,
    "ending": 1,
    "part": 3,
}


@dataclass(frozen=True, slots=True)
class FramerClaim:
    """The claim of :func:`framer`. files: for Yosys. make: makes the framer again, for a replay."""

    files: Mapping[str, str] = field(repr=False)
    make: Callable[[], Any] = field(repr=False)
    size: str = f"up to {MAX_FRAME} bytes a frame"
    name: str = "framer"
    words: str = "frames are encoded and decoded by RFC 1662, for any number of cycles, valid/ready pattern and resets"
    symbols: str = "sent = frame(body); octets = deframe(received)"

    @property
    def question(self) -> Question:
        """The question for a solver."""
        return Question(self.files, _SCRIPT, "top", "differ", {"rst": 1, **_INPUTS}, _MAX_STEPS)

    def replayed(self, cycles: Sequence[Mapping[str, str]], replay: Any) -> Refutation:
        """The refutation with these inputs, run in Amaranth's simulator.

        Raises :class:`InternalError` unless the two differ in the last cycle and agree in all others.
        """
        del replay  # a framer is more than a circuit
        sides = {"framer": "its", "specification": "due"}
        paths = {f"{side}_{name}": (f"{side}_{name}",) for side in (*sides.values(), "wrong") for name in _COMPARED}
        rows = simulate(_Compared(self.make()), cycles, {name: (name,) for name in _INPUTS}, paths)
        wrong = [[name for name in _COMPARED if row[f"wrong_{name}"] == "1"] for row in rows]
        check_counterexample(self, wrong)
        found = {title: {name: rows[-1][f"{side}_{name}"] for name in wrong[-1]} for title, side in sides.items()}
        return Refutation(cycles, found)


def framer(make: Callable[[], Any] = Framer) -> FramerClaim:
    """The claim about :class:`rdahw.hdl.framer.Framer`, or about the component that ``make`` makes.

    For every stream of bytes from power-up on: after a flag each byte but FLAG and ESCAPE is an octet, with bit 5
    inverted after an ESCAPE; a flag after an octet ends the frame, which is a packet if it is long enough and its CRC
    is right, and an octet more than :data:`rdahw.hdl.framer.MAX_FRAME` ends it as damaged. Then, for every stream of
    octets, it sends a flag, the octets and their CRC with FLAG and ESCAPE stuffed, and a flag; a byte is held until it
    is taken, and the next one is valid three cycles later.

    Assumed of the user: the two directions alternate, the octets are counted, and nothing is received from the ``end``
    of a frame until its last flag is taken.
    """
    top = _Compared(make())
    ports = [getattr(top, name) for name in (*_INPUTS, "differ")]
    return FramerClaim({"top.il": str(rtlil.convert(top, name="top", ports=ports, emit_src=False))}, make)


class _Turn(Enum, shape=3):  # type: ignore[misc,call-arg]
    """The phase of a framer."""

    HUNT = 0
    FRAME = 1  # comes
    SETTLE = 2  # and has ended
    CHECK = 3
    WAIT = 4  # for a frame to send
    BODY = 5  # of that
    TAIL = 6  # its CRC


class _Compared(wiring.Component):  # type: ignore[misc]
    """A framer and its specification; ``differ``: they differ in this cycle, in the signals marked by ``wrong_``."""

    def __init__(self, framer: Any) -> None:
        self.framer = framer
        compared = {f"{side}_{name}": Out(width) for name, width in _COMPARED.items() for side in ("its", "due")}
        wrong = {f"wrong_{name}": Out(1) for name in _COMPARED}
        super().__init__({name: In(width) for name, width in _INPUTS.items()} | compared | wrong | {"differ": Out(1)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.framer = framer = self.framer
        turn, count = Signal(_Turn), Signal(8)
        waits = Signal()  # a byte is to be sent
        came, byte = Signal(), Signal(8)  # what came in the cycle before
        comes = self.received_valid & (turn != _Turn.TAIL) & ~((turn == _Turn.HUNT) & waits)
        begin, item = self.begin & (turn == _Turn.WAIT), self.body_valid & (turn == _Turn.BODY)
        m.d.sync += [came.eq(comes), byte.eq(self.received)]
        m.d.comb += [
            framer.received.valid.eq(comes),
            framer.received.payload.eq(self.received),
            framer.sent.ready.eq(self.ready),
            framer.count.eq(count),
            framer.begin.eq(begin),
            framer.body.valid.eq(item),
            framer.body.payload.octet.eq(self.octet),
            framer.body.payload.end.eq(self.end),
        ]
        taken = item & ~waits
        crc, escaped = Signal(32, init=_INITIAL), Signal()
        restart = begin | (turn == _Turn.HUNT)
        self._checksum(m, crc, restart, taken & ~self.end)
        self._receive(m, turn, count, came, byte, crc, escaped)
        self._send(m, turn, begin, taken, waits, crc, escaped)
        self._compare(m, turn, count, waits)
        return m

    def _checksum(self, m: Module, crc: Any, restart: Any, sends: Any) -> None:
        """The CRC of the octets that came or were taken, two cycles after each."""
        fed, octet = Signal(), Signal(8)
        m.d.sync += [fed.eq(self.due_octets_valid | sends), octet.eq(Mux(sends, self.octet, self.due_octets))]
        after = crc ^ octet
        for _ in range(8):
            after = (after >> 1)[:32] ^ Mux(after[0], _POLYNOMIAL, 0)
        with m.If(restart):
            m.d.sync += crc.eq(_INITIAL)
        with m.Elif(fed):
            m.d.sync += crc.eq(after)
        m.d.comb += self.due_checksum.eq(~crc)

    def _receive(self, m: Module, turn: Any, count: Any, came: Any, byte: Any, crc: Any, escaped: Any) -> None:
        m.d.comb += [
            self.due_hunting.eq(turn == _Turn.HUNT),
            self.due_receiving.eq(turn == _Turn.FRAME),
            self.due_octets.eq(Mux(escaped, byte ^ TOGGLE, byte)),
            self.due_octets_valid.eq((turn == _Turn.FRAME) & came & (byte != FLAG) & (byte != ESCAPE)),
            self.due_begun.eq(count != 0),
            self.due_too_long.eq(count >= MAX_FRAME),
        ]
        with m.If(turn == _Turn.HUNT):
            m.d.sync += [count.eq(0), escaped.eq(0)]
            with m.If(came & (byte == FLAG)):
                m.d.sync += turn.eq(_Turn.FRAME)
        with m.If((turn == _Turn.FRAME) & came):
            m.d.sync += escaped.eq(byte == ESCAPE)
            with m.If((byte == FLAG) & (count != 0)):
                m.d.sync += turn.eq(_Turn.SETTLE)
        with m.If(self.due_octets_valid):
            m.d.sync += count.eq(count + 1)
            with m.If(count >= MAX_FRAME):
                m.d.comb += self.due_damaged.eq(1)
                m.d.sync += turn.eq(_Turn.WAIT)
        with m.If(turn == _Turn.SETTLE):
            m.d.sync += turn.eq(_Turn.CHECK)
        with m.If(turn == _Turn.CHECK):
            m.d.sync += turn.eq(_Turn.WAIT)
            sound = (crc == _GOOD) & (count >= HEADER_BYTES + CRC_BYTES)
            m.d.comb += [self.due_packet.eq(sound), self.due_damaged.eq(~sound)]

    def _send(self, m: Module, turn: Any, begin: Any, taken: Any, waits: Any, crc: Any, escaped: Any) -> None:
        item, sends_flag, settled, part = Signal(8), Signal(), Signal(), self.due_part
        is_flag = sends_flag | (turn == _Turn.HUNT)  # only a flag follows a frame's CRC
        stuffs = ((item == FLAG) | (item == ESCAPE)) & ~is_flag & ~escaped
        sends = (turn == _Turn.BODY) | (turn == _Turn.TAIL) | (turn == _Turn.HUNT)  # or its last flag waits
        m.d.comb += [
            self.due_ending.eq(turn == _Turn.TAIL),
            # Nothing waits while a frame is received.
            self.due_body_ready.eq(~waits | ~sends),
            self.due_escaping.eq(escaped),
            self.due_sent_valid.eq(waits & settled),
            self.due_flag.eq(is_flag),
            self.due_outgoing.eq(Mux(is_flag, FLAG, item)),
            self.due_sent.eq(Mux(is_flag, FLAG, Mux(stuffs, ESCAPE, Mux(escaped, item ^ TOGGLE, item)))),
        ]
        m.d.sync += settled.eq(waits)
        with m.If(self.due_sent_valid & self.ready):
            m.d.sync += [waits.eq(stuffs), escaped.eq(stuffs)]
        with m.If(begin):
            m.d.sync += [turn.eq(_Turn.BODY), part.eq(0), escaped.eq(0), sends_flag.eq(1), waits.eq(1)]
        with m.If(taken & self.end):
            m.d.sync += turn.eq(_Turn.TAIL)
        with m.If(taken & ~self.end):
            m.d.sync += [item.eq(self.octet), sends_flag.eq(0), waits.eq(1)]
        with m.If((turn == _Turn.TAIL) & ~waits):
            m.d.sync += [item.eq((~crc).word_select(part[:2], 8)), sends_flag.eq(0), waits.eq(1), part.eq(part + 1)]
            with m.If(part == CRC_BYTES):
                m.d.sync += [turn.eq(_Turn.HUNT), sends_flag.eq(1)]

    def _compare(self, m: Module, turn: Any, count: Any, waits: Any) -> None:
        """Each signal in the cycles in which it is valid."""
        framer = self.framer
        frame, sends = turn == _Turn.FRAME, (turn == _Turn.BODY) | (turn == _Turn.TAIL)
        seen = {
            "octets_valid": framer.octets.valid,
            "octets": framer.octets.payload,
            "sent_valid": framer.sent.valid,
            "sent": framer.sent.payload,
            "body_ready": framer.body.ready,
        }
        where = {
            "octets": self.due_octets_valid,
            "sent": self.due_sent_valid,
            "outgoing": waits,
            "flag": waits,
            "part": sends,
        }
        where |= {"begun": frame, "too_long": frame}
        wrong = []
        for name in _COMPARED:
            its, due = getattr(self, f"its_{name}"), getattr(self, f"due_{name}")
            m.d.comb += [
                its.eq(seen[name] if name in seen else getattr(framer, name)),
                getattr(self, f"wrong_{name}").eq((its != due) & where.get(name, Const(1))),
            ]
            wrong.append(getattr(self, f"wrong_{name}"))
        m.d.comb += self.differ.eq(Cat(wrong).any())
