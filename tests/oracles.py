"""What the tests compare with: brute force that runs nothing but the reference interpreter, and bits as numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rdahw import Circuit
from rdahw.primitives import Array
from rdahw.semirings import find_semiring
from rdahw.sim.reference import Reference
from rdahw.types import Scalars, Type
from rdahw.word_primitives import from_numbers

#: Up to this many input bits, circuits are compared on all inputs.
EXHAUSTIVE_BITS = 10
#: Beyond, on so many random ones.
SAMPLES = 512


def bits(number: int, width: int) -> Array:
    """The bits of a number as an array (width,), bit 0 first."""
    assert 0 <= number < 1 << width
    return np.array([number >> i & 1 for i in range(width)], np.uint8)


def number(array: Array) -> int:
    """The number whose bits are ``array`` (width,), bit 0 first."""
    return sum(int(bit) << i for i, bit in enumerate(array))


def every(width: int) -> Array:
    """All bit vectors of this width in counting order, (2^width, width)."""
    return (np.arange(1 << width)[:, None] >> np.arange(width) & 1).astype(np.uint8)


def split(array: Array, widths: Sequence[int]) -> list[Array]:
    """``array`` (N, sum of widths) cut into the wires of a circuit, the first lowest."""
    assert array.shape[-1] == sum(widths)
    ends = np.cumsum(widths)
    return [array[..., end - width : end] for end, width in zip(ends, widths, strict=True)]


def joined(arrays: Sequence[Array], examples: int) -> Array:
    """The inverse of :func:`split`; wires that do not depend on the inputs are spread over the examples."""
    if not arrays:
        return np.zeros((examples, 0), np.uint8)
    return np.concatenate([np.broadcast_to(a, (examples, a.shape[-1])) for a in arrays], axis=-1)


def evaluate(circuit: Circuit, inputs: Array) -> Array:
    """The outputs (N, B) of a circuit on inputs (N, A), all wires side by side."""
    wires = split(inputs, [t.width for t in circuit.input_types])
    return joined(Reference(circuit)(*wires), len(inputs))


def inputs_of(circuit: Circuit, seed: int = 0) -> Array:
    """Inputs (N, A) to compare circuits on: all where there are few, else random ones and the two constant ones."""
    width = sum(t.width for t in circuit.input_types)
    if any(isinstance(type_, Scalars) for type_ in circuit.input_types):
        random = np.random.default_rng(seed)
        return np.concatenate([_elements(random, type_) for type_ in circuit.input_types], axis=1)
    if width <= EXHAUSTIVE_BITS:
        return every(width)
    random_bits = np.random.default_rng(seed).integers(0, 2, (SAMPLES, width), np.uint8)
    random_bits[0], random_bits[1] = 0, 1
    return random_bits


def _elements(random: np.random.Generator, type_: Type) -> Array:
    """Random values of a wire; of scalars elements, since laws do not speak of other patterns of bits."""
    if not isinstance(type_, Scalars):
        return random.integers(0, 2, (SAMPLES, type_.width), np.uint8)
    size = find_semiring(type_.semiring).largest + 1
    numbers = random.integers(0, size, (SAMPLES, type_.count), np.uint64)
    numbers[0], numbers[1] = 0, size - 1
    return from_numbers(numbers, type_.bits)


def input_widths(circuit: Circuit) -> list[int]:
    return [t.width for t in circuit.input_types]


def output_widths(circuit: Circuit) -> list[int]:
    return [t.width for t in circuit.output_types]


def assert_same_function(f: Circuit, g: Circuit) -> None:
    """Both circuits have the same types, and give the same bits on the inputs to compare on."""
    assert (f.input_types, f.output_types) == (g.input_types, g.output_types)
    inputs = inputs_of(f)
    np.testing.assert_array_equal(evaluate(f, inputs), evaluate(g, inputs))


def brute_force_difference(f: Circuit, x: Array, dy: Array) -> Array:
    """The Boolean difference (N, A): bit i is the parity of (f(x) XOR f(x with bit i flipped)) AND dy.

    It runs ``f`` forward and knows no derivative of anything.
    """
    here = evaluate(f, x)
    result = np.empty_like(x)
    for i in range(x.shape[-1]):
        flipped = x.copy()
        flipped[:, i] ^= 1
        result[:, i] = ((here ^ evaluate(f, flipped)) & dy).sum(axis=-1) & 1
    return result


def assert_is_boolean_difference(r: Circuit, f: Circuit) -> None:
    """``r`` has the types of R[f] and gives the Boolean difference of ``f``."""
    assert r.input_types == (*f.input_types, *f.output_types)
    assert r.output_types == f.input_types
    inputs = inputs_of(r)
    x, dy = split(inputs, [sum(input_widths(f)), sum(output_widths(f))])
    np.testing.assert_array_equal(evaluate(r, inputs), brute_force_difference(f, x, dy))
