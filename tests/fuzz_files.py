"""Mutated files of every format: each gives the original's answer, another one that is checked, or one sentence.

``python tests/fuzz_files.py 2000 0 10`` tries 2000 mutations of each of the seeds 0 to 9 and prints how many were read
and refused. A mutation of the content (bytes changed, cut, doubled; lines dropped, doubled, exchanged) may change the
table: where a text is still a table to a parser of a few lines, rows and classes must be those that it sees. A mutation
of the form (order of rows, quotes, line ends, packing, format, how the format stores the table) may change nothing.
"""

import bz2
import csv
import gzip
import io
import lzma
import math
import re
import sys
import tempfile
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import openpyxl
import pyarrow
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet

from rdahw.data import fit_binariser, load
from rdahw.errors import UserError

TABLES = Path(__file__).parent / "data" / "tables"

# -- originals ---------------------------------------------------------------------------------------------------------


def contents():
    """The originals: name and content, not packed where they are text."""
    files = {path.name: path.read_bytes() for path in sorted(TABLES.iterdir())}
    table = pyarrow.csv.read_csv(TABLES / "plain.csv")
    file = io.BytesIO()
    pyarrow.feather.write_feather(table, file)
    files["plain.feather"] = file.getvalue()
    file = io.BytesIO()
    np.save(file, np.column_stack([table["a"].to_numpy(), table["b"].to_numpy() > 1]))
    files["plain.npy"] = file.getvalue()
    file = io.BytesIO()
    np.savez(file, x=np.column_stack([table["a"].to_numpy(), table["b"].to_numpy()]), y=table["b"].to_numpy() % 2)
    files["plain.npz"] = file.getvalue()
    return files


def mixed():
    """A table with numbers, missing ones, categories and words for true and false, as texts."""
    rng = np.random.default_rng(7)
    names = ["size", "grams", "colour", "sold", "class"]
    rows = []
    for i in range(90):
        size = f"{rng.normal():.3f}"
        grams = "" if rng.random() < 0.1 else str(int(rng.integers(1000)))
        rows.append(
            [size, grams, str(rng.choice(["red", "green", "deep blue"])), ["no", "yes"][i % 2], f"kind {i % 3}"]
        )
    return names, rows


def tables():
    """Tables to write in other forms: the names of the columns, and rows of texts."""
    for name in ("plain.csv", "pandas_names.csv"):
        names, *rows = csv.reader((TABLES / name).read_text().splitlines())
        yield names, rows
    yield mixed()


# -- mutations of the content ------------------------------------------------------------------------------------------

_UNPACK = {".gz": gzip.decompress, ".xz": lzma.decompress}
_TEXT = (".csv", ".arff", ".svmlight", ".gz", ".xz")


def is_text(name):
    return name.endswith(_TEXT)


def damage(content, rng):
    """The content with bytes changed, cut out, doubled or put in."""
    data = bytearray(content)
    for _ in range(int(rng.integers(1, 4))):
        at, size = int(rng.integers(len(data) + 1)), int(rng.integers(1, 40))
        kind = int(rng.integers(5))
        if kind == 0:
            data[at : at + 1] = rng.bytes(1)
        elif kind == 1:
            del data[at : at + size]
        elif kind == 2:
            data[at:at] = data[at : at + size]
        elif kind == 3:
            data[at:at] = rng.choice(
                [b'"', b",", b"\n", b"\r", b"\0", b" ", b";", b"NaN", b"1e999", b"\xff", b"'", b":"]
            )
        else:
            del data[at:]
        if not data:
            break
    return bytes(data)


def edit(content, rng):
    """A text with lines dropped, doubled or exchanged, or characters replaced by others of their kind."""
    lines = content.decode().splitlines()
    for _ in range(int(rng.integers(1, 6))):
        at, other = (int(rng.integers(len(lines))) for _ in range(2))
        kind = int(rng.integers(7))
        if kind == 0 and len(lines) > 3:
            del lines[at]
        elif kind == 1:
            lines.insert(other, lines[at])
        elif kind == 2:
            lines[at], lines[other] = lines[other], lines[at]
        elif kind == 3:
            lines.insert(at, "")
        elif lines[at]:
            place = int(rng.integers(len(lines[at])))
            old = lines[at][place]
            new = str(int(rng.integers(10))) if old.isdigit() else chr(ord("a") + int(rng.integers(26)))
            lines[at] = lines[at][:place] + (new if old.isalnum() else old) + lines[at][place + 1 :]
    return "\n".join(lines).encode() + b"\n"


