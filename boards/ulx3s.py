"""ULX3S (Radiona): ECP5 of 12 to 85 thousand cells, FTDI FT231X with a UART, 25 MHz."""

from __future__ import annotations

from rdahw.boards.board import Board, Programmer, platform

BOARD = Board(
    name="ulx3s",
    title="ULX3S 25F",
    url="https://radiona.org/ulx3s/",
    family="ecp5",
    device="LFE5U-25F",
    platform=platform("ulx3s", "ULX3S_25F_Platform"),
    pnr=("--25k", "--package", "CABGA381", "--speed", "6"),
    pack=("--compress",),
    oscillator=("clk25", 25.0),
    pll="EHXPLLL",
    clock=50.0,
    level_ns=1.3,
    leds={"error": ("led", 0), "activity": ("led", 1)},
    logic_cells=24_288,
    ebr=56,
    ebr_bits=18_432,
    programmers=(
        Programmer(tool="openFPGALoader", load=("-b", "ulx3s", "-m", "{file}"), store=("-b", "ulx3s", "-f", "{file}")),
    ),
)
