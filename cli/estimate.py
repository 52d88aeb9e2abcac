"""``rdahw estimate``."""

from __future__ import annotations

from typing import Any

import click

from rdahw.cli._gateware import about, find_gateware, gateware_options
from rdahw.cli._output import Output, output_options


def _perhaps(at_best: bool, at_worst: bool, word: str) -> str:
    """The ``word`` if it is true at the better end of an estimate's span; with «perhaps» if at the worse end alone."""
    return f", {word}" if at_best else f", perhaps {word}" if at_worst else ""


@click.command(
    "estimate",
    epilog="""\b
Examples:
  rdahw estimate                               a trainer of Iris
  rdahw estimate ensemble --data mnist --board ulx3s-85f
  rdahw estimate mnist-ensemble.rdahw --flash quad
  rdahw estimate digits-grown.rdahw --inference
  rdahw estimate grown:tables=600 --inputs 784 --outputs 10 --inference
  rdahw estimate layers --inputs 64 --outputs 10 --board tangnano9k --json""",
)
@gateware_options
@output_options
def command(output: Output, **options: Any) -> None:
    """Estimate the size and speed of what rdahw synth makes, without building it.

    Memory blocks and cycles are exact; logic cells and Fmax are estimates with an error bound. With --inference a model
    by name has drawn parameters in place of trained ones.
    """
    from rdahw.boards.estimate import estimate

    design, its, clock, baud = find_gateware(output, **options, is_typical=True)
    found = estimate(design, its, clock_mhz=clock, baud=baud)
    output.json(found.to_json())
    fewest, most = found.span("logic_cells")
    full = _perhaps(fewest > its.logic_cells, most > its.logic_cells, "too many")
    slowest, fastest = found.span("fmax_mhz")
    late = _perhaps(fastest < found.clock_mhz, slowest < found.clock_mhz, "missed")
    rows = (
        ("board", found.board),
        *(() if found.tables is None else (("tables in", found.tables),)),
        ("logic cells", f"{about(found, 'logic_cells')}, of {its.logic_cells:,}{full}"),
        ("flip-flops", f"about {found.flip_flops:,}"),
        ("memory blocks", f"{found.ebr} EBR of {its.ebr}, {found.spram} SPRAM of {its.spram}"),
        ("Fmax", f"{about(found, 'fmax_mhz')} MHz"),
        ("clock", f"{found.clock_mhz:g} MHz{late}"),
        ("core", f"{found.cycles_per_example:g} cycles an example, {found.examples_per_second:,} examples/s"),
        *(() if found.latency_cycles is None else (("latency", f"{found.latency_cycles} cycles"),)),
        *(
            (purpose.replace("_", " "), ", ".join(f"{name} {value:,}" for name, value in rate.items()))
            for purpose, rate in found.rates.items()
        ),
    )
    output.table(("", "estimate"), rows)
    for resource, usage in found.short.items():
        output.log(f"warning: {usage.used:,} {resource} are more than the {usage.available:,} of {its.title}")
