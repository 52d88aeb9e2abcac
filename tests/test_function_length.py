"""No function is longer than a reader can keep in mind."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = ("rdahw", "cli", "hdl", "sim", "boards", "tests", "bench")
MAX_LINES = 120


def functions(text: str) -> Iterator[tuple[str, int]]:
    """Name and length in lines, from ``def`` to the last one, of each function of a Python file."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            yield node.name, node.end_lineno - node.lineno + 1


def test_no_function_is_too_long() -> None:
    files = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
    assert {path.relative_to(ROOT).parts[0] for path in files} == set(FOLDERS)
    long = [
        f"{path.relative_to(ROOT)}: {name} has {lines} lines"
        for path in files
        for name, lines in functions(path.read_text(encoding="utf-8"))
        if lines > MAX_LINES
    ]
    assert long == []


def test_lengths_are_counted() -> None:
    text = "async def outer():\n    def inner():\n        pass\n\n    return inner\n"
    text += "class A:\n    def method(self): ...\n"
    assert sorted(functions(text)) == [("inner", 2), ("method", 1), ("outer", 5)]
