"""The panel of a report: its JavaScript predicts and explains as the software does, with the same whole numbers."""

from __future__ import annotations

import json
import shutil
import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import rdahw
from rdahw.data import Binariser, Column, Schema
from rdahw.data.integer_inputs import MISSING, integer_inputs
from rdahw.errors import UsageError
from rdahw.families import parse_model
from rdahw.family import Task
from rdahw.saved import SavedModel
from rdahw.shapley import score_tables, shapley
from rdahw.sim.engines import class_scores, predict
from rdahw.sim.panel import make_panel
from rdahw.training import Progress, Schedule

ENGINE = Path(rdahw.__file__).parent / "panel_engine.js"
#: Reads {data, examples, classes} from stdin.
PROGRAM = """
const engine = require(process.argv[1]);
const given = JSON.parse(require("fs").readFileSync(0, "utf8"));
const model = engine.open(given.data);
const found = given.examples.map((features) => {
  const bits = engine.encode(model, features), ran = engine.run(model, bits);
  const numbers = model.shapley ? given.classes : [];
  const explained = numbers.map((number) => {
    const made = engine.explain(model, bits, number);
    return { ...made, values: Array.from(made.values) };
  });
  return { bits: Array.from(bits), predicted: ran.predicted, scores: ran.scores ?? null, explained };
});
process.stdout.write(JSON.stringify(found));
"""


def table(rows: int = 300) -> tuple[NDArray[Any], tuple[Column, ...]]:
    """Examples of a number with missing values, a category of which some are rare, a binary column and a number."""
    random = np.random.default_rng(1)
    number = np.where(random.random(rows) < 0.2, np.nan, np.round(random.normal(size=rows), 2))
    category = np.where(random.random(rows) < 0.02, random.integers(4, 20, rows), random.integers(0, 4, rows))
    names = tuple(f"</script> {i}" for i in range(20))
    columns = (Column("number", missing=True), Column("category", names), Column("binary"), Column("number"))
    more = [random.integers(0, 2, rows), random.integers(-5, 90, rows)]
    return np.column_stack([number, category, *more]), columns


def made_of(model: str, features: NDArray[Any], columns: tuple[Column, ...], rule: str, classes: int = 3) -> SavedModel:
    """A model with random tables, which is as good as a trained one here."""
    binariser = Binariser.fit(rule, features, columns)
    family, options = parse_model(model)
    spec = family.spec(Task(input_bits=binariser.width, classes=classes), **options)
    state, random = dict(spec.initial_state()), np.random.default_rng(1)
    low, high = getattr(spec, "counter_range", (0, 1))
    for name in {spec.parameters.name, "wiring"} & state.keys():
        ends = (0, binariser.width - 1) if name == "wiring" else (low, high)
        state[name] = random.integers(ends[0], ends[1] + 1, state[name].shape).astype(state[name].dtype)
    if "grown" in state:
        state["grown"] = np.array([options["tables"]], state["grown"].dtype)
    return SavedModel(
        spec=spec,
        state=state,
        progress=Progress(),
        schema=Schema(binariser.names, columns, tuple(f"c{i}" for i in range(classes))),
        binariser=binariser,
        schedule=Schedule(),
        provenance={},
    )


def in_javascript(data: dict[str, Any], examples: NDArray[Any], classes: int) -> list[dict[str, Any]]:
    if shutil.which("node") is None:
        pytest.skip("needs node, which is not installed (Debian: apt install nodejs)")
    given = {"data": data, "examples": examples.tolist(), "classes": list(range(classes))}
    command = ["node", "-e", PROGRAM, str(ENGINE)]
    ran = subprocess.run(command, input=json.dumps(given), capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    found: list[dict[str, Any]] = json.loads(ran.stdout)
    return found


@pytest.mark.parametrize(
    "model",
    [
        "ensemble:tables=30,inputs=5",
        "ensemble:tables=30,inputs=4,sign=1",
        "grown:tables=32,inputs=6",
        "layers:20x3,12x4",
        "lookup",
        "lookup:labels=binary",
    ],
)
def test_the_page_computes_what_the_software_does(model: str) -> None:
    features, columns = table()
    rule = "midrange" if model.startswith("lookup") else "quantile=5"
    if rule == "midrange":
        features, columns = features[:, 2:], columns[2:]
    saved = made_of(model, features, columns, rule)
    inputs = integer_inputs(saved.binariser)
    assert inputs is not None
    data = make_panel(saved, features, ["first"] * len(features), features[:37])
    assert json.loads(json.dumps(data)) == data
    numbers = inputs.numbers(features[:60])
    assert (numbers == MISSING).any() == (rule != "midrange")
    x = saved.binariser.transform(features[:60])
    found = in_javascript(data, numbers, 3)
    assert [each["bits"] for each in found] == x.tolist()
    assert [each["predicted"] for each in found] == predict(saved.spec, saved.state, x).tolist()
    if found[0]["scores"] is not None:
        (scores,) = class_scores(saved.spec, saved.state, x)
        assert [each["scores"] for each in found] == scores.tolist()
    if model.startswith(("layers", "lookup")):
        assert "shapley" not in data
        return
    background = saved.binariser.transform(features[:37])
    for row, each in zip(x, found, strict=True):
        its = shapley(score_tables(saved.spec, saved.state), saved.binariser.wire_columns, row, background)
        for number, explained in enumerate(each["explained"]):
            assert explained["values"] == its.numerators[:, number].tolist()
            assert Fraction(explained["baseline"], explained["examples"]) == its.baseline(number)
            assert (explained["score"], explained["denominator"]) == (its.scores[number], its.denominator)


def test_what_the_page_cannot_run_is_said() -> None:
    features, columns = table()
    fixed = made_of("ensemble:tables=3,inputs=2", features[:, 3:], columns[3:], "fixed=2")
    with pytest.raises(UsageError, match="the binarising rule 'fixed=2' does more than that"):
        make_panel(fixed)
    many = made_of("ensemble:tables=3,inputs=2", np.zeros((1, 201)), (Column("number"),) * 201, "threshold=1")
    with pytest.raises(UsageError, match="at most 200 columns"):
        make_panel(many)
