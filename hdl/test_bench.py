"""Test vectors as a Verilog test bench."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rdahw.circuit import Circuit
from rdahw.hdl.circuit import port_names_of
from rdahw.primitives import Array

__all__ = ["test_bench"]


def test_bench(module: str, circuit: Circuit, inputs: Array, outputs: Array, about: str) -> str:
    """The text of a module ``MODULE_test`` that gives ``module`` each vector and compares its outputs.

    It prints a line ``FAIL …`` for each vector whose outputs differ from the expected ones, and at the end ``PASS`` if
    there was none. inputs, outputs: (vectors, bits) of all ports in the circuit's order. The ports are those of the
    file that ``rdahw export`` writes for the circuit.
    """
    return "".join(f"{line}\n" for line in _lines(module, circuit, inputs, outputs, about))


def _lines(module: str, circuit: Circuit, inputs: Array, outputs: Array, about: str) -> Iterator[str]:
    operands, results = port_names_of(circuit)
    given, expected = sum(t.width for t in circuit.input_types), sum(t.width for t in circuit.output_types)
    top = max(0, len(inputs) - 1)
    yield f"// {about}"
    yield "`timescale 1ns/1ns"
    yield f"module {module}_test;"
    yield f"  reg [{given - 1}:0] vectors [0:{top}];"
    yield f"  reg [{expected - 1}:0] expected [0:{top}];"
    yield f"  reg [{given - 1}:0] given;"
    yield f"  wire [{expected - 1}:0] found;"
    yield "  integer number, failed;"
    connections = [
        *_connections("given", operands, [t.width for t in circuit.input_types]),
        *_connections("found", results, [t.width for t in circuit.output_types]),
    ]
    yield f"  {module} dut ("
    yield ",\n".join(f"    {connection}" for connection in connections)
    yield "  );"
    yield "  initial begin"
    for number, (vector, result) in enumerate(zip(inputs, outputs, strict=True)):
        yield f"    vectors[{number}] = {given}'b{_text(vector)}; expected[{number}] = {expected}'b{_text(result)};"
    yield "    failed = 0;"
    yield f"    for (number = 0; number < {len(inputs)}; number = number + 1) begin"
    yield "      given = vectors[number];"
    yield "      #1;"
    yield "      if (found !== expected[number]) begin"
    yield "        failed = failed + 1;"
    yield '        $display("FAIL vector %0d: %b gives %b, expected %b", number, given, found, expected[number]);'
    yield "      end"
    yield "    end"
    yield f'    if (failed == 0) $display("PASS {len(inputs)} vectors");'
    yield "    $finish;"
    yield "  end"
    yield "endmodule"


def _connections(vector: str, names: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    at = 0
    for name, width in zip(names, widths, strict=True):
        yield f".\\{name} ({vector}[{at + width - 1}:{at}])"
        at += width


def _text(bits: Array) -> str:
    return "".join(map(str, bits[::-1].tolist()))
