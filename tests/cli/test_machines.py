"""Machines through every command: learned from a language, looked at, compared, exported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from running import Runner

from rdahw.data import load, members_of_sets
from rdahw.languages import LANGUAGES
from rdahw.saved import load_model


@pytest.fixture
def trained(run: Runner) -> dict[str, Any]:
    result: dict[str, Any] = run.ok("train", "--data", "tomita4", "--model", "machine:states=2", "--json").json
    return result


def test_train(run: Runner, trained: dict[str, Any]) -> None:
    assert (trained["task"], trained["family"], trained["optimiser"]) == ("sequences", "machine", "difference=4")
    assert (trained["steps"], trained["train_examples"], trained["test_labels"]) == (16, 20_000, 10_000)
    assert (trained["test_accuracy"], trained["test_correct"], trained["test_whole_sequences"]) == (1.0, 10_000, 625)
    shown = run.ok("show", "tomita4-machine.rdahw", "--json").json
    assert shown["facts"]["settled_after"] <= trained["examples"] < 20_000
    evaluated = run.ok("eval", "tomita4-machine.rdahw", "--json").json
    assert (evaluated["accuracy"], evaluated["labels"]) == (1.0, 10_000)
    other = run.ok("eval", "tomita4-machine.rdahw", "--data", "parity", "--json").json
    assert other["accuracy"] < 0.9


def test_files_of_sequences_say_how(run: Runner, trained: dict[str, Any]) -> None:
    (run.folder / "bits.csv").write_text("a,b\n0,1\n1,0\n")
    failed = run("train", "--task", "sequences", "--data", "bits.csv")
    assert (failed.code, "say how they are in the file with --sequence rows" in failed.err) == (2, True)
    np.savez(run.folder / "bits.npz", x=np.zeros((3, 15), np.uint8))
    for words in (
        ("eval", "tomita4-machine.rdahw", "--data", "bits.npz"),
        ("report", "tomita4-machine.rdahw", "--data", "bits.npz"),
    ):
        assert "has a sequence of 15 steps, and all of training have 16" in run(*words).error
    np.savez(run.folder / "bits.npz", x=np.ones((3, 16), np.uint8))
    assert run.ok("eval", "tomita4-machine.rdahw", "--data", "bits.npz", "--json").json["predictions"] == ["1" * 16] * 3


def parity_file(folder: Path, name: str, at_end: bool = False) -> None:
    """700 sequences of 2 to 9 bits with the parity of the bits read so far, or at the end as a word."""
    lines, drawn = ["bits,label"], np.random.default_rng(7)
    for length in drawn.integers(2, 10, 700).tolist():
        bits = drawn.integers(0, 2, length)
        parity = bits.cumsum() % 2
        lines.append(
            "".join(map(str, bits)) + "," + (("even", "odd")[parity[-1]] if at_end else "".join(map(str, parity)))
        )
    (folder / name).write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("at_end", [False, True])
def test_a_file_of_sequences(run: Runner, at_end: bool) -> None:
    parity_file(run.folder, "bits.csv", at_end)
    result = run.ok(
        "train", "--data", "bits.csv", "--sequence", "rows", "--model", "machine:states=1", "--split", "0.1", "--json"
    ).json
    assert (result["task"], result["steps"], result["test_accuracy"]) == ("sequences", 9, 1.0)
    assert result["sequence"]["labels_at"] == ("end" if at_end else "each")
    assert result["sequence"]["labels"] == (["even", "odd"] if at_end else 1)
    assert result["test_examples"] == 70
    assert run.ok("eval", "bits-machine.rdahw", "--json").json["accuracy"] == 1.0
    again = run.ok("eval", "bits-machine.rdahw", "--data", "bits.csv", "--json").json
    assert (again["examples"], again["whole_sequences"]) == (700, 700)
    (run.folder / "more.csv").write_text("bits\n0111\n11\n")
    said = run.ok("eval", "bits-machine.rdahw", "--data", "more.csv", "--json").json["predictions"]
    assert said == (["odd", "even"] if at_end else ["0101", "10"])
    (claim,) = run.ok("prove", "--equal", "bits-machine.rdahw", "parity", "--json").json["claims"]
    assert claim["verdict"] == "proved"
    run.ok("show", "bits-machine.rdahw", "--dot", "states.dot")
    assert "s0 [label=" in (run.folder / "states.dot").read_text()


def test_resumed_training_on_a_file(run: Runner) -> None:
    parity_file(run.folder, "bits.csv")
    words = ("train", "--data", "bits.csv", "--sequence", "rows", "--split", "0.1")
    run.ok(*words, "--updates", 40, "--out", "part.rdahw")
    whole = run.ok(*words, "--updates", 90, "--json").json
    assert (
        run.ok("train", "--resume", "part.rdahw", "--updates", 90, "--json").json["parameters"] == whole["parameters"]
    )


OWN = """
from rdahw import Bits, trace, trace_machine

