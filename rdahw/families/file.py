"""The family ``file``: a circuit or a machine of the user, from a Python file (**the file is run**), or a circuit from
a file of another tool.

A machine is a model of the family ``machine``: the bits of its parameters are learned in place of those of tables.
"""

from __future__ import annotations

import os
import re
import runpy
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

from rdahw.circuit import Circuit
from rdahw.custom import custom_reverse
from rdahw.data.sequences import SequenceShape
from rdahw.derivative import boolean_difference
from rdahw.errors import UsageError, UserError, nearest
from rdahw.families.circuits import CircuitSpec, circuit_family
from rdahw.families.machine import FAMILY as MACHINES
from rdahw.families.machine import MachineSpec
from rdahw.families.switched import switched
from rdahw.family import USUAL_TASK, Family, Option, Spec, Task
from rdahw.given import TABLES, learnable, parse_design, read_given
from rdahw.machine import Machine
from rdahw.optimisers import OPTIMISERS
from rdahw.tracing import trace
from rdahw.types import Switches

__all__ = ["FAMILY", "load_own"]

#: The input that is learned of a circuit in a file of another tool, if no other is named.
_THETA = "theta"


def load_own(
    source: str | None, inputs: int, outputs: int, theta_ports: str = _THETA
) -> tuple[Circuit | Machine, tuple[int, ...]]:
    """What ``source``, ``FILE.py:NAME``, names: a circuit or a machine, or a function from (inputs, outputs) to one.
    For sequences these are the bits of a symbol and of a label. Of ``FILE.v`` or another file of
    :data:`rdahw.given.READERS` the inputs ``theta_ports``, names with commas between, are learned, and the others are
    the data; ``tables`` are the contents of its tables. Also the bits that the parameters start with, or none.

    Raises :class:`UsageError` for a malformed ``source`` or a missing file, and :class:`UserError` for any error in the
    file.
    """
    if parse_design(source or "") is not None:
        names = list(dict.fromkeys(name for name in theta_ports.split(",") if name))
        return learnable(str(source), read_given(str(source), tables=TABLES in names)[0], names)
    if theta_ports != _THETA:
        raise UsageError(
            f"--parameters names inputs of a circuit in FILE.v, and the model is {source!r}; leave it out, or give "
            "FILE.v"
        )
    match = re.fullmatch(r"(.+\.py):(\w+)", source or "")
    if match is None:
        raise UsageError(
            "the model 'file' is a circuit or a machine in a file of your own; name it as FILE.py:NAME or FILE.v"
        )
    path, name = Path(match[1]), match[2]
    if not os.path.isfile(path):  # not Path's, which raises for some names
        raise UsageError(f"the model file {str(path)!r} does not exist; name the model as FILE.py:NAME")
    try:
        members = runpy.run_path(str(path))
        if name not in members:
            raise UserError(f"{str(path)!r} defines no {name!r}; {nearest(name, [n for n in members if n[0] != '_'])}")
        made: Any = members[name]
        if not isinstance(made, Circuit | Machine) and callable(made):
            made = made(inputs, outputs)
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        raise UserError(
            f"the model file {str(path)!r} failed: {_where(error, path)}{type(error).__name__}: {error}"
        ) from error
    if not isinstance(made, Circuit | Machine):
        raise UserError(
            f"{source} is a {type(made).__name__}; expected a circuit or a machine, or a function from (inputs, "
            "outputs) to one"
        )
    return made, ()


def _where(error: BaseException, path: Path) -> str:
    """«line N: », the last line of the user's file in the traceback."""
    import traceback

    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if Path(f.filename) == path]
    if isinstance(error, SyntaxError):
        lines = [error.lineno]
    return f"line {lines[-1]}: " if lines else ""


def _make(
    task: Task, source: str | None = None, theta_ports: str = _THETA, difference: bool = False, **options: Any
) -> Spec:
    """The spec of what ``source`` names for ``task``; raises as :func:`load_own`."""
    shape = task.sequences
    coded = task.coded(options["labels"])
    widths = (coded.input_bits, coded.output_bits) if shape is None else (shape.symbol, shape.label)
    made, start = load_own(source, *widths, theta_ports)
    if not isinstance(made, Machine):
        if task.kind != USUAL_TASK:
            raise UserError(
                f"{source} is a circuit, and the data are {task.kind}; expected a machine (rdahw.trace_machine), or "
                "data of classes"
            )
        rule = options["optimiser"] or ("sign" if start and not difference else "xor")
        row = OPTIMISERS.get(rule.partition("=")[0])
        if parse_design(str(source)) is not None and row is not None and row.kind is Switches:
            if difference:
                raise UsageError(
                    f"--difference is for parameters that are bits, and {rule!r} for switches; leave one out"
                )
            start = start or (0,) * made.input_types[0].width
            made = switched(made)
        elif difference:
            block = custom_reverse(made, boolean_difference(made), name="Boolean difference", exact=True)
            made = trace(lambda theta, x: {"y": block(theta, x)}, **dict(made.inputs))
        own = {"source": source, "theta_ports": theta_ports, "difference": difference}
        return replace(cast(CircuitSpec, _circuits(made).make(task, **own, **options)), start=start)
    if shape is None and not task.is_bare:
        raise UserError(f"{source} is a machine, and the data are no sequences; give sequences, or a circuit")
    options["difference"] = difference
    for name in ("loss", "labels", "difference"):
        if options[name] != FAMILY.known(name).default:
            raise UsageError(f"{name} {options[name]!r} is for circuits, and {source} is a machine; leave it out")
    rule = {} if (given := options["optimiser"]) is None else MACHINES.rule_options("optimiser", given)
    usual = {option.name: option.default for option in MACHINES.options} | rule
    if shape is None:
        symbol, label = (sum(port.type.width for port in ports) for ports in (made.inputs, made.outputs))
        shape = SequenceShape(steps=max(1, task.input_bits // max(1, symbol)), symbol=symbol, label=label)
    return MachineSpec(seed=task.seed, own=made, own_name=str(source), **asdict(shape), **usual)


def _plain(
    inputs: int, outputs: int, source: str | None, theta_ports: str = _THETA, difference: bool = False
) -> Circuit | None:
    made, _ = load_own(source, inputs, outputs, theta_ports)
    return made if isinstance(made, Circuit) else None


def _circuits(made: Circuit | None = None) -> Family:
    """The family of circuits of one's own; ``made``: the one that it makes."""

    def circuit(task: Task, source: str | None, theta_ports: str, difference: bool) -> Circuit:
        assert made is not None
        return made

    return circuit_family(
        "file",
        circuit,
        help="a circuit or a machine of your own, or a function from (inputs, outputs) to one, given as FILE.py:NAME, "
        "or a circuit with the parameters as its input theta, as FILE.v",
        options=(
            Option(name="source", type="text", help="FILE.py:NAME, and the file is run; or FILE.v[:TOP]"),
            Option(
                name="theta_ports",
                type="text",
                default=_THETA,
                switch="parameters",
                help="learn these inputs of FILE.v, names with commas between, or tables, its LUTs and other tables; "
                "its other inputs are the data",
            ),
            Option(
                name="difference",
                type="flag",
                default=False,
                switch="difference",
                help="learn a circuit by its Boolean difference, with a copy of it for each bit of its inputs",
            ),
        ),
        named=lambda own: own["source"],
        tasks=(USUAL_TASK, "sequences"),
        plain=_plain,
    )


FAMILY = replace(_circuits(), make=_make)
