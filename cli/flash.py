"""``rdahw flash``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Literal

import click

from rdahw.cli._output import Output, output_options
from rdahw.cli._params import board_option, file_option, toolchain_option
from rdahw.errors import UsageError


@click.command(
    "flash",
    epilog="""\b
Examples:
  rdahw flash build/icebreaker/trainer.bin
  rdahw flash build/ulx3s/trainer.bit --board ulx3s --volatile
  rdahw flash build/icebreaker/trainer.bin --dry-run
  rdahw flash --data mnist.bin""",
)
@click.argument("bitstream", type=click.Path(path_type=Path), required=False)
@file_option("--data", help="write a data set of rdahw pack into the flash, beside the bitstream")
@board_option
@click.option("--volatile", is_flag=True, help="program the FPGA itself, not its flash: lost at power-off")
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
    """Program a connected board with a bitstream of rdahw synth, or write data into its flash."""
    from rdahw.boards import board
    from rdahw.boards.flash import flash, plan_data, plan_flash

    if (bitstream is None) == (data is None):
        raise UsageError("give either a bitstream or a data set with --data")
    its = board(board_name)
    if data is not None:
        if volatile:
            raise UsageError("--volatile cannot be used with --data, which is written into the flash; leave it out")
        plan = plan_data(its, data, toolchain=toolchain)
    else:
        assert bitstream is not None
        plan = plan_flash(its, bitstream, volatile=volatile, toolchain=toolchain)
    output.json({"board": its.name, "command": list(plan.command), "permanent": plan.permanent, "done": not dry_run})
    if dry_run:
        output.line(shlex.join(plan.command))
        return
    output.detail(flash(plan, progress=output.step))
    what = f"programmed {its.title}" if data is None else f"wrote {data} into the flash of {its.title}"
    output.line(what + ("" if plan.permanent else ", until power-off"))
