"""Optimisers: lenses on (state, parameters), after Cruttwell et al., *Categorical Foundations of Gradient-Based
Learning*, arXiv 2103.01931.

``get`` gives the parameters that the model predicts with, from the state; ``put`` takes the request for these
parameters and gives the new state. A state is one or more vectors of the type of the request, and a few words more
where a rule draws random numbers (:mod:`rdahw.random_circuit`) or counts its updates; all are zero at the start.

Steps in fixed point are written once, as formulas of vectors: of words, whose sums wrap and whose scaling rounds down,
or of any numbers with + and -.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from rdahw.errors import UsageError
from rdahw.fixed_point import divide, magnitude, multiply, signed_words, square_root, times
from rdahw.random_circuit import draw, state_words
from rdahw.rules import Number, Rule
from rdahw.scores import FRACTIONS, check_fraction, saturating_sum
from rdahw.surrogates import number, shift_right
from rdahw.tracing import Wire, WordWire, cat
from rdahw.types import MAX_WORD_BITS, Bits, Switches, Type, Words
from rdahw.word_primitives import from_planes, planes, sum_of_planes

__all__ = ["FORMULAS", "OPTIMISERS", "Bound", "Formula", "Optimiser"]


def _first(vectors: Sequence[Wire], **numbers: int) -> Wire:
    return vectors[0]


def _none(width: int, /, **numbers: int) -> int:
    return 0


def _same(parameters: NDArray[np.uint8], unit: Type, **numbers: int) -> NDArray[np.uint8]:
    return parameters


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimiser(Rule):
    """A row of :data:`OPTIMISERS`.

    put: ``put(vectors, request, **numbers)``, the new vectors of the state. vectors: how many there are. get:
    ``get(vectors, **numbers)``, the parameters; by default the first vector. learn: the parameters that requests are
    made with, if they are others. start: ``start(bits, unit, **numbers)``, the bits of the first vector, of the type
    ``unit``, of a state without updates that gives the parameters with these bits. more: ``more(bits, **numbers)``, the
    number of further words of so many bits in the state; they are the last of ``vectors`` where there are some.
    """

    put: Callable[..., Sequence[Wire]]
    vectors: int = 1
    get: Callable[..., Wire] = _first
    learn: Callable[..., Wire] | None = None
    start: Callable[..., NDArray[np.uint8]] = _same
    more: Callable[..., int] = _none

    def bound(self, parameters: Type, numbers: Mapping[str, int]) -> Bound:
        """The lens of these numbers, for parameters of this type."""
        count, unit = parameters.count, parameters.tangent
        bits = unit.bits if isinstance(unit, Words) else 1
        more = self.more(bits, **numbers)
        sizes = [count] * self.vectors + ([more] if more else [])
        ends = list(accumulate(sizes))

        def on(rule: Callable[..., Any]) -> Callable[..., Any]:
            def parts(state: Wire, *others: Wire) -> Any:
                each = [state[end - size : end] for size, end in zip(sizes, ends, strict=True)]
                return rule(each, *others, **numbers)

            return parts

        return Bound(
            unit.of(sum(sizes)),
            on(self.get),
            on(self.learn) if self.learn is not None and more else None,
            lambda *given: cat(*on(self.put)(*given)),
        )


class Bound(NamedTuple):
    """An optimiser with its numbers, for parameters of one type. state: the type of its state. get, learn (None: as
    get) and put: as in :class:`Optimiser`, on the whole state."""

    state: Type
    get: Callable[[Wire], Wire]
    learn: Callable[[Wire], Wire] | None
    put: Callable[[Wire, Wire], Wire]


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


_FRACTION = Number("fraction", FRACTIONS, 10)


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

    given = (*numbers, _FRACTION)
    return Optimiser(kind=Words, put=put, vectors=vectors, get=get, numbers=given)


def _count(vectors: Sequence[WordWire], request: WordWire, bits: int) -> Sequence[Wire]:
    return [saturating_sum(vectors[0], request, bits)]


def _of_generator(width: int, /, noise: int = 1, **numbers: int) -> int:
    return state_words(width) if noise else 0


def _count_signs(vectors: Sequence[WordWire], request: WordWire, bits: int, noise: int) -> Sequence[Wire]:
    each = planes(request.as_bits(), request.type.bits)
    asked = each[0]
    for plane in each[1:]:
        asked = asked | plane
    sign = from_planes([asked, *[each[-1]] * (request.type.bits - 1)]).as_words(request.type.bits)
    drawn = [draw(generator, "sign", _noise_words(vectors, noise))[1] for generator in vectors[1:]]
    return [saturating_sum(vectors[0], sign, bits), *drawn]


def _signs(vectors: Sequence[WordWire], bits: int, noise: int) -> Wire:
    counters = vectors[0]
    return (~planes(counters.as_bits(), counters.type.bits)[-1]).as_switches(counters.type.bits)


def _half_sure(switches: NDArray[np.uint8], unit: Words, bits: int, noise: int) -> NDArray[np.uint8]:
    """Counters half-way to the ends of their range."""
    half = 1 << bits - 2
    return unit.to_bits(np.where(switches, half - 1, -half))


def _noise_words(vectors: Sequence[WordWire], noise: int) -> int:
    return -(-len(vectors[0]) * noise // 64)


def _noisy_signs(vectors: Sequence[WordWire], bits: int, noise: int) -> Wire:
    counters, width = vectors[0], vectors[0].type.bits
    if noise > width:
        raise UsageError(f"noise of {noise} bits was asked for in words of {width}; expected at most {width}")
    drawn = from_planes(draw(vectors[1], "sign", _noise_words(vectors, noise))[0])
    each = planes(drawn[: len(counters) * noise], noise)
    added = from_planes([*each, *[each[-1]] * (width - noise)]).as_words(width)
    return _signs([counters.saturating_add(added, width)], bits, noise)


#: The bits of a uniform number.
_UNIFORM = 32


def _multinomial(
    vectors: Sequence[WordWire], request: WordWire, draws: int, base: int, fraction: int
) -> Sequence[Wire]:
    """w - sign(g)·x with x of Multinomial(draws, p), p in proportion to |g| + base; a draw is the first parameter whose
    running sum of chances is above (uniform number of 32 bits times the sum of all) / 2^32, rounded down."""
    weights, generator = vectors
    count, bits = len(weights), weights.type.bits
    check_fraction(bits, fraction)
    # Chances are below 2^(top + 1), and their sum is below 2^31 and fits a word.
    top = min(bits, 32) - 2 - count.bit_length()
    if top < 1 or base > 1 << top:
        raise UsageError(
            f"a base of {base} for each of {count} parameters does not fit words of {bits} bits; expected at most "
            f"{1 << top if top > 0 else 'none'}, or a model of wider words"
        )
    within = request.saturating_add(request.zeros(count), min(top + fraction + 1, bits - 1))
    negative = within.as_bits().gather(range(bits - 1, within.width, bits))
    size = within.negate(negative).shift(fraction).saturating_add(request.zeros(count), top + 1)
    asks = size.count_below(size.zeros(1)).as_bits().gather(range(0, size.width, bits))
    reached = (size + number(size, base)).cumulate()
    drawn, after = draw(generator, "multinomial", -(-draws // 2))
    uniform = [cat(drawn[b], drawn[b + _UNIFORM])[:draws] for b in range(_UNIFORM)]
    total = [plane.repeat(draws) for plane in planes(reached[-1].as_bits(), bits)[: _UNIFORM - 1]]
    at = signed_words(multiply(uniform, total)[_UNIFORM:], uniform[0].zeros(draws), weights.type.of(draws))
    before = reached.count_below(at)
    taken = before - cast(WordWire, before.concat(before.zeros(1), before)[:count])
    return [weights.saturating_add(taken.negate(negative).mask(asks), bits), after]


def _adagrad(vectors: Sequence[WordWire], request: WordWire, rate: int, fraction: int) -> Sequence[Wire]:
    p, squares = vectors
    g, type_ = _gradient(request, fraction), p.type
    squares = squares.saturating_add(g * g, type_.bits)
    size, negative = magnitude(g)
    # With the least unit added, so that it is not zero.
    root = planes(squares.as_bits(), type_.bits)[:-1]
    step = divide(times(size, rate, type_.bits + rate.bit_length()), _root_and_one(root))
    return [p - signed_words(step, negative, type_), squares]


def _gradient(request: WordWire, fraction: int) -> WordWire:
    """The negative of the request, rounded down and limited, so that its square fits a word."""
    bits = request.type.bits
    check_fraction(bits, 2 * fraction)  # squares have twice as many bits after the point
    return (-request).shift(fraction).saturating_add(request.zeros(len(request)), bits // 2)


def _root_and_one(square: Sequence[Wire]) -> list[Wire]:
    root = square_root(square)
    one = ~root[0].zeros(root[0].width)
    none = ~one
    return sum_of_planes([*root, none], [one, *[none] * len(root)])


def _towards(old: WordWire, new: WordWire, part: int, fraction: int) -> WordWire:
    """old + (new - old)·part, the change rounded away from 0; ``part`` in units of 2^-fraction."""
    size, negative = magnitude(new - old)
    none = negative.zeros(len(old))
    most = [~none] * fraction + [none] * (len(size) + 1)
    return old + signed_words(sum_of_planes(times(size, part, len(most)), most)[fraction:], negative, old.type)


def _adam(
    vectors: Sequence[WordWire], request: WordWire, rate: int, mean: int, square: int, fraction: int
) -> Sequence[Wire]:
    p, means, squares, weights = vectors
    bits, type_ = p.type.bits, p.type
    if max(mean, square) >= 1 << fraction:
        raise UsageError(
            f"averages that keep {max(mean, square)} units of 2^-{fraction} were asked for; expected less than 1, that "
            f"is, at most {(1 << fraction) - 1}"
        )
    parts = (1 << fraction) - mean, (1 << fraction) - square
    g = _gradient(request, fraction)
    fine = (-request).saturating_add(request.zeros(len(request)), bits - 1)  # so that a difference of two fits a word
    means, squares = _towards(means, fine, parts[0], fraction), _towards(squares, g * g, parts[1], fraction)
    # The averages of ones, by which the others are divided.
    ones = number(weights[0], 1 << 2 * fraction)
    weights = cast(WordWire, cat(*(_towards(weights[i], ones, part, fraction) for i, part in enumerate(parts))))
    first, second = (planes(weights[i].as_bits(), bits)[: 2 * fraction + 1] for i in range(2))
    # rate · sqrt(second) / first has 2·fraction bits after the point.
    none = [first[0].zeros(1)]
    root = square_root(none * (2 * (fraction // 2)) + second)
    scaled = times(root, rate, len(root) + rate.bit_length())
    pace = divide(none * (2 * fraction - fraction // 2) + scaled, first)
    size, negative = magnitude(means)
    product = multiply(size, [plane.repeat(len(p)) for plane in pace])
    step = divide(product[2 * fraction :], _root_and_one(planes(squares.as_bits(), bits)[:-1]))
    return [p - signed_words(step, negative, type_), means, squares, weights]


_RATE, _FRICTION = Number("rate", range(1, 1 << 16), 8), Number("friction", range(1 << 16), 922)
_BITS = Number("bits", range(2, MAX_WORD_BITS + 1), 6)

#: Optimisers. ``xor`` is the paper's: requested parameters are flipped. ``counter=K`` adds the request to signed
#: counters that saturate at K bits. ``sign=K`` has such counters for switches: a switch is on where its counter is not
#: negative, and the sign of the request is added; while learning, ``noise=N`` adds a random number of N bits to each
#: counter before its sign is read. In fixed point with F bits after the point, R and G in units of 2^-F:
#: ``descent=R,F``, and with a velocity ``momentum=R,G,F`` and ``nesterov=R,G,F``. ``multinomial=N,C,F`` moves N times a
#: parameter by one, drawn in proportion to its request, shifted right by F bits, plus C (arXiv 2512.04051).
OPTIMISERS: Mapping[str, Optimiser] = {
    "xor": Optimiser(kind=Bits, put=lambda vectors, request: [vectors[0] ^ request]),
    "counter": Optimiser(kind=Words, put=_count, numbers=(_BITS,)),
    "sign": Optimiser(
        kind=Switches,
        put=_count_signs,
        get=_signs,
        learn=_noisy_signs,
        start=_half_sure,
        numbers=(_BITS, Number("noise", range(17), 0, True)),
        more=_of_generator,
    ),
    "descent": _in_fixed_point("descent", 1, (_RATE,)),
    "momentum": _in_fixed_point("momentum", 2, (_RATE, _FRICTION)),
    "nesterov": _in_fixed_point("nesterov", 2, (_RATE, _FRICTION)),
    "adagrad": Optimiser(kind=Words, put=_adagrad, vectors=2, numbers=(_RATE, _FRACTION)),
    "adam": Optimiser(
        kind=Words,
        put=_adam,
        vectors=3,
        numbers=(_RATE, Number("mean", range(1 << 15), 922), Number("square", range(1 << 15), 1023), _FRACTION),
        more=lambda width, /, **numbers: 2,
    ),
    "multinomial": Optimiser(
        kind=Words,
        put=_multinomial,
        numbers=(Number("draws", range(1, 1025), 64), Number("base", range(1 << 16), 0), _FRACTION),
        more=_of_generator,
    ),
}
