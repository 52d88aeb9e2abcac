"""What the table ensemble learns, and how fast: accuracy over seeds, seconds an epoch, seconds to an accuracy.

    python bench/ensemble.py [--only NAME …] [--seeds 5] [--held-out] [--json FILE]

Each setting is trained for its number of epochs over all training examples and scored on the test examples after the
last one; settings were chosen on the last 10,000 training examples (``--held-out`` trains on the others and scores on
these), never on the test examples. Seconds are of the training loop on one core, with compiled kernels, in processor
time and in elapsed time; the loop includes shuffling, moving, addressing and dropout, but not the binarising of the
data. Predictions are of packed examples, in processor time.

Seconds to 95, 97 and 98 %: training on the first 50,000 examples stops for a look at the last 10,000 training examples
after every 1,000 examples (the look is not counted), and the level is reached at the first look at or above it. The
same races are run beside peers by run.py, which measures them in the same way.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from measure import LEVELS, Look, pruned, race, reached

from rdahw.data import load
from rdahw.data.binarise import Binariser
from rdahw.data.images import Image
from rdahw.families.ensemble.spec import EnsembleSpec
from rdahw.sim.ensemble import CompiledEnsemble
from rdahw.training import Examples, Schedule, Training


class Setting(NamedTuple):
    data: str
    rule: str
    epochs: int
    spec: Mapping[str, Any]


SETTINGS = {
    "256x6": Setting("mnist", "threshold=32", 15, {}),
    "128x7": Setting("mnist", "threshold=32", 15, {"tables": 128, "inputs": 7}),
    "boolean": Setting(
        "mnist",
        "threshold=32",
        30,
        {"tables": 1024, "inputs": 8, "counter": 8, "margin": 40, "shift": 1, "sign": True, "wiring": "patch10inset2"},
    ),
    "best": Setting(
        "mnist",
        "threshold=32,96,160",
        30,
        {"tables": 2048, "inputs": 12, "counter": 8, "margin": 1000, "shift": 1, "wiring": "patch10inset2"},
    ),
    "fashion": Setting(
        "fashion-mnist",
        "threshold=4,10,30,80,120,160,190,220",
        20,
        {"tables": 4096, "inputs": 8, "counter": 8, "margin": 1600, "dropout": 0.75, "wiring": "patch5"},
    ),
    "fashion-256x6": Setting("fashion-mnist", "threshold=16,48,96,160", 15, {"dropout": 0.5, "wiring": "patch8"}),
}
RACES = {
    "256x6": Setting("mnist", "threshold=32", 15, {}),
    "512x7": Setting("mnist", "threshold=32", 5, {"tables": 512, "inputs": 7, "counter": 8, "margin": 200}),
    "1024x8": Setting("mnist", "threshold=32", 5, {"tables": 1024, "inputs": 8, "counter": 8, "margin": 400}),
}


def prepare(setting: Setting, held_out: bool) -> tuple[Any, Any, Any, Any, Image]:
    """Bits and labels to train on and to score on, and the form of an example."""
    data = load(setting.data)
    if held_out:
        data, test = data.hold_out(10_000)
    else:
        assert data.test is not None
        test = data.test
    binariser = Binariser.fit(setting.rule, data.train.features, data.columns)
    assert data.image_shape is not None
    image = Image(binariser.planes, *data.image_shape)
    train = data.train
    return binariser.transform(train.features), train.labels, binariser.transform(test.features), test.labels, image


def make(setting: Setting, seed: int, x: Any, image: Image) -> EnsembleSpec:
    given = {"wiring": "patch8inset2", **setting.spec}
    return EnsembleSpec(input_bits=x.shape[1], classes=10, image=image, seed=seed, **given)


def warm(spec: EnsembleSpec, x: Any, labels: Any) -> None:
    """Compile all kernels."""
    engine = CompiledEnsemble(spec)
    for _ in Training(engine, Schedule(updates=100), Examples(x[:100], labels[:100])).run():
        engine.classify(engine.pack(x[:100]))


def accuracies(name: str, seeds: int, held_out: bool) -> dict[str, Any]:
    """Train one setting with several seeds."""
    setting = SETTINGS[name]
    x, labels, test_x, test_labels, image = prepare(setting, held_out)
    results: dict[str, Any] = {"accuracy": [], "first": [], "cpu": [], "elapsed": [], "predictions": []}
    for seed in range(seeds):
        spec = make(setting, seed, x, image)
        warm(spec, x, labels)
        engine = CompiledEnsemble(spec)
        test = engine.pack(test_x)
        schedule = Schedule(epochs=setting.epochs, shuffle=True, seed=seed)
        training = Training(engine, schedule, Examples(x, labels))
        cpu, elapsed = 0.0, 0.0
        start = time.process_time(), time.perf_counter()
        for state in training.run():
            if (state.epoch, state.position) == (0, len(x)):
                cpu, elapsed = time.process_time() - start[0], time.perf_counter() - start[1]
                results["first"].append(float((engine.classify(test) == test_labels).mean()))
                start = time.process_time() - cpu, time.perf_counter() - elapsed
        results["cpu"].append((time.process_time() - start[0]) / setting.epochs)
        results["elapsed"].append((time.perf_counter() - start[1]) / setting.epochs)
        start = time.process_time(), time.perf_counter()
        results["accuracy"].append(float((engine.classify(test) == test_labels).mean()))
        results["predictions"].append(len(test) / (time.process_time() - start[0]))
    spec_json = make(setting, 0, x, image).to_json()
    return {
        "setting": name,
        "data": setting.data,
        "rule": setting.rule,
        "epochs": setting.epochs,
        "spec": spec_json,
        **results,
    }


def race_looks(name: str, seed: int, budget: float) -> list[Look]:
    """Looks after every 1,000 examples; on the clock is the whole loop, from the order of the examples on."""
    setting = RACES[name]
    x, labels, held_x, held_labels, image = prepare(setting, held_out=True)
    spec = make(setting, seed, x, image)
    warm(spec, x, labels)
    engine = CompiledEnsemble(spec)
    held = engine.pack(held_x)
    schedule = Schedule(epochs=10_000, shuffle=True, seed=seed)
    training = Training(engine, schedule, Examples(x, labels))
    training.prepare(training.train)  # not on the clock, as no learner's features are
    run, done = training.run(1000), 0

    def step() -> int:
        nonlocal done
        before, done = done, next(run).examples
        return done - before

    return race(iter(lambda: step, None), lambda: float((engine.classify(held) == held_labels).mean()), budget)


def main() -> None:
    """Run, print a table, and write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", help="settings, of " + ", ".join([*SETTINGS, "race"]))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--held-out", action="store_true", help="score on held-out training examples")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--budget", type=float, default=3.0, help="seconds of training in a race (default 3)")
    options = parser.parse_args()
    report: dict[str, Any] = {"machine": platform.processor() or platform.machine(), "accuracy": [], "race": []}

    print(
        f"{'setting':14} {'epochs':>6} {'accuracy % (mean, range)':>31} {'1 epoch':>8} "
        f"{'cpu s/epoch':>12} {'s/epoch':>8} {'predictions/s':>14}"
    )
    for name in SETTINGS:
        if options.only is None or name in options.only:
            result = accuracies(name, options.seeds, options.held_out)
            report["accuracy"].append(result)
            percent = [100 * a for a in result["accuracy"]]
            spread = f"{statistics.mean(percent):.2f} ({min(percent):.2f} to {max(percent):.2f})"
            print(
                f"{name:14} {result['epochs']:6} {spread:>31} {100 * statistics.mean(result['first']):8.2f} "
                f"{statistics.mean(result['cpu']):12.3f} {statistics.mean(result['elapsed']):8.3f} "
                f"{statistics.median(result['predictions']):14,.0f}",
                flush=True,
            )
    if options.only is None or "race" in options.only:
        print("\nseconds to a level on 10,000 held-out training examples (median of seeds)")
        for name in RACES:
            runs = [race_looks(name, seed, options.budget) for seed in range(options.seeds)]
            report["race"].append({"setting": name, "budget": options.budget, "runs": [pruned(r) for r in runs]})
            for level in LEVELS:
                done = [seconds for looks in runs if (seconds := reached(looks, level)) is not None]
                text = f"{statistics.median(done):.3f} s" if done else "not reached"
                print(f"{name:14} {level:4.0%}  {text}, {len(done)} of {len(runs)} seeds", flush=True)
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
