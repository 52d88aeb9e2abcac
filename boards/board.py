"""The description of a board, and the families of FPGAs on the boards."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["FAMILIES", "Board", "DataFlash", "Family", "LivePins", "Programmer", "platform", "platform_of_pins"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """How a family of FPGAs goes from a netlist to a bitstream.

    synth: the command of Yosys. pnr, pack: tools of :data:`rdahw.hdl.toolchain.TOOLS`.
    constraints: the suffix of the file of pins and clocks that the board's platform writes.
    pins: the placer's options for that file, ``{name}`` is the base name. unpinned: the options for a design without
        pins (``None``: the placer needs a pin for every port).
    dense: the placer's options for a design whose cells read bits from all over the device.
    write: the placer's options for its output file, ``{placed}``.
    pack_files: the packer's arguments for its input, ``{placed}``, and its output, ``{bitstream}``.
    placed, bitstream: the suffixes of the placer's and the packer's output.
    logic_cells: the resources that are made of logic cells (a look-up table with its flip-flop), as the placer's log
        calls them, and how many cells each takes; the total available is that of the first.
    ebr, spram: the placer's name of a memory block, and of a large memory block (``None``: the family has none).
    flip_flop: a regular expression for the cells of the netlist that are flip-flops.
    core_cells: such expressions for the cells that take logic cells, and how many each takes, for a placer that cannot
        count them without pins.
    open_inputs: by type of cell, an input that the placer takes unconnected and not from a constant.
    table_inputs: the inputs of a LUT4, if smaller look-up tables, LUT1 to LUT3, have to be placed as LUT4s.
    untimed_memory: the placer does not know the delays of memory blocks.
    """

    name: str
    synth: str
    pnr: str
    pack: str
    constraints: str
    pins: tuple[str, ...]
    unpinned: tuple[str, ...] | None
    write: tuple[str, ...]
    pack_files: tuple[str, ...]
    placed: str
    bitstream: str
    logic_cells: Mapping[str, int]
    ebr: str
    spram: str | None
    flip_flop: str
    core_cells: Mapping[str, int] = field(default_factory=dict)
    open_inputs: Mapping[str, str] = field(default_factory=dict)
    table_inputs: tuple[str, ...] = ()
    untimed_memory: bool = False
    dense: tuple[str, ...] = ()


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
            write=("--asc", "{placed}"),
            pack_files=("{placed}", "{bitstream}"),
            placed="asc",
            bitstream="bin",
            logic_cells={"ICESTORM_LC": 1},
            ebr="ICESTORM_RAM",
            spram="ICESTORM_SPRAM",
            flip_flop=r"SB_DFF\w*",
            # The usual router needs hours for a device that is full of tables, this one a minute.
            dense=("--router", "router2"),
        ),
        Family(
            name="ecp5",
            synth="synth_ecp5",
            pnr="nextpnr-ecp5",
            pack="ecppack",
            constraints="lpf",
            pins=("--lpf", "{name}.lpf"),
            unpinned=("--lpf-allow-unconstrained",),
            write=("--textcfg", "{placed}"),
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
            # nextpnr knows no delays of wide multiplexers (MUX2_LUT5 to MUX2_LUT8): it would leave every path through
            # one out of the Fmax, which would be up to three times too high.
            synth="synth_gowin -nowidelut",
            pnr="nextpnr-himbaechel",
            pack="gowin_pack",
            constraints="cst",
            pins=("--vopt", "cst={name}.cst"),
            unpinned=None,
            write=("--write", "{placed}"),
            pack_files=("-o", "{bitstream}", "{placed}"),
            placed="pnr.json",
            bitstream="fs",
            logic_cells={"LUT4": 1, "ALU": 1, "RAM16SDP4": 4},
            ebr="BSRAM",
            spram=None,
            flip_flop=r"DFF\w*",
            core_cells={r"LUT[1-4]|ALU": 1},
            # nextpnr knows the delays of LUT4s only: it would leave every path through a smaller table out of the Fmax.
            table_inputs=("I0", "I1", "I2", "I3"),
            untimed_memory=True,
        ),
        Family(
            name="nexus",
            synth="synth_nexus",
            pnr="nextpnr-nexus",
            pack="prjoxide",
            constraints="pdc",
            pins=("--pdc", "{name}.pdc"),
            unpinned=None,
            write=("--fasm", "{placed}"),
            pack_files=("pack", "{placed}", "{bitstream}"),
            placed="fasm",
            bitstream="bit",
            logic_cells={"OXIDE_COMB": 1},
            ebr="OXIDE_EBR",
            spram=None,
            flip_flop=r"FD1P3\w*",
            core_cells={r"LUT4": 1, r"CCU2|WIDEFN9": 2, r"DPR16X4": 4},
            # The first cell of a carry chain does not use it, and Yosys connects it to a constant (Yosys issue 4081).
            open_inputs={"CCU2": "CIN"},
        ),
        Family(
            name="gatemate",
            synth="synth_gatemate -luttree -nomx8",
            pnr="nextpnr-himbaechel-gatemate",
            pack="gmpack",
            constraints="ccf",
            pins=("--vopt", "ccf={name}.ccf"),
            unpinned=("--vopt", "allow-unconstrained"),
            write=("--vopt", "out={placed}"),
            pack_files=("{placed}", "{bitstream}"),
            placed="config",
            bitstream="bit",
            logic_cells={"CPE_LT": 1},
            ebr="RAM_HALF",
            spram=None,
            flip_flop=r"CC_DFF",
        ),
    )
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Programmer:
    """A program that puts a bitstream on a board.

    tool: of :data:`rdahw.hdl.toolchain.TOOLS`. load: its arguments for the FPGA's own memory, lost at power-off;
    store: for the board's flash memory. data: for a file of data, written to the flash from byte ``{offset}`` on.
    ``{file}`` stands for the bitstream or the data; ``None``: not possible on this board.
    """

    tool: str
    load: tuple[str, ...] | None
    store: tuple[str, ...] | None
    data: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFlash:
    """The flash memory of a board as a place for data beside the bitstream.

    part: its maker's name for it. bytes: its size. offset: where the data begin, a multiple of the erase block
    (64 KiB) behind the largest bitstream. resource, number: its four data lines, clock and select on the platform.
    quad: whether it can be read over all four. user_clock: its clock is not a pin, but behind the ECP5's ``USRMCLK``.
    """

    part: str
    bytes: int
    offset: int
    resource: str
    number: int = 0
    quad: bool = True
    user_clock: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LivePins:
    """The pins of a board that learns from a signal.

    connector: its name and number on the platform. signal, clock: pins of it. label: resource and number of a button.
    """

    connector: tuple[str, int]
    signal: str
    clock: str
    label: tuple[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """One board; ``docs/boards.md`` says how to add one.

    name: on the command line. title: the maker's name for it. url: its description.
    family: of :data:`FAMILIES`. device: the FPGA.
    platform: makes the platform of amaranth-boards, with the resources below; see :func:`platform`.
    synth, pnr, pack: the options, for this device or board, of Yosys' command, the placer and the packer.
    oscillator: resource and MHz of the board's clock. pll: of :data:`rdahw.boards.clock.PLLS`.
    clock: default clock of the core in MHz. level_ns: how long a look-up table takes with the wires to the next one, in
        a design that fills the device.
    uart: resource and number. baud: default speed of the link in bits a second.
    leds: for ``error`` and ``activity``, resource and number, and its signal if it has several; a single LED has both.
    inactive: outputs, by resource and number, that are held inactive, such as the select of a flash on the UART's pins.
    pins: those of ``--frontend pins``; ``None``: none, or not tried.
    flash: the flash memory that gateware can read data from; ``None``: none, or not tried.
    logic_cells, ebr, spram: how many the device has.
    programmers: the programs that can program it, the usual one first.
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
    level_ns: float
    uart: tuple[str, int] = ("uart", 0)
    baud: int = 1_000_000
    leds: Mapping[str, tuple[str, int] | tuple[str, int, str]] = field(default_factory=dict)
    inactive: tuple[tuple[str, int], ...] = ()
    logic_cells: int
    ebr: int
    spram: int = 0
    flash: DataFlash | None = None
    pins: LivePins | None = None
    programmers: tuple[Programmer, ...]

    def levels(self, clock: float) -> float:
        """How many look-up tables, one behind the other, a cycle of ``clock`` MHz has time for, at least one."""
        return max(1.0, 1000 / clock / self.level_ns)


