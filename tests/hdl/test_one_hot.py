from __future__ import annotations

from typing import Any

from amaranth.hdl import Elaboratable, Module, Signal  # type: ignore[import-untyped]
from amaranth.sim import Simulator  # type: ignore[import-untyped]

from rdahw.hdl.one_hot import OneHot


class Walk(Elaboratable):  # type: ignore[misc]
    """From A to B, back, or on to C; where both ``back`` and ``on`` apply, the later one wins."""

    def __init__(self) -> None:
        self.go, self.back, self.on = Signal(), Signal(), Signal()
        self.at = {name: Signal(name=f"seen_{name}") for name in "ABC"}

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        machine = OneHot(m, "A")
        with machine.state("A"), m.If(self.go):
            machine.next = "B"
        with machine.state("B"):
            with m.If(self.back):
                machine.next = "A"
            with m.If(self.on):
                machine.next = "C"
        with machine.state("C"):
            machine.next = "A"
            with m.If(self.go):
                machine.next = "C"
        machine.finish()
        m.d.comb += [seen.eq(machine.ongoing(name)) for name, seen in self.at.items()]
        return m


def test_it_goes_where_the_last_assignment_says() -> None:
    walk = Walk()
    seen = ""

    async def drive(ctx: Any) -> None:
        nonlocal seen
        for go, back, on in [(0, 1, 1), (1, 0, 0), (0, 0, 0), (0, 1, 1), (1, 0, 0), (0, 0, 0), (1, 0, 0), (0, 1, 0)]:
            ctx.set(walk.go, go)
            ctx.set(walk.back, back)
            ctx.set(walk.on, on)
            await ctx.tick()
            states = [name for name, at in walk.at.items() if ctx.get(at)]
            assert len(states) == 1
            seen += states[0]

    simulator = Simulator(walk)
    simulator.add_clock(1e-6)
    simulator.add_testbench(drive)
    simulator.run()
    assert seen == "ABBCCABA"
