"""What ``rdahw tune`` makes of its trials: the front, saved models, builds, and the page."""

from __future__ import annotations

import json
import math
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rdahw.errors import UserError
from rdahw.files import write_atomically
from rdahw.jobs import Jobs, ThreadJobs
from rdahw.wording import percent

if TYPE_CHECKING:
    from rdahw.boards.budget import Budget
    from rdahw.cli._output import Output
    from rdahw.data import Dataset
    from rdahw.family import Section
    from rdahw.sim.trials import Result

__all__ = ["Models", "build", "front_of", "make_folder", "show", "trials_to_json", "write_page"]

#: The costs that the front is of, beside the accuracy, with their titles.
FRONT = {"luts": "logic cells, estimated", "bits": "parameter bits", "microseconds": "microseconds an example"}


def trials_to_json(trials: Sequence[Any], budget: Budget) -> list[dict[str, Any]]:
    """Trials of Optuna that have a result, each with its number and its state: ``complete``, ``pruned`` (stopped after
    a part of its training), ``failed``, or ``above budget``."""
    found = []
    for trial in trials:
        its = trial.user_attrs.get("result")
        if its is None:
            continue
        state = "failed" if "error" in its else "pruned" if its.get("pruned") else "complete"
        if state == "complete" and budget.excess(its["costs"]):
            state = "above budget"
        kept = {name: value for name, value in its.items() if name != "pruned"}
        found.append({"trial": trial.number, "state": state, **kept})
    return found


