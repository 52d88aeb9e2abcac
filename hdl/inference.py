"""A trained model as hardware: the circuit with its parameters as constants and the streams of a trainer.

A deep circuit is pipelined: it is cut into stages of a limited number of levels of look-up tables, and each wire that
crosses a cut is registered. It still takes an example each cycle.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import ceil, log
from typing import Any

from amaranth.hdl import Module, Signal  # type: ignore[import-untyped]
from amaranth.lib import memory, stream  # type: ignore[import-untyped]
from amaranth.lib.wiring import In, Out  # type: ignore[import-untyped]

from rdahw.circuit import Assignment, Circuit
from rdahw.families.circuits import CircuitSpec
from rdahw.family import Spec
from rdahw.hdl.circuit import ROWS
from rdahw.hdl.trainer import Trainer, TrainerControl, example_layout, result_layout
from rdahw.learner import Learner
from rdahw.primitives import Array
from rdahw.tracing import Wire
from rdahw.transform import bind, replay, to_rows

__all__ = ["DEPTHS", "LEVELS", "FixedModel", "cut_points"]

#: The levels of look-up tables in a stage: on the iCE40UP5K a level takes about 3 ns, wire included.
LEVELS = 9

#: Parameters of up to this many bytes are in logic on every board, and else in block memory.
MOST_LOGIC_ROWS = 128

#: The depth of each primitive in levels of four-input look-up tables, from its operands' widths and its attributes. A
#: carry passes eight bits in about the time of a level.
DEPTHS: Mapping[str, Callable[..., float]] = {
    "const": lambda widths: 0,
    "concat": lambda widths: 0,
    "slice": lambda widths, *_: 0,
    "repeat": lambda widths, *_: 0,
    "gather": lambda widths, *_: 0,
    "xor": lambda widths: 1,
    "and": lambda widths: 1,
    "or": lambda widths: 1,
    "not": lambda widths: 0,
    "mux": lambda widths: 1,
    "scatter": lambda widths, *_: 1,
    "sum": lambda widths, times: _tree_depth(times),
    "decode": lambda widths: _tree_depth(widths[0]),
    "lookup": lambda widths: max(1, widths[1] - 3),
    "popcount": lambda widths: 2 * ceil(log(widths[0] + 1, 2)),
    "less_equal": lambda widths: 1 + widths[0] / 8,
    "plus": lambda widths: 1 + widths[0] / 8,
    "to_words": lambda widths, bits: 0,
    "to_bits": lambda widths: 0,
    "add_words": lambda widths, bits: 1 + bits / 8,
}


def _tree_depth(inputs: int) -> int:
    """The levels of a tree of four-input gates."""
    return ceil(log(max(2, inputs), 4))


def _spread_popcounts(circuit: Circuit) -> Circuit:
    """Replace each population count by a tree of additions, which can be cut."""

    def rule(assignment: Assignment, operands: list[Wire]) -> Wire | None:
        if assignment.primitive != "popcount":
            return None
        (counted,) = operands
        parts = [counted[i] for i in range(counted.width)]
        while len(parts) > 1:
            if len(parts) % 2:
                parts.append(parts[-1].zeros(parts[-1].width))
            parts = [a.plus(b) for a, b in zip(parts[::2], parts[1::2], strict=True)]
        width = counted.width.bit_length()
        return parts[0][:width]

    return replay(circuit, rule)


def cut_points(circuit: Circuit, levels: float) -> list[int | None]:
    """The stage in which each wire is computed, from 0; ``None`` for wires that depend on constants only.

    No stage is deeper than ``levels`` of :data:`DEPTHS`, unless a single assignment is.
    """
    at: list[tuple[int, float] | None] = [(0, 0.0)] * len(circuit.inputs)
    for _, (primitive, operands, attributes) in circuit.wires():
        before = [where for i in operands if (where := at[i]) is not None]
        if not before:
            at.append(None)
            continue
        stage, depth = max(before)
        own = DEPTHS[primitive]([circuit.types[i].width for i in operands], *attributes)
        if depth + own > levels and depth:
            stage, depth = stage + 1, 0.0
        at.append((stage, depth + own))
    return [None if where is None else where[0] for where in at]


class FixedModel(Trainer):
    """The model of ``learner`` with the parameters ``theta``, (P,) bits, as constants.

    It has the members of a :class:`rdahw.hdl.trainer.RegisterTrainer` with access, so that the host link can predict
    and read parameters, but does not learn (``learns``): ``learn``, writes and ``clear`` are ignored, and the counts
    stay 0. An example is accepted each cycle, unless a result waits to be taken; its result is valid ``stages`` cycles
    later. ``levels``: the most of :data:`DEPTHS` in a stage. ``spec``: the model, if it is more than its learner's
    circuits.
    """

    learns = False

    def __init__(self, learner: Learner, theta: Array, *, levels: float = LEVELS, spec: Spec | None = None) -> None:
        self.spec = spec or CircuitSpec.of(learner)
        self.learner = learner
        model = learner.model
        self.bits = [int(bit) for bit in theta]
        bound = bind(model.predictor, **{model.circuit.input_names[0]: self.bits})
        self.circuit = _spread_popcounts(to_rows(bound, ROWS))
        self._at = cut_points(self.circuit, levels)
        self.stages = 1 + max(stage or 0 for stage in self._at)
        super().__init__(
            {
                "examples": In(stream.Signature(example_layout(model.input_bits, model.output_bits, learn=True))),
                "results": Out(stream.Signature(result_layout(model.output_bits))),
                "control": In(TrainerControl(model.parameter_bits)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        example, result = self.examples.payload, self.results.payload
        moves = Signal()
        m.d.comb += [moves.eq(~self.results.valid | self.results.ready), self.examples.ready.eq(moves)]

        def later(value: Any, stages: int) -> list[Any]:
            """The value in this stage and in each of the later ones."""
            values = [value]
            for _ in range(stages):
                register = Signal.like(values[-1])
                with m.If(moves):
                    m.d.sync += register.eq(values[-1])
                values.append(register)
            return values

        valid = later(self.examples.valid, self.stages - 1)[-1]
        label = later(example.y, self.stages - 1)[-1]
        (prediction,) = self._results(m, example.x, later)
        with m.If(moves):
            m.d.sync += [
                self.results.valid.eq(valid),
                result.prediction.eq(prediction),
                result.correct.eq(prediction == label),
            ]
        self._read_parameters(m)
        return m

    def _results(self, m: Module, x: Any, later: Callable[[Any, int], list[Any]]) -> list[Any]:
        """The circuit's outputs in the last stage; ``later`` makes registers."""
        circuit = self.circuit
        end = self.stages - 1
        # The stage to which each wire is carried: that of its last reader.
        until = [stage or 0 for stage in self._at]
        for number, (_, operands, _) in circuit.wires():
            for i in operands:
                until[i] = max(until[i], self._at[number] or 0)
        for _, wire in circuit.outputs:
            until[wire] = end
        carried: list[list[Any]] = []

        def value(wire: int, stage: int) -> Any:
            at = self._at[wire]
            return carried[wire][0] if at is None else carried[wire][stage - at]

        def add(wire: int, driven: Any) -> None:
            at = self._at[wire]
            carried.append([driven] if at is None else later(driven, until[wire] - at))

        for wire in range(len(circuit.inputs)):
            add(wire, x)
        for wire, (primitive, operands, attributes) in circuit.wires():
            signal = Signal(circuit.types[wire].width, name=f"w{wire}")
            m.d.comb += signal.eq(ROWS[primitive](*(value(i, self._at[wire] or 0) for i in operands), *attributes))
            add(wire, signal)
        return [value(wire, end) for _, wire in circuit.outputs]

    def _read_parameters(self, m: Module) -> None:
        control = self.control
        rows = [
            sum(bit << at for at, bit in enumerate(self.bits[row : row + 8])) for row in range(0, len(self.bits), 8)
        ]
        # A few rows become logic, behind a register with a value from power-up on and with a row for each address, so
        # that a netlist does what the design does. The output of block memory has none before the first clock.
        in_logic = len(rows) <= MOST_LOGIC_ROWS
        depth = 1 << (len(rows) - 1).bit_length() if in_logic else len(rows)
        m.submodules.parameters = store = memory.Memory(shape=8, depth=depth, init=rows)
        read = store.read_port(domain="comb" if in_logic else "sync")
        target = m.d.sync if in_logic else m.d.comb
        m.d.comb += [read.addr.eq(control.parameter_address), control.ready.eq(1)]
        target += control.parameter_read.eq(read.data)
