"""``rdahw cells``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from rdahw.cli._output import Output, output_options
from rdahw.cli._params import encoder_option, model_argument, toolchain_option
from rdahw.errors import InternalError, UserError


@click.command(
    "cells",
    epilog="""\b
Examples:
  rdahw cells mnist-grown.rdahw
  rdahw cells mnist-grown.rdahw --encoder 8   with the comparisons
  rdahw cells mnist-grown.rdahw --inference --family ice40 --json""",
)
@model_argument
@click.option("--inference", is_flag=True, help="pipelined as by rdahw synth --inference, with its registers")
@click.option(
    "--family",
    type=click.Choice(["ice40", "ecp5", "gowin", "xilinx"]),
    default="xilinx",
    show_default=True,
    help="of FPGAs, by the synth command of Yosys",
)
@encoder_option
@toolchain_option
@output_options
def command(output: Output, model: Path, inference: bool, family: str, encoder: int | None, toolchain: Any) -> None:
    """Count the cells of a trained model that is a Boolean circuit: tables, population counts and decision together.

    By synthesis alone, without place and route and link; the comparisons of the binariser count with --encoder. The
    netlist is read back, and has to predict what the model predicts on the test part of its data, where there is one.
    """
    import numpy as np

    from rdahw.binariser_circuit import binariser_circuit, number_bits
    from rdahw.cli._data import to_wires
    from rdahw.cli._model import predictor
    from rdahw.cli.eval import classifier, load_examples
    from rdahw.data import decode
    from rdahw.hdl.inference import LEVELS, Pipeline
    from rdahw.hdl.lut_cells import FAMILIES, count_cells
    from rdahw.saved import load_model
    from rdahw.sim.packed import Packed

    saved = load_model(model)
    code, levels = "binary", LEVELS if inference else None
    circuit = saved.spec.lut_circuit(saved.best_state) if FAMILIES[family].of_luts else None
    if circuit is None:
        its = saved.predictor
        code, circuit = its.spec.code, predictor(its.spec, its)
    if encoder is not None:
        circuit = binariser_circuit(saved.binariser, encoder) >> circuit
    given = None
    try:
        features, *_ = load_examples(output, saved, None)
    except UserError:
        output.log(
            "the netlist is not compared with the model, as there are no test examples; train with --split FRACTION or "
            "--test FILE"
        )
    else:
        x = to_wires(output, saved.binariser, features)
        given = np.asarray(x) if encoder is None else number_bits(saved.binariser, features, encoder)
    design = Pipeline(circuit, levels, cells=family)
    cells = count_cells(design, family, toolchain)
    result: dict[str, Any] = {
        "model": str(model),
        "family": family,
        "luts": sum(cells.luts.values()),
        "luts_by_size": {str(size): count for size, count in cells.luts.items()},
        "flip_flops": cells.flip_flops,
        "carry": cells.carry,
        "others": dict(cells.others),
        "levels": cells.levels,
        **({"encoder_bits": encoder} if encoder is not None else {}),
        **({"latency_cycles": design.stages} if inference else {}),
        "compared_examples": 0 if given is None else len(given),
    }
    if given is not None:
        found = decode(Packed(cells.circuit)(given)[0], saved.spec.classes, code)
        if not np.array_equal(found, classifier(output, saved)(x)):
            raise InternalError(f"the netlist of {str(model)!r} predicts something else than the model")
    output.json(result)
    output.line(f"LUTs      {result['luts']}, {cells.levels} levels ({family})")
    output.table(("inputs", "LUTs"), list(cells.luts.items()))
    counts = {"flip-flops": cells.flip_flops, "carry": cells.carry, **cells.others}
    for name, count in counts.items():
        if count:
            output.line(f"{name:9} {count}")
    if inference:
        output.line(f"latency   {design.stages} cycles, one example a cycle")
    if result["compared_examples"]:
        output.line(f"compared  with the model on {result['compared_examples']} examples: all predictions are equal")
