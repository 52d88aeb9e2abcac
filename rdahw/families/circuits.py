"""Models that are circuits with a few parameters: the spec of one, and a family made from a function."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdahw.circuit import Circuit
from rdahw.data import Code, label_width
from rdahw.data._json import damaged, is_int, members
from rdahw.errors import UsageError, UserError
from rdahw.family import Family, Option, Section, Spec, Task
from rdahw.learner import LOSSES, Learner
from rdahw.model import Model
from rdahw.optimisers import OPTIMISERS
from rdahw.rules import usual_rule
from rdahw.state import Field, State
from rdahw.types import Bits, Switches

__all__ = ["LEARNER_OPTIONS", "CircuitSpec", "circuit_family"]

#: The options of every family of circuits.
LEARNER_OPTIONS = (
    Option(
        name="labels",
        type="text",
        default="one-hot",
        range=("one-hot", "binary"),
        help="encode classes as one wire each, or as a number",
        switch="labels",
    ),
    Option(name="loss", type="text", usual="xor; margin=80 for class scores", help="learn by this loss"),
    Option(
        name="optimiser",
        type="text",
        usual="xor; counter=6 for parameters that are words",
        help="update the parameters by this rule",
    ),
)


@dataclass(frozen=True, slots=True)
class CircuitSpec(Spec):
    """A learner of a circuit that predicts one of ``classes`` classes, encoded on its output wires by ``code``.

    Its state is one field, the bits of the optimiser's state. ``chosen``: the options that it was made with. ``start``:
    the bits of the parameters before the first example; empty: the state is zero. Raises :class:`UserError` for a
    circuit whose output does not fit the classes, and as :class:`Learner`.
    """

    family: str
    made: Learner
    classes: int
    code: Code = "one-hot"
    chosen: Mapping[str, Any] = field(default_factory=dict, compare=False)
    start: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.made.model.output_bits != label_width(self.classes, self.code):
            raise UserError(
                f"model {self.name!r} has {self.made.model.output_bits} output bits; expected "
                f"{label_width(self.classes, self.code)}, for {self.classes} classes as {self.code} labels: change the "
                "circuit, or the option labels"
            )

    @classmethod
    def of(cls, learner: Learner, *, code: Code = "binary", classes: int | None = None) -> CircuitSpec:
        """The spec of a learner; by default it has as many classes as its output bits can encode."""
        bits = learner.model.output_bits
        return cls("file", learner, classes or (bits if code == "one-hot" else 1 << bits), code)

    @property
    def name(self) -> str:
        return self.made.model.name

    @property
    def input_bits(self) -> int:
        return self.made.model.input_bits

    @property
    def loss(self) -> str:
        return self.made.loss

    @property
    def optimiser(self) -> str:
        return self.made.optimiser

    @property
    def fields(self) -> tuple[Field, ...]:
        """``parameters``, (P,) bits."""
        return (Field("parameters", Bits(self.made.model.parameter_bits)),)

    def learner(self) -> Learner:
        return self.made

    def initial_state(self) -> dict[str, NDArray[Any]]:
        if not self.start:
            return super(CircuitSpec, self).initial_state()
        return {self.parameters.name: self.made.first_state(np.array(self.start, np.uint8))}

    def trained(self, state: State) -> tuple[Spec, State]:
        """Where switches are learned and predicted, the circuit of bits, whose parameters are those at ``state``."""
        from rdahw.families.switched import plain

        given = self.made.given.circuit
        if not all(isinstance(type_, Switches) for type_ in (given.input_types[0], given.output_types[0])):
            return self, state
        learner = Learner(Model(self.name, plain(given)))
        return replace(self, made=learner, start=()), {"parameters": self.made.parameters(state["parameters"])}

    def options(self) -> dict[str, Any]:
        return {**self.chosen, "labels": self.code, "loss": self.loss, "optimiser": self.optimiser}

    @property
    def description(self) -> str:
        """Such as «lookup 4 -> 3, 48 parameter bits»."""
        model = self.made.model
        return f"{model.name} {model.input_bits} -> {model.output_bits}, {model.parameter_bits} parameter bits"

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values. The circuit is among them, so that reading needs no Python file of the user."""
        begins = {"start": "".join(map(str, self.start))} if self.start else {}
        return begins | {
            "name": self.name,
            "circuit": self.made.given.circuit.to_json(),
            "loss": self.loss,
            "optimiser": self.optimiser,
            "labels": self.code,
            "classes": self.classes,
            "options": dict(self.chosen),
        }

    @classmethod
    def from_json(cls, family: str, value: object) -> CircuitSpec:
        """Read :meth:`to_json` back. Raises :class:`UserError` for a malformed value."""
        keys = ("name", "circuit", "loss", "optimiser", "labels", "classes", "options")
        begins = "start" in value if isinstance(value, dict) else False
        found = members(value, "its 'spec'", (*keys, *(["start"] if begins else [])))
        name, circuit, loss, optimiser, labels, classes, options = found[: len(keys)]
        if not all(isinstance(text, str) for text in (name, loss, optimiser, labels)):
            raise damaged("a name", "text")
        start = found[-1] if begins else ""
        if not is_int(classes) or not isinstance(options, dict):
            raise damaged("its 'spec'", "a number of classes and options")
        try:
            learner = Learner(Model(name, Circuit.from_json(circuit)), loss, optimiser)
            width = learner.given.parameter_bits
            if begins and not (isinstance(start, str) and len(start) == width and {*start} <= {"0", "1"}):
                raise damaged("'start' of its 'spec'", f"{width} digits 0 and 1")
            return cls(family, learner, classes, labels, options, tuple(map(int, start)))
        except UsageError as error:
            raise UserError(f"{error} (in the file: it is damaged or was not written by rdahw)") from None


