"""Decision trees and sums of them from scikit-learn, LightGBM and XGBoost, as models that every command takes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rdahw.circuit import Circuit
from rdahw.errors import UsageError, UserError
from rdahw.lightgbm_text import read_lightgbm
from rdahw.saved import SavedModel, save_model
from rdahw.sim.packed import Packed
from rdahw.transform import bind
from rdahw.tree_models import Tree, TreeModel, Votes, as_float32, round_votes, save_trees
from rdahw.xgboost_json import read_xgboost

__all__ = ["ImportedTrees", "from_lightgbm", "from_sklearn", "from_xgboost"]

#: So many examples are predicted at once.
_ROWS = 1 << 14


@dataclass(eq=False)
class ImportedTrees:
    """A model of another program as a circuit.

    saved: the model for :func:`rdahw.saved.save_model`; :meth:`save` writes it. classes: what :meth:`predict` returns.
    bits: those of a leaf value. exact: leaf values were not rounded. error: two classes are in the right order if
    their sums in the model differ by more than this.

    Of the rows of data that were given: rows, how many; ties, how many have two classes with the largest sum;
    near_ties, in how many the difference of the largest two sums is so small that rounding could change the class;
    changed, how many are predicted otherwise than by the other program.
    """

    model: TreeModel
    votes: Votes
    classes: NDArray[Any]
    saved: SavedModel = field(init=False)
    rows: int = field(init=False, default=0)
    ties: int = field(init=False, default=0)
    near_ties: int = field(init=False, default=0)
    changed: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self.saved = save_trees(self.model, self.votes)

    @property
    def bits(self) -> int:
        return self.votes.bits

    @property
    def exact(self) -> bool:
        return self.votes.error == 0

    @property
    def error(self) -> float:
        return self.votes.error

    @property
    def circuit(self) -> Circuit:
        """The circuit from the bits of ``saved.binariser`` to the number of the class, leaf values folded in."""
        predictor = self.saved.spec.learner().model.predictor
        return bind(predictor, theta=self.saved.spec.theta(self.saved.best_state).tolist())

    @cached_property
    def _packed(self) -> Packed:
        return Packed(self.circuit)

    def predict(self, features: ArrayLike) -> NDArray[Any]:
        """The classes (N,) of examples (N, F), by the circuit. Raises :class:`UserError` for another F, and for missing
        numbers in a circuit that was made without ``missing``."""
        array = self._checked(features)
        numbers = []
        for start in range(0, len(array), _ROWS):
            bits = self._packed(self.saved.binariser.transform(array[start : start + _ROWS]))[0]
            numbers.append(bits @ (1 << np.arange(bits.shape[1])))
        return np.asarray(self.classes[np.concatenate([np.zeros(0, np.int64), *numbers])])

    def save(self, path: str | Path) -> None:
        """Write the model to a file that every command takes."""
        save_model(self.saved, Path(path))

    def compare(self, features: ArrayLike, expected: NDArray[Any] | None, most_changed: float) -> None:
        """Count ties, and rows that are predicted otherwise than ``expected`` (N,) says, or the sums of leaf values in
        float64. Raises :class:`UserError` if these are more than a share of ``most_changed``."""
        array = self._checked(features)
        exact, whole = self.model.sums(array), self._whole_sums(array)
        expected = exact.argmax(axis=1) if expected is None else expected
        if expected.shape != (len(array),):
            raise UserError(f"the predictions have the shape {expected.shape}; expected ({len(array)},), classes")
        first, second = np.sort(whole, axis=1)[:, :-3:-1].T
        lead, behind = np.sort(exact, axis=1)[:, :-3:-1].T
        self.rows = len(array)
        self.ties = int((first == second).sum())
        self.near_ties = int((lead - behind <= self.error).sum()) if self.error else 0
        different = self.predict(array) != expected
        self.changed = int(different.sum())
        if self.changed > most_changed * self.rows:
            raise UserError(
                f"{self.changed} of {self.rows} rows, number {int(np.argmax(different))} among them, are predicted "
                f"otherwise with leaf values of {self.bits} bits; give {'' if self.exact else 'more bits, or '}"
                f"most_changed={math.ceil(1e3 * self.changed / self.rows) / 1e3:g}"
            )

    def _checked(self, features: ArrayLike) -> NDArray[np.float64]:
        array = _numbers(features)
        if array.ndim != 2 or array.shape[1] != len(self.model.features):
            raise UserError(f"features of shape {array.shape} do not fit, expected (N, {len(self.model.features)})")
        if not self.model.missing and np.isnan(array).any():
            raise UserError("the features have missing numbers (NaN); give missing=True when the circuit is made")
        return array

    def _whole_sums(self, features: NDArray[np.float64]) -> NDArray[np.int64]:
        total = np.tile(self.votes.bias, (len(features), 1))
        for tree, values in zip(self.model.trees, self.votes.values, strict=True):
            total += values[np.searchsorted(tree.leaves, tree.find_leaves(features))]
        return total


def from_sklearn(
    model: Any,
    features: ArrayLike | None = None,
    *,
    bits: int = 16,
    whole: bool = False,
    missing: bool = False,
    class_names: Sequence[str] | None = None,
    most_changed: float = 0.0,
) -> ImportedTrees:
    """A classifier of scikit-learn made of trees as a circuit: decision trees, random forests and extra-trees.

    Numbers are compared as scikit-learn does, in float32. Each leaf has a value for each class: of a single tree a vote
    for its class, of a forest the shares of the classes, in at most ``bits`` bits (:func:`round_votes`). The class with
    the largest sum is predicted, the first on a tie.

    features: (N, F), rows on which the circuit is compared with ``model.predict``; more than a share of
    ``most_changed`` other predictions are an error.
    whole: the features are whole numbers; then thresholds are rounded down, and fewer differ.
    missing: features may be missing (NaN), each has one more bit.
    class_names: those of the data that the model is used with, in the order of the classes; by default the classes as
    text.

    Raises :class:`UsageError` for another kind of model, or one that is not fitted, and :class:`UserError` for other
    predictions.
    """
    kinds = {each.__name__ for each in type(model).__mro__}
    found = next((read for kind, read in _SKLEARN.items() if kind in kinds), None)
    if found is None:
        raise UsageError(
            f"a {type(model).__name__} was given; expected a classifier of scikit-learn made of trees, such as "
            "DecisionTreeClassifier, RandomForestClassifier or ExtraTreesClassifier"
        )
    if not hasattr(model, "n_classes_"):
        raise UsageError(f"the {type(model).__name__} is not fitted; call its fit first")
    if model.n_outputs_ != 1:
        raise UsageError(f"the model has {model.n_outputs_} outputs; expected one: fit a model for each")
    trees, source = found(model)
    names = getattr(model, "feature_names_in_", None)
    made = TreeModel(
        source=source,
        trees=trees,
        features=tuple(f"x{i}" for i in range(model.n_features_in_)) if names is None else tuple(map(str, names)),
        classes=tuple(map(str, model.classes_ if class_names is None else class_names)),
        bias=np.zeros(len(model.classes_)),
        named=names is not None,
        missing=missing,
    )
    expected = None if features is None else np.asarray(model.predict(features))
    return _imported(made, np.asarray(model.classes_), features, expected, bits, whole, most_changed)


def from_lightgbm(
    path: str | Path,
    features: ArrayLike | None = None,
    predictions: ArrayLike | None = None,
    *,
    bits: int = 16,
    whole: bool = False,
    missing: bool = False,
    class_names: Sequence[str] | None = None,
    most_changed: float = 0.0,
) -> ImportedTrees:
    """A classifier of LightGBM, as ``Booster.save_model`` writes it to a text file, as a circuit.

    features, predictions: (N, F) and (N,), rows with the class numbers that LightGBM predicts, on which the circuit is
    compared with it; without predictions with the sums of leaf values in float64. The rest as for
    :func:`from_sklearn`.

    Raises :class:`UserError` for a file that is damaged or has what a circuit of comparisons cannot express.
    """
    made = read_lightgbm(Path(path), missing=missing, class_names=class_names)
    return _imported(made, np.arange(len(made.classes)), features, predictions, bits, whole, most_changed)


def from_xgboost(
    path: str | Path,
    features: ArrayLike | None = None,
    predictions: ArrayLike | None = None,
    *,
    bits: int = 16,
    whole: bool = False,
    missing: bool = False,
    class_names: Sequence[str] | None = None,
    most_changed: float = 0.0,
) -> ImportedTrees:
    """A classifier of XGBoost, as ``Booster.save_model`` writes it to a file that ends in .json, as a circuit.

    The arguments are those of :func:`from_lightgbm`. XGBoost compares in float32, and adds up in float32, too; a
    prediction within the rounding errors of that sum is among the near ties.

    Raises :class:`UserError` for a file that is damaged or has what a circuit of comparisons cannot express.
    """
    made = read_xgboost(Path(path), missing=missing, class_names=class_names)
    return _imported(made, np.arange(len(made.classes)), features, predictions, bits, whole, most_changed)


def _numbers(features: ArrayLike) -> NDArray[np.float64]:
    try:
        return np.asarray(features, np.float64)
    except (TypeError, ValueError):
        raise UserError("the features are not numbers; give an array (N, F) of numbers, such as the model has learned "
                        "from") from None  # fmt: skip


def _imported(
    model: TreeModel,
    classes: NDArray[Any],
    features: ArrayLike | None,
    expected: ArrayLike | None,
    bits: int,
    whole: bool,
    most_changed: float,
) -> ImportedTrees:
    if len(model.classes) != len(classes) or len({*model.classes}) < len(classes):
        raise UsageError(f"class_names are {model.classes}; expected {len(classes)} different names")
    given: Any = bits
    if not isinstance(given, Integral):
        raise UsageError(f"bits is {bits!r}; expected a whole number")
    if len(classes) < 2:
        raise UsageError("the model has one class, and its prediction never changes; fit it to two or more")
    model = model.whole() if whole else model
    if whole and features is not None and (np.nan_to_num(_numbers(features)) % 1 != 0).any():
        raise UserError("the features are not whole numbers; leave out whole=True, or round them before the fit")
    made = ImportedTrees(model, round_votes(model, bits), classes)
    if features is not None:
        made.compare(features, None if expected is None else np.asarray(expected), most_changed)
    return made


def _one_tree(model: Any) -> tuple[list[Tree], str]:
    tree = _tree(model.tree_)
    votes = tree.values == tree.values.max(axis=1, keepdims=True)
    first = votes & (votes.cumsum(axis=1) == 1)  # the class of a leaf, as scikit-learn chooses it
    return [_with_values(tree, first.astype(np.float64))], f"{type(model).__name__} of scikit-learn"


def _forest(model: Any) -> tuple[list[Tree], str]:
    trees = [_tree(each.tree_) for each in model.estimators_]
    return trees, f"{type(model).__name__} of scikit-learn, {len(trees)} trees"


#: Base classes of scikit-learn, and what reads a model of one.
_SKLEARN: Mapping[str, Callable[[Any], tuple[Sequence[Tree], str]]] = {
    "DecisionTreeClassifier": _one_tree,
    "ForestClassifier": _forest,
}


def _with_values(tree: Tree, values: NDArray[np.float64]) -> Tree:
    return Tree(tree.column, tree.threshold, tree.left, tree.right, tree.missing_right, values)


def _tree(tree: Any) -> Tree:
    left = np.array(tree.children_left, np.int64)
    leaf = left < 0
    return Tree(
        column=np.where(leaf, -1, tree.feature).astype(np.int64),
        threshold=as_float32(np.where(leaf, 0.0, tree.threshold)),
        left=left,
        right=np.array(tree.children_right, np.int64),
        missing_right=~np.array(tree.missing_go_to_left, bool),
        values=np.array(tree.value[:, 0, :], np.float64),
    )
