"""Predictions of the MNIST test images: by the engine, and through scikit-learn's interface beside an MLP.

    python bench/predictions.py [--rounds N]

One process on one core; the predictors take turns, and each figure is that of its best turn. Accuracies are those of
models that are trained here, for some epochs only: the time of a prediction does not depend on it.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from typing import Any

from measure import Turns, all_cores, one_core

if __name__ == "__main__":
    one_core()  # before numpy is loaded

import numpy as np
from ensemble import SETTINGS, make, prepare

from rdahw.data import load
from rdahw.data.binarise import Binariser
from rdahw.data.images import Image
from rdahw.sim.ensemble import CompiledEnsemble
from rdahw.training import Examples, Schedule, Training

EPOCHS = 5
#: How many rows are predicted one by one in a turn, and seconds of all turns.
ROWS, SECONDS = 20, 30.0
MLP = "scikit-learn MLPClassifier(128)"


def predictions(rounds: int) -> dict[str, Any]:
    """Classes a second of the 256 x 6 model, on the test images: on one core, and from packed bits on all cores."""
    setting = SETTINGS["256x6"]
    data = load(setting.data)
    assert data.test is not None
    x, labels, test_x, test_labels, image = prepare(setting, held_out=False)
    engine = CompiledEnsemble(make(setting, 0, x, image))
    for _ in Training(engine, Schedule(epochs=5, shuffle=True), Examples(x, labels)).run():
        pass
    packed = engine.pack(test_x)
    binariser = Binariser.fit(setting.rule, data.train.features, data.columns)
    pixels = data.test.features
    right = float((engine.classify(packed) == test_labels).mean())
    turns = Turns()
    turns.add("from packed bits", len(packed), lambda: engine.classify(packed))
    turns.add("from pixels", len(packed), lambda: engine.classify(engine.pack(binariser.transform(pixels))))
    turns.take(rounds)
    with all_cores() as cores:
        engine.threads = cores
        together = Turns()
        together.add(f"from packed bits, all cores ({cores})", len(packed), lambda: engine.classify(packed))
        together.take(rounds)
    found = {**turns.results(), **together.results()}
    return {name: {**row, "test_accuracy": right} for name, row in found.items()}


def interfaces(rounds: int) -> dict[str, dict[str, float]]:
    """For each model its accuracy, images a second of all test images at once, and microseconds of one row; beside
    them an estimator that only validates a row."""
    from sklearn.base import BaseEstimator
    from sklearn.neural_network import MLPClassifier
    from sklearn.utils.validation import validate_data

    from rdahw import RDAClassifier

    class Validates(BaseEstimator):  # type: ignore[misc]
        def fit(self, x: Any) -> Validates:
            validate_data(self, x)
            return self

        def predict(self, x: Any) -> None:
            validate_data(self, x, reset=False)

    data = load("mnist")
    assert data.test is not None
    (x, y), (test_x, test_y) = ((p.features.reshape(len(p), -1), p.labels) for p in (data.train, data.test))
    assert data.image_shape is not None
    options = make(SETTINGS["256x6"], 0, x, Image(1, *data.image_shape)).options()
    pixels: dict[str, Any] = {"image_shape": data.image_shape, "thresholds": [32]}
    mlp = MLPClassifier((128,), learning_rate_init=0.003, max_iter=EPOCHS, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it has not converged is meant
        mlp.fit(x.astype(np.float32) / np.float32(255), y)
    models = {
        "rdahw 256 x 6": RDAClassifier(**options, **pixels, epochs=EPOCHS).fit(x, y),
        "rdahw grown, 1,000 tables": RDAClassifier(model="grown:tables=1000", **pixels).fit(x, y),
        MLP: mlp,
    }
    turns, found = Turns(), {}

    def one_by_one(predict: Callable[[Any], Any], rows: list[Any]) -> Callable[[], Any]:
        return lambda: [predict(row) for row in rows]

    for name, model in models.items():
        floats = test_x.astype(np.float32) / np.float32(255 if model is mlp else 1)
        found[name] = {"test_accuracy": float(model.score(floats, test_y))}
        turns.add(f"{name}: float32", len(floats), lambda model=model, x=floats: model.predict(x))
        turns.add(f"{name}: row", ROWS, one_by_one(model.predict, [floats[i : i + 1] for i in range(ROWS)]))
        if model is not mlp:
            turns.add(f"{name}: uint8", len(test_x), lambda model=model: model.predict(test_x))
            turns.add(f"{name}: predict_one", ROWS, one_by_one(model.predict_one, list(floats[:ROWS])))
    validates, found["validating alone"] = Validates().fit(floats), {}
    turns.add("validating alone: row", ROWS, one_by_one(validates.predict, [floats[i : i + 1] for i in range(ROWS)]))
    turns.take(rounds, SECONDS)
    for key, row in turns.results().items():
        name, _, kind = key.rpartition(": ")
        found[name][kind] = row["per_second"]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=100)
    options = parser.parse_args()
    from report import interfaces_table

    print(interfaces_table(interfaces(options.rounds), MLP), end="")


if __name__ == "__main__":
    main()
