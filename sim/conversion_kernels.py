"""The compiled part of :mod:`rdahw.sim.conversion`. Numba infers the types: uint8, float32 and float64."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from rdahw.sim.jit import compiled, inner
from rdahw.sim.word_vectors import above, not_finite

__all__ = ["convert_row", "convert_rows"]


@inner
def _is_finite(x: Any, at: Any, count: Any) -> Any:
    """Whether ``count`` numbers of x, from place ``at`` in its memory on, are all finite."""
    flat, bad, stop = x.reshape(-1), np.uint64(0), at + count
    while at + 64 <= stop:
        bad |= not_finite(x, at)
        at += 64
    for i in range(at, stop):
        bad |= np.uint64(not math.isfinite(flat[i]))
    return bad == 0


@compiled()
def convert_rows(x: Any, features: Any, firsts: Any, limits: Any, always: Any, words: Any) -> Any:
    """Write the wires of examples x (N, F), packed by wires, to words (N, W); returns whether x is finite.

    features: (A,); firsts: (W,), the feature of the first of 64 wires that read adjacent features, else -1; limits:
    (64 W,) of the type of x, those after the last wire no number exceeds; always: (W,) uint64, the wires that are
    always 1.
    """
    wires, width, finite = features.size, x.shape[1], True
    buffer = np.zeros(64, x.dtype)
    for e in range(x.shape[0]):
        row = x[e]
        finite &= _is_finite(x, e * width, width)
        for w in range(firsts.size):
            if firsts[w] >= 0:
                word = above(x, e * width + firsts[w], limits, 64 * w)
            else:
                for i in range(min(64, wires - 64 * w)):
                    buffer[i] = row[features[64 * w + i]]
                word = above(buffer, 0, limits, 64 * w)
            words[e, w] = word | always[w]
    return finite


@compiled()
def convert_row(row: Any, features: Any, thresholds: Any, bits: Any) -> Any:
    """Write the wires of one example row (F,) float64 to bits (A,); returns whether the row is finite."""
    for i in range(bits.size):
        bits[i] = row[np.uint64(features[i])] > thresholds[i]
    return _is_finite(row, 0, row.size)
