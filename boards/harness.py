"""A component between flip-flops, so that it can be placed without pins for its ports, and timed."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Signal, Value  # type: ignore[import-untyped]
from amaranth.lib import wiring  # type: ignore[import-untyped]
from amaranth.lib.wiring import In, Out  # type: ignore[import-untyped]

__all__ = ["Harness"]


class Harness(wiring.Component):  # type: ignore[misc]
    """``core`` with its inputs from a shift register and its outputs into another, in the clock domain ``sync``.

    serial_in, serial_out: the ends of the shift registers. load: take the outputs instead of shifting them.
    """

    def __init__(self, core: Any) -> None:
        super().__init__({"serial_in": In(1), "load": In(1), "serial_out": Out(1)})
        self._core = core

    def elaborate(self, platform: Any) -> Module:
        """The harness, as Amaranth asks for it."""
        m = Module()
        m.submodules.core = core = self._core
        ports = [(member, Value.cast(port)) for _, member, port in core.signature.flatten(core)]
        inputs = Cat(port for member, port in ports if member.flow == In)
        outputs = Cat(port for member, port in ports if member.flow == Out)
        sent = Signal(len(inputs))
        m.d.sync += sent.eq(Cat(sent, self.serial_in) >> 1)
        m.d.comb += inputs.eq(sent)
        # The outputs come straight into flip-flops: the multiplexer in front of the second ones is not timed with them.
        taken, received = Signal(len(outputs)), Signal(len(outputs))
        m.d.sync += [taken.eq(outputs), received.eq(received >> 1)]
        with m.If(self.load):
            m.d.sync += received.eq(taken)
        m.d.comb += self.serial_out.eq(received[:1])
        return m
