"""Reading a serial NOR flash (Winbond W25Q128JV and its relatives) as a stream of bytes, over one or four data lines.

An FPGA that configured itself from its flash leaves it in deep power-down, in which it obeys one command only. So the
reader first wakes the part and, for four lines, makes sure that its quad-enable bit is set, without wearing it out: it
writes the volatile copy, and only if the bit is not set. Nothing is ever erased or programmed.

Commands and times are those of Winbond's data sheet W25Q128JV, revision F.
"""

from __future__ import annotations

import enum
import math
from typing import Any

from amaranth.hdl import Array, Cat, Module, Mux, Signal  # type: ignore[import-untyped]
from amaranth.lib import stream, wiring  # type: ignore[import-untyped]
from amaranth.lib.data import StructLayout  # type: ignore[import-untyped]
from amaranth.lib.wiring import In, Out  # type: ignore[import-untyped]

from rdahw.errors import UserError
from rdahw.hdl.one_hot import OneHot

__all__ = ["ADDRESS_BITS", "QUAD_ENABLE", "Command", "FlashPins", "FlashReader", "flash_request_layout"]

ADDRESS_BITS = 24

#: The bit of status register 2 without which the part has one data line each way.
QUAD_ENABLE = 1

#: How long the part is left alone after it was woken: ten times its tRES1, and as much as that of other makers' parts.
WAKE_SECONDS = 30e-6
#: How long the part is not selected between two commands: tSHSL.
PAUSE_SECONDS = 50e-9
#: The fastest SPI clock of a read over one line; over four lines the part takes 133 MHz.
MAX_SINGLE_HZ = 50e6

#: Bytes on their way out; with fewer than four, a long way through the pins would cost throughput.
_DEPTH = 4


class Command(enum.IntEnum):
    """The commands that the reader gives."""

    LEAVE_CONTINUOUS = 0xFF  # a read that needs no command byte, which other gateware may have left behind
    WAKE = 0xAB
    READ_STATUS = 0x35  # status register 2
    ENABLE_VOLATILE_WRITE = 0x50
    WRITE_STATUS = 0x31
    READ = 0x03
    READ_QUAD = 0xEB  # address on four lines, 8 mode bits on two clocks, then four clocks of waiting


class _Step(enum.IntEnum):
    """What is next, in this order; the reader stays at the last one."""

    LEAVE = 0
    WAKE = 1
    CHECK = 2
    ENABLE = 3
    SET = 4
    VERIFY = 5
    FAILED = 6
    READY = 7


def flash_request_layout() -> Any:
    """The payload of a stream of requests: the address of the first byte, and how many bytes, at least one."""
    return StructLayout({"address": ADDRESS_BITS, "length": ADDRESS_BITS})


class FlashPins(wiring.Signature):  # type: ignore[misc]
    """The lines of a flash, from the side that reads it: ``select`` (high when selected), ``clock``, and the four data
    lines: ``o`` is put on those whose bit of ``oe`` is high, ``i`` is what is on them. Line 0 is the part's DI, 1 its
    DO, 2 its /WP and 3 its /HOLD.
    """

    def __init__(self) -> None:
        super().__init__({"select": Out(1), "clock": Out(1), "o": Out(4), "oe": Out(4), "i": In(4)})


