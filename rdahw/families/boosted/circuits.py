"""Trained boosted models as circuits of bits: to prove, to export, and as predictors in gateware.

The numbers of a table are unsigned there: an offset is added, which depends on the table, so that the narrowest width
holds them. The offsets, the base and the rounding are one constant that is added at the end.
"""

from __future__ import annotations

import heapq
from functools import partial
from itertools import count

import numpy as np
from numpy.typing import NDArray

from rdahw.circuit import Circuit
from rdahw.data.labels import label_width
from rdahw.families.boosted.spec import BoostedSpec, used_tables
from rdahw.families.circuits import CircuitSpec
from rdahw.learner import Learner
from rdahw.model import Model
from rdahw.primitives import Array
from rdahw.state import State
from rdahw.tracing import Wire, cat, mux, trace
from rdahw.types import Bits

__all__ = ["boosted_model", "table_bits", "total", "trained"]


def trained(spec: BoostedSpec, state: State) -> tuple[CircuitSpec, State]:
    """The circuit of :func:`boosted_model` with the wiring of ``state``, and its state, :func:`table_bits`."""
    model = Model(spec.name, boosted_model(spec, state))
    made = CircuitSpec.of(Learner(model), code=spec.code, classes=spec.classes)
    return made, {"parameters": table_bits(state)}


def _used(state: State) -> NDArray[np.int64]:
    """The tables that hold a number that is not 0; the first one if there is none."""
    used = used_tables(state)
    return used if len(used) else np.zeros(1, np.int64)


def _width(table: NDArray[np.int64]) -> int:
    """The bits of the signed numbers of a table."""
    return max(int(table.max()).bit_length(), int(-1 - table.min()).bit_length()) + 1


def table_bits(state: State) -> Array:
    """The parameters of :func:`boosted_model`, (P,): for each table that holds a number that is not 0, for each of its
    scores, for each bit of its numbers plus their offset 2^(width - 1), the lowest bit first, the bit at each index."""
    bits = []
    for table in _columns(state):
        width = _width(table)
        bits.append((table + (1 << width - 1)) >> np.arange(width)[:, None] & 1)
    return np.concatenate([rows.reshape(-1) for rows in bits]).astype(np.uint8)


def _columns(state: State) -> list[NDArray[np.int64]]:
    """What each used table holds for each score, (2^inputs,), the scores of a table after one another."""
    held = [state["tables"][j].astype(np.int64) for j in _used(state)]
    return [column for table in held for column in table.reshape(len(table), -1).T]


def boosted_model(spec: BoostedSpec, state: State) -> Circuit:
    """``f : P × A → B``: the step of the target, an unsigned number, or a bit for each label, from the bits of the
    tables and the input.

    Wiring, widths and base are those of ``state``; P: see :func:`table_bits`.
    """
    used = _used(state)
    widths = [_width(column) for column in _columns(state)]
    wiring, size, outputs = state["wiring"][used].astype(np.int64).tolist(), 1 << spec.inputs, spec.outputs
    constants = [int(b) - sum(1 << w - 1 for w in widths[i::outputs]) for i, b in enumerate(state["base"])]

    def predict(theta: Wire, x: Wire) -> Wire:
        at, numbers = 0, []
        for i, width in enumerate(widths):
            if i % outputs == 0:
                index = x.gather(wiring[i // outputs])
            numbers.append(theta[at : at + width * size].lookup(index))
            at += width * size
        totals = [total(numbers[i::outputs]) for i in range(outputs)]
        if not spec.labels:
            return _limited(totals[0], constants[0] + (1 << spec.shift >> 1), spec)
        return cat(*map(partial(_above, spec.middle), totals, constants))

    return trace(predict, theta=Bits(sum(widths) * size), x=Bits(spec.input_bits))


def total(numbers: list[Wire]) -> Wire:
    """The sum of unsigned numbers: always the two narrowest are added, so that adders are narrow."""
    order = count()
    heap = [(number.width, next(order), number) for number in numbers]
    heapq.heapify(heap)
    while len(heap) > 1:
        (_, _, a), (width, _, b) = heapq.heappop(heap), heapq.heappop(heap)
        both = a.extend(width).plus(b)
        heapq.heappush(heap, (both.width, next(order), both))
    return heap[0][2]


def _above(least: int, score: Wire, constant: int) -> Wire:
    """Whether score + constant is above ``least``, a bit."""
    bound = least - constant
    if not 0 <= bound < (1 << score.width) - 1:
        return score.const(int(bound < 0), 1)
    return score > bound


def _limited(added: Wire, constant: int, spec: BoostedSpec) -> Wire:
    """(added + constant) div 2^shift, limited to the steps of the target."""
    most, bits = spec.steps - 1, label_width(spec.steps, "binary")
    # Wide enough for both, and for the largest step.
    width = max(added.width, abs(constant).bit_length(), (most << spec.shift).bit_length()) + 1
    score = added.extend(width).plus(constant % (1 << width))[:width]
    whole = score[spec.shift :]
    limited = mux(whole <= most, whole[:bits], whole.const(most, bits))
    if constant >= 0:
        return limited
    return limited & (added.extend(width) >= -constant).repeat(bits)
