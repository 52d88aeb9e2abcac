"""Ensembles as circuits: the binarised one at any size, and for small sizes the model and its learning step.

The step is that of a :class:`rdahw.Learner`: the model is linear in its counters, the loss is ``margin``, the
optimiser ``counter``. Numbers on wires are unsigned or two's complement, bit 0 least significant. Classes are encoded
as ``binary`` or ``one-hot`` labels (:mod:`rdahw.data.labels`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from rdahw.circuit import Circuit
from rdahw.custom import custom_reverse
from rdahw.data.labels import Code, label_width
from rdahw.errors import UsageError
from rdahw.families.ensemble.rule import Counters
from rdahw.families.ensemble.spec import EnsembleSpec, make_wiring
from rdahw.learner import Learner
from rdahw.model import Model
from rdahw.primitives import Array
from rdahw.scores import largest
from rdahw.tracing import Wire, WordWire, cat, equal, trace
from rdahw.types import Bits, Words
from rdahw.word_primitives import from_planes, planes

__all__ = [
    "binarise",
    "boolean_ensemble",
    "boolean_model",
    "ensemble_learner",
    "ensemble_model",
    "score_bits",
    "step_bits",
    "step_circuit",
    "tables_to_bits",
]

#: The most table bits of a model as a circuit; nothing that takes circuits can handle more.
MAX_TABLE_BITS = 1 << 24

#: The most state bits of a learning step as a circuit; larger circuits take too long to make.
MAX_STEP_BITS = 1 << 16


def binarise(counters: Counters) -> Array:
    """The table bits, 0 or 1, in the shape of ``counters``: 1 where a counter is not negative."""
    return (counters >= 0).astype(np.uint8)


def boolean_ensemble(spec: EnsembleSpec, tables: Array, code: Code = "binary") -> Circuit:
    """``input_bits → label``: the ensemble with the bits ``tables`` (tables, 2^inputs, classes) as its constants.

    Each table looks up one bit per class. The prediction is the class with the most bits set, the lowest on a tie: that
    of an ensemble with ``sign`` if ``tables`` are the signs of its counters (:func:`binarise`).
    """
    tables = tables_to_bits(spec, tables).reshape(spec.tables, -1)

    def predict(x: Wire) -> Wire:
        constants = [int.from_bytes(np.packbits(table, bitorder="little").tobytes(), "little") for table in tables]
        return _most_votes(spec, [x.const(value, tables.shape[1]) for value in constants], x, code)

    return trace(predict, x=Bits(spec.input_bits))


def boolean_model(spec: EnsembleSpec, code: Code = "binary") -> Circuit:
    """``f : P × A → B``, whose parameters are the table bits; :func:`boolean_ensemble` has them as constants.

    P: see :func:`tables_to_bits`. Raises :class:`UsageError` for more than ``MAX_TABLE_BITS``.
    """
    size = spec.classes << spec.inputs
    if spec.tables * size > MAX_TABLE_BITS:
        raise UsageError(
            f"{spec.tables} tables of {spec.inputs} inputs for {spec.classes} classes have {spec.tables * size} bits, "
            f"and a circuit takes at most {MAX_TABLE_BITS}; train with fewer tables or inputs"
        )

    def predict(theta: Wire, x: Wire) -> Wire:
        return _most_votes(spec, [theta[j * size : (j + 1) * size] for j in range(spec.tables)], x, code)

    return trace(predict, theta=Bits(spec.tables * size), x=Bits(spec.input_bits))


def tables_to_bits(spec: EnsembleSpec, tables: Array) -> Array:
    """The bits ``tables`` (tables, 2^inputs, classes) as parameters of :func:`boolean_model`, (P,).

    Bit ``((j * classes + c) << inputs) + index`` is the bit of table j for class c at ``index``, as in a lookup model.
    """
    tables = np.asarray(tables, np.uint8)
    if tables.shape != spec.counters_shape or tables.max(initial=0) > 1:
        raise UsageError(f"table bits have shape {tables.shape}; expected 0 and 1 of shape {spec.counters_shape}")
    return np.ascontiguousarray(tables.transpose(0, 2, 1)).reshape(-1)


def _most_votes(spec: EnsembleSpec, tables: Sequence[Wire], x: Wire, code: Code) -> Wire:
    """The class with the most bits set; ``tables``: the bits of each table, class by class."""
    votes = [table.lookup(x.gather(wires)) for table, wires in zip(tables, make_wiring(spec).tolist(), strict=True)]
    every = cat(*votes)
    counts = [every.gather(range(c, every.width, spec.classes)).popcount() for c in range(spec.classes)]
    number = largest(counts)
    return number.decode()[: spec.classes] if code == "one-hot" else number


# -- the model ---------------------------------------------------------------------------------------------------------


def score_bits(spec: EnsembleSpec) -> int:
    """The smallest width of words that hold every counter and every score without wrapping."""
    largest_score = spec.tables << (0 if spec.sign else spec.counter - 1)
    return max(spec.counter, largest_score.bit_length() + 1)


def ensemble_model(spec: EnsembleSpec, *, dropout: bool = False) -> Circuit:
    """``f : P × A → B``: the class scores of an ensemble, from its counters ``theta`` and the input ``x``.

    P: a word for each counter; counter (j, index, c) is word ``(j * 2^inputs + index) * classes + c``. B: a word per
    class. Both have :func:`score_bits` bits, so that sums never wrap, and f is linear in theta over Z_2^k: its reverse
    derivative is exact. With ``sign`` each addressed counter counts as 1 where it is not negative, else 0, by a block
    whose reverse derivative is a declared surrogate: that of the identity.

    With ``dropout`` A has one further bit per table, 1 if the table is kept. Raises :class:`UsageError` if the counters
    have more than ``MAX_STEP_BITS`` bits.
    """
    _check_size(spec, spec.parameters.bits)
    wiring = make_wiring(spec).reshape(-1).tolist()
    bits = score_bits(spec)

    def scores(theta: WordWire, x: Wire) -> Wire:
        votes: Wire = theta.lookup(x.gather(wiring), spec.tables)
        if spec.sign:
            votes = _signs(len(votes), bits)(votes)
        assert isinstance(votes, WordWire)
        if dropout:
            kept = x[spec.input_bits :].gather(j for j in range(spec.tables) for _ in range(spec.classes))
            votes = votes.mask(kept)
        return votes.sum(spec.tables)

    counters = Words(int(np.prod(spec.counters_shape)), bits)
    return trace(scores, theta=counters, x=Bits(spec.input_bits + (spec.tables if dropout else 0)))


def ensemble_learner(spec: EnsembleSpec, *, dropout: bool = False) -> Learner:
    """The learner of :func:`ensemble_model`, with the margin and counter bits of ``spec``. Raises as that function."""
    model = Model("ensemble", ensemble_model(spec, dropout=dropout))
    return Learner(model, f"margin={spec.margin}", f"counter={spec.counter}")


def _signs(count: int, bits: int) -> Callable[..., Wire]:
    """1 for each word that is not negative, else 0; its reverse derivative is that of the identity."""
    type_ = Words(count, bits)

    def sign(v: WordWire) -> Wire:
        positive = ~planes(v.as_bits(), bits)[-1]
        return from_planes([positive, *[v.builder.apply("const", attributes=(0, count))] * (bits - 1)]).as_words(bits)

    through = trace(lambda v, dy: dy, v=type_, dy=type_)
    return custom_reverse(trace(sign, v=type_), through, name="signs of counters", exact=False)


def _check_size(spec: EnsembleSpec, bits: int) -> None:
    if bits > MAX_STEP_BITS:
        raise UsageError(
            f"the learning step of {spec.tables} tables of {spec.inputs} inputs would have a state of {bits} bits; a "
            f"circuit takes at most {MAX_STEP_BITS}: lower tables or inputs, or convert the trained model to a circuit "
            "with rdahw binarise"
        )


# -- the learning step -------------------------------------------------------------------------------------------------


def step_bits(spec: EnsembleSpec) -> int:
    """The number of bits S of the state of :func:`step_circuit`."""
    return spec.parameters.bits + (63 if spec.dropout else 0)


def step_circuit(spec: EnsembleSpec) -> Circuit:
    """``step : S × A × B → S``, one update by one example: the step of a :class:`rdahw.Learner`, with the dropout and
    with counters of ``counter`` bits.

    S: the counters, bit ``((j * 2^inputs + index) * classes + c) * counter + b`` is bit b of a counter in two's
    complement; with dropout the shift register's 63 bits follow, the oldest first. B: the target's number, ``binary``.
    Outputs: ``state``, ``prediction`` (binary, made before the update), ``updated`` (one bit). Raises
    :class:`UsageError` for more than ``MAX_STEP_BITS`` bits of state.
    """
    _check_size(spec, step_bits(spec))
    dropout = bool(spec.dropout)
    learner = ensemble_learner(spec, dropout=dropout)
    bits, label = score_bits(spec), label_width(spec.classes, "binary")

    def step(state: Wire, x: Wire, target: Wire) -> dict[str, Wire]:
        kept, register = _drop(spec, state) if dropout else ([], [])
        weights = planes(state[: spec.parameters.bits], spec.counter)
        theta = from_planes([*weights, *[weights[-1]] * (bits - spec.counter)]).as_words(bits)
        data, wanted = cat(x, *kept), target.decode()[: spec.classes]
        request, prediction = learner.request(theta, data, wanted)
        cotangent = learner.cotangent(learner.model.circuit(theta, data), wanted)
        counters = from_planes(planes(learner.update(theta, request).as_bits(), bits)[: spec.counter])
        return {
            "state": cat(counters, *register),
            "prediction": _number(prediction, label),
            "updated": ~equal(cotangent.as_bits(), 0),
        }

    return trace(step, state=Bits(step_bits(spec)), x=Bits(spec.input_bits), y=Bits(label))


def _number(one_hot: Wire, width: int) -> Wire:
    """The index of the one bit that is set."""
    classes = range(one_hot.width)
    return cat(*(one_hot.gather(c for c in classes if c >> b & 1).parity() for b in range(width)))


def _drop(spec: EnsembleSpec, state: Wire) -> tuple[list[Wire], list[Wire]]:
    """One bit per table, 1 if it is kept, and the next state of the shift register."""
    bits, below = spec.dropout_rule
    stream = [state[spec.parameters.bits + i] for i in range(63)]
    for t in range(63, 63 + spec.tables * bits):
        stream.append(stream[t - 63] ^ stream[t - 32])
    drawn = [cat(*stream[63 + j * bits : 63 + (j + 1) * bits]) for j in range(spec.tables)]
    return [number >= below for number in drawn], [cat(*stream[-63:])]
