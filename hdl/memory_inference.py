"""A trained ensemble with its tables in block RAM: one word, with a counter of each class, per cycle."""

from __future__ import annotations

from typing import Any

import numpy as np
from amaranth.hdl import Cat, Const, Module, Mux, Signal  # type: ignore[import-untyped]
from amaranth.lib import memory, stream, wiring  # type: ignore[import-untyped]
from amaranth.lib.wiring import In, Out  # type: ignore[import-untyped]

from rdahw.families.ensemble.circuits import binarise
from rdahw.families.ensemble.rule import Counters
from rdahw.families.ensemble.spec import EnsembleSpec
from rdahw.hdl.circuit import Value
from rdahw.hdl.class_scores import ClassScores
from rdahw.hdl.forward_pass import ForwardPass, pass_cycles
from rdahw.hdl.frontend import PixelFrontend
from rdahw.hdl.memory_trainer import OctetTrainer, ensemble_result_layout
from rdahw.hdl.table_words import sign_bits, word_stride, words_of_counters
from rdahw.hdl.trainer import TrainerControl

__all__ = ["MemoryInference"]


class MemoryInference(OctetTrainer):
    """The ensemble ``spec`` with the ``counters`` (tables, 2^inputs, classes) in memory that is initialised by the
    bitstream and never written.

    It has the streams of a :class:`rdahw.hdl.memory_trainer.MemoryTrainer`, but does not learn (``learns``): every
    example is only predicted, writes and ``clear`` are ignored, and the counts stay 0. The parameters are the trainer's
    words, without settings. With ``sign`` the memory has only the sign of each counter; a negative one reads as -1, any
    other as 0, which gives the same predictions.

    Clock cycles of an example, if neither stream waits: ``cycles()``. The attribute ``tables``: the memory's contents.
    frontend: as of the trainer.

    Raises :class:`UserError` for more classes than fit the label's byte.
    """

    learns = False

    def __init__(self, spec: EnsembleSpec, counters: Counters, frontend: PixelFrontend | None = None) -> None:
        self.spec = spec
        self.buffer = self._make_buffer(frontend)
        counters = spec.parameters.check(counters)
        if spec.sign:
            octets = np.packbits(binarise(counters).reshape(-1, spec.classes), axis=1, bitorder="little")
        else:
            octets = words_of_counters(spec, counters, inverted=True)
        #: The bits of a counter in the memory.
        self._bits = bits = 1 if spec.sign else spec.counter
        words = [int.from_bytes(word.tobytes(), "little") for word in octets]
        self.tables = memory.MemoryData(shape=spec.classes * bits, depth=len(words), init=words)
        self._scores = ClassScores(spec.classes, bits, spec.tables)
        super().__init__(
            {
                "examples": In(stream.Signature(8)),
                "results": Out(stream.Signature(ensemble_result_layout(spec.classes))),
                "control": In(TrainerControl(8 * len(words) * word_stride(spec))),
            }
        )

    def cycles(self, updated: bool = False) -> int:
        """The clock cycles of an example."""
        own = pass_cycles(self.spec.tables, self._scores)
        return own if self.frontend is None else max(own, self.buffer.cycles)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        spec, control, result = self.spec, self.control, self.results.payload
        m.submodules.tables = tables = memory.Memory(self.tables)
        m.submodules.buffer = buffer = self.buffer
        m.submodules.scores = scores = self._scores
        wiring.connect(m, wiring.flipped(self.examples), buffer.examples)

        # The state: at most one of these is set; none during the rest of the forward pass.
        idle, naming, deciding = Signal(init=1), Signal(), Signal()
        target, decided = Signal(spec.classes), Signal()
        read = tables.read_port()
        first = ForwardPass(m, buffer, naming, read.addr, Const(0))
        m.d.comb += [
            scores.add.eq(first.kept[-1]),
            scores.counters.eq(read.data),
            scores.clear.eq(idle),
            scores.start.eq(first.last[-1]),
            scores.target.eq(target),
            buffer.release.eq(first.last[-1]),
            decided.eq(deciding & scores.done & ~self.results.valid),
        ]
        with m.If(idle):
            m.d.sync += [target.eq(Const(1, spec.classes) << buffer.label), *first.rewind()]
            with m.If(buffer.waiting):
                m.d.sync += [idle.eq(0), naming.eq(1)]
        with m.If(first.last[-1]):
            m.d.sync += deciding.eq(1)
        with m.If(self.results.ready):
            m.d.sync += self.results.valid.eq(0)
        with m.If(decided):
            m.d.sync += [
                deciding.eq(0),
                idle.eq(1),
                self.results.valid.eq(1),
                result.prediction.eq(scores.prediction),
                result.correct.eq(scores.correct),
            ]

        # The address of a byte: the number of its word, above its number in the word.
        octet_bits = word_stride(spec).bit_length() - 1
        octet = Signal(octet_bits)
        m.d.sync += octet.eq(control.parameter_address[:octet_bits])
        m.d.comb += [
            control.ready.eq(idle & ~buffer.waiting),
            read.addr.eq(Mux(idle, control.parameter_address[octet_bits:], first.address)),
            control.parameter_read.eq(self._counters(read.data).word_select(octet, 8)),
        ]
        return m

    def _counters(self, word: Value) -> Value:
        """A word of the memory as counters in two's complement."""
        if self.spec.sign:
            return Cat((~bit).replicate(self.spec.counter) for bit in word)
        return word ^ sign_bits(self.spec)
