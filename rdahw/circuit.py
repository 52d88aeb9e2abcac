"""The circuit as data: named inputs, a flat list of assignments to numbered wires, named outputs.

A circuit ``f : A1 × … × An → B1 × … × Bm`` is immutable and checked when it is made: every operand is an earlier wire
and every assignment obeys its primitive's type law, so a circuit has no cycle and each wire has one driver. Wires 0 to
n-1 are the inputs; assignment k drives wire n + k. It prints as text that :meth:`Circuit.parse` reads back, and
serialises to JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from rdahw.errors import UserError, nearest
from rdahw.primitives import PRIMITIVES, Primitive
from rdahw.types import MAX_WIDTH, Type, parse_type, shown

if TYPE_CHECKING:
    from rdahw.tracing import Wire

__all__ = ["Assignment", "Block", "Circuit", "Port"]

_T = TypeVar("_T")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
#: How deep blocks may hold blocks; a bound, so that a stranger's file cannot exhaust the stack.
_MAX_DEPTH = 16
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
        if self.depth > _MAX_DEPTH:
            raise UserError(f"block {self.name!r} holds blocks {self.depth} deep; expected at most {_MAX_DEPTH} levels")
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
                    if not _is_wire(operand, len(types)):
                        raise UserError(f"it reads wire {shown(operand)}; expected a wire that is assigned before it")
                types.append(result_type(primitive, [types[operand] for operand in operands], attributes))
            except UserError as error:
                raise UserError(f"wire %{len(types)} = {primitive}: {error}") from None
        for name, wire in self.outputs:
            if not _is_wire(wire, len(types)):
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

    # -- text ----------------------------------------------------------------------------------------------------------

    def __str__(self) -> str:
        return "\n".join(_print(self))

    @staticmethod
    def parse(text: str) -> Circuit:
        """The circuit that prints as ``text``; raises :class:`UserError` naming the line that is wrong."""
        lines = [(number, line.rstrip()) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
        circuit, rest = _parse(lines, 0)
        if rest:
            raise _syntax(rest[0], "nothing after the end of the circuit")
        return circuit

    # -- JSON ----------------------------------------------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        """The circuit as plain JSON values; :meth:`from_json` is its inverse."""
        blocks = _blocks(self)
        number = {block: i for i, block in enumerate(blocks)}
        return {
            "inputs": [[port.name, str(port.type)] for port in self.inputs],
            "assignments": [
                [a.primitive, list(a.operands), [v for _, v in _attributes(a, number)]] for a in self.assignments
            ],
            "outputs": [[name, wire] for name, wire in self.outputs],
            "blocks": [
                {
                    "name": block.name,
                    "exact": block.exact,
                    "forward": block.forward.to_json(),
                    "reverse": block.reverse.to_json(),
                }
                for block in blocks
            ],
        }

    @staticmethod
    def from_json(value: Any) -> Circuit:
        """The circuit that :meth:`to_json` made ``value`` from.

        Safe on a stranger's value: it is checked as strictly as a circuit made by hand, and nothing in it is run.
        Raises :class:`UserError`.
        """
        return _from_json(value, 0)


def result_type(primitive: str, operands: Sequence[Type], attributes: Sequence[Any]) -> Type:
    """The type that ``primitive`` gives its wire from operands of these types, after all that is to be checked."""
    row = _row(primitive)
    if len(attributes) != len(row.attributes):
        names = ", ".join(row.attributes) or "none"
        raise UserError(f"{len(attributes)} attributes were given; expected {names}")
    for name, value in zip(row.attributes, attributes, strict=True):
        if not _ATTRIBUTES[name].valid(value):
            raise UserError(f"{name} is {shown(value)}; expected {_ATTRIBUTES[name].expected}")
    return row.law(*operands, *attributes)


def _row(primitive: str) -> Primitive:
    row = PRIMITIVES.get(primitive)
    if row is None:
        raise UserError(f"there is no such primitive as {shown(primitive)}; {nearest(primitive, PRIMITIVES)}")
    return row


# -- attributes: what each may be, and how it is written ---------------------------------------------------------------


class _Attribute(NamedTuple):
    valid: Callable[[Any], bool]
    expected: str


def _is_wire(value: Any, wires: int) -> bool:
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


def _blocks(circuit: Circuit) -> list[Block]:
    """The blocks that the circuit's own assignments use, each once, in order."""
    return list(dict.fromkeys(a.attributes[0] for a in circuit.assignments if a.primitive == "custom"))


