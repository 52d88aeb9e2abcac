"""``rdahw prove``: the table, the JSON, and that nothing but «proved» exits 0."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from running import Runner

from rdahw.cli import prove
from rdahw.hdl import netlist_proof, proof, toolchain, trainer_claims, trainer_factory

SQUARE = """
from rdahw import Bits, trace
square = trace(lambda theta, x: theta & x & x, theta=Bits(4), x=Bits(4))
"""

SURROGATE = """
from rdahw import Bits, custom_reverse, trace
both = dict(a=Bits(2), b=Bits(2))
block = custom_reverse(
    trace(lambda a, b: a & b, **both), trace(lambda a, b, dy: {"da": dy, "db": dy}, **both, dy=Bits(2)),
    name="straight through", exact=False,
)
f = trace(lambda theta, x: block(theta, x), theta=Bits(2), x=Bits(2))
"""


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof, "user_cache", lambda name: tmp_path / "cache" / name)


def verdicts(value: dict[str, Any]) -> dict[tuple[str, str], str]:
    return {(claim["name"], claim["size"]): claim["verdict"] for claim in value["claims"]}


@pytest.mark.slow
def test_all_claims_about_the_trained_iris_lookup(run: Runner) -> None:
    run.ok("train", "-q")
    value = run.ok("prove", "iris-lookup.rdahw", "--json").json
    assert verdicts(value) == {
        ("adjoint", "48+4 -> 3"): "proved",
        ("difference", "48+4 -> 3"): "proved",
        ("custom", "lookup: 48+4 -> 3"): "proved",
        ("gateware", "model: 48+4 -> 3"): "proved",
        ("gateware", "step: 48+4+3 -> 48"): "proved",
        ("gateware", "inference: 4 -> 3"): "proved",
        ("trainer", "immediate, 1 stage: 48+4 -> 3"): "proved",
        ("trainer", "immediate, 2 stages: 48+4 -> 3"): "proved",
        ("trainer", "batch, 1 stage: 48+4 -> 3"): "proved",
        ("trainer", "batch, 2 stages: 48+4 -> 3"): "proved",
        ("trainer", "immediate, 1 stage, access: 48+4 -> 3"): "proved",
        ("trainer", "immediate, 2 stages, access: 48+4 -> 3"): "proved",
        ("trainer", "batch, 1 stage, access: 48+4 -> 3"): "proved",
        ("trainer", "batch, 2 stages, access: 48+4 -> 3"): "proved",
        ("synthesis", "iCE40, immediate, 1 stage: 48+4 -> 3"): "proved",
        ("synthesis", "iCE40, immediate, 2 stages: 48+4 -> 3"): "proved",
        ("synthesis", "iCE40, batch, 1 stage: 48+4 -> 3"): "proved",
        ("synthesis", "iCE40, batch, 2 stages: 48+4 -> 3"): "proved",
        ("synthesis", "iCE40, inference: 4 -> 3"): "proved",
        ("synthesis", "ECP5, immediate, 1 stage: 48+4 -> 3"): "proved",
        ("synthesis", "ECP5, immediate, 2 stages: 48+4 -> 3"): "proved",
        ("synthesis", "ECP5, batch, 1 stage: 48+4 -> 3"): "proved",
        ("synthesis", "ECP5, batch, 2 stages: 48+4 -> 3"): "proved",
        ("synthesis", "ECP5, inference: 4 -> 3"): "proved",
    }
    assert all({"seconds", "solver", "statement"} <= claim.keys() for claim in value["claims"])
    out = run.ok("prove", "iris-lookup.rdahw").out  # from the cache
    assert [line.split()[0] for line in out.splitlines()[2:]] == [
        "adjoint",
        "difference",
        "custom",
        *["gateware"] * 3,
        *["trainer"] * 8,
        *["synthesis"] * 10,
    ]
    assert out.count("(kept)") == 24


def test_wishes_about_a_trained_model(run: Runner) -> None:
    run.ok("train", "-q")
    ran = run("prove", "iris-lookup.rdahw", "--what", "one-hot,robust:4", "--json")
    assert ran.code == 1
    one_hot, robust = ran.json["claims"]
    assert (one_hot["name"], robust["name"], robust["verdict"]) == ("one-hot", "robust 4", "refuted")
    assert robust["counterexample"].keys() == {"x", "flips"}
    assert robust["found"]["with flips"] != robust["found"]["without"]
    assert robust["solver"] == "search"
    assert robust["counterexample"]["flips"].count("1") == 1


def test_each_verdict_is_logged(run: Runner) -> None:
    ran = run.ok("prove", "lookup", "--inputs", 2, "--what", "adjoint,difference")
    for name in ("adjoint", "difference"):
        assert re.search(rf"^{name} \(4\+2 -> 1\): proved, \d+\.\d\d s$", ran.err, re.MULTILINE)
    assert run.ok("prove", "lookup", "--inputs", 2, "--what", "adjoint", "-q").err == ""


def test_two_models_are_compared(run: Runner) -> None:
    run.ok("train", "-q", "--out", "a.rdahw")
    run.ok("train", "-q", "--out", "b.rdahw", "--seed", 5, "--updates", 3)
    value = run.ok("prove", "--equal", "a.rdahw", "a.rdahw", "--json").json
    assert verdicts(value) == {("equal", "4 -> 3"): "proved", ("equal", "data, labels"): "proved"}
    assert value["compared"] == ["circuits", "binariser", "labels"]
    ran = run("prove", "--equal", "a.rdahw", "b.rdahw")
    assert (ran.code, ran.error) == (1, "of 2 claims 1 refuted; the counterexample or difference is shown above")
    shown = ran.out.partition("it does not hold for this input that f(x) = g(x). Bit 0 is the last.\n")[2].splitlines()
    x, f, g = (line.strip() for line in shown)
    assert x.startswith("x = ")
    assert f.removeprefix("f: ") != g.removeprefix("g: ")


def test_models_that_see_the_data_otherwise_are_not_equal(run: Runner) -> None:
    run.ok("train", "-q", "--out", "a.rdahw")
    run.ok("train", "-q", "--out", "b.rdahw", "--binarise", "quantile=1")
    ran = run("prove", "--equal", "a.rdahw", "b.rdahw", "--json")
    assert ran.code == 1
    proof = ran.json["claims"][-1]
    assert (proof["size"], proof["verdict"]) == ("data, labels", "refuted")
    assert proof["reason"] == "the rules of their binarisers are 'midrange' and 'quantile=1'"


def test_models_by_name_have_only_circuits_to_compare(run: Runner) -> None:
    out = run.ok("prove", "--equal", "lookup", "lookup").out
    assert "Only the circuits were compared: a circuit or a model by name has no binariser and no labels." in out
    assert run.ok("prove", "--equal", "lookup", "lookup", "--json").json["compared"] == ["circuits"]


@pytest.mark.slow
def test_a_damaged_netlist_is_no_success(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = netlist_proof._SYNTHESISE.replace(
        "write_json netlist", "setparam -set LUT_INIT 0 t:SB_LUT4\nwrite_json netlist"
    )
    monkeypatch.setattr(netlist_proof, "_SYNTHESISE", broken)
    monkeypatch.setattr(prove, "_BOARDS", ("icebreaker",))
    ran = run("prove", "lookup", "--inputs", 1, "--what", "synthesis")
    assert (ran.code, ran.error) == (1, "of 4 claims 4 refuted; the counterexample or difference is shown above")
    assert (
        "synthesis (iCE40, immediate, 1 stage: 2+1 -> 1) is refuted: it does not hold in the last cycle shown"
        in ran.out
    )
    assert re.search(r"^  cycle 0: .*rst = [01]", ran.out, re.MULTILINE)
    assert re.search(r"^  netlist: ", ran.out, re.MULTILINE)


@pytest.mark.slow
@pytest.mark.parametrize("solver", ["boolector", "z3"])
def test_another_solver(run: Runner, solver: str) -> None:
    value = run.ok("prove", "lookup", "--inputs", 2, "--what", "adjoint,gateware", "--solver", solver, "--json").json
    assert {claim["solver"].split()[0] for claim in value["claims"]} == {solver}


def test_a_solver_that_is_missing(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolchain, "_from_package", lambda tool: None)
    ran = run("prove", "lookup", "--inputs", 2, "--what", "adjoint", "--solver", "boolector")
    assert ran.code == 3
    assert "is not installed; pip install" in ran.error


@pytest.mark.slow
def test_a_square_is_refuted_and_explained(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    (run.folder / "mine.py").write_text(SQUARE)
    options = ("mine.py:square", "--inputs", 4, "--outputs", 4)
    assert prove._CLAIMS[:2] == ("adjoint", "difference")
    monkeypatch.setattr(prove, "_CLAIMS", ("adjoint", "difference", "gateware"))  # the others take long
    value = run.ok("prove", *options, "--json").json  # not the difference, since the circuit is not safe
    assert {name for name, _ in verdicts(value)} == {"adjoint", "gateware"}
    ran = run("prove", *options, "--what", "difference,adjoint")
    assert (ran.code, ran.error) == (1, "of 2 claims 1 refuted; the counterexample or difference is shown above")
    assert "R[f]: dtheta = " in ran.out
    assert "The circuit multiplies two values that depend on the same input bit, as in x AND x" in ran.out


@pytest.mark.slow
def test_a_model_of_words_has_the_claims_that_hold_in_its_ring(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prove, "_CLAIMS", ("adjoint", "difference", "custom", "gateware"))
    value = run.ok("prove", "ensemble:tables=2,inputs=1", "--inputs", 2, "--outputs", 2, "--json").json
    assert verdicts(value) == {
        ("adjoint", "64+2 -> 16"): "proved",
        ("gateware", "model: 64+2 -> 16"): "proved",
        ("gateware", "step: 64+2+2 -> 64"): "proved",
    }


def test_of_a_model_too_large_for_a_circuit_every_claim_is_open(run: Runner) -> None:
    ran = run("prove", "ensemble", "--inputs", 20, "--outputs", 3, "--json")
    assert (ran.code, ran.error) == (1, "of 6 claims 6 open; the reason is shown above")
    assert [claim["name"] for claim in ran.json["claims"]] == list(prove._CLAIMS)
    assert {claim["verdict"] for claim in ran.json["claims"]} == {"open"}
    reasons = {claim["name"]: claim["reason"] for claim in ran.json["claims"]}
    assert reasons["gateware"].startswith("the learning step of 256 tables of 6 inputs would have a state of 294912 ")


@pytest.mark.slow
def test_the_trainer_is_the_one_that_synthesis_takes(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wide mask learns a word at a time on a board, and no claim about a trainer in registers is made of it."""
    asked = []

    def make(spec: Any, **form: Any) -> Any:
        asked.append(form)
        return trainer_factory.make_trainer(spec, **form)

    monkeypatch.setattr(trainer_claims, "make_trainer", make)
    value = run.ok("prove", "mask", "--inputs", 2, "--what", "trainer", "--json").json
    assert len(value["claims"]) == 8
    assert [
        asked.count({"access": a, "batch": b, "stages": s}) > 0 for a in (0, 1) for b in (0, 1) for s in (1, 2)
    ] == ([True] * 8)
    asked.clear()
    ran = run("prove", "mask", "--inputs", 65, "--what", "trainer", "--json")
    assert "immediate" not in str(ran.json)
    assert not asked


