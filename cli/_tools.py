"""Outside tools: the options that say which, and their progress on stderr."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from rdahw.cli._output import complete

if TYPE_CHECKING:
    from rdahw.cli._output import Output
    from rdahw.hdl.toolchain import Step

__all__ = ["board_option", "show_steps", "toolchain_option"]

board_option = click.option(
    "--board",
    "board_name",
    default="icebreaker",
    show_default=True,
    help="the board, one of rdahw boards",
    shell_complete=complete("rdahw.boards", "BOARDS"),
)
toolchain_option = click.option(
    "--toolchain",
    type=click.Choice(["yowasp", "native"]),
    default="yowasp",
    show_default=True,
    help="tools from PyPI, or those on the PATH",
)

#: How many seconds a tool may be silent.
_SILENCE = 5.0


@contextmanager
def show_steps(output: Output) -> Iterator[Callable[[Step], None]]:
    """A function that logs what the tools do: a line when another tool starts, and one every few seconds."""
    last = ("", 0.0)

    def show(step: Step) -> None:
        nonlocal last
        now = time.monotonic()
        if step.tool != last[0] or now - last[1] >= _SILENCE:
            last = step.tool, now
            output.log(f"{step.tool}: {step.what} ({step.seconds:.0f} s)")

    yield show
