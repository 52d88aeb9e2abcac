"""The compiled kernels of :mod:`rdahw.sim.ensemble`, equal to the rule of :mod:`rdahw.families.ensemble.rule`.

Arrays: words (N, W) uint64, the frame of each example, ``empty`` words of it at both ends without wires; read
(tables, inputs) int64, the bit of the frame that each input reads, last input first; counters int8, flat: that of table
j, index a and class c is at ``j * size + a * classes + c``. Rows are read 16 counters at a time, so the last one is
followed by 16 more. Sizes are Python integers. Numba infers the types, so none are written here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np

from rdahw.sim.ensemble_vectors import (
    LANES,
    MOST_ROWS,
    TABLES,
    add_rows,
    add_table,
    add_tables,
    bump_rows,
    join_bits,
    spread_bits,
)
from rdahw.sim.packing_kernels import transpose

__all__ = ["classify_row", "score_examples", "train_examples"]

_F = TypeVar("_F", bound=Callable[..., Any])

#: How many blocks of 64 examples are scored together.
_SCORED = 8


def _compiled(function: _F) -> _F:
    return cast(_F, numba.njit(cache=True, nogil=True, error_model="numpy")(function))


@_compiled
def _indices(
    words: Any, shifts: Any, rows: Any, read: Any, empty: Any, buffer: Any, wires: Any, low: Any, high: Any
) -> None:
    """The indices of up to 64 examples into all tables: byte ``table * 64 + example`` of low, and of high above 8
    inputs.

    buffer: 64 words; wires: 64 bytes for each bit of the frame.
    """
    tables, inputs = read.shape
    for w in range(wires.size // 4096):
        for i in range(rows.size):
            at = (w + empty) * 64 - shifts[i]
            q, r = at >> 6, np.uint64(at & 63)
            word = words[rows[i], q] >> r
            if r:
                word |= words[rows[i], q + 1] << (np.uint64(64) - r)
            buffer[i] = word
        buffer[rows.size :] = 0
        transpose(buffer)
        spread_bits(buffer, wires, w * 64)
    places = read.reshape(-1)
    for j in range(tables):
        stop = (j + 1) * inputs
        join_bits(wires, places, max(stop - 8, j * inputs), stop, low, j)
        if inputs > 8:
            join_bits(wires, places, j * inputs, stop - 8, high, j)


@_compiled
def _address(
    low: Any,
    high: Any,
    tables: Any,
    inputs: Any,
    size: Any,
    classes: Any,
    example: Any,
    bits: Any,
    below: Any,
    register: Any,
    offsets: Any,
) -> Any:
    """Write the first counter of the addressed row of each table that is not dropped to ``offsets``; returns their
    number and the new state of the dropout's register. Without dropout ``bits`` is 0 and the register stays as it is.
    """
    drawn, limit = np.uint64((1 << bits) - 1), np.uint64(below)
    count: Any = 0
    start = 0
    while start < tables:  # at most 32 bits of the register at a time, which depend on its old bits only
        stop = min(start + 32 // max(bits, 1), tables)
        used = np.uint64((stop - start) * bits)
        new = (register ^ (register >> np.uint64(31))) & ((np.uint64(1) << used) - np.uint64(1))
        register = (register >> used) | (new << (np.uint64(63) - used))
        for table in range(start, stop):
            at = (np.uint32(table) << np.uint32(6)) + np.uint32(example)
            index = np.uint32(low[at])
            if inputs > 8:
                index += np.uint32(high[at]) << np.uint32(8)
            offsets[np.uint64(count)] = np.uint32(np.uint32(table) * np.uint32(size) + index * np.uint32(classes))
            count += np.int64((new & drawn) >= limit)
            new >>= np.uint64(bits)
        start = stop
    return count, register


@_compiled
def train_examples(
    words: Any, shifts: Any, rows: Any, labels: Any, read: Any, empty: Any, counters: Any, size: Any, classes: Any,
    margin: Any, sign: Any, least: Any, most: Any, bits: Any, below: Any, register: Any, predictions: Any, updated: Any,
) -> Any:  # fmt: skip
    """Train on the examples ``rows`` (n,), each moved by ``shifts`` (n,) bits of the frame; returns the dropout state.

    labels (N,); sign: 7 for scores of signs, else 0; least and most: the range of a counter; bits, below and register:
    the dropout. Writes counters, predictions (n,) and updated (n,).
    """
    tables, inputs = read.shape
    lanes = -(-classes // LANES) * LANES
    buffer, wires = np.empty(64, np.uint64), np.empty((words.shape[1] - 2 * empty) * 4096, np.uint8)
    low, high = np.empty(tables * 64, np.uint8), np.empty(tables * 64 if inputs > 8 else 0, np.uint8)
    offsets = np.empty(tables + 1, np.uint32)
    totals, change = np.empty(lanes, np.int32), np.zeros(lanes, np.int8)
    for start in range(0, rows.size, 64):
        stop = min(rows.size, start + 64)
        _indices(words, shifts[start:stop], rows[start:stop], read, empty, buffer, wires, low, high)
        for i in range(start, stop):
            count, register = _address(
                low, high, tables, inputs, size, classes, i - start, bits, below, register, offsets
            )
            totals[:] = 0
            for lane in range(0, lanes, LANES):
                for first in range(0, count, MOST_ROWS):
                    add_rows(counters, offsets, first, min(count, first + MOST_ROWS), lane, sign, totals)
            target = labels[rows[i]]
            rival: Any = np.int64(target == 0)
            for c in range(rival + 1, classes):
                if c != target and totals[c] > totals[rival]:
                    rival = c
            lead = totals[target] - totals[rival]
            predictions[i] = target if lead > 0 or (lead == 0 and target < rival) else rival
            updated[i] = lead <= margin
            if updated[i]:
                change[target], change[rival] = 1, -1
                for lane in range(0, lanes, LANES):
                    bump_rows(counters, offsets, count, lane, change, least, most)
                change[target], change[rival] = 0, 0
    return register


@_compiled
def score_examples(
    words: Any, read: Any, empty: Any, counters: Any, size: Any, classes: Any, sign: Any, scores: Any
) -> None:  # fmt: skip
    """Write the scores (N, lanes) int32 of all examples, by all tables."""
    tables = len(read)
    lanes = scores.shape[1]
    buffer, wires = np.empty(64, np.uint64), np.empty((words.shape[1] - 2 * empty) * 4096, np.uint8)
    low, high = np.zeros((_SCORED, tables * 64), np.uint8), np.zeros((_SCORED, tables * 64), np.uint8)
    wide = np.int64(read.shape[1] > 8)
    shifts, totals = np.zeros(64, np.int64), np.empty((_SCORED, 64, lanes), np.int16)
    for start in range(0, len(words), _SCORED * 64):
        stop = min(len(words), start + _SCORED * 64)
        blocks = (stop - start + 63) // 64
        for b in range(blocks):
            rows = np.arange(start + 64 * b, min(stop, start + 64 * (b + 1)))
            _indices(words, shifts, rows, read, empty, buffer, wires, low[b], high[b])
        scores[start:stop] = 0
        # Table by table, so that the rows of one stay in the first-level cache while many examples read it.
        for first in range(0, tables, MOST_ROWS):
            totals[:] = 0
            last = min(tables, first + MOST_ROWS)
            whole = last - (last - first) % TABLES
            for table in range(first, whole, TABLES):
                for b in range(blocks):
                    for lane in range(0, lanes, LANES):
                        add_tables(
                            counters, table * size, size, classes, low[b], high[b], wide, table, lane, sign, totals[b]
                        )
            for table in range(whole, last):
                for b in range(blocks):
                    for lane in range(0, lanes, LANES):
                        add_table(
                            counters, table * size, size, classes, low[b], high[b], wide, table, lane, sign, totals[b]
                        )
            for i in range(start, stop):
                for c in range(classes):
                    scores[i, c] += totals[(i - start) >> 6, (i - start) & 63, c]


@_compiled
def classify_row(bits: Any, wiring: Any, counters: Any, size: Any, classes: Any, sign: Any) -> Any:
    """The class of one example, bits (A,) uint8; wiring: (tables, inputs), the bit that each input reads."""
    tables, inputs = wiring.shape
    lanes = -(-classes // LANES) * LANES
    offsets, totals = np.empty(tables, np.uint32), np.zeros(lanes, np.int32)
    for j in range(tables):
        index = np.int64(0)
        for i in range(inputs):
            index |= np.int64(bits[np.uint64(wiring[j, i])]) << i
        offsets[j] = j * size + index * classes
    for lane in range(0, lanes, LANES):
        for first in range(0, tables, MOST_ROWS):
            add_rows(counters, offsets, first, min(tables, first + MOST_ROWS), lane, sign, totals)
    best = 0
    for c in range(1, classes):
        if totals[c] > totals[best]:
            best = c
    return best
