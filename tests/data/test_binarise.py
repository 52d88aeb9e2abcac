"""Features to bits, against the paper's bits and against the rules written out one value at a time."""

import importlib.resources
import json
import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rdahw.binariser_circuit import binariser_circuit, number_bits
from rdahw.data import Binariser, Column, default_rule, encode, fit_binariser, load
from rdahw.errors import UsageError, UserError
from rdahw.hdl.frontend import known_frontends
from rdahw.sim.packed import Packed

NUMBER, BINARY, COLOUR = Column("number"), Column("binary"), Column("category", ("blue", "green", "red"))
PAPER = json.loads((importlib.resources.files("rdahw.data") / "paper-iris.json").read_text())
RULES = ["midrange", "threshold=0.5", "threshold=-1,0,2.5", "thermometer=3", "quantile=4"]

finite = st.floats(-1e9, 1e9)


def integers(bits):
    return bits.astype(np.int64) @ (1 << np.arange(bits.shape[1]))


@pytest.mark.parametrize("experiment", PAPER, ids=lambda e: e["name"])
def test_iris_gives_the_bits_of_the_paper(experiment):
    size, code = experiment["name"].split()
    iris = load("iris", classes=["Iris-setosa", "Iris-versicolor"] if size == "two-class" else None)
    binariser = fit_binariser(iris)
    assert binariser.rule == "midrange"
    for part, examples in (("train", iris.train), ("test", iris.test)):
        x = integers(binariser.transform(examples.features))
        y = integers(encode(examples.labels, len(iris.label_names), code))
        assert np.stack([x, y], axis=1).tolist() == experiment[part]


def test_the_range_of_the_training_part_alone_gives_other_bits_on_iris():
    iris = load("iris")
    fitted = Binariser.fit("midrange", iris.train.features, iris.columns)
    assert (fitted.transform(iris.test.features) != fit_binariser(iris).transform(iris.test.features)).any()


@given(hnp.arrays(np.float64, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12), elements=finite))
def test_every_rule_does_as_documented(train):
    n, width = train.shape
    columns = [NUMBER] * width
    for j in range(width):
        values = sorted(train[:, j].tolist())
        low, high = values[0], values[-1]
        midrange = Binariser.fit("midrange", train, columns).transform(train)[:, j]
        expected = [int((v - low) / (high - low) > 0.5) if high > low else 0 for v in train[:, j].tolist()]
        assert midrange.tolist() == expected
        for k in (1, 3):
            thermometer = Binariser.fit(f"thermometer={k}", train, columns).transform(train)
            quantile = Binariser.fit(f"quantile={k}", train, columns).transform(train)
            threshold = Binariser.fit("threshold=" + ",".join(map(str, range(k))), train, columns).transform(train)
            for p in range(k):
                wire = p * width + j
                cut = low + (high - low) * ((p + 1) / (k + 1))
                assert thermometer[:, wire].tolist() == [int(v > cut) for v in train[:, j].tolist()]
                cut = values[math.ceil(Fraction((p + 1) * n, k + 1)) - 1]
                assert quantile[:, wire].tolist() == [int(v > cut) for v in train[:, j].tolist()]
                assert threshold[:, wire].tolist() == [int(v > p) for v in train[:, j].tolist()]


@pytest.mark.parametrize("rule", ["threshold=-1", "threshold=0,32.5,254", "threshold=255,1000", "quantile=3"])
def test_bytes_and_floats_give_the_same_bits(rule):
    values = np.arange(256, dtype=np.uint8)[:, None]
    binariser = Binariser.fit(rule, values, [NUMBER])
    assert np.array_equal(binariser.transform(values), binariser.transform(values.astype(np.float64)))


@pytest.mark.parametrize("rule", RULES)
def test_binary_and_category_columns_are_wires_as_they_are(rule):
    features = np.array([[0.0, 1, 2, 7], [1.0, 0, 0, 8], [4.0, 1, 1, 9]])
    binariser = Binariser.fit(rule, features, [NUMBER, BINARY, COLOUR, NUMBER], ["size", "sweet", "colour", "price"])
    bits = binariser.transform(features)
    assert bits[:, 1].tolist() == [1, 0, 1]
    assert bits[:, 2:5].tolist() == [[0, 0, 1], [1, 0, 0], [0, 1, 0]]
    numbers = Binariser.fit(rule, features[:, [0, 3]], [NUMBER, NUMBER]).transform(features[:, [0, 3]])
    assert np.array_equal(np.delete(bits, slice(1, 5), axis=1), numbers)
    assert bits.shape[1] == binariser.width == len(binariser.wire_names)
    assert binariser.wire_names[1:5] == ("sweet", "colour = blue", "colour = green", "colour = red")
    assert binariser.wire_names[0].startswith("size > ")


