"""Dreaming: the input of a model is learned by reverse derivative ascent."""

from __future__ import annotations

import numpy as np
import pytest
from oracles import evaluate, every

from rdahw import Bits, Circuit, boolean_difference, lookup_model, mask_model, trace
from rdahw.data import encode
from rdahw.data.inputs import Choice, free_bits
from rdahw.families.linear import linear_model
from rdahw.sim.dream import CircuitScores, Dream, Scores, dream, find_flip, start
from rdahw.table_scores import TableLayer, TableScores
from rdahw.transform import bind


def tables(seed: int, classes: int = 3) -> TableScores:
    random = np.random.default_rng(seed)
    wiring = np.array([random.permutation(12)[:3] for _ in range(20)])
    return TableScores([TableLayer(wiring, random.integers(-9, 10, (20, 8, classes)))], 12)


def lookup(table: np.ndarray, outputs: int = 3) -> Circuit:
    return bind(lookup_model(4, outputs), theta=table.reshape(-1).tolist())


def last(model: Scores, options: list[Choice], x: np.ndarray, wanted: int, steps: int = 100, seed: int = 0) -> Dream:
    return list(dream(model, options, x, wanted, steps=steps, seed=seed))[-1]


@pytest.mark.parametrize("wanted", range(3))
def test_a_dream_of_tables_is_a_local_maximum(wanted: int) -> None:
    model = tables(wanted)
    found = last(model, free_bits(12), np.zeros(12, np.uint8), wanted)
    scores = model.scores(every(12))
    margins = scores[:, wanted] - np.delete(scores, wanted, axis=1).max(axis=1)
    here = int(found.x @ (1 << np.arange(12)))
    assert found.predicted == wanted == scores[here].argmax()
    assert found.margin == margins[here] > 0
    assert found.margin >= margins[[here ^ 1 << i for i in range(12)]].max()


def test_what_is_best_so_far_never_falls() -> None:
    margins = [found.margin for found in dream(tables(7), free_bits(12), every(12)[99], 2, steps=40)]
    assert margins == sorted(margins)
    assert margins[0] < margins[-1]


def test_the_number_of_steps_is_a_limit() -> None:
    found = list(dream(tables(7), free_bits(12), np.zeros(12, np.uint8), 2, steps=2))
    assert [each.changes for each in found] == [0, 1, 2]
    assert [int(each.x.sum()) for each in found] == [0, 1, 2]


def test_only_patterns_that_data_can_have_are_dreamt_of() -> None:
    ladder = np.array([[0, 0, 0, 0], [1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]], np.uint8)
    options = [Choice(i, np.arange(i, 12, 3), ladder, np.arange(5.0)) for i in range(3)]
    for seed in range(5):
        x = start(options, 12, seed)
        for found in dream(tables(3), options, x, 1, steps=30):
            assert all(option.value(found.x) is not None for option in options)


def test_a_start_is_the_first_pattern_or_random() -> None:
    options = [Choice(0, np.array([1, 0]), np.array([[1, 0], [0, 1]], np.uint8), np.arange(2.0)), *free_bits(4)[2:]]
    assert start(options, 4).tolist() == [0, 1, 0, 0]
    random = {tuple(start(options, 4, seed).tolist()) for seed in range(40)}
    assert random == {(a, 1 - a, b, c) for a in (0, 1) for b in (0, 1) for c in (0, 1)}


@pytest.mark.parametrize("code", ["one-hot", "binary"])
def test_the_request_of_bits_is_the_reverse_derivative(code: str) -> None:
    random = np.random.default_rng(5)
    labels = random.integers(0, 3, 16)
    outputs = encode(labels, 3, code)
    circuit = lookup(outputs.T, outputs.shape[1])  # safe: its derivative is the Boolean difference
    model, expected = CircuitScores(circuit, 3, code), boolean_difference(circuit)
    assert np.array_equal(model.classify(model.scores(every(4))), labels)
    for wanted in range(3):
        dy = outputs ^ encode(np.array([wanted]), 3, code)
        flips = evaluate(expected, np.concatenate([every(4), dy], axis=1))
        weights = np.eye(3, dtype=np.int64)[wanted]
        requests = np.array([model.request(x, weights) for x in every(4)])
        assert np.array_equal(requests, flips * (1 - 2 * every(4).astype(int)))


