"""``rdahw synth``."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from rdahw.cli._gateware import about, find_gateware, gateware_options
from rdahw.cli._jobs import cluster_option, jobs_option, open_jobs
from rdahw.cli._output import Output, output_options
from rdahw.cli._params import file_option, toolchain_option

if TYPE_CHECKING:
    from rdahw.boards.estimate import Estimate
    from rdahw.boards.report import Report

#: The largest N of best-of-N: more seeds hardly ever find a better result.
_MAX_SEEDS = 64


class _Seeds(click.ParamType):  # type: ignore[type-arg]
    """``N``, one seed, or ``best-of-N``, the seeds 1 to N."""

    name = "N|best-of-N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        match = re.fullmatch(r"(best-of-)?(\d{1,9})", value)
        if not match or (match[1] and not 1 <= int(match[2]) <= _MAX_SEEDS):
            self.fail(f"invalid seed {value!r}; expected a whole number, or best-of-N with N from 1 to {_MAX_SEEDS}")
        return tuple(range(1, int(match[2]) + 1)) if match[1] else (int(match[2]),)


@click.command(
    "synth",
    epilog="""\b
Examples:
  rdahw synth                                  a trainer of Iris
  rdahw synth --board ulx3s --pnr-seed best-of-4
  rdahw synth iris-lookup.rdahw --inference    a trained circuit
  rdahw synth digits-grown.rdahw --inference --encoder 5
  rdahw synth mask --inputs 16 --outputs 1 --batch 10
  rdahw synth lookup:labels=binary --data iris
  rdahw synth mnist-ensemble.rdahw             a trainer of an ensemble
  rdahw synth mnist-ensemble.rdahw --flash quad --epochs 0
  rdahw synth fashion-ensemble.rdahw --frontend pixels
  rdahw synth machine:rule=shadow,live=1 --inputs 1 --frontend pins
  rdahw synth ensemble --data mnist --baud 3000000""",
)
@gateware_options
@click.option(
    "--pnr-seed",
    "seeds",
    type=_Seeds(),
    default="1",
    show_default=True,
    help="seed of place and route, or the best of several",
)
@jobs_option("place and route seeds", "one a processor")
@cluster_option("place and route seeds")
@toolchain_option
@file_option("--out", metavar="DIR", help="write here  [default: build/BOARD]")
@output_options
def command(
    output: Output,
    seeds: tuple[int, ...],
    jobs: int | None,
    cluster: str | None,
    toolchain: Literal["yowasp", "native"],
    out: Path | None,
    **options: Any,
) -> None:
    """Make the bitstream of a trainer with its host link, and report its size and speed.

    Writes RTLIL, Verilog, netlist, bitstream, log and report.json. Exit code 1 if the design does not fit the board or
    misses its clock.
    """
    from rdahw.boards.estimate import estimate
    from rdahw.boards.synthesis import synthesise

    design, its, clock, baud = find_gateware(output, **options)
    estimates: list[Estimate] = []

    def tell_estimate() -> None:
        expected = estimate(design, its, clock_mhz=clock, baud=baud)
        output.log(f"estimated: {about(expected, 'logic_cells')} logic cells, Fmax {about(expected, 'fmax_mhz')} MHz")
        estimates.append(expected)

    with open_jobs(jobs, cluster) if cluster is not None else nullcontext() as elsewhere:
        report = synthesise(
            design,
            its,
            out=out or Path("build", its.name),
            toolchain=toolchain,
            pnr_seeds=seeds,
            jobs=jobs,
            elsewhere=elsewhere,
            clock_mhz=clock,
            baud=baud,
            progress=output.step,
            meanwhile=tell_estimate,
        )
    expected = estimates[0]
    for warning in report.warnings:
        output.log(f"warning: {warning}")
    output.json(report.to_json() | {"estimated": expected.to_json()})
    _for_people(output, report, expected)


def _frontend(found: Mapping[str, int]) -> str:
    """What the frontend alone has."""
    names = {"logic_cells": "logic cells", "flip_flops": "flip-flops", "ebr": "EBR"}
    return ", ".join(f"{found[name]:,} {title}" for name, title in names.items() if name in found)


def _for_people(output: Output, report: Report, expected: Estimate) -> None:
    fmax = f"{report.fmax_mhz:g} MHz, seed {report.pnr_seed}"
    if len(report.seeds) > 1:
        tried = ", ".join(f"{s.seed}: {'–' if s.fmax_mhz is None else f'{s.fmax_mhz:g}'}" for s in report.seeds)
        fmax += f" of {len(report.seeds)} ({tried})"
    rows = (
        ("board", report.board),
        *(() if report.tables is None else (("tables in", report.tables),)),
        ("logic cells", f"{report.logic_cells:,}, of these the core {report.core_logic_cells:,}"),
        *((("frontend", _frontend(report.frontend)),) if report.frontend else ()),
        ("flip-flops", f"{report.flip_flops:,}"),
        ("memory blocks", f"{report.ebr} EBR, {report.spram} SPRAM"),
        ("Fmax", fmax),
        ("clock", f"{report.clock_mhz:g} MHz, met"),
        ("core", f"{report.cycles_per_example:g} cycles an example, {report.examples_per_second:,} examples/s"),
        *(() if report.latency_cycles is None else (("latency", f"{report.latency_cycles} cycles"),)),
        *(
            (purpose.replace("_", " "), ", ".join(f"{name} {value:,}" for name, value in rate.items()))
            for purpose, rate in report.rates.items()
        ),
        ("tools", ", ".join(f"{name} {version}" for name, version in report.tools.items())),
        ("bitstream", str(report.bitstream)),
    )
    estimates = {
        "logic cells": about(expected, "logic_cells"),
        "flip-flops": f"{expected.flip_flops:,}",
        "memory blocks": f"{expected.ebr} EBR, {expected.spram} SPRAM",
        "Fmax": f"{about(expected, 'fmax_mhz')} MHz",
    }
    output.table(("", "estimated", "result"), [(title, estimates.get(title, ""), value) for title, value in rows])
    output.log(f"next: rdahw flash {shlex.quote(str(report.bitstream))} --board {report.board}")
