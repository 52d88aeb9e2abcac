"""The training loop against a plain rule written out here: batches, orders, ends, validation, and going on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rdahw import Bits, Learner, Model, lookup_model, mask_model, trace
from rdahw.errors import UsageError, UserError
from rdahw.families.circuits import CircuitSpec
from rdahw.families.ensemble.spec import EnsembleSpec
from rdahw.random import permutation, stream
from rdahw.sim.engines import ReferenceEngine, make_engine
from rdahw.training import Batches, Best, Examples, Outcome, Progress, Schedule, Training, repeats_of, spread

RANDOM = np.random.default_rng(7)
X = RANDOM.integers(0, 2, (11, 3)).astype(np.uint8)
Y = RANDOM.integers(0, 2, (11, 2)).astype(np.uint8)


def labelled(x, y):
    """Examples whose class has the binary code ``y`` (N, 2)."""
    return Examples(x, y[:, 0] + 2 * y[:, 1].astype(np.int64))


TRAIN = labelled(X, Y)
VALIDATION_Y = RANDOM.integers(0, 2, (5, 2)).astype(np.uint8)
VALIDATION = labelled(X[:5], VALIDATION_Y)
LOOKUP = CircuitSpec.of(Learner(Model("lookup", lookup_model(3, 2))))
ENSEMBLE = EnsembleSpec(input_bits=3, classes=4, tables=5, inputs=2, counter=3, margin=2, dropout=0.25, seed=7)
#: Models and engines that the loop has to be the same for.
RUN_BY = {
    "lookup by reference": (LOOKUP, "reference"),
    "lookup by packed": (LOOKUP, "packed"),
    "ensemble by reference": (ENSEMBLE, "reference"),
    "ensemble by compiled": (ENSEMBLE, "compiled"),
}
every_engine = pytest.mark.parametrize(("spec", "engine"), RUN_BY.values(), ids=RUN_BY.keys())


def training(schedule, validation=None, point=None, train=TRAIN, spec=LOOKUP, engine="reference"):
    """A training from the start, or from a ``point`` (engine's state, progress)."""
    made = make_engine(spec, engine)
    if point is None:
        return Training(made, schedule, train, validation)
    made.state = point[0]
    return Training(made, schedule, train, validation, point[1])


def points(run, chunk=1):
    """The engine's state and the progress after every ``chunk`` updates."""
    return [(run.engine.state, progress) for progress in run.run(chunk)]


def tables(run):
    """The parameters after each update."""
    return [state["parameters"].tolist() for state, _ in points(run)]


def bits(point):
    """All of a point, to compare."""
    state, progress = point
    best = progress.best
    kept = best and (best.correct, best.update, best.epoch, best.parameters.tolist())
    counts = [getattr(progress, name) for name in ("epoch", "position", "examples", "updates", "wrong", "changed")]
    return {name: value.tolist() for name, value in state.items()}, counts, kept


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
@pytest.mark.parametrize("engine", ["reference", "packed"])
def test_every_update_is_that_of_the_plain_rule(batch, shuffle, updates, engine):
    schedule = Schedule(batch=batch, epochs=3, updates=updates, shuffle=shuffle, seed=5)
    run = training(schedule, engine=engine)
    made = points(run)
    rule, wrong = plain_rule(schedule)
    assert [state["parameters"].tolist() for state, _ in made] == rule
    assert [progress.wrong for _, progress in made] == wrong
    assert [progress.updates for _, progress in made] == list(range(1, len(made) + 1))
    assert [progress.examples for _, progress in made] == [11 * p.epoch + p.position for _, p in made]
    assert len(made) == run.total_updates == schedule.total_updates(11) == min(3 * -(-11 // batch), updates or 999)


def test_a_batch_is_the_xor_of_requests_at_the_old_parameters():
    # Two examples that ask for the same flip cancel in a batch; one after the other the second asks for nothing.
    twice = Examples(np.zeros((2, 3), np.uint8), np.array([1, 1]))
    ((state, together),) = points(training(Schedule(batch=2), train=twice))
    *_, (other, alone) = points(training(Schedule(), train=twice))
    assert state["parameters"].tolist() == [0] * 16
    assert together.wrong == 2
    assert other["parameters"].tolist() == [1] + [0] * 15
    assert alone.wrong == 1


def test_an_update_that_changes_nothing_counts():
    right = Examples(X[:4], np.zeros(4, np.int64))
    made = points(training(Schedule(), train=right))
    assert [progress.updates for _, progress in made] == [1, 2, 3, 4]
    assert not any(state["parameters"].any() for state, _ in made)


@pytest.mark.parametrize("chunk", [1, 2, 3, 50])
def test_the_last_batch_of_an_epoch_is_what_is_left(chunk):
    seen = [(p.epoch, p.position) for p in training(Schedule(batch=4, epochs=2)).run(chunk)]
    each = [(0, 4), (0, 8), (0, 11), (1, 4), (1, 8), (1, 11)]
    # Every epoch ends with a progress of its own.
    assert seen == [at for i, at in enumerate(each) if i % 3 == 2 or (i % 3 + 1) % chunk == 0]


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
    with pytest.raises(UsageError, match="a stride of 22 leaves out examples"):
        training(Schedule(stride=22))
    with pytest.raises(UsageError, match="a stride of 3 and shuffling were both asked for; choose one order"):
        Schedule(stride=3, shuffle=True)


def test_another_seed_changes_nothing_without_shuffling():
    *_, one = points(training(Schedule(seed=1)))
    *_, two = points(training(Schedule(seed=2)))
    assert bits(one) == bits(two)


# An engine is told what it needs to know, and nothing else


class Recorder:
    """An engine that learns nothing and writes down what it is asked for."""

    name, chunk, spec = "recorder", None, LOOKUP

    def __init__(self):
        self.state, self.asked = {}, []

    def prepare(self, examples):
        return examples

    def train(self, prepared, batches):
        assert prepared is TRAIN
        self.asked.append(batches)
        return Outcome(np.zeros(len(batches.ends), np.int64))

    def predict(self, prepared):
        return np.zeros(len(prepared), np.int64)


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, None])
@pytest.mark.parametrize(("batch", "updates"), [(1, None), (4, None), (4, 5), (50, None)])
def test_an_engine_is_told_the_epoch_and_what_comes_next(batch, updates, chunk):
    schedule = Schedule(batch=batch, epochs=3, shuffle=True, seed=4, updates=updates)
    engine = Recorder()
    run = Training(engine, schedule, TRAIN)
    list(run.run(chunk))
    whole = []
    for epoch in range(3):
        order = permutation(stream(4, "shuffle", epoch), 11).tolist()
        whole += [(epoch, order[at : at + batch]) for at in range(0, 11, batch)]
    whole = whole[:updates]
    done = 0
    for asked in engine.asked:
        starts = [0, *asked.ends[:-1]]
        told = [(asked.epoch, asked.rows[a:b].tolist()) for a, b in zip(starts, asked.ends, strict=True)]
        assert told == whole[done : done + len(told)]
        assert len(told) <= (chunk or 1 << 18)
        done += len(told)
        assert asked.following.tolist() == (whole[done][1] if done < len(whole) else [])
        assert not asked.until_change
    assert done == len(whole) == run.total_updates


def test_the_first_chunk_is_a_single_update_and_short_ones_grow():
    engine = Recorder()
    list(Training(engine, Schedule(epochs=40), TRAIN).run(seconds=1e9))
    lengths = [len(asked.ends) for asked in engine.asked]
    assert lengths[:4] == [1, 2, 4, 4]
    assert set(lengths[4:]) == {11}
    engine = Recorder()
    list(Training(engine, Schedule(epochs=3), TRAIN).run(seconds=0.0))
    assert {len(asked.ends) for asked in engine.asked} == {1}


def test_the_chunk_of_an_engine_is_kept():
    engine = Recorder()
    engine.chunk = 4
    list(Training(engine, Schedule(epochs=2), TRAIN).run())
    assert [len(asked.ends) for asked in engine.asked] == [4, 4, 3] * 2


@every_engine
@pytest.mark.parametrize("validation", [None, VALIDATION])
@pytest.mark.parametrize("scored", ["update", "epoch"])
@pytest.mark.parametrize("chunk", [2, 5, 1000, None])
def test_how_many_updates_at_once_changes_nothing(spec, engine, validation, scored, chunk):
    schedule = Schedule(epochs=4, shuffle=True, seed=2, updates=38, scored=scored)
    alone = training(schedule, validation, spec=spec, engine=engine)
    *_, one = points(alone)
    several = training(schedule, validation, spec=spec, engine=engine)
    seen = list(several.run(chunk))
    assert bits((several.engine.state, seen[-1])) == bits(one)
    assert (several.parameters == alone.parameters).all()
    assert bits((several.engine.state, several.progress)) == bits((alone.engine.state, alone.progress))


@every_engine
def test_engines_of_a_model_agree_on_every_point(spec, engine):
    schedule = Schedule(epochs=3, shuffle=True, seed=1)
    made = training(schedule, VALIDATION, spec=spec, engine=engine)
    plain = training(schedule, VALIDATION, spec=spec, engine="reference")
    assert [bits(point) for point in points(made)] == [bits(point) for point in points(plain)]


# Validation


def test_validation_keeps_the_later_of_equal_scores():
    run = training(Schedule(epochs=2, shuffle=True, seed=1), VALIDATION)
    scores = [score(run.parameters)]
    made = points(run)
    scores += [score(state["parameters"]) for state, _ in made]
    best = max(scores)
    last = max(update for update, correct in enumerate(scores) if correct == best)
    assert scores.count(best) > 1, "choose data where this says something"
    assert scores[-1] < best
    kept = run.progress.best
    assert (kept.correct, kept.update, kept.epoch) == (best, last, last // 11)
    assert score(run.parameters) == best
    assert (run.parameters == kept.parameters).all()


@every_engine
def test_validation_after_every_epoch_keeps_the_later_of_equal_scores(spec, engine):
    schedule = Schedule(epochs=9, shuffle=True, seed=3, scored="epoch", updates=9 * 11 - 2)
    run = training(schedule, VALIDATION, spec=spec, engine=engine)
    assert run.progress.best is None
    scores = []
    for progress in run.run(3):
        if progress.position == 11:
            predicted = run.engine.predict(run.prepare(VALIDATION))
            scores.append((int((predicted == VALIDATION.labels).sum()), progress.epoch + 1))
            kept = run.engine.state[spec.parameters.name]
            if max(scores) == scores[-1]:
                expected = kept
        best = progress.best
        # Of an epoch that is not whole there is no score.
        assert (best is None) == (not scores)
        if scores:
            assert (best.correct, best.epoch) == max(scores)
            assert best.update == 11 * best.epoch
            assert (best.parameters == expected).all()
    assert len(scores) == 8
    assert run.progress.position == 9


def score(parameters):
    table = parameters.tolist()
    return sum(predict(table, x) == y.tolist() for x, y in zip(VALIDATION.x, VALIDATION_Y, strict=True))


def test_the_parameters_of_the_start_may_be_the_best():
    zero = Examples(VALIDATION.x, np.zeros(5, np.int64))
    run = training(Schedule(), zero, train=Examples(zero.x[:1], np.array([3])))
    list(run.run())
    assert (run.progress.best.correct, run.progress.best.update) == (5, 0)
    assert not run.parameters.any()
    assert run.engine.state["parameters"].any()


def test_without_validation_the_last_parameters_count():
    run = training(Schedule())
    *_, (state, last) = points(run)
    assert last.best is None
    assert (run.parameters == state["parameters"]).all()


# Going on


GOING_ON = [
    (spec, engine, batch) for spec, engine in RUN_BY.values() for batch in (1, 3) if batch == 1 or spec is LOOKUP
]


@pytest.mark.slow
@pytest.mark.parametrize("validation", [None, VALIDATION])
@pytest.mark.parametrize("scored", ["update", "epoch"])
@pytest.mark.parametrize(("spec", "engine", "batch"), GOING_ON)
@pytest.mark.parametrize("shuffle", [False, True])
def test_going_on_after_any_update_gives_the_same_bits(spec, engine, batch, shuffle, validation, scored):
    schedule = Schedule(batch=batch, epochs=3, shuffle=shuffle, seed=2, scored=scored)
    whole = training(schedule, validation, spec=spec, engine=engine)
    made = [(whole.engine.state, whole.progress), *points(whole)]
    for k, point in enumerate(made):
        rest = training(schedule, validation, point, spec=spec, engine=engine)
        assert [bits(p) for p in points(rest)] == [bits(p) for p in made[k + 1 :]]
        assert (rest.parameters == whole.parameters).all()
        assert bits((rest.engine.state, rest.progress)) == bits((whole.engine.state, whole.progress))


@every_engine
def test_going_on_after_fewer_updates_than_there_will_be(spec, engine):
    part = training(Schedule(updates=4, epochs=2), spec=spec, engine=engine)
    *_, point = points(part)
    rest = training(Schedule(epochs=2), point=point, spec=spec, engine=engine)
    whole = training(Schedule(epochs=2), spec=spec, engine=engine)
    assert [bits(p) for p in points(rest)] == [bits(p) for p in points(whole)[4:]]


@every_engine
def test_a_run_that_is_over_does_nothing(spec, engine):
    run = training(Schedule(), spec=spec, engine=engine)
    list(run.run())
    point = run.engine.state, run.progress
    before = bits(point)
    for schedule in (Schedule(), Schedule(updates=3)):
        again = training(schedule, point=point, spec=spec, engine=engine)
        assert list(again.run()) == []
        assert bits((again.engine.state, again.progress)) == before


@every_engine
@pytest.mark.parametrize("position", [11, 99])
def test_a_progress_past_the_end_of_its_epoch_begins_the_next(spec, engine, position):
    # What a file says need not be what we would write.
    start = make_engine(spec, engine).state, Progress(epoch=0, position=position, updates=2, wrong=7, changed=3)
    run = training(Schedule(epochs=2), point=start, spec=spec, engine=engine)
    assert (run.progress.epoch, run.progress.position, run.progress.wrong, run.progress.changed) == (1, 0, 0, 0)
    (first, *_) = run.run(1)
    assert (first.epoch, first.position, first.examples, first.updates) == (1, 1, 12, 3)


def test_what_an_older_file_does_not_say():
    # How many examples there were, and how many of this epoch asked for a change.
    start = make_engine(LOOKUP).state, Progress(epoch=1, position=4, updates=4, wrong=2, changed=None)
    run = training(Schedule(epochs=3, batch=4), point=start)
    assert (run.progress.examples, run.progress.changed) == (15, None)
    assert [(p.examples, p.changed) for p in run.run(1)] == [(19, None), (22, None), (26, None), (30, None), (33, None)]


def test_an_engine_that_knows_how_many_asked_for_a_change_is_counted():
    run = training(Schedule(epochs=2), spec=ENSEMBLE)
    engine = make_engine(ENSEMBLE, "reference")
    prepared, counted, expected = engine.prepare(TRAIN), 0, []
    for epoch in range(2):
        for row in range(11):
            outcome = engine.train(prepared, Batches.single(np.array([row]), epoch=epoch))
            counted = (counted if row else 0) + int(outcome.changed[0])
            expected.append(counted)
    assert [progress.changed for progress in run.run(1)] == expected
    assert 0 < expected[-1] < 11 or 0 < expected[10] < 11


@every_engine
def test_an_earlier_point_is_not_changed_by_what_comes_after(spec, engine):
    run = training(Schedule(epochs=2), VALIDATION, spec=spec, engine=engine)
    made = [(run.engine.state, run.progress), *points(run)]
    copies = [bits(point) for point in made]
    list(training(Schedule(epochs=2), VALIDATION, made[3], spec=spec, engine=engine).run())
    assert [bits(point) for point in made] == copies
    run.engine.train(run.engine.prepare(TRAIN), Batches.single(np.arange(11)))
    assert [bits(point) for point in made] == copies
    given = {name: value.copy() for name, value in made[0][0].items()}
    run.engine.state = given
    for value in (*given.values(), *run.engine.state.values()):
        value[...] ^= 1
    assert bits((run.engine.state, made[0][1])) == copies[0]


# Engines


@pytest.mark.parametrize("part", [1, 2, 3, 1000])
def test_a_large_batch_is_summed_in_parts(part, monkeypatch):
    monkeypatch.setattr("rdahw.sim.engines._PART", part * 16)
    *_, (state, progress) = points(training(Schedule(batch=11)))
    assert state["parameters"].tolist() == plain_rule(Schedule(batch=11))[0][-1]
    assert progress.wrong == plain_rule(Schedule(batch=11))[1][-1]


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
    *_, progress = training(Schedule(batch=4), spec=CircuitSpec.of(constant)).run(1)
    assert 0 < progress.wrong <= 11


def test_parameters_of_an_engine_are_copies():
    engine = ReferenceEngine(LOOKUP.learner())
    given = np.zeros(16, np.uint8)
    engine.parameters = given
    given[0] = 1
    engine.parameters[1] = 1
    assert not engine.parameters.any()


# What is refused


@pytest.mark.parametrize("name", ["batch", "epochs", "updates", "stride"])
@pytest.mark.parametrize("value", [0, -3])
def test_a_schedule_of_nothing(name, value):
    with pytest.raises(UsageError, match=f"^{name} is {value}; expected 1 to 9223372036854775807$"):
        Schedule(**{name: value})


@every_engine
def test_examples_that_do_not_fit(spec, engine):
    with pytest.raises(UserError, match="^11 inputs were given with 3 labels; expected the same number of each$"):
        Examples(X, TRAIN.labels[:3])
    with pytest.raises(UserError, match="there is no example to train on"):
        training(Schedule(), train=Examples(X[:0], TRAIN.labels[:0]), spec=spec, engine=engine)
    for wrong in (Examples(X[:, :2], TRAIN.labels), Examples(X[:, 0], TRAIN.labels)):
        with pytest.raises(UserError, match=r"inputs of shape .* were given; expected \(N, 3\)"):
            training(Schedule(), train=wrong, spec=spec, engine=engine)
        with pytest.raises(UserError, match=r"inputs of shape .* were given; expected \(N, 3\)"):
            training(Schedule(), wrong, spec=spec, engine=engine)
    for label in (-1, 4):
        wrong = Examples(X, np.full(11, label))
        with pytest.raises(UserError, match="a label is outside of 0 to 3"):
            training(Schedule(), train=wrong, spec=spec, engine=engine)
        with pytest.raises(UserError, match="a label is outside of 0 to 3"):
            training(Schedule(), wrong, spec=spec, engine=engine)


def test_a_schedule_that_the_model_cannot_learn_by():
    with pytest.raises(UsageError, match="batch is 2; an ensemble takes examples one at a time"):
        training(Schedule(batch=2), spec=ENSEMBLE)


@pytest.mark.parametrize("scored", ["", "examples", None])
def test_validation_is_scored_by_updates_or_epochs(scored):
    with pytest.raises(UsageError, match="^scored is .*; expected update or epoch$"):
        Schedule(scored=scored)


def test_only_an_output_with_all_bits_of_the_label_is_right():
    # Parameters of zeros give class 0; the examples of class 1 and 3 have a bit each that is right.
    run = training(Schedule(), Examples(X[:3], np.array([0, 1, 3])))
    assert run.progress.best.correct == 1


def test_progress_is_a_value():
    best = Best(3, 2, 1, np.zeros(4, np.uint8))
    progress = replace(Progress(), best=best, updates=9)
    assert (progress.best, progress.updates, progress.epoch, Progress().best) == (best, 9, 0, None)


def test_balanced_examples():
    labels = np.array([0, 1, 0, 0, 0, 2, 0, 0])  # 6, 1 and 1 examples
    x = np.arange(8, dtype=np.uint8)[:, None]
    balanced = Examples(x, labels).balanced()
    assert np.bincount(balanced.labels).tolist() == [6, 6, 6]
    assert np.array_equal(labels[balanced.x[:, 0]], balanced.labels)
    assert np.bincount(balanced.x[:, 0]).tolist() == [1, 6, 1, 1, 1, 6, 1, 1]
    for third in np.split(balanced.labels, 3):  # spread over the whole order
        assert set(third.tolist()) == {0, 1, 2}
    assert np.array_equal(Examples(x[:2], labels[:2]).balanced().x, x[:2])
    many = Examples(np.zeros((5001, 1), np.uint8), np.array([0] * 5000 + [1])).balanced()
    assert np.bincount(many.labels).tolist() == [5000, 1000]


def test_weights_become_repeats():
    def repeats(*weights: float) -> list[int]:
        return repeats_of(np.array(weights, np.float64)).tolist()

    assert repeats(2, 0, 4, 1000) == [2, 0, 4, 1000]  # whole numbers stay as they are
    assert repeats(0.5, 1.25, 0.7, 0) == [1, 3, 1, 0]  # 2.5 is rounded up, 1.4 down
    assert repeats(1000, 0.4) == [1, 0]  # the unit is a thousandth of the largest
    assert repeats(3000, 2000) == [2, 1]  # 1.5 and 1
    assert repeats(0.25, 0.5) == [1, 2]


def test_repeats_are_spread():
    repeats = [1, 3, 0, 2]
    places = sorted(((k * 4 + i) / r, i) for i, r in enumerate(repeats) for k in range(r))
    assert spread(np.array(repeats)).tolist() == [i for _, i in places]
