"""What a row of the table of primitives is; :mod:`rdahw.primitives` has the table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from rdahw.errors import UserError
from rdahw.types import Bits, Type

if TYPE_CHECKING:
    from rdahw.tracing import Wire

__all__ = ["Array", "Primitive", "bits_only", "listed"]

Array = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class Primitive:
    """One row of the table; see :mod:`rdahw.primitives` for what the functions take.

    name: as printed and as every back end's table spells it.
    attributes: names of the static arguments, in order.
    type_rule: ``type_rule(*types, *attributes) -> type`` of the result; raises :class:`UserError` on a misuse.
    evaluate: ``evaluate(*arrays, *attributes) -> array``.
    reverse: ``reverse(dy, *operands, *attributes) -> cotangent of each operand`` (``None``: zero). A row without one is
        differentiated through its expansion.
    expansion: ``expansion(*operands, *attributes) -> wire`` in the core only; ``None`` in the core itself.
    lowering: ``lowering(*operands, *attributes) -> wire`` in rows of bits, between casts: what a row of words is to a
        back end that has no row for it. It says nothing about derivatives.
    linear: the map is linear over the ring, so it is its own forward derivative.
    bilinear: it is linear in each operand, or in each but those of ``selects``.
    selects: the operands by which there is no derivative, as they are of another ring than the result.
    products: which operands are multiplied with which, as ``(i, j)``: each bit of i with each other bit of j, or
        ``"bitwise"``: bit k of one operand with bit k of the other, or ``"all"``: every two bits of the operands.
    support: which input bits each bit of the result depends on, given the same of the operands, as arrays of Python
        numbers with one bit an input bit; ``None``: each depends on all. With ``products``, for :func:`rdahw.is_safe`.
    """

    name: str
    attributes: tuple[str, ...] = ()
    type_rule: Callable[..., Type]
    evaluate: Callable[..., Array] | None
    reverse: Callable[..., Sequence[Wire | None]] | None = None
    expansion: Callable[..., Wire] | None = None
    lowering: Callable[..., Wire] | None = None
    linear: bool = False
    bilinear: bool = False
    selects: tuple[int, ...] = ()
    products: tuple[tuple[int, int], ...] | Literal["bitwise", "all"] = ()
    support: Callable[..., NDArray[Any]] | None = None


def listed(types: Sequence[Type]) -> str:
    """The types as a message shows them."""
    return ", ".join(map(str, types)) or "none"


def bits_only(types: Sequence[Type]) -> list[Bits]:
    """The operands' types where the ring is Z2; raises :class:`UserError` where one is of words."""
    found = [t for t in types if isinstance(t, Bits)]
    if len(found) < len(types):
        raise UserError(
            f"operands of types {listed(types)} were given; expected bits: words have + and *, and as_bits() casts them"
        )
    return found
