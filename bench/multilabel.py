"""RDAClassifier on public examples with several labels, beside one-vs-rest logistic regression and ExtraTrees.

    python bench/multilabel.py FOLDER

FOLDER is where ``r-cran-mlr``, a package of Debian, is unpacked (``apt-get download r-cran-mlr``, then ``dpkg-deb -x
FILE.deb FOLDER``): it has Yeast, 2,417 genes with 103 numbers and 14 labels. The file of R is read by ``rdata`` (``pip
install rdata``). Digits comes with scikit-learn; its seven labels are made here from the digit, the segments of a
display that show it.

A quarter of the rows, drawn at random, is the test part, with five seeds. Logistic regression reads numbers scaled to
mean 0 and variance 1. The figures are means over the seeds; seconds are processor seconds of one fit and its
predictions on one thread.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from measure import one_core
from regression import unpacked

if __name__ == "__main__":
    one_core()

from sklearn.datasets import load_digits
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score, hamming_loss
from sklearn.model_selection import train_test_split
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from rdahw import RDAClassifier

SEEDS = range(5)
#: The segments, in the usual order from a to g, that show each digit.
SEGMENTS = (
    *("1111110", "0110000", "1101101", "1111001", "0110011"),
    *("1011011", "1011111", "1110000", "1111111", "1111011"),
)
CLASSIFIERS: dict[str, Callable[[], Any]] = {
    "RDAClassifier": RDAClassifier,
    "logistic regression": lambda: make_pipeline(
        StandardScaler(), OneVsRestClassifier(LogisticRegression(max_iter=1000))
    ),
    "ExtraTrees(300)": lambda: ExtraTreesClassifier(300, random_state=0),
}
METRICS: dict[str, Callable[[Any, Any], float]] = {
    "micro-F1": lambda y, found: float(f1_score(y, found, average="micro")),
    "macro-F1": lambda y, found: float(f1_score(y, found, average="macro", zero_division=0)),
    "Hamming loss": lambda y, found: float(hamming_loss(y, found)),
    "all right": lambda y, found: float(accuracy_score(y, found)),
}


def yeast(root: Path) -> tuple[Any, Any]:
    """Genes X (2417, 103) and labels (2417, 14)."""
    import rdata

    folder = next(root.rglob("mlr/data/Rdata.rdx"))
    for place in rdata.read_rds(folder)["references"].values():  # the tables are in environments without names
        part = unpacked(folder, place)
        if b"label14" in part:
            table = rdata.conversion.convert(rdata.parser.parse_data(part))["bindings"]["data"]
            is_label = [name.startswith("label") for name in table]
            return table.loc[:, np.invert(is_label)].to_numpy(float), table.loc[:, is_label].to_numpy(int)
    raise SystemExit(f"{folder} has no table with label14")


def segments(root: Path) -> tuple[Any, Any]:
    """Digits (1797, 64), and whether each of seven segments shows them (1797, 7)."""
    digits = load_digits()
    return digits.data, np.array([list(map(int, row)) for row in SEGMENTS])[digits.target]


SETS: dict[str, Callable[[Path], tuple[Any, Any]]] = {"yeast": yeast, "digits, segments": segments}


def measure(make: Callable[[], Any], x: Any, y: Any) -> list[float]:
    """The mean of each metric, and the seconds."""
    found, started = [], time.process_time()
    for seed in SEEDS:
        train, test, train_y, test_y = train_test_split(x, y, test_size=0.25, random_state=seed)
        predicted = make().fit(train, train_y).predict(test)
        found.append([metric(test_y, predicted) for metric in METRICS.values()])
    return [*np.mean(found, axis=0), (time.process_time() - started) / len(SEEDS)]


def main() -> None:
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    print(f"| set | | {' | '.join(METRICS)} | s |")
    print("|---" * (3 + len(METRICS)) + "|")
    for name, load in SETS.items():
        x, y = load(options.folder)
        for classifier, make in CLASSIFIERS.items():
            *figures, seconds = measure(make, x, y)
            said = " | ".join(f"{figure:.3f}" for figure in figures)
            print(f"| {name} | {classifier} | {said} | {seconds:.2g} |", flush=True)


if __name__ == "__main__":
    main()
