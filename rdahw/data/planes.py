"""Planes: fixed integer preprocessing of images to bits, each rule stated once.

A *plane* is a bit for each pixel of an image. A rule of planes is terms joined by ``+``; a term is a kind with its
settings, its levels in rising order, and the channels that it reads: ``hog=8/8/12,25,50@rgb``. The channels are ``r``,
``g`` and ``b`` of colour images and the grey value ``y``, (R + 2G + B) div 4, which of grey images is the pixel itself;
without ``@`` a term reads r, g and b of colour images in turn, and y of grey ones.

The order of the planes: term by term, in a term level by level, for each level channel by channel, and for each channel
the parts of the kind (such as the bins of ``hog``) in the order of its row. Pixels are whole numbers from 0 to 255, and
0 outside of the image. The row of a kind in :data:`KINDS` is its definition, in plain numpy; :mod:`rdahw.sim.planes`
computes the same compiled.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rdahw.errors import UsageError, nearest

__all__ = [
    "AROUND",
    "KINDS",
    "MAX_PLANES",
    "PRESETS",
    "Kind",
    "Plane",
    "PlaneRule",
    "Term",
    "as_pixels",
    "cell",
    "channel_values",
    "is_plane_rule",
    "parse_planes",
]

#: The most planes of a rule.
MAX_PLANES = 256

#: Rules with a name.
PRESETS = {
    "fashion": "threshold=4,10,30,80,120,160,190,220+hog=4/3/20,60,120,240+hog=4/6/20,60,120,180+range=3/16,48,96"
    "+mid=5/1,2,3+haar=4/4,16",
    "colour": "threshold=32,80,128,176,224+hog=8/8/12,25,50,80",
}

#: Whole numbers (…, height, width): pixels, or what a kind measures around each of them.
Numbers = NDArray[np.int32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of planes, as a row.

    usage: its form. settings: the permitted values of each number before the levels. least, most: of a level.
    parts: ``parts(*settings)``, the name of each of its planes at one level and channel.
    measure: ``measure(a, *settings)``, from pixels a (N, height, width) to numbers (M, N, height, width).
    limit: ``limit(level, *settings)``, the limit of a level. above: ``above(numbers, limit)``, the bits (parts, N,
        height, width) of these numbers at a limit.
    reach: ``reach(*settings)``, so many rows (and columns) before a pixel, and so many after it, a bit depends on.
    """

    name: str
    usage: str
    settings: tuple[tuple[int, ...], ...] = ()
    least: int = 0
    most: int = 254
    parts: Callable[..., tuple[str, ...]] = lambda *settings: ("",)
    measure: Callable[..., Numbers]
    limit: Callable[..., int] = lambda level, *settings: level
    above: Callable[[Numbers, int], NDArray[np.bool_]] = lambda numbers, limit: numbers > limit
    reach: Callable[..., tuple[int, int]]


def _at(a: Numbers, down: int, right: int) -> Numbers:
    """The value ``down`` rows below and ``right`` columns right of each pixel, 0 outside of the image."""
    height, width = a.shape[-2:]
    side = max(abs(down), abs(right))
    padded = np.pad(a, [(0, 0)] * (a.ndim - 2) + [(side, side)] * 2)
    return padded[..., side + down : side + down + height, side + right : side + right + width]


