"""What goes between the layers of a layer trainer: bits upwards, and sums of requests downwards."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed  # type: ignore[import-untyped]
from amaranth.lib import memory, wiring  # type: ignore[import-untyped]
from amaranth.lib.wiring import In, Out  # type: ignore[import-untyped]

from rdahw.hdl.block_memory import block_memory

__all__ = ["LayerValues"]


class LayerValues(wiring.Component):  # type: ignore[misc]
    """The bits of all tables that others read, and for each the requests of its readers.

    A table reads and writes the place of each of its inputs in one cycle, so each input has its own memory: a bit is
    written to all of them, and a request for it goes to that of the reader's input. The layers are in two banks, even
    and odd ones, as a layer and the one below it are accessed at the same time.

    sizes: the places of the two banks, of which the second may have none. inputs: of a table. wire_bits: of a place.
    sum_bits: of the sum of requests for a bit by one input of its readers, in two's complement.

    down: the pass goes down. odd: the bank of the current layer; the layers below and above are in the other one. Both
        are stable from a table's first to its last cycle.
    rewind: the next bit to put is the first of both banks. turn: the next sums to take are the last.

    Up. wires: places in the other bank, in the cycle after the table was named; their bits are in ``index`` two cycles
        later. put: writes ``bit`` to the next place of the current layer's bank, with sums of 0.

    Down. take: the sums of the current layer's next place, in falling order; two cycles later ``asks_one`` or
        ``asks_zero`` says that their total is positive, or negative. In the same cycle ``wires`` are the places of the
        table's inputs; another one later ``add`` adds the requests ``ups`` less ``downs`` of the inputs.
    """

    def __init__(self, sizes: tuple[int, int], inputs: int, wire_bits: int, sum_bits: int) -> None:
        self.sizes, self.inputs, self.wire_bits, self.sum_bits = sizes, inputs, wire_bits, sum_bits
        super().__init__(
            {
                "down": In(1),
                "odd": In(1),
                "rewind": In(1),
                "turn": In(1),
                "wires": In(wire_bits * inputs),
                "index": Out(inputs),
                "put": In(1),
                "bit": In(1),
                "take": In(1),
                "asks_one": Out(1),
                "asks_zero": Out(1),
                "add": In(1),
                "ups": In(inputs),
                "downs": In(inputs),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        # The wires one and two cycles later: of the table whose requests are added, and of the one before.
        adding, added = Signal.like(self.wires, reset_less=True), Signal.like(self.wires, reset_less=True)
        was_added = Signal()
        m.d.sync += [adding.eq(self.wires), added.eq(adding), was_added.eq(self.add)]
        banks = [self._bank(m, bank, added, was_added) for bank, size in enumerate(self.sizes) if size]
        sums = []
        for i in range(self.inputs):
            read = [words[i] for words, _ in banks]
            own, other = (read[0], read[0]) if len(read) == 1 else (Mux(self.odd, *read[::-1]), Mux(self.odd, *read))
            sums.append(Signal(signed(self.sum_bits), name=f"sum{i}", reset_less=True))
            m.d.sync += [sums[i].eq(own[1:]), self.index[i].eq(other[0])]
            # The word was read when the sum of one of the two tables before was not written yet.
            here = slice(i * self.wire_bits, (i + 1) * self.wire_bits)
            is_last, is_before = Signal(name=f"is_last{i}"), Signal(name=f"is_before{i}")
            new, before = (Signal(self.sum_bits, name=f"{name}{i}", reset_less=True) for name in ("new", "before"))
            m.d.sync += [
                is_last.eq(self.add & (self.wires[here] == adding[here])),
                is_before.eq(was_added & (self.wires[here] == added[here])),
                new.eq(Mux(is_last, new, Mux(is_before, before, other[1:])) + self.ups[i] - self.downs[i]),
                before.eq(new),
            ]
            for _, writes in banks:
                m.d.comb += writes[i].data.eq(Mux(self.down, Cat(Const(0, 1), new), self.bit))
        total = sum(sums[1:], sums[0])
        m.d.comb += [self.asks_one.eq(total > 0), self.asks_zero.eq(total < 0)]
        return m

    def _bank(self, m: Module, bank: int, added: Any, was_added: Any) -> tuple[list[Any], list[Any]]:
        """The words read from one bank, one for each input, and the write ports, without their data."""
        size = self.sizes[bank]
        place, current = Signal(range(max(2, size)), name=f"place{bank}"), Signal(name=f"current{bank}")
        m.d.comb += current.eq(self.odd == bank)
        with m.If(current & self.put):
            m.d.sync += place.eq(place + 1)
        with m.If(current & self.take):
            m.d.sync += place.eq(place - 1)
        with m.If(self.rewind):
            m.d.sync += place.eq(0)
        with m.If(self.turn):
            m.d.sync += place.eq(size - 1)
        words, writes = [], []
        for i in range(self.inputs):
            here = slice(i * self.wire_bits, i * self.wire_bits + len(place))
            data = memory.MemoryData(shape=1 + self.sum_bits, depth=size, init=[])
            word, write = block_memory(m, f"bank{bank}_{i}", data, Mux(self.down & current, place, self.wires[here]))
            m.d.comb += [
                write.addr.eq(Mux(self.down, added[here], place)),
                write.en.eq(Mux(self.down, was_added & ~current, self.put & current)),
            ]
            words.append(word)
            writes.append(write)
        return words, writes
