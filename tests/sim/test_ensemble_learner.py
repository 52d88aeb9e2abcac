"""One body for every engine: a small ensemble as an ordinary learner learns as the plain rule of ensembles says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from rdahw import Learner, Model, Words
from rdahw.errors import UsageError
from rdahw.families.circuits import CircuitSpec
from rdahw.families.ensemble.circuits import ensemble_model, score_bits
from rdahw.families.ensemble.rule import PlainEnsemble
from rdahw.families.ensemble.spec import EnsembleSpec, make_wiring
from rdahw.sim.engines import make_engine
from rdahw.sim.hardware import HardwareEngine
from rdahw.training import Batches, Engine, Examples, Schedule, Training

ENGINES: dict[str, Callable[[CircuitSpec], Engine]] = {
    "reference": lambda spec: make_engine(spec, "reference"),
    "packed": lambda spec: make_engine(spec, "packed"),
    "register trainer": HardwareEngine,
    "register trainer, two stages": lambda spec: HardwareEngine(spec, stages=2),
}
#: For batches of more than one example.
BATCH_ENGINES = ENGINES | {
    "register trainer": lambda spec: HardwareEngine(spec, batch=True),
    "register trainer, two stages": lambda spec: HardwareEngine(spec, batch=True, stages=2),
}


def spec(**changes: Any) -> EnsembleSpec:
    given: dict[str, Any] = dict(input_bits=7, classes=3, tables=3, inputs=2, counter=4, margin=5, dropout=0.0, seed=3)
    return EnsembleSpec(**{**given, **changes})


#: Shapes that differ in everything; a margin of 0, counters at their ends, two classes, one table.
SPECS = {
    "3 x 2": spec(),
    "3 x 2, signs": spec(sign=True, margin=1),
    "5 x 3, 4 classes": spec(tables=5, inputs=3, classes=4, counter=3, margin=9, seed=8),
    "2 x 1, 2 bits": spec(tables=2, inputs=1, classes=5, counter=2, margin=0),
    "1 x 4, 2 classes, signs": spec(tables=1, inputs=4, classes=2, sign=True, margin=0, counter=2),
    "6 x 2, large margin": spec(tables=6, margin=300, counter=5, seed=11),
}


def learner(made: EnsembleSpec) -> CircuitSpec:
    """The ensemble as a learner like any other."""
    rule = Learner(Model("ensemble", ensemble_model(made)), f"margin={made.margin}", f"counter={made.counter}")
    return CircuitSpec("file", rule, made.classes, "one-hot")


def examples(made: EnsembleSpec, n: int, seed: int = 0) -> Examples:
    """Inputs and class numbers; the class follows from the input, with noise."""
    random = np.random.default_rng(seed)
    x = random.integers(0, 2, (n, made.input_bits), np.uint8)
    return Examples(x, (x.sum(axis=1) + (random.random(n) < 0.2)) % made.classes)


def counters(made: EnsembleSpec, parameters: np.ndarray) -> np.ndarray:
    return state(made).to_integers(parameters).reshape(made.counters_shape)


def state(made: EnsembleSpec) -> Words:
    return Words(int(np.prod(made.counters_shape)), score_bits(made))


#: Amaranth's simulator takes a while for each example, and the more the more counters there are.
CASES = [
    (engine, name)
    for engine in ENGINES
    for name in SPECS
    if engine in ("reference", "packed") or name in ("3 x 2, signs", "2 x 1, 2 bits")
]


@pytest.mark.slow
@pytest.mark.parametrize(("engine", "name"), CASES)
def test_every_engine_learns_by_the_plain_rule(engine: str, name: str) -> None:
    is_software = engine in ("reference", "packed")
    made, n = SPECS[name], 250 if is_software else 60
    data = examples(made, n)
    plain, trained = PlainEnsemble(made), ENGINES[engine](learner(made))
    prepared = trained.prepare(data)
    updates = 0
    for i in range(n):
        before = trained.state["parameters"]
        outcome = plain.learn(data.x, data.labels, np.array([i]))
        if is_software:
            (predicted,) = trained.predict(trained.prepare(Examples(data.x[i : i + 1], data.labels[i : i + 1])))
            assert predicted == outcome.predictions[0]
        wrong = trained.train(prepared, Batches.single(np.array([i]))).wrong
        assert wrong.tolist() == [outcome.predictions[0] != data.labels[i]]
        np.testing.assert_array_equal(counters(made, trained.state["parameters"]), plain.counters)
        changed = bool((before != trained.state["parameters"]).any())
        assert outcome.updated[0] or not changed
        updates += changed
    assert updates > n // 10
    fresh = examples(made, 64, seed=1)
    expected = plain.classify(fresh.x)
    np.testing.assert_array_equal(trained.predict(trained.prepare(fresh)), expected)
    assert len(np.unique(expected)) > 1


def after_batches(made: EnsembleSpec, data: Examples, ends: Sequence[int]) -> np.ndarray:
    """The counters after batches, in plain numbers: requests are made at the counters before the batch, summed, and
    saturated once."""
    low, high = made.counter_range
    x, labels = data.x, data.labels
    values, wiring = np.zeros(made.counters_shape, np.int64), make_wiring(made)
    for batch in np.split(np.arange(len(x)), ends)[:-1]:
        total = np.zeros_like(values)
        for i in batch:
            at = [sum(int(x[i, wire]) << b for b, wire in enumerate(wires)) for wires in wiring]
            seen = values[np.arange(made.tables), at]
            scores = ((seen >= 0) if made.sign else seen).sum(axis=0).tolist()
            target = int(labels[i])
            rival = max((c for c in range(made.classes) if c != target), key=lambda c: scores[c])
            if scores[target] - scores[rival] <= made.margin:
                total[np.arange(made.tables), at, target] += 1
                total[np.arange(made.tables), at, rival] -= 1
        values = np.clip(values + total, low, high)
    return values


@pytest.mark.slow
@pytest.mark.parametrize("name", ["3 x 2", "3 x 2, signs", "2 x 1, 2 bits"])
@pytest.mark.parametrize("engine", BATCH_ENGINES)
def test_batches_are_summed_and_saturated_once(engine: str, name: str) -> None:
    made = SPECS[name]
    rule = learner(made)
    largest = rule.learner().largest_batch
    assert largest is not None
    ends = np.cumsum([min(size, largest) for size in (1, 7, 12, 2, 1, 5, 9, 3)])
    data = examples(made, int(ends[-1]), seed=4)
    trained = BATCH_ENGINES[engine](rule)
    prepared = trained.prepare(data)
    for start, end in zip([0, *ends], ends, strict=False):
        trained.train(prepared, Batches(np.arange(start, end), np.array([end - start])))
    expected = after_batches(made, data, ends)
    np.testing.assert_array_equal(counters(made, trained.state["parameters"]), expected)
    one_by_one = after_batches(made, data, np.arange(1, len(data) + 1))
    assert (one_by_one != expected).any(), "batches make no difference here, so they are not tested"


@pytest.mark.parametrize("engine", ["packed", "reference"])
def test_many_examples_in_a_batch(engine: str) -> None:
    made = spec(tables=5, counter=8, margin=20, input_bits=9, classes=4)
    ends = np.cumsum([64, 200, 65, 100])
    data = examples(made, int(ends[-1]), seed=5)
    trained = make_engine(learner(made), engine)
    trained.train(trained.prepare(data), Batches(np.arange(ends[-1]), ends))
    np.testing.assert_array_equal(counters(made, trained.state["parameters"]), after_batches(made, data, ends))


@pytest.mark.parametrize("engine", BATCH_ENGINES)
def test_a_batch_whose_sum_could_wrap_is_refused(engine: str) -> None:
    made = spec()
    assert score_bits(made) == 6
    trained = BATCH_ENGINES[engine](learner(made))
    prepared = trained.prepare(examples(made, 32))
    message = (
        r"^a batch of 32 examples is too large for parameters of type Words\(36, 6\), whose sums would wrap; expec"
    )
    with pytest.raises(UsageError, match=message):
        trained.train(prepared, Batches(np.arange(32), np.array([32])))
    assert not trained.state["parameters"].any()
    trained.train(prepared, Batches(np.arange(31), np.array([31])))
    assert trained.state["parameters"].any()


def test_a_training_in_bulk_is_the_same() -> None:
    made = spec(tables=6, inputs=3, input_bits=8, margin=12)
    data, rule = examples(made, 120), learner(made)
    runs = []
    for engine, chunk in (("reference", 1), ("packed", None)):
        training = Training(make_engine(rule, engine), Schedule(batch=3, epochs=2, shuffle=True), data, data)
        *_, last = training.run(chunk, seconds=0.01)
        parameters = training.engine.state["parameters"]
        runs.append((last.updates, last.wrong, training.parameters.tolist(), parameters.tolist()))
    assert runs[0] == runs[1]
    assert runs[0][0] == 80
    untrained, best = (make_engine(rule, "reference") for _ in range(2))
    best.state = {"parameters": np.array(runs[0][2], np.uint8)}
    right = [(engine.predict(engine.prepare(data)) == data.labels).mean() for engine in (untrained, best)]
    assert right[1] > right[0] + 0.2


def test_the_learner_of_the_spec_is_the_ensemble() -> None:
    made = spec(tables=4)
    assert made.learner() == learner(made).learner()
    values = np.random.default_rng(3).integers(*made.counter_range, made.counters_shape, endpoint=True)
    theta = made.theta({**made.initial_state(), "counters": values.astype(np.int8)})
    assert theta.tolist() == state(made).to_bits(values.reshape(-1)).tolist()


def test_a_full_ensemble_from_any_counters_is_the_plain_one() -> None:
    made = spec(tables=7, inputs=3, classes=6, counter=6, margin=40, input_bits=12)
    values = np.random.default_rng(2).integers(*made.counter_range, made.counters_shape, endpoint=True)
    plain, packed = PlainEnsemble(made), make_engine(learner(made), "packed")
    plain.counters, packed.state = values.astype(np.int8), {"parameters": state(made).to_bits(values.reshape(-1))}
    data = examples(made, 300)
    np.testing.assert_array_equal(packed.predict(packed.prepare(data)), plain.classify(data.x))
