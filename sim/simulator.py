"""Cycle-accurate simulators of an Amaranth component, behind one interface.

Engines: ``amaranth`` (Amaranth's own simulator: slow, always available), ``cxxrtl`` (Yosys and a C++ compiler) and
``verilator``. The compiled ones run a million cycles a second and more, after seconds of compiling; the compiled
library is kept in the user's cache.

The component has one clock, ``sync``. A port has its name in Verilog: its path in the signature with ``__`` between the
parts (``examples__payload``). Registers and memories are named by the caller of :func:`make_simulator`. Values are
whole numbers, bit 0 least significant; a memory is one number, word 0 lowest.
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

#: The engines, in order of preference for long runs. Verilator is not faster than CXXRTL on trainers, and takes twice
#: as long to compile (bench/simulation.py).
ENGINES = ("cxxrtl", "verilator", "amaranth")
#: Below this number of cycles Amaranth's simulator is faster than compiling.
SHORT = 5_000

#: Called with a line before long work such as compiling.
Log = Callable[[str], None]


class Stuck(InternalError):
    """The streams stalled for longer than ``patience``: the simulated component is faulty."""


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
        if len(value):  # Verilog has no ports of 0 bits, such as an address of one byte
            found["__".join(map(str, path))] = Port(len(value), member.flow == In, value)
    return found


@dataclass(frozen=True, slots=True, eq=False)
class Exchange:
    """The beats to send into one stream and to receive from another; see :meth:`Simulator.exchange`.

    source, sink: the names of the streams; their payload, valid and ready are ``<name>__payload`` and so on.
    beats: the payloads to send, (N, width) of 0 and 1, bit 0 first.
    take, give: the exchange ends after ``take`` beats have been taken and ``give`` results given; cycles: or after that
        many cycles.
    gaps: in cycle c no new beat is offered if ``gaps[c % len(gaps)]``; an offered beat stays until it is taken.
    stalls: in cycle c no result is accepted if ``stalls[c % len(stalls)]``.
    watch: a register whose changes are recorded.
    patience: the most cycles without a transfer on either stream.
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
    """The result of an exchange. Cycles are counted from 0; a transfer happens at the clock edge that ends its cycle.

    taken: the cycle in which each beat was taken, (T,).
    given: the cycle in which each result was given, (R,). results: their payloads, (R, width).
    changed: the cycles at whose end the watched register changed. values: its new values.
    """

    taken: NDArray[np.int64]
    given: NDArray[np.int64]
    results: Array
    changed: list[int] = field(default_factory=list)
    values: list[int] = field(default_factory=list)


class Simulator(Protocol):
    """A component in simulated time, which passes only in :meth:`tick` and :meth:`exchange`."""

    @property
    def engine(self) -> str:
        """The name of the engine."""

    @property
    def cycles(self) -> int:
        """How many clock cycles have passed since power-up."""

    def set(self, port: str, value: int) -> None:
        """Drive an input port; signals that depend on it are updated at once."""

    def get(self, port: str) -> int:
        """The value of a port."""

    def tick(self, count: int = 1) -> None:
        """Let ``count`` clock cycles pass."""

    def peek(self, register: str) -> int:
        """The value of a register or memory. No time passes."""

    def poke(self, register: str, value: int) -> None:
        """Overwrite a register or memory. No time passes."""

    def attach(self, address: str, data: str, contents: bytes, behind: int = 0xFF) -> None:
        """Model a memory outside of the design: from now on the input port ``data`` is the byte of ``contents`` at the
        output port ``address`` (at most 32 bits), in the same cycle, and ``behind`` beyond the end. ``address`` must
        not depend combinationally on ``data``."""

    def exchange(self, exchange: Exchange) -> Transfers:
        """Run until the exchange is over; raises :class:`Stuck` if the streams stall."""

    def close(self) -> None:
        """Free the simulator and finish its VCD file. Closing twice does nothing."""


def choose_engine(name: str | None = None, *, cycles: int | None = None, first: str = "") -> str:
    """The engine called ``name``; ``None``: the fastest installed one for a run of ``cycles`` (``None``: a long run).

    first: the engine that comes before the others in a long run, if it is installed.

    Raises :class:`UsageError` for an unknown name, and :class:`MissingError` that says how to install what is missing.
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
    for name in sorted(ENGINES, key=lambda name: name != first):
        try:
            return choose_engine(name)
        except MissingError:
            continue
    raise InternalError("no engine was found, and Amaranth's simulator needs no tool")


#: The tools that each engine needs.
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
    registers: the signals and memories (``MemoryData``) of the component that are read or written, by any names.
    vcd: write the waveforms of all signals to this file.
    netlist: simulate the netlist after synthesis for this family (of :data:`rdahw.sim.cells.FAMILIES`); compiled
        engines only, and without ``registers``, as synthesis may remove them.
    log: called with a line before compiling.
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
