"""``rdahw grad``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rdahw.cli._model import find_circuit, module_name
from rdahw.cli._output import Output, output_options
from rdahw.cli._params import file_option, size_options, toolchain_option
from rdahw.errors import InternalError, UsageError

if TYPE_CHECKING:
    from rdahw.circuit import Circuit
    from rdahw.sim.gradient_check import Comparison

#: What is written, by option: the law, and its words.
_LAWS = {
    "reverse": ("the reverse derivative", "d{input} = R[{top}] by the chain rule, XOR as addition and AND as product"),
    "boolean": ("the Boolean difference", "bit i of d{input} is the parity of (f(x) ^ f(x ^ e_i)) & d{output}"),
    "forward": ("the forward derivative", "d{output} is the first-order change of {output} for a change d{input}"),
}

#: The most operations in all copies of a design, of which a Boolean difference has one for each input bit.
_MOST_COPIED = 1 << 20


class _Setting(click.ParamType):  # type: ignore[type-arg]
    """NAME=VALUE, as (name, number)."""

    name = "NAME=VALUE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, tuple):
            return value
        found = re.fullmatch(r"([A-Za-z_]\w*)=(-?[0-9]{1,18})", value)
        if found is None:
            self.fail(f"{value!r} is not of the form NAME=VALUE with a whole number; write WIDTH=8, say", param, ctx)
        return found[1], int(found[2])


@click.command(
    "grad",
    epilog="""\b
Examples:
  rdahw grad adder.v --to verilog
  rdahw grad alu.v:alu --wrt a,b --to verilog --out alu_grad.v
  rdahw grad adder.v --boolean --to blif
  rdahw grad shifter.sv --chparam WIDTH=32 --to verilog
  rdahw grad iris-lookup.rdahw --to rtlil""",
)
@click.argument("model", metavar="FILE.v[:TOP]|MODEL|NAME|FILE.py:NAME")
@click.option("--to", "format", required=True, type=click.Choice(["verilog", "rtlil", "blif", "aiger"]),
              help="write this format")  # fmt: skip
@click.option("--wrt", metavar="PORT,…", help="differentiate by these inputs  [default: all]")
@click.option("--boolean", "law", flag_value="boolean", help="write the Boolean difference: the effect of each flip")
@click.option("--forward", "law", flag_value="forward", help="write the forward derivative")
@click.option("--chparam", "parameters", multiple=True, type=_Setting(), help="set a parameter of the module TOP")
@size_options()
@file_option("--out", help="write here  [default: TOP_grad.ENDING]")
@toolchain_option
@output_options
def command(
    output: Output,
    model: str,
    format: str,
    wrt: str | None,
    law: str | None,
    parameters: tuple[tuple[str, int], ...],
    inputs: int,
    outputs: int,
    out: Path | None,
    toolchain: Any,
) -> None:
    """Write the derivative of a combinational design as a module TOP_grad.

    Its inputs are those of the design and dOUT for each output; its outputs are dIN for each input: the request for a
    change of the inputs from one of the outputs. Before it is written it is run on random inputs and compared with
    flipping each input bit. It says whether the two always agree (the design is safe), and if not, at which inputs they
    part.
    """
    from rdahw.derivative import boolean_difference, forward_derivative, reverse
    from rdahw.files import write_atomically
    from rdahw.folding import simplify
    from rdahw.hdl.export import FORMATS, export, port_names
    from rdahw.safety import is_safe
    from rdahw.sim.gradient_check import compare

    law = law or "reverse"
    f, top = _design(output, model, dict(parameters), inputs, outputs, toolchain)
    names = None if wrt is None else [name for name in wrt.split(",") if name]
    if law == "boolean":
        _check_size(f, names)
    make = {"reverse": reverse, "boolean": boolean_difference, "forward": forward_derivative}[law]
    derivative = simplify(make(f, names))
    safe = is_safe(f)
    found = compare(f, derivative, names, law)
    if not found.adjoint or (safe and found.parts):
        raise InternalError(f"the derivative of {model!r} breaks its law on random inputs")
    name = f"{top}_grad"
    while name in port_names(derivative):
        name += "_"
    what, rule = _LAWS[law]
    said = _said(safe, found)
    notes = [f"The law: {rule.format(top=top, input='IN', output='OUT')}.", *said]
    text = export(
        derivative, format, name=name, about=f"{what.capitalize()} of {top}, by rdahw grad.", notes=notes,
        toolchain=toolchain, progress=output.step,
    )  # fmt: skip
    out = out or Path(f"{name}.{FORMATS[format].ending}")
    write_atomically(out, text.encode())
    output.json(
        {
            "model": model,
            "module": name,
            "law": law,
            "inputs": [[port.name, port.type.width] for port in derivative.inputs],
            "outputs": [[n, t.width] for n, t in zip(derivative.output_names, derivative.output_types, strict=True)],
            "safe": safe,
            "checked": found.vectors,
            "parts": found.parts,
            "out": str(out),
        }
    )
    for line in said:
        output.line(line)
    output.line(f"wrote {out}")


def _design(
    output: Output, model: str, parameters: dict[str, int], inputs: int, outputs: int, toolchain: Any
) -> tuple[Circuit, str]:
    """The circuit, and a name for it."""
    from rdahw.given import GivenSpec, parse_design

    if (named := parse_design(model)) is not None:
        from rdahw.hdl.reader import read_design

        design = read_design(*named, parameters, toolchain=toolchain, progress=output.step)
        for note in design.describe():
            output.log(note)
        return GivenSpec(model, design.made).predicting(), re.sub(r"\W", "_", design.top)
    if parameters:
        raise UsageError("--chparam sets a parameter of a module of Verilog; leave it out, or give FILE.v")
    return find_circuit(model, inputs, outputs), module_name(model, ())


def _check_size(f: Circuit, names: list[str] | None) -> None:
    """Raise :class:`UsageError` if the Boolean difference is too large."""
    bits = sum(type_.width for name, type_ in f.inputs if names is None or name in names)
    if (size := bits * len(f.assignments)) > _MOST_COPIED:
        raise UsageError(
            f"the Boolean difference has a copy of the design for each of {bits:,} input bits, {size:,} operations in "
            f"all; at most {_MOST_COPIED:,} are written: name fewer inputs with --wrt, or leave --boolean out for the "
            "reverse derivative"
        )


def _said(safe: bool, found: Comparison) -> list[str]:
    """Whether the design is safe, and what the random inputs showed, in sentences."""
    if safe:
        lines = ["Safe: the reverse derivative is the Boolean difference."]
    else:
        lines = ["Not shown to be safe: some product is of values that depend on the same input bit."]
    if not found.vectors:
        lines.append("It was not compared with flipping each input bit: it has words, or is too large for it.")
    elif not found.parts:
        lines.append(f"On {found.vectors:,} random vectors both derivatives agree at every input bit.")
    else:
        where = ", ".join(f"{bit} ({count:,})" for bit, count in list(found.parts.items())[:8])
        more = f" and {len(found.parts) - 8} more bits" if len(found.parts) > 8 else ""
        lines.append(f"Of {found.vectors:,} random vectors the derivatives differ at {where}{more}.")
    return lines
