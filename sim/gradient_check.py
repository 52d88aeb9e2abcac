"""A derivative compared with flipping input bits, on random vectors."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rdahw.circuit import Circuit
from rdahw.derivative import forward_derivative, reverse
from rdahw.primitives import PRIMITIVES, Array
from rdahw.sim.reference import run
from rdahw.transform import expand
from rdahw.types import Bits

__all__ = ["Comparison", "compare"]

#: How many random vectors there are, fewer where there are many input bits.
_VECTORS = 1000
#: The most runs of single assignments, so that a comparison takes some seconds.
_MOST_RUNS = 1 << 28
#: The most bits of wires to compute; a circuit that has more, with few vectors, is not compared.
_MOST_WORK = 1 << 34
#: The most bytes of the values of all wires at once.
_MOST_BYTES = 1 << 28


@dataclass(frozen=True, slots=True)
class Comparison:
    """vectors: how many were run; 0 for a circuit with words, which has no Boolean difference, or one too large to flip
    each input bit. adjoint: whether the derivative obeys its law on all of them. parts: the input bits, as ``a[3]``,
    where the reverse derivative is not the Boolean difference, and on how many vectors.
    """

    vectors: int
    adjoint: bool
    parts: dict[str, int]


def compare(f: Circuit, derivative: Circuit, wrt: Collection[str] | None, law: str) -> Comparison:
    """Run a derivative of ``f`` by the inputs ``wrt`` (None: all) and flip each of their bits.

    law: ``"reverse"`` and ``"forward"``, which are adjoint, or ``"boolean"``, which is what the flips show.
    """
    if not all(isinstance(type_, Bits) for type_ in (*f.input_types, *f.output_types)):
        return Comparison(0, True, {})
    wanted = [k for k, name in enumerate(f.input_names) if wrt is None or name in wrt]
    flips = sum(f.input_types[k].width for k in wanted)
    count = max(8, min(_VECTORS, _MOST_RUNS // max(1, flips * len(f.assignments))))
    random = np.random.default_rng(0)
    x, dy, dx = (
        [random.integers(0, 2, (count, type_.width), np.uint8) for type_ in types]
        for types in (f.input_types, f.output_types, [f.input_types[k] for k in wanted])
    )
    names = [f.input_names[k] for k in wanted]
    pulled = _run(derivative if law != "forward" else reverse(f, names), [*x, *dy], count)
    if law != "boolean":
        pushed = _run(derivative, [*x, *dx], count) if law == "forward" else _pushed(f, names, x, dx, count)
        adjoint = bool(np.array_equal(_product(dy, pushed), _product(dx, pulled)))
    if flips * count * sum(type_.width for type_ in f.types) > _MOST_WORK:
        return Comparison(0, law == "boolean" or adjoint, {})
    flipped = _flips(f, x, dy, wanted)
    parts = {
        f"{name}[{i}]": int(differs)
        for name, ours, theirs in zip(names, pulled, flipped, strict=True)
        for i, differs in enumerate((ours != theirs).sum(axis=0))
        if differs
    }
    return Comparison(count, not parts if law == "boolean" else adjoint, parts)


def _run(f: Circuit, inputs: Sequence[Array], count: int) -> list[Array]:
    """The outputs, also constant ones, for ``count`` vectors."""
    return [np.broadcast_to(array, (count, array.shape[-1])) for array in run(f, *inputs)]


def _pushed(f: Circuit, names: Sequence[str], x: Sequence[Array], dx: Sequence[Array], count: int) -> list[Array]:
    """The first-order changes of the outputs for changes ``dx`` of the inputs ``names``.

    ``f`` is run on values with their changes, as its forward derivative is a circuit of several times its size. Each
    primitive of the polynomial core is linear, or linear in each of its two operands.
    """
    core = expand(f, keep={"custom"})
    rows = {a.primitive: PRIMITIVES[a.primitive] for a in core.assignments}
    if any(row.evaluate is None or row.selects for row in rows.values()):  # a block, or a cast
        return _run(forward_derivative(f, names), [*x, *dx], count)
    given = dict(zip(names, dx, strict=True))
    values, changes = list(x), [given.get(name, np.zeros_like(a)) for name, a in zip(f.input_names, x, strict=True)]
    for primitive, operands, attributes in core.assignments:
        row: Any = rows[primitive]
        at, of = [values[i] for i in operands], [changes[i] for i in operands]
        values.append(row.evaluate(*at, *attributes))
        if row.bilinear:
            changes.append(row.evaluate(of[0], at[1], *attributes) ^ row.evaluate(at[0], of[1], *attributes))
        else:
            changes.append(row.evaluate(*of, *attributes) if operands else np.zeros_like(values[-1]))
    return [np.broadcast_to(changes[i], (count, changes[i].shape[-1])) for _, i in core.outputs]


def _product(a: Sequence[Array], b: Sequence[Array]) -> Array:
    """The parities of the products of both, for each vector."""
    total: Array = sum((p & q).sum(axis=-1) for p, q in zip(a, b, strict=True)) % 2
    return total


def _flips(f: Circuit, x: Sequence[Array], dy: Sequence[Array], wanted: Sequence[int]) -> list[Array]:
    """The Boolean difference by running ``f`` with each input bit flipped, as many bits at once as fit."""
    count = len(x[0])
    here, at_once = _run(f, x, count), max(1, _MOST_BYTES // (count * sum(type_.width for type_ in f.types)))
    bits, columns = [(k, i) for k in wanted for i in range(f.input_types[k].width)], list[Array]()
    for start in range(0, len(bits), at_once):
        chosen = bits[start : start + at_once]
        there = [np.tile(array, (len(chosen), 1)) for array in x]
        for row, (k, i) in enumerate(chosen):
            there[k][row * count : (row + 1) * count, i] ^= 1
        changed = [array.reshape(len(chosen), count, -1) for array in _run(f, there, count * len(chosen))]
        columns += list(_product([a ^ b for a, b in zip(here, changed, strict=True)], dy).astype(np.uint8))
    ends = np.cumsum([0, *(f.input_types[k].width for k in wanted)]).tolist()
    return [np.stack(columns[a:b], axis=-1) for a, b in zip(ends, ends[1:], strict=False)]
