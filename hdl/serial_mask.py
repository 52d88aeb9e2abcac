"""A trainer for the mask model that takes the input in words, with the parameters in block memory.

As a circuit the model does not fit a small FPGA: 784 inputs need 784 flip-flops and two population counts of 784 bits.
Here one word of the input and of theta is processed in each cycle.
"""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Const, Module, Mux, Signal  # type: ignore[import-untyped]
from amaranth.lib import memory, stream  # type: ignore[import-untyped]
from amaranth.lib.wiring import In, Out  # type: ignore[import-untyped]

from rdahw.errors import UsageError
from rdahw.families.circuits import CircuitSpec
from rdahw.families.mask import mask_model
from rdahw.family import Spec
from rdahw.hdl.circuit import ROWS, Value
from rdahw.hdl.interface import Place
from rdahw.hdl.trainer import Trainer, TrainerControl, count, example_layout, result_layout
from rdahw.learner import Learner
from rdahw.model import Model

__all__ = ["SerialMaskTrainer"]


class SerialMaskTrainer(Trainer):
    """The learner of :func:`rdahw.mask_model` of ``inputs`` and ``k``, with the paper's loss and optimiser.

    ``word``: the bits of the input that are taken in a cycle: a power of two, at least 8.
    ``access``: with ``control``, and with a ``learn`` bit in the examples.
    ``spec``: the model, if it is more than that learner.

    Members: those of :class:`rdahw.hdl.trainer.RegisterTrainer`, but an example is ``words`` payloads: ``x`` is one
    word of the input, the lowest first, the last one padded with zeros. ``y`` and ``learn`` are read with the last one;
    ``last`` is ignored, as each example is a batch. An example takes ``words`` + 4 cycles, and ``words`` more if theta
    changes; its result is valid after that, when theta is updated. While an example is offered or processed, and while
    the memory is cleared, ``control.ready`` is 0. The attribute ``theta`` is the memory's contents, for simulators.

    With margin = popcount(theta) - k * popcount(theta & x) the model predicts 1 if margin >= 0. To change the
    prediction, the Boolean difference flips each bit of theta that alone would change the sign of the margin. A flip
    changes the margin by 1 where x is 0, and by k - 1 the other way where x is 1. Where that is enough, theta becomes x
    if the prediction was 1, and the inverse of x if it was 0.

    Raises :class:`UsageError` for another width of word.
    """

    def __init__(
        self, inputs: int, k: int = 4, *, word: int = 16, access: bool = False, spec: Spec | None = None
    ) -> None:
        if word < 8 or word & (word - 1):
            raise UsageError(f"invalid word width {word}; expected a power of two, at least 8")
        self.learner = Learner(Model(f"mask:k={k}", mask_model(inputs, k)))
        self.spec = spec or CircuitSpec.of(self.learner)
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

    @property
    def stream_notes(self) -> Sequence[str]:  # type: ignore[override]
        return (
            f"An example is {self.words} beats of examples: x is {self.word} bits of the input, the lowest first, the "
            "last ones padded with zeros;",
            "y and learn are read with the last beat, and last is ignored.",
        )

    @property
    def registers(self) -> tuple[Place, ...]:
        """The parameters in ``theta``."""
        return (Place.packed(self.spec.parameters, self.theta),)

    def cycles(self, updated: bool = True) -> int:
        """See :meth:`rdahw.hdl.trainer.Trainer.cycles`."""
        return (2 if updated else 1) * self.words + 4

    def elaborate(self, platform: object) -> Module:
        m = Module()
        w = _Words(m, self)
        accept = self.examples.valid & self.examples.ready
        m.d.comb += [w.x_write.addr.eq(w.index), w.x_write.data.eq(self.examples.payload.x)]
        margin, label, learn = self._count(m, accept, w)
        near = Signal()  # theta moves where x is 0
        far = Signal()  # theta moves where x is 1
        m.d.comb += w.theta_write.data.eq(self._moved(w, near, far))

        if self._access:
            byte_address, _ = self._address()
            m.d.comb += self.control.parameter_read.eq(w.theta_read.data.word_select(byte_address, 8))

        said = Signal()  # the model's answer
        distance = Signal(len(margin))  # how far beyond the last margin with the same answer
        wrong = Signal()
        decided = Signal()
        m.d.comb += [said.eq(margin >= 0), distance.eq(Mux(said, margin, ~margin))]
        result = self.results.payload
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += w.index_next.eq(0)
                m.d.sync += margin.eq(0)
                with m.If(self.examples.valid):
                    m.next = "COUNT"
                if self._access:
                    self._idle_access(m, w)

            with m.State("COUNT"):
                m.d.comb += [self.examples.ready.eq(1), w.x_write.en.eq(accept)]
                with m.If(accept):
                    m.d.comb += w.index_next.eq(w.index + 1)
                    with m.If(w.at_end):
                        m.d.comb += w.index_next.eq(0)
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
                m.d.comb += [w.theta_write.en.eq(~0), w.index_next.eq(w.index + 1)]
                with m.If(w.at_end):
                    m.next = "RESULT"

            with m.State("RESULT"):
                m.d.comb += self.results.valid.eq(1)
                with m.If(self.results.ready):
                    m.next = "IDLE"

            if self._access:
                with m.State("CLEAR"):
                    m.d.comb += [w.theta_write.en.eq(~0), w.theta_write.data.eq(0), w.index_next.eq(w.index + 1)]
                    with m.If(w.at_end):
                        m.next = "IDLE"
        if self._access:
            count(m, self.control, decided, wrong)
        return m

    def _count(self, m: Module, accept: Value, w: _Words) -> tuple[Value, Value, Value]:
        """Pass 1: the margin, the label, and whether to learn. The counts of a word are registered, and added to the
        margin a cycle later."""
        example = self.examples.payload
        popcount = ROWS["popcount"]
        selected = Signal(range(self.word + 1))
        common = Signal(range(self.word + 1))
        counted = Signal()
        margin = Signal(range(-self.k * self.inputs, self.inputs + 1))
        label = Signal()
        learn = Signal(name="learn") if self._access else Const(1)
        m.d.sync += [
            selected.eq(popcount(w.theta_read.data)),
            common.eq(popcount(w.theta_read.data & example.x)),
            counted.eq(accept),
        ]
        with m.If(accept):
            m.d.sync += label.eq(example.y)
            if self._access:
                m.d.sync += learn.eq(example.learn)
        with m.If(counted):
            m.d.sync += margin.eq(margin + selected - common * self.k)
        return margin, label, learn

    def _moved(self, w: _Words, near: Value, far: Value) -> Value:
        """Pass 2: the new word of theta. It changes where x is 0 if ``near``, and where x is 1 if ``far``."""
        x, theta = w.x_read.data, w.theta_read.data
        goal = Mux(self.results.payload.prediction.replicate(self.word), x, ~x)
        moves = (x & far.replicate(self.word)) | (~x & near.replicate(self.word))
        if filling := self.words * self.word - self.inputs:
            moves &= Mux(w.at_end, Const((1 << self.word - filling) - 1, self.word), ~Const(0, self.word))
        return (goal & moves) | (theta & ~moves)

    def _address(self) -> tuple[Value, Value]:
        """The address of ``control`` as the number of the byte in its word, and of the word."""
        parts = (self.word // 8).bit_length() - 1
        return self.control.parameter_address[:parts], self.control.parameter_address[parts:]

    def _idle_access(self, m: Module, w: _Words) -> None:
        """The access by ``control`` between two examples."""
        control = self.control
        byte_address, word_address = self._address()
        written = control.parameter_write
        if last_bits := self.inputs % 8:  # those behind theta are lost
            in_last = control.parameter_address == self.inputs // 8
            written = written & Mux(in_last, (1 << last_bits) - 1, 0xFF)
        m.d.comb += control.ready.eq(~self.examples.valid)
        with m.If(~self.examples.valid):
            m.d.comb += w.index_next.eq(word_address)
        with m.If(control.parameter_write_enable):
            m.d.comb += [
                control.ready.eq(1),
                w.theta_write.addr.eq(word_address),
                w.theta_write.data.eq(written.replicate(self.word // 8)),
                w.theta_write.en.eq(Const(1) << byte_address),
            ]
            m.next = "IDLE"
        with m.If(control.clear):
            m.d.comb += [control.ready.eq(1), w.theta_write.en.eq(0), w.index_next.eq(0)]
            m.next = "CLEAR"


class _Words:
    """The memories of a trainer's theta and of the example, with a port to read and one to write each.

    The words read are number ``index``, which was ``index_next`` in the cycle before; ``at_end``: the last ones.
    ``index_next`` keeps ``index`` unless it is set.
    """

    def __init__(self, m: Module, trainer: SerialMaskTrainer) -> None:
        m.submodules.theta = theta = memory.Memory(trainer.theta)
        m.submodules.x = inputs = memory.Memory(shape=trainer.word, depth=trainer.words, init=[])
        self.theta_read, self.theta_write = theta.read_port(), theta.write_port(granularity=8)
        self.x_read, self.x_write = inputs.read_port(), inputs.write_port()
        self.index = Signal(range(trainer.words), name="index")
        self.index_next = Signal(range(trainer.words), name="index_next")
        self.at_end = self.index == trainer.words - 1
        m.d.sync += self.index.eq(self.index_next)
        m.d.comb += [
            self.index_next.eq(self.index),
            self.theta_read.addr.eq(self.index_next),
            self.theta_write.addr.eq(self.index),
            self.x_read.addr.eq(self.index_next),
        ]
