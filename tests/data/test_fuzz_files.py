"""Mutated files of every format; ``python tests/fuzz_files.py 2000 0 10`` tries more."""

import fuzz_files
import pytest


@pytest.mark.parametrize("count", [40, pytest.param(400, marks=pytest.mark.slow)])
def test_mutated_files(tmp_path, count):
    seen = fuzz_files.run(count, tmp_path)
    assert seen["same"] == count // 4
    assert seen["refused"] > 0
    assert seen["checked"] > count // 8
    assert seen["read"] + seen["checked"] > count // 4  # a third of the damaged ones, which are three quarters of all
