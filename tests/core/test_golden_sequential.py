"""Random polynomial machines, recorded: outputs and the reverse derivative, which three forms of ours must give."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from golden_files import golden
from machines import inner, joined, polynomial

from rdahw import Bits, Words, reverse
from rdahw.machine import Machine, trace_machine, unroll
from rdahw.machine_derivative import adjoint_machine, forward_machine, reverse_machine, rtrl_machine
from rdahw.sim import run
from rdahw.sim.machine import ENGINES, run_machine
from rdahw.types import Type

GOLDEN = json.loads(golden("sequential.json").read_text())["machines"]
CASES = pytest.mark.parametrize("row", GOLDEN, ids=[f"Z{row['modulus']}-{i}" for i, row in enumerate(GOLDEN)])


def elements(row: Any, count: int) -> Type:
    bits = row["modulus"].bit_length() - 1
    assert row["modulus"] == 1 << bits, "the modulus is no power of two"
    return Bits(count) if bits == 1 else Words(count, bits)


def machine_of(row: Any) -> Machine:
    one = elements(row, 1)

    def step(theta: Any, s: Any, x: Any) -> Any:
        values = [wire[i : i + 1] for wire in (s, x, theta) for i in range(len(wire))]
        return tuple(joined([polynomial(values, one, terms) for terms in row[part]], one) for part in "GF")

    parameters, state = {"theta": elements(row, row["P"])}, {"s": elements(row, row["n"])}
    return trace_machine(step, parameters=parameters, state=state, x=elements(row, row["m"]))


def encoded(row: Any, values: Sequence[Any]) -> Any:
    """Numbers (…, count) as bits (…, width)."""
    width = row["modulus"].bit_length() - 1
    array = np.asarray(values)[..., None] >> np.arange(width) & 1
    return array.reshape(*array.shape[:-2], -1).astype(np.uint8)


@CASES
@pytest.mark.parametrize("engine", ENGINES)
def test_golden_sequential_outputs(row: Any, engine: str) -> None:
    theta, state = [encoded(row, row["theta"])], [encoded(row, row["s0"])]
    found = run_machine(machine_of(row), encoded(row, row["X"]), parameters=theta, state=state, engine=engine)
    np.testing.assert_array_equal(found.outputs[0], encoded(row, row["Y"]))


@CASES
def test_golden_sequential_back_propagation_as_a_circuit(row: Any) -> None:
    machine = machine_of(row)
    inputs = [encoded(row, value) for value in (row["theta"], row["s0"], *row["X"], *row["dY"], [0] * row["n"])]
    for circuit in (reverse_machine(machine, row["T"]), reverse(unroll(machine, row["T"]))):
        dtheta, ds, *dx = run(circuit, *inputs)
        np.testing.assert_array_equal(dtheta, encoded(row, row["dtheta"]))
        np.testing.assert_array_equal(ds, encoded(row, row["ds0"]))
        np.testing.assert_array_equal(dx, encoded(row, row["dX"]))


@CASES
def test_golden_sequential_adjoint_machine(row: Any) -> None:
    machine, theta, x = machine_of(row), [encoded(row, row["theta"])], encoded(row, row["X"])
    states = [encoded(row, row["s0"])]
    for t in range(row["T"]):
        states.append(run_machine(machine, x[t : t + 1], parameters=theta, state=states[-1:]).state[0])
    backwards = [np.array(array)[::-1] for array in (states[:-1], x, encoded(row, row["dY"]))]
    found = run_machine(adjoint_machine(machine), *backwards, parameters=theta)
    np.testing.assert_array_equal(found.outputs[0][::-1], encoded(row, row["dX"]))
    np.testing.assert_array_equal(found.state[0], encoded(row, row["ds0"]))
    np.testing.assert_array_equal(found.state[1], encoded(row, row["dtheta"]))


@CASES
def test_golden_sequential_tangent_machine(row: Any) -> None:
    forward, theta, x = forward_machine(machine_of(row)), encoded(row, row["theta"]), encoded(row, row["X"])
    first, dy = encoded(row, row["s0"]), encoded(row, row["dY"])
    found = []
    for p in range(row["P"]):
        change = encoded(row, np.eye(row["P"], dtype=int)[p])
        state = [first, np.zeros_like(first)]
        dy_p = run_machine(forward, x, np.zeros_like(x), parameters=[theta, change], state=state).outputs[0]
        found.append(inner(elements(row, row["o"]), dy, dy_p) % row["modulus"])
    np.testing.assert_array_equal(encoded(row, found), encoded(row, row["dtheta"]))


@CASES
def test_golden_sequential_real_time_recurrent_learning(row: Any) -> None:
    machine = rtrl_machine(machine_of(row))
    zeros = [np.zeros(port.type.width, np.uint8) for port in machine.states[1:]]
    found = run_machine(
        machine,
        encoded(row, row["X"]),
        encoded(row, row["dY"]),
        parameters=[encoded(row, row["theta"])],
        state=[encoded(row, row["s0"]), *zeros],
    )
    np.testing.assert_array_equal(found.outputs[0][-1], encoded(row, row["dtheta"]))
