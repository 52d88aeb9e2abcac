"""The frontend of a trainer or predictor: what it takes on its stream of examples if not the bits of the model.

This module does not import Amaranth, so a host can talk to a board without it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdahw.data import Binariser
from rdahw.data.plane_binariser import PlaneBinariser
from rdahw.data.planes import PlaneRule
from rdahw.errors import UsageError
from rdahw.family import Spec
from rdahw.primitives import Array

__all__ = ["FRONTENDS", "PixelFrontend", "known_frontend"]


@dataclass(frozen=True, slots=True)
class PixelFrontend:
    """Grey images of ``image_shape`` (height, width) as bytes, row by row; the bits of the model are the planes of
    ``rule``."""

    rule: PlaneRule
    image_shape: tuple[int, int]

    @classmethod
    def of(cls, binariser: Binariser | None) -> PixelFrontend:
        """That of the models behind ``binariser``. Raises :class:`UsageError` if it has no planes, or has colours."""
        if not isinstance(binariser, PlaneBinariser):
            rule = "bits without a rule" if binariser is None else f"the rule {binariser.rule!r}"
            raise UsageError(
                f"--frontend pixels needs a model of images that is binarised by planes, and this one has {rule}; "
                "train it with planes, such as --binarise fashion, or leave --frontend out"
            )
        if len(binariser.image_shape) != 2:
            raise UsageError(
                f"--frontend pixels takes grey images, and the model has colour images of {_size(binariser)}; leave "
                "--frontend out, or train on grey images"
            )
        return cls(binariser.parsed, binariser.image_shape)

    @property
    def octets(self) -> int:
        """The bytes of an image."""
        return math.prod(self.image_shape)

    def check(self, spec: Spec, *, learns: bool) -> None:
        """Raise :class:`UsageError` if the model ``spec`` does not have these images, or moves planes to learn."""
        height, width = self.image_shape
        planes = len(self.rule.planes(1))
        if planes * self.octets != spec.input_bits:
            raise UsageError(
                f"{planes} planes of images of {height} x {width} are {planes * self.octets} bits, and the model takes "
                f"{spec.input_bits}; give the rule and the image size that the model was trained with"
            )
        if learns and spec.moves_examples:
            raise UsageError(
                "the model learns from images whose planes are shifted, which a board cannot do with its pixels; train "
                "without --augment shift, or leave --frontend pixels out"
            )

    def encode(self, pixels: NDArray[np.uint8]) -> Array:
        """Images (N, octets) as the bits on the stream of examples, (N, 8 * octets)."""
        return np.unpackbits(pixels, axis=1, bitorder="little")

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"frontend": "pixels", "rule": self.rule.text, "image_shape": list(self.image_shape)}


def _size(binariser: PlaneBinariser) -> str:
    return " x ".join(map(str, binariser.image_shape[-2:]))


def known_frontend(binariser: Binariser) -> PixelFrontend | None:
    """The frontend that a device of a model behind ``binariser`` may have, None if there is none."""
    try:
        return PixelFrontend.of(binariser)
    except UsageError:
        return None


#: From the name of a frontend to what makes it of a binariser.
FRONTENDS = {"pixels": PixelFrontend.of}
