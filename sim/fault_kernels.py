"""The compiled kernels of fault simulation, on netlists of :mod:`rdahw.sim.netlist`.

Arrays: tables (G,) int64 and operands (G, 3) int64, the gates; values (nodes, W) uint64, each node packed by examples.
Types are numba's business, so none are written here.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rdahw.sim.jit import compiled, inner

__all__ = ["detect", "evaluate"]


@inner
def _gate(table: Any, a: Any, b: Any, c: Any) -> Any:
    result = np.uint64(0)
    for row in range(8):
        if table >> row & 1:
            result |= (a if row & 1 else ~a) & (b if row & 2 else ~b) & (c if row & 4 else ~c)
    return result


@inner
def _forced(word: Any, action: Any) -> Any:
    """The word of a line that is stuck at 0 or 1, or (2) flipped."""
    return np.uint64(0) if action == 0 else ~np.uint64(0) if action == 1 else ~word


@compiled()
def evaluate(tables: Any, operands: Any, first: Any, values: Any) -> None:
    """Write the values of the gates; those of constants and inputs are there."""
    for g in range(tables.size):
        a, b, c = operands[g]
        for w in range(values.shape[1]):
            values[first + g, w] = _gate(tables[g], values[a, w], values[b, w], values[c, w])


@compiled()
def detect(
    tables: Any, operands: Any, first: Any, values: Any, is_output: Any, faults: Any, wrong: Any, found: Any
) -> None:
    """Write to found (F, W) uint64 for which examples any output changes with each fault alone.

    faults: (F, 4) int64, each the node, gate and pin of a line and what happens there: 0 or 1 (stuck), 2 (flipped). The
    gate is -1 for the node itself, and above the last gate for the pin of an output. is_output: (nodes,). wrong: as
    values, working memory.
    """
    gates, words = tables.size, values.shape[1]
    differs = np.full(values.shape[0], -1, np.int64)  # the last fault with which a node differs
    for f in range(len(faults)):
        node, at, pin, action = faults[f]
        for w in range(words):
            found[f, w] = 0
        start = at
        if at < 0 or at >= gates:
            reaches_output = at >= gates or is_output[node]
            for w in range(words):
                wrong[node, w] = _forced(values[node, w], action)
                if reaches_output:
                    found[f, w] = wrong[node, w] ^ values[node, w]
            if at >= gates:
                continue
            differs[node] = f
            start = max(0, node - first + 1)
        for g in range(start, gates):
            a, b, c = operands[g]
            if g != at and differs[a] != f and differs[b] != f and differs[c] != f:
                continue
            changed = False
            for w in range(words):
                p = wrong[a, w] if differs[a] == f else values[a, w]
                q = wrong[b, w] if differs[b] == f else values[b, w]
                r = wrong[c, w] if differs[c] == f else values[c, w]
                if g == at:
                    p = _forced(p, action) if pin == 0 else p
                    q = _forced(q, action) if pin == 1 else q
                    r = _forced(r, action) if pin == 2 else r
                result = _gate(tables[g], p, q, r)
                wrong[first + g, w] = result
                change = result ^ values[first + g, w]
                if change:
                    changed = True
                    if is_output[first + g]:
                        found[f, w] |= change
            if changed:
                differs[first + g] = f
