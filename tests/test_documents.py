"""The Python in the documents runs, and the commands that they name exist."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from rdahw.cli import COMMANDS, cli

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_in_documents_runs(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All blocks of a page run in one namespace, as a reader would type them; printed output follows its block."""
    names: dict[str, object] = {}
    text = page.read_text()
    for block in re.finditer(r"```python\n(.*?)```\n(?:```\n(.*?)```)?", text, re.DOTALL):
        exec(compile(block[1], page.name, "exec"), names)
        printed = capsys.readouterr().out
        if block[2] is not None:
            assert printed == block[2]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_in_documents_exist(page: Path) -> None:
    context = click.Context(cli)
    for found in re.finditer(r"^(?:\$ )?rdahw (?P<command>[a-z]+)(?P<rest>[^\n#;]*)", page.read_text(), re.MULTILINE):
        assert found["command"] in COMMANDS, found[0]
        command = cli.get_command(context, found["command"])
        assert command is not None
        known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        for option in re.findall(r"--[a-z-]+", found["rest"]):
            assert option in known, found[0]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_documents_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#:, ]+)\)", page.read_text()):
        assert (page.parent / link).exists(), link
