"""ULX3S with the largest ECP5, of 85 thousand cells; otherwise as :mod:`rdahw.boards.ulx3s`."""

from __future__ import annotations

from dataclasses import replace

from rdahw.boards.ulx3s import BOARD as SMALLER
from rdahw.boards.ulx3s import platform

BOARD = replace(
    SMALLER,
    name="ulx3s-85f",
    title="ULX3S 85F",
    device="LFE5U-85F",
    platform=platform("ULX3S_85F_Platform"),
    pnr=("--85k", "--package", "CABGA381", "--speed", "6"),
    logic_cells=83_640,
    ebr=208,
)
