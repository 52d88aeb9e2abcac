"""The compiled kernels of :mod:`rdahw.sim.planes`; :mod:`rdahw.data.planes` defines what they compute.

Each kernel takes images (n, height, width) int16, the settings of its kind (K,), for each level the limit that a number
must exceed, limits (L,), and the wire of its first plane, firsts (L,), and writes the bits to wires (n, A) uint8. All
numbers fit 16 bits, which is what bounds the settings.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rdahw.sim.jit import compiled, inner

__all__ = ["haar", "hog", "mid", "nb8", "range_", "threshold"]


@inner
def _pad(image: Any, side: Any, padded: Any) -> None:
    """Write the image into the middle of padded (height + 2 side, width + 2 side), whose border is 0."""
    for r in range(image.shape[0]):
        row, out = image[r], padded[r + side]
        for c in range(image.shape[1]):
            out[c + side] = row[c]


@inner
def _write(numbers: Any, limits: Any, firsts: Any, wires: Any) -> None:
    """The bits of numbers (parts, pixels) at each limit, part after part, into wires (A,) from ``firsts`` on."""
    parts, pixels = numbers.shape
    for i in range(limits.size):
        limit = limits[i]
        for part in range(parts):
            row, out = numbers[part], wires[firsts[i] + part * pixels : firsts[i] + (part + 1) * pixels]
            for p in range(pixels):
                out[p] = row[p] > limit


@inner
def _add_rows(a: Any, size: Any, r: Any, out: Any) -> None:
    """The sums of ``size`` rows of ``a`` from row ``r`` on."""
    for c in range(out.size):
        out[c] = 0
    for i in range(size):
        row = a[r + i]
        for c in range(out.size):
            out[c] += row[c]


@inner
def _add_columns(row: Any, size: Any, out: Any) -> None:
    """The sums of ``size`` neighbours in a row, from each place on."""
    for c in range(out.size):
        out[c] = 0
    for j in range(size):
        part = row[j : j + out.size]
        for c in range(out.size):
            out[c] += part[c]


@inner
def _extremes(padded: Any, size: Any, r: Any, columns: Any, least: Any, largest: Any) -> None:
    """The smallest and largest values of the cells in row ``r`` to least and largest (width,)."""
    low, high = columns[0], columns[1]
    for c in range(low.size):
        low[c] = high[c] = padded[r, c]
    for i in range(1, size):
        row = padded[r + i]
        for c in range(low.size):
            low[c], high[c] = min(low[c], row[c]), max(high[c], row[c])
    for c in range(least.size):
        least[c], largest[c] = low[c], high[c]
    for j in range(1, size):
        for c in range(least.size):
            least[c], largest[c] = min(least[c], low[c + j]), max(largest[c], high[c + j])


@compiled()
def threshold(images: Any, settings: Any, limits: Any, firsts: Any, wires: Any) -> None:
    """The pixels."""
    n, height, width = images.shape
    for e in range(n):
        _write(images[e].reshape(1, height * width), limits, firsts, wires[e])


@compiled()
def hog(images: Any, settings: Any, limits: Any, firsts: Any, wires: Any) -> None:
    """The sums of gradient magnitudes by orientation."""
    n, height, width = images.shape
    bins, size = settings[0], settings[1]
    padded = np.zeros((height + 2, width + 2), np.int16)
    before = size // 2
    apart = np.zeros((bins, height + size - 1, width + size - 1), np.int16)  # the magnitudes, for each bin
    magnitudes, places = np.empty(width, np.int16), np.empty(width, np.int16)
    columns, sums = np.empty(width + size - 1, np.int16), np.empty((bins, height * width), np.int16)
    for e in range(n):
        _pad(images[e], 1, padded)
        for r in range(height):
            above, row, below = padded[r], padded[r + 1], padded[r + 2]
            for c in range(width):
                x, y = np.int32(row[c + 2]) - np.int32(row[c]), np.int32(below[c + 1]) - np.int32(above[c + 1])
                across, down = abs(x), abs(y)
                magnitudes[c] = across + down
                flat, steep = 5 * down <= 2 * across, 5 * across <= 2 * down
                if bins == 4:
                    slanted = 2 if (x > 0) == (y > 0) else 3
                    places[c] = 0 if flat else 1 if steep else slanted
                else:
                    slanted = (4 if y > 0 else 6) if x > 0 else (7 if y > 0 else 5)
                    places[c] = (0 if x > 0 else 1) if flat else (2 if y > 0 else 3) if steep else slanted
            for b in range(bins):
                out = apart[b, r + before]
                for c in range(width):
                    out[c + before] = magnitudes[c] if places[c] == b else 0
        for b in range(bins):
            for r in range(height):
                _add_rows(apart[b], size, r, columns)
                _add_columns(columns, size, sums[b, r * width : (r + 1) * width])
        _write(sums, limits, firsts, wires[e])


@compiled()
def range_(images: Any, settings: Any, limits: Any, firsts: Any, wires: Any) -> None:
    """The largest minus the smallest value of each cell."""
    n, height, width = images.shape
    size = settings[0]
    side = size // 2
    padded = np.zeros((height + 2 * side, width + 2 * side), np.int16)
    columns, numbers = np.empty((2, width + 2 * side), np.int16), np.empty((1, height * width), np.int16)
    least, largest = np.empty(width, np.int16), np.empty(width, np.int16)
    for e in range(n):
        _pad(images[e], side, padded)
        for r in range(height):
            _extremes(padded, size, r, columns, least, largest)
            out = numbers[0, r * width : (r + 1) * width]
            for c in range(width):
                out[c] = largest[c] - least[c]
        _write(numbers, limits, firsts, wires[e])


@compiled()
def mid(images: Any, settings: Any, limits: Any, firsts: Any, wires: Any) -> None:
    """How many of the levels 0 to 3 the pixel is above."""
    n, height, width = images.shape
    size = settings[0]
    side = size // 2
    padded = np.zeros((height + 2 * side, width + 2 * side), np.int16)
    columns, numbers = np.empty((2, width + 2 * side), np.int16), np.empty((1, height * width), np.int16)
    least, largest = np.empty(width, np.int16), np.empty(width, np.int16)
    for e in range(n):
        _pad(images[e], side, padded)
        for r in range(height):
            _extremes(padded, size, r, columns, least, largest)
            row, out = images[e, r], numbers[0, r * width : (r + 1) * width]
            for c in range(width):
                span, part = largest[c] - least[c], 4 * (row[c] - least[c])
                levels = (part > 0) + (part > span) + (part > 2 * span) + (part > 3 * span)
                out[c] = levels if span > 8 else 0
        _write(numbers, limits, firsts, wires[e])


@compiled()
def haar(images: Any, settings: Any, limits: Any, firsts: Any, wires: Any) -> None:
    """The differences of the sums of cells on both sides."""
    n, height, width = images.shape
    size = settings[0]
    half = size // 2
    padded = np.zeros((height + 2 * size, width + 2 * size), np.int16)
    columns = np.empty(width + 2 * size, np.int16)
    sums = np.empty((height + size, width + size), np.int16)  # of the cells around the places from (-half, -half) on
    numbers = np.empty((4, height * width), np.int16)
    for e in range(n):
        _pad(images[e], size, padded)
        for r in range(height + size):
            _add_rows(padded, size, r, columns)
            _add_columns(columns, size, sums[r])
        for r in range(height):
            start = r * width
            middle, above, below = sums[r + half], sums[r], sums[r + size]
            for c in range(width):
                across, down = middle[c + size] - middle[c], below[c + half] - above[c + half]
                numbers[0, start + c], numbers[1, start + c] = across, -across
                numbers[2, start + c], numbers[3, start + c] = down, -down
        _write(numbers, limits, firsts, wires[e])


@compiled()
def nb8(images: Any, settings: Any, limits: Any, firsts: Any, wires: Any) -> None:
    """The pixel minus each of eight neighbours."""
    n, height, width = images.shape
    distance = settings[0]
    padded = np.zeros((height + 2 * distance, width + 2 * distance), np.int16)
    numbers = np.empty((8, height * width), np.int16)
    for e in range(n):
        _pad(images[e], distance, padded)
        for way in range(8):
            place = way + (way >= 4)  # in three rows of three, without the one in the middle
            down, right = place // 3 * distance, place % 3 * distance
            for r in range(height):
                row, other, out = images[e, r], padded[r + down], numbers[way, r * width : (r + 1) * width]
                for c in range(width):
                    out[c] = row[c] - other[right + c]
        _write(numbers, limits, firsts, wires[e])
