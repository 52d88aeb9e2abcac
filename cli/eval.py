"""``rdahw eval``."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import click

from rdahw.bits import BitRows, PackedBits
from rdahw.cli._data import load_dataset, to_wires
from rdahw.cli._options import READING, options_of
from rdahw.cli._output import Output, output_options
from rdahw.cli._params import MISSING_RULES, evaluation_options, model_argument
from rdahw.errors import UsageError, UserError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rdahw.data import Column, Dataset
    from rdahw.saved import SavedModel

#: What further examples have and training had not.
_NEW = {
    "unknown_categories": "a category of column {!r} that training did not have",
    "missing_values": "no value in column {!r}, which all had in training",
}
#: So many columns are named in warnings.
_MOST_NEW = 5


@click.command(
    "eval",
    epilog="""\b
Examples:
  rdahw eval iris-lookup.rdahw                    on its own test examples
  rdahw eval table-lookup.rdahw --data more.csv   on another file with labels
  rdahw eval table-lookup.rdahw --data unlabelled.csv > predictions.csv
  rdahw eval mnist-ensemble.rdahw --margins       predictions, and how clear""",
)
@model_argument
@evaluation_options
@click.option("--predictions", is_flag=True, help="print every prediction, also where there are labels")
@click.option(
    "--margins",
    is_flag=True,
    help="print beside every prediction how far the score of the class is above that of the next one, or each label's "
    "above the middle",
)
@output_options
def command(output: Output, model: Path, data: str | None, predictions: bool, margins: bool, **reading: Any) -> None:
    """Measure a saved model: accuracy and confusion matrix; R2, RMSE and MAE of numbers; F1 and Hamming loss where
    examples have several labels; or the predictions if the data have no labels.

    A prediction is right when all output bits are those of the label. An output that is the code of no class is shown
    as «–».
    """
    from rdahw.saved import load_model

    saved = load_model(model)
    clear = _margins_of(output, saved) if margins else None
    classify = classifier(output, saved)
    result = evaluate(output, saved, classify, data, reading, predictions or margins, clear)
    output.json({"model": str(model), **result})


def classifier(output: Output, saved: SavedModel) -> Callable[[BitRows], NDArray[np.int64]]:
    """A function from bits (N, A) to the model's predictions (N,): class numbers, -1 for the code of no class, or steps
    of the target."""
    from rdahw.cli._engine import compiling
    from rdahw.sim.engines import predict, predicting_row

    def classify(x: BitRows) -> NDArray[np.int64]:
        with (
            output.progress("predicting", "examples") as bar,
            compiling(output, predicting_row(saved.spec, len(x)).is_compiled),
        ):
            return predict(saved.spec, saved.best_state, x, bar)

    return classify


def _margins_of(output: Output, saved: SavedModel) -> Callable[[BitRows], list[Any]]:
    """A function from bits (N, A) to the margins of the model's predictions, N numbers or lists of one for each label.
    Raises UsageError if predictions have none."""
    from rdahw.sim.engines import class_scores
    from rdahw.tasks import TASKS

    find = TASKS[saved.schema.task].margins
    if find is None:
        raise UsageError(f"--margins is for classes and labels, and the task is {saved.schema.task}; leave it out")

    def margins(x: BitRows) -> list[Any]:
        with output.progress("scoring", "examples") as bar:
            scores = class_scores(saved.spec, saved.best_state, x, bar)
            return [margin for part in scores for margin in find(part).tolist()]

    return margins


def evaluate(
    output: Output,
    saved: SavedModel,
    classify: Callable[[BitRows], NDArray[np.int64]],
    data: str | None,
    reading: Mapping[str, Any],
    predictions: bool,
    margins: Callable[[BitRows], list[Any]] | None = None,
    *,
    keeps_features: bool = False,
) -> dict[str, Any]:
    """Measure ``classify``, from bits (N, A) to class numbers (N,), -1 for none, or to steps of the target, with the
    binariser and the labels of ``saved``; print the result for people and return it as JSON. ``predictions``: print
    them, also where there are labels; ``margins``: gives their margins; ``keeps_features``: the bits have the features
    as their source.
    """
    from rdahw.tasks import TASKS

    features, labels, source = load_examples(output, saved, data, reading)
    new = count_new(output, saved, features)
    schema = saved.schema
    task = TASKS[schema.task]
    x = to_wires(output, saved.binariser, features)
    if keeps_features and x.source is None:
        x = PackedBits(x.words, x.shape[1], features)
    del features  # they may be large, and are not read again
    predicted = classify(x)
    result: dict[str, Any] = {"data": source, "examples": len(predicted), **new}
    if labels is None or predictions:
        columns = {"prediction": task.said(predicted, schema)}
        if labels is not None:
            columns["label"] = task.names(labels, schema)
        if margins is not None:
            columns["margin"] = result["margins"] = margins(x)
        result["predictions"] = columns["prediction"]
        _print_columns(output, columns)
    if labels is not None:
        measured = task.evaluate(source, predicted, labels, schema)
        result |= measured.to_json()
        if not predictions:
            output.line(f"{source}: {measured.line()}")
            titles, rows = measured.table()
            if titles:
                output.table(titles, rows)
    return result


def load_examples(
    output: Output,
    saved: SavedModel,
    data: str | None,
    reading: Mapping[str, Any] = MappingProxyType({}),
    own: Dataset | None = None,
) -> tuple[NDArray[Any], NDArray[Any] | None, str]:
    """Features, labels (None if there are none), and the name of the data. reading: how to read a file. own: what
    :func:`load_own` gives, if it is loaded."""
    from rdahw.data import NAMES, read_examples

    if data is not None and data not in NAMES:
        resize = (options_of(saved) or {}).get("resize") is not None
        with output.progress("reading", "bytes") as bar:
            more: dict[str, Any] = {"resize": resize, "progress": bar, "log": output.log_once}
            return *read_examples(data, saved.schema, **more, **reading), data
    for name in ("label", "delimiter", "header"):
        if (value := reading.get(name)) is not None:
            said = f"--{name} {value}" if isinstance(value, str) else "--header" if value else "--no-header"
            raise UsageError(f"{said} needs a file of examples; give the file with --data")
    if (missing := reading.get("missing", MISSING_RULES[0])) != MISSING_RULES[0]:
        raise UsageError(f"--missing {missing} needs a file of examples; give the file with --data")
    dataset = load_own(output, saved, data) if own is None or data is not None else own
    if dataset.test is None:
        raise UserError(f"{dataset.name!r} has no test part; give examples with --data FILE")
    return dataset.test.features, dataset.test.labels, f"{dataset.name} (test part)"


def load_own(output: Output, saved: SavedModel, data: str | None = None) -> Dataset:
    """The data that ``saved`` was trained on, or the data set of this name; raises :class:`UserError` if they are not
    there or do not fit."""
    from rdahw.data import LABELS, task_of

    given: dict[str, Any] = {"data": data, "classes": LABELS[saved.schema.task].are_classes or None}
    if data is not None and saved.schema.task != task_of(data):
        raise UsageError(
            f"the task of the data set {data!r} is {task_of(data)}, and the model is for {saved.schema.task}; give "
            "other data with --data"
        )
    options = options_of(saved) if data is None else given
    if options is None:
        raise UserError("the model does not name its training data; give data with --data")
    dataset = load_dataset(
        output,
        options["data"],
        # the model's classes in its order
        classes=None if options["classes"] is None else saved.schema.label_names,
        **{
            name: options[name]
            for name in (*READING, "test", "split", "resize", "seed", "task", "normal", "sequence")
            if name in options
        },
    )
    if data is None and dataset.checksum != saved.provenance.get("data_sha256"):
        output.log(f"note: {dataset.name} has changed since the training")
    if dataset.schema.columns != saved.schema.columns:
        raise UserError(
            f"{dataset.name!r} has {_kinds(dataset.columns)}, and the model was trained on "
            f"{_kinds(saved.schema.columns)}; give data with the training data's features"
        )
    return dataset


def count_new(output: Output, saved: SavedModel, features: NDArray[Any]) -> dict[str, dict[str, int]]:
    """Warn of categories that training did not have and of missing values in columns without any in training; gives
    the number of examples by the names of the columns, as JSON."""
    from rdahw.data.marks import count_unseen

    counts, binariser = count_unseen(saved.schema.columns, features), saved.binariser
    found = {}
    for what, each in zip(_NEW, counts, strict=True):
        columns = each.nonzero()[0]
        for i in columns[:_MOST_NEW]:
            has = _NEW[what].format(binariser.names[i])
            way = "the bit for rare categories is 1" if binariser.rare[i] else "all bits of the column are 0"
            output.log(f"warning: {each[i]} of {len(features)} examples have {has}; {way}")
        if len(columns) > _MOST_NEW:
            output.log(f"warning: the same in {len(columns) - _MOST_NEW} more columns")
        if len(columns):
            found[what] = {binariser.names[i]: int(each[i]) for i in columns}
    return found


def _kinds(columns: Sequence[Column]) -> str:
    """«3 number and 1 binary features»."""
    kinds = Counter(column.kind for column in columns)
    return " and ".join(f"{count} {kind}" for kind, count in kinds.items()) + " features"


def _cell(said: Any) -> Any:
    """What is predicted as a cell of CSV: nothing for none, and several labels with ; between them."""
    return ";".join(map(str, said)) if isinstance(said, list) else "" if said is None else said


def _print_columns(output: Output, columns: Mapping[str, list[Any]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(map(_cell, row) for row in zip(*columns.values(), strict=True))
    output.line(text.getvalue().rstrip("\n"))
