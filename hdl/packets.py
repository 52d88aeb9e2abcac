"""A predictor or trainer between two streams of words: examples in, predictions out, by valid and ready.

:mod:`rdahw.hdl.bus` gives :class:`PacketModel` the ports of a bus.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal  # type: ignore[import-untyped]
from amaranth.lib import stream, wiring  # type: ignore[import-untyped]
from amaranth.lib.data import StructLayout  # type: ignore[import-untyped]
from amaranth.lib.fifo import SyncFIFO  # type: ignore[import-untyped]
from amaranth.lib.wiring import In, Out  # type: ignore[import-untyped]

from rdahw.errors import UsageError
from rdahw.hdl.trainer import Trainer, TrainerControl
from rdahw.wording import plural

__all__ = ["HEAD_BITS", "WIDTHS", "PacketModel", "SkidBuffer"]

#: The widths of data that buses have, in bits.
WIDTHS = (8, 16, 32, 64, 128, 256, 512, 1024)
#: That of a bus for which none is given.
USUAL_WIDTH = 32

#: The bits before the label of a trainer's example: learn, and last of a batch.
HEAD_BITS = 2

#: The most examples in a model that does not state its delay: two in its buffer, one that is decided, one result.
_IN_MEMORY = 4

#: What a prediction is in each code of labels.
_CODES = {
    "binary": "the number that is predicted, such as that of a class, from 0",
    "one-hot": "a bit for each class; any other than a single 1 is no class",
}


class SkidBuffer(wiring.Component):  # type: ignore[misc]
    """Passes on a stream of ``shape`` in the same cycle; ``ready`` of its input is a register, so that no path leads
    from one side's ready to the other's. It holds the transfer that arrives in the cycle in which its output stalls."""

    def __init__(self, shape: Any) -> None:
        super().__init__({"input": In(stream.Signature(shape)), "output": Out(stream.Signature(shape))})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        full, kept = Signal(), Signal(self.input.payload.shape(), reset_less=True)
        m.d.comb += [
            self.input.ready.eq(~full),
            self.output.valid.eq(self.input.valid | full),
            self.output.payload.eq(Mux(full, kept, self.input.payload)),
        ]
        with m.If(self.output.ready):
            m.d.sync += full.eq(0)
        with m.Elif(self.input.valid & ~full):
            m.d.sync += [full.eq(1), kept.eq(self.input.payload)]
        return m


class PacketModel(wiring.Component):  # type: ignore[misc]
    """``model``, a trainer with access or a fixed model, between words of ``width`` bits (one of :data:`WIDTHS`; None:
    the usual one) and predictions, all outputs of the streams from registers.

    Members:

    words : In(stream of ``data`` and ``last``): an example is ``beats`` words. For a trainer the first ``heads`` of
        them are the head: bit 0: learn from the example; bit 1: it is the last of a batch (without meaning for a
        trainer without batches); from bit 2 on the wires of the label. The others are the bits of x. Bit i of either is
        bit i mod ``width`` of its word i div ``width``; the bits after it have no meaning. A word with ``last`` ends a
        packet of any number of examples.
    predictions : Out(stream of ``data``, ``last`` and ``error``): one for each example, in order: the wires of the
        prediction, for a trainer followed by a bit that it is the label, padded with zeros to a width of
        :data:`WIDTHS`; ``last`` for the last one of a packet. If ``last`` came before the last word of an example, the
        missing words count as 0, nothing is learned from it, and its prediction has ``error``.
    drop : In(1), dropping : Out(1): the example that has begun ends as if by ``last``, and its prediction and all that
        wait are dropped; until then ``dropping`` is high, and words are dropped as well. Of the examples before it all
        are learned.
    hold : In(1): no example begins.
    control : In(:class:`rdahw.hdl.trainer.TrainerControl`), of a trainer only.

    Both streams may wait in any cycle. ``delay``: the clock cycles from an example's last word to its prediction, if
    neither waits; None: they differ. ``cycles``: the most from one example to the next then.

    Raises :class:`UsageError` if the model takes words of another width, or has predictions that are too wide.
    """

    def __init__(self, model: Trainer, width: int | None = None) -> None:
        self.interface = its = model.interface
        if its.word_bits and width not in (None, its.word_bits):
            raise UsageError(
                f"the model takes {its.word_bits} bits of an example at a time, and the bus has {width}; give "
                f"--bus-bits {its.word_bits}, or leave it out"
            )
        self.width = width or its.word_bits or USUAL_WIDTH
        #: The bits of a prediction with what follows it.
        self.result_bits = its.output_bits + its.learns
        if self.result_bits > WIDTHS[-1]:
            raise UsageError(
                f"a prediction has {self.result_bits:,} bits, and a bus at most {WIDTHS[-1]:,}; export without --bus"
            )
        self.result_width = next(wide for wide in WIDTHS if wide >= self.result_bits)
        self.heads = -(-(HEAD_BITS + its.output_bits) // self.width) if its.learns else 0
        self.beats = self.heads + -(-its.input_bits // self.width)
        self.delay = None if model.delay is None else model.delay + 1
        # A trainer that takes words has one example at a time, as its label must stay until its prediction.
        self._alone = bool(its.learns and its.word_bits)
        # A model that takes words takes the label after them.
        parts = (self.beats + bool(its.word_bits), model.cycles(updated=its.learns))
        self.cycles = sum(parts) + 2 if self._alone else max(parts)
        self._core = model.linked()
        # One more than the examples on their way, so that one can enter while another leaves.
        self._most = (model.delay or _IN_MEMORY) + 1
        words = StructLayout({"data": self.width, "last": 1})
        predictions = StructLayout({"data": self.result_width, "last": 1, "error": 1})
        super().__init__(
            {
                "words": In(stream.Signature(words)),
                "predictions": Out(stream.Signature(predictions)),
                "drop": In(1),
                "dropping": Out(1),
                "hold": In(1),
            }
            | ({"control": In(TrainerControl(its.parameter_bits))} if its.learns else {})
        )

    @property
    def notes(self) -> Sequence[str]:
        """What a user of the streams has to know, in lines for the comments of a file."""
        its, inputs = self.interface, self.beats - self.heads
        where = f"bit i mod {self.width} of word i div {self.width}" if inputs > 1 else "bit i of the word"
        head: Sequence[str] = ()
        if its.learns:
            where += " after the head" if inputs > 1 else ""
            label = f"from bit {HEAD_BITS} on: the label, {plural(its.output_bits, 'bit')}"
            head = (
                f"The head, the first {plural(self.heads, 'word')} of an example: bit 0: learn from it; bit 1: it ends",
                f"a batch, for trainers with batches; {label} in the code",
                "of the prediction.",
            )
        answer = ("The next bit of it: the prediction is the label.",) if its.learns else ()
        timing = (
            f"An example takes at most {plural(self.cycles, 'clock cycle')} if no side waits.",
            f"The prediction is valid {plural(self.delay or 0, 'clock cycle')} after the last word of x was taken.",
        )
        return (
            *head,
            f"An example x is {plural(inputs, 'word')} of {self.width} bits; bit i of x, which has",
            f"{plural(its.input_bits, 'bit')}, is {where}. Its prediction is one word, in the low",
            f"{plural(its.output_bits, 'bit')}: {_CODES[its.code]}.",
            *answer,
            *timing[: 1 if self.delay is None else 2],
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.core = core = self._core
        m.submodules.skid = skid = SkidBuffer(self.words.payload.shape())
        # What is known of each example on its way through the model: last and error.
        m.submodules.tags = tags = SyncFIFO(width=2, depth=self._most)
        wiring.connect(m, wiring.flipped(self.words), skid.input)
        if self.interface.learns:
            wiring.connect(m, wiring.flipped(self.control), core.control)

        # No signal has 0 bits, as Verilog has no such wires.
        number, padding, moves = Signal(range(max(2, self.beats))), Signal(), Signal()
        word, at_end, first = skid.output, Signal(), Signal()
        early = word.payload.last & ~at_end
        data = Mux(padding, 0, word.payload.data)
        begins = ~first | ~(self.hold | (tags.r_rdy & self._alone))
        enters = ((word.valid & ~self.dropping) | padding) & begins & (tags.w_rdy | ~at_end)
        m.d.comb += [
            first.eq(number == 0),
            at_end.eq(number == self.beats - 1),
            word.ready.eq((moves & ~padding) | self.dropping),
            tags.w_data.eq(Cat(padding | word.payload.last, padding)),
            tags.w_en.eq(moves & at_end),
        ]
        ends = self.dropping & ~first
        with m.If(ends):
            m.d.sync += padding.eq(1)
        with m.If(moves):
            m.d.sync += [number.eq(Mux(at_end, 0, number + 1)), padding.eq((padding | early | ends) & ~at_end)]
        example = core.examples.payload
        head = Signal(max(1, self.heads) * self.width, reset_less=True)
        if self.interface.word_bits:
            in_head = Signal()
            m.d.comb += [
                in_head.eq(number < self.heads),
                example.x.eq(data),
                core.examples.valid.eq(enters & ~in_head),
                moves.eq(enters & (in_head | core.examples.ready)),
            ]
            with m.If(moves & in_head):
                m.d.sync += head.eq(Cat(head, data)[self.width :])
            with m.If((moves & early) | ends):
                m.d.sync += head[0].eq(0)
        else:
            whole = data
            if self.beats > 1:
                before = Signal(self.width * (self.beats - 1), reset_less=True)  # the words before the last one
                whole = Cat(before, data)
                with m.If(moves):
                    m.d.sync += before.eq(whole[self.width :])
            m.d.comb += [
                head.eq(Cat(whole[0] & ~padding, whole[1:])),
                example.x.eq(whole[self.heads * self.width :]),
                core.examples.valid.eq(enters & at_end),
                moves.eq(enters & (core.examples.ready | ~at_end)),
            ]
        if self.interface.learns:
            m.d.comb += [example.learn.eq(head[0]), example.last.eq(head[1]), example.y.eq(head[HEAD_BITS:])]

        results, predictions = core.results, self.predictions
        free = ~predictions.valid | predictions.ready | self.dropping
        m.d.comb += [results.ready.eq(free), tags.r_en.eq(free & results.valid)]
        with m.If(free):
            correct = [results.payload.correct] if self.interface.learns else []
            m.d.sync += [
                predictions.valid.eq(results.valid),
                predictions.payload.data.eq(Cat(results.payload.prediction, *correct)),
                Cat(predictions.payload.last, predictions.payload.error).eq(tags.r_data),
            ]
        with m.If(first & ~padding & ~tags.r_rdy & ~predictions.valid):
            m.d.sync += self.dropping.eq(0)
        with m.If(self.drop):
            m.d.sync += self.dropping.eq(1)
        return m
