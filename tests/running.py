"""Running the command line as a user does: in this process, or in one of its own that can be killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rdahw.cli import main


@dataclass(frozen=True)
class Ran:
    """What a command left: its exit code, and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one JSON object on stdout; fails if there is anything else."""
        value = json.loads(self.out)
        assert isinstance(value, dict)
        return value

    @property
    def error(self) -> str:
        """The sentence of the one line «Error: …» on stderr; fails unless there is just one, and no traceback."""
        lines = self.err.splitlines()
        found = [line for line in lines if line.startswith("Error: ")]
        assert len(found) == 1, self.err
        assert lines[-1] == found[0], self.err
        assert "Traceback" not in self.err, self.err
        return found[0].removeprefix("Error: ")


class Runner:
    """``run("train", "--json") -> Ran`` in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str], folder: Path) -> None:
        self._capsys = capsys
        self.folder = folder

    def __call__(self, *arguments: object) -> Ran:
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main([str(argument) for argument in arguments])
        assert isinstance(end.value.code, int)
        return Ran(end.value.code, *self._capsys.readouterr())

    def ok(self, *arguments: object) -> Ran:
        """The same for a command that must end well."""
        ran = self(*arguments)
        assert ran.code == 0, ran.err
        return ran


def start(*arguments: object, folder: Path, **options: Any) -> subprocess.Popen[str]:
    """``rdahw`` as a process of its own, in ``folder``; stdout and stderr are pipes."""
    words = [sys.executable, "-P", "-m", "rdahw.cli", *map(str, arguments)]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", **options.pop("env", {})}
    given = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
    return subprocess.Popen(words, cwd=folder, env=environment, **given)


def lower_priority() -> None:
    """Of a process that is to be stopped in mid run: on a busy machine the test that stops it goes first. Tests that
    have a low priority themselves do not lower it further, where it might hardly run."""
    os.nice(max(0, 10 - os.nice(0)))


def finish(process: subprocess.Popen[str], timeout: float = 900) -> Ran:
    """Wait for its end."""
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return Ran(process.returncode, out, err)
