"""What the gateware of an ensemble needs of a board's memories and logic, before anything is synthesised.

The blocks of memory are counted as Yosys makes them: each memory in the form of a block that takes fewest, and a small
one in logic; only of tables that are never written it sometimes makes fewer. Logic cells are only known to be no fewer
than a bound, or, of tables in logic, to be about so many, so a design that passes may still be too large.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from rdahw.families.ensemble.circuits import MAX_STEP_BITS, score_bits
from rdahw.families.ensemble.spec import EnsembleSpec
from rdahw.hdl.table_words import word_octets

__all__ = ["Memories", "Needs", "folded_needs", "is_circuit", "rom_needs", "table_needs"]

#: (words, bits) that a block of memory can have, by its bits.
_SHAPES: Mapping[int, tuple[tuple[int, int], ...]] = {
    4096: ((256, 16), (512, 8), (1024, 4), (2048, 2)),
    18_432: ((512, 36), (1024, 18), (2048, 9), (4096, 4), (8192, 2), (16_384, 1)),
}
#: Up to so many bits a block Yosys makes a memory that is written, and one that is not, of logic.
_LOGIC_BITS, _LOGIC_ROM_BITS = {4096: 64, 18_432: 2048}, {4096: 1024, 18_432: 2048}
#: The host link with its UART: a block of memory, and at least so many logic cells.
_LINK_CELLS = 600


class Memories(Protocol):
    """The memories of a board: the bits of a block, and how many blocks of large memory it has."""

    @property
    def ebr_bits(self) -> int: ...
    @property
    def spram(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Needs:
    """Blocks of memory and of large memory, and logic cells: no fewer than that, or about so many (``is_estimate``)."""

    ebr: int
    spram: int
    logic_cells: int
    is_estimate: bool = False


def table_needs(spec: EnsembleSpec, memories: Memories, flash: bool = False) -> Needs:
    """What a memory trainer needs behind the host link, and to train from a ``flash``; its tables are in large memory
    where there is some."""
    octets, words = word_octets(spec), spec.tables << spec.inputs
    width, address_bits = spec.classes * spec.counter, max(1, (words - 1).bit_length())
    # The words put by for the second pass.
    ebr = _example_blocks(spec, memories) + _blocks(memories, spec.tables, width + address_bits)
    ebr += flash  # what is expected in the header of the image
    spram = 0
    if memories.spram:
        from rdahw.hdl.table_memory import spram_blocks

        columns, rows = spram_blocks(words, octets)
        spram = columns * rows
    else:
        ebr += _blocks(memories, words, 8 * octets)
    # A cell for each bit of the sums, and of the words that come, are changed and go.
    return Needs(ebr, spram, _LINK_CELLS + _sum_bits(spec) + 3 * width)


def rom_needs(spec: EnsembleSpec, memories: Memories) -> Needs:
    """What is needed behind the host link to predict from tables in block RAM."""
    width = spec.classes * _kept_bits(spec)
    ebr = _example_blocks(spec, memories) + _blocks(memories, spec.tables << spec.inputs, width, rom=True)
    return Needs(ebr, 0, _LINK_CELLS + _sum_bits(spec))


def folded_needs(spec: EnsembleSpec, memories: Memories) -> Needs:
    """What the tables take in logic, with their sums and the link, which holds an example."""
    # A bit of a counter is a tree of multiplexers over look-up tables of four inputs.
    lookup = (1 << max(4, spec.inputs) - 3) - 1
    adder = 2 if spec.sign else score_bits(spec)
    tables = spec.tables * spec.classes * (_kept_bits(spec) * lookup + adder)
    return Needs(0, 0, _LINK_CELLS + spec.input_bits + tables, is_estimate=True)


def is_circuit(spec: EnsembleSpec) -> bool:
    """Whether the tables are few enough to be a circuit."""
    return (spec.tables << spec.inputs) * spec.classes * score_bits(spec) <= MAX_STEP_BITS


def _kept_bits(spec: EnsembleSpec) -> int:
    """The bits of a counter that predictions need."""
    return 1 if spec.sign else spec.counter


def _sum_bits(spec: EnsembleSpec) -> int:
    return spec.classes * (spec.tables * ((1 << _kept_bits(spec)) - 1)).bit_length()


def _example_blocks(spec: EnsembleSpec, memories: Memories) -> int:
    """Blocks of memory for all that brings the tables their inputs."""
    byte_bits = max(1, ((spec.input_bits + 7) // 8 - 1).bit_length())
    return (
        1  # of the link
        + spec.inputs * _blocks(memories, 2 << byte_bits, 8)  # both examples, once for each input of a table
        + _blocks(memories, spec.tables, spec.inputs * (byte_bits + 3), rom=True)  # the wiring
    )


def _blocks(memories: Memories, words: int, bits: int, *, rom: bool = False) -> int:
    count = min(-(-words // depth) * -(-bits // width) for depth, width in _SHAPES[memories.ebr_bits])
    by_logic = (_LOGIC_ROM_BITS if rom else _LOGIC_BITS)[memories.ebr_bits]
    return 0 if words * bits < by_logic * count else count
