"""``rdahw show``."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rdahw.cli._model import find_ensemble, find_model, size_options
from rdahw.cli._output import Output, complete, output_options
from rdahw.errors import UsageError

if TYPE_CHECKING:
    from rdahw.circuit import Circuit
    from rdahw.saved_ensemble import SavedEnsemble


@click.command(
    "show",
    short_help="show what a model is",
    epilog="""\b
Examples:
  rdahw show iris-lookup.rdahw          what was learned, and from what
  rdahw show mnist-ensemble.rdahw       the same of an ensemble
  rdahw show mask --inputs 16           a model by name
  rdahw show lookup --reverse --text    the circuit of its reverse derivative
  rdahw show my_models.py:half_adder --svg adder.svg""",
)
@click.argument("model", metavar="MODEL|NAME|FILE.py:NAME", shell_complete=complete("rdahw.families", "names"))
@size_options()
@click.option("--reverse", "of_reverse", is_flag=True, help="show the reverse derivative of the circuit instead")
@click.option("--text", is_flag=True, help="print the circuit")
@click.option("--dot", type=click.Path(path_type=Path), metavar="FILE", help="draw the circuit as Graphviz dot text")
@click.option("--svg", type=click.Path(path_type=Path), metavar="FILE", help="draw the circuit as SVG (needs Graphviz)")
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
    """Show what a model is: widths, gates, parameters, whether it is safe, and where it comes from.

    Safe: the reverse derivative is the Boolean difference. NAME is lookup or mask[:k=4]; FILE.py:NAME runs the file.
    """
    from rdahw.draw import to_dot
    from rdahw.files import write_atomically
    from rdahw.safety import is_safe

    if (ensemble := find_ensemble(model)) is not None:
        if of_reverse or text or dot or svg:
            raise UsageError(
                f"{model!r} is a table ensemble and no circuit; make one of it with rdahw binarise, or leave out what "
                "is drawn and printed of circuits"
            )
        described = _ensemble(ensemble)
        output.json(described)
        _ensemble_for_people(output, described)
        return
    made, saved = find_model(model, inputs, outputs)
    circuit = made.reverse() if of_reverse else made.circuit
    gates = count_gates(circuit)
    result: dict[str, Any] = {
        "model": made.name,
        "inputs": [[port.name, port.type.width] for port in circuit.inputs],
        "outputs": [[name, circuit.types[wire].width] for name, wire in circuit.outputs],
        "parameter_bits": made.parameter_bits,
        "assignments": len(circuit.assignments),
        **gates,
        "safe": is_safe(circuit),
    }
    if saved is not None:
        from rdahw.cli._circuits import describe_parameters

        result |= describe_parameters(saved.parameters)
        result |= {
            "labels": saved.labels,
            "classes": list(saved.schema.label_names),
            "binarise": saved.binariser.rule,
            "wires": list(saved.binariser.wire_names),
            "updates": saved.state.updates,
            "finished": saved.is_finished,
            "provenance": dict(saved.provenance),
        }
    output.json(result)
    _for_people(output, result)
    if text:
        output.line(str(circuit))
    title = f"R[{made.name}]" if of_reverse else made.name
    if dot is not None:
        write_atomically(dot, to_dot(circuit, title).encode())
        output.log(f"drew {dot}")
    if svg is not None:
        write_atomically(svg, _svg(to_dot(circuit, title)))
        output.log(f"drew {svg}")


def _ensemble(saved: SavedEnsemble) -> dict[str, Any]:
    """What an ensemble is, what it has learned, and from what, as JSON."""
    from rdahw.cli._ensembles import curve_of, describe_counters, spec_to_result
    from rdahw.GONE import counter_shares

    spec, state = saved.spec, saved.state
    saturated, zero = counter_shares(spec, saved.counters)
    result: dict[str, Any] = {
        "model": "ensemble",
        "input_bits": spec.input_bits,
        "classes": list(saved.label_names),
        **spec_to_result(spec),
        "image": None if spec.image is None else list(spec.image),
        "seed": spec.seed,
        **describe_counters(spec, saved.counters),
        # Of all counters: at an end of their range, and never moved from 0 (or back at it).
        "saturated": saturated,
        "zero": zero,
        "binarise": saved.binariser.rule,
        "epochs": state.epoch,
        "examples": state.examples,
        "finished": saved.is_finished,
        "curve": curve_of(saved),
        "provenance": {name: value for name, value in saved.provenance.items() if name != "curve"},
    }
    if saved.best is not None:
        result |= {"best_epoch": saved.best.epoch, "validation_correct": saved.best.correct}
    return result


def _ensemble_for_people(output: Output, result: dict[str, Any]) -> None:
    names = result["classes"]
    signs = "; scores are of signs" if result["sign"] else ""
    # The row of the epoch that it keeps, or the last; a file may say less than its training did.
    epoch = result.get("best_epoch")
    rows = [row for row in result["curve"] if epoch is None or row["epoch"] == epoch]
    last = rows[-1] if rows else {}
    measured = [
        f"{100 * last[key]:.2f} % right on {name}"
        for key, name in (("validation_accuracy", "validation"), ("test_accuracy", "test"))
        if isinstance(last.get(key), float)
    ]
    lines = {
        "model": f"ensemble of {result['tables']} tables of {result['inputs']} inputs, wiring {result['wiring']}",
        "inputs": f"{result['input_bits']} bits by {result['binarise']}"
        + (f", images of {' x '.join(map(str, result['image']))} (planes, rows, columns)" if result["image"] else ""),
        "classes": ", ".join(names if len(names) <= 32 else [*names[:8], "…", names[-1]]),
        "counters": f"{result['parameter_bits'] // result['counter']} of {result['counter']} bits, "
        f"{100 * result['saturated']:.1f} % saturated, {100 * result['zero']:.1f} % zero{signs}",
        "learner": f"margin {result['margin']}, dropout {result['dropout']}, shift {result['shift']}",
        "trained": f"{result['epochs']} epochs, {result['examples']} examples of {_trained_on(result)}, seed "
        f"{result['seed']}" + ("" if result["finished"] else ", not finished: a checkpoint"),
    }
    if "best_epoch" in result:
        lines["best"] = f"epoch {result['best_epoch']}, which it keeps"
    if measured:
        lines["measured"] = ", ".join(measured)
    for name, value in lines.items():
        output.line(f"{name:9} {value}")


def count_gates(circuit: Circuit) -> dict[str, Any]:
    """How many assignments of each primitive, blocks opened: ``primitives``, most frequent first."""
    from rdahw.primitives import CORE, PRIMITIVES
    from rdahw.transform import expand

    opened = expand(circuit, keep=PRIMITIVES.keys() - CORE - {"custom"})
    return {"primitives": dict(Counter(a.primitive for a in opened.assignments).most_common())}


def _svg(dot: str) -> bytes:
    from rdahw.hdl.toolchain import find, run, scratch

    graphviz = find("dot")
    with scratch() as work:
        (work / "circuit.dot").write_text(dot, encoding="utf-8")
        run(graphviz, ["-Tsvg", "-o", "circuit.svg", "circuit.dot"], cwd=work, log="log", makes=["circuit.svg"])
        return (work / "circuit.svg").read_bytes()


def _for_people(output: Output, result: dict[str, Any]) -> None:
    def ports(pairs: list[list[Any]]) -> str:
        return ", ".join(f"{name} ({width})" for name, width in pairs)

    safe = "yes: the reverse derivative is the Boolean difference" if result["safe"] else "not shown: they may differ"
    lines = {
        "model": result["model"],
        "inputs": ports(result["inputs"]),
        "outputs": ports(result["outputs"]),
        "gates": ", ".join(f"{count} {name}" for name, count in result["primitives"].items()) or "none",
        "safe": safe,
    }
    if "classes" in result:
        lines["classes"] = f"{', '.join(result['classes'])} ({result['labels']})"
        names = [f"{i}: {name}" for i, name in enumerate(result["wires"])]
        lines["x"] = f"\n{'':10}".join(names if len(names) <= 32 else [*names[:8], "…", names[-1]])
        lines["theta"] = f"0x{result['parameters']}" if "parameters" in result else f"{result['parameter_bits']} bits"
        lines["trained"] = f"{result['updates']} updates on {_trained_on(result)}" + (
            "" if result["finished"] else ", not finished: a checkpoint"
        )
    for name, value in lines.items():
        output.line(f"{name:9} {value}")


def _trained_on(result: dict[str, Any]) -> Any:
    """What a model says that it was trained on."""
    options = result["provenance"].get("options")
    return options.get("data") if isinstance(options, dict) else None
