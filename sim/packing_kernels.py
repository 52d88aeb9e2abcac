"""The compiled part of :mod:`rdahw.sim.packing`.

Here and in the other kernels loops copy arrays, as numba takes seconds to compile an assignment to a slice.
"""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np

from rdahw.sim.jit import compiled

__all__ = ["pack", "unpack"]

_READ_BITS = nb.types.Array(nb.uint8, 2, "C", readonly=True)
_READ_WORDS = nb.types.Array(nb.uint64, 2, "C", readonly=True)


@compiled(_READ_BITS, nb.uint64[:, ::1])
def pack(bits: Any, packed: Any) -> None:
    """(examples, wires) of 0 and 1 into (wires, words)."""
    examples, wires = bits.shape
    columns = np.empty(wires, np.uint64)
    for word in range(packed.shape[1]):
        for i in range(wires):
            columns[i] = 0
        for e in range(min(64, examples - 64 * word)):
            row, place = bits[64 * word + e], np.uint64(e)
            for i in range(wires):  # over the wires, as they are contiguous and LLVM vectorises the shifts
                columns[i] |= np.uint64(row[i] != 0) << place
        for i in range(wires):
            packed[i, word] = columns[i]


@compiled(_READ_WORDS, nb.uint8[:, ::1])
def unpack(packed: Any, bits: Any) -> None:
    """(wires, words) into (examples, wires) of 0 and 1."""
    examples, wires = bits.shape
    columns = np.empty(wires, np.uint64)
    for word in range(-(-examples // 64)):
        for i in range(wires):
            columns[i] = packed[i, word]
        for e in range(min(64, examples - 64 * word)):
            row, place = bits[64 * word + e], np.uint64(e)
            for i in range(wires):
                row[i] = (columns[i] >> place) & np.uint64(1)
