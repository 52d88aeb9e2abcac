"""Every circuit as hardware, in Amaranth's simulator, gives the reference interpreter's bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from amaranth.back import rtlil
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import bits, evaluate, input_widths, inputs_of, number, split
from strategies import ALL, circuits, mixed_circuits, ring_circuits

from rdahw import Bits, Circuit, Learner, expand, lookup_model, make_model, mask_model, mux, reverse, trace
from rdahw.circuit import Assignment, Port
from rdahw.errors import UserError
from rdahw.hdl import circuit_text
from rdahw.hdl.circuit import ROWS, CircuitModule, with_reverse
from rdahw.hdl.circuit_text import CELLS, Cells, to_rtlil, to_verilog
from rdahw.hdl.toolchain import find
from rdahw.hdl.toolchain import run as run_tool
from rdahw.primitives import LOWERED, PRIMITIVES, Array
from rdahw.sim.pysim import AmaranthSimulator
from rdahw.surrogates import clip, greater, maximum, minimum, shift_right
from rdahw.tracing import Builder
from rdahw.types import Scalars, Switches, Words

#: Operand widths and attributes to try each primitive on.
CASES: dict[str, list[tuple[list[int], tuple[Any, ...]]]] = {
    "xor": [([1, 1], ()), ([5, 5], ())],
    "and": [([1, 1], ()), ([5, 5], ())],
    "const": [([], (0, 1)), ([], (0b1011001, 9))],
    "concat": [([3], ()), ([1, 4, 2], ())],
    "slice": [([6], (0, 6)), ([6], (2, 3)), ([6], (3, 6))],
    "repeat": [([1], (5,)), ([3], (3,)), ([4], (1,))],
    "sum": [([8], (8,)), ([6], (3,)), ([6], (2,)), ([5], (1,))],
    "gather": [([5], ((4, 0, 0, 2),)), ([1], ((0,),))],
    "scatter": [([4], ((2, 0, 2, 5), 7)), ([3], ((1, 1, 1), 2))],
    "not": [([1], ()), ([7], ())],
    "or": [([1, 1], ()), ([5, 5], ())],
    "mux": [([1, 4, 4], ())],
    "decode": [([1], ()), ([5], ())],
    "lookup": [([2, 1], ()), ([24, 3], ()), ([48, 4], ())],
    "popcount": [([1], ()), ([2], ()), ([7], ()), ([8], ()), ([100], ())],
    "less_equal": [([1, 1], ()), ([5, 5], ()), ([40, 40], ())],
    "plus": [([1, 1], ()), ([5, 5], ()), ([40, 40], ())],
}


def simulated(module: Any, inputs: Array) -> Array:
    """The outputs (N, B) of a combinational module on inputs (N, A)."""
    results = []

    async def bench(ctx: Any) -> None:
        for row in inputs:
            for port, value in zip(module.operands, split(row, [len(p) for p in module.operands]), strict=True):
                ctx.set(port, number(value))
            results.append(np.concatenate([bits(ctx.get(port), len(port)) for port in module.results]))

    simulator = Simulator(module)
    simulator.add_testbench(bench)
    simulator.run()
    return np.array(results)


def assert_same_bits(circuit: Circuit, inputs: Array | None = None) -> None:
    inputs = inputs_of(circuit)[:512] if inputs is None else inputs
    np.testing.assert_array_equal(simulated(CircuitModule(circuit), inputs), evaluate(circuit, inputs))


def assert_elaborates(module: Any) -> None:
    assert rtlil.convert(module, name="top", emit_src=False)


def test_there_is_a_row_for_every_primitive() -> None:
    assert LOWERED <= ROWS.keys() <= PRIMITIVES.keys()
    assert circuit_text.ROWS.keys() == ROWS.keys()
    casts = {"to_words", "to_bits", "to_switches", "to_scalars"}
    assert CASES.keys() == LOWERED - casts, "words and scalars are below"


@pytest.mark.parametrize("primitive", CASES)
def test_a_primitive(primitive: str) -> None:
    for widths, attributes in CASES[primitive]:
        ports = tuple(Port(f"x{i}", Bits(width)) for i, width in enumerate(widths))
        assignment = Assignment(primitive, tuple(range(len(widths))), attributes)
        assert_same_bits(Circuit(ports, (assignment,), (("y", len(widths)),)))


@settings(max_examples=40)
@given(circuits(ALL))
def test_random_circuits(circuit: Circuit) -> None:
    assert_same_bits(circuit, inputs_of(circuit)[:24])


@settings(max_examples=40)
@given(mixed_circuits())
def test_random_circuits_of_words(circuit: Circuit) -> None:
    inputs = np.random.default_rng(0).integers(0, 2, (24, sum(input_widths(circuit))), np.uint8)
    assert_same_bits(circuit, inputs)


@pytest.mark.parametrize("semiring", ["Z4", "Z5", "Z16", "Sat3", "Sat6", "Or"])
@settings(max_examples=8)
@given(st.data())
def test_random_polynomial_circuits(semiring: str, data: st.DataObject) -> None:
    f = data.draw(ring_circuits(Scalars(1, semiring), gates=4))
    assert_same_bits(with_reverse(f), inputs_of(reverse(f))[:12])


def test_reverse_derivatives_of_switches() -> None:
    f = trace(lambda t, x: t.lookup(x[:2]) ^ mux(x[2], ~x[0], t[1]), t=Switches(4, 3), x=Switches(3, 3))
    assert_same_bits(with_reverse(f))


def test_surrogates() -> None:
    def functions(a: Any, b: Any) -> list[Any]:
        return [minimum(a, b), maximum(a, b), greater(a, b), clip(a, -2, 3), shift_right(b, 1)]

    f = trace(functions, a=Words(1, 4), b=Words(1, 4))
    assert_same_bits(f)
    assert_same_bits(reverse(f), inputs_of(reverse(f))[:200])


def test_a_sum_of_words_is_one_addition_a_word() -> None:
    text = rtlil.convert(CircuitModule(trace(lambda a, b: a + b, a=Words(3, 5), b=Words(3, 5))), emit_src=False)
    assert text.count("cell $add") == 3


@settings(max_examples=25)
@given(circuits(ALL, gates=5))
def test_random_reverse_derivatives_sharing_the_forward_pass(circuit: Circuit) -> None:
    both = with_reverse(circuit)
    inputs = np.random.default_rng(0).integers(0, 2, (24, sum(input_widths(both))), np.uint8)
    x = inputs[:, : sum(input_widths(circuit))]
    expected = np.concatenate([evaluate(circuit, x), evaluate(reverse(circuit), inputs)], axis=1)
    np.testing.assert_array_equal(simulated(CircuitModule(both), inputs), expected)


@pytest.mark.parametrize("f", [lookup_model(3, 2), mask_model(20)])
def test_forward_and_reverse_share_their_wires(f: Circuit) -> None:
    def wires(circuit: Circuit) -> int:
        return len(expand(circuit, keep=ROWS.keys()).assignments)

    both = with_reverse(f, wrt=["theta"])
    assert both.output_names == ("y", "dtheta")
    # All of the mask's forward pass is needed backward, and nothing of the lookup's.
    shared = {"mask": wires(f), "lookup": 0}["mask" if "custom" in str(f) else "lookup"]
    assert wires(both) == wires(f) + wires(reverse(f, wrt=["theta"])) - shared


@pytest.mark.parametrize(("spec", "inputs", "outputs"), [("lookup", 4, 3), ("mask", 30, 1)])
def test_the_request_of_a_learner(spec: str, inputs: int, outputs: int) -> None:
    learner = Learner(make_model(spec, inputs, outputs))
    assert_same_bits(learner.request, inputs_of(learner.request)[:128])


def test_ports_are_the_circuits_own() -> None:
    module = CircuitModule(lookup_model(4, 3))
    assert_elaborates(module)
    assert {name: (member.flow, member.shape) for name, member in module.signature.members.items()} == {
        "theta": (In, 48),
        "x": (In, 4),
        "y": (Out, 3),
    }
    assert module.operands == (module.theta, module.x)
    assert module.results == (module.y,)


def test_a_name_that_is_taken_gets_another() -> None:
    names = ("theta", "circuit", "signature", "_x", "elaborate")
    circuit = trace(lambda *wires: dict(zip(names, wires, strict=True)), **dict.fromkeys(names, Bits(1)))
    module = CircuitModule(circuit)
    assert_elaborates(module)
    assert [port.name for port in module.operands] == ["theta", "circuit_", "signature_", "p_x", "elaborate_"]
    assert [port.name for port in module.results] == ["theta_", "circuit__", "signature__", "p_x_", "elaborate__"]
    assert_same_bits(circuit)


def test_every_wire_is_a_signal_of_its_own() -> None:
    circuit = trace(lambda x: (x ^ ~x) & (x ^ ~x[::-1]), x=Bits(3))
    text = rtlil.convert(CircuitModule(circuit), name="top", emit_src=False)
    assert {f"\\w{number}" for number, _ in circuit.wires()} <= set(text.split())


def test_a_wire_of_more_parts_than_the_simulator_takes() -> None:
    f = trace(lambda a: a.gather(range(0, 8000, 2)), a=Bits(8000))
    with pytest.raises(UserError, match="has more parts than Amaranth's simulator takes, some 3,000; take a smaller"):
        AmaranthSimulator(CircuitModule(f), {})


@pytest.mark.slow
def test_a_chain_of_two_thousand_gates() -> None:
    def chain(x: Any, y: Any) -> Any:
        for _ in range(667):
            x = ~(x & y) ^ y
        return x

    circuit = trace(chain, x=Bits(2), y=Bits(2))
    assert len(circuit.assignments) >= 2000
    assert_same_bits(circuit, inputs_of(circuit)[6:7])
    assert len(rtlil.convert(CircuitModule(circuit), name="top", emit_src=False)) > 100_000


# -- the text of a circuit, which is made without Amaranth -------------------------------------------------------------

_CIRCUIT = trace(
    lambda w, reg: {"y": mux(w[0], reg, ~reg[::-1]), "always": (w & reg).parity(), "z": w.plus(reg)[1:]},
    w=Bits(2),
    reg=Bits(2),
)

_VERILOG = """module dut(
  input [1:0] w,
  input [1:0] \\reg ,
  output [1:0] y,
  output \\always ,
  output [1:0] z
);
  wire [1:0] w_2 = ~{\\reg [0], \\reg [1]};
  wire [1:0] w_3 = w[0] ? \\reg  : w_2;
  wire [1:0] w_4 = w & \\reg ;
  wire w_5 = ^w_4;
  wire [2:0] w_6 = w + \\reg ;
  assign y = w_3;
  assign \\always  = w_5;
  assign z = w_6[2:1];
