"""``rdahw report``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rdahw.cli._output import Output, output_options
from rdahw.cli._params import evaluation_options, file_option, model_argument
from rdahw.errors import MissingError, UserError

if TYPE_CHECKING:
    from rdahw.saved import SavedModel
    from rdahw.tasks import Evaluation

__all__ = ["check_report", "command", "write_report"]


@click.command(
    "report",
    epilog="""\b
Examples:
  rdahw report mnist-ensemble.rdahw
  rdahw report mnist-ensemble.rdahw --data more.csv --out more.html
  rdahw report mnist-ensemble.rdahw --pictures figures --format png""",
)
@model_argument
@evaluation_options
@file_option("--out", help="save the page here  [default: MODEL.html]")
@file_option("--pictures", metavar="FOLDER", help="save each picture here as well")
@click.option(
    "--format",
    "kind",
    type=click.Choice(["svg", "png"]),
    default="svg",
    show_default=True,
    help="format of the pictures in --pictures",
)
@output_options
def command(
    output: Output, model: Path, data: str | None, out: Path | None, pictures: Path | None, kind: str, **reading: Any
) -> None:
    """Show a saved model as one page of HTML: accuracy, training curve, mistakes, important features and options.

    The page needs no network and runs no script. Drawing needs pip install 'rdahw[plot]'.
    """
    from rdahw.saved import load_model

    out = out or model.with_suffix(".html")
    check_report(out)
    saved = load_model(model)
    evaluation = _evaluate(output, saved, data, reading)
    _write(saved, evaluation, out)
    names = {} if pictures is None else _draw(saved, evaluation, pictures, kind)
    output.json({"model": str(model), "out": str(out), "pictures": names})
    output.line(f"page      {out}")
    for name, path in names.items():
        output.line(f"picture   {path} ({name.replace('-', ' ')})")


def check_report(out: Path) -> None:
    """Raise :class:`MissingError` if pictures cannot be drawn, and :class:`UserError` if ``out`` cannot be written."""
    from rdahw.files import check_writable

    try:
        import rdahw.report  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.startswith("rdahw"):
            raise
        raise MissingError(f"a report needs {error.name}, which is not installed; pip install 'rdahw[plot]'") from error
    check_writable(out)


def write_report(output: Output, model: Path, out: Path) -> None:
    """Write the page of a saved model, evaluated on the test part of its own data if there is one."""
    from rdahw.saved import load_model

    saved = load_model(model)
    _write(saved, _evaluate(output, saved, None, {}), out)
    output.log(f"page: {out}")


def _write(saved: SavedModel, evaluation: Evaluation | None, out: Path) -> None:
    from rdahw.files import write_atomically
    from rdahw.report import make_report

    write_atomically(out, make_report(saved, evaluation).encode())


def _draw(saved: SavedModel, evaluation: Evaluation | None, folder: Path, kind: str) -> dict[str, str]:
    from rdahw.pictures import save_picture
    from rdahw.report import draw_pictures

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"the folder {str(folder)!r} cannot be created ({error.strerror}); choose another") from error
    paths = {}
    for name, figure in draw_pictures(saved, evaluation).items():
        path = folder / f"{name}.{kind}"
        save_picture(figure, path)
        paths[name] = str(path)
    return paths


def _evaluate(output: Output, saved: SavedModel, data: str | None, reading: Mapping[str, Any]) -> Evaluation | None:
    """The model measured on ``data``, or on the test part of its own data; None if that is not available."""
    from rdahw.cli._data import to_wires
    from rdahw.cli.eval import classifier, count_new, load_examples
    from rdahw.tasks import TASKS

    try:
        features, labels, source = load_examples(output, saved, data, reading)
    except UserError as error:
        if data is not None:
            raise
        output.log(f"without an evaluation: {error}")
        return None
    if labels is None:
        raise UserError(f"{source} has no labels to compare the predictions with; give data with labels")
    count_new(output, saved, features)
    predicted = classifier(output, saved)(to_wires(output, saved.binariser, features))
    return TASKS[saved.schema.task].evaluate(source, predicted, labels, saved.schema)
