"""Missing values and categories given to RDAClassifier: data frames, parameters, wires, and every way to predict."""

from __future__ import annotations

import datetime
import pickle
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier

from rdahw import RDAClassifier, RDAOutlierDetector, RDARegressor

RANDOM = np.random.default_rng(12)
N = 300


def table() -> dict[str, list[Any]]:
    """Numbers with gaps, categories with gaps, categories without, and whole numbers."""
    age = RANDOM.normal(size=N).round(1).tolist()
    colour = RANDOM.choice(["red", "green", "blue"], N).tolist()
    columns = {"age": age, "colour": colour, "town": RANDOM.choice(["b", "a"], N).tolist(), "rooms": [1, 2, 5] * 100}
    for i in range(0, N, 7):
        age[i] = None
    for i in range(3, N, 5):
        colour[i] = None
    return columns


TABLE = table()
#: What cannot be learned without both the missing values and the categories.
LABELS = np.array(
    [
        "old" if age is None or colour == "red" else "new"
        for age, colour in zip(TABLE["age"], TABLE["colour"], strict=True)
    ]
)
FRAME = pd.DataFrame(TABLE).astype({"colour": "category"})
KINDS = {
    "pandas": FRAME,
    "pandas, texts": pd.DataFrame(TABLE),
    "pandas, objects": pd.DataFrame(TABLE).astype({"colour": object, "town": object}),
    "pandas, nullable": pd.DataFrame(TABLE).convert_dtypes(),
    "polars": pl.DataFrame(TABLE, schema_overrides={"colour": pl.Categorical, "town": pl.Categorical}),
    "polars, texts": pl.DataFrame(TABLE),
}


def small(**options: Any) -> RDAClassifier:
    return RDAClassifier(**{"tables": 60, **options})


FITTED = small().fit(FRAME, LABELS)


@pytest.mark.parametrize("kind", KINDS)
def test_frames_of_all_kinds_are_the_same_data(kind: str) -> None:
    model = small().fit(KINDS[kind], LABELS)
    assert model.score(KINDS[kind], LABELS) == 1
    assert list(model.is_categorical_) == [False, True, True, False]
    assert list(model.feature_names_in_) == list(TABLE)
    assert model.wire_names_ == FITTED.wire_names_
    assert np.array_equal(model.counters_, FITTED.counters_)
    assert np.array_equal(model.decision_function(KINDS[kind]), FITTED.decision_function(FRAME))


def test_the_wires_of_a_frame() -> None:
    numbers = [name for name in FITTED.wire_names_ if ">" in name]
    assert {name.split()[0] for name in numbers} == {"age", "rooms"}
    assert FITTED.wire_names_[len(numbers) :] == [
        "age is missing",
        *("colour = blue", "colour = green", "colour = red", "colour is missing"),
        *("town = a", "town = b"),
    ]
    marks = FITTED.wire_features_[len(numbers) :]
    assert list(marks) == [0, 1, 1, 1, 1, 2, 2]
    assert np.isnan(FITTED.wire_thresholds_[len(numbers) :]).all()
    assert len(FITTED.wire_names_) == len(FITTED.wire_features_)
    assert FITTED.feature_importances_[[0, 1]].min() > FITTED.feature_importances_[[2, 3]].max()


def test_missing_numbers_are_zero_on_the_thresholds_which_are_those_of_the_others() -> None:
    values = RANDOM.normal(size=(100, 1))
    gaps = np.concatenate([values, np.full((20, 1), np.nan)])
    model, whole = small().fit(gaps, np.isnan(gaps[:, 0])), small().fit(values, values[:, 0] > 0)
    assert np.array_equal(model.wire_thresholds_[:-1], whole.wire_thresholds_)
    assert model.wire_names_[-1] == "x0 is missing"
    bits = model._bits(gaps, model._conversion)[:]
    assert np.array_equal(bits[:100, :-1], values > whole.wire_thresholds_)
    assert not bits[:100, -1].any()
    assert not bits[100:, :-1].any()
    assert bits[100:, -1].all()


