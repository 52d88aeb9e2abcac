"""Inputs that are pictures: their form on the wires, and moving them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rdahw.data._dataset import Column
from rdahw.primitives import Array

__all__ = ["Image", "find_image", "shift_images"]


class Image(NamedTuple):
    """Inputs that are pictures: wire ``(plane * height + row) * width + column``."""

    planes: int
    height: int
    width: int

    @property
    def bits(self) -> int:
        """How many wires."""
        return self.planes * self.height * self.width


def find_image(columns: Sequence[Column], image_shape: tuple[int, int] | None, input_bits: int) -> Image | None:
    """What examples of ``input_bits`` wires are as pictures, after a binariser; None where they are none.

    They are where all columns are pixels of one kind, as then each plane is an image.
    """
    if image_shape is None or {column.kind for column in columns} not in ({"number"}, {"binary"}):
        return None
    return Image(input_bits // math.prod(image_shape), *image_shape)


def shift_images(x: Array, image: Image, dy: int, dx: int) -> Array:
    """The examples x (N, A) moved ``dy`` rows down and ``dx`` columns right; zeros come in."""
    pictures = x.reshape(-1, *image)
    moved = np.zeros_like(pictures)
    height, width = image.height, image.width
    moved[..., max(dy, 0) : height + min(dy, 0), max(dx, 0) : width + min(dx, 0)] = pictures[
        ..., max(-dy, 0) : height + min(-dy, 0), max(-dx, 0) : width + min(-dx, 0)
    ]
    return moved.reshape(x.shape)
