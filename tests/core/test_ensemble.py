"""Ensembles: the spec, the randomness, the plain rule against the rule written as linear algebra, and training."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from rdahw.data import Column
from rdahw.GONE import EnsembleState, EnsembleTraining, parse_ensemble, state_from_json, state_to_json
from rdahw.data.images import Image, find_image, shift_images
from rdahw.families.ensemble.rule import PlainEnsemble
from rdahw.families.ensemble.spec import EnsembleSpec, draw_shifts, first_dropout_state, make_wiring
from rdahw.errors import UsageError, UserError
from rdahw.random import stream, words
from rdahw.training import Schedule

DIGITS = Image(1, 28, 28)


def spec(**changes: Any) -> EnsembleSpec:
    given: dict[str, Any] = dict(
        input_bits=12, classes=3, tables=5, inputs=2, counter=3, margin=2, dropout=0.25, seed=7
    )
    return EnsembleSpec(**{**given, **changes})


# -- the spec ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "made", [spec(), spec(image=Image(2, 2, 3), wiring="patch2", shift=1, sign=True, dropout=0.0), spec(dropout=0.9375)]
)
def test_a_spec_survives_json(made: EnsembleSpec) -> None:
    assert EnsembleSpec.from_json(json.loads(json.dumps(made.to_json()))) == made


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
        ({"wiring": "patch2"}, "is for images and the data are none"),
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
        ({"shift": 1}, "the data are no images and cannot be shifted"),
        ({"input_bits": 1 << 20, "tables": 1 << 20, "inputs": 16}, "hold more than 1073741824 counters; lower tables"),
    ],
)
def test_an_impossible_spec_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        spec(**change)


def test_parsing() -> None:
    made = parse_ensemble("ensemble:tables=128,inputs=7,wiring=patch10", 784, 10, DIGITS, margin=80, seed=3)
    assert made == EnsembleSpec(
        input_bits=784, classes=10, tables=128, inputs=7, wiring="patch10", image=DIGITS, margin=80, seed=3
    )
    assert parse_ensemble("ensemble", 784, 10, DIGITS).wiring == "patch8inset2"
    made = parse_ensemble("ensemble", 20, 3)
    assert (made.wiring, made.tables, made.inputs, made.margin) == ("any", 256, 6, 160)
    assert parse_ensemble("ensemble:tables=1000", 4, 3, sign=True) == EnsembleSpec(
        input_bits=4, classes=3, tables=1000, inputs=4, margin=40, sign=True
    )
    with pytest.raises(UsageError, match=r"has no option 'table=3'; .* did you mean 'tables'\?"):
        parse_ensemble("ensemble:table=3", 20, 3)
    with pytest.raises(UsageError, match="the model 'lookup' is no ensemble"):
        parse_ensemble("lookup", 20, 3)


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
        outcome = engine.train(x, labels, np.array([i]))
        assert outcome.predictions.tolist() == [int(np.argmax(scores))]
        assert (engine.counters.reshape(-1) == before + matrix.T @ cotangent).all()
    assert 5 < updates < 40


def test_counters_saturate_and_signs_count_zero_as_one() -> None:
    made = spec(dropout=0.0, margin=1000, tables=1, input_bits=2, classes=2)
    engine = PlainEnsemble(made)
    x, labels = np.zeros((9, 2), np.uint8), np.zeros(9, np.int64)
    assert engine.train(x, labels, np.arange(9)).updated.all()
    assert engine.counters[0, 0].tolist() == [3, -4]
    assert not engine.counters[0, 1:].any()
    signs = PlainEnsemble(replace(made, sign=True))
    signs.counters = engine.counters
    assert signs.scores(np.array([[0, 0], [1, 0]], np.uint8)).tolist() == [[1, 0], [1, 1]]


def test_counters_that_do_not_fit_are_refused() -> None:
    engine = PlainEnsemble(spec())
    with pytest.raises(UserError, match=r"counters of shape \(2,\) were given; the ensemble has \(5, 4, 3\)"):
        engine.counters = np.zeros(2, np.int8)
    with pytest.raises(UserError, match="a counter is outside of -4 to 3, which is all that 3 bits hold"):
        engine.counters = np.full((5, 4, 3), 4, np.int8)


# -- training ----------------------------------------------------------------------------------------------------------


def examples(n: int = 60) -> tuple[Any, Any]:
    rng = np.random.default_rng(3)
    x = rng.integers(0, 2, (n, 12)).astype(np.uint8)
    return x, x[:, 0] + x[:, 5].astype(np.int64)


def test_training_goes_on_from_any_point_and_chunks_change_nothing() -> None:
    x, labels = examples()
    schedule = Schedule(epochs=3, shuffle=True, seed=7, updates=150)
    whole = EnsembleTraining(PlainEnsemble(spec()), schedule, x, labels)
    states = list(whole.run())
    assert [(s.epoch, s.position, s.examples) for s in states] == [(0, 60, 60), (1, 60, 120), (2, 30, 150)]
    assert min(*(s.updates for s in states), *(s.wrong for s in states)) > 0
    assert whole.checkpoint().position == 30
    parts = EnsembleTraining(PlainEnsemble(spec()), schedule, x, labels, chunk=7)
    stops = 0
    while parts.checkpoint().examples < parts.total_examples:
        next(parts.run())
        parts = EnsembleTraining(PlainEnsemble(spec()), schedule, x, labels, chunk=11, state=parts.checkpoint())
        stops += 1
    assert stops > 10
    end, other = whole.checkpoint(), parts.checkpoint()
    assert (end.counters == other.counters).all()
    for name in ("dropout_state", "epoch", "position", "examples", "wrong", "updates"):
        assert getattr(end, name) == getattr(other, name)


@pytest.mark.parametrize("bits", [2, 5, 8])
def test_a_state_survives_json(bits: int) -> None:
    made = spec(counter=bits, tables=3)
    low, high = made.counter_range
    counters = np.random.default_rng(0).integers(low, high + 1, made.counters_shape).astype(np.int8)
    state = EnsembleState(counters, (1 << 63) - 5, 2, 17, 137, 9, 11)
    value = json.loads(json.dumps(state_to_json(made, state)))
    back = state_from_json(made, value)
    assert (back.counters == counters).all()
    for name in ("dropout_state", "epoch", "position", "examples", "wrong", "updates"):
        assert getattr(back, name) == getattr(state, name)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"counters": "!"}, "the ensemble's 'counters' is not base64 text"),
        ({"counters": 3}, "the ensemble's 'counters' is not base64 text"),
        ({"counters": "AAAA"}, "the ensemble's 'counters' is not 180 bits"),
        ({"dropout_state": "0"}, "the ensemble's 'dropout_state' is not a number of 63 bits, not 0"),
        ({"dropout_state": 5}, "the ensemble's 'dropout_state' is not a number"),
        ({"epoch": True}, "the ensemble's 'epoch' is not a count"),
        ({"wrong": -1}, "the ensemble's 'wrong' is not a count"),
        ({"more": 1}, "the ensemble's state is not an object with the keys counters"),
    ],
)
def test_a_damaged_state_is_refused(change: dict[str, Any], message: str) -> None:
    value = state_to_json(spec(), EnsembleState(np.zeros((5, 4, 3), np.int8), 1))
    with pytest.raises(UserError, match=message):
        state_from_json(spec(), {**value, **change})


def test_training_learns() -> None:
    x, labels = examples(200)
    engine = PlainEnsemble(spec(tables=40, counter=6, margin=20, dropout=0.5))
    list(EnsembleTraining(engine, Schedule(epochs=3), x, labels).run())
    assert (engine.predict(x) == labels).mean() > 0.95


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
    with pytest.raises(UserError, match=message):
        EnsembleTraining(
            **{"engine": PlainEnsemble(spec()), "schedule": Schedule(), "x": x, "labels": labels, **change}
        )


WIRING = [[9, 2], [11, 5], [3, 2], [2, 4], [8, 9]]
