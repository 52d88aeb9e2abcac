"""Circuits that are read from files of other tools."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, reduce
from operator import or_
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from icarus import simulate
from strategies import GATES, circuits, mixed_circuits

from rdahw import Bits, Circuit, Machine, reverse, trace
from rdahw.claims import matched
from rdahw.errors import UsageError, UserError
from rdahw.given import READERS, free_tables
from rdahw.hdl.export import FORMATS, export
from rdahw.hdl.reader import SUFFIXES, _Netlist, _Source, read_circuit, read_design
from rdahw.hdl.toolchain import find
from rdahw.hdl.toolchain import run as run_tool
from rdahw.primitives import PRIMITIVES, Array
from rdahw.sim import run
from rdahw.sim.machine import run_machine
from rdahw.tracing import Builder
from rdahw.types import Scalars

#: The most input bits of a circuit all of whose inputs are tried.
_MOST_BITS = 12


def _drawn(count: int, strategy: st.SearchStrategy[Circuit], number: int) -> list[Circuit]:
    """Random circuits, the same ones each time."""
    found: list[Circuit] = []

    @seed(number)
    @settings(max_examples=count, database=None, deadline=None, phases=[Phase.generate],
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(strategy.filter(lambda f: sum(type_.width for type_ in f.input_types) <= _MOST_BITS))
    def draw(f: Circuit) -> None:
        found.append(f)

    draw()
    return found[:count]


#: Circuits of each primitive of scalars, of a semiring.
_SCALARS: dict[str, Callable[[str], Circuit]] = {
    "to_scalars": lambda ring: trace(lambda a: a.as_scalars(ring), a=Bits(4)),
    "add_scalars": lambda ring: trace(lambda a, b: a + b, a=Scalars(1, ring), b=Scalars(1, ring)),
    "multiply_scalars": lambda ring: trace(lambda a, b: a * b, a=Scalars(1, ring), b=Scalars(1, ring)),
    "negate_scalars": lambda ring: trace(lambda a: -a, a=Scalars(2, ring)),
    "scatter_scalars": lambda ring: trace(lambda a: a.scatter([1, 0, 1], 2), a=Scalars(3, ring)),
}


def _of(name: str, number: int) -> list[Circuit]:
    """Circuits with this primitive, at several widths."""
    if name in _SCALARS:
        return [_SCALARS[name](ring) for ring in ("Z2", "Z4", "Z16")]
    drawn = circuits((name,)) if name in GATES else mixed_circuits((name,))
    return _drawn(3, drawn.filter(lambda f: any(a.primitive == name for a in f.assignments)), number)


@cache
def _parts() -> tuple[Circuit, ...]:
    """Three circuits of each primitive, and 200 random ones."""
    each = [f for number, name in enumerate(PRIMITIVES) for f in _of(name, number)]
    return *each, *_drawn(200, st.one_of(circuits(), mixed_circuits()), len(PRIMITIVES))


@cache
def _side_by_side() -> Circuit:
    """All as one circuit, so that one file has them; ports of part k begin with ``ck_``."""
    builder, parts = Builder(), _parts()
    inputs = [[builder.input(f"c{k}_{name}", type_) for name, type_ in f.inputs] for k, f in enumerate(parts)]
    outputs = {}
    for k, (f, wires) in enumerate(zip(parts, inputs, strict=True)):
        outputs |= {f"c{k}_{n}": w for n, w in zip(f.output_names, builder.inline(f, wires), strict=True)}
    return builder.finish(outputs)


def _all_inputs() -> list[Array]:
    """All inputs of each part, all parts at once."""
    numbers, found = np.arange(1 << _MOST_BITS), []
    for f in _parts():
        at = 0
        for type_ in f.input_types:
            found.append((numbers[:, None] >> np.arange(at, at + type_.width) & 1).astype(np.uint8))
            at += type_.width
    return found


def _parts_read(f: Circuit) -> list[int]:
    """For each output the parts whose inputs it depends on, bit k for part k."""
    read = [1 << int(name[1:].partition("_")[0]) for name in f.input_names]
    for _, operands, _ in f.assignments:
        read.append(reduce(or_, (read[i] for i in operands), 0))
    return [read[wire] for _, wire in f.outputs]


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.slow
def test_primitives_and_random_circuits_come_back(format: str, tmp_path: Path) -> None:
    """Equal for all inputs: each output depends on its own part alone, all of whose inputs are tried."""
    whole = _side_by_side()
    path = tmp_path / f"dut.{FORMATS[format].ending}"
    path.write_text(export(whole, format, name="dut", about="Circuits."))
    made = read_circuit(path)
    assert isinstance(made, Circuit)
    made = matched(whole, made)
    inputs = _all_inputs()
    results = zip(whole.output_names, run(whole, *inputs), run(made, *inputs), _parts_read(made), strict=True)
    for name, ours, theirs, read in results:
        part = int(name[1:].partition("_")[0])
        assert read in (0, 1 << part)
        assert (ours == theirs).all(), f"{name}\n{_parts()[part]}"


# -- Verilog -----------------------------------------------------------------------------------------------------------


def _written(folder: Path, text: str, name: str = "dut.v") -> Path:
    path = folder / name
    path.write_text(text)
    return path


_ALU = """module alu #(parameter WIDTH = 5) (input [WIDTH-1:0] a, b, input [2:0] op, input cin,
  output reg [WIDTH-1:0] y, output zero, output [WIDTH:0] sum, turned);
  assign sum = a + b + cin;
  assign turned = ~a + cin;
  assign zero = y == 0;
  always @* case (op)
    0: y = sum; 1: y = a - b; 2: y = a & b; 3: y = a * b; 4: y = a >> b[2:0];
    5: y = $signed(a) < $signed(b); 6: y = $signed(a) >>> b[2:0]; default: y = a / (b | 1);
  endcase
