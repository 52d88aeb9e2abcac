"""A UART, 8N1 (eight data bits, least significant first, no parity, one stop bit), as Amaranth streams of bytes.

A bit takes ``divisor`` clock cycles. The receiver finds the start bit to within a cycle and samples each bit once, in
its middle, so after the nine and a half bits of a byte it may be off by half a bit less one cycle: the clocks may
differ by 3.9 % at a divisor of 8, by 5.2 % at large ones.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Signal  # type: ignore[import-untyped]
from amaranth.lib import stream, wiring  # type: ignore[import-untyped]
from amaranth.lib.cdc import FFSynchronizer  # type: ignore[import-untyped]
from amaranth.lib.wiring import In, Out  # type: ignore[import-untyped]

from rdahw.errors import UserError

__all__ = ["MIN_DIVISOR", "UartReceiver", "UartTransmitter", "divisor_for"]

#: The fewest clock cycles a bit.
MIN_DIVISOR = 8
#: The largest relative deviation of a divisor's rate from the requested one; the rest of the tolerance is the host's.
MAX_MISMATCH = 0.02


def divisor_for(clock: float, baud: float) -> int:
    """The clock cycles of a bit at ``clock`` Hz and ``baud`` bits a second; :class:`UserError` if it is impossible."""
    divisor = max(1, round(clock / baud))
    if divisor < MIN_DIVISOR or abs(clock / divisor / baud - 1) > MAX_MISMATCH:
        raise UserError(
            f"a clock of {clock / 1e6:g} MHz makes no {baud:g} baud: that is {clock / baud:.4g} cycles a bit, and "
            f"expected is a whole number (within {MAX_MISMATCH:.0%}) from {MIN_DIVISOR}; choose a rate of "
            f"{clock / MIN_DIVISOR:g} baud or below that divides the clock"
        )
    return divisor


def _check(divisor: int) -> None:
    if divisor < MIN_DIVISOR:
        raise UserError(f"a UART of {divisor} clock cycles a bit was asked for; expected at least {MIN_DIVISOR}")


class UartReceiver(wiring.Component):  # type: ignore[misc]
    """From the line ``rx`` to ``bytes``, valid for one cycle each; the consumer must always be ready.

    A byte without a stop bit is dropped, as on a line that is disconnected or idles low.
    """

    def __init__(self, divisor: int) -> None:
        _check(divisor)
        self.divisor = divisor
        super().__init__({"rx": In(1, init=1), "bytes": Out(stream.Signature(8, always_ready=True))})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        rx = Signal(init=1)
        m.submodules.synchronizer = FFSynchronizer(self.rx, rx, init=1)

        wait = Signal(range(self.divisor))
        # Starts with all ones; the start bit, a zero, reaches bit 0 when all eight data bits were shifted in.
        shift = Signal(9, init=-1)
        due = Signal()  # wait == 0
        m.d.comb += self.bytes.payload.eq(shift[1:])
        m.d.sync += [wait.eq(wait - 1), due.eq(wait == 1)]

        with m.FSM():
            with m.State("IDLE"):
                m.d.sync += wait.eq(self.divisor // 2 - 1)
                with m.If(~rx):
                    m.next = "START"
            with m.State("START"), m.If(due):
                m.d.sync += [wait.eq(self.divisor - 1), shift.eq(0xFF)]
                m.next = "IDLE"  # a glitch
                with m.If(~rx):
                    m.next = "DATA"
            with m.State("DATA"), m.If(due):
                m.d.sync += [wait.eq(self.divisor - 1), shift.eq(Cat(shift[1:], rx))]
                with m.If(~shift[0]):
                    m.d.sync += shift.eq(shift)
                    m.d.comb += self.bytes.valid.eq(rx)
                    m.next = "IDLE"
                    with m.If(~rx):
                        m.next = "BREAK"
            with m.State("BREAK"), m.If(rx):
                m.next = "IDLE"
        return m


class UartTransmitter(wiring.Component):  # type: ignore[misc]
    """From ``bytes`` to the line ``tx``."""

    def __init__(self, divisor: int) -> None:
        _check(divisor)
        self.divisor = divisor
        super().__init__({"bytes": In(stream.Signature(8)), "tx": Out(1, init=1)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        wait = Signal(range(self.divisor))
        # Start bit, data, stop bit, followed by zeros, so that 1 alone is the end of the stop bit and the idle line.
        shift = Signal(10, init=1)
        # due: wait == 0; over: only the last bit of the byte is left, valid a cycle after ``shift`` was set.
        due, over = Signal(init=1), Signal(init=1)
        m.d.comb += [self.tx.eq(shift[0]), self.bytes.ready.eq(due & over)]
        m.d.sync += over.eq(shift[1:] == 0)
        with m.If(~due):
            m.d.sync += [wait.eq(wait - 1), due.eq(wait == 1)]
        with m.Elif(~over):
            m.d.sync += [wait.eq(self.divisor - 1), due.eq(0), shift.eq(shift[1:])]
        with m.Elif(self.bytes.valid):
            m.d.sync += [wait.eq(self.divisor - 1), due.eq(0), shift.eq(Cat(0, self.bytes.payload, 1))]
        return m
