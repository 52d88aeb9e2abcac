"""Ensembles whose tables choose their inputs by the training examples."""

from __future__ import annotations

import gc
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from rdahw.data.images import Image
from rdahw.errors import UsageError
from rdahw.families import parse_model
from rdahw.families.ensemble.circuits import boolean_ensemble
from rdahw.families.ensemble.rule import PlainEnsemble
from rdahw.families.ensemble.spec import EnsembleSpec, make_wiring
from rdahw.families.grown import PlainVotes, VotesSpec
from rdahw.family import Task
from rdahw.hdl.export import export
from rdahw.hdl.trainer_factory import interfaces, make_trainer
from rdahw.sim.engines import make_engine
from rdahw.sim.reference import run
from rdahw.training import Examples, Progress, Schedule, Training, prepare

RANDOM = np.random.default_rng(5)
X = RANDOM.integers(0, 2, (90, 36), np.uint8)
LABELS = (X[:, 3] + X[:, 17]).astype(np.int64)
TRAIN = Examples(X[:60], LABELS[:60])
NUMBERS = EnsembleSpec(
    input_bits=36, classes=3, tables=20, inputs=3, wiring="grown", candidates=12, slope=200, margin=40, seed=2
)
IMAGES = replace(NUMBERS, image=Image(1, 6, 6), copies=2)
every_spec = pytest.mark.parametrize("spec", [NUMBERS, IMAGES], ids=["numbers", "images"])


def prepared(spec: EnsembleSpec, engine: str = "compiled") -> EnsembleSpec:
    made = prepare(spec, TRAIN, lambda first: make_engine(first, engine))
    assert isinstance(made, EnsembleSpec)
    return made


def points(spec: Any, engine: str, state: Any = None, progress: Progress | None = None) -> list[Any]:
    made = make_engine(spec, engine)
    if state is not None:
        made.state = state
    training = Training(made, Schedule(**spec.schedule(60)), TRAIN, None, progress or Progress())
    return [(made.state, done) for done in training.run()]


def plain(state: Any, progress: Progress) -> tuple[Any, ...]:
    counts = [getattr(progress, name) for name in ("epoch", "position", "examples", "updates", "wrong", "changed")]
    return {name: value.tolist() for name, value in state.items()}, counts


@every_spec
def test_the_wiring_is_that_of_the_growth_of_votes(spec: EnsembleSpec) -> None:
    settings: dict[str, Any] = {"copies": 2, "margin": 24, "scale": 24, "sample": 12000} if spec.copies else {}
    votes = PlainVotes(
        VotesSpec(
            input_bits=36,
            classes=3,
            tables=20,
            inputs=3,
            candidates=12,
            slope=200,
            seed=2,
            image=spec.image,
            **settings,
        )
    )
    for _ in votes.run(votes.prepare(TRAIN.x, TRAIN.labels)):
        pass
    made = prepared(spec)
    assert (make_wiring(made) == votes.state.wiring).all()
    assert {3, 17} <= set(make_wiring(made).reshape(-1).tolist())
    assert made == prepared(spec, "reference")
    assert made != prepared(replace(spec, seed=3))
    assert replace(made, wires="") == spec
    assert EnsembleSpec.from_json(json.loads(json.dumps(made.to_json()))) == made


@every_spec
def test_growth_goes_on_from_every_point_in_every_engine(spec: EnsembleSpec) -> None:
    whole = points(spec.preparation, "compiled")
    assert [plain(*point) for point in whole] == [plain(*point) for point in points(spec.preparation, "reference")]
    assert len(whole) == spec.tables
    for state, progress in whole[:-1:6]:
        rest = points(spec.preparation, "compiled", state, progress)
        assert [plain(*point) for point in rest] == [plain(*point) for point in whole[progress.updates :]]


@every_spec
def test_the_rule_is_that_of_random_wiring(spec: EnsembleSpec) -> None:
    spec = prepared(spec)
    engines = [make_engine(spec, name) for name in ("reference", "compiled")]
    for engine in engines:
        assert not engine.state["counters"].any()
        for _ in Training(engine, Schedule(epochs=3, shuffle=True), TRAIN).run():
            pass
    first, second = (engine.state for engine in engines)
    assert all((first[name] == second[name]).all() for name in first)
    assert first["counters"].any()


def test_circuits_read_the_wiring() -> None:
    spec = replace(prepared(NUMBERS), sign=True)
    engine = PlainEnsemble(spec)
    engine.counters = RANDOM.integers(-3, 3, spec.counters_shape).astype(np.int8)
    (number,) = run(boolean_ensemble(spec, (engine.counters >= 0).astype(np.uint8)), X)
    assert ((number << np.arange(number.shape[1])).sum(axis=1) == engine.classify(X)).all()


def test_the_fingerprint_of_a_trainer_tells_one_wiring_from_another() -> None:
    made = [prepared(replace(NUMBERS, seed=seed, dropout=0.0)) for seed in (2, 3)]
    same = replace(made[0], wires=made[1].wires)
    first, second, third = ([one.fingerprint for one in interfaces(spec)] for spec in (made[0], made[0], same))
    assert first == second
    assert not set(first) & set(third)


def test_gateware_differs_in_the_contents_of_a_memory_alone() -> None:
    spec = prepared(replace(NUMBERS, dropout=0.0))
    other = replace(spec, wiring="any", candidates=64, slope=60, wires="")
    texts = [export(make_trainer(one), "rtlil", name="top", about="A trainer.") for one in (spec, other)]
    lines = [text.splitlines() for text in texts]
    assert len(lines[0]) == len(lines[1])
    differing = [pair for pair in zip(*lines, strict=True) if pair[0] != pair[1]]
    assert {pair[0].split()[1] for pair in differing} == {"\\DATA"}


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
@pytest.mark.parametrize(
    "use",
    [make_wiring, make_trainer, make_engine, EnsembleSpec.learner],
    ids=["wiring", "trainer", "engine", "circuit"],
)
def test_there_is_no_model_before_the_wiring_is_chosen(use: Any) -> None:
    with pytest.raises(UsageError, match="no circuit before it is trained, .* train one with rdahw train and give its"):
        use(replace(NUMBERS, tables=4))
    gc.collect()  # the trainer that came to nothing, while its warning is off


def test_defaults() -> None:
    family, options = parse_model("ensemble:wiring=grown")
    bits, image = Task(input_bits=20, classes=3), Task(input_bits=784, classes=10, image=Image(1, 28, 28))
    of_bits, of_image = (family.spec(task, **options).preparation for task in (bits, image))
    assert isinstance(of_bits, VotesSpec)
    assert isinstance(of_image, VotesSpec)
    assert (of_bits.slope, of_bits.candidates, of_bits.tables) == (200, 64, 256)
    assert (of_image.slope, of_image.patch, of_image.inset) == (60, 8, 2)
