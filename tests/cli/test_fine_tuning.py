"""A netlist whose tables were damaged is trained further, resumed, and written again."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from running import Runner

from rdahw.data import load
from rdahw.hdl.reader import read_circuit
from rdahw.saved import load_model
from rdahw.sim import run as run_circuit

TRAIN = ("train", "--data", "iris", "--parameters", "tables", "--json")


@pytest.mark.slow
def test_damaged_tables_are_learned_again(tmp_path: Path, run: Runner) -> None:
    known = run.ok("train", "--data", "iris", "--model", "lookup", "--out", "iris.rdahw", "--json").json
    run.ok("export", "iris.rdahw", "--inference", "--to", "blif", "--out", "iris.blif")
    binariser, test = load_model(tmp_path / "iris.rdahw").binariser, load("iris").test
    assert test is not None
    x, labels = binariser.transform(test.features), np.eye(3, dtype=np.uint8)[test.labels]

    def right(path: str) -> int:
        return int((run_circuit(read_circuit(tmp_path / path), x)[0] == labels).all(axis=1).sum())

    # The last table of two inputs is empty.
    text = (tmp_path / "iris.blif").read_text()
    *_, table = re.finditer(r"(\.names \S+ \S+ \S+\n)[^.]*", text)
    (tmp_path / "damaged.blif").write_text(text[: table.start()] + table[1] + text[table.end() :])
    assert right("damaged.blif") < right("iris.blif") == known["test_correct"]

    tuned = run.ok(*TRAIN, "--model", "damaged.blif", "--epochs", "2", "--out", "tuned.rdahw").json
    assert (tuned["loss"], tuned["optimiser"]) == ("target", "sign=6")
    assert tuned["test_correct"] > right("damaged.blif")
    run.ok(*TRAIN, "--model", "damaged.blif", "--epochs", "1", "--out", "half.rdahw")
    resumed = run.ok("train", "--resume", "half.rdahw", "--epochs", "2", "--json").json
    assert resumed["parameters_sha256"] == tuned["parameters_sha256"]
    run.ok("export", "tuned.rdahw", "--inference", "--to", "verilog", "--out", "tuned.v")
    assert right("tuned.v") == tuned["test_correct"]
    flips = run.ok(*TRAIN, "--model", "damaged.blif", "--optimiser", "xor", "--updates", "1").json
    assert (flips["loss"], flips["optimiser"]) == ("xor", "xor")
