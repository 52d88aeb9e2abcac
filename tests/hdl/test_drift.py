"""The drift alarm in gateware equals that in software, on long random streams and beside a trainer."""

from __future__ import annotations

import numpy as np
import pytest

from rdahw.drift import DriftAlarm
from rdahw.families.ensemble.rule import PlainEnsemble
from rdahw.families.ensemble.spec import EnsembleSpec, make_wiring
from rdahw.hdl.drift import DriftMonitor
from rdahw.hdl.memory_trainer import MemoryTrainer
from rdahw.sim.simulator import Exchange, make_simulator


def outcomes(seed, count):
    """Errors (N,) whose rate jumps at random, also between 0 and 1."""
    rng, parts = np.random.default_rng(seed), []
    while sum(map(len, parts)) < count:
        rate = rng.choice([0, 1, rng.random() ** 2])
        parts.append(rng.random(rng.integers(1, 5000)) < rate)
    return np.concatenate(parts)[:count]


def run_both(simulator, software, wrong, gaps):
    """Feed both, with random gaps in gateware, and compare the number of alarms after each block."""
    for i, value in enumerate(wrong):
        for _ in range(gaps[i]):
            simulator.set("learned", 0)
            simulator.set("wrong", not value)
            simulator.tick()
        simulator.set("learned", 1)
        simulator.set("wrong", int(value))
        simulator.tick()
        software.update(bool(value))
        if i % 256 == 254 or i + 1 == len(wrong):
            # The last example of a block is not there yet, and the alarm of the block before is counted.
            assert simulator.get("alarm_count") == software.alarms % 256, i
    simulator.set("learned", 0)
    for _ in range(100):
        simulator.tick()
    assert simulator.get("alarm_count") == software.alarms % 256


@pytest.mark.parametrize("seed", [2, 11])
def test_equals_software(seed):
    simulator, software = make_simulator(DriftMonitor(), "amaranth", registers={}), DriftAlarm()
    rng = np.random.default_rng(seed)
    wrong = outcomes(seed, 6000)
    run_both(simulator, software, wrong, rng.integers(0, 1 + seed % 2, 6000))
    assert software.alarms == 2
    simulator.set("clear", 1)
    simulator.tick()
    simulator.set("clear", 0)
    assert simulator.get("alarm_count") == 0
    run_both(simulator, DriftAlarm(), outcomes(seed + 10, 2000), np.zeros(2000, int))


@pytest.mark.slow
def test_equals_software_for_long():
    """The compiled simulation, 200,000 examples."""
    simulator, software = make_simulator(DriftMonitor(), "cxxrtl", registers={}), DriftAlarm()
    run_both(simulator, software, outcomes(5, 200_000), np.random.default_rng(5).integers(0, 2, 200_000))
    assert software.alarms > 10


@pytest.mark.slow
def test_beside_a_trainer():
    """Examples whose labels are chance from the middle on: alarms are counted, and read by the host."""
    spec = EnsembleSpec(input_bits=8, classes=2, tables=1, inputs=1, counter=2, margin=0, dropout=0.0, seed=1)
    rng = np.random.default_rng(0)
    x = rng.integers(0, 2, (3600, 8), np.uint8)
    labels = (x[:, make_wiring(spec)[0, 0]] ^ (np.arange(3600) >= 1500) & (rng.random(3600) < 0.5)).astype(np.int64)
    trainer, software = MemoryTrainer(spec, drift=True), PlainEnsemble(spec)
    simulator = make_simulator(trainer, "cxxrtl", registers={})
    while simulator.get("busy"):
        simulator.tick()
    alarm, seen = DriftAlarm(), []
    for start in range(0, 3600, 300):
        rows = np.arange(start, start + 300)
        learn = start != 900  # these are only predicted, and do not count
        octets = np.column_stack([np.packbits(x[rows], axis=1, bitorder="little"), labels[rows] | learn << 7])
        beats = np.unpackbits(octets.astype(np.uint8).reshape(-1, 1), axis=1, bitorder="little")
        simulator.exchange(Exchange("examples", "results", beats, len(beats), 300))
        for name in ("examples__valid", "results__ready"):
            simulator.set(name, 0)
        for _ in range(110):
            simulator.tick()
        if learn:
            alarm.update_many(software.learn(x, labels, rows).predictions != labels[rows])
        simulator.set("control__parameter_address", trainer.settings_address + 13)
        simulator.tick()
        seen.append(simulator.get("control__parameter_read"))
        assert seen[-1] == simulator.get("alarm_count") == alarm.alarms, start
    assert (seen[4], seen[-1] > 0) == (0, True)
    simulator.set("control__clear", 1)
    simulator.tick()
    simulator.set("control__clear", 0)
    simulator.tick()
    simulator.tick()
    assert simulator.get("alarm_count") == 0
