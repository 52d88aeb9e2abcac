"""``rdahw binarise``."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from rdahw.cli._output import Output, output_options, percent
from rdahw.cli._params import file_option, model_argument
from rdahw.errors import UsageError, UserError

if TYPE_CHECKING:
    from rdahw.family import Binarised
    from rdahw.saved import SavedModel


@click.command(
    "binarise",
    epilog="""\b
Examples:
  rdahw binarise mnist-ensemble.rdahw
  rdahw binarise mnist-ensemble.rdahw --epochs 5
  rdahw binarise digits.rdahw --labels one-hot --out digits-circuit.rdahw""",
)
@model_argument
@click.option(
    "--epochs",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    metavar="N",
    help="first train for N more epochs on the training data with the signs alone (fine-tuning)",
)
@click.option(
    "--margin",
    type=click.IntRange(0),
    metavar="N",
    help="margin of the fine-tuning, in tables  [default: 1/25 a table]",
)
@click.option(
    "--labels",
    type=click.Choice(["one-hot", "binary"]),
    default="binary",
    show_default=True,
    help="output one wire for each class, or the class number",
)
@file_option("--out", help="save the circuit here  [default: MODEL-boolean.rdahw]")
@output_options
def command(
    output: Output, model: Path, epochs: int, margin: int | None, labels: Literal["one-hot", "binary"], out: Path | None
) -> None:
    """Turn a trained ensemble into a Boolean circuit: each counter becomes one bit, 1 where it is not negative.

    The table bits are the circuit's parameters. It counts the tables' votes for each class and compares the counts.
    eval, show, export, prove and synth take it like any other saved model.
    """
    import rdahw
    from rdahw.families import all_families, find_family
    from rdahw.files import check_writable
    from rdahw.saved import SavedModel, load_model, save_model
    from rdahw.training import Progress, Schedule

    saved = load_model(model)
    rule = find_family(saved.spec.family).binarised
    if rule is None:
        known = " or ".join(family.name for family in all_families(skip_broken=True) if family.binarised)
        raise UsageError(
            f"{str(model)!r} is a model of the family {saved.spec.family!r}, which cannot be "
            f"binarised; give a model of the family {known}"
        )
    if margin is not None and not epochs:
        raise UsageError(f"--margin {margin} was given without --epochs; add --epochs N, or leave --margin out")
    out = out or model.with_name(f"{model.stem}-boolean.rdahw")
    check_writable(out)
    spec = rule.circuit(saved.spec, labels)  # raises, before any training, if the circuit is too large
    result: dict[str, Any] = {"model": str(model), **saved.spec.options()}
    if epochs:
        saved, more = _fine_tune(output, saved, rule, epochs, margin)
        result |= more
    provenance = {
        **{name: saved.provenance[name] for name in ("options", "data_sha256") if name in saved.provenance},
        "command": "rdahw binarise",
        "package_version": rdahw.__version__,
        "finished": saved.is_finished,
        saved.spec.family: saved.spec.to_json(),
        "fine_tuning_epochs": epochs,
    }
    made = SavedModel(
        spec=spec,
        state=rule.state(saved.spec, saved.best_state),
        progress=Progress(),
        schema=saved.schema,
        binariser=saved.binariser,
        schedule=Schedule(),
        provenance=provenance,
    )
    save_model(made, out)
    result |= {"labels": labels, "epochs": epochs, "parameter_bits": spec.parameters.bits, "out": str(out)}
    output.json(result)
    output.line(f"circuit   {spec.description}")
    if "test_accuracy" in result:
        output.line(f"test      {percent(result['test_correct'], result['test_examples'])} right")
    output.line(f"saved     {out}")
    file = shlex.quote(str(out))
    output.log(f"next: rdahw eval {file}, rdahw export {file} --to verilog --inference")


def _fine_tune(
    output: Output, saved: SavedModel, rule: Binarised, epochs: int, margin: int | None
) -> tuple[SavedModel, dict[str, Any]]:
    """The model after ``epochs`` epochs of training with the circuit's predictions, and the results as JSON."""
    from rdahw.cli._data import to_bits, training_bits
    from rdahw.cli._engine import compiling
    from rdahw.cli._options import options_of
    from rdahw.cli._training import describe_test, load_data
    from rdahw.sim.engines import find_engine, make_engine
    from rdahw.training import Training

    options = options_of(saved)
    if options is None:
        raise UserError("the model does not name its training data, which --epochs needs; leave --epochs out")
    dataset, _ = load_data(output, options)
    if dataset.checksum != saved.provenance.get("data_sha256"):
        raise UserError(
            f"the data {options['data']!r} have changed since the training; restore them, or leave --epochs out"
        )
    spec = rule.tuned(saved.spec, margin)
    schedule = replace(saved.schedule, epochs=epochs, updates=None)
    train = training_bits(output, spec, saved.binariser, dataset)
    test = to_bits(output, saved.binariser, dataset.test, dataset.schema)
    if options["balance"]:
        train = train.balanced()
    with compiling(output, find_engine(spec).is_compiled):
        engine = make_engine(spec)
    training = Training(engine, schedule, train, start=saved.best_state)
    with output.progress("learning", "updates", rate=True) as bar:
        for done in training.run():
            bar(done.updates, training.total_updates)
            if done.position == len(train):
                wrong = percent(done.wrong, done.position)
                output.log(f"epoch {done.epoch + 1:>{len(str(epochs))}}  {wrong} wrong")
    result = {**spec.options(), "seconds": round(training.seconds, 6)}
    if test is not None:
        correct = int((engine.predict(training.prepare(test)) == test.labels).sum())
        result |= describe_test(correct, len(test))
    return replace(saved, spec=spec, schedule=schedule, state=engine.state, progress=training.progress), result
