"""The register trainer gives exactly the software learner's bits, whatever the streams do."""

from __future__ import annotations

import gc
import json
import random
from collections.abc import Callable
from importlib.resources import files
from typing import Any

import numpy as np
import pytest
from amaranth.back import rtlil
from oracles import number
from trainers import Example, hardware, simulate, software

from rdahw import Bits, Learner, UsageError, lookup_model, mask_model, trace
from rdahw.hdl.trainer import RegisterTrainer
from rdahw.model import Model


def gated(theta: Any, x: Any) -> Any:
    """A model that is neither linear nor safe in its parameters, so that it has no kernel."""
    low, high = theta[:3], theta[3:]
    return (low & x) | (~high & x) ^ low


LEARNERS = {
    "lookup 3 -> 2": Learner(Model("lookup", lookup_model(3, 2))),
    "lookup 2 -> 1": Learner(Model("lookup", lookup_model(2, 1))),
    "and": Learner(Model("and", trace(lambda theta, x: theta & x, theta=Bits(4), x=Bits(4)))),
    "mask": Learner(Model("mask", mask_model(5, 2))),
    "gated": Learner(Model("gated", trace(gated, theta=Bits(6), x=Bits(3)))),
}
#: Those whose second stage need not be waited for.
WITH_KERNEL = {"lookup 3 -> 2", "lookup 2 -> 1", "and"}

#: Whether example i is the last of its batch.
BATCHES: dict[str, Callable[[int, random.Random], bool]] = {
    "batches of one": lambda i, rng: True,
    "batches of three": lambda i, rng: i % 3 == 2,
    "one after many": lambda i, rng: i % 6 in (4, 5),
    "any": lambda i, rng: rng.random() < 0.4,
    "never": lambda i, rng: False,
}
#: How often no example is offered, and how often no result is taken.
PATTERNS = {"back to back": (0.0, 0.0), "gaps": (0.5, 0.0), "back-pressure": (0.0, 0.5), "both": (0.4, 0.4)}


def stream(
    learner: Learner, count: int, rng: random.Random, last: Callable[[int, random.Random], bool]
) -> list[Example]:
    """Random examples in which an input often comes again at once, which is what forwarding is for."""
    x, result = 0, []
    for i in range(count):
        if rng.random() < 0.6:
            x = rng.getrandbits(learner.model.input_bits)
        result.append(Example(x, rng.getrandbits(learner.model.output_bits), last(i, rng)))
    return result


@pytest.mark.slow
@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("stages", [1, 2])
@pytest.mark.parametrize("batches", [None, *BATCHES])
@pytest.mark.parametrize("name", LEARNERS)
def test_it_is_the_software_learner(name: str, batches: str | None, stages: int, pattern: str) -> None:
    learner, rng = LEARNERS[name], random.Random(f"{name} {batches}")
    examples = stream(learner, 60, rng, BATCHES[batches or "any"])
    gap, stall = PATTERNS[pattern]
    trainer = RegisterTrainer(learner, batch=batches is not None, stages=stages)
    run = hardware(trainer, examples, gap=lambda: rng.random() < gap, stall=lambda: rng.random() < stall)
    expected = software(learner, examples, batch=batches is not None)
    assert run.thetas == expected.thetas
    assert run.predictions == expected.predictions
    assert run.correct == expected.correct
    assert len(set(run.thetas)) > 1 or batches == "never"
    if pattern == "back to back":
        waits = 0
        if stages == 2 and name not in WITH_KERNEL:
            waits = sum(e.last for e in examples[:-1]) if batches else len(examples) - 1
        assert run.cycles[-1] - run.cycles[0] == len(examples) - 1 + waits


PAPER = json.loads(files("rdahw.data").joinpath("paper-iris.json").read_text())


@pytest.mark.parametrize("stages", [1, 2])
@pytest.mark.parametrize("run", PAPER, ids=lambda run: run["name"])
def test_the_papers_iris_runs_update_by_update(run: dict[str, Any], stages: int) -> None:
    learner = Learner(Model("lookup", lookup_model(run["inputs"], run["outputs"])))
    result = hardware(RegisterTrainer(learner, stages=stages), [Example(x, y) for x, y in run["train"]])
    assert [0, *result.thetas] == [int(theta, 16) for theta in run["parameters_after_each_update"]]
    assert result.cycles == list(range(len(run["train"])))


