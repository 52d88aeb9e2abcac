"""String-diagram combinators: circuits from smaller ones, without naming variables.

``f >> g`` joins the outputs of f to the inputs of g in order; ``f @ g`` puts g beside (below) f. The result's ports are
named ``x`` and ``y``, or ``x0``, ``x1``, … and ``y0``, ``y1``, … if there are several. A number in place of a type
stands for bits of that width. The circuits are equal to those of :func:`rdahw.trace`:

>>> from rdahw import Bits, trace
>>> copy(8) >> multiply(8) == trace(lambda x: x & x, x=Bits(8))
True
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce

from rdahw.circuit import Circuit
from rdahw.errors import UserError
from rdahw.tracing import Builder, Wire, constant, ring_sum
from rdahw.types import Bits, Type

__all__ = [
    "add",
    "add_n",
    "copy",
    "copy_n",
    "discard",
    "identity",
    "multiply",
    "one",
    "port_names",
    "sequence",
    "swap",
    "tensor",
    "tensor_n",
    "zero",
]


def port_names(letter: str, count: int) -> list[str]:
    """The letter for one port, with numbers from 0 on for several."""
    return [letter] if count == 1 else [f"{letter}{i}" for i in range(count)]


def _type(given: Type | int) -> Type:
    return given if isinstance(given, Type) else Bits(given)


def _wiring(types: Sequence[Type], body: Callable[[Builder, list[Wire]], Sequence[Wire]]) -> Circuit:
    builder = Builder()
    inputs = [builder.input(name, t) for name, t in zip(port_names("x", len(types)), types, strict=True)]
    outputs = body(builder, inputs)
    return builder.finish(dict(zip(port_names("y", len(outputs)), outputs, strict=True)))


def sequence(*circuits: Circuit) -> Circuit:
    """``f >> g : A → C`` for ``f : A → B`` and ``g : B → C``, and so on for more."""
    if not circuits:
        raise UserError("no circuits were given to join; expected at least one")
    for f, g in zip(circuits, circuits[1:], strict=False):
        if f.output_types != g.input_types:
            raise UserError(
                f"circuits cannot be joined: one gives ({', '.join(map(str, f.output_types))}), "
                f"the next takes ({', '.join(map(str, g.input_types))}); the types must agree"
            )

    def body(builder: Builder, wires: list[Wire]) -> list[Wire]:
        for circuit in circuits:
            wires = builder.inline(circuit, wires)
        return wires

    return _wiring(circuits[0].input_types, body)


def tensor(*circuits: Circuit) -> Circuit:
    """``f @ g : A × C → B × D`` for ``f : A → B`` and ``g : C → D``, side by side, and so on for more."""

    def body(builder: Builder, wires: list[Wire]) -> list[Wire]:
        outputs, at = [], 0
        for circuit in circuits:
            width = len(circuit.inputs)
            outputs += builder.inline(circuit, wires[at : at + width])
            at += width
        return outputs

    return _wiring([t for circuit in circuits for t in circuit.input_types], body)


def tensor_n(n: int, f: Circuit) -> Circuit:
    """``fⁿ : Aⁿ → Bⁿ``: n copies of ``f : A → B`` side by side."""
    return tensor(*[f] * n)


def identity(type_: Type | int) -> Circuit:
    """``id : A → A``."""
    return _wiring([_type(type_)], lambda _, wires: wires)


def copy(type_: Type | int) -> Circuit:
    """``copy : A → A × A``; its reverse derivative is :func:`add`."""
    return copy_n(2, type_)


def copy_n(copies: int, type_: Type | int) -> Circuit:
    """``copy : A → A × … × A``, to ``copies`` copies."""
    return _wiring([_type(type_)], lambda _, wires: wires * copies)


def add(type_: Type | int) -> Circuit:
    """``add : A × A → A``, the sum in the type's ring: of bits, XOR."""
    return add_n(2, type_)


def add_n(summands: int, type_: Type | int) -> Circuit:
    """``add : A × … × A → A``, the sum of ``summands`` wires (at least one)."""
    if summands < 1:
        raise UserError(f"a sum of {summands} wires was asked for; expected at least one")
    return _wiring([_type(type_)] * summands, lambda _, wires: [reduce(ring_sum, wires)])


def multiply(type_: Type | int) -> Circuit:
    """``multiply : A × A → A``, the product in the type's ring: of bits, AND."""
    ring = _type(type_).ring

    def body(builder: Builder, wires: list[Wire]) -> list[Wire]:
        return [builder.apply(ring.multiplication, *wires, attributes=ring.attributes)]

    return _wiring([_type(type_)] * 2, body)


def swap(a: Type | int, b: Type | int) -> Circuit:
    """``swap : A × B → B × A``."""
    return _wiring([_type(a), _type(b)], lambda _, wires: wires[::-1])


def discard(type_: Type | int) -> Circuit:
    """``discard : A → 1``, without outputs."""
    return _wiring([_type(type_)], lambda _, wires: [])


def zero(type_: Type | int) -> Circuit:
    """``zero : 1 → A``, without inputs."""
    return _wiring([], lambda builder, _: [constant(builder, 0, _type(type_))])


def one(width: int) -> Circuit:
    """``one : 1 → n``: all bits set, the unit of AND."""
    ones = (1 << Bits(width).width) - 1
    return _wiring([], lambda builder, _: [builder.apply("const", attributes=(ones, width))])
