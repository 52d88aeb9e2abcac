"""The model that a command is about, by name or from a file."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from rdahw.cli._output import make_model
from rdahw.errors import UsageError

if TYPE_CHECKING:
    from rdahw.models import Model
    from rdahw.saved import SavedModel

__all__ = ["find_model", "size_options"]

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


def find_model(spec: str, inputs: int, outputs: int) -> tuple[Model, SavedModel | None]:
    """The model that ``spec`` names: one by name or from a Python file, for so many bits, or a saved one.

    Raises :class:`UsageError` for an unknown name, and as :func:`rdahw.saved.load_circuit`.
    """
    from rdahw.models import MODELS
    from rdahw.saved import load_circuit

    if spec.partition(":")[0] in MODELS or ".py:" in spec:
        return make_model(spec, inputs, outputs), None
    if not os.path.exists(spec) and not Path(spec).suffix:
        from rdahw.errors import nearest

        raise UsageError(f"there is no model {spec!r} and no such file; {nearest(spec, MODELS)}")
    saved = load_circuit(Path(spec))
    return saved.learner.model, saved
