"""The memory of an ensemble's counters: one word of all classes for each index of each table, one access a cycle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from amaranth.hdl import Array, Cat, ClockSignal, Const, Instance, Module, Signal  # type: ignore[import-untyped]
from amaranth.lib import memory, wiring  # type: ignore[import-untyped]
from amaranth.lib.wiring import In, Out  # type: ignore[import-untyped]

from rdahw.errors import UsageError
from rdahw.hdl.block_memory import block_memory

__all__ = ["KINDS", "SPRAM_DEPTH", "SPRAM_WIDTH", "TableMemory", "spram_blocks"]

#: One SB_SPRAM256KA of the iCE40 UltraPlus.
SPRAM_DEPTH = 1 << 14
SPRAM_WIDTH = 16


def spram_blocks(words: int, octets: int) -> tuple[int, int]:
    """The columns and rows of SPRAM blocks for ``words`` words of ``octets`` bytes."""
    return -(-octets * 8 // SPRAM_WIDTH), -(-words // SPRAM_DEPTH)


class TableMemory(wiring.Component):  # type: ignore[misc]
    """``words`` words of ``octets`` bytes, read or written at ``address``, one of the two in a cycle.

    kind: ``block``, block RAM (or the synthesiser's choice), which every simulator can run; or ``spram``, the
        single-port RAM of the iCE40 UltraPlus. The contents at power-up are undefined.

    address: of the word. read_data: the word, a cycle later; undefined after a write. write_enable: a bit for each byte
        of ``write_data`` that is written.

    The attribute ``data`` is the contents, for simulators; None for ``spram``. Raises :class:`UsageError` for another
    kind.
    """

    def __init__(self, words: int, octets: int, kind: str) -> None:
        if kind not in KINDS:
            raise UsageError(f"unknown kind of memory {kind!r}; expected {' or '.join(KINDS)}")
        self.words, self.octets, self.kind = words, octets, kind
        super().__init__(
            {
                "address": In(range(words)),
                "read_data": Out(8 * octets),
                "write_data": In(8 * octets),
                "write_enable": In(octets),
            }
        )
        self.data = memory.MemoryData(shape=8 * octets, depth=words, init=[]) if kind == "block" else None

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        KINDS[self.kind](self, m)
        return m

    def _block(self, m: Module) -> None:
        there, write = block_memory(m, "memory", self.data, self.address, granularity=8)
        m.d.comb += [
            self.read_data.eq(there),
            write.addr.eq(self.address),
            write.data.eq(self.write_data),
            write.en.eq(self.write_enable),
        ]

    def _spram(self, m: Module) -> None:
        columns, rows = spram_blocks(self.words, self.octets)
        selected, read_row = Signal(range(max(2, rows))), Signal(range(max(2, rows)))
        m.d.comb += selected.eq(self.address >> SPRAM_DEPTH.bit_length() - 1)
        m.d.sync += read_row.eq(selected)
        outputs = []
        for row in range(rows):
            output = Signal(columns * SPRAM_WIDTH, name=f"row{row}")
            for column in range(columns):
                enable = self.write_enable[2 * column : 2 * column + 2]
                m.submodules[f"spram{row}_{column}"] = Instance(
                    "SB_SPRAM256KA",
                    i_CLOCK=ClockSignal(),
                    i_ADDRESS=_padded(self.address[:14], 14),
                    i_DATAIN=_padded(self.write_data[column * SPRAM_WIDTH : (column + 1) * SPRAM_WIDTH], SPRAM_WIDTH),
                    # A bit for four bits of the word.
                    i_MASKWREN=_padded(_each_twice(enable), 4),
                    i_WREN=enable.any() & (selected == row),
                    i_CHIPSELECT=Const(1),
                    i_STANDBY=Const(0),
                    i_SLEEP=Const(0),
                    i_POWEROFF=Const(1),  # low is off
                    o_DATAOUT=output[column * SPRAM_WIDTH : (column + 1) * SPRAM_WIDTH],
                )
            outputs.append(output)
        m.d.comb += self.read_data.eq(Array(outputs)[read_row] if rows > 1 else outputs[0])


def _padded(value: Any, width: int) -> Any:
    return Cat(value, Const(0, width - len(value)))


def _each_twice(bits: Any) -> Any:
    return Cat(bit.replicate(2) for bit in bits)


#: The method that makes each kind of memory.
KINDS: Mapping[str, Any] = {"block": TableMemory._block, "spram": TableMemory._spram}
