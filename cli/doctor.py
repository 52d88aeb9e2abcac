"""``rdahw doctor``."""

from __future__ import annotations

import os
import re
from typing import Any

import click

from rdahw.cli._output import Output, output_options
from rdahw.errors import MissingError, UserError


@click.command(
    "doctor",
    epilog="\b\nExamples:\n  rdahw doctor\n  rdahw doctor --json",
)
@output_options
def command(output: Output) -> None:
    """List packages, tools, caches and data sets, which of them are missing, and how to get them.

    Exit code 3 if something is missing that rdahw needs.
    """
    import platform

    from rdahw.data import catalogue as data_sets
    from rdahw.hdl.toolchain import catalogue as tools

    rows = [_row("system", "Python", platform.python_version(), "rdahw", "", needed=True)]
    for name in _requirements():
        rows.append(_row("package", name, _version(name), "rdahw", f"python -m pip install {name}", needed=True))
    for tool, at in tools():
        version = None if at is None else at.version or "version unknown"
        rows.append(_row("tool", tool.name, version, tool.purpose, tool.get, needed=tool.is_required))
    for variable, purpose in (("NUMBA_CACHE_DIR", "compiled kernels"), ("YOWASP_CACHE_DIR", "tools, compiled")):
        get = f"set {variable} to a folder that can be written"
        rows.append(_row("cache", variable, _cache(variable), purpose, get, needed=True))
    for record in data_sets():
        rows.append(_row("data set", record.name, record.found, f"--data {record.name}", record.get))
    output.json({"checks": rows, "ok": all(row["found"] or not row["needed"] for row in rows)})
    output.table(
        ("kind", "name", "found", "for"), [(row["kind"], row["name"], row["found"], row["for"]) for row in rows]
    )
    for row in rows:
        if not row["found"]:
            output.line(f"{row['name']} is missing: {row['get']}")
    if missing := [row["name"] for row in rows if row["needed"] and not row["found"]]:
        raise MissingError(f"rdahw needs {', '.join(missing)}; install what is missing as said above")


def _cache(variable: str) -> str | None:
    """The folder that is used; None if no folder can be written."""
    import tempfile

    from rdahw.hdl.processes import yowasp_cache

    try:
        if variable == "YOWASP_CACHE_DIR":
            folder = str(yowasp_cache())
        else:
            from rdahw.sim.jit import kernel_cache

            folder = str(kernel_cache())
    except UserError:
        return None
    return folder + " (temporary)" * folder.startswith(os.path.join(tempfile.gettempdir(), "rdahw-"))


def _requirements() -> list[str]:
    """The packages that rdahw requires."""
    import importlib.metadata

    required = importlib.metadata.requires("rdahw") or []
    return [re.split(r"[^\w.-]", text, maxsplit=1)[0] for text in required if "extra ==" not in text]


def _version(package: str) -> str | None:
    import importlib.metadata  # not above: importing it takes as long as all of the help

    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _row(kind: str, name: str, found: str | None, purpose: str, get: str, *, needed: bool = False) -> dict[str, Any]:
    return {"kind": kind, "name": name, "found": found, "needed": needed, "for": purpose, "get": get}
