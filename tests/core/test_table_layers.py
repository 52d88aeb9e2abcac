"""The plain rule of layers of tables: wiring, noise, each step by hand, its circuits, and what cannot be."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from amaranth.back import rtlil
from golden_files import golden
from hypothesis import given
from hypothesis import strategies as st
from oracles import evaluate, every

from rdahw import reverse, trace
from rdahw.claims import adjoint, bent
from rdahw.data.images import Image
from rdahw.errors import UsageError, UserError
from rdahw.families import parse_model, spec_of_widths
from rdahw.families.ensemble.spec import make_wiring as ensemble_wiring
from rdahw.families.layers import LayersSpec, rule
from rdahw.families.layers.circuits import (
    PASSED,
    cotangent_bits,
    layers_lut_circuit,
    layers_model,
    layers_of_switches,
    passing,
)
from rdahw.families.layers.rule import LIMIT, PlainLayers, lookup_requests
from rdahw.families.layers.spec import first_noise_state, make_wiring, take_bits
from rdahw.family import Task
from rdahw.hdl.inference import Pipeline
from rdahw.hdl.proof import prove
from rdahw.random import permutation, stream
from rdahw.ranges import word_range
from rdahw.sim.reference import Reference, run
from rdahw.table_scores import TableScores
from rdahw.types import Switches, Words

SMALL: dict[str, Any] = {"input_bits": 12, "classes": 3, "sizes": ((8, 2), (7, 3), (6, 4))}
GOLDEN = json.loads(golden("signed-lookup-rule.json").read_text())


# -- one table ---------------------------------------------------------------------------------------------------------


def test_golden_signed_lookup_of_one_input() -> None:
    for (*table, x), dy, (y,), (*of_table, of_x) in GOLDEN["k1"]:
        assert table[x] == y
        assert lookup_requests(table, [x], dy) == (of_table, [of_x])


def test_golden_signed_lookup_of_two_inputs() -> None:
    for table, inputs, dy, y, of_table, of_inputs in GOLDEN["k2"]:
        assert table[inputs[0] + 2 * inputs[1]] == y
        assert lookup_requests(table, inputs, dy) == (of_table, of_inputs)


@given(st.data())
def test_requests_are_the_derivative_of_the_polynomial(data: st.DataObject) -> None:
    inputs = data.draw(st.integers(1, 4))
    table = data.draw(st.lists(st.integers(0, 1), min_size=1 << inputs, max_size=1 << inputs))
    x, dy = data.draw(st.lists(st.integers(0, 1), min_size=inputs, max_size=inputs)), data.draw(st.integers(-9, 9))

    def polynomial(at: list[int]) -> int:
        indices = product((0, 1), repeat=inputs)
        return sum(
            table[sum(bit << i for i, bit in enumerate(index))]
            * int(np.prod([v if bit else 1 - v for v, bit in zip(at, index, strict=True)]))
            for index in indices
        )

    # It is affine in each input, so that any step gives the derivative.
    steps = [[v + 5 * (i == j) for j, v in enumerate(x)] for i in range(inputs)]
    assert lookup_requests(table, x, dy)[1] == [dy * (polynomial(step) - polynomial(x)) // 5 for step in steps]


def test_straight_through_and_reinmax_are_exact_at_one_table() -> None:
    """A request for an input is the difference that it makes and does not depend on its value, so that the derivative
    at the value (straight through) and the mean of those at both of its values (ReinMax) are that difference."""
    for table in every(8).tolist():
        for inputs in every(3).tolist():
            at_value = lookup_requests(table, inputs, 1)[1]
            for i in range(3):
                off, on = ([*inputs[:i], value, *inputs[i + 1 :]] for value in (0, 1))
                values = [table[sum(bit << n for n, bit in enumerate(x))] for x in (off, on)]
                at_both = [lookup_requests(table, x, 1)[1][i] for x in (off, on)]
                assert at_value[i] == values[1] - values[0] == sum(at_both) / 2


# -- random choices ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("image", [None, Image(2, 5, 6)])
def test_the_first_layer_is_wired_as_an_ensemble(image: Image | None) -> None:
    options = {"wiring": "any"} if image is None else {"wiring": "patch3inset1", "image": image}
    spec = LayersSpec(input_bits=60, classes=2, sizes=((50, 3), (2, 2)), seed=9, **options)
    np.testing.assert_array_equal(make_wiring(spec)[0], ensemble_wiring(spec.first_layer))
    assert spec.first_layer.seed == 9


def test_upper_layers_are_wired_as_described() -> None:
    spec = LayersSpec(input_bits=5, classes=2, sizes=((7, 1), (17, 4), (9, 2)), seed=3)
    _, *upper = make_wiring(spec)
    for layer, read in enumerate(upper, 1):
        below, inputs = spec.sizes[layer - 1][0], spec.sizes[layer][1]
        assert all(len(set(wires)) == inputs for wires in read.tolist())
        np.testing.assert_array_equal(read[:below, 0], permutation(stream(3, "layer", layer, 0, 0), below)[: len(read)])
        for j, wires in enumerate(read.tolist()):
            for i, wire in enumerate(wires):
                expected = int(permutation(stream(3, "layer", layer, i, j // below), below)[j % below])
                while expected in wires[:i]:
                    expected = (expected + 1) % below
                assert wire == expected


def test_at_the_start_input_0_is_passed_on() -> None:
    for counter in (2, 5, 8):
        spec = LayersSpec(**SMALL, counter=counter)
        plain, x = PlainLayers(spec), np.random.default_rng(0).integers(0, 2, (30, 12), np.uint8)
        values = x
        for wires in make_wiring(spec):
            values = values[:, wires[:, 0]]
        assert plain.scores(x).tolist() == [[row[c::3].sum() for c in range(3)] for row in values]
        assert spec.facts(plain.state)["pass_on"] == 21
        low, high = spec.counter_range
        assert plain.state["counters"].max() == (high + 1) // 2 - 1


def test_the_state_is_wired_as_described() -> None:
    spec = LayersSpec(input_bits=22, classes=2, sizes=((17, 5), (9, 2)), steps=4, seed=3)
    assert (spec.block, spec.fresh, spec.starts) == (6, 3, [0, 17, 34, 51, 68, 77])
    state, outputs = make_wiring(spec)
    assert outputs.tolist() == make_wiring(LayersSpec(input_bits=22, classes=2, sizes=spec.sizes, seed=3))[1].tolist()
    for j, wires in enumerate(state.tolist()):
        assert wires[0] == j
        assert len(set(wires)) == 5
        for i, wire in enumerate(wires[1:], 1):
            start, count = (6, 17) if i == 1 else (0, 6)
            expected = int(permutation(stream(3, "layer", 0, i, j // count), count)[j % count])
            while start + expected in wires[:i]:
                expected = (expected + 1) % count
            assert wire == start + expected


def test_what_each_step_reads() -> None:
    """Images of two planes, two rows and three columns: wire (plane * 2 + row) * 3 + column."""
    sizes, image = ((2, 2),), Image(2, 2, 3)
    states, zero = [12, 13], 14
    for order, steps, expected in (
        ("rows", 2, [[0, 1, 2, 6, 7, 8], [3, 4, 5, 9, 10, 11]]),
        ("columns", 3, [[0, 3, 6, 9], [1, 4, 7, 10], [2, 5, 8, 11]]),
        ("blocks", 4, [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11]]),
        ("blocks", 5, [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11], [zero] * 3]),
    ):
        spec = LayersSpec(input_bits=12, classes=2, sizes=sizes, image=image, steps=steps, order=order)
        assert spec.reads.tolist() == [[*bits, *states] for bits in expected]


def test_at_the_start_the_state_is_a_delay_line() -> None:
    spec = LayersSpec(input_bits=12, classes=2, sizes=((10, 4),), steps=3)
    x = np.random.default_rng(0).integers(0, 2, 12, np.uint8)
    *_, state = PlainLayers(spec)._values(x)
    assert state == [*x[8:], *x[4:8], *x[:2]]


def test_noise_is_the_sequence_of_the_shift_register() -> None:
    first = first_noise_state(7)
    bits = [first >> i & 1 for i in range(63)]
    for _ in range(300):
        bits.append(bits[-63] ^ bits[-32])
    register, found = first, []
    for count in (1, 3, 8, 2) * 21:
        number, register = take_bits(register, count)
        found += [number >> i & 1 for i in range(count)]
    assert found == bits[63 : 63 + len(found)]


# -- the rule by hand --------------------------------------------------------------------------------------------------


def test_an_update_by_hand() -> None:
    # Two tables of one input below two of two; class 0 and 1 have one each.
    spec = LayersSpec(input_bits=2, classes=2, sizes=((2, 1), (2, 2)), noise=0, counter=4, margin=0, seed=1)
    plain = PlainLayers(spec)
    plain.wiring = [np.array([[0], [1]]), np.array([[0, 1], [1, 0]])]
    # Below: identity and NOT; above: AND of both, and OR of both.
    plain.state = {
        "counters": np.array([-1, 0, 5, -8, -1, -2, -3, 0, -1, 7, 3, 2], np.int8),
        "noise": spec.initial_state()["noise"],
    }
    example = np.array([[1, 1]], np.uint8)  # below 1, 0; above AND = 0, OR(0, 1) at index 2 = 1: class 1
    assert plain.scores(example).tolist() == [[0, 1]]
    predictions, updated = plain.learn(example, np.array([0]), np.array([0]), np.array([1]))
    assert (predictions.tolist(), updated.tolist()) == ([1], [1])
    # AND at index 1 is asked for a 1, OR at index 2 for a 0. Through AND: its input 1 (the NOT) +1, as t[3] > t[1];
    # input 0 nothing, as t[1] = t[0]. Through OR: its input 1 (the identity) -1, as t[2] > t[0]; input 0: t[3] = t[2].
    assert plain.state["counters"].tolist() == [-1, -1, 5, -7, -1, -1, -3, 0, -1, 7, 2, 2]
    again = plain.learn(example, np.array([0]), np.array([0]), np.array([1]))
    # The identity is 0 now at its input 1: index 0 of AND, and of OR, which is 0; a tie asks too.
    assert (again[0].tolist(), again[1].tolist()) == ([0], [1])


def test_a_batch_moves_each_counter_once_by_the_sign_of_all_its_requests() -> None:
    # One table for each of two classes, of the same bit. At the start both have the bit's value, so each example asks.
    spec = LayersSpec(input_bits=1, classes=2, sizes=((2, 1),), noise=0, counter=5, margin=9)
    plain = PlainLayers(spec)
    assert plain.state["counters"].tolist() == [-8, 7, -8, 7]
    x, labels = np.array([[0], [0], [0], [1], [1]], np.uint8), np.array([0, 0, 1, 0, 1])
    _, asked = plain.learn(x, labels, np.arange(5), np.array([5]))
    assert asked.tolist() == [1] * 5
    # Index 0: two for class 0, one for class 1. Index 1: one for each.
    assert plain.state["counters"].tolist() == [-7, 7, -9, 7]
    plain.learn(x, labels, np.array([2, 2, 3, 0]), np.array([2, 4]))
    assert plain.state["counters"].tolist() == [-7, 8, -9, 6]


@pytest.mark.parametrize(
    ("cotangents", "total", "passed"),
    [
        *(("sign", total, passed) for total, passed in ((7, 1), (0, 0), (-3, -1))),
        *(("sum", total, passed) for total, passed in ((7, 7), (-3, -3), (99999, LIMIT), (-99999, -LIMIT))),
        *(("xor", total, passed) for total, passed in ((7, 1), (-3, 1), (2, 0))),
    ],
)
def test_what_a_table_passes_on(cotangents: str, total: int, passed: int) -> None:
    assert PlainLayers(LayersSpec(**SMALL, cotangents=cotangents))._passed(total) == passed


def test_counters_saturate_and_xor_moves_them_to_the_other_bit() -> None:
    signed, xor = (PlainLayers(LayersSpec(**SMALL, counter=4, cotangents=way)) for way in ("sum", "xor"))
    assert [signed._counted(c, 5) for c in (-8, 6, 7)] == [-7, 7, 7]
    assert [signed._counted(c, -1) for c in (-8, 0, 7)] == [-8, -1, 6]
    assert signed._counted(3, 0) == xor._counted(3, 0) == 3
    assert [xor._counted(c, 1) for c in (-8, -1, 0, 7)] == [-7, 0, -1, 6]


def test_frozen_layers_stay() -> None:
    x = np.random.default_rng(0).integers(0, 2, (40, 12), np.uint8)
    for frozen in range(3):
        spec = LayersSpec(**SMALL, frozen=frozen)
        plain, before = PlainLayers(spec), spec.initial_state()["counters"]
        plain.learn(x, x[:, 0].astype(np.int64), np.arange(40), np.arange(1, 41))
        changed = plain.state["counters"] != before
        assert [bool(spec.layer_cells(changed, layer).any()) for layer in range(3)] == [i >= frozen for i in range(3)]


# -- forward gradients -------------------------------------------------------------------------------------------------


def test_the_mean_of_forward_requests_over_all_directions_is_the_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = LayersSpec(input_bits=6, classes=2, sizes=((3, 2), (4, 2), (4, 3)), cotangents="sum", noise=2, forward=1)
    random = np.random.default_rng(3)
    plain, below, met = PlainLayers(spec), spec.starts[-2], 0
    for _ in range(8):
        plain.state = {**plain.state, "counters": random.integers(-4, 4, spec.cells[-1]).astype(np.int8)}
        noise, wanted = random.integers(-2, 2, spec.tables).tolist(), random.integers(-1, 2, 4).tolist()
        values = plain._values(random.integers(0, 2, 6, np.uint8), noise)
        total = np.zeros(spec.tables, int)
        for direction in range(1 << below):
            signs = iter(direction >> j & 1 for j in range(below))
            monkeypatch.setattr(rule, "take_bits", lambda register, count, signs=signs: (next(signs), register))
            total += plain._forward_requests(values, noise, wanted)
        counters = plain.state["counters"].astype(int)
        shifts = np.repeat(noise, [1 << k for count, k in spec.sizes for _ in range(count)])
        expected = summed(spec, (counters + shifts >= 0).astype(int).tolist(), values, wanted)
        assert total.tolist() == [request << below for request in expected[:-4]] + [
            request << below for request in wanted
        ]
        met += any(expected[:-4])
    assert met > 4


def summed(spec: LayersSpec, bits: list[int], values: list[list[int]], wanted: list[int]) -> list[int]:
    """The sums of requests for all tables (tables,) by ``wanted``, those for the last layer."""
    found, requests = list[int](), wanted
    for layer in reversed(range(len(spec.sizes))):
        found, below = requests + found, [0] * len(values[layer])
        tables = spec.layer_cells(np.array(bits), layer).tolist()
        for table, wires, dy in zip(tables, make_wiring(spec)[layer].tolist(), requests, strict=True):
            _, of_inputs = lookup_requests(table, [values[layer][wire] for wire in wires], dy)
            for wire, request in zip(wires, of_inputs, strict=True):
                below[wire] += request
        requests = below
    return found


def test_forward_requests_of_frozen_layers_are_none() -> None:
    x = np.random.default_rng(0).integers(0, 2, (40, 12), np.uint8)
    for frozen in range(3):
        spec = LayersSpec(**SMALL, frozen=frozen, forward=2)
        plain, before = PlainLayers(spec), spec.initial_state()["counters"]
        plain.learn(x, x[:, 0].astype(np.int64), np.arange(40), np.arange(1, 41))
        changed = plain.state["counters"] != before
        assert [bool(spec.layer_cells(changed, layer).any()) for layer in range(3)] == [i >= frozen for i in range(3)]


# -- the learner as a circuit ------------------------------------------------------------------------------------------

#: Of tables of one and two inputs, so that tables are read once, twice and not at all.
TINY = {"input_bits": 5, "classes": 2, "sizes": ((6, 1), (5, 2), (4, 2)), "margin": 2, "counter": 4, "noise": 0}


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize(("cotangents", "frozen"), [("sum", 0), ("sum", 2), ("sign", 0), ("sign", 1)])
def test_the_step_of_the_learner_is_an_update_of_the_rule(cotangents: str, frozen: int, steps: int) -> None:
    """For a recurrent network this is the reverse derivative of the circuit unrolled over its steps."""
    spec = LayersSpec(**TINY, cotangents=cotangents, frozen=frozen, steps=steps)
    plain, step = PlainLayers(spec), Reference(spec.learner().step)
    random = np.random.default_rng(1)
    plain.state = {**plain.state, "counters": random.integers(-4, 4, spec.cells[-1]).astype(np.int8)}
    x = random.integers(0, 2, (16, 5), np.uint8)
    theta, labels, seen = spec.theta(plain.state), (x[:, 0] ^ x[:, 1]).astype(np.int64), set()
    for row in range(len(x)):
        (theta,) = step(theta[None], x[row][None], np.eye(2, dtype=np.uint8)[labels[row]][None])
        theta = theta[0]
        before = plain.state["counters"]
        plain.learn(x, labels, np.array([row]), np.array([1]))
        assert theta.tolist() == spec.theta(plain.state).tolist()
        seen |= {layer for layer in range(3) if spec.layer_cells(plain.state["counters"] != before, layer).any()}
    assert seen == set(range(frozen, 3))


def test_the_reverse_derivative_of_the_learner_has_the_sums_of_requests() -> None:
    spec = LayersSpec(**TINY, cotangents="sum")
    made, random = spec.learner().given.circuit, np.random.default_rng(2)
    pull_back = Reference(reverse(made, wrt=["theta"]))
    for _ in range(12):
        bits, x = random.integers(0, 2, spec.cells[-1], np.uint8), random.integers(0, 2, 5, np.uint8)
        dy, plain = random.integers(-1, 2, 2), PlainLayers(spec)
        plain.state = {**plain.state, "counters": (bits - 1).astype(np.int8)}
        values = plain._values(x)
        assert Reference(made)(bits[None], x[None])[0].tolist() == [
            made.output_types[0].to_bits(plain.scores(x[None])[0]).tolist()
        ]
        (found,) = pull_back(bits[None], x[None], made.output_types[0].to_bits(dy)[None])
        requests = summed(spec, bits.tolist(), values, [int(dy[j % 2]) for j in range(4)])
        expected = []
        for layer, wiring in enumerate(plain.wiring):
            for j, wires in enumerate(wiring.tolist()):
                address = sum(values[layer][wire] << i for i, wire in enumerate(wires))
                request = requests[spec.starts[layer] + j]
                expected += [request * (index == address) for index in range(1 << len(wires))]
        k = made.output_types[0].bits
        assert Words(len(expected), k).to_integers(found)[0].tolist() == expected


@pytest.mark.slow
def test_the_reverse_derivative_of_the_learner_is_adjoint() -> None:
    spec = LayersSpec(input_bits=3, classes=2, sizes=((3, 1), (2, 2)), cotangents="sum", noise=0, margin=0)
    (proof,) = prove([adjoint(spec.learner().given.circuit)], replay=run, jobs=1)
    assert proof.verdict == "proved"
    signs = LayersSpec(input_bits=3, classes=2, sizes=((3, 1), (2, 2)))
    assert bent(signs.learner().given.circuit) == ["signs of requests"]
    with pytest.raises(UserError, match="block 'signs of requests' does not; leave the claim out"):
        adjoint(signs.learner().given.circuit)


@pytest.mark.parametrize("name", PASSED)
def test_what_a_block_passes_back(name: str) -> None:
    type_, plain = Switches(2, 3), PlainLayers(LayersSpec(**SMALL, cotangents="sign"))
    f = trace(passing(name, type_), v=type_)
    inputs = every(8)
    np.testing.assert_array_equal(evaluate(f, inputs[:, :2]), inputs[:, :2])
    requests = Words(2, 3).to_integers(inputs[:, 2:]).tolist()
    expected = [[plain._passed(request) if name == "signs of requests" else 0 for request in row] for row in requests]
    assert Words(2, 3).to_integers(evaluate(reverse(f), inputs)).tolist() == expected


def test_requests_of_the_learner_never_wrap() -> None:
    # Every table is read by all of the next layer, and all readers may ask for the same.
    for cotangents, bits in (("sum", 8), ("sign", 5)):
        spec = LayersSpec(input_bits=8, classes=2, sizes=((8, 8),) * 3, cotangents=cotangents, counter=3)
        assert cotangent_bits(spec) == bits
    spec = LayersSpec(**TINY, cotangents="sum")
    f = layers_of_switches(spec)
    low, high = word_range(reverse(f, wrt=["theta"]), "dy", (-1, 1)) or (0, 0)
    assert -(1 << f.output_types[0].bits - 1) <= low <= high < 1 << f.output_types[0].bits - 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"cotangents": "xor"}, "has no learner as a circuit with cotangents=xor; leave that out"),
        ({"forward": 2}, "has no learner as a circuit with forward=2; leave that out"),
        ({"sizes": ((8, 8),) * 7, "cotangents": "sum"}, "as sums of requests could be 262144"),
        ({"sizes": ((300, 4),) * 2}, "would have a state of 76800 bits; a circuit of layers takes at most"),
    ],
)
def test_learners_that_are_no_circuits(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        LayersSpec(**{**SMALL, **options}).learner()


# -- options -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "sizes", "options"),
    [
        ("layers", ((300, 4),) * 3, {"counter": 5, "margin": 30, "noise": 3, "cotangents": "sign"}),
        ("layers:20x2", ((20, 2),), {"margin": 2}),
        ("layers:sizes=90x5,60x4", ((90, 5), (60, 4)), {"margin": 6}),
        ("layers:90x5,60x4,counter=3,noise=0", ((90, 5), (60, 4)), {"counter": 3, "noise": 0}),
        ("layers:cotangents=sum,frozen=1", ((300, 4),) * 3, {"cotangents": "sum", "frozen": 1}),
        ("layers:steps=4", ((200, 4), (300, 4)), {"counter": 6, "margin": 30, "steps": 4, "order": "blocks"}),
        (f"layers:{','.join(['30x2'] * 7)}", ((30, 2),) * 7, {"counter": 7}),
    ],
)
def test_options(text: str, sizes: tuple[tuple[int, int], ...], options: dict[str, Any]) -> None:
    family, given = parse_model(text)
    spec = family.spec(Task(input_bits=12, classes=3), **given)
    assert isinstance(spec, LayersSpec)
    assert spec.sizes == sizes
    found = spec.options()
    assert {name: found[name] for name in options} == options
    assert {option.name for option in family.options} == found.keys()
    assert family.spec(Task(input_bits=12, classes=3), **found) == spec
    assert LayersSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec


def test_the_usual_first_layer_reads_what_there_is() -> None:
    family, given = parse_model("layers")
    assert family.spec(Task(input_bits=2, classes=2), **given).options()["sizes"] == "300x2,300x4,300x4"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("layers:steps=6", "steps is 6 for 5 input bits; use at most a step a bit"),
        ("layers:steps=2,order=rows", "order 'rows' needs images, and the examples are none; use order=blocks"),
        ("layers:order=rows", "order 'rows' is one of several steps; add steps=NUMBER, or leave it out"),
        ("layers:steps=2,forward=1", "a network with steps takes neither forward nor wiring; leave them out, or steps"),
        ("layers:steps=2,wiring=patch3", "takes neither forward nor wiring"),
        ("layers:3x8,6x2,steps=2", "a table of layer 1 reads 6 tables of the step before, and the layer has only 3;"),
        ("layers:1048576x1,steps=5", "5 steps run 5242880 tables; expected at most 4194304: lower steps"),
        ("layers:300", "option sizes=300 of model 'layers' is invalid; expected tables x inputs of each layer"),
        ("layers:300x4,4x", "option sizes=300x4,4x of model"),
        ("layers:noise=1,300x4", "has no option '300x4'; it takes sizes=TABLESxINPUTS"),
        ("layers:300x4,sizes=2x2", "option sizes of model 'layers' is given twice"),
        ("layers:300x9", "layer 1 is 300x9; expected 1 to"),
        ("layers:300x4,0x4", "layer 2 is 0x4"),
        ("layers:3x4,9x4", "a table of layer 2 has 4 inputs, and the layer before has only 3 tables"),
        ("layers:30x4,2x4", "the last layer has 2 tables for 3 classes"),
        ("layers:30x4,frozen=1", "frozen is 1 of 1 layers"),
        ("layers:30x4,forward=3,cotangents=xor", "forward is 3, which gives signed requests; leave it out"),
        ("layers:30x4,wiring=grown", "the wiring of the first layer is 'grown'; expected any, patchP"),
        ("layers:30x4,wiring=patch3", "needs images"),
        ("layers:30x8", "a table of 8 inputs has only 5 bits to choose from"),
        (f"layers:{','.join(['5x2'] * 65)}", "65 layers were asked for"),
        ("layers:1048576x8,1048576x8,1048576x8,1048576x8,1048576x8", "counters; expected at most"),
    ],
)
def test_options_that_are_refused(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        spec_of_widths(text, 5, 3)


def test_files_that_are_refused() -> None:
    good = LayersSpec(**SMALL).to_json()
    for change, said in (
        ({"sizes": "8x2"}, "'sizes'"),
        ({"sizes": [[8, 2, 1]]}, "'sizes'"),
        ({"sizes": [[8, True]]}, "'sizes'"),
        ({"image": [1, 2]}, "'image'"),
        ({"wiring": 1}, "'wiring'"),
        ({"cotangents": "no"}, "cotangents of layers are 'no'"),
        ({"counter": 9}, "counter of layers is 9"),
        ({"noise": "3"}, "noise of layers is '3'"),
        ({"steps": 0}, "steps of layers is 0"),
        ({"order": "zigzag"}, "the order of layers is 'zigzag'; expected blocks or rows or columns"),
        ({"order": 1}, "'order'"),
        ({"steps": 2, "order": "rows", "image": [1, 2, 3]}, "needs images"),
        ({"forward": -1}, "forward of layers is -1"),
    ):
        with pytest.raises(UserError, match=said):
            LayersSpec.from_json({**good, **change})
    before = {name: value for name, value in good.items() if name not in ("forward", "steps", "order")}
    assert LayersSpec.from_json(before) == LayersSpec(**SMALL)
    spec = LayersSpec(**SMALL)
    with pytest.raises(UserError, match="'noise'"):
        spec.check_state({**spec.initial_state(), "noise": np.zeros(63, np.uint8)})


# -- circuits ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["binary", "one-hot"])
@pytest.mark.parametrize(
    ("sizes", "steps"),
    [
        *((sizes, 1) for sizes in (((9, 1),), ((12, 3), (7, 2)), ((20, 8), (15, 6), (13, 4)))),
        (((9, 3),), 2),
        (((12, 3), (7, 2)), 5),
        (((20, 8), (15, 6), (13, 4)), 3),
    ],
)
def test_every_form_predicts_the_same(sizes: Any, code: Any, steps: int) -> None:
    random = np.random.default_rng(0)
    spec = LayersSpec(input_bits=12, classes=5, sizes=sizes, steps=steps)
    plain, x = PlainLayers(spec), random.integers(0, 2, (200, 12), np.uint8)
    counters = random.integers(-32, 32, spec.cells[-1]).astype(np.int8)
    plain.state = {**plain.state, "counters": counters}
    expected = plain.scores(x).argmax(axis=1)
    assert len(np.unique(expected)) > 1
    by_tables = TableScores(spec.table_layers(plain.state), 12)
    np.testing.assert_array_equal(by_tables.scores(x), plain.scores(x))
    found = [
        Reference(layers_model(spec, code))((counters >= 0).astype(np.uint8)[None], x)[0],
        Reference(layers_lut_circuit(spec, counters, code))(x)[0],
    ]
    for bits in found:
        if code == "one-hot":
            np.testing.assert_array_equal(bits.sum(axis=1), 1)
            np.testing.assert_array_equal(bits.argmax(axis=1), expected)
        else:
            np.testing.assert_array_equal((bits.astype(np.int64) << np.arange(bits.shape[1])).sum(axis=1), expected)


def test_the_circuit_of_a_state_has_the_signs_of_its_counters() -> None:
    spec = LayersSpec(**SMALL)
    made, state = spec.trained(spec.initial_state())
    assert (made.input_bits, made.classes, made.code) == (12, 3, "one-hot")
    assert state["parameters"].tolist() == [i & 1 for i in range(spec.cells[-1])]
    large = replace(spec, sizes=((1 << 20, 5), (3, 2)))
    with pytest.raises(UsageError, match="bits, and a circuit takes at most"):
        layers_model(large)


def test_the_luts_are_written_as_so_many_cells() -> None:
    spec = LayersSpec(**SMALL)
    counters = np.random.default_rng(1).integers(-32, 32, spec.cells[-1]).astype(np.int8)
    circuit = layers_lut_circuit(spec, counters)
    lookups = sum(assignment.primitive == "lookup" for assignment in circuit.assignments)
    assert rtlil.convert(Pipeline(circuit, None, cells="xilinx"), emit_src=False).count("cell \\LUT") == lookups
