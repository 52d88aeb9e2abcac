"""The models: against their definition in the paper, and how they are asked for by name or from a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from oracles import assert_is_boolean_difference, brute_force_difference, evaluate, every, number, split

from rdahw import (
    Bits,
    Circuit,
    Model,
    UsageError,
    UserError,
    expand,
    is_safe,
    lookup_model,
    make_model,
    mask_model,
    reverse,
    trace,
)
from rdahw.combinators import copy, identity


@pytest.mark.parametrize(("inputs", "outputs"), [(1, 1), (2, 1), (2, 2), (3, 1), (1, 4)])
def test_a_lookup_reads_its_parameters_as_a_truth_table(inputs: int, outputs: int) -> None:
    f = lookup_model(inputs, outputs)
    assert f.input_types == (Bits(outputs * 2**inputs), Bits(inputs))
    rows = every(outputs * 2**inputs + inputs)
    for row, output in zip(rows, evaluate(f, rows), strict=True):
        theta, x = split(row, [outputs * 2**inputs, inputs])
        assert list(output) == [theta[j * 2**inputs + number(x)] for j in range(outputs)]
    assert is_safe(f)
    assert_is_boolean_difference(reverse(f), f)


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5, 100])
@pytest.mark.parametrize("inputs", [1, 2, 3, 4, 5])
def test_a_mask_compares_two_counts(inputs: int, k: int) -> None:
    f = mask_model(inputs, k)
    assert f.input_types == (Bits(inputs), Bits(inputs))
    rows = every(2 * inputs)
    for row, (output,) in zip(rows, evaluate(f, rows), strict=True):
        theta, x = map(number, split(row, [inputs, inputs]))
        assert output == ((theta & x).bit_count() <= theta.bit_count() // k)
    assert_is_boolean_difference(reverse(f), f)
    assert is_safe(f)


@pytest.mark.parametrize("inputs", [8, 31, 64, 100])
def test_the_difference_of_a_wide_mask_near_its_threshold(inputs: int) -> None:
    # Random words are far from the threshold, where all differences are zero: x is drawn to be near it.
    random = np.random.default_rng(inputs)
    theta = random.integers(0, 2, (200, inputs), np.uint8)
    quota = theta.sum(axis=1) // 4 + random.integers(-1, 3, 200)
    order = np.argsort(random.random((200, inputs)) + 10 * (1 - theta), axis=1).argsort(axis=1)
    x = np.where(theta == 1, order < quota[:, None], random.integers(0, 2, theta.shape)).astype(np.uint8)
    theta[:2], x[:1] = 0, 0
    f = mask_model(inputs)
    both, dy = np.concatenate([theta, x], axis=1), np.ones((200, 1), np.uint8)
    found = evaluate(reverse(f), np.concatenate([both, dy], axis=1))
    np.testing.assert_array_equal(found, brute_force_difference(f, both, dy))
    assert found.any(axis=1).mean() > 0.4


def test_the_difference_of_a_mask_is_linear_in_size() -> None:
    def gates(inputs: int) -> int:
        # Gates of the core count bits by their width, so that a wide gate is no free lunch.
        lowered = expand(reverse(mask_model(inputs)), keep={"popcount", "less_equal", "plus", "or", "not"})
        return sum(t.width for t in lowered.types)

    assert gates(784) < 4.5 * gates(196)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: lookup_model(21, 1),
            r"a lookup of 21 inputs would have 1 \* 2\^21 parameters; it takes at most 20 inputs: ",
        ),
        (lambda: lookup_model(0, 1), "a lookup of 0 inputs and 1 outputs is invalid; expected at least one of each"),
        (
            lambda: lookup_model(-3, 1),
            "a lookup of -3 inputs and 1 outputs is invalid; expected at least one of each",
        ),
        (lambda: lookup_model(4, 0), "a lookup of 4 inputs and 0 outputs is invalid; expected at least one of each"),
        (lambda: mask_model(4, 0), "a mask with k=0 is invalid; k divides a count, so expected at least 1"),
        (lambda: mask_model(0), "width 0 is invalid"),
        (lambda: Model("m", identity(3)), "model 'm' has 1 inputs and 1 outputs; expected two inputs, the parameters"),
        (lambda: Model("m", copy(3)), "model 'm' has 1 inputs and 2 outputs; expected two inputs, the parameters"),
    ],
)
def test_a_model_that_cannot_be_is_refused(make, message) -> None:
    with pytest.raises(UserError, match=f"^{message}"):
        make()


# -- by name -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "outputs", "circuit"),
    [
        ("lookup", 3, lookup_model(4, 3)),
        ("mask", 1, mask_model(4, 4)),
        ("mask:k=2", 1, mask_model(4, 2)),
    ],
)
def test_models_by_name(spec: str, outputs: int, circuit: Circuit) -> None:
    model = make_model(spec, 4, outputs)
    assert model == Model(spec, circuit)
    assert (model.input_bits, model.output_bits) == (4, outputs)
    assert model.parameter_bits == circuit.input_types[0].width


@pytest.mark.parametrize(
    ("spec", "outputs", "error", "message"),
    [
        ("lokup", 1, UsageError, "model 'lokup' is unknown .*; did you mean 'lookup'?"),
        ("", 1, UsageError, "model '' is unknown and not of the form FILE.py:NAME; "),
        ("mask:q=2", 1, UsageError, "model 'mask' has no option 'q=2'; it takes k=NUMBER"),
        ("mask:k=two", 1, UsageError, "option k=two of model 'mask' is invalid; expected a whole number from 1 to"),
        ("mask:k=-1", 1, UsageError, "option k=-1 of model 'mask' is invalid; expected a whole number from 1 to"),
        ("mask:k=1_0", 1, UsageError, "option k=1_0 of model 'mask' is invalid; expected a whole number from 1 to"),
        ("mask:k", 1, UsageError, "option k= of model 'mask' is invalid; expected a whole number from 1 to"),
        ("mask:k=1,k=2", 1, UsageError, "option k of model 'mask' is given twice in 'k=1,k=2'; leave one of them out"),
        ("lookup:k=1", 1, UsageError, "model 'lookup' has no option 'k=1'; it takes labels=TEXT"),
        (
            "file",
            1,
            UsageError,
            "the model 'file' is a circuit or a machine in a file of your own; name it as FILE.py:NAME",
        ),
        (
            "file:source=x",
            1,
            UsageError,
            "the model 'file' is a circuit or a machine in a file of your own; name it as",
        ),
        (
            "mask",
            2,
            UserError,
            "the mask model has one output and the labels have 2 bits; choose two classes and the option",
        ),
        ("mask:k=0", 1, UsageError, "option k=0 of model 'mask' is invalid; expected a whole number from 1 to"),
        ("lookup", 0, UserError, "a lookup of 4 inputs and 0 outputs is invalid"),
    ],
)
def test_a_wrong_name_is_refused(spec: str, outputs: int, error: type[UserError], message: str) -> None:
    with pytest.raises(error, match=f"^{message}"):
        make_model(spec, 4, outputs)


# -- from a file -------------------------------------------------------------------------------------------------------

HEAD = "from rdahw import Bits, lookup_model, trace\n"


@pytest.fixture
def model_file(tmp_path: Path):
    def write(text: str) -> str:
        (tmp_path / "mine.py").write_text(HEAD + text)
        return str(tmp_path / "mine.py")

    return write


@pytest.mark.parametrize(
    "text",
    [
        "model = trace(lambda p, x: (p ^ x).sum(2), p=Bits(4), x=Bits(4))",
        "def model(inputs, outputs):\n    return trace(lambda p, x: (p ^ x).sum(2), p=Bits(inputs), x=Bits(inputs))",
    ],
)
def test_a_model_of_ones_own(model_file, text: str) -> None:
    spec = f"{model_file(text)}:model"
    expected = trace(lambda p, x: (p ^ x).sum(2), p=Bits(4), x=Bits(4))
    assert make_model(spec, 4, 2) == Model(spec, expected)


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("modle = lookup_model(4, 1)", UserError, "defines no 'model'; did you mean 'modle'?"),
        ("model = 5", UserError, "is a int; expected a circuit or a machine, or a function from"),
        (
            "def model(inputs, outputs): return 'x'",
            UserError,
            "is a str; expected a circuit or a machine, or a function from",
        ),
        (
            "def model(inputs): pass",
            UserError,
            "failed: TypeError: model.. takes 1 positional argument but 2 were given",
        ),
        ("def model(a, b):\n    return 1 // 0", UserError, "failed: line 3: ZeroDivisionError: integer division"),
        (
            "import nonexistent_thing",
            UserError,
            "failed: line 2: ModuleNotFoundError: No module named 'nonexistent_thing'",
        ),
        ("model = (", UserError, "failed: line 2: SyntaxError"),
        ("raise SystemExit(0)", UserError, "failed: line 2: SystemExit: 0"),
        (
            "def model(a, b): return trace(lambda p, x: p ^ x, p=Bits(3), x=Bits(4))",
            UserError,
            "wire %2 = xor: operands",
        ),
        ("model = trace(lambda x: x, x=Bits(4))", UserError, "has 1 inputs and 1 outputs; expected two inputs"),
        (
            "model = lookup_model(3, 1)",
            UserError,
            "takes 3 bits and gives 1; the data have 4 and 1: change the circuit",
        ),
    ],
)
def test_a_wrong_file_is_refused(model_file, text: str, error: type[UserError], message: str) -> None:
    with pytest.raises(error, match=message):
        make_model(f"{model_file(text)}:model", 4, 1)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^the model file '.*nowhere.py' does not exist; name the model as FILE"):
        make_model(f"{tmp_path}/nowhere.py:model", 4, 1)
