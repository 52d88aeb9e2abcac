"""Trained boosted models as circuits of bits: to prove, to export, and as predictors in gateware.

The numbers of a table are unsigned there: an offset is added, which depends on the table, so that the narrowest width
holds them. The offsets, the base and the rounding are one constant that is added at the end.
"""

from __future__ import annotations

import heapq
from itertools import count

import numpy as np
from numpy.typing import NDArray

from rdahw.circuit import Circuit
from rdahw.data.labels import label_width
from rdahw.families.boosted.spec import BoostedSpec
from rdahw.families.circuits import CircuitSpec
from rdahw.learner import Learner
from rdahw.model import Model
from rdahw.primitives import Array
from rdahw.state import State
from rdahw.tracing import Wire, mux, trace
from rdahw.types import Bits

__all__ = ["boosted_model", "table_bits", "trained"]


def trained(spec: BoostedSpec, state: State) -> tuple[CircuitSpec, State]:
    """The circuit of :func:`boosted_model` with the wiring of ``state``, and its state, :func:`table_bits`."""
    model = Model(spec.name, boosted_model(spec, state))
    made = CircuitSpec.of(Learner(model), code=spec.code, classes=spec.classes)
    return made, {"parameters": table_bits(state)}


def _used(state: State) -> NDArray[np.int64]:
    """The tables that hold a number that is not 0; the first one if there is none."""
    used = np.flatnonzero(state["tables"].any(axis=1))
    return used if len(used) else np.zeros(1, np.int64)


def _width(table: NDArray[np.int64]) -> int:
    """The bits of the signed numbers of a table."""
    return max(int(table.max()).bit_length(), int(-1 - table.min()).bit_length()) + 1


def table_bits(state: State) -> Array:
    """The parameters of :func:`boosted_model`, (P,): for each table that holds a number that is not 0, for each bit of
    its numbers plus their offset 2^(width - 1), the lowest bit first, the bit at each index."""
    bits = []
    for j in _used(state):
        table = state["tables"][j].astype(np.int64)
        width = _width(table)
        bits.append((table + (1 << width - 1)) >> np.arange(width)[:, None] & 1)
    return np.concatenate([rows.reshape(-1) for rows in bits]).astype(np.uint8)


def boosted_model(spec: BoostedSpec, state: State) -> Circuit:
    """``f : P × A → B``: the step of the target, an unsigned number, from the bits of the tables and the input.

    Wiring, widths and base are those of ``state``; P: see :func:`table_bits`.
    """
    used = _used(state)
    tables = [state["tables"][j].astype(np.int64) for j in used]
    widths = [_width(table) for table in tables]
    wiring, size = state["wiring"][used].astype(np.int64).tolist(), 1 << spec.inputs
    constant = int(state["base"][0]) + (1 << spec.shift >> 1) - sum(1 << width - 1 for width in widths)

    def predict(theta: Wire, x: Wire) -> Wire:
        at, numbers = 0, []
        for width, wires in zip(widths, wiring, strict=True):
            numbers.append(theta[at : at + width * size].lookup(x.gather(wires)))
            at += width * size
        return _limited(_total(numbers), constant, spec)

    return trace(predict, theta=Bits(sum(widths) * size), x=Bits(spec.input_bits))


def _total(numbers: list[Wire]) -> Wire:
    """The sum of unsigned numbers: always the two narrowest are added, so that adders are narrow."""
    order = count()
    heap = [(number.width, next(order), number) for number in numbers]
    heapq.heapify(heap)
    while len(heap) > 1:
        (_, _, a), (width, _, b) = heapq.heappop(heap), heapq.heappop(heap)
        total = a.extend(width).plus(b)
        heapq.heappush(heap, (total.width, next(order), total))
    return heap[0][2]


def _limited(total: Wire, constant: int, spec: BoostedSpec) -> Wire:
    """(total + constant) div 2^shift, limited to the steps of the target."""
    most, bits = spec.steps - 1, label_width(spec.steps, "binary")
    # Wide enough for both, and for the largest step.
    width = max(total.width, abs(constant).bit_length(), (most << spec.shift).bit_length()) + 1
    score = total.extend(width).plus(constant % (1 << width))[:width]
    whole = score[spec.shift :]
    limited = mux(whole <= most, whole[:bits], whole.const(most, bits))
    if constant >= 0:
        return limited
    return limited & (total.extend(width) >= -constant).repeat(bits)
