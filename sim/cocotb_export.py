"""A model with the ports of a bus as a folder that cocotb runs: Verilog, test, examples with what is due, Makefile."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rdahw.hdl.interface import Interface
from rdahw.hdl.packets import HEAD_BITS, PacketModel
from rdahw.hdl.registers import REGISTERS
from rdahw.primitives import Array
from rdahw.sim.engines import CircuitEngine, make_engine
from rdahw.state import State
from rdahw.training import Batches, Examples

__all__ = ["BUSES", "Golden", "cocotb_files", "golden", "random_examples", "state_at_power_up"]

#: The examples of a folder.
EXAMPLES = 100


class Golden(NamedTuple):
    """Examples as words, (N, beats, width) of 0 and 1, their results (N, result bits), and the state after."""

    words: Array
    results: Array
    state: State


def state_at_power_up(its: Interface) -> State:
    """The state of a trainer at power-up."""
    return {p.field.name: p.unpack(bytes(p.size)) if p.cleared is None else p.cleared for p in its.places}


def random_examples(core: PacketModel, count: int, seed: int = 0) -> Examples:
    """Examples of random bits, with random labels."""
    its, rng = core.interface, np.random.default_rng(seed)
    x = rng.integers(0, 2, (count, its.input_bits), np.uint8)
    return Examples(x, rng.integers(0, min(its.spec.classes, 1 << 62), count))


def golden(core: PacketModel, state: State, examples: Examples) -> Golden:
    """What the software does with these examples, in order, from ``state`` on; a trainer learns from each."""
    its, count = core.interface, len(examples)
    x, labels = examples.x, examples.labels
    engine = make_engine(its.spec)
    engine.state = dict(state)
    results = np.zeros((count, core.result_bits), np.uint8)
    for row in range(count):
        one = Examples(x[row : row + 1], labels[row : row + 1])
        prepared = engine.prepare(one)
        wires = _outputs(engine, prepared, its)
        if its.learns:
            predicted = engine.train(prepared, Batches.single(np.array([0]))).predicted
            wires = wires if predicted is None else its.encode(predicted.astype(np.int64))
            results[row, its.output_bits] = (wires == its.encode(one.labels)).all()
        results[row, : its.output_bits] = wires
    head = np.zeros((count, core.heads * core.width), np.uint8)
    if its.learns:
        head[:, 0], head[:, 1], head[:, HEAD_BITS : HEAD_BITS + its.output_bits] = 1, 1, its.encode(labels)
    tail = np.zeros((count, (core.beats - core.heads) * core.width - x.shape[1]), np.uint8)
    words = np.concatenate([head, x, tail], axis=1).reshape(count, core.beats, core.width)
    return Golden(words, results, engine.state)


def _outputs(engine: Any, prepared: Any, its: Interface) -> Array:
    """The wires of predictions; those of a circuit may be no class."""
    if isinstance(engine, CircuitEngine):
        found = engine.runner.outputs(prepared)
        wires = np.zeros((len(found), its.output_bits), np.uint8)
        wires[:, : found.shape[1]] = found
        return wires
    return its.encode(engine.predict(prepared))


_TEST = '''"""The module NAME in a simulator: every prediction of examples.json, with random pauses.

    python -m pip install "cocotb>=2,<3"
    make                                  # with Icarus Verilog
    make SIM=verilator                    # version 5.036 or newer
"""

import json
import random
from pathlib import Path

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

# An example is a list of words; its prediction is a number.
GOLDEN = json.loads(Path(__file__).with_name("examples.json").read_text())
RNG = random.Random(1)
# The inputs of AXI4-Lite.
AXI = "awaddr awprot awvalid wdata wstrb wvalid bready araddr arprot arvalid rready".split()


async def pause(clock):
    while RNG.random() < 0.3:
        await RisingEdge(clock)


async def transfer(clock, valid, ready):
    """Offer what is on the wires until it is taken."""
    valid.value = 1
    await RisingEdge(clock)
    while not int(ready.value):
        await RisingEdge(clock)
    valid.value = 0


async def taken(clock, valid, ready, data):
    """Take what is offered, and return the data."""
    ready.value = 1
    await RisingEdge(clock)
    while not int(valid.value):
        await RisingEdge(clock)
    ready.value = 0
    return int(data.value)


async def start(clock, reset, active, inputs):
    """Start the clock, with all inputs 0, and reset."""
    for wire in inputs:
        wire.value = 0
    reset.value = active
    cocotb.start_soon(Clock(clock, 10, unit="ns").start())
    for _ in range(4):
        await RisingEdge(clock)
    reset.value = 1 - active
    await RisingEdge(clock)


DRIVER
'''

_STREAMS = """async def send(dut):
    for example in GOLDEN["examples"]:
        for number, word in enumerate(example):
            await pause(dut.aclk)
            dut.s_axis_tdata.value = word
            dut.s_axis_tlast.value = number == len(example) - 1
            await transfer(dut.aclk, dut.s_axis_tvalid, dut.s_axis_tready)


@cocotb.test()
async def every_prediction(dut):
    inputs = [dut.s_axis_tdata, dut.s_axis_tlast, dut.s_axis_tvalid, dut.m_axis_tready]
    inputs += [getattr(dut, f"s_axi_{name}") for name in AXI if hasattr(dut, f"s_axi_{name}")]  # of a trainer
    await start(dut.aclk, dut.aresetn, 0, inputs)
    cocotb.start_soon(send(dut))
    for number, due in enumerate(GOLDEN["predictions"]):
        await pause(dut.aclk)
        found = await taken(dut.aclk, dut.m_axis_tvalid, dut.m_axis_tready, dut.m_axis_tdata)
        assert found == due, f"example {number}: {found:#x}, and not {due:#x}"
