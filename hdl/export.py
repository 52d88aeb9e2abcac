"""Circuits and trainers as files that other tools read: Verilog, RTLIL, BLIF, AIGER.

Each file says in its comments what it holds: the ports with their widths and bit order, and where it comes from.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rdahw.circuit import Circuit
from rdahw.errors import UsageError, nearest
from rdahw.hdl.circuit_text import Cells, to_rtlil, to_verilog
from rdahw.hdl.toolchain import Progress, Toolchain, find, run, scratch

__all__ = ["FORMATS", "Format", "export", "port_names"]


@dataclass(frozen=True, slots=True)
class Format:
    """A row of the table: what reads the format, its file ending, the start of a comment line, Yosys' commands, the
    text between the comments and Yosys' output, and what writes a circuit without Yosys."""

    purpose: str
    ending: str
    comment: str
    script: str
    preamble: str = ""
    circuit: Callable[[Cells], str] | None = None


#: Removes Amaranth's private attributes.
_CLEAN = "attrmap -remove generator -remove top -remove src -remove amaranth.hierarchy -remove amaranth.decoding"
_GATES = "synth -flatten -top {top}\ndffunmap\nopt_clean -purge\n"

#: The register by which Yosys lets each combinational block run at time 0. SystemVerilog, as which cocotb has Icarus
#: Verilog read the file, sets the value of a declaration before any block waits, so that a block whose inputs do not
#: change would not run, and its outputs stay undefined; one that is set in an initial block is a change.
_FIRST_RUN = re.compile(r"^  reg (\\\$auto\$verilog_backend\S+ ) = 0;$", re.MULTILINE)

#: The formats by name. Amaranth writes RTLIL; Yosys makes the others from it.
FORMATS: Mapping[str, Format] = {
    "verilog": Format(
        "simulators and synthesisers",
        "v",
        "//",
        f"proc -nomux\nmemory_collect\nopt_clean\n{_CLEAN}\n{_CLEAN.replace('attrmap', 'attrmap -modattr')}\n"
        "write_verilog -norename -noattr {file}",
        # The text relies on the language's implicit extension and truncation, of which Verilator's lint would warn, as
        # of a port with the name of a keyword of C++.
        preamble="/* verilator lint_off WIDTH */\n/* verilator lint_off SYMRSVDWORD */\n",
        circuit=to_verilog,
    ),
    "rtlil": Format("Yosys", "il", "#", "", circuit=to_rtlil),
    "blif": Format("ABC, VPR and other logic tools", "blif", "#", _GATES + "abc -g AND,XOR,MUX\nwrite_blif {file}"),
    "aiger": Format(
        "model checkers and SAT tools", "aag", "", _GATES + "setundef -zero\naigmap\nwrite_aiger -ascii -symbols {file}"
    ),
}


def export(
    component: Any,
    format: str,
    *,
    name: str,
    about: str,
    notes: Sequence[str] = (),
    toolchain: Toolchain = "yowasp",
    progress: Progress | None = None,
) -> str:
    """The text of ``component``, a circuit or an Amaranth component, as the module ``name`` in a format of
    :data:`FORMATS`.

    about: a line that describes it. notes: lines behind the list of its ports. In AIGER a bit of a port is a symbol
    ``port[bit]``, and flip-flops start at 0.

    Raises :class:`UsageError` for an unknown format, :class:`rdahw.MissingError` without Yosys.
    """
    if format not in FORMATS:
        raise UsageError(f"format {format!r} is unknown; {nearest(format, FORMATS)}")
    row = FORMATS[format]
    cells = Cells(component, name) if isinstance(component, Circuit) else None
    if cells is None:
        from amaranth.back import rtlil  # type: ignore[import-untyped]

        text = str(rtlil.convert(component, name=name, emit_src=False))
    else:  # Amaranth takes minutes for 100,000 gates
        text = (row.circuit or to_rtlil)(cells)
    if row.script and (cells is None or row.circuit is None):
        file = f"design.{row.ending}"
        with scratch() as work:
            (work / "design.il").write_text(text, encoding="utf-8")
            script = "read_rtlil design.il\n" + row.script.format(top=name, file=file)
            (work / "design.ys").write_text(script, encoding="utf-8")
            yosys = find("yosys", toolchain)
            run(yosys, ["-q", "-s", "design.ys"], cwd=work, log="log", makes=[file], progress=progress)
            text = _FIRST_RUN.sub(r"  reg \1;\n  initial \1 = 0;", (work / file).read_text(encoding="utf-8"))
    lines = [about, *_ports(component), *notes]
    if format == "aiger":  # comments are at the end, after a line «c»
        return text.rstrip("\n") + "\n" + ("" if "\nc\n" in text else "c\n") + "".join(f"{line}\n" for line in lines)
    return "".join(f"{row.comment} {line}\n" for line in lines) + row.preamble + text


def port_names(component: Any) -> set[str]:
    """The names of the ports of the module that ``component`` becomes, clock and reset included."""
    return {"clk", "rst", *(name for _, name, _, _ in _port_rows(component))}


def _port_rows(component: Any) -> Iterator[tuple[str, str, int, Any]]:
    """The direction, name, width and shape of each port."""
    if isinstance(component, Circuit):
        from rdahw.hdl.circuit import port_names_of

        for direction, names, types in zip(
            ("input ", "output"), port_names_of(component), (component.input_types, component.output_types), strict=True
        ):
            yield from ((direction, name, type_.width, None) for name, type_ in zip(names, types, strict=True))
        return
    from amaranth.hdl import Value  # type: ignore[import-untyped]
    from amaranth.lib.wiring import In  # type: ignore[import-untyped]

    for path, member, value in component.signature.flatten(component):
        direction = "input " if member.flow is In else "output"
        yield direction, "__".join(map(str, path)), len(Value.cast(value)), member.shape


def _ports(component: Any) -> list[str]:
    """A line for each port: direction, name, width."""
    lines = ["Ports; bit 0 of each is the least significant one, wire 0 of the circuit:"]
    for direction, port, width, shape in _port_rows(component):
        lines.append(f"  {direction} {port} : {width} bits")
        for field, at in _fields(shape):
            lines.append(f"           {port}{at} is {field}")
    if not isinstance(component, Circuit) and {"examples", "symbols"} & component.signature.members.keys():
        lines.append("  input  clk, rst: clock, rising edge, and synchronous reset, active high")
    return lines


def _fields(shape: Any) -> list[tuple[str, str]]:
    """The fields of a structure and their bits."""
    from amaranth.lib.data import StructLayout  # type: ignore[import-untyped]

    if not isinstance(shape, StructLayout):
        return []
    return [(name, f"[{field.offset + field.width - 1}:{field.offset}]") for name, field in shape]
