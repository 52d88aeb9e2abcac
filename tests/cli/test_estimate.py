"""``rdahw estimate``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from running import Runner


def test_a_design_that_was_built(run: Runner) -> None:
    lines = (Path(__file__).parents[2] / "bench" / "builds.jsonl").read_text().splitlines()
    built = next(its for line in lines if (its := json.loads(line))["kind"] == "ensemble" and "error" not in its)
    found = run.ok("estimate", *built["synth"], "--json").json
    assert (found["ebr"], found["spram"]) == (built["ebr"], built["spram"])
    assert found["logic_cells"] == pytest.approx(built["logic_cells"], rel=0.12)
    assert found["fits"]


def test_the_table(run: Runner) -> None:
    table = run.ok("estimate", "lookup", "--board", "tangnano9k").out
    assert "± " in table
    assert "8,640" in table


@pytest.mark.parametrize(
    "model", ["grown:tables=30,inputs=4", "layers:30x4", "ensemble:tables=4,wiring=grown", "boosted:tables=8,inputs=3",
              "coverage:tables=8,inputs=3", "lookup"]
)  # fmt: skip
def test_models_that_are_not_trained(run: Runner, model: str) -> None:
    found = run.ok("estimate", model, "--inputs", 6, "--outputs", 3, "--inference", "--json").json
    assert 600 < found["logic_cells"] < 5000
    assert found["examples_per_second"] > 0


def test_what_is_too_large(run: Runner) -> None:
    found = run.ok("estimate", "lookup", "--inputs", 9, "--outputs", 4, "--json")
    assert not found.json["fits"]
    assert "more than the 5,280 of iCEBreaker" in found.err


@pytest.mark.parametrize(
    ("within", "said"), [(0.1, ("", "")), (0.3, (", perhaps too many", ", perhaps missed")), (None, ("", ""))]
)
def test_what_is_near_a_limit(
    run: Runner, monkeypatch: pytest.MonkeyPatch, within: float | None, said: tuple[str, str]
) -> None:
    """What the estimate is too close to is said to be perhaps above it, if its bound is known."""
    from rdahw.boards import estimate

    known = {} if within is None else {"ice40": {"logic_cells": within, "fmax_mhz": within}}
    monkeypatch.setattr(estimate, "fitted", lambda: {"within": known})
    monkeypatch.setattr(estimate, "estimated", lambda *_: {"logic_cells": 4500.0, "fmax_mhz": 28.0})
    table = [line.rstrip() for line in run.ok("estimate", "lookup").out.splitlines()]
    bound = "" if within is None else f" ± {100 * within:.0f} %"
    about = "about " if within is None else ""
    (cells,), (clock,) = ([line for line in table if line.startswith(name)] for name in ("logic cells", "clock"))
    assert cells.endswith(f"{about}4,500{bound}, of 5,280{said[0]}")
    assert clock.endswith(f"24 MHz{said[1]}")


def test_a_clock_that_is_certainly_missed(run: Runner) -> None:
    assert "60 MHz, missed" in run.ok("estimate", "lookup", "--inputs", 6, "--outputs", 3, "--clock", 60).out


@pytest.mark.parametrize("clock", ["nan", "inf", "0"])
def test_a_clock_that_is_none(run: Runner, clock: str) -> None:
    refused = run("estimate", "lookup", "--clock", clock)
    assert refused.code == 2
    assert "--clock" in refused.err
