"""Predictions of one row at a time from Python: compiled models of rdahw beside trees compiled by others.

    python bench/single_rows.py [--only NAME …] [--beside PEER …] [--peers PYTHON]

For each set (MNIST, and the 4,000 letters of bench/tabular_sets.py) a line of JSON for each predictor: microseconds of
processor time of a call with one row of float64, the best of several turns on one core, and the accuracy on the test
rows. Data, splits and core are the same for all. «Its function alone» is what was compiled, called by ctypes with the
address of a row, without the package's own code in Python. rdahw: ``predict_one`` before and after ``compile``. The
peers run in an environment of their own, by default that of ``make bench``, .venv-bench:

- LightGBM, 50 rounds, by its own ``predict``,
- that model compiled by tl2cgen (treelite) and by lleaves, by the ``predict`` of each,
- emlearn, of ExtraTreesClassifier: its function alone, as its Python starts a program for each call. It takes whole
  numbers of 16 bits, which are made before.

A peer that is not installed, or fails, is named with the reason.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from measure import microseconds, one_core

if __name__ == "__main__":
    one_core()  # before numpy is loaded

ROOT = Path(__file__).parents[1]
LETTERS = ROOT / "build" / "bench" / "tabular" / "LetterRecognition.npz"
#: So many rows are predicted one by one in a turn.
ROWS, TURNS = 300, 10
ROUNDS = 50
PEERS = ("lightgbm", "treelite", "lleaves", "emlearn")


class Parts(NamedTuple):
    """Numbers (N, F) float64 and classes (N,) to learn from, and to test."""

    x: Any
    y: Any
    test_x: Any
    test_y: Any


def mnist() -> Parts | str:
    from rdahw.data import load
    from rdahw.errors import UserError

    try:
        data = load("mnist")
    except UserError as error:
        return str(error)
    assert data.test is not None
    (x, y), (test_x, test_y) = (
        (p.features.reshape(len(p), -1).astype("f8"), p.labels) for p in (data.train, data.test)
    )
    return Parts(x, y, test_x, test_y)


def letters() -> Parts | str:
    import numpy as np
    from sklearn.model_selection import train_test_split

    if not LETTERS.exists():
        return "run bench/tabular_sets.py first"
    with np.load(LETTERS, allow_pickle=False) as held:
        x, y = (held[name] for name in held.files[:2])
    x, test_x, y, test_y = train_test_split(x.astype("f8"), y, test_size=0.25, random_state=0)
    return Parts(x, y, test_x, test_y)


class Set(NamedTuple):
    """The data, or why they are not there; and the options of each classifier of rdahw."""

    load: Callable[[], Parts | str]
    models: dict[str, dict[str, Any]]


_PIXELS = {"image_shape": (28, 28), "thresholds": [32]}
SETS = {
    "mnist": Set(
        mnist,
        {
            "ensemble, 256 tables of 6 inputs": {"tables": 256, "inputs": 6, "epochs": 15, **_PIXELS},
            "grown, 500 tables": {"model": "grown:tables=500", **_PIXELS},
        },
    ),
    "letters": Set(
        letters,
        {"as it is": {}, "ensemble, 256 tables": {"tables": 256}, "grown, 500 tables": {"model": "grown:tables=500"}},
    ),
}


def ours(parts: Parts, models: dict[str, dict[str, Any]]) -> Iterator[dict[str, Any]]:
    from rdahw import RDAClassifier

    rows = list(parts.test_x[:ROWS])
    for name, options in models.items():
        model = RDAClassifier(random_state=0, **options).fit(parts.x, parts.y)
        said = {"accuracy": float(model.score(parts.test_x, parts.test_y))}
        yield {"predictor": f"rdahw {name}: predict_one", "us": microseconds(model.predict_one, rows, TURNS), **said}
        wanted = model.predict(parts.test_x[:ROWS]).tolist()
        model.compile()
        different = sum(model.predict_one(row) != label for row, label in zip(rows, wanted, strict=True))
        us = microseconds(model.predict_one, rows, TURNS)
        yield {"predictor": f"rdahw {name}: predict_one, compiled", "us": us, **said, "different": int(different)}
        us = microseconds(model._compiled._class_of_row, [row.tobytes() for row in rows], TURNS)
        yield {"predictor": f"rdahw {name}: its function alone", "us": us, **said}


# -- in the environment of the peers -----------------------------------------------------------------------------------


class Trees:
    """LightGBM, and what is compiled from its model."""

    def __init__(self, parts: Parts, folder: Path) -> None:
        import lightgbm
        import numpy as np

        self.parts, self.folder, self.classes = parts, folder, int(parts.y.max()) + 1
        settings = {"objective": "multiclass", "num_class": self.classes, "num_threads": 1, "seed": 0, "verbosity": -1}
        self.booster = lightgbm.train(settings, lightgbm.Dataset(parts.x, parts.y), ROUNDS)
        self.file = folder / "model.txt"
        self.booster.save_model(self.file)
        self.rows = [np.ascontiguousarray(row[None]) for row in parts.test_x[:ROWS]]
        self.scores = np.zeros((1, self.classes))

    def said(self, predictor: str, call: Callable[[Any], Any], predict: Callable[[Any], Any]) -> dict[str, Any]:
        """call: with a row (1, F), gives the scores (1, classes). predict: those of many rows."""
        right = float((predict(self.parts.test_x).reshape(-1, self.classes).argmax(1) == self.parts.test_y).mean())
        wanted = self.booster.predict(self.parts.test_x[:ROWS], raw_score=True).argmax(1)
        different = sum(int(call(row).argmax() != label) for row, label in zip(self.rows, wanted, strict=True))
        us = microseconds(call, self.rows, TURNS)
        return {"predictor": predictor, "us": us, "accuracy": right, "different": different}

    def lightgbm(self) -> Iterator[dict[str, Any]]:
        def predict(x: Any) -> Any:
            return self.booster.predict(x, raw_score=True, num_threads=1)

        yield self.said("LightGBM", predict, predict)

    def treelite(self) -> Iterator[dict[str, Any]]:
        import ctypes

        import numpy as np
        import tl2cgen
        import treelite

        model = treelite.frontend.load_lightgbm_model(str(self.file))
        library = str(self.folder / "trees.so")
        started = time.perf_counter()
        tl2cgen.export_lib(model, toolchain="gcc", libpath=library, params={"parallel_comp": 16}, verbose=False)
        seconds = round(time.perf_counter() - started, 1)
        predictor = tl2cgen.Predictor(library, nthread=1)

        def predict(x: Any) -> Any:
            return predictor.predict(tl2cgen.DMatrix(x), pred_margin=True)

        yield {**self.said("tl2cgen", predict, predict), "compile_seconds": seconds}
        # The function takes an array of unions of a number and a mark of missing values, of which there are none.
        function = ctypes.CDLL(library).predict
        function.argtypes, function.restype = (ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p), None
        scores, at = self.scores, self.scores.ctypes.data
        addresses = {id(row): row.ctypes.data for row in self.rows}

        def alone(row: Any) -> Any:
            scores[:] = 0
            function(addresses[id(row)], 1, at)
            return scores

        yield self.said("tl2cgen: its function alone", alone, lambda x: np.asarray(predict(x)))

    def lleaves(self) -> Iterator[dict[str, Any]]:
        import lleaves

        model = lleaves.Model(model_file=str(self.file))
        started = time.perf_counter()
        model.compile()
        seconds = round(time.perf_counter() - started, 1)

        def predict(x: Any) -> Any:
            return model.predict(x, n_jobs=1)

        yield {**self.said("lleaves", predict, predict), "compile_seconds": seconds}
        import ctypes

        function, scores, at = model._c_entry_func, self.scores, ctypes.cast(self.scores.ctypes.data, model_pointer())
        addresses = {id(row): ctypes.cast(row.ctypes.data, model_pointer()) for row in self.rows}

        def alone(row: Any) -> Any:
            function(addresses[id(row)], at, 0, 1)
            return scores

        yield self.said("lleaves: its function alone", alone, predict)


def model_pointer() -> Any:
    import ctypes

    return ctypes.POINTER(ctypes.c_double)


def emlearn(parts: Parts, folder: Path) -> Iterator[dict[str, Any]]:
    """Its own ``predict`` starts a program for each call, so its C is compiled as a library here."""
    import ctypes

    import emlearn
    import numpy as np
    from sklearn.ensemble import ExtraTreesClassifier

    # Thresholds become whole numbers, so features are multiplied by what 16 bits have room for.
    scale = 64
    trees = ExtraTreesClassifier(50, max_leaf_nodes=1000, random_state=0).fit(scale * parts.x, parts.y)
    source, library = folder / "forest.c", folder / "forest.so"
    source.write_text(emlearn.convert(trees, method="inline", dtype="int16_t").save(name="forest"))
    flags = ["-O3", "-march=native", "-shared", "-fPIC", f"-I{emlearn.includedir}"]
    subprocess.run(["gcc", *flags, str(source), "-o", str(library), "-lm"], check=True, capture_output=True)
    function = ctypes.CDLL(str(library)).forest_predict
    function.argtypes, function.restype = (ctypes.c_void_p, ctypes.c_int32), ctypes.c_int32
    numbers = np.ascontiguousarray((scale * parts.test_x).astype(np.int16))
    addresses = [row.ctypes.data for row in numbers]

    def predict(address: int) -> int:
        return int(function(address, numbers.shape[1]))

    right = float((np.array(list(map(predict, addresses))) == parts.test_y).mean())
    us = microseconds(predict, addresses[:ROWS], TURNS)
    yield {"predictor": "emlearn, 50 trees: its function alone", "us": us, "accuracy": right}


def peers(file: Path, names: list[str]) -> None:
    """Print a line for each of these peers, on the data of ``file``."""
    import numpy as np

    warnings.simplefilter("ignore")
    with np.load(file) as held:
        parts = Parts(*(held[name] for name in Parts._fields))
    classes, numbers = np.unique(parts.y, return_inverse=True)
    parts = parts._replace(y=numbers, test_y=np.searchsorted(classes, parts.test_y))
    with tempfile.TemporaryDirectory() as folder:
        trees: list[Trees] = []

        def of_trees(name: str) -> Callable[[], Iterator[dict[str, Any]]]:
            def run() -> Iterator[dict[str, Any]]:
                if not trees:
                    trees.append(Trees(parts, Path(folder)))
                yield from getattr(trees[0], name)()

            return run

        known = {**{name: of_trees(name) for name in PEERS}, "emlearn": lambda: emlearn(parts, Path(folder))}
        for name in names:
            try:
                for line in known[name]():
                    print(json.dumps(line), flush=True)
            except Exception as error:  # whatever a peer raises
                print(json.dumps({"predictor": name, "missing": f"{type(error).__name__}: {error}"[:300]}), flush=True)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=SETS, default=list(SETS), metavar="NAME")
    parser.add_argument("--beside", nargs="+", choices=PEERS, default=list(PEERS), metavar="PEER")
    parser.add_argument("--peers", type=Path, default=ROOT / ".venv-bench" / "bin" / "python", metavar="PYTHON")
    parser.add_argument("--in-peers", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.in_peers:
        peers(given.in_peers, given.beside)
        return
    import numpy as np

    for name in given.only:
        parts = SETS[name].load()
        if isinstance(parts, str):
            print(json.dumps({"set": name, "left_out": parts}), flush=True)
            continue
        for line in ours(parts, SETS[name].models):
            print(json.dumps({"set": name, **line}), flush=True)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "parts.npz"
            np.savez(file, **parts._asdict())
            command = [str(given.peers), __file__, "--in-peers", str(file), "--beside", *given.beside]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
                assert process.stdout is not None
                for text in process.stdout:
                    if text.startswith('{"'):  # packages print there, too
                        print(json.dumps({"set": name, **json.loads(text)}), flush=True)


if __name__ == "__main__":
    main()
