"""Circuits from Python functions, run once on symbolic bit-vectors.

:func:`trace` calls a function with :class:`Wire` arguments and records its operations on them as assignments. Equal
assignments share one wire, and assignments that no output needs are dropped.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Self, SupportsIndex, cast

from rdahw.circuit import Assignment, Circuit, Port, result_type
from rdahw.errors import UserError
from rdahw.types import Bits, Scalars, Switches, Type, Words, shown

__all__ = [
    "Builder",
    "ElementWire",
    "ScalarWire",
    "SwitchWire",
    "Wire",
    "WordWire",
    "builder_of",
    "cat",
    "constant",
    "equal",
    "ring_sum",
    "mux",
    "trace",
]


class Builder:
    """Builds a circuit: :meth:`input`, :meth:`apply` and :meth:`inline` add wires, :meth:`finish` returns it.

    >>> from rdahw import Bits
    >>> b = Builder()
    >>> x = b.input("x", Bits(4))
    >>> print(b.finish({"y": x & x}))
    circuit (x: Bits(4)) -> (y: Bits(4)):
      %1: Bits(4) = and(x, x)
      return y=%1
    """

    def __init__(self) -> None:
        self._inputs: list[Port] = []
        self._types: list[Type] = []
        self._assignments: list[Assignment] = []
        self._known: dict[Assignment, Wire] = {}

    def input(self, name: str, type_: Type) -> Wire:
        """A new input; all inputs must come before the first assignment."""
        if self._assignments:
            raise UserError(f"input {name!r} comes after an assignment; expected all inputs first")
        self._inputs.append(Port(name, type_))
        return self._wire(type_)

    def apply(self, primitive: str, *operands: Wire, attributes: Sequence[Any] = ()) -> Wire:
        """The wire that ``primitive`` drives from ``operands``: a new one, or the earlier one with an equal driver."""
        self._own(operands)
        assignment = Assignment(primitive, tuple([operand.number for operand in operands]), tuple(attributes))
        if (known := self._known.get(assignment)) is not None:
            return known
        try:
            type_ = result_type(primitive, [operand.type for operand in operands], assignment.attributes)
        except UserError as error:
            raise UserError(f"wire %{len(self._types)} = {primitive}: {error}") from None
        return self._add(assignment, type_)

    def _own(self, wires: Iterable[Wire]) -> None:
        for wire in wires:
            if wire.builder is not self:
                raise UserError("wires of two different traces meet; expected wires of one, passed as its arguments")

    def _add(self, assignment: Assignment, type_: Type) -> Wire:
        self._assignments.append(assignment)
        known = self._known[assignment] = self._wire(type_)
        return known

    def _wire(self, type_: Type) -> Wire:
        self._types.append(type_)
        return _WIRES[type(type_)](self, len(self._types) - 1, type_)

    def inline(self, circuit: Circuit, operands: Sequence[Wire]) -> list[Wire]:
        """The outputs of ``circuit`` on ``operands``, its assignments copied into this trace."""
        if (given := tuple(w.type for w in operands)) != circuit.input_types:
            names = ", ".join(f"{name}: {type_}" for name, type_ in circuit.inputs)
            raise UserError(
                f"a circuit of ({names}) was applied to ({', '.join(map(str, given))}); the types must agree"
            )
        self._own(operands)
        wires = self.replay(circuit, operands)
        return [wires[i] for _, i in circuit.outputs]

    def replay(self, circuit: Circuit, operands: Sequence[Wire]) -> list[Wire]:
        """Like :meth:`inline`, but returns every wire of ``circuit`` and does not check the operands' types."""
        wires = list(operands)
        # The circuit was checked when it was made, so its assignments are valid here too.
        for (primitive, reads, attributes), type_ in zip(circuit.assignments, circuit.types[len(wires) :], strict=True):
            assignment = Assignment(primitive, tuple([wires[i].number for i in reads]), attributes)
            known = self._known.get(assignment)
            if known is None:
                known = self._add(assignment, type_)
            wires.append(known)
        return wires

    def finish(self, outputs: Mapping[str, Wire]) -> Circuit:
        """The circuit with these outputs; assignments that no output needs are left out."""
        self._own(outputs.values())
        first = len(self._inputs)
        needed = bytearray(len(self._types))
        for wire in outputs.values():
            needed[wire.number] = True
        for number in range(len(self._types) - 1, first - 1, -1):
            if needed[number]:
                for i in self._assignments[number - first].operands:
                    needed[i] = True
        renumbered = list(range(len(self._types)))
        kept, types = [], self._types[:first]
        for number, assignment in enumerate(self._assignments, start=first):
            if needed[number]:
                renumbered[number] = len(types)
                if number != len(types):  # otherwise the numbers are unchanged so far
                    operands = tuple([renumbered[i] for i in assignment.operands])
                    assignment = Assignment(assignment.primitive, operands, assignment.attributes)
                kept.append(assignment)
                types.append(self._types[number])
        ends = tuple((name, renumbered[wire.number]) for name, wire in outputs.items())
        return Circuit.of_checked(tuple(self._inputs), tuple(kept), ends, tuple(types))


