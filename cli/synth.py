"""``rdahw synth``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from rdahw.cli._data import load_dataset
from rdahw.cli._model import find_ensemble, find_model, size_options
from rdahw.cli._options import is_ensemble
from rdahw.cli._output import Output, complete, output_options
from rdahw.cli._tools import board_option, show_steps, toolchain_option
from rdahw.errors import UsageError

if TYPE_CHECKING:
    from rdahw.boards.board import Board
    from rdahw.boards.design import Design
    from rdahw.boards.report import Report
    from rdahw.families.ensemble.spec import EnsembleSpec

#: The most seeds of best-of-N: beyond it more seeds hardly ever find a better one.
_MAX_SEEDS = 64
#: The defaults of options that ensembles do not have: those of trainers, and the bits of a model by name.
_OF_TRAINERS = {"batch": 1, "stages": 1}
_OF_CIRCUITS = {**_OF_TRAINERS, "inputs": 4, "outputs": 3}
_OF_FLASH = ("flash", "epochs")


class _Seeds(click.ParamType):  # type: ignore[type-arg]
    """``N``, one seed, or ``best-of-N``, the seeds 1 to N."""

    name = "N|best-of-N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        match = re.fullmatch(r"(best-of-)?(\d{1,9})", value)
        if not match or (match[1] and not 1 <= int(match[2]) <= _MAX_SEEDS):
            self.fail(f"{value!r} is no seed; expected a whole number, or best-of-N with N from 1 to {_MAX_SEEDS}")
        return tuple(range(1, int(match[2]) + 1)) if match[1] else (int(match[2]),)


@click.command(
    "synth",
    short_help="make the bitstream of a trainer, or of a trained model",
    epilog="""\b
