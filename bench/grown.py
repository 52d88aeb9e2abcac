"""Grown models on MNIST: accuracy, time and LUTs by number of tables, and grown wiring for the ensemble's own rule.

    python bench/grown.py [--only accuracy|wiring|luts …] [--models NAME …] [--seeds N] [--validation] [--json FILE]

Images come from RDAHW_DATA as elsewhere, one bit a pixel (threshold 32). With --validation models learn from the first
50,000 training images and are measured on the other 10,000, as for choosing settings; else they learn from all 60,000
and are measured on the test images. Figures are means over the seeds 0, 1, …; seconds are processor seconds of growth
alone on one thread, after compilation, without packing and making copies, which are stated beside them.

LUTs: the model as LUT cells through ``synth_xilinx -flatten -abc9`` of Yosys, tables, population counts and decision
together, of models of up to 1,000 tables; the netlist is read back and has to predict what the model predicts on every
image measured.
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

from rdahw.data import fit_binariser, load
from rdahw.data.images import Image
from rdahw.families.ensemble.spec import EnsembleSpec
from rdahw.families.grown import GrownSpec
from rdahw.families.grown.circuits import grown_lut_circuit
from rdahw.hdl.inference import Pipeline
from rdahw.hdl.lut_cells import count_cells
from rdahw.sim.engines import make_engine
from rdahw.sim.ensemble import CompiledEnsemble
from rdahw.sim.ensemble import warm_up as warm_up_ensemble
from rdahw.sim.grown import CompiledGrown, warm_up
from rdahw.sim.packed import Packed
from rdahw.training import Examples, Schedule, prepare

Part = tuple[Any, Any]

#: Settings chosen on the validation images, and the numbers of tables measured.
MODELS: dict[str, tuple[dict[str, int], list[int]]] = {
    "6 inputs": ({"patch": 12, "candidates": 144, "sample": 8000, "slope": 17}, [340, 700, 1000, 2000]),
    "6 inputs, copies": ({"slope": 10, "sample": 16000, "copies": 5}, [340, 700, 1000, 2000, 4000]),
    "4 inputs, copies": ({"slope": 10, "sample": 16000, "copies": 5, "inputs": 4}, [700, 1400, 2800]),
}
WIRINGS: dict[str, dict[str, Any]] = {
    "random": {"wiring": "patch8inset2"},
    "grown": {"wiring": "grown"},
    "grown, copies": {"wiring": "grown", "copies": 3},
}
EPOCHS = 15


def read_images(validation: bool) -> tuple[Part, Part]:
    dataset = load("mnist")
    binariser = fit_binariser(dataset, "threshold=32")
    train, test = ((binariser.transform(part.features), part.labels) for part in (dataset.train, dataset.test))
    return ((train[0][:50000], train[1][:50000]), (train[0][50000:], train[1][50000:])) if validation else (train, test)


def new_model(options: dict[str, int], tables: int, seed: int) -> CompiledGrown:
    image = Image(1, 28, 28)
    return CompiledGrown(
        GrownSpec(
            input_bits=784, classes=10, image=image, tables=tables, seed=seed, **{"patch": 10, "inset": 2, **options}
        )
    )


def seconds_of(steps: Iterator[Any]) -> float:
    start = time.process_time()
    for _ in steps:
        pass
    return time.process_time() - start


def accuracy(models: list[str], train: Part, test: Part, seeds: int) -> list[dict[str, Any]]:
    rows = []
    for name in models:
        options, numbers = MODELS[name]
        right, seconds, packing = [], [], []
        for seed in range(seeds):
            model = new_model(options, numbers[-1], seed)
            start = time.process_time()
            examples = model.prepare(*train)
            packing.append(time.process_time() - start)
            seconds.append(np.cumsum([seconds_of(model.run(examples, number)) for number in numbers]))
            right.append(100 * model.curve(*test, numbers) / len(test[1]))
        for i, number in enumerate(numbers):
            each = [row[i] for row in right]
            rows.append(
                {
                    "model": name,
                    "tables": number,
                    "accuracy": float(np.mean(each)),
                    "least": float(min(each)),
                    "most": float(max(each)),
                    "seconds": float(np.mean([row[i] for row in seconds])),
                    "packing": float(np.mean(packing)),
                }
            )
            bounds = f"{min(each):.2f} to {max(each):.2f}"
            took, packed = rows[-1]["seconds"], rows[-1]["packing"]
            print(f"{name} | {number} | {np.mean(each):.2f} ({bounds}) | {took:.2f} | {packed:.2f}", flush=True)
    return rows


def wiring(train: Part, test: Part, seeds: int) -> list[dict[str, Any]]:
    warm_up_ensemble()
    rows = []
    for name, options in WIRINGS.items():
        found = []
        for seed in range(seeds):
            spec = EnsembleSpec(input_bits=784, classes=10, image=Image(1, 28, 28), seed=seed, **options)
            start = time.process_time()
            engine = CompiledEnsemble(prepare(spec, Examples(*train), make_engine))
            seconds = time.process_time() - start
            examples, images = engine.pack(train[0]), engine.pack(test[0])
            schedule, after = Schedule(epochs=EPOCHS, shuffle=True, seed=seed), []
            for epoch in range(EPOCHS):
                engine.learn(examples, train[1], schedule.order(epoch, len(train[1])))
                after.append(100 * float((engine.classify(images) == test[1]).mean()))
            found.append((after[0], after[-1], seconds))
        first, last, seconds = (float(value) for value in np.mean(found, axis=0))
        bounds = f"{min(row[1] for row in found):.2f} to {max(row[1] for row in found):.2f}"
        rows.append({"wiring": name, "after 1": first, f"after {EPOCHS}": last, "growth seconds": seconds})
        print(f"{name} | {first:.2f} | {last:.2f} ({bounds}) | {seconds:.1f}", flush=True)
    return rows


def luts(models: list[str], train: Part, test: Part) -> list[dict[str, Any]]:
    rows = []
    for name in models:
        options, numbers = MODELS[name]
        largest = new_model(options, min(numbers[-1], 1000), 0)
        for _ in largest.run(largest.prepare(*train)):
            pass
        for number in numbers:
            if number > largest.state.grown:
                continue
            model = new_model(options, number, 0)
            model.state = largest.state.first(number)
            predicted = model.predict(test[0])
            cells = count_cells(Pipeline(grown_lut_circuit(model.spec, model.state), None, cells="xilinx"), "xilinx")
            bits = Packed(cells.circuit)(test[0])[0]
            equal = np.array_equal((bits.astype(np.int64) << np.arange(bits.shape[1])).sum(axis=1), predicted)
            assert equal, f"the netlist of {number} tables predicts something else than the model"
            rows.append(
                {
                    "model": name,
                    "tables": number,
                    "accuracy": 100 * float((predicted == test[1]).mean()),
                    "luts": sum(cells.luts.values()),
                    "luts_by_size": cells.luts,
                }
            )
            print(f"{name} | {number} | {rows[-1]['accuracy']:.2f} | {rows[-1]['luts']} | {cells.luts}", flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=["accuracy", "wiring", "luts"])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--validation", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    chosen = options.only or ["accuracy", "wiring", "luts"]
    warm_up()
    train, test = read_images(options.validation)
    found: dict[str, Any] = {}
    if "accuracy" in chosen:
        print("model | tables | accuracy % | growth s | packing and copies s")
        found["accuracy"] = accuracy(options.models, train, test, options.seeds)
    if "wiring" in chosen:
        print(f"wiring | after 1 epoch % | after {EPOCHS} epochs % | growth s")
        found["wiring"] = wiring(train, test, options.seeds)
    if "luts" in chosen:
        print("model | tables | accuracy % | LUTs | by size")
        found["luts"] = luts(options.models, train, test)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
