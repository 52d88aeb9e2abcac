"""Training in shards, and merged models, beside one training on all examples: MNIST, one bit a pixel.

    python bench/shards.py [--seeds 5] [--held-out] [--json FILE]

256 x 6 tables, 15 epochs. Rows: one training; 4 shards (rdahw train --shards 4); four models, each trained on a quarter
of the training images alone and merged after every epoch (rdahw merge --mean, and rdahw train --start); and four models
with counters of 8 bits, each trained for 60 epochs on its quarter, which are as many examples as 15 epochs of all, and
merged once at the end (rdahw merge, without and with --mean). The accuracy is that on the test images. ``--held-out``
trains on the first 50,000 training images and scores on the other 10,000, also with rounds of other lengths; the
settings were chosen by it.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import rdahw.sim.shards
from rdahw.data import load
from rdahw.data.binarise import Binariser
from rdahw.data.images import Image
from rdahw.families.ensemble.spec import EnsembleSpec
from rdahw.merging import merge_states
from rdahw.sim.engines import SoftwareEngine, make_engine
from rdahw.sim.shards import ROUND, ShardedEngine
from rdahw.state import State
from rdahw.training import Engine, Examples, Schedule, Training

EPOCHS, PARTS = 15, 4


def examples(held_out: bool) -> tuple[Examples, Examples]:
    data = load("mnist")
    binariser = Binariser.fit("threshold=32", data.train.features, data.columns, data.feature_names, data.image_shape)
    assert data.test is not None
    train, test = (Examples(binariser.pack(part.features), part.labels) for part in (data.train, data.test))
    return (train.take(slice(50_000)), train.take(slice(50_000, None))) if held_out else (train, test)


def learn(engine: Engine, train: Examples, seed: int, epochs: int = EPOCHS, start: State | None = None) -> State:
    for _ in Training(engine, Schedule(epochs=epochs, shuffle=True, seed=seed), train, start=start).run():
        pass
    return engine.state


def make(seed: int, **options: Any) -> SoftwareEngine:
    spec = EnsembleSpec(input_bits=784, classes=10, wiring="patch8inset2", image=Image(1, 28, 28), seed=seed, **options)
    return make_engine(spec)


def accuracy(engine: Any, test: Examples) -> float:
    return 100 * float((engine.predict(engine.prepare(test)) == test.labels).mean())


def alone(train: Examples, test: Examples, seed: int, **options: Any) -> float:
    engine = make(seed, **options)
    learn(engine, train, seed)
    return accuracy(engine, test)


def sharded(train: Examples, test: Examples, seed: int, length: int) -> float:
    rdahw.sim.shards.ROUND = length
    inner = make(seed)
    engine = ShardedEngine(inner.spec, inner, PARTS)
    learn(engine, train, seed)
    return accuracy(engine, test)


def merged_often(parts: list[Examples], test: Examples, seed: int) -> float:
    engine = make(seed)
    state: State = engine.spec.initial_state()
    for _ in range(EPOCHS):
        states = [learn(engine, part, seed, 1, state) for part in parts]
        state = merge_states(engine.spec, state, states, mean=True)
    engine.state = state
    return accuracy(engine, test)


def merged_once(parts: list[Examples], test: Examples, seed: int) -> dict[str, float]:
    engine = make(seed, counter=8)
    states = [learn(engine, part, seed, EPOCHS * PARTS) for part in parts]
    found = {"8 bits, a quarter of the images": accuracy(engine, test)}
    for name, mean in (("8 bits, merged once", False), ("8 bits, merged once, --mean", True)):
        engine.state = merge_states(engine.spec, engine.spec.initial_state(), states, mean=mean)
        found[name] = accuracy(engine, test)
    return found


def rows(train: Examples, test: Examples, seed: int, held_out: bool) -> Iterator[tuple[str, float]]:
    yield "one training", alone(train, test, seed)
    for length in (2000, 8000, ROUND) if held_out else (ROUND,):
        yield f"4 shards, rounds of {length}", sharded(train, test, seed, length)
    parts = [train.take(slice(part, None, PARTS)) for part in range(PARTS)]
    yield "merged after every epoch, --mean", merged_often(parts, test, seed)
    yield "8 bits, one training", alone(train, test, seed, counter=8)
    yield from merged_once(parts, test, seed).items()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--held-out", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    train, test = examples(options.held_out)
    found: dict[str, list[float]] = {}
    for seed in range(options.seeds):
        for name, value in rows(train, test, seed, options.held_out):
            found.setdefault(name, []).append(value)
            print(f"seed {seed}  {name:36} {value:.2f}", flush=True)
    for name, values in found.items():
        print(f"{name:36} {statistics.mean(values):.2f} ({min(values):.2f} to {max(values):.2f})")
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
