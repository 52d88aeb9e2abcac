"""The learner: a model, a loss and an optimiser, and the learning step made from them, as circuits.

One step of reverse derivative ascent (Wilson and Zanasi, arXiv 2101.10488, section 4), in the rings of the model's
types:

    dy     = loss(f(theta, x), y)               (the paper calls it the error)
    dtheta = R[f](theta, x, dy), the part that belongs to theta
    theta' = optimiser(theta, dtheta)

The optimiser is a lens on (state, parameters) (:mod:`rdahw.optimisers`): theta is then what it gets from its state, and
it puts the request into the state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdahw.circuit import Circuit
from rdahw.derivative import reverse
from rdahw.errors import UsageError
from rdahw.model import Model
from rdahw.optimisers import OPTIMISERS
from rdahw.ranges import word_range
from rdahw.rules import Number, Rule, find_rule
from rdahw.scores import FRACTIONS, dot, margin, quadratic, softmax, target
from rdahw.tracing import Wire, cat, constant, ring_sum, trace
from rdahw.transform import constants
from rdahw.types import Bits, Switches, Type, Words

__all__ = ["LOSSES", "Learner", "Loss"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss(Rule):
    """A row of :data:`LOSSES`. apply: ``apply(output, label, **numbers)``, the cotangent of the output, a direction of
    improvement. of_units: its words are -1, 0 and 1 alone."""

    apply: Callable[..., Wire]
    of_units: bool = False


_FRACTION = (Number("fraction", FRACTIONS, 10),)

#: Losses: (output, label) to the cotangent of the output. ``xor`` is the paper's: the output bits to change.
#: ``target`` is +1 or -1 for each switch. ``margin=T``, ``quadratic=F``, ``dot=F`` and ``softmax=F`` are for class
#: scores and one-hot labels: see :mod:`rdahw.scores`.
LOSSES: Mapping[str, Loss] = {
    "xor": Loss(kind=Bits, apply=lambda output, label: output ^ label),
    "target": Loss(kind=Switches, apply=target, of_units=True),
    "margin": Loss(kind=Words, apply=margin, numbers=(Number("threshold", range((1 << 28) + 1), 80),), of_units=True),
    "quadratic": Loss(kind=Words, apply=quadratic, numbers=_FRACTION),
    "dot": Loss(kind=Words, apply=dot, numbers=_FRACTION),
    "softmax": Loss(kind=Words, apply=softmax, numbers=_FRACTION),
}


@dataclass(frozen=True, slots=True)
class Learner:
    """A model with its loss and optimiser, by name.

    given : the model as it was given.
    model : S × A → B, the model with the optimiser's state in place of the parameters; if these are the state, the
        same.
    cotangent : B × Y → B, from (output, y) to ``dy``.
    request : S × A × Y → S × Y, from (theta, x, y) to the request ``dtheta`` and the model's prediction ``output``. The
        request is the first vector of the state's type, the others are zero.
    total : S × S → S, the sum of two requests.
    update : S × S → S, from (theta, dtheta) to the new theta.
    step : S × A × Y → S, one update by one example: request and update in sequence.

    Y is the type of labels and predictions, ``Bits(model.output_bits)``; for a model whose output is bits it is B.
    In a batch the requests are summed in their ring (for bits: XOR) and applied once, after the last example; the paper
    has batches of one.

    Raises :class:`UsageError` for an unknown loss or optimiser, for one that does not support the model's types, and
    for counters so wide that scores could wrap, or scores so many that requests could.
    """

    model: Model
    loss: str = "xor"
    optimiser: str = "xor"
    given: Model = field(init=False, compare=False, repr=False)
    cotangent: Circuit = field(init=False, compare=False, repr=False)
    total: Circuit = field(init=False, compare=False, repr=False)
    update: Circuit = field(init=False, compare=False, repr=False)
    #: ``request`` and ``step`` as soon as they were asked for: they take most of the time, and predictors need neither.
    _made: dict[str, Circuit] = field(init=False, compare=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        given = self.model.circuit
        parameters, data = given.input_types
        output, label = given.output_types[0], Bits(self.model.output_bits)
        object.__setattr__(self, "given", self.model)
        loss, cotangent = self._loss()
        lens = self._lens()
        state = lens.state
        made = {
            "cotangent": trace(lambda output, y: {"dy": cotangent(output, y)}, output=output, y=label),
            "total": trace(lambda a, b: {"total": ring_sum(a, b)}, a=state, b=state),
            "update": trace(lambda theta, dtheta: {"theta": self._put(theta, dtheta)}, theta=state, dtheta=state),
        }
        for attribute, circuit in made.items():
            object.__setattr__(self, attribute, circuit)
        self._check_width(loss)
        if state != parameters:
            names = dict(zip(given.input_names, (state, data), strict=True))
            whole = trace(lambda theta, x: {given.output_names[0]: given(lens.get(theta), x)}, **names)
            object.__setattr__(self, "model", Model(self.model.name, whole))

    @property
    def request(self) -> Circuit:
        """Raises :class:`UserError` for a model without a derivative by its parameters, and so does :attr:`step`."""
        return self._kept("request", lambda: trace(self._request, **self._example()))

    @property
    def step(self) -> Circuit:
        """See :attr:`request`."""

        def step(theta: Wire, x: Wire, y: Wire) -> dict[str, Wire]:
            return {"theta": self._put(theta, self._request(theta, x, y)["dtheta"])}

        return self._kept("step", lambda: trace(step, **self._example()))

    @property
    def _pull_back(self) -> Circuit:
        given = self.given.circuit
        return self._kept("pull back", lambda: reverse(given, wrt=given.input_names[:1]))

    def _kept(self, name: str, make: Callable[[], Circuit]) -> Circuit:
        if name not in self._made:
            self._made[name] = make()
        return self._made[name]

    def _example(self) -> dict[str, Type]:
        """The types of theta, x and y."""
        theta, x = self.model.circuit.input_types
        return {"theta": theta, "x": x, "y": Bits(self.given.output_bits)}

    def _loss(self) -> tuple[Loss, Callable[..., Wire]]:
        """The row of the loss, and its rule with the numbers."""
        name = f"model {self.given.name!r} gives"
        row, numbers = find_rule("loss", self.loss, LOSSES, name, self.given.circuit.output_types[0])
        return row, partial(row.apply, **numbers)

    def _lens(self) -> Any:
        """The optimiser, for the model's parameters."""
        parameters = self.given.circuit.input_types[0]
        name = f"model {self.given.name!r} has parameters of"
        row, numbers = find_rule("optimiser", self.optimiser, OPTIMISERS, name, parameters)
        return row.bound(parameters, numbers)

    def _request(self, theta: Wire, x: Wire, y: Wire) -> dict[str, Wire]:
        given, lens, (_, cotangent) = self.given.circuit, self._lens(), self._loss()
        read = (lens.learn or lens.get)(theta)
        output = given(read, x)
        dtheta = self._pull_back(read, x, cotangent(output, y))
        rest = lens.state.count - given.input_types[0].count
        padding = [constant(dtheta.builder, 0, lens.state.of(rest))] if rest else []
        predicted = output if lens.learn is None else given(lens.get(theta), x)
        return {"dtheta": cat(dtheta, *padding), "output": self.given.head(predicted)}

    def _put(self, theta: Wire, dtheta: Wire) -> Wire:
        changed: Wire = self._lens().put(theta, dtheta[: self.given.circuit.input_types[0].count])
        return changed

    def _check_width(self, loss: Loss) -> None:
        state = self.model.circuit.input_types[0]
        name, _, number = self.optimiser.partition("=")
        if isinstance(state, Switches) and loss.of_units:
            found = word_range(self._pull_back, self._pull_back.input_names[-1], (-1, 1))
            limit = 1 << state.bits - 1
            if found is not None and not -limit <= found[0] <= found[1] < limit:
                raise UsageError(
                    f"the requests of model {self.model.name!r} could be {found[0]} to {found[1]}, and its cotangents "
                    f"have {state.bits} bits; use switches with more"
                )
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

    def first_state(self, parameters: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The state (S,) as bits before the first example, from which theta is ``parameters`` (P,), bits."""
        given = self.given.circuit.input_types[0]
        row, numbers = find_rule("optimiser", self.optimiser, OPTIMISERS, "the model has parameters of", given)
        state: Any = self.model.circuit.input_types[0]
        bits = np.zeros(state.width, np.uint8)
        first = row.start(parameters, given.tangent, **numbers)
        bits[: len(first)] = first
        return bits

    def parameters(self, state: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The bits of theta (P,) at the bits of a ``state`` (S,)."""
        given = self.given.circuit.input_types[0]
        row, numbers = find_rule("optimiser", self.optimiser, OPTIMISERS, "the model has parameters of", given)
        lens = row.bound(given, numbers)
        get = trace(lambda state: {"theta": lens.get(state)}, state=lens.state)
        (result,) = (constants(get, state=state)[wire] for _, wire in get.outputs)
        return result

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
