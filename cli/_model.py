"""The model that a command is about, by name or from a file."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from rdahw.errors import UsageError, nearest

if TYPE_CHECKING:
    from rdahw.family import Spec, Task
    from rdahw.saved import SavedModel

__all__ = ["find_model", "find_predictor", "make_spec", "size_options"]

_Command = TypeVar("_Command", bound=Callable[..., Any])


def size_options(*, outputs: int = 1) -> Callable[[_Command], _Command]:
    """Give a command --inputs and --outputs, the bits of a model by name."""

    def give(command: _Command) -> _Command:
        for name, default in (("output", outputs), ("input", 4)):
            text = f"{name} bits of a model by name"
            option = click.option(f"--{name}s", type=click.IntRange(1), default=default, show_default=True, help=text)
            command = option(command)
        return command

    return give


def make_spec(text: str, task: Task, **given: Any) -> Spec:
    """The model that ``text`` names for ``task``, with the options ``given``; what a user's own file prints is log, and
    not a part of the result.

    Raises :class:`UsageError` for an unknown name or option, or one that is given twice.
    """
    from rdahw.families import parse_model

    family, options = parse_model(text)
    for name, value in given.items():
        if name in options and options[name] != value:
            raise UsageError(
                f"{name} was given twice, as {options[name]} in {text!r} and as {value}; leave one of them out"
            )
        options[name] = value
    with contextlib.redirect_stdout(sys.stderr):
        return family.spec(task, **options)


def find_predictor(text: str, inputs: int, outputs: int) -> tuple[Spec, SavedModel | None]:
    """As :func:`find_model`, but a saved one as :attr:`SavedModel.predictor`."""
    spec, saved = find_model(text, inputs, outputs)
    if saved is None:
        return spec, None
    saved = saved.predictor
    return saved.spec, saved


def find_model(text: str, inputs: int, outputs: int) -> tuple[Spec, SavedModel | None]:
    """The model that ``text`` names: one by name or from a Python file, for so many bits, or a saved one.

    Raises :class:`UsageError` for an unknown name, and as :func:`rdahw.saved.load_model`.
    """
    from rdahw.families import is_model_name, names
    from rdahw.family import Task

    if is_model_name(text):
        return make_spec(text, Task.of_widths(inputs, outputs)), None
    if not os.path.exists(text) and not Path(text).suffix:
        raise UsageError(f"there is no model {text!r} and no such file; {nearest(text, names())}")
    from rdahw.saved import load_model

    saved = load_model(Path(text))
    return saved.spec, saved
