"""A trainer that learns from pins: taught a language through them, bit for bit as in software."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import MemoryData
from trainers import simulate

from rdahw.boards import all_boards, board
from rdahw.boards.design import live_design
from rdahw.boards.top import Top
from rdahw.errors import UsageError, UserError
from rdahw.families.machine import MachineSpec
from rdahw.families.machine.spec import bits_of
from rdahw.hdl import machine_interface
from rdahw.hdl.live_pins import LiveTrainer, live_trainer
from rdahw.languages import LANGUAGES
from rdahw.sim.engines import make_engine
from rdahw.training import Batches, Examples

SPEC = MachineSpec(steps=1, states=1, counter=3, rule="shadow", live=True, seed=2)
#: Of the design, in Hz: a button that is stable for 16 cycles is believed.
CLOCK = 3200


def stream(spec: MachineSpec, count: int) -> tuple[Any, Any, Any]:
    """A signal with its labels, and the software that has learned from it; (count, steps) each."""
    x = np.random.default_rng(3).integers(0, 2, count * spec.steps).astype(np.uint8)
    y = LANGUAGES["parity"].label(x[None])[0].astype(np.uint8)
    software = make_engine(spec)
    x, y = x.reshape(-1, spec.steps), y.reshape(-1, spec.steps)
    labels = (y.astype(np.int64) << np.arange(spec.steps)).sum(1)
    outcome = software.train(software.prepare(Examples(x, labels)), Batches.single(np.arange(count)))
    return (x, y), outcome.predicted, software.state


class Taught:
    """What a trainer on pins shows."""

    def __init__(self, made: LiveTrainer) -> None:
        self.made, self.lit, self.errors = made, [], 0

    def state(self, ctx: Any) -> dict[str, Any]:
        found = {}
        for place in self.made.trainer.registers:
            number = low = 0
            for part in place.at if isinstance(place.at, tuple) else (place.at,):
                rows = [part[row] for row in range(part.depth)] if isinstance(part, MemoryData) else [part]
                for row in rows:
                    number |= ctx.get(row) << low
                    low += len(row)
            found[place.field.name] = place.value(number)
        return found


async def hold(ctx: Any, taught: Taught, cycles: int, **pins: int) -> None:
    for name, value in pins.items():
        ctx.set(getattr(taught.made.pins, name), value)
    for _ in range(cycles):
        await ctx.tick()
        taught.errors += ctx.get(taught.made.error)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("steps", "clocked", "memory"), [(1, False, False), (1, True, False), (3, True, False), (1, True, True)]
)
def test_it_is_taught_a_language_through_its_pins(
    steps: int, clocked: bool, memory: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine_interface, "REGISTER_STATES", 0 if memory else 3)
    spec = replace(SPEC, steps=steps)
    (x, y), predicted, expected = stream(spec, 240 // steps)
    assert (predicted[-60 // steps :] == (y << np.arange(steps)).sum(1)[-60 // steps :]).all(), "it was learned"
    assert expected["run"][2] + expected["run"][3] > 0
    taught = Taught(live_trainer(spec, CLOCK, None if clocked else 100.0))
    found: dict[str, Any] = {}

    async def bench(ctx: Any) -> None:
        # A sample is 32 cycles; the first one is taken at the end of the first 32.
        for bit, label in zip(x.ravel().tolist(), y.ravel().tolist(), strict=True):
            await hold(ctx, taught, 3, signal=bit, label=1 - label)  # it bounces
            await hold(ctx, taught, 19, label=label)
            await hold(ctx, taught, 10, clock=1)
            await hold(ctx, taught, 0, clock=0)
            taught.lit.append(ctx.get(taught.made.activity))
        await hold(ctx, taught, 30)
        found.update(taught.state(ctx))
        taught.lit.append(ctx.get(taught.made.activity))

    simulate(taught.made, bench)
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)
    assert taught.errors == (predicted != (y << np.arange(steps)).sum(1)).sum()
    assert taught.lit[-1] == predicted[-1] >> steps - 1 & 1
    assert bits_of(found["counters"]).any()


def test_samples_that_come_too_fast() -> None:
    with pytest.raises(UsageError, match=r"--sample 1000 is too fast for a clock of 3,200 Hz; give at most \d+, or"):
        live_trainer(SPEC, CLOCK, 1000.0)


def test_models_and_boards_without_pins() -> None:
    with pytest.raises(UsageError, match="add live=1 to the model"):
        live_design(replace(SPEC, live=False), board("icebreaker"))
    with pytest.raises(UsageError, match="rule=difference learn in software only"):
        live_design(replace(SPEC, live=False, rule="difference"), board("icebreaker"))
    for its in all_boards():
        if its.pins is None:
            with pytest.raises(UserError, match="has no row of pins to learn from; leave out --frontend pins"):
                live_design(SPEC, its)


def test_it_is_on_the_pins_of_the_board() -> None:
    its = board("icebreaker")
    made = live_design(SPEC, its, sample=10.0)
    plan = its.platform().prepare(Top(its, made.link(made.core(), 24_000_000, 1), 24.0), "live", emit_src=False)
    pins = plan.files["live.pcf"]
    pins = pins if isinstance(pins, str) else pins.decode()
    placed = {line.split()[1].split("__")[0]: line.split()[2] for line in pins.splitlines() if "set_io" in line}
    assert {name: placed[name] for name in ("live_signal_0", "live_clock_0", "button_0")} == {
        "live_signal_0": "4",
        "live_clock_0": "2",
        "button_0": "10",
    }
    assert not any("uart" in name for name in placed)
