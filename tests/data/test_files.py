"""Files as people have them: every packing and format, and what is said about a file that may be misread."""

import bz2
import gzip
import io
import lzma
import re
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas
import pyarrow
import pyarrow.feather
import pyarrow.parquet
import pytest

from rdahw.data import Column, _files, _table, load, read_examples
from rdahw.errors import MissingError, UsageError, UserError

TABLES = Path(__file__).parent / "tables"
PLAIN = load(str(TABLES / "plain.csv"))
NUMBERS = (Column("number"), Column("number"))


def said(path, **options):
    """The data set in the file, and what is said about it."""
    log = []
    return load(str(path), log=log.append, **options), log


def same(data, like=PLAIN):
    return (
        data.label_names == like.label_names
        and data.columns == like.columns
        and np.array_equal(data.train.features, like.train.features, equal_nan=True)
        and np.array_equal(data.train.labels, like.train.labels)
    )


def zipped(**members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


@pytest.fixture
def write(tmp_path):
    def write_file(content, name="data.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write_file


# The same table in other forms.


@pytest.mark.parametrize(
    "name",
    ["plain.csv.gz", "plain.csv.xz", "plain.csv.zip", "plain.parquet", "plain.xlsx", "plain.arff", "bars.csv"]
    + ["blanks.csv", "said.csv", "trailing.csv", "blank_quoted.csv"],
)
def test_other_forms_of_a_table(name):
    data, _ = said(TABLES / name)
    assert same(data)
    assert data.feature_names == ("a", "b")


def test_a_packed_file_is_the_same_data_set(write):
    content = (TABLES / "plain.csv").read_bytes()
    packings = {
        "data.csv.gz": gzip.compress(content[:100]) + gzip.compress(content[100:]),
        "data.csv.bz2": bz2.compress(content),
        "data.csv.xz": lzma.compress(content),
        "data.csv.zst": pyarrow.compress(content, "zstd", asbytes=True),
        "data.zip": zipped(**{"folder/data.csv": content, "__MACOSX/._data.csv": b"x"}),
        "double.zip": zipped(**{"data.csv.gz": gzip.compress(content)}),
        "without_ending": gzip.compress(content),
    }
    for name, packed in packings.items():
        path = write(packed, name)
        assert same(load(str(path))), name
        assert load(str(path)).checksum == PLAIN.checksum, name
    assert load(str(write(packings["data.csv.gz"], "data.csv.gz"))).name == "data"


def test_svmlight(write):
    data = load(str(TABLES / "plain.svmlight"))
    assert data.label_names == ("0", "1")
    assert data.columns == NUMBERS
    assert data.train.features.shape == (40, 2)
    sparse = load(str(write("# a comment\n+1 3:2.5\n-1 1:3 qid:7 2:4 # end\n+1 2:1e1\n")))
    assert sparse.train.features.tolist() == [[0, 0, 2.5], [3, 4, 0], [0, 10, 0]]
    assert sparse.label_names == ("-1", "+1")
    features, labels = read_examples(write("1 1:5\n"), sparse.schema)  # absent last features are zero
    assert features.tolist() == [[5, 0, 0]]
    assert labels.tolist() == [1]
    log = []
    read_examples(write("1 1:5 2:1\n"), sparse.schema, log=log.append)
    assert log[-1].endswith(": 1 of the model's 3 features do not occur and are 0")
    with pytest.raises(UserError, match="has a 'feature 4', and the model has 3 features, 'feature 1' to 'feature 3'"):
        read_examples(write("1 1:5 4:1\n"), sparse.schema)
    zero = load(str(write("1 0:2.5 1:1\n-1 1:3\n")))
    features, _ = read_examples(write("1 1:5\n"), zero.schema)  # its numbers are from 0 too
    assert features.tolist() == [[0, 5]]
    with pytest.raises(UserError, match="line 2 has feature 3 twice; keep one of them"):
        load(str(write("0 1:1\n1 3:2 1:4 3:5\n")))
    with pytest.raises(UserError, match="line 2 is not «LABEL NUMBER:VALUE …»"):
        load(str(write("1 1:2\n0 x\n1 1:2\n")))


def test_arff(write):
    text = (
        "% made by hand\n@RELATION x\n@attribute 'the size' numeric\n@attribute colour {red, 'dark blue', green}\n"
        "@attribute grade {1,2,3}\n@attribute class {a,b}\n@DATA\n% a comment\n"
        "1.5,red,1,a\n?, 'dark blue',3,b\n2,?,2,b\n"
    )
    data = load(str(write(text)))
    assert data.feature_names == ("the size", "colour", "grade")
    assert data.columns[0] == Column("number", missing=True)
    assert data.columns[1] == Column("category", ("dark blue", "red"), missing=True)
    assert data.columns[2] == Column("category", ("1", "2", "3"))  # declared as categories
    assert np.array_equal(data.train.features, [[1.5, 1, 0], [np.nan, 0, 2], [2, np.nan, 1]], equal_nan=True)
    sparse = text.partition("@DATA")[0] + "@data\n{0 3, 3 b}\n{1 'dark blue', 2 2}\n{0 ?}\n"
    data = load(str(write(sparse)))
    assert data.label_names == ("a", "b")
    assert data.train.labels.tolist() == [1, 0, 0]
    assert np.array_equal(data.train.features[:, 0], [3, 0, np.nan], equal_nan=True)
    for bad, sentence in (
        (text + "1,red\n", "the row '1,red' does not have 4 cells"),
        (text.replace("@DATA", "@dta"), "without @data"),
        (sparse + "{9 1}\n", "is no sparse ARFF row"),
        (text.replace("numeric", ""), "is no ARFF attribute"),
    ):
        with pytest.raises(UserError, match=sentence):
            load(str(write(bad)))


def test_numpy_arrays(tmp_path):
    np.save(tmp_path / "table.npy", np.column_stack([PLAIN.train.features, PLAIN.train.labels]))
    data = load(str(tmp_path / "table.npy"))
    assert data.label_names == ("0", "1")
    assert np.array_equal(data.train.features, PLAIN.train.features)
    records = np.array([(1.5, "x", 0), (2, "y", 1)], [("size", float), ("label", "U1"), ("z", int)])
    np.save(tmp_path / "records.npy", records)
    data = load(str(tmp_path / "records.npy"))
    assert data.feature_names == ("size", "z")
    assert data.label_names == ("x", "y")
    np.save(tmp_path / "cube.npy", np.zeros((2, 2, 2)))
    with pytest.raises(UserError, match=r"is float64 of shape \(2, 2, 2\); expected numbers \(N, F\)"):
        load(str(tmp_path / "cube.npy"))


FRAME = pandas.DataFrame(
    {
        "size": [1.5, None, 3],
        "count": [1, 2, 3],
        "ok": [True, False, True],
        "colour": pandas.Categorical(["red", None, "blue"], categories=["red", "blue", "green"]),
        "grade": pandas.Categorical(["1", "2", "3"]),
        "label": ["x", "y", "x"],
    },
    index=pandas.Index([7, 8, 9], name="key"),
)


def check_frame(data):
    assert data.feature_names == ("size", "count", "ok", "colour", "grade")
    assert data.columns == (
        Column("number", missing=True),
        Column("number"),
        Column("binary"),
        Column("category", ("blue", "red"), missing=True),
        Column("category", ("1", "2", "3")),
    )
    expected = [[1.5, 1, 1, 1, 0], [np.nan, 2, 0, np.nan, 1], [3, 3, 1, 0, 2]]
    assert np.array_equal(data.train.features, expected, equal_nan=True)
    assert data.label_names == ("x", "y")


def test_frames_and_their_files(tmp_path):
    polars = pytest.importorskip("polars")
    table = pyarrow.Table.from_pandas(FRAME)
    for frame in (FRAME, table):
        check_frame(load(frame))
    check_frame(load(FRAME.assign(grade=pandas.Categorical([1, 2, 3]))[[*FRAME.columns]]))
    check_frame(load(polars.from_pandas(FRAME)))
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet", compression="zstd")
    pyarrow.feather.write_feather(table, tmp_path / "a.feather")
    for name in ("a.parquet", "a.feather"):
        check_frame(load(str(tmp_path / name)))
    assert load(FRAME).checksum != load(FRAME.iloc[:2]).checksum
    with pytest.raises(UserError, match="column 'when' is of type duration.*; turn it into numbers or texts, or drop"):
        load(FRAME.assign(when=pandas.Timedelta(0)))
    with pytest.raises(UserError, match="column 'big' cannot be read as numbers"):
        load(FRAME.assign(big=2**60 + 1))
    with pytest.raises(UsageError, match="a test file was given with a table in memory"):
        load(FRAME, test="x.csv")


def test_dates(tmp_path):
    when = pandas.to_datetime(["1970-01-03 00:00", None, "1970-01-01 12:00"])
    for name, column in (("when", when), ("day", when.date), ("zone", when.tz_localize("Europe/Paris"))):
        table = pyarrow.Table.from_pandas(pandas.DataFrame({name: column, "label": ["a", "b", "a"]}))
        pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
        data, log = said(tmp_path / "a.parquet")
        assert data.columns == (Column("number", missing=True),)
        expected = np.array([2, np.nan, 0 if name == "day" else 0.5]) - (name == "zone") / 24
        np.testing.assert_allclose(data.train.features[:, 0], expected)
        assert log[0].endswith(f": the dates of column {name!r} are read as numbers, days since 1970-01-01")


def test_dates_in_text(write):
    rows = [f"2024-01-{1 + i % 28:02},{i},{i % 2}\n" for i in range(60)]
    data, log = said(write("when,a,label\n" + "".join(rows)))
    assert data.columns[0].kind == "category"
    assert log[-1].endswith(
        "column 'when' has 28 different dates, each a category of its own; to learn from their order, write dates as "
        "numbers, such as days since a certain one"
    )
    rows = [f"{1 + i % 28}.{1 + i // 28 % 12}.{1900 + i // 336},{i % 2}\n" for i in range(1500)]
    with pytest.raises(
        UserError,
        match="column 'when' has 1500 different dates, at most 1000 categories are possible; write dates as numbers, "
        "such as days since a certain one, or drop the column$",
    ):
        load(str(write("when,label\n" + "".join(rows))))


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("a.xlsx", "has the name of a file in XLSX and the content of one in CSV, as which it is read"),
        ("a.parquet.gz", "has the name of a file in Parquet and the content of one in CSV, as which it is read"),
        ("a.tsv", ""),
        ("a.dat", ""),
    ],
)
def test_a_name_of_another_format(tmp_path, name, sentence):
    content = (TABLES / "plain.csv").read_bytes()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    data, log = said(tmp_path / name)
    assert same(data)
    assert [line.partition("a.")[2].partition(" ")[2] for line in log if "the name of" in line] == [sentence] * bool(
        sentence
    )


