"""The training loop: the order of the examples, batches, epochs, validation, and resuming.

The model is run by an :class:`Engine`: one of :mod:`rdahw.sim`, or a board.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from rdahw.bits import BitRows, PackedBits
from rdahw.data._json import damaged, is_int, members
from rdahw.errors import UsageError, UserError
from rdahw.family import Spec
from rdahw.random import permutation, stream
from rdahw.state import State

__all__ = [
    "MAX_REPEATS",
    "Batches",
    "Best",
    "Engine",
    "Examples",
    "Outcome",
    "Progress",
    "Schedule",
    "Training",
    "prepare",
    "repeats_of",
    "shard_starts",
    "spread",
    "to_balance",
]

#: The most updates in one call of an engine, which bounds the memory for their order.
_MOST_AT_ONCE = 1 << 18
#: The choices for when validation examples are scored.
SCORED = ("update", "epoch")

_NO_ROWS: NDArray[np.int64] = np.zeros(0, np.int64)


#: How often an example is repeated at most.
MAX_REPEATS = 1000


def to_balance(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """How often each example (N,) comes so that classes are equally frequent: an example of class c R = floor(m / n +
    1/2) times, at most :data:`MAX_REPEATS`, where n is the number of examples of c and m that of the most frequent
    class."""
    sizes = np.bincount(labels)
    repeats: NDArray[np.int64] = (2 * sizes.max() + sizes) // np.maximum(2 * sizes, 1)
    return np.minimum(repeats, MAX_REPEATS)[labels]


def repeats_of(weights: NDArray[np.float64], least: float | None = None) -> NDArray[np.int64]:
    """How often an example of each weight (N,) comes; weights are at least 0, and not all 0.

    Whole numbers up to :data:`MAX_REPEATS` stay as they are. Others are divided by the smallest one above 0, or by
    ``least`` if that is more, rounded to the nearest whole number, halves up, and divided by their greatest common
    divisor. ``least`` None: 1/:data:`MAX_REPEATS` of the largest weight.
    """
    if (weights == np.floor(weights)).all() and weights.max() <= MAX_REPEATS:
        return weights.astype(np.int64)
    unit = max(float(weights[weights > 0].min()), float(weights.max()) / MAX_REPEATS if least is None else least)
    repeats: NDArray[np.int64] = np.floor(weights / unit + 0.5).astype(np.int64)
    return repeats // int(np.gcd.reduce(repeats))


def spread(repeats: NDArray[np.int64]) -> NDArray[np.int64]:
    """The numbers of N examples, each ``repeats`` (N,) times and evenly spread: repetition k of example i, which comes
    R times, is in order of (k * N + i) / R, of i on a tie."""
    count = len(repeats)
    rows = np.repeat(np.arange(count), repeats)
    number = np.arange(len(rows)) - np.repeat(np.cumsum(repeats) - repeats, repeats)
    return rows[np.argsort((number * count + rows) / repeats[rows], kind="stable")]


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """Examples as a model's input bits ``x`` (N, A), 0 and 1, and class numbers ``labels`` (N,)."""

    x: BitRows
    labels: NDArray[np.int64]

    def __post_init__(self) -> None:
        if len(self.x) != len(self.labels):
            raise UserError(
                f"{len(self.x)} inputs were given with {len(self.labels)} labels; expected the same number of each"
            )

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: NDArray[Any] | slice) -> Examples:
        """The examples at ``rows`` (numbers, a mask of bool, or a slice), in that order."""
        x = self.x.take(rows) if isinstance(self.x, PackedBits) else self.x[rows]
        return Examples(x, self.labels[rows])

    def cut(self, starts: NDArray[np.int64]) -> list[Examples]:
        """The examples in parts, from each of ``starts`` to the next."""
        return [self.take(slice(a, b)) for a, b in pairwise(starts.tolist())]

    def balanced(self) -> Examples:
        """The examples with those of rare classes repeated, evenly spread: :func:`to_balance`, :func:`spread`."""
        return self.take(spread(to_balance(self.labels)))


