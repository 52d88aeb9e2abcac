"""RDARegressor on public tables, beside ExtraTrees: R2 on the test parts, and time.

    python bench/regression.py FOLDER [--regressors NAME …] [--json FILE]

FOLDER is where ``r-cran-mlbench``, ``r-cran-modeldata`` and ``r-cran-ggplot2``, packages of Debian, are unpacked
(``apt-get download NAME``, then ``dpkg-deb -x FILE.deb FOLDER`` for each); the files of R are read by ``rdata`` (``pip
install rdata``). Two more sets come with scikit-learn. Rows with a missing value are left out; columns of ordered
categories and of at most two stay one column, others of categories become one for each category. Of diamonds 10,000
rows drawn at random are taken.

A quarter of the rows, drawn at random, is the test part, with five seeds, and with three for more than 2,500 rows. R2
is the mean over them; seconds are processor seconds of one fit and its predictions on one thread. Every result is
written to the file of --json (default: build/bench/regression.json) when it is there, and what the file has is not
measured again.
"""

from __future__ import annotations

import argparse
import json
import lzma
import time
import warnings
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from measure import one_core

if __name__ == "__main__":
    one_core()

from sklearn.datasets import load_diabetes, make_friedman1
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.model_selection import train_test_split

from rdahw import RDARegressor

RESULTS = Path(__file__).parents[1] / "build" / "bench" / "regression.json"
MOST_ROWS, LARGE = 10_000, 2_500

#: By set: the package, the name there, the column of the target, columns left out.
SETS: dict[str, tuple[str, str, str, tuple[str, ...]]] = {
    "boston": ("mlbench", "BostonHousing", "medv", ()),
    "servo": ("mlbench", "Servo", "Class", ()),
    "ozone": ("mlbench", "Ozone", "V4", ()),
    "concrete": ("modeldata", "concrete", "compressive_strength", ()),
    "ames": ("modeldata", "ames", "Sale_Price", ()),
    "sacramento": ("modeldata", "Sacramento", "price", ("zip",)),
    "diamonds": ("ggplot2", "diamonds", "price", ()),
}
#: Those that come with scikit-learn or are made by it.
SKLEARN: dict[str, Callable[[], tuple[Any, Any]]] = {
    "diabetes": lambda: load_diabetes(return_X_y=True, scaled=False),
    "friedman1": lambda: make_friedman1(2000, noise=1, random_state=0),
}
REGRESSORS: dict[str, Callable[[], Any]] = {
    "RDARegressor": RDARegressor,
    "ExtraTrees(300)": lambda: ExtraTreesRegressor(300, random_state=0),
}


def _frame(root: Path, package: str, name: str) -> Any:
    import rdata

    if single := list(root.rglob(f"{package}/data/{name}.rda")):
        return rdata.read_rda(single[0])[name]
    index = next(root.rglob(f"{package}/data/Rdata.rdx"))
    part = unpacked(index, rdata.read_rds(index)["variables"][name])
    return rdata.conversion.convert(rdata.parser.parse_data(part))


def unpacked(index: Path, place: Any) -> bytes:
    """What is at ``place`` of the database of R with this index: where it begins and how many bytes it has."""
    start, size = map(int, place)
    packed = index.with_suffix(".rdb").read_bytes()[start + 4 : start + size]  # after four bytes of length
    if packed[:1] == b"Z":
        return lzma.decompress(packed[1:], lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA2, "preset": 6}])
    return zlib.decompress(packed)


def _columns(frame: Any) -> Iterator[Any]:
    import pandas as pd

    for name in frame:
        column = frame[name]
        categories = getattr(column.dtype, "categories", None)
        if categories is not None and (column.cat.ordered or len(categories) < 3):
            yield column.cat.codes.to_numpy(float)[:, None]
        elif categories is not None or not pd.api.types.is_numeric_dtype(column.dtype):
            yield pd.get_dummies(column).to_numpy(float)
        else:
            yield column.to_numpy(float)[:, None]


def load(root: Path, name: str) -> tuple[Any, Any]:
    """Rows X (N, F) and numbers (N,) of the set."""
    if name in SKLEARN:
        return SKLEARN[name]()
    package, own, target, left_out = SETS[name]
    frame = _frame(root, package, own).drop(columns=list(left_out)).dropna()
    x, y = np.hstack(list(_columns(frame.drop(columns=[target])))), frame[target].to_numpy(float)
    if len(y) > MOST_ROWS:
        rows = np.random.default_rng(0).permutation(len(y))[:MOST_ROWS]
        x, y = x[rows], y[rows]
    return x, y


def measure(make: Callable[[], Any], x: Any, y: Any) -> dict[str, float]:
    """The mean of R2, and the seconds."""
    scores, seeds, started = [], range(3 if len(y) > LARGE else 5), time.process_time()
    for seed in seeds:
        train, test, train_y, test_y = train_test_split(x, y, test_size=0.25, random_state=seed)
        scores.append(float(make().fit(train, train_y).score(test, test_y)))
    return {"r2": float(np.mean(scores)), "seconds": (time.process_time() - started) / len(seeds)}


def lines(results: dict[str, Any]) -> Iterator[str]:
    """The results as a table of Markdown: R2, and the seconds in brackets."""
    yield f"| set | {' | '.join(REGRESSORS)} |"
    yield "|---" * (1 + len(REGRESSORS)) + "|"
    rows = [(name, results[name]) for name in (*SKLEARN, *SETS) if results.get(name, {}).keys() >= REGRESSORS.keys()]
    means = {r: {k: np.mean([row[r][k] for _, row in rows]) for k in ("r2", "seconds")} for r in REGRESSORS}
    for name, row in [*rows, ("mean", means)]:
        yield f"| {name} | {' | '.join('{r2:.3f} ({seconds:.2g})'.format(**row[r]) for r in REGRESSORS)} |"


def main() -> None:
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--regressors", nargs="+", choices=list(REGRESSORS), default=list(REGRESSORS))
    parser.add_argument("--json", type=Path, default=RESULTS)
    options = parser.parse_args()
    options.json.parent.mkdir(parents=True, exist_ok=True)
    results: dict[str, dict[str, Any]] = json.loads(options.json.read_text()) if options.json.exists() else {}
    for name in (*SKLEARN, *SETS):
        x, y = load(options.folder, name)
        row = results.setdefault(name, {})
        for regressor in options.regressors:
            if regressor not in row:
                row[regressor] = measure(REGRESSORS[regressor], x, y)
                options.json.write_text(json.dumps(results, indent=1))
    print(*lines(results), sep="\n")


if __name__ == "__main__":
    main()
