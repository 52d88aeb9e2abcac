"""The trainer of machines with shadow machines: bit for bit the rule in software."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from amaranth.hdl import ResetInserter, Signal
from trainers import simulate

from rdahw.data import load
from rdahw.errors import MissingError, UsageError
from rdahw.families.machine import MachineSpec
from rdahw.families.machine.spec import RULES, SETTLED
from rdahw.hdl import machine_interface
from rdahw.hdl.trainer_factory import choose_trainer, make_trainer
from rdahw.sim.engines import make_engine
from rdahw.sim.hardware import HardwareEngine, Mismatch
from rdahw.sim.simulator import choose_engine
from rdahw.training import Batches, Examples


@pytest.fixture(params=["registers", "memory"], autouse=True)
def form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """All tests are of both trainers, at sizes at which the product has the one in registers."""
    monkeypatch.setattr(machine_interface, "REGISTER_STATES", 3 if request.param == "registers" else 0)
    assert request.param in choose_trainer(shadow()).name
    return str(request.param)


def shadow(**options: Any) -> MachineSpec:
    return MachineSpec(**{"steps": 16, "states": 1, "rule": "shadow", "seed": 5, **options})


def examples(count: int, language: str = "tomita4", steps: int = 16) -> Examples:
    train = load(language, seed=0).train
    return Examples(train.features[:count, :steps], train.labels[:count] & (1 << steps) - 1)


def learned(engine: HardwareEngine, data: Examples) -> HardwareEngine:
    prepared = engine.prepare(data)
    for start in range(0, len(data.x), engine.chunk or 1):
        rows = np.arange(start, min(len(data.x), start + (engine.chunk or 1)))
        engine.train(prepared, Batches.single(rows))
    engine.predict(prepared)
    return engine


@pytest.mark.parametrize(
    "options",
    [
        {"counter": 2, "restart": 7},
        {"counter": 3, "restart": 7, "live": True},
        {"counter": 2, "restart": 3, "steps": 1},
        {"counter": 2, "restart": 5, "steps": 5, "live": True},
    ],
    ids=str,
)
def test_it_learns_as_software_does(options: dict[str, Any]) -> None:
    spec = shadow(**options)
    engine = learned(HardwareEngine(spec, check=True), examples(24, steps=spec.steps))
    assert engine.state["run"][2] > 0, "it started again"
    assert engine.cycle_counts.with_update.max > spec.steps, "a flip took a cycle"


@pytest.mark.parametrize("right", [SETTLED - 1, SETTLED])
def test_it_settles_as_software_does(right: int) -> None:
    spec = shadow(states=2, start="tomita4")
    engine = HardwareEngine(spec, check=True)
    state = {**spec.initial_state(), "run": np.array([right, 300, 2, 1300])}
    engine.state = state
    learned(engine, examples(3))
    learned(engine, examples(6, "parity"))
    assert engine.state["run"][3] == 1300 + (right < SETTLED)


def test_numbers_of_sequences_wrap_as_in_software() -> None:
    spec = shadow(counter=2)
    engine = HardwareEngine(spec, check=True)
    engine.state = {**spec.initial_state(), "run": np.array([0, (1 << 31) - 3, (1 << 31) - 1, (1 << 31) - 1])}
    learned(engine, examples(4))
    assert engine.state["run"].tolist() == [0, 3, 0, 3]


def test_a_fault_is_found() -> None:
    spec = shadow()
    engine = HardwareEngine(spec, check=True)
    state = engine.state
    engine._made.write({**state, "counters": -1 - state["counters"]})  # all bits of the tables, in hardware only
    with pytest.raises(Mismatch):
        learned(engine, examples(20))


def test_the_state_behind_control_is_that_of_the_registers() -> None:
    spec = shadow(live=True)
    trainer, found = make_trainer(spec), list[dict[int, int]]()
    places = trainer.interface.places
    first = {
        address: octet
        for place in places
        for address, octet in enumerate(place.pack(spec.initial_state()[place.field.name]), place.at)
    }
    # Within the bits that there are: of a counter, of a number below its sign, of a state.
    written = {address: octet ^ 1 for address, octet in first.items()}

    async def bench(ctx: Any) -> None:
        control = trainer.control

        async def ready() -> None:
            while ctx.get(trainer.busy):
                await ctx.tick()
            assert ctx.get(control.ready)

        async def read() -> dict[int, int]:
            octets = {}
            for address in first:
                ctx.set(control.parameter_address, address)
                await ctx.tick()
                octets[address] = ctx.get(control.parameter_read)
            return octets

        await ready()
        found.append(await read())
        for address, octet in reversed(written.items()):
            ctx.set(control.parameter_address, address)
            ctx.set(control.parameter_write, octet)
            ctx.set(control.parameter_write_enable, 1)
            await ctx.tick()
        ctx.set(control.parameter_write_enable, 0)
        found.append(await read())
        ctx.set(control.clear, 1)
        await ctx.tick()
        ctx.set(control.clear, 0)
        await ready()
        found.append(await read())

    simulate(trainer, bench)
    assert found == [first, written, first]


def test_stalled_streams_change_nothing() -> None:
    spec, data = shadow(counter=2, restart=7), examples(10)
    software = make_engine(spec)
    prepared = software.prepare(data)
    expected = software.train(prepared, Batches.single(np.arange(10))).predicted
    trainer, predicted = make_trainer(spec), []
    y = trainer.interface.encode(data.labels)

    def number(bits: Any) -> int:
        return sum(int(bit) << i for i, bit in enumerate(bits))

    async def bench(ctx: Any) -> None:
        sent = cycle = 0
        while len(predicted) < 10:
            assert cycle < 5000, "the trainer is stuck"
            offered = sent < 10 and cycle % 3 > 0
            ctx.set(trainer.examples.valid, offered)
            if offered:
                ctx.set(trainer.examples.payload.x, number(data.x[sent]))
                ctx.set(trainer.examples.payload.y, number(y[sent]))
                ctx.set(trainer.examples.payload.learn, 1)
            ready = cycle % 50 == 0
            ctx.set(trainer.results.ready, ready)
            if ready and ctx.get(trainer.results.valid):
                predicted.append(ctx.get(trainer.results.payload.prediction))
            sent += offered and ctx.get(trainer.examples.ready)
            await ctx.tick()
            cycle += 1

    simulate(trainer, bench)
    assert predicted == list(expected)


def test_after_a_reset_it_starts_anew() -> None:
    spec = shadow(live=True, restart=1, counter=2)
    trainer, reset, found = make_trainer(spec), Signal(), list[list[int]]()
    first = {
        address: octet
        for place in trainer.interface.places
        for address, octet in enumerate(place.pack(spec.initial_state()[place.field.name]), place.at)
    }

    async def bench(ctx: Any) -> None:
        async def read() -> None:
            while ctx.get(trainer.busy):
                await ctx.tick()
            found.append([])
            for address in first:
                ctx.set(trainer.control.parameter_address, address)
                await ctx.tick()
                found[-1].append(ctx.get(trainer.control.parameter_read))

        async def learn() -> None:
            ctx.set(trainer.examples.payload, {"x": 0xB6D1, "y": 0x492E, "learn": 1})
            ctx.set(trainer.examples.valid, 1)
            await ctx.tick()
            ctx.set(trainer.examples.valid, 0)
            await ctx.tick()

        ctx.set(trainer.results.ready, 1)
        await read()
        await learn()
        await read()
        await learn()
        for _ in range(spec.steps // 2):
            await ctx.tick()
        ctx.set(reset, 1)
        await ctx.tick()
        ctx.set(reset, 0)
        await read()

    simulate(ResetInserter(reset)(trainer), bench)
    assert found[0] == list(first.values()) != found[1]
    assert found[2] == found[0]


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule != "shadow"])
def test_other_rules_learn_in_software_only(rule: str) -> None:
    with pytest.raises(UsageError, match=f"rule={rule} learn in software only"):
        make_trainer(MachineSpec(steps=16, rule=rule))


@pytest.mark.slow
@pytest.mark.parametrize("netlist", [None, "ice40"])
def test_compiled_trainers_and_netlists_learn_as_software_does(netlist: str | None) -> None:
    try:
        engine = choose_engine("cxxrtl")
    except MissingError as error:
        pytest.skip(str(error))
    spec, count = shadow(counter=3, restart=20), 300 if netlist else 2000
    made = learned(HardwareEngine(spec, engine, check=True, netlist=netlist), examples(count))
    assert made.examples == count
