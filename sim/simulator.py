"""Cycle-accurate simulators of an Amaranth component, behind one interface.

Engines: ``amaranth`` (Amaranth's own simulator: slow, always there), ``cxxrtl`` (Yosys and a C++ compiler) and
``verilator``. The compiled ones run a million and more cycles a second, after seconds of compiling; what was compiled
is kept in the user's cache.

The component has one clock, ``sync``. A port is named as in the Verilog made from it, by its path in the signature with
``__`` between the parts (``examples__payload``); a register or memory has the name that the simulator's maker gives it.
Values are whole numbers, bit 0 least significant; a memory is one number, word 0 lowest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rdahw.errors import InternalError, MissingError, UsageError, nearest
from rdahw.primitives import Array

__all__ = [
    "ENGINES",
    "Exchange",
    "Log",
    "Port",
    "Simulator",
    "Stuck",
    "Transfers",
    "choose_engine",
    "make_simulator",
    "ports_of",
]

#: The engines, by how soon they have simulated much: the first that is there is taken for long work. Verilator is no
#: faster on trainers, and takes twice as long to compile (bench/simulation.py).
ENGINES = ("cxxrtl", "verilator", "amaranth")
#: Below so many cycles Amaranth's simulator is done before a compiler would be.
SHORT = 5_000

#: What is called with a line about long work that is beginning, such as compiling.
Log = Callable[[str], None]


class Stuck(InternalError):
    """A stream did not move for so long that the simulated component cannot be right."""


@dataclass(frozen=True, slots=True)
class Port:
    """A port of a component: its width in bits, whether it is an input, and Amaranth's value."""

    width: int
    is_input: bool
    value: Any


def ports_of(component: Any) -> dict[str, Port]:
    """The ports of an Amaranth component by name."""
    from amaranth.hdl import Value  # type: ignore[import-untyped]
    from amaranth.lib.wiring import In  # type: ignore[import-untyped]

    found = {}
    for path, member, value in component.signature.flatten(component):
        value = Value.cast(value)
        if len(value):  # what has no bits, as an address of one byte, Verilog cannot say
            found["__".join(map(str, path))] = Port(len(value), member.flow == In, value)
    return found


@dataclass(frozen=True, slots=True, eq=False)
class Exchange:
    """What to send into a stream and to take from another, cycle by cycle; see :meth:`Simulator.exchange`.

    source, sink: the names of the streams; their payload, valid and ready are ``<name>__payload`` and so on.
    beats: the payloads to send, (N, width) of 0 and 1, bit 0 first.
    take, give: the exchange ends as soon as so many beats have been taken, and so many results have been given,
    cycles: or after so many cycles.
    gaps: in cycle c nothing new is offered if ``gaps[c % len(gaps)]``; a beat on offer stays until it is taken.
    stalls: in cycle c no result is accepted if ``stalls[c % len(stalls)]``.
    watch: a register whose changes are recorded.
    patience: for how many cycles neither stream may move.
    """

    source: str
    sink: str
    beats: Array
    take: int
    give: int
    gaps: Array | None = None
    stalls: Array | None = None
    watch: str | None = None
    cycles: int | None = None
    patience: int = 100_000


@dataclass(slots=True, eq=False)
class Transfers:
    """What an exchange came to. A cycle is counted from 0, and ends with the clock edge at which a transfer happens.

    taken: in which cycle each beat was taken, (T,).
    given: in which cycle each result was given, (R,). results: their payloads, (R, width).
    changed: the cycles at whose end the watched register changed. values: what it then was.
    """

    taken: NDArray[np.int64]
    given: NDArray[np.int64]
    results: Array
    changed: list[int] = field(default_factory=list)
    values: list[int] = field(default_factory=list)


