"""Examples through the pins of the UART in compiled simulation, with faults both ways and hosts that stop.

    python bench/host_link.py [--examples 10000] [--divisor 50] [--host-divisor 51] [--engine cxxrtl] [--netlist]

Every tenth packet to the device, and every tenth answer, is damaged; every hundredth packet the host is stopped, in the
middle of a packet or after it, and another one takes over. It ends with an error unless the weights are the software's.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from link_helpers import (
    Crashed,
    FaultyStream,
    SimulatedStream,
    SoftwareLearner,
    counter,
    lookup_learner,
    simulate,
)

from rdahw.boards.host import Device
from rdahw.families.circuits import CircuitSpec


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=10_000)
    parser.add_argument("--divisor", type=int, default=50)
    parser.add_argument("--host-divisor", type=int, default=51)
    parser.add_argument("--chunk", type=int, default=10)
    parser.add_argument("--engine", default="cxxrtl")
    parser.add_argument("--seed", type=int, default=10)
    parser.add_argument("--netlist", action="store_true", help="what synthesis for the iCE40 makes of it")
    options = parser.parse_args()

    learner, rng = lookup_learner(), np.random.default_rng(options.seed)
    x = rng.integers(0, 2, (options.examples, 4), np.uint8)
    y = rng.integers(0, 2, (options.examples, 3), np.uint8)
    last = rng.integers(0, 2, options.examples, np.uint8)
    last[-1] = 1
    simulator = simulate(
        learner,
        batch=True,
        divisor=options.divisor,
        host_divisor=options.host_divisor,
        engine=options.engine,
        netlist="ice40" if options.netlist else None,
    )
    carrier = SimulatedStream(simulator, cycles_a_second=options.divisor * 8_000)
    stream = FaultyStream(carrier, options.seed, rate=0.1, crashes=0.01)
    draw, hosts, done, start = counter(), 0, 0, time.perf_counter()
    while done < options.examples:
        device, hosts = Device(stream, CircuitSpec.of(learner), draw=draw, timeout=0.05), hosts + 1
        try:
            done = device.found.example_count
            while done < options.examples:
                rows = slice(done, done + options.chunk)
                device.train(x[rows], y[rows], last[rows])
                done += len(x[rows])
        except Crashed:
            pass
    parameters = Device(carrier, CircuitSpec.of(learner), draw=draw).read_parameters()
    seconds = time.perf_counter() - start
    software = SoftwareLearner(learner, batch=True)
    software.train(x, y, last)
    print(f"{options.examples} examples, {stream.packets} packets, {sum(stream.faults.values())} faults, {hosts} hosts")
    print(", ".join(f"{kind} {way}: {count}" for (way, kind), count in stream.faults.items() if count))
    print(f"{simulator.cycles} cycles in {seconds:.1f} s")
    if not np.array_equal(parameters, software.theta):
        sys.exit("the weights are not the software's")
    print("the weights are the software's")


if __name__ == "__main__":
    main()
