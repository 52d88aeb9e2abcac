"""``rdahw train``: the paper's experiments, what is printed and saved, and every option."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
from golden_files import golden as golden_file

from rdahw.data import encode, fit_binariser, load
from rdahw.families import find_family
from rdahw.family import Task
from rdahw.random import permutation, stream
from rdahw.saved import load_model
from rdahw.sim.engines import make_engine
from rdahw.state import pack_bits
from rdahw.training import Examples, Schedule, Training

GOLDEN = json.loads(golden_file("iris.json").read_text())
CLASSES = {
    "two-class": ["Iris-setosa", "Iris-versicolor"],
    "three-class": ["Iris-setosa", "Iris-versicolor", "Iris-virginica"],
}

EIGHT = "a,b,c,label\n" + "".join(
    f"{i & 1},{i >> 1 & 1},{i >> 2},{'odd' if i.bit_count() & 1 else 'even'}\n" for i in range(8)
)


@pytest.fixture
def parity(tmp_path):
    """A table of three bits and their parity."""
    (tmp_path / "parity.csv").write_text(EIGHT)
    return "parity.csv"


# The paper


@pytest.mark.parametrize(
    ("golden", "percent"),
    list(zip(GOLDEN, ["98.0", "98.0", "73.3", "73.3"], strict=True)),
    ids=[golden["name"] for golden in GOLDEN],
)
@pytest.mark.parametrize("engine", ["reference", "packed"])
def test_iris_gives_the_bits_of_the_paper(run, golden, percent, engine):
    kind, code = golden["name"].split()
    classes = ["--classes", ",".join(CLASSES[kind])] if kind == "two-class" else []
    chosen = [] if engine == "reference" else ["--engine", engine]
    result = run.ok("train", "--sim", "--data", "iris", "--labels", code, *classes, *chosen, "--json").json
    assert result["engine"] == engine
    assert result["parameters"] == golden["final_parameters"]
    assert result["parameter_bits"] == golden["parameter_bits"]
    assert result["updates"] == len(golden["train"])
    assert f"{100 * result['test_accuracy']:.1f}" == percent
    assert result["test_accuracy"] == golden["accuracy"]
    assert result["test_correct"] == sum(
        y == predicted for (_, y), predicted in zip(golden["test"], golden["test_predictions"], strict=True)
    )
    assert "best_update" not in result


@pytest.mark.parametrize("engine", ["reference", "packed"])
@pytest.mark.parametrize("golden", GOLDEN, ids=[golden["name"] for golden in GOLDEN])
def test_every_update_on_iris_gives_the_bits_of_the_paper(golden, engine):
    kind, code = golden["name"].split()
    dataset = load("iris", classes=CLASSES[kind])
    binariser = fit_binariser(dataset)
    parts, made = [], []
    for part in (dataset.train, dataset.test):
        x, y = binariser.transform(part.features), encode(part.labels, len(CLASSES[kind]), code)
        parts.append([[number(a), number(b)] for a, b in zip(x, y, strict=True)])
        made.append(Examples(x, part.labels))
    assert parts == [golden["train"], golden["test"]]
    train, test = made
    spec = find_family("lookup").spec(Task.of(dataset.schema, binariser), labels=code)
    training = Training(make_engine(spec, engine), Schedule(), train)
    after_each = [training.parameters] + [training.engine.state["parameters"] for _ in training.run(1)]
    assert [format(number(parameters), "x") for parameters in after_each] == golden["parameters_after_each_update"]
    # All output bits, also those that are the code of no class.
    assert [number(row) for row in training.engine.runner.predict(test.x)] == golden["test_predictions"]
    predicted = training.engine.predict(training.prepare(test))
    assert int((predicted == test.labels).sum()) == golden["test_correct"]


def number(bits):
    return int.from_bytes(pack_bits(bits), "little")


def test_mnist_zero_against_one_by_the_rules_of_the_paper(run, mnist_folder, monkeypatch):
    monkeypatch.setenv("RDAHW_DATA", str(mnist_folder.parent))
    command = "train --sim --data mnist --classes 0,1 --labels binary --binarise threshold=32 --model mask"
    result = run.ok(*command.split(), "--validation", 1265, "--updates", 999, "--json").json
    assert f"{100 * result['test_accuracy']:.1f}" == "99.2"
    assert (result["test_examples"], result["train_examples"]) == (2115, 11400)
    assert result["test_correct"] / 2115 == result["test_accuracy"]
    assert (result["updates"], result["parameter_bits"], result["validation_examples"]) == (999, 784, 1265)
    assert 0 < result["best_update"] <= 999
    # What was saved is what was measured: the best parameters, not the last.
    measured = run.ok("eval", result["out"], "--json").json
    assert (measured["correct"], measured["examples"]) == (result["test_correct"], 2115)
    saved = load_model(run.folder / result["out"])
    assert saved.progress.best.update == result["best_update"]
    assert (saved.parameters == saved.progress.best.parameters).all()
    assert (saved.parameters != saved.state["parameters"]).any()
    assert f"{number(saved.parameters):x}" == result["parameters"]


# What is printed


def test_what_a_person_sees(run):
    ran = run.ok("train", "--sim")
    assert [line.split()[0] for line in ran.out.splitlines()] == ["learned", "test", "theta", "saved"]
    assert "73.3 % right (55 of 75)" in ran.out
    assert "0xb00001310004 (48 bits)" in ran.out
    assert ran.err.splitlines() == [
        "iris: 75 examples to learn, lookup 4 -> 3, 48 parameter bits",
        "next: rdahw show iris-lookup.rdahw, rdahw eval iris-lookup.rdahw",
    ]


def test_quiet_and_verbose(run):
    assert run.ok("train", "-q").err == ""
    assert "bits by midrange, labels one-hot" in run.ok("train", "-v").err
    assert "checkpoint after update 75" in run.ok("train", "-v", "--checkpoint", 0).err


def test_json_is_one_object_and_the_log_is_on_stderr(run):
    ran = run.ok("train", "--json")
    assert ran.out.count("\n") == 1
    assert {"test_accuracy", "test_correct", "updates", "parameter_bits", "parameters"} <= ran.json.keys()
    assert "75 examples to learn" in ran.err


def test_without_a_test_part(run, parity):
    ran = run.ok("train", "--model", "lookup", "--data", parity)
    assert "test      none: give --test FILE or --split FRACTION" in ran.out
    assert ran.err.endswith("rdahw eval parity-lookup.rdahw --data FILE\n")
    result = run.ok("train", "--model", "lookup", "--data", parity, "--json").json
    assert (result["test_accuracy"], result["test_correct"], result["test_examples"]) == (None, None, 0)


def test_a_test_file_and_a_split(run, parity):
    result = run.ok("train", "--model", "lookup", "--data", parity, "--test", parity, "--json").json
    assert (result["test_accuracy"], result["test_correct"], result["test_examples"]) == (1.0, 8, 8)
    result = run.ok("train", "--model", "lookup", "--data", parity, "--split", 0.25, "--json").json
    assert (result["train_examples"], result["test_examples"]) == (6, 2)


def test_parameters_are_written_from_wire_0_up(run, parity):
    result = run.ok("train", "--model", "lookup", "--data", parity, "--labels", "binary", "--json").json
    assert result["parameters"] == format(0b10010110, "x")  # the truth table of parity, as even is class 0


def test_many_parameters_are_told_by_their_checksum(run, tmp_path, monkeypatch):
    (tmp_path / "wide.csv").write_text("".join(f"{','.join(format(i, '012b'))},{i % 2}\n" for i in range(1, 40)))
    result = run.ok("train", "--model", "lookup", "--data", "wide.csv", "--json").json  # 2 * 2^12 = 8,192 parameters
    packed = pack_bits(load_model(tmp_path / "wide-lookup.rdahw").parameters)
    assert result["parameter_bits"] == 8192
    assert result["parameters_sha256"] == hashlib.sha256(packed).hexdigest()
    assert "parameters" not in result
    result = run.ok("train", "--model", "lookup", "--data", "wide.csv", "--labels", "binary", "--json").json
    assert result["parameter_bits"] == 4096
    assert len(result["parameters"]) > 900
    packed = pack_bits(load_model(tmp_path / "wide-lookup.rdahw").parameters)
    assert result["parameters_sha256"] == hashlib.sha256(packed).hexdigest()
    assert result["parameters"] == format(int.from_bytes(packed, "little"), "x")


# Options


def test_batches_epochs_updates_and_shuffling(run, parity):
    def updates(*options):
        return run.ok("train", "--model", "lookup", "--data", parity, "--json", *options).json["updates"]

    assert updates("--batch", 3) == 3
    assert updates("--batch", 3, "--epochs", 2) == 6
    assert updates("--batch", 3, "--epochs", 2, "--updates", 4) == 4
    assert updates("--epochs", 2, "--updates", 999) == 16
    iris = run.ok("train", "--json").json["parameters"]
    assert run.ok("train", "--no-shuffle", "--json").json["parameters"] == iris
    shuffled = {run.ok("train", "--shuffle", "--seed", seed, "--json").json["parameters"] for seed in (0, 1)}
    assert len(shuffled | {iris}) == 3


def test_shuffle_takes_the_documented_order(run, parity, tmp_path):
    run.ok(
        "train", "--model", "lookup", "--data", parity, "--labels", "binary", "--shuffle", "--seed", 7, "--updates", 3
    )
    seen = permutation(stream(7, "shuffle", 0), 8)[:3]
    learned = load_model(tmp_path / "parity-lookup.rdahw").parameters
    assert np.flatnonzero(learned).tolist() == sorted(int(i) for i in seen if int(i).bit_count() & 1)


def test_validation_keeps_the_best(run):
    result = run.ok("train", "--shuffle", "--validation", 10, "--json").json
    assert (result["train_examples"], result["validation_examples"]) == (65, 10)
    assert 0 <= result["validation_correct"] <= 10
    assert result["best_epoch"] == result["best_update"] // 65
    percent = f"{10 * (right := result['validation_correct']):.1f} % right ({right} of 10)"
    assert (
        f"after update {result['best_update']}: validation {percent}\n"
        in run.ok("train", "--shuffle", "--validation", 10).out
    )


def test_validation_after_every_epoch(run):
    command = ("train", "--shuffle", "--validation", 10, "--score", "epoch", "--epochs", 4)
    result = run.ok(*command, "--json").json
    correct = [row["validation_correct"] for row in result["curve"]]
    best = max(range(4), key=lambda i: (correct[i], i))
    assert (result["best_epoch"], result["best_update"]) == (best + 1, 65 * (best + 1))
    assert result["validation_correct"] == correct[best]
    ran = run.ok(*command)
    assert (
        f"best      epoch {best + 1}: validation {10 * correct[best]:.1f} % right ({correct[best]} of 10)\n" in ran.out
    )
    assert [line.split()[1] for line in ran.err.splitlines() if line.startswith("epoch")] == ["1", "2", "3", "4"]
    assert "updates" not in result["curve"][0]  # circuits do not count how many examples asked for a change


def test_the_default_name_of_the_output(run, parity, tmp_path):
    (tmp_path / "models.py").write_text("from rdahw import lookup_model as mine\n")
    assert run.ok("train", "--model", "lookup", "--data", f"./{parity}", "--json").json["out"] == "parity-lookup.rdahw"
    assert run.ok("train", "--data", parity, "--model", "models.py:mine", "--json").json["out"] == "parity-mine.rdahw"
    command = ["train", "--labels", "binary", "--classes", "Iris-setosa,Iris-virginica", "--json"]
    assert run.ok(*command, "--model", "mask:k=2").json["out"] == "iris-mask.rdahw"
    assert run.ok("train", "--out", "x.y", "--json").json["out"] == "x.y"
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == [
        "iris-mask.rdahw",
        "models.py",
        "parity-lookup.rdahw",
        "parity-mine.rdahw",
        "parity.csv",
        "x.y",
    ]


def test_a_model_of_the_users_own_learns_and_may_print(run, parity, tmp_path):
    (tmp_path / "models.py").write_text(
        "from rdahw import Bits, trace\n"
        "print('hello from the file')\n"
        "def affine(inputs, outputs):\n"
        "    assert outputs == 1\n"
        "    return trace(lambda theta, x: (theta[:inputs] & x).popcount()[0] ^ theta[inputs],\n"
        "                 theta=Bits(inputs + 1), x=Bits(inputs))\n"
    )
    ran = run.ok(
        "train", "--data", parity, "--labels", "binary", "--model", "models.py:affine", "--json", "--epochs", 9
    )
    assert ran.json["parameter_bits"] == 4
    assert "hello from the file" in ran.err
    # The circuit is in the saved model, so the file is needed no more.
    (tmp_path / "models.py").unlink()
    assert run.ok("eval", "parity-affine.rdahw", "--data", parity, "--json").json["examples"] == 8


def test_provenance(run, parity, tmp_path):
    run.ok("train", "--model", "lookup", "--data", parity, "--seed", 5)
    saved = load_model(tmp_path / "parity-lookup.rdahw")
    assert saved.provenance["data_sha256"] == hashlib.sha256(EIGHT.encode()).hexdigest()
    assert saved.provenance["options"]["seed"] == 5
    assert saved.provenance["options"]["binarise"] == "midrange"
    assert saved.provenance["command"] == "rdahw train"
    assert saved.provenance["package_version"]
    assert saved.is_finished
    assert saved.schema.label_names == ("even", "odd")


# Going on


def test_resume_trains_on_with_the_options_of_the_first_part(run, parity):
    training = ("train", "--model", "lookup", "--data", parity, "--batch", 3, "--shuffle")
    whole = run.ok(*training, "--epochs", 4, "--out", "whole", "--json").json
    run.ok(*training, "--epochs", 2, "--updates", 2, "--out", "part")
    ran = run.ok("train", "--resume", "part", "--updates", 11, "--epochs", 4, "--json")
    assert ran.json["out"] == "part"
    assert (ran.json["resumed_from_update"], ran.json["updates"], ran.json["batch"]) == (2, 11, 3)
    assert (ran.json["resumed_from_example"], ran.json["examples"]) == (6, 30)
    assert "continuing after update 2 of 11" in ran.err
    rest = run.ok("train", "--resume", "part", "--updates", 99, "--json").json
    assert (rest["resumed_from_update"], rest["updates"]) == (11, 12)
    assert rest["parameters"] == whole["parameters"]


def test_another_engine_goes_on_to_the_same_bits(run):
    whole = run.ok("train", "--epochs", 3, "--shuffle", "--json").json
    run.ok("train", "--epochs", 3, "--shuffle", "--updates", 100, "--engine", "packed", "--out", "part.rdahw")
    ran = run.ok("train", "--resume", "part.rdahw", "--updates", 225, "--json").json
    assert (ran["resumed_from_update"], ran["updates"], ran["engine"]) == (100, 225, "reference")
    assert ran["parameters"] == whole["parameters"]


def test_a_stride_is_the_order_of_the_examples(run, parity, tmp_path):
    run.ok("train", "--model", "lookup", "--data", parity, "--labels", "binary", "--stride", 3, "--updates", 3)
    learned = load_model(tmp_path / "parity-lookup.rdahw").parameters
    assert np.flatnonzero(learned).tolist() == [i for i in (0, 3, 6) if i.bit_count() & 1]
    ran = run("train", "--model", "lookup", "--data", parity, "--stride", 6)
    assert ran.code == 2
    assert "a stride of 6 leaves out examples: it and their number 8 are both divisible by 2" in ran.error


def test_resume_of_what_is_finished_changes_nothing(run):
    before = run.ok("train", "--json").json
    after = run.ok("train", "--resume", "iris-lookup.rdahw", "--json").json
    assert (after["parameters"], after["updates"]) == (before["parameters"], 75)
    assert after["resumed_from_update"] == 75
    ran = run.ok("train", "--resume", "iris-lookup.rdahw")
    assert "learned   0 examples" in ran.out
    assert "nothing to continue: 75 of 75 updates are done; ask for more with --epochs" in ran.err


def test_fewer_epochs_than_are_done_are_refused(run):
    """The model would be saved as one of fewer epochs, and it is not."""
    run.ok("train", "--epochs", 4)
    before = (run.folder / "iris-lookup.rdahw").read_bytes()
    for length in (("--epochs", 2), ("--updates", 299)):
        ran = run("train", "--resume", "iris-lookup.rdahw", *length)
        assert ran.code == 2
        assert ran.error.startswith("300 updates are done already, and ")
        assert ran.error.endswith("ask for more with --epochs or --updates, or leave both out")
    assert (run.folder / "iris-lookup.rdahw").read_bytes() == before
    assert run.ok("train", "--resume", "iris-lookup.rdahw", "--epochs", 5, "--json").json["updates"] == 375


def test_resume_of_a_number_of_updates_says_what_stops_it(run):
    run.ok("train", "--updates", 40)
    ran = run.ok("train", "--resume", "iris-lookup.rdahw", "--epochs", 3)
    sentence = "40 of 40 updates are done, and the training ends after --updates 40; ask for more with --updates"
    assert f"nothing to continue: {sentence}" in ran.err
    more = run.ok("train", "--resume", "iris-lookup.rdahw", "--epochs", 3, "--updates", 90, "--json").json
    assert (more["resumed_from_update"], more["updates"]) == (40, 90)


def test_resume_where_the_data_have_moved(run, parity, tmp_path):
    run.ok("train", "--model", "lookup", "--data", parity, "--test", parity, "--updates", 3)
    (tmp_path / "new").mkdir()
    (tmp_path / parity).rename(tmp_path / "new" / parity)
    assert run("train", "--resume", "parity-lookup.rdahw").code == 2
    moved = ["--data", f"new/{parity}", "--test", f"new/{parity}"]
    result = run.ok("train", "--resume", "parity-lookup.rdahw", *moved, "--updates", 8, "--json").json
    assert (result["resumed_from_update"], result["updates"], result["test_correct"]) == (3, 8, 8)


def test_resume_of_a_checkpoint_saves_to_the_name_without_it(run, tmp_path):
    for name in ("a.rdahw.checkpoint", "a.rdahw.checkpoint.previous"):
        run.ok("train", "--updates", 5, "--out", name)
        assert run.ok("train", "--resume", name, "--updates", 9, "--json").json["out"] == "a.rdahw"
    run.ok("train", "--updates", 5, "--out", ".checkpoint")
    assert run.ok("train", "--resume", ".checkpoint", "--json").json["out"] == ".checkpoint"


def test_the_checkpoint_of_another_run_is_kept(run, tmp_path):
    (tmp_path / "iris-lookup.rdahw.checkpoint").write_bytes(b"hours of work")
    ran = run.ok("train")
    assert "kept the checkpoint of an earlier run as iris-lookup.rdahw.checkpoint.previous" in ran.err
    assert (tmp_path / "iris-lookup.rdahw.checkpoint.previous").read_bytes() == b"hours of work"
    assert not (tmp_path / "iris-lookup.rdahw.checkpoint").exists()


def test_a_run_leaves_no_checkpoint(run, tmp_path):
    run.ok("train", "--checkpoint", 0)
    assert [path.name for path in tmp_path.iterdir()] == ["iris-lookup.rdahw"]
