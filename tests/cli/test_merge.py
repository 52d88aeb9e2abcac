"""``rdahw merge``, and ``rdahw train --shards``."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from running import Runner

from rdahw.data import _parts, load
from rdahw.merging import merge_states
from rdahw.saved import load_model
from rdahw.sim.engines import make_engine
from rdahw.training import Examples, Schedule, Training

MODEL = ("--model", "ensemble:tables=20,inputs=3", "--binarise", "threshold=3")
SHARDED = ("train", *MODEL[:2], "--shards", 3, "--epochs", 4, "--validation", 15)


def parts(run: Runner, *more: object) -> list[Path]:
    """Three models of thirds of the examples, and the training data as one file."""
    rng = np.random.default_rng(0)
    rows = [",".join(map(str, x)) + f",{'odd' if x[0] > 3 else 'even'}" for x in rng.integers(0, 7, (90, 4))]
    files = []
    for part in range(3):
        table, out = run.folder / f"part{part}.csv", run.folder / f"part{part}.rdahw"
        table.write_text("\n".join(["a,b,c,d,label", *rows[part * 30 : (part + 1) * 30]]) + "\n")
        run.ok("train", "--data", table.name, *MODEL, *more, "--out", out.name)
        files.append(out)
    return files


@pytest.mark.parametrize("mean", [False, True])
def test_merged_counters_are_the_sums_of_the_changes(run: Runner, mean: bool) -> None:
    files = parts(run)
    ran = run.ok("merge", *(file.name for file in files), "--out", "all.rdahw", "--json", *["--mean"] * mean).json
    merged, models = load_model(run.folder / "all.rdahw"), [load_model(file) for file in files]
    total = sum(model.state["counters"].astype(int) for model in models)
    expected = np.floor(total / 3 + 0.5) if mean else np.clip(total, -32, 31)
    assert np.array_equal(merged.state["counters"], expected)
    assert merged.spec == models[0].spec
    assert ran == {
        "models": [file.name for file in files],
        "start": None,
        "mean": mean,
        "examples": 3 * 30 * 15,
        "counters": total.size,
        "saturated": int(np.isin(expected, (-32, 31)).sum()),
        "out": "all.rdahw",
    }
    assert run.ok("eval", "all.rdahw", "--data", "part2.csv", "--json").json["accuracy"] > 0.9
    refused = run("train", "--resume", "all.rdahw")
    assert (refused.code, "was merged from models of different data" in refused.error) == (1, True)


def test_merging_from_a_trained_model(run: Runner) -> None:
    """Models that both learned from a third one: what that one had is counted once."""
    start, a, b = parts(run)
    run.ok("merge", a.name, b.name, "--start", start.name)
    merged, counters = load_model(run.folder / "merged.rdahw"), [load_model(f).state["counters"] for f in (start, a, b)]
    before, *after = (each.astype(int) for each in counters)
    assert np.array_equal(merged.state["counters"], np.clip(sum(after) - before, -32, 31))


def test_training_starts_from_a_merged_model(run: Runner) -> None:
    first, second, _ = parts(run)
    run.ok("merge", first.name, second.name, "--out", "both.rdahw")
    again = ("train", "--data", "part2.csv", *MODEL, "--start", "both.rdahw", "--out", "on.rdahw", "--json")
    ran = run.ok(*again).json
    both, found = load_model(run.folder / "both.rdahw"), load_model(run.folder / "on.rdahw")
    engine = make_engine(both.spec)
    data = load(str(run.folder / "part2.csv"))
    examples = Examples(found.binariser.pack(data.train.features), data.train.labels)
    for _ in Training(engine, found.schedule, examples, start=both.state).run():
        pass
    assert np.array_equal(found.state["counters"], engine.state["counters"])
    assert (ran["examples"], found.progress.examples) == (450, 450)
    for more, sentence in {
        ("--optimiser", "counter=5"): "mean different things: counter is 6 and 5; train with the same options",
        ("--model", "linear"): "mean different things: the family is 'ensemble' and 'linear'; ",
        ("--model", "ensemble:wiring=grown"): "--start both.rdahw was given, and this model chooses its inputs ",
        ("--seeds", 2): "--start both.rdahw was given with --seeds, which begins otherwise; leave one of them out",
    }.items():
        refused = run(*again, *more)
        assert (refused.code, sentence in refused.error) == (2, True)


def test_the_rounds_of_the_documents(run: Runner) -> None:
    """The commands of docs/cluster.md, for two rounds, learn what two rounds of the rule learn."""
    page = (Path(__file__).parents[2] / "docs" / "cluster.md").read_text(encoding="utf-8")
    words = dict(re.findall(r"^(\w+)=\"(.+)\"$", page, re.MULTILINE))
    train, merge = re.findall(r"^ +rdahw (.*\$start.*)$", page, re.MULTILINE)
    rng, start, data = np.random.default_rng(0), "", []
    for part in range(1, 5):
        table = run.folder / f"part{part}.csv"
        x = rng.integers(0, 70, (40, 8))
        table.write_text(
            "a,b,c,d,e,f,g,label\n" + "".join(",".join(map(str, [*row[:7], row[0] // 40])) + "\n" for row in x)
        )
        data.append(load(str(table)))
    for _ in range(2):
        for part in range(1, 5):
            run.ok(
                *shlex.split(train.replace("$part", str(part)).replace("$how", words["how"]).replace("$start", start))
            )
        run.ok(*shlex.split(merge.replace("$start", start)))
        start = "--start merged.rdahw"
    merged = load_model(run.folder / "merged.rdahw")
    engine, state = make_engine(merged.spec), merged.spec.initial_state()
    for _ in range(2):
        states = []
        for part in data:
            examples = Examples(merged.binariser.pack(part.train.features), part.train.labels)
            for _ in Training(engine, Schedule(shuffle=True, scored="epoch"), examples, start=state).run():
                pass
            states.append(engine.state)
        state = dict(merge_states(merged.spec, state, states, mean=True))
    assert np.array_equal(merged.state["counters"], state["counters"])
    assert np.abs(state["counters"]).max() > 2


def test_shards_read_tables_in_parts(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    """With parts of 40 rows, the bits are those of the table read whole, and so is a held-out part."""
    monkeypatch.setattr(_parts, "_PART", 200)
    rows = np.random.default_rng(0).normal(size=(150, 4)).round(3)
    (run.folder / "t.csv").write_text(
        "a,b,c,d,label\n" + "".join(f"{','.join(map(str, x))},{x[0] > 0}\n" for x in rows)
    )
    command = ("train", "--data", "t.csv", "--model", "ensemble:tables=20,inputs=3", "--split", 0.2, "--validation", 20)
    usual = run.ok(*command, "--epochs", 4, "--json").json
    shard = run.ok(*command, "--epochs", 4, "--json", "--shards", 1, "--out", "one.rdahw").json
    for name in ("parameters_sha256", "test_correct", "validation_correct", "train_examples"):
        assert shard[name] == usual[name]
    assert run.ok("eval", "one.rdahw", "--data", "t.csv", "--json").json["accuracy"] > 0.8


def test_grown_wiring_does_not_depend_on_the_shards(run: Runner) -> None:
    files = []
    for shards in (1, 2, 3):
        files.append(f"{shards}.rdahw")
        grown = ("--model", "ensemble:tables=6,inputs=2,wiring=grown", "--binarise", "quantile=3")
        run.ok("train", *grown, "--shards", shards, "--epochs", 1, "--out", files[-1])
    wires = {str(load_model(run.folder / file).spec.to_json()["wires"]) for file in files}
    assert len(wires) == 1
    assert wires != {""}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("part0.rdahw",), "'part0.rdahw' alone was given; give the files of two or more models"),
        (("part0.rdahw", "nothing"), "there is no model file 'nothing'; make one with rdahw train --out 'nothing'"),
        (("part0.rdahw", "other.rdahw"), "mean different things: counter is 6 and 5; seed is 0 and 1; "),
        (("part0.rdahw", "bits.rdahw"), "the rules of their binarisers are 'threshold=3' and 'threshold=4'; train"),
        (
            ("iris-lookup.rdahw",) * 2,
            "models of the family 'lookup' have no counters whose changes could be added",
        ),
    ],
)
def test_what_cannot_be_merged(run: Runner, arguments: tuple[str, ...], sentence: str) -> None:
    parts(run)
    given = ("train", "--data", "part0.csv", *MODEL[:2])
    run.ok(*given, *MODEL[2:], "--optimiser", "counter=5", "--seed", 1, "--out", "other.rdahw")
    run.ok(*given, "--binarise", "threshold=4", "--out", "bits.rdahw")
    run.ok("train")
    ran = run("merge", *arguments)
    assert ran.code == 2
    assert sentence in ran.error
    assert not (run.folder / "merged.rdahw").exists()


def test_shards_go_on_after_a_checkpoint_to_the_same_bits(run: Runner) -> None:
    whole = run.ok(*SHARDED, "--json").json
    assert whole["engine"] == "compiled, 3 shards"
    assert [row["updates"] <= row["examples"] == 60 for row in whole["curve"]] == [True] * 4
    run.ok(*SHARDED[:-4], "--epochs", 2, "--validation", 15, "--out", "half.rdahw")
    rest = run.ok("train", "--resume", "half.rdahw", "--epochs", 4, "--json", "--jobs", 2).json
    for name in ("parameters_sha256", "validation_correct", "best_epoch", "updates", "engine"):
        assert rest[name] == whole[name]
    refused = run("train", "--resume", "half.rdahw", "--shards", 2)
    assert "--shards 2 was given, and 'half.rdahw' was trained with --shards 3; leave --shards out" in refused.error
    several = run.ok(*SHARDED, "--seeds", 2, "--json").json["runs"]
    assert several[0]["parameters_sha256"] == whole["parameters_sha256"]
