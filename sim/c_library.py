"""A model compiled by a C compiler, to predict single examples within a microsecond or two."""

from __future__ import annotations

import ctypes
import platform
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdahw.family import Spec
from rdahw.hdl.toolchain import find, run, scratch
from rdahw.primitives import Array
from rdahw.sim.c_program import Program, Votes, make_program
from rdahw.sim.c_source import Source, write_source
from rdahw.sim.conversion import Conversion
from rdahw.sim.planes import PlaneConversion
from rdahw.state import State

__all__ = ["CPredictor"]

_FLAGS = [
    *("-std=c99", "-O3", "-shared"),
    *["-fPIC"] * (sys.platform != "win32"),
    *["-march=native"] * (platform.machine() in ("x86_64", "AMD64")),
]
#: Classes are padded to a multiple of these, as many numbers as are added at once.
_LANES = 16

#: By the packed bits, of an octet for each bit.
_PACKED = """
int32_t class_of_bits(const uint8_t *given)
{
    uint8_t x[MODEL_INPUT_OCTETS] = {0};
    uint32_t i;
    for (i = 0; i < MODEL_INPUT_BITS; i++)
        x[i >> 3] = (uint8_t)(x[i >> 3] | given[i] << (i & 7));
    return model_predict(x);
}
"""
#: By tables that vote, which need more memory here than on a microcontroller and less time: numbers of 16 bits are
#: added, in blocks of tables that cannot overflow them.
_UNPACKED = """
typedef int8_t held_t __attribute__((vector_size($octets)));
typedef int16_t part_t __attribute__((vector_size(2 * $octets)));

int32_t class_of_bits(const uint8_t *given)
{
    int32_t scores[$lanes] = {0}, c, best = 0;
    uint32_t table = 0, i;
    while (table < $tables) {
        part_t parts[$lanes / $octets] = {{0}};
        uint32_t end = table + $block < $tables ? table + $block : $tables;
        for (; table < end; table++) {
            const uint32_t *wires = fast_wires + table * $inputs;
            uint32_t at = table << $inputs | $index;
            const held_t *row = (const held_t *)(const void *)(fast_votes + at * $lanes);
            for (i = 0; i < $lanes / $octets; i++)
                parts[i] += __builtin_convertvector(row[i], part_t);
        }
        for (c = 0; c < $lanes; c++)
            scores[c] += parts[c / $octets][c % $octets];
    }
    for (c = 1; c < MODEL_CLASSES; c++)
        if (scores[c] > scores[best])
            best = c;
    return best;
}
"""
_IN_TURN = """
int32_t class_of_bits(const uint8_t *given)
{
    int32_t scores[MODEL_CLASSES] = {0}, c = 0, best = 0;
    uint32_t table;
    for (table = 0; table < $tables; table++) {
        const uint32_t *wires = fast_wires + table * $inputs;
        scores[c] += fast_votes[table << $inputs | $index];
        if (++c == MODEL_CLASSES)
            c = 0;
    }
    for (c = 1; c < MODEL_CLASSES; c++)
        if (scores[c] > scores[best])
            best = c;
    return best;
}
"""
#: From the features; -2 for features that are not all finite.
_ROW = """
int32_t class_of_row(const double *row)
{
    uint8_t given[MODEL_INPUT_BITS];
    uint32_t i;
    double zero = 0;
    for (i = 0; i < $features; i++)
        zero += row[i] * 0;
    if (zero != 0)
        return -2;
    for (i = 0; i < MODEL_INPUT_BITS; i++)
        given[i] = row[compared[i]] > thresholds[i];
    return class_of_bits(given);
}
"""


class CPredictor:
    """Predicts single examples as ``spec`` at ``state``, in C. conversion: what makes bits of so many ``features``.

    Raises :class:`rdahw.MissingError` without a C compiler, and as :func:`rdahw.sim.c_program.make_program`.
    """

    def __init__(self, spec: Spec, state: State, conversion: Conversion | PlaneConversion, features: int) -> None:
        program = make_program(spec, state)
        made = _source(program)
        if isinstance(conversion, Conversion):
            wires, thresholds = conversion.compared
            made.array("compared", wires)
            limits = ", ".join(threshold.hex() for threshold in thresholds.tolist())
            made.code(f"\nstatic const double thresholds[{len(thresholds)}] = {{{limits}}};\n")
            made.code(_ROW, features=features)
        compiler = find("cc", "native")
        with scratch() as work:
            (work / "model.h").write_text("".join(made.header), encoding="utf-8")
            (work / "model.c").write_text("".join(made.source), encoding="utf-8")
            run(compiler, [*_FLAGS, "-o", "model.so", "model.c"], cwd=work, log="log", makes=["model.so"])
            library = ctypes.CDLL(str(work / "model.so"))
        self._class_of = _function(library.class_of_bits)
        self._class_of_row = _function(library.class_of_row) if isinstance(conversion, Conversion) else None

    def class_of(self, bits: Array) -> int:
        """See :meth:`rdahw.sim.engines.Predictor.class_of`."""
        return max(0, int(self._class_of(bits.tobytes())))

    def class_of_row(self, row: NDArray[np.float64]) -> int | None:
        """The class of one example (F,) of features; None if they are not all finite, or the bits are not made in
        C."""
        found = -2 if self._class_of_row is None else int(self._class_of_row(row.tobytes()))
        return None if found == -2 else max(0, found)


def _function(function: Any) -> Any:
    function.argtypes, function.restype = (ctypes.c_char_p,), ctypes.c_int32
    return function


def _source(program: Program) -> Source:
    """With ``class_of_bits``, from an octet for each bit."""
    made = write_source(program, "model", [""], None)
    votes = program.votes
    if votes is None or program.network.luts or not np.array_equal(votes.values.astype(np.int8), votes.values):
        made.code(_PACKED)
    else:
        _fast(made, votes)
    return made


def _fast(made: Source, votes: Votes) -> None:
    tables, inputs = votes.wiring.shape
    classes = votes.values.shape[2]
    lanes = -(-classes // _LANES) * _LANES
    made.array("fast_wires", votes.wiring, "uint32_t")
    numbers: dict[str, Any] = {"tables": tables, "inputs": inputs}
    numbers["index"] = " | ".join(f"(uint32_t)given[wires[{i}]] << {i}" for i in range(inputs))
    if votes.in_turn is not None:
        made.array("fast_votes", votes.in_turn.astype(np.int8), "int8_t")
        made.code(_IN_TURN, **numbers)
        return
    padded = np.pad(votes.values.astype(np.int8), [(0, 0), (0, 0), (0, lanes - classes)])
    made.array("fast_votes", padded, "int8_t", storage=f"static const __attribute__((aligned({_LANES}))) ")
    made.code(_UNPACKED, lanes=lanes, octets=_LANES, block=255, **numbers)
