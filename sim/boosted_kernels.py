"""The compiled kernels of boosting; :mod:`rdahw.sim.boosted` calls them.

What they compute is defined in :mod:`rdahw.families.boosted.rule`. Arrays: rows (N, W) uint64, examples packed by
wires; L scores of an example; bits (n, K) int8, candidate k of sampled example i as 0 or -1, so that it masks a
request. Types are numba's business, so none are written here.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rdahw.sim.jit import compiled, inner

__all__ = ["add_table", "choose_inputs", "list_cells"]


@inner
def _cell(row: Any, wires: Any) -> Any:
    """The index into a table that reads ``wires``."""
    cell = np.int64(0)
    for i in range(wires.size):
        cell |= np.int64((row[wires[i] >> 6] >> np.uint64(wires[i] & 63)) & np.uint64(1)) << i
    return cell


@compiled()
def list_cells(rows: Any, wires: Any, cells: Any) -> None:
    """Write the index of each example into a table that reads wires (inputs,) to cells (N,)."""
    for e in range(rows.shape[0]):
        cells[e] = _cell(rows[e], wires)


@compiled()
def add_table(rows: Any, wires: Any, table: Any, scores: Any) -> None:
    """Add what table (2^inputs, L) holds for each example to scores (N, L)."""
    for e in range(rows.shape[0]):
        held, score = table[_cell(rows[e], wires)], scores[e]
        for output in range(held.size):
            score[output] += held[output]


@inner
def _gains(bits: Any, asked: Any, cells: Any, count: Any, shrink: Any, sums: Any, counts: Any, gains: Any) -> None:
    """Write to gains (K,) that of each candidate as one more input to those that cut the sample into ``count`` cells.

    sums (cells, L, K + 1), counts (cells, K + 1), int64: working memory, of the examples with the candidate's bit set,
    the last of all.
    """
    lanes, outputs = gains.size, asked.shape[1]
    sums[:count] = 0
    counts[:count] = 0
    for i in range(cells.size):
        a, row = cells[i], bits[i]
        number = counts[a]
        for k in range(lanes):
            number[k] -= row[k]
        number[lanes] += 1
        for output in range(outputs):
            request, total = asked[i, output], sums[a, output]
            for k in range(lanes):
                total[k] += request & row[k]
            total[lanes] += request
    gains[:] = 0
    for a in range(count):
        for output in range(outputs):
            for k in range(lanes):
                one, n = sums[a, output, k], counts[a, k]
                zero, m = sums[a, output, lanes] - one, counts[a, lanes] - n
                gains[k] += one * one // max(n + shrink, 1) + zero * zero // max(m + shrink, 1)


@compiled()
def choose_inputs(rows: Any, chosen: Any, asked: Any, candidates: Any, shrink: Any, bits: Any, taken: Any) -> None:
    """Choose inputs by the examples chosen (n,) and their requests asked (n, L): the place of each in candidates
    (K,) goes to taken (inputs,). bits: (n, K), working memory."""
    lanes, inputs = candidates.size, taken.size
    for i in range(chosen.size):
        row = rows[chosen[i]]
        for k in range(lanes):
            wire = candidates[k]
            bits[i, k] = -np.int8((row[wire >> 6] >> np.uint64(wire & 63)) & np.uint64(1))
    most = 1 << (inputs - 1)
    sums = np.empty((most, asked.shape[1], lanes + 1), np.int64)
    counts = np.empty((most, lanes + 1), np.int64)
    cells, gains = np.zeros(chosen.size, np.int64), np.empty(lanes, np.int64)
    for used in range(inputs):
        _gains(bits, asked, cells, 1 << used, shrink, sums, counts, gains)
        for i in range(used):
            gains[taken[i]] = -1
        best = 0
        for k in range(lanes):
            if gains[k] > gains[best]:
                best = k
        taken[used] = best
        for i in range(cells.size):
            cells[i] |= np.int64(bits[i, best] & 1) << used
