"""Binarisers turned back: what bits a column can have, and what they say of it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rdahw.data import Binariser, Column
from rdahw.data.inputs import choices, describe, free_bits, pixels

COLUMNS = (
    Column("number"),
    Column("binary"),
    Column("category", ("red", "green", "blue")),
    Column("number", missing=True),
    Column("category", ("yes", "no"), missing=True),
)
NAMES = ("height", "tall", "colour", "age", "answer")


def table(rows: int = 60, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    columns = [
        random.normal(size=rows).round(2),
        random.integers(0, 2, rows),
        random.integers(0, 3, rows),
        np.where(random.random(rows) < 0.2, np.nan, random.integers(0, 90, rows)),
        np.where(random.random(rows) < 0.2, np.nan, random.integers(0, 2, rows)),
    ]
    return np.stack(columns, axis=1).astype(float)


@pytest.mark.parametrize("rule", ["midrange", "threshold=0,1,50", "thermometer=4", "quantile=5"])
def test_each_example_has_a_pattern_of_each_column_that_describes_it(rule: str) -> None:
    features = table()
    binariser = Binariser.fit(rule, features, COLUMNS, NAMES)
    options = choices(binariser)
    assert sorted(wire for option in options for wire in option.wires.tolist()) == list(range(binariser.width))
    for row, bits in zip(features, binariser.transform(features), strict=True):
        for i, (value, said) in enumerate(zip(row, describe(binariser, options, bits), strict=True)):
            assert said["column"] == NAMES[i]
            if math.isnan(value):
                assert said["value"] is None
            elif COLUMNS[i].kind == "number":
                low, high = said["above"], said["to"]
                # Halfway may round to either side of the rule midrange.
                assert low is None or value >= low
                assert high is None or value <= high
                assert rule == "midrange" or low is None or value > low
            elif COLUMNS[i].kind == "binary":
                assert said["value"] == value
            else:
                assert said["value"] == COLUMNS[i].categories[int(value)]


@pytest.mark.parametrize("rule", ["midrange", "thermometer=4", "quantile=5"])
def test_all_patterns_of_a_column_differ(rule: str) -> None:
    features = table()
    features[:, 0] = np.round(features[:, 0])  # equal thresholds
    for option in choices(Binariser.fit(rule, features, COLUMNS, NAMES)):
        assert len(np.unique(option.patterns, axis=0)) == len(option.patterns) == len(option.values)


def test_a_column_that_is_constant_can_have_any_value() -> None:
    binariser = Binariser.fit("midrange", np.full((4, 1), 2.5), COLUMNS[:1], ["same"])
    options = choices(binariser)
    assert describe(binariser, options, np.zeros(1, np.uint8)) == [{"column": "same", "above": None, "to": None}]


def test_numbers_in_fixed_point_are_read_from_their_bits() -> None:
    features = np.array([[1.5, -3.25], [0.0, 31.0]])
    binariser = Binariser.fit("fixed=10", features, COLUMNS[:1] * 2, ["a", "b"])
    options = choices(binariser)
    assert len(options) == 32
    for row, bits in zip(features, binariser.transform(features), strict=True):
        assert [each["value"] for each in describe(binariser, options, bits)] == row.tolist()


def test_pixels_are_levels_between_thresholds() -> None:
    features = np.array([[0, 100], [200, 255]], np.uint8)
    binariser = Binariser.fit("threshold=50,150", features, COLUMNS[:1] * 2, ["a", "b"])
    options = choices(binariser)
    assert [pixels(options, bits).tolist() for bits in binariser.transform(features)] == [[0, 0.5], [1, 1]]


def test_bits_without_a_column_are_free() -> None:
    options = free_bits(3)
    assert [option.wires.tolist() for option in options] == [[0], [1], [2]]
    assert all(option.patterns.tolist() == [[0], [1]] for option in options)


def test_rare_categories_are_one_pattern() -> None:
    names = ("usual", *(f"rare {i}" for i in range(12)))
    features = np.array([0] * 2000 + list(range(1, 13)), float)[:, None]
    binariser = Binariser.fit("midrange", features, (Column("category", names),), ["kind"])
    options = choices(binariser)
    assert options[0].patterns.tolist() == [[1, 0], [0, 1]]
    said = [describe(binariser, options, bits)[0]["value"] for bits in binariser.transform(features[[0, 2000, 2011]])]
    assert said == ["usual", "rare 0", "rare 0"]
