"""Training from the flash in compiled simulation, against the software: cycles an example, and every bit.

    python bench/flash_trainer.py [--setting 256x6] [--lines 4] [--lines 1] [--stride K] [--epochs N] [--seed 0]

The trainer of :mod:`rdahw.hdl.flash_trainer` with a simulated flash on its pins, through pads with flip-flops, goes
by itself through all of a data set: it wakes the flash, reads the header, checks all records, then trains whole epochs
and tests after each. Every prediction, every decision to update and, after each epoch, every counter are compared with
the compiled software; it ends with an error at a difference. Prints a line an epoch: clock cycles from one example to
the next, and what they come to at 48 MHz.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from ensemble import SETTINGS, make  # the bench beside this one
from flash_training import Bench

from rdahw.data import load
from rdahw.data.binarise import Binariser
from rdahw.families.ensemble.spec import EnsembleSpec
from rdahw.flash_image import FlashImage, make_image
from rdahw.sim.ensemble import CompiledEnsemble

CLOCK = 48e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--setting", default="256x6", choices=[*SETTINGS])
    parser.add_argument("--lines", type=int, choices=[4, 1], action="append", help="data lines; default: 4, then 1")
    parser.add_argument("--stride", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    setting = SETTINGS[options.setting]
    data = load(setting.data)
    binariser = Binariser.fit(setting.rule, data.train.features, data.columns)
    image = make_image(data, binariser, stride=options.stride)
    assert image.image is not None
    spec = make(setting, options.seed, image.train.x, image.image)
    for lines in options.lines or [4, 1]:
        stream(image, spec, lines, options.epochs)


def stream(image: FlashImage, spec: EnsembleSpec, lines: int, epochs: int) -> None:
    software = CompiledEnsemble(spec)
    train, test, order = software.pack(image.train.x), software.pack(image.test.x), image.order()
    content = image.to_bytes()
    bench = Bench(spec, content, engine="cxxrtl", quad=lines == 4, epochs=epochs)
    print(f"{image.name}, {len(content):,} bytes in flash, {lines} data lines, stride {image.stride}")
    for epoch in range(epochs):
        start = time.perf_counter()
        cycles, predictions, correct, updated = bench.collect(len(image.train))
        wanted = software.learn(train, image.train.labels, order)
        np.testing.assert_array_equal(predictions, wanted.predictions)
        np.testing.assert_array_equal(correct, wanted.predictions == image.train.labels[order])
        np.testing.assert_array_equal(updated, wanted.updated)
        _, tested, right, changed = bench.collect(len(image.test))
        np.testing.assert_array_equal(tested, software.classify(test))
        assert not changed.any()
        np.testing.assert_array_equal(bench.counters, software.counters)
        assert bench.simulator.peek("dropout") == software.dropout_state
        assert bench.simulator.get("fault") == 0
        each = (cycles[-1] - cycles[0]) / (len(cycles) - 1)
        print(
            f"epoch {epoch + 1}: equal; {each:.2f} cycles an example, {CLOCK / each:,.0f} a second at {CLOCK / 1e6:g} "
            f"MHz; {updated.mean():.2%} updated, {int(right.sum())} of {len(right)} test examples right; "
            f"{time.perf_counter() - start:.1f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