def test_lines_of_carriage_return_and_line_feed_in_arff(write):
    assert same(load(str(write((TABLES / "plain.arff").read_bytes().replace(b"\n", b"\r\n")))))


def test_a_quote_after_an_empty_cell_between_tabs(write):
    rows = [["a", "b", "label"], *([str(i), "", f"c {i % 2}"] for i in range(9)), ["1", "2", "c 0"]]
    data = load(str(write("\n".join("\t".join([a, b, f'"{c}"']) for a, b, c in rows) + '\n "3"\t\t"c 1"\n')))
    assert data.label_names == ("c 0", "c 1")
    assert np.isnan(data.train.features[:, 1]).sum() == 10


def test_texts_outside_of_a_damaged_arrow_file(write):
    table = pyarrow.table({"a": ["x", "y"] * 20, "label": ["u", "v"] * 20})
    file = io.BytesIO()
    pyarrow.feather.write_feather(table, file, compression="uncompressed")
    offsets = np.arange(41, dtype="<i4").tobytes()  # where each text begins
    assert offsets in file.getvalue()
    beyond = (np.arange(41, dtype="<i4") + (np.arange(41) == 7) * (1 << 30)).tobytes()
    with pytest.raises(UserError, match="is a damaged Arrow file"):
        load(str(write(file.getvalue().replace(offsets, beyond), "a.feather")))


