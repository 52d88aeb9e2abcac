"""The generator of :mod:`rdahw.random` as a circuit: SplitMix64, whose state is part of the state of a learner."""

from __future__ import annotations

from typing import cast

from rdahw.fixed_point import Planes, times
from rdahw.random import FACTORS, GAMMA, stream
from rdahw.surrogates import number
from rdahw.tracing import Wire, WordWire, cat
from rdahw.word_primitives import planes, sum_of_planes

__all__ = ["draw", "state_words"]

_BITS = 64


def state_words(bits: int) -> int:
    """How many words of so many bits hold the state of the generator."""
    return -(-_BITS // bits)


def draw(state: WordWire, purpose: str, count: int) -> tuple[Planes, WordWire]:
    """The next ``count`` words of the stream of this purpose (seed 0) as their 64 planes, and the state after them.

    state: :func:`state_words` words; its low 64 bits are what was added to the key, 0 at the start, and its other bits
    are not used. Made of additions, as solvers do not decide products of 64 bits.
    """
    key, held = stream(0, purpose), state.as_bits()
    start = [held[b].repeat(count) for b in range(_BITS)]
    z = sum_of_planes(start, _constants(held, [key + (i + 1) * GAMMA for i in range(count)]))
    for shift, factor in zip((30, 27, 31), (*FACTORS, 1), strict=True):
        z = [z[b] ^ z[b + shift] if b + shift < _BITS else z[b] for b in range(_BITS)]
        z = z if factor == 1 else times(z, factor, _BITS)
    low = cast(WordWire, held[:_BITS].as_words(_BITS))
    after = (low + number(low, count * GAMMA)).as_bits()
    return z, cast(WordWire, cat(after, *([held[_BITS:]] if len(held) > _BITS else [])).cast(state.type))


def _constants(like: Wire, values: list[int]) -> Planes:
    """The planes of constants modulo 2^64."""
    value = sum((each % (1 << _BITS)) << i * _BITS for i, each in enumerate(values))
    return planes(like.const(value, _BITS * len(values)), _BITS)
