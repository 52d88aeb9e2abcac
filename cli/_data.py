"""Data sets for commands: reading one by name or from a file, and the options that say which."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from rdahw.cli._output import complete

if TYPE_CHECKING:
    from rdahw.cli._output import Output
    from rdahw.data import Dataset

__all__ = ["evaluation_options", "label_option", "load_dataset", "split_names"]

_Command = TypeVar("_Command", bound=Callable[..., Any])

label_option = click.option(
    "--label", metavar="COLUMN", help="take the labels of a CSV from this column, by name or number from 1"
)


def evaluation_options(command: _Command) -> _Command:
    """Give a command --data and --label, the examples that a saved model is measured on."""
    data = click.option(
        "--data",
        metavar="NAME|FILE",
        shell_complete=complete("rdahw.data", "NAMES"),
        help="evaluate on this instead of the test part of the training's data",
    )
    return data(label_option(command))


def split_names(classes: str | None) -> list[str] | None:
    """What ``--classes A,B,…`` names."""
    return None if classes is None else [name.strip() for name in classes.split(",")]


def load_dataset(output: Output, data: str, *, classes: Sequence[str] | None = None, **options: Any) -> Dataset:
    """:func:`rdahw.data.load` with these options; a download has a progress bar."""
    from rdahw.data import load

    with output.progress("downloading", "bytes") as bar:
        return load(data, classes=classes, progress=bar, **options)
