"""``rdahw tune``."""

from __future__ import annotations

import contextlib
import json
import shlex
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rdahw.cli._automatic import rule_of, size_of
from rdahw.cli._engine import EngineOptions
from rdahw.cli._jobs import cluster_option, jobs_option, open_jobs
from rdahw.cli._output import Output, complete, output_options, percent
from rdahw.cli._params import FiniteRange, binarise_option, count_option, dataset_options, file_option
from rdahw.cli._training import Interrupted, Request, Run, convert, load_data
from rdahw.errors import UsageError, UserError, nearest
from rdahw.family import USUAL_TASK

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rdahw.boards.budget import Budget
    from rdahw.data import Dataset
    from rdahw.family import Family
    from rdahw.sim.search import Search
    from rdahw.sim.trials import Given

#: The options of ``rdahw train`` that a search does not have, with the values that they have there.
_OF_TRAIN = {
    "task": USUAL_TASK, "normal": None, "range": None, "step": None, "loss": None, "optimiser": None, "batch": None,
    "epochs": None, "updates": None, "shuffle": None, "stride": 1, "scored": None, "shards": None, "validation": None,
    "sequence": None,
}  # fmt: skip
_SOFTWARE = EngineOptions("sim", None, None, None, None, None)
#: One of so many parts is held out, unless --folds or --validation says otherwise.
_PARTS = 5


@click.command(
    "tune",
    epilog="""\b
Examples:
  rdahw tune --data mnist --board icebreaker --trials 40 --jobs 2
  rdahw tune --data table.csv --board ulx3s --inference --max microseconds=1
  rdahw tune --data table.csv --max luts=2000,bits=50000 --storage search.log
  rdahw tune --data mnist --board icebreaker --refit --build 3""",
)
@dataset_options("learn", sequences=False, required=True)
@binarise_option("by the model, with so many thresholds as the search finds best")
@click.option("--balance", is_flag=True, help="learn the examples of rare classes more often")
@click.option(
    "--board",
    "board_name",
    help="models that fit this board, one of rdahw boards",
    shell_complete=complete("rdahw.boards", "BOARDS"),
)
@click.option(
    "--max",
    "most",
    metavar="COST=N,…",
    default="",
    help="models within these limits: luts (logic cells), ebr and spram (memory blocks), bits (of parameters), cycles "
    "and microseconds (an example)",
)
@click.option("--inference", is_flag=True, help="gateware that predicts and does not learn")
@click.option("--clock", type=FiniteRange(0, min_open=True), metavar="MHZ", help="clock of the core  [default: the "
              "board's]")  # fmt: skip
@click.option("--family", "families", metavar="F,…", help="models of these families  [default: all that can be tuned]")
@count_option("--trials", default=40, help="train so many models in all, also those of an earlier run")
@click.option(
    "--minutes", type=FiniteRange(0, min_open=True), metavar="M", help="begin no further round after so many minutes"
)
@click.option("--folds", type=click.IntRange(2, 20), metavar="K", help="measure by K-fold cross-validation")
@count_option("--validation", help="hold out the last N training examples  [default: a fifth of each class]")
@click.option(
    "--sampler",
    type=click.Choice(["tpe", "random"]),
    default="tpe",
    show_default=True,
    help="how Optuna chooses the next models",
)
@count_option("--round", default=8, help="choose N models at once, by the results of those before them")
@click.option(
    "--seed",
    type=click.IntRange(0, (1 << 64) - 1),
    default=0,
    show_default=True,
    metavar="N",
    help="seed of the search and of its models",
)
@jobs_option("train models, and build", "1")
@cluster_option("train models")
@file_option("--storage", help="keep the search in this journal file of Optuna, and continue the search that is there")
@click.option("--build", "builds", type=click.IntRange(0), metavar="N",
              help="build the best N models for the board  [default: 1 with --board]")  # fmt: skip
