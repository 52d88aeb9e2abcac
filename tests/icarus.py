"""Combinational Verilog run by Icarus Verilog."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from rdahw import Circuit
from rdahw.cli._model import predictor
from rdahw.primitives import Array
from rdahw.saved import load_model
from rdahw.sim.engines import predict


def exported(folder: Path, name: str) -> None:
    """Fails unless the exported predictor ``name``.v gives the predictions of ``name``.rdahw on 500 random examples
    of its bits."""
    its = load_model(folder / f"{name}.rdahw").predictor
    x = np.random.default_rng(0).integers(0, 2, (500, its.spec.input_bits), dtype=np.uint8)
    (bits,) = simulate(folder / f"{name}.v", name, predictor(its.spec, its), [x], {}, folder)
    expected = predict(its.spec, its.best_state, x)
    assert len(np.unique(expected)) > 2
    np.testing.assert_array_equal(bits @ (1 << np.arange(bits.shape[1])), expected)


def simulate(
    file: Path, top: str, circuit: Circuit, inputs: Sequence[Array], names: Mapping[str, str], work: Path
) -> list[Array]:
    """The outputs, (n, width) bits each, of the module ``top`` of ``file`` for the inputs (n, width) of ``circuit``.

    names: from a name in the file to that of the circuit, where they differ. A bit that is x fails.
    """
    theirs = {ours: name for name, ours in names.items()}
    ins, outs = list(circuit.input_names), list(circuit.output_names)
    total_in = sum(type_.width for type_ in circuit.input_types)
    total_out = sum(type_.width for type_ in circuit.output_types)
    count = len(inputs[0]) if inputs else 1

    def joined(ports: list[str], types: Sequence[object], wire: str) -> list[str]:
        at, lines = 0, []
        for port, type_ in zip(ports, types, strict=True):
            width = type_.width  # type: ignore[attr-defined]
            lines.append(f".{_escaped(theirs.get(port, port))} ({wire}[{at + width - 1}:{at}])")
            at += width
        return lines

    ports = ", ".join([*joined(ins, circuit.input_types, "x"), *joined(outs, circuit.output_types, "y")])
    (work / "bench.v").write_text(
        f"module bench_of_test; reg [{total_in - 1}:0] x; reg [{total_in - 1}:0] m [0:{count - 1}]; "
        f"wire [{total_out - 1}:0] y; integer i;\n{_escaped(top)} dut ({ports});\n"
        f'initial begin $readmemb("x.txt", m); for (i = 0; i < {count}; i = i + 1) begin x = m[i]; #1 '
        '$display("%b", y); end end endmodule\n'
    )
    whole = np.concatenate(list(inputs), axis=-1)[:, ::-1]
    (work / "x.txt").write_text("\n".join("".join(map(str, row)) for row in whole) + "\n")
    program = shutil.which("iverilog")
    if program is None:
        pytest.skip("needs iverilog, which is not installed")
    subprocess.run(
        [program, "-g2012", "-o", "bench", "-s", "bench_of_test", "bench.v", str(file.resolve())], cwd=work, check=True
    )
    printed = subprocess.run(["./bench"], cwd=work, check=True, capture_output=True, text=True).stdout.split()
    lines = [line for line in printed if re.fullmatch("[01xz]+", line)]
    assert len(lines) == count
    bits = np.array([[int(bit) for bit in line[::-1]] for line in lines], np.uint8)
    cuts = np.cumsum([type_.width for type_ in circuit.output_types])[:-1]
    return list(np.split(bits, cuts, axis=-1))


def _escaped(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z_]\w*", name) else f"\\{name} "
