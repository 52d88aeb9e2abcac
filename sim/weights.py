"""Weights of examples, for the estimators of scikit-learn: an example of weight w is learned w times.

Models learn one example after another, so that their order matters. Therefore equal examples, of the same features and
the same label, are counted, and if any comes more than once, all are first put into the order of a hash of their
values, and each is repeated as often as it comes, evenly spread. So it does not matter whether examples are repeated or
weighted, nor which order they have. Where no example comes twice, they keep the order in which they are given. In both
cases the seed shuffles them afterwards.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import _safe_indexing  # type: ignore[import-untyped]
from sklearn.utils.validation import _check_sample_weight, _num_samples  # type: ignore[import-untyped]

from rdahw.training import repeats_of, spread

__all__ = ["arranged", "weighted"]

#: A weight that is no whole number is rounded to a multiple of this part of the mean, at the finest.
_PARTS = 16
#: How many examples are hashed at once.
_ROWS = 2048


def weighted(X: Any, y: Any, sample_weight: Any) -> tuple[Any, Any, NDArray[np.int64] | None]:
    """X and y without the examples that are left out, and how often each of the others comes, (n,), None: once.

    Whole numbers up to 1,000 stay as they are. Other weights are divided by the smallest one above 0, or by a sixteenth
    of the mean of those above 0 if that is more, rounded to the nearest whole number, halves up, and divided by their
    greatest common divisor: no weight is off by more than 1/32 of the mean, and examples come less than 17 times in the
    mean. Raises ValueError for weights that are no numbers of at least 0, and if all are 0.
    """
    if sample_weight is None:
        return X, y, None
    weights = _check_sample_weight(sample_weight, X, dtype=np.float64)
    for i in np.flatnonzero(weights < 0)[:1]:
        raise ValueError(f"the sample_weight of example {i} is {weights[i]}; expected a number of at least 0")
    above = weights[weights > 0]
    if not len(above):
        raise ValueError("every sample_weight is zero; expected one above 0")
    repeats = np.zeros(len(weights), np.int64)
    repeats[weights > 0] = repeats_of(above, math.fsum(above) / len(above) / _PARTS)
    if y is None or _num_samples(y) != len(weights):  # which the checks of X and y refuse
        return X, y, repeats
    if not repeats.all():
        kept = np.flatnonzero(repeats)
        X, y, repeats = _safe_indexing(X, kept), _safe_indexing(y, kept), repeats[kept]
    return X, y, repeats


def arranged(array: NDArray[Any], labels: NDArray[Any], repeats: NDArray[np.int64] | None = None) -> Any:
    """The numbers of the examples (N, F) of these labels (N,), each ``repeats`` (N,) times, in the order in which they
    are learned; a slice for all of them as they are."""
    numbers = np.unique(labels, return_inverse=True)[1]
    if (repeats is None or repeats.max() == 1) and _all_differ(array, numbers):
        return slice(None) if repeats is None else np.flatnonzero(repeats)
    keys = [hashlib.blake2b(row, digest_size=16).digest() for rows in _blocks(array, numbers) for row in rows]
    _, first, number = np.unique(np.array(keys, "S16"), return_index=True, return_inverse=True)
    total = np.bincount(number, weights=repeats).astype(np.int64)
    if total.max() > 1:
        return first[spread(total)]
    return slice(None) if repeats is None else np.flatnonzero(repeats)


def _blocks(array: NDArray[Any], numbers: NDArray[np.int64]) -> Iterator[NDArray[np.float64]]:
    """The features and the number of the label of some examples after others, the same bits for equal ones."""
    for start in range(0, len(array), _ROWS):
        rows = slice(start, start + _ROWS)
        values = np.column_stack([array[rows], numbers[rows]]).astype("<f8", "C") + 0.0  # -0 becomes 0
        values[np.isnan(values)] = np.nan
        yield values


def _all_differ(array: NDArray[Any], numbers: NDArray[np.int64]) -> bool:
    """Whether sums of the examples' bits with random factors tell that no two are equal; False: some may be."""
    factors = np.random.default_rng(0).integers(1 << 63, size=array.shape[1] + 1, dtype=np.uint64) | np.uint64(1)
    sums = []
    for values in _blocks(array, numbers):
        words = values.view("<u8")
        sums.append((words ^ (words >> np.uint64(32))) @ factors)  # the low bits of whole numbers are all 0
    found = np.sort(np.concatenate(sums))
    return bool((found[1:] != found[:-1]).all())
