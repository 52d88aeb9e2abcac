"""``rdahw train``."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import Any

import click

from rdahw.cli._automatic import check_automatic, choose_model, default_model
from rdahw.cli._engine import EngineOptions, engine_options
from rdahw.cli._jobs import cluster_option, jobs_option, open_jobs
from rdahw.cli._options import family_options, given_options, resume, rules, tasks, usual
from rdahw.cli._output import Output, complete, output_options
from rdahw.cli._params import FiniteRange, binarise_option, count_option, dataset_options, file_option
from rdahw.cli._stream import StreamOptions, train_stream
from rdahw.cli._training import Request, Run, convert, load_data
from rdahw.errors import UsageError
from rdahw.family import AUTO
from rdahw.files import check_writable
from rdahw.jobs import ThreadJobs


@click.command(
    "train",
    epilog="""\b
Examples:
  rdahw train --sim
  rdahw train --data iris --labels binary --json
  rdahw train --data mnist --classes 0,1 --labels binary --model mask \\
      --validation 1265 --updates 999
  rdahw train --data table.csv --label species --split 0.25 \\
      --model lookup --binarise quantile=3 --epochs 20 --shuffle
  rdahw train --data table.csv --split 0.25
  rdahw train --data houses.csv --task regression --label price --split 0.25
  rdahw train --data genes.csv --task multilabel --label a,b,c --split 0.25
  rdahw train --data pumps.csv --task anomaly
  rdahw train --data steps.csv --sequence id=run --split 0.25
  rdahw train --data mnist --model ensemble
  rdahw train --data mnist --model ensemble --hdl --epochs 1
  rdahw train --data mnist --model ensemble:tables=1024,inputs=8 \\
      --optimiser counter=8 --augment shift=1 --epochs 30 --seeds 5
  rdahw train --resume table-lookup.rdahw.checkpoint
  producer | rdahw train --stream --label state --out state.rdahw""",
)
@dataset_options("learn", default="iris", show_default=True)
@click.option(
    "--balance", is_flag=True, help="repeat the examples of rare classes, up to the number of the most frequent one"
)
@binarise_option("as the model needs it")
@click.option(
    "--task",
    type=click.Choice(tasks()),
    help="learn classes, numbers of which the label column has one for each example, several labels (--label A,B,C) "
    "that each are 0 or 1, what is normal, to find anomalies, or sequences (--sequence)  [default: classification, "
    "and sequences for data of them]",
)
@click.option(
    "--normal",
    metavar="CLASS",
    help="anomaly: learn from the examples of this class of the label column  [default: the most frequent one]",
)
@click.option(
    "--range",
    metavar="LOW,HIGH",
    help="regression: predict numbers in this range  [default: that of the training labels]",
)
@click.option(
    "--step", type=float, metavar="SIZE", help="regression: predict numbers this far apart  [default: range / 4095]"
)
@click.option(
    "--model",
    metavar="NAME|FILE.py:NAME|auto",
    shell_complete=complete("rdahw.families", "names"),
    help="learn this model, NAME[:OPTION=VALUE,…] such as ensemble:tables=256,inputs=6 (rdahw models lists names and "
    "options), a circuit or a machine from a Python file, which is run, or the best of several (auto)  [default: auto "
    "for your own data, lookup for data sets by name and with --hdl or --device, boosted for numbers and several "
    "labels, coverage for anomalies, machine for sequences]",
)
@click.option("--loss", metavar="RULE", help=f"learn by this loss  {rules('loss')}")
@click.option("--optimiser", metavar="RULE", help=f"update the parameters by this rule  {rules('optimiser')}")
@family_options
@engine_options
@count_option("--batch", help=f"update after every N examples  {usual('batch', 1)}")
@count_option("--epochs", help=f"go through the data N times  {usual('epochs', 1)}")
@count_option("--updates", help="stop after N updates")
@click.option(
    "--shuffle/--no-shuffle",
    default=None,
    help=f"shuffle the examples in every epoch  {usual('shuffle', False)}",
)
@count_option(
    "--stride",
    default=1,
    metavar="K",
    help="take example number i*K, modulo their number, as example i of an epoch, without shuffling",
)
@count_option(
    "--validation", help="hold out the last N training examples and keep the parameters that score best on them"
)
@click.option(
    "--score",
    "scored",
    type=click.Choice(["update", "epoch"]),
    help=f"score the held-out examples after every update or epoch  {usual('scored', 'update')}",
)
@click.option(
    "--seed", type=int, default=0, show_default=True, metavar="N", help="seed of the split, the order and the wiring"
)
@click.option(
    "--seeds", type=click.IntRange(2), metavar="N", help="train N times, from --seed on, and report mean and spread"
)
@count_option(
    "--shards",
    metavar="S",
    help="let S shards learn examples of their own, and take the mean of what they changed (ensemble), or count "
    "together (grown, whose bits do not depend on S); tables are read in parts, and no bits depend on --jobs",
)
@jobs_option("train the models of --seeds, try those of --model auto, or learn --shards", "1")
@cluster_option("train the models of --seeds, try those of --model auto, or learn --shards")
@file_option("--start", help="start from what this model has learned, of other data (the same options and thresholds)")
@file_option("--out", help="save the model here  [default: DATA-MODEL.rdahw]")
@file_option("--report", help="save a page about the model here (rdahw report)")
@file_option("--resume", help="continue from a checkpoint or model, to the bits of an uninterrupted run")
@click.option(
    "--stream",
    is_flag=True,
    help="learn from standard input (CSV, or NDJSON lines), each example once and after it was predicted",
)
@count_option(
    "--first", default=1000, help="with --stream: choose columns, classes and thresholds by the first N examples"
)
@file_option("--schema", help="with --stream: take columns, classes and thresholds from this model instead")
@count_option("--every", default=1000, help="with --stream: report the error after every N examples")
@click.option(
    "--skip",
    type=click.IntRange(0),
    default=0,
    metavar="N",
    help="with --stream and --resume: leave out the first N examples",
)
@click.option(
    "--checkpoint",
    type=FiniteRange(0),
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="save a checkpoint this often",
)
@output_options
@click.pass_context
def command(ctx: click.Context, output: Output, /, **options: Any) -> None:
    """Learn a model from data by reverse derivative ascent.

    The model is saved to --out when the training ends. Until then a checkpoint is saved beside it, regularly and on
    Ctrl-C; give it to --resume to continue. With --seeds each model is saved, as OUT with -seedK before the ending.
    """
    from rdahw.data import LABELS, task_of
    from rdahw.families import parse_model

    started = time.perf_counter()
    streamed = StreamOptions.take(ctx, options)
    if streamed.stream:
        train_stream(output, streamed, EngineOptions.take(options), options)
        return
    out, resumed, checkpoint_seconds = options.pop("out"), options.pop("resume"), options.pop("checkpoint")
    seeds, page, saved = options.pop("seeds"), options.pop("report"), None
    jobs, cluster, start = options.pop("jobs"), options.pop("cluster"), options.pop("start")
    engine = EngineOptions.take(options)
    if resumed is not None:
        if seeds is not None:
            raise UsageError("--seeds starts new trainings and --resume continues one; leave one of them out")
        saved = resume(ctx, resumed, options)
        out = out or resumed.with_name(re.sub(r"\.checkpoint(\.previous)?$", "", resumed.name) or resumed.name)
    else:
        options["task"] = options["task"] or task_of(options["data"], options["sequence"])
        if options["binarise"] and LABELS[options["task"]].of_symbols:
            raise UsageError("--binarise makes bits of values, and symbols of sequences have their own; leave it out")
        options["model"] = options["model"] or default_model(options["data"], engine, options["task"])
        if options["model"] == AUTO:
            check_automatic(options, engine)
        else:
            family = parse_model(options["model"])[0]
            family.check_task(options["task"])
            given_options(family, options)  # raises before any data are read
    own_order = resumed is None and options["shuffle"] is False  # a run that is resumed was checked when it began
    _check_jobs({"jobs": jobs, "cluster": cluster}, options, seeds, engine, own_order)
    if page is not None:
        _check_report(page, seeds)
    out = out or Path(_default_name(options["data"], options["model"]))
    if start is not None and (resumed is not None or seeds is not None or options["model"] == AUTO):
        what = "--resume" if resumed is not None else f"--model {AUTO}" if seeds is None else "--seeds"
        raise UsageError(f"--start {start} was given with {what}, which begins otherwise; leave one of them out")
    if seeds is not None:
        from rdahw.cli._seeds import show_seeds, train_seeds

        with open_jobs(jobs, cluster) as found:
            summary = train_seeds(output, options, engine, out, seeds, checkpoint_seconds, found)
        output.json(summary)
        show_seeds(output, summary)
        return
    from rdahw.saved import load_model

    check_writable(out)
    base = None if start is None else (load_model(start), str(start))
    with open_jobs(jobs, cluster, ThreadJobs) as found:
        dataset, held_out = load_data(output, options)
        tried = choose_model(output, options, dataset, found) if options["model"] == AUTO else []
        spec, data = convert(output, options, dataset, held_out, saved)
        del dataset, held_out  # their features may be large
        request = Request(
            options=options,
            spec=spec,
            data=data,
            engine=engine,
            out=out,
            resume=resumed,
            saved=saved,
            started=started,
            tried=tried,
            start=base,
            jobs=found,
        )
        run = Run(output, request)
        try:
            run.train(checkpoint_seconds)
            result = run.result()
        finally:
            run.close()
    output.json(result)
    run.show(result)
    if page is not None:
        from rdahw.cli.report import write_report

        write_report(output, out, page)


def _check_jobs(
    given: dict[str, Any], options: dict[str, Any], seeds: int | None, engine: EngineOptions, own_order: bool
) -> None:
    """Raise :class:`UsageError` for --jobs or --cluster where nothing can run at once, and for --shards with what they
    do not support."""
    if (shards := options["shards"]) is not None:
        hardware = "--hdl" if engine.where == "hdl" else None if engine.device is None else "--device"
        scored = "--score update" if options["scored"] == "update" else None
        updates = None if options["updates"] is None else f"--updates {options['updates']}"
        order = "--no-shuffle" if own_order else None
        if other := hardware or scored or updates or order:
            raise UsageError(f"--shards {shards} learns in software, whole epochs, shuffled; leave it or {other} out")
    for name, value in given.items():
        if value is None:
            continue
        if seeds is None and options["model"] != AUTO and shards is None:
            raise UsageError(
                f"--{name} {value} is for what runs at once, and this is one training; add --seeds N or --shards S, or "
                "leave it out"
            )
        if engine.device is not None or engine.vcd is not None:
            what = "--device, and a board" if engine.vcd is None else "--vcd, which"
            raise UsageError(f"--{name} {value} was given with {what} is for one training at a time; leave it out")


def _check_report(page: Path, seeds: int | None) -> None:
    from rdahw.cli.report import check_report

    if seeds is not None:
        raise UsageError("--report is about one model and --seeds trains several; use rdahw report on one of them")
    check_report(page)


def _default_name(data: str, model: str) -> str:
    from rdahw.cli._model import stem as model_stem
    from rdahw.data import stem

    data_name = stem(Path(data)) if os.sep in data or "." in data else data
    return f"{data_name}-{model_stem(model)}.rdahw".replace(":", "-")
