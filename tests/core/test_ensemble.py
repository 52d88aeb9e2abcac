"""Ensembles: the spec, the randomness, the plain rule against the rule written as linear algebra, and training."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from rdahw.data import Column
from rdahw.data.images import Image, find_image, shift_images
from rdahw.errors import UsageError, UserError
from rdahw.families import find_family, parse_model
from rdahw.families.ensemble.rule import PlainEnsemble
from rdahw.families.ensemble.spec import (
    EnsembleSpec,
    draw_shifts,
    first_dropout_state,
    make_wiring,
    register_bits,
    register_number,
)
from rdahw.family import Task
from rdahw.random import stream, words
from rdahw.state import state_from_json, state_to_json
from rdahw.training import Examples, Schedule, Training

DIGITS = Image(1, 28, 28)


def spec(**changes: Any) -> EnsembleSpec:
    given: dict[str, Any] = dict(
        input_bits=12, classes=3, tables=5, inputs=2, counter=3, margin=2, dropout=0.25, seed=7
    )
    return EnsembleSpec(**{**given, **changes})


# -- the spec ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "made",
    [
        spec(),
        spec(image=Image(2, 2, 3), wiring="patch2", shift=1, sign=True, dropout=0.0),
        spec(dropout=0.9375),
        spec(forget=9),
    ],
)
def test_a_spec_survives_json(made: EnsembleSpec) -> None:
    assert EnsembleSpec.from_json(json.loads(json.dumps(made.to_json()))) == made


def test_the_form_of_random_wiring_is_that_of_before_grown_wiring() -> None:
    before = (
        *("input_bits", "classes", "tables", "inputs", "counter", "margin", "dropout", "wiring", "image", "shift"),
        *("sign", "seed"),
    )
    assert tuple(spec().to_json()) == before


@pytest.mark.parametrize(
    ("wires", "message"),
    [
        (5, "the ensemble's 'wires' is not a str"),
        ("x", "the field 'wiring' is not base64 text"),
        ("AAAA", "the field 'wiring' is not 50 bits"),
        ("/////////w==", "the ensemble's 'wires' is not numbers from 0 to 11"),
    ],
)
def test_damaged_wires_are_refused(wires: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        EnsembleSpec.from_json({**spec(wiring="grown").to_json(), "wires": wires})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tables": "5"}, "tables of an ensemble is '5'; expected a whole number from 1"),
        ({"tables": True}, "tables of an ensemble is True"),
        ({"dropout": 1}, "the ensemble's 'dropout' is not a float"),
        ({"dropout": float("nan")}, "dropout of an ensemble is nan"),
        ({"sign": 1}, "the ensemble's 'sign' is not a bool"),
        ({"image": [1, 2]}, "the ensemble's 'image' is not planes, height and width"),
        ({"image": [1, 2, 3]}, r"an image of \(1, 2, 3\) does not have the 12 bits"),
        ({"wiring": "patch2"}, "needs images and the data are not images"),
        ({"more": 1}, "the ensemble is not an object with the keys input_bits"),
    ],
)
def test_a_damaged_spec_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        EnsembleSpec.from_json({**spec().to_json(), **change})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dropout": 0.3}, "dropout of an ensemble is 0.3; expected a multiple of 1/16 from 0 to 15/16"),
        ({"dropout": 1.0}, "dropout of an ensemble is 1.0"),
        ({"counter": 1}, "counter of an ensemble is 1; expected a whole number from 2 to 8"),
        ({"inputs": 17}, "inputs of an ensemble is 17; expected a whole number from 1 to 16"),
        (
            {"inputs": 13},
            "a table of 13 inputs has only 12 bits to choose from; lower inputs or binarise into more planes",
        ),
        (
            {"image": Image(1, 3, 4), "wiring": "patch1"},
            "has only 1 bits to choose from; lower inputs or enlarge the patch",
        ),
        ({"image": Image(1, 3, 4), "wiring": "patch4"}, "wiring 'patch4' does not fit images of 3 x 4 pixels"),
        ({"image": Image(1, 3, 4), "wiring": "patch2inset1"}, "lower the patch or the inset"),
        ({"wiring": "patch"}, "there is no wiring 'patch'; expected any, patchP or patchPinsetI"),
        ({"shift": 1}, "the data are not images and cannot be shifted"),
        ({"candidates": 9}, "candidates is 9, which is for wiring=grown only"),
        ({"wiring": "grown", "copies": 1}, "copies of a grown model are for images and the data are none; use 0"),
        ({"wiring": "grown", "inputs": 9}, "inputs of a grown model is 9; expected a whole number from 1 to 8"),
        ({"input_bits": 1 << 20, "tables": 1 << 20, "inputs": 16}, "hold more than 1073741824 counters; lower tables"),
    ],
)
def test_an_impossible_spec_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        spec(**change)


def parsed(
    text: str, bits: int, classes: int, image: Image | None = None, *, seed: int = 0, **given: Any
) -> EnsembleSpec:
    family, options = parse_model(text)
    made = family.spec(Task(input_bits=bits, classes=classes, image=image, seed=seed), **options, **given)
    assert isinstance(made, EnsembleSpec)
    return made


def test_parsing() -> None:
    made = parsed("ensemble:tables=128,inputs=7,wiring=patch10", 784, 10, DIGITS, margin=80, seed=3)
    assert made == EnsembleSpec(
        input_bits=784, classes=10, tables=128, inputs=7, wiring="patch10", image=DIGITS, margin=80, seed=3
    )
    assert parsed("ensemble", 784, 10, DIGITS).wiring == "patch8inset2"
    assert parsed("ensemble", 64, 10, Image(1, 8, 8)).wiring == "any"
    assert parsed("ensemble", 144, 10, Image(1, 12, 12)).wiring == "patch8"
    made = parsed("ensemble", 20, 3)
    assert (made.wiring, made.tables, made.inputs, made.margin) == ("any", 256, 6, 160)
    assert parsed("ensemble:tables=1000", 4, 3, sign=True) == EnsembleSpec(
        input_bits=4, classes=3, tables=1000, inputs=4, margin=40, sign=True
    )
    every = "ensemble:tables=8,inputs=3,wiring=any,counter=4,margin=5,dropout=0.1875,shift=1,sign=1"
    made = parsed(every, 12, 2, Image(1, 3, 4), seed=5)
    assert made == EnsembleSpec(
        input_bits=12, classes=2, image=Image(1, 3, 4), seed=5, tables=8, inputs=3, counter=4, margin=5,
        dropout=0.1875, shift=1, sign=True,
    )  # fmt: skip
    assert (
        find_family("ensemble").spec(Task(input_bits=12, classes=2, image=made.image, seed=5), **made.options()) == made
    )
    with pytest.raises(UsageError, match=r"has no option 'table=3'; .* did you mean 'tables'\?"):
        parsed("ensemble:table=3", 20, 3)
    with pytest.raises(
        UsageError, match=r"option tables=0 of model 'ensemble' is invalid; expected a whole number from 1"
    ):
        parsed("ensemble:tables=0", 20, 3)


def test_images_are_found() -> None:
    pixels, bits = (Column("number"),) * 6, (Column("binary"),) * 6
    assert find_image(pixels, (2, 3), 18) == Image(3, 2, 3)
    assert find_image(bits, (2, 3), 6) == Image(1, 2, 3)
    assert find_image(pixels, None, 18) is None
    assert find_image((*pixels[1:], Column("binary")), (2, 3), 16) is None


# -- randomness --------------------------------------------------------------------------------------------------------


def test_wiring_stays_in_its_patch_and_out_of_the_inset() -> None:
    made = EnsembleSpec(
        input_bits=1568, classes=10, tables=300, inputs=8, wiring="patch5inset2", image=Image(2, 28, 28)
    )
    wiring = make_wiring(made)
    _, row, column = np.unravel_index(wiring, made.image)  # type: ignore[arg-type]
    for places in (row, column):
        assert (places.max(axis=1) - places.min(axis=1)).max() == 4
        assert (places.min(), places.max()) == (2, 25)
    assert all(len(set(table)) == 8 for table in wiring.tolist())
    assert {0, 1} == set((wiring // 784).ravel().tolist())


def test_wiring_is_what_the_documentation_says() -> None:
    made = EnsembleSpec(input_bits=784, classes=10, tables=9, inputs=6, wiring="patch8inset2", image=DIGITS, seed=11)
    w = words(stream(11, "wiring", 8), 66).tolist()
    row, column = 2 + w[0] % 17, 2 + w[1] % 17
    chosen = sorted(range(64), key=lambda m: w[2 + m])[:6]
    assert make_wiring(made)[8].tolist() == [(row + m // 8) * 28 + column + m % 8 for m in chosen]


def test_wiring_keeps_its_bits() -> None:
    assert make_wiring(spec()).tolist() == WIRING


def _times(a: int, b: int) -> int:
    """The product of two polynomials over Z2 modulo x^63 + x^31 + 1."""
    product = 0
    for i in range(63):
        product ^= (a << i) * (b >> i & 1)
    for i in range(125, 62, -1):
        if product >> i & 1:
            product ^= (1 << 63 | 1 << 31 | 1) << (i - 63)
    return product


def test_the_dropout_register_has_the_longest_period() -> None:
    def power(n: int) -> int:
        result, square = 1, 2  # 2 is x
        while n:
            if n & 1:
                result = _times(result, square)
            square, n = _times(square, square), n >> 1
        return result

    period = (1 << 63) - 1
    primes = (7, 73, 127, 337, 92737, 649657)
    assert 7 * np.prod(primes, dtype=object) == period
    assert power(period) == 1
    assert all(power(period // p) != 1 for p in primes)


@pytest.mark.parametrize(("dropout", "rule"), [(0.0, (0, 0)), (0.5, (1, 1)), (0.75, (2, 3)), (0.6875, (4, 11))])
def test_dropout_takes_the_bits_that_the_documentation_says(dropout: float, rule: tuple[int, int]) -> None:
    made = spec(tables=900, dropout=dropout)
    assert made.dropout_rule == rule
    engine = PlainEnsemble(made)
    dropped = [engine._dropped() for _ in range(900)]

    state = first_dropout_state(7)
    s = [state >> i & 1 for i in range(63)]
    for t in range(63, 63 + 900 * rule[0]):
        s.append(s[t - 63] ^ s[t - 32])
    taken = s[63:]
    b, d = rule
    assert dropped == [sum(taken[b * j + i] << i for i in range(b)) < d for j in range(900)]
    assert abs(np.mean(dropped) - dropout) < 0.04
    assert engine.dropout_state == sum(bit << i for i, bit in enumerate(s[-63:]))


def test_shifts_cover_all_directions_and_move_images() -> None:
    made = spec(image=Image(1, 3, 4), shift=1)
    shifts = draw_shifts(made, 2, 500)
    assert sorted(set(map(tuple, shifts.tolist()))) == [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    assert shifts[17].tolist() == [*np.array(divmod(int(words(stream(7, "shift", 2), 18)[17]) % 9, 3)) - 1]
    picture = np.arange(1, 13, dtype=np.uint8)[None]
    assert shift_images(picture, made.image, 1, -1).tolist() == [[0, 0, 0, 0, 2, 3, 4, 0, 6, 7, 8, 0]]  # type: ignore[arg-type]
    assert shift_images(picture, made.image, 0, 2).tolist() == [[0, 0, 1, 2, 0, 0, 5, 6, 0, 0, 9, 10]]  # type: ignore[arg-type]


# -- the rule ----------------------------------------------------------------------------------------------------------


def test_the_rule_is_the_reverse_derivative_of_the_linear_scores() -> None:
    """Another way to say it: scores are A · counters with a matrix A of 0 and 1, and the request is A's transpose."""
    made = spec(dropout=0.0, margin=3, counter=8)
    engine = PlainEnsemble(made)
    rng = np.random.default_rng(1)
    engine.counters = rng.integers(-2, 3, made.counters_shape).astype(np.int8)
    x, labels = rng.integers(0, 2, (40, 12)).astype(np.uint8), rng.integers(0, 3, 40)
    updates = 0
    for i in range(40):
        before = engine.counters.reshape(-1).astype(int)
        matrix = np.zeros((3, *made.counters_shape), int)
        for j, wires in enumerate(engine.wiring):
            for c in range(3):
                matrix[c, j, x[i, wires[0]] + 2 * x[i, wires[1]], c] = 1
        matrix = matrix.reshape(3, -1)
        scores = matrix @ before
        assert engine.scores(x[i : i + 1]).tolist() == [scores.tolist()]
        others = [c for c in range(3) if c != labels[i]]
        rival = others[int(np.argmax(scores[others]))]
        cotangent = np.zeros(3, int)
        if scores[labels[i]] - scores[rival] <= 3:
            cotangent[labels[i]], cotangent[rival] = 1, -1
            updates += 1
        outcome = engine.learn(x, labels, np.array([i]))
        assert outcome.predictions.tolist() == [int(np.argmax(scores))]
        assert (engine.counters.reshape(-1) == before + matrix.T @ cotangent).all()
    assert 5 < updates < 40


