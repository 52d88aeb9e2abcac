"""The session against the table of ``docs/host-link.md`` in Python: what is executed, kept, answered and refused."""

from __future__ import annotations

from random import Random
from typing import Any

from link_parts import StoreModel, play

from rdahw.fields import join, size
from rdahw.hdl.protocol import COMMANDS, CRC_BYTES, ERRORS, HEADER, HEADER_BYTES, IDENTITY
from rdahw.hdl.session import FAILURES, Session

IDENTITY_BYTES = bytes(range(100, 100 + size(IDENTITY)))
REPORTS = ("open", "status")
NAMES = {command.code: name for name, command in COMMANDS.items()}


class Rules:
    """The table: from a packet and what became of its execution to the answer, or to an error's name."""

    def __init__(self) -> None:
        self.session: bytes | None = None
        self.sequence = 0
        self.kept = b""

    def judge(self, packet: bytes) -> str:
        """«execute», «repeat», or an error."""
        name, session, sequence = NAMES.get(packet[0]), packet[1:5], packet[5]
        if session != self.session:
            return "execute" if name == "open" else "wrong_session"
        if sequence == self.sequence:
            return "repeat"
        return "wrong_sequence" if name == "open" or sequence != (self.sequence + 1) % 256 else "execute"

    def executed(self, packet: bytes, answer: bytes) -> None:
        self.session, self.sequence, self.kept = packet[1:5], packet[5], answer


class Bench:
    """Framer, packet store and commands around a session, in Python."""

    def __init__(self, ctx: Any, session: Session, random: Random) -> None:
        self.ctx, self.session, self.random = ctx, session, random
        self.store = StoreModel(IDENTITY_BYTES)
        self.begun, self.body, self.ended = False, b"", False
        self.passes: list[int] = []  # the values of ``dry``
        self.kept = self.errors = 0
        self.answer = b""
        self.cycle = self.taken = 0  # taken: when an item of the answer was taken

    async def tick(self) -> None:
        ctx, session, store = self.ctx, self.session, self.store
        ctx.set(session.body.ready, self.cycle - self.taken > 2 and self.random.random() < 0.5)
        ctx.set(session.byte, store.byte)
        ctx.set(session.place, store.pointer % 8)
        ctx.set(session.answer_over, (store.pointer - store.answered) % 256 == 0)
        if ctx.get(session.begin):
            assert not self.begun
            self.begun = True
        if ctx.get(session.body.valid):
            assert self.begun
            assert not self.ended
            if ctx.get(session.body.ready):
                self.taken = self.cycle
                if ctx.get(session.body.payload.end):
                    self.ended = True
                else:
                    self.body += bytes([ctx.get(session.body.payload.octet)])
        if ctx.get(session.execute):
            self.passes.append(-1)  # ``dry`` is that of the cycles after it
        elif self.passes and self.passes[-1] == -1:
            self.passes[-1] = ctx.get(session.dry)
        if ctx.get(session.keep):
            self.kept += 1
            self.store.keep(self.answer)
        self.errors += ctx.get(session.error)
        asked = {name: ctx.get(getattr(session, name)) for name in ("advance", "rewind", "replay", "report")}
        await ctx.tick()
        self.cycle += 1
        store.tick(**asked)

    async def pulse(self, signal: Any) -> None:
        self.ctx.set(signal, 1)
        await self.tick()
        self.ctx.set(signal, 0)

    async def request(self, octets: bytes, failure: str = "", *, damaged: bool = False, answer: bytes = b"") -> bytes:
        """The answer to a packet (its CRC included) whose execution fails so, or gives these bytes."""
        session = self.session
        self.begun, self.body, self.ended = False, b"", False
        self.passes, self.kept, self.errors, self.answer = [], 0, 0, answer
        self.ctx.set(session.receiving, 1)
        for _ in range(3):
            await self.tick()
        self.ctx.set(session.receiving, 0)
        self.store.put_request(octets)
        await self.pulse(session.damaged if damaged else session.packet)
        before = 0
        for _ in range(2_000):
            if self.ended:
                return self.body
            if len(self.passes) > before and self.passes[-1] != -1:
                before = len(self.passes)
                name = NAMES.get(octets[0])
                asked = {one for one in COMMANDS if self.ctx.get(session.asked[one])}
                assert (self.ctx.get(session.known), asked if name else name) == (
                    name in NAMES.values(),
                    name and {name},
                )
                if not self.passes[-1]:
                    at = self.store.answer_at
                    self.store.memory[at : at + len(answer)] = answer
                for _ in range(self.random.randrange(5)):
                    await self.tick()
                await self.pulse(session.failed[failure] if failure else session.done)
            await self.tick()
        raise AssertionError("the session never answers")


