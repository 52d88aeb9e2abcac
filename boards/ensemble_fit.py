"""Whether the trainer of an ensemble can fit a board, before anything is synthesised, and what to change if not.

The blocks of memory are counted as Yosys makes them: each memory in the form of a block that takes fewest, and a small
one in logic. Logic cells are only known to be no fewer than a bound, so a design that passes may still be too large.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from rdahw.boards.board import Board
from rdahw.boards.report import EBR, LOGIC_CELLS, SPRAM, DesignError, Usage
from rdahw.ensemble import EnsembleSpec, Image
from rdahw.errors import UsageError
from rdahw.hdl.protocol import MAX_PAYLOAD
from rdahw.hdl.table_memory import spram_blocks
from rdahw.hdl.table_words import word_octets

__all__ = ["Needs", "check_ensemble_fits", "check_folded_ensemble_fits", "ensemble_needs", "table_memory_kind"]

#: (words, bits) that a block of memory can have, by its bits.
_SHAPES: Mapping[int, tuple[tuple[int, int], ...]] = {
    4096: ((256, 16), (512, 8), (1024, 4), (2048, 2)),
    18_432: ((512, 36), (1024, 18), (2048, 9), (4096, 4), (8192, 2), (16_384, 1)),
}
#: Up to so many bits a block Yosys makes a memory that is written, and one that is not, of logic.
_LOGIC_BITS, _LOGIC_ROM_BITS = {4096: 64, 18_432: 2048}, {4096: 1024, 18_432: 2048}
#: The host link with its UART: a block of memory, and at least so many logic cells.
_LINK_CELLS = 600


@dataclass(frozen=True, slots=True)
class Needs:
    """Blocks of memory and of large memory, and a number of logic cells with which it certainly does not do."""

    ebr: int
    spram: int
    logic_cells: int


def table_memory_kind(spec: EnsembleSpec, board: Board) -> str:
    """Where the tables of the trainer go on ``board``: the kind of :class:`rdahw.hdl.table_memory.TableMemory`."""
    return "spram" if board.spram else "block"


def ensemble_needs(spec: EnsembleSpec, board: Board, flash: bool = False) -> Needs:
    """What the trainer of ``spec`` needs behind the host link on ``board``, and to train from its ``flash``."""
    octets, words = word_octets(spec), spec.tables << spec.inputs
    width, address_bits = spec.classes * spec.counter, max(1, (words - 1).bit_length())
    byte_bits = max(1, ((spec.input_bits + 7) // 8 - 1).bit_length())
    ebr = (
        1  # of the link
        + spec.inputs * _blocks(board, 2 << byte_bits, 8)  # both examples, once for each input of a table
        + _blocks(board, spec.tables, spec.inputs * (byte_bits + 3), rom=True)  # the wiring
        + _blocks(board, spec.tables, width + address_bits)  # the words put by for the second pass
    )
    ebr += flash  # what is expected in the header of the image
    spram = 0
    if table_memory_kind(spec, board) == "spram":
        columns, rows = spram_blocks(words, octets)
        spram = columns * rows
    else:
        ebr += _blocks(board, words, 8 * octets)
    # A cell for each bit of the sums, and of the words that come, are changed and go.
    sums = spec.classes * (spec.tables * (1 if spec.sign else (1 << spec.counter) - 1)).bit_length()
    return Needs(ebr, spram, _LINK_CELLS + sums + 3 * width)


def _blocks(board: Board, words: int, bits: int, *, rom: bool = False) -> int:
    count = min(-(-words // depth) * -(-bits // width) for depth, width in _SHAPES[board.ebr_bits])
    by_logic = (_LOGIC_ROM_BITS if rom else _LOGIC_BITS)[board.ebr_bits]
    return 0 if words * bits < by_logic * count else count


def _short(spec: EnsembleSpec, board: Board, flash: bool) -> dict[str, Usage]:
    needs = ensemble_needs(spec, board, flash)
    usage = {
        SPRAM: Usage(needs.spram, board.spram),
        EBR: Usage(needs.ebr, board.ebr),
        LOGIC_CELLS: Usage(needs.logic_cells, board.logic_cells),
    }
    return {resource: its for resource, its in usage.items() if its.used > its.available}


def check_ensemble_fits(spec: EnsembleSpec, board: Board, flash: bool = False) -> None:
    """Raise :class:`DesignError` that says what is short, and to what settings to lower, if the trainer of ``spec``,
    with what reads the ``flash`` if asked for, cannot fit ``board`` or its examples a packet of the host link."""
    short = _short(spec, board, flash)
    if not short:
        _check_packet(spec)
        return
    needs = " and ".join(
        f"{'at least ' if resource == LOGIC_CELLS else ''}{its.used:,} {resource} of {its.available:,}"
        for resource, its in short.items()
    )
    ways = [words for lower in _LOWERED if (words := _way_out(spec, board, flash, lower)) is not None]
    advice = " or ".join(ways[:2]) if ways else "lower tables and inputs, or choose a larger board"
    raise DesignError(
        f"an ensemble of {spec.tables} x {spec.inputs} tables, {spec.classes} classes and counters of {spec.counter} "
        f"bits does not fit {board.title}: it needs {needs}; {advice}",
        usage=short,
    )


def check_folded_ensemble_fits(spec: EnsembleSpec, board: Board) -> None:
    """Raise :class:`DesignError` that says what to do instead if ``spec`` with its counters as constants is by far too
    large for the logic of ``board``, or as :func:`check_ensemble_fits` if its examples do not fit a packet."""
    _check_packet(spec)
    # A counter's bit takes a look-up table for 16 words, of which half may turn out to be superfluous.
    cells = spec.tables * spec.classes * spec.counter * max(1, (1 << spec.inputs) // 16) // 2
    if cells > board.logic_cells:
        raise DesignError(
            f"an ensemble of {spec.tables} x {spec.inputs} tables, {spec.classes} classes and counters of "
            f"{spec.counter} bits, folded into logic, would need about {cells:,} logic cells of {board.logic_cells:,} "
            f"of {board.title}; leave --inference out, for a trainer, which predicts when its tables have been written "
            "over the link, or make a circuit of 1-bit tables of it (rdahw binarise)",
            usage={LOGIC_CELLS: Usage(cells, board.logic_cells)},
        )


def _fits_packet(spec: EnsembleSpec) -> bool:
    return 1 + (spec.input_bits + 7) // 8 <= MAX_PAYLOAD


def _check_packet(spec: EnsembleSpec) -> None:
    if not _fits_packet(spec):
        most = (MAX_PAYLOAD - 1) * 8
        raise DesignError(
            f"examples of {spec.input_bits} bits do not fit a packet of the host link, which takes at most {most}; "
            f"{_fewer_bits(spec, most)}",
            usage={},
        )


def _fewer_bits(spec: EnsembleSpec, most: int) -> str:
    if spec.image is None or spec.image.planes == 1:
        return "binarise into fewer bits (--binarise)"
    planes = most // (spec.image.height * spec.image.width)
    return f"binarise into at most {planes} {'plane' if planes == 1 else 'planes'} (--binarise threshold=K)"


# -- ways out ----------------------------------------------------------------------------------------------------------


def _tables(spec: EnsembleSpec) -> Iterator[tuple[str, EnsembleSpec]]:
    tables = spec.tables
    while (tables := tables // 2) >= 16:
        yield f"lower tables to {tables}", replace(spec, tables=tables)


def _inputs(spec: EnsembleSpec) -> Iterator[tuple[str, EnsembleSpec]]:
    for inputs in range(spec.inputs - 1, 2, -1):
        yield f"lower inputs to {inputs}", replace(spec, inputs=inputs)


def _planes(spec: EnsembleSpec) -> Iterator[tuple[str, EnsembleSpec]]:
    if spec.image is None:
        return
    for planes in range(spec.image.planes - 1, 0, -1):
        image = Image(planes, spec.image.height, spec.image.width)
        said = f"binarise into {planes} {'plane' if planes == 1 else 'planes'} (--binarise threshold=K)"
        yield said, replace(spec, image=image, input_bits=image.bits)


def _counter(spec: EnsembleSpec) -> Iterator[tuple[str, EnsembleSpec]]:
    for counter in range(spec.counter - 1, 1, -1):
        yield f"lower the counters to {counter} bits (--optimiser counter={counter})", replace(spec, counter=counter)


#: What may be lowered, one thing at a time: that which costs the model least first.
_LOWERED: tuple[Callable[[EnsembleSpec], Iterator[tuple[str, EnsembleSpec]]], ...] = (
    _planes,
    _counter,
    _tables,
    _inputs,
)


def _way_out(
    spec: EnsembleSpec, board: Board, flash: bool, lower: Callable[[EnsembleSpec], Iterator[tuple[str, EnsembleSpec]]]
) -> str | None:
    """The least that has to be lowered for the ensemble to fit, in words; None if that does not do."""
    try:
        return next(
            (words for words, lowered in lower(spec) if _fits_packet(lowered) and not _short(lowered, board, flash)),
            None,
        )
    except UsageError:  # a patch of fewer planes has fewer bits than a table has inputs
        return None
