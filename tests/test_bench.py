"""The rule of the race, and the page that is written from results."""

from __future__ import annotations

import ast
import importlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from rdahw.data import load

BENCH = Path(__file__).parent.parent / "bench"
PEERS_FILE = BENCH / "peers.txt"


def bench_module(name: str) -> Any:
    """A module of bench/, which is a folder of programs and no package."""
    sys.path.insert(0, str(BENCH))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(BENCH))


measure = bench_module("measure")
report = bench_module("report")
peers = bench_module("peers")
drift = bench_module("drift")
lfsr = bench_module("lfsr")


class FakeLearner:
    """Every step takes 2 s, making it ready 10 s, a look 100 s; accuracies are given."""

    def __init__(self, accuracies: list[float]) -> None:
        self.now, self.accuracies = 0.0, iter(accuracies)

    def steps(self) -> Iterator[Callable[[], int]]:
        def step() -> int:
            self.now += 2
            return 500

        while True:
            self.now += 10
            yield step

    def accuracy(self) -> float:
        self.now += 100
        return next(self.accuracies)

    def race(self, budget: float) -> Any:
        return measure.race(self.steps(), self.accuracy, budget, clock=lambda: self.now)


def test_only_training_is_on_the_clock() -> None:
    assert FakeLearner([0.5, 0.6, 0.7]).race(6) == [(2, 500, 0.5), (4, 1000, 0.6), (6, 1500, 0.7)]


def test_the_step_in_which_the_budget_ends_counts() -> None:
    assert FakeLearner([0.5, 0.6, 0.7]).race(3) == [(2, 500, 0.5), (4, 1000, 0.6)]


def test_a_race_ends_with_its_steps() -> None:
    assert len(measure.race([lambda: 1, lambda: 1], lambda: 1.0, 100, clock=lambda: 0.0)) == 2


def test_a_level_is_reached_at_the_first_look_at_or_above_it() -> None:
    looks = [(1.0, 1, 0.94), (2.0, 2, 0.95), (3.0, 3, 0.94), (4.0, 4, 0.97)]
    assert [measure.reached(looks, level) for level in (0.95, 0.96, 0.97, 0.98)] == [2.0, 4.0, 4.0, None]
    assert measure.best(looks) == 0.97
    assert measure.best([]) == 0


def test_pruning_keeps_levels_and_the_best() -> None:
    looks = [measure.Look(0.01 * n, n, 0.90 + 0.0001 * (n % 950)) for n in range(1, 3000)]
    few = measure.pruned(looks)
    assert len(few) < 500
    assert measure.best(few) == measure.best(looks)
    for level in measure.LEVELS:
        assert measure.reached(few, level) == measure.reached(looks, level) is not None


def test_turns_count_work_in_the_best_turn() -> None:
    turns = measure.Turns()
    turns.add("a", 10.0, lambda: None)
    turns.take(5)
    turns.seconds["a"] = [4.0, 2.0, 3.0]
    assert turns.results() == {"a": {"per_second": 5.0, "noise": 0.5}}


def learner(name: str, runs: list[list[tuple[float, int, float]]], **more: Any) -> dict[str, Any]:
    return {"name": name, "label": name, "settings": f"{name}'s", "ours": False, "budget": 60, "runs": runs, **more}


OURS = [(0.1, 1, 0.95), (0.2, 2, 0.97), (0.5, 3, 0.98)]
RESULTS: dict[str, Any] = {
    "machine": {
        "processor": "Some CPU",
        "cores": 2,
        "system": "Linux x86_64",
        "ours": {"rdahw": "1.0"},
        "peers": {"torch": None},
    },
    "race": {
        "load": 0.5,
        "learners": [
            learner("rdahw 1 x 2", [OURS, [(0.3, 1, 0.981)], OURS], ours=True),
            learner(
                "fast | peer",
                [[(1.0, 1, 0.951), (30.0, 2, 0.96)]],
                predict={"in C": {"per_second": 1000.0, "noise": 0.1, "test_accuracy": 0.9}},
            ),
            learner("unlucky", [[(1.0, 1, 0.99)], [(2.0, 1, 0.9)], [(3.0, 1, 0.9)]]),
            learner("absent", [], missing="ModuleNotFoundError: No module named 'absent'"),
        ],
    },
    "predict": {"load": 0.1, "from packed bits": {"per_second": 2e6, "noise": 0.01, "test_accuracy": 0.98}},
}


def lines_of(text: str, start: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith(f"| {start}")]


def test_the_table_of_the_race() -> None:
    page = report.document(RESULTS)
    (ours,) = lines_of(page, "rdahw 1 x 2 |")
    assert "| 0.10 (0.10 to 0.30) | 0.20 (0.20 to 0.30) | 0.50 (0.30 to 0.50) | 98.00 in 60 s |" in ours
    peer = lines_of(page, "fast")[0]
    assert peer == "| fast \\| peer | 1.0, 10 × | not reached in 60 s | not reached in 60 s | 96.00 in 60 s |"
    assert "reached by 1 of 3 seeds in 60 s" in lines_of(page, "unlucky")[0]


