"""Circuits with state: Mealy machines as data, and the combinators that make them.

A machine reads a symbol at every step, writes one, and keeps a state. Its meaning is a *causal* map of sequences: the
output of a step depends on the symbols up to that step only. Sprunger and Katsumata, *Differentiable Causal
Computations via Delayed Trace*, arXiv 1903.01093. :mod:`rdahw.machine_derivative` has the derivatives.

>>> from rdahw import Bits
>>> running_parity = trace_machine(lambda s, x: (s ^ x, s ^ x), state={"s": Bits(1)}, x=Bits(1))
>>> print(running_parity)
machine parameters=0 initial=0:
circuit (s: Bits(1), x: Bits(1)) -> (next_s: Bits(1), y: Bits(1)):
  %2: Bits(1) = xor(s, x)
  return next_s=%2, y=%2
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rdahw.circuit import Circuit, Port
from rdahw.combinators import port_names
from rdahw.errors import UserError
from rdahw.tracing import Builder, Wire
from rdahw.types import Type, shown

__all__ = ["Machine", "assemble", "delay", "feedback", "lift", "sequence", "tensor", "trace_machine", "unroll"]


@dataclass(frozen=True, slots=True)
class Machine:
    """``step : Θ × S × X → S × Y`` and an initial state.

    The first ``parameters`` inputs of ``step`` are the parameters Θ, the same at every step; the next ones are the
    state, as many as ``initial`` has numbers, and the rest the symbol that is read. The first outputs are the next
    state, the rest the symbol that is written. ``initial`` holds the bits of each state port at the first step as a
    number, bit 0 being the least significant. ``>>`` and ``@`` put machines in sequence and side by side.

    Raises :class:`UserError` if the next state has other types than the state, or a number does not fit its port.
    """

    step: Circuit
    initial: tuple[int, ...] = ()
    parameters: int = 0

    def __post_init__(self) -> None:
        ports = self.step.inputs
        if type(self.parameters) is not int or not 0 <= self.parameters <= len(ports) - len(self.initial):
            raise UserError(
                f"{shown(self.parameters)} parameters and {len(self.initial)} initial values were given for a step of "
                f"{len(ports)} inputs; expected at most as many as it has inputs"
            )
        state = tuple(port.type for port in self.states)
        if (found := self.step.output_types[: len(state)]) != state:
            raise UserError(
                f"the next state is ({', '.join(map(str, found))}); expected the types of the state, "
                f"({', '.join(map(str, state))}), as the first outputs of the step"
            )
        for (name, type_), value in zip(self.states, self.initial, strict=True):
            if type(value) is not int or not 0 <= value < 1 << type_.width:
                raise UserError(
                    f"state {name!r} starts with {shown(value)}; expected a whole number of {type_.width} bits"
                )

    @property
    def parameter_ports(self) -> tuple[Port, ...]:
        """The inputs of ``step`` that are parameters."""
        return self.step.inputs[: self.parameters]

    @property
    def states(self) -> tuple[Port, ...]:
        """The inputs of ``step`` that are the state."""
        return self.step.inputs[self.parameters : self.parameters + len(self.initial)]

    @property
    def inputs(self) -> tuple[Port, ...]:
        """The inputs of ``step`` that are the symbol that is read."""
        return self.step.inputs[self.parameters + len(self.initial) :]

    @property
    def outputs(self) -> tuple[Port, ...]:
        """The outputs of ``step`` that are the symbol that is written."""
        names, types = self.step.output_names, self.step.output_types
        return tuple(map(Port, names, types))[len(self.initial) :]

    def __rshift__(self, other: Machine) -> Machine:
        return sequence(self, other)

    def __matmul__(self, other: Machine) -> Machine:
        return tensor(self, other)

    # -- text and JSON -------------------------------------------------------------------------------------------------

    def __str__(self) -> str:
        initial = ",".join(format(value, "x") for value in self.initial)
        return f"machine parameters={self.parameters} initial={initial}:\n{self.step}"

    @staticmethod
    def parse(text: str) -> Machine:
        """The machine that prints as ``text``, with initial values in hexadecimal; raises :class:`UserError`."""
        head, _, rest = text.lstrip().partition("\n")
        found = re.fullmatch(r"machine parameters=([0-9]{1,9}) initial=((?:[0-9a-f]+(?:,[0-9a-f]+)*)?):", head.rstrip())
        if not found:
            raise UserError(
                f"the text begins with {shown(head)}; expected a line like «machine parameters=1 initial=0,2:»"
            )
        return Machine(Circuit.parse(rest), tuple(int(part, 16) for part in found[2].split(",") if part), int(found[1]))

    def to_json(self) -> dict[str, Any]:
        """The machine as plain JSON values; :meth:`from_json` is its inverse."""
        return {
            "step": self.step.to_json(),
            "initial": [format(value, "x") for value in self.initial],
            "parameters": self.parameters,
        }

    @staticmethod
    def from_json(value: Any) -> Machine:
        """The machine that :meth:`to_json` made ``value`` from; safe on untrusted values. Raises :class:`UserError`."""
        try:
            step, initial, parameters = value["step"], list(value["initial"]), value["parameters"]
        except (TypeError, KeyError) as error:
            why = f"{type(error).__name__}: {error}"
            raise UserError(f"the value is not a machine ({why}); expected one from to_json") from None
        for number in initial:
            if not (isinstance(number, str) and re.fullmatch("[0-9a-f]+", number)):
                raise UserError(f"an initial value is {shown(number)}; expected hexadecimal digits, lower case")
        return Machine(Circuit.from_json(step), tuple(int(number, 16) for number in initial), parameters)


# -- from Python functions ---------------------------------------------------------------------------------------------


def trace_machine(
    function: Callable[..., Any],
    /,
    *,
    state: Mapping[str, Type],
    initial: Mapping[str, int] | None = None,
    parameters: Mapping[str, Type] | None = None,
    **inputs: Type,
) -> Machine:
    """The machine that ``function`` computes at each step.

    ``function`` takes the wires of ``parameters``, ``state`` and ``inputs`` in order, and returns two results: the next
    state (a wire, or a sequence of one for each state port), and the outputs as for :func:`rdahw.trace`. ``initial``
    has the number that the bits of a state port start with, by default 0.

    Raises :class:`UserError` if it returns something else.
    """
    if not all(isinstance(value, Mapping) for value in (state, initial or {})):
        raise UserError(
            f"state is {shown(state)} and initial {shown(initial)}; expected the type and the first number of each "
            'name, such as state={"s": Bits(2)} and initial={"s": 3}'
        )
    builder, first = Builder(), dict(initial or {})
    ports = {**(parameters or {}), **state, **inputs}
    if len(ports) < len(parameters or ()) + len(state) + len(inputs):
        raise UserError("a name is used for two of parameters, state and inputs; give each its own")
    if unknown := [name for name in first if name not in state]:
        raise UserError(f"an initial value is given for {unknown[0]!r}; expected names of the state")
    result = function(*(builder.input(name, type_) for name, type_ in ports.items()))
    if not isinstance(result, Sequence) or len(result) != 2:
        raise UserError(f"the traced function returned {shown(result)}; expected the next state and the outputs")
    following, written = result
    following = [following] if isinstance(following, Wire) else following
    if len(following) != len(state):
        raise UserError(f"the traced function returned {len(following)} next states; expected {len(state)}")
    if isinstance(written, Wire):
        written = {"y": written}
    elif isinstance(written, Sequence):
        written = {f"y{i}": wire for i, wire in enumerate(written)}
    outputs = {unused(f"next_{name}", written): wire for name, wire in zip(state, following, strict=True)}
    step = builder.finish({**outputs, **written})
    return Machine(step, tuple(first.get(name, 0) for name in state), len(parameters or ()))


def unused(name: str, taken: Mapping[str, Any] | Sequence[str]) -> str:
    """``name``, with _ behind while it is taken."""
    while name in taken:
        name += "_"
    return name


# -- combinators -------------------------------------------------------------------------------------------------------

_Body = Callable[[Builder, list[Wire], list[Wire], list[Wire]], tuple[Sequence[Wire], Sequence[Wire]]]


def assemble(
    parameters: Sequence[Type], states: Sequence[Type], initial: Sequence[int], inputs: Sequence[Type], body: _Body
) -> Machine:
    """A machine on ports of these types, named ``theta``, ``s``, ``x`` and ``y``, with numbers if there are several.
    ``body`` makes the next state and the outputs from the builder and the wires of each kind."""
    builder = Builder()
    wires = [
        [builder.input(name, type_) for name, type_ in zip(port_names(letter, len(types)), types, strict=True)]
        for letter, types in (("theta", parameters), ("s", states), ("x", inputs))
    ]
    following, written = body(builder, *wires)
    outputs = dict(zip(port_names("next_s", len(following)), following, strict=True))
    outputs.update(zip(port_names("y", len(written)), written, strict=True))
    return Machine(builder.finish(outputs), tuple(initial), len(parameters))


def _types(ports: Sequence[Port]) -> list[Type]:
    return [port.type for port in ports]


def _check_machine(value: object) -> None:
    if not isinstance(value, Machine):
        raise UserError(
            f"a machine was to be joined with {shown(value)}; expected a machine, which rdahw.machine.lift makes of a "
            "circuit"
        )


def lift(circuit: Circuit, parameters: int = 0) -> Machine:
    """The machine without state that applies ``circuit`` at every step; its first inputs are ``parameters``.

    Raises :class:`UserError` for anything but a circuit.
    """
    if not isinstance(circuit, Circuit):
        raise UserError(f"lift was given {shown(circuit)}; expected a circuit, as only a circuit has no state yet")
    return Machine(circuit, (), parameters)


def delay(type_: Type, initial: int = 0) -> Machine:
    """The machine that writes at each step what it read at the step before, at the first step ``initial``."""
    return assemble([], [type_], [initial], [type_], lambda _, theta, s, x: (x, s))


def sequence(f: Machine, g: Machine) -> Machine:
    """``f >> g``: g reads at each step what f writes. Raises :class:`UserError` if their types do not agree."""
    _check_machine(g)
    if (given := _types(f.outputs)) != (taken := _types(g.inputs)):
        raise UserError(
            f"machines cannot be joined: one writes ({', '.join(map(str, given))}), "
            f"the next reads ({', '.join(map(str, taken))}); the types must agree"
        )

    def body(builder: Builder, theta: list[Wire], s: list[Wire], x: list[Wire]) -> tuple[list[Wire], list[Wire]]:
        first, second = f.parameters, len(f.initial)
        middle = builder.inline(f.step, [*theta[:first], *s[:second], *x])
        last = builder.inline(g.step, [*theta[first:], *s[second:], *middle[second:]])
        return [*middle[:second], *last[: len(g.initial)]], last[len(g.initial) :]

    return assemble(
        [*_types(f.parameter_ports), *_types(g.parameter_ports)],
        [*_types(f.states), *_types(g.states)],
        [*f.initial, *g.initial],
        _types(f.inputs),
        body,
    )


def tensor(f: Machine, g: Machine) -> Machine:
    """``f @ g``: f and g side by side, each with symbols of its own."""
    _check_machine(g)

    def body(builder: Builder, theta: list[Wire], s: list[Wire], x: list[Wire]) -> tuple[list[Wire], list[Wire]]:
        first, second, third = f.parameters, len(f.initial), len(f.inputs)
        upper = builder.inline(f.step, [*theta[:first], *s[:second], *x[:third]])
        lower = builder.inline(g.step, [*theta[first:], *s[second:], *x[third:]])
        count = len(g.initial)
        return [*upper[:second], *lower[:count]], [*upper[second:], *lower[count:]]

    return assemble(
        [*_types(f.parameter_ports), *_types(g.parameter_ports)],
        [*_types(f.states), *_types(g.states)],
        [*f.initial, *g.initial],
        [*_types(f.inputs), *_types(g.inputs)],
        body,
    )


def feedback(f: Machine, *initial: int) -> Machine:
    """The delayed trace of ``f : A × X → A × Y``, a machine that reads X and writes Y: what f writes on its first ports
    is read on its first ports at the next step. ``initial`` has the number that each of these ports reads at the first
    step (arXiv 1903.01093, section 3).

    Raises :class:`UserError` if these ports have different types.
    """
    count = len(initial)
    if (written := _types(f.outputs)[:count]) != (read := _types(f.inputs)[:count]) or len(read) < count:
        raise UserError(
            f"({', '.join(map(str, written))}) is written on the first {count} ports and ({', '.join(map(str, read))}) "
            "read; expected the same types, to feed one back to the other"
        )

    def body(builder: Builder, theta: list[Wire], s: list[Wire], x: list[Wire]) -> tuple[list[Wire], list[Wire]]:
        own = len(f.initial)
        outputs = builder.inline(f.step, [*theta, *s[:own], *s[own:], *x])
        return outputs[: own + count], outputs[own + count :]

    states = [*_types(f.states), *read]
    return assemble(_types(f.parameter_ports), states, [*f.initial, *initial], _types(f.inputs)[count:], body)


def unroll(machine: Machine, steps: int) -> Circuit:
    """``Θ × S × Xᵀ → Yᵀ × S``: ``steps`` steps of the machine as one circuit, from any state.

    Inputs and outputs have the machine's names, those of a step t followed by ``_t``; the last outputs are the state
    after the last step. Raises :class:`UserError` for less than one step, and for anything but a machine.
    """
    if not isinstance(machine, Machine):
        raise UserError(
            f"unroll was given {shown(machine)}; expected a machine, which rdahw.machine.lift makes of a circuit"
        )
    if type(steps) is not int or steps < 1:
        raise UserError(f"{shown(steps)} steps were asked for; expected a whole number, at least 1")
    builder = Builder()
    theta = [builder.input(name, type_) for name, type_ in machine.parameter_ports]
    state = [builder.input(name, type_) for name, type_ in machine.states]
    taken = [port.name for port in (*machine.parameter_ports, *machine.states)]
    symbols: list[list[Wire]] = []
    for t in range(steps):
        symbols.append([])
        for name, type_ in machine.inputs:
            taken.append(unused(f"{name}_{t}", taken))
            symbols[t].append(builder.input(taken[-1], type_))
    count, outputs = len(machine.initial), dict[str, Wire]()
    for t, x in enumerate(symbols):
        written = builder.inline(machine.step, [*theta, *state, *x])
        state = written[:count]
        for port, wire in zip(machine.outputs, written[count:], strict=True):
            outputs[unused(f"{port.name}_{t}", outputs)] = wire
    for name, wire in zip(machine.step.output_names, state, strict=False):
        outputs[unused(name, outputs)] = wire
    return builder.finish(outputs)
