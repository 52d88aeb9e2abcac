"""Memory trainers against the step of their ensemble: proved for any number of examples, and faults are refuted."""

from __future__ import annotations

import gc
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from amaranth.hdl import Fragment
from faults import Site, fault, sites

from rdahw.claims import TooLarge
from rdahw.errors import MissingError
from rdahw.families.ensemble.spec import EnsembleSpec
from rdahw.hdl import solvers
from rdahw.hdl.class_scores import ClassScores
from rdahw.hdl.memory_proof import memory_trainer
from rdahw.hdl.memory_trainer import MemoryTrainer
from rdahw.hdl.proof import Proof, prove
from rdahw.hdl.toolchain import find
from rdahw.hdl.write_back_buffer import WriteBackBuffer
from rdahw.sim.reference import run

pytestmark = pytest.mark.slow

SMALL = EnsembleSpec(input_bits=2, classes=2, tables=2, inputs=1, counter=2, margin=1, dropout=0.0)


def prove_one(spec: EnsembleSpec, cache: Path, **options: Any) -> Proof:
    (proof,) = prove(
        [memory_trainer(spec)], replay=run, cache=cache, **{"timeout": 1200.0, "solver": "boolector", **options}
    )
    return proof


@pytest.mark.parametrize(
    "changes",
    [
        {"dropout": 0.25, "counter": 3, "sign": True},
        {"classes": 3, "margin": 0, "tables": 1},
        {"inputs": 2, "input_bits": 3, "margin": 0},
        {"margin": 200},
    ],
)
def test_small_trainers_are_proved_by_the_usual_solver(changes: dict[str, Any], tmp_path: Path) -> None:
    proof = prove_one(replace(SMALL, **changes), tmp_path, solver="auto", timeout=None)
    assert (proof.name, proof.verdict, proof.solver.split()[0]) == ("trainer", "proved", "boolector")


def test_without_boolector_yosys_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_boolector(name: str, toolchain: Any) -> Any:
        if name == "boolector":
            raise MissingError("boolector is not installed")
        return find(name, toolchain)

    monkeypatch.setattr(solvers, "find", no_boolector)
    proof = prove_one(SMALL, tmp_path, solver="auto", timeout=0.01)
    assert (proof.verdict, proof.solver.split()[0]) == ("open", "yosys")


#: A signal of a part that is stuck at a value, and what is then seen to be wrong.
FAULTS = [
    (MemoryTrainer, "results.payload.correct", "stuck at 1"),
    (WriteBackBuffer, "flips", "stuck at 0"),
    (ClassScores, "updates", "stuck at 1"),
]


@pytest.mark.parametrize(("part", "name", "kind"), FAULTS, ids=lambda value: getattr(value, "__name__", value))
def test_a_faulty_trainer_is_refuted(part: type, name: str, kind: str, tmp_path: Path) -> None:
    site = _site(part, name)
    with fault(part, site, kind):
        proof = prove_one(SMALL, tmp_path)
    assert proof.verdict == "refuted"
    assert proof.found is not None
    assert proof.found["trainer"] != proof.found["learner"]
    assert len(proof.cycles) > 1


def _site(part: type, name: str) -> Site:
    """The fault's place in the lowest bit of the signal of this name."""
    trainer = MemoryTrainer(SMALL)
    Fragment.get(trainer, None)
    made = {MemoryTrainer: trainer, **{type(one): one for one in trainer.parts.values()}}
    return next(site for site in sites(made[part]) if site.text in (name, f"{name}[0]"))


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
def test_what_is_too_large() -> None:
    with pytest.raises(TooLarge, match="the trainer takes 9 input bits; at most 8 are tried"):
        memory_trainer(replace(SMALL, input_bits=9))
    with pytest.raises(TooLarge, match="at most 60 are tried"):
        memory_trainer(replace(SMALL, tables=64))
    gc.collect()  # so that Amaranth complains within this test
