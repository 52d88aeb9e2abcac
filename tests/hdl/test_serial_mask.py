"""The word-serial mask trainer gives exactly the bits of the software learner of the mask model."""

from __future__ import annotations

import gc
import random
from typing import Any

import pytest
from trainers import Example, simulate, software

from rdahw import UsageError, mask_model
from rdahw.hdl.serial_mask import SerialMaskTrainer


class Bench:
    """A trainer's ports, driven from a test bench in a simulation."""

    def __init__(self, ctx: Any, trainer: SerialMaskTrainer, rng: random.Random, pause: float = 0) -> None:
        self.ctx, self.trainer, self.rng, self.pause = ctx, trainer, rng, pause
        self.cycle = 0

    async def tick(self) -> None:
        await self.ctx.tick()
        self.cycle += 1
        assert self.cycle < 5_000, "the trainer is stuck"

    async def learn(self, example: Example, learn: bool | None = None) -> tuple[int, int]:
        """Offer the words of an example, and take its result: the prediction, and whether it was right."""
        offered, results = self.trainer.examples, self.trainer.results
        for word in range(self.trainer.words):
            while self.rng.random() < self.pause:
                await self.tick()
            self.ctx.set(offered.valid, 1)
            self.ctx.set(offered.payload.x, example.x >> word * self.trainer.word & (1 << self.trainer.word) - 1)
            at_end = word == self.trainer.words - 1
            self.ctx.set(offered.payload.y, example.y if at_end else self.rng.getrandbits(1))
            if learn is not None:
                self.ctx.set(offered.payload.learn, learn if at_end else self.rng.getrandbits(1))
            while not self.ctx.get(offered.ready):
                await self.tick()
            await self.tick()
            self.ctx.set(offered.valid, 0)
            payload = offered.payload.as_value()
            self.ctx.set(payload, self.rng.getrandbits(len(payload)))  # not looked at now
        while not self.ctx.get(results.valid) or self.rng.random() < self.pause:
            await self.tick()
        self.ctx.set(results.ready, 1)
        result = self.ctx.get(results.payload.prediction), self.ctx.get(results.payload.correct)
        await self.tick()
        self.ctx.set(results.ready, 0)
        return result

    def theta(self) -> int:
        words = [self.ctx.get(self.trainer.theta[k]) for k in range(self.trainer.words)]
        return sum(word << k * self.trainer.word for k, word in enumerate(words))

    async def access(self, **values: int) -> None:
        """Hold an access until it takes effect."""
        control = self.trainer.control
        for name, value in values.items():
            self.ctx.set(getattr(control, name), value)
        while not self.ctx.get(control.ready):
            await self.tick()
        await self.tick()
        self.ctx.set(control.parameter_write_enable, 0)
        self.ctx.set(control.clear, 0)

    async def read(self) -> int:
        theta = 0
        for k in range(-(-self.trainer.inputs // 8)):
            await self.access(parameter_address=k)
            theta |= self.ctx.get(self.trainer.control.parameter_read) << 8 * k
        return theta


def state_and_example(inputs: int, k: int, rng: random.Random) -> tuple[int, Example]:
    """Parameters and an example with a margin around 0, where a single bit of theta decides."""
    chosen = rng.sample(range(inputs), rng.randint(0, inputs))
    common = min(len(chosen), len(chosen) // k + rng.randint(0, 1))
    others = [i for i in range(inputs) if i not in chosen and rng.random() < 0.5]
    both = sorted(chosen)[:common] if k == 2 else rng.sample(chosen, common)  # with k = 2 they can fill a word
    x = sum(1 << i for i in (*both, *others))
    return sum(1 << i for i in chosen), Example(x, rng.getrandbits(1))


@pytest.mark.parametrize(
    ("inputs", "k", "word", "count", "pause"),
    [
        (5, 2, 8, 100, 0),  # a single word, with bits to spare
        (7, 1, 8, 100, 0),  # a count of all ones fills its bits
        (8, 3, 8, 100, 0.3),
        (16, 2, 8, 150, 0.3),
        (20, 4, 8, 150, 0.3),
        (20, 4, 8, 150, 0),  # a number of words that is no power of two
        (23, 4, 16, 150, 0),
        (33, 5, 32, 100, 0),
        (784, 4, 16, 12, 0),  # the paper's
    ],
)
def test_it_is_the_software_learner(inputs: int, k: int, word: int, count: int, pause: float) -> None:
    rng = random.Random(f"{inputs} {k} {word}")
    trainer = SerialMaskTrainer(inputs, k, word=word)
    assert trainer.learner.model.circuit == mask_model(inputs, k)
    seen: set[tuple[int, int, bool]] = set()

    async def bench(ctx: Any) -> None:
        driver, theta = Bench(ctx, trainer, rng, pause), 0
        for i in range(count):
            state, example = state_and_example(inputs, k, rng)
            if i % 3:  # else from what was learned
                theta = state
                for at in range(trainer.words):
                    ctx.set(trainer.theta[at], theta >> at * word & (1 << word) - 1)
            expected = software(trainer.learner, [example], batch=False, theta=theta)
            for _ in range(rng.randint(0, 2)):
                await driver.tick()
            start = driver.cycle
            result = await driver.learn(example)
            assert result == (expected.predictions[0], expected.correct[0])
            assert driver.theta() == expected.thetas[0]
            if not pause:
                assert driver.cycle - start == trainer.words * (2 - expected.correct[0]) + 4
            seen.add((*result, theta != expected.thetas[0]))
            theta = expected.thetas[0]

    simulate(trainer, bench)
    right, moved = {(0, 1, False), (1, 1, False)}, {(0, 0, True), (1, 0, True)}
    # With k = 1 the model always says 1, and no single bit changes that.
    assert seen == {(1, 0, False), (1, 1, False)} if k == 1 else seen >= right | moved


@pytest.mark.parametrize(("inputs", "word"), [(8, 8), (21, 8), (21, 16), (40, 16)])
def test_parameters_counters_and_clear(inputs: int, word: int) -> None:
    rng = random.Random(f"{inputs} {word}")
    trainer = SerialMaskTrainer(inputs, 3, word=word, access=True)
    examples = [state_and_example(inputs, 3, rng)[1] for _ in range(30)]
    start = rng.getrandbits(inputs)
    assert len(set(software(trainer.learner, examples, batch=False, theta=start).thetas)) > 2

    async def bench(ctx: Any) -> None:
        driver = Bench(ctx, trainer, rng)

        async def learn_all() -> None:
            for i, example in enumerate(examples):
                assert await driver.learn(example, learn=True) == (expected.predictions[i], expected.correct[i])
                assert await driver.read() == expected.thetas[i]

        for k in reversed(range(-(-inputs // 8))):
            byte = (start | ~0 << inputs) >> 8 * k & 0xFF
            await driver.access(parameter_address=k, parameter_write=byte, parameter_write_enable=1)
        assert await driver.read() == driver.theta() == start
        expected = software(trainer.learner, examples, batch=False, theta=start)
        await learn_all()
        counts = 30, expected.correct.count(0)
        assert (ctx.get(trainer.control.example_count), ctx.get(trainer.control.error_count)) == counts

        # Only predicting changes nothing.
        theta = driver.theta()
        for example in examples:
            only = software(trainer.learner, [example], batch=False, theta=theta)
            assert await driver.learn(example, learn=False) == (only.predictions[0], only.correct[0])
        assert driver.theta() == theta
        assert (ctx.get(trainer.control.example_count), ctx.get(trainer.control.error_count)) == counts

        # Clear wins over a write, and holds accesses and examples until it is done.
        await driver.access(clear=1, parameter_write=0xFF, parameter_write_enable=1)
        assert not ctx.get(trainer.control.ready)
        expected = software(trainer.learner, examples, batch=False)
        await learn_all()
        assert ctx.get(trainer.control.example_count) == 30

    simulate(trainer, bench)


@pytest.mark.parametrize(("inputs", "k", "pause"), [(16, 2, 0), (21, 3, 0), (21, 3, 0.3)])
def test_examples_and_accesses_at_any_time(inputs: int, k: int, pause: float) -> None:
    """Writes while an example is offered, too, and counters that wrap, since they are made of few bits."""
    rng = random.Random(f"{inputs} {k} {pause}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rdahw.hdl.trainer.COUNTER_BITS", 4)
        trainer = SerialMaskTrainer(inputs, k, word=8, access=True)
    counts = [0, 0]

    async def bench(ctx: Any) -> None:
        driver = Bench(ctx, trainer, rng, pause)
        for _ in range(100):
            theta, example = state_and_example(inputs, k, rng)
            learn = rng.random() < 0.8
            ctx.set(trainer.examples.valid, not pause and rng.random() < 0.5)
            for at in range(-(-inputs // 8)):
                byte = theta >> 8 * at & 0xFF
                await driver.access(parameter_address=at, parameter_write=byte, parameter_write_enable=1)
            assert driver.theta() == theta
            expected = software(trainer.learner, [example], batch=False, theta=theta)
            start = driver.cycle
            assert await driver.learn(example, learn=learn) == (expected.predictions[0], expected.correct[0])
            assert driver.theta() == (expected.thetas[0] if learn else theta)
            if not pause:
                assert driver.cycle - start == trainer.words * (2 if learn and not expected.correct[0] else 1) + 4
            counts[0] += learn
            counts[1] += learn and not expected.correct[0]
            found = ctx.get(trainer.control.example_count), ctx.get(trainer.control.error_count)
            assert found == (counts[0] & 0xF, counts[1] & 0xF)

    simulate(trainer, bench)
    assert min(counts) > 16


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
@pytest.mark.parametrize("word", [0, 4, 12, 56])
def test_a_word_is_a_power_of_two(word: int) -> None:
    with pytest.raises(UsageError, match=rf"^invalid word width {word}; expected a power of two, at least 8$"):
        SerialMaskTrainer(100, word=word)
    gc.collect()  # its complaint of not being used, while that is ignored
