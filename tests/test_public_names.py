"""The names that ``import rdahw`` offers: each resolves, and type checkers see the same ones."""

from __future__ import annotations

import ast
import pkgutil
from importlib.metadata import version
from pathlib import Path

import pytest

import rdahw


def test_every_public_name_resolves() -> None:
    assert {name: getattr(rdahw, name) for name in rdahw.__all__}.keys() <= set(dir(rdahw))


@pytest.mark.parametrize(("name", "module"), rdahw._HOME.items())
def test_a_public_name_is_listed_where_it_is_defined(name: str, module: str) -> None:
    assert getattr(rdahw, name).__module__ == module


def test_type_checkers_see_the_table() -> None:
    seen = {}
    for block in ast.parse(Path(rdahw.__file__).read_text()).body:
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING":
            for node in block.body:
                if isinstance(node, ast.ImportFrom):
                    for alias in node.names:
                        assert alias.asname == alias.name, f"write 'import {alias.name} as {alias.name}' to export it"
                        seen[alias.name] = node.module
    assert seen == rdahw._HOME


def test_no_module_hides_a_public_name() -> None:
    # Importing rdahw.trace would put that module where the function rdahw.trace was.
    assert not {module.name for module in pkgutil.iter_modules(rdahw.__path__)} & set(rdahw.__all__)


def test_version_is_the_installed_one() -> None:
    assert rdahw.__version__ == version("rdahw")


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"^module 'rdahw' has no attribute 'UserErorr'"):
        _ = rdahw.UserErorr
