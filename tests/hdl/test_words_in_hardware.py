"""Words beyond circuits as modules: as gates for solvers, and a trained ensemble folded into hardware that predicts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from amaranth.sim import Simulator
from hypothesis import given, settings
from oracles import evaluate
from strategies import mixed_circuits

from rdahw import Circuit, Learner, make_model
from rdahw.hdl.gates import to_gates
from rdahw.hdl.inference import FixedModel
from rdahw.hdl.proof import gateware, prove
from rdahw.sim.reference import run


@settings(max_examples=40)
@given(mixed_circuits())
def test_circuits_of_words_as_gates(f: Circuit) -> None:
    gates, results = to_gates(f)
    inputs = np.random.default_rng(0).integers(0, 2, (20, gates.inputs), np.uint8)
    for row, expected in zip(inputs, evaluate(f, inputs), strict=True):
        values = [0, 1, *map(int, row)]
        for operator, a, b in gates.gates:
            values.append(values[a] ^ values[b] if operator == "xor" else values[a] & values[b])
        assert [values[bit] for result in results for bit in result] == expected.tolist()


@pytest.mark.parametrize("levels", [3, 100])
def test_a_fixed_ensemble_predicts_its_head(levels: int) -> None:
    learner = Learner(make_model("ensemble:tables=4,inputs=2,counter=3", 5, 3), "margin=4", "counter=3")
    random = np.random.default_rng(1)
    type_ = learner.model.circuit.input_types[0]
    theta = type_.to_bits(random.integers(-4, 4, type_.count))
    x = random.integers(0, 2, (24, 5), np.uint8)
    (expected,) = run(learner.model.predictor, theta, x)
    device, found = FixedModel(learner, theta, levels=levels), []

    async def offer(ctx: Any) -> None:
        for row in x:
            ctx.set(device.examples.payload.x, sum(int(bit) << i for i, bit in enumerate(row)))
            ctx.set(device.examples.valid, 1)
            while not ctx.get(device.examples.ready):
                await ctx.tick()
            await ctx.tick()
        ctx.set(device.examples.valid, 0)

    async def take(ctx: Any) -> None:
        ctx.set(device.results.ready, 1)
        while len(found) < len(x):
            await ctx.tick()
            if ctx.get(device.results.valid):
                found.append(ctx.get(device.results.payload.prediction))

    simulator = Simulator(device)
    simulator.add_clock(1e-6)
    simulator.add_testbench(offer)
    simulator.add_testbench(take)
    simulator.run()
    assert found == [sum(int(bit) << i for i, bit in enumerate(row)) for row in expected]
    assert len(set(found)) > 1


@pytest.mark.slow
def test_the_step_of_an_ensemble_in_hardware_is_proved(tmp_path: Path) -> None:
    """For all counters, inputs and labels: words add up, wrap and saturate in Amaranth as they do in gates."""
    learner = Learner(make_model("ensemble:tables=2,inputs=1,counter=2", 2, 2), "margin=1", "counter=2")
    (proof,) = prove([gateware(learner.step, "step")], replay=run, cache=tmp_path / "proofs")
    assert (proof.size, proof.verdict) == ("step: 32+2+2 -> 32", "proved")
