"""A register trainer with access is the software learner under gaps and back-pressure, and where it only predicts."""

from __future__ import annotations

import random
from typing import Any

import pytest
from trainers import Example, simulate, software

from rdahw import Learner, Model, lookup_model
from rdahw.hdl.trainer import RegisterTrainer

LEARNER = Learner(Model("lookup", lookup_model(3, 2)))


def expected(examples: list[Example], learn: list[bool], *, batch: bool) -> tuple[list[int], list[int], int]:
    """The predictions, whether each is right, and the parameters in the end, where some examples are only predicted."""
    theta, open_batch = 0, list[Example]()
    predictions, correct = [], []
    for example, learns in zip(examples, learn, strict=True):
        run = software(LEARNER, [example], batch=False, theta=theta)
        predictions += run.predictions
        correct += run.correct
        if learns:
            open_batch.append(example)
            if example.last or not batch:
                theta = software(LEARNER, open_batch, batch=batch, theta=theta).thetas[-1]
                open_batch = []
    return predictions, correct, theta


@pytest.mark.parametrize("stages", [1, 2])
@pytest.mark.parametrize("batch", [False, True])
def test_it_is_the_software_learner(batch: bool, stages: int) -> None:
    """A result that waits does not change, and the counters, here of few bits, wrap."""
    rng = random.Random(f"{batch} {stages}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rdahw.hdl.trainer.COUNTER_BITS", 4)
        trainer = RegisterTrainer(LEARNER, batch=batch, stages=stages, access=True)
    examples = [Example(rng.getrandbits(2), rng.getrandbits(2), rng.random() < 0.4) for _ in range(150)]
    learn = [rng.random() < 0.8 for _ in examples]
    predictions, correct, theta = expected(examples, learn, batch=batch)
    taken: list[tuple[int, int]] = []
    counted: tuple[set[int], set[int]] = set(), set()

    async def bench(ctx: Any) -> None:
        offered, results, control = trainer.examples, trainer.results, trainer.control
        sent, waiting, seen = 0, False, None
        for _ in range(600):
            waiting = sent < len(examples) and (waiting or rng.random() < 0.6)
            ctx.set(offered.valid, waiting)
            ctx.set(offered.payload.as_value(), rng.getrandbits(len(offered.payload.as_value())))
            if waiting:
                for name, value in (*examples[sent]._asdict().items(), ("learn", learn[sent])):
                    ctx.set(getattr(offered.payload, name), value)
            ready = rng.random() < 0.6
            ctx.set(results.ready, ready)
            result = (ctx.get(results.payload.prediction), ctx.get(results.payload.correct))
            if ctx.get(results.valid):
                assert seen in (None, result)
                seen = None if ready else result
                taken.extend([result] * ready)
            sent += (accepted := waiting and ctx.get(offered.ready))
            waiting = waiting and not accepted
            await ctx.tick()
            counted[0].add(ctx.get(control.example_count))
            counted[1].add(ctx.get(control.error_count))
        assert taken == list(zip(predictions, correct, strict=True))
        assert ctx.get(trainer.theta) == theta
        wrong = sum(learns and not right for learns, right in zip(learn, correct, strict=True))
        assert counted == (set(range(16)), set(range(16)))
        assert (ctx.get(control.example_count), ctx.get(control.error_count)) == (sum(learn) & 0xF, wrong & 0xF)

    simulate(trainer, bench)
