"""What a boosted model is, and its random choices: the candidates and the sample of each table.

A **boosted model** predicts a number: one of ``steps`` equal steps of a target (:class:`rdahw.data.Target`), counted
from 0. It is a sum of N lookup tables of n inputs that hold signed numbers:

    score = base + the sum of what the tables hold at their indices
    prediction = (score + 2^(shift - 1)) div 2^shift, limited to 0 .. steps - 1

Scores count in parts of a step, 2^shift to a step (with shift 0 the score itself is limited). Tables are grown in the
order of their numbers; :mod:`rdahw.families.boosted.rule` says how.

With ``labels`` it predicts a set of them instead: a number in binary, whose bit l says whether label l is in the set.
Base and tables then hold a number for each label, and so there is a score for each; its target is the first step for an
example without the label and the last step for one with it, and label l is predicted if score l is above the middle,
(steps - 1) 2^shift div 2.

Randomness, all of it from the spec's seed and portable (:mod:`rdahw.random` gives ``stream`` and ``words``): see
:func:`candidates` and :func:`sample`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from rdahw.data import MAX_LABELS, Code
from rdahw.data._json import damaged, is_int, members
from rdahw.errors import UsageError, UserError
from rdahw.families.grown.spec import draw, typical_wiring
from rdahw.family import Option, Spec
from rdahw.random import stream, words
from rdahw.state import Field, State
from rdahw.table_scores import TableLayer
from rdahw.types import Words

if TYPE_CHECKING:
    from rdahw.learner import Learner
    from rdahw.training import Schedule

__all__ = ["OPTIONS", "RANGES", "BoostedSpec", "candidates", "sample", "used_tables"]

#: The least and the most of each whole number of a spec.
RANGES = {
    "input_bits": (1, 1 << 26),
    "steps": (2, 1 << 16),
    "labels": (0, MAX_LABELS),
    "tables": (1, 1 << 15),
    "inputs": (1, 10),
    "candidates": (1, 4096),
    "sample": (1, 100),
    "shift": (0, 8),
    "shrink": (0, 1 << 16),
    "quantile": (0, 99),
    "seed": (0, (1 << 64) - 1),
}

#: The options of the family, each a field of :class:`BoostedSpec`.
OPTIONS = (
    Option(name="tables", default=500, range=RANGES["tables"], help="grow this many tables"),
    Option(
        name="inputs", usual="4, or all if there are fewer", range=RANGES["inputs"], help="read this many bits each"
    ),
    Option(
        name="candidates",
        default=64,
        range=RANGES["candidates"],
        help="choose the inputs of a table from at most this many random bits",
    ),
    Option(
        name="sample",
        default=50,
        range=RANGES["sample"],
        help="grow each table by a random part of the examples, of this many percent",
    ),
    Option(
        name="shift",
        default=4,
        range=RANGES["shift"],
        help="let each table take 1/2^N of the error away that is left (the rate of learning)",
    ),
    Option(
        name="shrink",
        default=4,
        range=RANGES["shrink"],
        help="let a cell of a table hold its mean error as if this many more examples had none",
    ),
    Option(
        name="quantile",
        default=0,
        range=RANGES["quantile"],
        help="predict this percentile by the pinball loss, 0: the mean by the quadratic loss",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BoostedSpec(Spec):
    """All that decides what a boosted model is and how it grows, but for the data; see :data:`OPTIONS`.

    input_bits: of an example. steps: how many numbers the target has. labels: how many labels an example has or has
    not; 0: it has a number. Raises :class:`UsageError` for a value that cannot be.
    """

    family: ClassVar[str] = "boosted"
    code: ClassVar[Code] = "binary"
    update_unit: ClassVar[str] = "tables"  # type: ignore[misc]

    input_bits: int
    steps: int
    labels: int = 0
    tables: int = 500
    inputs: int = 4
    candidates: int = 64
    sample: int = 50
    shift: int = 4
    shrink: int = 4
    quantile: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        for name, (least, most) in RANGES.items():
            value = getattr(self, name)
            if not is_int(value) or not least <= value <= most:
                raise UsageError(
                    f"{name} of a boosted model is {value!r}; expected a whole number from {least} to {most}"
                )
        if self.inputs > (choice := min(self.candidates, self.input_bits)):
            raise UsageError(
                f"a table of {self.inputs} inputs has only {choice} bits to choose from; lower inputs, or enlarge "
                "candidates"
            )
        if self.labels and self.quantile:
            raise UsageError(f"quantile is {self.quantile}, and a label has no percentiles; leave it out")

    @property
    def name(self) -> str:
        """«boosted:tables=500,inputs=4»."""
        return f"boosted:tables={self.tables},inputs={self.inputs}"

    @property
    def description(self) -> str:
        """«sum of 500 tables of 4 inputs, 93 bits -> 4096 steps»."""
        learned = f"{self.labels} labels" if self.labels else f"{self.steps} steps"
        return f"sum of {self.tables} tables of {self.inputs} inputs, {self.input_bits} bits -> {learned}"

    @property
    def classes(self) -> int:
        """The steps of the target, or the sets of labels: what is predicted is the number of one of them."""
        return 1 << self.labels if self.labels else self.steps

    @property
    def outputs(self) -> int:
        """How many scores there are."""
        return self.labels or 1

    @property
    def middle(self) -> int:
        """The score above which a label is predicted."""
        return (self.steps - 1 << self.shift) // 2

    @property
    def loss(self) -> str:
        """``quadratic``, or ``pinball=PERCENT``."""
        return f"pinball={self.quantile}" if self.quantile else "quadratic"

    @property
    def optimiser(self) -> str:
        """``boosting=N``, the number of tables."""
        return f"boosting={self.tables}"

    def options(self) -> dict[str, Any]:
        """The value of each option of the family."""
        return {option.name: getattr(self, option.name) for option in OPTIONS}

    @property
    def entry_bits(self) -> int:
        """The bits of a number in a table."""
        return self.steps.bit_length() + 1

    @property
    def fields(self) -> tuple[Field, ...]:
        """``tables`` (tables, 2^inputs), the number at each index, or (tables, 2^inputs, labels); ``wiring`` (tables,
        inputs), the input bits that they read, the lowest bit of the index first; ``base`` (1,), or (labels,);
        ``grown`` (1,), how many tables there are so far. What is not grown is 0."""
        each = (self.labels,) if self.labels else ()
        return (
            Field("tables", Words(1, self.entry_bits), (self.tables, 1 << self.inputs, *each)),
            Field("wiring", Words(1, self.input_bits.bit_length() + 1), (self.tables, self.inputs)),
            Field("base", Words(self.outputs, self.entry_bits + self.shift)),
            Field("grown", Words(1, RANGES["tables"][1].bit_length() + 1)),
        )

    def check_state(self, state: State) -> None:
        """Raise :class:`UserError` for wires that are not there, and for tables that are not grown and hold numbers."""
        wiring, grown, base = state["wiring"], int(state["grown"][0]), state["base"]
        if not 0 <= wiring.min() <= wiring.max() < self.input_bits:
            raise damaged("the field 'wiring'", f"numbers from 0 to {self.input_bits - 1}")
        if not 0 <= grown <= self.tables:
            raise damaged("the field 'grown'", f"a number from 0 to {self.tables}")
        if not 0 <= base.min() <= base.max() < self.steps << self.shift:
            raise damaged("the field 'base'", f"numbers from 0 to {(self.steps << self.shift) - 1}")
        if state["tables"][grown:].any():
            raise damaged("the field 'tables'", "zeros for tables that are not grown")

    def typical_state(self) -> State:
        """With drawn inputs, and all tables grown."""
        wiring = self.fields[1].saturated(typical_wiring(self.tables, self.inputs, self.input_bits))
        return {**Spec.typical_state(self), "wiring": wiring, "grown": np.array([self.tables])}

    def schedule(self, examples: int) -> Mapping[str, Any]:
        """An update is a table, by all examples."""
        return {"batch": examples, "epochs": self.tables, "shuffle": False}

    def check_schedule(self, schedule: Schedule, examples: int | None = None) -> None:
        """Raise :class:`UsageError` for batches that are not all examples, in their order, or too many epochs."""
        if examples is not None and schedule.batch < examples:
            raise UsageError(
                f"batch is {schedule.batch}; a boosted model learns from all {examples} examples at once: leave it out"
            )
        if schedule.shuffle or schedule.stride != 1:
            raise UsageError("a boosted model takes the examples in their order; leave out shuffling and stride")
        if schedule.epochs > self.tables:
            raise UsageError(
                f"epochs is {schedule.epochs}; each of the {self.tables} tables is an epoch: lower it, or grow more "
                "tables"
            )

    def score(self, predicted: NDArray[np.int64], labels: NDArray[np.int64]) -> int:
        """How good predictions are, at least 0: the sum, over the examples, of the largest loss of the kind of
        :attr:`loss` less that of the example; of labels how many are right."""
        if self.labels:
            return self.labels * len(labels) - int(np.bitwise_count(predicted ^ labels).sum())
        apart, most = labels - predicted, self.steps - 1
        if not self.quantile:
            return int((most * most - apart * apart).sum())
        loss = np.where(apart > 0, self.quantile * apart, (self.quantile - 100) * apart)
        return int((100 * most - loss).sum())

    def learner(self) -> Learner:
        """Raises :class:`UsageError`: there is no circuit before the inputs are chosen; see :meth:`trained`."""
        raise UsageError(
            f"model {self.name!r} has no circuit before it is trained, as its tables choose their inputs by the data; "
            "train it in software (without --hdl and --device) and give its file to the other commands, "
            "to rdahw synth with --inference"
        )

    def trained(self, state: State) -> tuple[Spec, State]:
        """The circuit with the wiring that was grown, whose parameters are the bits of the tables."""
        from rdahw.families.boosted.circuits import trained

        return trained(self, state)

    def score_tables(self, state: State) -> TableLayer:
        """The tables, the first one with the base."""
        held = state["tables"].astype(np.int64).reshape(self.tables, 1 << self.inputs, self.outputs)
        held[0] += state["base"].astype(np.int64)
        used = held.any(axis=(1, 2))
        return TableLayer(state["wiring"][used].astype(np.int64), held[used])

    @property
    def score_parts(self) -> int:
        """Those of a step."""
        return 1 << self.shift

    def facts(self, state: State) -> dict[str, Any]:
        """``used_tables``, how many tables hold a number that is not 0, and ``read_bits``, how many input bits they
        read."""
        used = used_tables(state)
        return {"used_tables": len(used), "read_bits": len(np.unique(state["wiring"][used]))}

    def importances(self, state: State) -> NDArray[np.float64]:
        """How much the predictions depend on each input bit, (input_bits,): the sum, over the tables that read it, of
        the mean square of the change of what they hold when the bit changes."""
        tables = state["tables"].astype(np.float64).reshape(self.tables, 1 << self.inputs, -1)
        wiring, indices = state["wiring"], np.arange(1 << self.inputs)
        found = np.zeros(self.input_bits)
        for i in range(self.inputs):
            low = indices[indices >> i & 1 == 0]
            np.add.at(found, wiring[:, i], ((tables[:, low] - tables[:, low | 1 << i]) ** 2).mean(axis=(1, 2)))
        return found

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; ``labels`` only where there are any."""
        found = {f.name: getattr(self, f.name) for f in fields(self)}
        return found if self.labels else {name: value for name, value in found.items() if name != "labels"}

    @classmethod
    def from_json(cls, value: object) -> BoostedSpec:
        """Read :meth:`to_json` back. Raises :class:`UserError` for a malformed value."""
        if isinstance(value, dict):
            value = {"labels": 0, **value}
        names = tuple(field.name for field in fields(cls))
        try:
            return cls(**dict(zip(names, members(value, "the boosted model", names), strict=True)))
        except UsageError as error:
            raise UserError(f"{error} (in the file: it is damaged or was not written by rdahw)") from None


def used_tables(state: State) -> NDArray[np.int64]:
    """The numbers of the tables, in rising order, that hold a number that is not 0."""
    return np.flatnonzero(state["tables"].any(axis=tuple(range(1, state["tables"].ndim))))


def candidates(spec: BoostedSpec, table: int) -> NDArray[np.int64]:
    """The input bits, in rising order, that table number ``table`` may read: :func:`rdahw.families.grown.spec.draw` of
    all of them with the stream (seed, "candidates", table)."""
    return draw(stream(spec.seed, "candidates", table), spec.input_bits, spec.candidates)


def sample(spec: BoostedSpec, table: int, examples: int) -> NDArray[np.int64]:
    """Which of ``examples``, counted from 0, grow table number ``table``, in rising order: example i does if word i of
    the stream (seed, "sample", table) mod 100 is below ``spec.sample``."""
    if spec.sample == 100:
        return np.arange(examples)
    drawn = words(stream(spec.seed, "sample", table), examples) % np.uint64(100)
    return np.flatnonzero(drawn < np.uint64(spec.sample))
