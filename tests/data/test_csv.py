"""Tables of the user's: kinds of columns, labels, test parts, and one sentence for everything that is wrong."""

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest

from rdahw.data import Column, Schema, fit_binariser, load, read_examples
from rdahw.errors import UsageError, UserError

HEAD = "size,colour,sweet,organic,label\n"
FRUIT = (
    HEAD
    + """\
1.5,red,1,yes,cherry
7,green,0,no,apple
8,red,1,no,apple
2,red,1,yes,cherry
"""
)


@pytest.fixture
def write(tmp_path):
    def write_file(text, name="data.csv"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    return write_file


def test_columns_and_labels(write):
    path = write(FRUIT, "fruit.csv")
    data = load(path)
    assert data.name == "fruit"
    assert data.test is None
    assert data.feature_names == ("size", "colour", "sweet", "organic")
    assert data.columns == (Column("number"), Column("category", ("green", "red")), Column("binary"), Column("binary"))
    assert data.label_names == ("apple", "cherry")
    assert data.train.labels.tolist() == [1, 0, 0, 1]
    assert data.train.features.tolist() == [[1.5, 1, 1, 1], [7, 0, 0, 0], [8, 1, 1, 0], [2, 1, 1, 1]]
    assert data.checksum == hashlib.sha256(FRUIT.encode()).hexdigest()
    assert fit_binariser(data).transform(data.train.features)[0].tolist() == [0, 0, 1, 1, 1]


@pytest.mark.parametrize(
    ("label", "names"),
    [("colour", ("green", "red")), ("2", ("green", "red")), ("size", ("1.5", "2", "7", "8"))],
)
def test_label_by_name_and_number(write, label, names):
    assert load(write(FRUIT), label=label).label_names == names


def test_label_column_by_its_usual_names_else_the_last(write):
    assert load(write("Class,b\nx,1\ny,2\n")).label_name == "Class"
    assert load(write("target,label\nx,1\ny,2\n")).label_name == "label"
    assert load(write("a,b\nx,1\ny,2\n")).label_name == "b"


def test_numeric_classes_are_in_order_of_value(write):
    assert load(write("a,label\n1,10\n2,9\n3,-1\n")).label_names == ("-1", "9", "10")


def test_no_header(write):
    data = load(write("5.1,red,x\n4.9,blue,y\n"))
    assert data.feature_names == ("column 1", "column 2")
    assert data.label_name == "column 3"
    assert len(data.train) == 2


@pytest.mark.parametrize("mark", [";", "\t"])
def test_other_separators_byte_order_mark_white_space_and_blank_lines(write, mark):
    text = "\ufeff\r\n" + FRUIT.replace(",", f" {mark} ").replace("\n", "\r\n\r\n")
    assert load(write(text)).train.features.tolist() == load(write(FRUIT)).train.features.tolist()


def test_constant_column_of_zeros_is_a_number(write):
    assert load(write("a,b,label\n0,1,x\n0,2,y\n")).columns[0] == Column("number")


def test_mostly_text_is_a_category_column(write):
    assert load(write("a,label\nred,x\ngreen,y\n3,y\n")).columns[0] == Column("category", ("3", "green", "red"))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a,label\n1,x\nabc,y\n2,y\n", "line 3, column 'a': 'abc' is not a number, and the column is one of numbers"),
        ("a,label\n1,x\nabc,y\n", "line 3, column 'a': 'abc' is not a number"),
        ("a;label\n5,1;x\n3,2;y\n", r"line 2, column 'a': '5,1' is not a number \(write a decimal point\)"),
        ("a,label\n1,x\n-inf,y\n", "line 3, column 'a': '-inf' is not a finite number"),
        ("a,label\n,x\n,y\n", "line 2, column 'a': the cell is empty"),
        ("a,label\n1,x\n2,\n", "line 3, column 'label': the label is empty"),
        ("a,label\n1,x\n2,x\n", "every label in column 'label' is 'x'; expected two classes or more"),
        ("a,label\n1,x\n2,y,3\n", "line 3 has 3 cells, expected 2 as in line 1"),
        ("a,a,label\n1,2,x\n", "columns 1 and 2 are both called 'a'; rename one"),
        (",a,label\n1,2,x\n", "column 1 has no name in the header"),
        ("a,label\n", "has a header and no examples under it"),
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("label\nx\ny\n", "has only the label column 'label'"),
        (b"a,label\n\xff,x\n", r"is not UTF-8 text \(line 2\)"),
        ('a,label\n"1,x\n', "is not CSV"),
        ("a,label\n" + "".join(f"t{i},{i % 2}\n" for i in range(1001)), "column 'a' has 1001 different texts"),
    ],
)
def test_bad_tables(write, text, sentence):
    path = write(text)
    with pytest.raises(UserError, match=sentence) as caught:
        load(path)
    assert caught.value.exit_code == 1
    assert path in str(caught.value)


