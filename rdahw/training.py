"""The training loop: which example comes when, batches, epochs, validation, and the state to go on from.

The loop knows nothing of how a learner is run: an :class:`Engine` of :mod:`rdahw.sim`, or a board, does that.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from rdahw.data._json import damaged, is_int, members
from rdahw.errors import UsageError, UserError
from rdahw.primitives import Array
from rdahw.random import permutation, stream

__all__ = [
    "Best",
    "BulkEngine",
    "Engine",
    "Examples",
    "LookAhead",
    "Schedule",
    "Training",
    "TrainingState",
    "count_correct",
]

#: The most updates that a bulk engine is asked for at once: a bound on the memory that their order takes.
_MOST_AT_ONCE = 1 << 18


class Engine(Protocol):
    """Something that runs a learner on bits: arrays of 0 and 1, (examples, wires), wire 0 first."""

    @property
    def name(self) -> str:
        """What it is called in reports."""

    @property
    def parameters(self) -> Array:
        """A copy of the parameters, (P,)."""

    @parameters.setter
    def parameters(self, value: Array) -> None: ...

    def train(self, x: Array, y: Array) -> Array:
        """Apply one batch, and give the outputs (N, B) that were computed on the way, before the update."""

    def predict(self, x: Array) -> Array:
        """The outputs (N, B) at the present parameters."""


@runtime_checkable
class LookAhead(Protocol):
    """An :class:`Engine` that wants to know what comes after the next update, as a pipeline does."""

    def announce(self, x: Array, y: Array) -> None:
        """Say of which batch the update after the next one will be."""


@runtime_checkable
class BulkEngine(Engine, Protocol):
    """An :class:`Engine` that applies many updates at once, with the bits of applying one after the other."""

    def prepare(self, examples: Examples) -> Any:
        """The examples in the engine's own form, for the two methods below."""

    def train_many(
        self, examples: Any, rows: NDArray[np.int64], ends: NDArray[np.int64], *, until_change: bool = False
    ) -> NDArray[np.int64]:
        """Apply update after update; update u is the batch ``rows[ends[u - 1] : ends[u]]`` of the examples.

        Gives how many examples of each update the model had wrong before it. With ``until_change`` the updates after
        the first that may have changed the parameters are left out.
        """

    def count_correct(self, examples: Any) -> int:
        """How many of the examples the present parameters have right."""


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """Inputs ``x`` (N, A) and the outputs wished for ``y`` (N, B), 0 or 1."""

    x: Array
    y: Array

    def __post_init__(self) -> None:
        if len(self.x) != len(self.y):
            raise UserError(f"{len(self.x)} inputs were given with {len(self.y)} labels; expected as many")

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long to train, and in which order.

    Each epoch goes through all examples once, in batches of ``batch``; the last batch of an epoch may be smaller. An
    *update* is an applied batch, also when it changes nothing. Training ends after ``epochs`` epochs, or after
    ``updates`` updates if that comes first. With ``shuffle`` epoch e takes the examples in the order
    ``permutation(stream(seed, "shuffle", e), N)`` of :mod:`rdahw.random`. Else example i of every epoch is number
    ``i * stride mod N``, which needs no memory and no random numbers: for data that are streamed from a flash memory.
    A stride of one is the order they are in.

    Raises :class:`UsageError` for a batch, epochs, updates or stride below one, and for a stride of shuffled examples.
    """

    batch: int = 1
    epochs: int = 1
    updates: int | None = None
    shuffle: bool = False
    seed: int = 0
    stride: int = 1

    def __post_init__(self) -> None:
        for name in ("batch", "epochs", "updates", "stride"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"{name} is {value}; expected at least 1")
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

    def batches(self, examples: int, epoch: int = 0, position: int = 0) -> Iterator[NDArray[np.int64]]:
        """The numbers of the examples of one update after the other, from ``position`` in ``epoch``, without an end."""
        while True:
            order = self.order(epoch, examples)
            for start in range(position, examples, self.batch):
                yield order[start : start + self.batch]
            epoch, position = epoch + 1, 0

    def upcoming(
        self, examples: int, epoch: int, position: int, updates: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The next ``updates`` batches of :meth:`batches`: the numbers of their examples, and where each batch ends."""
        rows, ends, done = [], [np.zeros(1, np.int64)], 0
        while done < updates:
            order = self.order(epoch, examples)[position:]
            stops = np.arange(self.batch, len(order) + self.batch, self.batch, dtype=np.int64)[: updates - done]
            stops = np.minimum(stops, len(order))
            if len(stops):
                rows.append(order[: stops[-1]])
                ends.append(ends[-1][-1] + stops)
                done += len(stops)
            epoch, position = epoch + 1, 0
        return np.concatenate(rows), np.concatenate(ends[1:])

    def total_updates(self, examples: int) -> int:
        """How many updates a whole run makes."""
        total = self.epochs * -(-examples // self.batch)
        return total if self.updates is None else min(total, self.updates)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; :meth:`from_json` is the inverse."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    @classmethod
    def from_json(cls, value: object) -> Schedule:
        """Read :meth:`to_json` back. Raises :class:`UserError` when anything is not as our own writer writes it."""
        names = tuple(cls.__dataclass_fields__)
        given = dict(zip(names, members(value, "its 'schedule'", names), strict=True))
        shuffle = given.pop("shuffle")
        if not isinstance(shuffle, bool) or not all(
            is_int(number) or (number is None and name == "updates") for name, number in given.items()
        ):
            raise damaged("its 'schedule'", "whole numbers")
        return cls(**given, shuffle=shuffle)


@dataclass(frozen=True, slots=True, eq=False)
class Best:
    """The best parameters so far: how many validation examples they got right, and after which update."""

    correct: int
    update: int
    parameters: Array


@dataclass(frozen=True, slots=True, eq=False)
class TrainingState:
    """All that is needed to go on: parameters (P,), and what has been done so far.

    position: the examples of the present epoch that are done. wrong: those of them that the model had wrong before
    their update.
    """

    parameters: Array
    epoch: int = 0
    position: int = 0
    updates: int = 0
    wrong: int = 0
    best: Best | None = None


def count_correct(outputs: Array, y: Array) -> int:
    """How many rows of ``outputs`` (N, B) equal those of ``y``: an example is right when all bits are."""
    return int((outputs == y).all(axis=-1).sum())


@dataclass(slots=True, eq=False)
class Training:
    """One run of ``engine`` over ``train`` by ``schedule``, from ``state`` or from zero.

    With ``validation`` the parameters are scored on it at the start and after every update, and the best are kept,
    the later ones on equal scores. Iterate over :meth:`run`; between two updates ``state`` is whole and can be saved.
    """

    engine: Engine
    schedule: Schedule
    train: Examples
    validation: Examples | None = None
    state: TrainingState | None = None
    _scored: tuple[bytes, int] | None = field(default=None, init=False, repr=False)
    _prepared_validation: Any = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        if not len(self.train):
            raise UserError("there is no example to train on; expected at least one")
        if self.state is None:
            zero = np.zeros_like(self.engine.parameters)
            self.state = TrainingState(zero, best=self._score(zero, 0, None))
        self.engine.parameters = self.state.parameters

    @property
    def total_updates(self) -> int:
        """How many updates the whole run makes, those before ``state`` included."""
        return self.schedule.total_updates(len(self.train))

    @property
    def parameters(self) -> Array:
        """What has been learned: the best parameters with validation, else the last."""
        assert self.state is not None
        return self.state.parameters if self.state.best is None else self.state.best.parameters

    def run(self, seconds: float | None = None) -> Iterator[TrainingState]:
        """Apply update after update, giving the state after each.

        With ``seconds`` a :class:`BulkEngine` may apply as many updates as take about so long before it gives the next
        state. The states that it gives are the same.
        """
        if seconds is not None and isinstance(self.engine, BulkEngine):
            yield from self._run_in_bulk(self.engine, seconds)
            return
        state = self.state
        assert state is not None
        examples, total = len(self.train), self.total_updates
        batches = self.schedule.batches(examples, state.epoch, state.position)
        following = next(batches)
        while state.updates < total:
            while state.position < examples and state.updates < total:
                rows, following = following, next(batches)
                if isinstance(self.engine, LookAhead) and state.updates + 1 < total:
                    self.engine.announce(self.train.x[following], self.train.y[following])
                y = self.train.y[rows]
                outputs = self.engine.train(self.train.x[rows], y)
                parameters, updates = self.engine.parameters, state.updates + 1
                state = self.state = TrainingState(
                    parameters,
                    state.epoch,
                    state.position + len(rows),
                    updates,
                    state.wrong + len(rows) - count_correct(outputs, y),
                    self._score(parameters, updates, state.best),
                )
                yield state
            if state.position >= examples:
                state = self.state = replace(state, epoch=state.epoch + 1, position=0, wrong=0)

    def _run_in_bulk(self, engine: BulkEngine, seconds: float) -> Iterator[TrainingState]:
        state = self.state
        assert state is not None
        examples, total, at_once = len(self.train), self.total_updates, 256
        train = engine.prepare(self.train)
        self._score(state.parameters, state.updates, state.best)
        while state.updates < total:
            started = time.monotonic()
            wanted = min(at_once, total - state.updates)
            rows, ends = self.schedule.upcoming(examples, state.epoch, state.position, wanted)
            # Between two changes of the parameters there is nothing to score.
            wrong = engine.train_many(train, rows, ends, until_change=self.validation is not None)
            done = len(wrong)
            state = self.state = self._after(state, ends[:done], wrong, engine.parameters)
            yield state
            if state.position >= examples:
                state = self.state = replace(state, epoch=state.epoch + 1, position=0, wrong=0)
            spent = time.monotonic() - started
            if done < wanted:
                at_once = 2 * done
            elif spent < seconds / 2:
                at_once = min(2 * at_once, _MOST_AT_ONCE)
            elif spent > seconds:
                at_once = max(at_once // 2, 1)

    def _after(
        self, before: TrainingState, ends: NDArray[np.int64], wrong: NDArray[np.int64], parameters: Array
    ) -> TrainingState:
        """The state after updates of which only the last changed the parameters, if there is something to score."""
        examples, updates = len(self.train), before.updates + len(ends)
        # An epoch is over with its last example, and its number changes with the next.
        epochs, position = divmod(before.position + int(ends[-1]) - 1, examples)
        this_epoch = before.position + ends > epochs * examples
        best = before.best
        if len(ends) > 1:
            best = self._score(before.parameters, updates - 1, best)
        return TrainingState(
            parameters,
            before.epoch + epochs,
            position + 1,
            updates,
            int(wrong[this_epoch].sum()) + (before.wrong if not epochs else 0),
            self._score(parameters, updates, best),
        )

    def _score(self, parameters: Array, update: int, best: Best | None) -> Best | None:
        if self.validation is None:
            return None
        key = parameters.tobytes()
        if self._scored is None or self._scored[0] != key:
            if update == 0:
                self.engine.parameters = parameters
            self._scored = key, self._count_validation(self.validation)
        correct = self._scored[1]
        return best if best is not None and best.correct > correct else Best(correct, update, parameters)

    def _count_validation(self, validation: Examples) -> int:
        """How many validation examples the engine has right at its parameters."""
        if not isinstance(self.engine, BulkEngine):
            return count_correct(self.engine.predict(validation.x), validation.y)
        if self._prepared_validation is None:
            self._prepared_validation = self.engine.prepare(validation)
        return self.engine.count_correct(self._prepared_validation)
