"""``rdahw train --model auto``: it is the model that it chooses, and the default for data of one's own."""

from __future__ import annotations

import pytest

from rdahw.families import find_family
from rdahw.family import Candidate
from rdahw.saved import load_model


@pytest.fixture(autouse=True)
def small_candidates(monkeypatch):
    """Models that learn in no time."""
    rows = [("ensemble", {"tables": 8, "inputs": 3, "counter": 8}), ("grown", {"tables": 12, "inputs": 2})]
    found = [(find_family(name), Candidate(options=options, thresholds=5)) for name, options in rows]
    monkeypatch.setattr("rdahw.sim.automatic.all_candidates", lambda size: found)


@pytest.fixture
def table(tmp_path):
    """Sixty rows of two numbers, of which the first decides."""
    rows = "".join(f"{i},{i * 7 % 60},{'low' if i < 25 else 'high'}\n" for i in range(60))
    (tmp_path / "table.csv").write_text(f"a,b,kind\n{rows}")
    return "table.csv"


def test_it_is_the_default_for_a_file_and_says_what_it_chose(run, table, tmp_path):
    ran = run.ok("train", "--data", table, "--json")
    tried = ran.json["tried"]
    assert [(row["examples"], row["chosen"]) for row in tried].count((60, True)) == 1
    assert ran.json["out"] == "table-auto.rdahw"
    best = next(row for row in tried if row["chosen"])
    assert best["correct"] == max(row["correct"] for row in tried)
    assert ran.json["model"] == best["model"]
    assert f"chose {best['model']}: it predicts {100 * best['correct'] / 60:.2f} % of 60 held-out examples" in ran.err
    for row in tried:
        assert f"{100 * row['correct'] / 60:.1f} %  {row['model']}\n" in ran.err
    assert load_model(tmp_path / "table-auto.rdahw").options["model"] == best["model"]


def test_it_trains_what_it_chose_on_all_rows(run, table):
    auto = run.ok("train", "--model", "auto", "--data", table, "--seed", 3, "--json").json
    assert auto["train_examples"] == 60
    named = ("--model", auto["model"], "--binarise", auto["binarise"], "--out", "named.rdahw")
    again = run.ok("train", "--data", table, "--seed", 3, *named, "--json").json
    for key in ("parameter_bits", "examples", "updates", "binarise"):
        assert auto[key] == again[key]
    assert (auto.get("parameters"), auto.get("parameters_sha256")) == (
        again.get("parameters"),
        again.get("parameters_sha256"),
    )
    assert auto["binarise"] == "quantile=5"


@pytest.mark.parametrize(("most", "epochs"), [(2_000_000, 15), (200, 3), (20, 1)])
def test_many_examples_are_learned_in_fewer_epochs(run, table, monkeypatch, most, epochs):
    monkeypatch.setattr("rdahw.sim.automatic.all_candidates", lambda size: [(find_family("ensemble"), Candidate())])
    monkeypatch.setattr("rdahw.sim.automatic.MOST_LEARNED", most)
    ran = run.ok("train", "--data", table, "--json").json
    assert (ran["epochs"], ran["examples"]) == (epochs, 60 * epochs)


def test_the_chosen_model_is_resumed_without_another_choice(run, table):
    auto = run.ok("train", "--data", table, "--json").json
    rest = run.ok("train", "--resume", auto["out"], "--json")
    assert "tried" not in rest.json
    assert rest.json["model"] == auto["model"]


def test_each_seed_chooses_for_itself(run, table):
    runs = run.ok("train", "--data", table, "--seeds", 2, "--json").json["runs"]
    alone = run.ok("train", "--data", table, "--seed", 1, "--json").json
    assert runs[1]["tried"] == alone["tried"]


def test_a_given_binarising_rule_is_kept(run, table):
    assert run.ok("train", "--data", table, "--binarise", "thermometer=3", "--json").json["binarise"] == "thermometer=3"


def test_data_sets_with_a_name_keep_their_default(run):
    result = run.ok("train", "--json").json
    assert (result["model"], "tried" in result) == ("lookup", False)


@pytest.mark.parametrize(
    "options",
    [
        "--labels binary",
        "--margin 3",
        "--loss xor",
        "--epochs 2",
        "--updates 2",
        "--batch 2",
        "--shuffle",
        "--stride 7",
        "--score epoch",
        "--engine reference",
        "--model auto --hdl",
        "--model auto --device /dev/null",
    ],
)
def test_options_of_one_model_need_its_name(run, table, options):
    ran = run("train", "--data", table, *options.split())
    name = [word for word in options.split() if word.startswith("--")][-1]
    assert ran.code == 2
    assert ran.err.endswith(
        f"Error: {name} is not supported for --model auto, which tries several models in software; name a model, such "
        f"as --model {'lookup' if name in ('--batch', '--labels', '--loss') else 'ensemble'}\n"
    )


@pytest.mark.parametrize(
    "options", ["--margin 3", "--dropout 0.5", "--labels binary", "--epochs 2", "--batch 2", "--loss xor"]
)
def test_the_model_that_is_proposed_takes_the_option(run, table, options):
    ran = run("train", "--data", table, *options.split())
    words = ran.error.rpartition("such as ")[2].split()
    run.ok("train", "--data", table, *words, *options.split(), "--split", 0.5)


def test_a_warning_if_the_tables_read_a_small_part_of_the_bits(run, tmp_path):
    (tmp_path / "wide.csv").write_text("".join(f"{','.join(format(i * 77777, '0400b'))},{i % 2}\n" for i in range(9)))
    ran = run.ok("train", "--data", "wide.csv", "--model", "ensemble:tables=16", "--binarise", "midrange")
    assert "warning: the tables read " in ran.err
    assert " of 400 input bits, and the others cannot matter; use more tables, fewer thresholds, or " in ran.err
    assert (
        "warning"
        not in run.ok("train", "--data", "wide.csv", "--model", "ensemble:tables=64", "--binarise", "midrange").err
    )
