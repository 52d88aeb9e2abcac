"""The flash reader against a plain flash in Python: bytes, time, waking, quad-enable, requests in a row."""

from __future__ import annotations

import gc
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest
from flash_model import FlashFault, PlainFlash

from rdahw.errors import UserError
from rdahw.hdl.flash_reader import FlashReader
from rdahw.sim.simulator import make_simulator

CLOCK = 5e6
#: The cycles that pass until the part is awake: before it is woken, too, as a reset may come right after that.
WOKEN = 2 * 150
MEMORY = bytes(Random(1).randrange(256) for _ in range(256))


@dataclass
class Ran:
    """Bytes and the cycles in which they were taken; the cycles in which requests were taken; the reader."""

    reader: FlashReader
    octets: list[int] = field(default_factory=list)
    taken: list[int] = field(default_factory=list)
    requested: list[int] = field(default_factory=list)
    failed: bool = False


def read(
    requests: list[tuple[int, int]],
    flash: PlainFlash | None = None,
    *,
    quad: bool = True,
    latency: int = 0,
    ready: Any = lambda cycle: True,
    patience: int = 4000,
) -> Ran:
    """Read from ``flash`` through pins that take ``latency`` cycles, until the reader is idle or fails."""
    flash = flash or PlainFlash(MEMORY, size=len(MEMORY), wake=140)
    ran, todo = Ran(FlashReader(CLOCK, quad=quad, latency=latency)), list(requests)
    reader = make_simulator(ran.reader, "amaranth")
    # Half of the latency on the way out, the rest on the way in.
    out, into = [(0, 0, 0, 0)] * ((latency + 1) // 2), [15] * (latency // 2)
    while reader.cycles < patience and not ran.failed:
        out.append(tuple(reader.get(f"pins__{name}") for name in ("select", "clock", "o", "oe")))  # type: ignore[arg-type]
        into.append(flash.step(*out.pop(0)))
        reader.set("pins__i", into.pop(0))
        reader.set("requests__valid", bool(todo))
        if todo:
            reader.set("requests__payload", todo[0][0] | todo[0][1] << 24)
        if todo and reader.get("requests__ready"):
            ran.requested.append(reader.cycles)
            todo.pop(0)
        elif reader.get("idle"):
            break
        reader.set("octets__ready", ready(reader.cycles))
        if ready(reader.cycles) and reader.get("octets__valid"):
            ran.octets.append(reader.get("octets__payload"))
            ran.taken.append(reader.cycles)
        ran.failed = bool(reader.get("failed"))
        reader.tick()
    return ran


def wanted(requests: list[tuple[int, int]]) -> list[int]:
    return [MEMORY[(address + i) % len(MEMORY)] for address, length in requests for i in range(length)]


REQUESTS = [(5, 3), (0, 1), (250, 12), (16, 30)]


@pytest.mark.slow
@pytest.mark.parametrize("quad", [True, False])
@pytest.mark.parametrize("latency", [0, 1, 2, 6])
def test_bytes_of_requests_in_a_row(quad: bool, latency: int) -> None:
    ran = read(REQUESTS, quad=quad, latency=latency)
    assert ran.octets == wanted(REQUESTS)


@pytest.mark.parametrize(("quad", "a_byte", "overhead"), [(True, 4, 46), (False, 16, 70)])
@pytest.mark.parametrize("latency", [0, 2])
def test_time_is_as_stated(quad: bool, a_byte: int, overhead: int, latency: int) -> None:
    ran = read(REQUESTS, quad=quad, latency=latency)
    assert (ran.reader.cycles_per_octet, ran.reader.overhead) == (a_byte, overhead + latency)
    assert [b - a for a, b in zip(ran.requested, ran.requested[1:], strict=False)] == [
        length * a_byte + ran.reader.overhead for _, length in REQUESTS[:-1]
    ]
    last = ran.taken[-30:]
    assert [b - a for a, b in zip(last, last[1:], strict=False)] == [a_byte] * 29


@pytest.mark.slow
@pytest.mark.parametrize("quad", [True, False])
@pytest.mark.parametrize("part", [0.1, 0.5, 0.95])
@pytest.mark.parametrize("latency", [0, 2])
def test_a_reader_waits_for_who_takes_the_bytes(quad: bool, part: float, latency: int) -> None:
    random = Random(7)
    pattern = [random.random() < part for _ in range(1000)]
    ran = read(REQUESTS, quad=quad, latency=latency, ready=lambda cycle: pattern[cycle % 1000], patience=8000)
    assert ran.octets == wanted(REQUESTS)


def test_a_long_stop_keeps_every_byte() -> None:
    ran = read([(0, 60)], ready=lambda cycle: cycle < WOKEN + 400 or cycle > WOKEN + 1200)
    assert ran.octets == wanted([(0, 60)])
    assert WOKEN + 200 < ran.taken[3] < WOKEN + 400


def test_the_bit_is_written_only_if_it_is_not_set() -> None:
    for quad, writes in ((True, 0), (False, 1)):
        flash = Watched(MEMORY, size=256, quad=quad)
        assert read([(0, 4)], flash).octets == wanted([(0, 4)])
        assert (flash.codes.count(0x31), flash.codes.count(0x50), flash.codes.count(0x06)) == (writes, writes, 0)
        assert flash.status[1] == 2
    flash = Watched(MEMORY, size=256)
    assert read([(0, 4)], flash, quad=False).octets == wanted([(0, 4)])
    assert flash.codes == [0xAB, 0x03]


def test_the_other_bits_of_the_status_stay() -> None:
    flash = PlainFlash(MEMORY, size=256, wake=140)
    flash.status[1] = 0b0101_1000
    assert read([(0, 4)], flash).octets == wanted([(0, 4)])
    assert flash.status[1] == 0b0101_1010


class Watched(PlainFlash):
    """Remembers the commands."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **{"wake": 140, **options})
        self.codes: list[int] = []

    def _end(self) -> None:
        if self._code is not None:
            self.codes.append(self._code)
        super()._end()


class Stubborn(PlainFlash):
    """Its status cannot be written, as if its registers were locked."""

    def _end(self) -> None:
        super()._end()
        self.status[1] = 0


def test_a_part_that_does_not_let_the_bit_be_set() -> None:
    ran = read([(0, 4)], Stubborn(MEMORY, size=256, wake=140))
    assert (ran.failed, ran.octets, ran.requested) == (True, [], [])


def test_a_part_left_reading_without_commands_by_other_gateware() -> None:
    flash = PlainFlash(MEMORY, size=256, asleep=False, quad=True)
    flash.continuous, flash._next = True, True
    assert read([(0, 4)], flash).octets == wanted([(0, 4)])
    assert not flash.continuous


def test_the_plain_flash_would_see_a_reader_in_a_hurry() -> None:
    with pytest.raises(FlashFault, match="early"):
        read([(0, 4)], PlainFlash(MEMORY, size=256, wake=200))
    with pytest.raises(FlashFault, match="pause"):
        read([(0, 4)], PlainFlash(MEMORY, size=256, wake=140, pause=7))


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
def test_what_cannot_be() -> None:
    with pytest.raises(
        UserError,
        match="^a flash cannot be read with one data line at 60 MHz; expected at most 50 MHz: use quad, or a slower",
    ):
        FlashReader(120e6, quad=False)
    with pytest.raises(UserError, match="^invalid latency of 7 cycles; expected 0 to 6$"):
        FlashReader(48e6, latency=7)
    gc.collect()  # so that Amaranth complains within this test
