"""Examples from a stream of text, a block at a time: the same as from a file, and errors that name the line."""

from __future__ import annotations

import io
import json
import tracemalloc

import numpy as np
import pytest

from rdahw.data import load
from rdahw.data._stream import MAX_LINE, ExampleStream
from rdahw.errors import UsageError, UserError

TABLE = "a,b,c,label\n" + "".join(f"{i % 7},{i / 4},{'xyz'[i % 3]},{'no' if i % 5 else 'yes'}\n" for i in range(60))


def stream(text, *, size=50, **given):
    """A stream of ``text`` that comes in pieces of ``size`` bytes."""
    source = io.BytesIO(text.encode() if isinstance(text, str) else text)
    return ExampleStream(lambda: source.read(size), **given)


def all_examples(dataset, source):
    parts = [dataset.train, *source.examples()]
    return np.concatenate([part.features for part in parts]), np.concatenate([part.labels for part in parts])


def as_objects(text):
    header, *rows = (line.split(",") for line in text.splitlines())
    return "".join(json.dumps(dict(reversed([*zip(header, row, strict=True)]))) + "\n" for row in rows)


@pytest.mark.parametrize("size", [1, 7, 100_000])
@pytest.mark.parametrize(
    "form",
    {
        "csv": lambda text: text,
        "no end of line": lambda text: text.rstrip("\n"),
        "semicolons and CR": lambda text: text.replace(",", ";").replace("\n", "\r\n"),
        "tabs, quotes and a mark": lambda text: "\ufeff" + text.replace(",", '"\t"').replace("\n", '"\n"')[:-1],
        "blank lines": lambda text: "\n\n" + text.replace("\n", "\n \n"),
        "two files": lambda text: text[:300] + text[300:].replace("\n", "\na,b,c,label\n", 1),
    }.items(),
    ids=lambda pair: pair[0],
)
def test_a_stream_gives_the_examples_of_the_file(form, size, tmp_path):
    (tmp_path / "t.csv").write_text(TABLE)
    expected = load(str(tmp_path / "t.csv"))
    text = form[1](TABLE)
    if form[0].startswith("tabs"):
        text = text.replace("a", '"a', 1)
    source = stream(text, size=size)
    dataset = source.first(20)
    assert len(dataset.train) == 20
    assert (dataset.columns, dataset.label_names) == (expected.columns, expected.label_names)
    features, labels = all_examples(dataset, source)
    assert (features == expected.train.features).all()
    assert (labels == expected.train.labels).all()
    assert source.lines >= 60


def test_objects_are_rows():
    expected, source = stream(TABLE), stream(as_objects(TABLE))
    of_table, of_objects = all_examples(expected.first(20), expected), None
    dataset = source.first(20)
    assert dataset.feature_names == ("c", "b", "a")
    of_objects = all_examples(dataset, source)
    assert (of_objects[0][:, ::-1] == of_table[0]).all()
    assert (of_objects[1] == of_table[1]).all()


def test_keys_of_objects_are_names_also_as_numbers():
    said = []
    dataset = stream('{"1": 1, "0": 5, "2": 1}\n{"1": 2, "0": 4, "2": 0}\n', log=said.append).first(2)
    assert (dataset.feature_names, len(dataset.train)) == (("1", "0"), 2)
    assert not any("--no-header" in line for line in said)


def test_values_of_objects():
    lines = [{"n": 1e3, "t": True, "s": "x, y", "label": 1}, {"label": 0, "s": " z", "t": False, "n": -2}] * 4
    source = stream("\n".join(map(json.dumps, lines)))
    dataset = source.first(6)
    assert [column.kind for column in dataset.columns] == ["number", "binary", "category"]
    features, labels = all_examples(dataset, source)
    assert features[-2:].tolist() == [[1000.0, 1.0, 0.0], [-2.0, 0.0, 1.0]]
    assert labels.tolist() == [1, 0] * 4


def test_without_a_header_exactly_the_first_examples_are_taken():
    rows = "".join(f"{i},{i % 2},{i % 3}\n" for i in range(40))
    source = stream(rows)
    dataset = source.first(10)
    assert (len(dataset.train), dataset.named) == (10, False)
    features, labels = all_examples(dataset, source)
    assert features[:, 0].tolist() == [*range(40)]
    assert labels.tolist() == [i % 3 for i in range(40)]


