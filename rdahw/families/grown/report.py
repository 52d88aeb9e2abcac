"""What a report shows of a grown model: what speaks for each class, and what each table reads.

Needs ``pip install 'rdahw[plot]'``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from rdahw import pictures
from rdahw.families.grown.spec import GrownSpec
from rdahw.family import Section
from rdahw.state import State

if TYPE_CHECKING:
    from rdahw.saved import SavedModel

__all__ = ["class_evidence", "sections"]

#: The most tables that are listed, and of which the inputs are drawn.
_MOST_TABLES = 200
_DRAWN_TABLES = 12


def class_evidence(spec: GrownSpec, state: State) -> NDArray[np.float64]:
    """How much each input bit speaks for each class, (classes, input_bits).

    For bit b and class c it is the sum, over the inputs of the tables of c that read b, of the part of the table's
    indices with that input 1 at which it votes, less that part with the input 0.
    """
    tables, index = state["tables"].astype(np.float64), np.arange(1 << spec.inputs)
    evidence = np.zeros((spec.classes, spec.input_bits))
    classes = np.arange(spec.tables) % spec.classes
    for i in range(spec.inputs):
        on = (index >> i & 1).astype(bool)
        change = tables[:, on].mean(axis=1) - tables[:, ~on].mean(axis=1)
        np.add.at(evidence, (classes, state["wiring"][:, i]), change)
    return evidence


def sections(saved: SavedModel) -> Iterable[Section]:
    """The wiring and the evidence of images, and what each table reads."""
    spec, state, names = cast(GrownSpec, saved.spec), saved.best_state, saved.schema.label_names
    voting = np.flatnonzero(state["tables"].any(axis=1))
    facts = spec.facts(state)
    said = (
        f"{facts['voting_tables']} tables ever vote, and they read {facts['read_bits']} of the {spec.input_bits} input "
        "bits. "
    )
    if spec.image is not None and len(voting):
        yield Section(
            title="What the tables read",
            text=f"{said}On the left: how often each pixel is read; on the right: the first tables, with their inputs "
            "by number.",
            figure=pictures.draw_wiring(state["wiring"][voting], spec.image, _DRAWN_TABLES),
            alt="Map of the image with the number of tables' inputs that read each pixel, and small maps of the first "
            f"{min(_DRAWN_TABLES, len(voting))} tables with the {spec.inputs} pixels that each reads.",
        )
        yield Section(
            title="What speaks for each class",
            text="For each class, how many more of its tables vote when a pixel turns to 1: violet speaks for the "
            "class, orange against it.",
            figure=pictures.draw_evidence(class_evidence(spec, state), spec.image, names),
            alt=f"{spec.classes} maps of the image, one for each class, of how much each pixel speaks for or against "
            "it.",
        )
    wires, shown = saved.binariser.wire_names, voting[:_MOST_TABLES]
    yield Section(
        title="The tables",
        text=f"{said}The first {len(shown)} of them in the order in which they were grown: the class that each votes "
        "for, at how many of its indices, and the input bits that it chose, the lowest bit of the index first.",
        caption="What each table reads",
        columns=["table", "class", "votes at", *(f"input {i}" for i in range(spec.inputs))],
        rows=[
            [
                int(j),
                names[j % spec.classes],
                f"{int(state['tables'][j].sum())} of {1 << spec.inputs}",
                *(wires[wire] for wire in state["wiring"][j]),
            ]
            for j in shown
        ],
        numbers=False,
    )
