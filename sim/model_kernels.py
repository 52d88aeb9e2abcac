"""Kernels for online learning of the lookup and mask models, equal to their step circuits.

Parameters, inputs and labels are packed by wires (:mod:`rdahw.sim.packing`). The training functions' arguments are
explained at :func:`rdahw.sim.word_kernels.train_words`.
"""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np

from rdahw.sim.jit import compiled, inner, popcount

__all__ = ["predict_lookup", "predict_mask", "train_lookup", "train_mask"]

_ONE, _ALL = np.uint64(1), np.uint64(0xFFFFFFFFFFFFFFFF)
_STATE, _NUMBERS = nb.uint64[::1], nb.int64[::1]
_EXAMPLES = nb.types.Array(nb.uint64, 2, "C", readonly=True)
_ROWS = nb.types.Array(nb.int64, 1, "C", readonly=True)


@compiled(nb.int64, nb.int64, _STATE, _EXAMPLES, _EXAMPLES, _ROWS, _ROWS, nb.boolean, _NUMBERS, _NUMBERS)
def train_lookup(
    inputs: int,
    outputs: int,
    theta: Any,
    x: Any,
    y: Any,
    rows: Any,
    ends: Any,
    until_change: bool,
    wrong: Any,
    done: Any,
) -> None:
    """Train the lookup model: the cotangent of an output is added to the addressed entry only."""
    largest, start = 0, 0
    for end in ends:
        largest, start = max(largest, end - start), end
    flips = np.empty((largest, y.shape[1]), np.uint64)
    start = 0
    for u in range(ends.shape[0]):
        changed = False
        wrong[u] = 0
        for k in range(start, ends[u]):
            row = rows[k]
            at = np.int64(x[row, 0])
            some = np.uint64(0)
            for word in range(y.shape[1]):
                flip = y[row, word]
                for j in range(min(64, outputs - 64 * word)):
                    flip ^= ((theta[at >> 6] >> np.uint64(at & 63)) & _ONE) << np.uint64(j)
                    at += 1 << inputs
                flips[k - start, word] = flip
                some |= flip
            wrong[u] += some != 0
        for k in range(start, ends[u]):
            at = np.int64(x[rows[k], 0])
            for word in range(y.shape[1]):
                flip = flips[k - start, word]
                changed |= flip != 0
                for _ in range(min(64, outputs - 64 * word)):
                    theta[at >> 6] ^= (flip & _ONE) << np.uint64(at & 63)
                    flip >>= _ONE
                    at += 1 << inputs
        start = ends[u]
        done[0] = u + 1
        if changed and until_change:
            break


@compiled(nb.int64, nb.int64, _STATE, _EXAMPLES, nb.uint64[:, ::1])
def predict_lookup(inputs: int, outputs: int, theta: Any, x: Any, predicted: Any) -> None:
    """The outputs of the lookup model on each example."""
    for row in range(x.shape[0]):
        at = np.int64(x[row, 0])
        for word in range(predicted.shape[1]):
            bits = np.uint64(0)
            for j in range(min(64, outputs - 64 * word)):
                bits |= ((theta[at >> 6] >> np.uint64(at & 63)) & _ONE) << np.uint64(j)
                at += 1 << inputs
            predicted[row, word] = bits


@inner
def _count(theta: Any) -> Any:
    total = np.uint64(0)
    for i in range(theta.shape[0]):
        total += popcount(theta[i])
    return np.int64(total)


@inner
def _common(theta: Any, x: Any, row: int) -> Any:
    total = np.uint64(0)
    for i in range(theta.shape[0]):
        total += popcount(theta[i] & x[row, i])
    return np.int64(total)


@compiled(nb.int64, nb.int64, _STATE, _EXAMPLES, _EXAMPLES, _ROWS, _ROWS, nb.boolean, _NUMBERS, _NUMBERS)
def train_mask(
    inputs: int, k: int, theta: Any, x: Any, y: Any, rows: Any, ends: Any, until_change: bool, wrong: Any, done: Any
) -> None:
    """Train the mask model: a parameter is flipped if that would change the output, which depends on two counts and on
    whether the parameter and its input are set."""
    request = np.empty_like(theta)
    last = theta.shape[0] - 1
    tail = _ALL >> np.uint64(-inputs & 63)
    selected = _count(theta)
    start = 0
    for u in range(ends.shape[0]):
        asked = False
        wrong[u] = 0
        for e in range(start, ends[u]):
            row = rows[e]
            common = _common(theta, x, row)
            here = k * common <= selected
            if here == (y[row, 0] != 0):
                continue
            wrong[u] += 1
            if not asked:
                for i in range(theta.shape[0]):
                    request[i] = 0
                asked = True
            # All ones where flipping a parameter of that kind changes the output: (parameter, input) 00, 01, 10, 11.
            f00 = _ALL if (k * common <= selected + 1) != here else np.uint64(0)
            f01 = _ALL if (k * (common + 1) <= selected + 1) != here else np.uint64(0)
            f10 = _ALL if (k * common <= selected - 1) != here else np.uint64(0)
            f11 = _ALL if (k * (common - 1) <= selected - 1) != here else np.uint64(0)
            for i in range(theta.shape[0]):
                on, off = (f11 & x[row, i]) | (f10 & ~x[row, i]), (f01 & x[row, i]) | (f00 & ~x[row, i])
                request[i] ^= (on & theta[i]) | (off & ~theta[i])
        changed = False
        if asked:
            request[last] &= tail
            for i in range(theta.shape[0]):
                changed |= request[i] != 0
                theta[i] ^= request[i]
            selected = _count(theta)
        start = ends[u]
        done[0] = u + 1
        if changed and until_change:
            break


@compiled(nb.int64, nb.int64, _STATE, _EXAMPLES, nb.uint64[:, ::1])
def predict_mask(inputs: int, k: int, theta: Any, x: Any, predicted: Any) -> None:
    """The output of the mask model on each example."""
    selected = _count(theta)
    for row in range(x.shape[0]):
        predicted[row, 0] = np.uint64(k * _common(theta, x, row) <= selected)
