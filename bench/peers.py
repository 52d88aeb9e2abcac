"""The learners that rdahw is measured beside; runs in their environment, one peer a process.

    .venv-bench/bin/python bench/peers.py NAME --data FILE.npz --out FILE.json [--budget S] [--seed N] [--predict]
    .venv-bench/bin/python bench/peers.py versions --out FILE.json

The file has x, y (training), held_x, held_y and test_x, test_y: pixels (N, 784) uint8 and classes (N,). What is on the
clock is the peer's own training; choosing, ordering and converting the examples of a step is done before it starts.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import importlib.metadata
import importlib.util
import json
import subprocess
import sys
import tempfile
import time
import types
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from measure import Look, Turns, one_core, pruned, race

ROUNDS, SECONDS = 50, 20.0  # at most, of the turns of a predictor


class Data(NamedTuple):
    x: Any
    y: Any
    held_x: Any
    held_y: Any
    test_x: Any
    test_y: Any

    def converted(self, features: Callable[[Any], Any], labels: str = "int64") -> Data:
        """All examples converted once, before any clock runs."""
        return Data(*(a.astype(labels) if i % 2 else features(a) for i, a in enumerate(self)))

    def chunks(self, seed: int, size: int) -> Iterator[tuple[Any, Any]]:
        """Chunks of the training examples, in a new order in each epoch, without end."""
        import numpy as np

        random = np.random.default_rng(seed)
        while True:
            order = random.permutation(len(self.x))
            for start in range(0, len(order), size):
                rows = order[start : start + size]
                yield self.x[rows], self.y[rows]


class Learner:
    """One peer, on ``data`` as it wants them; looked at after every ``chunk`` examples unless it says otherwise."""

    chunk = 1000
    data: Data
    seed: int

    def steps(self) -> Iterator[Callable[[], int]]:
        for x, y in self.data.chunks(self.seed, self.chunk):

            def step(x: Any = x, y: Any = y) -> int:
                self.train(x, y)
                return len(y)

            yield step

    def race(self, budget: float) -> list[Look]:
        """Looks at the held-out examples, until ``budget`` seconds of training are used up."""
        held_x, held_y = self.data.held_x, self.data.held_y
        return race(self.steps(), lambda: float((self.predict(held_x) == held_y).mean()), budget)

    def train(self, x: Any, y: Any) -> None:
        raise NotImplementedError

    def predict(self, x: Any) -> Any:
        raise NotImplementedError

    def predictors(self) -> dict[str, Callable[[], Any]]:
        """Each gives the classes of all test examples, from the form that suits it best."""
        return {"": lambda: self.predict(self.data.test_x)}


def pixels_over_255(x: Any) -> Any:
    import numpy as np

    return x.astype(np.float32) / np.float32(255)


class SklearnLearner(Learner):
    model: Any

    def __init__(self, data: Data, seed: int) -> None:
        self.data, self.seed = data.converted(pixels_over_255), seed
        warnings.simplefilter("ignore")  # that a part of a fit has not converged is meant

    def predict(self, x: Any) -> Any:
        return self.model.predict(x)


class Mlp(SklearnLearner):
    def __init__(self, data: Data, seed: int) -> None:
        from sklearn.neural_network import MLPClassifier

        super().__init__(data, seed)
        self.model = MLPClassifier((128,), learning_rate_init=0.003, random_state=seed)

    def train(self, x: Any, y: Any) -> None:
        self.model.partial_fit(x, y, classes=range(10))


class ExtraTrees(SklearnLearner):
    def __init__(self, data: Data, seed: int) -> None:
        from sklearn.ensemble import ExtraTreesClassifier

        super().__init__(data, seed)
        self.model = ExtraTreesClassifier(0, warm_start=True, random_state=seed)

    def steps(self) -> Iterator[Callable[[], int]]:
        while True:
            yield self.add_a_tree

    def add_a_tree(self) -> int:
        self.model.n_estimators += 1
        self.model.fit(self.data.x, self.data.y)
        return len(self.data.y)


class LogisticRegression(SklearnLearner):
    def __init__(self, data: Data, seed: int) -> None:
        from sklearn.linear_model import LogisticRegression

        super().__init__(data, seed)
        self.model = LogisticRegression(solver="saga", max_iter=1, warm_start=True, random_state=seed)

    def steps(self) -> Iterator[Callable[[], int]]:
        while True:
            yield self.one_epoch

    def one_epoch(self) -> int:
        self.model.fit(self.data.x, self.data.y)
        return len(self.data.y)


class LightGbm(Learner):
    """A step is a round of boosting, a tree for each class, by all examples. Making the booster sorts the pixels into
    bins, before any clock runs."""

    def __init__(self, data: Data, seed: int) -> None:
        import lightgbm
        import numpy as np

        self.data, self.seed = data.converted(lambda x: x.astype(np.float32)), seed
        settings = {"objective": "multiclass", "num_class": 10, "num_threads": 1, "seed": seed, "verbosity": -1}
        self.model = lightgbm.Booster(settings, lightgbm.Dataset(self.data.x, self.data.y))
        self.done = False  # no tree can be split any more

    def steps(self) -> Iterator[Callable[[], int]]:
        while not self.done:
            yield self.one_round

    def one_round(self) -> int:
        self.done = self.model.update()
        return len(self.data.y)

    def predict(self, x: Any) -> Any:
        """By the scores: the probabilities have the same order and take longer."""
        return self.model.predict(x, raw_score=True).argmax(-1)


class CatBoost(Learner):
    """A look is after a round of boosting by all examples. Going on with a model costs more than a round, so all rounds
    are one call, timed by its callback, and the looks are taken afterwards, with the trees that there were. Sorting the
    pixels into bins is done before any clock runs."""

    def __init__(self, data: Data, seed: int) -> None:
        import catboost
        import numpy as np

        self.data, self.seed = data.converted(lambda x: x.astype(np.float32)), seed
        self.examples = catboost.Pool(self.data.x, self.data.y)
        self.examples.quantize()
        self.model = catboost.CatBoostClassifier(
            loss_function="MultiClass", thread_count=1, random_seed=seed, verbose=False, allow_writing_files=False
        )

    def race(self, budget: float) -> list[Look]:
        seconds: list[float] = []

        def after_iteration(info: Any) -> bool:
            seconds.append(time.process_time() - started)
            return seconds[-1] < budget

        started = time.process_time()
        self.model.fit(self.examples, callbacks=[types.SimpleNamespace(after_iteration=after_iteration)])
        held_x, held_y, count = self.data.held_x, self.data.held_y, len(self.data.y)
        stages = self.model.staged_predict(held_x, prediction_type="Class", thread_count=1)
        right = [float((classes.ravel() == held_y).mean()) for classes in stages]
        return [Look(s, i * count, r) for i, (s, r) in enumerate(zip(seconds, right, strict=True), 1)]

    def predict(self, x: Any) -> Any:
        return self.model.predict(x, prediction_type="Class", thread_count=1).ravel()


class GreenTsetlin(Learner):
    chunk = 5000
    threshold, clauses, target, literals = 75, 1000, 1000, 20

    def __init__(self, data: Data, seed: int) -> None:
        import green_tsetlin
        import numpy as np
        from green_tsetlin.backend import impl

        self.data = data.converted(lambda x: (x > self.threshold).astype(np.uint8), "uint32")
        self.seed = seed
        # Their Trainer, taken apart so that it stops within an epoch.
        self.machine = green_tsetlin.TsetlinMachine(
            784, self.clauses, 10, s=10.0, threshold=self.target, literal_budget=self.literals
        )
        self.machine.set_num_clause_blocks(1)
        self.examples, feedback = impl["dense_input"](784), impl["feedback"](10, self.target, seed + 1)
        blocks = self.machine.construct_clause_blocks()
        self.kept = feedback, blocks  # the C++ objects hold no references to each other
        for block in blocks:
            block.set_feedback(feedback)
            block.set_input_block(self.examples)
        self.allocated = green_tsetlin.allocate_clause_blocks(blocks, seed=seed + 1)  # 0 means none
        self.allocated.__enter__()  # for the life of the process
        self.executor = impl["single_executor"](self.examples, blocks, feedback, 1, seed + 1)

    def train(self, x: Any, y: Any) -> None:
        self.examples.set_data(x, y)
        self.executor.train_epoch()

    def predict(self, x: Any) -> Any:
        import numpy as np

        labels = np.zeros(len(x), np.uint32)
        self.examples.set_data(x, labels)
        self.executor.eval_predict(labels)
        return labels

    def predictors(self) -> dict[str, Callable[[], Any]]:
        import green_tsetlin
        import numpy as np

        rules = green_tsetlin.RuleSet(is_multi_label=False)
        rules.compile_from_dense_state(self.machine._load_state_from_backend(only_return_copy=True))
        predictor, x = green_tsetlin.Predictor.from_ruleset(rules), self.data.test_x
        found = {
            "all examples in the trainer's C++": lambda: self.predict(x),
            "Predictor, one example a call": lambda: [predictor.predict(row) for row in x],
        }
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            header = scratch() / "green.h"
            predictor.export_as_program(str(header), exporter="simple_c")
            loop = (
                "void run(uint8_t *x, int *y, long n)\n{ for (long i = 0; i < n; i++) y[i] = predict_tm(x + 784 * i); }"
            )
            library = compiled(f'#include "{header}"\n{loop}\n')
            y = np.empty(len(x), np.int32)

            def run() -> Any:
                library.run(ctypes.c_void_p(x.ctypes.data), ctypes.c_void_p(y.ctypes.data), ctypes.c_long(len(x)))
                return y

            found["exported to C, gcc -O3"] = run
        return found


class Tmu(Learner):
    chunk = 5000

    def __init__(self, data: Data, seed: int) -> None:
        import numpy as np
        from tmu.models.classification.coalesced_classifier import TMCoalescedClassifier

        self.data, self.seed = data.converted(lambda x: (x > 75).astype(np.uint32), "uint32"), seed
        self.model = TMCoalescedClassifier(
            2000, 5000, 10.0, max_included_literals=32, weighted_clauses=True, platform="CPU", seed=seed + 1
        )

    def train(self, x: Any, y: Any) -> None:
        self.model.fit(x, y)

    def predict(self, x: Any) -> Any:
        return self.model.predict(x)


class Torchlogix(Learner):
    chunk, batch = 4000, 100

    def __init__(self, data: Data, seed: int) -> None:
        import numpy as np
        import torch

        layers = torchlogix().layers
        torch.set_num_threads(1)
        torch.manual_seed(seed)
        self.torch, self.seed = torch, seed
        self.data = data.converted(lambda x: (x > 0).astype(np.float32))
        wires = [784, *[8000] * 5]
        gates = [
            layers.LogicDense(a, b, parametrization_kwargs={"weight_init": "random"})
            for a, b in zip(wires, wires[1:], strict=False)
        ]
        self.model = torch.nn.Sequential(*gates, layers.GroupSum(10, 10.0))
        self.optimiser = torch.optim.Adam(self.model.parameters(), lr=0.01)

    def train(self, x: Any, y: Any) -> None:
        inputs, labels = self.torch.from_numpy(x), self.torch.from_numpy(y)
        loss = self.torch.nn.CrossEntropyLoss()
        self.model.train()
        for start in range(0, len(y), self.batch):
            part = slice(start, start + self.batch)
            self.optimiser.zero_grad()
            loss(self.model(inputs[part]), labels[part]).backward()
            self.optimiser.step()

    def predict(self, x: Any) -> Any:
        """By the gates themselves, not by their relaxed forms."""
        self.model.eval()
        with self.torch.no_grad():
            parts = [self.model(self.torch.from_numpy(x[i : i + 500])).argmax(-1) for i in range(0, len(x), 500)]
        return self.torch.cat(parts).numpy()

    def predictors(self) -> dict[str, Callable[[], Any]]:
        import numpy as np

        circuit = torchlogix().Circuit.from_model(self.model, [784])
        circuit.simplify()
        x = self.data.test_x.astype(bool)
        count = len(x) // 64 * 64
        words = np.packbits(x[:count].reshape(-1, 64, 784), axis=1, bitorder="little")
        words = np.ascontiguousarray(words.swapaxes(1, 2)).view(np.uint64)  # (blocks, 784, 1)
        library = compiled(circuit.get_c_code(pack_bits=64))  # some minutes
        sums = np.empty((count, 10), np.float32)

        def run() -> Any:
            library.circuit_bench(
                ctypes.c_void_p(words.ctypes.data), ctypes.c_void_p(sums.ctypes.data), ctypes.c_int(len(words))
            )
            return sums.argmax(-1)

        return {f"{len(circuit.gates)} gates as C, 64 examples a word, gcc -O3, from packed bits": run}


def torchlogix() -> Any:
    """The package. Its circuit.py has one f-string inside of another that only Python 3.12 and newer read."""
    name = "torchlogix.circuit"
    folder = importlib.util.find_spec("torchlogix")
    if sys.version_info < (3, 12) and name not in sys.modules and folder is not None:
        assert folder.origin is not None
        file = Path(folder.origin).with_name("circuit.py")
        outer, inner = file.read_text().split('{"" if pack_bits is None else f"""')
        inner = inner.replace('}}"""}"""', "}}'''}\"\"\"", 1)
        module = types.ModuleType(name)
        sys.modules[name] = module
        exec(compile(f"{outer}{{\"\" if pack_bits is None else f'''{inner}", str(file), "exec"), module.__dict__)
    package = importlib.import_module("torchlogix")
    return package


