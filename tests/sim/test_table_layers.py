"""Layers of tables by compiled kernels and in the training loop: equal to the plain rule, and what depth learns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rdahw.data.images import Image
from rdahw.errors import UsageError, UserError
from rdahw.families.layers import LayersSpec
from rdahw.sim.engines import make_engine, predict
from rdahw.training import Batches, Examples, Schedule, Training

RANDOM = np.random.default_rng(5)
X = RANDOM.integers(0, 2, (70, 70), np.uint8)
LABELS = (X[:, 3] + X[:, 17]).astype(np.int64)
TRAIN, VALIDATION = Examples(X[:40], LABELS[:40]), Examples(X[40:], LABELS[40:])
CASES = {
    "signs": LayersSpec(input_bits=70, classes=3, sizes=((20, 3), (16, 2), (10, 4)), margin=2, counter=4),
    "sums": LayersSpec(
        input_bits=70, classes=3, sizes=((20, 2), (6, 6), (30, 3)), cotangents="sum", noise=1, counter=8
    ),
    "xor": LayersSpec(input_bits=70, classes=3, sizes=((12, 4), (9, 3)), cotangents="xor", margin=3, counter=2),
    "frozen": LayersSpec(input_bits=70, classes=3, sizes=((20, 3), (16, 2), (10, 4)), frozen=1, noise=8, seed=4),
    "no noise": LayersSpec(input_bits=70, classes=3, sizes=((7, 8), (6, 6), (5, 5)), noise=0, margin=1 << 20),
    "one layer": LayersSpec(input_bits=70, classes=3, sizes=((3, 1),), margin=0),
    "forward": LayersSpec(input_bits=70, classes=3, sizes=((20, 3), (16, 2), (10, 4)), margin=2, counter=4, forward=3),
    "forward, frozen": LayersSpec(
        input_bits=70, classes=3, sizes=((20, 2), (6, 6), (30, 3)), cotangents="sum", noise=1, frozen=1, forward=2
    ),
    "fewer inputs below": LayersSpec(
        input_bits=70, classes=3, sizes=((8, 4), (9, 1), (8, 4)), margin=1, counter=5, noise=4
    ),
    "recurrent": LayersSpec(input_bits=70, classes=3, sizes=((20, 4), (10, 3)), steps=8, margin=2),
    "recurrent, no outputs": LayersSpec(
        input_bits=70, classes=3, sizes=((20, 5),), steps=7, order="columns", image=Image(2, 5, 7), cotangents="sum"
    ),
    "recurrent, frozen state": LayersSpec(
        input_bits=70,
        classes=3,
        sizes=((30, 3), (12, 2), (9, 3)),
        steps=5,
        order="rows",
        image=Image(2, 5, 7),
        frozen=1,
    ),
    "recurrent, a bit a step": LayersSpec(
        input_bits=70, classes=3, sizes=((6, 4), (9, 4)), steps=70, cotangents="xor", noise=0, margin=3
    ),
    "images": LayersSpec(
        input_bits=70, classes=3, sizes=((20, 3), (10, 4)), image=Image(1, 7, 10), wiring="patch4inset1"
    ),
}
every_case = pytest.mark.parametrize("case", CASES)


def training(spec: LayersSpec, engine: str = "compiled", *, threads: int = 1, point: Any = None, **more: Any) -> Any:
    made = make_engine(spec, engine, threads=threads)
    schedule = Schedule(**{"epochs": 2, "shuffle": True, "scored": "epoch", **more})
    if point is None:
        return Training(made, schedule, TRAIN, VALIDATION)
    made.state = point[0]
    return Training(made, schedule, TRAIN, VALIDATION, point[1])


def points(run: Any, chunk: int | None = None) -> list[Any]:
    return [(run.engine.state, progress) for progress in run.run(chunk)]


def bits(state: Any, progress: Any) -> tuple[Any, ...]:
    best = progress.best
    counts = [getattr(progress, name) for name in ("epoch", "position", "examples", "updates", "wrong", "changed")]
    kept = best and (best.correct, best.update, best.epoch, best.parameters.tolist())
    return {name: value.tolist() for name, value in state.items()}, counts, kept


@every_case
@pytest.mark.parametrize(("threads", "batch"), [(1, 1), (2, 1), (1, 7), (1, 16)])
def test_engines_agree_on_every_point(case: str, threads: int, batch: int) -> None:
    spec = CASES[case]
    plain, made = (
        points(training(spec, engine, threads=threads, batch=batch), 9) for engine in ("reference", "compiled")
    )
    assert [bits(*point) for point in made] == [bits(*point) for point in plain]
    assert not np.array_equal(made[-1][0]["counters"], spec.initial_state()["counters"])
    x = np.concatenate([X] * 20)  # several words for each of several threads
    few, engine = make_engine(spec, "reference"), make_engine(spec, threads=threads)
    few.state = engine.state = made[-1][0]
    expected = few.class_scores(few.prepare(Examples(X, LABELS)))
    assert np.array_equal(
        engine.class_scores(engine.prepare(Examples(x, np.tile(LABELS, 20)))), np.tile(expected, (20, 1))
    )


@pytest.mark.parametrize(("scored", "batch"), [("update", 1), ("epoch", 1), ("epoch", 3)])
@pytest.mark.parametrize("engine", ["compiled", "reference"])
def test_going_on_from_every_point_gives_the_same_bits(engine: str, scored: str, batch: int) -> None:
    spec, last = CASES["signs"], {"updates": 56 // batch, "scored": scored, "batch": batch}  # a few after an epoch
    whole = points(training(spec, engine, **last), 8)
    for point in whole[:-1:7] if scored == "update" else whole[:-1]:
        rest = points(training(spec, engine, point=point, **last), 8)
        assert bits(*rest[-1]) == bits(*whole[-1])


@every_case
def test_the_circuit_of_a_trained_model_predicts_the_same(case: str) -> None:
    spec = CASES[case]
    state = points(training(spec))[-1][0]
    made, its = spec.trained(state)
    assert predict(made, its, X).tolist() == predict(spec, state, X).tolist()


def test_large_batches_are_refused() -> None:
    with pytest.raises(UsageError, match="batch is 17; layers learn from at most 16 examples at a time"):
        training(CASES["signs"], batch=17)


def test_examples_of_another_width_are_refused() -> None:
    engine = make_engine(CASES["signs"])
    with pytest.raises(UserError, match=r"inputs of shape \(2, 3\) were given; expected \(N, 70\)"):
        engine.prepare(Examples(np.zeros((2, 3), np.uint8), np.zeros(2, np.int64)))


def test_no_examples_are_predicted() -> None:
    engine = make_engine(CASES["signs"])
    none = engine.prepare(Examples(X[:0], LABELS[:0]))
    assert engine.class_scores(none).shape == (0, 3)
    assert engine.train(none, Batches.single(np.zeros(0, np.int64))).wrong.tolist() == []


def test_signed_requests_learn_what_xor_requests_do_not() -> None:
    """The parity of three bits needs the layer below; six layers are no obstacle."""
    x = np.random.default_rng(0).integers(0, 2, (1500, 9), np.uint8)
    labels = (x[:, 0] ^ x[:, 4] ^ x[:, 8]).astype(np.int64)
    train, test = Examples(x[:1000], labels[:1000]), Examples(x[1000:], labels[1000:])

    def right(sizes: tuple[tuple[int, int], ...], cotangents: str, frozen: int = 0) -> float:
        spec = LayersSpec(
            input_bits=9, classes=2, sizes=sizes, cotangents=cotangents, frozen=frozen, margin=12, counter=6
        )
        engine = make_engine(spec)
        run = Training(engine, Schedule(epochs=20, shuffle=True), train)
        for _ in run.run():
            pass
        return float((engine.predict(engine.prepare(test)) == test.labels).mean())

    deep = ((100, 2),) * 3
    assert right(deep, "sign") > 0.95
    assert right(deep, "sum") > 0.95
    assert right(deep, "xor") < 0.75
    assert right(deep, "sign", frozen=2) < 0.75


def test_a_recurrent_network_remembers_what_frozen_states_forget() -> None:
    """The parity of a bit of each of three steps, from fewer tables of state than there are input bits."""
    x = np.random.default_rng(0).integers(0, 2, (1500, 12), np.uint8)
    labels = (x[:, 0] ^ x[:, 5] ^ x[:, 10]).astype(np.int64)
    train, test = Examples(x[:1000], labels[:1000]), Examples(x[1000:], labels[1000:])

    def right(frozen: int) -> float:
        spec = LayersSpec(
            input_bits=12, classes=2, sizes=((60, 4), (60, 2)), steps=3, margin=9, counter=6, frozen=frozen
        )
        engine = make_engine(spec)
        for _ in Training(engine, Schedule(epochs=20, shuffle=True), train).run():
            pass
        return float((engine.predict(engine.prepare(test)) == test.labels).mean())

    assert right(frozen=0) > 0.95
    assert right(frozen=1) < 0.75