endmodule
"""


@pytest.mark.slow
def test_words_of_verilog_stay_words_and_equal_icarus(tmp_path: Path) -> None:
    design = read_design(_written(tmp_path, _ALU))
    assert isinstance(design.made, Circuit)
    assert design.lowered == {"$div": 1}
    assert {"$add", "$mul", "$sshr", "$lt"} <= design.kept.keys()
    assert {"plus", "less_equal", "mux"} <= {a.primitive for a in design.made.assignments}
    _check_with_icarus(tmp_path / "dut.v", "alu", design.made, tmp_path)


def _check_with_icarus(file: Path, top: str, circuit: Circuit, work: Path, names: dict[str, str] | None = None) -> None:
    random = np.random.default_rng(2)
    inputs = [random.integers(0, 2, (1000, type_.width), np.uint8) for type_ in circuit.input_types]
    theirs = simulate(file, top, circuit, inputs, names or {}, work)
    for ours, other in zip(run(circuit, *inputs), theirs, strict=True):
        np.testing.assert_array_equal(np.broadcast_to(ours, other.shape), other)


@pytest.mark.slow
def test_parameters_of_the_top_are_set(tmp_path: Path) -> None:
    path = _written(tmp_path, _ALU)
    made = read_circuit(path, "alu", {"WIDTH": 3})
    assert isinstance(made, Circuit)
    assert dict(made.inputs)["a"] == Bits(3)
    with pytest.raises(UsageError, match="has no parameter 'WIDHT'; did you mean 'WIDTH'"):
        read_circuit(path, None, {"WIDHT": 3})


@pytest.mark.slow
def test_tables_stay_tables_and_included_files_are_found(tmp_path: Path) -> None:
    (tmp_path / "table.mem").write_text("3 1 4 1 5 9 2 6\n")
    (tmp_path / "width.vh").write_text("`define WIDTH 4\n")
    text = """`include "width.vh"
    module dut(input [2:0] i, input [7:0] theta, output [`WIDTH-1:0] y, output z);
      reg [`WIDTH-1:0] rom [0:7]; initial $readmemh("table.mem", rom);
      assign y = rom[i]; assign z = theta[i]; endmodule"""
    made = read_circuit(_written(tmp_path, text))
    assert isinstance(made, Circuit)
    assert [a.primitive for a in made.assignments].count("lookup") == 2
    numbers = np.arange(8)[:, None] >> np.arange(3) & 1
    y, z = run(made, numbers.astype(np.uint8), np.tile(np.array([[0, 1, 1, 0, 1, 0, 0, 1]], np.uint8), (8, 1)))
    assert (y @ (1 << np.arange(4))).tolist() == [3, 1, 4, 1, 5, 9, 2, 6]
    assert z[:, 0].tolist() == [0, 1, 1, 0, 1, 0, 0, 1]


@pytest.mark.slow
@pytest.mark.parametrize("family", ["ice40", "ecp5"])
def test_netlists_of_luts_are_read_without_the_models_of_their_vendor(family: str, tmp_path: Path) -> None:
    text = """module dut(input [7:0] a, b, output [7:0] s, output reg [2:0] n, output [1:0] k);
      integer i; assign s = a + b; assign k = (&a) + b[0];
      always @* begin n = 0; for (i = 0; i < 8; i = i + 1) if (a[i] ^ b[7 - i]) n = i; end endmodule"""
    f = read_circuit(_written(tmp_path, text))
    assert isinstance(f, Circuit)
    script = f"read_verilog dut.v; synth_{family} -top dut; write_verilog -noattr net.v; write_json net.json"
    run_tool(find("yosys", "yowasp"), ["-q", "-p", script], cwd=tmp_path, log="log", makes=["net.v", "net.json"])
    x = np.random.default_rng(0).integers(0, 2, (2, 300, 8), np.uint8)
    for name in ("net.v", "net.json"):
        made = read_circuit(tmp_path / name, tables=True)
        assert isinstance(made, Circuit)
        assert len(free_tables(made)[1]) > 100
        for ours, theirs in zip(run(f, *x), run(matched(f, made), *x), strict=True):
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.slow
def test_a_false_loop_of_words_is_broken_up_and_a_true_one_refused(tmp_path: Path) -> None:
    # Bit 1 of the vector is made of bit 0 of the same: no loop, but one cell of words.
    text = "module dut(input [1:0] a, input b, output [1:0] y); assign y = {y[0], b} & a; endmodule"
    made = read_circuit(_written(tmp_path, text))
    assert isinstance(made, Circuit)
    _check_with_icarus(tmp_path / "dut.v", "dut", made, tmp_path)
    text = "module dut(input a,\n output y);\n wire t;\n assign t = a & y;\n assign y = t ^ a;\nendmodule"
    with pytest.raises(UserError, match=r"dut.v:[45]: the values of '[ty]' depend on themselves"):
        read_circuit(_written(tmp_path, text))


@pytest.mark.slow
def test_flip_flops_make_a_machine(tmp_path: Path) -> None:
    text = """module dut(input clk, rst, en, output [2:0] n);
      reg [2:0] q = 5; assign n = q;
      always @(posedge clk) if (rst) q <= 0; else if (en) q <= q + 1; endmodule"""
    made = read_circuit(_written(tmp_path, text))
    assert isinstance(made, Machine)
    assert (made.initial, [port.name for port in made.states]) == ((5,), ["q"])
    assert [port.name for port in made.inputs] == ["rst", "en"]
    rst, en = [0, 0, 0, 0, 1, 0], [1, 0, 1, 1, 1, 1]
    columns = [np.array(column, np.uint8)[:, None] for column in (rst, en)]
    written = run_machine(made, *columns).outputs[0]
    assert (written @ (1 << np.arange(3))).tolist() == [5, 6, 6, 7, 0, 0]


@pytest.mark.slow
def test_names_that_python_does_not_take_are_mapped(tmp_path: Path) -> None:
    text = r"module dut(input \in , input \a[0] , output \a.b ); assign \a.b = \in ^ \a[0] ; endmodule"
    design = read_design(_written(tmp_path, text))
    assert isinstance(design.made, Circuit)
    assert design.names == {"in": "in_", "a[0]": "a_0_", "a.b": "a_b"}
    assert design.made.input_names == ("in_", "a_0_")


#: Files that are refused: the text, and what is said.
_REFUSED = {
    "syntax": ("module m(input a, output y);\n assign y = a +;\nendmodule", r"dut.v:2: syntax error"),
    "latch": ("module m(input e, d, output reg y);\n always @* if (e) y = d;\nendmodule", r"dut.v:2: there is a latch"),
    "tri-state": ("module m(input e, d, output y);\n assign y = e ? d : 1'bz;\nendmodule", r"dut.v:2: .*tri-state"),
    "inout": ("module m(inout a, output y);\n assign y = a;\nendmodule", r"dut.v:1: port 'a' is an inout"),
    "unknown value": ("module m(input a, output y);\n assign y = a ? 1'b1 : 1'bx;\nendmodule", r"dut.v:2: .* is x"),
    "undriven": ("module m(input a, output y);\n wire t;\n assign y = a & t;\nendmodule",
                 r"dut.v:3: 't' is driven by nothing"),
    "two tops": ("module a(output y); assign y = 0; endmodule\nmodule b(output y); assign y = 1; endmodule",
                 r"several modules that no other uses, 'b', 'a'; name one, as in dut.v:b"),
    "missing module": ("module m(input a, output y);\n n u(a, y);\nendmodule",
                       r"dut.v:2: module 'n', which 'm' uses as 'u'"),
    "two clocks": ("module m(input c, d, x, output reg p, q);\n always @(posedge c) p <= x;\n"
                   " always @(posedge d) q <= x;\nendmodule", r"dut.v:\d: flip-flops have the clocks"),
    "black box": ("(* blackbox *) module n(input a, output y); endmodule\nmodule m(input a, output y);\n"
                  " n u(a, y);\nendmodule", r"dut.v:3: there is a cell 'n' without contents"),
    "ended": ("module m(input a, output y);\n initial $finish;\n assign y = a;\nendmodule",
              r"dut.v:\d: System task `\$finish' executed; correct it"),
    "no output": ("module m(input a);\nendmodule", "the module has no outputs|no module"),
    "empty": ("", "no module|cannot read"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "said"), _REFUSED.values(), ids=_REFUSED)
