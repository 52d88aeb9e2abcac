"""Files of format versions 1 and 2 predict and train on as the version that wrote them did, also when saved again.

``expected.json`` has for each file the command that made it, after how many updates Ctrl-C came, what that version
predicted with it, and what came out when that version trained on. The two files of version 1 are files of version 2
without what version 2 added.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from golden_files import golden
from running import Runner

from rdahw.saved import VERSION, load_model, save_model

MODELS = golden("models")
EXPECTED = json.loads((MODELS / "expected.json").read_text())
RESUMED = sorted(name for name, expected in EXPECTED.items() if "resumed" in expected)


@pytest.fixture(params=["as it was", "saved again"])
def model(request: pytest.FixtureRequest, run: Runner, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Gives a file in a copy of the folder, as it was or saved again in the present format."""

    def copy(name: str) -> Path:
        folder = run.folder / "models"
        shutil.copytree(str(MODELS), folder)
        monkeypatch.chdir(folder)
        path = folder / name
        assert json.loads(path.read_text())["version"] == (1 if "version-1" in name else 2)
        if request.param == "saved again":
            save_model(load_model(path), path)
            assert json.loads(path.read_text())["version"] == VERSION
            content = path.read_bytes()
            save_model(load_model(path), path)
            assert path.read_bytes() == content
        return path

    return copy


def test_golden_models_are_all_there() -> None:
    files = {path.name for path in MODELS.iterdir() if ".rdahw" in path.name}
    assert files == EXPECTED.keys()
    assert sum(expected["stopped_after"] is not None for expected in EXPECTED.values()) >= 10
    assert len(RESUMED) >= 18


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_golden_models_predict_the_same(run: Runner, model: Any, name: str) -> None:
    found = run.ok("eval", model(name), "--predictions", "--json").json["predictions"]
    assert found == EXPECTED[name]["predictions"]


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["reference", "fast"])
@pytest.mark.parametrize("name", RESUMED)
def test_golden_models_train_on_to_the_same_bits(run: Runner, model: Any, name: str, engine: str) -> None:
    expected, path = EXPECTED[name], model(name)
    fast = "compiled" if load_model(path).spec.family == "ensemble" else "packed"
    words = ["--engine", fast if engine == "fast" else engine, *expected["resume"].split()]
    result = run.ok("train", "--resume", path, *words, "--out", "on.rdahw", "--json").json
    found = {key: result.get(key) for key in expected["resumed"]}
    if "curve" in found:
        found["curve"] = [{key: row[key] for key in row if key != "seconds"} for row in result["curve"]]
    assert found == expected["resumed"]
    assert load_model(Path("on.rdahw")).is_finished
