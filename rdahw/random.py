"""The only source of randomness: SplitMix64, counter based, with the same words on every machine and in every language.

All arithmetic is on unsigned 64-bit integers and wraps.

    mix(z):    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9
               z = (z ^ (z >> 27)) * 0x94D049BB133111EB
               return z ^ (z >> 31)
    word i of a key:  mix(key + (i + 1) * 0x9E3779B97F4A7C15),  i = 0, 1, 2, …

These are the outputs, in order, of the published SplitMix64 generator with the key as initial state. A key is made from
the user's seed, the purpose (so that different purposes have different words) and any number of indices (class, epoch,
table):

    key = word 0 of seed
    key = word 0 of (key ^ fnv1a64(purpose))
    for each index:  key = word 0 of (key ^ index)

with ``fnv1a64`` over the UTF-8 bytes of the purpose: start at 0xCBF29CE484222325; for each byte, XOR it in, then
multiply by 0x100000001B3.

It is not a cryptographic generator.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["FACTORS", "GAMMA", "permutation", "stream", "words"]

_MASK = (1 << 64) - 1
#: What is added for each word, and the factors of ``mix``.
GAMMA = 0x9E3779B97F4A7C15
FACTORS = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)


def stream(seed: int, purpose: str, *indices: int) -> int:
    """The 64-bit key of one stream of words; seed and indices are taken modulo 2**64."""
    key = _first_word(seed & _MASK)
    for value in (_fnv1a64(purpose.encode()), *indices):
        key = _first_word(key ^ (value & _MASK))
    return key


def words(key: int, n: int, first: int = 0) -> NDArray[np.uint64]:
    """``n`` words of the stream ``key`` from number ``first`` on, shape (n,)."""
    z = np.arange(first + 1, first + n + 1, dtype=np.uint64)  # changed in place, as n may be large
    z *= np.uint64(GAMMA)
    z += np.uint64(key & _MASK)
    z ^= z >> np.uint64(30)
    z *= np.uint64(FACTORS[0])
    z ^= z >> np.uint64(27)
    z *= np.uint64(FACTORS[1])
    z ^= z >> np.uint64(31)
    return z


def permutation(key: int, n: int) -> NDArray[np.int64]:
    """A permutation of 0 .. n-1, shape (n,): the positions of the first ``n`` words in rising order, ties in order."""
    return np.argsort(words(key, n), kind="stable").astype(np.int64, copy=False)


def _first_word(state: int) -> int:
    return int(words(state, 1)[0])


def _fnv1a64(text: bytes) -> int:
    value = 0xCBF29CE484222325
    for byte in text:
        value = ((value ^ byte) * 0x100000001B3) & _MASK
    return value
