"""The range of the words in a circuit as whole numbers, to show that sums cannot wrap."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from rdahw.circuit import Circuit
from rdahw.types import Words

__all__ = ["RULES", "Range", "word_range"]

#: The smallest and largest number.
Range = tuple[int, int]


def _multiply(a: Range, b: Range, bits: int) -> Range:
    products = [p * q for p in a for q in b]
    return min(products), max(products)


def _scatter(a: Range, indices: Sequence[int], count: int, bits: int) -> Range:
    sent = Counter(indices)
    times = [sent[place] for place in range(count)]
    ends = [n * end for n in (min(times), max(times)) for end in a]
    return min(ends), max(ends)


#: The range of a result's words, from those of the operands (for bits: 0 to 0 where all are constantly 0, else 0 to 1)
#: and the attributes; ``None``: it is unknown.
RULES: Mapping[str, Callable[..., Range | None]] = {
    "to_words": lambda a, bits: a if a == (0, 0) else None,
    "concat": lambda *parts: (min(low for low, _ in parts), max(high for _, high in parts)),
    "add_words": lambda a, b, bits: (a[0] + b[0], a[1] + b[1]),
    "multiply_words": _multiply,
    "mask_words": lambda a, chosen, bits: (min(a[0], 0), max(a[1], 0)),
    "negate_words": lambda a, chosen, bits: (min(a[0], -a[1]), max(a[1], -a[0])),
    "embed_switches": lambda a, bits: (0, 1),
    "gather_words": lambda a, indices, bits: a,
    "scatter_words": _scatter,
    "lookup_words": lambda table, address, tables, bits: table,
}


def word_range(f: Circuit, name: str, given: Range) -> Range | None:
    """The range of all words in ``f`` as whole numbers, if those of input ``name`` are in ``given``; ``None`` if some
    are unknown, such as the results of blocks and casts."""
    ranges: list[Range | None] = [
        given if port.name == name else None if isinstance(port.type, Words) else (0, 1) for port in f.inputs
    ]
    for wire, (primitive, operands, attributes) in f.wires():
        known = [ranges[i] for i in operands]
        if not isinstance(f.types[wire], Words):
            ranges.append((0, 0) if primitive == "const" and not attributes[0] else (0, 1))
        elif primitive in RULES and None not in known:
            ranges.append(RULES[primitive](*known, *attributes))
        else:
            ranges.append(None)
    ranges = [r for r, type_ in zip(ranges, f.types, strict=True) if isinstance(type_, Words)]
    found = [r for r in ranges if r is not None]
    if not found:
        return 0, 0
    return (min(low for low, _ in found), max(high for _, high in found)) if len(found) == len(ranges) else None
