"""The command line: one command a file, all printing and progress, and exit codes (docs/exit-codes.md)."""

from __future__ import annotations

import errno
import importlib
import io
import json
import logging
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from rdahw.cli._output import plain
from rdahw.errors import UserError

__all__ = ["cli", "main"]

#: The commands in the order of the help; each is the function ``command`` of the module of that name.
COMMANDS = (
    *("train", "eval", "report", "show", "models", "binarise", "prove", "export", "cells", "synth", "boards"),
    *("pack", "flash", "device", "datasets", "reproduce", "doctor", "completion"),
)


class _Commands(click.Group):
    """Commands that are imported when they are asked for, so that the help is quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command = importlib.import_module(f"rdahw.cli.{name}").command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from rdahw.errors import nearest

            raise click.UsageError(f"there is no command {args[0]!r}; {nearest(args[0], COMMANDS)}", ctx)
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
    rdahw train --sim                     learn Iris in the reference simulator
    rdahw show iris-lookup.rdahw          what was learned
    rdahw train --help                    all about training
    """


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit with its code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    # It tells of its caches, and that it looks for fonts; its errors come as exceptions.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A letter that the terminal does not know is no reason to lose a result.
            stream.reconfigure(errors="backslashreplace")
    result: dict[str, Any] = {}
    code, message = _run(arguments, result)
    try:
        if "--json" in arguments and (code or result):
            failure = {"error": message, "exit_code": code} if code else {}
            click.echo(json.dumps(result | failure))
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        if not isinstance(error, BrokenPipeError):  # else the reader has gone, as with «| head», and is not waiting
            _tell("Error", _unwritable(error))
        sys.stdout = None  # else Python flushes it once more, and complains
        code = code or 1
    sys.exit(code)


def _run(arguments: list[str], result: dict[str, Any]) -> tuple[int, str]:
    """Run a command, which puts its result for scripts into ``result``: the exit code, and what went wrong."""
    try:
        code = cli.main(arguments, prog_name="rdahw", standalone_mode=False, obj=result)
        return (code if isinstance(code, int) else 0), ""
    except click.ClickException as error:
        error.show()
        return error.exit_code, error.format_message()
    except UserError as error:
        return error.exit_code, _tell("Interrupted" if error.exit_code == 130 else "Error", str(error))
    except (KeyboardInterrupt, click.Abort):
        return 130, _tell("Interrupted", "stopped by Ctrl-C")
    except MemoryError:
        return 1, _tell("Error", "there is not enough memory for this; take a smaller model, or smaller batches")
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _NO_OUTPUT:
            return 1, _tell("Error", _unwritable(error))
        import traceback

        traceback.print_exc()
        _tell("Error", "this is a bug of rdahw; please report it with the lines above")
        return 70, f"{type(error).__name__}: {error}"


#: What a write to a full or broken stdout fails with; files that we write ourselves have a UserError.
_NO_OUTPUT = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def _unwritable(error: OSError) -> str:
    return f"the output cannot be written ({error.strerror}); send it to a place with enough space"


def _tell(kind: str, message: str) -> str:
    """The message, shown on stderr as one line."""
    click.echo(f"{kind}: {plain(' '.join(message.split()))}", err=True)
    return message