def test_excel(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in (["a", "when", "label"], [1.0, "x", 1], [None, "y", 2.0], [], [2.5, "x", 1]):
        book.active.append(row)
    book.create_sheet("second")
    book.save(tmp_path / "book.xlsx")
    data, log = said(tmp_path / "book.xlsx")
    assert data.columns == (Column("number", missing=True), Column("category", ("x", "y")))
    assert data.label_names == ("1", "2")
    assert any("the first of 2 sheets" in line for line in log)
    with pytest.raises(UserError, match="row 3, column 'a': the cell is empty"):
        load(str(tmp_path / "book.xlsx"), missing="error")


def test_excel_without_openpyxl(monkeypatch):
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(MissingError, match=r"plain.xlsx is an Excel file.*pip install 'rdahw\[xlsx\]', or save"):
        load(str(TABLES / "plain.xlsx"))


# Nothing is misread without a word.


def test_pandas_names_of_columns(write):
    data, _ = said(TABLES / "pandas_names.csv")
    assert data.label_names == ("setosa", "versicolor", "virginica")
    assert data.feature_names == ("0", "1", "2", "3")
    assert len(data.train) == 150
    text = (TABLES / "pandas_names.csv").read_text()
    assert same(load(str(write(text.replace("label", "4", 1)))), data)  # no name for the labels
    assert same(load(str(write(text.partition("\n")[2]))), data)  # no names
    assert len(load(str(write(text)), header=False, label="5").train) == 151


def test_numbers_as_names_above_numbers(write):
    rows = "".join(f"{i / 7:.3f},{i % 5},{i % 3}\n" for i in range(30))
    assert len(load(str(write("0,1,2\n" + rows))).train) == 31  # class 2 comes again: an example
    assert len(load(str(write("0,1,3\n" + rows))).train) == 31
    named = "".join(f"{i / 7:.3f},{i % 5},{i % 7},{i % 3}\n" for i in range(30))
    assert load(str(write("0,1,2,3\n" + named))).label_names == ("0", "1", "2")


@pytest.mark.parametrize("index", [range(30), range(29, -1, -1)])
def test_pandas_names_of_columns_beside_an_index(write, index):
    rows = "".join(f"{i},{i / 7:.3f},{i % 5},{'xyz'[i % 3]}\n" for i in index)
    for names in (",0,1,2\n", ",0,1,kind\n"):
        with pytest.raises(UserError, match="column 1 has no name in the header; name it, or drop it if it is an ind"):
            load(str(write(names + rows)))
    assert len(load(str(write(",0,1,x\n" + rows))).train) == 31  # class x comes again: an example without a number


def test_names_taken_as_an_example(write):
    rows = "".join(f"{i / 7:.3f},{i % 5},{'xyz'[i % 3]}\n" for i in range(30))
    data, log = said(write("2019,2020,kind\n" + rows))
    assert len(data.label_names) == 4
    (warning,) = [line for line in log if line.startswith("warning")]
    assert "(2019, 2020, kind) is taken as an example, and 'kind' is nowhere below; if it has the names" in warning
    for known in (said(write("2019,2020,kind\n" + rows), header=False), said(write("2019,2020,x\n" + rows))):
        assert not any(line.startswith("warning") for line in known[1])


@pytest.mark.parametrize("text", ["0,1,label\n1,2,3\n1,2,4\n", "label,0,1\n3,1,2\n4,1,3\n"])
def test_a_name_above_numbers(write, text):
    assert load(str(write(text))).label_names == ("3", "4")


def test_blanks_before_quotes(write):
    data = load(str(TABLES / "blank_quoted_comma.csv"))
    assert data.feature_names == ("name", "b")
    assert data.columns == (Column("category", ("Doe, A", "Smith, J")), Column("number"))
    assert data.label_names == ("no", "yes, sir")
    late = "a,label\n" + "1,x\n" * 400_000 + '2, "y, z"\n'  # far behind the rows that the form is found by
    assert load(str(write(late))).label_names == ("x", "y, z")
    assert load(str(write('a,label\n"say ""hi, "" twice", x\nb, "y"\n'))).columns[0].categories == (
        "b",
        'say "hi, " twice',
    )


def test_labels_that_are_the_same_number():
    data, log = said(TABLES / "float_labels.csv")
    assert data.label_names == ("0", "1")
    assert any("the labels '0' and '0.0' are the same number, one class" in line for line in log)
    features, labels = read_examples(TABLES / "float_labels.csv", data.schema)
    assert np.array_equal(labels, data.train.labels)


def test_an_example_taken_as_names():
    data, log = said(TABLES / "nominal.csv")
    assert len(data.train) == 3
    (warning,) = [line for line in log if line.startswith("warning")]
    assert "the first row (sunny, yes, no) is taken as the names" in warning
    assert "--no-header" in warning
    data, log = said(TABLES / "nominal.csv", header=False)
    assert len(data.train) == 4
    assert not any(line.startswith("warning") for line in log)


def test_commas_in_numbers(write):
    with pytest.raises(
        UserError, match=r"'1,000' is not a number \(write 1000 if its comma separates thousands, or 1.0"
    ):
        load(str(TABLES / "thousands.csv"))
    with pytest.raises(
        UserError, match=r"'1,234,567' is not a number \(write 1234567 if its comma separates thousands\)"
    ):
        load(str(write('a,label\n"1,234,567",x\n"2",y\n')))
    with pytest.raises(UserError, match=r"line 2, column 'a': '0,5' is not a number \(write a decimal point\)"):
        load(str(TABLES / "decimal_comma.csv"))
    marked = {"1.000,50": "1000.50", "1'000": "1000", "12 000": "12000", "1.234.567": "1234567"}
    for cell, plain in marked.items():  # not categories
        with pytest.raises(UserError, match=rf"column 'a': .* is not a number \(write {re.escape(plain)}\)"):
            load(str(write(f"a;label\n{cell};x\n{cell};y\n")))
    with pytest.raises(UserError, match=r"column 'column 1': '1,5' is not a number \(write a decimal point\)"):
        load(str(write("1,5;2,5;x\n3,5;4,5;y\n")))


def test_a_quantity_as_label(write):
    data, log = said(write("a,label\n" + "".join(f"{i},{(i * 7919) % 229 + 20}\n" for i in range(442))))
    assert len(data.label_names) == 229
    assert any("229 different numbers in 442 examples and looks like a quantity" in line for line in log)
    assert not any("quantity" in line for line in said(TABLES / "classes300.csv")[1])


def test_the_label_twice(write):
    rows = "".join(f"{i % 7},{'xyz'[i % 3]},{i % 2},{['no', 'yes', 'maybe'][i % 3]}\n" for i in range(60))
    _, log = said(write("a,code,c,label\n" + rows))
    (warning,) = [line for line in log if line.startswith("warning")]
    assert "column 'code' has one value for each class, as if it were the label 'label' once more" in warning


def test_a_class_that_is_missing(write):
    _, log = said(write("a,label\n1,x\n2,NA\n3,y\n"))
    assert any("has a class 'NA', which may stand for a missing label" in line for line in log)


def test_many_classes(write):
    assert len(load(str(TABLES / "classes300.csv")).label_names) == 300
    many = "a,label\n" + "".join(f"{i % 3},{i}\n" for i in range(65_536))
    with pytest.raises(UserError, match="'label' has 65536 different values, expected at most 65535 classes"):
        load(str(write(many)))


# Missing cells.


def test_missing_cells(write):
    text = "a,b,c,d,label\n1,,yes,0,x\n,red,no,1,y\nNA,blue,,?,y\n3,?,yes,1,x\n"
    path = str(write(text))
    data = load(path)
    assert data.columns == (
        Column("number", missing=True),
        Column("category", ("?", "blue", "red"), missing=True),
        Column("binary", missing=True),
        Column("binary", missing=True),
    )
    nan = np.nan
    expected = [[1, nan, 1, 0], [nan, 2, 0, 1], [nan, 1, nan, nan], [3, 0, 1, 1]]
    assert np.array_equal(data.train.features, expected, equal_nan=True)
    dropped, log = said(path, missing="drop")
    assert dropped.train.features.tolist() == [[3, 0, 1, 1]]
    assert dropped.train.labels.tolist() == [0]
    assert any("3 of 4 examples with missing cells dropped" in line for line in log)
    with pytest.raises(UserError, match="line 2, column 'b': the cell is empty; .*--missing bit or drop"):
        load(path, missing="error")
    with pytest.raises(UserError, match="every example has a missing cell"):
        load(str(write("a,b,label\n,1,x\n2,,y\n")), missing="drop")
    with pytest.raises(UsageError, match="were to be treated as 'skip'; expected bit, error, drop"):
        load(path, missing="skip")


def test_unknown_categories_and_missing_cells_at_prediction(write):
    schema = load(str(write("a,b,label\n1,red,x\n2,blue,y\n"))).schema
    features, labels = read_examples(write("a,b\n,green\n3,\n", "new.csv"), schema)
    assert labels is None
    assert np.array_equal(features, [[np.nan, -1], [3, np.nan]], equal_nan=True)


def test_number_column_of_more_values_than_categories(write):
    rows = [f"{i / 8},{'xy'[i % 2]}" for i in range(3000)]
    full = load(str(write("a,label\n" + "\n".join(rows))))
    assert full.train.features[:, 0].tolist() == [i / 8 for i in range(3000)]
    rows[7], rows[2900], rows[2901] = ",y", "NA,x", " 1.5 ,y"
    holed = load(str(write("a,label\n" + "\n".join(rows))))
    assert np.flatnonzero(np.isnan(holed.train.features[:, 0])).tolist() == [7, 2900]
    assert holed.train.features[2901, 0] == 1.5
    for odd, sentence in (("inf", "'inf' is not a finite number"), ("abc", "'abc' is not a number")):
        rows[2950] = f"{odd},x"
        with pytest.raises(UserError, match=f"line 2952, column 'a': {sentence}"):
            load(str(write("a,label\n" + "\n".join(rows))))
    with pytest.raises(UserError, match="column 'a' has 1500 different texts"):
        load(str(write("a,label\n" + "".join(f"t{i},{i % 2}\n" for i in range(1500)))))


# Messages that name the cause, and limits.


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"\xd0\xcf\x11\xe0rest", "is an old Excel file, which is not read; save it as XLSX or CSV"),
        (b"\x89HDF\r\n", "is an HDF5 file"),
        ("a,b\n1,2\n".encode("utf-16"), "is text in UTF-16, which is not read; save it as CSV in UTF-8"),
        (b"\x80\x04\x95", "is a Python pickle"),
        (b"FEA1rest", "is a Feather file of version 1"),
        (b"%PDF-1.4", "is a PDF document"),
        (b"SQLite format 3\0", "is a SQLite database"),
        (b"\xff\xd8\xff\xe0\0", "is a single picture, which is not read; give a folder of pictures, or an archive"),
        (b"\0\1\2\3", "is neither text nor a known format"),
        (b"PAR1rest", "is a damaged Parquet file"),
        (b"ARROW1\0\0rest", "is a damaged Arrow file"),
        (b"\x93NUMPY\1\0", "is not a plain numpy array, or is damaged"),
        (b"\x1f\x8b\x08rest", "is a damaged gzip file"),
        (b"\xfd7zXZ\0rest", "is a damaged xz file"),
        (b"BZh9rest", "is a damaged bzip2 file"),
        (b"\x28\xb5\x2f\xfdrest", "is a damaged zstd file"),
        (b"PK\3\4rest", "is a damaged zip file"),
        (gzip.compress(b"a,label\n1,x\n2,y\n", mtime=0)[:-9], "is a damaged gzip file"),
        (zipped(a="1", b="2"), r"holds 2 files \('a', 'b'\); expected one"),
        (zipped(**{"[Content_Types].xml": "", "word/x.xml": ""}), "is a zip archive of another format"),
        (zipped(**{"[Content_Types].xml": "", "xl/x.xml": ""}), "is a damaged Excel file"),
        ('{"a": 1, "label": "x"}\n', "is JSON, which is not read; .* objects, one a line, to rdahw train --stream"),
        ("\ufeff[[1, 2], [3, 4]]", "is JSON, which is not read"),
        ("[]", "is JSON, which is not read"),
        ('<table border="1">\n<tr>', "is HTML or XML, which is not read"),
        ("\n <!doctype html>\n<table>", "is HTML or XML, which is not read; save its table as CSV"),
        ("label\nx y\nz w v\n", "only the label column 'label'.*say what separates them with --delimiter"),
    ],
)
def test_files_that_are_not_read(write, content, sentence):
    path = write(content, "file")
    with pytest.raises(UserError, match=f"file .*{sentence}|file {sentence}") as caught:
        load(f"{path.parent}/./file")
    assert "\n" not in str(caught.value)