def shard_starts(examples: int, shards: int) -> NDArray[np.int64]:
    """Where each of S shards (S + 1,) of so many examples in a row starts, and the end; they differ by one at most."""
    return np.arange(shards + 1) * examples // shards


@dataclass(frozen=True, slots=True, eq=False)
class Batches:
    """Updates to apply in order: update u uses the examples ``rows[ends[u - 1] : ends[u]]``.

    epoch: the epoch of all of them. following: the examples of the update after the last, which an engine may prefetch.
    until_change: the engine may stop after the first update that may have changed the parameters.
    """

    rows: NDArray[np.int64]
    ends: NDArray[np.int64]
    epoch: int = 0
    following: NDArray[np.int64] = field(default_factory=lambda: _NO_ROWS)
    until_change: bool = False

    @classmethod
    def single(cls, rows: NDArray[np.int64], **more: Any) -> Batches:
        """Updates with one example each."""
        return cls(rows, np.arange(1, len(rows) + 1, dtype=np.int64), **more)


class Outcome(NamedTuple):
    """The result of the U updates that were applied.

    wrong: how many examples of each update were predicted wrongly before it, (U,). changed: how many of them requested
    a change, (U,). predicted: the class predicted for each example, (examples,). None: not known.
    """

    wrong: NDArray[np.int64]
    changed: NDArray[np.int64] | None = None
    predicted: NDArray[np.int64] | None = None


