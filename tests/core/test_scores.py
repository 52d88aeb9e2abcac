"""The head, the margin error and the saturating counters on wires, against plain numbers; and the rules by name."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import bits
from strategies import DIFFERENTIABLE, word_circuits

from rdahw import Bits, Circuit, Learner, Model, UsageError, UserError, Words, make_model, reverse, trace
from rdahw.ranges import RULES, word_range
from rdahw.scores import largest, margin, one_hot_prediction, saturating_sum
from rdahw.sim.reference import run


def words(values: list[list[int]], k: int) -> np.ndarray:
    return Words(len(values[0]), k).to_bits(values)


def signed(array: np.ndarray, k: int) -> list[list[int]]:
    return Words(array.shape[-1] // k, k).to_integers(array).tolist()


def score_lists(k: int) -> st.SearchStrategy[list[list[int]]]:
    """Rows of scores of as many classes, likely near each other and at the ends of the range."""
    low, high = -(1 << k - 1), (1 << k - 1) - 1
    score = st.one_of(st.integers(low, high), st.integers(max(low, -2), min(high, 2)), st.sampled_from([low, high]))
    return st.integers(2, 6).flatmap(
        lambda c: st.lists(st.lists(score, min_size=c, max_size=c), min_size=1, max_size=9)
    )


@given(st.integers(1, 12).flatmap(lambda k: st.tuples(st.just(k), score_lists(k))))
def test_the_prediction_is_the_first_of_the_largest_scores(given: tuple[int, list[list[int]]]) -> None:
    k, scores = given
    f = trace(one_hot_prediction, scores=Words(len(scores[0]), k))
    (found,) = run(f, words(scores, k))
    assert found.tolist() == [[int(c == s.index(max(s))) for c in range(len(s))] for s in scores]


@pytest.mark.parametrize("count", range(1, 9))
def test_the_place_of_the_largest_number(count: int) -> None:
    f = trace(lambda *numbers: largest(numbers), **{f"x{i}": Bits(2) for i in range(count)})
    assert f.output_types == (Bits(max(1, (count - 1).bit_length())),)
    numbers = np.random.default_rng(count).integers(0, 4, (200, count))
    inputs = [np.array([bits(n, 2) for n in column]) for column in numbers.T]
    places = run(f, *inputs)[0] @ (1 << np.arange(f.output_types[0].width))
    np.testing.assert_array_equal(np.broadcast_to(places, 200), numbers.argmax(axis=1))


def plain_margin(scores: list[int], label: int, threshold: int) -> list[int]:
    rival = max((c for c in range(len(scores)) if c != label), key=lambda c: scores[c])
    asks = scores[label] - scores[rival] <= threshold
    return [asks * ((c == label) - (c == rival)) for c in range(len(scores))]


@settings(max_examples=200)
@given(
    st.integers(2, 10).flatmap(lambda k: st.tuples(st.just(k), score_lists(k))),
    st.one_of(st.integers(0, 5), st.integers(0, 1 << 28)),
    st.data(),
)
def test_the_margin_is_the_rule_in_numbers(given, threshold: int, data: st.DataObject) -> None:
    k, scores = given
    classes = len(scores[0])
    labels = data.draw(st.lists(st.integers(0, classes - 1), min_size=len(scores), max_size=len(scores)))
    f = trace(lambda s, y: margin(s, y, threshold), s=Words(classes, k), y=Bits(classes))
    (dy,) = run(f, words(scores, k), np.eye(classes, dtype=np.uint8)[labels])
    assert signed(dy, k) == [plain_margin(s, label, threshold) for s, label in zip(scores, labels, strict=True)]


@pytest.mark.parametrize(("k", "width"), [(2, 2), (2, 5), (3, 3), (4, 6), (5, 8), (8, 8), (64, 64)])
def test_counters_saturate(k: int, width: int) -> None:
    f = trace(lambda a, b: saturating_sum(a, b, k), a=Words(1, width), b=Words(1, width))
    low, high = -(1 << k - 1), (1 << k - 1) - 1
    least, most = -(1 << width - 1), (1 << width - 1) - 1
    near = {least, least + 1, low - 1, low, low + 1, -2, -1, 0, 1, 2, high - 1, high, high + 1, most - 1, most}
    values = [v for v in near if least <= v <= most] if width > 6 else range(least, most + 1)
    pairs = [(a, b) for a in values for b in values]
    (found,) = run(f, words([[a] for a, _ in pairs], width), words([[b] for _, b in pairs], width))
    assert signed(found, width) == [[min(max(a + b, low), high)] for a, b in pairs]


# -- rules by name -----------------------------------------------------------------------------------------------------

ENSEMBLE = make_model("ensemble:tables=3,inputs=2,counter=4", 6, 3)
SIGNS = make_model("ensemble:tables=3,inputs=2,counter=4,sign=1", 6, 3)
LOOKUP = make_model("lookup", 2, 1)


@pytest.mark.parametrize(
    ("model", "error", "optimiser", "message"),
    [
        (ENSEMBLE, "xor", "counter=4", r"loss 'xor' does not suit, as model '.*' gives Words\(3, 6\); use margin=80"),
        (
            ENSEMBLE,
            "margin=5",
            "xor",
            r"optimiser 'xor' does not suit, as model '.*' has parameters of Words\(36, 6\); u",
        ),
        (LOOKUP, "margin=5", "xor", r"loss 'margin=5' does not suit, as model 'lookup' gives Bits\(1\); use xor"),
        (
            LOOKUP,
            "xor",
            "counter=6",
            r"optimiser 'counter=6' does not suit, as model 'lookup' has parameters of Bits\(4",
        ),
        (LOOKUP, "xor=3", "xor", "loss 'xor=3' was given; expected 'xor' with no number"),
        (ENSEMBLE, "margn=5", "counter=4", r"loss 'margn=5' is unknown; did you mean 'margin'\?"),
        (ENSEMBLE, "margin", "counter=4", "loss 'margin' was given; expected margin=NUMBER, a whole number from 0 to"),
        (ENSEMBLE, "margin=-1", "counter=4", "loss 'margin=-1' was given; expected margin=NUMBER"),
        (ENSEMBLE, "margin=1e3", "counter=4", "loss 'margin=1e3' was given; expected margin=NUMBER"),
        (ENSEMBLE, "margin=268435457", "counter=4", "loss 'margin=268435457' was given; expected margin=NUMBER, a"),
        (
            ENSEMBLE,
            "margin=5",
            "counter=1",
            "optimiser 'counter=1' was given; expected counter=NUMBER, a whole number fr",
        ),
        (
            ENSEMBLE,
            "margin=5",
            "counter=",
            "optimiser 'counter=' was given; expected counter=NUMBER, a whole number from",
        ),
        (
            ENSEMBLE,
            "margin=5",
            "counter=5",
            "optimiser 'counter=5' does not suit: with such counters scores of model 'e",
        ),
        (SIGNS, "margin=5", "counter=5", "counters of 5 bits were asked for in words of 4; expected at most 4"),
    ],
)
def test_a_rule_that_does_not_suit_is_refused(model: Model, error: str, optimiser: str, message: str) -> None:
    with pytest.raises(UsageError, match=f"^{message}"):
        Learner(model, error, optimiser)


def test_every_row_of_words_has_a_range() -> None:
    assert RULES.keys() == {*DIFFERENTIABLE, "concat", "to_words"}


@settings(max_examples=60)
@given(word_circuits(), st.integers(-3, 3), st.integers(0, 3))
def test_no_word_is_out_of_its_range(f: Circuit, low: int, more: int) -> None:
    found = word_range(f, "w0", (low, low + more))
    zeros = {wire for wire, (primitive, _, attributes) in f.wires() if primitive == "const" and not attributes[0]}
    cast = {a.operands[0] for a in f.assignments if a.primitive == "to_words"}
    if "w1" in f.input_names or cast - zeros:
        assert found is None
        return
    assert found is not None
    assert found[0] <= low <= low + more <= found[1]
    limit = 1 << f.output_types[1].bits - 1
    if -limit <= found[0] <= found[1] < limit:  # else words wrap, and are other numbers
        random = np.random.default_rng(0)
        type_ = f.input_types[f.input_names.index("w0")]
        inputs = [random.integers(0, 2, (50, t.width), np.uint8) for t in f.input_types]
        inputs[f.input_names.index("w0")] = type_.to_bits(
            random.integers(low, low + more, (50, type_.count), endpoint=True)
        )
        words = f.output_types[1].to_integers(run(f, *inputs)[1])
        assert found[0] <= words.min() <= words.max() <= found[1]


def test_the_range_of_an_ensemble_is_used_up() -> None:
    assert word_range(ENSEMBLE.circuit, "theta", (-8, 7)) == (-24, 21)
    for counter, score in ((-8, -24), (7, 21)):
        scores = run(ENSEMBLE.circuit, Words(36, 6).to_bits([counter] * 36), np.zeros(6, np.uint8))[0]
        assert Words(3, 6).to_integers(scores).tolist() == [score] * 3
    assert word_range(SIGNS.circuit, "theta", (-8, 7)) is None


def test_a_margin_needs_a_rival() -> None:
    one = Model("one", trace(lambda t, x: t.lookup(x), t=Words(2, 4), x=Bits(1)))
    with pytest.raises(UsageError, match="^a margin is between the scores of two classes; expected scores of at lea"):
        Learner(one, "margin=1", "counter=4")


def test_data_of_a_model_are_bits() -> None:
    with pytest.raises(UserError, match=r"^model 'm' takes data of type Words\(1, 2\); expected bits$"):
        Model("m", trace(lambda t, x: t + x, t=Words(1, 2), x=Words(1, 2)))


# -- learners of words -------------------------------------------------------------------------------------------------


def test_the_circuits_of_a_learner_of_scores() -> None:
    learner = Learner(ENSEMBLE, "margin=5", "counter=4")
    theta, x, scores, y = Words(36, 6), Bits(6), Words(3, 6), Bits(3)
    assert (ENSEMBLE.parameter_bits, ENSEMBLE.input_bits, ENSEMBLE.output_bits) == (216, 6, 3)
    assert (ENSEMBLE.predictor.input_types, ENSEMBLE.predictor.output_types) == ((theta, x), (y,))
    assert ENSEMBLE.predictor.output_names == ENSEMBLE.circuit.output_names
    assert (learner.cotangent.input_types, learner.cotangent.output_types) == ((scores, y), (scores,))
    assert (learner.request.input_types, learner.request.output_types) == ((theta, x, y), (theta, y))
    assert (learner.total.input_types, learner.total.output_types) == ((theta, theta), (theta,))
    assert (learner.update.input_types, learner.update.output_types) == ((theta, theta), (theta,))
    assert (learner.step.input_types, learner.step.output_types) == ((theta, x, y), (theta,))
    assert learner.largest_batch == 31
    assert Circuit.parse(str(learner.step)) == learner.step


def test_a_model_of_bits_predicts_by_itself() -> None:
    assert LOOKUP.predictor is LOOKUP.circuit
    assert Learner(LOOKUP).largest_batch is None


def test_the_derivative_of_a_model_is_by_all_that_it_has_one_by() -> None:
    assert ENSEMBLE.reverse() == reverse(ENSEMBLE.circuit, wrt=["theta"])
    assert LOOKUP.reverse() == reverse(LOOKUP.circuit)


def test_the_model_is_linear_and_its_derivative_reads_no_counter() -> None:
    """The cotangent of the scores goes to the addressed counters, whatever those are."""
    f = ENSEMBLE.circuit
    assert {a.primitive for a in f.assignments} == {"gather", "lookup_words", "scatter_words"}
    r = reverse(f, wrt=["theta"])
    assert not any(0 in a.operands for a in r.assignments)
    (dtheta,) = run(r, np.zeros(216, np.uint8), bits(0b100110, 6), words([[1, 0, -1]], 6)[0])
    moved = np.array(signed(dtheta[None], 6)).reshape(3, 4, 3)
    assert (moved.any(axis=2).sum(axis=1) == 1).all(), "one row of each table"
    assert moved.sum(axis=(0, 1)).tolist() == [3, 0, -3]


def test_learning_through_signs_is_a_declared_surrogate() -> None:
    f = make_model("ensemble:tables=2,inputs=1,counter=3,sign=1", 4, 2).circuit
    (block,) = [a.attributes[0] for a in f.assignments if a.primitive == "custom"]
    assert (block.name, block.exact) == ("signs of counters", False)
    values = [[3, -1, 0, -4, 2, 1, -2, -3]]
    (scores,) = run(f, words(values, 3)[0], np.zeros(4, np.uint8))
    assert signed(scores[None], 3) == [[2, 1]]
    # The derivative is that of the model without signs.
    plain = make_model("ensemble:tables=2,inputs=1,counter=3", 4, 2).circuit
    dy = [[1, -1]]
    through = run(reverse(f, ["theta"]), words(values, 3)[0], np.zeros(4, np.uint8), words(dy, 3)[0])[0]
    exact = run(reverse(plain, ["theta"]), words(values, 5)[0], np.zeros(4, np.uint8), words(dy, 5)[0])[0]
    assert signed(through[None], 3) == signed(exact[None], 5)


@pytest.mark.parametrize(
    ("spec", "outputs", "message"),
    [
        (
            "ensemble:tables=500,inputs=6",
            10,
            "the learning step of 500 tables of 6 inputs would have a state of 1920000 b",
        ),
        ("ensemble:tables=2", 65536, "classes of an ensemble is 65536; expected a whole number from 2 to 65535"),
        ("ensemble:inputs=9", 3, "a table of 9 inputs has only 6 bits to choose from"),
        ("ensemble:wiring=patch2", 3, "wiring 'patch2' needs images and the data are not images; use wiring=any"),
        ("ensemble:wire=any", 3, "model 'ensemble' has no option 'wire=any'; it takes tables=NUMBER, inputs=NUMBER,"),
    ],
)
def test_an_ensemble_that_cannot_be_is_refused(spec: str, outputs: int, message: str) -> None:
    with pytest.raises(UsageError, match=f"^{message}"):
        make_model(spec, 6, outputs)


def test_an_output_bit_tells_two_classes_apart() -> None:
    assert make_model("ensemble:tables=2,inputs=2", 6, 1).output_bits == 2
