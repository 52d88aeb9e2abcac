"""The commands against the device in software of ``link_helpers.py``, with a trainer in Python behind them."""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np
import pytest
from link_helpers import SoftwareDevice, SoftwareLearner, long_learner, lookup_learner, wide_learner
from link_parts import StoreModel, play

from rdahw import Learner, Model, mask_model
from rdahw.fields import join, size
from rdahw.hdl.commands import Commands
from rdahw.hdl.protocol import COMMANDS, CRC_BYTES, ERRORS, HEADER, HEADER_BYTES, IDENTITY, MAX_PAYLOAD, Deframer, frame
from rdahw.primitives import Array


class Trainer:
    """A trainer in software behind the commands' ports; what it does takes as long as chance has it."""

    def __init__(self, learner: Learner, *, batch: bool, words: int, random: Random) -> None:
        self.state = SoftwareLearner(learner, batch=batch)
        self._random, self._words = random, max(words, 1)
        self._x: list[int] = []
        self._result: tuple[int, int] | None = None
        self._read = 0
        #: How often anything was changed.
        self.changes = 0

    @property
    def _bytes(self) -> bytes:
        return np.packbits(self.state.theta, bitorder="little").tobytes()

    def show(self, ctx: Any, ports: Commands) -> None:
        """What is seen of it in this cycle."""
        busy = self._result is not None
        ctx.set(ports.examples.ready, not busy and self._random.random() < 0.5)
        ctx.set(ports.control.ready, self._random.random() < 0.5)
        ctx.set(ports.results.valid, busy)
        if self._result is not None:
            ctx.set(ports.results.payload.prediction, self._result[0])
            ctx.set(ports.results.payload.correct, self._result[1])
        ctx.set(ports.control.parameter_read, self._read)
        ctx.set(ports.control.example_count, self.state.example_count)
        ctx.set(ports.control.error_count, self.state.error_count)

    def tick(self, ctx: Any, ports: Commands) -> None:
        """What it is asked in this cycle."""
        control, examples = ports.control, ports.examples
        address, theta = ctx.get(control.parameter_address), self._bytes
        self._read = theta[address] if address < len(theta) else 0
        if ctx.get(control.ready):
            if ctx.get(control.clear):
                self.state.clear()
                self.changes += 1
            elif ctx.get(control.parameter_write_enable):
                written = bytearray(theta)
                written[address] = ctx.get(control.parameter_write)
                bits = np.unpackbits(np.frombuffer(written, np.uint8), bitorder="little")
                self.state.theta = bits[: len(self.state.theta)]
                self.changes += 1
        if ctx.get(ports.results.valid) and ctx.get(ports.results.ready):
            self._result = None
        if ctx.get(examples.valid) and ctx.get(examples.ready):
            self._x.append(ctx.get(examples.payload.x))
            if len(self._x) == self._words:
                self._step(ctx, examples.payload)

    def _step(self, ctx: Any, example: Any) -> None:
        model = self.state.learner.model
        width = len(example.x)
        value = sum(word << width * k for k, word in enumerate(self._x))
        self._x = []
        learn = ctx.get(example.learn)
        prediction, correct = self.state.step(
            _bits(value, model.input_bits),
            _bits(ctx.get(example.y), model.output_bits),
            ctx.get(example.last),
            learn=bool(learn),
        )
        self._result = int("".join(map(str, prediction[::-1])), 2), int(correct)
        self.changes += learn


def _bits(value: int, width: int) -> Array:
    return np.array([value >> i & 1 for i in range(width)], np.uint8)


class Bench:
    """The other ports of the commands."""

    def __init__(self, ctx: Any, commands: Commands, trainer: Trainer) -> None:
        self.ctx, self.commands, self.trainer = ctx, commands, trainer
        self.store = StoreModel()

    async def run(self, name: str, payload: bytes, *, dry: bool) -> bytes | str:
        """The answer's payload, or why it failed, of one pass."""
        ctx, commands, store, trainer = self.ctx, self.commands, self.store, self.trainer
        store.put_request(bytes(HEADER_BYTES) + payload + bytes(CRC_BYTES))
        store.pointer = HEADER_BYTES
        for one in COMMANDS:
            ctx.set(commands.asked[one], one == name)
        ctx.set(commands.known, name in COMMANDS)
        ctx.set(commands.dry, dry)
        answer, began = b"", False
        for cycle in range(30_000):
            ctx.set(commands.execute, cycle == 0)
            ctx.set(commands.byte, store.byte)
            ctx.set(commands.at_end, store.pointer == store.end)
            ctx.set(commands.answer_count, len(answer))
            ctx.set(commands.full, len(answer) == MAX_PAYLOAD)
            trainer.show(ctx, commands)
            if ctx.get(commands.fresh):
                answer, began = b"", True
            if ctx.get(commands.answer.valid):
                assert began
                answer += bytes([ctx.get(commands.answer.payload)])
            trainer.tick(ctx, commands)
            advance, done = ctx.get(commands.advance), ctx.get(commands.done)
            failed = [error for error in commands.failed.shape().members if ctx.get(commands.failed[error])]
            await ctx.tick()
            store.tick(advance=advance)
            if done or failed:
                assert done + len(failed) == 1
                return failed[0] if failed else answer
        raise AssertionError(f"{name} never ends")


