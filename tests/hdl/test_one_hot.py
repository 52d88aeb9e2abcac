from __future__ import annotations

from typing import Any

from amaranth.hdl import Elaboratable, Module, Signal  # type: ignore[import-untyped]
from amaranth.sim import Simulator  # type: ignore[import-untyped]

from rdahw.hdl.one_hot import OneHot


class Walk(Elaboratable):  # type: ignore[misc]
    """From A to B, back, or on to C; where both ``back`` and ``on`` apply, the later one wins. ``restart``: to A."""

    def __init__(self) -> None:
        self.go, self.back, self.on, self.restart = Signal(), Signal(), Signal(), Signal()
        self.at = {name: Signal(name=f"seen_{name}") for name in "ABC"}

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        machine = OneHot(m, "A", restart=self.restart)
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


def walked(*steps: tuple[int, int, int, int]) -> str:
    """The states after cycles with these values of ``go``, ``back``, ``on`` and ``restart``."""
    walk = Walk()
    seen = ""

    async def drive(ctx: Any) -> None:
        nonlocal seen
        for step in steps:
            for signal, value in zip((walk.go, walk.back, walk.on, walk.restart), step, strict=True):
                ctx.set(signal, value)
            await ctx.tick()
            states = [name for name, at in walk.at.items() if ctx.get(at)]
            assert len(states) == 1
            seen += states[0]

    simulator = Simulator(walk)
    simulator.add_clock(1e-6)
    simulator.add_testbench(drive)
    simulator.run()
    return seen


def test_it_goes_where_the_last_assignment_says() -> None:
    steps = [(0, 1, 1), (1, 0, 0), (0, 0, 0), (0, 1, 1), (1, 0, 0), (0, 0, 0), (1, 0, 0), (0, 1, 0)]
    assert walked(*((*step, 0) for step in steps)) == "ABBCCABA"


def test_a_restart_leads_to_the_first_state_from_all_others() -> None:
    assert walked((1, 0, 0, 1), (0, 0, 1, 1), (1, 0, 0, 0), (0, 0, 1, 0), (1, 0, 0, 1), (0, 0, 0, 1)) == "BABCAA"
