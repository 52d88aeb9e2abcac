"""Our models of cells do what Yosys takes the cells to do, and refuse what they do not model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from amaranth.hdl import ClockSignal, Instance, Module, Mux
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from rdahw.errors import MissingError, UsageError
from rdahw.hdl import toolchain
from rdahw.hdl.block_memory import block_memory
from rdahw.hdl.toolchain import ToolFailure
from rdahw.sim.native import convert
from rdahw.sim.simulator import choose_engine, make_simulator, ports_of

pytestmark = pytest.mark.slow  # Yosys, and a compiled simulator


class Shape(NamedTuple):
    """A memory that fills a block RAM of the ECP5, and what it does when it is read and written at once."""

    width: int
    at_once: str
    granularity: int | None = None


SHAPES = (
    *(Shape(width, "apart") for width in (1, 2, 4, 9, 18, 36)),  # never at the same address
    Shape(36, "old", 9),
    Shape(9, "old, held"),  # not read in every cycle
    Shape(18, "one port, old", 9),
    Shape(4, "one port, new"),
    Shape(18, "one port, new", 9),
    Shape(9, "one port, not read"),
)


class Memories(wiring.Component):
    """All shapes, read and written at the same addresses with the same data."""

    def __init__(self) -> None:
        rng = np.random.default_rng(1)
        self.data = []
        for width, *_ in SHAPES:
            depth = (1 << 14) // (width if width < 9 else width // 9 * 8)
            init = rng.integers(1 << width, size=depth).tolist()
            self.data.append(memory.MemoryData(shape=width, depth=depth, init=init))
        super().__init__(
            {
                "address": In(14),
                "write_address": In(14),
                "write_enable": In(4),
                "write_data": In(36),
                "there": Out(sum(s.width for s in SHAPES)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        at = 0
        for i, (shape, data) in enumerate(zip(SHAPES, self.data, strict=True)):
            bits, name = (data.depth - 1).bit_length(), f"memory{i}"
            address, write_address = self.address[:bits], self.write_address[:bits]
            if shape.at_once == "apart":
                there, write = block_memory(m, name, data, address, granularity=shape.granularity)
            else:
                m.submodules[name] = store = memory.Memory(data, attrs={"ram_style": "block"})
                write = store.write_port(granularity=shape.granularity)
                read = store.read_port(transparent_for=(write,) if "new" in shape.at_once else ())
                there = read.data
                m.d.comb += read.addr.eq(address)
                if "not read" in shape.at_once:
                    m.d.comb += read.en.eq(~write.en.any())
                if "held" in shape.at_once:
                    m.d.comb += read.en.eq(self.write_enable[-1])
            if "one port" in shape.at_once:
                write_address = address
            enable = self.write_enable[: len(write.en)]
            if shape.at_once == "apart":
                enable = Mux(address == write_address, 0, enable)
            m.d.comb += [
                write.addr.eq(write_address),
                write.data.eq(self.write_data),
                write.en.eq(enable),
                self.there[at : at + shape.width].eq(there),
            ]
            at += shape.width
        return m


def exercise(simulator: Any) -> list[int]:
    """What is read all over the contents, then in some hundred cycles at few places that are often the same."""
    rng = np.random.default_rng(2)
    everywhere = [(place, 0, 0, 0) for place in range(0, 1 << 14, 251)]
    places = rng.integers(1 << 14, size=6)
    places = [*places, *(place ^ 1 << bit for place in places for bit in rng.integers(14, size=3))]
    often = [(*rng.choice(places, 2), rng.integers(16), rng.integers(1 << 36)) for _ in range(600)]
    seen = []
    for values in everywhere + often:
        for name, value in zip(("address", "write_address", "write_enable", "write_data"), values, strict=True):
            simulator.set(name, int(value))
        simulator.tick()
        seen.append(simulator.get("there"))
    return seen


@pytest.fixture(scope="module")
def engine() -> str:
    try:
        return choose_engine("cxxrtl")
    except MissingError as error:
        pytest.skip(str(error))


def test_block_ram_of_the_ecp5(engine: str) -> None:
    asked = exercise(make_simulator(Memories(), "amaranth"))
    made = exercise(make_simulator(Memories(), engine, netlist="ecp5"))
    starts = np.cumsum([0, *(shape.width for shape in SHAPES)]).tolist()
    differing = {
        (cycle, shape)
        for cycle, (one, other) in enumerate(zip(asked, made, strict=True))
        for start, shape in zip(starts, SHAPES, strict=False)
        if (one ^ other) >> start & (1 << shape.width) - 1
    }
    assert not differing


def test_the_shapes_need_all_that_is_modelled(tmp_path: Path) -> None:
    memories = Memories()
    (tmp_path / "design.il").write_text(convert(memories, ports_of(memories), {})[0])
    script = "read_rtlil design.il\nsynth_ecp5 -top top\nselect top\nwrite_json -selected netlist.json\n"
    (tmp_path / "design.ys").write_text(script)
    toolchain.run(toolchain.find("yosys"), ["-q", "design.ys"], cwd=tmp_path, log="log", makes=["netlist.json"])
    cells = json.loads((tmp_path / "netlist.json").read_text())["modules"]["top"]["cells"].values()
    found = [cell["parameters"] for cell in cells if cell["type"] == "DP16KD"]
    assert {int(one[f"DATA_WIDTH_{port}"], 2) for one in found for port in "AB"} == {1, 2, 4, 9, 18, 36}
    modes = {"READBEFOREWRITE", "WRITETHROUGH", "NORMAL"}
    assert {one.get("WRITEMODE_A", "NORMAL") for one in found if int(one["DATA_WIDTH_A"], 2) < 36} == modes


class OneCell(wiring.Component):
    """A block RAM with these parameters, all its pins but the clocks at 0."""

    def __init__(self, **parameters: Any) -> None:
        self.parameters = {f"p_{name}": value for name, value in parameters.items()}
        super().__init__({"there": Out(1)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        clocks = {f"i_CLK{port}": ClockSignal() for port in "AB"}
        m.submodules.cell = Instance("DP16KD", **self.parameters, **clocks, o_DOA0=self.there)
        return m


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"REGMODE_B": "OUTREG"}, "the output register is not modelled"),
        ({"CSDECODE_A": "0b001"}, "selects are not modelled"),
        ({"CLKBMUX": "INV"}, "an inverted clock is not modelled"),
        ({"GSR": "ENABLED"}, "the global reset is not modelled"),
        ({"DATA_WIDTH_B": 36}, "port B of 36 bits goes with port A of 36"),
        ({"OCEAMUX": "INV"}, "OCEAMUX"),
    ],
    ids=str,
)
def test_what_is_not_modelled_is_refused(engine: str, parameters: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ToolFailure, match=sentence):
        make_simulator(OneCell(**parameters), engine, netlist="ecp5")


def test_a_family_without_models(engine: str) -> None:
    sentence = r"^there are no models of the cells of family 'ecp3'; did you mean 'ecp5'\?$"
    with pytest.raises(UsageError, match=sentence):
        make_simulator(OneCell(), engine, netlist="ecp3")
