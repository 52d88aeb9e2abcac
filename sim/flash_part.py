"""A model of a serial NOR flash, Winbond's W25Q128JV as seen by a reader, as gateware for simulations.

The part starts asleep and then accepts only the wake command, after which it is busy for a time; four data lines need
the quad-enable bit; addresses wrap to 0 after the last byte; a bit appears one cycle after its falling edge, for the
delay of pads and part. The contents are outside, behind ``address`` and ``data``, so that any simulator can provide
them from an array (:meth:`rdahw.sim.simulator.Simulator.attach`).

Times are in cycles of the simulated design's clock, which must be fast enough to sample every edge.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal  # type: ignore[import-untyped]
from amaranth.lib import wiring  # type: ignore[import-untyped]
from amaranth.lib.wiring import In, Out  # type: ignore[import-untyped]

from rdahw.hdl.flash_reader import ADDRESS_BITS, FlashPins

__all__ = ["FAULTS", "FlashPart"]

#: The faults of a reader; :attr:`FlashPart.fault` is the first that occurred, numbered from 1.
FAULTS = (
    "contention",  # a line was driven by both sides
    "pause",  # selected again too soon
    "hold",  # line 3 low while it is the part's /HOLD
    "early",  # a command during the wake-up time
    "busy",  # a command other than reading a status during the write of one
    "quad",  # four lines without quad-enable
    "unknown",  # a command that is not modelled, such as erase or program
    "cut",  # deselected within a command
    "write",  # a status write without write enable
)

_WAKE, _SLEEP, _LEAVE = 0xAB, 0xB9, 0xFF
_WRITE_ENABLE, _WRITE_DISABLE, _VOLATILE_ENABLE, _WRITE_STATUS = 0x06, 0x04, 0x50, 0x31
_READ, _FAST_READ, _QUAD_OUTPUT, _QUAD_IO = 0x03, 0x0B, 0x6B, 0xEB
_STATUS = (0x05, 0x35, 0x15)
_ID = 0x9F
_JEDEC_ID = (0xEF, 0x40, 0x18)


class _Heard(NamedTuple):
    """Signals derived from the lines: edges of selection and clock, each high for a cycle; the clocks since the part
    was selected, and the bits on one line and on four. Those that end in ``_now`` include the edge of this cycle."""

    selected: Any
    too_soon: Any
    rise: Any
    fall: Any
    end: Any
    clocks: Any
    clocks_now: Any
    bits: Any
    bits_now: Any
    nibbles_now: Any


class FlashPart(wiring.Component):  # type: ignore[misc]
    """A part of ``size`` bytes, a power of two.

    wake, write: the busy cycles after waking, and after a non-volatile status write. pause: the least number of
    deselected cycles between two commands. asleep: at power-up. quad: whether quad-enable is set in the non-volatile
    status.

    pins: the lines. address, data: the byte at ``address``, needed in the same cycle.
    fault: 0, or the number of the reader's first fault, as in :data:`FAULTS` from 1 on.

    The attribute ``asleep`` is the register with that state, for simulators.
    """

    def __init__(
        self,
        *,
        size: int = 1 << ADDRESS_BITS,
        wake: int = 144,
        write: int = 1000,
        pause: int = 3,
        asleep: bool = True,
        quad: bool = False,
    ) -> None:
        self._size, self._wake, self._write, self._pause = size, wake, write, pause
        self._quad = quad
        self.asleep = Signal(init=asleep)
        # Output: whether it has begun; the next bit or nibble; of which source (0: memory, 1 to 3: a status, 4 and
        # above: the identity); over four lines.
        self._begun, self._position, self._which, self._four = Signal(), Signal(3), Signal(3), Signal()
        self._out, self._drives = Signal(4), Signal(4)
        super().__init__(
            {
                "pins": In(FlashPins()),
                "address": Out(ADDRESS_BITS),
                "data": In(8),
                "fault": Out(range(len(FAULTS) + 1)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """The logic, as Amaranth asks for it."""
        m = Module()
        pins = self.pins
        lines, out, drives = Signal(4), self._out, self._drives
        begun, position, which, four = self._begun, self._position, self._which, self._four
        m.d.comb += [
            lines.eq((pins.o & pins.oe) | (out & drives) | ~(pins.oe | drives)),
            pins.i.eq(lines),
        ]

        def fault(name: str) -> None:
            with m.If(self.fault == 0):
                m.d.sync += self.fault.eq(FAULTS.index(name) + 1)

        # -- the part's state
        asleep, waking = self.asleep, Signal()
        enabled, for_good = Signal(), Signal()  # a status may be written; non-volatile
        write_latch, writing = Signal(), Signal()
        second = Signal(8, init=int(self._quad) << 1)
        continuous, then = Signal(), Signal()  # reads without a command byte, now or from the next one on
        busy = Signal(range(max(self._wake, self._write) + 1))
        with m.If(busy != 0):
            m.d.sync += busy.eq(busy - 1)
            with m.If(busy == 1):
                m.d.sync += [waking.eq(0), writing.eq(0)]
        over = busy <= 1  # not busy in this cycle
        statuses = Array([Cat(writing & ~over, write_latch), second, Const(0x60, 8)])

        heard = self._hear(m, lines)
        rise, clocks, clocks_now = heard.rise, heard.clocks, heard.clocks_now
        bits_now, nibbles_now = heard.bits_now, heard.nibbles_now
        code, taken = Signal(8), Signal()  # taken: the command was accepted
        address = self.address
        with m.If(heard.selected):
            m.d.sync += [taken.eq(0), begun.eq(0)]

        start = Mux(continuous, 0, 8)
        quad_io = continuous | (taken & (code == _QUAD_IO))
        with m.If(rise & (clocks_now == 8) & ~continuous):
            m.d.sync += [code.eq(bits_now), taken.eq(0), position.eq(0)]
            now = bits_now[:8]
            with m.If(asleep):
                m.d.sync += taken.eq(now == _WAKE)
            with m.Elif(waking & ~over):
                fault("early")
            with m.Elif(writing & ~over & ~now.matches(*_STATUS)):
                fault("busy")
            with m.Else(), m.Switch(now):
                for i, status in enumerate(_STATUS):
                    with m.Case(status):
                        m.d.sync += [taken.eq(1), begun.eq(1), which.eq(i + 1), four.eq(0)]
                with m.Case(_ID):
                    m.d.sync += [taken.eq(1), begun.eq(1), which.eq(4), four.eq(0)]
                with m.Case(_QUAD_OUTPUT, _QUAD_IO):
                    m.d.sync += taken.eq(second[1])
                    with m.If(~second[1]):
                        fault("quad")
                with m.Case(
                    *(_READ, _FAST_READ, _WAKE, _SLEEP, _LEAVE),
                    *(_WRITE_ENABLE, _WRITE_DISABLE, _VOLATILE_ENABLE, _WRITE_STATUS),
                ):
                    m.d.sync += taken.eq(1)
                with m.Default():
                    fault("unknown")
        with m.Elif(rise & quad_io):
            with m.If(clocks_now == start + 6):
                m.d.sync += address.eq(nibbles_now & (self._size - 1))
            with m.If(clocks_now == start + 8):
                m.d.sync += then.eq(nibbles_now[4:6] == 2)
            with m.If(clocks_now == start + 12):
                m.d.sync += [begun.eq(1), position.eq(0), which.eq(0), four.eq(1)]
        with m.Elif(rise & taken & code.matches(_READ, _FAST_READ, _QUAD_OUTPUT)):
            with m.If(clocks_now == 32):
                m.d.sync += address.eq(bits_now & (self._size - 1))
            with m.If(clocks_now == Mux(code == _READ, 32, 40)):
                m.d.sync += [begun.eq(1), position.eq(0), which.eq(0), four.eq(code == _QUAD_OUTPUT)]

        self._put_out(m, heard, statuses)

        # -- commands that take effect when the part is deselected
        with m.If(heard.end):
            m.d.sync += [out.eq(0), drives.eq(0)]
            with m.If(quad_io):
                m.d.sync += continuous.eq(then & (clocks >= start + 12))
            with m.Elif(taken & code.matches(_WAKE, _SLEEP, _WRITE_ENABLE, _WRITE_DISABLE, _VOLATILE_ENABLE)):
                with m.If(clocks != 8):
                    fault("cut")
                with m.Else(), m.Switch(code):
                    with m.Case(_WAKE), m.If(asleep):
                        m.d.sync += [asleep.eq(0), waking.eq(1), busy.eq(self._wake)]
                    with m.Case(_SLEEP):
                        m.d.sync += asleep.eq(1)
                    with m.Case(_WRITE_ENABLE):
                        m.d.sync += [enabled.eq(1), for_good.eq(1), write_latch.eq(1)]
                    with m.Case(_WRITE_DISABLE):
                        m.d.sync += [enabled.eq(0), write_latch.eq(0)]
                    with m.Case(_VOLATILE_ENABLE):
                        m.d.sync += [enabled.eq(1), for_good.eq(0)]
            with m.Elif(taken & (code == _WRITE_STATUS)):
                with m.If(clocks != 16):
                    fault("cut")
                with m.Elif(~enabled):
                    fault("write")
                with m.Else():
                    m.d.sync += [second.eq(heard.bits), enabled.eq(0), write_latch.eq(0)]
                    with m.If(for_good):
                        m.d.sync += [busy.eq(self._write), writing.eq(1)]

        # -- the pins; written last, so that these take precedence over other faults of the same cycle
        with m.If(pins.select & ~asleep & ~second[1] & ~lines[3]):
            fault("hold")
        with m.If(heard.too_soon):
            fault("pause")
        with m.If((drives & pins.oe) != 0):
            fault("contention")
        return m

    def _hear(self, m: Module, lines: Any) -> _Heard:
        """Sample the lines."""
        pins = self.pins
        was_clock, was_selected, off = Signal(), Signal(), Signal(range(self._pause + 1), init=self._pause)
        m.d.sync += [was_clock.eq(pins.clock), was_selected.eq(pins.select)]
        m.d.sync += off.eq(Mux(pins.select, 0, Mux(off == self._pause, off, off + 1)))
        selected, too_soon, rise, fall, end = Signal(), Signal(), Signal(), Signal(), Signal()
        clocks, bits, nibbles = Signal(6), Signal(24), Signal(24)
        clocks_before, clocks_now, bits_now, nibbles_now = Signal(6), Signal(6), Signal(24), Signal(24)
        m.d.comb += [
            selected.eq(pins.select & ~was_selected),
            too_soon.eq(selected & (off != self._pause)),
            rise.eq(pins.select & pins.clock & ~was_clock),
            fall.eq(pins.select & ~pins.clock & was_clock),
            end.eq(~pins.select & was_selected),
            clocks_before.eq(Mux(selected, 0, clocks)),
            clocks_now.eq(clocks_before + (rise & (clocks_before != 63))),
            bits_now.eq(Mux(rise, Cat(lines[0], bits), bits)),
            nibbles_now.eq(Mux(rise, Cat(lines, nibbles), nibbles)),
        ]
        m.d.sync += [clocks.eq(clocks_now), bits.eq(bits_now), nibbles.eq(nibbles_now)]
        return _Heard(selected, too_soon, rise, fall, end, clocks, clocks_now, bits, bits_now, nibbles_now)

    def _put_out(self, m: Module, heard: _Heard, statuses: Any) -> None:
        """Output data bit by bit, or nibble by nibble."""
        position, which, four, address = self._position, self._which, self._four, self.address
        byte, held = Signal(8), Signal(8)
        identity = Array([*(Const(octet, 8) for octet in _JEDEC_ID), Const(0xFF, 8)])
        with m.If(position != 0):
            m.d.comb += byte.eq(held)
        with m.Elif(which == 0):
            m.d.comb += byte.eq(self.data)
        with m.Elif(which < 4):
            m.d.comb += byte.eq(statuses[(which - 1)[:2]])
        with m.Else():
            m.d.comb += byte.eq(identity[which[:2]])
        last = Mux(four, position == 1, position == 7)
        with m.If(heard.fall & self._begun & ~heard.selected):
            m.d.sync += [
                held.eq(byte),
                position.eq(Mux(last, 0, position + 1)),
                self._out.eq(Mux(four, Mux(position[0], byte[:4], byte[4:]), Cat(0, (byte << position)[7]))),
                self._drives.eq(Mux(four, 0b1111, 0b0010)),
            ]
            with m.If(last & (which == 0)):
                m.d.sync += address.eq((address + 1) & (self._size - 1))
            with m.If(last & (which[2]) & (which != 7)):
                m.d.sync += which.eq(which + 1)
