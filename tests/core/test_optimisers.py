"""Optimisers as lenses: the recorded traces in exact numbers and in fixed point, and learners with a state."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from golden_files import golden
from running import Runner
from scipy.stats import chi2

from rdahw import Circuit, Learner, Model, UsageError, make_model, reverse, trace
from rdahw.families.circuits import CircuitSpec
from rdahw.learner import LOSSES
from rdahw.optimisers import FORMULAS, OPTIMISERS, Bound
from rdahw.random import stream, words
from rdahw.random_circuit import draw, state_words
from rdahw.rules import find_rule
from rdahw.sim.engines import ReferenceEngine, make_engine
from rdahw.sim.packed_engine import PackedEngine
from rdahw.sim.reference import Reference, run
from rdahw.state import State, state_from_json, state_to_json
from rdahw.tracing import Wire, WordWire
from rdahw.training import Batches, Examples
from rdahw.types import Bits, Scalars, Switches, Type, Words
from rdahw.word_primitives import from_planes, to_numbers

RECORDED = json.loads(golden("optimisers-and-losses.json").read_text())
#: The recorded optimisers that are rows here, by the word before the bracket.
NAMES = {"gd": "descent", "momentum": "momentum", "nesterov": "nesterov", "adagrad": "adagrad", "adam": "adam"}
TRACES = [
    pytest.param(NAMES[word], [float(n) for n in re.findall(r"[-.\d]+(?=[,)])", name)], group["p0"], rows, id=name)
    for group in (RECORDED["update_lenses_from_the_library"], RECORDED["paper_optimisers_from_formulas"])
    for name, rows in group["traces"].items()
    if (word := name.partition("(")[0]) in NAMES
]
#: Those without a square root.
EXACT = [each for each in TRACES if each.values[0] in FORMULAS]


def vectors(row: Mapping[str, Any]) -> list[list[float]]:
    """What is kept after an update: the parameters, and the velocity if there is one."""
    state = row["state"] or []
    return [row["p"], *(state if state and isinstance(state[0], list) else [state] if state else [])]


@pytest.mark.parametrize(("name", "numbers", "start", "rows"), EXACT)
def test_golden_optimisers_in_exact_numbers(name: str, numbers: Any, start: Any, rows: Any) -> None:
    formula, exact = FORMULAS[name], [Fraction(str(number)) for number in numbers]
    for i, first in enumerate(start):
        state = [Fraction(str(first)), *[Fraction(0)] * (OPTIMISERS[name].vectors - 1)]
        for row in rows:
            used = formula.get(state, lambda x, factor: x * factor, *exact)
            assert abs(used - Fraction(row["used_for_prediction"][i])) < 1e-9
            state = formula.put(state, Fraction(row["gradient"][i]), lambda x, factor: x * factor, *exact)
            assert len(state) == len(vectors(row))
            for found, expected in zip(state, vectors(row), strict=True):
                assert abs(found - Fraction(expected[i])) < 1e-9


def circuits(lens: Bound, parameters: Type) -> tuple[Circuit, Circuit]:
    """get and put of an optimiser."""
    return trace(lens.get, s=lens.state), trace(lens.put, s=lens.state, g=parameters.tangent)


def lens_of(rule: str, parameters: Type) -> Bound:
    row, numbers = find_rule("optimiser", rule, OPTIMISERS, "a test has", parameters)
    return row.bound(parameters, numbers)


def get_and_put(rule: str, parameters: Type) -> tuple[Circuit, Circuit]:
    return circuits(lens_of(rule, parameters), parameters)


@pytest.mark.parametrize(("name", "numbers", "start", "rows"), EXACT)
def test_golden_optimisers_in_fixed_point(name: str, numbers: Any, start: Any, rows: Any) -> None:
    """Each product is rounded down once, and the numbers of the rule once: after u updates at most 8 u units."""
    fraction, type_ = 20, Words(len(start), 64)
    one = 1 << fraction
    rule = ",".join(str(round(number * one)) for number in numbers)
    # Rates of the command line are small; the row itself takes any.
    row = OPTIMISERS[name]
    given = dict(zip([n.name for n in row.numbers], [*map(int, rule.split(",")), fraction], strict=True))
    count = len(start)

    lens = row.bound(type_, given)
    get, put = circuits(lens, type_)
    whole = lens.state
    assert isinstance(whole, Words)
    state = whole.to_bits([*(round(x * one) for x in start), *[0] * (count * (row.vectors - 1))])
    for u, recorded in enumerate(rows, 1):
        used = type_.to_integers(run(get, state)[0]) / one
        np.testing.assert_allclose(used, recorded["used_for_prediction"], rtol=0, atol=8 * u / one)
        request = [round(-g * one * one) for g in recorded["gradient"]]  # a request has twice as many bits
        (state,) = run(put, state, type_.to_bits(request))
        found = whole.to_integers(state).reshape(row.vectors, count) / one
        np.testing.assert_allclose(found, vectors(recorded), rtol=0, atol=8 * u / one)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "numbers", "start", "rows"), [each for each in TRACES if each.values[0] not in FORMULAS]
)
def test_golden_optimisers_with_square_roots_in_fixed_point(name: str, numbers: Any, start: Any, rows: Any) -> None:
    """State: parameters, and the squares or averages, with twice as many bits after the point; the number of updates t
    as the averages of ones, 1 - b^t for each b. The least unit takes the place of delta."""
    fraction, type_ = 20, Words(len(start), 48)
    one, count, row = 1 << fraction, len(start), OPTIMISERS[name]
    given = [round(number * one) for number in numbers[:-1]]
    lens = row.bound(type_, dict(zip([n.name for n in row.numbers], [*given, fraction], strict=True)))
    get, put = map(Reference, circuits(lens, type_))
    whole = lens.state
    assert isinstance(whole, Words)
    state = whole.to_bits([*(round(x * one) for x in start), *[0] * (whole.count - count)])
    for u, recorded in enumerate(rows, 1):
        used = type_.to_integers(get(state)[0]) / one
        np.testing.assert_allclose(used, recorded["used_for_prediction"], rtol=0, atol=16 * u / one)
        request = [round(-g * one * one) for g in recorded["gradient"]]
        (state,) = put(state, type_.to_bits(request))
        found = whole.to_integers(state)
        np.testing.assert_allclose(found[:count] / one, recorded["p"], rtol=0, atol=16 * u / one)
        vectors = [
            part if isinstance(part, list) else [1 - b**part for b in numbers[1:3]] for part in recorded["state"]
        ]
        expected = np.concatenate(vectors)
        assert len(found) == count + len(expected)
        np.testing.assert_allclose(found[count:] / one**2, expected, rtol=0, atol=16 * u / one)


def test_golden_optimisers_losses() -> None:
    recorded, fraction = RECORDED["losses"], 20
    one, w = 1 << fraction, Words(len(RECORDED["losses"]["yhat"]), 32)
    label = np.array(recorded["ytrue"], np.uint8)
    cases: Mapping[str, tuple[Callable[[np.ndarray], np.ndarray], int]] = {
        "quadratic": (lambda yhat: 2 * yhat - 1, -1),  # the score of such a probability; the loss is to fall
        "dot": (lambda yhat: yhat, 1),  # the product is to grow
        "softmax_cross_entropy": (lambda yhat: yhat, -1),
    }
    for name, (score, sign) in cases.items():
        f = trace(
            lambda s, y, name=name: LOSSES[name.partition("_")[0]].apply(s, y, fraction=fraction), s=w, y=Bits(w.count)
        )
        yhat = np.clip(recorded["yhat"], 0, 1) if name == "quadratic" else np.array(recorded["yhat"])
        (found,) = run(f, w.to_bits(np.round(score(yhat) * one).astype(int)), label)
        expected = np.array(recorded[name]["d_yhat"]) + (yhat - recorded["yhat"]) * (name == "quadratic")
        np.testing.assert_allclose(w.to_integers(found) / one, sign * expected, rtol=0, atol=2 / one)
    xor = trace(lambda a, b: LOSSES["xor"].apply(a, b), a=Bits(1), b=Bits(1))
    assert [[int(run(xor, [a], [b])[0][0]) for b in (0, 1)] for a in (0, 1)] == recorded["boolean_xor"]["loss_Z2"]


def test_signs_are_read_and_counted() -> None:
    get, put = get_and_put("sign=3", Switches(5, 6))
    w = Words(5, 6)
    assert (get.input_types, get.output_types, put.output_types) == ((w,), (Switches(5, 6),), (w,))
    state = w.to_bits([-4, -1, 0, 3, 3])
    assert run(get, state)[0].tolist() == [0, 0, 1, 1, 1]
    after = run(put, state, w.to_bits([-9, 5, -1, 30, 0]))[0]
    assert w.to_integers(after).tolist() == [-4, 0, -1, 3, 3]


# -- random numbers ----------------------------------------------------------------------------------------------------


def test_the_generator_is_that_of_the_package() -> None:
    def three(s: WordWire) -> list[Wire]:
        drawn, after = draw(s, "test", 3)
        return [from_planes(drawn), after]

    for bits in (8, 24, 64):
        state = Words(state_words(bits), bits)
        f = trace(three, s=state)
        now, found = np.zeros(state.width, np.uint8), []
        for _ in range(3):
            drawn, now = run(f, now)
            found += to_numbers(drawn, 64).tolist()
        assert found == words(stream(0, "test"), 9).tolist()


def test_noise_is_added_to_counters_while_learning() -> None:
    counters, noise, type_ = 45, 3, Switches(45, 6)
    bound = lens_of(f"sign=4,noise={noise}", type_)
    assert bound.learn is not None
    get, put = circuits(bound, type_)
    learn, drawn = trace(bound.learn, s=bound.state), words(stream(0, "sign"), 9)
    rng = np.random.default_rng(0)
    values = rng.integers(-8, 8, counters)
    assert isinstance(bound.state, Words)
    state = bound.state.to_bits([*values, *[0] * (bound.state.count - counters)])
    for u in range(3):
        each = np.unpackbits(drawn[3 * u : 3 * u + 3].view(np.uint8), bitorder="little")[: counters * noise]
        added = Words(counters, noise).to_integers(each)
        assert run(learn, state)[0].tolist() == (values + added >= 0).tolist()
        assert run(get, state)[0].tolist() == (values >= 0).tolist()
        request = rng.integers(-9, 9, counters)
        (state,) = run(put, state, type_.tangent.to_bits(request))
        values = np.clip(values + np.sign(request), -8, 7)
        assert bound.state.to_integers(state)[:counters].tolist() == values.tolist()


def test_multinomial_in_plain_numbers() -> None:
    type_, draws, base, fraction = Words(7, 28), 9, 3, 4
    bound = lens_of(f"multinomial={draws},{base},{fraction}", type_)
    _, put = circuits(bound, type_)
    state, weights = np.zeros(bound.state.width, np.uint8), [0] * 7
    rng = np.random.default_rng(0)
    for u in range(5):
        request = [int(v) for v in rng.integers(-2000, 2000, 7)]
        request[u] = u  # rounded to nothing
        half = words(stream(0, "multinomial"), 5 * u + 5)[5 * u :].view(np.uint32).reshape(-1, 2).T.ravel()[:draws]
        reached = np.cumsum([(abs(g) >> fraction) + base for g in request])
        for uniform in half:
            i = int((reached <= int(uniform) * int(reached[-1]) >> 32).sum())
            weights[i] += int(np.sign(request[i])) * (abs(request[i]) >> fraction > 0)
        (state,) = run(put, state, type_.to_bits(request))
        assert isinstance(bound.state, Words)
        assert bound.state.to_integers(state)[:7].tolist() == weights


@pytest.mark.slow
def test_the_updates_of_multinomial_are_distributed_as_its_formula() -> None:
    type_, draws, base, updates = Words(6, 32), 1000, 5, 100
    bound = lens_of(f"multinomial={draws},{base},0", type_)
    put = Reference(circuits(bound, type_)[1])
    request = np.array([40, -1, 7, -90, 15, 2])
    chances = (abs(request) + base) / (abs(request) + base).sum()
    state = np.zeros(bound.state.width, np.uint8)
    taken = []
    for _ in range(updates):
        (state,) = put(state, type_.to_bits(request))
        taken.append(type_.to_integers(state[: type_.width]) * np.sign(request))
        state[: type_.width] = 0  # only the generator continues
    counts = np.array(taken)
    assert (counts.sum(axis=1) == draws).all()
    expected = draws * chances
    whole = ((counts.sum(axis=0) - updates * expected) ** 2 / (updates * expected)).sum()
    assert whole < chi2.ppf(0.99, len(request) - 1)
    # The updates spread as independent draws do, neither more nor less.
    each = ((counts - expected) ** 2 / expected).sum()
    low, high = chi2.ppf([0.005, 0.995], updates * (len(request) - 1))
    assert low < each < high


# -- learners with a state ---------------------------------------------------------------------------------------------


def table_network() -> Model:
    """Two layers of tables of switches: four of two inputs each, one of all four, counted for two classes."""

    def f(theta: Wire, x: Wire) -> Wire:
        inputs = x.as_switches(8)
        hidden = [theta[4 * i : 4 * i + 4].lookup(inputs.gather([i % 3, (i + 1) % 3])) for i in range(4)]
        out = theta[16:48].lookup(hidden[0].concat(*hidden))
        return out.embed()

    return Model("two layers", trace(f, theta=Switches(48, 8), x=Bits(3)))


LEARNERS: Mapping[str, Callable[[], Learner]] = {
    "sign": lambda: Learner(table_network(), "margin=1", "sign=4"),
    "momentum": lambda: Learner(make_model("linear:bits=24", 3, 2), "quadratic=10", "momentum=64,512,10"),
    "nesterov": lambda: Learner(make_model("linear:bits=24", 3, 2), "dot=10", "nesterov=64,512,10"),
    "noise": lambda: Learner(table_network(), "margin=1", "sign=4,noise=2"),
    "adagrad": lambda: Learner(make_model("linear:bits=24", 3, 2), "softmax=10", "adagrad=64,10"),
    "adam": lambda: Learner(make_model("linear:bits=24", 3, 2), "quadratic=10", "adam=64,922,1013,10"),
    "multinomial": lambda: Learner(make_model("linear:bits=24", 3, 2), "margin=20", "multinomial=5,1,10"),
}
EACH = [pytest.param(name, marks=pytest.mark.slow) if name.startswith("ada") else name for name in LEARNERS]


@pytest.mark.parametrize("name", EACH)
def test_a_learner_reads_and_writes_the_state_of_its_optimiser(name: str) -> None:
    learner = LEARNERS[name]()
    parameters = learner.given.circuit.input_types[0]
    bound = lens_of(learner.optimiser, parameters)
    get, put = circuits(bound, parameters)
    learn = get if bound.learn is None else trace(bound.learn, s=bound.state)
    random = np.random.default_rng(0)
    state = learner.model.circuit.input_types[0]
    assert isinstance(state, Words)
    theta = state.to_bits(random.integers(-8, 8, (20, state.count)))
    x = random.integers(0, 2, (20, learner.model.input_bits), np.uint8)
    y = np.eye(2, dtype=np.uint8)[random.integers(0, 2, 20)]
    (read,) = run(get, theta)
    (scores,) = run(learner.given.circuit, read, x)
    np.testing.assert_array_equal(run(learner.model.circuit, theta, x)[0], scores)
    (read,) = run(learn, theta)
    (scores,) = run(learner.given.circuit, read, x)
    request, output = run(learner.request, theta, x, y)
    np.testing.assert_array_equal(output, run(learner.model.predictor, theta, x)[0])
    f = learner.given.circuit
    (expected,) = run(reverse(f, wrt=f.input_names[:1]), read, x, run(learner.cotangent, scores, y)[0])
    width = expected.shape[1]
    np.testing.assert_array_equal(request[:, :width], expected)
    assert not request[:, width:].any()
    (after,) = run(put, theta, expected)
    np.testing.assert_array_equal(run(learner.update, theta, request)[0], after)
    np.testing.assert_array_equal(run(learner.step, theta, x, y)[0], after)
    assert (after != theta).any()


@pytest.mark.parametrize("name", EACH)
def test_a_saved_state_continues_to_the_same_bits(name: str) -> None:
    spec = CircuitSpec.of(LEARNERS[name](), code="one-hot")
    random = np.random.default_rng(2)
    x = random.integers(0, 2, (40, spec.input_bits), np.uint8)
    examples = Examples(x, x[:, 1].astype(np.int64))

    def trained(spec: CircuitSpec, state: State, rows: range) -> State:
        engine = make_engine(spec, "packed")
        engine.state = state
        engine.train(engine.prepare(examples), Batches.single(np.arange(rows.start, rows.stop)))
        return engine.state

    whole = trained(spec, spec.initial_state(), range(40))
    half = state_to_json(spec.fields, trained(spec, spec.initial_state(), range(17)))
    again = CircuitSpec.from_json(spec.family, json.loads(json.dumps(spec.to_json())))
    rest = trained(again, state_from_json(again.fields, json.loads(json.dumps(half)), "its state"), range(17, 40))
    np.testing.assert_array_equal(rest["parameters"], whole["parameters"])
    assert whole["parameters"].any()


@pytest.mark.parametrize("name", EACH)
def test_engines_agree_on_a_state(name: str) -> None:
    learner = LEARNERS[name]()
    random = np.random.default_rng(1)
    x = random.integers(0, 2, (60, learner.model.input_bits), np.uint8)
    y = np.eye(2, dtype=np.uint8)[x[:, 0]]
    engines = [ReferenceEngine(learner), PackedEngine(learner)]
    for start, stop in [(0, 1), (1, 4), (4, 60)]:
        outputs = [engine.train(x[start:stop], y[start:stop]) for engine in engines]
        np.testing.assert_array_equal(*outputs)
        np.testing.assert_array_equal(*[engine.parameters for engine in engines])


def test_commands_differentiate_the_model_and_not_its_optimiser(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Through the signs of counters there is no derivative.
    (tmp_path / "m.py").write_text(
        "from rdahw import Bits, Switches, trace\n\n\n"
        "def f(inputs, outputs):\n"
        "    table = Switches(outputs << inputs, 8)\n"
        "    return trace(lambda t, x: t.lookup(x.as_switches(8)).embed(), t=table, x=Bits(inputs))\n"
    )
    text = Runner(capsys, tmp_path).ok(
        "show", f"{tmp_path / 'm.py'}:f", "--inputs", 2, "--outputs", 2, "--reverse", "--text"
    )
    assert "(t: Switches(8, 8), x: Bits(2), dy: Words(2, 8)) -> (dt: Words(8, 8))" in text.out


def test_two_layers_of_switches_learn_xor_by_signs() -> None:
    # Requests over Z2 never gather evidence behind a layer; signed ones do.
    learner = LEARNERS["sign"]()
    x = (np.arange(8)[:, None] >> np.arange(3) & 1).astype(np.uint8)
    y = np.eye(2, dtype=np.uint8)[x[:, 0] ^ x[:, 1]]
    state = learner.model.circuit.input_types[0]
    assert isinstance(state, Words)
    solved, engine = 0, PackedEngine(learner)
    for seed in range(10):
        random = np.random.default_rng(seed)
        engine.parameters = state.to_bits(random.integers(-3, 3, state.count))
        engine.train_many(engine.prepare(x, y), random.integers(0, 8, 600), np.arange(1, 601))
        solved += bool((engine.predict(x) == y).all())
    assert solved >= 8


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Learner(table_network(), "margin=1", "counter=4"),
            "optimiser 'counter=4' does not suit, as model 'two layers' has parameters of Switches(48, 8); use sign=6",
        ),
        (
            lambda: Learner(Model("m", trace(lambda t, x: t, t=Scalars(2, "Z5"), x=Bits(1))), "xor", "xor"),
            "loss 'xor' does not suit, as model 'm' gives Scalars(2, Z5); use a model of bits, words or switches",
        ),
        (
            lambda: Learner(
                Model("m", trace(lambda t, x: t.gather([0] * 9).embed().sum(9).repeat(2), t=Switches(1, 3), x=Bits(1))),
                "margin=1",
                "sign=3",
            ),
            "and its cotangents have 3 bits; use switches with more",
        ),
    ],
)
def test_a_misuse_is_said(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(UsageError) as told:
        make()
    assert message in str(told.value)
