"""A trained model as hardware: the circuit with its parameters folded in, behind a trainer's streams."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module  # type: ignore[import-untyped]
from amaranth.lib import memory, stream, wiring  # type: ignore[import-untyped]
from amaranth.lib.wiring import In, Out  # type: ignore[import-untyped]

from rdahw.hdl.circuit import CircuitModule
from rdahw.hdl.trainer import TrainerControl, example_layout, result_layout
from rdahw.learner import Learner
from rdahw.primitives import Array
from rdahw.transform import bind

__all__ = ["FixedModel"]


class FixedModel(wiring.Component):  # type: ignore[misc]
    """The model of ``learner`` with the parameters ``theta``, (P,) bits, as constants.

    It has the members of a :class:`rdahw.hdl.trainer.RegisterTrainer` with access, so that the host link predicts with
    it and reads its parameters, but it does not learn (``learns``): ``learn``, writes and ``clear`` are ignored, and
    the counts stay 0. An example is accepted each cycle, unless a result waits to be taken; its result is there in the
    next cycle.
    """

    learns = False
    batch = False

    def __init__(self, learner: Learner, theta: Array) -> None:
        self.learner = learner
        model = learner.model
        self.bits = [int(bit) for bit in theta]
        self.circuit = bind(model.circuit, **{model.circuit.input_names[0]: self.bits})
        super().__init__(
            {
                "examples": In(stream.Signature(example_layout(model.input_bits, model.output_bits, learn=True))),
                "results": Out(stream.Signature(result_layout(model.output_bits))),
                "control": In(TrainerControl(model.parameter_bits)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """The logic, as Amaranth asks for it."""
        m = Module()
        example, result, control = self.examples.payload, self.results.payload, self.control
        m.submodules.model = model = CircuitModule(self.circuit)
        m.d.comb += [model.operands[0].eq(example.x), self.examples.ready.eq(~self.results.valid | self.results.ready)]
        with m.If(self.examples.ready):
            m.d.sync += [
                self.results.valid.eq(self.examples.valid),
                result.prediction.eq(model.results[0]),
                result.correct.eq(model.results[0] == example.y),
            ]
        rows = [
            sum(bit << at for at, bit in enumerate(self.bits[row : row + 8])) for row in range(0, len(self.bits), 8)
        ]
        m.submodules.parameters = store = memory.Memory(shape=8, depth=len(rows), init=rows)
        read = store.read_port()
        m.d.comb += [
            read.addr.eq(control.parameter_address),
            control.parameter_read.eq(read.data),
            control.ready.eq(1),
        ]
        return m
