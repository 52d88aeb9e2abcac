"""The types of wires: :class:`Bits` over Z2, :class:`Words` over Z_2^k, and :class:`Switches`, bits whose cotangents
are words, and :class:`Scalars` in a finite semiring.

A type names its ring, the ring names the primitives that add and multiply in it, and ``tangent`` is the type of the
cotangents and changes of a wire. Transformations use these instead of assuming XOR, so that a new ring needs a new type
and new primitives, but no new transformation. Only casts convert between the types.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from rdahw.errors import UserError
from rdahw.semirings import find_semiring

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

__all__ = [
    "MAX_WIDTH",
    "MAX_WORD_BITS",
    "Z2",
    "Bits",
    "Ring",
    "Scalars",
    "Switches",
    "Type",
    "Words",
    "parse_type",
    "shown",
]

#: The widest wire: 2^26 bits, so that a circuit read from an untrusted file cannot exhaust the memory.
MAX_WIDTH = 1 << 26

#: The widest word, so that every engine can hold one in a machine word.
MAX_WORD_BITS = 64


@dataclass(frozen=True, slots=True)
class Ring:
    """A commutative ring or semiring: its name, and the primitives that add and multiply, with their attributes."""

    name: str
    addition: str
    multiplication: str
    attributes: tuple[Any, ...] = ()


#: The ring of two elements: addition is XOR, multiplication is AND.
Z2 = Ring("Z2", addition="xor", multiplication="and")


@dataclass(frozen=True, slots=True)
class Bits:
    """``Bits(n)``: n bits, each an element of Z2.

    As a number, bit 0 is the least significant.
    """

    width: int
    ring: ClassVar[Ring] = Z2
    reverse_rule: ClassVar[str] = "reverse"

    def __post_init__(self) -> None:
        if type(self.width) is not int or not 1 <= self.width <= MAX_WIDTH:
            raise UserError(f"width {shown(self.width)} is invalid; expected a whole number from 1 to {MAX_WIDTH}")

    @property
    def count(self) -> int:
        """The number of elements."""
        return self.width

    @property
    def tangent(self) -> Bits:
        """The type of cotangents."""
        return self

    def of(self, count: int) -> Bits:
        """The type of ``count`` such elements."""
        return Bits(count)

    def __str__(self) -> str:
        return f"Bits({self.width})"


@dataclass(frozen=True, slots=True)
class Words:
    """``Words(n, k)``: n signed words of k bits, each an element of Z_2^k, the whole numbers modulo 2^k.

    Two's complement; bit b of word i, the least significant being b = 0, is bit ``i * k + b`` of the wire.
    """

    count: int
    bits: int
    reverse_rule: ClassVar[str] = "reverse"

    def __post_init__(self) -> None:
        if type(self.bits) is not int or not 1 <= self.bits <= MAX_WORD_BITS:
            raise UserError(
                f"words of {shown(self.bits)} bits are invalid; expected a whole number from 1 to {MAX_WORD_BITS}"
            )
        if type(self.count) is not int or not 1 <= self.count <= MAX_WIDTH // self.bits:
            raise UserError(
                f"{shown(self.count)} words of {self.bits} bits are invalid; expected a whole number from 1 to "
                f"{MAX_WIDTH // self.bits}"
            )

    @property
    def tangent(self) -> Words:
        """The type of cotangents."""
        return self

    def of(self, count: int) -> Words:
        """The type of ``count`` such words."""
        return Words(count, self.bits)

    @property
    def width(self) -> int:
        """The number of bits of all words together."""
        return self.count * self.bits

    @property
    def ring(self) -> Ring:
        """The ring of an element: its addition and multiplication."""
        return Ring(f"Z2^{self.bits}", "add_words", "multiply_words", (self.bits,))

    def to_bits(self, integers: ArrayLike) -> NDArray[np.uint8]:
        """Signed whole numbers (…, count) as the bits of a wire, (…, width).

        Raises :class:`UserError` for another shape and for a number that does not fit the words.

        >>> Words(2, 3).to_bits([1, -1]).tolist()
        [1, 0, 0, 1, 1, 1]
        """
        import numpy as np

        from rdahw.word_primitives import from_numbers

        values = np.asarray(integers, np.int64)
        if not values.ndim or values.shape[-1] != self.count:
            raise UserError(
                f"numbers of shape {values.shape} were given for {self}; expected {self.count} in the last axis"
            )
        limit = 1 << self.bits - 1
        if values.size and not -limit <= int(values.min()) <= int(values.max()) < limit:
            raise UserError(f"a number is outside of {-limit} to {limit - 1}, the range of words of {self.bits} bits")
        return from_numbers(values.astype(np.uint64), self.bits)

    def to_integers(self, bits: ArrayLike) -> NDArray[np.int64]:
        """The inverse of :meth:`to_bits`: the signed numbers (…, count) in the bits (…, width) of a wire.

        Raises :class:`UserError` for another shape.
        """
        import numpy as np

        from rdahw.word_primitives import to_numbers

        array = np.asarray(bits, np.uint8)
        if not array.ndim or array.shape[-1] != self.width:
            raise UserError(
                f"bits of shape {array.shape} were given for {self}; expected {self.width} in the last axis"
            )
        unused = np.uint64(64 - self.bits)
        return (to_numbers(array, self.bits) << unused).view(np.int64) >> unused.astype(np.int64)

    def __str__(self) -> str:
        return f"Words({self.count}, {self.bits})"


@dataclass(frozen=True, slots=True)
class Switches:
    """``Switches(n, k)``: n bits whose cotangents are signed words of k bits, ``Words(n, k)``.

    A function of switches stands for its multilinear polynomial over Z_2^k (xor is a + b - 2ab, and is ab, not is
    1 - a), whose derivative is taken at the points where all variables are 0 or 1: the derivative by a switch is the
    value with the switch on minus the value with it off. Values have no addition (``ring`` is that of bits, for the
    gates), cotangents have that of words. As a wire it is like ``Bits(n)``.
    """

    count: int
    bits: int
    ring: ClassVar[Ring] = Z2
    reverse_rule: ClassVar[str] = "signed"

    def __post_init__(self) -> None:
        _ = self.tangent  # its limits are those of the cotangents

    @property
    def width(self) -> int:
        """The number of bits of all values together."""
        return self.count

    @property
    def tangent(self) -> Words:
        """The type of cotangents."""
        return Words(self.count, self.bits)

    def of(self, count: int) -> Switches:
        """The type of ``count`` such switches."""
        return Switches(count, self.bits)

    def __str__(self) -> str:
        return f"Switches({self.count}, {self.bits})"


@dataclass(frozen=True, slots=True)
class Scalars:
    """``Scalars(n, "Z5")``: n elements of the finite semiring of that name (:mod:`rdahw.semirings`).

    An element is its number in as few bits as the largest one needs; bit b of element i is bit ``i * bits + b`` of the
    wire.
    """

    count: int
    semiring: str
    reverse_rule: ClassVar[str] = "reverse"

    def __post_init__(self) -> None:
        if type(self.count) is not int or not 1 <= self.count <= MAX_WIDTH // self.bits:
            raise UserError(
                f"{shown(self.count)} scalars in {self.semiring} are invalid; expected a whole number from 1 to "
                f"{MAX_WIDTH // self.bits}"
            )

    @property
    def bits(self) -> int:
        """The bits of an element."""
        return find_semiring(self.semiring).bits

    @property
    def width(self) -> int:
        """The number of bits of all elements together."""
        return self.count * self.bits

    @property
    def ring(self) -> Ring:
        """The ring of an element: its addition and multiplication."""
        return Ring(self.semiring, "add_scalars", "multiply_scalars", (self.semiring,))

    @property
    def tangent(self) -> Scalars:
        """The type of cotangents."""
        return self

    def of(self, count: int) -> Scalars:
        """The type of ``count`` such scalars."""
        return Scalars(count, self.semiring)

    def __str__(self) -> str:
        return f"Scalars({self.count}, {self.semiring})"


#: The type of a wire.
Type: TypeAlias = Bits | Words | Switches | Scalars

_NAMED: dict[str, Callable[..., Type]] = {"Bits": Bits, "Words": Words, "Switches": Switches, "Scalars": Scalars}


def parse_type(text: str) -> Type:
    """The type that prints as ``text``; raises :class:`UserError` if there is none."""
    if found := re.fullmatch(r"(\w+)\(([0-9]{1,9})(?:, ([0-9A-Za-z]{1,9}))?\)", text.strip()):
        numbers = [int(part) if part.isdecimal() else part for part in found.groups()[1:] if part]
        if found[1] in _NAMED and (found[1] == "Bits") == (len(numbers) == 1):
            return _NAMED[found[1]](*numbers)
    raise UserError(
        f"the type {shown(text.strip())} is unknown; expected one like Bits(8), Words(3, 8), Switches(5, 8) or "
        "Scalars(2, Z5)"
    )


def shown(value: Any) -> str:
    """The ``repr`` of ``value`` for a message, shortened if it is long."""
    try:
        text = repr(value)
    except ValueError:  # Python refuses to write out a very large number
        return "a number of thousands of digits"
    return text if len(text) <= 80 else f"{text[:60]}… ({len(text)} characters)"
