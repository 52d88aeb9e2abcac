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
    """An argument of a rule: its name, its valid values and its default. is_named: it is given as ``name=NUMBER`` after
    the others, or left out."""

    name: str
    values: range
    usual: int
    is_named: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A row of a table of rules. kind: the type that it supports. numbers: its arguments, given after its name."""

    kind: type[Type]
    numbers: tuple[Number, ...] = ()

    def spelt(self, name: str) -> str:
        """The rule as text, with its default numbers."""
        return f"{name}={','.join(str(n.usual) for n in self.numbers if not n.is_named)}".removesuffix("=")

    def read(self, text: str) -> dict[str, int] | None:
        """The numbers in ``text``, such as «6» or «6,noise=3», by name; None if they are others than this rule has."""
        found: dict[str, int] = {}
        given = text.split(",")
        plain = [n for n in self.numbers if not n.is_named]
        named = {n.name: n for n in self.numbers if n.is_named}
        for i, part in enumerate(given):
            name, equals, value = part.rpartition("=")
            number = named.pop(name, None) if equals and i >= len(plain) else plain[i] if i < len(plain) else None
            if number is None or (equals and not number.is_named) or not re.fullmatch(r"\d{1,9}", value):
                return None
            if int(value) not in number.values:
                return None
            found[number.name] = int(value)
        if len(given) < len(plain):
            return None
        return {n.name: found.get(n.name, n.usual) for n in self.numbers}

    def form(self, name: str) -> str:
        """How the rule is given, such as «sign=NUMBER[,noise=NUMBER]»."""
        plain = ",".join("NUMBER" for n in self.numbers if not n.is_named)
        return f"{name}={plain}" + "".join(f"[,{n.name}=NUMBER]" for n in self.numbers if n.is_named)


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
    numbers = rule.read(text)
    if numbers is None:
        each = ", ".join(f"a whole number from {n.values[0]} to {n.values[-1]}" for n in rule.numbers)
        raise UsageError(f"{kind} {given!r} was given; expected {rule.form(name)}, {each}, such as {rule.spelt(name)}")
    return rule, numbers
