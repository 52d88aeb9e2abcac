"""Logic cells of a whole design, with its host link, estimated before synthesis.

The formulas are fitted to the designs of docs/mnist-on-a-board.md, docs/ensemble.md, docs/depth.md, docs/grown.md and
docs/host-link.md, as ``rdahw synth`` reports them, and are within 6 % of these
(``tests/hdl/test_cell_estimate.py``). Of other sizes the error may be larger.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rdahw.hdl.memory_fit import Memories, folded_needs, layer_needs
from rdahw.hdl.trainer_factory import Row

__all__ = ["estimated_cells"]

#: The host link with its UART, the packets and the clock.
_LINK = 780
#: Devices with blocks of so few bits keep the example of a predictor in registers, and have no multiplexers that join
#: look-up tables.
_SMALL_BLOCK = 4096


def _luts(inputs: int, memories: Memories) -> float:
    """The cells of a look-up table of so many inputs, after Yosys' optimisation."""
    by_inputs = (1.0, 3.2, 6.7) if memories.ebr_bits == _SMALL_BLOCK else (1.0, 2.2, 4.6)
    return by_inputs[max(0, inputs - 4)] if inputs <= 6 else by_inputs[2] * 2.0 ** (inputs - 6)


def _voting(tables: int, inputs: int, voters: int, spec: Any, memories: Memories) -> float:
    """Tables in logic, of which ``voters`` are counted, and the largest count."""
    kept = spec.input_bits if memories.ebr_bits == _SMALL_BLOCK else 0
    return _LINK + kept + tables * _luts(inputs, memories) + 2.2 * voters


def _layers(spec: Any, memories: Memories) -> float:
    tables = sum(count for count, _ in spec.sizes)
    return _voting(tables, max(inputs for _, inputs in spec.sizes), spec.sizes[-1][0], spec, memories)


#: From a spec and the memories of a board to the cells, by the family and the name of a row of
#: :mod:`rdahw.hdl.trainer_factory`; "": any other family.
_ROWS: Mapping[tuple[str, str], Callable[[Any, Memories], float]] = {
    ("ensemble", "block memory"): lambda spec, memories: _LINK + 578 + 13 * spec.classes * spec.counter,
    ("ensemble", "block RAM"): lambda spec, memories: (
        _LINK + 331 + 11.3 * spec.classes * (1 if spec.sign else spec.counter)
    ),
    ("ensemble", "logic"): lambda spec, memories: folded_needs(spec, memories).logic_cells + 180,
    ("layers", "memory, a table at a time"): lambda spec, memories: (
        _LINK + 1000 + 3.25 * (layer_needs(spec, memories).logic_cells - 600)
    ),
    ("layers", "logic"): _layers,
    ("grown", "logic"): lambda spec, memories: _voting(spec.tables, spec.inputs, spec.tables, spec, memories),
    ("", "registers"): lambda spec, memories: _LINK + 70 + 3.8 * spec.parameters.bits,
    ("", "memory, a word at a time"): lambda spec, memories: _LINK + 494,
    ("", "logic"): lambda spec, memories: _LINK + spec.parameters.bits / 2,
}


def estimated_cells(spec: Any, row: Row, memories: Memories) -> int | None:
    """About how many logic cells the gateware of ``row`` takes for ``spec`` on a board with such memories, with the
    host link; None where nothing is known about gateware of this kind."""
    formula = _ROWS.get((spec.family, row.name)) or _ROWS.get(("", row.name))
    return None if formula is None else round(formula(spec, memories))
