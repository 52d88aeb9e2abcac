"""Commands run in a folder of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from running import Runner

from rdahw.boards.design import Design


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runner:
    """Run ``rdahw`` in this process, in the folder ``tmp_path``."""
    monkeypatch.chdir(tmp_path)
    return Runner(capsys, tmp_path)


@pytest.fixture
def designs(monkeypatch: pytest.MonkeyPatch) -> list[Design]:
    """What is handed to synthesis, which is left out."""
    from rdahw.boards import synthesis
    from rdahw.errors import UserError

    made: list[Design] = []

    def synthesise(design: Design, *arguments: Any, **options: Any) -> Any:
        made.append(design)
        raise UserError("synthesis was left out")

    monkeypatch.setattr(synthesis, "synthesise", synthesise)
    return made
