"""Circuits that are read from files of other tools."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from strategies import GATES, circuits

from rdahw import Bits, Circuit, Machine, trace
from rdahw.claims import equal, matched
from rdahw.errors import UsageError, UserError
from rdahw.hdl.circuit import CircuitModule
from rdahw.hdl.export import FORMATS, export
from rdahw.hdl.proof import prove
from rdahw.hdl.reader import read_circuit, read_design
from rdahw.sim import run
from rdahw.sim.machine import run_machine
from rdahw.tracing import Builder
from rdahw.transform import bind


def _drawn(count: int, primitives: tuple[str, ...], number: int) -> list[Circuit]:
    """Random circuits, the same ones each time."""
    found: list[Circuit] = []

    @seed(number)
    @settings(max_examples=count, database=None, deadline=None, phases=[Phase.generate],
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(st.data())
    def draw(data: st.DataObject) -> None:
        found.append(data.draw(circuits(primitives)))

    draw()
    return found[:count]


def _side_by_side(parts: list[Circuit]) -> Circuit:
    """All as one circuit, so that one file has them; ports of part k begin with ``ck_``."""
    builder = Builder()
    inputs = [[builder.input(f"c{k}_{name}", type_) for name, type_ in f.inputs] for k, f in enumerate(parts)]
    outputs = {}
    for k, (f, wires) in enumerate(zip(parts, inputs, strict=True)):
        outputs |= {f"c{k}_{n}": w for n, w in zip(f.output_names, builder.inline(f, wires), strict=True)}
    return builder.finish(outputs)


def _part(whole: Circuit, k: int) -> Circuit:
    """Part k of those side by side."""
    builder = Builder()
    wires = [builder.input(name, type_) for name, type_ in whole.inputs]
    values = dict(zip(whole.output_names, builder.inline(whole, wires), strict=True))
    chosen = builder.finish({name: wire for name, wire in values.items() if name.startswith(f"c{k}_")})
    return bind(chosen, **{n: [0] * t.width for n, t in whole.inputs if not n.startswith(f"c{k}_")})


def _check_round_trip(parts: list[Circuit], format: str, folder: Path) -> None:
    whole = _side_by_side(parts)
    path = folder / f"dut.{FORMATS[format].ending}"
    path.write_text(export(CircuitModule(whole), format, name="dut", about="Circuits."))
    made = read_circuit(path)
    assert isinstance(made, Circuit)
    made = matched(whole, made)
    claims = [equal(_part(whole, k), _part(made, k)) for k in range(len(parts))]
    proofs = prove(claims, replay=run, jobs=1)
    assert [proof.verdict for proof in proofs] == ["proved"] * len(parts)


@pytest.mark.parametrize("format", ["verilog", "rtlil", "blif", "aiger"])
@pytest.mark.slow
def test_each_primitive_comes_back(format: str, tmp_path: Path) -> None:
    parts = [f for number, name in enumerate(GATES) for f in _drawn(3, (name,), number)]
    _check_round_trip(parts, format, tmp_path)


@pytest.mark.parametrize("format", ["verilog", "rtlil", "blif", "aiger"])
@pytest.mark.slow
def test_random_circuits_come_back(format: str, tmp_path: Path) -> None:
    _check_round_trip(_drawn(50, tuple(GATES), list(FORMATS).index(format)), format, tmp_path)
