"""The family ``mask``: few of the selected inputs are set in one of two classes (the paper's pseudo-linear model)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rdahw.circuit import Circuit
from rdahw.custom import custom_reverse
from rdahw.data.images import find_image
from rdahw.errors import UserError
from rdahw.families.circuits import circuit_family
from rdahw.family import Option, Section, Task
from rdahw.tracing import Wire, cat, trace
from rdahw.types import Bits

if TYPE_CHECKING:
    from rdahw.saved import SavedModel

__all__ = ["FAMILY", "mask_model"]


def mask_model(inputs: int, k: int = 4) -> Circuit:
    """``f : inputs × inputs → 1``: 1 where popcount(theta AND x) <= popcount(theta) div k (the paper's pseudo-linear).

    Its reverse derivative is the Boolean difference of the whole model, as in the paper, computed from the two counts
    in O(inputs) gates. Wilson and Zanasi, arXiv 2101.10488, section 5.2.
    """
    if k < 1:
        raise UserError(f"a mask with k={k} is invalid; k divides a count, so expected at least 1")

    def compare(common: Wire, selected: Wire) -> Wire:
        # common <= selected div k, which is k * common <= selected, without a division
        product = common.zeros(common.width + k.bit_length())
        for i in range(k.bit_length()):
            if k >> i & 1:
                shifted = cat(common.zeros(i), common) if i else common
                product = product.plus(shifted.extend(product.width))[: product.width]
        return product <= selected.extend(product.width)

    def forward(theta: Wire, x: Wire) -> Wire:
        return compare((theta & x).popcount(), theta.popcount())

    def difference(theta: Wire, x: Wire, dy: Wire) -> list[Wire]:
        both, common, selected = theta & x, (theta & x).popcount(), theta.popcount()
        here = compare(common, selected)

        def changed(common: Wire, selected: Wire) -> Wire:
            return ((here ^ compare(common, selected)) & dy).repeat(inputs)

        def up(count: Wire) -> Wire:
            return count.plus(1)[: count.width]

        def down(count: Wire) -> Wire:  # it wraps only for a count of 0, and is not used then
            return count.plus((1 << count.width) - 1)[: count.width]

        dtheta = (
            (~theta & ~x & changed(common, up(selected)))
            ^ (~theta & x & changed(up(common), up(selected)))
            ^ (theta & ~x & changed(common, down(selected)))
            ^ (both & changed(down(common), down(selected)))
        )
        dx = (theta & ~x & changed(up(common), selected)) ^ (both & changed(down(common), selected))
        return [dtheta, dx]

    types = {"theta": Bits(inputs), "x": Bits(inputs)}
    block = custom_reverse(
        trace(forward, **types),
        trace(lambda *wires: dict(zip(("dtheta", "dx"), difference(*wires), strict=True)), **types, dy=Bits(1)),
        name=f"mask of {inputs} inputs, k = {k}",
        exact=True,
    )
    return trace(block, **types)


def _circuit(task: Task, k: int) -> Circuit:
    if task.output_bits != 1:
        raise UserError(
            f"the mask model has one output and the labels have {task.output_bits} bits; choose two classes "
            "and the option labels=binary"
        )
    return mask_model(task.input_bits, k)


def _sections(saved: SavedModel) -> Iterable[Section]:
    from rdahw import pictures

    image = find_image(saved.schema.columns, saved.schema.image_shape, saved.binariser.width)
    if image is None:
        return
    ones = int(saved.parameters.sum())
    yield Section(
        title="The mask",
        text=f"The model selects {ones} of {image.bits} pixels and predicts the second class, "
        f"{saved.schema.label_names[-1]}, for an image with few of them set.",
        figure=pictures.draw_mask(saved.parameters, image),
        alt=f"Map of the image with the {ones} selected pixels.",
    )


FAMILY = circuit_family(
    "mask",
    _circuit,
    help="1 where at most a k-th of the selected inputs are set; two classes with --labels binary, many inputs",
    options=(Option(name="k", default=4, range=(1, 999_999_999), help="divide the number of selected inputs by this"),),
    sections=_sections,
    classifier={"labels": "binary"},
    two_classes=True,
)
