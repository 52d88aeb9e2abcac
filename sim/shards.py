"""Training in shards: several engines learn a part of the examples each, and what they changed is added.

An epoch has rounds of :data:`ROUND` examples. In each round the examples that are next are cut into one part for each
shard, in order; each shard learns its part from the same state, and the next round begins from that state and all that
they changed (:func:`rdahw.merging.merge_states`). This is a schedule of its own: its bits depend on the number of
shards, and not on where or in which order they run.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdahw.errors import UsageError
from rdahw.family import Spec
from rdahw.jobs import Jobs
from rdahw.merging import counters_of, merge_states
from rdahw.sim.engines import SoftwareEngine, make_engine
from rdahw.state import State
from rdahw.training import Batches, Examples, Outcome

__all__ = ["ROUND", "ShardedEngine"]

#: The examples of a round, of all shards together. In much longer rounds shards correct the same mistakes, and the sum
#: corrects them several times.
ROUND = 500


class _Learner:
    """Examples, and engines that learn them: in each process as many as learn at once."""

    def __init__(self, spec: Spec, name: str, examples: Examples) -> None:
        self._given = spec, name, examples
        self._lock = threading.Lock()
        self._free: list[SoftwareEngine] = []
        self._prepared: Any = None

    def __getstate__(self) -> Any:
        """For pickle: what it was given."""
        return self._given

    def __setstate__(self, given: Any) -> None:
        self.__init__(*given)  # type: ignore[misc]

    def prepared(self) -> Any:
        """The examples as the engines take them, made once."""
        spec, name, examples = self._given
        with self._lock:
            if self._prepared is None:
                self._prepared = make_engine(spec, name).prepare(examples)
            return self._prepared

    def learn(self, start: State, batches: Batches) -> tuple[Outcome, State]:
        """Learn from a state; gives the state after it."""
        spec, name, _ = self._given
        prepared = self.prepared()
        with self._lock:
            engine = self._free.pop() if self._free else make_engine(spec, name)
        engine.state = start
        outcome = engine.train(prepared, batches)
        state = engine.state
        self._free.append(engine)
        return outcome, state


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    start: State
    batches: Batches


def _learn(learner: _Learner, part: _Part) -> tuple[Outcome, State]:
    return learner.learn(part.start, part.batches)


class ShardedEngine:
    """An engine (:class:`rdahw.training.Engine`) of so many ``shards``, each learned by one like ``engine``.

    jobs: where they are learned; by default in this process, one after another. Raises :class:`rdahw.UsageError` for a
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

    def prepare(self, examples: Examples) -> _Learner:
        """The examples, which are converted when they are first used."""
        return _Learner(self.spec, self._engine.name, examples)

    def train(self, prepared: _Learner, batches: Batches) -> Outcome:
        """Apply the updates as one round."""
        start, count = self._engine.state, len(batches.ends)
        cuts = [count * shard // self._shards for shard in range(self._shards + 1)]
        ends = np.concatenate([np.zeros(1, np.int64), batches.ends])
        parts = [
            _Part(
                self.spec.of_shard(start, shard),
                Batches(batches.rows[ends[a] : ends[b]], batches.ends[a:b] - ends[a], batches.epoch),
            )
            for shard, (a, b) in enumerate(zip(cuts, cuts[1:], strict=False))
        ]
        ended = self._jobs.run(_learn, parts, prepared)
        self._engine.state = merge_states(self.spec, start, [state for _, state in ended])
        wrong = np.concatenate([outcome.wrong for outcome, _ in ended])
        changed = [outcome.changed for outcome, _ in ended if outcome.changed is not None]
        return Outcome(wrong, np.concatenate(changed) if len(changed) == len(ended) else None)

    def predict(self, prepared: _Learner) -> NDArray[np.int64]:
        """The predicted class (N,) of each example."""
        return self._engine.predict(prepared.prepared())

    def class_scores(self, prepared: _Learner) -> NDArray[Any]:
        """The scores (N, classes)."""
        return self._engine.class_scores(prepared.prepared())