@pytest.mark.slow
def test_what_no_circuit_can_be_is_refused_in_a_sentence(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=said) as found:
        read_circuit(_written(tmp_path, text))
    assert "\n" not in str(found.value)


@pytest.mark.slow
def test_a_net_of_blif_may_be_given_as_its_own_value(tmp_path: Path) -> None:
    """As Yosys writes a port ``x`` with the net ``x[0]`` beside it."""
    text = ".model m\n.inputs x[0] x[1]\n.outputs y\n.names x[0] x[0]\n1 1\n.names x[0] x[1] y\n10 1\n.end\n"
    made = read_circuit(_written(tmp_path, text, "dut.blif"))
    assert isinstance(made, Circuit)
    (y,) = run(made, (np.arange(4)[:, None] >> np.arange(2) & 1).astype(np.uint8))
    assert y[:, 0].tolist() == [0, 1, 0, 0]


@pytest.mark.slow
def test_a_file_may_begin_with_the_mark_of_utf_8(tmp_path: Path) -> None:
    (tmp_path / "dut.v").write_text("module m(input a, output y);\r\n assign y = ~a;\r\nendmodule\r\n", "utf-8-sig")
    made = read_circuit(tmp_path / "dut.v")
    assert isinstance(made, Circuit)
    assert (made.input_names, made.output_names) == (("a",), ("y",))


