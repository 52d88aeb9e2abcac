"""The compiled part of :mod:`rdahw.sim.packing`.

Here and in the other kernels loops copy arrays, as numba takes seconds to compile an assignment to a slice.
"""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np

from rdahw.sim.jit import compiled, inner

__all__ = ["pack", "spread_lines", "transpose", "turn", "unpack"]

#: The bits that are swapped in each round of the transposition of 64 words.
_SWAPS = (
    0x00000000FFFFFFFF,
    0x0000FFFF0000FFFF,
    0x00FF00FF00FF00FF,
    0x0F0F0F0F0F0F0F0F,
    0x3333333333333333,
    0x5555555555555555,
)

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


@inner
def transpose(a: Any) -> None:
    """Transpose 64 words: swap bit j of word i with bit i of word j."""
    width: Any = 32
    for mask in _SWAPS:
        by = np.uint64(width)
        for start in range(0, 64, 2 * width):
            for i in range(start, start + width):
                change = ((a[i] >> by) ^ a[i + width]) & np.uint64(mask)
                a[i] ^= change << by
                a[i + width] ^= change
        width >>= 1


@compiled()  # on its first call, as few need it
def turn(rows: Any, columns: Any) -> None:
    """(examples, words) packed by wires into (wires, words) packed by examples."""
    examples, wires = rows.shape[0], columns.shape[0]
    block = np.empty(64, np.uint64)
    for v in range(columns.shape[1]):
        for w in range(rows.shape[1]):
            for e in range(64):
                block[e] = rows[64 * v + e, w] if 64 * v + e < examples else np.uint64(0)
            transpose(block)
            for i in range(min(64, wires - 64 * w)):
                columns[64 * w + i, v] = block[i]


@compiled(_READ_WORDS, nb.types.Array(nb.int64, 1, "C", readonly=True), nb.int64, nb.uint64[:, ::1])
def spread_lines(words: Any, starts: Any, width: Any, out: Any) -> None:
    """Write each line of examples packed by wires, words (N, W), to another place: line i, ``width`` bits from bit
    i * width on, to bit starts[i] of ``out`` (N, V) on, where zeros are."""
    for e in range(words.shape[0]):
        row, moved = words[e], out[e]
        for i in range(starts.size):
            for j in range(0, width, 64):
                bits, at, to = min(64, width - j), i * width + j, starts[i] + j
                low, place = at & 63, to & 63
                value = row[at >> 6] >> np.uint64(low)
                if low + bits > 64:
                    value |= row[(at >> 6) + 1] << np.uint64(64 - low)
                if bits < 64:
                    value &= (np.uint64(1) << np.uint64(bits)) - np.uint64(1)
                moved[to >> 6] |= value << np.uint64(place)
                if place + bits > 64:
                    moved[(to >> 6) + 1] |= value >> np.uint64(64 - place)