@pytest.mark.parametrize("header", [True, False])
def test_further_streams_of_a_schema(header):
    schema = stream(TABLE).first(60).schema
    text = TABLE if header else TABLE.partition("\n")[2]
    (whole, _), *_ = [all_examples(source.first(60), source) for source in [stream(TABLE)]]
    parts = [*stream(text, schema=schema).examples()]
    assert (np.concatenate([part.features for part in parts]) == whole).all()
    rest = [*stream(text, schema=schema).examples(skip=13)]
    assert (np.concatenate([part.features for part in rest]) == whole[13:]).all()


def test_how_to_read_can_be_given():
    text = "x|1|2\ny||3\nx|4|5\n"
    source = stream(text, label="1", delimiter="|", header=False)
    dataset = source.first(2, ["x", "y"])
    features, labels = all_examples(dataset, source)
    assert np.isnan(features[1, 0])
    assert (features[2].tolist(), labels.tolist()) == ([4, 5], [0, 1, 0])
    with pytest.raises(UserError, match="empty"):
        stream(text, label="1", delimiter="|", header=False, missing="error").first(3)


def test_examples_come_as_soon_as_their_line_is_there():
    pieces = [*TABLE.splitlines(keepends=True)[:22], "1,2,x,", "yes\n1,2,y,yes\n", "3,3,x,no", ""]
    asked = []

    def read():
        asked.append(pieces[len(asked)])
        return asked[-1].encode()

    source = ExampleStream(read)
    assert len(source.first(20).train) == 20
    assert [(len(part), len(asked)) for part in source.examples()] == [(1, 22), (2, 24), (1, 26)]


def test_classes_that_come_later_can_be_named():
    source = stream("a,label\n" + "1,x\n2,y\n" * 5 + "3,z\n")
    dataset = source.first(4, ["z", "y", "x"])
    assert all_examples(dataset, source)[1].tolist() == [2, 1] * 5 + [0]
    with pytest.raises(UserError, match="has the class 'y', and the classes given are x, z"):
        stream("a,label\n1,x\n2,y\n").first(4, ["x", "z"])
    with pytest.raises(UsageError, match="not two or more different"):
        stream("a,label\n1,x\n2,y\n").first(4, ["x", "x"])


@pytest.mark.parametrize(
    ("text", "message", "before"),
    [
        (TABLE + "1,2,x\n", "line 62 has 3 cells, expected 4 as in line 1", 60),
        (TABLE + "1,q,x,no\n", "line 62, column 'b': 'q' is not a number", 60),
        (TABLE + "1,2,x,maybe\n", "line 62, column 'label': there is no class 'maybe'", 60),
        (TABLE + '1,2,"x,no\n', "line 62 is not CSV", 60),
        (TABLE.encode() + b"1,\xff,x,no\n", "line 62 is not UTF-8 text", 60),
        (as_objects(TABLE) + "[1]\n", "line 61 is not a JSON object", 60),
        (as_objects(TABLE) + '{"a": 1}\n', "line 61 has the keys a; expected label, c, b, a", 60),
        (as_objects(TABLE) + '{"a": [1], "b": 1, "c": 1, "label": 1}\n', "the value of 'a' is a list", 60),
        ("", "ended before the first example", 0),
        ("a,label\n", "has a header and no examples", 0),
        ("a,label\n1,x\n2,x\n", "every label in column 'label' is 'x'", 0),
    ],
)
def test_errors_name_the_line_and_come_after_the_examples_before(text, message, before):
    seen: list[int] = []
    with pytest.raises(UserError, match=f"^standard input.*{message}"):
        count_into(seen, stream(text, size=99))
    assert sum(seen) == before


def count_into(seen, source):
    seen.append(len(source.first(20).train))
    for part in source.examples():
        seen.append(len(part))


def test_a_line_without_an_end_is_refused():
    with pytest.raises(UserError, match="line 1 is longer than"):
        stream("1," * MAX_LINE, size=1 << 20).first(3)


def test_memory_does_not_grow():
    line, left = b"1,2,x,no\n3,4,y,yes\n" * 200, [0]

    def read():
        left[0] -= 1
        return line if left[0] >= 0 else b""

    peaks = []
    for blocks in (20, 120):
        left[0] = blocks
        tracemalloc.start()
        source = ExampleStream(read)
        source.first(10)
        assert sum(map(len, source.examples())) == blocks * 400 - 10
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]
