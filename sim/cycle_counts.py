"""Clock cycles of the examples of a memory trainer, with and without an update."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["CycleCounts", "Cycles"]


@dataclass(slots=True)
class Cycles:
    """Clock cycles of examples of one kind: the number of examples, and their least, most and total cycles."""

    count: int = 0
    min: int = 0
    max: int = 0
    total: int = 0

    def add(self, cycles: NDArray[np.int64]) -> None:
        """Add the cycles of further examples."""
        if len(cycles):
            low, high = int(cycles.min()), int(cycles.max())
            self.min, self.max = min(self.min, low) if self.count else low, max(self.max, high)
            self.count, self.total = self.count + len(cycles), self.total + int(cycles.sum())

    def __str__(self) -> str:
        """«278», or «278 to 534»."""
        return f"{self.min}" if self.min == self.max else f"{self.min} to {self.max}"

    def to_json(self) -> dict[str, Any] | None:
        """``min``, ``max`` and ``mean``; None if there were no such examples."""
        if not self.count:
            return None
        return {"min": self.min, "max": self.max, "mean": round(self.total / self.count, 3)}


@dataclass(slots=True)
class CycleCounts:
    """Cycles from an example's result to the next one's: its update, if any, and the scores of the next one."""

    without_update: Cycles = field(default_factory=Cycles)
    with_update: Cycles = field(default_factory=Cycles)

    def add(self, given: NDArray[np.int64], updated: NDArray[np.bool_]) -> None:
        """given: the cycle of each result, (n,), restarting with each exchange; updated: whether each example changed
        counters, (n,)."""
        between = np.diff(given)
        followed = between > 0
        self.without_update.add(between[followed & ~updated[:-1]])
        self.with_update.add(between[followed & updated[:-1]])
