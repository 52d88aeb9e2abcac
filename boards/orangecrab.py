"""OrangeCrab r0.2 (Good Stuff Department): ECP5, USB only, 48 MHz.

It has no UART of its own: connect a 3.3 V USB adapter, its TX to pin 0 (our rx) and its RX to pin 1 (our tx).
"""

from __future__ import annotations

from typing import Any

from rdahw.boards.board import Board, Programmer


def _platform() -> Any:
    from amaranth.build import Attrs  # type: ignore[import-untyped]
    from amaranth_boards.orangecrab_r0_2 import OrangeCrabR0_2_25FPlatform  # type: ignore[import-untyped]
    from amaranth_boards.resources import UARTResource  # type: ignore[import-untyped]

    platform = OrangeCrabR0_2_25FPlatform()
    uart = UARTResource(0, rx="0", tx="1", conn=("io", 0), attrs=Attrs(IO_TYPE="LVCMOS33", PULLMODE="UP"))
    platform.add_resources([uart])
    return platform


BOARD = Board(
    name="orangecrab",
    title="OrangeCrab r0.2 25F",
    url="https://orangecrab-fpga.github.io/orangecrab-hardware/",
    family="ecp5",
    device="LFE5U-25F",
    platform=_platform,
    pnr=("--25k", "--package", "CSFBGA285", "--speed", "8"),
    pack=("--compress", "--freq", "38.8"),
    oscillator=("clk", 48.0),
    pll="none",
    clock=48.0,
    level_ns=1.3,
    leds={"error": ("rgb_led", 0, "r"), "activity": ("rgb_led", 0, "g")},
    logic_cells=24_288,
    ebr=56,
    programmers=(
        Programmer(tool="dfu-util", load=None, store=("-d", "1209:5af0", "-a", "0", "-D", "{file}")),
        Programmer(tool="openFPGALoader", load=None, store=("-b", "orangeCrab", "{file}")),
    ),
)
