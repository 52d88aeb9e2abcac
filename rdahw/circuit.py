"""The circuit as data: named inputs, a flat list of assignments to numbered wires, named outputs.

A circuit ``f : A1 × … × An → B1 × … × Bm`` is immutable and checked when it is made: every operand is an earlier wire
and every assignment obeys its primitive's type law, so a circuit has no cycle and each wire has one driver. Wires 0 to
n-1 are the inputs; assignment k drives wire n + k. It prints as text that :meth:`Circuit.parse` reads back, and
serialises to JSON.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from rdahw.errors import UserError, nearest
from rdahw.primitives import PRIMITIVES, Primitive
from rdahw.types import MAX_WIDTH, Type, shown

if TYPE_CHECKING:
    from rdahw.tracing import Wire

__all__ = ["Assignment", "Block", "Circuit", "Port"]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
#: How deep blocks may hold blocks; a bound, so that a stranger's file cannot exhaust the stack.
MAX_DEPTH = 16
#: How many gates a block may unfold to: blocks of blocks of blocks multiply, so that a small file could ask for all
#: memory.
_MAX_GATES = 1 << 24


class Port(NamedTuple):
    """A named input and its type."""

    name: str
    type: Type


class Assignment(NamedTuple):
    """One wire's driver: a primitive, the numbers of the wires it reads, its attributes in the row's order."""

    primitive: str
    operands: tuple[int, ...]
    attributes: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Block:
    """A map with a reverse derivative of its own; made by :func:`rdahw.custom_reverse`.

    forward: ``f : A1 × … × An → B``.
    reverse: ``r : A1 × … × An × B → A1 × … × An``, linear in its last input.
    exact: ``r`` is the Boolean difference of ``f``; otherwise it is a declared surrogate.
    depth: how many levels of blocks there are, this one included.
    gates: how many assignments both circuits have, those of the blocks in them included at every use.
    """

    name: str
    forward: Circuit
    reverse: Circuit
    exact: bool

    depth: int = field(init=False, compare=False, repr=False)
    gates: int = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        if not (self.name.isprintable() and '"' not in self.name):
            raise UserError(f"a block is named {shown(self.name)}; expected printable text without quotation marks")
        given = self.forward.input_types
        if len(self.forward.outputs) != 1:
            raise UserError(
                f"block {self.name!r} has {len(self.forward.outputs)} outputs; expected one (concatenate them)"
            )
        wanted = (*given, *self.forward.output_types), given
        if (self.reverse.input_types, self.reverse.output_types) != wanted:
            raise UserError(
                f"the reverse of block {self.name!r} is {_signature(*_types(self.reverse))}; "
                f"expected {_signature(*wanted)}: the operands and dy to one cotangent an operand"
            )
        gates = (*self.forward.assignments, *self.reverse.assignments)
        inner: list[Block] = [gate.attributes[0] for gate in gates if gate.primitive == "custom"]
        object.__setattr__(self, "depth", 1 + max((block.depth for block in inner), default=0))
        if self.depth > MAX_DEPTH:
            raise UserError(f"block {self.name!r} holds blocks {self.depth} deep; expected at most {MAX_DEPTH} levels")
        object.__setattr__(self, "gates", len(gates) + sum(block.gates for block in inner))
        if self.gates > _MAX_GATES:
            raise UserError(f"block {self.name!r} unfolds to {self.gates} gates; expected at most {_MAX_GATES}")


def _types(circuit: Circuit) -> tuple[tuple[Type, ...], tuple[Type, ...]]:
    return circuit.input_types, circuit.output_types


def _signature(inputs: Sequence[Type], outputs: Sequence[Type]) -> str:
    return f"({', '.join(map(str, inputs))}) -> ({', '.join(map(str, outputs))})"


@dataclass(frozen=True, slots=True)
class Circuit:
    """``f : A1 × … × An → B1 × … × Bm``: inputs, assignments, and outputs as (name, wire number).

    Equal circuits have equal names, assignments and order. Calling a circuit on symbolic wires inlines it into the
    trace those wires belong to. ``>>`` and ``@`` compose circuits in sequence and side by side
    (:mod:`rdahw.combinators`).

    Raises :class:`UserError` if a name is no identifier or is used twice, if an operand is not an earlier wire, or if a
    type law does not hold.
    """

    inputs: tuple[Port, ...]
    assignments: tuple[Assignment, ...]
    outputs: tuple[tuple[str, int], ...]
    types: tuple[Type, ...] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        self._check_names()
        types = [port.type for port in self.inputs]
        for primitive, operands, attributes in self.assignments:
            try:
                for operand in operands:
                    if not is_wire(operand, len(types)):
                        raise UserError(f"it reads wire {shown(operand)}; expected a wire that is assigned before it")
                types.append(result_type(primitive, [types[operand] for operand in operands], attributes))
            except UserError as error:
                raise UserError(f"wire %{len(types)} = {primitive}: {error}") from None
        for name, wire in self.outputs:
            if not is_wire(wire, len(types)):
                raise UserError(f"output {name!r} is wire {shown(wire)}; expected one from 0 to {len(types) - 1}")
        object.__setattr__(self, "types", tuple(types))

    def __hash__(self) -> int:
        # Blocks are keys of the trace they are used in: the hash of all assignments, every time, would cost too much.
        return hash((self.inputs, self.outputs, len(self.assignments)))

    @classmethod
    def of_checked(
        cls,
        inputs: tuple[Port, ...],
        assignments: tuple[Assignment, ...],
        outputs: tuple[tuple[str, int], ...],
        types: tuple[Type, ...],
    ) -> Circuit:
        """A circuit from assignments that a :class:`rdahw.tracing.Builder` has checked one by one, with their types."""
        circuit = object.__new__(cls)
        for name, value in (("inputs", inputs), ("assignments", assignments), ("outputs", outputs), ("types", types)):
            object.__setattr__(circuit, name, value)
        circuit._check_names()
        return circuit

    def _check_names(self) -> None:
        for kind, names in (("input", [p.name for p in self.inputs]), ("output", [name for name, _ in self.outputs])):
            for name in names:
                if not _NAME.fullmatch(name):
                    raise UserError(
                        f"an {kind} is named {shown(name)}; expected letters, digits and _, not a digit first"
                    )
            if len(set(names)) < len(names):
                twice = next(name for i, name in enumerate(names) if name in names[:i])
                raise UserError(f"two {kind}s are named {shown(twice)}; give each its own name")

    @property
    def input_types(self) -> tuple[Type, ...]:
        """The types of the inputs, in order."""
        return tuple(port.type for port in self.inputs)

    @property
    def output_types(self) -> tuple[Type, ...]:
        """The types of the outputs, in order."""
        return tuple(self.types[wire] for _, wire in self.outputs)

    @property
    def input_names(self) -> tuple[str, ...]:
        """The names of the inputs, in order."""
        return tuple(port.name for port in self.inputs)

    @property
    def output_names(self) -> tuple[str, ...]:
        """The names of the outputs, in order."""
        return tuple(name for name, _ in self.outputs)

    def wires(self) -> Iterator[tuple[int, Assignment]]:
        """Every assignment with the number of the wire it drives, in order."""
        return enumerate(self.assignments, start=len(self.inputs))

    def renamed(self, inputs: Sequence[str] | None = None, outputs: Sequence[str] | None = None) -> Circuit:
        """The same circuit with other names, given in order."""
        new_inputs = tuple(
            Port(name, port.type) for name, port in zip(inputs or self.input_names, self.inputs, strict=True)
        )
        new_outputs = tuple(
            (name, wire) for name, (_, wire) in zip(outputs or self.output_names, self.outputs, strict=True)
        )
        return Circuit(new_inputs, self.assignments, new_outputs)

    def __call__(self, *wires: Wire) -> Any:
        """The outputs (one wire, or a tuple of several) of this circuit inlined on ``wires``."""
        from rdahw.tracing import builder_of

        results = builder_of(*wires).inline(self, wires)
        return results[0] if len(results) == 1 else tuple(results)

    def __rshift__(self, other: Circuit) -> Circuit:
        from rdahw.combinators import sequence

        return sequence(self, other)

    def __matmul__(self, other: Circuit) -> Circuit:
        from rdahw.combinators import tensor

        return tensor(self, other)

    # -- text and JSON: rdahw.notation ---------------------------------------------------------------------------------

    def __str__(self) -> str:
        from rdahw.notation import to_text

        return to_text(self)

    @staticmethod
    def parse(text: str) -> Circuit:
        """The circuit that prints as ``text``; raises :class:`UserError` naming the line that is wrong."""
        from rdahw.notation import parse

        return parse(text)

    def to_json(self) -> dict[str, Any]:
        """The circuit as plain JSON values; :meth:`from_json` is its inverse."""
        from rdahw.notation import to_json

        return to_json(self)

    @staticmethod
    def from_json(value: Any) -> Circuit:
        """The circuit that :meth:`to_json` made ``value`` from; safe on a stranger's value. Raises UserError."""
        from rdahw.notation import from_json

        return from_json(value)