class Engine(Protocol):
    """Holds the state of a model, predicts and learns."""

    spec: Spec
    #: The best number of updates per call of :meth:`train`; None: as many as take a tenth of a second.
    chunk: int | None

    @property
    def name(self) -> str:
        """Its name in reports."""

    @property
    def state(self) -> State:
        """A copy of the state, with every field of the spec."""

    @state.setter
    def state(self, value: State) -> None: ...

    def prepare(self, examples: Examples) -> Any:
        """The examples in the engine's own representation, for the two methods below."""

    def train(self, prepared: Any, batches: Batches) -> Outcome:
        """Apply the updates in order."""

    def predict(self, prepared: Any) -> NDArray[np.int64]:
        """The predicted class (N,) of each example, -1 for an output that encodes no class."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """The length of a training and the order of its examples.

    Each epoch uses every example once, in batches of ``batch``; the last batch of an epoch may be smaller. An *update*
    is an applied batch, even if it changes nothing. Training ends after ``epochs`` epochs or ``updates`` updates,
    whichever comes first, or soon after the model is settled (:meth:`rdahw.family.Spec.is_settled`). With
    ``shuffle`` epoch e takes the examples in the order ``permutation(stream(seed, "shuffle", e), N)`` of
    :mod:`rdahw.random`. Otherwise example i of every epoch is number ``i * stride mod N``, which needs no memory
    and no random numbers: for data streamed from a flash memory. ``scored``: validation examples are scored at the
    start and after every ``update``, or after every whole ``epoch``.

    Raises :class:`UsageError` for a batch, epochs, updates or stride outside of 1 to 2^63 - 1, and for a stride with
    ``shuffle``.
    """

    batch: int = 1
    epochs: int = 1
    updates: int | None = None
    shuffle: bool = False
    seed: int = 0
    stride: int = 1
    scored: str = "update"

    def __post_init__(self) -> None:
        for name in ("batch", "epochs", "updates", "stride"):
            value = getattr(self, name)
            if value is not None and not 1 <= value < 1 << 63:
                raise UsageError(f"{name} is {value}; expected 1 to {(1 << 63) - 1}")
        if self.scored not in SCORED:
            raise UsageError(f"scored is {self.scored!r}; expected {' or '.join(SCORED)}")
        if self.shuffle and self.stride != 1:
            raise UsageError(f"a stride of {self.stride} and shuffling were both asked for; choose one order")

    def order(self, epoch: int, examples: int) -> NDArray[np.int64]:
        """The numbers of the examples in the order in which epoch ``epoch`` (from 0) takes them.

        Raises :class:`UsageError` for a stride that does not reach all of them.
        """
        if self.shuffle:
            return permutation(stream(self.seed, "shuffle", epoch), examples)
        if (common := math.gcd(self.stride, examples)) != 1:
            raise UsageError(
                f"a stride of {self.stride} leaves out examples: it and their number {examples} are both divisible by "
                f"{common}; choose a stride without a common divisor, such as a prime"
            )
        return np.arange(examples, dtype=np.int64) * (self.stride % examples) % examples

    def total_updates(self, examples: int) -> int:
        """The number of updates of a whole run."""
        total = self.epochs * -(-examples // self.batch)
        return total if self.updates is None else min(total, self.updates)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; :meth:`from_json` is the inverse."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    @classmethod
    def from_json(cls, value: object) -> Schedule:
        """Read :meth:`to_json` back. Raises :class:`UserError` for a malformed value."""
        names = tuple(cls.__dataclass_fields__)
        given = dict(zip(names, members(value, "its 'schedule'", names), strict=True))
        shuffle, scored = given.pop("shuffle"), given.pop("scored")
        if not isinstance(shuffle, bool) or not all(
            is_int(number) or (number is None and name == "updates") for name, number in given.items()
        ):
            raise damaged("its 'schedule'", "whole numbers")
        if scored not in SCORED:
            raise damaged("its 'schedule'", f"scored by {' or '.join(SCORED)}")
        return cls(**given, shuffle=shuffle, scored=scored)


@dataclass(frozen=True, slots=True, eq=False)
class Best:
    """The best parameters so far: their score on the validation examples (:meth:`rdahw.family.Spec.score`), the updates
    and whole epochs before them, and the value of the state's parameter field."""

    correct: int
    update: int
    epoch: int
    parameters: NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Progress:
    """How far a training has come.

    epoch: the current one, from 0. position: how many of its examples are done. examples, updates: done in all. wrong:
    examples of this epoch predicted wrongly before their update. changed: examples of this epoch that requested a
    change; None if not known. best: with validation.
    """

    epoch: int = 0
    position: int = 0
    examples: int = 0
    updates: int = 0
    wrong: int = 0
    changed: int | None = 0
    best: Best | None = None


