"""Exported files are read by other tools, and say the same as the circuit."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from rdahw import Bits, Circuit, lookup_model, mask_model, reverse, trace
from rdahw.errors import UsageError
from rdahw.families import spec_of_widths
from rdahw.hdl.export import FORMATS, export
from rdahw.hdl.trainer_factory import make_trainer
from rdahw.primitives import Array
from rdahw.sim import run

CIRCUITS = {
    "lookup": lookup_model(4, 3),
    "lookup reversed": reverse(lookup_model(4, 3)),
    "mask reversed": reverse(mask_model(9, 3)),
    # Keywords of C++ as names, and a line of very many parts.
    "names and lines": trace(lambda a, b: {"y": ~a, "z": b[::-1]}, delete=Bits(2), long=Bits(6000)),
    "popcount": trace(lambda a, b: (a.popcount() <= b.popcount()) ^ a[0], a=Bits(7), b=Bits(7)),
}


def _program(name: str) -> str:
    program = shutil.which(name)
    if program is None:
        pytest.skip(f"needs {name}, which is not installed")
    return program


def _text(circuit: Circuit, format: str) -> str:
    return export(circuit, format, name="dut", about="A circuit.")


def _random_inputs(circuit: Circuit, examples: int) -> list[Array]:
    random = np.random.default_rng(1)
    return [random.integers(0, 2, (examples, t.width), np.uint8) for t in circuit.input_types]


def _number(bits: Array) -> int:
    return int("".join(map(str, bits[::-1])), 2)


@pytest.mark.parametrize("circuit", CIRCUITS.values(), ids=CIRCUITS)
@pytest.mark.slow
def test_verilog_passes_lint_and_equals_the_circuit_in_iverilog(circuit: Circuit, tmp_path: Path) -> None:
    (tmp_path / "dut.v").write_text(_text(circuit, "verilog"))
    inputs = _random_inputs(circuit, 100)
    lines = [f"module bench; {_declared('reg', circuit.inputs)}"]
    lines.append(_declared("wire", [(n, circuit.types[w]) for n, w in circuit.outputs]))
    ports = ", ".join(f".{name}({name})" for name in (*circuit.input_names, *circuit.output_names))
    lines.append(f"dut dut({ports}); initial begin")
    for row in zip(*inputs, strict=True):
        for port, bits in zip(circuit.inputs, row, strict=True):
            lines.append(f"{port.name} = {port.type.width}'h{_number(bits):x};")
        lines.append('#1 $display("%h", {' + ", ".join(circuit.output_names) + "});")
    (tmp_path / "bench.v").write_text("\n".join([*lines, "end endmodule\n"]))

    subprocess.run([_program("iverilog"), "-o", "bench", "bench.v", "dut.v"], cwd=tmp_path, check=True)
    printed = subprocess.run(["./bench"], cwd=tmp_path, check=True, capture_output=True, text=True).stdout.split()
    expected = np.concatenate(run(circuit, *inputs)[::-1], axis=-1)  # in Verilog the first of { } is the highest
    assert [int(line, 16) for line in printed] == [_number(row) for row in expected]

    subprocess.run([_program("verilator"), "--lint-only", "dut.v"], cwd=tmp_path, check=True)


def _declared(kind: str, ports: object) -> str:
    return " ".join(f"{kind} [{type_.width - 1}:0] {name};" for name, type_ in ports)  # type: ignore[attr-defined]


@pytest.mark.parametrize("circuit", CIRCUITS.values(), ids=CIRCUITS)
@pytest.mark.slow
def test_aiger_equals_the_circuit(circuit: Circuit) -> None:
    """The AIGER text is read here by the format's own rules."""
    lines = _text(circuit, "aiger").splitlines()
    _, _, inputs, latches, outputs, ands = lines[0].split()
    assert latches == "0"
    at = 1 + int(inputs)
    drivers = [int(line) for line in lines[at : at + int(outputs)]]
    gates = [tuple(map(int, line.split())) for line in lines[at + int(outputs) : at + int(outputs) + int(ands)]]
    symbols = dict(re.findall(r"^([io]\d+) (\S+)$", "\n".join(lines), re.MULTILINE))
    values = _random_inputs(circuit, 64)
    given = dict(zip(circuit.input_names, values, strict=True))
    wires = {0: np.zeros(64, np.uint8)}

    def literal(number: int) -> Array:
        return wires[number & ~1] ^ np.uint8(number & 1)

    def port(symbol: str) -> tuple[str, int]:
        name, bit = re.fullmatch(r"(\w+)(?:\[(\d+)\])?", symbol).groups()  # type: ignore[union-attr]
        return name, int(bit or 0)

    for k, line in enumerate(lines[1:at]):
        name, bit = port(symbols[f"i{k}"])
        wires[int(line)] = given[name][:, bit]
    for out, a, b in gates:
        wires[out] = literal(a) & literal(b)
    expected = dict(zip(circuit.output_names, run(circuit, *values), strict=True))
    assert int(outputs) == sum(t.width for t in circuit.output_types)
    for k, driver in enumerate(drivers):
        name, bit = port(symbols[f"o{k}"])
        np.testing.assert_array_equal(literal(driver), expected[name][:, bit])