@click.option("--refit", is_flag=True, help="train the best model on all training examples, and measure it on test")
@file_option("--out", metavar="DIR", help="save models, page and results here  [default: DATA-tune]")
@output_options
def command(output: Output, /, **options: Any) -> None:
    """Search for the model with the best held-out accuracy that fits a board, or other limits.

    Logic cells are estimated; memories and cycles are those of the gateware. The result does not depend on --jobs and
    --cluster. Needs pip install 'rdahw[tune]'.
    """
    from rdahw.boards.budget import Budget
    from rdahw.cli._tuning import Models, front_of, make_folder, trials_to_json

    started = time.monotonic()
    jobs, cluster, storage = options.pop("jobs"), options.pop("cluster"), options.pop("storage")
    board_name, builds, refit = options.pop("board_name"), options.pop("builds"), options.pop("refit")
    budget = Budget.of(board_name, options.pop("most"), learns=not options.pop("inference"), clock=options.pop("clock"))
    builds = (board_name is not None) if builds is None else builds
    families = _families(options.pop("families"), budget)
    plan = {name: options.pop(name) for name in ("trials", "minutes", "folds", "validation", "sampler", "round")}
    out = options.pop("out") or Path(f"{_stem(options['data'])}-tune")
    if plan["folds"] is not None and plan["validation"] is not None:
        raise UsageError("--folds and --validation were both given; leave one of them out")
    options = {**_OF_TRAIN, **options}
    dataset, _ = load_data(output, options)
    if dataset.task != USUAL_TASK:
        raise UsageError(f"rdahw tune is for classes, and the task of the data is {dataset.task}; use rdahw train")
    with open_jobs(jobs, cluster) as found:
        given = _given(dataset, options, plan, budget, None if found.is_here else 1)
        make_folder(out)
        models = Models(out, dataset, options)
        search = _search(output, given, families, options, plan, budget, storage, models, started)
        try:
            with output.progress("trying", "models") as bar:
                search.run(found, bar)
        except KeyboardInterrupt:
            trials = trials_to_json(search.counted(), budget)
            output.json({"trials": trials})
            way = (
                f"continue with the same command and --storage {storage}"
                if storage
                else "with --storage FILE the same command continues"
            )
            raise Interrupted(f"stopped after {len(trials)} of {plan['trials']} models; {way}") from None
        trials = trials_to_json(search.counted(), budget)
        front = front_of(trials)
        if not front:
            raise UserError(_nothing(search, trials))
        for trial in front:
            if not models.path(trial["trial"]).exists():  # of another machine, or removed
                _again(search, models, trial["trial"])
    models.remove_others(front)
    if running := sum(not trial.state.is_finished() for trial in search.counted()):
        output.log(f"{running} models of the search are still learned by another process, and are left out here")
    result: dict[str, Any] = {
        "data": dataset.name, "data_sha256": dataset.checksum, "seed": options["seed"], "budget": budget.to_json(),
        "trials": trials, "refused": _refused(search), "front": front, "best": front[0],
        "out": str(out), "model": str(models.path(front[0]["trial"])),
    }  # fmt: skip
    _write(output, out, result)  # what was found is kept, whatever happens to the builds
    try:
        result["front"] = built = _build(output, budget, front, models, builds, jobs)
        result["best"] = best = next((trial for trial in built if "error" not in trial.get("build", {})), built[0])
        result["model"] = str(models.path(best["trial"]))
        if refit:
            result["refit"] = _refit(output, budget, dataset, options, best, out, bool(builds))
            result["model"] = result["refit"]["out"]
    except KeyboardInterrupt:
        output.json(result)
        raise Interrupted(
            f"stopped after the search; its models and results are in {out}, and rdahw synth {result['model']} --board "
            f"{budget.board}{'' if budget.learns else ' --inference'} builds one of them"
        ) from None
    if builds or refit:
        _write(output, out, result)
    _show(output, result)


