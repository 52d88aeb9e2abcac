"""Circuits of LUTs as Verilog, through Yosys, and back."""

from __future__ import annotations

import json

import numpy as np
import pytest

from rdahw import Bits, trace
from rdahw.errors import UserError
from rdahw.hdl.lut_cells import lut_netlist, read_lut_netlist
from rdahw.hdl.toolchain import find, run, scratch
from rdahw.lut_circuits import count_ones, lut
from rdahw.sim.reference import Reference
from rdahw.tracing import Wire, cat


def both(x: Wire, y: Wire) -> dict[str, Wire]:
    counted = count_ones([*(x[i] for i in range(13)), y[0]])
    folded = lut([x[0], y[1]], lambda v: v[0] ^ v[1])
    return {"count": cat(*counted), "some": cat(folded, x.const(2, 2), y[1])}  # type: ignore[arg-type]


GOLDEN = """module small (input [2:0] x, output [1:0] y);
  wire w5;
  LUT2 #(.INIT(4'b1000)) l5 (.O(w5), .I0(x[0]), .I1(x[2]));
  assign y = {1'b1, w5};
endmodule
"""


def test_the_netlist_is_golden() -> None:
    circuit = trace(lambda x: cat(lut([x[0], x[2]], all), x.const(1, 1)), x=Bits(3))  # type: ignore[arg-type]
    assert lut_netlist(circuit, "small") == GOLDEN


@pytest.mark.slow
def test_synthesis_keeps_the_luts_and_what_they_compute() -> None:
    circuit = trace(both, x=Bits(13), y=Bits(2))
    with scratch() as work:
        (work / "design.v").write_text(lut_netlist(circuit))
        script = "read_verilog design.v\nsynth_xilinx -flatten -abc9 -noiopad -top top\nwrite_json netlist.json\n"
        (work / "design.ys").write_text(script)
        run(find("yosys"), ["design.ys"], cwd=work, log="design.log", makes=["netlist.json"])
        netlist = json.loads((work / "netlist.json").read_text())
    back = read_lut_netlist(netlist)
    assert sum(a.primitive == "lookup" for a in back.assignments) == len(netlist["modules"]["top"]["cells"])
    assert len(netlist["modules"]["top"]["cells"]) == lut_netlist(circuit).count(" LUT")
    random = np.random.default_rng(0)
    x, y = random.integers(0, 2, (500, 13), np.uint8), random.integers(0, 2, (500, 2), np.uint8)
    for expected, given in zip(Reference(circuit)(x, y), Reference(back)(x, y), strict=True):
        np.testing.assert_array_equal(given, expected)


def test_a_circuit_with_gates_is_refused() -> None:
    circuit = trace(lambda a, b: a & b, a=Bits(1), b=Bits(1))
    with pytest.raises(UserError, match="wire %2 is a and; a circuit of LUTs has only lookup, const"):
        lut_netlist(circuit)


def test_a_lookup_in_a_table_of_parameters_is_refused() -> None:
    circuit = trace(lambda theta, x: theta.lookup(x), theta=Bits(4), x=Bits(2))
    with pytest.raises(UserError, match="wire %2 is no lookup of one bit in a constant"):
        lut_netlist(circuit)


def test_a_netlist_of_other_cells_is_refused() -> None:
    module = {"ports": {}, "cells": {"a": {"type": "CARRY4", "connections": {"O": [5]}}}}
    with pytest.raises(UserError, match="the netlist has cells CARRY4; expected only LUT1"):
        read_lut_netlist({"modules": {"top": module}})
