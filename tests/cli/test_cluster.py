"""Work in pieces on a cluster: Dask's scheduler with two workers, all of them on the loopback interface."""

from __future__ import annotations

import os
import re
import shlex
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pieces
import pyarrow as pa
import pytest
from pyarrow import csv, parquet
from running import Runner, finish, start

from rdahw.errors import UsageError, UserError
from rdahw.saved import load_model

pytest.importorskip("distributed", reason="needs Dask, the extra cluster of rdahw")

TESTS = Path(__file__).parents[1]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # those of Dask are not ours
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the scheduler. Its workers are processes that a nanny starts again when they die."""
    from distributed import LocalCluster

    folder = tmp_path_factory.mktemp("dask")
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(TESTS)  # for the file of the pieces
    try:
        with LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0", local_directory=str(folder)
        ) as cluster:
            yield cluster.scheduler_address
    finally:
        os.environ.pop("PYTHONPATH")
        if before is not None:
            os.environ["PYTHONPATH"] = before


def test_the_pieces_of_a_worker_that_dies_run_again(address: str, tmp_path: Path) -> None:
    from rdahw.cluster import connect

    with connect(address) as jobs:
        assert jobs.run(pieces.die_once, range(6), tmp_path) == [n * n for n in range(6)]
        assert (tmp_path / "died").exists()
        with pytest.raises(UserError, match="is odd$"):
            jobs.run(pieces.refuse_odd, range(3), None)


def test_shared_data_arrive_once_at_each_worker(address: str, tmp_path: Path) -> None:
    from rdahw.cluster import connect

    with connect(address) as jobs:
        assert jobs.run(pieces.square, range(12), pieces.Counted(tmp_path)) == [n * n for n in range(12)]
    arrived = [path.name.split("-")[1] for path in tmp_path.iterdir()]
    assert len(set(arrived)) <= 2
    assert len(arrived) <= 4  # and once more at most, from one worker to the other


def test_seeds_on_a_cluster_are_those_of_one_process(run: Runner, address: str) -> None:
    command = ("train", "--model", "ensemble:tables=20,inputs=3", "--seeds", 2, "--json")
    alone = run.ok(*command).json["runs"]
    there = run.ok(*command, "--cluster", address, "--out", "there.rdahw").json["runs"]
    assert [one["parameters_sha256"] for one in there] == [one["parameters_sha256"] for one in alone]
    assert [one["out"] for one in there] == ["there-seed0.rdahw", "there-seed1.rdahw"]
    assert [load_model(run.folder / one["out"]).spec.seed for one in there] == [0, 1]


@pytest.mark.parametrize("model", ["ensemble:tables=20,wiring=grown", "grown:tables=9"])
def test_shards_on_a_cluster_are_those_of_one_process(run: Runner, address: str, model: str) -> None:
    command = ("train", "--model", model, "--shards", 3, "--epochs", 2, "--json")
    alone, there = run.ok(*command).json, run.ok(*command, "--cluster", address, "--out", "there.rdahw").json
    assert there["parameters_sha256"] == alone["parameters_sha256"]


def test_what_ends_early_is_asked_to_end_and_kept(address: str, tmp_path: Path) -> None:
    from rdahw.cluster import connect

    ended: dict[int, str] = {}

    def done(number: int, result: str) -> None:
        ended[number] = result
        if number == 0:
            while not list(tmp_path.glob("began-*")):
                time.sleep(0.01)
            raise KeyboardInterrupt

    with connect(address) as jobs:
        with pytest.raises(KeyboardInterrupt):
            jobs.run(pieces.until_asked, [0, 1, 2, 3, 4], tmp_path, done=done)
        assert ended.pop(0) == "ended"
        assert ended.keys() == {int(path.name[-1]) for path in tmp_path.glob("began-*")}
        assert set(ended.values()) == {"stopped"}
        assert jobs.run(pieces.square, range(3), tmp_path) == [0, 1, 4]  # the same shared data, anew


def test_ctrl_c_brings_the_checkpoints_of_a_cluster(run: Runner, address: str) -> None:
    from distributed import Client

    words = ("train", "--model", "ensemble:tables=20,inputs=3", "--epochs", 2000000, "--seeds", 2, "--json")
    process = start(*words, "--cluster", address, folder=run.folder)
    with Client(address, set_as_default=False) as client:
        while not any(client.processing().values()):
            assert process.poll() is None
            time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    ran = finish(process)
    assert ran.code == 130, ran.err
    found = sorted(run.folder.glob("*.checkpoint"))  # of the seeds that were begun
    assert f"stopped after 0 of 2 seeds; continue with rdahw train --resume {found[0].name}" in ran.err
    saved = load_model(found[0])
    epochs = saved.progress.epoch + 2
    resumed = run.ok("train", "--resume", found[0].name, "--epochs", epochs, "--json").json
    alone = run.ok(*words[:3], "--seed", saved.spec.seed, "--epochs", epochs, "--out", "alone.rdahw", "--json").json
    assert resumed["parameters_sha256"] == alone["parameters_sha256"]


def test_a_search_of_which_a_worker_dies(run: Runner, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("optuna", reason="needs Optuna, the extra tune of rdahw")
    from distributed import Client

    from rdahw.cli import _tuning
    from rdahw.cli._tuning import Models

    monkeypatch.setattr(_tuning, "write_page", lambda path, result: None)  # most of the time of a small search
    search = ("tune", "--data", "iris", "--family", "ensemble", "--trials", 4, "--round", 2, "--json")
    alone = run.ok(*search).json["trials"]
    keep, killed = Models.keep, []

    def kill(self: Models, number: int, result: Any) -> None:
        keep(self, number, result)
        if not killed:
            with Client(address, set_as_default=False) as client:
                killed.append(min(client.run(os.getpid).values()))
            os.kill(killed[0], signal.SIGKILL)

    monkeypatch.setattr(Models, "keep", kill)
    assert run.ok(*search, "--cluster", address, "--out", "there").json["trials"] == alone
    assert killed


def test_what_is_no_scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    from rdahw import cluster

    monkeypatch.setattr(cluster, "_PATIENCE", 0.1)
    said = (
        "^no scheduler of Dask answers at 'tcp://127.0.0.1:1' .*; start one with dask scheduler, and give the address "
    )
    with pytest.raises(UserError, match=said), cluster.connect("tcp://127.0.0.1:1"):
        pass
    for wrong in ("nonsense://x", "", "127.0.0.1", "tcp://127.0.0.1:abc"):
        with (
            pytest.raises(UsageError, match=f"^the address of the cluster is '{wrong}' .*, such as tcp://HOST:8786$"),
            cluster.connect(wrong),
        ):
            pass


@pytest.mark.parametrize("error", [OSError("closed"), RuntimeError("closed")])
def test_a_scheduler_that_is_lost(error: Exception) -> None:
    """Its client is no longer running when its errors come; those of a piece stay what they are."""
    from rdahw.cluster import ClusterJobs

    client: Any = Mock(status="closed")
    client.scheduler.address = "tcp://here:1"
    client.scatter.side_effect = error
    with pytest.raises(UserError, match="^the scheduler at tcp://here:1 does not answer any more"):
        ClusterJobs(client).run(pieces.square, range(3), None)
    client.status = "running"
    with pytest.raises(type(error), match="^closed$"):
        ClusterJobs(client).run(pieces.square, range(3), None)


def test_searches_of_scikit_learn(address: str) -> None:
    from distributed import Client
    from joblib import parallel_backend
    from sklearn.datasets import load_iris
    from sklearn.model_selection import GridSearchCV

    from rdahw import RDAClassifier

    def scores() -> list[float]:
        search = GridSearchCV(RDAClassifier(tables=50), {"inputs": [2, 4]}, cv=2, error_score="raise")
        return list(search.fit(*load_iris(return_X_y=True)).cv_results_["mean_test_score"])

    alone = scores()
    with Client(address), parallel_backend("dask"):
        assert scores() == alone


#: What makes the commands of the page small.
SMALL = {"mnist": "iris", "8": "2", "100": "2", "4": "2", "best-of-16": "best-of-2"}
#: And what makes them short; tests/boards/test_synthesis.py places and routes with several seeds.
LESS = {"prove": ("--what", "one-hot"), "synth": ("--help",)}


def test_the_commands_of_the_page(run: Runner, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those with files of their own; the loop of merged rounds is in test_merge.py."""
    from rdahw.sim import automatic

    every = automatic.all_candidates
    monkeypatch.setattr(automatic, "all_candidates", lambda size: every(size)[:3])  # still more than there are jobs
    page = (TESTS.parent / "docs" / "cluster.md").read_text(encoding="utf-8")
    commands = [shlex.split(line) for line in re.findall(r"^rdahw (.*)$", page, re.MULTILINE)]
    assert {words[0] for words in commands} == {"train", "synth", "prove", "merge"}
    rng = np.random.default_rng(0)
    rows = pa.table({name: rng.normal(size=60) for name in "abc"} | {"label": rng.integers(0, 2, 60)})
    csv.write_csv(rows, run.folder / "table.csv")
    for name in ("rows", "more"):
        parquet.write_table(rows, run.folder / f"{name}.parquet")
    run.ok("train", "--out", "iris-lookup.rdahw")
    for name in ("before", "board1", "board2", "board3", "board4"):
        run.ok("train", "--model", "ensemble:tables=20,inputs=3", "--out", f"{name}.rdahw")
    for words in commands:
        small = (SMALL.get(word, word).replace("tcp://HOST:8786", address) for word in words)
        run.ok(*small, *LESS.get(words[0], ()))
