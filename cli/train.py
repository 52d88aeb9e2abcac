"""``rdahw train``."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rdahw.cli._data import label_option
from rdahw.cli._device import device_options, take_device_options
from rdahw.cli._hdl import hdl_options, take_hdl_options
from rdahw.cli._options import check_options, family_options, resume, rules, usual
from rdahw.cli._output import Output, complete, output_options
from rdahw.cli._training import Request, Run, load_data
from rdahw.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator


@click.command(
    "train",
    short_help="learn a circuit from data",
    epilog="""\b
Examples:
  rdahw train --sim
  rdahw train --data iris --labels binary --json
  rdahw train --data mnist --classes 0,1 --labels binary --model mask \\
      --validation 1265 --updates 999
  rdahw train --data table.csv --label species --split 0.25 \\
      --binarise quantile=3 --epochs 20 --shuffle
  rdahw train --data mnist --model ensemble
  rdahw train --data mnist --model ensemble --hdl --epochs 1
  rdahw train --data mnist --model ensemble:tables=1024,inputs=8 \\
      --optimiser counter=8 --augment shift=1 --epochs 30 --seeds 5
  rdahw train --resume table-lookup.rdahw.checkpoint""",
)
@click.option(
    "--data",
    default="iris",
    show_default=True,
    metavar="NAME|FILE",
    shell_complete=complete("rdahw.data", "NAMES"),
    help="learn this data set (rdahw datasets lists the names), CSV or NPZ file",
)
@label_option
@click.option("--classes", metavar="A,B,…", help="learn these classes only, in this order")
@click.option("--test", type=click.Path(), metavar="FILE", help="test on this file")
@click.option("--split", type=float, metavar="FRACTION", help="test on this fraction of the examples, drawn by class")
@click.option(
    "--binarise",
    metavar="RULE",
    help="turn numbers into bits by midrange, threshold=K[,K…], thermometer=K or quantile=K"
    "  [default: threshold=32 for images, else as the model needs it]",
)
@click.option(
    "--model",
    default="lookup",
    show_default=True,
    metavar="NAME|FILE.py:NAME",
    shell_complete=complete("rdahw.families", "names"),
    help="learn this model, NAME[:OPTION=VALUE,…] such as ensemble:tables=256,inputs=6 (rdahw models lists names and "
    "options), or a circuit from a Python file, which is run",
)
@click.option("--loss", metavar="RULE", help=f"learn by this loss  {rules('loss')}")
@click.option("--optimiser", metavar="RULE", help=f"update the parameters by this rule  {rules('optimiser')}")
@family_options
@click.option("--sim", "where", flag_value="sim", default="sim", help="learn in the reference simulator  [default]")
@click.option(
    "--hdl",
    "where",
    flag_value="hdl",
    help="learn in simulated hardware, each bit checked against the software learner",
)
@hdl_options
@device_options
@click.option(
    "--batch", type=click.IntRange(1), metavar="N", help=f"update after every N examples  {usual('batch', 1)}"
)
@click.option(
    "--epochs",
    type=click.IntRange(1),
    metavar="N",
    help=f"go through the data N times  {usual('epochs', 1)}",
)
@click.option("--updates", type=click.IntRange(1), metavar="N", help="stop after N updates")
@click.option(
    "--shuffle/--no-shuffle",
    default=None,
    help=f"shuffle the examples in every epoch  {usual('shuffle', False)}",
)
@click.option(
    "--stride",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    metavar="K",
    help="take as example i of an epoch number i*K modulo their number, without shuffling",
)
@click.option(
    "--validation",
    type=click.IntRange(1),
    metavar="N",
    help="hold out the last N training examples and keep the parameters that are best on them",
)
@click.option(
    "--score",
    "scored",
    type=click.Choice(["update", "epoch"]),
    help=f"score the examples held out after every update or epoch  {usual('scored', 'update')}",
)
@click.option(
    "--seed", type=int, default=0, show_default=True, metavar="N", help="seed of the split, of shuffling and of wiring"
)
@click.option(
    "--seeds", type=click.IntRange(2), metavar="N", help="train N times, from --seed on, and report mean and spread"
)
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="FILE", help="save the model here  [default: DATA-MODEL.rdahw]"
)
@click.option(
    "--report", type=click.Path(path_type=Path), metavar="FILE", help="save a page about the model here (rdahw report)"
)
@click.option(
    "--resume",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="go on from a checkpoint or model, to the bits of an uninterrupted run",
)
@click.option(
    "--checkpoint",
    type=click.FloatRange(0),
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="save a checkpoint every so many seconds",
)
@output_options
@click.pass_context
def command(ctx: click.Context, output: Output, /, **options: Any) -> None:
    """Learn a model from data by reverse derivative ascent.

    The model is saved to --out when the training ends. Until then a checkpoint lies beside it, every so often and on
    Ctrl-C; give it to --resume to go on. With --seeds each model is saved, as OUT with -seedK before the ending.
    """
    from rdahw.files import check_writable

    started = time.perf_counter()
    out, resumed, checkpoint_seconds = options.pop("out"), options.pop("resume"), options.pop("checkpoint")
    seeds, device, page = options.pop("seeds"), take_device_options(options), options.pop("report")
    hdl, saved = take_hdl_options(options), None
    if resumed is not None:
        if seeds is not None:
            raise UsageError("--seeds trains anew and --resume goes on with one training; leave one out")
        saved = resume(ctx, resumed, options)
        out = out or resumed.with_name(re.sub(r"\.checkpoint(\.previous)?$", "", resumed.name) or resumed.name)
    else:
        check_options(options)
    if page is not None:
        _check_report(page, seeds)
    out = out or Path(_default_name(options["data"], options["model"]))
    given = {"hdl": hdl, "device": device, "resume": resumed, "saved": saved}
    if seeds is None:
        check_writable(out)
        dataset, held_out = load_data(output, options)
        request = Request(options=options, dataset=dataset, held_out=held_out, out=out, started=started, **given)
        result, run = _train(output, request, checkpoint_seconds)
        output.json(result)
        run.show(result)
        if page is not None:
            from rdahw.cli.report import write_report

            write_report(output, out, page)
    else:
        results = []
        for request in _requests(output, options, out, seeds, given):
            results.append(_train(output, request, checkpoint_seconds)[0])
        summary = summarise(results)
        output.json(summary)
        _show_seeds(output, summary)


def _train(output: Output, request: Request, checkpoint_seconds: float) -> tuple[dict[str, Any], Run]:
    run = Run(output, request)
    try:
        run.train(checkpoint_seconds)
        return run.result(), run
    finally:
        run.close()


def _check_report(page: Path, seeds: int | None) -> None:
    from rdahw.cli.report import check_report

    if seeds is not None:
        raise UsageError("--report is about one model and --seeds trains several; use rdahw report on one of them")
    check_report(page)


def _default_name(data: str, model: str) -> str:
    data_name = Path(data).stem if os.sep in data or "." in data else data
    model_name = model.rpartition(":")[2] if ".py:" in model else model.partition(":")[0]
    return f"{data_name}-{model_name}.rdahw"


# -- several seeds -----------------------------------------------------------------------------------------------------


def _requests(
    output: Output, options: dict[str, Any], out: Path, seeds: int, given: dict[str, Any]
) -> Iterator[Request]:
    """A request for each seed, the same as that of ``--seed`` alone."""
    from rdahw.files import check_writable

    first = options["seed"]
    outs = [out.with_name(f"{out.stem}-seed{first + i}{out.suffix}") for i in range(seeds)]
    for path in outs:
        check_writable(path)
    data = None
    for i, path in enumerate(outs):
        started, own = time.perf_counter(), {**options, "seed": first + i}
        if data is None or options["split"] is not None:  # a split is drawn by the seed
            data = load_data(output, own)
        output.log(f"seed {own['seed']}, {i + 1} of {seeds}")
        yield Request(
            options=own,
            dataset=data[0],
            held_out=data[1],
            out=path,
            started=started,
            is_one_of_several=True,
            **given,
        )


def summarise(results: list[dict[str, Any]]) -> dict[str, Any]:
    """The results of several seeds, and of each accuracy the mean, the smallest, the largest and the standard deviation
    (of a sample: divided by their number less one)."""
    import statistics

    summary: dict[str, Any] = {"seeds": [result["seed"] for result in results], "runs": results}
    for name in ("test_accuracy", "validation_accuracy", "seconds"):
        values = [result[name] for result in results if result.get(name) is not None]
        if len(values) == len(results):
            summary[name] = {
                "mean": statistics.mean(values),
                "min": min(values),
                "max": max(values),
                "stdev": statistics.stdev(values),
            }
    return summary


def _show_seeds(output: Output, summary: dict[str, Any]) -> None:
    names = {"validation_accuracy": "validation %", "test_accuracy": "test %", "seconds": "seconds"}
    shown = [name for name in names if name in summary]

    def cell(name: str, value: float) -> float:
        return round(value, 3) if name == "seconds" else round(100 * value, 2)

    rows = [(run["seed"], *(cell(name, run[name]) for name in shown), run["out"]) for run in summary["runs"]]
    output.table(("seed", *(names[name] for name in shown), "saved"), rows)
    for name in shown:
        mean, low, high, deviation = (cell(name, summary[name][key]) for key in ("mean", "min", "max", "stdev"))
        output.line(f"{names[name]:13} mean {mean:g}, from {low:g} to {high:g}, standard deviation {deviation:g}")
