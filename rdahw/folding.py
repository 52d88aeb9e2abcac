"""Circuits with their dead and constant parts removed, element by element, and the size of a circuit in operations.

A reverse derivative has many: cotangents that are padded with zeros (the reverse of a choice of bits), and their sums.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rdahw.circuit import Circuit
from rdahw.primitives import PRIMITIVES
from rdahw.tracing import Builder, Wire, constant, trace
from rdahw.types import Bits, Switches, Type

__all__ = ["count_operations", "simplify"]

#: A number for each element of a wire: 0 and 1 are the constants of its ring, any other names one element.
_Codes = NDArray[np.int64]

#: Among codes: not known without the operation.
_OPEN = -1


def count_operations(circuit: Circuit) -> int:
    """The additions and multiplications of ring elements in the circuit, with each primitive outside the polynomial
    core counted as its expansion; over Z2 the XOR and AND gates. Wiring, constants and casts are free.

    An operation on switches counts as on bits, since it has no expansion.

    >>> count_operations(trace(lambda a, b: (a & b).parity(), a=Bits(4), b=Bits(4)))
    7
    """
    return sum(
        _operations(primitive, tuple(circuit.types[i] for i in operands), attributes)
        for primitive, operands, attributes in circuit.assignments
    )


@lru_cache(maxsize=4096)
def _operations(primitive: str, types: tuple[Type, ...], attributes: tuple[Any, ...]) -> int:
    if (expansion := PRIMITIVES[primitive].expansion) is not None:
        named = {f"x{i}": Bits(type_.width) if isinstance(type_, Switches) else type_ for i, type_ in enumerate(types)}
        return count_operations(trace(lambda *wires: expansion(*wires, *attributes), **named))
    return _COSTS[primitive](types, *attributes) if primitive in _COSTS else 0


def _pairs(types: Sequence[Type], *attributes: Any) -> int:
    return types[0].count


def _sums(types: Sequence[Type], indices: Sequence[int], *attributes: Any) -> int:
    return types[0].count - len(set(indices))


_COSTS: Mapping[str, Callable[..., int]] = {
    **dict.fromkeys(("xor", "and", "add_words", "multiply_words", "mask_words", "negate_words"), _pairs),
    **dict.fromkeys(("add_scalars", "multiply_scalars", "negate_scalars"), _pairs),
    **dict.fromkeys(("scatter", "scatter_words", "scatter_scalars"), _sums),
    "sum": lambda types, times: types[0].count - types[0].count // times,
}


def simplify(circuit: Circuit) -> Circuit:
    """The same function without operations on elements that are constant or that no output needs, and without those
    that a constant decides (``x AND 0``, ``x AND 1``, ``x XOR x``); operations on wires become narrower where some of
    their elements are left.

    The result is for evaluation: ``x AND x`` becomes ``x``, which has another formal derivative. Where patterns of bits
    are no elements (the 3 of Z3), the functions agree on elements alone.

    >>> print(simplify(trace(lambda a, b: (a.concat(a, a.zeros(2)) & b)[1:3] ^ b[:2], a=Bits(2), b=Bits(4))))
    circuit (a: Bits(2), b: Bits(4)) -> (y: Bits(2)):
      %2: Bits(1) = slice(a, start=1, stop=2)
      %3: Bits(1) = slice(b, start=1, stop=2)
      %4: Bits(1) = and(%2, %3)
      %5: Bits(1) = slice(b, start=0, stop=1)
      %6: Bits(1) = xor(%4, %5)
      %7: Bits(2) = concat(%6, %3)
      return y=%7
    """
    folder = _Folder(circuit)
    for primitive, operands, attributes in circuit.assignments:
        fold = _FOLDS.get(primitive, _whole)
        type_ = circuit.types[len(folder.wires)]
        given = [_Operand(folder.wires[i], circuit.types[i]) for i in operands]
        folder.wires.append(fold(folder, primitive, given, attributes, type_))
    return folder.finish()


class _Operand(NamedTuple):
    codes: _Codes
    type: Type


class _Operation(NamedTuple):
    """An operation that is left: of the elements with these codes to those numbered from ``first``.

    lanes: element i of the result depends on elements i of the operands alone. places: of a sum, the element of the
    result that each element of the operand is added to.
    """

    primitive: str
    operands: Sequence[_Operand]
    attributes: Sequence[Any]
    type: Type
    first: int
    lanes: bool = False
    places: _Codes | None = None


@dataclass(slots=True)
class _Folder:
    """The codes of the wires so far, and the operations that are left."""

    circuit: Circuit
    wires: list[_Codes] = field(default_factory=list)
    operations: list[_Operation] = field(default_factory=list)
    used: int = 2

    def __post_init__(self) -> None:
        self.wires += [self.elements(type_) for type_ in self.circuit.input_types]

    def elements(self, type_: Type) -> _Codes:
        """Codes for new elements."""
        self.used += type_.count
        return np.arange(self.used - type_.count, self.used)

    def add(self, primitive: str, operands: Sequence[_Operand], attributes: Sequence[Any], type_: Type,
            **form: Any) -> _Codes:  # fmt: skip
        """The codes of the result of an operation."""
        codes = self.elements(type_)
        self.operations.append(_Operation(primitive, operands, attributes, type_, int(codes[0]), **form))
        return codes

    def finish(self) -> Circuit:
        """The circuit of the operations whose results are needed."""
        needed = np.zeros(self.used, np.bool_)
        for _, wire in self.circuit.outputs:
            needed[self.wires[wire]] = True
        for operation in reversed(self.operations):
            wanted = needed[operation.first : operation.first + operation.type.count]
            for operand in operation.operands:
                if operation.lanes and len(wanted) == 1:
                    needed[operand.codes] |= wanted
                elif operation.lanes:
                    needed[operand.codes[wanted]] = True
                elif operation.places is not None:
                    needed[operand.codes[wanted[operation.places]]] = True
                elif wanted.any():
                    needed[operand.codes] = True
        made = _Made(Builder(), np.zeros(self.used, np.int64), np.zeros(self.used, np.int64))
        start = 2
        for name, type_ in self.circuit.inputs:
            made.record(made.builder.input(name, type_), np.arange(start, start + type_.count))
            start += type_.count
        for operation in self.operations:
            left = np.flatnonzero(needed[operation.first : operation.first + operation.type.count])
            if left.size:
                made.record(*_apply(made, operation, left))
        outputs = {name: made.wire(self.wires[i], self.circuit.types[i]) for name, i in self.circuit.outputs}
        return made.builder.finish(outputs)


@dataclass(slots=True)
class _Made:
    """The wires of the new circuit, and for each code the wire and the element of it."""

    builder: Builder
    owner: _Codes
    place: _Codes
    wires: list[Wire] = field(default_factory=list)

    def record(self, wire: Wire, codes: _Codes) -> None:
        if len(codes) == 1:  # as gates have it: the place is 0, as it was
            self.owner[codes[0]] = len(self.wires)
        else:
            self.owner[codes] = len(self.wires)
            self.place[codes] = np.arange(len(codes))
        self.wires.append(wire)

    def wire(self, codes: _Codes, type_: Type) -> Wire:
        """The elements as a wire of as many such elements."""
        if len(codes) == 1:
            return self._one(int(codes[0]), type_)
        if len(codes) > 1 and codes[0] > 1 and (codes == codes[0]).all():
            return self.wire(codes[:1], type_).repeat(len(codes))
        owner = np.where(codes < 2, -1, self.owner[codes])
        starts = [0, *(np.flatnonzero(np.diff(owner)) + 1).tolist(), len(codes)]
        runs = list(zip(starts, starts[1:], strict=False))
        sources = np.unique(owner).tolist()
        if len(runs) <= len(sources) + 8:
            parts = [self._from_one(codes[a:b], int(owner[a]), type_) for a, b in runs]
            return parts[0].concat(*parts)
        # Many short runs: one choice from all the sources side by side.
        wires = [self._from_one(np.arange(2), -1, type_) if i < 0 else self.wires[i] for i in sources]
        offsets = np.cumsum([0, *(wire.type.count for wire in wires)])
        inside = np.where(codes < 2, codes, self.place[codes])
        chosen = inside + offsets[np.searchsorted(sources, owner)]
        return wires[0].concat(*wires).gather(chosen.tolist())

    def _one(self, code: int, type_: Type) -> Wire:
        """A single element, as gates have it: without the search for runs, which takes longer than the gate."""
        if code < 2:
            return constant(self.builder, code, type_.of(1))
        place, wire = int(self.place[code]), self.wires[int(self.owner[code])]
        return wire[place : place + 1]

    def _from_one(self, codes: _Codes, owner: int, type_: Type) -> Wire:
        if owner < 0:
            value = sum(1 << i * (type_.width // type_.count) for i in np.flatnonzero(codes).tolist())
            return constant(self.builder, value, type_.of(len(codes)))
        wire, places = self.wires[owner], self.place[codes]
        if (np.diff(places) == 1).all():
            return wire[int(places[0]) : int(places[-1]) + 1]
        return wire.gather(places.tolist())


def _apply(made: _Made, operation: _Operation, left: _Codes) -> tuple[Wire, _Codes]:
    """The wire of an operation for the elements that are ``left``, and their codes."""
    operands, places = operation.operands, operation.places
    if places is not None:
        chosen = np.isin(places, left)
        terms = operands[0].codes[chosen]
        new = np.searchsorted(left, places[chosen])
        wire = _sum(made, terms, new, operands[0].type, len(left))
        return wire, operation.first + left
    if operation.lanes and len(left) < operation.type.count:
        wires = [made.wire(operand.codes[left], operand.type) for operand in operands]
        return made.builder.apply(operation.primitive, *wires, attributes=operation.attributes), operation.first + left
    wires = [made.wire(operand.codes, operand.type) for operand in operands]
    wire = made.builder.apply(operation.primitive, *wires, attributes=operation.attributes)
    return wire, operation.first + np.arange(operation.type.count)


def _sum(made: _Made, terms: _Codes, places: _Codes, type_: Type, count: int) -> Wire:
    """The elements added up at their places, 0 to ``count`` - 1, in their order."""
    order = np.argsort(places, kind="stable")
    times = len(terms) // count
    if (np.bincount(places, minlength=count) == times).all():
        return made.wire(terms[order].reshape(count, times).T.reshape(-1), type_).sum(times)
    return made.wire(terms, type_).scatter(places.tolist(), count)


# -- what folds: (folder, primitive, operands, attributes, type of the result) -> codes --------------------------------

_Fold = Callable[[_Folder, str, Sequence[_Operand], Sequence[Any], Type], _Codes]


def _whole(
    folder: _Folder, primitive: str, operands: Sequence[_Operand], attributes: Sequence[Any], type_: Type
) -> _Codes:
    """Nothing is known of the operation."""
    return folder.add(primitive, operands, attributes, type_)


def _lanes(
    decide: Callable[..., _Codes],
    folder: _Folder,
    primitive: str,
    operands: Sequence[_Operand],
    attributes: Sequence[Any],
    type_: Type,
) -> _Codes:
    """Element by element: ``decide`` gives the results that are known, and :data:`_OPEN` for the rest."""
    if type_.count == 1:
        single = [int(operand.codes[0]) for operand in operands]
        if min(single) > 1 and len(set(single)) == len(single):  # different unknowns, which decide nothing
            return folder.add(primitive, operands, attributes, type_, lanes=True)
    found = decide(*(operand.codes for operand in operands))
    rest = np.flatnonzero(found == _OPEN)
    if rest.size:
        narrow = [_Operand(operand.codes[rest], operand.type) for operand in operands]
        found[rest] = folder.add(primitive, narrow, attributes, type_.of(rest.size), lanes=True)
    return found


def _decide(*cases: tuple[NDArray[np.bool_], _Codes | int]) -> _Codes:
    """For each element the result of the first case that holds."""
    found: Any = _OPEN
    for case, result in reversed(cases):
        found = np.where(case, result, found)
    return np.asarray(found, np.int64)


def _add(a: _Codes, b: _Codes) -> _Codes:
    return _decide((a == 0, b), (b == 0, a))


def _xor(a: _Codes, b: _Codes) -> _Codes:
    return _decide((a == b, 0), (a == 0, b), (b == 0, a))


def _multiply(a: _Codes, b: _Codes) -> _Codes:
    return _decide((a == 0, 0), (b == 0, 0), (a == 1, b), (b == 1, a))


def _and(a: _Codes, b: _Codes) -> _Codes:
    return np.where(a == b, a, _multiply(a, b))


def _or(a: _Codes, b: _Codes) -> _Codes:
    return _decide((a == b, a), (a == 0, b), (b == 0, a), ((a == 1) | (b == 1), 1))


def _mask(a: _Codes, chosen: _Codes) -> _Codes:
    return _decide((a == 0, 0), (chosen == 0, 0), (chosen == 1, a))


def _negate(a: _Codes, chosen: _Codes) -> _Codes:
    return _decide((a == 0, 0), (chosen == 0, a))


def _mux(
    folder: _Folder, primitive: str, operands: Sequence[_Operand], attributes: Sequence[Any], type_: Type
) -> _Codes:
    select, a, b = (operand.codes for operand in operands)
    found = _decide((np.broadcast_to(select == 1, a.shape), a), (np.broadcast_to(select == 0, a.shape), b), (a == b, a))
    rest = np.flatnonzero(found == _OPEN)
    if rest.size:
        narrow = [operands[0], *(_Operand(operand.codes[rest], operand.type) for operand in operands[1:])]
        found[rest] = folder.add(primitive, narrow, attributes, type_.of(rest.size))
    return found


def _wiring(
    move: Callable[..., _Codes],
    folder: _Folder,
    primitive: str,
    operands: Sequence[_Operand],
    attributes: Sequence[Any],
    type_: Type,
) -> _Codes:
    """The elements of the operands in other places."""
    return move(*(operand.codes for operand in operands), *attributes)


def _summed(
    places: Callable[..., Any],
    folder: _Folder,
    primitive: str,
    operands: Sequence[_Operand],
    attributes: Sequence[Any],
    type_: Type,
) -> _Codes:
    """Sums of elements: zeros are left out, and over Z2 pairs of one element."""
    codes = operands[0].codes
    terms: list[list[int]] = [[] for _ in range(type_.count)]
    for code, place in zip(codes.tolist(), places(len(codes), *attributes), strict=True):
        if code:
            terms[place].append(code)
    if type_.ring.addition == "xor":
        terms = [[code for code, times in Counter(here).items() if times % 2] for here in terms]
    found = np.array([_OPEN if len(here) > 1 else (here or [0])[0] for here in terms])
    rest = np.flatnonzero(found == _OPEN)
    if rest.size:
        chosen = [terms[i] for i in rest.tolist()]
        joined = _Operand(np.concatenate([np.array(here) for here in chosen]), operands[0].type)
        at = np.repeat(np.arange(rest.size), [len(here) for here in chosen])
        found[rest] = folder.add(primitive, [joined], attributes, type_.of(rest.size), places=at)
    return found


def _constant(
    folder: _Folder, primitive: str, operands: Sequence[_Operand], attributes: Sequence[Any], type_: Type
) -> _Codes:
    value, width = attributes
    return np.unpackbits(
        np.frombuffer(value.to_bytes((width + 7) // 8, "little"), np.uint8), count=width, bitorder="little"
    ).astype(np.int64)


def _cast(
    folder: _Folder, primitive: str, operands: Sequence[_Operand], attributes: Sequence[Any], type_: Type
) -> _Codes:
    """Bits as elements of another type, of which 0 and 1 are known."""
    each = operands[0].codes.reshape(type_.count, -1)
    known = (each[:, 0] < 2) & (each[:, 1:] == 0).all(axis=1)
    return np.where(known, each[:, 0], folder.add(primitive, operands, attributes, type_))


def _to_bits(
    folder: _Folder, primitive: str, operands: Sequence[_Operand], attributes: Sequence[Any], type_: Type
) -> _Codes:
    each = operands[0].codes[:, None]
    bits = folder.add(primitive, operands, attributes, type_).reshape(len(each), -1)
    units = np.concatenate([each, np.zeros((len(each), bits.shape[1] - 1), np.int64)], axis=1)
    return np.where(each < 2, units, bits).reshape(-1)


def _lookup(
    folder: _Folder, primitive: str, operands: Sequence[_Operand], attributes: Sequence[Any], type_: Type
) -> _Codes:
    """Without the rows that constant bits of the address exclude, and the bits of the address that are then left."""
    table, address = operands
    known, rows = address.codes < 2, np.arange(1 << len(address.codes))
    possible = ((rows[:, None] >> np.arange(len(known)) & 1) == address.codes)[:, known].all(axis=1)
    content = table.codes.reshape(type_.count, -1)[:, possible]
    if known.all():
        return content.reshape(-1)
    narrow = _Operand(content.reshape(-1), table.type), _Operand(address.codes[~known], address.type)
    return folder.add(primitive, narrow, attributes, type_)


#: By primitive; operations without a row stay whole where any of their results is needed.
_FOLDS: Mapping[str, _Fold] = {
    "const": _constant,
    **{
        name: partial(_lanes, decide)
        for name, decide in (
            ("xor", _xor), ("and", _and), ("or", _or), ("not", lambda a: _decide((a == 0, 1), (a == 1, 0))),
            ("add_words", _add), ("add_scalars", _add), ("multiply_words", _multiply), ("multiply_scalars", _multiply),
            ("mask_words", _mask), ("negate_words", _negate),
            ("negate_scalars", lambda a: _decide((a == 0, 0))),
            ("embed_switches", lambda a: _decide((a < 2, a))),
        )
    },
    **{
        name: partial(_wiring, move)
        for name, move in (
            ("concat", lambda *parts: np.concatenate(parts)), ("slice", lambda a, start, stop: a[start:stop]),
            ("repeat", np.tile), ("gather", lambda a, indices: a[list(indices)]),
            ("gather_words", lambda a, indices, bits: a[list(indices)]),
        )
    },
    **{
        name: partial(_summed, places)
        for name, places in (
            ("sum", lambda count, times: list(range(count // times)) * times),
            ("scatter", lambda count, indices, width: indices),
            ("scatter_words", lambda count, indices, width, bits: indices),
            ("scatter_scalars", lambda count, indices, width, semiring: indices),
        )
    },
    "mux": _mux,
    "lookup": _lookup,
    "to_words": _cast,
    "to_switches": _cast,
    "to_scalars": _cast,
    "to_bits": _to_bits,
}  # fmt: skip
