"""``rdahw dream``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rdahw.cli._output import Output, output_options
from rdahw.cli._params import count_option, data_option, file_option, model_argument, reading_options
from rdahw.errors import UsageError, nearest
from rdahw.family import USUAL_TASK

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from click.shell_completion import CompletionItem
    from numpy.typing import NDArray

    from rdahw.data.inputs import Choice
    from rdahw.primitives import Array
    from rdahw.saved import SavedModel


def complete_classes(ctx: click.Context, parameter: click.Parameter, word: str) -> list[CompletionItem]:
    """Shell completion: the classes of the model that is named before."""
    from click.shell_completion import CompletionItem

    from rdahw.errors import UserError
    from rdahw.saved import load_model

    # Click leaves the model among the other words, as the option before the cursor has no value yet.
    given = [name for name in (ctx.params.get("model"), *ctx.args) if name is not None]
    try:
        names = load_model(Path(given[0])).schema.label_names if given else ()
    except UserError:
        names = ()
    return [CompletionItem(name) for name in names if name.startswith(word)]


@click.command(
    "dream",
    epilog="""\b
Examples:
  rdahw dream iris-ensemble.rdahw --class Iris-virginica
  rdahw dream mnist-grown.rdahw --class 3 --out three.svg
  rdahw dream mnist-grown.rdahw --class 3 --from 0 --out from-seven.png
  rdahw dream table.rdahw --class yes --from 2 --data more.csv --json""",
)
@model_argument
@click.option("--class", "wanted", required=True, metavar="C", shell_complete=complete_classes,
              help="learn an input of this class")  # fmt: skip
@click.option("--from", "number", type=click.IntRange(0), metavar="EXAMPLE",
              help="start from this example of the test part, or of --data, counted from 0  [default: an input whose "
              "columns have their first values]")  # fmt: skip
@count_option("--steps", default=200, help="change at most this many columns, one at a time")
@click.option("--seed", type=click.IntRange(0), metavar="N", help="start from random values, made by this seed")
@data_option(help="take the example of --from from this")
@reading_options
@file_option("--out", help="draw the start, the dream and what changed, as SVG or PNG; for images only")
@output_options
def command(
    output: Output,
    model: Path,
    wanted: str,
    number: int | None,
    steps: int,
    seed: int | None,
    data: str | None,
    out: Path | None,
    **reading: Any,
) -> None:
    """Learn an input for which a trained model predicts a class, by reverse derivative ascent on the input.

    The parameters are held. Each step changes the column whose request, π_A R[f], is the largest, until no change makes
    the class clearer. The result is what data can have: thermometers stay in order, a category is one of the known
    ones. It is then predicted by the model as rdahw eval does. Exit code 0 also if the class was not reached, which the
    result says.
    """
    from rdahw.data.inputs import choices
    from rdahw.saved import load_model
    from rdahw.sim.dream import dream, make_scores, start

    saved = load_model(model)
    target = find_class(saved, wanted)
    if out is not None:
        check_picture(saved, out)
    if data is not None and number is None:
        raise UsageError("--data says where the example of --from is; give --from EXAMPLE, or leave --data out")
    if seed is not None and number is not None:
        raise UsageError("--seed starts from random values and --from from an example; leave one of them out")
    options = choices(saved.binariser)
    first = start(options, saved.spec.input_bits, seed)
    if number is not None:
        first = _example(output, saved, number, data, reading)
    scores = make_scores(saved.spec, saved.best_state)
    with output.progress("dreaming", "steps") as bar:
        for step, each in enumerate(dream(scores, options, first, target, steps=steps, seed=seed or 0)):
            found = each
            bar(step, steps)
    _tell(output, saved, options, first, target, found)
    if out is not None:
        _draw(saved, first, found.x, wanted, out)
        output.log(f"drew {out}")


def find_class(saved: SavedModel, wanted: str) -> int:
    """The number of the class of this name."""
    if saved.schema.task != USUAL_TASK:
        raise UsageError(f"the task of the model is {saved.schema.task}, which has no classes to dream of; give a "
                         "model that was trained on classes")  # fmt: skip
    names = saved.schema.label_names
    if wanted not in names:
        raise UsageError(f"the model has no class {wanted!r}; {nearest(wanted, names)}")
    return names.index(wanted)


def check_picture(saved: SavedModel, out: Path) -> None:
    """Raise :class:`UsageError` if ``out`` is no name of a picture, or the inputs of ``saved`` are no images."""
    from rdahw.cli.report import check_report

    if saved.spec.image is None and saved.schema.image_shape is None:
        raise UsageError(
            "--out draws a picture, and the data of this model are not images; leave it out, or use --json"
        )
    if out.suffix.lower() not in (".svg", ".png"):
        raise UsageError(f"a picture was to be saved as {str(out)!r}; expected a name that ends in .svg or .png")
    check_report(out)


def _example(output: Output, saved: SavedModel, number: int, data: str | None, reading: dict[str, Any]) -> Array:
    """The bits (A,) of an example."""
    from rdahw.cli.eval import load_examples

    features, _, source = load_examples(output, saved, data, reading)
    if number >= len(features):
        raise UsageError(f"there is no example {number} in {source}; expected one from 0 to {len(features) - 1}")
    bits: Array = saved.binariser.transform(features[number : number + 1])[0]
    return bits


def _tell(output: Output, saved: SavedModel, options: Sequence[Choice], first: Array, target: int, found: Any) -> None:
    """Predict the dream as any example, and print it."""
    from rdahw.data.inputs import describe
    from rdahw.sim.engines import predict

    names, states = saved.schema.label_names, (first, found.x)
    before, after = (int(predict(saved.spec, saved.best_state, x[None])[0]) for x in states)
    said = [names[c] if c >= 0 else None for c in (before, after)]
    start_columns, columns = (describe(saved.binariser, options, x) for x in states)
    changed = int((first != found.x).sum())
    output.json(
        {
            "class": names[target],
            "reached": after == target,
            "predicted": said[1],
            "predicted_before": said[0],
            "margin": found.margin,
            "steps": found.changes,
            "changed_bits": changed,
            "bits": "".join(map(str, found.x.tolist())),
            "columns": columns,
        }
    )
    reached = "reached" if after == target else f"not reached: the model predicts {said[1] or 'no class'}"
    output.line(f"class     {names[target]}, {reached}")
    output.line(f"margin    {found.margin}: its score less the largest other one")
    output.line(f"steps     {found.changes}, {changed} of {len(first)} bits changed; at the start it is {said[0]}")
    if saved.schema.image_shape is None and columns:
        rows = [(row["column"], _said(was), _said(row)) for was, row in zip(start_columns, columns, strict=True)]
        output.table(("column", "at the start", "in the dream"), rows)
    elif not columns:
        output.line(f"x         {''.join(map(str, found.x.tolist()))}")


def _said(column: dict[str, Any]) -> str:
    """«above 2.45, to 4.75»."""
    if "value" in column:
        value = column["value"]
        return "missing" if value is None else value if isinstance(value, str) else f"{value:g}"
    low, high = column["above"], column["to"]
    words = [f"{name} {bound:g}" for name, bound in (("above", low), ("to", high)) if bound is not None]
    return ", ".join(words) or "any"


def _draw(saved: SavedModel, first: Array, x: Array, wanted: str, out: Path) -> None:
    from rdahw.pictures import draw_dream, save_picture

    save_picture(draw_dream(picture_of(saved, first), picture_of(saved, x), wanted), out)


def picture_of(saved: SavedModel, x: Array) -> NDArray[np.float64]:
    """The example x (A,) as an image of levels from 0 to 1, (height, width) or (planes, height, width)."""
    from rdahw.data.inputs import choices, pixels

    if saved.binariser.has_thresholds:
        shape = saved.schema.image_shape
        assert shape is not None
        return pixels(choices(saved.binariser), x).reshape(shape)
    assert saved.spec.image is not None
    return x.reshape(saved.spec.image).astype(float)
