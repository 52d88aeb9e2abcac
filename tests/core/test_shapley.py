"""Shapley values are those of the definition: brute force over all sets of players, with exact fractions."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rdahw.data import NORMAL, Binariser, Column
from rdahw.errors import UsageError
from rdahw.families import parse_model
from rdahw.families.boosted.rule import Boosting
from rdahw.families.boosted.spec import BoostedSpec
from rdahw.families.coverage import Coverage, CoverageSpec
from rdahw.family import Task
from rdahw.shapley import of_class, players, score_tables, shapley
from rdahw.table_scores import TableLayer, TableScores


def brute_force(tables: TableLayer, owners: NDArray[Any], x: NDArray[Any], background: NDArray[Any]) -> list[Any]:
    """The value of each player for each class, by the formula of Shapley: a sum over all sets of the others."""
    count = int(owners.max()) + 1
    model = TableScores([tables], len(owners))
    worth = {}
    for members in itertools.product((False, True), repeat=count):
        mixed = np.where(np.array(members)[owners], x, background)
        worth[members] = [Fraction(int(total), len(background)) for total in model.scores(mixed).sum(axis=0)]
    found = []
    for player in range(count):
        value = [Fraction(0)] * tables.values.shape[2]
        for members in worth:
            if members[player]:
                continue
            size = sum(members)
            weight = Fraction(math.factorial(size) * math.factorial(count - size - 1), math.factorial(count))
            joined = worth[(*members[:player], True, *members[player + 1 :])]
            value = [v + weight * (a - b) for v, a, b in zip(value, joined, worth[members], strict=True)]
        found.append(value)
    return found


@pytest.mark.parametrize(
    ("features", "bits", "inputs", "tables"),
    [(4, 4, 3, 6), (5, 15, 6, 9), (12, 12, 5, 8), (3, 12, 12, 2), (7, 7, 1, 5), (1, 6, 4, 3)],
)
def test_values_are_those_of_the_definition(features: int, bits: int, inputs: int, tables: int) -> None:
    random = np.random.default_rng(bits + inputs)
    owners = np.sort(np.concatenate([np.arange(features), random.integers(0, features, bits - features)]))
    wiring = random.integers(0, bits, (tables, inputs))  # some read a bit twice
    layer = TableLayer(wiring, random.integers(-9, 10, (tables, 1 << inputs, 3)).astype(np.int8))
    x, background = random.integers(0, 2, bits), random.integers(0, 2, (5, bits))
    found = shapley(layer, owners, x, background)
    expected = brute_force(layer, owners, x, background)
    assert [[found.value(i, c) for c in range(3)] for i in range(features)] == expected
    for c in range(3):
        total = sum((found.value(i, c) for i in range(features)), start=Fraction(0))
        assert total == int(found.scores[c]) - found.baseline(c)
        alone = shapley(of_class(layer, c), owners, x, background)
        assert [alone.value(i, 0) for i in range(features)] == [found.value(i, c) for i in range(features)]
    assert found.scores.tolist() == TableScores([layer], bits).scores(x[None])[0].tolist()


def test_an_example_that_is_the_background_has_no_values() -> None:
    layer = TableLayer(np.array([[0, 1]]), np.arange(8).reshape(1, 4, 2))
    x = np.array([1, 0])
    found = shapley(layer, np.arange(2), x, x[None])
    assert (found.numerators.tolist(), found.baseline(1), found.scores[1]) == ([[0, 0], [0, 0]], 3, 3)


def test_players_are_columns_where_bits_are_of_one_column() -> None:
    columns = [Column("number", missing=True), Column("category", ("red", "blue"))]
    table = Binariser.fit("quantile=3", np.array([[1.0, 0], [2, 1], [np.nan, 0]]), columns, ("age", "colour"))
    its = players(table)
    assert its.names == ("age", "colour")
    # age > the lowest threshold, age is missing, both colours; then the two other thresholds.
    assert its.owners.tolist() == [0, 0, 1, 1, 0, 0]
    planes = Binariser.fit("hog=4/3/20", np.zeros((1, 36)), [Column("number")] * 36, image_shape=(6, 6))
    assert players(planes).owners.tolist() == list(range(planes.width))
    assert players(planes).names == planes.wire_names


def grown(spec: BoostedSpec, x: NDArray[Any], labels: NDArray[Any]) -> tuple[Any, Any]:
    """The state, and the scores (N, scores) that the rule gives."""
    engine = Boosting(spec)
    examples = engine.prepare(x)
    for _ in range(5):
        engine.grow(examples, labels)
    return engine.state, engine.scores(examples)


def counted(spec: CoverageSpec, x: NDArray[Any]) -> tuple[Any, Any]:
    engine = Coverage(spec)
    engine.learn(engine.pack(x))
    return engine.state, engine.predict(engine.pack(x))[:, None] - NORMAL


@pytest.mark.parametrize("model", ["number", "labels", "anomaly"])
def test_scores_of_other_tasks_are_sums_of_tables_too(model: str) -> None:
    random = np.random.default_rng(4)
    x, width = random.integers(0, 2, (40, 6)).astype(np.uint8), 6
    spec: BoostedSpec | CoverageSpec
    if model == "anomaly":
        spec = CoverageSpec(input_bits=width, tables=7, inputs=3)
        state, scores = counted(spec, x)
    else:
        labels = {"labels": 2} if model == "labels" else {"labels": 0}
        spec = BoostedSpec(input_bits=width, steps=30, tables=8, inputs=3, shift=2, **labels)
        state, scores = grown(spec, x, random.integers(0, 4 if model == "labels" else 30, 40))
    tables = score_tables(spec, state)
    assert TableScores([tables], width).scores(x).tolist() == scores.tolist()
    owners = np.array([0, 0, 1, 2, 3, 3])
    found = shapley(tables, owners, x[0], x[1:8], parts=spec.score_parts)
    for number, score in enumerate(scores[0].tolist()):
        values = [found.value(player, number) for player in range(4)]
        each = [row[number] / spec.score_parts for row in brute_force(tables, owners, x[0], x[1:8])]
        assert values == each
        assert found.score(number) == Fraction(score, spec.score_parts)
        assert sum(values, start=Fraction(0)) == found.score(number) - found.baseline(number)
        assert any(values)


@pytest.mark.parametrize("model", ["lookup", "layers:12x3,12x3", "linear"])
def test_models_without_such_a_sum_are_refused(model: str) -> None:
    family, options = parse_model(model)
    spec = family.spec(Task(input_bits=6, classes=3), **options)
    with pytest.raises(
        UsageError, match=r"such as ensemble, grown, boosted and coverage, and not of .*; train one of these"
    ):
        score_tables(spec, spec.initial_state())