class FlashReader(wiring.Component):  # type: ignore[misc]
    """A serial flash as a stream of bytes, at half the clock of ``sync``: four cycles a byte with ``quad``, else 16.

    clock: of ``sync``, in Hz. latency: how many cycles the pins take, out and in together: 0 if ``pins`` are the pads,
    2 with a flip-flop in each direction.

    requests: which bytes, at most one request ahead of what is being read; ready when the part is awake and between
        two reads. An address goes on at 0 behind the last byte of the part.
    octets: the bytes of one request after the other. While they are not taken, the flash's clock stands still.
    idle: no request is worked on or waits, and no byte does. failed: the part did not let quad-enable be set, and
        nothing is read.
    pins: the flash's. All outputs come from flip-flops; a line is sampled in the middle of its bit, two cycles after
        the falling edge of ``clock`` that asked for it, so pads and part together may take a cycle and a half.

    A request costs :attr:`overhead` cycles beside those of its bytes: 46 with ``quad``, 70 without.

    Raises :class:`UserError` for a clock that is too fast for one data line.
    """

    def __init__(self, clock: float, *, quad: bool = True, latency: int = 0) -> None:
        if not quad and clock / 2 > MAX_SINGLE_HZ:
            raise UserError(
                f"a flash was to be read with one data line at {clock / 2e6:g} MHz; expected at most "
                f"{MAX_SINGLE_HZ / 1e6:g} MHz: use quad, or a slower clock"
            )
        if not 0 <= latency <= 6:
            raise UserError(f"pins with a latency of {latency} cycles were given; expected 0 to 6")
        self.quad = quad
        self.latency = latency
        self._wake = math.ceil(WAKE_SECONDS * clock)
        # Until the last bit of a status has come in, too.
        self._pause = max(math.ceil(PAUSE_SECONDS * clock), 3 + latency)
        super().__init__(
            {
                "requests": In(stream.Signature(flash_request_layout())),
                "octets": Out(stream.Signature(8)),
                "idle": Out(1),
                "failed": Out(1),
                "pins": Out(FlashPins()),
            }
        )

    @property
    def cycles_per_octet(self) -> int:
        """The cycles from one byte of a request to the next, if they are taken in time."""
        return 4 if self.quad else 16

    @property
    def overhead(self) -> int:
        """The cycles of a request beside those of its bytes, until the next request is taken."""
        clocks = 8 + 6 + 2 + 4 if self.quad else 8 + 24
        return 2 * clocks + 2 + 1 + self._pause

    def elaborate(self, platform: Any) -> Module:
        """The logic, as Amaranth asks for it."""
        m = Module()
        pins, quad = self.pins, self.quad
        step = Signal(_Step, init=_Step.LEAVE)
        # After a reset the part may just have been woken.
        wait, waited = Signal(range(self._wake + 1), init=self._wake), Signal()  # waited: wait == 0
        address, left = Signal(ADDRESS_BITS, reset_less=True), Signal(ADDRESS_BITS, reset_less=True)

        # -- clocks of the flash: the data line changes and the clock falls in the first half, in the second it rises
        running, half, over = Signal(), Signal(), Signal()
        count = Signal(5)  # how many clocks are left of this phase
        last = Signal()  # count == 0, known from the second half of a clock on, as ``count`` changes with the first
        m.d.sync += last.eq(count == 0)
        m.d.comb += over.eq(half & last)
        with m.If(running):
            m.d.sync += [half.eq(~half), pins.clock.eq(half)]
        with m.If(half):  # then it runs, too
            m.d.sync += count.eq(count - 1)

        outgoing = Signal(ADDRESS_BITS, reset_less=True)  # what is still to be sent, the highest bit first

        def send(bit: Any) -> None:
            """One bit on line 0. Lines 2 and 3 are high: without quad-enable they protect and stop the part."""
            m.d.sync += [pins.o.eq(Cat(bit, 0, 1, 1)), pins.oe.eq(0b1101)]

        def send_next() -> None:
            """A bit of ``outgoing`` in every clock."""
            with m.If(~half):
                send(outgoing[-1])
                m.d.sync += outgoing.eq(outgoing << 1)

        def octet_next(value: Any) -> Any:
            """Eight bits are what is to be sent."""
            return outgoing[-8:].eq(value)

        # -- bytes coming in
        sample, arriving, single = Signal(), Signal(2 + self.latency), Signal()
        shift, have = Signal(8, reset_less=True), Signal(range(8))
        reading, complete = Signal(), Signal()
        m.d.sync += arriving.eq(Cat(sample, arriving))
        m.d.comb += complete.eq(arriving[-1] & (have == Mux(single, 7, 1)))
        with m.If(arriving[-1]):
            m.d.sync += have.eq(Mux(complete, 0, have + 1))
            m.d.sync += shift.eq(Mux(single, Cat(pins.i[1], shift), Cat(pins.i, shift)))

        # A byte is read only if there will be room for it: ``promised`` counts those begun and not yet taken.
        queue = [Signal(8, name=f"queue{i}", reset_less=True) for i in range(_DEPTH)]
        into, out_of = Signal(range(_DEPTH)), Signal(range(_DEPTH))
        level, promised = Signal(range(_DEPTH + 1)), Signal(range(_DEPTH + 1))
        push, pop, begin = Signal(), Signal(), Signal()
        # Known a cycle late: a byte is begun long after the one before, and one that is taken may be seen late.
        room = Signal()
        m.d.sync += [push.eq(complete & reading), room.eq(promised != _DEPTH)]
        m.d.comb += [
            self.octets.valid.eq(level != 0),
            self.octets.payload.eq(Array(queue)[out_of]),
            pop.eq(self.octets.valid & self.octets.ready),
        ]
        m.d.sync += [level.eq(level + push - pop), promised.eq(promised + begin - pop)]
        m.d.sync += [into.eq(into + push), out_of.eq(out_of + pop)]
        for i, entry in enumerate(queue):
            with m.If(push & (into == i)):
                m.d.sync += entry.eq(shift)

        first, read_all = Signal(), Signal()  # this is the first half of a byte's first clock; left == 0
        m.d.sync += read_all.eq(left == 0)

        machine = OneHot(m, "PAUSE")
        with machine.state("PAUSE"):  # not selected
            m.d.sync += [half.eq(0), count.eq(7), first.eq(1)]
            m.d.sync += [address.eq(self.requests.payload.address), left.eq(self.requests.payload.length)]
            m.d.comb += self.requests.ready.eq(waited & (step == _Step.READY))
            send(0)
            with m.Switch(step):
                for name, code in (
                    (_Step.LEAVE, Command.LEAVE_CONTINUOUS),
                    (_Step.WAKE, Command.WAKE),
                    (_Step.CHECK, Command.READ_STATUS),
                    (_Step.ENABLE, Command.ENABLE_VOLATILE_WRITE),
                    (_Step.SET, Command.WRITE_STATUS),
                    (_Step.VERIFY, Command.READ_STATUS),
                    (_Step.READY, Command.READ_QUAD if quad else Command.READ),
                ):
                    with m.Case(name):
                        m.d.sync += octet_next(code)
            with m.If(~waited):
                m.d.sync += [wait.eq(wait - 1), waited.eq(wait == 1)]
            with m.Else():  # the bits of the read before have come, too
                m.d.sync += [single.eq(1), reading.eq(0)]
                with m.If((step != _Step.FAILED) & ((step != _Step.READY) | self.requests.valid)):
                    m.d.sync += pins.select.eq(1)
                    machine.next = "COMMAND"

        with machine.state("COMMAND"):
            m.d.comb += running.eq(1)
            send_next()
            with m.If(over):
                machine.next = "END"
                m.d.sync += outgoing.eq(address)
                with m.If(step == _Step.READY):
                    m.d.sync += count.eq(5 if quad else 23)
                    machine.next = "ADDRESS"
                with m.Elif((step == _Step.CHECK) | (step == _Step.VERIFY)):
                    m.d.sync += count.eq(7)
                    machine.next = "STATUS"
                with m.Elif(step == _Step.SET):  # what was read, with the bit set
                    m.d.sync += [count.eq(7), octet_next(shift | (1 << QUAD_ENABLE))]
                    machine.next = "WRITE"

        with machine.state("STATUS"):
            m.d.comb += [running.eq(1), sample.eq(~half)]
            with m.If(over):
                machine.next = "END"

        with machine.state("WRITE"):
            m.d.comb += running.eq(1)
            send_next()
            with m.If(over):
                machine.next = "END"

        with machine.state("ADDRESS"):
            m.d.comb += running.eq(1)
            if quad:
                with m.If(~half):
                    m.d.sync += [pins.o.eq(outgoing[-4:]), pins.oe.eq(0b1111), outgoing.eq(outgoing << 4)]
            else:
                send_next()
            with m.If(over):
                m.d.sync += count.eq(5 if quad else 7)
                machine.next = "GAP" if quad else "DATA"

        if quad:
            with machine.state("GAP"):  # mode bits that ask for nothing, then the part makes itself ready to drive
                m.d.comb += running.eq(1)
                with m.If(~half):
                    m.d.sync += [pins.o.eq(0b1111), pins.oe.eq(Mux(count >= 4, 0b1111, 0))]
                with m.If(over):
                    m.d.sync += count.eq(1)
                    machine.next = "DATA"

        with machine.state("DATA"):
            m.d.sync += [single.eq(not quad), reading.eq(1)]
            m.d.comb += [
                running.eq(~first | room),
                begin.eq(first & room),
                sample.eq(~half & running),
            ]
            with m.If(begin):
                m.d.sync += [left.eq(left - 1), first.eq(0)]
            with m.If(over):
                m.d.sync += [count.eq(1 if quad else 7), first.eq(1)]
                with m.If(read_all):
                    machine.next = "END"

        with machine.state("END"):  # the last bit is on its way
            machine.next = "DESELECT"

        with machine.state("DESELECT"):
            m.d.sync += [pins.select.eq(0), pins.clock.eq(0), wait.eq(self._pause), waited.eq(0)]
            with m.Switch(step):
                with m.Case(_Step.READY):
                    pass
                with m.Case(_Step.WAKE):
                    m.d.sync += [wait.eq(self._wake), step.eq(_Step.CHECK if quad else _Step.READY)]
                with m.Case(_Step.CHECK, _Step.VERIFY):
                    machine.next = "JUDGE"
                with m.Default():
                    m.d.sync += step.eq(step + 1)
            with m.If((step != _Step.CHECK) & (step != _Step.VERIFY)):
                machine.next = "PAUSE"

        with machine.state("JUDGE"):  # the status, when all of it has come
            with m.If(~waited):
                m.d.sync += [wait.eq(wait - 1), waited.eq(wait == 1)]
            with m.Else():
                m.d.sync += [step.eq(Mux(step == _Step.CHECK, _Step.ENABLE, _Step.FAILED))]
                with m.If(shift[QUAD_ENABLE]):
                    m.d.sync += step.eq(_Step.READY)
                machine.next = "PAUSE"
        machine.finish()

        m.d.comb += self.failed.eq(step == _Step.FAILED)
        # A cycle late; with a request that is taken it is over all the same.
        ready = machine.ongoing("PAUSE") & (step == _Step.READY) & waited
        m.d.sync += self.idle.eq(ready & (promised == 0) & ~self.requests.valid)
        return m