def step(t, s, x):
    following = (t[0] & s) ^ (t[1] & x)
    return following, following

GATE = trace_machine(step, parameters={"t": Bits(2)}, state={"s": Bits(1)}, x=Bits(1))
PARITY = trace_machine(lambda s, x: (s ^ x, s ^ x), state={"s": Bits(1)}, x=Bits(1))
WIDE = trace_machine(lambda s, x: (s ^ x, x.repeat(3)), state={"s": Bits(1)}, x=Bits(1))
CIRCUIT = trace(lambda t, x: t & x, t=Bits(4), x=Bits(4))

def made(inputs, outputs):
    return trace_machine(step, parameters={"t": Bits(2)}, state={"s": Bits(inputs)}, x=Bits(inputs))
"""


@pytest.mark.parametrize("rule", ["difference=3", "xor", "climb"])
def test_a_machine_of_ones_own(run: Runner, rule: str) -> None:
    (run.folder / "own.py").write_text(OWN)
    parity_file(run.folder, "bits.csv")
    result = run.ok(
        "train", "--data", "bits.csv", "--sequence", "rows", "--model", "own.py:GATE", "--optimiser", rule,
        "--split", "0.1", "--updates", 60, "--json"
    ).json  # fmt: skip
    assert (result["family"], result["optimiser"], result["test_accuracy"]) == ("machine", rule, 1.0)
    (run.folder / "own.py").write_text(OWN.replace("GATE", "GONE"))  # the saved file has the machine
    for other in ("own.py:PARITY", "parity"):
        (claim,) = run.ok("prove", "--equal", "bits-GATE.rdahw", other, "--json").json["claims"]
        assert claim["verdict"] == "proved"
    assert run.ok("eval", "bits-GATE.rdahw", "--data", "bits.csv", "--json").json["accuracy"] == 1.0
    run.ok("export", "bits-GATE.rdahw", "--to", "dot", "--out", "gate.dot")
    assert run.ok("show", "own.py:PARITY", "--inputs", 3, "--json").json["inputs"] == [["theta", 1], ["x", 3]]


def test_a_function_to_a_machine_of_ones_own(run: Runner) -> None:
    (run.folder / "own.py").write_text(OWN)
    result = run.ok("train", "--data", "parity", "--model", "own.py:made", "--updates", 20, "--json").json
    assert result["family"] == "machine"
    resumed = run.ok("train", "--resume", "parity-made.rdahw", "--updates", 40, "--json").json
    assert resumed["updates"] == 40


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--data", "parity", "--model", "own.py:WIDE"),
            "own.py:WIDE writes labels of 3 bits; the sequences have labels of 1",
        ),
        (("--data", "parity", "--model", "own.py:PARITY"), "own.py:PARITY has no parameters to learn"),
        (("--data", "iris", "--model", "own.py:GATE"), "own.py:GATE is a machine, and the data are no sequences"),
        (("--data", "parity", "--model", "own.py:CIRCUIT"), "own.py:CIRCUIT is a circuit, and the data are sequences"),
        (("--data", "parity", "--model", "own.py:GATE", "--loss", "xor"), "loss 'xor' is for circuits"),
        (("--data", "parity", "--model", "own.py:GATE", "--optimiser", "sign=2"), "use difference=NUMBER or xor"),
        (("--data", "parity", "--model", "own.py:GATE", "--optimiser", "shadow"), "cannot learn by rule=shadow"),
    ],
)
def test_machines_of_ones_own_that_are_refused(run: Runner, arguments: tuple[str, ...], message: str) -> None:
    (run.folder / "own.py").write_text(OWN)
    assert message in run("train", *arguments).error


def test_sequences_of_bits_in_a_file_learn_as_a_language_does(run: Runner) -> None:
    """A file of a language's sequences gives the same model, which also learns in hardware."""
    train = load("tomita4").train
    np.savez(run.folder / "bits.npz", x=train.features, y=members_of_sets(train.labels, 16))
    words = ("train", "--sequence", "rows", "--updates", 300, "--optimiser", "shadow", "--json")
    own = run.ok(*words, "--data", "bits.npz").json
    assert own["parameters"] == run.ok("train", *words[3:], "--data", "tomita4").json["parameters"]
    assert load_model(run.folder / "bits-machine.rdahw").spec.software_only == ""


