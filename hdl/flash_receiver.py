"""The receiver of a flash reader: from samples of the data lines to bytes in a short queue."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Array, Cat, Module, Mux, Signal  # type: ignore[import-untyped]
from amaranth.lib import stream, wiring  # type: ignore[import-untyped]
from amaranth.lib.wiring import In, Out  # type: ignore[import-untyped]

__all__ = ["FlashReceiver"]

#: The length of the queue; with fewer than four bytes, pins with latency would cost throughput.
DEPTH = 4


class FlashReceiver(wiring.Component):  # type: ignore[misc]
    """Bytes from the data lines of a flash, the highest bit first, and a queue of :data:`DEPTH` of them.

    latency: of the pins, in cycles, out and in together, as in :class:`rdahw.hdl.flash_reader.FlashReader`.

    lines : In(4): the data lines.
    sample : In(1): ``2 + latency`` cycles later the lines have bits: one on line 1 if ``single`` is high then, else
        four, line 0 the lowest. A byte is eight bits.
    single : In(1). keep : In(1): a byte whose last bits are received in this cycle is queued.
    latest : Out(8): the last eight bits received, whether queued or not.
    begin : In(1): the first bits of a byte to be queued are sampled. Only while there is ``room``.
    room : Out(1): fewer than :data:`DEPTH` bytes were begun and not yet taken; a cycle late.
    pending : Out(1): bytes were begun and not yet taken.
    octets : Out(stream of 8 bits): the queued bytes, in order.
    """

    def __init__(self, latency: int) -> None:
        self.latency = latency
        super().__init__(
            {
                "lines": In(4),
                "sample": In(1),
                "single": In(1),
                "keep": In(1),
                "latest": Out(8),
                "begin": In(1),
                "room": Out(1),
                "pending": Out(1),
                "octets": Out(stream.Signature(8)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        arriving, have = Signal(2 + self.latency), Signal(range(8))
        shift, complete = Signal(8, reset_less=True), Signal()
        m.d.sync += arriving.eq(Cat(self.sample, arriving))
        m.d.comb += [complete.eq(arriving[-1] & (have == Mux(self.single, 7, 1))), self.latest.eq(shift)]
        with m.If(arriving[-1]):
            m.d.sync += have.eq(Mux(complete, 0, have + 1))
            m.d.sync += shift.eq(Mux(self.single, Cat(self.lines[1], shift), Cat(self.lines, shift)))

        queue = [Signal(8, name=f"queue{i}", reset_less=True) for i in range(DEPTH)]
        into, out_of = Signal(range(DEPTH)), Signal(range(DEPTH))
        level, promised = Signal(range(DEPTH + 1)), Signal(range(DEPTH + 1))
        push, pop = Signal(), Signal()
        # ``room`` may be late: bytes begin several cycles apart, and a byte that was taken may be noticed late.
        m.d.sync += [push.eq(complete & self.keep), self.room.eq(promised != DEPTH)]
        m.d.comb += [
            self.octets.valid.eq(level != 0),
            self.octets.payload.eq(Array(queue)[out_of]),
            self.pending.eq(promised != 0),
            pop.eq(self.octets.valid & self.octets.ready),
        ]
        m.d.sync += [level.eq(level + push - pop), promised.eq(promised + self.begin - pop)]
        m.d.sync += [into.eq(into + push), out_of.eq(out_of + pop)]
        for i, entry in enumerate(queue):
            with m.If(push & (into == i)):
                m.d.sync += entry.eq(shift)
        return m