def labels_of(name, content):
    """The label of each row of a text by a parser of a few lines; None where it is no plain table to it."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return None
    if re.search(r"[\0\r\x0b\x0c\x1c-\x1f\x85\u2028\u2029\ufeff]|''|\\", text):
        return None
    if name.endswith(".svmlight"):
        rows = [line.partition("#")[0].split() for line in text.split("\n")]
        plain = all(re.fullmatch(r"\d+:\d+(\.\d+)?", pair) for row in rows for pair in row[1:])
        return [row[0] for row in rows if row] if plain and "#" not in text else None
    if name.endswith(".arff"):
        head, data, body = text.partition("@data\n")
        if not data or re.search(r"""["'{}%?]""", body) or head.split("@attribute")[-1].split()[0] != "label":
            return None
        return _last_cells([line.split(",") for line in body.split("\n")], head.count("@attribute"))
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), skipinitialspace=True, strict=True))
    except csv.Error:
        return None
    if not rows or any("\n" in cell for row in rows for cell in row) or rows[0][-1:] != ["label"]:
        return None
    return _last_cells(rows[1:], len(rows[0]))


def _last_cells(rows, width):
    rows = [row for row in rows if any(map(str.strip, row))]
    return [row[-1].strip() for row in rows] if width > 1 and {len(row) for row in rows} == {width} else None


def _values(labels):
    """Labels that are all numbers as such."""
    try:
        numbers = [float(label) for label in labels]
    except ValueError:
        return list(labels)
    return numbers if all(map(math.isfinite, numbers)) and "_" not in "".join(labels) else list(labels)


def check_damaged(path, content, labels):
    """What happened: «refused», «read», or «checked» with the ``labels`` of :func:`labels_of`."""
    path.write_bytes(content)
    refused = ""
    try:
        data = load(str(path))
    except UserError as error:
        refused = str(error)
    if refused:
        assert refused.startswith((str(path), "the label")), refused
        assert "\n" not in refused, refused
        return "refused"
    used = np.unique(data.train.labels)
    assert used.tolist() == list(range(len(data.label_names)))
    assert len(set(data.label_names)) == len(data.label_names)
    assert data.train.features.shape == (len(data.train), len(data.columns))
    assert not np.isinf(data.train.features.astype(float)).any()
    if labels is None or data.label_name not in ("label", None):
        return "read"
    expected = _values(labels)
    assert len(data.label_names) == len(set(expected)), (data.label_names, set(expected))
    assert [_values(data.label_names)[c] for c in data.train.labels] == expected
    return "checked"


# -- mutations of the form ---------------------------------------------------------------------------------------------


def _zipped(data):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("inside.csv", data)
    return file.getvalue()


PACKINGS = (
    bytes,
    gzip.compress,
    bz2.compress,
    lzma.compress,
    _zipped,
    lambda data: pyarrow.compress(data, "zstd", asbytes=True),
)


def packed(content, rng):
    return PACKINGS[int(rng.integers(len(PACKINGS)))](content)


def as_csv(names, rows, rng):
    """Other quotes, separators and line ends."""
    blank, quoted = str(rng.choice(["", " "])), rng.random() < 0.5
    mark = str(rng.choice([",", ";", "\t", "|"]))
    lines = [names, *rows]
    if quoted:
        lines = [[f'{blank}"{cell}"' if rng.random() < 0.5 else cell for cell in line] for line in lines]
    end = str(rng.choice(["\n", "\r\n", "\r"]))
    content = (end.join(mark.join(line) for line in lines) + (end if rng.random() < 0.5 else "")).encode()
    return packed(b"\xef\xbb\xbf" + content if rng.random() < 0.3 else content, rng)


def _is_number(cell):
    return re.fullmatch(r"-?\d+(\.\d+)?", cell) is not None


def _typed(names, rows, rng):
    """The table as Arrow has it; texts as such, as large ones or in dictionaries."""
    columns = {}
    for name, cells in zip(names, zip(*rows, strict=True), strict=True):
        if all(cell == "" or _is_number(cell) for cell in cells):
            whole = all("." not in cell for cell in cells)
            kind = rng.choice(["int16", "int64", "float64"]) if whole else "float64"
            columns[name] = pyarrow.array([float(cell) if cell else None for cell in cells]).cast(str(kind))
        else:
            column = pyarrow.array([cell or None for cell in cells])
            kind = int(rng.integers(3))
            columns[name] = column.cast("large_string") if kind == 1 else column
            if kind == 2:
                columns[name] = column.dictionary_encode()
    return pyarrow.table(columns)


def as_parquet(names, rows, rng):
    file = io.BytesIO()
    codec = str(rng.choice(["none", "snappy", "gzip", "brotli", "zstd"]))
    size, pages = int(rng.integers(1, 100)), str(rng.choice(["1.0", "2.0"]))
    pyarrow.parquet.write_table(
        _typed(names, rows, rng),
        file,
        compression=codec,
        row_group_size=size,
        data_page_version=pages,
        use_dictionary=bool(rng.integers(2)),
    )
    return packed(file.getvalue(), rng)


