"""The engines of growth: the rules of :mod:`rdahw.families.grown` compiled by numba, equal to them bit for bit.

Examples are kept packed in both ways of :mod:`rdahw.sim.packing`: by wires, where the bits of a few examples are picked
to choose the inputs of a table, and by examples, where a finished table is looked up for 64 examples at a time. The
one-bit tables of a round do not depend on each other, so that several threads may grow them; the bits do not depend on
how many.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from rdahw.bits import BitRows
from rdahw.errors import UsageError, UserError
from rdahw.families.grown.rule import GrownState, Growth, PlainGrown
from rdahw.families.grown.spec import GrownSpec, VotesSpec, candidates, check_data, sample
from rdahw.families.grown.votes import PlainVotes
from rdahw.jobs import Jobs, Own
from rdahw.primitives import Array
from rdahw.sim.grown_kernels import add_tables, add_votes, choose_bits, choose_votes, classify_row
from rdahw.sim.grown_shards import Asked, BitShard, Sample, Shard, Step, VoteShard, asked, join, share, taken
from rdahw.sim.packing import Words, pack_examples, pack_wires, turn_words
from rdahw.state import State
from rdahw.training import Batches, Examples, Outcome, shard_starts

__all__ = [
    "CompiledGrown",
    "CompiledGrowth",
    "CompiledVotes",
    "GrownEngine",
    "GrownPredictor",
    "Tally",
    "best_number",
    "in_shards",
    "warm_up",
]

#: So many candidates are masked and added together.
_LANES = 32
#: The samples that are taken at once are about so many octets, or those of one table.
_SAMPLED = 1 << 25
#: The most shards.
_MOST_SHARDS = 1 << 16
#: The spec of a model to compile the kernels with.
_SMALL: dict[str, Any] = {"input_bits": 1, "classes": 2, "tables": 2, "inputs": 1}


@dataclass(slots=True, eq=False)
class Tally:
    """Examples packed by examples, with their scores (classes, N or more) by the tables of ``state``."""

    examples: int
    columns: Words
    scores: NDArray[np.int16]
    state: GrownState


def _lanes(examples: int, wires: int) -> NDArray[np.int8]:
    return np.empty((examples, -(-wires // _LANES) * _LANES), np.int8)


class CompiledGrowth(Growth):
    """What compiled kernels grow; see :mod:`rdahw.families.grown.rule` for what each method does.

    ``threads``: that choose the inputs of the tables of a round. shards: in so many the examples are shared out, by
    default they stay as they are. jobs: where the shards are.
    """

    name = "compiled"
    _kind: ClassVar[type[Shard[Any]]]

    def __init__(self, spec: GrownSpec, threads: int = 1, shards: int | None = None, jobs: Jobs | None = None) -> None:
        super().__init__(spec)
        if shards is not None and not 1 <= shards <= _MOST_SHARDS:
            raise UsageError(f"shards is {shards}; use 1 to {_MOST_SHARDS} shards")
        self.threads, self._shards, self._jobs = threads, shards, jobs or Jobs()
        self._run = 0
        if shards is not None:
            self.name = f"{self.name}, {shards} shards"

    def in_shards(self, shards: int, jobs: Jobs | None = None) -> Growth:
        """See :meth:`Growth.in_shards`."""
        return type(self)(self.spec, self.threads, shards, jobs)

    def prepare(self, x: BitRows, labels: NDArray[np.int64]) -> Own[Shard[Any]]:
        """Examples x (N, A), 0 and 1, and their classes (N,), with the shifted copies, for :meth:`run`.

        Raises :class:`UserError` for data that do not fit the spec.
        """
        labels = np.asarray(labels, np.int64)
        check_data(self.spec, x, labels)
        starts, alone = shard_starts(len(x), self._shards or 1), self._shards is None
        parts = zip(Examples(x, labels).cut(starts), starts.tolist(), strict=False)
        return Own([self._kind(self.spec, part.x, part.labels, first, len(x), alone) for part, first in parts])

    def run(self, examples: Own[Shard[Any]], tables: int | None = None) -> Iterator[int]:
        """Grow tables until there are ``tables``, by default all; gives after each how many there are."""
        spec, each = self.spec, self.spec.round_tables
        last, whole = spec.tables if tables is None else tables, self._state.grown // each * each
        # What the samples of a table take at most: bits, requests and places.
        at_once = max(1, _SAMPLED // (spec.sample * (spec.candidates // 8 + 16)))
        self._run += 1
        with ThreadPoolExecutor(self.threads) as pool:
            while self._state.grown < last:
                found: list[Asked] = self._of_each(asked, examples, whole, [None] * len(examples.each))
                counts = np.stack([one.counts for one in found], axis=1)  # (tables, shards, 1 + copies)
                asking = [int(of_table.sum()) for of_table in counts]
                self.counts = sum(one.wrong for one in found), sum(one.asking for one in found)
                end = min(whole + each, last)
                for first in range(self._state.grown, end, at_once):
                    numbers = range(first, min(first + at_once, end))
                    wires = [candidates(spec, j) for j in numbers]
                    places = [share(sample(spec, j, asking[j - whole]), counts[j - whole]) for j in numbers]
                    pieces = [
                        [(j - whole, at[shard], own) for j, at, own in zip(numbers, places, wires, strict=True)]
                        for shard in range(len(examples.each))
                    ]
                    samples = map(join, zip(*self._of_each(taken, examples, whole, pieces), strict=True))
                    for own, (places_of, table) in zip(wires, pool.map(self._choose, samples), strict=True):
                        yield self._keep(own[places_of], table)
                if self._state.grown == whole + each:
                    whole += each

    def _of_each(self, work: Callable[[Any, Any], Any], examples: Own[Shard[Any]], whole: int, pieces: Any) -> Any:
        """What ``work`` gives of each shard for its piece, with ``whole`` tables. Shards know those before the last
        round, unless they were made anew since."""
        wiring, tables = self._state.wiring[:whole], self._state.tables[:whole]
        for first in (max(0, whole - self.spec.round_tables), 0):
            step = Step(self._run, first, wiring[first:], tables[first:])
            found = self._jobs.run(work, [(step, piece) for piece in pieces], examples)
            if not any(one is None for one in found):
                break
        return found

    @abstractmethod
    def _choose(self, sample: Sample) -> tuple[NDArray[np.int64], NDArray[np.int8]]:
        """The places of a table's inputs among the wires of its sample, and what it holds."""


