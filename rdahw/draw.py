"""Circuits as pictures: Graphviz dot text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rdahw.circuit import Assignment, Circuit
from rdahw.errors import UserError
from rdahw.primitives import PRIMITIVES
from rdahw.types import Bits, Type

__all__ = ["MAX_DRAWN", "state_diagram", "to_dot"]

#: The most assignments in a picture; larger ones are unreadable and take Graphviz minutes.
MAX_DRAWN = 2000

#: The symbols of common gates.
_SYMBOLS = {
    "xor": "⊕",
    "and": "∧",
    "or": "∨",
    "not": "¬",
    "less_equal": "≤",
    "plus": "+",
    "sum": "Σ⊕",
    "add_words": "+",
}


def to_dot(circuit: Circuit, title: str = "circuit") -> str:
    """Graphviz dot text of ``circuit``, left to right: inputs, a node per assignment, outputs; edge labels are widths.

    Raises :class:`UserError` for a circuit of more than :data:`MAX_DRAWN` assignments.
    """
    if len(circuit.assignments) > MAX_DRAWN:
        raise UserError(
            f"a circuit of {len(circuit.assignments)} assignments is too large to draw; the limit is {MAX_DRAWN}"
        )
    lines = [
        f"digraph {_quoted(title)} {{",
        "  rankdir=LR;",
        '  node [fontname="Helvetica", fontsize=11, shape=box, style=rounded];',
        '  edge [fontname="Helvetica", fontsize=9, arrowsize=0.6, color="#555555"];',
    ]
    for i, port in enumerate(circuit.inputs):
        lines.append(f"  w{i} [label={_quoted(port.name)}, shape=cds, style=filled, fillcolor={_quoted('#dbeafe')}];")
    for i, assignment in circuit.wires():
        lines.append(f"  w{i} [label={_quoted(_label(assignment))}];")
        for operand in assignment.operands:
            lines.append(f"  w{operand} -> w{i} [label={_quoted(_size(circuit.types[operand]))}];")
    for k, (name, wire) in enumerate(circuit.outputs):
        lines.append(f"  y{k} [label={_quoted(name)}, shape=cds, style=filled, fillcolor={_quoted('#dcfce7')}];")
        lines.append(f"  w{wire} -> y{k} [label={_quoted(_size(circuit.types[wire]))}];")
    return "\n".join([*lines, "}", ""])


def state_diagram(
    following: Mapping[int, Sequence[int]], written: Mapping[int, Sequence[int]], title: str = "machine"
) -> str:
    """Graphviz dot text of a machine's states: for each state the next one and what is written after each symbol, in
    the order of the symbols. An arrow is labelled «symbol / written»; the first state is marked."""
    lines = [
        f"digraph {_quoted(title)} {{",
        "  rankdir=LR;",
        '  node [fontname="Helvetica", fontsize=11, shape=circle];',
        '  edge [fontname="Helvetica", fontsize=9, arrowsize=0.6, color="#555555"];',
        '  start [shape=point, label=""];',
    ]
    for number, state in enumerate(following):
        if not number:
            lines.append(f"  start -> s{state};")
        lines.append(f"  s{state} [label={_quoted(str(state))}];")
        arrows: dict[int, list[str]] = {}
        for symbol, (target, label) in enumerate(zip(following[state], written[state], strict=True)):
            arrows.setdefault(target, []).append(f"{symbol} / {label}")
        lines += [f"  s{state} -> s{target} [label={_quoted(', '.join(its))}];" for target, its in arrows.items()]
    return "\n".join([*lines, "}", ""])


def _size(type_: Type) -> str:
    """The number of bits, or the number of words and their bits."""
    return str(type_.width) if isinstance(type_, Bits) else f"{type_.count}×{type_.bits}"


def _label(assignment: Assignment) -> str:
    primitive, _, attributes = assignment
    if primitive == "custom":
        return str(attributes[0].name)
    if primitive == "const":
        return f"0x{attributes[0]:x}" if attributes[0] < 1 << 32 else "const"
    shown = [
        f"{name}={value}"
        for name, value in zip(PRIMITIVES[primitive].attributes, attributes, strict=True)
        if isinstance(value, int)
    ]
    return "\n".join([_SYMBOLS.get(primitive, primitive), *shown])


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
