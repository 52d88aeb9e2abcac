"""The compiled engines of growth against the plain rules, bit for bit."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rdahw.data.images import Image
from rdahw.errors import UsageError, UserError
from rdahw.families.grown import GrownSpec, PlainGrown, PlainVotes, VotesSpec
from rdahw.families.grown.rule import GrownState
from rdahw.jobs import Jobs, Own, ThreadJobs
from rdahw.sim.grown import CompiledGrown, CompiledVotes, best_number

ENGINES = {"bits": (GrownSpec, PlainGrown, CompiledGrown), "votes": (VotesSpec, PlainVotes, CompiledVotes)}


def arrays(state: Any) -> dict[str, Any]:
    return {name: getattr(state, name) for name in state.__dataclass_fields__}


def assert_equal_states(a: Any, b: Any) -> None:
    for (name, left), right in zip(arrays(a).items(), arrays(b).values(), strict=True):
        np.testing.assert_array_equal(left, right, err_msg=name)


def grow(engine: Any, x: Any, labels: Any, tables: int | None = None) -> Any:
    numbers = list(engine.run(engine.prepare(x, labels), tables))
    assert numbers == list(range(engine.state.grown - len(numbers) + 1, engine.state.grown + 1))
    return engine


@st.composite
def problems(draw: Any) -> tuple[dict[str, Any], Any, Any]:
    """Options that fit, examples and labels: images and tables of numbers, whose labels depend on few bits."""
    classes, rows = draw(st.integers(2, 5)), draw(st.integers(1, 150))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    options: dict[str, Any] = {}
    if draw(st.booleans()):
        image = Image(draw(st.integers(1, 2)), draw(st.integers(4, 8)), draw(st.integers(4, 9)))
        inset = draw(st.integers(0, 1))
        side = draw(st.sampled_from([0, 2, 3]) if inset else st.sampled_from([0, 2, 4]))
        if side + 2 * inset > min(image.height, image.width):
            side = 0
        options = {"image": image, "patch": side, "inset": inset, "copies": draw(st.integers(0, 2))}
        bits = image.bits
    else:
        bits = draw(st.integers(3, 140))
    options |= {
        "input_bits": bits,
        "classes": classes,
        "inputs": draw(st.integers(1, 3)),
        "tables": draw(st.integers(1, 12)),
        "candidates": draw(st.integers(3, 40)),
        "sample": draw(st.sampled_from([1, 7, 50, 4000])),
        "margin": draw(st.integers(0, 3)),
        "slope": draw(st.sampled_from([0, 15, 150])),
        "refinements": draw(st.integers(0, 3)),
        "seed": draw(st.integers(0, 2**64 - 1)),
    }
    x = (random.random((rows, bits)) < draw(st.sampled_from([0.2, 0.5, 1.0]))).astype(np.uint8)
    labels = (x[:, 0] + 2 * x[:, -1] + (random.random(rows) < 0.1)) % classes
    return options, x, labels.astype(np.int64)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ENGINES)
@settings(max_examples=40, deadline=None)
@given(problem=problems(), threads=st.integers(1, 3))
def test_the_engine_grows_the_same_bits_as_the_rule(kind: str, problem: Any, threads: int) -> None:
    options, x, labels = problem
    make_spec, plain, compiled = ENGINES[kind]
    spec = make_spec(**options)
    expected = grow(plain(spec), x, labels)
    engine = compiled(spec, threads) if kind == "bits" else compiled(spec)
    assert_equal_states(grow(engine, x, labels).state, expected.state)
    np.testing.assert_array_equal(engine.scores(x), expected.scores(x))
    np.testing.assert_array_equal(engine.predict(x), expected.predict(x))


every_usual = pytest.mark.parametrize(("kind", "form"), [(k, form) for k in ENGINES for form in ("image", "numbers")])


def usual(kind: str, form: str) -> tuple[Any, Any, Any]:
    random = np.random.default_rng(1)
    image = Image(1, 14, 14) if form == "image" else None
    patch = {"patch": 5, "inset": 2, "copies": 1} if image else {}
    spec = ENGINES[kind][0](
        input_bits=196, classes=10, tables=12, image=image, candidates=20, sample=250, refinements=1, **patch
    )
    x = (random.random((400, 196)) < 0.3).astype(np.uint8)
    return spec, x, x[:, 60:70].argmax(axis=1)


@every_usual
def test_the_engine_equals_the_rule_at_the_usual_sizes(kind: str, form: str) -> None:
    spec, x, labels = usual(kind, form)
    _, plain, compiled = ENGINES[kind]
    assert_equal_states(grow(compiled(spec), x, labels).state, grow(plain(spec), x, labels).state)


class Elsewhere(Jobs):
    """Runs pieces as workers do that are sent copies, and of which one is lost now and then, with all it knew."""

    def __init__(self) -> None:
        self.calls, self.shards = 0, []

    def run(self, function: Any, pieces: Any, shared: Any, **more: Any) -> Any:
        self.shards = self.shards or deepcopy(shared.each)
        self.calls += 1
        if self.calls % 4 == 0:
            lost = self.calls // 4 % len(self.shards)
            self.shards[lost] = deepcopy(self.shards[lost])
        return super().run(function, deepcopy(pieces), Own(self.shards), **more)


@every_usual
@pytest.mark.parametrize(("shards", "rows"), [(1, 400), (3, 400), (23, 20)])
def test_shards_grow_the_same_bits(kind: str, form: str, shards: int, rows: int) -> None:
    spec, x, labels = usual(kind, form)
    x, labels = x[:rows], labels[:rows]
    whole = grow(ENGINES[kind][2](spec), x, labels)
    for jobs in (None, ThreadJobs(2), Elsewhere()):
        sharded = whole.in_shards(shards, jobs)
        assert sharded.name == f"compiled, {shards} shards"
        assert_equal_states(grow(sharded, x, labels).state, whole.state)
        assert sharded.counts == whole.counts
    engine, prepared = ENGINES[kind][2](spec, shards=shards), None
    for _ in range(2):  # the second time from the start again, by shards that know where the first one ended
        engine.state = GrownState.empty(spec)
        prepared = prepared or engine.prepare(x, labels)
        for _ in engine.run(prepared):
            pass
        assert_equal_states(engine.state, whole.state)


@pytest.mark.parametrize("shards", [0, -1, (1 << 16) + 1])
def test_a_number_of_shards_that_cannot_be(shards: int) -> None:
    with pytest.raises(UsageError, match=f"^shards is {shards}; use 1 to 65536 shards$"):
        CompiledGrown(GrownSpec(input_bits=9, classes=2), shards=shards)


@pytest.mark.parametrize("kind", ENGINES)
@settings(max_examples=15, deadline=None)
@given(problem=problems(), data=st.data())
def test_growth_goes_on_from_a_state_to_the_same_bits(kind: str, problem: Any, data: Any) -> None:
    options, x, labels = problem
    make_spec, _, compiled = ENGINES[kind]
    spec = make_spec(**options)
    whole = grow(compiled(spec), x, labels)
    first = grow(compiled(spec), x, labels, data.draw(st.integers(0, spec.tables)))
    rest = compiled(spec)
    rest.state = first.state
    assert_equal_states(grow(rest, x, labels).state, whole.state)


def test_growth_can_be_left_between_two_tables() -> None:
    x, labels = small_problem()
    spec = GrownSpec(input_bits=30, classes=3, tables=9, inputs=2)
    engine = CompiledGrown(spec, threads=2)
    for number in engine.run(engine.prepare(x, labels)):
        if number == 4:
            break
    assert engine.state.grown == 4
    assert_equal_states(grow(engine, x, labels).state, grow(CompiledGrown(spec), x, labels).state)


def small_problem() -> tuple[Any, Any]:
    random = np.random.default_rng(2)
    x = random.integers(0, 2, (300, 30), np.uint8)
    return x, (x[:, 3] + x[:, 7]).astype(np.int64)


def test_a_model_of_fewer_tables_is_the_start_of_a_larger_one() -> None:
    x, labels = small_problem()
    options = {"input_bits": 30, "classes": 3, "inputs": 3, "candidates": 10}
    large = grow(CompiledGrown(GrownSpec(tables=20, **options)), x, labels)
    small = grow(CompiledGrown(GrownSpec(tables=7, **options)), x, labels)
    assert_equal_states(large.state.first(7), small.state)
    with pytest.raises(UserError, match="first 21 tables"):
        large.state.first(21)


def test_the_curve_is_the_accuracy_of_each_number_of_tables() -> None:
    x, labels = small_problem()
    engine = grow(CompiledGrown(GrownSpec(input_bits=30, classes=3, tables=20, inputs=3)), x, labels)
    numbers = [0, 1, 3, 10, 20]
    right = engine.curve(x, labels, numbers)
    expected = [int((engine.scores(x, n).argmax(axis=1) == labels).sum()) for n in numbers]
    assert right.tolist() == expected
    assert right[0] < right[-1]  # something was learned, or all numbers would be alike
    # Whole rounds; in a part of one some classes have a table more than others, which is a vote where nothing asks.
    assert engine.curve(x, labels, [9, 12, 15, 18]).tolist() == [300] * 4
    assert best_number(numbers, right) == min(n for n, r in zip(numbers, expected, strict=True) if r == max(expected))
    with pytest.raises(UserError, match="rising numbers from 0 to 20"):
        engine.curve(x, labels, [3, 1])


def test_a_threshold_beyond_all_scores_is_no_overflow() -> None:
    x, labels = small_problem()
    spec = GrownSpec(input_bits=30, classes=3, tables=6, inputs=2, margin=1 << 20)
    assert_equal_states(grow(CompiledGrown(spec), x, labels).state, grow(PlainGrown(spec), x, labels).state)


def test_sums_of_many_requests_are_no_overflow() -> None:
    # Every example of class 0 asks with all 59 rivals, 36,000 at one cell: more than 16 bits hold.
    x = np.ones((620, 4), np.uint8)
    x[610:] = np.random.default_rng(3).integers(0, 2, (10, 4))
    labels = np.concatenate([np.zeros(610, np.int64), np.arange(10)])
    for kind in ENGINES:
        make_spec, plain, compiled = ENGINES[kind]
        spec = make_spec(input_bits=4, classes=60, tables=2, inputs=2)
        assert_equal_states(grow(compiled(spec), x, labels).state, grow(plain(spec), x, labels).state)