class CompiledGrown(CompiledGrowth):
    """A grown model run by compiled kernels; see :class:`rdahw.families.grown.rule.PlainGrown`."""

    _kind = BitShard

    def _choose(self, sample: Sample) -> tuple[NDArray[np.int64], NDArray[np.int8]]:
        spec = self.spec
        places, table = np.empty(spec.inputs, np.int64), np.empty(1 << spec.inputs, np.int8)
        rows, chosen, wires, requests = sample
        block, lanes = 32767 // (spec.classes - 1), _lanes(len(chosen), len(wires))
        choose_bits(rows, chosen, requests, wires, spec.refinements, block, lanes, places, table)
        return places, table

    def _add(self, columns: Words, tables: range, scores: NDArray[np.int16]) -> None:
        add_tables(columns, self._state.wiring, self._state.tables, tables.start, tables.stop, scores)

    def _scores(self, columns: Words, numbers: Sequence[int]) -> Iterator[NDArray[np.int16]]:
        """The scores (classes, 64 V) by the first n tables, for each n of ``numbers``, which rise; one array."""
        scores = np.zeros((self.spec.classes, 64 * columns.shape[1]), np.int16)
        for before, number in zip([0, *numbers], numbers, strict=False):
            self._add(columns, range(before, number), scores)
            yield scores

    def prepare_scores(self, x: BitRows) -> Tally:
        """See :meth:`Growth.prepare_scores`."""
        columns = pack_examples(x)
        return Tally(
            len(x), columns, np.zeros((self.spec.classes, 64 * columns.shape[1]), np.int16), GrownState.empty(self.spec)
        )

    def scores_of(self, prepared: Tally) -> NDArray[np.int16]:
        """See :meth:`Growth.scores_of`; adds the tables that are new since the last time."""
        state, before = self._state, prepared.state
        done = before.grown
        if not all(
            np.array_equal(a[:done], b[:done])
            for a, b in ((state.wiring, before.wiring), (state.tables, before.tables))
        ):
            prepared.scores[:] = done = 0
        self._add(prepared.columns, range(done, state.grown), prepared.scores)
        prepared.state = self.state
        return prepared.scores[:, : prepared.examples].T

    def scores(self, x: BitRows, tables: int | None = None) -> NDArray[np.int64]:
        """The scores (N, classes) of examples x (N, A), by the first ``tables`` tables, by default all that are
        grown."""
        columns = pack_examples(x)
        number = self._state.grown if tables is None else tables
        return next(self._scores(columns, [number]))[:, : len(x)].T.astype(np.int64)

    def curve(self, x: BitRows, labels: NDArray[np.int64], numbers: Sequence[int]) -> NDArray[np.int64]:
        """How many of the examples x (N, A) of classes ``labels`` (N,) the first n tables predict rightly, for each n
        of ``numbers``, which rise: (numbers,).

        Raises :class:`UserError` for numbers that do not rise or of tables that are not grown.
        """
        if list(numbers) != sorted(set(numbers)) or not all(0 <= n <= self._state.grown for n in numbers):
            raise UserError(
                f"the numbers of tables {list(numbers)} were given; expected rising numbers from 0 to "
                f"{self._state.grown}, the tables that are grown"
            )
        columns = pack_examples(x)
        right = [int((s[:, : len(x)].argmax(axis=0) == labels).sum()) for s in self._scores(columns, numbers)]
        return np.array(right, np.int64)


