"""iCEBreaker (1BitSquared): iCE40UP5K, FTDI 2232H with a UART, 12 MHz."""

from __future__ import annotations

from rdahw.boards.board import Board, DataFlash, LivePins, Programmer, platform

BOARD = Board(
    name="icebreaker",
    title="iCEBreaker",
    url="https://github.com/icebreaker-fpga/icebreaker",
    family="ice40",
    device="iCE40UP5K",
    platform=platform("icebreaker", "ICEBreakerPlatform"),
    synth=("-device", "u"),
    pnr=("--up5k", "--package", "sg48"),
    oscillator=("clk12", 12.0),
    pll="SB_PLL40_PAD",
    clock=24.0,
    level_ns=4.9,
    leds={"error": ("led_r", 0), "activity": ("led_g", 0)},
    logic_cells=5280,
    ebr=30,
    spram=4,
    # A bitstream has 104,090 bytes; a megabyte leaves room for some, as for warm boot.
    flash=DataFlash(part="W25Q128JV", bytes=16 << 20, offset=1 << 20, resource="spi_flash_4x"),
    # PMOD1A, pins 1 and 2; the user button.
    pins=LivePins(connector=("pmod", 0), signal="1", clock="2", label=("button", 0)),
    programmers=(
        Programmer(tool="iceprog", load=("-S", "{file}"), store=("{file}",), data=("-o", "{offset}", "{file}")),
        Programmer(
            tool="openFPGALoader",
            load=None,
            store=("-b", "ice40_generic", "-f", "{file}"),
            data=("-b", "ice40_generic", "-f", "-o", "{offset}", "--file-type", "raw", "{file}"),
        ),
    ),
)
