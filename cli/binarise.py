"""``rdahw binarise``."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from rdahw.cli._output import Output, output_options, percent
from rdahw.errors import UsageError, UserError

if TYPE_CHECKING:
    from rdahw.GONE import EnsembleState
    from rdahw.saved_ensemble import SavedEnsemble


@click.command(
    "binarise",
    short_help="make a circuit of a trained ensemble",
    epilog="""\b
Examples:
  rdahw binarise mnist-ensemble.rdahw
  rdahw binarise mnist-ensemble.rdahw --epochs 5
  rdahw binarise digits.rdahw --labels one-hot --out digits-circuit.rdahw""",
)
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--epochs",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    metavar="N",
    help="first train so often on the data of its training with the signs alone (fine-tuning)",
)
@click.option(
    "--margin", type=click.IntRange(0), metavar="N", help="margin of that training, in tables  [default: 1/25 a table]"
)
@click.option(
    "--labels",
    type=click.Choice(["one-hot", "binary"]),
    default="binary",
    show_default=True,
    help="output the class as one wire each, or as a number",
)
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="FILE", help="save it here  [default: MODEL-boolean.rdahw]"
)
@output_options
def command(
    output: Output, model: Path, epochs: int, margin: int | None, labels: Literal["one-hot", "binary"], out: Path | None
) -> None:
    """Make a Boolean circuit of a trained ensemble: each counter becomes one bit, 1 where it is not negative.

    The circuit has the table bits as its parameters, counts the votes of the tables for each class and compares the
    counts. It is a saved model as any other: eval, show, export, prove and synth take it.
    """
    import rdahw
    from rdahw.binarised import binarise_ensemble
    from rdahw.families.ensemble.circuits import boolean_model
    from rdahw.files import check_writable
    from rdahw.saved import load_model, save_model
    from rdahw.saved_ensemble import SavedEnsemble

    saved = load_model(model)
    if not isinstance(saved, SavedEnsemble):
        raise UsageError(f"{str(model)!r} is a circuit already; give an ensemble, of rdahw train --model ensemble")
    if margin is not None and not epochs:
        raise UsageError(f"--margin {margin} is of a training, and --epochs is 0; give --epochs, or leave it out")
    out = out or model.with_name(f"{model.stem}-boolean.rdahw")
    check_writable(out)
    boolean_model(saved.spec, labels)  # too large? better known before a training
    result: dict[str, Any] = {"model": str(model)}
    if epochs:
        saved, more = _fine_tune(output, saved, epochs, margin)
        result |= more
    provenance = {
        **{name: saved.provenance[name] for name in ("options", "data_sha256") if name in saved.provenance},
        "command": "rdahw binarise",
        "package_version": rdahw.__version__,
        "finished": saved.is_finished,
        "ensemble": saved.spec.to_json(),
        "fine_tuning_epochs": epochs,
    }
    made = binarise_ensemble(saved, labels, provenance)
    save_model(made, out)
    circuit = made.learner.model
    result |= {
        "tables": saved.spec.tables,
        "inputs": saved.spec.inputs,
        "labels": labels,
        "epochs": epochs,
        "parameter_bits": circuit.parameter_bits,
        "out": str(out),
    }
    output.json(result)
    output.line(f"circuit   {circuit.input_bits} -> {circuit.output_bits}, {circuit.parameter_bits} table bits")
    if "test_accuracy" in result:
        output.line(f"test      {percent(result['test_correct'], result['test_examples'])} right")
    output.line(f"saved     {out}")
    output.log(f"next: rdahw eval {out}, rdahw export {out} --to verilog --inference")


def _fine_tune(
    output: Output, saved: SavedEnsemble, epochs: int, margin: int | None
) -> tuple[SavedEnsemble, dict[str, Any]]:
    """The ensemble after so many epochs of learning through its signs, and what that gave, as JSON."""
    from rdahw.cli._ensembles import make_ensemble_engine
    from rdahw.cli._hdl import compiling
    from rdahw.cli._options import options_of
    from rdahw.cli._training import describe_test, load_data
    from rdahw.GONE import EnsembleState, EnsembleTraining
    from rdahw.families.ensemble import default_margin

    options = options_of(saved)
    if options is None:
        raise UserError("the model does not say what it was trained on, which --epochs needs; leave --epochs out")
    dataset, _ = load_data(output, options)
    if dataset.checksum != saved.provenance.get("data_sha256"):
        raise UserError(f"the data {options['data']!r} are not those of the training; get these, or leave --epochs out")
    spec = replace(
        saved.spec,
        sign=True,
        margin=default_margin(saved.spec.tables, sign=True) if margin is None else margin,
    )
    schedule = replace(saved.schedule, epochs=epochs, updates=None)
    start = EnsembleState(saved.counters, saved.state.dropout_state)
    with compiling(output, "compiled"):
        engine = make_ensemble_engine(spec, {"where": "sim", "engine": None})
    x = saved.binariser.transform(dataset.train.features)
    training = EnsembleTraining(engine, schedule, x, dataset.train.labels, state=start)
    test = None if dataset.test is None else engine.pack(saved.binariser.transform(dataset.test.features))
    result: dict[str, Any] = {"margin": spec.margin}
    seconds = time.perf_counter()
    with output.progress("learning", "examples", rate=True) as bar:
        for state in training.run():
            bar(state.examples, training.total_examples)
            if state.position == len(x):
                output.log(_line(state, epochs))
    result["seconds"] = round(time.perf_counter() - seconds, 6)
    if dataset.test is not None:
        correct = int((engine.predict(test) == dataset.test.labels).sum())
        result |= describe_test(correct, len(dataset.test))
    return replace(saved, spec=spec, schedule=schedule, state=training.checkpoint(), best=None), result


def _line(state: EnsembleState, epochs: int) -> str:
    return f"epoch {state.epoch + 1:>{len(str(epochs))}}  {percent(state.wrong, state.position)} wrong"
