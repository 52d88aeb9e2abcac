"""iCEBreaker (1BitSquared): iCE40UP5K, FTDI 2232H with a UART, 12 MHz."""

from __future__ import annotations

from typing import Any

from rdahw.boards.board import Board, Programmer


def _platform() -> Any:
    from amaranth_boards.icebreaker import ICEBreakerPlatform  # type: ignore[import-untyped]

    return ICEBreakerPlatform()


BOARD = Board(
    name="icebreaker",
    title="iCEBreaker",
    url="https://github.com/icebreaker-fpga/icebreaker",
    family="ice40",
    device="iCE40UP5K",
    platform=_platform,
    synth=("-device", "u"),
    pnr=("--up5k", "--package", "sg48"),
    oscillator=("clk12", 12.0),
    pll="SB_PLL40_PAD",
    clock=24.0,
    leds={"error": ("led_r", 0), "activity": ("led_g", 0)},
    logic_cells=5280,
    ebr=30,
    ebr_bits=4096,
    spram=4,
    programmers=(
        Programmer(tool="iceprog", load=("-S", "{file}"), store=("{file}",)),
        Programmer(tool="openFPGALoader", load=None, store=("-b", "ice40_generic", "-f", "{file}")),
    ),
)
