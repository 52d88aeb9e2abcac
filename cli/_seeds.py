"""``rdahw train --seeds``: several trainings that differ in their seed, one after another or several at once."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rdahw.cli._automatic import choose_model
from rdahw.cli._engine import EngineOptions, compiling
from rdahw.cli._jobs import QuietOutput
from rdahw.cli._output import Output
from rdahw.cli._training import (
    Converted,
    Interrupted,
    Request,
    Run,
    checkpoint_of,
    convert,
    find_spec,
    keep_other_checkpoint,
    load_data,
)
from rdahw.errors import UsageError
from rdahw.family import AUTO
from rdahw.files import check_writable, write_atomically
from rdahw.jobs import Jobs, cores

if TYPE_CHECKING:
    from rdahw.data import Dataset
    from rdahw.data import Examples as RawExamples

__all__ = ["show_seeds", "train_seeds"]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _Shared:
    """What the trainings of all seeds have in common.

    output: that of this process, or the verbosity of another one. data: the data as bits, if they are the same for each
    seed; else raw: as they were read, if at least these are. remote: the files of this machine are not there.
    """

    options: dict[str, Any]
    engine: EngineOptions
    checkpoint: float
    output: Output | int
    threads: int | None
    count: int
    remote: bool
    data: Converted | None = None
    raw: tuple[Dataset, RawExamples | None] | None = None


@dataclass(frozen=True, slots=True)
class _Trained:
    """The result of a seed as JSON, None if it was interrupted, what it logged, and the file of the model, or of the
    checkpoint, where it has to be written here."""

    result: dict[str, Any] | None
    lines: list[str]
    content: bytes | None


_Piece = tuple[int, int, Path]
#: The number of seeds that there are.
_SEEDS = 1 << 64


def train_seeds(
    output: Output, options: dict[str, Any], engine: EngineOptions, out: Path, seeds: int, checkpoint: float, jobs: Jobs
) -> dict[str, Any]:
    """Train ``seeds`` models, from the seed of ``options`` on; gives the results with their mean and spread.

    Each model is saved as ``out`` with -seedK before the ending, and is the one of its ``--seed`` alone. On Ctrl-C
    raises :class:`Interrupted`; what is done is saved, and of what runs in this machine there are checkpoints.
    """
    module = _engine_module(options, engine)
    jobs.preload(__name__, "rdahw.data", *filter(None, [module]))
    first = options["seed"]
    if first + seeds > _SEEDS:
        raise UsageError(
            f"--seed {first} and --seeds {seeds} go beyond the seed {_SEEDS - 1}; start from a smaller one"
        )
    if out.name in ("", ".."):
        check_writable(out)  # which says that it is a folder
    outs = [out.with_name(f"{out.stem}-seed{first + i}{out.suffix}") for i in range(seeds)]
    for path in outs:
        check_writable(path)
    shared = _Shared(
        options=options,
        engine=engine,
        checkpoint=checkpoint,
        output=output if jobs.is_here else output.verbosity,
        threads=None if jobs.is_here else max(1, cores() // min(jobs.count or 1, seeds)),
        count=seeds,
        remote=not jobs.shares_files,
        **_data(output, options, engine, jobs, module),
    )
    results: dict[int, dict[str, Any]] = {}

    def done(number: int, trained: _Trained) -> None:
        path = outs[number]
        if trained.result is None:
            path = checkpoint_of(path)
            keep_other_checkpoint(output, path, None)
        else:
            results[number] = trained.result
        if trained.content is not None:
            write_atomically(path, trained.content)
        for line in trained.lines:
            output.log(line)

    pieces: list[_Piece] = [(number, first + number, path) for number, path in enumerate(outs)]
    try:
        if jobs.is_here:  # each training has a bar of its own
            jobs.run(_train_seed, pieces, shared, done=done)
        else:
            with output.progress("training", "seeds") as bar:
                jobs.run(_train_seed, pieces, shared, done=done, progress=bar)
    except (KeyboardInterrupt, Interrupted):
        output.json({"runs": [results[number] for number in sorted(results)]})
        raise Interrupted(
            _what_is_kept([path for number, path in enumerate(outs) if number in results], outs, first)
        ) from None
    return summarise([results[number] for number in range(seeds)])


def _what_is_kept(finished: list[Path], outs: list[Path], first: int) -> str:
    """The message after Ctrl-C; ``outs`` are those of the seeds from ``first`` on."""
    begun = [path for out in outs if (path := checkpoint_of(out)).exists()]
    saved = f", saved as {', '.join(map(str, finished))}" if finished else ""
    way = "".join(f"; continue with rdahw train --resume {path}" for path in begun[:1])
    others = f", and likewise with {', '.join(map(str, begun[1:]))}" if begun[1:] else ""
    left = [seed for seed, out in enumerate(outs, first) if out not in finished and checkpoint_of(out) not in begun]
    rest = ""
    if len(left) > 1 and left[-1] - left[0] < len(left):
        rest = f"; train the others with --seed {left[0]} --seeds {len(left)}"
    elif left:
        commands = (f"--seed {seed} --out {outs[seed - first]}" for seed in left)
        rest = f"; train the others without --seeds, with {', and with '.join(commands)}"
    return f"stopped after {len(finished)} of {len(outs)} seeds{saved}{way}{others}{rest}"


def _engine_module(options: dict[str, Any], engine: EngineOptions) -> str:
    """The module of the engine that trains in software; empty if it is not known yet."""
    from rdahw.families import parse_model
    from rdahw.sim.engines import engine_module

    known = options["model"] != AUTO and engine.where == "sim"
    return engine_module(parse_model(options["model"])[0].name, engine.engine) if known else ""


def _data(output: Output, options: dict[str, Any], engine: EngineOptions, jobs: Jobs, module: str) -> dict[str, Any]:
    """The data that all seeds have in common, as the fields of :class:`_Shared`; fills in the option binarise."""
    from rdahw.data import DRAWN

    if options["split"] is not None or options["data"] in DRAWN:  # they depend on the seed
        return {}
    dataset, held_out = load_data(output, options)
    if options["model"] == AUTO:
        return {"raw": (dataset, held_out)}
    spec, data = convert(output, options, dataset, held_out, None)
    from rdahw.sim.engines import find_engine, make_engine, seems_compiled

    if not jobs.is_here and module and not seems_compiled(module):
        # Compiled here, once and with a word about it: the processes load it from the cache.
        with compiling(output, find_engine(spec, engine.engine).is_compiled):
            make_engine(spec.preparation or spec, engine.engine)
    return {"data": data}


def _train_seed(shared: _Shared, piece: _Piece) -> _Trained:
    """Train one model and save it."""
    number, seed, out = piece
    started = time.perf_counter()
    output = QuietOutput(shared.output) if isinstance(shared.output, int) else shared.output
    options = {**shared.options, "seed": seed}
    output.log(f"seed {seed}, {number + 1} of {shared.count}")
    tried: list[dict[str, Any]] = []
    if shared.data is None:
        dataset, held_out = shared.raw or load_data(output, options)
        if options["model"] == AUTO:
            tried = choose_model(output, options, dataset)
        spec, data = convert(output, options, dataset, held_out, None)
    else:
        data = shared.data
        spec = find_spec(options, data.dataset, data.binariser)
    with _folder(out, shared.remote) as folder:
        request = Request(
            options=options,
            spec=spec,
            data=data,
            engine=shared.engine,
            out=folder / out.name,
            resume=None,
            saved=None,
            started=started,
            is_one_of_several=True,
            tried=tried,
            threads=shared.threads,
        )
        run, result = Run(output, request), None
        try:
            run.train(shared.checkpoint)
            result = run.result() | {"out": str(out)}
        except Interrupted:
            if not shared.remote:
                raise
        finally:
            run.close()
        written = run.checkpoint if result is None else run.out
        content = written.read_bytes() if shared.remote else None
    return _Trained(result, getattr(output, "lines", []), content)


@contextlib.contextmanager
def _folder(out: Path, remote: bool) -> Iterator[Path]:
    """The folder of ``out``, or a temporary one on another machine."""
    if not remote:
        yield out.parent
        return
    with tempfile.TemporaryDirectory(prefix="rdahw-") as name:
        yield Path(name)


def summarise(results: list[dict[str, Any]]) -> dict[str, Any]:
    """The results of several seeds, with mean, minimum, maximum and standard deviation (of a sample: divided by n − 1)
    of the accuracies (of numbers: R2) and seconds."""
    import statistics

    from rdahw.tasks import TASKS

    summary: dict[str, Any] = {"seeds": [result["seed"] for result in results], "runs": results}
    metric = TASKS[results[0]["task"]].metric.name
    for name in (f"test_{metric}", f"validation_{metric}", "seconds"):
        values = [result[name] for result in results if result.get(name) is not None]
        if len(values) == len(results):
            mean, deviation = statistics.mean(values), statistics.stdev(values)
            summary[name] = {"mean": mean, "min": min(values), "max": max(values), "stdev": deviation}
    return summary


def show_seeds(output: Output, summary: dict[str, Any]) -> None:
    """Print the results for people."""
    from rdahw.tasks import TASKS

    metric = TASKS[summary["runs"][0]["task"]].metric
    names = {f"{part}_{metric.name}": f"{part} {metric.title}" for part in ("validation", "test")}
    names["seconds"] = "seconds"
    shown = [name for name in names if name in summary]

    def cell(name: str, value: float) -> float:
        return round(value, 3) if name == "seconds" else metric.shown(value)

    rows = [(run["seed"], *(cell(name, run[name]) for name in shown), run["out"]) for run in summary["runs"]]
    output.table(("seed", *(names[name] for name in shown), "saved"), rows)
    for name in shown:
        mean, low, high, deviation = (cell(name, summary[name][key]) for key in ("mean", "min", "max", "stdev"))
        output.line(f"{names[name]:13} mean {mean:g}, from {low:g} to {high:g}, standard deviation {deviation:g}")
