"""Blocks with a reverse derivative of their own."""

from __future__ import annotations

from collections.abc import Callable

from rdahw.circuit import Block, Circuit
from rdahw.tracing import Wire, builder_of

__all__ = ["custom_reverse"]


def custom_reverse(f: Circuit, r: Circuit, *, name: str, exact: bool) -> Callable[..., Wire]:
    """``f : A1 × … × An → B`` as a block for traces whose reverse derivative is ``r : A1 × … × An × B → A1 × … × An``.

    Like JAX's ``custom_vjp``. ``exact`` declares that ``r`` is the Boolean difference of ``f``, as where its formal
    derivative is costly or another one; otherwise ``r`` is a *surrogate*, and never passes for exact. ``r`` must be
    linear in its last input. Raises :class:`UserError` if the types do not fit.
    """
    block = Block(name, f, r, exact)

    def apply(*operands: Wire) -> Wire:
        return builder_of(*operands).apply("custom", *operands, attributes=(block,))

    return apply
