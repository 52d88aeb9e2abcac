"""Tables with missing values and categories on the command line: what is learned, said, saved and shown."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rdahw.saved import load_model

#: A number with gaps, and a category with gaps; the label is «odd» exactly where the number is missing.
AGES = ["" if i % 3 == 0 else i for i in range(60)]
COLOURS = [("red", "green", "")[i // 3 % 3] for i in range(60)]
ROWS = [f"{age},{colour},{'even' if age else 'odd'}" for age, colour in zip(AGES, COLOURS, strict=True)]
COMPLETE = sum(1 for age, colour in zip(AGES, COLOURS, strict=True) if age and colour)
HEAD = "age,colour,label\n"
TABLE = HEAD + "\n".join(ROWS) + "\n"
MODEL = "ensemble:tables=24,inputs=3"
ENSEMBLE = ("--model", MODEL, "--engine", "reference", "--binarise", "quantile=2", "--epochs", "5")
TRAIN = ("train", "--data", "t.csv", "--test", "t.csv", "--out", "m.rdahw", *ENSEMBLE, "--json")


@pytest.fixture
def trained(run: Any) -> Any:
    (run.folder / "t.csv").write_text(TABLE)
    assert run.ok(*TRAIN).json["test_correct"] == 60
    return run


def test_the_wires_are_saved_and_shown(trained: Any) -> None:
    shown = trained.ok("show", "m.rdahw", "--json").json
    colours = ["colour = green", "colour = red", "colour is missing"]
    assert shown["wires"] == ["age > 20", "age is missing", *colours, "age > 40"]
    measured = trained.ok("eval", "m.rdahw", "--json")
    assert measured.json["correct"] == 60
    assert "warning" not in measured.err
    assert not {"unknown_categories", "missing_values"} & measured.json.keys()


def test_a_training_continues_to_the_same_bits(trained: Any) -> None:
    run = trained
    run.ok(*[{"5": "2", "m.rdahw": "half.rdahw"}.get(word, word) for word in TRAIN])
    run.ok("train", "--resume", "half.rdahw", "--epochs", "5", "--out", "again.rdahw")
    one, other = (load_model(run.folder / name) for name in ("m.rdahw", "again.rdahw"))
    assert one.state.keys() == other.state.keys()
    assert all(np.array_equal(one.state[name], other.state[name]) for name in one.state)
    refused = run("train", "--resume", "half.rdahw", "--missing", "drop")
    assert refused.code == 2
    assert "--missing drop was given, and 'half.rdahw' was trained with --missing bit" in refused.error


def test_examples_with_missing_values_are_left_out_or_refused(trained: Any) -> None:
    run = trained
    dropped = run.ok(*TRAIN, "--missing", "drop", "--epochs", "1")
    assert dropped.json["test_examples"] == COMPLETE
    assert f"{60 - COMPLETE} of 60 examples with missing cells dropped" in dropped.err
    assert run.ok("eval", "m.rdahw", "--json").json["examples"] == COMPLETE
    wires = run.ok("show", "m.rdahw", "--json").json["wires"]
    assert [name.split(" > ")[0] for name in wires] == ["age", "colour = green", "colour = red", "age"]
    refused = run(*TRAIN, "--missing", "error")
    assert refused.code == 1
    assert "t.csv, line 2, column 'age': the cell is empty; fill it or drop the line" in refused.error
    assert run("train", "--data", "t.csv", "--missing", "zero").code == 2


def test_missing_cells_of_the_test_part_are_as_in_training(trained: Any) -> None:
    ran = trained("eval", "m.rdahw", "--missing", "drop")
    assert (ran.code, ran.error) == (2, "--missing drop needs a file of examples; give the file with --data")
    trained.ok("eval", "m.rdahw", "--missing", "drop", "--data", "t.csv")


def test_what_training_did_not_have_is_counted_and_said(trained: Any) -> None:
    run = trained
    (run.folder / "more.csv").write_text(HEAD + "1,blue,even\n2,pink,even\n3,red,even\n,,odd\n")
    measured = run.ok("eval", "m.rdahw", "--data", "more.csv", "--json")
    assert measured.json["unknown_categories"] == {"colour": 2}
    assert "missing_values" not in measured.json
    sentence = "2 of 4 examples have a category of column 'colour' that training did not have; all bits of the column"
    assert f"warning: {sentence} are 0\n" in measured.err
    run.ok(*TRAIN, "--missing", "drop", "--epochs", "1")
    measured = run.ok("eval", "m.rdahw", "--data", "more.csv", "--json")
    assert measured.json["missing_values"] == {"age": 1, "colour": 1}
    assert "1 of 4 examples have no value in column 'age', which all had in training; all bits of the" in measured.err


def test_many_columns_are_not_all_named(run: Any) -> None:
    names = ",".join(f"c{i}" for i in range(8))
    (run.folder / "t.csv").write_text(f"{names},label\n{','.join('1' * 8)},x\n{','.join('2' * 8)},y\n")
    (run.folder / "gaps.csv").write_text(f"{names}\n{',' * 7}\n")
    run.ok("train", "--data", "t.csv", "--model", "lookup", "--out", "m.rdahw")
    measured = run.ok("eval", "m.rdahw", "--data", "gaps.csv", "--json")
    assert measured.json["missing_values"] == {f"c{i}": 1 for i in range(8)}
    assert measured.err.count("have no value in column") == 5
    assert "warning: the same in 3 more columns" in measured.err


def test_unknown_categories_are_as_the_rare_ones(run: Any) -> None:
    """The rare homes are all «y», and so is the unknown one."""
    rows = [*["town,x"] * 40, *["city,x"] * 40, *(f"hut {i},y" for i in range(20))]
    (run.folder / "t.csv").write_text("home,label\n" + "\n".join(rows) + "\n")
    run.ok("train", "--data", "t.csv", "--out", "m.rdahw", *ENSEMBLE)
    assert run.ok("show", "m.rdahw", "--json").json["wires"] == ["home = city", "home = town", "home is other"]
    (run.folder / "more.csv").write_text("home\nboat\ntown\nhut 3\n")
    measured = run.ok("eval", "m.rdahw", "--data", "more.csv", "--json")
    assert measured.json["predictions"] == ["y", "x", "y"]
    assert "that training did not have; the bit for rare categories is 1" in measured.err


def test_a_report_names_the_wires_and_warns(trained: Any) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra plot")
    run = trained
    (run.folder / "more.csv").write_text(HEAD + "1,blue,even\n")
    result = run.ok("report", "m.rdahw", "--data", "more.csv", "--out", "m.html")
    assert "1 of 1 examples have a category of column 'colour' that training did not have" in result.err
    assert "age is missing" in (run.folder / "m.html").read_text()


def test_auto_counts_the_wires(trained: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from rdahw.families import find_family
    from rdahw.family import Candidate, DataSize

    sizes: list[DataSize] = []

    def candidates(size: DataSize) -> Any:
        sizes.append(size)
        return [(find_family("ensemble"), Candidate(options={"tables": 24, "inputs": 3}, thresholds=2))]

    monkeypatch.setattr("rdahw.sim.automatic.all_candidates", candidates)
    result = trained.ok("train", "--data", "t.csv", "--test", "t.csv", "--model", "auto", "--json").json
    assert sizes[0].columns == 2 + 2 + 1  # age and its gaps, two colours and theirs
    assert result["test_correct"] == 60
