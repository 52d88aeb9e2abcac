"""The family ``coverage``: lookup tables that count what they see in normal examples find examples that are not normal.

A **coverage model** has N lookup tables; each reads n random bits of the input and counts how many training examples
were in each of its 2^n cells, up to 32,767. A cell with count c is worth its *level*, floor(log2(c + 1)), 0 to 15; the
*score* of an example is the sum of the levels of its cells, so that examples like many others have large scores. The
prediction is the score, less the *offset* of the model, plus 2^15: an example is an **anomaly** where that is below
2^15 (:data:`rdahw.data.NORMAL`).

All examples are counted at once, in one epoch. Then the offset is set so that about A of 1,000 examples that are normal
but new are taken for anomalies (the option ``alarm_rate``): it is score number A N div 1000, from 0, in rising order,
of the N training examples, each scored as if it were not there, that is with one less in each of its cells.

Table j reads the bits ``draw(stream(seed, "wiring", j), A, n)`` of the A input bits (:mod:`rdahw.random`,
:func:`rdahw.families.grown.spec.draw`), the lowest bit of the index first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from rdahw.bits import BitRows
from rdahw.data import DECISIONS, NORMAL, Code
from rdahw.data._json import damaged, is_int, members
from rdahw.errors import UsageError, UserError
from rdahw.families.boosted import FAMILY as BOOSTED
from rdahw.families.grown.spec import draw
from rdahw.family import Family, Option, Spec, Task
from rdahw.random import stream
from rdahw.state import Field, State
from rdahw.table_scores import TableLayer
from rdahw.types import Bits, Words

if TYPE_CHECKING:
    from rdahw.circuit import Circuit
    from rdahw.learner import Learner
    from rdahw.tracing import Wire
    from rdahw.training import Schedule

__all__ = ["FAMILY", "Coverage", "CoverageSpec", "coverage_model", "levels"]

#: The largest count; its level is 15.
MOST = (1 << 15) - 1

OPTIONS = (
    Option(name="tables", default=256, range=(1, 2048), help="count in this many tables"),
    Option(name="inputs", usual="8, or all if there are fewer", range=(1, 12), help="read this many bits each"),
    Option(
        name="alarm_rate",
        default=50,
        range=(0, 500),
        help="take about this many of 1,000 new normal examples for anomalies",
    ),
)


def levels(counts: NDArray[Any]) -> NDArray[np.int64]:
    """The levels of counts, of the same shape."""
    return np.frexp(counts.astype(np.float64) + 1)[1].astype(np.int64) - 1


@dataclass(frozen=True, kw_only=True)
class CoverageSpec(Spec):
    """All that decides what a coverage model is; see :data:`OPTIONS`. Raises :class:`UsageError` for a value that
    cannot be."""

    family: ClassVar[str] = "coverage"
    code: ClassVar[Code] = "binary"
    classes: ClassVar[int] = DECISIONS
    loss: ClassVar[str] = "coverage"
    optimiser: ClassVar[str] = "counter=16"

    input_bits: int
    tables: int = 256
    inputs: int = 8
    alarm_rate: int = 50
    seed: int = 0

    def __post_init__(self) -> None:
        ranges = {option.name: option.range for option in OPTIONS}
        for name, (least, most) in {"input_bits": (1, 1 << 26), "seed": (0, (1 << 64) - 1), **ranges}.items():
            value = getattr(self, name)
            if not is_int(value) or not least <= value <= most:
                raise UsageError(
                    f"{name} of a coverage model is {value!r}; expected a whole number from {least} to {most}"
                )
        if self.inputs > self.input_bits:
            raise UsageError(f"inputs is {self.inputs}, and there are {self.input_bits} input bits; lower it")

    @property
    def name(self) -> str:
        """«coverage:tables=256,inputs=8»."""
        return f"coverage:tables={self.tables},inputs={self.inputs}"

    @property
    def description(self) -> str:
        """«coverage of 256 tables of 8 inputs, 93 bits»."""
        return f"coverage of {self.tables} tables of {self.inputs} inputs, {self.input_bits} bits"

    @cached_property
    def wiring(self) -> NDArray[np.int64]:
        """The input bits that each table reads, (tables, inputs)."""
        keys = (stream(self.seed, "wiring", j) for j in range(self.tables))
        return np.stack([draw(key, self.input_bits, self.inputs) for key in keys])

    def options(self) -> dict[str, Any]:
        """The value of each option of the family."""
        return {option.name: getattr(self, option.name) for option in OPTIONS}

    @property
    def fields(self) -> tuple[Field, ...]:
        """``counts`` (tables, 2^inputs), and ``offset`` (1,)."""
        return (Field("counts", Words(1, 16), (self.tables, 1 << self.inputs)), Field("offset", Words(1, 16)))

    def check_state(self, state: State) -> None:
        """Raise :class:`UserError` for counts below 0, and for an offset that is no score."""
        if state["counts"].min() < 0:
            raise damaged("the field 'counts'", f"numbers from 0 to {MOST}")
        if not 0 <= state["offset"][0] <= 15 * self.tables:
            raise damaged("the field 'offset'", f"a number from 0 to {15 * self.tables}")

    def typical_state(self) -> State:
        """With drawn counts that are not negative."""
        drawn = Spec.typical_state(self)
        return {**drawn, "counts": np.abs(drawn["counts"])}

    def schedule(self, examples: int) -> Mapping[str, Any]:
        """One update, by all examples."""
        return {"batch": examples, "epochs": 1, "shuffle": False}

    def check_schedule(self, schedule: Schedule, examples: int | None = None) -> None:
        """Raise :class:`UsageError` for more than one update."""
        if schedule.epochs > 1 or examples is not None and schedule.batch < examples:
            raise UsageError("a coverage model counts all examples once; leave out epochs and batch")

    def score(self, predicted: NDArray[np.int64], labels: NDArray[np.int64]) -> int:
        """How many examples are rightly taken for normal or for anomalies."""
        return int(((predicted < NORMAL) == (labels > 0)).sum())

    def learner(self) -> Learner:
        """Raises :class:`UsageError`: the circuit of the trained model is :meth:`trained`."""
        raise UsageError(
            f"model {self.name!r} has no learning circuit, as its offset depends on all examples; train it in software "
            "(without --hdl and --device) and give its file to the other commands, to rdahw synth with --inference"
        )

    def trained(self, state: State) -> tuple[Spec, State]:
        """The circuit of :func:`coverage_model`, whose parameters are the bits of the levels."""
        from rdahw.families.circuits import CircuitSpec
        from rdahw.learner import Learner
        from rdahw.model import Model

        made = CircuitSpec.of(Learner(Model(self.name, coverage_model(self, state))), code=self.code, classes=DECISIONS)
        found = [level >> np.arange(width)[:, None] & 1 for level, width in _held(state)]
        return made, {"parameters": np.concatenate([bits.reshape(-1) for bits in found]).astype(np.uint8)}

    def score_tables(self, state: State) -> TableLayer:
        """The levels, those of the first table less the offset: an example with a sum below 0 is an anomaly."""
        held = levels(state["counts"])[..., None]
        held[0] -= int(state["offset"][0])
        return TableLayer(self.wiring, held)

    def facts(self, state: State) -> dict[str, Any]:
        """``offset``, and ``seen_cells``, how many cells some example was in."""
        return {"offset": int(state["offset"][0]), "seen_cells": int((state["counts"] > 0).sum())}

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @classmethod
    def from_json(cls, value: object) -> CoverageSpec:
        """Read :meth:`to_json` back. Raises :class:`UserError` for a malformed value."""
        names = tuple(field.name for field in fields(cls))
        try:
            return cls(**dict(zip(names, members(value, "the coverage model", names), strict=True)))
        except UsageError as error:
            raise UserError(f"{error} (in the file: it is damaged or was not written by rdahw)") from None


class Coverage:
    """A coverage model that follows the rule of this module; slow, and the definition of every faster engine, which
    replaces :meth:`pack` and :meth:`cells`."""

    name = "reference"

    def __init__(self, spec: CoverageSpec) -> None:
        self.spec = spec
        self.state: dict[str, NDArray[Any]] = spec.initial_state()

    def pack(self, x: BitRows) -> Any:
        """Examples x (N, A), 0 and 1, as the other methods read them."""
        return np.asarray(x, np.uint8)

    def cells(self, packed: Any, wires: NDArray[np.int64]) -> NDArray[np.int64]:
        """The index (N,) of each example into a table that reads ``wires``."""
        cells: NDArray[np.int64] = (packed[:, wires].astype(np.int64) << np.arange(len(wires))).sum(axis=1)
        return cells

    def learn(self, packed: Any) -> None:
        """Count examples, at least one, and set the offset."""
        counts, alone = np.zeros_like(self.state["counts"]), np.zeros(len(packed), np.int64)
        for wires, held in zip(self.spec.wiring, counts, strict=True):
            cells = self.cells(packed, wires)
            held[:] = np.bincount(cells, minlength=len(held)).clip(max=MOST)
            alone += levels(held - 1)[cells]
        offset = np.sort(alone)[self.spec.alarm_rate * len(alone) // 1000]
        self.state = {"counts": counts, "offset": np.array([offset])}

    def scores(self, packed: Any) -> NDArray[np.int64]:
        """The scores (N,)."""
        total = np.zeros(len(packed), np.int64)
        for wires, held in zip(self.spec.wiring, levels(self.state["counts"]), strict=True):
            total += held[self.cells(packed, wires)]
        return total

    def predict(self, packed: Any) -> NDArray[np.int64]:
        """The predictions (N,), below :data:`rdahw.data.NORMAL` for anomalies."""
        return self.scores(packed) - int(self.state["offset"][0]) + NORMAL


def _held(state: State) -> list[tuple[NDArray[np.int64], int]]:
    """The levels (2^inputs,) of each table, and the bits of the largest."""
    return [(held, max(1, int(held.max()).bit_length())) for held in levels(state["counts"])]


def coverage_model(spec: CoverageSpec, state: State) -> Circuit:
    """``f : P × A → 16``: the prediction, an unsigned number, from the bits of the levels and the input.

    P: for each table, for each bit of its largest level, the lowest first, the bit at each index. Widths and offset are
    those of ``state``.
    """
    from rdahw.families.boosted.circuits import total
    from rdahw.tracing import trace

    widths, size, bits = [width for _, width in _held(state)], 1 << spec.inputs, DECISIONS.bit_length() - 1
    constant = NORMAL - int(state["offset"][0])

    def predict(theta: Wire, x: Wire) -> Wire:
        at, numbers = 0, []
        for width, wires in zip(widths, spec.wiring.tolist(), strict=True):
            numbers.append(theta[at : at + width * size].lookup(x.gather(wires)))
            at += width * size
        return total(numbers).extend(bits).plus(constant)[:bits]

    return trace(predict, theta=Bits(sum(widths) * size), x=Bits(spec.input_bits))


def make_coverage(task: Task, **options: Any) -> CoverageSpec:
    """The model of the family's options for ``task``; raises :class:`UsageError` for a value that cannot be."""
    inputs = min(8, task.input_bits) if options["inputs"] is None else options["inputs"]
    return CoverageSpec(input_bits=task.input_bits, seed=task.seed, **{**options, "inputs": inputs})


FAMILY = Family(
    name="coverage",
    help="lookup tables that count normal examples and so find those that are not normal (anomaly)",
    options=OPTIONS,
    make=make_coverage,
    read=CoverageSpec.from_json,
    tasks=("anomaly",),
    rules={"loss": {}, "optimiser": {}},
    binarise=BOOSTED.binarise,
    schedule={"scored": "epoch"},
    fit_classifier=BOOSTED.fit_classifier,
    thresholds=BOOSTED.thresholds,
)
