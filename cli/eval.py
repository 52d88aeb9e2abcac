"""``rdahw eval``."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rdahw.cli._data import evaluation_options, load_dataset
from rdahw.cli._options import options_of
from rdahw.cli._output import Output, output_options, percent
from rdahw.errors import UsageError, UserError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rdahw.data import Column
    from rdahw.saved import SavedModel


@click.command(
    "eval",
    short_help="measure a saved model, or predict with it",
    epilog="""\b
Examples:
  rdahw eval iris-lookup.rdahw                    on its own test examples
  rdahw eval table-lookup.rdahw --data more.csv   on another file with labels
  rdahw eval table-lookup.rdahw --data unlabelled.csv > predictions.csv""",
)
@click.argument("model", type=click.Path(path_type=Path))
@evaluation_options
@click.option("--predictions", is_flag=True, help="print every prediction, also where there are labels")
@output_options
def command(output: Output, model: Path, data: str | None, label: str | None, predictions: bool) -> None:
    """Measure a saved model: accuracy and confusion matrix, or the predictions where the data have no labels.

    An example counts as right when all output bits are those of its label. Outputs that are the code of no class are
    predictions of no class, shown as «–».
    """
    from rdahw.saved import load_model

    saved = load_model(model)
    result = {"model": str(model), **evaluate(output, saved, classifier(output, saved), data, label, predictions)}
    output.json(result)


def classifier(output: Output, saved: SavedModel) -> Callable[[NDArray[np.uint8]], NDArray[np.int64]]:
    """What a saved model makes of bits (N, A): class numbers (N,), -1 for outputs that are the code of no class."""
    from rdahw.cli._hdl import compiling
    from rdahw.sim.engines import predict, predicting_row

    def classify(x: NDArray[np.uint8]) -> NDArray[np.int64]:
        with compiling(output, predicting_row(saved.spec, len(x)).is_compiled):
            return predict(saved.spec, saved.best_state, x)

    return classify


def evaluate(
    output: Output,
    saved: SavedModel,
    classify: Callable[[NDArray[np.uint8]], NDArray[np.int64]],
    data: str | None,
    label: str | None,
    predictions: bool,
) -> dict[str, Any]:
    """Measure ``classify``, from bits (N, A) to class numbers (N,), -1 for none, as ``saved`` reads and names them:
    print for people what came out, and give it as JSON.
    """
    features, labels, source = load_examples(output, saved, data, label)
    names = saved.schema.label_names
    predicted = classify(saved.binariser.transform(features))
    result: dict[str, Any] = {"data": source, "examples": len(predicted)}
    if labels is None or predictions:
        result["predictions"] = [names[c] if c >= 0 else None for c in predicted]
        _print_predictions(output, result["predictions"], None if labels is None else [names[c] for c in labels])
    if labels is not None:
        correct = int((predicted == labels).sum())
        confusion = count_confusions(predicted, labels, len(names))
        result |= {
            "accuracy": correct / len(labels),
            "correct": correct,
            "classes": list(names),
            "confusion": confusion.tolist(),
        }
        if not predictions:
            output.line(f"{source}: {percent(correct, len(labels))} right ({correct} of {len(labels)})")
            # The column of no class only where there is one of it.
            columns = (*names, "–") if confusion[:, -1].any() else names
            rows = [(name, *map(int, row[: len(columns)])) for name, row in zip(names, confusion, strict=True)]
            output.table(("label \\ predicted", *columns), rows)
    return result


def load_examples(
    output: Output, saved: SavedModel, data: str | None, label: str | None
) -> tuple[NDArray[Any], NDArray[np.int64] | None, str]:
    """Features, labels if there are any, and what they are."""
    from rdahw.data import NAMES, read_examples

    if data is not None and data not in NAMES:
        return *read_examples(data, saved.schema, label=label), data
    if label is not None:
        raise UsageError(f"--label {label} is for a file of examples; give the file with --data")
    given: dict[str, Any] = {"data": data, "classes": True}
    options = options_of(saved) if data is None else given
    if options is None:
        raise UserError("the model does not say what it was trained on; give the data with --data")
    dataset = load_dataset(
        output,
        options["data"],
        # those of the model, in its order; options say them as text
        classes=None if options["classes"] is None else saved.schema.label_names,
        **{name: options[name] for name in ("label", "test", "split", "seed") if name in options},
    )
    if data is None and dataset.checksum != saved.provenance.get("data_sha256"):
        output.log(f"note: {dataset.name} has changed since the training")
    if dataset.schema.columns != saved.schema.columns:
        raise UserError(
            f"{dataset.name!r} has {_kinds(dataset.columns)}, and the model was trained on "
            f"{_kinds(saved.schema.columns)}; give data like those of the training with --data"
        )
    if dataset.test is None:
        raise UserError(f"{dataset.name!r} has no test part; give examples with --data FILE")
    return dataset.test.features, dataset.test.labels, f"{dataset.name} (test part)"


def _kinds(columns: Sequence[Column]) -> str:
    """«3 number and 1 binary features»."""
    kinds = Counter(column.kind for column in columns)
    return " and ".join(f"{count} {kind}" for kind, count in kinds.items()) + " features"


def count_confusions(predicted: NDArray[np.int64], labels: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """How often label r was predicted as c, (classes, classes + 1); the last column is no class."""
    import numpy as np

    counts = np.zeros((classes, classes + 1), np.int64)
    np.add.at(counts, (labels, predicted), 1)  # no class is -1, the last column
    return counts


def _print_predictions(output: Output, predicted: list[str | None], labels: list[str] | None) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["prediction"] if labels is None else ["prediction", "label"])
    for i, name in enumerate(predicted):
        writer.writerow(["" if name is None else name, *([] if labels is None else [labels[i]])])
    output.line(text.getvalue().rstrip("\n"))
