"""The frontends of trainers and predictors: what these take on their stream of examples if not the bits of the model.

This module does not import Amaranth, so a host can talk to a board without it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rdahw.binariser_circuit import MOST_BITS, binariser_circuit, check_comparisons, comparisons, number_bits
from rdahw.circuit import Circuit
from rdahw.data import Binariser
from rdahw.data.plane_binariser import PlaneBinariser
from rdahw.data.planes import PlaneRule
from rdahw.errors import UsageError, UserError
from rdahw.family import Spec
from rdahw.primitives import Array
from rdahw.tracing import trace
from rdahw.types import Bits
from rdahw.wording import plural

__all__ = ["FRONTENDS", "Frontend", "NumberFrontend", "PixelFrontend", "known_frontends"]


@dataclass(frozen=True, slots=True)
class PixelFrontend:
    """Grey images of ``image_shape`` (height, width) as bytes, row by row; the bits of the model are the planes of
    ``rule``."""

    rule: PlaneRule
    image_shape: tuple[int, int]

    #: The option of the commands, what is sent, and how there can be less of it.
    option: ClassVar[str] = "frontend"
    takes: ClassVar[str] = "the pixels of images"
    smaller: ClassVar[str] = "train on smaller images (--resize)"

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

    @property
    def size(self) -> str:
        """Of an example, in words."""
        return f"images of {self.octets:,} pixels"

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


@dataclass(frozen=True, slots=True, eq=False)
class NumberFrontend:
    """The features as whole numbers of ``bits`` bits, feature i in the bits from i * bits on; the bits of the model are
    those that ``binariser`` makes of them by comparisons. Raises :class:`UserError` if it does more than compare."""

    binariser: Binariser
    bits: int

    option: ClassVar[str] = "encoder"
    takes: ClassVar[str] = "the features of examples"
    smaller: ClassVar[str] = "give fewer bits, or leave --encoder out"

    def __post_init__(self) -> None:
        check_comparisons(self.binariser)  # without thresholds, as a host tries all numbers of bits

    @property
    def octets(self) -> int:
        """The bytes of an example; the bits after its last number are 0."""
        return -(-len(self.binariser.columns) * self.bits // 8)

    @property
    def size(self) -> str:
        """Of an example, in words."""
        return f"{len(self.binariser.columns):,} numbers of {self.bits} bits"

    @property
    def circuit(self) -> Circuit:
        """From the bits on the stream of examples, Bits(8 * octets), to those of the model."""
        compare = binariser_circuit(self.binariser, self.bits)
        width = compare.input_types[0].width
        return trace(lambda x: compare(x[:width]), x=Bits(8 * self.octets))

    @property
    def caution(self) -> str:
        """What the numbers are too small for; empty if they reach all thresholds."""
        above = comparisons(self.binariser, self.bits)[1].count(1 << self.bits)
        if not above:
            return ""
        return (
            f"numbers of {plural(self.bits, 'bit')} reach {(1 << self.bits) - 1}, which is not above "
            f"{plural(above, 'threshold')} of the model; give --encoder more bits if features may be larger"
        )

    def encode(self, features: ArrayLike) -> Array:
        """Features (N, F) as the bits on the stream of examples, (N, 8 * octets); raises :class:`UserError` for numbers
        that are not whole ones of so many bits."""
        found = number_bits(self.binariser, features, self.bits)
        return np.pad(found, ((0, 0), (0, 8 * self.octets - found.shape[1])))

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        features, least = comparisons(self.binariser, self.bits)
        return {"frontend": "numbers", "bits": self.bits, "features": features, "least": least}


Frontend: TypeAlias = PixelFrontend | NumberFrontend


def known_frontends(binariser: Binariser) -> list[Frontend]:
    """The frontends that a device of a model behind ``binariser`` may have."""
    try:
        return [PixelFrontend.of(binariser)]
    except UsageError:
        pass
    try:
        return [NumberFrontend(binariser, bits) for bits in range(1, MOST_BITS + 1)]
    except UserError:
        return []


#: From the name of a frontend to what makes it of a binariser.
FRONTENDS = {"pixels": PixelFrontend.of}
