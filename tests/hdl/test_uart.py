"""The UART: loopback at several divisors, clocks that differ, lines that are no UART."""

from __future__ import annotations

import gc
from typing import Any

import pytest
from amaranth.hdl import ClockDomain, DomainRenamer, Module
from amaranth.sim import Simulator

from rdahw.errors import UserError
from rdahw.hdl.uart import UartReceiver, UartTransmitter, divisor_for

DATA = bytes([0x00, 0xFF, 0x55, 0xAA, 0x01, 0x80, 0x7E, 0x7D, 0x00, 0xFF])


def loopback(divisor: int, mismatch: float = 0.0, data: bytes = DATA, gaps: tuple[int, ...] = (0,)) -> bytes:
    """What a receiver gets of ``data`` when its clock is slower by the fraction ``mismatch`` than the transmitter's."""
    m = Module()
    m.domains.far = ClockDomain()
    m.submodules.transmitter = transmitter = UartTransmitter(divisor)
    m.submodules.receiver = receiver = DomainRenamer("far")(UartReceiver(divisor))
    m.d.comb += receiver.rx.eq(transmitter.tx)
    received = bytearray()

    async def send(ctx: Any) -> None:
        for number, byte in enumerate(data):
            await ctx.tick().repeat(1 + gaps[number % len(gaps)])
            ctx.set(transmitter.bytes.payload, byte)
            ctx.set(transmitter.bytes.valid, 1)
            await ctx.tick().until(transmitter.bytes.ready)
            ctx.set(transmitter.bytes.valid, 0)
        await ctx.tick().repeat(12 * divisor)

    async def receive(ctx: Any) -> None:
        async for _, _, valid, payload in ctx.tick("far").sample(receiver.bytes.valid, receiver.bytes.payload):
            if valid:
                received.append(payload)

    simulator = Simulator(m)
    simulator.add_clock(1e-5)
    # Not in phase, so that edges do not fall together.
    simulator.add_clock(1e-5 * (1 + mismatch), phase=3.7e-6, domain="far")
    simulator.add_testbench(send)
    simulator.add_testbench(receive, background=True)
    simulator.run()
    return bytes(received)


@pytest.mark.parametrize("mismatch", [-0.02, 0.0, 0.02])
@pytest.mark.parametrize("divisor", [8, 9, 13, 24, 100])
def test_bytes_arrive_though_the_clocks_differ(divisor: int, mismatch: float) -> None:
    data = DATA if divisor < 50 else DATA[:4]
    assert loopback(divisor, mismatch, data) == data


def test_bytes_arrive_at_any_distance() -> None:
    assert loopback(8, 0.02, DATA, gaps=(0, 1, 3, 7, 20, 81)) == DATA


def test_far_clocks_are_noticed() -> None:
    # The check above could pass for a receiver that is too lenient by accident: at 8 % off it must fail.
    assert loopback(8, 0.08) != DATA


def drive(line: list[int], divisor: int = 8) -> bytes:
    """What a receiver gets from a line at these levels, each held for one cycle."""
    receiver = UartReceiver(divisor)
    received = bytearray()

    async def play(ctx: Any) -> None:
        for level in [1] * 20 + line + [1] * 20 * divisor:
            ctx.set(receiver.rx, level)
            _, _, valid, payload = await ctx.tick().sample(receiver.bytes.valid, receiver.bytes.payload)
            if valid:
                received.append(payload)

    simulator = Simulator(receiver)
    simulator.add_clock(1e-6)
    simulator.add_testbench(play)
    simulator.run()
    return bytes(received)


def byte_on_line(value: int, divisor: int = 8, stop: int = 1) -> list[int]:
    bits = [0, *(value >> i & 1 for i in range(8)), stop]
    return [bit for bit in bits for _ in range(divisor)]


def test_the_line_is_8n1_least_significant_first() -> None:
    assert drive(byte_on_line(0x35) + byte_on_line(0xC1)) == b"\x35\xc1"


def test_a_glitch_is_no_start_bit() -> None:
    assert drive([0, 0, 0] + [1] * 20 + byte_on_line(0x35)) == b"\x35"


def test_a_byte_without_stop_bit_is_dropped() -> None:
    assert drive(byte_on_line(0x35, stop=0) + [1] * 20 + byte_on_line(0x36)) == b"\x36"


def test_a_cut_line_is_no_byte() -> None:
    assert drive([0] * 500 + [1] * 20 + byte_on_line(0x36)) == b"\x36"


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
@pytest.mark.parametrize("end", [UartReceiver, UartTransmitter])
def test_too_small_a_divisor(end: Any) -> None:
    with pytest.raises(UserError, match="a UART of 7 clock cycles a bit was asked for; expected at least 8"):
        end(7)
    gc.collect()  # Amaranth minds components that are never used: let it say so here


def test_divisors() -> None:
    assert divisor_for(24e6, 1e6) == 24
    assert divisor_for(48e6, 3e6) == 16
    assert divisor_for(12e6, 115_200) == 104
    with pytest.raises(UserError, match=r"a clock of 12 MHz makes no 3e\+06 baud: that is 4 cycles a bit"):
        divisor_for(12e6, 3e6)
    with pytest.raises(UserError, match=r"a clock of 12 MHz makes no 1.05e\+06 baud: that is 11.43 cycles a bit"):
        divisor_for(12e6, 1.05e6)
