"""The learning loop in hardware: a trainer takes a stream of examples and learns from each as it passes.

What every trainer has in common are the streams ``examples`` and ``results`` and, where it is asked for, ``control``
(:class:`TrainerControl`). Here is the one for models whose parameters fit registers.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal  # type: ignore[import-untyped]
from amaranth.lib import stream, wiring  # type: ignore[import-untyped]
from amaranth.lib.data import StructLayout  # type: ignore[import-untyped]
from amaranth.lib.wiring import In, Out  # type: ignore[import-untyped]

from rdahw.circuit import Circuit
from rdahw.errors import UsageError
from rdahw.hdl.circuit import ROWS, CircuitModule
from rdahw.kernel import tangent_kernel
from rdahw.learner import Learner
from rdahw.transform import cut, expand
from rdahw.types import Bits

__all__ = ["RegisterTrainer", "TrainerControl", "example_layout", "result_layout"]

#: Amaranth's values have no types that a type checker could read.
Value = Any

#: The width of a trainer's counters. They wrap.
COUNTER_BITS = 32


class TrainerControl(wiring.Signature):  # type: ignore[misc]
    """Access to a trainer's parameters and counters, seen from the one who asks.

    parameter_address : Out: a byte of the parameters; byte k is bits 8k to 8k + 7 of theta. Bits above theta's width
        read as 0, and what is written to them is lost.
    parameter_read : In(8): the byte whose address was there in the clock cycle before.
    parameter_write, parameter_write_enable : Out(8), Out(1): a byte to write at the address.
    clear : Out(1): parameters, accumulator and counters to zero; it wins over a write.
    ready : In(1): address, write and clear of this cycle take effect. It is 1 for good in a :class:`RegisterTrainer`.
    example_count, error_count : In(32): examples learned from, and how many of those were predicted wrongly; both wrap.

    In a cycle with a write or a clear that takes effect no example is accepted. The access comes after all examples
    accepted before and ahead of all accepted later. A byte read and a count contain every example whose result was
    taken in an earlier cycle than that of the address, or of the look at the count.
    """

    def __init__(self, parameter_bits: int) -> None:
        self.parameter_bits = parameter_bits
        self.parameter_bytes = -(-parameter_bits // 8)
        super().__init__(
            {
                "parameter_address": Out(range(self.parameter_bytes)),
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

    With ``learn``, examples have a bit of that name; where it is 0 the trainer only predicts, and neither parameters, nor
    accumulator, nor counters change.
    """
    fields = {"x": input_bits, "y": output_bits, "last": 1}
    return StructLayout(fields | {"learn": 1} if learn else fields)


def result_layout(output_bits: int) -> Any:
    """The payload of a stream of results: the prediction, made before the example was learned from, and whether it was right."""
    return StructLayout({"prediction": output_bits, "correct": 1})


