"""``rdahw train --model ensemble`` and what takes its models: options, what is recorded and printed, going on."""

from __future__ import annotations

import json
import os
import re
import signal
import statistics
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from running import finish, lower_priority, start

from rdahw.cli import _seeds
from rdahw.data import load
from rdahw.data.images import Image, find_image
from rdahw.families import find_family
from rdahw.families.ensemble.rule import PlainEnsemble
from rdahw.family import Task
from rdahw.saved import load_model, save_model
from rdahw.sim.engines import predict
from rdahw.training import Examples, Schedule, Training

SMALL = ("train", "--model", "ensemble:tables=20,inputs=3")


@pytest.fixture
def images(tmp_path: Any) -> str:
    """Noisy 9 x 9 pictures of a horizontal or a vertical bar, 120 to learn and 40 to test."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 160)
    pixels = rng.integers(0, 100, (160, 9, 9)).astype(np.uint8)
    for picture, label, at in zip(pixels, labels, rng.integers(2, 7, 160), strict=True):
        (picture.T if label else picture)[at] += 120
    np.savez(tmp_path / "bars.npz", x=pixels[:120], y=labels[:120], x_test=pixels[120:], y_test=labels[120:])
    return "bars.npz"


# -- what is learned ---------------------------------------------------------------------------------------------------


def test_defaults_and_what_is_recorded(run, tmp_path):
    result = run.ok("train", "--model", "ensemble", "--json").json
    assert (result["tables"], result["inputs"], result["counter"], result["wiring"]) == (256, 6, 6, "any")
    assert (result["margin"], result["dropout"], result["shift"], result["sign"]) == (160, 0.5, 0, False)
    assert (result["epochs"], result["shuffle"], result["binarise"]) == (15, True, "quantile=15")
    assert (result["engine"], result["out"]) == ("compiled", "iris-ensemble.rdahw")
    assert (result["train_examples"], result["examples"], result["parameter_bits"]) == (75, 1125, 256 * 64 * 3 * 6)
    assert result["test_accuracy"] == result["test_correct"] / 75 > 0.85
    assert 0 < result["seconds"] < result["seconds_total"]
    curve = result["curve"]
    assert [row["epoch"] for row in curve] == list(range(1, 16))
    assert all(row["examples"] == 75 and 0 <= row["wrong"] <= row["updates"] <= 75 for row in curve)
    assert [row["seconds"] for row in curve] == sorted(row["seconds"] for row in curve)
    assert curve[-1]["test_accuracy"] == result["test_accuracy"]
    assert "validation_accuracy" not in curve[0]
    saved = load_model(tmp_path / "iris-ensemble.rdahw")
    assert saved.is_finished
    assert saved.provenance["curve"] == curve
    assert saved.provenance["options"] == saved.provenance["options"] | {
        "model": "ensemble",
        "optimiser": "counter=6",
        "margin": 160,
        "dropout": 0.5,
        "augment": None,
        "sign": False,
        "labels": None,
        "stride": 1,
        "binarise": "quantile=15",
    }
    assert (saved.spec.margin, saved.spec.seed, saved.schedule) == (
        160,
        0,
        Schedule(epochs=15, shuffle=True, scored="epoch"),
    )


OPTIONS = "--optimiser counter=4 --margin 9 --dropout 0.25 --augment shift=1 --binarise threshold=50,150 --seed 3"


@pytest.mark.parametrize("sign", [False, True])
@pytest.mark.parametrize("engine", ["reference", "compiled"])
def test_every_option_means_what_the_rule_says(run, tmp_path, images, engine, sign):
    command = ("train", "--data", images, "--model", "ensemble:tables=12,inputs=4,wiring=patch5inset1")
    order = ("--stride", 7, "--epochs", 2) if sign else ("--updates", 200)
    options = (*OPTIONS.split(), *order, *(["--sign"] * sign))
    result = run.ok(*command, *options, "--engine", engine, "--json").json
    data = load(images)
    x = load_model(tmp_path / "bars-ensemble.rdahw").binariser.transform(data.train.features)
    assert find_image(data.columns, data.image_shape, x.shape[1]) == Image(2, 9, 9)
    given = {
        "tables": 12,
        "inputs": 4,
        "wiring": "patch5inset1",
        "counter": 4,
        "margin": 9,
        "dropout": 0.25,
        "shift": 1,
    }
    task = Task(input_bits=162, classes=2, image=Image(2, 9, 9), seed=3)
    spec = find_family("ensemble").spec(task, **given, sign=sign)
    schedule = Schedule(epochs=2, stride=7, seed=3) if sign else Schedule(epochs=15, updates=200, shuffle=True, seed=3)
    training = Training(PlainEnsemble(spec), schedule, Examples(x, data.train.labels))
    for _ in training.run():
        pass
    saved = load_model(tmp_path / "bars-ensemble.rdahw")
    assert saved.spec == spec
    for name, value in training.engine.state.items():
        assert (saved.state[name] == value).all()
    assert (saved.parameters == saved.state["counters"]).all()
    assert result["engine"] == engine
    assert (result["examples"], result["stride"], result["shuffle"]) == ((240, 7, False) if sign else (200, 1, True))
    assert [row["examples"] for row in result["curve"]] == ([120, 120] if sign else [120, 80])


def test_validation_keeps_the_best_epoch(run, tmp_path):
    result = run.ok(*SMALL, "--validation", 25, "--epochs", 8, "--json").json
    correct = [row["validation_correct"] for row in result["curve"]]
    best = max(range(8), key=lambda i: (correct[i], i))  # the later one of equal ones
    assert (result["best_epoch"], result["validation_correct"]) == (best + 1, correct[best])
    assert (result["train_examples"], result["validation_examples"]) == (50, 25)
    assert result["validation_accuracy"] == correct[best] / 25
    assert result["test_correct"] == result["curve"][best]["test_correct"]
    saved = load_model(tmp_path / "iris-ensemble.rdahw")
    kept = saved.progress.best
    assert (kept.epoch, kept.correct, saved.progress.epoch) == (best + 1, correct[best], 8)
    assert (result["best_update"], kept.update) == (50 * (best + 1), 50 * (best + 1))
    shorter = run.ok(*SMALL, "--validation", 25, "--epochs", best + 1, "--out", "x.rdahw", "--json").json
    assert shorter["parameters_sha256"] == result["parameters_sha256"]
    assert run.ok("eval", "iris-ensemble.rdahw", "--json").json["correct"] == result["test_correct"]


def test_a_table_of_words_and_numbers(run, tmp_path):
    rows = "".join(f"{i % 17},{'red' if i % 3 else 'green'},{'hot' if i % 17 > 8 else 'cold'}\n" for i in range(90))
    (tmp_path / "table.csv").write_text("size,colour,label\n" + rows)
    result = run.ok(*SMALL, "--data", "table.csv", "--split", 0.3, "--json").json
    assert result["test_accuracy"] > 0.8
    (tmp_path / "more.csv").write_text("size,colour\n1,red\n16,green\n")
    assert run.ok("eval", "table-ensemble.rdahw", "--data", "more.csv").out == "prediction\ncold\nhot\n"


def test_few_inputs_are_all_read(run):
    result = run.ok("train", "--model", "ensemble", "--binarise", "midrange", "--json").json
    assert result["inputs"] == 4


# -- what is printed ---------------------------------------------------------------------------------------------------


def test_what_a_person_sees(run):
    ran = run.ok(*SMALL, "--epochs", 2, "--validation", 10)
    assert [line.split()[0] for line in ran.out.splitlines()] == ["learned", "best", "test", "theta", "saved"]
    log = ran.err.splitlines()
    assert log[0] == ("iris: 65 examples to learn, ensemble of 20 x 3 tables, 60 -> 3 classes, 480 counters of 6 bits")
    assert log[1].startswith("epoch 1  ")
    assert " % wrong and " in log[2]
    assert ", validation " in log[2]
    assert ", test " in log[2]
    assert ran.out.splitlines()[0].startswith("learned   130 examples in ")
    assert log[3] == "next: rdahw show iris-ensemble.rdahw, rdahw eval iris-ensemble.rdahw"
    assert run.ok(*SMALL, "-q").err == ""


def test_of_many_epochs_some_are_told(run):
    lines = run.ok(*SMALL, "--epochs", 200).err.splitlines()
    told = [line.split()[1] for line in lines if line.startswith("epoch")]
    assert len(told) == 25
    assert told[-1] == "200"


def test_show(run, images):
    run.ok(*SMALL, "--data", images, "--epochs", 3, "--validation", 20)
    out = run.ok("show", "bars-ensemble.rdahw").out
    assert "model     ensemble of 20 x 3 tables, 81 -> 2 classes, 320 counters of 6 bits\n" in out
    assert "81 bits by threshold=32, images of 1 x 9 x 9 (planes, rows, columns)" in out
    settings = "counter 6, margin 12, dropout 0.5, shift 0, mirror False, forget 0, sign False"
    assert f"tables 20, inputs 3, wiring patch8, {settings}" in out
    assert "300 updates on bars.npz, 3 whole epochs, seed 0\n" in out
    result = run.ok("show", "bars-ensemble.rdahw", "--json").json
    assert (result["tables"], result["epochs"], result["finished"], result["image"]) == (20, 3, True, [1, 9, 9])
    assert f"learned   saturated {result['saturated']:.3g}, zero {result['zero']:.3g}\n" in out
    assert f"epoch {result['best_epoch']}, update {100 * result['best_epoch']}, kept" in out
    measured = result["curve"][result["best_epoch"] - 1]
    assert f"{100 * measured['validation_accuracy']:.2f} % right on validation, " in out
    assert "curve" not in result["provenance"]
    assert 0 <= result["saturated"] <= 1


def test_show_of_a_file_that_says_little_of_its_training(run, tmp_path):
    run.ok(*SMALL, "--epochs", 2, "--validation", 20)
    saved = load_model(tmp_path / "iris-ensemble.rdahw")
    for provenance in ({}, {"options": 3, "curve": 4, "seconds": "x"}, {"curve": [{"epoch": 7}, 3], "seconds": -1}):
        save_model(replace(saved, provenance=provenance), tmp_path / "odd.rdahw")
        assert "without a record of the data and the updates, not finished" in run.ok("show", "odd.rdahw").out
        assert "does not say how it was trained" in run("train", "--resume", "odd.rdahw").error
    odd = {**saved.provenance, "curve": [{"epoch": 7}, 3], "seconds": None}
    save_model(replace(saved, provenance=odd), tmp_path / "odd.rdahw")
    curve = run.ok("train", "--resume", "odd.rdahw", "--epochs", 3, "--json").json["curve"]
    assert [row["epoch"] for row in curve] == [3]


def test_eval(run):
    run.ok(*SMALL)
    result = run.ok("eval", "iris-ensemble.rdahw", "--json").json
    assert sum(map(sum, result["confusion"])) == result["examples"] == 75
    assert sum(result["confusion"][c][c] for c in range(3)) == result["correct"]
    assert [row[3] for row in result["confusion"]] == [0, 0, 0]  # an ensemble always says a class


@pytest.mark.parametrize("compiled", [[], ["train_examples", "score_examples"]])
def test_compiling_is_told_once_and_only_where_it_happens(run, monkeypatch, compiled):
    @contextmanager
    def on_compile(report):
        for name in compiled:
            report(name)
        yield

    monkeypatch.setattr("rdahw.sim.jit.on_compile", on_compile)
    log = run.ok(*SMALL, "--epochs", 1).err
    assert log.count("compiling, which takes some seconds the first time") == bool(compiled)
    assert "compiling" not in run.ok(*SMALL, "--epochs", 1, "--engine", "reference").err


# -- several seeds -----------------------------------------------------------------------------------------------------


def test_several_seeds(run, tmp_path):
    result = run.ok(*SMALL, "--seeds", 3, "--seed", 5, "--validation", 15, "--json").json
    assert result["seeds"] == [5, 6, 7]
    outs = [one["out"] for one in result["runs"]]
    assert outs == [f"iris-ensemble-seed{seed}.rdahw" for seed in (5, 6, 7)]
    for name in ("test_accuracy", "validation_accuracy"):
        values = [one[name] for one in result["runs"]]
        assert result[name] == {
            "mean": statistics.mean(values),
            "min": min(values),
            "max": max(values),
            "stdev": statistics.stdev(values),
        }
    alone = run.ok(*SMALL, "--seed", 6, "--validation", 15, "--json").json
    assert alone["parameters_sha256"] == result["runs"][1]["parameters_sha256"]
    assert len({one["parameters_sha256"] for one in result["runs"]}) == 3
    assert load_model(tmp_path / outs[2]).spec.seed == 7
    out = run.ok(*SMALL, "--seeds", 2, "--out", "x.y").out
    assert "x-seed1.y" in out
    assert "test %        mean " in out


@pytest.mark.slow  # starts processes
@pytest.mark.parametrize("more", [(), ("--split", 0.5)], ids=["data once", "data of each seed"])
def test_seeds_at_once_are_those_one_after_another(run, more):
    command = (*SMALL, "--seeds", 2, *more, "--json")
    expected = run.ok(*command).json["runs"]
    ran = run.ok(*command, "--jobs", 2, "--out", "x.rdahw")
    found = ran.json["runs"]
    for name in ("parameters_sha256", "test_accuracy", "seed", "binarise", "epochs"):
        assert [one[name] for one in found] == [one[name] for one in expected]
    assert [load_model(run.folder / one["out"]).spec.seed for one in found] == [0, 1]
    assert {"seed 0, 1 of 2", "seed 1, 2 of 2"} <= set(ran.err.splitlines())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--out", "."), "'.' cannot be written (is a directory); give the name of a file in it"),
        (("--out", ".."), "'..' cannot be written (is a directory)"),
        (("--seed", 2**64 - 1), "--seed 18446744073709551615 and --seeds 2 go beyond the seed 18446744073709551615"),
    ],
)
def test_seeds_that_cannot_be_saved_or_counted(run, options, said):
    assert said in run("train", *SMALL[1:], "--seeds", 2, *options).error
    assert not list(run.folder.iterdir())


def test_what_ctrl_c_leaves_of_seeds_is_said(tmp_path):
    outs = [tmp_path / f"m-seed{seed}.rdahw" for seed in (5, 6, 7, 8)]
    Path(f"{outs[1]}.checkpoint").touch()
    said = _seeds._what_is_kept(outs[:1], outs, 5)
    assert said == (
        f"stopped after 1 of 4 seeds, saved as {outs[0]}; continue with rdahw train --resume {outs[1]}.checkpoint; "
        "train the others with --seed 7 --seeds 2"
    )
    said = _seeds._what_is_kept([outs[0], outs[2]], outs, 5)
    assert said.endswith(f"; train the others without --seeds, with --seed 8 --out {outs[3]}")
    assert "the others" not in _seeds._what_is_kept([outs[0], *outs[2:]], outs, 5)


@pytest.mark.slow
def test_ctrl_c_keeps_finished_seeds_and_checkpoints(run):
    words = ("train", *SMALL[1:], "--epochs", 2000000, "--seeds", 2, "--jobs", 2, "--json", "--checkpoint", 0.1)
    process = start(*words, folder=run.folder)
    paths = [run.folder / f"iris-ensemble-seed{seed}.rdahw.checkpoint" for seed in (0, 1)]
    while not all(path.exists() for path in paths):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    ran = finish(process)
    assert ran.code == 130, ran.err
    assert ran.json["runs"] == []
    assert "stopped after 0 of 2 seeds; continue with rdahw train --resume iris-ensemble-seed0.rdahw.checkpoint" in (
        ran.err
    )
    assert "Traceback" not in ran.err
    for path in paths:
        assert load_model(path).progress.updates > 0


def test_several_seeds_of_a_circuit_with_a_split_each(run):
    command = ("train", "--shuffle", "--split", 0.5, "--json")
    result = run.ok(*command, "--seeds", 2, "--out", "x.rdahw").json
    assert "validation_accuracy" not in result
    for seed, one in enumerate(result["runs"]):
        assert one["parameters"] == run.ok(*command, "--seed", seed).json["parameters"]


# -- going on ----------------------------------------------------------------------------------------------------------


def test_going_on_ends_with_the_bits_of_an_uninterrupted_run(run):
    whole = run.ok(*SMALL, "--epochs", 5, "--validation", 20, "--out", "whole.rdahw", "--json").json
    run.ok(*SMALL, "--epochs", 5, "--validation", 20, "--updates", 130, "--out", "part.rdahw")
    ran = run.ok("train", "--resume", "part.rdahw", "--updates", 275, "--json")
    assert "continuing after update 130 of 275" in ran.err
    for key in ("parameters_sha256", "examples", "best_epoch", "validation_correct", "test_correct", "margin"):
        assert ran.json[key] == whole[key]
    assert ran.json["resumed_from_example"] == 130
    rows = [[{**row, "seconds": 0} for row in result["curve"]] for result in (ran.json, whole)]
    assert rows[0] == rows[1]
    more = run.ok("train", "--resume", "part.rdahw", "--epochs", 7, "--updates", 999, "--json").json
    assert (more["examples"], len(more["curve"])) == (385, 7)
    seconds = [row["seconds"] for row in more["curve"]]
    assert seconds == sorted(seconds)
    assert "nothing to continue: 385 of 385 updates are done" in run.ok("train", "--resume", "part.rdahw").err


def test_ctrl_c_keeps_what_was_learned(run):
    words = [*SMALL, "--epochs", 40, "--engine", "reference", "--checkpoint", 999, "--json"]
    whole = run.ok(*SMALL, "--epochs", 40, "--out", "whole.rdahw", "--json").json
    process = start(*words, folder=run.folder, preexec_fn=lower_priority)
    assert process.stderr is not None
    while "epoch  2" not in process.stderr.readline():
        pass
    process.send_signal(signal.SIGINT)
    ran = finish(process)
    assert ran.code == 130
    assert "stopped after update" in json.loads(ran.out)["error"]
    rest = run.ok("train", "--resume", "iris-ensemble.rdahw.checkpoint", "--json").json
    assert rest["parameters_sha256"] == whole["parameters_sha256"]
    assert (rest["engine"], rest["resumed_from_example"] >= 150) == ("compiled", True)


def test_one_core_and_two_give_the_same_bits(run, images):
    results = []
    for cores in (sorted(os.sched_getaffinity(0))[:1], sorted(os.sched_getaffinity(0))):
        words = ["train", "--model", "ensemble:tables=70", "--data", images, "--augment", "shift=1", "--json"]
        environment = {"NUMBA_NUM_THREADS": str(len(cores))}
        process = start(
            *words,
            *("--out", f"{len(cores)}.rdahw"),
            folder=run.folder,
            env=environment,
            preexec_fn=lambda cores=cores: os.sched_setaffinity(0, cores),
        )
        ran = finish(process)
        assert ran.code == 0, ran.err
        result = ran.json
        for row in result["curve"]:
            del row["seconds"]
        results.append({key: result[key] for key in ("parameters_sha256", "curve", "test_correct", "examples")})
    assert results[0] == results[1]


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ("--loss xor", "loss 'xor' is not supported for model 'ensemble'; use margin=NUMBER"),
        ("--loss margin", "loss 'margin' is not supported for model 'ensemble'; use margin=NUMBER"),
        ("--loss margin=3 --margin 4", "margin was given twice, as 4 and as --loss margin=3; leave one out"),
        ("--model ensemble:margin=3 --margin 4", "margin was given twice, as 3 in 'ensemble:margin=3' and as 4; leave"),
        ("--model ensemble:sign=0 --sign", "sign was given twice, as False in 'ensemble:sign=0' and as True; leave"),
        ("--model ensemble:counter=3,counter=3", "option counter of model 'ensemble' is given twice in 'counter=3,cou"),
        (
            "--margin 268435457",
            "option margin=268435457 of model 'ensemble' is invalid; expected a whole",
        ),
        ("--dropout nan", "option dropout=nan of model 'ensemble' is invalid; expected a number from 0 to 0.9375"),
        ("--dropout 1", "option dropout=1.0 of model 'ensemble' is invalid; expected a number from 0 to 0.9375"),
        ("--augment shift=9", "option shift=9 of model 'ensemble' is invalid; expected a whole number from 0 to 8"),
        ("--optimiser xor", "optimiser 'xor' is not supported for model 'ensemble'; use counter=NUMBER"),
        (
            "--optimiser counter=9",
            "option counter=9 of model 'ensemble' is invalid; expected a whole number from 2",
        ),
        ("--labels binary", "--labels is not supported for model 'ensemble'; leave it out"),
        ("--batch 2", "batch is 2; an ensemble takes examples one at a time: use batch 1"),
        ("--augment flip", "there is no augmentation 'flip'; expected shift=N or mirror"),
        ("--augment shift=1", "the data are not images and cannot be shifted; use shift=0"),
        ("--dropout 0.3", "dropout of an ensemble is 0.3; expected a multiple of 1/16"),
        ("--stride 5", "a stride of 5 leaves out examples: it and their number 75 are both divisible by 5"),
        ("--stride 7 --shuffle", "a stride of 7 and shuffling were both asked for; choose one order"),
        ("--hdl --stages 2", "--stages"),
        ("--engine packed", "engine 'packed' does not run model 'ensemble'; use compiled or reference"),
        ("--seed -1", "seed of an ensemble is -1; expected a whole number from 0"),
        ("--model ensemble:table=3", "model 'ensemble' has no option 'table=3'"),
        ("--model ensemble:wiring=patch3", "wiring 'patch3' needs images and the data are not images; use wiring=any"),
        ("--resume x --seeds 2", "--seeds starts new trainings and --resume continues one; leave one of them out"),
        (
            "--jobs 2",
            "--jobs 2 is for what runs at once, and this is one training; add --seeds N or --shards S, or leave",
        ),
        (
            "--seeds 2 --jobs 2 --device x",
            "--jobs 2 was given with --device, and a board is for one training at a time",
        ),
        ("--data no.csv --shards 2 --jobs 2 --cluster tcp://h:1", "--jobs 2 and --cluster tcp://h:1 were both given; "),
        ("--seeds 2 --jobs 2 --cluster tcp://h:1", "--jobs 2 and --cluster tcp://h:1 were both given; leave --jobs"),
        *(
            (f"--shards 2 {other}", f"--shards 2 learns in software, whole epochs, shuffled; leave it or {other} out")
            for other in ("--hdl", "--no-shuffle", "--updates 9")
        ),
        (
            "--shards 2 --model lookup",
            "models of the family 'lookup' have no counters whose changes could be added; use",
        ),
        ("--shards 2 --forget 9", "forget is 9, and shards have no common order to forget by; leave one out"),
        ("--shards 2 --forget 9 --model ensemble:wiring=grown", "forget is 9, and shards have no common order to"),
        ("--shards 65537 --model grown", "shards is 65537; use 1 to 65536 shards"),
    ],
)
def test_options_that_do_not_go_with_an_ensemble(run, options, sentence):
    ran = run("train", *([] if "--model" in options else ["--model", "ensemble"]), *options.split(), "--json")
    assert ran.code == 2
    assert sentence in ran.error
    assert list(run.folder.iterdir()) == []


@pytest.mark.parametrize("option", ["--margin 3", "--dropout 0.5", "--augment shift=1", "--sign"])
def test_options_of_ensembles_do_not_go_with_a_circuit(run, option):
    ran = run("train", *option.split())
    assert ran.code == 2
    assert ran.error == f"{option.split()[0]} is not supported for model 'lookup'; leave it out"


def test_an_engine_of_ensembles_does_not_run_a_circuit(run):
    ran = run("train", "--engine", "compiled")
    assert (ran.code, ran.error) == (2, "engine 'compiled' does not run model 'lookup'; use reference or packed")


def test_what_a_resumed_training_may_not_change(run):
    run.ok(*SMALL, "--margin", 30)
    run.ok("train", "--resume", "iris-ensemble.rdahw", "--margin", 30)
    ran = run("train", "--resume", "iris-ensemble.rdahw", "--margin", 31)
    assert ran.code == 2
    assert (
        "--margin 31 was given, and 'iris-ensemble.rdahw' was trained with --margin 30; leave --margin out" in ran.error
    )


@pytest.mark.slow
def test_an_ensemble_is_a_circuit_as_any_other_unless_it_is_too_large(run, tmp_path):
    run.ok(*SMALL, "--epochs", 1)
    run.ok("export", "iris-ensemble.rdahw", "--to", "verilog")
    assert re.search(r"module iris_ensemble\(", (tmp_path / "iris-ensemble.v").read_text())
    assert "scatter_words" in run.ok("show", "iris-ensemble.rdahw", "--text").out
    run.ok("train", "--model", "ensemble", "--epochs", 1)
    ran = run("show", "iris-ensemble.rdahw", "--text")
    assert (ran.code, "a circuit takes at most 65536: lower tables or inputs" in ran.error) == (2, True)


# -- binarised ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_binarised_ensemble_is_a_model_as_any_other(run, tmp_path):
    run.ok("train", "--model", "ensemble:tables=6,inputs=2", "--binarise", "thermometer=2", "--epochs", 4)
    ran = run.ok("binarise", "iris-ensemble.rdahw", "--labels", "one-hot", "--json")
    assert ran.json == ran.json | {
        "model": "iris-ensemble.rdahw",
        "tables": 6,
        "inputs": 2,
        "labels": "one-hot",
        "epochs": 0,
        "parameter_bits": 6 * 4 * 3,
        "out": "iris-ensemble-boolean.rdahw",
    }
    name = "iris-ensemble-boolean.rdahw"
    saved = load_model(tmp_path / "iris-ensemble.rdahw")
    test = load("iris").test
    assert test is not None
    signs = predict(replace(saved.spec, sign=True), saved.best_state, saved.binariser.transform(test.features))
    right = int((signs == test.labels).sum())
    assert run.ok("eval", name, "--json").json["correct"] == right
    shown = run.ok("show", name, "--json").json
    assert (shown["labels"], shown["inputs"]) == ("one-hot", [["theta", 72], ["x", 8]])
    run.ok("export", name, "--to", "verilog", "--inference", "--out", "x.v")
    ports = re.search(r"module iris_ensemble_boolean\(([^)]*)\);", (tmp_path / "x.v").read_text())
    assert ports is not None
    assert ports[1].split() == ["input", "[7:0]", "x,", "output", "[2:0]", "y"]
    claims = run.ok("prove", name, "--what", "one-hot,gateware", "--json").json["claims"]
    assert [claim["verdict"] for claim in claims] == ["proved"] * 4
    ran = run("train", "--resume", name)
    assert "was made from a trained model and was not trained itself; resume that model" in ran.error
    assert (
        "is a model of the family 'file', which cannot be binarised; give a model of the family ensemble"
        in run("binarise", name).error
    )


@pytest.mark.slow
def test_a_circuit_of_many_parameters_is_written_and_becomes_gateware_only_with_these_folded_in(run):
    run.ok("train", "--model", "ensemble:tables=400", "--epochs", 1)
    run.ok("binarise", "iris-ensemble.rdahw")
    name = "iris-ensemble-boolean.rdahw"
    sentence = "a wire of the circuit has 76800 bits, and Amaranth takes at most 65535; take a smaller model"
    claims = run("prove", name, "--what", "gateware", "--json").json["claims"]
    assert any(sentence in claim.get("reason", "") for claim in claims)
    assert run.ok("export", name, "--reverse", "--to", "rtlil", "--json").json["what"] == "reverse"
    assert run.ok("export", name, "--to", "rtlil", "--json").json["what"] == "inference"


def test_fine_tuning_learns_through_the_signs(run, tmp_path):
    run.ok(*SMALL, "--epochs", 3, "--seed", 2)
    ran = run.ok("binarise", "iris-ensemble.rdahw", "--epochs", 4, "--out", "tuned.rdahw", "--json")
    saved, data = load_model(tmp_path / "iris-ensemble.rdahw"), load("iris")
    spec = replace(saved.spec, sign=True, margin=1)
    x = saved.binariser.transform(data.train.features)
    schedule = Schedule(epochs=4, shuffle=True, seed=2)
    training = Training(PlainEnsemble(spec), schedule, Examples(x, data.train.labels), start=saved.state)
    for _ in training.run():
        pass
    signs = (training.engine.state["counters"] >= 0).transpose(0, 2, 1).reshape(-1)
    assert (load_model(tmp_path / "tuned.rdahw").parameters == signs).all()
    assert (ran.json["margin"], ran.json["epochs"]) == (1, 4)
    assert run.ok("eval", "tuned.rdahw", "--json").json["correct"] == ran.json["test_correct"]
    assert "epoch 4  " in ran.err


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ("--margin 3", "--margin 3 was given without --epochs; add --epochs N, or leave --margin out"),
        ("--out no/x", "its folder must exist"),
    ],
)
def test_binarising_that_is_refused(run, options, sentence):
    run.ok(*SMALL, "--epochs", 1)
    assert sentence in run("binarise", "iris-ensemble.rdahw", *options.split()).error


def test_fine_tuning_needs_the_data(run, tmp_path):
    run.ok(*SMALL, "--epochs", 1)
    saved = load_model(tmp_path / "iris-ensemble.rdahw")
    for provenance, sentence in (
        ({}, "the model does not name its training data, which --epochs needs; leave --epochs out"),
        ({**saved.provenance, "data_sha256": "0"}, "the data 'iris' have changed since the training; restore them"),
    ):
        save_model(replace(saved, provenance=provenance), tmp_path / "other.rdahw")
        ran = run("binarise", "other.rdahw", "--epochs", 1)
        assert (ran.code, sentence in ran.error) == (1, True)
        assert run.ok("binarise", "other.rdahw").code == 0


# -- MNIST -------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_mnist(run, mnist_folder, monkeypatch, tmp_path):
    """98 % after four epochs; the circuit made of it says what the signs say, on every test image."""
    monkeypatch.setenv("RDAHW_DATA", str(mnist_folder.parent))
    result = run.ok("train", "--data", "mnist", "--model", "ensemble", "--epochs", 4, "--json").json
    assert result["test_accuracy"] > 0.976
    assert (result["wiring"], result["binarise"], result["examples"]) == ("patch8inset2", "threshold=32", 240_000)
    started = time.process_time()
    saved = load_model(tmp_path / result["out"])
    save_model(saved, tmp_path / "again.rdahw")
    assert time.process_time() - started < 2  # some hundredths of a second
    run.ok("binarise", result["out"])
    circuit, data = load_model(tmp_path / "mnist-ensemble-boolean.rdahw"), load("mnist")
    assert data.test is not None
    x = saved.binariser.transform(data.test.features)
    expected = predict(replace(saved.spec, sign=True), saved.best_state, x)
    assert circuit.spec.family != "ensemble"
    assert (predict(circuit.spec, circuit.best_state, x) == expected).all()
    correct = int((expected == data.test.labels).sum())
    assert 9600 < correct == run.ok("eval", "mnist-ensemble-boolean.rdahw", "--json").json["correct"]
