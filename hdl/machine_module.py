"""A machine as an Amaranth component: a stream of symbols in, a stream of symbols out, one in a clock cycle."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal  # type: ignore[import-untyped]
from amaranth.lib import stream, wiring  # type: ignore[import-untyped]
from amaranth.lib.data import StructLayout  # type: ignore[import-untyped]
from amaranth.lib.wiring import In, Out  # type: ignore[import-untyped]

from rdahw.errors import UserError
from rdahw.hdl.circuit import CircuitModule
from rdahw.machine import Machine

__all__ = ["MachineModule", "first_number", "widths"]


def widths(machine: Machine) -> tuple[int, int, int]:
    """The bits of its state, of a symbol that it reads, and of one that it writes."""
    state, read, written = (
        sum(port.type.width for port in ports) for ports in (machine.states, machine.inputs, machine.outputs)
    )
    return state, read, written


def first_number(machine: Machine) -> int:
    """The initial state as a number, the first part in the lowest bits."""
    number = 0
    for port, value in zip(reversed(machine.states), reversed(machine.initial), strict=True):
        number = number << port.type.width | value
    return number


class MachineModule(wiring.Component):  # type: ignore[misc]
    """``machine``, which has no parameters.

    Members:

    symbols : In(stream of ``x`` and ``first``): the machine's inputs, the first one in the lowest bits; a symbol with
        ``first`` begins a sequence, in the initial state.
    results : Out(stream): the machine's outputs for that symbol, likewise; valid from the next cycle until taken.
    state : Out: the machine's state, the first part in the lowest bits.

    Raises :class:`UserError` for a machine with parameters, and for one that reads or writes nothing.
    """

    stream_notes = (
        "A symbol with the bit first begins a sequence in the initial state. A result is valid in the cycle after its",
        "symbol was taken, and until it is taken itself.",
    )

    def __init__(self, machine: Machine) -> None:
        if machine.parameters:
            raise UserError("the machine has parameters; bind them to constants before it becomes gateware")
        state, read, written = widths(machine)
        if not read or not written:
            raise UserError("the machine reads or writes nothing; a stream needs symbols of at least one bit")
        self.machine = machine
        self._initial = first_number(machine)
        super().__init__(
            {
                "symbols": In(stream.Signature(StructLayout({"x": read, "first": 1}))),
                "results": Out(stream.Signature(written)),
                "state": Out(state, init=self._initial),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.step = step = CircuitModule(self.machine.step)
        symbol, count = self.symbols.payload, len(self.machine.states)
        now = Signal(len(self.state))
        m.d.comb += [
            now.eq(Mux(symbol.first, self._initial, self.state)),
            Cat(*step.operands).eq(Cat(now, symbol.x)),
            self.symbols.ready.eq(~self.results.valid | self.results.ready),
        ]
        with m.If(self.symbols.ready):
            m.d.sync += self.results.valid.eq(self.symbols.valid)
            with m.If(self.symbols.valid):
                m.d.sync += self.state.eq(Cat(*step.results[:count]))
                m.d.sync += self.results.payload.eq(Cat(*step.results[count:]))
        return m