@pytest.mark.parametrize("kind", [np.float32, np.float64, object])
def test_arrays_with_missing_values(kind: Any) -> None:
    x = np.array([[1.0, np.nan, 0], [2, 5, 1], [np.nan, 7, 1], [4, np.nan, 0]] * 20)
    y = np.isnan(x[:, 0]).astype(int) + np.isnan(x[:, 1])
    model = small().fit(x.astype(kind), y)
    assert model.score(x.astype(kind), y) == 1
    assert model.is_categorical_ is None
    assert [model.predict(row[None].astype(kind))[0] for row in x] == list(y)
    assert [model.predict_one(row) for row in x] == list(y)
    assert [model.predict_one([None if v != v else v for v in row]) for row in x.tolist()] == list(y)


def test_a_row_is_predicted_as_many_are() -> None:
    many = list(FITTED.predict(FRAME))
    assert [FITTED.predict(FRAME[i : i + 1])[0] for i in range(40)] == many[:40]
    rows = list(zip(*TABLE.values(), strict=True))
    assert [FITTED.predict_one(row) for row in rows] == many
    assert [FITTED.predict_one(FRAME.iloc[i]) for i in range(40)] == many[:40]
    with pytest.raises(ValueError, match=r"^x has the shape \(3,\); expected a row of 4 numbers"):
        FITTED.predict_one(rows[0][:3])
    with pytest.raises(ValueError, match=r"^x\[0\] is inf; expected a finite number$"):
        FITTED.predict_one([np.inf, *rows[0][1:]])


def test_saved_it_predicts_alike() -> None:
    again = pickle.loads(pickle.dumps(FITTED))  # noqa: S301
    assert np.array_equal(again.decision_function(FRAME), FITTED.decision_function(FRAME))
    assert again.predict_one(list(FRAME.iloc[1])) == FITTED.predict(FRAME)[1]
    assert again.wire_names_ == FITTED.wire_names_


def test_partial_fit_equals_epochs() -> None:
    model = small()
    for _ in range(3):
        model.partial_fit(FRAME, LABELS, classes=["new", "old"])
    assert np.array_equal(model.counters_, small(epochs=3).fit(FRAME, LABELS).counters_)
    unknown = FRAME.assign(town="elsewhere")
    model.partial_fit(unknown, LABELS)
    assert set(model.predict(unknown)) <= {"new", "old"}


def test_rare_and_unknown_categories_share_a_wire() -> None:
    """As the rare ones are labelled, so are those that fit did not have."""
    home = ["x"] * 100 + ["y"] * 100 + [f"rare {i}" for i in range(30)]
    y = [0] * 200 + [1] * 30
    model = small().fit(pd.DataFrame({"home": home}), y)
    assert model.wire_names_ == ["home = x", "home = y", "home is other"]
    assert model.predict(pd.DataFrame({"home": ["unknown", "x", "rare 3", None]})).tolist() == [1, 0, 1, 1]
    assert [model.predict_one([value]) for value in ("unknown", "x", "rare 3", None)] == [1, 0, 1, 1]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([True, False, True], [True, False, True]),
        ([0, 2], [True, False, True]),
        (np.array([2]), [False, False, True]),
        (["a", "c"], [True, False, True]),
        ("from_dtype", None),
        (None, None),
        ([], None),
        ([False] * 3, None),
    ],
)
def test_the_categorical_columns_are_those_of_hist_gradient_boosting(given: Any, expected: Any) -> None:
    x = pd.DataFrame(RANDOM.integers(0, 3, (60, 3)), columns=["a", "b", "c"])
    y = x["a"] == 1
    model = small(categorical_features=given).fit(x, y)
    theirs = HistGradientBoostingClassifier(max_iter=1, categorical_features=given).fit(x, y).is_categorical_
    for found in (model.is_categorical_, theirs):
        assert (None if found is None or not any(found) else list(found)) == expected
    ours = {name.split()[0] for name in model.wire_names_ if "=" in name}
    assert ours == {name for name, chosen in zip("abc", expected or [False] * 3, strict=True) if chosen}


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ([3], r"categorical_features is \[3\]; X has 3 columns, numbered from 0"),
        ([-1], r"categorical_features is \[-1\]; X has 3 columns, numbered from 0"),
        ([True], r"categorical_features is \[True\]; X has 3 columns, numbered from 0"),
        (["z"], "categorical_features has 'z', which is no column name of X; X needs names"),
        ([0.5], r"categorical_features is \[0.5\]; expected 'from_dtype', a mask, column numbers or names"),
        ("a", "categorical_features is 'a'; expected 'from_dtype', a mask, column numbers or names"),
    ],
)
def test_categorical_columns_that_cannot_be(given: Any, sentence: str) -> None:
    x = RANDOM.integers(0, 3, (60, 3))
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        small(categorical_features=given).fit(x, x[:, 0])


