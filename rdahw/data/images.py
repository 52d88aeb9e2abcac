"""Inputs that are images: their order on the wires, and moving them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rdahw.data._dataset import Column
from rdahw.primitives import Array

__all__ = ["Image", "find_image", "shift_images", "with_mirrored"]


class Image(NamedTuple):
    """The shape of images on wires: wire ``(plane * height + row) * width + column``."""

    planes: int
    height: int
    width: int

    @property
    def pixels(self) -> int:
        """The bits of a plane."""
        return self.height * self.width

    @property
    def bits(self) -> int:
        return self.planes * self.height * self.width


def find_image(columns: Sequence[Column], image_shape: tuple[int, ...] | None, input_bits: int) -> Image | None:
    """The shape of binarised examples of ``input_bits`` wires as images, or None.

    They are images if all columns are pixels of one kind, none of them missing, so that each plane is an image.
    ``image_shape`` is (height, width) or (channels, height, width).
    """
    kinds = {(column.kind, column.missing) for column in columns}
    if image_shape is None or kinds not in ({("number", False)}, {("binary", False)}):
        return None
    height, width = image_shape[-2:]
    return Image(input_bits // (height * width), height, width)


def with_mirrored(features: NDArray[Any], image_shape: tuple[int, ...]) -> NDArray[Any]:
    """The pixels (N, F) of images, and after them those of the same images with left and right exchanged: (2 N, F)."""
    mirrored = features.reshape(-1, image_shape[-1])[:, ::-1].reshape(features.shape)
    return np.concatenate([features, mirrored])


def shift_images(x: Array, image: Image, dy: int, dx: int) -> Array:
    """The examples x (N, A) moved ``dy`` rows down and ``dx`` columns right; zeros come in."""
    pictures = x.reshape(-1, *image)
    moved = np.zeros_like(pictures)
    height, width = image.height, image.width
    moved[..., max(dy, 0) : height + min(dy, 0), max(dx, 0) : width + min(dx, 0)] = pictures[
        ..., max(-dy, 0) : height + min(-dy, 0), max(-dx, 0) : width + min(-dx, 0)
    ]
    return moved.reshape(x.shape)
