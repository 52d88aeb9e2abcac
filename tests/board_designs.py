"""Small designs that tests put on boards."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from amaranth.hdl import Cat, Fragment, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rdahw.boards.design import Design
from rdahw.hdl.flash_reader import FlashPins


class Adder(wiring.Component):
    """An accumulator of ``width`` bits: its carry chain is its longest path."""

    def __init__(self, width: int) -> None:
        super().__init__({"i": In(width), "o": Out(width)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.d.sync += self.o.eq(self.o + self.i)
        return m


class Shifter(wiring.Component):
    """From ``rx`` through ``delay`` flip-flops, and an adder of 16 bits, to ``tx``; with ``flash``, it uses all lines
    of one."""

    def __init__(self, delay: int, flash: bool = False) -> None:
        self._delay = delay
        members = {"rx": In(1), "tx": Out(1), "activity": Out(1)}
        super().__init__(members | ({"flash": Out(FlashPins())} if flash else {}))

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        line = Signal(self._delay)
        m.submodules.adder = adder = Adder(16)
        m.d.sync += [line.eq(Cat(self.rx, line)), self.tx.eq(adder.o[-1])]
        m.d.comb += [adder.i.eq(line[-16:]), self.activity.eq(~self.rx)]
        if "flash" in self.signature.members:
            m.d.sync += [self.flash.clock.eq(~self.flash.clock), self.flash.select.eq(self.flash.i[1])]
            m.d.comb += [self.flash.o.eq(self.flash.i), self.flash.oe.eq(self.rx.replicate(4))]
        return m


def small_design(delay: int = 16, name: str = "small", flash: bool = False) -> Design:
    def link(core: Any, clock: int, baud: int) -> Shifter:
        Fragment.get(core, None)  # Amaranth warns of components that are never elaborated
        return Shifter(delay, flash)

    return Design(
        name=name,
        core=lambda: Adder(16),
        link=link,
        cycles_per_example=lambda core: Fraction(3, 2),
    )
