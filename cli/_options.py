"""The options of ``rdahw train`` that decide what is learned, and their defaults.

They are saved with a model, so that it can be evaluated on its own data and its training can continue.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click
from click.core import ParameterSource

from rdahw.errors import UsageError, UserError
from rdahw.family import USUAL_TASK

if TYPE_CHECKING:
    from rdahw.family import Family, Option, Spec
    from rdahw.saved import SavedModel

__all__ = [
    "READING",
    "family_options",
    "given_options",
    "options_of",
    "recorded",
    "resume",
    "rules",
    "switch_values",
    "switches",
    "apply_defaults",
    "target_of",
    "tasks",
    "usual",
]

_Command = TypeVar("_Command", bound=Callable[..., Any])

#: Options that may not change when a training is resumed, with their types in a saved model …
_FIXED: dict[str, tuple[type, ...]] = {
    "data": (str,),
    "label": (str, NoneType),
    "delimiter": (str, NoneType),
    "header": (bool, NoneType),
    "missing": (str,),
    "balance": (bool,),
    "classes": (str, NoneType),
    "test": (str, NoneType),
    "split": (float, NoneType),
    "resize": (str, NoneType),
    "task": (str,),
    "normal": (str, NoneType),
    "sequence": (str, NoneType),
    "range": (str, NoneType),
    "step": (float, NoneType),
    "binarise": (str,),
    "model": (str,),
    "loss": (str, NoneType),
    "optimiser": (str,),
    "batch": (int,),
    "shuffle": (bool,),
    "stride": (int,),
    "validation": (int, NoneType),
    "scored": (str, NoneType),
    "seed": (int,),
    "shards": (int, NoneType),
}
#: … except files, which may have been moved and are checked by checksum …
_FILES = ("data", "test")
#: … and the length of the training.
_LENGTH: dict[str, tuple[type, ...]] = {"epochs": (int,), "updates": (int, NoneType)}
#: How files are read: options of :func:`rdahw.data.load`.
READING = ("label", "delimiter", "header", "missing")
#: The values of these options in models that were saved before the options existed.
_BEFORE = {
    "stride": 1,
    "loss": None,
    "scored": None,
    "resize": None,
    "delimiter": None,
    "header": None,
    "missing": "bit",
    "balance": False,
    "task": USUAL_TASK,
    "normal": None,
    "sequence": None,
    "range": None,
    "step": None,
    "shards": None,
}

_PLAIN = (str, int, float, bool, NoneType)


def switches() -> dict[str, dict[str, list[Option]]]:
    """The families' options that have a switch of ``rdahw train``: by switch, then by built-in family. Families of
    other packages are not loaded for it."""
    from rdahw.families import BUILT_IN, find_family

    found: dict[str, dict[str, list[Option]]] = {}
    for name in BUILT_IN:
        for option in find_family(name).switches():
            found.setdefault(option.switch, {}).setdefault(name, []).append(option)
    return found


def family_options(command: _Command) -> _Command:
    """Give ``rdahw train`` a switch for each option of a family that has one."""
    for switch, rows in reversed(switches().items()):
        option = next(iter(rows.values()))[0]
        usual = option.usual or (option.default if option.type != "flag" else "")
        default = f"  [default: {usual}]" if usual not in ("", 0) else ""
        form = _FORMS[option.type](option)
        text = f"{', '.join(rows)}: {option.help}{default}"
        if switch == "augment":
            form, text = _augment_form(rows)
        command = click.option(f"--{switch}", default=None, help=text, **form)(command)
    return command


def usual(name: str, default: Any) -> str:
    """The default of an option of the schedule, for the help: «[default: 1; ensemble: 15]»."""
    from rdahw.families import BUILT_IN, find_family

    own = ((family, find_family(family).schedule.get(name, default)) for family in BUILT_IN)
    return "[default: " + "; ".join([_said(default), *(f"{f}: {_said(v)}" for f, v in own if v != default)]) + "]"


def tasks() -> list[str]:
    """The values of --task: what any family learns."""
    from rdahw.families import BUILT_IN, find_family

    return list(dict.fromkeys(task for name in BUILT_IN for task in find_family(name).tasks))


def target_of(options: Mapping[str, Any]) -> dict[str, float | None]:
    """The range and the step of numbers to predict, from --range and --step.

    Raises :class:`UsageError` for a range that is not two numbers, and where the labels are no numbers.
    """
    from rdahw.data import LABELS

    low, high, labels = None, None, LABELS[options["task"]]
    for name in ("range", "step"):
        if options[name] is not None and not labels.are_numbers:
            raise UsageError(f"--{name} is for numbers to predict; add --task regression, or leave it out")
    if options["normal"] is not None and not labels.learns_normal:
        raise UsageError("--normal names the class of normal examples; add --task anomaly, or leave it out")
    if options["balance"] and not labels.are_classes:
        raise UsageError(f"--balance repeats rare classes, and the task is {options['task']}; leave it out")
    if (text := options["range"]) is not None:
        try:
            low, high = map(float, text.split(","))
        except ValueError:
            raise UsageError(f"the range is {text!r}; expected two numbers, such as --range 0,100") from None
    return {"low": low, "high": high, "step": options["step"]}


def _said(value: Any) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


def rules(kind: Literal["loss", "optimiser"]) -> str:
    """The values of --loss or --optimiser, for the help: «(xor, margin=N)  [default: by the model]»."""
    from rdahw.learner import LOSSES
    from rdahw.optimisers import OPTIMISERS

    rows = {"loss": LOSSES, "optimiser": OPTIMISERS}[kind]
    return "(" + ", ".join(row.spelt(name) for name, row in rows.items()) + ")  [default: by the model]"


def _augment_form(rows: Mapping[str, list[Option]]) -> tuple[dict[str, Any], str]:
    """The settings for click and the help of --augment, which takes several options: «shift=1,mirror»."""
    by_name: dict[str, tuple[Option, list[str]]] = {}
    for family, options in rows.items():
        for option in options:
            by_name.setdefault(option.name, (option, []))[1].append(family)
    words = [_augmentation(option) for option, _ in by_name.values()]
    helps = [f"{_augmentation(option)}: {option.help} ({', '.join(its)})" for option, its in by_name.values()]
    return {"metavar": ",".join(words)}, "; ".join(helps)


def _augmentation(option: Option) -> str:
    """How --augment takes the option: «shift=N», «mirror»."""
    return option.name if option.type == "flag" else f"{option.name}=N"


#: The settings of a switch for click, by the type of its option.
_FORMS: Mapping[str, Callable[[Option], dict[str, Any]]] = {
    "text": lambda option: {"type": click.Choice(option.range)} if option.range else {"metavar": "NAME,…"},
    "whole": lambda option: {"type": click.IntRange(option.range[0]), "metavar": "N"},
    "fraction": lambda option: {"type": float, "metavar": "FRACTION"},
    "flag": lambda option: {"is_flag": True, "flag_value": True},
}


def given_options(family: Family, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of ``family`` that the switches, --loss and --optimiser set.

    Raises :class:`UsageError` for one that the family does not have.
    """
    given: dict[str, Any] = {}
    for switch in switches():
        value = options[switch]
        if value is None:
            continue
        own = {option.name: option for option in family.switches() if option.switch == switch}
        if not own:
            way = "leave it out"
            if any(option.name == switch for option in family.options):
                way = f"use --model {family.name}:{switch}={value}"
            raise UsageError(f"--{switch} is not supported for model {family.name!r}; {way}")
        if switch != "augment":
            given[next(iter(own))] = value
            continue
        for word in value.split(","):
            name, equals, number = word.partition("=")
            if name not in own:
                known = " or ".join(map(_augmentation, own.values()))
                raise UsageError(f"there is no augmentation {word!r}; expected {known}")
            is_flag = own[name].type == "flag" and not equals
            given[name] = own[name].parse("1" if is_flag else number, family.name)
    for kind in ("loss", "optimiser"):
        if (rule := options[kind]) is not None:
            for name, value in family.rule_options(kind, rule).items():
                if given.setdefault(name, value) != value:
                    raise UsageError(f"{name} was given twice, as {given[name]} and as --{kind} {rule}; leave one out")
    return given


