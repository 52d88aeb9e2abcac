"""The peripheral of ``rdahw export --to litex`` in a simulated SoC, whose CPU trains it by a program in C."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

NEEDS = {
    "litex": find_spec("litex"),
    "pythondata-cpu-vexriscv": find_spec("pythondata_cpu_vexriscv"),
    "verilator": shutil.which("verilator"),
    "riscv64-unknown-elf-gcc": shutil.which("riscv64-unknown-elf-gcc"),
}
MISSING = ", ".join(name for name, found in NEEDS.items() if found is None)


@pytest.mark.slow
@pytest.mark.skipif(bool(MISSING), reason=f"not installed: {MISSING}")
def test_the_cpu_of_a_soc_trains_iris_as_software(tmp_path: Path) -> None:
    program = Path(__file__).parents[2] / "bench" / "litex_soc.py"
    options = ("--only", "lookup", "--cpu", "vexriscv", "--bus", "wishbone", "--epochs", "1", "--folder", tmp_path)
    ran = subprocess.run([sys.executable, program, *options], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    (row,) = map(json.loads, ran.stdout.splitlines())
    assert {name: row[name] for name in ("examples", "wrong", "wrong_parameters")} == {
        "examples": 75, "wrong": 0, "wrong_parameters": 0
    }  # fmt: skip
    assert row["accuracy"] > 0.6
