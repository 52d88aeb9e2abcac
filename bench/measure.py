"""The rules of measuring that every learner shares: the race to an accuracy, taking turns, one core.

No more than the standard library is imported, as the peers run in an environment of their own.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

#: The cores that this process was started with; without affinity, None.
CORES = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
LEVELS = (0.95, 0.97, 0.98)
#: What limits the threads of numpy's, torch's and numba's libraries.
ONE_THREAD = {
    f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "NUMBA", "VECLIB_MAXIMUM", "BLIS")
}


class Look(NamedTuple):
    """One look at the held-out examples: processor seconds of training before it, examples, the part that is right."""

    seconds: float
    examples: int
    accuracy: float


def race(
    steps: Iterable[Callable[[], int]],
    accuracy: Callable[[], float],
    budget: float,
    clock: Callable[[], float] = time.process_time,
) -> list[Look]:
    """Train until ``budget`` seconds are used up or ``steps`` end, with a look after each step.

    Calling a step trains on some more examples and gives how many; only that is on the clock, not making the step
    ready and not ``accuracy()``. The step in which the budget ends is counted.
    """
    looks: list[Look] = []
    seconds, examples = 0.0, 0
    for step in steps:
        start = clock()
        examples += step()
        seconds += clock() - start
        looks.append(Look(seconds, examples, accuracy()))
        if seconds >= budget:
            break
    return looks


def reached(looks: Sequence[Sequence[float]], level: float) -> float | None:
    """Seconds at the first look at or above ``level``; None if there is none. Nothing is interpolated."""
    return next((seconds for seconds, _, accuracy in looks if accuracy >= level), None)


def best(looks: Sequence[Sequence[float]]) -> float:
    """The highest accuracy of all looks, 0 without any."""
    return max((accuracy for _, _, accuracy in looks), default=0.0)


def pruned(looks: Sequence[Look], most: int = 200) -> list[Look]:
    """At most about ``most`` looks, closer together early: all that come first at a level or a record stay."""
    keep, record, last = [], 0.0, 0.0
    ratio = (looks[-1].seconds / looks[0].seconds) ** (1 / most) if len(looks) > most else 1.0
    for look in looks:
        level = any(look.accuracy >= level > record for level in LEVELS)
        top = look.accuracy == best(looks) and look.accuracy > record
        if level or top or look.seconds >= last * ratio:
            keep.append(look)
            last = look.seconds
        record = max(record, look.accuracy)
    return keep


def microseconds(call: Callable[[Any], object], rows: Sequence[Any], turns: int) -> float:
    """Processor microseconds of ``call`` with a row, of the quickest of some turns through all of them."""
    found = []
    for _ in range(turns):
        start = time.process_time()
        for row in rows:
            call(row)
        found.append(time.process_time() - start)
    return round(1e6 * min(found) / len(rows), 1)


def one_core() -> None:
    """Bind this process and what it starts to one core and one thread."""
    os.environ.update(ONE_THREAD)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


@contextmanager
def all_cores() -> Iterator[int]:
    """For the time of the block every core that this process was started with, and how many these are; threads of
    libraries that :func:`one_core` limits stay limited."""
    if CORES is None:
        yield os.cpu_count() or 1
        return
    bound = os.sched_getaffinity(0)
    os.sched_setaffinity(0, CORES)
    try:
        yield len(CORES)
    finally:
        os.sched_setaffinity(0, bound)


class Turns:
    """Programs that take turns; each is a function and how much work one call of it is."""

    def __init__(self) -> None:
        self.programs: dict[str, tuple[Callable[[], Any], float]] = {}
        self.seconds: dict[str, list[float]] = {}

    def add(self, name: str, work: float, run: Callable[[], Any]) -> None:
        self.programs[name] = run, work

    def take(self, rounds: int, most_seconds: float = float("inf")) -> None:
        """A turn of each that does not count, then ``rounds`` more, or as many as begin within ``most_seconds``."""
        for run, _ in self.programs.values():
            run()
        end = time.perf_counter() + most_seconds
        for n in range(rounds):
            if n and time.perf_counter() > end:
                break
            for name, (run, _) in self.programs.items():
                started = time.perf_counter()
                run()
                self.seconds.setdefault(name, []).append(time.perf_counter() - started)

    def results(self) -> dict[str, dict[str, float]]:
        """Work a second in the best turn, and how much longer the median turn was."""
        return {
            name: {
                "per_second": work / min(self.seconds[name]),
                "noise": statistics.median(self.seconds[name]) / min(self.seconds[name]) - 1,
            }
            for name, (_, work) in self.programs.items()
        }