def _attributes(assignment: Assignment, blocks: Mapping[Block, int]) -> Iterator[tuple[str, Any]]:
    """The attributes as names and JSON values; constants in hexadecimal, since JSON readers' numbers are narrower."""
    for name, value in zip(PRIMITIVES[assignment.primitive].attributes, assignment.attributes, strict=True):
        if name == "value":
            yield name, format(value, "x")
        elif name == "block":
            yield name, blocks[value]
        else:
            yield name, list(value) if isinstance(value, tuple) else value


def _from_plain(name: str, value: Any, blocks: Sequence[Block]) -> Any:
    if name == "value":
        if not (isinstance(value, str) and re.fullmatch("[0-9a-f]+", value)):
            raise UserError(f"a constant is {shown(value)}; expected a string of hexadecimal digits, lower case")
        return int(value, 16)
    if name == "indices":
        return tuple(value)
    if name == "block":
        if not _is_wire(value, len(blocks)):
            raise UserError(f"block {shown(value)} is used; expected one of the {len(blocks)} that are listed")
        return blocks[value]
    return value


def _typed(kind: type[_T], value: Any) -> _T:
    if not isinstance(value, kind):
        raise TypeError(f"{shown(value)} in place of a {kind.__name__}")
    return value


def _from_json(value: Any, depth: int) -> Circuit:
    if depth > _MAX_DEPTH:
        raise UserError(f"blocks hold blocks more than {_MAX_DEPTH} deep; expected fewer levels")
    try:
        blocks = [
            Block(
                _typed(str, block["name"]),
                _from_json(block["forward"], depth + 1),
                _from_json(block["reverse"], depth + 1),
                _typed(bool, block["exact"]),
            )
            for block in value["blocks"]
        ]
        assignments = []
        for primitive, operands, attributes in value["assignments"]:
            plain = zip(_row(primitive).attributes, _typed(list, attributes), strict=True)
            values = tuple([_from_plain(name, value, blocks) for name, value in plain])
            assignments.append(Assignment(primitive, tuple(_typed(list, operands)), values))
        return Circuit(
            tuple([Port(_typed(str, name), parse_type(text)) for name, text in value["inputs"]]),
            tuple(assignments),
            tuple([(_typed(str, name), wire) for name, wire in value["outputs"]]),
        )
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        why = f"{type(error).__name__}: {error}"
        raise UserError(f"the value is no circuit ({why}); expected one from to_json") from None


# -- printing and parsing ----------------------------------------------------------------------------------------------


def _print(circuit: Circuit) -> Iterable[str]:
    names = dict(enumerate(circuit.input_names))
    blocks = _blocks(circuit)
    number = {block: i for i, block in enumerate(blocks)}

    def wire(i: int) -> str:
        return names.get(i, f"%{i}")

    inputs = ", ".join(f"{name}: {type_}" for name, type_ in circuit.inputs)
    outputs = ", ".join(f"{name}: {circuit.types[i]}" for name, i in circuit.outputs)
    yield f"circuit ({inputs}) -> ({outputs}):"
    for i, assignment in circuit.wires():
        words = [wire(operand) for operand in assignment.operands]
        words += [f"{name}={json.dumps(value)}" for name, value in _attributes(assignment, number)]
        yield f"  %{i}: {circuit.types[i]} = {assignment.primitive}({', '.join(words)})"
    yield f"  return {', '.join(f'{name}={wire(i)}' for name, i in circuit.outputs)}".rstrip()
    for i, block in enumerate(blocks):
        yield f'  block {i} "{block.name}" {"exact" if block.exact else "surrogate"}:'
        for line in (*_print(block.forward), *_print(block.reverse)):
            yield "    " + line


_Line = tuple[int, str]


def _syntax(line: _Line, expected: str) -> UserError:
    return UserError(f"line {line[0]} of the circuit reads {shown(line[1].strip())}; expected {expected}")


