"""A circuit as an Amaranth component: combinational logic, no clock.

>>> from rdahw import Bits, reverse, trace
>>> majority = trace(lambda a, b, c: (a & b) | (a & c) | (b & c), a=Bits(1), b=Bits(1), c=Bits(1))
>>> both = CircuitModule(with_reverse(majority))
>>> sorted(both.signature.members)
['a', 'b', 'c', 'da', 'db', 'dc', 'dy', 'y']

``CircuitModule(reverse(f))`` is the reverse derivative alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import add
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal  # type: ignore[import-untyped]
from amaranth.lib import wiring  # type: ignore[import-untyped]
from amaranth.lib.wiring import In, Out  # type: ignore[import-untyped]

from rdahw.circuit import Circuit
from rdahw.claims import TooLarge
from rdahw.derivative import reverse
from rdahw.tracing import Builder
from rdahw.transform import to_rows

__all__ = ["ROWS", "CircuitModule", "Value", "port_names_of", "with_reverse"]

#: Amaranth numbers the bits of a value by 16 bits.
_MAX_WIDTH = (1 << 16) - 1

#: An Amaranth value, which has no static type.
Value = Any


def _tree(operator: Callable[[Value, Value], Value], values: Sequence[Value]) -> Value:
    """Combine all values by a balanced tree of logarithmic depth."""
    level = list(values)
    while len(level) > 1:
        paired = [operator(a, b) for a, b in zip(level[::2], level[1::2], strict=False)]
        level = paired + level[2 * len(paired) :]
    return level[0]


def _scatter(a: Value, indices: Sequence[int], width: int) -> Value:
    sent: list[list[Value]] = [[] for _ in range(width)]
    for bit, place in zip(a, indices, strict=True):
        sent[place].append(bit)
    return Cat(Cat(bits).xor() for bits in sent)


def _lookup(table: Value, address: Value) -> Value:
    rows = 1 << len(address)
    return Cat(table[at : at + rows].bit_select(address, 1) for at in range(0, len(table), rows))


def _add_words(a: Value, b: Value, bits: int) -> Value:
    # One addition per word uses the carry chains of an FPGA.
    return Cat((a[at : at + bits] + b[at : at + bits])[:bits] for at in range(0, len(a), bits))


def _multiply_words(a: Value, b: Value, bits: int) -> Value:
    # One multiplication per word uses the multipliers of an FPGA.
    return Cat((a[at : at + bits] * b[at : at + bits])[:bits] for at in range(0, len(a), bits))


def _negate_words(a: Value, chosen: Value, bits: int) -> Value:
    words = (a[at : at + bits] for at in range(0, len(a), bits))
    return Cat(((word ^ bit.replicate(bits)) + bit)[:bits] for word, bit in zip(words, chosen, strict=True))


#: The primitives of this back end: from the operands' values and the attributes to the value of the result.
ROWS: Mapping[str, Callable[..., Value]] = {
    "xor": lambda a, b: a ^ b,
    "and": lambda a, b: a & b,
    "const": lambda value, width: Cat(value >> at & 1 for at in range(width)),
    "concat": lambda *parts: Cat(parts),
    "slice": lambda a, start, stop: a[start:stop],
    "repeat": lambda a, times: a.replicate(times),
    "sum": lambda a, times: Cat(a[i :: len(a) // times].xor() for i in range(len(a) // times)),
    "gather": lambda a, indices: Cat(a[i] for i in indices),
    "scatter": _scatter,
    "not": lambda a: ~a,
    "or": lambda a, b: a | b,
    "mux": lambda select, a, b: Mux(select, a, b),
    "decode": lambda address: Cat(address == number for number in range(1 << len(address))),
    "lookup": _lookup,
    "popcount": lambda a: _tree(add, list(a)),
    "less_equal": lambda a, b: a <= b,
    "plus": lambda a, b: a + b,
    "to_words": lambda a, bits: a,
    "to_switches": lambda a, bits: a,
    "to_scalars": lambda a, semiring: a,
    "to_bits": lambda a: a,
    "add_words": _add_words,
    "negate_words": _negate_words,
    "multiply_words": _multiply_words,
}


def port_names_of(circuit: Circuit) -> tuple[list[str], list[str]]:
    """The names of the ports of a :class:`CircuitModule` of ``circuit``: of its inputs, and of its outputs."""
    taken = {*dir(CircuitModule), "circuit", "operands", "results"}
    return (
        [_free_name(name, taken) for name in circuit.input_names],
        [_free_name(name, taken) for name in circuit.output_names],
    )


class CircuitModule(wiring.Component):  # type: ignore[misc]
    """A circuit ``f : A1 × … × An → B1 × … × Bm`` as combinational logic.

    Its ports are the circuit's inputs, ``In(width)``, and outputs, ``Out(width)``, with the circuit's names. A name of
    another port or member of the component gets an ``_`` appended, and one that starts with ``_`` a ``p`` in front.
    ``operands`` and ``results`` are the ports in the circuit's order.

    Every wire has its own signal: Amaranth's simulator would evaluate a shared expression once for each reader
    (amaranth issue 1659). Inputs keep their names, wire n of the lowered circuit is ``w<n>``.
    """

    #: Wires per module. On any change Amaranth's simulator evaluates a whole module again, so a long chain in one
    #: module would take time quadratic in its length.
    _PART = 64

    def __init__(self, circuit: Circuit) -> None:
        self.circuit = circuit
        self.operands: tuple[Value, ...] = ()
        self.results: tuple[Value, ...] = ()
        operands, results = port_names_of(circuit)
        members = {name: In(type_.width) for name, type_ in zip(operands, circuit.input_types, strict=True)}
        members |= {name: Out(type_.width) for name, type_ in zip(results, circuit.output_types, strict=True)}
        super().__init__(members)
        self.operands = tuple(getattr(self, name) for name in operands)
        self.results = tuple(getattr(self, name) for name in results)

    def elaborate(self, platform: object) -> Module:
        lowered = to_rows(self.circuit, ROWS)
        if (widest := max(type_.width for type_ in lowered.types)) > _MAX_WIDTH:
            raise TooLarge(
                f"a wire of the circuit has {widest} bits, and Amaranth takes at most {_MAX_WIDTH}; take a "
                "smaller model (one by name: with a smaller --inputs; one of a file: with narrower ports), or fold the "
                "parameters in (rdahw export --inference, or rdahw synth --inference)"
            )
        m = Module()
        values: list[Value] = list(self.operands)
        part = m
        for wire, (primitive, operands, attributes) in lowered.wires():
            if len(lowered.assignments) > self._PART and (wire - len(self.operands)) % self._PART == 0:
                m.submodules += (part := Module())
            signal = Signal(lowered.types[wire].width, name=f"w{wire}")
            part.d.comb += signal.eq(ROWS[primitive](*(values[i] for i in operands), *attributes))
            values.append(signal)
        m.d.comb += [port.eq(values[wire]) for port, (_, wire) in zip(self.results, lowered.outputs, strict=True)]
        return m


def _free_name(name: str, taken: set[str]) -> str:
    if name.startswith("_"):
        name = "p" + name
    while name in taken:
        name += "_"
    taken.add(name)
    return name


def with_reverse(f: Circuit, wrt: Iterable[str] | None = None) -> Circuit:
    """``f : A → B`` and its reverse derivative as one circuit ``A × B → B × A`` in which both share the forward pass.

    The ports are those of :func:`rdahw.reverse`, with the outputs of ``f`` before the cotangents.
    """
    backward = reverse(f, wrt)
    builder = Builder()
    inputs = [builder.input(name, type_) for name, type_ in backward.inputs]
    outputs = builder.inline(f, inputs[: len(f.inputs)]) + builder.inline(backward, inputs)
    names: list[str] = []
    for name in (*f.output_names, *backward.output_names):
        while name in names:
            name += "_"
        names.append(name)
    return builder.finish(dict(zip(names, outputs, strict=True)))
