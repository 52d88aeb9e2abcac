"""The learning loop in hardware: a trainer takes a stream of examples and learns from each as it passes.

What every trainer has in common is :class:`Trainer`: the streams ``examples`` and ``results`` and, where it is asked
for, ``control`` (:class:`TrainerControl`). Here is also the one for models whose parameters fit registers.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property, reduce
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal  # type: ignore[import-untyped]
from amaranth.lib import stream, wiring  # type: ignore[import-untyped]
from amaranth.lib.data import StructLayout  # type: ignore[import-untyped]
from amaranth.lib.wiring import In, Out  # type: ignore[import-untyped]

from rdahw.circuit import Circuit
from rdahw.errors import UsageError
from rdahw.families.circuits import CircuitSpec
from rdahw.family import Spec
from rdahw.hdl.beats import Encoder
from rdahw.hdl.circuit import ROWS, CircuitModule, Value
from rdahw.hdl.interface import Interface, Place, circuit_interface
from rdahw.learner import Learner
from rdahw.tangent_kernel import tangent_kernel
from rdahw.transform import output_to_input, to_rows
from rdahw.types import Bits

__all__ = ["RegisterTrainer", "Trainer", "TrainerControl", "count", "example_layout", "result_layout"]

#: The width of a trainer's counters. They wrap.
COUNTER_BITS = 32


class TrainerControl(wiring.Signature):  # type: ignore[misc]
    """Access to a trainer's parameters and counters, seen from the one who asks.

    parameter_address : Out: a byte of the parameters; byte k is bits 8k to 8k + 7 of theta. Bits above theta's width
        read as 0, and what is written to them is lost.
    parameter_read : In(8): the byte at the address, from one clock cycle after that was given for as long as it stays.
    parameter_write, parameter_write_enable : Out(8), Out(1): a byte to write at the address.
    clear : Out(1): parameters, accumulator and counters to zero; it wins over a write.
    ready : In(1): address, write and clear of this cycle take effect. It is always 1 in a :class:`RegisterTrainer`.
    example_count, error_count : In(32): examples learned from, and how many of those were predicted wrongly; both wrap.

    In a cycle with a write or a clear that takes effect no example is accepted. The access comes after all examples
    accepted before and ahead of all accepted later. A byte contains every example whose result was taken before the
    address was given; the counters follow within three cycles of a result.
    """

    def __init__(self, parameter_bits: int) -> None:
        self.parameter_bits = parameter_bits
        self.parameter_bytes = -(-parameter_bits // 8)
        super().__init__(
            {
                # Never without a bit: Verilog has no ports of no width.
                "parameter_address": Out(range(max(2, self.parameter_bytes))),
                "parameter_read": In(8),
                "parameter_write": Out(8),
                "parameter_write_enable": Out(1),
                "clear": Out(1),
                "ready": In(1),
                "example_count": In(COUNTER_BITS),
                "error_count": In(COUNTER_BITS),
            }
        )


def example_layout(input_bits: int, output_bits: int, *, learn: bool) -> Any:
    """The payload of a stream of examples: the input ``x``, the label ``y``, and ``last``: its batch ends with it.

    With ``learn``, examples have a bit of that name; where it is 0 the trainer only predicts, and no parameter,
    accumulator or counter changes.
    """
    fields = {"x": input_bits, "y": output_bits, "last": 1}
    return StructLayout(fields | {"learn": 1} if learn else fields)


def result_layout(output_bits: int) -> Any:
    """The payload of a stream of results: the prediction, made before learning, and whether it is right."""
    return StructLayout({"prediction": output_bits, "correct": 1})


class Trainer(wiring.Component):  # type: ignore[misc]
    """A trainer, or a fixed model (``learns`` is False), of the model ``spec``.

    Members: the streams ``examples`` In and ``results`` Out, whose beats ``encoder`` makes and reads, and, where it is
    asked for, ``control`` In(:class:`TrainerControl`); perhaps ``busy`` Out(1): something is on its way to the state.

    batch: it has an accumulator for batches. word: the bits of a word in which x comes; 0: whole. latency: how many
    cycles after an example was accepted its update is done; None: when its result was taken, and ``busy`` is over.
    """

    spec: Spec
    learns = True
    batch = False
    word = 0
    latency: int | None = None

    @cached_property
    def interface(self) -> Interface:
        """What the host link, a host and a simulator have to know."""
        return circuit_interface(self.spec, word_bits=self.word, learns=self.learns, batches=self.batch)

    @property
    def encoder(self) -> Encoder:
        """Between examples and results and the beats of its streams."""
        return Encoder(self)

    @property
    def registers(self) -> tuple[Place, ...]:
        """The fields of the state in its registers and memories, for simulators."""
        return ()

    def cycles(self, updated: bool = True) -> int:
        """The most clock cycles from one example to the next, if that comes in time; with ``updated``, of one that
        changes the parameters."""
        return 1

    @property
    def usual_cycles(self) -> Mapping[str, int]:
        """The clock cycles of an example, on average over what is random in learning, by what is done with it."""
        learning = {"training_examples": self.cycles()} if self.learns else {}
        return learning | {"predictions": self.cycles(updated=False)}

    def linked(self) -> Any:
        """What the host link connects to: it, or a component around it, with the streams of a
        :class:`RegisterTrainer`, ``control`` and its ``interface``."""
        return self


class RegisterTrainer(Trainer):
    """A learner in registers: the stream of examples goes in, the stream of results comes out, ``theta`` learns.

    ``learner``: whose circuits the trainer is made of.
    ``batch``: an accumulator sums the requests until the last example of a batch, which applies them. Without it
    each example is a batch of its own, and ``last`` is not looked at. Sums of words wrap: the caller keeps to
    :attr:`rdahw.Learner.largest_batch`.
    ``stages``: 1, or 2 for a higher clock: the prediction is made in the first, the parameters move in the second.
    Where the model has a tangent kernel (:mod:`rdahw.tangent_kernel`) the prediction is corrected by what the second
    stage is about to change; otherwise an example that follows an update waits for one cycle.
    ``access``: with ``control``, and with a ``learn`` bit in the examples.
    ``spec``: the model whose learner it is, where there is more to it than its circuits.

    Members: ``examples`` In(stream of :func:`example_layout`), ``results`` Out(stream of :func:`result_layout`) and
    ``control`` In(:class:`TrainerControl`). An example is accepted each cycle, unless a result waits to be taken, an
    access takes the cycle, or, as above, an update is waited for. Its result is there in the next cycle.
    The attribute ``theta`` is the register of the parameters, for simulators: an example accepted in cycle t has moved
    it in cycle t + ``stages``. So is ``accumulator``; without ``batch`` it is ``None``.

    Raises :class:`UsageError` for another number of stages.
    """

    def __init__(
        self,
        learner: Learner,
        *,
        batch: bool = False,
        stages: int = 1,
        access: bool = False,
        spec: Spec | None = None,
    ) -> None:
        if stages not in (1, 2):
            raise UsageError(f"a trainer of {stages} stages was asked for; expected 1 or 2")
        self.spec = spec or CircuitSpec.of(learner)
        self.learner = learner
        self.batch = batch
        self.stages = self.latency = stages
        model = learner.model
        members = {
            "examples": In(stream.Signature(example_layout(model.input_bits, model.output_bits, learn=access))),
            "results": Out(stream.Signature(result_layout(model.output_bits))),
        }
        if access:
            members["control"] = In(TrainerControl(model.parameter_bits))
        super().__init__(members)
        self.theta = Signal(model.parameter_bits)
        self.accumulator = Signal(model.parameter_bits, name="accumulator") if batch else None
        self._access = access

    @property
    def registers(self) -> tuple[Place, ...]:
        """The parameters in ``theta``."""
        return (Place.packed(self.spec.parameters, self.theta),)

    def cycles(self, updated: bool = True) -> int:
        """See :meth:`Trainer.cycles`."""
        waits = self.stages > 1 and self._kernel is None
        return 2 if waits and updated else 1

    @property
    def _kernel(self) -> Circuit | None:
        """What predicts the second stage's change of a prediction, where there is such a circuit."""
        return tangent_kernel(self.learner.model.circuit) if self.learner.optimiser == "xor" else None

    def elaborate(self, platform: object) -> Module:
        m = Module()
        hold = Signal()  # in this cycle no example is accepted
        accept = self.examples.valid & self.examples.ready
        learn = accept & self.examples.payload.learn if self._access else accept
        learned = Signal()
        m.d.comb += self.examples.ready.eq((~self.results.valid | self.results.ready) & ~hold)
        m.d.sync += [
            self.results.valid.eq((self.examples.valid & ~hold) | (self.results.valid & ~self.results.ready)),
            learned.eq(learn),
        ]

        accumulator = self.accumulator
        if self.stages == 1:
            requested, last, request = learn, self.examples.payload.last, self._one_stage(m, accept, learn)
        else:
            requested, (last, request) = learned, self._two_stages(m, accept, learned, accumulator, hold)
        total = request
        if accumulator is not None:
            (total,) = _apply(m, "total", self.learner.total, accumulator, request)
        moves = requested & last if self.batch else requested
        (moved,) = _apply(m, "update", self.learner.update, self.theta, total)
        flips = Signal(8)  # in each byte of the parameters that moves
        moved ^= flips.replicate(-(-len(moved) // 8))[: len(moved)]
        with m.If(moves):
            m.d.sync += self.theta.eq(moved)
        if accumulator is not None:
            with m.If(requested):
                m.d.sync += accumulator.eq(Mux(last, 0, total))

        if self._access:
            control = self.control
            m.d.comb += control.ready.eq(1)
            with m.If(control.parameter_write_enable | control.clear):
                m.d.comb += hold.eq(1)
            self._write(m, moved, flips)
            # Counted a cycle late, where whether the prediction was right comes from registers.
            count(m, control, learned, ~self.results.payload.correct)
            with m.If(control.clear):
                m.d.sync += [register.eq(0) for register in (self.theta, accumulator) if register is not None]
        return m

    @property
    def _write_by_flipping(self) -> bool:
        """Whether a byte is written by flipping its bits, as an example does, and not by a path of its own into theta.

        Then a bit of theta in a lookup takes one logic cell instead of two. It needs that an example whose label is the
        prediction moves nothing. With an accumulator it saves nothing, and in two stages it would be the longest path.
        """
        plain = (self.learner.loss, self.learner.optimiser) == ("xor", "xor")
        return self._access and plain and self.stages == 1 and not self.batch

    def _one_stage(self, m: Module, accept: Value, learn: Value) -> Value:
        """Predict and give the request in the cycle of the example."""
        example, result = self.examples.payload, self.results.payload
        label = Signal(len(example.y))
        output = Signal(len(example.y))
        request, predicted = _apply(m, "request", self.learner.request, self.theta, example.x, label)
        m.d.comb += [output.eq(predicted), label.eq(example.y)]
        if self._write_by_flipping:
            with m.If(~learn):
                m.d.comb += label.eq(output)
        with m.If(accept):
            m.d.sync += [result.prediction.eq(output), result.correct.eq(output == example.y)]
        return request

    def _two_stages(
        self, m: Module, accept: Value, learned: Value, accumulator: Value | None, hold: Value
    ) -> tuple[Value, Value]:
        """Read theta in the cycle of the example; a cycle later give whether it is a batch's last, and its request.

        The example must see what the second stage does to theta in the cycle in which it is read. For a model with a
        kernel that is found out beside the reading of theta and added behind the registers: short paths in both stages.
        """
        model, result = self.learner.model.circuit, self.results.payload
        new = self.examples.payload
        example = Signal.like(new, reset_less=True)
        output = Signal(len(new.y))
        moves = learned & example.last if self.batch else learned

        terms = [_register(m, "read", accept, _apply(m, "model", self.learner.model.predictor, self.theta, new.x)[0])]
        kernel = self._kernel
        if kernel is None:
            with m.If(moves):
                m.d.comb += hold.eq(1)
        else:
            (dy,) = _apply(m, "cotangent", self.learner.cotangent, output, example.y)
            (change,) = _apply(m, "kernel", kernel, example.x, dy, new.x)
            terms.append(_register(m, "change", accept, Mux(moves, change, 0)))
            if accumulator is not None:
                (pending,) = _apply(m, "pending", model, accumulator, new.x)
                pending = _register(m, "pending_read", accept, pending)
                terms.append(Mux(_register(m, "applies", accept, moves), pending, 0))
        m.d.comb += output.eq(reduce(ROWS[Bits.ring.addition], terms))
        m.d.comb += [result.prediction.eq(output), result.correct.eq(output == example.y)]
        with m.If(accept):
            m.d.sync += example.eq(new)

        request = output_to_input(to_rows(self.learner.request, ROWS), "output")
        return example.last, _apply(m, "request", request, self.theta, example.x, example.y, output)[0]

    def _write(self, m: Module, moved: Value, flips: Value) -> None:
        """Read and write bytes of theta; ``moved`` is what theta becomes by learning, with ``flips`` in each byte."""
        control = self.control
        padded = Cat(self.theta, Const(0, -len(self.theta) % 8))
        m.d.comb += control.parameter_read.eq(padded.word_select(control.parameter_address, 8))
        if self._write_by_flipping:
            with m.If(control.parameter_write_enable):
                m.d.comb += flips.eq(control.parameter_read ^ control.parameter_write)
        for number in range(-(-len(self.theta) // 8)):
            byte = slice(8 * number, 8 * number + 8)
            with m.If(control.parameter_write_enable & (control.parameter_address == number)):
                m.d.sync += self.theta[byte].eq(moved[byte] if self._write_by_flipping else control.parameter_write)


def count(m: Module, control: Any, counted: Value, wrong: Value) -> None:
    """Count what is ``counted``, and what of it is ``wrong``, in the counters of a trainer's ``control``."""
    erred = Signal()  # a register, since whether a result is wrong is known late in the cycle
    m.d.sync += erred.eq(counted & wrong)
    for event, counter in ((counted, control.example_count), (erred, control.error_count)):
        with m.If(event):
            m.d.sync += counter.eq(counter + 1)
    with m.If(control.clear):
        m.d.sync += [erred.eq(0), control.example_count.eq(0), control.error_count.eq(0)]


def _register(m: Module, name: str, enable: Value, value: Value) -> Value:
    """``value`` as it was when ``enable`` was last set."""
    register = Signal(len(value), name=name, reset_less=True)
    with m.If(enable):
        m.d.sync += register.eq(value)
    return register


def _apply(m: Module, name: str, circuit: Circuit, *operands: Value) -> tuple[Value, ...]:
    """The outputs of ``circuit`` on ``operands``, in a submodule of this name."""
    m.submodules[name] = module = CircuitModule(circuit)
    m.d.comb += [port.eq(operand) for port, operand in zip(module.operands, operands, strict=True)]
    return module.results
