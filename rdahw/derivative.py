"""Two different derivatives.

- The **reverse derivative** R[f], by the chain rule over the circuit, in the ring of each wire's type (in Z2 XOR is
  addition, AND multiplication; over switches the values are bits and the cotangents words), and its adjoint, the
  forward derivative D[f]. Cockett et al., *Reverse derivative categories*, arXiv 1910.07065; for Boolean circuits
  Wilson and Zanasi, *Reverse derivative ascent*, arXiv 2101.10488, section 3.
- The **Boolean difference**: the effect of flipping each bit, by brute force (the paper's ``rdiffB``); for bits only.

There is no derivative between rings: through a wire of bits that selects among words, or through a cast. To ask for one
is an error.

On bits the two agree for every primitive and for safe circuits (:func:`rdahw.is_safe`). For ``x AND x`` they differ: R
gives 0, the Boolean difference gives dy.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from functools import lru_cache, reduce
from typing import cast, overload

from rdahw.circuit import Circuit
from rdahw.errors import UserError, nearest
from rdahw.machine import Machine, unused
from rdahw.primitive import Part, listed
from rdahw.primitives import PRIMITIVES
from rdahw.tracing import Builder, Wire, WordWire, constant, ring_sum, trace
from rdahw.transform import expand
from rdahw.types import Bits, Type, Words

__all__ = ["boolean_difference", "forward_derivative", "forward_request", "reverse"]


@overload
def reverse(f: Circuit, wrt: Iterable[str] | None = None) -> Circuit: ...
@overload
def reverse(f: Machine, wrt: int) -> Circuit: ...
def reverse(f: Circuit | Machine, wrt: Iterable[str] | int | None = None) -> Circuit:
    """The reverse derivative ``R[f] : A × B → A`` of ``f : A → B``, a circuit again.

    Its inputs are those of ``f`` and a cotangent of each output, its outputs the cotangents of the inputs; these are
    named with a ``d`` in front and have the type's ``tangent``. ``wrt`` names the inputs to differentiate by (default:
    all). To differentiate the result again, start from ``reverse(expand(f))``: reverse rules outside the core are
    correct to first order only. Those over switches are so too, and have no derivative by the values.

    ``reverse(machine, steps)`` is back-propagation through time (:func:`rdahw.machine_derivative.reverse_machine`).

    Raises :class:`UserError` for a name in ``wrt`` that no input has, and if a path from such an input to an output
    leads through a cast or from bits to words.

    >>> print(reverse(trace(lambda a, b: a & b, a=Bits(4), b=Bits(4))))
    circuit (a: Bits(4), b: Bits(4), dy: Bits(4)) -> (da: Bits(4), db: Bits(4)):
      %3: Bits(4) = and(b, dy)
      %4: Bits(4) = and(a, dy)
      return da=%3, db=%4
    """
    if isinstance(f, Machine):
        from rdahw.machine_derivative import reverse_machine

        return reverse_machine(f, wrt)  # type: ignore[arg-type]
    wanted = _wanted(f, wrt)  # type: ignore[arg-type]
    builder = Builder()
    inputs = [builder.input(name, type_) for name, type_ in f.inputs]
    names = tangent_names(f.output_names, f.input_names)
    seeds = [builder.input(name, type_.tangent) for name, type_ in zip(names, f.output_types, strict=True)]
    wires, cotangents = builder.replay(f, inputs), _Cotangents(f)
    for (_, wire), seed in zip(f.outputs, seeds, strict=True):
        cotangents.add(wire, seed)
    moving = _depends(f, wanted)
    for number, (primitive, operands, attributes) in reversed(list(f.wires())):
        if (dy := cotangents.total(number)) is None:
            continue
        _check_selects(number, primitive, [moving[i] for i in operands])
        contributions = _pull_back(primitive, dy, wires[number].type, [wires[i] for i in operands], attributes)
        for operand, contribution in zip(operands, contributions, strict=True):
            if contribution is not None:
                cotangents.add(operand, contribution)
    outputs = {}
    for i, (name, out) in enumerate(zip(f.input_names, tangent_names(f.input_names, ()), strict=True)):
        if name in wanted:
            total = cotangents.total(i)
            outputs[out] = constant(builder, 0, f.types[i].tangent) if total is None else total
    return builder.finish(outputs)


def _depends(f: Circuit, names: Sequence[str]) -> list[str | None]:
    """For each wire one of the inputs of these ``names`` that it depends on, if any."""
    found = [name if name in names else None for name in f.input_names]
    for _, operands, _ in f.assignments:
        found.append(next((found[i] for i in operands if found[i] is not None), None))
    return found


def _check_selects(number: int, primitive: str, moving: Sequence[str | None]) -> None:
    """Raise :class:`UserError` if an operand without derivative depends on an input (``moving``: its name)."""
    for k in PRIMITIVES[primitive].selects:
        if moving[k] is not None:
            raise UserError(
                f"wire %{number} = {primitive} is computed from input {moving[k]!r} and leads from one ring to "
                f"another, where there is no derivative; leave {moving[k]!r} out of wrt, or declare one with "
                "custom_reverse"
            )


def _wanted(f: Circuit, wrt: Iterable[str] | None) -> tuple[str, ...]:
    if isinstance(wrt, int):
        raise UserError(
            f"the inputs to differentiate by are {wrt!r}; expected their names, such as {list(f.input_names[:1])} (a "
            "number of steps is for machines)"
        )
    wanted = f.input_names if wrt is None else tuple(wrt)
    for name in wanted:
        if name not in f.input_names:
            raise UserError(f"the circuit has no input {name!r} to differentiate by; {nearest(name, f.input_names)}")
    return wanted


def tangent_names(names: Sequence[str], taken: Sequence[str], letter: str = "d") -> list[str]:
    """Each name with the letter in front, and with _ behind if that is taken."""
    result: list[str] = []
    for name in names:
        result.append(unused(letter + name, [*taken, *result]))
    return result


class _Cotangents:
    """What flows back to the wires of ``f``: at each wire, the sum of what its uses pass on.

    Slices of a wire that do not overlap are laid side by side instead of each being padded with zeros, which would take
    a sum over the whole wire for each: a model has hundreds of tables in one wire of parameters.
    """

    def __init__(self, f: Circuit) -> None:
        self._types = f.types
        self._wholes: dict[int, Wire] = {}
        self._parts: dict[int, list[Part]] = {}

    def add(self, wire: int, contribution: Wire | Part) -> None:
        """A further cotangent of the wire."""
        if isinstance(contribution, Part):
            self._parts.setdefault(wire, []).append(contribution)
        elif wire in self._wholes:
            self._wholes[wire] = ring_sum(self._wholes[wire], contribution)
        else:
            self._wholes[wire] = contribution

    def total(self, wire: int) -> Wire | None:
        """The cotangent of the wire; None if nothing flows back."""
        rows: list[list[Part]] = []
        for part in sorted(self._parts.pop(wire, []), key=lambda each: each.start):
            row = next((row for row in rows if row[-1].start + len(row[-1].wire) <= part.start), None)
            if row is None:
                rows.append(row := [])
            row.append(part)
        for row in rows:
            pieces, end = list[Wire](), 0
            for start, piece in row:
                pieces += [piece.zeros(start - end), piece] if start > end else [piece]
                end = start + len(piece)
            if end < (count := self._types[wire].count):
                pieces.append(pieces[0].zeros(count - end))
            self.add(wire, pieces[0].concat(*pieces))
        return self._wholes.pop(wire, None)


def _pull_back(
    primitive: str, dy: Wire, result: Type, operands: list[Wire], attributes: Sequence[object]
) -> Sequence[Wire | Part | None]:
    row = PRIMITIVES[primitive]
    rule = getattr(row, result.reverse_rule) or row.reverse
    if rule is not None:
        cotangents: Sequence[Wire | Part | None] = rule(dy, *operands, *attributes)
        return cotangents
    types = tuple(wire.type for wire in operands)
    return dy.builder.inline(_reverse_of_expansion(primitive, types, tuple(attributes)), [*operands, dy])


@lru_cache(maxsize=256)
def _reverse_of_expansion(primitive: str, types: tuple[Type, ...], attributes: tuple[object, ...]) -> Circuit:
    expansion = PRIMITIVES[primitive].expansion
    assert expansion is not None, "a row of the polynomial core has a reverse rule"
    inputs = {f"x{i}": type_ for i, type_ in enumerate(types)}
    return reverse(trace(lambda *wires: expansion(*wires, *attributes), **inputs))


def _transpose(
    primitive: str, types: tuple[Type, ...], attributes: tuple[object, ...], moving: tuple[bool, ...]
) -> Circuit:
    """The transpose of the reverse rule by the ``moving`` operands: of operands, an unused dy and their changes."""
    inputs = {f"x{i}": type_ for i, type_ in enumerate(types)}
    single = trace(lambda *wires: wires[0].builder.apply(primitive, *wires, attributes=attributes), **inputs)
    r = reverse(single, wrt=[name for name, moves in zip(inputs, moving, strict=True) if moves])
    # It is linear in dy, so that its reverse derivative by dy is the transpose.
    return reverse(r, wrt=r.input_names[len(inputs) :])


@overload
def forward_derivative(f: Circuit, wrt: Iterable[str] | None = None) -> Circuit: ...
@overload
def forward_derivative(f: Machine) -> Machine: ...
def forward_derivative(f: Circuit | Machine, wrt: Iterable[str] | None = None) -> Circuit | Machine:
    """The forward derivative ``D[f] : A × A → B`` of ``f : A → B``: the first-order change of the output for a change
    ``dx`` of the input. With ``wrt`` only the inputs of these names change.

    It is computed on the expansion into the polynomial core by its own rules, so that
    ⟨dy, D[f](x, dx)⟩ = ⟨R[f](x, dy), dx⟩ tests every reverse rule. Only for a :func:`custom_reverse` block and for
    switches it is the transpose of the reverse derivative. That of a machine is a machine
    (:func:`rdahw.machine_derivative.forward_machine`).

    Raises :class:`UserError` as :func:`reverse` does.
    """
    if isinstance(f, Machine):
        from rdahw.machine_derivative import forward_machine

        return forward_machine(f)
    wanted = _wanted(f, wrt)
    f = expand(f, keep={"custom"})
    builder = Builder()
    wires = [builder.input(name, type_) for name, type_ in f.inputs]
    names = tangent_names(f.input_names, f.input_names)
    tangents: list[Wire | None] = [
        builder.input(tangent, type_.tangent) if name in wanted else None
        for tangent, (name, type_) in zip(names, f.inputs, strict=True)
    ]
    sources = _depends(f, wanted)
    for number, (primitive, reads, attributes) in f.wires():
        operands = [wires[i] for i in reads]
        moving = [tangents[i] for i in reads]
        result = builder.apply(primitive, *operands, attributes=attributes)
        wires.append(result)
        if all(tangent is None for tangent in moving):
            tangents.append(None)
            continue
        _check_selects(number, primitive, [sources[i] for i in reads])
        tangents.append(_push_forward(result, primitive, operands, moving, attributes))
    outputs = {}
    for name, (_, wire) in zip(tangent_names(f.output_names, ()), f.outputs, strict=True):
        tangent = tangents[wire]
        outputs[name] = tangent if tangent is not None else constant(builder, 0, f.types[wire].tangent)
    return builder.finish(outputs)


def forward_request(f: Circuit, wrt: Iterable[str] | None = None) -> Circuit:
    """The request for the inputs of ``f : A → B`` along one direction v in {-1, 1}^n: ⟨dy, D[f](x, v)⟩ · v.

    Its mean over all directions is ``R[f](x, dy)``, by :func:`reverse`, whose ports it has, and before ``dy`` the signs
    of v, named with a v in front: a bit for each word or switch, 1 for +1. ``wrt``: as of :func:`reverse`.

    Raises :class:`UserError` as :func:`reverse` does, and unless all of these inputs and the outputs have cotangents in
    words of the same size; over bits, where -1 is 1, a request along one direction says nothing.
    """
    wanted = _wanted(f, wrt)
    moving = [(name, type_.tangent) for name, type_ in f.inputs if name in wanted]
    outer = [type_.tangent for type_ in f.output_types]
    rings = {type_.ring for type_ in (*(type_ for _, type_ in moving), *outer)}
    if len(rings) != 1 or not all(isinstance(type_, Words) for type_ in outer):
        raise UserError(
            f"a forward request is over words of one size, and the cotangents here are {listed(outer)}, those of the "
            f"inputs {listed([type_ for _, type_ in moving])}; name the inputs in wrt whose cotangents are as wide as "
            "those of the outputs"
        )
    forward, builder = forward_derivative(f, wrt), Builder()
    x = [builder.input(name, type_) for name, type_ in f.inputs]
    names = tangent_names([name for name, _ in moving], f.input_names, "v")
    signs = [builder.input(name, Bits(type_.count)) for name, (_, type_) in zip(names, moving, strict=True)]
    names = tangent_names(f.output_names, (*f.input_names, *names))
    seeds = [cast(WordWire, builder.input(name, type_)) for name, type_ in zip(names, outer, strict=True)]
    down = [~sign for sign in signs]
    v = [_ones(builder, cast(Words, type_)).negate(chosen) for chosen, (_, type_) in zip(down, moving, strict=True)]
    changes = cast(list[WordWire], builder.inline(forward, [*x, *v]))
    products = ((dy * change).sum(len(dy)) for dy, change in zip(seeds, changes, strict=True))
    along = reduce(operator.add, products)
    found = [along.repeat(chosen.width).negate(chosen) for chosen in down]
    return builder.finish(dict(zip(tangent_names([name for name, _ in moving], ()), found, strict=True)))


def _ones(builder: Builder, type_: Words) -> WordWire:
    """The constant 1 in each word."""
    return cast(WordWire, constant(builder, sum(1 << i * type_.bits for i in range(type_.count)), type_))


def _push_forward(
    result: Wire, primitive: str, operands: list[Wire], moving: list[Wire | None], attributes: Sequence[object]
) -> Wire:
    """The change of ``result`` from those of the operands; None: the operand does not change."""
    row, builder = PRIMITIVES[primitive], result.builder
    changes = [
        t if t is not None else constant(builder, 0, w.type.tangent) for t, w in zip(moving, operands, strict=True)
    ]
    if primitive == "custom":
        # The declared r(x, dy) is linear in dy, so its reverse derivative by dy is its transpose, at any dy.
        r = attributes[0].reverse  # type: ignore[attr-defined]
        dy = r.inputs[-1]
        return builder.inline(reverse(r, wrt=[dy.name]), [*operands, constant(builder, 0, dy.type), *changes])[0]
    if any(wire.type != wire.type.tangent for wire in (result, *operands)):
        which = tuple(change is not None for change in moving)
        transpose = _transpose(primitive, tuple(wire.type for wire in operands), tuple(attributes), which)
        given = [change for change in moving if change is not None]
        return builder.inline(transpose, [*operands, constant(builder, 0, result.type.tangent), *given])[0]
    if row.bilinear:
        # Each factor changes while the others stay.
        terms = [
            builder.apply(primitive, *operands[:k], change, *operands[k + 1 :], attributes=attributes)
            for k, change in enumerate(moving)
            if change is not None
        ]
        return reduce(ring_sum, terms)
    if row.linear:
        return builder.apply(primitive, *changes, attributes=attributes)
    raise AssertionError(f"{primitive} is neither linear nor a product, so it must have an expansion")


def boolean_difference(f: Circuit, wrt: Iterable[str] | None = None) -> Circuit:
    """The Boolean difference of ``f : A → B``, with the ports of :func:`reverse`: bit i of a result is the parity of
    (f(x) ⊕ f(x ⊕ eᵢ)) AND dy.

    By brute force, with a copy of ``f`` for each input bit. It uses no rules of primitives and is the oracle for them.
    Raises :class:`UserError` for a circuit with inputs or outputs of words.
    """
    for type_ in (*f.input_types, *f.output_types):
        if not isinstance(type_, Bits):
            raise UserError(
                f"the circuit has a port of type {type_}, and the Boolean difference is for bits only; expected bits"
            )
    wanted = _wanted(f, wrt)
    builder = Builder()
    inputs = [builder.input(name, type_) for name, type_ in f.inputs]
    names = tangent_names(f.output_names, f.input_names)
    seeds = [builder.input(name, type_) for name, type_ in zip(names, f.output_types, strict=True)]
    here = builder.inline(f, inputs)
    outputs = {}
    for k, (name, out) in enumerate(zip(f.input_names, tangent_names(f.input_names, ()), strict=True)):
        if name not in wanted:
            continue
        x, differences = inputs[k], []
        for i in range(x.width):
            there = builder.inline(f, [*inputs[:k], x ^ (1 << i), *inputs[k + 1 :]])
            masked = [((a ^ b) & dy).parity() for a, b, dy in zip(here, there, seeds, strict=True)]
            differences.append(reduce(ring_sum, masked) if masked else constant(builder, 0, Bits(1)))
        outputs[out] = x.concat(*differences)
    return builder.finish(outputs)
