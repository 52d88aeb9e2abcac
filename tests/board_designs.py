"""Small designs that tests put on boards."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rdahw.boards.design import Design


class Adder(wiring.Component):
    """An accumulator of ``width`` bits: its carry chain is its longest path."""

    def __init__(self, width: int) -> None:
        super().__init__({"i": In(width), "o": Out(width)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.d.sync += self.o.eq(self.o + self.i)
        return m


class Shifter(wiring.Component):
    """From ``rx`` through ``delay`` flip-flops, and an adder of 16 bits, to ``tx``."""

    def __init__(self, delay: int) -> None:
        self._delay = delay
        super().__init__({"rx": In(1), "tx": Out(1), "activity": Out(1)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        line = Signal(self._delay)
        m.submodules.adder = adder = Adder(16)
        m.d.sync += [line.eq(Cat(self.rx, line)), self.tx.eq(adder.o[-1])]
        m.d.comb += [adder.i.eq(line[-16:]), self.activity.eq(~self.rx)]
        return m


def small_design(delay: int = 16, name: str = "small") -> Design:
    return Design(
        name=name,
        core=lambda: Adder(16),
        link=lambda clock, baud: Shifter(delay),
        cycles_per_example=lambda core: Fraction(3, 2),
    )
