"""Predictors equal the plain rules: the scores of many examples packed by wires, and the class of one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rdahw.data.images import Image
from rdahw.families import find_family
from rdahw.families.boosted import BoostedSpec
from rdahw.families.coverage import CoverageSpec
from rdahw.families.ensemble.spec import EnsembleSpec
from rdahw.families.grown import GrownSpec, VotesSpec
from rdahw.families.layers import LayersSpec
from rdahw.families.machine import MachineSpec
from rdahw.family import Spec, Task
from rdahw.sim.engine_rows import ROWS
from rdahw.sim.engines import find_engine, make_engine, make_predictor
from rdahw.sim.packing import pack_wires
from rdahw.training import Examples

CASES: dict[str, Spec] = {
    "lookup": find_family("lookup").spec(Task(input_bits=5, classes=3)),
    "mask": find_family("mask").spec(Task(input_bits=70, classes=2, code="binary")),
    "ensemble": EnsembleSpec(input_bits=130, classes=10, tables=150, inputs=6),
    "signs": EnsembleSpec(input_bits=64, classes=2, tables=70, inputs=4, sign=True, margin=10),
    "shifted images": EnsembleSpec(
        input_bits=126, classes=3, tables=40, inputs=9, image=Image(2, 7, 9), shift=2, wiring="patch4"
    ),
    "many classes": EnsembleSpec(input_bits=200, classes=37, tables=20, inputs=6),
    "grown": GrownSpec(input_bits=130, classes=10, tables=123, inputs=6),
    "one input": GrownSpec(input_bits=3, classes=2, tables=9, inputs=1),
    "two inputs": GrownSpec(input_bits=65, classes=3, tables=40, inputs=2),
    "many tables of a class": GrownSpec(input_bits=64, classes=2, tables=700, inputs=3),
    "votes": VotesSpec(input_bits=70, classes=3, tables=20, inputs=4),
    "layers": LayersSpec(input_bits=130, classes=10, sizes=((40, 4), (30, 6), (123, 5))),
    "recurrent layers": LayersSpec(input_bits=130, classes=10, sizes=((40, 4), (30, 6)), steps=9),
    "layers of many votes": LayersSpec(input_bits=65, classes=2, sizes=((50, 8), (700, 1))),
    "numbers": BoostedSpec(input_bits=70, steps=100, tables=30, inputs=4, shift=2),
    "counts": CoverageSpec(input_bits=70, tables=30, inputs=4),
    "machine": MachineSpec(steps=16, counter=6),
    "many inputs": GrownSpec(input_bits=90, classes=3, tables=8, inputs=8),
}


def random_state(spec: Spec, random: Any) -> dict[str, Any]:
    """Parameters of any value, and of a grown model any wiring."""
    state = {name: value.copy() for name, value in spec.initial_state().items()}
    first = spec.parameters.name
    low, high = (-32, 32) if state[first].dtype == np.int8 else (0, 2)
    state[first] = random.integers(low, high, state[first].shape).astype(state[first].dtype)
    if "wiring" in state:
        state["wiring"] = random.integers(0, spec.input_bits, state["wiring"].shape).astype(state["wiring"].dtype)
        state["grown"][:] = len(state["tables"])
    return state


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("examples", [1, 63, 65, 600])
def test_predictors_equal_the_reference(case: str, examples: int) -> None:
    spec, random = CASES[case], np.random.default_rng(examples)
    x = random.integers(0, 2, (examples, spec.input_bits), np.uint8)
    reference, engine = make_engine(spec, "reference"), make_engine(spec)
    reference.state = engine.state = random_state(spec, random)
    few = x[:: max(1, examples // 20)]
    expected = reference.class_scores(reference.prepare(Examples(few, np.zeros(len(few), np.int64))))
    classes = expected.argmax(axis=1) if spec.classes == expected.shape[1] else expected[:, 0]
    predictor = make_predictor(engine)
    scores = predictor.scores(pack_wires(x))
    assert scores.shape == (examples, expected.shape[1])
    assert np.array_equal(scores[:: max(1, examples // 20)], expected)
    assert [predictor.class_of(row) for row in few] == classes.tolist()
    assert examples == 1 or len(np.unique(expected)) > 1


def test_a_predictor_follows_its_engine() -> None:
    spec, random = CASES["grown"], np.random.default_rng(0)
    engine, words = make_engine(spec), pack_wires(random.integers(0, 2, (70, spec.input_bits), np.uint8))
    predictor = make_predictor(engine)
    assert not predictor.scores(words).any()
    engine.state = random_state(spec, random)
    assert predictor.scores(words).any()


def test_each_engine_of_a_family_is_tested() -> None:
    tested = {find_engine(spec).make for spec in CASES.values()}
    general = {row.make for row in ROWS if not row.family}
    assert {row.make for row in ROWS if row.family and row.is_compiled} - general <= tested