def test_a_file_of_another_ending_or_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has the ending '.vhd'"):
        read_circuit(tmp_path / "dut.vhd")
    with pytest.raises(UsageError, match="cannot be read"):
        read_circuit(tmp_path / "dut.v")


def test_readers_are_those_of_the_commands() -> None:
    assert READERS.keys() == SUFFIXES.keys()


# -- AIGER -------------------------------------------------------------------------------------------------------------

#: y = a ∧ ¬b, and a latch that starts with 1 and takes y.
_ASCII = "aag 4 2 1 2 1\n2\n4\n6 8 1\n8\n7\n8 2 5\ni0 a[0]\ni1 a[1]\no0 y\nc\nnothing\n"
_BINARY = b"aig 4 2 1 2 1\n8 1\n8\n7\n\x03\x03i0 a[0]\ni1 a[1]\no0 y\nc\nnothing\n"


@pytest.mark.parametrize("name", ["dut.aag", "dut.aig"])
def test_aiger_is_read(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(_ASCII.encode() if name.endswith("aag") else _BINARY)
    made = read_circuit(tmp_path / name)
    assert isinstance(made, Machine)
    assert (made.initial, [str(port.type) for port in made.inputs]) == ((1,), ["Bits(2)"])
    a = np.array([[1, 0], [1, 1], [0, 0]], np.uint8)
    y, o1 = run_machine(made, a).outputs
    assert (y[:, 0].tolist(), o1[:, 0].tolist()) == ([1, 0, 0], [0, 0, 1])


@pytest.mark.parametrize("name", ["dut.aag", "dut.aig"])
def test_a_truncated_aiger_file_is_refused_wherever_it_ends(name: str, tmp_path: Path) -> None:
    data = _ASCII.encode() if name.endswith("aag") else _BINARY
    end = data.index(b"i0 ")
    for length in range(end - 1):
        (tmp_path / name).write_bytes(data[:length])
        with pytest.raises(UserError, match=f"{name}: ") as found:
            read_circuit(tmp_path / name)
        assert "\n" not in str(found.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("aag 1 1 0 1 0 1\n2\n2\n", "without the properties of a model checker"),
        ("aag 99999999 1 0 1 0\n2\n2\n", "each at most"),
        ("aag 1 1 0 1 0\n2\n9\n", "line 3 has the literal 9; expected at most 3"),
        ("aag 1 1 0 1 0\n3\n2\n", "line 2 defines the literal 3"),
        ("aag 2 1 0 1 1\n2\n4\n2 2 2\n", "two drivers"),
        ("aag 3 1 0 1 1\n2\n4\n4 6 2\n", "driven by nothing"),
        ("aag 3 1 0 1 2\n2\n4\n4 6 2\n6 4 2\n", "depend on themselves"),
        ("hello\n", "line 1 is not the header of AIGER"),
    ],
)
def test_wrong_aiger_is_refused(text: str, said: str, tmp_path: Path) -> None:
    path = _written(tmp_path, text, "dut.aag")
    with pytest.raises(UserError, match=said):
        read_circuit(path)