@dataclass(slots=True, eq=False)
class Training:
    """One run of ``engine`` over ``train`` by ``schedule``; it continues from ``progress`` and the engine's state.

    Without ``progress`` it starts from the state ``start``, or the spec's initial one. With ``validation`` the
    parameters are scored on it as the schedule says, and the best are kept, the later ones on equal scores. Iterate
    over :meth:`run`; after each step ``progress`` and the engine's state are consistent and can be saved, and a run
    resumed from them gives the same results. ``seconds``: time of the loop, without scoring. ``is_settled``: no further
    example changes the model.

    Raises :class:`UserError` for examples that do not fit the model, :class:`UsageError` for a schedule that does not.
    """

    engine: Engine
    schedule: Schedule
    train: Examples
    validation: Examples | None = None
    progress: Progress = field(default_factory=Progress)
    start: State | None = None
    seconds: float = field(default=0.0, init=False)
    is_settled: bool = field(default=False, init=False)
    _prepared: dict[int, Any] = field(default_factory=dict, init=False, repr=False)
    _scored: tuple[bytes, int] | None = field(default=None, init=False, repr=False)
    _ordered: tuple[int, NDArray[np.int64]] | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        spec = self.engine.spec
        if not len(self.train):
            raise UserError("there is no example to train on; expected at least one")
        spec.check_schedule(self.schedule, len(self.train))
        for examples in (self.train, self.validation):
            if examples is None:
                continue
            if examples.x.shape[1:] != (spec.input_bits,):
                raise UserError(f"inputs of shape {examples.x.shape} were given; expected (N, {spec.input_bits})")
            if len(examples) and not 0 <= examples.labels.min() <= examples.labels.max() < spec.classes:
                raise UserError(f"a label is outside of 0 to {spec.classes - 1}")
        if not self.schedule.shuffle:
            self.schedule.order(0, len(self.train))  # raises for a stride that leaves out examples
        self._begin_epoch()  # a checkpoint may have been made at the end of an epoch
        # Files of format 1 and 2 lack the number of examples of larger batches.
        self.progress = replace(self.progress, examples=self.progress.epoch * len(self.train) + self.progress.position)
        if not self.progress.updates:
            self.engine.state = spec.initial_state() if self.start is None else self.start
            if self._scores_updates:
                self.progress = replace(self.progress, best=self._score(0, 0))
        self._look_whether_settled()

    @property
    def total_updates(self) -> int:
        """The most updates of the whole run, including those before ``progress``."""
        return self.schedule.total_updates(len(self.train))

    @property
    def is_over(self) -> bool:
        """Whether all updates are done, or no further example changes the model."""
        return self.progress.updates >= self.total_updates or self.is_settled

    @property
    def parameters(self) -> NDArray[Any]:
        """The best parameters with validation, else the last."""
        best = self.progress.best
        return self.engine.state[self.engine.spec.parameters.name] if best is None else best.parameters

    @property
    def _scores_updates(self) -> bool:
        return self.validation is not None and self.schedule.scored == "update"

    def run(self, chunk: int | None = None, seconds: float = 0.1) -> Iterator[Progress]:
        """Train, and yield the progress after every ``chunk`` updates and at the end of each epoch.

        The default of ``chunk`` is the engine's, or as many updates as take about ``seconds``.
        """
        total = self.total_updates
        fixed = chunk or self.engine.chunk
        at_once = fixed or 1  # a single update may take long
        if self._scores_updates and self._scored is None:
            self._score(0, 0)  # the parameters from which a resumed training continues
        started = time.perf_counter()
        prepared = self.prepare(self.train)
        while not self.is_over:
            epoch = self.progress.epoch
            order = self._order(epoch)
            while self.progress.epoch == epoch and not self.is_over:
                before = self.progress
                rest = order[before.position :]
                ends = self._ends(len(rest), min(at_once, total - before.updates))
                is_last = total - before.updates <= len(ends)
                following = _NO_ROWS if is_last else self._following(rest[ends[-1] :], epoch)
                batches = Batches(rest[: ends[-1]], ends, epoch, following, self._scores_updates)
                outcome = self.engine.train(prepared, batches)
                spent = time.perf_counter() - started
                self.seconds += spent
                self._advance(before, ends[: len(outcome.wrong)], outcome)
                yield self.progress
                self._begin_epoch()
                if fixed is None:
                    at_once = _adapted(at_once, len(ends), len(outcome.wrong), spent, seconds)
                started = time.perf_counter()

    def _look_whether_settled(self) -> None:
        spec = self.engine.spec
        self.is_settled = spec.settles and spec.is_settled(self.engine.state)

    def _begin_epoch(self) -> None:
        """Start the next epoch if the current one is over."""
        if self.progress.position >= len(self.train):
            self.progress = replace(self.progress, epoch=self.progress.epoch + 1, position=0, wrong=0, changed=0)

    def _ends(self, examples: int, updates: int) -> NDArray[np.int64]:
        """The end of each of the next batches, of which there are at most ``updates``, in the next ``examples``."""
        batch = self.schedule.batch
        updates = min(updates, -(-examples // batch))
        return np.minimum(np.arange(1, updates + 1, dtype=np.int64) * batch, examples)

    def prepare(self, examples: Examples) -> Any:
        """The examples in the engine's representation, made once."""
        if id(examples) not in self._prepared:
            self._prepared[id(examples)] = self.engine.prepare(examples)
        return self._prepared[id(examples)]

    def _order(self, epoch: int) -> NDArray[np.int64]:
        """The order of an epoch, made once: the end of the previous epoch uses it too, and without shuffling all do."""
        key = epoch if self.schedule.shuffle else 0
        if self._ordered is None or self._ordered[0] != key:
            self._ordered = key, self.schedule.order(epoch, len(self.train))
        return self._ordered[1]

    def _following(self, rest: NDArray[np.int64], epoch: int) -> NDArray[np.int64]:
        """The examples of the update after this chunk, from the next epoch if this one is over."""
        if not len(rest):
            rest = self._order(epoch + 1)
        return rest[: self.schedule.batch]

    def _advance(self, before: Progress, ends: NDArray[np.int64], outcome: Outcome) -> None:
        """Update the progress, and score the parameters."""
        examples = int(ends[-1])
        changed = None
        if outcome.changed is not None and before.changed is not None:
            changed = before.changed + int(outcome.changed.sum())
        done = replace(
            before,
            position=before.position + examples,
            examples=before.examples + examples,
            updates=before.updates + len(ends),
            wrong=before.wrong + int(outcome.wrong.sum()),
            changed=changed,
        )
        self.progress = done
        self._look_whether_settled()
        whole = done.position == len(self.train)
        if self._scores_updates:
            # Only the last of several updates changed the parameters; those before it keep the previous score.
            if len(ends) > 1 and before.best is not None and self._scored is not None:
                done = replace(done, best=self._better(before.best, self._scored[1], done.updates - 1, done.epoch))
                self.progress = done
            self.progress = replace(done, best=self._score(done.updates, done.epoch + whole))
        elif self.validation is not None and (whole or self.is_settled):
            self.progress = replace(done, best=self._score(done.updates, done.epoch + 1))

    def _score(self, update: int, epoch: int) -> Best:
        """The better of the current parameters and the best so far."""
        parameters = self.engine.state[self.engine.spec.parameters.name]
        return self._better(self.progress.best, self._count(parameters), update, epoch, parameters)

    @property
    def validation_correct(self) -> int:
        """How many validation examples the current parameters predict correctly."""
        return self._count(self.engine.state[self.engine.spec.parameters.name])

    def _count(self, parameters: NDArray[Any]) -> int:
        """The score of ``parameters``, which the engine has, on the validation examples; counted once."""
        assert self.validation is not None
        key = parameters.tobytes()
        if self._scored is None or self._scored[0] != key:
            predicted = self.engine.predict(self.prepare(self.validation))
            self._scored = key, self.engine.spec.score(predicted, self.validation.labels)
        return self._scored[1]

    @staticmethod
    def _better(
        best: Best | None, correct: int, update: int, epoch: int, parameters: NDArray[Any] | None = None
    ) -> Best:
        """The later one on equal scores; without ``parameters``, the score is that of the best parameters again."""
        if best is not None and best.correct > correct:
            return best
        if parameters is None:
            assert best is not None
            parameters = best.parameters
        return Best(correct, update, epoch, parameters)


def prepare(spec: Spec, train: Examples, make: Callable[[Spec], Engine]) -> Spec:
    """``spec`` after its :attr:`Spec.preparation` on the examples ``train``, if it needs one; ``make`` gives the engine
    of a spec."""
    while (first := spec.preparation) is not None:
        engine = make(first)
        for _ in Training(engine, Schedule(**first.schedule(len(train))), train).run():
            pass
        spec = spec.prepared(engine.state)
    return spec


def _adapted(at_once: int, asked: int, done: int, spent: float, seconds: float) -> int:
    """The number of updates for the next call: about ``seconds`` long, and twice those until a change."""
    if done < asked:
        return 2 * done
    if spent > seconds:
        return max(at_once // 2, 1)
    return min(2 * at_once, _MOST_AT_ONCE) if spent < seconds / 2 else at_once
