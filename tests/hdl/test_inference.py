"""A trained model as hardware predicts as the reference does; and what binding an input does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from amaranth.sim import Simulator

from rdahw import Bits, Learner, make_model, trace
from rdahw.errors import UserError
from rdahw.hdl.inference import FixedModel
from rdahw.sim.reference import Reference
from rdahw.transform import bind


def bits(number: int, width: int) -> list[int]:
    return [number >> at & 1 for at in range(width)]


@pytest.mark.parametrize(("spec", "inputs", "outputs"), [("lookup", 4, 3), ("mask", 9, 1)])
def test_every_input_back_to_back(spec: str, inputs: int, outputs: int) -> None:
    learner = Learner(make_model(spec, inputs, outputs))
    random = np.random.default_rng(3)
    theta = random.integers(0, 2, learner.model.parameter_bits, np.uint8)
    xs = np.array([bits(x, inputs) for x in range(1 << inputs)], np.uint8)
    (expected,) = Reference(learner.model.circuit)(theta, xs)
    design = FixedModel(learner, theta)
    predictions, right = [], []

    async def bench(ctx: Any) -> None:
        ctx.set(design.results.ready, 1)
        ctx.set(design.examples.valid, 1)
        for x in range(1 << inputs):
            ctx.set(design.examples.payload.x, x)
            ctx.set(design.examples.payload.y, 1)
            await ctx.tick()
            assert ctx.get(design.results.valid)
            predictions.append(bits(ctx.get(design.results.payload.prediction), outputs))
            right.append(ctx.get(design.results.payload.correct))
        read = []
        for byte in range(-(-len(theta) // 8)):
            ctx.set(design.control.parameter_address, byte)
            await ctx.tick()
            read += bits(ctx.get(design.control.parameter_read), 8)
        assert read[: len(theta)] == theta.tolist()

    simulator = Simulator(design)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    np.testing.assert_array_equal(predictions, expected)
    assert right == [int(row == bits(1, outputs)) for row in predictions]


def test_a_result_waits_until_it_is_taken() -> None:
    learner = Learner(make_model("lookup", 1, 1))
    design = FixedModel(learner, np.array([0, 1], np.uint8))

    async def bench(ctx: Any) -> None:
        ctx.set(design.examples.valid, 1)
        ctx.set(design.examples.payload.x, 1)
        await ctx.tick()
        ctx.set(design.examples.payload.x, 0)
        for _ in range(3):
            assert not ctx.get(design.examples.ready)
            assert ctx.get(design.results.payload.prediction) == 1
            await ctx.tick()
        ctx.set(design.results.ready, 1)
        await ctx.tick()
        assert ctx.get(design.results.payload.prediction) == 0

    simulator = Simulator(design)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


def test_bind_makes_an_input_a_constant() -> None:
    f = trace(lambda a, b: {"and": a & b, "xor": a ^ b}, a=Bits(4), b=Bits(4))
    bound = bind(f, a=[1, 1, 0, 0])
    assert (bound.input_names, bound.output_names) == (("b",), ("and", "xor"))
    b = np.array([[1, 0, 1, 0], [0, 0, 1, 1]], np.uint8)
    common, different = Reference(bound)(b)
    np.testing.assert_array_equal(common, [[1, 0, 0, 0], [0, 0, 0, 0]])
    np.testing.assert_array_equal(different, [[0, 1, 1, 0], [1, 1, 1, 1]])


def test_bind_checks_names_and_widths() -> None:
    f = trace(lambda theta, x: theta & x, theta=Bits(4), x=Bits(4))
    with pytest.raises(UserError, match=r"^the circuit has no input 'thta'; did you mean 'theta'\?$"):
        bind(f, thta=[0] * 4)
    with pytest.raises(UserError, match=r"^input 'x' is to be 3 given values; expected 4 bits, each 0 or 1$"):
        bind(f, x=[0, 1, 0])
    with pytest.raises(UserError, match=r"^input 'x' is to be 4 given values; expected 4 bits"):
        bind(f, x=[0, 1, 2, 0])
