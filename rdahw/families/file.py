"""The family ``file``: a circuit from a Python file of the user; **the file is run**."""

from __future__ import annotations

from rdahw.circuit_file import load_circuit
from rdahw.families.circuits import circuit_family
from rdahw.family import Option

__all__ = ["FAMILY"]


FAMILY = circuit_family(
    "file",
    lambda task, source: load_circuit(source, task.input_bits, task.output_bits),
    help="a circuit of your own, or a function from (inputs, outputs) to one, given as FILE.py:NAME",
    options=(Option(name="source", type="text", help="FILE.py:NAME; the file is run"),),
    named=lambda own: own["source"],
)
