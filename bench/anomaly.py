"""RDAOutlierDetector on public tables, beside IsolationForest: ROC AUC, false alarms, and time.

    python bench/anomaly.py

The tables are those of ``bench/tabular_sets.py``, which has to be run before, whose columns are numbers. The most
frequent class is normal. A half of its rows, drawn at random with three seeds, is learned; the other half and the rows
of all other classes are the test part. False alarms are the part of the normal test rows that is taken for anomalies,
by the offset that each chooses. The figures are means over the seeds; seconds are processor seconds of one fit and its
predictions on one thread.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from measure import one_core

if __name__ == "__main__":
    one_core()

import tabular_sets
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score

from rdahw import RDAOutlierDetector

SEEDS = range(3)
CATEGORIES = {"DNA", "HouseVotes84", "Soybean", "Zoo", "promotergene"}
SETS = [name for name in tabular_sets.NAMES if name not in CATEGORIES]
DETECTORS: dict[str, Callable[[int], Any]] = {
    "RDAOutlierDetector": lambda seed: RDAOutlierDetector(random_state=seed),
    "IsolationForest": lambda seed: IsolationForest(random_state=seed),
}


def split(x: Any, y: Any, seed: int) -> tuple[Any, Any, Any]:
    """The rows to learn, the rows to test on, and which of these are anomalies."""
    names, counts = np.unique(y, return_counts=True)
    is_normal = y == names[counts.argmax()]
    rows = np.random.default_rng(seed).permutation(np.flatnonzero(is_normal))
    test = np.concatenate([rows[len(rows) // 2 :], np.flatnonzero(~is_normal)])
    return x[rows[: len(rows) // 2]], x[test], ~is_normal[test]


def measure(make: Callable[[int], Any], x: Any, y: Any) -> tuple[float, float, float]:
    """The means of ROC AUC and false alarms, and the seconds."""
    found, started = [], time.process_time()
    for seed in SEEDS:
        train, test, is_anomaly = split(x, y, seed)
        decision = make(seed).fit(train).decision_function(test)
        found.append((roc_auc_score(is_anomaly, -decision), (decision[~is_anomaly] < 0).mean()))
    auc, alarms = np.mean(found, axis=0)
    return float(auc), float(alarms), (time.process_time() - started) / len(SEEDS)


def main() -> None:
    warnings.simplefilter("ignore")
    print(f"| set | {' | '.join(f'{name} | false alarms | s' for name in DETECTORS)} |")
    print("|---" * (1 + 3 * len(DETECTORS)) + "|")
    rows = {}
    for name in SETS:
        x, y = tabular_sets.load(name)
        rows[name] = [measure(make, x, y) for make in DETECTORS.values()]
        print(_line(name, rows[name]), flush=True)
    print(_line("mean", np.mean(list(rows.values()), axis=0).tolist()))


def _line(name: str, figures: Any) -> str:
    cells = (f"{auc:.3f} | {100 * alarms:.0f} % | {seconds:.2g}" for auc, alarms, seconds in figures)
    return f"| {name} | {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
