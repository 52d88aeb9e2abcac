"""Mutated files of every format: each gives the original's classes, another answer, or one sentence.

``python tests/fuzz_files.py 2000`` tries so many and prints how many were read and refused. A mutation of the
content (bytes changed, cut, doubled) may change the table; one of the form (order of rows, quotes, line ends, packing)
may not.
"""

import bz2
import gzip
import io
import lzma
import sys
import tempfile
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.csv
import pyarrow.feather

from rdahw.data import fit_binariser, load
from rdahw.errors import UserError

TABLES = Path(__file__).parent / "data" / "tables"


def contents():
    """The originals: name and content."""
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


def damage(content, rng):
    """The content with bytes changed, cut out, doubled or put in."""
    data = bytearray(content)
    for _ in range(int(rng.integers(1, 6))):
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


def reshape(text, rng):
    """A CSV with other quotes, line ends, order of rows and packing, and the order."""
    head, *rows = [line.split(",") for line in text.splitlines()]
    order = rng.permutation(len(rows))
    blank = rng.choice(["", " "])
    quoted = rng.random() < 0.5
    mark = rng.choice([",", ";", "\t", "|"])
    lines = [head, *(rows[i] for i in order)]
    if quoted:
        lines = [[f'{blank}"{cell}"' if rng.random() < 0.5 else cell for cell in line] for line in lines]
    end = str(rng.choice(["\n", "\r\n", "\r"]))
    content = (end.join(mark.join(line) for line in lines) + (end if rng.random() < 0.5 else "")).encode()
    if rng.random() < 0.3:
        content = b"\xef\xbb\xbf" + content

    def zipped(data):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("inside.csv", data)
        return file.getvalue()

    packings = [bytes, gzip.compress, bz2.compress, lzma.compress, zipped]
    packings.append(lambda data: pyarrow.compress(data, "zstd", asbytes=True))
    return packings[int(rng.integers(len(packings)))](content), order


def check_damaged(path, content):
    """What happened: «read» or «refused»."""
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
    return "read"


def check_reshaped(path, content, order, original):
    """The classes and bits are those of the original, in the other order."""
    path.write_bytes(content)
    data = load(str(path))
    assert data.label_names == original.label_names
    assert data.columns == original.columns
    assert np.array_equal(data.train.labels, original.train.labels[order])
    bits = fit_binariser(original, "quantile=7").transform(original.train.features)
    assert np.array_equal(fit_binariser(data, "quantile=7").transform(data.train.features), bits[order])


def run(count, folder, seed=0):
    """Try ``count`` mutations; gives how many were read, refused and the same."""
    files, seen, failures = contents(), Counter(), []
    plain = load(str(TABLES / "plain.csv"))
    iris = load(str(TABLES / "pandas_names.csv"))
    iris_text = (TABLES / "pandas_names.csv").read_text()
    originals = [(plain, (TABLES / "plain.csv").read_text()), (iris, iris_text)]
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        path = Path(folder) / "mutant"
        try:
            if number % 4 == 3:
                original, text = originals[number // 4 % 2]
                check_reshaped(path, *reshape(text, rng), original)
                seen["same"] += 1
            else:
                name = list(files)[number % len(files)]
                seen[check_damaged(path, damage(files[name], rng))] += 1
        except Exception as error:
            failures.append(f"mutation {number} of seed {seed}: {type(error).__name__}: {str(error)[:300]}")
    assert not failures, "\n".join(failures)
    return seen


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        print(dict(run(int(sys.argv[1]), temporary)))  # noqa: T201
