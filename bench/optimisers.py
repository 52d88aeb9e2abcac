"""Iris by the model ``linear`` with losses and optimisers for words: the table of docs/lenses.md.

``python bench/optimisers.py``: half of each class is held out, for the split and the order of seeds 0 to 4.
"""

from __future__ import annotations

import csv
import tempfile
from pathlib import Path

import numpy as np

from rdahw.data import fit_binariser, load
from rdahw.families import find_family
from rdahw.family import Task
from rdahw.sim.engines import make_engine
from rdahw.training import Examples, Schedule, Training

LOSSES = ("quadratic=10", "softmax=10", "margin=200", "dot=10")
OPTIMISERS = {
    "descent": ("descent=2,10", "descent=8,10", "descent=1024,10"),
    "momentum": ("momentum=2,922,10", "momentum=8,512,10", "momentum=1024,512,10"),
    "nesterov": ("nesterov=2,922,10", "nesterov=8,512,10", "nesterov=1024,512,10"),
    "adagrad": ("adagrad=20,10", "adagrad=100,10", "adagrad=400,10"),
    "adam": ("adam=2,922,1013,10", "adam=5,922,1013,10", "adam=20,922,1013,10"),
    "counter": ("counter=16", "counter=20", "counter=24"),
    "multinomial": ("multinomial=8,0,10", "multinomial=32,0,10", "multinomial=128,0,10"),
}
SEEDS = range(5)


def accuracies(table: Path, loss: str, optimiser: str) -> list[float]:
    """The part of the held-out flowers that are predicted correctly after the last epoch, for each seed."""
    found = []
    for seed in SEEDS:
        data = load(str(table), label="species", split=0.5, seed=seed)
        binariser = fit_binariser(data, "fixed=10")
        spec = find_family("linear").spec(Task.of(data.schema, binariser), loss=loss, optimiser=optimiser)
        assert data.test is not None
        train, test = (Examples(binariser.transform(e.features), e.labels) for e in (data.train, data.test))
        training = Training(make_engine(spec, "packed"), Schedule(epochs=60, shuffle=True, seed=seed), train)
        for _ in training.run():
            pass
        found.append(float((training.engine.predict(training.prepare(test)) == test.labels).mean()))
    return found


def main() -> None:
    """Print the table."""
    from rdahw.data._named import read_iris

    iris = read_iris()
    print("| loss | optimiser | held-out flowers right, %, mean of 5 seeds (worst, best) |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "iris.csv"
        with table.open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow([*iris.feature_names, "species"])
            for features, label in zip(iris.train.features, iris.train.labels, strict=True):
                rows.writerow([*features, iris.label_names[label]])
        for loss, optimiser in PAIRS:
            found = 100 * np.array(accuracies(table, loss, optimiser))
            print(
                f"| `{loss}` | `{optimiser}` | {found.mean():.1f} ({found.min():.1f}, {found.max():.1f}) |", flush=True
            )


if __name__ == "__main__":
    main()
