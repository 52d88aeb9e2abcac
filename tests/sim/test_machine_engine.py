"""Machines of tables: the compiled engine against the plain rule, and what they learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rdahw.data import load
from rdahw.families.machine import MachineSpec
from rdahw.families.machine.spec import RULES, SETTLED
from rdahw.languages import LANGUAGES
from rdahw.sim.machine import run_machine
from rdahw.sim.machine_engine import compiled, reference
from rdahw.sim.machine_equality import compare_machines
from rdahw.training import Batches, Examples, Schedule, Training

ENGINES = (reference, compiled)


def examples(name: str, seed: int = 0, count: int | None = None) -> Examples:
    train = load(name, seed=seed).train
    return Examples(train.features[:count], train.labels[:count])


@pytest.mark.parametrize(("rule", "live"), [*((rule, False) for rule in RULES), ("shadow", True)])
@pytest.mark.parametrize(("states", "counter", "restart"), [(1, 2, 7), (2, 4, 40), (3, 3, 1)])
def test_the_compiled_engine_is_the_rule(rule: str, live: bool, states: int, counter: int, restart: int) -> None:
    spec = MachineSpec(steps=16, states=states, counter=counter, restart=restart, rule=rule, live=live, seed=5)
    data = examples("tomita4", count=90)
    found = []
    for make in ENGINES:
        engine = make(spec, 1)
        prepared = engine.prepare(data)
        outcomes = [engine.train(prepared, Batches.single(np.arange(i, i + 45))) for i in (0, 45)]
        found.append([*(o.predicted for o in outcomes), *engine.state.values(), engine.predict(prepared)])
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("rule", ["difference", "shadow"])
@pytest.mark.parametrize("make", ENGINES)
def test_settled_machines_do_not_change(make: Any, rule: str) -> None:
    spec = MachineSpec(steps=16, states=2, start="tomita4", rule=rule)
    engine = make(spec, 1)
    engine.state = {**spec.initial_state(), "run": np.array([SETTLED, 1, 2, 3])}
    before, wrong = engine.state, examples("parity", count=20)
    engine.train(engine.prepare(wrong), Batches.single(np.arange(20)))
    for name, value in before.items():
        np.testing.assert_array_equal(engine.state[name], value)


@pytest.mark.parametrize("make", ENGINES)
def test_predictions_are_what_the_machine_writes(make: Any) -> None:
    spec = MachineSpec(steps=16, states=3, seed=3)
    data, engine = examples("mod3", count=50), make(spec, 1)
    written = run_machine(spec.machine(engine.state), data.x[..., None]).outputs[0][..., 0]
    predicted = engine.predict(engine.prepare(data))
    np.testing.assert_array_equal(predicted[:, None] >> np.arange(16) & 1, written)


@pytest.mark.parametrize(
    ("rule", "name"),
    [
        *(("difference", name) for name in LANGUAGES if LANGUAGES[name].state_bits <= 3),
        *(
            ("shadow", name)
            for name in LANGUAGES
            if LANGUAGES[name].state_bits <= 3 and name not in ("pattern1011", "lfsr:4")
        ),
    ],
)
def test_languages_are_learned_and_proved(name: str, rule: str) -> None:
    spec = MachineSpec(steps=16, seed=1, rule=rule)
    training = Training(compiled(spec, 1), Schedule(), examples(name, seed=1))
    for _ in training.run():
        pass
    facts = spec.facts(training.engine.state)
    assert facts["settled_after"] <= 20_000
    assert compare_machines(spec.machine(training.engine.state), LANGUAGES[name].machine).equal


def test_two_learned_machines_are_the_detector_of_frames() -> None:
    learned = []
    for name, states, restart in (("uartmarks", 4, 4000), ("pattern1011", 3, 200)):
        spec = MachineSpec(steps=16, states=states, restart=restart, seed=1)
        training = Training(compiled(spec, 1), Schedule(epochs=4), examples(name, seed=1))
        for _ in training.run():
            pass
        learned.append(spec.machine(training.engine.state))
    marks, pattern = learned
    assert compare_machines(marks, LANGUAGES["uartmarks"].machine).equal
    assert compare_machines(marks >> pattern, LANGUAGES["uart8n1"].machine).equal


@pytest.mark.parametrize("name", LANGUAGES)
def test_a_machine_starts_from_a_language(name: str) -> None:
    spec = MachineSpec(steps=16, states=LANGUAGES[name].state_bits, start=name)
    assert compare_machines(spec.machine(spec.initial_state()), LANGUAGES[name].machine) == (
        len(spec.reached(spec.initial_state())[0]),
        None,
    )


def test_resuming_gives_the_same_machine() -> None:
    spec, data = MachineSpec(steps=16, states=3, restart=30), examples("pattern1011", count=500)
    whole, parts = (Training(compiled(spec, 1), Schedule(), data) for _ in range(2))
    for _ in whole.run():
        pass
    for _ in parts.run(chunk=77):
        pass
    for name, value in whole.engine.state.items():
        np.testing.assert_array_equal(parts.engine.state[name], value)