def cell(size: int) -> range:
    """The offsets of a cell of this size around a pixel; one more before than after if it is even."""
    return range(-(size // 2), size - size // 2)


def _sums(a: Numbers, size: int, down: int = 0, right: int = 0) -> Numbers:
    """The sum over the cell of ``size`` x ``size`` around the pixel ``down`` rows below and ``right`` columns right."""
    rows = sum((_at(a, i + down, 0) for i in cell(size)), np.zeros_like(a))
    return sum((_at(rows, 0, j + right) for j in cell(size)), np.zeros_like(a))


def _least(a: Numbers, size: int) -> Numbers:
    """The smallest value in the cell around each pixel."""
    return np.asarray(np.min([_at(a, i, j) for i in cell(size) for j in cell(size)], axis=0))


def _largest(a: Numbers, size: int) -> Numbers:
    """The largest value in the cell around each pixel."""
    return np.asarray(np.max([_at(a, i, j) for i in cell(size) for j in cell(size)], axis=0))


def _orientations(x: Numbers, y: Numbers, bins: int) -> list[NDArray[np.bool_]]:
    """Which gradients (x, y) are in each of 4 or 8 bins."""
    flat = 5 * abs(y) <= 2 * abs(x)
    steep = ~flat & (5 * abs(x) <= 2 * abs(y))
    slanted = ~flat & ~steep
    if bins == 4:
        same = (x > 0) == (y > 0)
        return [flat, steep, slanted & same, slanted & ~same]
    signs = [(1, 1), (-1, -1), (1, -1), (-1, 1)]
    return [flat & (x > 0), flat & (x < 0), steep & (y > 0), steep & (y < 0)] + [
        slanted & (p * x > 0) & (q * y > 0) for p, q in signs
    ]


def _hog(a: Numbers, bins: int, size: int) -> Numbers:
    x, y = _at(a, 0, 1) - _at(a, 0, -1), _at(a, 1, 0) - _at(a, -1, 0)
    magnitude = abs(x) + abs(y)
    return np.stack([_sums(np.where(its, magnitude, 0), size) for its in _orientations(x, y, bins)])


def _haar(a: Numbers, size: int) -> Numbers:
    half = size // 2
    across = _sums(a, size, 0, half) - _sums(a, size, 0, -half)
    down = _sums(a, size, half, 0) - _sums(a, size, -half, 0)
    return np.stack([across, -across, down, -down])


def _mid(a: Numbers, size: int) -> Numbers:
    least = _least(a, size)
    return np.stack([4 * (a - least), _largest(a, size) - least])


_BINS = {4: ("h", "v", "d+", "d-"), 8: ("h+", "h-", "v+", "v-", "d++", "d--", "d+-", "d-+")}
#: The places around a pixel, (down, right), in the order of the parts of ``nb8``.
AROUND = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j]
_ODD = (3, 5, 7)

#: The kinds of planes, by name.
KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        # The pixel is above the level.
        Kind(name="threshold", usage="threshold=L,…", measure=lambda a: a[None], reach=lambda: (0, 0)),
        # The gradient is (right - left, below - above) of a pixel, its magnitude the sum of the absolute values. For
        # each bin of orientations: the magnitudes of the pixels of the bin, summed over the S x S cell around the
        # pixel, are above floor(L S S / 4). A gradient is horizontal (h) if 5 |y| <= 2 |x|, else vertical (v) if
        # 5 |x| <= 2 |y|, else diagonal: of equal (d+) or unequal (d-) signs. Eight bins tell the signs apart (the
        # diagonal ones by those of x and y), and have no gradient of 0.
        Kind(
            name="hog",
            usage="hog=B/S/L,…",
            settings=((4, 8), tuple(range(1, 9))),
            most=2040,
            parts=lambda bins, size: _BINS[bins],
            measure=_hog,
            limit=lambda level, bins, size: level * size * size // 4,
            reach=lambda bins, size: (size // 2 + 1, (size - 1) // 2 + 1),
        ),
        # The largest minus the smallest value of the S x S cell is above the level.
        Kind(
            name="range",
            usage="range=S/L,…",
            settings=(_ODD,),
            measure=lambda a, size: (_largest(a, size) - _least(a, size))[None],
            reach=lambda size: (size // 2, size // 2),
        ),
        # The pixel is above the smallest value of the S x S cell by more than L quarters of the way to the largest, and
        # these two differ by more than 8.
        Kind(
            name="mid",
            usage="mid=S/L,…",
            settings=(_ODD,),
            most=3,
            measure=_mid,
            above=lambda numbers, limit: ((numbers[0] > limit * numbers[1]) & (numbers[1] > 8))[None],
            reach=lambda size: (size // 2, size // 2),
        ),
        # The sum of the S x S cell around the place S/2 to the right is larger than that of the one S/2 to the left by
        # more than S S L; smaller; the same for down and up.
        Kind(
            name="haar",
            usage="haar=S/L,…",
            settings=((2, 4, 6, 8),),
            parts=lambda size: ("right", "left", "down", "up"),
            measure=_haar,
            limit=lambda level, size: level * size * size,
            reach=lambda size: (size, size - 1),
        ),
        # The pixel is above its neighbour at distance D, in each of eight directions, by more than the level.
        Kind(
            name="nb8",
            usage="nb8=D/L,…",
            settings=(tuple(range(1, 9)),),
            least=-255,
            parts=lambda distance: ("nw", "n", "ne", "w", "e", "sw", "s", "se"),
            measure=lambda a, distance: np.stack([a - _at(a, distance * i, distance * j) for i, j in AROUND]),
            reach=lambda distance: (distance, distance),
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Term:
    """A kind with its settings and levels; ``channels`` is "" for all of the image."""

    kind: Kind
    settings: tuple[int, ...]
    levels: tuple[int, ...]
    channels: str = ""

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of its planes at one level and channel."""
        return self.kind.parts(*self.settings)

    def read(self, channels: int) -> str:
        """The channels that it reads of an image with 1 or 3; raises UsageError for one that the image lacks."""
        if self.channels and channels == 1 and self.channels != "y":
            raise UsageError(
                f"the binarising rule reads the channels {self.channels!r}, and the images are grey; leave out "
                f"@{self.channels}"
            )
        return self.channels or ("y" if channels == 1 else "rgb")


class Plane(NamedTuple):
    """One plane of a rule: its term, level and channel, and the number of its part."""

    term: Term
    level: int
    channel: str
    part: int

    def __str__(self) -> str:
        settings = "".join(f"{value}/" for value in self.term.settings)
        part = self.term.parts[self.part]
        return f"{self.term.kind.name}={settings}{self.level}@{self.channel}" + (f" {part}" if part else "")


@dataclass(frozen=True, slots=True)
class PlaneRule:
    """A rule of planes; ``text`` is what :func:`parse_planes` reads, a preset written out."""

    text: str
    terms: tuple[Term, ...]

    def planes(self, channels: int) -> tuple[Plane, ...]:
        """Its planes, in order, of images with 1 or 3 channels.

        Raises UsageError for channels that the images lack, and for more than :data:`MAX_PLANES` planes.
        """
        found = tuple(
            Plane(term, level, channel, part)
            for term in self.terms
            for level in term.levels
            for channel in term.read(channels)
            for part in range(len(term.parts))
        )
        if len(found) > MAX_PLANES:
            raise UsageError(
                f"the binarising rule {self.text!r} has {len(found)} planes for images with {channels} channels; give "
                f"at most {MAX_PLANES}, with fewer levels or terms"
            )
        return found

    def transform(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The bits (N, planes, height, width), 0 or 1, of images (N, channels, height, width): the definition."""
        channels = pixels.shape[1]
        found = []
        for term in self.terms:
            measured = [
                term.kind.measure(grey.astype(np.int32), *term.settings)
                for grey in channel_values(pixels, term.read(channels))
            ]
            limits = [term.kind.limit(level, *term.settings) for level in term.levels]
            found += [term.kind.above(numbers, limit) for limit in limits for numbers in measured]
        return np.concatenate(found).transpose(1, 0, 2, 3).astype(np.uint8)


def channel_values(pixels: NDArray[np.uint8], channels: str) -> Iterator[NDArray[np.uint8]]:
    """The values (N, height, width) of each of these channels of images (N, 1 or 3, height, width)."""
    for channel in channels:
        if pixels.shape[1] == 1:
            yield pixels[:, 0]
        elif channel != "y":
            yield pixels[:, "rgb".index(channel)]
        else:
            red, green, blue = (pixels[:, c].astype(np.uint16) for c in range(3))
            yield ((red + 2 * green + blue) >> 2).astype(np.uint8)


def is_plane_rule(text: str) -> bool:
    """Whether a binarising rule is one of planes: a preset, several terms, or a kind or channels that only planes
    have. Thresholds alone are a rule of any numbers, with the same bits on grey and colour images."""
    kind, terms = text.partition("=")[0], re.split(r"\+(?![0-9])", text)  # threshold=1e+5 is one term
    return text in PRESETS or len(terms) > 1 or "@" in text or (kind in KINDS and kind != "threshold")


def parse_planes(text: str) -> PlaneRule:
    """The rule that ``text`` states; raises UsageError for one that is unknown or incomplete."""
    text = PRESETS.get(text, text)
    return PlaneRule(text, tuple(_parse_term(term) for term in text.split("+")))


def _parse_term(text: str) -> Term:
    body, at, channels = text.partition("@")
    name, _, numbers = body.partition("=")
    if name not in KINDS:
        usages = ", ".join(kind.usage for kind in KINDS.values())
        raise UsageError(
            f"there is no kind of planes {name!r}; expected {usages} or the preset {' or '.join(PRESETS)}: "
            f"{nearest(name, KINDS)}"
        )
    kind = KINDS[name]
    if at and (not channels or set(channels) - set("rgby") or len(set(channels)) < len(channels)):
        raise UsageError(
            f"the planes {text!r} have the channels {channels!r}; expected some of r, g, b and y, such as {body}@y"
        )
    *before, levels = numbers.split("/")
    if len(before) != len(kind.settings):
        raise UsageError(f"the planes {text!r} are incomplete; expected {kind.usage}")
    for value, known in zip(before, kind.settings, strict=True):
        if value not in map(str, known):
            expected = ", ".join(map(str, known))
            raise UsageError(f"the planes {text!r} have the setting {value!r}; expected one of {expected}")
    given = levels.split(",")
    found = tuple(int(level) for level in given if re.fullmatch("-?[0-9]{1,5}", level))
    if (
        len(found) < len(given)
        or list(found) != sorted(set(found))
        or not kind.least <= found[0] <= found[-1] <= kind.most
    ):
        raise UsageError(
            f"the planes {text!r} need rising whole levels from {kind.least} to {kind.most}; write {kind.usage}"
        )
    return Term(kind, tuple(map(int, before)), found, channels)


def as_pixels(features: NDArray[Any], shape: tuple[int, ...]) -> NDArray[np.uint8] | None:
    """Features (N, F) as pixels (N, channels, height, width) of images of this shape; None if one is not a whole number
    from 0 to 255."""
    height, width = shape[-2:]
    if features.dtype != np.uint8:
        with np.errstate(invalid="ignore"):
            whole = features.astype(np.uint8)
        if not np.array_equal(whole, features):
            return None
        features = whole
    return features.reshape(len(features), -1, height, width)
