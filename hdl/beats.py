"""Examples as beats of a trainer's stream, and results as predictions, for simulators: bits of 0 and 1, bit 0 first."""

from __future__ import annotations

from typing import Any

import numpy as np

from rdahw.hdl.table_words import LABEL_BITS
from rdahw.primitives import Array

__all__ = ["Encoder", "OctetEncoder"]


def _where(field: Any) -> slice:
    return slice(field.offset, field.offset + field.width)


class Encoder:
    """Examples and results of the streams of ``trainer``, with labels and predictions on the wires of its interface."""

    def __init__(self, trainer: Any) -> None:
        self._shape = trainer.examples.payload.shape()
        self._result = trainer.results.payload.shape()
        self.result_width = self._result.size

    @property
    def width(self) -> int:
        """The bits of a beat."""
        return int(self._shape.size)

    @property
    def says_updates(self) -> bool:
        """Whether results have the bit ``updated``."""
        return "updated" in self._result.members

    def none(self) -> Array:
        """No beats."""
        return np.zeros((0, self.width), np.uint8)

    def __call__(self, x: Array, y: Array, *, last: Array | None = None, learn: bool = True) -> Array:
        """The beats (N * beats per example, width) of examples; an ``x`` wider than a beat's is split into words, the
        lowest first.

        last: the examples that end a batch, (N,); ``None``: the last one.
        """
        wires = self._shape["x"]
        words = -(-x.shape[1] // wires.width)
        padded = np.zeros((len(x), words * wires.width), np.uint8)
        padded[:, : x.shape[1]] = x
        beats = np.zeros((len(x), words, self.width), np.uint8)
        beats[..., _where(wires)] = padded.reshape(len(x), words, wires.width)
        beats[..., _where(self._shape["y"])] = y[:, None]
        if "learn" in self._shape.members:
            beats[..., _where(self._shape["learn"])] = learn
        if last is not None:
            beats[..., _where(self._shape["last"])] = last[:, None, None]
        elif len(x):
            beats[-1, :, _where(self._shape["last"])] = 1
        return beats.reshape(-1, self.width)

    def prediction(self, results: Array) -> Array:
        """The predictions (N, B) in results (N, result_width)."""
        return results[:, _where(self._result["prediction"])]

    def updated(self, results: Array) -> Array:
        """The bits ``updated`` of the results, (N,)."""
        return results[:, self._result["updated"].offset]


class OctetEncoder(Encoder):
    """The same for a stream of bytes (:class:`rdahw.hdl.memory_trainer.MemoryTrainer`): x, then a byte with the class
    number in bits 0 to 6 and ``learn`` in bit 7; for a trainer with batches ``last`` in bit 6."""

    def __init__(self, trainer: Any) -> None:
        super().__init__(trainer)
        self._batches = trainer.batch

    @property
    def width(self) -> int:
        """The bits of a byte."""
        return 8

    def __call__(self, x: Array, y: Array, *, last: Array | None = None, learn: bool = True) -> Array:
        """The bytes of examples; for a trainer without batches each is a batch of its own."""
        bits = np.zeros((len(x), -(-x.shape[1] // 8) * 8 + 8), np.uint8)
        bits[:, : x.shape[1]] = x
        bits[:, -8:-1], bits[:, -1] = y, learn
        if self._batches:
            bits[:, -2] = np.arange(1, len(x) + 1) == len(x) if last is None else last
        return bits.reshape(-1, 8)

    def prediction(self, results: Array) -> Array:
        """Class numbers of :data:`LABEL_BITS` bits."""
        number = super().prediction(results)
        return np.pad(number, ((0, 0), (0, LABEL_BITS - number.shape[1])))
