"""The packet store against bytes in Python: what was written is what is read, at the cycle that is promised."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from link_parts import StoreModel, play

from rdahw.fields import join
from rdahw.hdl.framer import MAX_FRAME
from rdahw.hdl.packet_store import PacketStore
from rdahw.hdl.protocol import CRC_BYTES, IDENTITY, MAX_PAYLOAD, payload_of

VALUES = {field.name: 3 * number + 1 for number, field in enumerate(IDENTITY)}


class Bench:
    """A store and its model, side by side."""

    def __init__(self, ctx: Any, store: PacketStore, random: Random, payload: int) -> None:
        self.ctx, self.store, self.random = ctx, store, random
        self.model = StoreModel(join(IDENTITY, VALUES), payload)

    async def tick(self, **asked: int) -> None:
        for name, value in asked.items():
            self.ctx.set(getattr(self.store, name), value)
        await self.ctx.tick()
        for name in asked:
            self.ctx.set(getattr(self.store, name), 0)

    async def write(self, data: bytes, **with_each: int) -> None:
        octets = self.store.octets
        for byte in data:
            while self.random.random() < 0.3:
                self.ctx.set(octets.payload, self.random.randrange(256))
                await self.tick(**with_each)
            self.ctx.set(octets.payload, byte)
            self.ctx.set(octets.valid, 1)
            await self.tick(**with_each)
            self.ctx.set(octets.valid, 0)
        await self.tick(**with_each)

    async def receive(self, data: bytes) -> None:
        await self.tick(forget=1)
        assert self.ctx.get(self.store.count) == 0
        await self.write(data, receiving=1, rewind=1)
        assert self.ctx.get(self.store.count) == len(data)
        self.model.put_request(data)
        await self.tick()

    async def answer(self, data: bytes, *, dry: bool) -> None:
        await self.tick(fresh=1)
        assert self.ctx.get(self.store.answer_count) == 0
        await self.write(data, dry=int(dry))
        assert self.ctx.get(self.store.answer_count) == len(data) & 255
        assert self.ctx.get(self.store.full) == (len(data) == MAX_PAYLOAD)
        await self.tick(keep=1)
        if not dry:
            self.model.keep(data)
        self.model.answered = self.model.answer_at + len(data)

    async def go_over(self, count: int, request: bool, **start: int) -> None:
        """Ask for the first byte and so many more, and compare all that is shown."""
        ctx, store, model = self.ctx, self.store, self.model
        await self.tick(**start)
        model.tick(advance=0, **start)
        for _ in range(2 * count):
            assert ctx.get(store.byte) == model.byte
            if request:
                assert (ctx.get(store.place), ctx.get(store.at_end)) == (model.pointer % 8, model.pointer == model.end)
            else:
                assert ctx.get(store.answer_over) == ((model.pointer - model.answered) % 256 == 0)
            advance = int(self.random.random() < 0.6)
            await self.tick(advance=advance)
            model.tick(advance=advance)


#: The usual payload, and one with which the memory has three pages for a request and one for the answer.
every_payload = pytest.mark.parametrize("payload", [MAX_PAYLOAD, payload_of(MAX_PAYLOAD + 500)])


@every_payload
def test_what_was_written_is_read(payload: int) -> None:
    store, random = PacketStore(VALUES, payload), Random(5)

    async def drive(ctx: Any) -> None:
        bench = Bench(ctx, store, random, payload)
        for size in (CRC_BYTES + 6, 40, MAX_FRAME - MAX_PAYLOAD + payload, 12):
            data = random.randbytes(size)
            await bench.receive(data)
            await bench.go_over(size, True, rewind=1)
            answer = random.randbytes(random.choice([0, 1, MAX_PAYLOAD, 17]))
            await bench.answer(random.randbytes(len(answer)), dry=True)
            await bench.go_over(50, False, replay=1)  # the one of before
            await bench.answer(answer, dry=False)
            await bench.go_over(len(answer) + 2, False, replay=1)
            await bench.go_over(len(answer) + 34, False, replay=1, report=1)
            await bench.go_over(20, True, rewind=1)

    play(store, drive)


@every_payload
def test_an_answer_of_the_full_length_is_full(payload: int) -> None:
    store = PacketStore(VALUES, payload)

    async def drive(ctx: Any) -> None:
        bench = Bench(ctx, store, Random(6), payload)
        data = bytes(range(MAX_PAYLOAD))
        await bench.answer(data[:-1], dry=False)
        await bench.answer(data, dry=False)
        await bench.go_over(MAX_PAYLOAD, False, replay=1)

    play(store, drive)
