"""The compiled engine of boosting equals the plain rule bit for bit, in training, prediction and gateware."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rdahw.data import label_sets
from rdahw.errors import UserError
from rdahw.families.boosted import BoostedSpec
from rdahw.hdl.beats import Encoder
from rdahw.hdl.inference import FixedModel
from rdahw.sim.boosted import BoostedPredictor
from rdahw.sim.engines import make_engine, predict
from rdahw.sim.packing import pack_wires
from rdahw.sim.simulator import Exchange, choose_engine, make_simulator
from rdahw.training import Batches, Examples, Schedule, Training


def examples(count: int, bits: int, steps: int) -> Examples:
    random = np.random.default_rng(count)
    x = random.integers(0, 2, (count, bits), np.uint8)
    a, b = x[:, 0].astype(np.int64), (x[:, 1] & x[:, 2]).astype(np.int64)
    return Examples(x, steps // 3 * a + steps // 4 * b + random.integers(0, steps // 5, count))


def trained(spec: BoostedSpec, train: Examples, name: str, **more: Any) -> Training:
    training = Training(make_engine(spec, name), Schedule(**spec.schedule(len(train))), train, **more)
    for _ in training.run():
        pass
    return training


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"quantile": 50},
        {"quantile": 5, "shift": 0, "shrink": 0, "sample": 100},
        {"inputs": 1, "steps": 2, "shift": 8},
        {"inputs": 7, "candidates": 70, "steps": 1 << 16, "sample": 1},
        {"candidates": 3, "inputs": 3},
        {"labels": 5, "steps": 4096},
        {"labels": 62, "steps": 4096, "inputs": 2},
    ],
)
def test_the_compiled_engine_is_the_plain_rule(options: dict[str, Any]) -> None:
    spec = BoostedSpec(**{"input_bits": 70, "steps": 500, "tables": 8, **options})
    train = examples(150, 70, max(spec.classes, 5))
    train = Examples(train.x, train.labels.clip(max=spec.classes - 1))
    plain, compiled = (trained(spec, train, name) for name in ("reference", "compiled"))
    for name, value in plain.engine.state.items():
        np.testing.assert_array_equal(compiled.engine.state[name], value)
        assert compiled.engine.state[name].dtype == value.dtype
    expected = plain.engine.predict(plain.prepare(train))
    np.testing.assert_array_equal(compiled.engine.predict(compiled.prepare(train)), expected)
    engine: Any = compiled.engine
    predictor = BoostedPredictor(engine)
    scores = predictor.scores(pack_wires(train.x))
    np.testing.assert_array_equal(scores, compiled.engine.class_scores(compiled.prepare(train)))
    np.testing.assert_array_equal(label_sets(scores > 0) if spec.labels else scores[:, 0], expected)
    assert [predictor.class_of(row) for row in train.x[:5]] == expected[:5].tolist()
    np.testing.assert_array_equal(predict(*spec.trained(plain.engine.state), train.x), expected)


def test_a_training_can_go_on() -> None:
    spec, train = BoostedSpec(input_bits=30, steps=300, tables=10), examples(90, 30, 300)
    whole = trained(spec, train, "compiled")
    first = Training(make_engine(spec), Schedule(**{**spec.schedule(90), "epochs": 4}), train)
    for _ in first.run():
        pass
    rest = Training(make_engine(spec), Schedule(**spec.schedule(90)), train, progress=first.progress)
    rest.engine.state = first.engine.state
    for _ in rest.run():
        pass
    for name, value in whole.engine.state.items():
        np.testing.assert_array_equal(rest.engine.state[name], value)


def test_the_best_tables_on_held_out_examples_are_kept() -> None:
    spec, train, held_out = (
        BoostedSpec(input_bits=30, steps=300, tables=40),
        examples(60, 30, 300),
        examples(99, 30, 300),
    )
    made = trained(spec, train, "compiled", validation=held_out)
    best = made.progress.best
    assert best is not None
    curve = []
    for count in range(41):
        state = made.engine.state
        state["tables"][count:] = 0
        curve.append(spec.score(predict(spec, state, held_out.x), held_out.labels))
    assert best.correct == max(curve[1:])
    assert best.update == 1 + int(40 - 1 - np.argmax(curve[:0:-1]))  # the later one on equal scores
    kept = (np.arange(40) < best.update)[:, None]
    np.testing.assert_array_equal(best.parameters, made.engine.state["tables"] * kept)


def test_all_examples_at_once() -> None:
    spec, train = BoostedSpec(input_bits=30, steps=300, tables=2), examples(90, 30, 300)
    engine = make_engine(spec)
    with pytest.raises(UserError, match="a boosted model learns from all 90 at once, in their order"):
        engine.train(engine.prepare(train), Batches.single(np.arange(3)))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "levels", "stages"), [({}, 9, 3), ({"quantile": 50}, 2, 10), ({"labels": 8, "tables": 12}, 6, 3)]
)
def test_the_predictor_in_hardware_is_the_software(options: dict[str, Any], levels: int, stages: int) -> None:
    spec, train = BoostedSpec(**{"input_bits": 40, "steps": 200, "tables": 30, **options}), examples(300, 40, 200)
    made = trained(spec, train, "compiled")
    expected = made.engine.predict(made.prepare(train))
    circuit, state = spec.trained(made.engine.state)
    model = FixedModel(circuit.learner(), circuit.theta(state), levels=levels, spec=circuit)
    assert model.stages == stages
    encoder = Encoder(model)
    simulator = make_simulator(model, choose_engine("amaranth"))
    labels = np.zeros((len(train), 8), np.uint8)
    run = simulator.exchange(Exchange("examples", "results", encoder(train.x, labels), len(train), len(train)))
    found = encoder.prediction(run.results).astype(np.int64) << np.arange(8)
    np.testing.assert_array_equal(found.sum(axis=1), expected)
