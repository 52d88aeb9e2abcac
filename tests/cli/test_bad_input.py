"""Bad input: one clear sentence, the right exit code, and nothing overwritten."""

from __future__ import annotations

import errno
import json
import os
import resource
import stat
from pathlib import Path

import pytest
from running import Ran, Runner, finish, start

GOOD = "a,b,label\n1,2,yes\n3,4,no\n5,0,yes\n2,2,no\n"
FILES = {
    "good.csv": GOOD,
    "text.csv": GOOD + "3,many,no\n",
    "nan.csv": GOOD + "3,nan,no\n",
    "inf.csv": GOOD + "3,-inf,no\n",
    "empty-cell.csv": GOOD + "3,,no\n",
    "ragged.csv": GOOD + "3,no\n",
    "one-class.csv": "a,b,label\n1,2,yes\n3,4,yes\n",
    "no-rows.csv": "a,b,label\n",
    "empty.csv": "",
    "binary.csv": b"\x89PNG\r\n\x1a\n\xff\xfe",
    "two-columns.csv": "a,label\n1,yes\n2,no\n",
    "many.csv": "".join(f"{','.join(str(i * k % 7) for k in range(1, 23))},{i % 2}\n" for i in range(9)),
}
MODELS = """
from rdahw import Bits, UserError, lookup_model, trace

def fails(inputs, outputs):
    raise ZeroDivisionError("over\\nzero")

def leaves(inputs, outputs):
    raise SystemExit(0)

def refuses(inputs, outputs):
    raise UserError("it is not for today")

def number(inputs, outputs):
    return 3

def alone(inputs, outputs):
    return trace(lambda x: x, x=Bits(inputs))

wide = lookup_model(9, 2)

def tangled(inputs, outputs):
    return trace(lambda theta, x: x if theta else theta, theta=Bits(2), x=Bits(inputs))
"""