class RegisterTrainer(wiring.Component):  # type: ignore[misc]
    """A learner in registers: the stream of examples goes in, the stream of results comes out, ``theta`` learns.

    ``learner``: whose circuits the trainer is made of.
    ``batch``: an accumulator sums the requests until the last example of a batch, which applies them. Without it
    each example is a batch of its own, and ``last`` is not looked at.
    ``stages``: 1, or 2 for a higher clock: the prediction is made in the first, the parameters move in the second.
    Where the model has a :func:`rdahw.kernel.tangent_kernel` the prediction is corrected by what the second stage is
    about to change; otherwise an example that follows an update waits for one cycle.
    ``access``: with ``control``, and with a ``learn`` bit in the examples.

    Members: ``examples`` In(stream of :func:`example_layout`), ``results`` Out(stream of :func:`result_layout`) and
    ``control`` In(:class:`TrainerControl`). An example is accepted each cycle, unless a result waits to be taken, an
    access takes the cycle, or, as above, an update is waited for. Its result is there in the next cycle.
    The attribute ``theta`` is the register of the parameters, for simulators: an example accepted in cycle t has moved it
    in cycle t + ``stages``.

    Raises :class:`UsageError` for another number of stages.
    """

    def __init__(self, learner: Learner, *, batch: bool = False, stages: int = 1, access: bool = False) -> None:
        if stages not in (1, 2):
            raise UsageError(f"a trainer of {stages} stages was asked for; expected 1 or 2")
        self.learner = learner
        self.batch = batch
        self.stages = stages
        model = learner.model
        members = {
            "examples": In(stream.Signature(example_layout(model.input_bits, model.output_bits, learn=access))),
            "results": Out(stream.Signature(result_layout(model.output_bits))),
        }
        if access:
            members["control"] = In(TrainerControl(model.parameter_bits))
        super().__init__(members)
        self.theta = Signal(model.parameter_bits)
        self._access = access

    def elaborate(self, platform: object) -> Module:
        """The logic, as Amaranth asks for it."""
        m = Module()
        accept = self.examples.valid & self.examples.ready
        learn = accept & self.examples.payload.learn if self._access else accept
        learned = Signal()
        m.d.comb += self.examples.ready.eq(~self.results.valid | self.results.ready)
        m.d.sync += learned.eq(learn)
        with m.If(accept):
            m.d.sync += self.results.valid.eq(1)
        with m.Elif(self.results.ready):
            m.d.sync += self.results.valid.eq(0)

        accumulator = Signal(len(self.theta)) if self.batch else None
        if self.stages == 1:
            requested, last, request = learn, self.examples.payload.last, self._one_stage(m, accept)
        else:
            requested, (last, request) = learned, self._two_stages(m, accept, learned, accumulator)
        total = request if accumulator is None else ROWS[Bits.ring.addition](accumulator, request)
        (moved,) = _apply(m, "update", self.learner.update, self.theta, total)
        with m.If(requested & last if self.batch else requested):
            m.d.sync += self.theta.eq(moved)
        if accumulator is not None:
            with m.If(requested):
                m.d.sync += accumulator.eq(Mux(last, 0, total))

        if self._access:
            # Counted a cycle late, where whether the prediction was right comes from registers.
            self._control(m, learned, ~self.results.payload.correct, accumulator)
        return m

    def _one_stage(self, m: Module, accept: Value) -> Value:
        """Predict and give the request in the cycle of the example."""
        example, result = self.examples.payload, self.results.payload
        request, output = _apply(m, "request", self.learner.request, self.theta, example.x, example.y)
        with m.If(accept):
            m.d.sync += [result.prediction.eq(output), result.correct.eq(output == example.y)]
        return request

    def _two_stages(self, m: Module, accept: Value, learned: Value, accumulator: Value) -> tuple[Value, Value]:
        """Predict in the cycle of the example; give the request, and whether it is the last of its batch, in the next."""
        model = self.learner.model.circuit
        new = self.examples.payload
        example, output = Signal.like(new), Signal(len(new.y))
        result = self.results.payload
        m.d.comb += [result.prediction.eq(output), result.correct.eq(output == example.y)]

        (prediction,) = _apply(m, "model", model, self.theta, new.x)
        # What the second stage does to theta in this cycle, the new example must see.
        moves = learned & example.last if self.batch else learned
        kernel = tangent_kernel(model) if self.learner.optimiser == "xor" else None
        if kernel is None:
            with m.If(moves):
                m.d.comb += self.examples.ready.eq(0)
        else:
            (dy,) = _apply(m, "cotangent", self.learner.cotangent, output, example.y)
            (change,) = _apply(m, "kernel", kernel, example.x, dy, new.x)
            if accumulator is not None:
                change ^= _apply(m, "pending", model, accumulator, new.x)[0]
            prediction ^= Mux(moves, change, 0)
        with m.If(accept):
            m.d.sync += [example.eq(new), output.eq(prediction)]

        request = cut(expand(self.learner.request, keep=ROWS.keys()), "output")
        return example.last, _apply(m, "request", request, self.theta, example.x, example.y, output)[0]

    def _control(self, m: Module, counted: Value, wrong: Value, accumulator: Value | None) -> None:
        """The parameters' bytes, the counters, and what sets all to zero."""
        control = self.control
        m.d.comb += control.ready.eq(1)
        with m.If(control.parameter_write_enable | control.clear):
            m.d.comb += self.examples.ready.eq(0)

        theta = Cat(self.theta, Const(0, -len(self.theta) % 8))
        m.d.sync += control.parameter_read.eq(theta.word_select(control.parameter_address, 8))
        for byte in range(0, len(self.theta), 8):
            with m.If(control.parameter_write_enable & (control.parameter_address == byte // 8)):
                m.d.sync += self.theta[byte : byte + 8].eq(control.parameter_write)
        with m.If(counted):
            m.d.sync += control.example_count.eq(control.example_count + 1)
        with m.If(counted & wrong):
            m.d.sync += control.error_count.eq(control.error_count + 1)
        with m.If(control.clear):
            m.d.sync += [self.theta.eq(0), control.example_count.eq(0), control.error_count.eq(0)]
            if accumulator is not None:
                m.d.sync += accumulator.eq(0)


def _apply(m: Module, name: str, circuit: Circuit, *operands: Value) -> tuple[Value, ...]:
    """The outputs of ``circuit`` on ``operands``, in a submodule of this name."""
    m.submodules[name] = module = CircuitModule(circuit)
    m.d.comb += [port.eq(operand) for port, operand in zip(module.operands, operands, strict=True)]
    return module.results
