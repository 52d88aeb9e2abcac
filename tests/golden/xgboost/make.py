"""Write the files of this folder: classifiers of XGBoost 3.2.0 as JSON, and what they predict.

python tests/golden/xgboost/make.py, with xgboost and scikit-learn installed.
"""

import json
from pathlib import Path

import numpy as np
import xgboost
from sklearn.datasets import load_breast_cancer, load_iris

HERE = Path(__file__).parent
cancer, iris = load_breast_cancer(return_X_y=True), load_iris(return_X_y=True)
iris[0][::7, 2] = np.nan
predictions = {}
for name, (x, y), options in (
    ("breast-cancer", cancer, {"objective": "binary:logistic"}),
    ("iris-missing", iris, {"objective": "multi:softprob", "num_class": 3}),
):
    train = np.arange(len(x)) % 4 > 0
    data = xgboost.DMatrix(x[train], y[train])
    rounds = 20 if name == "breast-cancer" else 6
    booster = xgboost.train({"max_depth": 3, "nthread": 1, **options}, data, rounds)
    booster.save_model(HERE / f"{name}.json")
    said = booster.predict(xgboost.DMatrix(x))
    predictions[name] = "".join(map(str, said.argmax(axis=1) if said.ndim > 1 else (said > 0.5).astype(int)))
(HERE / "predictions.json").write_text(json.dumps(predictions, indent=1))
