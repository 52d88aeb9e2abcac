"""The command line: one command a file, all printing and progress, and exit codes (docs/exit-codes.md)."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

import click

from rdahw.errors import UserError

__all__ = ["cli", "main"]

#: The commands in the order of the help; each is the function ``command`` of the module of that name.
COMMANDS = ("train", "eval", "show", "datasets", "reproduce", "doctor", "completion")


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


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    sys.exit(_run(arguments))


def _run(arguments: list[str]) -> int:
    try:
        result = cli.main(arguments, prog_name="rdahw", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return _failed(arguments, error.format_message(), error.exit_code)
    except UserError as error:
        click.echo(f"Error: {error}", err=True)
        return _failed(arguments, str(error), error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        click.echo("Interrupted.", err=True)
        return _failed(arguments, "interrupted", 130)
    except BrokenPipeError:
        # The reader of our output has gone, as with «| head»; there is nobody to tell.
        sys.stdout = None
        return 1
    except Exception as error:
        import traceback

        traceback.print_exc()
        click.echo("Error: this is a bug of rdahw; please report it with the lines above.", err=True)
        return _failed(arguments, f"{type(error).__name__}: {error}", 70)
    return result if isinstance(result, int) else 0


def _failed(arguments: list[str], message: str, code: int) -> int:
    """With --json the failure is told on stdout too, as an object."""
    if "--json" in arguments:
        import json

        click.echo(json.dumps({"error": message, "exit_code": code}))
    return code
