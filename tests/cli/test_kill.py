"""kill -9 at random moments of a long training, and --resume: the bits of an uninterrupted run."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest
from running import Runner, finish, start

#: Options, and seconds between checkpoints. With 0 each update is saved, so that a kill often falls into the writing.
TRAININGS = {
    "iris": ("--epochs 60 --shuffle --seed 3", 0),
    "batches": ("--epochs 150 --shuffle --batch 4 --labels binary", 0),
    "validation": ("--epochs 60 --shuffle --batch 3 --validation 11 --seed 9", 0),
    "wide": ("--binarise thermometer=3 --epochs 25 --shuffle", 0.02),  # 3 * 2^12 parameters
}


def wait_for_change(path: Path, seen: int | None) -> int:
    """Wait until there is a file other than the one that ``seen`` is the inode of; give its inode."""
    for _ in range(30_000):
        if path.exists() and (inode := path.stat().st_ino) != seen:
            return inode
        time.sleep(0.001)
    raise AssertionError(f"no new checkpoint at {path} after 30 seconds")


@pytest.mark.parametrize(("name", "kills"), [("iris", 1), ("iris", 3), ("batches", 3), ("validation", 3), ("wide", 2)])
def test_kill_and_resume(run: Runner, name: str, kills: int) -> None:
    seed = int(os.environ.get("RDAHW_TEST_SEED", time.time_ns() % 1_000_000))
    print(f"RDAHW_TEST_SEED={seed} gives the same moments")  # noqa: T201 - pytest shows it when the test fails
    moments = random.Random(seed)
    options, seconds = TRAININGS[name][0].split(), TRAININGS[name][1]
    whole = run.ok("train", *options, "--out", "whole.rdahw", "--json").json

    checkpoint = run.folder / "out.rdahw.checkpoint"
    words: list[object] = ["train", *options, "--out", "out.rdahw"]
    seen = None
    for _ in range(kills):
        process = start(*words, "--checkpoint", seconds, folder=run.folder)
        seen = wait_for_change(checkpoint, seen)
        time.sleep(moments.uniform(0, 0.1))
        process.send_signal(signal.SIGKILL)
        assert finish(process).code == -signal.SIGKILL, "the training was over before it was killed: make it longer"
        assert not (run.folder / "out.rdahw").exists()
        seen = checkpoint.stat().st_ino
        words = ["train", "--resume", checkpoint.name]
    rest = run.ok(*words, "--json").json
    assert 0 < rest["resumed_from_update"] < whole["updates"]
    assert rest["out"] == "out.rdahw"
    for key in ("updates", "parameters", "parameters_sha256", "best_update", "validation_correct", "test_correct"):
        assert rest.get(key) == whole.get(key), key
    assert not checkpoint.exists()