def front_of(trials: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The complete trials that no other one beats in accuracy and all costs of :data:`FRONT`, the most accurate
    first; of equal ones the first."""

    def figures(trial: Mapping[str, Any]) -> list[float]:
        known = (trial["costs"][name] for name in FRONT)
        return [-trial["accuracy"], *(math.inf if value is None else value for value in known)]

    complete = [(trial, figures(trial)) for trial in trials if trial["state"] == "complete"]
    front = [
        trial
        for k, (trial, its) in enumerate(complete)
        if not any(
            all(a <= b for a, b in zip(other, its, strict=True)) and (other != its or j < k)
            for j, (_, other) in enumerate(complete)
            if j != k
        )
    ]
    return sorted(front, key=figures)


def make_folder(path: Path) -> None:
    """Create a folder for results; raises :class:`UserError` if that is not possible."""
    from rdahw.files import check_writable

    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"the folder {str(path)!r} cannot be created ({error.strerror}); choose another with --out"
        ) from error
    check_writable(path / "tune.json")


#: The model of a trial.
_TRIAL = re.compile(r"trial-\d{3,}\.rdahw")
#: The folder of its build.
_BUILD = re.compile(r"trial-\d{3,}")


@dataclass(frozen=True, slots=True)
class Models:
    """The files of a search's models in ``folder``."""

    folder: Path
    dataset: Dataset
    options: Mapping[str, Any]

    def path(self, number: int) -> Path:
        """The file of a trial's model."""
        return self.folder / f"trial-{number:03}.rdahw"

    def keep(self, number: int, result: Result) -> None:
        """Save the model of a trial that has ended: the first of several parts."""
        import rdahw
        from rdahw.saved import SavedModel, save_model

        if result.error:
            return
        fold = result.folds[0]
        provenance = {
            "command": "rdahw tune",
            "package_version": rdahw.__version__,
            "data_sha256": self.dataset.checksum,
            "finished": True,
            "tuned": {"trial": number, "model": result.model, "seed": self.options["seed"]},
        }
        saved = SavedModel(
            spec=fold.spec,
            state=fold.state,
            progress=fold.progress,
            schema=self.dataset.schema,
            binariser=fold.binariser,
            schedule=fold.schedule,
            provenance=provenance,
        )
        save_model(saved, self.path(number))

    def remove_others(self, front: Sequence[Mapping[str, Any]]) -> None:
        """Remove the models of the trials that are not on the front, those of an earlier search, too, and the builds of
        an earlier one."""
        kept = {self.path(trial["trial"]) for trial in front}
        for path in {each for each in self.folder.iterdir() if _TRIAL.fullmatch(each.name)} - kept:
            path.unlink(missing_ok=True)
        for folder in self.folder.iterdir():
            if _BUILD.fullmatch(folder.name) and (folder / "report.json").is_file():
                shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class _Build:
    """What all builds have in common."""

    budget: Budget
    output: Output | None
    quiet: bool


def build(
    output: Output, budget: Budget, models: Sequence[tuple[Path, Path]], jobs: int | None
) -> list[dict[str, Any]]:
    """Build saved models for real, each (model, folder): the report of ``rdahw synth`` of each, or ``error``."""
    shared = _Build(budget, output, len(models) > 1)
    run = Jobs() if jobs in (None, 1) or len(models) == 1 else ThreadJobs(jobs or 1)
    return run.run(_build, list(models), shared)


def _build(shared: _Build, piece: tuple[Path, Path]) -> dict[str, Any]:
    from rdahw.boards import board
    from rdahw.boards.budget import COSTS
    from rdahw.boards.report import DesignError
    from rdahw.boards.synthesis import synthesise
    from rdahw.saved import load_model

    model, folder = piece
    saved, its = load_model(model), board(shared.budget.board)
    try:
        design = shared.budget.design(saved.spec, saved.best_state, its)
        step = None if shared.quiet or shared.output is None else shared.output.step
        report = synthesise(design, its, out=folder, clock_mhz=shared.budget.clock, progress=step)
    except DesignError as error:
        return {"error": str(error)}
    found = report.to_json()
    known = {"luts": report.logic_cells, "ebr": report.ebr, "spram": report.spram}
    if over := shared.budget.excess({**dict.fromkeys(COSTS), **known}):
        found["error"] = f"the build is {100 * over:.1f} % above the budget"
    return found


def show(output: Output, front: Sequence[Mapping[str, Any]]) -> None:
    """The front as a table."""
    names = ("luts", "ebr", "spram", "bits", "cycles", "microseconds")
    titles = ("cells, about", "EBR", "SPRAM", "bits", "cycles", "µs", "built: cells", "MHz")
    rows = []
    for trial in front:
        built = trial.get("build", {})
        costs = (None if (value := trial["costs"][name]) is None else f"{value:,.7g}" for name in names)
        cells = "does not fit" if "error" in built else built.get("logic_cells")
        right = percent(trial["correct"], trial["examples"])
        rows.append((trial["trial"], right, *costs, cells, built.get("fmax_mhz"), trial["model"], trial["binarise"]))
    output.table(("trial", "held out", *titles, "model", "bits by"), rows)


def write_page(path: Path, result: Mapping[str, Any]) -> None:
    """The search as a page of HTML."""
    from rdahw.report import make_page

    best, budget = result["best"], result["budget"]
    limits = ", ".join(f"{name} {value:,g}" for name, value in budget["limits"].items()) or "no limits"
    page = make_page(
        title=f"Models for {result['data']} on {budget['board']}",
        lead=f"{len(result['trials'])} models were trained, within {limits}, and measured on held-out examples.",
        tiles=[
            ("held-out accuracy", percent(best["correct"], best["examples"])),
            *((title, f"{best['costs'][name]:,g}") for name, title in FRONT.items() if best["costs"][name] is not None),
            ("models above the budget", str(result["refused"])),
        ],
        sections=list(_sections(result)),
    )
    write_atomically(path, page.encode())


def _sections(result: Mapping[str, Any]) -> Iterator[Section]:
    from rdahw.family import Section
    from rdahw.pictures import draw_front

    front = {trial["trial"] for trial in result["front"]}
    complete = [trial for trial in result["trials"] if trial["state"] == "complete"]
    for name, title in FRONT.items():
        known = [trial for trial in complete if trial["costs"][name]]
        points = [
            {"cost": trial["costs"][name], "accuracy": trial["accuracy"], "best": trial["trial"] in front}
            for trial in known
        ]
        if points:
            yield Section(
                title=f"Accuracy and {title}",
                text="A model is on the front if no other one is at least as good in accuracy, logic cells, bits and "
                "time, and better in one of them.",
                figure=draw_front(points, title),
                alt=f"Points of {len(points)} models: right predictions against {title}.",
                caption=f"Accuracy and {title}",
                columns=["trial", title, "held out, %", "on the front"],
                rows=[
                    [t["trial"], f"{t['costs'][name]:,g}", f"{100 * t['accuracy']:.2f}",
                     "yes" if t["trial"] in front else "no"] for t in known
                ],
            )  # fmt: skip
    yield Section(
        title="Models",
        text="All models that were tried. Those that are stopped early were worse than others after a fifth of their "
        "training.",
        caption="Models",
        columns=["trial", "held out, %", "model", "bits by", "state"],
        rows=[
            [t["trial"], f"{100 * t['accuracy']:.2f}" if "accuracy" in t else "–", t.get("model", t.get("error", "")),
             t.get("binarise", ""), t["state"]] for t in result["trials"]
        ],
        numbers=False,
    )  # fmt: skip
    for trial in result["front"]:
        if "build" in trial:
            its = trial["build"]
            yield Section(
                title=f"Build of trial {trial['trial']}",
                text=its.get("error", "It fits and meets its clock, by the report of place and route."),
                caption="Figures of the build",
                columns=["name", "value"],
                rows=[[k, v if isinstance(v, str) else json.dumps(v)] for k, v in its.items() if k != "error"],
                numbers=False,
            )
