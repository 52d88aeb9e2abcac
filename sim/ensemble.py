"""The ensemble engine: the rule of :mod:`rdahw.ensemble` compiled by numba, equal to it bit for bit.

Examples are kept packed, one bit a wire. 64 of them at a time are turned into bytes wire by wire, so that the indices
of 64 examples into one table are a few vector operations. The counters of one index, all classes of it, are one row of
16 bytes (of 32, … for more classes): a table adds a row to the scores, and learns by one row read and written.
Training is sequential and takes one core. Predictions may take several, and do not depend on how many.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit  # type: ignore[import-untyped,unused-ignore]
from numpy.typing import NDArray

from rdahw.ensemble import Counters, EnsembleSpec, Outcome, check_counters, first_dropout_state, make_wiring
from rdahw.errors import UserError
from rdahw.primitives import Array
from rdahw.sim._rows import LANES, MOST_ROWS, add_rows, bump_rows

__all__ = ["CompiledEnsemble", "Packed"]

_BLOCK = 64
#: Byte b's bits as the bytes of a word, bit 0 in the byte of lowest address.
_SPREAD = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little").view(np.uint64).ravel()
#: Which bits change places in each round of the transposition of 64 words.
_SWAPS = np.array(
    [
        0x00000000FFFFFFFF,
        0x0000FFFF0000FFFF,
        0x00FF00FF00FF00FF,
        0x0F0F0F0F0F0F0F0F,
        0x3333333333333333,
        0x5555555555555555,
    ],
    np.uint64,
)
_compiled: Any = njit(cache=True, nogil=True, error_model="numpy", boundscheck=False)


@dataclass(frozen=True, slots=True, eq=False)
class Packed:
    """Examples as bits in a frame: ``words`` (N, W) uint64, bit 0 of word 0 first.

    Images have ``shift`` empty columns and rows between their lines and planes, and the frame as many empty words at
    both ends, so that moving an image is reading the frame from another bit on.
    """

    words: NDArray[np.uint64]

    def __len__(self) -> int:
        return len(self.words)

    def __getitem__(self, rows: slice) -> Packed:
        return Packed(self.words[rows])


class CompiledEnsemble:
    """An ensemble run by compiled kernels; see :class:`rdahw.ensemble.EnsembleEngine` for what each method does.

    ``threads``: of predictions.
    """

    name = "compiled"

    def __init__(self, spec: EnsembleSpec, threads: int = 1) -> None:
        self.spec = spec
        self.threads = threads
        self.wiring = make_wiring(spec)
        self.dropout_state = first_dropout_state(spec.seed)
        self._lanes = -(-spec.classes // LANES) * LANES
        if int(np.prod(spec.counters_shape[:2])) * self._lanes >= 1 << 32:
            raise UserError(
                f"{spec.tables} tables of {spec.inputs} inputs take more than 4 GiB here; lower tables or inputs"
            )
        self._rows = np.zeros((spec.tables, 1 << spec.inputs, self._lanes), np.int8)
        self._width = 0 if spec.image is None else spec.image.width + spec.shift  # of a line in the frame
        reach = spec.shift * self._width + spec.shift
        self._margin_words = -(-reach // 64)
        self._place = self._frame()
        self._read = self._place[self.wiring].astype(np.int64)

    def _frame(self) -> NDArray[np.int64]:
        """Where each wire is in the frame, in bits from the end of the empty words."""
        wires = np.arange(self.spec.input_bits)
        if self.spec.image is None or not self.spec.shift:
            return wires
        _, height, width = self.spec.image
        line, column = np.divmod(wires, width)
        plane, row = np.divmod(line, height)
        return np.asarray((plane * (height + self.spec.shift) + row) * self._width + column)

    @property
    def counters(self) -> Counters:
        """A copy of the counters, (tables, 2^inputs, classes)."""
        return self._rows[..., : self.spec.classes].copy()

    @counters.setter
    def counters(self, value: Counters) -> None:
        self._rows[..., : self.spec.classes] = check_counters(self.spec, value)

    def pack(self, x: Array) -> Packed:
        """Examples x (N, A), 0 and 1, in the frame."""
        x = np.asarray(x, np.uint8)
        if x.ndim != 2 or x.shape[1] != self.spec.input_bits:
            raise UserError(f"inputs of shape {x.shape} were given; expected (N, {self.spec.input_bits})")
        empty, size = self._margin_words, -(-(int(self._place[-1]) + 1) // 64)
        packed = np.zeros((len(x), 2 * empty + size), np.uint64)
        for start in range(0, len(x), 4096):  # part by part: the frame in bytes takes eight times as much
            part = x[start : start + 4096]
            frame = np.zeros((len(part), size * 64), np.uint8)
            frame[:, self._place] = part
            packed[start : start + 4096, empty : empty + size] = np.packbits(frame, axis=1, bitorder="little").view(
                "<u8"
            )
        return Packed(packed)

    def train(
        self, x: Packed, labels: NDArray[np.int64], rows: NDArray[np.int64], shifts: NDArray[np.int64] | None = None
    ) -> Outcome:
        """Train on the examples ``rows`` (n,) of ``x`` and ``labels`` (N,), one after another, moved by ``shifts`` (n,
        2)."""
        bits, below = self.spec.dropout_rule
        predictions, updated = np.empty(len(rows), np.int16), np.empty(len(rows), np.bool_)
        self.dropout_state = int(
            _train(
                x.words,
                self._bit_shifts(len(rows), shifts),
                np.ascontiguousarray(rows, np.int64),
                np.ascontiguousarray(labels, np.int64),
                self._read,
                self._margin_words,
                self._rows.reshape(-1),
                self._lanes,
                self.spec.classes,
                self.spec.margin,
                self._sign_shift,
                *map(np.int8, self.spec.counter_range),
                bits,
                below,
                np.uint64(self.dropout_state),
                predictions,
                updated,
                _SPREAD,
                _SWAPS,
            )
        )
        return Outcome(predictions, updated)

    @property
    def _sign_shift(self) -> np.int8:
        return np.int8(7 if self.spec.sign else 0)

    def _bit_shifts(self, examples: int, shifts: NDArray[np.int64] | None) -> NDArray[np.int64]:
        if shifts is None:
            return np.zeros(examples, np.int64)
        if np.abs(shifts).max(initial=0) > self.spec.shift:
            raise UserError(f"an example is moved by more than the {self.spec.shift} pixels that the ensemble is for")
        return np.ascontiguousarray(shifts[:, 0] * self._width + shifts[:, 1])

    def scores(self, x: Packed) -> NDArray[np.int32]:
        """The scores (N, classes) of packed examples: with ``sign``, the numbers of set bits."""
        scores = np.empty((len(x), self._lanes), np.int32)

        def part(start: int, stop: int) -> None:
            _scores(
                x.words[start:stop],
                self._read,
                self._margin_words,
                self._rows.reshape(-1),
                self._lanes,
                self._sign_shift,
                0,
                scores[start:stop],
                _SPREAD,
                _SWAPS,
            )

        if self.threads == 1:
            part(0, len(x))
        else:
            size = -(-len(x) // (self.threads * _BLOCK)) * _BLOCK or _BLOCK
            with ThreadPoolExecutor(self.threads) as pool:
                list(pool.map(lambda start: part(start, min(start + size, len(x))), range(0, len(x), size)))
        if self.spec.sign:
            scores += self.spec.tables
        return scores[:, : self.spec.classes]

    def predict(self, x: Packed) -> NDArray[np.int16]:
        """The classes (N,) of packed examples."""
        return np.asarray(self.scores(x).argmax(axis=-1), np.int16)


# -- kernels -----------------------------------------------------------------------------------------------------------


@_compiled
def _transpose(a: Any, swaps: Any) -> None:
    """Bit j of word i changes places with bit i of word j, in 64 words."""
    width = 32
    for mask in swaps:
        by = np.uint64(width)
        for start in range(0, 64, 2 * width):
            for i in range(start, start + width):
                change = ((a[i] >> by) ^ a[i + width]) & mask
                a[i] ^= change << by
                a[i + width] ^= change
        width >>= 1


@_compiled
def _indices(
    words: Any,
    shifts: Any,
    rows: Any,
    read: Any,
    empty: Any,
    buffer: Any,
    wires: Any,
    low: Any,
    high: Any,
    spread: Any,
    swaps: Any,
) -> None:
    """The indices of up to 64 examples into all tables: byte ``table * 64 + example`` of low, and of high above 8
    inputs."""
    tables, inputs = read.shape
    for w in range(wires.size // 512):
        for i in range(rows.size):
            at = (w + empty) * 64 - shifts[i]
            q, r = at >> 6, np.uint64(at & 63)
            buffer[i] = words[rows[i], q] >> r
            if r:
                buffer[i] |= words[rows[i], q + 1] << (np.uint64(64) - r)
        buffer[rows.size :] = 0
        _transpose(buffer, swaps)
        for b in range(64):
            for g in range(8):
                wires[(w * 64 + b) * 8 + g] = spread[(buffer[b] >> np.uint64(8 * g)) & np.uint64(255)]
    # Eight examples a word, one in each byte: no shift by less than 8 carries a bit from one to the next.
    for j in range(tables):
        for g in range(8):
            low[j * 8 + g] = wires[read[j, 0] * 8 + g]
        for i in range(1, min(inputs, 8)):
            for g in range(8):
                low[j * 8 + g] |= wires[read[j, i] * 8 + g] << np.uint64(i)
        if inputs > 8:
            for g in range(8):
                high[j * 8 + g] = wires[read[j, 8] * 8 + g]
            for i in range(9, inputs):
                for g in range(8):
                    high[j * 8 + g] |= wires[read[j, i] * 8 + g] << np.uint64(i - 8)


@_compiled
def _address(
    low: Any,
    high: Any,
    tables: Any,
    inputs: Any,
    lanes: Any,
    example: Any,
    bits: Any,
    below: Any,
    register: Any,
    offsets: Any,
) -> Any:
    """Where the addressed rows of the tables that are kept begin; how many, and the new state of the register.

    Without dropout bits is 0: the register stays as it is and all tables are kept.
    """
    drawn, limit = np.uint64((1 << bits) - 1), np.uint64(below)
    count, start = 0, 0
    while start < tables:  # at most 32 bits of the register at a time, as many as depend on old ones only
        stop = min(start + 32 // max(bits, 1), tables)
        used = np.uint64((stop - start) * bits)
        new = (register ^ (register >> np.uint64(31))) & ((np.uint64(1) << used) - np.uint64(1))
        register = (register >> used) | (new << (np.uint64(63) - used))
        for table in range(start, stop):
            at = (np.uint32(table) << np.uint32(6)) + np.uint32(example)
            index = (np.uint32(table) << np.uint32(inputs)) + np.uint32(low[at])
            if inputs > 8:
                index += np.uint32(high[at]) << np.uint32(8)
            offsets[count] = np.uint32(index * np.uint32(lanes))
            count += np.int64((new & drawn) >= limit)
            new >>= np.uint64(bits)
        start = stop
    return count, register


@_compiled
def _add(counters: Any, offsets: Any, count: Any, lanes: Any, sign: Any, totals: Any) -> None:
    totals[:] = 0
    for lane in range(0, lanes, LANES):
        for start in range(0, count, MOST_ROWS):
            add_rows(counters, offsets, start, min(count, start + MOST_ROWS), lane, sign, totals)


@_compiled
def _train(
    words: Any, shifts: Any, rows: Any, labels: Any, read: Any, empty: Any, counters: Any, lanes: Any, classes: Any,
    margin: Any, sign: Any, least: Any, most: Any, bits: Any, below: Any, register: Any, predictions: Any, updated: Any,
    spread: Any, swaps: Any,
) -> Any:  # fmt: skip
    tables, inputs = read.shape
    buffer, wires = np.empty(64, np.uint64), np.empty((words.shape[1] - 2 * empty) * 512, np.uint64)
    low, high = np.empty(tables * 8, np.uint64), np.empty(tables * 8 if inputs > 8 else 0, np.uint64)
    low_bytes, high_bytes = low.view(np.uint8), high.view(np.uint8)
    offsets = np.empty(tables + 1, np.uint32)
    totals, change = np.empty(lanes, np.int32), np.zeros(lanes, np.int8)
    for start in range(0, rows.size, 64):
        stop = min(rows.size, start + 64)
        _indices(
            words, shifts[start:stop], rows[start:stop], read, empty, buffer, wires, low, high, spread, swaps
        )  # fmt: skip
        for i in range(start, stop):
            count, register = _address(
                low_bytes, high_bytes, tables, inputs, lanes, i - start, bits, below, register, offsets
            )
            _add(counters, offsets, count, lanes, sign, totals)
            target = labels[rows[i]]
            rival = np.int64(target == 0)
            for c in range(rival + 1, classes):
                if c != target and totals[c] > totals[rival]:
                    rival = c
            lead = totals[target] - totals[rival]
            predictions[i] = target if lead > 0 or (lead == 0 and target < rival) else rival
            updated[i] = lead <= margin
            if updated[i]:
                change[target], change[rival] = 1, -1
                for lane in range(0, lanes, LANES):
                    bump_rows(counters, offsets, count, lane, change, least, most)
                change[target], change[rival] = 0, 0
    return register


@_compiled
def _scores(
    words: Any,
    read: Any,
    empty: Any,
    counters: Any,
    lanes: Any,
    sign: Any,
    bits: Any,
    scores: Any,
    spread: Any,
    swaps: Any,
) -> None:
    tables, inputs = read.shape
    buffer, wires = np.empty(64, np.uint64), np.empty((words.shape[1] - 2 * empty) * 512, np.uint64)
    low, high = np.empty(tables * 8, np.uint64), np.empty(tables * 8 if inputs > 8 else 0, np.uint64)
    low_bytes, high_bytes = low.view(np.uint8), high.view(np.uint8)
    offsets, shifts = np.empty(tables + 1, np.uint32), np.zeros(64, np.int64)
    for start in range(0, len(words), 64):
        rows = np.arange(start, min(len(words), start + 64))
        _indices(words, shifts, rows, read, empty, buffer, wires, low, high, spread, swaps)
        for i in rows:
            _address(low_bytes, high_bytes, tables, inputs, lanes, i - start, bits, 0, np.uint64(0), offsets)
            _add(counters, offsets, tables, lanes, sign, scores[i])