def _parse(lines: Sequence[_Line], indent: int) -> tuple[Circuit, Sequence[_Line]]:
    """The circuit that starts at ``lines[0]``, ``indent`` spaces in, and the lines after it."""
    pad = " " * indent
    if not lines:
        raise UserError("the text ends where a circuit should begin; expected a line «circuit (…) -> (…):»")
    if indent > 4 * _MAX_DEPTH:
        raise _syntax(lines[0], f"blocks at most {_MAX_DEPTH} deep")
    head = re.fullmatch(pad + r"circuit \((.*)\) -> \((.*)\):", lines[0][1])
    if not head:
        raise _syntax(lines[0], "«circuit (name: type, …) -> (name: type, …):»")
    inputs = tuple(Port(name, parse_type(type_)) for name, type_ in _pairs(head[1], ": "))
    numbers = {port.name: i for i, port in enumerate(inputs)}
    end = next((k for k, line in enumerate(lines) if line[1].startswith(pad + "  return")), None)
    if end is None:
        raise _syntax(lines[-1], "«return name=wire, …» at the end of the circuit")
    rest: Sequence[_Line] = lines[end + 1 :]
    blocks: list[Block] = []
    while rest and (found := re.fullmatch(pad + r'  block (\d+) "([^"]*)" (exact|surrogate):', rest[0][1])):
        forward, rest = _parse(rest[1:], indent + 4)
        reverse, rest = _parse(rest, indent + 4)
        blocks.append(Block(found[2], forward, reverse, found[3] == "exact"))

    def wire(text: str, line: _Line) -> int:
        if re.fullmatch("%[0-9]{1,18}", text):
            return int(text[1:])
        if text not in numbers:
            raise _syntax(line, f"an input or a wire in place of {shown(text)}")
        return numbers[text]

    assignments: list[Assignment] = []
    for line in lines[1:end]:
        number = str(len(inputs) + len(assignments))
        found = re.fullmatch(pad + r"  %([0-9]+): [^=]+ = (\w+)\((.*)\)", line[1])
        if not found or found[1] != number:
            raise _syntax(line, f"«%{number}: type = primitive(…)»")
        row = PRIMITIVES.get(found[2])
        if row is None:
            raise _syntax(line, f"a primitive; {nearest(found[2], PRIMITIVES)}")
        words = _split(found[3])
        cut = len(words) - len(row.attributes)
        attributes = []
        if cut < 0:
            raise _syntax(line, f"{', '.join(f'{name}=…' for name in row.attributes)}")
        for name, word in zip(row.attributes, words[cut:], strict=True):
            key, _, value = word.partition("=")
            try:
                if key != name:
                    raise ValueError
                attributes.append(_from_plain(name, _from_text(value), blocks))
            except (ValueError, TypeError):
                raise _syntax(line, f"{name}=…") from None
        assignments.append(Assignment(found[2], tuple([wire(w, line) for w in words[:cut]]), tuple(attributes)))
    _, _, returned = lines[end][1].partition("return")
    outputs = tuple((name, wire(word, lines[end])) for name, word in _pairs(returned.strip(), "="))
    circuit = Circuit(inputs, tuple(assignments), outputs)
    # Whatever was read loosely above is compared with the one way to write it.
    printed = list(_print(circuit))
    for line, expected in zip(lines, printed, strict=False):
        if line[1][indent:] != expected:
            raise _syntax(line, shown(expected.strip()))
    if len(lines) - len(rest) != len(printed):
        raise _syntax(lines[len(printed)], "the circuit to end before it, as nothing uses this block")
    return circuit, rest


def _split(text: str) -> list[str]:
    """The text cut at commas, but at none inside of brackets."""
    return [word.strip() for word in re.findall(r"(?:[^,\[\]()]+|\[[^\[\]]*\]|\([^()]*\))+", text)]


def _from_text(text: str) -> Any:
    """The JSON value of an attribute. Nothing nests in one, so that no text can exhaust the stack of a JSON reader."""
    if re.fullmatch('"[0-9a-f]*"', text):
        return text[1:-1]
    if re.fullmatch("[0-9]{1,18}", text):
        return int(text)
    if re.fullmatch(r"\[[0-9, ]*\]", text):
        return [_from_text(word.strip()) for word in text[1:-1].split(",")]
    raise ValueError


def _pairs(text: str, mark: str) -> list[tuple[str, str]]:
    pairs = []
    for word in _split(text):
        name, found, value = word.partition(mark)
        if not found:
            raise UserError(f"the circuit reads {shown(word)}; expected «name{mark}…»")
        pairs.append((name, value))
    return pairs
