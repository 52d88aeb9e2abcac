"""The learning step against the rule of the paper, written out with brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from oracles import brute_force_difference, evaluate
from strategies import circuits

from rdahw import (
    Bits,
    Circuit,
    Learner,
    Model,
    UsageError,
    UserError,
    lookup_model,
    make_model,
    mask_model,
    reverse,
    trace,
)
from rdahw.sim.reference import run
from rdahw.types import Words

EXAMPLES = 200


def examples(model: Model) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    widths = model.parameter_bits, model.input_bits, model.output_bits
    theta, x, y = (random.integers(0, 2, (EXAMPLES, width), np.uint8) for width in widths)
    return theta, x, y


@pytest.mark.parametrize("circuit", [lookup_model(3, 2), lookup_model(1, 1), mask_model(6), mask_model(5, 2)])
def test_a_step_flips_what_would_flip_the_wrong_outputs(circuit: Circuit) -> None:
    model = Model("m", circuit)
    learner = Learner(model)
    theta, x, y = examples(model)
    at = np.concatenate([theta, x], axis=1)
    wrong = evaluate(circuit, at) ^ y
    request = brute_force_difference(circuit, at, wrong)[:, : model.parameter_bits]

    found, output = run(learner.request, theta, x, y)
    np.testing.assert_array_equal(found, request)
    np.testing.assert_array_equal(output, evaluate(circuit, at))
    np.testing.assert_array_equal(run(learner.cotangent, output, y)[0], wrong)
    np.testing.assert_array_equal(run(learner.update, theta, request)[0], theta ^ request)
    np.testing.assert_array_equal(run(learner.step, theta, x, y)[0], theta ^ request)


@given(circuits(inputs=[3, 2], outputs=[2]))
def test_the_step_of_any_model_is_request_then_update(circuit: Circuit) -> None:
    model = Model("m", circuit)
    learner = Learner(model)
    theta, x, y = examples(model)
    dy = evaluate(circuit, np.concatenate([theta, x], axis=1)) ^ y
    by_hand = evaluate(reverse(circuit), np.concatenate([theta, x, dy], axis=1))[:, :3]
    (request, _), (after,) = run(learner.request, theta, x, y), run(learner.step, theta, x, y)
    np.testing.assert_array_equal(np.broadcast_to(request, by_hand.shape), by_hand)
    np.testing.assert_array_equal(np.broadcast_to(after, by_hand.shape), theta ^ by_hand)


def test_a_lookup_has_learnt_an_example_after_its_step() -> None:
    model = make_model("lookup", 4, 3)
    theta, x, y = examples(model)
    (after,) = run(Learner(model).step, theta, x, y)
    np.testing.assert_array_equal(run(model.circuit, after, x)[0], y)
    assert ((after ^ theta).sum(axis=1) <= 3).all()


def test_ports_are_named() -> None:
    learner = Learner(make_model("lookup", 2, 1))
    assert (learner.request.input_names, learner.request.output_names) == (("theta", "x", "y"), ("dtheta", "output"))
    assert (learner.update.input_names, learner.update.output_names) == (("theta", "dtheta"), ("theta",))
    assert (learner.step.input_names, learner.step.output_names) == (("theta", "x", "y"), ("theta",))


def test_a_step_is_a_circuit_that_is_read_back() -> None:
    step = Learner(make_model("mask", 9, 1)).step
    assert Circuit.parse(str(step)) == step


def test_names_of_the_models_own_ports_do_not_matter() -> None:
    named = trace(lambda dy, y: {"x": dy.lookup(y)}, dy=Bits(4), y=Bits(2))
    assert Learner(Model("m", named)).step == Learner(Model("m", lookup_model(2, 1))).step


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loss": "xr"}, "loss 'xr' is unknown; did you mean 'xor'?"),
        ({"optimiser": "lion"}, "optimiser 'lion' is unknown; "),
    ],
)
def test_an_unknown_name_is_refused(options: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=f"^{message}"):
        Learner(make_model("lookup", 2, 1), **options)


def test_a_model_without_a_derivative_predicts_and_does_not_learn() -> None:
    learner = Learner(
        Model("cast", trace(lambda t, x: t.as_bits() ^ x, t=Words(1, 3), x=Bits(3))), optimiser="descent=1,0"
    )
    assert learner.model.output_bits == 3
    for circuit in ("request", "step"):
        with pytest.raises(UserError, match=r"^wire %2 = to_bits is computed from input 't' .* no derivative"):
            getattr(learner, circuit)


def test_a_parameter_that_is_not_read_stays() -> None:
    model = Model("m", trace(lambda theta, x: x ^ 1, theta=Bits(3), x=Bits(2)))
    theta, x, y = examples(model)
    np.testing.assert_array_equal(run(Learner(model).step, theta, x, y)[0], theta)