class Access:
    """A trainer's ports with access, driven from a test bench in a simulation."""

    def __init__(self, ctx: Any, trainer: RegisterTrainer) -> None:
        self.ctx, self.trainer = ctx, trainer
        ctx.set(trainer.results.ready, 1)

    async def tick(self, cycles: int = 1) -> None:
        for _ in range(cycles):
            await self.ctx.tick()

    async def read(self) -> int:
        """All parameters, byte by byte."""
        theta = 0
        for k in range(-(-len(self.trainer.theta) // 8)):
            self.ctx.set(self.trainer.control.parameter_address, k)
            await self.tick()
            theta |= self.ctx.get(self.trainer.control.parameter_read) << 8 * k
        return theta

    async def write(self, theta: int) -> None:
        control = self.trainer.control
        for k in range(-(-len(self.trainer.theta) // 8)):
            self.ctx.set(control.parameter_address, k)
            self.ctx.set(control.parameter_write, theta >> 8 * k & 0xFF)
            self.ctx.set(control.parameter_write_enable, 1)
            assert self.ctx.get(control.ready)
            await self.tick()
        self.ctx.set(control.parameter_write_enable, 0)

    async def learn(self, examples: list[Example], *, learn: bool = True) -> list[int]:
        """Offer examples back to back; the predictions, and after the last one nothing is left to do."""
        offered, results, predictions = self.trainer.examples, self.trainer.results, []
        for i in range(len(examples) + 1):
            self.ctx.set(offered.valid, i < len(examples))
            if i < len(examples):
                for name, value in examples[i]._asdict().items():
                    self.ctx.set(getattr(offered.payload, name), value)
                self.ctx.set(offered.payload.learn, learn)
            if self.ctx.get(results.valid):
                predictions.append(self.ctx.get(results.payload.prediction))
            assert i == len(examples) or self.ctx.get(offered.ready)
            await self.tick()
        return predictions

    def counts(self) -> tuple[int, int]:
        control = self.trainer.control
        return self.ctx.get(control.example_count), self.ctx.get(control.error_count)


@pytest.mark.parametrize("stages", [1, 2])
@pytest.mark.parametrize("batch", [False, True])
@pytest.mark.parametrize("name", ["lookup 3 -> 2", "lookup 2 -> 1"])  # of 16 bits, and of less than a byte
def test_parameters_counters_and_clear(name: str, batch: bool, stages: int) -> None:
    learner, rng = LEARNERS[name], random.Random(f"{name} {batch} {stages}")
    trainer = RegisterTrainer(learner, batch=batch, stages=stages, access=True)
    examples = stream(learner, 30, rng, BATCHES["any"])
    examples[-1] = examples[-1]._replace(last=True)
    start = rng.getrandbits(len(trainer.theta))

    async def bench(ctx: Any) -> None:
        access = Access(ctx, trainer)
        await access.write(start | ~0 << len(trainer.theta))
        assert await access.read() == ctx.get(trainer.theta) == start
        expected = software(learner, examples, batch=batch, theta=start)
        assert await access.learn(examples) == expected.predictions
        assert await access.read() == expected.thetas[-1]
        await access.tick(2)
        assert access.counts() == (30, expected.correct.count(0))

        # Only predicting changes nothing, whatever the labels and ends of batches are.
        again = software(learner, [e._replace(last=False) for e in examples], batch=True, theta=expected.thetas[-1])
        assert await access.learn(examples, learn=False) == again.predictions
        await access.tick(3)
        assert await access.read() == expected.thetas[-1]
        assert access.counts() == (30, expected.correct.count(0))

        # Clear in the middle of a batch: the accumulator goes with the parameters.
        await access.learn([example._replace(last=False) for example in examples[:3]])
        ctx.set(trainer.control.clear, 1)
        ctx.set(trainer.control.parameter_write_enable, 1)
        ctx.set(trainer.control.parameter_write, 0xFF)
        await access.tick()
        ctx.set(trainer.control.clear, 0)
        ctx.set(trainer.control.parameter_write_enable, 0)
        assert await access.read() == 0
        assert access.counts() == (0, 0)
        expected = software(learner, examples, batch=batch)
        assert await access.learn(examples) == expected.predictions
        await access.tick(2)
        assert await access.read() == expected.thetas[-1]

    simulate(trainer, bench)


@pytest.mark.parametrize("kind", ["write", "clear"])
@pytest.mark.parametrize("stages", [1, 2])
@pytest.mark.parametrize("batch", [False, True])
def test_an_access_comes_between_two_examples(batch: bool, stages: int, kind: str) -> None:
    """Right behind an example whose update is on its way, and in the cycle in which the next one is offered."""
    learner = LEARNERS["lookup 3 -> 2"]
    trainer = RegisterTrainer(learner, batch=batch, stages=stages, access=True)
    before, after = Example(2, 3), Example(2, 1)

    async def bench(ctx: Any) -> None:
        control, payload = trainer.control, trainer.examples.payload
        ctx.set(trainer.results.ready, 1)
        ctx.set(trainer.examples.valid, 1)
        ctx.set(payload.learn, 1)
        for name, value in before._asdict().items():
            ctx.set(getattr(payload, name), value)
        await ctx.tick()
        for name, value in after._asdict().items():
            ctx.set(getattr(payload, name), value)
        ctx.set(control.clear, kind == "clear")
        ctx.set(control.parameter_write_enable, kind == "write")
        ctx.set(control.parameter_address, 1)
        ctx.set(control.parameter_write, 0xA5)
        assert not ctx.get(trainer.examples.ready)
        await ctx.tick()
        ctx.set(control.clear, 0)
        ctx.set(control.parameter_write_enable, 0)
        # Of the first example the unwritten byte stays, and the next one is learned from what was written.
        between = 0 if kind == "clear" else software(learner, [before], batch=batch).thetas[0] & 0xFF | 0xA500
        assert ctx.get(trainer.theta) == between
        expected = software(learner, [after], batch=batch, theta=between)
        await ctx.tick()
        ctx.set(trainer.examples.valid, 0)
        assert ctx.get(trainer.results.payload.prediction) == expected.predictions[0]
        for _ in range(stages - 1):
            await ctx.tick()
        assert ctx.get(trainer.theta) == expected.thetas[0]

    simulate(trainer, bench)


@pytest.mark.parametrize("stages", [1, 2])
def test_the_counters_carry_through_all_their_bits(stages: int) -> None:
    trainer = RegisterTrainer(LEARNERS["lookup 2 -> 1"], stages=stages, access=True)

    async def bench(ctx: Any) -> None:
        access = Access(ctx, trainer)
        for counter in (trainer.control.example_count, trainer.control.error_count):
            ctx.set(counter, 0x0000_FFFE)
        await access.learn([Example(1, i & 1) for i in range(6)])  # all but the first are wrong
        await access.tick(3)
        assert access.counts() == (0x1_0004, 0x1_0003)

    simulate(trainer, bench)


def test_without_batches_there_is_no_accumulator() -> None:
    def text(**options: bool) -> str:
        return str(rtlil.convert(RegisterTrainer(LEARNERS["lookup 3 -> 2"], **options), name="top", emit_src=False))

    assert "accumulator" not in text()
    assert "wire width 16 \\accumulator\n" in text(batch=True)


def test_theta_is_a_register_of_the_trainers_own_module() -> None:
    trainer = RegisterTrainer(LEARNERS["lookup 3 -> 2"])
    top = rtlil.convert(trainer, name="top", emit_src=False).rpartition("module \\top\n")[2]
    assert trainer.theta.name == "theta"
    assert "wire width 16 \\theta\n" in top


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
def test_only_one_or_two_stages() -> None:
    with pytest.raises(UsageError, match=r"^3 stages are not supported; expected 1 or 2$"):
        RegisterTrainer(LEARNERS["and"], stages=3)
    gc.collect()  # its complaint of not being used, while that is ignored


def test_the_software_side_is_the_step_circuit() -> None:
    from rdahw.sim.reference import run

    learner, rng = LEARNERS["gated"], random.Random(0)
    examples = stream(learner, 20, rng, BATCHES["batches of one"])
    theta = np.zeros(6, np.uint8)
    for example, expected in zip(examples, software(learner, examples, batch=False).thetas, strict=True):
        x = np.array([example.x >> i & 1 for i in range(3)], np.uint8)
        y = np.array([example.y >> i & 1 for i in range(3)], np.uint8)
        (theta,) = run(learner.step, theta, x, y)
        assert number(theta) == expected
