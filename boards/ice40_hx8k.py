"""iCE40-HX8K breakout board (Lattice): iCE40HX8K, FTDI 2232H with a UART, 12 MHz."""

from __future__ import annotations

from rdahw.boards.board import Board, Programmer, platform

BOARD = Board(
    name="ice40-hx8k",
    title="iCE40-HX8K breakout board",
    url="https://www.latticesemi.com/Products/DevelopmentBoardsAndKits/iCE40HX8KBreakoutBoard.aspx",
    family="ice40",
    device="iCE40HX8K",
    platform=platform("ice40_hx8k_b_evn", "ICE40HX8KBEVNPlatform"),
    pnr=("--hx8k", "--package", "ct256"),
    oscillator=("clk12", 12.0),
    pll="SB_PLL40_CORE",
    clock=48.0,
    level_ns=1.8,
    leds={"error": ("led", 0), "activity": ("led", 1)},
    logic_cells=7680,
    ebr=32,
    programmers=(
        Programmer(tool="iceprog", load=("-S", "{file}"), store=("{file}",)),
        Programmer(tool="openFPGALoader", load=None, store=("-b", "ice40_generic", "-f", "{file}")),
    ),
)
