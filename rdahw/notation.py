"""Writing and reading circuits as text and as JSON values."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from rdahw.circuit import MAX_DEPTH, Assignment, Block, Circuit, Port, find_primitive, is_wire
from rdahw.errors import UserError, nearest
from rdahw.primitives import PRIMITIVES
from rdahw.types import parse_type, shown

__all__ = ["from_json", "parse", "to_json", "to_text"]

_T = TypeVar("_T")


# -- attributes --------------------------------------------------------------------------------------------------------


def _blocks(circuit: Circuit) -> dict[Block, int]:
    """The blocks that the circuit's own assignments use, with their numbers, in order."""
    blocks = dict.fromkeys(a.attributes[0] for a in circuit.assignments if a.primitive == "custom")
    return {block: i for i, block in enumerate(blocks)}


def _attributes(assignment: Assignment, blocks: Mapping[Block, int]) -> Iterator[tuple[str, Any]]:
    """The attributes as names and JSON values; constants in hexadecimal, as JSON readers limit the size of numbers."""
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
        if not is_wire(value, len(blocks)):
            raise UserError(f"block {shown(value)} is used; expected one of the {len(blocks)} that are listed")
        return blocks[value]
    return value


# -- JSON --------------------------------------------------------------------------------------------------------------


def to_json(circuit: Circuit) -> dict[str, Any]:
    """The circuit as plain JSON values; :func:`from_json` is its inverse."""
    blocks = _blocks(circuit)
    return {
        "inputs": [[port.name, str(port.type)] for port in circuit.inputs],
        "assignments": [
            [a.primitive, list(a.operands), [v for _, v in _attributes(a, blocks)]] for a in circuit.assignments
        ],
        "outputs": [[name, wire] for name, wire in circuit.outputs],
        "blocks": [
            {
                "name": block.name,
                "exact": block.exact,
                "forward": to_json(block.forward),
                "reverse": to_json(block.reverse),
            }
            for block in blocks
        ],
    }


def from_json(value: Any) -> Circuit:
    """The circuit that :func:`to_json` made ``value`` from.

    Safe on untrusted values: the circuit is checked like any other, and nothing in it is run.
    Raises :class:`UserError`.
    """
    return _from_json(value, 0)


def _typed(kind: type[_T], value: Any) -> _T:
    if not isinstance(value, kind):
        raise TypeError(f"{shown(value)} in place of a {kind.__name__}")
    return value


def _from_json(value: Any, depth: int) -> Circuit:
    if depth > MAX_DEPTH:
        raise UserError(f"blocks are nested more than {MAX_DEPTH} levels deep; expected fewer")
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
            plain = zip(find_primitive(primitive).attributes, _typed(list, attributes), strict=True)
            values = tuple([_from_plain(name, value, blocks) for name, value in plain])
            assignments.append(Assignment(primitive, tuple(_typed(list, operands)), values))
        return Circuit(
            tuple([Port(_typed(str, name), parse_type(text)) for name, text in value["inputs"]]),
            tuple(assignments),
            tuple([(_typed(str, name), wire) for name, wire in value["outputs"]]),
        )
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        why = f"{type(error).__name__}: {error}"
        raise UserError(f"the value is not a circuit ({why}); expected one from to_json") from None


# -- text --------------------------------------------------------------------------------------------------------------


def to_text(circuit: Circuit) -> str:
    """The circuit as lines of text; :func:`parse` is its inverse."""
    return "\n".join(_print(circuit))


def parse(text: str) -> Circuit:
    """The circuit that prints as ``text``; raises :class:`UserError` naming the line that is wrong."""
    lines = [(number, line.rstrip()) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    circuit, rest = _parse(lines, 0)
    if rest:
        raise _syntax(rest[0], "nothing after the end of the circuit")
    return circuit


def _print(circuit: Circuit) -> Iterable[str]:
    names = dict(enumerate(circuit.input_names))
    blocks = _blocks(circuit)

    def wire(i: int) -> str:
        return names.get(i, f"%{i}")

    inputs = ", ".join(f"{name}: {type_}" for name, type_ in circuit.inputs)
    outputs = ", ".join(f"{name}: {circuit.types[i]}" for name, i in circuit.outputs)
    yield f"circuit ({inputs}) -> ({outputs}):"
    for i, assignment in circuit.wires():
        words = [wire(operand) for operand in assignment.operands]
        words += [f"{name}={json.dumps(value)}" for name, value in _attributes(assignment, blocks)]
        yield f"  %{i}: {circuit.types[i]} = {assignment.primitive}({', '.join(words)})"
    yield f"  return {', '.join(f'{name}={wire(i)}' for name, i in circuit.outputs)}".rstrip()
    for block, i in blocks.items():
        yield f'  block {i} "{block.name}" {"exact" if block.exact else "surrogate"}:'
        for line in (*_print(block.forward), *_print(block.reverse)):
            yield "    " + line


_Line = tuple[int, str]


def _syntax(line: _Line, expected: str) -> UserError:
    return UserError(f"line {line[0]} of the circuit reads {shown(line[1].strip())}; expected {expected}")


def _parse(lines: Sequence[_Line], indent: int) -> tuple[Circuit, Sequence[_Line]]:
    """The circuit that starts at ``lines[0]``, indented by ``indent`` spaces, and the lines after it."""
    pad = " " * indent
    if not lines:
        raise UserError("the text ends where a circuit should begin; expected a line «circuit (…) -> (…):»")
    if indent > 4 * MAX_DEPTH:
        raise _syntax(lines[0], f"at most {MAX_DEPTH} levels of blocks")
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
    # The reading above is lenient: the text must be exactly the one that the circuit prints as.
    printed = list(_print(circuit))
    for line, expected in zip(lines, printed, strict=False):
        if line[1][indent:] != expected:
            raise _syntax(line, shown(expected.strip()))
    if len(lines) - len(rest) != len(printed):
        raise _syntax(lines[len(printed)], "the circuit to end before it, as nothing uses this block")
    return circuit, rest


def _split(text: str) -> list[str]:
    """The text split at the commas outside of brackets."""
    return [word.strip() for word in re.findall(r"(?:[^,\[\]()]+|\[[^\[\]]*\]|\([^()]*\))+", text)]


def _from_text(text: str) -> Any:
    """The JSON value of an attribute; nested values are rejected, as they could exhaust the stack of a JSON reader."""
    if re.fullmatch('"[0-9A-Za-z]*"', text):
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
