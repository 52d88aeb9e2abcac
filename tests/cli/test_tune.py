"""``rdahw tune``: the search, its results, and that nothing of it depends on where and how often it runs."""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from running import Runner, finish, lower_priority, start

from rdahw.boards.report import DesignError
from rdahw.cli import _tuning
from rdahw.cli._tuning import Models, front_of
from rdahw.data import load
from rdahw.saved import load_model

pytest.importorskip("optuna", reason="needs Optuna, the extra tune of rdahw")

#: A small search.
SEARCH = ("tune", "--data", "iris", "--family", "ensemble", "--board", "icebreaker", "--build", 0, "--round", 3)


def no_page(path: Path, result: object) -> None:
    """In place of the page, whose pictures take most of the time of a small search."""


def bits(result: dict[str, Any]) -> list[tuple[Any, ...]]:
    """What may not depend on where a search runs."""
    return [(t["trial"], t["state"], t.get("model"), t.get("correct"), t.get("parameters_sha256"))
            for t in result["trials"]]  # fmt: skip


def test_a_search(run: Runner) -> None:
    found = run.ok(*SEARCH, "--trials", 5, "--max", "bits=300000", "--refit", "--json").json
    assert len(found["trials"]) == 5
    usual, grown = (found["trials"][n]["model"] for n in (0, 1))  # the usual ones come first
    assert usual == "ensemble:margin=512"
    assert "wiring=grown" in grown
    assert found["front"] == front_of(found["trials"])
    assert found["best"] == found["front"][0]
    assert found["best"]["accuracy"] == max(t["accuracy"] for t in found["trials"] if t["state"] == "complete")
    for trial in found["front"]:
        assert trial["costs"]["bits"] <= 300_000
        assert trial["costs"]["microseconds"] == pytest.approx(trial["costs"]["cycles"] / 24, abs=1e-3)
    files = {path.name for path in (run.folder / "iris-tune").iterdir()}
    models = {f"trial-{trial['trial']:03}.rdahw" for trial in found["front"]}
    assert files == {*models, "tune.json", "tune.html", "best.rdahw"}
    page = (run.folder / "iris-tune" / "tune.html").read_text()
    assert found["best"]["model"] in page
    assert page.count("<img") == 3
    refitted = load_model(run.folder / "iris-tune" / "best.rdahw")
    assert refitted.options["model"] == found["best"]["model"]
    assert found["refit"]["test_examples"] == 75
    assert all("test_correct" not in row for row in refitted.curve)  # it is looked at once
    assert "resume the model of rdahw tune --refit" in run("train", "--resume", found["out"] + f"/{min(models)}").error