@pytest.mark.parametrize("rule", ["midrange", "threshold=0,1", "thermometer=3", "quantile=31", "fixed=4"])
@pytest.mark.parametrize("rows", [1, 8, 13])
def test_packed_bits_are_the_same(rule, rows, monkeypatch):
    monkeypatch.setattr("rdahw.data.binarise._ROWS", 8)
    random = np.random.default_rng(rows)
    columns = (NUMBER, NUMBER) if rule.startswith("fixed") else (NUMBER, BINARY, COLOUR, Column("number", missing=True))
    features = random.integers(0, 2, (rows, len(columns))).astype(float)
    features[:, 0] = random.normal(size=rows)
    if len(columns) > 2:
        features[::2, 3] = np.nan
    binariser, said = Binariser.fit(rule, features, columns), []
    packed = binariser.pack(features, lambda *counts: said.append(counts))
    assert packed.shape == (rows, binariser.width)
    assert np.array_equal(packed, binariser.transform(features))
    assert said == [(min(start + 8, rows), rows) for start in range(0, rows, 8)]
    ones = np.unpackbits(packed.words.view(np.uint8), axis=1, bitorder="little")
    assert not ones[:, binariser.width :].any()


def test_no_number_column_at_all():
    features = np.array([[1.0, 2], [0, 0]])
    for rule in RULES:
        binariser = Binariser.fit(rule, features, [BINARY, COLOUR])
        assert binariser.transform(features).tolist() == [[1, 0, 0, 1], [0, 1, 0, 0]]
        again = Binariser.from_json(json.loads(json.dumps(binariser.to_json())))
        assert again.transform(features).tolist() == [[1, 0, 0, 1], [0, 1, 0, 0]]


def test_wire_names_of_planes():
    binariser = Binariser.fit("threshold=1,2.5", np.zeros((1, 2)), [NUMBER, NUMBER], ["a", "b"])
    assert binariser.wire_names == ("a > 1", "b > 1", "a > 2.5", "b > 2.5")
    middle = Binariser.fit("midrange", np.array([[1.0], [4.0]]), [NUMBER], ["a"])
    assert middle.wire_names == ("a > 2.5",)


@given(hnp.arrays(np.float64, (5, 3), elements=finite), st.sampled_from(RULES))
def test_json_round_trip_is_exact(train, rule):
    binariser = Binariser.fit(rule, train, [NUMBER] * 3)
    again = Binariser.from_json(json.loads(json.dumps(binariser.to_json())))
    assert again.to_json() == binariser.to_json()
    assert again.table.tobytes() == binariser.table.tobytes()
    assert np.array_equal(again.transform(train), binariser.transform(train))


def test_default_rules():
    assert default_rule(load("iris")) == "midrange"


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        ("midrnage", "there is no binarising rule 'midrnage' among midrange, .*; did you mean 'midrange'"),
        ("treshold=3", "did you mean 'threshold'"),
        ("midrange=2", "has a value; write midrange alone"),
        ("threshold", "'threshold' needs rising thresholds"),
        ("threshold=x", "'threshold=x' needs rising thresholds"),
        ("threshold=3,2", "needs rising thresholds"),
        ("threshold=nan", "needs rising thresholds"),
        ("thermometer=0", "needs a number from 1 to 256; write for example thermometer=3"),
        ("quantile=2.5", "needs a number from 1 to 256"),
        ("quantile=", "needs a number from 1 to 256"),
        ("quantile=99999999999999999999", "needs a number from 1 to 256"),
    ],
)
def test_a_bad_rule_is_a_usage_error(rule, sentence):
    with pytest.raises(UsageError, match=sentence):
        Binariser.fit(rule, np.zeros((1, 1)), [NUMBER])


def test_bad_features():
    binariser = Binariser.fit("midrange", np.array([[1.0], [2.0]]), [NUMBER])
    with pytest.raises(UserError, match=r"shape \(1, 2\) do not fit, expected \(N, 1\)"):
        binariser.transform(np.zeros((1, 2)))
    with pytest.raises(UserError, match="example 1, feature 0 is -inf, which is not a finite number"):
        binariser.transform(np.array([[np.nan], [-np.inf]]))
    with pytest.raises(UserError, match="fitted to no examples"):
        Binariser.fit("midrange", np.zeros((0, 1)), [NUMBER])
    with pytest.raises(UserError, match="spans more than the largest float64"):
        Binariser.fit("midrange", np.array([[-1.7e308], [1.7e308]]), [NUMBER])


GOOD = Binariser.fit("thermometer=2", np.array([[0.0, 1], [3, 0]]), [NUMBER, BINARY], ["a", "b"]).to_json()


