"""The training loop against a plain rule written out here: batches, orders, ends, validation, and going on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rdahw import Bits, Learner, Model, lookup_model, mask_model, trace
from rdahw.errors import UsageError, UserError
from rdahw.random import permutation, stream
from rdahw.sim.engines import ReferenceEngine
from rdahw.training import Best, Examples, Schedule, Training, TrainingState, count_correct

RANDOM = np.random.default_rng(7)
X = RANDOM.integers(0, 2, (11, 3)).astype(np.uint8)
Y = RANDOM.integers(0, 2, (11, 2)).astype(np.uint8)
TRAIN = Examples(X, Y)
VALIDATION = Examples(X[:5], RANDOM.integers(0, 2, (5, 2)).astype(np.uint8))
LOOKUP = Learner(Model("lookup", lookup_model(3, 2)))


def training(schedule, validation=None, state=None, train=TRAIN, learner=LOOKUP):
    return Training(ReferenceEngine(learner), schedule, train, validation, state)


def bits(state):
    """All of a state, to compare."""
    best = state.best and (state.best.correct, state.best.update, state.best.parameters.tolist())
    return state.parameters.tolist(), state.epoch, state.position, state.updates, state.wrong, best


# The rule, written out: a lookup is a table; a wrong output asks to flip its entry; a batch flips what was asked an odd
# number of times.


def predict(table, x):
    address = sum(int(bit) << i for i, bit in enumerate(x))
    return [table[j * 8 + address] for j in range(2)]


def plain_rule(schedule):
    table, after_each, wrong = [0] * 16, [], []
    for epoch in range(schedule.epochs):
        order = range(11) if not schedule.shuffle else permutation(stream(schedule.seed, "shuffle", epoch), 11).tolist()
        errors = 0
        for start in range(0, 11, schedule.batch):
            asked = [0] * 16
            for i in list(order)[start : start + schedule.batch]:
                output = predict(table, X[i])
                errors += output != Y[i].tolist()
                address = sum(int(bit) << k for k, bit in enumerate(X[i]))
                for j in range(2):
                    asked[j * 8 + address] ^= output[j] ^ int(Y[i][j])
            table = [old ^ flip for old, flip in zip(table, asked, strict=True)]
            after_each.append(table)
            wrong.append(errors)
            if len(after_each) == schedule.updates:
                return after_each, wrong
    return after_each, wrong


@pytest.mark.parametrize("batch", [1, 2, 4, 11, 50])
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("updates", [None, 3, 8, 999])
def test_every_update_is_that_of_the_plain_rule(batch, shuffle, updates):
    schedule = Schedule(batch=batch, epochs=3, updates=updates, shuffle=shuffle, seed=5)
    run = training(schedule)
    states = list(run.run())
    tables, wrong = plain_rule(schedule)
    assert [state.parameters.tolist() for state in states] == tables
    assert [state.wrong for state in states] == wrong
    assert [state.updates for state in states] == list(range(1, len(states) + 1))
    assert len(states) == run.total_updates == schedule.total_updates(11) == min(3 * -(-11 // batch), updates or 999)


def test_a_batch_is_the_xor_of_requests_at_the_old_parameters():
    # Two examples that ask for the same flip cancel in a batch; one after the other the second asks for nothing.
    twice = Examples(np.zeros((2, 3), np.uint8), np.array([[1, 0], [1, 0]], np.uint8))
    (together,) = training(Schedule(batch=2), train=twice).run()
    *_, alone = training(Schedule(), train=twice).run()
    assert together.parameters.tolist() == [0] * 16
    assert together.wrong == 2
    assert alone.parameters.tolist() == [1] + [0] * 15
    assert alone.wrong == 1


def test_an_update_that_changes_nothing_counts():
    right = Examples(X[:4], np.zeros((4, 2), np.uint8))
    states = list(training(Schedule(), train=right).run())
    assert [state.updates for state in states] == [1, 2, 3, 4]
    assert not any(state.parameters.any() for state in states)


def test_the_last_batch_of_an_epoch_is_what_is_left():
    positions = [(s.epoch, s.position) for s in training(Schedule(batch=4, epochs=2)).run()]
    assert positions == [(0, 4), (0, 8), (0, 11), (1, 4), (1, 8), (1, 11)]


def test_order_is_the_documented_permutation():
    schedule = Schedule(shuffle=True, seed=9)
    for epoch in (0, 1, 7):
        assert schedule.order(epoch, 11).tolist() == permutation(stream(9, "shuffle", epoch), 11).tolist()
    assert schedule.order(0, 11).tolist() != schedule.order(1, 11).tolist()
    assert Schedule(seed=9).order(3, 4).tolist() == [0, 1, 2, 3]


def test_a_stride_goes_through_all_examples():
    assert Schedule(stride=4).order(0, 11).tolist() == [0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7]
    assert Schedule(stride=15).order(3, 11).tolist() == Schedule(stride=4).order(0, 11).tolist()
    assert Schedule().order(0, 11).tolist() == list(range(11))
    assert Schedule(stride=7).order(0, 1).tolist() == [0]
    with pytest.raises(UsageError, match="a stride of 6 leaves out examples: .* number 15 are both divisible by 3"):
        Schedule(stride=6).order(0, 15)
    with pytest.raises(UsageError, match="a stride of 3 and shuffling were both asked for; choose one order"):
        Schedule(stride=3, shuffle=True)


def test_another_seed_changes_nothing_without_shuffling():
    *_, one = training(Schedule(seed=1)).run()
    *_, two = training(Schedule(seed=2)).run()
    assert bits(one) == bits(two)


# Validation


def test_validation_keeps_the_later_of_equal_scores():
    run = training(Schedule(epochs=2, shuffle=True, seed=1), VALIDATION)
    scores = [score(run.state.parameters)]
    scores += [score(state.parameters) for state in run.run()]
    best = max(scores)
    last = max(update for update, correct in enumerate(scores) if correct == best)
    assert scores.count(best) > 1, "choose data where this says something"
    assert scores[-1] < best
    assert (run.state.best.correct, run.state.best.update) == (best, last)
    assert score(run.parameters) == best
    assert (run.parameters == run.state.best.parameters).all()


def score(parameters):
    table = parameters.tolist()
    return sum(predict(table, x) == y.tolist() for x, y in zip(VALIDATION.x, VALIDATION.y, strict=True))


def test_the_parameters_of_the_start_may_be_the_best():
    zero = Examples(VALIDATION.x, np.zeros((5, 2), np.uint8))
    one = Examples(X[:1], np.ones((1, 2), np.uint8))
    run = training(Schedule(), zero, train=Examples(zero.x[:1], one.y))
    list(run.run())
    assert (run.state.best.correct, run.state.best.update) == (5, 0)
    assert not run.parameters.any()
    assert run.state.parameters.any()


def test_without_validation_the_last_parameters_count():
    run = training(Schedule())
    *_, last = run.run()
    assert last.best is None
    assert (run.parameters == last.parameters).all()


# Going on


@pytest.mark.parametrize("validation", [None, VALIDATION])
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("shuffle", [False, True])
def test_going_on_after_any_update_gives_the_same_bits(batch, shuffle, validation):
    schedule = Schedule(batch=batch, epochs=3, shuffle=shuffle, seed=2)
    whole = training(schedule, validation)
    states = [whole.state, *whole.run()]
    for k, state in enumerate(states):
        rest = training(schedule, validation, state)
        assert [bits(s) for s in rest.run()] == [bits(s) for s in states[k + 1 :]]
        assert (rest.parameters == whole.parameters).all()
        if k < len(states) - 1:
            assert bits(rest.state) == bits(whole.state)


def test_going_on_after_fewer_updates_than_there_will_be():
    part = training(Schedule(updates=4, epochs=2))
    *_, state = part.run()
    rest, whole = training(Schedule(epochs=2), state=state), training(Schedule(epochs=2))
    assert [bits(s) for s in rest.run()] == [bits(s) for s in list(whole.run())[4:]]


def test_a_run_that_is_over_does_nothing():
    run = training(Schedule())
    list(run.run())
    before = bits(run.state)
    assert list(training(Schedule(), state=run.state).run()) == []
    assert list(training(Schedule(updates=3), state=run.state).run()) == []
    assert bits(run.state) == before


def test_a_state_past_the_end_of_its_epoch_begins_the_next():
    # What a file says need not be what we would write.
    state = TrainingState(np.zeros(16, np.uint8), epoch=0, position=99, updates=2)
    (first, *_) = training(Schedule(epochs=2), state=state).run()
    assert (first.epoch, first.position, first.updates) == (1, 1, 3)


def test_an_earlier_state_is_not_changed_by_what_comes_after():
    run = training(Schedule(epochs=2), VALIDATION)
    states = [run.state, *run.run()]
    copies = [bits(state) for state in states]
    list(training(Schedule(epochs=2), VALIDATION, states[3]).run())
    assert [bits(state) for state in states] == copies
    run.engine.parameters = np.ones(16, np.uint8)
    run.engine.train(X, Y)
    assert [bits(state) for state in states] == copies


# Engines


@pytest.mark.parametrize("part", [1, 2, 3, 1000])
def test_a_large_batch_is_summed_in_parts(part, monkeypatch):
    monkeypatch.setattr("rdahw.sim.engines._PART", part * 16)
    *_, state = training(Schedule(batch=11)).run()
    assert state.parameters.tolist() == plain_rule(Schedule(batch=11))[0][-1]
    assert state.wrong == plain_rule(Schedule(batch=11))[1][-1]


def test_the_engine_follows_the_circuit_of_the_step():
    learner = Learner(Model("mask", mask_model(6, 2)))
    engine = ReferenceEngine(learner)
    theta = np.zeros(6, np.uint8)
    for _ in range(40):
        x, y = RANDOM.integers(0, 2, (1, 6)).astype(np.uint8), RANDOM.integers(0, 2, (1, 1)).astype(np.uint8)
        from rdahw.sim.reference import run

        output = engine.train(x, y)
        assert output.tolist() == run(learner.model.circuit, theta, x)[0].tolist()
        (theta,) = run(learner.step, theta, x[0], y[0])
        assert engine.parameters.tolist() == theta.tolist()
        assert engine.predict(x).tolist() == run(learner.model.circuit, theta, x)[0].tolist()


def test_an_output_that_does_not_depend_on_the_example():
    constant = Learner(Model("constant", trace(lambda theta, x: theta, theta=Bits(2), x=Bits(3))))
    engine = ReferenceEngine(constant)
    assert engine.train(X, Y).shape == (11, 2)
    assert engine.predict(X).shape == (11, 2)
    *_, state = training(Schedule(batch=4), learner=constant).run()
    assert state.wrong <= 11


def test_parameters_of_an_engine_are_copies():
    engine = ReferenceEngine(LOOKUP)
    given = np.zeros(16, np.uint8)
    engine.parameters = given
    given[0] = 1
    engine.parameters[1] = 1
    assert not engine.parameters.any()


# What is refused


@pytest.mark.parametrize("name", ["batch", "epochs", "updates", "stride"])
@pytest.mark.parametrize("value", [0, -3])
def test_a_schedule_of_nothing(name, value):
    with pytest.raises(UsageError, match=f"^{name} is {value}; expected at least 1$"):
        Schedule(**{name: value})


def test_examples_that_do_not_fit():
    with pytest.raises(UserError, match="^11 inputs were given with 3 labels; expected as many$"):
        Examples(X, Y[:3])
    with pytest.raises(UserError, match="there is no example to train on"):
        training(Schedule(), train=Examples(X[:0], Y[:0]))


def test_count_correct_wants_all_bits_of_an_example():
    outputs = np.array([[0, 1], [1, 1], [0, 0]], np.uint8)
    assert count_correct(outputs, np.array([[0, 1], [1, 0], [1, 1]], np.uint8)) == 1


def test_states_are_values():
    best = Best(3, 2, np.zeros(4, np.uint8))
    state = replace(TrainingState(np.ones(4, np.uint8)), best=best, updates=9)
    assert (state.best, state.updates, state.epoch) == (best, 9, 0)
