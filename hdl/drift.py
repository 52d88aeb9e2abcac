"""The alarm of :mod:`rdahw.drift` in gateware, bit for bit: a counter of alarms beside a trainer."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal, signed  # type: ignore[import-untyped]
from amaranth.lib import wiring  # type: ignore[import-untyped]
from amaranth.lib.wiring import In, Out  # type: ignore[import-untyped]

from rdahw.drift import BLOCK, WARM_UP

__all__ = ["ALARM_BITS", "DriftMonitor"]

#: The width of the counter of alarms. It wraps.
ALARM_BITS = 8


class DriftMonitor(wiring.Component):  # type: ignore[misc]
    """Counts the alarms of :class:`rdahw.drift.DriftAlarm`.

    learned, wrong : In(1): in this cycle an example was learned, and it had been predicted wrongly.
    clear : In(1): restores the state after a reset.
    alarm_count : Out(8): the alarms so far; it wraps. An alarm is counted within 100 cycles of the example that raises
        it.

    There is no multiplier: an excess x is squared as the sum of the first x odd numbers, which are subtracted from the
    limit one a cycle. At most 78 fit it, so the comparison ends before the next block does.
    """

    def __init__(self) -> None:
        super().__init__({"learned": In(1), "wrong": In(1), "clear": In(1), "alarm_count": Out(ALARM_BITS)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        most = 16 * BLOCK
        seen, errors, total = Signal(range(BLOCK)), Signal(range(BLOCK)), Signal(range(BLOCK + 1))
        blocks = Signal(range(WARM_UP + 1))
        level, best, fast = (Signal(range(most + 1), name=name) for name in ("level", "best", "fast"))
        # The block's errors, a cycle after its last example; a cycle later the averages include them.
        counted, closing, settling, warm = Signal.like(total), Signal(), Signal(), Signal()
        m.d.comb += [total.eq(errors + self.wrong), warm.eq(blocks != WARM_UP)]
        m.d.sync += [closing.eq(0), settling.eq(closing)]
        with m.If(self.learned):
            m.d.sync += [seen.eq(seen + 1), errors.eq(total)]
            with m.If(seen == BLOCK - 1):
                m.d.sync += [errors.eq(0), counted.eq(total), closing.eq(1)]

        left, odd, limit = Signal(range(most // 8 + 1)), Signal(range(256)), Signal(range((most + 32) * 3 // 2 + 1))
        lasting, sudden = Signal(signed(len(left) + 1)), Signal(signed(len(left) + 1))
        permitted, rest = best + 32, limit - odd
        m.d.comb += [lasting.eq((fast - best) >> 3), sudden.eq(counted - best[4:])]
        weakened = sudden - (sudden >> 3)
        with m.If(closing):
            m.d.sync += level.eq(level + Mux(warm, counted << 1, counted - level[4:]))
            m.d.sync += fast.eq(fast + Mux(warm, counted << 1, (counted << 2) - fast[2:]))
        with m.If(settling):
            m.d.sync += [limit.eq(permitted + permitted[1:]), odd.eq(1)]
            with m.If(warm):
                m.d.sync += blocks.eq(blocks + 1)
            with m.Elif((lasting >= weakened) & (lasting > 0)):
                m.d.sync += left.eq(lasting)
            with m.Elif(sudden > 0):
                m.d.sync += left.eq(weakened)
            with m.If(warm | (level < best)):
                m.d.sync += best.eq(level)
        with m.If(left != 0):
            m.d.sync += [left.eq(left - 1), limit.eq(rest), odd.eq(odd + 2)]
            with m.If(rest < 0):
                m.d.sync += [level.eq(0), fast.eq(0), blocks.eq(0), left.eq(0)]
                m.d.sync += self.alarm_count.eq(self.alarm_count + 1)
        with m.If(self.clear):
            registers = (seen, errors, counted, closing, settling, blocks, level, best, fast, left, self.alarm_count)
            m.d.sync += [register.eq(0) for register in registers]
        return m
