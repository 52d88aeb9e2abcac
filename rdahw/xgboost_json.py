"""Models of XGBoost as JSON, as its ``Booster.save_model`` writes them to a file that ends in .json."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdahw.errors import UsageError, UserError
from rdahw.tree_models import Tree, TreeModel, as_float32
from rdahw.types import shown

__all__ = ["read_xgboost"]


def _same(score: float) -> float:
    return score


def _margin(chance: float) -> float:
    return math.log(chance / (1 - chance))


#: The objectives that are supported, and what their ``base_score`` adds to the sums.
_OBJECTIVES: Mapping[str, Callable[[float], float]] = {
    "binary:logistic": _margin,
    "binary:logitraw": _same,
    "multi:softprob": _same,
    "multi:softmax": _same,
}
#: What a tree is read from.
_ROWS = ("left_children", "right_children", "split_indices", "split_conditions", "default_left", "split_type")


def read_xgboost(path: Path, *, missing: bool = False, class_names: Sequence[str] | None = None) -> TreeModel:
    """The classifier in a JSON file of XGBoost. A number below the threshold goes to the left, both in float32.

    All trees count, also those after the best round of a training that stopped early. missing: numbers may be missing.
    class_names: by default 0, 1, …. Raises :class:`UsageError` if there is no such file, and :class:`UserError` for one
    that is damaged, another objective or booster, and splits by categories.
    """
    if not path.is_file():
        raise UsageError(f"there is no file {str(path)!r}; write it with XGBoost's Booster.save_model('model.json')")
    try:
        return _model(json.loads(path.read_bytes())["learner"], missing, class_names)
    except UserError as error:
        raise UserError(f"{str(path)!r}: {error}") from None
    except (OSError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError):
        raise UserError(
            f"{str(path)!r} is not a whole model of XGBoost; write it with Booster.save_model('model.json')"
        ) from None


def _model(learner: Any, missing: bool, class_names: Sequence[str] | None) -> TreeModel:
    objective, booster = learner["objective"]["name"], learner["gradient_booster"]
    if objective not in _OBJECTIVES:
        raise UserError(f"its objective is {shown(str(objective))}; expected a classifier: {', '.join(_OBJECTIVES)}")
    if booster["name"] != "gbtree":
        raise UserError(f"its booster is {shown(str(booster['name']))}; expected gbtree, sums of trees: train with it")
    given, model = learner["learner_model_param"], booster["model"]
    features, classes = int(given["num_feature"]), max(2, int(given["num_class"]))
    of_class = [int(number) + (int(given["num_class"]) < 2) for number in model["tree_info"]]
    names = learner.get("feature_names", [])
    if len(of_class) != len(model["trees"]) or not of_class or len(names) not in (0, features):
        raise UserError("the numbers of its trees and features do not fit; the file is damaged")
    scores = [_OBJECTIVES[objective](float(text)) for text in given["base_score"].strip("[]").split(",")]
    bias = np.zeros(classes)
    bias[int(int(given["num_class"]) < 2) :] = scores
    if not np.isfinite(bias).all():
        raise UserError("its base_score is no finite sum; the file is damaged")
    trees = [
        _tree(each, f"tree {number}", own, classes, features)
        for number, (each, own) in enumerate(zip(model["trees"], of_class, strict=True))
    ]
    return TreeModel(
        source=f"XGBoost {objective}, {len(trees)} trees",
        trees=trees,
        features=tuple(map(str, names)) or tuple(f"f{i}" for i in range(features)),
        classes=tuple(map(str, range(classes) if class_names is None else class_names)),
        bias=bias,
        named=bool(names),
        missing=missing,
    )


def _tree(said: Any, what: str, own: int, classes: int, features: int) -> Tree:
    """The tree whose leaf values are those of the class ``own``; nodes that were pruned are left out."""
    rows = [np.array(said[key], np.float64) for key in _ROWS]
    left, right, column, threshold, default_left, kind = rows
    if len({row.shape for row in rows}) > 1 or left.ndim != 1 or int(said["tree_param"]["size_leaf_vector"]) > 1:
        raise UserError(f"the rows of {what} are not one number a node; the file is damaged, or has several outputs")
    if kind.any():
        raise UserError(f"{what} splits by categories, which are no comparisons with a threshold; train without them")
    nodes = _reached(left, right)
    number = np.full(len(left), -1)
    number[nodes] = np.arange(len(nodes))
    inner = left[nodes] >= 0
    column, threshold = column[nodes], threshold[nodes]
    if len(nodes) == 0 or not 0 <= own < classes or not np.isfinite(threshold).all():
        raise UserError(f"the nodes of {what} are not a tree; the file is damaged")
    if not ((column[inner] >= 0) & (column[inner] < features)).all():
        raise UserError(f"{what} compares a feature that the model does not have; the file is damaged")
    values = np.zeros((len(nodes), classes))
    values[~inner, own] = threshold[~inner]
    with np.errstate(over="ignore"):
        below = np.nextafter(threshold.astype(np.float32), np.float32(-np.inf)).astype(np.float64)
    children = [np.where(inner, number[side[nodes].astype(np.int64)], -1) for side in (left, right)]
    return Tree(
        column=np.where(inner, column, -1).astype(np.int64),
        threshold=as_float32(np.where(inner, below, 0.0)),
        left=children[0],
        right=children[1],
        missing_right=inner & (default_left[nodes] == 0),
        values=values,
    )


def _reached(left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.int64]:
    """The nodes below node 0, each once; none if they are no tree."""
    found, seen = [0], {0}
    for node in found:
        children = {int(left[node]), int(right[node])}
        if children == {-1}:
            continue
        if len(children) < 2 or children & seen or not all(0 < child < len(left) for child in children):
            return np.zeros(0, np.int64)
        seen |= children
        found += sorted(children)
    return np.array(found)
