"""The family ``boosted``: a sum of lookup tables that hold numbers predicts a number, or a set of labels.

:mod:`rdahw.families.boosted.rule` is the rule.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from rdahw.data import USUAL_STEPS, Dataset, default_rule
from rdahw.families.boosted.rule import Boosting
from rdahw.families.boosted.spec import OPTIONS, BoostedSpec
from rdahw.family import Family, Section, Task

if TYPE_CHECKING:
    from rdahw.saved import SavedModel

__all__ = ["FAMILY", "BoostedSpec", "Boosting", "make_boosted"]


def make_boosted(task: Task, **options: Any) -> BoostedSpec:
    """The model of the family's options for ``task``; raises :class:`UsageError` for a value that cannot be."""
    inputs = min(4, task.input_bits) if options["inputs"] is None else options["inputs"]
    steps = USUAL_STEPS if task.labels else task.classes
    made = {"input_bits": task.input_bits, "steps": steps, "labels": task.labels, "seed": task.seed}
    return BoostedSpec(**made, **{**options, "inputs": inputs})


def _binarise(dataset: Dataset) -> str:
    """A table wants more to choose from than one bit of each column."""
    rule = default_rule(dataset)
    return "quantile=31" if rule == "midrange" else rule


def _fit_estimator(task: Task, options: dict[str, Any]) -> dict[str, Any]:
    """A few features may be fewer than the inputs."""
    inputs = options["inputs"]
    return {**options, "inputs": inputs and min(inputs, task.input_bits)}


def _sections(saved: SavedModel) -> Iterable[Section]:
    from rdahw.families.boosted.report import sections

    return sections(saved)


FAMILY = Family(
    name="boosted",
    help="lookup tables of numbers that choose their inputs by the data; sums predict a number, or labels (regression, "
    "multilabel)",
    options=OPTIONS,
    make=make_boosted,
    read=BoostedSpec.from_json,
    tasks=("regression", "multilabel"),
    rules={"loss": {"quadratic": {}, "pinball": "quantile"}, "optimiser": {"boosting": "tables"}},
    binarise=_binarise,
    schedule={"scored": "epoch"},
    fit_classifier=_fit_estimator,
    thresholds=(31, 1),
    sections=_sections,
)
