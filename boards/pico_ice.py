"""pico-ice (tinyVision.ai): iCE40UP5K, and an RP2040 whose firmware gives it a UART and 12 MHz.

Pins: ``rtl/pico_ice.pcf`` of github.com/tinyvision-ai-inc/pico-ice-sdk.
"""

from __future__ import annotations

from dataclasses import replace

from rdahw.boards.board import Programmer, platform_of_pins
from rdahw.boards.icebreaker import BOARD as ICEBREAKER

BOARD = replace(
    ICEBREAKER,
    name="pico-ice",
    title="pico-ice",
    url="https://pico-ice.tinyvision.ai/",
    platform=platform_of_pins(
        "amaranth.vendor.LatticeICE40Platform",
        part={"device": "iCE40UP5K", "package": "SG48"},
        mhz=12,
        attrs={"IO_STANDARD": "SB_LVCMOS"},
        clock="35",
        rx="27",
        tx="25",
        leds="41 39",  # red and green
    ),
    oscillator=("clock", 12.0),
    leds={"error": ("led", 0), "activity": ("led", 1)},
    flash=None,
    pins=None,
    programmers=(
        Programmer(
            tool="dfu-util",
            load=("-d", "1209:b1c0", "-R", "-a", "1", "-D", "{file}"),
            store=("-d", "1209:b1c0", "-R", "-a", "0", "-D", "{file}"),
        ),
    ),
)
