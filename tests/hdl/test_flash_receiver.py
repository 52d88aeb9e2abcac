"""The way in of a flash reader: bits of one line or four become bytes, and the queue never holds more than it can."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from rdahw.hdl.flash_receiver import DEPTH, FlashReceiver
from rdahw.sim.simulator import make_simulator


def receive(octets: list[int], *, latency: int, single: bool, ready: Any) -> tuple[list[int], list[int]]:
    """Bytes sent as a reader asks for them: those taken, and how many were begun and not taken in each cycle."""
    receiver = make_simulator(FlashReceiver(latency), "amaranth")
    receiver.set("single", single)
    receiver.set("keep", 1)
    clocks, random = (8 if single else 2), Random(3)
    coming: dict[int, int] = {}  # what is on the lines in a cycle
    begun, left, taken, waiting = 0, 0, [], []
    while len(taken) < len(octets):
        assert receiver.cycles < 100 * len(octets)
        begin = left == 0 and begun < len(octets) and bool(receiver.get("room"))
        if begin:
            begun, left = begun + 1, 2 * clocks
        sample = left > 0 and left % 2 == 0
        if sample:
            bits, width = octets[begun - 1], 1 if single else 4
            part = bits >> (left // 2 - 1) * width & (1 << width) - 1
            # The other lines are not looked at.
            coming[receiver.cycles + 2 + latency] = part << 1 | random.choice((0, 0b1101)) if single else part
        left = max(0, left - 1)
        receiver.set("begin", begin)
        receiver.set("sample", sample)
        receiver.set("lines", coming.get(receiver.cycles, random.randrange(16)))
        receiver.set("octets__ready", ready(receiver.cycles))
        if receiver.get("octets__valid") and ready(receiver.cycles):
            taken.append(receiver.get("octets__payload"))
        receiver.tick()
        waiting.append(begun - len(taken))
        assert receiver.get("pending") == (waiting[-1] > 0)
    return taken, waiting


@pytest.mark.parametrize("single", [True, False])
@pytest.mark.parametrize("latency", [0, 2, 6])
def test_bytes_come_in_their_order_and_none_is_lost(single: bool, latency: int) -> None:
    octets = [Random(1).randrange(256) for _ in range(3)] + list(range(250, 256)) * 3
    taken, _ = receive(octets, latency=latency, single=single, ready=lambda cycle: cycle % 97 > 60)
    assert taken == octets


def test_no_more_are_begun_than_there_is_room_for() -> None:
    taken, waiting = receive(list(range(20)), latency=2, single=False, ready=lambda cycle: cycle > 200)
    assert (taken, max(waiting)) == (list(range(20)), DEPTH)


def test_what_is_not_kept_is_seen_as_the_latest_byte_alone() -> None:
    receiver = make_simulator(FlashReceiver(0), "amaranth")
    for half in (0xC, 0x5):
        receiver.set("sample", 1)
        receiver.tick()
        receiver.set("sample", 0)
        receiver.tick()
        receiver.set("lines", half)
        receiver.tick()
    receiver.tick(4)
    assert (receiver.get("latest"), receiver.get("octets__valid")) == (0xC5, 0)