class Simulator(Protocol):
    """A component in simulated time. Time stands still but in :meth:`tick` and :meth:`exchange`."""

    @property
    def engine(self) -> str:
        """The name of the engine."""

    @property
    def cycles(self) -> int:
        """How many clock cycles have passed since power-up."""

    def set(self, port: str, value: int) -> None:
        """Drive an input port; what depends on it follows at once."""

    def get(self, port: str) -> int:
        """The value of a port."""

    def tick(self, count: int = 1) -> None:
        """Let ``count`` clock cycles pass."""

    def peek(self, register: str) -> int:
        """The value of a register or memory. No time passes."""

    def poke(self, register: str, value: int) -> None:
        """Overwrite a register or memory, as a fault or a test bench would. No time passes."""

    def attach(self, address: str, data: str, contents: bytes, behind: int = 0xFF) -> None:
        """From now on hold the input port ``data`` at the byte of ``contents`` whose number is on the output port
        ``address`` (32 bits at most), in the same cycle; at ``behind``, where there is none. So a memory needs not be
        in the design. ``address`` must not depend on ``data`` within a cycle."""

    def exchange(self, exchange: Exchange) -> Transfers:
        """Let time pass until the exchange is over, one beat a cycle and more back to back if the component lets it.

        Raises :class:`Stuck` if the streams stop moving.
        """

    def close(self) -> None:
        """Let go of the simulator and finish its VCD file. Closing twice does nothing."""


def choose_engine(name: str | None = None, *, cycles: int | None = None) -> str:
    """The engine called ``name``; ``None``: the fastest that is installed, for work of so many ``cycles`` if known.

    Raises :class:`UsageError` for an unknown name, and :class:`MissingError` saying how to get what an engine needs.
    """
    from rdahw.hdl import toolchain

    if name is not None:
        if name not in ENGINES:
            raise UsageError(f"engine {name!r} is unknown; {nearest(name, ENGINES)}")
        for tool in _NEEDS[name]:
            try:
                toolchain.find(tool)
            except MissingError as error:
                raise MissingError(f"engine {name!r} needs {error}; or choose --engine amaranth") from None
        return name
    if cycles is not None and cycles < SHORT:
        return "amaranth"
    for name in ENGINES:
        try:
            return choose_engine(name)
        except MissingError:
            continue
    raise InternalError("Amaranth's simulator needs no tool")


#: The tools that each engine needs, beside Python packages that rdahw depends on.
_NEEDS: Mapping[str, tuple[str, ...]] = {
    "amaranth": (),
    "cxxrtl": ("yosys", "c++"),
    "verilator": ("yosys", "verilator", "c++"),
}


def make_simulator(
    component: Any,
    engine: str,
    *,
    registers: Mapping[str, Any] | None = None,
    vcd: Path | None = None,
    netlist: str | None = None,
    log: Log | None = None,
) -> Simulator:
    """A simulator of ``component`` at power-up.

    engine: one of :data:`ENGINES`; see :func:`choose_engine`.
    registers: the signals and memories (``MemoryData``) of the component that will be looked at, by any names.
    vcd: write the waveforms of all signals there.
    netlist: simulate what synthesis for this family (of :data:`rdahw.sim.cells.FAMILIES`) makes of the component, out
        of the family's cells; for the compiled engines. Synthesis need not keep ``registers``, so leave them out.
    log: called with a line before something is compiled.
    """
    registers = registers or {}
    if engine == "amaranth":
        from rdahw.sim.pysim import AmaranthSimulator

        if netlist is not None:
            raise UsageError("a synthesised netlist was given to engine 'amaranth'; choose 'cxxrtl' or 'verilator'")
        return AmaranthSimulator(component, registers, vcd)
    from rdahw.sim import cxxrtl, verilator
    from rdahw.sim.native import NativeSimulator

    build = {"cxxrtl": cxxrtl.build, "verilator": verilator.build}[choose_engine(engine)]
    ports = ports_of(component)
    library = build(component, ports, registers, netlist=netlist, vcd=vcd is not None, log=log)
    return NativeSimulator(engine, library, ports, list(registers), vcd)
