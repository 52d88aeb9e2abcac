"""Training in shards, and merged counters: the rule written a second time, and the same bits wherever shards run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rdahw.errors import UsageError
from rdahw.families import find_family
from rdahw.families.ensemble import EnsembleSpec
from rdahw.families.ensemble.rule import PlainEnsemble
from rdahw.families.ensemble.spec import register_bits, register_number
from rdahw.family import Spec, Task
from rdahw.jobs import Jobs, ThreadJobs
from rdahw.merging import merge_states
from rdahw.random import permutation, stream
from rdahw.sim import shards as sharding
from rdahw.sim.engines import make_engine
from rdahw.sim.shards import ShardedEngine
from rdahw.training import Batches, Examples, Schedule, Training

#: The examples of a round here.
ROUND = 17
SPEC = EnsembleSpec(input_bits=12, classes=3, tables=5, inputs=3, counter=4, margin=4, seed=7)


@pytest.fixture(autouse=True)
def _short_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharding, "ROUND", ROUND)


def examples(count: int = 61) -> Examples:
    x = np.random.default_rng(1).integers(0, 2, (count, 12), np.uint8)
    return Examples(x, x[:, :2].sum(axis=1, dtype=np.int64))


def trained(shards: int, jobs: Jobs | None = None, engine: str = "compiled", epochs: int = 2) -> dict[str, Any]:
    data = examples()
    sharded = ShardedEngine(SPEC, make_engine(SPEC, engine), shards, jobs)
    for _ in Training(sharded, Schedule(epochs=epochs, shuffle=True, seed=3), data).run():
        pass
    assert sharded.name == f"{engine}, {shards} shards"
    return dict(sharded.state)


def test_shards_learn_by_the_rule_written_a_second_time() -> None:
    """By the plain ensemble, for 3 shards: of the 61 examples the first has 20, the second 20, the third 21."""
    data, starts = examples(), [0, 20, 40, 61]
    counters, register = np.zeros(SPEC.counters_shape, np.int64), register_number(SPEC.initial_state()["dropout"])
    for epoch in range(2):
        order = permutation(stream(3, "shuffle", epoch), 61)
        for begin in range(0, 61, ROUND):
            rows, changes, registers = order[begin : begin + ROUND], [], []
            for shard in range(3):
                plain = PlainEnsemble(SPEC)
                plain.counters = counters.astype(np.int8)
                plain.dropout_state = stream(register, "shard", shard) >> 1 if shard else register
                own = slice(starts[shard], starts[shard + 1])
                part = [row - own.start for row in rows if own.start <= row < own.stop]
                plain.train(plain.prepare(data.take(own)), Batches.single(np.array(part), epoch=epoch))
                changes.append(plain.counters - counters)
                registers.append(plain.dropout_state)
            counters, register = counters + np.floor(sum(changes) / 3 + 0.5).astype(np.int64), registers[0]
    found = trained(3)
    assert np.array_equal(found["counters"], counters)
    assert np.array_equal(found["dropout"], register_bits(register))
    assert np.abs(counters).max() > 2  # and much was learned


@pytest.mark.parametrize("jobs", [ThreadJobs(1), ThreadJobs(2), ThreadJobs(4)], ids=lambda jobs: str(jobs.count))
def test_the_bits_do_not_depend_on_how_many_shards_learn_at_once(jobs: Jobs) -> None:
    expected, found = trained(4), trained(4, jobs)
    assert found.keys() == expected.keys()
    assert all(np.array_equal(found[name], expected[name]) for name in expected)


def test_the_engines_learn_the_same_shards_and_one_shard_is_the_usual_rule() -> None:
    assert np.array_equal(trained(2)["counters"], trained(2, engine="reference")["counters"])
    data, usual = examples(), make_engine(SPEC)
    for _ in Training(usual, Schedule(epochs=2, shuffle=True, seed=3), data).run():
        pass
    assert np.array_equal(trained(1)["counters"], usual.state["counters"])
    assert not np.array_equal(trained(2)["counters"], usual.state["counters"])


def test_more_shards_than_examples() -> None:
    data = examples(2)
    sharded = ShardedEngine(SPEC, make_engine(SPEC), 4)
    training = Training(sharded, Schedule(epochs=3), data)
    assert [done.updates for done in training.run()] == [2, 4, 6]


@pytest.mark.parametrize("shards", [0, ROUND + 1])
def test_more_shards_than_the_examples_of_a_round(shards: int) -> None:
    with pytest.raises(UsageError, match=f"^shards is {shards}, and .* at a time; use 1 to {ROUND} shards$"):
        ShardedEngine(SPEC, make_engine(SPEC), shards)


@pytest.mark.parametrize(
    ("mean", "changes", "expected"),
    [
        (False, (1, 3, -1), 2 + 3),
        (False, (5, 5, 0), 7),  # saturated at 4 bits
        (False, (-9, -9, 0), -8),
        (True, (3, 4, -1), 2 + 2),
        (True, (3, 3, -1), 2 + 2),  # 5/3
        (True, (1, 0, 0), 2),
    ],
)
def test_changes_are_added_or_averaged(mean: bool, changes: tuple[int, ...], expected: int) -> None:
    start = {"counters": np.full(SPEC.counters_shape, 2, np.int8), "dropout": register_bits(5)}
    states = [
        {"counters": np.full(SPEC.counters_shape, 2 + change, np.int8), "dropout": register_bits(9 + n)}
        for n, change in enumerate(changes)
    ]
    found = merge_states(SPEC, start, states, mean=mean)
    assert found["counters"].dtype == np.int8
    assert (found["counters"] == expected).all()
    assert register_number(found["dropout"]) == 9


def test_halves_are_rounded_up() -> None:
    start = {"counters": np.zeros(SPEC.counters_shape, np.int8), "dropout": register_bits(5)}
    for change, expected in ((1, 1), (-1, 0), (3, 2), (-3, -1)):
        states = [{**start, "counters": start["counters"] + np.int8(n)} for n in (change, 0)]
        assert (merge_states(SPEC, start, states, mean=True)["counters"] == expected).all()


def test_what_has_no_counters() -> None:
    spec: Spec = find_family("lookup").spec(Task(input_bits=4, classes=3))
    message = "^models of the family 'lookup' have no counters whose .*; use ensemble, which learns classes$"
    with pytest.raises(UsageError, match=message):
        merge_states(spec, spec.initial_state(), [spec.initial_state()])
