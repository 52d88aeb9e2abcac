"""Training in shards, and merged models, beside one training on all examples: MNIST, one bit a pixel.

    python bench/shards.py [--seeds 5] [--held-out] [--json FILE]

Rows: the rule of one example after the other; S = 4 shards (rdahw train --shards 4); and four models, each trained on a
quarter of the training images alone, as one (rdahw merge, without and with --mean). Each after 15 epochs, by the
accuracy on the test images. ``--held-out`` trains on the first 50,000 training images and scores on the other 10,000,
also with rounds of other lengths; the settings were chosen by it.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterator
from pathlib import Path

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
#: The ensemble of the documents, and the one whose models are merged.
USUAL = {"wiring": "patch8inset2"}
MERGED = {"wiring": "patch8inset2", "tables": 1024, "inputs": 8, "counter": 8, "margin": 640}


def examples(held_out: bool) -> tuple[Examples, Examples]:
    data = load("mnist")
    binariser = Binariser.fit("threshold=32", data.train.features, data.columns, data.feature_names, data.image_shape)
    assert data.test is not None
    train, test = (Examples(binariser.pack(part.features), part.labels) for part in (data.train, data.test))
    return (train.take(slice(50_000)), train.take(slice(50_000, None))) if held_out else (train, test)


def learn(engine: Engine, train: Examples, seed: int) -> State:
    for _ in Training(engine, Schedule(epochs=EPOCHS, shuffle=True, seed=seed), train).run():
        pass
    return engine.state


def spec_of(seed: int, **options: object) -> EnsembleSpec:
    return EnsembleSpec(input_bits=784, classes=10, image=Image(1, 28, 28), seed=seed, **options)  # type: ignore[arg-type]


def accuracy(engine: SoftwareEngine | ShardedEngine, test: Examples) -> float:
    return 100 * float((engine.predict(engine.prepare(test)) == test.labels).mean())


def alone(train: Examples, test: Examples, seed: int, **options: object) -> float:
    engine = make_engine(spec_of(seed, **options))
    learn(engine, train, seed)
    return accuracy(engine, test)


def sharded(train: Examples, test: Examples, seed: int, length: int) -> float:
    rdahw.sim.shards.ROUND = length
    spec = spec_of(seed, **USUAL)
    engine = ShardedEngine(spec, make_engine(spec), PARTS)
    learn(engine, train, seed)
    return accuracy(engine, test)


def merged(train: Examples, test: Examples, seed: int, **options: object) -> dict[str, float]:
    spec = spec_of(seed, **options)
    engine = make_engine(spec)
    states = [learn(engine, train.take(slice(part, None, PARTS)), seed) for part in range(PARTS)]
    found = {"a quarter of the images": accuracy(engine, test)}
    for name, mean in (("merged", False), ("merged, --mean", True)):
        engine.state = merge_states(spec, spec.initial_state(), states, mean=mean)
        found[name] = accuracy(engine, test)
    return found


def rows(train: Examples, test: Examples, seed: int, held_out: bool) -> Iterator[tuple[str, float]]:
    yield "256 x 6", alone(train, test, seed, **USUAL)
    for length in (125, 500, 2000, 8000) if held_out else (ROUND,):
        yield f"256 x 6, 4 shards, rounds of {length}", sharded(train, test, seed, length)
    for title, options in (("256 x 6", USUAL), ("1024 x 8", MERGED)):
        if title != "256 x 6":
            yield title, alone(train, test, seed, **options)
        yield from ((f"{title}, {name}", value) for name, value in merged(train, test, seed, **options).items())


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
