"""The cells of FPGAs that synthesis alone, without place and route, makes of a predictor, and what they compute."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Module  # type: ignore[import-untyped]
from amaranth.lib import wiring  # type: ignore[import-untyped]
from amaranth.lib.wiring import In, Out  # type: ignore[import-untyped]

from rdahw.circuit import Circuit
from rdahw.hdl.inference import Pipeline
from rdahw.hdl.netlist_proof import LIBRARIES
from rdahw.hdl.toolchain import Toolchain, find, run, scratch
from rdahw.tracing import Wire, cat, trace
from rdahw.types import Bits

__all__ = ["FAMILIES", "Cells", "Family", "count_cells"]


@dataclass(frozen=True, slots=True)
class Family:
    """A family of FPGAs. synth: the command of Yosys; models: the one that reads the models of its cells. of_luts: its
    tables have six inputs, as the LUTs of :mod:`rdahw.lut_circuits`, and are used as these are."""

    synth: str
    models: str
    of_luts: bool = False


FAMILIES: Mapping[str, Family] = {
    "ice40": Family("synth_ice40", LIBRARIES["synth_ice40"].read),
    "ecp5": Family("synth_ecp5", LIBRARIES["synth_ecp5"].read),
    "gowin": Family("synth_gowin -nowidelut -noiopads", "read_verilog -defer +/gowin/cells_sim.v"),
    "xilinx": Family(
        "synth_xilinx -flatten -abc9 -noiopad -noclkbuf -nosrl", "read_verilog -defer +/xilinx/cells_sim.v", True
    ),
}

#: What cells are, by patterns of their names; all others are counted by name.
_TABLE, _CARRY = r"LUT[1-6]|SB_LUT4", r"SB_CARRY|CCU2C|ALU|CARRY4"
_FLIP_FLOP = r"SB_DFF\w*|TRELLIS_FF|DFF\w*|FD[RSCP]E\w*"
_NONE = r"GND|VCC|GSR"

_SCRIPT = """read_rtlil design.il
{synth} -top top
delete t:$scopeinfo
write_json netlist.json
design -reset
read_json netlist.json
delete =A:blackbox =A:whitebox
{models}
hierarchy -top top
proc
flatten
opt_expr
opt_dff
dffunmap -srst-only
opt_clean
techmap
aigmap
opt_clean
delete t:$scopeinfo
write_json gates.json
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """What synthesis makes of a predictor.

    luts: look-up tables, by the number of their inputs that are no constants. carry, flip_flops: how many. others: more
    cells by their name, such as multiplexers. levels: of cells on the longest path between registers; a chain of carry
    cells is one. circuit: the netlist, read back; a register is a wire in it.
    """

    luts: Mapping[int, int]
    carry: int
    flip_flops: int
    others: Mapping[str, int]
    levels: int
    circuit: Circuit


class _Running(wiring.Component):  # type: ignore[misc]
    """A pipeline that never waits, so that a register is not fed back to itself."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        super().__init__({"x": In(len(pipeline.x)), "y": Out(len(pipeline.y))})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.pipeline = pipeline = self._pipeline
        m.d.comb += [pipeline.x.eq(self.x), pipeline.advance.eq(1), self.y.eq(pipeline.y)]
        return m


def count_cells(design: Pipeline, family: str, toolchain: Toolchain = "yowasp") -> Cells:
    """The cells that Yosys makes of ``design`` for a row of :data:`FAMILIES`.

    Raises :class:`MissingError` without Yosys.
    """
    from amaranth.back import rtlil  # type: ignore[import-untyped]

    row = FAMILIES[family]
    with scratch() as work:
        (work / "design.il").write_text(str(rtlil.convert(_Running(design), name="top", emit_src=False)))
        (work / "design.ys").write_text(_SCRIPT.format(synth=row.synth, models=row.models))
        made = ["netlist.json", "gates.json"]
        run(find("yosys", toolchain), ["-q", "design.ys"], cwd=work, log="design.log", makes=made)
        netlist, gates = (json.loads((work / name).read_text())["modules"]["top"] for name in made)
    cells = netlist["cells"].values()
    luts = Counter(_inputs_used(cell) for cell in cells if re.fullmatch(_TABLE, cell["type"]))
    known = "|".join((_TABLE, _CARRY, _FLIP_FLOP, _NONE))
    others = Counter(cell["type"] for cell in cells if not re.fullmatch(known, cell["type"]))
    return Cells(
        luts=dict(sorted(luts.items())),
        carry=sum(re.fullmatch(_CARRY, cell["type"]) is not None for cell in cells),
        flip_flops=sum(re.fullmatch(_FLIP_FLOP, cell["type"]) is not None for cell in cells),
        others=dict(sorted(others.items())),
        levels=_levels(netlist),
        circuit=_circuit(gates),
    )


def _pins(cell: Mapping[str, Any], direction: str) -> list[Any]:
    """The nets at the input or output pins of a cell; text is a constant."""
    pins = (pin for pin, its in cell["port_directions"].items() if its == direction)
    return [bit for pin in pins for bit in cell["connections"].get(pin, ())]


def _inputs_used(cell: Mapping[str, Any]) -> int:
    return sum(isinstance(bit, int) for bit in _pins(cell, "input"))


def _levels(netlist: Mapping[str, Any]) -> int:
    drivers = {bit: cell for cell in netlist["cells"].values() for bit in _pins(cell, "output")}
    depths: dict[Any, int] = {}  # of the output pins of each cell, by the number of one of its nets

    def depth(start: Any) -> int:
        waiting = [start]
        while waiting:
            cell = drivers.get(waiting[-1])
            if waiting[-1] in depths or cell is None or re.fullmatch(_FLIP_FLOP, cell["type"]):
                depths.setdefault(waiting.pop(), 0)
                continue
            before = _pins(cell, "input")
            if missing := [bit for bit in before if bit not in depths]:
                waiting += missing
                continue
            is_carry = re.fullmatch(_CARRY, cell["type"]) is not None

            def after(bit: Any, is_carry: bool = is_carry) -> int:
                in_chain = is_carry and re.fullmatch(_CARRY, drivers.get(bit, {"type": ""})["type"])
                return depths[bit] + (not in_chain)

            depths.update(dict.fromkeys(_pins(cell, "output"), max(map(after, before), default=0)))
        return depths[start]

    return max(map(depth, drivers), default=0)


def _circuit(gates: Mapping[str, Any]) -> Circuit:
    """A module of AND gates, inverters and flip-flops as the circuit x ↦ y; a flip-flop is a wire."""
    bits = {name: port["bits"] for name, port in gates["ports"].items()}
    pins_by_net = {its.get("Q", its.get("Y"))[0]: its for its in (c["connections"] for c in gates["cells"].values())}

    def build(x: Wire) -> Wire:
        known: dict[Any, Wire] = {bit: x[i] for i, bit in enumerate(bits["x"])}
        known |= {digit: x.const(int(digit == "1"), 1) for digit in "01x"}
        for output in bits["y"]:
            waiting = [output]
            while waiting:
                if waiting[-1] in known:
                    waiting.pop()
                    continue
                pins = pins_by_net[waiting[-1]]
                reads = [pins[pin][0] for pin in ("A", "B", "D") if pin in pins]
                if missing := [bit for bit in reads if bit not in known]:
                    waiting += missing
                    continue
                first, *second = (known[bit] for bit in reads)
                known[waiting.pop()] = first if "D" in pins else first & second[0] if second else ~first
        return cat(*(known[bit] for bit in bits["y"]))

    return trace(build, x=Bits(len(bits["x"])))
