"""A binariser as a circuit: comparisons of whole numbers with constants, for a predictor that takes numbers."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rdahw.circuit import Circuit
from rdahw.data.binarise import Binariser
from rdahw.data.cell_binariser import CELLS
from rdahw.data.plane_binariser import PlaneBinariser
from rdahw.errors import UserError
from rdahw.tracing import Wire, cat, trace
from rdahw.types import Bits

__all__ = ["MOST_BITS", "binariser_circuit", "check_comparisons", "comparisons", "number_bits"]

#: The most bits of a number.
MOST_BITS = 16


def binariser_circuit(binariser: Binariser, bits: int) -> Circuit:
    """``x ↦ wires``: what :meth:`Binariser.transform` gives for features that are whole numbers of ``bits`` bits.

    x: Bits(features * bits), feature i in the bits from i * bits on, the lowest first. Raises as :func:`comparisons`.
    """
    features, least = comparisons(binariser, bits)

    def compare(x: Wire) -> Wire:
        numbers = [x[i : i + bits] for i in range(0, x.width, bits)]
        return cat(*(_at_least(numbers[feature], n) for feature, n in zip(features, least, strict=True)))

    return trace(compare, x=Bits(len(binariser.columns) * bits))


def comparisons(binariser: Binariser, bits: int) -> tuple[list[int], list[int]]:
    """The feature of each wire, and the least whole number for which it is 1; ``1 << bits`` if it never is. Raises as
    :func:`check_comparisons`."""
    check_comparisons(binariser)
    if binariser.rule == CELLS:
        return binariser.wire_columns.tolist(), _least_above(binariser, bits).tolist()
    features = _features(binariser)
    return features, _least(binariser, features, bits).tolist()


def check_comparisons(binariser: Binariser) -> None:
    """Raise :class:`UserError` for a binariser that does more than compare numbers."""
    kinds = [column.kind for column in binariser.columns]
    missing = any(column.missing for column in binariser.columns)
    if missing or "category" in kinds or binariser.is_fixed or isinstance(binariser, PlaneBinariser):
        found = "categories or missing values" if missing or "category" in kinds else f"the rule {binariser.rule!r}"
        raise UserError(
            f"{found} cannot be made of comparisons; leave out --encoder, or binarise numbers by quantile=K"
        )


def number_bits(binariser: Binariser, features: ArrayLike, bits: int) -> NDArray[np.uint8]:
    """The bits of features (N, F) as :func:`binariser_circuit` takes them, (N, F * bits). Raises :class:`UserError` for
    numbers that are not whole ones of ``bits`` bits."""
    array = np.asarray(features).reshape(len(np.asarray(features)), -1)
    wrong = ~((array >= 0) & (array < 1 << bits) & (array == np.floor(array)))
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise UserError(
            f"{binariser.names[column]!r} is {array[row, column]:g} in example {row + 1}; --encoder {bits} takes whole "
            f"numbers from 0 to {(1 << bits) - 1}: scale the data to them and train again, or give --encoder more bits"
        )
    whole = array.astype(np.uint32)[:, :, None] >> np.arange(bits, dtype=np.uint32)
    return (whole & 1).astype(np.uint8).reshape(len(array), -1)


def _features(binariser: Binariser) -> list[int]:
    """The feature of each wire: all in the first plane, then the numbers in each further one."""
    numbers = [i for i, column in enumerate(binariser.columns) if column.kind == "number"]
    return [*range(len(binariser.columns)), *numbers * (binariser.planes - 1)]


def _least(binariser: Binariser, features: list[int], bits: int) -> NDArray[np.int64]:
    """The least number for which each wire is 1, (wires,); ``1 << bits`` if there is none. By bisection, as a wire that
    is 1 for a number is 1 for all larger ones."""
    wires = np.arange(len(features))
    binary = np.array([binariser.columns[i].kind == "binary" for i in features])
    plane = np.where(wires < len(binariser.columns), 0, 1)
    numbers = max(1, binariser.plane_width)
    plane += np.maximum(wires - len(binariser.columns), 0) // numbers
    low, high = np.where(binary, 1, 0), np.where(binary, 1, 1 << bits)
    while (low < high).any():
        middle = (low + high) // 2
        tried = np.zeros((binariser.planes, len(binariser.columns)))
        tried[plane, features] = np.where(binary, 0, middle)
        is_set = binariser.transform(tried)[plane, wires] == 1
        low, high = np.where(is_set | (low == high), low, middle + 1), np.where(is_set, middle, high)
    return low.astype(np.int64)


def _least_above(binariser: Binariser, bits: int) -> NDArray[np.int64]:
    """As :func:`_least`, where each wire has a threshold of its own."""
    thresholds = binariser.table.T[np.isfinite(binariser.table.T)]
    least = (np.floor(thresholds.clip(-1, 1 << bits)) + 1).clip(0, 1 << bits)
    return np.asarray(least, np.int64)


def _at_least(number: Wire, least: int) -> Wire:
    """1 where the number is ``least`` or more, of one gate for each bit but the lowest ones that are 0 in ``least``."""
    if least >= 1 << number.width:
        return number.zeros(1)
    found: Wire | None = None
    for i in range(number.width):
        bit = number[i]
        if least >> i & 1:
            found = bit if found is None else bit & found
        elif found is not None:
            found = bit | found
    return number.const(1, 1) if found is None else found
