"""Commands run in a folder of their own."""

from __future__ import annotations

from pathlib import Path

import pytest
from running import Runner


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runner:
    """Run ``rdahw`` in this process, in the folder ``tmp_path``."""
    monkeypatch.chdir(tmp_path)
    return Runner(capsys, tmp_path)
