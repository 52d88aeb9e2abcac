"""The axioms of a reverse derivative category, RD.1 to RD.7: Cockett, Cruttwell, Gallagher, Lemay, MacAdam, Plotkin and
Pronk, *Reverse derivative categories*, arXiv 1910.07065, definition 13.

They are tested as equality of functions on random circuits of the polynomial core, over Z2, words and every kind of
finite semiring. Composition is written in the order
of the diagram, as there and as ``>>`` does: f g is f, then g. ι₀ : A → A × B is ⟨1, 0⟩, π₁ the second projection, ! the
map to the empty product. The laws of first order, RD.1 to RD.5, are tested on circuits of all primitives too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial, reduce

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import assert_same_function
from strategies import ALL, POLYNOMIAL, circuits, ring_circuits, widths

from rdahw import Bits, Circuit, Words, expand, forward_derivative, reverse, trace
from rdahw.combinators import add, copy, discard, identity, swap
from rdahw.tracing import Builder, ElementWire, Wire, constant, ring_sum
from rdahw.types import Scalars, Type

_Body = Callable[..., Sequence[Wire]]


@dataclass(frozen=True)
class World:
    """What the laws are tested on. element: the type of one element; an object lists how many are on each wire.
    circuits: draws one, given its inputs, its outputs and how many gates it may have."""

    name: str
    element: Type
    circuits: Callable[..., st.SearchStrategy[Circuit]]

    def objects(self) -> st.SearchStrategy[list[int]]:
        return widths(2) if isinstance(self.element, Bits) else st.lists(st.integers(1, 2), min_size=1, max_size=2)


def _of_ring(element: Type) -> World:
    return World(str(element), element, partial(ring_circuits, element))


BITS = World("core", Bits(1), partial(circuits, POLYNOMIAL))
SEMIRINGS = [_of_ring(Scalars(1, name)) for name in ("Z3", "Z4", "Sat3", "Or")]
RINGS = [_of_ring(Words(1, 3)), *(pytest.param(world, marks=pytest.mark.slow) for world in SEMIRINGS)]
FIRST_ORDER = pytest.mark.parametrize(
    "world", [BITS, World("all", Bits(1), partial(circuits, ALL)), *RINGS], ids=lambda world: world.name
)
EVERY_ORDER = pytest.mark.parametrize("world", [BITS, *RINGS], ids=lambda world: world.name)


def arrow(world: World, body: _Body, *objects: Sequence[int]) -> Circuit:
    """The circuit from a product of objects; ``body`` takes one list of wires for each."""
    builder = Builder()
    given = [
        [builder.input(f"x{k}_{i}", world.element.of(count)) for i, count in enumerate(counts)]
        for k, counts in enumerate(objects)
    ]
    return builder.finish({f"y{i}": wire for i, wire in enumerate(body(*given))})


def on(f: Circuit, *wires: Wire) -> list[Wire]:
    """The outputs of ``f`` on these wires."""
    return wires[0].builder.inline(f, wires)


def plus(a: Sequence[Wire], b: Sequence[Wire]) -> list[Wire]:
    return [ring_sum(p, q) for p, q in zip(a, b, strict=True)]


def zeros(like: Sequence[Wire]) -> list[Wire]:
    return [constant(wire.builder, 0, wire.type) for wire in like]


def projection(world: World, first: Sequence[int], second: Sequence[int], which: int) -> Circuit:
    return arrow(world, lambda *wires: wires[which], first, second)


def counts(types: Sequence[Type]) -> list[int]:
    return [type_.count for type_ in types]


@FIRST_ORDER
@given(st.data())
def test_rd1_the_reverse_derivative_is_additive(world: World, data: st.DataObject) -> None:
    """RD.1: R[f + g] = R[f] + R[g] and R[0] = 0."""
    a, b = data.draw(world.objects()), data.draw(world.objects())
    f, g = data.draw(world.circuits(a, b)), data.draw(world.circuits(a, b))
    total = arrow(world, lambda x: plus(on(f, *x), on(g, *x)), a)
    assert_same_function(
        reverse(total), arrow(world, lambda x, dy: plus(on(reverse(f), *x, *dy), on(reverse(g), *x, *dy)), a, b)
    )
    zero = arrow(world, lambda x: [x[0].zeros(width) for width in b], a)
    assert_same_function(reverse(zero), arrow(world, lambda x, dy: zeros(x), a, b))


@FIRST_ORDER
@given(st.data())
def test_rd2_the_reverse_derivative_is_additive_in_its_second_variable(world: World, data: st.DataObject) -> None:
    """RD.2: ⟨a, b + c⟩ R[f] = ⟨a, b⟩ R[f] + ⟨a, c⟩ R[f] and ⟨a, 0⟩ R[f] = 0."""
    f = data.draw(world.circuits())
    r, a, b = reverse(f), counts(f.input_types), counts(f.output_types)
    assert_same_function(
        arrow(world, lambda x, p, q: on(r, *x, *plus(p, q)), a, b, b),
        arrow(world, lambda x, p, q: plus(on(r, *x, *p), on(r, *x, *q)), a, b, b),
    )
    nothing = arrow(world, lambda x: on(r, *x, *(x[0].zeros(width) for width in b)), a)
    assert_same_function(nothing, arrow(world, zeros, a))


@EVERY_ORDER
@given(st.data())
def test_rd3_identities_and_projections(world: World, data: st.DataObject) -> None:
    """RD.3: R[1] = π₁, R[π₀] = π₁ ι₀ and R[π₁] = π₁ ι₁."""
    a, b = data.draw(world.objects()), data.draw(world.objects())
    assert_same_function(reverse(arrow(world, lambda x: x, a)), projection(world, a, a, 1))
    assert_same_function(reverse(projection(world, a, b, 0)), arrow(world, lambda x, y, dx: [*dx, *zeros(y)], a, b, a))
    assert_same_function(reverse(projection(world, a, b, 1)), arrow(world, lambda x, y, dy: [*zeros(x), *dy], a, b, b))


@FIRST_ORDER
@given(st.data())
def test_rd4_pairs(world: World, data: st.DataObject) -> None:
    """RD.4: R[⟨f, g⟩] = (1 × π₀) R[f] + (1 × π₁) R[g] and R[!] = 0."""
    a, b, c = data.draw(world.objects()), data.draw(world.objects()), data.draw(world.objects())
    f, g = data.draw(world.circuits(a, b)), data.draw(world.circuits(a, c))
    pair = arrow(world, lambda x: [*on(f, *x), *on(g, *x)], a)
    assert_same_function(
        reverse(pair),
        arrow(world, lambda x, p, q: plus(on(reverse(f), *x, *p), on(reverse(g), *x, *q)), a, b, c),
    )
    assert_same_function(reverse(arrow(world, lambda x: [], a)), arrow(world, zeros, a))


@FIRST_ORDER
@given(st.data())
def test_rd5_the_chain_rule(world: World, data: st.DataObject) -> None:
    """RD.5: R[f g] = ⟨π₀, (f × 1) R[g]⟩ R[f], that is, R[g f](x, dz) = R[f](x, R[g](f(x), dz))."""
    a, b, c = data.draw(world.objects()), data.draw(world.objects()), data.draw(world.objects())
    f, g = data.draw(world.circuits(a, b)), data.draw(world.circuits(b, c))
    assert_same_function(
        reverse(f >> g),
        arrow(world, lambda x, dz: on(reverse(f), *x, *on(reverse(g), *on(f, *x), *dz)), a, c),
    )


def forward(world: World, f: Circuit) -> Circuit:
    """D[f] = (ι₀ × 1) R[R[f]] π₁ : A × A → B, from the reverse derivative alone: the transpose of R[f] in dy."""
    r = reverse(reverse(f))  # (A × B) × A → A × B
    a, b = counts(f.input_types), counts(f.output_types)

    def body(x: Sequence[Wire], dx: Sequence[Wire]) -> Sequence[Wire]:
        return on(r, *x, *(x[0].zeros(width) for width in b), *dx)[len(a) :]

    return arrow(world, body, a, a)


# Three and four derivatives of a circuit are many gates, so that these circuits are small and the examples fewer.
SMALL = 5


@EVERY_ORDER
@settings(max_examples=50)
@given(st.data())
def test_rd6_the_reverse_derivative_is_linear_in_its_second_variable(world: World, data: st.DataObject) -> None:
    """RD.6: ⟨1 × π₀, 0 × π₁⟩ (ι₀ × 1) R[R[R[f]]] π₁ = (1 × π₁) R[f].

    With D[g] = (ι₀ × 1) R[R[g]] π₁ for g = R[f]: D[R[f]]((x, dy), (0, dy')) = R[f](x, dy').
    """
    f = data.draw(world.circuits(gates=SMALL))
    r, a, b = reverse(f), counts(f.input_types), counts(f.output_types)
    d = forward(world, r)  # (A × B) × (A × B) → A
    assert_same_function(
        arrow(world, lambda x, p, q: on(d, *x, *p, *zeros(x), *q), a, b, b),
        arrow(world, lambda x, p, q: on(r, *x, *q), a, b, b),
    )


@EVERY_ORDER
@settings(max_examples=50)
@given(st.data())
def test_rd7_mixed_derivatives_are_symmetric(world: World, data: st.DataObject) -> None:
    """RD.7: (ι₀ × 1) R[R[(ι₀ × 1) R[R[f]] π₁]] π₁ = ex (ι₀ × 1) R[R[(ι₀ × 1) R[R[f]] π₁]] π₁.

    That is, D[D[f]]((x, u), (v, w)) = D[D[f]]((x, v), (u, w)), ex exchanging the two in the middle.
    """
    f = data.draw(world.circuits(inputs=[2, 1], gates=SMALL))
    a = counts(f.input_types)
    second = forward(world, forward(world, f))  # (A × A) × (A × A) → B
    assert_same_function(
        arrow(world, lambda x, u, v, w: on(second, *x, *u, *v, *w), a, a, a, a),
        arrow(world, lambda x, u, v, w: on(second, *x, *v, *u, *w), a, a, a, a),
    )


@EVERY_ORDER
@given(st.data())
def test_the_forward_derivative_is_the_one_that_the_reverse_derivative_induces(
    world: World, data: st.DataObject
) -> None:
    """D[f] = (ι₀ × 1) R[R[f]] π₁, theorem 16 of the paper; forward_derivative() has rules of its own."""
    f = data.draw(world.circuits())
    assert_same_function(forward_derivative(f), forward(world, f))


def inner(a: Sequence[Wire], b: Sequence[Wire]) -> Wire:
    """⟨a, b⟩ in the ring."""
    products = [(p * q if isinstance(p, ElementWire) else p & q).sum(len(p)) for p, q in zip(a, b, strict=True)]
    return reduce(ring_sum, products)


@FIRST_ORDER
@given(st.data())
def test_the_dagger_of_the_reverse_derivative_is_the_forward_derivative(world: World, data: st.DataObject) -> None:
    """⟨dy, D[f](x, dx)⟩ = ⟨R[f](x, dy), dx⟩ for all dx and dy: at each x one is the transpose of the other."""
    f = data.draw(world.circuits())
    a, b = counts(f.input_types), counts(f.output_types)
    assert_same_function(
        arrow(world, lambda x, dx, dy: [inner(dy, on(forward_derivative(f), *x, *dx))], a, a, b),
        arrow(world, lambda x, dx, dy: [inner(on(reverse(f), *x, *dy), dx)], a, a, b),
    )


@EVERY_ORDER
@settings(max_examples=25)
@given(st.data())
def test_the_equations_of_copying_and_their_daggers(world: World, data: st.DataObject) -> None:
    """The presentation of polynomial circuits (arXiv 2203.06430) beside those of sums and products: copying is
    associative and commutative, discarding is its unit, and every circuit can be copied and discarded. Their reverse
    derivatives are sums and zeros."""
    type_ = world.element.of(data.draw(st.integers(1, 2)))
    one, twice = identity(type_), copy(type_)
    f = data.draw(world.circuits([type_.count], [2]))
    g = f.output_types[0]
    equations = [
        (twice >> (twice @ one), twice >> (one @ twice)),
        (twice >> swap(type_, type_), twice),
        (twice >> (discard(type_) @ one), one),
        (f >> copy(g), twice >> (f @ f)),
        (f >> discard(g), discard(type_)),
    ]
    for left, right in equations:
        assert_same_function(left, right)
        assert_same_function(reverse(left), reverse(right))
    assert_same_function(reverse(twice), (discard(type_) @ add(type_)))


def test_higher_derivatives_of_rich_primitives_go_through_the_expansion() -> None:
    """Why the laws of higher order speak of the core: a handy formula for a derivative may hold squares."""
    count = trace(lambda x: x.popcount(), x=Bits(4))
    assert_same_function(reverse(count), reverse(expand(count)))
    with pytest.raises(AssertionError):
        assert_same_function(reverse(reverse(count)), reverse(reverse(expand(count))))