def test_unknown_label_column(write):
    with pytest.raises(UserError, match="has no column 'colur'; did you mean 'colour'") as caught:
        load(write(FRUIT), label="colur")
    assert caught.value.exit_code == 1
    with pytest.raises(UserError, match="has no column 6; expected a name or a number from 1 to 5"):
        load(write(FRUIT), label="6")


def test_test_file(write):
    path, other = write(FRUIT), "label,sweet,colour,size,organic\ncherry,0,green,3,no\n"
    data = load(path, test=write(other, "other.csv"))
    assert data.test.features.tolist() == [[3, 0, 0, 0]]
    assert data.test.labels.tolist() == [1]
    assert data.checksum == hashlib.sha256((FRUIT + other).encode()).hexdigest()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (HEAD + "1,red,1,yes,chery\n", "line 2, column 'label': there is no class 'chery'; did you mean 'cherry'"),
        (HEAD + "1,red,2,yes,apple\n", "line 2, column 'sweet': '2' is neither 0 nor 1"),
        (HEAD + "big,red,1,yes,apple\n", "line 2, column 'size': 'big' is not a number"),
        (
            HEAD.replace("our", "or") + "1,red,1,yes,apple\n",
            "no column 'colour', which the training data had; did you mean",
        ),
        ("new," + HEAD + "1,1,red,1,yes,apple\n", "has a column 'new', which the training data did not have; drop it"),
        ("size,colour,sweet,organic\n1,red,1,yes\n", "has no labels; expected a test file with labels"),
        ("1,red\n", "has 2 columns, expected the 4 features, with or without a label"),
    ],
)
def test_bad_test_files(write, text, sentence):
    path, other = write(FRUIT), write(text, "test.csv")
    with pytest.raises(UserError, match=sentence):
        load(path, test=other)


def test_classes_choose_from_train_and_test(write):
    path = write("a,label\n1,x\n2,y\n3,z\n")
    data = load(path, test=path, classes=["z", "x"])
    assert data.train.labels.tolist() == data.test.labels.tolist() == [1, 0]
    assert data.train.features.tolist() == [[1], [3]]
    with pytest.raises(UserError, match="no test example of the classes x, z"):
        load(path, test=write("a,label\n1,y\n", "y.csv"), classes=["x", "z"])


def test_split_is_stratified_and_seeded(write):
    rows = [f"{i},{'x' if i % 4 else 'y'}" for i in range(40)]
    path = write("a,label\n" + "\n".join(rows))
    data = load(path, split=0.25)
    assert np.bincount(data.test.labels).tolist() == [8, 3]  # of 30 x and 10 y, halves rounded up
    assert np.bincount(data.train.labels).tolist() == [22, 7]
    both = np.concatenate([data.train.features, data.test.features])[:, 0]
    assert sorted(both.tolist()) == list(range(40))
    for part in (data.train, data.test):
        assert (np.diff(part.features[:, 0]) > 0).all()  # file order
    assert np.array_equal(load(path, split=0.25).test.features, data.test.features)
    assert not np.array_equal(load(path, split=0.25, seed=1).test.features, data.test.features)


def test_split_leaves_every_class_in_training(write):
    data = load(write("a,label\n1,x\n2,y\n3,y\n"), split=0.9)
    assert data.train.labels.tolist().count(0) == 1
    with pytest.raises(UserError, match=r"a split of 0\.01 of 2 examples leaves none for the test part"):
        load(write("a,label\n1,x\n2,y\n"), split=0.01)


