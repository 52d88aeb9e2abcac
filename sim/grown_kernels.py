"""The compiled kernels of growth; :mod:`rdahw.families.grown.rule` is what they compute, :mod:`rdahw.sim.grown` calls
them.

Arrays: rows (N, W) uint64, the examples packed by wires; columns (A, V) uint64, the same packed by examples; scores
(classes, 64 * V) int16; weights (64 * V) int16, an example's request for its own class, 0 where it does not ask; wires
int64. Types are numba's business, so none are written here.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from rdahw.sim.jit import compiled, inner

__all__ = ["add_table", "ask", "fit_table", "list_asking"]


@compiled()
def ask(scores: Any, labels: Any, threshold: Any, own: Any, rivals: Any, weights: Any) -> None:
    """Write to rivals (classes, N) whether a class is asked to vote less, and to weights (N,) how many are.

    own: (N,) int16, working memory.
    """
    classes, examples = rivals.shape
    for e in range(examples):
        own[e] = scores[labels[e], e] - threshold
        weights[e] = -1  # its own class is counted below
    for c in range(classes):
        row, out = scores[c], rivals[c]
        for e in range(examples):
            near = own[e] <= row[e]
            out[e] = near
            weights[e] += near


@compiled()
def list_asking(label: Any, rivals: Any, labels: Any, weights: Any, asking: Any, requests: Any, count: Any) -> None:
    """Write the examples that have a request for class ``label``, and the request; their number to ``count[0]``."""
    n = 0
    for e in range(labels.size):
        own = labels[e] == label
        asking[n] = e
        requests[n] = weights[e] if own else -1
        n += (weights[e] > 0) if own else rivals[e]
    count[0] = n


@inner
def _sums(bits: Any, requests: Any, cells: Any, count: Any, block: Any, short: Any, sums: Any, totals: Any) -> None:
    """The sum of the requests of each cell: of all examples to totals (cells,), of those with candidate k set to sums
    (cells, K). Sums of ``block`` examples fit into 16 bits."""
    size, lanes = count, bits.shape[1]
    for a in range(size):
        totals[a] = 0
        for k in range(lanes):
            sums[a, k] = 0
    for start in range(0, cells.size, block):
        for a in range(size):
            for k in range(lanes):
                short[a, k] = 0
        for i in range(start, min(cells.size, start + block)):
            a, request = cells[i], requests[i]
            totals[a] += request
            row, out = bits[i], short[a]
            for k in range(lanes):
                out[k] += request & row[k]
        for a in range(size):
            for k in range(lanes):
                sums[a, k] += short[a, k]


@inner
def _best(sums: Any, totals: Any, count: Any, values: Any, taken: Any, used: Any) -> Any:
    """The candidate of the largest sum of absolute values, the lowest on a tie, but for those of ``taken[:used]``."""
    for k in range(values.size):
        values[k] = 0
    for a in range(count):
        total, row = totals[a], sums[a]
        for k in range(values.size):
            values[k] += abs(row[k]) + abs(total - row[k])
    for i in range(used):
        values[taken[i]] = -1
    best = 0
    for k in range(values.size):
        if values[k] > values[best]:
            best = k
    return best


@compiled()
def fit_table(
    rows: Any, chosen: Any, requests: Any, candidates: Any, refinements: Any, block: Any, bits: Any, taken: Any
) -> None:
    """Choose inputs by the examples ``chosen`` (n,) and their ``requests`` (n,) int16: the place of each in
    ``candidates`` goes to taken (inputs,).

    bits: (n, K or more) int16, working memory.
    """
    inputs, lanes, count = taken.size, bits.shape[1], candidates.size
    for i in range(chosen.size):
        row = rows[chosen[i]]
        for k in range(count):
            wire = candidates[k]
            bits[i, k] = -np.int16((row[wire >> 6] >> np.uint64(wire & 63)) & np.uint64(1))
        for k in range(count, lanes):
            bits[i, k] = 0
    most = 1 << (inputs - 1)
    short, sums = np.empty((most, lanes), np.int16), np.empty((most, lanes), np.int32)
    totals, values, cells = np.empty(most, np.int32), np.empty(lanes, np.int32), np.zeros(chosen.size, np.int64)
    value = 0
    for used in range(inputs):
        _sums(bits, requests, cells, 1 << used, block, short, sums, totals)
        best = _best(sums, totals, 1 << used, values[:count], taken, used)
        taken[used], value = best, values[best]
        for i in range(chosen.size):
            cells[i] |= np.int64(bits[i, best] & 1) << used
    for _ in range(refinements):
        place, found = -1, 0
        for used in range(inputs):
            low = (1 << used) - 1
            reduced = (cells & low) | ((cells >> 1) & ~low)
            _sums(bits, requests, reduced, most, block, short, sums, totals)
            best = _best(sums, totals, most, values[:count], taken, inputs)
            if values[best] > value:
                place, found, value = used, best, values[best]
        if place < 0:
            break
        taken[place] = found
        for i in range(chosen.size):
            cells[i] = (cells[i] & ~(1 << place)) | (np.int64(bits[i, found] & 1) << place)


@compiled()
def cell_sums(rows: Any, asking: Any, requests: Any, wires: Any, sums: Any) -> None:
    """Add the request of each example of ``asking`` to sums (2^inputs,) int64 of its cell."""
    for i in range(asking.size):
        row, cell = rows[asking[i]], 0
        for j in range(wires.size):
            wire = wires[j]
            cell |= np.int64((row[wire >> 6] >> np.uint64(wire & 63)) & np.uint64(1)) << j
        sums[cell] += requests[i]


@compiled()
def add_table(columns: Any, wires: Any, table: Any, scores: Any) -> None:
    """Add the bit of a table to the scores (64 * V,) of its class; table: (2^inputs,) uint8."""
    inputs, size = wires.size, table.size
    values = np.empty((size, 8), np.uint64)
    for start in range(0, columns.shape[1], 8):
        stop = min(start + 8, columns.shape[1])
        for a in range(size):
            for v in range(8):
                values[a, v] = -np.uint64(table[a])
        half = size
        for j in range(inputs - 1, -1, -1):
            half >>= 1
            column = columns[wires[j]]
            for a in range(half):
                for v in range(stop - start):
                    low, high = values[a, v], values[a + half, v]
                    values[a, v] = low ^ ((low ^ high) & column[start + v])
        for v in range(stop - start):
            word, at = values[0, v], 64 * (start + v)
            for i in range(64):
                scores[at + i] += np.int16((word >> np.uint64(i)) & np.uint64(1))
