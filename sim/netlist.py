"""Circuits as netlists of single bits, made of lookup tables of up to three inputs.

A *node* is a number: 0 and 1 are the constants, then come the bits of the circuit's inputs in order, then the gates in
topological order. A *gate* is a truth table of 8 bits and three nodes ``(table, a, b, c)``: its value is bit
``a + 2b + 4c`` of the table. Unused inputs (c, or b and c) are 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rdahw.circuit import Circuit
from rdahw.errors import UserError
from rdahw.transform import to_rows

__all__ = ["MAX_GATES", "ROWS", "Gate", "Netlist", "lower"]

Gate = tuple[int, int, int, int]
Bits = list[int]

#: The largest netlist: above it lowering takes minutes, and the working set exceeds every cache.
MAX_GATES = 1 << 22

# The truth tables of the three inputs themselves; those of gates are Python expressions of them.
A, B, C = 0xAA, 0xCC, 0xF0
NOT, AND, OR, XOR = A ^ 0xFF, A & B, A | B, A ^ B
XOR3, MAJORITY = A ^ B ^ C, A & B | A & C | B & C
MUX = A & B | (A ^ 0xFF) & C  # a ? b : c
LESS_EQUAL = (A ^ 0xFF) & B | (A ^ B ^ 0xFF) & C  # at bit k of a <= b, where c is the answer for the bits below


@dataclass(slots=True)
class Netlist:
    """The gates of a circuit; ``outputs`` are one list of nodes for each of its outputs."""

    inputs: int
    gates: list[Gate]
    outputs: list[Bits]

    @property
    def first_gate(self) -> int:
        """The number of the first gate's node."""
        return 2 + self.inputs

    def fused(self) -> Netlist:
        """The same function without dead gates, with gates of one reader, and inverters, merged into their readers."""
        first, readers = self.first_gate, self._readers()
        gates: list[Gate] = []
        same = list(range(first + len(self.gates)))  # each node, or an equal one
        for number, (table, *operands) in enumerate(self.gates, first):
            inputs = [same[i] for i in operands if i]
            while merged := self._merge(table, inputs, gates, readers):
                table, inputs = merged
            table, inputs = _simplify(table, inputs)
            if not inputs or table == A:
                same[number] = inputs[0] if inputs else table & 1
            gates.append((table, *(*inputs, 0, 0, 0)[:3]))  # type: ignore[arg-type]
        return _without_dead(Netlist(self.inputs, gates, [[same[i] for i in output] for output in self.outputs]))

    def with_joined_inverters(self) -> Netlist:
        """The same function with each inverter that is the only reader of a gate joined to that gate, as in a NAND."""
        first, readers, gates = self.first_gate, self._readers(), list(self.gates)
        for number, (table, a, *_) in enumerate(gates):
            if table == NOT and a >= first and readers[a] == 1:
                inner, *operands = gates[a - first]
                gates[number] = inner ^ 0xFF, *operands  # type: ignore[assignment]
        return _without_dead(Netlist(self.inputs, gates, self.outputs))

    def _merge(self, table: int, inputs: Bits, gates: list[Gate], readers: list[int]) -> tuple[int, Bits] | None:
        """The gate with one of its inputs replaced by that gate's inputs, if the result has at most three inputs."""
        for i in inputs:
            if i < self.first_gate:
                continue
            inner, *below = gates[i - self.first_gate]
            below = [j for j in below if j]
            if readers[i] > 1 and len(below) > 1:
                continue
            merged = list(dict.fromkeys([*(j for j in inputs if j != i), *below]))
            if len(merged) > 3:
                continue
            values = dict(zip(merged, (A, B, C), strict=False))
            values[i] = _compose(inner, [values[j] for j in below])
            readers[i] -= 1
            for j in below:
                readers[j] += (j not in inputs) - (not readers[i])
            return _compose(table, [values[j] for j in inputs]), merged
        return None

    def _readers(self) -> list[int]:
        """The number of gates and outputs that read each node."""
        readers = [0] * (self.first_gate + len(self.gates))
        for _, *inputs in self.gates:
            for i in inputs:
                readers[i] += 1
        for output in self.outputs:
            for i in output:
                readers[i] += 1
        return readers


