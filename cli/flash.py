"""``rdahw flash``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Literal

import click

from rdahw.cli._output import Output, output_options
from rdahw.cli._tools import board_option, show_steps, toolchain_option


@click.command(
    "flash",
    short_help="program a connected board",
    epilog="""\b
Examples:
  rdahw flash build/icebreaker/trainer.bin
  rdahw flash build/ulx3s/trainer.bit --board ulx3s --volatile
  rdahw flash build/icebreaker/trainer.bin --dry-run""",
)
@click.argument("bitstream", type=click.Path(path_type=Path))
@board_option
@click.option("--volatile", is_flag=True, help="into the FPGA itself: lost when the power goes")
@click.option("--dry-run", is_flag=True, help="print the command and do nothing")
@toolchain_option
@output_options
def command(
    output: Output,
    bitstream: Path,
    board_name: str,
    volatile: bool,
    dry_run: bool,
    toolchain: Literal["yowasp", "native"],
) -> None:
    """Program a connected board with a bitstream of rdahw synth, by the tool that the board needs."""
    from rdahw.boards import board
    from rdahw.boards.flash import flash, plan_flash

    its = board(board_name)
    plan = plan_flash(its, bitstream, volatile=volatile, toolchain=toolchain)
    output.json({"board": its.name, "command": list(plan.command), "permanent": plan.permanent, "done": not dry_run})
    if dry_run:
        output.line(shlex.join(plan.command))
        return
    with show_steps(output) as steps:
        output.detail(flash(plan, progress=steps))
    output.line(f"programmed {its.title}" + ("" if plan.permanent else ", until its power goes"))
