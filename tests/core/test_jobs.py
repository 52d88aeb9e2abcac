"""Work in pieces: the same results wherever they run, workers that die, and Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pieces
import pytest

from rdahw.errors import UsageError, UserError
from rdahw.jobs import ExecutorJobs, Jobs, ProcessJobs, ThreadJobs

#: Kill signals of Windows are others.
posix = pytest.mark.skipif(os.name == "nt", reason="kills a process by SIGKILL, which Windows has not")


def preloaded(count: int) -> ProcessJobs:
    jobs = ProcessJobs(count)
    jobs.preload("rdahw.jobs")
    return jobs


@pytest.mark.parametrize(
    "make",
    [Jobs, lambda: ThreadJobs(2), lambda: ProcessJobs(2), lambda: preloaded(2)],
    ids=["here", "threads", "processes", "copies"],
)
def test_results_are_in_the_order_of_the_pieces(make: Callable[[], Jobs]) -> None:
    jobs = make()
    ended: dict[int, int] = {}
    seen: list[tuple[int, int]] = []
    found = jobs.run(pieces.add, [5, 3, 8], 100, done=ended.__setitem__, progress=lambda *counts: seen.append(counts))
    assert found == [105, 103, 108]
    assert ended == {0: 105, 1: 103, 2: 108}
    assert {pieces for _, pieces in seen} == {3}
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert jobs.run(pieces.add, [], 100) == []


@pytest.mark.parametrize("jobs", [Jobs(), ThreadJobs(2), ProcessJobs(2)], ids=lambda jobs: type(jobs).__name__)
def test_further_pieces_while_it_runs(jobs: Jobs) -> None:
    work = [1]

    def more(number: int, result: int) -> None:
        work.extend([result] * (3 - number))  # number 0 adds three, and number 1 two …

    found = jobs.run(pieces.add, work, 10, done=more)
    assert found == [11, 21, 21, 21, *found[4:]]
    assert sorted(found[4:]) == [31, 31, 31]


def test_any_executor_will_do() -> None:
    with ThreadPoolExecutor(2) as pool:
        assert ExecutorJobs(pool).run(pieces.add, [1, 2], 10) == [11, 12]
        assert pool.submit(int, "3").result() == 3  # it is the caller's, and stays open


def test_shared_data_arrive_once_in_each_process(tmp_path: Path) -> None:
    assert ProcessJobs(2).run(pieces.square, range(12), pieces.Counted(tmp_path)) == [n * n for n in range(12)]
    arrived = [path.name.split("-")[1] for path in tmp_path.iterdir()]
    assert 1 <= len(arrived) == len(set(arrived)) <= 2


@pytest.mark.parametrize("jobs", [Jobs(), ThreadJobs(2), ProcessJobs(1)], ids=lambda jobs: type(jobs).__name__)
def test_the_first_error_ends_the_work(jobs: Jobs) -> None:
    ended: dict[int, int] = {}
    with pytest.raises(UsageError, match="^[13] is odd$"):
        jobs.run(pieces.refuse_odd, [0, 1, 2, 3], None, done=ended.__setitem__)
    assert ended.items() <= {0: 0, 2: 2}.items()


@posix
def test_the_pieces_of_a_worker_that_dies_run_again(tmp_path: Path) -> None:
    ended: list[int] = []
    found = ProcessJobs(2).run(pieces.die_once, range(4), tmp_path, done=lambda number, result: ended.append(number))
    assert found == [0, 1, 4, 9]
    assert sorted(ended) == [0, 1, 2, 3]
    assert (tmp_path / "died").exists()


@posix
def test_workers_that_die_again_and_again_are_told_once(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^1 of 2 pieces of the work are done, and the workers died 3 times before "):
        ProcessJobs(1).run(pieces.die, [0, 1], tmp_path)
    assert len(list(tmp_path.glob("died-*"))) in (3, 4)  # piece 0 may have ended in the round of the first death


def test_an_executor_that_breaks_is_told_at_once() -> None:
    class Broken(ThreadPoolExecutor):
        def submit(self, function: Callable[..., Any], /, *arguments: Any, **more: Any) -> Future[Any]:
            raise BrokenExecutor

    with pytest.raises(UserError, match=r"^0 of 2 pieces of the work are done, and the workers died before another "):
        ExecutorJobs(Broken(1)).run(pieces.add, [1, 2], 0)


def test_ctrl_c_keeps_what_is_done_and_asks_the_others_to_end(tmp_path: Path) -> None:
    ended: dict[int, str] = {}

    def done(number: int, result: str) -> None:
        ended[number] = result
        if number == 0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ProcessJobs(2).run(pieces.until_stopped, [0, 1, 2, 3, 4, 5], tmp_path, done=done)
    assert ended.pop(0) == "ended"
    assert ended.pop(1) == "stopped"
    assert ended.items() <= {2: "stopped"}.items()  # the process that had piece 0 may have begun it


@posix
@pytest.mark.parametrize("make", [ProcessJobs, preloaded], ids=["processes", "copies"])
def test_processes_start_without_ctrl_c(make: Callable[[int], ProcessJobs]) -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    assert make(1).run(pieces.interrupt, [3], None) == [3]
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before


@posix
@pytest.mark.slow
@pytest.mark.parametrize("preload", ["", "jobs.preload('rdahw.jobs'); "], ids=["processes", "copies"])
def test_processes_end_with_a_parent_that_is_killed(tmp_path: Path, preload: str) -> None:
    program = (
        "import sys; sys.path.append(sys.argv[1]); import pathlib, pieces; from rdahw.jobs import ProcessJobs\n"
        f"jobs = ProcessJobs(1); {preload}jobs.run(pieces.hold, [0], pathlib.Path(sys.argv[2]))"
    )
    words = [sys.executable, "-P", "-c", program, str(Path(pieces.__file__).parent), str(tmp_path)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE)
    while not (tmp_path / "began").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.communicate(timeout=900)  # ends when the last process that inherited the pipe has ended
