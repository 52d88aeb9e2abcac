"""The report on a design, read from the tools' own reports, and the checks that it fits and meets its clock."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from rdahw.boards.board import Board, Family
from rdahw.errors import UserError

__all__ = ["EBR", "HOLD", "LOGIC_CELLS", "MARGIN", "SPRAM", "DesignError", "Report", "Seed", "Usage"]

#: By which fraction Fmax should be above the clock: nextpnr's estimate was up to 5 % above icetime's.
MARGIN = 0.1


@dataclass(frozen=True, slots=True)
class Usage:
    """How many of a resource a design needs, and how many the device has."""

    used: int
    available: int


@dataclass(frozen=True, slots=True)
class Seed:
    """One place-and-route run: its seed, and Fmax in MHz after routing (``None``: it could not be placed or routed)."""

    seed: int
    fmax_mhz: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A design that fits its board and meets its clock.

    board: its name. bitstream: the file to flash. clock_mhz: the core's clock.
    logic_cells, flip_flops, ebr, spram: of the whole design, link and clock included.
    core_logic_cells: of the core (trainer or circuit) with its streams, synthesised alone with every port a pin; in the
        whole design Yosys shares logic across its border.
    fmax_mhz: nextpnr's estimate after routing, of the best seed. seeds: all seeds that were tried.
    cycles_per_example: of the core, for the slowest kind of example. latency_cycles: from an example to its result, in
        the core, where that is known. examples_per_second: of the core at ``clock_mhz``;
        a host behind a UART is slower.
    rates, tables: see :class:`rdahw.boards.design.Design`. frontend: the logic cells, flip-flops and memory blocks of
    the frontend alone, synthesised as the core; empty if there is none.
    tools: name to version. warnings: of the tools, and of a small margin; not in the JSON.
    """

    board: str
    bitstream: Path
    logic_cells: int
    core_logic_cells: int
    flip_flops: int
    ebr: int
    spram: int
    fmax_mhz: float
    clock_mhz: float
    cycles_per_example: float
    examples_per_second: int
    pnr_seed: int
    seeds: tuple[Seed, ...]
    tools: Mapping[str, str]
    latency_cycles: int | None = None
    rates: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    tables: str | None = None
    frontend: Mapping[str, int] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values; whole cycles as 1, not 1.0."""
        cycles = self.cycles_per_example
        return {
            "board": self.board,
            **({} if self.tables is None else {"tables": self.tables}),
            "bitstream": str(self.bitstream),
            "logic_cells": self.logic_cells,
            "core_logic_cells": self.core_logic_cells,
            **({"frontend": dict(self.frontend)} if self.frontend else {}),
            "flip_flops": self.flip_flops,
            "ebr": self.ebr,
            "spram": self.spram,
            "fmax_mhz": self.fmax_mhz,
            "clock_mhz": self.clock_mhz,
            "cycles_per_example": int(cycles) if cycles == int(cycles) else cycles,
            **({} if self.latency_cycles is None else {"latency_cycles": self.latency_cycles}),
            "examples_per_second": self.examples_per_second,
            **{purpose: dict(rate) for purpose, rate in self.rates.items()},
            "pnr_seed": self.pnr_seed,
            "seeds": [asdict(seed) for seed in self.seeds],
            "tools": dict(self.tools),
        }


class DesignError(UserError):
    """A design that does not fit its board or misses its clock (exit code 1).

    usage: what it needs of each resource. seeds: the place-and-route runs, if there were any.
    """

    def __init__(self, message: str, *, usage: Mapping[str, Usage], seeds: Sequence[Seed] = ()) -> None:
        super().__init__(message)
        self.usage = usage
        self.seeds = tuple(seeds)


# -- reading the tools' own files --------------------------------------------------------------------------------------

#: The cells of Lattice's families that are constants.
_CONSTANTS = ("VLO", "VHI")

#: The resources of :func:`usage_in_log` that every family has, as messages call them; others have the placer's names.
LOGIC_CELLS, EBR, SPRAM = "logic cells", "memory blocks (EBR)", "large memory blocks (SPRAM)"


def usage_in_log(text: str, family: Family) -> dict[str, Usage]:
    """The last table «Device utilisation» of a nextpnr log: the usage of each resource."""
    table = text.rpartition("Device utilisation:")[2]
    found = re.findall(r"^Info:\s+(\w+): +(\d+)/ *(\d+) +\d+%$", table, re.MULTILINE)
    rows = {name: Usage(int(used), int(available)) for name, used, available in found}
    cells = [(weight, rows.pop(name)) for name, weight in family.logic_cells.items() if name in rows]
    if not cells:
        raise UserError("the placer's log has no table «Device utilisation»; try another version of nextpnr")
    usage = {LOGIC_CELLS: Usage(sum(weight * row.used for weight, row in cells), cells[0][1].available)}
    for resource, name in ((EBR, family.ebr), (SPRAM, family.spram)):
        if name in rows:
            usage[resource] = rows.pop(name)
    return usage | rows


def fmax_in_report(text: str) -> tuple[float, float]:
    """(Fmax, required), in MHz, of the clock with the least slack in a nextpnr report (``--report``)."""
    clocks = [(float(row["achieved"]), float(row["constraint"])) for row in json.loads(text)["fmax"].values()]
    if not clocks:
        raise UserError("the placer's report has no clock; expected a design with flip-flops")
    return min(clocks, key=lambda clock: clock[0] / clock[1])


def cells_in_netlist(text: str, kind: str, top: str) -> int:
    """How many cells of the module ``top`` of a flat Yosys netlist (JSON) have a type that matches ``kind``."""
    cells = json.loads(text)["modules"][top]["cells"].values()
    return sum(re.fullmatch(kind, cell["type"]) is not None for cell in cells)


def without_constants(text: str, inputs: Mapping[str, str]) -> str:
    """A Yosys netlist (JSON) without the connections of these ``inputs``, by type of cell, to cells that are
    constants."""
    netlist = json.loads(text)
    for module in netlist["modules"].values():
        cells = module.get("cells", {}).values()
        constants = [[bit] for cell in cells if cell["type"] in _CONSTANTS for bit in cell["connections"]["Z"]]
        for cell in cells:
            port = inputs.get(cell["type"])
            if port is not None and cell["connections"].get(port) in constants:
                del cell["connections"][port]
    return json.dumps(netlist)


def with_full_tables(text: str, inputs: Sequence[str]) -> str:
    """A Yosys netlist (JSON) whose cells LUT1 to LUT3 are LUT4s with these ``inputs``, the further ones unconnected."""
    netlist = json.loads(text)
    for module in netlist["modules"].values():
        for cell in module.get("cells", {}).values():
            if small := re.fullmatch("LUT([1-3])", cell["type"]):
                words = 1 << int(small[1])
                content = cell["parameters"]["INIT"].rjust(words, "0")[-words:]
                cell["type"], cell["parameters"]["INIT"] = "LUT4", content * (16 // words)
                for port in inputs[int(small[1]) :]:
                    cell["connections"][port], cell["port_directions"][port] = [], "input"
    return json.dumps(netlist)


# -- checks ------------------------------------------------------------------------------------------------------------


def short(usage: Mapping[str, Usage]) -> dict[str, Usage]:
    """The resources of which a design needs more than the device has."""
    return {resource: its for resource, its in usage.items() if its.used > its.available}


def check_fit(name: str, board: Board, usage: Mapping[str, Usage], others: Iterable[Board]) -> None:
    """Raise :class:`DesignError` with what is short if the design needs more than the device has."""
    missing = short(usage)
    if not missing:
        return
    needs = " and ".join(f"{u.used:,} {resource} of {u.available:,}" for resource, u in missing.items())
    advice = "take a smaller model"
    if LOGIC_CELLS in missing:
        larger = [o.name for o in others if o.logic_cells >= missing[LOGIC_CELLS].used and o.name != board.name]
        if larger:
            advice += f", or a larger board ({', '.join(larger)})"
    raise DesignError(f"{name} does not fit {board.title}: it needs {needs}; {advice}", usage=usage)


def check_clock(
    name: str, board: Board, clock: float, usage: Mapping[str, Usage], seeds: Sequence[Seed]
) -> tuple[Seed, float]:
    """The (first) seed with the highest Fmax, and that Fmax; :class:`DesignError` if it misses the clock."""
    tried = ", ".join(str(seed.seed) for seed in seeds)
    tried = f"seed {tried}" if len(seeds) == 1 else f"the best of seeds {tried}"
    done = [(seed.fmax_mhz, seed) for seed in seeds if seed.fmax_mhz is not None]
    if not done:
        raise DesignError(
            f"{name} could not be placed and routed on {board.title} ({tried}); "
            "take a smaller model, or try --pnr-seed best-of-8",
            usage=usage,
            seeds=seeds,
        )
    fmax, best = max(done, key=lambda row: row[0])
    if fmax < clock:
        raise DesignError(
            f"{name} misses the clock of {board.title}: it reaches {fmax:.2f} MHz of {clock:g} ({tried}); "
            "try --pnr-seed best-of-8, --stages 2 if the model supports it, a slower --clock or a smaller model",
            usage=usage,
            seeds=seeds,
        )
    return best, fmax


def margin_warning(fmax: float, clock: float) -> str | None:
    """A warning if Fmax is above the clock by less than :data:`MARGIN`, else None."""
    if fmax / clock - 1 > MARGIN - 1e-9:
        return None
    return (
        f"Fmax is {fmax / clock - 1:.0%} above the clock of {clock:g} MHz, and it is an estimate: "
        f"{MARGIN:.0%} is a safe margin; try --pnr-seed best-of-8"
    )


#: What the placer writes of each path that changes too soon.
HOLD = "Hold/min time violation"


def hold_warning(log: str) -> str | None:
    """A warning if the placer's log has paths that change too soon after a clock edge, else None."""
    found = re.search(rf"^Info: (\d+) {HOLD}", log, re.MULTILINE)
    if found is None:
        return None
    return (
        f"{found[1]} paths change too soon after a clock edge (hold violations), by an estimate, which a slower clock "
        "does not mend; try another --pnr-seed"
    )


def memory_warning(untimed: bool, usage: Mapping[str, Usage]) -> str | None:
    """A warning if the design has memory blocks and the placer does not know their delays, else None."""
    if not untimed or not usage[EBR].used:
        return None
    return (
        "the placer does not know the delays of this device's memory blocks: paths from and to them are not in the "
        "Fmax; try the design on the board before you rely on its clock"
    )


def examples_per_second(clock: float, cycles_per_example: Fraction) -> int:
    """How many examples a second the core takes at ``clock`` MHz."""
    return int(clock * 1_000_000 / cycles_per_example)
