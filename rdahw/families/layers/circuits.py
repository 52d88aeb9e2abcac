"""Networks of layers as Boolean circuits: to prove and export, and in the form that takes the fewest cells of FPGAs."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from rdahw.circuit import Circuit
from rdahw.data.labels import Code
from rdahw.errors import UsageError
from rdahw.families.circuits import CircuitSpec
from rdahw.families.ensemble.circuits import MAX_TABLE_BITS, binarise
from rdahw.families.grown.circuits import most_votes, most_votes_luts
from rdahw.families.layers.spec import LayersSpec, make_wiring
from rdahw.learner import Learner
from rdahw.lut_circuits import Bit, table_lut
from rdahw.model import Model
from rdahw.state import State
from rdahw.tracing import Wire, cat, trace
from rdahw.types import Bits

__all__ = ["layers_lut_circuit", "layers_model", "trained"]


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
        values = x
        for layer, wires in enumerate(make_wiring(spec)):
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
        values: list[Bit] = [x[i] for i in range(spec.input_bits)]
        for layer, wiring in enumerate(make_wiring(spec)):
            tables = spec.layer_cells(bits, layer).tolist()
            values = [
                table_lut(table, [values[wire] for wire in wires])
                for table, wires in zip(tables, wiring.tolist(), strict=True)
            ]
        return most_votes_luts(x, [values[c :: spec.classes] for c in range(spec.classes)], code)

    return trace(predict, x=Bits(spec.input_bits))
