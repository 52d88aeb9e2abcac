"""The circuit as data: named inputs, a flat list of assignments to numbered wires, named outputs.

A circuit ``f : A1 × … × An → B1 × … × Bm`` is immutable and checked when it is made: every operand is an earlier wire
and every assignment obeys its primitive's type rule, so a circuit has no cycle and each wire has one driver. Wires 0 to
n-1 are the inputs; assignment k drives wire n + k. :mod:`rdahw.notation` writes and reads circuits as text and JSON.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from rdahw.errors import UserError, nearest
from rdahw.primitives import PRIMITIVES, Primitive
from rdahw.types import MAX_WIDTH, Bits, Switches, Type, shown

if TYPE_CHECKING:
    from rdahw.tracing import Wire

__all__ = ["Assignment", "Block", "Circuit", "Port"]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
#: The most levels of nested blocks, so that an untrusted file cannot exhaust the stack.
MAX_DEPTH = 16
#: The most gates in a block with its nested blocks: these multiply, so that a small file could exhaust the memory.
_MAX_GATES = 1 << 24


class Port(NamedTuple):
    """A named input and its type."""

    name: str
    type: Type


class Assignment(NamedTuple):
    """The driver of a wire: a primitive, the numbers of the wires that it reads, its attributes in the row's order."""

    primitive: str
    operands: tuple[int, ...]
    attributes: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Block:
    """A map with a declared reverse derivative; made by :func:`rdahw.custom_reverse`.

    forward: ``f : A1 × … × An → B``.
    reverse: ``r : A1 × … × An × B → A1 × … × An``, linear in its last input.
    exact: ``r`` is the Boolean difference of ``f``; otherwise it is a declared surrogate.
    depth: the levels of nested blocks, including this one.
    gates: the number of assignments in both circuits, with those of nested blocks at each use.
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
        cotangents = tuple(type_.tangent for type_ in given)
        if len(self.forward.outputs) != 1:
            raise UserError(
                f"block {self.name!r} has {len(self.forward.outputs)} outputs; expected one (concatenate them)"
            )
        expected = (*given, self.forward.output_types[0].tangent), cotangents
        if (found := (self.reverse.input_types, self.reverse.output_types)) != expected:
            raise UserError(
                f"the reverse of block {self.name!r} is {_signature(*found)}; "
                f"expected {_signature(*expected)}: the operands and dy to one cotangent per operand"
            )
        gates = (*self.forward.assignments, *self.reverse.assignments)
        inner: list[Block] = [gate.attributes[0] for gate in gates if gate.primitive == "custom"]
        object.__setattr__(self, "depth", 1 + max((block.depth for block in inner), default=0))
        if self.depth > MAX_DEPTH:
            raise UserError(f"block {self.name!r} has {self.depth} levels of blocks; expected at most {MAX_DEPTH}")
        object.__setattr__(self, "gates", len(gates) + sum(block.gates for block in inner))
        if self.gates > _MAX_GATES:
            raise UserError(f"block {self.name!r} expands to {self.gates} gates; expected at most {_MAX_GATES}")


def _signature(inputs: Sequence[Type], outputs: Sequence[Type]) -> str:
    return f"({', '.join(map(str, inputs))}) -> ({', '.join(map(str, outputs))})"


@dataclass(frozen=True, slots=True)
class Circuit:
    """``f : A1 × … × An → B1 × … × Bm``: inputs, assignments, and outputs as (name, wire number).

    Two circuits are equal if their names, assignments and order are. Calling a circuit on symbolic wires inlines it
    into the trace of those wires. ``>>`` and ``@`` compose circuits in sequence and side by side
    (:mod:`rdahw.combinators`).

    Raises :class:`UserError` if a name is not an identifier or is used twice, if an operand is not an earlier wire, or
    if a type rule is violated.
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
        # Blocks are keys of dictionaries while tracing; hashing all assignments each time would be slow.
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
        """Each assignment with the number of the wire that it drives, in order."""
        return enumerate(self.assignments, start=len(self.inputs))

    def renamed(self, inputs: Sequence[str] | None = None, outputs: Sequence[str] | None = None) -> Circuit:
        """The same circuit with other names, given in order; by default they stay."""
        new_inputs = zip(inputs or self.input_names, self.input_types, strict=True)
        new_outputs = zip(outputs or self.output_names, (wire for _, wire in self.outputs), strict=True)
        return Circuit(tuple(Port(*new) for new in new_inputs), self.assignments, tuple(new_outputs))

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
        """The circuit that :meth:`to_json` made ``value`` from; safe on untrusted values. Raises :class:`UserError`."""
        from rdahw.notation import from_json

        return from_json(value)


def result_type(primitive: str, operands: Sequence[Type], attributes: Sequence[Any]) -> Type:
    """The type of the wire that ``primitive`` drives from operands of these types; raises :class:`UserError` if its
    attributes or operands are invalid."""
    row = find_primitive(primitive)
    if len(attributes) != len(row.attributes):
        names = ", ".join(row.attributes) or "none"
        raise UserError(f"{len(attributes)} attributes were given; expected {names}")
    for name, value in zip(row.attributes, attributes, strict=True):
        if not _ATTRIBUTES[name].valid(value):
            raise UserError(f"{name} is {shown(value)}; expected {_ATTRIBUTES[name].expected}")
    if row.signed is not None and any(isinstance(type_, Switches) for type_ in operands):
        return _of_switches(row, operands, attributes)
    return row.type_rule(*operands, *attributes)


def _of_switches(row: Primitive, operands: Sequence[Type], attributes: Sequence[Any]) -> Switches:
    """The type rule on switches: that on as many bits."""
    if len({type_.bits if isinstance(type_, Switches) else 0 for type_ in operands}) > 1:
        raise UserError(
            f"operands of types {', '.join(map(str, operands))} were given; expected all switches, with words of as "
            "many bits; as_switches() casts bits"
        )
    found = row.type_rule(*(Bits(type_.width) for type_ in operands), *attributes)
    return Switches(found.width, operands[0].tangent.bits)  # type: ignore[union-attr]


def find_primitive(primitive: str) -> Primitive:
    """The row of this name in the table; raises :class:`UserError` if there is none."""
    row = PRIMITIVES.get(primitive)
    if row is None:
        raise UserError(f"there is no primitive {shown(primitive)}; {nearest(primitive, PRIMITIVES)}")
    return row


# -- attributes: valid values ------------------------------------------------------------------------------------------


class _Attribute(NamedTuple):
    valid: Callable[[Any], bool]
    expected: str


def is_wire(value: Any, wires: int) -> bool:
    """Whether ``value`` is the number of one of the first ``wires`` wires (and not a bool)."""
    return type(value) is int and 0 <= value < wires


def _is_number(value: Any) -> bool:
    return type(value) is int and 0 <= value <= MAX_WIDTH


_NUMBER = _Attribute(_is_number, f"a whole number from 0 to {MAX_WIDTH}")
_ATTRIBUTES: Mapping[str, _Attribute] = {
    "value": _Attribute(lambda v: type(v) is int and v >= 0, "a whole number, not negative"),
    **dict.fromkeys(("width", "start", "stop", "times", "bits", "count", "tables", "by", "limit"), _NUMBER),
    "indices": _Attribute(
        lambda v: isinstance(v, tuple) and bool(v) and all(map(_is_number, v)), "a tuple of bit numbers, at least one"
    ),
    "semiring": _Attribute(lambda v: isinstance(v, str), "the name of a semiring"),
    "block": _Attribute(lambda v: isinstance(v, Block), "a block"),
}
