"""Claims about circuits, as statements that :mod:`rdahw.hdl.proof` proves or refutes with a solver.

Every claim is that two circuits agree on all inputs: the output ``differ`` of its *miter* is never 1.

>>> from rdahw import Bits, trace
>>> claim = difference(trace(lambda x: x & x, x=Bits(1)))
>>> print(claim.name, claim.size, claim.miter.output_names)
difference 1 -> 1 ('differ',)
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, reduce
from typing import TYPE_CHECKING, Any

import numpy as np

from rdahw.circuit import Circuit
from rdahw.derivative import boolean_difference, forward_derivative, reverse
from rdahw.errors import InternalError, UserError
from rdahw.primitive import listed
from rdahw.primitives import CORE, PRIMITIVES
from rdahw.semirings import find_semiring
from rdahw.tracing import Builder, ElementWire, Wire, constant, ring_sum, trace
from rdahw.tracing import equal as equal_bits
from rdahw.transform import expand
from rdahw.types import Bits, Scalars, Type

if TYPE_CHECKING:
    from rdahw.primitives import Array
    from rdahw.saved import SavedModel

__all__ = [
    "MAX_GATES",
    "Claim",
    "TooLarge",
    "adjoint",
    "bent",
    "count_gates",
    "custom",
    "difference",
    "equal",
    "matched",
    "one_hot",
    "robust",
    "shape",
    "surrogates",
    "surroundings",
]

#: The most gates of a claim; building a larger one takes minutes, and no solver would finish.
MAX_GATES = 1 << 23


class TooLarge(UserError):
    """A claim that is too large to decide."""


@dataclass(frozen=True, slots=True)
class Claim:
    """``left`` and ``right`` agree on all inputs.

    name: the kind of claim. size: the widths of the circuit in bits, such as ``48+4 -> 3``.
    words, symbols: the statement. sides: names of the two circuits, shown with a counterexample.
    left, right: circuits with the same inputs and outputs.
    guess: finds, without a solver, bits of each input for which the two may differ; None if it finds none.
    linear: inputs of bits in which both circuits are linear, so that they agree if they agree on unit vectors of these.
    """

    name: str
    size: str
    words: str
    symbols: str
    sides: tuple[str, str]
    left: Circuit
    right: Circuit
    guess: Callable[[], Sequence[Array] | None] | None = field(default=None, compare=False, repr=False)
    linear: tuple[str, ...] = ()

    @property
    def miter(self) -> Circuit:
        """The circuit with the same inputs whose output ``differ`` is 1 where any output of the two differs and at most
        one bit of the inputs :attr:`linear` is 1: for other inputs, solvers would compare sums of many products."""
        builder = Builder()
        inputs = [builder.input(name, type_) for name, type_ in self.left.inputs]
        outputs = zip(builder.inline(self.left, inputs), builder.inline(self.right, inputs), strict=True)
        differences = [_bits(a) ^ _bits(b) for a, b in outputs]
        if not differences:
            return builder.finish({"differ": builder.apply("const", attributes=(0, 1))})
        every = differences[0].concat(*differences)
        differ = ~equal_bits(every, 0)
        units = [wire[i] for wire, (name, _) in zip(inputs, self.left.inputs, strict=True) if name in self.linear
                 for i in range(wire.width)]  # fmt: skip
        if len(units) > 1:
            seen, several = units[0], units[0] & units[1]
            for before, bit in zip(units[1:], units[2:], strict=False):
                seen |= before
                several |= seen & bit
            differ &= ~several
        return builder.finish({"differ": differ})


def _bits(wire: Wire) -> Wire:
    return wire if isinstance(wire.type, Bits) else wire.builder.apply("to_bits", wire)


def shape(f: Circuit) -> str:
    """The widths of a circuit's inputs and outputs in bits, like ``48+4 -> 3``."""
    inputs, outputs = ("+".join(str(type_.width) for type_ in types) for types in (f.input_types, f.output_types))
    return f"{inputs or '0'} -> {outputs or '0'}"


# -- derivatives -------------------------------------------------------------------------------------------------------


