"""What a board is, and what the families of FPGAs on the boards are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["FAMILIES", "Board", "DataFlash", "Family", "Programmer"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """How a family of FPGAs goes from a netlist to a bitstream.

    synth: the command of Yosys. pnr, pack: tools of :data:`rdahw.hdl.toolchain.TOOLS`.
    constraints: the suffix of the file of pins and clocks that the board's platform writes.
    pins: the placer's options for that file, ``{name}`` is the base name. unpinned: those without such a
        file (``None``: it cannot do without).
    write: the placer's option for the file that it writes.
    pack_files: the packer's arguments for its input, ``{placed}``, and its output, ``{bitstream}``.
    placed, bitstream: the suffixes of what the placer and the packer write.
    logic_cells: the resources that are made of logic cells (a look-up table with its flip-flop), as the placer's log
        calls them, and how many each takes; the first is the one that the device counts.
    ebr, spram: a block of memory, a large block of memory (``None``: the family has none).
    flip_flop: a regular expression for the cells of the netlist that are flip-flops.
    core_cells: one for those that take a logic cell, where the placer cannot count them for a core without pins.
    """

    name: str
    synth: str
    pnr: str
    pack: str
    constraints: str
    pins: tuple[str, ...]
    unpinned: tuple[str, ...] | None
    write: str
    pack_files: tuple[str, ...]
    placed: str
    bitstream: str
    logic_cells: Mapping[str, int]
    ebr: str
    spram: str | None
    flip_flop: str
    core_cells: str | None = None


#: The families by name.
FAMILIES: Mapping[str, Family] = {
    family.name: family
    for family in (
        Family(
            name="ice40",
            synth="synth_ice40",
            pnr="nextpnr-ice40",
            pack="icepack",
            constraints="pcf",
            pins=("--pcf", "{name}.pcf"),
            unpinned=("--pcf-allow-unconstrained",),
            write="--asc",
            pack_files=("{placed}", "{bitstream}"),
            placed="asc",
            bitstream="bin",
            logic_cells={"ICESTORM_LC": 1},
            ebr="ICESTORM_RAM",
            spram="ICESTORM_SPRAM",
            flip_flop=r"SB_DFF\w*",
        ),
        Family(
            name="ecp5",
            synth="synth_ecp5",
            pnr="nextpnr-ecp5",
            pack="ecppack",
            constraints="lpf",
            pins=("--lpf", "{name}.lpf"),
            unpinned=("--lpf-allow-unconstrained",),
            write="--textcfg",
            pack_files=("--input", "{placed}", "--bit", "{bitstream}"),
            placed="config",
            bitstream="bit",
            logic_cells={"TRELLIS_COMB": 1},
            ebr="DP16KD",
            spram=None,
            flip_flop=r"TRELLIS_FF",
        ),
        Family(
            name="gowin",
            synth="synth_gowin",
            pnr="nextpnr-himbaechel",
            pack="gowin_pack",
            constraints="cst",
            pins=("--vopt", "cst={name}.cst"),
            unpinned=None,
            write="--write",
            pack_files=("-o", "{bitstream}", "{placed}"),
            placed="pnr.json",
            bitstream="fs",
            logic_cells={"LUT4": 1, "ALU": 1, "RAM16SDP4": 4},
            ebr="BSRAM",
            spram=None,
            flip_flop=r"DFF\w*",
            core_cells=r"LUT[1-4]|ALU",
        ),
    )
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Programmer:
    """A program that puts a bitstream on a board.

    tool: of :data:`rdahw.hdl.toolchain.TOOLS`. load: its arguments for the FPGA's own memory, lost when the power goes;
    store: for the board's flash, kept. data: for a file of data into the flash, from byte ``{offset}`` on.
    ``{file}`` stands for the bitstream or the data; ``None``: the board cannot do that.
    """

    tool: str
    load: tuple[str, ...] | None
    store: tuple[str, ...] | None
    data: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFlash:
    """The flash memory of a board as a place for data beside the bitstream.

    part: as its maker writes it. bytes: its size. offset: where the data begin, a multiple of what is erased at once
    (64 KiB) behind the largest bitstream. resource, number: its four data lines, clock and select on the platform.
    """

    part: str
    bytes: int
    offset: int
    resource: str
    number: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """One board; ``docs/boards.md`` says how to add one.

    name: as the command line takes it. title: as its maker writes it. url: where it is described.
    family: of :data:`FAMILIES`. device: the FPGA.
    platform: makes the platform of amaranth-boards (imported there, as that takes a while), with the resources below.
    synth, pnr, pack: the options, for this device or board, of Yosys' command, the placer and the packer.
    oscillator: resource and MHz of the board's clock. pll: of :data:`rdahw.boards.clock.PLLS`.
    clock: MHz of the core, unless others are asked for.
    uart: resource and number. baud: the link's speed in bits a second, unless another is asked for.
    leds: for ``error`` and ``activity``, resource and number, and the signal of it where it has several.
    flash: the flash memory that gateware can read data from; ``None``: there is none, or it was not tried.
    logic_cells, ebr, spram: how many the device has. ebr_bits: the size of a block of memory.
    programmers: what can program it, the usual one first.
    """

    name: str
    title: str
    url: str
    family: str
    device: str
    platform: Callable[[], Any]
    synth: tuple[str, ...] = ()
    pnr: tuple[str, ...]
    pack: tuple[str, ...] = ()
    oscillator: tuple[str, float]
    pll: str
    clock: float
    uart: tuple[str, int] = ("uart", 0)
    baud: int = 1_000_000
    leds: Mapping[str, tuple[str, int] | tuple[str, int, str]] = field(default_factory=dict)
    logic_cells: int
    ebr: int
    ebr_bits: int
    spram: int = 0
    flash: DataFlash | None = None
    programmers: tuple[Programmer, ...]
