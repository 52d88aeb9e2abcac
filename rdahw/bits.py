"""Bits in an eighth of the memory: :class:`PackedBits` stands for an array of 0 and 1."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["BitRows", "PackedBits"]


class PackedBits:
    """Bits (N, A) in words (N, W) uint64: bit b % 64 of word b // 64 is bit b, and those after the last are 0.

    It is read like an array of 0 and 1, uint8: its length, its shape, and some of its rows, which are unpacked then.
    """

    dtype = np.dtype(np.uint8)
    ndim = 2

    def __init__(self, words: NDArray[np.uint64], width: int) -> None:
        self.words = words
        self.shape = len(words), width

    def __len__(self) -> int:
        return len(self.words)

    def __getitem__(self, rows: Any) -> NDArray[np.uint8]:
        """The bits (n, A) of these rows, or (A,) of one."""
        octets = np.ascontiguousarray(self.words[rows].astype("<u8", copy=False)).view(np.uint8)
        return np.unpackbits(octets, axis=-1, count=self.shape[1], bitorder="little")

    def take(self, rows: NDArray[Any] | slice) -> PackedBits:
        """These rows, packed."""
        return PackedBits(self.words[rows], self.shape[1])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """All bits, unpacked."""
        bits = self[:]
        return bits if dtype is None else bits.astype(dtype, copy=False)


#: Bits of examples, (N, A): an array of 0 and 1, or the same packed.
BitRows: TypeAlias = NDArray[np.uint8] | PackedBits
