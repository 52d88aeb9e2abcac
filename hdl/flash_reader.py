"""Reading a serial NOR flash (Winbond W25Q128JV and its relatives) as a stream of bytes, over one or four data lines.

An FPGA that configured itself from its flash leaves it in deep power-down, in which only one command works. So the
reader first wakes the part and, for four lines, sets its quad-enable bit if it is not set, in the volatile copy, which
does not wear the flash. Nothing is ever erased or programmed.

Commands and times are those of Winbond's data sheet W25Q128JV, revision F.
"""

from __future__ import annotations

import enum
import math
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal  # type: ignore[import-untyped]
from amaranth.lib import stream, wiring  # type: ignore[import-untyped]
from amaranth.lib.data import StructLayout  # type: ignore[import-untyped]
from amaranth.lib.wiring import In, Out  # type: ignore[import-untyped]

from rdahw.errors import UserError
from rdahw.hdl.flash_receiver import FlashReceiver
from rdahw.hdl.one_hot import OneHot

__all__ = ["ADDRESS_BITS", "QUAD_ENABLE", "Command", "FlashPins", "FlashReader", "flash_request_layout"]

ADDRESS_BITS = 24

#: The bit of status register 2 without which the part has one data line each way.
QUAD_ENABLE = 1

#: The pause after waking the part: ten times its tRES1, and enough for other makers' parts.
WAKE_SECONDS = 30e-6
#: The pause between two commands: tSHSL.
PAUSE_SECONDS = 50e-9
#: The fastest SPI clock of a read over one line; over four lines the part takes 133 MHz.
MAX_SINGLE_HZ = 50e6


class Command(enum.IntEnum):
    """The commands that the reader sends."""

    LEAVE_CONTINUOUS = 0xFF  # ends a mode of reads without a command byte, which other gateware may have left on
    WAKE = 0xAB
    READ_STATUS = 0x35  # status register 2
    ENABLE_VOLATILE_WRITE = 0x50
    WRITE_STATUS = 0x31
    READ = 0x03
    READ_QUAD = 0xEB  # address on four lines, 8 mode bits on two clocks, then four clocks of waiting


class _Step(enum.IntEnum):
    """The steps, in this order; the reader stays at the last one."""

    LEAVE = 0
    WAKE = 1
    CHECK = 2
    ENABLE = 3
    SET = 4
    VERIFY = 5
    FAILED = 6
    READY = 7


def flash_request_layout() -> Any:
    """The payload of a stream of requests: the address of the first byte, and the number of bytes, at least one."""
    return StructLayout({"address": ADDRESS_BITS, "length": ADDRESS_BITS})


class FlashPins(wiring.Signature):  # type: ignore[misc]
    """The lines of a flash, from the reader's side: ``select`` (active high), ``clock``, and the four data lines with
    outputs ``o``, output enables ``oe`` and inputs ``i``. Line 0 is the part's DI, 1 its DO, 2 its /WP, 3 its /HOLD.
    """

    def __init__(self) -> None:
        super().__init__({"select": Out(1), "clock": Out(1), "o": Out(4), "oe": Out(4), "i": In(4)})


