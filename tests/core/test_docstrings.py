"""The examples in docstrings run and print what they say."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import rdahw

MODULES = [m.name for m in pkgutil.walk_packages(rdahw.__path__, "rdahw.")]


def test_the_core_has_examples() -> None:
    finder = doctest.DocTestFinder(exclude_empty=True)
    for module in ("tracing", "combinators", "derivative", "transform", "custom", "safety"):
        found = finder.find(importlib.import_module(f"rdahw.{module}"))
        assert any(test.examples for test in found), module


@pytest.mark.parametrize("module", MODULES)
def test_examples_run(module: str) -> None:
    assert doctest.testmod(importlib.import_module(module)).failed == 0