"""

_REGISTERS = """READY, WAITS, TAKE = BITS


async def until(dut, bit):
    for _ in range(100_000):
        if await read(dut, STATUS) & bit:
            return
    raise AssertionError(f"bit {bit} of STATUS is never set")


@cocotb.test()
async def every_prediction(dut):
    await begin(dut)
    for number, (example, due) in enumerate(zip(GOLDEN["examples"], GOLDEN["predictions"])):
        for word in example:
            await until(dut, READY)
            await write(dut, WORD, word)
        await until(dut, WAITS)
        found = sum([await read(dut, PREDICTION + k) << 32 * k for k in range(PREDICTION_WORDS)])
        await write(dut, CONTROL, TAKE)
        assert found == due, f"example {number}: {found:#x}, and not {due:#x}"
"""

_AXI = """async def read(dut, number):
    await pause(dut.aclk)
    dut.s_axi_araddr.value = 4 * number
    await transfer(dut.aclk, dut.s_axi_arvalid, dut.s_axi_arready)
    await pause(dut.aclk)
    found = await taken(dut.aclk, dut.s_axi_rvalid, dut.s_axi_rready, dut.s_axi_rdata)
    assert int(dut.s_axi_rresp.value) == 0
    return found


async def write(dut, number, value):
    await pause(dut.aclk)
    dut.s_axi_awaddr.value = 4 * number
    await transfer(dut.aclk, dut.s_axi_awvalid, dut.s_axi_awready)
    dut.s_axi_wdata.value = value
    dut.s_axi_wstrb.value = 15
    await pause(dut.aclk)
    await transfer(dut.aclk, dut.s_axi_wvalid, dut.s_axi_wready)
    await pause(dut.aclk)
    assert await taken(dut.aclk, dut.s_axi_bvalid, dut.s_axi_bready, dut.s_axi_bresp) == 0


async def begin(dut):
    await start(dut.aclk, dut.aresetn, 0, [getattr(dut, f"s_axi_{name}") for name in AXI])


"""

_WISHBONE = """async def access(dut, number, value, writes):
    await pause(dut.clk_i)
    dut.adr_i.value, dut.dat_i.value, dut.we_i.value = number, value, writes
    dut.cyc_i.value = dut.stb_i.value = 1
    await RisingEdge(dut.clk_i)
    while not int(dut.ack_o.value):
        assert not int(dut.err_o.value), f"register {number} is refused"
        await RisingEdge(dut.clk_i)
    dut.cyc_i.value = dut.stb_i.value = 0
    return int(dut.dat_o.value)


async def read(dut, number):
    return await access(dut, number, 0, 0)


async def write(dut, number, value):
    await access(dut, number, value, 1)


async def begin(dut):
    await start(dut.clk_i, dut.rst_i, 1, [dut.cyc_i, dut.stb_i, dut.we_i, dut.adr_i, dut.dat_i])


"""

#: The part of the test that knows a bus.
BUSES = {"axi-stream": _STREAMS, "axi": _AXI + _REGISTERS, "wishbone": _WISHBONE + _REGISTERS}

_MAKEFILE = """# Runs test_NAME.py; see its first lines for what is needed.
SIM ?= icarus
TOPLEVEL_LANG = verilog
VERILOG_SOURCES = $(CURDIR)/NAME.v
COCOTB_TOPLEVEL = NAME
COCOTB_TEST_MODULES = test_NAME

include $(shell cocotb-config --makefiles)/Makefile.sim
"""


def cocotb_files(core: PacketModel, bus: str, name: str, verilog: str, state: State) -> dict[str, str]:
    """The files of the folder by name. verilog: the module ``name``, ``core`` on ``bus``. state: what it predicts with,
    or learns from on."""
    made = golden(core, state, random_examples(core, EXAMPLES))
    kept = {
        "examples": [[_number(word) for word in example] for example in made.words],
        "predictions": [_number(result) for result in made.results],
    }
    numbers = {row.name: number for number, row in enumerate(REGISTERS)}
    bits = {f"{row.name}_{bit.name}": 1 << at for row in REGISTERS for at, bit in enumerate(row.bits)}
    registers = "".join(f"{key} = {numbers[key]}\n" for key in ("STATUS", "CONTROL", "WORD", "PREDICTION"))
    chosen = [bits["STATUS_WORD"], bits["STATUS_PREDICTION"], bits["CONTROL_TAKE"]]
    constants = f"{registers}PREDICTION_WORDS = {-(-core.result_width // 32)}\nREADY, WAITS, TAKE = {tuple(chosen)}\n"
    driver = BUSES[bus].replace("READY, WAITS, TAKE = BITS\n", constants)
    return {
        f"{name}.v": verilog,
        f"test_{name}.py": _TEST.replace("NAME", name).replace("DRIVER\n", driver).rstrip("\n") + "\n",
        "examples.json": json.dumps(kept) + "\n",
        "Makefile": _MAKEFILE.replace("NAME", name),
    }


def _number(bits: NDArray[Any]) -> int:
    return int.from_bytes(np.packbits(bits, bitorder="little").tobytes(), "little")
