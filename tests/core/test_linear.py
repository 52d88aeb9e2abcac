"""The linear model in fixed point: the recorded Iris run of the polynomial-circuits program; its rules in numbers."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from golden_files import golden
from oracles import evaluate
from running import Runner

from rdahw import Learner, Model, UsageError, UserError, trace
from rdahw.claims import surrogates
from rdahw.data import Column
from rdahw.data._named import read_iris
from rdahw.data.binarise import FIXED_BITS, Binariser, fit_binariser
from rdahw.families import find_family, parse_model, spec_of_widths
from rdahw.families.linear import linear_model
from rdahw.family import Spec, Task
from rdahw.optimisers import OPTIMISERS
from rdahw.saved import load_model
from rdahw.scores import quadratic
from rdahw.sim.engines import make_engine
from rdahw.sim.hardware import HardwareEngine
from rdahw.sim.reference import Reference
from rdahw.sim.simulator import choose_engine
from rdahw.training import Engine, Examples, Schedule, Training
from rdahw.types import Bits, Words

RECORDED = json.loads(golden("iris-fixed-point.json").read_text())
IRIS = read_iris()
CLASSES = len(IRIS.label_names)


def test_golden_fixed_point_numbers_of_iris() -> None:
    binariser = fit_binariser(IRIS, "fixed=10")
    bits = binariser.transform(IRIS.train.features).reshape(len(IRIS.train), FIXED_BITS, -1)
    weights = 1 << np.arange(FIXED_BITS)
    assert (bits * weights[:, None]).sum(axis=1).tolist() == RECORDED["x_int"]


def test_golden_fixed_point_updates() -> None:
    spec = find_family("linear").spec(Task.of(IRIS.schema, fit_binariser(IRIS, "fixed=10")))
    learner = spec.learner()
    assert (learner.loss, learner.optimiser) == ("quadratic=10", "descent=8,10")
    assert surrogates(learner.model.circuit) == ["shift right by 10"]
    x = fit_binariser(IRIS, "fixed=10").transform(IRIS.train.features)
    weights, scores = learner.model.circuit.input_types[0], learner.model.circuit.output_types[0]
    assert isinstance(weights, Words)
    assert isinstance(scores, Words)
    model, step = Reference(learner.model.circuit), Reference(learner.step)
    theta = np.zeros(weights.width, np.uint8)
    for recorded in RECORDED["first_steps"]:
        row = recorded["example"]
        label = np.arange(CLASSES) == IRIS.train.labels[row]
        assert scores.to_integers(model(theta, x[row])[0]).tolist() == recorded["prediction"]
        (theta,) = step(theta, x[row], label)
        assert weights.to_integers(theta).tolist() == recorded["theta"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda spec: make_engine(spec, "packed"), id="software"),
        pytest.param(lambda spec: HardwareEngine(spec, choose_engine()), id="hardware"),
    ],
)
def test_golden_fixed_point_accuracy(make: Callable[[Spec], Engine]) -> None:
    binariser = fit_binariser(IRIS, "fixed=10")
    order = np.arange(len(IRIS.train)).reshape(CLASSES, -1).T.ravel()  # a class after the other
    examples = Examples(binariser.transform(IRIS.train.features[order]), IRIS.train.labels[order])
    spec = find_family("linear").spec(Task.of(IRIS.schema, binariser))
    training = Training(make(spec), Schedule(epochs=60), examples)
    weights = spec.learner().model.circuit.input_types[0]
    assert isinstance(weights, Words)
    for recorded, _ in itertools.zip_longest(RECORDED["first_steps"], training.run(1)):
        if recorded is not None:
            assert weights.to_integers(training.engine.state["parameters"]).tolist() == recorded["theta"]
    predicted = training.engine.predict(training.prepare(examples))
    assert int((predicted == examples.labels).sum()) == round(RECORDED["accuracy"] * len(examples))


def flowers_in_turn(columns: int) -> str:
    """Iris as a CSV file of its last columns, a flower of each species in turn."""
    rows = (resources.files("rdahw.data") / "iris.data").read_text().split()
    per_class = len(rows) // CLASSES
    table = ["a,b,c,d,species", *(rows[c * per_class + i] for i in range(per_class) for c in range(CLASSES))]
    return "".join(",".join(row.split(",")[-1 - columns :]) + "\n" for row in table)


@pytest.mark.slow
def test_golden_fixed_point_in_hardware(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """After each update all bits are compared with those of the software."""
    (tmp_path / "iris.csv").write_text(flowers_in_turn(columns=4))
    command = ["train", "--data", tmp_path / "iris.csv", "--label", "species", "--model", "linear", "--no-shuffle"]
    command += ["--hdl", "--engine", "amaranth", "--updates", len(RECORDED["first_steps"])]
    Runner(capsys, tmp_path).ok(*command, "--out", tmp_path / "iris.rdahw")
    weights = Words(4 * CLASSES, 32)
    theta = weights.to_integers(load_model(tmp_path / "iris.rdahw").parameters)
    assert theta.tolist() == RECORDED["first_steps"][-1]["theta"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("loss", "optimiser"),
    [("softmax=6", "adagrad=6,6"), ("quadratic=6", "adam=5,58,60,6"), ("margin=2000", "multinomial=4,0,10")],
)
def test_optimisers_on_iris_in_hardware(
    loss: str, optimiser: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Of one column: each parameter has a divider of its own, which the simulator takes seconds to compile.
    (tmp_path / "iris.csv").write_text(flowers_in_turn(columns=1))
    command = ["train", "--data", tmp_path / "iris.csv", "--label", "species", "--binarise", "midrange", "--model"]
    command += ["linear:bits=16", "--loss", loss, "--optimiser", optimiser, "--no-shuffle"]
    command += ["--hdl", "--engine", "amaranth", "--updates", 4]
    told = Runner(capsys, tmp_path).ok(*command, "--out", tmp_path / "iris.rdahw")
    assert "all bits equal to software" in told.out
    assert load_model(tmp_path / "iris.rdahw").parameters.any()


# -- rules in numbers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("k", "fraction"), [(5, 2), (5, 1), (7, 4)])
def test_the_quadratic_loss(k: int, fraction: int) -> None:
    w, one = Words(1, k), 1 << fraction
    f = trace(lambda s, y: quadratic(s, y, fraction), s=w, y=Bits(1))
    scores = np.arange(-(1 << k - 1), 1 << k - 1)
    for label in (0, 1):
        inputs = np.concatenate([w.to_bits(scores[:, None]), np.full((len(scores), 1), label, np.uint8)], axis=1)
        expected = label * one - (np.clip(scores, -one, one) + one >> 1)
        assert w.to_integers(evaluate(f, inputs))[:, 0].tolist() == expected.tolist()


@pytest.mark.parametrize(("rate", "fraction"), [(1, 0), (3, 2), (5, 3)])
def test_descent_rounds_down(rate: int, fraction: int) -> None:
    w = Words(1, 10)
    put = OPTIMISERS["descent"].put
    f = trace(lambda t, g: put([t], g, rate=rate, fraction=fraction)[0], t=w, g=w)
    pairs = np.array(list(itertools.product(range(-9, 10, 3), range(-40, 41))))
    found = w.to_integers(evaluate(f, np.concatenate([w.to_bits(pairs[:, :1]), w.to_bits(pairs[:, 1:])], axis=1)))
    assert found[:, 0].tolist() == [t - ((-g >> fraction) * rate >> fraction) for t, g in pairs.tolist()]


@pytest.mark.parametrize(("word", "counter", "bits"), [(1, 24, 41), (1, 2, 19), (16, 20, 38), (16, 2, 20)])
def test_scores_of_the_largest_counters_do_not_wrap(word: int, counter: int, bits: int) -> None:
    numbers = 80 if word == 1 else 5

    def make(bits: int) -> Learner:
        return of_counters(f"word={word},bits={bits}", numbers * word, counter)

    with pytest.raises(UsageError, match=f"use --model linear:bits={bits}"):
        make(bits - 1)
    weights, scores = Words(2 * numbers, bits), Words(2, bits)
    lowest, feature = -1 << counter - 1, 1 << 10 if word == 1 else -1 << word - 1
    theta, x = weights.to_bits(np.full(2 * numbers, lowest)), np.repeat(np.arange(word) == word - 1, numbers)
    (found,) = Reference(make(bits).model.circuit)(theta, x)
    assert scores.to_integers(found).tolist() == [numbers * feature * lowest >> 10] * 2


def test_a_bit_of_input_is_0_or_1() -> None:
    f = linear_model(3, 2, word=1, fraction=4, bits=10)
    w = Words(6, 10)
    theta, x = np.array([3, -5, 7, 0, 20, -30]), np.array([1, 0, 1])
    (found,) = Reference(f)(w.to_bits(theta), x)
    assert Words(2, 10).to_integers(found).tolist() == (theta.reshape(2, 3) @ x).tolist()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: spec_of_widths("linear:word=3", 8, 2),
            "takes numbers of 3 bits, and 8 bits of input are not a multiple",
        ),
        (lambda: spec_of_widths("linear:word=16,bits=13", 32, 2), "which do not hold numbers of 16; raise bits"),
        (
            lambda: of_counters("word=1", 784, 24),
            "scores of 784 such counters could wrap in words of 32 bits; use --model linear:bits=44 or "
            "--optimiser counter=12",
        ),
        (
            lambda: of_counters("word=40,bits=40", 80, 40),
            "could wrap in words of 40 bits; use another optimiser",
        ),
        (lambda: spec_of_widths("linear", 8, 1), "has a score for each class; take --labels one-hot"),
        (
            lambda: learner(loss="quadratic=9"),
            "9 bits after the point were asked for in words of 10; expected at most 7",
        ),
        (lambda: learner(optimiser="descent=8,9"), "9 bits after the point were asked for in words of 10"),
        (lambda: learner(optimiser="descent=8"), "expected descent=NUMBER,NUMBER, a whole number from 1 to 65535, a"),
        (lambda: learner(optimiser="descent=0,4"), "such as descent=8,10"),
        (lambda: learner(loss="quadratic=x"), "expected quadratic=NUMBER, a whole number from 0 to 32, such as quad"),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_a_misuse_is_said(make: Any, message: str) -> None:
    with pytest.raises(UsageError) as told:
        make()
    assert message in str(told.value)


def of_counters(options: str, inputs: int, counter: int) -> Learner:
    task = Task.of_widths(inputs, 2)
    return (
        find_family("linear")
        .spec(task, optimiser=f"counter={counter}", **parse_model(f"linear:{options}")[1])
        .learner()
    )


def learner(loss: str = "quadratic=4", optimiser: str = "descent=8,4") -> Learner:
    return Learner(Model("m", linear_model(2, 2, word=1, fraction=4, bits=10)), loss, optimiser)


# -- fixed point -------------------------------------------------------------------------------------------------------


def test_numbers_are_rounded_towards_0_and_limited() -> None:
    values = np.array([[0.99], [-0.99], [-1.5], [2.0], [1e9], [-1e9], [0.0]])
    binariser = Binariser.fit("fixed=1", values, [Column("number")])
    numbers = binariser.transform(values) @ (1 << np.arange(FIXED_BITS))
    limit = 1 << FIXED_BITS - 1
    assert (numbers - 2 * limit * (numbers >= limit)).tolist() == [1, -1, -3, 4, limit - 1, -limit, 0]
    assert binariser.wire_names[:2] == ("x0, bit 0", "x0, bit 1")
    again = Binariser.from_json(json.loads(json.dumps(binariser.to_json())))
    np.testing.assert_array_equal(again.transform(values), binariser.transform(values))


def test_fixed_point_is_for_numbers() -> None:
    with pytest.raises(
        UserError, match="^the binarising rule 'fixed=3' takes numbers, and column '.*' has categories; use"
    ):
        Binariser.fit("fixed=3", np.zeros((2, 1)), [Column("category", ("a", "b"))])
    with pytest.raises(UserError, match="takes numbers, and column '.*' has missing values; use thermometer=K$"):
        Binariser.fit("fixed=3", np.zeros((2, 1)), [Column("number", missing=True)])
    for rule in ("fixed=16", "fixed=", "fixed=-1"):
        with pytest.raises(
            UsageError, match="needs a number of bits after the point, 0 to 15; write for example fixed"
        ):
            Binariser.fit(rule, np.zeros((2, 1)), [Column("number")])