endmodule
"""

_RTLIL = """module \\dut
  wire width 1 input 1 \\a
  wire width 2 input 2 \\b
  wire width 3 output 3 \\y
  wire width 1 \\w2
  cell $_AND_ $w2
    connect \\A \\a
    connect \\B \\b [0]
    connect \\Y \\w2
  end
  wire width 2 \\w3
  cell $xor $w3
    parameter \\A_SIGNED 0
    parameter \\B_SIGNED 0
    parameter \\A_WIDTH 2
    parameter \\B_WIDTH 2
    parameter \\Y_WIDTH 2
    connect \\A \\b
    connect \\B 2'01
    connect \\Y \\w3
  end
  connect \\y { \\w3 \\w2 }
end
"""


def test_the_text_as_verilog() -> None:
    assert to_verilog(Cells(_CIRCUIT, "dut")) == _VERILOG


def test_names_in_verilog_that_are_taken() -> None:
    """That of the module is no wire's, and a keyword of Icarus Verilog is escaped."""
    text = to_verilog(Cells(trace(lambda a: ~a, bool=Bits(1)), "w1"))
    assert (
        text == "module w1(\n  input \\bool ,\n  output y\n);\n  wire w_1 = ~\\bool ;\n  assign y = w_1;\nendmodule\n"
    )


