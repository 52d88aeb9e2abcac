"""``rdahw cells``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from rdahw.cli._output import Output, output_options
from rdahw.cli._params import model_argument, toolchain_option
from rdahw.errors import InternalError, UsageError, UserError


@click.command(
    "cells",
    epilog="""\b
Examples:
  rdahw cells mnist-grown.rdahw
  rdahw cells mnist-grown.rdahw --family ice40 --json""",
)
@model_argument
@click.option(
    "--family",
    type=click.Choice(["xilinx", "ice40", "ecp5"]),
    default="xilinx",
    show_default=True,
    help="of FPGAs, by the synth command of Yosys",
)
@toolchain_option
@output_options
def command(output: Output, model: Path, family: str, toolchain: Any) -> None:
    """Count the cells of a trained model that is a Boolean circuit: tables, population counts and decision together.

    By synthesis alone, without place and route, and without the binariser. The netlist is read back, and has to predict
    what the model predicts on the test part of its data, where there is one. For models of the family grown.
    """
    import numpy as np

    from rdahw.cli.eval import classifier, load_examples
    from rdahw.data import decode
    from rdahw.hdl.lut_cells import count_cells
    from rdahw.saved import load_model
    from rdahw.sim.packed import Packed

    saved = load_model(model)
    circuit = saved.spec.lut_circuit(saved.best_state)
    if circuit is None:
        raise UsageError(f"model {saved.spec.name!r} has no form of LUTs; use rdahw synth --inference for its cells")
    cells = count_cells(circuit, family, toolchain)
    result: dict[str, Any] = {
        "model": str(model),
        "family": family,
        "luts": sum(cells.luts.values()),
        "luts_by_size": {str(size): count for size, count in cells.luts.items()},
        "others": dict(cells.others),
        "flip_flops": 0,
        "carry": 0,
        "levels": cells.levels,
        "compared_examples": 0,
    }
    try:
        features, *_ = load_examples(output, saved, None, None)
    except UserError as error:
        output.log(f"not compared with the model: {error}")
    else:
        x = saved.binariser.transform(features)
        found = decode(Packed(cells.circuit)(x)[0], saved.spec.classes, "binary")
        if not np.array_equal(found, classifier(output, saved)(x)):
            raise InternalError(f"the netlist of {str(model)!r} predicts something else than the model")
        result["compared_examples"] = len(x)
    output.json(result)
    output.line(f"LUTs      {result['luts']}, {cells.levels} levels ({family})")
    output.table(("inputs", "LUTs"), list(cells.luts.items()))
    for name, count in cells.others.items():
        output.line(f"{name:9} {count}")
    if result["compared_examples"]:
        output.line(f"compared  with the model on {result['compared_examples']} examples: all predictions are equal")