@pytest.mark.parametrize("split", [0, 1, -0.5, 1.5, float("nan")])
def test_split_outside_of_0_to_1(write, split):
    with pytest.raises(UsageError, match="expected a fraction between 0 and 1"):
        load(write(FRUIT), split=split)


def test_split_and_test_file(write):
    with pytest.raises(UsageError, match="a test file and a split were both given; give one of them"):
        load(write(FRUIT), split=0.5, test=write(FRUIT))


def test_missing_file(tmp_path):
    with pytest.raises(
        UsageError,
        match="there is no file '.*absent.csv'; give the path of a table, such as CSV or Parquet",
    ):
        load(str(tmp_path / "absent.csv"))
    with pytest.raises(UserError, match="holds no picture; expected files such as train/CLASS/1.png"):
        load(str(tmp_path))
    with pytest.raises(UsageError, match="is not a valid path"):
        load("a\0b.csv")


def test_prediction_with_and_without_labels(write):
    schema = load(write(FRUIT)).schema
    features, labels = read_examples(write("colour,size,organic,sweet\ngreen,3,no,true\n", "new.csv"), schema)
    assert labels is None
    assert features.tolist() == [[3, 0, 1, 0]]
    features, labels = read_examples(write("3,green,1,no\n4,red,0,yes\n", "new.csv"), schema)
    assert labels is None
    assert features.tolist() == [[3, 0, 1, 0], [4, 1, 0, 1]]
    features, labels = read_examples(write("3,green,1,no,apple\n", "new.csv"), schema)
    assert labels.tolist() == [0]
    features, labels = read_examples(write("apple,3,green,1,no\n", "new.csv"), schema, label="1")
    assert labels.tolist() == [0]
    assert features.tolist() == [[3, 0, 1, 0]]


def test_prediction_by_position_where_names_are_made_up(write):
    schema = load(write("1,2,x\n3,4,y\n")).schema
    features, labels = read_examples(write("label,p,q\ny,5,6\n", "new.csv"), schema)
    assert features.tolist() == [[5, 6]]
    assert labels.tolist() == [1]
    nameless = Schema(schema.feature_names, schema.columns, schema.label_names)
    with pytest.raises(UserError, match="has 3 columns, one more than the 2 features; say which is the label"):
        read_examples(write("1,2,3\n", "new.csv"), nameless)


def test_schema_round_trip(write):
    for data in (load(write(FRUIT)), load("iris"), load(write("1,2,x\n3,4,y\n"))):
        assert Schema.from_json(json.loads(json.dumps(data.schema.to_json()))) == data.schema


def test_schema_round_trip_of_columns_with_missing_values(write):
    schema = load(write(FRUIT)).schema
    plain = schema.to_json()
    gaps = replace(schema, columns=tuple(replace(column, missing=True) for column in schema.columns))
    assert gaps.to_json()["columns"] == [{"missing": kind} for kind in plain["columns"]]
    assert Schema.from_json(json.loads(json.dumps(gaps.to_json()))) == gaps != schema
    assert Schema.from_json(plain).columns == schema.columns  # as files of before, which have no such columns


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"extra": 1}, "the schema is not an object with the keys"),
        ({"columns": [{"absent": "number"}] * 4}, r"'columns'\[0\] is not an object with the keys missing"),
        ({"columns": [{"missing": {"missing": "number"}}] * 4}, r"'columns'\[0\] is not \"number\""),
        ({"feature_names": []}, "'feature_names' is not a list of 1 or more different texts"),
        ({"columns": ["number"]}, "'columns' is not a list of 4 columns"),
        ({"label_names": ["x"]}, "'label_names' is not a list of 2 or more different texts"),
        ({"label_name": 3}, "'label_name' is not a text or null"),
        ({"label_index": 5}, "'label_index' is not a column number or null"),
        ({"label_index": True}, "'label_index' is not a column number or null"),
        ({"named": 1}, "'named' is not true or false"),
        ({"image_shape": [2, 3]}, "'image_shape' is not the height and width"),
        ({"image_shape": 4}, "'image_shape' is not the height and width"),
    ],
)
def test_schema_refuses_what_we_do_not_write(change, sentence):
    good = load("iris").schema.to_json()
    with pytest.raises(UserError, match=f"{sentence}.*the file is damaged or was not written by rdahw"):
        Schema.from_json({**good, **change})