@pytest.mark.parametrize("number", [-2, 2, 0.5])
def test_the_number_of_no_category(number):
    columns = [NUMBER, Column("category", ("a", "b"))]
    binariser = Binariser.fit("midrange", np.array([[1, 0], [2, 1], [3, -1]]), columns)
    given = np.array([[1, np.nan], [1, number]])
    for convert in (binariser.transform, binariser.pack):
        with pytest.raises(
            UserError, match=f"example 1, feature 1 is {number:g}; expected the number of a category, 0 "
        ):
            convert(given)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"extra": 1}, "an object with the keys"),
        ({"rule": 3}, "'rule' is not a text"),
        ({"rule": "exec=3"}, "'rule' is not one of midrange"),
        ({"rule": "thermometer=3"}, "'table' is not 3 rows of 1 numbers"),
        ({"rule": "threshold=1,3"}, "'table' is not the thresholds of the rule"),
        ({"names": ["a"]}, "'columns' is not a list of 1 columns"),
        ({"names": ["a", "a"]}, "'names' is not a list of 1 or more different texts"),
        ({"names": "ab"}, "'names' is not a list of texts"),
        ({"columns": ["number", "colour"]}, r"'columns'\[1\] is not \"number\""),
        ({"columns": ["number", []]}, r"'columns'\[1\] is not a list of 1 or more"),
        ({"table": [[1.0], [float("nan")]]}, "'table' is not a finite number"),
        ({"table": [[1.0], [float("inf")]]}, "'table' is not a finite number"),
        ({"table": [[1.0], [True]]}, "'table' is not a finite number"),
        ({"table": [[1.0], [10**400]]}, "'table' is not a finite number"),
        ({"table": [[2.0], [1.0]]}, "'table' is not rising"),
        ({"table": [[-1.7e308], [1.7e308]]}, "'table' is not rising"),
        ({"table": None}, "'table' is not 2 rows"),
    ],
)
def test_from_json_refuses_what_we_do_not_write(change, sentence):
    Binariser.from_json(GOOD)
    with pytest.raises(UserError, match=f"{sentence}.*the file is damaged or was not written by rdahw"):
        Binariser.from_json({**GOOD, **change})


@pytest.mark.parametrize("value", [None, 3, [], "x"])
def test_from_json_refuses_what_is_no_object(value):
    with pytest.raises(UserError, match="the binariser is not an object"):
        Binariser.from_json(value)


# -- missing values and categories -------------------------------------------------------------------------------------

GAPS = np.array([[0.0, 1, 2, 7], [np.nan, 0, np.nan, 8], [4.0, np.nan, 1, np.nan], [2.0, 1, 0, 8], [9.0, 1, 0, 1]])
GAP_COLUMNS = [replace(column, missing=True) for column in (NUMBER, BINARY, COLOUR)] + [NUMBER]
NAMES = ["size", "sweet", "colour", "price"]


@pytest.mark.parametrize("rule", RULES)
def test_a_missing_value_has_a_wire_of_its_own_and_zeros_on_the_others(rule):
    binariser = Binariser.fit(rule, GAPS, GAP_COLUMNS, NAMES)
    bits = binariser.transform(GAPS)
    of_columns = {name: [i for i, wire in enumerate(binariser.wire_names) if wire.split()[0] == name] for name in NAMES}
    assert bits.shape[1] == binariser.width == len(binariser.wire_names)
    for j, name in enumerate(NAMES):
        missing = [i for i in of_columns[name] if binariser.wire_names[i] == f"{name} is missing"]
        assert len(missing) == (name != "price")  # which had none, by its column
        gaps = np.isnan(GAPS[:, j])
        assert not bits[gaps][:, [i for i in of_columns[name] if i not in missing]].any()
        if missing:
            assert bits[:, missing[0]].tolist() == gaps.tolist()
    again = Binariser.from_json(json.loads(json.dumps(binariser.to_json())))
    assert np.array_equal(again.transform(GAPS), bits)
    assert again.wire_names == binariser.wire_names


@pytest.mark.parametrize("rule", RULES)
def test_missing_values_change_no_other_wire(rule):
    """Each number column alone, without its missing values, gets the same thresholds."""
    whole = Binariser.fit(rule, GAPS, GAP_COLUMNS, NAMES)
    for j, name in ((0, "size"), (3, "price")):
        there = ~np.isnan(GAPS[:, j])
        alone = Binariser.fit(rule, GAPS[there][:, [j]], [NUMBER], [name])
        wires = [whole.wire_names.index(wire) for wire in alone.wire_names]
        assert np.array_equal(whole.transform(GAPS)[there][:, wires], alone.transform(GAPS[there][:, [j]]))