def apply_defaults(options: dict[str, Any], family: Family, spec: Spec, examples: int) -> None:
    """Fill in the options of the schedule that were not given, for ``spec`` and its number of training examples."""
    if options["shuffle"] is None and options["stride"] != 1:
        options["shuffle"] = False
    general = {"batch": 1, "epochs": 1, "shuffle": False, "scored": "update"}
    for name, usual in {**general, **family.schedule, **spec.schedule(examples)}.items():
        if options[name] is None:
            options[name] = usual


def recorded(options: Mapping[str, Any], spec: Spec) -> dict[str, Any]:
    """The options as they are saved with the model, defaults filled in."""
    said = {name: options[name] for name in (*_FIXED, *_LENGTH)} | {"loss": spec.loss, "optimiser": spec.optimiser}
    return said | switch_values(spec)


def switch_values(spec: Spec) -> dict[str, Any]:
    """The value of each switch that gives the options of ``spec``."""
    from rdahw.families import find_family

    chosen, said = spec.options(), {}  # a file from before an option says nothing of it
    own: dict[str, dict[str, Any]] = {}
    for option in find_family(spec.family).switches():
        own.setdefault(option.switch, {})[option.name] = chosen.get(option.name, option.default)
    for switch in switches():
        values = own.get(switch, {})
        if switch == "augment":
            said[switch] = ",".join(f"{name}={int(value)}" for name, value in values.items() if value) or None
        else:
            said[switch] = next(iter(values.values()), None)
    return said


