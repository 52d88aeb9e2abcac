"""``rdahw explain``: the values sum to the score less its mean, and what cannot be explained is refused."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from running import Runner


def test_values_sum_to_the_score_less_its_mean(run: Runner) -> None:
    run.ok("train", "-q", "--model", "ensemble:tables=30")
    found = run.ok("explain", "iris-ensemble.rdahw", "--row", 60, "--json").json
    assert found["class"] == found["predicted"] == "Iris-virginica"
    assert found["baseline"]["examples"] == "75 training examples"
    total = sum(Fraction(each["exactly"]) for each in found["values"])
    assert total == found["score"] - Fraction(found["baseline"]["exactly"])
    assert {each["input"] for each in found["values"]} == {f"{a}_{b}" for a in ("sepal", "petal")
                                                             for b in ("length", "width")}  # fmt: skip
    sizes = [abs(Fraction(each["exactly"])) for each in found["values"]]
    assert sizes == sorted(sizes, reverse=True)
    said = run.ok("explain", "iris-ensemble.rdahw", "--row", 60, "--top", 2).out
    assert said.startswith("row       60 of iris (test part), predicted Iris-virginica\n")
    assert [line.split()[0] for line in said.splitlines()[-2:]] == [each["input"] for each in found["values"][:2]]
    other = run.ok("explain", "iris-ensemble.rdahw", "--row", 60, "--class", "Iris-setosa", "--json", "--top", 1).json
    assert (other["class"], other["predicted"], len(other["values"])) == ("Iris-setosa", "Iris-virginica", 1)


def test_a_row_is_compared_with_other_data(run: Runner, tmp_path: Path) -> None:
    rows = [f"{i % 7},{'red' if i % 3 else 'blue'},{i % 3 > 0}" for i in range(40)]
    (tmp_path / "t.csv").write_text("\n".join(["size,colour,big", *rows]))
    (tmp_path / "more.csv").write_text("size,colour\n,green\n")
    run.ok("train", "-q", "--data", "t.csv", "--model", "grown:tables=12,inputs=3", "--out", "m.rdahw")
    found = run.ok("explain", "m.rdahw", "--row", 0, "--data", "more.csv", "--background", 7, "--json").json
    assert found["baseline"]["examples"] == "7 training examples"
    assert "unknown" in run.ok("explain", "m.rdahw", "--row", 0, "--data", "more.csv").out
    alone = run.ok("explain", "m.rdahw", "--row", 0, "--data", "more.csv", "--background", 1).out
    assert "over 1 training example\n" in alone
    assert "exactly" not in alone  # all values are 0
    itself = run.ok("explain", "m.rdahw", "--row", 0, "--data", "more.csv", "--against", "more.csv", "--json").json
    assert {each["value"] for each in itself["values"]} == {0}
    (tmp_path / "t.csv").unlink()
    ran = run("explain", "m.rdahw", "--row", 0, "--data", "more.csv")
    assert ran.code == 1
    assert ran.error.startswith("the training data are not available (")
    assert ran.error.endswith("; give examples to compare with by --against DATA")


def test_values_of_pixels_are_drawn(run: Runner, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra plot")
    random = np.random.default_rng(0)
    x = random.integers(0, 60, (80, 6, 5)).astype(np.uint8)
    y = np.arange(80) % 2
    x[y == 1, 1:3] += 150
    np.savez(tmp_path / "bars.npz", x_train=x, y_train=y, x_test=x[:4], y_test=y[:4])
    model = ("--data", "bars.npz", "--model", "ensemble:tables=40,inputs=4")
    for rule, name in (("threshold=40,100", "v.png"), ("threshold=40+hog=4/3/20", "v.svg")):
        run.ok("train", "-q", *model, "--binarise", rule, "--out", "m.rdahw")
        run.ok("explain", "m.rdahw", "--row", 1, "--out", name)
        assert (tmp_path / name).stat().st_size > 1000
    assert "Shapley values for 1" in (tmp_path / "v.svg").read_text()


def test_the_score_of_a_number_is_in_steps(run: Runner, tmp_path: Path) -> None:
    rows = [f"{i % 7},{'red' if i % 3 else 'blue'},{i % 7 * 0.5 + i % 3}" for i in range(60)]
    (tmp_path / "t.csv").write_text("\n".join(["size,colour,price", *rows]))
    model = ("--task", "regression", "--model", "boosted:tables=20,inputs=2", "--out", "m.rdahw")
    run.ok("train", "-q", "--data", "t.csv", "--label", "price", *model)
    found = run.ok("explain", "m.rdahw", "--row", 4, "--data", "t.csv", "--json").json
    unit = found["unit"]
    assert found["class"] == "price"
    assert abs(unit["zero"] + found["score"] * unit["one"] - found["predicted"]) <= 0.51 * unit["one"]
    said = run.ok("explain", "m.rdahw", "--row", 4, "--data", "t.csv").out
    assert "in price" in said
    assert f"0 stands for {unit['zero']:g}, and 1 more for {unit['one']:g} more\n" in said


def test_labels_and_anomalies_have_scores_too(run: Runner, tmp_path: Path) -> None:
    rows = [f"{i % 7},{i % 2 * 10 + i % 3},{i % 2},{i % 7 > 3:d}" for i in range(60)]
    (tmp_path / "t.csv").write_text("\n".join(["size,weight,odd,big", *rows]))
    learn = ("train", "-q", "--data", "t.csv", "--out", "m.rdahw", "--task")
    run.ok(*learn, "multilabel", "--label", "odd,big", "--model", "boosted:tables=20,inputs=2")
    explain = ("explain", "m.rdahw", "--row", 5, "--data", "t.csv", "--json")
    found = run.ok(*explain, "--class", "odd").json
    assert (found["predicted"], found["class"]) == (["odd", "big"], "odd")
    assert run.ok(*explain).json["class"] in found["predicted"]
    run.ok(*learn, "anomaly", "--model", "coverage:tables=9,inputs=3")
    found = run.ok(*explain).json
    assert (found["class"], found["score"]) == ("normal", found["predicted"])


def test_names_stay_in_their_line(run: Runner, tmp_path: Path) -> None:
    rows = [f"{i % 5},{i % 3},a{i % 2}" for i in range(40)]
    (tmp_path / "t.csv").write_text("\n".join(['"two\nlines",tab\there,label', *rows]))
    run.ok("train", "-q", "--data", "t.csv", "--delimiter", ",", "--model", "ensemble:tables=9", "--out", "m.rdahw")
    said = run.ok("explain", "m.rdahw", "--row", 0, "--data", "t.csv").out
    assert r"two\nlines" in said
    assert r"tab\there" in said


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        ("ensemble:tables=9", ("--row", 75), "there is no row 75 in iris (test part); expected one from 0 to 74"),
        ("ensemble:tables=9", ("--row", 0, "--class", "Iris-virgnica"),
         "the model has no score for 'Iris-virgnica'; did you mean 'Iris-virginica'?"),
        ("ensemble:tables=9", ("--row", 0, "--out", "a.png"),
         "--out draws a picture, and the data of this model are not images; leave it out, or use --json"),
        ("lookup", ("--row", 0),
         "exact Shapley values are computed of models whose scores are sums of tables that read the input, such as "
         "ensemble, grown, boosted and coverage, and not of 'lookup'; train one of these"),
    ],
)  # fmt: skip
def test_what_cannot_be_explained(run: Runner, model: str, options: tuple[object, ...], message: str) -> None:
    run.ok("train", "-q", "--model", model, "--out", "m.rdahw")
    ran = run("explain", "m.rdahw", *options)
    assert (ran.code, ran.error) == (2, message)
