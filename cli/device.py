"""``rdahw device``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rdahw.cli._engine import baud_option
from rdahw.cli._output import Output, output_options
from rdahw.cli._params import evaluation_options, file_option
from rdahw.errors import UsageError

if TYPE_CHECKING:
    from rdahw.boards.host import Device, DeviceEngine
    from rdahw.saved import SavedModel


@click.command(
    "device",
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
@evaluation_options
@click.option("--predictions", is_flag=True, help="print every prediction, also where there are labels")
@file_option("--out", help="dump: save the board's model here")
@output_options
def command(
    output: Output,
    port: str,
    action: str,
    model: Path | None,
    baud: int | None,
    data: str | None,
    predictions: bool,
    out: Path | None,
    **reading: Any,
) -> None:
    """Load a trained model into the board at a port, save the board's model, measure it, or show its status.

    \b
    load     write the parameters of MODEL into the board
    dump     save MODEL with the board's parameters to --out
    predict  measure the board on data, with the binariser and labels of MODEL
    status   show the board's model, and how many examples it has learned from

    --data, --label and --predictions are for predict only. The board must run a trainer of the same model, made by
    rdahw synth. A serial port has a name like /dev/ttyUSB1 or COM3.
    """
    from rdahw.boards.host import BAUD, DeviceEngine, connect
    from rdahw.hdl.frontend import known_frontends
    from rdahw.saved import load_model

    of_predict: dict[str, Any] = {"data": data, "reading": reading, "predictions": predictions}
    _check_options(action, model, {"data": data, "label": reading["label"], "predictions": predictions}, out)
    saved = None if model is None else load_model(model).predictor
    result: dict[str, Any] = {"port": port, "action": action}
    known: dict[str, Any] = {} if saved is None else {"spec": saved.spec, "frontends": known_frontends(saved.binariser)}
    with connect(port, baud=baud or BAUD, **known) as device:
        if saved is None:
            result |= _status(output, device)
        else:
            board = DeviceEngine(device, saved.spec)
            result |= _act(output, board, action, saved, out, of_predict)
    output.json(result)


def _check_options(action: str, model: Path | None, of_predict: dict[str, Any], out: Path | None) -> None:
    if (model is None) != (action == "status"):
        expected = "takes no model" if action == "status" else "needs a MODEL, a file of rdahw train"
        raise UsageError(f"{action} {expected}; see rdahw device --help")
    if (out is None) != (action != "dump"):
        raise UsageError(
            "--out FILE is needed by dump and cannot be used with the other actions; see rdahw device --help"
        )
    for name, value in of_predict.items():
        if value and action != "predict":
            raise UsageError(f"--{name} is for predict and cannot be used with {action}; leave it out")


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
    output.line(f"trained   on {status.example_count} examples, {status.error_count} of them predicted wrongly before")
    output.line(f"learner   {result['fingerprint']} (fingerprint)")
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
            return evaluate(output, saved, lambda x: board.classify(x, bar), **of_predict, keeps_features=True)
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
    # How the board was trained is not known, so the training cannot be resumed.
    kept = {name: saved.provenance[name] for name in ("package_version", "data_sha256") if name in saved.provenance}
    provenance = {"command": "rdahw device dump", "package_version": None, **kept, "finished": True}
    save_model(replace(saved, state=state, progress=progress, provenance=provenance), out)
    output.line(f"saved     {out}")
    return {"out": str(out), **describe_bits(parameters, state[parameters.name])}
