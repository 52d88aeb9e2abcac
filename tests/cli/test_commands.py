"""All commands: help with examples, the version, one JSON object, and what each prints."""

from __future__ import annotations

import csv
import importlib
import json
import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from types import SimpleNamespace

import click
import numpy as np
import pytest
from running import Ran

import rdahw
from rdahw.cli import COMMANDS, cli
from rdahw.cli._output import Output
from rdahw.cli.reproduce import paper_iris
from rdahw.data import _named, load
from rdahw.hdl.toolchain import Step
from rdahw.saved import load_model
from rdahw.sim.engines import make_engine
from rdahw.training import Examples

TABLE = "size,colour,label\n1,red,apple\n2,green,pear\n3,red,apple\n4,green,pear\n"


@pytest.fixture
def table(run, tmp_path):
    """A model ``table-lookup.rdahw`` that has learned a small table with names."""
    (tmp_path / "table.csv").write_text(TABLE)
    run.ok("train", "--model", "lookup", "--data", "table.csv", "--epochs", 2)
    return run.folder / "table-lookup.rdahw"


@pytest.fixture
def no_images(tmp_path, monkeypatch):
    """A machine without MNIST and Fashion-MNIST, and without a network."""
    monkeypatch.setenv("RDAHW_DATA", str(tmp_path / "nothing"))
    monkeypatch.setattr(_named, "_cache", lambda name: tmp_path / "cache" / name)
    for name, images in _named.IMAGES.items():
        monkeypatch.setitem(_named.IMAGES, name, replace(images, urls=("http://127.0.0.1:9/",), folders=()))


# All of them


