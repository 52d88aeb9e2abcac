"""The options of ``rdahw train`` that make a run what it is: which go with which model, and what they are if not given.

They are saved with a model, so that it can be evaluated on its own data and its training can go on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from rdahw.errors import UsageError, UserError

if TYPE_CHECKING:
    from rdahw.saved import SavedModel
    from rdahw.saved_ensemble import SavedEnsemble

__all__ = ["LENGTH", "RECORDED", "is_ensemble", "options_of", "parse_counter", "parse_shift", "resume", "settle"]

#: Options that are not to be changed when a training is resumed …
_FIXED: dict[str, tuple[type, ...]] = {
    "data": (str,),
    "label": (str, NoneType),
    "classes": (str, NoneType),
    "labels": (str, NoneType),
    "test": (str, NoneType),
    "split": (float, NoneType),
    "binarise": (str,),
    "model": (str,),
    "optimiser": (str,),
    "batch": (int,),
    "shuffle": (bool,),
    "stride": (int,),
    "validation": (int, NoneType),
    "seed": (int,),
    "margin": (int, NoneType),
    "dropout": (float, NoneType),
    "augment": (str, NoneType),
    "sign": (bool,),
}
#: … but for files, which may have been moved and are known by their checksum …
_FILES = ("data", "test")
#: … and those that say how long it goes on.
LENGTH: dict[str, tuple[type, ...]] = {"epochs": (int,), "updates": (int, NoneType)}
RECORDED = (*_FIXED, *LENGTH)

#: What models say that were saved before there were these options.
_BEFORE = {"stride": 1, "margin": None, "dropout": None, "augment": None, "sign": False}

_OF_CIRCUITS = ("labels",)
_OF_ENSEMBLES = ("margin", "dropout", "augment", "sign")
#: What is not given: of a circuit, and of an ensemble. ``None`` where the data decide.
_DEFAULTS: dict[str, tuple[Any, Any]] = {
    "labels": ("one-hot", None),
    "optimiser": ("xor", "counter=6"),
    "epochs": (1, 15),
    "shuffle": (False, True),
    "dropout": (None, 0.5),
}


def is_ensemble(model: str) -> bool:
    """Whether ``--model`` names a table ensemble."""
    return model.partition(":")[0] == "ensemble"


def settle(ctx: click.Context, options: dict[str, Any]) -> None:
    """Fill in what was not given; raises :class:`UsageError` for an option that does not go with the model."""
    ensemble = is_ensemble(options["model"])
    foreign, whose = (_OF_CIRCUITS, "of circuits") if ensemble else (_OF_ENSEMBLES, "of --model ensemble")
    for name in foreign:
        if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise UsageError(f"--{name} is {whose}, and the model is {options['model']!r}; leave it out")
    if options["shuffle"] is None and options["stride"] != 1:
        options["shuffle"] = False
    for name, (of_circuit, of_ensemble) in _DEFAULTS.items():
        if options[name] is None:
            options[name] = of_ensemble if ensemble else of_circuit


def resume(ctx: click.Context, path: Path, options: dict[str, Any]) -> SavedModel | SavedEnsemble:
    """The model to go on from; ``options`` become those of its run, but for its length if that is given now."""
    from rdahw.saved import load_model
    from rdahw.saved_ensemble import SavedEnsemble

    saved = load_model(path)
    before = options_of(saved)
    if before is None:
        raise UserError(f"{str(path)!r} does not say how it was trained, so the training cannot go on; train again")
    if is_ensemble(before["model"]) != isinstance(saved, SavedEnsemble):
        raise UserError(
            f"{str(path)!r} is a circuit made of an ensemble, and that is what was trained; resume the ensemble, and "
            "binarise it again"
        )
    for name in RECORDED:
        given = ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if given and name in _FIXED and name not in _FILES and options[name] != before[name]:
            raise UsageError(
                f"--{name} is {options[name]}, and {str(path)!r} was trained with {before[name]}; leave --{name} out, "
                "or train anew without --resume"
            )
        if not given:
            options[name] = before[name]
    return saved


def options_of(saved: SavedModel | SavedEnsemble) -> dict[str, Any] | None:
    """The options that a model was trained with, or None if it does not say them as ``rdahw train`` does."""
    options = saved.provenance.get("options")
    if not isinstance(options, dict):
        return None
    options, known = {**_BEFORE, **options}, {**_FIXED, **LENGTH}
    if not known.keys() <= options.keys():
        return None
    # type() and not isinstance: True is no number of examples
    return options if all(type(options[name]) in types for name, types in known.items()) else None


def parse_counter(optimiser: str) -> int:
    """K of ``counter=K``; raises :class:`UsageError` for another optimiser, which an ensemble does not learn by."""
    if match := re.fullmatch(r"counter=(\d{1,3})", optimiser):
        return int(match[1])
    raise UsageError(
        f"an ensemble learns by counters, and the optimiser {optimiser!r} has none; expected counter=K with K from 2 "
        "to 8, such as counter=6"
    )


def parse_shift(augment: str | None) -> int:
    """S of ``shift=S``, 0 for None; raises :class:`UsageError` for another augmentation."""
    if augment is None:
        return 0
    if match := re.fullmatch(r"shift=(\d{1,3})", augment):
        return int(match[1])
    raise UsageError(f"there is no augmentation {augment!r}; expected shift=PIXELS, such as shift=1")


def recorded(options: Mapping[str, Any]) -> dict[str, Any]:
    """What of ``options`` is saved with the model."""
    return {name: options[name] for name in RECORDED}