def test_what_is_missing_in_prediction_alone_is_zero() -> None:
    x = np.arange(40.0)[:, None]
    model = small().fit(x, x[:, 0] > 20)
    assert model.predict([[np.nan], [-5.0]]).tolist() == model.predict([[-5.0], [-5.0]]).tolist()


def test_images_have_no_missing_values() -> None:
    x = np.array([[0.0, 1, 2, 3]] * 8)
    y = [0, 1] * 4
    model = small(image_shape=(2, 2), wiring="any").fit(x, y)
    x[3, 2] = np.nan
    for given in (x, x[3:4]):
        with pytest.raises(ValueError, match="^Input X contains NaN"):
            model.predict(given)
    with pytest.raises(ValueError, match=r"^x\[2\] is nan; expected a finite number$"):
        model.predict_one(x[3])
    with pytest.raises(ValueError, match="^Input X contains NaN"):
        model.fit(x, y)
    with pytest.raises(ValueError, match="and X has columns of categories; leave one of them out$"):
        small(image_shape=(2, 2), categorical_features=[0]).fit(x[:3], y[:3])


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_infinite_numbers_are_refused_beside_categories(value: float) -> None:
    frame = FRAME.copy()
    frame.loc[5, "age"] = value
    with pytest.raises(ValueError, match="^Input X contains infinity"):
        FITTED.predict(frame)
    with pytest.raises(ValueError, match="^Input X contains infinity"):
        small().fit(frame, LABELS)


def test_columns_without_any_value_and_models_of_other_families() -> None:
    frame = FRAME.assign(nothing=np.nan, blank=pd.Categorical([None] * N))
    assert small().fit(frame, LABELS).score(frame, LABELS) == 1
    lookup = RDAClassifier(model="lookup", epochs=1).fit(FRAME[["colour", "town"]], LABELS)
    assert set(lookup.predict(FRAME[["colour", "town"]])) <= {"new", "old"}
    grown = RDAClassifier(model="grown:tables=30,inputs=3").fit(FRAME, LABELS)
    assert grown.score(FRAME, LABELS) == 1


@pytest.mark.parametrize(
    ("column", "sentence"),
    [
        ([["a"], ["b"], []], r"^column 1 of X has \['a'\], which is no category; expected texts or numbers$"),
        ([(1,), 2, "b"], "^the categories in column 1 of X are of types that cannot be sorted$"),
    ],
)
def test_values_that_cannot_be_categories(column: Any, sentence: str) -> None:
    frame = pd.DataFrame({"a": [1, 2, 3], "b": pd.Series(column, dtype=object)})
    with pytest.raises(ValueError, match=sentence):
        small(categorical_features=["b"]).fit(frame, [0, 1, 1])


@pytest.mark.parametrize("estimator", [RDAClassifier, RDARegressor, RDAOutlierDetector])
@pytest.mark.parametrize("beside", ["numbers", "categories"])
@pytest.mark.parametrize(
    ("column", "sentence"),
    [
        (pd.Series([b"a", b"b"] * 10), "^column 'k' of X holds b'a', which is no number; list it in cat"),
        (pd.Series([1, [2]] * 10, dtype=object), r"^column 'k' of X holds \[2\], which is no number; give numbers$"),
        (pl.Series([[1], None] * 10), "^column 'k' of X holds .* which is no number; give numbers$"),
        (pl.Series([{"a": 1}, {"a": 2}] * 10), "^column 'k' of X holds {'a': 1}, which is no number; give numbers$"),
        (pl.Series([object()] * 20, dtype=pl.Object), "^column 'k' of X holds <object.*, which is no number; give nu"),
        (pd.Series([1j] * 20), "^column 'k' of X holds complex numbers; give real ones$"),
    ],
)  # fmt: skip
def test_a_column_that_is_no_numbers_is_named(column: Any, beside: str, estimator: Any, sentence: str) -> None:
    kind = pl.DataFrame if isinstance(column, pl.Series) else pd.DataFrame
    other = {"numbers": [1.5, 2.5] * 10, "categories": ["a", "b"] * 10}[beside]
    with pytest.raises(ValueError, match=sentence):
        estimator(tables=4).fit(kind({"other": other, "k": column}), [0, 1] * 10)


