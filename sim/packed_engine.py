"""The packed engine of learners: millions of sequential updates a second, large batches 64 examples a word.

There are three implementations with the same bits. The built-in models have kernels (:mod:`rdahw.sim.model_kernels`).
Any other learner runs on whole wires, one example at a time (:mod:`rdahw.sim.word_kernels`), or for large batches on
:class:`rdahw.sim.packed.Packed` circuits.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdahw.bits import BitRows
from rdahw.errors import UserError
from rdahw.families.lookup import MAX_LOOKUP_INPUTS, lookup_model
from rdahw.families.mask import mask_model
from rdahw.learner import Learner
from rdahw.primitives import Array
from rdahw.sim.packed import Packed, thread_count
from rdahw.sim.packing import Words, pack_examples, pack_wires, unpack_examples, unpack_wires, words_for
from rdahw.word_primitives import sum_of_counts

__all__ = ["PackedEngine", "PackedExamples"]

Numbers = NDArray[np.int64]

#: The smallest batch that is run on packed circuits.
_MANY = 64
#: Learners whose wires have more bits than this are not lowered to gates.
_MOST_BITS = 1 << 19


@dataclass(frozen=True, slots=True, eq=False)
class PackedExamples:
    """Examples from :meth:`PackedEngine.prepare`: as they were given, and packed by wires."""

    x_bits: BitRows
    y_bits: Array
    x: Words
    y: Words

    def __len__(self) -> int:
        return len(self.x_bits)


@dataclass(frozen=True, slots=True, eq=False)
class _Kernels:
    """The kernels that run a learner example by example.

    train: ``(theta, x, y, rows, ends, until_change, wrong, done)``; see :func:`rdahw.sim.word_kernels.train_words`.
    predict: ``(theta, x, outputs)``. All packed by wires.
    general: they interpret the circuits, and packed circuits are faster on many examples.
    """

    train: Callable[..., None]
    predict: Callable[..., None]
    general: bool = False


def _kernels(learner: Learner) -> _Kernels:
    if (learner.loss, learner.optimiser) == ("xor", "xor"):
        for recognise in (_lookup_kernels, _mask_kernels):
            if found := recognise(learner):
                return found
    return _general_kernels(learner)


def _lookup_kernels(learner: Learner) -> _Kernels | None:
    from rdahw.sim.model_kernels import predict_lookup, train_lookup

    model = learner.model
    sizes = model.input_bits, model.output_bits
    if model.input_bits > MAX_LOOKUP_INPUTS or model.circuit != lookup_model(*sizes):
        return None
    return _Kernels(partial(train_lookup, *sizes), partial(predict_lookup, *sizes))


def _mask_kernels(learner: Learner) -> _Kernels | None:
    from rdahw.sim.model_kernels import predict_mask, train_mask

    model = learner.model
    blocks = [a.attributes[0].name for a in model.circuit.assignments if a.primitive == "custom"]
    # The name only tells which circuit to compare with.
    numbers = re.search(r"k = ([1-9]\d{0,8})$", blocks[0]) if blocks else None
    if not numbers or model.circuit != mask_model(model.input_bits, int(numbers[1])):
        return None
    sizes = model.input_bits, int(numbers[1])
    return _Kernels(partial(train_mask, *sizes), partial(predict_mask, *sizes))


def _general_kernels(learner: Learner) -> _Kernels:
    from rdahw.sim.word_kernels import run_words, train_words
    from rdahw.sim.word_program import WordProgram

    def machine(program: WordProgram) -> tuple[Any, ...]:
        places = np.array([place.at for place in (*program.inputs, *program.outputs)], np.int64)
        return program.code, program.pool, program.memory, places

    circuits = (learner.request, learner.total, learner.update)
    steps = tuple(part for circuit in circuits for part in machine(WordProgram.of(circuit)))
    model = WordProgram.of(learner.model.predictor)
    places = model.output_words

    def predict(theta: Words, x: Words, outputs: Words) -> None:
        model.memory[: len(theta)] = theta
        run_words(model.code, model.pool, model.memory, len(theta), x, places, outputs)

    return _Kernels(partial(train_words, *steps), predict, general=True)


class PackedEngine:
    """A learner run on packed words, with the bits of :class:`rdahw.sim.engines.ReferenceEngine`.

    ``threads`` (``None``: all cores) are used for large batches and many predictions. Not thread-safe.
    """

    name = "packed"

    def __init__(self, learner: Learner, *, threads: int | None = 1) -> None:
        self.learner = learner
        self.threads = thread_count(threads)
        self._kernels = _kernels(learner)
        self._theta: Words = np.zeros(words_for(learner.model.parameter_bits), np.uint64)
        circuits = (learner.request, learner.update)
        bits = sum(t.width for circuit in circuits for t in circuit.types)
        # As gates, products of words take far longer to make than they save.
        multiplies = any(a.primitive == "multiply_words" for circuit in circuits for a in circuit.assignments)
        self._may_pack = self._kernels.general and bits <= _MOST_BITS and not multiplies

    @property
    def parameters(self) -> Array:
        """A copy of the parameters, (P,)."""
        return unpack_wires(self._theta, self.learner.model.parameter_bits)

    @parameters.setter
    def parameters(self, value: Array) -> None:
        bits = self.learner.model.parameter_bits
        if np.shape(value) != (bits,):
            raise UserError(f"parameters of shape {np.shape(value)} were given; expected ({bits},)")
        self._theta = pack_wires(np.asarray(value, np.uint8))

    def train(self, x: Array, y: Array) -> Array:
        """Apply one batch; returns the predictions (N, B) before the update."""
        outputs = self.predict(x)
        n = np.array([len(x)], np.int64)
        self.train_many(self.prepare(x, y), np.arange(len(x), dtype=np.int64), n)
        return outputs

    def predict(self, x: BitRows) -> Array:
        """The outputs (N, B) with the current parameters."""
        _check("inputs", x, self.learner.model.input_bits)
        if self._packs(len(x)):
            (packed,) = self._model.run(self._shared_theta(), pack_examples(x), words=words_for(len(x)))
            return unpack_examples(packed, len(x))
        return unpack_wires(self._predict_words(pack_wires(x)), self.learner.model.output_bits)

    # -- many updates at once: rdahw.sim.engines.Runner ----------------------------------------------------------------

    def prepare(self, x: BitRows, y: Array) -> PackedExamples:
        """Inputs (N, A) and labels (N, B) in the form that :meth:`train_many` and :meth:`outputs` take."""
        _check("inputs", x, self.learner.model.input_bits)
        _check("labels", y, self.learner.model.output_bits)
        return PackedExamples(x, y, pack_wires(x), pack_wires(y))

    def train_many(
        self, examples: PackedExamples, rows: Numbers, ends: Numbers, *, until_change: bool = False
    ) -> Numbers:
        """See :meth:`rdahw.sim.engines.Runner.train_many`."""
        rows, ends = np.ascontiguousarray(rows, np.int64), np.ascontiguousarray(ends, np.int64)
        # The kernels do not check indices.
        if len(rows) and not 0 <= rows.min() <= rows.max() < len(examples):
            raise UserError(f"rows are {rows.min()} to {rows.max()}; expected 0 to {len(examples) - 1}")
        if len(ends) and ((np.diff(ends, prepend=0) < 0).any() or ends[-1] > len(rows)):
            raise UserError(f"the ends of the batches go up to {ends.max()}; expected to {len(rows)}, and in order")
        wrong = np.zeros(len(ends), np.int64)
        largest = int(np.diff(ends, prepend=0).max(initial=0))
        self.learner.check_batch(largest)
        if self._packs(largest):
            start = 0
            for u, end in enumerate(ends.tolist()):
                before = self._theta
                wrong[u] = self._train_packed(examples, rows[start:end])
                start = end
                if until_change and (self._theta != before).any():
                    return wrong[: u + 1]
            return wrong
        done = np.zeros(1, np.int64)
        self._kernels.train(self._theta, examples.x, examples.y, rows, ends, until_change, wrong, done)
        return wrong[: done[0]]

    def outputs(self, prepared: PackedExamples) -> Array:
        """The predictions (N, B) with the current parameters."""
        if self._packs(len(prepared)):
            return self.predict(prepared.x_bits)
        return unpack_wires(self._predict_words(prepared.x), self.learner.model.output_bits)

    # -- packed circuits -----------------------------------------------------------------------------------------------

    @cached_property
    def _model(self) -> Packed:
        return Packed(self.learner.model.predictor, threads=self.threads)

    @cached_property
    def _request(self) -> Packed:
        return Packed(self.learner.request, threads=self.threads)

    @cached_property
    def _update(self) -> Packed:
        return Packed(self.learner.update)

    def _packs(self, examples: int) -> bool:
        return self._may_pack and examples >= _MANY

    def _shared_theta(self) -> Words:
        """The parameters as (P, 1): a word of equal bits each."""
        return (-self.parameters.astype(np.int64)).view(np.uint64)[:, None]

    def _predict_words(self, x: Words) -> Words:
        outputs = np.empty((len(x), words_for(self.learner.model.output_bits)), np.uint64)
        self._kernels.predict(self._theta, x, outputs)
        return outputs

    def _train_packed(self, examples: PackedExamples, rows: Numbers) -> int:
        """Apply one batch; returns how many of its examples were predicted wrongly."""
        y = pack_examples(examples.y_bits[rows])
        requests, outputs = self._request.run(self._shared_theta(), pack_examples(examples.x_bits[rows]), y)
        valid = np.full(requests.shape[1], ~np.uint64(0))
        valid[-1] >>= np.uint64(-len(rows) % 64)
        wrong = np.bitwise_or.reduce(outputs ^ y, axis=0) & valid
        counts = np.unpackbits((requests & valid).view(np.uint8), axis=1).sum(axis=1, dtype=np.int64)
        dtheta = sum_of_counts(self.learner.model.circuit.input_types[0], counts)
        (self.parameters,) = self._update(self.parameters, dtheta)
        return int(np.unpackbits(wrong.view(np.uint8)).sum())


def _check(what: str, array: BitRows, width: int) -> None:
    if len(array.shape) != 2 or array.shape[1] != width:
        raise UserError(f"{what} of shape {array.shape} were given; expected (examples, {width})")
