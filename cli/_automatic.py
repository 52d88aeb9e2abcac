"""``rdahw train --model auto``: which model is trained, and what is said about it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rdahw.cli._data import to_wires
from rdahw.cli._engine import EngineOptions, compiling
from rdahw.cli._options import switches
from rdahw.cli._output import Output, percent
from rdahw.errors import UsageError
from rdahw.families import all_families
from rdahw.family import AUTO, USUAL_TASK

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rdahw.data import Dataset
    from rdahw.family import Candidate, DataSize, Family, Task
    from rdahw.jobs import Jobs
    from rdahw.training import Examples

__all__ = ["check_automatic", "choose_model", "default_model", "rule_of", "size_of"]

#: Options that not every model supports.
_OF_ONE_MODEL = ("loss", "optimiser", "batch", "epochs", "updates", "shuffle", "scored", "shards")


def default_model(data: str, engine: EngineOptions, task: str) -> str:
    """The first model of ``task``, for classes only for data sets with a name and for hardware, and else ``auto``."""
    from rdahw.data import NAMES

    if task != USUAL_TASK:
        return _supporting("task", task)
    return "lookup" if data in NAMES or _is_hardware(engine) else AUTO


def check_automatic(options: Mapping[str, Any], engine: EngineOptions) -> None:
    """Raise :class:`UsageError` for options that a model must be named for."""
    from rdahw.data import task_of

    task = options["task"]
    if task != USUAL_TASK and task == task_of(options["data"], options["sequence"]):
        raise UsageError(
            f"--model {AUTO} tries models of classes, and the task of the data {options['data']!r} is {task}; name a "
            f"model, such as --model {_supporting('task', task)}"
        )
    given = [name for name in (*switches(), *_OF_ONE_MODEL) if options[name] is not None]
    given += (
        ["task"] * (task != USUAL_TASK)
        + ["stride"] * (options["stride"] != 1)
        + ["engine"] * (engine.engine is not None)
    )
    if given or _is_hardware(engine):
        name = {"scored": "score"}.get(given[0], given[0]) if given else "hdl" if engine.where == "hdl" else "device"
        raise UsageError(
            f"--{name} is not supported for --model {AUTO}, which tries several models in software; name a model, such "
            f"as --model {_supporting(name, options.get(name))}"
        )


def _supporting(name: str, value: Any) -> str:
    """A family whose models take this value of this option of ``rdahw train``."""
    if name == "task":
        return next(family.name for family in all_families(skip_broken=True) if value in family.tasks)
    if name not in ("loss", "optimiser"):
        return next(iter(switches().get(name, ["lookup" if name == "batch" else "ensemble"])))
    for family in sorted(all_families(skip_broken=True), key=lambda family: not family.rules):
        with contextlib.suppress(UsageError):
            family.rule_options(name, value)
            return family.name
    return "lookup"


def _is_hardware(engine: EngineOptions) -> bool:
    return engine.where == "hdl" or engine.device is not None


def choose_model(
    output: Output, options: dict[str, Any], dataset: Dataset, jobs: Jobs | None = None
) -> list[dict[str, Any]]:
    """Try models on held-out training examples and write the best one into ``options``; gives what was tried, as
    JSON."""
    from rdahw.data import Binariser
    from rdahw.families import find_family
    from rdahw.family import Task
    from rdahw.sim.automatic import choose, epochs_for
    from rdahw.training import Examples

    train = dataset.train

    def rule(family: Family, candidate: Candidate) -> str:
        return rule_of(dataset, options["binarise"], family, candidate)

    def look(family: Family, candidate: Candidate, rows: NDArray[np.int64]) -> tuple[Task, Examples]:
        features = train.features[rows]
        binariser = Binariser.fit(
            rule(family, candidate), features, dataset.columns, dataset.feature_names, dataset.image_shape
        )
        task = Task.of(dataset.schema, binariser, seed=options["seed"])
        return task, Examples(to_wires(output, binariser, features), train.labels[rows])

    size = size_of(dataset)
    output.log(f"{dataset.name}: trying models on held-out training examples; --model NAME skips this")
    with output.progress("trying", "models") as bar, compiling(output, True):
        more = {"seed": options["seed"], "balance": options["balance"], "jobs": jobs, "progress": bar}
        choice = choose(size, train.labels, look, **more)
    for trial in choice.trials:
        count = len(trial.correct)
        output.log(f"  {percent(int(trial.correct.sum()), count) if count else 'untried':>8}  {trial.model}")
    output.log(f"chose {choice.trial.model}: {choice.reason}")
    family = find_family(choice.trial.family)
    options |= {"model": choice.trial.model, "binarise": rule(family, choice.trial.candidate)}
    options["epochs"] = epochs_for(family, len(train))
    return [{**trial.to_json(), "chosen": trial is choice.trial} for trial in choice.trials]


def rule_of(dataset: Dataset, given: str | None, family: Family, candidate: Candidate) -> str:
    """How the data become the bits of a candidate: by the rule that was ``given``, if any."""
    from rdahw.data import default_rule

    numbers = candidate.thresholds is not None and default_rule(dataset) == "midrange"
    return given or (f"quantile={candidate.thresholds}" if numbers else family.binarise(dataset))


def size_of(dataset: Dataset) -> DataSize:
    """The size of the training data."""
    from rdahw.data.marks import Marks
    from rdahw.family import DataSize

    return DataSize(
        rows=len(dataset.train),
        columns=sum((column.kind != "category") + Marks(column).width for column in dataset.columns),
        classes=len(dataset.label_names),
        images=dataset.image_shape is not None,
    )
