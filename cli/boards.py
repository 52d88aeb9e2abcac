"""``rdahw boards``."""

from __future__ import annotations

import click

from rdahw.cli._output import Output, output_options


@click.command(
    "boards",
    epilog="\b\nExamples:\n  rdahw boards\n  rdahw boards --json",
)
@output_options
def command(output: Output) -> None:
    """List the boards that rdahw synth makes bitstreams for."""
    from rdahw.boards import BOARDS, board

    known = [board(name) for name in BOARDS]
    columns = ("name", "title", "device", "logic_cells", "ebr", "spram")
    output.json(
        {
            "boards": [
                {name: getattr(its, name) for name in columns}
                | {"clock_mhz": its.clock, "baud": its.baud, "programmers": [one.tool for one in its.programmers]}
                | {"url": its.url}
                for its in known
            ]
        }
    )
    output.table(
        ("board", "title", "FPGA", "logic cells", "EBR", "SPRAM", "clock (MHz)", "programmer"),
        [(b.name, b.title, b.device, b.logic_cells, b.ebr, b.spram, b.clock, b.programmers[0].tool) for b in known],
    )
