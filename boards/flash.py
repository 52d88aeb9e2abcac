"""Programming a connected board."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rdahw.boards import Board, all_boards
from rdahw.boards.board import FAMILIES
from rdahw.errors import MissingError, UsageError, UserError
from rdahw.flash_image import read_flash_image
from rdahw.hdl.toolchain import TOOLS, FoundTool, Progress, Toolchain, ToolFailure, find, run

__all__ = ["FlashPlan", "flash", "plan_data", "plan_flash"]


@dataclass(frozen=True, slots=True)
class FlashPlan:
    """A command that programs a board: the tool, its arguments, and whether the design survives power-off."""

    tool: FoundTool
    arguments: tuple[str, ...]
    permanent: bool

    @property
    def command(self) -> tuple[str, ...]:
        """The whole command, as for a shell."""
        return (*self.tool.command, *self.arguments)


def plan_flash(board: Board, bitstream: Path, *, volatile: bool = False, toolchain: Toolchain = "yowasp") -> FlashPlan:
    """The command that programs ``board`` with ``bitstream``, by the board's first programmer that is installed.

    volatile: into the FPGA's own memory, lost at power-off, instead of the board's flash.

    Raises :class:`UserError` if the file is not a bitstream for this board, :class:`UsageError` if the board can only
    be programmed through its flash, :class:`MissingError` that says what to install if no programmer is installed.
    """
    suffix = FAMILIES[board.family].bitstream
    if not bitstream.is_file():
        raise UserError(
            f"the bitstream {str(bitstream)!r} does not exist; make it with rdahw synth --board {board.name}"
        )
    if bitstream.suffix != f".{suffix}":
        raise UserError(f"{str(bitstream)!r} is not a bitstream for {board.title}; expected a file *.{suffix}")
    ways = [(p.tool, p.load if volatile else p.store) for p in board.programmers]
    if not any(words for _, words in ways):
        raise UsageError(f"{board.title} can only be programmed through its flash; leave out --volatile")
    return _plan(board, ways, toolchain, not volatile, file=str(bitstream.absolute()))


def plan_data(board: Board, file: Path, *, toolchain: Toolchain = "yowasp") -> FlashPlan:
    """The command that writes a flash image of ``rdahw pack`` to the place where gateware on ``board`` reads it.

    Raises :class:`UserError` if the file is not a flash image, is damaged, or too large for the board,
    :class:`UsageError` if the board has no place for data, :class:`MissingError` as :func:`plan_flash`.
    """
    read_flash_image(file)
    place = board.flash
    if place is None:
        able = ", ".join(other.name for other in all_boards() if other.flash is not None)
        raise UsageError(f"{board.title} has no flash memory for data; boards that have one: {able}")
    size, room = file.stat().st_size, place.bytes - place.offset
    if size > room:
        raise UserError(
            f"{str(file)!r} has {size:,} bytes, and the flash of {board.title} has room for {room:,} behind the "
            "bitstream; pack fewer examples (--examples), one part (--part) or fewer planes (--binarise)"
        )
    ways = [(programmer.tool, programmer.data) for programmer in board.programmers]
    return _plan(board, ways, toolchain, True, file=str(file.absolute()), offset=str(place.offset))


def _plan(
    board: Board,
    ways: Sequence[tuple[str, tuple[str, ...] | None]],
    toolchain: Toolchain,
    permanent: bool,
    **values: str,
) -> FlashPlan:
    """The command of the first installed programmer, among those that can do it."""
    able = [(tool, words) for tool, words in ways if words is not None]
    for name, words in able:
        try:
            tool = find(name, toolchain)
        except MissingError:
            continue
        return FlashPlan(tool, tuple(word.format(**values) for word in words), permanent)
    names = [name for name, _ in able]
    there = "it is not installed" if len(names) == 1 else "none of them is installed"
    ways_to_get = ", or ".join(dict.fromkeys(TOOLS[name].get for name in names))
    raise MissingError(f"{board.title} is programmed with {' or '.join(names)}, and {there}; {ways_to_get}")


def flash(plan: FlashPlan, *, progress: Progress | None = None) -> str:
    """Program the board, and return the programmer's log; raises :class:`UserError` with the reason it gives."""
    with tempfile.TemporaryDirectory(prefix="rdahw-") as folder:
        try:
            return run(plan.tool, plan.arguments, cwd=Path(folder), log="flash.log", progress=progress).log
        except ToolFailure as failure:  # its log goes with the folder
            raise UserError(
                f"the board was not programmed: {failure.tool} says: {failure.reason}; check the cable, and that you "
                "may use the device (on Linux: its udev rules)"
            ) from failure
