"""The family ``grown``: lookup tables of one bit that choose their inputs by the data and vote for one class each.

:mod:`rdahw.families.grown.rule` is the rule.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from rdahw.data import Dataset, image_rule
from rdahw.families.grown.rule import GrownState, PlainGrown
from rdahw.families.grown.spec import OPTIONS, RANGES, GrownSpec, VotesSpec, patch_that_fits
from rdahw.families.grown.votes import PlainVotes
from rdahw.family import Candidate, Choose, DataSize, Family, Section, Task

if TYPE_CHECKING:
    from rdahw.saved import SavedModel

__all__ = ["FAMILY", "GrownSpec", "GrownState", "PlainGrown", "PlainVotes", "VotesSpec", "make_grown"]


def make_grown(task: Task, **options: Any) -> GrownSpec:
    """The model of the family's options for ``task``; raises :class:`UsageError` for a value that cannot be."""
    has_copies = bool(options["copies"])
    patch, inset = patch_that_fits(task.image, options["patch"] or (10 if has_copies else 12), 2)
    usual: dict[str, Any] = {
        "tables": -(-1000 // task.classes) * task.classes,
        "inputs": min(6, task.input_bits),
        "patch": patch,
        "inset": inset,
        "sample": 16000 if has_copies else 8000,
        "slope": 10 if has_copies else 17,
    }
    chosen = usual | {name: value for name, value in options.items() if value is not None}
    return GrownSpec(input_bits=task.input_bits, classes=task.classes, image=task.image, seed=task.seed, **chosen)


def _binarise(dataset: Dataset) -> str:
    """A table wants more to choose from than one bit of each column."""
    rule = image_rule(dataset)
    return "quantile=31" if rule == "midrange" else rule


def _fit_classifier(task: Task, options: dict[str, Any]) -> dict[str, Any]:
    """A few features may be fewer than the inputs."""
    inputs = options["inputs"]
    return {**options, "inputs": inputs and min(inputs, task.input_bits)}


#: Models of few classes have fewer tables for more rows than this.
_MANY_ROWS = 600_000


def _candidates(size: DataSize) -> list[Candidate]:
    if size.images:
        return [Candidate(options={"copies": 5})]
    most = RANGES["tables"][1] // size.classes
    # A class needs 150 tables, and few classes need fewer in all where each table is fitted to very many rows. All bits
    # as candidates find the few that matter among many.
    rows = max(_MANY_ROWS, min(size.rows, 2_000_000))
    few, many = (
        size.classes * min(most, max(150, -(-tables * _MANY_ROWS // rows // size.classes))) for tables in (1000, 2000)
    )
    return [
        Candidate(options={"tables": few, "candidates": 64, "sample": 16000}, thresholds=size.thresholds(31)),
        Candidate(options={"inputs": 4, "tables": many, "candidates": 64}, thresholds=size.thresholds(48)),
        Candidate(options={"inputs": 3, "candidates": 4096}, thresholds=size.thresholds(31)),
    ]


def _search(size: DataSize, choose: Choose) -> Candidate:
    most = RANGES["tables"][1] // size.classes
    options = {
        "tables": size.classes * min(most, choose("tables of a class", (5, 10, 15, 20, 30, 45, 70, 100, 150, 200), 70)),
        "inputs": choose("inputs", range(2, 8), 4),
        "candidates": choose("candidates", (32, 64, 144, 256, 512), 144),
        "slope": choose("slope", (3, 6, 10, 17, 25, 40), 17),
        "refinements": choose("refinements", (0, 12, 24), 12),
    }
    if size.images:
        options["copies"] = choose("copies", (0, 3, 5), 0)
    thresholds = None if size.images else size.thresholds(choose("thresholds", (7, 15, 31, 48, 63), 31))
    return Candidate(options=options, thresholds=thresholds)


def _sections(saved: SavedModel) -> Iterable[Section]:
    from rdahw.families.grown.report import sections

    return sections(saved)


FAMILY = Family(
    name="grown",
    help="lookup tables of one bit that choose their inputs by the data and vote for one class each; small circuits",
    options=OPTIONS,
    make=make_grown,
    read=GrownSpec.from_json,
    rules={"loss": {"margin": "margin"}, "optimiser": {"growth": "tables"}},
    binarise=_binarise,
    schedule={"scored": "epoch"},
    fit_classifier=_fit_classifier,
    thresholds=(31, 1),
    candidates=_candidates,
    search=_search,
    sections=_sections,
)
