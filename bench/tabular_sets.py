"""The public tables that ``bench/tabular.py`` measures on, and their splits.

    python bench/tabular_sets.py FOLDER

writes them to ``build/bench/tabular``. FOLDER is where ``r-cran-mlbench`` and ``r-cran-kernlab``, packages of Debian,
are unpacked (``apt-get download r-cran-mlbench r-cran-kernlab``, then ``dpkg-deb -x FILE.deb FOLDER`` for each); the
files of R are read by ``rdata`` (``pip install rdata``). Four more sets come with scikit-learn.

Of a set of more than 4,000 rows, 4,000 drawn at random are taken (Letter, Satellite, Shuttle and spam). Columns of
numbers, of ordered categories and of at most two categories stay one column, -1 where a value is missing; other columns
of categories become one column for each category.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).parents[1] / "build" / "bench" / "tabular"
MOST_ROWS = 4000
SPLITS = 5

#: The sets of each package: name of the file, column of the labels, columns left out.
MLBENCH = {
    "BreastCancer": ("Class", ("Id",)),
    "DNA": ("Class", ()),
    "Glass": ("Type", ()),
    "HouseVotes84": ("Class", ()),
    "Ionosphere": ("Class", ()),
    "LetterRecognition": ("lettr", ()),
    "PimaIndiansDiabetes": ("diabetes", ()),
    "Satellite": ("classes", ()),
    "Shuttle": ("Class", ()),
    "Sonar": ("Class", ()),
    "Soybean": ("Class", ()),
    "Vehicle": ("Class", ()),
    "Vowel": ("Class", ()),
    "Zoo": ("type", ()),
}
KERNLAB: dict[str, tuple[str, tuple[str, ...]]] = {
    "musk": ("Class", ()),
    "promotergene": ("Class", ()),
    "spam": ("type", ()),
}
SKLEARN = ("breast_cancer", "digits", "iris", "wine")
NAMES = (*SKLEARN, *MLBENCH, *KERNLAB)
#: The numbers of columns of the artificial sets: the label is one column of random bits.
NEEDLES = (20, 100, 500, 2000)


def splits(labels: Any) -> Iterator[tuple[Any, Any]]:
    """The rows to learn from and the rows to test on, for each of the five splits: parts of a cross-validation, each
    class spread over them."""
    from sklearn.model_selection import StratifiedKFold

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # classes with fewer rows than parts
        yield from StratifiedKFold(SPLITS, shuffle=True, random_state=2026).split(labels, labels)


def load(name: str) -> tuple[Any, Any]:
    """Rows X (N, F) and labels (N,) of the set."""
    with np.load(FOLDER / f"{name}.npz") as file:
        return file["x"], file["y"]


def sampled(x: Any, y: Any) -> tuple[Any, Any]:
    """At most 4,000 rows."""
    rows = np.random.RandomState(2026).permutation(len(y))[:MOST_ROWS]
    return x[rows], y[rows]


def needle(columns: int) -> tuple[Any, Any]:
    """750 rows of random bits, one column of which is the label."""
    random = np.random.RandomState(columns)
    x = random.randint(0, 2, (750, columns))
    return x, x[:, random.randint(columns)]


def official_letter() -> tuple[Any, Any, Any, Any]:
    """Letter as it is usually split: the last 4,000 of its 20,000 rows are the test."""
    x, y = load("LetterRecognition-official")
    return x[:16000], y[:16000], x[16000:], y[16000:]


def _columns(frame: Any) -> Iterator[Any]:
    import pandas as pd

    for name in frame.columns:
        column = frame[name]
        categories = getattr(column.dtype, "categories", None)
        if categories is None:
            yield column.astype(float).fillna(-1).to_numpy()[:, None]
            continue
        numbers = pd.to_numeric(pd.Series(categories.astype(str)), errors="coerce")
        if not numbers.isna().any():
            yield pd.to_numeric(column.astype(object), errors="coerce").fillna(-1).to_numpy(float)[:, None]
        elif column.dtype.ordered or len(categories) <= 2:
            yield column.cat.codes.to_numpy()[:, None]
        else:
            yield column.astype(str).to_numpy()[:, None] == np.array(categories.astype(str))


def _read(path: Path, name: str, label: str, left_out: tuple[str, ...]) -> tuple[Any, Any]:
    import rdata

    frame = rdata.read_rda(path)[name]
    x = np.hstack([np.asarray(column, float) for column in _columns(frame.drop(columns=[label, *left_out]))])
    return x, frame[label].astype(str).to_numpy(str)


def main() -> None:
    from sklearn import datasets

    warnings.simplefilter("ignore")
    root = Path(sys.argv[1])
    FOLDER.mkdir(parents=True, exist_ok=True)
    found = {name: getattr(datasets, f"load_{name}")(return_X_y=True) for name in SKLEARN}
    for package, rows in (("mlbench", MLBENCH), ("kernlab", KERNLAB)):
        for name, (label, left_out) in rows.items():
            found[name] = _read(next(root.rglob(f"{package}/data/{name}.rda")), name, label, left_out)
    np.savez_compressed(
        FOLDER / "LetterRecognition-official.npz", **dict(zip("xy", found["LetterRecognition"], strict=True))
    )
    for name in NAMES:
        x, y = sampled(*found[name])
        np.savez_compressed(FOLDER / f"{name}.npz", x=x, y=y)
        print(f"{name}: {len(found[name][1])} rows, {len(y)} taken, {x.shape[1]} columns, {len(np.unique(y))} classes")


if __name__ == "__main__":
    main()
