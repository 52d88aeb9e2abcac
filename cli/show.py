"""``rdahw show``."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rdahw.cli._model import find_model
from rdahw.cli._output import Output, complete, output_options
from rdahw.cli._params import file_option, size_options
from rdahw.errors import UsageError

if TYPE_CHECKING:
    from rdahw.circuit import Circuit
    from rdahw.family import Spec
    from rdahw.saved import SavedModel

#: A circuit of more assignments is not folded, which would take a minute.
_MOST_FOLDED = 1 << 15
#: Up to this many names are all listed for people.
_MOST_NAMES = 32


@click.command(
    "show",
    epilog="""\b
Examples:
  rdahw show iris-lookup.rdahw          a trained circuit
  rdahw show mnist-ensemble.rdahw       a trained ensemble
  rdahw show mask --inputs 16           a model by name
  rdahw show lookup --reverse --text    the circuit of its reverse derivative
  rdahw show my_models.py:half_adder --svg adder.svg
  rdahw show adder.v --text              a circuit of another tool
  rdahw show tomita4 --svg states.svg   the states of a machine""",
)
@click.argument(
    "model", metavar="MODEL|NAME|FILE.py:NAME|FILE.v[:TOP]", shell_complete=complete("rdahw.families", "names")
)
@size_options()
@click.option(
    "--reverse",
    "of_reverse",
    is_flag=True,
    help="show the reverse derivative of the circuit instead, constant parts folded",
)
@click.option("--text", is_flag=True, help="print the circuit")
@file_option("--dot", help="draw the circuit, or the states of a machine, as Graphviz dot text")
@file_option("--svg", help="draw the same as SVG (needs Graphviz)")
@output_options
def command(
    output: Output,
    model: str,
    inputs: int,
    outputs: int,
    of_reverse: bool,
    text: bool,
    dot: Path | None,
    svg: Path | None,
) -> None:
    """Describe a model: widths, gates, parameters, whether it is safe, and how it was trained.

    Safe: the reverse derivative is the Boolean difference. NAME is one of rdahw models, optionally followed by
    :OPTION=VALUE,…; FILE.py:NAME runs the file. FILE.v and its like (.sv, .blif, .aag, .aig, .il, .json) are read.
    """
    from rdahw.draw import to_dot
    from rdahw.files import write_atomically
    from rdahw.folding import count_operations, simplify
    from rdahw.transform import expand

    spec, saved = find_model(model, inputs, outputs)
    result: dict[str, Any] = {"model": spec.name, "family": spec.family}
    for note in spec.notes:
        output.log(note)
    try:
        made = (spec if saved is None else saved.predictor.spec).given()
        circuit = made.circuit
        if of_reverse:
            whole = made.reverse()
            few = len(whole.assignments) <= _MOST_FOLDED
            circuit = simplify(whole) if few else whole
            sizes = {"model": made.circuit, "reverse": whole, **({"folded": simplify(expand(whole))} if few else {})}
            result["operations_of"] = {name: count_operations(expand(each)) for name, each in sizes.items()}
        result |= _circuit(circuit)
    except UsageError as error:
        if of_reverse or text or dot or svg:
            raise
        result["no_circuit"] = str(error)
    result |= _spec(spec) if saved is None else _spec(spec) | _saved(saved)
    output.json(result)
    _for_people(output, spec, result)
    if text:
        output.line(str(circuit))
    if dot is None and svg is None:
        return
    picture = None if of_reverse else spec.diagram(spec.initial_state() if saved is None else saved.best_state)
    drawn = picture or to_dot(circuit, f"R[{made.name}]" if of_reverse else made.name)
    if dot is not None:
        write_atomically(dot, drawn.encode())
        output.log(f"drew {dot}")
    if svg is not None:
        write_atomically(svg, _svg(drawn))
        output.log(f"drew {svg}")


def _circuit(circuit: Circuit) -> dict[str, Any]:
    """The ports and gates of a circuit as JSON: gates by primitive, blocks expanded, most frequent first."""
    from rdahw.folding import count_operations
    from rdahw.primitives import CORE, PRIMITIVES
    from rdahw.safety import is_safe
    from rdahw.transform import expand

    opened = expand(circuit, keep=PRIMITIVES.keys() - CORE - {"custom"})
    ports = {
        "inputs": [[port.name, port.type.width] for port in circuit.inputs],
        "outputs": [[name, circuit.types[wire].width] for name, wire in circuit.outputs],
    }
    return {
        **ports,
        "ports": ports,
        "assignments": len(circuit.assignments),
        "primitives": dict(Counter(a.primitive for a in opened.assignments).most_common()),
        "operations": count_operations(opened),
        "safe": is_safe(circuit),
    }


def _spec(spec: Spec) -> dict[str, Any]:
    """The options and sizes of a model as JSON; each option is also a key of its own."""
    options = {**spec.options(), "loss": spec.loss, "optimiser": spec.optimiser}
    return {
        **options,
        "options": options,
        "input_bits": spec.input_bits,
        "parameter_bits": spec.parameters.bits if spec.fields else 0,
        "image": None if spec.image is None else list(spec.image),
    }


def _saved(saved: SavedModel) -> dict[str, Any]:
    """The parameters of a saved model, and how they were trained, as JSON."""
    from rdahw.state import describe_bits

    progress = saved.progress
    result: dict[str, Any] = {
        "task": saved.schema.task,
        **saved.schema.labels_to_json(),
        **describe_bits(saved.spec.parameters, saved.parameters),
        **saved.spec.facts(saved.best_state),
        "facts": saved.spec.facts(saved.best_state),
        "binarise": saved.binariser.rule,
        "wires": list(saved.binariser.wire_names),
        "epochs": progress.epoch,
        "examples": progress.examples,
        "updates": progress.updates,
        "seed": saved.schedule.seed,
        "finished": saved.is_finished,
        "curve": saved.curve,
        "provenance": {name: value for name, value in saved.provenance.items() if name != "curve"},
    }
    if (best := progress.best) is not None:
        result |= {"best_epoch": best.epoch, "best_update": best.update, "validation_correct": best.correct}
    return result


def _svg(dot: str) -> bytes:
    from rdahw.hdl.toolchain import find, run, scratch

    graphviz = find("dot")
    with scratch() as work:
        (work / "circuit.dot").write_text(dot, encoding="utf-8")
        run(graphviz, ["-Tsvg", "-o", "circuit.svg", "circuit.dot"], cwd=work, log="log", makes=["circuit.svg"])
        return (work / "circuit.svg").read_bytes()


def _for_people(output: Output, spec: Spec, result: dict[str, Any]) -> None:
    lines = {"model": spec.description, **_circuit_for_people(result)}
    lines["options"] = _listed(result["options"])
    if "task" in result:
        lines |= _saved_for_people(result)
    for name, value in lines.items():
        output.line(f"{name:9} {value}")


def _circuit_for_people(result: dict[str, Any]) -> dict[str, str]:
    def ports(pairs: list[list[Any]]) -> str:
        return ", ".join(f"{name} ({width})" for name, width in pairs)

    if "no_circuit" in result:
        return {"circuit": f"not shown: {result['no_circuit']}"}
    size = f"{result['operations']:,} sums and products of single elements (for bits XOR and AND)"
    if each := result.get("operations_of"):
        before = f"{each['reverse']:,} before folding" if "folded" in each else "too large to fold"
        size = (
            f"{each.get('folded', each['reverse']):,} sums and products of single elements (for bits XOR and AND), "
            f"{before}, {each['model']:,} in the model itself"
        )
    safe = "yes: the reverse derivative is the Boolean difference" if result["safe"] else "not shown: they may differ"
    return {
        "inputs": ports(result["ports"]["inputs"]),
        "outputs": ports(result["ports"]["outputs"]),
        "gates": ", ".join(f"{count} {name}" for name, count in result["primitives"].items()) or "none",
        "size": size,
        "safe": safe,
    }


def _saved_for_people(result: dict[str, Any]) -> dict[str, str]:
    from rdahw.tasks import TASKS
    from rdahw.wording import plural

    image, wires = result["image"], [f"{i}: {name}" for i, name in enumerate(result["wires"])]
    form = f", images of {' x '.join(map(str, image))} (planes, rows, columns)" if image else ""
    options = result["provenance"].get("options")
    data = options.get("data") if isinstance(options, dict) else None
    if "stream" in result["provenance"]:
        data = "standard input"
    trained = "by a device or another program, without a record of the data and the updates"
    if data is not None:
        epochs = plural(result["epochs"], "whole epoch")
        trained = f"{plural(result['updates'], 'update')} on {data}, {epochs}, seed {result['seed']}"
    lines = {
        "classes": ", ".join(_few(result.get("classes", []))),
        "labels": ", ".join(_few(result.get("label_names", []))),
        "normal": result.get("normal") or "",
        "target": _listed(result.get("target", {})),
        "data": f"{result['input_bits']} bits by {result['binarise']}{form}",
        "x": f"\n{'':10}".join(_few(wires)),
        "theta": f"0x{result['parameters']}" if "parameters" in result else f"{result['parameter_bits']} bits",
        "learned": _listed(result["facts"]),
        "trained": trained + ("" if result["finished"] else ", not finished: a checkpoint"),
    }
    # The curve's row of the best epoch, else the last row; a file may lack it.
    epoch = result.get("best_epoch")
    if epoch is not None:
        lines["best"] = f"epoch {epoch}, update {result['best_update']}, kept"
    last: dict[str, Any] = next(
        (row for row in reversed(result["curve"]) if epoch is None or row["epoch"] == epoch), {}
    )
    metric = TASKS[result["task"]].metric
    lines["measured"] = ", ".join(
        f"{metric.said(last[key])}{metric.of} on {part}"
        for part in ("validation", "test")
        if isinstance(last.get(key := f"{part}_{metric.name}"), float)
    )
    return {name: value for name, value in lines.items() if value}


def _few(names: list[str]) -> list[str]:
    return names if len(names) <= _MOST_NAMES else [*names[:8], "…", names[-1]]


def _listed(values: dict[str, Any]) -> str:
    """«tables 256, dropout 0.5»."""
    return ", ".join(
        f"{name} {f'{value:.3g}' if isinstance(value, float) else value}" for name, value in values.items()
    )