def test_help_lists_every_command_in_80_columns(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    out = run.ok("--help").out
    assert [line.split()[0] for line in out.partition("Commands:")[2].split("\n\n")[0].split("\n")[1:]] == [*COMMANDS]
    assert max(map(len, out.splitlines())) <= 80
    assert run.ok("-h").out == out


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_has_examples_that_fit_the_screen_and_are_right(run, name, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    out = run.ok(name, "--help").out
    assert [line for line in out.splitlines() if len(line) > 80] == []
    examples = out.partition("Examples:")[2].replace("\\\n", "").splitlines()
    commands = [line.split("   ")[0] for line in map(str.strip, examples) if line.startswith("rdahw ")]
    assert commands
    for line in commands:
        words = [*takewhile(lambda word: word not in (">", ">>"), shlex.split(line))][1:]
        assert words[0] == name
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        command.make_context(name, words[1:])  # raises for an option that is not there


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_the_same_output_options(name):
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert {"--json", "-v", "-q"} <= {option for parameter in command.params for option in parameter.opts}


def test_no_command_shows_the_help(run):
    ran = run()
    assert ran.code == 2
    assert "Commands:" in ran.err


def test_version(run):
    assert run.ok("--version").out == f"rdahw {rdahw.__version__}\n"


def test_unknown_command(run):
    ran = run("trian", "--json")
    assert (ran.code, ran.error) == (2, "there is no command 'trian'; did you mean 'train'?")
    assert ran.json == {"error": ran.error, "exit_code": 2}
    assert "known are 'train'" in run("xyzzy").error


def test_unknown_option(run):
    ran = run("train", "--epoch", "3")
    assert ran.code == 2
    assert "--epochs" in ran.error


def test_quiet_is_quiet(run, table):
    for command in (["eval", table, "--data", "table.csv"], ["show", table], ["datasets"], ["completion", "zsh"]):
        assert run.ok(*command, "-q").err == ""


def test_control_characters_in_names_reach_no_terminal(run, tmp_path):
    (tmp_path / "evil.csv").write_text("a,label\n1,\x1b[2Jx\n2,y\n")
    run.ok("train", "--model", "lookup", "--data", "evil.csv", "--out", "evil")
    for command in (["show", "evil"], ["eval", "evil", "--data", "evil.csv"]):
        out = run.ok(*command).out
        assert "\x1b" not in out
        assert r"\x1b[2Jx" in out


def test_names_that_the_terminal_cannot_show_are_escaped(tmp_path):
    (tmp_path / "ωμ.csv").write_text(TABLE)
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    words = [sys.executable, "-m", "rdahw.cli", "train", "--model", "lookup", "--data", "ωμ.csv"]
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, check=True)
    assert rb"saved     \u03c9\u03bc-lookup.rdahw" in done.stdout
    assert (tmp_path / "ωμ-lookup.rdahw").exists()


# eval


def test_eval_of_the_test_part(run):
    run.ok("train")
    result = run.ok("eval", "iris-lookup.rdahw", "--json").json
    assert (result["correct"], result["examples"], result["accuracy"]) == (55, 75, 55 / 75)
    assert result["classes"] == ["Iris-setosa", "Iris-versicolor", "Iris-virginica"]
    assert result["confusion"] == [[14, 11, 0, 0], [0, 16, 8, 1], [0, 0, 25, 0]]
    assert "predictions" not in result
    out = run.ok("eval", "iris-lookup.rdahw").out
    assert "iris (test part): 73.3 % right (55 of 75)" in out
    assert [line.split() for line in out.splitlines()][3] == ["Iris-setosa", "14", "11", "0", "0"]
    assert run.ok("eval", "iris-lookup.rdahw", "--data", "iris", "--json").json["correct"] == 55


def test_eval_keeps_the_classes_and_their_order(run):
    run.ok("train", "--classes", "Iris-virginica,Iris-setosa", "--labels", "binary", "--json")
    for data in ([], ["--data", "iris"]):
        result = run.ok("eval", "iris-lookup.rdahw", *data, "--json").json
        assert result["classes"] == ["Iris-virginica", "Iris-setosa"]
        assert result["examples"] == 50
        assert result["accuracy"] > 0.9


def test_eval_of_the_same_split(run, tmp_path):
    (tmp_path / "table.csv").write_text(TABLE)
    trained = run.ok("train", "--model", "lookup", "--data", "table.csv", "--split", 0.5, "--seed", 3, "--json").json
    measured = run.ok("eval", "table-lookup.rdahw", "--json").json
    assert (measured["examples"], measured["correct"]) == (2, trained["test_correct"])


def test_eval_predicts_where_there_are_no_labels(run, table, tmp_path):
    (tmp_path / "new.csv").write_text("colour,size\nred,1\ngreen,9\nred,9\n")
    assert run.ok("eval", table, "--data", "new.csv").out.splitlines()[:2] == ["prediction", "apple"]
    result = run.ok("eval", table, "--data", "new.csv", "--json").json
    assert result["predictions"] == ["apple", "pear", "apple"]
    assert "accuracy" not in result


def test_eval_shows_no_class_for_a_code_of_none(run, tmp_path):
    (tmp_path / "table.csv").write_text(TABLE)
    run.ok("train", "--model", "lookup", "--data", "table.csv", "--updates", 1)
    result = run.ok("eval", "table-lookup.rdahw", "--data", "table.csv", "--predictions", "--json").json
    assert result["predictions"] == ["apple", None, None, None]
    rows = list(csv.reader(run.ok("eval", "table-lookup.rdahw", "--data", "table.csv", "--predictions").out.split()))
    assert rows == [["prediction", "label"], ["apple", "apple"], ["", "pear"], ["", "apple"], ["", "pear"]]
    assert run.ok("eval", "table-lookup.rdahw", "--data", "table.csv", "--margins", "--json").json["margins"] == [
        1,
        0,
        0,
        0,
    ]
    assert result["confusion"] == [[1, 0, 1], [0, 0, 2]]


def test_margins_are_the_lead_over_the_next_class(run):
    run.ok("train", "--model", "ensemble:tables=9,inputs=3", "--out", "iris.rdahw")
    its = load_model(run.folder / "iris.rdahw")
    features = load("iris").test.features
    engine = make_engine(its.spec, "reference")
    engine.state = its.best_state
    scores = engine.class_scores(engine.prepare(Examples(its.binariser.transform(features), np.zeros(75, np.int64))))
    expected = [int(best - second) for *_, second, best in np.sort(scores.astype(int), axis=1)]
    result = run.ok("eval", "iris.rdahw", "--margins", "--json").json
    assert result["margins"] == expected
    assert result["predictions"] == [result["classes"][c] for c in scores.argmax(axis=1)]
    assert len(set(expected)) > 10
    lines = run.ok("eval", "iris.rdahw", "--margins").out.splitlines()
    assert lines[0] == "prediction,label,margin"
    assert [int(line.split(",")[2]) for line in lines[1:76]] == expected


def test_eval_says_that_the_data_have_changed(run, table, tmp_path):
    run.ok("train", "--model", "lookup", "--data", "table.csv", "--test", "table.csv")
    assert "changed" not in run.ok("eval", table).err
    (tmp_path / "table.csv").write_text(TABLE + "5,red,apple\n")
    assert "note: table has changed since the training" in run.ok("eval", table).err


@pytest.mark.parametrize(
    ("command", "code", "sentence"),
    [
        (["--data", "iris"], 1, "'iris' has no class 'apple'; known are 'Iris-setosa'"),
        (["--data", "wide.csv"], 1, "wide.csv has a column 'extra', which the training data did not have; drop it"),
        (["--data", "short.csv"], 1, "short.csv has no column 'colour', which the training data had"),
        (["--data", "unknown.csv"], 1, "line 2, column 'label': there is no class 'plum'"),
        (["--data", "wide.csv", "--label", "x"], 1, "wide.csv has no column 'x'"),
        (["--data", "missing.csv"], 2, "there is no file 'missing.csv'"),
        (["--no-header"], 2, "--no-header needs a file of examples; give the file with --data"),
        (["--label", "label"], 2, "--label label needs a file of examples; give the file with --data"),
        ([], 1, "'table' has no test part; give examples with --data FILE"),
    ],
)
def test_eval_of_data_that_do_not_fit(run, table, tmp_path, command, code, sentence):
    (tmp_path / "wide.csv").write_text("size,colour,extra\n1,red,1\n2,red,3\n")
    (tmp_path / "short.csv").write_text("size\n1\n")
    (tmp_path / "unknown.csv").write_text("size,colour,label\n1,red,plum\n")
    ran = run("eval", table, *command, "--json")
    assert ran.code == code
    assert sentence in ran.error
    assert ran.json == {"error": ran.error, "exit_code": code}


def test_eval_of_a_data_set_of_another_width(run, tmp_path):
    (tmp_path / "three.csv").write_text("a,b,c,label\n1,2,3,Iris-setosa\n2,3,1,Iris-virginica\n3,1,2,Iris-virginica\n")
    run.ok("train", "--model", "lookup", "--data", "three.csv")
    ran = run("eval", "three-lookup.rdahw", "--data", "iris")
    assert ran.code == 1
    assert "'iris' has 4 number features, and the model was trained on 3 number features" in ran.error


# show


def test_show_of_a_saved_model(run):
    run.ok("train", "--labels", "binary")
    result = run.ok("show", "iris-lookup.rdahw", "--json").json
    assert result["inputs"] == [["theta", 32], ["x", 4]]
    assert result["outputs"] == [["y", 2]]
    assert (result["parameter_bits"], result["safe"], result["finished"], result["updates"]) == (32, True, True, 75)
    assert result["primitives"] == {"lookup": 1}
    assert result["wires"][0] == "sepal_length > 6.1"
    assert result["provenance"]["options"]["data"] == "iris"
    out = run.ok("show", "iris-lookup.rdahw").out
    assert f"theta     0x{result['parameters']}" in out
    assert "trained   75 updates on iris, 1 whole epoch, seed 0\n" in out
    assert "model     lookup 4 -> 2, 32 parameter bits\n" in out
    assert "options   labels binary, loss xor, optimiser xor\n" in out
    assert (result["family"], result["options"]["labels"], result["labels"]) == ("lookup", "binary", "binary")


def test_show_by_name(run):
    assert run.ok("show", "lookup", "--inputs", 3, "--outputs", 2, "--json").json["inputs"] == [["theta", 16], ["x", 3]]
    mask = run.ok("show", "mask:k=2", "--inputs", 9, "--json").json
    assert (mask["parameter_bits"], mask["model"], mask["safe"]) == (9, "mask:k=2", True)
    assert "popcount" in mask["primitives"]
    assert "parameters" not in mask
    reverse = run.ok("show", "lookup", "--inputs", 2, "--reverse", "--json").json
    assert reverse["inputs"] == [["theta", 4], ["x", 2], ["dy", 1]]
    assert reverse["outputs"] == [["dtheta", 4], ["dx", 2]]
    assert reverse["operations_of"] == {"model": 16, "reverse": 25, "folded": 23}
    assert "23 sums and products of single elements (for bits XOR and AND), 25 before folding, 16 in the model" in (
        run.ok("show", "lookup", "--inputs", 2, "--reverse").out
    )


def test_show_of_a_model_that_is_a_circuit_and_one_too_large_for_that(run):
    """An ensemble is a circuit like any other where it is small; of a larger one there is a sentence instead."""
    small = run.ok("show", "ensemble:tables=5,inputs=2", "--inputs", 6, "--outputs", 3, "--json").json
    assert small["ports"]["inputs"] == [["theta", 5 * 4 * 3 * 9], ["x", 6]]
    assert (small["tables"], small["inputs"], small["options"]["inputs"], small["safe"]) == (5, 2, 2, False)
    assert "no_circuit" not in small
    name = ("ensemble:tables=500", "--inputs", 9, "--outputs", 10)
    large = run.ok("show", *name, "--json").json
    assert (large["family"], large["parameter_bits"]) == ("ensemble", 500 * 64 * 10 * 6)
    assert not {"ports", "safe", "primitives"} & large.keys()
    assert f"circuit   not shown: {large['no_circuit']}\n" in run.ok("show", *name).out
    for more in (["--text"], ["--reverse"], ["--dot", "a.dot"], ["--svg", "a.svg"]):
        ran = run("show", *name, *more)
        assert (ran.code, ran.error) == (2, large["no_circuit"])
        assert ran.error.endswith("or convert the trained model to a circuit with rdahw binarise")


def test_show_says_when_a_circuit_is_not_safe(run, tmp_path):
    (tmp_path / "m.py").write_text(
        "from rdahw import Bits, trace\nsquare = trace(lambda theta, x: x & x, theta=Bits(1), x=Bits(4))\n"
    )
    assert run.ok("show", "m.py:square", "--outputs", 4, "--json").json["safe"] is False
    assert "safe      not shown: they may differ" in run.ok("show", "m.py:square", "--outputs", 4).out


def test_show_of_the_largest_lookup(run):
    result = run.ok("show", "lookup", "--inputs", 20, "--outputs", 3, "--json").json
    assert (result["parameter_bits"], result["safe"]) == (3 << 20, True)


def test_show_text_reads_back(run):
    from rdahw.families import make_model

    text = run.ok("show", "lookup", "--text").out
    assert rdahw.Circuit.parse(text[text.index("circuit") :]) == make_model("lookup", 4, 1).circuit


def test_show_dot(run, tmp_path):
    ran = run.ok("show", "lookup", "--dot", "a.dot", "--json")
    assert "drew a.dot" in ran.err
    dot = (tmp_path / "a.dot").read_text()
    assert dot.startswith('digraph "lookup" {')
    assert 'w2 [label="lookup"];' in dot


@pytest.fixture
def program(tmp_path, monkeypatch):
    """``program(script)`` makes it the only ``dot`` that is found."""

    def make(script: str | None):
        folder = tmp_path / "bin"
        folder.mkdir()
        if script is not None:
            (folder / "dot").write_text(f"#!{shutil.which('sh')}\n{script}\n")
            (folder / "dot").chmod(0o755)
        monkeypatch.setenv("PATH", str(folder))

    return make


def test_show_svg_is_what_graphviz_draws(run, tmp_path, program):
    program('test "$1" = -V || { read line < "$4"; echo "<svg>$1 $line</svg>" > "$3"; }')
    run.ok("show", "lookup", "--reverse", "--svg", "a.svg")
    assert (tmp_path / "a.svg").read_text() == '<svg>-Tsvg digraph "R[lookup]" {</svg>\n'


@pytest.mark.skipif(shutil.which("dot") is None, reason="needs Graphviz (Debian: apt install graphviz)")
def test_graphviz_accepts_what_we_draw(run, tmp_path):
    run.ok("show", "mask", "--inputs", 8, "--reverse", "--svg", "a.svg")
    assert "</svg>" in (tmp_path / "a.svg").read_text()


def test_show_svg_without_graphviz(run, tmp_path, program):
    program(None)
    (tmp_path / "a.svg").write_text("before")
    ran = run("show", "lookup", "--svg", "a.svg", "--json")
    assert ran.code == 3
    assert (
        "dot (drawings of circuits as SVG) is not on the PATH; install it (Debian: apt install graphviz)" in ran.error
    )
    assert (ran.json["error"], ran.json["exit_code"]) == (ran.error, 3)
    assert (tmp_path / "a.svg").read_text() == "before"


def test_show_svg_where_graphviz_fails(run, tmp_path, program):
    program("echo boom >&2; exit 1")
    ran = run("show", "lookup", "--svg", "a.svg")
    assert ran.code == 1
    assert "dot failed: it ended early with exit code 1, its last line is 'boom'" in ran.error
    assert not (tmp_path / "a.svg").exists()


def test_show_of_a_circuit_too_large_to_draw(run, tmp_path):
    (tmp_path / "m.py").write_text(
        "from rdahw import Bits, trace\n"
        "def chain(theta, x):\n"
        "    for _ in range(3000):\n"
        "        x = ~(x ^ theta)\n"
        "    return x\n"
        "long = trace(chain, theta=Bits(1), x=Bits(1))\n"
    )
    ran = run("show", "m.py:long", "--inputs", 1, "--dot", "a.dot")
    assert ran.code == 1
    assert "a circuit of 6000 assignments is too large to draw; the limit is 2000" in ran.error


@pytest.mark.parametrize(
    ("spec", "code", "sentence"),
    [
        ("lokup", 2, "there is no model 'lokup' and no such file; did you mean 'lookup'?"),
        ("a.rdahw", 2, "there is no model file 'a.rdahw'; make one with rdahw train"),
        ("mask:x=1", 2, "model 'mask' has no option 'x=1'; it takes k=NUMBER, "),
        ("m.py:x", 2, "the model file 'm.py' does not exist"),
    ],
)
def test_show_of_what_is_not_there(run, spec, code, sentence):
    ran = run("show", spec)
    assert ran.code == code
    assert sentence in ran.error


# datasets and doctor


def test_datasets(run, no_images):
    ran = run.ok("datasets", "--json")
    records = {record["name"]: record for record in ran.json["datasets"]}
    assert records["iris"]["found"] == "part of rdahw"
    assert records["mnist"]["found"] is None
    assert "RDAHW_DATA" in records["mnist"]["get"]
    out = run.ok("datasets").out
    assert "mnist: put its files" in out
    assert "iris: " not in out


def test_doctor(run, no_images, program):
    program(None)
    result = run.ok("doctor", "--json").json
    checks = {check["name"]: check for check in result["checks"]}
    assert result["ok"] is True
    assert checks["numpy"]["needed"] is True
    assert checks["dot"]["found"] is None
    out = run.ok("doctor").out
    assert "dot is missing: install it (Debian: apt install graphviz)" in out
    assert "mnist is missing: put its files" in out


def test_doctor_without_what_is_needed(run, monkeypatch):
    import importlib.metadata

    found = importlib.metadata.distribution

    def distribution(name: str) -> importlib.metadata.Distribution:
        if name == "pooch":
            raise importlib.metadata.PackageNotFoundError(name)
        return found(name)

    monkeypatch.setattr(importlib.metadata, "distribution", distribution)
    ran = run("doctor", "--json")
    assert ran.code == 3
    assert ran.error == "rdahw needs pooch; install what is missing as said above"
    assert ran.json["ok"] is False
    assert ran.json["error"] == ran.error
    assert [check["name"] for check in ran.json["checks"] if check["needed"] and not check["found"]] == ["pooch"]


# reproduce


def test_reproduce(run, mnist_folder, monkeypatch):
    monkeypatch.setenv("RDAHW_DATA", str(mnist_folder.parent))
    ran = run.ok("reproduce", "--json")
    assert ran.json["same"] is True
    rows = ran.json["experiments"]
    assert [row["here"] for row in rows] == ["98.0", "98.0", "73.3", "73.3", "99.2"]
    assert all(row["same"] and row["paper"] == row["here"] for row in rows)
    assert rows[0]["compared"] == "51 x 16 parameter bits, 50 predictions"


@pytest.mark.parametrize("what", ["update", "prediction"])
def test_reproduce_finds_one_bit_that_differs(run, no_images, monkeypatch, what):
    golden = paper_iris()
    if what == "update":
        steps = golden[2]["parameters_after_each_update"]
        steps[40] = format(int(steps[40], 16) ^ 1, "x")
    else:
        golden[2]["test_predictions"][7] ^= 1

    monkeypatch.setattr("rdahw.cli.reproduce.paper_iris", lambda: golden)
    monkeypatch.setattr("rdahw.cli.reproduce._mnist", lambda output: {"experiment": "M", "same": True, **BLANK})
    ran = run("reproduce", "--json")
    assert ran.code == 1
    assert ran.error == "Iris, three-class binary: differs from the paper's program; please report it"
    assert (ran.json["same"], ran.json["exit_code"], ran.json["error"]) == (False, 1, ran.error)
    assert [row["same"] for row in ran.json["experiments"]] == [True, True, False, True, True]
    assert " NO" in run("reproduce").out


BLANK = {"paper": "0", "here": "0", "compared": ""}


def test_reproduce_without_mnist(run, no_images):
    ran = run("reproduce", "--json")
    assert ran.code == 3
    assert "the data set 'mnist' is not here" in ran.error
    assert ran.json["same"] is False
    assert [row["same"] for row in ran.json["experiments"]] == [True] * 4
    ran = run.ok("reproduce", "--data", "iris", "--json")
    assert (ran.json["same"], [row["here"] for row in ran.json["experiments"]]) == (
        True,
        ["98.0", "98.0", "73.3", "73.3"],
    )
    assert run("reproduce", "--data", "mnist").code == 3


# completion


def complete(folder: Path, *words: str) -> list[str]:
    """What bash would offer for the last word, by click's protocol."""
    environment = {
        **os.environ,
        "_RDAHW_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(["rdahw", *words]),
        "COMP_CWORD": str(len(words)),
    }
    words_of_program = [sys.executable, "-c", "from rdahw.cli import main; main()"]
    done = subprocess.run(words_of_program, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["tr"], ["plain,train"]),
        (["do"], ["plain,doctor"]),
        (["train", "--val"], ["plain,--validation"]),
        (["train", "--labels", "b"], ["plain,binary"]),
        (["train", "--data", "fas"], ["plain,fashion-mnist"]),
        (["train", "--data", "tab"], ["file,tab"]),
        (["train", "--model", "m"], ["plain,mask", "plain,machine"]),
        (["show", "loo"], ["plain,lookup"]),
        (["eval", "x.rdahw", "--data", "ir"], ["plain,iris"]),
        (["completion", "z"], ["plain,zsh"]),
    ],
)
def test_completion_of_words(tmp_path, words, offered):
    assert complete(tmp_path, *words) == offered


