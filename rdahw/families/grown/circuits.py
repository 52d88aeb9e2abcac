"""Grown models as circuits: to learn about, prove and export, and in the form that takes the fewest cells of FPGAs.

A class number is the smallest width that holds all of them (the label code ``binary``), or one wire a class
(``one-hot``).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rdahw.circuit import Circuit
from rdahw.data.labels import Code, label_width
from rdahw.families.circuits import CircuitSpec
from rdahw.families.grown.rule import GrownState
from rdahw.families.grown.spec import GrownSpec
from rdahw.learner import Learner
from rdahw.lut_circuits import Bit, count_ones, first_largest, table_lut
from rdahw.model import Model
from rdahw.primitives import Array
from rdahw.scores import largest
from rdahw.state import State
from rdahw.tracing import Wire, cat, trace
from rdahw.types import Bits

__all__ = [
    "grown_circuit",
    "grown_lut_circuit",
    "grown_model",
    "most_votes",
    "most_votes_luts",
    "parameters",
    "trained",
]


def trained(spec: GrownSpec, state: State) -> tuple[CircuitSpec, State]:
    """The circuit of :func:`grown_model` with the wiring of a saved ``state`` and its tables up to the last one that
    votes, and the state of that."""
    voting = np.flatnonzero(state["tables"][: int(state["grown"][0])].any(axis=1))
    used = int(voting[-1]) + 1 if len(voting) else 1
    model = Model(spec.name, grown_model(spec, state["wiring"][:used].astype(np.int32), spec.code))
    made = CircuitSpec.of(Learner(model), code=spec.code, classes=spec.classes)
    return made, {"parameters": state["tables"][:used].reshape(-1)}


def parameters(state: GrownState) -> Array:
    """The table bits as parameters of :func:`grown_model`, (P,): bit ``(j << inputs) + index`` is table j's at
    ``index``."""
    return state.tables[: state.grown].reshape(-1).astype(np.uint8)


def grown_model(spec: GrownSpec, wiring: NDArray[np.int32], code: Code = "binary") -> Circuit:
    """``f : P × A → B``: the class from the table bits ``theta`` and the input ``x``.

    wiring: (tables, inputs), the bits of x that the tables read. P: see :func:`parameters`.
    """
    size = 1 << spec.inputs

    def predict(theta: Wire, x: Wire) -> Wire:
        return _vote(spec, wiring, [theta[j * size : (j + 1) * size] for j in range(len(wiring))], x, code)

    return trace(predict, theta=Bits(len(wiring) * size), x=Bits(spec.input_bits))


def grown_circuit(spec: GrownSpec, state: GrownState, code: Code = "binary") -> Circuit:
    """``A → B``: :func:`grown_model` with the table bits of ``state`` as its constants."""
    size = 1 << spec.inputs

    def predict(x: Wire) -> Wire:
        return _vote(spec, state.wiring[: state.grown], [x.const(n, size) for n in _numbers(state)], x, code)

    return trace(predict, x=Bits(spec.input_bits))


def grown_lut_circuit(spec: GrownSpec, state: GrownState, code: Code = "binary") -> Circuit:
    """``A → B``: the same function as :func:`grown_circuit`, of LUTs of six inputs; see :mod:`rdahw.lut_circuits`."""

    def predict(x: Wire) -> Wire:
        votes: list[list[Bit]] = [[] for _ in range(spec.classes)]
        for j in range(state.grown):
            address = [x[wire] for wire in state.wiring[j].tolist()]
            votes[j % spec.classes].append(table_lut(state.tables[j].tolist(), address))
        return most_votes_luts(x, votes, code)

    return trace(predict, x=Bits(spec.input_bits))


def most_votes_luts(x: Wire, votes: Sequence[Sequence[Bit]], code: Code) -> Wire:
    """:func:`most_votes` of the votes for each class, made of LUTs; ``x``: any wire of the trace."""
    width = max(map(len, votes)).bit_length()
    numbers = [[*count_ones(bits), *[0] * width][:width] for bits in votes]
    return _coded(_wire(x, first_largest(numbers), len(votes)), len(votes), code)


def most_votes(votes: Sequence[Wire], code: Code) -> Wire:
    """The class of most votes, the lowest number on a tie; votes: for each class a wire with a bit for each vote."""
    width = max(wire.width for wire in votes).bit_length()
    return _coded(largest([wire.popcount().extend(width) for wire in votes]), len(votes), code)


def _wire(x: Wire, bits: Sequence[Bit], classes: int) -> Wire:
    width = label_width(classes, "binary")
    return cat(*(bit if isinstance(bit, Wire) else x.const(bit, 1) for bit in [*bits, *[0] * width][:width]))


def _numbers(state: GrownState) -> list[int]:
    packed = np.packbits(state.tables[: state.grown], axis=1, bitorder="little")
    return [int.from_bytes(row.tobytes(), "little") for row in packed]


def _vote(spec: GrownSpec, wiring: NDArray[np.int32], tables: Sequence[Wire], x: Wire, code: Code) -> Wire:
    """The class of most tables whose bit is 1, given the bits of each table, the lowest number on a tie."""
    votes: list[list[Wire]] = [[] for _ in range(spec.classes)]
    for j, (table, wires) in enumerate(zip(tables, wiring.tolist(), strict=True)):
        votes[j % spec.classes].append(table.lookup(x.gather(wires)))
    return most_votes([cat(*bits) if bits else x.zeros(1) for bits in votes], code)


def _coded(number: Wire, classes: int, code: Code) -> Wire:
    return number.decode()[:classes] if code == "one-hot" else number
