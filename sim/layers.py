"""The engine of networks of layers: the rule of :mod:`rdahw.families.layers.rule` compiled by numba, equal to it bit
for bit.

Training is sequential, a batch after another. Predictions take 64 examples a word, and may take several threads,
with the same result.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from rdahw.bits import BitRows
from rdahw.errors import UserError
from rdahw.families.layers.rule import LIMIT, LayersEngine, PlainLayers
from rdahw.families.layers.spec import COTANGENTS, LayersSpec
from rdahw.primitives import Array
from rdahw.sim.layers_kernels import classify_row, score_words, train_examples
from rdahw.sim.packing import Words, pack_wires, turn_words

__all__ = ["CompiledLayers", "LayersPredictor", "warm_up"]


class CompiledLayers(LayersEngine):
    """A network run by compiled kernels; ``threads`` are used for predictions."""

    name = "compiled"
    chunk = 1024

    def __init__(self, spec: LayersSpec, threads: int = 1) -> None:
        super().__init__(spec)
        self.threads = threads
        inputs, cells = [size[1] for size in spec.sizes], spec.cells
        #: Of each layer of ``runs``: its first table, its inputs, its first counter; with one more entry, the ends.
        self._layers = np.array(
            [spec.starts, [*(inputs[i] for i in spec.runs), 0], [*(cells[i] for i in spec.runs), cells[-1]]], np.int64
        )
        self._read = np.zeros((spec.tables, max(inputs)), np.int32)
        for run, layer in enumerate(spec.runs):
            wires = self._numbers(run)[self.wiring[layer]]
            self._read[spec.starts[run] : spec.starts[run + 1], : wires.shape[1]] = wires

    def _numbers(self, run: int) -> NDArray[np.int64]:
        """What is read in a run, in the numbers of all values: the input bits, the tables, and one that stays 0."""
        spec, zero = self.spec, self.spec.input_bits + self.spec.tables
        before = (
            np.arange(*spec.starts[run - 1 : run + 1]) + spec.input_bits if run else np.full(spec.sizes[0][0], zero)
        )
        if spec.runs[run]:
            return before
        bits = np.arange(spec.input_bits)
        return np.concatenate([bits, before, [zero]])[spec.reads[run]] if spec.steps > 1 else bits

    def pack(self, x: BitRows) -> Words:
        """Examples x (N, A) of 0 and 1, packed by wires."""
        if x.ndim != 2 or x.shape[1] != self.spec.input_bits:
            raise UserError(f"inputs of shape {x.shape} were given; expected (N, {self.spec.input_bits})")
        return pack_wires(x)

    def learn(
        self, x: Words, labels: NDArray[np.int64], rows: NDArray[np.int64], ends: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Train on the examples ``rows`` (n,) of ``x`` and ``labels`` (N,) in batches that end before ``ends``."""
        spec, (low, high) = self.spec, self.spec.counter_range
        predictions, asked = np.empty(len(rows), np.int64), np.empty(len(rows), np.int64)
        self._register = int(
            train_examples(
                x,
                np.ascontiguousarray(rows, np.int64),
                np.ascontiguousarray(ends, np.int64),
                np.ascontiguousarray(labels, np.int64),
                self._read,
                self._layers,
                self._counters,
                spec.input_bits,
                spec.classes,
                spec.margin,
                spec.noise,
                COTANGENTS.index(spec.cotangents),
                spec.forward,
                spec.runs.index(spec.frozen),
                LIMIT,
                low,
                high,
                np.uint64(self._register),
                predictions,
                asked,
            )
        )
        return predictions, asked

    def scores(self, x: Words) -> NDArray[np.int64]:
        """The scores (N, classes) of packed examples."""
        size = max(1, -(-len(x) // (self.threads * 64))) * 64
        parts = [x[start : start + size] for start in range(0, len(x), size)] or [x]
        with ThreadPoolExecutor(self.threads) as pool:
            return np.concatenate(list(pool.map(self._scores, parts)))

    def _scores(self, words: Words) -> NDArray[np.int64]:
        spec = self.spec
        columns = turn_words(words, spec.input_bits)
        scores = np.empty((64 * columns.shape[1], spec.classes), np.int64)
        score_words(columns, self._read, self._layers, self._counters, spec.classes, scores)
        return scores[: len(words)]


class LayersPredictor:
    """Predicts by the counters of an engine; a :class:`rdahw.sim.engines.Predictor`."""

    def __init__(self, engine: CompiledLayers) -> None:
        self._engine = engine

    def scores(self, words: Words) -> NDArray[np.int64]:
        """The scores (N, classes)."""
        return self._engine._scores(words)

    def class_of(self, bits: Array) -> int:
        """The class of one example (A,)."""
        own = self._engine
        return int(classify_row(bits, own._read, own._layers, own._counters, own.spec.classes))


def warm_up() -> None:
    """Compile all kernels, or load them from the cache of an earlier run."""
    engine = CompiledLayers(LayersSpec(input_bits=1, classes=2, sizes=((2, 1),)))
    x = engine.pack(np.zeros((1, 1), np.uint8))
    engine.learn(x, np.zeros(1, np.int64), np.zeros(1, np.int64), np.ones(1, np.int64))
    engine.scores(x)


def compiled(spec: LayersSpec, threads: int) -> CompiledLayers:
    """The compiled engine. Its kernels are compiled here, so that training times do not include it."""
    warm_up()
    return CompiledLayers(spec, threads)


def reference(spec: LayersSpec, threads: int) -> PlainLayers:
    """The plain rule."""
    return PlainLayers(spec)
