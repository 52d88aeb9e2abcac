"""Figures of trained models, with matplotlib (``pip install 'rdahw[plot]'``).

Each function returns a matplotlib figure; :func:`to_svg` and :func:`save_picture` write it. The same model gives the
same bytes of SVG. The colours suit colour-blind readers (Okabe and Ito), and no information is in colour alone.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from rdahw.data.images import Image
from rdahw.errors import UsageError, UserError
from rdahw.files import write_atomically
from rdahw.primitives import Array

__all__ = [
    "draw_confusion",
    "draw_curve",
    "draw_dream",
    "draw_evidence",
    "draw_front",
    "draw_mask",
    "draw_predictions",
    "draw_truth_table",
    "draw_wiring",
    "save_picture",
    "to_svg",
]

_BLUE, _ORANGE, _GREEN = "#0072B2", "#B34700", "#00664A"  # dark enough for text on white
_FORMATS: tuple[Literal["svg", "png"], ...] = ("svg", "png")
#: The most inputs of a truth table; larger ones are unreadable.
MAX_TABLE_INPUTS = 8


def to_svg(figure: Figure) -> str:
    """The figure as SVG text, with text as text and without a date."""
    return _render(figure, "svg").decode()


def save_picture(figure: Figure, path: Path) -> None:
    """Write the figure to ``path``, ``.svg`` or ``.png``, atomically; raises :class:`UsageError` for another suffix."""
    for kind in _FORMATS:
        if path.suffix.lower() == f".{kind}":
            write_atomically(path, _render(figure, kind))
            return
    raise UsageError(f"a picture was to be saved as {str(path)!r}; expected a name that ends in .svg or .png")


def _render(figure: Figure, kind: Literal["svg", "png"]) -> bytes:
    target = io.BytesIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "rdahw", "font.family": "sans-serif"}):
        metadata = {"Date": None} if kind == "svg" else {}
        figure.savefig(target, format=kind, dpi=160, metadata=metadata)
    return target.getvalue()


def _figure(width: float, height: float) -> Figure:
    return Figure(figsize=(width, height), layout="constrained")


# -- training ----------------------------------------------------------------------------------------------------------

#: The lines of a training curve: key of a point, name, colour, dash and mark.
CURVE_LINES = (
    ("training_error", "while learning", _ORANGE, "--", "o"),
    ("validation_error", "held out", _BLUE, "-", "s"),
    ("test_error", "test", _GREEN, "-", "^"),
)


def draw_curve(points: Sequence[Mapping[str, Any]], unit: str = "epoch") -> Figure:
    """The training curve: percent of wrong predictions against ``unit``, on a logarithmic scale.

    points: one for each ``unit``: ``at`` (its number) and, as fractions, any of ``training_error``,
    ``validation_error`` and ``test_error``. Raises :class:`UserError` if there is no point.
    """
    if not points:
        raise UserError("the model has no training curve; train it again with this version of rdahw")
    figure = _figure(6.4, 3.6)
    axes = figure.add_subplot()
    for key, name, colour, dash, mark in CURVE_LINES:
        known = [(p["at"], 100 * p[key]) for p in points if p.get(key) is not None]
        if known:
            at, percent = zip(*known, strict=True)
            every = max(1, len(at) // 15)
            axes.plot(at, percent, dash, color=colour, marker=mark, markersize=4, markevery=every, label=name)
    if any(line.get_ydata().max() > 0 for line in axes.lines):  # type: ignore[union-attr]
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.yaxis.set_minor_formatter(lambda value, _: f"{value:g}" if f"{value:g}"[0] in "25" else "")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel(unit)
    axes.set_ylabel("wrong predictions, %")
    axes.grid(True, which="both", color="#dddddd", linewidth=0.6)
    axes.legend(frameon=False)
    return figure


def draw_front(points: Sequence[Mapping[str, Any]], title: str) -> Figure:
    """Models of a search: percent of right predictions against a cost, on a logarithmic scale; no cost is 0.

    points: ``cost``, ``accuracy`` (a fraction), and ``best``: whether no other model is better in all that counts.
    """
    figure = _figure(6.4, 3.6)
    axes = figure.add_subplot()
    for best, name, colour, mark in ((False, "other models", _ORANGE, "x"), (True, "the front", _BLUE, "o")):
        its = [(p["cost"], 100 * p["accuracy"]) for p in points if p["best"] == best]
        if its:
            axes.plot(*zip(*its, strict=True), mark, color=colour, markersize=5, label=name)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,g}")
    axes.xaxis.set_minor_formatter(lambda value, _: f"{value:,g}" if f"{value:g}"[0] in "25" else "")
    axes.set_xlabel(title)
    axes.set_ylabel("right predictions, %")
    axes.grid(True, which="both", color="#dddddd", linewidth=0.6)
    axes.legend(frameon=False)
    return figure


def draw_predictions(predicted: NDArray[np.float64], labels: NDArray[np.float64]) -> Figure:
    """Predictions (N,) against labels (N,): how many there are in each place, on a logarithmic scale, and the line of
    no error."""
    figure = _figure(5.2, 4.4)
    axes = figure.add_subplot()
    low, high = float(min(predicted.min(), labels.min())), float(max(predicted.max(), labels.max()))
    shown = axes.hexbin(labels, predicted, gridsize=40, bins="log", cmap="Blues", mincnt=1, linewidths=0.1)
    axes.plot([low, high], [low, high], "--", color=_ORANGE, linewidth=1)
    figure.colorbar(shown, ax=axes, label="examples")
    axes.set_xlabel("label")
    axes.set_ylabel("prediction")
    return figure


def draw_confusion(counts: NDArray[np.int64], names: Sequence[str]) -> Figure:
    """The confusion matrix ``counts``: (classes, classes) or, with a last column for «no class», (classes, classes +
    1); row: the label, column: the prediction. Mistakes are shaded, and numbers are written where they fit.
    """
    columns = [*names, "none"][: counts.shape[1]]
    if counts.shape[1] > len(names) and not counts[:, -1].any():
        counts, columns = counts[:, :-1], columns[:-1]
    rows = len(names)
    side = min(0.52 * max(rows, 3) + 1.6, 9.0)
    figure = _figure(side + 0.4, side)
    axes = figure.add_subplot()
    parts = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    wrong = parts.copy()
    np.fill_diagonal(wrong, 0)
    top = max(wrong.max(), 1e-9)
    axes.imshow(wrong, cmap="Oranges", vmin=0, vmax=1.8 * top, aspect="auto")  # 1.8: keeps dark text readable
    for i in range(rows):
        axes.add_patch(Rectangle((i - 0.5, i - 0.5), 1, 1, facecolor="#d6e6f2", edgecolor="none", clip_on=False))
    if rows <= 20:
        for i, j in np.ndindex(*counts.shape):
            if counts[i, j]:
                weight = "bold" if i == j else "normal"
                axes.text(j, i, f"{counts[i, j]}", ha="center", va="center", fontsize=8, color="black", weight=weight)
    step = 1 if rows <= 40 else -(-rows // 40)
    longest = max(map(len, columns))
    axes.set_xticks(range(0, len(columns), step), columns[::step], rotation=90 if longest > 4 else 0)
    axes.set_yticks(range(0, rows, step), list(names)[::step])
    axes.set_xlabel("predicted")
    axes.set_ylabel("label")
    return figure


# -- tables on images --------------------------------------------------------------------------------------------------


def draw_wiring(wiring: NDArray[np.int64], image: Image, shown: int = 12) -> Figure:
    """The input bits that tables read from images, ``wiring`` (tables, inputs): how many inputs of tables read each
    pixel, and the first ``shown`` tables with their inputs numbered from 0.
    """
    _, height, width = image
    reads = np.bincount(wiring.reshape(-1), minlength=image.bits).reshape(image).sum(axis=0)
    shown = min(shown, len(wiring))
    columns, rows = 4, -(-shown // 4)
    figure = _figure(9.6, 1.6 * rows + 0.4)
    halves: Any = figure.subfigures(1, 2, width_ratios=(1, 1.15))
    left, right = halves
    axes = left.add_subplot()
    drawn = axes.imshow(reads, cmap="Blues", vmin=0)
    axes.set_title("how many inputs of tables read a pixel", fontsize=9)
    left.colorbar(drawn, ax=axes, shrink=0.8, ticks=MaxNLocator(integer=True))
    for j, its in enumerate(right.subplots(rows, columns, squeeze=False).reshape(-1)):
        if j >= shown:
            its.set_axis_off()
            continue
        _blank(its, height, width, f"table {j}")
        for i, wire in enumerate(wiring[j]):
            y, x = divmod(int(wire) % (height * width), width)
            its.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor=_BLUE, clip_on=False))
            its.annotate(str(i), (x, y), xytext=(3, 3), textcoords="offset points", fontsize=6, color="black")
    return figure


def draw_evidence(evidence: NDArray[np.float64], image: Image, names: Sequence[str]) -> Figure:
    """The evidence of each input bit for each class, ``evidence`` (classes, image.bits), as one picture per class with
    the planes summed: violet pixels are evidence for the class when set, orange ones against it.
    """
    classes = len(evidence)
    pictures = evidence.reshape(classes, *image).sum(axis=1)
    bound = max(float(np.abs(pictures).max()), 1e-9)
    columns = min(5, classes)
    rows = -(-classes // columns)
    figure = _figure(1.7 * columns + 1, 1.9 * rows)
    drawn = None
    all_axes = figure.subplots(rows, columns, squeeze=False).reshape(-1)
    for c, axes in enumerate(all_axes):
        if c >= classes:
            axes.set_axis_off()
            continue
        drawn = axes.imshow(pictures[c], cmap="PuOr", vmin=-bound, vmax=bound)
        axes.set(xticks=[], yticks=[])
        axes.set_title(str(names[c]), fontsize=9)
    assert drawn is not None
    figure.colorbar(drawn, ax=list(all_axes), shrink=0.7, label="for the class when set")
    return figure


def draw_dream(before: NDArray[np.float64], after: NDArray[np.float64], name: str) -> Figure:
    """An image before and after it was learned to be of the class ``name``, and what changed; values from 0 to 1.

    (height, width) or (planes, height, width): three planes are red, green and blue, of others the mean is drawn.
    """
    figure = _figure(7.8, 2.9)
    axes = figure.subplots(1, 3)
    flat = [_flat(each) for each in (before, after)]
    for its, picture, title in zip(axes, flat, ("start", f"dream of {name}"), strict=False):
        its.imshow(picture, cmap="Greys", vmin=0, vmax=1)
        its.set(xticks=[], yticks=[], title=title)
    change = flat[1] - flat[0]
    drawn = axes[2].imshow(change if change.ndim == 2 else change.mean(axis=2), cmap="PuOr", vmin=-1, vmax=1)
    axes[2].set(xticks=[], yticks=[], title="change")
    figure.colorbar(drawn, ax=axes[2], shrink=0.8)
    return figure


def draw_shapley(picture: NDArray[np.float64], values: NDArray[np.float64], name: str) -> Figure:
    """An image, as in :func:`draw_dream`, and beside it the Shapley value of each pixel for the score of the class
    ``name``, of values (planes, height, width) the sum."""
    figure = _figure(5.6, 2.9)
    left, right = figure.subplots(1, 2)
    left.imshow(_flat(picture), cmap="Greys", vmin=0, vmax=1)
    left.set(xticks=[], yticks=[], title="example")
    sums = values.reshape(-1, *values.shape[-2:]).sum(axis=0)
    bound = max(float(np.abs(sums).max()), 1e-9)
    drawn = right.imshow(sums, cmap="PuOr", vmin=-bound, vmax=bound)
    right.set(xticks=[], yticks=[], title=f"Shapley values for {name}")
    figure.colorbar(drawn, ax=right, shrink=0.8)
    return figure


def _flat(picture: NDArray[np.float64]) -> NDArray[np.float64]:
    if picture.ndim == 2:
        return picture
    return picture.transpose(1, 2, 0) if len(picture) == 3 else picture.mean(axis=0)


def _blank(axes: Axes, height: int, width: int, title: str) -> None:
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5), xticks=[], yticks=[], aspect="equal")
    axes.set_title(title, fontsize=7, pad=2)


# -- models with their parameters --------------------------------------------------------------------------------------


def draw_mask(theta: Array, image: Image) -> Figure:
    """The learned mask, bits ``theta`` (image.bits,), as one picture per plane: selected pixels are dark."""
    figure = _figure(3.0 * image.planes + 0.4, 3.2)
    for plane, axes in enumerate(figure.subplots(1, image.planes, squeeze=False).reshape(-1)):
        axes.imshow(theta.reshape(image)[plane], cmap="Blues", vmin=0, vmax=1.2)
        axes.set(xticks=[], yticks=[])
        title = f"{int(theta.reshape(image)[plane].sum())} of {image.height * image.width} pixels selected"
        axes.set_title(title if image.planes == 1 else f"plane {plane}: {title}", fontsize=9)
    return figure


def draw_truth_table(theta: Array, inputs: int, names: Sequence[str]) -> Figure:
    """The learned truth table of a lookup. Rows: the outputs ``names``; columns: the inputs as bits, bit 0 last.

    theta: (outputs * 2^inputs,). Raises :class:`UserError` for more than :data:`MAX_TABLE_INPUTS` inputs.
    """
    if inputs > MAX_TABLE_INPUTS:
        raise UserError(f"a truth table of {inputs} inputs is too large to draw; the limit is {MAX_TABLE_INPUTS}")
    table = theta.reshape(-1, 1 << inputs)
    figure = _figure(max(4.0, 0.3 * table.shape[1] + 1.5), 0.32 * len(table) + 1.4)
    axes = figure.add_subplot()
    axes.imshow(table, cmap="Blues", vmin=0, vmax=2.2, aspect="auto")  # 2.2: keeps dark text readable
    if table.shape[1] <= 64:
        for i, j in np.ndindex(*table.shape):
            axes.text(j, i, str(table[i, j]), ha="center", va="center", fontsize=8)
    step = 1 if table.shape[1] <= 64 else 8
    rows = range(0, table.shape[1], step)
    axes.set_xticks(rows, [format(x, f"0{inputs}b") for x in rows], rotation=90, fontsize=7, family="monospace")
    axes.set_yticks(range(len(table)), list(names))
    axes.set_xlabel("input x, bit 0 last")
    return figure