def test_no_table_of_wrong_labels_where_none_is_wrong(run: Runner, trained: dict[str, Any]) -> None:
    assert "step" not in run.ok("eval", "tomita4-machine.rdahw").out
    assert "step" in run.ok("eval", "tomita4-machine.rdahw", "--data", "parity").out


def test_a_machine_does_not_dream(run: Runner, trained: dict[str, Any]) -> None:
    failed = run("dream", "tomita4-machine.rdahw", "--class", "1")
    assert "the task of the model is sequences, which has no classes to dream of" in failed.err


def test_the_model_of_sequences_is_a_machine_by_default(run: Runner) -> None:
    assert run.ok("train", "--data", "parity", "--updates", 50, "--json").json["family"] == "machine"


def test_seeds_draw_their_own_sequences(run: Runner) -> None:
    result = run.ok("train", "--data", "tap2", "--seeds", 2, "--updates", 20, "--json").json
    run.ok("train", "--data", "tap2", "--seed", 1, "--updates", 20, "--out", "alone.rdahw")
    first, second = (load_model(run.folder / each["out"]) for each in result["runs"])
    alone = load_model(run.folder / "alone.rdahw")
    assert first.provenance["data_sha256"] != second.provenance["data_sha256"]
    assert alone.provenance["data_sha256"] == second.provenance["data_sha256"]
    np.testing.assert_array_equal(alone.parameters, second.parameters)


def test_resumed_training_gives_the_same_machine(run: Runner, trained: dict[str, Any]) -> None:
    run.ok("train", "--data", "tomita4", "--model", "machine:states=2", "--updates", 70, "--out", "part.rdahw")
    run.ok("train", "--resume", "part.rdahw", "--updates", 20_000, "--out", "whole.rdahw")
    whole, at_once = (load_model(run.folder / name) for name in ("whole.rdahw", "tomita4-machine.rdahw"))
    for name, value in at_once.state.items():
        np.testing.assert_array_equal(whole.state[name], value)


@pytest.mark.parametrize("rule", ["xor", "climb", "shadow"])
def test_other_rules(run: Runner, rule: str) -> None:
    result = run.ok("train", "--data", "parity", "--optimiser", rule, "--updates", 3000, "--json").json
    assert (result["optimiser"], result["rule"], result["test_accuracy"]) == (rule, rule, 1.0)


@pytest.mark.slow
def test_shadow_machines_learn_in_simulated_hardware_as_in_software(run: Runner) -> None:
    options = ("train", "--data", "parity", "--model", "machine:states=1,rule=shadow,restart=9", "--updates", 30)
    run.ok(*options, "--out", "soft.rdahw")
    result = run.ok(*options, "--hdl", "--engine", "amaranth", "--out", "hard.rdahw", "--json").json
    assert (result["bit_exact"], result["cycles_with_update"]["min"]) == (True, 16)
    soft, hard = (load_model(run.folder / name) for name in ("soft.rdahw", "hard.rdahw"))
    assert hard.state["run"][2] > 0
    for name, value in soft.state.items():
        np.testing.assert_array_equal(hard.state[name], value)


@pytest.mark.slow
def test_the_gateware_of_a_machine_and_its_trainer_are_proved(run: Runner) -> None:
    options = ("machine:states=1,counter=2,rule=shadow", "--inputs", 2, "--outputs", 2)
    claims = run.ok("prove", *options, "--what", "gateware,trainer", "--timeout", 300, "--json").json["claims"]
    assert [(claim["name"], claim["size"], claim["verdict"]) for claim in claims] == [
        ("gateware", "machine: 1 -> 1, 1 bit of state", "proved"),
        ("trainer", "1 state bit, counters of 2, 2 steps", "proved"),
    ]