def scratch() -> Path:
    return Path(tempfile.mkdtemp())


def compiled(source: str) -> Any:
    """A C program as a library, as fast as gcc makes it."""
    file = scratch() / "predictor.c"
    file.write_text(source)
    library = file.with_suffix(".so")
    options = ["-O3", "-march=native", "-w", "-shared", "-fPIC"]
    subprocess.run(["gcc", *options, "-o", str(library), str(file)], check=True)
    return ctypes.CDLL(str(library))


class Peer(NamedTuple):
    package: str
    label: str
    settings: str
    make: Callable[[Data, int], Learner]
    budget: float  # seconds
    seeds: int


PEERS = {
    "mlp": Peer(
        "scikit-learn",
        "scikit-learn MLPClassifier",
        "128 hidden units, Adam at 0.003, partial_fit on every 1,000 examples",
        Mlp,
        15,
        2,
    ),
    "extra-trees": Peer(
        "scikit-learn",
        "scikit-learn ExtraTreesClassifier",
        "defaults, one more tree a step (warm_start)",
        ExtraTrees,
        15,
        2,
    ),
    "logistic": Peer(
        "scikit-learn",
        "scikit-learn LogisticRegression",
        "saga, one more epoch a step (warm_start)",
        LogisticRegression,
        10,
        1,
    ),
    "lightgbm": Peer(
        "lightgbm",
        "LightGBM",
        "defaults (31 leaves, learning rate 0.1), multiclass, one thread, one more round a step; sorting the pixels "
        "into its bins is not counted",
        LightGbm,
        120,
        1,
    ),
    "catboost": Peer(
        "catboost",
        "CatBoost",
        "defaults (symmetric trees of depth 6, at most 1,000 rounds), multiclass, one thread; sorting the pixels into "
        "its bins is not counted",
        CatBoost,
        120,
        1,
    ),
    "green_tsetlin": Peer(
        "green_tsetlin",
        "green_tsetlin",
        "1,000 clauses, s 10, T 1,000, 20 literals, pixels > 75 (its own MNIST programs), stopped every 5,000 examples",
        GreenTsetlin,
        45,
        1,
    ),
    "tmu": Peer(
        "tmu",
        "tmu TMCoalescedClassifier",
        "2,000 weighted clauses, T 5,000, s 10, 32 literals, pixels > 75 (its MNIST demo), stopped every "
        "5,000 examples",
        Tmu,
        90,
        1,
    ),
    "torchlogix": Peer(
        "torchlogix",
        "torchlogix",
        "5 layers of 8,000 gates, tau 10, Adam at 0.01, batches of 100, pixels > 0 (its DlgnMnistSmall, random "
        "start as in difflogic), stopped every 4,000 examples",
        Torchlogix,
        240,
        1,
    ),
}
PACKAGES = ("numpy", "scikit-learn", "lightgbm", "catboost", "green_tsetlin", "tmu", "torch", "torchlogix")


