"""Planes of images, compiled: the bits that :mod:`rdahw.data.planes` defines, packed by wires."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rdahw.bits import PackedBits
from rdahw.data.plane_binariser import PlaneBinariser, check_pixels
from rdahw.data.planes import Term, channel_values
from rdahw.primitives import Array
from rdahw.sim import plane_kernels as kernels
from rdahw.sim.packing import Words, pack_wires

__all__ = ["ROWS", "PlaneConversion", "to_wires"]

#: So many images are converted at once, while their bits are in the cache.
_ROWS = 32


#: The kernel of each kind of planes, by name.
ROWS: dict[str, Callable[..., None]] = {
    "threshold": kernels.threshold,
    "hog": kernels.hog,
    "range": kernels.range_,
    "mid": kernels.mid,
    "haar": kernels.haar,
    "nb8": kernels.nb8,
}


class _Step(NamedTuple):
    """A term and one of its channels, as a call of its kernel."""

    kernel: Callable[..., None]
    channel: str
    settings: NDArray[np.int64]
    limits: NDArray[np.int16]
    firsts: NDArray[np.int64]


class PlaneConversion:
    """Converts images as ``binariser`` does."""

    def __init__(self, binariser: PlaneBinariser) -> None:
        #: What it converts by.
        self.binariser = binariser
        #: The number of wires.
        self.width = binariser.width
        self._shape = binariser.image_shape
        self._steps: list[_Step] = []
        channels, first = 1 if len(self._shape) == 2 else self._shape[0], 0
        for term in binariser.parsed.terms:
            first = self._add(term, term.read(channels), first, binariser.plane_width)

    def _add(self, term: Term, channels: str, first: int, pixels: int) -> int:
        """Add the steps of a term whose first wire is ``first``; gives the wire after its last."""
        kind, wires = term.kind, len(term.parts) * pixels
        limits = np.array([kind.limit(level, *term.settings) for level in term.levels], np.int16)
        levels = np.arange(len(limits)) * len(channels)
        for i, channel in enumerate(channels):
            settings = np.array(term.settings, np.int64)
            self._steps.append(_Step(ROWS[kind.name], channel, settings, limits, first + (levels + i) * wires))
        return first + len(limits) * len(channels) * wires

    def check(self, x: NDArray[Any]) -> NDArray[np.uint8]:
        """The pixels (N, F) of images x (N, F); raises as :meth:`pack`."""
        return check_pixels(x, self._shape).reshape(len(x), -1)

    def pack(self, x: NDArray[Any]) -> tuple[Words, bool]:
        """The wires of images x (N, F), packed by wires, and True: all their numbers are finite.

        Raises :class:`rdahw.UserError` for another F, and for pixels that are not whole numbers from 0 to 255.
        """
        pixels = self.check(x)
        words = np.empty((len(x), -(-self.width // 64)), np.uint64)
        for start in range(0, len(x), _ROWS):
            words[start : start + _ROWS] = pack_wires(self._convert(pixels[start : start + _ROWS]))
        return words, True

    def one(self, row: NDArray[Any]) -> tuple[Array, bool]:
        """The wires (A,), 0 or 1, of one image (F,), and True; raises as :meth:`pack`."""
        return self._convert(self.check(row[None]))[0], True

    def _convert(self, x: NDArray[np.uint8]) -> Array:
        pixels = x.reshape(len(x), -1, *self._shape[-2:])
        wires = np.empty((len(x), self.width), np.uint8)
        channels = {step.channel: None for step in self._steps}
        values = dict(zip(channels, channel_values(pixels, "".join(channels)), strict=True))
        images = {channel: value.astype(np.int16, "C") for channel, value in values.items()}
        for step in self._steps:
            step.kernel(images[step.channel], step.settings, step.limits, step.firsts, wires)
        return wires


def to_wires(binariser: PlaneBinariser, features: NDArray[Any]) -> PackedBits:
    """The wires of features (N, F), packed, as they may be very many, with the pixels as their source; raises as
    :meth:`PlaneConversion.pack`."""
    conversion = PlaneConversion(binariser)
    pixels = conversion.check(features)
    return PackedBits(conversion.pack(pixels)[0], binariser.width, pixels)
