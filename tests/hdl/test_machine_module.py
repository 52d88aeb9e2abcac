"""Machines as gateware: the same symbols as in the reference interpreter, also as netlists of cells."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rdahw import Bits, Words, trace_machine
from rdahw.errors import MissingError
from rdahw.families.machine import MachineSpec
from rdahw.hdl.machine_module import MachineModule
from rdahw.hdl.trainer_factory import make_predictor
from rdahw.languages import find_language
from rdahw.machine import Machine
from rdahw.sim.engines import make_engine
from rdahw.sim.machine import run_machine
from rdahw.sim.simulator import Exchange, choose_engine, make_simulator
from rdahw.training import Examples


def counter() -> Machine:
    """Of several ports, with states of bits and words and other initial values than 0."""
    state = {"s": Bits(2), "n": Words(1, 3)}

    def step(s: Any, n: Any, x: Any, c: Any) -> Any:
        return (s ^ x, n + c.as_words(3)), (s & x, n.as_bits() ^ c)

    return trace_machine(step, state=state, initial={"s": 1, "n": 5}, x=Bits(2), c=Bits(3))


MACHINES = {"several ports": counter, "tomita4": lambda: find_language("tomita4").machine}


def compiled() -> str:
    try:
        return choose_engine("cxxrtl")
    except MissingError as error:
        pytest.skip(str(error))


def check(machine: Machine, engine: str, netlist: str | None, count: int) -> None:
    """Sequences of several lengths, with gaps and stalls."""
    rng = np.random.default_rng(8)
    lengths = rng.integers(1, 9, count)
    first = np.zeros(int(lengths.sum()), np.uint8)
    first[np.r_[0, np.cumsum(lengths)[:-1]]] = 1
    x = [rng.integers(0, 2, (len(first), port.type.width)).astype(np.uint8) for port in machine.inputs]
    expected = [
        np.concatenate(list(run_machine(machine, *parts).outputs), axis=-1)
        for parts in zip(*(np.split(one, np.flatnonzero(first)[1:]) for one in x), strict=True)
    ]
    simulator = make_simulator(MachineModule(machine), engine, netlist=netlist)
    beats = np.concatenate([*x, first[:, None]], axis=1)
    for pace in ({}, {"gaps": rng.random(31) < 0.4, "stalls": rng.random(29) < 0.4}):
        made = simulator.exchange(Exchange("symbols", "results", beats, len(beats), len(beats), **pace))
        np.testing.assert_array_equal(made.results, np.concatenate(expected))
        if not pace:
            assert (np.diff(made.taken) == 1).all(), "a symbol in a cycle"
            assert (made.given == made.taken + 1).all()
    simulator.close()


@pytest.mark.parametrize("name", MACHINES)
def test_a_machine_writes_what_the_interpreter_does(name: str) -> None:
    check(MACHINES[name](), "amaranth", None, 20)


@pytest.mark.slow
@pytest.mark.parametrize("netlist", [None, "ice40"])
@pytest.mark.parametrize("name", MACHINES)
def test_compiled_and_as_netlists(name: str, netlist: str | None) -> None:
    check(MACHINES[name](), compiled(), netlist, 500)


@pytest.mark.slow
def test_the_netlist_of_a_learned_machine_over_a_sequence() -> None:
    spec = MachineSpec(steps=16, states=2, start="tomita4")
    trained, state = spec.trained(spec.initial_state())
    x = np.random.default_rng(9).integers(0, 2, (300, 16)).astype(np.uint8)
    software = make_engine(spec)
    expected = software.predict(software.prepare(Examples(x, np.zeros(300, np.int64))))
    made = make_predictor(trained, state)
    beats = made.encoder(x, np.zeros((300, 16), np.uint8))
    simulator = make_simulator(made, compiled(), netlist="ice40")
    results = simulator.exchange(Exchange("examples", "results", beats, len(beats), 300)).results
    found = made.interface.decode(made.encoder.prediction(results))
    np.testing.assert_array_equal(found, expected)
    simulator.close()
