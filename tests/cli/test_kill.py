"""kill -9 at random moments of a long training, and --resume: the bits of an uninterrupted run."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from running import Runner, finish, lower_priority, start

from rdahw.saved import load_model

#: Options, and seconds between checkpoints. With 0 each update is saved, so that a kill often falls into the writing.
TRAININGS = {
    "iris": ("--epochs 60 --shuffle --seed 3", 0),
    "batches": ("--epochs 150 --shuffle --batch 4 --labels binary", 0),
    "validation": ("--epochs 60 --shuffle --batch 3 --validation 11 --seed 9", 0),
    "wide": ("--binarise thermometer=3 --epochs 25 --shuffle", 0.02),  # 3 * 2^12 parameters
    "ensemble": ("--model ensemble --epochs 900 --validation 11 --seed 9", 0),
    "grown": ("--model grown:tables=9000,inputs=4 --validation 11 --seed 4", 0),
    "grown wiring": ("--model ensemble:wiring=grown,tables=2000,inputs=3 --epochs 2 --validation 11 --seed 4", 0),
    "layers": ("--model layers:90x4,60x4 --epochs 150 --validation 11 --seed 9", 0),
    # In plain Python, which looks up after every 16 examples: within an epoch, too.
    "ensemble reference": ("--model ensemble:tables=20,inputs=3 --epochs 150 --engine reference --sign", 0),
}
#: What must be as in the uninterrupted run.
SAME = (
    *("updates", "parameters", "parameters_sha256", "best_update", "validation_correct", "test_correct"),
    *("examples", "best_epoch"),
)


def without_seconds(result: dict[str, Any]) -> list[dict[str, Any]]:
    """The curve, but for how long it took."""
    return [{key: value for key, value in row.items() if key != "seconds"} for row in result.get("curve", [])]


def wait_for_change(path: Path, seen: int | None) -> int:
    """Wait until there is a file other than the one that ``seen`` is the inode of; give its inode."""
    for _ in range(900_000):
        if path.exists() and (inode := path.stat().st_ino) != seen:
            return inode
        time.sleep(0.001)
    raise AssertionError(f"no new checkpoint at {path} after 15 minutes")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "kills"),
    [
        ("iris", 2),
        ("batches", 2),
        ("validation", 2),
        ("wide", 2),
        ("ensemble", 2),
        ("ensemble reference", 2),
        ("grown", 2),
        ("grown wiring", 2),
        ("layers", 2),
    ],
)
def test_kill_and_resume(run: Runner, name: str, kills: int) -> None:
    seed = int(os.environ.get("RDAHW_TEST_SEED", time.time_ns() % 1_000_000))
    print(f"RDAHW_TEST_SEED={seed} gives the same moments")  # noqa: T201 - pytest shows it when the test fails
    moments = random.Random(seed)
    options, seconds = TRAININGS[name][0].split(), TRAININGS[name][1]
    engine = ["--engine", "reference"] if "reference" in name else []  # is no part of what is saved
    whole = run.ok("train", *options, "--out", "whole.rdahw", "--json").json

    checkpoint = run.folder / "out.rdahw.checkpoint"
    words: list[object] = ["train", *options, "--out", "out.rdahw"]
    seen = None
    for _ in range(kills):
        process = start(*words, "--checkpoint", seconds, folder=run.folder, preexec_fn=lower_priority)
        seen = wait_for_change(checkpoint, seen)
        time.sleep(moments.uniform(0, 0.1))
        process.send_signal(signal.SIGKILL)
        assert finish(process).code == -signal.SIGKILL, "the training was over before it was killed: make it longer"
        assert not (run.folder / "out.rdahw").exists()
        seen = checkpoint.stat().st_ino
        words = ["train", "--resume", checkpoint.name, *engine]
    progress = load_model(checkpoint, to_continue=True).progress
    assert 0 < progress.updates < (whole.get("updates") or whole["examples"])
    if name == "grown wiring":  # in mid growth: there is no model yet
        refused = run("eval", checkpoint.name)
        assert refused.code == 2
        assert f"continue it with rdahw train --resume {checkpoint.name!r}" in refused.error
    rest = run.ok(*words, "--json").json
    assert (rest.get("resumed_from_update") or rest["resumed_from_example"]) == (
        0 if name == "grown wiring" else progress.updates
    )
    assert rest["out"] == "out.rdahw"
    for key in SAME:
        assert rest.get(key) == whole.get(key), key
    assert load_model(run.folder / "out.rdahw").spec == load_model(run.folder / "whole.rdahw").spec
    assert without_seconds(rest) == without_seconds(whole)
    assert not checkpoint.exists()
