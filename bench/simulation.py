"""Cycles a second of each simulation engine, on the Iris trainer and on the word-serial MNIST trainer.

Run: python bench/simulation.py [--seconds S] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import numpy as np

from rdahw.errors import MissingError
from rdahw.families import spec_of_widths
from rdahw.hdl.beats import Encoder
from rdahw.hdl.trainer_factory import make_trainer
from rdahw.sim.simulator import ENGINES, Exchange, choose_engine, make_simulator

DESIGNS = {"lookup 4 -> 3, batches": ("lookup", 4, 3, True), "mask 784, word-serial": ("mask", 784, 1, False)}


def measure(design: str, engine: str, seconds: float) -> dict[str, Any]:
    """Stream random examples for so long, back to back; the best of three rates."""
    model, inputs, outputs, batch = DESIGNS[design]
    trainer = make_trainer(spec_of_widths(model, inputs, outputs), batch=batch)
    started = time.perf_counter()
    simulator = make_simulator(trainer, choose_engine(engine), registers={"theta": trainer.theta})
    making = time.perf_counter() - started
    encoder, random = Encoder(trainer), np.random.default_rng(0)
    rates, n = [], 64
    while len(rates) < 3:
        x, y = random.integers(0, 2, (n, inputs), np.uint8), random.integers(0, 2, (n, outputs), np.uint8)
        beats = encoder(x, y, last=np.ones(n, np.uint8))
        before, started = simulator.cycles, time.perf_counter()
        simulator.exchange(Exchange("examples", "results", beats, len(beats), n))
        spent = time.perf_counter() - started
        if spent < seconds / 4:
            n *= 4
        else:
            rates.append((simulator.cycles - before) / spent)
    simulator.close()
    return {"design": design, "engine": engine, "cycles_per_second": max(rates), "seconds_to_make": making}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=1.0, help="time for each measurement")
    parser.add_argument("--json", metavar="FILE", help="write the figures there as well")
    options = parser.parse_args()
    rows = []
    for design in DESIGNS:
        slowest = None
        for engine in reversed(ENGINES):
            try:
                row = measure(design, engine, options.seconds)
            except MissingError as error:
                print(f"{design:26} {engine:10} {error}")
                continue
            slowest = slowest or row["cycles_per_second"]
            rows.append(row)
            rate, making = row["cycles_per_second"], row["seconds_to_make"]
            print(f"{design:26} {engine:10} {rate:12,.0f} cycles/s {rate / slowest:8.0f} x   made in {making:.1f} s")
    if options.json:
        with open(options.json, "w") as file:
            json.dump(rows, file, indent=1)


if __name__ == "__main__":
    main()
