"""Machines of tables: the compiled engine against the plain rule, and what they learn."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from rdahw.data import label_sets, load
from rdahw.errors import UsageError, UserError
from rdahw.families.machine import MachineSpec
from rdahw.families.machine.spec import RULES, SETTLED, bound
from rdahw.languages import LANGUAGES
from rdahw.machine import Machine, trace_machine
from rdahw.sim.machine import run_machine
from rdahw.sim.machine_engine import compiled, reference
from rdahw.sim.machine_equality import compare_machines
from rdahw.sim.reference import Reference
from rdahw.tracing import Wire
from rdahw.training import Batches, Examples, Schedule, Training
from rdahw.types import Bits

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


def drawn(spec: MachineSpec, count: int = 60) -> Examples:
    """Sequences of the spec's shape with labels that are the sum of the symbols."""
    shape, numbers = spec.shape, np.random.default_rng(1)
    lengths = numbers.integers(1, shape.steps + 1, count) if shape.ragged else np.full(count, shape.steps)
    there = np.arange(shape.steps) < lengths[:, None]
    x = np.where(there, numbers.integers(0, 1 << shape.symbol, there.shape), -1)
    y = np.where(there, np.cumsum(x, axis=1) % (1 << shape.label), -1)
    return Examples(shape.wires(x), shape.numbers(y[np.arange(count), lengths - 1][:, None] if shape.at_end else y))


def same_outcomes(spec: MachineSpec, data: Examples) -> None:
    """Both engines predict and learn the same."""
    found = []
    for make in ENGINES:
        engine = make(spec, 1)
        prepared = engine.prepare(data)
        outcome = engine.train(prepared, Batches.single(np.arange(len(data))))
        found.append([outcome.predicted, outcome.wrong, *engine.state.values(), engine.predict(prepared)])
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)


#: Shapes of sequences of several lengths, with symbols of several bits, labels at the end, and long ones.
SHAPES: tuple[dict[str, Any], ...] = (
    {"steps": 6, "ragged": True},
    {"steps": 6, "ragged": True, "at_end": True},
    {"steps": 5, "at_end": True, "label": 2},
    {"steps": 5, "symbol": 2, "label": 2, "ragged": True},
    {"steps": 70, "ragged": True, "label": 2},
)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_compiled_engine_is_the_rule_on_other_sequences(shape: dict[str, Any], rule: str) -> None:
    spec = MachineSpec(**shape, states=2, rule=rule, restart=25, seed=2)
    same_outcomes(spec, drawn(spec, 60 if spec.steps < 10 else 6))


@pytest.mark.parametrize("shape", SHAPES)
def test_the_circuit_of_sequences_is_what_is_predicted(shape: dict[str, Any]) -> None:
    spec = MachineSpec(**shape, states=2, seed=4)
    data, engine = drawn(spec, 40), compiled(spec, 1)
    model = Reference(spec.circuit())
    (written,) = model(spec.theta(engine.state), data.x)
    np.testing.assert_array_equal(label_sets(written), engine.predict(engine.prepare(data)))


def test_only_labels_that_are_there_count() -> None:
    """With labels at the end, what is written before does not matter: parity is learned from the last label alone."""
    spec = MachineSpec(steps=12, ragged=True, at_end=True, states=2)
    training = Training(compiled(spec, 1), Schedule(epochs=3), drawn(spec, 2000))
    for _ in training.run():
        pass
    assert spec.facts(training.engine.state)["settled_after"] is not None
    assert compare_machines(spec.machine(training.engine.state), LANGUAGES["parity"].machine).equal


def own_gate() -> Machine:
    """One bit of state; its gates are chosen by two parameters."""

    def step(a: Wire, b: Wire, s: Wire, x: Wire) -> tuple[Wire, Wire]:
        following = (a[0] & s) ^ (a[1] & x[0]) ^ a[2]
        return following, (b[0] & following) ^ (b[1] & x[1])

    return trace_machine(
        step, parameters={"a": Bits(3), "b": Bits(2)}, state={"s": Bits(1)}, initial={"s": 1}, x=Bits(2)
    )


@pytest.mark.parametrize("rule", ["difference", "xor", "climb"])
@pytest.mark.parametrize("shape", [{"ragged": True}, {"at_end": True}])
def test_machines_of_ones_own_learn_the_same_in_both_engines(shape: dict[str, Any], rule: str) -> None:
    spec = MachineSpec(steps=5, symbol=2, own=own_gate(), own_name="own", rule=rule, restart=20, seed=3, **shape)
    assert (spec.count, spec.name) == (5, "own")
    same_outcomes(spec, drawn(spec, 45))
    assert MachineSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec


def test_the_circuit_of_a_machine_of_ones_own() -> None:
    spec = MachineSpec(steps=5, symbol=2, own=own_gate(), own_name="own", ragged=True, seed=1)
    data, engine = drawn(spec, 40), compiled(spec, 1)
    (written,) = Reference(spec.circuit())(spec.theta(engine.state), data.x)
    np.testing.assert_array_equal(label_sets(written), engine.predict(engine.prepare(data)))


def test_a_machine_of_ones_own_finds_its_parameters() -> None:
    """The labels are those of the machine with parameters of ours: it is learned, and proved equal to that one."""
    spec = MachineSpec(steps=8, symbol=2, own=own_gate(), own_name="own", seed=1)
    wanted = bound(own_gate(), np.array([1, 1, 0, 1, 1], np.uint8))
    x = np.random.default_rng(0).integers(0, 2, (1300, 8, 2)).astype(np.uint8)
    y = run_machine(wanted, x, engine="packed").outputs[0][..., 0]
    training = Training(compiled(spec, 1), Schedule(updates=80), Examples(x.reshape(1300, 16), label_sets(y)))
    for _ in training.run():
        pass
    assert compare_machines(spec.machine(training.engine.state), wanted).equal


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"symbol": 1}, "own reads symbols of 2 bits; the sequences have symbols of 1"),
        ({"label": 3}, "own writes labels of 1 bits; the sequences have labels of 3"),
        ({"rule": "shadow"}, "own cannot learn by rule=shadow"),
    ],
)
def test_machines_of_ones_own_that_do_not_fit(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        MachineSpec(**{"steps": 4, "symbol": 2, "own": own_gate(), "own_name": "own", **given})


def test_tables_that_are_too_large() -> None:
    with pytest.raises(UsageError, match="expected at most 131072, and 14 bits of state and symbol"):
        MachineSpec(steps=4, states=6, symbol=12)


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


def test_training_ends_soon_after_the_machine_is_settled() -> None:
    spec, data = MachineSpec(steps=16, states=1), examples("parity", count=5000)
    engine = compiled(spec, 1)
    training = Training(engine, Schedule(scored="epoch"), data, validation=data.take(slice(100)))
    for _ in training.run(chunk=64):
        pass
    after = spec.facts(engine.state)["settled_after"]
    assert training.is_over
    assert after <= training.progress.updates < after + 64
    assert training.progress.best is not None, "scored though the epoch is not whole"
    again = Training(engine, Schedule(scored="epoch"), data, progress=training.progress)
    assert list(again.run()) == []
