"""A trained ensemble as a circuit with its table bits as parameters, and as a saved model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from rdahw.data import Binariser, Code, Column, Schema, decode
from rdahw.derivative import reverse
from rdahw.errors import UsageError
from rdahw.families import find_family
from rdahw.families.ensemble.circuits import MAX_TABLE_BITS, binarise, boolean_ensemble, boolean_model, tables_to_bits
from rdahw.families.ensemble.rule import PlainEnsemble
from rdahw.families.ensemble.spec import EnsembleSpec
from rdahw.safety import is_safe
from rdahw.saved import SavedModel, load_model, save_model
from rdahw.sim.engines import predict
from rdahw.sim.reference import run
from rdahw.training import Progress, Schedule
from rdahw.transform import bind

RANDOM = np.random.default_rng(5)
SPEC = EnsembleSpec(input_bits=9, classes=3, tables=11, inputs=3, counter=4, sign=True, seed=4)
COUNTERS = RANDOM.integers(-8, 8, SPEC.counters_shape).astype(np.int8)
X = RANDOM.integers(0, 2, (200, 9)).astype(np.uint8)


def classes() -> Any:
    """What the plain rule says with signs."""
    engine = PlainEnsemble(SPEC)
    engine.counters = COUNTERS
    return engine.classify(X)


@pytest.mark.parametrize("code", ["binary", "one-hot"])
def test_the_model_at_its_table_bits_is_the_boolean_ensemble_and_the_plain_rule(code: Code) -> None:
    model, theta = boolean_model(SPEC, code), tables_to_bits(SPEC, binarise(COUNTERS))
    (outputs,) = run(model, theta, X)
    assert (decode(outputs, 3, code) == classes()).all()
    assert len(set(classes().tolist())) == 3
    (of_constants,) = run(boolean_ensemble(SPEC, binarise(COUNTERS), code), X)
    assert (of_constants == outputs).all()
    # Bound, no wide constant is left: each table is one of its own.
    bound = bind(model, theta=theta.tolist())
    assert bound == boolean_ensemble(SPEC, binarise(COUNTERS), code)


def test_a_table_bit_is_where_it_is_said_to_be() -> None:
    tables = np.zeros(SPEC.counters_shape, np.uint8)
    tables[4, 5, 2] = 1
    assert np.flatnonzero(tables_to_bits(SPEC, tables)).tolist() == [((4 * 3 + 2) << 3) + 5]


def test_the_model_has_a_reverse_derivative() -> None:
    model = boolean_model(SPEC)
    assert not is_safe(model)
    theta = tables_to_bits(SPEC, binarise(COUNTERS))
    dtheta, _ = run(reverse(model), theta, X[:1], np.ones((1, 2), np.uint8))
    assert dtheta.shape == (1, len(theta))


def test_a_saved_ensemble_becomes_a_saved_circuit(tmp_path: Any) -> None:
    columns = (Column("number"),) * 9
    names = tuple(f"x{i}" for i in range(9))
    rule = find_family("ensemble").binarised
    assert rule is not None
    made = SavedModel(
        spec=rule.circuit(SPEC, "one-hot"),
        state=rule.state(SPEC, {"counters": COUNTERS, "dropout": np.zeros(63, np.uint8)}),
        progress=Progress(),
        schema=Schema(names, columns, ("a", "b", "c")),
        binariser=Binariser.fit("threshold=0.5", X[:9], columns),
        schedule=Schedule(),
        provenance={"finished": True},
    )
    save_model(made, tmp_path / "x")
    again = load_model(tmp_path / "x")
    assert (predict(again.spec, again.best_state, again.binariser.transform(X)) == classes()).all()
    assert (again.schema, again.is_finished, again.spec.code) == (made.schema, True, "one-hot")


def test_it_is_tuned_through_its_signs() -> None:
    rule = find_family("ensemble").binarised
    assert rule is not None
    plain = replace(SPEC, sign=False, tables=50)
    assert rule.tuned(plain, 7) == replace(plain, sign=True, margin=7)
    assert rule.tuned(plain, None) == replace(plain, sign=True, margin=2)
    assert find_family("lookup").binarised is None


def test_what_is_too_large_for_a_circuit_is_refused() -> None:
    large = EnsembleSpec(input_bits=99, classes=10, tables=1 << 11, inputs=10)
    message = rf"have 20971520 bits, and a circuit takes at most {MAX_TABLE_BITS}; train with fewer tables or inputs"
    with pytest.raises(UsageError, match=message):
        boolean_model(large)
