"""The plain rules of growth: their random choices, each step by hand, and what cannot be."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdahw.data.images import Image, shift_images
from rdahw.errors import UsageError, UserError
from rdahw.families.grown import GrownSpec, GrownState, PlainGrown, PlainVotes, VotesSpec
from rdahw.families.grown.rule import bits_gain, choose_inputs, requests
from rdahw.families.grown.spec import candidates, copy_shifts, patch_that_fits, sample, with_copies
from rdahw.families.grown.votes import table_votes, votes_gain
from rdahw.random import stream, words

SMALL: dict[str, Any] = {"input_bits": 30, "classes": 3, "tables": 9, "inputs": 2}
IMAGE = Image(2, 8, 9)


# -- random choices ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("patch", [0, 2, 4])
@pytest.mark.parametrize("inset", [0, 2])
@pytest.mark.parametrize("most", [5, 20, 1000])
def test_candidates_of_images_are_in_one_patch(patch: int, inset: int, most: int) -> None:
    spec = GrownSpec(
        input_bits=144, classes=2, image=IMAGE, patch=patch, inset=inset, candidates=most, inputs=2, tables=300
    )
    side = patch or 8 - 2 * inset, patch or 9 - 2 * inset
    seen, corners = set(), set()
    for table in range(300):
        wires = candidates(spec, table)
        assert len(wires) == min(most, 2 * side[0] * side[1])
        assert (np.diff(wires) > 0).all()  # rising, so no bit twice
        _, row, column = np.unravel_index(wires, IMAGE)
        assert row.max() - row.min() < side[0]
        assert column.max() - column.min() < side[1]
        assert row.min() >= inset
        assert column.min() >= inset
        assert row.max() < 8 - inset
        assert column.max() < 9 - inset
        seen |= set(wires.tolist())
        corners.add((int(row.min()), int(column.min())))
    assert len(seen) >= 0.95 * 2 * (8 - 2 * inset) * (9 - 2 * inset)  # all bits may be read
    if most == 1000 and patch:
        assert len(corners) == (8 - 2 * inset - patch + 1) * (9 - 2 * inset - patch + 1)


def test_candidates_are_drawn_as_described() -> None:
    spec = GrownSpec(input_bits=50, classes=2, inputs=2, candidates=20, seed=7)
    drawn = [int(w) % 50 for w in words(stream(7, "candidates", 3), 500)[2:]]
    assert candidates(spec, 3).tolist() == sorted(list(dict.fromkeys(drawn))[:20])
    assert candidates(spec, 3).tolist() != candidates(spec, 4).tolist()


def test_candidates_nearly_as_many_as_there_are_bits() -> None:
    spec = GrownSpec(input_bits=50, classes=2, inputs=2, candidates=49)
    assert all(len(set(candidates(spec, table).tolist())) == 49 for table in range(50))


@given(most=st.integers(1, 60), asking=st.integers(0, 300), table=st.integers(0, 1000))
def test_a_sample_is_spread_over_all_that_ask(most: int, asking: int, table: int) -> None:
    chosen = sample(GrownSpec(**SMALL, sample=most), table, asking)
    assert len(chosen) == min(most, asking)
    assert ((chosen >= 0) & (chosen < asking)).all()
    if asking > most:
        steps = np.diff(chosen)
        assert ((steps >= asking // most) & (steps <= -(-asking // most))).all()
    else:
        assert chosen.tolist() == list(range(asking))


def test_every_asking_example_is_sampled_sometimes() -> None:
    spec = GrownSpec(**SMALL, sample=3)
    assert {int(i) for table in range(100) for i in sample(spec, table, 10)} == set(range(10))


def test_copies_are_shifted_images() -> None:
    spec = GrownSpec(input_bits=144, classes=2, inputs=2, image=IMAGE, copies=8, seed=5)
    x = np.random.default_rng(0).integers(0, 2, (60, 144), np.uint8)
    every = with_copies(spec, x)
    assert every.shape == (540, 144)
    np.testing.assert_array_equal(every[:60], x)
    ways = {(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} - {(0, 0)}
    assert all({tuple(copy_shifts(spec, copy, 60)[i].tolist()) for copy in range(8)} == ways for i in range(60))
    for copy in range(8):
        shifts = copy_shifts(spec, copy, 60)
        assert {tuple(shift) for shift in shifts.tolist()} == ways
        for i, (dy, dx) in enumerate(shifts.tolist()):
            np.testing.assert_array_equal(every[60 * (1 + copy) + i], shift_images(x[i], IMAGE, dy, dx))


@pytest.mark.parametrize(
    ("image", "fits"), [(None, (0, 0)), (Image(1, 28, 28), (10, 2)), (Image(1, 12, 20), (10, 0)), (IMAGE, (0, 0))]
)
def test_a_patch_is_given_up_where_it_does_not_fit(image: Image | None, fits: tuple[int, int]) -> None:
    assert patch_that_fits(image, 10, 2) == fits


# -- the rule by hand --------------------------------------------------------------------------------------------------


def test_the_requests_of_an_example() -> None:
    spec = GrownSpec(**SMALL, margin=1, slope=50)
    scores, labels = np.array([[3, 2, 1], [3, 2, 1], [0, 5, 2], [9, 1, 1]]), np.array([0, 2, 1, 0])
    # T = 1: class 1 is a rival of the first, both others of the second, none of the others.
    expected = [[1, -1, 0], [-1, -1, 2], [0, 0, 0], [0, 0, 0]]
    assert requests(spec, scores, labels, 0).tolist() == expected
    assert requests(spec, scores, labels, 5).tolist() == expected  # round 1: T = 1 + 50 div 100
    # Round 2: T = 2.
    assert requests(spec, scores, labels, 6).tolist() == [[2, -1, -1], *expected[1:]]


def test_inputs_are_chosen_by_gain_and_the_lowest_on_a_tie() -> None:
    x = np.array([[0, 0, 0, 1], [0, 1, 1, 1], [1, 0, 0, 1], [1, 1, 1, 1]], np.uint8)
    spec = GrownSpec(input_bits=4, classes=2, inputs=1, refinements=0)
    # Bits 1 and 2 are equal and decide the sign; bit 0 and the constant bit 3 decide nothing.
    assert choose_inputs(spec, np.arange(4), x, np.array([-1, 1, -1, 1]), bits_gain) == [1]
    assert choose_inputs(spec, np.array([0, 2, 3]), x, np.array([-1, 1, -1, 1]), bits_gain) == [2]


def test_a_replacement_finds_what_greed_has_missed() -> None:
    # The request is the parity of bits 1 and 2, of which neither says anything alone; bit 0 says a little.
    x = (np.arange(8)[:, None] >> np.arange(3) & 1).astype(np.uint8)
    asked = np.where(x[:, 1] ^ x[:, 2], 1, -1) * 4 + np.where(x[:, 0], 1, -1)
    options: dict[str, Any] = {"input_bits": 3, "classes": 2, "inputs": 2}
    assert choose_inputs(GrownSpec(**options, refinements=0), np.arange(3), x, asked, bits_gain)[0] == 0
    assert choose_inputs(GrownSpec(**options, refinements=1), np.arange(3), x, asked, bits_gain) == [2, 1]


def test_the_first_tables_by_hand() -> None:
    # Class = bit 0. All scores are equal at first, so every example asks +1 for its own class and -1 for the other.
    x = np.array([[0, 1], [0, 0], [1, 1], [1, 0]], np.uint8)
    model = PlainGrown(GrownSpec(input_bits=2, classes=2, tables=2, inputs=1))
    assert list(model.run(model.prepare(x, x[:, 0].astype(np.int64)))) == [1, 2]
    assert model.state.wiring.tolist() == [[0], [0]]
    assert model.state.tables.tolist() == [[1, 0], [0, 1]]  # class 0 where the bit is 0, class 1 where it is 1
    assert model.scores(x).tolist() == [[1, 0], [1, 0], [0, 1], [0, 1]]
    assert model.predict(x).tolist() == [0, 0, 1, 1]


def test_a_cell_without_requests_votes() -> None:
    model = PlainGrown(GrownSpec(input_bits=1, classes=2, tables=2, inputs=1))
    list(model.run(model.prepare(np.zeros((3, 1), np.uint8), np.zeros(3, np.int64))))
    assert model.state.tables.tolist() == [[1, 1], [0, 1]]


def test_the_votes_of_a_table_by_hand() -> None:
    spec = VotesSpec(input_bits=1, classes=2, inputs=1, scale=16, counter=6)
    x = np.array([[0], [0], [0], [1]], np.uint8)
    asked = np.array([[1, -1], [1, -1], [-1, 1], [-1, 1]])
    # Cell 0: sums 1 and -1 of 3 examples: 16/5 = 3.2; cell 1: -1 and 1 of one: 16/3 = 5.3.
    assert table_votes(spec, x, [0], asked).tolist() == [[3, -3], [-5, 5]]
    assert votes_gain(x, [0], asked) == (2 << 8) // 5 + (2 << 8) // 3
    half = VotesSpec(input_bits=1, classes=2, inputs=1, scale=1)
    assert table_votes(half, x[:0], [0], asked[:0]).tolist() == [[0, 0], [0, 0]]
    # One of two halves: 2 * 1 / (2 + 2), rounded up, and -1/2 is rounded up to 0.
    asked = np.array([[1, -1], [1, -1]])
    assert table_votes(half, x[:2], [0], asked)[0].tolist() == [1, 0]


def test_votes_are_limited_to_the_counter() -> None:
    spec = VotesSpec(input_bits=1, classes=2, inputs=1, scale=127, counter=3)
    x, asked = np.zeros((50, 1), np.uint8), np.array([[1, -1]] * 50)
    assert table_votes(spec, x, [0], asked)[0].tolist() == [3, -4]


@pytest.mark.parametrize(("spec", "model"), [(GrownSpec, PlainGrown), (VotesSpec, PlainVotes)])
def test_the_column_that_matters_is_found(spec: Any, model: Any) -> None:
    random = np.random.default_rng(0)
    x = random.integers(0, 2, (200, 40), np.uint8)
    grown = model(spec(input_bits=40, classes=2, tables=6, inputs=2, candidates=40))
    list(grown.run(grown.prepare(x, x[:, 23].astype(np.int64))))
    assert (grown.predict(x) == x[:, 23]).all()
    assert 23 in grown.state.wiring[0]


# -- what cannot be ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tables": 0}, "tables of a grown model is 0; expected a whole number from 1 to 32768"),
        ({"slope": 1.5}, "slope of a grown model is 1.5; expected a whole number from 0 to 1000"),
        ({"copies": True}, "copies of a grown model is True"),
        ({"inputs": 9}, "inputs of a grown model is 9; expected a whole number from 1 to 8"),
        ({"copies": 1}, "are for images and the data are none"),
        ({"patch": 3}, "are for images and the data are none"),
        ({"image": Image(1, 5, 5)}, "does not have the 30 bits of the input"),
        ({"image": Image(1, 5, 6), "patch": 6}, "a patch of 6 pixels with an inset of 0 does not fit images of 5 x 6"),
        ({"image": Image(1, 5, 6), "inset": 3}, "does not fit images of 5 x 6 pixels; lower the patch or the inset"),
        ({"candidates": 1}, "a table of 2 inputs has only 1 bits to choose from; lower inputs, or enlarge candidates"),
        ({"image": Image(1, 5, 6), "patch": 1}, "has only 1 bits to choose from; lower inputs, or enlarge the patch"),
        ({"inputs": 8, "input_bits": 4}, "has only 4 bits to choose from; lower inputs, or use more thresholds"),
    ],
)
def test_a_spec_that_cannot_be_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        GrownSpec(**SMALL | options)


def test_the_votes_have_ranges_too() -> None:
    with pytest.raises(UsageError, match="counter of a grown model is 9; expected a whole number from 2 to 8"):
        VotesSpec(**SMALL, counter=9)


@pytest.mark.parametrize(
    ("x", "labels", "message"),
    [
        (np.zeros((3, 29)), [0, 1, 2], r"inputs of shape \(3, 29\) were given; expected \(N, 30\)"),
        (np.zeros((3, 30)), [0, 1], "3 inputs were given with 2 labels"),
        (np.zeros((0, 30)), [], "0 inputs were given with 0 labels; expected as many, at least one"),
        (np.zeros((2, 30)), [0, 3], "a label is outside of 0 to 2"),
    ],
)
def test_data_that_do_not_fit_are_refused(x: Any, labels: Any, message: str) -> None:
    for model in (PlainGrown(GrownSpec(**SMALL)), PlainVotes(VotesSpec(**SMALL))):
        with pytest.raises(UserError, match=message):
            model.prepare(x, np.array(labels, np.int64))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"grown": 10}, "10 grown tables of shapes"),
        ({"wiring": np.full((9, 2), 30, np.int32)}, "a table reads an input bit outside of 0 to 29"),
        ({"wiring": np.zeros((9, 3), np.int32)}, r"shapes \(9, 3\) and .* expected at most 9 of \(9, 2\)"),
    ],
)
def test_a_state_of_another_model_is_refused(change: dict[str, Any], message: str) -> None:
    specs = GrownSpec(**SMALL), VotesSpec(**SMALL)
    for spec, model in zip(specs, (PlainGrown, PlainVotes), strict=True):
        with pytest.raises(UserError, match=message):
            model(spec).state = replace(GrownState.empty(spec), **change)


def test_bits_out_of_range_are_refused() -> None:
    wiring = np.zeros((9, 2), np.int32)
    with pytest.raises(UserError, match="a table holds a value outside of 0 to 1"):
        PlainGrown(GrownSpec(**SMALL)).state = GrownState(wiring, np.full((9, 4), 2, np.int8))
    with pytest.raises(UserError, match="a table holds a value outside of -32 to 31"):
        PlainVotes(VotesSpec(**SMALL)).state = GrownState(wiring, np.full((9, 4, 3), 32, np.int8))


def test_a_state_is_a_copy() -> None:
    model = PlainGrown(GrownSpec(**SMALL))
    model.state.wiring[:] = 1
    assert model.state.wiring.max() == 0


# -- the bits stay -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "model", "digest"),
    [
        (GrownSpec, PlainGrown, "71648c5d004158e11ddf0a78a4aaf04672a18b51a82ba6be2f75235a3471b3fb"),
        (VotesSpec, PlainVotes, "dff633b904bc27a31b4dff35eec026d952c3e707704205b853c5b71dbcd183c0"),
    ],
)
def test_the_bits_stay_from_version_to_version(spec: Any, model: Any, digest: str) -> None:
    x = (words(stream(0, "test"), 120 * 64).reshape(120, 64) % 3 == 0).astype(np.uint8)
    labels = x[:, 10:14].argmax(axis=1)
    options = {"image": Image(1, 8, 8), "patch": 4, "inset": 1, "candidates": 12, "sample": 60, "copies": 1, "seed": 3}
    grown = model(spec(input_bits=64, classes=4, tables=10, inputs=3, **options))
    list(grown.run(grown.prepare(x, labels)))
    found = hashlib.sha256(grown.state.wiring.astype("<i4").tobytes() + grown.state.tables.tobytes()).hexdigest()
    assert found == digest


@pytest.mark.parametrize(
    ("tables", "inputs", "said"), [(1, 1, "1 grown table of 1 input,"), (2, 3, "2 grown tables of 3 inputs,")]
)
def test_its_description_counts(tables: int, inputs: int, said: str) -> None:
    assert GrownSpec(input_bits=30, classes=3, tables=tables, inputs=inputs).description.startswith(said)


def test_a_class_without_a_table_is_never_predicted() -> None:
    x = np.random.default_rng(0).integers(0, 2, (200, 6), np.uint8)
    spec = GrownSpec(input_bits=6, classes=4, tables=3, inputs=2)
    assert spec.caution == "3 tables for 4 classes: a class without a table is never predicted; grow 4 tables or more"
    assert replace(spec, tables=4).caution == ""
    assert VotesSpec(input_bits=6, classes=4, tables=1, inputs=2).caution == ""
    found = {}
    for tables in (3, 4):
        model = PlainGrown(replace(spec, tables=tables))
        assert list(model.run(model.prepare(x, (x[:, 0] + 2 * x[:, 1]).astype(np.int64))))[-1] == tables
        found[tables] = set(model.predict(x).tolist())
    assert found == {3: {0, 1, 2}, 4: {0, 1, 2, 3}}
