"""A trained model as hardware predicts as the reference does; and what binding an input does."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import pytest
from amaranth.sim import Simulator

from rdahw import Bits, Learner, make_model, trace
from rdahw.boards import board
from rdahw.boards.design import inference_design
from rdahw.errors import UserError
from rdahw.families.circuits import CircuitSpec
from rdahw.hdl.circuit import ROWS
from rdahw.hdl.inference import DEPTHS, REACH, FixedModel, cut_points
from rdahw.sim.reference import Reference
from rdahw.transform import bind


def bits(number: int, width: int) -> list[int]:
    return [number >> at & 1 for at in range(width)]


#: By model: inputs, outputs, levels of a stage, and the stages that this makes.
MODELS = {
    "a lookup": ("lookup", 4, 3, 9, 1),
    "a mask": ("mask", 9, 1, 100, 1),
    "a mask in stages": ("mask", 9, 1, 3, 3),
    "a mask in many stages": ("mask", 9, 1, 0, 6),
}


@pytest.mark.parametrize("pauses", [False, True], ids=["back to back", "with pauses"])
@pytest.mark.parametrize("name", MODELS)
def test_every_input(name: str, pauses: bool) -> None:
    spec, inputs, outputs, levels, stages = MODELS[name]
    learner = Learner(make_model(spec, inputs, outputs))
    random = np.random.default_rng(3)
    theta = random.integers(0, 2, learner.model.parameter_bits, np.uint8)
    theta[0] = 1
    xs = np.array([bits(x, inputs) for x in range(1 << inputs)], np.uint8)
    (expected,) = Reference(learner.model.circuit)(theta, xs)
    design = FixedModel(learner, theta, levels=levels)
    predictions, right, cycles = [], [], 0

    async def offer(ctx: Any) -> None:
        for x in range(1 << inputs):
            while pauses and random.integers(2):
                await ctx.tick()
            ctx.set(design.examples.valid, 1)
            ctx.set(design.examples.payload, {"x": x, "y": 1, "last": 1, "learn": 1})
            await ctx.tick().until(design.examples.ready)
            ctx.set(design.examples.valid, 0)
            ctx.set(design.examples.payload, {"x": 0, "y": 0})

    async def take(ctx: Any) -> None:
        nonlocal cycles
        while len(predictions) < 1 << inputs:
            ready = not pauses or random.integers(2)
            ctx.set(design.results.ready, int(ready))
            _, _, valid, prediction, correct = await ctx.tick().sample(
                design.results.valid, design.results.payload.prediction, design.results.payload.correct
            )
            cycles += 1
            if ready and valid:
                predictions.append(bits(prediction, outputs))
                right.append(correct)
        assert not ctx.get(design.results.valid)

    simulator = Simulator(design)
    simulator.add_clock(1e-6)
    simulator.add_testbench(offer)
    simulator.add_testbench(take)
    simulator.run()
    np.testing.assert_array_equal(predictions, expected)
    assert right == [int(row == bits(1, outputs)) for row in predictions]
    assert design.stages == stages
    if not pauses:
        assert cycles == (1 << inputs) + stages


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
def test_a_faster_clock_makes_more_stages() -> None:
    learner = Learner(make_model("mask", 40, 1))
    its = board("icebreaker")
    spec = CircuitSpec.of(learner)
    state = {"parameters": np.ones(40, np.uint8)}
    delays = [inference_design(spec, state, its, clock=clock).core().delay for clock in (None, its.clock, 48, 96)]
    assert delays[0] == delays[1] < delays[2] < delays[3]
    gc.collect()  # so that Amaranth complains within this test


def test_the_long_wires_of_a_wide_input_take_levels() -> None:
    narrow, wide = (trace(lambda x: x[:9].popcount(), x=Bits(width)) for width in (9, 3 * REACH))
    levels = DEPTHS["popcount"]([9])
    assert max(cut_points(narrow, levels)) == 0  # type: ignore[type-var]
    assert max(cut_points(wide, levels)) == 1  # type: ignore[type-var]
    assert max(cut_points(wide, levels + 3)) == 0  # type: ignore[type-var]


def test_the_parameters_can_be_read() -> None:
    learner = Learner(make_model("mask", 11, 1))
    theta = np.array([1, 0, 1, 1, 0, 0, 1, 0, 1, 0, 1], np.uint8)
    design = FixedModel(learner, theta)

    async def bench(ctx: Any) -> None:
        read = []
        for byte in range(2):
            ctx.set(design.control.parameter_address, byte)
            await ctx.tick()
            read += bits(ctx.get(design.control.parameter_read), 8)
        assert read == [*theta.tolist(), 0, 0, 0, 0, 0]

    simulator = Simulator(design)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


def test_every_primitive_that_hardware_has_a_row_for_has_a_depth() -> None:
    assert DEPTHS.keys() == ROWS.keys()


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
    with pytest.raises(UserError, match=r"^input 'x' was given 3 values; expected 4 bits, each 0 or 1$"):
        bind(f, x=[0, 1, 0])
    with pytest.raises(UserError, match=r"^input 'x' was given 4 values; expected 4 bits"):
        bind(f, x=[0, 1, 2, 0])
