"""Examples on their way into a memory trainer: two of them, and the index that each table reads from one."""

from __future__ import annotations

from typing import Any

import numpy as np
from amaranth.hdl import Array, Cat, Module, Signal  # type: ignore[import-untyped]
from amaranth.lib import memory, stream, wiring  # type: ignore[import-untyped]
from amaranth.lib.wiring import In, Out  # type: ignore[import-untyped]
from numpy.typing import NDArray

__all__ = ["LABEL_BITS", "ExampleBuffer"]

#: The bits of an example's last byte that are its class; the one above them says to learn from it.
LABEL_BITS = 7


class ExampleBuffer(wiring.Component):  # type: ignore[misc]
    """Room for two examples of ``input_bits`` bits, so that the next one comes in while one is looked at.

    table_wiring: (tables, inputs), the input bits that each table reads; see :func:`rdahw.ensemble.make_wiring`.
    classes: a label from there on is no class, and its example is not learned from.

    examples: bytes: ``octets`` of the input, wire 0 in bit 0 of the first, then one with the class in bits 0 to 6 and,
        in bit 7, whether to learn from it. hold: none are taken.
    waiting: an example is there. label, learn: of it. release: it is done with; not
        before :data:`LATENCY` cycles after its last ``table``.
    table: number of a table. index: what that one reads, :data:`LATENCY` cycles later.

    Each input of a table has a copy of the examples of its own, as each reads another byte in every cycle.
    """

    #: From ``table`` to ``index``: the table's wiring is read, then the bytes, then the bits are chosen.
    LATENCY = 3

    def __init__(self, input_bits: int, table_wiring: NDArray[np.int64], classes: int) -> None:
        self.octets = -(-input_bits // 8)
        self.classes = classes
        self.tables, self.inputs = table_wiring.shape
        #: The bits of a byte's number, and of a wire's.
        self.byte_bits = max(1, (self.octets - 1).bit_length())
        self.wire_bits = self.byte_bits + 3
        words = [sum(int(wire) << i * self.wire_bits for i, wire in enumerate(row)) for row in table_wiring]
        self.table_wiring = memory.MemoryData(shape=self.wire_bits * self.inputs, depth=self.tables, init=words)
        super().__init__(
            {
                "examples": In(stream.Signature(8)),
                "hold": In(1),
                "waiting": Out(1),
                "label": Out(range(classes)),
                "learn": Out(1),
                "release": In(1),
                "table": In(range(self.tables)),
                "index": Out(self.inputs),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """The logic, as Amaranth asks for it."""
        m = Module()
        offered = self.examples.payload

        # Into one side, while the other one is looked at.
        filled, filling, looked_at = Signal(2), Signal(), Signal()
        labels = [Signal(len(self.label), name=f"label{side}") for side in range(2)]
        learn = Signal(2)
        accept, octet, at_end = Signal(), Signal(range(self.octets + 1)), Signal()
        m.d.comb += [
            self.examples.ready.eq(~filled.bit_select(filling, 1) & ~self.hold),
            accept.eq(self.examples.valid & self.examples.ready),
            at_end.eq(octet == self.octets),
        ]
        with m.If(self.release):
            m.d.sync += [filled.bit_select(looked_at, 1).eq(0), looked_at.eq(~looked_at)]
        with m.If(accept):
            m.d.sync += octet.eq(octet + 1)
            with m.If(at_end):
                m.d.sync += [octet.eq(0), filling.eq(~filling), filled.bit_select(filling, 1).eq(1)]
                m.d.sync += learn.bit_select(filling, 1).eq(
                    offered[LABEL_BITS] & (offered[:LABEL_BITS] < self.classes),
                )
                for side, label in enumerate(labels):
                    with m.If(filling == side):
                        m.d.sync += label.eq(offered)
        m.d.comb += [
            self.waiting.eq(filled.bit_select(looked_at, 1)),
            self.label.eq(Array(labels)[looked_at]),
            self.learn.eq(learn.bit_select(looked_at, 1)),
        ]

        m.submodules.wiring = places = memory.Memory(self.table_wiring)
        place = places.read_port()
        m.d.comb += place.addr.eq(self.table)
        for i in range(self.inputs):
            m.submodules[f"input{i}"] = copy = memory.Memory(
                shape=8, depth=2 << self.byte_bits, init=[], attrs={"no_rw_check": 1}
            )
            write, read = copy.write_port(), copy.read_port()
            wire = place.data[i * self.wire_bits : (i + 1) * self.wire_bits]
            chosen = Signal(3, name=f"chosen{i}", reset_less=True)
            m.d.comb += [
                write.addr.eq(Cat(octet[: self.byte_bits], filling)),
                write.data.eq(offered),
                write.en.eq(accept & ~at_end),
                read.addr.eq(Cat(wire[3:], looked_at)),
            ]
            m.d.sync += [chosen.eq(wire[:3]), self.index[i].eq(read.data.bit_select(chosen, 1))]
        return m
