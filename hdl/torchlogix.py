"""Logic-gate networks of torchlogix as modules of Yosys' JSON: the C that its ``Circuit.write_c_code`` writes, and the
JSON of ``Circuit.write_json``. Neither is compiled or run.

Their Verilog is read by Yosys as any other; it leaves out the constant ``beta`` of a sum.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, NamedTuple

from rdahw.errors import UserError
from rdahw.types import shown

__all__ = ["is_torchlogix_json", "read_torchlogix_c", "read_torchlogix_json"]

#: The bits of a slot of the outputs, by what holds the largest sum; sums that are divided have those of a float.
_SLOTS, _FLOAT_SLOT = (8, 16, 32, 64), 32


class _Function(NamedTuple):
    """A function of at most two nets: bit ``i`` of ``table`` is its value where the nets have the bits of i."""

    table: int
    nets: tuple[int, ...] = ()

    def inverted(self) -> _Function:
        return _Function(self.table ^ (1 << (1 << len(self.nets))) - 1, self.nets)

    def over(self, nets: Sequence[int]) -> int:
        """The table of the same function of these nets."""
        places = [nets.index(net) for net in self.nets]
        rows = (sum((row >> place & 1) << i for i, place in enumerate(places)) for row in range(1 << len(nets)))
        return sum((self.table >> at & 1) << row for row, at in enumerate(rows))


_FALSE, _TRUE = _Function(0), _Function(1)


def _of(net: int) -> _Function:
    return _FALSE if net < 0 else _Function(2, (net,))


_OPERATORS: Mapping[str, Callable[[int, int], int]] = {
    "&": lambda a, b: a & b,
    "|": lambda a, b: a | b,
    "^": lambda a, b: a ^ b,
}

#: The gates of the JSON as tables of two inputs; an input that is not used counts as 0.
_GATES: Mapping[str, int] = {
    "AND": 8, "OR": 14, "XOR": 6, "NAND": 7, "NOR": 1, "XNOR": 9, "AND_NOT_B": 2, "AND_NOT_A": 4, "OR_NOT_B": 11,
    "OR_NOT_A": 13, "CONST_FALSE": 0, "CONST_TRUE": 15, "WIRE": 10, "NOT": 5, "NOT_A": 5, "NOT_B": 3,
}  # fmt: skip


class _Sum(NamedTuple):
    """How many of the nets are 1, plus ``beta``; the output is this divided by ``tau``."""

    nets: Sequence[Any]
    beta: float
    tau: float


@dataclass
class _Module:
    """A module that is being made."""

    inputs: int
    cells: dict[str, Any] = field(default_factory=dict)
    _new: Iterator[int] = field(default_factory=lambda: count(1 << 30))

    def lut(self, function: _Function, to: int | None = None, line: int = 1) -> Any:
        """The net of a function, ``to`` if it is given."""
        if to is None and not function.nets:
            return str(function.table)
        if to is None and function.table == 2 and len(function.nets) == 1:
            return function.nets[0]
        net = next(self._new) if to is None else to
        nets = function.nets or (0,)
        table = format(function.over(nets), f"0{1 << len(nets)}b")
        parameters = {"WIDTH": len(nets), "LUT": table}
        self._add("$lut", parameters, line, A=list(nets), Y=[net])
        return net

    def combined(self, operator: str, a: _Function, b: _Function, line: int) -> _Function:
        """The function of both, with cells for what has more than two inputs."""
        for _ in range(2):
            nets = sorted({*a.nets, *b.nets})
            if len(nets) <= 2:
                break
            wide, other = (a, b) if len(a.nets) >= len(b.nets) else (b, a)
            a, b = _of(self.lut(wide, line=line)), other
        nets = sorted({*a.nets, *b.nets})
        return _Function(_OPERATORS[operator](a.over(nets), b.over(nets)), tuple(nets))

    def total(self, numbers: list[list[Any]]) -> list[Any]:
        """The bits of the sum of these numbers, by a balanced tree."""
        while len(numbers) > 1:
            pairs = zip(numbers[::2], numbers[1::2], strict=False)
            numbers = [self._added(a, b) for a, b in pairs] + numbers[len(numbers) // 2 * 2 :]
        return numbers[0]

    def _added(self, a: list[Any], b: list[Any]) -> list[Any]:
        made = [next(self._new) for _ in range(max(len(a), len(b)) + 1)]
        self._add("$add", {}, 1, A=a, B=b, Y=made)
        return made

    def _add(self, kind: str, parameters: Mapping[str, Any], line: int, **bits: Any) -> None:
        self.cells[str(len(self.cells))] = {
            "type": kind,
            "parameters": parameters,
            "attributes": {"src": f"file:{line}.1"},
            "port_directions": {port: "output" if port == "Y" else "input" for port in bits},
            "connections": bits,
        }

    def finished(self, outputs: Sequence[Any]) -> dict[str, Any]:
        """The module, with the ports that torchlogix' Verilog has: ``inp``, and ``out`` or ``scores_flat``.

        Scores are sums and constants, not divided. Raises :class:`UserError` where their order could be another one.
        """
        name, sums = "out", [output for output in outputs if isinstance(output, _Sum)]
        bits = list(outputs)
        if sums:
            name = "scores_flat"
            if len({each.tau for each in sums}) > 1 or sums[0].tau <= 0:
                raise UserError(
                    "its sums are divided by different numbers (tau); expected one above 0, as the sums alone are read"
                )
            if wrong := next((s.beta for s in sums if s.beta % 1 or not 0 <= s.beta < 1 << 31), None):
                raise UserError(f"beta of a sum is {wrong:g}; expected a whole number from 0 to 2147483647")
            most = max(len(each.nets) + int(each.beta) for each in sums)
            slot = _FLOAT_SLOT if sums[0].tau != 1 else next(size for size in _SLOTS if most < 1 << size)
            bits = []
            for output in outputs:
                number = self._score(output) if isinstance(output, _Sum) else [output]
                bits += (number + ["0"] * slot)[:slot]
        ports = {
            "inp": {"direction": "input", "bits": list(range(self.inputs))},
            name: {"direction": "output", "bits": bits},
        }
        return {"attributes": {"top": "1"}, "ports": ports, "cells": self.cells, "netnames": {}}

    def _score(self, output: _Sum) -> list[Any]:
        beta = list(format(int(output.beta), "b")[::-1])
        return self.total([*([net] for net in output.nets), *([beta] if output.beta or not output.nets else [])])


# -- C -----------------------------------------------------------------------------------------------------------------

_TYPE = r"(?:bool|uint(?:8|16|32|64)_t)"
_NUMBER = r"(-?[0-9.]+(?:e[+-]?[0-9]+)?)"
#: In place of an operator that waits for its second operand: brackets have one operator at most.
_DONE = "="
_HEAD = re.compile(rf"void circuit\(\n    const {_TYPE} in\[([0-9]{{1,7}})\],\n    \w+ +out\[([0-9]{{1,9}})\]\)\n{{\n")
_TOKEN = re.compile(rf"in\[([0-9]{{1,7}})\]|g([0-9]{{1,8}})|(true)|(false|\({_TYPE}\)0)|([&|^])|([!~])|([()])| ")
_SLOT = r"out\[(?:p \* [0-9]+ \+ )?([0-9]{1,7})\]"
#: Lines without a meaning of their own.
_IDLE = re.compile(
    rf"//.*|[{{}}]?|int s = 0;|{_TYPE} raw\[[0-9]+\];|for \(int p = 0; p < [0-9]+; p\+\+\) {{"
)  # fmt: skip
_GATE = re.compile(rf"{_TYPE} g([0-9]{{1,8}}) = (.+);")
_RAW = re.compile(r"raw\[([0-9]{1,8})\] = (.+);")
_LOOP = re.compile(
    r"for \(int i = ([0-9]{1,8}); i < ([0-9]{1,8}); i\+\+\) s \+= "
    r"\(int\)(?:raw\[i\]|\(\(raw\[i\] >> p\) & 1\));"
)
_WHOLE = re.compile(rf"{_SLOT} = s(?: \+ ([0-9]{{1,9}}))?;")
_DIVIDED = re.compile(rf"{_SLOT} = \(\(float\)s \+ {_NUMBER}f\) / {_NUMBER}f;")
_CONSTANT = re.compile(rf"{_SLOT} = ([0-9]{{1,9}});")
_BIT = re.compile(rf"{_SLOT} = (?:\({_TYPE}\)(?!0))?(?:\(\((.+) >> p\) & 1\)|(.+));")


def read_torchlogix_c(data: bytes) -> dict[str, Any]:
    """The module of a C file of torchlogix, packed or not; raises :class:`UserError` for other C, with the line."""
    text = data.decode("utf-8", "replace")
    head = _HEAD.search(text)
    if head is None or "\n}" not in text[head.end() - 1 :]:
        raise UserError(
            "it is not C that torchlogix wrote, with a function circuit(in, out); write it with Circuit.write_c_code, "
            "or as JSON with Circuit.write_json, and for C of rdahw export name the model that it was made of"
        )
    first = text.count("\n", 0, head.end()) + 1
    body = text[head.end() : text.index("\n}", head.end() - 1) + 1]
    return _C(_Module(int(head[1]))).read(body.split("\n"), first)


@dataclass
class _C:
    """The statements of a function."""

    module: _Module
    raw: dict[int, Any] = field(default_factory=dict)
    outputs: dict[int, Any] = field(default_factory=dict)
    span: Sequence[int] = ()
    line: int = 0

    def read(self, lines: Sequence[str], first: int) -> dict[str, Any]:
        for self.line, text in enumerate(lines, start=first):
            self._statement(text.strip())
        if not self.outputs or sorted(self.outputs) != list(range(len(self.outputs))):
            raise UserError("the function circuit does not set all its outputs; the file is damaged")
        return self.module.finished([self.outputs[j] for j in range(len(self.outputs))])

    def _statement(self, text: str) -> None:
        if _IDLE.fullmatch(text):
            return
        for form, act in self._FORMS:
            if (found := form.fullmatch(text)) is not None:
                act(self, *found.groups())
                return
        raise self.wrong(text)

    def wrong(self, text: str) -> UserError:
        return UserError(f"line {self.line} is {shown(text)}; expected a statement as torchlogix writes it")

    def _gate(self, number: str, expression: str) -> None:
        self.module.lut(self._function(expression), int(number), self.line)

    def _set_raw(self, place: str, expression: str) -> None:
        self.raw[int(place)] = self.module.lut(self._function(expression), line=self.line)

    def _loop(self, start: str, stop: str) -> None:
        self.span = range(int(start), int(stop))
        if not all(place in self.raw for place in (*self.span[:1], *self.span[-1:])):
            raise UserError(f"line {self.line} adds up what is not set; the file is damaged")

    def _sum(self, place: str, beta: str | None, tau: str = "1") -> None:
        try:
            self.outputs[int(place)] = _Sum([self.raw[i] for i in self.span], float(beta or 0), float(tau))
        except (KeyError, ValueError):
            raise UserError(f"line {self.line} adds up what is not set, or no number; the file is damaged") from None

    def _constant(self, place: str, value: str) -> None:
        self.outputs[int(place)] = _Sum([], float(value), 1.0)

    def _bit(self, place: str, packed: str | None, plain: str | None) -> None:
        self.outputs[int(place)] = self.module.lut(self._function(packed or plain or ""), line=self.line)

    #: The forms of statements, and what each does.
    _FORMS: Any = ((_GATE, _gate), (_RAW, _set_raw), (_LOOP, _loop), (_WHOLE, _sum), (_DIVIDED, _sum),
                   (_CONSTANT, _constant), (_BIT, _bit))  # fmt: skip

    def _function(self, text: str) -> _Function:
        """The function of an expression, in which each operator has brackets of its own."""
        frames: list[tuple[_Function | None, str, bool]] = [(None, "", False)]
        at = 0
        while at < len(text):
            token = _TOKEN.match(text, at)
            if token is None:
                raise self.wrong(text)
            at = token.end()
            wire, gate, true, false, operator, inverter, bracket = token.groups()
            value, waiting, inverts = frames[-1]
            if operator:
                if value is None or waiting:
                    raise self.wrong(text)
                frames[-1] = (value, operator, False)
                continue
            if inverter:
                frames[-1] = (value, waiting, not inverts)
                continue
            if bracket == "(":
                frames.append((None, "", False))
                continue
            if bracket:
                frames.pop()
                if not frames or value is None or waiting not in ("", _DONE):
                    raise self.wrong(text)
                found, (value, waiting, inverts) = value, frames[-1]
            elif wire or gate:
                if wire and int(wire) >= self.module.inputs:
                    raise self.wrong(text)
                found = _of(int(wire or gate))
            elif true or false:
                found = _TRUE if true else _FALSE
            else:  # a space
                continue
            found = found.inverted() if inverts else found
            if value is None:
                frames[-1] = (found, "", False)
            elif waiting in ("", _DONE):
                raise self.wrong(text)
            else:
                frames[-1] = (self.module.combined(waiting, value, found, self.line), _DONE, False)
        value, waiting, _ = frames[-1]
        if len(frames) > 1 or value is None or waiting not in ("", _DONE):
            raise self.wrong(text)
        return value


# -- JSON --------------------------------------------------------------------------------------------------------------


def is_torchlogix_json(data: bytes) -> bool:
    """Whether it begins as the JSON of torchlogix does."""
    return re.match(rb'\s*\{\s*"n_inputs"', data) is not None


def read_torchlogix_json(data: bytes) -> dict[str, Any]:
    """The module of a JSON file of torchlogix; raises :class:`UserError` for a damaged one."""
    try:
        said = json.loads(data)
        inputs, gates, outputs = (_checked(said[key], kind) for key, kind in _MEMBERS)
        module = _Module(inputs)
        for gate in gates:
            names = [_checked(gate[key], int) for key in ("gate_id", "in0", "in1")]
            _set_gate(module, _checked(gate["op"], str), *names)
        sums = {}
        for each in said.get("sum_nodes", ()):
            nets = [_net(net) for net in _checked(each["input_ids"], list)]
            beta, tau = (float(each.get(key, usual)) for key, usual in (("beta", 0), ("tau", 1)))
            sums[each["node_id"]] = _Sum(nets, beta, tau)
        return module.finished([sums[number] if number in sums else _net(number) for number in outputs])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError):
        raise UserError("it is not a whole network of torchlogix; write it with Circuit.write_json") from None


_MEMBERS: Sequence[tuple[str, Any]] = (("n_inputs", int), ("gates", list), ("outputs", list))


def _checked(value: Any, kind: Any) -> Any:
    if type(value) is not kind:
        raise ValueError
    return value


def _net(number: Any) -> Any:
    return "0" if _checked(number, int) < 0 else number


def _set_gate(module: _Module, op: str, number: int, a: int, b: int) -> None:
    if number < module.inputs:
        raise ValueError
    nets = sorted({net for net in (a, b) if net >= 0})
    rows = range(1 << len(nets))
    at = (sum((row >> nets.index(net) & 1) << i for i, net in enumerate((a, b)) if net >= 0) for row in rows)
    module.lut(_Function(sum((_GATES[op] >> i & 1) << row for row, i in enumerate(at)), tuple(nets)), number)
