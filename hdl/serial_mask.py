"""A trainer for the mask model that takes the input in words, with the parameters in block memory.

As a circuit the model does not fit a small FPGA: 784 inputs are 784 flip-flops and two population counts of 784 bits.
Here a word of the input and the same word of theta meet in each cycle.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Const, Module, Mux, Signal  # type: ignore[import-untyped]
from amaranth.lib import memory, stream, wiring  # type: ignore[import-untyped]
from amaranth.lib.wiring import In, Out  # type: ignore[import-untyped]

from rdahw.errors import UsageError
from rdahw.hdl.circuit import ROWS
from rdahw.hdl.trainer import TrainerControl, count, example_layout, result_layout
from rdahw.learner import Learner
from rdahw.families.mask import mask_model
from rdahw.model import Model

__all__ = ["SerialMaskTrainer"]

#: Amaranth's values have no types that a type checker could read.
Value = Any


class SerialMaskTrainer(wiring.Component):  # type: ignore[misc]
    """The learner of :func:`rdahw.mask_model` of ``inputs`` and ``k``, with the paper's error and optimiser.

    ``word``: how many bits of the input come in a cycle: a power of two, at least 8.
    ``access``: with ``control``, and with a ``learn`` bit in the examples.

    Members: those of :class:`rdahw.hdl.trainer.RegisterTrainer`, but an example comes as ``words`` payloads: ``x`` is
    one word of the input, the lowest first, the last one filled with zeros. ``y`` and ``learn`` are read with the last;
    ``last`` is not looked at, as each example is a batch of its own. An example takes ``words`` + 4 cycles, and
    ``words`` more if theta moves. Its result comes after that, so by then theta holds what was learned. While an
    example is offered or worked on, and while the memory is cleared, ``control.ready`` is 0. The attribute ``theta`` is
    the memory's contents, for simulators.

    How it learns: with margin = popcount(theta) - k * popcount(theta & x) the model says 1 where margin >= 0. To change
    its answer, the Boolean difference flips each bit of theta that alone would carry the margin to the other side of 0.
    A flip moves the margin by 1 where x is 0, and by k - 1 the other way where x is 1. So where the other side is near
    enough, theta becomes x if the model said 1, and the inverse of x if it said 0.

    Raises :class:`UsageError` for another width of word.
    """

    #: Each example is a batch of its own.
    batch = False

    def __init__(self, inputs: int, k: int = 4, *, word: int = 16, access: bool = False) -> None:
        if word < 8 or word & (word - 1):
            raise UsageError(f"words of {word} bits were asked for; expected a power of two, at least 8")
        self.learner = Learner(Model(f"mask:k={k}", mask_model(inputs, k)))
        self.inputs = inputs
        self.k = k
        self.word = word
        self.words = -(-inputs // word)
        members = {
            "examples": In(stream.Signature(example_layout(word, 1, learn=access))),
            "results": Out(stream.Signature(result_layout(1))),
        }
        if access:
            members["control"] = In(TrainerControl(inputs))
        super().__init__(members)
        self.theta = memory.MemoryData(shape=word, depth=self.words, init=[])
        self._access = access

    def elaborate(self, platform: object) -> Module:
        """The logic, as Amaranth asks for it."""
        m = Module()
        example, result = self.examples.payload, self.results.payload
        m.submodules.theta = theta = memory.Memory(self.theta)
        m.submodules.x = inputs = memory.Memory(shape=self.word, depth=self.words, init=[])
        # The words read are those whose number was ``index_next`` a cycle ago, which is ``index``.
        theta_read, theta_write = theta.read_port(), theta.write_port(granularity=8)
        x_read, x_write = inputs.read_port(), inputs.write_port()
        index = Signal(range(self.words))
        index_next = Signal(range(self.words))
        at_end = index == self.words - 1
        m.d.sync += index.eq(index_next)
        m.d.comb += [
            index_next.eq(index),
            theta_read.addr.eq(index_next),
            theta_write.addr.eq(index),
            x_read.addr.eq(index_next),
            x_write.addr.eq(index),
            x_write.data.eq(example.x),
        ]

        # Pass 1. The counts of a word go through registers, and into the margin a cycle later.
        accept = self.examples.valid & self.examples.ready
        popcount = ROWS["popcount"]
        selected = Signal(range(self.word + 1))
        common = Signal(range(self.word + 1))
        counted = Signal()
        margin = Signal(range(-self.k * self.inputs, self.inputs + 1))
        label = Signal()
        learn = Signal(name="learn") if self._access else Const(1)
        m.d.sync += [
            selected.eq(popcount(theta_read.data)),
            common.eq(popcount(theta_read.data & example.x)),
            counted.eq(accept),
        ]
        with m.If(accept):
            m.d.sync += label.eq(example.y)
            if self._access:
                m.d.sync += learn.eq(example.learn)
        with m.If(counted):
            m.d.sync += margin.eq(margin + selected - common * self.k)

        # Pass 2.
        said = Signal()  # the model's answer
        distance = Signal(len(margin))  # how far beyond the last margin with the same answer
        near = Signal()  # theta moves where x is 0
        far = Signal()  # theta moves where x is 1
        m.d.comb += [said.eq(margin >= 0), distance.eq(Mux(said, margin, ~margin))]
        x = x_read.data
        goal = Mux(result.prediction.replicate(self.word), x, ~x)
        moves = (x & far.replicate(self.word)) | (~x & near.replicate(self.word))
        if filling := self.words * self.word - self.inputs:
            moves &= Mux(at_end, Const((1 << self.word - filling) - 1, self.word), ~Const(0, self.word))
        m.d.comb += theta_write.data.eq((goal & moves) | (theta_read.data & ~moves))

        if self._access:
            control = self.control
            parts = (self.word // 8).bit_length() - 1
            byte_address, word_address = control.parameter_address[:parts], control.parameter_address[parts:]
            m.d.comb += control.parameter_read.eq(theta_read.data.word_select(byte_address, 8))
            written = control.parameter_write
            if last_bits := self.inputs % 8:  # those behind theta are lost
                in_last = control.parameter_address == self.inputs // 8
                written = written & Mux(in_last, (1 << last_bits) - 1, 0xFF)

        wrong = Signal()
        decided = Signal()
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += index_next.eq(0)
                m.d.sync += margin.eq(0)
                with m.If(self.examples.valid):
                    m.next = "COUNT"
                if self._access:
                    m.d.comb += control.ready.eq(~self.examples.valid)
                    with m.If(~self.examples.valid):
                        m.d.comb += index_next.eq(word_address)
                    with m.If(control.parameter_write_enable):
                        m.d.comb += [
                            control.ready.eq(1),
                            theta_write.addr.eq(word_address),
                            theta_write.data.eq(written.replicate(self.word // 8)),
                            theta_write.en.eq(Const(1) << byte_address),
                        ]
                        m.next = "IDLE"
                    with m.If(control.clear):
                        m.d.comb += [control.ready.eq(1), theta_write.en.eq(0), index_next.eq(0)]
                        m.next = "CLEAR"

            with m.State("COUNT"):
                m.d.comb += [self.examples.ready.eq(1), x_write.en.eq(accept)]
                with m.If(accept):
                    m.d.comb += index_next.eq(index + 1)
                    with m.If(at_end):
                        m.d.comb += index_next.eq(0)
                        m.next = "SUM"

            with m.State("SUM"):
                m.next = "DECIDE"

            with m.State("DECIDE"):
                m.d.comb += [wrong.eq(said != label), decided.eq(learn)]
                m.d.sync += [
                    result.prediction.eq(said),
                    result.correct.eq(~wrong),
                    near.eq(distance == 0),
                    far.eq(distance < self.k - 1),
                ]
                m.next = "RESULT"
                with m.If(wrong & learn):
                    m.next = "MOVE"

            with m.State("MOVE"):
                m.d.comb += [theta_write.en.eq(~0), index_next.eq(index + 1)]
                with m.If(at_end):
                    m.next = "RESULT"

            with m.State("RESULT"):
                m.d.comb += self.results.valid.eq(1)
                with m.If(self.results.ready):
                    m.next = "IDLE"

            if self._access:
                with m.State("CLEAR"):
                    m.d.comb += [theta_write.en.eq(~0), theta_write.data.eq(0), index_next.eq(index + 1)]
                    with m.If(at_end):
                        m.next = "IDLE"
        if self._access:
            count(m, control, decided, wrong)
        return m
