"""Netlists as programs for the machine of :mod:`rdahw.sim.lut_kernels`: order, operations and memory slots.

The schedule makes that machine fast by long runs of instructions of one kind, so that branches are rare and rarely
mispredicted, and by few slots, so that all of them stay in the cache.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from rdahw.sim.netlist import A, B, C, Netlist, _compose

__all__ = ["KINDS", "LutProgram", "schedule"]


@cache
def _canonical(table: int, inputs: int) -> tuple[int, tuple[int, ...]]:
    """The smallest truth table of all permutations of the inputs, and that permutation."""
    found = []
    for order in permutations(range(inputs)):
        values = [0] * inputs
        for place, i in enumerate(order):
            values[i] = (A, B, C)[place]
        found.append((_compose(table, values), order))
    return min(found)


def _kinds() -> dict[int, int]:
    """Truth table to number of inputs, for all functions of one to three inputs that depend on all of them, up to
    permutation of the inputs."""
    kinds = {}
    for inputs in (1, 2, 3):
        rows = 1 << inputs
        for small in range(1 << rows):
            table = sum(small << shift for shift in range(0, 8, rows)) & 0xFF
            depends = all((table & v) >> (1 << i) != table & ~v for i, v in enumerate((A, B, C)[:inputs]))
            if depends and table != A:
                kinds[_canonical(table, inputs)[0]] = inputs
    return kinds


#: The kinds of instruction: truth tables (as in :mod:`rdahw.sim.netlist`) and their number of inputs.
KINDS: dict[int, int] = _kinds()


@dataclass(frozen=True, slots=True, eq=False)
class LutProgram:
    """A program of the machine. Input bits, and output bits, are numbered through all inputs, or outputs.

    runs: (R, 2) int32, the kind (its truth table) and the number of instructions of each run.
    code: (I, 4) uint32, the slots a, b, c that an instruction reads and the slot d that it writes.
    loads: (L, 2) int64, (input bit, slot) to fill before the program runs.
    stores: (S, 2) int64, (output bit, slot) to read after it. constants: (C, 2) int64, (output bit, 0 or 1).
    slots: the number of memory slots.
    """

    runs: NDArray[np.int32]
    code: NDArray[np.uint32]
    loads: NDArray[np.int64]
    stores: NDArray[np.int64]
    constants: NDArray[np.int64]
    slots: int


def _order(net: Netlist, kinds: list[int]) -> list[int]:
    """A topological order of the gates that stays with a kind as long as a gate of it is ready."""
    first = net.first_gate
    readers: list[list[int]] = [[] for _ in net.gates]
    waiting = [0] * len(net.gates)
    ready: dict[int, list[int]] = {kind: [] for kind in KINDS}
    for g, (_, *inputs) in enumerate(net.gates):
        for i in inputs:
            if i >= first:
                readers[i - first].append(g)
                waiting[g] += 1
        if not waiting[g]:
            ready[kinds[g]].append(g)
    order: list[int] = []
    while len(order) < len(net.gates):
        stack = max(ready.values(), key=len)
        while stack:
            g = stack.pop()
            order.append(g)
            for reader in readers[g]:
                waiting[reader] -= 1
                if not waiting[reader]:
                    ready[kinds[reader]].append(reader)
    return order


def schedule(net: Netlist) -> LutProgram:
    """The program that computes ``net``."""
    first = net.first_gate
    kinds, operands = [], []
    for table, *inputs in net.gates:
        given = [i for i in inputs if i]
        canonical, permutation = _canonical(table, len(given))
        kinds.append(canonical)
        operands.append([given[i] for i in permutation])
    order = _order(net, kinds)

    last = [-1] * (first + len(net.gates))  # the time of the last instruction that reads a node
    for time, g in enumerate(order):
        for i in operands[g]:
            last[i] = time
    outputs = [i for output in net.outputs for i in output]
    for i in outputs:
        last[i] = len(order)
    slot = [0] * len(last)
    used = [i for i in range(2, first) if last[i] >= 0]
    for at, i in enumerate(used):
        slot[i] = at
    free: list[int] = []
    slots = len(used)
    rows: list[tuple[int, ...]] = []
    for time, g in enumerate(order):
        reads = operands[g]
        row = [slot[i] for i in reads]
        free.extend(slot[i] for i in set(reads) if last[i] == time)
        if free:
            target = free.pop()
        else:
            target, slots = slots, slots + 1
        slot[first + g] = target
        rows.append((*row, *[0] * (3 - len(row)), target))
    run_kinds = np.array([kinds[g] for g in order], np.int32)
    starts = np.flatnonzero(np.diff(run_kinds, prepend=-1))
    runs = np.stack([run_kinds[starts], np.diff(starts, append=len(order))], axis=1).astype(np.int32)

    def pairs(values: list[tuple[int, int]]) -> NDArray[np.int64]:
        return np.array(values, np.int64).reshape(-1, 2)

    return LutProgram(
        runs,
        np.array(rows, np.uint32).reshape(-1, 4),
        pairs([(i - 2, slot[i]) for i in used]),
        pairs([(bit, slot[i]) for bit, i in enumerate(outputs) if i > 1]),
        pairs([(bit, i) for bit, i in enumerate(outputs) if i <= 1]),
        slots,
    )
