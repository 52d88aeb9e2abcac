"""The family ``layers``: deep networks of lookup tables of one bit that learn by signed requests, in integers.

:mod:`rdahw.families.layers.rule` is the rule.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from rdahw.data import Dataset, default_rule
from rdahw.families.ensemble import default_wiring
from rdahw.families.layers.spec import OPTIONS, LayersSpec, read_sizes
from rdahw.family import Candidate, Choose, DataSize, Family, Section, Task

if TYPE_CHECKING:
    from rdahw.saved import SavedModel

__all__ = ["FAMILY", "LayersSpec", "make_layers"]

_USUAL = "300x4,300x4,300x4"
_USUAL_RECURRENT = "200x4,300x4"
#: Up to so many layers learn with counters of so many bits, more with 7: deeper ones must start further from zero.
_COUNTERS = ((3, 5), (6, 6))
#: Counters of so many bits are best with steps.
_RECURRENT_COUNTER = 6


def make_layers(task: Task, **options: Any) -> LayersSpec:
    """The network of the family's options for ``task``; raises :class:`UsageError` for an invalid value."""
    recurrent = options["steps"] > 1
    usual_sizes = _USUAL_RECURRENT if recurrent else _fitting(task, _USUAL)
    sizes = read_sizes(options.pop("sizes") or usual_sizes)
    usual: dict[str, Any] = {
        "wiring": "any" if recurrent else default_wiring(task.image),
        "order": "rows" if recurrent and task.image else "blocks",
        "counter": _RECURRENT_COUNTER if recurrent else _usual_counter(len(sizes)),
        "margin": max(1, 3 * sizes[-1][0] // (10 * task.classes)),
    }
    chosen = usual | {name: value for name, value in options.items() if value is not None}
    return LayersSpec(
        input_bits=task.input_bits, classes=task.classes, sizes=sizes, image=task.image, seed=task.seed, **chosen
    )


def _usual_counter(layers: int) -> int:
    return next((bits for most, bits in _COUNTERS if layers <= most), 7)


def _fitting(task: Task, sizes: str) -> str:
    """``sizes`` with no more inputs in the first layer than there are bits."""
    first, comma, others = sizes.partition(",")
    tables, _, inputs = first.partition("x")
    return f"{tables}x{min(int(inputs), task.input_bits)}{comma}{others}"


def _binarise(dataset: Dataset) -> str:
    """One bit of each column would be little to read."""
    rule = default_rule(dataset)
    return "thermometer=3" if rule == "midrange" else rule


def _fit_classifier(task: Task, options: dict[str, Any]) -> dict[str, Any]:
    """A few features may be fewer than the inputs."""
    if options["steps"] > 1:
        return options
    return {**options, "sizes": options["sizes"] and _fitting(task, options["sizes"])}


def _search(size: DataSize, choose: Choose) -> Candidate:
    inputs = choose("inputs", range(3, 7), 4)
    layer = f"{choose('tables', (100, 150, 200, 300, 400, 600, 800), 300)}x{inputs}"
    layers = choose("layers", range(1, 5), 3)
    options = {
        "sizes": ",".join([layer] * layers),
        # With fewer bits than usual, deep networks learn nothing.
        "counter": _usual_counter(layers) + choose("more counter bits", range(3), 0),
        "noise": choose("noise", range(6), 3),
    }
    thresholds = None if size.images else size.thresholds(choose("thresholds", (3, 7, 15, 31), 7))
    return Candidate(options=options, thresholds=thresholds)


def _sections(saved: SavedModel) -> Iterable[Section]:
    from rdahw.families.layers.report import sections

    return sections(saved)


FAMILY = Family(
    name="layers",
    help="layers of lookup tables of one bit, as deep as you like, that learn by signed requests",
    options=OPTIONS,
    make=make_layers,
    read=LayersSpec.from_json,
    rules={"loss": {"margin": "margin"}, "optimiser": {"counter": "counter"}},
    binarise=_binarise,
    schedule={"epochs": 30, "shuffle": True, "scored": "epoch"},
    fit_classifier=_fit_classifier,
    thresholds=(3, 1),
    search=_search,
    sections=_sections,
    sizes="sizes",
)
