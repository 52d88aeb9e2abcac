"""Circuits as AND and XOR gates on single bits, the input of the solvers.

A circuit is expanded into the polynomial core by the table of primitives, and each row of the core is made of gates
here. The hardware back end is not used, so a proof compares two ways that share only the table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from rdahw.circuit import Circuit, Port
from rdahw.transform import to_rows

__all__ = ["ROWS", "Gates", "cell", "to_gates", "to_rtlil"]

#: A bit is a number: 0 and 1 are the constants, then come the inputs, then the gates.
Bit = int


class Gates:
    """Gates on numbered bits. Equal gates are one, and gates with a constant are folded.

    gates: (operator, a, b) of each, operators ``"xor"`` and ``"and"``; gate k drives bit 2 + ``inputs`` + k.
    """

    def __init__(self, inputs: int) -> None:
        self.inputs = inputs
        self.gates: list[tuple[str, Bit, Bit]] = []
        self._known: dict[tuple[str, Bit, Bit], Bit] = {}
        self._inverse: dict[Bit, Bit] = {}

    def _gate(self, operator: str, a: Bit, b: Bit) -> Bit:
        key = (operator, min(a, b), max(a, b))
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = 2 + self.inputs + len(self.gates)
            self.gates.append(key)
        return known

    def xor(self, a: Bit, b: Bit) -> Bit:
        """a ⊕ b."""
        if a == b:
            return 0
        low, high = min(a, b), max(a, b)
        if low == 0:
            return high
        if low == 1 and high in self._inverse:
            return self._inverse[high]
        result = self._gate("xor", low, high)
        if low == 1:
            self._inverse[result] = high
        return result

    def and_(self, a: Bit, b: Bit) -> Bit:
        """a · b."""
        if a == b:
            return a
        low, high = min(a, b), max(a, b)
        if low < 2:
            return high if low else 0
        return 0 if self._inverse.get(high) == low else self._gate("and", low, high)

    def sum(self, bits: Sequence[Bit]) -> Bit:
        """The XOR of all, by a balanced tree."""
        level = list(bits) or [0]
        while len(level) > 1:
            paired = [self.xor(a, b) for a, b in zip(level[::2], level[1::2], strict=False)]
            level = paired + level[2 * len(paired) :]
        return level[0]


_Wire = list[Bit]


def _scatter(gates: Gates, a: _Wire, indices: Sequence[int], width: int) -> _Wire:
    sent: list[_Wire] = [[] for _ in range(width)]
    for bit, place in zip(a, indices, strict=True):
        sent[place].append(bit)
    return [gates.sum(bits) for bits in sent]


#: The polynomial core: from the gates, the operands' bits and the attributes to the bits of the result.
ROWS: Mapping[str, Callable[..., _Wire]] = {
    "xor": lambda gates, a, b: [gates.xor(p, q) for p, q in zip(a, b, strict=True)],
    "and": lambda gates, a, b: [gates.and_(p, q) for p, q in zip(a, b, strict=True)],
    "const": lambda gates, value, width: [value >> at & 1 for at in range(width)],
    "concat": lambda gates, *parts: [bit for part in parts for bit in part],
    "slice": lambda gates, a, start, stop: a[start:stop],
    "repeat": lambda gates, a, times: a * times,
    "sum": lambda gates, a, times: [gates.sum(a[i :: len(a) // times]) for i in range(len(a) // times)],
    "gather": lambda gates, a, indices: [a[i] for i in indices],
    "scatter": _scatter,
    "to_words": lambda gates, a, bits: a,
    "to_switches": lambda gates, a, bits: a,
    "to_scalars": lambda gates, a, semiring: a,
    "to_bits": lambda gates, a: a,
}


def to_gates(circuit: Circuit) -> tuple[Gates, list[_Wire]]:
    """The circuit as gates, and the bits of each output. The inputs are bits 2, 3, … in their order, bit 0 first."""
    gates = Gates(sum(type_.width for type_ in circuit.input_types))
    wires: list[_Wire] = []
    at = 2
    for type_ in circuit.input_types:
        wires.append(list(range(at, at + type_.width)))
        at += type_.width
    core = to_rows(circuit, ROWS)
    for primitive, operands, attributes in core.assignments:
        wires.append(ROWS[primitive](gates, *(wires[i] for i in operands), *attributes))
    return gates, [wires[i] for _, i in core.outputs]


_CELLS = {"xor": "$_XOR_", "and": "$_AND_"}


def to_rtlil(
    gates: Gates, results: Sequence[_Wire], module: str, inputs: Sequence[Port], outputs: Sequence[str]
) -> str:
    """Gates as the text of an RTLIL module, Yosys' own format, with these ports in order."""
    return "".join(f"{line}\n" for line in _rtlil(gates, results, module, inputs, outputs))


def _rtlil(
    gates: Gates, results: Sequence[_Wire], module: str, inputs: Sequence[Port], outputs: Sequence[str]
) -> Iterator[str]:
    yield f"module \\{module}"
    bits = ["1'0", "1'1"]
    for number, (name, type_) in enumerate(inputs, 1):
        yield f"  wire width {type_.width} input {number} \\{name}"
        bits += [f"\\{name} [{i}]" for i in range(type_.width)]
    for number, (name, result) in enumerate(zip(outputs, results, strict=True), len(inputs) + 1):
        yield f"  wire width {len(result)} output {number} \\{name}"
    for operator, a, b in gates.gates:
        bits.append(f"$w{len(bits)}")
        yield f"  wire {bits[-1]}"
        yield from cell(_CELLS[operator], f"$g{len(bits)}", {"A": bits[a], "B": bits[b], "Y": bits[-1]})
    for name, result in zip(outputs, results, strict=True):
        yield f"  connect \\{name} {{ {' '.join(bits[bit] for bit in reversed(result))} }}"
    yield "end"


def cell(kind: str, name: str, ports: Mapping[str, str], parameters: Mapping[str, int] | None = None) -> Iterator[str]:
    """The lines of an RTLIL cell, whose ports are connected to these signals."""
    yield f"  cell {kind} {name}"
    for parameter, value in (parameters or {}).items():
        yield f"    parameter \\{parameter} {value}"
    for port, signal in ports.items():
        yield f"    connect \\{port} {signal}"
    yield "  end"
