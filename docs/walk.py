"""Walk through the documentation site in headless Chromium: `make docs-walk` after `make docs`.

For each page: all links within the site lead to a page and a place on it, those into the repository to a file; images
are there; headings go down one level at a time from one h1; at 400 and 1,280 pixels nothing is wider than the window;
and axe-core finds no fault by WCAG 2 A and AA, contrast among them, in the light and in the dark style. Links to other
sites are not followed. Arguments: parts of the names of the pages to look at, by default all.

Needs ``pip install 'rdahw[walk]'``, and Chromium or Chrome on the PATH.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

from axe_playwright_python.sync_playwright import Axe
from conf import REPOSITORY
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).parent.parent
SITE = ROOT / "build" / "docs"
BROWSERS = ["chromium", "chromium-browser", "google-chrome"]
#: The widths of the window in pixels, and the style in which each is looked at.
WIDTHS: dict[int, Literal["light", "dark"]] = {400: "light", 1280: "dark"}
#: The rules of the field for pages that all can read. The order of headings is judged by `headings`, on all pages.
RULES = {
    "runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]},
    "resultTypes": ["violations"],  # the others are not read, and take long to make
    "preload": False,
}

#: What a page holds: the targets of links and images, all places on it, its headings, and images that failed.
FACTS = """() => ({
  links: [...document.querySelectorAll("a[href], link[rel=stylesheet], script[src]")].map(e => e.href || e.src),
  places: [...document.querySelectorAll("[id]")].map(e => e.id),
  headings: [...document.querySelectorAll("h1, h2, h3, h4, h5, h6")].filter(e => e.offsetParent)
    .map(e => [Number(e.tagName[1]), e.textContent.trim()]),
  broken: [...document.images].filter(e => e.complete && !e.naturalWidth).map(e => e.src),
})"""
#: The page if it can be scrolled to the right, and elements of its text that reach over the right edge of the window,
#: but not within a block that scrolls by itself.
WIDE = """() => {
  const width = document.documentElement.clientWidth;
  const wide = [...document.querySelectorAll("[role=main] *")]
    .filter(e => e.getBoundingClientRect().right > width + 1 && !e.parentElement.closest("pre, .table-wrapper"));
  if (document.documentElement.scrollWidth > width) wide.unshift(document.documentElement);
  return wide.map(e => e.tagName.toLowerCase() + " " + e.textContent.trim().slice(0, 60)).slice(0, 3);
}"""


def main(names: list[str]) -> int:
    """Print a line for each fault; return 1 if there are any, 2 if the site or the browser is not there."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if not (SITE / "index.html").exists() or browser is None:
        missing = f"one of {', '.join(BROWSERS)} on the PATH" if browser is None else "the site: run make docs"
        print(f"the walk needs {missing}", file=sys.stderr)
        return 2
    pages = sorted(SITE.rglob("*.html"))
    chosen = [path for path in pages if not names or any(name in path.name for name in names)]
    facts: dict[Path, dict[str, Any]] = {}
    faults = 0

    def tell(path: Path, found: Iterable[str]) -> None:
        nonlocal faults
        for fault in found:
            print(f"{path.relative_to(SITE)}: {fault}", flush=True)
            faults += 1

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        page = chromium.new_page()
        page.set_default_timeout(0)  # none, as machines differ
        for path in pages:
            page.goto(path.as_uri())
            facts[path] = page.evaluate(FACTS)
            if path in chosen:
                tell(path, look(page, facts[path]))
        chromium.close()
    for path in chosen:
        tell(path, (fault for link in dict.fromkeys(facts[path]["links"]) for fault in dead(link, facts)))
    print(f"{len(pages)} pages, {sum(len(each['links']) for each in facts.values())} links, {faults} faults")
    return bool(faults)


def look(page: Page, facts: dict[str, Any]) -> Iterator[str]:
    """The faults of the page that is open."""
    yield from (f"the image {source} is not there" for source in facts["broken"])
    yield from headings(facts["headings"])
    for width, style in WIDTHS.items():
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=style)
        if wide := page.evaluate(WIDE):
            yield f"wider than {width} pixels: {'; '.join(wide)}"
        for fault in Axe().run(page, options=RULES).response["violations"]:
            node = fault["nodes"][0]
            yield (
                f"{fault['id']} at {width} pixels, {style}, {len(fault['nodes'])} times, such as {node['html'][:120]}: "
                f"{' '.join((node.get('failureSummary') or '').split())[:200]}"
            )


def headings(found: list[tuple[int, str]]) -> Iterator[str]:
    """Faults in the order of headings, (level, text): one of level 1, and no level left out on the way down."""
    if (count := sum(level == 1 for level, _ in found)) != 1:
        yield f"{count} headings of level 1"
    for (before, _), (level, text) in zip([(0, ""), *found], found, strict=False):
        if level > before + 1:
            yield f"the heading {text!r} of level {level} follows one of level {before}"


def dead(link: str, facts: dict[Path, dict[str, Any]]) -> Iterator[str]:
    """A sentence if the link leads nowhere."""
    if link.startswith(REPOSITORY):
        path = ROOT / unquote(urlsplit(link).path.removeprefix(urlsplit(REPOSITORY).path))
        if not path.exists():
            yield f"{link} is not in the repository"
    elif link.startswith("file:"):
        parts = urlsplit(link)
        path, place = Path(unquote(parts.path)), unquote(parts.fragment)
        if not path.is_file():
            yield f"the link {link} leads to no file"
        elif path in facts and place and place not in facts[path]["places"]:
            yield f"the link {link} leads to no place on that page"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
