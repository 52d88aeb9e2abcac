"""Tang Nano 9K (Sipeed): Gowin GW1NR-9C, BL702 with a UART, 27 MHz."""

from __future__ import annotations

from rdahw.boards.board import Board, Programmer, platform

BOARD = Board(
    name="tangnano9k",
    title="Tang Nano 9K",
    url="https://wiki.sipeed.com/hardware/en/tang/Tang-Nano-9K/Nano-9K.html",
    family="gowin",
    device="GW1NR-9C",
    platform=platform("tang_nano_9k", "TangNano9kPlatform"),
    pnr=("--device", "GW1NR-LV9QN88PC6/I5", "--vopt", "family=GW1N-9C"),
    pack=("-d", "GW1N-9C", "--sspi_as_gpio", "--mspi_as_gpio"),
    oscillator=("clk27", 27.0),
    pll="none",
    clock=27.0,
    level_ns=2.0,
    leds={"error": ("led", 0), "activity": ("led", 5)},
    logic_cells=8640,
    ebr=26,
    programmers=(
        Programmer(
            tool="openFPGALoader", load=("-b", "tangnano9k", "-m", "{file}"), store=("-b", "tangnano9k", "-f", "{file}")
        ),
    ),
)
