"""Bits in an eighth of the memory: :class:`PackedBits` stands for an array of 0 and 1."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["BitRows", "PackedBits"]


class PackedBits:
    """Bits (N, A) in words (N, W) uint64: bit b % 64 of word b // 64 is bit b, and those after the last are 0.

    It is read like an array of 0 and 1, uint8: its length, its shape, and some of its rows, which are unpacked then.
    source: the features (N, F) that the bits were made from, for who takes these instead; None if they are not kept.
    """

    dtype = np.dtype(np.uint8)
    ndim = 2

    def __init__(self, words: NDArray[np.uint64], width: int, source: NDArray[Any] | None = None) -> None:
        self.words, self.source = words, source
        self.shape = len(words), width

    def __len__(self) -> int:
        return len(self.words)

    def __getitem__(self, rows: Any) -> NDArray[np.uint8]:
        """The bits (n, A) of these rows, or (A,) of one."""
        octets = np.ascontiguousarray(self.words[rows].astype("<u8", copy=False)).view(np.uint8)
        return np.unpackbits(octets, axis=-1, count=self.shape[1], bitorder="little")

    def take(self, rows: NDArray[Any] | slice) -> PackedBits:
        """These rows, packed."""
        return PackedBits(self.words[rows], self.shape[1], None if self.source is None else self.source[rows])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """All bits, unpacked."""
        bits = self[:]
        return bits if dtype is None else bits.astype(dtype, copy=False)


#: Bits of examples, (N, A): an array of 0 and 1, or the same packed.
BitRows: TypeAlias = NDArray[np.uint8] | PackedBits