class Wire:
    """A symbolic bit-vector of ``width`` bits: ``^ & | ~``, indexing and slicing (``w[0]``, ``w[2:5]``), comparison as
    unsigned numbers (``< <= > >=``), and the methods below. Bit 0 is the least significant one.

    ``==`` compares Python objects; for an equality gate see :func:`equal`.
    """

    __slots__ = ("builder", "number", "type")

    def __init__(self, builder: Builder, number: int, type_: Type) -> None:
        self.builder = builder
        self.number = number
        self.type = type_

    @property
    def width(self) -> int:
        """The number of bits."""
        return self.type.width

    def __len__(self) -> int:
        return self.width

    def __repr__(self) -> str:
        return f"<wire %{self.number}: {self.type}>"

    def __bool__(self) -> bool:
        raise UserError(f"wire %{self.number} was used as a Python truth value; its bits are not known yet: use mux()")

    def _with(self, other: Wire | int) -> Wire:
        """``other`` as a wire of this width; a Python number is a constant."""
        return other if isinstance(other, Wire) else self.const(other, self.width)

    def __xor__(self, other: Wire | int) -> Wire:
        return self.builder.apply("xor", self, self._with(other))

    def __and__(self, other: Wire | int) -> Wire:
        return self.builder.apply("and", self, self._with(other))

    def __or__(self, other: Wire | int) -> Wire:
        return self.builder.apply("or", self, self._with(other))

    __rxor__, __rand__, __ror__ = __xor__, __and__, __or__

    def __invert__(self) -> Wire:
        return self.builder.apply("not", self)

    def __le__(self, other: Wire | int) -> Wire:
        return self.builder.apply("less_equal", self, self._with(other))

    def __ge__(self, other: Wire | int) -> Wire:
        return self.builder.apply("less_equal", self._with(other), self)

    def __lt__(self, other: Wire | int) -> Wire:
        return ~(self >= other)

    def __gt__(self, other: Wire | int) -> Wire:
        return ~(self <= other)

    def __getitem__(self, index: SupportsIndex | slice) -> Wire:
        if isinstance(index, slice):
            start, stop, step = index.indices(self.width)
            if step != 1:
                return self.gather(range(start, stop, step))
        else:
            start = operator.index(index)
            if not -self.width <= start < self.width:
                raise IndexError(f"bit {start} of a wire of {self.width} bits")
            start %= self.width
            stop = start + 1
        if (start, stop) == (0, self.width):
            return self
        return self.builder.apply("slice", self, attributes=(start, stop))

    def const(self, value: int, width: int) -> Wire:
        """A constant in the same trace: ``value`` on ``width`` bits."""
        with suppress(TypeError):
            value = operator.index(value)  # accepts numpy numbers; anything but a whole number is rejected below
        return self.builder.apply("const", attributes=(value, width))

    def zeros(self, width: int) -> Wire:
        """``width`` zero bits in the same trace."""
        return self.const(0, width)

    def concat(self, *parts: Wire) -> Wire:
        """``parts`` (this wire not included) as one wire, the first part lowest."""
        return parts[0] if len(parts) == 1 else self.builder.apply("concat", *parts)

    def repeat(self, times: int) -> Wire:
        """``times`` copies of this wire side by side."""
        return self if times == 1 else self.builder.apply("repeat", self, attributes=(times,))

    def sum(self, times: int) -> Wire:
        """The sum in the ring (for bits: XOR) of the ``times`` equal parts of this wire."""
        return self if times == 1 else self.builder.apply("sum", self, attributes=(times,))

    def parity(self) -> Wire:
        """The XOR of all bits."""
        return self.sum(self.width)

    def gather(self, indices: Iterable[int]) -> Wire:
        """Bit i of the result is bit ``indices[i]`` of this wire."""
        return self.builder.apply("gather", self, attributes=(tuple(map(operator.index, indices)),))

    def scatter(self, indices: Iterable[int], width: int) -> Wire:
        """``width`` bits; bit ``indices[i]`` is the XOR of all bits i sent there. The adjoint of :meth:`gather`."""
        return self.builder.apply("scatter", self, attributes=(tuple(map(operator.index, indices)), width))

    def decode(self) -> Wire:
        """The one-hot code of this number, on 2^width bits (the paper's ``basis``)."""
        return self.builder.apply("decode", self)

    def lookup(self, address: Wire) -> Wire:
        """The outputs of the tables of 2^a bits in this wire, one per output: output j is bit ``j * 2^a + address``."""
        return self.builder.apply("lookup", self, address)

    def popcount(self) -> Wire:
        """The number of set bits, as an unsigned number."""
        return self.builder.apply("popcount", self)

    def plus(self, other: Wire | int) -> Wire:
        """The sum of two unsigned numbers, one bit wider than they are, so that it cannot wrap."""
        return self.builder.apply("plus", self, self._with(other))

    def extend(self, width: int) -> Wire:
        """The same unsigned number on ``width`` bits; raises :class:`UserError` if it has more."""
        if width < self.width:
            raise UserError(f"a wire of {self.width} bits cannot be extended to {width}; expected no fewer than it has")
        return self if width == self.width else self.concat(self, self.zeros(width - self.width))

    def as_words(self, bits: int) -> WordWire:
        """The same bits as words of ``bits`` bits, word 0 first. There is no derivative through this cast."""
        return cast(WordWire, self.builder.apply("to_words", self, attributes=(bits,)))

    def as_switches(self, bits: int) -> SwitchWire:
        """The same bits as switches, with cotangents of ``bits`` bits. There is no derivative through this cast."""
        return cast(SwitchWire, self.builder.apply("to_switches", self, attributes=(bits,)))

    def as_scalars(self, semiring: str) -> ScalarWire:
        """The same bits as scalars of this semiring, scalar 0 first. There is no derivative through this cast."""
        return cast(ScalarWire, self.builder.apply("to_scalars", self, attributes=(semiring,)))

    def cast(self, type_: Type) -> Wire:
        """The same bits as a wire of this type."""
        if type_ == self.type:
            return self
        primitive, attribute = _CASTS[type(type_)]
        return self.builder.apply(primitive, self, attributes=(attribute(type_),))


