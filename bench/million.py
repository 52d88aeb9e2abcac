"""A million rows of ten numbers: processor seconds (user and system, all processes) and peak memory of reading,
`rdahw train` without options and `rdahw eval`, beside pandas with HistGradientBoostingClassifier or LightGBM.

    pip install 'rdahw[sklearn]' pandas
    python bench/million.py [--rows N] [--only TABLE,…] [--no-peers]

Each is a process of its own, the peers on one thread; the peak is its maximum resident set. The figures are those of
the machine and its load: run it on a quiet one. The kernels are compiled by a run on few rows before.

The tables, 200,000 more rows of each to test on:

- lines: two classes, 0 and 1, by the sign of a sum of the columns, one product of two, and noise.
- parts: the same sum cut into ten classes, named by texts.
- clusters: eight classes of twelve clusters each.
- parquet, npz: lines as such files.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow
import pyarrow.csv
import pyarrow.parquet

TESTED = 200_000

READ = "import sys, rdahw.data; rdahw.data.load(sys.argv[1])"
PEER = """
import sys, pandas
train, test = map(pandas.read_csv, sys.argv[1:3])
if sys.argv[3] == "lightgbm":
    from lightgbm import LGBMClassifier
    model = LGBMClassifier(n_jobs=1, verbose=-1)
else:
    from sklearn.ensemble import HistGradientBoostingClassifier
    model = HistGradientBoostingClassifier()
model.fit(train.drop(columns="label"), train["label"])
print(f"{100 * model.score(test.drop(columns='label'), test['label']):.2f} % right")
"""


class Cost(NamedTuple):
    """What a process took, and the last line that it printed."""

    seconds: float
    megabytes: float
    said: str


def measure(*command: str) -> Cost:
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen(command, stdout=out, env={**os.environ, "OMP_NUM_THREADS": "1"})
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            sys.exit(f"{' '.join(command)} failed")
        out.seek(0)
        lines = out.read().decode().split("\n")
    said = next((line for line in lines if "% right" in line), "")
    return Cost(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, said)


def write_tables(folder: Path, rows: int) -> None:
    rng = np.random.default_rng(1)
    count = rows + TESTED
    x = rng.normal(size=(count, 10)).round(6)
    total = x @ rng.normal(size=10) + x[:, 0] * x[:, 1] + 0.8 * rng.normal(size=count)
    parts = np.clip(np.floor(2.5 * (total - total.mean()) / total.std() + 5), 0, 9).astype(np.int64)
    centres = 1.6 * rng.normal(size=(96, 10))
    cluster = rng.integers(0, 96, count)
    near = (centres[cluster] + 0.8 * rng.normal(size=(count, 10))).round(5)
    names = [f"x{i}" for i in range(10)]
    tables = {
        "lines": (x, pyarrow.array((total > 0).astype(np.int64))),
        "parts": (x, pyarrow.array([f"part {chr(97 + part)}" for part in parts])),
        "clusters": (near, pyarrow.array([f"class {c % 8}" for c in cluster])),
    }
    for name, (values, labels) in tables.items():
        table = pyarrow.table({**dict(zip(names, values.T, strict=True)), "label": labels})
        pyarrow.csv.write_csv(table.slice(0, rows), folder / f"{name}.csv")
        pyarrow.csv.write_csv(table.slice(0, min(rows, 5000)), folder / f"few-{name}.csv")
        pyarrow.csv.write_csv(table.slice(rows), folder / f"{name}-test.csv")
        if name == "lines":
            pyarrow.parquet.write_table(table.slice(0, rows), folder / "lines.parquet")
            np.savez(folder / "lines.npz", x=values[:rows], y=labels.to_numpy()[:rows])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--only", default="lines,parts,clusters,parquet,npz")
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.write:
        write_tables(options.write, options.rows)
        return
    program = shutil.which("rdahw", path=sysconfig.get_path("scripts"))
    if program is None:
        sys.exit("there is no rdahw beside this Python; install it with pip install -e .")
    peers = ["histgradientboosting", *(["lightgbm"] if importlib.util.find_spec("lightgbm") else [])]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        # By another process, since the peak of a process begins at the size of the one that starts it.
        subprocess.run([sys.executable, __file__, "--rows", str(options.rows), "--write", temporary], check=True)
        out = str(folder / "model.rdahw")
        print("| table | what | processor seconds | MB | on the test rows |\n|---|---|---|---|---|")
        for table in options.only.split(","):
            path = folder / (f"lines.{table}" if table in ("parquet", "npz") else f"{table}.csv")
            few, test = folder / f"few-{path.stem}.csv", str(folder / f"{path.stem}-test.csv")
            measure(program, "train", "-q", "--data", str(few), "--out", str(folder / "few.rdahw"))
            show(table, "reading alone", measure(sys.executable, "-c", READ, str(path)))
            train = measure(program, "train", "-q", "--data", str(path), "--out", out)
            show(table, "rdahw train", train._replace(said=measure(program, "eval", "-q", out, "--data", test).said))
            show(table, "rdahw eval of all", measure(program, "eval", "-q", out, "--data", str(path))._replace(said=""))
            for peer in peers if path.suffix == ".csv" and not options.no_peers else ():
                show(table, f"pandas, {peer}", measure(sys.executable, "-c", PEER, str(path), test, peer))


def show(table: str, what: str, cost: Cost) -> None:
    found = re.search(r"([0-9.]+ %) right", cost.said)
    print(f"| {table} | {what} | {cost.seconds:.1f} | {cost.megabytes:.0f} | {found[1] if found else ''} |", flush=True)


if __name__ == "__main__":
    main()