Examples:
  rdahw synth                                  a trainer of Iris
  rdahw synth --board ulx3s --pnr-seed best-of-4
  rdahw synth iris-lookup.rdahw --inference    a trained circuit
  rdahw synth mask --inputs 16 --outputs 1 --batch 10
  rdahw synth mnist-ensemble.rdahw             a trainer of an ensemble
  rdahw synth mnist-ensemble.rdahw --flash quad --epochs 0
  rdahw synth ensemble --data mnist --baud 3000000""",
)
@click.argument(
    "model", metavar="[MODEL|NAME|FILE.py:NAME]", default="lookup", shell_complete=complete("rdahw.families", "names")
)
@size_options(outputs=3)
@board_option
@click.option("--inference", is_flag=True, help="the trained circuit alone: it predicts and does not learn")
@click.option(
    "--batch", type=click.IntRange(1), default=1, show_default=True, help="above 1: with an accumulator for batches"
)
@click.option(
    "--stages", type=click.IntRange(1, 2), default=1, show_default=True, help="pipeline stages of the trainer"
)
@click.option(
    "--data",
    metavar="NAME|FILE",
    shell_complete=complete("rdahw.data", "NAMES"),
    help="ensembles by name: for examples as those of this data set  [default: iris]",
)
@click.option("--binarise", metavar="RULE", help="ensembles by name: as rdahw train does  [default: as there]")
@click.option("--seed", type=int, metavar="N", help="ensembles by name: seed of the wiring  [default: 0]")
@click.option(
    "--flash",
    type=click.Choice(["single", "quad"]),
    help="ensembles: train from the data of rdahw pack in the board's flash, over one data line or four",
)
@click.option(
    "--epochs",
    type=click.IntRange(0, 65535),
    metavar="N",
    help="with --flash: stop after N, 0 for never  [default: 15]",
)
@click.option("--clock", type=float, metavar="MHZ", help="clock of the core  [default: the board's]")
@click.option("--baud", type=click.IntRange(1), help="speed of the host link  [default: the board's]")
@click.option(
    "--pnr-seed", "seeds", type=_Seeds(), default="1", show_default=True, help="seed of place and route, or try several"
)
@toolchain_option
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="write here  [default: build/BOARD]")
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
    epochs: int | None,
    clock: float | None,
    baud: int | None,
    seeds: tuple[int, ...],
    toolchain: Literal["yowasp", "native"],
    out: Path | None,
) -> None:
    """Make a bitstream that learns on the board, behind the host link, and report what it takes.

    Writes RTLIL, Verilog, netlist, bitstream, log and report.json. Exit code 1 if the design does not fit the board or
    misses its clock.
    """
    from rdahw.boards import board
    from rdahw.boards.synthesis import synthesise

    its = board(board_name)
    of_names, of_ensembles = {"data": data, "binarise": binarise, "seed": seed}, {"flash": flash, "epochs": epochs}
    of_circuits = {"batch": batch, "stages": stages, "inputs": inputs, "outputs": outputs}
    if inference:
        _refuse(
            {n: of_circuits[n] for n in _OF_TRAINERS},
            _OF_TRAINERS,
            "--{} {} is of a trainer, and --inference makes none",
        )
    if is_ensemble(model) or find_ensemble(model) is not None:
        design = _ensemble_design(output, model, its, of_names, inference=inference, **of_circuits, **of_ensembles)
    else:
        _refuse(of_names | of_ensembles, {}, "--{} {} is of ensembles, and the model is none")
        design = _design(model, inputs, outputs, inference=inference, batch=batch, stages=stages)
    folder = out or Path("build", its.name)
    with show_steps(output) as steps:
        report = synthesise(
            design,
            its,
            out=folder,
            toolchain=toolchain,
            pnr_seeds=seeds,
            clock_mhz=clock,
            baud=baud,
            progress=steps,
        )
    for warning in report.warnings:
        output.log(f"warning: {warning}")
    output.json(report.to_json())
    _for_people(output, report)


def _design(spec: str, inputs: int, outputs: int, *, inference: bool, batch: int, stages: int) -> Design:
    from rdahw.boards.design import inference_design, trainer_design
    from rdahw.learner import Learner

    model, saved = find_model(spec, inputs, outputs)
    learner = Learner(model) if saved is None else saved.learner
    if not inference:
        return trainer_design(learner, batch=batch > 1, stages=stages)
    if saved is None:
        raise UsageError(f"--inference needs a trained model, and {spec!r} is not one; give a file of rdahw train")
    return inference_design(learner, saved.parameters)


def _ensemble_design(
    output: Output, model: str, board: Board, of_names: dict[str, Any], *, inference: bool, **options: Any
) -> Design:
    from rdahw.boards.design import ensemble_design, ensemble_inference_design

    _refuse({n: options[n] for n in _OF_CIRCUITS}, _OF_CIRCUITS, "--{} {} is of circuits, and this is an ensemble")
    saved = None if is_ensemble(model) else find_ensemble(model)
    if saved is not None:
        _refuse(of_names, {}, "--{} {} is of an ensemble by name, and this is a trained one")
    if inference:
        if saved is None:
            raise UsageError(f"--inference needs a trained model, and {model!r} is not one; give a file of rdahw train")
        _refuse({n: options[n] for n in _OF_FLASH}, {}, "--{} {} is of a trainer, and --inference makes none")
        return ensemble_inference_design(saved.spec, saved.counters, board)
    spec = _named_ensemble(output, model, **of_names) if saved is None else saved.spec
    flash, epochs = options["flash"], options["epochs"]
    if flash is None and epochs is not None:
        raise UsageError(f"--epochs {epochs} goes with --flash; add it, or leave --epochs out")
    return ensemble_design(
        spec, board, flash=flash is not None, quad=flash != "single", epochs=15 if epochs is None else epochs
    )


def _named_ensemble(
    output: Output, model: str, data: str | None, binarise: str | None, seed: int | None
) -> EnsembleSpec:
    """The ensemble that ``rdahw train --model`` of this name would train on the data."""
    from rdahw.cli._ensembles import default_rule
    from rdahw.data import fit_binariser
    from rdahw.GONE import parse_ensemble
    from rdahw.data.images import find_image

    dataset = load_dataset(output, data or "iris")
    width = fit_binariser(dataset, binarise or default_rule(dataset)).width
    image = find_image(dataset.columns, dataset.image_shape, width)
    return parse_ensemble(model, width, len(dataset.label_names), image, seed=seed or 0)


def _refuse(given: dict[str, Any], defaults: dict[str, Any], said: str) -> None:
    """Raise :class:`UsageError` for an option that was given, but may not be."""
    for name, value in given.items():
        if value != defaults.get(name):
            raise UsageError(said.format(name, value) + f"; leave --{name} out")


def _rates(rate: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {value:,}" for name, value in rate.items())


def _for_people(output: Output, report: Report) -> None:
    fmax = f"{report.fmax_mhz:g} MHz, seed {report.pnr_seed}"
    if len(report.seeds) > 1:
        tried = ", ".join(f"{s.seed}: {'–' if s.fmax_mhz is None else f'{s.fmax_mhz:g}'}" for s in report.seeds)
        fmax += f" of {len(report.seeds)} ({tried})"
    rows = (
        ("board", report.board),
        *(() if report.tables is None else (("tables in", report.tables),)),
        ("logic cells", f"{report.logic_cells:,}, of these the core {report.core_logic_cells:,}"),
        ("flip-flops", f"{report.flip_flops:,}"),
        ("memory blocks", f"{report.ebr} EBR, {report.spram} SPRAM"),
        ("Fmax", fmax),
        ("clock", f"{report.clock_mhz:g} MHz, met"),
        ("core", f"{report.cycles_per_example:g} cycles an example, {report.examples_per_second:,} examples/s"),
        *((purpose.replace("_", " "), _rates(rate)) for purpose, rate in report.rates.items()),
        ("tools", ", ".join(f"{name} {version}" for name, version in report.tools.items())),
        ("bitstream", str(report.bitstream)),
    )
    output.table(("", "result"), rows)
    output.log(f"next: rdahw flash {report.bitstream} --board {report.board}")