def _families(names: str | None, budget: Budget) -> list[Family]:
    from rdahw.families import all_families

    tunable = [family for family in all_families(skip_broken=True) if family.search is not None]
    if names is None:
        return [family for family in tunable if _has_gateware(family, budget)]
    known = {family.name: family for family in tunable}
    found = []
    for name in dict.fromkeys(name.strip() for name in names.split(",")):
        if name not in known:
            raise UsageError(f"--family {name or repr(name)} names no family that is tuned; {nearest(name, known)}")
        found.append(known[name])
    for family in found:
        if not _has_gateware(family, budget):
            raise UsageError(
                f"models of the family {family.name!r} have no trainer in gateware; add --inference, or leave the "
                "family out"
            )
    return found


def _has_gateware(family: Family, budget: Budget) -> bool:
    from rdahw.family import Task

    with contextlib.suppress(UsageError):
        budget.check(family.spec(Task.of_widths(64, 2)))
        return True
    return False


def _stem(data: str) -> str:
    from rdahw.data import NAMES

    return data if data in NAMES else Path(data).stem


def _given(
    dataset: Dataset, options: Mapping[str, Any], plan: Mapping[str, Any], budget: Budget, threads: int | None
) -> Given:
    """The data of all trials."""
    from dataclasses import replace

    import numpy as np

    from rdahw.jobs import cores
    from rdahw.sim.automatic import held_out_parts
    from rdahw.sim.trials import Given

    labels, last = dataset.train.labels, plan["validation"]
    if last is not None:
        if last >= len(labels):
            raise UsageError(
                f"--validation {last} leaves none of {len(labels)} training examples; give a smaller number"
            )
        parts = [np.arange(len(labels)) >= len(labels) - last]
    else:
        count = plan["folds"] or _PARTS
        if count > len(labels):
            if plan["folds"] is not None:
                raise UsageError(f"--folds {count} makes more parts than the {len(labels)} training examples; lower it")
            raise UserError(
                f"of {len(labels)} training examples none can be held out; give at least {count}, or --validation N"
            )
        parts = list(held_out_parts(labels, options["seed"], count, plan["folds"] or 1))
    return Given(
        dataset=replace(dataset, test=None),
        parts=parts,
        seed=options["seed"],
        balance=options["balance"],
        costs=budget.after,
        threads=threads or cores(),
    )


def _search(
    output: Output,
    given: Given,
    families: Sequence[Family],
    options: Mapping[str, Any],
    plan: Mapping[str, Any],
    budget: Budget,
    storage: Path | None,
    models: Any,
    started: float,
) -> Search:
    import rdahw
    from rdahw.sim.search import Search, open_study

    names = ("binarise", "balance", "seed")
    about = {
        "data": given.dataset.checksum,
        "families": [family.name for family in families],
        "budget": budget.to_json(),
        **{name: options[name] for name in names},
        **{name: plan[name] for name in ("folds", "validation", "sampler")},
        "round": plan["round"],
        "version": rdahw.__version__,
    }
    output.log(
        f"{given.dataset.name}: models of {', '.join(family.name for family in families)}, measured on "
        f"{sum(int(part.sum()) for part in given.parts)} held-out examples"
    )
    return Search(
        study=open_study(storage, about),
        given=given,
        families=families,
        size=size_of(given.dataset),
        rule=partial(rule_of, given.dataset, options["binarise"]),
        costs=budget.before,
        known=budget.is_known,
        excess=budget.excess,
        trials=plan["trials"],
        deadline=None if plan["minutes"] is None else started + 60 * plan["minutes"],
        round=plan["round"],
        sampler=plan["sampler"],
        keep=models.keep,
    )


def _refused(search: Search) -> int:
    return sum("refused" in trial.user_attrs for trial in search.study.get_trials(deepcopy=False))