class FlashReader(wiring.Component):  # type: ignore[misc]
    """A serial flash as a stream of bytes, at half the clock of ``sync``: four cycles a byte with ``quad``, else 16.

    clock: of ``sync``, in Hz. latency: of the pins, in cycles, out and in together: 0 if ``pins`` are the pads, 2 with
    a flip-flop in each direction.

    requests: the bytes to read; ready when the part is awake and between two reads. Addresses wrap to 0 after the last
        byte of the part.
    octets: the bytes of one request after the other. While they are not taken, the flash's clock stops.
    idle: no request and no byte is processed or waits. failed: quad-enable could not be set, and nothing is read.
    pins: the flash's. All outputs come from flip-flops; a line is sampled in the middle of its bit, two cycles after
        the falling edge of ``clock`` that starts the bit, so pads and part together may take a cycle and a half.

    A request takes :attr:`overhead` cycles in addition to those of its bytes: 46 with ``quad``, 70 without.

    Raises :class:`UserError` for a clock that is too fast for one data line.
    """

    def __init__(self, clock: float, *, quad: bool = True, latency: int = 0) -> None:
        if not quad and clock / 2 > MAX_SINGLE_HZ:
            raise UserError(
                f"a flash cannot be read with one data line at {clock / 2e6:g} MHz; expected at most "
                f"{MAX_SINGLE_HZ / 1e6:g} MHz: use quad, or a slower clock"
            )
        if not 0 <= latency <= 6:
            raise UserError(f"invalid latency of {latency} cycles; expected 0 to 6")
        self.quad = quad
        self.latency = latency
        self._wake = math.ceil(WAKE_SECONDS * clock)
        # At least until the last bit of a status was received.
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
        """The cycles from one byte of a request to the next, if the consumer does not wait."""
        return 4 if self.quad else 16

    @property
    def overhead(self) -> int:
        """The cycles of a request without those of its bytes, until the next request is taken."""
        clocks = 8 + 6 + 2 + 4 if self.quad else 8 + 24
        return 2 * clocks + 2 + 1 + self._pause

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.receiver = receiver = FlashReceiver(self.latency)
        wiring.connect(m, receiver.octets, wiring.flipped(self.octets))
        w = _Registers(self._wake, self.quad)
        # In the first half of a clock of the flash the data lines change and the clock falls, in the second it rises.
        m.d.sync += [w.last.eq(w.count == 0), w.read_all.eq(w.left == 0)]
        m.d.comb += [w.over.eq(w.half & w.last), receiver.lines.eq(self.pins.i)]
        with m.If(w.running):
            m.d.sync += [w.half.eq(~w.half), self.pins.clock.eq(w.half)]
        with m.If(w.half):  # then it runs, too
            m.d.sync += w.count.eq(w.count - 1)

        machine = OneHot(m, "PAUSE")
        self._between_commands(m, machine, w, receiver)
        self._command(m, machine, w, receiver)
        self._read(m, machine, w, receiver)
        self._end(m, machine, w, receiver)
        machine.finish()

        m.d.comb += self.failed.eq(w.step == _Step.FAILED)
        # A cycle late, but low as soon as a request is taken.
        ready = machine.ongoing("PAUSE") & (w.step == _Step.READY) & w.waited
        m.d.sync += self.idle.eq(ready & ~receiver.pending & ~self.requests.valid)
        return m

    def _send(self, m: Module, bit: Any) -> None:
        """Put a bit on line 0. Lines 2 and 3 are high: without quad-enable they are /WP and /HOLD."""
        m.d.sync += [self.pins.o.eq(Cat(bit, 0, 1, 1)), self.pins.oe.eq(0b1101)]

    def _send_next(self, m: Module, w: _Registers) -> None:
        """Send a bit of ``outgoing`` in every clock."""
        m.d.comb += w.running.eq(1)
        with m.If(~w.half):
            self._send(m, w.outgoing[-1])
            m.d.sync += w.outgoing.eq(w.outgoing << 1)

    def _between_commands(self, m: Module, machine: OneHot, w: _Registers, receiver: FlashReceiver) -> None:
        """The part is not selected."""
        codes = {
            _Step.LEAVE: Command.LEAVE_CONTINUOUS,
            _Step.WAKE: Command.WAKE,
            _Step.CHECK: Command.READ_STATUS,
            _Step.ENABLE: Command.ENABLE_VOLATILE_WRITE,
            _Step.SET: Command.WRITE_STATUS,
            _Step.VERIFY: Command.READ_STATUS,
            _Step.READY: Command.READ_QUAD if self.quad else Command.READ,
        }
        request = self.requests.payload
        with machine.state("PAUSE"):
            m.d.sync += [w.half.eq(0), w.count.eq(7), w.first.eq(1)]
            m.d.sync += [w.address.eq(request.address), w.left.eq(request.length)]
            m.d.comb += self.requests.ready.eq(w.waited & (w.step == _Step.READY))
            self._send(m, 0)
            with m.Switch(w.step):
                for step, code in codes.items():
                    with m.Case(step):
                        m.d.sync += w.outgoing[-8:].eq(code)
            with m.If(~w.waited):
                m.d.sync += [w.wait.eq(w.wait - 1), w.waited.eq(w.wait == 1)]
            with m.Else():  # all bits of the previous read were received
                m.d.sync += [receiver.single.eq(1), receiver.keep.eq(0)]
                with m.If((w.step != _Step.FAILED) & ((w.step != _Step.READY) | self.requests.valid)):
                    m.d.sync += self.pins.select.eq(1)
                    machine.next = "COMMAND"

    def _command(self, m: Module, machine: OneHot, w: _Registers, receiver: FlashReceiver) -> None:
        """The command byte, and the status that is read or written after it."""
        with machine.state("COMMAND"):
            self._send_next(m, w)
            with m.If(w.over):
                machine.next = "END"
                m.d.sync += w.outgoing.eq(w.address)
                with m.If(w.step == _Step.READY):
                    m.d.sync += w.count.eq(5 if self.quad else 23)
                    machine.next = "ADDRESS"
                with m.Elif((w.step == _Step.CHECK) | (w.step == _Step.VERIFY)):
                    m.d.sync += w.count.eq(7)
                    machine.next = "STATUS"
                with m.Elif(w.step == _Step.SET):  # what was read, with the bit set
                    m.d.sync += [w.count.eq(7), w.outgoing[-8:].eq(receiver.latest | (1 << QUAD_ENABLE))]
                    machine.next = "WRITE"

        with machine.state("STATUS"):
            m.d.comb += [w.running.eq(1), receiver.sample.eq(~w.half)]
            with m.If(w.over):
                machine.next = "END"

        with machine.state("WRITE"):
            self._send_next(m, w)
            with m.If(w.over):
                machine.next = "END"

    def _read(self, m: Module, machine: OneHot, w: _Registers, receiver: FlashReceiver) -> None:
        """The address, the dummy clocks of a read over four lines, and the bytes of a read."""
        quad = self.quad
        with machine.state("ADDRESS"):
            if quad:
                m.d.comb += w.running.eq(1)
                with m.If(~w.half):
                    m.d.sync += [self.pins.o.eq(w.outgoing[-4:]), self.pins.oe.eq(0b1111)]
                    m.d.sync += w.outgoing.eq(w.outgoing << 4)
            else:
                self._send_next(m, w)
            with m.If(w.over):
                m.d.sync += w.count.eq(5 if quad else 7)
                machine.next = "GAP" if quad else "DATA"

        if quad:
            with machine.state("GAP"):  # mode bits without effect, then dummy clocks until the part drives the lines
                m.d.comb += w.running.eq(1)
                with m.If(~w.half):
                    m.d.sync += [self.pins.o.eq(0b1111), self.pins.oe.eq(Mux(w.count >= 4, 0b1111, 0))]
                with m.If(w.over):
                    m.d.sync += w.count.eq(1)
                    machine.next = "DATA"

        with machine.state("DATA"):
            m.d.sync += [receiver.single.eq(not quad), receiver.keep.eq(1)]
            m.d.comb += [
                w.running.eq(~w.first | receiver.room),
                receiver.begin.eq(w.first & receiver.room),
                receiver.sample.eq(~w.half & w.running),
            ]
            with m.If(receiver.begin):
                m.d.sync += [w.left.eq(w.left - 1), w.first.eq(0)]
            with m.If(w.over):
                m.d.sync += [w.count.eq(1 if quad else 7), w.first.eq(1)]
                with m.If(w.read_all):
                    machine.next = "END"

    def _end(self, m: Module, machine: OneHot, w: _Registers, receiver: FlashReceiver) -> None:
        """Deselect the part, and choose the next step."""
        machine.wait("END", "DESELECT")  # the last bit is on its way

        with machine.state("DESELECT"):
            m.d.sync += [self.pins.select.eq(0), self.pins.clock.eq(0), w.wait.eq(self._pause), w.waited.eq(0)]
            with m.Switch(w.step):
                with m.Case(_Step.READY):
                    pass
                with m.Case(_Step.WAKE):
                    m.d.sync += [w.wait.eq(self._wake), w.step.eq(_Step.CHECK if self.quad else _Step.READY)]
                with m.Case(_Step.CHECK, _Step.VERIFY):
                    machine.next = "JUDGE"
                with m.Default():
                    m.d.sync += w.step.eq(w.step + 1)
            with m.If((w.step != _Step.CHECK) & (w.step != _Step.VERIFY)):
                machine.next = "PAUSE"

        with machine.state("JUDGE"):  # the status, when all of it was received
            with m.If(~w.waited):
                m.d.sync += [w.wait.eq(w.wait - 1), w.waited.eq(w.wait == 1)]
            with m.Else():
                m.d.sync += [w.step.eq(Mux(w.step == _Step.CHECK, _Step.ENABLE, _Step.FAILED))]
                with m.If(receiver.latest[QUAD_ENABLE]):
                    m.d.sync += w.step.eq(_Step.READY)
                machine.next = "PAUSE"


class _Registers:
    """The signals that the states of a :class:`FlashReader` share.

    step: the next step. wait: cycles until the part may be selected again; waited: wait is 0. After a reset the part
    may just have been woken, so ``wait`` begins with ``wake``.
    running, half: the flash's clock runs; it is in its second half. count: the clocks left in this phase; last: count
    is 0, valid in the second half of a clock, as ``count`` changes before the first. over: the last half clock.
    address, left: of a request, the first byte and the number of bytes left; read_all: none is left.
    outgoing: the bits left to send, the highest first. first: this is the first half of a byte's first clock.
    """

    def __init__(self, wake: int, quad: bool) -> None:
        self.step = Signal(_Step, init=_Step.LEAVE, name="step")
        self.wait, self.waited = Signal(range(wake + 1), init=wake, name="wait"), Signal(name="waited")
        self.running, self.half, self.over = (Signal(name=name) for name in ("running", "half", "over"))
        self.count, self.last = Signal(range(8 if quad else 24), name="count"), Signal(name="last")
        self.address, self.left, self.outgoing = (
            Signal(ADDRESS_BITS, name=name, reset_less=True) for name in ("address", "left", "outgoing")
        )
        self.first, self.read_all = Signal(name="first"), Signal(name="read_all")
