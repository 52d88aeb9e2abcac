"""The first pass of an ensemble in memory: an example's way through all tables, one a cycle."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal  # type: ignore[import-untyped]

from rdahw.hdl.circuit import Value
from rdahw.hdl.class_scores import ClassScores
from rdahw.hdl.example_buffer import ExampleBuffer

__all__ = ["ForwardPass", "pass_cycles"]


def pass_cycles(tables: int, scores: ClassScores) -> int:
    """The clock cycles from one example to the next, if all that is done is to go through the tables and to decide."""
    return tables + ExampleBuffer.LATENCY + int(scores.latency) + 2


class ForwardPass:
    """The logic, in the module ``m``, that names the tables of ``buffer`` in turn and asks for the words they address.

    naming: a signal of ``m``; it begins in the cycle after this is set, and unsets it after the last table. Before it
        is set, ``rewind()``.
    asked_at: like this is the address of a word. dropped: whether the table that is named is left out.

    address: of the word to ask for, while ``passing[-2]``. A cycle later the word is there, while ``passing[-1]``,
        ``kept[-1]`` (it was not left out) and ``last[-1]`` (it is the last one); ``address_there`` was its address.
    """

    def __init__(self, m: Module, buffer: ExampleBuffer, naming: Value, asked_at: Value, dropped: Value) -> None:
        stages = ExampleBuffer.LATENCY + 1
        passing, kept, last = Signal(stages), Signal(stages), Signal(stages)
        named, asked = Signal(range(buffer.tables)), Signal(range(buffer.tables))
        address, address_there = Signal.like(asked_at), Signal.like(asked_at)
        at_last = named == buffer.tables - 1
        m.d.comb += [buffer.table.eq(named), address.eq(Cat(buffer.index, asked))]
        m.d.sync += [
            passing.eq(Cat(naming, passing)),
            kept.eq(Cat(naming & ~dropped, kept)),
            last.eq(Cat(naming & at_last, last)),
            address_there.eq(address),
        ]
        with m.If(naming):
            m.d.sync += named.eq(named + 1)
            with m.If(at_last):
                m.d.sync += naming.eq(0)
        with m.If(passing[-2]):
            m.d.sync += asked.eq(asked + 1)
        self.passing, self.kept, self.last = passing, kept, last
        self.address, self.address_there = address, address_there
        self._counts = named, asked

    def rewind(self) -> list[Value]:
        """Assignments for the domain ``sync``: back to the first table."""
        return [count.eq(0) for count in self._counts]
