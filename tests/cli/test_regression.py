"""Numbers to predict, through every command."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from icarus import exported
from PIL import Image
from running import Runner

from rdahw.data import load
from rdahw.saved import load_model
from rdahw.sim.engines import predict
from rdahw.tasks import NumberEvaluation

COMMAND = ("train", "--data", "house.csv", "--task", "regression", "--label", "price", "--split", 0.25)
MODEL = ("--model", "boosted:tables=40,inputs=3")


@pytest.fixture
def table(run: Runner) -> Path:
    """200 houses; the price is in the first column."""
    random = np.random.default_rng(0)
    rooms, age, noise = random.integers(1, 9, 200), random.integers(0, 90, 200), random.normal(0, 4, 200)
    path = run.folder / "house.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["price", "rooms", "age", "town"])
        for r, a, n, town in zip(rooms, age, noise, random.choice(["A", "B"], 200), strict=True):
            writer.writerow([f"{20 + 12.5 * r - 0.3 * a + 10 * (town == 'A') + n:.2f}", r, a, town])
    return path


@pytest.fixture
def trained(run: Runner, table: Path) -> dict[str, Any]:
    result: dict[str, Any] = run.ok(*COMMAND, *MODEL, "--out", "house.rdahw", "--json").json
    return result


def test_train(run: Runner, trained: dict[str, Any]) -> None:
    assert (trained["task"], trained["family"], trained["loss"]) == ("regression", "boosted", "quadratic")
    assert "classes" not in trained
    assert trained["target"]["steps"] == 4096
    assert trained["test_r2"] > 0.8
    assert trained["test_mae"] <= trained["test_rmse"]
    assert (trained["train_examples"], trained["test_examples"], len(trained["curve"])) == (150, 50, 40)
    assert trained["curve"][-1]["test_r2"] == trained["test_r2"]
    assert "wrong" not in trained["curve"][0]
    plain = run.ok(*COMMAND, *MODEL, "--engine", "reference", "--out", "plain.rdahw", "--json").json
    assert plain["parameters_sha256"] == trained["parameters_sha256"]


def test_the_figures_are_those_of_the_predictions(run: Runner, trained: dict[str, Any]) -> None:
    test = load("house.csv", task="regression", label="price", split=0.25).test
    saved = load_model(run.folder / "house.rdahw")
    assert test is not None
    assert saved.schema.target is not None
    steps = predict(saved.spec, saved.best_state, saved.binariser.transform(test.features))
    errors = saved.schema.target.values(steps) - test.labels
    assert trained["test_rmse"] == pytest.approx(np.sqrt((errors**2).mean()))
    assert trained["test_mae"] == pytest.approx(np.abs(errors).mean())
    assert trained["test_r2"] == pytest.approx(1 - (errors**2).sum() / ((test.labels - test.labels.mean()) ** 2).sum())


@pytest.mark.parametrize("scale", [1, 1e300, 1e-300])
def test_figures_of_very_large_and_very_small_numbers(scale: float) -> None:
    said, labels = np.array([1.0, 2.0, -4.0]), np.array([1.5, 3.0, -4.0])
    figures = NumberEvaluation("drawn", said * scale, labels * scale).to_json()
    assert figures["rmse"] / scale == pytest.approx(np.sqrt(1.25 / 3))
    assert figures["mae"] / scale == pytest.approx(0.5)
    assert figures["r2"] == pytest.approx(1 - 1.25 / ((labels - labels.mean()) ** 2).sum())


def test_equal_labels_are_explained_if_they_are_predicted() -> None:
    three = np.full(3, 7.5)
    assert NumberEvaluation("drawn", three, three).r2 == 1
    assert NumberEvaluation("drawn", three + 0.5, three).r2 == 0


def test_the_model_of_numbers_is_the_default(run: Runner, table: Path) -> None:
    made = run.ok(*COMMAND, "--json").json
    assert (made["family"], made["tables"], made["binarise"]) == ("boosted", 500, "quantile=31")
    assert made["out"] == "house-boosted.rdahw"


def test_range_step_and_loss(run: Runner, table: Path) -> None:
    words = (*COMMAND, *MODEL, "--range", "0,150", "--step", "0.5", "--loss", "pinball=50", "--validation", 40)
    made = run.ok(*words, "--json").json
    assert made["target"] == {"low": 0.0, "step": 0.5, "steps": 301}
    assert (made["loss"], made["validation_examples"]) == ("pinball=50", 40)
    best = made["curve"][made["best_epoch"] - 1]
    assert best["validation_mae"] == made["validation_mae"] == min(row["validation_mae"] for row in made["curve"])
    said = run.ok(*words).out
    assert f"validation R2 {made['validation_r2']:.4f}, RMSE" in said
    assert f"test      R2 {made['test_r2']:.4f}, RMSE" in said


def test_labels_outside_of_the_range_are_counted(run: Runner, table: Path) -> None:
    train = load("house.csv", task="regression", label="price", split=0.25).train
    outside = int(((train.labels < 49.5) | (train.labels > 80.5)).sum())
    said = run.ok(*COMMAND, *MODEL, "--range", "50,80", "--step", 1).err
    assert f"warning: {outside} of 150 training labels are outside of 50 to 80 and count as the nearest" in said
    assert "warning" not in run.ok(*COMMAND, *MODEL).err


def test_several_seeds_and_resume(run: Runner, table: Path) -> None:
    several = run.ok(*COMMAND, *MODEL, "--seeds", 2, "--json").json
    assert several["test_r2"]["min"] <= several["test_r2"]["mean"] <= several["test_r2"]["max"]
    assert "test R2 " in run.ok(*COMMAND, *MODEL, "--seeds", 2).out
    whole = run.ok(*COMMAND, *MODEL, "--range", "0,200", "--out", "whole.rdahw", "--json").json
    run.ok(*COMMAND, *MODEL, "--range", "0,200", "--epochs", 9, "--out", "part.rdahw")
    rest = run.ok("train", "--resume", "part.rdahw", "--epochs", 40, "--json").json
    assert rest["resumed_from_update"] == 9
    assert rest["parameters_sha256"] == whole["parameters_sha256"]
    refused = run("train", "--resume", "part.rdahw", "--range", "0,99")
    assert refused.code == 2
    assert "--range 0,99 was given, and 'part.rdahw' was trained with --range 0,200" in refused.err


def test_eval(run: Runner, trained: dict[str, Any], table: Path) -> None:
    measured = run.ok("eval", "house.rdahw", "--json").json
    assert {f"test_{name}": measured[name] for name in ("r2", "rmse", "mae")}.items() <= trained.items()
    assert run.ok("eval", "house.rdahw").out.startswith(f"house (test part): R2 {measured['r2']:.4f}, RMSE")
    lines = run.ok("eval", "house.rdahw", "--data", "house.csv", "--predictions").out.splitlines()
    assert lines[0] == "prediction,label"
    labels = [row.split(",")[0] for row in table.read_text().splitlines()[1:]]
    assert [float(line.split(",")[1]) for line in lines[1:]] == [float(label) for label in labels]
    errors = [float(p) - float(y) for p, y in (line.split(",") for line in lines[1:])]
    assert np.mean(np.square(errors)) < 0.1 * np.var(np.array(labels, float))
    refused = run("eval", "house.rdahw", "--margins")
    assert (refused.code, "--margins is for classes and labels, and the task is regression" in refused.err) == (2, True)
    unlabelled = "\n".join(row.split(",", 1)[1] for row in table.read_text().splitlines()[:4])
    (run.folder / "new.csv").write_text(unlabelled)
    predictions = run.ok("eval", "house.rdahw", "--data", "new.csv", "--json").json["predictions"]
    assert predictions == [float(line.split(",")[0]) for line in lines[1:4]]


def test_show_and_report(run: Runner, trained: dict[str, Any]) -> None:
    shown = run.ok("show", "house.rdahw", "--json").json
    assert (shown["task"], shown["target"], shown["facts"]["used_tables"]) == ("regression", trained["target"], 40)
    said = run.ok("show", "house.rdahw").out
    assert "target    low " in said
    assert f"measured  R2 {trained['test_r2']:.4f} on test" in said
    pytest.importorskip("matplotlib")
    run.ok("report", "house.rdahw")
    page = (run.folder / "house.html").read_text()
    assert "learned to predict a number by reverse derivative ascent" in page
    assert "R2 on the test examples" in page
    assert "Errors by label" in page
    assert "What each table reads and holds" in page


def test_numbers_given_as_classes_are_said_to_be_numbers(run: Runner, table: Path) -> None:
    said = run("train", "--data", "house.csv", "--label", "price", "--model", "lookup:labels=binary").err
    assert "looks like a quantity, not like classes; predict numbers with rdahw train --task regression" in said


def test_other_files(run: Runner, trained: dict[str, Any], table: Path) -> None:
    import pyarrow.csv
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.csv.read_csv(table), run.folder / "house.parquet")
    words = [{"house.csv": "house.parquet"}.get(str(word), word) for word in COMMAND]
    made = run.ok(*words, *MODEL, "--out", "other.rdahw", "--json").json
    assert made["parameters_sha256"] == trained["parameters_sha256"]
    lines = table.read_text().splitlines()
    lines[3] = lines[3].replace(lines[3].split(",")[0], "", 1)
    table.write_text("\n".join(lines))
    failed = run(*COMMAND)
    assert failed.code == 1
    assert "house.csv, line 4, column 'price': the label is empty; expected a number" in failed.err


def test_arrays(run: Runner) -> None:
    random = np.random.default_rng(1)
    x = random.normal(size=(120, 3))
    np.savez(run.folder / "made.npz", x=x, y=3 * x[:, 0] + x[:, 1], x_test=x[:30], y_test=3 * x[:30, 0] + x[:30, 1])
    made = run.ok("train", "--data", "made.npz", "--task", "regression", *MODEL, "--json").json
    assert made["test_examples"] == 30
    assert made["test_r2"] > 0.5


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--data", "iris", "--task", "regression"), "the task of the data set 'iris' is classification; leave --task"),
        (
            ("--data", "house.csv", "--task", "regression", "--model", "lookup"),
            "model 'lookup' is for classification, and the task is regression; choose another model, or train with",
        ),
        (("--data", "house.csv", "--model", "boosted"), "model 'boosted' is for regression and multilabel, and the ta"),
        (
            ("--data", "house.csv", "--model", "lookup", "--step", 1),
            "--step is for numbers to predict; add --task regr",
        ),
        (
            ("--data", "house.csv", "--task", "regression", "--model", "auto"),
            "--task is not supported for --model auto, which tries several models in software; name a model",
        ),
        ((*COMMAND[1:], "--range", "1"), "the range is '1'; expected two numbers, such as --range 0,100"),
        ((*COMMAND[1:], "--classes", "1,2"), "classes were asked for, and the task is regression; leave --cl"),
        (
            ("--data", "house.csv", "--task", "regression", "--label", "town"),
            "house.csv, line 2, column 'town': 'B' is not a number, and the column is one of numbers",
        ),
        ((*COMMAND[1:], "--balance"), "--balance repeats rare classes, and the task is regression; leave"),
        ((*COMMAND[1:], "--hdl"), "has no circuit before it is trained, as its tables choose their inputs by the data"),
    ],
)
def test_what_cannot_be(run: Runner, table: Path, words: tuple[Any, ...], sentence: str) -> None:
    failed = run("train", *words)
    assert failed.code in (1, 2)
    assert sentence in failed.err


def test_a_file_with_a_damaged_target(run: Runner, trained: dict[str, Any]) -> None:
    import hashlib

    document = json.loads((run.folder / "house.rdahw").read_text())
    document.pop("sha256")
    document["schema"]["target"]["steps"] = 77
    checksum = hashlib.sha256(json.dumps(document, sort_keys=True, ensure_ascii=True).encode()).hexdigest()
    (run.folder / "wrong.rdahw").write_text(json.dumps({**document, "sha256": checksum}))
    failed = run("eval", "wrong.rdahw")
    assert failed.code == 1
    assert "the size of the model is not that of the binariser and the classes" in failed.err


@pytest.fixture
def small(run: Runner, table: Path) -> None:
    """A model that solvers decide and an iCEBreaker holds."""
    model = ("--model", "boosted:tables=5,inputs=2,candidates=9", "--range", "0,150", "--step", 10)
    run.ok(*COMMAND, *model, "--binarise", "quantile=3", "--out", "sums.rdahw")


@pytest.mark.slow
def test_export_and_prove(run: Runner, small: None) -> None:
    run.ok("export", "sums.rdahw", "--to", "verilog", "--inference", "--out", "sums.v")
    exported(run.folder, "sums")
    claims = run("prove", "sums.rdahw", "--what", "gateware", "--timeout", 200, "--json").json["claims"]
    proved = [claim["size"] for claim in claims if claim["verdict"] == "proved"]
    assert any(size.startswith("inference") for size in proved)


@pytest.mark.slow
def test_synth(run: Runner, small: None) -> None:
    report = run.ok("synth", "sums.rdahw", "--inference", "--board", "icebreaker", "--json").json
    assert report["cycles_per_example"] == 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("train", "--data", "pictures", "--task", "regression", "--split", 0.5), "the labels of the pictures 'pictur"),
        ((*COMMAND, "--model", "auto"), "name a model, such as --model boosted"),
        ((*COMMAND, "--range", "nan,1"), "the range of the labels is nan to 1; expected two numbers"),
    ],
    ids=["pictures", "auto", "range"],
)
def test_a_way_out_is_one_that_works(run: Runner, table: Path, words: tuple[Any, ...], sentence: str) -> None:
    for name in ("cat", "dog"):
        folder = run.folder / "pictures" / name
        folder.mkdir(parents=True)
        for i in range(2):
            Image.new("L", (4, 4), 50 * i).save(folder / f"{i}.png")
    ran = run(*words)
    assert (ran.code, sentence in ran.error) == (2, True), ran.err


def test_a_model_of_numbers_is_shown_by_name(run: Runner) -> None:
    assert run.ok("show", "boosted", "--json").json["family"] == "boosted"


def test_a_model_of_numbers_is_not_measured_on_a_data_set_of_classes(run: Runner, trained: dict[str, Any]) -> None:
    ran = run("eval", "house.rdahw", "--data", "iris")
    assert (ran.code, "'iris' is classification, and the model is for regression" in ran.error) == (2, True), ran.err