def adjoint(f: Circuit) -> Claim:
    """R[f] is the adjoint of D[f]: ⟨dy, D[f](x, dx)⟩ = ⟨R[f](x, dy), dx⟩. True for every circuit.

    It is stated for each unit vector dx = e_i and all dy, which is equivalent if D[f] is linear in dx; that is checked
    first on the circuit of D[f]. (The form above has parities that are hard for solvers.) D[f] is computed from the
    expansions by its own rules, so the claim tests every reverse rule that R[f] uses.

    If the outputs are words of k bits, or switches with such cotangents, the ring is Z_2^k: the derivative is by the
    inputs of such words, for all values of the others, which are held. A unit vector has a 1 in one of its words.

    Cockett et al., *Reverse derivative categories*, arXiv 1910.07065. Raises :class:`TooLarge`, and :class:`UserError`
    for a circuit without an input in the ring of its outputs, and for one with blocks that :func:`bent` names.
    """
    if names := bent(f):
        raise UserError(
            f"the claim 'adjoint' needs cotangents that are passed on linearly, and block {names[0]!r} does not; leave "
            "the claim out, or use a model without the block (for layers: cotangents=sum)"
        )
    rings = {other.tangent.ring for other in f.output_types}
    moving = [(name, type_.tangent) for name, type_ in f.inputs if {type_.tangent.ring} == rings]
    if not moving:
        raise UserError(
            "the claim 'adjoint' needs an input in the ring of the outputs, and this circuit maps "
            f"{listed(f.input_types)} to {listed(f.output_types)}; choose another claim with --what, such as gateware"
        )
    if gaps := next((t for t in f.types if isinstance(t, Scalars) and find_semiring(t.semiring).gaps), None):
        raise UserError(
            f"the claim 'adjoint' is about all patterns of bits, and not all are elements of {gaps}; leave the claim "
            "out"
        )
    names = [name for name, _ in moving]
    _check_size("adjoint", f, sum(_units(type_) for _, type_ in moving) * (1 + 4 * count_gates(f)))
    forward, backward = forward_derivative(f, wrt=names), reverse(f, wrt=names)
    if not _is_linear(forward, forward.input_names[len(f.inputs) :]):
        raise InternalError(f"the forward derivative of a circuit of {shape(f)} bits is not linear in the change")
    builder = Builder()
    wires = [builder.input(name, type_) for name, type_ in backward.inputs]
    x, dy = wires[: len(f.inputs)], wires[len(f.inputs) :]
    cotangents = []
    for k, (_, type_) in enumerate(moving):
        step = type_.width // _units(type_)
        entries = []
        for i in range(_units(type_)):
            units = [constant(builder, 1 << i * step if j == k else 0, other) for j, (_, other) in enumerate(moving)]
            entries.append(_inner_product(dy, builder.inline(forward, [*x, *units])))
        cotangents.append(entries[0].concat(*entries))
    held = "" if len(moving) == len(f.inputs) else f", {', '.join(n for n in f.input_names if n not in names)} held"
    return Claim(
        "adjoint",
        shape(f),
        f"the reverse derivative is the adjoint of the forward derivative{held}",
        "R[f](x, dy)[i] = <dy, D[f](x, e_i)>, with D[f] linear in dx",
        ("R[f]", "adjoint of D[f]"),
        backward,
        right := builder.finish(dict(zip(backward.output_names, cotangents, strict=True))),
        linear=_linear_in(backward.input_names[len(f.inputs) :], backward, right),
    )


def _units(type_: Type) -> int:
    """The number of unit vectors: one per bit, or per word."""
    return type_.count


def _inner_product(left: Sequence[Wire], right: Sequence[Wire]) -> Wire:
    """⟨left, right⟩ in the ring of the wires."""
    products = [
        (a * b).sum(len(a)) if isinstance(a, ElementWire) else (a & b).parity()
        for a, b in zip(left, right, strict=True)
    ]
    return reduce(ring_sum, products)


