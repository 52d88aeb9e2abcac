"""Networks of layers on scikit-learn's digits and on MNIST: accuracy by depth, and what does not learn.

    python bench/layers.py [--only digits|recurrent|mnist ...] [--depths N ...] [--ways NAME ...]
                           [--options OPTION=VALUE,...] [--models SIZES,... ...] [--seeds N] [--epochs N]
                           [--validation] [--json FILE]

Digits: the set as it comes, three bits a pixel (thermometer=3), 300 tables of four inputs a layer, 30 epochs. The first
500 images in the order ``permutation(stream(0, "split"), 1797)`` of ``rdahw.random`` are the test images. With
--validation each of five fifths of the other 1,297 is predicted by models that learn from the rest, as for choosing
settings. Recurrent: the same images, read row by row.

MNIST (from RDAHW_DATA as elsewhere): one bit a pixel (threshold 32), tables of six inputs, 5 epochs; with --validation
models learn from the first 50,000 training images and are measured on the other 10,000.

Figures are of the model after the last epoch, means over the seeds 0, 1, ...; seconds are processor seconds of the
training of one model, after compilation.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from measure import one_core

if __name__ == "__main__":
    one_core()

from rdahw.data import Column, Dataset, Examples, fit_binariser, load
from rdahw.data.images import Image
from rdahw.families import parse_model
from rdahw.family import Task
from rdahw.random import permutation, stream
from rdahw.sim.engines import make_engine
from rdahw.sim.layers import warm_up
from rdahw.training import Examples as Bits
from rdahw.training import Schedule, Training

PARTS = ["digits", "recurrent", "mnist"]
TEST_IMAGES, FOLDS = 500, 5
#: What is compared on digits, beside the signed requests.
WAYS = {
    "signed": "",
    "sums": "cotangents=sum",
    "XOR": "cotangents=xor",
    "last layer": "frozen={}",
    "forward 1": "forward=1",
    "forward 16": "forward=16",
}
#: What is compared of recurrent networks.
RECURRENT = {
    "signed": "200x4,300x4,steps=8",
    "state tables frozen": "200x4,300x4,steps=8,frozen=1",
    "no noise": "200x4,300x4,steps=8,noise=0",
    "200 outputs": "200x4,200x4,steps=8",
    "the state votes": "200x4,steps=8",
}
MNIST = {
    1000: ("1000x6", "600x6,400x6", "400x6,300x6,300x6"),
    4000: ("4000x6", "2400x6,1600x6", "1600x6,1200x6,1200x6"),
    10000: ("10000x6", "6000x6,4000x6", "4000x6,3000x6,3000x6"),
}

Part = tuple[Any, Any]


def trained(model: str, task: Task, train: Part, test: Part, epochs: int) -> tuple[float, float]:
    """The accuracy on ``test`` in percent after the last epoch, and the processor seconds."""
    family, options = parse_model(model)
    engine = make_engine(family.spec(task, **options))
    run = Training(engine, Schedule(epochs=epochs, shuffle=True, seed=task.seed), Bits(*train))
    start = time.process_time()
    for _ in run.run():
        pass
    seconds = time.process_time() - start
    found = engine.predict(engine.prepare(Bits(*test)))
    return 100 * float((found == test[1]).mean()), seconds


def mean_of(model: str, image: Image | None, parts: Any, seeds: int, epochs: int) -> dict[str, Any]:
    """The figures of ``model``, printed too; ``parts``: a training and a test part for each seed."""
    found = []
    for seed, (train, test) in zip(range(seeds), parts, strict=False):
        task = Task(input_bits=train[0].shape[1], classes=10, image=image, seed=seed)
        found.append(trained(model, task, train, test, epochs))
    accuracies, seconds = zip(*found, strict=True)
    row = {
        "model": model,
        "accuracy": float(np.mean(accuracies)),
        "least": min(accuracies),
        "most": max(accuracies),
        "seconds": float(np.mean(seconds)),
    }
    print(
        f"{model} | {row['accuracy']:.2f} ({row['least']:.2f} to {row['most']:.2f}) | {row['seconds']:.1f}", flush=True
    )
    return row


def read_digits(validation: bool) -> Iterator[tuple[Part, Part]]:
    from sklearn.datasets import load_digits

    values, labels = load_digits(return_X_y=True)
    order = permutation(stream(0, "split"), len(labels))
    test, rest = order[:TEST_IMAGES], order[TEST_IMAGES:]
    fold = 0
    while True:
        here = np.arange(len(rest)) % FOLDS == fold if validation else np.zeros(len(rest), np.bool_)
        train, measured = rest[~here], rest[here] if validation else test
        names = tuple(f"pixel {i}" for i in range(values.shape[1]))
        columns = tuple(Column("number") for _ in names)
        dataset = Dataset("digits", Examples(values[train], labels[train]), None, (), names, columns, "")
        binariser = fit_binariser(dataset, "thermometer=3")
        yield tuple((binariser.transform(values[rows]), labels[rows]) for rows in (train, measured))  # type: ignore[misc]
        fold = (fold + 1) % FOLDS


def read_mnist(validation: bool) -> tuple[Part, Part]:
    dataset = load("mnist")
    binariser = fit_binariser(dataset, "threshold=32")
    assert dataset.test is not None
    train, test = ((binariser.transform(part.features), part.labels) for part in (dataset.train, dataset.test))
    return ((train[0][:50000], train[1][:50000]), (train[0][50000:], train[1][50000:])) if validation else (train, test)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--depths", nargs="+", type=int, default=range(1, 11))
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=[way for way in WAYS if "forward" not in way])
    parser.add_argument("--models", nargs="+", help="of MNIST, such as 6000x6,4000x6,margin=50")
    parser.add_argument("--options", default="", help="of digits and recurrent, such as noise=4")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--validation", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    warm_up()
    found: dict[str, Any] = {}
    if "digits" in options.only:
        print("digits | accuracy % | training s")
        for depth in options.depths:
            for way in options.ways:
                said = [",".join(["300x4"] * depth), WAYS[way].format(depth - 1), options.options]
                model = f"layers:{','.join(filter(None, said))}"
                parts = read_digits(options.validation)
                row = mean_of(model, None, parts, options.seeds, options.epochs or 30)
                found.setdefault("digits", []).append({"depth": depth, "way": way, **row})
    if "recurrent" in options.only:
        print("recurrent | accuracy % | training s")
        for way, said in RECURRENT.items():
            model = f"layers:{','.join(filter(None, [said, options.options]))}"
            row = mean_of(model, Image(3, 8, 8), read_digits(options.validation), options.seeds, options.epochs or 30)
            found.setdefault("recurrent", []).append({"way": way, **row})
    if "mnist" in options.only:
        print("MNIST | accuracy % | training s")
        part = read_mnist(options.validation)
        for sizes in options.models or [sizes for each in MNIST.values() for sizes in each]:
            parts = (part for _ in range(options.seeds))
            row = mean_of(f"layers:{sizes}", Image(1, 28, 28), parts, options.seeds, options.epochs or 5)
            found.setdefault("mnist", []).append(row)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