@pytest.mark.parametrize(("format", "inputs", "outputs"), [("rtlil", 2, 1), ("blif", 52, 3)])  # BLIF has bits only
@pytest.mark.slow
def test_yosys_reads_back(format: str, inputs: int, outputs: int, tmp_path: Path) -> None:
    from rdahw.hdl.toolchain import find
    from rdahw.hdl.toolchain import run as run_tool

    file = f"dut.{FORMATS[format].ending}"
    (tmp_path / file).write_text(_text(CIRCUITS["lookup"], format))
    script = f"read_{format} {file}; hierarchy -check -top dut; "
    script += f"select -assert-count {inputs} i:*; select -assert-count {outputs} o:*"
    run_tool(find("yosys"), ["-q", "-p", script], cwd=tmp_path, log="log")


@pytest.mark.slow
def test_a_trainer_of_one_parameter_byte_passes_lint(tmp_path: Path) -> None:
    trainer = make_trainer(spec_of_widths("lookup", 3, 1))
    (tmp_path / "dut.v").write_text(export(trainer, "verilog", name="dut", about="The trainer."))
    subprocess.run([_program("verilator"), "--lint-only", "dut.v"], cwd=tmp_path, check=True)


@pytest.mark.slow
def test_the_trainer_says_what_its_ports_are(tmp_path: Path) -> None:
    trainer = make_trainer(spec_of_widths("lookup", 4, 3))
    text = export(trainer, "verilog", name="dut", about="The trainer.")
    assert "//            examples__payload[6:4] is y\n" in text
    assert "//   output control__error_count : 32 bits\n" in text
    assert "// " in text.splitlines()[0]
    (tmp_path / "dut.v").write_text(text)
    subprocess.run([_program("verilator"), "--lint-only", "dut.v"], cwd=tmp_path, check=True)


@pytest.mark.slow
def test_a_trainer_is_defined_though_no_input_has_changed(tmp_path: Path) -> None:
    """In SystemVerilog: parameters that are written first are what was written, not what is undefined."""
    text = export(make_trainer(spec_of_widths("lookup", 4, 3)), "verilog", name="dut", about="The trainer.")
    (tmp_path / "dut.v").write_text(text)
    (tmp_path / "bench.v").write_text(
        "module bench; reg clk = 0, low = 0, high = 1, write = 1; reg [2:0] at = 2; reg [7:0] value = 'h5a; "
        "reg [8:0] example = 0; wire [7:0] read; dut dut(.clk(clk), .rst(low), .examples__valid(low), "
        ".examples__payload(example), .results__ready(high), .control__clear(low), .control__parameter_address(at), "
        ".control__parameter_write(value), .control__parameter_write_enable(write), .control__parameter_read(read));\n"
        'initial begin #1 clk = 1; #1 clk = 0; write = 0; #1 $display("%b", read); end endmodule\n'
    )
    for language in ("2005", "2012"):
        command = [_program("iverilog"), f"-g{language}", "-o", "bench", "bench.v", "dut.v"]
        subprocess.run(command, cwd=tmp_path, check=True)
        assert subprocess.run(["./bench"], cwd=tmp_path, check=True, capture_output=True).stdout == b"01011010\n"


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(UsageError, match="format 'verilg' is unknown; did you mean 'verilog'"):
        export(None, "verilg", name="dut", about="Nothing.")