def test_delimiters(write):
    assert same(load(str(write((TABLES / "plain.csv").read_text().replace(",", "~"))), delimiter="~"))
    assert same(load(str(TABLES / "bars.csv"), delimiter="|"))
    for name in ("tab", "\t", r"\t"):
        assert same(load(str(write((TABLES / "plain.csv").read_text().replace(",", "\t"))), delimiter=name))
    for wrong in ("", "ab", '"', "é"):
        with pytest.raises(UsageError, match="is not one character, such as ';' or '|' or tab"):
            load(str(TABLES / "plain.csv"), delimiter=wrong)
    _, log = said(TABLES / "bars.csv")
    assert log == [
        f"{TABLES / 'bars.csv'}: cells separated by vertical bars, the first row has the names of the columns"
    ]
    aligned = "a   b  label\n 1  2.5   x \n10    3  'y'\n3 4 \"x y\"\n"
    data = load(str(write(aligned)))
    assert data.train.features.tolist() == [[1, 2.5], [10, 3], [3, 4]]
    assert data.label_names == ("'y'", "x", "x y")


def test_a_file_that_unpacks_to_too_much(write, monkeypatch):
    monkeypatch.setattr(_files, "MAX_UNPACKED", 1 << 20)
    rows = b"a,label\n1,x\n2,y\n" + b"1,x\n" * 400_000
    for name, content in (("bomb.gz", gzip.compress(rows)), ("bomb.zip", zipped(data=rows))):
        path = write(content, name)
        assert len(content) < 20_000
        with pytest.raises(UserError, match=f"{name} unpacks to more than .* GiB; if it is meant to be"):
            load(str(path))


