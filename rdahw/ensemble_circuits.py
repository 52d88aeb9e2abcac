"""Ensembles as ordinary circuits: the binarised one at any size, and the whole learning step at small sizes.

Numbers on wires are unsigned or two's complement, bit 0 least significant. A class number is the smallest width that
holds all of them (the label code ``binary``), or one wire a class (``one-hot``).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rdahw.circuit import Circuit
from rdahw.data.labels import Code, label_width
from rdahw.ensemble import Counters, EnsembleSpec, check_counters, make_wiring
from rdahw.errors import UsageError
from rdahw.primitives import Array
from rdahw.tracing import Wire, cat, equal, mux, trace
from rdahw.types import Bits

__all__ = [
    "binarise",
    "boolean_ensemble",
    "boolean_model",
    "counters_to_bits",
    "step_bits",
    "step_circuit",
    "tables_to_bits",
]

#: The most table bits of a model in the form of a circuit: beyond it nothing that takes circuits has any use for it.
MAX_TABLE_BITS = 1 << 24

#: The widest state whose learning step is traced: beyond it a circuit is no form for an ensemble.
MAX_STEP_BITS = 1 << 16


def binarise(counters: Counters) -> Array:
    """The table bits, 0 or 1, in the shape of ``counters``: 1 where a counter is not negative."""
    return (counters >= 0).astype(np.uint8)


def boolean_ensemble(spec: EnsembleSpec, tables: Array, code: Code = "binary") -> Circuit:
    """``input_bits → label``: the ensemble with the bits ``tables`` (tables, 2^inputs, classes) as its constants.

    Each table looks up one bit a class; the class with the most bits set wins, the lowest number on a tie. This is
    what an ensemble with ``sign`` predicts if ``tables`` are its counters' signs (:func:`binarise`).
    """
    tables = tables_to_bits(spec, tables).reshape(spec.tables, -1)

    def predict(x: Wire) -> Wire:
        constants = [int.from_bytes(np.packbits(table, bitorder="little").tobytes(), "little") for table in tables]
        return _most_votes(spec, [x.const(value, tables.shape[1]) for value in constants], x, code)

    return trace(predict, x=Bits(spec.input_bits))


def boolean_model(spec: EnsembleSpec, code: Code = "binary") -> Circuit:
    """``f : P × A → B``, the model of which :func:`boolean_ensemble` is the value at ``theta``, its table bits.

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

    Bit ``((j * classes + c) << inputs) + index`` is what table j says of class c at ``index``, as in a lookup model.
    """
    tables = np.asarray(tables, np.uint8)
    if tables.shape != spec.counters_shape or tables.max(initial=0) > 1:
        raise UsageError(f"table bits of shape {tables.shape} were given; expected 0 and 1 of {spec.counters_shape}")
    return np.ascontiguousarray(tables.transpose(0, 2, 1)).reshape(-1)


def _most_votes(spec: EnsembleSpec, tables: Sequence[Wire], x: Wire, code: Code) -> Wire:
    """The class that most tables have a bit set for, given the bits of each table, output after output."""
    votes = [table.lookup(x.gather(wires)) for table, wires in zip(tables, make_wiring(spec).tolist(), strict=True)]
    every = cat(*votes)
    counts = [every.gather(range(c, every.width, spec.classes)).popcount() for c in range(spec.classes)]
    return _coded(_largest(counts, spec.classes), spec.classes, code)


def _coded(number: Wire, classes: int, code: Code) -> Wire:
    return number.decode()[:classes] if code == "one-hot" else number


def _largest(scores: Sequence[Wire], classes: int) -> Wire:
    """The number of the largest of unsigned ``scores``, the lowest on a tie, by a tree of comparisons."""
    width = label_width(classes, "binary")
    left = [(score, score.const(c, width)) for c, score in enumerate(scores)]
    while len(left) > 1:
        pairs = zip(left[::2], left[1::2], strict=False)
        odd = left[len(left) // 2 * 2 :]
        left = [_better(a, b) for a, b in pairs] + odd
    return left[0][1]


def _better(a: tuple[Wire, Wire], b: tuple[Wire, Wire]) -> tuple[Wire, Wire]:
    first = b[0] <= a[0]
    return mux(first, a[0], b[0]), mux(first, a[1], b[1])


# -- the learning step -------------------------------------------------------------------------------------------------


def counters_to_bits(spec: EnsembleSpec, counters: Counters, dropout_state: int) -> Array:
    """The state of :func:`step_circuit` as bits, (S,): see there for their order."""
    counters = check_counters(spec, counters)
    bits = (counters.reshape(-1, 1).astype(np.int64) >> np.arange(spec.counter)) & 1
    state = [bits.reshape(-1)]
    if spec.dropout:
        state.append(np.array([dropout_state >> i & 1 for i in range(63)]))
    return np.concatenate(state).astype(np.uint8)


def step_bits(spec: EnsembleSpec) -> int:
    """How many bits the state of :func:`step_circuit` has."""
    return spec.parameter_bits + (63 if spec.dropout else 0)


def step_circuit(spec: EnsembleSpec) -> Circuit:
    """``step : S × A × B → S``, one update by one example, and what was predicted before it.

    S: the counters, bit ``((j * 2^inputs + index) * classes + c) * counter + b`` is bit b of a counter in two's
    complement; with dropout the shift register's 63 bits follow, the oldest first. B: the target's number, ``binary``.
    Outputs: ``state``, ``prediction`` (binary), ``updated`` (one bit). Raises :class:`UsageError` if the state is
    large.
    """
    if step_bits(spec) > MAX_STEP_BITS:
        raise UsageError(
            f"the learning step of {spec.tables} tables of {spec.inputs} inputs would have a state of "
            f"{step_bits(spec)} bits; a circuit takes at most {MAX_STEP_BITS}: lower tables or inputs, or use the "
            "ensemble engine"
        )
    wiring = make_wiring(spec)
    width = _score_width(spec)
    label = label_width(spec.classes, "binary")

    def step(state: Wire, x: Wire, target: Wire) -> dict[str, Wire]:
        kept, register = _drop(spec, state)
        indices = [x.gather(wires) for wires in wiring.tolist()]
        # [table][class], each of ``counter`` bits
        addressed = [
            [_addressed(spec, state, j, c, indices[j]) for c in range(spec.classes)] for j in range(spec.tables)
        ]
        scores = [
            _total([_vote(spec, addressed[j][c], width) & kept[j].repeat(width) for j in range(spec.tables)])
            for c in range(spec.classes)
        ]
        ordered = [score ^ score.const(1 << width - 1, width) for score in scores]  # signed order as unsigned order
        prediction = _largest(ordered, spec.classes)
        is_target = [equal(target, c) for c in range(spec.classes)]
        # The target is no rival: it counts as below the lowest score that there can be.
        rival = _largest([score & ~t.repeat(width) for score, t in zip(ordered, is_target, strict=True)], spec.classes)
        is_rival = [equal(rival, c) for c in range(spec.classes)]
        lead_of_rival = _total([_chosen(scores, is_rival), state.const(spec.margin, width)])
        updated = _less_equal_signed(_chosen(scores, is_target), lead_of_rival)
        counters = []
        for j in range(spec.tables):
            change = kept[j] & updated
            at = indices[j].decode()
            new = [_bumped(addressed[j][c], is_target[c] & change, is_rival[c] & change) for c in range(spec.classes)]
            row = cat(*new)
            old = state[j * (row.width << spec.inputs) : (j + 1) * (row.width << spec.inputs)]
            for a in range(1 << spec.inputs):
                counters.append(mux(at[a], row, old[a * row.width : (a + 1) * row.width]))
        return {"state": cat(*counters, *register), "prediction": prediction, "updated": updated}

    return trace(step, state=Bits(step_bits(spec)), x=Bits(spec.input_bits), y=Bits(label))


def _score_width(spec: EnsembleSpec) -> int:
    """So many bits that neither a score nor a score plus the margin wraps, nor is a score the lowest number."""
    largest = (spec.tables << (0 if spec.sign else spec.counter - 1)) + spec.margin
    return largest.bit_length() + 2


def _drop(spec: EnsembleSpec, state: Wire) -> tuple[list[Wire], list[Wire]]:
    """One bit a table that says whether it is kept, and the shift register's next state."""
    bits, below = spec.dropout_rule
    if not bits:
        return [state.const(1, 1)] * spec.tables, []
    stream = [state[spec.parameter_bits + i] for i in range(63)]
    for t in range(63, 63 + spec.tables * bits):
        stream.append(stream[t - 63] ^ stream[t - 32])
    drawn = [cat(*stream[63 + j * bits : 63 + (j + 1) * bits]) for j in range(spec.tables)]
    return [number >= below for number in drawn], [cat(*stream[-63:])]


