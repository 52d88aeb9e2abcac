"""Iris by the model ``linear`` with each loss and optimiser for words, and MNIST: the tables of docs/lenses.md.

``python bench/optimisers.py``: half of each class of Iris is held out, for the split and the order of seeds 0 to 4. The
setting of a row is that of the most right on the last third of its training halves, learned from the other two thirds.

``python bench/optimisers.py --mnist``: one epoch; settings chosen on the last 10,000 training images, learned from the
others.

Counters have 24 bits at most, and words 44 with them, in which no score wraps.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from rdahw.data import fit_binariser, load
from rdahw.families import find_family
from rdahw.family import Spec, Task
from rdahw.random import permutation, stream
from rdahw.sim.engines import make_engine
from rdahw.training import Examples, Schedule, Training

LOSSES = ("quadratic=10", "softmax=10", "margin=200", "margin=2000", "dot=10")
OPTIMISERS = {
    "descent": ("descent=2,10", "descent=8,10", "descent=1024,10"),
    "momentum": ("momentum=2,922,10", "momentum=8,512,10", "momentum=1024,512,10"),
    "nesterov": ("nesterov=2,922,10", "nesterov=8,512,10", "nesterov=1024,512,10"),
    "adagrad": ("adagrad=30,10", "adagrad=100,10", "adagrad=300,10"),
    "adam": ("adam=2,922,1013,10", "adam=5,922,1013,10"),
    "counter": ("counter=20", "counter=24"),
    "multinomial": ("multinomial=8,0,10", "multinomial=32,0,10", "multinomial=128,0,10"),
}
MNIST = (
    ("margin=1000000", "counter=24"),
    ("margin=1000", "multinomial=256,0,10"),
    ("quadratic=10", "descent=2,10"),
)
SEEDS = range(5)
EPOCHS = 60


def make(task: Task, loss: str, optimiser: str) -> Spec:
    """The model, with words that hold the scores of the widest counters here."""
    bits = 44 if optimiser.startswith("counter=") else None
    return find_family("linear").spec(task, loss=loss, optimiser=optimiser, bits=bits)


def right(spec: Spec, train: Examples, test: Examples, seed: int, epochs: int) -> float:
    """The part of ``test`` that is predicted correctly after the last epoch."""
    training = Training(make_engine(spec, "packed"), Schedule(epochs=epochs, shuffle=True, seed=seed), train)
    for _ in training.run():
        pass
    return float((training.engine.predict(training.prepare(test)) == test.labels).mean())


def halves(table: Path) -> Iterator[tuple[int, Task, Examples, Examples]]:
    """For each seed the task, and the halves to learn and to test."""
    for seed in SEEDS:
        data = load(str(table), label="species", split=0.5, seed=seed)
        binariser = fit_binariser(data, "fixed=10")
        assert data.test is not None
        train, test = (Examples(binariser.transform(e.features), e.labels) for e in (data.train, data.test))
        yield seed, Task.of(data.schema, binariser), train, test


def best(table: Path, loss: str, settings: tuple[str, ...]) -> tuple[str, np.ndarray]:
    """The chosen setting, and the part of the held-out flowers that are predicted correctly for each seed."""
    scores, each = np.zeros(len(settings)), list(halves(table))
    if len(settings) > 1:
        for seed, task, train, _ in each:
            order = permutation(stream(seed, "inner"), len(train))
            part = 2 * len(train) // 3
            inner = train.take(order[:part]), train.take(order[part:])
            for i, optimiser in enumerate(settings):
                scores[i] += right(make(task, loss, optimiser), *inner, seed, EPOCHS)
    chosen = settings[int(scores.argmax())]
    found = [right(make(task, loss, chosen), train, test, seed, EPOCHS) for seed, task, train, test in each]
    return chosen, np.array(found)


def iris() -> None:
    """Print the table of Iris."""
    from rdahw.data._named import read_iris

    data = read_iris()
    print("| loss | optimiser | held-out flowers right, %, mean of 5 seeds (worst, best) |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "iris.csv"
        with table.open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow([*data.feature_names, "species"])
            for features, label in zip(data.train.features, data.train.labels, strict=True):
                rows.writerow([*features, data.label_names[label]])
        for loss in LOSSES:
            for settings in OPTIMISERS.values():
                optimiser, found = best(table, loss, settings[:1] if loss.startswith("dot") else settings)
                found = 100 * found
                print(
                    f"| `{loss}` | `{optimiser}` | {found.mean():.1f} ({found.min():.1f}, {found.max():.1f}) |",
                    flush=True,
                )


def mnist() -> None:
    """Print the table of MNIST."""
    data = load("mnist")
    assert data.test is not None
    binariser = fit_binariser(data, "threshold=64")
    train, test = (Examples(binariser.transform(e.features), e.labels) for e in (data.train, data.test))
    task = Task.of(data.schema, binariser)
    print("| loss | optimiser | test images right, % | processor seconds |\n|---|---|---|---|")
    for loss, optimiser in MNIST:
        spec, start = make(task, loss, optimiser), time.process_time()
        found = 100 * right(spec, train, test, 0, 1)
        print(f"| `{loss}` | `{optimiser}` | {found:.1f} | {time.process_time() - start:.0f} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mnist", action="store_true")
    mnist() if parser.parse_args().mnist else iris()
