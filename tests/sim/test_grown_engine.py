"""Grown models in the training loop: rounds as updates, going on from every point, validation, and their circuits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rdahw.data.images import Image
from rdahw.errors import UsageError, UserError
from rdahw.families import parse_model
from rdahw.families.grown import GrownSpec, PlainGrown
from rdahw.families.grown.rule import requests
from rdahw.families.grown.spec import OPTIONS
from rdahw.family import Task
from rdahw.sim.engines import in_shards, make_engine, predict
from rdahw.sim.grown import CompiledGrown
from rdahw.sim.grown_kernels import ask, find_asking
from rdahw.training import Batches, Examples, Progress, Schedule, Training

RANDOM = np.random.default_rng(5)
X = RANDOM.integers(0, 2, (90, 36), np.uint8)
LABELS = (X[:, 3] + X[:, 17]).astype(np.int64)
NOISY = np.where(RANDOM.random(90) < 0.2, RANDOM.integers(0, 3, 90), LABELS)
TRAIN, VALIDATION = Examples(X[:60], NOISY[:60]), Examples(X[60:], NOISY[60:])
NUMBERS = GrownSpec(input_bits=36, classes=3, tables=20, inputs=3, candidates=12, seed=2)
IMAGES = GrownSpec(
    input_bits=36, classes=3, tables=12, inputs=2, image=Image(1, 6, 6), patch=4, inset=1, copies=2, sample=50
)
every_spec = pytest.mark.parametrize("spec", [NUMBERS, IMAGES], ids=["numbers", "images"])
every_engine = pytest.mark.parametrize("engine", ["compiled", "reference"])


def training(
    spec: GrownSpec, engine: str = "compiled", *, point: Any = None, scored: str = "epoch", **more: Any
) -> Any:
    made, shards = make_engine(spec, engine, threads=more.pop("threads", 1)), more.pop("shards", None)
    made = made if shards is None else in_shards(made, shards)
    schedule = Schedule(**{**spec.schedule(60), "scored": scored, **more})
    if point is None:
        return Training(made, schedule, TRAIN, VALIDATION)
    made.state = point[0]
    return Training(made, schedule, TRAIN, VALIDATION, point[1])


def bits(state: Any, progress: Progress) -> tuple[Any, ...]:
    best = progress.best
    kept = best and (best.correct, best.update, best.epoch, best.parameters.tolist())
    counts = [getattr(progress, name) for name in ("epoch", "position", "examples", "updates", "wrong", "changed")]
    return {name: value.tolist() for name, value in state.items()}, counts, kept


def points(run: Any) -> list[Any]:
    return [(run.engine.state, progress) for progress in run.run()]


@every_spec
@pytest.mark.parametrize("scored", ["update", "epoch"])
def test_engines_agree_on_every_point(spec: GrownSpec, scored: str) -> None:
    plain, made = (points(training(spec, engine, scored=scored)) for engine in ("reference", "compiled"))
    assert [bits(*point) for point in made] == [bits(*point) for point in plain]
    assert len(made) == spec.rounds
    for more in ({"threads": 3}, {"shards": 7}, {"shards": 2, "engine": "reference"}):
        several = points(training(spec, scored=scored, **more))
        assert [bits(*point) for point in several] == [bits(*point) for point in plain]


@every_spec
def test_an_update_is_a_round_of_the_rule(spec: GrownSpec) -> None:
    plain = PlainGrown(spec)
    numbers = plain.run(plain.prepare(TRAIN.x, TRAIN.labels))
    for state, progress in points(training(spec)):
        scores, before = plain.scores(TRAIN.x), plain.state.grown
        wrong = int((scores.argmax(axis=1) != TRAIN.labels).sum())
        asked = int(requests(spec, scores, TRAIN.labels, before).any(axis=1).sum())
        for grown in numbers:
            if grown % spec.classes == 0:
                break
        assert (progress.wrong, progress.changed) == (wrong, asked)
        assert int(state["grown"][0]) == plain.state.grown == min(3 * progress.updates, spec.tables)
        assert (state["tables"] == plain.state.tables).all()
        assert (state["wiring"] == plain.state.wiring).all()
    assert plain.state.grown == spec.tables


@every_spec
@every_engine
def test_going_on_from_every_point_gives_the_same_bits(spec: GrownSpec, engine: str) -> None:
    whole = points(training(spec, engine))
    for at, point in enumerate(whole[:-1]):
        rest = training(spec, engine, point=point)
        assert [bits(*later) for later in points(rest)] == [bits(*later) for later in whole[at + 1 :]]


@every_spec
def test_validation_picks_the_number_of_tables(spec: GrownSpec) -> None:
    run, right = training(spec), []
    whole = points(run)
    for n in range(3, spec.tables + 3, 3):
        engine = CompiledGrown(spec)
        for _ in engine.run(engine.prepare(TRAIN.x, TRAIN.labels), min(n, spec.tables)):
            pass
        right.append(int((engine.predict(VALIDATION.x) == VALIDATION.labels).sum()))
    best = whole[-1][1].best
    assert best.correct == max(right)
    assert best.epoch == len(right) - right[::-1].index(max(right))
    # The parameters alone say how many tables there are: those after the best ones never vote.
    assert not best.parameters[3 * best.epoch :].any()
    state = {**whole[-1][0], "tables": best.parameters}
    found = predict(spec, state, VALIDATION.x)
    assert int((found == VALIDATION.labels).sum()) == best.correct


def test_predictions_follow_the_state() -> None:
    whole, other = points(training(NUMBERS)), points(training(NUMBERS, epochs=2))
    engine = make_engine(NUMBERS)
    prepared = engine.prepare(VALIDATION)
    moved = {**whole[1][0], "wiring": 35 - whole[1][0]["wiring"]}  # equal tables, other wires
    for state in (whole[-1][0], other[0][0], whole[3][0], whole[1][0], moved, NUMBERS.initial_state()):
        engine.state = state
        plain = make_engine(NUMBERS, "reference")
        plain.state = state
        expected = plain.class_scores(plain.prepare(VALIDATION))
        assert engine.class_scores(prepared).tolist() == expected.tolist()


@every_spec
def test_the_circuit_of_a_trained_model_predicts_the_same(spec: GrownSpec) -> None:
    for state, _ in (points(training(spec))[i] for i in (0, 2, -1)):
        made, its = spec.trained(state)
        assert (made.input_bits, made.classes, made.code) == (36, 3, "one-hot")
        assert len(made.theta(its)) == made.parameters.bits == made.learner().model.parameter_bits
        assert predict(made, its, X).tolist() == predict(spec, state, X).tolist()
    made, its = spec.trained(spec.initial_state())
    assert predict(made, its, X).tolist() == [0] * 90


def test_a_table_for_which_nothing_asks_does_not_vote() -> None:
    x = np.array([[0, 1], [1, 0]] * 20, np.uint8)
    labels = x[:, 0].astype(np.int64)
    spec = GrownSpec(input_bits=2, classes=2, tables=9, inputs=1, slope=0)
    for engine in (CompiledGrown(spec), PlainGrown(spec)):
        for _ in engine.run(engine.prepare(x, labels)):
            pass
        assert engine.state.tables.any(axis=1).tolist() == [True] * 4 + [False] * 5  # margins of 2 after two rounds
        assert engine.predict(x).tolist() == labels.tolist()
    assert spec.facts({"tables": engine.state.tables, "wiring": engine.state.wiring, "grown": np.array([9])}) == {
        "voting_tables": 4,
        "read_bits": 1,
    }


def test_schedules_that_cannot_be() -> None:
    for more, said in (
        ({"batch": 59}, "batch is 59; a grown model learns from all 60 examples at once"),
        ({"shuffle": True}, "takes the examples in their order"),
        ({"stride": 7}, "takes the examples in their order"),
        ({"epochs": 8}, "20 tables of 3 classes are grown in 7 rounds"),
    ):
        with pytest.raises(UsageError, match=said):
            training(NUMBERS, **more)
    engine = make_engine(NUMBERS)
    with pytest.raises(UserError, match="an update by 1 examples was asked for; a grown model learns from all 60"):
        engine.train(engine.prepare(TRAIN), Batches.single(np.arange(3)))


def test_states_that_cannot_be() -> None:
    state = points(training(NUMBERS))[2][0]
    for name, place, value, said in (
        ("wiring", (0, 0), 36, "'wiring'"),
        ("wiring", (0, 0), -1, "'wiring'"),
        ("grown", 0, 21, "'grown'"),
        ("grown", 0, -1, "'grown'"),
        ("tables", (9, 1), 1, "'tables'"),
    ):
        wrong = {key: array.copy() for key, array in state.items()}
        wrong[name][place] = value
        with pytest.raises(UserError, match=said):
            NUMBERS.check_state(wrong)
    NUMBERS.check_state(state)


@pytest.mark.parametrize(
    ("text", "image", "expected"),
    [
        ("grown", Image(1, 28, 28), {"patch": 12, "inset": 2, "sample": 8000, "slope": 17, "inputs": 6}),
        ("grown:copies=5", Image(1, 28, 28), {"patch": 10, "inset": 2, "sample": 16000, "slope": 10}),
        ("grown:patch=0", Image(1, 28, 28), {"patch": 0, "inset": 2}),
        ("grown:patch=8,inset=1,slope=3", Image(1, 28, 28), {"patch": 8, "inset": 1, "slope": 3}),
        ("grown", Image(2, 8, 8), {"patch": 0, "inset": 0}),
        ("grown", None, {"patch": 0, "inset": 0, "sample": 8000, "slope": 17, "tables": 1002}),
    ],
)
def test_defaults(text: str, image: Image | None, expected: dict[str, int]) -> None:
    family, options = parse_model(text)
    task = Task(input_bits=40 if image is None else image.bits, classes=3, image=image)
    spec = family.spec(task, **options)
    found = spec.options()
    assert {name: found[name] for name in expected} == expected
    assert {option.name for option in OPTIONS} == found.keys()
    assert family.spec(Task(input_bits=4, classes=2)).options()["inputs"] == 4


def test_who_asks_among_many_examples() -> None:
    """Requests as :func:`rdahw.families.grown.rule.requests` has them, on more examples than are looked at at once."""
    spec = GrownSpec(input_bits=8, classes=3, tables=300, inputs=2, candidates=8, slope=0, margin=4)
    random = np.random.default_rng(1)
    count, alone = 9001, 9000
    scores = np.zeros((3, 9024), np.int16)
    scores[:, :count] = random.integers(0, 12, (3, count))
    labels = random.integers(0, 3, count)
    expected = requests(spec, scores[:, :count].T.astype(np.int64), labels, 0)
    asking, weights, counts = np.zeros((3, 9024), np.uint8), np.empty(count, np.int16), np.empty(2, np.int64)
    ask(scores, labels.astype(np.int16), spec.threshold(0), asking, weights, alone, counts)
    wrong = (scores[:, :alone].argmax(axis=0) != labels[:alone]).sum()
    assert counts.tolist() == [wrong, (expected[:alone] != 0).any(axis=1).sum()]
    for c in range(3):
        assert np.array_equal(np.flatnonzero(asking[c]), np.flatnonzero(expected[:, c]))
        places = np.arange(0, np.count_nonzero(asking[c]), 7)
        found = np.empty(len(places), np.int64)
        find_asking(asking[c], places, found)
        assert np.array_equal(found, np.flatnonzero(asking[c])[places])
    assert np.array_equal(weights, expected[np.arange(count), labels])