def _is_linear(circuit: Circuit, names: Collection[str]) -> bool:
    """Whether the outputs are provably linear in the inputs of these names. False may be wrong, True is not.

    Each wire of the expansion into the core is classified as zero, free of those inputs, or linear in them. Sums of
    linear wires are linear, and so are their products with free ones; selecting by a linear wire and casts are not.
    """
    core = expand(circuit)
    kinds = ["linear" if name in names else "free" for name in core.input_names]
    for primitive, operands, attributes in core.assignments:
        given, row = [kinds[i] for i in operands], PRIMITIVES[primitive]
        if primitive == "const":
            kinds.append("free" if attributes[0] else "zero")
        elif row.bilinear and "zero" in given:
            kinds.append("zero")
        elif "linear" not in given:
            kinds.append("free" if "free" in given else "zero")
        elif row.linear:
            kinds.append("other" if "free" in given else "linear")
        elif row.bilinear and given.count("linear") == 1 and "linear" not in (given[k] for k in row.selects):
            kinds.append("linear")
        else:
            kinds.append("other")
        if kinds[-1] == "other":
            return False
    return all(kinds[wire] != "free" for _, wire in core.outputs)


def _linear_in(names: tuple[str, ...], *circuits: Circuit) -> tuple[str, ...]:
    """The names, if all wires are bits and each circuit is provably linear in its inputs of these names; else none."""
    proved = all(all(isinstance(t, Bits) for t in f.types) and _is_linear(f, names) for f in circuits)
    return names if proved else ()


def _check_bits(name: str, f: Circuit) -> None:
    if other := next((type_ for type_ in f.types if not isinstance(type_, Bits)), None):
        raise UserError(
            f"the claim {name!r} needs a circuit of bits only, and this one has a wire of type {other}; leave the "
            "claim out"
        )


def difference(f: Circuit) -> Claim:
    """R[f] is the Boolean difference of ``f``. True for safe circuits (:func:`rdahw.is_safe`), false for ``x AND x``.

    Raises :class:`TooLarge` if the Boolean difference, which has a copy of ``f`` for each input bit, is too large, and
    :class:`UserError` for a circuit with words, which has no Boolean difference.
    """
    _check_bits("difference", f)
    return _difference("difference", shape(f), "the reverse derivative is the Boolean difference", f)


def _difference(name: str, size: str, words: str, f: Circuit) -> Claim:
    _check_size(name, f, sum(type_.width for type_ in f.input_types) * (1 + count_gates(f)))
    return Claim(
        name,
        size,
        words,
        "R[f](x, dy)[i] = <dy, f(x) + f(x + e_i)>",
        ("R[f]", "Boolean difference"),
        backward := reverse(f),
        flips := boolean_difference(f),
        linear=_linear_in(backward.input_names[len(f.inputs) :], backward, flips),
    )


def custom(f: Circuit) -> list[Claim]:
    """For each exact :func:`rdahw.custom_reverse` block in ``f`` and each primitive outside the polynomial core, at its
    widths in ``f``: its reverse rule is its Boolean difference. Raises :class:`UserError` for a circuit with words."""
    _check_bits("custom", f)
    claims = []
    for (primitive, _, attributes), single in _singles(f).items():
        block = attributes[0] if primitive == "custom" else None
        if block is None or block.exact:
            what = primitive if block is None else f"block {block.name!r}"
            size = f"{primitive if block is None else block.name}: {shape(single)}"
            words = f"the declared reverse of {what} is its Boolean difference"
            claims.append(_difference("custom", size, words, single))
    return claims


def surrogates(f: Circuit) -> list[str]:
    """The names of the blocks in ``f`` whose reverse is declared a surrogate, each once."""
    blocks = (attributes[0] for primitive, _, attributes in f.assignments if primitive == "custom")
    return list(dict.fromkeys(block.name for block in blocks if not block.exact))


def bent(f: Circuit) -> list[str]:
    """The names of the blocks in ``f`` whose declared reverse is not provably linear in the cotangent, each once: they
    have no forward derivative."""
    blocks = [attributes[0] for primitive, _, attributes in f.assignments if primitive == "custom"]
    found = dict.fromkeys(b.name for b in blocks if not _is_linear(b.reverse, b.reverse.input_names[-1:]))
    return list(found)


