"""The choice of a model by held-out examples."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rdahw.errors import UsageError
from rdahw.families import find_family, parse_model
from rdahw.family import Candidate, DataSize, Family, Task
from rdahw.jobs import Jobs, ThreadJobs
from rdahw.sim import automatic
from rdahw.sim.automatic import Choice, all_candidates, choose, epochs_for, spec_of
from rdahw.training import Examples

Rows = NDArray[np.int64]


def chosen(x: Any, labels: Any, *, seed: int = 0, jobs: Jobs | None = None) -> tuple[Choice, list[Rows]]:
    """The choice for examples of bits, and which rows were looked at."""
    looked: list[Rows] = []

    def look(family: Family, candidate: Candidate, rows: Rows) -> tuple[Task, Examples]:
        looked.append(rows)
        return Task(input_bits=x.shape[1], classes=classes, seed=seed), Examples(x[rows], labels[rows])

    classes = int(labels.max()) + 1
    size = DataSize(rows=len(x), columns=x.shape[1], classes=classes, images=False)
    return choose(size, labels, look, seed=seed, jobs=jobs), looked


def tries(monkeypatch: pytest.MonkeyPatch, *models: tuple[str, dict[str, Any]]) -> None:
    found = [(find_family(name), Candidate(options=options)) for name, options in models]
    monkeypatch.setattr(automatic, "all_candidates", lambda size: found)


ENSEMBLE = ("ensemble", {"tables": 4, "inputs": 3})
GROWN = ("grown", {"tables": 4, "inputs": 3, "candidates": 300})


def needle(rows: int, seed: int = 0) -> tuple[Any, Any]:
    """One of 300 bits is the label."""
    x = np.random.default_rng(seed).integers(0, 2, (rows, 300), np.uint8)
    return x, x[:, 77].astype(np.int64)


def test_growth_is_chosen_where_one_bit_of_many_matters(monkeypatch: pytest.MonkeyPatch) -> None:
    tries(monkeypatch, ENSEMBLE, GROWN)
    choice, _ = chosen(*needle(100))
    assert choice.trial is choice.trials[1]
    assert choice.trial.correct.all()
    assert choice.reason.startswith("it predicts 100.00 % of 100 held-out examples correctly; the next best predicts ")
    family, options = parse_model(choice.trial.model)
    task = Task(input_bits=300, classes=2)
    assert family.spec(task, **options) == spec_of(find_family("grown"), choice.trial.candidate, task)


def test_models_tried_at_once_are_those_tried_one_after_another(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = ("grown", {"tables": 4, "inputs": 3, "patch": 3})  # the data are not images
    tries(monkeypatch, ENSEMBLE, refused, GROWN)
    expected, found = (chosen(*needle(100), jobs=jobs)[0] for jobs in (None, ThreadJobs(2)))
    assert [trial.model for trial in found.trials] == [trial.model for trial in expected.trials]
    assert len(found.trials) == 2
    assert all(np.array_equal(a.correct, b.correct) for a, b in zip(found.trials, expected.trials, strict=True))
    assert found.reason == expected.reason


def test_the_first_of_equals_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    tries(monkeypatch, GROWN, (GROWN[0], {**GROWN[1], "tables": 6}))
    choice, _ = chosen(*needle(60))
    assert choice.trials[1].correct.all()
    assert choice.trial is choice.trials[0]


def test_the_same_seed_chooses_by_the_same_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    tries(monkeypatch, ENSEMBLE)
    x, labels = needle(200)
    first, again, other = (chosen(x, labels, seed=seed)[0].trial.correct for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize(("rows", "parts", "held"), [(30, 5, 30), (300, 5, 300), (301, 3, 301), (4004, 1, 1001)])
def test_parts_hold_out_every_class_evenly(rows: int, parts: int, held: int) -> None:
    labels = np.arange(rows) % 3
    found = list(automatic._parts(labels, 0))
    assert (len(found), sum(int(part.sum()) for part in found)) == (parts, held)
    assert not np.any(np.sum(found, axis=0) > 1)
    for part in found:
        counts = Counter(labels[part].tolist()).values()
        assert max(counts) - min(counts) <= 1


def test_few_examples_are_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    tries(monkeypatch, ENSEMBLE, GROWN)
    choice, _ = chosen(*needle(29))
    assert choice.trial is choice.trials[0]
    assert choice.reason == "there are fewer than 30 examples, too few to compare models"
    assert choice.trial.to_json()["examples"] == 0


def test_many_examples_are_not_all_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    tries(monkeypatch, ENSEMBLE)
    monkeypatch.setattr(automatic, "MOST_ROWS", 100)
    choice, looked = chosen(*needle(400))
    assert [len(np.unique(rows)) for rows in looked] == [100]
    assert len(choice.trial.correct) == 100


@pytest.mark.parametrize(
    ("examples", "epochs"), [(10, 15), (133_333, 15), (133_334, 14), (10**6, 2), (10**6 + 1, 1), (10**8, 1)]
)
def test_very_many_examples_need_fewer_epochs(examples: int, epochs: int) -> None:
    assert epochs_for(find_family("ensemble"), examples) == epochs
    assert epochs_for(find_family("grown"), examples) is None  # an epoch of it is a round of tables


def test_a_model_that_cannot_be_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    impossible = ("grown", {"inputs": 8, "candidates": 2})
    tries(monkeypatch, impossible, ENSEMBLE)
    assert [trial.family for trial in chosen(*needle(40))[0].trials] == ["ensemble"]
    tries(monkeypatch, impossible)
    with pytest.raises(UsageError, match="a table of 8 inputs has only 2 bits to choose from"):
        chosen(*needle(40))
    tries(monkeypatch)
    with pytest.raises(Exception, match="^no family of models has candidates to try; name a model$"):
        chosen(*needle(40))


@pytest.mark.parametrize(("columns", "thresholds"), [(1, 48), (341, 48), (1000, 16), (50_000, 8)])
def test_many_columns_have_fewer_thresholds_each(columns: int, thresholds: int) -> None:
    size = DataSize(rows=100, columns=columns, classes=2, images=False)
    assert size.thresholds(48) == thresholds
    assert max(candidate.thresholds or 0 for _, candidate in all_candidates(size)) == thresholds


@pytest.mark.parametrize("images", [False, True])
@pytest.mark.parametrize("classes", [2, 26, 256])
def test_all_candidates_can_be_made(images: bool, classes: int) -> None:
    from rdahw.data.images import Image

    image = Image(1, 28, 28) if images else None
    task = Task(input_bits=784, classes=classes, image=image)
    found = all_candidates(DataSize(rows=1000, columns=784, classes=classes, images=images))
    assert {family.name for family, _ in found} == {"ensemble", "grown"}
    for family, candidate in found:
        spec = spec_of(family, candidate, task)
        assert spec.classes == classes
        assert spec.fields  # raises if the state is too large


def test_candidates_that_come_to_the_same_are_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """They may differ in thresholds alone, which data without numbers do not have."""
    options = {"tables": 4, "inputs": 3}
    found = [(find_family("ensemble"), Candidate(options=options, thresholds=count)) for count in (16, 48)]
    monkeypatch.setattr(automatic, "all_candidates", lambda size: found)
    assert len(chosen(*needle(40))[0].trials) == 1
