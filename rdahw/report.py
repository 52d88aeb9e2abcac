"""A saved model as one page of HTML: how well it does, how it learned, what it learned, and from what.

The page is one file that needs no network and runs no script. Needs ``pip install 'rdahw[plot]'``.
"""

from __future__ import annotations

import base64
import importlib.resources
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jinja2
import numpy as np
from matplotlib.figure import Figure

import rdahw
from rdahw import pictures
from rdahw.data.images import find_image
from rdahw.GONE import counter_shares
from rdahw.saved import SavedModel
from rdahw.saved_ensemble import SavedEnsemble

__all__ = ["Evaluation", "draw_pictures", "make_report"]

#: Confusions that are named in words, beside the picture of all.
_MOST_MISTAKES = 3


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How a model did on examples with labels.

    source: what examples. counts: (classes, classes + 1), row: the label, column: the prediction, the last one «none».
    """

    source: str
    counts: np.ndarray[Any, np.dtype[np.int64]]

    @property
    def examples(self) -> int:
        """How many."""
        return int(self.counts.sum())

    @property
    def correct(self) -> int:
        """How many were right."""
        return int(np.trace(self.counts))


@dataclass(frozen=True, slots=True)
class _Section:
    title: str
    text: str
    figure: Figure | None = None
    alt: str = ""
    caption: str = ""
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[object]] = ()
    numbers: bool = True
    command: str = ""

    @property
    def anchor(self) -> str:
        return re.sub(r"\W+", "-", self.title.lower()).strip("-")

    @property
    def picture(self) -> str:
        return "" if self.figure is None else base64.b64encode(pictures.to_svg(self.figure).encode()).decode()


def make_report(saved: SavedModel | SavedEnsemble, evaluation: Evaluation | None = None) -> str:
    """The page as HTML text; ``evaluation`` is of examples that the model did not learn from."""
    ensemble = isinstance(saved, SavedEnsemble)
    options = _options(saved.provenance)
    data = options.get("data", "data")
    name = str(options.get("model", "ensemble" if isinstance(saved, SavedEnsemble) else saved.learner.model.name))
    template = importlib.resources.files("rdahw").joinpath("report.html.jinja").read_text(encoding="utf-8")
    page = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(template)
    return page.render(
        version=rdahw.__version__,
        title=f"{name} on {data}",
        lead=(
            f"{'A table ensemble' if ensemble else 'A Boolean circuit'} that learned to tell "
            f"{len(saved.schema.label_names)} classes apart by reverse derivative ascent."
            + ("" if saved.is_finished else " Its training is not finished: this is a checkpoint.")
        ),
        tiles=list(_tiles(saved, evaluation)),
        sections=_sections(saved, evaluation),
    ) + ("\n")


def draw_pictures(saved: SavedModel | SavedEnsemble, evaluation: Evaluation | None = None) -> dict[str, Figure]:
    """The pictures of the page by name: ``training``, ``mistakes`` and what there is to see in the model."""
    return {s.anchor: s.figure for s in _sections(saved, evaluation) if s.figure is not None}


def _sections(saved: SavedModel | SavedEnsemble, evaluation: Evaluation | None) -> list[_Section]:
    return [
        *_curve(saved.provenance),
        *_confusion(evaluation, saved.schema.label_names),
        *(_of_ensemble(saved) if isinstance(saved, SavedEnsemble) else _of_circuit(saved)),
        _provenance(saved),
    ]


def _tiles(saved: SavedModel | SavedEnsemble, evaluation: Evaluation | None) -> Iterable[tuple[str, str]]:
    if evaluation is not None and evaluation.examples:
        part = 100 * evaluation.correct / evaluation.examples
        yield "right on the test examples", f"{part:.2f} %"
        yield "test examples", f"{evaluation.examples:,}"
    if isinstance(saved, SavedEnsemble):
        spec = saved.spec
        yield "tables x inputs", f"{spec.tables} x {spec.inputs}"
        yield "bits of counters", f"{spec.parameter_bits:,}"
        yield "examples learned from", f"{saved.state.examples:,}"
    else:
        yield "parameter bits", f"{saved.learner.model.parameter_bits:,}"
        yield "updates", f"{saved.state.updates:,}"
    yield "input bits", f"{saved.binariser.width:,}"


# -- sections ----------------------------------------------------------------------------------------------------------


def _options(provenance: Mapping[str, Any]) -> Mapping[str, Any]:
    options = provenance.get("options")
    return options if isinstance(options, dict) else {}


def _curve(provenance: Mapping[str, Any]) -> Iterable[_Section]:
    points = curve_points(provenance.get("curve"))
    if not points:
        return
    last = points[-1]
    ends = ", ".join(f"{100 * last[key]:.2f} % {name}" for key, name in _ERRORS.items() if last.get(key) is not None)
    yield _Section(
        "Training",
        f"Wrong predictions in each of {len(points)} epochs; in the last one: {ends}. While learning, an example is "
        "predicted before the model learns from it, with the tables that dropout leaves.",
        pictures.draw_curve(points),
        f"Line chart of the percentage of wrong predictions against the epoch, 1 to {last['at']}; last values: {ends}.",
        "Wrong predictions of each epoch, %",
        ["epoch", *(name for key, name in _ERRORS.items() if last.get(key) is not None)],
        [
            [p["at"], *(f"{100 * p[key]:.2f}" for key in _ERRORS if last.get(key) is not None and key in p)]
            for p in points
        ],
    )


_ERRORS = {"training_error": "while learning", "validation_error": "held out", "test_error": "test"}


def curve_points(curve: object) -> list[dict[str, Any]]:
    """The training curve of a saved model's provenance in the form of :func:`rdahw.pictures.draw_curve`.

    It is a stranger's: points that are not as rdahw writes them are left out.
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


