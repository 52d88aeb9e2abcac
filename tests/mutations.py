"""Mutations of a circuit and of a row of the hardware table: made from what is there, not thought of one by one.

Each is a short text of what was changed and the changed thing; what a type law refuses is no mutation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from amaranth.hdl import Cat, Signal

from rdahw import Circuit, UserError
from rdahw.circuit import result_type
from rdahw.primitives import PRIMITIVES
from rdahw.tracing import Builder, Wire, constant
from rdahw.types import Type, Words

#: Makes the wire that takes the place of an assignment's result.
_Change = Callable[[Builder, list[Wire]], Wire]


# -- circuits ----------------------------------------------------------------------------------------------------------


def mutated_circuits(circuit: Circuit) -> Iterator[tuple[str, Circuit]]:
    """The circuit with one thing changed: the wiring or the bits of an output, or one assignment."""
    for text, change in _output_changes(circuit):
        if (changed := _with_outputs(circuit, change)) is not None:
            yield text, changed
    for number, assignment in circuit.wires():
        for text, change in _assignment_changes(circuit, number):
            if (changed := _with_assignment(circuit, number, change)) is not None:
                yield f"%{number} = {assignment.primitive}: {text}", changed


def _output_changes(circuit: Circuit) -> Iterator[tuple[str, Callable[[list[Wire]], None]]]:
    names, types = circuit.output_names, circuit.output_types

    def zero(k: int) -> Callable[[list[Wire]], None]:
        return lambda wires: wires.__setitem__(k, constant(wires[k].builder, 0, wires[k].type))

    def flip(k: int, bit: int) -> Callable[[list[Wire]], None]:
        return lambda wires: wires.__setitem__(k, _plus_bit(wires[k], bit))

    def rotate(k: int) -> Callable[[list[Wire]], None]:
        return lambda wires: wires.__setitem__(k, wires[k].gather([*range(1, len(wires[k])), 0]))

    def swap(a: int, b: int) -> Callable[[list[Wire]], None]:
        return lambda wires: wires.__setitem__(slice(None), _swapped(wires, a, b))

    for k, (name, type_) in enumerate(zip(names, types, strict=True)):
        yield f"{name} is 0", zero(k)
        yield f"bit 0 of {name} complemented", flip(k, 0)
        if type_.width > 1:
            yield f"bit {type_.width - 1} of {name} complemented", flip(k, type_.width - 1)
        if type_.width > (type_.bits if isinstance(type_, Words) else 1):
            yield f"{name} rotated by a {'word' if isinstance(type_, Words) else 'bit'}", rotate(k)
    for a, b in combinations(range(len(names)), 2):
        if types[a] == types[b]:
            yield f"{names[a]} and {names[b]} swapped", swap(a, b)


def _assignment_changes(circuit: Circuit, number: int) -> Iterator[tuple[str, _Change]]:
    primitive, reads, attributes = circuit.assignments[number - len(circuit.inputs)]
    types, result = [circuit.types[i] for i in reads], circuit.types[number]

    def apply(name: str, order: Sequence[int], given: Sequence[Any]) -> _Change:
        return lambda builder, wires: builder.apply(name, *(wires[reads[i]] for i in order), attributes=given)

    everything = list(range(len(reads)))
    if primitive != "const":
        yield "its result is 0", lambda builder, wires: constant(builder, 0, result)
    for other in PRIMITIVES:
        if other in (primitive, "const"):  # which has no operands
            continue
        given = next((given for given in ((), tuple(attributes)) if _fits(other, types, given, result)), None)
        if given is not None:
            yield f"{other} instead", apply(other, everything, given)
    if types == [result]:
        yield "its operand instead", lambda builder, wires: wires[reads[0]]
    for a, b in combinations(everything, 2):
        if types[a] == types[b] and reads[a] != reads[b] and not _commutes(primitive, types, attributes, a, b):
            yield f"operands {a} and {b} swapped", apply(primitive, _swapped(everything, a, b), attributes)
    for given in mutated_attributes(primitive, types, attributes, result):
        yield f"attributes {given} for {tuple(attributes)}", apply(primitive, everything, given)


def mutated_attributes(
    primitive: str, types: Sequence[Type], attributes: Sequence[Any], result: Type
) -> Iterator[tuple[Any, ...]]:
    """Attributes that are one off or rotated by one, or a window shifted by one, where the law gives the same type."""
    attributes = tuple(attributes)
    found: list[tuple[Any, ...]] = []
    for k, value in enumerate(attributes):
        near: list[Any] = []
        if type(value) is int:
            near = [value + 1, value - 1]
        elif isinstance(value, tuple):
            near = [(*value[1:], value[0])]
        found += [(*attributes[:k], other, *attributes[k + 1 :]) for other in near]
    if len(attributes) > 1 and all(type(value) is int for value in attributes):
        found += [tuple(value + step for value in attributes) for step in (1, -1)]
    for given in dict.fromkeys(found):
        if given != attributes and _fits(primitive, types, given, result):
            yield given


def _fits(primitive: str, types: Sequence[Type], attributes: Sequence[Any], result: Type) -> bool:
    try:
        return result_type(primitive, types, tuple(attributes)) == result
    except UserError:
        return False


def _commutes(primitive: str, types: Sequence[Type], attributes: Sequence[Any], a: int, b: int) -> bool:
    """Whether the meaning is the same with two operands swapped, on operands that would show it."""
    meaning = PRIMITIVES[primitive].evaluate
    if meaning is None:
        return False
    random = np.random.default_rng(0)
    operands = [random.integers(0, 2, (256, type_.width), np.uint8) for type_ in types]
    swapped = _swapped(operands, a, b)
    return bool(np.array_equal(meaning(*operands, *attributes), meaning(*swapped, *attributes)))


def _swapped(items: Sequence[Any], a: int, b: int) -> list[Any]:
    result = list(items)
    result[a], result[b] = result[b], result[a]
    return result


def _plus_bit(wire: Wire, bit: int) -> Wire:
    """The wire with so much added that this bit, and at most others of its word, are complemented."""
    ring = wire.type.ring
    return wire.builder.apply(
        ring.addition, wire, constant(wire.builder, 1 << bit, wire.type), attributes=ring.attributes
    )


def _with_outputs(circuit: Circuit, change: Callable[[list[Wire]], None]) -> Circuit | None:
    builder = Builder()
    wires = builder.inline(circuit, [builder.input(name, type_) for name, type_ in circuit.inputs])
    try:
        change(wires)
    except UserError:
        return None
    return builder.finish(dict(zip(circuit.output_names, wires, strict=True)))


def _with_assignment(circuit: Circuit, number: int, change: _Change) -> Circuit | None:
    builder = Builder()
    wires = [builder.input(name, type_) for name, type_ in circuit.inputs]
    for at, (primitive, reads, attributes) in circuit.wires():
        if at == number:
            try:
                wires.append(change(builder, wires))
            except UserError:
                return None
        else:
            wires.append(builder.apply(primitive, *(wires[i] for i in reads), attributes=attributes))
    return builder.finish({name: wires[i] for name, i in circuit.outputs})


# -- rows of the hardware table ----------------------------------------------------------------------------------------

#: A row of :data:`rdahw.hdl.circuit.ROWS`.
Row = Callable[..., Any]


def mutated_rows(
    row: Row, types: Sequence[Type], result: Type, attributes: Sequence[Any], name: str
) -> Iterator[tuple[str, Row]]:
    """The row with one thing changed: its result, an operand or an attribute. ``name`` is that of its primitive."""
    for text, changed in _row_changes(row, types, result, attributes, name):
        try:
            changed(*(Signal(type_.width) for type_ in types), *attributes)
        except (TypeError, IndexError):  # Amaranth refuses it
            continue
        yield text, changed


def _row_changes(
    row: Row, types: Sequence[Type], result: Type, attributes: Sequence[Any], name: str
) -> Iterator[tuple[str, Row]]:
    width, count = result.width, len(types)

    def on_result(change: Callable[[Any], Any]) -> Row:
        return lambda *given: change(row(*given))

    def on_operands(change: Callable[[list[Any]], list[Any]]) -> Row:
        return lambda *given: row(*change(list(given[:count])), *given[count:])

    def on_operand(k: int, change: Callable[[Any], Any]) -> Row:
        return on_operands(lambda values: [*values[:k], change(values[k]), *values[k + 1 :]])

    yield "the result is 0", on_result(lambda value: value & 0)
    yield "bit 0 of the result complemented", on_result(lambda value: value ^ 1)
    if width > 1:
        yield f"bit {width - 1} of the result complemented", on_result(lambda value: value ^ (1 << width - 1))
        yield "the top bit of the result dropped", on_result(lambda value: value[: width - 1])
        yield "the result rotated by a bit", on_result(lambda value: Cat(value[1:width], value[0]))
    for k, type_ in enumerate(types):
        yield f"operand {k} complemented", on_operand(k, lambda value: (~value)[: len(value)])
        if type_.width > 1:
            yield f"operand {k} rotated by a bit", on_operand(k, lambda value: Cat(value[1:], value[0]))
    if types:
        yield "operands read as signed", on_operands(lambda values: [value.as_signed() for value in values])
    for a, b in combinations(range(count), 2):
        if types[a] == types[b]:
            yield f"operands {a} and {b} swapped", on_operands(lambda values, a=a, b=b: _swapped(values, a, b))
    for given in mutated_attributes(name, types, attributes, result):
        yield f"attributes {given} for {tuple(attributes)}", lambda *values, given=given: row(*values[:count], *given)
