"""``rdahw report`` and ``rdahw train --report``."""

from __future__ import annotations

import sys

import pytest

pytest.importorskip("matplotlib", reason="needs the extra plot")

TABLE = "a,b,c,label\n" + "".join(
    f"{i & 1},{i >> 1 & 1},{i >> 2},{'odd' if i.bit_count() & 1 else 'even'}\n" for i in range(8)
)


def test_training_can_end_in_a_page(run):
    result = run.ok("train", "--report", "page.html", "--json")
    page = (run.folder / "page.html").read_text()
    assert f"{result.json['test_correct']} of {result.json['test_examples']} examples of iris" in page
    assert "The truth table" in page


def test_an_ensemble_has_its_curve(run):
    (run.folder / "t.csv").write_text(TABLE)
    model = "ensemble:tables=8,inputs=3"
    run.ok("train", "--data", "t.csv", "--test", "t.csv", "--model", model, "--engine", "reference", "--epochs", "3")
    result = run.ok("report", "t-ensemble.rdahw", "--pictures", "figures", "--format", "png", "--json").json
    assert result["out"] == "t-ensemble.html"
    assert list(result["pictures"]) == ["training", "mistakes"]
    for path in result["pictures"].values():
        assert (run.folder / path).read_bytes().startswith(b"\x89PNG")
    assert "Wrong predictions in each of 3 epochs" in (run.folder / "t-ensemble.html").read_text()


def test_other_data_can_be_given(run):
    (run.folder / "t.csv").write_text(TABLE)
    run.ok("train", "--model", "lookup", "--data", "t.csv", "--test", "t.csv", "--epochs", "9")
    (run.folder / "two.csv").write_text("\n".join(TABLE.splitlines()[:3]) + "\n")
    run.ok("report", "t-lookup.rdahw", "--data", "two.csv", "--out", "two.html")
    assert "2 of 2 examples of two.csv are predicted right" in (run.folder / "two.html").read_text()


def test_a_model_whose_data_are_gone_has_a_page_without_mistakes(run):
    (run.folder / "t.csv").write_text(TABLE)
    run.ok("train", "--model", "lookup", "--data", "t.csv", "--test", "t.csv")
    (run.folder / "t.csv").unlink()
    result = run.ok("report", "t-lookup.rdahw")
    assert "without an evaluation: " in result.err
    page = (run.folder / "t-lookup.html").read_text()
    assert "Mistakes" not in page
    assert "The truth table" in page


def test_examples_without_labels_are_refused(run):
    (run.folder / "t.csv").write_text(TABLE)
    run.ok("train", "--model", "lookup", "--data", "t.csv", "--test", "t.csv")
    (run.folder / "bare.csv").write_text("a,b,c\n0,0,1\n")
    ran = run("report", "t-lookup.rdahw", "--data", "bare.csv")
    assert ran.code == 1
    assert "bare.csv has no labels" in ran.error


def test_several_seeds_have_no_one_page(run):
    ran = run("train", "--seeds", "2", "--report", "page.html")
    assert ran.code == 2
    assert "use rdahw report on one of them" in ran.error


def test_a_page_that_cannot_be_written_is_refused_before_training(run):
    ran = run("train", "--report", "nowhere/page.html")
    assert ran.code == 1
    assert "nowhere" in ran.error
    assert not (run.folder / "iris-lookup.rdahw").exists()


def test_what_is_missing_is_said(run, monkeypatch):
    monkeypatch.delitem(sys.modules, "rdahw.report", raising=False)
    monkeypatch.setitem(sys.modules, "jinja2", None)
    ran = run("train", "--report", "page.html")
    assert ran.code == 3
    assert "pip install 'rdahw[plot]'" in ran.error
