"""The compiled ensemble engine equals the plain rule, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rdahw.data import decode, load
from rdahw.data.images import Image
from rdahw.errors import UserError
from rdahw.families import find_family
from rdahw.families.ensemble.circuits import binarise, boolean_ensemble
from rdahw.families.ensemble.rule import PlainEnsemble
from rdahw.families.ensemble.spec import EnsembleSpec, draw_shifts
from rdahw.family import Task
from rdahw.sim.ensemble import CompiledEnsemble
from rdahw.sim.reference import run
from rdahw.training import Batches, Examples, Schedule, Training

PICTURES = Image(2, 7, 9)

CASES: dict[str, dict[str, Any]] = {
    "few tables, saturating": dict(classes=3, tables=5, inputs=3, counter=2, margin=4),
    "no dropout": dict(classes=10, tables=40, inputs=6, dropout=0.0, wiring="patch5"),
    "dropout 3/4": dict(classes=4, tables=41, inputs=4, dropout=0.75, wiring="patch3inset1"),
    "dropout 5/16": dict(classes=10, tables=70, inputs=5, dropout=0.3125),
    "signs": dict(classes=10, tables=70, inputs=4, sign=True, margin=10, wiring="patch4"),
    "moved images": dict(classes=10, tables=70, inputs=6, shift=1, wiring="patch4"),
    "moved far": dict(classes=2, tables=33, inputs=8, shift=3, wiring="patch7"),
    "nine inputs": dict(classes=10, tables=20, inputs=9, shift=1, counter=8, margin=100),
    "sixteen inputs": dict(classes=3, tables=2, inputs=16),
    "forgetting": dict(classes=4, tables=20, inputs=4, forget=7),
    "forgetting often": dict(classes=10, tables=9, inputs=3, forget=1, shift=1, counter=8, sign=True),
    "more classes than lanes": dict(classes=37, tables=20, inputs=6, shift=1),
    "more tables than are added at once": dict(classes=10, tables=300, inputs=2, counter=8, margin=5000, dropout=0.0),
}


def make(name: str) -> tuple[EnsembleSpec, Any, Any]:
    rng = np.random.default_rng(5)
    spec = EnsembleSpec(**{"input_bits": 126, "image": PICTURES, "seed": 3, "margin": 30, **CASES[name]})
    x = rng.integers(0, 2, (75, 126)).astype(np.uint8)
    return spec, x, rng.integers(0, spec.classes, 75)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_the_engine_equals_the_plain_rule(name: str) -> None:
    spec, x, labels = make(name)
    engines = [PlainEnsemble(spec), CompiledEnsemble(spec)]
    order = np.random.default_rng(6).permutation(75)
    for start, stop in ((0, 66), (66, 67), (67, 75)):
        shifts = None
        if spec.shift:
            shifts = np.random.default_rng(start).integers(-spec.shift, spec.shift + 1, (stop - start, 2))
        plain, compiled = (e.learn(e.pack(x), labels, order[start:stop], shifts) for e in engines)
        assert (plain.predictions == compiled.predictions).all()
        assert (plain.updated == compiled.updated).all()
        assert plain.updated.any()
        assert (engines[0].counters == engines[1].counters).all()
        assert engines[0].dropout_state == engines[1].dropout_state
        assert engines[0].age == engines[1].age
    plain_scores, scores = (e.scores(e.pack(x)) for e in engines)
    assert (plain_scores == scores).all()
    assert (engines[0].classify(x) == engines[1].classify(engines[1].pack(x))).all()
    assert (scores == scores_on(spec, engines[0], x, threads=3)).all()


def scores_on(spec: EnsembleSpec, other: Any, x: Any, threads: int) -> Any:
    engine = CompiledEnsemble(spec, threads=threads)
    engine.counters = other.counters
    return engine.scores(engine.pack(x))


def test_training_is_the_same_in_any_chunks_and_after_a_stop() -> None:
    spec, *both = make("moved images")
    examples = Examples(*both)
    schedule = Schedule(epochs=3, shuffle=True, seed=3)
    plain = Training(PlainEnsemble(spec), schedule, examples)
    list(plain.run())
    first = Training(CompiledEnsemble(spec), schedule, examples)
    for progress in first.run(37):
        if progress.examples > 100:
            break
    engine = CompiledEnsemble(spec)
    engine.state = first.engine.state
    second = Training(engine, schedule, examples, None, progress)
    *_, last = second.run()
    assert last.examples == 225
    for name, value in plain.engine.state.items():
        assert (second.engine.state[name] == value).all()


def test_an_engine_counts_what_was_wrong_and_what_asked_for_a_change() -> None:
    spec, x, labels = make("moved images")
    told, learned = CompiledEnsemble(spec), CompiledEnsemble(spec)
    rows = np.random.default_rng(6).permutation(75)
    outcome = told.train(told.prepare(Examples(x, labels)), Batches.single(rows, epoch=4))
    found = learned.learn(learned.pack(x), labels, rows, draw_shifts(spec, 4, 75)[rows])
    assert outcome.wrong.tolist() == (found.predictions != labels[rows]).tolist()
    assert outcome.changed is not None
    assert outcome.changed.tolist() == found.updated.tolist()
    assert 0 < outcome.wrong.sum() < 75
    assert (told.counters == learned.counters).all()
    # Until a change, in single steps: each may change something.
    some = told.train(told.prepare(Examples(x, labels)), Batches.single(rows, until_change=True))
    assert len(some.wrong) == 1


def test_wide_and_narrow_inputs() -> None:
    for bits in (1, 63, 64, 65, 129):
        spec = EnsembleSpec(input_bits=bits, classes=2, tables=3, inputs=1, dropout=0.0)
        rng = np.random.default_rng(bits)
        x, labels = rng.integers(0, 2, (70, bits)).astype(np.uint8), rng.integers(0, 2, 70)
        plain, compiled = PlainEnsemble(spec), CompiledEnsemble(spec)
        plain.learn(x, labels, np.arange(70))
        compiled.learn(compiled.pack(x), labels, np.arange(70))
        assert (plain.counters == compiled.counters).all()


def test_no_examples_are_no_work() -> None:
    spec, x, labels = make("no dropout")
    engine = CompiledEnsemble(spec, threads=2)
    assert engine.classify(engine.pack(x[:0])).shape == (0,)
    assert engine.learn(engine.pack(x), labels, np.arange(0)).predictions.shape == (0,)
    assert not engine.counters.any()


def test_inputs_and_shifts_that_do_not_fit_are_refused() -> None:
    spec, x, labels = make("moved images")
    engine = CompiledEnsemble(spec)
    with pytest.raises(UserError, match=r"inputs of shape \(75, 5\) were given; expected \(N, 126\)"):
        engine.pack(x[:, :5])
    with pytest.raises(UserError, match="moved by more than 1 pixels, the ensemble's largest shift"):
        engine.learn(engine.pack(x), labels, np.arange(1), np.array([[0, 2]]))


def test_a_boolean_ensemble_of_real_images_is_a_circuit(mnist_folder: object) -> None:
    test = load("mnist").test
    assert test is not None
    x, labels = (test.features[:2000] > 32).astype(np.uint8), test.labels[:2000]
    task = Task(input_bits=784, classes=10, image=Image(1, 28, 28), seed=1)
    spec = find_family("ensemble").spec(task, tables=64, margin=10, sign=True)
    assert isinstance(spec, EnsembleSpec)
    assert spec.wiring == "patch8inset2"
    engine = CompiledEnsemble(spec)
    list(Training(engine, Schedule(epochs=3, shuffle=True), Examples(x[:1500], labels[:1500])).run())
    predictions = engine.classify(engine.pack(x[1500:]))
    assert (predictions == labels[1500:]).mean() > 0.8
    (outputs,) = run(boolean_ensemble(spec, binarise(engine.counters)), x[1500:])
    assert (decode(outputs, 10, "binary") == predictions).all()
