"""Where Yosys puts a memory of a design, and how many blocks it takes: the choice of its pass ``memory_libmap``.

Each kind of memory of a device has a cost, and so have multiplexers for more words than a block has, and logic for what
a block cannot do. The cheapest is taken; a memory in logic costs one for each bit, and a sixteenth if it is never
written. The kinds are those of the libraries of Yosys (``brams.txt``, ``lutrams.txt``) for each family of devices.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

__all__ = ["BLOCK", "DISTRIBUTED", "LOGIC", "RAMS", "LogicMemory", "Ram", "mapped"]

#: Where a memory is.
LOGIC, DISTRIBUTED, BLOCK = "", "distributed", "block"
#: What a bit in logic costs; of one that is never written.
_BIT, _ROM_BIT = 1.0, 1 / 16
#: What multiplexers cost for each bit that is read, and for each enable; and logic for one thing a block cannot do.
_MUX, _EMULATED = 0.5, 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LogicMemory:
    """A memory of a design.

    words, bits: its size. granule: so many bits are written together; 0: it is never written. readers: how many ports
    read it. registered: what is read is registered at once, as block memory needs it. checked: a read in the cycle of a
    write to the same word is defined. shared: it is read and written at one address. content: the words at power-up.
    """

    words: int
    bits: int
    granule: int
    readers: int
    registered: bool
    checked: bool
    shared: bool
    content: Sequence[int] = ()

    @property
    def trimmed(self) -> LogicMemory:
        """Without the bits that are the same in all words, if it is never written."""
        if self.granule or not self.content:
            return self
        ones, zeros = self.content[0], self.content[0]
        for word in self.content:
            ones, zeros = ones & word, zeros | word
        return replace(self, bits=(zeros & ~ones).bit_count())


@dataclass(frozen=True, slots=True, kw_only=True)
class Ram:
    """A kind of memory of a device: of 2**``address_bits`` units of its smallest width, in one of its ``widths``.

    place: :data:`BLOCK` or :data:`DISTRIBUTED`. byte: so many bits are written together, at most. cost: of one.
    by_width: a part of a block costs a part. shares: a port reads and writes. least: the smallest width of writes where
    bits are not written one by one. only_written: not for what is never written. blocks: how many the placer counts.
    """

    place: str = BLOCK
    address_bits: int
    widths: tuple[int, ...]
    byte: int
    cost: float
    by_width: bool = False
    shares: bool = False
    two_ports: bool = True
    least: int = 0
    only_written: bool = False
    blocks: int = 1

    def cheapest(self, memory: LogicMemory) -> tuple[float, int] | None:
        """What ``memory`` costs in this kind, and how many it takes; None if it cannot be."""
        written = memory.granule > 0
        if (self.only_written and not written) or (self.place == BLOCK and not memory.registered):
            return None
        is_shared = self.shares and memory.shared and not memory.checked
        if not (is_shared or self.two_ports or not written):
            return None
        free = memory.readers - is_shared
        copies = max(1, free)
        emulated = free + 3 * (memory.checked and self.place == BLOCK)
        best: tuple[float, int] | None = None
        for log, width in enumerate(self.widths):
            if written and width < self.least:
                continue
            rows = -(-memory.words // (1 << self.address_bits - log))
            if written:
                byte = min(self.byte or width, width)
                granules = memory.bits // memory.granule
                padded = granules * (-(-memory.granule // byte) * byte)
            else:
                granules, padded = 0, memory.bits
            count = -(-rows * padded // width) * copies
            cost = self.cost * (rows * memory.bits / width * copies if self.by_width else count)
            cost += _MUX * (rows - 1) * memory.bits * memory.readers
            cost += _MUX * rows * granules * (rows > 1) + _EMULATED * emulated
            if best is None or cost < int(best[0]):
                best = cost, count
        return best


def _gatemate(widest: int, *, shares: bool = False) -> Iterator[Ram]:
    widths = (1, 2, 5, 10, 20, 40, 80)
    for blocks, cost in ((1, 129.0), (2, 257.0)):
        its = tuple(width for width in widths if width <= widest * blocks)
        yield Ram(address_bits=13 + blocks, widths=its, byte=1, cost=cost, blocks=blocks, shares=shares)


_NINE = (1, 2, 4, 9, 18, 36)
#: The kinds of each family, in the order of its libraries.
RAMS: Mapping[str, tuple[Ram, ...]] = {
    "ice40": (Ram(address_bits=11, widths=(2, 4, 8, 16), byte=1, cost=64.0),),
    "ecp5": (
        Ram(address_bits=14, widths=_NINE[:5], byte=9, cost=128.0, shares=True),
        Ram(address_bits=14, widths=_NINE, byte=9, cost=128.0, least=9),
        Ram(place=DISTRIBUTED, address_bits=4, widths=(4,), byte=0, cost=4.0, only_written=True),
    ),
    "gowin": (
        Ram(address_bits=14, widths=_NINE, byte=9, cost=128.0, shares=True, two_ports=False),
        Ram(address_bits=14, widths=_NINE[:5], byte=9, cost=128.0, shares=True),
        Ram(address_bits=14, widths=_NINE, byte=9, cost=128.0),
        Ram(place=DISTRIBUTED, address_bits=4, widths=(4,), byte=0, cost=4.0, by_width=True, only_written=True),
    ),
    # Its memory that reads and writes at one address does so in whole words only.
    "nexus": (
        Ram(address_bits=14, widths=_NINE, byte=9, cost=128.0),
        Ram(place=DISTRIBUTED, address_bits=4, widths=(4,), byte=0, cost=4.0, only_written=True),
    ),
    "gatemate": (*_gatemate(20, shares=True), *_gatemate(40)),
}


def mapped(memory: LogicMemory, family: str) -> tuple[str, int]:
    """Where Yosys puts a memory on devices of a family, and in how many blocks, as the placer counts them."""
    its = memory.trimmed
    best: float = int(its.words * its.bits * (_BIT if its.granule else _ROM_BIT))
    place, blocks = LOGIC, 0
    for ram in RAMS[family]:
        found = ram.cheapest(its)
        if found is not None and found[0] < best:
            best, place, blocks = found[0], ram.place, found[1] * ram.blocks
    return place, blocks
