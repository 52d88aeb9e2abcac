"""The derivatives of machines: forwards, by back-propagation through time, and by real-time recurrent learning.

All three are made from the derivatives of one step, without unrolling (Sprunger and Katsumata, arXiv 1903.01093,
sections 4 and 5). They say the same: for a change dx of the inputs and cotangents dy of the outputs, summed over the
steps, ⟨dy, D(x, dx)⟩ = ⟨R(x, dy), dx⟩. Over bits they are formal derivatives, which differ from the Boolean difference
of a sequence more often than those of circuits do, as each step reads the parameters again.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

from rdahw.circuit import Circuit, Port
from rdahw.derivative import forward_derivative, reverse, tangent_names
from rdahw.errors import UserError
from rdahw.machine import Machine, unused
from rdahw.tracing import Builder, Wire, constant, ring_sum
from rdahw.types import Type

__all__ = ["adjoint_machine", "forward_machine", "reverse_machine", "rtrl_machine"]


def forward_machine(machine: Machine) -> Machine:
    """``D[f] : Θ × dΘ × (S × dS) × (X × dX) → dY``: the change of what the machine writes, for a change of what it
    reads at each step and a constant change of its parameters. The changes of the state start with 0."""
    step, count = machine.step, len(machine.initial)
    derivative = forward_derivative(step)
    ports, tangents = step.inputs, derivative.inputs[len(step.inputs) :]
    builder, values, changes = Builder(), list[Wire](), list[Wire]()
    for part in _parts(machine):
        values += [builder.input(name, type_) for name, type_ in ports[part]]
        changes += [builder.input(name, type_) for name, type_ in tangents[part]]
    following = builder.inline(step, values)[:count]
    moved = builder.inline(derivative, [*values, *changes])
    outputs = dict(zip(step.output_names, following, strict=False))
    for name, wire in zip(derivative.output_names, moved, strict=True):
        outputs[unused(name, outputs)] = wire
    return Machine(builder.finish(outputs), (*machine.initial, *[0] * count), 2 * machine.parameters)


def _parts(machine: Machine) -> tuple[slice, slice, slice]:
    """The inputs of a step that are parameters, state and symbol."""
    first = machine.parameters
    second = first + len(machine.initial)
    return slice(first), slice(first, second), slice(second, len(machine.step.inputs))


def adjoint_machine(machine: Machine) -> Machine:
    """The machine of back-propagation through time, to run from the last step to the first:
    ``Θ × (dS × dΘ) × (S × X × dY) → dX × dS × dΘ``.

    At each step it reads the state before that step, the symbol read there and the cotangent of the symbol written
    there. Its state is the cotangent of the machine's state after the step (of what follows the last step 0) and the
    sum of the parameters' cotangents so far. It writes the cotangent of the symbol read, and its next state.
    """
    parameters, states, symbols = _parts(machine)
    step, count = machine.step, len(machine.initial)
    builder = Builder()
    theta = [builder.input(name, type_) for name, type_ in machine.parameter_ports]
    names = tangent_names(step.input_names, step.input_names)
    types = [type_.tangent for type_ in step.input_types]
    ds = [builder.input(name, type_) for name, type_ in zip(names[states], types[states], strict=True)]
    sums = [builder.input(name, type_) for name, type_ in zip(names[parameters], types[parameters], strict=True)]
    read = [builder.input(name, type_) for name, type_ in (*step.inputs[states], *step.inputs[symbols])]
    dy = [
        builder.input(unused(name, [*step.input_names, *names]), port.type.tangent)
        for name, port in zip(tangent_names([p.name for p in machine.outputs], ()), machine.outputs, strict=True)
    ]
    cotangents = builder.inline(reverse(step), [*theta, *read, *ds, *dy])
    before, total = cotangents[states], list(map(ring_sum, sums, cotangents[parameters]))
    state_names = [*names[states], *names[parameters]]
    outputs = {f"next_{name}": wire for name, wire in zip(state_names, [*before, *total], strict=True)}
    for name, wire in zip([*names[symbols], *state_names], [*cotangents[symbols], *before, *total], strict=True):
        outputs[unused(name, outputs)] = wire
    return Machine(builder.finish(outputs), (0,) * (count + len(sums)), machine.parameters)


def reverse_machine(machine: Machine, steps: int) -> Circuit:
    """``Θ × S × Xᵀ × dYᵀ × dS → dΘ × dS × dXᵀ``: back-propagation through time over ``steps`` steps, with the ports of
    ``reverse(unroll(machine, steps))``.

    A circuit of the machine's ``steps`` steps and as many of the adjoint machine, run backwards.
    """
    from rdahw.machine import unroll

    whole, adjoint = unroll(machine, steps), adjoint_machine(machine)
    width, read, written = machine.parameters, len(machine.inputs), len(machine.outputs)
    count = len(machine.initial)
    builder = Builder()
    inputs = [builder.input(name, type_) for name, type_ in whole.inputs]
    names = tangent_names(whole.output_names, whole.input_names)
    seeds = [builder.input(name, type_.tangent) for name, type_ in zip(names, whole.output_types, strict=True)]
    theta, state, x = inputs[:width], inputs[width : width + count], inputs[width + count :]
    passed = []
    for t in range(steps):
        passed.append([*state, *x[t * read : (t + 1) * read]])
        state = builder.inline(machine.step, [*theta, *passed[t]])[:count]
    zeros = [constant(builder, 0, port.type.tangent) for port in machine.parameter_ports]
    backward, dx = [*seeds[steps * written :], *zeros], list[Wire]()
    for t in reversed(range(steps)):
        dy = seeds[t * written : (t + 1) * written]
        results = builder.inline(adjoint.step, [*theta, *backward, *passed[t], *dy])
        backward = results[: len(backward)]
        dx = [*results[len(backward) : len(backward) + read], *dx]
    cotangents = [*backward[count:], *backward[:count], *dx]
    return builder.finish(dict(zip(tangent_names(whole.input_names, ()), cotangents, strict=True)))


def rtrl_machine(machine: Machine) -> Machine:
    """Real-time recurrent learning: ``Θ × (S × J × dΘ) × (X × dY) → dΘ``, the cotangents of the parameters up to and
    including this step, without a history.

    J has, for each state port, its tangent by every element of the parameters (element p of the parameters at elements
    p·n to p·n + n − 1, where n is the number of elements of the port). Raises :class:`UserError` for types whose
    cotangents are of another type, and for a machine without parameters.
    """
    step, count = machine.step, len(machine.initial)
    parameters, states, symbols = _parts(machine)
    for name, type_ in (*step.inputs, *machine.outputs):
        if type_.tangent != type_:
            raise UserError(
                f"port {name!r} is of {type_}, whose cotangents are of {type_.tangent}; expected bits, words or scalars"
            )
    elements = sum(port.type.count for port in machine.parameter_ports)
    if not elements:
        raise UserError("the machine has no parameters; expected at least one to learn")
    builder = Builder()
    theta = [builder.input(name, type_) for name, type_ in machine.parameter_ports]
    state = [builder.input(name, type_) for name, type_ in machine.states]
    names = tangent_names(step.input_names, step.input_names)
    jacobian = [
        builder.input(name, port.type.of(port.type.count * elements))
        for name, port in zip(names[states], machine.states, strict=True)
    ]
    sums = [
        builder.input(name, port.type) for name, port in zip(names[parameters], machine.parameter_ports, strict=True)
    ]
    x = [builder.input(name, type_) for name, type_ in machine.inputs]
    taken = [*step.input_names, *names]
    dy = [
        builder.input(unused(name, taken), port.type)
        for name, port in zip(tangent_names([p.name for p in machine.outputs], ()), machine.outputs, strict=True)
    ]
    following = builder.inline(step, [*theta, *state, *x])[:count]
    derivative = forward_derivative(step, wrt=[*step.input_names[parameters], *step.input_names[states]])
    moved: list[list[Wire]] = [[] for _ in machine.states]
    products = list[Wire]()
    for p, basis in enumerate(_basis(builder, machine.parameter_ports)):
        tangents = [_part(wire, port.type, p) for wire, port in zip(jacobian, machine.states, strict=True)]
        changes = builder.inline(derivative, [*theta, *state, *x, *basis, *tangents])
        for column, change in zip(moved, changes, strict=False):
            column.append(change)
        products.append(reduce(ring_sum, map(_inner, dy, changes[count:])))
    following_j = [column[0].concat(*column) for column in moved]
    at, total = 0, list[Wire]()
    for wire, port in zip(sums, machine.parameter_ports, strict=True):
        total.append(ring_sum(wire, wire.concat(*products[at : at + port.type.count])))
        at += port.type.count
    state_names = [*step.input_names[states], *names[states], *names[parameters]]
    outputs = {f"next_{name}": w for name, w in zip(state_names, [*following, *following_j, *total], strict=True)}
    for name, wire in zip(names[parameters], total, strict=True):
        outputs[unused(name, outputs)] = wire
    initial = (*machine.initial, *[0] * (count + len(sums)))
    return Machine(builder.finish(outputs), initial, machine.parameters)


def _basis(builder: Builder, ports: Sequence[Port]) -> list[list[Wire]]:
    """For each element of the ports the change that is one there and zero elsewhere."""
    found = []
    for i, port in enumerate(ports):
        size = port.type.width // port.type.count
        for element in range(port.type.count):
            values = [(1 << element * size) if k == i else 0 for k in range(len(ports))]
            found.append([constant(builder, v, p.type) for v, p in zip(values, ports, strict=True)])
    return found


def _part(wire: Wire, type_: Type, p: int) -> Wire:
    """Part p of a wire of several such ports."""
    return wire[p * type_.count : (p + 1) * type_.count]


def _inner(a: Wire, b: Wire) -> Wire:
    """⟨a, b⟩: the sum of the products of all elements."""
    ring = a.type.ring
    product = a.builder.apply(ring.multiplication, a, b, attributes=ring.attributes)
    return product.sum(a.type.count)
