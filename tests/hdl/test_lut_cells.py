"""The cells that Yosys makes of a predictor, and what they compute."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from amaranth.back import rtlil

from rdahw import Bits, trace
from rdahw.circuit import Circuit
from rdahw.hdl.inference import Pipeline
from rdahw.hdl.lut_cells import FAMILIES, count_cells
from rdahw.lut_circuits import count_ones, lut
from rdahw.scores import largest
from rdahw.sim.reference import Reference
from rdahw.tracing import Wire, cat


def test_a_lookup_is_a_cell() -> None:
    circuit = trace(lambda x: cat(lut([x[0], x[2]], all), x.const(1, 1)), x=Bits(3))  # type: ignore[arg-type]
    text = rtlil.convert(Pipeline(circuit, None, cells="xilinx"), emit_src=False)
    assert "cell \\LUT2" in text
    assert "parameter \\INIT 4'1000" in text


def of_luts(x: Wire) -> Wire:
    folded = lut([x[0], x[14]], lambda v: v[0] ^ v[1])
    return cat(*count_ones([x[i] for i in range(14)]), folded, x.const(2, 2), x[14])  # type: ignore[arg-type]


def of_gates(x: Wire) -> Wire:
    table = x.const(0xB68D, 16)
    counts = [x[i : i + 5].popcount() for i in (0, 5, 9)]
    return cat(largest(counts), table.lookup(x.gather([0, 3, 9, 14])), x.const(1, 1), x[3])


def check(circuit: Circuit, made: Circuit) -> None:
    x = np.random.default_rng(0).integers(0, 2, (500, 15), np.uint8)
    np.testing.assert_array_equal(Reference(made)(x)[0], Reference(circuit)(x)[0])


@pytest.mark.slow
@pytest.mark.parametrize("levels", [None, 3])
def test_synthesis_keeps_luts_and_what_they_compute(levels: Any) -> None:
    circuit = trace(of_luts, x=Bits(15))
    design = Pipeline(circuit, levels, cells="xilinx")
    cells = count_cells(design, "xilinx")
    check(circuit, cells.circuit)
    assert sum(cells.luts.values()) == sum(a.primitive == "lookup" for a in circuit.assignments)
    assert (cells.flip_flops > 0, cells.others) == (levels is not None, {})


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_the_netlist_of_every_family_is_read_back(family: str) -> None:
    circuit = trace(of_gates, x=Bits(15))
    design = Pipeline(circuit, 4, cells=family)
    piped = count_cells(design, family)
    check(circuit, piped.circuit)
    assert design.stages > 1
    assert piped.flip_flops > 0 < piped.levels
    assert sum(piped.luts.values()) > 8
    if family == "ice40":  # one will do
        plain = count_cells(Pipeline(circuit, None, cells=family), family)
        check(circuit, plain.circuit)
        assert (plain.flip_flops, plain.levels > piped.levels) == (0, True)
