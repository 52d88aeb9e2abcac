"""The tests that bench/buses.py lets cocotb run: the bus models of cocotbext-axi against an exported predictor."""

from __future__ import annotations

import os
import random

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge
from cocotbext.axi import AxiStreamBus, AxiStreamSink, AxiStreamSource


def pauses(generator: random.Random, often: float):
    """Whether to pause in each cycle: mostly at random, at times for long."""
    while True:
        for _ in range(generator.randrange(1, 200)):
            yield generator.random() < often
        for _ in range(generator.randrange(0, 100)):
            yield True


@cocotb.test()
async def axi_stream(dut) -> None:
    """Packets of random length with random pauses on both sides; writes the bytes that come back."""
    examples = np.load(os.environ["BUS_EXAMPLES"])  # (N, bytes of an example)
    dut.aresetn.value = 0
    cocotb.start_soon(Clock(dut.aclk, 10, unit="ns").start())
    source, sink = (
        side(AxiStreamBus.from_prefix(dut, name), dut.aclk, dut.aresetn, reset_active_level=False)
        for side, name in ((AxiStreamSource, "s_axis"), (AxiStreamSink, "m_axis"))
    )
    for _ in range(4):
        await RisingEdge(dut.aclk)
    dut.aresetn.value = 1
    generator = random.Random(7)
    source.set_pause_generator(pauses(generator, 0.3))
    sink.set_pause_generator(pauses(generator, 0.5))
    octets, lengths = len(dut.m_axis_tdata) // 8, []
    while sum(lengths) < len(examples):
        lengths.append(min(len(examples) - sum(lengths), generator.randrange(1, 40)))
        await source.send(examples[sum(lengths[:-1]) : sum(lengths)].tobytes())
    predictions = []
    for length in lengths:
        frame = await sink.recv(compact=False)
        assert len(frame.tdata) == length * octets
        assert not any(frame.tuser)
        predictions += frame.tdata
    assert sink.empty()
    np.save(os.environ["BUS_PREDICTIONS"], np.array(predictions, np.uint8).reshape(-1, octets))
