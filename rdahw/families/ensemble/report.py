"""The report's sections about an ensemble: what its tables read, the evidence for each class, and its counters.

Needs ``pip install 'rdahw[plot]'``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from rdahw import pictures
from rdahw.families.ensemble.rule import Counters
from rdahw.families.ensemble.spec import EnsembleSpec, make_wiring
from rdahw.family import Section

if TYPE_CHECKING:
    from rdahw.saved import SavedModel

__all__ = ["class_evidence", "sections"]

#: The most input bits of a table that are listed.
_MOST_INPUTS = 20
#: The most tables whose inputs are drawn.
_DRAWN_TABLES = 12


def class_evidence(spec: EnsembleSpec, counters: Counters) -> NDArray[np.float64]:
    """The mean change of each class's score when an input bit turns to 1, (classes, input_bits).

    For bit b and class c: the sum, over all table inputs that read b, of the mean counter of c where that input is 1
    minus the mean where it is 0.
    """
    wiring = make_wiring(spec)
    values = (counters >= 0).astype(np.float64) if spec.sign else counters.astype(np.float64)
    index = np.arange(1 << spec.inputs)
    evidence = np.zeros((spec.input_bits, spec.classes))
    for i in range(spec.inputs):
        on = (index >> i & 1).astype(bool)
        np.add.at(evidence, wiring[:, i], values[:, on].mean(axis=1) - values[:, ~on].mean(axis=1))
    return evidence.T


def sections(saved: SavedModel) -> Iterable[Section]:
    """The wiring of images, the evidence for each class, and the counters."""
    spec, counters, names = cast(EnsembleSpec, saved.spec), saved.parameters, saved.schema.label_names
    evidence = class_evidence(spec, counters)
    if spec.image is None:
        inputs = saved.binariser.wire_names
        strongest = np.argsort(-np.abs(evidence).max(axis=0), kind="stable")[:_MOST_INPUTS]
        yield Section(
            title="What speaks for each class",
            text="The input bits that change the scores most when they turn to 1: the mean change of each class's "
            "score.",
            caption="Mean change of the scores",
            columns=["input", *names],
            rows=[[inputs[b], *(f"{evidence[c, b]:+.1f}" for c in range(spec.classes))] for b in strongest],
        )
    else:
        yield Section(
            title="What the tables read",
            text=f"{spec.tables} tables read {spec.inputs} pixels each (wiring {spec.wiring}). On the left: how often "
            "each pixel is read; on the right: the first tables, with their inputs by number.",
            figure=pictures.draw_wiring(make_wiring(spec), spec.image, _DRAWN_TABLES),
            alt=f"Map of the image with the number of tables' inputs that read each pixel, and small maps of the first "
            f"{min(_DRAWN_TABLES, spec.tables)} tables with the {spec.inputs} pixels that each reads.",
        )
        yield Section(
            title="What speaks for each class",
            text="For each class, the mean change of its score when a pixel turns to 1: violet speaks for the class, "
            "orange against it.",
            figure=pictures.draw_evidence(evidence, spec.image, names),
            alt=f"{spec.classes} maps of the image, one for each class, of how much each pixel speaks for or against "
            "it.",
        )
    low, high = spec.counter_range
    facts = spec.facts(saved.best_state)
    yield Section(
        title="The counters",
        text=f"{counters.size:,} counters of {spec.counter} bits, from {low} to {high}: "
        f"{100 * facts['saturated']:.1f} % are at one of these ends, and {100 * facts['zero']:.1f} % are zero. While "
        "learning, an example is predicted with the tables that dropout leaves.",
    )
