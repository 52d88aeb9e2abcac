"""The ranges of the words in a circuit as whole numbers, to show that sums cannot wrap."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from rdahw.circuit import Circuit
from rdahw.types import Words

__all__ = ["RULES", "Range", "word_range"]

#: The smallest and largest number.
Range = tuple[int, int]

#: The smallest and the largest number of each word, (2, words); of bits (2, 1), 0 to 0 where all are constantly 0, else
#: 0 to 1. Numbers that a float does not hold exactly are infinite.
_Ranges = NDArray[np.float64]

#: Floats hold all whole numbers up to this; what is out of it is reported as this much, more than words hold.
_EXACT, _LARGE = float(1 << 53), 1 << 64


def _add(a: _Ranges, b: _Ranges, bits: int) -> _Ranges:
    return a + b


def _multiply(a: _Ranges, b: _Ranges, bits: int) -> _Ranges:
    products = np.nan_to_num(np.stack([p * q for p in a for q in b]), nan=0, posinf=np.inf, neginf=-np.inf)
    return np.stack([products.min(axis=0), products.max(axis=0)])


def _mask(a: _Ranges, chosen: _Ranges, bits: int) -> _Ranges:
    return np.stack([np.minimum(a[0], 0), np.maximum(a[1], 0)])


def _negate(a: _Ranges, chosen: _Ranges, bits: int) -> _Ranges:
    return np.stack([np.minimum(a[0], -a[1]), np.maximum(a[1], -a[0])])


def _gather(a: _Ranges, indices: Sequence[int], bits: int) -> _Ranges:
    return a[:, list(indices)]


def _scatter(a: _Ranges, indices: Sequence[int], count: int, bits: int) -> _Ranges:
    found = np.zeros((2, count))
    for ends, total in zip(a, found, strict=True):
        np.add.at(total, np.array(indices), ends)
    return found


def _lookup(table: _Ranges, address: _Ranges, tables: int, bits: int) -> _Ranges:
    return np.array([[table[0].min()], [table[1].max()]])


#: The ranges of a result's words, or one for all of them, from those of the operands and the attributes; ``None``: they
#: are unknown.
RULES: Mapping[str, Callable[..., _Ranges | None]] = {
    "to_words": lambda a, bits: None if a.any() else a,
    "concat": lambda *parts: np.concatenate(parts, axis=1),
    "add_words": _add,
    "multiply_words": _multiply,
    "mask_words": _mask,
    "negate_words": _negate,
    "embed_switches": lambda a, bits: np.array([[0.0], [1.0]]),
    "gather_words": _gather,
    "scatter_words": _scatter,
    "lookup_words": _lookup,
}


def word_range(f: Circuit, name: str, given: Range) -> Range | None:
    """The range of all words in ``f`` as whole numbers, if those of input ``name`` are in ``given``; ``None`` if some
    are unknown, such as the results of blocks and casts."""
    switch, zero = np.array([[0.0], [1.0]]), np.zeros((2, 1))
    ranges: list[_Ranges] = []
    for port in f.inputs:
        if isinstance(port.type, Words) and port.name != name:
            return None
        ranges.append(_held(given, port.type.count) if isinstance(port.type, Words) else switch)
    for wire, (primitive, operands, attributes) in f.wires():
        type_ = f.types[wire]
        if not isinstance(type_, Words):
            ranges.append(zero if primitive == "const" and not attributes[0] else switch)
            continue
        found = RULES[primitive](*(ranges[i] for i in operands), *attributes) if primitive in RULES else None
        if found is None:
            return None
        ranges.append(_held(found, type_.count))
    words = [found for found, type_ in zip(ranges, f.types, strict=True) if isinstance(type_, Words)]
    if not words:
        return 0, 0
    low, high = min(found[0].min() for found in words), max(found[1].max() for found in words)
    return (int(low), int(high)) if np.isfinite([low, high]).all() else (-_LARGE, _LARGE)


def _held(ranges: _Ranges | Range, count: int) -> _Ranges:
    """The ranges of ``count`` words, infinite where they are not exact."""
    found = np.broadcast_to(np.asarray(ranges, np.float64).reshape(2, -1), (2, count))
    return np.where((abs(found) < _EXACT).all(axis=0), found, [[-np.inf], [np.inf]])
