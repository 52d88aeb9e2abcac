"""RDAClassifier on public tables, beside other classifiers: accuracy on the test parts, and time.

    python bench/tabular.py [--only tables|needles|letter …] [--classifiers NAME …] [--json FILE]

The tables and their five splits are those of ``bench/tabular_sets.py``, which has to be run before; LightGBM and
CatBoost are installed by ``pip install lightgbm catboost``. ``auto`` is RDAClassifier(model="auto"), ``default``
RDAClassifier(). Accuracies are means over the splits; seconds are processor seconds of one fit and its predictions on
one thread, the mean over the splits. Every result is written to the file of --json (default:
build/bench/tabular/results.json) when it is there, and what the file has is not measured again.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from measure import one_core

if __name__ == "__main__":
    one_core()

import tabular_sets
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier

from rdahw import RDAClassifier

Split = tuple[Any, Any, Any, Any]


def _lightgbm() -> Any:
    from lightgbm import LGBMClassifier

    return LGBMClassifier(n_jobs=1, random_state=0, verbose=-1)


def _catboost() -> Any:
    from catboost import CatBoostClassifier

    return CatBoostClassifier(thread_count=1, random_seed=0, verbose=False, allow_writing_files=False)


CLASSIFIERS: dict[str, Callable[[], Any]] = {
    "auto": lambda: RDAClassifier(model="auto"),
    "default": RDAClassifier,
    "ExtraTrees(300)": lambda: ExtraTreesClassifier(300, random_state=0),
    "HistGradientBoosting": lambda: HistGradientBoostingClassifier(random_state=0),
    "LightGBM": _lightgbm,
    "CatBoost": _catboost,
}


def _splits(x: Any, y: Any) -> list[Split]:
    y = np.unique(y, return_inverse=True)[1]
    return [(x[train], y[train], x[test], y[test]) for train, test in tabular_sets.splits(y)]


def _letter() -> list[Split]:
    x, y, test_x, test_y = tabular_sets.official_letter()
    return [(x, np.unique(y, return_inverse=True)[1], test_x, np.unique(test_y, return_inverse=True)[1])]


#: The sections: for each row of the table, its name and what gives its splits.
SECTIONS: dict[str, dict[str, Callable[[], list[Split]]]] = {
    "tables": {name: lambda name=name: _splits(*tabular_sets.load(name)) for name in tabular_sets.NAMES},
    "needles": {f"1 of {n} columns": lambda n=n: _splits(*tabular_sets.needle(n)) for n in tabular_sets.NEEDLES},
    "letter": {"Letter, official order": _letter},
}


def measure(make: Callable[[], Any], splits: list[Split]) -> dict[str, float]:
    """The accuracy in percent and the seconds."""
    right, count, started = [], len(splits), time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for x, y, test_x, test_y in splits:
            predicted = np.ravel(make().fit(x, y).predict(test_x))  # CatBoost predicts a column
            right.append(100 * float((predicted == test_y).mean()))
    return {"accuracy": float(np.mean(right)), "seconds": (time.process_time() - started) / count}


def lines(section: str, results: dict[str, Any]) -> Iterator[str]:
    """The rows of the section as a table of Markdown: accuracy, and the seconds in brackets."""
    yield f"| {section} | {' | '.join(CLASSIFIERS)} |"
    yield "|---" * (1 + len(CLASSIFIERS)) + "|"
    rows = {name: results[name] for name in SECTIONS[section] if name in results}
    for name, row in rows.items():
        yield f"| {name} | {' | '.join(_cell(row.get(c)) for c in CLASSIFIERS)} |"
    if len(rows) > 1:
        yield f"| mean | {' | '.join(_cell(_mean([row.get(c) for row in rows.values()])) for c in CLASSIFIERS)} |"


def _mean(cells: list[Any]) -> Any:
    """The mean of the cells, if there are all of them."""
    return None if None in cells else {k: np.mean([cell[k] for cell in cells]) for k in ("accuracy", "seconds")}


def _cell(row: Any) -> str:
    return "" if row is None else f"{row['accuracy']:.1f} ({row['seconds']:.2g})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(SECTIONS), default=list(SECTIONS))
    parser.add_argument("--classifiers", nargs="+", choices=list(CLASSIFIERS), default=list(CLASSIFIERS))
    parser.add_argument("--json", type=Path, default=tabular_sets.FOLDER / "results.json")
    options = parser.parse_args()
    results: dict[str, dict[str, Any]] = json.loads(options.json.read_text()) if options.json.exists() else {}
    for classifier in options.classifiers:  # compiles what is compiled at first use
        measure(CLASSIFIERS[classifier], _splits(*tabular_sets.needle(2))[:1])
    for section in options.only:
        for name, read in SECTIONS[section].items():
            splits, row = read(), results.setdefault(name, {})
            for classifier in options.classifiers:
                if classifier not in row:
                    row[classifier] = measure(CLASSIFIERS[classifier], splits)
                    options.json.write_text(json.dumps(results, indent=1))
        print(*lines(section, results), sep="\n", flush=True)


if __name__ == "__main__":
    main()