def best_number(numbers: Sequence[int], right: NDArray[np.int64]) -> int:
    """The number of tables of ``numbers`` that predicts most validation examples rightly, the smallest on a tie.

    right: (numbers,), as :meth:`CompiledGrown.curve` gives it.
    """
    return int(numbers[int(np.argmax(right))])


class CompiledVotes(CompiledGrowth):
    """Tables of votes grown by compiled kernels; see :class:`rdahw.families.grown.votes.PlainVotes`."""

    _kind = VoteShard
    spec: VotesSpec

    def prepare_scores(self, x: BitRows) -> BitRows:
        """See :meth:`Growth.prepare_scores`."""
        return x

    def _choose(self, sample: Sample) -> tuple[NDArray[np.int64], NDArray[np.int8]]:
        spec = self.spec
        places, votes = np.empty(spec.inputs, np.int64), np.empty(spec.tables_shape[1:], np.int8)
        rows, chosen, wires, requests = sample
        limits, lanes = spec.value_range, _lanes(len(chosen), len(wires))
        choose_votes(rows, chosen, requests, wires, spec.refinements, spec.scale, *limits, lanes, places, votes)
        return places, votes

    def _scores(self, rows: Words) -> NDArray[np.int32]:
        scores = np.zeros((len(rows), self.spec.classes), np.int32)
        for j in range(self._state.grown):
            add_votes(rows, self._state.wiring[j].astype(np.int64), self._state.tables[j], scores)
        return scores

    def scores(self, x: BitRows) -> NDArray[np.int64]:
        """The scores (N, classes) of examples x (N, A) by the tables grown so far."""
        return self._scores(pack_wires(x)).astype(np.int64)


@dataclass(slots=True, eq=False)
class _Prepared:
    """Examples and, from the first time that they are asked for, the forms that grow and that are scored; ``order``:
    the array of the order in which they learned last."""

    examples: Examples
    growing: Any = None
    scored: Any = None
    order: Any = None


