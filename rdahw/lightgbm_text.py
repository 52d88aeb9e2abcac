"""Models of LightGBM as text, as its ``Booster.save_model`` writes them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rdahw.errors import UsageError, UserError
from rdahw.tree_models import Tree, TreeModel
from rdahw.types import shown

__all__ = ["read_lightgbm"]

#: What is supported of the line ``objective``: the sums of one class, which is class 1, or one for each.
_OBJECTIVES = ("binary", "multiclass", "multiclassova")
#: The bits of ``decision_type``.
_CATEGORICAL, _DEFAULT_LEFT, _MISSING = 1, 2, 12
_MISSING_ZERO, _MISSING_NAN = 4, 8


def read_lightgbm(path: Path, *, missing: bool = False, class_names: Sequence[str] | None = None) -> TreeModel:
    """The classifier in a text file of LightGBM. A number goes to the left if it is at most the threshold, both in
    float64; NaN where the training had none counts as 0.

    missing: numbers may be missing. class_names: by default 0, 1, …. Raises :class:`UsageError` if there is no such
    file, and :class:`UserError` for a file that is damaged, another objective, and splits by categories, by zero as
    missing, or with linear leaves.
    """
    if not path.is_file():
        raise UsageError(f"there is no file {str(path)!r}; write it with LightGBM's Booster.save_model")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        raise UserError(f"{str(path)!r} cannot be read as text; expected a file of LightGBM's save_model") from None
    try:
        return _model(text, missing, class_names)
    except UserError as error:
        raise UserError(f"{str(path)!r}: {error}") from None


def _model(text: str, missing: bool, class_names: Sequence[str] | None) -> TreeModel:
    head, *parts = re.split(r"^Tree=", text.partition("\nend of trees")[0], flags=re.MULTILINE)
    if not head.startswith("tree\n") or "\nend of trees" not in text:
        raise UserError("it is not a whole model of LightGBM; expected a file of its save_model")
    lines = _lines(head)
    objective = lines.get("objective", "").split(" ")[0]
    if objective not in _OBJECTIVES:
        raise UserError(f"its objective is {shown(objective)}; expected a classifier: {', '.join(_OBJECTIVES)}")
    per_round = _number(lines, "num_tree_per_iteration")
    names = lines.get("feature_names", "").split(" ")
    if not parts or len(names) != _number(lines, "max_feature_idx") + 1 or per_round < 1 or len(parts) % per_round:
        raise UserError("the numbers of its trees, classes and features do not fit; the file is damaged")
    classes = max(2, per_round)
    trees = [
        _tree(_lines(f"Tree={part}"), number, number % per_round + (per_round == 1), classes, len(names))
        for number, part in enumerate(parts)
    ]
    return TreeModel(
        source=f"LightGBM {objective}, {len(trees)} trees",
        trees=trees,
        features=tuple(names),
        classes=tuple(map(str, range(classes) if class_names is None else class_names)),
        bias=np.zeros(classes),
        named=not all(re.fullmatch(r"Column_\d+", name) for name in names),
        missing=missing,
    )


def _lines(text: str) -> dict[str, str]:
    pairs: Iterator[tuple[str, str, str]] = (line.partition("=") for line in text.splitlines())
    return {key: value for key, _, value in pairs}


def _number(lines: Mapping[str, str], key: str) -> int:
    value = lines.get(key, "")
    if not re.fullmatch(r"[0-9]{1,9}", value):
        raise UserError(f"its line {key!r} is {shown(value)}; expected a whole number: the file is damaged")
    return int(value)


def _row(lines: Mapping[str, str], key: str, count: int, what: str) -> NDArray[np.float64]:
    words = lines.get(key, "").split()
    try:
        found = np.array([float(word) for word in words], np.float64)
    except ValueError:
        found = np.empty(0)
    if len(words) != count or len(found) != count or not np.isfinite(found).all():
        raise UserError(f"the line {key!r} of {what} is not {count} numbers; the file is damaged")
    return found


def _tree(lines: Mapping[str, str], number: int, own: int, classes: int, features: int) -> Tree:
    """Tree ``number``, whose leaf values are those of the class ``own``. Inner nodes come first, then the leaves."""
    what = f"tree {number}"
    leaves = _number(lines, "num_leaves")
    inner = leaves - 1
    if leaves < 1 or lines.get("is_linear", "0") != "0" or lines.get("num_cat", "0") != "0":
        raise UserError(
            f"{what} has linear leaves or splits by categories, which are no comparisons with a threshold; train "
            "without them"
        )
    values = np.zeros((inner + leaves, classes))
    values[inner:, own] = _row(lines, "leaf_value", leaves, what)
    given = {key: np.empty(0) for key in ("split_feature", "threshold", "decision_type", "left_child", "right_child")}
    if inner:
        given = {key: _row(lines, key, inner, what) for key in given}
    column, kinds = given["split_feature"].astype(np.int64), given["decision_type"].astype(np.int64)
    if (kinds & _CATEGORICAL).any() or (kinds & _MISSING == _MISSING_ZERO).any():
        raise UserError(
            f"{what} splits by categories, or takes zero as missing; train without categorical_feature and "
            "zero_as_missing"
        )
    sides = [_children(given[key].astype(np.int64), inner) for key in ("left_child", "right_child")]
    children = np.concatenate(sides)
    in_order = all((side[:inner] > np.arange(inner)).all() for side in sides)
    if not in_order or sorted(children.tolist()) != [*range(1 if inner else 0, inner + leaves if inner else 0)]:
        raise UserError(f"the nodes of {what} are not a tree; the file is damaged")
    if ((column < 0) | (column >= features)).any():
        raise UserError(f"{what} compares a feature that the model does not have; the file is damaged")
    ends = np.full(leaves, -1, np.int64)
    by_default = np.where(kinds & _MISSING == _MISSING_NAN, kinds & _DEFAULT_LEFT == 0, given["threshold"] < 0)
    return Tree(
        column=np.concatenate([column, ends]),
        threshold=np.concatenate([given["threshold"], np.zeros(leaves)]),
        left=np.concatenate([sides[0], ends]),
        right=np.concatenate([sides[1], ends]),
        missing_right=np.concatenate([by_default, np.zeros(leaves, bool)]),
        values=values,
    )


def _children(side: NDArray[np.int64], inner: int) -> NDArray[np.int64]:
    """The numbers of children as LightGBM states them, where leaf k is -1 - k, as numbers of nodes."""
    return np.where(side < 0, inner + ~side, side)
