"""About what synthesis makes of a design, in a fraction of its time: how many look-up tables, carries and flip-flops, in
how many levels, and which memories.

The netlist of Amaranth is broken into gates of two and three inputs, as Yosys does: constants are folded, equal gates
are one, the enable and the reset of flip-flops cost no tables, and what no output needs is left out. Then each gate that
a single other one reads is joined with it while the two have at most four inputs. Yosys restructures logic as well, so
its netlist is another one, but nearly proportional to this: :mod:`rdahw.boards.estimate` has the factors.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from amaranth.hdl import Fragment, _ir, _nir  # type: ignore[import-untyped]

from rdahw.hdl.memory_map import BLOCK, LOGIC, LogicMemory, mapped

__all__ = ["Size", "netlist_of", "size_of"]

#: Kinds of nodes. A source is an input, a flip-flop, or an output of a memory or of an instance; a sum is a bit of an
#: adder, a carry what a comparison gives, and a cell a look-up table that the design instantiates.
_SOURCE, _AND, _XOR, _MUX, _SUM, _CARRY, _CELL = range(7)
#: The inputs of a look-up table.
_INPUTS = 4
#: Look-up tables as cells of any family.
_TABLE = re.compile(r"(SB_)?LUT[1-6]")
#: A carry passes so many bits in the time of a look-up table with its wires.
_CARRY_BITS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """What :func:`size_of` counts.

    tables: look-up tables, by how many inputs they have. cells: those that the design instantiates. carries: bits of adders and comparisons. registers:
    flip-flops. alone: those whose value comes from no table or adder that they alone read. controls: different enables
    and resets. instances: cells by their type, as the design names them. levels: of look-up tables on the longest path.
    memories: all that something reads, where each is, and in how many blocks.
    """

    tables: Mapping[int, int]
    cells: int
    carries: int
    registers: int
    alone: int
    controls: int
    instances: Mapping[str, int]
    levels: float
    memories: Sequence[tuple[LogicMemory, str, int]]


def netlist_of(component: Any, platform: Any) -> Any:
    """The netlist of a component for a platform of Amaranth."""
    fragment = Fragment.get(component, platform)
    netlist = _nir.Netlist()
    _ir._emit_netlist(netlist, fragment.prepare(ports=()))
    netlist.resolve_all_nets()
    return netlist


class _Gates:
    """Gates as numbered nodes. A wire is twice the number of its node, plus 1 if it is inverted; 0 and 1 are constant."""

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

    def below(self, a: Sequence[int], b: Sequence[int]) -> int:
        """Whether the number a is below b."""
        chain = 0
        for x, y in zip(a, b, strict=True):
            if not chain and x == y:
                continue
            chain = self.once(_SUM, x, y ^ 1, chain or 1)
        return self.once(_CARRY, chain) if chain else 0


class _Reader:
    """Makes gates of the nets of a netlist, when they are asked for.

    family: of devices, which decides where memories are. constant: the flip-flops that never change, and their bit.
    """

    def __init__(self, netlist: Any, family: str, constant: Mapping[int, int]) -> None:
        self.gates = _Gates()
        self.cells = netlist.cells
        self.known: dict[int, int] = {0: 0, 1: 1, **constant}
        #: By node: what a flip-flop takes, as (next, enable, reset) wires, and its net; and the cell of another source.
        self.takes: dict[int, Callable[[], tuple[int, int, int]]] = {}
        self.nets: dict[int, int] = {}
        self.owner: dict[int, int] = {}
        self.ports: dict[int, list[int]] = defaultdict(list)
        for number, cell in enumerate(self.cells):
            if isinstance(cell, _nir.SyncWritePort | _nir.AsyncReadPort | _nir.SyncReadPort):
                self.ports[cell.memory].append(number)
        #: The flip-flops (cells) that take what a port (cell) reads and nothing else.
        self._registered = dict(self._find_registered())
        self.memories = {number: self._memory(number) for number in self.ports}
        self.places = {number: mapped(its, family) for number, its in self.memories.items()}
        self._words: dict[int, list[list[int]]] = {}

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

    def _memory(self, number: int) -> LogicMemory:
        cell, ports = self.cells[number], [self.cells[its] for its in self.ports[number]]
        writes = [its for its in ports if isinstance(its, _nir.SyncWritePort)]
        reads = [its for its in ports if not isinstance(its, _nir.SyncWritePort)]
        registered = {*self._registered.values()}
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
            missing = [read for read in reads(cell, its & 0xFFFF) if read not in known]
            if missing:
                waiting += missing
                continue
            _MAKES[type(cell)](self, cell, its)
        return known[net]

    def _source(self, net: int, cell: Any) -> None:
        bit = net & 0xFFFF
        wire = self.known[net] = self.gates.new(_SOURCE)
        node = wire >> 1
        if isinstance(cell, _nir.FlipFlop):
            port = self._registered.get(net >> 16)
            if port is not None and self._place(port) == BLOCK:
                self.owner[node] = port
            else:
                self.takes[node], self.nets[node] = partial(self._taken, net), net
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
                        word[bit] = self.gates.new(_SOURCE)
                        self.takes[word[bit] >> 1] = partial(self._written, number, at, bit)
        return self._words[number]

    def _written(self, number: int, at: int, bit: int) -> tuple[int, int, int]:
        g, value, enable = self.gates, 0, 0
        for its in map(self.cells.__getitem__, self.ports[number]):
            if isinstance(its, _nir.SyncWritePort):
                address = [self.wire(net) ^ (~at >> i & 1) for i, net in enumerate(its.addr)]
                here = g.both(g.all_of(address), self.wire(its.en[bit]))
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
        if self._place(net >> 16) != LOGIC:
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
        made = _WORDS[kind](g, *values)
        for i, wire in enumerate(made):
            known[(net >> 16) << 16 | i] = wire

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
        enable, before = known[cell.en], []
        for i, read in enumerate(cell.inputs):
            own = [earlier for earlier, wire in before if not self._exclusive(earlier, read)]
            others = g.any_of([known[earlier] for earlier in own])
            known[(net >> 16) << 16 | i] = g.both(enable, g.both(known[read], others ^ 1))
            before.append((read, known[read]))

    def _exclusive(self, one: int, other: int) -> bool:
        """Whether two conditions are patterns of one value that exclude each other."""
        a, b = self.cells[one >> 16], self.cells[other >> 16]
        if not (isinstance(a, _nir.Matches) and isinstance(b, _nir.Matches) and a.value == b.value):
            return False
        return all(
            any({x, y} == {"0", "1"} for x, y in zip(p, q, strict=True)) for p in a.patterns for q in b.patterns
        )

    def assignments(self, cell: Any, net: int) -> None:
        """A bit of what several assignments give, one after the other."""
        bit, known = net & 0xFFFF, self.known
        wire = known[cell.default[bit]]
        for its in cell.assignments:
            if 0 <= bit - its.start < len(its.value):
                wire = self.gates.choose(known[its.cond], known[its.value[bit - its.start]], wire)
        known[net] = wire

    def _taken(self, net: int) -> tuple[int, int, int]:
        """What a flip-flop takes, with the enable and the reset that Yosys finds in its assignments."""
        g, taken = self.gates, self.cells[net >> 16].data[net & 0xFFFF]
        cell = self.cells[taken >> 16]
        if not isinstance(cell, _nir.AssignmentList):
            return self.wire(taken), 1, 0
        bit, own, reset = taken & 0xFFFF, self.known[net], 0
        rows = [
            (self.wire(its.cond), self.wire(its.value[bit - its.start]))
            for its in cell.assignments
            if 0 <= bit - its.start < len(its.value)
        ]
        default = self.wire(cell.default[bit])
        level = rows[-1][1] if rows else None
        while len(rows) > 1 and rows[-1][1] == level and level in (0, 1):
            reset = g.either(reset, rows.pop()[0])
        rows = [row for row in rows if row[0] != 0]
        value, enable = default, 1
        if default == own and rows:
            enable = 0
            for cond, wire in rows:
                enable = g.both(enable, cond ^ 1) if wire == own else g.either(enable, cond)
            (_, value), rows = rows[0], rows[1:]
            enable = g.either(enable, reset)
        for cond, wire in rows:
            value = g.choose(cond, wire, value)
        return value, enable, reset


_BITWISE = {"~": "", "&": "both", "|": "either", "^": "differ"}


def _multiply(g: _Gates, a: list[int], b: list[int]) -> list[int]:
    total = [0] * len(a)
    for i, bit in enumerate(b):
        row = [0] * i + [g.both(bit, x) for x in a[: len(a) - i]]
        total = g.add(total, row, 0)
    return total


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
    "*": _multiply,
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


def _read_by_operator(cell: Any, bit: int) -> list[int]:
    if cell.operator in _BITWISE:
        return [value[bit] for value in cell.inputs]
    if cell.operator == "m":
        s, a, b = cell.inputs
        return [s[0], a[bit], b[bit]]
    return [net for value in cell.inputs for net in value]


def _read_by_assignments(cell: Any, bit: int) -> list[int]:
    found = [cell.default[bit]]
    for its in cell.assignments:
        if 0 <= bit - its.start < len(its.value):
            found += (its.cond, its.value[bit - its.start])
    return found


#: The nets that an output of a cell depends on at once, and what makes its wires; other cells are sources.
_READS: dict[type, Callable[[Any, int], Sequence[int]]] = {
    _nir.Operator: _read_by_operator,
    _nir.Part: lambda cell, bit: [*cell.value, *cell.offset],
    _nir.Matches: lambda cell, bit: cell.value,
    _nir.PriorityMatch: lambda cell, bit: [cell.en, *cell.inputs],
    _nir.AssignmentList: _read_by_assignments,
    _nir.AsyncReadPort: lambda cell, bit: cell.addr,
    _nir.Instance: lambda cell, bit: [net for pin in cell.ports_i.values() for net in pin],
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


def _needed(netlist: Any, family: str, constant: Mapping[int, int]) -> _Found:
    reader = _Reader(netlist, family, constant)
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


def _constants(found: _Found) -> dict[int, int]:
    """The flip-flops (nets) that never change, and their bit."""
    constant = {}
    for node, (value, enable, reset) in found.taken.items():
        net = found.reader.nets.get(node)
        if net is None:
            continue
        start = found.reader.cells[net >> 16].init >> (net & 0xFFFF) & 1
        if (value == start or value == 2 * node or enable == 0) and reset in (0, 1):
            constant[net] = start
    return constant


def size_of(netlist: Any, family: str) -> Size:
    """The size of a netlist of :func:`netlist_of` on devices of a family of :data:`rdahw.hdl.memory_map.RAMS`."""
    constant: dict[int, int] = {}
    while True:
        found = _needed(netlist, family, constant)
        more = _constants(found)
        if not more:
            break
        constant |= more
    return _cover(found)


def _cover(found: _Found) -> Size:
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
    leaves: dict[int, frozenset[int]] = {}
    joined: set[int] = set()
    levels: list[float] = [0.0] * len(kinds)
    chains: list[float] = [0.0] * len(kinds)
    for node in nodes:
        kind = kinds[node]
        if kind == _SOURCE:
            continue
        if kind == _CELL:
            levels[node] = 1 + max((levels[wire >> 1] for wire in reads[node]), default=0.0)
            continue
        before = [wire >> 1 for wire in reads[node] if wire > 1]
        if kind in (_SUM, _CARRY):
            own = [levels[its] for its in before]
            if kinds[before[-1]] == _SUM if before else False:
                own[-1] = chains[before[-1]]
            chains[node] = max(own, default=0.0) + 1 / _CARRY_BITS
            levels[node] = max(own, default=0.0) + 1
            continue
        cut = frozenset(before)
        for its in sorted(before, key=lambda n: len(leaves.get(n, ()))):
            if readers[its] == 1 and its in leaves and len(wider := cut - {its} | leaves[its]) <= _INPUTS:
                cut = wider
                joined.add(its)
        leaves[node] = cut
        levels[node] = 1 + max((levels[its] for its in cut), default=0.0)
    tables = Counter(len(cut) for node, cut in leaves.items() if node not in joined)
    alone = sum(
        not (kinds[value >> 1] != _SOURCE and readers[value >> 1] == 1) for value, _, _ in found.taken.values()
    )
    ends = {wire >> 1 for wire in found.ends} | {wire >> 1 for its in found.taken.values() for wire in its}
    return Size(
        tables=dict(sorted(tables.items())),
        cells=sum(kinds[node] == _CELL for node in nodes),
        carries=sum(kinds[node] in (_SUM, _CARRY) for node in nodes),
        registers=len(found.taken),
        alone=alone,
        controls=len(controls),
        instances=dict(sorted(found.instances.items())),
        levels=max((levels[node] for node in ends), default=0.0),
        memories=found.memories,
    )
