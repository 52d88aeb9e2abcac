"""Training in shards on files of millions of rows of 28 numbers (like the set HIGGS), read in parts: processor seconds
(user and system) and peak memory of `rdahw train --shards`, beside the rows.

    python bench/larger.py [--millions 2,5,20] [--model ensemble] [--shards 4] [--epochs 1] [--format parquet]
        [--folder DIR]

The table has 21 measured columns and 7 that are made of these, as masses of particles are; the class, 0 or 1, is drawn
by a chance that depends on the latter. Row i is the same whatever the number of rows. A further million rows tests.
Each file is written in parts, and deleted after its training: 20 million rows take 2.3 GB of disk as Parquet.
A process of its own trains; the peak is its maximum resident set.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.csv
import pyarrow.parquet
from million import measure
from numpy.typing import NDArray

PART = 250_000
TESTED = 1_000_000
NAMES = [*(f"measured {i}" for i in range(21)), *(f"mass {i}" for i in range(7))]


def parts(rows: int, first: int) -> Iterator[pyarrow.Table]:
    """So many rows, from part ``first`` on."""
    for part in range(rows // PART):
        rng = np.random.default_rng([first + part])
        x: NDArray[Any] = rng.standard_normal((21, PART), np.float32)
        masses = np.sqrt(x[0::3] ** 2 + x[1::3] ** 2 + 0.5 * (x[2::3] + x[0::3] * x[1::3]) ** 2)
        chance = 1 / (1 + np.exp(-4 * np.sin(masses[0] * masses[1]) - 2 * (masses[2] - masses[3]) - masses[4] + 1.5))
        label = (rng.random(PART, np.float32) < chance).astype(np.int8)
        yield pyarrow.table(dict(zip(["label", *NAMES], [label, *x, *masses], strict=True)))


def write(path: Path, rows: int, first: int) -> None:
    tables = parts(rows, first)
    table = next(tables)
    if path.suffix == ".parquet":
        writer: Any = pyarrow.parquet.ParquetWriter(path, table.schema, compression="none", use_dictionary=False)
    else:
        writer = pyarrow.csv.CSVWriter(path, table.schema)
    with writer:
        writer.write_table(table)
        for table in tables:
            writer.write_table(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--millions", default="2,5,20")
    parser.add_argument("--model", default="ensemble")
    parser.add_argument("--shards", default="4")
    parser.add_argument("--epochs", default="1")
    parser.add_argument("--format", choices=["parquet", "csv"], default="parquet")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--write", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.write:
        path, rows, first = options.write
        write(Path(path), int(rows), int(first))
        return
    program = shutil.which("rdahw", path=sysconfig.get_path("scripts"))
    if program is None:
        sys.exit("there is no rdahw beside this Python; install it with pip install -e .")
    how = ("--model", options.model, "--shards", options.shards, "--epochs", options.epochs)
    options.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=options.folder) as temporary:
        test, data, out = (Path(temporary) / name for name in (f"test.{options.format}", "", "model.rdahw"))

        def generate(path: Path, rows: int, first: int) -> None:
            # By another process, since the peak of a process begins at the size of the one that starts it.
            subprocess.run([sys.executable, __file__, "--write", str(path), str(rows), str(first)], check=True)

        generate(test, TESTED, 1 << 20)
        print("| rows | processor seconds | microseconds a row | MB | on the test rows |\n|---|---|---|---|---|")
        for millions in map(float, options.millions.split(",")):
            data, rows = Path(temporary) / f"rows.{options.format}", int(1e6 * millions)
            generate(data, rows, 0)
            cost = measure(program, "train", "-q", "--data", str(data), "--test", str(test), *how, "--out", str(out))
            data.unlink()
            each, said = 1e6 * cost.seconds / rows, cost.said.removeprefix("test").strip()
            print(f"| {rows:,} | {cost.seconds:.1f} | {each:.2f} | {cost.megabytes:.0f} | {said} |", flush=True)


if __name__ == "__main__":
    main()
