"""The generator of :mod:`rdahw.random` as a circuit: SplitMix64, whose state is part of the state of a learner."""

from __future__ import annotations

from typing import cast

from rdahw.fixed_point import Planes
from rdahw.random import FACTORS, GAMMA, stream
from rdahw.surrogates import number
from rdahw.tracing import WordWire, cat, constant
from rdahw.types import Words
from rdahw.word_primitives import planes

__all__ = ["draw", "state_words"]

_BITS = 64


def state_words(bits: int) -> int:
    """How many words of so many bits hold the state of the generator."""
    return -(-_BITS // bits)


def draw(state: WordWire, purpose: str, count: int) -> tuple[Planes, WordWire]:
    """The next ``count`` words of the stream of this purpose (seed 0) as their 64 planes, and the state after them.

    state: :func:`state_words` words; its low 64 bits are what was added to the key, 0 at the start, and its other bits
    are not used.
    """
    key, held = stream(0, purpose), state.as_bits()
    start = held[:_BITS].as_words(_BITS)
    z = start.repeat(count) + _numbers(start, [key + (i + 1) * GAMMA for i in range(count)])
    for shift, factor in zip((30, 27, 31), (*FACTORS, 1), strict=True):
        moved = z.shift(shift).as_bits() & _numbers(start, [(1 << _BITS - shift) - 1] * count).as_bits()
        z = (z.as_bits() ^ moved).as_words(_BITS)
        z = z if factor == 1 else z * _numbers(start, [factor] * count)
    after = (start + number(start, count * GAMMA)).as_bits()
    rest = [held[_BITS:]] if len(held) > _BITS else []
    return planes(z.as_bits(), _BITS), cast(WordWire, cat(after, *rest).cast(state.type))


def _numbers(like: WordWire, values: list[int]) -> WordWire:
    """A constant word for each value, modulo 2^64."""
    value = sum((each % (1 << _BITS)) << i * _BITS for i, each in enumerate(values))
    return cast(WordWire, constant(like.builder, value, Words(len(values), _BITS)))
