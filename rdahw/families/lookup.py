"""The family ``lookup``: the truth table itself is learned (the paper's eval model)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rdahw.circuit import Circuit
from rdahw.errors import UserError
from rdahw.families.circuits import circuit_family
from rdahw.family import Section
from rdahw.tracing import trace
from rdahw.types import Bits

if TYPE_CHECKING:
    from rdahw.saved import SavedModel

__all__ = ["FAMILY", "MAX_LOOKUP_INPUTS", "lookup_model"]

#: The widest address of a lookup: its parameters double with every input.
MAX_LOOKUP_INPUTS = 20


def lookup_model(inputs: int, outputs: int) -> Circuit:
    """``f : outputs·2^inputs × inputs → outputs``: the parameters are the truth table (the paper's eval model).

    Parameter bit ``j * 2**inputs + x`` is output j at input x. Safe. Wilson and Zanasi, arXiv 2101.10488, section 5.1.
    """
    if inputs < 1 or outputs < 1:
        raise UserError(f"a lookup of {inputs} inputs and {outputs} outputs is invalid; expected at least one of each")
    if inputs > MAX_LOOKUP_INPUTS:
        raise UserError(
            f"a lookup of {inputs} inputs would have {outputs} * 2^{inputs} parameters; it takes at most "
            f"{MAX_LOOKUP_INPUTS} inputs: use the model mask (two classes), or a circuit of your own "
            "(FILE.py:NAME)"
        )
    return trace(lambda theta, x: theta.lookup(x), theta=Bits(outputs << inputs), x=Bits(inputs))


def _sections(saved: SavedModel) -> Iterable[Section]:
    from rdahw import pictures

    spec, theta = saved.spec, saved.parameters
    if spec.input_bits > pictures.MAX_TABLE_INPUTS:
        return
    outputs = len(theta) >> spec.input_bits
    names = saved.schema.label_names if spec.code == "one-hot" else [f"bit {i}" for i in range(outputs)]
    table = theta.reshape(len(names), -1)
    inputs = range(1 << spec.input_bits)
    yield Section(
        title="The truth table",
        text=f"For each of the {len(inputs)} inputs, the outputs that were learned.",
        figure=pictures.draw_truth_table(theta, spec.input_bits, names),
        alt=f"The learned truth table of {len(names)} outputs; the table below has the same content.",
        caption="The learned truth table",
        columns=[f"x ({', '.join(reversed(saved.binariser.wire_names))})", *names],
        rows=[[format(x, f"0{spec.input_bits}b"), *map(int, table[:, x])] for x in inputs],
    )


FAMILY = circuit_family(
    "lookup",
    lambda task: lookup_model(task.input_bits, task.output_bits),
    help="the truth table of all inputs, for up to 20 of them; safe",
    sections=_sections,
)
