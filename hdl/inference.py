"""A trained model as hardware: the circuit with its parameters as constants and the streams of a trainer.

A circuit is pipelined: it is cut into stages of a limited number of levels of look-up tables, and each wire that
crosses a cut is registered. It takes an example each cycle.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import ceil, inf, log
from typing import Any

from amaranth.hdl import Const, Instance, Module, Signal  # type: ignore[import-untyped]
from amaranth.lib import memory, stream, wiring  # type: ignore[import-untyped]
from amaranth.lib.wiring import In, Out  # type: ignore[import-untyped]

from rdahw.circuit import Assignment, Circuit
from rdahw.families.circuits import CircuitSpec
from rdahw.family import Spec
from rdahw.hdl.circuit import ROWS
from rdahw.hdl.frontend import NumberFrontend
from rdahw.hdl.trainer import Trainer, TrainerControl, example_layout, result_layout
from rdahw.learner import Learner
from rdahw.lut_circuits import count_ones
from rdahw.primitives import Array
from rdahw.tracing import Wire, cat
from rdahw.transform import bind, replay, to_rows

__all__ = ["DEPTHS", "LEVELS", "LUT_CELLS", "REACH", "FixedModel", "Pipeline", "cut_points", "tables_of"]

#: The levels of look-up tables in a stage: on the iCE40UP5K a level takes about 3 ns, wire included.
LEVELS = 9

#: From 784 bits of an image to the tables in three quarters of an iCE40UP5K, wires took as long as three levels.
REACH = 256

#: The inputs of the compressors of population counts.
FULL_ADDER = 3

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
    "to_switches": lambda widths, bits: 0,
    "to_scalars": lambda widths, semiring: 0,
    "to_bits": lambda widths: 0,
    "add_words": lambda widths, bits: 1 + bits / 8,
    "negate_words": lambda widths, bits: 1 + bits / 8,
    "multiply_words": lambda widths, bits: 2 + bits / 4,
}


def _tree_depth(inputs: int) -> int:
    """The levels of a tree of four-input gates."""
    return ceil(log(max(2, inputs), 4))


def tables_of(circuit: Circuit) -> int:
    """The fewest look-up tables of four inputs of ``circuit``, f : P × A → B, if each lookup depends on all of its
    inputs: those of its lookups, and of the full adders of its population counts."""
    total = 0
    for number, (primitive, operands, _) in circuit.wires():
        widths = [circuit.types[i].width for i in operands]
        if primitive == "lookup":
            total += circuit.types[number].width * max(1, ceil((widths[1] - 1) / 3))
        elif primitive == "popcount":
            total += 2 * (widths[0] - widths[0].bit_length())
    return total


def _spread_popcounts(circuit: Circuit) -> Circuit:
    """Replace each population count by full adders, which can be cut between any two."""

    def rule(assignment: Assignment, operands: list[Wire]) -> Wire | None:
        if assignment.primitive != "popcount":
            return None
        (counted,) = operands
        digits = count_ones([counted[i] for i in range(counted.width)], FULL_ADDER)
        return cat(*(digit if isinstance(digit, Wire) else counted.const(digit, 1) for digit in digits))

    return replay(circuit, rule)


def cut_points(circuit: Circuit, levels: float) -> list[int | None]:
    """The stage in which each wire is computed, from 0; ``None`` for wires that depend on constants only.

    No stage is deeper than ``levels`` of :data:`DEPTHS`, unless a single assignment is. The wires of a wide input are
    long, and count as a level for each :data:`REACH` bits.
    """
    at: list[tuple[int, float] | None] = [(0, float(port.type.width // REACH)) for port in circuit.inputs]
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


@dataclass(frozen=True, slots=True)
class LutCell:
    """A family's look-up table: the name of the cell (``{inputs}``: how many it has), of its parameter, which holds the
    table, of its inputs, the lowest address bit first, and of its output. text: how the parameter writes the table, if
    it is text."""

    name: str
    table: str
    inputs: tuple[str, ...]
    output: str
    text: str | None = None

    def suits(self, table: Any, address: Any) -> bool:
        """Whether it can be such a lookup."""
        return isinstance(table, Const) and len(table) == 1 << len(address) and len(address) <= len(self.inputs)

    def make(self, table: Any, address: Any, result: Any) -> Any:
        """The cell; ``result``: the signal at its output."""
        size = len(address) if "{inputs}" in self.name else len(self.inputs)
        bits = [*address, *[Const(0, 1)] * (size - len(address))]
        pins = [("i", pin, bit) for pin, bit in zip(self.inputs, bits, strict=False)]
        content = Const(table.value, 1 << size) if self.text is None else self.text.format(table.value)
        init = ("p", self.table, content)
        return Instance(self.name.format(inputs=size), init, *pins, ("o", self.output, result))


#: By family of FPGAs; ``None``: its tables are trees of smaller ones, which synthesis makes.
LUT_CELLS: Mapping[str, LutCell | None] = {
    "ice40": LutCell("SB_LUT4", "LUT_INIT", ("I0", "I1", "I2", "I3"), "O"),
    "ecp5": LutCell("LUT4", "INIT", ("A", "B", "C", "D"), "Z"),
    "gowin": LutCell("LUT{inputs}", "INIT", ("I0", "I1", "I2", "I3"), "F"),
    "nexus": LutCell("LUT4", "INIT", ("A", "B", "C", "D"), "Z", "0x{:04x}"),
    "gatemate": None,
    "xilinx": LutCell("LUT{inputs}", "INIT", ("I0", "I1", "I2", "I3", "I4", "I5"), "O"),
}


class Pipeline(wiring.Component):  # type: ignore[misc]
    """A circuit ``x ↦ y`` in stages of at most ``levels`` of :data:`DEPTHS`, with a register after each and so after
    the last: y belongs to the x of ``stages`` cycles before. With None it is combinational.

    advance: In(1), the registers take their values. cells: of :data:`LUT_CELLS`, for synthesis only: a lookup of one
    bit in a constant is such a cell if it has enough inputs. A synthesiser would take lookups apart, merge them with
    their neighbours for the shortest path, and end with more cells; here the registers make paths short.
    """

    def __init__(self, circuit: Circuit, levels: float | None = LEVELS, *, cells: str | None = None) -> None:
        self.circuit = _spread_popcounts(to_rows(circuit, ROWS))
        self._at = cut_points(self.circuit, inf if levels is None else levels)
        self._cell = LUT_CELLS[cells] if cells is not None else None
        self.stages = 0 if levels is None else 1 + max(stage or 0 for stage in self._at)
        (x,), (y,) = self.circuit.input_types, self.circuit.output_types
        super().__init__({"x": In(x.width), "y": Out(y.width), "advance": In(1)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        circuit, end = self.circuit, max(self.stages - 1, 0)
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
            carried.append([driven] if at is None else carry(m, driven, until[wire] - at, self.advance))

        add(0, self.x)
        for wire, (primitive, operands, attributes) in circuit.wires():
            reads = [value(i, self._at[wire] or 0) for i in operands]
            if primitive == "const":
                add(wire, Const(*attributes))
                continue
            signal = Signal(circuit.types[wire].width, name=f"w{wire}")
            if primitive == "lookup" and self._cell is not None and self._cell.suits(*reads):
                m.submodules += self._cell.make(reads[0], reads[1], signal)
            else:
                m.d.comb += signal.eq(ROWS[primitive](*reads, *attributes))
            add(wire, signal)
        result = value(circuit.outputs[0][1], end)
        m.d.comb += self.y.eq(carry(m, result, int(self.stages > 0), self.advance)[-1])
        return m


def carry(m: Module, value: Any, stages: int, advance: Any, *, reset: bool = False) -> list[Any]:
    """The value in this stage and in each of the later ones, behind registers that change with ``advance``."""
    values = [value]
    for _ in range(stages):
        register = Signal.like(values[-1], reset_less=not reset)
        with m.If(advance):
            m.d.sync += register.eq(values[-1])
        values.append(register)
    return values


class FixedModel(Trainer):
    """The model of ``learner`` with the parameters ``theta``, (P,) bits, as constants.

    It has the members of a :class:`rdahw.hdl.trainer.RegisterTrainer` with access, so that the host link can predict
    and read parameters, but does not learn (``learns``): ``learn``, writes and ``clear`` are ignored, and the counts
    stay 0. An example is accepted each cycle, unless a result waits to be taken; its result is valid ``stages`` cycles
    later. ``levels``, ``cells``: see :class:`Pipeline`. ``spec``: the model, if it is more than its learner's circuits.
    ``frontend``: x is what it takes, and its comparisons are a part of the pipeline.
    """

    learns = False

    def __init__(
        self,
        learner: Learner,
        theta: Array,
        *,
        levels: float = LEVELS,
        cells: str | None = None,
        spec: Spec | None = None,
        frontend: NumberFrontend | None = None,
    ) -> None:
        self.frontend = frontend
        self.spec = spec or CircuitSpec.of(learner)
        self.learner = learner
        model = learner.model
        self.bits = [int(bit) for bit in theta]
        bound = bind(model.predictor, **{model.circuit.input_names[0]: self.bits})
        if frontend is not None:
            bound = frontend.circuit >> bound
        (x,) = bound.input_types
        self._pipeline = Pipeline(bound, levels, cells=cells)
        self.delay = self.stages = self._pipeline.stages
        super().__init__(
            {
                "examples": In(stream.Signature(example_layout(x.width, model.output_bits, learn=True))),
                "results": Out(stream.Signature(result_layout(model.output_bits))),
                "control": In(TrainerControl(model.parameter_bits)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.pipeline = pipeline = self._pipeline
        example, result, moves = self.examples.payload, self.results.payload, pipeline.advance
        label = carry(m, example.y, self.stages, moves)[-1]
        m.d.comb += [
            moves.eq(~self.results.valid | self.results.ready),
            self.examples.ready.eq(moves),
            pipeline.x.eq(example.x),
            self.results.valid.eq(carry(m, self.examples.valid, self.stages, moves, reset=True)[-1]),
            result.prediction.eq(pipeline.y),
            result.correct.eq(pipeline.y == label),
        ]
        self._read_parameters(m)
        return m

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
