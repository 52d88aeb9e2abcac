"""``rdahw grad``, and files of Verilog where a model is taken."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from icarus import simulate
from running import Runner

from rdahw import Circuit, boolean_difference, is_safe, reverse
from rdahw.claims import adjoint, difference
from rdahw.hdl.proof import prove
from rdahw.hdl.reader import read_circuit
from rdahw.sim import run as run_circuit
from rdahw.sim.gradient_check import Comparison, compare

#: Designs that engineers have: the text, and whether the circuit is safe.
DESIGNS = {
    "adder": ("module adder(input [7:0] a, b, input cin, output [7:0] s, output cout);\n"
              "  assign {cout, s} = a + b + cin;\nendmodule\n", True),
    "multiplier": ("module multiplier(input [3:0] a, b, output [7:0] p);\n  assign p = a * b;\nendmodule\n", False),
    "shifter": ("module shifter(input [31:0] a, input [4:0] by, output [31:0] y);\n"
                "  assign y = a >> by;\nendmodule\n", True),
    "priority": ("module priority_(input [7:0] r, output reg [2:0] n, output any);\n  integer i;\n  assign any = |r;\n"
                 "  always @* begin n = 0; for (i = 0; i < 8; i = i + 1) if (r[i]) n = i; end\nendmodule\n", True),
    "alu": ("module alu(input [3:0] a, b, input [1:0] op, output reg [3:0] y);\n  always @* case (op)\n"
            "    0: y = a + b; 1: y = a - b; 2: y = a & b; default: y = a ^ b;\n  endcase\nendmodule\n", False),
}  # fmt: skip


def refused(run: Runner, code: int, said: str, *arguments: str) -> None:
    """The command ends with this code and this sentence."""
    ran = run(*arguments)
    assert ran.code == code
    assert said in ran.error


@pytest.mark.parametrize(("text", "safe"), DESIGNS.values(), ids=DESIGNS)
@pytest.mark.slow
def test_the_gradient_of_a_design_is_proved_and_runs_in_icarus(
    text: str, safe: bool, tmp_path: Path, run: Runner
) -> None:
    path = tmp_path / "dut.v"
    path.write_text(text)
    f = read_circuit(path)
    assert isinstance(f, Circuit)
    result = run.ok("grad", "dut.v", "--to", "verilog", "--out", "grad.v", "--json").json
    assert result["safe"] == is_safe(f) == safe
    assert (result["parts"] == {}) or not safe
    backward = reverse(f)
    random = np.random.default_rng(3)
    inputs = [random.integers(0, 2, (1000, type_.width), np.uint8) for type_ in backward.input_types]
    found = simulate(tmp_path / "grad.v", result["module"], backward, inputs, {}, tmp_path)
    for ours, theirs in zip(run_circuit(backward, *inputs), found, strict=True):
        np.testing.assert_array_equal(np.broadcast_to(ours, theirs.shape), theirs)
    claim = difference(f) if safe else adjoint(f)
    (proof,) = prove([claim], replay=run_circuit, solver="yosys", jobs=1)
    assert proof.verdict == "proved"


def test_a_wrong_derivative_is_found() -> None:
    from rdahw import Bits, trace

    f = trace(lambda a, b: a & b, a=Bits(3), b=Bits(3))
    wrong = reverse(trace(lambda a, b: a | b, a=Bits(3), b=Bits(3)))
    assert compare(f, reverse(f), None, "reverse").adjoint
    assert not compare(f, wrong, None, "reverse").adjoint
    assert compare(f, boolean_difference(f), None, "boolean").adjoint
    assert not compare(f, wrong, None, "boolean").adjoint
    squared = trace(lambda a, b: (a & a) ^ b, a=Bits(2), b=Bits(2))
    found = compare(squared, reverse(squared), None, "reverse")
    assert found.adjoint
    assert found.parts.keys() == {"a[0]", "a[1]"}


@pytest.mark.slow
def test_gradients_by_some_inputs_and_by_other_laws(tmp_path: Path, run: Runner) -> None:
    (tmp_path / "m.v").write_text("module m #(parameter N = 1) (input [N-1:0] a, b, output y);\n"
                                  "  assign y = ^(a & b);\nendmodule\n")  # fmt: skip
    result = run.ok("grad", "m.v:m", "--to", "blif", "--wrt", "b", "--chparam", "N=5", "--json").json
    assert result["inputs"] == [["a", 5], ["b", 5], ["dy", 1]]
    assert result["outputs"] == [["db", 5]]
    assert (result["safe"], result["parts"], result["checked"]) == (True, {}, 1000)
    assert run.ok("grad", "m.v", "--to", "aiger", "--boolean", "--out", "b.aag", "--json").json["outputs"] == [
        ["da", 1],
        ["db", 1],
    ]
    assert run.ok("grad", "m.v", "--to", "rtlil", "--forward", "--out", "f.il", "--json").json["outputs"] == [["dy", 1]]
    refused(run, 1, "no input 'c' to differentiate by", "grad", "m.v", "--to", "rtlil", "--wrt", "c")


def test_a_boolean_difference_of_too_many_copies_is_refused(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rdahw.cli.grad._MOST_COPIED", 5)
    words = ("grad", "lookup", "--inputs", "2", "--outputs", "1", "--boolean", "--to", "rtlil")
    refused(run, 2, "a copy of the design for each of 6 input bits, 6 operations in all; at most 5 are written", *words)
    assert run.ok(*words, "--wrt", "x", "--json").json["outputs"] == [["dx", 2]]


@pytest.mark.slow
def test_files_of_verilog_are_taken_where_models_are(tmp_path: Path, run: Runner) -> None:
    (tmp_path / "a.v").write_text("module a(input [3:0] x, y, output [3:0] s); assign s = x - y; endmodule\n")
    other = "module {}(input [3:0] y, x, output [3:0] s); assign s = {}; endmodule\n"
    (tmp_path / "b.v").write_text(other.format("b", "~(~x + y)") + other.format("c", "x + y"))
    shown = run.ok("show", "a.v", "--json")
    assert shown.json["inputs"] == [["x", 4], ["y", 4]]
    assert "read 'a': 1 $sub" in shown.err
    assert run.ok("prove", "--equal", "a.v", "b.v:b", "--json").json["claims"][0]["verdict"] == "proved"
    refused(run, 1, "refuted", "prove", "--equal", "a.v", "b.v:c")
    (tmp_path / "c.v").write_text("module c(input [3:0] s, output [3:0] t); assign t = ~s; endmodule\n")
    (tmp_path / "d.v").write_text("module d(input [3:0] x, y, output [3:0] t); assign t = y + ~x; endmodule\n")
    assert run.ok("prove", "--equal", "a.v >> c.v", "d.v", "--json").json["claims"][0]["verdict"] == "proved"
    refused(run, 1, "refuted", "prove", "--equal", "a.v >> c.v", "a.v >> c.v >> c.v")
    run.ok("export", "a.v", "--to", "blif")
    assert run.ok("prove", "--equal", "a.v", "a.blif", "--json").json["claims"][0]["verdict"] == "proved"
    refused(run, 2, "would replace 'a.v'", "export", "a.v", "--to", "verilog")
    refused(run, 2, "several modules that no other uses", "show", "b.v")


#: Models that are built in, in Verilog, and what their training on Iris needs.
BUILT_IN = {
    "lookup": ("module table_(input [47:0] theta, input [3:0] x, output [2:0] y);\n"
               "  assign y = {theta[{2'd2, x}], theta[{2'd1, x}], theta[{2'd0, x}]};\nendmodule\n", (), ()),
    # The model that is built in declares the Boolean difference as its derivative.
    "mask": ("module mask_(input [3:0] theta, x, output y);\n  wire [3:0] both = theta & x;\n"
             "  wire [2:0] common = both[0] + both[1] + both[2] + both[3];\n"
             "  wire [2:0] selected = theta[0] + theta[1] + theta[2] + theta[3];\n"
             "  assign y = {common, 2'b00} <= selected;\nendmodule\n",
             ("--classes", "Iris-versicolor,Iris-virginica", "--labels", "binary"), ("--difference",)),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("model", BUILT_IN)
def test_verilog_with_a_port_theta_learns_to_the_same_bits_as_the_model_built_in(
    model: str, tmp_path: Path, run: Runner
) -> None:
    text, data, own = BUILT_IN[model]
    (tmp_path / "own.v").write_text(text)
    ways = [("own.v", *own), (model,), ("own.v", *own, "--hdl")]
    learned = [
        run.ok(
            "train", "--data", "iris", *data, "--updates", "20", "--out", f"{k}.rdahw", "--json", "--model", *way
        ).json
        for k, way in enumerate(ways)
    ]
    assert int(learned[0]["parameters"], 16)
    assert len({each["parameters_sha256"] for each in learned}) == 1
    assert len({each["test_correct"] for each in learned}) == 1


@pytest.mark.slow
def test_inputs_of_other_names_are_learned(tmp_path: Path, run: Runner) -> None:
    (tmp_path / "two.v").write_text("module two(input [31:0] high, input [15:0] low, input [3:0] x,\n"
                                    "  output [2:0] y);\n  wire [47:0] all = {high, low};\n"
                                    "  assign y = {all[{2'd2, x}], all[{2'd1, x}], all[{2'd0, x}]};\n"
                                    "endmodule\n")  # fmt: skip
    theirs = run.ok("train", "--model", "two.v", "--parameters", "low,high", "--json").json
    assert theirs["out"] == "iris-two.rdahw"
    ours = run.ok("train", "--model", "lookup", "--json").json
    assert theirs["parameters"] == ours["parameters"]
    refused(run, 2, "no input 'w' to learn", "train", "--model", "two.v", "--parameters", "w")
    refused(run, 2, "name one of high, low, x", "train", "--model", "two.v", "--parameters", ",")
    refused(run, 2, "all inputs of 'two.v' are parameters", "train", "--model", "two.v", "--parameters", "high,low,x")


def test_flips_in_parts_are_those_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from rdahw import Bits, trace

    f = trace(lambda a, b, c: (a & b.repeat(3)) ^ (a & c[:3]), a=Bits(3), b=Bits(1), c=Bits(4))
    whole = compare(f, boolean_difference(f), None, "boolean")
    monkeypatch.setattr("rdahw.sim.gradient_check._MOST_BYTES", 1)
    assert compare(f, boolean_difference(f), None, "boolean") == whole
    assert whole.adjoint
    monkeypatch.setattr("rdahw.sim.gradient_check._MOST_WORK", 1)
    assert compare(f, reverse(f), None, "reverse") == Comparison(0, True, {})