def _addressed(spec: EnsembleSpec, state: Wire, table: int, label: int, index: Wire) -> Wire:
    """The counter of a class in the row that ``index`` addresses."""
    rows = np.arange(table << spec.inputs, (table + 1) << spec.inputs)
    places = (rows * spec.classes + label) * spec.counter + np.arange(spec.counter)[:, None]
    return state.gather(places.reshape(-1).tolist()).lookup(index)


def _vote(spec: EnsembleSpec, counter: Wire, width: int) -> Wire:
    """What a counter adds to a score."""
    if spec.sign:
        return (~counter[spec.counter - 1]).extend(width)
    return cat(counter, counter[spec.counter - 1].repeat(width - spec.counter))


def _total(terms: Sequence[Wire]) -> Wire:
    """The sum in two's complement on the terms' own width."""
    terms = list(terms)
    while len(terms) > 1:
        sums = [a.plus(b)[: a.width] for a, b in zip(terms[::2], terms[1::2], strict=False)]
        terms = sums + terms[len(terms) // 2 * 2 :]
    return terms[0]


def _chosen(wires: Sequence[Wire], which: Sequence[Wire]) -> Wire:
    """The one of ``wires`` whose bit in ``which`` is set."""
    parts = [wire & bit.repeat(wire.width) for wire, bit in zip(wires, which, strict=True)]
    return cat(*parts).sum(len(parts))


def _less_equal_signed(a: Wire, b: Wire) -> Wire:
    lowest = a.const(1 << a.width - 1, a.width)
    return (a ^ lowest) <= (b ^ lowest)


def _bumped(counter: Wire, up: Wire, down: Wire) -> Wire:
    """A counter one up or one down, but never beyond its bits."""
    k = counter.width
    highest, lowest = equal(counter, (1 << k - 1) - 1), equal(counter, 1 << k - 1)
    up, down = up & ~highest, down & ~lowest
    return counter.plus(cat(up | down, *[down] * (k - 1)))[:k]
