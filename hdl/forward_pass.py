"""The forward pass of an ensemble in memory: an example goes through all tables, one per cycle."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal  # type: ignore[import-untyped]

from rdahw.hdl.circuit import Value
from rdahw.hdl.class_scores import ClassScores
from rdahw.hdl.example_buffer import ExampleBuffer

__all__ = ["ForwardPass", "pass_cycles"]


def pass_cycles(tables: int, scores: ClassScores) -> int:
    """The clock cycles from one example to the next without an update."""
    return tables + ExampleBuffer.LATENCY + int(scores.latency) + 2


class ForwardPass:
    """The logic, in module ``m``, that selects the tables of ``buffer`` in turn and addresses their words.

    naming: a signal of ``m``; the pass begins in the cycle after it is set, and clears it after the last table. Call
        ``rewind()`` before.
    asked_at: has the shape of a word's address. dropped: whether the selected table is dropped.

    address: that of the word to read, while ``passing[-2]``. A cycle later, while ``passing[-1]``, the word is valid,
        with ``kept[-1]`` (not dropped) and ``last[-1]`` (the last one); ``address_there`` was its address.
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
