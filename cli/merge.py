"""``rdahw merge``."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import click

from rdahw.cli._output import Output, output_options, percent
from rdahw.cli._params import file_option
from rdahw.errors import UsageError


@click.command(
    "merge",
    epilog="""\b
Examples:
  rdahw merge part1.rdahw part2.rdahw part3.rdahw --out whole.rdahw
  rdahw merge board1.rdahw board2.rdahw --start before.rdahw --out after.rdahw""",
)
@click.argument("models", metavar="MODEL...", nargs=-1, required=True, type=click.Path(path_type=Path))
@file_option("--start", help="the model that all of them started from  [default: an untrained one]")
@click.option("--mean", is_flag=True, help="take the mean of the changes, and not their sum")
@file_option("--out", help="save the merged model here  [default: merged.rdahw]")
@output_options
def command(output: Output, models: tuple[Path, ...], start: Path | None, mean: bool, out: Path | None) -> None:
    """Merge models that learned different examples, such as those of several boards, into one.

    What each model changed in its counters since the start is added, and the sums saturate where counters do. The
    models must be of one kind: same options, seed, columns and thresholds, and a family with counters.
    """
    import numpy as np

    import rdahw
    from rdahw.files import check_writable
    from rdahw.merging import check_same, counters_of, merge_states
    from rdahw.saved import load_model, save_model
    from rdahw.training import Progress

    if len(models) < 2:
        raise UsageError(f"{str(models[0])!r} alone was given; give the files of two or more models")
    out = out or Path("merged.rdahw")
    check_writable(out)
    first, *others = loaded = [load_model(path) for path in models]
    base = None if start is None else load_model(start)
    for path, other in zip((*models[1:], start), (*others, base), strict=True):
        if path is not None and other is not None:
            check_same(str(models[0]), first, str(path), other)
    field, spec = counters_of(first.spec), first.spec
    begun = spec.initial_state() if base is None else base.best_state
    state = merge_states(spec, begun, [one.best_state for one in loaded], mean=mean)
    before = 0 if base is None else base.progress.examples
    examples = before + sum(max(0, one.progress.examples - before) for one in loaded)
    provenance = {
        **{name: first.provenance[name] for name in ("options", "data_sha256") if name in first.provenance},
        "command": "rdahw merge",
        "package_version": rdahw.__version__,
        "finished": True,
        "merged": [str(path) for path in models],
    }
    save_model(replace(first, state=state, progress=Progress(examples=examples), provenance=provenance), out)
    low, high = field.range
    counters = state[field.name]
    saturated = int(np.count_nonzero(counters == low) + np.count_nonzero(counters == high))
    output.json({
        "models": [str(path) for path in models],
        "start": None if start is None else str(start),
        "mean": mean,
        "examples": examples,
        "counters": counters.size,
        "saturated": saturated,
        "out": str(out),
    })  # fmt: skip
    output.line(f"merged    {len(models)} models, {examples:,} examples, {spec.description}")
    output.line(f"saturated {percent(saturated, counters.size)} of {counters.size:,} counters")
    output.line(f"saved     {out}")
    output.log(f"next: rdahw eval {shlex.quote(str(out))}")
