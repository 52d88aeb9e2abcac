"""``rdahw flash``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Literal

import click

from rdahw.cli._output import Output, output_options
from rdahw.cli._tools import board_option, show_steps, toolchain_option
from rdahw.errors import UsageError


@click.command(
    "flash",
    short_help="program a connected board",
    epilog="""\b
Examples:
  rdahw flash build/icebreaker/trainer.bin
  rdahw flash build/ulx3s/trainer.bit --board ulx3s --volatile
  rdahw flash build/icebreaker/trainer.bin --dry-run
  rdahw flash --data mnist.bin""",
)
@click.argument("bitstream", type=click.Path(path_type=Path), required=False)
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="put a data set of rdahw pack into the flash, beside the bitstream",
)
@board_option
@click.option("--volatile", is_flag=True, help="into the FPGA itself: lost when the power goes")
@click.option("--dry-run", is_flag=True, help="print the command and do nothing")
@toolchain_option
@output_options
def command(
    output: Output,
    bitstream: Path | None,
    data: Path | None,
    board_name: str,
    volatile: bool,
    dry_run: bool,
    toolchain: Literal["yowasp", "native"],
) -> None:
    """Program a connected board with a bitstream of rdahw synth, or with data, by the tool that the board needs."""
    from rdahw.boards import board
    from rdahw.boards.flash import flash, plan_data, plan_flash

    if (bitstream is None) == (data is None):
        raise UsageError("give a bitstream, or a data set with --data, and not both: each has its own place")
    its = board(board_name)
    if data is not None:
        if volatile:
            raise UsageError("--volatile is for bitstreams, and data go into the flash; leave it out")
        plan = plan_data(its, data, toolchain=toolchain)
    else:
        assert bitstream is not None
        plan = plan_flash(its, bitstream, volatile=volatile, toolchain=toolchain)
    output.json({"board": its.name, "command": list(plan.command), "permanent": plan.permanent, "done": not dry_run})
    if dry_run:
        output.line(shlex.join(plan.command))
        return
    with show_steps(output) as steps:
        output.detail(flash(plan, progress=steps))
    what = f"programmed {its.title}" if data is None else f"put {data} into the flash of {its.title}"
    output.line(what + ("" if plan.permanent else ", until its power goes"))