def test_a_missing_peer_is_named() -> None:
    page = report.document(RESULTS)
    race, predict = lines_of(page, "absent")
    assert race == "| absent | missing | missing | missing | ModuleNotFoundError: No module named 'absent' |"
    assert predict.startswith("| absent | missing |")
    assert "peers: torch missing" in page


def test_the_table_of_predictions_has_ratios() -> None:
    (row,) = lines_of(report.document(RESULTS), "fast \\| peer: in C")
    assert row == "| fast \\| peer: in C | 1,000 | 2,000 × | 90.00 | 10 % |"


def test_the_row_of_all_cores_states_how_many() -> None:
    name = "from packed bits, all cores (2)"
    predict = RESULTS["predict"] | {name: {"per_second": 3e6, "noise": 0.02, "test_accuracy": 0.98}}
    rows = lines_of(report.document(RESULTS | {"predict": predict}), "rdahw 256 x 6: ")
    assert rows[1] == f"| rdahw 256 x 6: {name} | 3,000,000 | 0.67 × | 98.00 | 2 % |"
    assert len(rows) == 2


@pytest.mark.parametrize("path", sorted(BENCH.glob("*.py")), ids=lambda path: path.stem)
def test_what_is_imported_is_not_bound_to_a_core(path: Path) -> None:
    """Else all tests would run on one core, and half as fast."""
    for line in ast.parse(path.read_text(encoding="utf-8")).body:
        assert not (isinstance(line, ast.Expr) and ast.unparse(line) == "one_core()"), "call it if this is __main__"


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system does not bind processes to cores")
def test_all_cores_are_used_for_the_time_of_the_block_only() -> None:
    started = os.sched_getaffinity(0)
    one = {max(started)}
    os.sched_setaffinity(0, one)
    try:
        with measure.all_cores() as cores:
            assert (os.sched_getaffinity(0), cores) == (measure.CORES, len(measure.CORES))
        assert os.sched_getaffinity(0) == one
    finally:
        os.sched_setaffinity(0, started)


def test_predictions_through_scikit_learn_have_ratios_to_the_same_interface() -> None:
    found = {
        "ours": {"uint8": 3e6, "float32": 2e6, "row": 2e4, "predict_one": 2e5, "test_accuracy": 0.98},
        "MLP": {"float32": 2e5, "row": 1e4, "test_accuracy": 0.97},
        "validating alone": {"row": 25_000.0},
    }
    page = report.document(RESULTS | {"predict": RESULTS["predict"] | {"interfaces": found, "beside": "MLP"}})
    assert lines_of(page, "ours") == ["| ours | 3,000,000, 15 × | 2,000,000, 10 × | 50.0, 2 × | 5.0, 20 × | 98.00 |"]
    assert lines_of(page, "MLP") == ["| MLP |  | 200,000 | 100.0 |  | 97.00 |"]
    assert lines_of(page, "validating") == ["| validating alone |  |  | 40.0, 2.5 × |  |  |"]
    assert "how much faster than MLP on float32." in page


def test_sections_that_were_not_measured_are_named() -> None:
    page = report.document(RESULTS)
    assert "Not measured: accuracy, train, updates, gates." in page
    assert "## Gate" not in page


def test_gates_updates_training_and_accuracy() -> None:
    row = {"per_second": 4e11, "noise": 0.0}
    results = RESULTS | {
        "gates": {"load": 0, "results": {"packed": row, "limit: x": {"per_second": 8e11, "noise": 0.0}}},
        "updates": {
            "load": 0,
            "measured": {"mask of 784": {"packed": {"per_second": 1e6, "noise": 0.0}}},
            "quoted": {"mask of 784": 1250},
        },
        "train": {
            "load": 0,
            "command": "rdahw train",
            "runs": [
                {"seconds": 1.0, "seconds_total": s, "process_seconds": 4.0, "epochs": 15, "test_accuracy": 0.98}
                for s in (2.0, 3.0)
            ],
        },
        "accuracy": {
            "load": 0,
            "small": {
                "spec": {"tables": 8, "inputs": 4, "sign": True, "counter": 6},
                "data": "mnist",
                "rule": "threshold=32,64",
                "epochs": 3,
                "accuracy": [0.97, 0.98],
                "cpu": [0.5],
            },
            "large": {"missing": "no data"},
        },
    }
    page = report.document(results)
    assert "| limit: x | 8e+11 | 0.5 × | 0 % |" in page
    assert "C by gcc -O3: missing" in page
    assert "| mask of 784 | the paper's program (quoted) | 1,250 | 800 × |  |" in page
    assert "| 1.00 (1.00 to 1.00) | 2.50 (2.00 to 3.00) | 4.00 (4.00 to 4.00) | 98.00 |" in page
    assert (
        "| `small` | mnist, 32 64 | 8 x 4, signs of 6 bits | 97.50 (97.00 to 98.00) | 3 epochs, 2 seeds | 0.50 |"
        in page
    )
    assert "| `large` |  |  | missing | no data |  |" in page
    assert "Not measured" not in page


