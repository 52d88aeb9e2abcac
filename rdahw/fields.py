"""Numbers one after the other in bytes, each least significant byte first, as headers and packets have them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

__all__ = ["Field", "Place", "join", "offset", "size", "split"]


class Place(Protocol):
    """What a number needs to have its place among others."""

    @property
    def name(self) -> str:
        """What it is called."""

    @property
    def bytes(self) -> int:
        """How many it has."""


class Field(NamedTuple):
    """A number: its name, how many bytes it has, what it means."""

    name: str
    bytes: int
    meaning: str


def size(fields: Sequence[Place]) -> int:
    """How many bytes ``fields`` have together."""
    return sum(field.bytes for field in fields)


def offset(fields: Sequence[Place], name: str) -> int:
    """The place of the first byte of the field of this name."""
    return size(fields[: [field.name for field in fields].index(name)])


def join(fields: Sequence[Place], values: Mapping[str, int]) -> bytes:
    """The bytes of ``fields``; a field without a value is zero."""
    return b"".join(values.get(field.name, 0).to_bytes(field.bytes, "little") for field in fields)


def split(fields: Sequence[Place], data: bytes) -> dict[str, int]:
    """The values of ``fields`` at the beginning of ``data``."""
    values, at = {}, 0
    for field in fields:
        values[field.name] = int.from_bytes(data[at : at + field.bytes], "little")
        at += field.bytes
    return values