def packets(random: Random, rules: Rules) -> bytes:
    """A packet, mostly of the open session and the next in its sequence."""
    session = rules.session or b"1234"
    sequence = (rules.sequence + 1) % 256
    name, kind = random.choice(list(COMMANDS)), random.random()
    code = COMMANDS[name].code
    if name == "open" or kind < 0.1:
        session = random.choice([session, random.randbytes(4)])
        sequence = random.choice([0, 255, sequence])
    elif kind < 0.2:
        sequence = rules.sequence
    elif kind < 0.35:
        sequence = random.choice([rules.sequence - 1, rules.sequence + 2, random.randrange(256)]) % 256
    elif kind < 0.4:
        session = bytes([session[0], session[1] ^ 1 << random.randrange(8), *session[2:]])
    elif kind < 0.5:
        code = random.choice([0, 8, 0x81, 255])
    header = {"code": code, "session": int.from_bytes(session, "little"), "sequence": sequence}
    return join(HEADER, header) + random.randbytes(random.randrange(5))


def test_the_table_of_the_document() -> None:
    session, random = Session(), Random(8)
    seen = set()

    async def drive(ctx: Any) -> None:
        bench, rules = Bench(ctx, session, random), Rules()
        for _ in range(300):
            packet = packets(random, rules)
            octets = packet + bytes(CRC_BYTES)
            if random.random() < 0.05:
                answer = await bench.request(octets, damaged=True)
                assert answer == bytes([ERRORS["damaged"].code]) + packet[1:HEADER_BYTES]
                assert (bench.passes, bench.kept, bench.errors) == ([], 0, 1)
                continue
            verdict = rules.judge(packet)
            opens = NAMES.get(packet[0]) == "open"  # which never fails, so there is no dry pass
            failure = random.choice(list(FAILURES.members)) if random.random() < 0.2 and not opens else ""
            if NAMES.get(packet[0]) is None:
                failure = "unknown_command"
            made = random.randbytes(random.randrange(9))
            answer = await bench.request(octets, failure, answer=made)
            error = failure if verdict == "execute" else "" if verdict == "repeat" else verdict
            seen.add(error or verdict)
            if error:
                assert answer == bytes([ERRORS[error].code]) + packet[1:HEADER_BYTES]
                assert (bench.passes, bench.kept, bench.errors) == ([1] * (verdict == "execute"), 0, 1)
                continue
            if verdict == "execute":
                rules.executed(packet, made)
            # Of a repeated packet three bits of the code are looked at, as nobody repeats it with another one.
            identity = IDENTITY_BYTES if NAMES.get(packet[0] & 7) in REPORTS else b""
            assert answer == packet[:HEADER_BYTES] + identity + rules.kept
            passes = [0] if opens else [1, 0]
            assert (bench.passes, bench.errors) == (passes if verdict == "execute" else [], 0)

    play(session, drive)
    assert seen == {"execute", "repeat", *ERRORS} - {"damaged"}


def test_no_packet_is_of_a_session_before_one_is_open() -> None:
    session = Session()

    async def drive(ctx: Any) -> None:
        bench = Bench(ctx, session, Random(9))
        for name in COMMANDS:
            if name != "open":
                packet = join(HEADER, {"code": COMMANDS[name].code, "session": 0, "sequence": 0})
                answer = await bench.request(packet + bytes(CRC_BYTES))
                assert answer[0] == ERRORS["wrong_session"].code

    play(session, drive)
