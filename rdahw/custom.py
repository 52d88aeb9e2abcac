"""Blocks with a declared reverse derivative."""

from __future__ import annotations

from collections.abc import Callable

from rdahw.circuit import Block, Circuit
from rdahw.tracing import Wire, builder_of

__all__ = ["custom_reverse"]


def custom_reverse(f: Circuit, r: Circuit, *, name: str, exact: bool) -> Callable[..., Wire]:
    """``f : A1 × … × An → B`` as a block for traces whose reverse derivative is ``r : A1 × … × An × B → A1 × … × An``.

    Like JAX's ``custom_vjp``. ``exact`` declares that ``r`` is the Boolean difference of ``f``, for instance if the
    formal derivative is costly or differs; otherwise ``r`` is a *surrogate*. Unless ``r`` is linear in its last input,
    a circuit with the block has no forward derivative. Raises :class:`UserError` if the types do not fit.

    The sign of a signed number, with a cotangent that goes to all of its bits:

    >>> from rdahw import Bits, trace
    >>> sign = trace(lambda x: x[-1], x=Bits(4))
    >>> through = trace(lambda x, dy: dy.repeat(4), x=Bits(4), dy=Bits(1))
    >>> print(trace(custom_reverse(sign, through, name="sign", exact=False), x=Bits(4)))
    circuit (x: Bits(4)) -> (y: Bits(1)):
      %1: Bits(1) = custom(x, block=0)
      return y=%1
      block 0 "sign" surrogate:
        circuit (x: Bits(4)) -> (y: Bits(1)):
          %1: Bits(1) = slice(x, start=3, stop=4)
          return y=%1
        circuit (x: Bits(4), dy: Bits(1)) -> (y: Bits(4)):
          %2: Bits(4) = repeat(dy, times=4)
          return y=%2
    """
    block = Block(name, f, r, exact)

    def apply(*operands: Wire) -> Wire:
        return builder_of(*operands).apply("custom", *operands, attributes=(block,))

    return apply