def _compose(table: int, inputs: Sequence[int]) -> int:
    """The truth table of ``table`` applied to functions given as truth tables."""
    a, b, c = (*inputs, 0, 0, 0)[:3]
    result = 0
    for row in range(8):
        if table >> row & 1:
            result |= (a if row & 1 else ~a) & (b if row & 2 else ~b) & (c if row & 4 else ~c)
    return result & 0xFF


def _simplify(table: int, inputs: Sequence[int]) -> tuple[int, Bits]:
    """The same gate without constant, repeated and ignored inputs, the others sorted."""
    values: dict[int, int] = {0: 0, 1: 0xFF}
    for i in sorted(set(inputs) - {0, 1}):
        values[i] = (A, B, C)[len(values) - 2]
    variables = list(values)[2:]
    table = _compose(table, [values[i] for i in inputs])
    for at in range(len(variables) - 1, -1, -1):
        if (table & (A, B, C)[at]) >> (1 << at) == table & ~(A, B, C)[at]:
            # The table without this variable; the variables after it move up by one.
            table = _compose(table, [(A, B, C)[j - (j > at)] if j != at else 0 for j in range(len(variables))])
            del variables[at]
    return table, variables


def _without_dead(net: Netlist) -> Netlist:
    first = net.first_gate
    live = [False] * (first + len(net.gates))
    for output in net.outputs:
        for i in output:
            live[i] = True
    for number in range(len(live) - 1, first - 1, -1):
        if live[number]:
            _, a, b, c = net.gates[number - first]
            live[a] = live[b] = live[c] = True
    renumbered = list(range(first)) + [0] * len(net.gates)
    gates: list[Gate] = []
    for number, (table, a, b, c) in enumerate(net.gates, first):
        if live[number]:
            renumbered[number] = first + len(gates)
            gates.append((table, renumbered[a], renumbered[b], renumbered[c]))
    return Netlist(net.inputs, gates, [[renumbered[i] for i in output] for output in net.outputs])


class _Builder:
    """A netlist under construction. Equal gates share a node; gates of constants or equal inputs are simplified."""

    def __init__(self, inputs: int) -> None:
        self.first = 2 + inputs
        self.gates: list[Gate] = []
        self._known: dict[Gate, int] = {}

    def gate(self, table: int, *inputs: int) -> int:
        """The node of a gate with up to three inputs a, b, c."""
        table, variables = _simplify(table, inputs)
        if not variables:
            return table & 1
        if table == A:
            return variables[0]
        a, b, c = (*variables, 0, 0)[:3]
        return self._add((table, a, b, c))

    def _add(self, key: Gate) -> int:
        node = self._known.get(key)
        if node is None:
            if len(self.gates) >= MAX_GATES:
                raise UserError(
                    f"the circuit has more than {MAX_GATES} gates; that is too large for the packed engine: use the "
                    "reference engine"
                )
            node = self._known[key] = self.first + len(self.gates)
            self.gates.append(key)
        return node

    def pair(self, table: int, a: int, b: int) -> int:
        """:meth:`gate` of a symmetric table of two inputs, with a short way for the common case."""
        if 1 < a < b:
            return self._add((table, a, b, 0))
        if 1 < b < a:
            return self._add((table, b, a, 0))
        return self.gate(table, a, b)

    def each(self, table: int, *operands: Bits) -> Bits:
        """A gate for each k, on bit k of all operands."""
        if len(operands) == 2:
            return [self.pair(table, a, b) for a, b in zip(*operands, strict=True)]
        return [self.gate(table, *inputs) for inputs in zip(*operands, strict=True)]

    def parity(self, bits: Bits) -> int:
        """The XOR of bits, by a balanced tree."""
        while len(bits) > 1:
            bits = [self.gate(XOR3, *bits[i : i + 3]) for i in range(0, len(bits), 3)]
        return bits[0]

    def full_add(self, a: int, b: int, c: int) -> tuple[int, int]:
        """Sum and carry of three bits."""
        return self.gate(XOR3, a, b, c), self.gate(MAJORITY, a, b, c)


