"""The documentation site: every page and every public name is on it, and it is built without a warning."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import rdahw

DOCS = Path(__file__).parent.parent / "docs"


def blocks(page: str, directive: str) -> list[str]:
    """The lines without options in the blocks of this directive of a page, in order."""
    text = (DOCS / page).read_text()
    found = re.findall(rf"^(?:```{{{directive}}}|\.\. {directive}::)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    lines = [line.strip() for block in found for line in block.splitlines()]
    return [line for line in lines if line and not line.startswith(":")]


def test_the_contents_name_every_page_once() -> None:
    pages = [line for line in blocks("index.md", "toctree") if "<" not in line]
    found = [path.relative_to(DOCS).with_suffix("").as_posix() for path in DOCS.rglob("*.md")]
    assert sorted(pages) == sorted(page for page in found if page != "index" and not page.startswith("generated/"))


def test_the_reference_names_every_public_name_once() -> None:
    assert sorted(blocks("python.md", "autosummary")) == sorted(f"rdahw.{name}" for name in rdahw._HOME)


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    """Links to headings, docstrings and helps of commands among them. A copy is built, as pages of names are made.

    The notebooks are read and not run: `make docs` runs them.
    """
    shutil.copytree(DOCS, tmp_path / "docs", ignore=shutil.ignore_patterns("generated"))
    options = ["--fail-on-warning", "--keep-going", "--quiet", "--builder", "dummy"]
    options += ["--define", "nb_execution_mode=off"]
    command = [str(Path(sys.executable).with_name("sphinx-build")), *options, "docs", "site"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
