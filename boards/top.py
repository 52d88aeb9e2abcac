"""The top level of a board: clock and reset, the pins of the UART, the LEDs."""

from __future__ import annotations

import math
from typing import Any

from amaranth.hdl import Const, Elaboratable, Instance, Module, Signal  # type: ignore[import-untyped]
from amaranth.lib import io  # type: ignore[import-untyped]

from rdahw.boards.board import Board
from rdahw.boards.clock import add_clock
from rdahw.errors import UserError

__all__ = ["FLASH_LATENCY", "Top"]

#: The cycles from an output to the flash memory and back, through the flip-flops in the pads.
FLASH_LATENCY = 2

#: How long an event lights its LED, in seconds.
_GLOW = 1 / 16


class Top(Elaboratable):  # type: ignore[misc]
    """A component on a board, at ``clock`` MHz.

    Optional members: ``rx`` and ``tx`` on the board's UART: ``rx`` is the unsynchronised pin, and ``tx`` must come from
    a flip-flop; ``pins`` (:func:`rdahw.hdl.live_pins.pins_signature`), also unsynchronised; ``error`` and ``activity``,
    high for a cycle or longer at an event, light the board's LEDs of that name, which may be the same one; ``flash`` is
    connected to the board's flash memory, with a flip-flop in each direction.
    """

    def __init__(self, board: Board, component: Any, clock: float) -> None:
        if "pins" in component.signature.members and board.pins is None:
            raise UserError(
                f"the design learns from pins, and {board.title} has no row of them; choose another board, such as "
                "icebreaker"
            )
        if "flash" in component.signature.members and board.flash is None:
            raise UserError(
                f"the design reads a flash memory, and {board.title} has none for data; choose another board"
            )
        self._board = board
        self._component = component
        self._clock = clock

    def elaborate(self, platform: Any) -> Module:
        """The top level, as Amaranth asks for it; ``platform`` is the board's."""
        m = Module()
        board = self._board
        resource, oscillator = board.oscillator
        add_clock(m, platform, kind=board.pll, resource=resource, oscillator=oscillator, core=self._clock)
        m.submodules.design = design = self._component
        members = design.signature.members
        if "rx" in members:
            uart = platform.request(*board.uart, dir="-")
            m.submodules.rx = rx = io.Buffer("i", uart.rx)
            m.submodules.tx = tx = io.Buffer("o", uart.tx)
            m.d.comb += [design.rx.eq(rx.i), tx.o.eq(design.tx)]
        if "pins" in members:
            _connect_pins(m, platform, board, design.pins)
        if "flash" in members:
            _connect_flash(m, platform, board, design.flash)
        events = {name: getattr(design, name) for name in board.leds if name in members}
        tick = _tick(m, self._clock * 1e6 * _GLOW) if events else None
        requested: dict[tuple[str, int], Any] = {}
        leds: dict[Any, Any] = {}
        on: dict[Any, Any] = {}
        for name, place in board.leds.items():
            if place[:2] not in requested:
                requested[place[:2]] = platform.request(*place[:2], dir="-")
            if place not in leds:
                pins = requested[place[:2]]
                for part in place[2:]:  # a resource of several LEDs, each a signal of it
                    pins = getattr(pins, part)
                m.submodules[f"{name}_led"] = led = io.Buffer("o", pins)
                leds[place] = led.o
            if name not in events:
                continue
            glow, event = Signal(2, name=f"{name}_glow"), Signal(name=f"{name}_event")
            m.d.sync += event.eq(events[name])
            with m.If(event):
                m.d.sync += glow.eq(3)
            with m.Elif(tick):
                m.d.sync += glow.eq(glow >> 1)
            on[place] = on[place] | (glow != 0) if place in on else glow != 0
        m.d.comb += [leds[place].eq(value) for place, value in on.items()]
        for place in board.inactive:
            m.submodules[f"{place[0]}_{place[1]}"] = io.Buffer("o", platform.request(*place, dir="-"))
        return m


def _connect_pins(m: Module, platform: Any, board: Board, pins: Any) -> None:
    """Connect the pins of :func:`rdahw.hdl.live_pins.pins_signature`."""
    from amaranth.build import Attrs, Pins, Resource  # type: ignore[import-untyped]

    assert board.pins is not None
    for name in ("signal", "clock"):
        pin = Pins(getattr(board.pins, name), dir="i", conn=board.pins.connector)
        platform.add_resources([Resource(f"live_{name}", 0, pin, Attrs(IO_STANDARD="SB_LVCMOS"))])
    places = {"signal": ("live_signal", 0), "clock": ("live_clock", 0), "label": board.pins.label}
    for name, place in places.items():
        m.submodules[f"live_{name}"] = line = io.Buffer("i", platform.request(*place, dir="-"))
        m.d.comb += getattr(pins, name).eq(line.i)


def _connect_flash(m: Module, platform: Any, board: Board, flash: Any) -> None:
    """Connect the lines of :class:`rdahw.hdl.flash_reader.FlashPins` to the board's flash memory."""
    assert board.flash is not None
    pins = platform.request(board.flash.resource, board.flash.number, dir="-")
    ports = [("select", pins.cs, flash.select)]
    if board.flash.user_clock:
        clock = Signal(name="flash_clock")
        m.d.sync += clock.eq(flash.clock)
        m.submodules.flash_clock = Instance("USRMCLK", i_USRMCLKI=clock, i_USRMCLKTS=Const(0))
    else:
        ports.append(("clock", pins.clk, flash.clock))
    for name, port, value in ports:
        m.submodules[f"flash_{name}"] = line = io.FFBuffer("o", port)
        m.d.comb += line.o.eq(value)
    for i in range(4):
        m.submodules[f"flash_{i}"] = line = io.FFBuffer("io", pins.dq[i])
        m.d.comb += [line.o.eq(flash.o[i]), line.oe.eq(flash.oe[i]), flash.i[i].eq(line.i)]


def _tick(m: Module, cycles: float) -> Any:
    """A signal that is high for one cycle in about ``cycles`` (a power of two), made by a chain of short counters with
    flip-flops between them, so that it does not limit the design's clock."""
    tick: Any = Const(1)
    bits = round(math.log2(cycles))
    while bits > 0:
        count, carry = Signal(min(bits, 6)), Signal()
        m.d.sync += carry.eq(tick & count.all())
        with m.If(tick):
            m.d.sync += count.eq(count + 1)
        tick, bits = carry, bits - len(count)
    return tick
