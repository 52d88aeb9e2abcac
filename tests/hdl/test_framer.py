"""The framer against :class:`rdahw.hdl.protocol.Deframer` and :func:`rdahw.hdl.protocol.frame`."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from link_parts import play

from rdahw.hdl.framer import MAX_FRAME, Framer
from rdahw.hdl.protocol import ESCAPE, FLAG, HEADER_BYTES, Deframer, frame

SPECIAL = (FLAG, ESCAPE, FLAG ^ 0x20, ESCAPE ^ 0x20)


class Bench:
    """Both ends of a framer's ports: the line, who takes octets, and who gives what is to be sent."""

    def __init__(self, ctx: Any, framer: Framer, random: Random) -> None:
        self.ctx, self.framer, self.random = ctx, framer, random
        self.octets = b""
        self.sent = b""
        #: «packet» or «damaged», and the octets there were by then.
        self.found: list[tuple[str, bytes]] = []

    async def tick(self, ready: float = 0.7) -> None:
        ctx, framer = self.ctx, self.framer
        ctx.set(framer.sent.ready, self.random.random() < ready)
        ctx.set(framer.count, len(self.octets))
        assert not ctx.get(framer.hunting) & ctx.get(framer.receiving)
        hunting = ctx.get(framer.hunting)
        if ctx.get(framer.octets.valid):
            self.octets += bytes([ctx.get(framer.octets.payload)])
        for name in ("packet", "damaged"):
            if ctx.get(getattr(framer, name)):
                self.found.append((name, self.octets))
        if ctx.get(framer.sent.valid) and ctx.get(framer.sent.ready):
            self.sent += bytes([ctx.get(framer.sent.payload)])
        await ctx.tick()
        if hunting:
            self.octets = b""

    async def receive(self, data: bytes, gaps: float = 0.3) -> None:
        for byte in data:
            while self.random.random() < gaps:
                await self.tick()
            self.ctx.set(self.framer.received.valid, 1)
            self.ctx.set(self.framer.received.payload, byte)
            await self.tick()
            self.ctx.set(self.framer.received.valid, 0)
            self.ctx.set(self.framer.received.payload, self.random.choice(SPECIAL))
        for _ in range(6):
            await self.tick()

    async def send(self, packet: bytes, gaps: float = 0.3) -> bytes:
        """The bytes on the line for a packet."""
        ctx, framer = self.ctx, self.framer
        self.sent = b""
        ctx.set(framer.begin, 1)
        await self.tick()
        ctx.set(framer.begin, 0)
        for item in [*packet, None]:
            while self.random.random() < gaps:
                await self.tick()
            ctx.set(framer.body.valid, 1)
            ctx.set(framer.body.payload.octet, item or 0)
            ctx.set(framer.body.payload.end, item is None)
            for _ in range(100):
                taken = ctx.get(framer.body.ready)
                await self.tick()
                if taken:
                    break
            else:
                raise AssertionError("the framer is stuck")
            ctx.set(framer.body.valid, 0)
        quiet = 0
        for _ in range(200):
            quiet = quiet + 1 if ctx.get(framer.hunting) and not ctx.get(framer.sent.valid) else 0
            if quiet == 3:
                return self.sent
            await self.tick()
        raise AssertionError("the framer never comes to an end")


def packet(random: Random, size: int) -> bytes:
    """Bytes of which every second one is a flag, an escape, or what stands for one behind an escape."""
    return bytes(random.choice(SPECIAL) if random.random() < 0.5 else random.randrange(256) for _ in range(size))


def line(random: Random) -> bytes:
    """What may come before a framer gives up or is content: a frame, sound or damaged, or too long a one."""
    size = random.choice([*range(HEADER_BYTES + 8), MAX_FRAME - 4, MAX_FRAME - 3, MAX_FRAME + 9])
    data = frame(packet(random, size))
    kind = random.random()
    if kind < 0.2:
        at = random.randrange(1, len(data) - 1)
        data = data[:at] + bytes([data[at] ^ 1 << random.randrange(8)]) + data[at + 1 :]
    elif kind < 0.3:
        data = bytes([FLAG] * random.randrange(3)) + data  # flags between frames
    elif kind < 0.4:
        data = bytes([FLAG, ESCAPE]) + data  # an escape that a flag cuts off
    elif kind < 0.5:
        data = data[:-1] + bytes([ESCAPE, ESCAPE]) + data[-1:]
    return packet(random, random.randrange(4)).replace(bytes([FLAG]), b"") + data


@pytest.mark.slow
def test_frames_are_taken_apart_and_made() -> None:
    framer, random = Framer(), Random(4)
    kinds = set()

    async def drive(ctx: Any) -> None:
        bench = Bench(ctx, framer, random)
        for _ in range(80):
            deframer, data, expected = Deframer(MAX_FRAME), line(random), None
            for at, byte in enumerate(data):
                if found := list(deframer.feed(bytes([byte]))):
                    expected, data = found[0], data[: at + 1]
                    break
            bench.found = []
            await bench.receive(data, gaps=random.choice([0, 0.3]))
            if not deframer.taken:
                continue
            kind = "damaged" if expected is None else "packet"
            # Of a frame that is too long there is a byte more than a deframer keeps.
            assert [(name, octets[:MAX_FRAME]) for name, octets in bench.found] == [(kind, deframer.taken)], data.hex()
            kinds.add((kind, len(deframer.taken) == MAX_FRAME))
            answer = packet(random, random.randrange(20))
            assert await bench.send(answer, gaps=random.choice([0, 0.3])) == frame(answer)

    play(framer, drive)
    assert kinds == {(kind, longest) for kind in ("damaged", "packet") for longest in (False, True)}


@pytest.mark.parametrize("size", [HEADER_BYTES - 1, HEADER_BYTES])
def test_a_packet_has_at_least_a_header(size: int) -> None:
    framer = Framer()

    async def drive(ctx: Any) -> None:
        bench = Bench(ctx, framer, Random(1))
        data = bytes(range(size))
        await bench.receive(frame(data))
        ((name, octets),) = bench.found
        assert (name, octets[:-4]) == ("damaged" if size < HEADER_BYTES else "packet", data)

    play(framer, drive)


def test_what_comes_while_it_works_is_dropped() -> None:
    framer = Framer()

    async def drive(ctx: Any) -> None:
        bench = Bench(ctx, framer, Random(2))
        first, second = bytes(range(9)), bytes(range(20, 29))
        await bench.receive(frame(first) + frame(second))
        assert [name for name, _ in bench.found] == ["packet"]
        assert await bench.send(first) == frame(first)
        await bench.receive(frame(second)[1:-1])  # without its first flag it is nothing
        await bench.receive(frame(second))
        assert [octets[:-4] for _, octets in bench.found] == [first, second]

    play(framer, drive)
