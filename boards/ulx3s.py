"""ULX3S (Radiona): ECP5 of 12 to 85 thousand cells, FTDI FT231X with a UART, 25 MHz.

Its flash memory, ISSI's IS25LP128F, has its clock behind ``USRMCLK``. It is read over one line, as it enables four in
another way than Winbond's: by bit 6 of its only status register, and command 35h puts it into another mode. Pins:
``doc/constraints/ulx3s_v20.lpf`` and ``flash.sch`` of github.com/emard/ulx3s.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rdahw.boards.board import Board, DataFlash, Programmer
from rdahw.boards.board import platform as of_amaranth


def platform(name: str) -> Callable[[], Any]:
    """Makes the platform ``name`` of ``amaranth_boards.ulx3s``, with the four data lines of its flash."""

    def make() -> Any:
        from amaranth.build import Attrs, Pins, PinsN, Resource, Subsignal  # type: ignore[import-untyped]

        its = of_amaranth("ulx3s", name)()
        lines = Subsignal("dq", Pins("W2 V2 Y2 W1", dir="io"))
        flash = Resource(
            "flash", 0, Subsignal("cs", PinsN("R2", dir="o")), lines, Attrs(IO_TYPE="LVCMOS33", PULLMODE="NONE")
        )
        its.add_resources([flash])
        return its

    return make


BOARD = Board(
    name="ulx3s",
    title="ULX3S 25F",
    url="https://radiona.org/ulx3s/",
    family="ecp5",
    device="LFE5U-25F",
    platform=platform("ULX3S_25F_Platform"),
    pnr=("--25k", "--package", "CABGA381", "--speed", "6"),
    pack=("--compress",),
    oscillator=("clk25", 25.0),
    pll="EHXPLLL",
    clock=50.0,
    level_ns=1.3,
    leds={"error": ("led", 0), "activity": ("led", 1)},
    logic_cells=24_288,
    ebr=56,
    # A bitstream of the largest ECP5 has up to 2 MB.
    flash=DataFlash(part="IS25LP128F", bytes=16 << 20, offset=4 << 20, resource="flash", quad=False, user_clock=True),
    programmers=(
        Programmer(
            tool="openFPGALoader",
            load=("-b", "ulx3s", "-m", "{file}"),
            store=("-b", "ulx3s", "-f", "{file}"),
            data=("-b", "ulx3s", "-f", "-o", "{offset}", "--file-type", "raw", "{file}"),
        ),
    ),
)
