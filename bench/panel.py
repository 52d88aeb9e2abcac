"""The panel of a report in Chromium: test digits are drawn by events of the pointer and of the keyboard alone, and what
the page predicts is compared with the software.

    python bench/panel.py MODEL [--pointer N] [--keyboard N]

MODEL is a file of rdahw train --data mnist. Prints a JSON line. Needs Chromium and playwright from PyPI.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdahw.data import load
from rdahw.saved import SavedModel, load_model
from rdahw.sim.engines import predict

#: As many rows and columns.
SIZE = 28
#: Lighter pixels are not drawn, the others with all ink.
INK = 128


def chromium() -> str | None:
    """Where Chromium is, if it is installed."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@asynccontextmanager
async def opened(page: str, **options: Any) -> AsyncIterator[tuple[Any, list[str]]]:
    """A page of HTML in Chromium, and the errors that it has made so far."""
    from playwright.async_api import async_playwright

    errors: list[str] = []
    flags = ["--no-sandbox", "--disable-frame-rate-limit", "--disable-gpu-vsync"]
    async with async_playwright() as started:
        with tempfile.TemporaryDirectory() as folder:
            browser = await started.chromium.launch(executable_path=chromium(), args=flags)
            shown = await browser.new_page(**options)
            shown.set_default_timeout(600_000)
            shown.on("pageerror", lambda error: errors.append(str(error)))
            shown.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
            file = Path(folder, "page.html")
            file.write_text(page)
            await shown.goto(file.as_uri())
            yield shown, errors
            await browser.close()


async def said(page: Any) -> str:
    """The class that the page says, after it has shown the last change."""
    await page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return str(await page.locator("#answer").text_content()).removeprefix("Predicted: ").partition(".")[0]


async def press(page: Any, *keys: str) -> None:
    """Press keys one after another."""
    for key in keys:
        await page.keyboard.press(key)


def runs(picture: NDArray[np.bool_]) -> Iterator[tuple[int, int, int]]:
    """The row, the first and the last column of each run of pixels with ink."""
    for y, row in enumerate(picture.tolist()):
        at = 0
        for ink, group in itertools.groupby(row):
            length = len(list(group))
            if ink:
                yield y, at, at + length - 1
            at += length


def pointer_events(picture: NDArray[np.bool_], box: Mapping[str, float]) -> Iterator[dict[str, Any]]:
    """A stroke for each run, with the pen of one pixel; box: the place of the drawing in the window."""
    scale = box["width"] / SIZE
    for y, first, last in runs(picture):
        for kind, x in (("mousePressed", first), ("mouseMoved", last), ("mouseReleased", last)):
            place = {"x": box["x"] + (x + 0.5) * scale, "y": box["y"] + (y + 0.5) * scale}
            yield {"type": kind, "button": "left", "buttons": int(kind != "mouseReleased"), "clickCount": 1, **place}


def key_events(picture: NDArray[np.bool_], cursor: list[int]) -> Iterator[dict[str, Any]]:
    """The same with the keys; cursor: the row and the column of the page's cursor, which are kept."""
    for y, first, last in runs(picture):
        down, right = y - cursor[0], first - cursor[1]
        for key, shift, count in (
            ("ArrowDown" if down > 0 else "ArrowUp", 0, abs(down)),
            ("ArrowRight" if right > 0 else "ArrowLeft", 0, abs(right)),
            (" ", 0, 1),
            ("ArrowRight", 8, last - first),
        ):
            for kind in ("keyDown", "keyUp") * count:
                yield {"type": kind, "key": key, "modifiers": shift}
        cursor[:] = y, last


async def drawn(page: str, pictures: NDArray[np.bool_], keyboard: int) -> tuple[list[str], list[str]]:
    """The classes that the page says of pictures (N, SIZE, SIZE), the last ``keyboard`` of them drawn with the keys;
    and its errors."""
    async with opened(page, viewport={"width": 1280, "height": 1400}) as (shown, errors):
        # The pen of one pixel, and back to the drawing.
        await shown.locator("#drawing").click()
        await press(shown, *["Tab"] * 3, "Home", *["Shift+Tab"] * 3)
        box = await shown.locator("#drawing").bounding_box()
        window = await shown.context.new_cdp_session(shown)
        cursor, found = [SIZE // 2, SIZE // 2], []
        for i, picture in enumerate(pictures):
            await press(shown, "Tab", "Enter", "Shift+Tab")  # the button that clears, and back
            by_pointer = i < len(pictures) - keyboard
            kind = f"Input.dispatch{'Mouse' if by_pointer else 'Key'}Event"
            events = pointer_events(picture, box) if by_pointer else key_events(picture, cursor)
            # All are sent at once, in their order.
            await asyncio.gather(*(window.send(kind, event) for event in events))
            found.append(await said(shown))
        return found, errors


def digits(count: int) -> NDArray[np.bool_]:
    """The first test digits of MNIST, (count, SIZE, SIZE)."""
    test = load("mnist").test
    assert test is not None
    found: NDArray[np.bool_] = test.features[:count].reshape(-1, SIZE, SIZE) >= INK
    return found


def by_software(saved: SavedModel, pictures: NDArray[np.bool_]) -> list[str]:
    """The classes that the software predicts of pictures."""
    x = saved.binariser.transform((pictures * 255).reshape(len(pictures), -1).astype(np.uint8))
    return [saved.schema.label_names[c] for c in predict(saved.spec, saved.best_state, x)]


def main() -> None:
    from rdahw.report import make_report
    from rdahw.sim.panel import make_panel

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--pointer", type=int, default=90, help="draw so many with the pointer")
    parser.add_argument("--keyboard", type=int, default=10, help="and so many with the keyboard")
    given = parser.parse_args()
    saved, pictures = load_model(given.model), digits(given.pointer + given.keyboard)
    page = make_report(saved, panel=make_panel(saved))
    found, errors = asyncio.run(drawn(page, pictures, given.keyboard))
    expected = by_software(saved, pictures)
    equal = sum(a == b for a, b in zip(found, expected, strict=True))
    print(json.dumps({"digits": len(found), "equal": equal, "errors": errors, "page_bytes": len(page.encode())}))


if __name__ == "__main__":
    main()
