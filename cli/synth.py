"""``rdahw synth``."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click
from click.core import ParameterSource

from rdahw.cli._data import load_dataset
from rdahw.cli._jobs import cluster_option, jobs_option, open_jobs
from rdahw.cli._model import find_model, make_spec
from rdahw.cli._output import Output, complete, output_options
from rdahw.cli._params import (
    FiniteRange,
    board_frontend_option,
    board_option,
    count_option,
    data_option,
    encoder_option,
    file_option,
    size_options,
    toolchain_option,
)
from rdahw.errors import UsageError

if TYPE_CHECKING:
    from rdahw.boards.report import Report
    from rdahw.data import Binariser
    from rdahw.family import Spec
    from rdahw.saved import SavedModel

#: The largest N of best-of-N: more seeds hardly ever find a better result.
_MAX_SEEDS = 64
#: The defaults of the options of trainers.
_OF_TRAINERS = {"batch": 1, "stages": 1, "flash": None, "drift": False, "epochs": None}


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
@click.argument(
    "model", metavar="[MODEL|NAME|FILE.py:NAME]", default="lookup", shell_complete=complete("rdahw.families", "names")
)
@size_options(outputs=3)
@board_option
@click.option("--inference", is_flag=True, help="the trained model alone, which predicts and does not learn")
@count_option("--batch", default=1, help="above 1: with an accumulator for batches")
@click.option(
    "--stages", type=click.IntRange(1, 2), default=1, show_default=True, help="pipeline stages of the trainer"
)
@data_option(help="a model by name: with the bits and classes of this data set  [default: iris]")
@click.option("--binarise", metavar="RULE", help="a model by name: binarise by this rule  [default: as rdahw train]")
@click.option("--seed", type=int, metavar="N", help="a model by name: seed of its randomness  [default: 0]")
@click.option(
    "--flash",
    type=click.Choice(["single", "quad"]),
    help="ensemble: train from the data of rdahw pack in the board's flash, over one data line or four",
)
@encoder_option
@board_frontend_option
@click.option(
    "--sample",
    type=FiniteRange(0, min_open=True),
    metavar="HZ",
    help="with --frontend pins: sample so often  [default: at each rising edge of the clock pin]",
)
@click.option("--drift", is_flag=True, help="ensemble: with a counter of alarms for a rising error rate")
@click.option(
    "--epochs",
    type=click.IntRange(0, 65535),
    metavar="N",
    help="with --flash: stop after N epochs, 0 for never  [default: 15]",
)
@click.option("--clock", type=float, metavar="MHZ", help="clock of the core  [default: the board's]")
@count_option("--baud", help="speed of the host link, in bits per second  [default: the board's]")
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
    model: str,
    inputs: int,
    outputs: int,
    board_name: str,
    inference: bool,
    batch: int,
    stages: int,
    data: str | None,
    binarise: str | None,
    seed: int | None,
    flash: str | None,
    frontend: str | None,
    sample: float | None,
    drift: bool,
    encoder: int | None,
    epochs: int | None,
    clock: float | None,
    baud: int | None,
    seeds: tuple[int, ...],
    jobs: int | None,
    cluster: str | None,
    toolchain: Literal["yowasp", "native"],
    out: Path | None,
) -> None:
    """Make the bitstream of a trainer with its host link, and report its size and speed.

    Writes RTLIL, Verilog, netlist, bitstream, log and report.json. Exit code 1 if the design does not fit the board or
    misses its clock.
    """
    from rdahw.boards import board
    from rdahw.boards.design import inference_design, live_design, trainer_design
    from rdahw.boards.synthesis import synthesise
    from rdahw.hdl.frontend import FRONTENDS, NumberFrontend

    its = board(board_name)
    of_names: dict[str, Any] = {"data": data, "binarise": binarise, "seed": seed}
    spec, saved, binariser = _find(output, model, {"inputs": inputs, "outputs": outputs}, **of_names)
    is_live = frontend == "pins"
    if sample is not None and not is_live:
        raise UsageError(f"--sample {sample:g} was given without --frontend pins; add it, or leave --sample out")
    front = FRONTENDS[frontend](binariser) if frontend in FRONTENDS else None
    if encoder is not None and (not inference or frontend is not None):
        raise UsageError(
            "--encoder is for the predictor of a trained model; add --inference, without --frontend, or leave "
            "--encoder out"
        )
    options: dict[str, Any] = {"batch": batch, "stages": stages, "flash": flash, "drift": drift, "epochs": epochs}
    if is_live:
        of_link = {"inference": inference or None, "baud": baud}
        _refuse({n: v for n, v in (options | of_link).items() if v != _OF_TRAINERS.get(n)},
                "cannot be used with --frontend pins")  # fmt: skip
        design = live_design(spec, its, sample=sample)
    elif inference:
        _refuse({n: v for n, v in options.items() if v != _OF_TRAINERS[n]}, "cannot be used with --inference")
        if saved is None:
            raise UsageError(f"--inference needs a trained model, and {model!r} is not one; give a file of rdahw train")
        trained = saved.predictor
        numbers = None if encoder is None else NumberFrontend(saved.binariser, encoder)
        if numbers is not None and (caution := numbers.caution):
            output.log(f"warning: {caution}")
        design = inference_design(trained.spec, trained.best_state, its, clock=clock, frontend=numbers or front)
    else:
        if flash is None and epochs is not None:
            raise UsageError(f"--epochs {epochs} was given without --flash; add --flash, or leave --epochs out")
        design = trainer_design(
            spec,
            its,
            batch=batch > 1,
            stages=stages,
            flash=flash is not None,
            drift=drift,
            frontend=front,
            quad=flash != "single",
            epochs=15 if epochs is None else epochs,
        )
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
        )
    for warning in report.warnings:
        output.log(f"warning: {warning}")
    output.json(report.to_json())
    _for_people(output, report)


def _find(
    output: Output, model: str, widths: dict[str, int], *, data: str | None, binarise: str | None, seed: int | None
) -> tuple[Spec, SavedModel | None, Binariser | None]:
    """The model, the saved model if it is one, and the binariser if there are data. A model by name is the one that
    ``rdahw train`` would train on the data, or has the widths --inputs and --outputs if one of them is given."""
    from rdahw.families import is_model_name, parse_model
    from rdahw.family import Task

    source = click.get_current_context().get_parameter_source
    given = {name: value for name, value in widths.items() if source(name) is not ParameterSource.DEFAULT}
    of_data = {name: value for name, value in (("data", data), ("binarise", binarise)) if value is not None}
    if not is_model_name(model):
        named = given | of_data | ({} if seed is None else {"seed": seed})
        _refuse(named, "cannot be used with a trained model")
        found, saved = find_model(model, **widths)
        return found, saved, None if saved is None else saved.binariser
    if given:
        _refuse(of_data, f"cannot be used with --{next(iter(given))}, because the data decide the number of bits")
        kind = parse_model(model)[0].tasks[0]
        task = Task.of_widths(widths["inputs"], widths["outputs"], seed=seed or 0, kind=kind)
        return make_spec(model, task), None, None
    from rdahw.data import fit_binariser

    dataset = load_dataset(output, data or "iris")
    binariser = fit_binariser(dataset, binarise or parse_model(model)[0].binarise(dataset))
    return make_spec(model, Task.of(dataset.schema, binariser, seed=seed or 0)), None, binariser


def _refuse(given: dict[str, Any], why: str) -> None:
    """Raise :class:`UsageError` for the first of the options ``given``."""
    for name, value in given.items():
        typed = f"--{name}" if value is True else f"--{name} {value}"
        raise UsageError(f"{typed} {why}; leave --{name} out")


def _frontend(found: Mapping[str, int]) -> str:
    """What the frontend alone has."""
    names = {"logic_cells": "logic cells", "flip_flops": "flip-flops", "ebr": "EBR"}
    return ", ".join(f"{found[name]:,} {title}" for name, title in names.items() if name in found)


def _for_people(output: Output, report: Report) -> None:
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
    output.table(("", "result"), rows)
    output.log(f"next: rdahw flash {shlex.quote(str(report.bitstream))} --board {report.board}")
