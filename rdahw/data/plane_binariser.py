"""Converting images to bits by a rule of planes, as a :class:`rdahw.data.Binariser`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rdahw.data._dataset import Column, columns_from_json, columns_to_json, is_shape
from rdahw.data._json import damaged, is_int, is_list, members, texts
from rdahw.data.binarise import Binariser
from rdahw.data.planes import Plane, PlaneRule, as_pixels, parse_planes
from rdahw.errors import UsageError, UserError

__all__ = ["PlaneBinariser", "check_pixels"]


@dataclass(frozen=True, eq=False)
class PlaneBinariser(Binariser):
    """A rule of planes for images of one shape, (height, width) or (3, height, width); ``table`` is empty.

    Wire = (plane * height + row) * width + column; the features are the pixels channel by channel (red, green, blue),
    row by row.
    """

    image_shape: tuple[int, ...] = ()

    @classmethod
    def make(
        cls, rule: str, columns: Sequence[Column], names: Sequence[str], image_shape: tuple[int, ...] | None
    ) -> PlaneBinariser:
        """The binariser for images of this shape. Raises UsageError for a rule that is unknown or does not suit the
        images, and for data that are not images."""
        found = parse_planes(rule)
        if image_shape is None or {column.kind for column in columns} != {"number"}:
            raise UsageError(
                f"the binarising rule {rule!r} is for images of grey values or colours, which these data are not; use "
                "a rule such as quantile=3"
            )
        rare: tuple[tuple[int, ...], ...] = ((),) * len(columns)
        made = cls(found.text, tuple(names), tuple(columns), np.zeros((0, 0)), image_shape, rare=rare)
        assert made.layout
        return made

    @property
    def parsed(self) -> PlaneRule:
        """The rule, parsed."""
        return parse_planes(self.rule)

    @property
    def layout(self) -> tuple[Plane, ...]:
        """The planes, in order."""
        return self.parsed.planes(1 if len(self.image_shape) == 2 else self.image_shape[0])

    @property
    def planes(self) -> int:
        """The number of planes."""
        return len(self.layout)

    @property
    def has_thresholds(self) -> bool:
        """No: a wire says something of several pixels."""
        return False

    @property
    def plane_width(self) -> int:
        """The number of wires of a plane."""
        return math.prod(self.image_shape[-2:])

    @property
    def width(self) -> int:
        """The number of wires."""
        return self.planes * self.plane_width

    def transform(self, features: ArrayLike) -> NDArray[np.uint8]:
        """The wires, 0 or 1, (N, width), of pixels (N, F), by the definition; :mod:`rdahw.sim.planes` is faster.

        Raises UserError for another F, and for pixels that are not whole numbers from 0 to 255.
        """
        pixels = check_pixels(np.asarray(features), self.image_shape)
        bits = np.empty((len(pixels), self.width), np.uint8)
        for start in range(0, len(pixels), 256):  # in parts, as the numbers in between take some hundred times as much
            part = slice(start, start + 256)
            bits[part] = self.parsed.transform(pixels[part]).reshape(-1, self.width)
        return bits

    @property
    def wire_names(self) -> tuple[str, ...]:
        """The meaning of each wire: "hog=4/3/20@y h at row 3, column 5"."""
        height, width = self.image_shape[-2:]
        return tuple(
            f"{plane} at row {row}, column {column}"
            for plane in self.layout
            for row in range(height)
            for column in range(width)
        )

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "rule": self.rule,
            "names": list(self.names),
            "columns": columns_to_json(self.columns),
            "image_shape": list(self.image_shape),
        }

    @classmethod
    def from_json(cls, value: object) -> PlaneBinariser:
        """Read :meth:`to_json` back. Raises UserError for a malformed value."""
        rule, names, columns, shape = members(value, "the binariser", ("rule", "names", "columns", "image_shape"))
        feature_names = texts(names, "the binariser's 'names'", least=1)
        kinds = columns_from_json(columns, "the binariser's 'columns'", len(feature_names))
        if not (is_list(shape) and all(map(is_int, shape)) and is_shape(tuple(shape), len(kinds))):
            raise damaged("the binariser's 'image_shape'", "the shape of images of its columns")
        try:
            return cls.make(rule, kinds, feature_names, tuple(shape))
        except UsageError:
            raise damaged("the binariser's 'rule'", "a rule of planes for its images") from None


def check_pixels(features: NDArray[Any], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Features (N, F) as pixels (N, channels, height, width); raises UserError for another F and other numbers."""
    if features.ndim != 2 or features.shape[1] != math.prod(shape):
        raise UserError(f"features of shape {features.shape} do not fit, expected (N, {math.prod(shape)})")
    pixels = as_pixels(features, shape)
    if pixels is None:
        row, column = np.argwhere(~np.isin(features, np.arange(256)))[0]
        raise UserError(
            f"example {row}, pixel {column} is {features[row, column]:g}, and planes need whole numbers from 0 to 255; "
            "scale the pixels to these, or use thresholds alone"
        )
    return pixels
