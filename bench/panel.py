"""The panel of a report in Chromium: test digits are drawn by events of the pointer and of the keyboard alone, and what
the page predicts is compared with the software.

    python bench/panel.py MODEL [--pointer N] [--keyboard N]

MODEL is a file of rdahw train --data mnist. Prints a JSON line. Needs Chromium and playwright from PyPI.
"""

from __future__ import annotations

import argparse
import itertools
import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
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


@contextmanager
def opened(page: str, **options: Any) -> Iterator[tuple[Any, list[str]]]:
    """A page of HTML in Chromium, and the errors that it has made so far."""
    from playwright.sync_api import sync_playwright

    errors: list[str] = []
    flags = ["--no-sandbox", "--disable-frame-rate-limit", "--disable-gpu-vsync"]
    with sync_playwright() as started, tempfile.TemporaryDirectory() as folder:
        browser = started.chromium.launch(executable_path=chromium(), args=flags)
        shown = browser.new_page(**options)
        shown.set_default_timeout(600_000)
        shown.on("pageerror", lambda error: errors.append(str(error)))
        shown.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        file = Path(folder, "page.html")
        file.write_text(page)
        shown.goto(file.as_uri())
        yield shown, errors
        browser.close()


def said(page: Any) -> str:
    """The class that the page says, after it has shown the last change."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return str(page.locator("#answer").text_content()).removeprefix("Predicted: ").partition(".")[0]


def runs(picture: NDArray[np.bool_]) -> Iterator[tuple[int, int, int]]:
    """The row, the first and the last column of each run of pixels with ink."""
    for y, row in enumerate(picture.tolist()):
        at = 0
        for ink, group in itertools.groupby(row):
            length = len(list(group))
            if ink:
                yield y, at, at + length - 1
            at += length


def draw_by_pointer(page: Any, picture: NDArray[np.bool_]) -> None:
    """A stroke for each run, with the pen of one pixel."""
    page.locator("#clear").click()
    box = page.locator("#drawing").bounding_box()
    scale = box["width"] / SIZE
    for y, first, last in runs(picture):
        page.mouse.move(box["x"] + (first + 0.5) * scale, box["y"] + (y + 0.5) * scale)
        page.mouse.down()
        page.mouse.move(box["x"] + (last + 0.5) * scale, box["y"] + (y + 0.5) * scale)
        page.mouse.up()


def draw_by_keyboard(page: Any, picture: NDArray[np.bool_], cursor: list[int]) -> None:
    """The same with the keys; cursor: the row and the column of the page's cursor, which are kept."""
    for key in ("Tab", "Enter", "Shift+Tab"):  # from the drawing to the button that clears it, and back
        page.keyboard.press(key)
    for y, first, last in runs(picture):
        down, right = y - cursor[0], first - cursor[1]
        for key, count in (
            ("ArrowDown" if down > 0 else "ArrowUp", abs(down)),
            ("ArrowRight" if right > 0 else "ArrowLeft", abs(right)),
            ("Space", 1),
            ("Shift+ArrowRight", last - first),
        ):
            for _ in range(count):
                page.keyboard.press(key)
        cursor[:] = y, last


def thin_pen(page: Any) -> None:
    """Choose the pen of one pixel, and go back to the drawing."""
    page.locator("#drawing").click()
    for key in (*["Tab"] * 3, "Home", *["Shift+Tab"] * 3):
        page.keyboard.press(key)


def drawn(page: str, pictures: NDArray[np.bool_], keyboard: int) -> tuple[list[str], list[str]]:
    """The classes that the page says of pictures (N, SIZE, SIZE), the last ``keyboard`` of them drawn with the keys;
    and its errors."""
    with opened(page, viewport={"width": 1280, "height": 1400}) as (shown, errors):
        thin_pen(shown)
        cursor, found = [SIZE // 2, SIZE // 2], []
        for i, picture in enumerate(pictures):
            if i < len(pictures) - keyboard:
                draw_by_pointer(shown, picture)
            else:
                draw_by_keyboard(shown, picture, cursor)
            found.append(said(shown))
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
    found, errors = drawn(page, pictures, given.keyboard)
    expected = by_software(saved, pictures)
    equal = sum(a == b for a, b in zip(found, expected, strict=True))
    print(json.dumps({"digits": len(found), "equal": equal, "errors": errors, "page_bytes": len(page.encode())}))


if __name__ == "__main__":
    main()
