"""``rdahw train --stream``: learning from standard input, reports, alarms, checkpoints, and what is refused."""

from __future__ import annotations

import io
import json
import signal
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
from running import finish, lower_priority, start

from rdahw.data import load
from rdahw.drift import DriftAlarm
from rdahw.families.ensemble.rule import PlainEnsemble
from rdahw.family import RESERVED
from rdahw.saved import load_model

SMALL = ("--model", "ensemble:tables=20,inputs=3", "--engine", "reference")


def make_rows(count, *, change=None, seed=0):
    """Lines with 4 numbers, of which two decide between the classes, the other way round from row ``change`` on."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 4)).round(3)
    y = x[:, 0] + x[:, 1] > 0
    y[count if change is None else change :] ^= True
    return [",".join(map(str, row)) + f",{'yes' if label else 'no'}\n" for row, label in zip(x, y, strict=True)]


HEADER = "a,b,c,d,label\n"


@pytest.fixture
def feed(run, monkeypatch):
    """Run ``rdahw train --stream`` with this text as standard input."""

    def fed(text, *arguments):
        source = io.BytesIO(text if isinstance(text, bytes) else text.encode())
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=source, isatty=lambda: False))
        return run("train", "--stream", *arguments)

    return fed


def events(ran):
    assert ran.code == 0, ran.err
    return [json.loads(line) for line in ran.out.splitlines()]


def test_each_example_is_predicted_and_then_learned(feed, tmp_path):
    """The errors, the reports and the learned counters, by the plain rule on the file."""
    text = HEADER + "".join(make_rows(700))
    *reports, result = events(feed(text, *SMALL, "--first", 100, "--every", 200, "--json"))
    (tmp_path / "t.csv").write_text(text)
    data, saved = load(str(tmp_path / "t.csv")).train, load_model(tmp_path / "stream-ensemble.rdahw")
    engine, bits = PlainEnsemble(saved.spec), saved.binariser.transform(data.features)
    wrong = engine.learn(bits, data.labels, np.arange(700)).predictions != data.labels
    assert (saved.state["counters"] == engine.counters).all()
    assert engine.counters.any()
    assert [report["event"] for report in reports] == ["progress"] * 3
    assert [report["examples"] for report in reports] == [200, 400, 600]
    assert [report["wrong"] for report in reports] == np.cumsum(wrong)[[199, 399, 599]].tolist()
    assert reports[1]["recent_error"] == wrong[200:400].mean()
    assert (result["event"], result["examples"], result["learned"], result["wrong"]) == (
        "result",
        700,
        700,
        wrong.sum(),
    )
    assert result["error"] == wrong.mean() < 0.4
    assert result.keys() - saved.spec.options().keys() - {"loss", "optimiser"} <= RESERVED
    assert (result["classes"], result["alarms"], result["last_alarm"]) == (["no", "yes"], 0, None)
    alarm = DriftAlarm()
    alarm.update_many(wrong)
    assert saved.provenance["stream"] == {"alarm": alarm.to_json()}
    # Thresholds are those of the first 100 examples, in which they are values.
    assert np.isin(saved.binariser.table, data.features[:100]).all()


def test_the_model_is_one_like_any_other(feed, run):
    rows = make_rows(900)
    assert feed(HEADER + "".join(rows[:600]), *SMALL).code == 0
    (run.folder / "test.csv").write_text(HEADER + "".join(rows[600:]))
    assert run.ok("eval", "stream-ensemble.rdahw", "--data", "test.csv", "--json").json["accuracy"] > 0.75
    assert "600 updates on standard input, 0 whole epochs, seed 0\n" in run.ok("show", "stream-ensemble.rdahw").out
    refused = run("train", "--resume", "stream-ensemble.rdahw")
    assert (refused.code, "rdahw train --stream --resume" in refused.error) == (2, True)
    assert "give data with --data" in run("eval", "stream-ensemble.rdahw").error


def test_any_learner_of_examples_takes_a_stream(feed):
    text = HEADER + "".join(make_rows(300))
    for model, *options in (("lookup",), ("mask", "--labels", "binary")):
        result = events(feed(text, "--model", model, *options, "--out", "m.rdahw", "--json"))[-1]
        assert (result["family"], result["examples"]) == (model, 300)
    assert events(feed(text, "--model", "ensemble:wiring=grown,tables=9,inputs=2", "--json"))[-1]["wiring"] == "grown"


def test_objects_classes_and_an_early_end(feed):
    rows = [json.dumps({"a": i % 5, "b": i % 3, "state": "xyz"[i % 3]}) for i in range(90)]
    text = "\n".join(rows)
    result = events(feed(text, *SMALL, "--label", "state", "--classes", "z,w,y,x", "--json"))[-1]
    assert (result["examples"], result["classes"]) == (90, ["z", "w", "y", "x"])
    assert feed("", *SMALL).error.startswith("standard input ended before the first example")


@pytest.mark.parametrize("forget", [0, 150])
def test_a_resumed_stream_goes_on_to_the_bit(feed, forget):
    rows, given = make_rows(3000, change=2300), (*SMALL, "--first", 100, "--every", 130, "--json")
    whole = events(feed(HEADER + "".join(rows), *given, "--forget", forget))
    first = events(feed(HEADER + "".join(rows[:777]), *given, "--forget", forget, "--out", "half.rdahw"))
    going_on = ("--every", 130, "--json", "--resume", "half.rdahw", "--out", "rest.rdahw")
    rest = events(feed(HEADER + "".join(rows), *going_on, "--skip", 777))
    if not forget:
        assert [event["examples"] for event in whole if event["event"] == "alarm"] == [whole[-1]["last_alarm"]]
        assert 2300 < whole[-1]["last_alarm"] <= 3000
    assert whole[-1]["forget"] == rest[-1]["forget"] == forget
    for key in ("parameters_sha256", "examples", "wrong", "error", "alarms", "last_alarm"):
        assert rest[-1][key] == whole[-1][key], key
    assert first[-1]["parameters_sha256"] != rest[-1]["parameters_sha256"]
    assert rest[-1]["learned"] == 2223
    # Without the lines that were learned before, it is the same.
    again = events(feed("".join(rows[777:]), *going_on))
    assert again[-1]["parameters_sha256"] == whole[-1]["parameters_sha256"]


def test_a_model_of_a_file_learns_on(feed, run):
    (run.folder / "t.csv").write_text(HEADER + "".join(make_rows(200)))
    before = run.ok("train", "--data", "t.csv", "--epochs", 2, *SMALL, "--out", "m.rdahw", "--json").json
    result = events(feed("".join(make_rows(100, seed=1)), "--resume", "m.rdahw", "--json"))[-1]
    assert (result["learned"], result["examples"], result["out"]) == (100, 500, "m.rdahw")
    assert before["parameters_sha256"] != result["parameters_sha256"]
    new = events(feed("".join(make_rows(100, seed=1)), "--schema", "m.rdahw", *SMALL, "--out", "n.rdahw", "--json"))[-1]
    assert new["examples"] == 100
    assert (
        load_model(run.folder / "n.rdahw").binariser.to_json() == load_model(run.folder / "m.rdahw").binariser.to_json()
    )


def test_a_malformed_line_keeps_what_was_learned(feed, run):
    rows = make_rows(300)
    ran = feed(HEADER + "".join(rows[:250]) + "1,2,oops,4,yes\n" + "".join(rows[250:]), *SMALL, "--first", 50)
    assert ran.code == 1
    assert ran.error.startswith("standard input, line 252, column 'c': 'oops' is not a number")
    assert "the 250 examples before it are learned: continue after it with rdahw train --stream --resume" in ran.error
    checkpoint = run.folder / "stream-ensemble.rdahw.checkpoint"
    assert load_model(checkpoint).progress.examples == 250
    # Another run does not overwrite it.
    feed(HEADER + "".join(make_rows(99)), *SMALL)
    checkpoint.with_name(checkpoint.name + ".previous").rename(checkpoint)
    rest = events(feed("".join(rows[250:]), "--resume", "stream-ensemble.rdahw.checkpoint", "--json"))[-1]
    assert (rest["examples"], rest["out"]) == (300, "stream-ensemble.rdahw")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--epochs", 3), "--epochs is not supported with --stream"),
        (("--data", "iris"), "--data is not supported with --stream"),
        (("--shuffle",), "--shuffle is not supported with --stream"),
        (("--hdl",), "--hdl is not supported with --stream"),
        (("--seeds", 3), "--seeds is not supported with --stream"),
        (("--skip", 3), "--skip leaves out what a model to --resume has learned"),
        (("--model", "grown"), "model 'grown' does not learn from one example after the other"),
        (("--model", "boosted"), "a stream learns classes, and model 'boosted' is for regression and multilabel"),
        (("--model", "auto"), "--model auto tries several models on all examples"),
        (("--resume", "m.rdahw", "--margin", 3), "--margin was given with --resume, whose model states it"),
        (("--resume", "m.rdahw"), "there is no model file 'm.rdahw'"),
    ],
)
def test_refused(feed, arguments, message):
    ran = feed(HEADER + "".join(make_rows(50)), *arguments)
    assert (ran.code, message in ran.error) == (2, True), ran.err


def test_regression_is_not_offered(feed, run):
    prices = "a,price\n" + "".join(f"{i % 7},{i}.5\n" for i in range(60))
    ran = feed(prices, *SMALL)
    assert ran.code == 0
    assert "looks like a quantity, not like classes; a stream learns classes only, so choose another label" in ran.err
    (run.folder / "prices.csv").write_text(prices)
    given = ("--data", "prices.csv", "--label", "price", "--model", "boosted:tables=3,inputs=1", "--out", "p.rdahw")
    run.ok("train", "--task", "regression", *given)
    ran = feed(prices, "--schema", "p.rdahw")
    assert (ran.code, "a stream learns classes, and the model given is for regress" in ran.error) == (2, True), ran.err


def test_options_of_streams_alone_are_refused(run):
    for option in (("--first", 3), ("--every", 3), ("--skip", 1), ("--schema", "m")):
        ran = run("train", *option)
        assert (ran.code, ran.error) == (2, f"{option[0]} was given without --stream; add --stream, or leave it out")


@pytest.mark.slow
def test_kill_and_ctrl_c_and_resume(run):
    """kill -9 in mid stream, then Ctrl-C while it waits: the bits of an uninterrupted run."""
    rows, given = make_rows(1200), ("--stream", *SMALL, "--first", 100)
    (run.folder / "all.csv").write_text(HEADER + "".join(rows))
    with (run.folder / "all.csv").open() as stdin:
        whole = finish(start("train", *given, "--out", "w.rdahw", "--json", folder=run.folder, stdin=stdin))
    path = run.folder / "s.rdahw.checkpoint"
    given = (*given, "--out", "s.rdahw")
    done = 0
    for number in (signal.SIGKILL, signal.SIGINT):
        process = start("train", *given, "--checkpoint", 0.1, folder=run.folder, stdin=-1, preexec_fn=lower_priority)
        process.stdin.write(HEADER + "".join(rows[done : done + 400]))
        process.stdin.flush()
        while not path.exists() or load_model(path).progress.examples <= done:
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.2)
        process.send_signal(number)
        ran = finish(process)
        assert ran.code == (-signal.SIGKILL if number == signal.SIGKILL else 130), ran.err
        done = load_model(path).progress.examples
        given = ("--stream", "--resume", path.name)
    assert 100 < done < 1200
    assert f"stopped after example {done}; continue with rdahw train --stream --resume s.rdahw.checkpoint" in ran.err
    with (run.folder / "all.csv").open() as stdin:
        words = ("train", "--stream", "--resume", path.name, "--skip", done, "--json")
        rest = finish(start(*words, folder=run.folder, stdin=stdin))
    results = [json.loads(ran.out.splitlines()[-1]) for ran in (whole, rest)]
    for key in ("parameters_sha256", "examples", "wrong", "alarms"):
        assert results[0][key] == results[1][key], key
    assert not path.exists()
