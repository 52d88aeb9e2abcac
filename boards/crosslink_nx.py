"""CrossLink-NX evaluation board (Lattice): LIFCL-40, FTDI 2232H with a UART, 12 MHz.

Jumper JP2 connects the oscillator; the UART has places for resistors of 0 ohms, which must be closed. Pins:
``crosslink_nx_evn.py`` of github.com/litex-hub/litex-boards, after Lattice's FPGA-EB-02028, sections 5.1, 6.2 and 7.3,
and ``examples/blinky_evn/evn.pdc`` of github.com/gatecat/prjoxide.
"""

from __future__ import annotations

from rdahw.boards.board import Board, Programmer, platform_of_pins

BOARD = Board(
    name="crosslink-nx",
    title="CrossLink-NX evaluation board",
    url="https://www.latticesemi.com/products/developmentboardsandkits/crosslink-nxevaluationboard",
    family="nexus",
    device="LIFCL-40",
    platform=platform_of_pins(
        "amaranth.vendor.LatticePlatform",
        part={"device": "LIFCL-40", "package": "BG400", "speed": "9"},
        mhz=12,
        attrs={"IO_TYPE": "LVCMOS33"},
        clock="L13",
        rx="F16",
        tx="F18",
        leds="E17 F13",
    ),
    # nextpnr 0.11's usual router does not find the way from the clock's pin to the clock network, this one does.
    pnr=("--device", "LIFCL-40-9BG400C", "--router", "router1"),
    oscillator=("clock", 12.0),
    pll="none",
    clock=12.0,
    level_ns=1.5,  # not measured on a full device
    leds={"error": ("led", 0), "activity": ("led", 1)},
    logic_cells=32_256,
    ebr=84,
    programmers=(
        Programmer(
            tool="openFPGALoader",
            load=("-b", "crosslinknx_evn", "-m", "{file}"),
            store=("-b", "crosslinknx_evn", "-f", "{file}"),
        ),
    ),
)