def _nothing(search: Search, trials: Sequence[Mapping[str, Any]]) -> str:
    """Why there is no model."""
    for trial in trials:
        if trial["state"] == "failed":
            return f"no model is within the budget: {trial['error']}"
    refused = [t.user_attrs["refused"] for t in search.study.get_trials(deepcopy=False) if "refused" in t.user_attrs]
    most = "all that were looked at are above it"
    if "above the budget" in refused or not refused:
        return f"no model is within the budget ({most}); raise the limits of --max, or choose a larger board"
    return f"no model is within the budget: {refused[0]}"


def _again(search: Search, models: Any, number: int) -> None:
    from rdahw.sim.trials import run_trial

    trial = next(trial for trial in search.counted() if trial.number == number)
    models.keep(number, run_trial(search.given, search.piece(trial)))


def _build(
    output: Output,
    budget: Budget,
    front: Sequence[Mapping[str, Any]],
    models: Any,
    count: int,
    jobs: int | None,
) -> list[dict[str, Any]]:
    """The front, with a ``build`` of the most accurate ones: of ``count`` that fit, or of all."""
    from rdahw.cli._tuning import build

    done = [dict(trial) for trial in front]
    rest = list(done)
    while rest and (missing := count - sum("error" not in trial.get("build", {"error": ""}) for trial in done)) > 0:
        now, rest = rest[:missing], rest[missing:]
        for trial in now:
            output.log(f"building trial {trial['trial']}: {trial['model']}")
        files = [models.path(trial["trial"]) for trial in now]
        for trial, report in zip(
            now, build(output, budget, [(f, f.with_suffix("")) for f in files], jobs), strict=True
        ):
            trial["build"] = report
            if "error" in report:
                output.log(f"trial {trial['trial']}: {report['error']}")
    return done


def _refit(
    output: Output, budget: Budget, dataset: Dataset, options: dict[str, Any], best: Mapping[str, Any], out: Path,
    builds: bool,
) -> dict[str, Any]:  # fmt: skip
    """Train the best model on all training examples, and measure it on test."""
    from rdahw.cli._tuning import build
    from rdahw.families import parse_model
    from rdahw.sim.automatic import epochs_for

    family = parse_model(best["model"])[0]
    chosen = {**options, **_switches(), "model": best["model"], "binarise": best["binarise"]}
    chosen["epochs"] = epochs_for(family, len(dataset.train))
    spec, data = convert(output, chosen, dataset, None, None)
    path = out / "best.rdahw"
    request = Request(
        options=chosen, spec=spec, data=data, engine=_SOFTWARE, out=path, resume=None, saved=None,
        started=time.perf_counter(), scores_test=False,
    )  # fmt: skip
    run = Run(output, request)
    try:
        run.train(60.0)
        result = {name: value for name, value in run.result().items() if name != "parameters"}
    finally:
        run.close()
    if builds:
        output.log("building the model of all training examples")
        (result["build"],) = build(output, budget, [(path, out / "best")], None)
    return result


def _switches() -> dict[str, None]:
    from rdahw.cli._options import switches

    return dict.fromkeys(switches())


def _write(output: Output, out: Path, result: dict[str, Any]) -> None:
    """Write the result and its page."""
    from rdahw.cli._tuning import write_page
    from rdahw.files import write_atomically

    write_atomically(out / "tune.json", (json.dumps(result, indent=2) + "\n").encode())
    try:
        write_page(out / "tune.html", result)
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.startswith("rdahw"):
            raise
        output.log(f"without a page, as {error.name} is not installed; pip install 'rdahw[plot]'")


def _show(output: Output, result: dict[str, Any]) -> None:
    """Print the result."""
    from rdahw.cli._tuning import show

    output.json(result)
    show(output, result["front"])
    best = result["best"]
    output.line(f"best      trial {best['trial']}: {percent(best['correct'], best['examples'])} of held-out examples")
    if (again := result.get("refit")) is not None and again["test_examples"]:
        output.line(f"test      {percent(again['test_correct'], again['test_examples'])} of {again['test_examples']}")
    output.line(f"saved     {result['model']}")
    output.log(f"next: rdahw show {shlex.quote(result['model'])}")