def test_the_text_as_rtlil() -> None:
    f = trace(lambda a, b: a.concat(a & b[0], b ^ 1), a=Bits(1), b=Bits(2))
    assert to_rtlil(Cells(f, "dut")) == _RTLIL


def _each_primitive() -> Circuit:
    """Each primitive at several widths, with ports of its own."""
    builder, made = Builder(), []
    cases = [(name, *case) for name, each in CASES.items() for case in each]
    inputs = [[builder.input(f"c{k}_{i}", Bits(width)) for i, width in enumerate(widths)]
              for k, (_, widths, _) in enumerate(cases)]  # fmt: skip
    words = [(builder.input(f"a{bits}", Words(2, bits)), builder.input(f"b{bits}", Words(2, bits)),
              builder.input(f"s{bits}", Bits(2))) for bits in (1, 3, 8)]  # fmt: skip
    for (name, _, attributes), wires in zip(cases, inputs, strict=True):
        made.append(builder.apply(name, *wires, attributes=attributes))
    for a, b, chosen in words:
        made += [a + b, a * b, a.negate(chosen)]
    return builder.finish({f"y{k}": wire for k, wire in enumerate(made)})


@pytest.mark.slow
def test_the_text_is_proved_equal_to_the_hardware_of_amaranth(tmp_path: Path) -> None:
    f = _each_primitive()
    cells = Cells(f, "rtlil")
    assert {kind for kind, _, _ in cells.cells} == CELLS.keys()
    (tmp_path / "gold.il").write_text(str(rtlil.convert(CircuitModule(f), name="gold", emit_src=False)))
    (tmp_path / "made.il").write_text(to_rtlil(cells))
    (tmp_path / "made.v").write_text(to_verilog(Cells(f, "verilog")))
    # What it would say of a text with one wrong gate.
    (tmp_path / "wrong.il").write_text(to_rtlil(Cells(f, "wrong")).replace("cell $_AND_", "cell $_OR_", 1))
    script = "read_rtlil gold.il; hierarchy -top gold; proc; flatten; opt_clean; read_rtlil made.il; "
    script += "read_verilog made.v; proc; read_rtlil wrong.il; "
    for name, option in (("rtlil", "-verify"), ("verilog", "-verify"), ("wrong", "-falsify")):
        script += f"miter -equiv -flatten -make_assert gold {name} miter_{name}; "
        script += f"sat {option} -prove-asserts miter_{name}; "
    run_tool(find("yosys"), ["-q", "-p", script], cwd=tmp_path, log="log")