def as_feather(names, rows, rng):
    file = io.BytesIO()
    codec, size = str(rng.choice(["uncompressed", "lz4", "zstd"])), int(rng.integers(1, 100))
    pyarrow.feather.write_feather(_typed(names, rows, rng), file, compression=codec, chunksize=size)
    return packed(file.getvalue(), rng)


def as_arff(names, rows, rng):
    kinds = []
    for cells in zip(*rows, strict=True):
        known = sorted({f"'{cell}'" for cell in cells if cell})
        is_number = all(cell == "" or _is_number(cell) for cell in cells)
        kinds.append("numeric" if is_number else "{" + ",".join(rng.permutation(known)) + "}")
    head = ["@relation x", *(f"@attribute '{name}' {kind}" for name, kind in zip(names, kinds, strict=True)), "@data"]
    body = [",".join((f"'{cell}'" if " " in cell else cell) or "?" for cell in row) for row in rows]
    end = str(rng.choice(["\n", "\r\n"]))
    return packed(end.join(["% a comment", *head, *body, ""]).encode(), rng)


def as_xlsx(names, rows, rng):
    book = openpyxl.Workbook()
    for row in [names, *rows]:
        book.active.append([float(cell) if _is_number(cell) else cell or None for cell in row])
    file = io.BytesIO()
    book.save(file)
    return packed(file.getvalue(), rng)


def as_svmlight(names, rows, rng):
    lines = []
    for row in rows:
        pairs = [f"{i}:{cell}" for i, cell in enumerate(row[:-1], 1) if float(cell) or rng.random() < 0.5]
        lines.append(" ".join([row[-1], *pairs]) + str(rng.choice(["", " # a comment"])))
    return packed("\n".join(lines).encode(), rng)


def as_npz(names, rows, rng):
    file, x = io.BytesIO(), np.array([row[:-1] for row in rows], float)
    save = np.savez_compressed if rng.integers(2) else np.savez
    save(file, x=np.asarray(x, order=str(rng.choice(["C", "F"]))), y=np.array([row[-1] for row in rows]))
    return packed(file.getvalue(), rng)


def _same(table):
    return table


def _numbers(table):
    """A table of numbers alone, whose label has no blank."""
    names, rows = table
    return None if names[-1] == "class" else (names, rows)


#: How each form writes a table, and the tables that it can write.
FORMS = (
    (as_csv, _same),
    (as_parquet, _same),
    (as_feather, _same),
    (as_arff, _same),
    (as_xlsx, _same),
    (as_svmlight, _numbers),
    (as_npz, _numbers),
)


def check_reshaped(path, content, order, original):
    """The classes and bits are those of the original, in the other order."""
    path.write_bytes(content)
    data = load(str(path))
    assert data.label_names == original.label_names
    assert data.columns == original.columns
    assert np.array_equal(data.train.labels, original.train.labels[order])
    bits = fit_binariser(original, "quantile=7").transform(original.train.features)
    assert np.array_equal(fit_binariser(data, "quantile=7").transform(data.train.features), bits[order])


# -- all of it ---------------------------------------------------------------------------------------------------------


def run(count, folder, seed=0):
    """Try ``count`` mutations; gives how many were read, checked, refused and the same."""
    files, seen, failures = contents(), Counter(), []
    path, originals = Path(folder) / "mutant", []
    for names, rows in tables():
        path.write_text("\n".join(map(",".join, [names, *rows])))
        originals.append(((names, rows), load(str(path))))
    texts = [name for name in files if is_text(name)]
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        try:
            if number % 4 == 3:
                write, choose = FORMS[number // 4 % len(FORMS)]
                usable = [(table, data) for table, data in originals if choose(table) is not None]
                (names, rows), original = usable[int(rng.integers(len(usable)))]
                order = rng.permutation(len(rows))
                check_reshaped(path, write(names, [rows[i] for i in order], rng), order, original)
                seen["same"] += 1
            elif number % 4 == 0:
                name = list(files)[number // 4 % len(files)]
                seen[check_damaged(path, damage(files[name], rng), None)] += 1
            else:
                name = texts[int(rng.integers(len(texts)))]
                content = files[name]
                for ending, unpack in _UNPACK.items():
                    content = unpack(content) if name.endswith(ending) else content
                mutant = damage(content, rng) if rng.random() < 0.2 else edit(content, rng)
                seen[check_damaged(path, packed(mutant, rng), labels_of(name, mutant))] += 1
        except Exception as error:
            failures.append(f"mutation {number} of seed {seed}: {type(error).__name__}: {str(error)[:300]}")
    assert not failures, "\n".join(failures)
    return seen


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        for seed in range(int(sys.argv[2]), int(sys.argv[3])):
            print(seed, dict(run(int(sys.argv[1]), temporary, seed)), flush=True)  # noqa: T201
