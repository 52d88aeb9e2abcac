"""The taps of shift registers with linear feedback found by reverse derivative ascent: after how many examples.

    python bench/lfsr.py [--seeds N] [--data NAME …]

The model is ``taps`` of examples/my_models.py, f(theta, x) = parity(theta AND x), which learns by the paper's step from
theta = 0, one example at a time. A seed draws its own data: windows of N random bits each with the next bit, or the
windows of the register's own stream in turn. It has found the taps with the first example after which theta selects
them; then no prediction is wrong any more. A JSON line is printed for each data set.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path

from measure import one_core

if __name__ == "__main__":
    one_core()  # before numpy is loaded

import numpy as np

from rdahw.data import load
from rdahw.data._sequences import WINDOWS
from rdahw.families import spec_of_widths
from rdahw.languages import TAPS
from rdahw.sim.packed import Packed

MODEL = f"{Path(__file__).parent.parent / 'examples' / 'my_models.py'}:taps"


def examples_needed(name: str, seeds: int) -> list[float]:
    """After how many examples each seed has found the taps, infinity if not after all 20,000. All seeds learn at the
    same time, each from its own data."""
    bits, _ = WINDOWS[name]
    step = Packed(spec_of_widths(MODEL, bits, 1).learner().step)
    parts = [load(name, seed=seed).train for seed in range(seeds)]
    x, y = (np.stack([getattr(part, field) for part in parts], 1) for field in ("features", "labels"))
    taps = np.isin(np.arange(bits), TAPS[bits])
    theta, needed = np.zeros((seeds, bits), np.uint8), np.full(seeds, np.inf)
    for at in range(len(x)):
        (theta,) = step(theta, x[at].astype(np.uint8), y[at, :, None].astype(np.uint8))
        needed[np.isinf(needed) & (theta == taps).all(1)] = at + 1
        if np.isfinite(needed).all():
            break
    return list(needed)


def main() -> None:
    parser = argparse.ArgumentParser(description="The taps of shift registers, found by reverse derivative ascent.")
    parser.add_argument("--seeds", type=int, default=101)
    parser.add_argument("--data", nargs="*", choices=list(WINDOWS), default=list(WINDOWS), metavar="NAME")
    given = parser.parse_args()
    for name in given.data:
        bits, _ = WINDOWS[name]
        needed = examples_needed(name, given.seeds)
        row = {
            "data": name,
            "found": len(found := [int(number) for number in needed if number < np.inf]),
            "median": median if (median := statistics.median(needed)) < np.inf else None,
            "least": min(found, default=None),
            "most": max(found, default=None),
            "median_over_2^n": round(median / 2**bits, 2) if median < np.inf else None,
        }
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
