"""What models cost before they are built: how often that is estimated, and when it is not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from amaranth.hdl import Fragment

from rdahw.boards import budget as module
from rdahw.boards.budget import COSTS, Budget
from rdahw.boards.estimate import estimate
from rdahw.families import find_family
from rdahw.family import Spec, Task
from rdahw.hdl.inference import tables_of
from rdahw.tracing import trace
from rdahw.types import Bits

TASK = Task.of_widths(6, 3)


#: The estimates that were made, by the model and the parameters that its gateware has as constants: each is made once.
MADE: dict[str, Any] = {}


@pytest.fixture
def estimates(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """The designs that were estimated."""
    found: list[Any] = []

    def counted(design: Any, *given: Any, core: Any, **options: Any) -> Any:
        found.append(design)
        key = json.dumps([core.spec.to_json(), design.gateware, getattr(core, "bits", [])])
        if key in MADE:
            Fragment.get(core, None)  # Amaranth warns of components that are never elaborated
        else:
            MADE[key] = estimate(design, *given, core=core, **options)
        return MADE[key]

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


def test_what_is_learned_is_estimated_afterwards(estimates: list[Any]) -> None:
    grown = ensemble(wiring="grown")
    assert not of().is_known(grown)
    before = of().before(grown)
    assert not estimates
    assert {name for name, cost in before.items() if cost is None} == {"ebr", "spram"}
    learned = grown.wired()
    after = of().after(learned, learned.initial_state())
    assert of().after(learned, learned.initial_state()) == after
    assert len(estimates) == 1
    assert 600 < before["luts"] < after["luts"]  # type: ignore[operator]
    assert {name: after[name] for name in ("bits", "cycles")} == {name: before[name] for name in ("bits", "cycles")}


def test_a_predictor_without_a_lower_bound_is_estimated_with_drawn_parameters(estimates: list[Any]) -> None:
    predicts, spec = of(learns=False), ensemble()
    assert not predicts.is_known(spec)
    before = predicts.before(spec)
    after = predicts.after(spec, spec.initial_state())  # whose tables are all the same
    assert after["luts"] < before["luts"]  # type: ignore[operator]
    assert len(estimates) == 2


@pytest.mark.parametrize(
    ("most", "known"),
    [
        ("bits=10", {"bits"}),
        ("cycles=2", {"bits", "cycles", "microseconds", "luts"}),
        ("luts=600", {"bits", "cycles", "microseconds", "luts"}),
    ],
)
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


@pytest.mark.parametrize(("family", "options"), [("layers", {"sizes": "12x4,9x5"}), ("grown", {"tables": 9})])
def test_a_predictor_in_logic_is_estimated_when_it_is_trained(
    estimates: list[Any], family: str, options: dict[str, object]
) -> None:
    predicts, spec = of(learns=False), find_family(family).spec(TASK, **options)
    before = predicts.before(spec)
    assert not estimates
    assert {name for name, cost in before.items() if cost is None} == {"ebr", "spram"}
    assert before["cycles"] == 1
    after = predicts.after(spec, spec.typical_state())
    assert len(estimates) == 1
    assert None not in after.values()
    fewest, luts = before["luts"], after["luts"]
    assert fewest is not None
    assert luts is not None
    assert 600 < fewest < luts < 2 * fewest
    assert of(f"luts={fewest - 1}", learns=False).excess(before) > 0
    assert of(f"luts={fewest}", learns=False).excess(before) == 0


def test_the_fewest_tables_of_a_circuit() -> None:
    def tables(inputs: int, count: int) -> int:
        f = trace(lambda theta, x: theta.lookup(x), theta=Bits(count << inputs), x=Bits(inputs))
        return tables_of(f)

    assert [tables(inputs, 1) for inputs in (1, 4, 5, 7, 8)] == [1, 1, 2, 2, 3]
    assert tables(4, 6) == 6
    # Four full adders add seven bits.
    assert tables_of(trace(lambda theta, x: theta ^ x.popcount(), theta=Bits(3), x=Bits(7))) == 8