@pytest.fixture
def refused(run: Runner):
    """``refused(code, sentence, *arguments)``: the command fails as it should, and leaves every file as it was."""
    for name, content in FILES.items():
        (run.folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    (run.folder / "models.py").write_text(MODELS)
    (run.folder / "syntax.py").write_text("x = 1\ndef f(:\n")
    (run.folder / "raises.py").write_text("import sys\n\nsys.not_there\n")
    (run.folder / "out.rdahw").write_bytes(b"what was learned before")
    (run.folder / "folder").mkdir()

    def check(code: int, sentence: str, *arguments: object) -> Ran:
        before = contents(run.folder)
        ran = run(*arguments, "--json")
        assert sentence in ran.error
        assert ran.code == code
        assert ran.json["error"] == ran.error or "\n" in ran.json["error"]
        assert contents(run.folder) == before
        return ran

    return check


def contents(folder: Path) -> dict[str, bytes | None]:
    return {str(path): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


# Data


@pytest.mark.parametrize(
    ("code", "data", "sentence"),
    [
        (
            2,
            "missing.csv",
            "there is no file 'missing.csv'; give the path of a table, such as CSV or Parquet",
        ),
        (1, "text.csv", "text.csv, line 6, column 'b': 'many' is not a number, and the column is one of numbers"),
        (1, "inf.csv", "inf.csv, line 6, column 'b': '-inf' is not a finite number"),
        (1, "ragged.csv", "ragged.csv, line 6 has 2 cells, expected 3 as in line 1"),
        (1, "one-class.csv", "one-class.csv: every label in column 'label' is 'yes'; expected two classes or more"),
        (1, "no-rows.csv", "no-rows.csv has a header and no examples under it"),
        (1, "empty.csv", "empty.csv is empty; expected a table with a column of labels"),
        (1, "binary.csv", "binary.csv is a single picture, which is not read; give a folder of pictures, or"),
        (1, "folder", "folder holds no picture; expected files such as train/CLASS/1.png"),
        (2, "irs", "there is no data set 'irs' and no file of that name; did you mean 'iris'?"),
        (2, "fashion-mnits", "did you mean 'fashion-mnist'?"),
        (2, "x" * 300, "there is no data set 'xxx"),
        (1, "x" * 300 + ".csv", "cannot be read: file name too long"),
        (2, "xyzzy", "known are 'iris', 'mnist', 'fashion-mnist'"),
        (2, "a\0b.csv", "is not a valid path"),
        (1, "models.py", "models.py"),
    ],
)
def test_data(refused, code, data, sentence):
    refused(code, sentence, "train", "--data", data, "--out", "out.rdahw")


@pytest.mark.parametrize(
    ("code", "options", "sentence"),
    [
        (1, "--label lable", "good.csv has no column 'lable'; did you mean 'label'?"),
        (1, "--label 4", "good.csv has no column 4; expected a name or a number from 1 to 3"),
        (1, "--classes yes,maybe", "the data set 'good' has no class 'maybe'; "),
        (2, "--classes yes", "fewer than two"),
        (2, "--classes yes,yes", "name one class twice"),
        (2, "--test missing.csv", "there is no file 'missing.csv'"),
        (1, "--test two-columns.csv", "two-columns.csv has no column 'b', which the training data had"),
        (1, "--test text.csv", "'many' is not a number"),
        (2, "--test good.csv --split 0.5", "a test file and a split were both given; give one of them"),
        (2, "--split 1", "a split of 1.0 was asked for, expected a fraction between 0 and 1"),
        (1, "--split 0.1", "leaves none for the test part"),
        (2, "--validation 4", "4 of 4 training examples cannot be held out; hold out 1 to 3"),
        (2, "--validation 0", "0 is not in the range x>=1"),
        (2, "--binarise midrage", "there is no binarising rule 'midrage'"),
        (2, "--binarise thermometer=x", "the binarising rule 'thermometer=x' needs a number from 1 to"),
        (2, "--optimiser fastest", "optimiser 'fastest' is unknown; known are 'xor'"),
        (2, "--batch 0", "0 is not in the range x>=1"),
        (2, "--checkpoint nan", "'nan' is not a finite number; give one such as 60"),
        (2, "--labels gray", "'gray' is not one of 'one-hot', 'binary'"),
        (2, "--seed x", "'x' is not a valid integer"),
        (2, "surplus", "Got unexpected extra argument"),
    ],
)
def test_options(refused, code, options, sentence):
    refused(code, sentence, "train", "--model", "lookup", "--data", "good.csv", "--out", "out.rdahw", *options.split())


def test_options_of_a_data_set_by_name(refused):
    refused(2, "a label column was given, and the data set 'iris' has its own", "train", "--label", "species")
    refused(2, "a test file was given, and the data set 'iris' has its own", "train", "--test", "good.csv")


# Models


@pytest.mark.parametrize(
    ("code", "model", "sentence"),
    [
        (
            2,
            "lokup",
            "model 'lokup' is unknown and not of the form FILE.py:NAME; did you mean 'lookup'?",
        ),
        (2, "models.py", "model 'models.py' is unknown and not of the form FILE.py:NAME"),
        (2, "mask:m=3", "model 'mask' has no option 'm=3'; it takes k=NUMBER"),
        (2, "lookup:k=3", "model 'lookup' has no option 'k=3'; it takes labels=TEXT"),
        (1, "mask", "the mask model has one output and the labels have 2 bits; choose two classes"),
        (2, "missing.py:x", "the model file 'missing.py' does not exist"),
        (2, "x" * 300 + ".py:x", "does not exist"),
        (1, "models.py:fials", "'models.py' defines no 'fials'; did you mean 'fails'?"),
        (1, "models.py:fails", "the model file 'models.py' failed: line 5: ZeroDivisionError: over zero"),
        (1, "models.py:leaves", "the model file 'models.py' failed: line 8: SystemExit: 0"),
        (1, "models.py:refuses", "it is not for today"),
        (1, "models.py:number", "models.py:number is a int; expected a circuit or a machine, or a function"),
        (1, "models.py:alone", "has 1 inputs and 1 outputs; expected two inputs, the parameters first, and one output"),
        (1, "models.py:wide", "models.py:wide takes 9 bits and gives 2; the data have 2 and 2"),
        (1, "models.py:tangled", "was used as a Python truth value; its bits are not known yet: use mux()"),
        (1, "syntax.py:f", "the model file 'syntax.py' failed: line 2: SyntaxError: invalid syntax"),
        (1, "raises.py:f", "the model file 'raises.py' failed: line 3: AttributeError: module 'sys' has no attribute"),
    ],
)
def test_model(refused, code, model, sentence):
    refused(code, sentence, "train", "--data", "good.csv", "--model", model, "--out", "out.rdahw")


def test_a_lookup_of_many_inputs_is_refused_with_the_models_that_suit(refused):
    refused(
        1,
        "a lookup of 22 inputs would have 2 * 2^22 parameters; it takes at most 20 inputs: use the model mask (two "
        "classes), or a circuit of your own (FILE.py:NAME)",
        *("train", "--model", "lookup", "--data", "many.csv", "--out", "out.rdahw"),
    )


def test_a_lookup_of_mnist_is_refused(refused, mnist_folder, monkeypatch):
    monkeypatch.setenv("RDAHW_DATA", str(mnist_folder.parent))
    refused(1, "a lookup of 784 inputs", "train", "--data", "mnist", "--out", "out.rdahw")


# Saved models


@pytest.fixture
def saved(run, refused):
    """A whole model as bytes."""
    run.ok("train", "--model", "lookup", "--data", "good.csv", "--out", "saved.rdahw", "--updates", 2)
    return (run.folder / "saved.rdahw").read_bytes()


@pytest.mark.parametrize("command", ["eval", "show", "train --resume"])
def test_model_files_that_are_none(run, refused, saved, command):
    folder, words = run.folder, command.split()
    refused(2, "there is no model file 'none.rdahw'", *words, "none.rdahw")
    refused(2, "there is no model file 'folder.rdahw'", *words, "folder.rdahw")
    refused(1, "cannot be read (file name too long)", *words, "x" * 300 + ".rdahw")
    for name, content, sentence in [
        ("empty", b"", "is not a valid model file, or truncated"),
        ("cut", saved[:-20], "is not a valid model file, or truncated"),
        ("half", saved[: len(saved) // 2], "is not a valid model file, or truncated"),
        ("other", b'{"format": "other"}', "is not a model file; expected a file written by rdahw train"),
        ("list", b"[1, 2]", "is not a model file; expected a file written by rdahw train"),
        ("deep", b"[" * 100_000, "is not a valid model file, or truncated"),
        ("digits", b'{"format": ' + b"9" * 5000 + b"}", "is not a valid model file, or truncated"),
        ("picture", b"\x89PNG\r\n\x1a\n\xff\xfe", "is not a valid model file, or truncated"),
        ("altered", saved.replace(b'"updates": 2', b'"updates": 3', 1), "is damaged: its checksum does not hold"),
        (
            "newer",
            saved.replace(b'"version": 3', b'"version": 4', 1),
            "has format version 4; this rdahw reads versions 1 to 3",
        ),
    ]:
        (folder / f"{name}.rdahw").write_bytes(content)
        assert content != saved
        refused(1, sentence, *words, f"{name}.rdahw")


def test_resume_with_other_data(run, refused, saved):
    refused(
        1,
        "the data 'two-columns.csv' are not those of the first part of this training (checksum ",
        *("train", "--resume", "saved.rdahw", "--data", "two-columns.csv"),
    )
    (run.folder / "good.csv").write_text(GOOD + "9,9,yes\n")
    refused(1, "the data 'good.csv' are not those of the first part", "train", "--resume", "saved.rdahw")
    (run.folder / "good.csv").unlink()
    refused(2, "there is no file 'good.csv'", "train", "--resume", "saved.rdahw")


@pytest.mark.parametrize(
    "options",
    [
        "--batch 2",
        "--labels binary",
        "--model mask",
        "--seed 1",
        "--shuffle",
        "--binarise quantile=2",
        "--validation 1",
    ],
)
def test_resume_with_options_of_another_run(refused, saved, options):
    refused(
        2,
        f"{options} was given, and 'saved.rdahw' was trained with",
        "train",
        "--resume",
        "saved.rdahw",
        *options.split(),
    )


def test_resume_of_a_model_that_does_not_say_how_it_was_trained(run, refused, saved):
    from rdahw.saved import load_model, save_model

    model = load_model(run.folder / "saved.rdahw")
    options = model.provenance["options"]
    for wrong in (None, {}, {**options, "split": "half"}, {**options, "data": 5}, {**options, "batch": True}):
        object.__setattr__(model, "provenance", {"options": wrong})
        save_model(model, run.folder / "odd.rdahw")
        refused(1, "'odd.rdahw' does not say how it was trained", "train", "--resume", "odd.rdahw")
        refused(1, "the model does not name its training data; give data with --data", "eval", "odd.rdahw")
        assert run.ok("eval", "odd.rdahw", "--data", "good.csv", "--json").json["examples"] == 4


# Output


@pytest.mark.parametrize(
    ("out", "sentence"),
    [
        ("missing/x.rdahw", "'missing/x.rdahw' cannot be written (no such file or directory); its folder must exist"),
        ("good.csv/x.rdahw", "'good.csv/x.rdahw' cannot be written (not a directory); its folder must exist"),
        ("folder", "'folder' cannot be written (is a directory); give the name of a file in it"),
        ("x" * 300, "cannot be written (file name too long); choose another file"),
    ],
)
def test_output_that_cannot_be_written(refused, out, sentence):
    refused(1, sentence, "train", "--model", "lookup", "--data", "good.csv", "--out", out)


def test_output_is_tried_before_the_training(refused, monkeypatch):
    monkeypatch.setattr("rdahw.sim.engines.ReferenceEngine.train", lambda *_: pytest.fail("it has begun to train"))
    refused(1, "its folder must exist", "train", "--model", "lookup", "--data", "good.csv", "--out", "missing/x.rdahw")


def test_output_that_is_read_only(run, refused, monkeypatch):
    out = run.folder / "out.rdahw"
    out.chmod(stat.S_IRUSR)
    if os.access(out, os.W_OK):  # root may write to anything
        true_access = os.access
        monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != out and true_access(path, mode))
    sentence = "'out.rdahw' cannot be written (permission denied); choose a place that you may write to"
    refused(1, sentence, "train", "--model", "lookup", "--data", "good.csv", "--out", "out.rdahw")


def test_a_full_disk_at_the_end_loses_nothing(run, refused, monkeypatch, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    monkeypatch.setattr("tempfile.tempdir", str(elsewhere))
    true_replace = os.replace

    def full(source, target):
        if Path(target).parent == run.folder:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        true_replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    sentence = (
        "'out.rdahw' cannot be written (no space left on device); choose a place with enough space; the model was"
    )
    ran = refused(1, sentence, "train", "--model", "lookup", "--data", "good.csv", "--out", "out.rdahw")
    (rescued,) = elsewhere.iterdir()
    assert ran.error.endswith(f"the model was saved as {str(rescued)!r}")
    assert run.ok("eval", rescued, "--data", "good.csv", "--json").json["examples"] == 4


def test_a_full_disk_at_a_checkpoint_does_not_stop_the_training(run, refused, monkeypatch):
    true_fsync, count = os.fsync, []

    def full_at_first(handle):
        count.append(handle)
        if len(count) <= 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        true_fsync(handle)

    monkeypatch.setattr(os, "fsync", full_at_first)
    ran = run.ok("train", "--model", "lookup", "--data", "good.csv", "--out", "out.rdahw", "--checkpoint", 0)
    assert ran.err.count("no checkpoint after update") == 3
    assert "no checkpoint after update 1: " in ran.err
    assert run.ok("eval", "out.rdahw", "--data", "good.csv", "--json").json["examples"] == 4


def test_a_disk_without_space_for_the_model(run, refused):
    """A real limit of the operating system: no file may be larger than 1,000 bytes."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

    before = contents(run.folder)
    command = ["train", "--model", "lookup", "--data", "good.csv", "--out", "out.rdahw", "--checkpoint", 0, "--json"]
    ran = finish(start(*command, folder=run.folder, preexec_fn=limit))
    assert ran.code == 1
    assert ran.error == "'out.rdahw' cannot be written (file too large); choose a place with enough space"
    assert ran.json == {"error": ran.error, "exit_code": 1}
    assert contents(run.folder) == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_device_that_is_full_stays_a_device(refused):
    sentence = "'/dev/full' cannot be written (no space left on device); choose a place with enough space"
    refused(1, sentence, "show", "lookup", "--dot", "/dev/full")
    assert stat.S_ISCHR(os.stat("/dev/full").st_mode)


def test_output_to_a_pipe(run):
    ran = finish(start("show", "lookup", "--dot", "/dev/stdout", "-q", folder=run.folder))
    assert ran.code == 0
    assert ran.out.count("digraph") == 1


# Every failure of the above is told in the same way.


def test_json_holds_the_sentence_of_stderr(refused):
    ran = refused(1, "is not a number", "train", "--model", "lookup", "--data", "text.csv")
    assert json.loads(ran.out) == {"error": ran.error, "exit_code": 1}
