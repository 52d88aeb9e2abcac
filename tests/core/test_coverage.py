"""Coverage models: the rule by hand, the engines, the circuit, gateware, and what cannot be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rdahw.data import NORMAL
from rdahw.errors import UsageError, UserError
from rdahw.families import find_family
from rdahw.families.coverage import MOST, Coverage, CoverageSpec, coverage_model, levels
from rdahw.family import Task
from rdahw.hdl.beats import Encoder
from rdahw.hdl.inference import FixedModel
from rdahw.random import stream, words
from rdahw.sim.engines import make_engine, predict
from rdahw.sim.reference import Reference
from rdahw.sim.simulator import Exchange, choose_engine, make_simulator
from rdahw.training import Examples, Schedule, Training

SMALL: dict[str, Any] = {"input_bits": 20, "tables": 12, "inputs": 3}


def normal(count: int) -> Any:
    """Examples whose bits 5 and up repeat the first five."""
    random = np.random.default_rng(count)
    return np.tile(random.integers(0, 2, (count, 5), np.uint8), 4)


def others(count: int) -> Any:
    return np.random.default_rng(count).integers(0, 2, (count, 20), np.uint8)


def learned(spec: CoverageSpec, x: Any) -> Coverage:
    model = Coverage(spec)
    model.learn(model.pack(x))
    return model


def test_levels() -> None:
    counts = np.array([0, 1, 2, 3, 6, 7, 8, 1022, 1023, MOST - 1, MOST])
    assert levels(counts).tolist() == [0, 1, 1, 2, 2, 3, 3, 9, 10, 14, 15]
    assert levels(counts).tolist() == [int(count + 1).bit_length() - 1 for count in counts]


def test_the_wiring_is_drawn_as_described() -> None:
    spec = CoverageSpec(**SMALL, seed=7)
    drawn = [int(w) % 20 for w in words(stream(7, "wiring", 4), 60)[2:]]
    assert spec.wiring[4].tolist() == sorted(list(dict.fromkeys(drawn))[:3])


def test_counts_scores_and_offset_by_hand() -> None:
    spec, x = CoverageSpec(**SMALL, alarm_rate=200), normal(60)
    model = learned(spec, x)

    def cell(row: Any, table: int) -> int:
        return sum(int(row[wire]) << i for i, wire in enumerate(spec.wiring[table]))

    counts = [[sum(cell(row, j) == c for row in x) for c in range(8)] for j in range(12)]
    assert model.state["counts"].tolist() == counts

    def level(count: int) -> int:
        return (count + 1).bit_length() - 1

    alone = sorted(sum(level(counts[j][cell(row, j)] - 1) for j in range(12)) for row in x)
    assert model.state["offset"].tolist() == [alone[12]]  # 60 * 200 div 1000
    new = others(30)
    scores = [sum(level(counts[j][cell(row, j)]) for j in range(12)) for row in new]
    assert model.scores(new).tolist() == scores
    assert model.predict(new).tolist() == [score - alone[12] + NORMAL for score in scores]


def test_others_are_found_and_new_normal_examples_are_not() -> None:
    model = learned(CoverageSpec(**{**SMALL, "tables": 100}), normal(400))
    assert (model.predict(others(300)) < NORMAL).mean() > 0.9
    assert (model.predict(normal(301)) < NORMAL).mean() < 0.12


def test_full_counts_stay() -> None:
    model = learned(CoverageSpec(input_bits=1, tables=1, inputs=1), np.zeros((MOST + 9, 1), np.uint8))
    assert model.state["counts"].tolist() == [[MOST, 0]]
    assert model.scores(np.array([[0], [1]], np.uint8)).tolist() == [15, 0]


@pytest.mark.parametrize("options", [{}, {"inputs": 1}, {"inputs": 12, "tables": 3}, {"alarm_rate": 0}])
def test_the_compiled_engine_is_the_plain_rule_and_the_circuit(options: dict[str, Any]) -> None:
    spec, x = CoverageSpec(**{**SMALL, **options}), normal(150)
    engines = [make_engine(spec, name) for name in ("reference", "compiled")]
    train, new = Examples(x, np.zeros(150, np.int64)), others(90)
    for engine in engines:
        for _ in Training(engine, Schedule(**spec.schedule(150)), train).run():
            pass
    plain, compiled = (engine.state for engine in engines)
    for name, value in plain.items():
        np.testing.assert_array_equal(compiled[name], value)
    found = [engine.predict(engine.prepare(Examples(new, np.zeros(90, np.int64)))) for engine in engines]
    np.testing.assert_array_equal(*found)
    circuit, state = spec.trained(plain)
    (bits,) = Reference(coverage_model(spec, plain))(state["parameters"][None], new)
    np.testing.assert_array_equal((bits.astype(np.int64) << np.arange(16)).sum(axis=1), found[0])
    np.testing.assert_array_equal(predict(circuit, state, new), found[0])


@pytest.mark.slow
def test_the_predictor_in_hardware_is_the_software() -> None:
    spec, new = CoverageSpec(**SMALL), others(200)
    model = learned(spec, normal(150))
    circuit, state = spec.trained(model.state)
    fixed = FixedModel(circuit.learner(), circuit.theta(state), levels=6, spec=circuit)
    encoder = Encoder(fixed)
    labels = np.zeros((200, 16), np.uint8)
    exchange = Exchange("examples", "results", encoder(new, labels), 200, 200)
    run = make_simulator(fixed, choose_engine("amaranth")).exchange(exchange)
    found = encoder.prediction(run.results).astype(np.int64) << np.arange(16)
    np.testing.assert_array_equal(found.sum(axis=1), model.predict(new))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"tables": 0}, "tables of a coverage model is 0; expected a whole number from 1 to 2048"),
        ({"alarm_rate": 501}, "alarm_rate of a coverage model is 501; expected a whole number from 0 to 500"),
        ({"inputs": 8, "input_bits": 7}, "inputs is 8, and there are 7 input bits; lower it"),
    ],
)
def test_what_cannot_be(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        CoverageSpec(**{**SMALL, **options})


def test_json_states_and_schedules() -> None:
    spec = CoverageSpec(**SMALL)
    assert CoverageSpec.from_json(spec.to_json()) == spec
    with pytest.raises(UserError, match="damaged or was not written by rdahw"):
        CoverageSpec.from_json({**spec.to_json(), "tables": 0})
    for name, value in (("counts", -1), ("offset", 181), ("offset", -1)):
        state = spec.initial_state()
        with pytest.raises(UserError, match=f"the field '{name}' is not"):
            spec.check_state({**state, name: np.full_like(state[name], value)})
    with pytest.raises(UsageError, match="counts all examples once; leave out epochs and batch"):
        spec.check_schedule(Schedule(**{**spec.schedule(9), "epochs": 2}))
    with pytest.raises(UsageError, match="has no learning circuit, as its offset depends on all examples; train it in"):
        spec.learner()
    task = Task(input_bits=4, classes=1 << 16, kind="anomaly")
    assert find_family("coverage").spec(task).options()["inputs"] == 4
    labels = np.array([0, 1, 1])
    assert spec.score(np.array([NORMAL, NORMAL - 1, NORMAL]), labels) == 2
