"""Finite semirings, one row each: what :class:`rdahw.types.Scalars` add and multiply.

An element is a number from 0 to the largest, 0 and 1 are the neutral ones. In all of them a + b is a function of the
whole numbers a and b, and the product a·b is b times a, so that an addition is all that a row states. After Wilson and
Zanasi, *Categories of Differentiable Polynomial Circuits for Machine Learning*, arXiv 2203.06430.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from rdahw.errors import UserError

if TYPE_CHECKING:
    from rdahw.tracing import Wire

__all__ = ["SEMIRINGS", "Semiring", "find_semiring"]

#: The largest element of any, so that a sum of two is a small number.
_LARGEST = (1 << 16) - 1


@dataclass(frozen=True, slots=True)
class Semiring:
    """A finite semiring.

    largest: the elements are the numbers from 0 to it. negative: each element has a negative, so it is a ring.
    reduced: ``reduced(s, largest) -> a + b``, from the whole number s = a + b.
    reduced_planes: the same from the planes of s, one more than an element has, to those of an element, with the planes
        of s - (largest + 1) in two's complement, two more than an element has.
    """

    name: str
    largest: int
    negative: bool
    reduced: Callable[[Any, int], Any]
    reduced_planes: Callable[[Sequence[Wire], Sequence[Wire], int], list[Wire]]

    @property
    def bits(self) -> int:
        """The bits of an element."""
        return self.largest.bit_length()

    @property
    def gaps(self) -> bool:
        """Whether some patterns of these bits are no elements."""
        return self.largest + 1 < 1 << self.bits


def _modulo(total: Any, largest: int) -> Any:
    import numpy as np

    return np.where(total > largest, total, total + (largest + 1)) - (largest + 1)


def _modulo_planes(total: Sequence[Wire], beyond: Sequence[Wire], largest: int) -> list[Wire]:
    small = beyond[-1]
    return [(p & small) | (q & ~small) for p, q in zip(total, beyond[: len(total) - 1], strict=False)]


def _saturated(total: Any, largest: int) -> Any:
    import numpy as np

    return np.minimum(total, largest)


def _saturated_planes(total: Sequence[Wire], beyond: Sequence[Wire], largest: int) -> list[Wire]:
    small = beyond[-1]
    return [
        plane | ~small if largest >> b & 1 else plane & small for b, plane in enumerate(total[: largest.bit_length()])
    ]


#: By a pattern of names: what makes the row from the number in the name. ``Z<n>``: whole numbers modulo n.
#: ``Sat<n>``: 0 to n, sums and products above n being n. ``Or``: addition is OR, multiplication AND.
SEMIRINGS: Mapping[str, Callable[[str], Semiring]] = {
    r"Z([1-9]\d{0,4})": lambda n: Semiring(f"Z{n}", int(n) - 1, True, _modulo, _modulo_planes),
    r"Sat([1-9]\d{0,4})": lambda n: Semiring(f"Sat{n}", int(n), False, _saturated, _saturated_planes),
    r"(Or)": lambda name: Semiring(name, 1, False, _saturated, _saturated_planes),
}


@lru_cache(maxsize=256)
def find_semiring(name: str) -> Semiring:
    """The semiring of this name; raises :class:`UserError` if there is none."""
    for pattern, make in SEMIRINGS.items():
        if found := re.fullmatch(pattern, str(name)):
            semiring = make(found[1])
            if 1 <= semiring.largest <= _LARGEST:
                return semiring
    raise UserError(
        f"the semiring {name!r} is unknown; expected Z2 to Z{_LARGEST + 1} (whole numbers modulo n), Sat1 to "
        f"Sat{_LARGEST} (0 to n, saturating) or Or (OR and AND)"
    )
