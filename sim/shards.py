"""Training in shards: several engines learn a part of the examples each, and what they changed is added.

Shard s of S has the examples from number ⌊s N / S⌋ to ⌊(s + 1) N / S⌋ - 1 of N. An epoch has rounds of :data:`ROUND`
examples. In each round every shard learns those of the next examples that are its own, in their order, from the same
state, and the next round begins from the mean of what they changed (:func:`rdahw.merging.merge_states`). This is a
schedule of its own: its bits depend on the number of shards, and not on where or in which order they run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdahw.errors import UsageError
from rdahw.family import Spec
from rdahw.jobs import Jobs, Own
from rdahw.merging import counters_of, merge_states
from rdahw.sim.engines import SoftwareEngine, make_engine
from rdahw.state import State
from rdahw.training import Batches, Examples, Outcome, shard_starts

__all__ = ["ROUND", "ShardedEngine"]

#: The examples of a round, of all shards together. In shorter rounds counters change by a few steps, of which the mean
#: is mostly rounded away; sums of short rounds overshoot where labels are noisy.
ROUND = 1 << 16


class _Learner:
    """The examples of a shard, and an engine that learns them, made where it is first used."""

    def __init__(self, spec: Spec, name: str, examples: Examples) -> None:
        self._given = spec, name, examples
        self._made: tuple[SoftwareEngine, Any] | None = None

    def __reduce__(self) -> Any:
        return _Learner, self._given

    def learn(self, start: State, batches: Batches) -> tuple[Outcome, State]:
        """Learn from a state; gives the state after it."""
        if self._made is None:
            spec, name, examples = self._given
            engine = make_engine(spec, name)
            self._made = engine, engine.prepare(examples)
        engine, prepared = self._made
        engine.state = start
        return engine.train(prepared, batches), engine.state


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    start: State
    batches: Batches


@dataclass(slots=True, eq=False)
class _Prepared:
    """Examples, as the shards learn them, and as the engine predicts them."""

    examples: Examples
    own: Own[_Learner] | None = None
    whole: Any = None


def _learn(learner: _Learner, part: _Part) -> tuple[Outcome, State]:
    return learner.learn(part.start, part.batches)


class ShardedEngine:
    """An engine (:class:`rdahw.training.Engine`) of so many ``shards``, each learned by one like ``engine``.

    The examples should come shuffled, so that each round has some of all shards. jobs: where they are learned; by
    default in this process, one after another. Raises :class:`rdahw.UsageError` for a
    model whose changes cannot be added, and for more shards than the examples of a round.
    """

    def __init__(self, spec: Spec, engine: SoftwareEngine, shards: int, jobs: Jobs | None = None) -> None:
        counters_of(spec)
        if not 1 <= shards <= ROUND:
            raise UsageError(
                f"shards is {shards}, and they share out {ROUND} examples at a time; use 1 to {ROUND} shards"
            )
        spec.of_shard(spec.initial_state(), 1)
        self.spec, self._engine, self._shards, self._jobs = spec, engine, shards, jobs or Jobs()
        self.chunk: int | None = ROUND
        self.name = f"{engine.name}, {shards} shards"

    @property
    def state(self) -> State:
        """A copy of the state."""
        return self._engine.state

    @state.setter
    def state(self, value: State) -> None:
        self._engine.state = value

    def prepare(self, examples: Examples) -> _Prepared:
        """The examples, which are converted when they are first used."""
        return _Prepared(examples)

    def train(self, prepared: _Prepared, batches: Batches) -> Outcome:
        """Apply the updates, each of one example, as one round."""
        shards, count, rows = self._shards, len(prepared.examples), batches.rows
        starts = shard_starts(count, shards)
        if prepared.own is None:
            parts = prepared.examples.cut(starts)
            prepared.own = Own([_Learner(self.spec, self._engine.name, part) for part in parts])
        start, at = self._engine.state, np.searchsorted(starts, rows, side="right") - 1
        own = [Batches.single(rows[at == shard] - starts[shard], epoch=batches.epoch) for shard in range(shards)]
        pieces = [_Part(self.spec.of_shard(start, shard), each) for shard, each in enumerate(own)]
        ended = self._jobs.run(_learn, pieces, prepared.own)
        self._engine.state = merge_states(self.spec, start, [state for _, state in ended], mean=True)
        return Outcome(*(self._joined([getattr(each, name) for each, _ in ended], at) for name in ("wrong", "changed")))

    def _joined(self, parts: list[Any], at: NDArray[np.int64]) -> Any:
        """The figures of all updates in their order, from those of each shard; None if one does not know them."""
        if any(part is None for part in parts):
            return None
        whole = np.empty(len(at), np.int64)
        for shard, part in enumerate(parts):
            whole[at == shard] = part
        return whole

    def predict(self, prepared: _Prepared) -> NDArray[np.int64]:
        """The predicted class (N,) of each example."""
        return self._engine.predict(self._whole(prepared))

    def class_scores(self, prepared: _Prepared) -> NDArray[Any]:
        """The scores (N, classes)."""
        return self._engine.class_scores(self._whole(prepared))

    def _whole(self, prepared: _Prepared) -> Any:
        if prepared.whole is None:
            prepared.whole = self._engine.prepare(prepared.examples)
        return prepared.whole
