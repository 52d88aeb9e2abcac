"""``rdahw doctor``."""

from __future__ import annotations

import shutil
from typing import Any

import click

from rdahw.cli._output import Output, output_options
from rdahw.errors import MissingError

#: What is needed, and for what.
_PACKAGES = {
    "numpy": "the reference simulator",
    "click": "the command line",
    "rich": "tables and progress bars",
    "pooch": "downloads of data sets",
    "platformdirs": "the cache",
}
#: Programs that some commands use: what for, and how to get them.
_PROGRAMS = {"dot": ("rdahw show --svg", "install Graphviz (Debian: apt install graphviz)")}


@click.command(
    "doctor",
    short_help="say what is there and what is missing",
    epilog="\b\nExamples:\n  rdahw doctor\n  rdahw doctor --json",
)
@output_options
def command(output: Output) -> None:
    """Say which packages, programs and data sets are there, what is missing, and how to get it.

    Exit code 3 if something is missing that rdahw cannot do without.
    """
    import importlib.metadata  # here, as it takes as long to load as all of the help
    import importlib.util
    import platform

    from rdahw.data import catalogue

    rows: list[dict[str, Any]] = [
        {
            "kind": "system",
            "name": "Python",
            "found": platform.python_version(),
            "needed": True,
            "for": "rdahw",
            "get": "",
        }
    ]
    for name, purpose in _PACKAGES.items():
        found = importlib.metadata.version(name) if importlib.util.find_spec(name) else None
        rows.append(_row("package", name, found, purpose, f"pip install {name}", needed=True))
    for name, (purpose, get) in _PROGRAMS.items():
        rows.append(_row("program", name, shutil.which(name), purpose, get))
    for record in catalogue():
        rows.append(_row("data set", record.name, record.found, f"--data {record.name}", record.get))
    output.json({"checks": rows, "ok": all(row["found"] or not row["needed"] for row in rows)})
    output.table(
        ("kind", "name", "found", "for"), [(row["kind"], row["name"], row["found"], row["for"]) for row in rows]
    )
    for row in rows:
        if not row["found"]:
            output.line(f"{row['name']} is missing: {row['get']}")
    if missing := [row["name"] for row in rows if row["needed"] and not row["found"]]:
        raise MissingError(f"rdahw cannot do without {', '.join(missing)}; install what is said above")


def _row(kind: str, name: str, found: str | None, purpose: str, get: str, *, needed: bool = False) -> dict[str, Any]:
    return {"kind": kind, "name": name, "found": found, "needed": needed, "for": purpose, "get": get}
