"""What a kind of model is: a :class:`Family` with its options, the :class:`Spec` of one model, and the data it is for.

A family states everything about its models once. The command line, saved files, engines, gateware, scikit-learn's
estimator and the documents are made from that statement, so that none of them knows one family from another.
"""

from __future__ import annotations

import operator
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from rdahw.data import Code, Dataset, default_rule, label_width
from rdahw.data.images import Image, find_image
from rdahw.errors import UsageError, nearest
from rdahw.state import Field, State

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rdahw.circuit import Circuit
    from rdahw.data import Binariser, Schema
    from rdahw.learner import Learner
    from rdahw.primitives import Array
    from rdahw.saved import SavedModel
    from rdahw.training import Schedule

__all__ = ["Binarised", "Family", "Option", "Section", "Spec", "Task"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What a model is to learn: bits in, one of some classes out.

    input_bits: of an example. classes: how many there are. code: of the classes on the wires of a circuit that has
    output bits. image: the form of the inputs, where they are pictures. seed: of all randomness.
    """

    input_bits: int
    classes: int
    code: Code = "one-hot"
    image: Image | None = None
    seed: int = 0

    @property
    def output_bits(self) -> int:
        """The wires of a label."""
        return label_width(self.classes, self.code)

    @classmethod
    def of(cls, schema: Schema, binariser: Binariser, *, seed: int = 0) -> Task:
        """The task that examples of ``schema`` make, turned into bits by ``binariser``."""
        width = binariser.width
        image = find_image(schema.columns, schema.image_shape, width)
        return cls(input_bits=width, classes=len(schema.label_names), image=image, seed=seed)

    @classmethod
    def of_widths(cls, inputs: int, outputs: int, *, seed: int = 0) -> Task:
        """The task of a model by name for so many bits: a class for each output bit, but two for a single one."""
        if outputs == 1:
            return cls(input_bits=inputs, classes=2, code="binary", seed=seed)
        return cls(input_bits=inputs, classes=outputs, seed=seed)


def _whole(value: Any) -> int:
    if not isinstance(value, str):
        return operator.index(value)
    if not re.fullmatch(r"-?[0-9]{1,18}", value):
        raise ValueError
    return int(value)


def _flag(value: object) -> bool:
    return {"0": False, "1": True, "false": False, "true": True}[str(value).lower()]


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError
    return value


#: How the value of an option is read, from text or from a number, what it is called, and its placeholder, by its type.
_TYPES: Mapping[str, tuple[Callable[[Any], Any], str, str]] = {
    "whole": (_whole, "a whole number", "NUMBER"),
    "fraction": (float, "a number", "FRACTION"),
    "text": (_text, "text", "TEXT"),
    "flag": (_flag, "0 or 1", "0|1"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """An option of a family, stated once.

    type: ``whole``, ``fraction``, ``text`` or ``flag``. default: ``None`` where the data or other options decide; then
    ``usual`` says how. range: smallest and largest value, or the texts to choose from. help: a lower-case verb phrase.
    switch: the option of ``rdahw train`` that sets it too, without its dashes; ``augment`` takes ``NAME=VALUE``.
    """

    name: str
    type: Literal["whole", "fraction", "text", "flag"] = "whole"
    default: Any = None
    usual: str = ""
    range: tuple[Any, ...] = ()
    help: str
    switch: str = ""

    def parse(self, value: Any, model: str) -> Any:
        """``value``, text or of numpy's kinds too, as the option's type; raises :class:`UsageError` if it is none of
        the type and the range."""
        read, *_ = _TYPES[self.type]
        try:
            if isinstance(value, bool | np.bool_) and self.type != "flag":
                raise ValueError
            found = read(value)
        except (KeyError, OverflowError, TypeError, ValueError):
            raise self._wrong(value, model) from None
        if self.range:
            inside = found in self.range if self.type == "text" else self.range[0] <= found <= self.range[-1]
            if not inside:
                raise self._wrong(value, model)
        return found

    def _wrong(self, value: Any, model: str) -> UsageError:
        return UsageError(f"option {self.name}={value} of model {model!r} is invalid; expected {self.expected}")

    @property
    def usage(self) -> str:
        """«tables=NUMBER»."""
        return f"{self.name}={_TYPES[self.type][2]}"

    @property
    def expected(self) -> str:
        """«a whole number from 1 to 16»."""
        if self.type == "text" and self.range:
            return " or ".join(map(str, self.range))
        return _TYPES[self.type][1] + (f" from {self.range[0]} to {self.range[-1]}" if self.range else "")

    def to_json(self) -> dict[str, Any]:
        """As ``rdahw models --json`` says it."""
        return {
            "name": self.name,
            "type": self.type,
            "default": self.usual if self.default is None and self.usual else self.default,
            "range": list(self.range),
            "help": self.help,
        }


class Spec(ABC):
    """All that decides what a model is and how it learns, but the data and their order.

    family: the name of its family. name: what it is called in results and files. loss, optimiser: rules, as
    ``margin=80`` and ``counter=6``. code: of the classes on the wires of its learner's predictions.
    """

    if TYPE_CHECKING:  # attributes or properties of each spec

        @property
        def family(self) -> str: ...
        @property
        def name(self) -> str: ...
        @property
        def input_bits(self) -> int: ...
        @property
        def classes(self) -> int: ...
        @property
        def loss(self) -> str: ...
        @property
        def optimiser(self) -> str: ...
        @property
        def code(self) -> Code: ...

    #: The form of the inputs, where they are pictures.
    image: Image | None = None
    #: What its updates are called while it learns.
    update_unit: str = "updates"

    @property
    @abstractmethod
    def fields(self) -> tuple[Field, ...]:
        """The fields of its state; the first one are the parameters."""

    @abstractmethod
    def learner(self) -> Learner:
        """Its model, loss and optimiser as circuits; raises :class:`UsageError` for a model too large for them."""

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, which the family reads back."""

    @abstractmethod
    def options(self) -> dict[str, Any]:
        """The value of each of its family's options."""

    @property
    @abstractmethod
    def description(self) -> str:
        """The model and its size in a few words."""

    @property
    def parameters(self) -> Field:
        """The field of the parameters."""
        return self.fields[0]

    def initial_state(self) -> dict[str, NDArray[Any]]:
        """The state before the first example: zeros, unless a field starts otherwise."""
        return {field.name: field.zero() for field in self.fields}

    def theta(self, state: State) -> Array:
        """The parameters of :meth:`learner` as bits, (P,), at ``state``."""
        value: Array = state[self.parameters.name]
        return value

    def check_state(self, state: State) -> None:
        """Raise :class:`rdahw.UserError` for values, each of its field's type, that no training leads to."""
        return

    def schedule(self, examples: int) -> Mapping[str, Any]:
        """What of :class:`rdahw.training.Schedule` follows from the model and the number of examples, if nothing else
        is asked for."""
        return {}

    def check_schedule(self, schedule: Schedule, examples: int | None = None) -> None:
        """Raise :class:`UsageError` for a schedule that the model cannot learn so many examples by; None: their number
        is not known."""
        return

    def trained(self, state: State) -> tuple[Spec, State]:
        """The model that predicts what this one predicts at ``state``, and the state of that one: a circuit of its
        own where that depends on more of what was learned than the parameters, else the model itself."""
        return self, state

    def augment(self, x: Array, rows: NDArray[Any], epoch: int, examples: int) -> Array:
        """The examples x (n, A), which are number ``rows`` of ``examples``, as they are learned from in ``epoch``."""
        return x

    def smaller(self, *, predicting: bool = False) -> Sequence[Iterator[tuple[str, Spec]]]:
        """Ways to a model that takes less of a board, the one that costs it least first. Each gives, from the least
        change on, what to do, as «lower tables to 128», and the model that it makes. predicting: it need not learn.
        """
        return ()

    def lut_circuit(self, state: State) -> Circuit | None:
        """``x -> class number``: what predicts at ``state``, of the LUTs that :mod:`rdahw.lut_circuits` makes; None
        where the family has no such form."""
        return None

    def facts(self, state: State) -> dict[str, Any]:
        """More to say of what was learned, as JSON values."""
        return {}

    def importances(self, state: State) -> NDArray[np.float64] | None:
        """How much the predictions depend on each input bit, (A,); None where the model has no such measure."""
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of a report: what a family shows of what was learned.

    figure: a matplotlib figure, of which ``alt`` is the text for those who do not see it. rows: of a table with
    ``columns`` and a ``caption``; ``numbers``: its cells are numbers. command: a line for a shell.
    """

    title: str
    text: str
    figure: Any = None
    alt: str = ""
    caption: str = ""
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[object]] = ()
    numbers: bool = True
    command: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Binarised:
    """How a trained model becomes a circuit whose parameters are bits.

    circuit: ``circuit(spec, code)``, its spec; raises :class:`UsageError` for a model too large for one. state:
    ``state(spec, state)``, the state of that from the state of the model. tuned: ``tuned(spec, margin)``, the model
    that learns as this circuit predicts, from the same state; without ``margin`` by the usual one.
    """

    circuit: Callable[[Any, Code], Spec]
    state: Callable[[Any, State], State]
    tuned: Callable[[Any, int | None], Spec]


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A kind of model, as a row.

    name, help: of ``rdahw models``. options: see :class:`Option`.
    make: ``make(task, **options)``, with a value for each option, ``None`` where nothing is chosen: the spec.
    read: the spec from what its ``to_json`` gave; raises :class:`rdahw.UserError` for anything else.
    rules: for ``loss`` and ``optimiser``, the option that takes the number of each rule that is possible, as
        ``{"loss": {"margin": "margin"}, …}``; empty where the options ``loss`` and ``optimiser`` take any rule.
    binarise: how columns become bits if nothing is asked for. schedule: what of :class:`rdahw.training.Schedule` is
        not as there if nothing is asked for.
    classifier: what of the options has another default for ``RDAClassifier``. fit_classifier: ``fit_classifier(task,
        options)``, what its options become for ``task``. thresholds: how many of them it gives a number, and a pixel.
    sections: what a report shows of what was learned. binarised: how it becomes a circuit of bits, where it is none.
    """

    name: str
    help: str
    options: tuple[Option, ...]
    make: Callable[..., Spec]
    read: Callable[[object], Spec]
    rules: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    binarise: Callable[[Dataset], str] = default_rule
    schedule: Mapping[str, Any] = field(default_factory=dict)
    classifier: Mapping[str, Any] = field(default_factory=dict)
    fit_classifier: Callable[[Task, dict[str, Any]], dict[str, Any]] = lambda task, options: options
    thresholds: tuple[int, int] = (1, 1)
    sections: Callable[[SavedModel], Iterable[Section]] = lambda saved: ()
    binarised: Binarised | None = None

    def option(self, name: str) -> Option | None:
        """The option of this name, if there is one."""
        return next((option for option in self.options if option.name == name), None)

    def spec(self, task: Task, **given: Any) -> Spec:
        """The model of these options for ``task``; an option that is None or missing has its default.

        Raises :class:`UsageError` for an unknown option or a value out of range.
        """
        chosen = {}
        for name, value in given.items():
            option = self.known(name)
            if value is not None:
                chosen[name] = option.parse(value, self.name)
        return self.make(task, **{option.name: chosen.get(option.name, option.default) for option in self.options})

    def parse(self, text: str) -> dict[str, Any]:
        """The options in ``OPTION=VALUE,…``; raises :class:`UsageError` for an unknown one or a wrong value."""
        options = {}
        for word in filter(None, text.split(",")):
            name, _, value = word.partition("=")
            if name in options:
                raise UsageError(
                    f"option {name} of model {self.name!r} is given twice in {text!r}; leave one of them out"
                )
            options[name] = self.known(name, word).parse(value, self.name)
        return options

    def known(self, name: str, word: str = "") -> Option:
        """The option of this name; raises :class:`UsageError` if there is none."""
        option = self.option(name)
        if option is None:
            known = ", ".join(option.usage for option in self.options) or "no options"
            near = nearest(name, [option.name for option in self.options])
            hint = f"; {near}" if near.startswith("did") else ""  # else they are all listed already
            raise UsageError(f"model {self.name!r} has no option {word or name!r}; it takes {known}{hint}")
        return option

    def rule_options(self, kind: Literal["loss", "optimiser"], rule: str) -> dict[str, Any]:
        """The options that ``--loss`` or ``--optimiser`` with ``rule`` sets; raises :class:`UsageError` for a rule that
        its models do not learn by."""
        if not self.rules:
            return {kind: rule}
        name, _, number = rule.partition("=")
        possible = self.rules[kind]
        if name not in possible or not re.fullmatch(r"[0-9]{1,9}", number):
            known = " or ".join(f"{rule}=NUMBER" for rule in possible)
            raise UsageError(f"{kind} {rule!r} is not supported for model {self.name!r}; use {known}")
        return {possible[name]: self.known(possible[name]).parse(number, self.name)}

    def to_json(self) -> dict[str, Any]:
        """As ``rdahw models --json`` says it."""
        return {"name": self.name, "help": self.help, "options": [option.to_json() for option in self.options]}

    def switches(self) -> Iterator[Option]:
        """The options that ``rdahw train`` has a switch for."""
        return (option for option in self.options if option.switch)