def test_the_picture_is_xml_with_a_line_for_each_learner_that_ran() -> None:
    root = ElementTree.fromstring(report.picture(RESULTS))
    space = "{http://www.w3.org/2000/svg}"
    assert len(root.findall(f"{space}polyline")) == 3
    texts = [element.text for element in root.iter(f"{space}text")]
    assert "fast | peer" in texts
    assert "absent" not in texts
    assert root.findtext(f"{space}title")


def test_a_picture_without_results() -> None:
    ElementTree.fromstring(report.picture({}))


def test_every_learner_has_a_colour_of_its_own() -> None:
    learners = len(bench_module("ensemble").RACES) + len(peers.PEERS)
    assert len(set(report.COLOURS[:learners])) == learners


def test_every_peer_is_pinned_and_its_version_is_reported() -> None:
    pinned = {words[0].partition("==")[0] for words in bench_module("install_peers").lines(PEERS_FILE.read_text())}
    packages = {peer.package for peer in peers.PEERS.values()}
    assert packages <= pinned
    assert packages <= set(peers.PACKAGES) == set(peers.versions()) - {"python"}
    labels = [peer.label for peer in peers.PEERS.values()]
    assert len(set(labels)) == len(labels)


def test_lightgbm_takes_a_round_of_boosting_a_step_until_no_tree_can_be_split(monkeypatch: pytest.MonkeyPatch) -> None:
    class Booster:
        """Knows the class of every example after its third round; then nothing is left to split."""

        def __init__(self, settings: dict[str, Any], examples: Any) -> None:
            assert settings["num_threads"] == 1
            self.rounds, (x, self.labels) = 0, examples
            assert x.dtype == np.float32

        def update(self) -> bool:
            self.rounds += 1
            return self.rounds == 3

        def predict(self, x: Any, raw_score: bool) -> Any:
            return np.eye(10)[(x[:, 0].astype(int) + 3 - self.rounds) % 10]

    monkeypatch.setitem(sys.modules, "lightgbm", SimpleNamespace(Booster=Booster, Dataset=lambda x, y: (x, y)))
    y = np.arange(20, dtype=np.uint8) % 10
    learner = peers.PEERS["lightgbm"].make(peers.Data(*[y[:, None], y] * 3), 0)
    looks = measure.race(learner.steps(), lambda: float((learner.predict(learner.data.held_x) == y).mean()), 1e9)
    assert [(look.examples, look.accuracy) for look in looks] == [(20, 0), (40, 0), (60, 1)]
    (predict,) = learner.predictors().values()
    assert predict().tolist() == y.tolist()


def test_the_file_of_peers_is_read_as_arguments_of_pip() -> None:
    install = bench_module("install_peers")
    found = install.lines(PEERS_FILE.read_text())
    assert ["torchlogix==0.2.2", "--no-deps"] in found
    assert install.lines("# nothing\n\n'a==1; python_version < \"3\"'  # why\n") == [['a==1; python_version < "3"']]


@pytest.mark.parametrize(("value", "text"), [(208.3, "208"), (9.71, "9.7"), (0.27, "0.27"), (0.0193, "0.019")])
def test_seconds_have_as_many_digits_as_they_deserve(value: float, text: str) -> None:
    assert report.seconds_text(value) == text


@pytest.mark.slow
@pytest.mark.parametrize("change", drift.CHANGES)
def test_a_change_of_concept_raises_the_alarm_and_the_error_recovers(change: str) -> None:
    for seed in range(2):
        result = drift.measure(seed, 12_000, 6_000, 0, change)
        assert result.false == 0
        assert result.delay is not None
        assert result.delay < 2000
        assert result.after > result.before + 0.08
        assert result.end < result.before + 0.06


def test_a_stream_of_the_bench_changes_where_it_says() -> None:
    x, labels = drift.make_stream(3, 500, 400, "swapped classes")
    before, after = (
        np.linalg.lstsq(x[part], labels[part] - 0.5, rcond=None)[0] for part in (slice(500), slice(500, 900))
    )
    assert (x.shape, np.corrcoef(before, after)[0, 1] < -0.9) == ((900, 10), True)


@pytest.mark.parametrize(("name", "seeds"), [("lfsr:4:windows", 9), ("lfsr:4:stream", 9)])
def test_taps_are_found_after_the_examples_that_the_rule_needs(name: str, seeds: int) -> None:
    found = []
    for seed in range(seeds):
        train = load(name, seed=seed).train
        theta, count = 0, 0
        while theta != 0b0011:
            window = sum(int(bit) << i for i, bit in enumerate(train.features[count]))
            if (theta & window).bit_count() % 2 != train.labels[count]:
                theta ^= window
            count += 1
        found.append(count)
    assert lfsr.examples_needed(name, seeds) == found
