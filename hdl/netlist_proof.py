"""The claim that a netlist of an FPGA's cells is equivalent to the design from which it was made.

Yosys makes the netlist as for a board, writes it as the placer gets it, and reads it again with its own models of the
cells. The registers of netlist and design are matched by name, which synthesis keeps on some wire of each. An induction
then shows that outputs and matched registers always agree. Unmatched registers leave no gap: all outputs are compared.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rdahw.errors import UserError, nearest
from rdahw.hdl.solvers import Budget, Question
from rdahw.hdl.toolchain import FoundTool
from rdahw.hdl.trainer_proof import Refutation, Replay, check_counterexample, simulate

__all__ = ["LIBRARIES", "Library", "NetlistClaim", "Undecidable", "netlist"]


@dataclass(frozen=True, slots=True)
class Library:
    """The cells of an FPGA family. title: its name; read: the command of Yosys that reads the models of its cells."""

    title: str
    read: str


#: By the command of Yosys that makes netlists of these cells. With -defer Yosys makes only the models it needs.
LIBRARIES: Mapping[str, Library] = {
    "synth_ice40": Library("iCE40", "read_verilog -defer +/ice40/cells_sim.v"),
    # NO_INCLUDES: the file includes the vendor's aliases of the cells twice.
    "synth_ecp5": Library("ECP5", "read_verilog -defer -D NO_INCLUDES +/ecp5/cells_sim.v"),
}

_SYNTHESISE = """read_rtlil built.il
{synth} -top core
write_json netlist.json
design -reset
read_json netlist.json
delete =A:blackbox =A:whitebox
{library}
hierarchy -top core
proc
flatten
opt_expr
opt_dff
opt_clean
write_json gate.json
design -reset
read_rtlil core.il
hierarchy -check -top core
proc
flatten
memory_collect
memory_map
write_json gold.json
"""

_SCRIPT = """read_json gold.json
read_json gate.json
miter -equiv -make_outputs -flatten gold gate miter
hierarchy -top miter
opt -full
setundef -init -zero
dffunmap
"""

#: The most cycles of agreement assumed; one is enough if all registers are matched.
_MAX_STEPS = 4


class Undecidable(Exception):
    """The claim stays open, for the reason in the message."""


@dataclass(frozen=True, slots=True)
class NetlistClaim:
    """The claim of :func:`netlist`. files, script: for Yosys. make: makes the design again, for a replay."""

    size: str
    files: Mapping[str, str] = field(repr=False)
    script: str = field(repr=False)
    make: Callable[[], Any] = field(repr=False)
    name: str = "synthesis"
    words: str = "the netlist of the FPGA's cells is equivalent to the design, for any number of cycles and any inputs"
    symbols: str = "netlist(t) = design(t), outputs and registers"

    def question(self, budget: Budget, yosys: FoundTool) -> Question:
        """Make the netlist and the question about it. Raises :class:`Undecidable`."""
        budget.write({**self.files, "synthesis.ys": self.script})
        budget.run(yosys, ["-q", "-s", "synthesis.ys"], "synthesis.log")
        gold, gate = (_module(budget, side) for side in ("gold", "gate"))
        for name, (its, other) in _matched(gold, gate).items():
            for module, bits in ((gold, its), (gate, other)):
                module["ports"][name] = {"direction": "output", "bits": bits}
                module["netnames"][name] = {"hide_name": 0, "bits": bits, "attributes": {}}
        files = {
            f"{side}.json": json.dumps({"modules": {side: module}}) for side, module in (("gold", gold), ("gate", gate))
        }
        shown: dict[str, int] = {}
        for name, port in gold["ports"].items():
            sides = ("in",) if port["direction"] == "input" else ("gold", "gate")
            shown |= {f"{side}_{name}": len(port["bits"]) for side in sides if name != "clk"}
        return Question(files, _SCRIPT, "miter", "trigger", shown, _MAX_STEPS)

    def replayed(self, cycles: Sequence[Mapping[str, str]], replay: Replay) -> Refutation:
        """The refutation with these inputs and outputs; the design is run in Amaranth's simulator.

        Raises :class:`InternalError` unless the design's outputs are those of the solver, and the netlist's differ in
        the last cycle only.
        """
        del replay  # the design is more than a circuit
        device = self.make()
        paths = {"__".join(map(str, path)): tuple(map(str, path)) for path, _, _ in device.signature.flatten(device)}
        given = [{name[3:]: bits for name, bits in row.items() if name.startswith("in_")} for row in cycles]
        outputs = {name: paths[name] for name in paths if f"gold_{name}" in cycles[0]}
        inputs = {name: paths[name] for name in given[0] if name != "rst"}
        seen = simulate(device, given, inputs, outputs)
        differs = [_differing(row) for row in cycles]
        agrees = all(
            row[f"gold_{name}"] == its[name] for row, its in zip(cycles, seen, strict=True) for name in outputs
        )
        check_counterexample(self, differs if agrees else [False])
        sides = {"design": "gold", "netlist": "gate"}
        found = {side: {name: cycles[-1][f"{own}_{name}"] for name in differs[-1]} for side, own in sides.items()}
        return Refutation(given, found)


def _differing(row: Mapping[str, str]) -> list[str]:
    names = [name.removeprefix("gold_") for name in row if name.startswith("gold_")]
    return [name for name in names if row[f"gold_{name}"] != row[f"gate_{name}"]]


def netlist(
    make: Callable[[], Any], synth: Sequence[str], size: str, *, built: Callable[[], Any] | None = None
) -> NetlistClaim:
    """The claim about the netlist of an Amaranth component with the clock ``sync`` and ports of bits.

    make: makes a new component. synth: the command of Yosys with its options, as for a board:
    ``("synth_ice40", "-device", "u")``. size: describes the component to the reader. built: makes what is synthesised,
    if that is another form, with cells of the family in it.

    Raises :class:`UserError` for cells without models in :data:`LIBRARIES`.
    """
    from amaranth.back import rtlil  # type: ignore[import-untyped]

    if synth[0] not in LIBRARIES:
        raise UserError(f"there are no models of the cells of {synth[0]}; {nearest(synth[0], LIBRARIES)}")
    library = LIBRARIES[synth[0]]
    text, its = (str(rtlil.convert(form(), name="core", emit_src=False)) for form in (make, built or make))
    script = _SYNTHESISE.format(synth=" ".join(synth), library=library.read)
    return NetlistClaim(f"{library.title}, {size}", {"core.il": text, "built.il": its}, script, make)


def _module(budget: Budget, side: str) -> Any:
    """One side as Yosys wrote it. Raises :class:`Undecidable` if it has cells that no question can contain."""
    module = json.loads((budget.folder / f"{side}.json").read_text(encoding="utf-8"))["modules"]["core"]
    clock = module["ports"]["clk"]["bits"]
    for cell in module["cells"].values():
        kind = cell["type"]
        if re.match(r"\$(mem|fsm|.*latch|sr)|[^$]", kind):
            raise Undecidable(f"cells of the kind {kind} are not supported yet")
        # For a solver every register is clocked in every cycle.
        if _is_register(cell):
            rising = int(cell["parameters"]["CLK_POLARITY"], 2)
            if cell["connections"]["CLK"] != clock or not rising:
                raise Undecidable("a register is not clocked by the rising edge of clk")
    return module


def _is_register(cell: Any) -> bool:
    return "CLK" in cell["connections"]


def _matched(gold: Any, gate: Any) -> dict[str, tuple[list[Any], list[Any]]]:
    """The registers of the design by name, as the numbers of their bits on both sides.

    A bit is matched if one of its names is a register in the netlist, and each pair is listed once. Other bits are 0.
    """
    registers, its_registers = _registers(gold), _registers(gate)
    found: dict[str, tuple[list[Any], list[Any]]] = {}
    known = set()
    # Names without a dot first: one with a dot belongs to a submodule, or is another module's name of a signal.
    for name in sorted(gold["netnames"], key=lambda name: ("." in name, name)):
        pairs = [
            pair if pair[0] in registers and pair[1] in its_registers and pair not in known else ("0", "0")
            for pair in zip(_net(gold, name), _net(gate, name), strict=False)
        ]
        new = set(pairs) - {("0", "0")}
        if new:
            known |= new
            found[f"register_{name}"] = ([a for a, _ in pairs], [b for _, b in pairs])
    return found


def _net(module: Any, name: str) -> list[Any]:
    """The numbers of a net's bits, from bit 0 on."""
    net = module["netnames"].get(name)
    return [] if net is None or net["hide_name"] else ["0"] * net.get("offset", 0) + net["bits"]


def _registers(module: Any) -> set[Any]:
    return {bit for cell in module["cells"].values() if _is_register(cell) for bit in cell["connections"]["Q"]}
