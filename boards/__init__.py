"""Boards: synthesis and its reports, flashing, and the host's end of the link to a trainer on the FPGA."""

from __future__ import annotations

import importlib

from rdahw.boards.board import Board
from rdahw.errors import UsageError, nearest

__all__ = ["BOARDS", "Board", "all_boards", "board"]

#: The name of each board, and the module of this package that holds it as ``BOARD``; lists are in this order.
BOARDS = {
    "icebreaker": "icebreaker",
    "upduino3": "upduino3",
    "pico-ice": "pico_ice",
    "icestick": "icestick",
    "ice40-hx8k": "ice40_hx8k",
    "ulx3s": "ulx3s",
    "ulx3s-85f": "ulx3s_85f",
    "orangecrab": "orangecrab",
    "colorlight-i5": "colorlight_i5",
    "tangnano9k": "tangnano9k",
    "tangnano20k": "tangnano20k",
    "crosslink-nx": "crosslink_nx",
    "gatemate-evb": "gatemate_evb",
}


def board(name: str) -> Board:
    """The board called ``name``; raises :class:`UsageError` that names the nearest if there is none."""
    if name not in BOARDS:
        raise UsageError(f"board {name!r} is unknown; {nearest(name, BOARDS)}")
    found = importlib.import_module(f"rdahw.boards.{BOARDS[name]}").BOARD
    assert isinstance(found, Board)
    return found


def all_boards() -> list[Board]:
    """The boards, in the order of :data:`BOARDS`."""
    return [board(name) for name in BOARDS]