def result_type(primitive: str, operands: Sequence[Type], attributes: Sequence[Any]) -> Type:
    """The type that ``primitive`` gives its wire from operands of these types, after all that is to be checked."""
    row = find_primitive(primitive)
    if len(attributes) != len(row.attributes):
        names = ", ".join(row.attributes) or "none"
        raise UserError(f"{len(attributes)} attributes were given; expected {names}")
    for name, value in zip(row.attributes, attributes, strict=True):
        if not _ATTRIBUTES[name].valid(value):
            raise UserError(f"{name} is {shown(value)}; expected {_ATTRIBUTES[name].expected}")
    return row.type_rule(*operands, *attributes)


def find_primitive(primitive: str) -> Primitive:
    """The row of the table of that name; raises :class:`UserError` if there is none."""
    row = PRIMITIVES.get(primitive)
    if row is None:
        raise UserError(f"there is no such primitive as {shown(primitive)}; {nearest(primitive, PRIMITIVES)}")
    return row


# -- attributes: what each may be --------------------------------------------------------------------------------------


class _Attribute(NamedTuple):
    valid: Callable[[Any], bool]
    expected: str


def is_wire(value: Any, wires: int) -> bool:
    """``value`` is the number of one of the first ``wires`` wires; a bool is none."""
    return type(value) is int and 0 <= value < wires


def _is_number(value: Any) -> bool:
    return type(value) is int and 0 <= value <= MAX_WIDTH


_NUMBER = _Attribute(_is_number, f"a whole number from 0 to {MAX_WIDTH}")
_ATTRIBUTES: Mapping[str, _Attribute] = {
    "value": _Attribute(lambda v: type(v) is int and v >= 0, "a whole number, not negative"),
    "width": _NUMBER,
    "start": _NUMBER,
    "stop": _NUMBER,
    "times": _NUMBER,
    "bits": _NUMBER,
    "count": _NUMBER,
    "tables": _NUMBER,
    "indices": _Attribute(
        lambda v: isinstance(v, tuple) and bool(v) and all(map(_is_number, v)), "a tuple of bit numbers, at least one"
    ),
    "block": _Attribute(lambda v: isinstance(v, Block), "a block"),
}
