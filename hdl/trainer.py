"""The learning loop in hardware: a trainer takes a stream of examples and learns from each.

:class:`Trainer` is the base of all trainers: the streams ``examples`` and ``results`` and, optionally, ``control``
(:class:`TrainerControl`). :class:`RegisterTrainer` is the one for models whose parameters fit registers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    """Access to a trainer's parameters and counters, from the side of the initiator.

    parameter_address : Out: a byte of the parameters; byte k is bits 8k to 8k + 7 of theta. Bits above theta's width
        read as 0, and writes to them are lost.
    parameter_read : In(8): the byte at the address, from one clock cycle after it, as long as the address stays.
    parameter_write, parameter_write_enable : Out(8), Out(1): a byte to write at the address.
    clear : Out(1): sets parameters, accumulator and counters to zero; has priority over a write.
    ready : In(1): address, write and clear of this cycle take effect. It is always 1 in a :class:`RegisterTrainer`.
    example_count, error_count : In(32): examples learned from, and how many of those were predicted wrongly; both wrap.

    In a cycle with a write or a clear that takes effect no example is accepted: the access follows all examples that
    were accepted before it. A byte read includes every example whose result was taken before the address was given; the
    counters are updated within three cycles of a result.
    """

    def __init__(self, parameter_bits: int) -> None:
        self.parameter_bits = parameter_bits
        self.parameter_bytes = -(-parameter_bits // 8)
        super().__init__(
            {
                # At least one bit: Verilog has no ports of width 0.
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
    """The payload of a stream of examples: the input ``x``, the label ``y``, and ``last``, which ends a batch.

    With ``learn``, examples have a bit of that name; if it is 0 the trainer only predicts, and parameters, accumulator
    and counters stay.
    """
    fields = {"x": input_bits, "y": output_bits, "last": 1}
    return StructLayout(fields | {"learn": 1} if learn else fields)


def result_layout(output_bits: int) -> Any:
    """The payload of a stream of results: the prediction before learning, and whether it is right."""
    return StructLayout({"prediction": output_bits, "correct": 1})


class Trainer(wiring.Component):  # type: ignore[misc]
    """A trainer, or a fixed model (``learns`` is False), of the model ``spec``.

    Members: the streams ``examples`` In and ``results`` Out, whose beats ``encoder`` makes and reads; optionally
    ``control`` In(:class:`TrainerControl`) and ``busy`` Out(1): an update of the state is pending.

    batch: it has an accumulator for batches. word: the bits of a word of x; 0: x is not sent in words. latency: the
    cycles from accepting an example to its update; None: until its result was taken and ``busy`` is low. delay: those
    to its result, if neither stream waits; None: they differ. stream_notes: sentences about the beats of an example,
    beyond the fields of a beat. frontend: see :class:`rdahw.hdl.interface.Interface`.
    """

    spec: Spec
    learns = True
    batch = False
    word = 0
    latency: int | None = None
    delay: int | None = None
    stream_notes: Sequence[str] = ()
    frontend: Any = None

    @cached_property
    def interface(self) -> Interface:
        """Its interface to the host link, hosts and simulators."""
        its = {"word_bits": self.word, "learns": self.learns, "batches": self.batch}
        return circuit_interface(self.spec, frontend=self.frontend, **its)

    @property
    def encoder(self) -> Encoder:
        """Converts examples and results to and from the beats of its streams."""
        return Encoder(self)

    @property
    def registers(self) -> tuple[Place, ...]:
        """The fields of the state in its registers and memories, for simulators."""
        return ()

    def cycles(self, updated: bool = True) -> int:
        """The most clock cycles from one example to the next, if neither stream waits; with ``updated``, for an
        example that changes the parameters."""
        return 1

    @property
    def usual_cycles(self) -> Mapping[str, int]:
        """The average clock cycles of an example, by what is done with it."""
        learning = {"training_examples": self.cycles()} if self.learns else {}
        return learning | {"predictions": self.cycles(updated=False)}

    def linked(self) -> Any:
        """The component for the host link: itself, or a wrapper with the streams of a :class:`RegisterTrainer`,
        ``control`` and its ``interface``."""
        return self


class RegisterTrainer(Trainer):
    """A learner with its parameters in registers.

    ``learner``: its circuits make the trainer.
    ``batch``: an accumulator sums the requests until the last example of a batch, which applies them. Without it each
    example is a batch, and ``last`` is ignored. Sums of words wrap: keep to :attr:`rdahw.Learner.largest_batch`.
    ``stages``: 1, or 2 for a higher clock: the first predicts, the second updates the parameters. If the model has a
    tangent kernel (:mod:`rdahw.tangent_kernel`) the prediction is corrected by the pending update of the second stage;
    otherwise an example after an update waits for one cycle.
    ``access``: with ``control``, and with a ``learn`` bit in the examples.
    ``spec``: the model, if it is more than its learner's circuits.

    Members: ``examples`` In(stream of :func:`example_layout`), ``results`` Out(stream of :func:`result_layout`) and
    ``control`` In(:class:`TrainerControl`). An example is accepted each cycle, unless a result waits to be taken, an
    access takes the cycle, or the trainer waits for an update as above. Its result is valid in the next cycle.
    The attribute ``theta`` is the parameter register, for simulators: an example accepted in cycle t has changed it in
    cycle t + ``stages``. Likewise ``accumulator``; without ``batch`` it is ``None``.

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
            raise UsageError(f"{stages} stages are not supported; expected 1 or 2")
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
        """The circuit of the second stage's change of a prediction, if there is one."""
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
        flips = Signal(8)  # in each byte of the parameters that changes
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
            # Counted a cycle late, when ``correct`` is registered.
            count(m, control, learned, ~self.results.payload.correct)
            with m.If(control.clear):
                m.d.sync += [register.eq(0) for register in (self.theta, accumulator) if register is not None]
        return m

    @property
    def _write_by_flipping(self) -> bool:
        """Whether a byte is written by flipping its bits, as an example does, and not by its own path into theta.

        Then a bit of theta in a lookup takes one logic cell instead of two. It requires that an example whose label is
        the prediction changes nothing. It saves nothing with an accumulator, and is too slow in two stages.
        """
        plain = (self.learner.loss, self.learner.optimiser) == ("xor", "xor")
        return self._access and plain and self.stages == 1 and not self.batch

    def _one_stage(self, m: Module, accept: Value, learn: Value) -> Value:
        """Predict, and return the request in the cycle of the example."""
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
        """Read theta in the cycle of the example; a cycle later return ``last`` and the request.

        The prediction must include the second stage's update of theta in the cycle of the read. With a tangent kernel
        that change is computed in parallel with the read and added after the registers: short paths in both stages.
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
        """Read and write bytes of theta; ``moved`` is theta after learning, with ``flips`` in each byte."""
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


def count(m: Module, control: Any, counted: Value, wrong: Value) -> Value:
    """Count ``counted`` and ``counted & wrong`` in the counters of a trainer's ``control``; gives the register of the
    latter."""
    erred = Signal()  # registered, as ``wrong`` is valid late in the cycle
    m.d.sync += erred.eq(counted & wrong)
    for event, counter in ((counted, control.example_count), (erred, control.error_count)):
        with m.If(event):
            m.d.sync += counter.eq(counter + 1)
    with m.If(control.clear):
        m.d.sync += [erred.eq(0), control.example_count.eq(0), control.error_count.eq(0)]
    return erred


def _register(m: Module, name: str, enable: Value, value: Value) -> Value:
    """``value`` of the last cycle with ``enable``."""
    register = Signal(len(value), name=name, reset_less=True)
    with m.If(enable):
        m.d.sync += register.eq(value)
    return register


def _apply(m: Module, name: str, circuit: Circuit, *operands: Value) -> tuple[Value, ...]:
    """The outputs of ``circuit`` on ``operands``, in a submodule of this name."""
    m.submodules[name] = module = CircuitModule(circuit)
    m.d.comb += [port.eq(operand) for port, operand in zip(module.operands, operands, strict=True)]
    return module.results