class GrownEngine:
    """Growth as an engine of :class:`rdahw.training.Training`: an update is a round of tables, by all examples."""

    chunk: int | None = 1

    def __init__(self, growth: Growth) -> None:
        self.growth = growth
        self.spec, self.name = growth.spec, growth.name
        self._running: tuple[Any, Iterator[int]] | None = None

    @property
    def state(self) -> dict[str, NDArray[Any]]:
        """A copy of the state."""
        grown = self.growth.state
        values: dict[str, NDArray[Any]] = {
            "tables": grown.tables,
            "wiring": grown.wiring,
            "grown": np.array([grown.grown]),
        }
        return {field.name: field.check(values[field.name]) for field in self.spec.fields}

    @state.setter
    def state(self, value: State) -> None:
        tables, wiring, grown = (field.check(value[field.name]) for field in self.spec.fields)
        self._running = None
        self.growth.state = GrownState(wiring.astype(np.int32), tables.astype(np.int8), int(grown[0]))

    def prepare(self, examples: Examples) -> _Prepared:
        """The examples, to be packed on use."""
        return _Prepared(examples)

    def train(self, prepared: _Prepared, batches: Batches) -> Outcome:
        """Grow a round of tables for each update.

        Raises :class:`UserError` for an update by some of the examples only.
        """
        examples, wrong, changed, start = prepared.examples, [], [], 0
        if prepared.growing is None:
            prepared.growing = self.growth.prepare(examples.x, examples.labels)
        if self._running is None or self._running[0] is not prepared:
            self._running = prepared, self.growth.run(prepared.growing)
        for end in batches.ends.tolist():
            rows: Any = batches.rows[start:end]
            # All rounds have the same array, which is compared once.
            is_known = rows.base is prepared.order and len(rows) == len(examples)
            if not is_known and not np.array_equal(rows, np.arange(len(examples))):
                raise UserError(
                    f"an update by {end - start} examples was asked for; a grown model learns from all "
                    f"{len(examples)} at once, in their order"
                )
            start, prepared.order = end, rows.base if np.shape(rows.base) == rows.shape else None
            for grown in self._running[1]:
                if grown % self.spec.round_tables == 0:
                    break
            wrong.append(self.growth.counts[0])
            changed.append(self.growth.counts[1])
        return Outcome(np.array(wrong, np.int64), np.array(changed, np.int64))

    def class_scores(self, prepared: _Prepared) -> NDArray[Any]:
        """How many tables vote for each class, (N, classes)."""
        if prepared.scored is None:
            prepared.scored = self.growth.prepare_scores(prepared.examples.x)
        return self.growth.scores_of(prepared.scored)

    def predict(self, prepared: _Prepared) -> NDArray[np.int64]:
        """The classes (N,): the largest score, the lowest class on a tie."""
        return np.asarray(self.class_scores(prepared).argmax(axis=1), np.int64)


class GrownPredictor:
    """Predicts by the tables of an engine; a :class:`rdahw.sim.engines.Predictor`."""

    def __init__(self, engine: GrownEngine) -> None:
        self._growth = engine.growth

    def scores(self, words: Words) -> NDArray[np.int16]:
        """How many tables vote for each class, (N, classes)."""
        spec, state = self._growth.spec, self._growth._state
        columns = turn_words(words, spec.input_bits)
        scores = np.zeros((spec.classes, 64 * columns.shape[1]), np.int16)
        add_tables(columns, state.wiring, state.tables, 0, state.grown, scores)
        return scores[:, : len(words)].T

    def class_of(self, bits: Array) -> int:
        """The class of one example (A,)."""
        state = self._growth._state
        return int(classify_row(bits, state.wiring, state.tables, state.grown, self._growth.spec.classes))


def compiled(spec: GrownSpec, threads: int) -> GrownEngine:
    """The engine of compiled kernels."""
    return GrownEngine(CompiledGrown(spec, threads))


def reference(spec: GrownSpec, threads: int) -> GrownEngine:
    """The plain rule."""
    return GrownEngine(PlainGrown(spec))


def in_shards(spec: GrownSpec, engine: GrownEngine, shards: int, jobs: Jobs | None) -> GrownEngine:
    """The engine of the same bits whose examples are in shards."""
    return GrownEngine(engine.growth.in_shards(shards, jobs))


def compiled_votes(spec: VotesSpec, threads: int) -> GrownEngine:
    """The engine of compiled kernels for tables of votes. They are compiled here, so that no time includes it."""
    _warm_up(CompiledVotes(VotesSpec(**_SMALL)))
    return GrownEngine(CompiledVotes(spec))


def reference_votes(spec: VotesSpec, threads: int) -> GrownEngine:
    """The plain rule for tables of votes."""
    return GrownEngine(PlainVotes(spec))


def warm_up() -> None:
    """Compile all kernels, or load them from the cache of an earlier run, so that nothing later waits for it."""
    _warm_up(CompiledGrown(GrownSpec(**_SMALL)))
    _warm_up(CompiledVotes(VotesSpec(**_SMALL)))


def _warm_up(growth: Growth) -> None:
    x = np.array([[0], [1]], np.uint8)
    for _ in growth.run(growth.prepare(x, np.array([0, 1]))):
        pass
    growth.predict(x)
