"""Programming a connected board with the tool that it needs."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from rdahw.boards.board import FAMILIES, Board, Programmer
from rdahw.errors import MissingError, UsageError, UserError
from rdahw.hdl.toolchain import TOOLS, FoundTool, Progress, Toolchain, ToolFailure, find, run

__all__ = ["FlashPlan", "flash", "plan_flash"]


@dataclass(frozen=True, slots=True)
class FlashPlan:
    """A command that would program a board: the tool, its arguments, and whether the bitstream stays without power."""

    tool: FoundTool
    arguments: tuple[str, ...]
    permanent: bool

    @property
    def command(self) -> tuple[str, ...]:
        """The whole command, as for a shell."""
        return (*self.tool.command, *self.arguments)


def plan_flash(board: Board, bitstream: Path, *, volatile: bool = False, toolchain: Toolchain = "yowasp") -> FlashPlan:
    """The command that programs ``board`` with ``bitstream``, by the first of the board's programmers that is there.

    volatile: into the FPGA's own memory, lost when the power goes, instead of the board's flash.

    Raises :class:`UserError` if the file is no bitstream for this board, :class:`UsageError` if the board has no
    volatile way, :class:`MissingError` that says what to install if no programmer is there.
    """
    suffix = FAMILIES[board.family].bitstream
    if not bitstream.is_file():
        raise UserError(
            f"the bitstream {str(bitstream)!r} does not exist; make it with rdahw synth --board {board.name}"
        )
    if bitstream.suffix != f".{suffix}":
        raise UserError(f"{str(bitstream)!r} is no bitstream for {board.title}; expected a file *.{suffix}")
    ways = [(programmer, _arguments(programmer, volatile)) for programmer in board.programmers]
    able = [(programmer, words) for programmer, words in ways if words is not None]
    if not able:
        raise UsageError(f"{board.title} cannot be programmed without its flash; leave out --volatile")
    for programmer, words in able:
        try:
            tool = find(programmer.tool, toolchain)
        except MissingError:
            continue
        path = str(bitstream.absolute())
        return FlashPlan(tool, tuple(word.format(file=path) for word in words), not volatile)
    names = [programmer.tool for programmer, _ in able]
    there = "it is not there" if len(names) == 1 else "none of them is there"
    ways_to_get = ", or ".join(dict.fromkeys(TOOLS[name].get for name in names))
    raise MissingError(f"{board.title} is programmed with {' or '.join(names)}, and {there}; {ways_to_get}")


def _arguments(programmer: Programmer, volatile: bool) -> tuple[str, ...] | None:
    return programmer.load if volatile else programmer.store


def flash(plan: FlashPlan, *, progress: Progress | None = None) -> str:
    """Program the board, and return what the programmer said; raises :class:`UserError` with its complaint."""
    with tempfile.TemporaryDirectory(prefix="rdahw-") as folder:
        try:
            return run(plan.tool, plan.arguments, cwd=Path(folder), log="flash.log", progress=progress).log
        except ToolFailure as failure:  # its log goes with the folder
            raise UserError(
                f"the board was not programmed: {failure.tool} says: {failure.reason}; check the cable, and that you "
                "may use the device (on Linux: its udev rules)"
            ) from failure
