"""The row type of the table of primitives, which is in :mod:`rdahw.primitives`, and checks that type rules share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rdahw.errors import UserError
from rdahw.types import Bits, Type

if TYPE_CHECKING:
    from rdahw.tracing import Wire

__all__ = ["Array", "Part", "Primitive", "bits_only", "check_range", "listed", "one_of_bits"]

Array = NDArray[np.uint8]


class Part(NamedTuple):
    """A cotangent that is ``wire`` from element ``start`` on, and zero elsewhere."""

    start: int
    wire: Wire


@dataclass(frozen=True, slots=True, kw_only=True)
class Primitive:
    """One row of the table; see :mod:`rdahw.primitives` for what the functions take.

    name: as printed and as the key in every back end's table.
    attributes: names of the static arguments, in order.
    type_rule: ``type_rule(*types, *attributes) -> type`` of the result; raises :class:`UserError` for invalid ones.
    evaluate: ``evaluate(*arrays, *attributes) -> array``.
    reverse: ``reverse(dy, *operands, *attributes) -> cotangent of each operand`` (``None``: zero; or a :class:`Part`).
        A row without one is differentiated through its expansion.
    signed: the reverse rule on switches (:class:`rdahw.types.Switches`), with ``dy`` and the cotangents as words. A row
        without one does not take switches.
    expansion: ``expansion(*operands, *attributes) -> wire`` in the core only; ``None`` in the core itself.
    lowering: ``lowering(*operands, *attributes) -> wire`` in primitives of bits, between casts, for back ends without a
        row for this primitive of words. It does not define derivatives.
    linear: the map is linear over the ring, so it is its own forward derivative.
    bilinear: it is linear in each operand except those of ``selects``.
    selects: the operands by which there is no derivative, since their ring differs from the result's.
    products: which operands are multiplied, as pairs ``(i, j)``: each bit of i with each other bit of j; or
        ``"bitwise"``: bit k of one operand with bit k of the other; or ``"all"``: any two bits of the operands.
    support: the input bits that each bit of the result depends on, from those of the operands, as arrays of Python
        integers with one bit per input bit; ``None``: each depends on all. :func:`rdahw.is_safe` uses these two.
    """

    name: str
    attributes: tuple[str, ...] = ()
    type_rule: Callable[..., Type]
    evaluate: Callable[..., Array] | None
    reverse: Callable[..., Sequence[Wire | Part | None]] | None = None
    signed: Callable[..., Sequence[Wire | Part | None]] | None = None
    expansion: Callable[..., Wire] | None = None
    lowering: Callable[..., Wire] | None = None
    linear: bool = False
    bilinear: bool = False
    selects: tuple[int, ...] = ()
    products: tuple[tuple[int, int], ...] | Literal["bitwise", "all"] = ()
    support: Callable[..., NDArray[Any]] | None = None


def listed(types: Sequence[Type]) -> str:
    """The types as messages show them."""
    return ", ".join(map(str, types)) or "none"


def bits_only(types: Sequence[Type]) -> list[Bits]:
    """The operands' types, all bits; raises :class:`UserError` if one is words."""
    found = [t for t in types if isinstance(t, Bits)]
    if len(found) < len(types):
        raise UserError(
            f"operands of types {listed(types)} were given; expected bits: words have + and *, and as_bits() casts "
            "words and switches"
        )
    return found


def one_of_bits(*types: Type) -> Bits:
    """The type of the only operand, bits; raises :class:`UserError` otherwise."""
    if len(given := bits_only(types)) != 1:
        raise UserError(f"operands of types {listed(types)} were given; expected one")
    return given[0]


def check_range(indices: Sequence[int], count: int, what: str) -> None:
    """Raise :class:`UserError` unless all indices of ``what``, "bit" or "word", are from 0 to ``count`` - 1."""
    wrong = next((i for i in indices if not 0 <= i < count), None)
    if wrong is not None:
        raise UserError(f"{what} {wrong} was asked for; expected one from 0 to {count - 1}")
