"""Class numbers to output wires and back; sets of labels as numbers, whose bit l says whether label l is in the set."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rdahw.errors import UsageError, UserError, nearest

Code = Literal["one-hot", "binary"]

#: The most labels of a set that is a number of 64 bits.
MAX_LABELS = 62
#: A model that finds anomalies predicts one of so many numbers: below ``NORMAL`` for an anomaly.
DECISIONS = 1 << 16
NORMAL = DECISIONS // 2


def label_sets(members: NDArray[Any]) -> NDArray[Any]:
    """The sets (N,) of the labels with a 1 in ``members`` (N, labels): int64, or whole numbers of Python (dtype object)
    where there are more than :data:`MAX_LABELS` labels, as of long sequences."""
    if members.shape[1] > MAX_LABELS:
        packed = np.packbits(np.asarray(members, np.uint8), axis=1, bitorder="little")
        return np.array([int.from_bytes(row, "little") for row in packed], object)
    sets: NDArray[np.int64] = (members.astype(np.int64) << np.arange(members.shape[1])).sum(axis=1)
    return sets


def members_of_sets(sets: NDArray[Any], labels: int) -> NDArray[np.int64]:
    """0 or 1 (N, labels) for each label: the inverse of :func:`label_sets`."""
    if labels > MAX_LABELS:
        octets = b"".join(int(number).to_bytes((labels + 7) // 8, "little") for number in sets)
        rows = np.frombuffer(octets, np.uint8).reshape(len(sets), -1)
        return np.unpackbits(rows, axis=1, count=labels, bitorder="little").astype(np.int64)
    members: NDArray[np.int64] = sets[:, None].astype(np.int64) >> np.arange(labels) & 1
    return members


def label_width(classes: int, code: str) -> int:
    """The number of wires: ``classes`` for one-hot, max(1, ceil(log2 classes)) for binary.

    Raises UsageError for an unknown code.
    """
    if code == "one-hot":
        return classes
    if code == "binary":
        return max(1, (classes - 1).bit_length())
    raise UsageError(f"there is no label code {code!r}; {nearest(code, get_args(Code))}")


def encode(labels: ArrayLike, classes: int, code: str) -> NDArray[np.uint8]:
    """The label wires of class numbers (N,), as 0 and 1, shape (N, label_width).

    one-hot: wire c is set for class c. binary: the class number, least significant bit at wire 0.
    Raises UsageError for an unknown code, UserError for a number outside 0 .. classes-1.
    """
    width = label_width(classes, code)
    numbers = np.asarray(labels, dtype=np.int64)
    wrong = np.flatnonzero((numbers < 0) | (numbers >= classes))
    if len(wrong):
        raise UserError(f"label {wrong[0]} is class number {numbers[wrong[0]]}, expected 0 to {classes - 1}")
    wires = np.arange(width)
    bits = numbers[:, None] == wires if code == "one-hot" else (numbers[:, None] >> wires) & 1
    return np.asarray(bits, dtype=np.uint8)


def decode(bits: NDArray[Any], classes: int, code: str) -> NDArray[np.int64]:
    """The class numbers (N,) of label wires (N, label_width); -1 for bits that encode no class.

    Raises UsageError for an unknown code, UserError for another width.
    """
    width = label_width(classes, code)
    array = np.asarray(bits)
    if array.ndim != 2 or array.shape[1] != width:
        raise UserError(
            f"label wires of shape {array.shape} do not fit {classes} classes as {code}: expected (N, {width})"
        )
    ones = (array != 0).astype(np.int64)
    if code == "one-hot":
        return np.where(ones.sum(axis=1) == 1, ones.argmax(axis=1), -1).astype(np.int64)
    numbers = ones @ (np.int64(1) << np.arange(width, dtype=np.int64))
    result: NDArray[np.int64] = np.where(numbers < classes, numbers, -1)
    return result
