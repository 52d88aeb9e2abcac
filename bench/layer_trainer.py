"""The layer trainer in simulation, every bit compared with software: cycles an example, on digits and MNIST.

    python bench/layer_trainer.py [--only digits|mnist ...] [--batch N ...] [--netlist] [--engine NAME]

Three layers of 300 four-input tables, default settings, seed 0. Digits: 5 epochs of the 1,297 training images of
``bench/layers.py``; MNIST: the first 2,000 training images, once. With --netlist: 1,000 examples on the netlist for the
iCE40, with the counters in its large memory. A difference in any bit ends the run with an error. --engine: of the
simulation, as in ``rdahw train``.
"""

from __future__ import annotations

import argparse

from layers import read_digits, read_mnist

from rdahw.data.images import Image
from rdahw.families import parse_model
from rdahw.family import Task
from rdahw.sim.hardware import HardwareEngine
from rdahw.sim.simulator import choose_engine
from rdahw.training import Examples, Schedule, Training

MODEL = "layers:300x4,300x4,300x4"


def run(data: str, batch: int, netlist: bool, simulator: str) -> None:
    """Train, and print the cycles."""
    if data == "digits":
        (x, labels), image, epochs = next(read_digits(False))[0], None, 5
    else:
        (x, labels), image, epochs = read_mnist(False)[0], Image(1, 28, 28), 1
        x, labels = x[:2000], labels[:2000]
    if netlist:
        x, labels, epochs = x[:1000], labels[:1000], 1
    family, options = parse_model(MODEL)
    spec = family.spec(Task(input_bits=x.shape[1], classes=10, image=image, seed=0), **options)
    engine = HardwareEngine(
        spec,
        simulator,
        batch=batch > 1,
        check=True,
        netlist="ice40" if netlist else None,
        memory_kind="spram" if netlist else "block",
    )
    *_, done = Training(engine, Schedule(batch=batch, epochs=epochs, shuffle=True), Examples(x, labels)).run()
    what = "netlist" if netlist else "gateware"
    print(f"{data}, batch {batch}, {what}: {done.examples} examples to the bit, {engine.summary}", flush=True)
    engine.close()


def main() -> None:
    """Run all that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=["digits", "mnist"], choices=["digits", "mnist"])
    parser.add_argument("--batch", nargs="*", type=int, default=[1, 16])
    parser.add_argument("--netlist", action="store_true")
    parser.add_argument("--engine", help="(default: the fastest installed one)")
    options = parser.parse_args()
    for data in options.only:
        for batch in options.batch:
            run(data, batch, options.netlist, choose_engine(options.engine))


if __name__ == "__main__":
    main()
