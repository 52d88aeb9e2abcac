"""The memory blocks and logic cells that gateware with tables in memory needs, estimated before synthesis.

Memory blocks are counted as Yosys maps them (:mod:`rdahw.hdl.memory_map`). Yosys can need fewer for tables that are
never written. Logic cells are a lower bound, or an estimate for tables in logic, so a design that passes may still be
too large.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Protocol

from rdahw.data.planes import parse_planes
from rdahw.families.ensemble.circuits import MAX_STEP_BITS, score_bits
from rdahw.families.ensemble.spec import EnsembleSpec
from rdahw.families.layers.spec import LayersSpec
from rdahw.hdl import layer_words
from rdahw.hdl.frontend import PixelFrontend
from rdahw.hdl.memory_map import BLOCK, LogicMemory, mapped
from rdahw.hdl.protocol import MAX_PAYLOAD, payload_of, store_bytes
from rdahw.hdl.table_words import word_octets

__all__ = [
    "LINK_CELLS",
    "Memories",
    "Needs",
    "buffer_needs",
    "folded_needs",
    "frontend_needs",
    "is_circuit",
    "layer_needs",
    "rom_needs",
    "table_needs",
]

#: The fewest logic cells of the host link with its UART.
LINK_CELLS = 600


class Memories(Protocol):
    """The memories of a board: the family of its device, and how many blocks of large memory it has."""

    @property
    def family(self) -> str: ...
    @property
    def spram(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Needs:
    """Blocks of memory and of large memory, and logic cells: a lower bound, or with ``is_estimate`` an estimate."""

    ebr: int
    spram: int
    logic_cells: int
    is_estimate: bool = False


def table_needs(
    spec: EnsembleSpec, memories: Memories, flash: bool = False, frontend: PixelFrontend | None = None
) -> Needs:
    """The needs of a memory trainer with the host link, and with ``flash`` of training from a flash. Its tables are in
    large memory if the board has some."""
    octets, words = word_octets(spec), spec.tables << spec.inputs
    width, address_bits = spec.classes * spec.counter, max(1, (words - 1).bit_length())
    # The write-back buffer.
    buffer = buffer_needs(spec, memories, frontend)
    ebr = buffer.ebr + _blocks(memories, spec.tables, width + address_bits)
    ebr += flash  # the expected header of the image
    spram = 0
    if memories.spram:
        from rdahw.hdl.table_memory import spram_blocks

        columns, rows = spram_blocks(words, octets)
        spram = columns * rows
    else:
        ebr += _blocks(memories, words, 8 * octets, granule=8)
    # A cell for each bit of the sums, and of the words that are read, changed and written.
    return Needs(ebr, spram, buffer.logic_cells + _sum_bits(spec) + 3 * width)


def rom_needs(spec: EnsembleSpec, memories: Memories, frontend: PixelFrontend | None = None) -> Needs:
    """The needs of predicting from tables in block RAM, with the host link."""
    width = spec.classes * _kept_bits(spec)
    buffer = buffer_needs(spec, memories, frontend)
    ebr = buffer.ebr + _blocks(memories, spec.tables << spec.inputs, width, rom=True)
    return Needs(ebr, 0, buffer.logic_cells + _sum_bits(spec))


def folded_needs(spec: EnsembleSpec, memories: Memories) -> Needs:
    """The needs of tables in logic, with their sums and the host link, which stores an example."""
    # A bit of a counter is a tree of multiplexers over look-up tables of four inputs.
    lookup = (1 << max(4, spec.inputs) - 3) - 1
    adder = 2 if spec.sign else score_bits(spec)
    tables = spec.tables * spec.classes * (_kept_bits(spec) * lookup + adder)
    return Needs(0, 0, LINK_CELLS + spec.input_bits + tables, is_estimate=True)


def layer_needs(
    spec: LayersSpec,
    memories: Memories,
    flash: bool = False,
    frontend: PixelFrontend | None = None,
    *,
    batch: bool = False,
) -> Needs:
    """The needs of a layer trainer with the host link, and with ``flash`` of training from a flash. Its counters are in
    large memory if the board has some."""
    row, octets = layer_words.row_octets(spec), layer_words.word_octets(spec, bool(memories.spram))
    inputs, words = row.bit_length() - 1, spec.tables * row // octets << batch
    octet_bits = _byte_bits(spec.input_bits)
    wire_bits = max(octet_bits + 3, *(int(w.max()).bit_length() for w in layer_words.value_places(spec)))
    ebr = _blocks(memories, store_bytes(MAX_PAYLOAD), 8) + flash + inputs * _blocks(memories, 2 << octet_bits, 8)
    ebr += _blocks(memories, spec.tables, inputs * wire_bits, rom=True)
    ebr += _blocks(memories, spec.tables, layer_words.kept_bits(spec, batch))
    value_bits = 1 + layer_words.request_bits(spec)
    ebr += inputs * sum(_blocks(memories, size, value_bits) for size in layer_words.bank_sizes(spec) if size)
    spram = 0
    if memories.spram:
        from rdahw.hdl.table_memory import spram_blocks

        columns, rows = spram_blocks(words, octets)
        spram = columns * rows
    else:
        ebr += _blocks(memories, words, 8 * octets, granule=8)
    # A cell for each bit of a row that is read, and of its sums with noise; and for each bit of a word that is written.
    return Needs(ebr, spram, LINK_CELLS + row * (2 * spec.counter + 1) + 8 * octets)


def is_circuit(spec: EnsembleSpec) -> bool:
    """Whether the tables are small enough for a circuit."""
    return (spec.tables << spec.inputs) * spec.classes * score_bits(spec) <= MAX_STEP_BITS


def _kept_bits(spec: EnsembleSpec) -> int:
    """The bits of a counter that predictions need."""
    return 1 if spec.sign else spec.counter


def _sum_bits(spec: EnsembleSpec) -> int:
    return spec.classes * (spec.tables * ((1 << _kept_bits(spec)) - 1)).bit_length()


def buffer_needs(spec: EnsembleSpec, memories: Memories, frontend: PixelFrontend | None = None) -> Needs:
    """The needs of the host link, the frontend and the example buffer with the wiring of the tables."""
    if frontend is None:
        byte_bits = _byte_bits(spec.input_bits)
        ebr = (
            _blocks(memories, store_bytes(MAX_PAYLOAD), 8)
            + spec.inputs * _blocks(memories, 2 << byte_bits, 8)  # both examples, once for each input of a table
            + _blocks(memories, spec.tables, spec.inputs * (byte_bits + 3), rom=True)  # the wiring
        )
        return Needs(ebr, 0, LINK_CELLS)
    its = frontend_needs(spec, memories, frontend)
    store = _blocks(memories, store_bytes(payload_of(1 + frontend.octets)), 8)
    return Needs(its.ebr + store, 0, its.logic_cells + LINK_CELLS)


def frontend_needs(spec: EnsembleSpec, memories: Memories, frontend: PixelFrontend) -> Needs:
    """The needs of the frontend, and of what keeps the bits of its planes for the tables: about those of tables that
    read all pixels alike."""
    from rdahw.hdl.pixel_buffer import expected_steps, step_widths

    words, bits, registers, planes = _of_planes(frontend.rule.text, frontend.image_shape)
    lanes, steps = expected_steps(spec.tables, spec.inputs, frontend.octets)
    widths = step_widths(spec.tables, spec.inputs, planes, lanes)
    ebr = _blocks(memories, words, bits) + _blocks(memories, steps, 1 + lanes * sum(widths), rom=True)
    for lane in range(lanes):
        ebr += _blocks(memories, 2 << widths[2], len(range(lane, spec.inputs, lanes)))
    return Needs(ebr, 0, registers)


@cache
def _of_planes(rule: str, image_shape: tuple[int, int]) -> tuple[int, int, int, int]:
    """The words and bits of the lines of these planes, the bits of their registers, and how many planes there are."""
    from rdahw.hdl.pixels import PlaneFlow

    flow = PlaneFlow(parse_planes(rule), image_shape)
    return flow.line_words, flow.line_bits, flow.register_bits, len(flow.bits)


def _byte_bits(input_bits: int) -> int:
    """The bits of the number of a byte of an example."""
    return max(1, ((input_bits + 7) // 8 - 1).bit_length())


def _blocks(memories: Memories, words: int, bits: int, *, rom: bool = False, granule: int = 0) -> int:
    """The blocks of a memory that is read at one address in a cycle, and unless it is a ``rom`` written in units of
    ``granule`` bits at the same one, or whole words at another one."""
    its = LogicMemory(
        words=words,
        bits=bits,
        granule=0 if rom else granule or bits,
        readers=1,
        registered=True,
        checked=False,
        shared=granule > 0,
    )
    place, count = mapped(its, memories.family)
    return count if place == BLOCK else 0