def test_a_table_of_too_many_cells(write, tmp_path, monkeypatch):
    monkeypatch.setattr(_table, "MAX_CELLS", 1000)
    pyarrow.parquet.write_table(pyarrow.table({"a": [1] * 600, "label": ["x", "y"] * 300}), tmp_path / "a.parquet")
    sentence = "has 600 rows of 2 columns or more, and at most 1000 cells are read; use fewer"
    for path in (tmp_path / "a.parquet", write("a,label\n" + "1,x\n2,y\n" * 300)):
        with pytest.raises(UserError, match=sentence):
            load(str(path))
    with pytest.raises(UserError, match="has 2 rows of 1000000000 columns or more"):
        load(str(write("1 1:2\n0 999999999:1\n")))


def test_lines_of_messages(write):
    text = 'a,label\n"1",x\n\n"2","two\nlines"\nbad,x\n4,x\n'
    with pytest.raises(UserError, match="line 6, column 'a': 'bad' is not a number"):
        load(str(write(text)))
    with pytest.raises(UserError, match=r"line 3 is not CSV"):
        load(str(write('a,label\n1,"x\n2,y\n')))
    with pytest.raises(UserError, match=r"is not UTF-8 text \(line 3\)"):
        load(str(write(b"a,label\n1,x\n2,\xff\n")))


def test_progress_and_pipes(tmp_path):
    seen = []
    load(str(TABLES / "classes300.csv"), progress=lambda done, total: seen.append((done, total)))
    size = (TABLES / "classes300.csv").stat().st_size
    assert seen[-1] == (size, size)
