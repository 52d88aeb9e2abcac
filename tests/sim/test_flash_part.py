"""The simulated flash against a plain one in Python, pin by pin, and memory outside of a design."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from flash_model import READS, PlainFlash

from rdahw.sim.flash_part import FAULTS, FlashPart
from rdahw.sim.simulator import ENGINES, choose_engine, make_simulator

SIZE = 64
OPTIONS: dict[str, Any] = {"size": SIZE, "wake": 40, "write": 50, "pause": 2}

#: select, clock, o, oe of one clock cycle.
Pins = tuple[int, int, int, int]


def bits(random: Random, value: int, count: int, lines: int) -> list[Pins]:
    """A number on one line or four, most significant bit first, in clocks of two cycles and more."""
    pins: list[Pins] = []
    for i in range(count // lines - 1, -1, -1):
        o, oe = (value >> 4 * i & 15, 15) if lines == 4 else (12 | value >> i & 1, 13)
        pins += [(1, 0, o, oe)] * random.choice((1, 1, 1, 2)) + [(1, 1, o, oe)] * random.choice((1, 1, 1, 3))
    return pins


def clocks(random: Random, count: int, oe: int = 13) -> list[Pins]:
    """Clocks in which nothing is said."""
    pins: list[Pins] = []
    for _ in range(count):
        pins += [(1, 0, 12, oe)] * random.choice((1, 1, 2)) + [(1, 1, 12, oe)] * random.choice((1, 1, 2))
    return pins


def off(count: int) -> list[Pins]:
    return [(0, 0, 12, 13)] * count


def command(random: Random, flash: PlainFlash) -> list[Pins]:
    """Some command, mostly a right one."""
    code = random.choice(
        (0xAB, 0xAB, 0xB9, 0x06, 0x50, 0x31, 0x31, 0x05, 0x35, 0x15, 0x9F, *READS, *READS, 0xEB, 0xEB, 0xFF)
    )
    if random.random() < 0.05:
        code = random.choice((0xB9, 0x04, 0xC7, 0x02))
    pins = [] if flash.continuous and random.random() < 0.9 else bits(random, code, 8, 1)
    if flash.continuous and random.random() < 0.9:
        code = 0xEB
    if code == 0x31:
        pins += bits(random, random.choice((2, 2, 2, 0, 0, 0xFF)), 8, 1)
    elif code in READS:
        lines, mode, gap, data_lines = READS[code]
        pins += bits(random, random.randrange(SIZE), 24, lines)
        pins += bits(random, random.choice((0xFF, 0xA0, 0x20, 0x00)), 4 * mode, 4) if mode else []
        pins += clocks(random, gap, 0 if data_lines == 4 else 13)
        pins += clocks(random, random.randrange(24), 0 if data_lines == 4 else 13)
    elif code in (0x05, 0x35, 0x15, 0x9F):
        pins += clocks(random, random.randrange(30))
    if random.random() < 0.1:
        pins = pins[: random.randrange(len(pins) + 1)]
    if random.random() < 0.02 and pins:
        at = random.randrange(len(pins))
        pins[at] = (*pins[at][:2], random.randrange(16), random.randrange(16))
    clock = int(random.random() < 0.2)
    return [*pins, *[(0, clock, 12, 13)] * random.choice((1, 2, 2, 2, 2, 3, 12, 40))]


class Both:
    """The part and the plain one on the same pins; their lines and faults must be equal in every cycle."""

    def __init__(self, engine: str, **options: Any) -> None:
        contents = bytes(Random(5).randrange(256) for _ in range(SIZE - 3))
        self.plain = PlainFlash(contents, strict=False, **{**OPTIONS, **options})
        part = FlashPart(**{**OPTIONS, **options})
        self.simulator = make_simulator(part, engine, registers={"first fault": part.fault})
        self.simulator.attach("address", "data", contents)
        self._before: Pins = (0, 0, 0, 0)

    def play(self, pins: list[Pins]) -> str | None:
        """Give the fault that it came to, and forget it."""
        for now in pins:
            for name, value, was in zip(("select", "clock", "o", "oe"), now, self._before, strict=True):
                if value != was:
                    self.simulator.set(f"pins__{name}", value)
            self._before = now
            assert self.simulator.get("pins__i") == self.plain.step(*now)
            self.simulator.tick()
        fault = self.plain.faults[0] if self.plain.faults else None
        assert self.simulator.get("fault") == (FAULTS.index(fault) + 1 if fault else 0)
        self.plain.faults.clear()
        self.simulator.poke("first fault", 0)
        return fault


@pytest.mark.parametrize("quad", [False, True])
@pytest.mark.slow
def test_the_part_does_what_the_plain_one_does(quad: bool) -> None:
    both = Both(choose_engine(), asleep=not quad, quad=quad)
    random = Random(quad)
    for _ in range(500):
        both.play(command(random, both.plain))


def one(code: int, *octets: int) -> list[Pins]:
    """A whole command on one line."""
    random = Random(0)
    return [pins for octet in (code, *octets) for pins in bits(random, octet, 8, 1)] + off(3)


AWAKE = one(0xAB) + off(40)


@pytest.mark.parametrize(
    ("fault", "pins"),
    [
        (None, one(0x03, 0, 0, 5) + one(0x06) + AWAKE + one(0x03, 0, 0, 5)),
        ("contention", AWAKE + one(0x05)[:-3] + [(1, 0, 15, 15), (1, 1, 15, 15), (1, 0, 15, 15)]),
        ("pause", AWAKE + one(0x05)[:-2] + one(0x05)),
        ("hold", AWAKE + [(1, 0, 4, 15)]),
        ("early", one(0xAB) + one(0x05)),
        ("busy", AWAKE + one(0x06) + one(0x31, 2) + one(0x06)),
        (None, AWAKE + one(0x06) + one(0x31, 2) + one(0x05) + off(50) + one(0x06)),
        ("quad", AWAKE + one(0xEB)),
        ("quad", AWAKE + one(0x6B)),
        *(("unknown", AWAKE + one(code)) for code in (0x01, 0x02, 0x20, 0x32, 0x52, 0x60, 0xC7, 0xD8)),
        ("cut", AWAKE + one(0x50, 0)),
        ("cut", AWAKE + one(0x50) + one(0x31)),
        ("cut", AWAKE + one(0x50) + one(0x31, 2, 0)),
        ("write", AWAKE + one(0x31, 2)),
        ("write", AWAKE + one(0x06) + one(0x04) + one(0x31, 2)),
    ],
)
def test_what_a_reader_can_do_wrong(fault: str | None, pins: list[Pins]) -> None:
    assert Both("amaranth").play(pins) == fault


def test_every_fault_is_tested() -> None:
    marks = [mark for mark in test_what_a_reader_can_do_wrong.pytestmark if mark.name == "parametrize"]  # type: ignore[attr-defined]
    assert {fault for fault, _ in marks[0].args[1]} == {*FAULTS, None}


class Reader(wiring.Component):
    """Looks at a memory outside, and passes on what it sees."""

    def __init__(self) -> None:
        super().__init__({"address": Out(5), "data": In(8), "seen": Out(8), "last": Out(8)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.d.sync += [self.address.eq(self.address + 1), self.last.eq(self.data)]
        m.d.comb += self.seen.eq(self.data)
        return m


@pytest.mark.parametrize("engine", ENGINES)
def test_memory_outside_of_a_design(engine: str) -> None:
    simulator = make_simulator(Reader(), choose_engine(engine))
    contents = bytes(range(100, 120))
    simulator.attach("address", "data", contents, behind=7)
    seen = []
    for _ in range(40):
        seen.append(simulator.get("seen"))
        simulator.tick()
        assert simulator.get("last") == seen[-1]
    one = [*contents, *[7] * 12]
    assert seen == (one + one)[:40]
    simulator.close()
