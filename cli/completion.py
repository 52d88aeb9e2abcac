"""``rdahw completion``."""

from __future__ import annotations

import os
from pathlib import Path

import click
from click.shell_completion import get_completion_class

from rdahw.cli._output import Output, output_options
from rdahw.errors import UsageError

_SHELLS = ("bash", "zsh", "fish")


@click.command(
    "completion",
    epilog="""\b
Examples:
  eval "$(rdahw completion bash)"
  rdahw completion bash >> ~/.bashrc
  rdahw completion fish > ~/.config/fish/completions/rdahw.fish""",
)
@click.argument("shell", type=click.Choice(_SHELLS), required=False)
@output_options
def command(output: Output, shell: str | None) -> None:
    """Print the script that completes rdahw's commands and options in a shell (default: the shell of $SHELL)."""
    from rdahw.cli import cli

    shell = shell or Path(os.environ.get("SHELL", "")).name
    if shell not in _SHELLS:
        raise UsageError(f"there is no completion for the shell {shell!r}; give one of {', '.join(_SHELLS)}")
    maker = get_completion_class(shell)
    assert maker is not None, "click knows the three shells"
    script = maker(cli, {}, "rdahw", "_RDAHW_COMPLETE").source()
    output.json({"shell": shell, "script": script})
    output.line(script)
