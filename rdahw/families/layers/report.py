"""What a report shows of a network of layers. Needs ``pip install 'rdahw[plot]'``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, cast

import numpy as np

from rdahw import pictures
from rdahw.families.layers.spec import LayersSpec, make_wiring
from rdahw.family import Section

if TYPE_CHECKING:
    from rdahw.saved import SavedModel

__all__ = ["sections"]

#: The most tables whose inputs are drawn.
_DRAWN_TABLES = 12
_RECURRENT = (
    "Experimental: the network is recurrent. Its first layer is run {} times, each time on the next part of the input "
    "and its own outputs of the step before. "
)


def sections(saved: SavedModel) -> Iterable[Section]:
    """The wiring of the first layer of images, and what each layer has learned."""
    spec, counters = cast(LayersSpec, saved.spec), saved.parameters
    if spec.image is not None and spec.steps == 1:
        tables, inputs = spec.sizes[0]
        yield Section(
            title="What the first layer reads",
            text=f"{tables} tables read {inputs} pixels each (wiring {spec.wiring}). On the left: how often each pixel "
            "is read; on the right: the first tables, with their inputs by number.",
            figure=pictures.draw_wiring(make_wiring(spec)[0], spec.image, _DRAWN_TABLES),
            alt="Map of the image with the number of tables' inputs that read each pixel, and small maps of the first "
            f"{min(_DRAWN_TABLES, tables)} tables with the {inputs} pixels that each reads.",
        )
    low, high = spec.counter_range
    rows = []
    for layer, (tables, inputs) in enumerate(spec.sizes):
        its = spec.layer_cells(counters, layer)
        bits = its >= 0
        rows.append(
            [
                layer + 1,
                tables,
                inputs,
                int((bits == (np.arange(1 << inputs) & 1)).all(axis=1).sum()),
                int((bits == bits[:, :1]).all(axis=1).sum()),
                f"{100 * bits.mean():.1f} %",
                f"{100 * ((its == low) | (its == high)).mean():.1f} %",
            ]
        )
    yield Section(
        title="The layers",
        text=(_RECURRENT.format(spec.steps) if spec.steps > 1 else "")
        + "The first layer reads the input bits, each further one the outputs of the layer before, and the tables of "
        "the last one vote in turn for the classes. At the start every table passes its input 0 on.",
        caption="What each layer has learned",
        columns=["layer", "tables", "inputs", "pass on input 0", "constant", "bits that are 1", "counters at an end"],
        rows=rows,
    )
