"""Every optimiser and every loss for words or switches in gateware: small trainers, against software and proved."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from trainers import Example, hardware, software

from rdahw import Bits, Learner, Model, Switches, trace
from rdahw.families.linear import linear_model
from rdahw.hdl.proof import prove
from rdahw.hdl.trainer import RegisterTrainer
from rdahw.hdl.trainer_proof import trainer
from rdahw.learner import LOSSES
from rdahw.optimisers import OPTIMISERS
from rdahw.sim.reference import run


def linear(loss: str, optimiser: str, bits: int = 9) -> Learner:
    return Learner(Model("linear", linear_model(2, 2, word=1, fraction=2, bits=bits)), loss, optimiser)


def tables(optimiser: str) -> Learner:
    f = trace(lambda t, x: t.lookup(x.as_switches(5)), t=Switches(4, 5), x=Bits(1))
    return Learner(Model("tables", f), "target", optimiser)


#: A learner for each row.
LEARNERS: Mapping[str, Callable[[], Learner]] = {
    "counter": lambda: linear("margin=3", "counter=6"),
    "sign": lambda: tables("sign=4,noise=2"),
    "descent": lambda: linear("quadratic=2", "descent=2,2"),
    "momentum": lambda: linear("quadratic=2", "momentum=2,3,2"),
    "nesterov": lambda: linear("dot=2", "nesterov=2,3,2"),
    "adagrad": lambda: linear("quadratic=2", "adagrad=4,2"),
    "adam": lambda: linear("softmax=2", "adam=4,2,3,2"),
    "multinomial": lambda: linear("softmax=2", "multinomial=3,1,2", bits=12),
}


def test_every_rule_is_here() -> None:
    assert LEARNERS.keys() == OPTIMISERS.keys() - {"xor"}
    losses = {make().loss.partition("=")[0] for make in LEARNERS.values()}
    assert losses == LOSSES.keys() - {"xor"}


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow) if name in ("adam", "multinomial") else name for name in LEARNERS],
)
def test_a_trainer_learns_as_software(name: str) -> None:
    learner, rng = LEARNERS[name](), random.Random(name)
    examples = [Example(rng.getrandbits(learner.model.input_bits), 1 << rng.getrandbits(1)) for _ in range(8)]
    found = hardware(RegisterTrainer(learner), examples)
    expected = software(learner, examples, batch=False)
    assert found.thetas == expected.thetas
    assert found.predictions == expected.predictions
    assert len(set(found.thetas)) > 2


#: Those that a solver decides, at widths as small as it takes: all but those with random numbers, whose products of 64
#: bits it does not.
PROVED: Mapping[str, Callable[[], Learner]] = {
    **{name: LEARNERS[name] for name in ("descent", "momentum", "nesterov", "adagrad")},
    "sign": lambda: tables("sign=4"),
    "softmax": lambda: linear("softmax=2", "descent=2,2"),
    "adam": lambda: Learner(
        Model("linear", linear_model(1, 2, word=1, fraction=1, bits=6)), "margin=3", "adam=2,1,1,1"
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PROVED)
def test_a_trainer_is_proved(name: str, tmp_path: Path) -> None:
    (proof,) = prove([trainer(PROVED[name]())], replay=run, cache=tmp_path)
    assert proof.verdict == "proved"
