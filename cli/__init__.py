"""The command line: one command a file, all printing and progress, and exit codes (docs/exit-codes.md)."""

from __future__ import annotations

import _thread
import errno
import importlib
import io
import json
import logging
import re
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

import click

from rdahw.cli._output import plain
from rdahw.errors import UserError

__all__ = ["cli", "main"]

#: The commands in the order of the help, with their help lines. Each is ``command`` of the module of its name,
#: imported only when it runs.
COMMANDS = {
    "train": "learn a circuit from data",
    "tune": "search for the best model within a budget",
    "eval": "measure a saved model, or predict with it",
    "report": "show a saved model as a page with pictures",
    "show": "describe a model",
    "models": "list the families of models and their options",
    "explain": "say what each input adds to a prediction, exactly",
    "dream": "learn an input that a trained model takes for a class",
    "merge": "add up what several models have learned",
    "binarise": "turn a trained ensemble into a Boolean circuit",
    "prove": "prove claims about a model",
    "faults": "find test vectors for the faults of a circuit",
    "export": "write a circuit for other tools",
    "grad": "write the derivative of a design for other tools",
    "cells": "count the FPGA cells of a trained model",
    "estimate": "estimate a design's size and speed without building it",
    "synth": "make the bitstream of a trainer, or of a trained model",
    "boards": "list the boards",
    "pack": "pack a data set for a board's flash",
    "flash": "program a connected board",
    "device": "load, read, measure or query a board",
    "datasets": "list the data sets",
    "reproduce": "run the paper's experiments and compare",
    "doctor": "check the installation",
    "completion": "print the script for shell completion",
}


#: With both of these options above 1, rdahw train starts processes.
_SEVERAL = "seeds", "jobs"
#: What they load. It takes as long as to load the command and its data, and so it begins first.
_PRELOADED = "rdahw.cli._seeds", "rdahw.data", "rdahw.sim.packing_kernels"


class _Commands(click.Group):
    """Commands that are imported when they are needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command = importlib.import_module(f"rdahw.cli.{name}").command
        assert isinstance(command, click.Command)
        command.short_help = COMMANDS[name]
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from rdahw.errors import nearest

            raise click.UsageError(f"there is no command {args[0]!r}; {nearest(args[0], COMMANDS)}", ctx)
        if args[:1] == ["train"] and all(re.search(rf"--{name}[ =]([2-9]|\d\d)", " ".join(args)) for name in _SEVERAL):
            from rdahw.jobs import start_preloading

            start_preloading(*_PRELOADED)
        return super().resolve_command(ctx, args)


def _version(ctx: click.Context, _: click.Parameter, asked: bool) -> None:
    if asked:
        import rdahw

        click.echo(f"rdahw {rdahw.__version__}")
        ctx.exit()


@click.command(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 data or design failed, 2 usage, 3 tool or data set missing, 70 a bug, 130 Ctrl-C.",
)
@click.option("--version", is_flag=True, expose_value=False, is_eager=True, callback=_version, help="show the version")
def cli() -> None:
    """Learn Boolean circuits from data by reverse derivative ascent.

    \b
    rdahw train --sim                     learn Iris in software
    rdahw show iris-lookup.rdahw          describe the trained model
    rdahw train --help                    the options of training
    """


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit with its code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    # It logs that it builds its font cache; its errors come as exceptions.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A character that the terminal cannot show must not lose the result.
            stream.reconfigure(errors="backslashreplace")
    result: dict[str, Any] = {}
    with _interrupts_kept():
        code, message = _run(arguments, result)
    try:
        if "--json" in arguments and (code or result):
            failure = {"error": message, "exit_code": code} if code else {}
            click.echo(json.dumps(result | failure))
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        if not isinstance(error, BrokenPipeError):  # the reader has ended, as in «| head»
            _tell("Error", _unwritable(error))
        sys.stdout = None  # else Python flushes it again and prints an error
        code = code or 1
    sys.exit(code)


@contextmanager
def _interrupts_kept() -> Iterator[None]:
    """A Ctrl-C during the deletion of an object, where Python discards exceptions, is repeated a moment later. Amaranth
    deletes objects by a method of their own, and so often that this happens."""
    before = sys.unraisablehook

    def hook(unraisable: Any) -> None:
        if unraisable.exc_type is KeyboardInterrupt:
            threading.Timer(0.02, _thread.interrupt_main).start()
        else:
            before(unraisable)

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = before


def _run(arguments: list[str], result: dict[str, Any]) -> tuple[int, str]:
    """Run a command, which puts its result for scripts into ``result``: the exit code and the error message."""
    try:
        code = cli.main(arguments, prog_name="rdahw", standalone_mode=False, obj=result)
        return (code if isinstance(code, int) else 0), ""
    except click.ClickException as error:
        error.show()
        return error.exit_code, error.format_message()
    except UserError as error:
        return error.exit_code, _tell("Interrupted" if error.exit_code == 130 else "Error", str(error))
    except (KeyboardInterrupt, click.Abort):
        warnings.simplefilter("ignore")  # what was being made is not used: Amaranth would say so of each part
        return 130, _tell("Interrupted", "stopped by Ctrl-C")
    except MemoryError:
        return 1, _tell("Error", "there is not enough memory; use a smaller model or smaller batches")
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _NO_OUTPUT:
            return 1, _tell("Error", _unwritable(error))
        import traceback

        traceback.print_exc()
        _tell("Error", "this is a bug of rdahw; please report it with the lines above")
        return 70, f"{type(error).__name__}: {error}"


#: Errors of writing to a full or broken stdout. Writing our own files raises UserError instead.
_NO_OUTPUT = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def _unwritable(error: OSError) -> str:
    return f"the output cannot be written ({error.strerror}); write it to a place with enough space"


def _tell(kind: str, message: str) -> str:
    """Print the message to stderr as one line, and return it."""
    click.echo(f"{kind}: {plain(' '.join(message.split()))}", err=True)
    return message
