"""A stream whose concept changes at once: when the alarm is raised, and how the error recovers.

    python bench/drift.py [--seeds 20] [--before 100000] [--after 10000]

For each seed the examples have 10 numbers, normally distributed, and two classes: the sign of a random weighted sum of
the numbers, wrong for 5 % of the examples. After ``--before`` examples the weights are others, or the classes are
swapped. The ensemble learns as
``rdahw train --stream`` with its defaults does: thresholds by the first 1,000 examples, each example predicted before
it is learned; without and with ``--forget``. Prints the alarms before the change (false ones), the examples from the
change to the first alarm, and the error of the last 1,000 examples before the change, of the first 1,000 after it and
of the last 1,000.
"""

from __future__ import annotations

import argparse
import statistics
from itertools import product
from typing import NamedTuple

import numpy as np

from rdahw import DriftAlarm
from rdahw.data import Binariser, Column
from rdahw.families import find_family
from rdahw.family import Task
from rdahw.sim.engines import make_engine
from rdahw.training import Batches, Examples

COLUMNS = 10
NOISE = 0.05
FORGET = (0, 1000)
CHANGES = ("other weights", "swapped classes")


class Result(NamedTuple):
    """false: alarms before the change. delay: examples from it to the first alarm, None without. before, after, end:
    the error of 1,000 examples before the change, after it, and at the end."""

    false: int
    delay: int | None
    before: float
    after: float
    end: float


def make_stream(seed: int, before: int, after: int, change: str) -> tuple[np.ndarray, np.ndarray]:
    """Features (N, 10) and class numbers (N,)."""
    rng = np.random.default_rng(seed)
    features, weights = rng.normal(size=(before + after, COLUMNS)), rng.normal(size=(2, COLUMNS))
    if change == "swapped classes":
        weights[1] = -weights[0]
    concept = (np.arange(len(features)) >= before).astype(int)
    labels = ((features * weights[concept]).sum(axis=1) > 0) ^ (rng.random(len(features)) < NOISE)
    return features, labels.astype(np.int64)


def measure(seed: int, before: int, after: int, forget: int, change: str) -> Result:
    """Learn one stream."""
    features, labels = make_stream(seed, before, after, change)
    binariser = Binariser.fit("quantile=15", features[:1000], (Column("number"),) * COLUMNS)
    task = Task(input_bits=binariser.width, classes=2, seed=seed)
    engine, alarm = make_engine(find_family("ensemble").spec(task, forget=forget)), DriftAlarm()
    wrong, alarms = np.empty(0, np.bool_), []
    for start in range(0, len(labels), 4096):
        part = slice(start, start + 4096)
        prepared = engine.prepare(Examples(binariser.transform(features[part]), labels[part]))
        now = engine.train(prepared, Batches.single(np.arange(len(labels[part])))).wrong
        alarms += [start + at for at in alarm.update_many(now)]
        wrong = np.concatenate([wrong, now > 0])
    later = [at - before + 1 for at in alarms if at >= before]
    errors = (
        wrong[part].mean() for part in (slice(before - 1000, before), slice(before, before + 1000), slice(-1000, None))
    )
    return Result(len(alarms) - len(later), later[0] if later else None, *map(float, errors))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--before", type=int, default=100_000)
    parser.add_argument("--after", type=int, default=10_000)
    options = parser.parse_args()
    for change, forget in product(CHANGES, FORGET):
        results = [measure(seed, options.before, options.after, forget, change) for seed in range(options.seeds)]
        delays = [result.delay for result in results if result.delay is not None]
        missed = len(results) - len(delays)
        errors = (statistics.mean(getattr(result, name) for result in results) for name in ("before", "after", "end"))
        when = f"{min(delays, default=None)} to {max(delays, default=None)} examples after the change"
        print(
            f"{change}, forget {forget}: {sum(result.false for result in results)} false alarms in {len(results)} x "
            f"{options.before} examples; alarm {when}, {missed} missed; "
            "error {:.1%} before, {:.1%} after, {:.1%} at the end".format(*errors),
            flush=True,
        )


if __name__ == "__main__":
    main()