@pytest.mark.slow
def test_the_gateware_of_a_learned_machine_is_proved(run: Runner, trained: dict[str, Any]) -> None:
    (claim,) = run.ok("prove", "tomita4-machine.rdahw", "--what", "gateware", "--json").json["claims"]
    assert (claim["size"], claim["verdict"]) == ("machine: 1 -> 1, 2 bits of state", "proved")


def test_the_netlist_of_a_machine_over_many_steps_is_too_large(run: Runner) -> None:
    (run.folder / "bits.csv").write_text(f"bits,label\n{'01' * 150},{'10' * 150}\n1,0\n")
    run.ok("train", "--data", "bits.csv", "--sequence", "rows")
    failed = run("prove", "bits-machine.rdahw", "--what", "synthesis", "--json")
    (claim,) = failed.json["claims"]
    assert (failed.code, claim["verdict"]) == (1, "open")
    assert "the largest tried" in claim["reason"]


def test_a_file_of_a_machine_has_no_other_trainer_than_its_own(run: Runner, trained: dict[str, Any]) -> None:
    ran = run("prove", "--what", "trainer", "tomita4-machine.rdahw")
    assert "trainer is open: machines that learn by rule=difference learn in software only; train with" in ran.out


def test_prove_that_a_learned_machine_is_the_language(run: Runner, trained: dict[str, Any]) -> None:
    (claim,) = run.ok("prove", "--equal", "tomita4-machine.rdahw", "tomita4", "--json").json["claims"]
    assert (claim["name"], claim["verdict"]) == ("equal", "proved")


def test_a_refutation_is_a_shortest_sequence(run: Runner) -> None:
    ran = run("prove", "--equal", "tomita4", "tomita7", "--json")
    assert ran.code == 1
    (claim,) = json.loads(ran.out.splitlines()[0])["claims"]
    assert claim["verdict"] == "refuted"
    assert [cycle["x"] for cycle in claim["cycles"]] == ["0", "0", "0"]
    assert list(claim["found"].values()) == [{"y": "0"}, {"y": "1"}]
    assert "refuted" in run("prove", "--equal", "tomita4", "tomita7").out


def test_machines_of_other_alphabets_are_not_equal(run: Runner) -> None:
    for name, (first, second) in {"f": ("go", "stop"), "g": ("stop", "zero"), "h": ("go", "stop")}.items():
        (run.folder / f"{name}.csv").write_text(f"event,label\n{first} {second},0 0\n{second} {first},0 0\n" * 20)
        run.ok("train", "--data", f"{name}.csv", "--sequence", "rows", "--model", "machine:states=1", "--epochs", 40)
    for other, verdict in {"g": "refuted", "h": "proved"}.items():
        ran = run("prove", "--equal", "f-machine.rdahw", f"{other}-machine.rdahw", "--json")
        assert {claim["size"]: claim["verdict"] for claim in ran.json["claims"]}["alphabets"] == verdict


def test_machines_joined_are_proved_equal_to_a_third(run: Runner) -> None:
    joined = run.ok("prove", "--equal", "uartmarks>>pattern1011", "uart8n1", "--json").json
    assert [(claim["size"], claim["verdict"]) for claim in joined["claims"]] == [("23 pairs of states", "proved")]
    other = run("prove", "--equal", "uartmarks >> delay2 >> parity", "uart8n1")
    assert (other.code, "f, uartmarks >> delay2 >> parity" in other.out) == (1, True)


@pytest.mark.parametrize("name", LANGUAGES)
def test_a_language_is_a_model(run: Runner, name: str) -> None:
    shown = run.ok("show", name, "--dot", "states.dot", "--json").json
    assert (shown["start"], shown["states"]) == (name, LANGUAGES[name].state_bits)
    of_states = (run.folder / "states.dot").read_text().count("shape=circle") == 1
    assert of_states == (LANGUAGES[name].state_bits <= 5)  # more states are drawn as the circuit
    (claim,) = run.ok("prove", "--equal", name, name, "--json").json["claims"]
    assert claim["verdict"] == "proved"


def test_report(run: Runner, trained: dict[str, Any]) -> None:
    run.ok("report", "tomita4-machine.rdahw", "--out", "page.html")
    assert "The machine starts in state 0" in (run.folder / "page.html").read_text()