# -- one row a primitive: (builder, *operands as lists of nodes, *attributes) -> list of nodes -------------------------


def _decode(net: _Builder, address: Bits) -> Bits:
    minterms = [1]
    for bit in address:
        off = net.gate(NOT, bit)
        minterms = [net.pair(AND, m, off) for m in minterms] + [net.pair(AND, m, bit) for m in minterms]
    return minterms


def _lookup(net: _Builder, table: Bits, address: Bits) -> Bits:
    for bit in address:
        table = [net.gate(MUX, bit, table[i + 1], table[i]) for i in range(0, len(table), 2)]
    return table


def _popcount(net: _Builder, a: Bits) -> Bits:
    # Columns of bits of equal weight, three at a time into a full adder: carry-save addition (Wallace, 1964).
    count, column = [], a
    for _ in range(len(a).bit_length()):
        carries: Bits = []
        while len(column) > 1:
            sums: Bits = []
            for i in range(0, len(column), 3):
                part = column[i : i + 3]
                if len(part) == 1:
                    sums.append(part[0])
                    continue
                total, carry = net.full_add(*(*part, 0)[:3])
                sums.append(total)
                carries.append(carry)
            column = sums
        count.append(column[0] if column else 0)
        column = carries
    return count


def _less_equal(net: _Builder, a: Bits, b: Bits) -> Bits:
    answer = 1
    for pair in zip(a, b, strict=True):
        answer = net.gate(LESS_EQUAL, *pair, answer)
    return [answer]


def _plus(net: _Builder, a: Bits, b: Bits) -> Bits:
    total, carry = [], 0
    for pair in zip(a, b, strict=True):
        bit, carry = net.full_add(*pair, carry)
        total.append(bit)
    return [*total, carry]


def _sum(net: _Builder, a: Bits, times: int) -> Bits:
    width = len(a) // times
    return [net.parity(a[i::width]) for i in range(width)]


def _scatter(net: _Builder, a: Bits, indices: Sequence[int], width: int) -> Bits:
    places: list[Bits] = [[] for _ in range(width)]
    for i, place in enumerate(indices):
        places[place].append(a[i])
    return [net.parity(bits) if bits else 0 for bits in places]


#: The rows of this back end, by primitive.
ROWS: dict[str, Callable[..., Bits]] = {
    "xor": lambda net, a, b: net.each(XOR, a, b),
    "and": lambda net, a, b: net.each(AND, a, b),
    "const": lambda net, value, width: [value >> i & 1 for i in range(width)],
    "concat": lambda net, *parts: [bit for part in parts for bit in part],
    "slice": lambda net, a, start, stop: a[start:stop],
    "repeat": lambda net, a, times: a * times,
    "sum": _sum,
    "gather": lambda net, a, indices: [a[i] for i in indices],
    "scatter": _scatter,
    "not": lambda net, a: net.each(NOT, a),
    "or": lambda net, a, b: net.each(OR, a, b),
    "mux": lambda net, select, a, b: net.each(MUX, select * len(a), a, b),
    "decode": _decode,
    "lookup": _lookup,
    "popcount": _popcount,
    "less_equal": _less_equal,
    "plus": _plus,
    "to_words": lambda net, a, bits: a,
    "to_switches": lambda net, a, bits: a,
    "to_scalars": lambda net, a, semiring: a,
    "to_bits": lambda net, a: a,
}


def lower(circuit: Circuit) -> Netlist:
    """The netlist of ``circuit``; raises :class:`UserError` above :data:`MAX_GATES` gates."""
    circuit = to_rows(circuit, ROWS)
    net = _Builder(sum(t.width for t in circuit.input_types))
    wires: list[Any] = []
    at = 2
    for type_ in circuit.input_types:
        wires.append(list(range(at, at + type_.width)))
        at += type_.width
    for primitive, operands, attributes in circuit.assignments:
        wires.append(ROWS[primitive](net, *(wires[i] for i in operands), *attributes))
    return _without_dead(Netlist(at - 2, net.gates, [wires[i] for _, i in circuit.outputs]))
