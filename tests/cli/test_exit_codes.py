"""docs/exit-codes.md, row by row."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from running import finish, lower_priority, start

from rdahw.data import _named

DOCUMENT = Path(__file__).parents[2] / "docs" / "exit-codes.md"
TESTED = {}


def row(code):
    """Mark the test of a row."""

    def mark(test):
        TESTED[code] = test
        return test

    return mark


@row(0)
def test_done(run):
    assert run("train").code == 0
    assert run("--help").code == 0


@row(1)
def test_the_data_failed(run, tmp_path):
    (tmp_path / "x.csv").write_text("a,label\n1,p\nx,q\n2,q\n")
    ran = run("train", "--model", "lookup", "--data", "x.csv", "--json")
    assert (ran.code, ran.json) == (1, {"error": ran.error, "exit_code": 1})
    assert "'x' is not a number" in ran.error


@row(2)
@pytest.mark.parametrize(
    "command",
    [
        "train --no-such-option",
        "train --batch 0",
        "train --split 0.5 --test x.csv",
        "train --data missing.csv",
        "train --data here.csv --test missing.csv",
        "train --data missing-name",
        "train --model missing",
        "train --model missing.py:x",
        "train --optimiser missing",
        "train --resume missing",
        "eval missing",
        "eval",
        "show missing",
        "completion csh",
    ],
)
def test_usage(run, tmp_path, command):
    (tmp_path / "here.csv").write_text("a,label\n1,p\n2,q\n")
    ran = run(*command.split(), "--json")
    assert (ran.code, ran.json) == (2, {"error": ran.error, "exit_code": 2})
    assert ran.error.endswith("?") or "missing" in ran.error or "Traceback" not in ran.err


@row(3)
def test_a_data_set_is_missing(run, tmp_path, monkeypatch):
    monkeypatch.setenv("RDAHW_DATA", str(tmp_path))
    monkeypatch.setattr(_named, "_cache", lambda name: tmp_path / "cache")
    images = _named.IMAGES["mnist"]
    monkeypatch.setitem(_named.IMAGES, "mnist", type(images)(images.record, images.label_names, images.files, ()))
    ran = run("train", "--data", "mnist", "--json")
    assert (ran.code, ran.json) == (3, {"error": ran.error, "exit_code": 3})
    assert "put its files" in ran.error


@row(70)
def test_a_bug(run, monkeypatch, tmp_path):
    def broken(*arguments):
        raise RuntimeError("something impossible")

    monkeypatch.setattr("rdahw.sim.engines.ReferenceEngine.train", broken)
    (tmp_path / "iris-lookup.rdahw").write_bytes(b"before")
    ran = run("train", "--json")
    assert ran.code == 70
    assert "Traceback (most recent call last):" in ran.err
    assert "RuntimeError: something impossible" in ran.err
    assert ran.err.splitlines()[-1] == "Error: this is a bug of rdahw; please report it with the lines above"
    assert ran.json == {"error": "RuntimeError: something impossible", "exit_code": 70}
    assert (tmp_path / "iris-lookup.rdahw").read_bytes() == b"before"


@row(130)
def test_ctrl_c_keeps_what_was_learned(run, tmp_path):
    options = ["train", "--shuffle", "--epochs", 80, "--checkpoint", 1000, "--json"]
    process = start(*options, folder=tmp_path, preexec_fn=lower_priority)
    assert process.stderr is not None
    assert "examples to learn" in process.stderr.readline()  # the log: the training begins
    process.send_signal(signal.SIGINT)
    ran = finish(process)
    assert ran.code == 130
    found = re.fullmatch(
        r"stopped after update (\d+) of 6000; continue with rdahw train --resume (\S+)", ran.json["error"]
    )
    assert found is not None
    assert ran.json["exit_code"] == 130
    assert ran.err == f"Interrupted: {ran.json['error']}\n"
    assert not (tmp_path / "iris-lookup.rdahw").exists()
    rest = run.ok("train", "--resume", found[2], "--json").json
    assert rest["resumed_from_update"] == int(found[1])
    whole = run.ok(*options, "--out", "whole").json
    assert (rest["updates"], rest["parameters"]) == (6000, whole["parameters"])


def test_ctrl_c_before_the_training(run, monkeypatch):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("rdahw.data.load", interrupted)
    ran = run("train", "--json")
    assert (ran.code, ran.err.strip()) == (130, "Interrupted: stopped by Ctrl-C")
    assert ran.json == {"error": "stopped by Ctrl-C", "exit_code": 130}


def test_ctrl_c_while_an_object_is_deleted(run, monkeypatch):
    """Python discards what ``__del__`` raises."""

    class Part:
        def __del__(self):
            raise KeyboardInterrupt

    def interrupted(*arguments, **options):
        Part()
        while True:
            threading.Event().wait(0.05)

    before = sys.unraisablehook
    monkeypatch.setattr("rdahw.data.load", interrupted)
    ran = run("train")
    assert (ran.code, ran.err.strip()) == (130, "Interrupted: stopped by Ctrl-C")
    assert sys.unraisablehook is before


def test_other_exceptions_while_an_object_is_deleted_are_told_as_before(run, monkeypatch):
    class Part:
        def __del__(self):
            raise ValueError

    told = []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: told.append(unraisable.exc_type))
    monkeypatch.setattr("rdahw.data.load", lambda *arguments, **options: Part() and None)
    run("train")
    assert told == [ValueError]


def test_a_second_ctrl_c_stops_at_once(run, monkeypatch):
    def slow(engine, x, y):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("the second one is an exception")

    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr("rdahw.sim.engines.ReferenceEngine.train", slow)
    assert run("train").code == 130
    assert signal.getsignal(signal.SIGINT) is before


def test_every_row_of_the_document_has_a_test():
    rows = re.findall(r"^\| (\d+) \|", DOCUMENT.read_text(), re.MULTILINE)
    assert rows == [str(code) for code in sorted(TESTED)]


def test_not_enough_memory_is_no_bug(run, monkeypatch):
    def greedy(*arguments):
        raise MemoryError

    monkeypatch.setattr("rdahw.sim.engines.ReferenceEngine.train", greedy)
    ran = run("train")
    assert ran.code == 1
    assert "there is not enough memory" in ran.error


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("command", [["datasets"], ["train", "--json"], ["train", "--bad", "--json"], ["show", "mask"]])
def test_a_full_stdout_is_told_and_no_bug(tmp_path, command):
    with open("/dev/full", "w") as full:
        ran = finish(start(*command, folder=tmp_path, stdout=full))
    assert ran.code == (2 if "--bad" in command else 1)
    assert "Error: the output cannot be written (No space left on device)" in ran.err
    assert "Traceback" not in ran.err
    assert "Exception ignored" not in ran.err


@pytest.mark.parametrize("command", ["datasets", "show lookup --text", "doctor --json"])
def test_a_reader_that_has_gone_is_no_error(tmp_path, command):
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as gone:
        ran = finish(start(*command.split(), folder=tmp_path, stdout=gone))
    assert (ran.code, ran.err) == (1, "")


def test_python_m_is_the_same(tmp_path):
    done = subprocess.run([sys.executable, "-m", "rdahw.cli", "xyzzy"], cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 2
