"""Bits packed into words of 64, in two layouts.

**Packed by examples**, (wires, words) uint64: bit ``e % 64`` of ``packed[w, e // 64]`` is wire w of example e. A
circuit is evaluated on 64 examples at a time. The bits after the last example are arbitrary.

**Packed by wires**, (examples, words) uint64: bit ``w % 64`` of ``packed[e, w // 64]`` is wire w of example e. One
example is a few words. The bits after the last wire are zero.

Bit 0 is the least significant one. Unpacked bits are arrays of 0 and 1, (examples, wires) uint8.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rdahw.bits import BitRows, PackedBits
from rdahw.primitives import Array

__all__ = ["Words", "pack_examples", "pack_wires", "turn_words", "unpack_examples", "unpack_wires", "words_for"]

Words = NDArray[np.uint64]


def words_for(bits: int) -> int:
    """The number of words that hold ``bits`` bits."""
    return -(-bits // 64)


def pack_examples(bits: BitRows) -> Words:
    """(examples, wires) of 0 and 1 as (wires, words), packed by examples; padded with zeros."""
    if isinstance(bits, PackedBits):
        return turn_words(bits.words, bits.shape[1])
    from rdahw.sim.packing_kernels import pack

    bits = np.ascontiguousarray(bits, np.uint8)
    packed = np.empty((bits.shape[1], words_for(len(bits))), np.uint64)
    pack(bits, packed)
    return packed


def unpack_examples(packed: Words, examples: int) -> Array:
    """The first ``examples`` examples of (wires, words), packed by examples, as (examples, wires) of 0 and 1."""
    from rdahw.sim.packing_kernels import unpack

    bits = np.empty((examples, len(packed)), np.uint8)
    unpack(np.ascontiguousarray(packed, np.uint64), bits)
    return bits


def turn_words(words: Words, wires: int) -> Words:
    """(examples, words), packed by wires, as (wires, words), packed by examples; padded with zeros."""
    from rdahw.sim.packing_kernels import turn

    columns = np.empty((wires, words_for(len(words))), np.uint64)
    turn(np.ascontiguousarray(words), columns)
    return columns


def pack_wires(bits: BitRows) -> Words:
    """(…, wires) of 0 and 1 as (…, words), packed by wires; the words of bits that are packed already."""
    if isinstance(bits, PackedBits):
        return bits.words
    *shape, width = bits.shape
    packed = np.zeros((*shape, words_for(width) * 8), np.uint8)
    packed[..., : -(-width // 8)] = np.packbits(np.asarray(bits, np.uint8), axis=-1, bitorder="little")
    words: Words = packed.view("<u8").astype(np.uint64, copy=False)
    return words


def unpack_wires(words: Words, width: int) -> Array:
    """(…, words), packed by wires, as (…, ``width``) of 0 and 1."""
    octets = np.ascontiguousarray(words.astype("<u8", copy=False)).view(np.uint8)
    return np.unpackbits(octets, axis=-1, count=width, bitorder="little")
