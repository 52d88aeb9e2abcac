"""The axioms of a reverse derivative category, RD.1 to RD.7: Cockett, Cruttwell, Gallagher, Lemay, MacAdam, Plotkin and
Pronk, *Reverse derivative categories*, arXiv 1910.07065, definition 13.

They are tested as equality of functions on random circuits of the polynomial core. Composition is written in the order
of the diagram, as there and as ``>>`` does: f g is f, then g. ι₀ : A → A × B is ⟨1, 0⟩, π₁ the second projection, ! the
map to the empty product. The laws of first order, RD.1 to RD.5, are tested on circuits of all primitives too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import assert_same_function, input_widths, output_widths
from strategies import ALL, POLYNOMIAL, circuits, widths

from rdahw import Bits, Circuit, expand, forward_derivative, reverse, trace
from rdahw.tracing import Builder, Wire

_Body = Callable[..., Sequence[Wire]]


def arrow(body: _Body, *objects: Sequence[int]) -> Circuit:
    """The circuit from a product of objects, each a list of widths; ``body`` takes one list of wires for each."""
    builder = Builder()
    given = [
        [builder.input(f"x{k}_{i}", Bits(width)) for i, width in enumerate(widths)] for k, widths in enumerate(objects)
    ]
    return builder.finish({f"y{i}": wire for i, wire in enumerate(body(*given))})


def on(f: Circuit, *wires: Wire) -> list[Wire]:
    """The outputs of ``f`` on these wires."""
    return wires[0].builder.inline(f, wires)


def plus(a: Sequence[Wire], b: Sequence[Wire]) -> list[Wire]:
    return [p ^ q for p, q in zip(a, b, strict=True)]


def zeros(like: Sequence[Wire]) -> list[Wire]:
    return [wire.zeros(wire.width) for wire in like]


def projection(first: Sequence[int], second: Sequence[int], which: int) -> Circuit:
    return arrow(lambda *wires: wires[which], first, second)


objects = widths(2)
TO_FIRST_ORDER = pytest.mark.parametrize("primitives", [POLYNOMIAL, ALL], ids=["core", "all"])


@TO_FIRST_ORDER
@given(st.data(), objects, objects)
def test_rd1_the_reverse_derivative_is_additive(primitives, data: st.DataObject, a, b) -> None:
    """RD.1: R[f + g] = R[f] + R[g] and R[0] = 0."""
    f, g = data.draw(circuits(primitives, a, b)), data.draw(circuits(primitives, a, b))
    total = arrow(lambda x: plus(on(f, *x), on(g, *x)), a)
    assert_same_function(
        reverse(total), arrow(lambda x, dy: plus(on(reverse(f), *x, *dy), on(reverse(g), *x, *dy)), a, b)
    )
    zero = arrow(lambda x: [x[0].zeros(width) for width in b], a)
    assert_same_function(reverse(zero), arrow(lambda x, dy: zeros(x), a, b))


@TO_FIRST_ORDER
@given(st.data())
def test_rd2_the_reverse_derivative_is_additive_in_its_second_variable(primitives, data: st.DataObject) -> None:
    """RD.2: ⟨a, b + c⟩ R[f] = ⟨a, b⟩ R[f] + ⟨a, c⟩ R[f] and ⟨a, 0⟩ R[f] = 0."""
    f = data.draw(circuits(primitives))
    r, a, b = reverse(f), input_widths(f), output_widths(f)
    assert_same_function(
        arrow(lambda x, p, q: on(r, *x, *plus(p, q)), a, b, b),
        arrow(lambda x, p, q: plus(on(r, *x, *p), on(r, *x, *q)), a, b, b),
    )
    nothing = arrow(lambda x: on(r, *x, *(x[0].zeros(width) for width in b)), a)
    assert_same_function(nothing, arrow(zeros, a))


@given(objects, objects)
def test_rd3_identities_and_projections(a, b) -> None:
    """RD.3: R[1] = π₁, R[π₀] = π₁ ι₀ and R[π₁] = π₁ ι₁."""
    assert_same_function(reverse(arrow(lambda x: x, a)), projection(a, a, 1))
    assert_same_function(reverse(projection(a, b, 0)), arrow(lambda x, y, dx: [*dx, *zeros(y)], a, b, a))
    assert_same_function(reverse(projection(a, b, 1)), arrow(lambda x, y, dy: [*zeros(x), *dy], a, b, b))


@TO_FIRST_ORDER
@given(st.data(), objects, objects, objects)
def test_rd4_pairs(primitives, data: st.DataObject, a, b, c) -> None:
    """RD.4: R[⟨f, g⟩] = (1 × π₀) R[f] + (1 × π₁) R[g] and R[!] = 0."""
    f, g = data.draw(circuits(primitives, a, b)), data.draw(circuits(primitives, a, c))
    pair = arrow(lambda x: [*on(f, *x), *on(g, *x)], a)
    assert_same_function(
        reverse(pair),
        arrow(lambda x, p, q: plus(on(reverse(f), *x, *p), on(reverse(g), *x, *q)), a, b, c),
    )
    assert_same_function(reverse(arrow(lambda x: [], a)), arrow(zeros, a))


@TO_FIRST_ORDER
@given(st.data(), objects, objects, objects)
def test_rd5_the_chain_rule(primitives, data: st.DataObject, a, b, c) -> None:
    """RD.5: R[f g] = ⟨π₀, (f × 1) R[g]⟩ R[f], that is, R[g f](x, dz) = R[f](x, R[g](f(x), dz))."""
    f, g = data.draw(circuits(primitives, a, b)), data.draw(circuits(primitives, b, c))
    assert_same_function(
        reverse(f >> g),
        arrow(lambda x, dz: on(reverse(f), *x, *on(reverse(g), *on(f, *x), *dz)), a, c),
    )


def forward(f: Circuit) -> Circuit:
    """D[f] = (ι₀ × 1) R[R[f]] π₁ : A × A → B, from the reverse derivative alone: the transpose of R[f] in dy."""
    r = reverse(reverse(f))  # (A × B) × A → A × B
    a, b = input_widths(f), output_widths(f)

    def body(x: Sequence[Wire], dx: Sequence[Wire]) -> Sequence[Wire]:
        return on(r, *x, *(x[0].zeros(width) for width in b), *dx)[len(a) :]

    return arrow(body, a, a)


# Three and four derivatives of a circuit are many gates, so that these circuits are small and the examples fewer.
SMALL = 5


@settings(max_examples=50)
@given(circuits(POLYNOMIAL, gates=SMALL))
def test_rd6_the_reverse_derivative_is_linear_in_its_second_variable(f: Circuit) -> None:
    """RD.6: ⟨1 × π₀, 0 × π₁⟩ (ι₀ × 1) R[R[R[f]]] π₁ = (1 × π₁) R[f].

    With D[g] = (ι₀ × 1) R[R[g]] π₁ for g = R[f]: D[R[f]]((x, dy), (0, dy')) = R[f](x, dy').
    """
    r, a, b = reverse(f), input_widths(f), output_widths(f)
    d = forward(r)  # (A × B) × (A × B) → A
    assert_same_function(
        arrow(lambda x, p, q: on(d, *x, *p, *zeros(x), *q), a, b, b),
        arrow(lambda x, p, q: on(r, *x, *q), a, b, b),
    )


@settings(max_examples=50)
@given(circuits(POLYNOMIAL, inputs=[2, 1], gates=SMALL))
def test_rd7_mixed_derivatives_are_symmetric(f: Circuit) -> None:
    """RD.7: (ι₀ × 1) R[R[(ι₀ × 1) R[R[f]] π₁]] π₁ = ex (ι₀ × 1) R[R[(ι₀ × 1) R[R[f]] π₁]] π₁.

    That is, D[D[f]]((x, u), (v, w)) = D[D[f]]((x, v), (u, w)), ex exchanging the two in the middle.
    """
    a = input_widths(f)
    second = forward(forward(f))  # (A × A) × (A × A) → B
    assert_same_function(
        arrow(lambda x, u, v, w: on(second, *x, *u, *v, *w), a, a, a, a),
        arrow(lambda x, u, v, w: on(second, *x, *v, *u, *w), a, a, a, a),
    )


@given(circuits(POLYNOMIAL))
def test_the_forward_derivative_is_the_one_that_the_reverse_derivative_induces(f: Circuit) -> None:
    """D[f] = (ι₀ × 1) R[R[f]] π₁, theorem 16 of the paper; forward_derivative() has rules of its own."""
    assert_same_function(forward_derivative(f), forward(f))


def test_higher_derivatives_of_rich_primitives_go_through_the_expansion() -> None:
    """Why the laws of higher order speak of the core: a handy formula for a derivative may hold squares."""
    count = trace(lambda x: x.popcount(), x=Bits(4))
    assert_same_function(reverse(count), reverse(expand(count)))
    with pytest.raises(AssertionError):
        assert_same_function(reverse(reverse(count)), reverse(reverse(expand(count))))
