"""A :class:`Family` of models with its options, the :class:`Spec` of one model, and the :class:`Task` it learns.

A family states everything about its models once. The command line, saved files, engines, gateware, the scikit-learn
estimator and the documents are derived from that statement and contain no code for a particular family.
"""

from __future__ import annotations

import operator
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from rdahw.data import Code, Dataset, default_rule, label_width
from rdahw.data.images import Image, find_image
from rdahw.data.sequences import SequenceShape
from rdahw.errors import UsageError, nearest
from rdahw.random import stream, words
from rdahw.state import Field, State

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rdahw.circuit import Circuit
    from rdahw.data import Binariser, Schema
    from rdahw.given import Given
    from rdahw.learner import Learner
    from rdahw.machine import Machine
    from rdahw.model import Model
    from rdahw.primitives import Array
    from rdahw.saved import SavedModel
    from rdahw.table_scores import TableLayer, TableLearning
    from rdahw.training import Schedule

__all__ = [
    "AUTO",
    "RESERVED",
    "USUAL_TASK",
    "Binarised",
    "Candidate",
    "Choose",
    "DataSize",
    "Family",
    "Option",
    "Section",
    "Spec",
    "Task",
]


#: The tasks that the data decide and not --task, and how to give such data.
_OF_DATA = {"sequences": "give sequences: a file with --sequence rows, or the name of a language as --data"}
#: The usual kind of :class:`Task`.
USUAL_TASK = "classification"


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What a model learns: its input is bits, its output is a class, or one of the steps of a number.

    input_bits: bits of an example. classes: number of classes, or of steps. code: how a circuit with output bits
    encodes a class. image: the shape of the inputs if they are images. word: the bits of a number, where the input bits
    are numbers in fixed point: bit b of number i of n is input bit ``b * n + i``; else 1. seed: seeds all randomness.
    kind: the name of a row of :data:`rdahw.tasks.TASKS`. labels: if what is learned is a set of labels, how many there
    are; the set is the class number, in binary. sequences: the shape of sequences; None without data.
    is_bare: it has these widths, and no data.
    """

    input_bits: int
    classes: int
    code: Code = "one-hot"
    image: Image | None = None
    word: int = 1
    seed: int = 0
    kind: str = "classification"
    labels: int = 0
    sequences: SequenceShape | None = None
    is_bare: bool = False

    @property
    def output_bits(self) -> int:
        """The number of wires of a label."""
        return label_width(self.classes, self.code)

    def coded(self, code: Code) -> Task:
        """The task with outputs of this code; itself if its code is binary, which is that of bare widths."""
        return self if self.code == "binary" else replace(self, code=code)

    @classmethod
    def of(cls, schema: Schema, binariser: Binariser, *, seed: int = 0) -> Task:
        """The task of predicting labels of ``schema`` from examples that ``binariser`` has converted to bits."""
        width = binariser.width
        image = find_image(schema.columns, schema.image_shape, width)
        word = binariser.planes if binariser.is_fixed else 1
        made: dict[str, Any] = {"classes": schema.label_count, "kind": schema.task, "labels": schema.set_size}
        if schema.task == "sequences":
            made["sequences"] = schema.sequences.shape
        return cls(input_bits=width, image=image, word=word, seed=seed, **made)

    @classmethod
    def of_widths(cls, inputs: int, outputs: int, *, seed: int = 0, kind: str = USUAL_TASK) -> Task:
        """The task of a model with these numbers of bits: one class per output bit, or two for a single output bit."""
        if outputs == 1:
            return cls(input_bits=inputs, classes=2, code="binary", seed=seed, kind=kind, is_bare=True)
        return cls(input_bits=inputs, classes=outputs, seed=seed, kind=kind, is_bare=True)


def _whole(value: Any) -> int:
    if not isinstance(value, str):
        return operator.index(value)
    if not re.fullmatch(r"-?[0-9]{1,18}", value):
        raise ValueError
    return int(value)


def _sizes(value: object) -> str:
    if not re.fullmatch(r"[0-9]{1,9}x[0-9]{1,9}(,[0-9]{1,9}x[0-9]{1,9})*", _text(value)):
        raise ValueError
    return _text(value)


def _flag(value: object) -> bool:
    return {"0": False, "1": True, "false": False, "true": True}[str(value).lower()]


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError
    return value


#: For each type of option: the function that parses its value, its description, and its placeholder.
_TYPES: Mapping[str, tuple[Callable[[Any], Any], str, str]] = {
    "whole": (_whole, "a whole number", "NUMBER"),
    "fraction": (float, "a number", "FRACTION"),
    "text": (_text, "text", "TEXT"),
    "flag": (_flag, "0 or 1", "0|1"),
    "sizes": (_sizes, "tables x inputs of each layer, such as 300x4,300x4", "TABLESxINPUTS"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """An option of a family, stated once.

    type: ``whole``, ``fraction``, ``text``, ``flag`` or ``sizes`` (text such as ``300x4,300x4``). default: ``None`` if
    it depends on the data or other options; then ``usual`` describes it. range: smallest and largest value, or the
    permitted texts. help: a lower-case verb phrase. switch: the option of ``rdahw train`` (without dashes) that also
    sets it; ``augment`` takes ``NAME=VALUE``. The built-in families decide which switches there are: a family of
    another package can share one of them, and its other options are set by ``--model NAME:OPTION=VALUE`` alone.
    """

    name: str
    type: Literal["whole", "fraction", "text", "flag", "sizes"] = "whole"
    default: Any = None
    usual: str = ""
    range: tuple[Any, ...] = ()
    help: str
    switch: str = ""

    def parse(self, value: Any, model: str) -> Any:
        """``value`` (text, a Python or a numpy number) converted to the option's type; raises :class:`UsageError` if it
        has another type or is out of range."""
        read, *_ = _TYPES[self.type]
        try:
            if isinstance(value, bool | np.bool_) and self.type != "flag":
                raise ValueError
            found = read(value)
            if self.range and not (
                found in self.range if self.type == "text" else self.range[0] <= found <= self.range[-1]
            ):
                raise ValueError
            return found
        except (KeyError, OverflowError, TypeError, ValueError):
            raise UsageError(
                f"option {self.name}={value} of model {model!r} is invalid; expected {self.expected}"
            ) from None

    @property
    def usage(self) -> str:
        """Such as «tables=NUMBER»."""
        return f"{self.name}={_TYPES[self.type][2]}"

    @property
    def expected(self) -> str:
        """Such as «a whole number from 1 to 16»."""
        if self.type == "text" and self.range:
            return " or ".join(map(str, self.range))
        return _TYPES[self.type][1] + (f" from {self.range[0]} to {self.range[-1]}" if self.range else "")

    def to_json(self) -> dict[str, Any]:
        """The option as ``rdahw models --json`` prints it."""
        default = self.default
        if default is None and self.usual:
            try:
                default = self.parse(self.usual, "")
            except UsageError:  # a description of several values
                default = self.usual
        return {
            "name": self.name,
            "type": self.type,
            "default": default,
            "range": list(self.range),
            "help": self.help,
        }


class Spec(ABC):
    """Everything that determines a model and how it learns, except the data and their order.

    family: the name of its family. name: its name in results and files. loss, optimiser: rules such as ``margin=80``
    and ``counter=6``. code: how its learner's predictions encode a class.
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

    #: The shape of the inputs if they are images.
    image: Image | None = None
    #: Whether each training image is learned twice, as it is and mirrored.
    mirror: bool = False
    #: Whether :meth:`augment` changes examples.
    moves_examples: bool = False
    #: Whether :meth:`is_settled` may be true.
    settles: bool = False
    #: What a user should know of the file that it was read from, in sentences.
    notes: Sequence[str] = ()
    #: The name of its updates in the progress of a training.
    update_unit: str = "updates"

    @property
    @abstractmethod
    def fields(self) -> tuple[Field, ...]:
        """The fields of its state; the first holds the parameters."""

    @abstractmethod
    def learner(self) -> Learner:
        """Its model, loss and optimiser as circuits; raises :class:`UsageError` if the model is too large for that."""

    def given(self) -> Model | Given:
        """Its circuit as it was given, to show, export or prove; raises :class:`UsageError` as :meth:`learner`."""
        return self.learner().given

    def predicting(self) -> Circuit:
        """The circuit that predicts, (theta, x) ↦ y, from the state of the learner; raises as :meth:`learner`."""
        return self.learner().model.predictor

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; :attr:`Family.read` is the inverse."""

    @abstractmethod
    def options(self) -> dict[str, Any]:
        """The value of each of its family's options."""

    @property
    @abstractmethod
    def description(self) -> str:
        """The model and its size in a few words."""

    @property
    def parameters(self) -> Field:
        return self.fields[0]

    @property
    def preparation(self) -> Spec | None:
        """A model to train first, on the same examples and by its own :meth:`schedule`, for :meth:`prepared`; None if
        this one can be trained now."""
        return None

    def prepared(self, state: State) -> Spec:
        """This model with what its :attr:`preparation` has learned when its state is ``state``."""
        return self

    @property
    def caution(self) -> str:
        """What a user should know before training this model, in a sentence without its full stop; usually nothing."""
        return ""

    @property
    def software_only(self) -> str:
        """Why no hardware can train this model although its family has trainers, in a sentence with a way out but
        without its full stop; usually nothing."""
        return ""

    def initial_state(self) -> dict[str, NDArray[Any]]:
        """The state before the first example: zeros, unless the family overrides this."""
        return {field.name: field.zero() for field in self.fields}

    def theta(self, state: State) -> Array:
        """The parameters of :meth:`learner` as bits, (P,), at ``state``."""
        value: Array = state[self.parameters.name]
        return value

    def check_state(self, state: State) -> None:
        """Raise :class:`rdahw.UserError` for a state that has the right types but that no training can reach."""
        return

    def schedule(self, examples: int) -> Mapping[str, Any]:
        """The defaults of :class:`rdahw.training.Schedule` that follow from the model and the number of examples."""
        return {}

    def check_schedule(self, schedule: Schedule, examples: int | None = None) -> None:
        """Raise :class:`UsageError` for a schedule that the model does not support with this number of ``examples``;
        None if the number is not known."""
        return

    def is_settled(self, state: State) -> bool:
        """Whether no further example changes the model, so that training ends; asked if ``settles``."""
        return False

    def score(self, predicted: NDArray[np.int64], labels: NDArray[np.int64]) -> int:
        """How good predictions (N,) of ``labels`` (N,) are, at least 0; by default how many are right."""
        return int((predicted == labels).sum())

    def trained(self, state: State) -> tuple[Spec, State]:
        """A model with the predictions of this one at ``state``, and the state of that model: the model itself, unless
        its predicting circuit depends on more of the trained state than the parameters."""
        return self, state

    def typical_state(self) -> State:
        """A state with drawn parameters in place of learned ones, about as large in hardware."""
        values, (low, high) = self.parameters.zero(), self.parameters.range
        drawn = words(stream(0, "typical"), values.size).reshape(values.shape) % np.uint64(high - low + 1)
        parameters = (drawn.astype(np.int64) + low).astype(values.dtype)
        return {**self.initial_state(), self.parameters.name: parameters}

    def wired(self) -> Spec:
        """The model itself, or if its :attr:`preparation` chooses its wiring, the model with a drawn one."""
        first = self.preparation
        return self if first is None else self.prepared(first.typical_state())

    def of_shard(self, state: State, shard: int) -> State:
        """``state`` as shard number ``shard`` of a training in shards begins with it, with randomness of its own."""
        return state

    def augment(self, x: Array, rows: NDArray[Any], epoch: int, examples: int) -> Array:
        """The examples x (n, A) after the augmentation of ``epoch``; they are numbers ``rows`` (n,) of ``examples``."""
        return x

    def smaller(self, *, predicting: bool = False) -> Sequence[Iterator[tuple[str, Spec]]]:
        """Ways to make the model smaller, so that it fits a board, the least costly way first. Each yields pairs of an
        instruction, such as «lower tables to 128», and the resulting spec, the smallest change first. predicting: the
        model need not learn.
        """
        return ()

    def machine(self, state: State) -> Machine | None:
        """The machine that the model is at ``state``; None for a model without a state of its own between steps."""
        return None

    def diagram(self, state: State) -> str | None:
        """A picture of the model at ``state`` as Graphviz dot text, if that of its circuit is not the one to show."""
        return None

    def lut_circuit(self, state: State) -> Circuit | None:
        """The circuit x ↦ class number at ``state``, made of the LUTs of :mod:`rdahw.lut_circuits`; None if the family
        has no such form."""
        return None

    def table_layers(self, state: State) -> Sequence[TableLayer]:
        """The tables whose sums are the class scores, layer by layer, at ``state``; nothing if the scores are those of
        the circuit of :meth:`learner`."""
        return ()

    def score_tables(self, state: State) -> TableLayer | None:
        """The tables that read the input and whose sum is what the model decides by, at ``state``: the class scores, or
        the scores of another task, of which :attr:`score_parts` are one; None if there is no such sum."""
        layers = self.table_layers(state)
        return layers[0] if len(layers) == 1 else None

    @property
    def score_parts(self) -> int:
        """How many of a score of :meth:`score_tables` are one: a vote, a level, or a step of the target."""
        return 1

    def table_learning(self, state: State) -> TableLearning | None:
        """How the only one of the :meth:`table_layers` learns from ``state`` on; None if it does not learn by counters
        that vote for all classes."""
        return None

    def facts(self, state: State) -> dict[str, Any]:
        """Further facts about the learned state, as JSON values."""
        return {}

    def importances(self, state: State) -> NDArray[np.float64] | None:
        """How much the predictions depend on each input bit, (A,); None if the model has no such measure."""
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A section of a report.

    figure: a matplotlib figure; ``alt``: its text alternative. rows, columns, caption: a table; ``numbers``: its cells
    are numbers. command: a shell command.
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
    """How a trained model is converted to a circuit whose parameters are bits.

    circuit: ``circuit(spec, code)``, the spec of the circuit; raises :class:`UsageError` if it would be too large.
    state: ``state(spec, state)``, the circuit's state from the model's. tuned: ``tuned(spec, margin)``, the model that
    continues from the same state and learns with the circuit's predictions; ``margin`` None: the default margin.
    """

    circuit: Callable[[Any, Code], Spec]
    state: Callable[[Any, State], State]
    tuned: Callable[[Any, int | None], Spec]


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSize:
    """The size of the data that ``--model auto`` chooses a model for: training examples, columns, classes, and whether
    they are images. A number is one column, and so is each category and what says that a value is missing."""

    rows: int
    columns: int
    classes: int
    images: bool

    def thresholds(self, most: int) -> int:
        """``most`` thresholds of a number; fewer, but at least 8, where all features would have over 16,384 bits."""
        return min(most, max(8, (1 << 14) // self.columns))


#: The name of the choice among the candidates of all families, where a model is named.
AUTO = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A model that ``--model auto`` tries: options of a family, the others have the defaults of ``RDAClassifier``.

    thresholds: of each number; None: those of the family.
    """

    options: Mapping[str, Any] = field(default_factory=dict)
    thresholds: int | None = None


#: ``choose(name, values, usual)``: one of ``values``, which ``rdahw tune`` varies; numbers in ascending order. ``name``
#: is unique within a family, ``usual`` the value to begin with.
Choose = Callable[[str, Sequence[Any], Any], Any]


#: Names that no option can have: ``make`` takes ``task`` beside the options, and ``rdahw train --json`` prints the
#: others beside them.
RESERVED = frozenset((
    "task", "data", "binarise", "batch", "epochs", "shuffle", "stride", "seed", "seconds", "seconds_total", "out",
    "model", "family", "engine", "classes", "train_examples", "examples", "updates", "tried", "resumed_from_update",
    "resumed_from_example", "curve", "best_update", "best_epoch", "validation_correct", "validation_examples",
    "validation_accuracy", "test_correct", "test_examples", "test_accuracy", "parameter_bits", "parameters",
    "parameters_sha256", "cycles", "cycles_per_example", "bit_exact", "cycles_without_update", "cycles_with_update",
    "stages", "startup_cycles", "event", "wrong", "error", "recent_error", "alarms", "last_alarm", "learned",
))  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A kind of model, as a row.

    name, help: shown by ``rdahw models``. options: see :class:`Option`; their names are not among :data:`RESERVED`.
    make: ``make(task, **options)``, the spec; it gets every option, ``None`` for one without value or default.
    read: the spec from the result of its ``to_json``; raises :class:`rdahw.UserError` for anything else.
    tasks: the kinds of :class:`Task` that its models learn.
    rules: for ``loss`` and ``optimiser``, each supported rule with the option that takes its number, as
        ``{"loss": {"margin": "margin"}, …}``, or with the options that it sets, of which there may be none; nothing for
        a kind of which the user chooses none; empty if the options ``loss`` and ``optimiser`` take any rule.
    binarise: the default binarising rule. schedule: defaults that differ from :class:`rdahw.training.Schedule`'s.
    classifier: defaults of ``RDAClassifier`` that differ from the options'. fit_classifier: ``fit_classifier(task,
        options)``, its options adapted to ``task``. thresholds: its thresholds per number and per pixel.
    candidates: ``candidates(size)``, what ``--model auto`` tries, the most usual first; by default nothing. search:
        ``search(size, choose)``, a model that ``rdahw tune`` tries, whose options ``choose`` chooses; None: it tries
        none.
    sections: the report's sections about the learned state. binarised: conversion to a circuit of bits, if any.
    two_classes: its models tell two classes apart, and no more. sizes: the option of type ``sizes`` whose name may be
        left out, so that ``NAME:300x4,300x4,OPTION=VALUE`` names a model. named: names that stand for a model of the
        family, each with its options. plain: ``plain(inputs, outputs, **options)``, the circuit that the options name,
        which need not be a model; None if they name none. counters: the field of the state that holds counters, if what
        several trainings changed in them may be added (:mod:`rdahw.merging`).
    """

    name: str
    help: str
    options: tuple[Option, ...]
    make: Callable[..., Spec]
    read: Callable[[object], Spec]
    tasks: tuple[str, ...] = ("classification",)
    rules: Mapping[str, Mapping[str, str | Mapping[str, Any]]] = field(default_factory=dict)
    binarise: Callable[[Dataset], str] = default_rule
    schedule: Mapping[str, Any] = field(default_factory=dict)
    classifier: Mapping[str, Any] = field(default_factory=dict)
    fit_classifier: Callable[[Task, dict[str, Any]], dict[str, Any]] = lambda task, options: options
    thresholds: tuple[int, int] = (1, 1)
    candidates: Callable[[DataSize], Sequence[Candidate]] = lambda size: ()
    search: Callable[[DataSize, Choose], Candidate] | None = None
    sections: Callable[[SavedModel], Iterable[Section]] = lambda saved: ()
    binarised: Binarised | None = None
    two_classes: bool = False
    sizes: str = ""
    named: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    plain: Callable[..., Circuit | None] | None = None
    counters: str = ""

    def __post_init__(self) -> None:
        """Raise ValueError for an option with a reserved name."""
        if taken := RESERVED & {option.name for option in self.options}:
            raise ValueError(
                f"option {min(taken)!r} of model {self.name!r} has a name of rdahw.family.RESERVED; choose another"
            )

    def option(self, name: str) -> Option | None:
        """The option of this name, if there is one."""
        return next((option for option in self.options if option.name == name), None)

    def spec(self, task: Task, **given: Any) -> Spec:
        """The model with these options for ``task``; an option that is None or missing has its default.

        Raises :class:`UsageError` for an unknown option, a value out of range, or a task that it does not learn.
        """
        self.check_task(task.kind)
        chosen = {}
        for name, value in given.items():
            option = self.known(name)
            if value is not None:
                chosen[name] = option.parse(value, self.name)
        return self.make(task, **{option.name: chosen.get(option.name, option.default) for option in self.options})

    def check_task(self, kind: str) -> None:
        """Raise :class:`UsageError` if its models do not learn this kind of task."""
        if kind not in self.tasks:
            other = _OF_DATA.get(self.tasks[0], f"train with --task {self.tasks[0]}")
            way = "leave --model out" if kind in _OF_DATA else f"choose another model, or {other}"
            raise UsageError(f"model {self.name!r} is for {' and '.join(self.tasks)}, and the task is {kind}; {way}")

    def parse(self, text: str) -> dict[str, Any]:
        """The options in ``OPTION=VALUE,…``, or ``SIZES,OPTION=VALUE,…`` where the family has :attr:`sizes`; raises
        :class:`UsageError` for an unknown one or a wrong value."""
        options = {}
        words = list(filter(None, text.removeprefix(f"{self.sizes}=").split(",")))
        sizes = list(takewhile(lambda word: self.sizes and word[0].isdecimal(), words))
        if sizes:
            options[self.sizes] = self.known(self.sizes).parse(",".join(sizes), self.name)
        for word in words[len(sizes) :]:
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

    def rule_options(self, kind: str, rule: str) -> dict[str, Any]:
        """The options that ``--loss`` or ``--optimiser`` with ``rule`` sets; raises :class:`UsageError` for a rule that
        the family does not support."""
        if not self.rules:
            return {kind: rule}
        name, _, number = rule.partition("=")
        possible = self.rules.get(kind, {})
        if not possible:
            raise UsageError(
                f"{kind} {rule!r} is not supported for model {self.name!r}, which has its own; leave it out"
            )
        sets = possible.get(rule)
        if isinstance(sets, Mapping):
            return dict(sets)
        option = possible.get(name)
        if not isinstance(option, str) or not re.fullmatch(r"[0-9]{1,9}", number):
            known = " or ".join(f"{name}=NUMBER" if isinstance(sets, str) else name for name, sets in possible.items())
            raise UsageError(f"{kind} {rule!r} is not supported for model {self.name!r}; use {known}")
        return {option: self.known(option).parse(number, self.name)}

    def to_json(self) -> dict[str, Any]:
        """The family as ``rdahw models --json`` prints it."""
        options = [option.to_json() for option in self.options]
        return {"name": self.name, "help": self.help, "tasks": list(self.tasks), "options": options}

    def switches(self) -> Iterator[Option]:
        """The options that ``rdahw train`` also has a switch for."""
        return (option for option in self.options if option.switch)