def payloads(name: str, twin: SoftwareDevice, random: Random) -> bytes:
    """Whole, cut and too long ones, at all kinds of addresses."""
    size = twin.layout.parameter_bytes
    if name in ("train", "predict"):
        count = random.randrange(min(8, twin.layout.examples_per_packet))
        return random.randbytes(count * twin.layout.example_bytes + (random.random() < 0.15))
    start = random.choice([0, size - 1, size, random.randrange(size)])
    address = random.choice([start.to_bytes(4, "little")] * 6 + [random.randbytes(4), random.randbytes(3), b"\0\1\0\0"])
    count = random.choice([0, 1, size - start, size - start + 1, 224, 225]) % 256
    if name == "read":
        return address + bytes([count]) * (random.random() < 0.9)
    return address + random.randbytes(min(count, MAX_PAYLOAD - 4)) if name == "write" else random.randbytes(2)


KINDS = {
    "lookup": (lookup_learner, False, 0),
    "wide in batches": (wide_learner, True, 0),
    "long": (long_learner, False, 0),
    "mask in words": (lambda: Learner(Model("mask", mask_model(21, 3))), False, 8),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_commands_do_what_the_twin_does(kind: str) -> None:
    make, batch, word = KINDS[kind]
    learner, random = make(), Random(11)
    twin = SoftwareDevice(learner, batch=batch, word=word)
    commands = Commands(twin.layout, learns=True, batch=batch)
    trainer = Trainer(learner, batch=batch, words=twin.layout.words, random=random)
    seen = set()

    def expected(name: str, sequence: int, payload: bytes) -> bytes | str:
        header = {"code": COMMANDS[name].code, "session": 1, "sequence": sequence}
        (answer,) = Deframer().feed(twin.feed(frame(join(HEADER, header) + payload)))
        assert answer is not None
        errors = [error.name for error in ERRORS.values() if error.code == answer[0]]
        report = size(IDENTITY) if name in ("open", "status") else 0
        return errors[0] if errors else answer[HEADER_BYTES + report :]

    async def drive(ctx: Any) -> None:
        bench, sequence = Bench(ctx, commands, trainer), 0
        assert await bench.run("open", b"", dry=False) == expected("open", 0, b"")
        for _ in range(60):
            name = random.choices(["status", "train", "predict", "read", "write", "clear"], [2, 6, 4, 4, 4, 1])[0]
            payload = payloads(name, twin, random)
            wanted = expected(name, (sequence + 1) % 256, payload)
            before = trainer.changes
            found = await bench.run(name, payload, dry=True)
            assert trainer.changes == before
            if isinstance(wanted, str):
                assert found == wanted, (name, payload.hex())
                seen.add(wanted)
                continue
            assert isinstance(found, bytes), (name, payload.hex())
            assert await bench.run(name, payload, dry=False) == wanted, (name, payload.hex())
            seen.add(name)
            sequence += 1
            np.testing.assert_array_equal(trainer.state.theta, twin.state.theta)

    play(commands, drive)
    assert seen >= {"status", "train", "predict", "read", "write", "clear", "wrong_length", "wrong_address"}


@pytest.mark.parametrize(("learns", "refused"), [(True, set()), (False, {"train", "write", "clear"})])
def test_what_is_no_command_of_a_device(learns: bool, refused: set[str]) -> None:
    learner = lookup_learner()
    twin = SoftwareDevice(learner)
    commands = Commands(twin.layout, learns=learns, batch=False)
    trainer = Trainer(learner, batch=False, words=0, random=Random(12))

    async def drive(ctx: Any) -> None:
        bench = Bench(ctx, commands, trainer)
        found = {name for name in COMMANDS if await bench.run(name, bytes(5), dry=True) == "unknown_command"}
        assert found == refused
        assert await bench.run("nothing of the kind", b"", dry=True) == "unknown_command"

    play(commands, drive)
