"""The tangent kernel of a model: how a learning step on one example changes the output on another.

For a model f : P × A → B that is linear in its parameters,

    f(theta + R_P[f](theta, x, dy), x') = f(theta, x') + k(x, dy, x')

for any theta. Hardware that has computed f(theta, x') before the update by x corrects the result with ``k``.
The name and the idea are from Jacot et al., *Neural Tangent Kernel*, arXiv 1806.07572.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from rdahw.circuit import Circuit
from rdahw.tracing import Wire, equal, trace
from rdahw.types import Bits

__all__ = ["KERNELS", "tangent_kernel"]

#: ``kernel(x, dy, x', *attributes)`` of primitives that are linear in their first operand and have x as their second.
#: Rows are optional: hardware of a model without one waits for the update instead.
KERNELS: Mapping[str, Callable[..., Wire]] = {
    "and": lambda x, dy, other: x & dy & other,
    "lookup": lambda x, dy, other: equal(x, other).repeat(dy.width) & dy,
}


def tangent_kernel(f: Circuit) -> Circuit | None:
    """``k : A × B × A → B`` of a model ``f : P × A → B``, with ports (x, dy, other) and y, or ``None``.

    It is known if f is a single primitive of :data:`KERNELS` applied to (theta, x). Then f is linear in theta:
    f(theta + d, x) = f(theta, x) + f(d, x).
    """
    if len(f.inputs) != 2 or len(f.outputs) != 1 or len(f.assignments) != 1:
        return None
    ((primitive, operands, attributes),), ((_, output),) = f.assignments, f.outputs
    if primitive not in KERNELS or operands != (0, 1) or output != 2:
        return None
    x, y = Bits(f.input_types[1].width), Bits(f.output_types[0].width)
    return trace(lambda *wires: KERNELS[primitive](*wires, *attributes), x=x, dy=y, other=x)
