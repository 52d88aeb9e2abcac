"""GateMateA1-EVB (Olimex): CCGM1A1, and an RP2040 with a UART, 10 MHz, one LED.

Pins: ``SOFTWARE/blinking-led-bit-source/top.ccf`` of github.com/OLIMEX/GateMateA1-EVB, and for the UART
``olimex_gatemate_a1_evb.py`` of github.com/litex-hub/litex-boards; the names on the schematic are those of the RP2040.
"""

from __future__ import annotations

from rdahw.boards.board import Board, Programmer, platform_of_pins

BOARD = Board(
    name="gatemate-evb",
    title="GateMateA1-EVB",
    url="https://www.olimex.com/Products/FPGA/GateMate/GateMateA1-EVB/open-source-hardware",
    family="gatemate",
    device="CCGM1A1",
    platform=platform_of_pins(
        "rdahw.boards.gatemate.GateMatePlatform",
        part={},
        mhz=10,
        attrs={},
        clock="IO_SB_A8",
        rx="IO_SA_A6",
        tx="IO_SA_B6",
        leds="IO_SB_B6",
    ),
    pnr=("--device", "CCGM1A1"),
    oscillator=("clock", 10.0),
    pll="none",
    clock=10.0,
    level_ns=4.0,  # not measured on a full device
    leds={"error": ("led", 0), "activity": ("led", 0)},
    logic_cells=40_960,
    ebr=64,
    programmers=(
        Programmer(
            tool="openFPGALoader",
            load=("-b", "olimex_gatemateevb", "-m", "{file}"),
            store=("-b", "olimex_gatemateevb", "-f", "{file}"),
        ),
    ),
)
