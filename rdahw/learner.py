"""The learner: a model, an error and an optimiser, and the learning step that they make, as circuits.

One step of reverse derivative ascent (Wilson and Zanasi, arXiv 2101.10488, section 4):

    dy     = error(f(theta, x), y)
    dtheta = R[f](theta, x, dy), the part that belongs to theta
    theta' = optimiser(theta, dtheta)

The optimiser is the ``put`` of a lens on (state, request), after Cruttwell et al., *Categorical Foundations of
Gradient-Based Learning*, arXiv 2103.01931.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from rdahw.circuit import Circuit
from rdahw.derivative import reverse
from rdahw.errors import UsageError, nearest
from rdahw.models import Model
from rdahw.tracing import Wire, trace
from rdahw.types import Bits

__all__ = ["ERRORS", "OPTIMISERS", "Learner"]

#: Errors: (output, label) to the cotangent of the output. ``xor`` is the paper's: the change of output wished for.
ERRORS: Mapping[str, Callable[[Wire, Wire], Wire]] = {"xor": lambda output, label: output ^ label}

#: Optimisers: (state, request) to the new state. ``xor`` is the paper's: requested parameters are flipped.
OPTIMISERS: Mapping[str, Callable[[Wire, Wire], Wire]] = {"xor": lambda theta, request: theta ^ request}


@dataclass(frozen=True, slots=True)
class Learner:
    """A model with its error and optimiser, by name; raises :class:`UsageError` for an unknown one.

    cotangent : B × B → B, from (output, y) to ``dy``.
    request : P × A × B → P × B, from (theta, x, y) to the request ``dtheta`` and the ``output`` that it was made from.
    update : P × P → P, from (theta, dtheta) to the new theta.
    step : P × A × B → P, one update by one example. It is the two above in sequence.

    In a batch the requests are summed in their ring (for bits: XOR) and applied once, after the last example; a batch
    of one is the paper.
    """

    model: Model
    error: str = "xor"
    optimiser: str = "xor"
    cotangent: Circuit = field(init=False, compare=False, repr=False)
    request: Circuit = field(init=False, compare=False, repr=False)
    update: Circuit = field(init=False, compare=False, repr=False)
    step: Circuit = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        for kind, name, known in (("error", self.error, ERRORS), ("optimiser", self.optimiser, OPTIMISERS)):
            if name not in known:
                raise UsageError(f"{kind} {name!r} is unknown; {nearest(name, known)}")
        model = self.model.circuit
        pull_back = reverse(model, wrt=model.input_names[:1])

        def request(theta: Wire, x: Wire, y: Wire) -> dict[str, Wire]:
            output = model(theta, x)
            return {"dtheta": pull_back(theta, x, ERRORS[self.error](output, y)), "output": output}

        state, data, label = Bits(self.model.parameter_bits), Bits(self.model.input_bits), Bits(self.model.output_bits)
        update = OPTIMISERS[self.optimiser]
        made = {
            "cotangent": trace(lambda output, y: {"dy": ERRORS[self.error](output, y)}, output=label, y=label),
            "request": trace(request, theta=state, x=data, y=label),
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