def versions() -> dict[str, str | None]:
    found: dict[str, str | None] = {"python": sys.version.split()[0]}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    return found


def measure(peer: Peer, data: Data, seed: int, budget: float, predict: bool) -> dict[str, Any]:
    learner = peer.make(data, seed)
    result: dict[str, Any] = {"looks": pruned(learner.race(budget))}
    if predict:
        turns, right = Turns(), {}
        for name, run in learner.predictors().items():
            classes = run()
            right[name] = float((classes == learner.data.test_y[: len(classes)]).mean())
            turns.add(name, len(classes), run)
        turns.take(ROUNDS, SECONDS)
        result["predict"] = {name: {**row, "test_accuracy": right[name]} for name, row in turns.results().items()}
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=[*PEERS, "versions"])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--budget", type=float)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--predict", action="store_true", help="measure predictions as well")
    options = parser.parse_args()
    if options.name == "versions":
        result: dict[str, Any] = versions()
    else:
        one_core()
        import numpy as np

        peer = PEERS[options.name]
        with np.load(options.data) as file:
            data = Data(*(file[name] for name in Data._fields))
        result = measure(peer, data, options.seed, options.budget or peer.budget, options.predict)
    options.out.write_text(json.dumps(result))


if __name__ == "__main__":
    main()
