"""Division, square root, products and the softmax loss in fixed point, against numbers."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from rdahw import Bits, UsageError, trace
from rdahw.fixed_point import divide, magnitude, multiply, signed_words, square_root, times
from rdahw.scores import softmax
from rdahw.sim.reference import run
from rdahw.types import Words
from rdahw.word_primitives import from_planes, planes

PAIRS = np.stack([each.ravel() for each in np.meshgrid(np.arange(64), np.arange(16))], axis=1)


def on_pairs(body: Callable[..., list]) -> np.ndarray:
    """The numbers that ``body`` makes of the planes of all pairs (of 6 and of 4 bits)."""
    n = len(PAIRS)
    a, b = (np.array([int(v) >> k & 1 for v in PAIRS[:, i] for k in range(bits)]) for i, bits in ((0, 6), (1, 4)))

    def f(a, b):
        return from_planes(body(planes(a, 6), planes(b, 4)))

    (found,) = run(trace(f, a=Bits(6 * n), b=Bits(4 * n)), a, b)
    return found.reshape(n, -1) @ (1 << np.arange(found.size // n))


def test_division() -> None:
    dividend, divisor = PAIRS.T
    expected = np.where(divisor > 0, dividend // np.maximum(divisor, 1), 63)
    assert on_pairs(divide).tolist() == expected.tolist()


@pytest.mark.parametrize("bits", [5, 6])
def test_square_root(bits: int) -> None:
    found = on_pairs(lambda a, b: square_root(a[:bits]))
    assert found.tolist() == [math.isqrt(int(v) % (1 << bits)) for v in PAIRS[:, 0]]


@pytest.mark.parametrize("factor", [0, 1, 6, 13])
def test_products(factor: int) -> None:
    assert on_pairs(multiply).tolist() == (PAIRS[:, 0] * PAIRS[:, 1]).tolist()
    assert on_pairs(lambda a, b: times(a, factor, 8)).tolist() == (PAIRS[:, 0] * factor % 256).tolist()


def test_absolute_values() -> None:
    type_ = Words(16, 4)
    values = type_.to_bits(np.arange(-8, 8))

    def there_and_back(a):
        size, negative = magnitude(a)
        return [from_planes(size), signed_words(size, negative, type_)]

    size, same = run(trace(there_and_back, a=type_), values)
    assert (size.reshape(16, 4) @ [1, 2, 4, 8]).tolist() == abs(np.arange(-8, 8)).tolist()
    np.testing.assert_array_equal(same, values)


@pytest.mark.parametrize(
    ("count", "bits", "fraction"), [(2, 8, 3), (3, 24, 10), (10, 16, 0), (11, 32, 12), (4, 40, 16)]
)
def test_softmax_is_exact_to_a_unit(count: int, bits: int, fraction: int) -> None:
    w, one = Words(count, bits), 1 << fraction
    f = trace(lambda s, y: softmax(s, y, fraction), s=w, y=Bits(count))
    random = np.random.default_rng(0)
    limit = 1 << bits - 1
    spread = np.minimum(random.choice([1, one, 4 * one, limit], (300, 1)), limit)
    scores = np.clip(np.round(random.normal(size=(300, count)) * spread), -limit, limit - 1).astype(np.int64)
    scores[0], scores[1], scores[2] = 0, limit - 1, -limit
    scores[3, 0], scores[3, 1:] = limit - 1, -limit
    label = np.eye(count, dtype=np.uint8)[random.integers(0, count, len(scores))]
    (found,) = run(f, w.to_bits(scores), label)
    each = np.exp((scores - scores.max(axis=1, keepdims=True)) / one)
    exact = label - each / each.sum(axis=1, keepdims=True)
    assert abs(w.to_integers(found) - exact * one).max() < 1


def test_too_fine_a_softmax_is_refused() -> None:
    with pytest.raises(
        UsageError, match="^25 bits after the point were asked for of exponentials of 3 scores; expected f"
    ):
        trace(lambda s, y: softmax(s, y, 25), s=Words(3, 40), y=Bits(3))