@pytest.mark.parametrize("beside", [[1.5, 2.5, 3.5] * 10, ["a", "b", "c"] * 10])
def test_missing_values_of_pandas_among_objects_are_missing_numbers(beside: Any) -> None:
    y = [0, 1, 1] * 10
    frames = [
        pd.DataFrame({"k": pd.Series([1, gap, 2] * 10, dtype=object), "other": beside})
        for gap in (pd.NA, np.nan, pd.NaT)
    ]
    models = [small().fit(frame, y) for frame in frames]
    assert "k is missing" in models[0].wire_names_
    for frame, model in zip(frames, models, strict=True):
        assert model.wire_names_ == models[1].wire_names_
        assert np.array_equal(model.decision_function(frame), models[1].decision_function(frames[1]))


def test_columns_of_arrow_in_pandas() -> None:
    arrow = pd.DataFrame(TABLE).convert_dtypes(dtype_backend="pyarrow")
    assert str(arrow.dtypes["colour"]).endswith("[pyarrow]")
    model = small().fit(arrow, LABELS)
    assert model.wire_names_ == FITTED.wire_names_
    assert np.array_equal(model.decision_function(arrow), FITTED.decision_function(FRAME))


@pytest.mark.parametrize("way", ["to_pandas", "collect"])
def test_tables_that_are_no_data_frames_are_refused_with_a_way_out_that_works(way: str) -> None:
    frame = pl.DataFrame(TABLE)
    X = frame.to_arrow() if way == "to_pandas" else frame.lazy()
    with pytest.raises(ValueError, match="give an array or a data frame, such as") as error:
        small().fit(X, LABELS)
    names = {"X": X}
    exec(f"X = {str(error.value).partition('such as ')[2]}", names)
    found = names["X"]
    assert np.array_equal(small().fit(found, LABELS).predict(found), FITTED.predict(FRAME))
    with pytest.raises(ValueError, match="give an array or a data frame, such as"):
        FITTED.predict(X)


def test_two_columns_of_one_name() -> None:
    frame = pd.DataFrame([[1, "a", 2], [2, "b", 3]] * 5, columns=["k", "c", "k"])
    with pytest.raises(ValueError, match="^X has 2 columns of the name 'k'; expected one of each name$"):
        small().fit(frame, [0, 1] * 5)


@pytest.mark.parametrize("gap", [None, np.nan, pd.NA])
def test_a_missing_label(gap: Any) -> None:
    with pytest.raises(ValueError, match="^y has a missing label; expected|Input y contains NaN"):
        small().fit(FRAME[:9], pd.Series(["a", "b", gap] * 3, dtype=object))


def test_categories_that_are_to_be_numbers() -> None:
    colours = pd.Categorical(["red", None, "blue"] * 20)
    frame = pd.DataFrame({"size": np.arange(60.0), "colour": colours})
    model = RDAClassifier(tables=8, categorical_features=None)
    with pytest.raises(ValueError, match="^column 'colour' of X holds 'red', which is no number; list it in cat"):
        model.fit(frame, np.arange(60) > 30)
    frame["colour"] = pd.Categorical([3, None, 1] * 20)
    array = frame.to_numpy(np.float64)
    model.fit(frame, np.arange(60) > 30)
    assert np.array_equal(
        model.decision_function(frame), clone(model).fit(array, np.arange(60) > 30).decision_function(array)
    )


def test_one_example_with_the_missing_value_of_pandas() -> None:
    frame = pd.DataFrame({"a": pd.array([1, None, 2] * 20, "Int64"), "b": np.arange(60) % 7})
    model = RDAClassifier(tables=8).fit(frame, frame["a"].isna())
    assert [model.predict_one(row) for row in frame.astype(object).to_numpy()] == list(model.predict(frame))


# -- categories in order -----------------------------------------------------------------------------------------------

