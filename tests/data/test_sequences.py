"""Sequences in files, and their wires."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rdahw.data import Dataset, Schema, load, read_examples
from rdahw.data.sequences import SequenceShape
from rdahw.errors import UsageError, UserError


@st.composite
def sequences(draw: st.DrawFn) -> tuple[SequenceShape, np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """A shape, symbols and labels."""
    shape = SequenceShape(
        steps=draw(st.integers(1, 70)),
        symbol=draw(st.integers(1, 3)),
        label=draw(st.integers(1, 3)),
        ragged=draw(st.booleans()),
        at_end=draw(st.booleans()),
    )
    drawn = np.random.default_rng(draw(st.integers(0, 1000)))
    lengths = drawn.integers(1, shape.steps + 1, 5) if shape.ragged else np.full(5, shape.steps)
    there = np.arange(shape.steps) < lengths[:, None]
    symbols = np.where(there, drawn.integers(0, 1 << shape.symbol, there.shape), -1)
    labels = np.where(there, drawn.integers(0, 1 << shape.label, there.shape), -1)
    return shape, symbols, labels[:, :1] if shape.at_end else labels


@given(sequences())
@settings(max_examples=100)
def test_wires_and_class_numbers_say_the_sequence(case: Any) -> None:
    shape, symbols, labels = case
    bits, numbers = shape.wires(symbols), shape.numbers(labels)
    assert bits.shape == (5, shape.input_bits)
    assert all(0 <= number < 1 << shape.label_wires for number in numbers)
    np.testing.assert_array_equal(shape.symbols(bits), symbols)
    np.testing.assert_array_equal(shape.labels(numbers), labels)
    at = shape.at_steps(numbers, symbols)
    if shape.at_end:
        assert ((at >= 0).sum(axis=1) == 1).all()
    else:
        np.testing.assert_array_equal(at, labels)
    written = np.where(at >= 0, at, 1)
    np.testing.assert_array_equal(shape.of_steps(written, symbols), numbers)


def sequences_of(dataset: Dataset) -> list[tuple[list[int], list[int]]]:
    """Symbols and labels of the training sequences."""
    shape = dataset.schema.sequences.shape
    x, y = shape.symbols(dataset.train.features), shape.labels(dataset.train.labels)
    return [([int(s) for s in a if s >= 0], [int(n) for n in b if n >= 0]) for a, b in zip(x, y, strict=True)]


WANTED = [([0, 1, 1], [0, 1, 0]), ([1, 0], [1, 1])]
FORMS = {
    "whole": ("rows", "bits,label\n011,010\n10,11\n"),
    "spaced": ("rows", "bits,label\n0 1 1,0 1 0\n1 0,1 1\n"),
    "columns": ("rows", "x0,x1,x2,y0,y1,y2\n0,1,1,0,1,0\n1,0,,1,1,\n"),
    "steps": ("id=run", "run,x,y\na,0,0\nb,1,1\na,1,1\na,1,0\nb,0,1\n"),
}


@pytest.mark.parametrize("name", FORMS)
def test_forms_of_text(tmp_path: Path, name: str) -> None:
    form, text = FORMS[name]
    (tmp_path / "file.csv").write_text(text)
    dataset = load(str(tmp_path / "file.csv"), sequence=form)
    assert sequences_of(dataset) == WANTED
    assert dataset.task == "sequences"
    schema = Schema.from_json(dataset.schema.to_json())
    assert schema == dataset.schema
    features, labels = read_examples(tmp_path / "file.csv", schema)
    np.testing.assert_array_equal(features, dataset.train.features)
    np.testing.assert_array_equal(labels, dataset.train.labels)


def write_runs(folder: Path) -> Path:
    """A folder with a file for each sequence of ``WANTED``; returns it."""
    folder.mkdir()
    (folder / "b.csv").write_text("x,y\n1,1\n0,1\n")
    (folder / "a.csv").write_text("x,y\n0,0\n1,1\n1,0\n")
    return folder


def test_a_file_for_each_sequence(tmp_path: Path) -> None:
    runs = write_runs(tmp_path / "runs")
    dataset = load(str(runs), sequence="files", test=runs)
    assert sequences_of(dataset) == WANTED
    assert dataset.test is not None
    np.testing.assert_array_equal(dataset.test.labels, dataset.train.labels)
    schema = Schema.from_json(dataset.schema.to_json())
    features, labels = read_examples(runs, schema)
    np.testing.assert_array_equal(features, dataset.train.features)
    np.testing.assert_array_equal(read_examples(runs / "b.csv", schema)[0], features[1:])
    before = load(str(runs), sequence="files").checksum
    (runs / "b.csv").write_text("x,y\n1,1\n0,0\n")
    assert load(str(runs), sequence="files").checksum != before


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("c.csv", "x,z\n1,1\n", "c.csv has the columns x, z, and a.csv has x, y; give all files the same"),
        ("c.csv", "x,y\n1,1\n,1\n", "c.csv, line 3: the cell of column 'x' is empty"),
        ("a.csv", "x\n1\n0\n", "b.csv has the columns x, y, and a.csv has x"),
        ("c.csv", "", "c.csv is empty"),
    ],
)
def test_malformed_folders(tmp_path: Path, name: str, text: str, message: str) -> None:
    runs = write_runs(tmp_path / "runs")
    (runs / name).write_text(text)
    with pytest.raises(UserError, match=message):
        load(str(runs), sequence="files")


def test_folders_have_the_name_that_they_have_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(write_runs(tmp_path / "runs"))
    assert load(".", sequence="files").name == "runs"


def test_folders_in_the_place_of_files(tmp_path: Path) -> None:
    runs = write_runs(tmp_path / "runs")
    with pytest.raises(UserError, match=r"runs is a folder, and a file was expected; --sequence files reads a folder"):
        load(str(runs), sequence="rows")
    (runs / "more").mkdir()
    with pytest.raises(UserError, match=r"more is a folder; expected files alone, one for each sequence; move it out"):
        load(str(runs), sequence="files")


def test_folders_without_tables(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no files; expected one for each sequence"):
        load(str(tmp_path), sequence="files")
    np.savez(tmp_path / "a.npz", x=np.zeros((1, 2), np.uint8), y=np.zeros((1, 2), np.uint8))
    with pytest.raises(UserError, match="has arrays; expected a table with a step a row"):
        load(str(tmp_path), sequence="files")


@pytest.mark.parametrize("ending", ["parquet", "feather"])
def test_tables_of_other_formats(tmp_path: Path, ending: str) -> None:
    import pyarrow as pa
    from pyarrow import feather, parquet

    table = pa.table({"run": ["a", "b", "a", "a", "b"], "x": [0, 1, 1, 1, 0], "y": [0, 1, 1, 0, 1]})
    path = tmp_path / f"file.{ending}"
    {"parquet": parquet.write_table, "feather": feather.write_feather}[ending](table, str(path))
    assert sequences_of(load(str(path), sequence="id=run")) == WANTED


def test_too_many_texts_of_another_format(tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    texts = [format(i, "011b") for i in range(1500)]
    parquet.write_table(pa.table({"x": texts, "y": texts}), str(tmp_path / "file.parquet"))
    with pytest.raises(UserError, match="column 'x' has over 1000 different texts; give sequences as CSV"):
        load(str(tmp_path / "file.parquet"), sequence="rows")


def test_arrays(tmp_path: Path) -> None:
    x, y = np.array([[0, 1, 1], [1, 0, 0]]), np.array([[0, 1, 0], [1, 1, 0]])
    np.savez(tmp_path / "file.npz", x=x, y=y, lengths=[3, 2], x_test=x, y_test=y, lengths_test=[1, 3])
    dataset = load(str(tmp_path / "file.npz"), sequence="rows")
    assert sequences_of(dataset) == WANTED
    assert dataset.test is not None
    assert len(dataset.test) == 2
    np.savez(tmp_path / "end.npz", x=np.stack([x, 2 * y], axis=2), y=["odd", "even"])
    dataset = load(str(tmp_path / "end.npz"), sequence="rows")
    assert dataset.schema.sequences.at_end
    assert dataset.schema.sequences.labels == ("even", "odd")
    assert sequences_of(dataset) == [([0, 5, 1], [1]), ([5, 4, 0], [0])]


def test_labels_at_the_end_and_names(tmp_path: Path) -> None:
    (tmp_path / "file.csv").write_text("run,event,weight,state\n1,stop,3,\n1,go,0,on\n2,wait,2,off\n")
    dataset = load(str(tmp_path / "file.csv"), sequence="id=run,steps=5")
    form = dataset.schema.sequences
    assert (form.at_end, form.ragged, form.steps, form.columns) == (True, True, 5, ("event", "weight"))
    assert form.symbols == (("go", "stop", "wait"), 2)
    assert sequences_of(dataset) == [([1 | 3 << 2, 0], [1]), ([2 | 2 << 2], [0])]
    assert form.said(dataset.train.labels) == ["on", "off"]


def test_rows_may_be_short_and_a_header_missing(tmp_path: Path) -> None:
    (tmp_path / "file.csv").write_text("1,0,1,1\n0,1,1\n1,1\n")
    dataset = load(str(tmp_path / "file.csv"), sequence="rows", label="1", header=False)
    assert sequences_of(dataset) == [([0, 1, 1], [1]), ([1, 1], [0]), ([1], [1])]


def test_a_test_part_is_of_sequences(tmp_path: Path) -> None:
    (tmp_path / "file.csv").write_text("run,x,y\n" + "".join(f"{i % 8},{i % 2},0\n" for i in range(80)))
    dataset = load(str(tmp_path / "file.csv"), sequence="id=run", split=0.25)
    assert dataset.test is not None
    assert (len(dataset.train), len(dataset.test)) == (6, 2)


@pytest.mark.parametrize(
    ("form", "text", "message"),
    [
        ("rows", "", "file.csv is empty"),
        ("rows", "bits,label\n", "a header and no sequences under it"),
        (
            "rows",
            "bits,label\n011,010\n10,110\n",
            "line 3: a sequence of 2 steps has 3 labels; expected 2 .say labels=end",
        ),
        (
            "rows",
            "bits,label\n010,01\n01,010\n",
            "line 2: a sequence of 3 steps has 2 labels; expected 3 .say labels=end",
        ),
        ("rows,labels=end", "x0,x1,y0,y1\n1,1,0,0\n", "2 columns of labels, and labels=end was asked for"),
        ("rows", "x0,x1,x2,y\n1,,1,0\n", "line 2: a sequence has an empty cell"),
        ("rows", "y\n1\n", "has only the labels"),
        (
            "rows,steps=2",
            "bits,label\n011,010\n",
            "a sequence of 3 steps, and the most are 2; train with --sequence rows",
        ),
        ("id=run", "x,y\n1,1\n", "no column 'run'; known are 'x', 'y'"),
        ("id=run", "run,y\n1,1\n", "no columns of symbols beside 'run'"),
        ("id=run", "run,x,y\n1,1,1\n1,,1\n", "line 3: the cell of column 'x' is empty"),
        ("id=run", "run,x,y\n1,1,1\n1,1,\n", "line 3: the label is empty; expected one at each step"),
        ("id=run", "run,x,y\n1,1,\n1,1,\n", "the label is empty; expected one at the end"),
        ("rows", "bits,label\n" + " ".join(f"s{i}" for i in range(5000)) + ",1\n", "5000 different symbols"),
    ],
)
def test_malformed_files(tmp_path: Path, form: str, text: str, message: str) -> None:
    (tmp_path / "file.csv").write_text(text)
    with pytest.raises(UserError, match=message):
        load(str(tmp_path / "file.csv"), sequence=form)


@pytest.mark.parametrize(
    "form", ["columns", "id=", "files=2", "rows,labels=middle", "rows,steps=0", "rows,steps=x", "rows,by=2"]
)
def test_malformed_forms(tmp_path: Path, form: str) -> None:
    (tmp_path / "file.csv").write_text("bits,label\n011,010\n")
    with pytest.raises(UsageError, match=f"--sequence {form} "):
        load(str(tmp_path / "file.csv"), sequence=form)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bits,label\n021,010\n", "sequence 1, step 2: there is no symbol '2' in training; expected a whole number"),
        ("bits,label\n011,013\n", "sequence 1, step 3: there is no label '3' in training; expected a whole number"),
        ("bits,label\n0110,0110\n", "a sequence of 4 steps, and the most are 3"),
        ("bits,label\n011,on\n", "a sequence of 3 steps has 2 labels; expected 3"),
    ],
)
def test_further_sequences_that_do_not_fit(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "file.csv").write_text(FORMS["whole"][1])
    schema = load(str(tmp_path / "file.csv"), sequence="rows").schema
    (tmp_path / "more.csv").write_text(text)
    with pytest.raises(UserError, match=message):
        read_examples(tmp_path / "more.csv", schema)


def test_sequences_of_one_length(tmp_path: Path) -> None:
    (tmp_path / "file.csv").write_text("bits,label\n011,010\n101,110\n")
    dataset = load(str(tmp_path / "file.csv"), sequence="rows")
    assert (dataset.schema.sequences.ragged, dataset.train.features.shape) == (False, (2, 3))
    (tmp_path / "more.csv").write_text("bits\n01\n")
    with pytest.raises(UserError, match="has a sequence of 2 steps, and all of training have 3; train with .*steps=4"):
        read_examples(tmp_path / "more.csv", dataset.schema)


@pytest.mark.parametrize("change", [{"steps": 0}, {"symbols": []}, {"labels_at": "x"}, {"labels": 99}, {"ragged": 1}])
def test_a_damaged_form_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    (tmp_path / "file.csv").write_text(FORMS["whole"][1])
    said = load(str(tmp_path / "file.csv"), sequence="rows").schema.to_json()
    said["sequence"] = {**said["sequence"], **change}
    with pytest.raises(UserError, match="the file is damaged"):
        Schema.from_json(said)
