"""AIGER files as modules of Yosys' JSON: ASCII (``aag``) and binary (``aig``), formats 1.0 and 1.9.

They are read here, as Yosys reads a truncated binary file without end. Biere, Heljanko, Wieringa: *AIGER 1.9 and
Beyond*, 2011.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from rdahw.errors import UserError
from rdahw.machine import unused

__all__ = ["read_aiger"]

#: The most variables, so that a small file cannot exhaust the memory.
_MOST = 1 << 24


class _Literals:
    """Literals as nets of Yosys' JSON, with the cells that invert them."""

    def __init__(self, variables: int) -> None:
        self.variables = variables
        self.cells: dict[str, Any] = {}

    def net(self, literal: int, line: int) -> int | str:
        """The net of a literal; raises :class:`UserError` for one that is out of range."""
        if not 0 <= literal <= 2 * self.variables + 1:
            raise UserError(
                f"line {line} has the literal {literal}; expected at most {2 * self.variables + 1}, as the header says"
            )
        if literal < 2:
            return str(literal)
        net = literal // 2 + 1
        if literal & 1:
            inverse = net + self.variables
            self.cells.setdefault(f"not{net}", _cell("$_NOT_", line, A=net, Y=inverse))
            return inverse
        return net


def _cell(kind: str, line: int, **bits: Any) -> dict[str, Any]:
    return {
        "type": kind,
        "parameters": {},
        "attributes": {"src": f"file:{line}.1"},
        "port_directions": {port: "output" if port in "YQ" else "input" for port in bits},
        "connections": {port: [bit] for port, bit in bits.items()},
    }


def read_aiger(data: bytes, most_gates: int = _MOST) -> dict[str, Any]:
    """The module that the file describes, with wide ports where symbols are called ``name[0]``, ``name[1]``, ….

    Latches are cells ``$ff``, which follow every step. Raises :class:`UserError` for a damaged file, with the line, and
    for one of more AND gates than ``most_gates``.
    """
    lines = _Lines(data)
    binary, most, inputs, latches, outputs, ands = _header(lines)
    if ands > most_gates:
        raise UserError(f"it has {ands:,} AND gates; expected at most {most_gates:,}; read a part of the design")
    literals, nets = _Literals(most), {}
    taken = [2 * (k + 1) for k in range(inputs)] if binary else [lines.numbers(1, 1)[0] for _ in range(inputs)]
    given = [literals.net(_even(literal, lines), lines.number) for literal in taken]
    for k in range(latches):
        row = lines.numbers(1, 2) if binary else lines.numbers(2, 3)
        its, following, *start = [2 * (inputs + k + 1), *row] if binary else row
        if any(bit not in (0, 1, its) for bit in start):
            raise UserError(f"line {lines.number} starts a latch with {start[0]}; expected 0, 1 or the latch itself")
        q = literals.net(_even(its, lines), lines.number)
        literals.cells[f"latch{k}"] = _cell("$ff", lines.number, D=literals.net(following, lines.number), Q=q)
        first = {} if start == [its] else {"init": str(start[0] if start else 0)}  # itself: not initialised
        nets[f"l{k}"] = {"hide_name": 0, "bits": [q], "attributes": first}
    found = [literals.net(lines.numbers(1, 1)[0], lines.number) for _ in range(outputs)]
    for number, a, b in _gates(lines, binary, inputs + latches, ands):
        net = literals.net(_even(number, lines), lines.number)
        a_net, b_net = literals.net(a, lines.number), literals.net(b, lines.number)
        literals.cells[f"and{number}"] = _cell("$_AND_", lines.number, A=a_net, B=b_net, Y=net)
    names = lines.symbols()
    ports: dict[str, Any] = {}
    for kind, direction, bits in (("i", "input", given), ("o", "output", found)):
        for name, joined in _wide(kind, names, bits).items():
            ports[unused(name, ports)] = {"direction": direction, "bits": joined}
    return {"attributes": {"top": "1"}, "ports": ports, "cells": literals.cells, "netnames": nets}


