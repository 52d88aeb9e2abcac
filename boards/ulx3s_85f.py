"""ULX3S with the largest ECP5, of 85 thousand cells; else as :mod:`rdahw.boards.ulx3s`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from rdahw.boards.ulx3s import BOARD as SMALLER


def _platform() -> Any:
    from amaranth_boards.ulx3s import ULX3S_85F_Platform  # type: ignore[import-untyped]

    return ULX3S_85F_Platform()


BOARD = replace(
    SMALLER,
    name="ulx3s-85f",
    title="ULX3S 85F",
    device="LFE5U-85F",
    platform=_platform,
    pnr=("--85k", "--package", "CABGA381", "--speed", "6"),
    logic_cells=83_640,
    ebr=208,
)