@pytest.mark.parametrize("rule", RULES)
def test_a_column_without_any_value_is_missing_and_nothing_else(rule):
    nothing = np.full((4, 1), np.nan)
    binariser = Binariser.fit(rule, nothing, [replace(NUMBER, missing=True)], ["a"])
    bits = binariser.transform(nothing)
    at = binariser.wire_names.index("a is missing")
    assert bits[:, at].tolist() == [1] * 4
    assert not np.delete(bits, at, axis=1).any()


TOWNS = Column("category", tuple(f"town {i:02}" for i in range(14)))


def towns(*counts):
    return np.repeat(np.arange(len(counts)), counts).astype(np.float64)[:, None]


def test_rare_categories_share_a_wire_with_the_unknown():
    train = towns(30, 1, 30, *[1] * 9, 2)  # ten with one example, and one with none
    binariser = Binariser.fit("midrange", train, [replace(TOWNS, missing=True)], ["home"])
    names = ("home = town 00", "home = town 02", "home = town 12", "home is other", "home is missing")
    assert binariser.wire_names == names
    bits = binariser.transform([[0], [12], [1], [11], [13], [-1], [np.nan]])
    assert bits.argmax(axis=1).tolist() == [0, 2, 3, 3, 3, 3, 4]
    assert (bits.sum(axis=1) == 1).all()
    again = Binariser.from_json(json.loads(json.dumps(binariser.to_json())))
    assert again.to_json() == binariser.to_json()
    assert again.wire_names == names


def test_too_few_rare_examples_share_no_wire():
    binariser = Binariser.fit("midrange", towns(30, 1, 30, *[1] * 8, 2), [TOWNS], ["home"])
    assert binariser.wire_names == tuple(f"home = {name}" for name in TOWNS.categories)
    assert "rare" not in binariser.to_json()
    assert not binariser.transform([[-1]]).any()


def test_of_many_examples_a_thousandth_is_rare():
    counts = [3000, 985, 4, 3, 2, 1, 5]
    binariser = Binariser.fit("midrange", towns(*counts), [TOWNS], ["home"])
    assert binariser.rare == ((2, 3, 4, 5, *range(7, 14)),)


@pytest.mark.parametrize("rare", [[], [[1, 1]], [[1, 0]], [[14]], [[-1]], [[True]], [3], [["1"]]])
def test_rare_categories_that_we_do_not_write(rare):
    good = Binariser.fit("midrange", towns(30, 30), [TOWNS], ["home"]).to_json()
    with pytest.raises(UserError, match="'rare' is not .*: the file is damaged"):
        Binariser.from_json({**good, "rare": rare})


@given(st.sampled_from([*RULES, "threshold=3,7,200", "quantile=1"]), st.sampled_from([1, 3, 8]), st.data())
def test_the_circuit_of_comparisons(rule, bits, data):
    features = data.draw(
        hnp.arrays(np.int64, st.tuples(st.integers(1, 20), st.just(3)), elements=st.integers(0, 2**bits - 1))
    )
    features[:, 1] &= 1
    binariser = Binariser.fit(rule, features, [NUMBER, BINARY, NUMBER])
    more = np.concatenate([features, [[0, 0, 2**bits - 1], [2**bits - 1, 1, 0]]])
    (wires,) = Packed(binariser_circuit(binariser, bits))(number_bits(binariser, more, bits))
    assert wires.tolist() == binariser.transform(more).tolist()


@pytest.mark.parametrize("wrong", [-1.0, 8.0, 2.5, math.nan])
def test_numbers_that_the_circuit_does_not_take(wrong):
    binariser = Binariser.fit("midrange", [[1.0, 2.0], [3.0, 4.0]], [NUMBER, NUMBER])
    with pytest.raises(UserError, match=r"^'x1' is .* in example 2; --encoder 3 takes whole numbers from 0 to 7: "):
        number_bits(binariser, [[7.0, 0.0], [0.0, wrong]], 3)


@pytest.mark.parametrize(
    ("rule", "columns"),
    [("fixed=3", [NUMBER]), ("midrange", [COLOUR]), ("quantile=2", [Column("number", missing=True)])],
)
def test_a_binariser_that_is_not_made_of_comparisons(rule, columns):
    with pytest.raises(UserError, match="cannot be made of comparisons; leave out --encoder"):
        binariser_circuit(Binariser.fit(rule, [[0.0], [1.0]], columns), 8)


def test_a_host_finds_what_a_device_takes_without_all_thresholds(monkeypatch):
    binariser = Binariser.fit("quantile=3", [[1.0, 2.0], [3.0, 4.0], [5.0, 9.0]], [NUMBER, NUMBER])
    monkeypatch.delattr(Binariser, "transform")
    assert [frontend.octets for frontend in known_frontends(binariser)] == [-(-bits // 4) for bits in range(1, 17)]
    assert known_frontends(Binariser.fit("fixed=3", [[0.0], [1.0]], [NUMBER])) == []
