"""Trainers in Amaranth's simulator, and what the software learner says they must do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from amaranth.sim import Simulator
from oracles import bits, number

from rdahw import Learner
from rdahw.data import decode, encode
from rdahw.families.circuits import CircuitSpec
from rdahw.primitives import Array
from rdahw.sim.hardware import HardwareEngine
from rdahw.sim.reference import Reference
from rdahw.training import Batches, Examples


class Example(NamedTuple):
    x: int
    y: int
    last: bool = True


class Run(NamedTuple):
    """What came of a stream of examples, one entry an example; the cycles are those in which it was accepted."""

    predictions: list[int]
    correct: list[int]
    thetas: list[int]
    cycles: list[int]


def software(learner: Learner, examples: Sequence[Example], *, batch: bool, theta: int = 0) -> Run:
    """The run of the reference interpreter on the learner's circuits, with no cycles."""
    request, update = Reference(learner.request), Reference(learner.update)
    model, run = learner.model, Run([], [], [], [])
    now = bits(theta, model.parameter_bits)
    total = np.zeros_like(now)
    for x, y, last in examples:
        dtheta, output = request(now, bits(x, model.input_bits), bits(y, model.output_bits))
        total = total ^ dtheta
        if last or not batch:
            (now,) = update(now, total)
            total = np.zeros_like(now)
        run.predictions.append(number(output))
        run.correct.append(int(number(output) == y))
        run.thetas.append(number(now))
    return run


def hardware(
    trainer: Any,
    examples: Sequence[Example],
    *,
    gap: Callable[[], bool] = lambda: False,
    stall: Callable[[], bool] = lambda: False,
    learn: Sequence[bool] | None = None,
) -> Run:
    """The run of a :class:`RegisterTrainer`; ``gap()`` says to offer no example, ``stall()`` to take no result.

    An example that was offered stays until it is accepted, as a stream demands. theta is looked at ``stages`` cycles
    after the example was accepted, whatever happens to its result.
    """
    run = Run([], [], [], [])
    offered, results = trainer.examples, trainer.results

    async def bench(ctx: Any) -> None:
        cycle, waiting = 0, False
        while len(run.thetas) < len(examples) or len(run.predictions) < len(examples):
            assert cycle < 50 * len(examples) + 50, "the trainer is stuck"
            waiting = len(run.cycles) < len(examples) and (waiting or not gap())
            ctx.set(offered.valid, waiting)
            if waiting:
                for name, value in examples[len(run.cycles)]._asdict().items():
                    ctx.set(getattr(offered.payload, name), value)
                if learn is not None:
                    ctx.set(offered.payload.learn, learn[len(run.cycles)])
            ready = not stall()
            ctx.set(results.ready, ready)
            if ready and ctx.get(results.valid):
                run.predictions.append(ctx.get(results.payload.prediction))
                run.correct.append(ctx.get(results.payload.correct))
            if waiting and ctx.get(offered.ready):
                run.cycles.append(cycle)
                waiting = False
            await ctx.tick()
            cycle += 1
            if len(run.thetas) < len(run.cycles) and run.cycles[len(run.thetas)] + trainer.stages == cycle:
                run.thetas.append(ctx.get(trainer.theta))

    simulate(trainer, bench)
    return run


def simulate(design: Any, *benches: Callable[[Any], Any]) -> None:
    """Run test benches on a clocked design in Amaranth's simulator."""
    simulator = Simulator(design)
    simulator.add_clock(1e-6)
    for bench in benches:
        simulator.add_testbench(bench)
    simulator.run()


class HardwareRunner:
    """A learner in simulated hardware on bits, one batch after the other; the options are those of the engine."""

    def __init__(self, learner: Learner, engine: str = "amaranth", **options: Any) -> None:
        self.spec = CircuitSpec.of(learner)  # whose classes are all the labels that there are
        self.engine = HardwareEngine(self.spec, engine, **options)
        self.simulator = self.engine.simulator

    @property
    def parameters(self) -> Array:
        return self.engine.state["parameters"]

    @parameters.setter
    def parameters(self, value: Array) -> None:
        self.engine.state = {"parameters": value}

    def train(self, x: Array, y: Array, following: tuple[Array, Array] | None = None) -> Array:
        """Learn from one batch, and give the outputs; ``following``: the next one, whose examples may be taken."""
        both = [(x, y)] if following is None else [(x, y), following]
        x, y = (np.concatenate(parts) for parts in zip(*both, strict=True))
        n = len(both[0][0])
        rows = np.arange(len(x))
        batches = Batches(rows[:n], np.array([n]), following=rows[n:])
        outcome = self.engine.train(self.engine.prepare(Examples(x, self._classes(y))), batches)
        return encode(outcome.predicted, self.spec.classes, "binary")

    def predict(self, x: Array) -> Array:
        predicted = self.engine.predict(self.engine.prepare(Examples(x, np.zeros(len(x), np.int64))))
        return encode(predicted, self.spec.classes, "binary")

    def _classes(self, y: Array) -> Any:
        return decode(y, self.spec.classes, "binary")
