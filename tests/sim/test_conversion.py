"""Numbers to bits, compiled: the bits of numpy's comparison, for numbers of every kind, and what is not finite."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rdahw.sim.conversion import Conversion
from rdahw.sim.packing import unpack_wires

#: Numbers at and beside which kinds of numbers end or are rounded.
ENDS = [0.0, -0.0, 0.1, 0.5, 1 + 2.0**-40, 127.0, 254.5, 255.0, 256.0, 2.0**53, 2.0**63, 3.4e38, 3.5e38, 1e-46, 1e300]
ENDS += [-end for end in ENDS]


def numbers(kind: str) -> Any:
    """Numbers of a kind: the ends of its range, and those of ``ENDS`` that are in it."""
    if kind == "bool":
        return np.array([False, True])
    info = np.iinfo(kind) if np.dtype(kind).kind in "iu" else np.finfo(kind)
    low, high = (int(end) if np.dtype(kind).kind in "iu" else float(end) for end in (info.min, info.max))
    return np.array([low, high, *(end for end in ENDS if low <= end < high)], object).astype(kind)


@pytest.mark.parametrize("kind", ["uint8", "int8", "int64", "uint64", "bool", "float16", "float32", "float64"])
@pytest.mark.parametrize("planes", [0, 1, 2])
def test_a_wire_is_one_where_the_number_is_above_its_threshold(kind: str, planes: int) -> None:
    """Each number meets each threshold, on wires that read adjacent features, 64 and more, and on others."""
    values = numbers(kind)
    x = np.stack([np.resize(np.roll(values, i), 130) for i in range(len(values))])
    near = np.array([*ENDS, *values.astype(np.float64)])
    with np.errstate(over="ignore"):
        thresholds = np.concatenate([near, np.nextafter(near, -np.inf), np.nextafter(near, np.inf)])
    thresholds = thresholds[np.isfinite(thresholds)]
    features = np.concatenate([np.tile(np.arange(130), planes), np.arange(len(thresholds)) * 7 % 130])
    thresholds = np.resize(thresholds, len(features))
    expected = x[:, features] > thresholds
    assert expected.any()
    assert not expected.all()

    conversion = Conversion(features, thresholds)
    for order in (x, np.asfortranarray(x), x[::-1].copy()[::-1]):
        order.flags.writeable = False
        words, finite = conversion.pack(order)
        bits = unpack_wires(words, 64 * words.shape[1])
        assert finite
        assert np.array_equal(bits[:, : len(features)], expected)
        assert not bits[:, len(features) :].any()
    for row, wires in zip(x.astype(np.float64), expected, strict=True):
        found, finite = conversion.one(row)
        assert finite
        assert np.array_equal(found, wires)


@pytest.mark.parametrize("kind", ["float16", "float32", "float64"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 63, 64, 128, 129])
def test_what_is_not_finite_is_found_wherever_it_is(kind: str, value: float, place: int) -> None:
    """Also in features that no wire reads."""
    conversion = Conversion(np.array([3]), np.array([0.0]))
    x = np.ones((300, 130), kind)
    assert conversion.pack(x)[1]
    x[299, place] = value
    assert not conversion.pack(x)[1]
    assert conversion.pack(x[:299])[1]
    assert not conversion.one(x[299].astype(np.float64))[1]
    assert conversion.one(x[0].astype(np.float64))[1]
