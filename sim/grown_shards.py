"""The examples of a growth in shards: each has some of them and their scores, and picks its part of each sample.

A table depends on all examples only by how many ask, by which the places of its sample are drawn, and by that sample,
which is bounded: as the numbers are added and the parts of the sample joined, the bits are the same for any number of
shards, wherever they are. A shard that was lost is made anew, and follows the growth to where it is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from rdahw.bits import BitRows
from rdahw.families.grown.spec import GrownSpec, VotesSpec, copy_shifts, shifted
from rdahw.sim.grown_kernels import (
    add_tables,
    add_votes,
    ask,
    find_asking,
    list_rivalled,
    pick_wires,
    request_votes,
)
from rdahw.sim.packing import Words, pack_wires, turn_words, words_for

__all__ = ["Asked", "BitShard", "Sample", "Shard", "Step", "VoteShard", "asked", "join", "share", "taken"]

_SPEC = TypeVar("_SPEC", bound=GrownSpec)

#: So many examples are shifted at once.
_COPIED = 4096
#: No difference of scores is larger, so a larger threshold changes nothing: that of 16 bits has room for it.
_MOST_APART = 1 << 14


class Step(NamedTuple):
    """A point of growth number ``run``, with its tables from number ``first`` on: wiring (n, inputs), tables (n, …)."""

    run: int
    first: int
    wiring: NDArray[np.int32]
    tables: NDArray[np.int8]

    @property
    def last(self) -> int:
        """The number of tables at this point."""
        return self.first + len(self.wiring)


class Asked(NamedTuple):
    """Who asks: how many for each table of a round, of the examples and of each of their copies, (tables, 1 + copies);
    and of the examples themselves, how many are predicted wrongly, and how many ask for any table."""

    counts: NDArray[np.int64]
    wrong: int
    asking: int


class Sample(NamedTuple):
    """Sampled examples: numbers ``chosen`` (n,) of ``rows`` (N, W), packed by wires, the bits to choose from in them,
    ``wires`` (K,), and the ``requests`` (n, …) int16."""

    rows: Words
    chosen: NDArray[np.int64]
    wires: NDArray[np.int64]
    requests: NDArray[np.int16]


class Shard(ABC, Generic[_SPEC]):
    """Examples x (N, A) and their classes (N,), with their shifted copies; they are numbers ``first`` to
    ``first`` + N - 1 of ``examples``. They are packed on use.

    is_alone: there is no other shard, and samples refer to its rows.
    """

    rows: Words
    labels: NDArray[np.int64]

    def __init__(
        self, spec: _SPEC, x: BitRows, labels: NDArray[np.int64], first: int, examples: int, is_alone: bool
    ) -> None:
        self._given = spec, x, labels, first, examples, is_alone
        self.spec, self.is_alone = spec, is_alone
        self._at: tuple[int, int] | None = None
        self.asked: Asked

    def __reduce__(self) -> Any:
        return type(self), self._given

    def follow(self, step: Step) -> bool:
        """Go on to ``step``, and look who asks; False if more tables are needed for that than it has."""
        if self._at == (step.run, step.last):
            return True
        done = 0 if self._at is None or self._at[0] != step.run else self._at[1]
        if done < step.first:
            return False
        if not done:
            if self._at is None:
                self._pack()
            self.clear()
        self.add(step.wiring[done - step.first :], step.tables[done - step.first :])
        self.asked = self.ask(self.spec.threshold(step.last))
        self._at = step.run, step.last
        return True

    def _pack(self) -> None:
        spec, x, labels, first, examples, _ = self._given
        rows = [pack_wires(x)]
        for copy in range(spec.copies):
            shifts = copy_shifts(spec, copy, examples)[first : first + len(x)]
            # In parts, as bits that are not packed take eight times the memory.
            parts = [slice(start, start + _COPIED) for start in range(0, len(x), _COPIED)]
            rows += [pack_wires(shifted(spec, np.asarray(x[part], np.uint8), shifts[part])) for part in parts]
        self.rows = np.concatenate(rows) if spec.copies else rows[0]
        self.labels = np.tile(labels, 1 + spec.copies)

    @abstractmethod
    def clear(self) -> None:
        """Set the scores to those of no table."""

    @abstractmethod
    def add(self, wiring: NDArray[np.int32], tables: NDArray[np.int8]) -> None:
        """Add whole rounds of tables to the scores."""

    @abstractmethod
    def ask(self, threshold: int) -> Asked:
        """Look who asks."""

    @abstractmethod
    def take(self, table: int, places: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int16]]:
        """The examples and their requests, of those ``places`` (n,), which rise, among those here that ask for this
        table of the round."""

    def sample(self, table: int, places: NDArray[np.int64], wires: NDArray[np.int64]) -> Sample:
        """The sample at these places, with the bits ``wires``."""
        chosen, requests = self.take(table, places)
        if self.is_alone:
            return Sample(self.rows, chosen, wires, requests)
        picked = np.zeros((len(chosen), words_for(len(wires))), np.uint64)
        pick_wires(self.rows, chosen, wires, picked)
        return Sample(picked, np.arange(len(chosen)), np.arange(len(wires)), requests)


class BitShard(Shard[GrownSpec]):
    """Examples that grow tables of one bit: packed in both ways, their scores (classes, 64 V) by examples."""

    def clear(self) -> None:
        count, classes = len(self.rows), self.spec.classes
        if not hasattr(self, "columns"):
            self.columns = turn_words(self.rows, self.spec.input_bits)
            self._asking = np.zeros((classes, 64 * words_for(count)), np.uint8)
            self._short, self._weights = self.labels.astype(np.int16), np.empty(count, np.int16)
        self._scores = np.zeros(self._asking.shape, np.int16)

    def add(self, wiring: NDArray[np.int32], tables: NDArray[np.int8]) -> None:
        add_tables(self.columns, wiring, tables, 0, len(wiring), self._scores)

    def ask(self, threshold: int) -> Asked:
        counts, own = np.empty(2, np.int64), len(self.rows) // (1 + self.spec.copies)
        ask(self._scores, self._short, min(threshold, _MOST_APART), self._asking, self._weights, own, counts)
        parts = [slice(own * copy, own * (copy + 1)) for copy in range(1 + self.spec.copies)]
        asking = [[np.count_nonzero(line[part]) for part in parts] for line in self._asking.view(np.bool_)]
        return Asked(np.array(asking, np.int64), int(counts[0]), int(counts[1]))

    def take(self, table: int, places: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int16]]:
        chosen = np.empty(len(places), np.int64)
        find_asking(self._asking[table], places, chosen)
        return chosen, np.where(self._short[chosen] == table, self._weights[chosen], np.int16(-1))


class VoteShard(Shard[VotesSpec]):
    """Examples that grow tables of votes: packed by wires, with their scores (N, classes)."""

    def clear(self) -> None:
        self._scores = np.zeros((len(self.rows), self.spec.classes), np.int32)
        self._asking = np.empty(len(self.rows), np.int64)

    def add(self, wiring: NDArray[np.int32], tables: NDArray[np.int8]) -> None:
        for wires, votes in zip(wiring.astype(np.int64), tables, strict=True):
            add_votes(self.rows, wires, votes, self._scores)

    def ask(self, threshold: int) -> Asked:
        counts, own, self._threshold = np.empty(3, np.int64), len(self.rows) // (1 + self.spec.copies), threshold
        list_rivalled(self._scores, self.labels, threshold, own, self._asking, counts)
        cuts = np.searchsorted(self._asking[: counts[0]], own * np.arange(2 + self.spec.copies))
        return Asked(np.diff(cuts)[None], int(counts[1]), int(counts[2]))

    def take(self, table: int, places: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int16]]:
        chosen, requests = self._asking[places], np.empty((len(places), self.spec.classes + 1), np.int16)
        request_votes(self._scores, self.labels, self._threshold, chosen, requests)
        return chosen, requests


def asked(shard: Shard[Any], piece: tuple[Step, None]) -> Asked | None:
    """Who of the shard asks at a step; None if it has to know more tables."""
    return shard.asked if shard.follow(piece[0]) else None


def taken(shard: Shard[Any], piece: tuple[Step, Sequence[tuple[int, Any, Any]]]) -> list[Sample] | None:
    """The samples of the shard for some (table of the round, places, wires) at a step; None if it has to know more
    tables."""
    step, tables = piece
    return [shard.sample(*table) for table in tables] if shard.follow(step) else None


def share(places: NDArray[np.int64], counts: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """The places, which rise, of a sample among all that ask as the places in each shard.

    counts: how many ask in each shard, of the examples and of each of their copies, (shards, 1 + copies). The examples
    of all shards come before the first of the copies.
    """
    starts = np.zeros(counts.size + 1, np.int64)
    np.cumsum(counts.T, out=starts[1:])
    cuts = np.searchsorted(places, starts)
    before = counts.cumsum(axis=1) - counts
    parts: list[list[NDArray[np.int64]]] = [[] for _ in counts]
    for number in range(counts.size):
        copy, shard = divmod(number, len(counts))
        parts[shard].append(places[cuts[number] : cuts[number + 1]] - starts[number] + before[shard, copy])
    return [np.concatenate(part) for part in parts]


def join(samples: Sequence[Sample]) -> Sample:
    """Samples of several shards as one."""
    if len(samples) == 1:
        return samples[0]
    rows = np.concatenate([sample.rows for sample in samples])
    requests = np.concatenate([sample.requests for sample in samples])
    return Sample(rows, np.arange(len(rows)), samples[0].wires, requests)