def _singles(f: Circuit) -> dict[tuple[str, tuple[Type, ...], tuple[Any, ...]], Circuit]:
    """A circuit for each different assignment outside the core, keyed by primitive, types and attributes."""
    found = {}
    for primitive, operands, attributes in f.assignments:
        key = primitive, tuple(f.types[i] for i in operands), tuple(attributes)
        if primitive not in CORE and key not in found:
            builder = Builder()
            wires = [builder.input(f"x{i}", type_) for i, type_ in enumerate(key[1])]
            found[key] = builder.finish({"y": builder.apply(primitive, *wires, attributes=attributes)})
    return found


# -- functions ---------------------------------------------------------------------------------------------------------


def equal(f: Circuit, g: Circuit) -> Claim:
    """Two circuits agree on all inputs; raises :class:`UserError` if their types differ."""
    if (f.input_types, f.output_types) != (g.input_types, g.output_types):
        raise UserError(f"a circuit of {shape(f)} bits cannot be equal to one of {shape(g)}; expected the same widths")
    return Claim(
        "equal",
        shape(f),
        "the two circuits agree on all inputs",
        "f(x) = g(x)",
        ("f", "g"),
        f,
        g.renamed(f.input_names, f.output_names),
    )


def matched(f: Circuit, g: Circuit) -> Circuit:
    """``g`` with the ports in the order of ``f`` and of its types, where both have ports of the same names and widths,
    in any order; else ``g`` itself.

    A circuit that was read from a file has ports of bits, where the circuit that wrote it may have words.
    """
    ports = [sorted((name, type_.width) for name, type_ in h.inputs) for h in (f, g)]
    widths = [
        sorted((name, type_.width) for name, type_ in zip(h.output_names, h.output_types, strict=True)) for h in (f, g)
    ]
    if ports[0] != ports[1] or widths[0] != widths[1]:
        return g
    builder, its = Builder(), dict(g.inputs)
    wires = {name: builder.input(name, type_) for name, type_ in f.inputs}
    results = builder.inline(g, [_cast(wires[name], type_) for name, type_ in its.items()])
    found = dict(zip(g.output_names, results, strict=True))
    types = zip(f.output_names, f.output_types, strict=True)
    return builder.finish({name: _cast(found[name], type_) for name, type_ in types})


def _cast(wire: Wire, type_: Type) -> Wire:
    """The same bits as a wire of this type."""
    if wire.type == type_:
        return wire
    bits = wire if isinstance(wire.type, Bits) else wire.builder.apply("to_bits", wire)
    return bits.cast(type_)


def surroundings(a: SavedModel, b: SavedModel) -> list[str]:
    """The differences of two saved models outside their circuits, in words, ``a``'s value first.

    Empty if the same data are converted to the same bits, and the same output bits to the same label.
    """
    what: dict[str, tuple[object, object]] = {
        "the rules of their binarisers": (a.binariser.rule, b.binariser.rule),
        "the features": (a.binariser.names, b.binariser.names),
        "the shapes of the images": (a.schema.image_shape, b.schema.image_shape),
        "the kinds of the features": (_kinds(a), _kinds(b)),
        "the rare categories": (a.binariser.rare, b.binariser.rare),
        "the codes of the labels": (a.spec.code, b.spec.code),
        "the labels": (a.schema.label_names, b.schema.label_names),
    }
    differs = [f"{name} are {_listed(one)} and {_listed(other)}" for name, (one, other) in what.items() if one != other]
    tables = a.binariser.table, b.binariser.table
    if not differs and tables[0].shape != tables[1].shape:  # of the rule «cells»
        differs.append(f"the wires of their binarisers are {a.binariser.width} and {b.binariser.width}")
    if not differs and not np.array_equal(*tables):
        # A table has a column per number column, or one for all of them.
        at = int(np.argmax((tables[0] != tables[1]).any(axis=0)))
        named = zip(a.binariser.names, a.binariser.columns, strict=True)
        numbers = [name for name, column in named if column.kind == "number"]
        where = f"of {numbers[at]!r} " if len(numbers) == tables[0].shape[1] else ""
        one, other = (_listed(tuple(table[:, at].tolist())) for table in tables)
        differs.append(f"the thresholds {where}are {one} and {other}")
    return differs


