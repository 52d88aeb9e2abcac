"""``rdahw reproduce``."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

import click

from rdahw.cli._data import load_dataset, to_bits
from rdahw.cli._output import Output, output_options
from rdahw.errors import MissingError, UserError

#: The accuracy that the paper reports for MNIST, 0 against 1, in percent with one decimal.
_PAPER_MNIST = "99.2"


@click.command(
    "reproduce",
    epilog="\b\nExamples:\n  rdahw reproduce\n  rdahw reproduce --data iris\n  rdahw reproduce --json",
)
@click.option("--data", type=click.Choice(["iris", "mnist"]), help="run the experiments on this alone  [default: both]")
@output_options
def command(output: Output, data: str | None) -> None:
    """Run the five experiments of the paper and compare the results with those of the paper's own program.

    Wilson and Zanasi, Reverse derivative ascent, arXiv 2101.10488, section 5. For Iris every parameter bit after every
    update and every prediction is compared; for MNIST only the accuracy, because the paper gives no more.
    """
    rows = [] if data == "mnist" else [_iris(output, golden) for golden in paper_iris()]
    missing = None
    try:
        rows += [] if data == "iris" else [_mnist(output)]
    except MissingError as error:
        missing = error
    output.json({"experiments": rows, "same": all(row["same"] for row in rows) and missing is None})
    output.table(
        ("experiment", "the paper's program", "here", "compared", "same"),
        [
            (r["experiment"], f"{r['paper']} %", f"{r['here']} %", r["compared"], "yes" if r["same"] else "NO")
            for r in rows
        ],
    )
    if different := [row["experiment"] for row in rows if not row["same"]]:
        raise UserError(f"{', '.join(different)}: differs from the paper's program; please report it")
    if missing is not None:
        raise missing


def paper_iris() -> Any:
    """The results of the paper's own program on Iris: data, parameters after every update, predictions."""
    return json.loads(resources.files("rdahw.data").joinpath("paper-iris.json").read_text())


def _iris(output: Output, golden: dict[str, Any]) -> dict[str, Any]:
    import numpy as np

    from rdahw.data import encode, fit_binariser, load
    from rdahw.families import find_family
    from rdahw.family import Task
    from rdahw.sim.engines import make_engine
    from rdahw.sim.reference import run
    from rdahw.state import pack_bits
    from rdahw.training import Schedule, Training

    classes, code = golden["name"].split(" ")
    names = ("Iris-setosa", "Iris-versicolor", "Iris-virginica")[: 2 if classes == "two-class" else 3]
    dataset = load("iris", classes=names)
    binariser = fit_binariser(dataset)
    assert dataset.test is not None, "the paper's split has a test part"
    train, test = (to_bits(output, binariser, part, dataset.schema) for part in (dataset.train, dataset.test))
    spec = find_family("lookup").spec(Task.of(dataset.schema, binariser), labels=code)
    engine = make_engine(spec, "reference")
    training = Training(engine, Schedule(), train)
    after_each = [engine.state["parameters"], *(engine.state["parameters"] for _ in training.run(1))]
    here = [format(int.from_bytes(pack_bits(theta), "little"), "x") for theta in after_each]
    outputs = run(spec.learner().model.predictor, engine.state["parameters"], np.asarray(test.x))[0]
    numbers = [int.from_bytes(pack_bits(row), "little") for row in outputs]
    right = int((outputs == encode(test.labels, spec.classes, spec.code)).all(axis=1).sum())
    same = here == golden["parameters_after_each_update"] and numbers == golden["test_predictions"]
    return {
        "experiment": f"Iris, {golden['name']}",
        "paper": f"{100 * golden['accuracy']:.1f}",
        "here": f"{100 * right / len(test):.1f}",
        "compared": f"{len(here)} x {golden['parameter_bits']} parameter bits, {len(numbers)} predictions",
        "same": same,
    }


def _mnist(output: Output) -> dict[str, Any]:
    from rdahw.data import fit_binariser
    from rdahw.families import find_family
    from rdahw.family import Task
    from rdahw.sim.engines import make_engine, predict
    from rdahw.training import Schedule, Training

    dataset, held_out = load_dataset(output, "mnist", classes=("0", "1")).hold_out(1265)
    binariser = fit_binariser(dataset, "threshold=32")
    assert dataset.test is not None, "MNIST has a test part"
    parts = dataset.train, held_out, dataset.test
    train, validation, test = (to_bits(output, binariser, part, dataset.schema) for part in parts)
    spec = find_family("mask").spec(Task.of(dataset.schema, binariser), k=4, labels="binary")
    training = Training(make_engine(spec, "reference"), Schedule(updates=999), train, validation)
    with output.progress("learning", "updates") as bar:
        for done in training.run():
            bar(done.updates, training.total_updates)
    predicted = predict(spec, {"parameters": training.parameters}, test.x)
    here = f"{100 * (predicted == test.labels).mean():.1f}"
    return {
        "experiment": "MNIST, 0 against 1",
        "paper": _PAPER_MNIST,
        "here": here,
        "compared": f"accuracy on {len(test)} images",
        "same": here == _PAPER_MNIST,
    }
