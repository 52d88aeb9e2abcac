"""Where nothing can be written, where numba must not compile, and what other programs say there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from running import Ran, Runner

#: A program that refuses to write anywhere but below the folder that is its first argument, and to devices, as a
#: read-only file system does. Its other arguments are a command of rdahw.
READ_ONLY = """
import errno, os, sys
allowed = (sys.argv[1], "/dev/")
def refuse(event, arguments):
    if event == "open":
        path, _, flags = arguments
        writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    else:
        path, writes = arguments[0], event in ("os.mkdir", "os.rename")
    if writes and isinstance(path, (str, bytes)) and not os.path.abspath(os.fsdecode(path)).startswith(allowed):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)
sys.addaudithook(refuse)
from rdahw.cli import main
main(sys.argv[2:])
"""
ENSEMBLE = ("train", "--model", "ensemble:tables=4,inputs=2", "--epochs", "1", "--out", "m.rdahw", "--json")


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No home, and a folder for temporary files."""
    for name in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "LOCALAPPDATA", "USERPROFILE"):
        monkeypatch.setenv(name, "/dev/null/nobody")
    for name in ("NUMBA_CACHE_DIR", "YOWASP_CACHE_DIR", "MPLCONFIGDIR"):
        monkeypatch.delenv(name, raising=False)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    return temporary


def read_only(folder: Path, *arguments: str, allowed: str | None = None) -> Ran:
    """Run a command in ``folder`` that may write below it only, or below ``allowed``."""
    words = [sys.executable, "-P", "-c", READ_ONLY, allowed or str(folder), *arguments]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    return Ran(done.returncode, done.stdout, done.stderr)


def nowhere(folder: Path, *arguments: str) -> Ran:
    """Run a command in ``folder`` that may write nowhere."""
    return read_only(folder, *arguments, allowed="/dev/null/nowhere")


@pytest.mark.slow
def test_kernels_are_kept_among_the_temporary_files(homeless: Path, tmp_path: Path) -> None:
    ran = read_only(tmp_path, *ENSEMBLE)
    assert (ran.code, "Traceback" in ran.err) == (0, False), ran.err
    (folder,) = homeless.glob("rdahw-*/numba")
    assert list(folder.rglob("*.nbi"))
    assert folder.parent.stat().st_mode & 0o077 == 0
    kept = {path: path.stat().st_mtime_ns for path in folder.rglob("*.nbc")}
    assert read_only(tmp_path, *ENSEMBLE).json["parameters_sha256"] == ran.json["parameters_sha256"]
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.nbc")} == kept, "it was compiled again"


def test_no_place_for_kernels_is_one_sentence(run: Runner, homeless: Path, tmp_path: Path) -> None:
    run.ok(*ENSEMBLE)
    ran = nowhere(tmp_path, "eval", "m.rdahw")
    assert ran.code == 1, ran.err
    assert "no cache and no temporary files can be written" in ran.error
    assert ran.error.endswith("set NUMBA_CACHE_DIR to a folder that can be written")


def test_doctor_says_where_the_caches_are(homeless: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = read_only(tmp_path, "doctor", "--json")
    caches = {row["name"]: row["found"] for row in ran.json["checks"] if row["kind"] == "cache"}
    assert sorted(caches) == ["NUMBA_CACHE_DIR", "YOWASP_CACHE_DIR"]
    for found in caches.values():
        assert found.startswith(str(homeless))
        assert found.endswith(" (temporary)")
    for name in caches:
        monkeypatch.setenv(name, str(tmp_path / name))
    ran = read_only(tmp_path, "doctor", "--json")
    for row in ran.json["checks"]:
        if row["kind"] == "cache":
            assert row["found"].startswith(str(tmp_path / row["name"]))
    for name in caches:
        monkeypatch.delenv(name)
    ran = nowhere(tmp_path, "doctor", "--json")
    assert ran.code == 3
    assert "NUMBA_CACHE_DIR, YOWASP_CACHE_DIR" in ran.error
    assert (
        "NUMBA_CACHE_DIR is missing: set NUMBA_CACHE_DIR to a folder that can be written"
        in nowhere(tmp_path, "doctor").out
    )


@pytest.mark.parametrize(
    ("command", "code"),
    [(ENSEMBLE, 1), ((*ENSEMBLE, "--engine", "reference"), 0), (("train", "--epochs", "1", "--json"), 0)],
)
def test_without_numbas_compiler(tmp_path: Path, command: tuple[str, ...], code: int) -> None:
    words = [sys.executable, "-P", "-m", "rdahw.cli", *command]
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    sentence = "NUMBA_DISABLE_JIT is set, and this needs numba's compiler; unset it and start again"
    assert json.loads(done.stdout).get("error") == (sentence if code else None)
    assert "Traceback" not in done.stderr


CLASSIFY = """
from rdahw import RDAClassifier
RDAClassifier(tables=4, epochs=1).fit([[0, 1], [1, 0]], [0, 1]).predict([[0, 1]])
"""


@pytest.mark.parametrize("words", [("-m", "rdahw.cli", "eval", "m.rdahw"), ("-c", CLASSIFY)])
def test_what_needs_numbas_compiler_says_so(run: Runner, words: tuple[str, ...]) -> None:
    """Neither has an option for another engine."""
    run.ok(*ENSEMBLE)
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    command = [sys.executable, "-P", *words]
    done = subprocess.run(command, cwd=run.folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.endswith("NUMBA_DISABLE_JIT is set, and this needs numba's compiler; unset it and start again\n")


def test_what_matplotlib_says_of_its_caches_is_not_shown(run: Runner, homeless: Path, tmp_path: Path) -> None:
    run.ok("train", "--out", "m.rdahw")
    ran = read_only(tmp_path, "report", "m.rdahw")
    assert ran.code == 0, ran.err
    assert "atplotlib" not in ran.err


def test_difference_of_a_declared_surrogate_says_so(run: Runner) -> None:
    (run.folder / "sur.py").write_text(
        "from rdahw import Bits, trace, custom_reverse\n"
        "sign = custom_reverse(trace(lambda x: x[-1], x=Bits(2)), trace(lambda x, dy: dy.repeat(2), x=Bits(2), "
        "dy=Bits(1)), name='sign', exact=False)\n"
        "def m(inputs, outputs): return trace(lambda theta, x: sign(theta) ^ x[:1], theta=Bits(2), x=Bits(2))\n"
    )
    ran = run("prove", "sur.py:m", "--inputs", 2, "--what", "difference")
    assert ran.code == 1
    assert "The reverse derivative of 'sign' is a declared surrogate" in ran.out
    assert "as in x AND x" not in ran.out


def test_gateware_of_a_wide_model_names_options_that_exist(run: Runner) -> None:
    ran = run("prove", "mask", "--inputs", 65536, "--what", "gateware", "--json")
    assert ran.code == 1
    (claim,) = ran.json["claims"]
    assert "a wire of the circuit has 65536 bits, and Amaranth takes at most 65535; take a smaller" in claim["reason"]
    assert "--inputs" in run.ok("prove", "--help").out
    for command in ("export", "synth"):
        assert f"rdahw {command} --inference" in claim["reason"]
        assert "--inference" in run.ok(command, "--help").out
