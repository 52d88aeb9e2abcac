"""What models cost before they are built: how often that is estimated, and when it is not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from rdahw.boards import budget as module
from rdahw.boards.budget import COSTS, Budget
from rdahw.boards.estimate import estimate
from rdahw.families import find_family
from rdahw.family import Spec, Task

TASK = Task.of_widths(6, 3)


@pytest.fixture
def estimates(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """The designs that were estimated."""
    found: list[Any] = []

    def counted(design: Any, *given: Any, **options: Any) -> Any:
        found.append(design)
        return estimate(design, *given, **options)

    monkeypatch.setattr(module, "estimate", counted)
    module._costs_before.cache_clear()
    yield found
    module._costs_before.cache_clear()


def ensemble(**options: object) -> Spec:
    return find_family("ensemble").spec(TASK, **{"tables": 4, "inputs": 2, **options})


def of(most: str = "", *, learns: bool = True) -> Budget:
    return Budget.of("icebreaker", most, learns=learns, clock=None)


def test_a_trainer_is_estimated_once(estimates: list[Any]) -> None:
    spec = ensemble()
    before = of().before(spec)
    assert of().is_known(spec)
    assert of().after(ensemble(), spec.initial_state()) == before
    assert len(estimates) == 1
    assert None not in before.values()
    assert of().before(ensemble(tables=8)) != before
    assert len(estimates) == 2


def test_what_is_learned_is_estimated_again(estimates: list[Any]) -> None:
    grown = ensemble(wiring="grown")
    assert not of().is_known(grown)
    assert None not in of().before(grown).values()
    predicts, spec = of(learns=False), ensemble()
    assert not predicts.is_known(spec)
    before = predicts.before(spec)
    after = predicts.after(spec, spec.initial_state())  # whose tables are all the same
    assert after["luts"] < before["luts"]  # type: ignore[operator]
    assert len(estimates) == 3


@pytest.mark.parametrize(("most", "known"), [("bits=10", {"bits"}), ("cycles=2", {"bits", "cycles", "microseconds"})])
def test_what_is_above_a_limit_is_not_estimated(estimates: list[Any], most: str, known: set[str]) -> None:
    spec, limited = ensemble(), of(most)
    before = limited.before(spec)
    assert limited.excess(before) > 0
    assert {name for name, cost in before.items() if cost is not None} == known
    assert not estimates
    assert limited.after(spec, spec.initial_state()) == of().before(spec)
    assert before.keys() == COSTS.keys()


def test_models_that_cannot_be_keys(estimates: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    spec = ensemble()
    expected = of().before(spec)
    monkeypatch.setattr(type(spec), "__hash__", None)
    assert of().before(spec) == expected
    assert len(estimates) == 2
