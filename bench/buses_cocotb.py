"""The test that bench/buses.py lets cocotb run: bus models of cocotbext-axi and cocotbext-wishbone against an exported
model."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge
from cocotbext.axi import AxiLiteBus, AxiLiteMaster, AxiStreamBus, AxiStreamSink, AxiStreamSource
from cocotbext.wishbone.driver import WBOp, WishboneMaster

from rdahw.hdl.registers import REGISTERS

NUMBERS = {row.name: number for number, row in enumerate(REGISTERS)}
STATUS = {bit.name: 1 << at for at, bit in enumerate(REGISTERS[NUMBERS["STATUS"]].bits)}
TAKE = 1


#: The inputs of modules. What the bus models drive before the first step of time is lost, and an undefined input after
#: the reset makes a simulated module undefined for ever.
INPUTS = [
    *("cyc_i", "stb_i", "we_i", "adr_i", "dat_i"),
    *("s_axis_tdata", "s_axis_tlast", "s_axis_tvalid", "m_axis_tready"),
    *(f"s_axi_{name}" for name in ("awaddr", "awprot", "awvalid", "wdata", "wstrb", "wvalid", "bready")),
    *(f"s_axi_{name}" for name in ("araddr", "arprot", "arvalid", "rready")),
]


def pauses(generator: random.Random, often: float):
    """Whether to pause in each cycle: mostly at random, at times for long."""
    while True:
        for _ in range(generator.randrange(1, 200)):
            yield generator.random() < often
        for _ in range(generator.randrange(0, 100)):
            yield True


def axi(dut, generator: random.Random):
    """Reads a register (None), or writes it, on AXI4-Lite."""
    bus = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axi"), dut.aclk, dut.aresetn, reset_active_level=False)
    writes, reads = bus.write_if, bus.read_if
    for channel in (writes.aw_channel, writes.w_channel, writes.b_channel, reads.ar_channel, reads.r_channel):
        channel.set_pause_generator(generator.random() < 0.3 for _ in iter(int, 1))

    async def access(name: str, value: int | None = None, word: int = 0) -> int:
        at = 4 * (NUMBERS[name] + word)
        if value is None:
            reply = await bus.read(at, 4)
            assert reply.resp == 0
            return int.from_bytes(reply.data, "little")
        # A read goes on beside the write.
        beside = cocotb.start_soon(bus.read(4 * NUMBERS["FINGERPRINT_LOW"], 4))
        reply = await bus.write(at, value.to_bytes(4, "little"))
        assert reply.resp == (await beside).resp == 0
        return value

    return access


def wishbone(dut, generator: random.Random):
    """The same on Wishbone, in cycles of one or several accesses."""
    names = {"cyc": "cyc_i", "stb": "stb_i", "we": "we_i", "adr": "adr_i", "datwr": "dat_i", "datrd": "dat_o"}
    bus = WishboneMaster(dut, None, dut.clk_i, timeout=100, signals_dict={**names, "ack": "ack_o", "err": "err_o"})

    async def access(name: str, value: int | None = None, word: int = 0) -> int:
        idle = generator.choice([0, 0, 0, 1, 5])
        operations = [WBOp(NUMBERS[name] + word, value, idle=idle, acktimeout=50)]
        if generator.random() < 0.3:
            operations.append(WBOp(NUMBERS["FINGERPRINT_LOW"], None, idle=idle, acktimeout=50))
        replies = await bus.send_cycle(operations)
        assert [reply.ack for reply in replies] == [1] * len(operations), [reply.ack for reply in replies]
        return int(replies[0].datrd) if value is None else value

    return access


async def until(access, bit: str) -> None:
    """Until a bit of STATUS is set."""
    for _ in range(2000):
        if await access("STATUS") & STATUS[bit]:
            return
    raise AssertionError(f"{bit} is never set")


async def registers(access, octets, width: int, size: int) -> list[int]:
    """Examples one after another through registers; the bytes of the predictions."""
    predictions: list[int] = []
    for example in octets:
        for at in range(0, len(example), width):
            await until(access, "WORD")
            await access("WORD", int.from_bytes(example[at : at + width].tobytes(), "little"))
        await until(access, "PREDICTION")
        found = [await access("PREDICTION", word=word) for word in range(-(-size // 4))]
        await access("CONTROL", TAKE)
        predictions += b"".join(word.to_bytes(4, "little") for word in found)[:size]
    return predictions


async def streams(dut, octets, size: int, generator: random.Random) -> list[int]:
    """Packets of random length with random pauses on both sides; the bytes that come back."""
    source, sink = (
        side(AxiStreamBus.from_prefix(dut, name), dut.aclk, dut.aresetn, reset_active_level=False)
        for side, name in ((AxiStreamSource, "s_axis"), (AxiStreamSink, "m_axis"))
    )
    source.set_pause_generator(pauses(generator, 0.3))
    sink.set_pause_generator(pauses(generator, 0.5))
    lengths: list[int] = []
    while sum(lengths) < len(octets):
        lengths.append(min(len(octets) - sum(lengths), generator.randrange(1, 40)))
        await source.send(octets[sum(lengths[:-1]) : sum(lengths)].tobytes())
    predictions: list[int] = []
    for length in lengths:
        frame = await sink.recv(compact=False)
        assert len(frame.tdata) == length * size
        assert not any(frame.tuser)
        predictions += frame.tdata
    assert sink.empty()
    return predictions


@cocotb.test()
async def model(dut) -> None:
    """Writes the parameters, sends the examples, reads the parameters again."""
    octets = np.load(os.environ["BUS_EXAMPLES"])  # (N, bytes of an example)
    parameters = json.loads(Path(os.environ["BUS_PARAMETERS"]).read_text())
    width, size, bus = int(os.environ["BUS_WORD"]), int(os.environ["BUS_RESULT"]), os.environ["BUS"]
    generator = random.Random(7)
    clock, reset, held = (dut.clk_i, dut.rst_i, 1) if bus == "wishbone" else (dut.aclk, dut.aresetn, 0)
    for name in INPUTS:
        if hasattr(dut, name):
            getattr(dut, name).value = 0
    reset.value = held
    cocotb.start_soon(Clock(clock, 10, unit="ns").start())
    for _ in range(4):
        await RisingEdge(clock)
    access = None
    if bus != "axi-stream" or parameters:
        access = (wishbone if bus == "wishbone" else axi)(dut, generator)
    await RisingEdge(clock)
    reset.value = 1 - held
    await RisingEdge(clock)

    async def word(number: int, value: int | None = None) -> int:
        await access("ADDRESS", number)
        await until(access, "PARAMETERS")
        if value is not None:
            await access("DATA", value)
            await until(access, "PARAMETERS")
        return await access("DATA")

    if parameters:
        await until(access, "PARAMETERS")
    for number, value in parameters.items():
        await word(int(number), value)
    if bus == "axi-stream":
        predictions = await streams(dut, octets, size, generator)
    else:
        predictions = await registers(access, octets, width, size)
    found = {"predictions": predictions, "parameters": {number: await word(int(number)) for number in parameters}}
    Path(os.environ["BUS_FOUND"]).write_text(json.dumps(found))
