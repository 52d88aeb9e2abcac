"""Options that several commands have in the same form."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from rdahw.cli._output import complete

__all__ = [
    "FiniteRange",
    "binarise_option",
    "board_option",
    "count_option",
    "data_option",
    "dataset_options",
    "encoder_option",
    "evaluation_options",
    "file_option",
    "board_frontend_option",
    "frontend_option",
    "model_argument",
    "reading_options",
    "size_options",
    "solver_options",
    "toolchain_option",
]

#: What ``rdahw.data.load`` does with missing cells; stated here too, since importing it takes longer than --help may.
MISSING_RULES = ("bit", "error", "drop")

_Command = TypeVar("_Command", bound=Callable[..., Any])


class FiniteRange(click.FloatRange):
    """Numbers in a range, without infinity and nan; no comparison refuses the latter."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number; give one such as 60", param, ctx)
        return number


def file_option(name: str, *, help: str, metavar: str = "FILE") -> Callable[[_Command], _Command]:
    """An option that names a file or folder, as a :class:`~pathlib.Path`."""
    return click.option(name, type=click.Path(path_type=Path), metavar=metavar, help=help)


def count_option(
    name: str, *, help: str, default: int | None = None, metavar: str = "N"
) -> Callable[[_Command], _Command]:
    """An option that takes a whole number from 1; its default is shown if it has one."""
    shown = default is not None
    return click.option(name, type=click.IntRange(1), default=default, show_default=shown, metavar=metavar, help=help)


def data_option(*, help: str, **more: Any) -> Callable[[_Command], _Command]:
    """The option --data, which takes the name of a data set or a file."""
    return click.option(
        "--data", metavar="NAME|FILE|FOLDER", shell_complete=complete("rdahw.data", "NAMES"), help=help, **more
    )


def solver_options(*, auto: str, timeout: str) -> Callable[[_Command], _Command]:
    """The options --solver and --timeout. auto: what --solver auto does. timeout: what the seconds are for."""

    def decorate(command: _Command) -> _Command:
        choice = click.Choice(["auto", "yosys", "boolector", "z3"])
        seconds = FiniteRange(0, min_open=True)
        command = click.option("--timeout", type=seconds, metavar="S", help=timeout)(command)
        return click.option("--solver", type=choice, default="auto", show_default=True, help=f"auto: {auto}")(command)

    return decorate


#: The argument MODEL of commands that take a saved model only.
model_argument = click.argument("model", type=click.Path(path_type=Path))

#: How to read the examples of a file: options of the same names of :func:`rdahw.data.load`.
_READING = (
    click.option(
        "--label", metavar="COLUMN", help="take the labels of a table from this column, by name or number from 1"
    ),
    click.option("--delimiter", metavar="CHARACTER", help="take this between the cells of a CSV  [default: found]"),
    click.option(
        "--header/--no-header",
        default=None,
        help="take the first row as the names of the columns, or as an example  [default: found]",
    ),
    click.option(
        "--missing",
        type=click.Choice(MISSING_RULES),
        default="bit",
        show_default=True,
        help="learn from missing cells by bits of their own, stop at them, or drop their examples",
    ),
)


def reading_options(command: _Command) -> _Command:
    """Give a command --label, --delimiter, --header and --missing."""
    for option in reversed(_READING):
        command = option(command)
    return command


def binarise_option(usual: str) -> Callable[[_Command], _Command]:
    """The option --binarise; ``usual`` names the rule of data that are not images."""
    return click.option(
        "--binarise",
        metavar="RULE",
        help="turn numbers into bits by midrange, threshold=K[,K…], thermometer=K, quantile=K or fixed=F, "
        "images also by planes such as hog=4/3/20,60, joined by +, or the presets fashion and colour"
        f"  [default: threshold=32 for images, else {usual}]",
    )


def _sequence_option(verb: str) -> Callable[[_Command], _Command]:
    return click.option(
        "--sequence",
        metavar="FORM",
        help=f"{verb} sequences: rows (one a row), id=COLUMN (a step a row) or files (one a file of a folder), "
        "and after commas labels=each, labels=end or steps=N, the most steps",
    )


def dataset_options(verb: str, *, sequences: bool = True, **more: Any) -> Callable[[_Command], _Command]:
    """The options that say which examples to ``verb`` («learn»): --data, with the settings ``more``, to --split.
    sequences: whether they may be sequences."""

    def give(command: _Command) -> _Command:
        for option in (
            click.option(
                "--split", type=float, metavar="FRACTION", help="make a test part of this fraction of each class"
            ),
            click.option("--resize", metavar="HxW", help="make all pictures H pixels high and W wide"),
            click.option("--test", type=click.Path(), metavar="FILE", help="take the test part from this file"),
            *([_sequence_option(verb)] if sequences else []),
            click.option("--classes", metavar="A,B,…", help=f"{verb} these classes only, in this order"),
            reading_options,
            data_option(
                help=f"{verb} this data set (rdahw datasets lists the names), file (CSV, Parquet, Arrow, XLSX, ARFF, "
                "svmlight, NPY or NPZ), or folder, ZIP or TAR of pictures (train/CLASS/…, test/CLASS/…, or CLASS/…)",
                **more,
            ),
        ):
            command = option(command)
        return command

    return give


def evaluation_options(command: _Command) -> _Command:
    """Give a command --data, the examples that a saved model is measured on, and how to read them."""
    return data_option(help="evaluate on this instead of the test part of the training data")(reading_options(command))


def size_options(*, outputs: int = 1) -> Callable[[_Command], _Command]:
    """Give a command --inputs and --outputs, the widths of a model that is given by name."""

    def give(command: _Command) -> _Command:
        for name, default in (("output", outputs), ("input", 4)):
            command = count_option(f"--{name}s", default=default, help=f"{name} bits of a model by name")(command)
        return command

    return give


board_option = click.option(
    "--board",
    "board_name",
    default="icebreaker",
    show_default=True,
    help="the board, one of rdahw boards",
    shell_complete=complete("rdahw.boards", "BOARDS"),
)
toolchain_option = click.option(
    "--toolchain",
    type=click.Choice(["yowasp", "native"]),
    default="yowasp",
    show_default=True,
    help="tools from PyPI, or those on the PATH",
)
_PIXELS = "a model of grey images that is binarised by planes: take images as bytes, and make the planes in gateware"
frontend_option = click.option("--frontend", type=click.Choice(["pixels"]), help=_PIXELS)
#: With those that are of a whole board.
board_frontend_option = click.option(
    "--frontend",
    type=click.Choice(["pixels", "pins"]),
    help=f"pixels: {_PIXELS}; pins: a machine with live=1 learns from a signal on the board's pins, without a host",
)
encoder_option = click.option(
    "--encoder",
    type=click.IntRange(1, 16),
    metavar="BITS",
    help="with the comparisons that make bits of the features, which are whole numbers of so many bits",
)