def test_counters_saturate_and_signs_count_zero_as_one() -> None:
    made = spec(dropout=0.0, margin=1000, tables=1, input_bits=2, classes=2)
    engine = PlainEnsemble(made)
    x, labels = np.zeros((9, 2), np.uint8), np.zeros(9, np.int64)
    assert engine.learn(x, labels, np.arange(9)).updated.all()
    assert engine.counters[0, 0].tolist() == [3, -4]
    assert not engine.counters[0, 1:].any()
    signs = PlainEnsemble(replace(made, sign=True))
    signs.counters = engine.counters
    assert signs.scores(np.array([[0, 0], [1, 0]], np.uint8)).tolist() == [[1, 0], [1, 1]]


def test_forgetting_halves_all_counters_towards_zero() -> None:
    """After every N examples, counted over all calls, and before the next prediction."""
    made = spec(forget=4, dropout=0.0, counter=8, margin=0)
    engine = PlainEnsemble(made)
    counters = np.arange(-30, 30).reshape(5, 4, 3).astype(np.int8)
    engine.state = {**made.initial_state(), "counters": counters, "age": np.array([3])}
    x, labels = np.zeros((9, 12), np.uint8), np.full(9, 2)  # always right by far: no example is learned
    assert not engine.learn(x, labels, np.arange(1)).updated.any()
    assert (engine.counters == counters).all()
    assert engine.state["age"] == [4]
    assert not engine.learn(x, labels, np.arange(1)).updated.any()
    halves = np.sign(counters) * (np.abs(counters) // 2)
    assert (engine.counters == halves).all()
    assert engine.state["age"] == [1]
    engine.learn(x, labels, np.arange(8))
    assert (engine.counters == np.sign(halves) * (np.abs(halves) // 4)).all()
    assert engine.state["age"] == [1]


def test_forgetting_is_saved_and_the_form_without_it_stays() -> None:
    made = spec(forget=4)
    assert [field.name for field in made.fields] == ["counters", "dropout", "age"]
    assert "forget" not in spec().to_json()
    assert [field.name for field in spec().fields] == ["counters", "dropout"]
    state = {**made.initial_state(), "age": np.array([5])}
    with pytest.raises(UserError, match="the field 'age' is not a number from 0 to 4"):
        made.check_state(state)
    with pytest.raises(UserError, match="the ensemble is not an object"):
        EnsembleSpec.from_json({**spec().to_json(), "forget": 0})


def test_counters_that_do_not_fit_are_refused() -> None:
    engine = PlainEnsemble(spec())
    with pytest.raises(UserError, match=r"counters of shape \(2,\) were given; the model has \(5, 4, 3\)"):
        engine.counters = np.zeros(2, np.int8)
    with pytest.raises(UserError, match="a number of counters is outside of -4 to 3"):
        engine.counters = np.full((5, 4, 3), 4, np.int8)


# -- training ----------------------------------------------------------------------------------------------------------


def examples(n: int = 60) -> tuple[Any, Any]:
    rng = np.random.default_rng(3)
    x = rng.integers(0, 2, (n, 12)).astype(np.uint8)
    return x, x[:, 0] + x[:, 5].astype(np.int64)


def training(made: EnsembleSpec, schedule: Schedule, n: int = 60, start: Any = None) -> Training:
    """A training by the plain rule, from the start or from a (state, progress)."""
    engine = PlainEnsemble(made)
    if start is None:
        return Training(engine, schedule, Examples(*examples(n)))
    engine.state = start[0]
    return Training(engine, schedule, Examples(*examples(n)), None, start[1])


@pytest.mark.parametrize("forget", [0, 13])
def test_training_goes_on_from_any_point_and_chunks_change_nothing(forget: int) -> None:
    schedule = Schedule(epochs=3, shuffle=True, seed=7, updates=150)
    whole = training(spec(forget=forget), schedule)
    ends = list(whole.run(1000))
    assert [(p.epoch, p.position, p.examples) for p in ends] == [(0, 60, 60), (1, 60, 120), (2, 30, 150)]
    assert min(*(p.changed or 0 for p in ends), *(p.wrong for p in ends)) > 0
    assert whole.progress.position == 30
    parts = training(spec(forget=forget), schedule)
    chunk, stops = 7, 0
    while parts.progress.examples < parts.total_updates:
        next(parts.run(chunk))
        parts = training(spec(forget=forget), schedule, start=(parts.engine.state, parts.progress))
        chunk, stops = 11, stops + 1
    assert stops > 10
    end, other = whole.engine.state, parts.engine.state
    assert (end["counters"] == other["counters"]).all()
    assert (end["dropout"] == other["dropout"]).all()
    assert ("age" in end, end.get("age"), other.get("age")) == ((False, None, None) if not forget else (True, [7], [7]))
    for name in ("epoch", "position", "examples", "wrong", "updates", "changed"):
        assert getattr(whole.progress, name) == getattr(parts.progress, name)


@pytest.mark.parametrize("bits", [2, 5, 8])
def test_a_state_survives_json(bits: int) -> None:
    made = spec(counter=bits, tables=3)
    low, high = made.counter_range
    counters = np.random.default_rng(0).integers(low, high + 1, made.counters_shape).astype(np.int8)
    state = {"counters": counters, "dropout": register_bits((1 << 63) - 5)}
    value = json.loads(json.dumps(state_to_json(made.fields, state)))
    back = state_from_json(made.fields, value, "its 'state'")
    assert back["counters"].dtype == np.int8
    assert (back["counters"] == counters).all()
    assert register_number(back["dropout"]) == (1 << 63) - 5


def test_the_state_starts_with_counters_of_zero_and_the_register_of_the_seed() -> None:
    made = spec()
    state, engine = made.initial_state(), PlainEnsemble(made)
    assert not state["counters"].any()
    assert register_number(state["dropout"]) == first_dropout_state(7) == engine.dropout_state
    assert {name: value.tolist() for name, value in engine.state.items()} == {n: v.tolist() for n, v in state.items()}
    assert register_bits(1 << 62 | 2).tolist() == [0, 1, *[0] * 60, 1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"counters": "!"}, "the field 'counters' is not base64 text"),
        ({"counters": 3}, "the field 'counters' is not base64 text"),
        ({"counters": "AAAA"}, "the field 'counters' is not 180 bits"),
        ({"dropout": "AAAAAAAAAAA="}, "the field 'dropout' is not 63 bits, not all zero"),
        ({"dropout": 5}, "the field 'dropout' is not base64 text"),
        ({"dropout": "AAAA"}, "the field 'dropout' is not 63 bits"),
        ({"more": 1}, "its 'state' is not an object with the keys counters, dropout"),
    ],
)
def test_a_damaged_state_is_refused(change: dict[str, Any], message: str) -> None:
    made = spec()
    value = state_to_json(made.fields, made.initial_state())
    with pytest.raises(UserError, match=message):
        made.check_state(state_from_json(made.fields, {**value, **change}, "its 'state'"))


