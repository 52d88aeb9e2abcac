"""``rdahw device``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rdahw.cli._device import baud_option, dumped
from rdahw.cli._output import Output, complete, output_options
from rdahw.errors import UsageError

if TYPE_CHECKING:
    from rdahw.boards.host import Device, DeviceEngine
    from rdahw.saved import SavedModel


@click.command(
    "device",
    short_help="talk to a board that runs a trainer",
    epilog="""\b
Examples:
  rdahw device /dev/ttyUSB1 status
  rdahw device /dev/ttyUSB1 load iris-lookup.rdahw
  rdahw device /dev/ttyUSB1 predict iris-lookup.rdahw --data more.csv
  rdahw device /dev/ttyUSB1 dump iris-lookup.rdahw --out board.rdahw""",
)
@click.argument("port")
@click.argument("action", type=click.Choice(["load", "dump", "predict", "status"]))
@click.argument("model", type=click.Path(path_type=Path), required=False)
@baud_option
@click.option(
    "--data",
    metavar="NAME|FILE",
    shell_complete=complete("rdahw.data", "NAMES"),
    help="predict: on this instead of the test part of the training's data",
)
@click.option("--label", metavar="COLUMN", help="predict: take the labels of a CSV from this column")
@click.option("--predictions", is_flag=True, help="predict: print every prediction, also where there are labels")
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="dump: save the board's model here")
@output_options
def command(
    output: Output,
    port: str,
    action: str,
    model: Path | None,
    baud: int | None,
    data: str | None,
    label: str | None,
    predictions: bool,
    out: Path | None,
) -> None:
    """Load a trained model into the board at a port, save what the board has learned, predict on it, or ask how it is.

    \b
    load     write the parameters of MODEL into the board
    dump     save MODEL with the board's parameters to --out
    predict  measure the board on data, read and named as MODEL says
    status   what the board is, and how many examples it has learned from

    The board has to run a trainer of the same model, made by rdahw synth. A serial port has a name like /dev/ttyUSB1 or
    COM3.
    """
    from rdahw.boards.host import BAUD, DeviceEngine, connect
    from rdahw.saved import load_model

    of_predict: dict[str, Any] = {"data": data, "label": label, "predictions": predictions}
    _check_options(action, model, of_predict, out)
    saved = None if model is None else load_model(model).predictor
    result: dict[str, Any] = {"port": port, "action": action}
    with connect(port, baud=baud or BAUD, spec=None if saved is None else saved.spec) as device:
        if saved is None:
            result |= _status(output, device)
        else:
            board = DeviceEngine(device, saved.spec)
            result |= _act(output, board, action, saved, out, of_predict)
    output.json(result)


def _check_options(action: str, model: Path | None, of_predict: dict[str, Any], out: Path | None) -> None:
    if (model is None) != (action == "status"):
        wanted = "takes no model" if action == "status" else "needs a MODEL, a file of rdahw train"
        raise UsageError(f"{action} {wanted}; see rdahw device --help")
    if (out is None) != (action != "dump"):
        raise UsageError("dump needs --out FILE, and nothing else takes it")
    for name, value in of_predict.items():
        if value and action != "predict":
            raise UsageError(f"--{name} goes with predict, and {action} was asked for; leave it out")


def _status(output: Output, device: Device) -> dict[str, Any]:
    its, status = device.identify(), device.status()
    result = {
        "fingerprint": f"{its.fingerprint:016x}",
        "input_bits": its.input_bits,
        "output_bits": its.output_bits,
        "parameter_bits": its.parameter_bits,
        "batches": its.batches,
        "example_count": status.example_count,
        "error_count": status.error_count,
    }
    batches = "learns in batches" if its.batches else "learns from one example at a time"
    output.line(f"model     {its.input_bits} -> {its.output_bits} bits, {its.parameter_bits} parameter bits, {batches}")
    output.line(
        f"learned   from {status.example_count} examples, {status.error_count} of them predicted wrongly before"
    )
    output.line(f"is        {result['fingerprint']} (fingerprint of its learner)")
    return result


def _act(
    output: Output, board: DeviceEngine, action: str, saved: SavedModel, out: Path | None, of_predict: dict[str, Any]
) -> dict[str, Any]:
    """Load, dump or predict; the result as JSON."""
    from dataclasses import replace

    from rdahw.cli.eval import evaluate
    from rdahw.files import check_writable
    from rdahw.saved import save_model
    from rdahw.state import describe_bits

    parameters = saved.spec.parameters
    if action == "predict":
        with output.progress("predicting", "examples") as bar:
            return evaluate(output, saved, lambda x: board.classify(x, bar), **of_predict)
    if action == "load":
        with output.progress("loading", "bytes") as bar:
            board.write(saved.best_state, bar)
        output.line(f"loaded    {parameters.bits} parameter bits")
        return describe_bits(parameters, saved.parameters)
    assert out is not None
    check_writable(out)
    with output.progress("reading", "bytes") as bar:
        state = board.read(bar)
    progress = replace(saved.progress, best=None)
    save_model(replace(saved, state=state, progress=progress, provenance=dumped(saved.provenance)), out)
    output.line(f"saved     {out}")
    return {"out": str(out), **describe_bits(parameters, state[parameters.name])}
