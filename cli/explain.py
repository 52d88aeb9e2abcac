"""``rdahw explain``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rdahw.cli._output import Output, in_line, output_options
from rdahw.cli._params import count_option, data_option, file_option, model_argument, reading_options
from rdahw.cli.dream import check_picture, complete_classes
from rdahw.errors import UsageError, UserError, nearest
from rdahw.wording import plural

if TYPE_CHECKING:
    from fractions import Fraction

    from numpy.typing import NDArray

    from rdahw.data import Column
    from rdahw.primitives import Array
    from rdahw.saved import SavedModel
    from rdahw.shapley import Players, Shapley

__all__ = ["command", "spaced"]

#: So many inputs are in the table, and so many training examples in the background.
_SHOWN, _BACKGROUND = 10, 100


@click.command(
    "explain",
    epilog="""\b
Examples:
  rdahw explain iris-ensemble.rdahw --row 60
  rdahw explain mnist-grown.rdahw --row 7 --out seven.png
  rdahw explain mnist-grown.rdahw --row 7 --class 4 --top 30
  rdahw explain table.rdahw --row 0 --data more.csv --against more.csv --json""",
)
@model_argument
@click.option("--row", "number", type=click.IntRange(0), required=True, metavar="N",
              help="explain this example of the test part, or of --data, counted from 0")  # fmt: skip
@click.option("--class", "wanted", metavar="C", shell_complete=complete_classes,
              help="explain the score of this class or label  [default: that of the largest score]")  # fmt: skip
@data_option(help="take the example of --row from this")
@click.option("--against", metavar="DATA",
              help="compare with examples of this file instead of the model's training data")  # fmt: skip
@click.option("--background", "count", type=click.IntRange(1, 1000), default=_BACKGROUND, show_default=True,
              metavar="N", help="compare with so many examples, evenly spaced")  # fmt: skip
@reading_options
@count_option("--top", metavar="K", help=f"print so many inputs  [default: {_SHOWN}, and with --json all]")
@file_option("--out", help="draw the example and the value of each pixel, as SVG or PNG; for images only")
@output_options
def command(
    output: Output,
    model: Path,
    number: int,
    wanted: str | None,
    data: str | None,
    against: str | None,
    count: int,
    top: int | None,
    out: Path | None,
    **reading: Any,
) -> None:
    """Say exactly how much each input adds to a score of a prediction, as Shapley values.

    The value of a column (of images, a pixel) is the mean, over all orders of the columns, of how much the score
    changes when its value in the background is replaced by that in the example; the background is training examples.
    The values sum to the score less the mean score of the background. They are fractions without rounding, as the
    scores of the models ensemble, grown, boosted and coverage are sums of small tables; other models are refused.

    The score of a number is what is predicted, in steps, before it is rounded; that of the task anomaly is below 0 for
    an anomaly.
    """
    from rdahw.saved import load_model
    from rdahw.shapley import of_class, players, score_tables, shapley
    from rdahw.sim.engines import predict
    from rdahw.table_scores import TableScores
    from rdahw.tasks import TASKS

    saved = load_model(model)
    tables = score_tables(saved.spec, saved.best_state)
    task = TASKS[saved.schema.task]
    names = task.scored(saved.schema)
    if wanted is not None and wanted not in names:
        raise UsageError(f"the model has no score for {wanted!r}; {nearest(wanted, names)}")
    if out is not None:
        check_picture(saved, out)
    row, source = _example(output, saved, number, data, reading)
    x = saved.binariser.transform(row[None])
    predicted = task.said(predict(saved.spec, saved.best_state, x), saved.schema)[0]
    if wanted is None:
        target = int(TableScores([tables], saved.binariser.width).scores(x)[0].argmax())
    else:
        target = names.index(wanted)
    background, known = _background(output, saved, count, against, reading)
    its = players(saved.binariser)
    with output.progress("explaining", "tables") as bar:
        found = shapley(
            of_class(tables, target),
            its.owners,
            x[0],
            saved.binariser.transform(background),
            bar,
            players=len(its.names),
            parts=saved.spec.score_parts,
        )
    output.json({"model": str(model), "data": source, "row": number, "predicted": predicted, "class": names[target]})
    shown = (", ".join(predicted) or "no label") if isinstance(predicted, list) else str(predicted)
    output.line(f"row       {number} of {source}, predicted {in_line(shown)}")
    _tell(output, saved, its, found, row, (names[target], known), top)
    if out is not None:
        _draw(saved, x[0], found, names[target], out)
        output.log(f"drew {out}")


def spaced(features: NDArray[Any], count: int = _BACKGROUND) -> NDArray[Any]:
    """``count`` examples, evenly spaced in features (N, F); all if there are fewer."""
    count = min(count, len(features))
    return features[[i * len(features) // count for i in range(count)]]


def _background(
    output: Output, saved: SavedModel, count: int, against: str | None, reading: dict[str, Any]
) -> tuple[NDArray[Any], str]:
    """The features of the examples to compare with, and what they are."""
    from rdahw.cli.eval import load_examples, load_own

    if against is not None:
        features, _, source = load_examples(output, saved, against, reading)
        what, of = "example", f" of {source}"
    else:
        try:
            features, what, of = load_own(output, saved).train.features, "training example", ""
        except UserError as error:
            raise UserError(f"the training data are not available ({error}); give examples to compare with by "
                            "--against DATA") from error  # fmt: skip
    features = spaced(features, count)
    return features, plural(len(features), what) + of


def _example(
    output: Output, saved: SavedModel, number: int, data: str | None, reading: dict[str, Any]
) -> tuple[NDArray[Any], str]:
    """The features (F,) of an example, and the name of the data."""
    from rdahw.cli.eval import load_examples

    features, _, source = load_examples(output, saved, data, reading)
    if number >= len(features):
        raise UsageError(f"there is no row {number} in {source}; expected one from 0 to {len(features) - 1}")
    example: NDArray[Any] = features[number]
    return example, source


def _tell(
    output: Output,
    saved: SavedModel,
    its: Players,
    found: Shapley,
    row: NDArray[Any],
    said: tuple[str, str],
    top: int | None,
) -> None:
    """Print the values; said: what the score is of, and what the background is."""
    values, baseline = [found.value(i, 0) for i in range(len(its.names))], found.baseline(0)
    order = sorted(range(len(values)), key=lambda i: (-abs(values[i]), i))
    of_columns = len(its.names) == len(saved.binariser.columns)
    shown = [_said(column, value) for column, value in zip(saved.binariser.columns, row.tolist(), strict=True)]
    score, (name, known), unit = found.score(0), said, saved.schema.target
    output.json(
        {
            "score": _number(score),
            "baseline": {"value": float(baseline), "exactly": str(baseline), "examples": known},
            "values": [
                {"input": its.names[i], "value": float(values[i]), "exactly": str(values[i])} for i in order[:top]
            ],
            **({} if unit is None else {"unit": {"zero": unit.low, "one": unit.step}}),
        }
    )
    output.line(f"score     {_both(score)} for {in_line(name)}")
    if unit is not None:
        output.line(f"          0 stands for {unit.low:g}, and 1 more for {unit.step:g} more")
    output.line(f"baseline  {_both(baseline)}, its mean over {known}")
    output.line(f"sum       {_both(sum(values, start=0 * baseline))}, the values of all {len(values)} inputs")
    rows = [
        (
            its.names[i],
            *([shown[i]] if of_columns else []),
            f"{float(values[i]):+.4g}",
            str(values[i]),
            *([] if unit is None else [f"{float(values[i]) * unit.step:+.4g}"]),
        )
        for i in order[: top or _SHOWN]
        if values[i]
    ]
    units = [] if unit is None else [f"in {name}"]
    if rows:
        output.table(("input", *(["is"] if of_columns else []), "value", "exactly", *units), rows)


def _number(value: Fraction) -> int | float:
    return value.numerator if value.denominator == 1 else float(value)


def _both(value: Fraction) -> str:
    """«3.5 (7/2)», or a whole number alone."""
    return str(value) if value.denominator == 1 else f"{float(value):.6g} ({value})"


def _said(column: Column, value: float) -> str:
    if value != value:
        return "missing"
    if column.kind == "category":
        return column.categories[int(value)] if value >= 0 else "unknown"
    return f"{value:g}"


def _draw(saved: SavedModel, x: Array, found: Shapley, name: str, out: Path) -> None:
    from rdahw.cli.dream import picture_of
    from rdahw.pictures import draw_shapley, save_picture

    picture = picture_of(saved, x)
    values = found.values[:, 0]
    save_picture(draw_shapley(picture, values.reshape(-1, *picture.shape[-2:]), name), out)