def test_training_learns() -> None:
    run = training(spec(tables=40, counter=6, margin=20, dropout=0.5), Schedule(epochs=3), 200)
    list(run.run())
    x, labels = examples(200)
    assert (run.engine.predict(run.prepare(run.train)) == labels).mean() > 0.95


def test_what_is_said_of_the_counters() -> None:
    made = spec(tables=1, inputs=1, classes=2)
    state = {"counters": np.array([[[3, -4], [0, -3]]], np.int8)}
    assert made.facts(state) == {"saturated": 0.5, "zero": 0.25}


@pytest.mark.parametrize("shift", [0, 1])
def test_examples_are_augmented_as_the_engine_moves_them(shift: int) -> None:
    made = spec(image=Image(1, 3, 4), shift=shift)
    x, _ = examples()
    rows = np.array([5, 3, 59, 5])
    found = made.augment(x[rows], rows, 2, 60)
    for row, example in zip(rows, found, strict=True):
        dy, dx = draw_shifts(made, 2, 60)[row] if shift else (0, 0)
        assert example.tolist() == shift_images(x[row], Image(1, 3, 4), int(dy), int(dx)).tolist()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schedule": Schedule(batch=2)}, "batch is 2; an ensemble takes examples one at a time"),
        ({"labels": np.full(60, 3)}, "a label is outside of 0 to 2"),
        ({"labels": np.zeros(2, np.int64)}, "60 inputs were given with 2 labels"),
        ({"x": np.zeros((60, 3), np.uint8)}, r"inputs of shape \(60, 3\) were given; expected \(N, 12\)"),
    ],
)
def test_training_that_does_not_fit_is_refused(change: dict[str, Any], message: str) -> None:
    x, labels = examples()
    given = {"schedule": Schedule(), "x": x, "labels": labels, **change}
    with pytest.raises(UserError, match=message):
        Training(PlainEnsemble(spec()), given["schedule"], Examples(given["x"], given["labels"]))


WIRING = [[9, 2], [11, 5], [3, 2], [2, 4], [8, 9]]
