"""Whether the reverse derivative of a circuit is its Boolean difference."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdahw.circuit import Assignment, Circuit
from rdahw.primitives import PRIMITIVES
from rdahw.tracing import Builder
from rdahw.types import Bits

__all__ = ["is_safe"]

#: For each bit of a wire the set of input bits that it depends on, as a Python integer with one bit per input bit.
_Supports = NDArray[Any]


def is_safe(f: Circuit) -> bool:
    """True if every product in ``f`` multiplies bits that depend on disjoint sets of inputs.

    Then every wire is a polynomial without squares, and R[f] is the Boolean difference of ``f`` (Wilson and Zanasi,
    arXiv 2101.10488, section 3.3). The condition is sufficient, not necessary: False means that the two *may* differ. A
    circuit with a surrogate block or a wire of words is never safe; there is no Boolean difference in Z_2^k.

    >>> from rdahw import Bits, trace
    >>> is_safe(trace(lambda a, b: a & b, a=Bits(4), b=Bits(4)))
    True
    >>> is_safe(trace(lambda a, b: (a ^ b) & b, a=Bits(4), b=Bits(4)))
    False
    """
    if not all(isinstance(type_, Bits) for type_ in f.types):
        return False
    supports: list[_Supports] = []
    f = _with_parts_as_inputs(f)
    used, whole = 0, _read_as_a_whole(f)
    for wire, type_ in enumerate(f.input_types):
        width = 1 if wire in whole else type_.width
        supports.append(np.array([1 << used + i for i in range(width)], dtype=object))
        used += width
    for assignment in f.assignments:
        operands = [supports[i] for i in assignment.operands]
        if not _products_are_disjoint(assignment, operands):
            return False
        supports.append(_support(assignment, operands, f.types[len(supports)].width))
    return True


def _with_parts_as_inputs(f: Circuit) -> Circuit:
    """``f`` with each input that is read only in disjoint slices split into these slices.

    The dependences stay. The tables of an ensemble are such slices of its parameters, each read as a whole.
    """
    slices: dict[int, set[tuple[int, int]]] = {wire: set() for wire in range(len(f.inputs))}
    for primitive, operands, attributes in f.assignments:
        for wire in operands:
            if primitive == "slice" and wire in slices:
                slices[wire].add(attributes)
            else:
                slices.pop(wire, None)
    for wire in {wire for _, wire in f.outputs} & slices.keys():
        del slices[wire]
    parts = {wire: sorted(found) for wire, found in slices.items()}
    apart = {
        wire: found
        for wire, found in parts.items()
        if len(found) > 1 and all(a[1] <= b[0] for a, b in zip(found, found[1:], strict=False))
    }
    if not apart:
        return f
    builder, wires, inputs = Builder(), [], {}
    for wire, type_ in enumerate(f.input_types):
        found = apart.get(wire, [(0, type_.width)])
        made = [builder.input(f"input_{wire}_{a}", Bits(b - a)) for a, b in found]
        inputs[wire] = dict(zip(found, made, strict=True))
        wires.append(made[0])  # for a split input it is never read
    for primitive, operands, attributes in f.assignments:
        if primitive == "slice" and operands[0] in apart:
            wires.append(inputs[operands[0]][attributes])
        else:
            wires.append(builder.apply(primitive, *(wires[i] for i in operands), attributes=attributes))
    return builder.finish({name: wires[i] for name, i in f.outputs})


def _read_as_a_whole(f: Circuit) -> set[int]:
    """The inputs whose bits no primitive distinguishes, so that one set represents them all.

    Such as the table of a lookup: a set for each of its bits would take memory quadratic in its size.
    """
    by_bits = {
        wire
        for primitive, operands, _ in f.assignments
        for k, wire in enumerate(operands)
        if PRIMITIVES[primitive].support is not None
        or isinstance(PRIMITIVES[primitive].products, str)
        or (k, k) in PRIMITIVES[primitive].products
    }
    return set(range(len(f.inputs))) - by_bits


def _products_are_disjoint(assignment: Assignment, operands: list[_Supports]) -> bool:
    row = PRIMITIVES[assignment.primitive]
    if row.products == "bitwise":
        return not any(operands[0] & operands[1])
    if row.products == "all":
        return assignment.attributes[0].exact and _all_disjoint(np.concatenate(operands))
    for i, j in row.products:
        if i == j:
            if not _all_disjoint(operands[i]):
                return False
        elif np.bitwise_or.reduce(operands[i]) & np.bitwise_or.reduce(operands[j]):
            return False
    return True


def _all_disjoint(bits: _Supports) -> bool:
    seen = 0
    for support in bits:
        if seen & support:
            return False
        seen |= support
    return True


def _support(assignment: Assignment, operands: list[_Supports], width: int) -> _Supports:
    row = PRIMITIVES[assignment.primitive]
    if row.support is not None:
        return row.support(*operands, *assignment.attributes)
    everything = np.bitwise_or.reduce(np.concatenate(operands))
    return np.full(width, everything, dtype=object)