def platform(module: str, name: str) -> Callable[[], Any]:
    """Makes the platform ``name`` of ``amaranth_boards.module``, which is imported on the call, as that is slow."""

    def make() -> Any:
        return getattr(importlib.import_module(f"amaranth_boards.{module}"), name)()

    return make


def platform_of_pins(
    vendor: str, *, part: Mapping[str, str], mhz: float, attrs: Mapping[str, str], **pins: str
) -> Callable[[], Any]:
    """Makes a platform for a board that amaranth-boards lacks; each call imports ``vendor``, as that is slow.

    vendor: module and class of the platform of the FPGA's maker. part: its class attributes, which name the FPGA.
    attrs: of all pins. pins: ``clock``, of ``mhz``; ``rx`` and ``tx``; ``leds``, one or more, which a low level lights;
    ``select``, a flash's, active low. Resources: ``clock``, ``uart``, ``led`` 0 and up, ``select``.
    """

    def make() -> Any:
        from amaranth.build import Attrs, Clock, Pins, PinsN, Resource, Subsignal  # type: ignore[import-untyped]

        module, _, name = vendor.rpartition(".")
        its = Attrs(**attrs)
        resources = [
            Resource("clock", 0, Pins(pins["clock"], dir="i"), Clock(mhz * 1e6), its),
            Resource("uart", 0, Subsignal("rx", Pins(pins["rx"], dir="i")), Subsignal("tx", Pins(pins["tx"])), its),
            *(Resource("led", i, PinsN(pin, dir="o"), its) for i, pin in enumerate(pins["leds"].split())),
            *(Resource("select", i, PinsN(pin, dir="o"), its) for i, pin in enumerate(pins.get("select", "").split())),
        ]
        platform = getattr(importlib.import_module(module), name)
        return type("Platform", (platform,), {**part, "resources": resources, "connectors": []})()

    return make