def resume(ctx: click.Context, path: Path, options: dict[str, Any]) -> SavedModel:
    """The model to continue. ``options`` become those of its run, except its length and files where they are given."""
    from rdahw.families import parse_model
    from rdahw.saved import load_model

    saved = load_model(path, to_continue=True)
    before = options_of(saved)
    if "stream" in saved.provenance:
        raise UsageError(f"{str(path)!r} learned from a stream; continue it with rdahw train --stream --resume {path}")
    if "merged" in saved.provenance:
        raise UserError(
            f"{str(path)!r} was merged from models of different data and was not trained itself; resume one of those"
        )
    if "tuned" in saved.provenance:
        raise UserError(
            f"{str(path)!r} was trained by rdahw tune on a part of the data; resume the model of rdahw tune --refit, "
            "or train its model with rdahw train"
        )
    if before is None:
        raise UserError(f"{str(path)!r} does not say how it was trained, so the training cannot continue; train again")
    if parse_model(before["model"])[0].name != saved.spec.family and before["model"] != saved.spec.name:
        raise UserError(
            f"{str(path)!r} was made from a trained model and was not trained itself; resume that model, then make "
            "this one again"
        )
    for name in before.keys() & options.keys():
        given = ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if given and name not in (*_FILES, *_LENGTH) and options[name] != before[name]:
            if name == "model":  # «ensemble:» is «ensemble»; «auto» is no family
                with contextlib.suppress(UsageError):
                    if parse_model(options[name]) == parse_model(before[name]):
                        options[name] = before[name]
                        continue
            said = _as_typed(ctx, name, options[name])
            with_it = "without it" if before[name] in (None, False) else f"with {_as_typed(ctx, name, before[name])}"
            raise UsageError(
                f"{said} was given, and {str(path)!r} was trained {with_it}; leave {said.split()[0]} out, or start a "
                "new training without --resume"
            )
        if not given:
            options[name] = before[name]
    return saved


def _as_typed(ctx: click.Context, name: str, value: Any) -> str:
    """The option of this name as a user types it: «--batch 4», «--no-shuffle»."""
    option = next(parameter for parameter in ctx.command.params if parameter.name == name)
    if isinstance(value, bool):
        return (option.opts if value else option.secondary_opts)[-1]
    return f"{option.opts[-1]} {value}"


def options_of(saved: SavedModel) -> dict[str, Any] | None:
    """The options that a model was trained with; None if it was not saved by ``rdahw train``, or they are malformed."""
    known = {**_FIXED, **_LENGTH}
    if not known.keys() <= {**_BEFORE, **saved.options}.keys():
        return None
    options = {**_BEFORE, **switch_values(saved.spec), **saved.options}
    # type() and not isinstance: True is an int to isinstance
    well_formed = all(type(value) in known.get(name, _PLAIN) for name, value in options.items())
    options["loss"] = options["loss"] or saved.spec.loss
    options["scored"] = options["scored"] or saved.schedule.scored
    return options if well_formed else None
