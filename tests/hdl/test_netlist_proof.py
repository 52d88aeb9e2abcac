"""Netlists of an FPGA's cells against the design: proved as they are, refuted with one cell damaged."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rdahw import InternalError, Learner, Model, UserError, lookup_model
from rdahw.hdl.inference import FixedModel
from rdahw.hdl.netlist_proof import NetlistClaim, netlist
from rdahw.hdl.proof import Proof, prove
from rdahw.hdl.solvers import Budget
from rdahw.hdl.toolchain import find
from rdahw.hdl.trainer import RegisterTrainer
from rdahw.sim.reference import run

pytestmark = pytest.mark.slow  # Yosys and solvers

SMALL = Learner(Model("lookup", lookup_model(2, 1)))
ICE40 = ("synth_ice40", "-device", "u")
ECP5 = ("synth_ecp5",)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "proofs"


def claim(synth: tuple[str, ...], **options: Any) -> NetlistClaim:
    return netlist(lambda: RegisterTrainer(SMALL, **options), synth, "small")


def prove_one(claim: NetlistClaim, cache: Path, **options: Any) -> Proof:
    (proof,) = prove([claim], replay=run, cache=cache, **options)
    return proof


def damaged(claim: NetlistClaim, folder: Path, damage: Callable[[dict[str, Any]], None]) -> NetlistClaim:
    """The claim about its own netlist with some of its cells changed."""
    make, _, rest = claim.script.partition("design -reset\n")
    budget = Budget(folder, 100, threading.Event())
    budget.write({**claim.files, "make.ys": make})
    budget.run(find("yosys"), ["-q", "-s", "make.ys"], "make.log")
    value = json.loads((folder / "netlist.json").read_text())
    damage(value["modules"]["core"]["cells"])
    return replace(claim, files={**claim.files, "netlist.json": json.dumps(value)}, script=rest)


def first(cells: dict[str, Any], *kinds: str) -> Any:
    return next(cell for name, cell in sorted(cells.items()) if cell["type"] in kinds and "theta" in name)


@pytest.mark.parametrize("synth", [ICE40, ECP5], ids=lambda synth: str(synth[0]))
def test_what_was_learned_is_proved_with_its_memory(synth: tuple[str, ...], cache: Path) -> None:
    fixed = netlist(lambda: FixedModel(SMALL, np.array([0, 1, 1, 0], np.uint8)), synth, "xor")
    assert prove_one(fixed, cache).verdict == "proved"


@pytest.mark.parametrize("solver", ["boolector", "z3"])
def test_other_solvers_prove_it_too(solver: Any, cache: Path) -> None:
    proof = prove_one(claim(ICE40, access=True), cache, solver=solver)
    assert (proof.verdict, proof.solver.split()[0]) == ("proved", solver)


def invert(text: str) -> str:
    return text.translate(str.maketrans("01", "10"))


def wrong_table(cells: dict[str, Any]) -> None:
    cell = next(cell for _, cell in sorted(cells.items()) if cell["type"] in ("SB_LUT4", "LUT4"))
    name = "LUT_INIT" if "LUT_INIT" in cell["parameters"] else "INIT"
    cell["parameters"][name] = invert(cell["parameters"][name])


def one_bit_of_a_table(cells: dict[str, Any]) -> None:
    # The first table of theta whose inputs are all connected: each of its bits is used.
    tables = [c for n, c in sorted(cells.items()) if c["type"] == "SB_LUT4" and "theta" in n]
    cell = next(c for c in tables if all(isinstance(c["connections"][f"I{k}"][0], int) for k in range(4)))
    text = cell["parameters"]["LUT_INIT"]
    cell["parameters"]["LUT_INIT"] = text[:-1] + invert(text[-1])


def set_for_reset(cells: dict[str, Any]) -> None:
    cell = first(cells, "SB_DFFESR", "TRELLIS_FF")
    if cell["type"] == "TRELLIS_FF":
        cell["parameters"]["REGSET"] = "SET"
    else:
        cell["type"] = "SB_DFFESS"


def no_reset(cells: dict[str, Any]) -> None:
    cell = first(cells, "SB_DFFESR", "TRELLIS_FF")
    cell["connections"]["LSR" if cell["type"] == "TRELLIS_FF" else "R"] = ["0"]


def always_enabled(cells: dict[str, Any]) -> None:
    cell = first(cells, "SB_DFFESR", "TRELLIS_FF")
    cell["connections"]["CE" if cell["type"] == "TRELLIS_FF" else "E"] = ["1"]


@pytest.mark.parametrize(
    ("synth", "damage"),
    [
        *((ICE40, damage) for damage in (wrong_table, one_bit_of_a_table, set_for_reset, no_reset, always_enabled)),
        *((ECP5, damage) for damage in (wrong_table, set_for_reset, no_reset, always_enabled)),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else value.__name__,
)
def test_a_damaged_cell_is_refuted(
    synth: tuple[str, ...], damage: Callable[[dict[str, Any]], None], tmp_path: Path, cache: Path
) -> None:
    proof = prove_one(damaged(claim(synth), tmp_path, damage), cache)
    assert proof.verdict == "refuted"
    assert proof.found is not None
    assert proof.cycles[-1].keys() == {"rst", "examples__payload", "examples__valid", "results__ready"}
    assert proof.found["design"].keys() == proof.found["netlist"].keys()
    assert all(proof.found["design"][name] != proof.found["netlist"][name] for name in proof.found["design"])


def test_a_missing_reset_is_shown_by_cycle(tmp_path: Path, cache: Path) -> None:
    proof = prove_one(damaged(claim(ICE40), tmp_path, no_reset), cache, solver="z3")
    assert proof.cycles[-2]["rst"] == "1"
    assert proof.found is not None
    ((name, value),) = proof.found["netlist"].items()
    assert name.startswith("register_")
    assert value.count("1") == 1
    assert set(proof.found["design"][name]) == {"0"}


def test_another_clock_is_no_success(tmp_path: Path, cache: Path) -> None:
    def falling(cells: dict[str, Any]) -> None:
        first(cells, "SB_DFFESR")["type"] = "SB_DFFNESR"

    def other_clock(cells: dict[str, Any]) -> None:
        first(cells, "SB_DFFESR")["connections"]["C"] = first(cells, "SB_LUT4")["connections"]["O"]

    for damage in (falling, other_clock):
        proof = prove_one(damaged(claim(ICE40), tmp_path, damage), cache)
        assert (proof.verdict, proof.reason) == ("open", "a register is not clocked by the rising edge of clk")


def test_a_cell_without_a_model_is_no_success(tmp_path: Path, cache: Path) -> None:
    def other_cell(cells: dict[str, Any]) -> None:
        cell = first(cells, "SB_DFFESR")
        cell["type"], cell["connections"] = "SB_LFOSC", {"CLKLF": cell["connections"]["Q"]}

    proof = prove_one(damaged(claim(ICE40), tmp_path, other_cell), cache)
    assert (proof.verdict, proof.reason) == ("open", "cells of the kind SB_LFOSC are not supported yet")


def test_time_that_runs_out_is_no_success(cache: Path) -> None:
    proof = prove_one(claim(ICE40), cache, timeout=0.01)
    assert (proof.verdict, proof.reason) == ("open", "not decided in 0.01 seconds")
    assert not cache.exists()


def test_a_counterexample_that_shows_nothing_is_none() -> None:
    quiet = {"in_rst": "0", "in_examples__payload": "0000", "in_examples__valid": "0", "in_results__ready": "0"}
    same = {f"{side}_examples__ready": "1" for side in ("gold", "gate")}
    with pytest.raises(InternalError, match=r"^the counterexample to synthesis \(iCE40, small\) fails no claim"):
        claim(ICE40).replayed([quiet | same], run)
    with pytest.raises(InternalError, match="fails no claim"):  # the design does not do what the solver says
        claim(ICE40).replayed([quiet | {"gold_examples__ready": "0", "gate_examples__ready": "1"}], run)


def test_cells_without_models() -> None:
    with pytest.raises(UserError, match="^there are no models of the cells of synth_ice4; did you mean 'synth_ice40'"):
        claim(("synth_ice4",))
