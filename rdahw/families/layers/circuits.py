"""Networks of layers as circuits: of switches, as they learn; of bits, to prove and export trained ones; and of LUTs,
to take the fewest FPGA cells."""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import reduce
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from rdahw.circuit import Circuit
from rdahw.custom import custom_reverse
from rdahw.data.labels import Code
from rdahw.errors import UsageError
from rdahw.families.circuits import CircuitSpec
from rdahw.families.ensemble.circuits import MAX_STEP_BITS, MAX_TABLE_BITS, binarise
from rdahw.families.grown.circuits import most_votes, most_votes_luts
from rdahw.families.layers.rule import LIMIT
from rdahw.families.layers.spec import LayersSpec, make_wiring
from rdahw.learner import Learner
from rdahw.lut_circuits import Bit, table_lut
from rdahw.model import Model
from rdahw.state import State
from rdahw.tracing import SwitchWire, Wire, WordWire, cat, trace
from rdahw.types import Bits, Switches
from rdahw.word_primitives import from_planes, planes

__all__ = [
    "PASSED",
    "cotangent_bits",
    "layers_learner",
    "layers_lut_circuit",
    "layers_model",
    "layers_of_switches",
    "passing",
    "trained",
]


def cotangent_bits(spec: LayersSpec) -> int:
    """The smallest width of words that hold every counter, every score and every sum of requests without wrapping.

    Raises :class:`UsageError` for requests that are passed on as XOR or by forward gradients, and for sums so large
    that they could be limited.
    """
    if spec.cotangents == "xor" or spec.forward:
        way = "cotangents=xor" if spec.cotangents == "xor" else f"forward={spec.forward}"
        raise UsageError(
            f"model {spec.name!r} has no learner as a circuit with {way}; leave that out, or train it in software and "
            "give its file"
        )
    largest, each, of_cell = 1, 1, int(len(spec.runs) == spec.steps)
    wiring = make_wiring(spec)
    for run in range(len(spec.runs) - 1, 0, -1):
        wires = wiring[spec.runs[run]]
        readers = np.bincount(wires.reshape(-1))[spec.block if run < spec.steps else 0 :]
        each *= int(readers.max(initial=0))
        largest, each = max(largest, each), 1 if spec.cotangents == "sign" else each
        of_cell += each if run <= spec.steps else 0
    largest = max(largest, of_cell)
    if largest > LIMIT:
        raise UsageError(
            f"model {spec.name!r} has no learner as a circuit, as sums of requests could be {largest}, and the family "
            f"limits them to {LIMIT}; use cotangents=sign, or fewer layers"
        )
    return max(spec.counter, max(largest, -(-spec.sizes[-1][0] // spec.classes)).bit_length() + 1)


def layers_of_switches(spec: LayersSpec) -> Circuit:
    """``f : P × A → B``: the class scores from the table bits ``theta``, which are switches, and the input ``x``.

    Its reverse derivative gives the requests of :mod:`rdahw.families.layers.rule`, for bits with the noise or without.
    With ``sign`` a block after each layer but the last passes on the sign of the requests, and frozen layers get none.
    Raises as :func:`cotangent_bits`, and :class:`UsageError` for parameters of more than ``MAX_STEP_BITS`` bits.
    """
    k = cotangent_bits(spec)
    if (bits := spec.cells[-1] * k) > MAX_STEP_BITS:
        raise UsageError(
            f"the learning step of layers of {spec.size_text} tables would have a state of {bits} bits; a circuit of "
            f"layers takes at most {MAX_STEP_BITS}: lower tables or inputs, or train in software and give the file"
        )

    def scores(theta: Wire, x: Wire) -> Wire:
        values: Wire = (x := x.as_switches(k))
        wiring = make_wiring(spec)
        for run, layer in enumerate(spec.runs):
            values, wires = _read(spec, run, x, values), wiring[layer]
            first, size = spec.cells[layer], 1 << spec.sizes[layer][1]
            tables = (theta[first + j * size : first + (j + 1) * size] for j in range(len(wires)))
            values = cat(*(table.lookup(values.gather(its)) for table, its in zip(tables, wires.tolist(), strict=True)))
            if layer < spec.frozen:
                values = passing("no requests", Switches(len(values), k))(values)
            elif run + 1 < len(spec.runs) and spec.cotangents == "sign":
                values = passing("signs of requests", Switches(len(values), k))(values)
        votes = cast(SwitchWire, values).embed()
        return votes.scatter((j % spec.classes for j in range(len(votes))), spec.classes)

    return trace(scores, theta=Switches(spec.cells[-1], k), x=Bits(spec.input_bits))


def _read(spec: LayersSpec, run: int, x: Wire, values: Wire) -> Wire:
    """What is read in a run, of the input x and the outputs ``values`` of the run before."""
    if spec.steps == 1 or run >= spec.steps:
        return values
    states = values if run else x.zeros(spec.sizes[0][0])
    return cat(x, states, x.zeros(1)).gather(spec.reads[run].tolist())


def _signs(v: Wire, dy: WordWire) -> Wire:
    each = planes(dy.as_bits(), dy.type.bits)
    asked = reduce(operator.or_, each)
    return from_planes([asked, *[each[-1]] * (len(each) - 1)]).as_words(len(each))


#: What blocks of switches v pass back for the requests dy for them, by the name of the block.
PASSED: dict[str, Callable[..., Wire]] = {
    "signs of requests": _signs,
    "no requests": lambda v, dy: dy.zeros(len(dy)),
}


def passing(name: str, type_: Switches) -> Callable[..., Wire]:
    """The block of this ``name`` in :data:`PASSED`, whose value is its switches."""
    back = trace(PASSED[name], v=type_, dy=type_.tangent)
    return custom_reverse(trace(lambda v: v, v=type_), back, name=name, exact=False)


def layers_learner(spec: LayersSpec) -> Learner:
    """The learner of :func:`layers_of_switches`, with the margin and the counters of ``spec``: its step is an update
    without noise. Raises as that function."""
    return Learner(Model(spec.name, layers_of_switches(spec)), f"margin={spec.margin}", f"sign={spec.counter}")


def trained(spec: LayersSpec, state: State) -> tuple[CircuitSpec, State]:
    """The circuit of :func:`layers_model`, and its state: the bits of the counters of ``state``."""
    made = CircuitSpec.of(
        Learner(Model(spec.name, layers_model(spec, spec.code))), code=spec.code, classes=spec.classes
    )
    return made, {"parameters": binarise(state["counters"])}


def layers_model(spec: LayersSpec, code: Code = "binary") -> Circuit:
    """``f : P × A → B``: the class from the table bits ``theta`` and the input ``x``.

    P: a bit for each counter, in the order of the state. Raises :class:`UsageError` for more than ``MAX_TABLE_BITS``.
    """
    if spec.cells[-1] > MAX_TABLE_BITS:
        raise UsageError(
            f"layers of {spec.size_text} tables have {spec.cells[-1]} bits, and a circuit takes at most "
            f"{MAX_TABLE_BITS}; train with fewer tables or inputs"
        )

    def predict(theta: Wire, x: Wire) -> Wire:
        values, wiring = x, make_wiring(spec)
        for run, layer in enumerate(spec.runs):
            values, wires = _read(spec, run, x, values), wiring[layer]
            first, size = spec.cells[layer], 1 << spec.sizes[layer][1]
            tables = (theta[first + j * size : first + (j + 1) * size] for j in range(len(wires)))
            values = cat(*(table.lookup(values.gather(its)) for table, its in zip(tables, wires.tolist(), strict=True)))
        votes = [values.gather(range(c, values.width, spec.classes)) for c in range(spec.classes)]
        return most_votes(votes, code)

    return trace(predict, theta=Bits(spec.cells[-1]), x=Bits(spec.input_bits))


def layers_lut_circuit(spec: LayersSpec, counters: NDArray[Any], code: Code = "binary") -> Circuit:
    """``A → B``: the network with ``counters`` (counters,), of LUTs of six inputs; see :mod:`rdahw.lut_circuits`.
    Inputs that do not matter are left out."""
    bits = binarise(counters)

    def predict(x: Wire) -> Wire:
        example: list[Bit] = [x[i] for i in range(spec.input_bits)]
        values, wirings = example, make_wiring(spec)
        for run, layer in enumerate(spec.runs):
            if spec.steps > 1 and layer == 0:
                known = [*example, *(values if run else [0] * spec.sizes[0][0]), 0]
                values = [known[number] for number in spec.reads[run]]
            tables, wiring = spec.layer_cells(bits, layer).tolist(), wirings[layer]
            values = [
                table_lut(table, [values[wire] for wire in wires])
                for table, wires in zip(tables, wiring.tolist(), strict=True)
            ]
        return most_votes_luts(x, [values[c :: spec.classes] for c in range(spec.classes)], code)

    return trace(predict, x=Bits(spec.input_bits))