def test_no_model_is_trained_twice(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    from optuna.samplers import RandomSampler

    from rdahw.sim import search

    # It proposes the same models in turn for each trial.
    monkeypatch.setitem(search.SAMPLERS, "tpe", lambda seed, turn: RandomSampler(seed=turn))
    monkeypatch.setattr(_tuning, "write_page", no_page)
    trials = run.ok(*SEARCH, "--trials", 4, "--json").json["trials"]
    assert len({(trial["model"], trial["binarise"]) for trial in trials}) == len(trials) == 4
    assert trials[-1]["trial"] > 4


@pytest.mark.parametrize("after", [1, 2, 4])
def test_a_search_that_was_stopped_goes_on_as_if_it_had_not(
    run: Runner, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    monkeypatch.setattr(_tuning, "write_page", no_page)
    search = (*SEARCH, "--trials", 5, "--json")
    whole = run.ok(*search).json
    keep, kept = Models.keep, []

    def stop(self: Models, number: int, result: Any) -> None:
        keep(self, number, result)
        kept.append(number)
        if len(kept) == after:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Models, "keep", stop)
        stopped = run(*search, "--storage", "search.log", "--out", "again")
    assert stopped.code == 130
    assert "continue with the same command and --storage search.log" in stopped.json["error"]
    again = run.ok(*search, "--storage", "search.log", "--out", "again").json
    assert bits(again) == bits(whole)
    assert bits(run.ok(*search, "--storage", "search.log", "--out", "elsewhere").json) == bits(whole)
    assert sorted(path.name for path in (run.folder / "elsewhere").iterdir()) == sorted(
        path.name for path in (run.folder / "iris-tune").iterdir()
    )


@pytest.mark.parametrize(("after", "random"), [(2, 10), (5, 10), (2, 1)])
def test_a_search_that_was_stopped_while_it_chose_goes_on_as_if_it_had_not(
    run: Runner, monkeypatch: pytest.MonkeyPatch, after: int, random: int
) -> None:
    """When some parameters of a trial were chosen, and others not yet; at random, or by the trials before it."""
    from optuna import Trial
    from optuna.samplers import TPESampler

    from rdahw.sim.search import SAMPLERS

    monkeypatch.setattr(_tuning, "write_page", no_page)
    monkeypatch.setitem(SAMPLERS, "tpe", lambda seed, turn: TPESampler(seed=seed, n_startup_trials=random))
    search = (*SEARCH, "--trials", 5, "--round", 2, "--json")
    whole = run.ok(*search).json
    choose, chosen = Trial.suggest_int, []

    def stop(self: Trial, *arguments: Any) -> int:
        value = choose(self, *arguments)
        if self.number == 3:  # the first two are given
            chosen.append(value)
            if len(chosen) == after:
                raise KeyboardInterrupt
        return value

    with monkeypatch.context() as patch:
        patch.setattr(Trial, "suggest_int", stop)
        assert run(*search, "--storage", "search.log", "--out", "again").code == 130
    assert len(chosen) == after
    assert bits(run.ok(*search, "--storage", "search.log", "--out", "again").json) == bits(whole)


@pytest.mark.slow
def test_a_search_in_two_processes_that_was_killed(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_tuning, "write_page", no_page)
    search = (*SEARCH, "--trials", 5, "--json")
    whole = run.ok(*search).json
    two = (*search, "--storage", "search.log", "--out", "two", "--jobs", 2)
    killed = start(*two, folder=run.folder, preexec_fn=lower_priority)
    while killed.poll() is None and len(list((run.folder / "two").glob("*.rdahw"))) < 2:
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    assert finish(killed).code == -signal.SIGKILL
    assert bits(run.ok(*two).json) == bits(whole)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ("--family", "lookup"),
            "--family lookup names no family that is tuned; known are 'ensemble', 'grown', 'layers'",
        ),
        (("--family", ""), "--family '' names no family that is tuned; known are"),
        (("--family", "grown"), "models of the family 'grown' have no trainer in gateware; add --inference"),
        (("--folds", 2, "--validation", 9), "--folds and --validation were both given"),
        (("--validation", 75), "--validation 75 leaves none of 75 training examples"),
        (("--clock", 1e9), "a clock of 1e+09 MHz cannot be made from the board's 12 MHz"),
        (("--max", "luts=3,luts=5"), "--max limits luts twice; leave one of the two limits out"),
        (("--max", "gates=3"), "--max gates=3 limits no known cost; expected luts=N, ebr=N"),
        (("--max", "luts=-1"), "--max luts=-1 is no limit; expected a number from 0"),
        (
            ("--max", "bits=1", "--sampler", "random"),
            "no model is within the budget (all that were looked at are above it)",
        ),
    ],
)
def test_what_is_refused(run: Runner, options: tuple[object, ...], said: str) -> None:
    assert said in run(*SEARCH, "--trials", 2, *options).error


def test_a_storage_of_another_search(run: Runner) -> None:
    (run.folder / "text").write_text("not JSON\n")
    assert "is no journal of a search" in run(*SEARCH, "--storage", "text").error
    assert (run.folder / "text").read_text() == "not JSON\n"
    assert "cannot be written" in run(*SEARCH, "--storage", "no/such/folder").error
    run.ok(*SEARCH, "--trials", 1, "--storage", "log")
    assert "the search in 'log' has seed 0, and this one 1" in run(*SEARCH, "--storage", "log", "--seed", 1).error


