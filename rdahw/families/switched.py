"""Circuits of bits as circuits of switches (:class:`rdahw.types.Switches`), to learn by signed requests; and back."""

from __future__ import annotations

from rdahw.circuit import Circuit
from rdahw.derivative import reverse
from rdahw.families.layers.circuits import passing
from rdahw.primitives import PRIMITIVES
from rdahw.ranges import word_range
from rdahw.tracing import Builder
from rdahw.transform import expand
from rdahw.types import Bits, Switches

__all__ = ["plain", "switched"]

#: The bits of the words that cotangents may be.
_WIDTHS = (8, 16, 32)


def switched(f: Circuit) -> Circuit:
    """The circuit ``(theta, x) ↦ y`` of bits with ``theta`` and ``y`` as switches, whose cotangents are words of the
    fewest bits that hold all sums of requests.

    The output of a table passes on the sign of the requests for it alone, so that they do not grow with the depth.
    """
    # The others become primitives of the core, where each row has a rule for switches.
    f = expand(f, {name for name, row in PRIMITIVES.items() if row.signed is not None})
    for bits in _WIDTHS:
        made = _switched(f, bits)
        found = word_range(reverse(made, wrt=made.input_names[:1]), f"d{made.output_names[0]}", (-1, 1))
        if found is None or -(1 << bits - 1) <= found[0] <= found[1] < 1 << bits - 1:
            break
    return made


def _switched(f: Circuit, bits: int) -> Circuit:
    builder = Builder()
    (theta, theta_bits), (x, x_bits) = f.inputs
    wires = [builder.input(theta, Switches(theta_bits.width, bits)), builder.input(x, x_bits)]
    wires[1] = wires[1].as_switches(bits)
    for _, (primitive, operands, attributes) in f.wires():
        made = builder.apply(primitive, *(wires[i] for i in operands), attributes=attributes)
        if isinstance(made.type, Bits):  # a constant
            made = made.as_switches(bits)
        elif primitive == "lookup":
            made = passing("signs of requests", Switches(made.width, bits))(made)
        wires.append(made)
    return builder.finish({name: wires[i] for name, i in f.outputs})


def plain(f: Circuit) -> Circuit:
    """The same function, of bits, as a circuit of :func:`switched`."""
    builder = Builder()
    wires = [builder.input(name, Bits(type_.width)) for name, type_ in f.inputs]
    for _, (primitive, operands, attributes) in f.wires():
        given = [wires[i] for i in operands]
        same = primitive in ("custom", "to_switches", "to_bits")
        wires.append(given[0] if same else builder.apply(primitive, *given, attributes=attributes))
    return builder.finish({name: wires[i] for name, i in f.outputs})
