"""The panel of a report in Chromium, used as a person does: by the pointer and the keyboard alone."""

from __future__ import annotations

import asyncio
import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
from running import Runner

from rdahw.data import Binariser, Column, Schema
from rdahw.data.images import Image
from rdahw.families.ensemble.spec import EnsembleSpec
from rdahw.saved import SavedModel, load_model
from rdahw.sim.engines import class_scores, predict
from rdahw.sim.panel import make_panel
from rdahw.training import Progress, Schedule

report = pytest.importorskip("rdahw.report", reason="needs the extra plot")
pytest.importorskip("playwright", reason="needs playwright (pip install playwright)")
sys.path.append(str(Path(__file__).parents[2] / "bench"))
panel = importlib.import_module("panel")

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _chromium() -> None:
    if panel.chromium() is None:
        pytest.skip("needs Chromium, which is not installed (Debian: apt install chromium)")


def digits_model() -> SavedModel:
    """An ensemble on digits with random counters, which gives all classes."""
    pixels = panel.SIZE**2
    columns, names = (Column("number"),) * pixels, tuple(f"x{i}" for i in range(pixels))
    image = Image(1, panel.SIZE, panel.SIZE)
    spec = EnsembleSpec(input_bits=pixels, classes=10, tables=60, inputs=5, image=image, counter=6)
    counters = np.random.default_rng(3).integers(-32, 32, spec.counters_shape).astype(np.int8)
    return SavedModel(
        spec=spec,
        state={**spec.initial_state(), "counters": counters},
        progress=Progress(),
        schema=Schema(names, columns, tuple("0123456789"), image_shape=(panel.SIZE, panel.SIZE)),
        binariser=Binariser.fit("threshold=32", np.zeros((1, pixels), np.uint8), columns, names),
        schedule=Schedule(),
        provenance={},
    )


def test_drawn_digits_are_predicted_as_by_the_software(mnist_folder: Path) -> None:
    """Some only, as each event takes its time: `python bench/panel.py` draws a hundred."""
    saved, pictures = digits_model(), panel.digits(4)
    page = report.make_report(saved, panel=make_panel(saved))
    found, errors = asyncio.run(panel.drawn(page, pictures, 1))
    assert found == panel.by_software(saved, pictures)
    assert errors == []


#: Whether each control has a name, and the names of those without.
UNNAMED = """() => [...document.querySelectorAll("#panel input, #panel select, #panel button, #panel canvas")]
    .filter((each) => !(each.labels?.length || each.textContent.trim() || each.getAttribute("aria-label")))
    .map((each) => each.outerHTML)"""


def test_a_table_is_set_and_explained_by_the_keyboard(run: Runner, tmp_path: Path) -> None:
    rows = [f"{i % 10 / 2 if i % 9 else ''},{('red', '<b>', 'green')[i % 3]},{i % 10 > 4}" for i in range(90)]
    (tmp_path / "t.csv").write_text("\n".join(["size,colour,big", *rows]))
    run.ok("train", "-q", "--data", "t.csv", "--model", "ensemble:tables=20,inputs=3", "--binarise", "quantile=5",
           "--out", "m.rdahw")  # fmt: skip
    run.ok("report", "m.rdahw")
    asyncio.run(walk((tmp_path / "m.html").read_text(), load_model(tmp_path / "m.rdahw")))


async def walk(text: str, saved: SavedModel) -> None:
    async with panel.opened(text, viewport={"width": 400, "height": 900}) as (page, errors):
        await page.locator("#column-0").focus()
        # From the number over the box that says that it is missing to the category.
        await panel.press(page, "End", "ArrowLeft", "Tab", "Tab", "ArrowDown")
        said = await panel.said(page)
        size = float(await page.locator("output").text_content())
        assert await page.locator("#column-1").evaluate("it => +it.value") == 1
        x = saved.binariser.transform(np.array([[size, 1]]))
        assert said == saved.schema.label_names[int(predict(saved.spec, saved.best_state, x)[0])]
        await page.locator("#why").press("Enter")
        (scores,) = class_scores(saved.spec, saved.best_state, x)
        assert f"The score of {said} is {scores.max()}." in await page.locator("#panel").text_content()
        assert await page.evaluate("() => document.documentElement.scrollWidth") <= 400
        assert await page.evaluate(UNNAMED) == []
        assert errors == []
