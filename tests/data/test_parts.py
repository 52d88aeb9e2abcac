"""Tables that are read in parts: what they are, their labels and their bits are those of the table read whole."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pyarrow
import pyarrow.feather
import pyarrow.parquet
import pytest

from rdahw.data import FileRows, _csv, _files, _parts, fit_binariser, load, read_examples
from rdahw.errors import UsageError, UserError

ROWS = 300


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of a few rows."""
    monkeypatch.setattr(_parts, "_PART", 300)
    monkeypatch.setattr(_csv, "_BLOCK", 1 << 10)


def frame() -> pandas.DataFrame:
    """Numbers, some of them missing, a binary column, categories of which one is rare and late, and 3 classes."""
    rng = np.random.default_rng(3)
    numbers = rng.normal(size=ROWS).round(3)
    return pandas.DataFrame({
        "number": np.where(rng.random(ROWS) < 0.1, np.nan, numbers),
        "whole": rng.integers(0, 9, ROWS),
        "bit": rng.integers(0, 2, ROWS),
        "colour": [*rng.choice(["red", "blue"], ROWS - 1), "green"],
        "class": np.array(["a", "b", "c"])[(numbers > 0).astype(int) + (np.arange(ROWS) > 200)],
    })  # fmt: skip


def write(folder: Path, name: str, table: pandas.DataFrame) -> str:
    path = folder / name
    if path.suffix == ".npy":
        columns = table[["whole", "bit"]].assign(label=table["class"].map(ord))
        np.save(path, np.ascontiguousarray(columns.to_numpy(np.float64)))
    elif path.suffix == ".parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pandas(table, preserve_index=False), path, row_group_size=77)
    elif path.suffix == ".arrow":
        pyarrow.feather.write_feather(table, path, chunksize=77)
    else:
        table.to_csv(path, index=False)
    return str(path)


def both(path: str, **more: Any) -> list[Any]:
    return [load(path, in_parts=in_parts, **more) for in_parts in (False, True)]


@pytest.mark.parametrize("name", ["table.csv", "table.csv.gz", "table.parquet", "table.arrow", "table.npy"])
@pytest.mark.parametrize("more", [{}, {"split": 0.2}], ids=str)
def test_a_table_in_parts_is_that_of_the_whole_file(tmp_path: Path, name: str, more: dict[str, Any]) -> None:
    path = write(tmp_path, name, frame())
    whole, parted = both(path, **more)
    assert isinstance(parted.train.features, FileRows)
    assert parted.train.features.shape == whole.train.features.shape
    assert (parted.schema, parted.checksum) == (whole.schema, whole.checksum)
    for (one, held), (other, kept) in [(whole.hold_out(20), parted.hold_out(20))]:
        rules = [fit_binariser(each, "quantile=3") for each in (one, other)]
        assert rules[0].to_json() == rules[1].to_json()
        for a, b in ((one.train, other.train), (held, kept), (whole.test, parted.test)):
            if a is not None:
                assert np.array_equal(a.labels, b.labels)
                assert np.array_equal(rules[0].pack(a.features).words, rules[1].pack(b.features).words)
    features, labels = read_examples(path, parted.schema)
    assert np.array_equal(np.concatenate(list(load(path, in_parts=True).train.features.parts())), features, True)
    assert labels is not None


def test_classes_and_a_test_file_in_parts(tmp_path: Path) -> None:
    table = frame()
    path, test = write(tmp_path, "a.csv", table), write(tmp_path, "b.parquet", table[::3])
    whole, parted = both(path, test=test, classes=["c", "a"])
    for a, b in ((whole.train, parted.train), (whole.test, parted.test)):
        assert np.array_equal(a.labels, b.labels)
        assert np.array_equal(a.features, np.concatenate(list(b.features.parts())), equal_nan=True)


def test_larger_tables_are_sampled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """300 rows of 4 columns, at most 200 cells: every eighth row has 38 * 4; every fourth would have 300."""
    monkeypatch.setattr(_parts, "MOST_SAMPLED", 200)
    whole, parted = both(write(tmp_path, "table.csv", frame()))
    sample = parted.train.sample()
    assert np.array_equal(sample.features, whole.train.features[::8], equal_nan=True)
    assert np.array_equal(sample.labels, whole.train.labels[::8])
    assert parted.columns == whole.columns  # of all rows: green is in the last one
    later = parted.train.take(slice(10, None))
    assert np.array_equal(later.sample().features, whole.train.features[16::8], equal_nan=True)
    assert np.array_equal(later.sample().labels, whole.train.labels[16::8])


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("a,b,c\n" + "1.5,2,x\n" * 400 + "oops,2,y\n", r"line 402, column 'a': 'oops' is not a number"),
        ("a,b,c\n" + "1.5,2,x\n" * 400 + "1,2,\n", r"line 402, column 'c': the label is empty"),
        ("a,b,c\n" + "1.5,2,x\n" * 400 + "1,2\n", r"line 402 has 2 cells, expected 3 as in line 1"),
        ("a,b,c\n" + "1.5,2,x\n" * 400 + "inf,2,y\n", r"line 402, column 'a': 'inf' is not a finite number"),
        ("a,b,c\n" + "1.5,2,x\n" * 400 + '1, "2",y\n', r"has blanks before quotes, and such a table is not read in "),
        ("a,b,c\n" + "1.5,2,x\n" * 400, r"every label in column 'c' is 'x'; expected two classes or more"),
        ("a,b,c\n" + "".join(f"{i % 7},t{i},x\n" for i in range(1100)), r"column 'b' has 10\d\d different texts"),
        ("a,b\n", r"table\.csv has a header and no examples under it$"),
        (
            "a,b\n" + "1,n\n" * 900 + "".join(f"2,{i}\n" for i in range(4000)),
            r"line 2, column 'b': the label 'n' is not a finite number, and over 1000 different ones are; correct it ",
        ),
        (
            "a,b\n" + "".join(f"2,{i}\n" for i in range(4000)) + "1,n\n",
            r"line 4002, column 'b': the label 'n' is not a finite number, and over 1000 different ones are; correct ",
        ),
        ("a\n" + "1\n0\n" * 300, r"has only the label column 'a'; expected columns to learn from too"),
    ],
)
def test_what_is_wrong_in_a_later_part_is_told_with_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, sentence: str
) -> None:
    for module in (_files, _csv):
        monkeypatch.setattr(module, "HEAD", 1 << 10)
    (tmp_path / "table.csv").write_text(content)

    def read() -> None:
        for _ in load(str(tmp_path / "table.csv"), in_parts=True).train.features.parts():
            pass

    with pytest.raises(UserError, match=sentence):
        read()


def test_a_file_that_ends_early_and_one_that_changes(tmp_path: Path) -> None:
    array, table = (Path(write(tmp_path, name, frame())) for name in ("table.npy", "table.csv"))
    array.write_bytes(array.read_bytes()[:-9])
    with pytest.raises(UserError, match=r"table\.npy ends within its array; get or write it again$"):
        load(str(array), in_parts=True)
    data: Any = load(str(table), in_parts=True)
    for rows in (100, ROWS):
        os.utime(write(tmp_path, "table.csv", frame()[:rows]), ns=(0, 0))
        with pytest.raises(UserError, match=r"table\.csv has changed while it was read; start again$"):
            list(data.train.features.parts())
    table.unlink()
    with pytest.raises(UsageError, match=r"^there is no file '.*table\.csv'; give the path of a table"):
        list(data.train.features.parts())
