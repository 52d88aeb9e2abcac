"""What the slowest paths of a netlist of :mod:`rdahw.hdl.quick_synthesis` are made of.

A path begins at a register or a memory and ends at one. Which path is the slowest depends on the device: in an ECP5 a
memory takes as long as eight look-up tables, and of a Gowin device nextpnr does not know how long a memory takes. So
there are delays for each family of devices, of a device and a grade in the middle of it. They choose the paths, and
:mod:`rdahw.boards.estimate` has factors for their parts, which are fitted to builds near these delays. The delays have
to be near the factors, too: if they are not, the chosen path is not the one that the factors say is the slowest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from heapq import heapify, heappop, heappush
from math import inf, log2

__all__ = ["DELAYS", "SMALL", "Delays", "Path", "Timing", "last_of_tree"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Delays:
    """What the parts of a path take, in units of :attr:`rdahw.boards.board.Board.level_ns`.

    start: from the clock to the first wire, and the set-up time at the last one. memory: more than that if it begins at
    a memory; infinite if the placer leaves out such paths. table: a look-up table with its wire. fanout: more for a
    wire, for each time that its readers double. enter: from a wire into a carry chain; bit: from a bit of the chain to
    the next one; leave: from the chain to a wire. control: more if it ends at the enable or reset of a register, or at
    a memory. spread: more for a table and for a way into a chain, for each time that the tables of the design double
    beyond :data:`SMALL`, as its parts are farther from each other. ends: more for each time that the ends of paths
    double that take nearly as long, as the placer makes one of them slower than it has to be.
    """

    start: float
    memory: float
    table: float
    fanout: float
    enter: float
    bit: float
    leave: float
    control: float
    spread: float
    ends: float


#: The look-up tables of a small design.
SMALL = 512
#: Paths that take this part of the slowest one take nearly as long.
NEARLY = 0.8
_NAMES = ("start", "memory", "table", "fanout", "enter", "bit", "leave", "control", "spread", "ends")
#: By family of devices.
DELAYS: Mapping[str, Delays] = {
    family: Delays(**dict(zip(_NAMES, its, strict=True)))
    for family, its in {
        "ice40": (0.35, 0.82, 0.39, 0.09, 0.26, 0.073, 0.25, 0.35, 0.037, 0.1),
        "ecp5": (1.1, 3.5, 0.29, 0.06, 0.53, 0.045, 0.29, 0.05, 0.1, 0.1),
        "gowin": (0.1, inf, 0.4, 0.04, 0.4, 0.03, 0.3, 0.9, 0.05, 0.1),
        "nexus": (1.1, 2.1, 0.29, 0.06, 0.53, 0.045, 0.29, 0.05, 0.1, 0.1),
        "gatemate": (1.0, 0.4, 0.45, 0.05, 0.3, 0.03, 0.2, 0.05, 0.06, 0.1),
    }.items()
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """How many of each part of :class:`Delays` a path has. fanout, spread: sums over its wires. ends: how often 1 is
    doubled for their number."""

    start: int = 1
    memory: int = 0
    table: int = 0
    fanout: float = 0.0
    enter: int = 0
    bit: int = 0
    leave: int = 0
    control: int = 0
    spread: float = 0.0
    ends: float = 0.0

    @property
    def counts(self) -> dict[str, float]:
        """The parts by name."""
        return asdict(self)


def last_of_tree(rest: list[tuple[float, int, int]], inputs: int, table: float) -> tuple[float, int, int]:
    """When the last look-up table of a tree can begin, the leaf on its slowest path, and how many tables that has. The
    earliest wires are joined first.

    rest: of each wire when it has its value, its leaf, and how many tables are between. table: the delay of a table,
    which has so many ``inputs``.
    """
    heapify(rest)
    size = (len(rest) - 2) % (inputs - 1) + 2
    while True:
        time, leaf, tables = max(heappop(rest) for _ in range(min(size, len(rest))))
        if not rest:
            return time, leaf, tables + 1
        heappush(rest, (time + table, leaf, tables + 1))
        size = inputs


class Timing:
    """When the wires of a netlist have their values, and from where.

    readers: by node, how many read it; of a bit of a carry chain the next one, too. Nodes are given in order, each
    after those that it depends on.
    """

    def __init__(self, delays: Delays, readers: Mapping[int, int], size: int) -> None:
        self._delays = delays
        self._wires = [0.0] * size
        for node, count in readers.items():
            self._wires[node] = log2(max(1, count))
        #: Of each node: when its wire has its value, and where that comes from with how many tables.
        self._times = [-inf] * size
        self._from: list[tuple[int, int]] = [(0, 0)] * size
        #: Of a bit of a carry chain: when its carry is there, and where that comes from.
        self._carries = [-inf] * size
        self._before: list[tuple[int, bool]] = [(0, False)] * size
        self._memories: set[int] = set()

    def _at(self, node: int, time: float) -> None:
        self._times[node] = time + self._delays.fanout * self._wires[node]

    def register(self, node: int) -> None:
        """A register's output."""
        self._at(node, 0.0)

    def memory(self, node: int) -> None:
        """A memory's output."""
        self._memories.add(node)
        self._at(node, self._delays.memory if self._delays.memory < inf else -inf)

    def table(self, node: int, ways: Iterable[Collection[int]], wide: Collection[int], inputs: int) -> None:
        """A gate. ways: each is what a look-up table reads that is this gate. wide: if the gate is a conjunction or
        parity of several wires, these, and a tree of tables of so many ``inputs`` is possible, too."""
        times = self._times
        latest = (max((times[leaf], leaf) for leaf in way) for way in ways)
        time, leaf = min(latest)
        tables = 1
        if len(wide) > inputs:
            time, leaf, tables = min(
                (time, leaf, 1), last_of_tree([(times[leaf], leaf, 0) for leaf in wide], inputs, self._delays.table)
            )
        self._from[node] = leaf, tables
        self._at(node, time + self._delays.table)

    def carry(self, node: int, reads: Sequence[int], chain: int) -> None:
        """A bit of a carry chain. chain: the bit before it, 0 if it is the first."""
        time, leaf = max(((self._times[leaf], leaf) for leaf in reads), default=(-inf, 0))
        carry, before = time + self._delays.enter, (leaf, False)
        if chain and self._carries[chain] + self._delays.bit > carry:
            carry, before = self._carries[chain] + self._delays.bit, (chain, True)
        self._carries[node], self._before[node] = carry, before
        self._at(node, carry + self._delays.leave)

    def slowest(self, ends: Collection[int], size: int, control: int = 0) -> Path:
        """The slowest path to one of the nodes ``ends``. size: how many look-up tables the design has. control: of the
        path."""
        times = [(self._times[node], node) for node in ends]
        slowest, node = max(times, default=(-inf, 0))
        if slowest == -inf:
            return Path()
        near = log2(sum(time >= NEARLY * slowest for time, _ in times))
        parts: Counter[str] = Counter(control=control)
        fanout, in_chain = 0.0, False
        while True:
            fanout += 0.0 if in_chain else self._wires[node]
            if self._carries[node] > -inf:
                parts["leave"] += not in_chain
                node, in_chain = self._before[node]
                parts["bit" if in_chain else "enter"] += 1
            elif self._from[node][1]:
                node, tables = self._from[node]
                parts["table"] += tables
                in_chain = False
            else:
                break
        spread = (parts["table"] + parts["enter"]) * log2(max(size, SMALL) / SMALL)
        memory = int(node in self._memories)
        return Path(**parts, fanout=round(fanout, 2), spread=round(spread, 2), ends=round(near, 2), memory=memory)
