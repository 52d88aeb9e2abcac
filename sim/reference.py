"""The reference interpreter: a circuit run on numpy arrays, one primitive after the other.

It is slow and simple: the definition of what a circuit computes, which every faster engine is tested against.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rdahw.circuit import Circuit
from rdahw.errors import UserError
from rdahw.primitives import PRIMITIVES, Array
from rdahw.transform import to_rows

__all__ = ["Reference", "example_arrays", "run"]

#: The rows of this back end: ``evaluate`` of the table of primitives.
ROWS = {name: row.evaluate for name, row in PRIMITIVES.items() if row.evaluate is not None}


class Reference:
    """A circuit ready to be run many times: ``f(*inputs) -> tuple of outputs``.

    Each input is an array of 0 and 1 whose last axis is the bits of the wire (bit 0 first); the axes before it, the
    examples, broadcast over the inputs. Outputs have the same form, as uint8.
    """

    def __init__(self, circuit: Circuit) -> None:
        self.circuit = circuit
        lowered = to_rows(circuit, ROWS)
        last_use: dict[int, int] = {}
        for wire, assignment in lowered.wires():
            last_use.update(dict.fromkeys(assignment.operands, wire))
        kept = {wire for _, wire in lowered.outputs}
        self._steps: list[tuple[Callable[..., Array], tuple[int, ...], tuple[Any, ...], tuple[int, ...]]] = []
        for wire, (primitive, operands, attributes) in lowered.wires():
            # A wire is freed after its last reader, so that memory grows with the width of the circuit, not its length.
            done = tuple(i for i in dict.fromkeys(operands) if last_use[i] == wire and i not in kept)
            self._steps.append((ROWS[primitive], operands, attributes, done))
        self._outputs = tuple(wire for _, wire in lowered.outputs)

    def __call__(self, *inputs: Array) -> tuple[Array, ...]:
        wires: list[Any] = list(example_arrays(self.circuit, inputs)[0])
        for evaluate, operands, attributes, done in self._steps:
            wires.append(evaluate(*[wires[i] for i in operands], *attributes))
            for i in done:
                wires[i] = None
        return tuple(wires[i] for i in self._outputs)


def example_arrays(circuit: Circuit, inputs: Sequence[Array]) -> tuple[list[Array], tuple[int, ...]]:
    """The inputs as uint8 arrays, and the shape of the example axes that they broadcast to.

    Raises :class:`UserError` for a wrong number of inputs, or a wrong width or shape.
    """
    expected = circuit.inputs
    if len(inputs) != len(expected):
        raise UserError(f"{len(inputs)} arrays were given to a circuit of {len(expected)} inputs; expected one each")
    arrays = []
    for (name, type_), value in zip(expected, inputs, strict=True):
        array = np.asarray(value, dtype=np.uint8)
        if not array.ndim or array.shape[-1] != type_.width:
            raise UserError(
                f"input {name!r} was given an array of shape {array.shape}; expected {type_.width} on the last axis"
            )
        arrays.append(array)
    try:
        shape = np.broadcast_shapes(*(array.shape[:-1] for array in arrays))
    except ValueError:
        shapes = ", ".join(str(array.shape[:-1]) for array in arrays)
        raise UserError(f"the inputs have examples of shapes {shapes}; expected shapes that broadcast") from None
    return arrays, shape


def run(circuit: Circuit, *inputs: Array) -> tuple[Array, ...]:
    """The outputs of ``circuit`` on arrays of 0 and 1; see :class:`Reference`."""
    return Reference(circuit)(*inputs)