def _confusion(evaluation: Evaluation | None, names: Sequence[str]) -> Iterable[_Section]:
    if evaluation is None or not evaluation.examples:
        return
    wrong = evaluation.counts.copy()
    np.fill_diagonal(wrong, 0)
    worst = sorted(np.ndindex(*wrong.shape), key=lambda at: -wrong[at])[:_MOST_MISTAKES]
    columns = [*names, "none"]
    said = "; ".join(f"{names[i]} taken for {columns[j]} ({wrong[i, j]})" for i, j in worst if wrong[i, j])
    text = (
        f"{evaluation.correct:,} of {evaluation.examples:,} examples of {evaluation.source} are predicted right. "
        + (f"The most frequent mistakes: {said}." if said else "There is no mistake.")
    )
    yield _Section(
        "Mistakes",
        text,
        pictures.draw_confusion(evaluation.counts, names) if len(names) <= 100 else None,
        f"Confusion matrix, labels in rows and predictions in columns. {text}",
        "Predictions by label",
        ["label", *columns],
        [[name, *map(int, row)] for name, row in zip(names, evaluation.counts, strict=True)],
    )


def _of_ensemble(saved: SavedEnsemble) -> Iterable[_Section]:
    spec = saved.spec
    counters = saved.counters
    low, high = spec.counter_range
    full, zero = counter_shares(spec, counters)
    if spec.image is None:
        evidence = pictures.class_evidence(spec, counters)
        names = saved.binariser.wire_names
        strongest = np.argsort(-np.abs(evidence).max(axis=0), kind="stable")[:20]
        yield _Section(
            "What speaks for each class",
            "The input bits that change the scores most when they turn to 1: the mean change of each class's score.",
            caption="Mean change of the scores",
            columns=["input", *saved.label_names],
            rows=[[names[b], *(f"{evidence[c, b]:+.1f}" for c in range(spec.classes))] for b in strongest],
        )
    else:
        yield _Section(
            "What the tables read",
            f"{spec.tables} tables read {spec.inputs} pixels each (wiring {spec.wiring}). On the left: how often each "
            "pixel is read; on the right: the first tables, with their inputs by number.",
            pictures.draw_wiring(spec),
            f"Map of the image with the number of tables' inputs that read each pixel, and small maps of the first "
            f"{min(12, spec.tables)} tables with the {spec.inputs} pixels that each reads.",
        )
        yield _Section(
            "What speaks for each class",
            "For each class, the mean change of its score when a pixel turns to 1: violet speaks for the class, orange "
            "against it.",
            pictures.draw_evidence(spec, counters, saved.label_names),
            f"{spec.classes} maps of the image, one for each class, of how much each pixel speaks for or against it.",
        )
    yield _Section(
        "The counters",
        f"{np.prod(spec.counters_shape):,} counters of {spec.counter} bits, from {low} to {high}: {100 * full:.1f} % "
        f"are at one of these ends, and {100 * zero:.1f} % are zero.",
    )


def _of_circuit(saved: SavedModel) -> Iterable[_Section]:
    model, kind = saved.learner.model, saved.learner.model.name.partition(":")[0]
    image = find_image(saved.schema.columns, saved.schema.image_shape, saved.binariser.width)
    ones = int(saved.parameters.sum())
    if kind == "mask" and image is not None and model.parameter_bits == image.bits:
        yield _Section(
            "The mask",
            f"The model has learned to select {ones} of {image.bits} pixels: an image with few of them set is of the "
            f"second class, {saved.schema.label_names[-1]}.",
            pictures.draw_mask(saved.parameters, image),
            f"Map of the image with the {ones} selected pixels.",
        )
    elif kind == "lookup" and model.input_bits <= pictures.MAX_TABLE_INPUTS:
        names = (
            saved.schema.label_names if saved.labels == "one-hot" else [f"bit {i}" for i in range(model.output_bits)]
        )
        table = saved.parameters.reshape(len(names), -1)
        yield _Section(
            "The truth table",
            f"For each of the {1 << model.input_bits} inputs, the outputs that were learned.",
            pictures.draw_truth_table(saved.parameters, model.input_bits, names),
            f"The learned truth table of {len(names)} outputs; the table below says the same.",
            "The learned truth table",
            [f"x ({', '.join(reversed(saved.binariser.wire_names))})", *names],
            [[format(x, f"0{model.input_bits}b"), *map(int, table[:, x])] for x in range(1 << model.input_bits)],
        )


def _provenance(saved: SavedModel | SavedEnsemble) -> _Section:
    shown: dict[str, object] = {"bits by": saved.binariser.rule}
    for key, value in saved.provenance.items():
        if isinstance(value, str | int | float | bool):
            shown[key.replace("_", " ")] = value
    if isinstance(saved, SavedEnsemble):
        shown |= {name: value for name, value in saved.spec.to_json().items() if isinstance(value, str | int | float)}
    else:
        shown |= {"error": saved.learner.loss, "optimiser": saved.learner.optimiser}
    return _Section(
        "Where it comes from",
        "All that decides the bits of this model. The same options on the same data give the same model:",
        command=_command(_options(saved.provenance)),
        caption="Options and provenance",
        columns=["name", "value"],
        rows=[[name, str(value)] for name, value in shown.items()],
        numbers=False,
    )


def _command(options: Mapping[str, Any]) -> str:
    """The command that trains so, as for a shell."""
    words = ["rdahw", "train"]
    for name, value in options.items():
        if isinstance(value, bool):
            words += [f"--{name}"] if value else ["--no-shuffle"] if name == "shuffle" else []
        elif value is not None:
            words += [f"--{name}", str(value)]
    return shlex.join(words)
