"""Trees of other programs: thresholds in float32, rounded leaf values, comparisons as a binariser, and the circuit."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rdahw import UsageError, UserError
from rdahw.binariser_circuit import binariser_circuit, number_bits
from rdahw.data import Binariser
from rdahw.data._dataset import Column
from rdahw.data.cell_binariser import CellBinariser
from rdahw.saved import load_model, save_model
from rdahw.sim.reference import run
from rdahw.transform import bind
from rdahw.tree_models import Tree, TreeModel, as_float32, round_votes, save_trees

NUMBER = Column("number")


def cells(thresholds: list[list[float]], *, missing: bool = False) -> Binariser:
    columns = [Column("number", missing=missing)] * len(thresholds)
    return CellBinariser.of(thresholds, columns, [f"x{i}" for i in range(len(thresholds))])


def stump(column: int, threshold: float, values: list[list[float]], *, missing_right: bool = False) -> Tree:
    """``values[0]`` up to the threshold, ``values[1]`` above."""
    return Tree(
        column=np.array([column, -1, -1]),
        threshold=np.array([threshold, 0.0, 0.0]),
        left=np.array([1, -1, -1]),
        right=np.array([2, -1, -1]),
        missing_right=np.array([missing_right, False, False]),
        values=np.array([[0.0] * len(values[0]), *values]),
    )


def model_of(*trees: Tree, features: int = 2, missing: bool = False) -> TreeModel:
    classes = trees[0].values.shape[1]
    return TreeModel(
        source="stumps",
        trees=trees,
        features=tuple(f"x{i}" for i in range(features)),
        classes=tuple(map(str, range(classes))),
        bias=np.zeros(classes),
        missing=missing,
    )


# -- thresholds --------------------------------------------------------------------------------------------------------


@given(
    st.floats(-1e38, 1e38) | st.floats(-1e-30, 1e-30) | st.floats(width=32, allow_nan=False, allow_infinity=False),
    st.integers(-3, 3),
)
@settings(max_examples=500, deadline=None)
def test_a_threshold_compares_as_in_float32(threshold: float, steps: int) -> None:
    """On numbers in float64 around the threshold, its neighbours in float32 and the middles between these."""
    below = np.float32(threshold)
    with np.errstate(all="ignore"):
        near = [np.nextafter(below, np.float32(s)) for s in (-np.inf, np.inf)] + [below]
    wide = [float(value) for value in near if np.isfinite(value)]
    wide += [(a + b) / 2 for a in wide for b in wide] + [threshold]
    made = as_float32(np.array([threshold]))
    for value in wide:
        moved = value
        for _ in range(abs(steps)):
            moved = math.nextafter(moved, math.inf if steps > 0 else -math.inf)
        with np.errstate(over="ignore"):
            narrow = np.float32(moved)
        if np.isfinite(narrow):
            assert (moved > made[0]) == (float(narrow) > threshold)


def test_thresholds_at_the_ends_of_float32() -> None:
    largest = float(np.finfo(np.float32).max)
    made = as_float32(np.array([largest, -largest, 1e300, 0.0, -0.0]))
    assert np.isfinite(made).all()
    assert not (np.array([largest, largest, largest]) > made[[0, 2, 2]]).any()
    assert largest > made[1]


# -- leaf values -------------------------------------------------------------------------------------------------------


def test_votes_and_shares_are_exact() -> None:
    votes = round_votes(model_of(stump(0, 1.5, [[1, 0], [0, 1]]), stump(1, 0.5, [[1, 0], [0, 1]])), 16)
    assert (votes.bits, votes.error) == (1, 0.0)
    shares = round_votes(model_of(stump(0, 1.5, [[1 / 3, 2 / 3], [3 / 7, 4 / 7]]), stump(1, 0.5, [[1, 0], [0, 1]])), 8)
    assert shares.error == 0.0
    assert shares.step == pytest.approx(1 / 21)


@given(st.lists(st.lists(st.floats(-9, 9), min_size=4, max_size=4), min_size=1, max_size=5), st.integers(2, 20))
@settings(max_examples=100, deadline=None)
def test_the_error_of_rounding_is_a_bound(values: list[list[float]], bits: int) -> None:
    model = model_of(*(stump(i % 2, i, [row[:2], row[2:]]) for i, row in enumerate(values)))
    votes = round_votes(model, bits)
    assert all(each.min() >= 0 and int(each.max()).bit_length() <= votes.bits <= bits for each in votes.values)
    x = np.array([[a, b] for a in range(-1, 6) for b in range(-1, 6)], np.float64)
    real, whole = model.sums(x), np.tile(votes.bias, (len(x), 1))
    for tree, each in zip(model.trees, votes.values, strict=True):
        whole = whole + each[np.searchsorted(tree.leaves, tree.find_leaves(x))]
    lead = real[:, 0] - real[:, 1]
    clear = np.abs(lead) > votes.error + 1e-12
    assert (np.sign(lead) == np.sign(whole[:, 0] - whole[:, 1]))[clear].all()
    widest = max(abs(row[k] - row[k + 2]) for row in values for k in (0, 1))
    assert votes.error <= (len(values) + 1) * widest / (2**bits - 1) or not widest


@pytest.mark.parametrize("bits", [0, 33])
def test_too_few_or_many_bits(bits: int) -> None:
    with pytest.raises(UsageError, match="expected 1 to 32"):
        round_votes(model_of(stump(0, 1.5, [[1, 0], [0, 1]])), bits)


# -- the binariser -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", [False, True])
def test_cells(missing: bool) -> None:
    binariser = cells([[0.5, 2.0], [], [-1.0]], missing=missing)
    x = np.array([[0.5, 9, -1], [0.6, 9, 0], [3, 9, -2], [np.nan, np.nan, 0]])
    above = [[0, 0, 0], [1, 0, 1], [1, 1, 0], [0, 0, 1]]
    gone = [[0, 0, 0], [0, 0, 0], [0, 0, 0], [1, 1, 0]] if missing else [[]] * 4
    assert binariser.transform(x).tolist() == [a + b for a, b in zip(above, gone, strict=True)]
    assert binariser.width == 3 + 3 * missing
    assert (
        np.unpackbits(binariser.pack(x).words.view(np.uint8), axis=1, bitorder="little")[:, : binariser.width].tolist()
        == binariser.transform(x).tolist()
    )
    assert binariser.wire_names[:3] == ("x0 > 0.5", "x0 > 2", "x2 > -1")
    assert binariser.wire_columns.tolist() == [0, 0, 2, *[0, 1, 2] * missing]
    assert binariser.intervals(0)[0] == [0.5, 2.0, np.inf]
    assert binariser.intervals(1) == ([np.inf], [0.0])
    back = Binariser.from_json(json.loads(json.dumps(binariser.to_json())))
    assert back.to_json() == binariser.to_json()
    assert (back.transform(x) == binariser.transform(x)).all()


def test_cells_of_bytes() -> None:
    x = np.array([[0], [3], [4], [255]], np.uint8)
    assert cells([[-1.0, 3.0, 3.5, 254.0, 300.0]]).transform(x).tolist() == [
        [1, 0, 0, 0, 0],
        [1, 0, 0, 0, 0],
        [1, 1, 1, 0, 0],
        [1, 1, 1, 1, 0],
    ]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("thresholds", [[1.0]]),
        ("thresholds", [[2.0, 1.0], []]),
        ("thresholds", [[1.0, 1.0], []]),
        ("thresholds", [["1"], []]),
        ("thresholds", [[], []]),
        ("thresholds", [[float("nan")], []]),
        ("thresholds", [1, 2]),
        ("thresholds", None),
        ("names", ["x0"]),
        ("columns", [{"kind": "number"}]),
        ("more", 1),
    ],
)
def test_damaged_cells(key: str, value: Any) -> None:
    good = cells([[0.5], [1.0, 2.0]]).to_json()
    with pytest.raises(UserError):
        Binariser.from_json(good | {key: value})


def test_cells_as_comparisons_of_whole_numbers() -> None:
    binariser = cells([[-3.0, 0.0, 2.5, 99.0], [], [6.0, 7.0]])
    circuit = binariser_circuit(binariser, 3)
    x = np.array([[a, 0, b] for a in range(8) for b in range(8)])
    (found,) = run(circuit, number_bits(binariser, x, 3))
    assert (found == binariser.transform(x)).all()


# -- the circuit -------------------------------------------------------------------------------------------------------


def predicted(model: TreeModel, x: Any, bits: int = 8) -> list[int]:
    saved = save_trees(model, round_votes(model, bits))
    circuit = bind(saved.spec.learner().model.predictor, theta=saved.spec.theta(saved.best_state).tolist())
    (y,) = run(circuit, saved.binariser.transform(np.array(x, np.float64)))
    y = np.broadcast_to(y, (len(x), y.shape[-1]))
    return (y @ (1 << np.arange(y.shape[1]))).tolist()


def test_the_first_of_the_largest_sums() -> None:
    model = model_of(stump(0, 1.5, [[1, 0, 0], [0, 0, 1]]), stump(1, 0.5, [[0, 1, 0], [0, 0, 1]]))
    assert predicted(model, [[1, 0], [1, 1], [2, 0], [2, 1]]) == [0, 0, 1, 2]


def test_one_tree_and_none() -> None:
    assert predicted(model_of(stump(1, 0.5, [[0, 0, 0, 1], [0, 1, 0, 0]])), [[0, 0], [0, 1]]) == [3, 1]
    leaf = Tree(*(np.array([value]) for value in (-1, 0.0, -1, -1, False)), np.array([[0.0, 1.0]]))
    assert predicted(model_of(leaf), [[5, 5]]) == [1]
    assert predicted(model_of(leaf, leaf), [[5, 5]]) == [1]


def test_a_bias() -> None:
    model = model_of(stump(0, 1.5, [[0, 0], [0, 2]]), stump(0, 2.5, [[0, 0], [0, 2]]))
    made = TreeModel(**{name: getattr(model, name) for name in model.__slots__} | {"bias": np.array([3.0, 0.0])})
    assert predicted(made, [[1, 0], [2, 0], [3, 0]]) == [0, 0, 1]


def test_missing_numbers_go_their_way() -> None:
    values = [[1.0, 0.0], [0.0, 1.0]]
    model = model_of(stump(0, 1.5, values, missing_right=True), features=1, missing=True)
    assert predicted(model, [[0], [2], [np.nan]]) == [0, 1, 1]
    model = model_of(stump(0, 1.5, values), stump(0, 1.0, values), features=1, missing=True)
    assert predicted(model, [[0], [2], [np.nan]]) == [0, 1, 0]


def test_a_saved_file(tmp_path: Any) -> None:
    model = model_of(stump(0, 1.5, [[1, 0, 0], [0, 0, 1]]), stump(1, 0.5, [[0, 1, 0], [0, 0, 1]]))
    saved = save_trees(model, round_votes(model, 4))
    save_model(saved, tmp_path / "trees.rdahw")
    back = load_model(tmp_path / "trees.rdahw")
    assert back.spec.to_json() == saved.spec.to_json()
    assert back.binariser.to_json() == saved.binariser.to_json()
    assert (back.parameters == saved.parameters).all()
    assert back.is_finished
