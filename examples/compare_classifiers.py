"""Compare RDAClassifier with three classifiers of scikit-learn, on the small data sets of scikit-learn.

    python examples/compare_classifiers.py

prints the table of docs/scikit-learn.md: the mean accuracy of five-fold cross-validation, and its spread over the folds
(standard deviation), in percent. All classifiers have their default settings, except for enough iterations to converge.
Those that need it get features scaled to mean 0 and variance 1. The folds are the same for all.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from rdahw import RDAClassifier

DATA = {"digits": load_digits, "wine": load_wine, "breast cancer": load_breast_cancer}
CLASSIFIERS = {
    "RDAClassifier": RDAClassifier(),
    "LogisticRegression": make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
    "ExtraTrees": ExtraTreesClassifier(random_state=0),
    "MLP": make_pipeline(StandardScaler(), MLPClassifier(max_iter=1000, random_state=0)),
}


def accuracies(classifier: Any, data: str) -> tuple[float, float]:
    """The mean accuracy over five folds, and its standard deviation, in percent."""
    x, y = DATA[data](return_X_y=True)
    scores = 100 * cross_val_score(classifier, x, y, cv=StratifiedKFold(5, shuffle=True, random_state=0))
    return scores.mean(), scores.std()


def table() -> Iterator[str]:
    """The lines of the table, in Markdown."""
    yield f"| accuracy % | {' | '.join(DATA)} |"
    yield "|---" * (1 + len(DATA)) + "|"
    for name, classifier in CLASSIFIERS.items():
        cells = ["{:.1f} ± {:.1f}".format(*accuracies(classifier, data)) for data in DATA]
        yield f"| {name} | {' | '.join(cells)} |"


if __name__ == "__main__":
    for line in table():
        print(line)