def test_a_declared_surrogate_is_told_as_one(run: Runner) -> None:
    (run.folder / "mine.py").write_text(SURROGATE)
    ran = run("prove", "mine.py:f", "--inputs", 2, "--outputs", 2, "--what", "difference")
    assert ran.code == 1
    assert "The reverse derivative of 'straight through' is a declared surrogate" in ran.out


@pytest.mark.slow
def test_open_is_no_success(run: Runner) -> None:
    ran = run("prove", "lookup", "--outputs", 3, "--what", "adjoint", "--timeout", "0.001", "--json")
    assert ran.code == 1
    assert verdicts(ran.json) == {("adjoint", "48+4 -> 3"): "open"}
    assert ran.error == "of 1 claims 1 open; give --timeout more seconds, or prove a smaller size"


def test_what_is_too_large_is_open(run: Runner) -> None:
    ran = run("prove", "lookup", "--inputs", 14, "--what", "difference")
    assert ran.code == 1
    assert "difference is open: the claim 'difference' about a circuit of 16384+14 -> 1 bits would take" in ran.out


def test_what_makes_no_sense(run: Runner) -> None:
    for arguments, message in (
        ((), "no model was given; name one, like iris-lookup.rdahw or lookup, or give --equal A B"),
        (
            ("lookup", "--equal", "lookup", "mask"),
            "--equal compares two models; leave out the third model and --what",
        ),
        (
            ("lookup", "--what", "robust"),
            "--what robust needs a trained model; give a file of rdahw train",
        ),
    ):
        ran = run("prove", *arguments)
        assert (ran.code, ran.error) == (2, message)
    ran = run("prove", "lookup", "--what", "adjont")
    assert ran.code == 2
    assert "unknown claim 'adjont'; did you mean 'adjoint'?" in ran.err
    ran = run("prove", "--equal", "lookup", "mask", "--inputs", 3)
    assert (ran.code, ran.error) == (
        1,
        "a circuit of 8+3 -> 1 bits cannot be equal to one of 3+3 -> 1; expected the same widths",
    )
