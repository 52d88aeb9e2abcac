"""``rdahw report``."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rdahw.cli._output import Output, output_options
from rdahw.cli._params import evaluation_options, file_option, model_argument
from rdahw.errors import MissingError, UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rdahw.data import Dataset
    from rdahw.saved import SavedModel
    from rdahw.tasks import Evaluation

    #: Features, labels, and the name of the data.
    _Examples = tuple[NDArray[Any], NDArray[Any], str]

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

    In the page the model can be tried: draw an image, or set the columns, and see its bits, votes and tables, and exact
    Shapley values. The page needs no network. Drawing needs pip install 'rdahw[plot]'.
    """
    from rdahw.saved import load_model

    out = out or model.with_suffix(".html")
    check_report(out)
    saved = load_model(model)
    evaluation, size = _make(output, saved, data, reading, out)
    names = {} if pictures is None else _draw(saved, evaluation, pictures, kind)
    output.json({"model": str(model), "out": str(out), "bytes": size, "pictures": names})
    output.line(f"page      {out}, {size / 1e6:.2f} MB")
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

    _make(output, load_model(model), None, {}, out)
    output.log(f"page: {out}")


def _make(
    output: Output, saved: SavedModel, data: str | None, reading: Mapping[str, Any], out: Path
) -> tuple[Evaluation | None, int]:
    """Write the page of a saved model; gives what was measured, and the size of the page in bytes."""
    from rdahw.cli.eval import load_own
    from rdahw.files import write_atomically
    from rdahw.report import make_report

    own = None
    with contextlib.suppress(UserError):  # which reading the examples raises again
        own = load_own(output, saved)
    examples = _examples(output, saved, data, reading, own)
    evaluation = None if examples is None else _evaluate(output, saved, *examples)
    panel, without = _panel(output, saved, examples, own)
    page = make_report(saved, evaluation, panel=panel, without=without).encode()
    write_atomically(out, page)
    return evaluation, len(page)


def _panel(
    output: Output, saved: SavedModel, examples: _Examples | None, own: Dataset | None
) -> tuple[dict[str, Any] | None, str]:
    """The data of the panel; or why the page has none."""
    from rdahw.cli.explain import spaced
    from rdahw.sim.panel import EXAMPLES, make_panel
    from rdahw.tasks import TASKS

    features, said = None, None
    if examples is not None:
        features = examples[0][:EXAMPLES]
        said = list(map(str, TASKS[saved.schema.task].names(examples[1][:EXAMPLES], saved.schema)))
    try:
        return make_panel(saved, features, said, None if own is None else spaced(own.train.features)), ""
    except UserError as error:
        output.log(f"the page cannot run the model: {error}")
        return None, str(error)


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


def _examples(
    output: Output, saved: SavedModel, data: str | None, reading: Mapping[str, Any], own: Dataset | None
) -> _Examples | None:
    """The features and labels of ``data``, or of the test part of the model's own data, and their name; None if these
    are not available."""
    from rdahw.cli.eval import load_examples

    try:
        features, labels, source = load_examples(output, saved, data, reading, own)
    except UserError as error:
        if data is not None:
            raise
        output.log(f"without an evaluation: {error}")
        return None
    if labels is None:
        raise UserError(f"{source} has no labels to compare the predictions with; give data with labels")
    return features, labels, source


def _evaluate(
    output: Output, saved: SavedModel, features: NDArray[Any], labels: NDArray[Any], source: str
) -> Evaluation:
    """The model measured on examples."""
    from rdahw.cli._data import to_wires
    from rdahw.cli.eval import classifier, count_new
    from rdahw.tasks import TASKS

    count_new(output, saved, features)
    predicted = classifier(output, saved)(to_wires(output, saved.binariser, features))
    return TASKS[saved.schema.task].evaluate(source, predicted, labels, saved.schema)