def test_a_storage_after_a_crash(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line of it that was not written to its end is removed, and a lock that stays behind leads to it."""
    links = []
    link = os.symlink
    monkeypatch.setattr(os, "symlink", lambda target, at: (links.append(target), link(target, at)))
    (run.folder / "kept").mkdir()
    search = (*SEARCH, "--trials", 2, "--storage", "kept/log", "--json")
    first = bits(run.ok(*search, "--out", "first").json)
    assert set(links) == {str(run.folder / "kept" / "log")}
    whole = (run.folder / "kept" / "log").read_bytes()
    (run.folder / "kept" / "log").write_bytes(whole + b'{"op_code": 5, "wor')
    assert bits(run.ok(*search, "--out", "again").json) == first
    assert all(map(json.loads, (run.folder / "kept" / "log").read_text().splitlines()))


def test_few_examples_are_not_the_fault_of_an_option(run: Runner) -> None:
    (run.folder / "few.csv").write_text("a,b\n1,x\n2,y\n")
    ran = run("tune", "--data", "few.csv", "--max", "luts=2000")
    assert ran.code == 1
    assert "of 2 training examples none can be held out; give at least 5, or --validation N" in ran.error
    ran = run("tune", "--data", "few.csv", "--max", "luts=2000", "--folds", 3)
    assert ran.code == 2
    assert "--folds 3 makes more parts than the 2 training examples; lower it" in ran.error


def test_models_of_an_earlier_search_go(run: Runner) -> None:
    (run.folder / "iris-tune").mkdir()
    for name, file in (("trial-108", "report.json"), ("trial-109", "mine.txt")):
        (run.folder / "iris-tune" / name).mkdir()
        (run.folder / "iris-tune" / name / file).write_text("{}")
    for name in ("trial-107.rdahw", "trial-of-mine.rdahw"):
        (run.folder / "iris-tune" / name).write_text("earlier")
    made = run.ok(*SEARCH, "--trials", 1, "--json").json
    assert {path.name for path in (run.folder / "iris-tune").glob("*.rdahw")} == {
        "trial-of-mine.rdahw",
        *(f"trial-{trial['trial']:03}.rdahw" for trial in made["front"]),
    }
    assert [path.name for path in (run.folder / "iris-tune").iterdir() if path.is_dir()] == ["trial-109"]


def test_without_optuna(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    monkeypatch.delitem(sys.modules, "rdahw.sim.search", raising=False)
    ran = run(*SEARCH)
    assert (ran.code, "install it with pip install 'rdahw[tune]'" in ran.error) == (3, True)


def test_builds_until_one_fits(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    from rdahw.boards import synthesis

    built: list[str] = []

    def synthesise(design: Any, board: Any, *, out: Path, **options: Any) -> Any:
        built.append(out.name)
        if len(built) == 1:
            raise DesignError("it needs too much", usage={})

        class Report:
            logic_cells, ebr, spram = 1000, 2, 1

            def to_json(self) -> dict[str, Any]:
                return {"logic_cells": self.logic_cells, "fmax_mhz": 50.0}

        return Report()

    monkeypatch.setattr(synthesis, "synthesise", synthesise)
    found = run.ok(*SEARCH[:-4], "--trials", 6, "--json").json
    first, second = found["front"][:2]
    assert first["build"] == {"error": "it needs too much"}
    assert second["build"]["logic_cells"] == 1000
    assert found["best"]["trial"] == second["trial"]
    assert built == [f"trial-{trial['trial']:03}" for trial in (first, second)]


def test_ctrl_c_in_a_build_keeps_the_results(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*arguments: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(_tuning, "build", interrupt)
    ran = run(*SEARCH[:-4], "--trials", 1, "--json")
    assert ran.code == 130
    assert "stopped after the search; its models and results are in iris-tune, and rdahw synth iris-tune/trial-000" in (
        ran.err
    )
    kept = json.loads((run.folder / "iris-tune" / "tune.json").read_text())
    assert [trial["trial"] for trial in kept["trials"]] == [0]
    assert (run.folder / "iris-tune" / "tune.html").exists()


#: What makes the commands of the page small, beside --trials.
SMALL = {"mnist": "iris", "3": "2", "table.csv": "iris"}


@pytest.mark.slow
def test_the_commands_of_the_page(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[2] / "docs" / "tune.md").read_text()
    commands = [shlex.split(line) for line in re.findall(r"^rdahw (tune .*)$", page, re.MULTILINE)]
    iris = load("iris").train
    with (run.folder / "letter.csv").open("w", newline="") as file:
        rows = ([*row, "ABC"[label]] for row, label in zip(iris.features.tolist(), iris.labels.tolist(), strict=True))
        csv.writer(file).writerows([["a", "b", "c", "d", "lettr"], *rows])
    assert len(commands) >= 4
    for words in commands:
        # The last value of an option counts.
        run.ok(*(SMALL.get(word, word) for word in words), "--trials", 2, "--build", 0)
