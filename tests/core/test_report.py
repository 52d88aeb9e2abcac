"""The page of a report: what it says, that it stands alone, and that everyone can read it."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest

from rdahw.data import Binariser, Column, Schema
from rdahw.data.images import Image
from rdahw.families import find_family
from rdahw.families.ensemble.spec import EnsembleSpec
from rdahw.family import Task
from rdahw.saved import SavedModel
from rdahw.sim.panel import make_panel
from rdahw.tasks import ClassEvaluation
from rdahw.training import Progress, Schedule

report = pytest.importorskip("rdahw.report", reason="needs the extra plot")

ANIMALS = ("ant", "bee", "cat")
CURVE = [
    {"epoch": 1, "examples": 200, "wrong": 50, "updates": 90, "validation_accuracy": 0.5, "test_accuracy": 0.75},
    {"epoch": 2, "examples": 200, "wrong": 10, "updates": 20, "validation_accuracy": 0.75, "test_accuracy": 0.875},
]


def schema(features: int, names: tuple[str, ...], image: tuple[int, int] | None = None) -> Schema:
    columns = tuple(Column("number") for _ in range(features))
    return Schema(tuple(f"f{i}" for i in range(features)), columns, names, image_shape=image)


def make_ensemble(names=ANIMALS, image=(4, 4), **provenance) -> SavedModel:
    its = schema(16, names, image)
    spec = EnsembleSpec(
        input_bits=16, classes=len(names), tables=4, inputs=2, image=image and Image(1, *image), counter=4
    )
    counters = np.random.default_rng(1).integers(-8, 8, spec.counters_shape).astype(np.int8)
    return SavedModel(
        spec=spec,
        state={**spec.initial_state(), "counters": counters},
        progress=Progress(epoch=2, examples=400, updates=400),
        schema=its,
        binariser=Binariser.fit("threshold=0", np.zeros((1, 16)), its.columns, its.feature_names),
        schedule=Schedule(epochs=2, shuffle=True),
        provenance={"curve": CURVE, "finished": True, **provenance},
    )


def make_circuit(model: str, features: int, names: tuple[str, ...], theta, labels="one-hot", image=None) -> SavedModel:
    its = schema(features, names, image)
    return SavedModel(
        spec=find_family(model).spec(Task(input_bits=features, classes=len(names)), labels=labels),
        state={"parameters": np.array(theta, np.uint8)},
        progress=Progress(updates=7),
        schema=its,
        binariser=Binariser.fit("threshold=0", np.zeros((1, features)), its.columns, its.feature_names),
        schedule=Schedule(),
        provenance={
            "options": {"data": "my file.csv", "model": model, "shuffle": False, "label": None},
            "finished": True,
        },
    )


LOOKUP = make_circuit("lookup", 2, ("no", "yes"), [1, 0, 0, 1, 0, 1, 1, 0])
MASK = make_circuit("mask", 16, ("zero", "one"), [0, 1] * 8, "binary", (4, 4))
COUNTS = np.array([[10, 2, 0, 0], [0, 9, 0, 1], [3, 0, 8, 0]])
PAGES = {
    "ensemble": report.make_report(make_ensemble(), ClassEvaluation("animals (test part)", COUNTS, ANIMALS)),
    "table": report.make_report(make_ensemble(image=None), ClassEvaluation("animals", COUNTS, ANIMALS)),
    "lookup": report.make_report(LOOKUP, ClassEvaluation("pairs", np.array([[5, 0, 0], [0, 5, 0]]), ("no", "yes"))),
    "mask": report.make_report(MASK),
}


class Page(HTMLParser):
    """Tags with their attributes in order, and the text of each tag's inside."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.said: dict[str, list[str]] = {}
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in {"meta", "img"}:
            self.open.append(tag)
            self.said.setdefault(tag, []).append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, "tags are closed in order"

    def handle_data(self, data):
        for tag in set(self.open):
            self.said[tag][-1] += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def text_of(page: str) -> str:
    return html.unescape(" ".join(re.sub(r"<[^>]*>", " ", page).split()))


def pictures_of(page: Page) -> list[str]:
    start = "data:image/svg+xml;base64,"
    sources = [image["src"] or "" for image in page.all("img")]
    assert all(source.startswith(start) for source in sources)
    return [base64.b64decode(source[len(start) :]).decode() for source in sources]


@pytest.fixture(params=PAGES)
def page(request) -> str:
    return PAGES[request.param]


def test_the_page_stands_alone(page):
    read = Page(page)
    assert not read.open
    assert "script" not in read.said
    assert not read.all("link")
    assert all("src" not in attributes or tag == "img" for tag, attributes in read.tags)
    assert "url(" not in page
    for svg in pictures_of(read):
        root = ElementTree.fromstring(svg)
        links = {value for e in root.iter() for name, value in e.attrib.items() if name.endswith("href")}
        assert all(link.startswith(("#", "data:image/png;base64,")) for link in links)


def test_headings_are_in_order(page):
    read = Page(page)
    levels = [int(tag[1]) for tag, _ in read.tags if re.fullmatch("h[1-6]", tag)]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in zip(levels, levels[1:], strict=False))
    assert all(said.strip() for said in read.said["h2"])
    assert read.all("html")[0]["lang"] == "en"
    assert read.said["title"][0].strip()


