"""The example buffer of a memory trainer: two examples, and the index that each table reads from one of them."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
from amaranth.hdl import Cat, Module, Mux, Signal  # type: ignore[import-untyped]
from amaranth.lib import memory, stream, wiring  # type: ignore[import-untyped]
from amaranth.lib.wiring import In, Out  # type: ignore[import-untyped]
from numpy.typing import NDArray

from rdahw.errors import UserError
from rdahw.family import Spec
from rdahw.hdl.block_memory import block_memory
from rdahw.hdl.table_words import LABEL_BITS

__all__ = ["ExampleBuffer", "Sides", "WiredExamples", "check_classes", "wiring_words"]


def check_classes(spec: Spec, what: str = "an ensemble", label_bits: int = LABEL_BITS) -> None:
    """Raise :class:`UserError` for more classes than fit ``label_bits`` bits of the label's byte."""
    if spec.classes > 1 << label_bits:
        raise UserError(
            f"{what} of {spec.classes} classes was given; the gateware takes at most {1 << label_bits}, as the label "
            "of an example is a byte"
        )


class Sides:
    """The logic, in module ``m`` of a ``buffer`` of two examples, that fills them in turn and looks at them in turn.

    ends: a signal of ``m``: an example is complete, whose label byte is ``offered`` then, with the class in its lowest
    ``label_bits``. The buffer's ``waiting``,
    ``label``, ``learn`` and ``release`` are connected.

    filling: the number of the side that is filled, a register that the buffer changes with ``ends``. looked_at: that of
    the one that is read. is_full: the side to fill still has an example. registers: those that proofs name.
    """

    def __init__(self, m: Module, buffer: Any, ends: Any, offered: Any, label_bits: int = LABEL_BITS) -> None:
        filled, learn = Signal(2), Signal(2)
        filling, looked_at = Signal(), Signal()
        self.filling, self.looked_at = filling, looked_at
        labels = [Signal(len(buffer.label), name=f"label{side}") for side in range(2)]
        self.registers = {"filled": filled, "learns": learn, "filling": filling, "looked_at": looked_at}
        self.registers |= {"label0": labels[0], "label1": labels[1]}
        self.is_full = Mux(filling, filled[1], filled[0])
        # Sides are filled in turn, so after a last byte an example waits. After ``release`` this is a cycle late.
        m.d.sync += buffer.waiting.eq(Mux(looked_at, filled[1], filled[0]) | ends)
        with m.If(buffer.release):
            m.d.sync += looked_at.eq(~looked_at)
        for side, label in enumerate(labels):
            with m.If(ends & (filling == side)):
                m.d.sync += [
                    filled[side].eq(1),
                    label.eq(offered),
                    learn[side].eq(offered[LABEL_BITS] & (offered[:label_bits] < buffer.classes)),
                ]
            with m.If(buffer.release & (looked_at == side)):
                m.d.sync += filled[side].eq(0)
        m.d.comb += [
            buffer.label.eq(Mux(looked_at, labels[1], labels[0])),
            buffer.learn.eq(Mux(looked_at, learn[1], learn[0])),
        ]