SIZES = ["S", "M", "XL", "M", None] * 20
#: Each column in order, and the names of its wires.
ORDERED: dict[str, tuple[Any, list[str]]] = {
    "stated": (pd.Categorical(SIZES, ["S", "M", "L", "XL"], ordered=True), ["x > S", "x > L", "x is missing"]),
    "polars": (pl.Series(SIZES, dtype=pl.Enum(["S", "M", "L", "XL"])), ["x > S", "x > L", "x is missing"]),
    "intervals": (pd.cut(np.arange(100.0), [0, 30, 90]), ["x > (0, 30]", "x is missing"]),
    "texts of numbers": (["10", "9", "1", None] * 25, ["x > 5", "x > 9.5", "x is missing"]),
    "categories of numbers": (pd.Categorical([-1.5, 2, 2, 40] * 25), ["x > 0.25", "x > 21"]),
    "ten numbers": (pd.Categorical(np.arange(100) % 10), [f"x > {i}.5" for i in range(9)]),
    "two numbers": (pd.Categorical(["1", "0"] * 50), ["x > 0.5"]),
}
#: Each column without an order, and how many wires it has.
UNORDERED: dict[str, tuple[Any, int]] = {
    "eleven numbers": (pd.Categorical(np.arange(100) % 11), 11),
    "a name among numbers": (["1", "2", "3a", "4"] * 25, 4),
    "numbers of no size": (["1", "2", "inf", "nan"] * 25, 4),
    "a huge number": (["1", "9" * 400] * 50, 2),
    "truth values": (pd.Categorical([True, False] * 50), 2),
    "not stated": (pd.Categorical(SIZES, ["S", "M", "L", "XL"]), 4),
    "polars, not stated": (pl.Series(SIZES, dtype=pl.Categorical), 4),
    "nothing": (pd.Categorical([None] * 100), 1),
}


def one_column(values: Any) -> Any:
    kind = pl.DataFrame if isinstance(values, pl.Series) else pd.DataFrame
    return kind({"x": values})


@pytest.mark.parametrize("case", ORDERED)
def test_categories_in_order_have_thresholds(case: str) -> None:
    values, names = ORDERED[case]
    frame = one_column(values)
    model = small().fit(frame, np.arange(100) % 2)
    assert model.wire_names_ == names
    assert list(model.is_categorical_) == [True]
    column = frame["x"].to_list() if isinstance(frame, pl.DataFrame) else list(frame["x"])
    assert [model.predict_one([value]) for value in column[:10]] == list(model.predict(frame)[:10])


@pytest.mark.parametrize("case", UNORDERED)
def test_categories_without_an_order_have_a_wire_each(case: str) -> None:
    values, count = UNORDERED[case]
    model = small().fit(one_column(values), np.arange(100) % 2)
    assert not any(">" in name for name in model.wire_names_)
    assert len(model.wire_names_) == count


@pytest.mark.parametrize("case", ORDERED)
def test_categories_that_are_listed_have_no_order(case: str) -> None:
    frame = one_column(ORDERED[case][0])
    for given in (["x"], [0], [True]):
        names = small(categorical_features=given).fit(frame, np.arange(100) % 2).wire_names_
        assert not any(" > " in name for name in names)


def test_bits_of_categories_in_order() -> None:
    stated = pd.DataFrame({"x": pd.Categorical(SIZES, ["S", "M", "L", "XL"], ordered=True)})
    model = small().fit(stated, np.arange(100) % 2)
    bits = model._bits(model._checked(stated), model._conversion)[:]
    assert bits[:5].tolist() == [[0, 0, 0], [1, 0, 0], [1, 1, 0], [1, 0, 0], [0, 0, 1]]
    given = small(thresholds=[-1, 0, 3, 9]).fit(stated, np.arange(100) % 2)
    assert given.wire_names_ == ["x > -1", "x > S", "x > XL", "x > 9", "x is missing"]
    found = model._checked(pd.DataFrame({"x": ["L", "XS", None]}))
    np.testing.assert_array_equal(found, [[2], [np.nan], [np.nan]])


