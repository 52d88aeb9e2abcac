"""Finding what is not normal, through every command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from icarus import exported
from running import Runner

from rdahw.data import NORMAL, load
from rdahw.saved import load_model
from rdahw.sim.engines import predict

COMMAND = ("train", "--data", "pumps.csv", "--task", "anomaly", "--label", "state", "--split", 0.25)
MODEL = ("--model", "coverage:tables=60,inputs=5")


def write(path: Path, rows: Any, *, labelled: bool = True) -> None:
    names = ["state", "heat", "noise", "speed"]
    lines = [names, *rows] if labelled else [names[1:], *(row[1:] for row in rows)]
    path.write_text("\n".join(",".join(map(str, line)) for line in lines))


def rows() -> list[list[Any]]:
    """200 pumps that run, 40 that leak and 12 that stick."""
    random = np.random.default_rng(0)
    heat, speed = random.normal(50, 5, 252), random.normal(30, 3, 252)
    noise = heat + speed + random.normal(0, 2, 252)
    noise[200:240] += 30
    speed[240:] = 0
    states = ["run"] * 200 + ["leak"] * 40 + ["stick"] * 12
    values = [[f"{value:.2f}" for value in column] for column in (heat, noise, speed)]
    return [list(row) for row in random.permutation(np.array([states, *values]).T)]


@pytest.fixture
def table(run: Runner) -> Path:
    path = run.folder / "pumps.csv"
    write(path, rows())
    return path


@pytest.fixture
def trained(run: Runner, table: Path) -> dict[str, Any]:
    result: dict[str, Any] = run.ok(*COMMAND, *MODEL, "--out", "pumps.rdahw", "--json").json
    return result


def test_train(run: Runner, trained: dict[str, Any]) -> None:
    assert (trained["task"], trained["family"], trained["normal"]) == ("anomaly", "coverage", "run")
    assert "classes" not in trained
    assert (trained["train_examples"], trained["test_examples"]) == (150, 63)
    assert trained["test_roc_auc"] > 0.95
    assert trained["curve"][-1]["test_roc_auc"] == trained["test_roc_auc"]
    said = run.ok(*COMMAND, *MODEL, "--engine", "reference", "--out", "plain.rdahw")
    assert "pumps: the class 'run' is normal; 39 training examples of other classes are left out" in said.err
    assert f"test      ROC AUC {trained['test_roc_auc']:.4f}, " in said.out
    assert load_model(run.folder / "plain.rdahw").parameters.tolist() == (
        load_model(run.folder / "pumps.rdahw").parameters.tolist()
    )


def test_the_figures_are_those_of_scikit_learn(run: Runner, trained: dict[str, Any]) -> None:
    from sklearn.metrics import roc_auc_score

    test = load("pumps.csv", task="anomaly", label="state", split=0.25).test
    saved = load_model(run.folder / "pumps.rdahw")
    assert test is not None
    assert int(test.labels.sum()) == 13
    found = predict(saved.spec, saved.best_state, saved.binariser.transform(test.features))
    assert trained["test_roc_auc"] == pytest.approx(roc_auc_score(test.labels, -found))
    assert trained["test_detected"] == ((found < NORMAL) & (test.labels == 1)).sum() / 13
    assert trained["test_false_alarms"] == ((found < NORMAL) & (test.labels == 0)).sum() / 50


def test_eval(run: Runner, trained: dict[str, Any], table: Path) -> None:
    said = run.ok("eval", "pumps.rdahw").out
    assert said.startswith(f"pumps (test part): ROC AUC {trained['test_roc_auc']:.4f}, ")
    lines = run.ok("eval", "pumps.rdahw", "--data", "pumps.csv", "--predictions").out.splitlines()
    assert lines[0] == "prediction,label"
    labels = [line.split(",")[1] for line in lines[1:]]
    assert labels == ["normal" if row[0] == "run" else "anomaly" for row in rows()]
    write(run.folder / "new.csv", rows()[:9], labelled=False)
    unlabelled = run.ok("eval", "pumps.rdahw", "--data", "new.csv", "--json").json["predictions"]
    assert unlabelled == [int(line.split(",")[0]) for line in lines[1:10]]
    measured = run.ok("eval", "pumps.rdahw", "--data", "pumps.csv", "--json").json
    below = [int(line.split(",")[0]) < 0 for line in lines[1:]]
    assert measured["detected"] == sum(b for b, name in zip(below, labels, strict=True) if name == "anomaly") / 52
    other = [["burst", *row[1:]] if row[0] == "leak" else row for row in rows()]
    write(run.folder / "other.csv", other)  # a kind of anomaly that training did not have
    assert run.ok("eval", "pumps.rdahw", "--data", "other.csv", "--json").json["roc_auc"] == measured["roc_auc"]
    write(run.folder / "good.csv", [row for row in rows() if row[0] == "run"])
    said = run.ok("eval", "pumps.rdahw", "--data", "good.csv").out
    assert "ROC AUC –, – of the anomalies detected, " in said


def test_without_labels(run: Runner, table: Path) -> None:
    write(run.folder / "normal.csv", [row for row in rows() if row[0] == "run"], labelled=False)
    made = run.ok("train", "--data", "normal.csv", "--task", "anomaly", *MODEL, "--out", "n.rdahw", "--json").json
    assert (made["normal"], made["train_examples"], made["test_examples"]) == (None, 200, 0)
    measured = run.ok("eval", "n.rdahw", "--data", "pumps.csv", "--label", "state")
    assert "pumps.csv: the class 'run', the most frequent one, is taken as normal" in measured.err
    assert "ROC AUC 0.9" in measured.out
    split = run.ok("train", "--data", "normal.csv", "--task", "anomaly", "--split", 0.3, *MODEL, "--json").json
    assert (split["train_examples"], split["test_roc_auc"], split["test_detected"]) == (140, None, None)
    assert split["test_false_alarms"] < 0.2


def test_normal_by_name_and_other_sources(run: Runner, table: Path) -> None:
    made = run.ok(*COMMAND, *MODEL, "--normal", "leak", "--json").json
    assert (made["normal"], made["train_examples"]) == ("leak", 30)
    iris = run.ok(
        "train", "--data", "iris", "--split", 0.4, "--task", "anomaly", "--normal", "Iris-setosa", "--json"
    ).json
    assert (iris["train_examples"], iris["test_roc_auc"]) == (30, 1)
    values = np.array(rows())
    x, y = values[:, 1:].astype(float), (values[:, 0] != "run").astype(int)
    np.savez(run.folder / "pumps.npz", x=x[:200], y=y[:200], x_test=x[200:], y_test=y[200:])
    arrays = run.ok("train", "--data", "pumps.npz", "--task", "anomaly", *MODEL, "--json").json
    assert (arrays["normal"], arrays["train_examples"], arrays["test_examples"]) == ("0", int((y[:200] == 0).sum()), 52)
    assert arrays["test_roc_auc"] > 0.9
    np.savez(run.folder / "bare.npz", x=x)
    assert run.ok("train", "--data", "bare.npz", "--task", "anomaly", *MODEL, "--json").json["normal"] is None
    write(run.folder / "test.csv", [["run", 1, 2, 3], ["jam", 50, 80, 30]])
    words = ("--data", "pumps.csv", "--test", "test.csv", "--task", "anomaly", "--label", "state")
    assert run.ok("train", *words, *MODEL, "--json").json["test_roc_auc"] == 0


def test_show_report_and_seeds(run: Runner, trained: dict[str, Any]) -> None:
    shown = run.ok("show", "pumps.rdahw", "--json").json
    assert (shown["task"], shown["normal"]) == ("anomaly", "run")
    assert shown["facts"]["offset"] > 0
    said = run.ok("show", "pumps.rdahw").out
    assert f"measured  ROC AUC {trained['test_roc_auc']:.4f} on test" in said
    assert "normal    run" in said
    several = run.ok(*COMMAND, *MODEL, "--seeds", 2, "--json").json
    assert several["test_roc_auc"]["min"] > 0.9
    pytest.importorskip("matplotlib")
    run.ok("report", "pumps.rdahw")
    page = (run.folder / "pumps.html").read_text()
    assert "learned to find examples that are not normal by reverse derivative ascent" in page
    assert "ROC AUC on the test examples" in page


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--data", "pumps.csv", "--normal", "run"), "--normal names the class of normal examples; add --task anomaly"),
        ((*COMMAND[1:], "--normal", "rnu"), "the label column 'state' has no class 'rnu'; did you mean"),
        (("--data", "pumps.csv", "--task", "anomaly", "--normal", "run"), "'run' is to be normal; name the column of"),
        ((*COMMAND[1:], "--classes", "run,leak"), "classes were asked for, and the task is anomaly; leave --classes"),
        ((*COMMAND[1:], "--balance"), "--balance repeats rare classes, and the task is anomaly; leave it out"),
        ((*COMMAND[1:], "--epochs", 2), "a coverage model counts all examples once; leave out epochs and batch"),
        ((*COMMAND[1:], "--model", "lookup"), "model 'lookup' is for classification, and the task is anomaly; choose"),
        ((*COMMAND[1:], "--hdl"), "has no learning circuit, as its offset depends on all examples; train it in softw"),
        ((*COMMAND[1:], "--loss", "xor"), "loss 'xor' is not supported for model 'coverage', which has its own; leave"),
    ],
)
def test_what_cannot_be(run: Runner, table: Path, words: tuple[Any, ...], sentence: str) -> None:
    failed = run("train", *words)
    assert failed.code in (1, 2)
    assert sentence in failed.err


@pytest.mark.slow
def test_export(run: Runner, table: Path) -> None:
    small = ("--model", "coverage:tables=4,inputs=3", "--binarise", "quantile=3", "--out", "counts.rdahw")
    run.ok(*COMMAND, *small)
    run.ok("export", "counts.rdahw", "--to", "verilog", "--inference", "--out", "counts.v")
    exported(run.folder, "counts")
