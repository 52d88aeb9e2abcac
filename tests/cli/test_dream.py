"""``rdahw dream``: an input of a class, what it says, and that it says so if the class was not reached."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.shell_completion import ShellComplete
from oracles import every
from running import Runner

from rdahw.cli import cli
from rdahw.saved import load_model
from rdahw.sim.engines import predict

#: A model of each family that tells classes apart, with its options.
MODELS = (
    "lookup",
    pytest.param("linear", marks=pytest.mark.slow),
    "ensemble:tables=20,inputs=4",
    "ensemble:tables=20,inputs=4,sign=1",
    "grown:tables=30,inputs=4",
    "layers:24x4,12x4",
)


@pytest.mark.parametrize("model", MODELS)
def test_a_model_of_each_family_dreams(run: Runner, tmp_path: Path, model: str) -> None:
    run.ok("train", "-q", "--model", model, "--out", "m.rdahw")
    saved = load_model(tmp_path / "m.rdahw")
    for number, name in enumerate(saved.schema.label_names):
        found = run.ok("dream", "m.rdahw", "--class", name, "--json").json
        x = np.array([[int(bit) for bit in found["bits"]]], np.uint8)
        assert found["predicted"] == name
        assert (found["class"], found["reached"]) == (name, True)
        assert predict(saved.spec, saved.best_state, x).tolist() == [number]
        assert [column["column"] for column in found["columns"]] == list(saved.schema.feature_names)


def test_a_dream_from_an_example_says_what_changed(run: Runner) -> None:
    run.ok("train", "-q", "--model", "ensemble:tables=30")
    options = ("--class", "Iris-virginica", "--from", "0")
    found = run.ok("dream", "iris-ensemble.rdahw", *options, "--json").json
    assert (found["predicted_before"], found["predicted"]) == ("Iris-setosa", "Iris-virginica")
    assert found["changed_bits"] >= found["steps"] > 0
    again = run.ok("dream", "iris-ensemble.rdahw", *options, "--data", "iris", "--json").json
    assert again == found
    said = run.ok("dream", "iris-ensemble.rdahw", *options).out
    assert said.startswith("class     Iris-virginica, reached\n")
    assert "at the start it is Iris-setosa" in said
    assert [line.split()[0] for line in said.splitlines()[-4:]] == [column["column"] for column in found["columns"]]


def test_a_seed_gives_another_start_and_the_same_dream_again(run: Runner) -> None:
    run.ok("train", "-q", "--model", "ensemble:tables=30")

    def bits(*options: str) -> str:
        dreamt = run.ok("dream", "iris-ensemble.rdahw", "--class", "Iris-setosa", "--steps", "1", *options, "--json")
        return str(dreamt.json["bits"])

    assert bits("--seed", "1") == bits("--seed", "1")
    assert len({bits(), *(bits("--seed", str(seed)) for seed in range(3))}) > 1


def test_a_class_that_is_not_reached_is_said(run: Runner) -> None:
    # After one example the table has one output at one input.
    run.ok("train", "-q", "--updates", "1", "--data", "iris", "--classes", "Iris-setosa,Iris-virginica")
    found = run.ok("dream", "iris-lookup.rdahw", "--class", "Iris-virginica", "--json").json
    assert (found["reached"], found["predicted"], found["margin"]) == (False, None, 0)
    said = run.ok("dream", "iris-lookup.rdahw", "--class", "Iris-virginica").out
    assert said.startswith("class     Iris-virginica, not reached: the model predicts no class\n")


def test_a_mask_reaches_what_it_predicts_anywhere(run: Runner, tmp_path: Path) -> None:
    run.ok("train", "-q", "--model", "mask:k=1", "--classes", "Iris-setosa,Iris-versicolor", "--labels", "binary",
           "--out", "m.rdahw")  # fmt: skip
    saved = load_model(tmp_path / "m.rdahw")
    anywhere = set(predict(saved.spec, saved.best_state, every(4)).tolist())
    for number, name in enumerate(saved.schema.label_names):
        assert run.ok("dream", "m.rdahw", "--class", name, "--json").json["reached"] == (number in anywhere)


def test_dreams_of_images_are_drawn(run: Runner, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    random = np.random.default_rng(0)
    x = random.integers(0, 60, (80, 6, 5)).astype(np.uint8)
    y = np.arange(80) % 2
    x[y == 1, 1:3] += 150
    np.savez(tmp_path / "bars.npz", x_train=x, y_train=y, x_test=x[:4], y_test=y[:4])
    run.ok("train", "-q", "--data", "bars.npz", "--model", "ensemble:tables=40,inputs=4", "--binarise",
           "threshold=40,100", "--out", "m.rdahw")  # fmt: skip
    for name in ("d.svg", "d.png"):
        assert run.ok("dream", "m.rdahw", "--class", "1", "--from", "0", "--out", name, "--json").json["reached"]
        assert (tmp_path / name).stat().st_size > 1000
    assert "dream of 1" in (tmp_path / "d.svg").read_text()
    planes = ("--binarise", "threshold=40+hog=4/3/20")
    run.ok("train", "-q", "--data", "bars.npz", "--model", "ensemble:tables=40,inputs=4", *planes, "--out", "p.rdahw")
    found = run.ok("dream", "p.rdahw", "--class", "1", "--out", "p.svg", "--json").json
    assert (found["reached"], found["columns"]) == (True, [])
    assert (tmp_path / "p.svg").stat().st_size > 1000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--class", "Iris-virgnica"), "the model has no class 'Iris-virgnica'; did you mean 'Iris-virginica'?"),
        (("--class", "Iris-setosa", "--from", "75"),
         "there is no example 75 in iris (test part); expected one from 0 to 74"),
        (("--class", "Iris-setosa", "--out", "a.svg"),
         "--out draws a picture, and the data of this model are not images; leave it out, or use --json"),
        (("--class", "Iris-setosa", "--data", "iris"),
         "--data says where the example of --from is; give --from EXAMPLE, or leave --data out"),
        (("--class", "Iris-setosa", "--from", "1", "--seed", "2"),
         "--seed starts from random values and --from from an example; leave one of them out"),
    ],
)  # fmt: skip
def test_what_cannot_be_dreamt_of(run: Runner, options: tuple[str, ...], message: str) -> None:
    run.ok("train", "-q")
    ran = run("dream", "iris-lookup.rdahw", *options)
    assert (ran.code, ran.error) == (2, message)


def test_the_shell_completes_the_classes_of_the_model(run: Runner) -> None:
    run.ok("train", "-q")

    def offered(*words: str) -> list[str]:
        complete = ShellComplete(cli, {}, "rdahw", "_RDAHW_COMPLETE")
        return [item.value for item in complete.get_completions(["dream", *words[:-1]], words[-1])]

    assert offered("iris-lookup.rdahw", "--class", "Iris-v") == ["Iris-versicolor", "Iris-virginica"]
    assert offered("missing.rdahw", "--class", "") == offered("--class", "") == []
