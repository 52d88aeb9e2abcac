"""Whether an ensemble can fit a board, as a trainer or only to predict, before anything is synthesised, in which form,
and what to change if not.

The blocks of memory are counted as Yosys makes them: each memory in the form of a block that takes fewest, and a small
one in logic; only of tables that are never written it sometimes makes fewer. Logic cells are only known to be no fewer
than a bound, or, of tables in logic, to be about so many, so a design that passes may still be too large.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from rdahw.boards.board import Board
from rdahw.boards.report import EBR, LOGIC_CELLS, SPRAM, DesignError, Usage
from rdahw.data.images import Image
from rdahw.families.ensemble.spec import EnsembleSpec
from rdahw.families.ensemble.circuits import MAX_STEP_BITS, score_bits
from rdahw.errors import UsageError
from rdahw.hdl.protocol import MAX_PAYLOAD
from rdahw.hdl.table_memory import spram_blocks
from rdahw.hdl.table_words import word_octets

__all__ = [
    "BLOCK_RAM",
    "LOGIC",
    "Needs",
    "check_ensemble_fits",
    "ensemble_needs",
    "inference_needs",
    "inference_tables",
    "table_memory_kind",
]

#: Where the tables of an ensemble are that only predicts.
LOGIC, BLOCK_RAM = "logic", "block RAM"

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
    # The words put by for the second pass.
    ebr = _example_blocks(spec, board) + _blocks(board, spec.tables, width + address_bits)
    ebr += flash  # what is expected in the header of the image
    spram = 0
    if table_memory_kind(spec, board) == "spram":
        columns, rows = spram_blocks(words, octets)
        spram = columns * rows
    else:
        ebr += _blocks(board, words, 8 * octets)
    # A cell for each bit of the sums, and of the words that come, are changed and go.
    return Needs(ebr, spram, _LINK_CELLS + _sum_bits(spec) + 3 * width)


def inference_needs(spec: EnsembleSpec, board: Board) -> Needs:
    """What ``spec`` needs behind the host link on ``board`` to predict from tables in block RAM."""
    width = spec.classes * _kept_bits(spec)
    ebr = _example_blocks(spec, board) + _blocks(board, spec.tables << spec.inputs, width, rom=True)
    return Needs(ebr, 0, _LINK_CELLS + _sum_bits(spec))


def _kept_bits(spec: EnsembleSpec) -> int:
    """The bits of a counter that predictions need."""
    return 1 if spec.sign else spec.counter


def _sum_bits(spec: EnsembleSpec) -> int:
    return spec.classes * (spec.tables * ((1 << _kept_bits(spec)) - 1)).bit_length()


def _example_blocks(spec: EnsembleSpec, board: Board) -> int:
    """Blocks of memory for all that brings the tables their inputs."""
    byte_bits = max(1, ((spec.input_bits + 7) // 8 - 1).bit_length())
    return (
        1  # of the link
        + spec.inputs * _blocks(board, 2 << byte_bits, 8)  # both examples, once for each input of a table
        + _blocks(board, spec.tables, spec.inputs * (byte_bits + 3), rom=True)  # the wiring
    )


def _folded_cells(spec: EnsembleSpec) -> int:
    """About how many logic cells the tables take in logic, with their sums and the link, which holds an example."""
    # A bit of a counter is a tree of multiplexers over look-up tables of four inputs.
    lookup = (1 << max(4, spec.inputs) - 3) - 1
    adder = 2 if spec.sign else score_bits(spec)
    return _LINK_CELLS + spec.input_bits + spec.tables * spec.classes * (_kept_bits(spec) * lookup + adder)


def _fits_logic(spec: EnsembleSpec, board: Board) -> bool:
    """Whether the tables fit logic, and are few enough to be a circuit."""
    bits = (spec.tables << spec.inputs) * spec.classes * score_bits(spec)
    return bits <= MAX_STEP_BITS and _folded_cells(spec) <= board.logic_cells


def _blocks(board: Board, words: int, bits: int, *, rom: bool = False) -> int:
    count = min(-(-words // depth) * -(-bits // width) for depth, width in _SHAPES[board.ebr_bits])
    by_logic = (_LOGIC_ROM_BITS if rom else _LOGIC_BITS)[board.ebr_bits]
    return 0 if words * bits < by_logic * count else count


def _short(needs: Needs, board: Board) -> dict[str, Usage]:
    usage = {
        SPRAM: Usage(needs.spram, board.spram),
        EBR: Usage(needs.ebr, board.ebr),
        LOGIC_CELLS: Usage(needs.logic_cells, board.logic_cells),
    }
    return {resource: its for resource, its in usage.items() if its.used > its.available}


def check_ensemble_fits(spec: EnsembleSpec, board: Board, flash: bool = False) -> None:
    """Raise :class:`DesignError` that says what is short, and to what settings to lower, if the trainer of ``spec``,
    with what reads the ``flash`` if asked for, cannot fit ``board`` or its examples a packet of the host link."""

    def short(spec: EnsembleSpec) -> dict[str, Usage]:
        return _short(ensemble_needs(spec, board, flash), board)

    if not short(spec):
        _check_packet(spec)
        return
    raise DesignError(
        f"{_named(spec)} does not fit {board.title}: it needs {_said(short(spec))}; "
        f"{_advice(spec, _LOWERED, lambda lowered: not short(lowered))}",
        usage=short(spec),
    )


def inference_tables(spec: EnsembleSpec, board: Board) -> str:
    """Where the tables go if ``spec`` only predicts on ``board``: :data:`LOGIC`, which is faster, if they fit there,
    else :data:`BLOCK_RAM`.

    Raises :class:`DesignError` that says what is short of each if they fit neither, and to what settings to lower, or
    as :func:`check_ensemble_fits` if examples do not fit a packet.
    """

    def short(spec: EnsembleSpec) -> dict[str, Usage]:
        return _short(inference_needs(spec, board), board)

    _check_packet(spec)
    if _fits_logic(spec, board):
        return LOGIC
    if not short(spec):
        return BLOCK_RAM
    advice = _advice(spec, (_sign, *_LOWERED), lambda lowered: _fits_logic(lowered, board) or not short(lowered))
    if not _short(ensemble_needs(spec, board), board):
        advice += ", or leave --inference out, for a trainer, which predicts when its tables were written over the link"
    cells = Usage(_folded_cells(spec), board.logic_cells)
    raise DesignError(
        f"{_named(spec)} does not fit {board.title} to predict only: it needs about {cells.used:,} {LOGIC_CELLS} of "
        f"{cells.available:,} with its tables in logic, and {_said(short(spec))} with them in block RAM; {advice}",
        usage={LOGIC_CELLS: cells, **short(spec)},
    )


def _named(spec: EnsembleSpec) -> str:
    return (
        f"an ensemble of {spec.tables} x {spec.inputs} tables, {spec.classes} classes and counters of {spec.counter} "
        "bits"
    )


def _said(short: Mapping[str, Usage]) -> str:
    return " and ".join(
        f"{'at least ' if resource == LOGIC_CELLS else ''}{its.used:,} {resource} of {its.available:,}"
        for resource, its in short.items()
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


#: What may be lowered, in words, and the ensemble that this gives, from the least change on.
_Lower = Callable[[EnsembleSpec], Iterator[tuple[str, EnsembleSpec]]]


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


def _sign(spec: EnsembleSpec) -> Iterator[tuple[str, EnsembleSpec]]:
    if not spec.sign:
        yield "train with --sign", replace(spec, sign=True)


#: What may be lowered, one thing at a time: that which costs the model least first.
_LOWERED: tuple[_Lower, ...] = (_planes, _counter, _tables, _inputs)


def _advice(spec: EnsembleSpec, lowers: Iterable[_Lower], fits: Callable[[EnsembleSpec], bool]) -> str:
    ways = [words for lower in lowers if (words := _way_out(spec, lower, fits)) is not None]
    return " or ".join(ways[:2]) if ways else "lower tables and inputs, or choose a larger board"


def _way_out(spec: EnsembleSpec, lower: _Lower, fits: Callable[[EnsembleSpec], bool]) -> str | None:
    """The least that has to be lowered for the ensemble to fit, in words; None if that does not do."""
    try:
        return next((words for words, lowered in lower(spec) if _fits_packet(lowered) and fits(lowered)), None)
    except UsageError:  # a patch of fewer planes has fewer bits than a table has inputs
        return None