def test_bash_completes_with_the_script(run, tmp_path):
    script = run.ok("completion", "bash").out
    assert run.ok("completion", "bash", "--json").json == {"shell": "bash", "script": script.removesuffix("\n")}
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("needs bash")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "rdahw").write_text(f"#!{sys.executable}\nfrom rdahw.cli import main\nmain()\n")
    (tmp_path / "bin" / "rdahw").chmod(0o755)
    ask = script + "\nCOMP_WORDS=(rdahw tr) COMP_CWORD=1; _rdahw_completion rdahw tr rdahw; echo ${COMPREPLY[@]}"
    environment = {**os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    done = subprocess.run([bash, "-c", ask], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "train\n", done.stderr


def test_completion_for_the_shell_in_use(run, monkeypatch):
    monkeypatch.setenv("SHELL", "/usr/bin/fish")
    assert run.ok("completion", "--json").json["shell"] == "fish"
    monkeypatch.setenv("SHELL", "/bin/csh")
    ran = run("completion")
    assert (ran.code, ran.error) == (2, "there is no completion for the shell 'csh'; give one of bash, zsh, fish")
    monkeypatch.delenv("SHELL")
    assert "no completion for the shell ''" in run("completion").error


def test_the_runner_would_see_a_second_object():
    with pytest.raises(json.JSONDecodeError, match="Extra data"):
        Ran(0, "{}\n{}\n", "").json  # noqa: B018


def test_a_reverse_derivative_that_is_too_large_is_not_folded(run, monkeypatch):
    monkeypatch.setattr("rdahw.cli.show._MOST_FOLDED", 10)
    shown = run.ok("show", "lookup", "--inputs", 2, "--reverse", "--json").json
    assert shown["operations_of"] == {"model": 16, "reverse": 25}
    assert "25 sums and products of single elements (for bits XOR and AND), too large to fold, 16 in the model" in (
        run.ok("show", "lookup", "--inputs", 2, "--reverse").out
    )


@pytest.mark.parametrize(
    ("options", "starts"),
    [
        ("--seeds 8 --jobs 2", 1),
        ("--jobs=16 --seeds=2", 1),
        ("--seeds 8 --jobs 1", 0),
        ("--jobs 2", 0),
        ("--seeds 2", 0),
    ],
)
def test_the_processes_of_seeds_start_before_the_command_is_loaded(monkeypatch, run, options, starts):
    begun = []
    monkeypatch.setattr("rdahw.jobs.start_preloading", lambda *modules: begun.append(modules))
    run("train", "--epochs", "none", *options.split())
    run("estimate", "--seeds", "2", "--jobs", "2")
    assert len(begun) == starts
    for module in sum(begun, ()):
        importlib.import_module(module)


def test_tools_that_run_at_once_are_logged_now_and_then(monkeypatch, capsys):
    clock = [0.0]
    monkeypatch.setattr("rdahw.cli._output.time", SimpleNamespace(monotonic=lambda: clock[0]))
    output = Output({}, as_json=False, verbosity=0)
    for second in range(12):
        clock[0] = float(second)
        for tool in ("yosys", "nextpnr"):
            output.step(Step(tool, "running", second))
    logged = capsys.readouterr().err.splitlines()
    assert logged == [f"{tool}: running ({at} s)" for at in (0, 5, 10) for tool in ("yosys", "nextpnr")]
