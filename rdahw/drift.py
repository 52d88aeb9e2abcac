"""An alarm when the error rate of a learner rises: the concept that it learns has drifted.

The rule uses integers alone, so that gateware has it bit for bit (:mod:`rdahw.hdl.drift`). The examples are taken in
blocks of 256, and ``errors`` counts those of a block that were predicted wrongly. Three numbers are kept, all in
sixteenths of an error per block: ``level``, a slow moving average of ``errors``; ``best``, its least value so far; and
``fast``, a fast moving average. At the end of a block:

- In the first eight blocks ``level`` is the sum so far of ``2 * errors``, and the others are equal to it.
- In every other block ``fast`` changes by ``4 * errors - fast // 4``. With ``lasting = (fast - best) // 8``, ``sudden =
  errors - best // 16`` and ``excess = max(lasting, sudden - sudden // 8)`` there is an alarm if ``excess`` is positive
  and ``excess * excess > (best + 32) * 3 // 2``, and after it everything starts again. Without an alarm ``level``
  changes by ``errors - level // 16``, and ``best`` becomes ``level`` if that is less.

This is the drift detection method (DDM) of J. Gama, P. Medas, G. Castillo and P. Rodrigues, *Learning with Drift
Detection* (SBIA 2004), in integers. What is the same: the error rate is compared with the lowest one so far plus a
multiple of its standard deviation, and after an alarm the comparison starts again. What differs: DDM takes the rate of
all examples since the last alarm, which reacts the slower the more there are; here it is that of the last block, and a
moving average over some four blocks. DDM compares by 3 standard deviations of a binomial distribution, and begins with
30 examples; here it is by 5.6 standard deviations of a block (6.5 of the average) under a Poisson distribution with two
more errors per block than expected, after 2,048 examples, so that false alarms are about as rare as one in a hundred
million examples. DDM has a warning level, and here is none.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from rdahw.data._json import damaged, is_int, members
from rdahw.errors import UserError

__all__ = ["BLOCK", "WARM_UP", "DriftAlarm"]

#: The examples of a block.
BLOCK = 256
#: The blocks before the first comparison.
WARM_UP = 8

#: The registers and the largest value of each.
_REGISTERS = {"seen": BLOCK - 1, "errors": BLOCK - 1, "blocks": WARM_UP} | dict.fromkeys(
    ("level", "best", "fast"), 16 * BLOCK
)


class DriftAlarm:
    """The alarm of this module. Call :meth:`update` with the outcome of each prediction, made before learning from it.

    alarms: the number of alarms so far.
    examples: the number of examples so far.
    last: the number of examples at the last alarm, None before the first.
    """

    def __init__(self) -> None:
        self.examples = self.alarms = 0
        self.last: int | None = None
        self._restart()

    def _restart(self) -> None:
        self.seen = self.errors = self.blocks = self.level = self.best = self.fast = 0

    def update(self, wrong: bool) -> bool:
        """Count an example, which was predicted wrongly or not; returns whether it raises the alarm."""
        self.examples += 1
        self.seen += 1
        self.errors += bool(wrong)
        if self.seen < BLOCK:
            return False
        errors, self.seen, self.errors = self.errors, 0, 0
        if self.blocks < WARM_UP:
            self.blocks += 1
            self.level += 2 * errors
            self.best = self.fast = self.level
            return False
        self.fast += 4 * errors - self.fast // 4
        lasting, sudden = (self.fast - self.best) // 8, errors - self.best // 16
        excess = max(lasting, sudden - sudden // 8)
        if excess > 0 and excess * excess > (self.best + 32) * 3 // 2:
            self.alarms += 1
            self.last = self.examples
            self._restart()
            return True
        self.level += errors - self.level // 16
        self.best = min(self.best, self.level)
        return False

    def update_many(self, wrong: ArrayLike) -> list[int]:
        """:meth:`update` for each example of ``wrong`` (N,), in order; returns the positions, from 0, of those that
        raise the alarm."""
        flags, raised, start = np.asarray(wrong, np.bool_), [], 0
        while start < len(flags):
            # All but the last example of a block are only counted.
            stop = min(start + BLOCK - 1 - self.seen, len(flags))
            self.examples += stop - start
            self.seen += stop - start
            self.errors += int(flags[start:stop].sum())
            if stop < len(flags) and self.update(bool(flags[stop])):
                raised.append(stop)
            start = stop + 1
        return raised

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; :meth:`from_json` is the inverse."""
        return {name: getattr(self, name) for name in ("examples", "alarms", "last", *_REGISTERS)}

    @classmethod
    def from_json(cls, value: object) -> DriftAlarm:
        """Read :meth:`to_json` back. Raises :class:`UserError` for a malformed value."""
        names = ("examples", "alarms", "last", *_REGISTERS)
        found, alarm = dict(zip(names, members(value, "the drift alarm", names), strict=True)), cls()
        for name, number in found.items():
            most = _REGISTERS.get(name, 1 << 62)
            if not (is_int(number) and 0 <= number <= most or name == "last" and number is None):
                raise damaged(f"the drift alarm's {name!r}", f"a whole number from 0 to {most}")
            setattr(alarm, name, number)
        if alarm.errors > alarm.seen:
            raise UserError("the drift alarm has counted more errors than examples; the file is damaged")
        return alarm
