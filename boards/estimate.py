"""What a design takes of a board and how fast it is, before it is built.

:func:`rdahw.hdl.quick_synthesis.size_of` counts tables, carries and flip-flops of the netlist. Logic cells are a sum of
these counts with factors for each family of devices, and so is the clock's period of the parts of the slowest path; of
two paths, that to values of registers and that to their enables and resets, the factors say which one is the slower.
The factors, and how far such estimates were off, are in ``estimates.json``: they are fitted to the builds of
``bench/builds.jsonl`` by ``make estimates``. Memory blocks are those of :mod:`rdahw.hdl.memory_map`.
"""

from __future__ import annotations

import gc
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from rdahw.boards.board import Board
from rdahw.boards.clock import choose
from rdahw.boards.design import Design
from rdahw.boards.report import EBR, LOGIC_CELLS, SPRAM, Usage, examples_per_second
from rdahw.boards.top import Top
from rdahw.hdl.memory_map import BLOCK, DISTRIBUTED
from rdahw.hdl.quick_synthesis import Size, netlist_of, size_of

__all__ = ["SUMS", "Estimate", "counts_of", "estimate", "estimated", "fitted", "kinds_of"]

#: What the names of a design's counts begin with, for each estimate: of several sums the largest is taken.
SUMS = {"logic_cells": ("",), "period": ("value_", "control_")}
#: Those of large memory, which designs instantiate.
_SPRAM = "SB_SPRAM256KA"


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """As :class:`rdahw.boards.report.Report`, estimated; memory blocks and cycles are exact.

    within: by which part of it nine of ten builds on this family of devices were off at most, for ``logic_cells`` and
    ``fmax_mhz``; empty if nothing was built for this family.
    usage: of the resources of the board.
    """

    board: str
    tables: str | None
    logic_cells: int
    flip_flops: int
    ebr: int
    spram: int
    fmax_mhz: float
    clock_mhz: float
    cycles_per_example: float
    latency_cycles: int | None
    examples_per_second: int
    within: Mapping[str, float]
    usage: Mapping[str, Usage]
    rates: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    def span(self, name: str) -> tuple[float, float]:
        """The least and the most that nine of ten builds have of ``logic_cells`` or ``fmax_mhz``; the estimate itself
        if its bound is not known."""
        value, off = getattr(self, name), self.within.get(name, 0.0)
        return value * (1 - off), value * (1 + off)

    @property
    def short(self) -> dict[str, Usage]:
        """The resources of which the board has too few; of logic cells even if the estimate is as much too high as
        nine of ten are at most."""
        least = {name: its.used for name, its in self.usage.items()} | {LOGIC_CELLS: self.span("logic_cells")[0]}
        return {name: its for name, its in self.usage.items() if least[name] > its.available}

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        cycles = self.cycles_per_example
        found = {name: value for name, value in asdict(self).items() if name not in ("usage", "rates")}
        found["cycles_per_example"] = int(cycles) if cycles == int(cycles) else cycles
        left_out = [name for name in ("tables", "latency_cycles") if found[name] is None]
        kept = {name: value for name, value in found.items() if name not in left_out}
        fits = {"fits": not self.short, "meets_clock": self.fmax_mhz >= self.clock_mhz}
        return kept | {purpose: dict(rate) for purpose, rate in self.rates.items()} | fits


def counts_of(design: Design, board: Board, clock_mhz: float, baud: int, core: Any = None) -> dict[str, float]:
    """The counts of a design on a board that estimates are made of. core: of the design, if it is made."""
    made = design.core() if core is None else core
    with _without_collection():
        top = Top(board, design.link(made, round(clock_mhz * 1e6), baud), clock_mhz)
        return _counts(size_of(netlist_of(top, board.platform()), board.family))


@contextmanager
def _without_collection() -> Iterator[None]:
    """Without the garbage collector. A netlist grows and leaves nothing behind until it is used, and looking for that
    again and again takes a fourth of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _counts(size: Size) -> dict[str, float]:
    blocks = {place: sum(count for _, its, count in size.memories if its == place) for place in (BLOCK, DISTRIBUTED)}
    return {
        "tables": sum(size.tables.values()) - size.muxes,
        "muxes": size.muxes,
        "cells": size.cells,
        "carries": size.carries,
        "registers": size.registers,
        "alone": size.alone,
        "distributed": blocks[DISTRIBUTED],
        "ebr": blocks[BLOCK],
        "spram": size.instances.get(_SPRAM, 0),
        **{
            before + part: count
            for before, path in zip(SUMS["period"], size.paths, strict=True)
            for part, count in path.counts.items()
        },
    }


def kinds_of(gateware: Sequence[str], board: Board) -> list[str]:
    """What designs have in common that makes them larger or slower than others with the same counts: their kinds of
    gateware, the device and its grade, and the kinds on this family of devices."""
    grade = [board.pnr[at + 1] for at, word in enumerate(board.pnr) if word == "--speed"]
    return [" ".join([board.device, *grade]), *gateware, *(f"{kind}, {board.family}" for kind in gateware)]


@cache
def fitted() -> dict[str, Any]:
    """The factors of ``estimates.json``."""
    found: dict[str, Any] = json.loads(files(__package__).joinpath("estimates.json").read_text(encoding="utf-8"))
    return found


def estimated(
    counts: Mapping[str, float], gateware: Sequence[str], board: Board, factors: Mapping[str, Any]
) -> dict[str, float]:
    """``logic_cells`` and ``fmax_mhz`` of a design with these counts, of these kinds of gateware."""

    def amount(name: str) -> float:
        its = factors[name]
        each = its["factors"][board.family].items()
        total = max(sum(factor * counts[before + part] for part, factor in each) for before in SUMS[name])
        return float(total * math.exp(sum(its["kinds"].get(kind, 0.0) for kind in kinds_of(gateware, board))))

    return {"logic_cells": amount("logic_cells"), "fmax_mhz": 1000 / (board.level_ns * amount("period"))}


def estimate(
    design: Design, board: Board, *, clock_mhz: float | None = None, baud: int | None = None, core: Any = None
) -> Estimate:
    """What ``design`` takes on ``board`` and how fast it is, within a second for most designs.

    clock_mhz, baud: as :func:`rdahw.boards.synthesis.synthesise`, and so are errors. core: of the design, if it is
    made.
    """
    clock, _ = choose(board.pll, board.oscillator[1], clock_mhz or board.clock)
    core = design.core() if core is None else core
    counts = counts_of(design, board, clock, baud or board.baud, core)
    found = estimated(counts, design.gateware, board, fitted())
    cycles, latency = design.cycles_per_example(core), design.latency(core)
    rates = {} if design.rates is None else design.rates(core, clock, baud or board.baud)
    cells, ebr, spram = round(found["logic_cells"]), int(counts["ebr"]), int(counts["spram"])
    return Estimate(
        board=board.name,
        tables=design.tables,
        logic_cells=cells,
        flip_flops=int(counts["registers"]),
        ebr=ebr,
        spram=spram,
        fmax_mhz=round(found["fmax_mhz"], 1),
        clock_mhz=clock,
        cycles_per_example=float(cycles),
        latency_cycles=latency,
        examples_per_second=examples_per_second(clock, cycles),
        within=fitted()["within"].get(board.family, {}),
        usage={
            LOGIC_CELLS: Usage(cells, board.logic_cells),
            EBR: Usage(ebr, board.ebr),
            SPRAM: Usage(spram, board.spram),
        },
        rates=rates,
    )
