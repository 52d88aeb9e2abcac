"""Trainers against their learners: proved for ever, and what is wrong is refuted by a run that is simulated."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from rdahw import Bits, InternalError, Learner, Model, lookup_model, make_model, trace
from rdahw.hdl import circuit as hdl_circuit
from rdahw.hdl.proof import Proof, prove
from rdahw.hdl.trainer import RegisterTrainer
from rdahw.hdl.trainer_proof import TrainerClaim, trainer
from rdahw.sim.reference import run
from rdahw.tangent_kernel import tangent_kernel

pytestmark = pytest.mark.slow  # Yosys and solvers

IRIS = Learner(Model("lookup", lookup_model(4, 3)))
SMALL = Learner(Model("lookup", lookup_model(2, 1)))
KINDS = [(batch, stages) for batch in (False, True) for stages in (1, 2)]


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "proofs"


def prove_one(claim: TrainerClaim, cache: Path, **options: Any) -> Proof:
    (proof,) = prove([claim], replay=run, cache=cache, **options)
    return proof


def test_the_iris_trainers_are_proved(cache: Path) -> None:
    proofs = prove([trainer(IRIS, batch=batch, stages=stages) for batch, stages in KINDS], replay=run, cache=cache)
    assert [(proof.size, proof.verdict) for proof in proofs] == [
        ("immediate, 1 stage: 48+4 -> 3", "proved"),
        ("immediate, 2 stages: 48+4 -> 3", "proved"),
        ("batch, 1 stage: 48+4 -> 3", "proved"),
        ("batch, 2 stages: 48+4 -> 3", "proved"),
    ]


def test_access_to_parameters_is_proved(cache: Path) -> None:
    claims = [trainer(SMALL, batch=batch, stages=stages, access=True) for batch, stages in KINDS]
    assert [proof.verdict for proof in prove(claims, replay=run, cache=cache)] == ["proved"] * 4


def test_bytes_that_are_not_all_there_are_proved(cache: Path) -> None:
    learner = Learner(Model("lookup", lookup_model(1, 10)))  # 20 parameters: the last byte of half a byte
    assert prove_one(trainer(learner, access=True), cache).verdict == "proved"


def test_trainers_that_wait_for_an_update_are_proved(cache: Path) -> None:
    product = trace(lambda theta, x: theta & theta[::-1] & x, theta=Bits(3), x=Bits(3))
    assert tangent_kernel(product) is None
    learner = Learner(Model("product", product))
    kinds = itertools.product((False, True), (False, True))
    claims = [trainer(learner, batch=batch, stages=2, access=access) for batch, access in kinds]
    assert [proof.verdict for proof in prove(claims, replay=run, cache=cache)] == ["proved"] * 4


def test_a_trainer_of_counters_is_proved(cache: Path) -> None:
    model = make_model("ensemble:tables=1,inputs=1", 1, 2)
    claim = trainer(Learner(model, "margin=1", "counter=3"), batch=True)
    assert prove_one(claim, cache).verdict == "proved"


@pytest.mark.parametrize("solver", ["boolector", "z3"])
def test_other_solvers_prove_it_too(solver: Any, cache: Path) -> None:
    proof = prove_one(trainer(IRIS, batch=True, stages=2), cache, solver=solver)
    assert (proof.verdict, proof.solver.split()[0]) == ("proved", solver)


@pytest.mark.parametrize(("batch", "stages"), KINDS)
def test_a_wrong_row_in_a_trainer_is_refuted(
    batch: bool, stages: int, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    monkeypatch.setitem(hdl_circuit.ROWS, "decode", lambda a: hdl_circuit.Cat(1 << i != a for i in range(1 << len(a))))  # type: ignore[attr-defined]
    claim = trainer(SMALL, batch=batch, stages=stages)
    proof = prove_one(claim, cache)
    assert proof.verdict == "refuted"
    assert proof.found is not None
    assert proof.found["trainer"] != proof.found["learner"]
    assert prove_one(claim, cache).is_cached


class Forgetful(RegisterTrainer):  # type: ignore[misc]
    """Loses bit 2 of theta in the second cycle in which a result is not taken."""

    def elaborate(self, platform: object) -> Any:
        m = super().elaborate(platform)
        waited = hdl_circuit.Signal()  # type: ignore[attr-defined]
        stuck = self.results.valid & ~self.results.ready
        m.d.sync += waited.eq(stuck)
        with m.If(stuck & waited):
            m.d.sync += self.theta[2].eq(0)
        return m


@pytest.mark.parametrize("solver", ["yosys", "boolector", "z3"])
def test_a_counterexample_is_a_run_by_cycle(solver: Any, cache: Path) -> None:
    proof = prove_one(trainer(SMALL, make=Forgetful), cache, solver=solver)
    assert proof.verdict == "refuted"
    learning, stuck, again, last = proof.cycles
    assert learning.keys() == {"rst", "x", "y", "last", "offered", "taken"}
    assert [learning[name] for name in ("rst", "x", "y", "offered")] == ["0", "10", "1", "1"]
    assert [(row["rst"], row["taken"]) for row in (stuck, again)] == [("0", "0")] * 2
    assert proof.found == {"trainer": {"theta": "0000"}, "learner": {"theta": "0100"}}
    value = proof.to_json()
    assert value["cycles"] == [dict(row) for row in proof.cycles]
    assert value["found"]["learner"] == {"theta": "0100"}
    assert "counterexample" not in value


class WriteWins(RegisterTrainer):  # type: ignore[misc]
    """Where a write and a clear meet, a bit is written."""

    def elaborate(self, platform: object) -> Any:
        m = super().elaborate(platform)
        with m.If(self.control.clear & self.control.parameter_write_enable & (self.control.parameter_address == 0)):
            m.d.sync += self.theta[3].eq(self.control.parameter_write[3])
        return m


class Miscounting(RegisterTrainer):  # type: ignore[misc]
    """Counts examples that it only predicts."""

    def elaborate(self, platform: object) -> Any:
        m = super().elaborate(platform)
        with m.If(self.examples.valid & self.examples.ready & ~self.examples.payload.learn):
            m.d.sync += self.control.example_count.eq(self.control.example_count + 1)
        return m


@pytest.mark.parametrize(("batch", "stages"), KINDS)
def test_a_wrong_access_is_refuted(batch: bool, stages: int, cache: Path) -> None:
    proof = prove_one(trainer(SMALL, batch=batch, stages=stages, access=True, make=WriteWins), cache)
    row = proof.cycles[-2]
    assert (row["rst"], row["clear"], row["write_enable"], row["address"], row["write"][-4]) == (
        "0",
        "1",
        "1",
        "0",
        "1",
    )
    assert proof.found is not None
    assert {"theta"} <= proof.found["trainer"].keys() <= {"theta", "read"}
    proof = prove_one(trainer(SMALL, batch=batch, stages=stages, access=True, make=Miscounting), cache)
    assert proof.found == {
        "trainer": {"example_count": format(1, "032b")},
        "learner": {"example_count": format(0, "032b")},
    }


def test_one_stage_is_not_two(cache: Path) -> None:
    def one(*arguments: Any, stages: int, **options: Any) -> RegisterTrainer:
        return RegisterTrainer(*arguments, stages=1, **options)

    for batch in (False, True):
        proof = prove_one(trainer(SMALL, batch=batch, stages=2, make=one), cache)
        assert proof.verdict == "refuted"
        assert proof.found is not None
        assert proof.found["trainer"].keys() & {"theta", "accumulator", "prediction"}


def test_a_run_that_shows_nothing_is_no_refutation() -> None:
    claim = trainer(SMALL)
    rows = [{"rst": "0", "x": "10", "y": "1", "last": "1", "offered": "1", "taken": "1"}] * 3
    with pytest.raises(InternalError, match=r"^the counterexample to trainer \(.*\) fails no claim when it is run"):
        claim.replayed(rows, run)
