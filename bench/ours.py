"""What rdahw alone is measured at: a whole training from files to a saved model."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from ensemble import Setting, make

from rdahw.data.images import Image


def settings_text(setting: Setting) -> str:
    """The spec of a race in words."""
    spec = make(setting, 0, np.zeros((1, 784), np.uint8), Image(1, 28, 28))
    return (
        f"{spec.tables} tables of {spec.inputs} inputs, counters of {spec.counter} bits, margin {spec.margin}, "
        f"dropout {spec.dropout:g}, {spec.wiring}, {setting.rule}"
    )


def whole_training(runs: int) -> dict[str, Any]:
    """`rdahw train` from gzip files to a saved model, as a user starts it: seconds of its loop, and of all of it."""
    program = Path(sysconfig.get_path("scripts")) / "rdahw"
    arguments = ["train", "--data", "mnist", "--model", "ensemble"]
    found: dict[str, Any] = {"command": " ".join(["rdahw", *arguments]), "runs": []}
    with tempfile.TemporaryDirectory() as folder:
        for run in range(runs + 1):  # the first may compile
            started = time.perf_counter()
            command = [str(program), *arguments, "--json", "--out", str(Path(folder) / f"{run}.rdahw")]
            done = subprocess.run(command, capture_output=True, text=True)
            elapsed = time.perf_counter() - started
            if done.returncode:
                print(done.stderr, file=sys.stderr)
                return {**found, "missing": f"rdahw train ended with {done.returncode}"}
            result = json.loads(done.stdout)
            names = ("seconds", "seconds_total", "epochs", "test_accuracy")
            if run:
                found["runs"].append({"process_seconds": elapsed, **{name: result[name] for name in names}})
    return found