def test_numbers_that_fit_did_not_have_take_their_place() -> None:
    model = small().fit(pd.DataFrame({"x": ["1", "10", "9", "9"] * 25}), np.arange(100) % 2)
    found = model._checked(pd.DataFrame({"x": ["7", "30", "09", "seven", None]}))
    np.testing.assert_array_equal(found, [[7], [30], [9], [np.nan], [np.nan]])


def test_an_encoder_that_an_earlier_version_saved_has_no_orders() -> None:
    model = small().fit(FRAME[["colour"]], LABELS)
    expected = model.decision_function(FRAME[["colour"]])
    del model._encoder._orders
    again = pickle.loads(pickle.dumps(model))  # noqa: S301
    assert "_orders" not in vars(again._encoder)
    assert np.array_equal(again.decision_function(FRAME[["colour"]]), expected)
    assert again.wire_names_ == model.wire_names_


# -- dates -------------------------------------------------------------------------------------------------------------

DAY, HOUR = datetime.datetime(2024, 5, 1, 13), datetime.timedelta(hours=1)
#: A column of each kind.
DATES: dict[str, Any] = {
    "timestamps": pd.to_datetime([DAY, None] * 10),
    "timestamps of a zone": pd.to_datetime([DAY, None] * 10).tz_localize("UTC"),
    "periods": pd.period_range("2024", periods=20, freq="Q"),
    "spans": pd.to_timedelta([HOUR, None] * 10),
    "dates as objects": pd.Series([None, DAY.date()] * 10, dtype=object),
    "timestamps as objects": pd.Series([DAY, None] * 10, dtype=object),
    "spans as objects": pd.Series([HOUR, None] * 10, dtype=object),
    "times of day as objects": pd.Series([None, DAY.time()] * 10, dtype=object),
    "polars, dates": pl.Series([DAY.date(), None] * 10),
    "polars, timestamps": pl.Series([DAY, None] * 10),
    "polars, spans": pl.Series([HOUR, None] * 10),
    "polars, times of day": pl.Series([DAY.time(), None] * 10),
}


@pytest.mark.parametrize("estimator", [RDAClassifier, RDARegressor, RDAOutlierDetector])
@pytest.mark.parametrize("case", DATES)
def test_a_date_is_refused_with_a_way_out_that_works(case: str, estimator: Any) -> None:
    values = DATES[case]
    kind = pl.DataFrame if isinstance(values, pl.Series) else pd.DataFrame
    frame = kind({"size": np.arange(20) % 3, "when": values})
    model = estimator(tables=4)
    y = np.arange(20) % 2
    with pytest.raises(
        ValueError, match=r"^column 'when' of X holds dates or times \(.*\); give numbers in its "
    ) as error:
        model.fit(frame, y)
    names = {"X": frame, "pandas": pd}
    exec(str(error.value).partition("such as ")[2], names)
    assert len(model.fit(names["X"], y).predict(names["X"])) == 20
    with pytest.raises(ValueError, match="^column 'when' of X holds dates or times"):
        model.predict(kind({"size": np.arange(20) % 3, "when": values}))
    assert {name.split()[0] for name in model.wire_names_} >= {"size"}


def test_dates_in_an_array_and_as_categories() -> None:
    dates = np.array(["2024-01-01", "2024-03-01"] * 10, "datetime64[D]")[:, None]
    y = np.arange(20) % 2
    with pytest.raises(
        ValueError, match=r"X holds dates or times \(datetime64\[D\]\); give numbers, such as X.astype\(flo"
    ):
        small().fit(dates, y)
    assert small().fit(dates.astype(float), y).score(dates.astype(float), y) == 1
    frame = pd.DataFrame({"when": dates[:, 0]})
    assert small(categorical_features=["when"]).fit(frame, y).score(frame, y) == 1


@pytest.mark.parametrize("y", [pd.date_range("2024", periods=20), pl.Series([DAY] * 20), np.ones(20, "m8[D]")])
def test_dates_are_no_numbers_to_predict(y: Any) -> None:
    X = np.arange(20)[:, None]
    with pytest.raises(ValueError, match=r"^y holds dates or times \(.*\); give numbers, such as ") as error:
        RDARegressor(tables=4).fit(X, y)
    names = {"y": y, "numpy": np}
    exec(f"y = {str(error.value).partition('such as ')[2]}", names)
    assert len(RDARegressor(tables=4).fit(X, names["y"]).predict(X)) == 20
