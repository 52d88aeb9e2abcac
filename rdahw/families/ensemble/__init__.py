"""The family ``ensemble``: lookup tables of a few inputs each, with counters, that vote for the classes.

In the field's terms: an n-tuple (weightless, WiSARD-family) classifier with signed counters, trained by the margin of
the scores. :mod:`rdahw.families.ensemble.rule` defines it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rdahw.data import Code, Dataset, image_rule
from rdahw.data.images import Image
from rdahw.families.ensemble.spec import OPTIONS, EnsembleSpec
from rdahw.family import Binarised, Candidate, Choose, DataSize, Family, Section, Spec, Task
from rdahw.learner import Learner
from rdahw.model import Model

if TYPE_CHECKING:
    from rdahw.saved import SavedModel
    from rdahw.state import State

__all__ = ["FAMILY", "EnsembleSpec", "default_margin", "default_wiring", "make_ensemble"]


#: As many counters can be one field of a state.
_MOST_COUNTERS = 1 << 23


def default_margin(tables: int, *, sign: bool = False) -> int:
    """The default margin of an ensemble: 5/8 per table, or 1/25 with ``sign``."""
    return max(1, tables // 25 if sign else tables * 5 // 8)


def default_wiring(image: Image | None) -> str:
    """The default wiring of tables that read data of this kind."""
    side = 0 if image is None else min(image.height, image.width)
    return "patch8inset2" if side >= 16 else "patch8" if side > 8 else "any"


def make_ensemble(task: Task, **options: Any) -> EnsembleSpec:
    """The ensemble with these options of the family for ``task``; raises :class:`UsageError` for an invalid value."""
    tables, sign = options["tables"], options["sign"]
    usual: dict[str, Any] = {
        "inputs": min(6, task.input_bits),
        "wiring": default_wiring(task.image),
        "margin": default_margin(tables, sign=sign),
    }
    if options["wiring"] == "grown":
        usual["slope"] = 200 if task.image is None else 60
    chosen = usual | {name: value for name, value in options.items() if value is not None}
    return EnsembleSpec(input_bits=task.input_bits, classes=task.classes, image=task.image, seed=task.seed, **chosen)


def _binarise(dataset: Dataset) -> str:
    # With one bit per column, tables have few different bits to choose from.
    rule = image_rule(dataset)
    return "quantile=15" if rule == "midrange" else rule


def _fit_classifier(task: Task, options: dict[str, Any]) -> dict[str, Any]:
    # Tabular data have fewer examples than images and need a larger margin; they may have fewer bits than ``inputs``.
    if task.image is not None:
        return options
    inputs, sign, tables = (options[name] for name in ("inputs", "sign", "tables"))
    margin = tables * 2 // (25 if sign else 1) if options["margin"] is None else options["margin"]
    return {**options, "inputs": min(inputs, task.input_bits), "margin": margin}


def _candidates(size: DataSize) -> list[Candidate]:
    usual, large = (
        {"tables": min(1024, _MOST_COUNTERS // (size.classes << inputs)), "inputs": inputs} for inputs in (6, 8)
    )
    if size.images:
        return [Candidate(options=usual), Candidate(options=large)]
    # Larger tables and more thresholds suit most tables of numbers, and more dropout those that are noisy.
    return [
        Candidate(options=large, thresholds=size.thresholds(48)),
        Candidate(options={**large, "dropout": 0.75}, thresholds=size.thresholds(48)),
        Candidate(options=usual, thresholds=size.thresholds(16)),
    ]


def _search(size: DataSize, choose: Choose) -> Candidate:
    tables = choose("tables", (16, 32, 64, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048), 256)
    inputs = choose("inputs", range(3, 11), 6)
    # Random wiring of a family's own choice by the kind of data, from all bits, or by the examples.
    wiring = choose("wiring", ("usual", "any", "grown") if size.images else ("usual", "grown"), "usual")
    share = choose("margin of a table", (0.1, 0.2, 0.4, 0.625, 1, 1.5, 2, 3, 4), 0.625 if size.images else 2)
    tables = min(tables, _MOST_COUNTERS // (size.classes << inputs))
    options = {
        "tables": tables,
        "inputs": inputs,
        "wiring": None if wiring == "usual" else wiring,
        "margin": int(tables * share),
        "counter": choose("counter", range(3, 9), 6),
        "dropout": choose("dropout", (0.0, 0.25, 0.5, 0.625, 0.75), 0.5),
    }
    if wiring == "grown":
        options["candidates"] = choose("candidates", (16, 32, 64, 128, 256), 64)
    thresholds = None if size.images else size.thresholds(choose("thresholds", (7, 15, 31, 48, 63), 15))
    return Candidate(options=options, thresholds=thresholds)


def _circuit(spec: EnsembleSpec, code: Code) -> Spec:
    from rdahw.families.circuits import CircuitSpec
    from rdahw.families.ensemble.circuits import boolean_model

    model = Model(f"boolean-ensemble:tables={spec.tables},inputs={spec.inputs}", boolean_model(spec, code))
    return CircuitSpec.of(Learner(model), code=code, classes=spec.classes)


def _signs(spec: EnsembleSpec, state: State) -> State:
    from rdahw.families.ensemble.circuits import binarise, tables_to_bits

    return {"parameters": tables_to_bits(spec, binarise(state["counters"]))}


def _through_signs(spec: EnsembleSpec, margin: int | None) -> Spec:
    return replace(spec, sign=True, margin=default_margin(spec.tables, sign=True) if margin is None else margin)


def _sections(saved: SavedModel) -> Iterable[Section]:
    from rdahw.families.ensemble.report import sections

    return sections(saved)


FAMILY = Family(
    name="ensemble",
    help="lookup tables of a few inputs each, with counters, that vote for the classes; for real problems",
    options=OPTIONS,
    make=make_ensemble,
    read=EnsembleSpec.from_json,
    rules={"loss": {"margin": "margin"}, "optimiser": {"counter": "counter"}},
    binarise=_binarise,
    schedule={"epochs": 15, "shuffle": True, "scored": "epoch"},
    classifier={"tables": 1024, "inputs": 6, "counter": 8},
    fit_classifier=_fit_classifier,
    thresholds=(16, 3),
    candidates=_candidates,
    search=_search,
    sections=_sections,
    counters="counters",
    binarised=Binarised(circuit=_circuit, state=_signs, tuned=_through_signs),
)
