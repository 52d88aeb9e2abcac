"""The layout of headers and packets: consecutive whole numbers in bytes, each little-endian."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

__all__ = ["Field", "Place", "join", "offset", "size", "split"]


class Place(Protocol):
    """The name and size of a number in a layout."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def bytes(self) -> int:
        """Its number of bytes."""


class Field(NamedTuple):
    """A number: its name, number of bytes, and meaning."""

    name: str
    bytes: int
    meaning: str


def size(fields: Sequence[Place]) -> int:
    """The number of bytes of all ``fields``."""
    return sum(field.bytes for field in fields)


def offset(fields: Sequence[Place], name: str) -> int:
    """The position of the first byte of the field of this name."""
    return size(fields[: [field.name for field in fields].index(name)])


def join(fields: Sequence[Place], values: Mapping[str, int]) -> bytes:
    """The bytes of ``fields``; a field without a value is zero."""
    return b"".join(values.get(field.name, 0).to_bytes(field.bytes, "little") for field in fields)


def split(fields: Sequence[Place], data: bytes) -> dict[str, int]:
    """The values of ``fields`` at the start of ``data``."""
    values, at = {}, 0
    for field in fields:
        values[field.name] = int.from_bytes(data[at : at + field.bytes], "little")
        at += field.bytes
    return values
