"""A report about a saved model as one HTML page: accuracy, training curve, learned state and provenance.

The page is one file that loads nothing from the network; its only script is that of the panel in which the page itself
runs the model. Needs ``pip install 'rdahw[plot]'``.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.resources
import json
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any

import jinja2
from matplotlib.figure import Figure

import rdahw
from rdahw import pictures
from rdahw.families import find_family
from rdahw.family import Section
from rdahw.saved import SavedModel
from rdahw.tasks import TASKS, Evaluation

__all__ = ["draw_pictures", "make_page", "make_report"]

#: What is run in the page, in this order.
_SCRIPTS = ("panel_engine.js", "panel.js")


def make_report(
    saved: SavedModel,
    evaluation: Evaluation | None = None,
    *,
    panel: Mapping[str, Any] | None = None,
    without: str = "",
) -> str:
    """The page as HTML text. evaluation: on examples that were not used for training. panel: the data of
    :func:`rdahw.sim.panel.make_panel`; ``without``: why there are none."""
    return make_page(
        title=f"{saved.options.get('model', saved.spec.name)} on {saved.options.get('data', 'data')}",
        lead=(
            f"A model that learned to {TASKS[saved.schema.task].purpose(saved.spec)} by reverse derivative ascent: "
            f"{saved.spec.description}."
            + ("" if saved.is_finished else " Its training is not finished: this is a checkpoint.")
        ),
        tiles=list(_tiles(saved, evaluation)),
        sections=_sections(saved, evaluation),
        panel=panel,
        without=without,
    )


def make_page(
    title: str,
    lead: str,
    tiles: Sequence[tuple[str, str]],
    sections: Iterable[Section],
    *,
    panel: Mapping[str, Any] | None = None,
    without: str = "",
) -> str:
    """A page of HTML. tiles: names and values that stand out. panel, without: as for :func:`make_report`."""
    page = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(
        _resource("report.html.jinja")
    )
    shown = {"title": title, "lead": lead, "tiles": tiles, "sections": [_for_page(section) for section in sections]}
    made = None if panel is None else _panel(panel)
    return page.render(version=rdahw.__version__, **shown, panel=made, without=without) + "\n"


def _resource(name: str) -> str:
    return importlib.resources.files("rdahw").joinpath(name).read_text(encoding="utf-8")


def _panel(data: Mapping[str, Any]) -> dict[str, Any]:
    """The panel as variables of the page's template. No other script than this one runs in the page."""
    script = "\n".join(map(_resource, _SCRIPTS))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    # Names from files do not end the element, as they cannot begin a tag.
    text = json.dumps(data, ensure_ascii=True).replace("<", "\\u003c")
    return {
        "script": script,
        "hash": f"sha256-{digest}",
        "data": text,
        "size": f"{(len(script) + len(text)) / 1e6:.2f} MB",
    }


def draw_pictures(saved: SavedModel, evaluation: Evaluation | None = None) -> dict[str, Figure]:
    """The figures of the page by name: ``training``, ``mistakes`` and those of the model's family."""
    return {_anchor(s): s.figure for s in _sections(saved, evaluation) if s.figure is not None}


def _for_page(section: Section) -> dict[str, Any]:
    """The section as variables of the page's template."""
    picture = "" if section.figure is None else base64.b64encode(pictures.to_svg(section.figure).encode()).decode()
    shown = {field.name: getattr(section, field.name) for field in fields(section)}
    return {**shown, "anchor": _anchor(section), "picture": picture}


def _anchor(section: Section) -> str:
    return re.sub(r"\W+", "-", section.title.lower()).strip("-")


def _sections(saved: SavedModel, evaluation: Evaluation | None) -> list[Section]:
    return [
        *_curve(saved),
        *(evaluation.sections() if evaluation is not None and evaluation.examples else ()),
        *find_family(saved.spec.family).sections(saved),
        _provenance(saved),
    ]


def _tiles(saved: SavedModel, evaluation: Evaluation | None) -> Iterable[tuple[str, str]]:
    if evaluation is not None and evaluation.examples:
        yield from evaluation.tiles()
    yield "parameter bits", f"{saved.spec.parameters.bits:,}"
    yield "updates", f"{saved.progress.updates:,}"
    yield "input bits", f"{saved.spec.input_bits:,}"


# -- sections ----------------------------------------------------------------------------------------------------------


def _curve(saved: SavedModel) -> Iterable[Section]:
    points = curve_points(saved.provenance.get("curve"))
    if not points:
        return
    last = points[-1]
    errors = {key: name for key, name, *_ in pictures.CURVE_LINES if key in last}
    ends = ", ".join(f"{100 * last[key]:.2f} % {name}" for key, name in errors.items())
    yield Section(
        title="Training",
        text=f"Wrong predictions in each of {len(points)} epochs; in the last one: {ends}. While learning, an example "
        "is predicted before the model learns from it.",
        figure=pictures.draw_curve(points),
        alt=f"Line chart of the percentage of wrong predictions against the epoch, 1 to {last['at']}; last values: "
        f"{ends}.",
        caption="Wrong predictions of each epoch, %",
        columns=["epoch", *errors.values()],
        rows=[[p["at"], *(f"{100 * p[key]:.2f}" for key in errors if key in p)] for p in points],
    )


def curve_points(curve: object) -> list[dict[str, Any]]:
    """The training curve in a saved model's provenance as points of :func:`rdahw.pictures.draw_curve`.

    Malformed points are left out, as the file is untrusted.
    """
    points = []
    for entry in curve if isinstance(curve, list) else []:
        row: dict[str, Any] = entry if isinstance(entry, dict) else {}
        point: dict[str, Any] = {"at": row.get("epoch")}
        wrong, examples = row.get("wrong"), row.get("examples")
        if isinstance(wrong, int) and isinstance(examples, int) and 0 <= wrong <= examples and examples:
            point["training_error"] = wrong / examples
        for name in ("validation", "test"):
            accuracy = row.get(f"{name}_accuracy")
            if isinstance(accuracy, int | float) and 0 <= accuracy <= 1:
                point[f"{name}_error"] = 1 - accuracy
        if isinstance(point["at"], int) and len(point) > 1:
            points.append(point)
    return points


def _provenance(saved: SavedModel) -> Section:
    spec = saved.spec
    shown: dict[str, object] = {"bits by": saved.binariser.rule}
    for key, value in saved.provenance.items():
        if isinstance(value, str | int | float | bool):
            shown[key.replace("_", " ")] = value
    shown |= {"loss": spec.loss, "optimiser": spec.optimiser} | spec.options() | spec.facts(saved.best_state)
    return Section(
        title="Where it comes from",
        text="Everything that determines the bits of this model. The same options and data give the same model:",
        command=_command(saved.options) if saved.options else str(saved.provenance.get("command", "rdahw train")),
        caption="Options and provenance",
        columns=["name", "value"],
        rows=[[name, str(value)] for name, value in shown.items()],
        numbers=False,
    )


def _command(options: Mapping[str, Any]) -> str:
    """The shell command that trains with these options."""
    words = ["rdahw", "train"]
    for name, value in options.items():
        if isinstance(value, bool):
            words += [f"--{name}"] if value else ["--no-shuffle"] if name == "shuffle" else []
        elif value is not None:
            words += [f"--{name}", str(value)]
    return shlex.join(words)
