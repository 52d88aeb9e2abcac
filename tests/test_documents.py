"""The Python in the documents runs, and the commands that they name exist."""

from __future__ import annotations

import os
import re
from pathlib import Path

import click
import pytest

from rdahw.cli import COMMANDS, cli
from rdahw.families import BUILT_IN
from rdahw.learner import LOSSES, OPTIMISERS

ROOT = Path(__file__).parent.parent
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs" / "notebooks").glob("*.md")),
]


@pytest.mark.slow
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


@pytest.mark.parametrize(
    ("column", "names"), [("family", {*BUILT_IN} - {"file"}), ("loss", {*LOSSES}), ("optimiser", {*OPTIMISERS})]
)
def test_the_page_of_models_has_a_row_for_each(column: str, names: set[str]) -> None:
    table = (ROOT / "docs" / "models.md").read_text().partition(f"\n| {column} |")[2].partition("\n\n")[0]
    cells = re.findall(r"^\| (.*?) \|", table, re.MULTILINE)
    assert {name for cell in cells for name in re.findall(r"`([a-z][\w-]*)", cell)} == names


def conflict_markers(text: str) -> list[str]:
    """The lines that a merge left behind."""
    return re.findall(rf"^(?:{'<' * 7}|{'>' * 7}|{'[|]' * 7}) .*$|^={{7}}$", text, re.MULTILINE)


def test_no_file_has_conflict_markers() -> None:
    assert conflict_markers(f"a\n{'<' * 7} HEAD\nb\n{'=' * 7}\nc\n{'>' * 7} 1234\n") == [
        "<" * 7 + " HEAD",
        "=" * 7,
        ">" * 7 + " 1234",
    ]
    # Folders that tools make are not the project's: each is named in .gitignore.
    ignored = set(re.findall(r"^/?([^*\n]+)/$", (ROOT / ".gitignore").read_text(), re.MULTILINE)) | {".git"}
    files = []
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [name for name in folders if name not in ignored and not name.endswith(".egg-info")]
        files += [Path(folder, name) for name in names]
    assert ROOT / "README.md" in files
    found = {}
    for file in files:
        try:
            found[file] = conflict_markers(file.read_text())
        except UnicodeDecodeError:  # not text
            continue
    assert {str(file): lines for file, lines in found.items() if lines} == {}


@pytest.mark.parametrize("page", [ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md"], ids=lambda page: page.name)
def test_files_that_are_named_are_there(page: Path) -> None:
    named = set(re.findall(r"`((?:rdahw|sim|hdl|boards|cli|tests|docs|\.github)/[\w/.-]+)`", page.read_text()))
    assert [name for name in sorted(named - {"rdahw/families/NAME.py"}) if not (ROOT / name).exists()] == []