def test_a_deep_circuit_needs_no_recursion(tmp_path: Path) -> None:
    depth = 3_000
    lines = [f"aag {depth + 2} 2 0 1 {depth}", "2", "4", str(2 * depth + 4)]
    lines += [f"{2 * k + 6} {2 * k + 4} {2 + k % 2}" for k in range(depth)]
    made = read_circuit(_written(tmp_path, "\n".join(lines) + "\n", "dut.aag"))
    assert isinstance(made, Circuit)
    assert len(reverse(made).assignments) > depth


def test_many_registers_are_named_in_linear_time(tmp_path: Path) -> None:
    count = 4_000
    nets = {f"r{k}": {"hide_name": 0, "bits": [2 + k], "attributes": {"init": "1"}} for k in range(count)}
    directions = {"CLK": "input", "D": "input", "Q": "output"}
    cells = {
        f"c{k}": {
            "type": "$dff", "parameters": {"CLK_POLARITY": "1"}, "attributes": {}, "port_directions": directions,
            "connections": {"CLK": [1], "D": [2 + (k + 1) % count], "Q": [2 + k]},
        }
        for k in range(count)
    }  # fmt: skip
    ports = {"clk": {"direction": "input", "bits": [1]}, "y": {"direction": "output", "bits": [2]}}
    netlist = _Netlist(
        {"ports": ports, "cells": cells, "netnames": _Counted(nets)}, _Source(tmp_path / "dut.json"), False
    )
    made, names, _ = netlist.translate(None)
    assert isinstance(made, Machine)
    assert (len(made.initial), names) == (count, {})
    assert _Counted.walks <= 4


class _Counted(dict[str, Any]):
    """The nets of a module, which counts how often all of them are walked through."""

    walks = 0

    def items(self) -> Any:
        _Counted.walks += 1
        return super().items()

    def values(self) -> Any:
        _Counted.walks += 1
        return super().values()


def test_a_design_that_is_too_large_is_refused_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _written(tmp_path, "// " + "a million gates " * 1_000_001)
    with pytest.raises(UserError, match="the file has 16 MB; expected at most 16, some 300,000 gates"):
        read_circuit(path)
    monkeypatch.setattr("rdahw.hdl.reader._MOST_CELLS", 1)
    with pytest.raises(UserError, match="dut.aag: it has 2 AND gates; expected at most 1"):
        read_circuit(_written(tmp_path, "aag 4 2 0 1 2\n2\n4\n8\n6 4 2\n8 6 2\n", "dut.aag"))


@pytest.mark.slow
def test_a_short_file_of_too_many_gates_is_refused_before_all_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "module m(input [63:0] a, output [63:0] y);\n genvar i;\n"
    text += " for (i = 0; i < 64; i = i + 1) assign y[i] = a[i] & a[0];\nendmodule\n"
    monkeypatch.setattr("rdahw.hdl.reader._MOST_READ", 63)
    with pytest.raises(UserError, match="dut.v: it has 64 cells; expected at most 400,000"):
        read_circuit(_written(tmp_path, text))


@pytest.mark.slow
def test_a_loop_without_end_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "module m(output y);\n genvar i;\n for (i = 0; i < 2; i = i - 1) wire t;\n assign y = 0;\nendmodule\n"
    monkeypatch.setattr("rdahw.hdl.reader._MOST_SECONDS", 0)
    with pytest.raises(UserError, match="Yosys did not read the file in 0 seconds; look for a loop"):
        read_circuit(_written(tmp_path, text))


@pytest.mark.slow
def test_a_memory_that_a_loop_fills(tmp_path: Path) -> None:
    (tmp_path / "m.v").write_text(
        "module m(input [2:0] x, output [2:0] y); reg [2:0] t [0:7]; integer i;\n"
        "initial for (i = 0; i < 8; i = i + 1) t[i] = 7 - i;\nassign y = t[x]; endmodule"
    )
    made = read_circuit(tmp_path / "m.v")
    assert isinstance(made, Circuit)
    assert [a.primitive for a in made.assignments] == ["const", "lookup"]
