"""Examples with several labels, through every command."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from icarus import exported
from running import Runner

from rdahw.data import load
from rdahw.saved import load_model
from rdahw.sim.engines import predict

COMMAND = ("train", "--data", "pets.csv", "--task", "multilabel", "--label", "barks,purrs,old", "--split", 0.25)
MODEL = ("--model", "boosted:tables=40,inputs=3,shift=2")


def rows() -> list[list[Any]]:
    """240 pets; the labels are the columns 1, 3 and 4."""
    random = np.random.default_rng(0)
    weight, legs, age = random.integers(1, 40, 240), random.integers(3, 5, 240), random.integers(0, 20, 240)
    barks, purrs = weight > 20, (weight < 12) | (age == 7)
    columns = (barks, weight, purrs, age > 9, legs, age)
    return [list(map(int, row)) for row in zip(*columns, strict=True)]


@pytest.fixture
def table(run: Runner) -> Path:
    path = run.folder / "pets.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["barks", "weight", "purrs", "old", "legs", "age"], *rows()])
    return path


@pytest.fixture
def trained(run: Runner, table: Path) -> dict[str, Any]:
    result: dict[str, Any] = run.ok(*COMMAND, *MODEL, "--out", "pets.rdahw", "--json").json
    return result


def test_train(run: Runner, trained: dict[str, Any]) -> None:
    assert (trained["task"], trained["family"], trained["label_names"]) == (
        "multilabel",
        "boosted",
        ["barks", "purrs", "old"],
    )
    assert "classes" not in trained
    assert trained["test_micro_f1"] > 0.9
    assert (trained["train_examples"], trained["test_examples"]) == (180, 60)
    assert trained["curve"][-1]["test_hamming_loss"] == trained["test_hamming_loss"]
    plain = run.ok(*COMMAND, *MODEL, "--engine", "reference", "--out", "plain.rdahw", "--json").json
    assert plain["parameters_sha256"] == trained["parameters_sha256"]
    assert f"test      micro-F1 {trained['test_micro_f1']:.4f}, macro-F1" in run.ok(*COMMAND, *MODEL).out


def test_the_figures_are_those_of_scikit_learn(run: Runner, trained: dict[str, Any]) -> None:
    from sklearn.metrics import accuracy_score, f1_score, hamming_loss

    test = load("pets.csv", task="multilabel", label="barks,purrs,old", split=0.25).test
    saved = load_model(run.folder / "pets.rdahw")
    assert test is not None
    sets = predict(saved.spec, saved.best_state, saved.binariser.transform(test.features))
    found, true = (np.stack([each >> i & 1 for i in range(3)], axis=1) for each in (sets, test.labels))
    assert trained["test_micro_f1"] == pytest.approx(f1_score(true, found, average="micro"))
    assert trained["test_macro_f1"] == pytest.approx(f1_score(true, found, average="macro"))
    assert trained["test_hamming_loss"] == pytest.approx(hamming_loss(true, found))
    assert trained["test_subset_accuracy"] == pytest.approx(accuracy_score(true, found))
    by_label = run.ok("eval", "pets.rdahw", "--json").json["by_label"]
    assert [by_label[name]["f1"] for name in ("barks", "purrs", "old")] == pytest.approx(
        f1_score(true, found, average=None)
    )


def test_eval(run: Runner, trained: dict[str, Any], table: Path) -> None:
    said = run.ok("eval", "pets.rdahw").out
    assert said.startswith(f"pets (test part): micro-F1 {trained['test_micro_f1']:.4f}, macro-F1")
    assert "missed" in said
    lines = run.ok("eval", "pets.rdahw", "--data", "pets.csv", "--predictions").out.splitlines()
    assert lines[0] == "prediction,label"
    expected = [
        ";".join(n for n, bit in zip(("barks", "purrs", "old"), (r[0], *r[2:4]), strict=True) if bit) for r in rows()
    ]
    assert [line.split(",")[1] for line in lines[1:]] == expected
    measured = run.ok("eval", "pets.rdahw", "--margins", "--json").json
    names = ("barks", "purrs", "old")
    above = [[name for name, margin in zip(names, row, strict=True) if margin > 0] for row in measured["margins"]]
    assert measured["predictions"] == above
    shuffled = [["age", "legs", "weight"], *([row[5], row[4], row[1]] for row in rows()[:5])]
    (run.folder / "new.csv").write_text("\n".join(",".join(map(str, row)) for row in shuffled))
    predictions = run.ok("eval", "pets.rdahw", "--data", "new.csv", "--json").json["predictions"]
    assert [";".join(names) for names in predictions] == [line.split(",")[0] for line in lines[1:6]]


def test_columns_by_position(run: Runner, trained: dict[str, Any]) -> None:
    (run.folder / "bare.csv").write_text("\n".join(",".join(map(str, row)) for row in rows()))
    words = ("--data", "bare.csv", "--no-header", "--task", "multilabel", "--label", "1,3,4", "--split", 0.25)
    made = run.ok("train", *words, *MODEL, "--out", "bare.rdahw", "--json").json
    assert made["parameters_sha256"] == trained["parameters_sha256"]
    assert made["label_names"] == ["column 1", "column 3", "column 4"]
    labelled = run.ok("eval", "bare.rdahw", "--data", "bare.csv", "--no-header", "--json").json
    same = run.ok("eval", "pets.rdahw", "--data", "pets.csv", "--json").json
    assert labelled["micro_f1"] == same["micro_f1"]


def test_arrays_and_other_words_for_0_and_1(run: Runner, trained: dict[str, Any], table: Path) -> None:
    made = np.array(rows())
    x, y = made[:, [1, 4, 5]], made[:, [0, 2, 3]]
    np.savez(run.folder / "pets.npz", x=x, y=y, x_test=x[:9], y_test=y[:9])
    result = run.ok("train", "--data", "pets.npz", "--task", "multilabel", *MODEL, "--json").json
    assert (result["label_names"], result["test_examples"]) == (["y0", "y1", "y2"], 9)
    words = [line.split(",") for line in table.read_text().splitlines()]
    for row in words[1:]:
        row[0], row[2] = {"0": "no", "1": "yes"}[row[0]], {"0": "False", "1": "True"}[row[2]]
    table.write_text("\n".join(map(",".join, words)))
    again = run.ok(*COMMAND, *MODEL, "--out", "words.rdahw", "--json").json
    assert again["parameters_sha256"] == trained["parameters_sha256"]


def test_show_report_and_resume(run: Runner, trained: dict[str, Any]) -> None:
    shown = run.ok("show", "pets.rdahw", "--json").json
    assert (shown["task"], shown["label_names"]) == ("multilabel", trained["label_names"])
    assert f"measured  micro-F1 {trained['test_micro_f1']:.4f} on test" in run.ok("show", "pets.rdahw").out
    run.ok(*COMMAND, *MODEL, "--epochs", 9, "--out", "part.rdahw")
    rest = run.ok("train", "--resume", "part.rdahw", "--epochs", 40, "--json").json
    assert rest["parameters_sha256"] == trained["parameters_sha256"]
    kept = run.ok(*COMMAND, *MODEL, "--validation", 40, "--json").json
    best = kept["curve"][kept["best_epoch"] - 1]
    assert best["validation_hamming_loss"] == min(row["validation_hamming_loss"] for row in kept["curve"])
    pytest.importorskip("matplotlib")
    run.ok("report", "pets.rdahw")
    page = (run.folder / "pets.html").read_text()
    assert "learned to tell which of 3 labels an example has by reverse derivative ascent" in page
    assert "micro-F1 on the test examples" in page


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--data", "pets.csv", "--task", "multilabel"), "are not named; expected two or more names"),
        (("--data", "pets.csv", "--task", "multilabel", "--label", "old"), "are 'old'; expected two or more names"),
        (("--data", "pets.csv", "--task", "multilabel", "--label", "old,old"), "name one column twice; name each once"),
        (("--data", "pets.csv", "--task", "multilabel", "--label", "old,odl"), "pets.csv has no column 'odl'; did you"),
        (("--data", "pets.csv", "--label", "old,barks"), "for several labels use rdahw train --task mul"),
        (("--data", "pets.csv", "--task", "multilabel", "--label", "old,age"), "column 'age': '"),
        (("--data", "iris", "--task", "multilabel"), "the task of the data set 'iris' is classification; leave --task"),
        ((*COMMAND[1:], "--balance"), "--balance repeats rare classes, and the task is multilabel; leave it out"),
        ((*COMMAND[1:], "--step", 1), "--step is for numbers to predict; add --task regression, or leave it out"),
        ((*COMMAND[1:], "--loss", "pinball=50"), "quantile is 50, and a label has no percentiles; leave it out"),
        ((*COMMAND[1:], "--classes", "old,barks"), "classes were asked for, and the task is multilabel; leave --clas"),
    ],
)
def test_what_cannot_be(run: Runner, table: Path, words: tuple[Any, ...], sentence: str) -> None:
    failed = run("train", *words)
    assert failed.code in (1, 2)
    assert sentence in failed.err


def test_names_of_labels_that_a_prediction_could_not_hold(run: Runner) -> None:
    (run.folder / "semi.csv").write_text('x,a,b,"a;b"\n' + "1,0,1,0\n2,1,0,1\n" * 20)
    failed = run("train", "--data", "semi.csv", "--label", "a,b,a;b", "--task", "multilabel")
    assert "the name of the label column 'a;b' has a «;», which separates the labels" in failed.error


def test_further_files_that_do_not_fit(run: Runner, trained: dict[str, Any], table: Path) -> None:
    text = table.read_text()
    (run.folder / "less.csv").write_text(text.replace("purrs", "meows", 1))
    assert "less.csv has no column 'purrs'; " in run("eval", "pets.rdahw", "--data", "less.csv").err
    (run.folder / "empty.csv").write_text(text.replace("\n0,", "\n,", 1))
    assert "column 'barks': the label is empty; expected 0 or 1" in run("eval", "pets.rdahw", "--data", "empty.csv").err
    np.savez(run.folder / "two.npz", x=np.zeros((4, 3)), y=np.zeros((4, 2), int))
    assert "'y' has 2 labels, expected 3 as in training" in run("eval", "pets.rdahw", "--data", "two.npz").err
    np.savez(run.folder / "flat.npz", x=np.zeros((4, 3)), y=np.zeros(4, int))
    assert "expected (4, L) of 0 and 1, for 2 to 62 labels" in run("eval", "pets.rdahw", "--data", "flat.npz").err


def test_labels_of_a_further_file_in_any_order(run: Runner, trained: dict[str, Any], table: Path) -> None:
    evaluate = ("eval", "pets.rdahw", "--data", "pets.csv", "--json")
    assert run.ok(*evaluate, "--label", "old,barks,purrs").json == run.ok(*evaluate).json
    assert "'old', 'age', and the model's labels are 'barks', " in run(*evaluate, "--label", "old,age").err
    with (run.folder / "bare.csv").open("w", newline="") as file:
        csv.writer(file).writerows([row[:3] + row[4:] for row in rows()])
    failed = run("eval", "pets.rdahw", "--data", "bare.csv", "--no-header", "--label", "1,3")
    assert "2 label columns were named, and the model has 3 labels; name 3" in failed.err


@pytest.mark.parametrize(("key", "value"), [("task", "colour"), ("label_columns", [-1]), ("label_columns", None)])
def test_a_damaged_file(run: Runner, trained: dict[str, Any], key: str, value: Any) -> None:
    import hashlib

    document = json.loads((run.folder / "pets.rdahw").read_text())
    document.pop("sha256")
    document["schema"][key] = value
    checksum = hashlib.sha256(json.dumps(document, sort_keys=True, ensure_ascii=True).encode()).hexdigest()
    (run.folder / "wrong.rdahw").write_text(json.dumps({**document, "sha256": checksum}))
    failed = run("eval", "wrong.rdahw")
    assert (failed.code, f"the schema's '{key}' is not" in failed.err) == (1, True), failed.err


@pytest.mark.slow
def test_export(run: Runner, table: Path) -> None:
    small = ("--model", "boosted:tables=3,inputs=2,candidates=9", "--binarise", "quantile=3", "--out", "sums.rdahw")
    run.ok(*COMMAND, *small)
    run.ok("export", "sums.rdahw", "--to", "verilog", "--inference", "--out", "sums.v")
    exported(run.folder, "sums")