class _Lines:
    """The lines and bytes of a file, read one after the other."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at, self.number = data, 0, 0

    def line(self) -> str:
        """The next line; raises :class:`UserError` at the end of the file."""
        if self.at >= len(self.data):
            raise UserError(f"the file ends after line {self.number}, before all that its header announces")
        end = self.data.find(b"\n", self.at)
        end = len(self.data) if end < 0 else end
        text = self.data[self.at : end].decode("latin-1")
        self.at, self.number = end + 1, self.number + 1
        return text

    def numbers(self, least: int, most: int) -> list[int]:
        """The numbers of the next line."""
        words = self.line().split()
        if not least <= len(words) <= most or not all(re.fullmatch("[0-9]{1,9}", word) for word in words):
            expected = f"{least}" if least == most else f"{least} to {most}"
            raise UserError(f"line {self.number} is {' '.join(words)[:40]!r}; expected {expected} whole numbers")
        return [int(word) for word in words]

    def delta(self) -> int:
        """The next number of a binary file: 7 bits a byte, the low ones first."""
        value = 0
        for shift in range(0, 35, 7):
            if self.at >= len(self.data):
                raise UserError("the file ends within its AND gates, before all that its header announces")
            byte = self.data[self.at]
            self.at += 1
            value |= (byte & 127) << shift
            if byte < 128:
                return value
        raise UserError("a number of the binary AND gates has more than 5 bytes; expected at most 32 bits")

    def symbols(self) -> dict[str, str]:
        """The names behind the gates, up to the comment."""
        found = {}
        while self.at < len(self.data):
            kind, _, name = self.line().partition(" ")
            if kind == "c":
                break
            if re.fullmatch("[ilo][0-9]+", kind):
                found[kind] = name.strip()
        return found


def _header(lines: _Lines) -> tuple[bool, int, int, int, int, int]:
    words = lines.line().split()
    if not words or words[0] not in ("aag", "aig") or not all(re.fullmatch("[0-9]{1,9}", w) for w in words[1:]):
        raise UserError("line 1 is not the header of AIGER; expected «aag» or «aig» and numbers M I L O A")
    counts = [int(word) for word in words[1:]]
    if len(counts) < 5 or any(counts[5:]):
        raise UserError(
            f"the header has the numbers {counts}; expected M I L O A alone, without the properties of a model checker"
        )
    most, inputs, latches, outputs, ands = counts[:5]
    if max(counts) > _MOST or most < inputs + latches + ands:
        raise UserError(
            f"the header has the numbers {counts}; expected M of at least I + L + A, and each at most {_MOST}"
        )
    return words[0] == "aig", most, inputs, latches, outputs, ands


def _even(literal: int, lines: _Lines) -> int:
    if literal & 1 or literal < 2:
        raise UserError(f"line {lines.number} defines the literal {literal}; expected an even number from 2 on")
    return literal


def _gates(lines: _Lines, binary: bool, before: int, count: int) -> Iterator[tuple[int, int, int]]:
    for k in range(count):
        if binary:
            number = 2 * (before + k + 1)
            a = number - lines.delta()
            b = a - lines.delta()
            yield number, a, b
        else:
            number, a, b = lines.numbers(3, 3)
            yield number, a, b


def _wide(kind: str, names: dict[str, str], bits: Sequence[Any]) -> dict[str, list[Any]]:
    """The bits by port: those called ``name[0]`` to ``name[n - 1]`` are one port."""
    called: dict[str, Any] = {}
    for k, bit in enumerate(bits):
        called[unused(names.get(f"{kind}{k}", f"{kind}{k}"), called)] = bit
    groups: dict[str, dict[int, str]] = {}
    for name in called:
        if found := re.fullmatch(r"(.+)\[([0-9]{1,7})\]", name):
            groups.setdefault(found[1], {})[int(found[2])] = name
    whole = {name: group for name, group in groups.items() if sorted(group) == list(range(len(group)))}
    result: dict[str, list[Any]] = {}
    for name, bit in called.items():
        if (group := name.rpartition("[")[0]) not in whole:
            result[name] = [bit]
        elif group not in result:
            result[group] = [called[whole[group][i]] for i in range(len(whole[group]))]
    return result
