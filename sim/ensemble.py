"""The ensemble engine: the rule of :mod:`rdahw.families.ensemble.rule` compiled by numba, equal to it bit for bit.

Examples are packed, one bit a wire. 64 of them at a time are expanded to bytes, wire by wire, so that the indices of 64
examples into one table are computed by a few vector operations. The counters of one index, for all classes, are read as
a row of 16 bytes (or a multiple): a table adds a row to the scores, and an update reads and writes one row.
Training is sequential and takes one core. Predictions may take several, with the same result.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from rdahw.bits import BitRows
from rdahw.errors import UserError
from rdahw.families.ensemble.rule import Counters, EnsembleEngine, Learned, PlainEnsemble
from rdahw.families.ensemble.spec import EnsembleSpec, first_dropout_state, make_wiring
from rdahw.primitives import Array
from rdahw.sim.ensemble_kernels import classify_row, score_examples, train_examples
from rdahw.sim.ensemble_vectors import BLOCK, LANES
from rdahw.sim.packing import Words, pack_wires
from rdahw.sim.packing_kernels import spread_lines

__all__ = ["CompiledEnsemble", "EnsemblePredictor", "warm_up"]

#: Examples as bits in a frame: (N, W) uint64, bit 0 of word 0 first. Images have ``shift`` empty columns and rows
#: between their lines and planes, and the frame has empty words at both ends, so that a moved image is read by starting
#: at another bit of the frame.
Packed = NDArray[np.uint64]


class CompiledEnsemble(EnsembleEngine):
    """An ensemble run by compiled kernels; ``threads`` are used for predictions."""

    name = "compiled"
    chunk = 4096

    def __init__(self, spec: EnsembleSpec, threads: int = 1) -> None:
        self.spec = spec
        self.threads = threads
        self.wiring = make_wiring(spec)
        self.dropout_state = first_dropout_state(spec.seed)
        # An odd number of cache lines each: tables a power of two apart would share few sets of the caches.
        self._size = (-(-(spec.classes << spec.inputs) // 64) | 1) * 64
        if spec.tables * self._size + LANES >= 1 << 32:
            raise UserError(
                f"{spec.tables} tables of {spec.inputs} inputs take more than 4 GiB here; lower tables or inputs"
            )
        self._memory = np.zeros(spec.tables * self._size + LANES, np.int8)
        tables = self._memory[:-LANES].reshape(spec.tables, self._size)
        self._counters = np.lib.stride_tricks.as_strided(tables, spec.counters_shape, (self._size, spec.classes, 1))
        # The shape of the frame: planes, lines and columns, including the empty ones.
        planes, height, width = spec.image or (1, 1, spec.input_bits)
        self._form = planes, height + spec.shift, width + spec.shift
        self._reach = -(-(spec.shift * self._form[2] + spec.shift) // 64)
        place = np.arange(np.prod(self._form)).reshape(self._form)[:, :height, :width]
        self._lines = place[:, :, 0].reshape(-1)
        # Last input first, for the kernels.
        self._read = np.ascontiguousarray(place.reshape(-1)[self.wiring][:, ::-1])

    @property
    def counters(self) -> Counters:
        """A copy of the counters, (tables, 2^inputs, classes)."""
        return self._counters.copy()

    @counters.setter
    def counters(self, value: Counters) -> None:
        self._counters[...] = self.spec.parameters.check(value)

    def pack(self, x: BitRows) -> Packed:
        """Pack examples x (N, A) of 0 and 1 into the frame."""
        if len(x.shape) != 2 or x.shape[1] != self.spec.input_bits:
            raise UserError(f"inputs of shape {x.shape} were given; expected (N, {self.spec.input_bits})")
        words = pack_wires(x)
        if not self.spec.shift:
            return words
        assert self.spec.image is not None
        packed = np.zeros((len(words), 2 * self._reach + -(-int(np.prod(self._form)) // 64)), np.uint64)
        spread_lines(words, self._lines + 64 * self._reach, self.spec.image.width, packed)
        return packed

    def learn(
        self, x: Packed, labels: NDArray[np.int64], rows: NDArray[np.int64], shifts: NDArray[np.int64] | None = None
    ) -> Learned:
        """Train on the examples ``rows`` (n,) of ``x`` and ``labels`` (N,) in order, moved by ``shifts`` (n, 2)."""
        forget = self.spec.forget
        if not forget or not len(rows):
            return self._learn(x, labels, rows, shifts)
        parts, start = [], 0
        while start < len(rows):
            if self.age == forget:
                # Half of an odd negative number rounded towards zero is the next number's.
                self._memory += self._memory < 0
                self._memory >>= 1
                self.age = 0
            part = slice(start, min(len(rows), start + forget - self.age))
            parts.append(self._learn(x, labels, rows[part], None if shifts is None else shifts[part]))
            self.age += part.stop - start
            start = part.stop
        return Learned(*(np.concatenate(each) for each in zip(*parts, strict=True)))

    def _learn(
        self, x: Packed, labels: NDArray[np.int64], rows: NDArray[np.int64], shifts: NDArray[np.int64] | None
    ) -> Learned:
        (bits, below), (least, most) = self.spec.dropout_rule, self.spec.counter_range
        predictions, updated = np.empty(len(rows), np.int16), np.empty(len(rows), np.bool_)
        self.dropout_state = int(
            train_examples(
                x,
                self._bit_shifts(len(rows), shifts),
                np.ascontiguousarray(rows, np.int64),
                np.ascontiguousarray(labels, np.int64),
                self._read,
                self._reach,
                self._memory,
                self._size,
                self.spec.classes,
                self.spec.margin,
                self._sign_shift,
                np.int8(least),
                np.int8(most),
                bits,
                below,
                np.uint64(self.dropout_state),
                predictions,
                updated,
            )
        )
        return Learned(predictions, updated)

    @property
    def _sign_shift(self) -> np.int8:
        return np.int8(7 if self.spec.sign else 0)

    def _bit_shifts(self, examples: int, shifts: NDArray[np.int64] | None) -> NDArray[np.int64]:
        if shifts is None:
            return np.zeros(examples, np.int64)
        if np.abs(shifts).max(initial=0) > self.spec.shift:
            raise UserError(f"an example is moved by more than {self.spec.shift} pixels, the ensemble's largest shift")
        return np.ascontiguousarray(shifts[:, 0] * self._form[2] + shifts[:, 1])

    def scores(self, x: Packed) -> NDArray[np.int32]:
        """The scores (N, classes) of packed examples: with ``sign``, the numbers of set bits."""
        if self.threads == 1 or len(x) <= BLOCK:
            return self._scores(x, self._read, self._reach)
        size = -(-len(x) // (self.threads * BLOCK)) * BLOCK or BLOCK
        parts = [x[start : start + size] for start in range(0, len(x), size)]
        with ThreadPoolExecutor(self.threads) as pool:
            return np.concatenate(list(pool.map(lambda part: self._scores(part, self._read, self._reach), parts)))

    def _scores(self, x: Packed, read: NDArray[np.int64], empty: int) -> NDArray[np.int32]:
        classes, scores = self.spec.classes, np.empty((len(x), -(-self.spec.classes // LANES) * LANES), np.int32)
        score_examples(x, read, empty, self._memory, self._size, classes, self._sign_shift, scores)
        if self.spec.sign:
            scores += self.spec.tables
        return scores[:, :classes]


class EnsemblePredictor:
    """Predicts by the counters of an engine; a :class:`rdahw.sim.engines.Predictor`."""

    def __init__(self, engine: CompiledEnsemble) -> None:
        self._engine = engine

    def scores(self, words: Words) -> NDArray[np.int32]:
        """The scores (N, classes): with ``sign``, the numbers of set bits."""
        return self._engine._scores(words, np.ascontiguousarray(self._engine.wiring[:, ::-1]), 0)

    def class_of(self, bits: Array) -> int:
        """The class of one example (A,)."""
        own = self._engine
        return int(classify_row(bits, own.wiring, own._memory, own._size, own.spec.classes, own._sign_shift))


def warm_up() -> None:
    """Compile all kernels, or load them from the cache of an earlier run."""
    engine = CompiledEnsemble(EnsembleSpec(input_bits=1, classes=2, tables=1, inputs=1))
    x = engine.pack(np.zeros((1, 1), np.uint8))
    engine.learn(x, np.zeros(1, np.int64), np.zeros(1, np.int64))
    engine.classify(x)


def compiled(spec: EnsembleSpec, threads: int) -> CompiledEnsemble:
    """The compiled engine. Its kernels are compiled here, so that training times do not include it."""
    warm_up()
    return CompiledEnsemble(spec, threads)


def reference(spec: EnsembleSpec, threads: int) -> PlainEnsemble:
    """The plain rule."""
    return PlainEnsemble(spec)
