"""A target that is a number, as equal steps: what a model learns where the label is not a class."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rdahw.data._json import damaged, is_int, members, number
from rdahw.errors import UsageError, UserError

#: The most steps of a target, and how many there are by default.
MAX_STEPS = 1 << 16
USUAL_STEPS = 1 << 12


@dataclass(frozen=True)
class Target:
    """The numbers ``low + k * step`` for k = 0 .. ``steps`` - 1, which are all that a model can predict."""

    low: float
    step: float
    steps: int

    @classmethod
    def fit(
        cls,
        values: ArrayLike,
        *,
        low: float | None = None,
        high: float | None = None,
        step: float | None = None,
    ) -> Target:
        """The target of training labels ``values`` (N,): from ``low`` (their smallest) to ``high`` (their largest) in
        steps of ``step`` (1/4095 of the range; 1 if the range is one number).

        Raises :class:`UsageError` for a step that is not positive, an empty range, or over 65,536 steps, and
        :class:`UserError` for a range that float64 cannot hold.
        """
        array = np.asarray(values, np.float64)
        low = float(array.min()) if low is None else low
        high = float(array.max()) if high is None else high
        if math.isnan(low) or math.isnan(high):
            raise UsageError(f"the range of the labels is {low:g} to {high:g}; expected two numbers")
        span = high - low
        if not math.isfinite(span):
            raise UserError(f"the labels span {low:g} to {high:g}, more than a float64 holds; scale them")
        if span < 0:
            raise UsageError(f"the range of the labels is {low:g} to {high:g}; give the smaller number first")
        if step is None:
            step = span / (USUAL_STEPS - 1) or 1.0
        if not (step > 0 and math.isfinite(step)):
            raise UsageError(f"the step of the labels is {step:g}; expected a number above 0")
        steps = max(2, 1 + math.ceil(span / step - 1e-9)) if span / step < MAX_STEPS else MAX_STEPS + 1
        if steps > MAX_STEPS:
            raise UsageError(
                f"steps of {step:g} from {low:g} to {high:g} are more than {MAX_STEPS:,}; give a larger step or a "
                "smaller range"
            )
        return cls(low, step, steps)

    @property
    def high(self) -> float:
        """The largest number."""
        return self.low + (self.steps - 1) * self.step

    def numbers(self, values: ArrayLike) -> NDArray[np.int64]:
        """The number k (N,) of the nearest step to each of ``values`` (N,): the first or the last for one outside."""
        steps = np.floor((np.asarray(values, np.float64) - self.low) / self.step + 0.5)
        return steps.clip(0, self.steps - 1).astype(np.int64)

    def values(self, numbers: ArrayLike) -> NDArray[np.float64]:
        """The numbers (N,) with these k (N,)."""
        return self.low + np.asarray(numbers, np.float64) * self.step

    def outside(self, values: ArrayLike) -> int:
        """How many of ``values`` (N,) are more than half a step outside of the range."""
        array = np.asarray(values, np.float64)
        return int(((array < self.low - self.step / 2) | (array > self.high + self.step / 2)).sum())

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"low": self.low, "step": self.step, "steps": self.steps}

    @classmethod
    def from_json(cls, value: object) -> Target:
        """Read :meth:`to_json` back. Raises UserError for a malformed value."""
        low, step, steps = members(value, "the schema's 'target'", ("low", "step", "steps"))
        size = number(step, "the step of the schema's 'target'")
        if size <= 0 or not is_int(steps) or not 2 <= steps <= MAX_STEPS:
            raise damaged("the schema's 'target'", f"2 to {MAX_STEPS} steps above 0")
        return cls(number(low, "the smallest number of the schema's 'target'"), size, steps)
