"""UPduino 3 (tinyVision.ai), versions 3.0 and 3.1: iCE40UP5K, FTDI FT232H, 12 MHz.

The jumper OSC (R16) must be closed, which connects the oscillator to pin 20. The FTDI's UART has pins of the flash
memory, whose select is held high. Pins: ``RTL/common/upduino.pdc`` of github.com/tinyvision-ai-inc/UPduino-v3.0.
"""

from __future__ import annotations

from dataclasses import replace

from rdahw.boards.board import Programmer, platform_of_pins
from rdahw.boards.icebreaker import BOARD as ICEBREAKER

BOARD = replace(
    ICEBREAKER,
    name="upduino3",
    title="UPduino 3",
    url="https://github.com/tinyvision-ai-inc/UPduino-v3.0",
    platform=platform_of_pins(
        "amaranth.vendor.LatticeICE40Platform",
        part={"device": "iCE40UP5K", "package": "SG48"},
        mhz=12,
        attrs={"IO_STANDARD": "SB_LVCMOS"},
        clock="20",
        rx="15",
        tx="14",
        leds="41 39",  # red and green
        select="16",
    ),
    oscillator=("clock", 12.0),
    pll="SB_PLL40_CORE",
    leds={"error": ("led", 0), "activity": ("led", 1)},
    inactive=(("select", 0),),
    flash=None,
    pins=None,
    programmers=(Programmer(tool="iceprog", load=None, store=("{file}",)),),
)
