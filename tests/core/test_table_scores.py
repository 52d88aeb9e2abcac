"""Class scores of tables in layers, and their derivative by the input."""

from __future__ import annotations

import numpy as np
import pytest
from oracles import evaluate, every

from rdahw import Circuit, Switches, cat, reverse, trace
from rdahw.table_scores import TableLayer, TableScores, votes_in_turn
from rdahw.tracing import Wire
from rdahw.types import Words

#: The bits of cotangents of the circuits here, wide enough for all numbers.
K = 16


def random_model(seed: int, sizes: list[tuple[int, int]], bits: int, classes: int) -> TableScores:
    """Tables of ``sizes`` (tables, inputs) in layers, each reading different values of the layer below."""
    random, layers, below = np.random.default_rng(seed), [], bits
    for number, (tables, inputs) in enumerate(sizes):
        wiring = np.array([random.permutation(below)[:inputs] for _ in range(tables)])
        last = number == len(sizes) - 1
        values = random.integers(-9, 10, (tables, 1 << inputs, classes)) if last else None
        hidden = random.integers(0, 2, (tables, 1 << inputs, 1))
        layers.append(TableLayer(wiring, hidden if values is None else values))
        below = tables
    return TableScores(layers, bits)


def circuit(model: TableScores, dy: np.ndarray) -> Circuit:
    """The sum of dy times the scores as a circuit of switches, made of lookups and sums alone."""

    def f(x: Wire) -> Wire:
        values = x
        for layer in model.layers[:-1]:
            found = []
            for wires, held in zip(layer.wiring.tolist(), layer.values[..., 0].tolist(), strict=True):
                table = x.const(sum(bit << i for i, bit in enumerate(held)), len(held))
                found.append(table.lookup(values.gather(wires)))
            values = cat(*found)
        last, total = model.layers[-1], None
        for wires, held in zip(last.wiring.tolist(), (last.values @ dy).tolist(), strict=True):
            # One word for each entry, which counts where the entry is addressed.
            at = values.gather(wires).decode().embed()
            number = sum((value % (1 << K)) << i * K for i, value in enumerate(held))
            weights = x.builder.apply("const", attributes=(number, K * len(held))).as_words(K)
            part = (at * weights).sum(len(held))
            total = part if total is None else total + part
        return total

    return trace(f, x=Switches(model.input_bits, K))


@pytest.mark.parametrize("sizes", [[(5, 3)], [(6, 2), (4, 3)], [(6, 3), (5, 2), (3, 2)]], ids=["1", "2", "3"])
def test_a_request_is_the_reverse_derivative_of_the_circuit(sizes: list[tuple[int, int]]) -> None:
    model = random_model(1, sizes, bits=5, classes=3)
    for dy in np.eye(3, dtype=np.int64)[:2] * [[2], [-1]] - np.eye(3, dtype=np.int64)[2]:
        pull_back = reverse(circuit(model, dy))
        x = every(5)
        one = np.broadcast_to(Words(1, K).to_bits([1]), (len(x), K))
        expected = Words(5, K).to_integers(evaluate(pull_back, np.concatenate([x, one], axis=1)))
        assert np.array_equal([model.request(each, dy) for each in x], expected)


@pytest.mark.parametrize("seed", range(3))
def test_in_one_layer_a_request_is_what_a_flip_changes(seed: int) -> None:
    model = random_model(seed, [(4, 3)], bits=6, classes=3)
    dy = np.array([1, -2, 1])
    for x in every(6):
        flipped = model.scores(x ^ np.eye(6, dtype=np.uint8)) @ dy - model.scores(x[None]) @ dy
        assert np.array_equal(model.request(x, dy) * (1 - 2 * x.astype(int)), flipped)


def test_tables_vote_for_the_classes_in_turn() -> None:
    bits = np.array([[0, 1], [1, 1], [1, 0], [0, 1]])
    values = votes_in_turn(bits, 3)
    assert values.shape == (4, 2, 3)
    assert np.array_equal(values.sum(axis=2), bits)
    assert [np.unique(np.nonzero(table)[1]).tolist() for table in values] == [[0], [1], [2], [0]]
