"""Rewriting circuits."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from rdahw.circuit import Assignment, Circuit
from rdahw.errors import UserError, nearest
from rdahw.primitives import CORE, LOWERED, PRIMITIVES, Array, Primitive
from rdahw.tracing import Builder, Wire, constant
from rdahw.types import Type

__all__ = ["bind", "constants", "expand", "replay", "to_rows"]


def replay(circuit: Circuit, rule: Callable[[Assignment, list[Wire]], Wire | None]) -> Circuit:
    """The circuit with each assignment replaced by the wire ``rule(assignment, operands)``, unless that is None."""
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

    Other primitives are replaced by their expansion, blocks by their forward circuit. With the default, the polynomial
    core, the formal derivatives of the result are correct to every order. Blocks lose their declared reverse.
    Operations on switches stay, as the expansions are other polynomials over Z_2^k.

    >>> from rdahw import Bits, trace
    >>> print(expand(trace(lambda a, b: a | b, a=Bits(4), b=Bits(4))))
    circuit (a: Bits(4), b: Bits(4)) -> (y: Bits(4)):
      %2: Bits(4) = xor(a, b)
      %3: Bits(4) = and(a, b)
      %4: Bits(4) = xor(%2, %3)
      return y=%4
    """

    def form(row: Primitive, operands: Sequence[Type]) -> Callable[..., Wire] | None:
        on_switches = row.signed is not None and any(type_ != type_.tangent for type_ in operands)
        return None if on_switches else row.expansion

    return _rewritten(circuit, keep, form)


def to_rows(circuit: Circuit, rows: Collection[str] = LOWERED) -> Circuit:
    """The same function for a back end: in the primitives that it has ``rows`` for and those of the polynomial core of
    Z2, with other primitives of words lowered to bits between casts.

    The result is for evaluation only: there is no derivative through a cast.

    >>> from rdahw import Words, trace
    >>> print(to_rows(trace(lambda a, b: a + b, a=Words(3, 1), b=Words(3, 1))))
    circuit (a: Words(3, 1), b: Words(3, 1)) -> (y: Words(3, 1)):
      %2: Bits(3) = to_bits(a)
      %3: Bits(3) = to_bits(b)
      %4: Bits(3) = xor(%2, %3)
      %5: Words(3, 1) = to_words(%4, bits=1)
      return y=%5
    """
    return _rewritten(circuit, rows, lambda row, _: row.lowering or row.expansion)


def _rewritten(
    circuit: Circuit,
    keep: Collection[str],
    form: Callable[[Primitive, Sequence[Type]], Callable[..., Wire] | None],
) -> Circuit:
    """The circuit with each primitive outside ``keep`` replaced by ``form`` of its row and operand types, if there
    is one."""

    def found(primitive: str, operands: Sequence[Type]) -> Callable[..., Wire] | None:
        return None if primitive in keep else form(PRIMITIVES[primitive], operands)

    def rule(assignment: Assignment, operands: list[Wire]) -> Wire | None:
        rewrite = found(assignment.primitive, [wire.type for wire in operands])
        return None if rewrite is None else rewrite(*operands, *assignment.attributes)

    # Repeated, as a form may itself use such primitives (a block's forward circuit can).
    while any(found(a.primitive, [circuit.types[i] for i in a.operands]) for a in circuit.assignments):
        circuit = replay(circuit, rule)
    return circuit


def output_to_input(circuit: Circuit, output: str) -> Circuit:
    """The circuit without this output; its wire becomes the last input, with the output's name.

    ``circuit`` is the result composed with a circuit that computes the output, so a pipeline register can go between.
    """
    if output not in circuit.output_names or len(circuit.outputs) < 2:
        raise UserError(f"the circuit has no output {output!r} beside others; {nearest(output, circuit.output_names)}")
    at = dict(circuit.outputs)[output]
    builder = Builder()
    wires = [builder.input(name, type_) for name, type_ in circuit.inputs]
    register = builder.input(output, circuit.types[at])
    if at < len(wires):
        wires[at] = register
    for number, (primitive, operands, attributes) in circuit.wires():
        if number == at:
            wires.append(register)
        else:
            wires.append(builder.apply(primitive, *(wires[i] for i in operands), attributes=attributes))
    return builder.finish({name: wires[i] for name, i in circuit.outputs if name != output})


def constants(circuit: Circuit, **values: Array) -> dict[int, Array]:
    """The bits of each wire that depends on no inputs but these ``values``, by its number. Blocks are not followed."""
    known = {i: values[name] for i, name in enumerate(circuit.input_names) if name in values}
    for number, (primitive, operands, attributes) in circuit.wires():
        evaluate = PRIMITIVES[primitive].evaluate
        if evaluate is not None and all(i in known for i in operands):
            known[number] = evaluate(*(known[i] for i in operands), *attributes)
    return known


def bind(circuit: Circuit, **values: Sequence[int]) -> Circuit:
    """The circuit with these inputs as constants: ``bind(f, theta=bits)`` is ``x ↦ f(bits, x)``.

    Each value is the sequence of the input's bits, bit 0 first, also for words. A slice of such an input becomes a
    separate constant, so that the tables of many lookups are not one wide constant.
    """
    given = {}
    for name, bits in values.items():
        if name not in circuit.input_names:
            raise UserError(f"the circuit has no input {name!r}; {nearest(name, circuit.input_names)}")
        width = dict(circuit.inputs)[name].width
        if len(bits) != width or not all(bit in (0, 1) for bit in bits):
            raise UserError(f"input {name!r} was given {len(bits)} values; expected {width} bits, each 0 or 1")
        # Text is converted in linear time: a model may have millions of parameters.
        given[name] = int("".join("1" if bit else "0" for bit in reversed(bits)) or "0", 2)
    builder = Builder()
    free = {name: builder.input(name, type_) for name, type_ in circuit.inputs if name not in given}
    wires = [free[name] if name in free else constant(builder, given[name], type_) for name, type_ in circuit.inputs]
    for primitive, operands, attributes in circuit.assignments:
        name = circuit.input_names[operands[0]] if operands and operands[0] < len(circuit.inputs) else ""
        if primitive == "slice" and name in given:
            start, stop = attributes
            part = given[name] >> start & (1 << stop - start) - 1
            wires.append(builder.apply("const", attributes=(part, stop - start)))
        else:
            wires.append(builder.apply(primitive, *(wires[i] for i in operands), attributes=attributes))
    return builder.finish({name: wires[i] for name, i in circuit.outputs})
