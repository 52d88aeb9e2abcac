"""Amaranth's own simulator behind the interface of :mod:`rdahw.sim.simulator`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from amaranth.hdl import ClockDomain, MemoryData, Module  # type: ignore[import-untyped]
from amaranth.sim import Simulator as PySim  # type: ignore[import-untyped]

from rdahw.errors import UserError
from rdahw.primitives import Array
from rdahw.sim.simulator import Exchange, Stuck, Transfers, ports_of

__all__ = ["AmaranthSimulator"]

#: Half of a clock period in waveforms, in seconds.
_HALF = 5e-7


class AmaranthSimulator:
    """A component in Amaranth's simulator."""

    engine = "amaranth"

    def __init__(self, component: Any, registers: Mapping[str, Any], vcd: Path | None = None) -> None:
        self.cycles = 0
        self._ports = ports_of(component)
        self._driven: dict[str, int] = {}
        self._attached: list[tuple[str, str, bytes, int]] = []
        self._clock = ClockDomain("sync")
        top = Module()
        top.domains += self._clock
        top.submodules.top = component
        try:
            self._simulation = PySim(top)
        except RecursionError:  # it nests the parts of a wire in one expression of Python
            raise UserError(
                "a wire of the design has more parts than Amaranth's simulator takes, some 3,000; take a smaller "
                "model, or learn in software (--sim)"
            ) from None
        self._registers = {name: _parts(value) for name, value in registers.items()}
        self._context: Any = None

        async def hold(context: Any) -> None:
            # Provides its context to the methods; each advance lets half a period pass.
            self._context = context
            while True:
                await context.delay(_HALF)

        self._simulation.add_testbench(hold)
        self._stack = ExitStack()
        if vcd is not None:
            try:
                file = self._stack.enter_context(vcd.open("w"))
            except OSError as error:
                raise UserError(f"{str(vcd)!r} cannot be written ({error.strerror}); choose another file") from error
            self._stack.enter_context(self._simulation.write_vcd(file))
        self._simulation.advance()

    def set(self, port: str, value: int) -> None:
        """Drive an input port."""
        if self._driven.get(port) != value:  # setting the same value costs an evaluation too
            self._driven[port] = value
            self._context.set(self._ports[port].value, value)
            self._serve()

    def attach(self, address: str, data: str, contents: bytes, behind: int = 0xFF) -> None:
        """Serve ``contents`` to the ports ``address`` and ``data``."""
        self._attached.append((address, data, contents, behind))
        self._serve()

    def _serve(self) -> None:
        for address, data, contents, behind in self._attached:
            at = self.get(address)
            byte = contents[at] if at < len(contents) else behind
            if self._driven.get(data) != byte:
                self._driven[data] = byte
                self._context.set(self._ports[data].value, byte)

    def get(self, port: str) -> int:
        """The value of a port."""
        return int(self._context.get(self._ports[port].value))

    def tick(self, count: int = 1) -> None:
        """Let ``count`` clock cycles pass."""
        for _ in range(count):
            self._context.set(self._clock.clk, 1)
            self._simulation.advance()
            self._context.set(self._clock.clk, 0)
            self._simulation.advance()
            self._serve()
            self.cycles += 1

    def peek(self, register: str) -> int:
        """The value of a register or memory."""
        value, width = 0, 0
        for part in self._registers[register]:
            value |= int(self._context.get(part)) << width
            width += len(part)
        return value

    def poke(self, register: str, value: int) -> None:
        """Overwrite a register or memory."""
        for part in self._registers[register]:
            self._context.set(part, value & (1 << len(part)) - 1)
            value >>= len(part)

    def exchange(self, exchange: Exchange) -> Transfers:
        """Run until the exchange is over."""
        beats = [
            int.from_bytes(row.tobytes(), "little") for row in np.packbits(exchange.beats, axis=1, bitorder="little")
        ]
        source, sink, watch = exchange.source, exchange.sink, exchange.watch
        taken: list[int] = []
        given: list[int] = []
        results: list[int] = []
        changed: list[int] = []
        values: list[int] = []
        before = None if watch is None else self.peek(watch)
        offered, quiet = False, 0
        end = float("inf") if exchange.cycles is None else self.cycles + exchange.cycles
        while (len(taken) < exchange.take or len(given) < exchange.give) and self.cycles < end:
            offered = len(taken) < len(beats) and (offered or not _at(exchange.gaps, self.cycles))
            self.set(f"{source}__valid", offered)
            if offered:
                self.set(f"{source}__payload", beats[len(taken)])
            ready = not _at(exchange.stalls, self.cycles)
            self.set(f"{sink}__ready", ready)
            quiet += 1
            if ready and self.get(f"{sink}__valid"):
                given.append(self.cycles)
                results.append(self.get(f"{sink}__payload"))
                quiet = 0
            if offered and self.get(f"{source}__ready"):
                taken.append(self.cycles)
                offered, quiet = False, 0
            self.tick()
            if watch is not None and (now := self.peek(watch)) != before:
                changed.append(self.cycles - 1)
                values.append(now)
                before = now
            if quiet > exchange.patience:
                raise Stuck(f"streams {source!r} and {sink!r} have not moved for {quiet} cycles, up to {self.cycles}")
        width = self._ports[f"{sink}__payload"].width
        return Transfers(np.array(taken, np.int64), np.array(given, np.int64), _bits(results, width), changed, values)

    def close(self) -> None:
        """Finish the VCD file."""
        self._stack.close()


def _at(pattern: Array | None, cycle: int) -> bool:
    return pattern is not None and bool(pattern[cycle % len(pattern)])


def _bits(values: Sequence[int], width: int) -> Array:
    size = (width + 7) // 8
    packed = np.frombuffer(b"".join(v.to_bytes(size, "little") for v in values), np.uint8).reshape(len(values), size)
    return np.unpackbits(packed, axis=1, count=width, bitorder="little")


def _parts(register: Any) -> list[Any]:
    """A signal, or the rows of a memory."""
    return [register[row] for row in range(register.depth)] if isinstance(register, MemoryData) else [register]
