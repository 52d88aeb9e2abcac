"""Colorlight i5, version 7.0, on Muse Lab's extension board: ECP5, DAPLink with a UART, 25 MHz, one LED.

Pins: ``README.md`` and ``src/i5/picosoc/top.lpf`` of github.com/wuxx/Colorlight-FPGA-Projects.
"""

from __future__ import annotations

from dataclasses import replace

from rdahw.boards.board import Programmer, platform_of_pins
from rdahw.boards.ulx3s import BOARD as ULX3S

BOARD = replace(
    ULX3S,
    name="colorlight-i5",
    title="Colorlight i5",
    url="https://github.com/wuxx/Colorlight-FPGA-Projects",
    platform=platform_of_pins(
        "amaranth.vendor.LatticeECP5Platform",
        part={"device": "LFE5U-25F", "package": "BG381", "speed": "6"},
        mhz=25,
        attrs={"IO_TYPE": "LVCMOS33"},
        clock="P3",
        rx="H18",
        tx="J17",
        leds="U16",
    ),
    oscillator=("clock", 25.0),
    leds={"error": ("led", 0), "activity": ("led", 0)},
    flash=None,
    programmers=(
        Programmer(
            tool="openFPGALoader",
            load=("-b", "colorlight-i5", "-m", "{file}"),
            store=("-b", "colorlight-i5", "-f", "{file}"),
        ),
    ),
)
