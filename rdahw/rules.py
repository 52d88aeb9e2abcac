"""What the tables of losses and of optimisers share: names with numbers, such as ``margin=80`` and ``descent=8,10``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from rdahw.errors import UsageError, nearest
from rdahw.types import Type

__all__ = ["Number", "Rule", "find_rule", "usual_rule"]


class Number(NamedTuple):
    """An argument of a rule: its name, its valid values and its default."""

    name: str
    values: range
    usual: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A row of a table of rules. kind: the type that it supports. numbers: its arguments, given after its name."""

    kind: type[Type]
    numbers: tuple[Number, ...] = ()

    def spelt(self, name: str) -> str:
        """The rule as text, with its default numbers."""
        return f"{name}={','.join(str(number.usual) for number in self.numbers)}".removesuffix("=")


_R = TypeVar("_R", bound=Rule)


def usual_rule(rows: Mapping[str, Rule], type_: Type) -> str:
    """The first rule of ``rows`` that supports ``type_``, or else the first, with its default numbers."""
    fitting = [name for name, row in rows.items() if isinstance(type_, row.kind)]
    name = next(iter(fitting or rows))
    return rows[name].spelt(name)


def find_rule(kind: str, given: str, known: Mapping[str, _R], what: str, type_: Type) -> tuple[_R, dict[str, int]]:
    """The row of the rule ``given``, for wires of ``type_``, and its numbers by name.

    ``kind`` and ``what`` are for the message of :class:`UsageError`, raised for an unknown rule, one that does not
    support the type, and wrong numbers.
    """
    name, equals, text = given.partition("=")
    if name not in known:
        raise UsageError(f"{kind} {given!r} is unknown; {nearest(name, known)}")
    rule = known[name]
    if not isinstance(type_, rule.kind):
        fitting = " or ".join(row.spelt(other) for other, row in known.items() if isinstance(type_, row.kind))
        fitting = fitting or "a model of bits, words or switches"
        raise UsageError(f"{kind} {given!r} does not suit, as {what} {type_}; use {fitting}")
    if not rule.numbers:
        if equals:
            raise UsageError(f"{kind} {given!r} was given; expected {name!r} with no number")
        return rule, {}
    values = text.split(",")
    if len(values) != len(rule.numbers) or not all(
        re.fullmatch(r"\d{1,9}", value) and int(value) in number.values
        for value, number in zip(values, rule.numbers, strict=True)
    ):
        form = ",".join(["NUMBER"] * len(rule.numbers))
        each = ", ".join(f"a whole number from {n.values[0]} to {n.values[-1]}" for n in rule.numbers)
        raise UsageError(f"{kind} {given!r} was given; expected {name}={form}, {each}, such as {rule.spelt(name)}")
    return rule, {number.name: int(value) for number, value in zip(rule.numbers, values, strict=True)}
