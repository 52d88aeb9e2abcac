"""The learner: a model, a loss and an optimiser, and the learning step made from them, as circuits.

One step of reverse derivative ascent (Wilson and Zanasi, arXiv 2101.10488, section 4), in the rings of the model's
types:

    dy     = loss(f(theta, x), y)               (the paper calls it the error)
    dtheta = R[f](theta, x, dy), the part that belongs to theta
    theta' = optimiser(theta, dtheta)

The optimiser is the ``put`` of a lens on (state, request), after Cruttwell et al., *Categorical Foundations of
Gradient-Based Learning*, arXiv 2103.01931.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from rdahw.circuit import Circuit
from rdahw.derivative import reverse
from rdahw.errors import UsageError, nearest
from rdahw.model import Model
from rdahw.ranges import word_range
from rdahw.scores import descent, margin, quadratic, saturating_sum
from rdahw.tracing import Wire, ring_sum, trace
from rdahw.types import MAX_WORD_BITS, Bits, Type, Words

__all__ = ["LOSSES", "OPTIMISERS", "Learner", "Number", "Rule", "usual_rule"]


class Number(NamedTuple):
    """An argument of a rule: its name, its valid values and its default."""

    name: str
    values: range
    usual: int


@dataclass(frozen=True, slots=True)
class Rule:
    """A row of :data:`LOSSES` or :data:`OPTIMISERS`.

    kind: the types that it supports. apply: the rule on two wires.
    numbers: further arguments, given after the rule's name as in ``margin=80`` and ``descent=8,10``.
    """

    kind: type[Bits] | type[Words]
    apply: Callable[..., Wire]
    numbers: tuple[Number, ...] = ()

    def spelt(self, name: str) -> str:
        """The rule as text, with its default numbers."""
        return f"{name}={','.join(str(number.usual) for number in self.numbers)}".removesuffix("=")


#: The bits after the point of a number in fixed point.
_FRACTIONS = range(33)

#: Losses: (output, label) to the cotangent of the output. ``xor`` is the paper's: the output bits to change.
#: ``margin=T`` and ``quadratic=F`` are for class scores and one-hot labels: see :mod:`rdahw.scores`.
LOSSES: Mapping[str, Rule] = {
    "xor": Rule(Bits, lambda output, label: output ^ label),
    "margin": Rule(Words, margin, (Number("threshold", range((1 << 28) + 1), 80),)),
    "quadratic": Rule(Words, quadratic, (Number("fraction", _FRACTIONS, 10),)),
}

#: Optimisers: (state, request) to the new state. ``xor`` is the paper's: requested parameters are flipped.
#: ``counter=K`` adds the request to signed counters that saturate at K bits. ``descent=R,F`` adds R / 2^F times the
#: request, numbers with F bits after the point: see :func:`rdahw.scores.descent`.
OPTIMISERS: Mapping[str, Rule] = {
    "xor": Rule(Bits, lambda theta, request: theta ^ request),
    "counter": Rule(Words, saturating_sum, (Number("bits", range(2, MAX_WORD_BITS + 1), 6),)),
    "descent": Rule(Words, descent, (Number("rate", range(1, 1 << 16), 8), Number("fraction", _FRACTIONS, 10))),
}


@dataclass(frozen=True, slots=True)
class Learner:
    """A model with its loss and optimiser, by name.

    cotangent : B × Y → B, from (output, y) to ``dy``.
    request : P × A × Y → P × Y, from (theta, x, y) to the request ``dtheta`` and the model's prediction ``output``.
    total : P × P → P, the sum of two requests.
    update : P × P → P, from (theta, dtheta) to the new theta.
    step : P × A × Y → P, one update by one example: request and update in sequence.

    Y is the type of labels and predictions, ``Bits(model.output_bits)``; for a model whose output is bits it is B.
    In a batch the requests are summed in their ring (for bits: XOR) and applied once, after the last example; the paper
    has batches of one.

    Raises :class:`UsageError` for an unknown loss or optimiser, for one that does not support the model's types, and
    for counters so wide that scores could wrap.
    """

    model: Model
    loss: str = "xor"
    optimiser: str = "xor"
    cotangent: Circuit = field(init=False, compare=False, repr=False)
    request: Circuit = field(init=False, compare=False, repr=False)
    total: Circuit = field(init=False, compare=False, repr=False)
    update: Circuit = field(init=False, compare=False, repr=False)
    step: Circuit = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        model = self.model.circuit
        state, data = model.input_types
        output, label = model.output_types[0], Bits(self.model.output_bits)
        loss = _rule("loss", self.loss, LOSSES, f"model {self.model.name!r} gives", output)
        update = _rule("optimiser", self.optimiser, OPTIMISERS, f"model {self.model.name!r} has parameters of", state)
        self._check_width()
        pull_back = reverse(model, wrt=model.input_names[:1])

        def request(theta: Wire, x: Wire, y: Wire) -> dict[str, Wire]:
            output = model(theta, x)
            return {"dtheta": pull_back(theta, x, loss(output, y)), "output": self.model.head(output)}

        made = {
            "cotangent": trace(lambda output, y: {"dy": loss(output, y)}, output=output, y=label),
            "request": trace(request, theta=state, x=data, y=label),
            "total": trace(lambda a, b: {"total": ring_sum(a, b)}, a=state, b=state),
            "update": trace(lambda theta, dtheta: {"theta": update(theta, dtheta)}, theta=state, dtheta=state),
            "step": trace(
                lambda theta, x, y: {"theta": update(theta, request(theta, x, y)["dtheta"])},
                theta=state,
                x=data,
                y=label,
            ),
        }
        for name, circuit in made.items():
            object.__setattr__(self, name, circuit)

    def _check_width(self) -> None:
        state = self.model.circuit.input_types[0]
        name, _, number = self.optimiser.partition("=")
        if isinstance(state, Words) and name == "counter":
            counters = -(1 << int(number) - 1), (1 << int(number) - 1) - 1
            found = word_range(self.model.circuit, self.model.circuit.input_names[0], counters)
            limit = 1 << state.bits - 1
            if found is not None and not -limit <= found[0] <= found[1] < limit:
                raise UsageError(
                    f"optimiser {self.optimiser!r} does not suit: with such counters scores of model "
                    f"{self.model.name!r} would wrap, as its words have {state.bits} bits; use fewer bits for a "
                    "counter, or a model of wider words"
                )

    @property
    def largest_batch(self) -> int | None:
        """The most requests of -1, 0 and 1 per parameter whose sum cannot wrap; ``None`` if no sum can."""
        state = self.model.circuit.input_types[0]
        return None if isinstance(state, Bits) else (1 << state.bits - 1) - 1

    def check_batch(self, examples: int) -> None:
        """Raise :class:`UsageError` if a batch of this size is too large."""
        if self.largest_batch is not None and examples > self.largest_batch:
            raise UsageError(
                f"a batch of {examples} examples is too large for parameters of type "
                f"{self.model.circuit.input_types[0]}, whose sums would wrap; expected at most {self.largest_batch}"
            )


def usual_rule(rows: Mapping[str, Rule], type_: Type) -> str:
    """The first rule of ``rows`` that supports ``type_``, with its default number."""
    return next(row.spelt(name) for name, row in rows.items() if isinstance(type_, row.kind))


def _rule(kind: str, given: str, known: Mapping[str, Rule], what: str, type_: Type) -> Callable[..., Wire]:
    """The function of the rule ``given``, for wires of ``type_``, with its number bound."""
    name, equals, number = given.partition("=")
    if name not in known:
        raise UsageError(f"{kind} {given!r} is unknown; {nearest(name, known)}")
    rule = known[name]
    if not isinstance(type_, rule.kind):
        fitting = " or ".join(row.spelt(other) for other, row in known.items() if isinstance(type_, row.kind))
        raise UsageError(f"{kind} {given!r} does not suit, as {what} {type_}; use {fitting}")
    if not rule.numbers:
        if equals:
            raise UsageError(f"{kind} {given!r} was given; expected {name!r} with no number")
        return rule.apply
    values = number.split(",")
    if len(values) != len(rule.numbers) or not all(
        re.fullmatch(r"\d{1,9}", value) and int(value) in known.values
        for value, known in zip(values, rule.numbers, strict=True)
    ):
        form = ",".join(["NUMBER"] * len(rule.numbers))
        each = ", ".join(f"a whole number from {known.values[0]} to {known.values[-1]}" for known in rule.numbers)
        raise UsageError(f"{kind} {given!r} was given; expected {name}={form}, {each}, such as {rule.spelt(name)}")
    return partial(rule.apply, **{known.name: int(value) for known, value in zip(rule.numbers, values, strict=True)})
