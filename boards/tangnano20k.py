"""Tang Nano 20K (Sipeed): Gowin GW2AR-18C, BL616 with a UART, 27 MHz.

Pins: ``picorv32/src/fpga_project.cst`` and ``led/flow_led/src/flow_led.cst`` of github.com/sipeed/TangNano-20K-example;
that of rx: ``sipeed_tang_nano_20k.py`` of github.com/litex-hub/litex-boards.
"""

from __future__ import annotations

from dataclasses import replace

from rdahw.boards.board import Programmer, platform_of_pins
from rdahw.boards.tangnano9k import BOARD as SMALLER

BOARD = replace(
    SMALLER,
    name="tangnano20k",
    title="Tang Nano 20K",
    url="https://wiki.sipeed.com/hardware/en/tang/tang-nano-20k/nano-20k.html",
    device="GW2AR-18C",
    platform=platform_of_pins(
        "amaranth.vendor.GowinPlatform",
        part={"part": "GW2AR-LV18QN88C8/I7", "family": "GW2AR-18C"},
        mhz=27,
        attrs={"IO_TYPE": "LVCMOS33"},
        clock="4",
        rx="70",
        tx="69",
        leds="15 20",
    ),
    pnr=("--device", "GW2AR-LV18QN88C8/I7", "--vopt", "family=GW2A-18C"),
    pack=("-d", "GW2A-18C", "--sspi_as_gpio", "--mspi_as_gpio"),
    oscillator=("clock", 27.0),
    leds={"error": ("led", 0), "activity": ("led", 1)},
    logic_cells=20_736,
    ebr=46,
    programmers=(
        Programmer(
            tool="openFPGALoader",
            load=("-b", "tangnano20k", "-m", "{file}"),
            store=("-b", "tangnano20k", "-f", "{file}"),
        ),
    ),
)