class _Examples(wiring.Component):  # type: ignore[misc]
    """Room for two examples of ``octets`` bytes, so that one is received while the other is processed.

    inputs: so many of its bits are read in a cycle, each from its own copy of the examples. classes: an example with a
    label from this number on is not learned from. last: it says whether it is the last of a batch.

    examples: bytes: ``octets`` of the input, wire 0 in bit 0 of the first, then one with the class in bits 0 to 6 and
        ``learn`` in bit 7; with ``last`` the class in bits 0 to 5, and ``last`` in bit 6.
    waiting: there is an example; undefined in the two cycles after ``release``. label, learn, last: those of the
        example.
    release: frees its place.

    ``elaborate`` sets the attribute ``proof_registers``, the registers that proofs refer to, by name.
    """

    def __init__(self, octets: int, inputs: int, classes: int, members: dict[str, Any], *, last: bool = False) -> None:
        self.octets, self.inputs, self.classes = octets, inputs, classes
        self._label_bits = LABEL_BITS - last
        #: The bits of the number of a byte, and of a wire.
        self.byte_bits = max(1, (self.octets - 1).bit_length())
        self.wire_bits = self.byte_bits + 3
        super().__init__(
            {
                "examples": In(stream.Signature(8)),
                "waiting": Out(1),
                "label": Out(range(classes)),
                "learn": Out(1),
                "release": In(1),
                "index": Out(inputs),
            }
            | ({"last": Out(1)} if last else {})
            | members
        )

    @abstractmethod
    def _wires(self, m: Module) -> Any:
        """The wires that are read in this cycle, ``wire_bits`` for each input; ``index`` has them two cycles later."""

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        offered = self.examples.payload

        accept, octet, at_end = Signal(), Signal(range(self.octets + 1)), Signal()
        sides = Sides(m, self, accept & at_end, offered, self._label_bits)
        m.d.comb += accept.eq(self.examples.valid & self.examples.ready)
        self.proof_registers = sides.registers | {"octet": octet, "at_end": at_end}
        filling, looked_at = sides.filling, sides.looked_at
        # Whether a side is free is known a cycle late, so no byte is taken in the cycle after the last one.
        m.d.sync += self.examples.ready.eq(~sides.is_full & ~(accept & at_end))
        with m.If(accept):
            m.d.sync += [octet.eq(octet + 1), at_end.eq(octet == self.octets - 1)]
            with m.If(at_end):
                m.d.sync += [octet.eq(0), filling.eq(~filling)]

        if self._label_bits < LABEL_BITS:
            last = Signal(2)
            m.d.comb += self.last.eq(Mux(looked_at, last[1], last[0]))
            with m.If(accept & at_end):
                m.d.sync += last.bit_select(filling, 1).eq(offered[self._label_bits])

        wires = self._wires(m)
        for i in range(self.inputs):
            wire = wires[i * self.wire_bits : (i + 1) * self.wire_bits]
            data = memory.MemoryData(shape=8, depth=2 << self.byte_bits, init=[])
            there, write = block_memory(m, f"input{i}", data, Cat(wire[3:], looked_at))
            chosen = Signal(3, name=f"chosen{i}", reset_less=True)
            m.d.comb += [
                write.addr.eq(Cat(octet[: self.byte_bits], filling)),
                write.data.eq(offered),
                write.en.eq(accept & ~at_end),
            ]
            m.d.sync += [chosen.eq(wire[:3]), self.index[i].eq(there.bit_select(chosen, 1))]
        return m


class ExampleBuffer(_Examples):
    """Examples of ``input_bits`` bits, read by tables.

    table_wiring: (tables, inputs), the input bits that each table reads; see
        :func:`rdahw.families.ensemble.spec.make_wiring`.
    classes, examples, waiting, label, learn, release: as for every example store; ``release`` is at the earliest
        :data:`LATENCY` cycles after the last ``table`` of an example.
    table: number of a table. index: the index that this table reads, :data:`LATENCY` cycles later.
    """

    #: From ``table`` to ``index``: the table's wiring is read, then the bytes, then the bits are chosen.
    LATENCY = 3

    def __init__(self, input_bits: int, table_wiring: NDArray[np.int64], classes: int) -> None:
        self.tables, inputs = table_wiring.shape
        super().__init__(-(-input_bits // 8), inputs, classes, {"table": In(range(self.tables))})
        self.table_wiring = memory.MemoryData(
            shape=self.wire_bits * inputs, depth=self.tables, init=wiring_words(table_wiring, self.wire_bits)
        )

    def _wires(self, m: Module) -> Any:
        m.submodules.wiring = places = memory.Memory(self.table_wiring)
        place = places.read_port()
        m.d.comb += place.addr.eq(self.table)
        return place.data


class WiredExamples(_Examples):
    """Examples of ``input_bits`` bits, of which the bits ``wires`` are in ``index`` two cycles later."""

    def __init__(self, input_bits: int, inputs: int, classes: int, *, last: bool = False) -> None:
        octets = -(-input_bits // 8)
        wire_bits = max(1, (octets - 1).bit_length()) + 3
        super().__init__(octets, inputs, classes, {"wires": In(wire_bits * inputs)}, last=last)

    def _wires(self, m: Module) -> Any:
        return self.wires


def wiring_words(table_wiring: NDArray[np.int64], wire_bits: int) -> list[int]:
    """A word for each table, with its wires (tables, inputs) of ``wire_bits`` bits each, that of input 0 the lowest."""
    return [sum(int(wire) << i * wire_bits for i, wire in enumerate(row)) for row in table_wiring]
