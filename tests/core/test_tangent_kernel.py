"""The tangent kernel of a model is the change at x' that a step on x makes; and what cutting a circuit does."""

from __future__ import annotations

import numpy as np
import pytest
from oracles import assert_same_function, inputs_of, split

from rdahw import Bits, Circuit, Learner, lookup_model, mask_model, reverse, trace
from rdahw.errors import UserError
from rdahw.model import Model
from rdahw.sim.reference import run
from rdahw.tangent_kernel import KERNELS, tangent_kernel
from rdahw.transform import output_to_input

MODELS = {
    "lookup": [lookup_model(1, 1), lookup_model(2, 2), lookup_model(3, 1).renamed(["table", "at"], ["out"])],
    "and": [trace(lambda theta, x: theta & x, theta=Bits(2), x=Bits(2))],
}


def test_every_kernel_is_tested() -> None:
    assert MODELS.keys() == KERNELS.keys()


@pytest.mark.parametrize("f", [f for models in MODELS.values() for f in models], ids=str)
def test_a_kernel_makes_up_for_a_step(f: Circuit) -> None:
    kernel = tangent_kernel(f)
    assert kernel is not None
    p, (a, b) = f.input_types[0], (f.input_types[1], f.output_types[0])
    probe = trace(lambda theta, x, dy, other: theta, theta=p, x=a, dy=b, other=a)
    theta, x, dy, other = split(inputs_of(probe), [p.width, a.width, b.width, a.width])
    dtheta = run(reverse(f), theta, x, dy)[0]
    (here,), (there,) = run(f, theta, other), run(f, theta ^ dtheta, other)
    np.testing.assert_array_equal(run(kernel, x, dy, other)[0], here ^ there)


@pytest.mark.parametrize("f", [f for models in MODELS.values() for f in models], ids=str)
def test_a_model_with_a_kernel_is_linear_in_its_parameters(f: Circuit) -> None:
    p, a = f.input_types
    probe = trace(lambda theta, d, x: theta, theta=p, d=p, x=a)
    theta, d, x = split(inputs_of(probe), [p.width, p.width, a.width])
    np.testing.assert_array_equal(run(f, theta ^ d, x)[0], run(f, theta, x)[0] ^ run(f, d, x)[0])


@pytest.mark.parametrize(
    "f",
    [
        mask_model(5),
        trace(lambda theta, x: theta ^ x, theta=Bits(2), x=Bits(2)),
        trace(lambda theta, x: ~(theta & x), theta=Bits(2), x=Bits(2)),
        trace(lambda theta, x: x & theta, theta=Bits(2), x=Bits(2)),
        trace(lambda theta, x: theta & theta, theta=Bits(2), x=Bits(2)),
        trace(lambda theta, x: x, theta=Bits(2), x=Bits(2)),
    ],
    ids=str,
)
def test_no_kernel_is_stated_for_other_circuits(f: Circuit) -> None:
    assert tangent_kernel(f) is None


@pytest.mark.parametrize("f", [lookup_model(2, 2), mask_model(3), trace(lambda t, x: x, t=Bits(1), x=Bits(2))], ids=str)
def test_what_follows_a_cut_computes_the_same(f: Circuit) -> None:
    request = Learner(Model("f", f)).request
    after = output_to_input(request, "output")
    assert after.input_names == (*request.input_names, "output")

    def again(theta: object, x: object, y: object) -> dict[str, object]:
        dtheta, output = request(theta, x, y)
        return {"dtheta": after(theta, x, y, output), "output": output}

    assert_same_function(trace(again, **dict(request.inputs)), request)


def test_a_cut_leaves_nothing_behind_it() -> None:
    f = trace(lambda x: {"a": x & x[::-1], "b": ~(x & x[::-1])}, x=Bits(2))
    assert output_to_input(f, "a") == trace(lambda x, a: {"b": ~a}, x=Bits(2), a=Bits(2))


def test_an_output_to_cut_at_must_be_one_of_several() -> None:
    with pytest.raises(UserError, match=r"^the circuit has no output 'c' beside others; known is 'y'$"):
        output_to_input(trace(lambda x: x, x=Bits(1)), "c")


def test_the_cotangent_of_a_learner_is_its_error() -> None:
    learner = Learner(Model("lookup", lookup_model(2, 2)))
    assert_same_function(learner.cotangent, trace(lambda output, y: {"dy": output ^ y}, output=Bits(2), y=Bits(2)))
