"""The paper's own program on 24 circuits, 100 random vectors each: forward, reverse derivative, Boolean difference.

Each vector is [x, dy, forward, compositional reverse derivative, brute-force difference], as its README tells. On all
circuits but the square the two derivatives are the same.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from golden_files import golden
from oracles import bits, brute_force_difference, evaluate, input_widths, output_widths

from rdahw import Bits, Circuit, boolean_difference, is_safe, lookup_model, mask_model, reverse, trace
from rdahw.combinators import add, add_n, copy, copy_n, discard, identity, multiply, swap, tensor_n

GOLDEN = {circuit["name"]: circuit for circuit in json.loads(golden("combinators.json").read_text())}


def exchange(a: int, b: int, c: int, d: int) -> Circuit:
    """(a + b) + (c + d) → (a + c) + (b + d), the two in the middle swapped."""
    return identity(a) @ swap(b, c) @ identity(d)


def distribute(n: int, p: int, a: int) -> Circuit:
    """n·p + n·a → n·(p + a), chunk k of the one in front of chunk k of the other."""

    def body(x: Any, y: Any) -> Any:
        return x.concat(*(part for k in range(n) for part in (x[k * p : k * p + p], y[k * a : k * a + a])))

    return trace(body, x=Bits(n * p), y=Bits(n * a))


#: The paper's circuits in our words.
CIRCUITS: Mapping[str, Circuit] = {
    "identity @8": identity(8),
    "copy @8": copy(8),
    "add @8": add(8),
    "multiply @8": multiply(8),
    "chain (add @8) (copy @8)": add(8) >> copy(8),
    "chain (copy @6) (multiply @6)": copy(6) >> multiply(6),
    "tensor (add @4) (copy @3)": add(4) @ copy(3),
    "tensor (multiply @4) (identity @5)": multiply(4) @ identity(5),
    "basis @4": trace(lambda x: x.decode(), x=Bits(4)),
    "basis @6": trace(lambda x: x.decode(), x=Bits(6)),
    "copyN @5 @3": copy_n(3, 5),
    "addN @5 @3": add_n(3, 5),
    "sum @9": trace(lambda x: x.parity(), x=Bits(9)),
    "swap @5": swap(5, 5),
    "ex @2 @3 @4 @5": exchange(2, 3, 4, 5),
    "discard @6": discard(6),
    "repeated @3 (multiply @4)": tensor_n(3, multiply(4)),
    "distribute @3 @2 @4": distribute(3, 2, 4),
    "evalModel @4 @1": lookup_model(4, 1),
    "evalModel @4 @2": lookup_model(4, 2),
    "evalModel @4 @3": lookup_model(4, 3),
    "evalModel @6 @2": lookup_model(6, 2),
    "pseudoLinear @16 4": mask_model(16, 4),
    "pseudoLinear @40 4": mask_model(40, 4),
}
SQUARE = "chain (copy @6) (multiply @6)"
#: Those of which there are recorded vectors.
KNOWN = [name for name in CIRCUITS if name in GOLDEN]


class Vectors:
    """The vectors of one circuit as arrays of bits."""

    def __init__(self, name: str) -> None:
        self.circuit, golden = CIRCUITS[name], GOLDEN[name]
        a, b = golden["inputs"], golden["outputs"]
        assert golden["fields"] == ["x", "dy", "forward", "compositional_reverse", "brute_force_reverse"]
        assert (sum(input_widths(self.circuit)), sum(output_widths(self.circuit))) == (a, b)
        columns = zip(*golden["vectors"], strict=True)
        self.x, self.dy, self.forward, self.reverse, self.difference = (
            np.array([bits(int(value, 16), width) for value in column])
            for column, width in zip(columns, (a, b, b, a, a), strict=True)
        )
        assert len(self.x)


@pytest.fixture(scope="module", params=KNOWN)
def vectors(request: pytest.FixtureRequest) -> Vectors:
    return Vectors(request.param)


def test_our_own_recorded_circuits_are_all_here(monkeypatch: pytest.MonkeyPatch) -> None:
    assert KNOWN
    monkeypatch.delenv("RDAHW_GOLDEN", raising=False)
    assert set(CIRCUITS) == {circuit["name"] for circuit in json.loads(golden("combinators.json").read_text())}


def test_forward(vectors: Vectors) -> None:
    np.testing.assert_array_equal(evaluate(vectors.circuit, vectors.x), vectors.forward)


def test_reverse_derivative(vectors: Vectors) -> None:
    inputs = np.concatenate([vectors.x, vectors.dy], axis=1)
    np.testing.assert_array_equal(evaluate(reverse(vectors.circuit), inputs), vectors.reverse)


def test_boolean_difference(vectors: Vectors) -> None:
    np.testing.assert_array_equal(brute_force_difference(vectors.circuit, vectors.x, vectors.dy), vectors.difference)


def test_circuit_of_the_boolean_difference(vectors: Vectors) -> None:
    inputs = np.concatenate([vectors.x, vectors.dy], axis=1)
    np.testing.assert_array_equal(evaluate(boolean_difference(vectors.circuit), inputs), vectors.difference)


@pytest.mark.parametrize("name", CIRCUITS)
def test_only_the_square_is_not_safe(name: str) -> None:
    assert is_safe(CIRCUITS[name]) == (name != SQUARE)


@pytest.mark.parametrize("name", [name for name in KNOWN if name == SQUARE])
def test_the_derivatives_of_the_square_differ(name: str) -> None:
    vectors = Vectors(name)
    assert vectors.reverse.max() == 0
    np.testing.assert_array_equal(vectors.difference, vectors.dy)
    assert vectors.dy.any()
