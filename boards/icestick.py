"""iCEstick (Lattice): iCE40HX1K, FTDI 2232H with a UART, 12 MHz."""

from __future__ import annotations

from rdahw.boards.board import Board, Programmer, platform

BOARD = Board(
    name="icestick",
    title="iCEstick",
    url="https://www.latticesemi.com/icestick",
    family="ice40",
    device="iCE40HX1K",
    platform=platform("icestick", "ICEStickPlatform"),
    pnr=("--hx1k", "--package", "tq144"),
    oscillator=("clk12", 12.0),
    pll="SB_PLL40_CORE",
    clock=48.0,
    level_ns=1.8,
    leds={"error": ("led", 0), "activity": ("led", 4)},  # one of the red ones, and the green one in their middle
    logic_cells=1280,
    ebr=16,
    programmers=(
        Programmer(tool="iceprog", load=None, store=("{file}",)),
        Programmer(tool="openFPGALoader", load=None, store=("-b", "ice40_generic", "-f", "{file}")),
    ),
)
