"""The import rule of docs/layout.md: arrows run one way, and importing rdahw is cheap."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]


class Layer(NamedTuple):
    package: str
    anywhere: set[str]  # what its files may import, beside the standard library and their own layer
    in_functions: set[str] = set()  # and what only while a function runs


# The whole rule. A layer's name stands for the layer, without the ones below it.
LAYERS = {
    "rdahw": Layer("rdahw", {"numpy"}, {"pooch", "platformdirs", "pyarrow", "openpyxl"}),
    "sim": Layer("rdahw.sim", {"rdahw", "rdahw.hdl", "numpy", "numba", "llvmlite", "amaranth"}),
    "hdl": Layer("rdahw.hdl", {"rdahw", "numpy", "amaranth"}),
    "boards": Layer("rdahw.boards", {"rdahw", "rdahw.hdl", "numpy", "amaranth", "amaranth_boards", "serial"}),
    "cli": Layer(
        "rdahw.cli",
        {"rdahw", "rdahw.sim", "rdahw.hdl", "rdahw.boards", "click"},
        {"numpy", "numba", "amaranth", "rich", "platformdirs"},
    ),
}
# Files whose whole purpose is one package, loaded only when that purpose is asked for.
OWN_FILES = {
    "rdahw/__init__.py": {"rdahw.hdl", "rdahw.sim"},  # the table of public names, for type checkers
    "rdahw/cluster.py": {"distributed"},
    "rdahw/pictures.py": {"matplotlib"},
    "rdahw/data/_image_files.py": {"PIL"},
    "rdahw/report.py": {"jinja2", "matplotlib"},
    "sim/columns.py": {"sklearn"},
    "sim/estimator.py": {"sklearn"},
    "sim/outliers.py": {"sklearn"},
    "sim/regressor.py": {"sklearn"},
    "sim/search.py": {"optuna"},
    "sim/weights.py": {"sklearn"},
    "sim/wires.py": {"sklearn"},
}
MAY_PRINT = {"cli"}
SLOW_TO_LOAD = {"numpy", "PIL", "rich", "amaranth", "numba", "sklearn", "matplotlib", "jinja2"}

PACKAGES = {layer.package for layer in LAYERS.values()}
FILES = [str(path.relative_to(ROOT)) for folder in LAYERS for path in sorted((ROOT / folder).rglob("*.py"))]


def owner(module: str) -> str:
    """The layer or the third-party package that a module belongs to."""
    while module not in PACKAGES and "." in module:
        module = module.rpartition(".")[0]
    return module


def imports(tree: ast.AST, package: str, inside: bool = False) -> Iterator[tuple[str, bool, int]]:
    """(imported layer or package, whether inside a function or for types only, line) of each import."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:  # relative to the package that the file is in
                base = ".".join(package.split(".")[: 1 - node.level or None] + [base]).rstrip(".")
            # `from rdahw import sim` imports rdahw.sim; `from rdahw import Circuit` imports rdahw
            names = [f"{base}.{alias.name}" for alias in node.names] if base in PACKAGES else [base]
        else:
            late = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            for_types = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
            yield from imports(node, package, inside or late or for_types)
            continue
        for name in names:
            if name.partition(".")[0] not in sys.stdlib_module_names:
                yield owner(name), inside, node.lineno


def broken_imports(file: str, source: str) -> list[str]:
    folder, *below = Path(file).parts[:-1]
    layer = LAYERS[folder]
    anywhere = layer.anywhere | {layer.package} | OWN_FILES.get(file, set())
    return [
        f"{file}:{line}: {layer.package} may not import {name}"
        + (" outside of a function" if name in layer.in_functions else "")
        for name, inside, line in imports(ast.parse(source), ".".join([layer.package, *below]))
        if name not in (anywhere | layer.in_functions if inside else anywhere)
    ]


def prints(file: str, source: str) -> list[str]:
    if Path(file).parts[0] in MAY_PRINT:
        return []
    return [
        f"{file}:{node.lineno}: only cli prints, not {ast.unparse(node)}"
        for node in ast.walk(ast.parse(source))
        if (isinstance(node, ast.Name) and node.id == "print")
        or (isinstance(node, ast.Attribute) and ast.unparse(node) in {"sys.stdout", "sys.stderr"})
    ]


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES)
def test_imports_follow_the_arrows(file: str) -> None:
    assert broken_imports(file, (ROOT / file).read_text()) == []


@pytest.mark.parametrize("file", FILES)
def test_only_the_command_line_prints(file: str) -> None:
    assert prints(file, (ROOT / file).read_text()) == []


@pytest.mark.parametrize(
    ("file", "source", "message"),
    [
        ("rdahw/a.py", "import numba", "rdahw/a.py:1: rdahw may not import numba"),
        ("rdahw/a.py", "from rdahw import sim", "rdahw/a.py:1: rdahw may not import rdahw.sim"),
        ("rdahw/a.py", "def f():\n  import rdahw.cli.main", "rdahw/a.py:2: rdahw may not import rdahw.cli"),
        ("rdahw/a.py", "if X:\n  import pooch", "rdahw/a.py:2: rdahw may not import pooch outside of a function"),
        ("rdahw/a.py", "from . import hdl", "rdahw/a.py:1: rdahw may not import rdahw.hdl"),
        ("hdl/sub/a.py", "from ...sim.packed import run", "hdl/sub/a.py:1: rdahw.hdl may not import rdahw.sim"),
        ("sim/a.py", "import rich.table", "sim/a.py:1: rdahw.sim may not import rich"),
    ],
)
def test_the_rule_finds_a_wrong_import(file: str, source: str, message: str) -> None:
    assert broken_imports(file, source) == [message]


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("rdahw/a.py", "import os.path, numpy.typing\nfrom rdahw import Circuit\nfrom .errors import UserError"),
        ("rdahw/a.py", "def f():\n  from pooch import retrieve"),
        ("cli/a.py", "if TYPE_CHECKING:\n  from rich.progress import Progress"),
        ("sim/a.py", "from rdahw.hdl.component import CircuitModule"),
        ("sim/sub/a.py", "from .b import c\nfrom ..d import e\nfrom . import f"),
    ],
)
def test_the_rule_allows_a_right_import(file: str, source: str) -> None:
    assert broken_imports(file, source) == []


def test_the_rule_finds_printing() -> None:
    assert prints("sim/a.py", "print(1)\nsys.stderr.write('')") == [
        "sim/a.py:1: only cli prints, not print",
        "sim/a.py:2: only cli prints, not sys.stderr",
    ]
    assert prints("cli/a.py", "print(1)") == []


@pytest.mark.parametrize("module", ["rdahw", "rdahw.cli"])
def test_importing_loads_nothing_slow(module: str) -> None:
    program = f"import json, sys, {module}; print(json.dumps(list(sys.modules)))"
    run = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True)
    assert set(json.loads(run.stdout)) & SLOW_TO_LOAD == set()