def test_names_of_parts_are_unique(page):
    read = Page(page)
    anchors = [attributes["id"] for _, attributes in read.tags if "id" in attributes]
    assert len(anchors) == len(set(anchors))
    assert {attributes["aria-labelledby"] for attributes in read.all("section")} == set(anchors)


def test_every_picture_says_what_it_shows(page):
    alternatives = [image["alt"] or "" for image in Page(page).all("img")]
    assert all(len(alternative) > 25 for alternative in alternatives)
    assert len(set(alternatives)) == len(alternatives)


def test_every_table_has_a_caption_and_headed_rows(page):
    read = Page(page)
    tables = read.all("table")
    assert tables
    assert len(read.said["caption"]) == len(tables)
    assert all(said.strip() for said in read.said["th"])
    assert {attributes["scope"] for attributes in read.all("th")} == {"col", "row"}


def luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(2 * c for c in colour[1:])
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_text_can_be_read_on_its_ground():
    """WCAG 2.2, 1.4.3: text has a contrast of 4.5 at least."""
    page = PAGES["ensemble"]
    colours = dict(re.findall(r"--(\w+): (#\w+)", page))
    links = re.findall(r"color: (#\w+); }", page)
    assert {"ink", "soft", "tile"} <= colours.keys()
    for ground in ("#fff", colours["tile"]):
        for text in (colours["ink"], colours["soft"], *links):
            assert contrast(text, ground) >= 4.5
    for svg in pictures_of(Page(page)):
        for fill in re.findall(r"<text [^>]*fill: (#\w+)", svg):
            assert contrast(fill, "#fff") >= 4.5


def test_numbers_are_those_of_the_evaluation():
    said = text_of(PAGES["ensemble"])
    assert "81.82 %" in said
    assert "27 of 33 examples of animals (test part) are predicted right" in said
    assert "cat taken for ant (3); ant taken for bee (2); bee taken for none (1)" in said


def test_the_curve_is_in_words_and_numbers():
    said = text_of(PAGES["ensemble"])
    assert "5.00 % while learning, 25.00 % held out, 12.50 % test" in said
    assert "1 25.00 50.00 25.00" in said


def test_a_mask_and_a_truth_table_are_drawn():
    assert "selects 8 of 16 pixels" in text_of(PAGES["mask"])
    assert "The truth table" in text_of(PAGES["lookup"])
    assert "no yes 00 1 0 01 0 1 10 0 1 11 1 0" in text_of(PAGES["lookup"])
    assert [len(pictures_of(Page(PAGES[name]))) for name in ("lookup", "mask", "table", "ensemble")] == [2, 1, 2, 4]


def test_every_page_says_what_the_model_is_and_its_options():
    assert "ensemble of 4 x 2 tables, 16 -> 3 classes, 48 counters of 4 bits" in text_of(PAGES["ensemble"])
    assert "lookup 2 -> 2, 8 parameter bits" in text_of(PAGES["lookup"])
    assert "loss margin=160 optimiser counter=4 tables 4 inputs 2 wiring any" in text_of(PAGES["ensemble"])
    assert "loss xor optimiser xor k 4 labels binary" in text_of(PAGES["mask"])
    assert "updates 400" in text_of(PAGES["table"])
    assert "updates 7" in text_of(PAGES["mask"])


def test_the_counters_are_in_numbers():
    saved = make_ensemble()
    counters = saved.parameters
    ends, zero = (100 * np.isin(counters, values).mean() for values in ([-8, 7], [0]))
    said = f"48 counters of 4 bits, from -8 to 7: {ends:.1f} % are at one of these ends, and {zero:.1f} % are zero"
    assert said in text_of(PAGES["ensemble"])


def test_the_command_can_be_typed_again():
    assert "rdahw train --data &#39;my file.csv&#39; --model lookup --no-shuffle</code>" in PAGES["lookup"]


def test_names_from_a_strangers_file_stay_text():
    saved = make_ensemble(
        ("<script>alert(1)</script>", '" onload="x', "c"), options={"data": "<b>", "model": "&amp;"}, curve="nonsense"
    )
    page = report.make_report(saved, ClassEvaluation("<i>", COUNTS, saved.schema.label_names))
    read = Page(page)
    assert "script" not in read.said
    assert not {"b", "i"} & read.said.keys()
    assert not any("onload" in attributes for _, attributes in read.tags)
    assert "Training" not in read.said["h2"]


def test_the_only_script_is_that_of_the_panel():
    names = ("</script><script>alert(1)</script>", "b", "c")
    saved = make_ensemble(names)
    page = report.make_report(saved, panel=make_panel(saved))
    read = Page(page)
    data, script = read.said["script"]
    assert json.loads(data)["labels"] == list(names)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policies = [meta["content"] for meta in read.all("meta") if "http-equiv" in meta]
    assert policies[0].startswith("default-src 'none';")
    assert policies[0].endswith(f"script-src 'sha256-{digest}'")
    assert "This page cannot run the model: too large." in text_of(report.make_report(saved, without="too large"))


@pytest.mark.parametrize(
    "curve", [None, 3, [1], [{"epoch": "1", "wrong": 1, "examples": 2}], [{"epoch": 1, "wrong": 3, "examples": 2}]]
)
def test_a_curve_that_is_none_gives_no_points(curve):
    assert report.curve_points(curve) == []


def test_a_checkpoint_says_so():
    assert "this is a checkpoint" in text_of(report.make_report(make_ensemble(finished=False)))
