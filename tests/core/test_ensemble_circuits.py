"""Ensembles as ordinary circuits, in the reference interpreter, against the plain rule."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from rdahw.data.images import Image
from rdahw.data.labels import encode
from rdahw.errors import UsageError
from rdahw.families.ensemble.circuits import binarise, boolean_ensemble, step_bits, step_circuit
from rdahw.families.ensemble.rule import PlainEnsemble
from rdahw.families.ensemble.spec import EnsembleSpec, register_bits
from rdahw.sim.reference import Reference, run
from rdahw.types import Words


def spec(**changes: Any) -> EnsembleSpec:
    given: dict[str, Any] = dict(input_bits=12, classes=3, tables=5, inputs=2, counter=3, margin=2, dropout=0.0, seed=7)
    return EnsembleSpec(**{**given, **changes})


def counters_to_bits(made: EnsembleSpec, counters: Any, dropout_state: int) -> Any:
    """The state of the step circuit: the counters, and with dropout the shift register."""
    words = Words(counters.size, made.counter).to_bits(counters.reshape(-1))
    return np.concatenate([words, register_bits(dropout_state)]) if made.dropout else words


def examples(made: EnsembleSpec, n: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(3)
    return rng.integers(0, 2, (n, made.input_bits)).astype(np.uint8), rng.integers(0, made.classes, n)


@pytest.mark.parametrize(
    "made",
    [
        spec(),
        spec(dropout=0.5, classes=5, tables=7),
        spec(dropout=0.1875, classes=2, tables=3, counter=2),
        spec(dropout=0.75, inputs=3, sign=True),
        spec(margin=0, classes=4, inputs=1),
        spec(image=Image(2, 2, 3), wiring="patch2", classes=10, tables=4, margin=9),
    ],
    ids=["plain", "dropout 1/2", "dropout 3/16", "signs", "no margin", "patches"],
)
def test_the_step_circuit_is_the_plain_rule(made: EnsembleSpec) -> None:
    engine, step = PlainEnsemble(made), Reference(step_circuit(made))
    x, labels = examples(made, 60)
    targets = encode(labels, made.classes, "binary")
    state = counters_to_bits(made, engine.counters, engine.dropout_state)
    assert len(state) == step_bits(made)
    low, high = made.counter_range
    reached, updates = set(), []
    for i in range(60):
        outcome = engine.learn(x, labels, np.array([i]))
        state, prediction, updated = step(state, x[i], targets[i])
        assert prediction.tolist() == encode(outcome.predictions, made.classes, "binary")[0].tolist()
        assert updated.tolist() == outcome.updated.tolist()
        assert state.tolist() == counters_to_bits(made, engine.counters, engine.dropout_state).tolist()
        reached |= set(engine.counters.reshape(-1).tolist())
        updates += outcome.updated.tolist()
    assert any(updates)
    if made.counter == 2:
        assert {low, high} <= reached
    if made.margin == 0:
        assert not all(updates)


def test_the_order_of_state_bits() -> None:
    made = spec(dropout=0.5)
    counters = np.zeros(made.counters_shape, np.int8)
    counters[2, 3, 1] = -3  # 101, bit 0 first
    bits = counters_to_bits(made, counters, 1 << 62 | 2)
    assert np.flatnonzero(bits).tolist() == [((2 * 4 + 3) * 3 + 1) * 3, ((2 * 4 + 3) * 3 + 1) * 3 + 2, 181, 180 + 62]


@pytest.mark.parametrize("classes", [2, 3, 5, 10])
@pytest.mark.parametrize("tables", [1, 4, 9])
def test_the_boolean_circuit_is_the_plain_rule_with_signs(classes: int, tables: int) -> None:
    made = spec(classes=classes, tables=tables, inputs=3, sign=True)
    engine = PlainEnsemble(made)
    engine.counters = np.random.default_rng(classes).integers(-4, 4, made.counters_shape).astype(np.int8)
    x, _ = examples(made, 200)
    predictions = engine.classify(x)
    assert len(set(predictions.tolist())) > 1
    table_bits = binarise(engine.counters)
    for code in ("binary", "one-hot"):
        (labels,) = run(boolean_ensemble(made, table_bits, code), x)  # type: ignore[arg-type]
        assert (labels == encode(predictions, classes, code)).all()
    zero = boolean_ensemble(made, np.zeros_like(table_bits))
    assert not run(zero, x)[0].any(), "a tie is the lowest class"


def test_a_step_that_is_too_large_is_refused() -> None:
    with pytest.raises(UsageError, match="would have a state of 983040 bits; a circuit takes at most 65536"):
        step_circuit(replace(spec(), tables=256, inputs=6, counter=6, classes=10))


def test_tables_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UsageError, match=r"table bits have shape \(2,\); expected 0 and 1 of shape \(5, 4, 3\)"):
        boolean_ensemble(spec(), np.zeros(2, np.uint8))
    with pytest.raises(UsageError, match="expected 0 and 1 of"):
        boolean_ensemble(spec(), np.full((5, 4, 3), 2, np.uint8))
