"""Training on files as people have them, and what is said about them."""

import gzip
from pathlib import Path

import numpy as np
import pytest

TABLES = Path(__file__).parent.parent / "data" / "tables"


@pytest.fixture
def rare(tmp_path):
    """A table of 600 examples, of which 6 are of the class «yes»: where both numbers are high."""
    rng = np.random.default_rng(0)
    low = rng.integers(0, 9, (594, 2))
    low[:, 1] = np.where((low > 4).all(axis=1), 0, low[:, 1])
    rows = np.concatenate([low, np.full((6, 2), 8)])[rng.permutation(600)]
    lines = [f"{a},{b},{'yes' if a > 4 and b > 4 else 'no'}\n" for a, b in rows]
    (tmp_path / "rare.csv").write_text("a,b,label\n" + "".join(lines))
    return "rare.csv"


def test_the_form_of_a_file_is_said_and_recorded(run, tmp_path):
    (tmp_path / "table.txt").write_text((TABLES / "plain.csv").read_text().replace(",", "~"))
    trained = run.ok(
        "train", "--model", "lookup", "--data", "table.txt", "--delimiter", "~", "--split", "0.25", "--json"
    )
    assert trained.json["classes"] == ["no", "yes"]
    assert "cells separated by '~', the first row has the names of the columns" in trained.err
    evaluated = run.ok("eval", trained.json["out"], "--json")  # reads the file again, in the same form
    assert evaluated.json["correct"] == trained.json["test_correct"]
    whole = run.ok("eval", trained.json["out"], "--data", str(TABLES / "plain.parquet"), "--json").json
    assert whole["examples"] == 40


def test_the_name_of_a_packed_file(run, tmp_path):
    (tmp_path / "table.csv.gz").write_bytes(gzip.compress((TABLES / "plain.csv").read_bytes()))
    assert run.ok("train", "--model", "lookup", "--data", "table.csv.gz", "--json").json["out"] == "table-lookup.rdahw"


def test_resuming_keeps_the_form(run, tmp_path):
    (tmp_path / "table.csv").write_text((TABLES / "nominal.csv").read_text())
    given = ("train", "--model", "lookup", "--data", "table.csv", "--no-header", "--json")
    out = run.ok(*given, "--epochs", "2").json["out"]
    first = run.ok(*given, "--epochs", "1", "--out", "half.rdahw").json
    assert first["train_examples"] == 4
    second = run.ok("train", "--resume", "half.rdahw", "--epochs", "2", "--json").json
    assert second["train_examples"] == 4
    assert (tmp_path / out).exists()
    refused = run("train", "--resume", "half.rdahw", "--header")
    assert refused.code == 2
    assert "--header was given, and 'half.rdahw' was trained" in refused.err


def test_missing_cells_as_an_error(run, tmp_path):
    (tmp_path / "holes.csv").write_text("a,b,label\n1,2,x\n2,,y\n3,1,x\n")
    ran = run("train", "--data", "holes.csv", "--missing", "error")
    assert ran.code == 1
    assert "holes.csv, line 3, column 'b': the cell is empty" in ran.err
    dropped = run.ok("train", "--model", "lookup", "--data", "holes.csv", "--missing", "drop", "--json")
    assert dropped.json["train_examples"] == 2
    assert "1 of 3 examples with missing cells dropped" in dropped.err


@pytest.mark.parametrize("part", [("--split", "0.5"), ()])
def test_rare_classes(run, rare, part):
    given = ("train", "--model", "ensemble:tables=2,inputs=1", "--dropout", "0", "--data", rare, *part, "--json")
    plain = run.ok(*given)
    kind = "test" if part else "training"
    assert f"{kind} examples are predicted as 'no', which" in plain.err
    assert "--balance repeats the rare classes" in plain.err
    balanced = run.ok(*given, "--balance")
    assert "are predicted as" not in balanced.err
    assert balanced.json["train_examples"] == (594 if part else 1188)
    if part:
        confusion = run.ok("eval", balanced.json["out"], "--json").json["confusion"]
        assert confusion[1][1] == 3
