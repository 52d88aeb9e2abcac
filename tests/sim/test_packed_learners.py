"""One body for every way in which the packed engine learns: the same bits as the reference engine."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import circuits

from rdahw import Bits, Learner, Model, lookup_model, make_model, mask_model, trace
from rdahw.bits import PackedBits
from rdahw.errors import UsageError, UserError
from rdahw.families import find_family
from rdahw.families.circuits import CircuitSpec
from rdahw.families.ensemble.spec import EnsembleSpec
from rdahw.family import Task
from rdahw.sim import packed_engine
from rdahw.sim.engine_rows import ROWS
from rdahw.sim.engines import CircuitEngine, ReferenceEngine, find_engine, make_engine, predict, predicting_row
from rdahw.sim.packed_engine import PackedEngine
from rdahw.sim.packing import pack_wires
from rdahw.training import Examples, Progress, Schedule, Training


class BitExamples(NamedTuple):
    """Inputs (N, A) and labels (N, B), as runners take them."""

    x: np.ndarray
    y: np.ndarray


def examples(learner: Learner, n: int, seed: int = 0) -> BitExamples:
    random = np.random.default_rng(seed)
    sizes = learner.model.input_bits, learner.model.output_bits
    return BitExamples(*(random.integers(0, 2, (n, size), dtype=np.uint8) for size in sizes))


def numbered(data: BitExamples) -> Examples:
    """The examples of the training loop: their classes by number, the first bit least significant."""
    return Examples(data.x, data.y @ (1 << np.arange(data.y.shape[1], dtype=np.int64)))


def some_parameters(learner: Learner, seed: int = 9) -> Any:
    return np.random.default_rng(seed).integers(0, 2, learner.model.parameter_bits, dtype=np.uint8)


def by_words(learner: Learner) -> PackedEngine:
    """The word machine, whatever the model and the batch."""
    engine = PackedEngine(learner)
    engine._kernels = packed_engine._general_kernels(learner)
    engine._may_pack = False
    return engine


def by_gates(learner: Learner) -> PackedEngine:
    """Packed circuits for batches of many examples, whatever the model, on two threads."""
    engine = PackedEngine(learner, threads=2)
    engine._kernels = packed_engine._general_kernels(learner)
    engine._may_pack = True
    return engine


WAYS: dict[str, Callable[[Learner], PackedEngine]] = {"own kernels": PackedEngine, "words": by_words, "gates": by_gates}

SHIFT = trace(lambda theta, x: (theta & x) ^ theta[1:].concat(theta[1:], x[0]), theta=Bits(5), x=Bits(5))
MODELS = {
    "lookup 3 to 2": Model("lookup", lookup_model(3, 2)),
    "lookup 2 to 70": Model("lookup", lookup_model(2, 70)),
    "lookup 7 to 1": Model("lookup", lookup_model(7, 1)),
    "mask of 5": Model("mask", mask_model(5)),
    "mask of 64, k = 3": Model("mask", mask_model(64, 3)),
    "mask of 70, k = 1": Model("mask", mask_model(70, 1)),
    "shift": Model("shift", SHIFT),
    "ignores the example": Model("constant", trace(lambda theta, x: theta[0] & theta[1], theta=Bits(2), x=Bits(3))),
    "ignores the parameters": Model("fixed", trace(lambda theta, x: x[0], theta=Bits(2), x=Bits(3))),
}


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("batch", [1, 2, 63, 64, 65, 130])
@pytest.mark.parametrize("model", MODELS)
def test_training_and_predicting_as_the_reference(model: str, batch: int, way: str) -> None:
    learner = Learner(MODELS[model])
    data = examples(learner, 133)
    engines = [ReferenceEngine(learner), WAYS[way](learner)]
    for engine in engines:
        engine.parameters = some_parameters(learner)
    for start in range(0, 133 if batch > 60 else 20 * batch, batch):
        part = slice(start, min(start + batch, 133))
        expected, found = (engine.train(data.x[part], data.y[part]) for engine in engines)
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(engines[1].parameters, engines[0].parameters)
    expected, found = (engine.predict(data.x) for engine in engines)
    np.testing.assert_array_equal(found, expected)
    assert (found.dtype, found.shape) == (np.uint8, expected.shape)


@pytest.mark.parametrize("way", ["words", "gates"])
@settings(max_examples=25)
@given(data=st.data())
def test_random_learners(way: str, data: st.DataObject) -> None:
    sizes = [data.draw(st.integers(1, 6)), data.draw(st.integers(1, 4))]
    model = data.draw(circuits(inputs=sizes, outputs=[data.draw(st.integers(1, 3))]))
    learner = Learner(Model("random", model))
    engines = [ReferenceEngine(learner), WAYS[way](learner)]
    batch = data.draw(st.sampled_from([1, 3, 70]))
    drawn = examples(learner, 2 * batch, seed=data.draw(st.integers(0, 1000)))
    for start in (0, batch):
        part = slice(start, start + batch)
        expected, found = (engine.train(drawn.x[part], drawn.y[part]) for engine in engines)
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(engines[1].parameters, engines[0].parameters)


def test_built_in_models_have_kernels_of_their_own() -> None:
    general = {name: PackedEngine(Learner(model))._kernels.general for name, model in MODELS.items()}
    assert {name for name, is_general in general.items() if not is_general} == {
        name for name in MODELS if name.startswith(("lookup", "mask"))
    }


def test_a_model_that_only_looks_like_a_built_in_one_has_not() -> None:
    almost = trace(lambda theta, x: ~theta.lookup(x), theta=Bits(8), x=Bits(3))
    mask = mask_model(5, 4)
    block = mask.assignments[0].attributes[0]
    inverted = trace(lambda theta, x: ~mask(theta, x), theta=Bits(5), x=Bits(5))
    assert "k = 4" in block.name
    for circuit in (almost, inverted):
        assert PackedEngine(Learner(Model("mask", circuit)))._kernels.general


def test_parameters_are_copies() -> None:
    engine = PackedEngine(Learner(MODELS["mask of 70, k = 1"]))
    given = some_parameters(engine.learner)
    engine.parameters = given
    before = engine.parameters
    given[:] = 0
    engine.parameters[:] = 0
    np.testing.assert_array_equal(engine.parameters, before)


def test_arrays_of_a_wrong_form_are_told() -> None:
    engine = PackedEngine(Learner(MODELS["lookup 3 to 2"]))
    data = examples(engine.learner, 5)
    with pytest.raises(UserError, match=r"^parameters of shape \(15,\) were given; expected \(16,\)$"):
        engine.parameters = np.zeros(15, np.uint8)
    with pytest.raises(UserError, match=r"^inputs of shape \(5, 2\) were given; expected \(examples, 3\)$"):
        engine.predict(data.y)
    with pytest.raises(UserError, match=r"^labels of shape \(5, 3\) were given; expected \(examples, 2\)$"):
        engine.train(data.x, data.x)
    prepared = engine.prepare(data.x, data.y)
    with pytest.raises(UserError, match=r"^rows are 0 to 5; expected 0 to 4$"):
        engine.train_many(prepared, np.arange(6), np.arange(1, 7))
    for ends in ([1, 6], [3, 2], [-1, 5]):
        with pytest.raises(UserError, match=r"^the ends of the batches go up to \d; expected to 5, and in order$"):
            engine.train_many(prepared, np.arange(5), np.array(ends))


@pytest.mark.parametrize("way", WAYS)
def test_any_number_but_zero_is_a_set_bit(way: str) -> None:
    learner = Learner(MODELS["mask of 5"])
    data = examples(learner, 80)
    engines = [WAYS[way](learner), WAYS[way](learner)]
    for engine, factor in zip(engines, (1, 255), strict=True):
        engine.parameters = some_parameters(learner) * np.uint8(factor)
        engine.train(data.x * np.uint8(factor), data.y * np.uint8(factor))
    np.testing.assert_array_equal(engines[0].parameters, engines[1].parameters)
    np.testing.assert_array_equal(engines[0].predict(data.x), engines[1].predict(data.x * np.uint8(255)))


# -- many updates at once ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("batch", [1, 3, 66])
@pytest.mark.parametrize("model", ["lookup 3 to 2", "mask of 5", "shift"])
def test_many_updates_are_the_single_ones(model: str, batch: int, way: str) -> None:
    learner = Learner(MODELS[model])
    data, order = examples(learner, 150), np.random.default_rng(4).permutation(150)
    one, many = ReferenceEngine(learner), WAYS[way](learner)
    one.parameters = many.parameters = some_parameters(learner)
    ends = np.minimum(np.arange(batch, 150 + batch, batch), 150)
    wrong, changes = [], []
    for start, end in zip([0, *ends], ends, strict=False):
        before = one.parameters
        outputs = one.train(data.x[order[start:end]], data.y[order[start:end]])
        wrong.append(int((outputs != data.y[order[start:end]]).any(axis=1).sum()))
        changes.append(bool((one.parameters != before).any()))
    prepared = many.prepare(data.x, data.y)
    assert many.train_many(prepared, order, ends).tolist() == wrong
    np.testing.assert_array_equal(many.parameters, one.parameters)
    np.testing.assert_array_equal(many.outputs(prepared), one.predict(data.x))

    # Until the first change: no update before the last one moved a parameter, and none after it was applied.
    many.parameters = some_parameters(learner)
    done = len(many.train_many(prepared, order, ends, until_change=True))
    assert 1 <= done <= changes.index(True) + 1
    again = ReferenceEngine(learner)
    again.parameters = some_parameters(learner)
    for start, end in list(zip([0, *ends], ends, strict=False))[:done]:
        again.train(data.x[order[start:end]], data.y[order[start:end]])
    np.testing.assert_array_equal(many.parameters, again.parameters)
    assert not any(changes[: done - 1])


def told(training: Training, progress: Progress) -> tuple[Any, ...]:
    """The parameters and all that is counted."""
    best = progress.best and (progress.best.correct, progress.best.update, progress.best.parameters.tolist())
    counts = [getattr(progress, name) for name in ("epoch", "position", "examples", "updates", "wrong")]
    return training.engine.state["parameters"].tolist(), counts, best


def training(
    model: str, schedule: Schedule, validated: bool, way: Callable[[Learner], Any], at: Any = None
) -> Training:
    """A training by one of the ways, from the start or from another one."""
    learner = Learner(MODELS[model])
    engine = CircuitEngine(CircuitSpec.of(learner), "packed", way(learner))
    validation = numbered(examples(learner, 67, seed=1)) if validated else None
    if at is None:
        return Training(engine, schedule, numbered(examples(learner, 70)), validation)
    engine.state = at.engine.state
    return Training(engine, schedule, numbered(examples(learner, 70)), validation, at.progress)


@cache
def reference_run(model: str, schedule: Schedule, validated: bool) -> tuple[dict[int, Any], Any]:
    """The point after each update, and in the end."""
    run = training(model, schedule, validated, ReferenceEngine)
    after = {progress.updates: told(run, progress) for progress in run.run(1)}
    return after, told(run, run.progress)


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("validated", [False, True])
@pytest.mark.parametrize(
    "schedule",
    [
        Schedule(epochs=9),
        Schedule(epochs=9, updates=501, shuffle=True, seed=2),
        Schedule(batch=4, epochs=30, shuffle=True),
        Schedule(batch=64, epochs=5),
        Schedule(epochs=9, updates=501, shuffle=True, seed=2, scored="epoch"),
    ],
    ids=str,
)
@pytest.mark.parametrize("model", ["lookup 3 to 2", "mask of 5", "shift"])
def test_a_run_in_bulk_is_the_run(model: str, schedule: Schedule, validated: bool, way: str) -> None:
    after, end = reference_run(model, schedule, validated)
    fast = training(model, schedule, validated, WAYS[way])
    for progress in fast.run(seconds=1e-4):
        assert fast.progress is progress
        last = told(fast, progress)
        assert last == after[progress.updates]
    assert progress.updates == fast.total_updates
    assert told(fast, fast.progress) == end
    # From points in the middle, as from a checkpoint: here of another engine.
    for part in (0.3, 0.5, 0.9):
        shorter = replace(schedule, updates=int(part * fast.total_updates))
        stopped = training(model, shorter, validated, PackedEngine)
        list(stopped.run(seconds=1))
        on = training(model, schedule, validated, WAYS[way], stopped)
        *_, progress = on.run(seconds=1e-4)
        assert told(on, progress) == last


def test_a_run_in_bulk_is_interruptible_and_one_by_one_if_asked_for() -> None:
    one_by_one = training("lookup 3 to 2", Schedule(epochs=100), False, PackedEngine)
    assert [progress.updates for progress in one_by_one.run(1)] == list(range(1, 7001))
    bulk = training("lookup 3 to 2", Schedule(epochs=10**6), False, PackedEngine)
    *_, progress = itertools.islice(bulk.run(seconds=60), 20)
    assert 20 < progress.updates < bulk.total_updates
    assert bulk.progress is progress


# -- the table of engines, and what is said of compiling ---------------------------------------------------------------

LOOKUP = CircuitSpec.of(Learner(make_model("lookup", 2, 1)))
ENSEMBLE = EnsembleSpec(input_bits=2, classes=2, tables=2, inputs=1)


@pytest.mark.parametrize(
    ("spec", "names"),
    [(LOOKUP, ["reference", "packed"]), (ENSEMBLE, ["compiled", "reference"])],
    ids=["lookup", "ensemble"],
)
def test_engines_by_name(spec: Any, names: list[str]) -> None:
    assert make_engine(spec).name == find_engine(spec).name == names[0]
    assert [make_engine(spec, name).name for name in names] == names
    assert all(make_engine(spec, name).spec is spec for name in names)
    other = next(row.name for row in ROWS if row.name not in names)
    for wrong in (other, "paked"):
        with pytest.raises(UsageError, match=rf"^engine '{wrong}' does not run model '.*'; use {' or '.join(names)}$"):
            make_engine(spec, wrong)


@pytest.mark.parametrize("spec", [LOOKUP, ENSEMBLE], ids=["lookup", "ensemble"])
def test_predictions_are_by_the_engine_that_suits_and_the_same(spec: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.array([[0, 0], [1, 0], [0, 1], [1, 1]], np.uint8)
    random = np.random.default_rng(2)
    state = {**spec.initial_state()}
    zero = spec.parameters.zero()
    state[spec.parameters.name] = random.integers(0, 2, zero.shape).astype(zero.dtype)
    few = predict(spec, state, x)
    assert (few.dtype, few.shape) == (np.int64, (4,))
    monkeypatch.setattr("rdahw.sim.engines._MOST_BY_REFERENCE", 0)
    assert predicting_row(spec, 4).is_compiled
    assert predict(spec, state, x).tolist() == few.tolist()
    assert len(set(few.tolist())) == 2
    monkeypatch.setattr("rdahw.sim.engines._PREDICTED", 3)
    said: list[tuple[int, int]] = []
    assert predict(spec, state, x, lambda *counts: said.append(counts)).tolist() == few.tolist()
    packed = PackedBits(pack_wires(x), 2)
    assert predict(spec, state, packed).tolist() == few.tolist()
    assert said == [(3, 4), (4, 4)]


COMPILE = """
from rdahw.sim.jit import on_compile
with on_compile(lambda name: print(name)):
    import rdahw.sim.packing_kernels
"""


@pytest.mark.slow
def test_compiling_is_told_once_and_cached(tmp_path: Path) -> None:
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    run = [sys.executable, "-P", "-c", COMPILE]
    told = [subprocess.run(run, env=environment, capture_output=True, text=True, check=True).stdout for _ in range(2)]
    assert told == ["pack\nunpack\nspread_lines\n", ""]


def test_the_registry_loads_no_compiler() -> None:
    program = "import sys, rdahw.sim.engines, rdahw.sim.packed_engine; print('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True).stdout == "False\n"


def test_products_of_words_are_not_made_gates() -> None:
    spec = find_family("linear").spec(Task(input_bits=100, classes=2))
    engine = PackedEngine(spec.learner())
    engine.predict(np.zeros((100, 100), np.uint8))
    assert "_model" not in vars(engine)