class SwitchWire(Wire):
    """A symbolic vector of switches, :class:`rdahw.types.Switches`: bits with the operations of bits that have a signed
    reverse rule (``signed`` of their row), and the methods below."""

    __slots__ = ()

    type: Switches

    def const(self, value: int, width: int) -> Wire:
        """A constant of such switches in the same trace."""
        return super().const(value, width).as_switches(self.type.bits)

    def embed(self) -> WordWire:
        """Each switch as a word, 0 or 1. Cotangents pass unchanged."""
        return cast(WordWire, self.builder.apply("embed_switches", self, attributes=(self.type.bits,)))

    def as_bits(self) -> Wire:
        """The same bits. There is no derivative through this cast."""
        return self.builder.apply("to_bits", self)


class ElementWire(Wire):
    """A symbolic vector of elements of a ring or semiring: ``+ - *`` element by element, indexing and slicing by
    elements, and the methods below. Its length is the number of elements."""

    __slots__ = ()

    type: Words | Scalars

    def __len__(self) -> int:
        return self.type.count

    def __add__(self, other: Wire) -> Self:
        return self._combine(self.type.ring.addition, other)

    def __sub__(self, other: Self) -> Self:
        return self + -other

    def __neg__(self) -> Self:
        return self.negate()

    def __mul__(self, other: Wire) -> Self:
        return self._combine(self.type.ring.multiplication, other)

    def _combine(self, primitive: str, *others: Wire, attributes: Sequence[Any] = ()) -> Self:
        given = (*attributes, *self.type.ring.attributes)
        return cast(Self, self.builder.apply(primitive, self, *others, attributes=given))

    def __getitem__(self, index: SupportsIndex | slice) -> Self:
        chosen = range(len(self))[index]
        return self.gather(chosen if isinstance(chosen, range) else [chosen])

    def negate(self) -> Self:
        """The negatives."""
        raise NotImplementedError

    def zeros(self, width: int) -> Self:
        """``width`` elements that are zero."""
        return cast(Self, constant(self.builder, 0, self.type.of(width)))

    def repeat(self, times: int) -> Self:
        """``times`` copies of this wire side by side."""
        return self.gather(list(range(len(self))) * times)

    def sum(self, times: int) -> Self:
        """The sum in the ring of the ``times`` equal parts of this wire."""
        if times < 1 or len(self) % times:
            raise UserError(f"{len(self)} words cannot be cut into {times} equal parts to sum; choose a divisor")
        return self.scatter(list(range(len(self) // times)) * times, len(self) // times)

    def gather(self, indices: Iterable[int]) -> Self:
        """Element i of the result is element ``indices[i]`` of this wire."""
        chosen = tuple(map(operator.index, indices))
        if chosen == tuple(range(len(self))):
            return self
        return cast(Self, self.builder.apply("gather_words", self, attributes=(chosen, self.type.bits)))

    def scatter(self, indices: Iterable[int], width: int) -> Self:
        """``width`` elements; element ``indices[i]`` is the sum of all elements i sent there. The adjoint of
        :meth:`gather`."""
        raise NotImplementedError

    def as_bits(self) -> Wire:
        """The bits of all elements, element 0 first. There is no derivative through this cast."""
        return self.builder.apply("to_bits", self)


class ScalarWire(ElementWire):
    """A symbolic vector of :class:`rdahw.types.Scalars`."""

    __slots__ = ()

    type: Scalars

    def negate(self) -> Self:
        """The negatives; raises :class:`UserError` in a semiring without them."""
        return self._combine("negate_scalars")

    def scatter(self, indices: Iterable[int], width: int) -> Self:
        return self._combine("scatter_scalars", attributes=(tuple(map(operator.index, indices)), width))


class WordWire(ElementWire):
    """A symbolic vector of words, :class:`rdahw.types.Words`, whose ring is Z_2^k."""

    __slots__ = ()

    type: Words

    def scatter(self, indices: Iterable[int], width: int) -> Self:
        return self._combine("scatter_words", attributes=(tuple(map(operator.index, indices)), width))

    def mask(self, chosen: Wire) -> Self:
        """The words with zero in place of those whose bit in ``chosen`` is 0."""
        return self._combine("mask_words", chosen)

    def negate(self, chosen: Wire | None = None) -> Self:
        """The words, those negated whose bit in ``chosen`` is 1; by default all."""
        bits = self.builder.apply("const", attributes=((1 << len(self)) - 1, len(self))) if chosen is None else chosen
        return self._combine("negate_words", bits)

    def lookup(self, address: Wire, tables: int = 1) -> Self:
        """The addressed row of each of ``tables`` tables of 2^a rows in this wire; ``address`` holds a bits per table.
        Tables of words are stored row by row, tables of bits (:meth:`Wire.lookup`) output by output."""
        return self._combine("lookup_words", address, attributes=(tables,))

    def shift(self, by: int) -> Self:
        """The words divided by 2^by and rounded down. There is no derivative."""
        return self._combine("shift_words", attributes=(by,))

    def saturating_add(self, other: Wire, limit: int) -> Self:
        """The sums as whole numbers, at least -2^(limit - 1) and at most 2^(limit - 1) - 1. There is no derivative."""
        return self._combine("saturating_add_words", other, attributes=(limit,))

    def cumulate(self) -> Self:
        """Word i is the sum of the words 0 to i. There is no derivative."""
        return self._combine("cumulate_words")

    def count_below(self, others: Wire) -> Self:
        """For each word how many of ``others`` are smaller, as signed numbers. There is no derivative."""
        return self._combine("count_below_words", others)


#: The kind of wire of each type, and the cast to the type from bits with its attribute.
_WIRES: Mapping[type[Type], type[Wire]] = {Bits: Wire, Words: WordWire, Switches: SwitchWire, Scalars: ScalarWire}
_CASTS: Mapping[type[Type], tuple[str, Callable[[Any], Any]]] = {
    Words: ("to_words", lambda type_: type_.bits),
    Switches: ("to_switches", lambda type_: type_.bits),
    Scalars: ("to_scalars", lambda type_: type_.semiring),
}


def constant(builder: Builder, value: int, type_: Type) -> Wire:
    """The constant of this type whose bits are the number ``value``; 0 is the zero of every ring."""
    return builder.apply("const", attributes=(value, type_.width)).cast(type_)


def builder_of(*wires: Wire) -> Builder:
    """The builder of ``wires``; raises :class:`UserError` if these are not wires."""
    if not wires or not all(isinstance(w, Wire) for w in wires):
        raise UserError("a circuit was called on something other than wires; to run it on data use rdahw.sim.run")
    return wires[0].builder


def trace(function: Callable[..., Any], /, **inputs: Type) -> Circuit:
    """The circuit that ``function`` computes on inputs of these names and types.

    ``function`` takes the wires as positional arguments in order and returns a wire (the output ``y``), a sequence of
    wires (``y0``, ``y1``, …) or a mapping from names to wires.

    >>> from rdahw import Bits
    >>> print(trace(lambda a, b: a ^ b[::-1], a=Bits(2), b=Bits(2)))
    circuit (a: Bits(2), b: Bits(2)) -> (y: Bits(2)):
      %2: Bits(2) = gather(b, indices=[1, 0])
      %3: Bits(2) = xor(a, %2)
      return y=%3
    """
    builder = Builder()
    result = function(*(builder.input(name, type_) for name, type_ in inputs.items()))
    outputs = result
    if isinstance(result, Wire):
        outputs = {"y": result}
    elif isinstance(result, Sequence):
        outputs = {f"y{i}": wire for i, wire in enumerate(result)}
    if not isinstance(outputs, Mapping) or not all(isinstance(wire, Wire) for wire in outputs.values()):
        raise UserError(
            f"the traced function returned {shown(result)}; expected a wire made from its arguments, or a sequence or "
            "mapping of them"
        )
    return builder.finish(outputs)


def cat(*parts: Wire) -> Wire:
    """``parts`` as one wire, the first lowest (in the least significant bits)."""
    if not parts:
        raise UserError("nothing was given to concatenate; expected at least one wire")
    return parts[0].concat(*parts)


def mux(select: Wire, a: Wire, b: Wire) -> Wire:
    """``a`` where the one bit of ``select`` is set, else ``b``."""
    return select.builder.apply("mux", select, a, b)


def ring_sum(a: Wire, b: Wire) -> Wire:
    """a + b in the ring of their type."""
    ring = a.type.ring
    return a.builder.apply(ring.addition, a, b, attributes=ring.attributes)


def equal(a: Wire, b: Wire | int) -> Wire:
    """One bit: all bits of a and b agree."""
    same = ~(a ^ b)
    while same.width > 1:
        half = same.width // 2
        rest = [same[2 * half :]] if same.width % 2 else []
        same = cat(same[:half] & same[half : 2 * half], *rest)
    return same