@pytest.mark.slow
def test_the_circuit_is_exported(run: Runner, trained: dict[str, Any]) -> None:
    run.ok("export", "tomita4-machine.rdahw", "--to", "verilog", "--out", "machine.v")
    assert "module" in (run.folder / "machine.v").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("train", "--data", "parity", "--binarise", "quantile=3"),
            "symbols of sequences have their own; leave it out",
        ),
        (("prove", "--equal", "tomita4", "lookup"), "'tomita4' is a machine, with a state, and 'lookup' is not"),
        (("prove", "--equal", "lookup", "tomita4"), "'tomita4' is a machine, with a state, and 'lookup' is not"),
        (
            ("prove", "--equal", "lookup >> lookup", "lookup"),
            "circuits cannot be joined",
        ),
        (
            ("prove", "--equal", "parity >> lookup", "parity"),
            "'parity' is a machine, with a state, and 'lookup' is not",
        ),
        (("prove", "--equal", "parity >>", "parity"), "a model is missing beside >> in 'parity >>'"),
        (("show", "tomita8"), "there is no model 'tomita8' and no such file; did you mean 'tomita7'"),
        (("show", "tomita4:states=3"), "a machine of 3 state bits starts from tomita4, which has 2; set states=2"),
        (
            ("train", "--data", "tomita4", "--model", "lookup"),
            "model 'lookup' is for classification, and the task is sequences; leave --model out",
        ),
        (
            ("train", "--data", "iris", "--model", "machine"),
            "model 'machine' is for sequences, and the task is classification; choose another model, or give sequences",
        ),
        (("train", "--data", "parity", "--model", "auto"), "the task of the data 'parity' is sequences; name a model"),
        (("train", "--data", "parity", "--task", "classification"), "leave --task classification out"),
        (("pack", "--data", "parity"), "is for the task sequences, and a flash image holds classes"),
        (("train", "--data", "parity", "--sequence", "rows"), "--sequence rows is for files of sequences"),
        (("train", "--data", "parity", "--model", "machine:states=12"), "expected a whole number from 1 to 11"),
        (("train", "--data", "parity", "--batch", "2"), "a machine takes sequences one at a time: use batch 1"),
        (
            ("train", "--data", "parity", "--hdl"),
            "rule=difference learn in software only; train with --optimiser shadow",
        ),
        (
            ("train", "--data", "lfsr:8", "--model", "machine:states=9,rule=shadow", "--hdl"),
            "machines of 9 state bits learn in software only; train with at most 8",
        ),
        (("show", "lfsr:8:states=6"), "a machine of 6 state bits starts from lfsr:8, which has 7; set states=7"),
        (("show", "lfsr:9"), "there is no model 'lfsr:9' and no such file; did you mean 'lfsr:"),
        (("synth", "machine:rule=climb", "--data", "parity"), "rule=climb learn in software only"),
        (("train", "--data", "parity", "--device", "p"), "rule=difference learn in software only"),
        (
            ("train", "--data", "parity", "--model", "machine:live=1"),
            "live=1 is for machines that learn by rule=shadow",
        ),
        (("train", "--data", "parity", "--optimiser", "sign=3"), "use difference=NUMBER or xor or climb"),
        (("train", "--data", "parity", "--task", "regression"), "the task of the data set 'parity' is sequences"),
    ],
)
def test_what_is_refused(run: Runner, arguments: tuple[str, ...], message: str) -> None:
    ran = run(*arguments)
    assert ran.code != 0
    assert message in ran.error


def test_sequences_for_another_model_are_refused(run: Runner, tmp_path: Path, trained: dict[str, Any]) -> None:
    assert (
        "the task of the data set 'iris' is classification"
        in run("eval", "tomita4-machine.rdahw", "--data", "iris").error
    )


@pytest.mark.slow
def test_a_machine_is_exported_with_its_state(run: Runner, trained: dict[str, Any]) -> None:
    run.ok("export", "tomita4-machine.rdahw", "--to", "verilog", "--stream")
    text = (run.folder / "tomita4-machine-stream.v").read_text()
    assert "// The machine, which takes a symbol in a clock cycle, of the model 'machine:states=2'" in text
    assert "symbols__payload[1:1] is first" in text
    assert "always @(posedge clk)" in text
    ran = run("export", "lookup", "--to", "verilog", "--stream")
    assert "is no machine; leave --stream out" in ran.error


def test_a_machine_is_not_drawn_as_gateware(run: Runner) -> None:
    ran = run("export", "tomita4", "--to", "dot", "--stream")
    assert "a machine has state and cannot be drawn; leave --stream out" in ran.error
