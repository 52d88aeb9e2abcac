"""Compiled kernels of machines of tables (:mod:`rdahw.sim.machine_engine`).

A table of all machines is one array of cells, (2^(states + bits of a symbol),): a cell is the number of the next state,
and above it the label. A symbol is -1 after the end of a sequence, a label -1 where there is none.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rdahw.sim.jit import compiled, inner

__all__ = ["learn_sequences", "learn_stream", "run_sequences"]


@inner
def _pack(counters: Any, cells: Any) -> None:
    size = len(cells)
    for a in range(size):
        cells[a] = 0
        for j in range(len(counters) // size):
            if counters[j * size + a] >= 0:
                cells[a] |= 1 << j


@inner
def _errors(cells: Any, sequence: Any, labels: Any, states: Any, state: Any, first: Any) -> Any:
    """The wrong labels from step ``first`` on, which is entered in ``state``."""
    mask, errors = (1 << states) - 1, 0
    for t in range(first, len(sequence)):
        if sequence[t] < 0:
            break
        cell = cells[state | sequence[t] << states]
        errors += labels[t] >= 0 and (cell >> states) != labels[t]
        state = cell & mask
    return errors


@inner
def _climb(sequence: Any, labels: Any, counters: Any, cells: Any, states: Any, tried: Any, errors: Any) -> None:
    size = len(cells)
    for p in tried:
        j, a = p // size, p % size
        cells[a] ^= 1 << j
        found = _errors(cells, sequence, labels, states, 0, 0)
        if found < errors:
            errors = found
            counters[p] = -1 - counters[p]
        else:
            cells[a] ^= 1 << j


@compiled()
def learn_sequences(
    x: Any, y: Any, counters: Any, run: Any, cells: Any, before: Any, states: Any, low: Any, high: Any,
    restart: Any, settled: Any, enough: Any, rule: Any, climbed: Any, written: Any
) -> Any:  # fmt: skip
    """Learn from sequences x with labels y, (n, steps), by the rule of this number; gives how many were read. before:
    room for the state and the errors before each step, and the first step that reads each cell. climbed: the bits that
    are tried for each sequence (n, P), with the rule 2. written: (n, steps), 0."""
    steps, size, mask = x.shape[1], len(cells), (1 << states) - 1
    _pack(counters, cells)
    for n in range(len(x)):
        for a in range(size):
            before[2, a] = -1
        state, errors = 0, 0
        for t in range(steps):
            if x[n, t] < 0:
                break
            before[0, t], before[1, t] = state, errors
            a = state | x[n, t] << states
            if before[2, a] < 0:
                before[2, a] = t
            label = cells[a] >> states
            errors += y[n, t] >= 0 and label != y[n, t]
            written[n, t] = label
            state = cells[a] & mask
        if run[0] >= settled:
            continue
        if rule == 2:
            _climb(x[n], y[n], counters, cells, states, climbed[n], errors)
        for a in range(size if rule != 2 else 0):
            t = before[2, a]
            if t < 0:  # the sequence does not read this cell
                continue
            cell = cells[a]
            for j in range(len(counters) // size):
                cells[a] = cell ^ 1 << j
                flipped = before[1, t] + _errors(cells, x[n], y[n], states, before[0, t], t)
                gain = errors - flipped
                p = j * size + a
                if rule == 0:
                    counters[p] = min(max(counters[p] + (-gain if cell >> j & 1 else gain), low), high)
                elif gain > 0:
                    counters[p] = -1 - counters[p]
            cells[a] = cell
        _pack(counters, cells)
        run[0] = 0 if errors else run[0] + 1
        run[1] += 1
        run[3] += 1
        if run[1] >= restart and run[0] < enough:
            return n + 1
    return len(x)


@inner
def _shadow_symbol(
    counters: Any, cells: Any, now: Any, states: Any, level: Any, symbol: Any, label: Any, learn: Any
) -> Any:
    """A symbol read by the machine and its shadow machines in the states now, (1 + P,); gives the machine's label."""
    size, mask, reached = len(cells), (1 << states) - 1, -1
    cell = cells[now[0] | symbol << states]
    written = cell >> states
    now[0] = cell & mask
    wrong = written != label
    for p in range(len(counters)):
        j = p // size
        index = now[1 + p] | symbol << states
        its = cells[index] ^ (np.int64(index == p % size) << j)
        now[1 + p] = its & mask
        up = np.int64(its >> states == label) - np.int64(not wrong)
        if not learn or up == 0:
            continue
        counter = np.int64(counters[p])
        moved = counter - up if counter >= 0 else counter + up
        if reached < 0 and (moved >= 0) != (counter >= 0):
            reached = p
        counters[p] = min(max(moved, -level), level - 1)
    if reached >= 0:
        cells[reached % size] ^= 1 << (reached // size)
        now[:] = now[1 + reached]
        for p in range(len(counters)):
            counters[p] = level - 1 if cells[p % size] >> (p // size) & 1 else -level
    return written


@compiled()
def learn_stream(
    x: Any, y: Any, counters: Any, run: Any, cells: Any, now: Any, states: Any, level: Any, restart: Any, settled: Any,
    enough: Any, live: Any, wrap: Any, written: Any
) -> Any:  # fmt: skip
    """Learn from sequences x with labels y, (n, steps), by shadow machines in the states now, (1 + P,), the machine
    first; gives how many were read. wrap: the largest number of run. written: (n, steps), 0."""
    _pack(counters, cells)
    for n in range(len(x)):
        if not live:
            now[:] = 0
        wrong = False
        for t in range(x.shape[1]):
            if x[n, t] < 0:
                break
            label = y[n, t]
            learn = label >= 0 and run[0] < settled
            found = _shadow_symbol(counters, cells, now, states, level, x[n, t], label, learn)
            written[n, t] = found
            wrong = wrong or (label >= 0 and found != label)
        if run[0] >= settled:
            continue
        run[0] = 0 if wrong else run[0] + 1
        run[1] = run[1] + 1 & wrap
        run[3] = run[3] + 1 & wrap
        if run[1] >= restart and run[0] < enough:
            return n + 1
    return len(x)


@compiled()
def run_sequences(x: Any, counters: Any, cells: Any, states: Any, written: Any) -> None:
    """What is written at each step of sequences (N, steps): (N, steps), 0 after the end of one."""
    mask = (1 << states) - 1
    _pack(counters, cells)
    for n in range(len(x)):
        state = 0
        for t in range(x.shape[1]):
            if x[n, t] < 0:
                break
            cell = cells[state | x[n, t] << states]
            written[n, t] = cell >> states
            state = cell & mask
