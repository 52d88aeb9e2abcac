"""RDAClassifier beside HistGradientBoostingClassifier on public tables with missing values and categories, as they are.

    python bench/missing.py FOLDER [--only credit_data …] [--classifiers NAME …] [--json FILE]

FOLDER is where ``r-cran-mlbench`` and ``r-cran-modeldata``, packages of Debian, are unpacked (``apt-get download
r-cran-mlbench r-cran-modeldata``, then ``dpkg-deb -x FILE.deb FOLDER`` for each); the files of R are read by ``rdata``
(``pip install rdata``). Both classifiers get the same data frames of pandas, with categories as such and NaN where a
value is missing, and have their default settings; ``auto`` is RDAClassifier(model="auto"). Accuracies are means over
ten splits, a quarter of each class to test on; seconds are processor seconds of one fit and its predictions on one
thread. Every result is written to the file of --json (default: build/bench/missing.json) when it is there, and what the
file has is not measured again.
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

from measure import one_core

if __name__ == "__main__":
    one_core()  # before numpy is loaded

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import StratifiedShuffleSplit

from rdahw import RDAClassifier

SPLITS = 10
#: The sets: package, column of the labels, columns left out.
SETS: dict[str, tuple[str, str, list[str]]] = {
    "BreastCancer": ("mlbench", "Class", ["Id"]),
    "HouseVotes84": ("mlbench", "Class", []),
    "Soybean": ("mlbench", "Class", []),
    "PimaIndiansDiabetes2": ("mlbench", "diabetes", []),
    "credit_data": ("modeldata", "Status", []),
    "attrition": ("modeldata", "Attrition", []),
    "mlc_churn": ("modeldata", "churn", []),
}
CLASSIFIERS: dict[str, Callable[[], Any]] = {
    "default": RDAClassifier,
    "auto": lambda: RDAClassifier(model="auto"),
    "HistGradientBoosting": lambda: HistGradientBoostingClassifier(categorical_features="from_dtype", random_state=0),
}


def read(root: Path, name: str) -> tuple[Any, Any]:
    """The data frame of a set, and its labels (N,)."""
    import rdata

    package, label, left_out = SETS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # classes of R that rdata does not know
        if package == "mlbench":
            frame = rdata.read_rda(next(root.rglob(f"{package}/data/{name}.rda")))[name]
        else:
            frame = _lazy(next(root.rglob(f"{package}/data/Rdata.rdx")), name)
    frame.columns = frame.columns.astype(str)
    return frame.drop(columns=[label, *left_out]).reset_index(drop=True), frame[label].astype(str).to_numpy(str)


def _lazy(index: Path, name: str) -> Any:
    """A data frame from a database of R's, of which ``index`` says where each object begins and how long it is."""
    import rdata

    start, length = (int(number) for number in rdata.read_rds(index)["variables"][name])
    stored = index.with_suffix(".rdb").read_bytes()[start + 4 : start + length]  # after the length of the content
    if stored[:1] == b"Z":
        filters = [{"id": lzma.FILTER_LZMA2, "preset": 6}]
        content = lzma.decompress(stored[1:], format=lzma.FORMAT_RAW, filters=filters)
    else:
        content = zlib.decompress(stored)
    return rdata.conversion.convert(rdata.parser.parse_data(content))


def measure(make: Callable[[], Any], x: Any, y: Any) -> dict[str, Any]:
    """The accuracy on each split in percent, and the seconds."""
    right, started = [], time.process_time()
    splits = StratifiedShuffleSplit(SPLITS, test_size=0.25, random_state=2026).split(x, y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for train, test in splits:
            right.append(100 * float((make().fit(x.iloc[train], y[train]).predict(x.iloc[test]) == y[test]).mean()))
    return {"accuracies": right, "seconds": (time.process_time() - started) / SPLITS}


def lines(results: dict[str, Any]) -> Iterator[str]:
    """The results as a table of Markdown: mean accuracy, and the seconds in brackets."""
    yield f"| set | rows | numbers | categories | missing | {' | '.join(CLASSIFIERS)} |"
    yield "|---" * (5 + len(CLASSIFIERS)) + "|"
    for name, row in results.items():
        cells = [_cell([row[classifier]] if classifier in row else []) for classifier in CLASSIFIERS]
        yield f"| {name} | {' | '.join(map(str, row['size']))} | {' | '.join(cells)} |"
    complete = {c: [row[c] for row in results.values() if c in row] for c in CLASSIFIERS}
    cells = [_cell(rows if len(rows) == len(results) else []) for rows in complete.values()]
    yield f"| mean | | | | | {' | '.join(cells)} |"


def _cell(rows: list[Any]) -> str:
    """The mean of the measurements; empty without any."""
    if not rows:
        return ""
    accuracy, seconds = (np.mean([np.mean(row[name]) for row in rows]) for name in ("accuracies", "seconds"))
    return f"{accuracy:.1f} ({seconds:.2g})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="+", choices=list(SETS), default=list(SETS))
    parser.add_argument("--classifiers", nargs="+", choices=list(CLASSIFIERS), default=list(CLASSIFIERS))
    parser.add_argument("--json", type=Path, default=Path(__file__).parents[1] / "build" / "bench" / "missing.json")
    options = parser.parse_args()
    options.json.parent.mkdir(parents=True, exist_ok=True)
    results: dict[str, dict[str, Any]] = json.loads(options.json.read_text()) if options.json.exists() else {}
    for name in options.only:
        x, y = read(options.folder, name)
        categories = int((x.dtypes == "category").sum())
        size = [len(x), x.shape[1] - categories, categories, int(x.isna().sum().sum())]
        row = results.setdefault(name, {"size": size})
        for classifier in options.classifiers:
            if classifier not in row:
                row[classifier] = measure(CLASSIFIERS[classifier], x, y)
                options.json.write_text(json.dumps(results, indent=1))
    print(*lines(results), sep="\n")


if __name__ == "__main__":
    main()