def circuit_family(
    name: str,
    circuit: Callable[..., Circuit],
    *,
    help: str,
    options: tuple[Option, ...] = (),
    loss: str | None = None,
    optimiser: str | None = None,
    named: Callable[[Mapping[str, Any]], str] | None = None,
    sections: Callable[[Any], Iterable[Section]] = lambda saved: (),
    check: Callable[[CircuitSpec], None] = lambda spec: None,
    **rows: Any,
) -> Family:
    """The family of the models ``circuit(task, **options)``, each an ``f : P × A → B`` whose output is the label's bits
    or a score for each class.

    ``options``: those of the circuit; labels, loss and optimiser are added. ``loss``, ``optimiser``: their defaults; by
    default the first rule for its types. ``named``: the name of a model with these options; by default
    ``NAME:OPTION=VALUE,…`` with the options that differ from their defaults. ``check``: raises :class:`UsageError` for
    options that do not go together. ``rows``: further fields of :class:`Family`.
    """
    defaults = {"loss": loss, "optimiser": optimiser}

    def name_of(own: Mapping[str, Any]) -> str:
        said = (f"{option.name}={own[option.name]}" for option in options if own[option.name] != option.default)
        return f"{name}:{','.join(said)}".removesuffix(":")

    def make(task: Task, *, labels: Code, loss: str | None, optimiser: str | None, **own: Any) -> CircuitSpec:
        task = task.coded(labels)
        model = Model((named or name_of)(own), circuit(task, **own))
        if (model.input_bits, model.output_bits) != (task.input_bits, task.output_bits):
            raise UserError(
                f"{model.name} takes {model.input_bits} bits and gives {model.output_bits}; the data have "
                f"{task.input_bits} and {task.output_bits}: change the circuit, the input bits or the option labels"
            )
        f = model.circuit
        loss = loss or usual_rule(LOSSES, f.output_types[0])
        optimiser = optimiser or usual_rule(OPTIMISERS, f.input_types[0])
        spec = CircuitSpec(name, Learner(model, loss, optimiser), task.classes, task.code, own)
        check(spec)
        return spec

    return Family(
        name=name,
        help=help,
        options=(
            *options,
            *(replace(o, default=default) if (default := defaults.get(o.name)) else o for o in LEARNER_OPTIONS),
        ),
        make=make,
        read=lambda value: CircuitSpec.from_json(name, value),
        sections=sections,
        **rows,
    )
