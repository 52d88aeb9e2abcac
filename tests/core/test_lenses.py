"""Lenses: composition is associative, has identities, keeps the laws of lenses; on derivatives it is the chain rule."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import assert_same_function
from strategies import POLYNOMIAL, circuits

from rdahw import Bits, Circuit, Learner, Model, UserError, lookup_model, trace
from rdahw.lenses import Lens
from rdahw.optimisers import OPTIMISERS
from rdahw.sim.reference import run

SIZES = st.integers(1, 2)


def assert_same(a: Lens, b: Lens) -> None:
    assert_same_function(a.get, b.get)
    assert_same_function(a.put, b.put)


@st.composite
def lenses(draw: st.DrawFn, a: int, a_change: int, b: int, b_change: int) -> Lens:
    """Any two circuits of these widths."""
    get = draw(circuits(POLYNOMIAL, [a], [b], gates=4))
    return Lens(get, draw(circuits(POLYNOMIAL, [a, b_change], [a_change], gates=5)))


def mixed(low: Circuit, high: Circuit, wires: Sequence[Sequence[int]] = ()) -> tuple[Circuit, Circuit]:
    """A circuit of bits with an inverse, and the inverse: each half is added to what a circuit makes of the other."""
    n, m = low.input_types[0].width, high.input_types[0].width

    def there(a):
        p, q = a[:n], a[n:]
        q = q ^ a.builder.inline(low, [p])[0]
        p = p ^ a.builder.inline(high, [q])[0]
        return p.concat(p, q)

    def back(b):
        p, q = b[:n], b[n:]
        p = p ^ b.builder.inline(high, [q])[0]
        q = q ^ b.builder.inline(low, [p])[0]
        return p.concat(p, q)

    return trace(there, a=Bits(n + m)), trace(back, a=Bits(n + m))


@st.composite
def lawful(draw: st.DrawFn, seen: int, rest: int) -> Lens:
    """A lens onto the first ``seen`` bits of its input after a change that has an inverse."""
    low = draw(circuits(POLYNOMIAL, [seen], [rest], gates=3))
    there, back = mixed(low, draw(circuits(POLYNOMIAL, [rest], [seen], gates=3)))
    get = trace(lambda a: a.builder.inline(there, [a])[0][:seen], a=there.input_types[0])

    def put(a, b):
        kept = a.builder.inline(there, [a])[0][seen:]
        return a.builder.inline(back, [b.concat(b, kept)])[0]

    return Lens(get, trace(put, a=there.input_types[0], b=Bits(seen)))


def laws(lens: Lens) -> list[tuple[Circuit, Circuit]]:
    """put-get, get-put and put-put, each as two circuits that are to be the same function."""
    a, b = lens.get.input_types[0], lens.get.output_types[0]
    get = lambda wire: wire.builder.inline(lens.get, [wire])[0]  # noqa: E731
    put = lambda wire, change: wire.builder.inline(lens.put, [wire, change])[0]  # noqa: E731
    return [
        (trace(lambda x, y: get(put(x, y)), x=a, y=b), trace(lambda x, y: y, x=a, y=b)),
        (trace(lambda x: put(x, get(x)), x=a), trace(lambda x: x, x=a)),
        (trace(lambda x, y, z: put(put(x, y), z), x=a, y=b, z=b), trace(lambda x, y, z: put(x, z), x=a, y=b, z=b)),
    ]


@settings(max_examples=25)
@given(st.data())
def test_composition_is_associative_and_has_identities(data: st.DataObject) -> None:
    sizes = [data.draw(SIZES) for _ in range(8)]
    f, g, h = (data.draw(lenses(*sizes[2 * i : 2 * i + 4])) for i in range(3))
    assert_same((f >> g) >> h, f >> (g >> h))
    if f.get.input_types == f.put.output_types and f.get.output_types == f.changes:
        assert_same(Lens.identity(*f.get.input_types) >> f, f)
        assert_same(f >> Lens.identity(*f.get.output_types), f)


@settings(max_examples=25)
@given(st.data())
def test_a_composite_of_lenses_with_the_laws_has_them(data: st.DataObject) -> None:
    outer = data.draw(lawful(3, data.draw(SIZES)))
    inner = data.draw(lawful(data.draw(SIZES), 2).filter(lambda lens: lens.get.input_types[0].width == 3))
    for lens in (outer, inner, outer >> inner):
        for left, right in laws(lens):
            assert_same_function(left, right)


def test_a_lens_without_the_laws_is_told_apart() -> None:
    adds = Lens(trace(lambda a: a, a=Bits(2)), trace(lambda a, b: a ^ b, a=Bits(2), b=Bits(2)))
    for left, right in laws(adds):
        with pytest.raises(AssertionError):
            assert_same_function(left, right)


@settings(max_examples=25)
@given(st.data())
def test_the_chain_rule_composes_lenses(data: st.DataObject) -> None:
    a, b, c, d = (data.draw(SIZES) for _ in range(4))
    f, g = data.draw(circuits(POLYNOMIAL, [a], [b], gates=5)), data.draw(circuits(POLYNOMIAL, [b], [c], gates=5))
    k = data.draw(circuits(POLYNOMIAL, [d], [b], gates=4))
    assert_same(Lens.of(f >> g), Lens.of(f) >> Lens.of(g))
    assert_same(Lens.of(f @ k), Lens.of(f) @ Lens.of(k))


def test_a_learning_step_is_the_put_of_a_composite() -> None:
    learner = Learner(Model("lookup", lookup_model(2, 2)))
    f = learner.model.circuit
    parameters, data = f.input_types
    bound = OPTIMISERS["xor"].bound(parameters, {})
    optimiser = Lens(trace(bound.get, s=bound.state), trace(bound.put, s=bound.state, g=parameters))
    step = (optimiser @ Lens.identity(data)) >> Lens.of(f)
    random = np.random.default_rng(0)
    theta, x, y = (random.integers(0, 2, (50, width), np.uint8) for width in (parameters.width, data.width, 2))
    (output,) = run(step.get, theta, x)
    (dy,) = run(learner.cotangent, output, y)
    np.testing.assert_array_equal(run(step.put, theta, x, dy)[0], run(learner.step, theta, x, y)[0])


def test_lenses_that_do_not_fit_are_refused() -> None:
    one, two = Lens.identity(Bits(1)), Lens.identity(Bits(2))
    with pytest.raises(
        UserError, match=r"^the values between two lenses are Bits\(1\) and Bits\(2\); expected the same"
    ):
        one >> two
    odd = Lens(one.get, trace(lambda a, b: b, a=Bits(1), b=Bits(2)))
    with pytest.raises(UserError, match=r"^the changes between two lenses are Bits\(2\) and Bits\(1\); expected the s"):
        odd >> one
    with pytest.raises(UserError, match=r"^put takes Bits\(2\), Bits\(2\), and get takes Bits\(1\); expected put to b"):
        Lens(one.get, two.put)
