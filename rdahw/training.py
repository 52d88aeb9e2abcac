"""The training loop: which example comes when, batches, epochs, validation, and the state to go on from.

The loop knows nothing of how a model is run: an :class:`Engine` of :mod:`rdahw.sim`, or a board, does that.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from rdahw.data._json import damaged, is_int, members
from rdahw.errors import UsageError, UserError
from rdahw.family import Spec
from rdahw.primitives import Array
from rdahw.random import permutation, stream
from rdahw.state import State

__all__ = ["Batches", "Best", "Engine", "Examples", "Outcome", "Progress", "Schedule", "Training"]

#: The most updates that an engine is asked for at once: a bound on the memory that their order takes.
_MOST_AT_ONCE = 1 << 18
#: When validation examples are scored.
SCORED = ("update", "epoch")

_NO_ROWS: NDArray[np.int64] = np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """Examples on the wires of a model: ``x`` (N, A), 0 and 1, and the numbers of their classes ``labels`` (N,)."""

    x: Array
    labels: NDArray[np.int64]

    def __post_init__(self) -> None:
        if len(self.x) != len(self.labels):
            raise UserError(
                f"{len(self.x)} inputs were given with {len(self.labels)} labels; expected the same number of each"
            )

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, slots=True, eq=False)
class Batches:
    """Updates to apply one after the other: update u is by the examples ``rows[ends[u - 1] : ends[u]]``.

    epoch: the one that they all belong to. following: the examples of the update after the last one, in case an engine
    can begin with them. until_change: updates after the first that may have changed the parameters may be left out.
    """

    rows: NDArray[np.int64]
    ends: NDArray[np.int64]
    epoch: int = 0
    following: NDArray[np.int64] = field(default_factory=lambda: _NO_ROWS)
    until_change: bool = False

    @classmethod
    def single(cls, rows: NDArray[np.int64], **more: Any) -> Batches:
        """Updates by one example each."""
        return cls(rows, np.arange(1, len(rows) + 1, dtype=np.int64), **more)


class Outcome(NamedTuple):
    """What applying updates gave, a number for each update that was applied: how many of its examples were predicted
    wrongly before it, (U,), and how many of them asked for a change, (U,), or None where that is not known; and the
    classes that were predicted for its examples, (examples,), likewise."""

    wrong: NDArray[np.int64]
    changed: NDArray[np.int64] | None = None
    predicted: NDArray[np.int64] | None = None


class Engine(Protocol):
    """Something that holds the state of a model, and predicts and learns."""

    spec: Spec
    #: Into how many updates at a time an epoch is best divided; None: as many as take a tenth of a second.
    chunk: int | None

    @property
    def name(self) -> str:
        """What it is called in reports."""

    @property
    def state(self) -> State:
        """A copy of the state: every field of the spec."""

    @state.setter
    def state(self, value: State) -> None: ...

    def prepare(self, examples: Examples) -> Any:
        """The examples in the engine's own form, for the two methods below."""

    def train(self, prepared: Any, batches: Batches) -> Outcome:
        """Apply update after update."""

    def predict(self, prepared: Any) -> NDArray[np.int64]:
        """The class (N,) of each example at the present parameters, -1 for outputs that are the code of no class."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long to train, and in which order.

    Each epoch goes through all examples once, in batches of ``batch``; the last batch of an epoch may be smaller. An
    *update* is an applied batch, also when it changes nothing. Training ends after ``epochs`` epochs, or after
    ``updates`` updates if that comes first. With ``shuffle`` epoch e takes the examples in the order
    ``permutation(stream(seed, "shuffle", e), N)`` of :mod:`rdahw.random`. Else example i of every epoch is number
    ``i * stride mod N``, which needs no memory and no random numbers: for data that are streamed from a flash memory.
    A stride of one is the order they are in. Validation examples are scored at the start and after every ``update``, or
    after every whole ``epoch``, as ``scored`` says.

    Raises :class:`UsageError` for a batch, epochs, updates or stride below one, and for a stride of shuffled examples.
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
            if value is not None and value < 1:
                raise UsageError(f"{name} is {value}; expected at least 1")
        if self.scored not in SCORED:
            raise UsageError(f"scored is {self.scored!r}; expected {' or '.join(SCORED)}")
        if self.shuffle and self.stride != 1:
            raise UsageError(f"a stride of {self.stride} and shuffling were both asked for; choose one order")

    def order(self, epoch: int, examples: int) -> NDArray[np.int64]:
        """The numbers of the examples in the order in which epoch ``epoch`` (from 0) takes them.

        Raises :class:`UsageError` for a stride that would not come to all of them.
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
        """How many updates a whole run makes."""
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
    """The best parameters so far: how many validation examples they got right, after which update and how many whole
    epochs, and their field of the state."""

    correct: int
    update: int
    epoch: int
    parameters: NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Progress:
    """What has been done of a training.

    epoch: the present one, from 0. position: its examples that are done. examples, updates: all that are done. wrong:
    of the examples of this epoch, those that were predicted wrongly before their update. changed: those that asked for
    a change; None where that is not known. best: with validation.
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
    """One run of ``engine`` over ``train`` by ``schedule``, from where ``progress`` and the engine's state are.

    Without ``progress`` it starts from the state ``start``, or the spec's initial one. With ``validation`` the
    parameters are scored on it as the schedule says, and the best are kept, the later ones on equal scores. Iterate
    over :meth:`run`; where it stops, ``progress`` and the engine's state are whole and can be saved, and going on
    changes nothing. ``seconds``: of the loop, without scoring.

    Raises :class:`UserError` for examples that do not fit the model, :class:`UsageError` for a schedule that does not.
    """

    engine: Engine
    schedule: Schedule
    train: Examples
    validation: Examples | None = None
    progress: Progress = field(default_factory=Progress)
    start: State | None = None
    seconds: float = field(default=0.0, init=False)
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
            self.schedule.order(0, len(self.train))  # a stride that leaves out examples
        self._begin_epoch()  # a checkpoint may be of the end of one
        # Older files do not say how many examples larger batches were.
        self.progress = replace(self.progress, examples=self.progress.epoch * len(self.train) + self.progress.position)
        if not self.progress.updates:
            self.engine.state = spec.initial_state() if self.start is None else self.start
            if self._scores_updates:
                self.progress = replace(self.progress, best=self._score(0, 0))

    @property
    def total_updates(self) -> int:
        """How many updates the whole run makes, those before ``progress`` included."""
        return self.schedule.total_updates(len(self.train))

    @property
    def parameters(self) -> NDArray[Any]:
        """What has been learned: the best parameters with validation, else the last."""
        best = self.progress.best
        return self.engine.state[self.engine.spec.parameters.name] if best is None else best.parameters

    @property
    def _scores_updates(self) -> bool:
        return self.validation is not None and self.schedule.scored == "update"

    def run(self, chunk: int | None = None, seconds: float = 0.1) -> Iterator[Progress]:
        """Train, giving what has been done after every ``chunk`` updates and at the end of each epoch.

        Without ``chunk`` that of the engine is taken, or as many updates as take about ``seconds``.
        """
        total = self.total_updates
        fixed = chunk or self.engine.chunk
        at_once = fixed or 1  # one may take long
        if self._scores_updates and self._scored is None:
            self._score(0, 0)  # of the parameters that a resumed training goes on from
        started = time.perf_counter()
        prepared = self.prepare(self.train)
        while self.progress.updates < total:
            epoch = self.progress.epoch
            order = self._order(epoch)
            while self.progress.epoch == epoch and self.progress.updates < total:
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

    def _begin_epoch(self) -> None:
        """Go on to the next epoch where the present one is over."""
        if self.progress.position >= len(self.train):
            self.progress = replace(self.progress, epoch=self.progress.epoch + 1, position=0, wrong=0, changed=0)

    def _ends(self, examples: int, updates: int) -> NDArray[np.int64]:
        """Where each of the next batches ends: as many as there are of ``examples``, and at most ``updates``."""
        batch = self.schedule.batch
        updates = min(updates, -(-examples // batch))
        return np.minimum(np.arange(1, updates + 1, dtype=np.int64) * batch, examples)

    def prepare(self, examples: Examples) -> Any:
        """The examples in the engine's form, made once."""
        if id(examples) not in self._prepared:
            self._prepared[id(examples)] = self.engine.prepare(examples)
        return self._prepared[id(examples)]

    def _order(self, epoch: int) -> NDArray[np.int64]:
        """The order of an epoch, made once: the end of the epoch before asks for it, too."""
        if self._ordered is None or self._ordered[0] != epoch:
            self._ordered = epoch, self.schedule.order(epoch, len(self.train))
        return self._ordered[1]

    def _following(self, rest: NDArray[np.int64], epoch: int) -> NDArray[np.int64]:
        """The examples of the next update but those of this chunk: of the next epoch, if this one is over."""
        if not len(rest):
            rest = self._order(epoch + 1)
        return rest[: self.schedule.batch]

    def _advance(self, before: Progress, ends: NDArray[np.int64], outcome: Outcome) -> None:
        """Count what was done, and score it."""
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
        whole = done.position == len(self.train)
        if self._scores_updates:
            # Of several updates only the last one changed the parameters; those before have the score of the last time.
            if len(ends) > 1 and before.best is not None and self._scored is not None:
                done = replace(done, best=self._better(before.best, self._scored[1], done.updates - 1, done.epoch))
                self.progress = done
            self.progress = replace(done, best=self._score(done.updates, done.epoch + whole))
        elif self.validation is not None and whole:
            self.progress = replace(done, best=self._score(done.updates, done.epoch + 1))

    def _score(self, update: int, epoch: int) -> Best:
        """The better of the present parameters and of the best so far."""
        assert self.validation is not None
        field_ = self.engine.spec.parameters
        parameters = self.engine.state[field_.name]
        key = parameters.tobytes()
        if self._scored is None or self._scored[0] != key:
            predicted = self.engine.predict(self.prepare(self.validation))
            self._scored = key, int((predicted == self.validation.labels).sum())
        return self._better(self.progress.best, self._scored[1], update, epoch, parameters)

    @staticmethod
    def _better(
        best: Best | None, correct: int, update: int, epoch: int, parameters: NDArray[Any] | None = None
    ) -> Best:
        """The later one on equal scores; without ``parameters`` those that the best had may only be older."""
        if best is not None and best.correct > correct:
            return best
        if parameters is None:
            assert best is not None
            parameters = best.parameters
        return Best(correct, update, epoch, parameters)


def _adapted(at_once: int, asked: int, done: int, spent: float, seconds: float) -> int:
    """How many updates to ask for next, to take about ``seconds``, and few more than are done until a change."""
    if done < asked:
        return 2 * done
    if spent > seconds:
        return max(at_once // 2, 1)
    return min(2 * at_once, _MOST_AT_ONCE) if spent < seconds / 2 else at_once