def test_an_output_that_is_the_code_of_no_class_is_none() -> None:
    model = CircuitScores(trace(lambda x: x, x=Bits(3)), 3, "one-hot")
    assert model.classify(model.scores(every(3))).tolist() == [-1, 0, 1, -1, 2, -1, -1, -1]


def test_the_request_of_words_is_the_difference_of_the_scores() -> None:
    f = linear_model(4, 2, word=1, bits=16)
    theta = f.input_types[0].to_bits(np.random.default_rng(1).integers(-900, 900, 8))
    model = CircuitScores(bind(f, theta=theta.tolist()), 2, "one-hot")
    dy = np.array([1, -1])
    for x in every(4):
        there = [(model.scores((x ^ bit)[None]) - model.scores(x[None]))[0] @ dy for bit in np.eye(4, dtype=np.uint8)]
        assert np.array_equal(model.request(x, dy), there * (1 - 2 * x.astype(int)))
    found = last(model, free_bits(4), np.zeros(4, np.uint8), 1)
    assert found.margin == (model.scores(every(4)) @ -dy).max()  # linear: the largest there is


@pytest.mark.parametrize("wanted", [0, 1])
def test_a_mask_is_dreamt_of(wanted: int) -> None:
    model = CircuitScores(bind(mask_model(9), theta=[1, 1, 0, 1, 1, 0, 1, 0, 0]), 2, "binary")
    found = last(model, free_bits(9), np.full(9, 1 - wanted, np.uint8), wanted)
    assert (found.predicted, found.margin) == (wanted, 1)


def test_a_class_that_is_never_predicted_is_not_reached() -> None:
    model = CircuitScores(lookup(np.tile([[1], [0], [0]], 16)), 3, "one-hot")
    found = last(model, free_bits(4), np.zeros(4, np.uint8), 1, steps=50)
    assert (found.predicted, found.margin, found.changes) == (0, -2, 0)


def test_where_there_is_no_request_random_changes_go_on() -> None:
    # Class 1 at a single input, far from the start.
    labels = (np.arange(16) == 15).astype(int)
    model = CircuitScores(lookup(encode(labels, 2, "one-hot").T, 2), 2, "one-hot")
    found = {last(model, free_bits(4), np.zeros(4, np.uint8), 1, seed=seed).predicted for seed in range(3)}
    assert found == {1}
    one, other = (last(model, free_bits(4), np.zeros(4, np.uint8), 1, seed=1) for _ in range(2))
    assert one.changes == other.changes


@pytest.mark.parametrize("seed", range(4))
def test_a_flip_that_changes_the_output_is_found(seed: int) -> None:
    random = np.random.default_rng(seed)
    labels = (np.arange(16) == random.integers(1, 16)).astype(int)
    circuit = lookup(encode(labels, 2, "one-hot").T, 2)
    found = find_flip(lambda: CircuitScores(circuit, 2, "one-hot"), circuit)
    assert found is not None
    x, bit = found
    assert (evaluate(circuit, x[None]) != evaluate(circuit, (x ^ np.eye(4, dtype=np.uint8)[bit])[None])).any()


def test_there_is_no_flip_in_a_constant_function() -> None:
    circuit = lookup(np.tile([[1], [0], [0]], 16))
    assert find_flip(lambda: CircuitScores(circuit, 3, "one-hot"), circuit) is None


def test_where_random_inputs_do_not_differ_another_class_is_dreamt_of() -> None:
    # Of 40 bits all but a few have to be set for class 1.
    circuit = trace(lambda x: x.const(36, 6) <= x.popcount(), x=Bits(40))
    votes = TableScores([TableLayer(np.arange(40)[:, None], np.tile([[[4, 0], [0, 1]]], (40, 1, 1)))], 40)
    found = find_flip(lambda: votes, circuit)
    assert found is not None
    x, bit = found
    assert (evaluate(circuit, x[None]) != evaluate(circuit, (x ^ np.eye(40, dtype=np.uint8)[bit])[None])).any()
