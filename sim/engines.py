"""Engines: what runs a learner for :class:`rdahw.training.Training`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from rdahw.errors import UsageError, nearest
from rdahw.learner import Learner
from rdahw.primitives import Array
from rdahw.sim.reference import Reference
from rdahw.training import Engine
from rdahw.word_rows import sum_of_counts

__all__ = ["ENGINES", "ReferenceEngine", "make_engine"]

#: How many bits of requests a batch may hold in memory at once; larger batches are summed part by part.
_PART = 1 << 24


class ReferenceEngine:
    """A learner run by the reference interpreter."""

    name = "reference"

    def __init__(self, learner: Learner) -> None:
        self.learner = learner
        self._request = Reference(learner.request)
        self._update = Reference(learner.update)
        self._model = Reference(learner.model.predictor)
        self._parameters: Array = np.zeros(learner.model.parameter_bits, np.uint8)
        self._part = max(1, _PART // learner.model.parameter_bits)

    @property
    def parameters(self) -> Array:
        """A copy of the parameters, (P,)."""
        return self._parameters.copy()

    @parameters.setter
    def parameters(self, value: Array) -> None:
        self._parameters = np.array(value, np.uint8)

    def train(self, x: Array, y: Array) -> Array:
        """Apply one batch, and give the predictions (N, B) before the update."""
        self.learner.check_batch(len(x))
        counts, outputs = np.zeros(len(self._parameters), np.int64), []
        for start in range(0, len(x), self._part):
            part = slice(start, start + self._part)
            requests, output = (_for_each(bits, x[part]) for bits in self._request(self._parameters, x[part], y[part]))
            outputs.append(output)
            counts += requests.sum(axis=0, dtype=np.int64)
        total = sum_of_counts(self.learner.model.circuit.input_types[0], counts)
        (self._parameters,) = self._update(self._parameters, total)
        return np.concatenate(outputs)

    def predict(self, x: Array) -> Array:
        """The predictions (N, B) at the present parameters."""
        return _for_each(self._model(self._parameters, x)[0], x)


def _for_each(bits: Array, x: Array) -> Array:
    """``bits`` as (examples, wires), also where they do not depend on the example."""
    return np.broadcast_to(bits, (len(x), bits.shape[-1]))


def _packed(learner: Learner) -> Engine:
    from rdahw.sim.packed_engine import PackedEngine

    return PackedEngine(learner)


#: The engines by name; each module is loaded when its engine is asked for.
ENGINES: Mapping[str, Callable[[Learner], Engine]] = {"reference": ReferenceEngine, "packed": _packed}


def make_engine(name: str, learner: Learner) -> Engine:
    """The engine of that name for ``learner``; raises :class:`UsageError` for an unknown one.

    The first use of a compiled engine takes seconds; see :func:`rdahw.sim.jit.on_compile`.
    """
    if name not in ENGINES:
        raise UsageError(f"engine {name!r} is unknown; {nearest(name, ENGINES)}")
    return ENGINES[name](learner)
