"""``rdahw boards``."""

from __future__ import annotations

import click

from rdahw.cli._output import Output, output_options


@click.command(
    "boards",
    short_help="list the boards",
    epilog="\b\nExamples:\n  rdahw boards\n  rdahw boards --json",
)
@output_options
def command(output: Output) -> None:
    """List the boards that rdahw synth makes bitstreams for."""
    from rdahw.boards import BOARDS, board

    known = [board(name) for name in BOARDS]
    output.json(
        {
            "boards": [
                {
                    "name": its.name,
                    "title": its.title,
                    "device": its.device,
                    "logic_cells": its.logic_cells,
                    "ebr": its.ebr,
                    "ebr_bits": its.ebr_bits,
                    "spram": its.spram,
                    "clock_mhz": its.clock,
                    "baud": its.baud,
                    "programmers": [programmer.tool for programmer in its.programmers],
                    "url": its.url,
                }
                for its in known
            ]
        }
    )
    output.table(
        ("board", "is", "FPGA", "logic cells", "EBR", "SPRAM", "clock (MHz)", "programmer"),
        [(b.name, b.title, b.device, b.logic_cells, b.ebr, b.spram, b.clock, b.programmers[0].tool) for b in known],
    )