def _kinds(saved: SavedModel) -> tuple[str, ...]:
    columns = saved.binariser.columns
    return tuple("/".join((column.kind, *column.categories, *["missing"] * column.missing)) for column in columns)


def _listed(value: object) -> str:
    return f"({', '.join(map(str, value))})" if isinstance(value, tuple) else repr(value)


def one_hot(f: Circuit) -> Claim:
    """No output of ``f`` ever has two bits set. True for some circuits."""
    builder = Builder()
    inputs = [builder.input(name, type_) for name, type_ in f.inputs]
    results = builder.inline(f, inputs)
    lowest = {name: _lowest(wire) for name, wire in zip(f.output_names, results, strict=True)}
    return Claim(
        "one-hot",
        shape(f),
        "no output ever has two bits set",
        "f(x) = the lowest bit of f(x) that is set, or 0",
        ("output", "its lowest bit alone"),
        f,
        builder.finish(lowest),
    )


def _lowest(wire: Wire) -> Wire:
    """The wire with only the lowest of its set bits."""
    bits, below = [wire[0]], wire[0]
    for i in range(1, wire.width):
        bits.append(wire[i] & ~below)
        below = below | wire[i]
    return wire.concat(*bits)


def robust(f: Circuit, flips: int, search: Callable[[Circuit], tuple[Array, int] | None] = lambda f: None) -> Claim:
    """Flipping up to ``flips`` bits of the only input of ``f`` never changes the output. True for some circuits.

    search: finds for ``f`` an input and the number of a bit that changes the output, or None.
    """
    if len(f.inputs) != 1:
        raise UserError(
            f"the claim 'robust' is about one input, and the circuit has {len(f.inputs)}; bind the parameters"
        )
    ((name, type_),) = f.inputs
    if not 1 <= flips <= type_.width:
        raise UserError(
            f"robustness to {flips} flips is invalid for {type_.width} input bits; expected 1 to {type_.width}"
        )
    flipped = "flips" if name != "flips" else "flips_"

    def side(*, with_flips: bool) -> Circuit:
        builder = Builder()
        x, change = builder.input(name, type_), builder.input(flipped, type_)
        few = (change.popcount() <= flips).repeat(type_.width)
        results = builder.inline(f, [x ^ (change & few) if with_flips else x])
        return builder.finish(dict(zip(f.output_names, results, strict=True)))

    def guess() -> Sequence[Array] | None:
        found = search(f)
        return None if found is None else (found[0], np.eye(type_.width, dtype=np.uint8)[found[1]])

    return Claim(
        f"robust {flips}",
        shape(f),
        f"flipping up to {flips} input bits never changes the output",
        f"f(x + e) = f(x) where e has at most {flips} bits set",
        ("with flips", "without"),
        side(with_flips=True),
        side(with_flips=False),
        guess,
    )


# -- sizes -------------------------------------------------------------------------------------------------------------


def _check_size(name: str, f: Circuit, gates: int) -> None:
    if gates > MAX_GATES:
        raise TooLarge(
            f"the claim {name!r} about a circuit of {shape(f)} bits would take {gates:,} gates; at most {MAX_GATES:,} "
            "are tried: prove a smaller size"
        )


def count_gates(circuit: Circuit) -> int:
    """An upper bound of the AND and XOR gates of the circuit expanded to single bits, computed without expanding it."""
    return sum(
        _weight(p, tuple(circuit.types[i] for i in operands), tuple(a)) for p, operands, a in circuit.assignments
    )


@lru_cache(maxsize=4096)
def _weight(primitive: str, types: tuple[Type, ...], attributes: tuple[Any, ...]) -> int:
    row = PRIMITIVES[primitive]
    form = row.lowering or row.expansion
    if form is None:
        return sum(type_.width for type_ in types) if primitive in ("xor", "and", "sum", "scatter") else 0
    named = {f"x{i}": type_ for i, type_ in enumerate(types)}
    return count_gates(trace(lambda *wires: form(*wires, *attributes), **named))
