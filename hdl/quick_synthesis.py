"""About what synthesis makes of a design, in a fraction of its time: how many look-up tables, carries and flip-flops,
what the slowest paths are made of, and which memories.

The netlist of Amaranth is broken into gates of two and three inputs, as Yosys does: constants are folded, equal gates
and equal flip-flops are one, their enable and reset cost no tables, and what no output needs is left out. Then gates
are joined to look-up tables. Yosys restructures logic as well, so its netlist is another one, but nearly proportional
to this: :mod:`rdahw.boards.estimate` has the factors.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from math import inf
from operator import itemgetter
from typing import Any, TypeAlias

from amaranth.hdl import Fragment, _ir, _nir  # type: ignore[import-untyped]

from rdahw.hdl.memory_map import BLOCK, DISTRIBUTED, LOGIC, LogicMemory, mapped
from rdahw.hdl.quick_timing import DELAYS, Path, Timing, last_of_tree

__all__ = ["Size", "netlist_of", "size_of"]

#: Kinds of nodes. A source is an input, a flip-flop, or an output of a memory or of an instance; a sum is a bit of an
#: adder, a carry what a comparison gives, a cell a look-up table that the design instantiates, and a read what a memory
#: in look-up tables gives.
_SOURCE, _AND, _XOR, _MUX, _MAJORITY, _SUM, _CARRY, _CELL, _READ = range(9)
#: Those that are joined to look-up tables.
_LOGIC = (_AND, _XOR, _MUX, _MAJORITY)
#: A flip-flop: its net, or of a memory the number of its cell, the word and the bit.
_Name: TypeAlias = int | tuple[int, int, int]
#: So many ways to make a look-up table of a gate are looked at.
_CUTS = 4
#: Conjunctions and parities of up to so many wires are trees that wait for none of them longer than needed.
_WIDE = 64
#: The inputs of a look-up table.
_INPUTS = 4
#: Cells that read memories.
_PORTS = (_nir.AsyncReadPort, _nir.SyncReadPort)
#: Look-up tables as cells of any family.
_TABLE = re.compile(r"(SB_)?LUT[1-6]")
#: The level of a cut with its cost, level and leaves.
_LEVEL = itemgetter(1)
#: A carry passes so many bits in the time of a look-up table with its wires.
_CARRY_BITS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """What :func:`size_of` counts.

    tables: look-up tables, by how many inputs they have; muxes: those that are multiplexers. cells: those that the
    design instantiates. carries: bits of adders and comparisons. registers: flip-flops; alone: those whose value comes
    from no table or adder that they alone read. controls: different enables and resets. instances: cells by their type,
    as the design names them. paths: by the delays of the family, the slowest one to what registers take, and that to
    enables, resets and memories. memories: all that something reads, where each is, and in how many blocks.
    """

    tables: Mapping[int, int]
    muxes: int
    cells: int
    carries: int
    registers: int
    alone: int
    controls: int
    instances: Mapping[str, int]
    paths: tuple[Path, Path]
    memories: Sequence[tuple[LogicMemory, str, int]]


def netlist_of(component: Any, platform: Any) -> Any:
    """The netlist of a component for a platform of Amaranth."""
    fragment = Fragment.get(component, platform)
    netlist = _nir.Netlist()
    _ir._emit_netlist(netlist, fragment.prepare(ports=()))
    netlist.resolve_all_nets()
    return netlist


@dataclass(frozen=True, slots=True)
class _Summand:
    """A number that is added to others. wires: its bits. beyond: the bit at all places above them."""

    wires: Sequence[int]
    beyond: int = 0

    @property
    def range(self) -> tuple[int, int]:
        """The least and the largest number that it can be."""
        least = sum(1 << i for i, wire in enumerate(self.wires) if wire == 1)
        most = sum(1 << i for i, wire in enumerate(self.wires) if wire)
        if self.beyond < 2:
            return least - (self.beyond << len(self.wires)), most - (self.beyond << len(self.wires))
        return least - (1 << len(self.wires) - 1), most - (1 << len(self.wires) - 1)  # beyond is the highest bit


class _Gates:
    """Gates as numbered nodes. A wire is twice the number of its node, plus 1 if it is inverted; 0 and 1 are
    constant."""

    def __init__(self) -> None:
        self.kinds = [_SOURCE]
        self.reads: list[tuple[int, ...]] = [()]
        self._known: dict[tuple[int, ...], int] = {}

    def new(self, kind: int, *reads: int) -> int:
        """A node of its own."""
        self.kinds.append(kind)
        self.reads.append(reads)
        return 2 * len(self.kinds) - 2

    def once(self, kind: int, *reads: int) -> int:
        """The node that does this."""
        key = (kind, *reads)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self.new(kind, *reads)
        return found

    def both(self, a: int, b: int) -> int:
        """a and b."""
        if a > b:
            a, b = b, a
        if a == 0 or a ^ b == 1:
            return 0
        return b if a in (1, b) else self.once(_AND, a, b)

    def either(self, a: int, b: int) -> int:
        """a or b."""
        return self.both(a ^ 1, b ^ 1) ^ 1

    def differ(self, a: int, b: int) -> int:
        """a xor b."""
        inverted, a, b = (a ^ b) & 1, a & ~1, b & ~1
        if a > b:
            a, b = b, a
        if a == b:
            return inverted
        return (b if a == 0 else self.once(_XOR, a, b)) ^ inverted

    def choose(self, s: int, a: int, b: int) -> int:
        """a where s is 1, else b."""
        if s & 1:
            s, a, b = s ^ 1, b, a
        if s == 0:
            return b
        if a == b:
            return a
        if a ^ b == 1:
            return self.differ(s, b)
        if a < 2 or a >> 1 == s >> 1:
            return self.either(s, b) if a == 1 or a == s else self.both(s ^ 1, b)
        if b < 2 or b >> 1 == s >> 1:
            return self.both(s, a) if b == 0 or b == s else self.either(s ^ 1, a)
        inverted = a & 1
        return self.once(_MUX, s, a ^ inverted, b ^ inverted) ^ inverted

    def majority(self, a: int, b: int, c: int) -> int:
        """Whether two of three wires are 1, or all."""
        a, b, c = sorted((a, b, c))
        if a < 2:
            return self.either(b, c) if a else self.both(b, c)
        if a in (b, b ^ 1):
            return a if a == b else c
        if b in (c, c ^ 1):
            return b if b == c else a
        return self.once(_MAJORITY, a, b, c)

    def all_of(self, wires: Sequence[int]) -> int:
        """The conjunction of any number of wires, as a tree."""
        rest = sorted(set(wires)) or [1]
        while len(rest) > 1:
            rest = [self.both(*rest[i : i + 2]) if i + 1 < len(rest) else rest[i] for i in range(0, len(rest), 2)]
        return rest[0]

    def any_of(self, wires: Iterable[int]) -> int:
        """The disjunction of any number of wires."""
        return self.all_of([wire ^ 1 for wire in wires]) ^ 1

    def parity(self, wires: Sequence[int]) -> int:
        """The exclusive or of any number of wires."""
        rest = list(wires) or [0]
        while len(rest) > 1:
            rest = [self.differ(*rest[i : i + 2]) if i + 1 < len(rest) else rest[i] for i in range(0, len(rest), 2)]
        return rest[0]

    def select(self, address: Sequence[int], values: Sequence[int], beyond: int = 0) -> int:
        """The value at the address; ``beyond``: of those that are not there."""
        rest = list(values)
        for bit in address:
            if len(rest) == 1:
                rest.append(beyond)
            if len(rest) % 2:
                rest.append(beyond)
            rest = [self.choose(bit, rest[i + 1], rest[i]) for i in range(0, len(rest), 2)]
        return rest[0]

    def add(self, a: Sequence[int], b: Sequence[int], carry: int) -> list[int]:
        """The bits of a sum, as long as a and b."""
        found, chain = [], 0  # the last bit of the chain; 0: there is none, and the carry is a wire
        for x, y in zip(a, b, strict=True):
            if not chain and carry == 0 and 0 in (x, y):
                found.append(x | y)
            elif not chain and carry == 1 and 1 in (x, y):
                found.append(y if x == 1 else x)
            elif not chain and carry < 2 and x < 2 and y < 2:
                found.append((x + y + carry) & 1)
                carry = (x + y + carry) >> 1
            else:
                chain = self.once(_SUM, x, y, chain or carry)
                found.append(chain)
        return found

    def total(self, summands: Iterable[_Summand], width: int) -> list[int]:
        """The bits of the sum of any number of summands, as Yosys makes them: full adders of gates leave two numbers,
        which a carry chain adds."""
        columns: list[dict[int, None]] = [{} for _ in range(width)]
        for its in summands:
            for place, wire in enumerate([*its.wires, *[its.beyond] * (width - len(its.wires))][:width]):
                at = place
                while wire and at < width and wire in columns[at]:  # twice a bit is this bit at the next place
                    del columns[at][wire]
                    at += 1
                if wire and at < width:
                    columns[at][wire] = None
        rows = [[*column] for column in columns]
        while max(map(len, rows), default=0) > 2:
            after: list[list[int]] = [[] for _ in range(width + 1)]
            for at, row in enumerate(rows):
                threes = len(row) // 3 * 3
                for a, b, c in zip(row[:threes:3], row[1:threes:3], row[2:threes:3], strict=True):
                    after[at].append(self.differ(self.differ(a, b), c))
                    after[at + 1].append(self.majority(a, b, c))
                after[at] += row[threes:]
            rows = after[:width]
        first, second = ([row[i] if i < len(row) else 0 for row in rows] for i in range(2))
        return self.add(first, second, 0)

    def below(self, a: Sequence[int], b: Sequence[int]) -> int:
        """Whether the number a is below b."""
        chain = 0
        for x, y in zip(a, b, strict=True):
            if not chain and x == y:
                continue
            chain = self.once(_SUM, x, y ^ 1, chain or 1)
        return self.once(_CARRY, chain) if chain else 0


def _own_width(value: Sequence[int]) -> int:
    """How many of the nets of a value are different outputs of the cell of the first one."""
    return len({net for net in value if net >> 16 == value[0] >> 16})


class _Cells:
    """What is known of the cells of a netlist, whatever its gates are.

    family: of devices, which decides where memories are.
    """

    def __init__(self, netlist: Any, family: str) -> None:
        self.cells = netlist.cells
        self.ports: dict[int, list[int]] = defaultdict(list)
        for number, cell in enumerate(self.cells):
            if isinstance(cell, _nir.SyncWritePort | _nir.AsyncReadPort | _nir.SyncReadPort):
                self.ports[cell.memory].append(number)
        #: The flip-flops (cells) that take what a port (cell) reads and nothing else.
        self.registered = dict(self._find_registered())
        self.memories = {number: self._memory(number) for number in self.ports}
        self.places = {number: mapped(its, family) for number, its in self.memories.items()}
        self.inner: set[int] = set()
        self.used: Counter[int] = Counter()
        self._find_sums()
        self._parallel: dict[int, bool] = {}
        self._assigned: dict[int, list[list[tuple[int, int]]]] = {}

    def _find_registered(self) -> Iterator[tuple[int, int]]:
        ports = {number for its in self.ports.values() for number in its}
        readers: dict[int, set[int]] = defaultdict(set)
        for number, cell in enumerate(self.cells):
            if isinstance(cell, _nir.FlipFlop):
                for net in cell.data:
                    if net >> 16 in ports:
                        readers[net >> 16].add(number)
        for port, registers in readers.items():
            for number in registers:
                if all(net >> 16 == port for net in self.cells[number].data):
                    yield number, port

    def _find_sums(self) -> None:
        """Find how many bits of each sum (cell) are read; and the sums that one other sum reads, from bit 0 on, and
        nothing else does."""
        sums = {n for n, cell in enumerate(self.cells) if isinstance(cell, _nir.Operator) and cell.operator in _SUMS}
        readers: dict[int, set[int]] = defaultdict(set)
        for number, cell in enumerate(self.cells):
            for net in cell.input_nets():
                if net >> 16 in sums:
                    readers[net >> 16].add(number)
                    self.used[net >> 16] = max(self.used[net >> 16], (net & 0xFFFF) + 1)
        for inner, (outer, *others) in readers.items():
            if others or outer not in sums or "*" in (self.cells[inner].operator, self.cells[outer].operator):
                continue
            values = [value for value in self.cells[outer].inputs if any(net >> 16 == inner for net in value)]
            own = [inner << 16 | bit for bit in range(_own_width(values[0]))]
            if len(values) == 1 and [*values[0][: len(own)]] == own and {*values[0][len(own) :]} <= {own[-1], 0}:
                self.inner.add(inner)

    def _memory(self, number: int) -> LogicMemory:
        cell, ports = self.cells[number], [self.cells[its] for its in self.ports[number]]
        writes = [its for its in ports if isinstance(its, _nir.SyncWritePort)]
        reads = [its for its in ports if not isinstance(its, _nir.SyncWritePort)]
        registered = {*self.registered.values()}
        is_registered = all(
            isinstance(self.cells[its], _nir.SyncWritePort | _nir.SyncReadPort) or its in registered
            for its in self.ports[number]
        )
        return LogicMemory(
            words=cell.depth,
            bits=cell.width,
            granule=cell.width // max(1, len(set(writes[0].en))) if writes else 0,
            readers=len(reads),
            registered=is_registered,
            checked=bool(writes) and "no_rw_check" not in cell.attributes,
            shared=len(writes) == 1 and any(its.addr == writes[0].addr for its in reads),
            content=cell.init,
        )

    def exclusive(self, one: int, other: int) -> bool:
        """Whether two conditions (nets) are patterns of one value that exclude each other."""
        a, b = self.cells[one >> 16], self.cells[other >> 16]
        if not (isinstance(a, _nir.Matches) and isinstance(b, _nir.Matches) and a.value == b.value):
            return False
        return all(any({x, y} == {"0", "1"} for x, y in zip(p, q, strict=True)) for p in a.patterns for q in b.patterns)

    def is_parallel(self, number: int) -> bool:
        """Whether a cell is a switch whose cases exclude each other."""
        if number not in self._parallel:
            cell = self.cells[number]
            self._parallel[number] = isinstance(cell, _nir.PriorityMatch) and all(
                self.exclusive(a, b) for a, b in combinations(cell.inputs, 2)
            )
        return self._parallel[number]

    def assigned(self, number: int, bit: int) -> list[tuple[int, int]]:
        """The assignments of a bit of an assignment list: the nets of condition and value, one after the other."""
        if number not in self._assigned:
            cell = self.cells[number]
            found: list[list[tuple[int, int]]] = [[] for _ in cell.default]
            for its in cell.assignments:
                for at, net in enumerate(its.value, its.start):
                    found[at].append((its.cond, net))
            self._assigned[number] = found
        return self._assigned[number][bit]


class _Reader:
    """Makes gates of the nets of a netlist, when they are asked for. constant, same: of :func:`_fixed`."""

    def __init__(self, its: _Cells, constant: Mapping[int, int], same: Mapping[_Name, _Name]) -> None:
        self.gates = _Gates()
        self._its = its
        self.cells, self.ports, self.memories, self.places = its.cells, its.ports, its.memories, its.places
        self.known: dict[int, int] = {0: 0, 1: 1, **constant}
        self._same = same
        #: By node: what a flip-flop takes, as wires of next value, enable and reset, and its name; and the cell of
        #: another source.
        self.takes: dict[int, Callable[[], tuple[int, int, int]]] = {}
        self.names: dict[int, _Name] = {}
        self.owner: dict[int, int] = {}
        self._words: dict[int, list[list[int]]] = {}
        self._here: dict[tuple[int, int], int] = {}
        self._summands: dict[int, list[_Summand]] = {}

    def wires(self, nets: Iterable[int]) -> list[int]:
        """The wires of nets."""
        return [self.wire(net) for net in nets]

    def wire(self, net: int) -> int:
        """The wire of a net."""
        known = self.known
        if net in known:
            return known[net]
        waiting = [net]
        while waiting:
            its = waiting[-1]
            if its in known:
                waiting.pop()
                continue
            cell = self.cells[its >> 16]
            reads = _READS.get(type(cell))
            if reads is None or (type(cell) is _nir.Instance and not _TABLE.fullmatch(cell.type)):
                self._source(its, cell)
                continue
            missing = [read for read in reads(self._its, cell, its) if read not in known]
            if missing:
                waiting += missing
                continue
            _MAKES[type(cell)](self, cell, its)
        return known[net]

    def _source(self, net: int, cell: Any) -> None:
        other = self._same.get(net)
        if other is not None:
            self.known[net] = self._word_bit(*other) if isinstance(other, tuple) else self.wire(other)
            return
        bit = net & 0xFFFF
        wire = self.known[net] = self.gates.new(_SOURCE)
        node = wire >> 1
        if isinstance(cell, _nir.FlipFlop):
            port = self._its.registered.get(net >> 16)
            if port is not None and self._place(port) == BLOCK:
                self.owner[node] = port
            else:
                self.takes[node], self.names[node] = partial(self._taken, net), net
        elif isinstance(cell, _nir.SyncReadPort) and self._place(net >> 16) == LOGIC:
            self.takes[node] = lambda: (self._selected(cell, bit), self.wire(cell.en), 0)
        else:
            self.owner[node] = net >> 16

    def _place(self, port: int) -> str:
        """Where the memory of a port (cell) is."""
        return self.places[self.cells[port].memory][0]

    def _stored(self, number: int) -> list[list[int]]:
        """The words of a memory in logic."""
        if number not in self._words:
            its, cell = self.memories[number], self.cells[number]
            words = [[word >> bit & 1 for bit in range(its.bits)] for word in cell.init]
            self._words[number] = words
            if its.granule:
                for at, word in enumerate(words):
                    for bit in range(its.bits):
                        word[bit] = self._word_bit(number, at, bit)
        return self._words[number]

    def _word_bit(self, number: int, at: int, bit: int) -> int:
        """A bit of a memory of flip-flops."""
        other = self._same.get((number, at, bit))
        if isinstance(other, tuple):
            return self._stored(other[0])[other[1]][other[2]]
        if other is not None:
            return self.wire(other)
        wire = self.gates.new(_SOURCE)
        self.takes[wire >> 1], self.names[wire >> 1] = partial(self._written, number, at, bit), (number, at, bit)
        return wire

    def start(self, name: _Name) -> int:
        """The value of a flip-flop at power-up."""
        if isinstance(name, tuple):
            return int(self.cells[name[0]].init[name[1]] >> name[2] & 1)
        return int(self.cells[name >> 16].init >> (name & 0xFFFF) & 1)

    def _written(self, number: int, at: int, bit: int) -> tuple[int, int, int]:
        g, value, enable = self.gates, 0, 0
        for port in self.ports[number]:
            its = self.cells[port]
            if isinstance(its, _nir.SyncWritePort):
                if (port, at) not in self._here:
                    address = [self.wire(net) ^ (~at >> i & 1) for i, net in enumerate(its.addr)]
                    self._here[port, at] = g.all_of(address)
                here = g.both(self._here[port, at], self.wire(its.en[bit]))
                value = g.choose(here, self.wire(its.data[bit]), value) if enable else self.wire(its.data[bit])
                enable = g.either(enable, here)
        return value, enable, 0

    def _selected(self, port: Any, bit: int) -> int:
        return self.gates.select(self.wires(port.addr), [word[bit] for word in self._stored(port.memory)])

    def table(self, cell: Any, net: int) -> None:
        """The output of a look-up table that the design instantiates."""
        self.known[net] = self.gates.new(_CELL, *(self.known[read] for pin in cell.ports_i.values() for read in pin))

    def read(self, cell: Any, net: int) -> None:
        """What a port reads at once."""
        place = self._place(net >> 16)
        if place == DISTRIBUTED:
            wire = self.known[net] = self.gates.new(_READ, *self.wires(cell.addr))
            self.owner[wire >> 1] = net >> 16
        elif place != LOGIC:
            self._source(net, cell)
        else:
            self.known[net] = self._selected(cell, net & 0xFFFF)

    def operator(self, cell: Any, net: int) -> None:
        """The outputs of an operator; of one that works bit by bit, only this one."""
        g, known, bit = self.gates, self.known, net & 0xFFFF
        kind, inputs = cell.operator, cell.inputs
        if kind in _BITWISE:
            a, *b = (known[value[bit]] for value in inputs)
            known[net] = a ^ 1 if kind == "~" else getattr(g, _BITWISE[kind])(a, *b)
            return
        if kind == "m":
            s, a, b = inputs
            known[net] = g.choose(known[s[0]], known[a[bit]], known[b[bit]])
            return
        values = [[known[read] for read in value] for value in inputs]
        number = net >> 16
        if kind in _SUMS and (number in self._its.inner or any(self._inner(value) for value in inputs)):
            summands = self._added(kind, [value[: self._its.used[number]] for value in inputs], values)
            if number in self._its.inner:
                self._summands[number] = summands
                made = [0] * cell.width  # which nothing reads
            else:
                made = g.total(summands, cell.width)
        else:
            made = _WORDS[kind](g, *values)
        for i, wire in enumerate(made):
            known[(net >> 16) << 16 | i] = wire

    def _inner(self, value: Sequence[int]) -> bool:
        """Whether an operand is a sum whose summands its reader adds."""
        return bool(value) and value[0] >> 16 in self._its.inner

    def _added(self, kind: str, inputs: Sequence[Sequence[int]], values: Sequence[list[int]]) -> list[_Summand]:
        """What a sum adds up. inputs, values: its operands as nets and as wires."""
        if kind == "*":
            return _products(self.gates, *values)
        found: list[_Summand] = []
        for at, (nets, wires) in enumerate(zip(inputs, values, strict=True)):
            its = self._inner_summands(nets) if self._inner(nets) else [_Summand(wires)]
            if kind == "-" and at == len(inputs) - 1:
                its = [part for s in its for part in (_Summand(_inverted(s.wires), s.beyond ^ 1), _Summand((1,)))]
            # A sum of many numbers has a long list: the shorter one is copied.
            longer, shorter = (found, its) if len(found) > len(its) else (its, found)
            longer += shorter
            found = longer
        return found

    def _inner_summands(self, nets: Sequence[int]) -> list[_Summand]:
        """The summands of an inner sum that a sum reads as ``nets``. If it can be too large for its bits, and there are
        others above them, Yosys adds the summands first."""
        its, width = self._summands[nets[0] >> 16], _own_width(nets)
        if width == len(nets):
            return its
        if nets[-1] == 0:
            least, most = 0, 1 << width
        else:
            least, most = -1 << width - 1, 1 << width - 1
            its = [_Summand(s.wires[:width], s.wires[width - 1]) if len(s.wires) >= width else s for s in its]
        ranges = [s.range for s in its]
        if least <= sum(low for low, _ in ranges) and sum(high for _, high in ranges) < most:
            return its
        wires = self.gates.total(its, width)
        return [_Summand(wires, wires[-1] if least else 0)]

    def part(self, cell: Any, net: int) -> None:
        """The outputs of a variable slice."""
        known = self.known
        value, offset = ([known[read] for read in nets] for nets in (cell.value, cell.offset))
        beyond = value[-1] if cell.value_signed and value else 0
        places = min(1 << len(offset), -(-len(value) // cell.stride))
        for i in range(cell.width):
            rows = [value[at] if (at := k * cell.stride + i) < len(value) else beyond for k in range(places)]
            known[(net >> 16) << 16 | i] = self.gates.select(offset, rows, beyond) if rows else beyond

    def matches(self, cell: Any, net: int) -> None:
        """Whether a value has one of some patterns."""
        bits = [self.known[read] for read in cell.value]
        each = [
            self.gates.all_of([
                bit ^ (digit == "0") for bit, digit in zip(bits, reversed(pattern), strict=True) if digit != "-"
            ])
            for pattern in cell.patterns
        ]  # fmt: skip
        self.known[net] = self.gates.any_of(each)

    def priority(self, cell: Any, net: int) -> None:
        """The first of several conditions that is true."""
        g, known = self.gates, self.known
        enable, is_parallel = known[cell.en], self._its.is_parallel(net >> 16)
        for i, read in enumerate(cell.inputs):
            before = [] if is_parallel else cell.inputs[:i]
            others = g.any_of([known[earlier] for earlier in before if not self._its.exclusive(earlier, read)])
            known[(net >> 16) << 16 | i] = g.both(enable, g.both(known[read], others ^ 1))

    def assignments(self, cell: Any, net: int) -> None:
        """A bit of what several assignments give, one after the other."""
        self.known[net] = self._chosen(self._rows(net), self.known[cell.default[net & 0xFFFF]])

    def _rows(self, net: int) -> list[tuple[int, int, int]]:
        """The assignments of a bit: the number of their switch, or 0, and the wires of condition and value."""
        known, wire, is_parallel = self.known, self.wire, self._its.is_parallel
        return [
            (
                cond >> 16 if is_parallel(cond >> 16) else 0,
                known[cond] if cond in known else wire(cond),
                known[value] if value in known else wire(value),
            )
            for cond, value in self._its.assigned(net >> 16, net & 0xFFFF)
        ]

    def _chosen(self, rows: Sequence[tuple[int, int, int]], value: int) -> int:
        """What is assigned last, or ``value``; cases that exclude each other are a sum of products, as in Yosys."""
        g, at = self.gates, 0
        while at < len(rows):
            switch, cond, wire = rows[at]
            end = at + 1
            while switch and end < len(rows) and rows[end][0] == switch:
                end += 1
            if end - at < 3:
                value, at = g.choose(cond, wire, value), at + 1
                continue
            cases = rows[at:end]
            others = g.any_of([cond for _, cond, _ in cases]) ^ 1
            value = g.any_of([g.both(others, value), *(g.both(cond, wire) for _, cond, wire in cases)])
            at = end
        return value

    def _taken(self, net: int) -> tuple[int, int, int]:
        """What a flip-flop takes, with the enable and the reset that Yosys finds in its assignments."""
        g, taken = self.gates, self.cells[net >> 16].data[net & 0xFFFF]
        cell = self.cells[taken >> 16]
        if not isinstance(cell, _nir.AssignmentList):
            return self.wire(taken), 1, 0
        own, reset, rows = self.known[net], 0, self._rows(taken)
        default = self.wire(cell.default[taken & 0xFFFF])
        level = rows[-1][2] if rows else None
        while len(rows) > 1 and rows[-1][2] == level and level in (0, 1):
            reset = g.either(reset, rows.pop()[1])
        rows = [row for row in rows if row[1] != 0]
        if default != own or not rows:
            return self._chosen(rows, default), 1, reset
        enable = 0
        for _, cond, wire in rows:
            enable = g.both(enable, cond ^ 1) if wire == own else g.either(enable, cond)
        return self._chosen(rows[1:], rows[0][2]), g.either(enable, reset), reset


_BITWISE = {"~": "", "&": "both", "|": "either", "^": "differ"}


#: Operators that add.
_SUMS = {"+", "-", "*"}


def _products(g: _Gates, a: list[int], b: list[int]) -> list[_Summand]:
    return [_Summand([0] * i + [g.both(bit, x) for x in a[: len(a) - i]]) for i, bit in enumerate(b) if bit]


def _shift(g: _Gates, a: list[int], b: list[int], fill: Callable[[list[int]], int], left: bool) -> list[int]:
    beyond = fill(a)
    for k, bit in enumerate(b):
        by = min(1 << k, len(a))
        moved = [beyond] * by + a[: len(a) - by] if left else a[by:] + [beyond] * by
        a = [g.choose(bit, x, y) for x, y in zip(moved, a, strict=True)]
    return a


def _inverted(a: Sequence[int]) -> list[int]:
    return [wire ^ 1 for wire in a]


def _signed(a: list[int]) -> list[int]:
    return [*a[:-1], a[-1] ^ 1]


def _equal(g: _Gates, a: list[int], b: list[int]) -> int:
    return g.all_of([g.differ(x, y) ^ 1 for x, y in zip(a, b, strict=True)])


#: From the operands of each operator on words to the bits of its result.
_WORDS: dict[str, Callable[..., list[int]]] = {
    "b": lambda g, a: [g.any_of(a)],
    "r|": lambda g, a: [g.any_of(a)],
    "r&": lambda g, a: [g.all_of(a)],
    "r^": lambda g, a: [g.parity(a)],
    "-": lambda g, a, b=None: g.add([0] * len(a), _inverted(a), 1) if b is None else g.add(a, _inverted(b), 1),
    "+": lambda g, a, b: g.add(a, b, 0),
    "*": lambda g, a, b: g.total(_products(g, a, b), len(a)),
    "<<": lambda g, a, b: _shift(g, a, b, lambda a: 0, True),
    "u>>": lambda g, a, b: _shift(g, a, b, lambda a: 0, False),
    "s>>": lambda g, a, b: _shift(g, a, b, lambda a: a[-1], False),
    "==": lambda g, a, b: [_equal(g, a, b)],
    "!=": lambda g, a, b: [_equal(g, a, b) ^ 1],
    "u<": lambda g, a, b: [g.below(a, b)],
    "u>": lambda g, a, b: [g.below(b, a)],
    "u<=": lambda g, a, b: [g.below(b, a) ^ 1],
    "u>=": lambda g, a, b: [g.below(a, b) ^ 1],
    "s<": lambda g, a, b: [g.below(_signed(a), _signed(b))],
    "s>": lambda g, a, b: [g.below(_signed(b), _signed(a))],
    "s<=": lambda g, a, b: [g.below(_signed(b), _signed(a)) ^ 1],
    "s>=": lambda g, a, b: [g.below(_signed(a), _signed(b)) ^ 1],
}


def _read_by_operator(its: _Cells, cell: Any, net: int) -> list[int]:
    bit = net & 0xFFFF
    if cell.operator in _BITWISE:
        return [value[bit] for value in cell.inputs]
    if cell.operator == "m":
        s, a, b = cell.inputs
        return [s[0], a[bit], b[bit]]
    return [net for value in cell.inputs for net in value]


def _read_by_assignments(its: _Cells, cell: Any, net: int) -> list[int]:
    found = [cell.default[net & 0xFFFF]]
    for pair in its.assigned(net >> 16, net & 0xFFFF):
        found += pair
    return found


#: The nets that an output of a cell depends on at once, and what makes its wires; other cells are sources.
_READS: dict[type, Callable[[_Cells, Any, int], Sequence[int]]] = {
    _nir.Operator: _read_by_operator,
    _nir.Part: lambda its, cell, net: [*cell.value, *cell.offset],
    _nir.Matches: lambda its, cell, net: cell.value,
    _nir.PriorityMatch: lambda its, cell, net: [cell.en, *cell.inputs],
    _nir.AssignmentList: _read_by_assignments,
    _nir.AsyncReadPort: lambda its, cell, net: cell.addr,
    _nir.Instance: lambda its, cell, net: [read for pin in cell.ports_i.values() for read in pin],
}
_MAKES: dict[type, Callable[[_Reader, Any, int], None]] = {
    _nir.Operator: _Reader.operator,
    _nir.Part: _Reader.part,
    _nir.Matches: _Reader.matches,
    _nir.PriorityMatch: _Reader.priority,
    _nir.AssignmentList: _Reader.assignments,
    _nir.AsyncReadPort: _Reader.read,
    _nir.Instance: _Reader.table,
}


@dataclass(slots=True)
class _Found:
    """What the outputs of a netlist need. taken: the node of each flip-flop, and what it takes."""

    reader: _Reader
    nodes: set[int]
    ends: list[int]
    taken: dict[int, tuple[int, int, int]]
    instances: Counter[str]
    memories: list[tuple[LogicMemory, str, int]]


def _needed(cells: _Cells, constant: Mapping[int, int], same: Mapping[_Name, _Name]) -> _Found:
    reader = _Reader(cells, constant, same)
    found = _Found(reader, {0}, [], {}, Counter(), [])
    waiting: list[int] = []
    done: set[int] = set()

    def reach(nets: Iterable[int]) -> None:
        wires = [wire for wire in reader.wires(nets) if wire > 1]
        found.ends.extend(wires)
        waiting.extend(wires)

    def reach_cell(number: int) -> None:
        if number in done:
            return
        done.add(number)
        cell = reader.cells[number]
        if isinstance(cell, _nir.Instance):
            found.instances[cell.type] += 1
            reach(net for value in cell.ports_i.values() for net in value)
        elif isinstance(cell, _nir.AsyncReadPort | _nir.SyncReadPort):
            reach([*cell.addr, *([cell.en] if isinstance(cell, _nir.SyncReadPort) else [])])
            reach_cell(cell.memory)
        elif isinstance(cell, _nir.Memory):
            found.memories.append((reader.memories[number], *reader.places[number]))
            for its in map(reader.cells.__getitem__, reader.ports[number]):
                if isinstance(its, _nir.SyncWritePort):
                    reach([*its.data, *its.addr, *its.en])

    for number, cell in enumerate(reader.cells):
        if isinstance(cell, _nir.IOBuffer) and cell.o is not None:
            reach([*cell.o, cell.oe])
        elif isinstance(cell, _nir.Instance) and not cell.ports_o:
            reach_cell(number)
    while waiting:
        node = waiting.pop() >> 1
        if node in found.nodes:
            continue
        found.nodes.add(node)
        waiting.extend(reader.gates.reads[node])
        if node in reader.takes:
            found.taken[node] = reader.takes[node]()
            waiting.extend(found.taken[node])
        elif node in reader.owner:
            reach_cell(reader.owner[node])
    return found


def _fixed(found: _Found) -> tuple[dict[int, int], dict[_Name, _Name]]:
    """The flip-flops (nets) that never change, and their bit; and those that are always as another one, and that."""
    constant: dict[int, int] = {}
    same: dict[_Name, _Name] = {}
    first: dict[tuple[int, int, int, int], _Name] = {}
    for node, (value, enable, reset) in found.taken.items():
        name = found.reader.names.get(node)
        if name is None:
            continue
        start = found.reader.start(name)
        if isinstance(name, int) and (value in (start, 2 * node) or enable == 0) and reset in (0, 1):
            constant[name] = start
        elif (other := first.setdefault((value, enable, reset, start), name)) != name:
            same[name] = other
    return constant, same


def size_of(netlist: Any, family: str) -> Size:
    """The size of a netlist of :func:`netlist_of` on devices of a family of :data:`rdahw.hdl.memory_map.RAMS`."""
    cells = _Cells(netlist, family)
    constant: dict[int, int] = {}
    same: dict[_Name, _Name] = {}
    while True:
        found = _needed(cells, constant, same)
        more, others = _fixed(found)
        if not more and not others:
            return _cover(found, family)
        constant |= more
        same |= others


class _Cuts:
    """Look-up tables for gates: of each gate some cuts, sets of up to four nodes that it is a function of.

    They are unions of cuts of the nodes that the gate reads. A node costs a table and a part of what the leaves of its
    cut cost, which all readers of a leaf share; the cheapest cuts are kept, and the earliest.
    """

    def __init__(self, gates: _Gates, nodes: Sequence[int], readers: Mapping[int, int]) -> None:
        self._kinds, self._reads, self._readers = gates.kinds, gates.reads, readers
        self._costs = [0.0] * len(gates.kinds)
        #: Of tables, one behind the other, up to each node.
        self._levels = [0.0] * len(gates.kinds)
        self.best: dict[int, frozenset[int]] = {}
        #: The cuts of each gate that are kept.
        self.ways: dict[int, list[frozenset[int]]] = {}
        #: What a reader of a node may read in its place: the node, or the leaves of one of its cuts.
        self._instead: dict[int, list[frozenset[int]]] = {}
        #: What each conjunction or parity is of, in any order.
        self.wide: dict[int, frozenset[int]] = {}
        chains = [0.0] * len(gates.kinds)
        for node in nodes:
            kind, levels = gates.kinds[node], self._levels
            if kind in _LOGIC:
                self._join(node)
            elif kind != _SOURCE:
                own = [levels[wire >> 1] for wire in gates.reads[node]]
                if kind in (_SUM, _CARRY) and gates.kinds[gates.reads[node][-1] >> 1] == _SUM:
                    own[-1] = chains[gates.reads[node][-1] >> 1]
                chains[node] = max(own, default=0.0) + 1 / _CARRY_BITS
                levels[node] = max(own, default=0.0) + 1

    def _join(self, node: int) -> None:
        """Find the cuts of a gate."""
        kinds, reads, cost, level = self._kinds, self._reads, self._costs.__getitem__, self._levels.__getitem__
        first, *rest = [self._instead_of(wire >> 1) for wire in reads[node]]
        found = set(first)
        for ways in rest:
            found = {wider for one in found for way in ways if len(wider := one | way) <= _INPUTS}
        ranked = sorted([(sum(map(cost, cut)), max(map(level, cut)), sorted(cut)) for cut in found])
        earliest = min(ranked, key=_LEVEL)
        kept = ranked[:_CUTS]
        if earliest not in kept:
            kept.append(earliest)
        cuts = self.ways[node] = [frozenset(cut) for _, _, cut in kept]
        self.best[node] = cuts[0]
        self._costs[node] = (1 + ranked[0][0]) / max(1, self._readers[node])
        if kinds[node] in (_AND, _XOR):
            joined = frozenset[int]().union(*(self._parts(kinds[node], wire) for wire in reads[node]))
            self.wide[node] = joined if len(joined) <= _WIDE else frozenset(reads[node])
        self._levels[node] = 1 + min(earliest[1], self._tree(node))

    def _instead_of(self, node: int) -> list[frozenset[int]]:
        if node not in self._instead:
            self._instead[node] = [frozenset((node,)), *self.ways.get(node, ())]
        return self._instead[node]

    def _parts(self, kind: int, wire: int) -> frozenset[int]:
        """What a wire is a conjunction or parity of; else the wire itself."""
        its = wire >> 1
        is_such = its in self.wide and self._kinds[its] == kind and (kind == _XOR or not wire & 1)
        return self.wide[its] if is_such else frozenset((wire,))

    def _tree(self, node: int) -> float:
        """The level of the last table but one of a tree, if a gate can be one."""
        if node not in self.wide:
            return inf
        return last_of_tree([(self._levels[wire >> 1], wire, 0) for wire in self.wide[node]], _INPUTS, 1.0)[0]

    def tables(self, ends: Iterable[int]) -> dict[int, frozenset[int]]:
        """The gates that are look-up tables if the nodes ``ends`` are needed, and what each reads."""
        found: dict[int, frozenset[int]] = {}
        waiting = list(ends)
        while waiting:
            node = waiting.pop()
            if node in self.best and node not in found:
                found[node] = self.best[node]
                waiting += self.best[node]
        return found


def _slowest(found: _Found, cuts: _Cuts, tables: Mapping[int, frozenset[int]], family: str) -> tuple[Path, Path]:
    """The slowest paths of a netlist whose gates are joined to ``tables``."""
    gates, nodes = found.reader.gates, sorted(found.nodes)
    kinds, reads = gates.kinds, gates.reads
    controls = {wire >> 1 for wire in found.ends}
    readers: Counter[int] = Counter(wire >> 1 for wire in found.ends)
    for leaves in tables.values():
        readers.update(leaves)
    for node in nodes:
        if kinds[node] in (_SUM, _CARRY, _CELL, _READ):
            readers.update(wire >> 1 for wire in reads[node])
    for value, enable, reset in found.taken.values():
        readers.update((value >> 1, enable >> 1, reset >> 1))
        controls.update((enable >> 1, reset >> 1))
    timing = Timing(DELAYS[family], readers, len(kinds))
    for node in nodes:
        if kinds[node] == _SOURCE:
            if node in found.taken:
                timing.register(node)
            elif isinstance(found.reader.cells[found.reader.owner.get(node, 0)], _PORTS):
                timing.memory(node)
        elif kinds[node] in (_SUM, _CARRY):
            own = [wire >> 1 for wire in reads[node]]
            chain = own.pop() if kinds[own[-1]] == _SUM else 0
            timing.carry(node, own, chain)
        else:
            own = [wire >> 1 for wire in reads[node]]
            wide = [wire >> 1 for wire in cuts.wide.get(node, ())]
            timing.table(node, cuts.ways.get(node, [own]), wide, _INPUTS)
    count = len(tables) + sum(kinds[node] == _CELL for node in nodes)
    values = {value >> 1 for value, _, _ in found.taken.values()}
    return timing.slowest(values, count), timing.slowest(controls, count, control=1)


def _cover(found: _Found, family: str) -> Size:
    """Join gates to look-up tables, and count."""
    gates, nodes = found.reader.gates, sorted(found.nodes)
    kinds, reads = gates.kinds, gates.reads
    readers: Counter[int] = Counter()
    for node in nodes:
        readers.update(wire >> 1 for wire in reads[node])
    readers.update(wire >> 1 for wire in found.ends)
    by_registers: Counter[int] = Counter()
    controls = set()
    for value, enable, reset in found.taken.values():
        by_registers[value >> 1] += 1
        controls.add((enable, reset))
    readers.update(by_registers)
    readers.update(wire >> 1 for pair in controls for wire in pair)
    cuts = _Cuts(gates, nodes, readers)
    ends = {wire >> 1 for wire in found.ends} | {wire >> 1 for its in found.taken.values() for wire in its}
    inner = {wire >> 1 for node in nodes if kinds[node] in (_SUM, _CARRY, _CELL, _READ) for wire in reads[node]}
    tables = cuts.tables(ends | inner)
    muxes = sum(kinds[node] == _MUX and cut == {wire >> 1 for wire in reads[node]} for node, cut in tables.items())
    alone = sum(kinds[value >> 1] == _SOURCE or readers[value >> 1] > 1 for value, _, _ in found.taken.values())
    return Size(
        tables=dict(sorted(Counter(len(cut) for cut in tables.values()).items())),
        muxes=muxes,
        cells=sum(kinds[node] == _CELL for node in nodes),
        carries=sum(kinds[node] in (_SUM, _CARRY) for node in nodes),
        registers=len(found.taken),
        alone=alone,
        controls=len(controls),
        instances=dict(sorted(found.instances.items())),
        paths=_slowest(found, cuts, tables, family),
        memories=found.memories,
    )
