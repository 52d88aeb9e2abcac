"""Machines for tests: polynomials over a ring, and the inner product of sequences."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np

from rdahw.tracing import Wire, constant, ring_sum
from rdahw.types import Type


def product(a: Wire, b: Wire) -> Wire:
    ring = a.type.ring
    return a.builder.apply(ring.multiplication, a, b, attributes=ring.attributes)


def polynomial(values: Sequence[Wire], one: Type, terms: Sequence[Any]) -> Wire:
    """The sum of coefficient · product of the named ``values``; ``one`` is the type of an element."""
    builder = values[0].builder
    parts = [reduce(product, [values[i] for i in names], constant(builder, c, one)) for c, names in terms]
    return reduce(ring_sum, parts, constant(builder, 0, one))


def joined(parts: Sequence[Wire], one: Type) -> Wire:
    """Elements as one wire, the first lowest."""
    placed = [part.scatter([k], len(parts)) for k, part in enumerate(parts)]
    return reduce(ring_sum, placed, constant(parts[0].builder, 0, one.of(len(parts))))


def inner(type_: Type, a: Any, b: Any) -> int:
    """⟨a, b⟩ of sequences of bits of such a wire, (steps, width), in whole numbers that are not reduced."""
    bits = type_.width // type_.count
    values = [np.asarray(array).reshape(-1, bits) @ (1 << np.arange(bits)) for array in (a, b)]
    return int((values[0] * values[1]).sum())
