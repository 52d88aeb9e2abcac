"""Circuits rewritten into other primitives."""

from __future__ import annotations

from collections.abc import Callable, Collection

from rdahw.circuit import Assignment, Circuit
from rdahw.primitives import CORE, PRIMITIVES
from rdahw.tracing import Builder, Wire

__all__ = ["expand", "replay"]


def replay(circuit: Circuit, rule: Callable[[Assignment, list[Wire]], Wire | None]) -> Circuit:
    """The circuit with each assignment for which ``rule(assignment, operands)`` gives a wire replaced by that wire."""
    builder = Builder()
    wires = [builder.input(name, type_) for name, type_ in circuit.inputs]
    for assignment in circuit.assignments:
        operands = [wires[i] for i in assignment.operands]
        new = rule(assignment, operands)
        if new is None:
            new = builder.apply(assignment.primitive, *operands, attributes=assignment.attributes)
        wires.append(new)
    return builder.finish({name: wires[i] for name, i in circuit.outputs})


def expand(circuit: Circuit, keep: Collection[str] = CORE) -> Circuit:
    """The same function in the primitives of ``keep`` and of the polynomial core only.

    ``keep`` is what a back end has rows for: all else is replaced by its expansion, blocks by their forward circuit. With
    the default, the polynomial core, the formal derivatives of the result are right to every order. Blocks lose the
    reverse derivative of their own.
    """

    def rule(assignment: Assignment, operands: list[Wire]) -> Wire | None:
        row = PRIMITIVES[assignment.primitive]
        if row.expansion is None or row.name in keep:
            return None
        return row.expansion(*operands, *assignment.attributes)

    # An expansion may use blocks and rich primitives of its own (a block's forward circuit does): until none is left.
    while any(a.primitive not in keep and a.primitive not in CORE for a in circuit.assignments):
        circuit = replay(circuit, rule)
    return circuit
