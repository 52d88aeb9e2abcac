"""Counting, comparing and looking up with LUTs of six inputs, against plain Python."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rdahw import Bits, trace
from rdahw.errors import UsageError
from rdahw.lut_circuits import LUT_INPUTS, Bit, count_ones, first_largest, lut, table_lut
from rdahw.sim.reference import Reference
from rdahw.tracing import Wire, cat


def run(function: object, inputs: np.ndarray) -> np.ndarray:
    return Reference(trace(function, x=Bits(inputs.shape[1])))(inputs)[0]  # type: ignore[arg-type]


def wire_of(x: Wire, bits: Sequence[Bit]) -> Wire:
    return cat(*(bit if isinstance(bit, Wire) else x.const(bit, 1) for bit in bits))


def luts(function: object, width: int) -> int:
    circuit = trace(function, x=Bits(width))  # type: ignore[arg-type]
    addresses = [circuit.types[a.operands[1]].width for a in circuit.assignments if a.primitive == "lookup"]
    assert max(addresses) <= LUT_INPUTS
    return len(addresses)


def numbers(bits: np.ndarray) -> np.ndarray:
    return (bits.astype(np.int64) << np.arange(bits.shape[-1])).sum(axis=-1)


@pytest.mark.parametrize("width", [1, 2, 3, 5, 6, 7, 12, 13, 34, 64, 70])
def test_ones_are_counted(width: int) -> None:
    inputs = (np.random.default_rng(width).random((300, width)) < np.linspace(0, 1, 300)[:, None]).astype(np.uint8)
    counts = run(lambda x: wire_of(x, count_ones([x[i] for i in range(width)])), inputs)
    assert counts.shape[1] == width.bit_length()
    np.testing.assert_array_equal(numbers(counts), inputs.sum(axis=1))


def test_a_bit_of_a_count_costs_about_one_lut() -> None:
    # No compressor removes more bits than it has LUTs, so 70 bits take at least 63 to count.
    assert 63 <= luts(lambda x: wire_of(x, count_ones([x[i] for i in range(70)])), 70) <= 66


def test_many_ones_are_counted_without_deep_recursion() -> None:
    inputs = np.random.default_rng(0).integers(0, 2, (3, 2500), np.uint8)
    counts = run(lambda x: wire_of(x, count_ones([x[i] for i in range(2500)])), inputs)
    np.testing.assert_array_equal(numbers(counts), inputs.sum(axis=1))


def test_constant_bits_are_counted_and_cost_nothing() -> None:
    inputs = np.array([[0, 0], [0, 1], [1, 1]], np.uint8)
    counted = run(lambda x: wire_of(x, count_ones([x[0], 1, x[1], 0, 1])), inputs)
    assert numbers(counted).tolist() == [2, 3, 4]


@settings(max_examples=30, deadline=None)
@given(count=st.integers(2, 21), width=st.integers(1, 8), seed=st.integers(0, 2**32 - 1))
def test_the_first_largest_is_found(count: int, width: int, seed: int) -> None:
    values = np.random.default_rng(seed).integers(0, min(1 << width, 4), (100, count)) << max(0, width - 3)
    values %= 1 << width
    inputs = (values[:, :, None] >> np.arange(width) & 1).astype(np.uint8).reshape(100, -1)

    def find(x: Wire) -> Wire:
        return wire_of(x, first_largest([[x[c * width + i] for i in range(width)] for c in range(count)]))

    np.testing.assert_array_equal(numbers(run(find, inputs)), values.argmax(axis=1))


@pytest.mark.parametrize("width", range(1, 9))
def test_a_table_is_looked_up(width: int) -> None:
    table = random.Random(width).choices((0, 1), k=1 << width)
    inputs = (np.arange(1 << width)[:, None] >> np.arange(width) & 1).astype(np.uint8)
    looked_up = run(lambda x: wire_of(x, [table_lut(table, [x[i] for i in range(width)])]), inputs)
    assert looked_up[:, 0].tolist() == table


def test_luts_are_folded() -> None:
    def fold(x: Wire) -> Wire:
        a, b = x[0], x[1]
        both = lut([a, b, 1], all)
        assert lut([a, b, a], lambda v: v[0] & v[1] & v[2]) is both  # equal, and read twice
        assert lut([a, b], lambda v: v[0]) is a  # the other does not matter
        assert lut([a, 0], all) == 0
        assert lut([a, b], lambda v: 1) == 1
        assert isinstance(both, Wire)
        return both

    assert luts(fold, 2) == 1


def test_a_lut_of_seven_inputs_is_refused() -> None:
    with pytest.raises(UsageError, match="a LUT of 7 inputs was asked for; expected at most 6"):
        trace(lambda x: lut([x[i] for i in range(7)], lambda v: sum(v) & 1), x=Bits(7))  # type: ignore[arg-type, return-value]
