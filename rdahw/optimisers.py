"""Optimisers: lenses on (state, parameters), after Cruttwell et al., *Categorical Foundations of Gradient-Based
Learning*, arXiv 2103.01931.

``get`` gives the parameters that the model predicts with, from the state; ``put`` takes the request for these
parameters and gives the new state. A state is one or more vectors of the type of the request, zero at the start.

Steps in fixed point are written once, as formulas of vectors: of words, whose sums wrap and whose scaling rounds down,
or of any numbers with + and -.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from rdahw.rules import Number, Rule
from rdahw.scores import FRACTIONS, check_fraction, saturating_sum
from rdahw.surrogates import number, shift_right
from rdahw.tracing import Wire, WordWire
from rdahw.types import MAX_WORD_BITS, Bits, Switches, Type, Words
from rdahw.word_primitives import from_planes, planes

__all__ = ["FORMULAS", "OPTIMISERS", "Formula", "Optimiser"]


def _first(vectors: Sequence[Wire], **numbers: int) -> Wire:
    return vectors[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimiser(Rule):
    """A row of :data:`OPTIMISERS`.

    put: ``put(vectors, request, **numbers)``, the new vectors of the state. vectors: how many there are. get:
    ``get(vectors, **numbers)``, the parameters; by default the first vector.
    """

    put: Callable[..., Sequence[Wire]]
    vectors: int = 1
    get: Callable[..., Wire] = _first

    def state(self, parameters: Type) -> Type:
        """The type of the state for parameters of this type."""
        return parameters.tangent.of(parameters.count * self.vectors)


class Formula(NamedTuple):
    """A step in fixed point: ``put(vectors, gradient, scale, *numbers)`` and ``get(vectors, scale, *numbers)``, where
    ``scale(vector, number)`` multiplies. The gradient is the negative of the request."""

    put: Callable[..., list[Any]]
    get: Callable[..., Any]


def _descent(vectors: Sequence[Any], gradient: Any, scale: Callable[..., Any], rate: Any) -> list[Any]:
    (p,) = vectors
    return [p - scale(gradient, rate)]


def _momentum(vectors: Sequence[Any], gradient: Any, scale: Callable[..., Any], rate: Any, friction: Any) -> list[Any]:
    p, velocity = vectors
    velocity = scale(velocity, friction) + scale(gradient, rate)
    return [p - velocity, velocity]


def _ahead(vectors: Sequence[Any], scale: Callable[..., Any], rate: Any, friction: Any) -> Any:
    """Where the velocity alone would lead."""
    p, velocity = vectors
    return p - scale(velocity, friction)


#: Gradient descent; with a velocity; with a velocity, and the gradient taken where it leads (Nesterov).
FORMULAS: Mapping[str, Formula] = {
    "descent": Formula(_descent, lambda vectors, scale, *numbers: vectors[0]),
    "momentum": Formula(_momentum, lambda vectors, scale, *numbers: vectors[0]),
    "nesterov": Formula(_momentum, _ahead),
}


def _scaling(fraction: int) -> Callable[[WordWire, int], WordWire]:
    return lambda vector, factor: shift_right(vector * number(vector, factor), fraction)


def _in_fixed_point(name: str, vectors: int, numbers: tuple[Number, ...]) -> Optimiser:
    """The optimiser of a formula; requests, which are products, have twice as many bits after the point."""
    formula = FORMULAS[name]

    def put(vectors: Sequence[WordWire], request: WordWire, fraction: int, **given: int) -> Sequence[Wire]:
        check_fraction(request.type.bits, fraction)
        return formula.put(vectors, shift_right(-request, fraction), _scaling(fraction), *given.values())

    def get(vectors: Sequence[WordWire], fraction: int, **given: int) -> Wire:
        check_fraction(vectors[0].type.bits, fraction)
        result: Wire = formula.get(vectors, _scaling(fraction), *given.values())
        return result

    given = (*numbers, Number("fraction", FRACTIONS, 10))
    return Optimiser(kind=Words, put=put, vectors=vectors, get=get, numbers=given)


def _count(vectors: Sequence[WordWire], request: WordWire, bits: int) -> Sequence[Wire]:
    return [saturating_sum(vectors[0], request, bits)]


def _count_signs(vectors: Sequence[WordWire], request: WordWire, bits: int) -> Sequence[Wire]:
    each = planes(request.as_bits(), request.type.bits)
    asked = each[0]
    for plane in each[1:]:
        asked = asked | plane
    sign = from_planes([asked, *[each[-1]] * (request.type.bits - 1)]).as_words(request.type.bits)
    return [saturating_sum(vectors[0], sign, bits)]


def _signs(vectors: Sequence[WordWire], bits: int) -> Wire:
    counters = vectors[0]
    return (~planes(counters.as_bits(), counters.type.bits)[-1]).as_switches(counters.type.bits)


_RATE, _FRICTION = Number("rate", range(1, 1 << 16), 8), Number("friction", range(1 << 16), 922)
_BITS = Number("bits", range(2, MAX_WORD_BITS + 1), 6)

#: Optimisers. ``xor`` is the paper's: requested parameters are flipped. ``counter=K`` adds the request to signed
#: counters that saturate at K bits. ``sign=K`` has such counters for switches: a switch is on where its counter is not
#: negative, and the sign of the request is added. In fixed point with F bits after the point, R and G in units of 2^-F:
#: ``descent=R,F``, and with a velocity ``momentum=R,G,F`` and ``nesterov=R,G,F``.
OPTIMISERS: Mapping[str, Optimiser] = {
    "xor": Optimiser(kind=Bits, put=lambda vectors, request: [vectors[0] ^ request]),
    "counter": Optimiser(kind=Words, put=_count, numbers=(_BITS,)),
    "sign": Optimiser(kind=Switches, put=_count_signs, get=_signs, numbers=(_BITS,)),
    "descent": _in_fixed_point("descent", 1, (_RATE,)),
    "momentum": _in_fixed_point("momentum", 2, (_RATE, _FRICTION)),
    "nesterov": _in_fixed_point("nesterov", 2, (_RATE, _FRICTION)),
}
