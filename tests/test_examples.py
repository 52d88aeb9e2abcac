"""The examples do what they say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rdahw.cli import main

EXAMPLES = Path(__file__).parent.parent / "examples"


def test_a_model_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, out = f"{EXAMPLES / 'my_models.py'}:either", tmp_path / "either.rdahw"
    with pytest.raises(SystemExit) as stop:
        main(["train", "--model", model, "--epochs", "5", "--out", str(out), "--json"])
    assert stop.value.code == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["parameter_bits"], result["updates"]) == (24, 375)
    assert out.exists()
