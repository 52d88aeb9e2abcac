"""Numbers to bits by thresholds, compiled: wire w of an example x (F,) is 1 where ``x[features[w]] > thresholds[w]``.

64 wires are compared at once where they read adjacent features, as the planes of images do. Numbers of 8 bits and
float32 are compared as such, with thresholds rounded down, and all others as float64.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdahw.primitives import Array
from rdahw.sim.packing import Words, pack_wires, words_for

__all__ = ["Conversion"]

#: So many examples are brought into a form that the kernel takes and then converted, while they are in the cache.
_ROWS = 128


@dataclass(frozen=True, slots=True, eq=False)
class _Limits:
    """Thresholds for numbers of one type; see :func:`rdahw.sim.conversion_kernels.convert_rows`."""

    limits: NDArray[Any]
    always: Words


class Conversion:
    """Converts examples by ``thresholds`` (A,), finite, of the ``features`` (A,)."""

    def __init__(self, features: NDArray[np.int64], thresholds: NDArray[np.float64]) -> None:
        from rdahw.sim.conversion_kernels import convert_row, convert_rows

        self._convert_row, self._convert_rows = convert_row, convert_rows
        self._features = np.array(features, np.int64)
        self._thresholds = np.array(thresholds, np.float64)
        #: The number of wires.
        self.width = wires = len(self._features)
        padded = np.full(64 * words_for(wires), -1)
        padded[:wires] = self._features
        groups = padded.reshape(-1, 64)
        adjacent = (groups == groups[:, :1] + np.arange(64)).all(axis=1) & (groups[:, 0] >= 0)
        self._firsts = np.where(adjacent, groups[:, 0], -1)
        self._kinds: dict[Any, _Limits] = {}

    @property
    def compared(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The feature and the threshold of each wire, (A,) both."""
        return self._features, self._thresholds

    def check(self, x: NDArray[Any]) -> NDArray[Any]:
        """Examples x (N, F) as they are: all numbers can be converted."""
        return x

    def pack(self, x: NDArray[Any]) -> tuple[Words, bool]:
        """The wires of examples x (N, F), packed by wires, and whether x has no NaN and no infinity."""
        kind = np.dtype(x.dtype if x.dtype in (np.uint8, np.float32) else np.float64)
        limits = self._kinds.get(kind) or self._kinds.setdefault(kind, self._limits(kind))
        words, finite = np.empty((len(x), len(self._firsts)), np.uint64), True
        for start in range(0, len(x), _ROWS):
            rows = slice(start, start + _ROWS)
            # Numba would compile the kernel once more for other orders, and for arrays that cannot be written.
            part = np.require(x[rows], kind, ["C", "W"])
            finite &= self._convert_rows(part, self._features, self._firsts, limits.limits, limits.always, words[rows])
        return words, finite

    def one(self, row: NDArray[np.float64]) -> tuple[Array, bool]:
        """The wires (A,), 0 or 1, of one example (F,), and whether it has no NaN and no infinity.

        The row is contiguous and can be written.
        """
        bits = np.empty(len(self._features), np.uint8)
        return bits, self._convert_row(row, self._features, self._thresholds, bits)

    def _limits(self, kind: np.dtype[Any]) -> _Limits:
        limits = np.full(64 * len(self._firsts), 255 if kind == np.uint8 else np.inf, kind)
        wires, always = self._thresholds, np.zeros(limits.size, np.uint8)
        if kind == np.uint8:  # for whole v, v > t if and only if v > floor(t)
            always[: len(wires)] = wires < 0
            limits[: len(wires)] = np.floor(wires).clip(0, 255)
        else:
            with np.errstate(over="ignore"):
                near = wires.astype(kind)  # the largest number of this type that is not above the threshold
                limits[: len(wires)] = np.where(near > wires, np.nextafter(near, kind.type(-np.inf)), near)
        return _Limits(limits, pack_wires(always))
