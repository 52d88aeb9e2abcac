"""A trainer that takes bytes, with the streams of the host link: a word of x is a byte, and the class comes with it."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Module, Signal  # type: ignore[import-untyped]
from amaranth.lib import stream, wiring  # type: ignore[import-untyped]
from amaranth.lib.data import StructLayout  # type: ignore[import-untyped]
from amaranth.lib.wiring import In, Out  # type: ignore[import-untyped]

from rdahw.hdl.interface import Interface
from rdahw.hdl.table_words import LABEL_BITS
from rdahw.hdl.trainer import TrainerControl, result_layout

__all__ = ["ExampleOctets", "LinkedOctets", "link_members"]


#: The host link's examples: a byte of x with the label.
_EXAMPLES = stream.Signature(StructLayout({"x": 8, "y": LABEL_BITS, "last": 1, "learn": 1}))


def link_members(parameter_bits: int) -> dict[str, Any]:
    """The members for the host link."""
    return {
        "examples": In(_EXAMPLES),
        "results": Out(stream.Signature(result_layout(LABEL_BITS))),
        "control": In(TrainerControl(parameter_bits)),
    }


class ExampleOctets(wiring.Component):  # type: ignore[misc]
    """From the host link's examples to bytes for a :class:`rdahw.hdl.memory_trainer.MemoryTrainer`.

    words: ``count`` bytes of x for each example, with its ``y``, ``learn`` and ``last``, which must not change from the
        last one of them until the example's result. octets: the same bytes, followed by one with y and learn; with
        ``batches`` the highest bit of y is ``last``.
    """

    def __init__(self, count: int, *, batches: bool = False) -> None:
        self.count, self._batches = count, batches
        super().__init__({"words": In(_EXAMPLES), "octets": Out(stream.Signature(8))})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        words, octets, number = self.words, self.octets, Signal(range(self.count))
        at_label = Signal()
        m.d.comb += [
            octets.valid.eq(words.valid | at_label),
            octets.payload.eq(words.payload.x),
            words.ready.eq(octets.ready & ~at_label),
        ]
        with m.If(at_label):
            label = words.payload.y
            if self._batches:
                label = Cat(label[:-1], words.payload.last)
            m.d.comb += octets.payload.eq(Cat(label, words.payload.learn))
        with m.If(octets.valid & octets.ready):
            m.d.sync += at_label.eq(0)
            with m.If(~at_label):
                m.d.sync += [number.eq(number + 1), at_label.eq(number == self.count - 1)]
                with m.If(number == self.count - 1):
                    m.d.sync += number.eq(0)
        return m


class LinkedOctets(wiring.Component):  # type: ignore[misc]
    """A :class:`rdahw.hdl.memory_trainer.MemoryTrainer`, or a :class:`rdahw.hdl.memory_inference.MemoryInference`, with
    the members of other trainers, for :class:`rdahw.hdl.link.HostLink`.
    """

    def __init__(self, trainer: Any) -> None:
        self.trainer = trainer
        self.interface: Interface = trainer.interface
        super().__init__(link_members(self.interface.parameter_bits))

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.trainer = trainer = self.trainer
        its = self.interface
        m.submodules.octets = octets = ExampleOctets(its.layout.words, batches=its.batches)
        wiring.connect(m, wiring.flipped(self.examples), octets.words)
        wiring.connect(m, octets.octets, trainer.examples)
        wiring.connect(m, wiring.flipped(self.control), trainer.control)
        result = trainer.results
        prediction = Cat(result.payload.prediction, Const(0, LABEL_BITS))[:LABEL_BITS]
        m.d.comb += [
            self.results.valid.eq(result.valid),
            result.ready.eq(self.results.ready),
            self.results.payload.prediction.eq(prediction),
            self.results.payload.correct.eq(result.payload.correct),
        ]
        return m
