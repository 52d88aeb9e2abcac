"""The types of wires. A type names its ring, and the ring names the primitives that add and multiply in it.

Every transformation asks the type for its addition instead of assuming XOR, so that another ring (integer words, say)
is a new type and new rows of the primitive table, and no new transformation.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, ClassVar

from rdahw.errors import UserError

__all__ = ["MAX_WIDTH", "Z2", "Bits", "Ring", "parse_type", "shown"]

#: The widest wire: 2^26 bits. A bound, so that a circuit read from a stranger's file cannot ask for all memory.
MAX_WIDTH = 1 << 26


@dataclass(frozen=True, slots=True)
class Ring:
    """A commutative ring: its name and the primitives that are its addition and its multiplication."""

    name: str
    addition: str
    multiplication: str


#: The ring of two elements: addition is XOR, multiplication is AND.
Z2 = Ring("Z2", addition="xor", multiplication="and")


@dataclass(frozen=True, slots=True)
class Bits:
    """``Bits(n)``: n bits, each an element of Z2.

    Bit 0 is the least significant one wherever bits are read as a number.
    """

    width: int
    ring: ClassVar[Ring] = Z2

    def __post_init__(self) -> None:
        if type(self.width) is not int or not 1 <= self.width <= MAX_WIDTH:
            raise UserError(
                f"a wire of {shown(self.width)} bits was asked for; a width is a whole number from 1 to {MAX_WIDTH}"
            )

    def __str__(self) -> str:
        return f"Bits({self.width})"


def parse_type(text: str) -> Bits:
    """The type that prints as ``text``; raises :class:`UserError` when none does."""
    found = re.fullmatch(r"Bits\(([0-9]{1,9})\)", text.strip())
    if not found:
        raise UserError(f"the type {shown(text.strip())} is unknown; expected one like Bits(8)")
    return Bits(int(found[1]))


def shown(value: Any) -> str:
    """``value`` as a message shows it: its ``repr``, cut where that is long."""
    try:
        text = repr(value)
    except ValueError:  # Python refuses to write out a very large number
        return "a number of thousands of digits"
    return text if len(text) <= 80 else f"{text[:60]}… ({len(text)} characters)"
