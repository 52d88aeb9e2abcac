"""Circuits of LUTs as netlists of an FPGA's LUT cells, and back.

A synthesiser takes a lookup in a constant apart and looks for LUTs anew; it finds more than were there. Written as
cells, the LUTs stay as they are.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rdahw.circuit import Assignment, Circuit
from rdahw.errors import UserError
from rdahw.hdl.toolchain import Toolchain, find, run, scratch
from rdahw.tracing import Wire, cat, trace
from rdahw.types import Bits

__all__ = ["FAMILIES", "Cells", "count_cells", "lut_netlist", "read_lut_netlist"]

#: The most inputs of a cell.
_MOST_INPUTS = 6


def lut_netlist(circuit: Circuit, name: str = "top", cell: str = "LUT") -> str:
    """The circuit as a Verilog module ``name`` of AMD's cells LUT1 to LUT6 (input I0 is the lowest bit of the index).

    cell: what the cells are called, but for their number of inputs.

    circuit: of lookups of one bit in constants, with up to six address bits, and of constants and rearranged bits; see
    :mod:`rdahw.lut_circuits`. Raises :class:`UserError` for others.
    """
    names = [[f"{port.name}[{i}]" for i in range(port.type.width)] for port in circuit.inputs]
    lines = []
    for number, assignment in enumerate(circuit.assignments, start=len(names)):
        if assignment.primitive == "lookup":
            table, address = (names[i] for i in assignment.operands)
            if not set(table) <= {"1'b0", "1'b1"} or len(table) != 1 << len(address) or len(address) > _MOST_INPUTS:
                raise UserError(
                    f"wire %{number} is no lookup of one bit in a constant by up to {_MOST_INPUTS} bits; give a "
                    "circuit of LUTs"
                )
            init = "".join(bit[-1] for bit in reversed(table))
            ports = "".join(f", .I{i}({bit})" for i, bit in enumerate(address))
            lines.append(f"  wire w{number};")
            lines.append(f"  {cell}{len(address)} #(.INIT({len(table)}'b{init})) l{number} (.O(w{number}){ports});")
            names.append([f"w{number}"])
        else:
            names.append(_rearranged(number, assignment, names))
    heads = [f"input [{port.type.width - 1}:0] {port.name}" for port in circuit.inputs]
    heads += [f"output [{len(names[i]) - 1}:0] {output}" for output, i in circuit.outputs]
    lines += [f"  assign {output} = {{{', '.join(reversed(names[i]))}}};" for output, i in circuit.outputs]
    return "\n".join([f"module {name} ({', '.join(heads)});", *lines, "endmodule", ""])


def _rearranged(number: int, assignment: Assignment, names: list[list[str]]) -> list[str]:
    """The bits of a wire that a primitive without logic drives."""
    row = _REARRANGED.get(assignment.primitive)
    if row is None:
        known = ", ".join(["lookup", *_REARRANGED])
        raise UserError(f"wire %{number} is a {assignment.primitive}; a circuit of LUTs has only {known}")
    return row(*(names[i] for i in assignment.operands), *assignment.attributes)


_REARRANGED: Mapping[str, Callable[..., list[str]]] = {
    "const": lambda value, width: [f"1'b{value >> i & 1}" for i in range(width)],
    "concat": lambda *parts: [bit for part in parts for bit in part],
    "slice": lambda bits, start, stop: bits[start:stop],
    "gather": lambda bits, indices: [bits[i] for i in indices],
    "repeat": lambda bits, times: bits * times,
}


def read_lut_netlist(netlist: Mapping[str, Any], name: str = "top") -> Circuit:
    """The module ``name`` of ``netlist``, Yosys' JSON, as a circuit of lookups: AMD's cells LUT1 to LUT6, MUXF7, MUXF8
    and INV, the iCE40's SB_LUT4, and the ECP5's LUT4, PFUMX and L6MUX21.

    Raises :class:`UserError` for other cells.
    """
    module = netlist["modules"][name]
    inputs = {port: row["bits"] for port, row in module["ports"].items() if row["direction"] == "input"}
    drivers = {
        cell["connections"][pin][0]: cell
        for cell in module["cells"].values()
        for pin in _OUTPUTS
        if pin in cell["connections"]
    }
    strange = {cell["type"] for cell in module["cells"].values()} - {*_CELLS}
    if strange:
        raise UserError(f"the netlist has cells {', '.join(sorted(strange))}; expected only {', '.join(_CELLS)}")

    def build(*wires: Wire) -> dict[str, Wire]:
        known: dict[Any, Wire] = {}
        for wire, bits in zip(wires, inputs.values(), strict=True):
            known |= {bit: wire[i] for i, bit in enumerate(bits)}
        some = wires[0]
        known |= {digit: some.const(int(digit == "1"), 1) for digit in "01x"}

        def drive(bit: Any) -> Wire:
            waiting = [bit]
            while waiting:
                cell = drivers.get(waiting[-1])
                if waiting[-1] in known or cell is None:
                    waiting.pop()
                    continue
                pins, table = _CELLS[cell["type"]]
                if cell["type"] == "LUT4" and "Z" in cell["connections"]:
                    pins = _ECP5_PINS
                reads = [cell["connections"][pin][0] for pin in pins]
                missing = [read for read in reads if read not in known]
                if missing:
                    waiting += missing
                    continue
                parameters = cell["parameters"]
                init = int(table or parameters.get("INIT") or parameters["LUT_INIT"], 2)
                address = cat(*(known[read] for read in reads))
                known[waiting.pop()] = some.const(init, 1 << len(pins)).lookup(address)
            return known[bit]

        outputs = {port: row["bits"] for port, row in module["ports"].items() if row["direction"] == "output"}
        return {port: cat(*(drive(bit) for bit in bits)) for port, bits in outputs.items()}

    return trace(build, **{port: Bits(len(bits)) for port, bits in inputs.items()})


#: The pins that cells drive.
_OUTPUTS = ("O", "Z")
#: AMD's and the ECP5's have a cell of the same name.
_ECP5_PINS = ("A", "B", "C", "D")
#: The pins of a cell, the lowest address bit first, and its table where it has no INIT.
_CELLS: Mapping[str, tuple[tuple[str, ...], str]] = {
    **{f"LUT{n}": (tuple(f"I{i}" for i in range(n)), "") for n in range(1, _MOST_INPUTS + 1)},
    "MUXF7": (("I0", "I1", "S"), "11001010"),
    "MUXF8": (("I0", "I1", "S"), "11001010"),
    "INV": (("I",), "01"),
    "SB_LUT4": (("I0", "I1", "I2", "I3"), ""),
    "PFUMX": (("BLUT", "ALUT", "C0"), "11001010"),
    "L6MUX21": (("D0", "D1", "SD"), "11001010"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """What synthesis alone, without place and route, makes of a circuit.

    luts: look-up tables, by their number of inputs. others: more cells by their name, such as multiplexers. levels: of
    cells on the longest path. circuit: the netlist, read back.
    """

    luts: Mapping[int, int]
    others: Mapping[str, int]
    levels: int
    circuit: Circuit


#: For each family of FPGAs the command of Yosys, and what LUTs of up to six inputs are called that it reads.
FAMILIES: Mapping[str, tuple[str, str]] = {
    "xilinx": ("synth_xilinx -flatten -abc9 -noiopad", "LUT"),
    "ice40": ("synth_ice40 -abc9", "table"),
    "ecp5": ("synth_ecp5 -abc9", "table"),
}


def count_cells(circuit: Circuit, family: str, toolchain: Toolchain = "yowasp") -> Cells:
    """The cells that Yosys makes of a circuit of LUTs for a row of :data:`FAMILIES`.

    Raises as :func:`lut_netlist`, and :class:`MissingError` without Yosys.
    """
    synth, cell = FAMILIES[family]
    tables = "" if cell == "LUT" else "".join(_table_module(f"{cell}{n}", n) for n in range(1, _MOST_INPUTS + 1))
    with scratch() as work:
        (work / "design.v").write_text(tables + lut_netlist(circuit, cell=cell))
        (work / "design.ys").write_text(
            f"read_verilog design.v\n{synth} -top top\ndelete t:$scopeinfo\nwrite_json netlist.json\n"
        )
        run(find("yosys", toolchain), ["design.ys"], cwd=work, log="design.log", makes=["netlist.json"])
        netlist = json.loads((work / "netlist.json").read_text())
    luts: Counter[int] = Counter()
    others: Counter[str] = Counter()
    for made in netlist["modules"]["top"]["cells"].values():
        pins, table = _CELLS.get(made["type"], ((), "none"))
        if table:
            others[made["type"]] += 1
        else:
            reads = (made["connections"][pin][0] for pin in (_ECP5_PINS if "Z" in made["connections"] else pins))
            luts[sum(isinstance(bit, int) for bit in reads)] += 1
    back = read_lut_netlist(netlist)
    return Cells(
        luts=dict(sorted(luts.items())), others=dict(sorted(others.items())), levels=_levels(back), circuit=back
    )


def _table_module(name: str, inputs: int) -> str:
    ports = [f"I{i}" for i in range(inputs)]
    return (
        f"module {name} #(parameter [{(1 << inputs) - 1}:0] INIT = 0) (input {', '.join(ports)}, output O);\n"
        f"  assign O = INIT[{{{', '.join(reversed(ports))}}}];\nendmodule\n"
    )


def _levels(circuit: Circuit) -> int:
    depths = [0] * len(circuit.inputs)
    for assignment in circuit.assignments:
        depths.append(max((depths[i] for i in assignment.operands), default=0) + (assignment.primitive == "lookup"))
    return max(depths[wire] for _, wire in circuit.outputs)
