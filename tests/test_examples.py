"""The examples do what they say."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from running import Runner

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


def test_the_taps_of_a_shift_register(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = Runner(capsys, tmp_path)
    options = ("--model", f"{EXAMPLES / 'my_models.py'}:taps", "--labels", "binary", "--updates", 1000)
    result = run.ok("train", "--data", "lfsr:4:windows", *options, "--json").json
    assert (result["out"], result["parameters"], result["test_accuracy"]) == ("lfsr-4-windows-taps.rdahw", "3", 1.0)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")
@pytest.mark.parametrize("options", [["--updates", 9], ["--batch", 4, "--updates", 3]])
def test_a_simulated_board(
    options: list[object], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It learns what software learns."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("rdahw.boards.host.SILENCE", 60.0)  # the simulation may be slow
    run = Runner(capsys, tmp_path)
    soft = run.ok("train", *options, "--json").json
    words: list[object] = [EXAMPLES / "simulated_board.py", "iris-lookup.rdahw", "--engine", "amaranth"]
    words += ["--batch"] * ("--batch" in options)
    with subprocess.Popen([sys.executable, "-P", *map(str, words)], stdout=subprocess.PIPE, text=True) as board:
        try:
            assert board.stdout is not None
            port = board.stdout.readline().strip()
            hard = run.ok("train", *options, "--device", port, "--out", "board.rdahw", "--json").json
            status = run.ok("device", port, "status", "--json").json
        finally:
            board.kill()
    assert hard["parameters"] == soft["parameters"] != "0"
    assert status["example_count"] == soft["examples"]
